"""A start with another keys directory: the logins of the installation that is there stay as they are."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from fixtures_database import scratch
from ruxa.kernel.errors import Conflict
from ruxa.store import binaries, database
from ruxa.store.address import Address
from ruxa.store.embedded import Cluster
from ruxa.store.logins import LOGINS, Logins


@pytest.fixture
def theirs() -> Iterator[Cluster]:
    """A PostgreSQL that somebody else runs."""
    base = Path(tempfile.mkdtemp(prefix="ruxa-f-", dir=scratch()))
    cluster = Cluster(base, Logins(os.urandom(32)), binaries.find(), fsync=False)
    cluster.initialise()
    cluster.start()
    cluster.ready()
    yield cluster
    cluster.stop()
    shutil.rmtree(base)


def test_a_start_with_other_keys_locks_nobody_out(theirs: Cluster) -> None:
    admin = theirs.address.admin_url("postgres")
    ours, stranger = Logins(os.urandom(32)), Logins(os.urandom(32))
    first = Address.of_url(admin, ours)
    database.prepare(first)

    for where in (admin, theirs.address.admin_url("elsewhere")):
        with pytest.raises(Conflict) as caught:
            database.prepare(Address.of_url(where, stranger))
        assert caught.value.code == "foreign_logins"
        assert "Nothing was changed" in caught.value.public
    for login in LOGINS:
        psycopg.connect(first.url(login)).close()
    with psycopg.connect(admin) as server:
        assert server.execute("SELECT count(*) FROM pg_database WHERE datname = 'elsewhere'").fetchone() == (0,)

    # What is not done by itself is done when it is asked for.
    database.setup(Address.of_url(admin, stranger))
    for login in LOGINS:
        psycopg.connect(Address.of_url(admin, stranger).url(login)).close()


def test_a_first_start_that_was_interrupted_goes_on(theirs: Cluster) -> None:
    """Some logins are there, with our passwords, and no database yet."""
    admin = theirs.address.admin_url("postgres")
    address = Address.of_url(admin, Logins(os.urandom(32)))
    database.prepare(address)
    with psycopg.connect(admin, autocommit=True) as server:
        server.execute("DROP DATABASE ruxa WITH (FORCE)")
        server.execute("DROP ROLE ruxa_operator")
    database.prepare(address)
    for login in LOGINS:
        psycopg.connect(address.url(login)).close()
