"""Throttles: free attempts, doubling waits with an end, and marks that name nobody."""

from __future__ import annotations

import psycopg

from fixtures_access import VISITOR, House
from ruxa.access import throttle
from ruxa.access.sessions import Visitor
from ruxa.access.throttle import Rule

RULE = Rule("test", free=3, wait_s=10, window_s=3600)


async def take(house: House, subject: bytes = b"a", rule: Rule = RULE) -> int:
    async with house.console.work() as work:
        return await throttle.take(work, house.vault, rule, subject)


def pass_by(house: House, seconds: int) -> None:
    with psycopg.connect(house.database.admin_url, autocommit=True) as admin:
        admin.execute(
            "UPDATE access.throttle SET blocked_until = blocked_until - make_interval(secs => %s), "
            "touched_at = touched_at - make_interval(secs => %s)",
            [seconds, seconds],
        )


async def test_waits_double_up_to_15_minutes(house: House) -> None:
    assert [await take(house) for _ in range(3)] == [0, 0, 0]
    waits: list[int] = []
    for _ in range(9):
        wait = await take(house)
        waits.append(wait)
        pass_by(house, wait)
        assert await take(house) == 0
    # A second of the wait may have passed already on a busy machine.
    expected = (10, 20, 40, 80, 160, 320, 640, 900, 900)
    assert all(due - 2 <= wait <= due for wait, due in zip(waits, expected, strict=True)), waits


async def test_being_refused_does_not_make_the_wait_longer(house: House) -> None:
    for _ in range(3):
        await take(house)
    assert {await take(house) for _ in range(20)} <= {7, 8, 9, 10}


async def test_attempts_are_forgotten_after_the_window(house: House) -> None:
    for _ in range(2):
        await take(house)
    pass_by(house, 3601)
    assert [await take(house) for _ in range(3)] == [0, 0, 0]
    assert await take(house) > 0


async def test_subjects_and_rules_count_apart(house: House) -> None:
    for _ in range(3):
        await take(house)
    assert await take(house) > 0
    assert await take(house, b"b") == 0
    assert await take(house, b"a", Rule("other", free=3, wait_s=10, window_s=600)) == 0


async def test_cleared_or_given_back(house: House) -> None:
    for _ in range(2):
        await take(house)
    async with house.console.work() as work:
        await throttle.give_back(work, house.vault, RULE, b"a")
    assert [await take(house) for _ in range(2)] == [0, 0]
    assert await take(house) > 0
    async with house.console.work() as work:
        await throttle.clear(work, house.vault, RULE, b"a")
    assert await take(house) == 0


async def test_marks_name_nobody_and_change_with_the_day(house: House) -> None:
    await take(house, throttle.block_of(VISITOR))
    with psycopg.connect(house.database.admin_url) as admin:
        mark = admin.execute("SELECT mark FROM access.throttle").fetchall()[0][0]
        assert len(mark) == 32
        assert b"203.0.113" not in bytes(mark)
        logged = admin.execute("SELECT relpersistence FROM pg_class WHERE oid = 'access.throttle'::regclass")
        assert logged.fetchall() == [("u",)]
        day = admin.execute("SELECT (ruxa.now() AT TIME ZONE 'UTC')::date").fetchall()[0][0]
    expected = house.vault.keyed_hash("throttle", f"test|{day}|203.0.113.0/24".encode())
    assert bytes(mark) == expected
    assert throttle.block_of(Visitor.of(None, None)) == b"unknown"
