"""Creates the database and its logins: on the embedded cluster, or on any PostgreSQL 15 to 18 (D5).

What needs an administrator is done once, here, or printed for somebody else to run. Passwords never travel: the
server is given SCRAM verifiers. Everything can be repeated.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, cast

import msgspec
import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from ruxa.kernel.errors import Conflict, RuxaError, Unavailable
from ruxa.store import fault
from ruxa.store.address import Address
from ruxa.store.binaries import MAJOR_MAX, MAJOR_MIN
from ruxa.store.logins import LOGINS, Login, Logins

# What every login's sessions start with. The quiet settings need a superuser (or a grant of one): X34.
_SESSION: Final[dict[str, str]] = {
    "search_path": "pg_catalog, pg_temp",
    "timezone": "UTC",
    "lock_timeout": "5s",
}
_QUIET: Final[dict[str, str]] = {
    "log_min_messages": "panic",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_statement": "none",
    "log_min_duration_statement": "-1",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
}
_PATIENCE: Final[dict[Login, tuple[str, str]]] = {  # statement_timeout, idle_in_transaction_session_timeout
    "ruxa_owner": ("10min", "1min"),
    "ruxa_gateway": ("5s", "10s"),
    "ruxa_console": ("15s", "30s"),
    "ruxa_worker": ("2min", "2min"),
    "ruxa_keystore": ("15s", "30s"),
    "ruxa_operator": ("2min", "2min"),
    "ruxa_support": ("15s", "30s"),
    "ruxa_tax": ("2min", "2min"),
    "ruxa_audit": ("15s", "30s"),
    "ruxa_erase": ("2min", "2min"),
    "ruxa_export": ("2min", "2min"),
}


_LOCK: Final = 0x5275_7862  # any number, the same for everybody


class Report(msgspec.Struct, frozen=True):
    """What ``setup`` could not do because the provider forbids it: the names of settings, shown as not configured."""

    not_configured: tuple[str, ...]


def prepare(address: Address) -> Report:
    """Makes a given PostgreSQL usable at start: nothing when it is set up, else by itself when its user may.

    Raises Unavailable ``database_away``; Conflict ``database_not_set_up``, or ``foreign_logins`` when another
    installation's logins are there (nothing is changed then), each naming ``ruxa db setup``.
    """
    if _can_sign_in(address):
        return Report(not_configured=())
    # The database may not exist yet; then the one every server has tells what the given user may do.
    names = (address.database, "postgres")
    may = [_may_create_roles(url) for name in names if (url := address.given_url(name)) is not None]
    if all(answer is None for answer in may):
        raise Unavailable("The database cannot be reached or refuses this user.", code="database_away")
    if not any(may):
        raise Conflict(
            "This PostgreSQL is not set up for Ruxa and the user of RUXA_DATABASE_URL may not create roles. "
            "Run once: ruxa db setup --admin-url URL (or --print to see the SQL).",
            code="database_not_set_up",
        )
    return setup(address, renew=False)


def knows(address: Address) -> bool:
    """Whether any login takes our password: the server was set up with our keys, wholly or in part."""
    names = (address.database, "postgres")
    return any(_signs_in(address, login, name) for login in LOGINS for name in names)


def setup(address: Address, admin_url: str | None = None, *, renew: bool = True) -> Report:
    """Creates roles and database with an administrator's URL (the address's own by default). Repeatable.

    renew: logins that are there get our passwords, whoever's they were. Raises Unavailable when the server is away,
    Conflict when it is too old or refuses something needed, or without ``renew`` for logins with other passwords.
    """
    url = admin_url or address.admin_url("postgres")
    refused: set[str] = set()
    ours = admin_url is None and address.given_url("postgres") is None
    with _connected(url, ours=ours) as server:
        version = server.info.server_version // 10000
        if not MAJOR_MIN <= version <= MAJOR_MAX:
            raise Conflict(
                f"This PostgreSQL is version {version}; Ruxa runs on {MAJOR_MIN} to {MAJOR_MAX}.",
                code="postgres_version",
            )
        # Two first starts take turns: roles cannot be altered by two at once.
        _run(server, sql.SQL("SELECT pg_advisory_lock({})").format(sql.Literal(_LOCK)), None, refused)
        if not renew:
            _refuse_foreign(server, address)
        for statement, optional in _server_statements(address.logins):
            _run(server, statement, optional, refused)
        found = server.execute("SELECT 1 FROM pg_database WHERE datname = %s", [address.database]).fetchone()
        if found is None:
            _run(server, _create_database(address.database), None, refused)
        for statement in _database_grants(address.database):
            _run(server, statement, None, refused)
    with _connected(_with_database(url, address.database)) as inside:
        for statement, optional in _inside_statements():
            _run(inside, statement, optional, refused)
    return Report(not_configured=tuple(sorted(refused)))


def printed(logins: Logins, database: str) -> str:
    """The SQL that ``setup`` runs, for psql and an administrator; passwords as SCRAM verifiers."""
    lines = ["-- Run with psql as an administrator, connected to any database.", "\\set ON_ERROR_STOP on"]
    for statement, optional in _server_statements(logins):
        text = statement.as_string() + ";"
        lines.append(text if optional is None else f"\\set ON_ERROR_STOP off\n{text}\n\\set ON_ERROR_STOP on")
    create = sql.SQL("SELECT {} WHERE NOT EXISTS (SELECT 1 FROM pg_database WHERE datname = {})").format(
        sql.Literal(_create_database(database).as_string()), sql.Literal(database)
    )
    lines.append(create.as_string() + " \\gexec")
    lines += [statement.as_string() + ";" for statement in _database_grants(database)]
    lines.append(f"\\connect {sql.Identifier(database).as_string()}")
    lines.append("\\set ON_ERROR_STOP off")
    lines += [statement.as_string() + ";" for statement, _ in _inside_statements()]
    return "\n".join(lines) + "\n"


def _refuse_foreign(server: psycopg.Connection[tuple[object, ...]], address: Address) -> None:
    """Logins belong to the whole server: to change another installation's passwords would lock its processes out."""
    there = server.execute("SELECT rolname FROM pg_roles WHERE rolname = ANY(%s)", [list(LOGINS)]).fetchall()
    for (name,) in there:
        login = cast(Login, name)
        if not any(_signs_in(address, login, database) for database in (address.database, "postgres")):
            raise Conflict(
                "Another installation of Ruxa uses this PostgreSQL, or --keys is not the directory it was made with. "
                "Nothing was changed. If its logins are yours to renew, run once: ruxa db setup --admin-url URL.",
                code="foreign_logins",
            )


