"""Relay: a stream from the provider to the caller, callback to callback, with usage read beside it.

Headers go out with the first frame that means something, or after 10 s (decision D15), so that an early error still
has its true status. A pause of the caller pauses the provider. The row is in the journal before the terminal event
goes out. A stream that dies ends in the dialect's own terminal error. A caller who leaves stops the provider at once
and pays for what was made until then; when the answer had ended and only the provider's figures are missing, they are
waited for (decision D16, ``departures``).
"""

from __future__ import annotations

from typing import Protocol

from ruxa.dialects.dialect import Reader
from ruxa.dialects.translated import Bridge
from ruxa.dialects.usage import Usage
from ruxa.egress.http import Answer
from ruxa.egress.timers import NEVER
from ruxa.gateway import answer as answers
from ruxa.gateway import meter
from ruxa.gateway.exchange import Exchange, Gear
from ruxa.kernel import bounds
from ruxa.kernel.clock import monotonic
from ruxa.kernel.errors import (
    Broken,
    CallerError,
    RuxaError,
    Unavailable,
    UpstreamBroken,
    UpstreamBusy,
    UpstreamError,
    UpstreamRefused,
)
from ruxa.ledger.usage import Source

HEARTBEAT_S = 15.0
# Dialects whose SDKs skip an SSE comment; google-genai takes one for a broken answer.
COMMENTED = ("openai_chat", "openai_responses", "anthropic_messages")


class Attempt(Protocol):
    """What began the stream and decides what follows when it fails before its first byte (``attempt.Attempt``)."""

    def again_or_fail(self, error: RuxaError) -> None:
        """Try again, if that is allowed still; else end with ``error``."""
        ...

    def elsewhere_or_fail(self, error: RuxaError) -> None:
        """Ask the next target, if there is one; else end with ``error``."""
        ...

    def fail(self, error: RuxaError) -> None:
        """End with ``error``."""
        ...


