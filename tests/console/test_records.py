"""Reading across a period: right sums, only the organisation's own rows, and reading little of a million rows."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from ruxa.console import charts, records
from ruxa.console.rollups import Rollups
from ruxa.kernel import ids
from ruxa.ledger import activity, topups
from ruxa.store.work import Work

BLOCKS = 1000
FILL = """
    INSERT INTO ledger.usage_event (
        id, at, organisation_ref, key_id, livemode, scope, lease_id, model, provider, dialect, endpoint, stream, status,
        error_code, input_tokens, cache_read_tokens, cache_write_5m_tokens, cache_write_1h_tokens, output_tokens,
        reasoning_tokens, audio_input_tokens, audio_output_tokens, images, usage_source, price_id, amount_micros,
        waived_micros, hold_micros, latency_ms, first_token_ms, attempts, lossy, late)
    SELECT ledger.derived_id(m.at, n::text), m.at, %(ref)s, %(key)s, true, 'live',
        CASE WHEN n %% 50 = 0 THEN NULL ELSE '00000000-0000-7000-8000-000000000001'::uuid END,
        'openai/model-' || n %% 7, 'openai', 'openai_chat', 'chat', n %% 2 = 0,
        CASE WHEN n %% 50 = 0 THEN 503 ELSE 200 END, CASE WHEN n %% 50 = 0 THEN 'upstream_busy' END,
        100, 0, 0, 0, 50, 0, 0, 0, 0, 'provider', '00000000-0000-7000-8000-000000000002'::uuid,
        CASE WHEN n %% 50 = 0 THEN 0 ELSE n %% 1000 END, 0, 1000, 100 + n %% 900, 50, 1, '{}', false
    FROM generate_series(1, %(rows)s) AS n,
        LATERAL (SELECT ruxa.now() - interval '83 days' * (n - 0.5) / %(rows)s AS at) AS m
"""


@pytest.fixture
async def full(console: Any, books: Any, sizes: Any) -> tuple[Any, Any, UUID, int]:
    """An owner whose organisation has a great many calls over 83 days: browser, console, reference, rows."""
    browser, _, organisation_id = await console.owner()
    ref = await console.ref(organisation_id)
    rows = 1_000_000 if sizes.long else 20_000
    async with books.admin() as admin:
        await admin.execute(
            "SELECT ledger.day_ensure((ruxa.now() - d * interval '1 day')::date) FROM generate_series(0, 84) d"
        )
        await admin.execute("SET session_replication_role = replica")
        await admin.execute(FILL, {"ref": ref, "key": UUID(int=7), "rows": rows})
        await admin.execute("ANALYZE ledger.usage_event")
    return browser, console, ref, rows


class Reads:
    """What statements of pages read: blocks of 8 KiB that PostgreSQL touches, exact on a busy machine too."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[tuple[str, tuple[object, ...]]] = []
        for name in ("_rows", "_row"):
            monkeypatch.setattr(Work, name, self._noting(getattr(Work, name)))

    def _noting(self, runs: Any) -> Any:
        def noted(work: Work, sql: str, args: tuple[object, ...]) -> Any:
            self.asked.append((sql, args))
            return runs(work, sql, args)

        return noted

    async def blocks(self, pool: Any) -> int:
        """Of all statements since the last look, run again."""
        asked, total = list(self.asked), 0
        async with pool.work() as work:
            for sql, args in asked:
                plan = await work.value("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + sql, *args)
                total += plan[0]["Plan"]["Shared Hit Blocks"] + plan[0]["Plan"]["Shared Read Blocks"]
        self.asked.clear()
        return total


async def test_pages_read_little_of_a_million_rows(
    full: tuple[Any, Any, UUID, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    browser, console, ref, rows = full
    async with console.house.console.work() as work:
        middle = await activity.calls(
            work,
            ref,
            activity.Filter(),
            before=ids.floor(console.house.database.clock.unix_ms() - 40 * 86_400_000),
            after=None,
            limit=1,
        )
    paths = (
        "/home",
        "/home?period=week",
        "/home?period=month",
        "/activity",
        f"/activity?before={middle[0].shown_id}",
        f"/activity?after={middle[0].shown_id}",
        "/activity?status=failed",
        f"/activity/{middle[0].shown_id}",
        "/billing",
        "/keys",
        "/api/v1/usage",
        "/api/v1/ledger/lines",
    )
    reads, read = Reads(monkeypatch), dict[str, int]()
    for path in paths:
        await browser.get(path)
        reads.asked.clear()  # the first look makes what the next finds made
        await browser.get(path)
        assert reads.asked, path
        read[path] = await reads.blocks(console.house.console)
    assert max(read.values()) < BLOCKS, f"{rows} rows: {read}"


async def test_the_period_adds_up(console: Any, books: Any) -> None:
    _, _, organisation_id = await console.owner()
    ref = await console.ref(organisation_id)
    other = await books.organisation(sandbox=1_000_000)
    async with console.house.operator.work() as work:
        await topups.sandbox(work, ref, 1_000_000)
    lease, foreign = await books.lend(ref, 1000, "sandbox"), await books.lend(other, 1000, "sandbox")
    mine = [books.row(ref, lease, amount, "sandbox", latency_ms=amount) for amount in (10, 20, 30)]
    failed = books.row(ref, None, 0, "sandbox", status=429, latency_ms=9000, error_code="rate_limit_exceeded")
    await books.flush([*mine, failed, books.row(other, foreign, 500, "sandbox")])
    now = console.house.database.clock.now()
    starts, step_s = charts.buckets("day", now)
    rollups = Rollups()
    async with console.house.console.work() as work:
        for _ in range(2):
            found = await rollups.period(work, ref, starts, step_s, now)
            assert (found.total.calls, found.total.errors, found.total.spend, found.total.tokens) == (4, 1, 60, 60)
            assert abs(found.total.p50 - 20) <= 1
            assert abs(found.total.p95 - 30) <= 1
            assert sum(sums.calls for sums in found.buckets.values()) == 4
            assert [(name, sums.spend) for name, sums in found.models] == [("sandbox/test", 60)]
        assert found.errors == [("rate_limit_exceeded", 1)]
        assert await records.models(work, ref, starts[0]) == ["sandbox/test"]
        used = await records.key_used(work, ref, UUID(int=7), now - timedelta(days=1))
        assert used == records.Used(4, 1, 60)
        assert await activity.call(work, other, mine[0].id) is None
        lines = await records.lines(work, ref, before=None, after=None, limit=10)
        assert [line.amount_micros for line in lines] == [
            *(-row.amount_micros for row in sorted(mine, key=lambda row: row.id, reverse=True)),
            1_000_000,
        ]
        empty = await rollups.period(work, UUID(int=9), starts, step_s, now)
        assert empty.total == records.Sums()
