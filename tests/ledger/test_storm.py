"""Real processes spending one balance: exact without faults, and after kill -9 and database crashes within the bound.

The bound that is printed: what was delivered and not charged lies between one ``write`` of the witness and the next of
the journal, at most the holds of the calls in flight at each kill; nothing else is ever lost, and nothing is added.
"""

from __future__ import annotations

import os
import random
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
import pytest

from books import RATES
from conftest import Sizes
from fixtures_database import Database
from ruxa.kernel import codec, ids
from ruxa.store import database as setting_up
from ruxa.store import migrate
from ruxa.store.embedded import Cluster
from ruxa.store.logins import Logins

SPENDER = Path(__file__).with_name("spender.py")
HOLD_MAX = 5000


class Storm:
    """One balance and the processes that spend it."""

    def __init__(self, urls: dict[str, str], directory: Path, balance: int) -> None:
        self.urls = urls
        self.directory = directory
        self.balance = balance
        self.organisation = uuid4()
        self.price = ids.fresh()
        self.kills = 0
        self.chance = random.Random(9)
        with self.operator() as work:
            work.execute(
                "SELECT ledger.price_put(%s, 'openai/test', '{}', 'test', NULL, %s::jsonb)",
                [self.price, codec.encode(RATES).decode()],
            )
            # Three lots, so that leases span them.
            for part in (balance // 3, balance // 3, balance - 2 * (balance // 3)):
                lot = ids.fresh()
                work.execute(
                    "SELECT ledger.lot_grant(%s, %s, 'live', 'paid', %s, 100, NULL, %s, NULL, 'test')",
                    [lot, self.organisation, part, f"lot:{lot}"],
                )

    def operator(self) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(self.urls["ruxa_operator"], autocommit=True)

    def start(self, worker: str, *rest: str, hold: int = HOLD_MAX, tasks: int = 6) -> subprocess.Popen[bytes]:
        command = [sys.executable, str(SPENDER), self.urls["ruxa_gateway"], str(self.organisation), worker]
        command += [str(self.directory), str(self.chance.randint(1, 10**6)), str(hold), str(self.price), *rest]
        environment = {
            **os.environ,
            "RUXA_SPENDER_TASKS": str(tasks),
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        }
        with (self.directory / f"{worker}.err").open("ab") as errors:
            return subprocess.Popen(command, env=environment, stderr=errors)

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.wait()
            self.kills += 1

    def written(self, worker: str) -> int:
        """The bytes of a worker's witness."""
        path = self.directory / f"{worker}.witness"
        return path.stat().st_size if path.exists() else 0

    def finish(self, workers: list[str]) -> None:
        """Every journal replayed, twice over: the second time finds nothing to do."""
        for _ in range(2):
            for worker, done in [(worker, self.start(worker, "--recover")) for worker in workers]:
                assert done.wait(60) == 0, (self.directory / f"{worker}.err").read_text()[-2000:]
            for path in self.directory.glob("*.done"):
                path.rename(path.with_suffix(".j"))

    def delivered(self) -> dict[UUID, tuple[int, int]]:
        """call -> (amount, hold), from the witness; a line cut off by a kill is not there."""
        found: dict[UUID, tuple[int, int]] = {}
        for path in self.directory.glob("*.witness"):
            for line in path.read_text().splitlines():
                call, amount, hold = line.split()
                found[UUID(call)] = (int(amount), int(hold))
        return found

    def in_flight(self) -> dict[UUID, int]:
        """call -> hold of what the journals opened and never closed: what a kill may have cost."""
        frames = runpy.run_path(str(SPENDER))["frames"]
        found: dict[UUID, int] = {}
        for path in self.directory.glob("*.j"):
            for record in frames(path):
                if record["k"] == "O":
                    found[UUID(record["id"])] = record["h"]
                elif record["k"] == "C":
                    found.pop(UUID(record["id"]), None)
        return found

    def settled(self) -> dict[str, int]:
        """The account of the storm: what was lost, what is wrong."""
        delivered = self.delivered()
        with self.operator() as work:
            charged: dict[UUID, int] = dict(
                work.execute("SELECT id, amount_micros FROM ledger.charge").fetchall()  # pyright: ignore[reportArgumentType]
            )
            row = work.execute(
                "SELECT balance_micros, held_micros, debt_micros FROM ledger.balance(%s) WHERE scope = 'live'",
                [self.organisation],
            ).fetchone()
            wrong = work.execute("SELECT name, value, sample FROM ledger.proofs() WHERE value > 0").fetchall()
        assert row is not None
        assert not wrong, wrong
        assert row[1] == row[2] == 0
        lost = delivered.keys() - charged.keys()
        open_calls = self.in_flight()
        assert lost <= open_calls.keys(), "what is lost was in flight when a process was killed"
        return {
            "open_holds_micros": sum(open_calls.values()),
            "delivered_micros": sum(amount for amount, _ in delivered.values()),
            "delivered": len(delivered),
            "charged": len(charged),
            "kills": self.kills,
            "lost": len(lost),
            "lost_micros": sum(delivered[call][0] for call in lost),
            "extra": len(charged.keys() - delivered.keys()),
            "wrong": sum(amount != delivered[call][0] for call, amount in charged.items() if call in delivered),
            "unaccounted_micros": self.balance - sum(charged.values()) - int(str(row[0])),
            "left_micros": int(str(row[0])),
        }


@pytest.fixture
def storm(fresh_database: Database, tmp_path: Path) -> Storm:
    urls = {login: fresh_database.url(login) for login in ("ruxa_operator", "ruxa_gateway")}
    return Storm(urls, tmp_path, 400_000)


def stop_all(processes: list[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.wait()


@pytest.mark.parametrize("limited", [False, True], ids=["balance", "budget"])
def test_many_processes_spend_one_balance_exactly(storm: Storm, sizes: Sizes, limited: bool) -> None:
    """To the end of the money, or of a budget below it: nothing beyond it delivered, nothing lost, nothing extra."""
    spenders = sizes["spenders"] if sizes.long else sizes["spenders"] // (1 + limited)
    processes = min(max(spenders // 2, 1), 16)
    limit = storm.balance
    if limited:
        limit //= 2
        with storm.operator() as work:
            work.execute(
                "SELECT ledger.budget_put('organisation', %s, %s, %s, 'total')",
                [storm.organisation, storm.organisation, limit],
            )
    workers = [f"w{number}" for number in range(processes)]
    # At full size exactly 200 calls at once; else six in each process.
    share = [spenders // processes + (number < spenders % processes) for number in range(processes)]
    running = [storm.start(worker, tasks=max(tasks, 6)) for worker, tasks in zip(workers, share, strict=True)]
    negatives = 0
    try:
        with storm.operator() as reader:
            while any(process.poll() is None for process in running):
                row = reader.execute(
                    "SELECT balance_micros - held_micros FROM ledger.balance(%s) WHERE scope = 'live'",
                    [storm.organisation],
                ).fetchone()
                assert row is not None
                negatives += int(str(row[0])) < storm.balance - limit
                time.sleep(0.05)
        assert [process.wait() for process in running] == [0] * len(running)
    finally:
        stop_all(running)
    storm.finish(workers)
    account = storm.settled()
    assert negatives == 0
    assert account["delivered"] == account["charged"] > 40
    assert account["extra"] == account["wrong"] == account["lost"] == account["unaccounted_micros"] == 0
    # The stated bound of overdraft by spending at once is 0.
    assert account["delivered_micros"] <= limit
    assert account["left_micros"] - (storm.balance - limit) < 2 * HOLD_MAX


def test_kill_9_loses_at_most_what_was_in_flight(
    storm: Storm, sizes: Sizes, capsys: pytest.CaptureFixture[str]
) -> None:
    credit = 150_000_000 * sizes["kills"]  # micros; a life spends about 3,000,000 in a second
    with storm.operator() as work:
        lot = ids.fresh()
        work.execute(
            "SELECT ledger.lot_grant(%s, %s, 'live', 'paid', %s, 100, NULL, %s, NULL, 'test')",
            [lot, storm.organisation, credit, f"lot:{lot}"],
        )
    storm.balance += credit
    workers = ["w0", "w1", "w2"] if sizes.long else ["w0", "w1"]
    running = {worker: storm.start(worker) for worker in workers}
    try:
        while storm.kills < sizes["kills"]:
            worker = storm.chance.choice(workers)
            seen = storm.written(worker)
            deadline = time.monotonic() + 20
            while storm.written(worker) == seen:
                assert running[worker].poll() is None, (storm.directory / f"{worker}.err").read_text()[-2000:]
                assert time.monotonic() < deadline
                time.sleep(0.01)
            time.sleep(storm.chance.uniform(0, 0.3))
            storm.kill(running[worker])
            running[worker] = storm.start(worker)
        time.sleep(0.5)
        for process in running.values():
            storm.kill(process)
    finally:
        stop_all(list(running.values()))
    storm.finish(workers)
    account = storm.settled()
    # The holds of the calls that were open when a process died, as its own journal says.
    bound = account["open_holds_micros"]
    assert bound <= storm.kills * 6 * HOLD_MAX
    with capsys.disabled():
        sys.stdout.write(f"\nkill -9 storm: {account}, bound {bound} micros\n")
    assert account["kills"] >= 3
    assert account["delivered"] > 200
    assert account["extra"] == account["wrong"] == account["unaccounted_micros"] == 0
    assert account["lost"] <= storm.kills
    assert account["lost_micros"] <= bound


@pytest.fixture
def private_cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A PostgreSQL of this test alone, to be killed. Its commits are asynchronous unless the ledger asks for more."""
    logins = Logins.load(tmp_path / "keys")
    cluster = Cluster(tmp_path / "data", logins, fsync=False)
    cluster.initialise()
    try:
        cluster.start()
        cluster.ready()
        setting_up.setup(cluster.address)
        migrate.migrate(cluster.url("ruxa_owner"))
        yield cluster
    finally:
        cluster.stop(timeout_s=5)


def test_a_database_that_crashes_loses_nothing(private_cluster: Cluster, tmp_path: Path, sizes: Sizes) -> None:
    """Killed under two spenders: they go on from their leases, then wait; every delivered call is charged once."""
    urls = {login: private_cluster.url(login) for login in ("ruxa_operator", "ruxa_gateway")}
    storm = Storm(urls, tmp_path, 200_000_000)
    workers = ["w0", "w1"]
    running = [storm.start(worker, hold=2000) for worker in workers]
    process: subprocess.Popen[bytes] | None = None
    try:
        for crash in range(6 if sizes.long else 2):
            time.sleep(1.2)
            process = private_cluster._process  # pyright: ignore[reportPrivateUsage]
            assert process is not None
            process.send_signal(signal.SIGQUIT if crash % 2 else signal.SIGKILL)
            process.wait()
            time.sleep(0.3)
            private_cluster.start()
            private_cluster.ready()
        time.sleep(1.0)
        assert [one.poll() for one in running] == [None, None], [
            (tmp_path / f"{worker}.err").read_text()[-1500:] for worker in workers
        ]
    finally:
        for one in running:
            with suppress(ProcessLookupError):
                storm.kill(one)
    storm.finish(workers)
    account = storm.settled()
    assert account["delivered"] > 500
    assert account["extra"] == account["wrong"] == account["unaccounted_micros"] == 0
    assert account["lost"] <= 2


def test_a_worker_that_slept_past_its_leases_owes_at_most_them(fresh_database: Database, tmp_path: Path) -> None:
    """Stopped, its leases expire and close, the freed money is spent elsewhere; then it wakes, reports and spends."""
    urls = {login: fresh_database.url(login) for login in ("ruxa_operator", "ruxa_gateway")}
    storm = Storm(urls, tmp_path, 2_000_000)
    zombie = storm.start("w0", hold=1000)
    try:
        deadline = time.monotonic() + 20
        while storm.written("w0") < 2000:
            assert zombie.poll() is None, (tmp_path / "w0.err").read_text()[-2000:]
            assert time.monotonic() < deadline
            time.sleep(0.01)
        zombie.send_signal(signal.SIGSTOP)
        time.sleep(0.1)
        with storm.operator() as work, psycopg.connect(fresh_database.admin_url, autocommit=True) as admin:
            lent = work.execute("SELECT held_micros FROM ledger.balance(%s) WHERE scope = 'live'", [storm.organisation])
            in_hand = int(str((lent.fetchone() or (0,))[0]))
            assert in_hand > 0
            for seconds in (40, 2000):
                admin.execute(
                    "CREATE OR REPLACE FUNCTION ruxa.now() RETURNS timestamptz LANGUAGE sql VOLATILE PARALLEL SAFE"
                    f" RETURN pg_catalog.clock_timestamp() + interval '{seconds} seconds'"  # pyright: ignore[reportArgumentType]
                )
                for (lease,) in work.execute("SELECT ledger.leases_due(100)").fetchall():
                    work.execute("SELECT ledger.lease_expire(%s)", [lease])
            row = work.execute(
                "SELECT balance_micros, held_micros FROM ledger.balance(%s) WHERE scope = 'live'", [storm.organisation]
            ).fetchone()
            assert row is not None
            assert row[1] == 0
            elsewhere = int(str(row[0]))
        with psycopg.connect(urls["ruxa_gateway"], autocommit=True) as gateway:
            hold = ids.fresh()
            args = [hold, storm.organisation, elsewhere]
            placed = gateway.execute("SELECT ledger.hold_place(%s, %s, 'live', '{}', %s, '1 hour')", args).fetchone()
            assert placed == (None,)
            gateway.execute("SELECT ledger.hold_settle(%s, %s)", [hold, elsewhere])
        zombie.send_signal(signal.SIGCONT)
        time.sleep(1.0)
        storm.kill(zombie)
    finally:
        stop_all([zombie])
    storm.finish(["w0"])
    delivered = storm.delivered()
    with storm.operator() as work:
        charged = dict(work.execute("SELECT id, amount_micros FROM ledger.charge").fetchall())  # pyright: ignore[reportArgumentType]
        late = work.execute("SELECT count(*) FROM ledger.charge WHERE late").fetchone()
        row = work.execute(
            "SELECT balance_micros, debt_micros FROM ledger.balance(%s) WHERE scope = 'live'", [storm.organisation]
        ).fetchone()
        lost = work.execute(
            "SELECT debits_posted FROM ledger.account_balance WHERE code = 'expense:abandoned'"
        ).fetchone()
        wrong = work.execute("SELECT name, value, sample FROM ledger.proofs() WHERE value > 0").fetchall()
    assert not wrong, wrong
    assert row is not None
    assert lost == (0,)
    assert (late or (0,))[0] > 0  # pyright: ignore[reportOperatorIssue]
    balance, debt = int(str(row[0])), int(str(row[1]))
    assert len(delivered.keys() - charged.keys()) <= 1
    assert charged.keys() <= delivered.keys()
    assert balance == 0
    assert 0 < debt <= in_hand
    assert storm.balance - elsewhere - (sum(charged.values()) - debt) == balance
