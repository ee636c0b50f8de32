"""``ruxa provider key``: organisations' own keys at providers. A key is read once and never printed."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path
from uuid import UUID

from ruxa.access import organisations, provider_keys
from ruxa.access.audit import log
from ruxa.access.authorize import OPERATOR
from ruxa.access.provider_keys import Line
from ruxa.app.house import House
from ruxa.cli import output, session
from ruxa.kernel import ids
from ruxa.kernel.errors import InvalidCall
from ruxa.kernel.sealed import Sealed
from ruxa.ledger import plans

KEY_CHARS_MAX = 4096


def add(args: Namespace) -> int:
    """``ruxa provider key add``."""
    secret = _given(args.key_file)

    async def act(house: House) -> UUID:
        if args.provider not in {*house.settings.providers, "sandbox"}:
            known = ", ".join(sorted({*house.settings.providers, "sandbox"}))
            raise InvalidCall(
                f"No provider {args.provider} is configured; there are: {known}.", code="unknown_provider"
            )
        async with house.work() as work:
            owner = await organisations.find(work, house.vault, session.organisation(args))
            await plans.own_book(work, await plans.of(work, owner.organisation_ref))
            made = await provider_keys.put(
                work, house.vault, owner.id, args.provider, secret, house_stands_in=args.house_stands_in
            )
            await log.add(
                work,
                house.vault,
                OPERATOR,
                "provider_key:set",
                organisation_id=owner.id,
                object_id=made,
                details={"provider": args.provider},
            )
            return made

    made = session.within(args, act)
    output.show(
        args, {"id": ids.text("pkey", made), "provider": args.provider, "house_stands_in": args.house_stands_in}
    )
    return 0


def list_(args: Namespace) -> int:
    """``ruxa provider key list``."""

    async def act(house: House) -> list[Line]:
        async with house.work() as work:
            owner = await organisations.find(work, house.vault, session.organisation(args))
            return await provider_keys.listed(work, owner.id)

    rows = [
        {
            "id": ids.text("pkey", one.id),
            "provider": one.provider,
            "ends_in": one.ending or None,
            "house_stands_in": one.house_stands_in,
            "since": one.created_at,
        }
        for one in session.within(args, act)
    ]
    output.table(args, rows, ["provider", "ends_in", "house_stands_in", "since"], empty="No keys of its own.")
    return 0


def remove(args: Namespace) -> int:
    """``ruxa provider key remove``."""

    async def act(house: House) -> None:
        async with house.work() as work:
            owner = await organisations.find(work, house.vault, session.organisation(args))
            gone = await provider_keys.remove(work, owner.id, args.provider)
            await log.add(
                work,
                house.vault,
                OPERATOR,
                "provider_key:removed",
                organisation_id=owner.id,
                object_id=gone,
                details={"provider": args.provider},
            )

    session.within(args, act)
    output.show(args, {"provider": args.provider, "removed": True})
    return 0


def _given(path: str | None) -> Sealed[str]:
    """The key: one line of the file, or of standard input; never an argument, which others on the machine could see."""
    try:
        text = Path(path).read_text() if path is not None else sys.stdin.readline(KEY_CHARS_MAX)
    except OSError as error:
        raise InvalidCall(f"{path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise InvalidCall("A provider's key is plain ASCII.", code="bad_provider_key") from None
    return Sealed(text.strip())
