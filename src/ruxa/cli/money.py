"""``ruxa ledger`` and ``ruxa price``: proofs, transfers, the price books, and charges made anew."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from ruxa.access import organisations
from ruxa.access.audit import log
from ruxa.access.authorize import OPERATOR
from ruxa.app.house import House
from ruxa.cli import output, session
from ruxa.kernel import ids
from ruxa.kernel.errors import Conflict, InvalidCall, NotFound
from ruxa.ledger import plans, prices, proofs, recompute, statements
from ruxa.ledger.prices import Price, Rates
from ruxa.ledger.proofs import Proof
from ruxa.ledger.recompute import Recomputed
from ruxa.ledger.statements import Line

_OPTIONAL = ("cache_read", "cache_write_5m", "cache_write_1h", "reasoning", "audio_input", "audio_output", "image")


class Priced(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of a price file: what ``price list --json`` prints and ``price import`` reads."""

    model: str
    rates: Rates
    aliases: tuple[str, ...] = ()


def check(args: Namespace) -> int:
    """``ruxa ledger check``. 1 when a proof does not hold."""

    async def act(house: House) -> list[Proof]:
        async with house.work() as work:
            return await proofs.check(work)

    found = session.within(args, act)
    ok = all(proof.ok for proof in found)
    rows = [
        {"name": p.name, "ok": p.ok, "value": p.value, "examined": p.examined, "sample": list(p.sample)} for p in found
    ]
    if args.json:
        output.as_json({"ok": ok, "proofs": rows})
    else:
        output.table(args, rows, ["name", "ok", "value", "examined"], empty="No proofs.")
    return 0 if ok else 1


def lines(args: Namespace) -> int:
    """``ruxa ledger lines``."""

    async def act(house: House) -> list[Line]:
        async with house.work() as work:
            owner = await organisations.find(work, house.vault, session.organisation(args))
            return await statements.lines(work, owner.organisation_ref, limit=args.limit)

    rows = [_line(line) for line in session.within(args, act)]
    output.table(
        args, rows, ["time", "code", "state", "amount_micros", "debit", "credit", "ref"], empty="No transfers."
    )
    return 0


def price_set(args: Namespace) -> int:
    """``ruxa price set``."""
    rates = prices.rates(
        args.input,
        args.output,
        cache_read_micros=args.cache_read,
        cache_write_5m_micros=args.cache_write_5m,
        cache_write_1h_micros=args.cache_write_1h,
        input_tokens_max=args.input_tokens_max,
        output_tokens_max=args.output_tokens_max,
    )
    given = {f"{name}_micros": getattr(args, name) for name in _OPTIONAL if getattr(args, name) is not None}
    rates = msgspec.structs.replace(rates, units=args.units, **given)
    session.within(args, lambda house: _put(house, [Priced(model=args.model, rates=rates)]))
    fields = msgspec.structs.asdict(rates)
    output.show(args, {"model": args.model, **(fields if args.json else _per_million(fields))})
    return 0


def price_list(args: Namespace) -> int:
    """``ruxa price list``."""

    async def act(house: House) -> dict[str, Price]:
        async with house.work() as work:
            await plans.refuse_unknown(work, args.book)
            return await prices.current(work, args.book)

    found = sorted(session.within(args, act).items())
    chosen = [price for model, price in found if model.startswith(args.model or "")]
    if args.json:
        output.as_json([_entry(price) for price in chosen])
        return 0
    rows = [
        {
            "model": p.model,
            "input_per_million_micros": p.asked_micros,
            "output_per_million_micros": p.output_micros,
            "units": p.units,
            "source": p.source,
        }
        for p in chosen
    ]
    columns = ["model", "input_per_million_micros", "output_per_million_micros", "units", "source"]
    output.table(args, rows, columns, empty="No prices.")
    return 0


def price_retire(args: Namespace) -> int:
    """``ruxa price retire``."""

    async def act(house: House) -> datetime | None:
        at = session.moment(args.at, house.clock, "--at", past=False) if args.at else None
        async with house.work() as work:
            price_id = await prices.retire(work, args.model, at)
            if price_id is None:
                raise NotFound(f"The model {args.model} has no price now; `ruxa price list` shows what has.")
            await log.add(work, house.vault, OPERATOR, "price:changed", object_id=price_id)
            found = await prices.by_id(work, price_id)
            return None if found is None else found[2]

    output.show(args, {"model": args.model, "retires_at": session.within(args, act)})
    return 0


