"""Brings a database to the present: plain SQL files, each in one transaction that ends at the data map's gate.

``schema/*.sql`` is the present, one file a room: an empty database gets these. ``steps/NNNN_{pre,post}_NAME.sql`` is
the way here: a database that exists gets the steps it has not had (``pre`` before the new code runs, ``post`` after
the old one is gone). Who edits the schema without writing a step, or edits an applied step, is refused; so is a
database that knows steps this code does not. No step commits while a column is undeclared (D37).
"""

from __future__ import annotations

import hashlib
import re
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Final, Literal, LiteralString, cast

import msgspec
import psycopg

import ruxa
from ruxa.kernel.errors import Broken, Conflict, RuxaError
from ruxa.store import fault, inventory

Phase = Literal["all", "pre", "post"]
Connection = psycopg.Connection[tuple[object, ...]]

_STEP_NAME = re.compile(r"[0-9]{4}_(pre|post)_[a-z0-9_]+\.sql")
_TRANSACTION_WORDS = re.compile(r"^\s*(COMMIT|ROLLBACK|BEGIN|START\s+TRANSACTION)\s*;", re.IGNORECASE | re.MULTILINE)
# What ANALYZE copies outlives the row: sealed and hashed columns have no statistics (X33).
_NO_STATISTICS: Final = r"""
    DO $$
    DECLARE
        one record;
    BEGIN
        FOR one IN
            SELECT a.attrelid::regclass AS place, a.attname AS leaf
            FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid LEFT JOIN pg_inherits i ON i.inhrelid = c.oid
            WHERE c.relkind IN ('r', 'p') AND c.relowner = current_user::regrole AND a.attnum > 0 AND NOT a.attisdropped
                AND a.attstattarget IS DISTINCT FROM 0
                AND col_description(coalesce(i.inhparent, c.oid), (SELECT b.attnum FROM pg_attribute b
                    WHERE b.attrelid = coalesce(i.inhparent, c.oid) AND b.attname = a.attname))
                    ~ '\mseal=(subject|day|dual|blind|hash)\M'
        LOOP
            EXECUTE format('ALTER TABLE %s ALTER COLUMN %I SET STATISTICS 0', one.place, one.leaf);
        END LOOP;
    END $$
"""
_LOCK: Final = 0x5275_7861  # any number, the same for everybody


