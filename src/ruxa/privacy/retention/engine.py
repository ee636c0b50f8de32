"""The retention run: plan, audit entry, destroy, prove, audit entry; every hour, and whenever somebody asks.

Each step says what is over its limit (``due``) and ends it (``end``). Keys go first: from then on what they sealed is
unreadable wherever it was copied, and dropping rows is housekeeping. A run can be killed between any two steps, run
twice, or at once with another (the second does nothing); the next one finds what is left and ends it. While the clock
is not believed (``watch``) nothing is destroyed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final, Literal, Protocol, TypeVar
from uuid import UUID

import msgspec

from ruxa.access import jobs as access
from ruxa.access.audit import log, reading
from ruxa.egress.objects import Objects
from ruxa.kernel import bounds, codec, ids
from ruxa.kernel.clock import Clock, monotonic
from ruxa.kernel.errors import NotFound, RuxaError, Unavailable
from ruxa.kernel.signals import Sink
from ruxa.ledger import evidence, years
from ruxa.ledger import jobs as ledger_jobs
from ruxa.ledger.documents import document as kept_documents
from ruxa.privacy import policy
from ruxa.privacy.content import items as content
from ruxa.privacy.files import kept as kept_files
from ruxa.privacy.responses import kept as kept_responses
from ruxa.privacy.retention import holds, records, stores, watch
from ruxa.store import partitions
from ruxa.store.keystore import Destroyed
from ruxa.store.pool import Pool
from ruxa.store.vault import Vault
from ruxa.store.work import Work

MISSED_H: Final = 26
# A table somebody reads is busy for half a second at a time; readers of a minute are no reason to wait an hour.
BUSY_TRIES: Final = 20
BUSY_S: Final = 0.25
RESTS_S: Final = 2.0
# Sums of days that are over are made in every run, so that a day's end finds them ready; a backlog in parts.
PREPARES: Final = 100
ACTS_AT_ONCE: Final = 200

# Key classes of days and for how many days each day's key lives after it.
KEY_DAYS: Final[dict[str, int]] = {
    "usage": bounds.USAGE_DAYS,
    "security": bounds.USAGE_DAYS,
    "audit": stores.AUDIT_DAYS,
    "backup": bounds.BACKUP_DAYS,
}

PSEUDONYM_DAYS: Final = 30

State = Literal["done", "paused", "failed", "busy"]
T = TypeVar("T")


class Erase(Protocol):
    """Erases a closed organisation for good; can be killed and repeated."""

    async def __call__(self, organisation_id: UUID) -> None: ...


def _nothing(_: str) -> None:
    """No checkpoint."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What a run works with. erase: of the room that erases; None while there is none; fiscal_month: in which a fiscal
    year begins; checkpoint: for tests.
    """

    pool: Pool
    vault: Vault
    objects: Objects
    sink: Sink
    clock: Clock
    data: Path
    erase: Erase | None = None
    fiscal_month: int = 1
    checkpoint: Callable[[str], None] = _nothing
    reading: Callable[[Work, Clock], Awaitable[watch.Reading]] = watch.read


@dataclass(slots=True)
class Ended:
    """What a step destroyed: how many things, how many it kept for holds first, which keys."""

    count: int = 0
    held: int = 0
    keys: list[Destroyed] = field(default_factory=list[Destroyed])

    def add(self, other: Ended) -> None:
        """Both together."""
        self.count += other.count
        self.held += other.held
        self.keys += other.keys


Due = Sequence[str]


@dataclass(frozen=True, slots=True)
class Step:
    """One kind of thing to end. ``due`` names what is over its limit now; ``end`` destroys it."""

    name: str
    due: Callable[[Tools], Awaitable[Due]]
    end: Callable[[Tools], Awaitable[Ended]]


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a run ended. left: what should have gone and has not; jump_ms: how far the clock is off when paused."""

    state: State
    code: str | None = None
    planned: tuple[tuple[str, int], ...] = ()
    destroyed: int = 0
    held: int = 0
    left: tuple[tuple[str, int], ...] = ()
    jump_ms: int | None = None
    took_ms: int = 0


