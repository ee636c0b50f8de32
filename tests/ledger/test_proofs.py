"""Proofs: zero while all is right, from one snapshot; each finds the fault it is there for."""

from __future__ import annotations

import asyncio
from uuid import UUID

from books import Books
from ruxa.kernel import ids
from ruxa.kernel.clock import Clock
from ruxa.ledger import jobs, topups, usage
from ruxa.ledger.usage import Segment


async def test_every_proof_has_a_number_and_says_how_many_it_saw(books: Books) -> None:
    ref = await books.organisation(live=1000)
    lease = await books.lend(ref, 500)
    await books.flush([books.row(ref, lease, 10)])
    found = await books.proofs()
    # From 17 on those of payments, from 40 on those of documents.
    assert list(found) == [f"I{number}" for number in (*range(1, 27), *range(40, 44))]
    assert all(proof.value == 0 and proof.sample == () for proof in found.values())
    assert {name: proof.examined for name, proof in list(found.items())[:16]} == {
        "I1": 1, "I2": 1, "I3": 1, "I4": 0, "I5": 1, "I6": 1, "I7": 1, "I8": 2, "I9": 1, "I10": 1, "I11": 1,
        "I12": 0, "I13": 0, "I14": 1, "I15": 0, "I16": 0,
    }  # fmt: skip


async def test_no_false_alarm_while_money_moves(books: Books) -> None:
    """All proofs are taken from one snapshot."""
    refs = [await books.organisation(live=1_000_000) for _ in range(2)]
    stop = False

    async def spend(ref: UUID) -> None:
        while not stop:
            lease = await books.lend(ref, 500)
            await books.flush([books.row(ref, lease, 60), books.row(ref, lease, 500)])
            await books.close(lease)
            await books.flush([books.row(ref, lease, 40)])
            async with books.operator.work() as work:
                await topups.credit(work, ref, 1000)

    spending = [asyncio.create_task(spend(ref)) for ref in refs]
    for _ in range(15):
        await books.prove()
    stop = True
    await asyncio.gather(*spending)
    await books.prove()


async def test_proofs_find_what_an_administrator_breaks(books: Books) -> None:
    """Planted faults: each must be found by the proof that is there for it."""
    ref = await books.organisation(live=1000, sandbox=500)
    lease = await books.lend(ref, 500)
    await books.flush([books.row(ref, lease, 10)])
    closed = await books.lend(ref, 100)
    await books.flush([books.row(ref, closed, 30)])
    await books.close(closed)
    await books.prove()
    plants = {
        "I1": ("UPDATE ledger.account SET dr_pending = dr_pending - 1 WHERE dr_pending > 0", "dr_pending + 1"),
        "I3": (f"UPDATE ledger.lease SET spent_micros = spent_micros + 1 WHERE id = '{lease}'", ""),
        "I4": (f"UPDATE ledger.lease SET spent_micros = spent_micros - 1 WHERE id = '{closed}'", ""),
        "I6": (f"UPDATE ledger.lease SET amount_micros = amount_micros + 1 WHERE id = '{lease}'", ""),
        "I11": ("UPDATE ledger.usage_event SET amount_micros = amount_micros + 1", ""),
        "I7": ("UPDATE ledger.usage_event SET organisation_ref = gen_random_uuid()", ""),
        "I8": ("UPDATE ledger.account SET cr_posted = cr_posted + 5 WHERE code LIKE 'lot:%%'", ""),
        "I9": (f"UPDATE ledger.lease SET extra_micros = 3 WHERE id = '{lease}'", ""),
    }
    for name, (sabotage, _) in plants.items():
        async with books.admin() as admin, admin.transaction(force_rollback=True):
            await admin.execute("SET LOCAL session_replication_role = replica")
            await admin.execute(sabotage.replace("%%", "%"))  # pyright: ignore[reportArgumentType]
            rows = await (await admin.execute("SELECT name, value FROM ledger.proofs()")).fetchall()
            wrong = {row[0].partition(" ")[0] for row in rows if row[1]}
        assert name in wrong, (name, wrong)
    await books.prove()


