"""Setting up a PostgreSQL: by an administrator, by itself, by printed SQL; and what each login may then do."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import psycopg
import pytest

from fixtures_database import scratch
from ruxa.kernel.errors import Conflict, RuxaError, Unavailable
from ruxa.store import binaries, database, migrate
from ruxa.store.address import Address
from ruxa.store.embedded import Cluster
from ruxa.store.logins import LOGINS, Logins

BINARIES = list(dict.fromkeys([binaries.find(), *binaries.of_system()]))
LOGIN_SECRET = Logins(bytes(range(32)))


@pytest.fixture(
    scope="module", params=BINARIES, ids=lambda path: "wheel" if "site-p" in str(path) else path.parent.name
)
def server(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A PostgreSQL that stands for somebody else's: its superuser's secret is not the instance's."""
    base = Path(tempfile.mkdtemp(prefix="ruxa-m-", dir=scratch()))
    cluster = Cluster(base, Logins(bytes(32)), request.param, fsync=False)
    cluster.initialise()
    cluster.start()
    cluster.ready()
    yield cluster
    cluster.stop()
    shutil.rmtree(base)


@pytest.fixture
def clean(server: Cluster) -> Iterator[Cluster]:
    """The server as it was before anybody set it up."""
    yield server
    with psycopg.connect(server.address.admin_url("postgres"), autocommit=True) as admin:
        for name in ("ruxa", "theirs"):
            admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")  # type: ignore[arg-type]
        for role in (*LOGINS, "provider", "guest"):
            admin.execute(f"DROP ROLE IF EXISTS {role}")  # type: ignore[arg-type]


def url(server: Cluster, user: str, password: str, name: str = "postgres", *, tcp: bool = True) -> str:
    """A URL as an operator would give it."""
    where = {"host": "127.0.0.1", "port": str(server.port)} if tcp else {"host": str(server.socket_directory)}
    return f"postgresql://{user}:{password}@/{name}?{urlencode(where)}"


