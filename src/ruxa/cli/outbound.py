"""``ruxa provider counts``: what left in the last days, by recipient and category of data; counts, never contents."""

from __future__ import annotations

from argparse import Namespace
from datetime import UTC

from ruxa.app.house import House
from ruxa.cli import output, session
from ruxa.privacy.outbound import register
from ruxa.privacy.outbound.register import Count
from ruxa.store import instance


def counts(args: Namespace) -> int:
    """``ruxa provider counts``."""

    async def act(house: House) -> list[Count]:
        async with house.work() as work:
            today = (await instance.now(work)).astimezone(UTC).date()
            return await register.counts(work, today, args.days)

    rows = [{name: getattr(one, name) for name in Count.__struct_fields__} for one in session.within(args, act)]
    output.table(args, rows, list(Count.__struct_fields__), empty="Nothing has left.")
    return 0
