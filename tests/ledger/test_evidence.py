"""Evidence: what remains of a day's charges when its rows go, and that the books prove themselves before and after."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import random
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from uuid import UUID, uuid4

import msgspec
import psycopg
import pytest

from books import Books
from ruxa.kernel import ids
from ruxa.kernel.errors import Conflict, Unavailable
from ruxa.ledger import evidence, plans, prices
from ruxa.ledger.evidence import Evidence
from ruxa.ledger.prices import Price, charge
from ruxa.ledger.usage import UsageRow

DAY_S = 86_400
# The published promise less the seven days of the last copy (D30): numbers of the decision, not of the code.
IN_SERVICE = 83


class Calendar:
    """The test's clock: whole days from the day on which it began, and what was spent on each."""

    def __init__(self, books: Books) -> None:
        self.books = books
        self.began = datetime.now(UTC)
        self.day = 0
        self.rows: list[UsageRow] = []

    @property
    def today(self) -> date:
        return (self.began + timedelta(days=self.day)).date()

    async def to(self, day: int) -> None:
        self.day = day
        await self.books.later(day * DAY_S)

    def row(self, ref: UUID, lease: UUID, amount: int, *, ago: int = 0, **fields: object) -> UsageRow:
        at_ms = int((self.began + timedelta(days=self.day - ago)).timestamp() * 1000)
        return self.books.row(ref, lease, amount, id=ids.at(at_ms), at_ms=at_ms, **fields)

    async def spend(self, ref: UUID, amounts: Iterable[int], *, scope: str = "live", **fields: object) -> UUID:
        """A lease, its charges, its close."""
        amounts = list(amounts)
        lease = await self.books.lend(ref, sum(amounts) + 1, scope)
        rows = [self.row(ref, lease, amount, scope=scope, **fields) for amount in amounts]
        assert (await self.books.flush(rows)).refused == ()
        await self.books.close(lease)
        self.rows += rows
        return lease

    async def reduce(self, ago: int) -> int | None:
        return await evidence.reduce(self.books.worker, self.today - timedelta(days=ago))

    async def days(self) -> list[date]:
        async with self.books.worker.work() as work:
            return [one.day for one in await evidence.days(work)]

    async def evidence(self, ref: UUID) -> list[Evidence]:
        async with self.books.console.work() as work:
            return await evidence.of_organisation(work, ref)

    async def reduce_all(self) -> None:
        for day in await self.days():
            if day <= self.today - timedelta(days=IN_SERVICE):
                await evidence.reduce(self.books.worker, day)


@pytest.fixture
async def calendar(books: Books) -> Calendar:
    return Calendar(books)


def _hash(rows: Iterable[UsageRow]) -> bytes:
    """A day's hash as the docstring of ``Evidence`` says it is made."""
    lines = [
        "|".join(
            map(
                str,
                (
                    row.id, row.input_tokens, row.cache_read_tokens, row.cache_write_5m_tokens,
                    row.cache_write_1h_tokens, row.output_tokens, row.reasoning_tokens, row.audio_input_tokens,
                    row.audio_output_tokens, row.images, row.amount_micros, row.waived_micros,
                ),
            )
        )
        for row in sorted(rows, key=lambda row: row.id)
    ]  # fmt: skip
    return hashlib.sha256(b"".join(hashlib.sha256(line.encode()).digest() for line in lines)).digest()


async def test_of_a_day_only_reference_month_price_quantity_amount_and_hash_remain(calendar: Calendar) -> None:
    books = calendar.books
    ref = await books.organisation(live=10_000)
    await calendar.spend(ref, [10, 20, 30])
    await books.prove()
    await calendar.to(IN_SERVICE)
    assert await calendar.reduce(IN_SERVICE + 1) == 0, "yesterday's empty partition goes first"
    assert await calendar.reduce(IN_SERVICE) == 3
    assert calendar.began.date() not in await calendar.days()
    (kept,) = await calendar.evidence(ref)
    assert kept == Evidence(
        organisation_ref=ref,
        month=calendar.began.date().replace(day=1),
        price_id=books.price["live"],
        scope="live",
        kind="lease",
        long=False,
        calls=3,
        quantities=(60, 0, 0, 0, 0, 0, 0, 0, 0),
        amount_micros=60,
        waived_micros=0,
        sha256=hashlib.sha256(_hash(calendar.rows)).digest(),
    )
    await books.prove()
    async with books.admin() as admin:
        for table in ("ledger.usage_event", "ledger.usage_day"):
            row = await (await admin.execute(f"SELECT count(*) FROM {table}")).fetchone()  # pyright: ignore[reportArgumentType]
            assert row == (0,)