def _server_statements(logins: Logins) -> Iterator[tuple[sql.Composed, str | None]]:
    """(statement, None when it must succeed or else the name of what may be refused)."""
    for login in LOGINS:
        role = sql.Identifier(login)
        # CREATE ROLE knows no IF NOT EXISTS; two first starts at once may both find it missing.
        yield (
            sql.SQL(
                "DO $$BEGIN CREATE ROLE {role} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOINHERIT"
                " PASSWORD {verifier};"
                " EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END$$"
            ).format(role=role, verifier=sql.Literal(logins.verifier(login))),
            None,
        )
        yield sql.SQL("ALTER ROLE {} PASSWORD {}").format(role, sql.Literal(logins.verifier(login))), None
        statement, idle = _PATIENCE[login]
        wanted = {**_SESSION, "statement_timeout": statement, "idle_in_transaction_session_timeout": idle}
        for name, value in wanted.items():
            yield _set(role, name, value), None
        for name, value in _QUIET.items():
            yield _set(role, name, value), name


def _set(role: sql.Identifier, name: str, value: str) -> sql.Composed:
    shown = sql.SQL(", ").join(sql.Literal(part.strip()) for part in value.split(","))
    return sql.SQL("ALTER ROLE {} SET {} = {}").format(role, sql.Identifier(name), shown)


def _create_database(database: str) -> sql.Composed:
    return sql.SQL("CREATE DATABASE {} ENCODING 'UTF8' TEMPLATE template0").format(sql.Identifier(database))


def _database_grants(database: str) -> Iterator[sql.Composed]:
    name = sql.Identifier(database)
    everybody = sql.SQL(", ").join(sql.Identifier(login) for login in LOGINS)
    yield sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(name)
    yield sql.SQL("GRANT CONNECT, TEMPORARY ON DATABASE {} TO {}").format(name, everybody)
    yield sql.SQL("GRANT CREATE ON DATABASE {} TO ruxa_owner").format(name)


def _inside_statements() -> Iterator[tuple[sql.Composed, str]]:
    """(statement, the name of what may be refused)."""
    yield sql.SQL("REVOKE ALL ON SCHEMA public FROM PUBLIC").format(), "public schema"
    # When a day of usage is dropped, the log that has its rows in the clear is to go too.
    yield sql.SQL("GRANT EXECUTE ON FUNCTION pg_catalog.pg_switch_wal() TO ruxa_worker").format(), "pg_switch_wal"


def _run(
    connection: psycopg.Connection[tuple[object, ...]], statement: sql.Composed, optional: str | None, refused: set[str]
) -> None:
    failure: RuxaError
    try:
        connection.execute(statement)
    except psycopg.errors.InsufficientPrivilege as error:
        if optional is not None:
            refused.add(optional)
            return
        failure = Conflict(
            "This user may not do what setting up needs; give --admin-url a user with CREATEROLE and CREATEDB.",
            code="database_not_set_up",
            detail=fault.of(error).detail,
        )
    except psycopg.errors.DuplicateDatabase:
        return
    except psycopg.Error as error:
        failure = fault.of(error)
    else:
        return
    raise failure


def _connected(url: str, *, ours: bool = False) -> psycopg.Connection[tuple[object, ...]]:
    failure: RuxaError
    try:
        return psycopg.connect(url, autocommit=True, connect_timeout=5, application_name="ruxa setup")
    except psycopg.Error as error:
        failure = _away(error, ours=ours)
    raise failure


def _away(error: psycopg.Error, *, ours: bool) -> RuxaError:
    failure = fault.of(error)
    if ours and "password authentication failed" in str(error):
        return Unavailable(
            "PostgreSQL refuses its own administrator: is --keys the directory this data was made with?",
            code="keys_missing",
        )
    if isinstance(failure, Unavailable):
        return Unavailable(
            "The database cannot be reached or refuses this user.", code=failure.code, detail=failure.detail
        )
    return failure


def _can_sign_in(address: Address) -> bool:
    """Whether every login already works."""
    return all(_signs_in(address, login, address.database) for login in LOGINS)


def _signs_in(address: Address, login: Login, database: str) -> bool:
    try:
        psycopg.connect(_with_database(address.url(login), database), connect_timeout=5).close()
    except psycopg.OperationalError:
        return False
    return True


def _may_create_roles(url: str) -> bool | None:
    """None when this user cannot even connect."""
    try:
        with psycopg.connect(url, connect_timeout=5) as connection:
            row = connection.execute(
                "SELECT rolsuper OR (rolcreaterole AND rolcreatedb) FROM pg_roles WHERE rolname = current_user"
            ).fetchone()
    except psycopg.OperationalError:
        return None
    return row is not None and bool(row[0])


def _with_database(url: str, database: str) -> str:
    return make_conninfo(url, dbname=database)