def make_user(server: Cluster, user: str, rights: str) -> None:
    """A user of the server, with password ``pass``."""
    with psycopg.connect(server.address.admin_url("postgres"), autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {user} LOGIN PASSWORD 'pass' {rights}")  # type: ignore[arg-type]


def ask(where: str, sql: str) -> object:
    """The first value."""
    with psycopg.connect(where) as connection:
        row = connection.execute(sql).fetchone()  # type: ignore[call-overload]
        assert row is not None
        return row[0]


def works(address: Address) -> None:
    """It can be migrated and used by every login."""
    assert migrate.migrate(address.url("ruxa_owner"))
    for login in LOGINS:
        assert ask(address.url(login), "SELECT current_user::text") == login
        assert ask(address.url(login), "SELECT ruxa.now() > '2020-01-01'") is True


def test_the_administrators_url_sets_up_everything_and_may_be_repeated(clean: Cluster) -> None:
    admin = clean.address.admin_url("postgres")
    address = Address.of_url(url(clean, "somebody", "x"), LOGIN_SECRET)
    assert database.setup(address, admin).not_configured == ()
    works(address)
    assert database.setup(address, admin).not_configured == ()
    assert migrate.migrate(address.url("ruxa_owner")) == []


def test_a_url_that_may_create_roles_is_enough(clean: Cluster) -> None:
    """As with most providers: no superuser, but a user who may create roles and databases."""
    make_user(clean, "provider", "CREATEROLE CREATEDB")
    address = Address.of_url(url(clean, "provider", "pass"), LOGIN_SECRET)
    report = database.prepare(address)
    # What only a superuser may set is named, not silently left out.
    assert "log_min_messages" in report.not_configured
    works(address)
    assert database.prepare(address).not_configured == ()


def test_the_database_that_the_url_names_is_taken(clean: Cluster) -> None:
    with psycopg.connect(clean.address.admin_url("postgres"), autocommit=True) as admin:
        admin.execute("CREATE DATABASE theirs")
    address = Address.of_url(clean.address.admin_url("theirs"), LOGIN_SECRET)
    database.prepare(address)
    works(address)
    assert ask(address.url("ruxa_gateway"), "SELECT current_database()::text") == "theirs"


def test_a_user_who_may_nothing_is_told_the_command(clean: Cluster) -> None:
    make_user(clean, "guest", "")
    with pytest.raises(Conflict) as caught:
        database.prepare(Address.of_url(url(clean, "guest", "pass"), LOGIN_SECRET))
    assert caught.value.code == "database_not_set_up"
    assert "ruxa db setup --admin-url" in caught.value.public
    with pytest.raises(Conflict) as caught:
        database.setup(Address.of_url(url(clean, "guest", "pass"), LOGIN_SECRET))
    assert caught.value.code == "database_not_set_up"


def test_a_server_that_does_not_answer_is_away_and_no_password_is_told(clean: Cluster) -> None:
    for where in (
        url(clean, "provider", "wrong-secret-11"),
        "postgresql://a:wrong-secret-11@127.0.0.1:1/x?connect_timeout=2",
    ):
        with pytest.raises(Unavailable) as caught:
            database.prepare(Address.of_url(where, LOGIN_SECRET))
        assert caught.value.code == "database_away"
        assert "wrong-secret-11" not in caught.value.public + caught.value.detail
        assert caught.value.__context__ is None


def test_the_printed_sql_does_the_same_and_holds_no_password(clean: Cluster, tmp_path: Path) -> None:
    text = database.printed(LOGIN_SECRET, "ruxa")
    for login in LOGINS:
        assert LOGIN_SECRET.password(login) not in text
        assert f'ALTER ROLE "{login}" PASSWORD \'SCRAM-SHA-256$1:' in text
    psql = clean.bin_dir / "psql"
    if not psql.exists():
        psql = Path(shutil.which("psql") or "psql")
    script = tmp_path / "setup.sql"
    script.write_text(text)
    for _ in range(2):
        done = subprocess.run(
            [psql, clean.address.admin_url("postgres"), "-q", "-X", "-f", script], capture_output=True, text=True
        )
        assert (done.returncode, done.stderr) == (0, "")
    address = Address.of_url(url(clean, "x", "y"), LOGIN_SECRET)
    works(address)


def test_no_password_travels_nor_is_stored(clean: Cluster) -> None:
    database.setup(Address.of_url(url(clean, "x", "y"), LOGIN_SECRET), clean.address.admin_url("postgres"))
    for login in LOGINS:
        stored = ask(
            clean.address.admin_url("postgres"), f"SELECT rolpassword FROM pg_authid WHERE rolname = '{login}'"
        )
        assert stored == LOGIN_SECRET.verifier(login)
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(url(clean, "ruxa_gateway", LOGIN_SECRET.password("ruxa_owner"), "ruxa"))


def test_each_logins_session_is_safe_and_patient_enough(clean: Cluster) -> None:
    address = Address.of_url(url(clean, "x", "y"), LOGIN_SECRET)
    database.setup(address, clean.address.admin_url("postgres"))
    for login in LOGINS:
        with psycopg.connect(address.url(login)) as connection:
            shown = {
                name: connection.execute(f"SHOW {name}").fetchone()[0]  # type: ignore[index,call-overload]
                for name in (
                    "search_path", "log_min_messages", "log_min_error_statement", "log_error_verbosity",
                    "log_parameter_max_length_on_error", "timezone", "lock_timeout", "statement_timeout",
                    "idle_in_transaction_session_timeout",
                )
            }  # fmt: skip
            # Nothing that is not spelt out is found in a schema somebody else may write to.
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute("CREATE TABLE public.trap (n int)")
        assert shown["search_path"] == "pg_catalog, pg_temp"
        assert shown["log_min_messages"] == shown["log_min_error_statement"] == "panic"
        assert shown["log_error_verbosity"] == "terse"
        assert shown["log_parameter_max_length_on_error"] == "0"
        assert (shown["timezone"], shown["lock_timeout"]) == ("UTC", "5s")
        assert "0" not in (shown["statement_timeout"], shown["idle_in_transaction_session_timeout"])


def test_a_stranger_cannot_even_connect(clean: Cluster) -> None:
    address = Address.of_url(url(clean, "x", "y"), LOGIN_SECRET)
    database.setup(address, clean.address.admin_url("postgres"))
    make_user(clean, "guest", "")
    with pytest.raises(psycopg.OperationalError, match="permission denied"):
        psycopg.connect(url(clean, "guest", "pass", "ruxa"))


def test_two_first_starts_at_once(clean: Cluster) -> None:
    address = Address.of_url(url(clean, "x", "y"), LOGIN_SECRET)
    failures: list[Exception] = []

    def start() -> None:
        try:
            database.setup(address, clean.address.admin_url("postgres"))
        except RuxaError as error:
            failures.append(error)

    threads = [threading.Thread(target=start) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    works(address)
