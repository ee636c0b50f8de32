"""Jobs: in the caller's transaction, ids only, tried again after failure, a killed worker and a lost database."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any, cast
from uuid import UUID, uuid4

import psycopg
import pytest

from fixtures_database import Database
from ruxa.kernel.errors import Broken, Conflict
from ruxa.store import jobs
from ruxa.store.jobs import Jobs
from ruxa.store.pool import Pool


class Heard:
    """A sink that keeps what it hears."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, object]]] = []

    def emit(self, event: str, level: str = "info", **fields: object) -> None:
        self.events.append((event, fields))


async def _count(pool: Pool) -> int:
    async with pool.work() as work:
        return cast(int, await work.value("SELECT count(*) FROM jobs.procrastinate_jobs"))


async def _until(condition: Any, seconds: float = 30.0) -> None:
    for _ in range(int(seconds / 0.02)):
        if await condition():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it did not come to that in time")


async def test_a_job_lives_and_dies_with_its_transaction(database: Database) -> None:
    pool = await database.pool("ruxa_console")

    async def fail() -> None:
        async with pool.work() as work:
            await jobs.defer(work, "greet", id=uuid4())
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail()
    assert await _count(pool) == 0
    async with pool.work() as work:
        assert await jobs.defer(work, "greet", id=uuid4())
    assert await _count(pool) == 1


async def test_runs_with_uuids_and_leaves_no_row(database: Database) -> None:
    pool = await database.pool("ruxa_worker")
    seen: list[dict[str, object]] = []
    stop = asyncio.Event()
    work_jobs = Jobs(Heard())

    async def greet(**arguments: object) -> None:
        seen.append(arguments)

    work_jobs.add("greet", greet, timeout_s=5)
    running = asyncio.create_task(work_jobs.run(database.url("ruxa_worker"), stop))
    given: dict[str, UUID | int] = {"id": uuid4(), "n": 7, "again": True}
    async with pool.work() as work:
        await jobs.defer(work, "greet", **given)

    async def done() -> bool:
        return bool(seen) and await _count(pool) == 0

    await _until(done)
    stop.set()
    await running
    assert seen == [given]


@pytest.mark.parametrize("value", ["ada@example.org", 1.5, None, {"a": 1}, b"x"])
async def test_only_ids_are_taken_by_the_code(database: Database, value: object) -> None:
    pool = await database.pool("ruxa_console")
    with pytest.raises(Broken) as caught:
        async with pool.work() as work:
            await jobs.defer(work, "greet", who=cast(int, value))
    assert caught.value.code == "job_argument"
    assert str(value) not in caught.value.detail + caught.value.public


@pytest.mark.parametrize("args", ['{"who": "ada@example.org"}', '{"a": {"b": 1}}', "[1]", '{"n": 1.5}', '"x"'])
async def test_only_ids_are_taken_by_the_table(database: Database, args: str) -> None:
    pool = await database.pool("ruxa_worker")
    with pytest.raises(Conflict) as caught:
        async with pool.work() as work:
            await work.run(
                "INSERT INTO jobs.procrastinate_jobs (queue_name, task_name, args) VALUES ('q', 't', %s)", args
            )
    assert caught.value.code == "job_args_are_ids"


async def test_once_waits_only_once_also_when_two_come_together(database: Database) -> None:
    pool = await database.pool("ruxa_console")
    subject = uuid4()

    async def ask() -> bool:
        async with pool.work() as work:
            made = await jobs.defer(work, "erase", once=f"erase {subject}", id=subject)
            await asyncio.sleep(0.05)
            return made

    assert sorted(await asyncio.gather(ask(), ask(), ask())) == [False, False, True]
    assert await _count(pool) == 1


async def test_a_failure_is_tried_again_and_its_text_is_nowhere(
    database: Database, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "RETRY_EXPONENT_S", 0)
    monkeypatch.setattr(jobs, "POLL_S", 0.5)
    pool = await database.pool("ruxa_worker")
    tried: list[int] = []
    heard = Heard()
    stop = asyncio.Event()
    work_jobs = Jobs(heard)

    async def flaky() -> None:
        tried.append(1)
        if len(tried) < 3:
            raise ValueError("CANARY-7f3a")

    work_jobs.add("flaky", flaky, timeout_s=5, attempts=5)
    async with pool.work() as work:
        await jobs.defer(work, "flaky")
    running = asyncio.create_task(work_jobs.run(database.url("ruxa_worker"), stop))

    async def done() -> bool:
        return await _count(pool) == 0

    await _until(done)
    stop.set()
    await running
    assert len(tried) == 3
    assert heard.events == [("job.failed", {"job": "flaky", "code": "ValueError"})] * 2
    assert "CANARY" not in caplog.text


async def test_a_failure_for_good_stays_as_failed_and_a_bound_is_kept(database: Database) -> None:
    pool = await database.pool("ruxa_worker")
    heard = Heard()
    stop = asyncio.Event()
    work_jobs = Jobs(heard)

    async def endless() -> None:
        await asyncio.sleep(60)

    work_jobs.add("endless", endless, timeout_s=0.05, attempts=1)
    async with pool.work() as work:
        await jobs.defer(work, "endless")
    running = asyncio.create_task(work_jobs.run(database.url("ruxa_worker"), stop))

    async def failed() -> bool:
        async with pool.work() as work:
            return await work.value("SELECT status::text FROM jobs.procrastinate_jobs") == "failed"

    await _until(failed)
    stop.set()
    await running
    assert heard.events == [("job.failed", {"job": "endless", "code": "timeout"})]


