"""Activity: every call, newest first, by keyset pages; filters; search by id; export."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import urlencode
from uuid import UUID

import msgspec

from ruxa.access import keys
from ruxa.console import records, tables
from ruxa.console.page import Go, Page, View, Visit
from ruxa.kernel import bounds, ids, moments
from ruxa.kernel.errors import NotFound
from ruxa.ledger import activity
from ruxa.store.work import Work

PURPOSE = "provide"
MODELS_OF = timedelta(days=2)
SPANS = ("1h", "1d", "7d", "30d")
HEAD = (
    "id",
    "time",
    "key_id",
    "model",
    "provider",
    "dialect",
    "endpoint",
    "status",
    "error_code",
    "input_tokens",
    "output_tokens",
    "cost_micros",
    "latency_ms",
    "first_token_ms",
)


class Asked(msgspec.Struct, frozen=True):
    """The filters as the form shows them."""

    id: str = ""
    model: str = ""
    key: str = ""
    status: str = ""
    since: str = ""


async def load(visit: Visit, work: Work) -> View | Go:
    """The list, a file of it, or the one call that was searched for."""
    query = visit.query
    names = ("id", "model", "key", "status", "since")
    asked = Asked(*(query.get(name, "").strip() for name in names))
    if asked.id:
        try:
            found = await activity.call(work, visit.person.organisation_ref, ids.read("req", asked.id))
        except NotFound:
            found = None
        if found is not None and "hx-request" not in visit.query:
            return Go(to=f"/activity/{found.shown_id}")
    now = visit.deps.clock.now()
    wanted = activity.Filter(
        model=asked.model or None,
        key_id=ids.read("key", asked.key) if asked.key else None,
        outcome=asked.status if asked.status in ("ok", "failed") else None,
        since=moments.read(asked.since, now, "since", past=True, param="since") if asked.since else None,
    )
    if query.get("as") in ("csv", "json"):
        return await _file(visit, work, wanted, query["as"])
    before, after = cursor(query.get("before")), cursor(query.get("after"))
    rows = (
        []
        if asked.id
        else await activity.calls(
            work, visit.person.organisation_ref, wanted, before=before, after=after, limit=tables.ROWS + 1
        )
    )
    lines = await keys.of_organisation(work, visit.deps.vault, visit.person.organisation_id, limit=bounds.PAGE_ROWS_MAX)
    named = {line.id: line.name.open(PURPOSE) for line in lines}
    filters = {name: value for name, value in msgspec.structs.asdict(asked).items() if value}
    return View(
        {
            "asked": asked,
            "filtered": bool(filters),
            "spans": SPANS,
            "filters": urlencode(filters),
            "leaf": tables.leaf(
                rows, [row.shown_id for row in rows], before=query.get("before"), after=query.get("after")
            ),
            "names": named,
            "keys": [(ids.text("key", line.id), named[line.id]) for line in lines],
            "model_names": await records.models(
                work, visit.person.organisation_ref, visit.deps.clock.now() - MODELS_OF
            ),
        }
    )


def cursor(shown: str | None) -> UUID | None:
    """The id in a page's address. Raises NotFound when it is none."""
    return ids.read("req", shown) if shown else None


async def _file(visit: Visit, work: Work, wanted: activity.Filter, kind: str) -> View:
    rows = await activity.calls(
        work, visit.person.organisation_ref, wanted, before=None, after=None, limit=tables.EXPORT_ROWS_MAX
    )
    lines = [
        (
            row.shown_id,
            row.at.isoformat(),
            ids.text("key", row.key_id),
            row.model,
            row.provider,
            row.dialect,
            row.endpoint,
            row.status,
            row.error_code,
            row.input_total,
            row.output_total,
            row.amount_micros,
            row.latency_ms,
            row.first_token_ms,
        )
        for row in rows
    ]
    if kind == "csv":
        return View(body=tables.as_csv(HEAD, lines), media_type="text/csv", filename="ruxa-calls.csv")
    body = msgspec.json.encode([dict(zip(HEAD, line, strict=True)) for line in lines])
    return View(body=body, media_type="application/json", filename="ruxa-calls.json")


PAGE = Page(name="activity", path="/activity", area="customer", load=load, permission="usage:read", icon="pulse")