@pytest.mark.parametrize("day", [81, 82, 83, 84])
async def test_a_day_is_there_on_its_82nd_and_gone_on_its_83rd(calendar: Calendar, day: int) -> None:
    ref = await calendar.books.organisation(live=10_000)
    await calendar.spend(ref, [10])
    await calendar.to(day)
    if day < IN_SERVICE:
        with pytest.raises(Conflict) as caught:
            await calendar.reduce(day)
        assert caught.value.code == "RX053"
    await calendar.reduce_all()
    assert (calendar.began.date() in await calendar.days()) == (day < IN_SERVICE)
    await calendar.books.prove()


async def test_again_and_two_at_once_change_nothing(calendar: Calendar) -> None:
    books = calendar.books
    ref = await books.organisation(live=10_000)
    await calendar.spend(ref, [10, 20])
    await calendar.to(IN_SERVICE)
    await calendar.reduce(IN_SERVICE + 1)

    async def once() -> int | None:
        while True:
            with contextlib.suppress(Unavailable):
                return await calendar.reduce(IN_SERVICE)

    assert sorted(await asyncio.gather(*(once() for _ in range(3))), key=str) == [2, None, None]
    assert await calendar.reduce(IN_SERVICE) is None
    assert [one.amount_micros for one in await calendar.evidence(ref)] == [30]
    await books.prove()


async def test_the_oldest_day_goes_first(calendar: Calendar) -> None:
    ref = await calendar.books.organisation(live=10_000)
    await calendar.spend(ref, [10])
    await calendar.to(1)
    await calendar.spend(ref, [20])
    await calendar.to(IN_SERVICE + 1)
    with pytest.raises(Conflict) as caught:
        await calendar.reduce(IN_SERVICE)
    assert caught.value.code == "RX051"
    await calendar.reduce_all()
    await calendar.books.prove()


async def test_a_late_row_is_in_the_evidence_and_one_for_a_day_that_is_gone_is_refused(calendar: Calendar) -> None:
    books = calendar.books
    ref = await books.organisation(live=10_000)
    lease = await calendar.spend(ref, [10])
    await calendar.to(60)
    assert await evidence.prepare(books.worker, calendar.began.date()) == 1
    assert await evidence.prepare(books.worker, calendar.began.date()) is None
    # The lease lent eleven and ten were charged: a late row may take the rest.
    late = calendar.row(ref, lease, 1, ago=60)
    assert (await books.flush([late])).late == 1
    await calendar.to(IN_SERVICE - 1)
    assert await evidence.prepare(books.worker, calendar.began.date()) == 2
    await calendar.to(IN_SERVICE)
    too_late = calendar.row(ref, lease, 1, ago=IN_SERVICE)
    assert [reason for _, reason in (await books.flush([too_late])).refused] == ["day"]
    await calendar.reduce_all()
    (kept,) = await calendar.evidence(ref)
    assert (kept.calls, kept.amount_micros) == (2, 11)
    assert kept.sha256 == hashlib.sha256(_hash([*calendar.rows, late])).digest()
    # The clock goes back: the day is young again, and stays gone.
    await calendar.to(10)
    assert [reason for _, reason in (await books.flush([calendar.row(ref, lease, 1, ago=10)])).refused] == ["day"]
    other = await books.lend(ref, 50)
    mixed = [calendar.row(ref, other, 5), calendar.row(ref, other, 5, ago=10)]
    flushed = await books.flush(mixed)
    assert (flushed.booked, [reason for _, reason in flushed.refused]) == (1, ["day"])
    await books.close(other)
    assert calendar.began.date() not in await calendar.days()
    await books.prove()


async def test_a_row_that_meets_the_end_of_its_day_is_refused_and_the_others_are_booked(calendar: Calendar) -> None:
    """A flush that has looked, and waits for the table while its day is dropped."""
    books = calendar.books
    ref = await books.organisation(live=10_000)
    await calendar.spend(ref, [10])
    await calendar.to(IN_SERVICE)
    await calendar.reduce(IN_SERVICE + 1)
    await evidence.prepare(books.worker, calendar.began.date())
    async with await psycopg.AsyncConnection.connect(books.database.url("ruxa_worker")) as ending:
        await ending.execute("SELECT ledger.day_reduce(%s)", [calendar.began.date()])
        await calendar.to(IN_SERVICE - 1)
        lease = await books.lend(ref, 50)
        rows = [calendar.row(ref, lease, 5), calendar.row(ref, lease, 5, ago=IN_SERVICE - 1)]
        flushing = asyncio.create_task(books.flush(rows))
        await asyncio.sleep(0.3)
        assert not flushing.done()
        await ending.commit()
        flushed = await flushing
    assert (flushed.booked, [reason for _, reason in flushed.refused]) == (1, ["day"])
    await books.close(lease)
    assert calendar.began.date() not in await calendar.days()
    await books.prove()