class Relay:
    """One stream under way. Watched by the wheel for its commit and its heartbeats."""

    __slots__ = (
        "_answer",
        "_attempt",
        "_exchange",
        "_gear",
        "_held",
        "_left",
        "_over",
        "_reader",
        "_reply",
        "_settling",
        "_slow",
        "_tail",
        "_upstream_ended",
        "due",
        "on_data",
    )

    def __init__(self, gear: Gear, exchange: Exchange, answer: Answer, attempt: Attempt) -> None:
        assert exchange.envelope is not None
        self._gear = gear
        self._exchange = exchange
        self._answer = answer
        self._attempt = attempt
        self._reply = exchange.reply
        crossing = exchange.crossing
        self._reader: Reader = exchange.dialect.stream(exchange.envelope) if crossing is None else crossing.stream()
        self._held: list[bytes] = []
        self._tail = b""  # the terminal bytes, held while the charge is being covered
        self._settling = False
        self._slow = False  # its first token took too long
        self._upstream_ended = False
        self._over = False
        self._left = False  # the caller is gone, the provider is still read
        self.due = NEVER
        self.on_data = self._peek

    def begin(self) -> None:
        """The provider said yes: wait for its first frame, but not longer than the caller's proxies do."""
        wheel, reply = self._gear.wheel, self._reply
        self.due = wheel.now + bounds.COMMIT_AFTER_S
        wheel.watch(self)
        if reply.gone:
            self._read_on(NEVER)
            return
        reply.on_gone = self._on_gone
        reply.on_pause = self._answer.pause
        reply.on_resume = self._answer.resume

    # --- before the headers

    def _peek(self, data: bytes) -> None:
        reader = self._reader
        out = reader.feed(data)
        if out:
            self._held.append(out)
        peek = reader.peek
        if peek == "waiting":
            return
        if peek == "error":
            self._early(reader.error or UpstreamBroken("The provider failed to answer."), told=True)
            return
        self._heard()
        self._start()

    def _heard(self) -> None:
        """The first frame that means something: how long it took may be held against the target."""
        exchange, target = self._exchange, self._exchange.target
        assert target is not None
        exchange.first_byte_at = monotonic()
        took_s = exchange.first_byte_at - exchange.asked_at
        if target.timed:
            target.pace.heard(took_s)
        if took_s > bounds.SLOW_FIRST_TOKEN_S:
            self._slow = True
            target.breaker.failed()

    def _start(self) -> None:
        """Headers and what was held; from now on every event passes at once."""
        exchange, held = self._exchange, self._held
        dialect, envelope = exchange.dialect, exchange.envelope
        assert envelope is not None
        content_type = dialect.content_type if envelope.array else dialect.stream_type
        if envelope.binary:
            content_type = self._answer.content_type() or b"application/octet-stream"
        self._reply.start(200, answers.head(exchange, content_type, True))
        self.on_data = self._answer.on_data = self._pass
        self.due = self._gear.wheel.now + HEARTBEAT_S
        out = held[0] if len(held) == 1 else b"".join(held)
        held.clear()
        self._out(out)

    def _early(self, error: RuxaError, *, told: bool = False) -> None:
        """The provider failed before anything went out: true status, and another try where it is safe.

        told: it said so itself, so that nothing was made.
        """
        self._stop()
        self._answer.cancel()
        target = self._exchange.target
        assert target is not None
        if isinstance(error, UpstreamError) and error.status >= 500:
            target.breaker.failed()
        if isinstance(error, UpstreamBusy):
            self._attempt.again_or_fail(error)
        elif told and isinstance(error, UpstreamError) and not isinstance(error, UpstreamRefused):
            self._attempt.elsewhere_or_fail(error)
        else:
            self._attempt.fail(error)

    # --- the stream itself

    def _await(self, data: bytes) -> None:
        """Headers went out before anything that means something had come."""
        self._pass(data)
        if self._reader.peek != "waiting" and not self._over and not self._left:
            self._heard()
            self.on_data = self._answer.on_data = self._pass

    def _pass(self, data: bytes) -> None:
        out = self._reader.feed(data)
        if self._reader.done:
            self._out(out)
        elif out:
            self._reply.write(out)
            self.due = self._gear.wheel.now + HEARTBEAT_S

    def _out(self, out: bytes) -> None:
        reader = self._reader
        if not reader.done or self._exchange.done:
            self._reply.write(out)
            return
        # The provider's answer is complete: the charge is on file before its last byte goes out.
        if self._settling:
            self._tail += out
            return
        usage, source = self._usage()
        cost = meter.cost_of(self._exchange, usage)
        self._tail = out
        if meter.fits(self._exchange, cost):
            self._finish(usage, source)
        else:
            self._settling = True
            self._gear.spawn(self._finish_slowly(usage, source, cost))

    async def _finish_slowly(self, usage: Usage, source: Source, cost: int) -> None:
        await meter.extend(self._gear, self._exchange, cost)
        self._settling = False
        self._finish(usage, source)
        if self._upstream_ended and not self._over:
            self._end()

    def _finish(self, usage: Usage, source: Source) -> None:
        exchange, reader = self._exchange, self._reader
        tail, self._tail = self._tail, b""
        target = exchange.target
        assert target is not None
        if not self._slow:
            target.breaker.succeeded()
        self._lose()
        try:
            meter.settle(self._gear, exchange, 200, usage=usage, source=source, finish=reader.finish)
        except Unavailable as error:
            self._die(error)
            return
        if exchange.dialect.name in COMMENTED and answers.asks(exchange, answers.INLINE):
            tail = inline(tail, exchange)
        self._reply.write(tail)

    def on_end(self) -> None:
        """The provider ended the stream."""
        try:
            self._upstream_ended = True
            tail = self._reader.end()
            if self._left:
                self.give_up()
                return
            error = self._reader.error
            if self._exchange.done:
                self._reply.write(tail)
                self._end()
            elif error is not None:
                self._failed(error, tail)
            else:
                if not self._reply.started:
                    if tail:
                        self._held.append(tail)
                    self._start()
                else:
                    self._out(tail)
                if not self._settling and not self._over:
                    self._end()
        except Exception:
            self._die(Broken("Something broke on our side."))
            raise

    def on_error(self, error: UpstreamError) -> None:
        """The provider broke off."""
        if self._left:
            self._forget()
            meter.settle_unmade(self._gear, self._exchange)
        elif self._exchange.done:
            self._end()
        else:
            self._failed(error, b"")

    def _failed(self, error: RuxaError, tail: bytes) -> None:
        target = self._exchange.target
        assert target is not None
        labels = f'provider="{target.provider.name}",code="{error.code}"'
        self._gear.metrics.add("upstream_failures", 1, labels)
        if not self._reply.started:
            self._early(error)
            return
        withheld = isinstance(error, CallerError)
        if not withheld:
            target.breaker.failed()
        self._reply.write(tail)
        self._die(error, charged=withheld)

    def _die(self, error: RuxaError, *, charged: bool = False) -> None:
        """The dialect's terminal error event instead of the rest; nothing is charged for a torso.

        charged: the provider did its work, and the caller may not have it (D22).
        """
        if self._over:
            return
        exchange = self._exchange
        self._stop()
        self._answer.cancel()
        answers.told(self._gear, exchange, error)
        if not exchange.done:
            usage, source = self._usage()
            meter.settle(
                self._gear,
                exchange,
                200,
                usage=usage,
                source=source,
                finish="error",
                error_code=error.code,
                charged=charged,
            )
        if self._reply.started and exchange.envelope is not None and exchange.envelope.binary:
            self._reply.abort()  # half a file must not look like a whole one
        elif self._reply.started:
            self._reply.write(self._reader.fail(error, exchange.request_id))
            self._reply.end()
        else:
            self._attempt.fail(error)

    def _end(self) -> None:
        self._stop()
        if not self._exchange.done:
            # The provider ended without its terminal event and without an error: complete as far as it can tell.
            self._lose()
            usage, source = self._usage()
            try:
                meter.settle(self._gear, self._exchange, 200, usage=usage, source=source, finish=self._reader.finish)
            except Unavailable as error:
                self._die(error)
                return
        self._reply.end()

    def _lose(self) -> None:
        """What the stream held and the translation could not, for the call's row."""
        if isinstance(self._reader, Bridge):
            answers.lose(self._exchange, self._reader.losses)

    def _stop(self) -> None:
        self._over = True
        self.due = NEVER
        self._gear.wheel.drop(self)
        reply = self._reply
        reply.on_gone = reply.on_pause = reply.on_resume = None

    # --- time and the caller

    def expire(self) -> None:
        """The wheel: commit to a slow stream, keep proxies awake, or wait no longer for who has left."""
        if self._left:
            self.give_up()
            return
        self.due = self._gear.wheel.now + HEARTBEAT_S
        if not self._reply.started:
            self._start()
            if self._reader.peek == "waiting" and not self._over:
                self.on_data = self._answer.on_data = self._await
        if not self._reply.paused:
            self._reply.write(self._reader.heartbeat())

    def _on_gone(self) -> None:
        """The caller left: what becomes of the call (D16)."""
        gear, exchange = self._gear, self._exchange
        gear.metrics.add("gone")
        if exchange.done or self._settling:
            # While the charge of a complete answer is being covered, that goes on as if the caller were there.
            self._stop()
            self._answer.cancel()
            return
        assert exchange.entry is not None
        wait_s = 0.0
        if not self._reply.cut:
            ending = self._reader.finish is not None and not self._told()
            wait_s = gear.departures.wait_s(exchange.entry.grant.organisation_ref, ending=ending)
        if wait_s:
            self._read_on(gear.wheel.now + wait_s)
        else:
            self.give_up()

    def _read_on(self, until: float) -> None:
        self._left = True
        self.due = until
        self._held.clear()
        self._gear.departures.begin(self)
        self.on_data = self._answer.on_data = self._watch
        self._answer.resume()

    def _watch(self, data: bytes) -> None:
        """What comes after the caller left goes nowhere; it is read for the figures."""
        reader = self._reader
        reader.feed(data)
        if reader.done or reader.error is not None or self._told():
            self.give_up()

    def _told(self) -> bool:
        """The provider has given its last figures."""
        return self._reader.finish is not None and self._reader.usage is not None

    def give_up(self) -> None:
        """The caller is gone: stop the provider now; what was made until now is charged, nothing after its failure."""
        self._forget()
        if self._reader.error is not None and self._left:
            meter.settle_unmade(self._gear, self._exchange)
        else:
            meter.settle_left(self._gear, self._exchange, *self._made(left=True))

    def _forget(self) -> None:
        self._stop()
        self._gear.departures.end(self)
        self._answer.cancel()

    def _usage(self) -> tuple[Usage, Source]:
        """The provider's figures, or ours where it gave none."""
        usage = self._reader.usage
        if usage is not None:
            return usage, self._source()
        return self._made()

    def _source(self) -> Source:
        """Who counted what the reader tells: of a file, we did - exactly, where its price is by the character."""
        exchange = self._exchange
        if exchange.envelope is None or not exchange.envelope.binary:
            return "provider"
        return "policy" if exchange.target is not None and exchange.target.price.units == "characters" else "counted"

    def _made(self, *, left: bool = False) -> tuple[Usage, Source]:
        """What was made until now: the provider's final figures; else its figures so far, at least what passed."""
        reader, envelope = self._reader, self._exchange.envelope
        assert envelope is not None
        known = reader.usage
        if known is not None and reader.finish is not None:
            return known, "provider"
        made = reader.counted()
        if known is None:
            if left:
                return meter.left(self._exchange, made), "counted"
            made.input_tokens = meter.expected_tokens(envelope.load)
            return made, "counted"
        more = made.output_tokens > known.output_tokens
        if more:
            known.output_tokens = made.output_tokens
        # Of a caller who left these are not the last figures: more may have been made than they tell.
        return known, "counted" if more or left else "provider"


def inline(tail: bytes, exchange: Exchange) -> bytes:
    """The cost as an SSE comment before the terminal event (``ruxa-inline: true``, decision D17)."""
    comment = b": ruxa-cost-micros %d\n: ruxa-receipt %b\n\n" % (exchange.amount, exchange.request_id.encode())
    at = tail.rfind(b"\n\n", 0, max(len(tail) - 2, 0))
    return tail[: at + 2] + comment + tail[at + 2 :] if at >= 0 else comment + tail
