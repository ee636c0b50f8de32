"""Migrations: whole or not at all, never past an undeclared column, never over somebody's edits or a newer release."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from fixtures_database import Database, Session
from ruxa.kernel.errors import Conflict, RuxaError, Unavailable
from ruxa.store import catalog, migrate
from ruxa.store.migrate import File, Plan

DECLARED = "COMMENT ON COLUMN ruxa.pet.id IS 'data: none';"
PET = f"CREATE TABLE ruxa.pet (id uuid PRIMARY KEY); {DECLARED}"


@pytest.fixture
def owner(fresh_database: Database) -> str:
    """The owner's URL to a migrated database."""
    return fresh_database.url("ruxa_owner")


@pytest.fixture
def empty(cluster: Session) -> Iterator[str]:
    """The owner's URL to a database that was set up and never migrated."""
    name = "empty_for_migrations"
    with psycopg.connect(cluster.admin_url(), autocommit=True) as admin:
        admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")  # type: ignore[arg-type]
        admin.execute(f"CREATE DATABASE {name} TEMPLATE template0")  # type: ignore[arg-type]
        admin.execute(f"GRANT CREATE ON DATABASE {name} TO ruxa_owner")  # type: ignore[arg-type]
    yield cluster.address(name).url("ruxa_owner")
    with psycopg.connect(cluster.admin_url(), autocommit=True) as admin:
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")  # type: ignore[arg-type]


def with_steps(**steps: str) -> Plan:
    """The real present and these steps on the way to it."""
    return Plan(migrate.plan().schema, tuple(File(f"steps/{name}.sql", text) for name, text in sorted(steps.items())))


def lines(url: str) -> list[str]:
    """The schemas of a database."""
    with psycopg.connect(url) as connection:
        return catalog.describe(connection)


def refused(code: str, url: str, plan: Plan) -> RuxaError:
    """The refusal of this plan."""
    with pytest.raises(Conflict) as caught:
        migrate.migrate(url, files=plan)
    assert caught.value.code == code
    return caught.value


def test_a_migrated_database_has_nothing_pending(owner: str) -> None:
    assert migrate.migrate(owner) == []
    assert migrate.pending(owner) == []


def test_the_present_can_be_applied_at_once(empty: str) -> None:
    names = [file.name for file in migrate.plan().schema]
    assert names[0] == "schema/10_ruxa.sql"
    assert migrate.pending(empty) == names
    assert migrate.migrate(empty) == names
    assert migrate.pending(empty) == []


def test_an_undeclared_column_is_refused_and_nothing_of_the_step_stays(owner: str) -> None:
    before = lines(owner)
    step = (
        "CREATE TABLE ruxa.pet (id uuid PRIMARY KEY, owner_email text, chip bytea);"
        f"{DECLARED} COMMENT ON COLUMN ruxa.pet.chip IS 'data: category=user.nonsense';"
        "INSERT INTO ruxa.migration (step, sha256, how, release) VALUES ('x', repeat('0', 64), 'step', 'x');"
    )
    error = refused("undeclared_columns", owner, with_steps(**{"0001_pre_pet": step}))
    assert "ruxa.pet.owner_email: no data: declaration" in error.public
    assert "ruxa.pet.chip" in error.public
    assert "ruxa.pet.id" not in error.public
    assert lines(owner) == before
    assert migrate.pending(owner) == []


@pytest.mark.parametrize(
    ("what", "column"),
    [
        ("CREATE TABLE ruxa.pet (id int) PARTITION BY RANGE (id)", "ruxa.pet.id"),
        ("CREATE MATERIALIZED VIEW ruxa.pet AS SELECT 1 AS id", "ruxa.pet.id"),
        ("CREATE UNLOGGED TABLE ruxa.pet (id int)", "ruxa.pet.id"),
        ("CREATE SCHEMA zoo; CREATE TABLE zoo.pet (id int)", "zoo.pet.id"),
        ("ALTER TABLE ruxa.instance ADD COLUMN contact text", "ruxa.instance.contact"),
        ("COMMENT ON COLUMN ruxa.instance.id IS NULL", "ruxa.instance.id"),
        ("ALTER TABLE jobs.procrastinate_jobs ADD COLUMN who text", "jobs.procrastinate_jobs.who"),
        (
            "ALTER TABLE keystore.key ADD COLUMN name text; COMMENT ON COLUMN keystore.key.name IS 'data: "
            "category=user.name subject=member purpose=provide basis=contract keep=account seal=subject erase=shred"
            " export=yes'",
            "keystore.key.name: seal=subject needs type bytea, not text",
        ),
    ],
)
def test_every_kind_of_place_has_the_gate(owner: str, what: str, column: str) -> None:
    before = lines(owner)
    error = refused("undeclared_columns", owner, with_steps(**{"0001_pre_pet": what}))
    assert column in error.public
    assert lines(owner) == before


def test_a_foreign_table_has_the_gate_too(owner: str, fresh_database: Database) -> None:
    with psycopg.connect(fresh_database.admin_url) as admin:
        admin.execute("CREATE EXTENSION postgres_fdw; CREATE SERVER away FOREIGN DATA WRAPPER postgres_fdw")
        admin.execute("GRANT USAGE ON FOREIGN SERVER away TO ruxa_owner")
    error = refused(
        "undeclared_columns",
        owner,
        with_steps(**{"0001_pre_pet": "CREATE FOREIGN TABLE ruxa.pet (id int) SERVER away"}),
    )
    assert "ruxa.pet.id" in error.public


