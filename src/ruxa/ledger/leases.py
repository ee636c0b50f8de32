"""Leases: credit lent to one worker, spent in memory without a database round trip while it lasts.

A **Purse** is what one worker has in hand for one organisation, scope (D10) and budget. It draws on its current
**Lease**; a call holds a **Reservation** of it from admission to its end. Leases are opened, renewed, trimmed and
closed in the background: a lease serves draws for 80 % of its life by the monotonic clock, measured from before the
database was asked; an idle one is given back, not renewed; when little is free each call gets a lease of its own size.

Order that the caller keeps (D19): ``reserve`` -> OPEN in the journal -> upstream -> CLOSE in the journal with
``reservation.lease_id`` -> ``settle`` -> the row is flushed -> ``flushed``. ``settle`` means a row with the lease's id
follows; ``release`` means none does. A lease closes once nothing of it is in flight and all its rows are flushed.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Iterable
from contextlib import AbstractAsyncContextManager
from functools import partial
from operator import attrgetter
from typing import Any, Protocol
from uuid import UUID

import msgspec

from ruxa.kernel import bounds, ids
from ruxa.kernel.clock import Clock, monotonic
from ruxa.kernel.errors import InsufficientCredit, RuxaError, Unavailable
from ruxa.kernel.signals import Sink
from ruxa.ledger import packed, records
from ruxa.ledger.usage import UsageRow
from ruxa.store.work import Work

# Shares and paces of the life of a lease (seconds unless said otherwise).
SERVED_SHARE = 0.8
RENEW_AFTER_S = 10.0
TRIM_AFTER_S = 1.0
TICK_S = 0.25
REFILL_PAUSE_S = 0.5
FORGET_AFTER_S = 120.0
# A first lease is worth this many holds, later ones this many seconds of the measured rate.
FIRST_HOLDS = 32
BURN_S = 60
# Pauses between the tries after a recall; their sum is the longest a 402 waits.
RECALL_PAUSES_S = (0.02, 0.04, 0.06, 0.12)
PARALLEL = 4

_NO_LEASE = UUID(int=0)

_REFUSALS = {
    "insufficient_credits": "The prepaid balance does not cover this call. Add credit, or lower max output tokens.",
    "key_budget_exceeded": "The budget of this key does not cover this call.",
    "organisation_budget_exceeded": "The budget of this organisation does not cover this call.",
    "spending_frozen": "Spending is stopped until somebody of this service has looked at it; write to the support.",
}


class Works(Protocol):
    """Where units of work come from; ``store.pool.Pool`` is one."""

    def work(self, principal: str = "system") -> AbstractAsyncContextManager[Work]:
        """One transaction."""
        ...


class Intent(msgspec.Struct, frozen=True):
    """What the journal writes before the database is asked for a lease; ``close_all`` takes them back on recovery."""

    lease_id: UUID
    organisation_ref: UUID
    scope: str


class Lease:
    """Money lent to this worker. ``amount == available + reserved + spent``; all in micros.

    turn: held while the database is asked to change its amount; wanted: what the calls that wait for more ask together;
    calls: reservations in flight; unflushed: settled calls whose rows are not in the database yet; deadline: the
    monotonic instant after which it serves no further draw.
    """

    __slots__ = (
        "amount",
        "available",
        "calls",
        "closing",
        "column",
        "deadline",
        "id",
        "opened_at",
        "purse",
        "raw",
        "reserved",
        "retired_at",
        "spent",
        "trimming",
        "turn",
        "unflushed",
        "used_at",
        "wanted",
    )

    def __init__(self, purse: Purse, lease_id: UUID, amount: int, opened_at: float, deadline: float) -> None:
        self.purse = purse
        self.id = lease_id
        self.raw = lease_id.bytes
        self.column = packed.NULL if lease_id is _NO_LEASE else packed.uuid(lease_id)  # as a packed usage row has it
        self.amount = amount
        self.available = amount
        self.reserved = 0
        self.spent = 0
        self.calls = 0
        self.unflushed = 0
        self.opened_at = opened_at
        self.deadline = deadline
        self.used_at = opened_at
        self.retired_at: float | None = None
        self.trimming = False
        self.closing = False
        self.wanted = 0
        self.turn = asyncio.Lock()

    @property
    def quiet(self) -> bool:
        """Nothing in flight, nothing to flush."""
        return self.calls == 0 and self.unflushed == 0


class Reservation(msgspec.Struct, eq=False):
    """One call's hold on a lease. Ends once, by ``settle`` or ``release``; a second end changes nothing."""

    lease: Lease
    hold: int
    open: bool = True

    @property
    def lease_id(self) -> UUID | None:
        """For the usage row; None when the call holds nothing because it is free of charge."""
        return None if self.lease.id is _NO_LEASE else self.lease.id

    def settle(self, amount: int) -> None:
        """The call cost ``amount`` micros; the rest goes back to the lease. A row with ``lease_id`` must follow."""
        if not self.open:
            return
        self.open = False
        lease = self.lease
        lease.available += self.hold - amount
        lease.reserved -= self.hold
        lease.spent += amount
        lease.unflushed += 1
        lease.calls -= 1

    def release(self) -> None:
        """Nothing is charged and no row names the lease."""
        if not self.open:
            return
        self.open = False
        lease = self.lease
        lease.available += self.hold
        lease.reserved -= self.hold
        lease.calls -= 1
        if lease.retired_at is not None and lease.quiet:
            lease.purse.wake()

    def extend(self, more: int) -> bool:
        """``more`` micros from the same lease, at once; False when it has not so much (then ``Leases.extend``)."""
        lease = self.lease
        if not self.open or lease.available < more:
            return False
        lease.available -= more
        lease.reserved += more
        self.hold += more
        return True


