"""``ruxa invoice``, ``ruxa reconcile``, ``ruxa ledger export`` and ``balance``: documents and books."""

from __future__ import annotations

import contextlib
from argparse import Namespace
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO, cast

import msgspec

from ruxa.access import organisations
from ruxa.access.audit import log
from ruxa.access.authorize import OPERATOR
from ruxa.app import payments
from ruxa.app.house import House
from ruxa.cli import output, session
from ruxa.cli.payments import asking
from ruxa.console import assets, words
from ruxa.egress.processor import Entry
from ruxa.kernel import ids
from ruxa.kernel.errors import InvalidCall, NotFound
from ruxa.kernel.sealed import Sealed
from ruxa.ledger import accounts
from ruxa.ledger.documents import document, jobs, profile, seller, show
from ruxa.ledger.documents.document import Document
from ruxa.ledger.documents.profile import Party
from ruxa.ledger.reconciliation import differences, journal, report
from ruxa.ledger.reconciliation import jobs as comparing
from ruxa.ledger.reconciliation.differences import Difference
from ruxa.privacy import tax_vault
from ruxa.store.pool import Pool

_DOCUMENT_COLUMNS = ("name", "kind", "issued", "organisation", "net_micros", "tax_micros", "gross_micros", "reference")
_DIFFERENCE_COLUMNS = ("id", "kind", "processor", "object", "ext_id", "here", "there", "currency", "age_days", "state")


# Documents


def invoices(args: Namespace) -> int:
    """``ruxa invoice list``."""

    async def act(house: House) -> list[dict[str, Any]]:
        async with house.work() as work:
            if args.org is None:
                found = await document.of_all(
                    work, kind=args.kind, since=_day(args.since), until=_day(args.until), limit=args.limit
                )
            else:
                owner = await organisations.find(work, house.vault, session.organisation(args))
                found = await document.listed(work, owner.organisation_ref, limit=args.limit)
                found = [one for one in found if args.kind in (None, one.kind)]
            return [_document(one) for one in found]

    output.table(args, session.within(args, act), _DOCUMENT_COLUMNS, empty="No documents.")
    return 0


def invoice(args: Namespace) -> int:
    """``ruxa invoice show``."""

    async def act(house: House) -> dict[str, Any]:
        if args.why is not None:
            async with _tax(house) as tax:
                kept = await tax_vault.read(house.pool, tax, house.vault, OPERATOR, args.number, args.why)
            return _shown(kept.document, list(kept.lines), list(kept.taxes), kept.party, tax_vault.PURPOSE)
        async with house.work() as work:
            one = await document.by_name(work, args.number)
            whom = await document.party(work, house.vault, one)
            lines, taxes = await document.lines(work, one.id), await document.taxes(work, one.id)
        return _shown(one, lines, taxes, whom, profile.PURPOSE)

    row = session.within(args, act)
    if args.json:
        output.as_json(row)
    else:
        lines, taxes = row.pop("lines"), row.pop("taxes")
        output.show(args, row)
        output.table(args, lines, ["kind", "label", "quantity", "amount_micros"], empty="No lines.")
        output.table(
            args, taxes, ["jurisdiction", "name", "rate", "net_micros", "tax_micros", "note"], empty="No taxes."
        )
    return 0


def printed(args: Namespace) -> int:
    """``ruxa invoice pdf``."""

    async def act(house: House) -> bytes:
        async with house.work() as work:
            one = await document.by_name(work, args.number)
            texts = words.Library().words(args.language or one.language)
            if args.html:
                return (await show.html(work, house.vault, one, texts)).encode()
            return await show.pdf(work, house.vault, one, texts, assets.VENDOR)

    made = session.within(args, act)
    Path(args.out).write_bytes(made)
    output.show(args, {"out": args.out, "bytes": len(made)})
    return 0


def issue(args: Namespace) -> int:
    """``ruxa invoice issue``."""

    async def act(house: House) -> dict[str, Any]:
        terms = seller.terms(house.settings)
        asked = {} if args.since is None else {"since_s": _ago_s(args.since, house)}
        made = await jobs.issue(house.pool, house.vault, terms, house.sink, **asked)
        return {"orders": made, "statements": await jobs.month(house.pool, house.vault, terms)}

    output.show(args, session.within(args, act))
    return 0


