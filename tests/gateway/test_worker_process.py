"""A gateway worker that is killed, loses its database, or has its clock set back: money stays exact."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from psycopg import sql

from dialect_calls import call
from fixtures_database import Database
from fixtures_gateway import House
from ruxa.egress.sandbox.server import Server
from ruxa.gateway import books
from ruxa.gateway.journal import Journal
from ruxa.kernel import ids
from ruxa.ledger import leases, usage
from ruxa.privacy.content import items

SCRIPT = Path(__file__).parents[1] / "gateway_process.py"


STARTED: list[Process] = []


@pytest.fixture(autouse=True)
async def nothing_stays() -> AsyncIterator[None]:
    """A test that fails leaves no worker behind; and while one lives, uvloop waits for it for ever when it closes."""
    yield
    while STARTED:
        process = STARTED.pop()
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


@pytest.fixture
async def sandbox() -> AsyncIterator[Server]:
    """A provider that ends with the test, however that ends."""
    server = Server(pace_ms=0)
    await server.listen("127.0.0.1", 0)
    yield server
    await server.close()


class Child:
    """A worker process."""

    def __init__(self, database: Database, place: Path, sandbox: int, **more: Any) -> None:
        self.said = {
            "sockets": database.session.sockets,
            "database": database.name,
            "logins": str(database.session.directory / "keys"),
            "keys": str(database.keys),
            "place": str(place),
            "sandbox": f"http://127.0.0.1:{sandbox}",
            **more,
        }
        self.process: Process | None = None
        self.url = ""
        self.told: list[str] = []

    async def start(self) -> None:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, str(SCRIPT), json.dumps(self.said), stdout=PIPE, stderr=PIPE, env=environment
        )
        STARTED.append(self.process)
        assert self.process.stdout
        line = await self.process.stdout.readline()
        if not line.startswith(b"READY"):
            assert self.process.stderr
            raise AssertionError((await self.process.stderr.read()).decode())
        self.url = f"http://127.0.0.1:{int(line.split()[1])}"

    async def end(self, number: int = signal.SIGTERM) -> str:
        """Signal and wait; what it told on standard error."""
        assert self.process
        self.process.send_signal(number)
        _, err = await self.process.communicate()
        if number == signal.SIGTERM:
            assert self.process.returncode == 0, err.decode()
        return err.decode()


async def one_call(url: str, secret: str, number: int, turn: asyncio.Semaphore) -> str | None:
    """The request id of a complete answer; None when it did not come whole. By hand: with a process dying under a
    thousand calls a client library is busier with its own bookkeeping than with calls."""
    stream = number % 2 == 0
    path, body = call("openai_chat", "sandbox/chat", f"[[tokens=8]] call {number}", stream=stream)
    data = json.dumps(body).encode()
    lines = f"POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {secret}\r\nconnection: close\r\n"
    try:
        async with turn, asyncio.timeout(30):
            reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
            try:
                writer.write(f"{lines}content-length: {len(data)}\r\n\r\n".encode() + data)
                answer = await reader.read(-1)
            finally:
                writer.close()
    except OSError:
        return None
    head, _, rest = answer.partition(b"\r\n\r\n")
    said = {name: value for name, _, value in (line.partition(b": ") for line in head.split(b"\r\n")[1:])}
    if not head.startswith(b"HTTP/1.1 200") or not rest:
        return None
    whole = rest.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n") if stream else len(rest) == int(said[b"content-length"])
    return said[b"x-request-id"].decode() if whole else None


async def test_kill_minus_nine_during_calls_charges_every_delivered_answer_once(
    house: House, sandbox: Server, tmp_path: Path, sizes: dict[str, int]
) -> None:
    await house.begin(credit_micros=50_000_000)
    delivered: list[str] = []
    for kill in range(max(2, sizes["kills"] // 10)):
        child = Child(house.database, tmp_path, sandbox.port, segment_bytes=256 * 1024)
        await child.start()
        count = sizes["calls_during_kill"]
        turn = asyncio.Semaphore(40)
        tasks = [asyncio.create_task(one_call(child.url, house.secret, n, turn)) for n in range(count)]
        try:
            for done, finished in enumerate(asyncio.as_completed(tasks), 1):
                request_id = await finished
                if request_id is not None:
                    delivered.append(request_id)
                if done == count // 3 + kill * 7:
                    assert child.process
                    child.process.kill()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        await child.end(signal.SIGKILL) if child.process and child.process.returncode is None else None
    assert len(delivered) > 20
    last = Child(house.database, tmp_path, sandbox.port)
    await last.start()
    told = await last.end()
    assert '"journal.replayed"' in told
    assert "quarantined" not in told
    rows = {f"req_{row['id'].replace('-', '')}": row for row in await house.rows()}
    for request_id in delivered:
        assert rows[request_id]["amount_micros"] > 0
    charged = [row for row in rows.values() if row["amount_micros"]]
    # More than was received: answers whose CLOSE was written and that died on the way to the caller.
    assert len(delivered) <= len(charged) <= sandbox.answered
    assert not list((tmp_path / "journal").rglob("*.rxj"))
    open_leases = house.sql("SELECT count(*) FROM ledger.lease WHERE state <> 'closed'")[0][0]
    assert open_leases == 0
    assert not house.proofs()


async def test_a_worker_that_a_failed_test_left_is_ended_before_its_loop(house: House, tmp_path: Path) -> None:
    """As if the body had failed here: what is left is ended by the fixture, else the loop never closes."""
    await house.begin()
    await Child(house.database, tmp_path, 9).start()
    assert STARTED[-1].returncode is None


async def test_a_row_that_can_not_be_booked_is_kept_aside_and_stops_nobody(house: House, tmp_path: Path) -> None:
    await house.begin()
    pool = await house.database.pool("ruxa_gateway")

    async def day_key(day: date) -> bytes:
        return await house.vault.day_key("usage", day)

    today = house.database.clock.today()
    async with pool.work() as work:
        run = await usage.run_begin(work, "gateway-9")
    directory = tmp_path / "journal" / "gateway-9"
    journal = Journal(directory, "gateway-9", run, day_key=day_key, today=lambda: today, sink=house.told)
    await journal.start()
    journal.note(b"not a row at all")
    await journal.stop()
    journal.unlock()
    booked = await books.recover_all(directory.parent, pool, day_key=day_key, today=today, sink=house.told)
    assert booked == 0
    assert "journal.quarantined" in house.told.names()
    assert len(list((directory / "quarantine").iterdir())) == 1
    assert not list(directory.glob("*.rxj"))


async def test_a_second_worker_of_the_same_name_does_not_start(house: House, tmp_path: Path) -> None:
    await house.begin()
    first = Child(house.database, tmp_path, 9)
    await first.start()
    second = Child(house.database, tmp_path, 9)
    with pytest.raises(AssertionError, match="journal"):
        await second.start()
    await first.end()


async def test_the_database_goes_and_comes_back(house: House, tmp_path: Path) -> None:
    """Known keys pass while their lease lasts; unknown ones and an ended lease get 503, never 402 or a free call."""
    await house.begin(credit_micros=50_000_000)
    await house.serve()
    _, other = await house.key()
    path, body = call("openai_chat", "sandbox/chat", "[[tokens=8]] x")
    known, unknown = house.headers(), {"authorization": f"Bearer {other}"}

    async def status(headers: dict[str, str]) -> int:
        return (await house.client.post(path, json=body, headers=headers)).status_code

    assert await status(known) == 200
    await house.rows(1)
    back = cut_off(house)
    try:
        assert [await status(known) for _ in range(5)] == [200] * 5
        assert await status(unknown) == 503
        for purse in house.pipeline._leases._purses.values():
            purse.current.deadline = 0.0  # its time is over: no further draw without the database
        answer = await house.client.post(path, json=body, headers=known)
        assert answer.status_code == 503
        assert answer.headers["retry-after"]
        for _ in range(60):
            ready = await house.client.get("/readyz")
            if ready.status_code == 503:
                break
            await asyncio.sleep(0.1)
        assert ready.status_code == 503
        assert "database.away" in house.told.names()
    finally:
        back()
    for _ in range(60):
        if await status(unknown) == 200:
            break
        await asyncio.sleep(0.1)
    assert await status(known) == 200
    rows = await house.rows(8)
    assert sum(1 for row in rows if row["amount_micros"]) == sum(1 for row in rows if row["status"] == 200)
    for _ in range(60):
        if "database.back" in house.told.names():
            break
        await asyncio.sleep(0.1)
    assert "database.back" in house.told.names()
    await house.stop()
    assert not house.proofs()


def cut_off(house: House) -> Callable[[], None]:
    """Take this test's database away as a stopped server does: connections die, none is made. Gives the way back."""
    name = sql.Identifier(house.database.name)
    with psycopg.connect(house.database.session.admin_url(), autocommit=True) as admin:
        admin.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(name))
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (house.database.name,)
        )

    def back() -> None:
        with psycopg.connect(house.database.session.admin_url(), autocommit=True) as admin:
            admin.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(name))

    return back


