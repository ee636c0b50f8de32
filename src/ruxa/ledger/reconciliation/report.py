"""The report for a bookkeeper: what each processor's books and ours have by day, and every difference with its age."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Final

import msgspec
from jinja2 import Environment, StrictUndefined

from ruxa.ledger.documents.export import table
from ruxa.ledger.reconciliation import records
from ruxa.ledger.reconciliation.differences import Difference
from ruxa.store.work import Work


class Total(msgspec.Struct, frozen=True):
    """A day of a kind of object at a processor: how many and how much, here and there; minor units."""

    processor: str
    scope: str
    day: date
    object: str
    currency: str
    count_here: int
    here: int
    count_there: int
    there: int
    fee_here: int
    fee_there: int


class Clearing(msgspec.Struct, frozen=True):
    """What a processor owes us: by our books (micros), and by its own lines (minor units; None: none were read)."""

    processor: str
    scope: str
    here_micros: int
    there_minor: int | None


class Calls(msgspec.Struct, frozen=True):
    """A day's calls: sent to providers as counted at the door out, tries in the books, calls charged and free."""

    day: date
    sent: int
    tries: int
    charged: int
    free: int


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """From ``since`` to before ``until``. Differences: of these days, and all that are open."""

    since: date
    until: date
    totals: tuple[Total, ...]
    clearing: tuple[Clearing, ...]
    calls: tuple[Calls, ...]
    differences: tuple[Difference, ...]


async def of_days(work: Work, since: date, until: date) -> Report:
    """The report."""
    names = records.DIFFERENCE_FIELDS
    return Report(
        since=since,
        until=until,
        totals=tuple(Total(*row) for row in await work.rows(records.TOTALS, since, until)),
        clearing=tuple(Clearing(*row) for row in await work.rows(records.CLEARING)),
        calls=tuple(Calls(*row) for row in await work.rows(records.UPSTREAM, since, until)),
        differences=tuple(
            Difference(**dict(zip(names, row, strict=True))) for row in await work.rows(records.OF_DAYS, since, until)
        ),
    )


def minor(amount: int | None) -> str:
    """``-1234`` -> ``-12.34``; nothing for None."""
    if amount is None:
        return ""
    whole, rest = divmod(abs(amount), 100)
    return f"{'-' if amount < 0 else ''}{whole}.{rest:02d}"


def as_json(report: Report) -> bytes:
    """For scripts."""
    return msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n"


def csv(report: Report) -> bytes:
    """The totals, and below an empty line the differences."""
    totals = [
        (t.day, t.processor, t.scope, t.object, t.currency, t.count_here, minor(t.here), t.count_there, minor(t.there),
         minor(t.fee_here), minor(t.fee_there), minor(t.here - t.there))
        for t in report.totals
    ]  # fmt: skip
    differences = [
        (d.id.hex, d.day, d.processor, d.scope, d.kind, d.object, d.ext_id, _shown(d, d.here), _shown(d, d.there),
         d.currency, d.age_days, d.state, d.outcome, d.reference)
        for d in report.differences
    ]  # fmt: skip
    return table([_TOTALS, *totals, (), _DIFFERENCES, *differences])


def html(report: Report) -> str:
    """One self-contained page; what a processor wrote is escaped."""
    last = report.until - timedelta(days=1)
    return _PAGE.render(report=report, last=last, minor=minor, shown=_shown)


def _shown(one: Difference, value: int | None) -> str:
    return minor(value) if one.object != "calls" else "" if value is None else str(value)


_TOTALS: Final = (
    "day", "processor", "scope", "object", "currency", "count_here", "here", "count_there", "there", "fee_here",
    "fee_there", "difference",
)  # fmt: skip
_DIFFERENCES: Final = (
    "id", "day", "processor", "scope", "kind", "object", "ext_id", "here", "there", "currency", "age_days", "state",
    "outcome", "reference",
)  # fmt: skip
_TEMPLATE: Final = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Reconciliation {{ report.since }} to {{ last }}</title>
<style>body { font: 15px/1.5 system-ui, sans-serif; color: #16181d; margin: 2rem; } table { border-collapse: collapse; }
th, td { text-align: start; padding: .25rem .75rem .25rem 0; border-bottom: 1px solid #c9ccd3; }
.n { text-align: end; font-variant-numeric: tabular-nums; }</style></head>
<body><main>
<h1>Reconciliation</h1>
<p>{{ report.since }} to {{ last }}, days of UTC. Amounts as the processor's balance gained.</p>
<h2>By processor and day</h2>
<table><thead><tr><th scope="col">Day</th><th scope="col">Processor</th><th scope="col">What</th>
<th scope="col" class="n">Here</th><th scope="col" class="n">There</th><th scope="col" class="n">Fees here</th>
<th scope="col" class="n">Fees there</th><th scope="col" class="n">Difference</th></tr></thead><tbody>
{% for t in report.totals %}<tr><td>{{ t.day }}</td><td>{{ t.processor }} {{ t.scope }}</td><td>{{ t.object }}</td>
<td class="n">{{ minor(t.here) }} ({{ t.count_here }})</td><td class="n">{{ minor(t.there) }} ({{ t.count_there }})</td>
<td class="n">{{ minor(t.fee_here) }}</td><td class="n">{{ minor(t.fee_there) }}</td>
<td class="n">{{ minor(t.here - t.there) }} {{ t.currency }}</td></tr>
{% endfor %}</tbody></table>
<h2>Differences</h2>
<table><thead><tr><th scope="col">Found</th><th scope="col">Kind</th><th scope="col">What</th>
<th scope="col" class="n">Here</th><th scope="col" class="n">There</th><th scope="col" class="n">Days</th>
<th scope="col">State</th></tr></thead><tbody>
{% for d in report.differences %}<tr><td>{{ d.day }}</td><td>{{ d.kind }}</td>
<td>{{ d.processor }} {{ d.object }} {{ d.ext_id }}</td><td class="n">{{ shown(d, d.here) }}</td>
<td class="n">{{ shown(d, d.there) }}</td><td class="n">{{ d.age_days }}</td>
<td>{{ d.state }}{% if d.outcome %}: {{ d.outcome }} {{ d.reference or "" }}{% endif %}</td></tr>
{% else %}<tr><td colspan="7">None.</td></tr>
{% endfor %}</tbody></table>
</main></body></html>
"""
_PAGE: Final = Environment(autoescape=True, undefined=StrictUndefined).from_string(_TEMPLATE)
