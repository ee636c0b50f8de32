"""``ruxa policy export``: the record of processing in the words of other tools."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path

from ruxa.app.house import House
from ruxa.cli import output, session
from ruxa.console import cookies
from ruxa.privacy.outbound import register
from ruxa.privacy.processing import dpv, fides, places

FORMATS = {"fides": fides.export, "dpv": dpv.export}


def export(args: Namespace) -> int:
    """``ruxa policy export``. 1 when a place is not declared."""

    async def act(house: House) -> tuple[bytes, int, list[str]]:
        async with house.work() as work:
            found = await places.gather(work, cookies.places())
            document = FORMATS[args.format](found, await register.recipients(work))
        return document, len(found), places.problems(found)

    document, examined, problems = session.within(args, act)
    if args.out is None:
        sys.stdout.write(document.decode())
        sys.stdout.write("" if document.endswith(b"\n") else "\n")
    else:
        Path(args.out).write_bytes(document)
        output.show(args, {"format": args.format, "out": args.out, "examined": examined, "undeclared": problems})
    return 1 if problems else 0