async def test_the_clock_set_back_changes_nothing_about_money(house: House) -> None:
    await house.begin()
    await house.serve()
    path, body = call("openai_chat", "sandbox/chat", "[[tokens=8]] x")
    first = await house.client.post(path, json=body, headers=house.headers())
    house.database.clock.offset_s = -26 * 3600
    second = await house.client.post(path, json=body, headers=house.headers())
    house.database.clock.offset_s = 26 * 3600
    third = await house.client.post(path, json=body, headers=house.headers())
    house.database.clock.offset_s = 0
    assert [answer.status_code for answer in (first, second, third)] == [200, 200, 200]
    rows = await house.rows(3)
    assert len({row["at"][:10] for row in rows}) == 1  # the database's day, whatever this machine's clock says
    assert all(row["amount_micros"] > 0 for row in rows)
    await house.stop()
    assert not house.proofs()
    assert leases.SERVED_SHARE < 1


async def test_kill_minus_nine_during_a_batch_bills_each_line_once(
    house: House, sandbox: Server, tmp_path: Path, sizes: dict[str, int]
) -> None:
    await house.begin(credit_micros=50_000_000)
    await house.vault.create_subject(house.organisation_id, ["content"])
    await house.vault.create_day_keys("content", items.DAYS_AHEAD)
    kills = max(2, sizes["kills"] // 10)
    count = 90 + 15 * kills
    path, body = call("openai_chat", "sandbox/chat", "[[tokens=8]] [[delay-ms=80]] a line")
    told = [{"custom_id": f"line-{n}", "method": "POST", "url": path, "body": body} for n in range(count)]
    data = "\n".join(json.dumps(one) for one in told).encode()
    child = Child(house.database, tmp_path, sandbox.port, segment_bytes=64 * 1024)
    await child.start()

    async def ask(method: str, place: str, **more: Any) -> httpx.Response:
        async with httpx.AsyncClient(base_url=child.url, trust_env=False, timeout=20) as client:
            answer = await client.request(method, place, headers=house.headers(), **more)
        assert answer.status_code == 200, answer.text
        return answer

    file = await ask("POST", "/v1/files", files={"file": ("in.jsonl", data)}, data={"purpose": "batch"})
    order = {"input_file_id": file.json()["id"], "endpoint": path, "completion_window": "24h"}
    batch = (await ask("POST", "/v1/batches", json=order)).json()
    killed = 0
    while batch["status"] not in ("completed", "failed", "expired"):
        await asyncio.sleep(0.05)
        batch = (await ask("GET", f"/v1/batches/{batch['id']}")).json()
        if killed < kills and batch["request_counts"]["completed"] >= (killed + 1) * 15:
            killed += 1
            await child.end(signal.SIGKILL)
            child = Child(house.database, tmp_path, sandbox.port, segment_bytes=64 * 1024)
            await child.start()
    assert killed == kills
    assert batch["request_counts"] == {"total": count, "completed": count, "failed": 0}
    output = (await ask("GET", f"/v1/files/{batch['output_file_id']}/content")).text
    answers = [json.loads(line) for line in output.splitlines()]
    assert [one["custom_id"] for one in answers] == [one["custom_id"] for one in told]
    await child.end()
    rows = {row["id"]: row for row in await house.rows(count)}
    assert sum(1 for row in rows.values() if row["amount_micros"] > 0) == count, "each line is paid for once"
    for one in answers:  # the answer is of the call that was paid for, or of a later one at the platform's expense
        row = rows[str(ids.read("req", one["response"]["request_id"]))]
        assert (row["amount_micros"] > 0) != (row["waived_micros"] > 0)
    assert sandbox.requests > count, "some line was under way when it was killed, and made again"
    for _ in range(100):
        if not house.proofs():
            break
        await asyncio.sleep(0.1)
    assert house.proofs() == {}


async def test_an_answer_that_died_with_its_worker_is_had_again_and_not_paid_again(
    house: House, sandbox: Server, tmp_path: Path
) -> None:
    await house.begin(credit_micros=50_000_000)
    await house.vault.create_subject(house.organisation_id, ["content"])
    await house.vault.create_day_keys("content", items.DAYS_AHEAD)
    path, body = call("openai_chat", "sandbox/chat", "[[tokens=8]] [[delay-ms=1500]] a line")
    told = [{"custom_id": f"line-{n}", "method": "POST", "url": path, "body": body} for n in range(6)]
    data = "\n".join(json.dumps(one) for one in told).encode()
    child = Child(house.database, tmp_path, sandbox.port)
    await child.start()
    async with httpx.AsyncClient(base_url=child.url, trust_env=False, timeout=20, headers=house.headers()) as client:
        file = await client.post("/v1/files", files={"file": ("in.jsonl", data)}, data={"purpose": "batch"})
        order = {"input_file_id": file.json()["id"], "endpoint": path, "completion_window": "24h"}
        batch = (await client.post("/v1/batches", json=order)).json()["id"]
    while house.sql("SELECT count(*) FROM content.batch_line") != [(6,)]:
        await asyncio.sleep(0.05)
    with psycopg.connect(house.database.admin_url) as admin:
        # The calls end and are booked; their answers cannot be written down.
        admin.execute("LOCK TABLE content.batch_line IN EXCLUSIVE MODE")
        await house.rows(6)
        await child.end(signal.SIGKILL)
    child = Child(house.database, tmp_path, sandbox.port)
    await child.start()
    async with httpx.AsyncClient(base_url=child.url, trust_env=False, timeout=20, headers=house.headers()) as client:
        while (found := (await client.get(f"/v1/batches/{batch}")).json())["status"] != "completed":
            assert found["status"] in ("in_progress", "finalizing"), found
            await asyncio.sleep(0.1)
        assert found["request_counts"] == {"total": 6, "completed": 6, "failed": 0}
    await child.end()
    rows = await house.rows(12)
    assert [row["amount_micros"] > 0 for row in rows] == [True] * 6 + [False] * 6
    assert [row["waived_micros"] > 0 for row in rows] == [False] * 6 + [True] * 6
    for _ in range(100):
        if not house.proofs():
            break
        await asyncio.sleep(0.1)
    assert house.proofs() == {}
