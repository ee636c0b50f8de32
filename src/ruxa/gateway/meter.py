"""Meter: usage times price, exactly; the journal's CLOSE before the last byte; the lease settled; the row queued.

``settle`` ends an exchange. Whatever the outcome there is one usage row for a known key, and a charge only for what
the provider completely answered (D19) or, when the caller left, for what was made until then (D16).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import cast, get_args

import msgspec
from msgspec.structs import astuple

from ruxa.dialects.dialect import Endpoint, Finish, Load, Name
from ruxa.dialects.usage import Usage
from ruxa.gateway import routes
from ruxa.gateway.exchange import Exchange, Gear
from ruxa.gateway.journal import Segment
from ruxa.gateway.limits import Limiter
from ruxa.kernel.clock import monotonic
from ruxa.kernel.errors import Limited, RuxaError, Unavailable
from ruxa.ledger import packed, prices
from ruxa.ledger.usage import Source

# What a counted token stands for where the provider told nothing (D16); estimates, said so by ``usage_source``.
TEXT_BYTES_PER_TOKEN = 4
IMAGE_TOKENS = 1_000
MEDIA_BYTES_PER_TOKEN = 128
TOKENS_MAX = 2**31 - 1
# A dropped field's name is the caller's own word: in a header it could end the line, in a row it could be unbookable
# (a NUL) or somebody's address.
LOSSY_MAX = 12
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_.\-]{0,39}\Z")

NOTHING = Usage()
_NO_FIGURES: packed.Figures = (0, 0, 0, 0, 0, 0, 0, 0, 0)

_UNPLANNED: dict[tuple[str, str], bytes] = {
    (dialect, endpoint): packed.target("", None, None, dialect, endpoint, False)
    for dialect in get_args(Name)
    for endpoint in get_args(Endpoint)
}


def expected_tokens(load: Load) -> int:
    """About how many input tokens a call has."""
    return (
        load.text_bytes // TEXT_BYTES_PER_TOKEN
        + load.images * IMAGE_TOKENS
        + (load.media_bytes // MEDIA_BYTES_PER_TOKEN if load.documents or load.audios or load.videos else 0)
    )


def left(exchange: Exchange, made: Usage) -> Usage:
    """What was made for a caller who left before the provider told any figure: input and hidden thinking are estimates.

    made: the output that was received.
    """
    envelope, target = exchange.envelope, exchange.target
    assert envelope is not None
    assert target is not None
    made.input_tokens = expected_tokens(envelope.load)
    if envelope.load.reasoning:
        made.reasoning_tokens = target.reasoning_tokens
    return made


def cost_of(exchange: Exchange, usage: Usage) -> int:
    """What ``usage`` costs, in micros."""
    target = exchange.target
    return prices.charge(target.price, usage) if target is not None and exchange.reservation is not None else 0


def fits(exchange: Exchange, cost: int) -> bool:
    """Whether the hold covers ``cost``, extended from the lease's rest when need be; else ``Leases.extend``."""
    reservation = exchange.reservation
    return reservation is None or cost <= reservation.hold or reservation.extend(cost - reservation.hold)


def settle(
    gear: Gear,
    exchange: Exchange,
    status: int,
    usage: Usage = NOTHING,
    source: Source = "none",
    finish: Finish | None = None,
    error_code: str | None = None,
    charged: bool = True,
    cost: int | None = None,
    then: Callable[[Segment | None], None] | None = None,
) -> None:
    """End the exchange: row, charge, journal, lease, limits, counters. A second time does nothing.

    charged: False when the platform bears what was used; cost: ``cost_of`` the usage, if known already; then: called
    once the row is on file, at the end of the loop's turn at the latest, with its segment, or with None; it has to
    call ``booked``. Without ``then`` the row is on file and booked on return, else Unavailable is raised; what can't
    be journaled is not charged and must not be completed.
    """
    if exchange.done:
        return
    assert exchange.entry is not None
    exchange.status = status
    exchange.failed = error_code is not None
    exchange.ended = ended = monotonic()
    exchange.latency_ms = int((ended - exchange.started) * 1000)
    figures = _NO_FIGURES if usage is NOTHING else _priced(gear, exchange, usage, source, cost, charged)
    exchange.row = _row(exchange, status, figures, source, finish, error_code)
    exchange.done = True
    if then is not None and exchange.opened:
        gear.journal.close_in_turn(exchange.row, then)
        return
    try:
        segment = gear.journal.close(exchange.row) if exchange.opened else gear.journal.note(exchange.row)
    except Unavailable:
        if exchange.opened:
            gear.journal.abandon()
        if then is not None:
            then(None)
            return
        booked(gear, exchange, None)
        if exchange.amount:
            raise
    else:
        (then or partial(booked, gear, exchange))(segment)


def _priced(
    gear: Gear, exchange: Exchange, usage: Usage, source: Source, cost: int | None, charged: bool
) -> packed.Figures:
    """What is charged and what is waived of the usage's cost; gives the usage as a row can hold it."""
    figures = cast(packed.Figures, astuple(usage))
    total = sum(figures) - usage.images
    if total > TOKENS_MAX:
        usage, total, cost = bounded(usage), TOKENS_MAX, None
        figures = cast(packed.Figures, astuple(usage))
    exchange.tokens = total
    target, reservation = exchange.target, exchange.reservation
    if reservation is None or target is None:
        return figures
    amount = prices.charge(target.price, usage) if cost is None else cost
    if amount > exchange.hold and source == "provider":
        routes.weigh(gear, exchange, amount)
    if not charged or exchange.borne:
        exchange.waived = amount
    elif amount <= reservation.hold or reservation.extend(amount - reservation.hold):
        exchange.amount = amount
    else:
        exchange.amount, exchange.waived = reservation.hold, amount - reservation.hold
    return figures


