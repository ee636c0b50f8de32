"""Journal and recovery: what was written comes back once, whatever happened to the file in between."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from uuid import uuid4

import pytest

from ruxa.gateway import journal as journals
from ruxa.gateway.journal import HEADER, Journal, segment_key
from ruxa.gateway.recovery import Contents, read, read_header, replay
from ruxa.kernel.errors import Conflict, Unavailable
from ruxa.kernel.signals import Field, Level, Sink

DAY = date(2026, 11, 24)
KEY = bytes(range(32))


class Told:
    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Field]]] = []

    def emit(self, event: str, level: Level = "info", **fields: Field) -> None:
        self.events.append((event, fields))

    def names(self) -> list[str]:
        return [event for event, _ in self.events]


async def day_key(day: date) -> bytes:
    return KEY


def make(place: Path, run: int = 1, size: int = 1 << 18, told: Sink | None = None) -> Journal:
    return Journal(place, "gateway-0", run, day_key=day_key, today=lambda: DAY, sink=told or Told(), segment_bytes=size)


def contents(path: Path) -> Contents:
    data = path.read_bytes()
    header = read_header(data)
    assert header
    return read(data, header, segment_key(KEY, "gateway-0", header.run, header.number, header.salt))


class Books:
    """The usage rows as the database keeps them: by id, once."""

    def __init__(self) -> None:
        self.rows: dict[bytes, int] = {}
        self.closed: list[bytes] = []
        self.states: dict[tuple[int, int], str] = {}
        self.digests: dict[tuple[int, int], bytes] = {}
        self.told = Told()

    async def begin(self, run: int, number: int) -> str:
        return self.states.setdefault((run, number), "open")

    async def book(self, run: int, number: int, rows: Sequence[bytes]) -> tuple[int, int]:
        fresh = [row for row in rows if row not in self.rows]
        self.rows.update(dict.fromkeys(fresh, 1))
        return len(fresh), 0

    async def close_leases(self, run: int, intents: Sequence[bytes]) -> None:
        self.closed.extend(intents)

    async def acknowledge(self, run: int, number: int, digest: bytes, rows: int) -> None:
        if self.digests.setdefault((run, number), digest) != digest:
            raise Conflict("other content", code="RX022")
        self.states[run, number] = "acknowledged"

    async def refuse(self, run: int, number: int, digest: bytes, reason: str) -> None:
        self.states[run, number] = "refused"

    async def replay(self, place: Path, today: date = DAY) -> int:
        return await replay(place, "gateway-0", day_key=day_key, today=today, books=self, sink=self.told)


async def test_records_come_back_and_an_open_call_is_never_charged(tmp_path: Path) -> None:
    journal = make(tmp_path)
    await journal.start()
    lease, call, lost = uuid4(), uuid4(), uuid4()
    journal.intent(lease.bytes)
    journal.open(call.int, lease.bytes, 100)
    journal.open(lost.int, lease.bytes, 100)
    journal.close(b"row " + call.bytes)
    await journal.stop()
    journal.unlock()
    books = Books()
    assert await books.replay(tmp_path) == 1
    assert list(books.rows) == [b"row " + call.bytes]
    assert books.closed == [lease.bytes]
    assert not list(tmp_path.glob("*.rxj"))
    assert await books.replay(tmp_path) == 0


async def test_nothing_in_the_file_can_be_read_without_the_key(tmp_path: Path) -> None:
    journal = make(tmp_path)
    await journal.start()
    call = uuid4()
    journal.open(call.int, bytes(16), 0)
    journal.close(b"canary-row-" + call.bytes + call.hex.encode())
    await journal.stop()
    raw = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    journal.unlock()
    assert b"canary" not in raw
    assert call.bytes not in raw
    assert call.hex.encode() not in raw


async def test_segments_rotate_and_only_acknowledged_ones_go(tmp_path: Path) -> None:
    journal = make(tmp_path, size=16 * 1024)
    await journal.start()
    segments: set[journals.Segment] = set()
    for number in range(200):
        journal.open(uuid4().int, bytes(16), 0)
        segments.add(journal.close(b"%0300d" % number))
        await asyncio.sleep(0.001)
    assert len(segments) > 3
    assert not journal.acknowledged()
    first = min(segments, key=lambda segment: segment.number)
    first.rows = 0
    assert journal.acknowledged() == [first]
    journals.discard(first)
    await journal.stop()
    journal.unlock()
    books = Books()
    await books.replay(tmp_path)
    assert 0 < len(books.rows) < 200
    assert set(books.rows) <= {b"%0300d" % number for number in range(200)}


async def test_two_processes_never_share_a_directory(tmp_path: Path) -> None:
    journal = make(tmp_path)
    await journal.start()
    with pytest.raises(Unavailable) as refused:
        await make(tmp_path, run=2).start()
    assert refused.value.code == "journal_in_use"
    await journal.stop()
    journal.unlock()


@pytest.fixture
def small_files() -> Iterator[None]:
    """A disk that is full for any file beyond 64 KiB: the system itself refuses, as ENOSPC would."""
    old_limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    old_signal = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, old_limit[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, old_limit)
    signal.signal(signal.SIGXFSZ, old_signal)


async def test_full_disk_refuses_new_calls_and_closes_the_open_ones(tmp_path: Path, small_files: None) -> None:
    told = Told()
    journal = make(tmp_path, size=1 << 16, told=told)
    await journal.start()
    journal.segment_bytes = 1 << 20  # from now on no further segment can be made
    opened = 0
    while journal.ready():
        journal.open(uuid4().int, bytes(16), 0)
        opened += 1
        await asyncio.sleep(0)
    assert opened > 20
    with pytest.raises(Unavailable) as refused:
        journal.open(uuid4().int, bytes(16), 0)
    assert refused.value.code == "journal_unavailable"
    for number in range(opened):
        journal.close(b"%01000d" % number)
    assert journal.open_calls == 0
    while journal.ready():
        journal.open(uuid4().int, bytes(16), 0)
        journal.close(b"")
    with pytest.raises(Unavailable):
        journal.open(uuid4().int, bytes(16), 0)
    assert "journal.refused" in told.names()
    journal.segment_bytes = 1 << 16  # room again
    for _ in range(100):
        journal.tick()
        await asyncio.sleep(0.01)
        if journal.ready():
            break
    journal.open(uuid4().int, bytes(16), 0)
    journal.close(b"after")
    await journal.stop()
    journal.unlock()
    books = Books()
    await books.replay(tmp_path)
    assert {row for row in books.rows if row} >= {b"%01000d" % number for number in range(opened)} | {b"after"}


async def written(place: Path, rows: int) -> Path:
    journal = make(place)
    await journal.start()
    for number in range(rows):
        journal.open(uuid4().int, bytes(16), 0)
        journal.close(b"row-%06d" % number)
    await journal.stop()
    journal.unlock()
    [path] = place.glob("*.rxj")
    return path


async def test_cut_at_every_byte_of_the_last_frames_loses_only_what_was_cut(tmp_path: Path) -> None:
    path = await written(tmp_path, 6)
    used = path.read_bytes().rstrip(b"\0")
    header = read_header(used)
    assert header
    key = segment_key(KEY, "gateway-0", header.run, header.number, header.salt)
    frame = (len(used) - HEADER.size) // 12
    for end in range(len(used) - 3 * frame, len(used)):
        for data in (used[:end], used[:end].ljust(1 << 16, b"\0")):
            found = read(data, header, key)
            assert found.rows == [b"row-%06d" % number for number in range(len(found.rows))]
            assert len(found.rows) >= 4
            assert found.damaged == 0


async def test_a_flipped_byte_anywhere_is_told_and_costs_at_most_its_own_record(tmp_path: Path) -> None:
    path = await written(tmp_path, 6)
    whole = path.read_bytes()[: 1 << 13]
    used = len(whole.rstrip(b"\0"))
    header = read_header(whole)
    assert header
    key = segment_key(KEY, "gateway-0", header.run, header.number, header.salt)
    for at in range(HEADER.size, used):
        data = bytearray(whole)
        data[at] ^= 0x55
        found = read(bytes(data), header, key)
        assert found.damaged == 1, at
        assert len(found.rows) >= 5
        assert set(found.rows) <= {b"row-%06d" % number for number in range(6)}
        assert len(set(found.rows)) == len(found.rows)


async def test_damage_is_booked_as_far_as_it_can_be_read_and_kept_aside(tmp_path: Path) -> None:
    path = await written(tmp_path, 6)
    data = bytearray(path.read_bytes())
    data[HEADER.size + 40] ^= 1
    path.write_bytes(data)
    books = Books()
    assert await books.replay(tmp_path) == 5
    assert "journal.quarantined" in books.told.names()
    assert len(list((tmp_path / "quarantine").iterdir())) == 1


async def test_an_acknowledged_segment_is_never_booked_again(tmp_path: Path) -> None:
    path = await written(tmp_path, 3)
    copy = path.read_bytes()
    books = Books()
    assert await books.replay(tmp_path) == 3
    books.rows.clear()
    for name in (path.name, "0000000009-000009.rxj"):
        (tmp_path / name).write_bytes(copy)
        assert await books.replay(tmp_path) == 0
    assert not books.rows
    assert books.told.names().count("journal.refused") == 2
    assert not list(tmp_path.glob("*.rxj"))
    changed = bytearray(copy)
    changed[HEADER.size + 40] ^= 1
    path.write_bytes(changed)
    assert await books.replay(tmp_path) == 0
    assert not books.rows
    assert len(list((tmp_path / "quarantine").iterdir())) == 1


async def test_a_segment_beyond_the_usage_limit_is_refused(tmp_path: Path) -> None:
    await written(tmp_path, 3)
    books = Books()
    assert await books.replay(tmp_path, date(2027, 3, 1)) == 0
    assert not books.rows
    assert "journal.quarantined" in books.told.names()


async def test_an_empty_or_foreign_file_is_no_trouble(tmp_path: Path) -> None:
    (tmp_path / "0000000001-000001.rxj").write_bytes(b"")
    (tmp_path / "0000000001-000002.rxj").write_bytes(bytes(1000))
    (tmp_path / "0000000001-000003.rxj").write_bytes(b"something else entirely, not a journal of ours at all")
    assert await Books().replay(tmp_path) == 0
    assert not list(tmp_path.glob("*.rxj"))


WRITER = """
import asyncio, os, sys
from datetime import date
from pathlib import Path
from uuid import uuid4
from ruxa.gateway.journal import Journal

