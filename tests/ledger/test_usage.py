"""Usage rows: booked once however often they come, charged to their lease, late ones within its bound."""

from __future__ import annotations

import asyncio
import random
from uuid import UUID, uuid4

import psycopg
import pytest

from books import Books
from ruxa.kernel import ids
from ruxa.kernel.clock import Clock
from ruxa.kernel.errors import Conflict, Unavailable
from ruxa.ledger import accounts, jobs, leases, statements, topups, usage
from ruxa.ledger.leases import Intent
from ruxa.ledger.usage import Flushed, Segment

DAY_MS = 86_400_000


async def test_rows_are_booked_once_however_often_they_come(books: Books) -> None:
    ref = await books.organisation(live=1000)
    lease = await books.lend(ref, 500)
    rows = [books.row(ref, lease, amount) for amount in (10, 20, 30, 40, 50)]
    assert await books.flush(rows[:3]) == Flushed(3, 0)
    assert await books.flush(rows[1:4]) == Flushed(1, 0)
    assert await books.flush(rows) == Flushed(1, 0)
    assert await books.flush([*rows, *rows]) == Flushed(0, 0)
    assert await books.close(lease) == 150
    assert await books.close(lease) == 150
    assert await books.balance(ref) == accounts.Balance(850, 0, 0)
    await books.prove()


async def test_replay_in_any_order_and_overlap_doubles_nothing(books: Books) -> None:
    chance = random.Random(20)
    ref = await books.organisation(live=100_000)
    lease = await books.lend(ref, 50_000)
    rows = [books.row(ref, lease, chance.randint(0, 90)) for _ in range(300)]
    for _ in range(12):
        piece = chance.sample(rows, chance.randint(1, 300))
        await books.flush(piece)
    await books.flush(rows)
    assert await books.close(lease) == sum(row.amount_micros for row in rows)
    await books.prove()


async def test_a_repeat_with_another_amount_changes_nothing(books: Books) -> None:
    ref = await books.organisation(live=1000)
    lease = await books.lend(ref, 500)
    row = books.row(ref, lease, 10)
    twin = books.row(ref, lease, 400, id=row.id)
    await books.flush([row])
    assert await books.flush([twin]) == Flushed(0, 0)
    assert await books.close(lease) == 10
    await books.prove()


async def test_balance_is_as_of_decision_d18(books: Books) -> None:
    """Open leases do not lower the balance; their charges do, and their unspent rest is held."""
    ref = await books.organisation(live=1000)
    assert await books.balance(ref) == accounts.Balance(1000, 0, 0)
    lease = await books.lend(ref, 400)
    found = await books.balance(ref)
    assert (found.balance_micros, found.held_micros, found.free_micros) == (1000, 400, 600)
    await books.flush([books.row(ref, lease, 150)])
    found = await books.balance(ref)
    assert (found.balance_micros, found.held_micros, found.free_micros) == (850, 250, 600)
    await books.close(lease)
    found = await books.balance(ref)
    assert (found.balance_micros, found.held_micros, found.free_micros) == (850, 0, 850)
    async with books.console.work() as work:
        many = await accounts.balances(work, [ref, uuid4()])
    assert many[ref]["live"] == found
    await books.prove()


async def test_a_charge_row_is_the_ledger_line_and_settles(books: Books) -> None:
    ref = await books.organisation(live=1000)
    lease = await books.lend(ref, 400)
    row = books.row(ref, lease, 70)
    free = books.row(ref, None, 0, status=502, error_code="upstream_broken")
    await books.flush([row, free])
    async with books.console.work() as work:
        line = await statements.charge(work, row.id)
        assert line is not None
        assert (line.amount_micros, line.state, line.lease_id) == (70, "settling", lease)
        nothing = await statements.charge(work, free.id)
        assert nothing is not None
        assert (nothing.amount_micros, nothing.state) == (0, "free")
        assert await statements.charge(work, uuid4()) is None
    await books.close(lease)
    async with books.console.work() as work:
        line = await statements.charge(work, row.id)
        assert line is not None
        assert line.state == "posted"
        assert line.lease_closed_at is not None
        codes = [(one.state, one.code, one.amount_micros) for one in await statements.lease_lines(work, lease)]
    assert codes == [("pending", "lease", 400), ("post", "usage", 70)]


