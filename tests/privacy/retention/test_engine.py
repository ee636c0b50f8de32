"""The run: what is over its limit goes on its day and not before, whoever kills or repeats it, and the log says so."""

from __future__ import annotations

import asyncio
import calendar
import os
import signal
import sys
import textwrap
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from retention_house import RetentionHouse, reading
from ruxa.egress.objects import Objects
from ruxa.kernel import ids
from ruxa.kernel.clock import monotonic
from ruxa.kernel.errors import NotFound, Unavailable
from ruxa.privacy.content import items
from ruxa.privacy.retention import engine, records
from ruxa.store import instance

if TYPE_CHECKING:
    from conftest import Sizes

# The promise (90 and 30 days for the last copy, an epoch of 7) as numbers of the decision, not of the code.
USAGE, CONTENT, EPOCH = 83, 23, 7


async def _keys(house: RetentionHouse, key_class: str) -> list[date]:
    return await house.vault.days_held("day", key_class)


@pytest.mark.parametrize("day", [82, 83, 84])
async def test_usage_is_there_on_its_82nd_day_and_gone_on_its_83rd(house: RetentionHouse, day: int) -> None:
    _, ref = await house.organisation(live=1000)
    await house.spend(ref, [10, 20])
    first = house.today
    assert first in await _keys(house, "usage")
    await house.to(day)
    outcome = await house.run()
    gone = day >= USAGE
    assert outcome.state == "done", outcome
    assert (first not in await house.days()) == gone
    assert (first not in await _keys(house, "usage")) == gone
    assert (first not in await _keys(house, "security")) == gone
    assert first in await _keys(house, "audit")
    if gone:
        with pytest.raises(NotFound):
            await house.vault.day_key("usage", first)
    await house.books.prove()


async def test_the_days_are_counted_across_a_leap_day(house: RetentionHouse) -> None:
    """The 82nd day of a call is the 29th of February: it is there; on the 1st of March it is gone."""
    year = next(year for year in range(house.today.year + 1, house.today.year + 10) if calendar.isleap(year))
    leap = date(year, 2, 29)
    await house.to((leap - timedelta(days=USAGE - 1) - house.today).days)
    first = house.today
    _, ref = await house.organisation(live=1000)
    await house.spend(ref, [10])
    for moment, gone in ((leap, False), (date(year, 3, 1), True)):
        await house.to((moment - house.began.date()).days)
        assert (await house.run()).state == "done"
        assert (first not in await house.days()) == gone, moment
        assert (first not in await _keys(house, "usage")) == gone, moment


async def test_rows_in_the_clear_leave_the_write_ahead_log_with_their_day(house: RetentionHouse) -> None:
    """Usage is not sealed: an old segment, kept or recycled, would show it for as long as nobody writes over it."""
    _, ref = await house.organisation(live=1000)
    (row,) = await house.spend(ref, [10])
    place = Path(str((await house.admin("SHOW data_directory"))[0][0])) / "pg_wal"

    def carved() -> list[str]:
        return [path.name for path in sorted(place.glob("[0-9A-F]*")) if row.id.bytes in path.read_bytes()]

    assert carved(), "it can be found while its day is there"
    await house.to(USAGE)
    assert (await house.run()).state == "done"
    # What the server does by itself within five minutes of the next thing written.
    await house.admin("CHECKPOINT")
    assert carved() == []
    async with house.books.worker.work() as work:
        assert await instance.log_leftovers(work) == []


@pytest.mark.parametrize("day", [22, 23, 24])
@pytest.mark.parametrize("size", [10, 100_000])
async def test_content_is_there_on_its_22nd_day_and_gone_on_its_23rd(
    house: RetentionHouse, day: int, size: int
) -> None:
    organisation, _ = await house.organisation()
    call = await house.store(organisation, CONTENT, size=size)
    until = house.today + timedelta(days=CONTENT)
    await house.to(day)
    outcome = await house.run()
    assert outcome.state == "done", outcome
    gone = day >= CONTENT
    async with house.books.operator.work() as work:
        found = await items.find(work, call)
        assert (found is None) == gone
        if found is not None:
            body = await items.read(work, house.vault, house.objects, found, "answer", purpose="provide")
            assert body is not None
            assert body.open("provide") == b"a" * size
    assert await house.admin("SELECT count(*) FROM content.item") == [(0 if gone else 1,)]
    assert bool(list((house.data / "objects").rglob(str(until)))) == (size > 65_536 and not gone)
    if gone:
        assert until not in await _keys(house, "content")
        assert until not in await house.days("content.item")


