"""The public page of retention: the promise's numbers, the oldest item now, the runs, in both languages and as JSON."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ruxa.kernel import ids
from ruxa.store import instance

if TYPE_CHECKING:
    from conftest import Console

# The promise as published, number by number (D39): not what drives the engine.
PROMISED = {
    "usage": ("83 days", "90 days"),
    "content": ("23 days", "30 days"),
    "account": ("30 days", "30 days"),
    "transactions": ("7 years", "7 years"),
    "support": ("3 years", "3 years"),
    "sign_up": ("48 hours", "48 hours"),
    "outbox": ("7 days", "7 days"),
}


async def test_it_says_the_limits_that_were_promised(console: Console) -> None:
    answer = await console.browser().get("/privacy/retention.json")
    said = {one["class"]: (one["in_service"], one["last_copy"]) for one in answer.json()["classes"]}
    assert {name: said[name] for name in PROMISED} == PROMISED
    assert answer.json()["holds"] == 0
    assert answer.json()["last_run"] is None
    page = (await console.browser().get("/privacy/retention")).text
    rows = [re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", row)) for row in re.findall(r"<tr>.*?</tr>", page, re.DOTALL)]
    assert any("Usage" in row and "83 days" in row and "90 days" in row for row in rows)
    assert any("Content of calls" in row and "23 days" in row and "30 days" in row for row in rows)
    assert "The job has not run yet." in page


async def test_it_is_there_in_chinese(console: Console) -> None:
    page = (await console.browser().get("/privacy/retention", **{"accept-language": "zh"})).text
    assert "数据保存多久" in page
    assert "83 天" in page
    assert "90 天" in page


async def test_it_shows_the_last_run_the_oldest_item_and_that_one_was_missed(console: Console) -> None:
    database = console.house.database
    instance.settle(database.url("ruxa_owner"), id=ids.fresh(), mode="demo", simulated=True)
    async with console.house.worker.work() as work:
        await work.run(
            "INSERT INTO privacy.retention_run (id, state, cause, ended_at)"
            " VALUES (%s, 'done', 'schedule', ruxa.now())",
            ids.fresh(),
        )
        await work.run(
            "INSERT INTO privacy.retention_state VALUES ('usage', ruxa.now() - interval '50 days', ruxa.now())"
        )
    page = (await console.browser().get("/privacy/retention")).text
    assert "Last complete run:" in page
    assert "(50 days)" in page
    assert "hours old" not in page
    instance.move_clock(database.url("ruxa_owner"), 30 * 3600)
    page = (await console.browser().get("/privacy/retention")).text
    assert "The last complete run is 30 hours old." in page
    assert (await console.browser().get("/privacy/retention.json")).json()["missed_hours"] == 30
    async with console.house.worker.work() as work:
        await work.run(
            "INSERT INTO privacy.retention_clock (boot, uptime_ms, database_ms, seen_ms, jump_ms, paused_at)"
            " VALUES ('a', 1, 1, 1, 1, ruxa.now())"
        )
    page = (await console.browser().get("/privacy/retention")).text
    assert "clock jumped" in page
