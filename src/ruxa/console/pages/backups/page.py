"""Staff: backups made, the last restore drill and what it measured; what is late says so."""

from __future__ import annotations

from ruxa.console.page import Page, View, Visit
from ruxa.console.words import Words
from ruxa.privacy.backups import watch
from ruxa.store.work import Work

SHOWN = 20
DRILLS = 10


async def load(visit: Visit, work: Work) -> View:
    """The page."""
    words = visit.words
    report = await watch.report(work, SHOWN, DRILLS)
    drills = [drill for drill in report.drills if drill.rto_ms is not None and drill.rpo_s is not None]
    longest = max((drill.rto_ms or 0 for drill in drills), default=0) or 1
    last = report.passed
    return View(
        {
            "lasts": [
                {
                    "name": words.plain(f"backups.last_{last.what}"),
                    "at": last.at,
                    "age": None if last.hours is None else words.plain("backups.hours", n=last.hours),
                    "late": last.late,
                }
                for last in report.lasts
            ],
            "rpo": None if last is None or last.rpo_s is None else _long(words, last.rpo_s),
            "rto": None if last is None or last.rto_ms is None else _long(words, last.rto_ms // 1000),
            "drills": [
                {
                    "at": drill.started_at,
                    "backup": drill.backup or "-",
                    "passed": drill.state == "passed",
                    "running": drill.state == "running",
                    "why": drill.code or ", ".join(drill.failures),
                    "rpo": None if drill.rpo_s is None else _long(words, drill.rpo_s),
                    "rto": None if drill.rto_ms is None else _long(words, drill.rto_ms // 1000),
                    "share": 0 if drill.rto_ms is None else max(1, 100 * drill.rto_ms // longest),
                    "examined": words.number(drill.examined),
                    "readable": "-" if drill.readable is None else words.number(drill.readable),
                }
                for drill in report.drills
            ],
            "made": [
                {
                    "at": one.started_at,
                    "kind": words.plain(f"backups.kind_{one.kind}"),
                    "name": one.name or "-",
                    "state": one.state,
                    "why": one.code,
                    "size": "-" if one.bytes is None else words.plain("backups.mib", n=max(1, one.bytes >> 20)),
                    "gone": one.expired_at,
                }
                for one in report.made
            ],
        }
    )


def _long(words: Words, seconds: int) -> str:
    """A stretch of seconds, minutes or hours, in the unit that suits it."""
    if seconds < 120:
        return words.span(seconds * 1000)
    if seconds < 7200:
        return words.plain("backups.min", n=seconds // 60)
    return words.plain("backups.h", n=seconds // 3600)


PAGE = Page(
    name="backups",
    path="/staff/backups",
    area="staff",
    load=load,
    permission="staff_policy:read",
    icon="board",
    group="staff",
)