async def test_a_reader_that_stays_puts_it_off_for_half_a_second_and_no_longer(calendar: Calendar) -> None:
    books = calendar.books
    ref = await books.organisation(live=10_000)
    await calendar.spend(ref, [10])
    await calendar.to(IN_SERVICE)
    await calendar.reduce(IN_SERVICE + 1)
    async with await psycopg.AsyncConnection.connect(books.database.url("ruxa_operator")) as reader:
        await reader.execute("SELECT count(*) FROM ledger.charge")
        began = asyncio.get_running_loop().time()
        with pytest.raises(Unavailable) as caught:
            await calendar.reduce(IN_SERVICE)
        assert caught.value.code == "database_busy"
        assert 0.4 < asyncio.get_running_loop().time() - began < 3
        await reader.rollback()
    assert await calendar.reduce(IN_SERVICE) == 1


async def test_calls_are_booked_while_a_day_is_added_up_and_wait_only_for_its_dropping(calendar: Calendar) -> None:
    books = calendar.books
    ref = await books.organisation(live=10_000)
    await calendar.spend(ref, [10])
    await calendar.to(IN_SERVICE)
    await calendar.reduce(IN_SERVICE + 1)
    day = calendar.began.date()
    await evidence.prepare(books.worker, day)
    lease = await books.lend(ref, 50)
    # Today has its room by now, as the worker makes it days ahead.
    assert (await books.flush([calendar.row(ref, lease, 5)])).booked == 1
    async with (
        await psycopg.AsyncConnection.connect(books.database.url("ruxa_owner")) as keeper,
        await psycopg.AsyncConnection.connect(books.database.url("ruxa_worker")) as ending,
    ):
        # The day's end has got as far as the month's evidence, and somebody keeps it there.
        await keeper.execute("SELECT FROM ledger.evidence_day WHERE day = %s FOR UPDATE", [day])
        reducing = asyncio.create_task(ending.execute("SELECT ledger.day_reduce(%s)", [day]))
        await asyncio.sleep(0.1)
        assert not reducing.done()
        async with asyncio.timeout(0.3):
            assert (await books.flush([calendar.row(ref, lease, 5)])).booked == 1
        await keeper.rollback()
        await reducing
        await ending.commit()
    await books.close(lease)
    assert day not in await calendar.days()
    await books.prove()


async def test_killed_between_the_sums_and_the_end_nothing_is_lost_or_doubled(calendar: Calendar) -> None:
    books = calendar.books
    ref = await books.organisation(live=10_000)
    await calendar.spend(ref, [10])
    await calendar.to(IN_SERVICE)
    await calendar.reduce(IN_SERVICE + 1)
    for statement in ("SELECT ledger.evidence_prepare(%s)", "SELECT ledger.day_reduce(%s)"):
        async with await psycopg.AsyncConnection.connect(books.database.url("ruxa_worker")) as dying:
            await dying.execute(statement, [calendar.began.date()])
            await dying.rollback()
        await books.prove()
        await evidence.prepare(books.worker, calendar.began.date())
    assert await calendar.reduce(IN_SERVICE) == 1
    await books.prove()


async def test_no_login_drops_a_day_of_the_ledger_but_through_its_evidence(calendar: Calendar) -> None:
    books = calendar.books
    for table in ("ledger.usage_event", "ledger.usage_day"):
        with pytest.raises(Conflict) as caught:
            async with books.worker.work() as work:
                await work.value("SELECT ruxa.partition_drop(%s::regclass, %s)", table, calendar.today)
        assert caught.value.code == "RX010"