def details(args: Namespace) -> int:
    """``ruxa invoice profile``."""

    async def act(house: House) -> dict[str, Any]:
        async with house.work() as work:
            owner = await organisations.find(work, house.vault, session.organisation(args))
            if args.name is not None:
                party = profile.checked(
                    args.name, tuple(args.address), args.country, args.tax_id, args.contact, args.language
                )
                await profile.put(work, house.vault, owner.organisation_ref, Sealed(party))
                await log.add(work, house.vault, OPERATOR, "billing:changed", organisation_id=owner.id)
            found = await profile.find(work, house.vault, owner.organisation_ref)
        if found is None:
            raise NotFound("This organisation has no billing profile; --name and the like write one.")
        return _party(found.party, profile.PURPOSE)

    output.show(args, session.within(args, act))
    return 0


# Reconciliation


def compare(args: Namespace) -> int:
    """``ruxa reconcile run``. 1 when something differs."""

    async def act(house: House) -> dict[str, Any]:
        day = _day(args.day) or (house.clock.now() - timedelta(days=1)).date()
        if args.file is None:
            async with AsyncExitStack() as stack:
                tills = payments.processors(house.settings, house.register, house.clock, stack)
                if args.processor not in tills:
                    raise NotFound(
                        f"[payments.{args.processor}] is not configured; --file takes its books from a file."
                    )
                scope = "live" if tills[args.processor].livemode else "sandbox"
                books = asking(house, tills)
                ran = await comparing.of_day(house.pool, books, args.processor, day, scope)
        else:
            entries = _entries(args.file)
            async with house.work() as work:
                ran = await differences.run(work, args.processor, day, entries, scope=args.scope)
        return {"processor": args.processor, "day": day} | msgspec.structs.asdict(ran)

    row = session.within(args, act)
    output.show(args, row)
    return 1 if row["differs"] else 0


def differing(args: Namespace) -> int:
    """``ruxa reconcile list``. 1 when something differs."""

    async def act(house: House) -> list[Difference]:
        async with house.work() as work:
            state = None if args.all else "open"
            return await differences.listed(work, state=state, processor=args.processor, limit=args.limit)

    found = session.within(args, act)
    output.table(args, [_difference(one) for one in found], _DIFFERENCE_COLUMNS, empty="No differences.")
    return 1 if any(one.state == "open" for one in found) else 0


def difference(args: Namespace) -> int:
    """``ruxa reconcile show``."""

    async def act(house: House) -> Difference:
        async with house.work() as work:
            return await differences.find(work, ids.read("diff", args.id))

    output.show(args, _difference(session.within(args, act)))
    return 0


def resolve(args: Namespace) -> int:
    """``ruxa reconcile resolve``."""

    async def act(house: House) -> Difference:
        difference_id = ids.read("diff", args.id)
        async with house.work() as work:
            await differences.resolve(work, difference_id, args.outcome, args.reference, work.principal)
            said = {} if args.note is None else {"note": args.note}
            await log.add(
                work, house.vault, OPERATOR, "difference:resolved", object_id=difference_id, staff=True, details=said
            )
            return await differences.find(work, difference_id)

    output.show(args, _difference(session.within(args, act)))
    return 0


def reported(args: Namespace) -> int:
    """``ruxa reconcile report``."""
    since, until = _period(args)

    async def act(house: House) -> bytes:
        async with house.work() as work:
            found = await report.of_days(work, since, until)
        match args.format:
            case "json":
                return report.as_json(found)
            case "csv":
                return report.csv(found)
            case _:
                return report.html(found).encode()

    Path(args.out).write_bytes(session.within(args, act))
    output.show(args, {"out": args.out, "from": since, "to": until})
    return 0


# The ledger


def export(args: Namespace) -> int:
    """``ruxa ledger export``."""
    since, until = _period(args)

    async def act(house: House) -> int:
        lines = -1
        with _to_write(args.out) as file:
            async for piece in journal.csv(house.pool, _start(since), _start(until), scope=args.scope):
                lines += piece.count(b"\n")
                file.write(piece)
        return lines

    output.show(args, {"out": args.out, "from": since, "to": until, "lines": session.within(args, act)})
    return 0


