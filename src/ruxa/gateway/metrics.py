"""What a worker counts, as plain integers; each worker writes them to a file, and whoever is asked adds them up.

``DATA/run/metrics/<worker>.json`` is rewritten every second by a rename, so a reader never sees half of it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

LATENCY_BOUNDS_MS = (5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000)

HELP = {
    "calls": "Calls that ended, by dialect and status.",
    "tokens": "Tokens of calls, by kind.",
    "charged_micros": "Charged USD micros.",
    "waived_micros": "USD micros of charges that the platform bears.",
    "upstream_failures": "Failed attempts at providers, by provider and code.",
    "retries": "Attempts after the first.",
    "fallbacks": "Calls that went on to another target, by its provider.",
    "repeats": "Calls answered by what was kept of the same call, by reason.",
    "repeats_lost": "Answers that should have been kept for repeats and were not.",
    "guarded": "Things that a key's guard found, by kind (reason).",
    "refused": "Calls refused before an attempt, by code.",
    "gone": "Callers that left before the end.",
    "left_uncounted": "Calls whose caller left and whose usage is an estimate.",
    "left_reading": "Calls read on although their caller left.",
    "rows_flushed": "Usage rows committed.",
    "rows_waiting": "Usage rows not yet committed.",
    "content_stored": "Calls whose content was stored.",
    "content_dropped": "Calls whose content should have been stored and was not, by reason.",
    "responses_kept": "Responses kept to go on from.",
    "responses_dropped": "Responses that should have been kept and were not, by reason.",
    "journal_records": "Records written to the journal.",
    "in_flight": "Calls under way.",
    "connections": "Open connections of callers.",
    "database_up": "1 while the database answers.",
    "breakers_open": "Targets that are not asked now.",
    "figures_over_hold": "Answers for which the provider counted over 5 % more than was held, by provider.",
    "routes_closed": "Targets closed for prepaid calls until the operator opens them.",
    "retention_done_s": "When the last good run of retention ended (unix seconds); over 26 hours ago breaks a promise.",
    "retention_paused": "1 while nothing is destroyed by age because the clock jumped.",
    "backup_done_s": "When the last good backup was taken (unix seconds); over 26 hours ago breaks a promise.",
    "backup_keys_s": "When the keystore was last exported (unix seconds).",
    "drill_done_s": "When the last restore drill passed (unix seconds); over 30 days ago breaks a promise.",
    "drill_rpo_s": "Age of the data that the last drill brought back, in seconds.",
    "drill_rto_ms": "Milliseconds that the last drill took until it could serve.",
    "latency_ms": "Milliseconds from request to end of the answer.",
}
GAUGES = {
    "rows_waiting",
    "in_flight",
    "left_reading",
    "connections",
    "database_up",
    "breakers_open",
    "routes_closed",
    "retention_done_s",
    "retention_paused",
    "backup_done_s",
    "backup_keys_s",
    "drill_done_s",
    "drill_rpo_s",
    "drill_rto_ms",
}

# How the workers' values become one, where they don't add up: each worker sees the same thing.
JOIN: dict[str, Callable[[int, int], int]] = {
    "database_up": min,
    "routes_closed": max,
    "retention_done_s": max,
    "retention_paused": max,
    "backup_done_s": max,
    "backup_keys_s": max,
    "drill_done_s": max,
    "drill_rpo_s": max,
    "drill_rto_ms": max,
}


class Metrics:
    """Counters of one worker: name -> labels -> value. Labels are ready to print (``dialect="x",status="200"``)."""

    __slots__ = ("_statuses", "charged", "in_flight", "latency", "latency_sum_ms", "rows_flushed", "values", "waived")

    def __init__(self) -> None:
        self.values: dict[str, dict[str, int]] = {}
        self.latency = [0] * (len(LATENCY_BOUNDS_MS) + 1)
        self.latency_sum_ms = 0
        self.charged = 0
        self.waived = 0
        self.rows_flushed = 0
        self.in_flight = 0
        self._statuses: dict[tuple[str, int], list[int]] = {}

    def add(self, name: str, amount: int = 1, labels: str = "") -> None:
        """Count."""
        series = self.values.get(name)
        if series is None:
            series = self.values[name] = {}
        series[labels] = series.get(labels, 0) + amount

    def put(self, name: str, value: int, labels: str = "") -> None:
        """Set a gauge."""
        self.values.setdefault(name, {})[labels] = value

    def ended(self, dialect: str, status: int, latency_ms: int, amount: int, waived: int) -> None:
        """A call ended."""
        self.charged += amount
        self.waived += waived
        cell = self._statuses.get((dialect, status))
        if cell is None:
            cell = self._statuses[dialect, status] = [0]
        cell[0] += 1
        self.latency_sum_ms += latency_ms
        self.latency[bisect_left(LATENCY_BOUNDS_MS, latency_ms)] += 1

    def snapshot(self) -> Counted:
        """All of it as data."""
        values = {name: dict(series) for name, series in self.values.items()}
        values["calls"] = {
            f'dialect="{dialect}",status="{status}"': cell[0] for (dialect, status), cell in self._statuses.items()
        }
        values["charged_micros"] = {"": self.charged}
        values["waived_micros"] = {"": self.waived}
        values["rows_flushed"] = {"": self.rows_flushed}
        values["in_flight"] = {"": self.in_flight}
        return Counted(values, list(self.latency), self.latency_sum_ms)


class Counted(msgspec.Struct):
    """The counters of a worker at one moment."""

    values: dict[str, dict[str, int]]
    latency: list[int]
    latency_sum_ms: int


def write(directory: Path, worker: str, counted: Counted) -> None:
    """Leave the counters where the other workers find them."""
    place = directory / f"{worker}.json"
    draft = directory / f".{worker}.json"
    draft.write_bytes(msgspec.json.encode(counted))
    draft.replace(place)


def read_others(directory: Path, worker: str) -> list[Counted]:
    """What the other workers wrote last."""
    found: list[Counted] = []
    for path in sorted(directory.glob("*.json")):
        if path.name != f"{worker}.json" and not path.name.startswith("."):
            try:
                found.append(msgspec.json.decode(path.read_bytes(), type=Counted))
            except (OSError, msgspec.DecodeError):
                continue
    return found


def labels(directory: Path) -> set[str]:
    """The names of every label that the workers of a machine wrote last."""
    return {
        pair.partition("=")[0]
        for part in read_others(directory, "")
        for series in part.values.values()
        for text in series
        for pair in text.split(",")
        if pair
    }


def render(parts: Iterable[Counted]) -> bytes:
    """Prometheus text (0.0.4) of the sum of ``parts``."""
    total: dict[str, dict[str, int]] = {}
    latency = [0] * (len(LATENCY_BOUNDS_MS) + 1)
    sum_ms = 0
    for part in parts:
        for name, series in part.values.items():
            into = total.setdefault(name, {})
            for labels, value in series.items():
                before = into.get(labels)
                into[labels] = value if before is None else JOIN.get(name, int.__add__)(before, value)
        for index, value in enumerate(part.latency):
            latency[index] += value
        sum_ms += part.latency_sum_ms
    lines: list[str] = []
    for name, series in sorted(total.items()):
        kind, full = ("gauge", f"ruxa_{name}") if name in GAUGES else ("counter", f"ruxa_{name}_total")
        lines += [f"# HELP {full} {HELP[name]}", f"# TYPE {full} {kind}"]
        lines += [f"{full}{{{labels}}} {value}" if labels else f"{full} {value}" for labels, value in series.items()]
    lines += [f"# HELP ruxa_latency_ms {HELP['latency_ms']}", "# TYPE ruxa_latency_ms histogram"]
    below = 0
    for bound, value in zip((*LATENCY_BOUNDS_MS, "+Inf"), latency, strict=True):
        below += value
        lines.append(f'ruxa_latency_ms_bucket{{le="{bound}"}} {below}')
    lines += [f"ruxa_latency_ms_sum {sum_ms}", f"ruxa_latency_ms_count {below}", ""]
    return "\n".join(lines).encode()
