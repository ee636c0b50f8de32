"""``ruxa payment``: what was paid, refunds, bank transfers, disputes, and whether the processors take our keys.

Where two people must agree about real money, ``--as EMAIL`` says which member of staff sits at the command line: who is
that on a page, too, is one person and not two. A sandbox's money may be confirmed by nobody in particular.
"""

from __future__ import annotations

import asyncio
from argparse import Namespace
from collections.abc import Mapping
from contextlib import AsyncExitStack
from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID

from ruxa.access import organisations
from ruxa.access.audit import log
from ruxa.access.authorize import OPERATOR
from ruxa.app import hook, house, payments
from ruxa.app.house import House
from ruxa.cli import output, session
from ruxa.cli import settings as settings_
from ruxa.egress.processor import RANKS, Fact, Processor, ProcessorRefused
from ruxa.egress.recipient import Register
from ruxa.kernel import ids
from ruxa.kernel.clock import Clock
from ruxa.kernel.errors import Conflict, InvalidCall, NotFound, UpstreamError
from ruxa.kernel.settings import Settings
from ruxa.kernel.signals import JsonLines
from ruxa.ledger.collection import EVIDENCE_COLUMN, Collection
from ruxa.ledger.documents import profile, seller
from ruxa.ledger.payments import disputes, facts, manual, orders, refunds
from ruxa.ledger.payments.disputes import Dispute
from ruxa.ledger.payments.orders import MICROS_PER_MINOR, Order
from ruxa.store.work import Work

BY = OPERATOR.text
REASON_COLUMN = "payment.refund.reason_sealed"
_COLUMNS = ("id", "reference", "created_at", "processor", "method", "state", "amount_micros", "received_micros")
_DISPUTE_COLUMNS = ("id", "opened_at", "processor", "status", "amount_micros", "held_micros", "debt_micros", "answer")


def listed(args: Namespace) -> int:
    """``ruxa payment list``."""

    async def act(house: House) -> list[Order]:
        async with house.work() as work:
            ref = None
            if args.org is not None:
                ref = (await organisations.find(work, house.vault, session.organisation(args))).organisation_ref
            return await orders.listed(work, ref, limit=args.limit)

    output.table(args, [_order(one) for one in session.within(args, act)], _COLUMNS, empty="No payments.")
    return 0


def show(args: Namespace) -> int:
    """``ruxa payment show``."""

    async def act(house: House) -> dict[str, Any]:
        async with house.work() as work:
            order = await _found(work, args.payment)
            known = await facts.of_order(work, order.id)
            back = await refunds.listed(work, order_id=order.id)
            arrived = await manual.of_order(work, order.id)
        return _order(order) | {
            "facts": [
                {
                    "id": ids.text("fact", one.id),
                    "kind": one.kind,
                    "ext_id": one.ext_id,
                    "status": one.status,
                    "micros": one.amount_minor * MICROS_PER_MINOR,
                    "fee_micros": None if one.fee_minor is None else one.fee_minor * MICROS_PER_MINOR,
                    "at": one.at,
                }
                for one in known
            ],
            "refunds": [_refund(one) for one in back],
            "transfers": [_confirmation(one) for one in arrived],
        }

    row = session.within(args, act)
    if args.json:
        output.as_json(row)
        return 0
    output.show(args, {name: value for name, value in row.items() if not isinstance(value, list)})
    for name, columns in (
        ("facts", ("kind", "status", "micros", "fee_micros", "ext_id", "at")),
        ("refunds", ("id", "state", "micros", "asked_at")),
        ("transfers", ("id", "state", "micros", "day", "entry")),
    ):
        if row[name]:
            output.line()
            output.table(args, row[name], columns, empty="")
    return 0


def refund(args: Namespace) -> int:
    """``ruxa payment refund``."""

    async def act(house: House) -> refunds.Refund:
        async with house.work() as work:
            order = await _found(work, args.payment)
            who = await session.person(args, house, work, "staff_refund:ask")
            subject = await profile.subject_of(work, order.organisation_ref)
            made = ids.fresh()
            year = seller.terms(house.settings).fiscal_year(house.clock.now())
            sealed = await house.vault.seal(REASON_COLUMN, subject, made, args.reason[:300], year=year)
            asked = await refunds.ask(
                work,
                order.organisation_ref,
                order.id,
                args.micros,
                sealed,
                who.text,
                beyond_unspent=args.beyond_unspent,
                refund_id=made,
            )
            await log.add(
                work,
                house.vault,
                OPERATOR,
                "refund:asked",
                organisation_id=subject,
                object_id=made,
                details=session.said_by(who),
            )
            return asked

    output.show(args, _refund(session.within(args, act)))
    return 0


