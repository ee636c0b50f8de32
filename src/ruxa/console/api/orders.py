"""``/api/v1/orders``, auto top-up and payment methods: what a customer does about paying, as the billing pages do."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from litestar import Request, delete, get, post, put
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, JSONBody

from ruxa.access import sessions
from ruxa.console import bills, paying, visits
from ruxa.console.api import caller
from ruxa.console.api.billing import Before
from ruxa.console.api.caller import Caller, ManyLimit
from ruxa.console.headers import Edge
from ruxa.console.page import Deps
from ruxa.kernel import ids
from ruxa.kernel.errors import InvalidCall, NotFound
from ruxa.ledger.payments import auto, methods, orders, refunds
from ruxa.ledger.payments.orders import MICROS_PER_MINOR


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """One way to pay. by: what an order names; who: takes the payment; livemode: whether real money moves."""

    by: str
    processor: str
    method: str
    who: str
    policy_url: str
    saves: bool
    livemode: bool


class NewOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A top-up: micros of credit (whole cents), how it is paid, and whether to keep the card for auto top-up."""

    micros: int
    by: str
    save: bool = False


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """A top-up that was asked for; micros. url: the processor's page, while it can be paid there."""

    id: str
    reference: str
    created_at: datetime
    expires_at: datetime
    paid_at: datetime | None
    processor: str
    method: str
    kind: str
    scope: str
    state: str
    amount_micros: int
    tax_micros: int
    total_micros: int
    received_micros: int
    refunded_micros: int
    url: str | None


class Begun(msgspec.Struct, frozen=True, kw_only=True):
    """A fresh order: send the customer to ``url``, or show them ``instructions`` (a bank transfer)."""

    order: Order
    url: str | None
    instructions: dict[str, str]


class OrderPage(msgspec.Struct, frozen=True):
    """Orders, newest first; ``next`` is the ``before`` of the next page."""

    orders: list[Order]
    next: str | None


