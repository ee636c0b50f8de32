"""``ruxa usage``: calls, what they used and what they cost."""

from __future__ import annotations

from argparse import Namespace
from base64 import b64encode
from typing import Any
from uuid import UUID

from ruxa.access import organisations
from ruxa.access.audit import log
from ruxa.access.authorize import OPERATOR
from ruxa.app.house import House
from ruxa.cli import output, session
from ruxa.kernel import ids
from ruxa.kernel.errors import NotFound
from ruxa.ledger import activity
from ruxa.ledger.activity import Call, Filter
from ruxa.privacy.content import items
from ruxa.privacy.content.items import Content, Part
from ruxa.store.work import Work

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
    """``ruxa usage show``; with ``--content`` an entry of the audit log says that it was read."""

    async def act(house: House) -> dict[str, Any] | None:
        call_id = session.identifier("req", args.id)
        async with house.work() as work:
            found = await activity.find(work, call_id)
            if found is None:
                return None
            return _row(found) | (await _content(house, work, call_id) if args.content else {})

    row = session.within(args, act)
    if row is None:
        raise NotFound(f"There is no call {args.id}; one that just ended shows within a second.")
    output.show(args, row if args.json else _readable(row))
    return 0


def _readable(row: dict[str, Any]) -> dict[str, Any]:
    """The row with what was stored of each side on lines of its own."""
    content: dict[str, Any] | None = row.get("content")
    if content is None:
        return row
    shown: dict[str, Any] = {name: value for name, value in row.items() if name != "content"}
    for part in ("request", "answer"):
        side: dict[str, Any] = content[part]
        shown[part] = f"{side['state']}, {side['media_type']}, {side['bytes']} bytes"
        shown[f"{part}_content"] = side["text"] if side["text"] is not None else side["base64"]
    return {**shown, "provider_error": content["provider_error"]}


async def _content(house: House, work: Work, call_id: UUID) -> dict[str, Any]:
    """``content`` (null: not stored, or gone) and ``content_until``."""
    found = await items.find(work, call_id)
    if found is None:
        return {"content": None, "content_until": None}
    await log.add(
        work,
        house.vault,
        OPERATOR,
        "content:read",
        organisation_id=found.organisation_id,
        object_id=call_id,
        purpose="support",
    )
    sides: dict[str, Any] = {}
    for part in ("request", "answer"):
        kept = found.side(part)
        body = await _opened(house, work, found, part, "provide")
        sides[part] = {"state": kept.state, "media_type": kept.media_type, "bytes": kept.size, **body}
    refusal = await _opened(house, work, found, "refusal", "support")
    return {
        "content": {**sides, "provider_error": refusal["text"]},
        "content_until": found.gone_at,
    }


async def _opened(house: House, work: Work, found: Content, part: Part, purpose: str) -> dict[str, str | None]:
    """``text``, or ``base64`` of what is no text; neither when it is not there."""
    body = await items.read(work, house.vault, house.objects, found, part, purpose=purpose)
    if body is None:
        return {"text": None, "base64": None}
    plain = body.open(purpose)
    try:
        return {"text": plain.decode(), "base64": None}
    except UnicodeDecodeError:
        return {"text": None, "base64": b64encode(plain).decode()}


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
