"""``ruxa import``: take over from LiteLLM, New API or One API - first as a plan, and with ``--apply`` for good."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

import msgspec

from ruxa.app.house import House
from ruxa.app.importing import apply, fragment, litellm, newapi
from ruxa.app.importing.apply import Done
from ruxa.app.importing.plan import Plan, Way
from ruxa.cli import output, session
from ruxa.kernel.errors import InvalidCall

OUT = "ruxa.toml"


def litellm_(args: Namespace) -> int:
    """``ruxa import litellm``."""
    listed = None if args.key_list is None else _text(Path(args.key_list))
    return _take_over(args, litellm.read(_text(Path(args.file)), listed))


def newapi_(args: Namespace) -> int:
    """``ruxa import newapi``."""
    return _take_over(args, newapi.read_file(Path(args.file)))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidCall(f"{path} is not UTF-8 text.", code="bad_import") from None


def _take_over(args: Namespace, plan: Plan) -> int:
    if args.no_keys:
        plan = msgspec.structs.replace(plan, keys=())
    if not args.apply:
        if args.json:
            output.as_json({**msgspec.to_builtins(plan), "file": fragment.write(plan)})
        else:
            _show(plan)
        return 0
    organisation = session.organisation(args) if args.org is not None else None
    path = Path(args.out)
    if path.exists():
        apply.write_file(plan, path)  # says so before anything is made

    async def act(house: House) -> Done:
        routes, keys, unpriced = await apply.apply(house, plan, organisation)
        return Done(file=str(path), routes=routes, keys=keys, unpriced=unpriced)

    done = session.within(args, act)
    apply.write_file(plan, path)
    if args.json:
        output.as_json({**msgspec.to_builtins(done), "left": msgspec.to_builtins(plan.left)})
        return 0
    output.line(f"Written to {done.file}: {len(plan.providers)} providers. Routes made: {len(done.routes)}.")
    for key in done.keys:
        output.line(f"key {key.name}: {key.key} ({key.id}); it is shown this once")
    for name in done.unpriced:
        output.complain(f"note: no model {name} has a price here; until it has (`ruxa price set`), it is left out.")
    _show_left(plan)
    return 0


def _show(plan: Plan) -> None:
    output.line(f"Plan from {plan.origin}; nothing is changed without --apply.")
    _section("Providers and the secrets they need (into ruxa.toml)", [_source(each) for each in plan.providers])
    _section("Routes", [f"{way.name} -> {_targets(way)}" for way in plan.routes])
    _section("Keys to make", [_key(msgspec.structs.asdict(key)) for key in plan.keys])
    _show_left(plan)
    output.line()
    output.line("--- ruxa.toml")
    output.line(fragment.write(plan).rstrip())


def _source(source: Any) -> str:
    where = source.base_url or "its own address"
    secret = "needs no key" if source.key is None else f"{source.key.removeprefix('env:')} must hold its key"
    found = f" (now: {source.found_at})" if source.found_at and source.key is not None else ""
    return f"{source.name} at {where}: {secret}{found}"


def _targets(way: Way) -> str:
    told = [f"{target.model}={target.weight}" if way.by == "weight" else target.model for target in way.targets]
    return f"{', '.join(told)} (by {way.by})" if len(told) > 1 else told[0]


def _key(key: dict[str, Any]) -> str:
    said = [f"{name}={value}" for name, value in key.items() if name != "name" and value is not None]
    return f"{key['name']}: {', '.join(said) or 'no limits'}"


def _show_left(plan: Plan) -> None:
    _section("Not taken over", [f"{each.where}: {each.why}" for each in plan.left])


def _section(title: str, lines: list[str]) -> None:
    output.line()
    output.line(f"{title}: {len(lines) or 'none'}")
    for each in lines:
        output.line(f"  {each}")
