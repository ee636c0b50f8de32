"""Transfers: double entry that the database enforces, once each, never changed, by no login."""

from __future__ import annotations

from uuid import uuid4

import psycopg
import pytest

from books import Books
from ruxa.kernel import ids
from ruxa.kernel.errors import Conflict, RuxaError
from ruxa.ledger import accounts, statements, transfers
from ruxa.store.logins import Login


async def test_post_is_once_and_the_same(books: Books) -> None:
    one = ids.fresh()
    ref = uuid4()

    async def post(amount: int = 5, credit: str = "revenue:breakage") -> bool:
        async with books.operator.work() as work:
            return await transfers.post(
                work, one, debit="expense:promo", credit=credit, amount_micros=amount, code="correction",
                organisation_ref=ref,
            )  # fmt: skip

    assert await post() is True
    assert await post() is False
    for other in ({"amount": 6}, {"credit": "revenue:usage:live"}):
        with pytest.raises(Conflict) as refused:
            await post(**other)
        assert refused.value.code == "RX005"
    async with books.operator.work() as work:
        found = {account.code: account for account in await accounts.every(work)}
        lines = await statements.lines(work, ref)
    assert found["expense:promo"].debits_posted == 5
    assert found["revenue:breakage"].credits_posted == 5
    assert [(line.code, line.debit, line.credit, line.amount_micros) for line in lines] == [
        ("correction", "expense:promo", "revenue:breakage", 5)
    ]
    await books.prove()


async def test_a_pending_resolves_once(books: Books) -> None:
    pending = transfers.pending_id(ids.fresh())
    async with books.operator.work() as work:
        await transfers.hold(
            work, pending, debit="expense:promo", credit="revenue:breakage", amount_micros=10, code="correction"
        )
    await books.prove()
    with pytest.raises(Conflict) as more:
        async with books.operator.work() as work:
            await transfers.resolve(work, pending, 11)
    assert more.value.code == "RX002"
    async with books.operator.work() as work:
        assert await transfers.resolve(work, pending, 4) is True
        assert await transfers.resolve(work, pending, 4) is False
    with pytest.raises(Conflict) as other:
        async with books.operator.work() as work:
            await transfers.resolve(work, pending, 0)
    assert other.value.code == "RX005"
    with pytest.raises(Conflict) as unknown:
        async with books.operator.work() as work:
            await transfers.resolve(work, ids.fresh(), 1)
    assert unknown.value.code == "RX001"
    async with books.operator.work() as work:
        found = {account.code: account for account in await accounts.every(work)}
    assert (found["expense:promo"].debits_posted, found["expense:promo"].debits_pending) == (4, 0)
    await books.prove()


@pytest.mark.parametrize(
    ("debit", "credit", "amount", "code"),
    [
        ("expense:promo", "revenue:nowhere", 5, "RX004"),
        ("expense:promo", "budget:used", 5, "RX003"),
        ("expense:promo", "expense:promo", 5, "transfer_two_accounts"),
        ("expense:promo", "revenue:breakage", 0, "transfer_amount"),
        ("expense:promo", "revenue:breakage", -1, "transfer_amount_micros_check"),
    ],
)
async def test_impossible_transfers_are_refused(books: Books, debit: str, credit: str, amount: int, code: str) -> None:
    with pytest.raises(Conflict) as refused:
        async with books.operator.work() as work:
            await transfers.post(work, ids.fresh(), debit=debit, credit=credit, amount_micros=amount, code="correction")
    assert refused.value.code == code
    await books.prove()


async def test_a_lot_cannot_be_overdrawn(books: Books) -> None:
    ref = await books.organisation(live=100)
    async with books.operator.work() as work:
        (lot,) = await accounts.lots(work, ref)
    with pytest.raises(Conflict) as refused:
        async with books.operator.work() as work:
            await transfers.post(
                work, ids.fresh(), debit=f"lot:{lot.id.hex}", credit="revenue:breakage", amount_micros=101,
                code="correction",
            )  # fmt: skip
    assert refused.value.code == "account_no_overdraft"
    await books.prove()


TABLES = (
    "account", "transfer", "lot", "budget", "lease", "lease_slice", "price", "journal_run", "journal_segment",
    "usage_event", "seal",
)  # fmt: skip
APPLICATION: tuple[Login, ...] = ("ruxa_gateway", "ruxa_console", "ruxa_worker", "ruxa_keystore", "ruxa_operator")


