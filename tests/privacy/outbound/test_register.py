"""The register in the database: destinations as they were declared last, counts by the database's day, strangers."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from msgspec import structs

from fixtures_database import Database
from ruxa.app import outbound as watcher
from ruxa.egress.recipient import Recipient, Register
from ruxa.egress.tally import UNDECLARED, Line
from ruxa.kernel.errors import RuxaError
from ruxa.privacy.outbound import register as outbound
from ruxa.store.pool import Pool
from wire_parts import SOMEBODY, Told

CONTENT = Line("test", "api.test", "user.content", 3)


async def test_a_destination_is_as_it_was_declared_last(database: Database) -> None:
    register = Register(Told())
    register.allow(SOMEBODY, "api.test", 443)
    pool = await database.pool("ruxa_gateway")
    for who in ("A", "B"):
        said = Recipient(
            name="test",
            role="provider",
            who=who,
            what=("user.content",),
            why=("provide",),
            where="US",
            safeguard="none",
        )
        register.allow(said, "api.test", 443)
        async with pool.work() as work:
            await outbound.declare(work, register)
    async with (await database.pool("ruxa_console")).work() as work:
        (found,) = await outbound.recipients(work)
    assert (found.who, found.host, found.port, found.categories) == ("B", "api.test", 443, ("user.content",))
    assert found.first_at < found.last_at


async def test_recipients_at_one_destination_are_each_listed_and_counted(database: Database) -> None:
    register = Register(Told())
    strict = structs.replace(SOMEBODY, name="strict", where="IE", safeguard="zero retention agreed")
    for recipient in (strict, SOMEBODY):
        register.allow(recipient, "api.test", 443)
    async with (await database.pool("ruxa_gateway")).work() as work:
        await outbound.declare(work, register)
        await outbound.count(work, [CONTENT, Line("strict", "api.test", "user.content", 2)])
    async with (await database.pool("ruxa_console")).work() as work:
        told = {one.name: (one.host, one.place, one.safeguard) for one in await outbound.recipients(work)}
        counts = await outbound.counts(work, await work.value("SELECT ruxa.today()"), 1)
    assert told == {
        "strict": ("api.test", "IE", "zero retention agreed"),
        "test": ("api.test", SOMEBODY.where, SOMEBODY.safeguard),
    }
    assert {one.recipient: one.sends for one in counts} == {"strict": 2, "test": 3}


async def _declared(pool: Pool) -> None:
    register = Register(Told())
    register.allow(SOMEBODY, "api.test", 443)
    async with pool.work() as work:
        await outbound.declare(work, register)


async def test_counts_are_added_by_day_and_read_newest_first(database: Database) -> None:
    pool = await database.pool("ruxa_worker")
    await _declared(pool)
    async with pool.work() as work:
        await outbound.count(work, [CONTENT])
    async with pool.work() as work:
        await outbound.count(work, [CONTENT, Line(UNDECLARED, "mail.test", UNDECLARED, 1)])
        today: date = await work.value("SELECT ruxa.today()")
        found = await outbound.counts(work, today, 1)
        assert {(one.recipient, one.category, one.sends, one.day) for one in found} == {
            ("test", "user.content", 6, today),
            (UNDECLARED, UNDECLARED, 1, today),
        }
        assert await outbound.counts(work, today + timedelta(days=1), 1) == []


async def test_only_the_registers_own_words_are_counted(database: Database) -> None:
    """Any process may count, and counts are published: nobody's words get there but those of a declaration."""
    pool = await database.pool("ruxa_gateway")
    await _declared(pool)
    async with pool.work() as work:
        await outbound.count(
            work,
            [
                CONTENT,
                Line("test", "api.test", "ann@example.com likes plums", 1),
                Line("Ann Elderberry", "api.test", "user.content", 1),
                Line("test", "call +49 170 1234567", "user.content", 1),
                Line(UNDECLARED, "evil.example", UNDECLARED, 1),
            ],
        )
    async with (await database.pool("ruxa_console")).work() as work:
        found = await outbound.counts(work, await work.value("SELECT ruxa.today()"), 1)
    assert {(one.recipient, one.host, one.category, one.sends) for one in found} == {
        ("test", "api.test", "user.content", 3),
        ("test", "api.test", UNDECLARED, 1),
        (UNDECLARED, "api.test", UNDECLARED, 1),
        (UNDECLARED, "no-host", UNDECLARED, 1),
        (UNDECLARED, "evil.example", UNDECLARED, 1),
    }


async def test_strangers_are_hosts_that_no_declaration_names(database: Database) -> None:
    register = Register(Told())
    register.allow(SOMEBODY, "api.test", 443)
    pool = await database.pool("ruxa_worker")
    async with pool.work() as work:
        await outbound.declare(work, register)
        await outbound.count(work, [CONTENT])
        today: date = await work.value("SELECT ruxa.today()")
        assert await outbound.strangers(work, today, 2) == {}
        await outbound.count(work, [Line("test", "other.test", "user.content", 1), Line(UNDECLARED, "x.test", "?", 2)])
        assert await outbound.strangers(work, today, 2) == {"other.test": 1, "x.test": 2}


async def test_no_login_may_write_a_count_otherwise_or_take_one_away(database: Database) -> None:
    for login in ("ruxa_gateway", "ruxa_console", "ruxa_worker", "ruxa_operator"):
        pool = await database.pool(login)
        for statement in (
            "INSERT INTO privacy.egress_daily VALUES (ruxa.today(), 'a', 'b', 'c', 1)",
            "UPDATE privacy.egress_daily SET sends = 1",
            "DELETE FROM privacy.egress_daily",
            "DELETE FROM privacy.recipient",
        ):
            with pytest.raises(RuxaError) as caught:
                async with pool.work() as work:
                    await work.run(statement)
            assert "42501" in caught.value.detail


async def test_a_tally_waits_for_its_database(database: Database) -> None:
    from contextlib import AsyncExitStack

    register = Register(Told())
    register.allow(SOMEBODY, "api.test", 443)
    register.tally.add(*CONTENT)
    pool = await database.pool("ruxa_gateway")
    await pool.close()
    async with AsyncExitStack() as stack:
        watcher.watch(register, pool, stack)
    assert register.tally.take() == [CONTENT]
    register.tally.put_back([CONTENT])
    async with AsyncExitStack() as stack:
        watcher.watch(register, await database.pool("ruxa_worker"), stack)
    assert register.tally.take() == []
    async with (await database.pool("ruxa_console")).work() as work:
        today: date = await work.value("SELECT ruxa.today()")
        assert [one.sends for one in await outbound.counts(work, today, 1)] == [3]
