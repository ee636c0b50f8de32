"""Habit: what the calls of one key and one shape have in common, worked out once: where they go, what of their rows
is equal, and how what they can cost grows with their text.

Kept beside the shape (``dialects.shape``) as long as the plans stand; what a habit does not cover goes the long way.
"""

from __future__ import annotations

from ruxa.dialects.dialect import Dialect, Envelope
from ruxa.gateway import reserve
from ruxa.gateway.plan import Plans, Target
from ruxa.gateway.snapshot import Entry
from ruxa.ledger import quotes
from ruxa.ledger.leases import Purse

NEVER = quotes.Line(rate=0, fixed=0, tokens_max=-1)


class Habit:
    """plans: the version of the plans it was made of; head: of the request to the provider, without the caller's own
    headers; payer, columns: of the usage row; line: the hold of a call of text alone; beyond: what an answer without a
    cap can cost beyond its hold, in micros; purse: where the last such call drew."""

    __slots__ = ("beyond", "columns", "head", "line", "payer", "plans", "purse", "target")

    def __init__(self, envelope: Envelope, dialect: Dialect, entry: Entry, plans: Plans, target: Target) -> None:
        """target: the one that all of them go to as they are (``Plans.single``)."""
        self.plans = plans.version
        self.target = target
        place = envelope.place
        self.head = target.head(dialect, place)
        self.payer = entry.payer(target.scope)
        self.columns = target.columns(place.dialect, place.endpoint, envelope.stream)
        self.purse: Purse | None = None
        self.line = NEVER
        self.beyond = 0
        if place.endpoint not in reserve.FREE and place.endpoint not in reserve.EMBEDDING:
            price, load = target.price, envelope.load
            line = self.line = quotes.line(price, load, entry.grant.output_tokens_default)
            if load.output_cap is None:
                longest = quotes.line(price, load, price.output_tokens_max or quotes.OUTPUT_TOKENS_UNKNOWN_MAX)
                self.beyond = quotes.micros(max(longest.fixed - line.fixed, 0))