async def test_late_rows_take_what_is_free_then_become_shortfall(books: Books) -> None:
    """A worker that slept past its lease's end: 0, 700 or 1000 of 1000 were spent elsewhere meanwhile."""
    for elsewhere, shortfall in ((0, 0), (700, 100), (1000, 400)):
        ref = await books.organisation(live=1000)
        lease = await books.lend(ref, 400)
        await books.close(lease)
        if elsewhere:
            other = await books.lend(ref, elsewhere)
            await books.flush([books.row(ref, other, elsewhere)])
            await books.close(other)
        rows = [books.row(ref, lease, 100) for _ in range(4)]
        assert await books.flush(rows) == Flushed(4, 4)
        assert await books.flush(rows) == Flushed(0, 0)
        found = await books.balance(ref)
        assert found.balance_micros == max(1000 - elsewhere - 400, 0)
        assert found.debt_micros == shortfall
        await books.prove()


async def test_late_rows_beyond_the_lease_are_the_platforms_loss(books: Books) -> None:
    ref = await books.organisation(live=1000)
    lease = await books.lend(ref, 100)
    await books.close(lease)
    await books.flush([books.row(ref, lease, 60), books.row(ref, lease, 90)])
    assert (await books.balance(ref)).balance_micros == 900
    async with books.operator.work() as work:
        found = {account.code: account for account in await accounts.every(work)}
    assert found["expense:abandoned"].debits_posted == 50
    await books.prove()


async def test_charges_over_an_open_lease_are_paid_from_the_balance(books: Books) -> None:
    """A provider's figure above every hold: booked, no lot below zero, the rest is debt that the next credit pays."""
    ref = await books.organisation(live=300)
    lease = await books.lend(ref, 100)
    await books.flush([books.row(ref, lease, 350)])
    found = await books.balance(ref)
    assert (found.balance_micros, found.held_micros, found.debt_micros) == (0, 0, 50)
    await books.close(lease)
    await books.prove()
    async with books.operator.work() as work:
        await topups.credit(work, ref, 30)
        await topups.credit(work, ref, 100)
    assert await books.balance(ref) == accounts.Balance(80, 0, 0)
    await books.prove()


async def test_waived_parts_are_booked_as_abandoned(books: Books) -> None:
    ref = await books.organisation(live=1000)
    lease = await books.lend(ref, 100)
    row = books.row(ref, lease, 100, input_tokens=130, waived_micros=30, usage_source="counted")
    await books.flush([row])
    await books.close(lease)
    assert (await books.balance(ref)).balance_micros == 900
    async with books.operator.work() as work:
        found = {account.code: account for account in await accounts.every(work)}
    assert found["expense:abandoned"].debits_posted == 30
    assert found["revenue:usage:live"].credits_posted == 130
    await books.prove()


async def test_the_database_refuses_rows_outside_their_lease(books: Books) -> None:
    """Organisation, scope, test key, unknown lease or price, impossible values: that row only, and it says why."""
    ref = await books.organisation(live=1000, sandbox=1000)
    stranger = await books.organisation(live=1000)
    live = await books.lend(ref, 100)
    sandbox = await books.lend(ref, 100, "sandbox")
    now = Clock().unix_ms()
    good = books.row(ref, live, 5)
    bad = {
        "usage_lease": books.row(stranger, live, 5),
        "usage_scope": books.row(ref, live, 5, model="sandbox/test"),
        "usage_lease ": books.row(ref, sandbox, 5),
        "usage_lease  ": books.row(ref, uuid4(), 5),
        "usage_price": books.row(ref, live, 5, price_id=uuid4()),
        "usage_paid": books.row(ref, None, 5),
        "usage_test_key": books.row(ref, live, 5, livemode=False),
        "usage_event_input_tokens_check": books.row(ref, live, 5, input_tokens=-1),
        "usage_event_model_check": books.row(ref, live, 5, model="openai/" + "x" * 300),
        "day": books.row(ref, live, 5, id=ids.at(now - 84 * DAY_MS)),
        "day ": books.row(ref, live, 5, id=ids.at(now + 3 * DAY_MS)),
    }
    done = await books.flush([*bad.values(), good])
    said = dict(done.refused)
    assert {name: said.get(row.id, "booked") for name, row in bad.items()} == {name: name.strip() for name in bad}
    assert (done.booked, done.late) == (1, 0)
    assert await books.close(live) == 5
    await books.prove()


