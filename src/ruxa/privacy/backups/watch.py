"""What is late: the last good backup over 26 hours ago, export of keys over 3, drill over 30 days (P53)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final, Literal

import msgspec

from ruxa.kernel import bounds
from ruxa.privacy.backups import records
from ruxa.store.work import Work

What = Literal["logical", "living", "drill"]

LIMIT: Final[dict[What, timedelta]] = {
    "logical": timedelta(hours=bounds.BACKUP_ALARM_H),
    "living": timedelta(hours=bounds.KEYS_EXPORT_ALARM_H),
    "drill": timedelta(days=bounds.DRILL_ALARM_DAYS),
}


class Last(msgspec.Struct, frozen=True):
    """When something was done last; ``at`` is None for never. ``late``: over its limit, or never done for that long."""

    what: What
    at: datetime | None
    hours: int | None
    late: bool


async def look(work: Work) -> list[Last]:
    """The last good backup, export of keys and drill. Never done counts from the database's first day."""
    now, since = await records.now(work), await records.created(work)
    living, logical = await records.last_done(work, "living"), await records.last_done(work, "logical")
    drill = await records.last_passed(work)
    done: dict[What, datetime | None] = {
        "logical": None if logical is None else logical.taken_at,
        "living": None if living is None else living.taken_at,
        "drill": None if drill is None else drill.ended_at,
    }
    return [
        Last(
            what=what,
            at=at,
            hours=None if at is None else int((now - at).total_seconds() // 3600),
            late=now - (at or since) > LIMIT[what],
        )
        for what, at in done.items()
    ]


class Report(msgspec.Struct, frozen=True):
    """What a page shows: what was last, the newest backups and drills, the last drill that passed."""

    lasts: list[Last]
    made: list[records.Made]
    drills: list[records.Drill]
    passed: records.Drill | None


async def report(work: Work, backups: int, drills: int) -> Report:
    """The newest ``backups`` backups (without the pieces of the log) and ``drills`` drills."""
    return Report(
        await look(work),
        await records.newest(work, ("logical", "base", "living", "kit"), backups),
        await records.drills(work, drills),
        await records.last_passed(work),
    )
