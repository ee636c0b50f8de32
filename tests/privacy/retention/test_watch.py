"""The watch: a clock that jumps is not believed, one that runs is, whoever restarts what."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retention_house import RetentionHouse, reading
from ruxa.kernel.clock import Clock, uptime_ms
from ruxa.privacy.retention import records, watch
from ruxa.privacy.retention.records import Anchor
from ruxa.privacy.retention.watch import Reading

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
NOW = 1_795_478_400_000


def _anchor(**changed: object) -> Anchor:
    given: dict[str, object] = {
        "boot": "a", "uptime_ms": HOUR, "database_ms": NOW, "seen_ms": NOW, "jump_ms": None, "paused_at": None,
    }  # fmt: skip
    return Anchor(**{**given, **changed})  # pyright: ignore[reportArgumentType]


def _reading(after_ms: int, off_ms: int = 0, *, boot: str = "a", wall_off_ms: int = 0) -> Reading:
    """The clocks ``after_ms`` later, the database's ``off_ms`` from where it should be."""
    database = NOW + after_ms + off_ms
    return Reading(
        database_ms=database, wall_ms=database + wall_off_ms, uptime_ms=HOUR + after_ms if boot == "a" else 0, boot=boot
    )


@given(st.integers(0, 400 * DAY), st.integers(-5 * MINUTE, 5 * MINUTE))
def test_a_clock_that_runs_is_believed(after: int, off: int) -> None:
    assert watch.jump_ms(_anchor(), _reading(after, off)) is None


@given(st.integers(0, DAY), st.one_of(st.integers(8 * MINUTE, 4000 * DAY), st.integers(-20 * DAY, -8 * MINUTE)))
def test_a_clock_that_jumped_is_not(after: int, off: int) -> None:
    assert watch.jump_ms(_anchor(), _reading(after, off)) == off


def test_five_minutes_are_the_limit() -> None:
    for sign in (1, -1):
        assert watch.jump_ms(_anchor(), _reading(0, sign * 5 * MINUTE)) is None
        assert watch.jump_ms(_anchor(), _reading(0, sign * (5 * MINUTE + 1))) == sign * (5 * MINUTE + 1)


def test_the_process_and_the_database_agree_or_neither_is_believed() -> None:
    assert watch.jump_ms(_anchor(), _reading(HOUR, 0, wall_off_ms=6 * MINUTE)) == -6 * MINUTE
    assert watch.jump_ms(None, _reading(HOUR, 0, wall_off_ms=-6 * MINUTE)) == 6 * MINUTE
    assert watch.jump_ms(None, _reading(HOUR, 0, wall_off_ms=MINUTE)) is None


@pytest.mark.parametrize(
    ("away", "believed"),
    [(0, True), (DAY, True), (7 * DAY, True), (7 * DAY + 1, False), (4000 * DAY, False), (-5 * MINUTE, True),
     (-6 * MINUTE, False), (-30 * DAY, False)],
)  # fmt: skip
def test_after_a_restart_only_what_came_before_is_known(away: int, believed: bool) -> None:
    later = Reading(database_ms=NOW + away, wall_ms=NOW + away, uptime_ms=5, boot="b")
    assert (watch.jump_ms(_anchor(), later) is None) == believed
    # A machine that does not tell its boots is like one that was restarted.
    silent = Reading(database_ms=NOW + away, wall_ms=NOW + away, uptime_ms=HOUR, boot="")
    assert (watch.jump_ms(_anchor(boot=""), silent) is None) == believed


async def test_many_small_steps_are_a_jump(house: RetentionHouse) -> None:
    """Four minutes an hour would be 83 days in a little more than three years; the second hour already shows."""
    start = uptime_ms()

    async def step(hours: int, off_ms: int) -> int | None:
        database = NOW + hours * HOUR + off_ms
        given = Reading(database_ms=database, wall_ms=database, uptime_ms=start + hours * HOUR, boot="one")
        async with house.books.worker.work() as work:
            return await watch.check(work, given)

    assert await step(0, 0) is None
    assert await step(1, 4 * MINUTE) is None
    assert await step(2, 8 * MINUTE) == 8 * MINUTE
    assert await step(3, 12 * MINUTE) == 12 * MINUTE
    # Back where it should be, the pause ends by itself.
    assert await step(4, MINUTE) is None
    async with house.books.worker.work() as work:
        anchor = await records.anchor(work)
    assert anchor is not None
    assert (anchor.paused_at, anchor.jump_ms, anchor.database_ms) == (None, None, NOW)


async def test_an_announced_move_of_a_simulated_instance_is_no_jump(house: RetentionHouse) -> None:
    for day in (0, 91, 3, 4000):
        await house.to(day)
        async with house.books.worker.work() as work:
            real = await watch.read(work, Clock(day * 86_400))
            assert abs(real.database_ms - real.wall_ms) < 5000
            assert await watch.check(work, real) is None


async def test_a_first_word_that_contradicts_itself_is_not_believed(house: RetentionHouse) -> None:
    async with house.books.worker.work() as work:
        real = await reading()(work, Clock())
        odd = Reading(
            database_ms=real.database_ms + DAY, wall_ms=real.database_ms, uptime_ms=real.uptime_ms, boot=real.boot
        )
        assert await watch.check(work, odd) == DAY
        assert await watch.check(work, real) is None