@pytest.mark.parametrize("into", ["usage_event", "usage_event_%s"])
async def test_no_row_comes_in_without_its_lease_and_price_whoever_inserts_it(books: Books, into: str) -> None:
    """Not even by the owner of the tables, into the whole or into a day; and what a row refers to stays as it is."""
    ref = await books.organisation(live=1000)
    lease = await books.lend(ref, 100)
    row = books.row(ref, lease, 5)
    await books.flush([row])
    table = into % Clock().today().strftime("%Y%m%d") if "%" in into else into
    async with books.admin() as admin:
        for column, wall in {
            "lease_id": "usage_lease",
            "organisation_ref": "usage_lease",
            "price_id": "usage_price",
        }.items():
            with pytest.raises(psycopg.errors.ForeignKeyViolation) as refused:
                await admin.execute(
                    f"INSERT INTO ledger.{table} SELECT (jsonb_populate_record(u, jsonb_build_object("  # pyright: ignore[reportArgumentType]
                    f"'id', %s::uuid, '{column}', %s::uuid))).* FROM ledger.usage_event AS u WHERE u.id = %s",
                    (ids.fresh(), uuid4(), row.id),
                )
            assert refused.value.diag.constraint_name == wall
        for change in ("id = gen_random_uuid()", "organisation_ref = gen_random_uuid()", "scope = 'sandbox'"):
            with pytest.raises(psycopg.Error) as denied:
                await admin.execute(f"UPDATE ledger.lease SET {change} WHERE id = %s", (lease,))  # pyright: ignore[reportArgumentType]
            assert denied.value.sqlstate == "RX900"
        with pytest.raises(psycopg.Error) as denied:
            await admin.execute("UPDATE ledger.price SET id = gen_random_uuid() WHERE id = %s", (row.price_id,))
        assert denied.value.sqlstate == "RX900"
    await books.prove()


async def test_rows_within_the_usage_limit_find_their_day(books: Books) -> None:
    ref = await books.organisation(live=1000)
    lease = await books.lend(ref, 100)
    now = Clock().unix_ms()
    rows = [books.row(ref, lease, 1, id=ids.at(now - day * DAY_MS)) for day in (0, 1, 40, 82)]
    assert await books.flush(rows) == Flushed(4, 0)
    await books.prove()


async def test_an_acknowledged_segment_is_never_booked_again(books: Books) -> None:
    ref = await books.organisation(live=1000)
    lease = await books.lend(ref, 500)
    rows = [books.row(ref, lease, 10)]
    await books.flush(rows)
    digest = b"\x01" * 32
    for _ in range(2):
        async with books.gateway.work() as work:
            await usage.segment_acknowledge(work, books.segment, sha256=digest, rows=1)
    with pytest.raises(Conflict) as other:
        async with books.gateway.work() as work:
            await usage.segment_acknowledge(work, books.segment, sha256=b"\x02" * 32, rows=1)
    assert other.value.code == "RX022"
    async with books.gateway.work() as work:
        assert await usage.segment_begin(work, books.segment) == "acknowledged"
    with pytest.raises(Conflict) as refused:
        await books.flush([books.row(ref, lease, 10)])
    assert refused.value.code == "RX021"
    with pytest.raises(Conflict) as unknown:
        await books.flush(rows, Segment("w9", 1, 1))
    assert unknown.value.code == "RX020"
    aged = Segment("w0", books.segment.run, 2)
    async with books.gateway.work() as work:
        await usage.segment_begin(work, aged)
        await usage.segment_refuse(work, aged, sha256=digest, reason="age")
    with pytest.raises(Conflict) as refused:
        await books.flush(rows, aged)
    assert refused.value.code == "RX021"
    await books.prove()


async def test_the_staging_table_cannot_be_forged(books: Books) -> None:
    """A caller's own table or view of that name is not read: it could run the caller's code as the owner."""
    ref = await books.organisation(live=1000)
    lease = await books.lend(ref, 500)
    for forged in (
        "CREATE TEMPORARY TABLE usage_batch (id uuid)",
        "CREATE TEMPORARY VIEW usage_batch AS SELECT gen_random_uuid() AS id",
    ):
        async with await psycopg.AsyncConnection.connect(books.database.url("ruxa_gateway")) as attacker:
            await attacker.execute(forged)  # pyright: ignore[reportArgumentType]
            await attacker.execute("SELECT ledger.usage_stage()")
            with pytest.raises(psycopg.Error) as refused:
                await attacker.execute("SELECT ledger.usage_flush('w0', %s, 1)", [books.segment.run])
            assert refused.value.sqlstate == "RX023"
            await attacker.rollback()
    async with await psycopg.AsyncConnection.connect(books.database.url("ruxa_gateway")) as attacker:
        await attacker.execute("SELECT ledger.usage_stage()")
        for attack in (
            "ALTER TABLE usage_batch ADD COLUMN mine text",
            "CREATE TRIGGER mine BEFORE INSERT ON usage_batch EXECUTE FUNCTION ledger.deny()",
            "DROP TABLE usage_batch",
        ):
            with pytest.raises(psycopg.Error) as refused:
                async with attacker.transaction():
                    await attacker.execute(attack)  # pyright: ignore[reportArgumentType]
            assert refused.value.sqlstate == "42501"
    assert await books.flush([books.row(ref, lease, 5)]) == Flushed(1, 0)