async def test_a_scheduled_job_starts_by_itself_and_never_twice_at_once(database: Database) -> None:
    at_work = 0
    most = 0
    runs = 0
    stop = asyncio.Event()

    async def tick() -> None:
        nonlocal at_work, most, runs
        at_work += 1
        most = max(most, at_work)
        await asyncio.sleep(1.3)
        at_work -= 1
        runs += 1

    # Two workers, as on two machines.
    workers = [Jobs(Heard()), Jobs(Heard())]
    for one in workers:
        one.add("tick", tick, timeout_s=5, cron="* * * * * *")
    running = [asyncio.create_task(one.run(database.url("ruxa_worker"), stop)) for one in workers]

    async def twice() -> bool:
        return runs >= 2

    await _until(twice)
    stop.set()
    await asyncio.gather(*running)
    assert most == 1


async def test_a_job_cut_off_by_the_stop_is_tried_again(database: Database) -> None:
    pool = await database.pool("ruxa_worker")
    begun = asyncio.Event()
    stop = asyncio.Event()
    work_jobs = Jobs(Heard())

    async def slow() -> None:
        begun.set()
        await asyncio.sleep(60)

    work_jobs.add("slow", slow, timeout_s=70)
    async with pool.work() as work:
        await jobs.defer(work, "slow")
    running = asyncio.create_task(work_jobs.run(database.url("ruxa_worker"), stop, grace_s=0.1))
    await begun.wait()
    stop.set()
    await running
    async with pool.work() as work:
        assert await work.rows("SELECT status::text FROM jobs.procrastinate_jobs") == [("todo",)]


async def test_goes_on_after_its_connections_were_cut(database: Database) -> None:
    pool = await database.pool("ruxa_worker")
    done: list[int] = []
    stop = asyncio.Event()
    work_jobs = Jobs(Heard())

    async def note(n: int) -> None:
        done.append(n)

    work_jobs.add("note", note, timeout_s=5)
    running = asyncio.create_task(work_jobs.run(database.url("ruxa_worker"), stop))
    for n in range(2):
        async with pool.work() as work:
            await jobs.defer(work, "note", n=n)

        async def noted(n: int = n) -> bool:
            return n in done

        await _until(noted)
        async with await psycopg.AsyncConnection.connect(database.admin_url, autocommit=True) as admin:
            await admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'ruxa jobs'"
                " AND datname = current_database()"
            )
    stop.set()
    await running


async def test_the_job_of_a_killed_worker_is_run_by_the_next(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "STALLED_S", 1.0)
    monkeypatch.setattr(jobs, "_MEND_S", 0.2)
    pool = await database.pool("ruxa_worker")
    async with pool.work() as work:
        await jobs.defer(work, "note", n=5)
    victim = tmp_path / "victim.py"
    victim.write_text(
        textwrap.dedent("""
        import asyncio, sys
        from ruxa.kernel.clock import Clock
        from ruxa.kernel.signals import JsonLines
        from ruxa.store.jobs import Jobs
        async def note(n):
            print("begun", flush=True)
            await asyncio.sleep(60)
        async def main():
            jobs = Jobs(JsonLines("worker", Clock()))
            jobs.add("note", note, timeout_s=70)
            await jobs.run(sys.argv[1], asyncio.Event())
        asyncio.run(main())
        """)
    )
    process = subprocess.Popen(
        [sys.executable, str(victim), database.url("ruxa_worker")],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert process.stdout is not None
    assert await asyncio.to_thread(process.stdout.readline) == b"begun\n"
    process.send_signal(signal.SIGKILL)
    await asyncio.to_thread(process.wait)
    process.stdout.close()
    done: list[int] = []
    stop = asyncio.Event()
    work_jobs = Jobs(Heard())

    async def note(n: int) -> None:
        done.append(n)

    work_jobs.add("note", note, timeout_s=70)
    running = asyncio.create_task(work_jobs.run(database.url("ruxa_worker"), stop))

    async def finished() -> bool:
        return done == [5] and await _count(pool) == 0

    await _until(finished)
    stop.set()
    await running


async def test_what_looks_every_few_seconds_leaves_no_row_and_may_finish(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "AGAIN_MAX_S", 0.01)
    pool = await database.pool("ruxa_worker")
    begun: list[int] = []
    ended: list[int] = []
    heard = Heard()
    stop = asyncio.Event()
    work_jobs = Jobs(heard)

    async def look() -> None:
        begun.append(await _count(pool))
        if len(begun) == 1:
            raise ValueError("CANARY-51c2")
        await asyncio.sleep(0.1)
        ended.append(1)

    work_jobs.add("look", look, timeout_s=5, every_s=0.01)
    running = asyncio.create_task(work_jobs.run(database.url("ruxa_worker"), stop, grace_s=5))

    async def again() -> bool:
        return len(begun) > len(ended) + 1 and len(ended) > 1

    await _until(again)
    stop.set()
    await running
    assert set(begun) == {0}
    assert len(begun) == len(ended) + 1, "the round at work did not finish"
    assert heard.events == [("job.failed", {"job": "look", "code": "ValueError"})]
