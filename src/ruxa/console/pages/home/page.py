"""Home: balance and what is held, spend and latency over a period, errors, top models, first steps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec

from ruxa.console import charts, money, records
from ruxa.console.charts import Chart, Series
from ruxa.console.page import Go, Page, View, Visit
from ruxa.console.rollups import Period
from ruxa.ledger.alerts import alerts
from ruxa.store.work import Work

MODELS = 6
ERRORS = 5
ALERTS = 10
RECENT = timedelta(days=3)


async def load(visit: Visit, work: Work) -> View | Go:
    """The page. Staff without an organisation have no home here and go to the organisations."""
    person = visit.person
    if person.role is None:
        return Go(to="/staff/organisations")
    now = visit.deps.clock.now()
    period = charts.period(visit.query.get("period"))
    starts, step_s = charts.buckets(period, now)
    found = await visit.deps.rollups.period(work, person.organisation_ref, starts, step_s, now)
    total = found.total
    purse = await money.purse_of(work, person.organisation_ref) if person.may("balance:read") else None
    has_key, has_call = await records.first_steps(work, person.organisation_id, person.organisation_ref, starts[0])
    steps = [
        {"name": "verify", "done": True, "href": "/settings"},
        {"name": "credit", "done": purse is not None and purse.total > 0, "href": "/billing"},
        {"name": "key", "done": has_key, "href": "/keys"},
        {"name": "call", "done": has_call, "href": "/playground"},
        {"name": "look", "done": visit.query.get("done") == "looked", "href": "/activity"},
    ]
    week_starts, week_step_s = charts.buckets("week", now)
    week = await visit.deps.rollups.period(work, person.organisation_ref, week_starts, week_step_s, now)
    told = []
    if person.may("payment:read"):
        told = [
            {"kind": one.kind, "at": one.began_at}
            for one in await alerts.listed(work, person.organisation_ref, limit=ALERTS)
            if one.ended_at is None and now - one.began_at < RECENT
        ]
    show_steps = not (has_key and has_call and (purse is None or purse.total > 0))
    return View(
        {
            "now": now,
            "period": period,
            "balance": purse,
            "days_left": None if purse is None else days_left(purse.free, week.total.spend),
            "alerts": told,
            "figures": {
                "spend": total.spend,
                "calls": total.calls,
                "tokens": total.tokens,
                "p50": total.p50,
                "p95": total.p95,
                "errors": total.errors,
                "error_share": share(total.errors, total.calls),
            },
            "models": [
                {"name": name, "calls": sums.calls, "spend": sums.spend, "share": whole(sums.spend, total.spend)}
                for name, sums in found.models[:MODELS]
                if name
            ],
            "errors": [{"code": code, "calls": count} for code, count in found.errors[:ERRORS]],
            "steps": steps if show_steps else [],
            "steps_done": sum(1 for step in steps if step["done"]),
            **_charts(visit, starts, step_s, found),
        }
    )


def days_left(free: int, week_spend: int) -> int | None:
    """For how many days the credit lasts at the pace of the last seven; None when nothing was spent."""
    return max(free, 0) * 7 // week_spend if week_spend > 0 else None


def share(part: int, of: int) -> str:
    """A percentage with two decimals."""
    thousands = part * 10_000 // of if of else 0
    return f"{thousands // 100}.{thousands % 100:02d}"


def whole(part: int, of: int) -> int:
    """A whole percentage."""
    return part * 100 // of if of else 0


def _charts(visit: Visit, starts: list[datetime], step_s: int, found: Period) -> dict[str, object]:
    words = visit.words
    seconds = [int(start.timestamp()) for start in starts]
    sums = [found.buckets.get(at // step_s, records.Sums()) for at in seconds]
    spend, median, late = words.plain("home.spend"), words.plain("home.median"), words.plain("home.p95_line")
    spend_chart = Chart(
        starts=seconds,
        step_s=step_s,
        time=words.plain("home.time"),
        series=[Series(spend, "USD", [one.spend for one in sums], "bar")],
        scale=1_000_000,
        places=places(max(one.spend for one in sums)),
    )
    latency_chart = Chart(
        starts=seconds,
        step_s=step_s,
        time=words.plain("home.time"),
        series=[
            Series(median, "ms", [one.p50 for one in sums]),
            Series(late, "ms", [one.p95 for one in sums]),
        ],
    )
    shown = [(_label(at, step_s), one) for at, one in zip(seconds, sums, strict=True)]
    return {
        "spend_chart": msgspec.json.encode(spend_chart).decode(),
        "spend_rows": {
            "head": [f"{spend}, USD", words.plain("home.calls")],
            "lines": [(at, words.amount(one.spend, 6), words.number(one.calls)) for at, one in shown],
        },
        "latency_chart": msgspec.json.encode(latency_chart).decode(),
        "latency_rows": {
            "head": [f"{median}, ms", f"{late}, ms"],
            "lines": [
                (at, "–" if one.p50 is None else one.p50, "–" if one.p95 is None else one.p95) for at, one in shown
            ],
        },
    }


def _label(at: int, step_s: int) -> str:
    moment = datetime.fromtimestamp(at, UTC)
    return moment.strftime("%m-%d" if step_s >= 86_400 else "%m-%d %H:%M")


def places(most_micros: int) -> int:
    """Decimals of the axis: enough to tell its ticks apart."""
    return 2 if most_micros >= 100_000 else 4 if most_micros >= 1000 else 6


PAGE = Page(name="home", path="/home", area="customer", load=load, icon="home")
