"""Several machines on one PostgreSQL: each role alone, the keys directory shared; and all roles on one machine."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from fixtures_server import RunningServer, eventually
from ruxa.store.embedded import Cluster
from ruxa.store.logins import Logins


@pytest.fixture
def own_postgres(tmp_path: Path) -> Iterator[str]:
    """The administrator's URL of a PostgreSQL that is not Ruxa's to run."""
    (tmp_path / "theirs").mkdir()
    cluster = Cluster(tmp_path / "theirs", Logins(os.urandom(32)), fsync=False)
    cluster.initialise()
    cluster.start()
    try:
        cluster.ready()
        yield cluster.address.admin_url("postgres")
    finally:
        cluster.stop()


def test_each_role_on_a_machine_of_its_own(tmp_path: Path, own_postgres: str) -> None:
    keys = str(tmp_path / "keys")
    roles: dict[str, RunningServer] = {}
    try:
        for role in ("worker", "gateway", "console"):
            args = ("--role", role, "--keys", keys)
            roles[role] = RunningServer(tmp_path / role, *args, RUXA_DATABASE_URL=own_postgres)
            roles[role].start()
        ids = {json.loads((server.data / "instance.json").read_text())["id"] for server in roles.values()}
        assert len(ids) == 1
        assert {role: set(server.pids()) for role, server in roles.items()} == {
            "worker": {"supervisor", "worker"},
            "gateway": {"supervisor", "gateway 0", "sandbox"},
            "console": {"supervisor", "gateway 0", "console"},
        }
        gateway, console, worker = roles["gateway"], roles["console"], roles["worker"]
        made = _cli(gateway, keys, "org", "create", "--name", "Far", "--owner-email", "far@kestrel.example")
        _cli(gateway, keys, "org", "credit", made["id"], "--micros", "1000000", "--reason", "r", "--sandbox")
        key = _cli(worker, keys, "key", "create", "--org", made["id"], "--name", "n")["key"]
        assert gateway.chat(key=key)[0] == 200
        assert gateway.http("GET", "/sign-in", key=None)[0] == 404
        assert console.http("GET", "/sign-in", key=None)[0] == 200
        assert console.http("GET", "/healthz", key=None)[0] == 200
        assert _ready(console) == {"database": True, "console": True}
        assert "console" not in _ready(gateway)
        assert console.http("POST", "/v1/chat/completions", {"model": "sandbox/chat"}, key=key)[0] == 404
        assert worker.http("GET", "/healthz", key=None)[0] == 200
        assert worker.http("GET", "/sign-in", key=None)[0] == 404
        assert _cli(console, keys, "ledger", "check")["ok"] is True
        for server in roles.values():
            assert server.stop() == 0, server.output()
    finally:
        for server in roles.values():
            server.kill_tree()


def test_all_roles_on_a_postgres_of_their_own(tmp_path: Path, own_postgres: str) -> None:
    server = RunningServer(tmp_path / "all", RUXA_DATABASE_URL=own_postgres)
    try:
        server.start()
        assert set(server.pids()) == {"supervisor", "gateway 0", "sandbox", "console", "worker"}
        assert server.chat()[0] == 200
        assert _ready(server)["console"] is True
        os.kill(server.pids()["console"], signal.SIGSTOP)
        eventually(lambda: _ready(server)["console"] is False)
        assert server.chat()[0] == 200
        os.kill(server.pids()["console"], signal.SIGCONT)
        eventually(lambda: _ready(server)["console"] is True)
        assert server.stop() == 0
        assert server.cli_json("ledger", "check")["ok"] is True
        assert not (server.data / "postgres").exists()

        stranger = RunningServer(tmp_path / "stranger", RUXA_DATABASE_URL=own_postgres)
        stranger.place.mkdir()
        done = stranger.cli_raw("db", "setup", "--print")
        assert done.returncode == 0, done.stderr
        assert 'CREATE ROLE "ruxa_gateway"' in done.stdout
        assert "SCRAM-SHA-256$" in done.stdout
    finally:
        server.kill_tree()


def _cli(server: RunningServer, keys: str, *args: str) -> dict[str, str]:
    return json.loads(server.cli(*args, "--json", "--keys", keys))


def _ready(server: RunningServer) -> dict[str, bool]:
    status, _, body = server.http("GET", "/readyz", key=None)
    told = json.loads(body)
    assert (status == 200) is told["ready"] is all(told["checks"].values())
    return told["checks"]
