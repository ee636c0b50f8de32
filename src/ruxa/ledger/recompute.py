"""Recompute: what a call must have cost, from its usage row and the price version that the row names, and from nothing
else; beside what was charged, and what the list says for the same."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec

from ruxa.ledger import activity, prices
from ruxa.ledger.activity import Call
from ruxa.ledger.prices import Price, Term
from ruxa.store.work import Work


class Recomputed(msgspec.Struct, frozen=True, kw_only=True):
    """A charge made anew. price: the version the row names, None for a call that never had one, in force from ``since``
    to ``until``; terms: units times rates, in millionths of a micro; micros: their sum, rounded up; list_micros: the
    same units at the list's rates.
    """

    call: Call
    price: Price | None
    since: datetime | None
    until: datetime | None
    terms: tuple[Term, ...]
    micros: int
    list_micros: int

    @property
    def booked_micros(self) -> int:
        """What the row says: charged, and borne by the platform."""
        return self.call.amount_micros + self.call.waived_micros

    @property
    def holds(self) -> bool:
        """The row says what follows from it (proof I11)."""
        return self.booked_micros == self.micros


async def call(work: Work, request_id: UUID) -> Recomputed | None:
    """One call by its x-request-id; None when there is none (any more)."""
    found = await activity.find(work, request_id)
    if found is None:
        return None
    version = None if found.price_id is None else await prices.by_id(work, found.price_id)
    if version is None:
        return Recomputed(call=found, price=None, since=None, until=None, terms=(), micros=0, list_micros=0)
    price, since, until = version
    listed = None if price.list_id is None else await prices.by_id(work, price.list_id)
    return Recomputed(
        call=found,
        price=price,
        since=since,
        until=until,
        terms=prices.terms(price, found),
        micros=prices.charge(price, found),
        list_micros=prices.charge(price if listed is None else listed[0], found),
    )
