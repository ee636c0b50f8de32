"""Retention: how long each kind of data is kept, how old the oldest of it is now, and whether the job has run."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from ruxa.console.page import Page, View, Visit
from ruxa.console.words import Words
from ruxa.privacy import policy
from ruxa.privacy.retention import engine, stores
from ruxa.privacy.retention.stores import Class
from ruxa.store import instance
from ruxa.store.work import Work

JSON = "/privacy/retention.json"
# Of no person: for whoever runs the server, not for the public.
OWN = frozenset({"instance", "operations"})
# The job starts a minute after each hour.
MINUTE = 1


async def load(visit: Visit, work: Work) -> View:
    """The page, or the same as JSON by its other address."""
    said = await engine.report(work)
    now = await instance.now(work)
    following = now.replace(minute=MINUTE, second=0, microsecond=0)
    if following <= now:
        following += timedelta(hours=1)
    found = [(one, said.oldest.get(one.name)) for one in stores.classes() if one.name not in OWN]
    if visit.path == JSON:
        return View(
            body=msgspec.json.encode(
                {
                    "policy": {"effective": policy.current().effective, "sha256": policy.sha256()},
                    "classes": [_plain(one, oldest) for one, oldest in found],
                    "last_run": said.last_good,
                    "next_run": following,
                    "paused": said.paused,
                    "missed_hours": said.missed_h,
                    "holds": said.holds,
                }
            ),
            media_type="application/json",
        )
    return View(
        {
            "rows": [
                _shown(visit.words, one, oldest, now) | {"looked": one.name in said.oldest} for one, oldest in found
            ],
            "last": said.last_good,
            "following": following,
            "paused": said.paused,
            "missed": said.missed_h,
            "holding": said.holds,
            "sum": policy.sha256(),
        }
    )


def _plain(one: Class, oldest: datetime | None) -> dict[str, object]:
    return {
        "class": one.name,
        "in_service": one.service,
        "last_copy": one.published,
        "clause": one.clause,
        "counts_from": one.clock,
        "oldest": oldest,
    }


def _shown(words: Words, one: Class, oldest: datetime | None, now: datetime) -> dict[str, object]:
    return {
        "name": words.plain(f"retention.{one.name}"),
        "what": words.plain(f"retention.{one.name}_what"),
        "service": _span(words, one.service),
        "published": "–" if one.published is None else _span(words, one.published),
        "clock": words.plain(f"retention.from_{one.clock}"),
        "oldest": None if oldest is None else words.date(oldest),
        "age": None if oldest is None else words.plain("retention.unit_days", n=max((now - oldest).days, 0)),
    }


def _span(words: Words, span: str) -> str:
    """``83 days`` in the reader's language."""
    number, _, unit = span.partition(" ")
    return words.plain(f"retention.unit_{unit}", n=int(number))


PAGE = Page(name="retention", path=("/privacy/retention", JSON), area="public", load=load)