class _Waiter:
    __slots__ = ("future", "hold", "least")

    def __init__(self, hold: int, least: int, future: asyncio.Future[Reservation]) -> None:
        self.hold = hold
        self.least = least
        self.future = future


class Purse:
    """What this worker has in hand for one organisation, scope and budget."""

    __slots__ = (
        "budgets",
        "current",
        "draining",
        "hold",
        "opener",
        "organisation_ref",
        "pause_until",
        "rate",
        "recalled",
        "refill",
        "scope",
        "used_at",
        "waiters",
        "wake",
    )

    def __init__(self, organisation_ref: UUID, scope: str, budget_scope: str | None, wake: Callable[[], None]) -> None:
        self.organisation_ref = organisation_ref
        self.scope = scope
        self.budgets: list[str] = [] if budget_scope is None else [f"key:{budget_scope}"]
        self.wake = wake
        self.current: Lease | None = None
        self.draining: list[Lease] = []
        self.waiters: deque[_Waiter] = deque()
        self.opener: asyncio.Task[None] | None = None
        self.refill = False
        self.recalled = False
        self.pause_until = 0.0
        self.rate = 0
        self.hold = 1
        self.used_at = monotonic()

    def draw(self, hold: int) -> Reservation | None:
        """``hold`` micros of the current lease, now; None when it has not so much or its time is over.

        A hold of 0 (a price that is explicitly zero) needs no lease and no money.
        """
        if hold <= 0:
            return Reservation(Lease(self, _NO_LEASE, 0, 0.0, 0.0), 0)
        lease = self.current
        if lease is None or lease.available < hold:
            return None
        now = monotonic()
        if now >= lease.deadline:
            return None
        lease.used_at = now
        lease.available -= hold
        lease.reserved += hold
        lease.calls += 1
        self.hold = hold
        return Reservation(lease, hold)

    @property
    def leases(self) -> list[Lease]:
        """The current lease and those that drain."""
        return self.draining if self.current is None else [self.current, *self.draining]


class _Opened(msgspec.Struct):
    lease: Lease | None
    refusal: str
    free: int
    elsewhere: int


