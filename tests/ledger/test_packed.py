"""Packed rows are exactly what COPY would have been sent for the same usage row."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from fixtures_database import Database
from ruxa.kernel import ids
from ruxa.ledger import packed, prices, usage
from ruxa.ledger.usage import Segment, UsageRow


def pack(row: UsageRow) -> bytes:
    return packed.pack(
        row.id.int,
        packed.payer(row.organisation_ref, row.key_id, row.livemode, row.scope),
        packed.uuid(row.lease_id),
        packed.target(row.model, row.provider, row.upstream_model, row.dialect, row.endpoint, row.stream),
        row.status,
        row.error_code,
        row.finish,
        (
            row.input_tokens,
            row.cache_read_tokens,
            row.cache_write_5m_tokens,
            row.cache_write_1h_tokens,
            row.output_tokens,
            row.reasoning_tokens,
            row.audio_input_tokens,
            row.audio_output_tokens,
            row.images,
        ),
        row.usage_source,
        packed.uuid(row.price_id),
        row.amount_micros,
        row.waived_micros,
        row.hold_micros,
        row.latency_ms,
        row.first_token_ms,
        row.attempts,
        row.lossy,
    )


@pytest.mark.parametrize("full", [True, False])
async def test_a_packed_row_is_the_row(database: Database, full: bool) -> None:
    operator, gateway = await database.pool("ruxa_operator"), await database.pool("ruxa_gateway")
    async with operator.work() as work:
        price_id = await prices.put(work, "sandbox/chat", prices.rates(1, 1), source="test")
    async with gateway.work() as work:
        now_ms = await work.value("SELECT ledger.unix_ms(ruxa.now())")
        run = await usage.run_begin(work, "gateway-0")
        segment = Segment("gateway-0", run, 1)
        await usage.segment_begin(work, segment)
    more: dict[str, Any] = {}
    if full:
        more = {
            "model": "sandbox/chat",
            "provider": "sandbox",
            "upstream_model": "chät",
            "stream": True,
            "error_code": "caller_left",
            "finish": "error",
            "input_tokens": 1,
            "cache_read_tokens": 2,
            "cache_write_5m_tokens": 3,
            "cache_write_1h_tokens": 4,
            "output_tokens": 5,
            "reasoning_tokens": 6,
            "audio_input_tokens": 7,
            "audio_output_tokens": 8,
            "images": 9,
            "usage_source": "counted",
            "price_id": price_id,
            "hold_micros": 2**40,
            "first_token_ms": 3,
            "attempts": 2,
            "lossy": ("a", "b c"),
        }
    base: dict[str, Any] = {
        "at_ms": now_ms,
        "organisation_ref": uuid4(),
        "key_id": uuid4(),
        "livemode": True,
        "scope": "sandbox",
        "dialect": "openai_chat",
        "endpoint": "chat",
        "status": 499,
        "latency_ms": 12,
        **more,
    }
    plain = UsageRow(id=ids.at(now_ms), **base)
    other = UsageRow(id=ids.at(now_ms), **base)
    async with gateway.work() as work:
        assert (await usage.flush(work, [plain], segment)).booked == 1
    async with gateway.work() as work:
        assert (await packed.flush(work, [pack(other)], segment)).booked == 1
        assert (await packed.flush(work, [pack(other)], segment)).booked == 0
    async with operator.work() as work:
        rows = await work.rows("SELECT to_jsonb(u) - 'id' FROM ledger.charge u ORDER BY u.id")
    assert len(rows) == 2
    assert rows[0] == rows[1]
