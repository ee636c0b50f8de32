"""The page of backups: nothing yet, what was made, and a drill with what it measured."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from ruxa.kernel import ids
from ruxa.privacy.backups import records, watch


async def test_staff_see_backups_and_what_the_last_drill_measured(console: Any) -> None:
    browser, _ = await console.operator()
    empty = (await browser.get("/staff/backups")).text
    assert "No drill yet" in empty
    assert "No backup yet" in empty
    backup, failed, drill = ids.fresh(), ids.fresh(), ids.fresh()
    pool = await console.house.database.pool("ruxa_worker", max_size=1)
    async with pool.work() as work:
        now = await records.now(work)
        await records.begin(work, backup, "logical", "schedule")
        await records.done(work, backup, "20261124-000000000-logical-aa", 5 << 20, 7, now - timedelta(hours=3))
        await records.begin(work, failed, "base", "schedule")
        await records.failed(work, failed, "target_full")
        await records.drill_begin(work, drill, "schedule")
        await records.drill_end(
            work, drill, backup="20261124-000000000-logical-aa", living="l", code=None, rpo_s=7200, rto_ms=9000,
            rows=3, examined=20, failures=(), erased=1, readable=0,
        )  # fmt: skip
    shown = (await browser.get("/staff/backups")).text
    for text in ("3 hours ago", "5 MiB", "target_full", "passed", "20261124-000000000-logical-aa", "2 h"):
        assert text in shown, text
    # Late is told: 26 hours for the data, 3 for the keys, 30 days for the drill.
    async with pool.work() as work:
        assert {last.what: last.late for last in await watch.look(work)}["logical"] is False
        await records.done(work, backup, "20261124-000000000-logical-aa", 1, 1, now - timedelta(hours=27))
        assert {last.what: last.late for last in await watch.look(work)}["logical"] is True
    assert "late" in (await browser.get("/staff/backups")).text


async def test_a_drill_that_examined_nothing_or_read_somebody_erased_has_not_passed(console: Any) -> None:
    pool = await console.house.database.pool("ruxa_worker", max_size=1)
    for examined, readable, failures in ((0, 0, ()), (5, 1, ()), (5, 0, ("ledger I1",))):
        drill = ids.fresh()
        async with pool.work() as work:
            await records.drill_begin(work, drill, "command")
            await records.drill_end(
                work, drill, backup="b", living="l", code=None, rpo_s=1, rto_ms=1, rows=1, examined=examined,
                failures=failures, erased=1, readable=readable,
            )  # fmt: skip
            (found,) = [one for one in await records.drills(work, 9) if one.id == drill]
            assert found.state == "failed"
            assert await records.last_passed(work) is None
