"""Reserve: the most a call can cost, held on credit that this worker has in hand (decisions D20, D21).

The fast path takes it from the current lease without waiting. When little is free the hold shrinks to what there is,
and the request's output cap with it (low-balance mode); only then is the caller's cap changed, and the answer says so.
"""

from __future__ import annotations

import msgspec

from ruxa.dialects.dialect import Endpoint, Envelope, Load
from ruxa.gateway.exchange import Exchange, Gear, Habit
from ruxa.kernel.errors import InsufficientCredit, NoUpstream
from ruxa.ledger import quotes
from ruxa.ledger.leases import Reservation
from ruxa.ledger.prices import Price

FREE: frozenset[Endpoint] = frozenset({"count_tokens"})
EMBEDDING: frozenset[Endpoint] = frozenset({"embeddings", "embed", "batch_embed"})
# What is made at once, at a price that its envelope bounds.
MADE: frozenset[Endpoint] = frozenset(
    {"images", "image_edits", "speech", "transcriptions", "translations", "moderations"}
)
# The hold is all that such a call can cost: it has no cap that could be lowered.
FIXED = EMBEDDING | MADE
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
    if target.closed:
        raise NoUpstream(
            f"{target.model} is closed: its provider counted more for a call than was held. The operator has been told "
            "and opens it again. This call was not made and costs nothing.",
            code="route_closed",
        )
    if exchange.habit is not None and _draw_usual(exchange, exchange.habit, envelope.load):
        return True
    grant = entry.grant
    fixed = place.endpoint in FIXED
    if envelope.claims and unsized(envelope):
        envelope.load.file_ids += 1
    hold = exchange.hold = most(place.endpoint, target.price, envelope.load, grant.output_tokens_default)
    if not hold and place.endpoint in MADE:
        return True  # its price says that it is free
    purse = gear.leases.find(grant.organisation_ref, target.scope, grant.budget_scope)
    if exchange.habit is not None:
        exchange.habit.purse = purse
    reservation = None if purse is None else purse.draw(hold)
    if reservation is None:
        return False
    if not fixed and reservation.lease.available < beyond(exchange):
        reservation.release()
        return False
    exchange.reservation = reservation
    return True


def most(endpoint: Endpoint, price: Price, load: Load, output_tokens_default: int) -> int:
    """The most that a call can cost, in micros. Raises Unsupported for unbounded costs."""
    if endpoint in MADE:
        return quotes.made(price, load)
    answers = endpoint not in EMBEDDING
    return quotes.worst(price, load, output_tokens_default=output_tokens_default, output=answers, cache=answers)


def _draw_usual(exchange: Exchange, habit: Habit, load: Load) -> bool:
    """The same for a call of text alone whose kind is known: False when it has to be looked at."""
    line, purse = habit.line, habit.purse
    tokens = quotes.FRAME_TOKENS - (-load.text_bytes // quotes.TEXT_BYTES_PER_TOKEN)
    if (
        purse is None
        or tokens > line.tokens_max
        or load.media_bytes
        or load.images
        or load.documents
        or load.audios
        or load.videos
    ):
        return False
    hold = exchange.hold = -(-(tokens * line.rate + line.fixed) // 1_000_000)
    reservation = purse.draw(hold)
    if reservation is None:
        return False
    if reservation.lease.available < habit.beyond:
        reservation.release()
        return False
    exchange.reservation = reservation
    return True


def unsized(envelope: Envelope) -> bool:
    """Whether the provider will fetch something whose length nobody knows: it may fill the model's whole input.

    An image has a worst case of its own, wherever it comes from.
    """
    load = envelope.load
    long = load.documents or load.audios or load.videos
    return any(claim.name == "url:document" or (claim.name == "url:file" and long) for claim in envelope.claims)


def beyond(exchange: Exchange) -> int:
    """What an answer without a cap can cost beyond its hold, in micros: the model's longest instead of the default."""
    envelope, target = exchange.envelope, exchange.target
    assert envelope is not None
    assert target is not None
    if envelope.load.output_cap is not None or exchange.hold <= 0:
        return 0
    longest = target.price.output_tokens_max or quotes.OUTPUT_TOKENS_UNKNOWN_MAX
    return max(quotes.worst(target.price, envelope.load, output_tokens_default=longest) - exchange.hold, 0)


async def borrow(gear: Gear, exchange: Exchange) -> None:
    """Hold it with the database's help. Raises InsufficientCredit, Unavailable."""
    envelope, target, entry = exchange.envelope, exchange.target, exchange.entry
    assert envelope is not None
    assert target is not None
    assert entry is not None
    grant, hold, least = entry.grant, exchange.hold, exchange.hold
    fixed = exchange.place.endpoint in FIXED
    if not fixed:
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
    elif not fixed:
        await _cover(gear, exchange, reservation)


async def requote(gear: Gear, exchange: Exchange) -> None:
    """The same for another target of the call: the hold grows when that one is dearer, never over the balance.

    Raises InsufficientCredit, Unavailable, NoUpstream, Unsupported.
    """
    envelope, target, entry, reservation = exchange.envelope, exchange.target, exchange.entry, exchange.reservation
    assert envelope is not None
    assert target is not None
    assert entry is not None
    if exchange.place.endpoint in FREE:
        return
    if target.closed:
        raise NoUpstream(f"{target.model} is closed.", code="route_closed")
    hold = most(exchange.place.endpoint, target.price, envelope.load, entry.grant.output_tokens_default)
    if reservation is None or reservation.lease_id is None:
        if hold:  # it was free so far, so nothing of any lease is held
            await _pay_after_all(gear, exchange, hold)
        return
    if exchange.output_cap is not None:
        cap = quotes.affordable_output(target.price, envelope.load, reservation.hold)
        if cap < OUTPUT_TOKENS_LEAST:
            raise InsufficientCredit("The prepaid balance does not cover this call. Add credit.")
        exchange.output_cap = cap
        return
    more = hold - reservation.hold
    if more > 0 and not reservation.extend(more):
        await gear.leases.extend(reservation, more)
    exchange.hold = hold
    if exchange.place.endpoint not in FIXED:
        await _cover(gear, exchange, reservation)


async def _pay_after_all(gear: Gear, exchange: Exchange, hold: int) -> None:
    """A call that was free is to cost something at another target."""
    free = exchange.reservation
    exchange.hold = hold
    await borrow(gear, exchange)
    if free is not None:
        free.release()
    held = exchange.reservation
    if not exchange.opened and held is not None:
        gear.journal.open(exchange.id, held.lease.raw, held.hold)
        exchange.opened = True


async def _cover(gear: Gear, exchange: Exchange, reservation: Reservation) -> None:
    """An answer without a cap must be payable to its last token; where it is not, its length is capped."""
    envelope, target = exchange.envelope, exchange.target
    assert envelope is not None
    assert target is not None
    more = beyond(exchange)
    if reservation.lease.available >= more:
        return
    try:
        await gear.leases.extend(reservation, more)
    except InsufficientCredit:
        reservation.extend(max(reservation.lease.available, 0))
        exchange.output_cap = quotes.affordable_output(target.price, envelope.load, reservation.hold)


def capped(load: Load, tokens: int) -> Load:
    """The same call with at most that many output tokens."""
    cap = tokens if load.output_cap is None else min(load.output_cap, tokens)
    return msgspec.structs.replace(load, output_cap=cap)
