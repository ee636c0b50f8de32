"""Limits over the workers of one machine: N workers let in at most N - 1 more than the limit, and never N times it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from dialect_calls import call
from fixtures_gateway import House
from ruxa.gateway import shares
from ruxa.gateway.shares import PROBES, SLOTS, SharedLimiter, Shares
from ruxa.kernel.clock import monotonic
from ruxa.kernel.errors import Limited

KEY = UUID(int=7 << 64 | 7)


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[Shares, Shares]]:
    first, second = Shares(tmp_path, "gateway-0"), Shares(tmp_path, "gateway-1")
    first.tick(())
    yield first, second
    first.close()
    second.close()


def entered(limiters: list[SharedLimiter], tries: int) -> int:
    """How many of so many calls, one after the other at each in turn, are let in."""
    count = 0
    for number in range(tries):
        try:
            limiters[number % len(limiters)].enter()
            count += 1
        except Limited:
            continue
    return count


def test_two_workers_share_a_limit_of_requests(two: tuple[Shares, Shares]) -> None:
    limiters = [each.limiter(KEY, (10, None, None)) for each in two]
    assert entered(limiters, 40) == 10
    key = uuid4()
    other = [each.limiter(key, (10, None, None)) for each in two]
    assert entered(other[:1], 40) == 10, "one worker alone may take all of it"
    with pytest.raises(Limited) as refused:
        other[1].enter()
    assert refused.value.code == "requests_limit"
    assert 1 <= (refused.value.retry_after_s or 0) <= 60


def test_calls_under_way_and_tokens_count_together(two: tuple[Shares, Shares]) -> None:
    here, there = (each.limiter(KEY, (None, 100, 3)) for each in two)
    here.enter()
    there.enter()
    there.enter()
    with pytest.raises(Limited) as refused:
        here.enter()
    assert refused.value.code == "concurrency_limit"
    there.leave(0, 0)
    here.enter()
    here.expect(60)
    with pytest.raises(Limited):
        there.expect(41)
    there.expect(40)
    here.leave(60, 10)
    there.leave(40, 40)
    there.enter()
    assert there.expect(50) == 50


def test_a_worker_that_is_gone_counts_no_more(two: tuple[Shares, Shares], monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = (each.limiter(KEY, (None, None, 1)) for each in two)
    there.enter()
    with pytest.raises(Limited):
        here.enter()
    moment = monotonic()
    monkeypatch.setattr(shares, "monotonic", lambda: moment + shares.STALE_S + 1)
    two[0].tick([here])
    here.enter()  # nothing was heard of the other for too long
    here.leave(0, 0)
    two[1].tick([there])  # it lives after all
    with pytest.raises(Limited):
        here.enter()


def test_a_restarted_worker_begins_with_nothing_and_is_seen(tmp_path: Path) -> None:
    first, second = Shares(tmp_path, "gateway-0"), Shares(tmp_path, "gateway-1")
    first.tick(())
    second.limiter(KEY, (5, None, None)).enter()
    assert first.others(KEY.bytes, int(monotonic())) == (1, 0, 1)
    second.close()
    assert first.others(KEY.bytes, int(monotonic())) == (0, 0, 0)
    again = Shares(tmp_path, "gateway-1")
    again.limiter(KEY, (5, None, None)).enter()
    assert first.others(KEY.bytes, int(monotonic())) == (1, 0, 1)
    assert [oct(path.stat().st_mode & 0o777) for path in tmp_path.iterdir()] == ["0o600", "0o600"]
    first.close()
    again.close()


def test_keys_that_fall_on_one_place_are_kept_apart(two: tuple[Shares, Shares]) -> None:
    same = [UUID(int=number << 64 | 5 + SLOTS * number) for number in range(1, PROBES + 3)]
    for number, key in enumerate(same, 1):
        limiter = two[0].limiter(key, (1000, None, None))
        for _ in range(number):
            limiter.enter()
    second = int(monotonic())
    seen = [two[1].others(key.bytes, second)[0] for key in same]
    assert seen == [*range(1, PROBES + 1), 0, 0], "those that found no place are counted alone"


def test_many_processes_let_in_hardly_more_than_the_limit(tmp_path: Path) -> None:
    limit, workers = 3000, 4
    script = (
        "import sys; from pathlib import Path; from uuid import UUID; from ruxa.gateway.shares import Shares\n"
        "from ruxa.kernel.errors import Limited\n"
        "mine = Shares(Path(sys.argv[1]), sys.argv[2]); limits = (int(sys.argv[3]), None, None)\n"
        "limiter = mine.limiter(UUID(int=7), limits)\n"
        "print('ready', flush=True); sys.stdin.readline(); mine.tick([]); count = 0\n"
        "for _ in range(int(sys.argv[3]) + 100):\n"
        "    try: limiter.enter(); count += 1\n"
        "    except Limited: pass\n"
        "print(count, flush=True)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    running = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path), f"gateway-{number}", str(limit)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for number in range(workers)
    ]
    for process in running:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    told = []
    for process in running:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in running:
        told.append(int(process.communicate()[0]))
    assert limit <= sum(told) <= limit + workers - 1, told


async def test_a_caller_with_two_workers_gets_the_limit_once(house: House, tmp_path: Path) -> None:
    await house.begin(requests_per_minute=6)
    await house.serve(workers=2)
    other: Any = House(house.database, tmp_path)
    other.place, other.secret, other.vault = house.place, house.secret, house.vault
    await other.serve(workers=2, name="gateway-1")
    house.pipeline._snapshot.share()
    path, body = call("openai_chat", "sandbox/chat", "[[tokens=2]] x")
    answers = []
    for number in range(12):
        answers.append(await (house, other)[number % 2].client.post(path, json=body, headers=house.headers()))
    assert [answer.status_code for answer in answers] == [200] * 6 + [429] * 6
    left = [int(answer.headers["x-ratelimit-remaining-requests"]) for answer in answers]
    assert left == [5, 4, 3, 2, 1, 0, *[0] * 6]
    assert int(answers[-1].headers["retry-after"]) <= 60
    await other.stop()


def test_a_reader_sees_whole_figures_only_while_another_worker_writes(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from ruxa.gateway.shares import Shares\n"
        "mine = Shares(Path(sys.argv[1]), 'gateway-1'); key = bytes(15) + b'k'\n"
        "mine.write(key, 1, 255, 255, 255); print('ready', flush=True)\n"
        "while True: mine.write(key, 1, 256, 256, 256); mine.write(key, 1, 255, 255, 255)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    writer = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True, env=environment
    )
    try:
        assert writer.stdout
        assert writer.stdout.readline() == "ready\n"
        reader = Shares(tmp_path, "gateway-0")
        key = bytes(15) + b"k"
        seen = {figure for _ in range(100_000) for figure in reader.others(key, 1)}
        reader.close()
    finally:
        writer.kill()
        writer.communicate()
    assert seen == {255, 256}