class File(msgspec.Struct, frozen=True):
    """One SQL file: ``schema/10_ruxa.sql`` or ``steps/0001_pre_x.sql``."""

    name: str
    text: str

    @property
    def sha256(self) -> str:
        """The file's fingerprint."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def phase(self) -> Phase:
        """When a step runs."""
        return "post" if "_post_" in self.name else "pre"


class Plan(msgspec.Struct, frozen=True):
    """The present and the way here."""

    schema: tuple[File, ...]
    steps: tuple[File, ...]


def plan(root: Traversable | None = None) -> Plan:
    """Reads ``schema/*.sql`` and ``steps/*.sql`` under ``root`` (the store's own by default)."""
    here = root or resources.files(__package__ or "ruxa.store")
    steps = _files(here / "steps", "steps")
    for step in steps:
        if not _STEP_NAME.fullmatch(step.name.removeprefix("steps/")):
            raise Broken(f"{step.name} is not named NNNN_pre_name.sql or NNNN_post_name.sql.", code="step_name")
    return Plan(schema=_files(here / "schema", "schema"), steps=steps)


def migrate(url: str, *, files: Plan | None = None, phase: Phase = "all") -> list[str]:
    """Applies what is missing as the owner's login; the names of what was applied.

    Raises Conflict (``undeclared_columns``, ``step_edited``, ``schema_edited``, ``data_newer``, ``step_failed``),
    Unavailable. A file that fails leaves nothing behind.
    """
    wanted = files or plan()
    failure: RuxaError
    try:
        with psycopg.connect(url, autocommit=True, connect_timeout=5, application_name="ruxa migrate") as connection:
            connection.execute("SET lock_timeout = '120s'")
            connection.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
            connection.execute("SET lock_timeout = '5s'")
            try:
                return _migrate(connection, wanted, phase)
            finally:
                if not connection.closed:
                    connection.execute("SELECT pg_advisory_unlock(%s)", [_LOCK])
    except psycopg.Error as error:
        failure = fault.of(error)
    raise failure


def pending(url: str, *, files: Plan | None = None) -> list[str]:
    """What ``migrate`` would apply; raises what it would refuse. For ``doctor`` and readiness."""
    failure: RuxaError
    try:
        with psycopg.connect(url, autocommit=True, connect_timeout=5, application_name="ruxa migrate") as connection:
            return [file.name for file in _missing(files or plan(), _applied(connection))]
    except psycopg.Error as error:
        failure = fault.of(error)
    raise failure


def _migrate(connection: Connection, wanted: Plan, phase: Phase) -> list[str]:
    applied = _applied(connection)
    if not applied:
        with connection.transaction():
            for file in wanted.schema:
                _run(connection, file)
            for file in wanted.schema:
                _record(connection, file, "base")
            for file in wanted.steps:
                _record(connection, file, "contained")
        return [file.name for file in wanted.schema]
    done: list[str] = []
    for file in _missing(wanted, applied):
        if phase not in ("all", file.phase):
            continue
        with connection.transaction():
            _run(connection, file)
            _record(connection, file, "step")
        done.append(file.name)
    if done and not _missing(wanted, _applied(connection), check_schema=False):
        with connection.transaction():
            connection.execute("DELETE FROM ruxa.migration WHERE how = 'base'")
            for file in wanted.schema:
                _record(connection, file, "base")
    return done


def _missing(wanted: Plan, applied: dict[str, tuple[str, str]], *, check_schema: bool = True) -> list[File]:
    """The steps still to run; refuses what must not be."""
    if not applied:
        return list(wanted.schema)
    ours = {step.name: step.sha256 for step in wanted.steps}
    for name, (digest, how) in applied.items():
        if how == "base":
            continue
        if name not in ours:
            raise Conflict(
                f"The database is newer than this release: it has had {name}. Run the newer release.",
                code="data_newer",
            )
        if ours[name] != digest:
            raise Conflict(f"{name} was edited after it was applied; write a new step.", code="step_edited")
    missing = [step for step in wanted.steps if step.name not in applied]
    if check_schema and not missing:
        present = {file.name: file.sha256 for file in wanted.schema}
        base = {name: digest for name, (digest, how) in applied.items() if how == "base"}
        changed = sorted(name for name in present.keys() | base.keys() if present.get(name) != base.get(name))
        if changed:
            raise Conflict(
                f"{', '.join(changed)} changed and no step leads there; write one in store/steps.",
                code="schema_edited",
            )
    return missing


def _run(connection: Connection, file: File) -> None:
    if _TRANSACTION_WORDS.search(file.text):
        raise Conflict(f"{file.name} ends its own transaction; the gate could not hold it.", code="step_failed")
    connection.execute("SET LOCAL search_path = pg_catalog, pg_temp")
    connection.execute("SET LOCAL lock_timeout = '5s'")
    connection.execute("SET LOCAL client_min_messages = 'warning'")
    failure: RuxaError | None = None
    try:
        connection.execute(cast(LiteralString, file.text))
    except psycopg.Error as error:
        failure = _failed(file, error)
    if failure is not None:
        raise failure
    connection.execute("SET LOCAL search_path = pg_catalog, pg_temp")
    _gate(connection, file)


def _gate(connection: Connection, file: File) -> None:
    """Refuses the transaction while any column is undeclared."""
    found = inventory.undeclared(inventory.columns(connection.execute(inventory.COLUMNS).fetchall()))
    if found:
        named = "; ".join(f"{column.name}: {column.problem}" for column in found)
        raise Conflict(
            f"{file.name} is refused: {len(found)} column(s) without a valid data: declaration ({named}).",
            code="undeclared_columns",
        )
    connection.execute(_NO_STATISTICS)


def _failed(file: File, error: psycopg.Error) -> RuxaError:
    converted = fault.of(error)
    if isinstance(converted, Conflict | Broken):
        state = error.sqlstate or ""
        # Class 42 (syntax, names, rights) quotes the file's own words only; other texts may quote rows.
        words = f": {error.diag.message_primary}" if state.startswith("42") and error.diag.message_primary else ""
        position = error.diag.statement_position
        line = f" line {file.text.count(chr(10), 0, int(position)) + 1}" if position else ""
        return Conflict(
            f"{file.name}{line} failed with SQLSTATE {state}{words}.", code="step_failed", detail=converted.detail
        )
    return converted


def _applied(connection: Connection) -> dict[str, tuple[str, str]]:
    if connection.execute("SELECT to_regclass('ruxa.migration')").fetchone() == (None,):
        return {}
    rows = connection.execute("SELECT step, sha256, how FROM ruxa.migration").fetchall()
    return {str(step): (str(digest), str(how)) for step, digest, how in rows}


def _record(connection: Connection, file: File, how: Literal["base", "step", "contained"]) -> None:
    connection.execute(
        "INSERT INTO ruxa.migration (step, sha256, how, release) VALUES (%s, %s, %s, %s)",
        [file.name, file.sha256, how, ruxa.__version__],
    )


def _files(directory: Traversable, prefix: str) -> tuple[File, ...]:
    if not directory.is_dir():
        return ()
    found = sorted((entry for entry in directory.iterdir() if entry.name.endswith(".sql")), key=lambda e: e.name)
    return tuple(File(f"{prefix}/{entry.name}", entry.read_text(encoding="utf-8")) for entry in found)
