"""Answer: what goes back besides the body - request id, cost, losses, limits - and how an exchange ends in an error."""

from __future__ import annotations

from collections.abc import Sequence

from ruxa.dialects.losses import Loss
from ruxa.gateway import meter, standing
from ruxa.gateway.exchange import Exchange, Gear
from ruxa.kernel.clock import monotonic
from ruxa.kernel.errors import CallerError, RuxaError

# Names of the request headers that steer an answer.
STRICT = b"ruxa-strict"
INLINE = b"ruxa-inline"
TIMING = b"ruxa-timing"

WHOLE_LINES = b"content-type: %b\r\nx-request-id: req_%032x\r\nruxa-cost-micros: %d\r\n"
STREAM_LINES = (
    b"content-type: %b\r\nx-request-id: req_%032x\r\nruxa-receipt: req_%032x\r\n"
    b"cache-control: no-cache\r\nx-accel-buffering: no\r\n"
)


def asks(exchange: Exchange, name: bytes) -> bool:
    """Whether the caller sent ``name: true``."""
    return exchange.request.headers.get(name, b"").lower() == b"true"


def head(exchange: Exchange, content_type: bytes, streamed: bool) -> bytes:
    """The header block of an answer. Not streamed: the exchange is settled, its cost is known."""
    if streamed:
        call = exchange.id
        lines = STREAM_LINES % (content_type, call, call)
    else:
        lines = WHOLE_LINES % (content_type, exchange.id, exchange.amount)
    target = exchange.target
    if target is not None and exchange.attempts:
        lines += target.told
    if exchange.dropped:
        # Of names that are no plain words the caller learns that there were some.
        shown = meter.named(exchange.dropped)
        rest = len(exchange.dropped) - len(shown)
        more = (f"{rest} more",) if rest else ()
        lines += b"ruxa-lossy: %b\r\n" % ", ".join((*shown, *more)).encode()
    patched = exchange.patched
    if patched is not None and patched.replaced:
        lines += b"ruxa-privacy: %b\r\n" % ", ".join(patched.replaced).encode("ascii", "replace")
    if exchange.found:
        lines += b"ruxa-guard: %b\r\n" % ", ".join(sorted(exchange.found)).encode()
    if exchange.notice:
        lines += b"ruxa-notice: %b\r\ndeprecation: true\r\n" % exchange.notice.encode("ascii", "replace")
    if exchange.output_cap is not None:
        lines += b"ruxa-output-cap: %d\r\n" % exchange.output_cap
    entry = exchange.entry
    if entry is not None and entry.limiter.limited:
        lines += standing.lines(exchange.dialect, entry.limiter, exchange.id >> 80)
    return lines + timing(exchange) if TIMING in exchange.request.headers else lines


def lose(exchange: Exchange, losses: Sequence[Loss]) -> None:
    """Name what did not come back with the answer, beside what did not go out with the call."""
    if losses:
        exchange.dropped = tuple(dict.fromkeys((*exchange.dropped, *(loss.name for loss in losses))))


def limits(exchange: Exchange) -> bytes:
    """The rate-limit headers of the caller's own key."""
    entry = exchange.entry
    return standing.lines(exchange.dialect, entry.limiter, exchange.id >> 80) if entry is not None else b""


def timing(exchange: Exchange) -> bytes:
    """``server-timing``, when asked for: how long Ruxa worked before the provider, and the provider's first byte."""
    if not exchange.planned_at:
        return b""
    ready = (exchange.planned_at - exchange.started) * 1000
    line = b"server-timing: plan;dur=%.3f" % ready
    if exchange.first_byte_at:
        line += b", upstream;dur=%.3f" % ((exchange.first_byte_at - exchange.planned_at) * 1000)
    return line + b", total;dur=%.3f\r\n" % ((monotonic() - exchange.started) * 1000)


def fail(gear: Gear, exchange: Exchange, error: RuxaError) -> None:
    """End an exchange with an error before anything was sent: usage row of amount 0, the dialect's own shape."""
    told(gear, exchange, error)
    rendered = exchange.dialect.error(error, exchange.request_id)
    if exchange.entry is not None:
        meter.settle(gear, exchange, rendered.status, error_code=error.code)
    exchange.reply.send(rendered.status, rendered.headers + limits(exchange), rendered.body)


def told(gear: Gear, exchange: Exchange, error: RuxaError) -> None:
    """Count the error and tell it to the operator, without anything of the caller's.

    ``call.failed`` names a provider, so it is told only of calls that reached one.
    """
    if exchange.attempts > 0:
        target = exchange.target
        gear.sink.emit(
            "call.failed",
            "warning",
            request_id=exchange.request_id,
            code=error.code,
            status=error.status,
            provider=None if target is None else target.provider.name,
            detail=error.detail,
        )
    else:
        gear.metrics.add("refused", 1, f'code="{error.code}"')
        gear.sink.emit(
            "call.refused",
            "debug" if isinstance(error, CallerError) else "warning",
            request_id=exchange.request_id,
            code=error.code,
            status=error.status,
            detail=error.detail,
        )