def test_a_partition_inherits_its_roots_declaration(owner: str) -> None:
    step = PET.replace("PRIMARY KEY)", ") PARTITION BY RANGE (id)").replace(
        DECLARED, f"{DECLARED} CREATE TABLE ruxa.pet_all PARTITION OF ruxa.pet DEFAULT;"
    )
    assert migrate.migrate(owner, files=with_steps(**{"0001_pre_pet": step})) == ["steps/0001_pre_pet.sql"]


def test_steps_are_applied_once_in_order_and_by_phase(owner: str) -> None:
    plan = with_steps(
        **{
            "0001_pre_pet": PET,
            "0002_post_drop": "ALTER TABLE ruxa.pet DROP COLUMN name",
            "0003_pre_name": "ALTER TABLE ruxa.pet ADD COLUMN name text;"
            "COMMENT ON COLUMN ruxa.pet.name IS 'data: none'",
        }
    )
    assert migrate.migrate(owner, files=plan, phase="pre") == ["steps/0001_pre_pet.sql", "steps/0003_pre_name.sql"]
    assert migrate.pending(owner, files=plan) == ["steps/0002_post_drop.sql"]
    assert migrate.migrate(owner, files=plan, phase="post") == ["steps/0002_post_drop.sql"]
    assert migrate.migrate(owner, files=plan) == []


def test_an_edited_step_is_refused(owner: str) -> None:
    migrate.migrate(owner, files=with_steps(**{"0001_pre_pet": PET}))
    error = refused("step_edited", owner, with_steps(**{"0001_pre_pet": PET + " "}))
    assert "steps/0001_pre_pet.sql" in error.public


def test_a_database_newer_than_the_code_is_refused(owner: str) -> None:
    migrate.migrate(owner, files=with_steps(**{"0001_pre_pet": PET}))
    error = refused("data_newer", owner, migrate.plan())
    assert "0001_pre_pet" in error.public
    with pytest.raises(Conflict):
        migrate.pending(owner)


def test_a_changed_present_without_a_step_is_refused(owner: str) -> None:
    present = migrate.plan().schema
    edited = (*present[:-1], File(present[-1].name, present[-1].text + "\n-- one more thing"))
    error = refused("schema_edited", owner, Plan(edited, ()))
    assert present[-1].name in error.public


def test_a_present_and_its_step_end_in_the_same_place(owner: str, empty: str) -> None:
    """The proof the releases to come stand on: (old present + steps) equals (new present)."""
    cat = PET.replace("pet", "cat")
    present = migrate.plan().schema
    new = Plan((*present, File("schema/90_cat.sql", cat)), (File("steps/0001_pre_cat.sql", cat),))
    assert migrate.migrate(owner, files=new) == ["steps/0001_pre_cat.sql"]
    migrate.migrate(empty, files=new)
    assert lines(owner) == lines(empty)
    assert migrate.pending(owner, files=new) == migrate.pending(empty, files=new) == []


def test_a_failing_step_names_its_line_and_quotes_no_row(owner: str) -> None:
    error = refused("step_failed", owner, with_steps(**{"0001_pre_bad": "SELECT 1;\nSELEKT 2;"}))
    assert "steps/0001_pre_bad.sql line 2" in error.public
    assert "42601" in error.public
    error = refused("step_failed", owner, with_steps(**{"0001_pre_bad": "SELECT 'CANARY11'::text::int"}))
    assert "CANARY" not in error.public + error.detail


@pytest.mark.parametrize("word", ["COMMIT;", "  rollback ;", "BEGIN;", "start transaction;"])
def test_a_step_cannot_leave_its_transaction(owner: str, word: str) -> None:
    refused("step_failed", owner, with_steps(**{"0001_pre_bad": f"CREATE TABLE ruxa.pet (id int);\n{word}"}))
    with psycopg.connect(owner) as connection:
        assert connection.execute("SELECT to_regclass('ruxa.pet')").fetchone() == (None,)


def test_a_lock_somebody_holds_is_given_up_soon(owner: str, fresh_database: Database) -> None:
    with psycopg.connect(fresh_database.admin_url) as other:
        other.execute("LOCK TABLE ruxa.instance")
        with pytest.raises(Unavailable) as caught:
            migrate.migrate(
                owner,
                files=with_steps(
                    **{"0001_pre_x": "SET LOCAL lock_timeout = '50ms'; ALTER TABLE ruxa.instance ADD COLUMN x int"}
                ),
            )
    assert caught.value.code == "database_busy"


def test_two_at_once_take_turns(empty: str) -> None:
    applied: list[list[str]] = []
    threads = [threading.Thread(target=lambda: applied.append(migrate.migrate(empty))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(len, applied)) == [0, 0, len(migrate.plan().schema)]


def test_badly_named_steps_are_refused(tmp_path: Path) -> None:
    (tmp_path / "steps").mkdir()
    (tmp_path / "steps" / "later.sql").write_text("SELECT 1")
    with pytest.raises(RuxaError, match=r"later\.sql"):
        migrate.plan(tmp_path)


def test_the_jobs_schema_is_procrastinates_own_word_for_word() -> None:
    from procrastinate.schema import SchemaManager

    ours = next(file.text for file in migrate.plan().schema if file.name == "schema/50_jobs.sql")
    assert SchemaManager.get_schema().strip() in ours, "procrastinate's schema changed: vendor its migration as a step"