class Leases:
    """All purses of one gateway worker; belongs to one event loop.

    works: the gateway login's pool; worker, run: as in the journal (``usage.run_begin``); workers: how many share the
    balances; intent: called before each lease is asked for, must have written it to the journal when it returns.
    """

    def __init__(
        self,
        works: Works,
        *,
        worker: str,
        run: int,
        workers: int,
        clock: Clock,
        signals: Sink,
        intent: Callable[[Intent], None],
        ttl_s: int = bounds.LEASE_TTL_S,
    ) -> None:
        self.works = works
        self.worker = worker
        self.run_number = run
        self.workers = workers
        self.clock = clock
        self.signals = signals
        self.intent = intent
        self.ttl_s = ttl_s
        self._purses: dict[tuple[UUID, str, str | None], Purse] = {}
        self._by_lease: dict[UUID, Lease] = {}
        self._doubtful: list[Intent] = []
        self._wake = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._parallel = asyncio.Semaphore(PARALLEL)
        self._base_ms = 0
        self._base_at = 0.0
        self._stopping = False

    # -- the hot path: no I/O

    def purse(self, organisation_ref: UUID, scope: str, budget_scope: str | None = None) -> Purse:
        """The purse of one organisation, scope and budget (the key's id in hex), made when new."""
        key = (organisation_ref, scope, budget_scope)
        purse = self._purses.get(key)
        if purse is None:
            purse = self._purses[key] = Purse(organisation_ref, scope, budget_scope, self._wake.set)
            self._wake.set()
        return purse

    def find(self, organisation_ref: UUID, scope: str, budget_scope: str | None) -> Purse | None:
        """The purse, if there is one. One that was let go later gives nothing any more."""
        return self._purses.get((organisation_ref, scope, budget_scope))

    def draw(self, organisation_ref: UUID, scope: str, budget_scope: str | None, hold: int) -> Reservation | None:
        """``hold`` micros without waiting, or None: then ``reserve``."""
        purse = self._purses.get((organisation_ref, scope, budget_scope))
        return None if purse is None else purse.draw(hold)

    def now_ms(self, at: float | None = None) -> int:
        """The database's time in milliseconds since 1970, as learnt at the last lease plus the monotonic clock, which
        shows ``at`` now, if that is known."""
        if not self._base_ms:
            return self.clock.unix_ms()
        return self._base_ms + int(((monotonic() if at is None else at) - self._base_at) * 1000)

    def flushed(self, rows: Iterable[UsageRow]) -> None:
        """These rows are in the database (or were refused by it): leases that wait for them may close."""
        known = (self._by_lease.get(row.lease_id) for row in rows if row.lease_id is not None)
        self._written(filter(None, known))

    def settled(self, reservations: Iterable[Reservation]) -> None:
        """As ``flushed``, for rows whose reservations are at hand."""
        self._written(map(attrgetter("lease"), reservations))

    def _written(self, leases: Iterable[Lease]) -> None:
        for lease, rows in Counter(leases).items():
            if lease.id is not _NO_LEASE:
                lease.unflushed -= rows
                if lease.retired_at is not None and lease.quiet:
                    self._wake.set()

    def recall(self, payload: str) -> None:
        """NOTIFY ``lease_recall``: somebody needs what this worker holds unused for the organisation ``payload``."""
        try:
            organisation_ref = UUID(payload)
        except ValueError:
            return
        for purse in self._purses.values():
            if purse.organisation_ref == organisation_ref:
                purse.recalled = True
        self._wake.set()

    # -- with I/O

    async def reserve(
        self, organisation_ref: UUID, scope: str, budget_scope: str | None, hold: int, *, least: int | None = None
    ) -> Reservation:
        """``hold`` micros; at least ``least`` when so little is free (``reservation.hold`` says how much it became).

        Raises InsufficientCredit with a code of ``_REFUSALS``; Unavailable when the database is away and what is in
        hand is spent, or while stopping.
        """
        purse = self.purse(organisation_ref, scope, budget_scope)
        if not purse.waiters:
            found = purse.draw(hold)
            if found is not None:
                return found
        if self._stopping:
            raise Unavailable("This process is stopping; try again.", code="stopping", retry_after_s=1)
        waiter = _Waiter(hold, hold if least is None else least, asyncio.get_running_loop().create_future())
        purse.waiters.append(waiter)
        self._kick(purse)
        try:
            return await waiter.future
        except asyncio.CancelledError:
            if waiter.future.done() and not waiter.future.cancelled() and waiter.future.exception() is None:
                waiter.future.result().release()
            raise

    async def extend(self, reservation: Reservation, more: int) -> None:
        """``more`` micros for a call in flight (a stream that passes its hold). Raises as ``reserve``."""
        if reservation.extend(more):
            return
        lease = reservation.lease
        refusal: str | None = None
        lease.wanted += more
        try:
            for pause in (0.0, *RECALL_PAUSES_S):
                if pause:
                    await asyncio.sleep(pause)
                async with lease.turn:
                    # The first of those that wait asks for all; where that is too much, each asks for itself.
                    for wanted in dict.fromkeys((lease.wanted, more)):
                        if reservation.extend(more):
                            return
                        refusal = await self._grow(lease, wanted)
                    if reservation.extend(more):
                        return
                if pause == 0.0:
                    await self._call_back(lease.purse, but=lease)
        finally:
            lease.wanted -= more
        raise _refused(refusal or "insufficient_credits")

    async def _grow(self, lease: Lease, wanted: int) -> str | None:
        """Makes ``wanted`` available in the lease, whose turn the caller has; why not, when it can't be."""
        target = lease.amount + wanted - max(lease.available, 0)
        async with self.works.work() as work:
            row = await work.row(records.LEASE_GROW, lease.id, target)
        assert row is not None
        amount, refusal = row
        if amount > lease.amount:
            lease.available += amount - lease.amount
            lease.amount = amount
        return refusal

    async def learn(self) -> None:
        """Learns the database's time. Raises Unavailable."""
        asked = monotonic()
        async with self.works.work() as work:
            self._learn(await work.value(records.NOW_MS), asked)

    async def run(self) -> None:
        """Tends the leases until cancelled: renews, trims, closes. One task a worker."""
        while True:
            try:
                async with asyncio.timeout(self._pause_s()):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            await self.tend()

    def _pause_s(self) -> float | None:
        """How long nothing can be due unless we are woken; None: for ever."""
        if self._doubtful or any(purse.leases or purse.waiters or purse.opener for purse in self._purses.values()):
            return TICK_S
        return FORGET_AFTER_S if self._purses else None

    async def tend(self) -> None:
        """One round of ``run``: what is due now."""
        now = monotonic()
        # Not begun yet: one that is stopped before its turn leaves no coroutine behind that nobody awaited.
        due: list[Callable[[], Coroutine[Any, Any, None]]] = []
        doubtful, self._doubtful = self._doubtful, []
        due += [partial(self._abandon, intent) for intent in doubtful]
        for key, purse in list(self._purses.items()):
            lease = purse.current
            if lease is not None:
                purse.used_at = now
                if purse.recalled or self._stopping:
                    if lease.available > 0:
                        self._retire(purse, now)
                else:
                    self._renew(purse, lease, now)
            for drained in purse.draining:
                if drained.closing or drained.trimming:
                    continue
                if drained.quiet:
                    drained.closing = True
                    due.append(partial(self._close, drained))
                elif drained.available > 0 and (
                    purse.recalled or self._stopping or now - (drained.retired_at or now) >= TRIM_AFTER_S
                ):
                    drained.trimming = True
                    due.append(partial(self._trim, drained))
            purse.recalled = False
            if not purse.leases and not purse.waiters and purse.opener is None and now - purse.used_at > FORGET_AFTER_S:
                del self._purses[key]
        if due:
            await asyncio.gather(*map(self._bounded, due))

    async def drain(self, timeout_s: float) -> bool:
        """Gives everything back: no new lease; True when all leases are closed within ``timeout_s``.

        ``flushed`` must still be called for the rows of the calls in flight meanwhile.
        """
        self._stopping = True
        end = monotonic() + timeout_s
        while True:
            now = monotonic()
            for purse in self._purses.values():
                if purse.current is not None:
                    self._retire(purse, now)
            await self.tend()
            if not any(purse.leases or purse.opener for purse in self._purses.values()) and not self._doubtful:
                return True
            if monotonic() >= end:
                return False
            await asyncio.sleep(0.02)

    # -- inside

    def _learn(self, now_ms: int, asked_at: float) -> None:
        self._base_ms, self._base_at = now_ms, asked_at

    def _kick(self, purse: Purse) -> None:
        if purse.opener is None:
            purse.opener = asyncio.create_task(self._serve(purse))

    def _retire(self, purse: Purse, now_s: float) -> None:
        lease = purse.current
        assert lease is not None
        purse.current = None
        lease.retired_at = now_s
        purse.draining.append(lease)
        age_ms = max(int((now_s - lease.opened_at) * 1000), 1000)
        purse.rate = (lease.spent + lease.reserved) * 1000 // age_ms
        self._wake.set()

    def _renew(self, purse: Purse, lease: Lease, now_s: float) -> None:
        """A used lease is renewed in time and before it is empty; an idle or exact one is given back."""
        exact = lease.amount <= purse.hold
        aged = now_s - lease.opened_at >= RENEW_AFTER_S
        if now_s >= lease.deadline or (aged and (exact or now_s - lease.used_at >= RENEW_AFTER_S)):
            self._retire(purse, now_s)
        elif (
            (aged or lease.available * 4 < lease.amount)
            and lease.amount >= purse.hold * 8
            and now_s >= purse.pause_until
        ):
            # One try a while: with little free the lease that is there serves on.
            purse.pause_until = now_s + REFILL_PAUSE_S
            purse.refill = True
            self._kick(purse)

    async def _serve(self, purse: Purse) -> None:
        """Opens leases for a purse until nobody waits; one at a time, so that waiters share what comes."""
        try:
            while True:
                _hand_out(purse)
                waiter = purse.waiters[0] if purse.waiters else None
                if waiter is None and not purse.refill:
                    return
                purse.refill = False
                hold = purse.hold if waiter is None else waiter.hold
                least = hold if waiter is None else waiter.least
                try:
                    opened = await self._open(purse, hold, least)
                except RuxaError as error:
                    self._tell(error)
                    _fail(purse, error)
                    return
                if waiter is not None and not waiter.future.done():
                    if opened.lease is not None:
                        _give(purse, waiter)
                    else:
                        task = asyncio.create_task(self._insist(purse, waiter, opened))
                        self._tasks.add(task)
                        task.add_done_callback(self._tasks.discard)
                        task.add_done_callback(lambda _, left=waiter.future: left.done() or left.cancel())
                    purse.waiters.remove(waiter)
        finally:
            purse.opener = None
            if purse.waiters:
                # Something that is no error of ours ended this task: nobody waits for ever.
                _fail(purse, Unavailable("The ledger is away; try again.", code="ledger_away", retry_after_s=1))

    async def _insist(self, purse: Purse, waiter: _Waiter, opened: _Opened) -> None:
        """Before a 402: what lies unused elsewhere is called back, then asked for again."""
        if opened.free + opened.elsewhere >= waiter.least:
            try:
                await self._call_back(purse)
                for pause in RECALL_PAUSES_S:
                    await asyncio.sleep(pause)
                    if waiter.future.done():
                        return
                    opened = await self._open(purse, waiter.hold, waiter.least)
                    if opened.lease is not None:
                        _give(purse, waiter)
                        return
            except RuxaError as error:
                self._tell(error)
                if not waiter.future.done():
                    waiter.future.set_exception(_again(error))
                return
        if not waiter.future.done():
            waiter.future.set_exception(_refused(opened.refusal))

    async def _call_back(self, purse: Purse, but: Lease | None = None) -> None:
        """Unused money of the same organisation: ours at once, the other workers' by NOTIFY."""
        for other in list(self._purses.values()):
            if other.organisation_ref != purse.organisation_ref or other.scope != purse.scope:
                continue
            if other.current is not None and other.current is not but and other.current.available > 0:
                self._retire(other, monotonic())
            for lease in list(other.draining):
                if lease is but or lease.closing or lease.trimming:
                    continue
                if lease.quiet:
                    lease.closing = True
                    await self._close(lease)
                elif lease.available > 0:
                    lease.trimming = True
                    await self._trim(lease)
        async with self.works.work() as work:
            await work.run(records.LEASE_RECALL, str(purse.organisation_ref))

    async def _open(self, purse: Purse, hold: int, least: int) -> _Opened:
        waiting = sum(waiter.hold for waiter in purse.waiters)
        want = min(max(FIRST_HOLDS * hold, BURN_S * purse.rate, waiting), bounds.LEASE_MICROS_MAX)
        intent = Intent(ids.at(self.now_ms()), purse.organisation_ref, purse.scope)
        self.intent(intent)
        asked = monotonic()
        known = False
        try:
            async with self.works.work() as work:
                row = await work.row(
                    records.LEASE_OPEN,
                    intent.lease_id,
                    purse.organisation_ref,
                    purse.scope,
                    purse.budgets,
                    self.worker,
                    self.run_number,
                    max(want, hold),
                    hold,
                    least,
                    self.workers,
                    self.ttl_s,
                )
            known = True
        finally:
            if not known:
                # The commit may have happened: when the database is back the lease is closed, or kept from opening.
                self._doubtful.append(intent)
                self._wake.set()
        assert row is not None
        amount, refusal, free, elsewhere, ttl_ms, now_ms = row
        self._learn(now_ms, asked)
        if refusal is not None:
            return _Opened(None, refusal, free, elsewhere)
        lease = Lease(purse, intent.lease_id, amount, asked, asked + 0.001 * SERVED_SHARE * ttl_ms)
        self._by_lease[lease.id] = lease
        if purse.current is not None:
            self._retire(purse, monotonic())
        purse.current = lease
        self._wake.set()
        self.signals.emit("lease.opened", "debug", amount_micros=amount)
        return _Opened(lease, "", free, elsewhere)

    async def _bounded(self, action: Callable[[], Coroutine[Any, Any, None]]) -> None:
        async with self._parallel:
            await action()

    async def _close(self, lease: Lease) -> None:
        closed = await self._quietly(records.LEASE_CLOSE, lease.id)
        if closed:
            lease.purse.draining.remove(lease)
            self._by_lease.pop(lease.id, None)
            self.signals.emit("lease.closed", "debug", spent_micros=lease.spent)
        else:
            lease.closing = False

    async def _trim(self, lease: Lease) -> None:
        async with lease.turn:
            give = lease.available
            if give > 0 and not lease.wanted:
                # Taken out of hand before the database is told: what is unknown is never spent.
                lease.available = 0
                lease.amount -= give
                await self._quietly(records.LEASE_TRIM, lease.id, lease.amount)
        lease.trimming = False

    async def _abandon(self, intent: Intent) -> None:
        done = await self._quietly(
            records.LEASE_ABANDON, intent.lease_id, intent.organisation_ref, intent.scope, self.worker, self.run_number
        )
        if not done:
            self._doubtful.append(intent)

    def _tell(self, error: RuxaError) -> None:
        """An error that is not just the database being away: the operator learns of it."""
        if not isinstance(error, Unavailable):
            self.signals.emit("ledger.finding", "error", proof="lease", value=error.detail or error.code)

    async def _quietly(self, sql: Any, *args: object) -> bool:
        """Whether a statement went through; when the database is away it is tried again at a later round."""
        try:
            async with self.works.work() as work:
                await work.run(sql, *args)
        except RuxaError as error:
            self._tell(error)
            return not isinstance(error, Unavailable)
        return True


