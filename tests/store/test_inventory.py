"""The data map of the live schema: complete, and read back as it was written."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import sql

from fixtures_database import Database
from ruxa.store import inventory


async def test_every_column_of_every_schema_is_declared(database: Database) -> None:
    pool = await database.pool("ruxa_operator")
    async with pool.work() as work:
        found = await inventory.read(work)
    assert inventory.undeclared(found) == []
    assert {column.schema for column in found} >= {"ruxa", "keystore", "jobs"}
    by_name = {column.name: column for column in found}
    args = by_name["jobs.procrastinate_jobs.args"].declaration
    assert args is not None
    assert args.keep == "operations"
    assert by_name["ruxa.instance.id"].declaration is None


async def test_an_undeclared_column_is_seen_whoever_made_it(database: Database) -> None:
    async with await psycopg.AsyncConnection.connect(database.admin_url, autocommit=True) as admin:
        await admin.execute("CREATE TABLE keystore.secret (a text, b bytea)")
        await admin.execute("COMMENT ON COLUMN keystore.secret.b IS 'data: none'")
    pool = await database.pool("ruxa_operator")
    async with pool.work() as work:
        found = inventory.undeclared(await inventory.read(work))
    assert [(column.name, column.problem) for column in found] == [("keystore.secret.a", "no data: declaration")]


async def test_no_login_but_the_keystores_reads_a_key(database: Database) -> None:
    async with await psycopg.AsyncConnection.connect(database.admin_url, autocommit=True) as admin:
        rows = await (
            await admin.execute(
                "SELECT r.rolname, c.relname FROM pg_roles r, pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
                " WHERE r.rolname LIKE 'ruxa\\_%' AND NOT r.rolsuper AND n.nspname = 'keystore' AND c.relkind = 'r'"
                " AND (has_table_privilege(r.oid, c.oid, 'SELECT,INSERT,UPDATE,DELETE')"
                " OR has_any_column_privilege(r.oid, c.oid, 'SELECT,INSERT,UPDATE'))"
            )
        ).fetchall()
    assert {login for login, _ in rows} == {"ruxa_owner", "ruxa_keystore"}


async def test_the_gateways_login_reads_no_personal_column(database: Database) -> None:
    """Attempted, not looked up: every column that tells anything about anybody, pseudonyms excepted (D36)."""
    async with await psycopg.AsyncConnection.connect(database.url("ruxa_operator")) as operator:
        found = inventory.columns(await (await operator.execute(inventory.COLUMNS)).fetchall())
    personal = [
        column
        for column in found
        if column.declaration is not None
        and not set(column.declaration.categories) <= {"user.unique_id", "user.unique_id.pseudonymous"}
    ]
    assert len(personal) > 10
    async with await psycopg.AsyncConnection.connect(database.url("ruxa_gateway"), autocommit=True) as gateway:
        for column in personal:
            query = sql.SQL("SELECT {} FROM {} LIMIT 0").format(
                sql.Identifier(column.column), sql.Identifier(column.schema, column.table)
            )
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                await gateway.execute(query)
