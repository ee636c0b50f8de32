"""Paying, as pages and the API do it: which methods there are, what it costs with tax, an order and its checkout.

Nothing here books money: an order is asked for, the customer pays on the processor's own page, and what the processor's
API confirms becomes credit elsewhere (``ledger.payments.facts``).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from uuid import UUID

import msgspec

from ruxa.access import organisations
from ruxa.access.audit import log
from ruxa.access.authorize import Principal
from ruxa.console.page import Deps
from ruxa.egress import processor as processing
from ruxa.egress.processor import Checkout, Hint, Processor, ProcessorRefused
from ruxa.kernel import ids
from ruxa.kernel.errors import Conflict, InvalidCall, NotFound, UpstreamError
from ruxa.kernel.sealed import Sealed
from ruxa.ledger.documents import profile
from ruxa.ledger.documents.tax import Place, Quote
from ruxa.ledger.payments import auto, inbox, limits, methods, orders, refunds
from ruxa.ledger.payments.orders import MICROS_PER_MINOR, Order
from ruxa.store.work import Work

LEAST_MICROS = 1_000_000
MOST_MICROS = 10_000_000_000
USUAL_USD = (5, 10, 25, 50, 100)
CARD_HOURS = 1
BANK_DAYS = 14
BANK = "bank_transfer"
LABEL_BLOCK = "payment-address"
LABEL_CUSTOMER = "payment-customer"
# A return page asks the processor again at most this often (seconds).
HINT_EVERY_S = 10
REASON_COLUMN = "payment.refund.reason_sealed"


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """One way to pay. value: ``processor.method`` as forms send it; host: of the page that it is paid on."""

    value: str
    processor: str
    method: str
    who: str
    policy_url: str
    saves: bool
    livemode: bool


def choices(deps: Deps) -> list[Choice]:
    """What a customer can choose between, in order. Nothing is chosen for them later (policy P35)."""
    return [
        Choice(
            value=f"{name}.{method}",
            processor=name,
            method=method,
            who=one.recipient.who if one.recipient is not None else "",
            policy_url=one.policy_url,
            saves="saved" in one.capabilities,
            livemode=one.livemode,
        )
        for name, one in deps.processors.items()
        for method in one.methods
    ]


def chosen(deps: Deps, value: str) -> Choice | None:
    """The choice that a form names."""
    return next((one for one in choices(deps) if one.value == value), None)


def scope_of(processor: Processor) -> orders.Scope:
    """What the credit buys: a processor that moves no real money gives sandbox credit (decision D10)."""
    return "live" if processor.livemode else "sandbox"


async def priced(work: Work, deps: Deps, organisation_ref: UUID, amount_micros: int) -> Quote:
    """What so much credit costs with tax, by the organisation's billing details."""
    written = await profile.find(work, deps.vault, organisation_ref)
    place = Place() if written is None else written.party.open(profile.PURPOSE).place
    return deps.terms.engine.quote(amount_micros // MICROS_PER_MINOR, place)


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A payment that somebody asks for. block: the address block it is asked from, for limits only."""

    organisation_id: UUID
    organisation_ref: UUID
    amount_micros: int
    choice: Choice
    save: bool = False
    block: Sealed[str] | None = None
    request: str = ""
    order_id: UUID | None = None


async def begin(deps: Deps, principal: Principal, wanted: Wanted) -> tuple[Order, Checkout]:
    """An order and the page to pay it on, in works of its own: the processor is asked while none is open.

    Raises Conflict ``payment_velocity``, ``payments_stopped``, ``method_blocked``, ``too_many_open_orders``,
    ``processor_away`` (nothing was charged; the order is closed).
    """
    processor = deps.processors[wanted.choice.processor]
    order = await _order(deps, principal, processor, wanted)
    try:
        checkout = await processor.checkout(await _told(deps, processor, order))
        if checkout.url is not None:
            processing.own_page(processor, checkout.url)
    except (ProcessorRefused, UpstreamError) as error:
        async with deps.pool.work("console") as work:
            await orders.close(work, order.id, "canceled")
        raise Conflict(
            "The payment processor cannot be reached just now. Nothing was charged; try again or choose another.",
            code="processor_away",
            detail=f"{wanted.choice.processor}: {error.code}",
        ) from None
    async with deps.pool.work("console") as work:
        await orders.bind(work, order.id, checkout.ext_id, checkout.url)
    return order, checkout


async def _order(deps: Deps, principal: Principal, processor: Processor, wanted: Wanted) -> Order:
    now = deps.clock.now()
    life = timedelta(days=BANK_DAYS) if wanted.choice.method == BANK else timedelta(hours=CARD_HOURS)
    block = None
    if wanted.block is not None:
        block = deps.vault.keyed_hash(LABEL_BLOCK, wanted.block.open("security").encode())
    async with deps.pool.work("console") as work:
        await limits.check(work, wanted.organisation_ref, block)
        quote = await priced(work, deps, wanted.organisation_ref, wanted.amount_micros)
        order = await orders.create(
            work,
            wanted.organisation_ref,
            amount_micros=wanted.amount_micros,
            tax_micros=quote.tax_minor * MICROS_PER_MINOR,
            tax_code=quote.code,
            processor=wanted.choice.processor,
            method=wanted.choice.method,
            kind="manual" if wanted.choice.method == BANK else "checkout",
            scope=scope_of(processor),
            save_method=wanted.save and wanted.choice.saves,
            expires_at=now + life,
            order_id=wanted.order_id,
        )
        await log.add(
            work,
            deps.vault,
            principal,
            "payment:started",
            organisation_id=wanted.organisation_id,
            object_id=order.id,
            request=wanted.request,
            details={"processor": order.processor, "method": order.method},
        )
    return order


async def _told(deps: Deps, processor: Processor, order: Order) -> processing.Order:
    """The order as the processor learns of it: a random reference, an amount, where to come back."""
    customer = None
    async with deps.pool.work("console") as work:
        customer = await methods.customer(work, order.organisation_ref, processor.name)
    # PayPal names a customer when it keeps their account; a card is kept under an id made before.
    if customer is None and order.save_method and order.method == "card":
        pseudonym = deps.vault.index(LABEL_CUSTOMER, f"{processor.name}:{order.organisation_ref.hex}")[:16].hex()
        made = await processor.create_customer(pseudonym)
        async with deps.pool.work("console") as work:
            customer = await methods.put_customer(work, order.organisation_ref, processor.name, made)
    return as_told(deps, order, customer)


def as_told(deps: Deps, order: Order, customer: str | None = None) -> processing.Order:
    """``orders.told``, and the page of the order to come back to."""
    here = f"{deps.base_url}/billing/orders/{ids.text('order', order.id)}"
    return orders.told(order, success_url=f"{here}?back=paid", cancel_url=f"{here}?back=left", customer=customer)


async def instructions(deps: Deps, order: Order) -> Mapping[str, str]:
    """What to write on a bank transfer; nothing for other methods, or when it is over."""
    processor = deps.processors.get(order.processor)
    if processor is None or order.method != BANK or order.state not in orders.OPEN:
        return {}
    return (await processor.checkout(as_told(deps, order))).instructions or {}


async def ask_again(work: Work, deps: Deps, order: Order) -> None:
    """Says to the worker that this order is worth a look: somebody came back from the processor's page."""
    if order.ext_id is None or order.state not in orders.OPEN or order.method == BANK:
        return
    now = deps.clock.now()
    hint = Hint(
        event_id=f"return:{order.id.hex}:{int(now.timestamp()) // HINT_EVERY_S}",
        kind="return",
        ext_id=order.ext_id,
        order_id=order.id,
        at=now,
    )
    await inbox.put(work, order.processor, hint)


class Sought(msgspec.Struct, frozen=True, kw_only=True):
    """What staff look for: one order, or an organisation's."""

    order_id: UUID | None = None
    organisation_ref: UUID | None = None


async def sought(work: Work, deps: Deps, asked: str) -> Sought | None:
    """What a reference, an order's or organisation's id names; None when there is no such."""
    try:
        if asked.startswith("org_"):
            one = await organisations.find(work, deps.vault, ids.read("org", asked))
            return Sought(organisation_ref=one.organisation_ref)
        if asked.startswith("order_"):
            found = await orders.find(work, ids.read("order", asked))
        else:
            found = await orders.by_reference(work, asked)
    except NotFound:
        return None
    return None if found is None else Sought(order_id=found.id)


async def own(work: Work, shown: str, organisation_ref: UUID) -> Order:
    """The organisation's order of a shown id. Raises NotFound."""
    order = await orders.find(work, ids.read("order", shown), organisation_ref)
    if order is None:
        raise NotFound("No such order.")
    return order


async def ask_refund(
    work: Work, deps: Deps, organisation_id: UUID, order: Order, amount_micros: int, reason: str, by: str, *,
    beyond: bool = False,
) -> refunds.Refund:  # fmt: skip
    """A wish to give money back; the reason may name people and is sealed under the billing key of its year."""
    refund_id = ids.fresh()
    year = deps.terms.fiscal_year(deps.clock.now())
    sealed = await deps.vault.seal(REASON_COLUMN, organisation_id, refund_id, reason, year=year)
    return await refunds.ask(
        work,
        order.organisation_ref,
        order.id,
        amount_micros,
        sealed,
        by,
        beyond_unspent=beyond,
        refund_id=refund_id,
    )


def raises(before: auto.Auto | None, threshold: int, target: int, cap: int, saved: str, enabled: bool) -> bool:
    """Whether a change of auto top-up may cost more than before: that needs the password again (decision D25)."""
    if not enabled:
        return False
    if before is None or before.state == "off":
        return True
    return (
        target > before.target_micros
        or cap > before.monthly_cap_micros
        or threshold > before.threshold_micros
        or saved != before.saved
    )


def whole_cents(micros: int, param: str) -> int:
    """An amount of an API body as it may be paid. Raises InvalidCall ``amount_out_of_range``."""
    if micros % MICROS_PER_MINOR or not LEAST_MICROS <= micros <= MOST_MICROS:
        raise InvalidCall(
            f"Whole cents, between {LEAST_MICROS:,} and {MOST_MICROS:,} micros of USD.",
            code="amount_out_of_range",
            param=param,
        )
    return micros