def balance(args: Namespace) -> int:
    """``ruxa ledger balance``. 1 when debits and credits differ."""

    async def act(house: House) -> list[dict[str, Any]]:
        async with house.work() as work:
            found = [one for one in await accounts.every(work) if one.unit == "usd_micros"]
        sums: dict[tuple[str, str], list[int]] = {}
        for one in found:
            code = journal.account_class(one.code) if not args.all else one.code
            at = sums.setdefault((code, one.kind), [0, 0])
            at[0] += one.debits_posted
            at[1] += one.credits_posted
        return [
            {
                "account": code,
                "kind": kind,
                "debit_micros": debits,
                "credit_micros": credits_,
                "balance_micros": debits - credits_,
            }
            for (code, kind), (debits, credits_) in sorted(sums.items())
        ]

    rows = session.within(args, act)
    total = sum(row["balance_micros"] for row in rows)
    if args.json:
        output.as_json({"balances": total == 0, "accounts": rows})
    else:
        columns = ["account", "kind", "debit_micros", "credit_micros", "balance_micros"]
        output.table(args, rows, columns, empty="Nothing was ever posted.")
        output.line(f"Debits less credits of all accounts: {total} micros.")
    return 0 if total == 0 else 1


# Shown


def _document(one: Document) -> dict[str, Any]:
    return {
        "name": one.name,
        "kind": one.kind,
        "issued": one.issued_at,
        "organisation": one.organisation_ref.hex,
        "scope": one.scope,
        "supplied_on": one.supplied_on,
        "currency": one.currency,
        "net_micros": one.net_micros,
        "tax_micros": one.tax_micros,
        "gross_micros": one.gross_micros,
        "reference": one.reference,
        "payment": one.ext_id,
        "sha256": one.sha256.hex(),
        "pdf_sha256": None if one.pdf_sha256 is None else one.pdf_sha256.hex(),
    }


def _shown(
    one: Document, lines: list[document.Line], taxes: list[document.TaxRow], whom: Sealed[Party] | None, purpose: str
) -> dict[str, Any]:
    to = {} if whom is None else {f"to_{name}": value for name, value in _party(whom, purpose).items()}
    return (
        _document(one)
        | to
        | {
            "lines": [msgspec.structs.asdict(line) for line in lines],
            "taxes": [msgspec.structs.asdict(row) for row in taxes],
        }
    )


def _party(whom: Sealed[Party], purpose: str) -> dict[str, Any]:
    party = whom.open(purpose)
    return {
        "name": party.name,
        "address": ", ".join(party.address),
        "country": party.country,
        "tax_id": party.tax_id,
        "contact": party.contact,
        "language": party.language,
    }


def _difference(one: Difference) -> dict[str, Any]:
    row = msgspec.structs.asdict(one)
    row["id"] = ids.text("diff", one.id)
    row["organisation_ref"] = None if one.organisation_ref is None else one.organisation_ref.hex
    row["owner_id"] = None if one.owner_id is None else ids.text("mem", one.owner_id)
    return row


def _entries(file: str) -> list[Entry]:
    try:
        return msgspec.json.decode(Path(file).read_bytes(), type=list[Entry])
    except OSError as error:
        raise InvalidCall(f"{file} cannot be read: {error.strerror}.") from None
    except msgspec.MsgspecError as error:
        raise InvalidCall(f"{file} holds no processor's books: {error}.") from None


@contextlib.asynccontextmanager
async def _tax(house: House) -> AsyncGenerator[Pool]:
    """The login that reads what is kept for the law alone."""
    url = house.address.url("ruxa_tax")
    pool = await Pool.open(url, login="ruxa_tax", min_size=1, max_size=1, clock=house.clock)
    try:
        yield pool
    finally:
        await pool.close()


def _to_write(name: str) -> BinaryIO:
    """A file to write."""
    return Path(name).open("wb")


def _day(text: str | None) -> date | None:
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise InvalidCall(f"{text!r} is no day; write 2027-01-31.", code="bad_time") from None


def _period(args: Namespace) -> tuple[date, date]:
    """From a day to before another: ``--to`` is the last day."""
    since, last = cast(date, _day(args.since)), cast(date, _day(args.until))
    if last < since:
        raise InvalidCall("--to must not be before --from.", code="bad_time")
    return since, last + timedelta(days=1)


def _start(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _ago_s(text: str, house: House) -> int:
    moment = session.moment(text, house.clock, "--since", past=True)
    return max(int((house.clock.now() - moment).total_seconds()), 0)