@pytest.mark.parametrize(("limit", "what"), [(90, "usage"), (30, "content")])
async def test_the_last_copy_of_a_key_is_gone_on_the_published_day(
    house: RetentionHouse, limit: int, what: str
) -> None:
    """A copy of the keystore made just before the destruction opens nothing on day 90 (30): its epoch is gone."""
    organisation, ref = await house.organisation(live=1000)
    if what == "usage":
        await house.spend(ref, [10])
    else:
        await house.store(organisation, CONTENT)
    first = house.today
    named = first if what == "usage" else first + timedelta(days=CONTENT)
    # Hour by hour from the day before: the epoch turns over as the worker's job does it.
    for day in (limit - EPOCH - 1, limit - EPOCH, limit - 1, limit, limit + 1):
        await house.to(day)
        await house.vault.rotate_epoch_if_due()
        if day == limit - EPOCH - 1:
            await house.vault.rotate_epoch()
            copied = await house.admin(
                "SELECT epoch FROM keystore.key WHERE kind = 'day' AND class = %s AND day = %s", what, named
            )
            epoch = copied[0][0]
        assert (await house.run()).state == "done"
        files = {path.stem for path in house.database.keys.rglob("*.key")}
        assert (epoch.hex in files) == (day < limit - 1), day


@pytest.mark.parametrize(("rests_s", "least", "most"), [(10.0, 0.16, 0.6), (0.05, 0.0, 0.14)])
async def test_between_two_days_others_have_the_machine_and_a_backlog_still_ends(
    rests_s: float, least: float, most: float
) -> None:
    rested, left = 0.0, None
    async for _ in engine.one_by_one(range(5), rests_s):
        if left is not None:
            rested += monotonic() - left
        await asyncio.sleep(0.05)
        left = monotonic()
    assert least < rested < most


async def test_it_says_before_what_it_will_do_and_after_what_it_did(house: RetentionHouse) -> None:
    _, ref = await house.organisation(live=1000)
    await house.spend(ref, [10])
    await house.run()
    first = house.today
    seen: list[str] = []
    await house.to(USAGE)

    def checkpoint(step: str) -> None:
        seen.append(step)

    outcome = await house.run(checkpoint=checkpoint)
    assert outcome.state == "done"
    assert dict(outcome.planned)["usage"] == 2, "the day and the empty one before it"
    assert seen.index("planned") < seen.index("ended day keys") < seen.index("ended usage") < seen.index("proved")
    async with house.books.operator.work() as work:
        last = (await records.runs(work, 1))[0]
    assert last.planned_entry is not None
    assert last.done_entry is not None
    assert last.planned_entry < last.done_entry
    rows = await house.admin("SELECT id FROM audit.entry WHERE id = ANY (%s)", [last.planned_entry, last.done_entry])
    assert len(rows) == 2
    assert await house.admin("SELECT count(*) FROM keystore.destruction WHERE day = %s AND class = 'usage'", first) == [
        (1,)
    ]
    # Nothing is due any more: no entry, and still a good run.
    entries = await house.admin("SELECT count(*) FROM audit.entry")
    outcome = await house.run()
    assert (outcome.state, outcome.planned, outcome.destroyed) == ("done", (), 0)
    assert await house.admin("SELECT count(*) FROM audit.entry") == entries


class Killed(BaseException):
    """A process that ends here."""


def _dies_at(step: str) -> Callable[[str], None]:
    def checkpoint(here: str) -> None:
        if here == step:
            raise Killed

    return checkpoint


CHECKPOINTS = [
    "begun", "prepared", "planned", "ended day keys", "ended content", "ended usage", "ended tables of days",
    "ended people", "destroyed", "proved",
]  # fmt: skip


async def test_killed_between_any_two_steps_the_next_run_ends_it_once(house: RetentionHouse) -> None:
    organisation, ref = await house.organisation(live=1000)
    await house.spend(ref, [10, 20])
    await house.store(organisation, CONTENT, size=100_000)
    for number, step in enumerate(CHECKPOINTS):
        await house.to(USAGE + number)
        await house.spend(ref, [1])
        await house.store(organisation, 1)
        await house.admin("SELECT ruxa.partition_create('audit.customer_entry', ruxa.today() - 90)")
        await house.admin(
            "INSERT INTO access.throttle (mark, touched_at) VALUES (sha256(random()::text::bytea), 'epoch')"
        )
        with pytest.raises(Killed):
            await house.run(checkpoint=_dies_at(step))
        await house.books.prove()
    await house.to(2 * USAGE + len(CHECKPOINTS))
    outcome = await house.run()
    assert outcome.state == "done", outcome
    assert outcome.left == ()
    await house.books.prove()
    over = house.today - timedelta(days=USAGE)
    assert all(day > over for day in await house.days())
    assert all(day > over for day in await _keys(house, "usage"))
    assert await house.admin("SELECT sum(calls) FROM ledger.billing_evidence") == [(2 + len(CHECKPOINTS),)]
    async with house.books.operator.work() as work:
        states = [(run.state, run.code) for run in await records.runs(work, 20)]
    assert states == [("done", None)] + [("failed", "killed")] * len(CHECKPOINTS)