def _row(
    exchange: Exchange,
    status: int,
    figures: packed.Figures,
    source: Source,
    finish: Finish | None,
    error_code: str | None,
) -> bytes:
    """The call's usage row."""
    entry, target, reservation, place = exchange.entry, exchange.target, exchange.reservation, exchange.place
    habit = exchange.habit
    assert entry is not None
    if habit is not None:
        payer, columns, price = habit.payer, habit.columns, habit.target.price_column
    elif target is None:
        payer = entry.payer("live" if entry.grant.livemode else "sandbox")
        columns, price = _UNPLANNED[place.dialect, place.endpoint], packed.NULL
    else:
        payer, price = entry.payer(target.scope), target.price_column
        columns = target.columns(place.dialect, place.endpoint, exchange.streams)
    amount, waived, started = exchange.amount, exchange.waived, exchange.started
    # What the provider said instead of an answer is no first token.
    first = exchange.first_byte_at if error_code is None or exchange.reply.started else 0.0
    return packed.pack(
        exchange.id,
        payer,
        reservation.lease.column if reservation is not None and (amount or waived) else packed.NULL,
        columns,
        status,
        error_code,
        finish,
        figures,
        source,
        price,
        amount,
        waived,
        exchange.hold,
        exchange.latency_ms,
        int((first - started) * 1000) if first else None,
        exchange.attempts,
        named(exchange.dropped) if exchange.dropped else (),
    )


def enter_model(exchange: Exchange, by_model: Mapping[str, Limiter], tokens: int) -> None:
    """Count the call and its estimated tokens in the limits of its model and of its key. Raises Limited."""
    entry, target, envelope = exchange.entry, exchange.target, exchange.envelope
    assert entry is not None
    assert target is not None
    assert envelope is not None
    limiter = by_model.get(target.model) or by_model.get(envelope.model)
    if limiter is not None:
        limiter.enter(exchange.started)
        if limiter.tokens is not None:
            try:
                limiter.expect(tokens, exchange.started)
            except Limited:
                limiter.undo()
                raise
    if entry.limiter.tokens is not None:
        try:
            exchange.expected = entry.limiter.expect(tokens, exchange.started)
        except Limited:
            if limiter is not None:
                limiter.undo(tokens)
            raise
    if limiter is not None:
        exchange.of_model = limiter
        if limiter.tokens is not None:
            exchange.expected = tokens


def booked(gear: Gear, exchange: Exchange, segment: Segment | None) -> None:
    """The row of ``settle`` is on file in that segment; None: it could not be written, so nothing is charged."""
    reservation, amount, waived = exchange.reservation, exchange.amount, exchange.waived
    charge = None
    if reservation is not None:
        if segment is not None and (amount or waived):
            reservation.settle(amount)
            charge = reservation
        else:
            reservation.release()
    if exchange.entered:
        assert exchange.entry is not None
        tokens = 0 if segment is None else exchange.tokens
        exchange.entry.limiter.leave(exchange.expected, tokens, exchange.ended)
        if exchange.of_model is not None:
            exchange.of_model.leave(exchange.expected, tokens, exchange.ended)
        gear.metrics.in_flight -= 1
    if exchange.repeat is not None:
        gear.after(exchange)
    if exchange.found:
        for kind, times in exchange.found.items():
            gear.metrics.add("guarded", times, f'reason="{kind}"')
    if segment is not None:
        gear.flusher.put((segment, exchange.row, charge))
        gear.metrics.ended(exchange.place.dialect, exchange.status, exchange.latency_ms, amount, waived)


def bounded(usage: Usage) -> Usage:
    """A provider's impossible figures, as far as a row can hold them."""
    return Usage(**{name: min(value, TOKENS_MAX) for name, value in msgspec.structs.asdict(usage).items()})


def named(dropped: tuple[str, ...]) -> tuple[str, ...]:
    """What was dropped as a row and a header may name it: plain words, at most twelve, the caller's other ones not."""
    return tuple(name for name in dropped if _PLAIN.match(name))[:LOSSY_MAX]


def counted(load: Load, output_bytes: int) -> Usage:
    """What a call used, where the provider does not tell: an estimate from sizes."""
    return Usage(
        input_tokens=expected_tokens(load),
        output_tokens=0 if load.inputs else output_bytes // TEXT_BYTES_PER_TOKEN,
    )


async def extend(gear: Gear, exchange: Exchange, cost: int) -> None:
    """Widen the hold to ``cost`` with the database's help; what can't be had is the platform's loss."""
    reservation = exchange.reservation
    if reservation is None:
        return
    try:
        await gear.leases.extend(reservation, cost - reservation.hold)
    except RuxaError as error:
        gear.sink.emit("ledger.finding", "warning", proof="hold_exceeded", value=error.code)


def settle_unmade(gear: Gear, exchange: Exchange) -> None:
    """The call ended before anything was made for it: the caller left, or our own stop cut it. Free."""
    if exchange.reply.cut:
        settle(gear, exchange, 503, error_code="stopping")
    else:
        settle(gear, exchange, 499, error_code="caller_left")


def settle_left(gear: Gear, exchange: Exchange, made: Usage, source: Source = "counted") -> None:
    """The caller left: charge what was made, at most the hold; the rest is the platform's loss (D16).

    What our own stop cut is free, whatever was made (D22).
    """
    with suppress(Unavailable):
        if exchange.reply.cut:
            settle(gear, exchange, 503, finish="error", error_code="stopping")
            return
        if source == "counted" and exchange.entry is not None and not exchange.done:
            gear.departures.note(exchange.entry.grant.organisation_ref)
            gear.metrics.add("left_uncounted")
        settle(gear, exchange, 499, usage=made, source=source, finish="error", error_code="caller_left")