def refunded(args: Namespace) -> int:
    """``ruxa payment refunded``: what no processor can do, staff has done."""

    async def act(house: House) -> dict[str, Any]:
        refund_id = ids.read("rfnd", args.refund)
        async with house.work() as work:
            found = await refunds.find(work, refund_id)
            if found is None:
                raise NotFound(f"There is no refund {args.refund}; `ruxa payment show` lists a payment's.")
            if found.processor != "bank" or found.state not in ("approved", "sending"):
                raise Conflict("Only an approved refund of a bank transfer is made by hand.", code="wrong_state")
            fact = Fact(
                kind="refund",
                ext_id=f"by-hand-{refund_id.hex}",
                order_id=found.order_id,
                parent=found.capture_ext_id,
                amount_minor=found.amount_minor,
                currency="USD",
                status="succeeded",
                rank=RANKS["succeeded"],
                at=house.clock.now(),
                livemode=found.scope == "live",
                account="",
            )
            effect = await refunds.sent(work, refund_id, fact)
            await log.add(work, house.vault, OPERATOR, "refund:approved", object_id=refund_id)
        return {"id": args.refund, "outcome": effect.outcome}

    output.show(args, session.within(args, act))
    return 0


def confirm(args: Namespace) -> int:
    """``ruxa payment confirm``."""

    async def act(house: House) -> UUID:
        async with house.work() as work:
            order = await _found(work, args.payment)
            who = await session.person(args, house, work, "staff_transfer:confirm")
            made = await manual.first(
                work,
                order.id,
                amount_micros=args.micros,
                day=_day(args.day),
                reference=args.entry,
                account=args.account,
                by=who.text,
            )
            details = {"eyes": "first", **session.said_by(who)}
            await log.add(work, house.vault, OPERATOR, "transfer:confirmed", object_id=made, details=details)
            return made

    made = session.within(args, act)
    shown = ids.text("cfm", made)
    output.show(args, {"id": shown, "state": "waits for a second person"})
    return 0


def waiting(args: Namespace) -> int:
    """``ruxa payment waiting``."""

    async def act(house: House) -> list[dict[str, Any]]:
        async with house.work() as work:
            back = await refunds.listed(work, state="waiting")
            arrived = await manual.waiting(work)
        return [
            *(_refund(one) | {"what": "refund", "by": one.asked_by} for one in back),
            *(_confirmation(one) | {"what": "transfer", "by": one.first_by} for one in arrived),
        ]

    output.table(args, session.within(args, act), ("id", "what", "payment", "micros", "by"), empty="Nothing waits.")
    return 0


def approve(args: Namespace) -> int:
    """``ruxa payment approve``."""

    async def act(house: House) -> dict[str, Any]:
        async with house.work() as work:
            if args.id.startswith("cfm_"):
                one = ids.read("cfm", args.id)
                who = await session.person(args, house, work, "staff_transfer:confirm")
                effect = await manual.second(work, one, who.text)
                details = {"eyes": "second", "outcome": effect.outcome, **session.said_by(who)}
                await log.add(work, house.vault, OPERATOR, "transfer:confirmed", object_id=one, details=details)
                return {"id": args.id, "outcome": effect.outcome}
            one = ids.read("rfnd", args.id)
            who = await session.person(args, house, work, "staff_refund:approve")
            await refunds.approve(work, one, who.text)
            details = session.said_by(who)
            await log.add(work, house.vault, OPERATOR, "refund:approved", object_id=one, details=details)
        return {"id": args.id, "outcome": "approved"}

    output.show(args, session.within(args, act))
    return 0


def dispute(args: Namespace) -> int:
    """``ruxa payment dispute``."""
    if args.id is None:
        if args.answer is not None:
            raise InvalidCall("--answer needs the dispute that it answers.", code="bad_usage")

        async def all_of_them(house: House) -> list[Dispute]:
            async with house.work() as work:
                return await disputes.listed(work)

        rows = [_dispute(one) for one in session.within(args, all_of_them)]
        output.table(args, rows, _DISPUTE_COLUMNS, empty="No disputes.")
        return 0

    async def act(house: House) -> Dispute:
        async with house.work() as work:
            one = await disputes.find(work, ids.read("dsp", args.id))
            if one is None:
                raise NotFound(f"There is no dispute {args.id}; `ruxa payment dispute` lists them.")
            if args.answer is not None:
                subject = await profile.subject_of(work, one.organisation_ref)
                text = Path(args.answer).read_text(encoding="utf-8")[:4000]
                year = seller.terms(house.settings).fiscal_year(house.clock.now())
                sealed = await house.vault.seal(EVIDENCE_COLUMN, subject, one.id, text, year=year)
                await disputes.evidence(work, one.id, sealed, BY)
                await log.add(
                    work, house.vault, OPERATOR, "dispute:answered", organisation_id=subject, object_id=one.id
                )
                one = await disputes.find(work, one.id)
            assert one is not None
            return one

    output.show(args, _dispute(session.within(args, act)))
    return 0