RUN = textwrap.dedent("""
    import asyncio, os, signal, sys
    from pathlib import Path
    from ruxa.egress.objects import Objects
    from ruxa.kernel.clock import Clock
    from ruxa.kernel.signals import JsonLines
    from ruxa.privacy.retention import engine
    from ruxa.store.address import Address
    from ruxa.store.logins import Logins
    from ruxa.store.pool import Pool
    from ruxa.store.vault import Vault
    sockets, database, logins, keys, data, point = sys.argv[1:]
    def checkpoint(name):
        if name == point:
            os.kill(os.getpid(), signal.SIGKILL)
    async def main():
        address = Address.at_socket(sockets, 5432, Logins.load(Path(logins)), database)
        clock = Clock()
        pool = await Pool.open(address.url("ruxa_worker"), login="ruxa_worker", clock=clock)
        vault = await Vault.unlock(address, Path(keys), clock=clock)
        objects = Objects.of_folder(Path(data) / "objects")
        sink = JsonLines("test", clock)
        tools = engine.Tools(pool=pool, vault=vault, objects=objects, sink=sink, clock=clock, data=Path(data),
            checkpoint=checkpoint)
        await engine.run(tools)
    asyncio.run(main())
""")


async def test_a_process_killed_at_any_point_leaves_what_the_next_one_ends(house: RetentionHouse, sizes: Sizes) -> None:
    session = house.database.session
    organisation, ref = await house.organisation(live=1000)
    points = CHECKPOINTS if sizes.long else ["ended day keys", "ended usage"]
    for number, point in enumerate(points):
        await house.spend(ref, [10, 20])
        await house.store(organisation, 1, size=100_000)
        await house.to((number + 1) * (USAGE + 1))
        await house.admin("SELECT ruxa.partition_create('audit.customer_entry', ruxa.today() - 90)")
        await house.admin(
            "INSERT INTO access.throttle (mark, touched_at) VALUES (sha256(random()::text::bytea), 'epoch')"
        )
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", RUN, session.sockets, house.database.name, str(session.directory / "keys"),
            str(house.database.keys), str(house.data), point,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )  # fmt: skip
        assert await process.wait() == -signal.SIGKILL, point
        # What the dead process held in memory ends with its lease.
        await house.admin(
            "DELETE FROM keystore.holder WHERE id <> (SELECT id FROM keystore.holder ORDER BY since LIMIT 1)"
        )
        await house.books.prove()
        outcome = await house.run()
        assert (outcome.state, outcome.left) == ("done", ()), (point, outcome)
        await house.books.prove()
        over = house.today - timedelta(days=USAGE)
        assert all(day > over for day in await house.days())
        assert all(day > over for day in await _keys(house, "usage"))
    assert await house.admin("SELECT sum(calls) FROM ledger.billing_evidence") == [(2 * len(points),)]


async def test_two_at_once_are_one(house: RetentionHouse) -> None:
    _, ref = await house.organisation(live=1000)
    await house.spend(ref, [10])
    await house.to(USAGE)
    outcomes = await asyncio.gather(*(house.run() for _ in range(3)))
    assert sorted(one.state for one in outcomes) == ["busy", "busy", "done"]
    assert (await house.run()).destroyed == 0
    await house.books.prove()


