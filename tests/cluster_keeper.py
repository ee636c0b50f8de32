"""Keeps the one PostgreSQL of a test session: starts it, migrates a template, goes when the session goes.

    python tests/cluster_keeper.py DIRECTORY SESSION_PID [BIN_DIR]

A process of its own, so that every xdist worker shares it and a killed pytest leaves nothing: it waits on the
session's process and, whatever ended that, stops PostgreSQL and removes the directory. What it has ready, or why it
could not, stands in DIRECTORY/ready.json.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import sys
from pathlib import Path

import psycopg

from ruxa.kernel.errors import RuxaError
from ruxa.store import database, migrate
from ruxa.store.embedded import Cluster
from ruxa.store.logins import Logins

TEMPLATE = "ruxa"


def main(directory: Path, session: int, bin_dir: Path | None) -> None:
    watched = os.pidfd_open(session)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    cluster = Cluster(directory / "data", Logins.load(directory / "keys"), bin_dir, fsync=False)
    try:
        said: dict[str, object]
        try:
            said = _prepare(cluster)
        except (RuxaError, psycopg.Error) as error:
            said = {"failed": f"{type(error).__name__}: {error}"}
        partial = directory / "ready.part"
        partial.write_text(json.dumps(said))
        partial.rename(directory / "ready.json")
        select.select([watched], [], [])
    finally:
        cluster.stop(timeout_s=5)
        with contextlib.suppress(OSError):
            cluster.socket_directory.rmdir()
        shutil.rmtree(directory, ignore_errors=True)


def _prepare(cluster: Cluster) -> dict[str, object]:
    cluster.initialise()
    cluster.start()
    cluster.ready()
    database.setup(cluster.address)
    migrate.migrate(cluster.url("ruxa_owner"))
    with psycopg.connect(cluster.address.admin_url("postgres"), autocommit=True) as admin:
        admin.execute("ALTER DATABASE ruxa WITH ALLOW_CONNECTIONS false")
        version = admin.info.server_version // 10000
    return {"sockets": str(cluster.socket_directory), "version": version}


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]) if len(sys.argv) > 3 else None)
