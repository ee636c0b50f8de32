"""A machine with an empty data directory joins the installation that its database and its keys belong to, as it is."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from fixtures_database import scratch
from fixtures_server import RunningServer
from ruxa.kernel import ids
from ruxa.store import binaries, database, migrate
from ruxa.store import instance as owner
from ruxa.store.address import Address
from ruxa.store.embedded import Cluster
from ruxa.store.logins import Logins


@pytest.fixture
def live(tmp_path: Path) -> Iterator[tuple[str, Address]]:
    """A live installation on somebody's PostgreSQL, its keys in ``tmp_path/keys``: the administrator's URL, ours."""
    base = Path(tempfile.mkdtemp(prefix="ruxa-j-", dir=scratch()))
    cluster = Cluster(base, Logins(os.urandom(32)), binaries.find(), fsync=False)
    cluster.initialise()
    cluster.start()
    try:
        cluster.ready()
        admin = cluster.address.admin_url("postgres")
        id_ = ids.fresh()
        keys = tmp_path / "keys"
        keys.mkdir(mode=0o700)
        address = Address.of_url(admin, Logins.load(keys / id_.hex))
        database.prepare(address)
        migrate.migrate(address.url("ruxa_owner"))
        owner.settle(address.url("ruxa_owner"), id=id_, mode="live", simulated=False)
        yield admin, address
    finally:
        cluster.stop()
        shutil.rmtree(base)


def test_a_live_installation_gets_no_demo(tmp_path: Path, live: tuple[str, Address]) -> None:
    admin, address = live
    args = ("--role", "gateway", "--keys", str(tmp_path / "keys"))
    server = RunningServer(tmp_path / "second", *args, RUXA_DATABASE_URL=admin)
    try:
        server.start()
        assert "(live)" in server.output()
        assert set(server.pids()) == {"supervisor", "gateway 0"}
        assert json.loads((server.data / "instance.json").read_text())["mode"] == "live"
        assert not (server.data / "demo.json").exists()
        assert not (server.data / "demo.json.waiting").exists()
        with psycopg.connect(address.url("ruxa_owner")) as connection:
            found = connection.execute(
                "SELECT (SELECT count(*) FROM access.organisation), (SELECT count(*) FROM access.member),"
                " (SELECT count(*) FROM access.key), (SELECT mode FROM ruxa.instance)"
            ).fetchone()
        assert found == (0, 0, 0, "live")
    finally:
        server.kill_tree()


def test_another_keys_directory_is_refused_and_the_installation_lives_on(
    tmp_path: Path, live: tuple[str, Address]
) -> None:
    admin, address = live
    stranger = RunningServer(tmp_path / "third", "--role", "gateway", RUXA_DATABASE_URL=admin)
    stranger.start(wait=False)
    try:
        assert stranger.wait() == 2
        assert "Nothing was changed" in stranger.output()
        # The next start, with the right --keys, finds the place as this one did.
        assert sorted(path.name for path in stranger.place.iterdir()) == ["stderr", "stdout"]
        psycopg.connect(address.url("ruxa_gateway")).close()
        assert owner.mode(address.url("ruxa_owner")) == "live"
    finally:
        stranger.kill_tree()
