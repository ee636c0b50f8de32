"""The ledger against a model of it in plain Python: random lives of one organisation, compared after every step.

Credit, top-ups, leases, holds, budgets, charges in time and late, trims, ends of lots, refunds, disputes, freezes,
debts given up: after each step the database's balances, lots, budgets and debts equal the model's, and every proof is
zero. Each life is one transaction that is rolled back, so a thousand of them leave nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID, uuid4

import hypothesis
import psycopg
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from books import RATES
from conftest import Sizes
from fixtures_database import Database
from ruxa.kernel import codec, ids
from ruxa.kernel.clock import Clock

CENT = 10_000
PRICE = ids.fresh()
LOT_LIFE_S = 60


class Lot:
    """A grant of credit."""

    def __init__(self, key: UUID, amount: int, rank: tuple[Any, ...], ends_s: int | None) -> None:
        self.key = key
        self.granted = self.left = amount
        self.pending = 0
        self.rank = rank
        self.ends_s = ends_s

    @property
    def free(self) -> int:
        return self.left - self.pending


class Budget:
    """The organisation's budget for all time."""

    def __init__(self) -> None:
        self.credited = self.used = self.pending = 0
        self.limit: int | None = None

    @property
    def free(self) -> int:
        return self.credited - self.used - self.pending


class Lease:
    """Credit lent: slices of lots, and whether the budget is a lane of it."""

    def __init__(self, key: UUID, amount: int, hold: bool, budget: Budget | None) -> None:
        self.key = key
        self.amount = amount
        self.hold = hold
        self.slices: list[list[Any]] = []
        self.budget = budget
        self.spent = self.extra = self.lost = 0
        self.open = True