@pytest.mark.parametrize("login", APPLICATION)
async def test_no_login_changes_the_books(books: Books, login: Login) -> None:
    ref = await books.organisation(live=1000)
    lease = await books.lend(ref, 500)
    await books.flush([books.row(ref, lease, 10)])
    attempts = 0
    async with await psycopg.AsyncConnection.connect(books.database.url(login), autocommit=True) as attacker:
        for table in TABLES:
            column = {"transfer": "code", "usage_event": "model", "seal": "number"}.get(table)
            async with books.admin() as admin:
                found = await (
                    await admin.execute(
                        "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 LIMIT 1",
                        [f"ledger.{table}"],
                    )
                ).fetchone()
            assert found is not None
            name = column or found[0]
            for attack in (
                f"UPDATE ledger.{table} SET {name} = {name}",
                f"DELETE FROM ledger.{table}",
                f"TRUNCATE ledger.{table} CASCADE",
                f"INSERT INTO ledger.{table} SELECT * FROM ledger.{table}",
                f"ALTER TABLE ledger.{table} DISABLE TRIGGER ALL",
                f"DROP TABLE ledger.{table} CASCADE",
                f"CREATE TRIGGER mine BEFORE INSERT ON ledger.{table} EXECUTE FUNCTION ledger.deny()",
                f"CREATE RULE mine AS ON INSERT TO ledger.{table} DO INSTEAD NOTHING",
            ):
                with pytest.raises(psycopg.Error) as refused:
                    await attacker.execute(attack)  # pyright: ignore[reportArgumentType]
                assert refused.value.sqlstate == "42501", (attack, refused.value)
                attempts += 1
        for attack in (
            "SET session_replication_role = replica",
            "SELECT ledger.transfer_apply()",
            "SELECT ledger.enter(NULL, 'posted', NULL, NULL, 1, 'x', NULL, NULL, NULL)",
            "SELECT ledger.charge_beyond(NULL, 1)",
            "SELECT ledger.lease_end(NULL)",
            "SELECT nextval('ledger.transfer_seq')",
            "CREATE OR REPLACE FUNCTION ledger.deny() RETURNS trigger LANGUAGE sql AS 'SELECT NULL'",
            "CREATE TABLE ledger.mine (n int)",
            "SET ROLE ruxa_owner",
        ):
            with pytest.raises(psycopg.Error) as refused:
                await attacker.execute(attack)  # pyright: ignore[reportArgumentType]
            assert refused.value.sqlstate in ("42501", "0A000"), (attack, refused.value)
            attempts += 1
    assert attempts == len(TABLES) * 8 + 9
    await books.prove()


async def test_the_owner_too_is_stopped_by_triggers(books: Books) -> None:
    ref = await books.organisation(live=1000)
    lease = await books.lend(ref, 500)
    await books.flush([books.row(ref, lease, 10)])
    async with await psycopg.AsyncConnection.connect(books.database.url("ruxa_owner"), autocommit=True) as owner:
        for attack in (
            "UPDATE ledger.transfer SET amount_micros = 1",
            "DELETE FROM ledger.transfer",
            "TRUNCATE ledger.transfer",
            "UPDATE ledger.usage_event SET amount_micros = 1",
            "DELETE FROM ledger.usage_event",
            "UPDATE ledger.price SET input_micros = 0",
            "DELETE FROM ledger.price",
            "TRUNCATE ledger.price CASCADE",
            "DELETE FROM ledger.account",
            "DELETE FROM ledger.lot",
            "DELETE FROM ledger.lease",
            "DELETE FROM ledger.lease_slice",
        ):
            with pytest.raises(psycopg.Error) as refused:
                await owner.execute(attack)  # pyright: ignore[reportArgumentType]
            assert refused.value.sqlstate == "RX900", (attack, refused.value)
        partitions = await (
            await owner.execute(
                "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'ledger.transfer'::regclass"
            )
        ).fetchall()
        for (part,) in partitions:
            with pytest.raises(psycopg.Error) as refused:
                await owner.execute(f"TRUNCATE {part}")  # pyright: ignore[reportArgumentType]
            assert refused.value.sqlstate == "RX900"
        assert partitions
    await books.prove()


async def test_refusals_do_not_say_whose(books: Books) -> None:
    """What the store says of a refused transfer holds no id and no amount."""
    ref = await books.organisation(live=7_654_321)
    with pytest.raises(RuxaError) as refused:
        async with books.operator.work() as work:
            await transfers.post(
                work, ids.fresh(), debit="expense:promo", credit="nowhere:at:all", amount_micros=7_654_321,
                code="correction", organisation_ref=ref,
            )  # fmt: skip
    text = f"{refused.value!r} {refused.value.public} {refused.value.detail} {refused.value.code}"
    assert "7654321" not in text.replace("_", "").replace(",", "")
    assert str(ref) not in text
    assert refused.value.__cause__ is None
    assert refused.value.__context__ is None
