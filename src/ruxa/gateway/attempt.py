"""Attempt: one try of a call at its target, by callbacks - sent, answered, classified, tried again or ended.

A call is tried again only when its work is known not to have been done (decision D15): nothing of it was sent, or the
provider said 429, 503 or 529. What is unknown ends as ``outcome_unknown`` and is not charged. The answer of a whole
call passes untouched once its usage is read; a stream is handed to ``relay``.
"""

from __future__ import annotations

import asyncio

import msgspec

from ruxa.access.grants import OwnKey
from ruxa.dialects.dialect import Answer as Found
from ruxa.dialects.dialect import Finish
from ruxa.dialects.usage import Usage
from ruxa.egress.http import Answer
from ruxa.egress.timers import NEVER
from ruxa.gateway import answer as answers
from ruxa.gateway import meter, reserve
from ruxa.gateway.exchange import Exchange, Gear
from ruxa.gateway.journal import Segment
from ruxa.gateway.relay import Relay
from ruxa.kernel import bounds
from ruxa.kernel.clock import monotonic
from ruxa.kernel.errors import (
    Broken,
    CallerError,
    InsufficientCredit,
    NoUpstream,
    RuxaError,
    Unauthenticated,
    Unavailable,
    UpstreamBroken,
    UpstreamBusy,
    UpstreamError,
    UpstreamRefused,
)
from ruxa.ledger import prices
from ruxa.ledger.usage import Source

BACKOFF_S = (0.1, 0.4)
# A provider that asks for more patience than this is not asked again on the caller's time.
PATIENCE_S = 2
ERROR_BYTES_MAX = 256 * 1024
# The provider refused us, not the call: another one may do it.
OURS = frozenset({"upstream_denied", "insufficient_quota", "own_key_refused", "own_key_quota"})


def refused(provider: str, own: OwnKey, error: RuxaError) -> CallerError:
    """What the caller is told when a provider refuses the organisation's own key, or its account there is empty."""
    shown = f" (it ends in {own.ending})" if own.ending else ""
    if error.code == "insufficient_quota":
        return InsufficientCredit(
            f"Your organisation's own account at {provider} has no credit left; its key{shown} was used for this call. "
            "Your balance here is not meant.",
            code="own_key_quota",
            detail=error.detail,
        )
    return Unauthenticated(
        f"{provider} refused your organisation's own key{shown}. Replace or remove it at /api/v1/provider-keys. "
        "Your API key here is fine.",
        code="own_key_refused",
        detail=error.detail,
    )