class Capture:
    """A payment, and what was taken back of it."""

    def __init__(self, ext: str, order: UUID, amount: int, tax: int, lot: Lot) -> None:
        self.ext = ext
        self.order = order
        self.amount = amount
        self.tax = tax
        self.lot = lot
        self.refunded = self.asked = self.taken = self.taken_tax = 0

    def tax_part(self, minor: int) -> int:
        if self.taken + minor >= self.amount:
            return min(self.tax - self.taken_tax, minor * CENT)
        return min(self.tax - self.taken_tax, (2 * self.tax * minor + self.amount) // (2 * self.amount))


class Taking:
    """A refund, asked for or made, or a dispute: what it holds or took."""

    def __init__(self, kind: str, key: Any, capture: Capture, minor: int) -> None:
        self.kind = kind
        self.key = key
        self.capture = capture
        self.minor = minor
        self.tax = capture.tax_part(minor)
        self.from_lot = self.debt = 0
        self.state = "none"

    @property
    def net(self) -> int:
        return self.minor * CENT - self.tax


def machine_of(connection: psycopg.Connection[Any]) -> type[RuleBasedStateMachine]:
    """The machine over one connection, which begins a transaction for each life."""

    class Machine(RuleBasedStateMachine):
        leases = Bundle("leases")
        captures = Bundle("captures")
        asked = Bundle("asked")
        disputes = Bundle("disputes")

        def __init__(self) -> None:
            super().__init__()
            connection.execute("BEGIN")
            self.ref = uuid4()
            self.lots: list[Lot] = []
            self.lent: list[Lease] = []
            self.debt = 0
            self.budget = Budget()
            self.offset_s = 0
            self.freezes: dict[str, bool] = {}
            self.takings: list[Taking] = []
            self.number = 0

        def teardown(self) -> None:
            connection.execute("ROLLBACK")

        # -- the database

        def value(self, sql: str, *args: Any) -> Any:
            row = connection.execute(sql, args).fetchone()  # pyright: ignore[reportArgumentType, reportCallIssue]
            return None if row is None else row[0]

        def row(self, sql: str, *args: Any) -> tuple[Any, ...]:
            row = connection.execute(sql, args).fetchone()  # pyright: ignore[reportArgumentType, reportCallIssue]
            assert row is not None
            return row

        @contextmanager
        def refused(self, state: str) -> Iterator[None]:
            with pytest.raises(psycopg.Error) as error, connection.transaction():
                yield
            assert error.value.sqlstate == state

        def note(self, kind: str, ext: str, minor: int, status: str, order: UUID, parent: str | None = None) -> str:
            reading = {
                "kind": kind, "ext_id": ext, "order_id": order, "parent": parent, "amount_minor": minor,
                "currency": "USD", "status": status, "at": Clock().now(), "livemode": True, "account": "acct_1",
            }  # fmt: skip
            return self.value(
                "SELECT outcome FROM payment.fact_note('stripe', %s::jsonb)", codec.encode(reading).decode()
            )

        # -- the model

        def usable(self) -> list[Lot]:
            found = [
                lot for lot in self.lots if lot.free > 0 and (lot.ends_s is None or lot.ends_s > self.offset_s + 5)
            ]
            return sorted(found, key=lambda lot: lot.rank)

        def free(self) -> int:
            return sum(lot.free for lot in self.usable())

        def frozen(self) -> bool:
            return any(self.freezes.values())

        def granted(self, key: UUID, amount: int, rank: tuple[Any, ...], ends_s: int | None = None) -> Lot:
            lot = Lot(key, amount, (*rank, len(self.lots)), ends_s)
            paid = max(min(self.debt, amount), 0)
            self.debt -= paid
            lot.left -= paid
            self.lots.append(lot)
            return lot

        def draw(self, lease: Lease, amount: int) -> None:
            for lot in self.usable():
                piece = min(lot.free, amount)
                if piece:
                    lot.pending += piece
                    lease.slices.append([lot, piece])
                    amount -= piece
            assert not amount

        def beyond(self, lease: Lease, amount: int) -> None:
            rest = amount
            for lot in self.usable():
                piece = min(rest, lot.free)
                lot.left -= piece
                rest -= piece
            self.debt += rest
            if lease.budget is not None and lease.budget.free > 0:
                lease.budget.used += min(amount, lease.budget.free)

        def end(self, lease: Lease) -> None:
            rest = lease.spent
            for lot, amount in lease.slices:
                piece = min(rest, amount)
                rest -= piece
                lot.pending -= amount
                lot.left -= piece
            if lease.budget is not None:
                lease.budget.pending -= lease.amount
                lease.budget.used += lease.spent
            lease.open = False

        def take(self, taking: Taking, state: str) -> None:
            """Holds or takes, from the lot what is free of it."""
            lot = taking.capture.lot
            taking.from_lot = max(min(lot.free, taking.net), 0)
            taking.debt = taking.net - taking.from_lot
            if state == "hold":
                lot.pending += taking.from_lot
            else:
                lot.left -= taking.from_lot
                self.debt += taking.debt
            taking.state = state

        def release(self, taking: Taking) -> None:
            taking.capture.lot.pending -= taking.from_lot
            taking.state = "none"

        def count(self, taking: Taking, sign: int) -> None:
            taking.capture.taken += sign * taking.minor
            taking.capture.taken_tax += sign * taking.tax

        # -- credit

        @initialize(amount=st.integers(1, 60), budget=st.none() | st.integers(1, 100))
        def begin(self, amount: int, budget: int | None) -> None:
            self.credit(amount, 100, False)
            if budget is not None:
                self.limit(budget)

        @rule(amount=st.integers(1, 60), priority=st.sampled_from((50, 100)), ends=st.booleans())
        def credit(self, amount: int, priority: int, ends: bool) -> None:
            key = ids.fresh()
            promo = priority == 50
            self.value(
                "SELECT ledger.lot_grant(%s, %s, 'live', %s, %s, %s, CASE WHEN %s THEN ruxa.now()"
                " + make_interval(secs => %s) END, %s, NULL, 'test')",
                *(key, self.ref, "promo" if promo else "paid", amount * CENT, priority, ends, LOT_LIFE_S, f"lot:{key}"),
            )
            ends_s = self.offset_s + LOT_LIFE_S if ends else None
            self.granted(key, amount * CENT, (priority, ends_s is None, ends_s or 0, not promo), ends_s)

        @rule(target=captures, amount=st.integers(1, 60), tax=st.integers(0, 12))
        def top_up(self, amount: int, tax: int) -> Any:
            tax = min(tax, amount)
            self.number += 1
            order, ext = ids.fresh(), f"ch_{self.number}"
            refusal = self.value(
                "SELECT payment.order_create(%s, %s, %s, %s, %s, 'de', 'stripe', 'card', 'checkout', 'live', false,"
                " ruxa.now() + interval '1 hour', 'test')",
                *(order, f"RX-0000-{self.number:04d}", self.ref, amount * CENT, tax * CENT),
            )
            if self.frozen():
                assert refusal == "method_blocked"
                return multiple()
            assert refusal is None
            assert self.note("capture", ext, amount + tax, "succeeded", order) == "posted"
            assert self.note("capture", ext, amount + tax, "pending", order) == "unchanged"
            key = self.value("SELECT payment.fact_id('stripe', 'capture', %s)", ext)
            lot = self.granted(key, amount * CENT, (100, True, 0, True))
            return Capture(ext, order, amount + tax, tax * CENT, lot)

        @rule(seconds=st.sampled_from((20, 70)))
        def time_passes(self, seconds: int) -> None:
            self.offset_s += seconds
            connection.execute(
                "CREATE OR REPLACE FUNCTION ruxa.now() RETURNS timestamptz LANGUAGE sql VOLATILE PARALLEL SAFE"
                f" RETURN pg_catalog.clock_timestamp() + interval '{self.offset_s} seconds'"  # pyright: ignore[reportArgumentType]
            )
            for lot in self.lots:
                moved = self.value("SELECT ledger.lot_expire(%s)", lot.key)
                over = lot.ends_s is not None and lot.ends_s <= self.offset_s
                assert moved == (max(lot.free, 0) if over else 0)
                lot.left -= moved

        @rule(limit=st.none() | st.integers(1, 200))
        def limit(self, limit: int | None) -> None:
            micros = None if limit is None else limit * CENT
            connection.execute(
                "SELECT ledger.budget_put('organisation', %s, %s, %s, 'total')", (self.ref, self.ref, micros)
            )
            self.budget.limit = micros
            self.budget.credited = max(self.budget.credited, micros or 0)

        # -- leases and holds

        @rule(target=leases, amount=st.integers(1, 400_000), hold=st.booleans())
        def lend(self, amount: int, hold: bool) -> Any:
            key = ids.fresh()
            if hold:
                refusal = self.value(
                    "SELECT ledger.hold_place(%s, %s, 'live', '{}', %s, interval '1 hour')", key, self.ref, amount
                )
            else:
                refusal = self.value(
                    "SELECT refusal FROM ledger.lease_open(%s, %s, 'live', '{}', 'w0', 1, %s, %s, %s, 1,"
                    " interval '1 hour')",
                    *(key, self.ref, amount, amount, amount),
                )
            limited = self.budget.limit is not None
            budget_free = min(self.budget.credited, self.budget.limit or 0) - self.budget.used - self.budget.pending
            if self.frozen():
                expected = "spending_frozen"
            elif self.free() < amount:
                expected = "insufficient_credits"
            elif limited and budget_free < amount:
                expected = "organisation_budget_exceeded"
            else:
                expected = None
            assert refusal == expected
            if expected is not None:
                return multiple()
            lease = Lease(key, amount, hold, self.budget if limited else None)
            self.draw(lease, amount)
            if lease.budget is not None:
                lease.budget.pending += amount
            self.lent.append(lease)
            return lease

        @rule(lease=leases, more=st.integers(1, 300_000))
        def grow(self, lease: Lease, more: int) -> None:
            refusal = self.value("SELECT refusal FROM ledger.lease_grow(%s, %s)", lease.key, lease.amount + more)
            budget = lease.budget
            if not lease.open:
                expected = "lease_closed"
            elif self.frozen():
                expected = "spending_frozen"
            elif self.free() < more:
                expected = "insufficient_credits"
            elif budget is not None and (
                min(budget.credited, budget.credited if budget.limit is None else budget.limit)
                - budget.used - budget.pending < more
            ):  # fmt: skip
                expected = "organisation_budget_exceeded"
            else:
                expected = None
            assert refusal == expected
            if expected is None:
                self.draw(lease, more)
                lease.amount += more
                if budget is not None:
                    budget.pending += more

        @rule(lease=leases, keep=st.integers(0, 300_000))
        def trim(self, lease: Lease, keep: int) -> None:
            kept = self.value("SELECT ledger.lease_trim(%s, %s)", lease.key, keep)
            if not lease.open:
                assert kept == 0
                return
            excess = max(lease.amount - max(keep, lease.spent), 0)
            assert kept == lease.amount - excess
            if lease.budget is not None:
                lease.budget.pending -= excess
            lease.amount -= excess
            for piece in reversed(lease.slices):
                cut = min(piece[1], excess)
                piece[1] -= cut
                piece[0].pending -= cut
                excess -= cut

        @rule(lease=leases, amount=st.integers(1, 300_000), twice=st.booleans())
        def charge(self, lease: Lease, amount: int, twice: bool) -> None:
            if lease.hold:
                return
            row = ids.at(Clock().unix_ms() + self.offset_s * 1000)
            for again in range(1 + twice):
                connection.execute("SELECT ledger.usage_stage()")
                connection.execute(
                    "INSERT INTO pg_temp.usage_batch (id, at, organisation_ref, key_id, livemode, scope, lease_id,"
                    " model, provider, dialect, endpoint, stream, status, input_tokens, cache_read_tokens,"
                    " cache_write_5m_tokens, cache_write_1h_tokens, output_tokens, reasoning_tokens,"
                    " audio_input_tokens, audio_output_tokens, images, usage_source, price_id, amount_micros,"
                    " waived_micros, hold_micros, latency_ms, attempts, lossy) VALUES (%s, ruxa.now(), %s, %s, true,"
                    " 'live', %s, 'openai/test', 'openai', 'openai_chat', 'chat', false, 200, %s, 0, 0, 0, 0, 0, 0, 0,"
                    " 0, 'provider', %s, %s, 0, 0, 1, 1, '{}')",
                    (row, self.ref, UUID(int=7), lease.key, amount, PRICE, amount),
                )
                booked, refused = self.row("SELECT booked, refused FROM ledger.usage_flush('w0', 1, 1)")
                assert (booked, refused) == (0 if again else 1, [])
                connection.execute("DELETE FROM pg_temp.usage_batch")
            if lease.open:
                inside = min(amount, lease.amount - lease.spent)
                outside, lost = amount - inside, 0
            else:
                inside = 0
                outside = min(amount, max(lease.amount - lease.spent - lease.extra - lease.lost, 0))
                lost = amount - outside
            lease.spent += inside
            lease.extra += outside
            lease.lost += lost
            if outside:
                self.beyond(lease, outside)

        @rule(lease=leases, amount=st.integers(0, 300_000))
        def close(self, lease: Lease, amount: int) -> None:
            if not lease.hold:
                assert self.value("SELECT ledger.lease_close(%s)", lease.key) == lease.spent
            elif not lease.open:
                return
            elif amount > lease.amount:
                with self.refused("RX007"):
                    self.value("SELECT ledger.hold_settle(%s, %s)", lease.key, amount)
                return
            else:
                assert self.value("SELECT ledger.hold_settle(%s, %s)", lease.key, amount)
                lease.spent = amount
            if lease.open:
                self.end(lease)

        # -- payments

        def in_dispute(self, capture: Capture) -> bool:
            return any(
                t.kind == "dispute" and t.state == "hold" and t.capture.order == capture.order for t in self.takings
            )

        def lost(self, capture: Capture) -> int:
            found = [
                t.minor for t in self.takings if t.kind == "dispute" and t.state == "post" and t.capture is capture
            ]
            return max(found, default=0)

        @rule(target=asked, capture=captures, minor=st.integers(1, 72), beyond=st.booleans())
        def ask(self, capture: Capture, minor: int, beyond: bool) -> Any:
            key = ids.fresh()
            refusal = self.value(
                "SELECT payment.refund_ask(%s, %s, %s, %s, NULL, 'test', %s)",
                key,
                self.ref,
                capture.order,
                minor,
                beyond,
            )
            taking = Taking("ask", key, capture, minor)
            if self.in_dispute(capture):
                expected = "dispute_open"
            elif minor > capture.amount - capture.refunded - capture.asked or (
                (lost := self.lost(capture)) and lost + capture.refunded + capture.asked + minor > capture.amount
            ):
                expected = "refund_exceeds_capture"
            elif capture.lot.free < taking.net and not beyond:
                expected = "refund_exceeds_unspent"
            else:
                expected = None
            assert refusal == expected
            if expected is not None:
                return multiple()
            self.take(taking, "hold")
            self.count(taking, 1)
            capture.asked += minor
            self.takings.append(taking)
            return taking

        def drop(self, taking: Taking) -> None:
            self.release(taking)
            self.count(taking, -1)
            taking.capture.asked -= taking.minor

        @rule(taking=asked)
        def cancel(self, taking: Taking) -> None:
            refusal = self.value("SELECT payment.refund_cancel(%s, 'test')", taking.key)
            assert refusal == (None if taking.state == "hold" else "wrong_state")
            if refusal is None:
                self.drop(taking)

        @rule(capture=captures, minor=st.integers(1, 72), path=st.sampled_from(("succeeded", "failed", "returned")))
        def refund(self, capture: Capture, minor: int, path: str) -> None:
            """Made at the processor: pending, then done, refused, or done and returned."""
            self.number += 1
            ext = f"re_{self.number}"
            outcome = self.note("refund", ext, minor, "pending", capture.order, capture.ext)
            if capture.refunded + minor > capture.amount:
                assert outcome == "quarantined"
                return
            assert outcome == "posted"
            while capture.refunded + capture.asked + minor > capture.amount:
                newest = [t for t in self.takings if t.kind == "ask" and t.state == "hold" and t.capture is capture][-1]
                self.drop(newest)
            taking = Taking("refund", ext, capture, minor)
            self.take(taking, "hold")
            self.count(taking, 1)
            capture.refunded += minor
            self.takings.append(taking)
            if path == "returned":
                self.settle(taking, "succeeded")
            self.settle(taking, "failed" if path == "returned" else path)
            assert self.note("refund", ext, minor, "pending", capture.order, capture.ext) == "unchanged"

        def settle(self, taking: Taking, status: str) -> None:
            capture = taking.capture
            assert self.note("refund", taking.key, taking.minor, status, capture.order, capture.ext) == "posted"
            if taking.state == "hold":
                self.release(taking)
                if status == "succeeded":
                    self.take(taking, "post")
                    return
            else:
                paid = max(min(self.debt, taking.net), 0)
                self.debt -= paid
                capture.lot.left += taking.net - paid
                taking.state = "none"
            self.count(taking, -1)
            capture.refunded -= taking.minor

        @rule(target=disputes, capture=captures, minor=st.integers(1, 72))
        def dispute(self, capture: Capture, minor: int) -> Any:
            minor = min(minor, capture.amount)
            self.number += 1
            taking = Taking("dispute", f"dp_{self.number}", capture, minor)
            assert self.note("dispute", taking.key, minor, "open", capture.order, capture.ext) == "posted"
            self.take(taking, "hold")
            self.count(taking, 1)
            self.freezes[taking.key] = True
            for other in self.takings:
                if other.kind == "ask" and other.state == "hold" and other.capture is capture:
                    self.drop(other)
            self.takings.append(taking)
            return taking

        @rule(taking=disputes, status=st.sampled_from(("open", "won", "lost")))
        def decide(self, taking: Taking, status: str) -> None:
            capture = taking.capture
            before = taking.state
            outcome = self.note("dispute", taking.key, taking.minor, status, capture.order, capture.ext)
            if before == "hold" and status == "open":
                if taking.debt and capture.lot.free > 0:
                    assert outcome == "posted"
                    self.release(taking)
                    self.take(taking, "hold")
                else:
                    assert outcome == "unchanged"
            elif before == "hold":
                assert outcome == "posted"
                self.release(taking)
                if status == "lost":
                    self.take(taking, "post")
                else:
                    self.count(taking, -1)
                    if self.freezes[taking.key]:
                        self.freezes[taking.key] = False
            else:
                ended = "won" if before == "none" else "lost"
                assert outcome == ("quarantined" if status not in ("open", ended) else "unchanged")

        @rule()
        def lift(self) -> None:
            waiting = connection.execute(
                "SELECT id FROM payment.freeze WHERE organisation_ref = %s AND ended_at IS NULL", (self.ref,)
            ).fetchall()
            assert len(waiting) == sum(self.freezes.values())
            for (freeze,) in waiting:
                connection.execute("SELECT payment.freeze_review(%s, 'lift', 'test')", (freeze,))
            self.freezes = dict.fromkeys(self.freezes, False)

        @rule(part=st.integers(1, 100))
        def give_up(self, part: int) -> None:
            amount = max(self.debt, 0) * part // 100
            if amount:
                assert self.value(
                    "SELECT payment.wish_put(%s, 'writeoff', %s, 'live', %s, 'bad_debt', NULL, 'test')",
                    *(ids.fresh(), self.ref, amount),
                )
                self.debt -= amount
            else:
                with self.refused("RX077"):
                    self.value(
                        "SELECT payment.wish_put(%s, 'writeoff', %s, 'live', %s, 'bad_debt', NULL, 'test')",
                        *(ids.fresh(), self.ref, max(self.debt, 0) + 1),
                    )

        # -- after every step

        @invariant()
        def books_equal_the_model(self) -> None:
            rows = connection.execute(
                "SELECT id, left_micros, held_micros FROM ledger.lot_line WHERE organisation_ref = %s", (self.ref,)
            ).fetchall()
            assert {row[0]: row[1:] for row in rows} == {lot.key: (lot.left, lot.pending) for lot in self.lots}
            spent = sum(lease.spent for lease in self.lent if lease.open)
            balance = self.row(
                "SELECT balance_micros, held_micros, debt_micros FROM ledger.balance(%s) WHERE scope = 'live'", self.ref
            )
            held = sum(lot.pending for lot in self.lots) - spent
            assert balance == (sum(lot.left for lot in self.lots) - spent, held, self.debt)
            found = connection.execute(
                "SELECT used_micros, held_micros FROM ledger.budget_state('organisation', %s)", (self.ref,)
            ).fetchone()
            if found is not None:
                assert found == (self.budget.used, self.budget.pending)
            assert all(lot.free >= 0 for lot in self.lots)
            wrong = connection.execute(
                "SELECT name, value, sample FROM ledger.proofs() WHERE value > 0"
                " UNION ALL SELECT name, value, sample FROM payment.proofs() WHERE value > 0"
            ).fetchall()
            assert not wrong, wrong

    return Machine


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("part", range(4))
def test_every_life_ends_as_the_model_says(fresh_database: Database, sizes: Sizes, part: int) -> None:
    """5,000 lives in the long stage, in four parts that other processes may take."""
    with psycopg.connect(fresh_database.admin_url, autocommit=True) as connection:
        # A life is one transaction; between its steps others may have the machine for a while.
        connection.execute("SET idle_in_transaction_session_timeout = 0")
        connection.execute(
            "SELECT ledger.price_put(%s, 'openai/test', '{}', 'test', NULL, %s::jsonb)",
            [PRICE, codec.encode(RATES).decode()],
        )
        connection.execute("SELECT ledger.run_begin('w0')")
        connection.execute("SELECT ledger.segment_begin('w0', 1, 1)")
        settings = hypothesis.settings(
            max_examples=sizes["ledger_sequences"] // 4,
            stateful_step_count=14,
            deadline=None,
            database=None,
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        run_state_machine_as_test(hypothesis.seed(part)(machine_of(connection)), settings=settings)