class Quiet:
    def emit(self, event, level="info", **fields): ...

async def key(day):
    return bytes(range(32))

async def main():
    journal = Journal(Path(sys.argv[1]), "gateway-0", 1, day_key=key, today=lambda: date(2026, 11, 24), sink=Quiet(),
                      segment_bytes=1 << 16)
    await journal.start()
    number = 0
    while True:
        journal.open(uuid4().int, bytes(16), 0)
        journal.close(b"row-%06d" % number)
        os.write(1, b"%d\\n" % number)
        number += 1
        if number % 7 == 0:
            await asyncio.sleep(0)

asyncio.run(main())
"""


async def test_kill_minus_nine_loses_nothing_that_was_delivered(tmp_path: Path, sizes: dict[str, int]) -> None:
    for round_number in range(sizes["kills"] // 2):
        place = tmp_path / str(round_number)
        child = subprocess.Popen([sys.executable, "-c", WRITER, str(place)], stdout=subprocess.PIPE, env=os.environ)
        assert child.stdout
        delivered = [child.stdout.readline() for _ in range(50 + 137 * round_number)]
        child.kill()
        delivered += child.stdout.read().splitlines(keepends=True)
        child.stdout.close()
        child.wait()
        last = int(next(line for line in reversed(delivered) if line.endswith(b"\n")))
        books = Books()
        await books.replay(place)
        rows = {f"row-{number:06d}".encode() for number in range(last + 1)}
        assert rows <= set(books.rows) <= rows | {b"row-%06d" % (last + 1)}
        assert "journal.quarantined" not in books.told.names()


async def test_sealing_adds_less_than_three_microseconds_of_cpu_to_a_call(tmp_path: Path) -> None:
    """A call's OPEN and CLOSE are one frame and one sealing. No entry of the audit log is written for a call."""
    journal = make(tmp_path, size=1 << 26)
    await journal.start()
    segment = journal.note(os.urandom(700))
    sealing = segment.seal

    def plain(nonce: bytes, data: bytes, bound_to: bytes | None) -> bytes:
        return data + nonce + b"tag."

    row, least = os.urandom(700), {True: 1.0, False: 1.0}
    for turn in range(400):
        sealed = turn % 2 == 0
        segment.seal = sealing if sealed else plain
        began = time.thread_time()
        for call in range(50):
            journal.open(call, bytes(16), 1000)
            journal.close(row)
        least[sealed] = min(least[sealed], (time.thread_time() - began) / 50)
    segment.seal = sealing
    await journal.stop()
    assert least[True] - least[False] < 3e-6, least