class Attempt(msgspec.Struct, eq=False):
    """The tries of one exchange; the same object is used for all of them."""

    _gear: Gear
    _exchange: Exchange
    _answer: Answer | None = None
    _again: asyncio.TimerHandle | None = None
    _pieces: list[bytes] = []
    _size: int = 0
    _left: bool = False  # the caller is gone, the provider is still read

    def send(self) -> None:
        """Ask the target, unless its breaker is open."""
        exchange = self._exchange
        target, patched = exchange.target, exchange.patched
        assert target is not None
        assert patched is not None
        if target.breaker.open_until and not target.breaker.allows():
            self.elsewhere_or_fail(
                NoUpstream(
                    f"{target.model} keeps failing and is given a pause.",
                    code="target_paused",
                    retry_after_s=target.breaker.wait_s(),
                )
            )
            return
        exchange.attempts += 1
        exchange.first_byte_at = 0.0
        exchange.asked_at = monotonic()
        answer = self._answer = target.upstream.ask(exchange.head, patched.pieces, self._gear.deadlines)
        if patched.replaced:
            target.upstream.stand_ins += 1
        assert exchange.envelope is not None
        if exchange.envelope.stream:
            answer.on_head = self._on_head
        else:
            answer.on_first = self._on_first
        answer.on_error = self._on_error
        exchange.reply.on_gone = self._on_gone

    # --- what the provider says

    def _on_first(self, body: bytes | None) -> None:
        """The head is there, and for most calls all of the answer."""
        self._exchange.first_byte_at = monotonic()
        answer = self._answer
        assert answer is not None
        if body is not None:
            self._end(answer, body)
        else:
            answer.on_data = self._on_data
            answer.on_end = self._on_end

    def _on_head(self) -> None:
        """The head of what may become a stream."""
        exchange, answer = self._exchange, self._answer
        assert answer is not None
        exchange.first_byte_at = monotonic()
        if 200 <= answer.status < 300:
            self._forget()
            relay = Relay(self._gear, exchange, answer, self)
            answer.on_data = relay.on_data
            answer.on_end = relay.on_end
            answer.on_error = relay.on_error
            relay.begin()
        else:
            answer.on_data = self._on_data
            answer.on_end = self._on_end

    def _on_data(self, data: bytes) -> None:
        self._pieces.append(data)
        self._size += len(data)
        answer = self._answer
        assert answer is not None
        if self._size > (bounds.ANSWER_BYTES_MAX if answer.status < 300 else ERROR_BYTES_MAX):
            answer.cancel()
            self._broken("The provider's answer is too large.", "answer_too_large")

    def _on_end(self) -> None:
        pieces = self._pieces
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self._size = 0
        assert self._answer is not None
        self._end(self._answer, body)

    def _end(self, answer: Answer, body: bytes) -> None:
        try:
            if 200 <= answer.status < 300:
                self._whole(answer.status, body)
            else:
                self._refused(answer, body)
        except Exception:
            self.fail(Broken("Something broke on our side."))
            raise

    def _whole(self, status: int, body: bytes) -> None:
        exchange = self._exchange
        envelope, target, reservation = exchange.envelope, exchange.target, exchange.reservation
        assert envelope is not None
        assert target is not None
        crossing = exchange.crossing
        found = exchange.dialect.answer(envelope, body) if crossing is None else crossing.answer(body, envelope.load)
        if found.error is not None:
            if isinstance(found.error, CallerError):
                self._withhold(found, found.error)
                return
            target.breaker.failed()
            self.fail(found.error)
            return
        target.breaker.succeeded()
        if target.timed:
            target.pace.heard(exchange.first_byte_at - exchange.asked_at)
        exchange.reply.on_gone = None
        usage = found.usage
        source: Source = "provider"
        if usage is None:
            usage, source = meter.counted(envelope.load, len(body)), "counted"
        elif found.counted:
            source = "counted"
        if self._left:
            self._forget()
            meter.settle_left(self._gear, exchange, usage, source)
            return
        if exchange.place.endpoint in reserve.FREE:
            usage, source = meter.NOTHING, "none"
        if crossing is not None:
            body = crossing.body
            answers.lose(exchange, crossing.losses)
        self._pieces.append(body)
        cost = 0 if reservation is None else prices.charge(target.price, usage)
        if reservation is None or cost <= reservation.hold or meter.fits(exchange, cost):
            meter.settle(self._gear, exchange, status, usage, source, found.finish, None, True, cost, self._written)
        else:
            self._gear.spawn(self._settle_slowly(usage, source, found.finish, cost))

    def _withhold(self, found: Found, error: CallerError) -> None:
        """The provider did its work, and the caller may not have it: it costs what it cost (D22)."""
        exchange, target = self._exchange, self._exchange.target
        assert target is not None
        target.breaker.succeeded()
        self._forget()
        exchange.reply.on_gone = None
        rendered = exchange.dialect.error(error, exchange.request_id)
        answers.told(self._gear, exchange, error)
        usage: Usage = meter.NOTHING if found.usage is None else found.usage
        source: Source = "none" if found.usage is None else "provider"
        try:
            meter.settle(self._gear, exchange, rendered.status, usage, source, found.finish, error.code)
        except Unavailable as away:
            self._refuse_unjournaled(away)
            return
        exchange.reply.send(rendered.status, rendered.headers + answers.limits(exchange), rendered.body)

    async def _settle_slowly(self, usage: Usage, source: Source, finish: Finish | None, cost: int) -> None:
        gear, exchange, answer = self._gear, self._exchange, self._answer
        assert answer is not None
        await meter.extend(gear, exchange, cost)
        meter.settle(gear, exchange, answer.status, usage, source, finish, None, True, cost, self._written)

    def _written(self, segment: Segment | None) -> None:
        """The charge is on file, so the answer may go out; or it never will be, so it must not."""
        exchange, answer = self._exchange, self._answer
        assert answer is not None
        meter.booked(self._gear, exchange, segment)
        body = self._pieces.pop()
        if segment is not None:
            told = answer.content_type() if exchange.crossing is None else None
            content_type = told or exchange.dialect.content_type
            exchange.reply.send(answer.status, answers.head(exchange, content_type, False), body)
        else:
            self._refuse_unjournaled(
                Unavailable("The journal can't be written now. Try again shortly.", code="journal_unavailable")
            )

    def _refuse_unjournaled(self, error: Unavailable) -> None:
        exchange = self._exchange
        answers.told(self._gear, exchange, error)
        rendered = exchange.dialect.error(error, exchange.request_id)
        exchange.reply.send(rendered.status, rendered.headers, rendered.body)

    def _refused(self, answer: Answer, body: bytes) -> None:
        target = self._exchange.target
        assert target is not None
        copy = self._exchange.reply.copy
        if copy is not None:
            copy.refused(body)
        crossing = self._exchange.crossing
        dialect = self._exchange.dialect if crossing is None else crossing.dialect
        error = dialect.upstream_error(answer.status, answer.headers, body)
        if isinstance(error, UpstreamRefused) or error.code == "upstream_denied" or answer.status == 429:
            target.breaker.answered()
        else:
            target.breaker.failed()
        if target.own is not None and error.code in OURS:
            error = refused(target.provider.name, target.own, error)
        if answer.status in (429, 503, 529) and isinstance(error, UpstreamBusy):
            self.again_or_fail(error)
        elif error.code in OURS:
            self.elsewhere_or_fail(error)
        else:
            self.fail(error)

    def _on_error(self, error: UpstreamError) -> None:
        answer, target = self._answer, self._exchange.target
        assert answer is not None
        assert target is not None
        self._pieces.clear()
        self._size = 0
        target.breaker.failed()
        self._gear.metrics.add("upstream_failures", 1, f'provider="{target.provider.name}",code="{error.code}"')
        if answer.sent == "none" and not answer.answered and isinstance(error, UpstreamBroken | NoUpstream):
            self.again_or_fail(error)
        else:
            self.fail(error)

    # --- what follows

    def again_or_fail(self, error: RuxaError) -> None:
        """Try again after a moment, if tries and patience are left; else end with ``error``."""
        exchange = self._exchange
        if self._left:
            self._forget()
            meter.settle_unmade(self._gear, exchange)
            return
        if exchange.rest:
            self.elsewhere_or_fail(error)
            return
        tries = exchange.attempts
        waits = error.retry_after_s
        if tries >= bounds.ATTEMPTS_MAX or (waits is not None and waits > PATIENCE_S):
            self.fail(error)
            return
        self._gear.metrics.add("retries")
        delay = BACKOFF_S[min(tries, len(BACKOFF_S)) - 1] if waits is None else max(float(waits), BACKOFF_S[0])
        exchange.reply.on_gone = self._on_gone
        self._again = self._gear.loop.call_later(delay, self._retry)

    def elsewhere_or_fail(self, error: RuxaError) -> None:
        """The target did not do it, for sure: ask the next one that may stand in; else end with ``error``."""
        exchange = self._exchange
        if self._left:
            self._forget()
            meter.settle_unmade(self._gear, exchange)
        elif exchange.rest:
            self._gear.spawn(self._elsewhere(error))
        else:
            self.fail(error)

    async def _elsewhere(self, error: RuxaError) -> None:
        exchange = self._exchange
        while exchange.rest and not exchange.reply.gone:
            target, *rest = exchange.rest
            exchange.rest = tuple(rest)
            if target.breaker.resting():
                continue
            try:
                await self._gear.turn(exchange, target)
            except RuxaError:
                continue  # it can't go there: the caller is told what went wrong where it could
            except BaseException:
                self.fail(Broken("Something broke on our side."))
                raise
            if not exchange.reply.gone:
                self._gear.metrics.add("fallbacks", 1, f'provider="{target.provider.name}"')
                self.send()
                return
        if exchange.reply.gone:
            meter.settle_unmade(self._gear, exchange)
        else:
            self.fail(error)

    def _retry(self) -> None:
        self._again = None
        self.send()

    def fail(self, error: RuxaError) -> None:
        """End the exchange with an error; nothing was sent to the caller yet."""
        self._forget()
        self._exchange.reply.on_gone = None
        answers.fail(self._gear, self._exchange, error)

    def _broken(self, text: str, code: str) -> None:
        target = self._exchange.target
        assert target is not None
        target.breaker.failed()
        self.fail(UpstreamBroken(text, code=code))

    def _on_gone(self) -> None:
        """The caller left before the answer: what becomes of the call (D16)."""
        gear, exchange, answer = self._gear, self._exchange, self._answer
        gear.metrics.add("gone")
        if self._again is not None:
            self._again.cancel()
            meter.settle_unmade(gear, exchange)
            return
        if answer is None or answer.done:
            return
        if answer.sent != "all" or exchange.reservation is None or exchange.reply.cut:
            answer.cancel()
            meter.settle_unmade(gear, exchange)
            return
        assert exchange.entry is not None
        ending = 200 <= answer.status < 300
        wait_s = gear.departures.wait_s(exchange.entry.grant.organisation_ref, ending=ending)
        if not wait_s:
            self.give_up()
            return
        self._left = True
        gear.departures.begin(self)
        if wait_s != NEVER:
            self._again = gear.loop.call_later(wait_s, self.give_up)

    def give_up(self) -> None:
        """The caller is gone: stop the provider now and charge what it was given to read and may have thought."""
        answer, exchange = self._answer, self._exchange
        assert answer is not None
        assert exchange.envelope is not None
        self._forget()
        answer.cancel()
        embeds = exchange.place.endpoint in reserve.FIXED
        made = meter.counted(exchange.envelope.load, 0)
        meter.settle_left(self._gear, exchange, made if embeds else meter.left(exchange, made))

    def _forget(self) -> None:
        """No longer read for a caller who has left."""
        if self._left:
            self._left = False
            self._gear.departures.end(self)
            if self._again is not None:
                self._again.cancel()
                self._again = None
