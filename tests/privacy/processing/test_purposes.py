"""Each login reads what it is there for: the grants against the map, and every forbidden read tried."""

from __future__ import annotations

import psycopg
import pytest

from fixtures_access import House
from fixtures_database import Database
from ruxa.kernel.errors import RuxaError
from ruxa.privacy.processing import purposes, restriction
from ruxa.store import inventory
from ruxa.store.logins import LOGINS, Login


async def test_no_grant_is_wider_than_the_map(database: Database) -> None:
    async with (await database.pool("ruxa_operator")).work() as work:
        wider, examined = await purposes.wider(work)
    assert wider == []
    assert examined > 200
    assert set(purposes.PURPOSES) == set(LOGINS) - {"ruxa_owner"}


@pytest.mark.parametrize(
    ("grant", "found"),
    [
        (
            "access.member (password_hash) TO ruxa_support",
            "ruxa_support access.member.password_hash: it is for security",
        ),
        ("access.member (email_sealed) TO ruxa_tax", "ruxa_tax access.member.email_sealed: not its room"),
        ("ledger.usage_event (key_id) TO ruxa_gateway", "ruxa_gateway ledger.usage_event.key_id: it is for billing"),
        ("keystore.key (wrapped) TO ruxa_operator", "ruxa_operator keystore.key.wrapped: not its room"),
        ("audit.entry (fields_sealed) TO ruxa_audit", "ruxa_audit audit.entry.fields_sealed: not its room"),
        ("access.member (email_sealed) TO ruxa_erase", "ruxa_erase access.member.email_sealed: it is for"),
        ("access.member (password_hash) TO ruxa_export", "ruxa_export access.member.password_hash: it is for security"),
    ],
)
async def test_a_grant_too_wide_is_found(database: Database, grant: str, found: str) -> None:
    schema = grant.partition(".")[0]
    with psycopg.connect(database.admin_url, autocommit=True) as admin:
        admin.execute(f"GRANT USAGE ON SCHEMA {schema} TO {grant.rpartition(' ')[2]}")  # type: ignore[arg-type]
        what, _, rest = grant.partition(" (")
        admin.execute(f"GRANT SELECT ({rest.partition(')')[0]}) ON {what} TO {rest.rpartition(' ')[2]}")  # type: ignore[arg-type]
    async with (await database.pool("ruxa_operator")).work() as work:
        told, _ = await purposes.wider(work)
    assert len(told) == 1
    assert told[0].startswith(found)


@pytest.mark.parametrize("login", [one for one in LOGINS if one != "ruxa_owner"])
async def test_every_forbidden_read_is_refused(database: Database, login: Login) -> None:
    async with (await database.pool("ruxa_operator")).work() as work:
        personal = [column for column in await inventory.read(work) if column.declaration is not None]
    closed = purposes.CLOSED[login]
    tried = 0
    pool = await database.pool(login)
    for column in personal:
        assert column.declaration is not None
        if purposes.may_read(login, column.name, column.declaration) and not column.name.startswith(closed):
            continue
        with pytest.raises(RuxaError) as caught:
            async with pool.work() as work:
                await work.run(f"SELECT {column.column} FROM {column.schema}.{column.table} LIMIT 0")  # type: ignore[arg-type]
        assert "42501" in caught.value.detail, (column.name, caught.value.detail)
        tried += 1
    assert tried


async def test_a_restricted_member_is_not_there_for_support(house: House) -> None:
    _, member, _ = await house.owner()
    support, console = await house.database.pool("ruxa_support"), house.console

    async def seen() -> tuple[int, int, int]:
        async with support.work() as work:
            members = await work.value("SELECT count(*) FROM access.member WHERE id = %s", member)
            memberships = await work.value("SELECT count(*) FROM access.membership WHERE member_id = %s", member)
        async with console.work() as work:
            return members, memberships, await work.value("SELECT count(*) FROM access.member WHERE id = %s", member)

    async def say(lift: bool) -> bool:
        async with house.operator.work() as work:
            if lift:
                return await restriction.lift(work, house.vault, member, actor="operator")
            return await restriction.restrict(work, house.vault, member, asked_by="operator", actor="operator")

    assert await seen() == (1, 1, 1)
    assert await say(lift=False)
    assert not await say(lift=False)
    assert await seen() == (0, 0, 1)
    with pytest.raises(RuxaError):
        async with support.work() as work:
            await work.run("DELETE FROM privacy.restriction")
    assert await say(lift=True)
    assert not await say(lift=True)
    assert await seen() == (1, 1, 1)
