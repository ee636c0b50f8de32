"""``ruxa subject restrict``: nothing but storage of a person's data, until it is lifted."""

from __future__ import annotations

from argparse import Namespace
from uuid import UUID

from ruxa.access import members
from ruxa.app.house import House
from ruxa.cli import output, session
from ruxa.kernel import ids
from ruxa.kernel.errors import NotFound
from ruxa.kernel.sealed import Sealed
from ruxa.privacy.processing import restriction


def restrict(args: Namespace) -> int:
    """``ruxa subject restrict``; saying it twice is fine."""

    async def act(house: House) -> UUID:
        async with house.work() as work:
            member_id = await members.find_by_email(work, house.vault, Sealed(args.email))
            if member_id is None:
                raise NotFound("No member has that address.")
            if args.lift:
                await restriction.lift(work, house.vault, member_id, actor="operator")
            else:
                await restriction.restrict(work, house.vault, member_id, asked_by="operator", actor="operator")
            return member_id

    member_id = session.within(args, act)
    output.show(args, {"id": ids.text("mem", member_id), "restricted": not args.lift})
    return 0
