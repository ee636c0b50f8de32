"""Staff: what left the house in the last 30 days, by recipient and category; and whether anything went undeclared."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, time, timedelta

import msgspec

from ruxa.console.charts import Chart, Series
from ruxa.console.page import Page, View, Visit
from ruxa.console.words import Words
from ruxa.egress.tally import UNDECLARED
from ruxa.privacy.outbound import register
from ruxa.privacy.outbound.register import Count
from ruxa.store import instance
from ruxa.store.work import Work

DAYS = 30
DAY_S = 86_400


async def load(visit: Visit, work: Work) -> View:
    """The page."""
    words = visit.words
    today = (await instance.now(work)).astimezone(UTC).date()
    counts = await register.counts(work, today, DAYS)
    strangers = await register.strangers(work, today, DAYS)
    known = [one for one in counts if one.recipient != UNDECLARED]
    sums = Counter[tuple[str, str, str]]()
    for one in known:
        sums[one.recipient, one.host, one.category] += one.sends
    days = [today - timedelta(days=back) for back in range(DAYS - 1, -1, -1)]
    starts = [int(datetime.combine(day, time(), UTC).timestamp()) for day in days]
    series = _series(known, days)
    return View(
        {
            "strangers": sorted(strangers.items()),
            "counts": [
                {"recipient": recipient, "host": host, "category": _label(words, category), "sends": sends}
                for (recipient, host, category), sends in sums.most_common()
            ],
            "chart": msgspec.json.encode(
                Chart(starts=starts, step_s=DAY_S, time=words.plain("home.time"), series=series)
            ).decode(),
            "rows": {
                "head": [one.label for one in series],
                "lines": [
                    (f"{day:%m-%d}", *(words.number(one.values[index] or 0) for one in series))
                    for index, day in enumerate(days)
                ],
            },
        }
    )


def _series(counts: list[Count], days: list[date]) -> list[Series]:
    """A line for each recipient: its sends of the category it gets most, a day each."""
    most = Counter[tuple[date, str]]()
    by_category = Counter[tuple[date, str, str]]()
    for one in counts:
        by_category[one.day, one.recipient, one.category] += one.sends
    for (day, recipient, _), sends in by_category.items():
        most[day, recipient] = max(most[day, recipient], sends)
    names = sorted({one.recipient for one in counts})
    return [Series(name, "", [most.get((day, name), 0) for day in days]) for name in names]


def _label(words: Words, key: str) -> str:
    name = f"category.{key.replace('.', '_')}"
    return words.plain(name) if words.has(name) else key


PAGE = Page(
    name="outbound",
    path="/staff/outbound",
    area="staff",
    load=load,
    permission="staff_policy:read",
    icon="arrow",
    group="staff",
)
