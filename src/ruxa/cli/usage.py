"""``ruxa usage``: calls, what they used and what they cost."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from ruxa.access import organisations
from ruxa.app.house import House
from ruxa.cli import output, session
from ruxa.kernel import ids
from ruxa.kernel.errors import NotFound
from ruxa.ledger import activity
from ruxa.ledger.activity import Call, Filter

UNITS = (
    "input_tokens",
    "cache_read_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "output_tokens",
    "reasoning_tokens",
    "audio_input_tokens",
    "audio_output_tokens",
    "images",
)


def show(args: Namespace) -> int:
    """``ruxa usage show``."""

    async def act(house: House) -> Call | None:
        async with house.work() as work:
            return await activity.find(work, session.identifier("req", args.id))

    found = session.within(args, act)
    if found is None:
        raise NotFound(f"There is no call {args.id}; one that just ended shows within a second.")
    row = _row(found)
    if args.content:
        # This release stores no content: every call's content is gone when its answer is delivered.
        row |= {"content": None, "content_until": None}
    output.show(args, row)
    return 0


def list_(args: Namespace) -> int:
    """``ruxa usage list``."""

    async def act(house: House) -> list[Call]:
        since = session.moment(args.since, house.clock, "--since", past=True) if args.since else None
        async with house.work() as work:
            owner = await organisations.find(work, house.vault, session.organisation(args))
            return await activity.calls(work, owner.organisation_ref, Filter(since=since), limit=args.limit)

    columns = ["id", "time", "model", "status", "usage", "cost_micros"]
    output.table(args, [_row(call) for call in session.within(args, act)], columns, empty="No calls.")
    return 0


def _row(call: Call) -> dict[str, Any]:
    return {
        "id": ids.text("req", call.id),
        "time": call.at,
        "key_id": ids.text("key", call.key_id),
        "model": call.model,
        "provider": call.provider,
        "upstream_model": call.upstream_model,
        "dialect": call.dialect,
        "endpoint": call.endpoint,
        "stream": call.stream,
        "status": call.status,
        "error_code": call.error_code,
        "finish": call.finish,
        "usage": {name: getattr(call, name) for name in UNITS},
        "usage_source": call.usage_source,
        "cost_micros": call.amount_micros,
        "waived_micros": call.waived_micros,
        "ledger": call.line_state,
        "lease_id": None if call.lease_id is None else ids.text("lease", call.lease_id),
        "price_id": None if call.price_id is None else ids.text("price", call.price_id),
        "latency_ms": call.latency_ms,
        "first_token_ms": call.first_token_ms,
        "attempts": call.attempts,
        "lossy": call.lossy,
        "receipt_id": ids.text("req", call.id),
    }
