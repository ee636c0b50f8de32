"""``ruxa subject``: a person's rights, done by the operator for who cannot sign in."""

from __future__ import annotations

import sys
from argparse import Namespace
from uuid import UUID

from ruxa.access import members
from ruxa.app.house import House
from ruxa.cli import output, session
from ruxa.kernel import ids
from ruxa.kernel.errors import InvalidCall, NotFound
from ruxa.kernel.money import usd
from ruxa.kernel.sealed import Sealed
from ruxa.privacy import erase as engine
from ruxa.privacy.erase import Outlook
from ruxa.privacy.erasures.certificate import Signed


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
        return await engine.subject(house.pool, house.vault, member_id, forfeit=args.forfeit, objects=house.objects)

    signed = session.within(args, act)
    if signed is None:
        raise NotFound("No member has that address, and none who had it was erased in the last 30 days.")
    _show(args, signed)
    return 0


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