async def test_a_clock_that_jumps_destroys_nothing_until_it_is_back(house: RetentionHouse) -> None:
    _, ref = await house.organisation(live=1000)
    await house.spend(ref, [10])
    first = house.today
    assert (await house.run(reading=reading())).state == "done"
    # The database's clock goes on by 83 days and the machine's uptime does not: nobody announced that.
    await _jump(house, USAGE)
    outcome = await house.run(reading=reading())
    assert outcome.state == "paused"
    assert outcome.code == "clock"
    assert ("retention.paused", {"code": "clock", "jump_s": outcome.jump_ms and outcome.jump_ms // 1000}) in (
        house.signals.told
    )
    assert first in await house.days()
    assert first in await _keys(house, "usage")
    async with house.books.operator.work() as work:
        anchor = await records.anchor(work)
        assert anchor is not None
        assert anchor.paused_at is not None
    await _jump(house, 0)
    assert (await house.run(reading=reading())).state == "done"
    assert first in await house.days()


async def test_a_clock_that_jumped_is_believed_when_somebody_says_so(house: RetentionHouse) -> None:
    from ruxa.privacy.retention import watch

    _, ref = await house.organisation(live=1000)
    await house.spend(ref, [10])
    first = house.today
    await house.run(reading=reading())
    await _jump(house, USAGE)
    await house.vault.create_day_keys("audit", 1)
    assert (await house.run(reading=reading())).state == "paused"
    async with house.books.operator.work() as work:
        await watch.acknowledge(work, await reading()(work, engine.Clock()))
    outcome = await house.run(reading=reading())
    assert outcome.state == "done", outcome
    assert first not in await house.days()


async def _jump(house: RetentionHouse, days: int) -> None:
    """The database's clock is elsewhere, and so is this process's: as when a machine's clock is set."""
    await house.admin(
        "CREATE OR REPLACE FUNCTION ruxa.now() RETURNS timestamptz LANGUAGE sql VOLATILE PARALLEL SAFE"
        f" RETURN pg_catalog.clock_timestamp() + interval '{days} days'"
    )


async def test_a_step_that_fails_is_told_and_the_others_go_on(house: RetentionHouse) -> None:
    class Away(Objects):
        async def folders(self, prefix: str) -> list[str]:
            raise Unavailable("The object store can't be reached now.", code="storage_away")

    _, ref = await house.organisation(live=1000)
    await house.spend(ref, [10])
    first = house.today
    await house.to(USAGE)
    outcome = await house.run(objects=Away.of_folder(house.data / "objects"))
    assert outcome.state == "failed"
    assert outcome.code == "storage_away"
    assert first not in await house.days()
    async with house.books.operator.work() as work:
        assert await records.last_good(work) is None
    assert (await house.run()).state == "done"


async def test_a_missed_run_is_told_after_26_hours(house: RetentionHouse) -> None:
    assert (await house.run()).state == "done"
    async with house.books.operator.work() as work:
        assert (await engine.report(work)).missed_h is None
    await house.to(1)
    async with house.books.operator.work() as work:
        assert (await engine.report(work)).missed_h is None
    await house.to(2)
    async with house.books.operator.work() as work:
        assert (await engine.report(work)).missed_h == 48
    await house.run()
    assert [fields for event, fields in house.signals.told if event == "retention.missed"] == [{"hours": 48}]
    async with house.books.operator.work() as work:
        assert (await engine.report(work)).missed_h is None


async def test_every_class_says_how_old_its_oldest_item_is(house: RetentionHouse) -> None:
    organisation, ref = await house.organisation(live=1000)
    await house.spend(ref, [10])
    await house.store(organisation, 5)
    await house.to(3)
    await house.spend(ref, [10])
    await house.run()
    async with house.books.operator.work() as work:
        state = await records.state(work)
    for name in ("usage", "content"):
        oldest, checked = state[name]
        assert oldest is not None
        assert 2.9 < (checked - oldest).total_seconds() / 86_400 < 3.1
    await house.to(USAGE)
    await house.run()
    async with house.books.operator.work() as work:
        oldest, checked = (await records.state(work))["usage"]
    assert isinstance(oldest, datetime)
    assert (checked - oldest).total_seconds() / 86_400 < USAGE - 2


async def test_a_journal_segment_set_aside_goes_with_its_day(house: RetentionHouse) -> None:
    place = house.data / "journal" / "w0" / "quarantine"
    place.mkdir(parents=True)
    for name, age in (("old.rxj", USAGE), ("young.rxj", USAGE - 1)):
        (place / name).write_bytes(b"x")
        then = datetime.now(UTC).timestamp() - age * 86_400 - 60
        os.utime(place / name, (then, then))
    assert (await house.run()).state == "done"
    assert [path.name for path in place.iterdir()] == ["young.rxj"]


async def test_keys_of_fiscal_years_go_after_seven_years_and_not_a_day_before(house: RetentionHouse) -> None:
    subject = ids.fresh()
    year = house.today.year
    for one in (year - 1, year):
        await house.vault.billing_key(subject, one)
    for moment, left in (
        (date(year + 7, 12, 31), [year]),
        (date(year + 8, 1, 1), []),
        (date(year + 8, 1, 2), []),
    ):
        await house.to((moment - house.began.date()).days)
        assert (await house.run()).state == "done"
        assert [day.year for day in await house.vault.days_held("billing", None)] == left, moment


async def test_an_organisation_is_erased_thirty_days_after_it_was_closed(house: RetentionHouse) -> None:
    organisation, _ = await house.organisation()
    erased: list[UUID] = []

    async def erase(organisation_id: UUID) -> None:
        erased.append(organisation_id)
        await house.admin("UPDATE access.organisation SET erased_at = ruxa.now() WHERE id = %s", organisation_id)

    await house.admin(
        "UPDATE access.organisation SET suspended_at = ruxa.now(), suspended_why = 'request', closed_at = ruxa.now()"
        " WHERE id = %s",
        organisation,
    )
    for day, gone in ((29, []), (30, [organisation]), (31, [organisation])):
        await house.to(day)
        outcome = await house.run(erase=erase)
        assert outcome.state == "done", outcome
        assert erased == gone, day