async def test_a_lease_whose_time_is_over_waits_for_its_journal(books: Books) -> None:
    """Suspense keeps the money; the rows that come then are charged to the lease, not late; then it closes."""
    ref = await books.organisation(live=1000)
    lease = await books.lend(ref, 400)
    rows = [books.row(ref, lease, 100)]
    await books.later(31)
    assert await jobs.janitor(books.worker) == 1
    found = await books.balance(ref)
    assert (found.balance_micros, found.held_micros) == (1000, 400)
    assert await books.flush(rows) == Flushed(1, 0)
    await books.later(31 + 899 - 30)
    assert await jobs.janitor(books.worker) == 0
    await books.later(31 + 901)
    assert await jobs.janitor(books.worker) == 1
    assert await jobs.janitor(books.worker) == 0
    assert await books.balance(ref) == accounts.Balance(900, 0, 0)
    await books.prove()


async def test_a_run_that_ended_frees_its_leases_at_once(books: Books) -> None:
    ref = await books.organisation(live=1000)
    await books.lend(ref, 400)
    await books.later(31)
    assert await jobs.janitor(books.worker) == 1
    async with books.gateway.work() as work:
        assert await usage.runs_open(work, "w0") == [books.segment.run]
        await usage.run_end(work, "w0", books.segment.run)
        assert await usage.run_begin(work, "w0") == books.segment.run + 1
    assert await jobs.janitor(books.worker) == 0
    assert await books.balance(ref) == accounts.Balance(1000, 0, 0)
    await books.prove()


async def test_a_lease_that_never_opened_never_will(books: Books) -> None:
    """Recovery closes what the journal names; an opening that arrives after that lends nothing."""
    ref = await books.organisation(live=1000)
    opened = await books.lend(ref, 400)
    await books.flush([books.row(ref, opened, 30)])
    ghost = ids.fresh()
    for _ in range(2):
        async with books.gateway.work() as work:
            await leases.close_all(
                work, [Intent(opened, ref, "live"), Intent(ghost, ref, "live")], worker="w0", run=books.segment.run
            )
    async with books.gateway.work() as work:
        row = await work.row(
            "SELECT amount, refusal FROM ledger.lease_open(%s, %s, 'live', '{}', 'w0', 1, 9, 9, 9, 1, '30 s')",
            ghost,
            ref,
        )
    assert row == (0, "lease_closed")
    assert await books.balance(ref) == accounts.Balance(970, 0, 0)
    await books.prove()


async def test_flushes_and_closings_of_many_workers_do_not_deadlock(books: Books) -> None:
    """Batches that name many organisations' leases, while those leases close: every row booked once."""
    refs = [await books.organisation(live=10_000) for _ in range(6)]
    lent: list[tuple[UUID, UUID]] = [(ref, await books.lend(ref, 1000)) for ref in refs for _ in range(3)]
    chance = random.Random(3)
    batches: list[list[usage.UsageRow]] = []
    for _ in range(12):
        picked = [chance.choice(lent) for _ in range(20)]
        batches.append([books.row(ref, lease, 1) for ref, lease in picked])

    async def send(rows: list[usage.UsageRow]) -> int:
        for _ in range(20):
            try:
                return (await books.flush(rows)).booked
            except Unavailable as error:
                if error.code != "database_busy":
                    raise
        raise AssertionError("never booked")

    async def close(lease: UUID) -> None:
        await asyncio.sleep(chance.random() / 20)
        await books.close(lease)

    done = await asyncio.gather(*map(send, batches), *(close(lease) for _, lease in lent))
    assert sum(count for count in done if count is not None) == 240
    total = 0
    for ref in refs:
        total += 10_000 - (await books.balance(ref)).balance_micros
    assert total == 240
    await books.prove()
