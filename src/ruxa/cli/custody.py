"""``ruxa keys``: the keys that seal what is stored - who keeps them, how old they are, and how they are replaced."""

from __future__ import annotations

from argparse import Namespace
from datetime import datetime, timedelta
from typing import Any

import msgspec

from ruxa.access import addresses, keys
from ruxa.access.audit import log
from ruxa.app.house import House
from ruxa.cli import output, session
from ruxa.kernel.bounds import EPOCH_DAYS
from ruxa.kernel.errors import Conflict, InvalidCall, NotFound, Unavailable
from ruxa.kernel.signing import USES


def show(args: Namespace) -> int:
    """``ruxa keys show``."""

    async def act(house: House) -> dict[str, Any]:
        found, public = await house.vault.survey(), await house.vault.public_keys()
        return {
            "assurance": msgspec.structs.asdict(house.vault.assurance),
            "epochs": [
                {
                    "id": one.id.hex,
                    "state": one.state,
                    "provider": one.provider,
                    "created": one.created_at,
                    "ends_by": one.created_at + timedelta(days=EPOCH_DAYS),
                }
                for one in found.epochs
            ],
            "keys": [
                {
                    "kind": one.kind,
                    "class": one.key_class,
                    "count": one.count,
                    "older_versions": one.superseded,
                    "first_day": one.first_day,
                    "last_day": one.last_day,
                }
                for one in found.keys
            ],
            "signing": [
                {"use": key.use, "id": key.id.hex(), "from": key.valid_from, "until": key.valid_until} for key in public
            ],
            "holders": [msgspec.structs.asdict(one) for one in found.holders],
        }

    row = session.within(args, act)
    if args.json:
        output.as_json(row)
        return 0
    kept: dict[str, str] = row["assurance"]
    output.line(f"Epoch keys: {kept['provider']}, {kept['where']}, assurance {kept['level']}. {kept['limit']}")
    for title, columns in (
        ("epochs", ("id", "state", "provider", "created", "ends_by")),
        ("keys", ("kind", "class", "count", "older_versions", "first_day", "last_day")),
        ("signing", ("use", "id", "from", "until")),
        ("holders", ("name", "since", "alive", "up_to_date")),
    ):
        output.line()
        output.table(args, row[title], columns, empty=f"No {title}.")
    return 0


def end(args: Namespace) -> int:
    """``ruxa keys end KIND``. 1 when not every process has said yet that it dropped them."""

    async def act(house: House) -> dict[str, Any]:
        old = await house.vault.old_roots(args.kind)
        if not old:
            raise NotFound(f"There is no older {args.kind} to end: `ruxa keys rotate {args.kind}` makes one.")
        begun = max(one.superseded_at for one in old if one.superseded_at is not None)
        if args.kind == "index":
            passed = await addresses.reindex(house.vault)
            if passed.moved or passed.left:
                raise Conflict(
                    f"{passed.left} address(es) are still found by an older index only, {passed.moved} were moved just"
                    " now. The worker ends it by itself when a whole pass meets none; or run this again in an hour.",
                    code="key_in_use",
                )
        stopped = 0
        if args.kind == "pepper":
            async with house.work() as work:
                stopped = await keys.made_before(work, begun)
        if not args.yes:
            raise InvalidCall(_warning(args.kind, begun, stopped), code="not_confirmed")
        destroyed = [gone for one in old for gone in await house.vault.end_root(one.id)]
        details = {"what": args.kind, "keys": " ".join(one.key_id.hex() for one in destroyed)}
        async with house.work() as work:
            if args.kind == "pepper":
                await keys.end_made_before(work, begun)
            await log.write(work, house.vault, "crypto:destroyed", actor="operator", details=details)
        return {
            "kind": args.kind,
            "destroyed": [one.key_id.hex() for one in destroyed],
            "gone_in_every_copy_by": max(one.in_every_copy_by for one in destroyed),
            "api_keys_stopped": stopped,
            "heard": await house.vault.acknowledged(destroyed),
        }

    done = session.within(args, act)
    output.show(args, done)
    return 0 if done["heard"] else 1


def _warning(kind: str, begun: datetime, stopped: int) -> str:
    if kind == "index":
        return "An older index cannot be brought back: say --yes to end it."
    return (
        f"What was made before {begun:%Y-%m-%d %H:%M} UTC and not since stops working for good: {stopped} API key(s),"
        " passwords of people who have not signed in since (they choose a new one by mail), sessions and links. Say"
        " --yes to mean it."
    )


def rotate(args: Namespace) -> int:
    """``ruxa keys rotate [KIND]``. 1 when not every process has heard yet: run it again."""

    async def act(house: House) -> dict[str, Any]:
        done = await _rotate(house, args)
        async with house.work() as work:
            told = {"kind": args.kind, **{name: str(value) for name, value in done.items()}}
            await log.write(work, house.vault, "crypto:rotated", actor="operator", details=told)
        return {"kind": args.kind, **done}

    output.show(args, session.within(args, act))
    return 0


async def _rotate(house: House, args: Namespace) -> dict[str, Any]:
    vault = house.vault
    match args.kind:
        case "subject":
            count = await vault.rotate_subjects(args.key_class)
            passed = await vault.reseal()
            return {"keys": count, "moved": passed.moved, "left": passed.left, "older_versions": passed.waiting}
        case "index" | "pepper":
            if not await vault.rotate_root(args.kind):
                raise Unavailable(
                    "A process that holds keys has not heard of the new one (`ruxa keys show`): nothing is written by"
                    " it yet. Run this again.",
                    code="keys_unheard",
                )
            return {"older_versions": len(await vault.old_roots(args.kind))}
        case "signing":
            ahead = timedelta() if args.now else None
            made = [
                await (vault.rotate_signing(use) if ahead is None else vault.rotate_signing(use, ahead))
                for use in ([args.use] if args.use else sorted(USES))
            ]
            return {"keys": {key.use: key.id.hex() for key in made}, "from": max(key.valid_from for key in made)}
        case _:
            turned = await vault.rotate_epoch()
            return {"epoch": turned.epoch.hex, "keys": turned.keys, "destroyed": [one.hex for one in turned.destroyed]}
