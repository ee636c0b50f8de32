"""The real PostgreSQL of the tests: one cluster a session, shared by all workers, and a fresh database a test.

``database``        a migrated database of this test alone: URLs, KEYS directory, pools and a vault on request
``fresh_database``  the same without pools, for tests that are not async
``cluster``         where the session's cluster is (a Session), for tests that need the administrator
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import secrets
import select
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from ruxa.kernel.clock import Clock
from ruxa.ledger import prices
from ruxa.privacy.content import items
from ruxa.store.address import Address
from ruxa.store.embedded import SOCKET_PORT
from ruxa.store.logins import Login, Logins
from ruxa.store.pool import Pool
from ruxa.store.vault import Vault

_DIRECTORY = "PYTEST_RUXA_CLUSTER"
_START_TIMEOUT_S = 90
# Without and with the days of content.
_SEEDED = ("ruxa_priced", "ruxa_seeded")


def scratch() -> Path:
    """Where test clusters lie: in memory when there is room, which is many times faster than a busy disk."""
    memory = Path("/dev/shm")
    with contextlib.suppress(OSError):
        if os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 2 << 30:
            return memory
    return Path(tempfile.gettempdir())


@pytest.fixture
def memory_path() -> Iterator[Path]:
    """As ``tmp_path``, in ``scratch()``: for tests that make clusters of their own."""
    path = Path(tempfile.mkdtemp(prefix="ruxa-m-", dir=scratch()))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """The controller makes the session's directory; xdist's workers inherit it by the environment.

    Every ``tmp_path`` lies in it, too, and goes with it; ``--basetemp`` names a place that stays.
    """
    if not hasattr(config, "workerinput"):
        directory = scratch() / f"ruxa-t-{os.getpid()}-{secrets.token_hex(4)}"
        directory.mkdir(mode=0o700)
        os.environ[_DIRECTORY] = json.dumps([str(directory), os.getpid()])
        config.option.basetemp = config.option.basetemp or directory / "tmp"


def pytest_unconfigure(config: pytest.Config) -> None:
    """The session's end: the keeper stops the cluster; this waits for it, so that nothing outlives pytest."""
    if hasattr(config, "workerinput"):
        return
    directory = Path(json.loads(os.environ.pop(_DIRECTORY))[0])
    keeper = directory / "keeper.pid"
    if keeper.exists():
        with contextlib.suppress(ProcessLookupError, ValueError):
            pid = int(keeper.read_text())
            watched = os.pidfd_open(pid)
            os.kill(pid, 15)
            select.select([watched], [], [], 15)
            os.close(watched)
    shutil.rmtree(directory, ignore_errors=True)