@pytest.mark.parametrize(
    ("moment", "may"),
    [("2033-12-31 23:59:59Z", False), ("2034-01-01 00:00:00Z", True), ("2034-01-02 00:00:00Z", True)],
)
@pytest.mark.parametrize("month", ["2026-01-01", "2026-11-01", "2026-12-01"])
async def test_evidence_is_kept_to_the_end_of_the_fiscal_year_and_seven_years(
    books: Books, month: str, moment: str, may: bool
) -> None:
    async with books.admin() as admin:
        await admin.execute(
            "INSERT INTO ledger.billing_evidence SELECT gen_random_uuid(), %s, %s, 'live', 'lease', false, 1,"
            " 5, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, sha256('')",
            [month, books.price["live"]],
        )
        await admin.execute(
            "CREATE OR REPLACE FUNCTION ruxa.now() RETURNS timestamptz LANGUAGE sql VOLATILE PARALLEL SAFE"
            f" RETURN '{moment}'::timestamptz"  # pyright: ignore[reportArgumentType]
        )
        if may:
            assert (await admin.execute("DELETE FROM ledger.billing_evidence")).rowcount == 1
        else:
            with pytest.raises(psycopg.DatabaseError, match="younger than its time"):
                await admin.execute("DELETE FROM ledger.billing_evidence")


async def test_what_an_administrator_breaks_shows(calendar: Calendar) -> None:
    books = calendar.books
    ref = await books.organisation(live=10_000, sandbox=100)
    await calendar.spend(ref, [10, 20])
    await calendar.to(IN_SERVICE)
    await calendar.reduce_all()
    for sabotage, proof in (
        ("UPDATE ledger.billing_evidence SET amount_micros = amount_micros + 1", "I14"),
        ("DELETE FROM ledger.billing_evidence", "I14"),
        ("UPDATE ledger.billing_evidence SET input_tokens = input_tokens + 5", "I15"),
        ("UPDATE ledger.billing_evidence SET scope = 'sandbox'", "I15"),
        ("UPDATE ledger.lease SET lost_micros = 1", "I14"),
    ):
        async with books.admin() as admin, admin.transaction(force_rollback=True):
            await admin.execute("SET LOCAL session_replication_role = replica")
            await admin.execute(sabotage)  # pyright: ignore[reportArgumentType]
            rows = await (await admin.execute("SELECT name FROM ledger.proofs() WHERE value > 0")).fetchall()
            assert proof in {row[0].partition(" ")[0] for row in rows}, sabotage
    for refused in (
        "UPDATE ledger.billing_evidence SET calls = calls - 1",
        "UPDATE ledger.evidence_day SET state = 'stale'",
        "DELETE FROM ledger.evidence_day WHERE state = 'reduced'",
        "TRUNCATE ledger.billing_evidence",
    ):
        async with books.admin() as admin:
            with pytest.raises(psycopg.DatabaseError, match="immutable"):
                await admin.execute(refused)  # pyright: ignore[reportArgumentType]


async def test_any_history_adds_up_whenever_its_days_end(calendar: Calendar, sizes: dict[str, int]) -> None:
    """Leases over midnight, both colours, long context, waived and late charges, prepared early or not: the books prove
    themselves after every step, and the evidence is exactly what was charged."""
    chance = random.Random(sizes["property_examples"])
    books = calendar.books
    long = msgspec.structs.replace(prices.rates(333_333, 777_777), long_from_tokens=100, long_input_micros=1_234_567)
    async with books.operator.work() as work:
        books.price["odd"] = await prices.put(work, "openai/odd", long, source="test")
        odd = next(price for name, price in (await prices.current(work)).items() if name == "openai/odd")
    refs = [await books.organisation(live=10**9, sandbox=10**9) for _ in range(3)]
    open_leases: dict[UUID, tuple[UUID, str, int]] = {}
    days = 6 if sizes["property_examples"] < 1000 else 60
    for day in range(days):
        await calendar.to(day)
        for _ in range(4):
            ref, scope = chance.choice(refs), chance.choice(["live", "sandbox"])
            open_leases[await books.lend(ref, 100_000, scope, ttl_s=10**8)] = (ref, scope, day)
        batch: list[UsageRow] = []
        for _ in range(40):
            lease = chance.choice(list(open_leases))
            ref, scope, since = open_leases[lease]
            batch.append(_random_row(calendar, chance, ref, lease, scope, odd, ago=chance.randint(0, day - since)))
        assert (await books.flush(batch)).refused == ()
        calendar.rows += batch
        for lease in chance.sample(list(open_leases), 2):
            await books.close(lease)
            if chance.random() < 0.5:
                del open_leases[lease]
        for one in await calendar.days():
            if one < calendar.today - timedelta(days=1) and chance.random() < 0.5:
                await evidence.prepare(books.worker, one)
        await books.prove()
    for day in range(IN_SERVICE - 1, IN_SERVICE + days):
        await calendar.to(day)
        await calendar.reduce_all()
        await books.prove()
    found = [one for ref in refs for one in await calendar.evidence(ref)]
    booked = [row for row in calendar.rows if row.amount_micros or row.waived_micros]
    assert sum(one.calls for one in found) == len(booked)
    for ref in refs:
        for scope in ("live", "sandbox"):
            mine = [one for one in found if one.organisation_ref == ref and one.scope == scope]
            rows = [row for row in booked if row.organisation_ref == ref and row.scope == scope]
            assert sum(one.amount_micros for one in mine) == sum(row.amount_micros for row in rows)
            assert sum(one.waived_micros for one in mine) == sum(row.waived_micros for row in rows)
            assert sum(one.quantities[0] for one in mine) == sum(row.input_tokens for row in rows)
    assert {one.long for one in found} == {True, False}
    assert any(row.waived_micros for row in booked)


