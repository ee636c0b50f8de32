"""Every store with its class: retention is total (D31). What is stored in a place that is not listed here is refused.

A **class** is a word of the data map (``keep``) with its clock and its limits; a **store** is a table, a kind of file,
a prefix of objects, a log or a memory, with the classes of what it holds and how that is destroyed. ``unclassed`` is
the gate, over the live schema and the live directories; ``ruxa doctor`` looks through it too.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final, Literal

import msgspec

from ruxa.kernel import bounds
from ruxa.privacy import policy

Kind = Literal["table", "file", "key", "object", "log", "memory"]

AUDIT_DAYS: Final = 730
OPERATIONS_DAYS: Final = 30
HOLD_MONTHS: Final = 12
CONSENT_YEARS: Final = 3


class Class(msgspec.Struct, frozen=True, kw_only=True):
    """How long a kind of data is kept. ``name`` is the data map's word.

    clause: the promise it keeps; clock: what the time counts from; service: how long it is in service; published: how
    long the last copy of it can exist, as the policy promises it (None: the policy gives no number of its own).
    """

    name: str
    clause: str | None
    clock: str
    service: str
    published: str | None = None


class Store(msgspec.Struct, frozen=True, kw_only=True):
    """One place where things are kept, and how they leave it.

    places: tables (``schema.table``), or patterns of files below the data (``data/``) or keys (``keys/``) directory, or
    prefixes of object names, or words for what is neither; classes: the data map's words for what it holds; ends: how
    what is over its limit goes; days: of a table of days, how many it has in service.
    """

    kind: Kind
    places: tuple[str, ...]
    classes: tuple[str, ...]
    ends: str
    days: int | None = None


def classes() -> tuple[Class, ...]:
    """Every class there is, with the numbers of the policy that holds."""
    limits = policy.current().limits
    closed = f"{limits.account_closed_days} days"
    usage, content = f"{limits.usage_days} days", f"{limits.content_days} days"
    return (
        Class(name="usage", clause="P57", clock="event", service=f"{bounds.USAGE_DAYS} days", published=usage),
        Class(name="security", clause="P57", clock="event", service=f"{bounds.USAGE_DAYS} days", published=usage),
        Class(name="content", clause="P58", clock="event", service=f"{bounds.CONTENT_DAYS} days", published=content),
        Class(name="account", clause="P55", clock="closure", service=closed, published=closed),
        Class(name="transactions", clause="P56", clock="year", service=f"{limits.transaction_years} years",
              published=f"{limits.transaction_years} years"),
        Class(name="support", clause="P59", clock="resolved", service=f"{limits.support_years} years",
              published=f"{limits.support_years} years"),
        Class(name="consent", clause=None, clock="use", service="3 years"),
        Class(name="audit", clause=None, clock="event", service="2 years"),
        Class(name="session", clause=None, clock="use", service=f"{bounds.SESSION_IDLE_DAYS} days"),
        Class(name="sign_up", clause=None, clock="event", service=f"{bounds.SIGN_UP_TTL_H} hours",
              published=f"{limits.sign_up_unproved_h} hours"),
        Class(name="outbox", clause=None, clock="event", service=f"{bounds.MAIL_DAYS} days",
              published=f"{limits.outbox_days} days"),
        Class(name="export", clause=None, clock="event", service="7 days"),
        Class(name="operations", clause=None, clock="event", service=f"{OPERATIONS_DAYS} days"),
        Class(name="hold", clause="P58", clock="hold", service=f"{HOLD_MONTHS} months"),
        Class(name="instance", clause=None, clock="instance", service="-"),
    )  # fmt: skip


def _table(ends: str, classes_: str, *places: str, days: int | None = None) -> Store:
    return Store(kind="table", places=places, classes=tuple(classes_.split()), ends=ends, days=days)


def _files(kind: Kind, ends: str, classes_: str, *places: str) -> Store:
    return Store(kind=kind, places=places, classes=tuple(classes_.split()), ends=ends)


# fmt: off
CLASSES: Final[tuple[Store, ...]] = (
    # Days: the day's key is destroyed, the day's partition dropped.
    _table("day reduced to billing evidence, then dropped", "usage", "ledger.usage_event", "ledger.usage_day",
           days=bounds.USAGE_DAYS),
    _table("day key destroyed, day dropped", "usage", "audit.customer_entry", days=bounds.USAGE_DAYS),
    _table("day key destroyed, day dropped", "audit", "audit.entry", days=AUDIT_DAYS),
    _table("key of the last day destroyed, last day dropped with its objects", "content", "content.item",
           "content.file", "content.batch", "content.batch_line", "content.repeat", "content.response", days=0),
    # Money: kept by law, then its keys and years go.
    _table("deletion refused before its time; after it the year's keys are destroyed and its rows deleted",
           "transactions account", "ledger.account", "ledger.transfer", "ledger.lot", "ledger.lease",
           "ledger.lease_slice", "ledger.billing_evidence", "ledger.kept_transfer"),
    _table("sums of years that are over; the account's row goes when it is empty", "transactions", "ledger.opening",
           "ledger.opening_usage"),
    _table("deletion refused; a reference, a limit, no movement", "transactions account", "ledger.budget",
           "ledger.erased_reference", "ledger.organisation_plan"),
    _table("hashes and sums without their rows; kept for ever", "instance", "ledger.seal", "ledger.seal_rest",
           "ledger.year_ended", "ledger.opening_entry"),
    _table("names unreadable when the year's keys are destroyed, then the row deleted; never before its time",
           "transactions", "ledger.document", "ledger.document_line", "ledger.document_tax"),
    _table("row deleted with the account", "account", "ledger.billing_profile"),
    _table("holds nothing personal", "instance", "ledger.document_series", "ledger.reconciliation_run"),
    _table("deletion refused before its time; the row deleted when its year is over", "transactions",
           "ledger.reconciliation_entry", "ledger.difference"),
    _table("deletion refused before its time; what is sealed in it ends with the year's keys, then the row is deleted",
           "transactions", "payment.orders",
           "payment.fact", "payment.quarantine", "payment.refund", "payment.evidence", "payment.confirmation",
           "payment.wish", "payment.freeze", "payment.attempt"),
    _table("row deleted with the account, or when it is removed", "account", "payment.customer",
           "payment.saved_method", "payment.auto"),
    _table("row deleted with the account", "account", "ledger.alert_setting"),
    _table("row deleted by the worker's run over alerts after the days of usage", "usage", "ledger.alert",
           "ledger.spend_day"),
    _table("row deleted by the hourly run after 30 days", "operations instance", "payment.inbox"),
    _table("row deleted by the hourly run after two days", "security", "payment.velocity_mark"),
    _table("row deleted by the hourly run at the mark's end, a year at most", "audit", "payment.trial_mark"),
    _table("holds nothing personal", "instance", "payment.bound", "payment.merchant", "payment.looked"),
    _table("holds nothing personal", "instance", "ledger.price", "ledger.evidence_day", "ledger.route_closed",
           "ledger.free_month", "ledger.book", "ledger.margin", "ledger.route", "ledger.journal_run"),
    _table("ids of refused rows taken out when the segment ends, or with their day; the rest holds nothing personal",
           "usage instance", "ledger.journal_segment"),
    # People and organisations.
    _table("keys destroyed and rows erased when the account has been closed for its time",
           "account session sign_up transactions", "access.organisation", "access.member", "access.membership",
           "access.key", "access.key_secret", "access.provider_key", "access.terms_acceptance", "privacy.restriction"),
    _table("row deleted by the hourly run", "session", "access.session"),
    _table("row deleted by the hourly run", "sign_up", "access.one_time_link"),
    _table("body, then row deleted by the hourly run", "outbox security", "access.mail"),
    _table("row deleted a day after it was touched", "security", "access.throttle"),
    _table("row deleted a day after it was made", "instance", "access.key_change"),
    _table("holds nothing personal", "instance", "access.terms_version"),
    # The audit log's tree: hashes, for ever.
    _table("hashes without their entries; kept for ever", "instance", "audit.pending", "audit.leaf", "audit.node",
           "audit.checkpoint", "audit.cosignature", "audit.acknowledgement", "audit.mailing"),
    # Keys.
    _table("row deleted: the key is destroyed; its wrapping ends with the epoch, within 7 days", "account",
           "keystore.key"),
    _table("holds nothing personal", "instance", "keystore.epoch", "keystore.public_key", "keystore.change",
           "keystore.destruction", "keystore.holder"),
    # The instance and its work.
    _table("holds nothing personal", "instance", "ruxa.migration", "ruxa.instance", "ruxa.clock_offset"),
    _table("row deleted when the job ends well, 30 days after it failed", "operations", "jobs.procrastinate_jobs",
           "jobs.procrastinate_events", "jobs.procrastinate_periodic_defers", "jobs.procrastinate_workers"),
    _table("row deleted by the hourly run after two years", "audit instance", "privacy.retention_run"),
    _table("holds nothing personal", "instance", "privacy.retention_state", "privacy.retention_clock",
           "privacy.recipient", "privacy.egress_daily"),
    _table("holds nothing personal", "instance", "privacy.backup", "privacy.restore_drill"),
    _table("forgets who it was when it is done, the mark of the address 30 days later", "instance operations",
           "privacy.erasure"),
    _table("row deleted when its week is over or it was fetched", "export", "privacy.export"),
    _table("the hold's key is destroyed when it ends, its rows deleted", "hold audit", "privacy.hold",
           "privacy.held_item"),
    # Files of the data directory.
    _files("file", "as the tables in it; WAL and statistics hold sealed columns as ciphertext only", "instance",
           "data/postgres/*"),
    _files("file", "unlinked once its rows are committed; unreadable when the day's key is destroyed", "usage",
           "data/journal/*/*.rxj", "data/journal/*/*.lock", "data/journal/*/lock"),
    _files("file", "deleted by the hourly run; unreadable when the day's key is destroyed", "usage",
           "data/journal/*/quarantine/*"),
    _files("file", "rewritten; holds nothing personal", "instance", "data/instance.json", "data/lock", "data/*.new",
           "data/run/*"),
    _files("file", "removed with the demo; synthetic (D9)", "instance", "data/demo.json", "data/demo.json.waiting"),
    _files("object", "key of the last day destroyed, prefix of the last day deleted", "content",
           "data/objects/content/*"),
    _files("key", "epoch keys are destroyed within 7 days; the others are the instance's", "instance", "keys/*"),
    # What no directory shows.
    _files("log", "declared fields of signals on standard error, no value of a person; the operator's own rotation",
           "operations", "standard error"),
    _files("memory", "counters of closed labels; gone with the process", "operations", "metrics"),
    _files("memory", "a minute at most; dropped when another process destroys the key", "account", "unwrapped keys"),
    _files("memory", "gone when the answer is delivered", "content", "calls under way"),
)
# fmt: on

_DAY = re.compile(r"(.+)_(\d{8})")
_YEAR = re.compile(r"(.+)_(\d{4})")


def of_table(name: str) -> Store | None:
    """The store of ``schema.table``."""
    return next((store for store in CLASSES if store.kind == "table" and name in store.places), None)


def of_file(name: str) -> Store | None:
    """The store of a path below the data or the keys directory, as ``data/run/server.json``."""
    return next(
        (
            store
            for store in CLASSES
            if store.kind in ("file", "key", "object") and any(fnmatchcase(name, place) for place in store.places)
        ),
        None,
    )


def unclassed(
    tables: Iterable[str], partitions: Iterable[tuple[str, str]], keeps: Iterable[tuple[str, str]], files: Iterable[str]
) -> list[str]:
    """What has no class, each with the reason; empty when retention is total.

    tables: ``schema.table``; partitions: table and the partition's own name; keeps: table and a ``keep`` that one of
    its columns declares; files: paths as for ``of_file``.
    """
    found = [f"table {name} has no class" for name in tables if of_table(name) is None]
    found += [
        f"partition {name} of {table} is none of a day or year"
        for table, name in partitions
        if day_of(table, name) is None and year_of(table, name) is None
    ]
    for table, keep in sorted(set(keeps)):
        store = of_table(table)
        if store is not None and keep not in store.classes:
            found.append(f"table {table} keeps '{keep}', which its class does not say")
    return found + [f"{name} has no class" for name in files if of_file(name) is None]


def day_of(table: str, partition: str) -> date | None:
    """The day that a partition holds; None when its name is not that of a day of the table."""
    match = _DAY.fullmatch(partition)
    if match is None or match[1] != table.rpartition(".")[2]:
        return None
    text = match[2]
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:]))
    except ValueError:
        return None


def year_of(table: str, partition: str) -> int | None:
    """The year that a partition holds."""
    match = _YEAR.fullmatch(partition)
    return None if match is None or match[1] != table.rpartition(".")[2] else int(match[2])


def files_below(data: Path, keys: Path | None = None) -> list[str]:
    """Every file that is there now, as ``of_file`` names it; what lies in the cluster's directory is one."""
    found: list[str] = []
    for name, root in (("data", data), ("keys", keys)):
        if root is None:
            continue
        for directory, below, names in os.walk(root):
            place = Path(directory).relative_to(root)
            if name == "data" and place == Path("postgres"):
                below.clear()
                found.append("data/postgres/PG_VERSION")
                continue
            found += [(Path(name) / place / leaf).as_posix() for leaf in names]
    return sorted(found)