class Session:
    """The session's cluster: its address and the passwords' source."""

    def __init__(self, directory: Path, sockets: str, version: int) -> None:
        self.directory = directory
        self.logins = Logins.load(directory / "keys")
        self.sockets = sockets
        self.version = version
        self.admin = psycopg.connect(self.admin_url(), autocommit=True)
        self._seeded: set[str] = set()

    def address(self, database: str) -> Address:
        """Where one of its databases is."""
        return Address.at_socket(self.sockets, SOCKET_PORT, self.logins, database)

    def admin_url(self, database: str = "postgres") -> str:
        """The superuser's URL."""
        return self.address(database).admin_url()

    def seeded(self, *, days: bool) -> str:
        """The template with what a first start seeds, with or without the days of content; made by who asks first."""
        name = _SEEDED[days]
        if name not in self._seeded:
            with (self.directory / "lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if not self.admin.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchall():
                    _copy(self, f"{name}_part", "ruxa")
                    made = Database(self, f"{name}_part", self.directory / "keys", Clock())
                    # A thread, for its event loop: pytest-asyncio has one of its own in this.
                    with ThreadPoolExecutor(1) as thread:
                        thread.submit(asyncio.run, _seed(made, days=days)).result()
                    rename = f"ALTER DATABASE {name}_part RENAME TO {name}"
                    self.admin.execute(rename)  # pyright: ignore[reportArgumentType]
            self._seeded.add(name)
        return name


class Database:
    """A migrated database of one test. ``keys`` is its KEYS directory for this instance.

    seeded: with the shipped prices and the days of content that a started server has.
    """

    def __init__(self, session: Session, name: str, keys: Path, clock: Clock, *, seeded: bool = False) -> None:
        self.session = session
        self.name = name
        self.seeded = seeded
        self.keys = keys
        self.clock = clock
        self.address = session.address(name)
        self._pools: list[Pool] = []
        self._vaults: list[Vault] = []

    def url(self, login: Login) -> str:
        """The URL of one login."""
        return self.address.url(login)

    @property
    def admin_url(self) -> str:
        """The superuser's URL."""
        return self.session.admin_url(self.name)

    async def pool(self, login: Login, *, max_size: int = 8) -> Pool:
        """An open pool of one login, which connects when it is used first; closed when the test ends."""
        pool = await Pool.open(self.url(login), login=login, min_size=0, max_size=max_size, clock=self.clock)
        self._pools.append(pool)
        return pool

    def lent(self, login: Login) -> Pool:
        """The connections of a login that is there for one purpose, made when they are needed."""
        return Pool.on_demand(self.url(login), login=login, clock=self.clock, max_size=8)

    async def vault(self) -> Vault:
        """An open vault on this database and its KEYS directory; closed when the test ends."""
        vault = await Vault.unlock(self.address, self.keys, clock=self.clock)
        self._vaults.append(vault)
        return vault

    async def close(self) -> None:
        """Closes what was opened here."""
        while self._vaults:
            await self._vaults.pop().close()
        while self._pools:
            await self._pools.pop().close()


def session_directory() -> Path:
    """Where the session's cluster lies, and what else is made once for all its processes."""
    return Path(json.loads(os.environ[_DIRECTORY])[0])


@pytest.fixture(scope="session")
def cluster() -> Iterator[Session]:
    """The session's cluster, started by whoever asks first."""
    named, session = json.loads(os.environ[_DIRECTORY])
    directory = session_directory()
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (directory / "keeper.pid").exists():
            # Not subprocess.Popen: the keeper is nobody's child to wait for.
            keeper = str(Path(__file__).with_name("cluster_keeper.py"))
            command = [sys.executable, keeper, named, str(session)]
            if bin_dir := os.environ.get("RUXA_PG_BIN"):
                command.append(bin_dir)
            environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
            log = os.open(directory / "keeper.log", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            pid = os.posix_spawn(
                sys.executable,
                command,
                environment,
                file_actions=[(os.POSIX_SPAWN_DUP2, log, 1), (os.POSIX_SPAWN_DUP2, log, 2)],
                setsid=True,
            )
            os.close(log)
            (directory / "keeper.pid").write_text(str(pid))
    deadline = time.monotonic() + _START_TIMEOUT_S
    ready = directory / "ready.json"
    while not ready.exists():
        if time.monotonic() > deadline:
            raise RuntimeError(f"no cluster: {(directory / 'keeper.log').read_text()[-2000:]}")
        time.sleep(0.02)
    said = json.loads(ready.read_text())
    if "failed" in said:
        raise RuntimeError(f"no test database: {said['failed']}")
    session = Session(directory, said["sockets"], said["version"])
    yield session
    session.admin.close()


def _copy(cluster: Session, name: str, template: str) -> None:
    # File copy is twice as fast as the default here, with fsync off.
    create = f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy"
    cluster.admin.execute(create)  # pyright: ignore[reportArgumentType]
    cluster.admin.execute(f"GRANT CREATE ON DATABASE {name} TO ruxa_owner")  # pyright: ignore[reportArgumentType]


async def _seed(database: Database, *, days: bool) -> None:
    operator = await database.pool("ruxa_operator")
    async with operator.work() as work:
        await prices.seed(work)
        if days:
            await items.prepare(work)
    await database.close()


@pytest.fixture
def shipped() -> None:
    """Asked for by a fixture whose tests want the database as a first start seeds it: to seed each took most of it."""


@pytest.fixture
def no_days() -> None:
    """Asked for besides ``shipped`` where no content is kept: its days are half of what a copy takes."""


@pytest.fixture
def fresh_database(cluster: Session, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Database]:
    """A migrated database of this test alone."""
    name = f"t_{secrets.token_hex(8)}"
    admin = cluster.admin
    seeded = "shipped" in request.fixturenames
    _copy(cluster, name, cluster.seeded(days="no_days" not in request.fixturenames) if seeded else "ruxa")
    yield Database(cluster, name, tmp_path / "keys", Clock(), seeded=seeded)
    admin.execute(f"DROP DATABASE {name} WITH (FORCE)")  # pyright: ignore[reportArgumentType]


@pytest.fixture
async def database(fresh_database: Database) -> AsyncIterator[Database]:
    """A migrated database of this test alone; its pools close with the test."""
    yield fresh_database
    await fresh_database.close()