class NewRefund(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much of what is unspent of an order goes back, and why (kept sealed)."""

    micros: int
    reason: str


class Refund(msgspec.Struct, frozen=True, kw_only=True):
    """A refund. state: waiting (for a second person), approved, sending, sent, done, failed or canceled."""

    id: str
    order: str
    processor: str
    scope: str
    state: str
    amount_micros: int
    tax_micros: int
    created_at: datetime
    failure: str | None


class AutoTopUp(msgspec.Struct, frozen=True, kw_only=True):
    """Auto top-up; micros. reason: why it is off or paused; month_micros: charged this month."""

    state: str
    reason: str | None
    threshold_micros: int
    target_micros: int
    monthly_cap_micros: int
    processor: str
    saved: str
    month_micros: int
    recovery_url: str | None


class AutoWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What auto top-up may do. saved: of a payment method; raising anything needs the password given lately."""

    threshold_micros: int
    target_micros: int
    monthly_cap_micros: int
    processor: str
    saved: str


class PaymentMethod(msgspec.Struct, frozen=True, kw_only=True):
    """A saved method: the processor keeps it; we know its brand, last four digits and when it ends."""

    processor: str
    saved: str
    brand: str | None
    last4: str | None
    ends: str | None


def order_of(found: orders.Order) -> Order:
    """An order as JSON."""
    return Order(
        id=ids.text("order", found.id),
        reference=found.reference,
        created_at=found.created_at,
        expires_at=found.expires_at,
        paid_at=found.paid_at,
        processor=found.processor,
        method=found.method,
        kind=found.kind,
        scope=found.scope,
        state=found.state,
        amount_micros=found.amount_micros,
        tax_micros=found.tax_micros,
        total_micros=found.total_minor * MICROS_PER_MINOR,
        received_micros=found.received_minor * MICROS_PER_MINOR,
        refunded_micros=found.refunded_minor * MICROS_PER_MINOR,
        url=found.url if found.state == "open" else None,
    )


def refund_of(found: refunds.Refund) -> Refund:
    """A refund as JSON."""
    return Refund(
        id=ids.text("rfnd", found.id),
        order=ids.text("order", found.order_id),
        processor=found.processor,
        scope=found.scope,
        state=found.state,
        amount_micros=found.amount_micros,
        tax_micros=found.tax_micros,
        created_at=found.created_at,
        failure=found.failure,
    )


def page_of(found: list[orders.Order], limit: int) -> OrderPage:
    """A page of orders as JSON."""
    shown = [order_of(one) for one in found]
    return OrderPage(shown, shown[-1].id if len(shown) == limit else None)


def by_of(who: Caller) -> str:
    """Who acts, as money notes it."""
    return who.principal.text


def handlers(deps: Deps, edge: Edge) -> list[HTTPRouteHandler]:
    """The routes."""

    @get("/api/v1/payment-ways", operation_id="payment_ways", tags=["Billing"], summary="How a top-up can be paid")
    async def payment_ways(request: Request[Any, Any, Any]) -> list[Way]:
        async with caller.entered(deps, edge, request, "payment:read"):
            return [
                Way(
                    by=one.value,
                    processor=one.processor,
                    method=one.method,
                    who=one.who,
                    policy_url=one.policy_url,
                    saves=one.saves,
                    livemode=one.livemode,
                )
                for one in paying.choices(deps)
            ]

    @post("/api/v1/orders", operation_id="orders_create", tags=["Billing"], summary="Ask for a top-up")
    async def orders_create(request: Request[Any, Any, Any], data: JSONBody[NewOrder]) -> Begun:
        async with caller.entered(deps, edge, request, "topup:create") as who:
            amount = paying.whole_cents(data.micros, "micros")
            choice = paying.chosen(deps, data.by)
            if choice is None:
                raise InvalidCall("There is no such way to pay.", param="by")
        address = visits.address_of(request.scope)
        block = sessions.Visitor.of(address, request.headers.get("user-agent", "")).block
        order, checkout = await paying.begin(
            deps,
            who.principal,
            paying.Wanted(
                organisation_id=who.organisation_id,
                organisation_ref=who.organisation_ref,
                amount_micros=amount,
                choice=choice,
                save=data.save,
                block=block,
                request=who.request_id,
            ),
        )
        shown = msgspec.structs.replace(order_of(order), url=checkout.url)
        return Begun(order=shown, url=checkout.url, instructions=dict(checkout.instructions or {}))

    @get("/api/v1/orders", operation_id="orders_list", tags=["Billing"], summary="Top-ups, newest first")
    async def orders_list(request: Request[Any, Any, Any], before: Before = None, limit: ManyLimit = 100) -> OrderPage:
        async with caller.entered(deps, edge, request, "payment:read") as who:
            found = await orders.listed(who.work, who.organisation_ref, before=bills.before(before), limit=limit)
            return page_of(found, limit)

    @get("/api/v1/orders/{order_id:str}", operation_id="orders_show", tags=["Billing"], summary="One top-up")
    async def orders_show(request: Request[Any, Any, Any], order_id: FromPath[str]) -> Order:
        async with caller.entered(deps, edge, request, "payment:read") as who:
            return order_of(await paying.own(who.work, order_id, who.organisation_ref))

    @post(
        "/api/v1/orders/{order_id:str}/cancel",
        operation_id="orders_cancel",
        status_code=200,
        tags=["Billing"],
        summary="End a top-up that nothing was paid for",
    )
    async def orders_cancel(request: Request[Any, Any, Any], order_id: FromPath[str]) -> Order:
        async with caller.entered(deps, edge, request, "topup:create") as who:
            found = await paying.own(who.work, order_id, who.organisation_ref)
            if await orders.close(who.work, found.id, "canceled"):
                await who.note("payment:canceled", found.id)
            return order_of(await paying.own(who.work, order_id, who.organisation_ref))

    @post(
        "/api/v1/orders/{order_id:str}/refunds",
        operation_id="orders_refund",
        tags=["Billing"],
        summary="Ask for what is unspent of a top-up",
    )
    async def orders_refund(
        request: Request[Any, Any, Any], order_id: FromPath[str], data: JSONBody[NewRefund]
    ) -> Refund:
        async with caller.entered(deps, edge, request, "payment:change") as who:
            found = await paying.own(who.work, order_id, who.organisation_ref)
            made = await paying.ask_refund(
                who.work, deps, who.organisation_id, found, data.micros, _reason(data.reason), by_of(who)
            )
            await who.note("refund:asked", made.id)
            return refund_of(made)

    return [payment_ways, orders_create, orders_list, orders_show, orders_cancel, orders_refund, *_auto(deps, edge)]


def _reason(text: str) -> str:
    if not 1 <= len(text.strip()) <= 300:
        raise InvalidCall("A reason has 1 to 300 characters.", param="reason")
    return text.strip()


def _auto(deps: Deps, edge: Edge) -> list[HTTPRouteHandler]:
    @get("/api/v1/auto-topup", operation_id="auto_topup_show", tags=["Billing"], summary="Auto top-up as it stands")
    async def auto_topup_show(request: Request[Any, Any, Any]) -> AutoTopUp:
        async with caller.entered(deps, edge, request, "payment:read") as who:
            return await _shown_auto(who, who.organisation_ref)

    @put("/api/v1/auto-topup", operation_id="auto_topup_put", tags=["Billing"], summary="Set auto top-up, and on")
    async def auto_topup_put(request: Request[Any, Any, Any], data: JSONBody[AutoWish]) -> AutoTopUp:
        async with caller.entered(deps, edge, request, "payment:change") as who:
            processor = deps.processors.get(data.processor)
            if processor is None:
                raise InvalidCall("There is no such processor.", param="processor")
            before = await auto.find(who.work, who.organisation_ref)
            numbers = (data.threshold_micros, data.target_micros, data.monthly_cap_micros)
            if paying.raises(before, *numbers, data.saved, enabled=True):
                assert who.session is not None, "no key may change payments"
                sessions.require_proof(who.session)
            await auto.put(
                who.work,
                who.organisation_ref,
                enabled=True,
                threshold_micros=data.threshold_micros,
                target_micros=data.target_micros,
                monthly_cap_micros=data.monthly_cap_micros,
                processor=data.processor,
                saved=data.saved,
                scope=paying.scope_of(processor),
            )
            await who.note("auto:changed", who.organisation_id)
            return await _shown_auto(who, who.organisation_ref)

    @delete("/api/v1/auto-topup", operation_id="auto_topup_stop", tags=["Billing"], summary="Switch auto top-up off")
    async def auto_topup_stop(request: Request[Any, Any, Any]) -> None:
        async with caller.entered(deps, edge, request, "payment:change") as who:
            await auto.stop(who.work, who.organisation_ref)
            await who.note("auto:stopped", who.organisation_id)

    @get("/api/v1/payment-methods", operation_id="payment_methods", tags=["Billing"], summary="Saved payment methods")
    async def payment_methods(request: Request[Any, Any, Any]) -> list[PaymentMethod]:
        async with caller.entered(deps, edge, request, "payment:read") as who:
            return [
                PaymentMethod(
                    processor=one.processor,
                    saved=one.saved,
                    brand=one.brand,
                    last4=one.last4,
                    ends=f"{one.exp_year}-{one.exp_month:02d}" if one.exp_year and one.exp_month else None,
                )
                for one in await methods.listed(who.work, who.organisation_ref)
            ]

    @delete(
        "/api/v1/payment-methods/{processor:str}/{saved:str}",
        operation_id="payment_methods_remove",
        tags=["Billing"],
        summary="Forget a saved payment method",
    )
    async def payment_methods_remove(
        request: Request[Any, Any, Any], processor: FromPath[str], saved: FromPath[str]
    ) -> None:
        async with caller.entered(deps, edge, request, "payment:change") as who:
            if not await methods.remove(who.work, who.organisation_ref, processor, saved):
                raise NotFound("No such payment method.")
            await who.note("method:removed", who.organisation_id, details={"processor": processor[:32]})

    return [auto_topup_show, auto_topup_put, auto_topup_stop, payment_methods, payment_methods_remove]


async def _shown_auto(who: Caller, ref: UUID) -> AutoTopUp:
    found = await auto.find(who.work, ref)
    if found is None:
        raise NotFound("Auto top-up was never set.", code="auto_topup_unset")
    return AutoTopUp(
        state=found.state,
        reason=found.reason,
        threshold_micros=found.threshold_micros,
        target_micros=found.target_micros,
        monthly_cap_micros=found.monthly_cap_micros,
        processor=found.processor,
        saved=found.saved,
        month_micros=found.month_micros,
        recovery_url=found.recovery_url,
    )