async def run(tools: Tools, *, cause: Literal["schedule", "command"] = "schedule") -> Outcome:
    """One run. Raises Unavailable when the database, the keystore or the object store is away."""
    began = monotonic()
    async with tools.pool.work("retention") as guard:
        if not await records.lock(guard):
            return Outcome(state="busy")
        run_id = ids.fresh()
        async with tools.pool.work("retention") as work:
            late_s = await records.age_s(work)
            await records.begin(work, run_id, cause)
            jump = await watch.check(work, await tools.reading(work, tools.clock))
        if late_s > MISSED_H * 3600:
            tools.sink.emit("retention.missed", "error", hours=late_s // 3600)
        tools.checkpoint("begun")
        if jump is not None:
            return await _paused(tools, run_id, jump)
        return await _believed(tools, run_id, began)


async def _paused(tools: Tools, run_id: UUID, jump: int) -> Outcome:
    """Nothing is destroyed by a clock that jumped; that is said each time, and in the log."""
    tools.sink.emit("retention.paused", "error", code="clock", jump_s=jump // 1000)
    async with tools.pool.work("retention") as work:
        entry = await log.write(
            work, tools.vault, "retention:run", actor="system", object_id=run_id, purpose="clock", outcome="refused"
        )
        await records.end(work, run_id, "paused", code="clock", entry=entry)
    return Outcome(state="paused", code="clock", jump_ms=jump)


async def _believed(tools: Tools, run_id: UUID, began: float) -> Outcome:
    await _prepare(tools)
    tools.checkpoint("prepared")
    planned, blind = await _plan(tools)
    if planned:
        async with tools.pool.work("retention") as work:
            entry = await log.write(
                work,
                tools.vault,
                "retention:run",
                actor="system",
                object_id=run_id,
                outcome="planned",
                details={step.name: _said(due) for step, due in planned},
            )
            await records.planned(work, run_id, sum(len(due) for _, due in planned), entry)
    tools.checkpoint("planned")
    ended, code = await _destroy(tools, planned)
    code = code or blind
    if code is None and not await tools.vault.acknowledged(ended.keys):
        code = "unacknowledged"
    tools.checkpoint("destroyed")
    left = tuple((step.name, len(due)) for step, due in (await _plan(tools))[0]) if planned else ()
    if code is None and left:
        code = "left_over"
    tools.checkpoint("proved")
    state: Literal["done", "failed"] = "done" if code is None else "failed"
    left_over = sum(count for _, count in left)
    async with tools.pool.work("retention") as work:
        await records.put_state(work, await oldest(tools, work))
        entry = None
        if planned:
            entry = await log.write(
                work,
                tools.vault,
                "retention:run",
                actor="system",
                object_id=run_id,
                outcome="done" if state == "done" else "failed",
                details={
                    "destroyed": str(ended.count),
                    "held": str(ended.held),
                    "left": str(left_over),
                    "keys": _said([key.key_id.hex() for key in ended.keys]),
                },
            )
        await records.end(
            work,
            run_id,
            state,
            code=code,
            destroyed=ended.count,
            held=ended.held,
            left_over=left_over,
            entry=entry,
        )
    took_ms = int((monotonic() - began) * 1000)
    tools.sink.emit("retention.done", destroyed=ended.count, held=ended.held, took_ms=took_ms)
    return Outcome(
        state=state,
        code=code,
        planned=tuple((step.name, len(due)) for step, due in planned),
        destroyed=ended.count,
        held=ended.held,
        left=left,
        took_ms=took_ms,
    )


async def _plan(tools: Tools) -> tuple[list[tuple[Step, Due]], str | None]:
    """What is over its limit; and the code of the first fault of a step that could not tell."""
    found: list[tuple[Step, Due]] = []
    blind: str | None = None
    for step in STEPS:
        try:
            due = await step.due(tools)
        except RuxaError as fault:
            if fault.code.startswith("database_"):
                raise
            tools.sink.emit("retention.failed", "error", step=step.name, code=fault.code)
            blind = blind or fault.code
        else:
            if due:
                found.append((step, due))
    return found, blind


async def _destroy(tools: Tools, planned: Sequence[tuple[Step, Due]]) -> tuple[Ended, str | None]:
    """Ends what was planned. A step that fails does not keep the others from theirs; the first fault's code."""
    total, code = Ended(), None
    for step, _ in planned:
        try:
            total.add(await step.end(tools))
        except RuxaError as fault:
            tools.sink.emit("retention.failed", "error", step=step.name, code=fault.code)
            code = code or fault.code
            if step.name == HOLDS:
                # What a hold is to keep was not copied: nothing may go.
                break
        tools.checkpoint(f"ended {step.name}")
    return total, code


def _said(due: Sequence[str]) -> str:
    """What is in the log of a list that may be long: the first, the last, how many."""
    if len(due) <= 4:
        return ",".join(due)
    return f"{due[0]}..{due[-1]} ({len(due)})"


# Days


async def _today(tools: Tools) -> date:
    async with tools.pool.work("retention") as work:
        return await records.today(work)


async def _prepare(tools: Tools) -> None:
    """Makes the evidence of days that are over; no destruction, so it needs no plan."""
    today = await _today(tools)
    async with tools.pool.work("retention") as work:
        days = await evidence.days(work)
    waiting = [one.day for one in days if one.state != "ready" and one.day < today - timedelta(days=1)]
    for day in waiting[:PREPARES]:
        await evidence.prepare(tools.pool, day)


async def _days_over(tools: Tools) -> list[date]:
    today = await _today(tools)
    async with tools.pool.work("retention") as work:
        return [one.day for one in await evidence.days(work) if stores.over(one.day, today, bounds.USAGE_DAYS)]


async def _usage_due(tools: Tools) -> Due:
    return [str(day) for day in await _days_over(tools)]


async def _usage_end(tools: Tools) -> Ended:
    ended, over = Ended(), await _days_over(tools)
    async for day in one_by_one(over):
        await _when_free(lambda day=day: evidence.reduce(tools.pool, day))
        ended.count += 1
    if over:
        async with tools.pool.work("retention") as work:
            await records.switch_log(work)
    return ended


async def one_by_one(days: Sequence[T], rests_s: float = RESTS_S) -> AsyncGenerator[T]:
    """Each day, and between two a rest as long as the day took, so that whoever calls meanwhile hardly notices.

    What has run up for long goes in its time all the same: all rests together are ``rests_s`` at most.
    """
    for place, day in enumerate(days, start=1):
        began = monotonic()
        yield day
        if place < len(days):
            await asyncio.sleep(min(monotonic() - began, rests_s / len(days)))


async def _tables_due(tools: Tools) -> Due:
    return [f"{table} {day}" for table, day in await _tables_over(tools)]


async def _tables_end(tools: Tools) -> Ended:
    ended = Ended()
    async for table, day in one_by_one(await _tables_over(tools)):
        await _when_free(lambda table=table, day=day: _drop(tools, table, day))
        ended.count += 1
    return ended


async def _tables_over(tools: Tools) -> list[tuple[str, date]]:
    today = await _today(tools)
    async with tools.pool.work("retention") as work:
        return [
            (table, one.day)
            for table, days in stores.day_stores()
            for one in await partitions.present(work, table)
            if stores.over(one.day, today, days)
        ]


async def _drop(tools: Tools, table: str, day: date) -> None:
    async with tools.pool.work("retention") as work:
        await work.run("SET LOCAL lock_timeout = '500ms'")
        await partitions.drop(work, table, day)


async def _when_free(act: Callable[[], Awaitable[object]]) -> None:
    """Again while somebody reads the table; everybody else waits half a second at most."""
    for _ in range(BUSY_TRIES - 1):
        try:
            await act()
        except Unavailable as fault:
            if fault.code != "database_busy":
                raise
            await asyncio.sleep(BUSY_S)
        else:
            return
    await act()


async def _keys_over(tools: Tools) -> list[tuple[str, date]]:
    today = await _today(tools)
    return [
        (key_class, day)
        for key_class, days in KEY_DAYS.items()
        for day in await tools.vault.days_held("day", key_class)
        if stores.over(day, today, days)
    ]


async def _keys_due(tools: Tools) -> Due:
    return [f"{key_class} {day}" for key_class, day in await _keys_over(tools)]


async def _keys_end(tools: Tools) -> Ended:
    today = await _today(tools)
    ended = Ended()
    for key_class, days in KEY_DAYS.items():
        destroyed = await tools.vault.destroy_days_before(key_class, today - timedelta(days=days - 1))
        if destroyed:
            tools.sink.emit("key.destroyed", key_class=key_class, count=len(destroyed))
        ended.add(Ended(len(destroyed), 0, destroyed))
    return ended


# Content: a row, its objects and the key that sealed it belong to the day on which they end


async def _content_due(tools: Tools) -> Due:
    today = await _today(tools)
    async with tools.pool.work("retention") as work:
        rows = [
            f"day {one.day}"
            for table in content.TABLES
            for one in await partitions.present(work, table)
            if one.day <= today
        ]
    keys = [f"key {day}" for day in await tools.vault.days_held("day", content.CLASS) if day <= today]
    folders = sorted(map(date.fromisoformat, await tools.objects.folders(content.PREFIX)))
    return keys + rows + [f"objects {until}" for until in folders if until <= today]


async def _content_end(tools: Tools) -> Ended:
    done = await content.end_days(tools.pool, tools.vault, tools.objects, await _today(tools))
    return Ended(len(done.keys) + len(done.partitions) + done.objects, 0, list(done.keys))


# Money: keys of fiscal years that are over, and pseudonyms of quarters


async def _years_over(tools: Tools) -> Due:
    first = date(stores.years_over(await _today(tools)), 1, 1)
    return [str(day.year) for day in await tools.vault.days_held("billing", None) if day < first]


async def _years_end(tools: Tools) -> Ended:
    destroyed = await tools.vault.destroy_years_before(stores.years_over(await _today(tools)))
    return Ended(len(destroyed), 0, destroyed)


async def _documents_over(tools: Tools) -> Due:
    async with tools.pool.work("retention") as work:
        over = await kept_documents.over(work)
    return [f"documents {over}"] if over else []


async def _documents_end(tools: Tools) -> Ended:
    ended = Ended()
    while True:
        async with tools.pool.work("retention") as work:
            gone = await kept_documents.end(work)
        ended.count += gone
        if not gone:
            return ended


async def _ledger_years(tools: Tools) -> list[int]:
    async with tools.pool.work("retention") as work:
        return await years.over(work, tools.fiscal_month)


async def _ledger_due(tools: Tools) -> Due:
    return [f"transfers {year}" for year in await _ledger_years(tools)]


async def _ledger_end(tools: Tools) -> Ended:
    """Oldest first. The books prove themselves before and after, or nothing happens."""
    ended = Ended()
    for year in await _ledger_years(tools):
        await ledger_jobs.seals(tools.pool)
        ended.count += await years.end(tools.pool, year, tools.fiscal_month)
        await _when_free(lambda year=year: years.drop(tools.pool, year))
    return ended


async def _quarters_over(tools: Tools) -> Due:
    today = await _today(tools)
    return [str(day) for day in await tools.vault.days_held("pseudonym", None) if today >= _pseudonym_end(day)]


def _pseudonym_end(first: date) -> date:
    """When the keys of a quarter's pseudonyms go: 30 days after it (D33)."""
    after = first.replace(day=28) + timedelta(days=100)
    return after.replace(day=1, month=(after.month - 1) // 3 * 3 + 1) + timedelta(days=PSEUDONYM_DAYS)


async def _quarters_end(tools: Tools) -> Ended:
    destroyed = await tools.vault.destroy_pseudonyms()
    return Ended(len(destroyed), 0, destroyed)


# People


async def _access_due(tools: Tools) -> Due:
    async with tools.pool.work("retention") as work:
        counts = await access.due(work)
    return [f"{name} {count}" for name, count in counts.items() if count]


async def _access_end(tools: Tools) -> Ended:
    swept = await access.sweep(tools.pool, tools.vault)
    return Ended(swept.count, 0, list(swept.keys))


async def due_closures(work: Work) -> list[UUID]:
    """Organisations that were closed so long ago that they are to be erased now, and that no hold keeps."""
    return await records.closures_due(work, policy.current().limits.account_closed_days)


async def _closures_due(tools: Tools) -> Due:
    if tools.erase is None:
        return []
    async with tools.pool.work("retention") as work:
        return [str(one) for one in await due_closures(work)]


async def _closures_end(tools: Tools) -> Ended:
    assert tools.erase is not None
    async with tools.pool.work("retention") as work:
        due = await due_closures(work)
    for organisation_id in due:
        await tools.erase(organisation_id)
    return Ended(len(due))


async def _exports_due(tools: Tools) -> Due:
    async with tools.pool.work("retention") as work:
        count = await records.exports_over(work)
    return [str(count)] if count else []


async def _exports_end(tools: Tools) -> Ended:
    async with tools.pool.work("retention") as work:
        return Ended(await records.forget_exports(work))


# Holds


async def _holds_due(tools: Tools) -> Due:
    """Days that hold something which a living hold is to keep, before they go."""
    async with tools.pool.work("retention") as work:
        held = await _held_organisations(work)
    if not held:
        return []
    return [
        *(f"usage {day}" for day in await _days_over(tools)),
        *(f"content {until}" for until in await _content_over(tools)),
        *(f"acts {day}" for day in await _acts_over(tools)),
        *await _ledger_due(tools),
    ]


async def _holds_end(tools: Tools) -> Ended:
    async with tools.pool.work("retention") as work:
        held = await _held_organisations(work)
        refs = await records.organisation_refs(work, list(held))
    by_ref = {ref: held[organisation] for organisation, ref in refs.items()}
    kept = 0
    for day in await _days_over(tools):
        kept += await _keep_rows(
            tools, "usage", by_ref, lambda work, refs, after, day=day: evidence.rows(work, day, refs, after)
        )
    for until in await _content_over(tools):
        kept += await _keep_content(tools, until, held)
    for day in await _acts_over(tools):
        kept += await _keep_acts(tools, day, held)
    for year in await _ledger_years(tools):
        kept += await _keep_rows(
            tools, "transfer", by_ref, lambda work, refs, after, year=year: years.rows(work, year, refs, after)
        )
    return Ended(0, kept)


async def _held_organisations(work: Work) -> dict[UUID, list[UUID]]:
    """organisation -> the holds that keep what is its own."""
    found: dict[UUID, list[UUID]] = {}
    for row in await holds.living(work):
        if row.scope == "organisation":
            found.setdefault(row.subject_id, []).append(row.id)
    return found


async def _content_over(tools: Tools) -> list[date]:
    today = await _today(tools)
    async with tools.pool.work("retention") as work:
        return [one.day for one in await partitions.present(work, content.TABLE) if one.day <= today]


async def _acts_over(tools: Tools) -> list[date]:
    """Days of customers' own audit entries that go now."""
    return [day for table, day in await _tables_over(tools) if table == log.CUSTOMER]


async def _keep_acts(tools: Tools, day: date, held: dict[UUID, list[UUID]]) -> int:
    """Copies what an organisation's people and keys did; what cannot be opened any more is lost already."""
    kept = 0
    for organisation_id, hold_ids in held.items():
        below: UUID | None = None
        while True:
            async with tools.pool.work("retention") as work:
                entries = await reading.of_day(work, tools.vault, "proof", day, organisation_id, below, ACTS_AT_ONCE)
                items = [
                    (
                        one.id,
                        "entry",
                        codec.encode({"id": one.id.hex, "at": one.at, **msgspec.to_builtins(one.fields),
                                      "details": dict(one.details)}),
                    )
                    for one in entries
                    if one.fields is not None
                ]  # fmt: skip
                for hold_id in hold_ids:
                    await holds.keep(work, tools.vault, hold_id, "audit", items)
            kept += len(items)
            if len(entries) < ACTS_AT_ONCE:
                break
            below = entries[-1].id
    return kept


async def _keep_rows(
    tools: Tools,
    store: str,
    by_ref: dict[UUID, list[UUID]],
    read: Callable[[Work, list[UUID], UUID | None], Awaitable[Sequence[evidence.HeldRow]]],
) -> int:
    """Copies rows of the ledger page by page; how many."""
    kept, after = 0, None
    while True:
        async with tools.pool.work("retention") as work:
            rows = await read(work, list(by_ref), after)
            if not rows:
                return kept
            for row in rows:
                for hold_id in by_ref[row.organisation_ref]:
                    await holds.keep(work, tools.vault, hold_id, store, [(row.id, "row", row.body.encode())])
        kept, after = kept + len(rows), rows[-1].id


async def _keep_content(tools: Tools, until: date, held: dict[UUID, list[UUID]]) -> int:
    kept = 0
    async with tools.pool.work("retention") as work:
        calls = await content.of_day(work, until, list(held))
    for call in calls:
        parts: list[tuple[UUID, str, bytes]] = []
        for part in ("request", "answer"):
            async with tools.pool.work("retention") as work:
                body = await content.read(work, tools.vault, tools.objects, call, part, purpose="legal")
            if body is not None:
                parts.append((call.call_id, part, body.open("legal")))
        async with tools.pool.work("retention") as work:
            for hold_id in held[call.organisation_id]:
                await holds.keep(work, tools.vault, hold_id, "content", parts)
        kept += 1
    async with tools.pool.work("retention") as work:
        files = await kept_files.of_day(work, until, list(held))
    for file in files:
        pieces = kept_files.pieces(tools.vault, tools.objects, file, purpose="legal")
        try:
            body = b"".join([piece async for piece in pieces])
        except NotFound:
            continue
        async with tools.pool.work("retention") as work:
            for hold_id in held[file.organisation_id]:
                await holds.keep(work, tools.vault, hold_id, "file", [(file.id, "body", body)])
        kept += 1
    async with tools.pool.work("retention") as work:
        responses = await kept_responses.of_day(work, until, list(held))
    for response in responses:
        state = await kept_responses.read(tools.vault, tools.objects, response, purpose="legal")
        if state is None:
            continue
        async with tools.pool.work("retention") as work:
            for hold_id in held[response.organisation_id]:
                await holds.keep(work, tools.vault, hold_id, "response", [(response.id, "state", state)])
        kept += 1
    return kept


async def _holds_over(tools: Tools) -> Due:
    async with tools.pool.work("retention") as work:
        over = [*await records.holds_over(work), *await records.holds_left(work)]
    return [one.hex for one in over]


async def _holds_over_end(tools: Tools) -> Ended:
    ended = Ended()
    for hold_id in map(UUID, await _holds_over(tools)):
        ended.add(Ended(1, 0, await holds.end(tools.pool, tools.vault, None, hold_id)))
    return ended


# Files and runs


def _quarantined(tools: Tools) -> list[Path]:
    """Segments set aside for longer than the usage limit: their day's key is gone, and so may they be.

    Files carry the machine's time, also where the instance's clock is simulated.
    """
    before_s = Clock().unix_ms() / 1000 - bounds.USAGE_DAYS * 24 * 3600
    return [
        path for path in sorted((tools.data / "journal").glob("*/quarantine/*")) if path.stat().st_mtime <= before_s
    ]


async def _files_due(tools: Tools) -> Due:
    return [path.name for path in await asyncio.to_thread(_quarantined, tools)]


async def _files_end(tools: Tools) -> Ended:
    gone = await asyncio.to_thread(_quarantined, tools)
    for path in gone:
        path.unlink(missing_ok=True)
    return Ended(len(gone))


async def _runs_due(tools: Tools) -> Due:
    async with tools.pool.work("retention") as work:
        count = await records.runs_older(work, stores.AUDIT_DAYS)
    return [str(count)] if count else []


async def _runs_end(tools: Tools) -> Ended:
    async with tools.pool.work("retention") as work:
        return Ended(await records.forget_runs(work, stores.AUDIT_DAYS))


HOLDS: Final = "kept for holds"

# In this order: what a hold is to keep is copied, then keys, then what they sealed, then the rest.
STEPS: Final[tuple[Step, ...]] = (
    Step("holds over", _holds_over, _holds_over_end),
    Step(HOLDS, _holds_due, _holds_end),
    Step("day keys", _keys_due, _keys_end),
    Step("content", _content_due, _content_end),
    Step("usage", _usage_due, _usage_end),
    Step("tables of days", _tables_due, _tables_end),
    Step("years", _years_over, _years_end),
    Step("documents", _documents_over, _documents_end),
    Step("ledger years", _ledger_due, _ledger_end),
    Step("pseudonyms", _quarters_over, _quarters_end),
    Step("closed accounts", _closures_due, _closures_end),
    Step("people", _access_due, _access_end),
    Step("exports", _exports_due, _exports_end),
    Step("files", _files_due, _files_end),
    Step("runs", _runs_due, _runs_end),
)


async def oldest(tools: Tools, work: Work) -> list[tuple[str, datetime | None]]:
    """class -> when its oldest item was made, by the rows, partitions and keys that are there."""
    days = await partitions.present(work, "audit.entry")
    content_calls = await content.oldest(work)
    found: list[tuple[str, datetime | None]] = [
        ("usage", await evidence.oldest(work)),
        ("content", content_calls),
        ("audit", datetime.combine(days[0].day, datetime.min.time(), UTC) if days else None),
    ]
    return found + list((await access.oldest(work)).items())


async def unclassed(work: Work, keeps: Sequence[tuple[str, str]], data: Path, keys: Path | None) -> list[str]:
    """What is stored now and has no class (``stores.unclassed`` over the live schema and directories)."""
    return stores.unclassed(
        await records.tables(work),
        await records.partitions(work),
        keeps,
        await asyncio.to_thread(stores.files_below, data, keys),
    )


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What there is to tell: class -> oldest item, the runs, hours since the last good one, whether the clock jumped.

    missed_h: those hours when they are more than 26, None when the promise is kept; holds: that stop a deletion now.
    """

    oldest: dict[str, datetime | None]
    last_good: datetime | None
    age_h: int
    missed_h: int | None
    paused: bool
    holds: int
    runs: tuple[records.RunRow, ...]


async def report(work: Work, *, runs: int = 0) -> Report:
    """The state of retention, with the last ``runs`` runs."""
    last = await records.last_good(work)
    anchor = await records.anchor_seen(work)
    age_h = await records.age_s(work) // 3600
    return Report(
        oldest={name: oldest for name, (oldest, _) in (await records.state(work)).items()},
        last_good=None if last is None else last.ended_at,
        age_h=age_h,
        missed_h=age_h if age_h >= MISSED_H else None,
        paused=anchor is not None and anchor.paused_at is not None,
        holds=await holds.count(work),
        runs=tuple(await records.runs(work, runs)),
    )
