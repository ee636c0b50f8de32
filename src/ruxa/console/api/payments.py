"""``/api/v1/staff``, money: payments, quarantine, refunds, disputes, transfers, trial balance; for finance staff."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from litestar import Request, delete, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, JSONBody, QueryParameter

from ruxa.access import organisations
from ruxa.console import bills, paying
from ruxa.console.api import caller
from ruxa.console.api.billing import Before
from ruxa.console.api.caller import Caller, ManyLimit
from ruxa.console.api.orders import Order, OrderPage, Refund, order_of, page_of, refund_of
from ruxa.console.headers import Edge
from ruxa.console.page import Deps
from ruxa.kernel import ids
from ruxa.kernel.errors import NotFound
from ruxa.ledger import accounts
from ruxa.ledger.payments import corrections, disputes, facts, freezes, manual, orders, refunds, writeoffs
from ruxa.ledger.payments.orders import MICROS_PER_MINOR, State

Wanted = Annotated[State | None, QueryParameter(description="Payments in this state only.")]
At = Annotated[str | None, QueryParameter(description="Payments by this processor only.")]
EVIDENCE_COLUMN = "payment.evidence.text_sealed"
REASON_COLUMN = "payment.wish.reason_sealed"


class StaffRefund(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A refund by staff; beyond_unspent: what is spent becomes a debt."""

    micros: int
    reason: str
    beyond_unspent: bool = False