def price_recompute(args: Namespace) -> int:
    """``ruxa price recompute``. 1 when the row does not say what follows from it."""

    async def act(house: House) -> Recomputed | None:
        async with house.work() as work:
            return await recompute.call(work, session.identifier("req", args.id))

    found = session.within(args, act)
    if found is None:
        raise NotFound(f"There is no call {args.id}; calls are kept for 83 days.")
    price = found.price
    terms = [
        {"class": term.usage_class, "units": term.units, "rate": term.rate, "millionths": term.millionths}
        for term in found.terms
    ]
    row: dict[str, Any] = {
        "id": args.id,
        "model": found.call.model,
        "price_id": None if price is None else ids.text("price", price.id),
        "book": None if price is None else price.book,
        "source": None if price is None else price.source,
        "since": found.since,
        "until": found.until,
        "terms": terms if args.json else [f"{t.usage_class} {t.units} x {t.rate}" for t in found.terms],
        "recomputed_micros": found.micros,
        "cost_micros": found.call.amount_micros,
        "waived_micros": found.call.waived_micros,
        "list_micros": found.list_micros,
        "holds": found.holds,
    }
    output.show(args, row)
    return 0 if found.holds else 1


def price_import(args: Namespace) -> int:
    """``ruxa price import``."""
    try:
        entries = msgspec.json.decode(Path(args.file).read_bytes(), type=list[Priced])
    except OSError as error:
        raise InvalidCall(f"{args.file} cannot be read: {error.strerror}.") from None
    except msgspec.MsgspecError as error:
        raise InvalidCall(f"{args.file} is no price file: {error}.") from None

    async def act(house: House) -> None:
        async with house.work() as work:
            here = {model: _priced(price) for model, price in (await prices.current(work)).items()}
        # What was not edited stays as it is: a seed's price goes on being the seed's, with what it has announced.
        await _put(house, [entry for entry in entries if entry != here.get(entry.model)])

    session.within(args, act)
    output.show(args, {"imported": len(entries)})
    return 0


async def _put(house: House, wanted: list[Priced]) -> None:
    async with house.work() as work:
        here = await prices.current(work)
        for entry in wanted:
            if "/" not in entry.model.strip("/"):
                raise InvalidCall(f"{entry.model}: a model's public name is provider/name.", param="model")
            old = here.get(entry.model)
            aliases = entry.aliases or (old.aliases if old else ())
            try:
                price_id = await prices.put(work, entry.model, entry.rates, source="operator", aliases=aliases)
            except Conflict as fault:
                if fault.code != "RX041":
                    raise
                raise Conflict(
                    f"{entry.model} has a later price announced already: set its price once that one holds.",
                    code="price_announced",
                ) from None
            await log.add(work, house.vault, OPERATOR, "price:changed", object_id=price_id)
    configured = {*house.settings.providers, "sandbox"}
    for provider in sorted({entry.model.partition("/")[0] for entry in wanted} - configured):
        output.complain(
            f"note: no provider {provider} is configured; its models are served once [providers.{provider}] "
            "stands in the settings file."
        )


def _per_million(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Rates as people read them, without what is not set and without the rates from a step on where there is none."""
    step = fields.get("long_from_tokens") is not None
    return {
        name.replace("_micros", "_per_million_micros"): value
        for name, value in fields.items()
        if value is not None and (step or not name.startswith("long_"))
    }


def _line(line: Line) -> dict[str, Any]:
    return {
        "id": ids.text("xfer", line.id),
        "time": line.at,
        "code": line.code,
        "state": line.state,
        "amount_micros": line.amount_micros,
        "debit": line.debit,
        "credit": line.credit,
        "scope": line.scope,
        "ref": None if line.ref is None else line.ref.hex,
        "lot_id": None if line.lot_id is None else ids.text("lot", line.lot_id),
    }


def _priced(price: Price) -> Priced:
    rates = Rates(**{name: getattr(price, name) for name in Rates.__struct_fields__})
    return Priced(model=price.model, rates=rates, aliases=tuple(price.aliases))


def _entry(price: Price) -> dict[str, Any]:
    return {**msgspec.to_builtins(_priced(price)), "source": price.source}