def asking(house: House, tills: Mapping[str, Processor]) -> Collection:
    """What asks these processors, for a command."""
    return Collection(
        house.pool,
        house.vault,
        tills,
        clock=house.clock,
        signals=house.sink,
        base_url=house.base_url,
        terms=seller.terms(house.settings),
    )


def sync(args: Namespace) -> int:
    """``ruxa payment sync``."""

    async def act(house: House) -> dict[str, Any]:
        async with AsyncExitStack() as stack:
            tills = payments.processors(house.settings, house.register, house.clock, stack)
            collection = asking(house, tills)
            missed = await collection.missed()
            looked = await collection.hints()
            polled = await collection.poll(seconds=0)
        return {"processors": sorted(tills), "events_missed": missed, "hints": looked, "payments_asked": polled}

    output.show(args, session.within(args, act))
    return 0


def check(args: Namespace) -> int:
    """``ruxa payment settings check``. 1 when one of them fails."""
    settings = settings_.load(args)
    payments.check(settings)
    found = house.running(settings.data)
    base = settings.public_url or (found.base_url if found is not None else None) or "https://YOUR-HOST"
    rows = asyncio.run(_checked(settings, base))
    columns = ("name", "ok", "mode", "account", "methods", "webhook", "finding")
    output.table(args, rows, columns, empty="No payment processor is configured.")
    return 0 if all(row["ok"] for row in rows) else 1


async def _checked(settings: Settings, base: str) -> list[dict[str, Any]]:
    sink = JsonLines("command", Clock(), minimum="error")
    register = Register(sink)
    async with AsyncExitStack() as stack:
        tills = payments.processors(settings, register, Clock(), stack)
        hook.install(register, sink)
        return [await _asked(one, base) for one in tills.values()]


async def _asked(one: Processor, base: str) -> dict[str, Any]:
    finding, account = "", ""
    try:
        account = await one.whose()
    except ProcessorRefused as refusal:
        finding = f"{refusal.public} Check what payments.{one.name}.key names, and that the key lives."
    except UpstreamError as error:
        finding = f"{error.public} Check base_url, the network and the processor's status."
    return {
        "name": one.name,
        "ok": not finding,
        "mode": "live" if one.livemode else "test",
        "account": account,
        "methods": ", ".join(one.methods),
        "webhook": f"{base}/webhooks/{one.name}" if one.recipient is not None else "",
        "finding": finding or ("" if one.livemode else "A test key: no real money moves, credit buys only sandbox/*."),
    }


async def _found(work: Work, shown: str) -> Order:
    """A payment by its id or by the reference that people write. Raises NotFound."""
    order = (
        await orders.find(work, ids.read("order", shown))
        if shown.startswith("order_")
        else await orders.by_reference(work, shown)
    )
    if order is None:
        raise NotFound(f"There is no payment {shown}; `ruxa payment list` shows them.")
    return order


def _order(one: Order) -> dict[str, Any]:
    return {
        "id": ids.text("order", one.id),
        "reference": one.reference,
        "created_at": one.created_at,
        "processor": one.processor,
        "method": one.method,
        "kind": one.kind,
        "scope": one.scope,
        "state": one.state,
        "amount_micros": one.amount_micros,
        "tax_micros": one.tax_micros,
        "received_micros": one.received_minor * MICROS_PER_MINOR,
        "refunded_micros": one.refunded_minor * MICROS_PER_MINOR,
        "paid_at": one.paid_at,
        "ext_id": one.ext_id,
    }


def _refund(one: refunds.Refund) -> dict[str, Any]:
    return {
        "id": ids.text("rfnd", one.id),
        "payment": ids.text("order", one.order_id),
        "state": one.state,
        "micros": one.amount_micros,
        "asked_at": one.created_at,
        "failure": one.failure,
    }


def _confirmation(one: manual.Confirmation) -> dict[str, Any]:
    return {
        "id": ids.text("cfm", one.id),
        "payment": ids.text("order", one.order_id),
        "state": one.state,
        "micros": one.amount_minor * MICROS_PER_MINOR,
        "day": one.day,
        "entry": one.reference,
        "account": one.account,
    }


def _dispute(one: Dispute) -> dict[str, Any]:
    return {
        "id": ids.text("dsp", one.id),
        "payment": ids.text("order", one.order_id),
        "opened_at": one.opened_at,
        "processor": one.processor,
        "status": one.status,
        "amount_micros": one.amount_minor * MICROS_PER_MINOR,
        "held_micros": one.held_micros,
        "debt_micros": one.debt_micros,
        "answer": one.evidence_state or "none",
    }


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise InvalidCall(f"--day: {text!r} is no day; write 2027-01-31.", code="bad_time") from None
