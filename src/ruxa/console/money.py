"""Balances, charges and ledger lines as pages and the API show them; shared, since pages never import each other."""

from __future__ import annotations

import asyncio
import hashlib
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from ruxa.access import keys, organisations
from ruxa.access.organisations import Organisation
from ruxa.console import records
from ruxa.console.page import Deps
from ruxa.console.words import Words
from ruxa.kernel import ids
from ruxa.kernel.errors import NotFound
from ruxa.kernel.sealed import Sealed
from ruxa.ledger import accounts, activity, budgets, plans, prices, topups
from ruxa.ledger.accounts import Balance
from ruxa.ledger.payments import corrections, limits
from ruxa.store.work import Work

TRIAL_DAYS = 30
LABEL_TRIAL = "trial-used"
REASON_COLUMN = corrections.LOT_REASON
WISH_COLUMN = corrections.WISH_REASON
PURPOSE = "billing"
PLAYGROUND_MICROS = 1_000_000
LINE_KEYS: Mapping[str, str] = {
    "sandbox_credit": "billing.line_topup",
    "credit": "billing.line_credit",
    "promo": "billing.line_grant",
    "compensation": "billing.line_grant",
    "expired": "billing.line_expiry",
    "refund": "billing.line_refund",
    "correction": "billing.line_correction",
    "topup": "billing.line_paid",
    "refund_back": "billing.line_refund",
    "refunded": "billing.line_refund",
    "dispute": "billing.line_dispute",
    "disputed": "billing.line_dispute",
    "dispute_back": "billing.line_dispute",
    "debt": "billing.line_debt",
    "voided": "billing.line_correction",
}


class Purse(msgspec.Struct, frozen=True, kw_only=True):
    """An organisation's money, micros: balance altogether and by scope, held for running calls, free; what it owes."""

    total: int
    held: int
    free: int
    sandbox: int
    live: int
    debt: int = 0


class Term(msgspec.Struct, frozen=True):
    """One class of a charge: units, micros per million of them, and the exact product in USD.

    name: the class, or ``seconds`` or ``characters`` where the input counts those.
    """

    name: str
    units: int
    rate: int
    exact: str


class ShownLine(msgspec.Struct, frozen=True, kw_only=True):
    """A ledger line in words."""

    id: str
    at: datetime
    what: str
    href: str | None
    scope: str
    amount: int
    settling: bool


def purse(balances: Mapping[str, Balance]) -> Purse:
    """The balances of both scopes as one."""
    total = sum(one.balance_micros for one in balances.values())
    held = sum(one.held_micros for one in balances.values())
    return Purse(
        total=total,
        held=held,
        free=total - held,
        sandbox=balances["sandbox"].balance_micros if "sandbox" in balances else 0,
        live=balances["live"].balance_micros if "live" in balances else 0,
        debt=sum(one.debt_micros for one in balances.values()),
    )


async def purse_of(work: Work, organisation_ref: UUID) -> Purse:
    """An organisation's money now."""
    return purse(await accounts.balance(work, organisation_ref))


def line(found: records.Line, words: Words) -> ShownLine:
    """``found`` as billing shows it."""
    charge = found.code == "charge"
    key = LINE_KEYS.get(found.code, "billing.line_other")
    return ShownLine(
        id=ids.text("req" if charge else "xfer", found.id),
        at=found.at,
        what=words.plain("billing.line_charge", model=found.model) if charge else words.plain(key),
        href=f"/activity/{ids.text('req', found.id)}" if charge else None,
        scope=found.scope,
        amount=found.amount_micros,
        settling=found.state == "settling",
    )


def terms(call: activity.Call, price: prices.Rates) -> list[Term]:
    """The arithmetic of a charge, class by class, before its one rounding."""
    found: list[Term] = []
    for term in prices.terms(price, call):
        product = f"{term.millionths:013d}"
        decimals = product[-12:].rstrip("0").ljust(6, "0")
        counted = (price.units, term.usage_class) in (("seconds", "audio_input"), ("characters", "input"))
        name = price.units if counted else term.usage_class
        found.append(Term(name, term.units, term.rate, f"{product[:-12]}.{decimals}"))
    return found


async def offered(work: Work, deps: Deps, organisation_ref: UUID | None = None) -> list[prices.Price]:
    """The models that are priced and whose provider can be called, without the sandbox's faults.

    organisation_ref: at the prices of its plan; None: at the list's.
    """
    plan = prices.LIST if organisation_ref is None else await plans.of(work, organisation_ref)
    return [
        price
        for price in (await plans.priced(work, plan)).values()
        if (deps.providers is None or price.provider in deps.providers) and not price.model.startswith("sandbox/fail-")
    ]


