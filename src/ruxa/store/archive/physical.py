"""A base backup: the cluster's files by pg_basebackup, from which the write-ahead log leads to any later moment.

It holds everything the cluster holds, keys wrapped under the epoch of that day among them, so it lives 7 days, as the
log does: by then that epoch's key is destroyed (D30). Only for the cluster that is ours to run: a PostgreSQL of your
own has tools of its own for it.
"""

from __future__ import annotations

import asyncio
import os
from datetime import datetime
from pathlib import Path
from typing import Any, Final, LiteralString

import psycopg
from psycopg import sql

from ruxa.kernel.errors import Conflict, NotFound, RuxaError
from ruxa.store import fault
from ruxa.store.archive import manifest, programs, unpack, wal
from ruxa.store.archive.container import BackupKey, damaged
from ruxa.store.archive.create import Pen
from ruxa.store.archive.manifest import Manifest
from ruxa.store.archive.target import Target

# What recovery is told, beside signal files; taken out again when it has ended.
_RECOVERY: Final = "postgresql.auto.conf"
_MARK: Final = "# ruxa restore"


async def make(pen: Pen, admin_url: str, bin_dir: Path) -> Manifest:
    """Makes one of the running cluster at ``admin_url``. Raises Unavailable."""
    return await asyncio.to_thread(_make, pen, admin_url, bin_dir)


def _make(pen: Pen, url: str, bin_dir: Path) -> Manifest:
    program = programs.find(bin_dir, "pg_basebackup")
    return pen.of(url, lambda connection: _written(pen, connection, url, program))


def _written(pen: Pen, connection: psycopg.Connection[Any], url: str, program: Path) -> Manifest:
    (size,) = one(connection, "SELECT sum(pg_database_size(oid)) FROM pg_database")
    pen.begin("base", pen.clock.now(), int(size) // 2)
    # Held until we have the log that the copy needs; gone with this connection.
    slot = f"ruxa_base_{os.urandom(4).hex()}"
    (wal_from,) = one(connection, "SELECT lsn::text FROM pg_create_physical_replication_slot(%s, true, true)", slot)
    arguments = ["--pgdata=-", "--format=tar", "--wal-method=fetch", "--checkpoint=fast", "--no-sync", "--label=ruxa"]
    pen.put("base.tar", "base", programs.output(program, url, arguments))
    at, wal_to, system, timeline = one(
        connection,
        "SELECT clock_timestamp(), pg_current_wal_flush_lsn()::text,"
        " (SELECT system_identifier::text FROM pg_control_system()),"
        " (SELECT timeline_id FROM pg_control_checkpoint())",
    )
    return pen.finish(
        # The server's own time: its log knows no other, wherever the instance's clock stands.
        at,
        at,
        connection.info.server_version // 10000,
        system=system,
        timeline=timeline,
        wal_from=wal_from,
        wal_to=wal_to,
    )


def choose(target: Target, key: BackupKey, until: datetime | None) -> Manifest:
    """The newest base backup that lies before ``until``. Raises NotFound ``backup_missing``."""
    for name in reversed(manifest.listed(target, ("base",))):
        made = manifest.read(target, name, key)
        if until is None or made.real_at <= until:
            return made
    raise NotFound(
        f"No base backup in {target.where} was taken before {until}."
        if until
        else f"No base backup in {target.where}.",
        code="backup_missing",
    )


def lay(target: Target, made: Manifest, key: BackupKey, directory: Path, until: datetime | None, *, log: bool) -> int:
    """Lays the cluster's files into ``directory`` and makes them ready to recover; the segments that were added.

    log: whether to go forward with the archived log: to its end, or to ``until``.
    """
    directory.mkdir(mode=0o700, parents=True)
    item = made.item("base.tar")
    unpack.untar(directory, manifest.chunks(target, made, item, key), dirs=True)
    version = (directory / "PG_VERSION").read_text().strip()
    if version != str(made.postgres):
        raise damaged(f"Its cluster is of PostgreSQL {version}, its manifest says {made.postgres}.")
    added = 0
    if log:
        assert made.system is not None
        assert made.timeline is not None
        assert made.wal_from is not None
        added = wal.fetch(target, made.system, made.timeline, made.wal_from, key, made.instance, directory / "pg_wal")
    # Without hot_standby the cluster calls itself ready when recovery has ended, and not before.
    settings = {"restore_command": "false", "recovery_target_action": "promote", "hot_standby": "off"}
    if until is not None:
        settings["recovery_target_time"] = until.isoformat()
    with (directory / _RECOVERY).open("a") as out:
        out.writelines(f"{name} = '{value}' {_MARK}\n" for name, value in settings.items())
    (directory / "recovery.signal").touch(mode=0o600)
    _open_socket(directory)
    return added


def settle(url: str, directory: Path, role: str, verifier: str) -> None:
    """After recovery: the administrator gets the password of the new keys directory; what recovery was told goes.

    url: of the administrator, by the private socket, which asks for no password until this returns.
    """
    failure: RuxaError
    try:
        with psycopg.connect(url, connect_timeout=5, autocommit=True) as connection:
            connection.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(role), sql.Literal(verifier)))
            for name in ("restore_command", "recovery_target_action", "recovery_target_time", "hot_standby"):
                connection.execute(sql.SQL("ALTER SYSTEM RESET {}").format(sql.Identifier(name)))
            _close_socket(directory)
            connection.execute("SELECT pg_reload_conf()")
            return
    except psycopg.Error as error:
        failure = fault.of(error)
    raise failure


def own_cluster_only(url_of_external: str | None) -> None:
    """Raises Conflict ``base_needs_own_cluster`` where PostgreSQL is not ours to copy."""
    if url_of_external is not None:
        raise Conflict(
            "A base backup copies the files of the embedded PostgreSQL; this installation uses one of its own "
            "(RUXA_DATABASE_URL). Use --kind logical, and your service's own point-in-time recovery with a life of at "
            "most 7 days.",
            code="base_needs_own_cluster",
        )


def one(connection: psycopg.Connection[Any], statement: LiteralString, *args: object) -> tuple[Any, ...]:
    """The first row."""
    row = connection.execute(statement, args or None).fetchone()
    assert row is not None
    return row


def _open_socket(directory: Path) -> None:
    """The restored roles have passwords nobody knows: the private socket lets us in to give them new ones."""
    hba = directory / "pg_hba.conf"
    kept = directory / "pg_hba.conf.ruxa"
    kept.write_bytes(hba.read_bytes())
    hba.write_text("local all all trust\n")


def _close_socket(directory: Path) -> None:
    kept = directory / "pg_hba.conf.ruxa"
    if kept.exists():
        kept.replace(directory / "pg_hba.conf")