def over(day: date, today: date, days: int) -> bool:
    """Whether a UTC day is over its limit: counted from its first moment, so that its oldest item is never older."""
    return day + timedelta(days=days) <= today


def years_over(today: date) -> int:
    """The first fiscal year that is still kept; all before it are over (the calendar year, and the years after it)."""
    return today.year - policy.current().limits.transaction_years


def anniversary(day: date, years: int) -> date:
    """The same day so many years later; the first of March where the 29th of February is missing."""
    try:
        return day.replace(year=day.year + years)
    except ValueError:
        return date(day.year + years, 3, 1)


def support_over(resolved: date, today: date) -> bool:
    """Whether a matter that was resolved on that day has been kept for its time; reopening sets the day anew."""
    return anniversary(resolved, policy.current().limits.support_years) <= today


def consent_over(last_used: date, today: date) -> bool:
    """Whether the proof of a consent has been kept for three years since it was last relied on."""
    return anniversary(last_used, CONSENT_YEARS) <= today


def transaction_over(posted: date, today: date) -> bool:
    """Whether a transaction of that day has been kept to the end of its fiscal year and the years after it."""
    return posted.year < years_over(today)


def day_stores() -> Sequence[tuple[str, int]]:
    """Tables of days that the engine drops itself: table, days in service."""
    return [
        (place, store.days)
        for store in CLASSES
        if store.kind == "table" and store.days
        for place in store.places
        if not place.startswith("ledger.")
    ]