async def give_trial(work: Work, deps: Deps, organisation_ref: UUID, marks: Sequence[bytes]) -> bool:
    """The trial credit of a newcomer's organisation, once for each of ``trial_marks`` (decisions D10, D33)."""
    if not await limits.claim_trial(work, *marks):
        return False
    expires_at = deps.clock.now() + timedelta(days=TRIAL_DAYS)
    await topups.trial(work, organisation_ref, deps.trial_micros, expires_at=expires_at)
    return True


async def trial_marks(deps: Deps, email: Sealed[str]) -> list[bytes]:
    """Slow hashes of an address as its post box has it (case and ``+tag`` do not count), under each living pepper."""
    name, _, host = unicodedata.normalize("NFC", email.open("security").casefold()).rpartition("@")
    box = f"{name.partition('+')[0]}@{host}".encode()
    salts = deps.vault.keyed_hashes(LABEL_TRIAL, b"salt")
    return [await asyncio.to_thread(hashlib.scrypt, box, salt=salt, n=2**14, r=8, p=1, dklen=32) for salt in salts]


async def give_credit(
    work: Work, deps: Deps, organisation: Organisation, scope: str, amount_micros: int, reason: str, by: str
) -> tuple[UUID, bool]:
    """A credit by hand: the lot's id, and whether it is booked. A large one of a live installation waits for a second
    person than ``by``, the member who asks (decision D25). The reason may name people: it is sealed under the
    customer's billing key."""
    lot_id = ids.fresh()
    year = deps.clock.now().year
    sealed = await deps.vault.seal(REASON_COLUMN, organisation.id, lot_id, reason, year=year)
    if scope != "live":
        ref = organisation.organisation_ref
        return await topups.sandbox(work, ref, amount_micros, lot_id=lot_id, reason_sealed=sealed), True
    booked = await corrections.credit(
        work, organisation.organisation_ref, amount_micros, by=by, lot_id=lot_id, reason_sealed=sealed
    )
    return lot_id, booked is not None


async def take_back(
    work: Work, deps: Deps, organisation: Organisation, lot_id: UUID, reason: str, by: str
) -> tuple[UUID, int | None]:
    """Takes back what is left of a credit that nobody paid for: the correction's id, and what moved at once, None when
    it waits for a second person. Raises NotFound when the lot is not the organisation's; Conflict as
    ``corrections.void_lot``."""
    if lot_id not in {one.id for one in await accounts.lots(work, organisation.organisation_ref)}:
        raise NotFound("No such credit of this organisation.")
    wish_id = ids.fresh()
    year = deps.terms.fiscal_year(deps.clock.now())
    sealed = await deps.vault.seal(WISH_COLUMN, organisation.id, wish_id, reason, year=year)
    return wish_id, await corrections.void_lot(work, lot_id, by=by, wish_id=wish_id, reason_sealed=sealed)


async def reason(
    work: Work, deps: Deps, organisation_ref: UUID, column: str, row: UUID, sealed: bytes | None, at: datetime
) -> str:
    """Why somebody asked for a correction or refund, for whoever has to approve it; empty when that was erased."""
    organisation_id = None if sealed is None else await organisations.of_ref(work, organisation_ref)
    if sealed is None or organisation_id is None:
        return ""
    year = at.year if column == REASON_COLUMN else deps.terms.fiscal_year(at)
    try:
        opened = await deps.vault.open(column, organisation_id, row, bytes(sealed), purpose=PURPOSE, year=year)
    except NotFound:
        return ""
    return opened.open(PURPOSE)


async def make_key(
    work: Work, deps: Deps, organisation_id: UUID, organisation_ref: UUID, wish: keys.KeyWish, created_by: UUID | None
) -> keys.Created:
    """A key and, where it has one, its budget: a budgeted key cannot spend before its budget is put."""
    made = await keys.create(work, deps.vault, organisation_id, wish, created_by=created_by)
    if wish.budget_micros is not None and wish.budget_period is not None:
        await budgets.put(
            work, "key", made.id, organisation_ref, limit_micros=wish.budget_micros, period=wish.budget_period
        )
    return made


async def make_playground_key(
    work: Work, deps: Deps, organisation_id: UUID, organisation_ref: UUID, session_id: UUID
) -> keys.Created:
    """The 15-minute key of a session (decision D3), with a budget of its own."""
    made = await keys.create_for_playground(
        work, deps.vault, organisation_id, session_id, budget_micros=PLAYGROUND_MICROS
    )
    await budgets.put(work, "key", made.id, organisation_ref, limit_micros=PLAYGROUND_MICROS, period="total")
    return made
