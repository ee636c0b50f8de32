"""The closed list of all the house tells: each Signal names its event and its fields; sinks decide what to show.

Field values are ids, counts, codes and durations, never personal data, content or secrets. A sink writes one JSON
line per signal to standard error; metrics are counters kept by the room that emits.
"""

from __future__ import annotations

import contextlib
import sys
from typing import Literal, Protocol

import msgspec

from ruxa.kernel.clock import Clock

Level = Literal["debug", "info", "warning", "error"]
Field = str | int | bool | None

# event -> the fields it may carry; an event or a field outside this table is a programmer's error.
EVENTS: dict[str, frozenset[str]] = {
    "process.started": frozenset({"role", "port", "version"}),
    "process.stopped": frozenset({"role", "code"}),
    "process.restarted": frozenset({"role", "code", "delay_ms"}),
    "database.started": frozenset({"version", "recovered"}),
    "database.away": frozenset({"code"}),
    "database.back": frozenset({"away_ms"}),
    "migration.applied": frozenset({"step"}),
    "call.refused": frozenset({"request_id", "code", "status", "detail"}),
    "call.failed": frozenset({"request_id", "code", "status", "provider", "detail"}),
    "journal.quarantined": frozenset({"worker", "segment", "frames"}),
    "journal.replayed": frozenset({"worker", "segment", "rows", "late"}),
    "journal.refused": frozenset({"worker", "code"}),
    "content.dropped": frozenset({"reason", "count"}),
    "lease.opened": frozenset({"amount_micros"}),
    "lease.closed": frozenset({"spent_micros"}),
    "hold.exceeded": frozenset({"request_id", "model", "provider", "figure_micros", "hold_micros"}),
    "route.closed": frozenset({"model", "provider", "over_percent"}),
    "ledger.finding": frozenset({"proof", "value"}),
    "webhook.refused": frozenset({"provider", "code", "reason"}),
    "webhook.repeated": frozenset({"provider", "kind"}),
    "payment.failed": frozenset({"provider", "kind", "code"}),
    "payment.quarantined": frozenset({"provider", "kind", "reason"}),
    "document.failed": frozenset({"code"}),
    "reconciliation.differs": frozenset({"provider", "kind", "count"}),
    "key.destroyed": frozenset({"key_class", "count"}),
    "epoch.rotated": frozenset({"epoch", "keys"}),
    "retention.done": frozenset({"destroyed", "held", "took_ms"}),
    "retention.paused": frozenset({"code", "jump_s"}),
    "retention.failed": frozenset({"step", "code"}),
    "retention.missed": frozenset({"hours"}),
    "erasure.refused": frozenset({"code", "count"}),
    "backup.made": frozenset({"kind", "bytes", "took_ms"}),
    "backup.failed": frozenset({"kind", "code"}),
    "backup.expired": frozenset({"kind", "count"}),
    "backup.missed": frozenset({"kind", "hours"}),
    "drill.done": frozenset({"passed", "rpo_s", "rto_ms"}),
    "mail.sent": frozenset({"template", "status"}),
    "alert.told": frozenset({"kind"}),
    "job.failed": frozenset({"job", "code"}),
    "sign_in.refused": frozenset({"code"}),
    "egress.refused": frozenset({"host", "reason"}),
    "provider.unready": frozenset({"provider", "reason"}),
    "price.refused": frozenset({"model", "code"}),
    "audit.broken": frozenset({"kind", "leaf", "count"}),
    "audit.unwitnessed": frozenset({"witness", "code"}),
    "broken": frozenset({"request_id", "where", "error"}),
}

# What each field of a signal holds, in the data map's grammar; signals live as long as the operator's log (30 days).
_CALL = (
    "data: category=user.unique_id.pseudonymous subject=organisation purpose=provide,security"
    " basis=contract,legitimate_interest keep=operations seal=none erase=keep:security export=no:operational"
)
_PLAIN = """
    amount_micros away_ms bytes code count delay_ms destroyed detail epoch error figure_micros frames held
    hold_micros host hours job jump_s key_class keys kind late leaf model over_percent passed port proof
    provider reason recovered role rows rpo_s rto_ms segment spent_micros status step template took_ms value
    version where witness worker
"""
FIELDS: dict[str, str] = {"request_id": _CALL} | dict.fromkeys(_PLAIN.split(), "data: none")

# The labels of every metric, in the same grammar: closed sets of words, nobody's.
LABELS: dict[str, str] = dict.fromkeys(("dialect", "status", "provider", "code", "reason", "le"), "data: none")


class Sink(Protocol):
    """Where signals go."""

    def emit(self, event: str, level: Level = "info", **fields: Field) -> None:
        """Tell ``event``; unknown events and fields raise AssertionError."""
        ...


class JsonLines:
    """One JSON object a line on a stream (standard error by default)."""

    def __init__(self, role: str, clock: Clock, *, minimum: Level = "info") -> None:
        self.role = role
        self.clock = clock
        self._rank = ("debug", "info", "warning", "error").index(minimum)
        self._encode = msgspec.json.Encoder().encode

    def emit(self, event: str, level: Level = "info", **fields: Field) -> None:
        """See ``Sink.emit``."""
        assert event in EVENTS, event
        assert fields.keys() <= EVENTS[event], (event, sorted(fields))
        if ("debug", "info", "warning", "error").index(level) < self._rank:
            return
        line = {
            "ts": self.clock.now().isoformat(timespec="milliseconds"),
            "level": level,
            "role": self.role,
            "event": event,
            **fields,
        }
        # Whoever read our signals may have left; what they tell of goes on.
        with contextlib.suppress(OSError):
            sys.stderr.write(self._encode(line).decode() + "\n")
            sys.stderr.flush()
