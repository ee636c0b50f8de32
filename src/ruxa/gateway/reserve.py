"""Reserve: the most a call can cost, held on credit that this worker has in hand (decisions D20, D21).

The fast path takes it from the current lease without waiting. When little is free the hold shrinks to what there is,
and the request's output cap with it (low-balance mode); only then is the caller's cap changed, and the answer says so.
"""

from __future__ import annotations

import msgspec

from ruxa.dialects.dialect import Endpoint, Load
from ruxa.gateway.exchange import Exchange, Gear
from ruxa.kernel.errors import InsufficientCredit
from ruxa.ledger import quotes

FREE: frozenset[Endpoint] = frozenset({"count_tokens"})
EMBEDDING: frozenset[Endpoint] = frozenset({"embeddings", "embed", "batch_embed"})
# Below this many tokens an answer is worth nothing: better a clear 402.
OUTPUT_TOKENS_LEAST = 16


def draw(gear: Gear, exchange: Exchange) -> bool:
    """Hold the call's worst case at once; False when ``borrow`` has to ask. Raises Unsupported for unbounded costs."""
    place, envelope, target, entry = exchange.place, exchange.envelope, exchange.target, exchange.entry
    assert envelope is not None
    assert target is not None
    assert entry is not None
    if place.endpoint in FREE:
        return True
    grant = entry.grant
    embeds = place.endpoint in EMBEDDING
    hold = exchange.hold = quotes.worst(
        target.price,
        envelope.load,
        output_tokens_default=grant.output_tokens_default,
        output=not embeds,
        cache=not embeds,
    )
    exchange.reservation = gear.leases.draw(grant.organisation_ref, target.scope, grant.budget_scope, hold)
    return exchange.reservation is not None


async def borrow(gear: Gear, exchange: Exchange) -> None:
    """Hold it with the database's help. Raises InsufficientCredit, Unavailable."""
    envelope, target, entry = exchange.envelope, exchange.target, exchange.entry
    assert envelope is not None
    assert target is not None
    assert entry is not None
    grant, hold, least = entry.grant, exchange.hold, exchange.hold
    embeds = exchange.place.endpoint in EMBEDDING
    if not embeds:
        least = quotes.worst(
            target.price,
            capped(envelope.load, OUTPUT_TOKENS_LEAST),
            output_tokens_default=OUTPUT_TOKENS_LEAST,
        )
    reservation = exchange.reservation = await gear.leases.reserve(
        grant.organisation_ref, target.scope, grant.budget_scope, hold, least=min(least, hold)
    )
    if reservation.hold < hold:
        cap = quotes.affordable_output(target.price, envelope.load, reservation.hold)
        if cap < 1:
            raise InsufficientCredit("The prepaid balance does not cover this call. Add credit.")
        exchange.output_cap = cap
        exchange.hold = reservation.hold


def capped(load: Load, tokens: int) -> Load:
    """The same call with at most that many output tokens."""
    cap = tokens if load.output_cap is None else min(load.output_cap, tokens)
    return msgspec.structs.replace(load, output_cap=cap)
