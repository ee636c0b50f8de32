"""Collection: what processors know is fetched and becomes facts: after hints, by polling, from their event lists.

Every function may run at any time, twice at once, and be killed: what a processor is asked to do carries a key of its
own, and what it says is noted by ``payments.facts``, which counts once. While a processor is asked no transaction is
open.

============  ==================================================================================
``hints``     as soon as one is told (``payment_hint``)
``soon``      every 10 s: hints, refunds that were approved, balances below their threshold, charges whose
              answer was lost, answers to disputes
``poll``      every 30 s: orders that wait, the older the less often, so that no webhook is needed for money to arrive
``missed``    every 10 minutes: what the event lists have and we were never told
``report``    once a day: the processors' own books, and what went to the bank
============  ==================================================================================
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Final

import msgspec

from ruxa.egress import processor as processing
from ruxa.egress.processor import Entry, Fact, NeedsAction, Processor, ProcessorRefused
from ruxa.kernel import bounds
from ruxa.kernel.clock import Clock
from ruxa.kernel.errors import Broken, CallerError, NotFound, RuxaError, UpstreamError
from ruxa.kernel.sealed import Sealed
from ruxa.kernel.signals import Sink
from ruxa.ledger.documents import profile
from ruxa.ledger.documents.seller import Terms
from ruxa.ledger.documents.tax import Place
from ruxa.ledger.payments import auto, disputes, facts, inbox, limits, orders
from ruxa.ledger.payments import refunds as back
from ruxa.ledger.payments.auto import Attempt, Due
from ruxa.ledger.payments.disputes import Dispute
from ruxa.ledger.payments.orders import Order
from ruxa.store.pool import Pool
from ruxa.store.vault import Vault

PRINCIPAL: Final = "collection"
# The event by which Stripe tells that a card was refused.
REFUSED: Final = "charge.failed"
LABEL_CARD: Final = "payment-card"
EVIDENCE_COLUMN: Final = "payment.evidence.text_sealed"
PURPOSE: Final = "billing"
AT_ONCE: Final = 4
BATCH: Final = 50
POLL_AFTER_S: Final = 45
# So long every processor surely knows a charge by its key (Stripe forgets keys after a day, PayPal after six hours):
# asked again later it would charge again.
KEY_LIVES: Final = timedelta(hours=5)
_OVERLAP: Final = timedelta(minutes=10)
_LONGEST_LOOK: Final = timedelta(days=bounds.EVENTS_LOOK_DAYS)
_SHORTEST_LOOK: Final = timedelta(minutes=1)
# The event of a payment, by PayPal's name: what is read for it says what went back, too.
_CAPTURED: Final = "PAYMENT.CAPTURE.COMPLETED"
# Refusals that say nothing about this refund: our key, or the processor's own state.
_NOT_ABOUT_IT: Final = frozenset(
    {"processor_key_refused", "processor_away", "processor_nonsense", "processor_key_reused"}
)
_FACT_ORDER: Final = {"capture": 0, "fee": 1, "refund": 2, "dispute": 3, "payout": 4}


class Collection:
    """For one worker: the processors there are, and what else it needs.

    base_url: of our own pages, where a customer goes on when a charge needs them; terms: what a top-up that nobody is
    asked about is taxed with.
    """

    def __init__(
        self,
        pool: Pool,
        vault: Vault,
        processors: Mapping[str, Processor],
        *,
        clock: Clock,
        signals: Sink,
        base_url: str,
        terms: Terms,
    ) -> None:
        self._pool = pool
        self._vault = vault
        self._processors = processors
        self._clock = clock
        self._signals = signals
        self._base_url = base_url
        self._terms = terms
        self._turn = asyncio.Semaphore(AT_ONCE)

    # --- facts

    async def note(self, processor: str, found: Sequence[Fact]) -> int:
        """Makes facts count, each in a transaction of its own; how many were of orders of ours.

        A payment that names no order of ours is somebody else's business with the same account.
        """
        ours = sorted((one for one in found if one.order_id is not None or one.kind == "payout"), key=_place)
        for fact in ours:
            mark = self._mark(processor, fact)
            async with self._pool.work(PRINCIPAL) as work:
                await facts.note(work, processor, fact, fingerprint_hash=mark, signals=self._signals)
        return len(ours)

    async def look(self, order: Order) -> int:
        """Asks about one order and notes what is said; an approved one is captured."""
        assert order.ext_id is not None
        processor = self._processors[order.processor]
        return await self.note(order.processor, await processor.capture(order.id, order.ext_id))

    async def hints(self) -> int:
        """Looks where hints point, until none is left; how many were looked at."""
        count = 0
        for name in self._processors:
            while True:
                async with self._pool.work(PRINCIPAL) as work:
                    due = await inbox.due(work, processor=name, limit=BATCH)
                await asyncio.gather(*(self._hint(one) for one in due))
                count += len(due)
                if len(due) < BATCH:
                    break
        return count

    async def _hint(self, due: inbox.Due) -> None:
        async with self._turn:
            try:
                found = await self._read(due)
                noted = await self.note(due.processor, found)
                if due.kind == REFUSED:
                    await self._refused(due.processor, found)
            except (ProcessorRefused, UpstreamError) as error:
                self._failed(due.processor, "hint", error)
                async with self._pool.work(PRINCIPAL) as work:
                    await inbox.failed(work, due.processor, due.event_id, error.code)
                return
            async with self._pool.work(PRINCIPAL) as work:
                await inbox.done(work, due.processor, due.event_id, what="done" if noted else "ignored")

    async def _refused(self, processor: str, found: Sequence[Fact]) -> None:
        """A card was refused on the processor's page: it counts against whoever tried it, and against the card.

        The payment itself stays open there: another card may pay it.
        """
        for fact in found:
            if fact.kind != "capture" or fact.order_id is None:
                continue
            async with self._pool.work(PRINCIPAL) as work:
                order = await orders.find(work, fact.order_id)
                if order is not None:
                    await limits.declined(work, order.organisation_ref, None, self._mark(processor, fact))

    def _mark(self, processor: str, fact: Fact) -> bytes | None:
        """The keyed hash of a card's fingerprint."""
        if fact.card is None:
            return None
        return self._vault.keyed_hash(LABEL_CARD, f"{processor}:{fact.card.fingerprint}".encode())

    async def _read(self, due: inbox.Due) -> list[Fact]:
        """The object of a hint; when it is the checkout of an order of ours, what is approved is captured too."""
        processor = self._processors[due.processor]
        if due.order_id is not None:
            async with self._pool.work(PRINCIPAL) as work:
                order = await orders.find(work, due.order_id)
            if order is not None and order.processor == due.processor and order.ext_id == due.ext_id:
                return await processor.capture(order.id, due.ext_id)
        return await processor.read(due.kind, due.ext_id)

    async def poll(self, *, seconds: int = POLL_AFTER_S) -> int:
        """Asks about orders that wait for money longer than ``seconds``; then ends those that nobody will pay."""
        count = 0
        for name, processor in self._processors.items():
            if processor.recipient is None:
                continue
            async with self._pool.work(PRINCIPAL) as work:
                waiting = await orders.open_older(work, seconds, processor=name)
            await asyncio.gather(*(self._polled(order) for order in waiting))
            count += len(waiting)
        async with self._pool.work(PRINCIPAL) as work:
            await orders.expire(work)
        return count

    async def _polled(self, order: Order) -> None:
        async with self._turn:
            try:
                await self.look(order)
            except (ProcessorRefused, UpstreamError) as error:
                self._failed(order.processor, "poll", error)

    async def missed(self) -> int:
        """Puts into the inbox what the event lists have and we were never told; how much was new.

        Read from where the last good look ended, however long ago, as far back as processors list events.
        """
        new = 0
        now = self._clock.now()
        async with self._pool.work(PRINCIPAL) as work:
            if not await orders.listed(work, limit=1):
                return 0  # nobody ever wanted to pay: nothing can have been missed, and a demo's processor sleeps on
        for name, processor in self._processors.items():
            if "events" not in processor.capabilities:
                continue
            async with self._pool.work(PRINCIPAL) as work:
                looked = await inbox.looked(work, name, livemode=processor.livemode)
            since = now - _LONGEST_LOOK if looked is None else max(looked - _OVERLAP, now - _LONGEST_LOOK)
            try:
                new += await self._look_through(name, processor, since, now)
            except (ProcessorRefused, UpstreamError) as error:
                self._failed(name, "events", error)
        return new

    async def _look_through(self, name: str, processor: Processor, since: datetime, now: datetime) -> int:
        """The list of events from ``since`` on, in looks as long as the processor's pages allow; how much was new."""
        new = 0
        length = max(now - since, _SHORTEST_LOOK)
        while since < now:
            until = min(since + length, now)
            try:
                found = await processor.events(since, until)
            except ProcessorRefused as refusal:
                if refusal.code != processing.TOO_MUCH or length <= _SHORTEST_LOOK:
                    raise
                length = max(length // 4, _SHORTEST_LOOK)
                continue
            for hint in found:
                async with self._pool.work(PRINCIPAL) as work:
                    new += await inbox.put(work, name, hint)
            async with self._pool.work(PRINCIPAL) as work:
                await inbox.put_looked(work, name, until, livemode=processor.livemode)
            since = until
        return new

    # --- what goes out

    async def soon(self) -> None:
        """What should not wait long, each apart from the others' failures."""
        failed: RuxaError | None = None
        for part in (self.hints, self.refunds, self.top_up, self.evidence):
            try:
                await part()
            except RuxaError as error:
                failed = error
        if failed is not None:
            raise failed

    async def refunds(self) -> int:
        """Sends the refunds that were approved, each with its id as key; how many were taken."""
        async with self._pool.work(PRINCIPAL) as work:
            due = await back.due(work)
        done = 0
        for refund in due:
            processor = self._processors.get(refund.processor)
            if processor is None or "refund" not in processor.capabilities:
                continue  # staff gives it back and says so
            try:
                if refund.tries > 1 and await self._went_out(processor, refund):
                    continue
                fact = await processor.refund(refund.capture_ext_id, refund.amount_minor, refund.id)
            except (ProcessorRefused, UpstreamError) as error:
                self._failed(refund.processor, "refund", error)
                final = isinstance(error, ProcessorRefused) and error.known and error.code not in _NOT_ABOUT_IT
                async with self._pool.work(PRINCIPAL) as work:
                    await back.refused(work, refund.id, error.code, final=final)
                continue
            async with self._pool.work(PRINCIPAL) as work:
                await back.sent(work, refund.id, msgspec.structs.replace(fact, order_id=refund.order_id))
            done += 1
        return done

    async def _went_out(self, processor: Processor, refund: back.Refund) -> bool:
        """Whether a refund whose answer was lost was made all the same: its key may be forgotten by now."""
        await self.note(refund.processor, await processor.read(_CAPTURED, refund.capture_ext_id))
        async with self._pool.work(PRINCIPAL) as work:
            now = await back.find(work, refund.id)
        return now is None or now.state != "sending"

    async def evidence(self) -> int:
        """Sends staff's answers to disputes; how many."""
        async with self._pool.work(PRINCIPAL) as work:
            due = await disputes.evidence_due(work)
        done = 0
        for dispute in due:
            processor = self._processors.get(dispute.processor)
            if processor is None or dispute.evidence_sealed is None:
                continue
            text = await self._answer(dispute)
            try:
                await processor.submit_evidence(dispute.ext_id, text.open(PURPOSE))
            except (ProcessorRefused, UpstreamError) as error:
                self._failed(dispute.processor, "evidence", error)
                continue
            async with self._pool.work(PRINCIPAL) as work:
                await disputes.evidence_sent(work, dispute.id)
            done += 1
        return done

    async def _answer(self, dispute: Dispute) -> Sealed[str]:
        """What staff wrote: sealed under the billing key of its fiscal year, this one or the last."""
        assert dispute.evidence_sealed is not None
        async with self._pool.work(PRINCIPAL) as work:
            subject = await profile.subject_of(work, dispute.organisation_ref)
        year = self._terms.fiscal_year(self._clock.now())
        for one in (year, year - 1):
            try:
                return await self._vault.open(
                    EVIDENCE_COLUMN, subject, dispute.id, dispute.evidence_sealed, purpose=PURPOSE, year=one
                )
            except (NotFound, Broken):
                if one != year:
                    raise
        raise AssertionError("one of two years opened it, or said why not")

    async def top_up(self) -> int:
        """Charges saved methods where a balance is below its threshold, and goes on where a worker died charging."""
        async with self._pool.work(PRINCIPAL) as work:
            begun = await auto.unfinished(work)
            due = await auto.due(work)
        for attempt in begun:
            await self._charge(attempt)
        for wish in due:
            attempt = await self._begin(wish)
            if attempt is not None:
                begun.append(attempt)
                await self._charge(attempt)
        return len(begun)

    async def _begin(self, wish: Due) -> Attempt | None:
        if wish.processor not in self._processors:
            return None
        async with self._pool.work(PRINCIPAL) as work:
            written = await profile.find(work, self._vault, wish.organisation_ref)
            place = Place() if written is None else written.party.open(profile.PURPOSE).place
            engine = self._terms.engine
            amount = auto.within_cap(wish, lambda minor: engine.quote(minor, place).tax_minor)
            if amount is None:
                return None
            wish = msgspec.structs.replace(wish, amount_micros=amount)
            quote = engine.quote(amount // orders.MICROS_PER_MINOR, place)
            tax_micros = quote.tax_minor * orders.MICROS_PER_MINOR
            return await auto.begin(work, wish, tax_micros=tax_micros, tax_code=quote.code)

    async def _charge(self, attempt: Attempt) -> None:
        """One charge, its outcome noted; without an answer it stays open and is charged again with the same key, for as
        long as the processor knows that."""
        processor = self._processors.get(attempt.processor)
        async with self._pool.work(PRINCIPAL) as work:
            order = await orders.find(work, attempt.order_id)
        if processor is None or order is None:
            return
        over = order.state in ("failed", "canceled", "expired")
        saved = attempt.saved if attempt.is_kept else None
        if over or saved is None or self._clock.now() - attempt.begun_at > KEY_LIVES:
            # One that a bank still carries out waits; of one that nobody answered, the list of events will tell.
            if over or order.state == "open":
                code = "payment_failed" if over else "no_answer" if saved is not None else "method_removed"
                async with self._pool.work(PRINCIPAL) as work:
                    await auto.ended(work, attempt.id, processing.Declined(code=code, retry=True))
            return
        outcome: Fact | processing.Declined | NeedsAction
        billing = f"{self._base_url}/billing"
        try:
            told = orders.told(order, success_url=billing, cancel_url=billing)
            outcome = await processor.charge_saved(attempt.customer or "", saved, told, attempt.id)
        except (ProcessorRefused, UpstreamError) as error:
            self._failed(attempt.processor, "charge", error)
            if not isinstance(error, ProcessorRefused) or not error.known or error.code in _NOT_ABOUT_IT:
                return
            outcome = processing.Declined(code=error.code, retry=True)
        if isinstance(outcome, NeedsAction):
            # A page that is none of the processor's own is nowhere to send anybody.
            known = processing.leads_to(processor, outcome.url)
            outcome = NeedsAction(url=outcome.url if known else f"{billing}/auto", ext_id=outcome.ext_id)
        if isinstance(outcome, Fact):
            async with self._pool.work(PRINCIPAL) as work:
                await orders.bind(work, order.id, outcome.ext_id, None)
            await self.note(attempt.processor, [outcome])
        async with self._pool.work(PRINCIPAL) as work:
            await auto.ended(work, attempt.id, outcome)

    # --- books

    async def report(self, name: str, day: date) -> list[Entry]:
        """The processor's books of a day; payouts in them are read and noted on the way, and fees that are lines of
        their own, of which nothing else tells. Raises as the processor.
        """
        processor = self._processors[name]
        entries = await processor.report(day)
        for entry in entries:
            if entry.kind == "payout" and entry.source != entry.ext_id:
                await self.note(name, await processor.read("payout", entry.source))
            elif entry.kind == "fee" and entry.net_minor < 0 and processor.account:
                async with self._pool.work(PRINCIPAL) as work:
                    await facts.note(work, name, _fee(entry, processor), signals=self._signals)
        return entries

    def reporting(self) -> list[str]:
        """The names of the processors that have books to compare with."""
        return [name for name, one in self._processors.items() if "report" in one.capabilities]

    def _failed(self, processor: str, kind: str, error: RuxaError) -> None:
        assert not isinstance(error, CallerError)
        self._signals.emit("payment.failed", "warning", provider=processor, kind=kind, code=error.code)


def _fee(entry: Entry, processor: Processor) -> Fact:
    """What a line of the processor's books says that it keeps."""
    return Fact(
        kind="fee",
        ext_id=entry.source,
        order_id=None,
        amount_minor=-entry.net_minor,
        currency=entry.currency,
        status="succeeded",
        rank=processing.RANKS["succeeded"],
        at=entry.at,
        livemode=processor.livemode,
        account=processor.account,
    )


def _place(fact: Fact) -> int:
    return _FACT_ORDER[fact.kind]
