"""Retention under load: a real instance with many days of usage rows, calls at a steady rate, and the run.

    .venv/bin/python bench/retention.py                        90 days of 5,000 rows, a minute
    .venv/bin/python bench/retention.py --rows 100000          the size of the promise; some minutes and 4 GB of disk

Says how long the run took (mark: under 5 s) and the gateway's p99 without it and during it (mark: less than a fifth
more). The days' evidence was made before, as the hourly job makes it two days after each day; how long that takes for a
day is said too.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg

from ruxa.app import database, house
from ruxa.cli import settings as settings_

RUXA = [sys.executable, "-m", "ruxa"]
MODEL = "sandbox/chat"
LEASES = 50
IN_SERVICE = 83
MARK_S, MARK_RATIO = 5.0, 1.2


def main() -> int:
    """Seeds, loads, runs, tells."""
    parser = argparse.ArgumentParser(description="Measures a run of retention under load.")
    parser.add_argument("--days", type=int, default=90)
    parser.add_argument("--rows", type=int, default=5000, help="rows of a day")
    parser.add_argument("--rate", type=int, default=100, help="calls a second meanwhile")
    parser.add_argument("--seconds", type=int, default=20, help="of load without the run, before and after it")
    given = parser.parse_args()
    place = Path(tempfile.mkdtemp(prefix="ruxa-retention-"))
    try:
        return asyncio.run(measure(place, given))
    finally:
        shutil.rmtree(place, ignore_errors=True)


async def measure(place: Path, given: argparse.Namespace) -> int:
    """One instance from its first start to its end."""
    data = place / "data"
    server = subprocess.Popen(  # noqa: ASYNC220 - nothing else runs yet
        [*RUXA, "run", "--port", "0", "--data", str(data)],
        stdout=subprocess.DEVNULL,
        stderr=(place / "log").open("w"),
        cwd=place,
    )
    try:
        demo = await _demo(data)
        admin = _admin(data)
        began = time.monotonic()
        days = seed(admin, given.days, given.rows)
        print(f"seeded {given.days} days of {given.rows} rows in {time.monotonic() - began:.0f} s", flush=True)
        began = time.monotonic()
        with psycopg.connect(admin, autocommit=True) as connection:
            for day in days:
                connection.execute("SELECT ledger.evidence_prepare(%s)", [day])
            prepared = time.monotonic() - began
            connection.execute("VACUUM ANALYZE")
            # What filling it left to write is no part of what is measured.
            connection.execute("CHECKPOINT")
        print(f"evidence of a day: {prepared / len(days) * 1000:.0f} ms", flush=True)
        calls = Calls(demo["base_url"], demo["api_key"], given.rate)
        loading = asyncio.create_task(calls.run())
        await asyncio.sleep(3)
        first = time.monotonic()
        await asyncio.sleep(given.seconds)
        start = time.monotonic()
        outcome = await _retention(data)
        end = time.monotonic()
        await asyncio.sleep(given.seconds)
        last = time.monotonic()
        calls.stop()
        await loading
        return tell(calls, outcome, (first, start, end, last), _proofs(data))
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(60)


async def _demo(data: Path) -> dict[str, Any]:
    for _ in range(1200):
        if (data / "demo.json").exists() and (data / "run" / "server.json").exists():
            demo: dict[str, Any] = json.loads((data / "demo.json").read_text())
            demo["base_url"] = json.loads((data / "run" / "server.json").read_text())["base_url"] or demo["base_url"]
            return demo
        await asyncio.sleep(0.1)
    raise SystemExit("the server did not start")


def _admin(data: Path) -> str:
    """The superuser's URL of the embedded database."""
    settings = settings_.load(argparse.Namespace(data=str(data), keys=None, config=None))
    found = house.existing(settings)
    return database.of(settings, found, house.quiet(settings)).address.admin_url()


def seed(admin: str, days: int, rows: int) -> list[date]:
    """Days that are all over their limit, on leases that were opened and closed as ever; the days, oldest first."""
    last = datetime.now(UTC).date() - timedelta(days=IN_SERVICE)
    made = [last - timedelta(days=back) for back in range(days - 1, -1, -1)]
    share = math.ceil(rows / LEASES)
    with psycopg.connect(admin, autocommit=True) as connection:
        run = connection.execute
        run("CREATE TEMPORARY TABLE seeded (n int, organisation uuid, lease uuid)")
        run(
            "CREATE TEMPORARY TABLE price AS"
            " SELECT id, ceil((input_micros + output_micros) * 5 / 1e6)::bigint AS amount FROM ledger.price"
            " WHERE model = 'sandbox/chat' AND upper_inf(effective)"
        )
        run("SELECT ledger.run_begin('bench')")
        run(
            "SELECT ledger.lot_grant(gen_random_uuid(), md5('o' || n)::uuid, 'sandbox', 'promo', 1000000000000, 100,"
            " NULL, 'bench ' || n, NULL, 'bench') FROM generate_series(0, 19) n"
        )
        for day in made:
            with connection.transaction():
                run("TRUNCATE seeded")
                run(
                    "INSERT INTO seeded SELECT n, md5('o' || mod(n, 20))::uuid, md5(%s || n)::uuid"
                    " FROM generate_series(0, %s) n",
                    [str(day), LEASES - 1],
                )
                run(
                    "SELECT ledger.lease_open(lease, organisation, 'sandbox', '{}', 'bench', 1, amount * %s,"
                    " amount * %s, amount * %s, 1, interval '30 seconds') FROM seeded, price",
                    [share] * 3,
                )
                run("UPDATE ledger.lease SET spent_micros = amount_micros WHERE id IN (SELECT lease FROM seeded)")
                run("SELECT ledger.lease_close(lease) FROM seeded")
                run("UPDATE ledger.lease SET opened_at = %s WHERE id IN (SELECT lease FROM seeded)", [day])
                run("SELECT ruxa.partition_create('ledger.usage_event', %s)", [day])
                run("SET LOCAL session_replication_role = replica")
                run(_ROWS, [day, str(day), day, share, share, share - 1])
    return made


