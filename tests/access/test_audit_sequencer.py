"""The sequencer: places without gaps, heads signed in time, doubled without harm; and what the live check sees."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
import pytest

from conftest import Sizes
from fixtures_access import House
from ruxa.access.audit import check, export, log, published, records, sequencer, tree, verify
from ruxa.access.authorize import Principal
from ruxa.kernel import ids
from ruxa.kernel.errors import Conflict
from ruxa.store.work import Work


async def act(house: House, count: int = 1) -> None:
    async with house.console.work() as work:
        for number in range(count):
            principal = Principal(kind="member", id=uuid4()) if number % 2 else None
            name: log.Act = "member:signed_in" if number % 2 else "retention:run"
            await log.add(work, house.vault, principal, name, organisation_id=uuid4(), details={"n": str(number)})


def admin(house: House, *statements: str) -> None:
    """What somebody does who owns the machine: no trigger and no right stops them."""
    with psycopg.connect(house.database.admin_url, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        for statement in statements:
            connection.execute(statement)  # pyright: ignore[reportArgumentType]


async def numbers(house: House) -> list[int]:
    async with house.worker.work() as work:
        return [leaf.seq for leaf in await records.leaves(work, 0, 100_000)]


async def test_many_writers_and_two_sequencers_leave_no_gap_and_nothing_twice(house: House) -> None:
    async def write() -> None:
        for _ in range(10):
            await act(house, 3)

    async def place() -> None:
        for _ in range(20):
            await sequencer.place(house.worker, house.writer, limit=7)
            await asyncio.sleep(0)

    await asyncio.gather(*(write() for _ in range(4)), place(), place())
    await sequencer.run(house.worker, house.writer, house.vault, sign_now=True)
    assert await numbers(house) == list(range(120))
    report = await check.check(house.worker, house.vault)
    assert (report.problems, report.size, report.vouched) == ([], 120, 120)


async def test_what_was_not_committed_has_no_place_and_blocks_nobody(house: House) -> None:
    async with house.console.work() as slow:
        await log.add(slow, house.vault, None, "retention:run")
        await act(house, 2)
        assert await sequencer.run(house.worker, house.writer, house.vault) == 2
    assert await sequencer.run(house.worker, house.writer, house.vault) == 1
    report = await check.check(house.worker, house.vault)
    assert report.problems == []


async def test_a_head_is_signed_after_a_minute_or_a_thousand_leaves_if_there_is_something_new(house: House) -> None:
    async def signed() -> int:
        async with house.worker.work() as work:
            last = await sequencer.checkpoint(work)
        return 0 if last is None else last.size

    assert await sequencer.sign(house.worker, house.writer, house.vault) is None
    await act(house, 3)
    await sequencer.run(house.worker, house.writer, house.vault)
    assert await signed() == 3, "the first is signed at once"
    await act(house, 2)
    await sequencer.run(house.worker, house.writer, house.vault)
    assert await signed() == 3, "not every time"
    admin(house, "UPDATE audit.checkpoint SET at = at - interval '61 seconds'")
    await sequencer.run(house.worker, house.writer, house.vault)
    assert await signed() == 5
    admin(house, "UPDATE audit.checkpoint SET at = at - interval '1 hour'")
    await sequencer.run(house.worker, house.writer, house.vault)
    assert await signed() == 5, "nothing new"
    admin(house, "UPDATE audit.checkpoint SET at = at + interval '1 hour'")
    await act(house, 1000)
    await sequencer.run(house.worker, house.writer, house.vault)
    assert await signed() == 1005, "a thousand do not wait"


async def test_a_checkpoint_says_what_the_leaves_are_and_verifies(house: House) -> None:
    await act(house, 300)
    await sequencer.run(house.worker, house.writer, house.vault, sign_now=True)
    async with house.worker.work() as work:
        last = await sequencer.checkpoint(work)
        leaves = await records.leaves(work, 0, 1000)
        keys = await published.keys_of_log(house.vault, await sequencer.origin(work))
    assert last is not None
    note = verify.read_note(last.text)
    hashes = [tree.leaf_hash(sequencer.leaf(*one[:4])) for one in leaves]
    assert (note.size, note.root) == (300, tree.root(hashes))
    assert [note.signed_by(key) for key in keys] == [True]
    assert (await check.check(house.worker, house.vault, kept=[note])).problems == []


async def test_the_database_refuses_leaves_and_heads_that_do_not_come_next(house: House) -> None:
    await act(house, 4)
    await sequencer.place(house.worker, house.writer, limit=2)
    async with house.writer.work() as work:
        size, at_ms = await records.last_leaf(work)
        ((entry, commitment), _) = await records.pending(work, 2)
        wrong: list[tuple[int, int, UUID, bytes]] = [
            (size + 1, at_ms, entry, commitment),
            (size - 1, at_ms, entry, commitment),
            (size, at_ms - 1, entry, commitment),
            (size, at_ms, uuid4(), commitment),
            (size, at_ms, entry, bytes(32)),
        ]
        for first, moment, entry_id, committed in wrong:
            with pytest.raises(Conflict) as caught:
                async with work.savepoint():
                    await records.append(work, first, moment, [(entry_id, committed)], [bytes(32)], [])
            assert caught.value.code == "RX353"
        now = await records.now(work)
        for claimed in (size + 1, size - 1):
            with pytest.raises(Conflict) as caught:
                async with work.savepoint():
                    await records.sign(work, claimed, bytes(32), bytes(8), "", now)
            assert caught.value.code == "RX354"


async def test_a_clock_set_back_does_not_turn_the_log_back(house: House) -> None:
    await act(house, 2)
    await sequencer.run(house.worker, house.writer, house.vault, sign_now=True)
    admin(
        house,
        "UPDATE audit.leaf SET at_ms = at_ms + 3600000",
        "UPDATE audit.checkpoint SET at = at + interval '1 hour'",
    )
    await act(house, 1)
    await sequencer.run(house.worker, house.writer, house.vault, sign_now=True)
    async with house.worker.work() as work:
        times = [leaf.at_ms for leaf in await records.leaves(work, 0, 10)]
        last = await records.last_checkpoint(work)
        first = await records.checkpoint(work, 2)
    assert times == sorted(times)
    assert last is not None
    assert first is not None
    assert last.at >= first.at


async def test_two_hundred_thousand_leaves_are_placed_in_seconds(house: House, sizes: Sizes) -> None:
    count = 200_000 if sizes.long else 20_000
    owner = await house.database.pool("ruxa_owner")
    async with owner.work() as work:
        rows = [(ids.fresh(), i.to_bytes(32, "big")) for i in range(count)]
        started = time.perf_counter()
        await work.copy("COPY audit.pending (entry_id, commitment) FROM STDIN (FORMAT BINARY)", ["uuid", "bytea"], rows)
    copied = time.perf_counter() - started
    assert await sequencer.run(house.worker, house.writer, house.vault) == count
    took = time.perf_counter() - started
    assert copied < count / 20_000, copied
    assert took < count / 2_000, took


# The live check, against somebody who owns the machine
LIVE: dict[str, tuple[str, ...]] = {
    "edit a commitment": ("UPDATE audit.leaf SET commitment = sha256('x') WHERE seq = {k}",),
    "edit a hash": ("UPDATE audit.leaf SET hash = sha256('x') WHERE seq = {k}",),
    "edit a time": ("UPDATE audit.leaf SET at_ms = at_ms + 1 WHERE seq = {k}",),
    "give an entry to another leaf": (
        "UPDATE audit.leaf SET entry_id = '0198c0de-0000-7000-8000-000000000000' WHERE seq = {k}",
    ),
    "delete a leaf": ("DELETE FROM audit.leaf WHERE seq = {k}",),
    "swap two leaves": (
        "UPDATE audit.leaf SET seq = -1 WHERE seq = {k}",
        "UPDATE audit.leaf SET seq = {k} WHERE seq = {k} + 1",
        "UPDATE audit.leaf SET seq = {k} + 1 WHERE seq = -1",
    ),
    "edit what was sealed": (
        "UPDATE audit.entry e SET fields_sealed = set_byte(fields_sealed, 40, get_byte(fields_sealed, 40) # 1)"
        " FROM audit.leaf l WHERE l.entry_id = e.id AND l.seq = {k}",
    ),
    "take another's sealed fields": (
        "UPDATE audit.entry e SET fields_sealed = o.fields_sealed FROM audit.entry o, audit.leaf l, audit.leaf m"
        " WHERE l.entry_id = e.id AND l.seq = {k} AND m.entry_id = o.id AND m.seq = {k} + 2",
    ),
    "say that its key was destroyed": (
        "UPDATE audit.entry e SET fields_sealed = set_byte(fields_sealed, 4, get_byte(fields_sealed, 4) # 1)"
        " FROM audit.leaf l WHERE l.entry_id = e.id AND l.seq = {k}",
    ),
    "edit sealed details": (
        "UPDATE audit.entry e SET details_sealed = set_byte(details_sealed, 40, get_byte(details_sealed, 40) # 1)"
        " FROM audit.leaf l WHERE l.entry_id = e.id AND l.seq = {k}",
    ),
    "edit an entry's commitment": (
        "UPDATE audit.entry e SET commitment = sha256('x') FROM audit.leaf l WHERE l.entry_id = e.id AND l.seq = {k}",
    ),
    "delete an entry": ("DELETE FROM audit.entry e USING audit.leaf l WHERE l.entry_id = e.id AND l.seq = {k}",),
    "file it under another organisation": (
        "UPDATE audit.entry e SET organisation_id = gen_random_uuid()"
        " FROM audit.leaf l WHERE l.entry_id = e.id AND l.seq = {k}",
    ),
    "file it under another actor": (
        "UPDATE audit.entry e SET actor_index = substr(sha256('x'), 1, 16)"
        " FROM audit.leaf l WHERE l.entry_id = e.id AND l.seq = {k}",
    ),
}


@pytest.mark.parametrize("name", LIVE)
async def test_the_live_check_names_the_first_bad_leaf(house: House, name: str) -> None:
    await act(house, 40)
    await sequencer.run(house.worker, house.writer, house.vault, sign_now=True)
    k = 10  # even: an entry of the system
    assert (await check.check(house.worker, house.vault)).problems == []
    admin(house, *(sql.format(k=k) for sql in LIVE[name]))
    report = await check.check(house.worker, house.vault)
    assert report.first_bad_leaf == k, report.problems


@pytest.mark.parametrize("size", [200, 256, 511])
async def test_an_hourly_check_reads_what_came_since_and_finds_what_is_wrong_with_it(house: House, size: int) -> None:
    marks: list[verify.Mark] = []

    async def wrong() -> tuple[set[str], int | None]:
        report = await check.check(house.worker, house.vault, marks=marks)
        return {one.kind for one in report.problems}, report.first_bad_leaf

    await act(house, size)
    await sequencer.run(house.worker, house.writer, house.vault, sign_now=True)
    assert await wrong() == (set(), None)
    await act(house, 60)
    await sequencer.run(house.worker, house.writer, house.vault, sign_now=True)
    assert await wrong() == (set(), None)
    assert marks[0].size == size + 60
    (before,) = marks
    assert await wrong() == (set(), None), "nothing new is fine too"
    await act(house, 300)
    await sequencer.run(house.worker, house.writer, house.vault, sign_now=True)
    admin(house, "CREATE TABLE audit.kept AS SELECT * FROM audit.leaf")
    back = ("TRUNCATE audit.leaf", "INSERT INTO audit.leaf SELECT * FROM audit.kept")
    for sql, kinds, leaf in (
        (f"UPDATE audit.leaf SET commitment = sha256('x') WHERE seq = {size + 80}", {"root", "tile"}, size + 80),
        (f"DELETE FROM audit.leaf WHERE seq = {size + 100}", {"sequence"}, size + 100),
        (f"DELETE FROM audit.leaf WHERE seq >= {size + 20}", {"missing"}, None),
        ("UPDATE audit.node SET hash = sha256('x') WHERE level = 1 AND number = 1", {"tile"}, 256),
    ):
        marks[:] = [before]
        admin(house, sql)
        found, first = await wrong()
        assert kinds <= found, (sql, found)
        assert leaf in (first, None), sql
        assert marks == [], "the next check reads all of it"
        admin(house, *back)


async def test_the_live_check_sees_forged_heads_lost_entries_and_a_sequencer_that_stands(house: House) -> None:
    await act(house, 10)
    await sequencer.run(house.worker, house.writer, house.vault, sign_now=True)
    await act(house, 1)
    await sequencer.run(house.worker, house.writer, house.vault, sign_now=True)

    async def kinds() -> set[str]:
        return {one.kind for one in (await check.check(house.worker, house.vault)).problems}

    assert await kinds() == set()
    admin(house, "CREATE TABLE audit.kept AS SELECT * FROM audit.checkpoint")
    for sql, wanted in (
        ("UPDATE audit.checkpoint SET note = replace(note, 'A', 'B') WHERE size = 11", {"signature"}),
        ("UPDATE audit.checkpoint SET note = 'no note' WHERE size = 11", {"signature", "root"}),
    ):
        admin(house, sql)
        found = await kinds()
        assert found <= {"signature", "root"}
        assert found & wanted
        admin(house, "DELETE FROM audit.checkpoint", "INSERT INTO audit.checkpoint SELECT * FROM audit.kept")
    await act(house, 1)
    admin(house, "DELETE FROM audit.pending")
    assert await kinds() == {"entry"}
    admin(
        house,
        "INSERT INTO audit.pending SELECT '01900000-0000-7000-8000-000000000000', sha256('x')",
    )
    assert await kinds() == {"entry", "sequencer"}


async def test_destroyed_keys_are_no_finding(house: House) -> None:
    await act(house, 6)
    await sequencer.run(house.worker, house.writer, house.vault, sign_now=True)
    async with house.worker.work() as work:
        tomorrow = (await records.now(work)).date()
    await house.vault.destroy_days_before("audit", tomorrow.replace(year=tomorrow.year + 1))
    assert (await check.check(house.worker, house.vault)).problems == []


async def test_an_export_is_whole_and_checks_itself(house: House, tmp_path: Path) -> None:
    out = tmp_path / "log"
    with pytest.raises(Conflict, match="empty"):
        await export.export(house.operator, house.vault, out)
    await act(house, 300)
    await sequencer.run(house.worker, house.writer, house.vault, sign_now=True)
    plain, shown = tmp_path / "plain", tmp_path / "shown"
    done = await export.export(house.operator, house.vault, plain)
    assert (done.size, done.opened, (plain / "entries.jsonl").exists()) == (300, 0, False)
    assert verify.check(plain).problems == []
    done = await export.export(house.operator, house.vault, shown, purpose="proof")
    assert done.opened == 300
    assert verify.check(shown).problems == []
    with pytest.raises(Conflict, match="not empty"):
        await export.export(house.operator, house.vault, plain)
    assert {path.relative_to(plain).as_posix() for path in plain.rglob("*") if path.is_file()} == {
        "checkpoint",
        "checkpoints.jsonl",
        "keys.json",
        "ruxa-verify.py",
        "tile/0/000",
        "tile/0/001.p/44",
        "tile/1/000.p/1",
        "tile/entries/000",
        "tile/entries/001.p/44",
    }


async def test_public_tiles_show_what_is_signed_and_no_more(house: House) -> None:
    await act(house, 300)
    await sequencer.run(house.worker, house.writer, house.vault, sign_now=True)
    await act(house, 5)
    await sequencer.place(house.worker, house.writer)
    async with house.worker.work() as work:
        assert len(await sequencer.tile(work, 0, 0, 256) or b"") == 8192
        assert len(await sequencer.tile(work, 0, 1, 44) or b"") == 44 * 32
        assert await sequencer.tile(work, 1, 0, 1) == tree.root(await records.hashes(work, 0, 0, 256))
        for level, number, width in ((0, 1, 45), (0, 2, 1), (1, 0, 2), (2, 0, 1), (8, 0, 1), (0, 0, 257), (0, -1, 1)):
            assert await sequencer.tile(work, level, number, width) is None


@pytest.mark.parametrize(("age", "found"), [(0, 4), (82, 4), (83, 2), (729, 2), (730, 0)])
async def test_an_entry_that_is_gone_before_its_own_time_is_found(
    house: House, monkeypatch: pytest.MonkeyPatch, age: int, found: int
) -> None:
    await act(house, 4)
    await sequencer.run(house.worker, house.writer, house.vault, sign_now=True)
    admin(house, "DELETE FROM audit.entry", "DELETE FROM audit.customer_entry")
    now = records.now

    async def later(work: Work) -> datetime:
        return await now(work) + timedelta(days=age)

    monkeypatch.setattr(records, "now", later)
    report = await check.check(house.worker, house.vault)
    assert len(report.problems) == found, report.problems
    assert all("before its time" in str(problem) for problem in report.problems)