class Arrival(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A line of the bank's statement that pays an order: the first of two people says so."""

    micros: int
    day: date
    reference: str
    account: str


class Made(msgspec.Struct, frozen=True):
    """The id of what was made."""

    id: str


class StaffFact(msgspec.Struct, frozen=True, kw_only=True):
    """What a processor confirmed."""

    kind: str
    ext_id: str
    status: str
    amount_micros: int
    fee_micros: int | None
    at: datetime


class StaffOrder(msgspec.Struct, frozen=True, kw_only=True):
    """A payment as staff see it; organisation: None when it was erased."""

    order: Order
    organisation: str | None
    facts: list[StaffFact]


class StaffQuarantined(msgspec.Struct, frozen=True, kw_only=True):
    """A fact that does not fit, and why."""

    id: str
    processor: str
    kind: str
    ext_id: str
    reason: str
    times: int
    first_at: datetime


class StaffDispute(msgspec.Struct, frozen=True, kw_only=True):
    """A dispute: held of what is unspent, owed of what was spent."""

    id: str
    order: str
    processor: str
    status: str
    amount_micros: int
    held_micros: int
    debt_micros: int
    opened_at: datetime
    evidence_state: str | None


class Evidence(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is said to the bank; sealed until it is sent."""

    text: str


class StaffFreeze(msgspec.Struct, frozen=True, kw_only=True):
    """A freeze that waits for a person."""

    id: str
    cause: str
    scope: str
    began_at: datetime
    ended_at: datetime | None


class Decision(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a person decides about a freeze."""

    decision: Literal["lift", "keep"]


class StaffTransfer(msgspec.Struct, frozen=True, kw_only=True):
    """A bank transfer that waits for the second person."""

    id: str
    order: str
    amount_micros: int
    day: date
    reference: str
    account: str
    first_at: datetime


class StaffAccount(msgspec.Struct, frozen=True, kw_only=True):
    """An account's sums; micros."""

    account: str
    kind: str
    unit: str
    debits_posted: int
    credits_posted: int
    debits_pending: int
    credits_pending: int


class WriteOff(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A debt given up to a named account, and why (kept sealed)."""

    organisation: str
    micros: int
    account: Literal["bad_debt", "goodwill", "fraud", "rounding"]
    reason: str
    scope: Literal["live", "sandbox"] = "live"


class StaffWish(msgspec.Struct, frozen=True, kw_only=True):
    """A correction that waits for a second person."""

    id: str
    kind: str
    scope: str
    amount_micros: int
    account: str | None
    asked_at: datetime


class StaffProcessor(msgspec.Struct, frozen=True, kw_only=True):
    """A payment processor of this server."""

    name: str
    methods: list[str]
    capabilities: list[str]
    livemode: bool
    account: str
    policy_url: str


def handlers(deps: Deps, edge: Edge) -> list[HTTPRouteHandler]:
    """The routes."""
    return [*_orders(deps, edge), *_refunds(deps, edge), *_disputes(deps, edge), *_books(deps, edge)]


def _by(who: Caller) -> str:
    return who.principal.text


async def _found(who: Caller, shown: str) -> orders.Order:
    found = await orders.find(who.work, ids.read("order", shown))
    if found is None:
        raise NotFound("No such order.")
    return found


async def _organisation(who: Caller, ref: UUID) -> UUID:
    found = await organisations.of_ref(who.work, ref)
    if found is None:
        raise NotFound("The organisation was erased.")
    return found


def _orders(deps: Deps, edge: Edge) -> list[HTTPRouteHandler]:
    @get("/api/v1/staff/orders", operation_id="staff_orders", tags=["Staff"], summary="Payments, newest first")
    async def staff_orders(
        request: Request[Any, Any, Any],
        before: Before = None,
        status: Wanted = None,
        processor: At = None,
        limit: ManyLimit = 100,
    ) -> OrderPage:
        async with caller.entered(deps, edge, request, "staff_payment:read") as who:
            found = await orders.listed(
                who.work, before=bills.before(before), state=status, processor=processor, limit=limit
            )
            return page_of(found, limit)

    @get("/api/v1/staff/orders/{order_id:str}", operation_id="staff_order", tags=["Staff"], summary="One payment")
    async def staff_order(request: Request[Any, Any, Any], order_id: FromPath[str]) -> StaffOrder:
        async with caller.entered(deps, edge, request, "staff_payment:read") as who:
            found = await _found(who, order_id)
            organisation_id = await organisations.of_ref(who.work, found.organisation_ref)
            return StaffOrder(
                order=order_of(found),
                organisation=None if organisation_id is None else ids.text("org", organisation_id),
                facts=[
                    StaffFact(
                        kind=one.kind,
                        ext_id=one.ext_id,
                        status=one.status,
                        amount_micros=one.amount_minor * MICROS_PER_MINOR,
                        fee_micros=None if one.fee_minor is None else one.fee_minor * MICROS_PER_MINOR,
                        at=one.at,
                    )
                    for one in await facts.of_order(who.work, found.id)
                ],
            )

    @post(
        "/api/v1/staff/orders/{order_id:str}/refunds",
        operation_id="staff_order_refund",
        tags=["Staff"],
        summary="Ask for a refund",
    )
    async def staff_order_refund(
        request: Request[Any, Any, Any], order_id: FromPath[str], data: JSONBody[StaffRefund]
    ) -> Refund:
        async with caller.entered(deps, edge, request, "staff_refund:ask") as who:
            found = await _found(who, order_id)
            whose = await _organisation(who, found.organisation_ref)
            made = await paying.ask_refund(
                who.work, deps, whose, found, data.micros, data.reason[:300], _by(who), beyond=data.beyond_unspent
            )
            await who.note("refund:asked", made.id, organisation_id=whose)
            return refund_of(made)

    @post(
        "/api/v1/staff/orders/{order_id:str}/arrivals",
        operation_id="staff_order_arrived",
        tags=["Staff"],
        summary="Say, as the first person, that a transfer arrived",
    )
    async def staff_order_arrived(
        request: Request[Any, Any, Any], order_id: FromPath[str], data: JSONBody[Arrival]
    ) -> Made:
        async with caller.entered(deps, edge, request, "staff_transfer:confirm") as who:
            found = await _found(who, order_id)
            made = await manual.first(
                who.work,
                found.id,
                amount_micros=data.micros,
                day=data.day,
                reference=data.reference,
                account=data.account,
                by=_by(who),
            )
            await who.note("transfer:confirmed", made, staff=True, details={"eyes": "first"})
            return Made(ids.text("cfm", made))

    @get("/api/v1/staff/quarantine", operation_id="staff_quarantine", tags=["Staff"], summary="What does not fit")
    async def staff_quarantine(request: Request[Any, Any, Any]) -> list[StaffQuarantined]:
        async with caller.entered(deps, edge, request, "staff_payment:read") as who:
            return [
                StaffQuarantined(
                    id=ids.text("fact", one.id),
                    processor=one.processor,
                    kind=one.kind,
                    ext_id=one.ext_id,
                    reason=one.reason,
                    times=one.times,
                    first_at=one.first_at,
                )
                for one in await facts.quarantined(who.work)
            ]

    @post(
        "/api/v1/staff/quarantine/{fact_id:str}/accept",
        operation_id="staff_quarantine_accept",
        status_code=204,
        tags=["Staff"],
        summary="Credit it as it is; over the four-eyes limit when a second person says so too",
    )
    async def staff_quarantine_accept(request: Request[Any, Any, Any], fact_id: FromPath[str]) -> None:
        async with caller.entered(deps, edge, request, "staff_difference:resolve") as who:
            assert who.principal.id is not None, "only a member has a staff role"
            one = ids.read("fact", fact_id)
            effect = await facts.accept(who.work, one, who.principal.id)
            details = {"eyes": "first"} if effect.outcome == "waiting" else None
            await who.note("payment:accepted", one, staff=True, details=details)

    @post(
        "/api/v1/staff/quarantine/{fact_id:str}/dismiss",
        operation_id="staff_quarantine_dismiss",
        status_code=204,
        tags=["Staff"],
        summary="Nothing to credit",
    )
    async def staff_quarantine_dismiss(request: Request[Any, Any, Any], fact_id: FromPath[str]) -> None:
        async with caller.entered(deps, edge, request, "staff_difference:resolve") as who:
            assert who.principal.id is not None, "only a member has a staff role"
            one = ids.read("fact", fact_id)
            if await facts.dismiss(who.work, one, who.principal.id):
                await who.note("payment:dismissed", one, staff=True)

    return [
        staff_orders,
        staff_order,
        staff_order_refund,
        staff_order_arrived,
        staff_quarantine,
        staff_quarantine_accept,
        staff_quarantine_dismiss,
    ]


def _refunds(deps: Deps, edge: Edge) -> list[HTTPRouteHandler]:
    @get("/api/v1/staff/refunds", operation_id="staff_refunds", tags=["Staff"], summary="Refunds, newest first")
    async def staff_refunds(request: Request[Any, Any, Any]) -> list[Refund]:
        async with caller.entered(deps, edge, request, "staff_payment:read") as who:
            return [refund_of(one) for one in await refunds.listed(who.work)]

    @post(
        "/api/v1/staff/refunds/{refund_id:str}/approve",
        operation_id="staff_refund_approve",
        status_code=204,
        tags=["Staff"],
        summary="Approve a refund that somebody else asked for",
    )
    async def staff_refund_approve(request: Request[Any, Any, Any], refund_id: FromPath[str]) -> None:
        async with caller.entered(deps, edge, request, "staff_refund:approve") as who:
            one = ids.read("rfnd", refund_id)
            await refunds.approve(who.work, one, _by(who))
            await who.note("refund:approved", one, staff=True)

    @post(
        "/api/v1/staff/refunds/{refund_id:str}/cancel",
        operation_id="staff_refund_cancel",
        status_code=204,
        tags=["Staff"],
        summary="Drop a refund that was not sent",
    )
    async def staff_refund_cancel(request: Request[Any, Any, Any], refund_id: FromPath[str]) -> None:
        async with caller.entered(deps, edge, request, "staff_refund:approve") as who:
            one = ids.read("rfnd", refund_id)
            await refunds.cancel(who.work, one, _by(who))
            await who.note("refund:canceled", one, staff=True)

    @get("/api/v1/staff/transfers", operation_id="staff_transfers", tags=["Staff"], summary="Wait for a second person")
    async def staff_transfers(request: Request[Any, Any, Any]) -> list[StaffTransfer]:
        async with caller.entered(deps, edge, request, "staff_payment:read") as who:
            return [
                StaffTransfer(
                    id=ids.text("cfm", one.id),
                    order=ids.text("order", one.order_id),
                    amount_micros=one.amount_minor * MICROS_PER_MINOR,
                    day=one.day,
                    reference=one.reference,
                    account=one.account,
                    first_at=one.first_at,
                )
                for one in await manual.waiting(who.work)
            ]

    @post(
        "/api/v1/staff/transfers/{confirmation_id:str}/confirm",
        operation_id="staff_transfer_confirm",
        status_code=204,
        tags=["Staff"],
        summary="Say, as the second person, that it arrived",
    )
    async def staff_transfer_confirm(request: Request[Any, Any, Any], confirmation_id: FromPath[str]) -> None:
        async with caller.entered(deps, edge, request, "staff_transfer:confirm") as who:
            one = ids.read("cfm", confirmation_id)
            effect = await manual.second(who.work, one, _by(who))
            details = {"eyes": "second", "outcome": effect.outcome}
            await who.note("transfer:confirmed", one, staff=True, details=details)

    @delete(
        "/api/v1/staff/transfers/{confirmation_id:str}",
        operation_id="staff_transfer_withdraw",
        tags=["Staff"],
        summary="Take the first confirmation back",
    )
    async def staff_transfer_withdraw(request: Request[Any, Any, Any], confirmation_id: FromPath[str]) -> None:
        async with caller.entered(deps, edge, request, "staff_transfer:confirm") as who:
            one = ids.read("cfm", confirmation_id)
            await manual.withdraw(who.work, one, _by(who))
            await who.note("transfer:withdrawn", one, staff=True)

    return [
        staff_refunds,
        staff_refund_approve,
        staff_refund_cancel,
        staff_transfers,
        staff_transfer_confirm,
        staff_transfer_withdraw,
    ]


def _disputes(deps: Deps, edge: Edge) -> list[HTTPRouteHandler]:
    @get("/api/v1/staff/disputes", operation_id="staff_disputes", tags=["Staff"], summary="Disputes, newest first")
    async def staff_disputes(request: Request[Any, Any, Any]) -> list[StaffDispute]:
        async with caller.entered(deps, edge, request, "staff_payment:read") as who:
            return [
                StaffDispute(
                    id=ids.text("dsp", one.id),
                    order=ids.text("order", one.order_id),
                    processor=one.processor,
                    status=one.status,
                    amount_micros=one.amount_minor * MICROS_PER_MINOR,
                    held_micros=one.held_micros,
                    debt_micros=one.debt_micros,
                    opened_at=one.opened_at,
                    evidence_state=one.evidence_state,
                )
                for one in await disputes.listed(who.work)
            ]

    @post(
        "/api/v1/staff/disputes/{dispute_id:str}/evidence",
        operation_id="staff_dispute_answer",
        status_code=204,
        tags=["Staff"],
        summary="Answer a dispute, once",
    )
    async def staff_dispute_answer(
        request: Request[Any, Any, Any], dispute_id: FromPath[str], data: JSONBody[Evidence]
    ) -> None:
        async with caller.entered(deps, edge, request, "staff_dispute:answer") as who:
            one = await disputes.find(who.work, ids.read("dsp", dispute_id))
            if one is None:
                raise NotFound("No such dispute.")
            whose = await _organisation(who, one.organisation_ref)
            year = deps.terms.fiscal_year(deps.clock.now())
            sealed = await deps.vault.seal(EVIDENCE_COLUMN, whose, one.id, data.text[:4000], year=year)
            await disputes.evidence(who.work, one.id, sealed, _by(who))
            await who.note("dispute:answered", one.id, staff=True)

    @get("/api/v1/staff/freezes", operation_id="staff_freezes", tags=["Staff"], summary="Freezes nobody looked at")
    async def staff_freezes(request: Request[Any, Any, Any]) -> list[StaffFreeze]:
        async with caller.entered(deps, edge, request, "staff_payment:read") as who:
            return [
                StaffFreeze(
                    id=ids.text("frz", one.id),
                    cause=one.cause,
                    scope=one.scope,
                    began_at=one.began_at,
                    ended_at=one.ended_at,
                )
                for one in await freezes.waiting(who.work)
            ]

    @post(
        "/api/v1/staff/freezes/{freeze_id:str}/review",
        operation_id="staff_freeze_review",
        status_code=204,
        tags=["Staff"],
        summary="Lift a freeze or keep it",
    )
    async def staff_freeze_review(
        request: Request[Any, Any, Any], freeze_id: FromPath[str], data: JSONBody[Decision]
    ) -> None:
        async with caller.entered(deps, edge, request, "staff_freeze:lift") as who:
            one = ids.read("frz", freeze_id)
            await freezes.review(who.work, one, data.decision, _by(who))
            await who.note("freeze:reviewed", one, staff=True, details={"decision": data.decision})

    return [staff_disputes, staff_dispute_answer, staff_freezes, staff_freeze_review]


def _books(deps: Deps, edge: Edge) -> list[HTTPRouteHandler]:
    @get("/api/v1/staff/accounts", operation_id="staff_accounts", tags=["Staff"], summary="The trial balance")
    async def staff_accounts(request: Request[Any, Any, Any]) -> list[StaffAccount]:
        async with caller.entered(deps, edge, request, "staff_payment:read") as who:
            return [
                StaffAccount(
                    account=one.code,
                    kind=one.kind,
                    unit=one.unit,
                    debits_posted=one.debits_posted,
                    credits_posted=one.credits_posted,
                    debits_pending=one.debits_pending,
                    credits_pending=one.credits_pending,
                )
                for one in await accounts.every(who.work)
            ]

    @post(
        "/api/v1/staff/writeoffs",
        operation_id="staff_writeoff",
        tags=["Staff"],
        summary="Give a debt up; a large one waits for a second person",
    )
    async def staff_writeoff(request: Request[Any, Any, Any], data: JSONBody[WriteOff]) -> Made:
        async with caller.entered(deps, edge, request, "staff_writeoff:post") as who:
            one = await organisations.find(who.work, deps.vault, ids.read("org", data.organisation))
            wish_id = ids.fresh()
            year = deps.terms.fiscal_year(deps.clock.now())
            sealed = await deps.vault.seal(REASON_COLUMN, one.id, wish_id, data.reason[:300], year=year)
            await writeoffs.post(
                who.work,
                one.organisation_ref,
                data.micros,
                data.account,
                sealed,
                by=_by(who),
                scope=data.scope,
                wish_id=wish_id,
            )
            await who.note("debt:written_off", wish_id, organisation_id=one.id, details={"account": data.account})
            return Made(ids.text("wish", wish_id))

    @get("/api/v1/staff/corrections", operation_id="staff_corrections", tags=["Staff"], summary="Wait for a second")
    async def staff_corrections(request: Request[Any, Any, Any]) -> list[StaffWish]:
        async with caller.entered(deps, edge, request, "staff_payment:read") as who:
            return [
                StaffWish(
                    id=ids.text("wish", one.id),
                    kind=one.kind,
                    scope=one.scope,
                    amount_micros=one.amount_micros,
                    account=one.account,
                    asked_at=one.asked_at,
                )
                for one in await corrections.waiting(who.work)
            ]

    @post(
        "/api/v1/staff/corrections/{wish_id:str}/approve",
        operation_id="staff_correction_approve",
        status_code=204,
        tags=["Staff"],
        summary="Approve a correction that somebody else asked for",
    )
    async def staff_correction_approve(request: Request[Any, Any, Any], wish_id: FromPath[str]) -> None:
        async with caller.entered(deps, edge, request, "staff_writeoff:post") as who:
            one = ids.read("wish", wish_id)
            await corrections.approve(who.work, one, _by(who))
            await who.note("wish:approved", one, staff=True)

    @post(
        "/api/v1/staff/corrections/{wish_id:str}/reject",
        operation_id="staff_correction_reject",
        status_code=204,
        tags=["Staff"],
        summary="Drop a correction",
    )
    async def staff_correction_reject(request: Request[Any, Any, Any], wish_id: FromPath[str]) -> None:
        async with caller.entered(deps, edge, request, "staff_writeoff:post") as who:
            one = ids.read("wish", wish_id)
            await corrections.reject(who.work, one, _by(who))
            await who.note("wish:rejected", one, staff=True)

    @get("/api/v1/staff/processors", operation_id="staff_processors", tags=["Staff"], summary="Payment processors")
    async def staff_processors(request: Request[Any, Any, Any]) -> list[StaffProcessor]:
        async with caller.entered(deps, edge, request, "staff_payment:read"):
            return [
                StaffProcessor(
                    name=name,
                    methods=list(one.methods),
                    capabilities=sorted(one.capabilities),
                    livemode=one.livemode,
                    account=one.account,
                    policy_url=one.policy_url,
                )
                for name, one in deps.processors.items()
            ]

    return [
        staff_accounts,
        staff_writeoff,
        staff_corrections,
        staff_correction_approve,
        staff_correction_reject,
        staff_processors,
    ]
