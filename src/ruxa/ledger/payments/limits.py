"""Limits against abuse: how often may be paid from one place or with one card, who gets a trial, how much needs two.

Marks are keyed hashes that the caller makes, under keys of their own; they end by themselves and name nobody.
"""

from __future__ import annotations

from typing import Final, Literal
from uuid import UUID

from ruxa.kernel.errors import Conflict
from ruxa.ledger.payments import records
from ruxa.store.work import Work

Bound = Literal[
    "four_eyes_micros", "orders_hour", "orders_day", "address_hour", "address_day", "card_organisations_day",
    "declines_day", "trial_mark_days",
]  # fmt: skip
TRIAL_MARK_DAYS: Final = 365


async def check(
    work: Work, organisation_ref: UUID, address_block_hash: bytes | None = None, fingerprint_hash: bytes | None = None
) -> None:
    """Counts one try to pay, before a checkout is made. Raises Conflict ``payment_velocity`` and counts nothing.

    address_block_hash: keyed hash of the caller's /24 or /48.
    """
    if await work.value(records.VELOCITY, organisation_ref, address_block_hash, fingerprint_hash) is not None:
        raise Conflict(
            "Too many payments in a short time; try again later.", code="payment_velocity", retry_after_s=3600
        )


async def declined(
    work: Work, organisation_ref: UUID, address_block_hash: bytes | None = None, fingerprint_hash: bytes | None = None
) -> bool:
    """Counts a declined charge (``facts.note`` does so itself); True when it was one too many for ``check``."""
    over: bool = await work.value(records.DECLINED, organisation_ref, address_block_hash, fingerprint_hash)
    return over


async def claim_trial(work: Work, *marks: bytes) -> bool:
    """Whether none of these marks (slow keyed hashes of the normalised address, of a card) had a trial; now they have.

    Ends after ``trial_mark_days``; nothing ties a mark to an organisation.
    """
    new: bool = await work.value(records.TRIAL_CLAIM, list(marks))
    return new


async def bound(work: Work, name: Bound) -> int:
    """A limit in force."""
    value: int = await work.value(records.BOUND, name)
    return value


async def put_bound(work: Work, name: Bound, value: int) -> None:
    """The operator's own limit. Raises Conflict when it is negative or unknown."""
    await work.run(records.BOUND_PUT, name, value)