_ROWS = """
    INSERT INTO ledger.usage_event
    SELECT ledger.derived_id(%s::timestamptz + i * interval '0.8 ms', %s || i), %s, s.organisation,
        md5('k' || s.n)::uuid, true, 'sandbox', s.lease, 'sandbox/chat', 'sandbox', NULL, 'openai_chat', 'chat', false,
        200, NULL, 'stop', 5, 0, 0, 0, 5, 0, 0, 0, 0, 'provider', p.id, p.amount, 0, p.amount, 20, NULL, 1, '{}', false
    FROM seeded s, price p, generate_series(s.n * %s, s.n * %s + %s) i
"""


class Calls:
    """Small calls at a steady rate over kept connections; when each began and how long it took (seconds)."""

    def __init__(self, base_url: str, key: str, rate: int) -> None:
        host, port = base_url.removeprefix("http://").split(":")
        body = json.dumps({"model": MODEL, "messages": [{"role": "user", "content": "hi"}]}).encode()
        self.place = (host, int(port))
        self.request = (
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        ).encode() + body
        self.rate = rate
        self.took: list[tuple[float, float]] = []
        self.wrong = 0
        self._stopped = False
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    def stop(self) -> None:
        """No more calls."""
        self._stopped = True

    async def run(self) -> None:
        """Calls until stopped; a late one does not delay the next."""
        tasks: set[asyncio.Task[None]] = set()
        begun = time.monotonic()
        number = 0
        while not self._stopped:
            task = asyncio.create_task(self._call())
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            number += 1
            await asyncio.sleep(max(0.0, begun + number / self.rate - time.monotonic()))
        await asyncio.gather(*tasks)

    async def _call(self) -> None:
        began = time.monotonic()
        reader, writer = self._idle.pop() if self._idle else await asyncio.open_connection(*self.place)
        writer.write(self.request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(length)
        self.wrong += not head.startswith(b"HTTP/1.1 200")
        self.took.append((began, time.monotonic() - began))
        self._idle.append((reader, writer))

    def p99_ms(self, since: float, until: float) -> float:
        """Of the calls that began then."""
        found = sorted(took for began, took in self.took if since <= began < until)
        return found[max(math.ceil(len(found) * 0.99) - 1, 0)] * 1000 if found else 0.0


async def _retention(data: Path) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        *RUXA, "retention", "run", "--data", str(data), "--json", stdout=subprocess.PIPE
    )
    said, _ = await process.communicate()
    outcome: dict[str, Any] = json.loads(said)
    return outcome


def _proofs(data: Path) -> bool:
    asked = subprocess.run([*RUXA, "ledger", "check", "--data", str(data)], stdout=subprocess.PIPE, check=False)
    if asked.returncode:
        sys.stdout.write(asked.stdout.decode())
    return asked.returncode == 0


def tell(calls: Calls, outcome: dict[str, Any], times: tuple[float, float, float, float], proved: bool) -> int:
    """The result; 1 when a mark is missed."""
    first, start, end, last = times
    took_s = outcome["took_ms"] / 1000
    # The command's own start is no part of the run, but it loads the machine: both are said.
    before, after = calls.p99_ms(first, start), calls.p99_ms(end, last)
    during = calls.p99_ms(end - took_s, end)
    plain = max(before, after)
    print(f"run: {outcome['state']}, {outcome['planned']}, {took_s:.2f} s of {end - start:.2f} s with the command")
    print(f"p99 of {len(calls.took)} calls ({calls.wrong} refused): {before:.2f} ms before, {during:.2f} ms during,"
          f" {after:.2f} ms after")  # fmt: skip
    print(f"books: {'all proofs zero' if proved else 'WRONG'}; cpus {os.cpu_count()}, load {os.getloadavg()[0]:.1f}")
    good = outcome["state"] == "done" and took_s < MARK_S and during < plain * MARK_RATIO and proved and not calls.wrong
    print("both marks met" if good else "MARK MISSED")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