async def test_a_journaled_call_that_never_became_a_row_is_found(books: Books) -> None:
    """Three closes are in the journal's file: two became rows, one was refused by name; a fourth is lost."""
    ref = await books.organisation(live=1000)
    lease = await books.lend(ref, 500)
    kept = [books.row(ref, lease, 10), books.row(ref, None, 0, status=404)]
    old_ms = Clock().unix_ms() - 200 * 86_400_000
    refused = books.row(ref, lease, 5, id=ids.at(old_ms), at_ms=old_ms)
    for _ in range(2):  # again, as a replay would
        await books.flush([*kept, refused])
    assert await refusals(books, 1) == (0, ["day"], [refused.id])
    await acknowledge(books, rows=3)
    assert await refusals(books, 1) == (1, ["day"], []), "which row it was is nobody's business any more"
    assert (await books.proofs())["I16"].value == 0
    books.segment = Segment("w0", books.segment.run, 2)
    async with books.gateway.work() as work:
        await usage.segment_begin(work, books.segment)
    await books.flush([books.row(ref, lease, 10)])
    await acknowledge(books, rows=2)
    proof = (await books.proofs())["I16"]
    assert (proof.value, proof.examined, proof.sample) == (1, 2, (f"w0 {books.segment.run} 2",))


async def refusals(books: Books, number: int) -> tuple[int, list[str], list[UUID]]:
    async with books.admin() as admin:
        found = await admin.execute(
            "SELECT refused, refusals, refused_ids FROM ledger.journal_segment WHERE number = %s", (number,)
        )
        row = await found.fetchone()
    assert row is not None
    return row


async def acknowledge(books: Books, rows: int) -> None:
    async with books.gateway.work() as work:
        await usage.segment_acknowledge(work, books.segment, sha256=bytes(32), rows=rows)


async def test_a_seal_covers_the_past_and_shows_every_change(books: Books) -> None:
    ref = await books.organisation(live=1000)
    for amount in (10, 20):
        lease = await books.lend(ref, 100)
        await books.flush([books.row(ref, lease, amount)])
        await books.close(lease)
    assert await jobs.seals(books.worker) == 0
    await books.later(301)
    assert await jobs.seals(books.worker) == 5
    assert await jobs.seals(books.worker) == 0
    await books.organisation(live=1)
    await books.later(700)
    assert await jobs.seals(books.worker) == 1
    proof = (await books.proofs())["I12"]
    assert (proof.value, proof.examined) == (0, 2)
    for sabotage in (
        "UPDATE ledger.transfer SET amount_micros = 7 WHERE seq = (SELECT min(seq) FROM ledger.transfer)",
        "DELETE FROM ledger.transfer WHERE seq = (SELECT min(seq) FROM ledger.transfer)",
        "UPDATE ledger.transfer SET organisation_ref = gen_random_uuid()",
        "DELETE FROM ledger.seal WHERE number = 1",
        "UPDATE ledger.seal SET sha256 = sha256('x') WHERE number = 1",
    ):
        async with books.admin() as admin, admin.transaction(force_rollback=True):
            await admin.execute("SET LOCAL session_replication_role = replica")
            await admin.execute(sabotage)  # pyright: ignore[reportArgumentType]
            row = await (await admin.execute("SELECT value FROM ledger.proofs() WHERE name LIKE 'I12%'")).fetchone()
            assert row is not None
            assert row[0] >= 1, sabotage
    await books.prove()


async def test_the_nightly_run_tells_each_finding(books: Books) -> None:
    ref = await books.organisation(live=1000)
    lease = await books.lend(ref, 500)
    await books.flush([books.row(ref, lease, 10, id=ids.fresh())])
    assert await jobs.proofs(books.worker, books.signals) == 0  # pyright: ignore[reportArgumentType]
    async with books.admin() as admin:
        await admin.execute("UPDATE ledger.lease SET spent_micros = 11")
    assert await jobs.proofs(books.worker, books.signals) == 2  # pyright: ignore[reportArgumentType]
    assert books.signals.told[-2:] == [
        ("ledger.finding", {"proof": "I3 a lease's spending equals its charges", "value": 1}),
        ("ledger.finding", {"proof": "I14 charges and evidence equal what leases spent", "value": 1}),
    ]
