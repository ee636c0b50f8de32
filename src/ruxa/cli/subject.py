"""``ruxa subject``: a person's rights, done by the operator for who cannot sign in."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path
from uuid import UUID

from ruxa.access import members
from ruxa.access.audit import log
from ruxa.app.house import House
from ruxa.cli import output, session
from ruxa.console import assets, words
from ruxa.kernel import ids
from ruxa.kernel.errors import InvalidCall, NotFound
from ruxa.kernel.money import usd
from ruxa.kernel.sealed import Sealed
from ruxa.ledger.documents import show
from ruxa.privacy import erase as engine
from ruxa.privacy import export as exports
from ruxa.privacy.erase import Outlook
from ruxa.privacy.erasures.certificate import Signed
from ruxa.store.work import Work


def erase(args: Namespace) -> int:
    """``ruxa subject erase``."""

    async def act(house: House) -> Signed | None:
        email = Sealed(args.email)
        async with house.work() as work:
            member_id = await members.find_by_email(work, house.vault, email)
            if member_id is None:
                return await engine.again(work, house.vault, email)
            seen = await engine.outlook(work, member_id)
        engine.refuse(seen.obstacles, forfeit=args.forfeit)
        if not args.yes:
            _confirm(member_id, seen)
        eraser = house.lend("ruxa_erase")
        return await engine.subject(
            house.pool, eraser, house.vault, member_id, forfeit=args.forfeit, objects=house.objects
        )

    signed = session.within(args, act)
    if signed is None:
        raise NotFound("No member has that address, and none who had it was erased in the last 30 days.")
    _show(args, signed)
    return 0


def export(args: Namespace) -> int:
    """``ruxa subject export``."""
    try:
        file = Path(args.out).open("xb")  # noqa: SIM115 - closed below, when the coroutine has filled it
    except FileExistsError:
        raise InvalidCall(f"{args.out} is there already; name a new file.", code="file_exists") from None

    async def act(house: House) -> str:
        async with house.work() as work:
            member_id = await members.find_by_email(work, house.vault, Sealed(args.email))
            if member_id is None:
                raise NotFound("No member has that address.")
            export_id = await exports.ask(work, member_id)
            await exports.fetch(work, member_id, export_id)
            await _tell(work, house, export_id, "planned")
        paper = show.paper(house.vault, words.Library().words, assets.VENDOR)
        # The umask of a command lets nobody else read it.
        async for piece in exports.stream(
            house.lend("ruxa_export"), house.vault, export_id, member_id, objects=house.objects, paper=paper
        ):
            file.write(piece)
        async with house.work() as work:
            await _tell(work, house, export_id, "done")
        return ids.text("exp", export_id)

    try:
        with file:
            export_id = session.within(args, act)
    except BaseException:
        Path(args.out).unlink(missing_ok=True)
        raise
    output.show(args, {"id": export_id, "file": args.out, "bytes": Path(args.out).stat().st_size})
    return 0


async def _tell(work: Work, house: House, export_id: UUID, outcome: log.Outcome) -> None:
    await log.write(
        work, house.vault, "subject:exported", actor="operator", object_id=export_id, purpose="legal", outcome=outcome
    )


def _confirm(member_id: UUID, seen: Outlook) -> None:
    """Asks on the terminal; a script has to say ``--yes``."""
    if not sys.stdin.isatty():
        raise InvalidCall("An erasure cannot be undone: say --yes to mean it.", code="not_confirmed")
    output.complain(f"{ids.text('mem', member_id)} will be erased for good, in every copy within 7 days.")
    for one in seen.organisations:
        output.complain(f"{ids.text('org', one)} goes with them: nobody else is in it.")
    for one in seen.obstacles:
        output.complain(f"{usd(one.micros)} USD of credit of {ids.text('org', one.subject)} is given up.")
    sys.stderr.write("Type 'erase' to go on: ")
    sys.stderr.flush()
    if sys.stdin.readline().strip() != "erase":
        raise InvalidCall("Nothing was erased.", code="not_confirmed")


def _show(args: Namespace, signed: Signed) -> None:
    if args.json:
        output.as_json(signed.builtins)
        return
    said = signed.content
    output.line(f"erased       {said.id}")
    output.line(f"done         {said.done_at.isoformat(sep=' ', timespec='seconds')}")
    for key in said.keys:
        by = key.gone_in_every_copy_by.isoformat(sep=" ", timespec="seconds")
        output.line(f"key          {key.id} ({key.key_class}): gone in service, in every copy by {by}")
    for gone in said.rows:
        output.line(f"{gone.action.ljust(12)} {gone.rows} of {gone.place}")
    for kept in said.kept:
        until = "" if kept.until is None else f", until {kept.until}"
        output.line(f"kept         {kept.place}: {kept.what} (ground: {kept.ground}{until})")
    for other in said.together_with:
        output.line(f"with it      {other}")
    output.line(f"signature    {signed.signature.hex()}")
    output.line(f"key id       {signed.key_id.hex()}")