def _random_row(
    calendar: Calendar, chance: random.Random, ref: UUID, lease: UUID, scope: str, odd: Price, *, ago: int
) -> UsageRow:
    if chance.random() < 0.2:
        return calendar.row(ref, lease, 0, ago=ago, scope=scope)
    if scope == "sandbox" or chance.random() < 0.5:
        row = calendar.row(ref, lease, chance.randint(1, 900), ago=ago, scope=scope)
    else:
        row = calendar.row(
            ref, lease, 1, ago=ago, scope=scope, model="openai/odd", price_id=odd.id,
            input_tokens=chance.randint(1, 200), output_tokens=chance.randint(0, 50),
        )  # fmt: skip
        row.amount_micros = charge(odd, row)  # pyright: ignore[reportArgumentType]
    if chance.random() < 0.2:
        row.waived_micros = chance.randint(0, row.amount_micros)
        row.amount_micros -= row.waived_micros
    return row


async def test_a_journal_that_nobody_ends_knows_no_refused_row_beyond_its_day(calendar: Calendar) -> None:
    books = calendar.books
    ref = await books.organisation(live=10_000)
    await calendar.spend(ref, [10])
    refused = books.row(ref, uuid4(), 5)
    await books.flush([refused])
    known = "SELECT refused, refused_ids FROM ledger.journal_segment WHERE cardinality(refusals) > 0"
    async with books.admin() as admin:
        assert await (await admin.execute(known)).fetchone() == (0, [refused.id])
        await calendar.to(IN_SERVICE)
        await calendar.reduce(IN_SERVICE + 1)
        assert await (await admin.execute(known)).fetchone() == (0, [refused.id])
        assert await calendar.reduce(IN_SERVICE) == 1
        assert await (await admin.execute(known)).fetchone() == (1, [])


async def test_what_free_calls_cost_is_known_on_and_not_whose_they_were(calendar: Calendar) -> None:
    """A plan that gives a model away: the report of margins has its cost before and after the rows are gone."""
    books = calendar.books
    async with books.operator.work() as work:
        await plans.create(work, "gift")
        await plans.put(work, "gift", 0)
        gift = (await prices.current(work, "gift"))["openai/test"].id
    ref, erased = await books.organisation(live=10_000), await books.organisation(live=10_000)
    await calendar.spend(ref, [40])

    async def free(whose: UUID, tokens: int, **fields: object) -> None:
        row = calendar.row(whose, uuid4(), 0, lease_id=None, input_tokens=tokens, price_id=gift, **fields)
        assert (await books.flush([row])).refused == ()

    await free(ref, 100)
    await free(ref, 200)
    await free(erased, 300)
    await free(ref, 999, usage_source="none")
    month = calendar.began.date().replace(day=1)

    async def report(whose: UUID | None = None) -> tuple[int, int, int]:
        async with books.console.work() as work:
            lines = await plans.report(work, month, month + timedelta(days=200), whose)
        return (
            sum(line.calls for line in lines), sum(line.amount_micros for line in lines),
            sum(line.cost_micros for line in lines),
        )  # fmt: skip

    before = await report()
    assert before == (4, 40, 640)
    async with books.admin() as admin:
        await admin.execute("SELECT ledger.usage_erase(%s)", [erased])
    assert await report() == before
    await calendar.to(IN_SERVICE)
    await calendar.reduce_all()
    assert await report() == before
    assert await report(ref) == (1, 40, 40), "of one organisation only what it was charged for"
    async with books.admin() as admin:
        kept = await (await admin.execute("SELECT calls, input_tokens, price_id FROM ledger.free_month")).fetchall()
    assert kept == [(3, 600, books.price["live"])]
    await books.prove()
