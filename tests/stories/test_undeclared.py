"""Undeclared places of every kind, planted in one running server: ``ruxa doctor`` names each, green without them.

What lies in the database or among the files is planted there. What only code can make (a field of the log, a label, a
cookie, a variable of a mail, a connection) is planted as a changed release would bring it: by a module that every
process of the server, and the doctor, imports at its start.
"""

from __future__ import annotations

import json
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from fixtures_server import RunningServer
from ruxa.app import database, instance
from ruxa.kernel import settings
from ruxa.kernel.clock import Clock
from ruxa.kernel.signals import JsonLines

CHANGED = """
    import importlib.abc, importlib.util, os, socket, sys, threading, time

    def changed(name, module):
        if name == "ruxa.kernel.signals":
            module.EVENTS["planted"] = frozenset({"shoe_size"})
        elif name == "ruxa.access.outbox":
            module.TEMPLATES["planted"] = frozenset({"birthday"})
        elif name == "ruxa.console.headers":
            module.COOKIES["tracking"] = ("analytics", "")
        elif name == "ruxa.gateway.metrics":
            module.Metrics.__init__ = counting(module.Metrics.__init__)

    def counting(made):
        def init(self):
            made(self)
            self.add("refused", 1, 'city="Ulm"')
        return init

    class Changed(importlib.abc.MetaPathFinder):
        def find_spec(self, name, path, target=None):
            if not name.startswith("ruxa."):
                return None
            sys.meta_path.remove(self)
            try:
                found = importlib.util.find_spec(name)
            finally:
                sys.meta_path.insert(0, self)
            if found is None or found.loader is None:
                return None
            run = found.loader.exec_module
            def exec_module(module):
                run(module)
                changed(name, module)
            found.loader.exec_module = exec_module
            return found

    sys.meta_path.insert(0, Changed())

    def is_worker():
        with open("/proc/self/cmdline", "rb") as title:
            return title.read().startswith(b"ruxa: worker")

    def tell():
        # A child first closes what it did not open: nothing of ours may be open then.
        time.sleep(1)
        # Another process of the server never has this title.
        for _ in range(200):
            if is_worker():
                break
            time.sleep(0.05)
        else:
            return
        time.sleep(1)
        from ruxa.kernel import clock, signals
        signals.JsonLines("worker", clock.Clock()).emit("planted", shoe_size=42)
        for _ in range(60):
            try:
                socket.create_connection(("192.0.2.7", 443), timeout=0.3)
            except PermissionError:
                return
            except OSError:
                time.sleep(0.3)

    # The supervisor's processes are forks of it.
    os.register_at_fork(after_in_child=lambda: threading.Thread(target=tell, daemon=True).start())
"""

PLANTS = (
    "ALTER TABLE access.member ADD COLUMN nickname text",
    # A table without a class, whose one column is declared, and in it a key that is not.
    "CREATE TABLE access.note (doc jsonb)",
    "COMMENT ON COLUMN access.note.doc IS 'data: none'",
    """INSERT INTO access.note VALUES ('{"hobby": "chess"}')""",
    "CREATE TABLE ledger.usage_event_rest PARTITION OF ledger.usage_event DEFAULT",
    "INSERT INTO jobs.procrastinate_jobs (queue_name, task_name, args) VALUES ('x', 'x', '{\"who\": 1}')",
)
GONE = (
    "ALTER TABLE access.member DROP COLUMN nickname",
    "DROP TABLE access.note",
    "DROP TABLE ledger.usage_event_rest",
    "DELETE FROM jobs.procrastinate_jobs WHERE queue_name = 'x'",
    "DELETE FROM privacy.egress_daily WHERE host = '192.0.2.7'",
)

# kind -> the check that goes red, and what it names.
FOUND = {
    "column": ("data map", "column access.member.nickname"),
    "table": ("retention classes", "table access.note has no class"),
    "partition": ("retention classes", "partition usage_event_rest of ledger.usage_event"),
    "JSON key": ("data map", "path access.note.doc.hobby"),
    "log field": ("data map", "signal shoe_size"),
    "metric label": ("data map", "label city"),
    "cookie": ("data map", "cookie tracking"),
    "host": ("recipients", "192.0.2.7"),
    "object prefix": ("data map", "object photos/"),
    "file": ("retention classes", "data/objects/photos/one has no class"),
    "job argument": ("data map", "path jobs.procrastinate_jobs.args.who"),
    "mail variable": ("data map", "mail birthday"),
}


def _as_owner(server: RunningServer, statements: tuple[str, ...]) -> list[tuple[Any, ...]]:
    """Runs them; the rows of the last."""
    found = instance.read(server.data)
    assert found is not None
    given = settings.load(env={}, flags={"data": str(server.data)})
    address = database.of(given, found, JsonLines("test", Clock())).address
    with psycopg.connect(address.url("ruxa_owner"), autocommit=True) as connection:
        for statement in statements[:-1]:
            connection.execute(statement.encode())
        last = connection.execute(statements[-1].encode())
        return last.fetchall() if last.description else []


def _checks(server: RunningServer, code: int, **env: str) -> dict[str, dict[str, Any]]:
    done = server.cli_raw("doctor", "--json", **env)
    assert done.returncode == code, done.stdout + done.stderr
    return {one["name"]: one for one in json.loads(done.stdout)["checks"]}


@pytest.fixture
def changed(tmp_path: Path) -> str:
    """A folder whose module changes whatever process has it on its path."""
    place = tmp_path / "changed"
    place.mkdir()
    (place / "sitecustomize.py").write_text(textwrap.dedent(CHANGED))
    return str(place)


def test_doctor_names_each_undeclared_place_of_a_running_server(
    fresh_server: Callable[..., RunningServer], changed: str
) -> None:
    server = fresh_server(PYTHONPATH=changed).start()
    try:
        _as_owner(server, PLANTS)
        photos = server.data / "objects" / "photos"
        photos.mkdir(parents=True, mode=0o700)
        (photos / "one").write_bytes(b"x")
        (photos / "one").chmod(0o600)
        until = time.monotonic() + 20
        while not _counted(server):
            assert time.monotonic() < until, server.output()
            time.sleep(0.3)
        assert '"shoe_size":42' in server.stderr(), "the server itself writes what nobody declared"
        checks = _checks(server, 1)
        missed = {kind: checks[name] for kind, (name, text) in FOUND.items() if text not in checks[name]["found"]}
        assert missed == {}
        assert {name for name, one in checks.items() if not one["ok"]} == {name for name, _ in FOUND.values()}
        for kind, (name, _) in FOUND.items():
            assert checks[name]["advice"], kind
        assert server.stop() == 0
    finally:
        server.kill_tree()

    # The release as it was, and what lay about taken away: green, on the same installation.
    server.env.pop("PYTHONPATH")
    server.start()
    (photos / "one").unlink()
    photos.rmdir()
    _as_owner(server, GONE)
    _checks(server, 0)
    assert server.stop() == 0


def _counted(server: RunningServer) -> bool:
    """The processes write every few seconds what they were asked to dial."""
    return bool(_as_owner(server, ("SELECT 1 FROM privacy.egress_daily WHERE host = '192.0.2.7'",)))
