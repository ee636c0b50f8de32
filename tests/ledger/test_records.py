"""The statements as one machine: random money, leases, holds, budgets and time against a model in plain Python.

After every step each lot, balance, budget and lease is as the model says, to the micro, and every proof is zero.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from books import RATES
from conftest import Sizes
from fixtures_database import Database
from ruxa.kernel import ids
from ruxa.kernel.clock import Clock
from ruxa.kernel.errors import Conflict, InsufficientCredit
from ruxa.ledger import accounts, budgets, holds, jobs, prices, proofs, records, topups, usage
from ruxa.ledger.usage import Segment, UsageRow
from ruxa.store.pool import Pool

START = datetime(2026, 11, 24, 10, tzinfo=UTC)
SCOPES = ("live", "sandbox")
TTL_S = 30


@dataclass
class Lot:
    id: UUID
    scope: str
    category: str
    priority: int
    expires_at: datetime | None
    created_at: datetime
    credit: int
    posted: int = 0
    pending: int = 0

    @property
    def free(self) -> int:
        return self.credit - self.posted - self.pending

    @property
    def order(self) -> tuple[object, ...]:
        end = self.expires_at or datetime.max.replace(tzinfo=UTC)
        return (self.priority, end, self.category != "promo", self.created_at, self.id)


@dataclass
class Lent:
    id: UUID
    kind: str
    scope: str
    budgeted: bool
    amount: int
    expires_at: datetime
    slices: list[tuple[Lot, int]] = field(default_factory=list[tuple[Lot, int]])
    spent: int = 0
    extra: int = 0
    lost: int = 0
    state: str = "open"
    rows: list[UsageRow] = field(default_factory=list[UsageRow])


class Model:
    """What the ledger must do, said once more without a database."""

    def __init__(self) -> None:
        self.now = START
        self.lots: list[Lot] = []
        self.lent: list[Lent] = []
        self.debt = dict.fromkeys(SCOPES, 0)
        self.limit: int | None = None
        self.issued = 0
        self.used = 0
        self.pending = 0
        self.run_over = False

    def usable(self, scope: str) -> list[Lot]:
        soon = self.now + timedelta(seconds=1)
        found = [lot for lot in self.lots if lot.scope == scope and lot.free > 0]
        living = [lot for lot in found if lot.expires_at is None or lot.expires_at > soon]
        return sorted(living, key=lambda lot: lot.order)

    def free(self, scope: str) -> int:
        return sum(lot.free for lot in self.usable(scope))

    def budget_free(self) -> int:
        assert self.limit is not None
        return min(self.issued, self.limit) - self.used - self.pending

    def grant(self, lot: Lot) -> None:
        self.lots.append(lot)
        pay = min(self.debt[lot.scope], lot.credit)
        lot.posted += pay
        self.debt[lot.scope] -= pay

    def set_limit(self, limit: int | None) -> None:
        self.limit = limit
        if limit is not None:
            self.issued = max(self.issued, limit)

    def draw(self, one: Lent, amount: int) -> None:
        rest = amount
        for lot in self.usable(one.scope):
            piece = min(rest, lot.free)
            if piece == 0:
                break
            lot.pending += piece
            one.slices.append((lot, piece))
            rest -= piece
        assert rest == 0
        if one.budgeted:
            self.pending += amount

    def begin(self, one: Lent, want: int, hold: int, least: int, workers: int) -> str | None:
        free = self.free(one.scope)
        if free < least:
            return "insufficient_credits"
        if one.budgeted and self.limit is None:
            one.budgeted = False
        room = min(free, self.budget_free()) if one.budgeted else free
        if room < least:
            return "key_budget_exceeded"
        one.amount = min(room, hold) if room < 20 * hold else max(hold, min(want, room // (2 * workers)))
        self.draw(one, one.amount)
        ends = [lot.expires_at for lot, _ in one.slices if lot.expires_at is not None]
        if one.kind == "lease":
            one.expires_at = min([one.expires_at, *ends])
        self.lent.append(one)
        return None

    def end(self, one: Lent) -> None:
        rest = one.spent
        for lot, amount in one.slices:
            piece = min(rest, amount)
            lot.pending -= amount
            lot.posted += piece
            rest -= piece
        if one.budgeted:
            self.pending -= one.amount
            self.used += one.spent
        one.state = "closed"

    def trim(self, one: Lent, keep: int) -> None:
        keep = max(keep, one.spent)
        if one.state == "closed" or keep >= one.amount:
            return
        cut = one.amount - keep
        if one.budgeted:
            self.pending -= cut
        while cut:
            lot, amount = one.slices.pop()
            piece = min(cut, amount)
            lot.pending -= piece
            if amount > piece:
                one.slices.append((lot, amount - piece))
            cut -= piece
        one.amount = keep

    def grow(self, one: Lent, target: int) -> str | None:
        more = target - one.amount
        if one.state == "closed":
            return "lease_closed"
        if more <= 0:
            return None
        if self.free(one.scope) < more:
            return "insufficient_credits"
        if (
            one.budgeted
            and (self.issued if self.limit is None else min(self.issued, self.limit)) - self.used - self.pending < more
        ):
            return "key_budget_exceeded"
        self.draw(one, more)
        one.amount = target
        return None

    def charge(self, one: Lent, amount: int) -> None:
        if one.state == "closed":
            inside = 0
            beyond = min(amount, max(one.amount - one.spent - one.extra - one.lost, 0))
            one.lost += amount - beyond
        else:
            inside = min(amount, one.amount - one.spent)
            beyond = amount - inside
        one.spent += inside
        one.extra += beyond
        rest = beyond
        for lot in self.usable(one.scope):
            piece = min(rest, lot.free)
            lot.posted += piece
            rest -= piece
        self.debt[one.scope] += rest
        if one.budgeted:
            self.used += max(min(beyond, self.issued - self.used - self.pending), 0)

    def janitor(self) -> None:
        grace = timedelta(seconds=900)
        for one in self.lent:
            due = one.state == "open" and one.expires_at <= self.now
            drained = one.state == "suspense" and (one.expires_at <= self.now - grace or self.run_over)
            if not (due or drained):
                continue
            if one.kind == "hold" or one.expires_at <= self.now - grace or self.run_over:
                self.end(one)
            else:
                one.state = "suspense"

    def end_run(self) -> None:
        self.run_over = True
        for one in self.lent:
            if one.kind == "lease" and one.state != "closed":
                self.end(one)

    def empty(self) -> None:
        for lot in self.lots:
            if lot.expires_at is not None and lot.expires_at <= self.now and lot.free > 0:
                lot.posted += lot.free


def machine(database: Database) -> type[RuleBasedStateMachine]:
    """The state machine over one database; each example has an organisation, a key and a worker of its own."""
    runner = asyncio.Runner()
    do = runner.run

    async def prepare() -> tuple[Pool, dict[str, UUID]]:
        with psycopg.connect(database.admin_url, autocommit=True) as admin:
            admin.execute("CREATE TABLE public.frozen AS SELECT %s::timestamptz AS moment", [START])
            admin.execute("GRANT SELECT ON public.frozen TO PUBLIC")
            admin.execute(
                "CREATE OR REPLACE FUNCTION ruxa.now() RETURNS timestamptz LANGUAGE sql VOLATILE"
                " RETURN (SELECT moment FROM public.frozen)"
            )
        opened = await Pool.open(database.url("ruxa_owner"), login="ruxa_owner", max_size=1, clock=Clock())
        async with opened.work() as work:
            found = {
                "live": await prices.put(work, "openai/test", RATES, source="test"),
                "sandbox": await prices.put(work, "sandbox/test", RATES, source="test"),
            }
        return opened, found

    pool, price = do(prepare())
    clock = psycopg.connect(database.admin_url, autocommit=True)
    # Small credits and larger charges: shortfall, lateness and refusals are common then.
    few = st.integers(0, 90)
    some = st.integers(1, 60)

    class Machine(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.model = Model()
            self.ref = uuid4()
            self.key = uuid4()
            self.worker = uuid4().hex
            self.wipe()
            self.set_clock(START)
            do(self.begin())

        def wipe(self) -> None:
            """The example before is gone, so that the proofs stay quick; only a superuser can, past the triggers."""
            with clock.transaction():
                clock.execute("SET LOCAL session_replication_role = replica")
                clock.execute(
                    "TRUNCATE ledger.transfer, ledger.lot, ledger.lease, ledger.lease_slice, ledger.usage_event,"
                    " ledger.budget, ledger.journal_segment, ledger.journal_run, payment.wish"
                )
                clock.execute("DELETE FROM ledger.account WHERE organisation_ref IS NOT NULL")

        def set_clock(self, moment: datetime) -> None:
            self.model.now = moment
            clock.execute("UPDATE public.frozen SET moment = %s", [moment])

        async def begin(self) -> None:
            async with pool.work() as work:
                self.run = await usage.run_begin(work, self.worker)
                self.segment = Segment(self.worker, self.run, 1)
                await usage.segment_begin(work, self.segment)

        async def value(self, sql: Any, *args: object) -> Any:
            async with pool.work() as work:
                return await work.value(sql, *args)

        def pick(self, data: st.DataObject, kind: str = "lease") -> Lent | None:
            found = [one for one in self.model.lent if one.kind == kind]
            return data.draw(st.sampled_from(found), label="lent") if found else None

        @initialize(
            amounts=st.lists(some, min_size=4, max_size=4),
            hold=some,
            limit=st.integers(0, 150),
            over=st.integers(0, 200),
        )
        def a_day_begins(self, amounts: list[int], hold: int, limit: int, over: int) -> None:
            """Several lots, a budget, two leases and a charge beyond one: the first steps find what can go wrong."""
            self.grant("live", "paid", amounts[0], 100, None)
            self.grant("live", "promo", amounts[1], 50, 60)
            self.grant("live", "paid", amounts[2], 100, 500)
            self.grant("sandbox", "paid", amounts[3], 100, None)
            self.set_budget(limit)
            self.open_lease("live", hold, 59, 80, 1, True)
            self.open_lease("live", 20, 19, 60, 1, False)
            if self.model.lent:
                one = self.model.lent[-1]
                one.rows.append(self.row(one, over))
                self.send(one.rows)
                self.model.charge(one, over)

        @rule(
            scope=st.sampled_from(SCOPES),
            category=st.sampled_from(("paid", "promo", "refund", "compensation")),
            amount=st.integers(1, 90),
            priority=st.sampled_from((10, 50, 100)),
            days_s=st.one_of(st.none(), st.sampled_from((20, 60, 500))),
        )
        def grant(self, scope: str, category: str, amount: int, priority: int, days_s: int | None) -> None:
            end = None if days_s is None else self.model.now + timedelta(seconds=days_s)
            lot = Lot(ids.fresh(), scope, category, priority, end, self.model.now, amount)

            async def act() -> None:
                for _ in range(2):
                    async with pool.work() as work:
                        await topups.grant(
                            work, self.ref, amount, scope=scope, category=category, priority=priority,
                            origin=f"test:{lot.id}", expires_at=end, lot_id=lot.id,
                        )  # fmt: skip

            do(act())
            self.model.grant(lot)

        @rule(
            scope=st.sampled_from(SCOPES), hold=some, cut=few, want=st.integers(1, 200), workers=st.integers(1, 3),
            budgeted=st.booleans(),
        )  # fmt: skip
        def open_lease(self, scope: str, hold: int, cut: int, want: int, workers: int, budgeted: bool) -> None:
            least = max(hold - cut, 1)
            budgeted = budgeted and self.model.limit is not None
            one = Lent(ids.fresh(), "lease", scope, budgeted, 0, self.model.now + timedelta(seconds=TTL_S))
            refusal = self.model.begin(one, max(want, hold), hold, least, workers)

            async def act() -> Any:
                async with pool.work() as work:
                    return await work.row(
                        records.LEASE_OPEN, one.id, self.ref, scope, [f"key:{self.key.hex}"] if budgeted else [],
                        self.worker, self.run, max(want, hold), hold, least, workers, TTL_S,
                    )  # fmt: skip

            for _ in range(2 if refusal is None else 1):
                row = do(act())
                assert row is not None
                assert (row[0], row[1]) == (one.amount, refusal)
            if refusal is None:
                assert row[4] == (one.expires_at - self.model.now) / timedelta(milliseconds=1)

        @rule(data=st.data(), amounts=st.lists(few, min_size=1, max_size=3))
        def flush(self, data: st.DataObject, amounts: list[int]) -> None:
            one = self.pick(data)
            if one is None:
                return
            fresh = [self.row(one, amount) for amount in amounts]
            again = data.draw(st.lists(st.sampled_from(one.rows), max_size=2)) if one.rows else []
            self.send([*again, *fresh, *fresh])
            self.model.charge(one, sum(amounts))
            one.rows += fresh

        def row(self, one: Lent, amount: int) -> UsageRow:
            at_ms = int(self.model.now.timestamp() * 1000)
            return UsageRow(
                id=ids.at(at_ms), at_ms=at_ms, organisation_ref=self.ref, key_id=self.key, livemode=True,
                scope=one.scope, lease_id=one.id, model="openai/test" if one.scope == "live" else "sandbox/test",
                dialect="openai_chat", endpoint="chat", status=200, input_tokens=amount, usage_source="provider",
                price_id=price[one.scope], amount_micros=amount,
            )  # fmt: skip

        def send(self, rows: list[UsageRow]) -> None:
            async def act() -> None:
                async with pool.work() as work:
                    done = await usage.flush(work, rows, self.segment)
                assert not done.refused

            do(act())

        @rule(data=st.data())
        def close_lease(self, data: st.DataObject) -> None:
            one = self.pick(data)
            if one is not None:
                assert do(self.value(records.LEASE_CLOSE, one.id)) == one.spent
                if one.state != "closed":
                    self.model.end(one)

        @rule(data=st.data(), keep=some)
        def trim(self, data: st.DataObject, keep: int) -> None:
            one = self.pick(data)
            if one is not None:
                for _ in range(2):
                    do(self.value(records.LEASE_TRIM, one.id, keep))
                self.model.trim(one, keep)

        @rule(data=st.data(), more=few)
        def grow(self, data: st.DataObject, more: int) -> None:
            one = self.pick(data)
            if one is None:
                return
            target = one.amount + more

            async def act() -> Any:
                async with pool.work() as work:
                    return await work.row(records.LEASE_GROW, one.id, target)

            row = do(act())
            refusal = self.model.grow(one, target)
            assert row == (one.amount, refusal)

        @rule(scope=st.sampled_from(SCOPES), amount=some, budgeted=st.booleans())
        def place_hold(self, scope: str, amount: int, budgeted: bool) -> None:
            budgeted = budgeted and self.model.limit is not None
            one = Lent(ids.fresh(), "hold", scope, budgeted, 0, self.model.now + timedelta(seconds=120))
            refusal = self.model.begin(one, amount, amount, amount, 1)

            async def act() -> str | None:
                try:
                    async with pool.work() as work:
                        await holds.place(
                            work, one.id, self.ref, scope, amount, ttl_s=120,
                            budget_scopes=[self.key.hex] if budgeted else [],
                        )  # fmt: skip
                except InsufficientCredit as refused:
                    return refused.code
                return None

            assert do(act()) == refusal

        @rule(data=st.data(), amount=few)
        def settle_hold(self, data: st.DataObject, amount: int) -> None:
            one = self.pick(data, "hold")
            if one is None:
                return

            async def act() -> str:
                try:
                    async with pool.work() as work:
                        return "new" if await holds.settle(work, one.id, amount) else "old"
                except Conflict as refused:
                    return refused.code

            done = do(act())
            if one.state == "closed":
                assert done == ("old" if one.spent == amount else "RX024")
            elif amount > one.amount:
                assert done == "RX007"
            else:
                assert done == "new"
                one.spent = amount
                self.model.end(one)

        @rule(limit=st.one_of(st.none(), st.integers(0, 200)))
        def set_budget(self, limit: int | None) -> None:
            async def act() -> None:
                async with pool.work() as work:
                    await budgets.put(work, "key", self.key, self.ref, limit_micros=limit, period="total")

            do(act())
            self.model.set_limit(limit)

        @rule(seconds=st.sampled_from((1, 10, 29, 31, 100, 901)))
        def wait(self, seconds: int) -> None:
            self.set_clock(self.model.now + timedelta(seconds=seconds))

        @rule()
        def tidy_leases(self) -> None:
            do(jobs.janitor(pool, limit=100_000))
            self.model.janitor()

        @rule()
        def empty_lots(self) -> None:
            async def act() -> list[proofs.Proof]:
                await jobs.lots(pool, limit=100_000)
                async with pool.work() as work:
                    return [proof for proof in await proofs.check(work) if not proof.ok]

            assert do(act()) == []
            self.model.empty()

        @precondition(lambda self: not self.model.run_over)
        @rule()
        def run_ends(self) -> None:
            async def act() -> None:
                async with pool.work() as work:
                    await usage.run_end(work, self.worker, self.run)

            do(act())
            self.model.end_run()

        @invariant()
        def the_database_is_as_the_model(self) -> None:
            async def look() -> tuple[Any, ...]:
                async with pool.work() as work:
                    return (
                        await accounts.balance(work, self.ref),
                        {lot.id: lot for lot in await accounts.lots(work, self.ref)},
                        await budgets.state(work, "key", self.key),
                        await work.rows(
                            "SELECT id, state, amount_micros, spent_micros, extra_micros, lost_micros FROM ledger.lease"
                            " WHERE organisation_ref = %s",
                            self.ref,
                        ),
                        # I13 is the promise of a job that the machine runs when it likes: see empty_lots.
                        [proof for proof in await proofs.check(work) if not (proof.ok or proof.name.startswith("I13"))],
                    )

            balance, lots, budget, leases, wrong = do(look())
            model = self.model
            for scope in SCOPES:
                living = [one for one in model.lent if one.scope == scope and one.state != "closed"]
                total = sum(lot.credit - lot.posted for lot in model.lots if lot.scope == scope)
                assert balance[scope] == accounts.Balance(
                    total - sum(one.spent for one in living),
                    sum(one.amount - one.spent for one in living),
                    model.debt[scope],
                )
            for lot in model.lots:
                found = lots[lot.id]
                assert (found.left_micros, found.held_micros) == (lot.credit - lot.posted, lot.pending)
                assert lot.free >= 0
            if budget is not None:
                assert (budget.limit_micros, budget.used_micros, budget.held_micros) == (
                    model.limit, model.used, model.pending,
                )  # fmt: skip
            assert {row[0]: row[1:] for row in leases} == {
                one.id: (one.state, one.amount, one.spent, one.extra, one.lost) for one in model.lent
            }
            assert not wrong, wrong

    Machine.release = lambda: (do(pool.close()), runner.close(), clock.close())  # type: ignore[attr-defined]
    return Machine


def test_the_ledger_is_as_its_model(fresh_database: Database, sizes: Sizes) -> None:
    tried = machine(fresh_database)
    try:
        run_state_machine_as_test(
            tried,
            settings=settings(
                max_examples=sizes["property_examples"] // (10 if sizes.long else 2),
                stateful_step_count=50 if sizes.long else 15,
                deadline=None,
                suppress_health_check=list(HealthCheck),
                database=None,
            ),
        )
    finally:
        tried.release()  # type: ignore[attr-defined]