async def close_all(work: Work, intents: Iterable[Intent], *, worker: str, run: int) -> None:
    """Recovery: the leases that an earlier run's journal names are closed, after its rows were flushed.

    One whose opening never reached the database is marked so that it never opens.
    """
    for intent in sorted(intents, key=lambda one: str(one.organisation_ref)):
        await work.run(records.LEASE_ABANDON, intent.lease_id, intent.organisation_ref, intent.scope, worker, run)


def _hand_out(purse: Purse) -> None:
    while purse.waiters:
        waiter = purse.waiters[0]
        if not waiter.future.done():
            found = purse.draw(waiter.hold)
            if found is None:
                return
            waiter.future.set_result(found)
        purse.waiters.popleft()


def _give(purse: Purse, waiter: _Waiter) -> None:
    """The waiter for whom the lease was opened gets its hold, or what there is when it asked for ``least``."""
    lease = purse.current
    if waiter.future.done() or lease is None:
        return
    found = purse.draw(max(min(waiter.hold, lease.available), 1))
    if found is None:
        waiter.future.set_exception(
            Unavailable("The ledger answered too slowly; try again.", code="lease_too_late", retry_after_s=1)
        )
    else:
        waiter.future.set_result(found)


def _fail(purse: Purse, error: RuxaError) -> None:
    while purse.waiters:
        waiter = purse.waiters.popleft()
        if not waiter.future.done():
            waiter.future.set_exception(_again(error))


def _again(error: RuxaError) -> RuxaError:
    """The same error for one more waiter: an exception that is raised twice would collect both stacks."""
    return Unavailable(
        "The ledger is away and is coming back; try again.",
        code=error.code if isinstance(error, Unavailable) else "ledger_away",
        detail=error.detail,
        retry_after_s=error.retry_after_s or 1,
    )


def _refused(code: str) -> RuxaError:
    if code in _REFUSALS:
        return InsufficientCredit(_REFUSALS[code], code=code)
    return Unavailable("The call took longer than its credit was held.", code=code, retry_after_s=1)
