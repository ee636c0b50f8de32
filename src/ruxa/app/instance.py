"""A data directory: what it is (``instance.json``), who holds it (``lock``), where its server answers (``run/``)."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import tempfile
import time
from collections.abc import Generator
from pathlib import Path
from typing import Literal
from uuid import UUID

import msgspec

from ruxa.kernel.clock import Clock
from ruxa.kernel.errors import Conflict, InvalidCall, Unavailable

Mode = Literal["demo", "live"]
_LEAVING_S = 10.0


class Instance(msgspec.Struct, frozen=True, kw_only=True):
    """``instance.json``: written once; ``mode`` changes once, when the demo is removed.

    id: of the instance, the same on each of its machines; machine: of this data directory, in its workers' names.
    """

    id: UUID
    machine: str
    mode: Mode
    simulated: bool
    created: str


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """``run/server.json``: the running server, for the command line, the doctor and scripts. Holds no secret."""

    pid: int
    version: str
    role: str
    base_url: str | None
    console_socket: str | None
    sandbox_url: str | None
    database: int | None
    children: dict[str, int]
    processor_url: str | None = None


def prepare(data: Path, keys: Path) -> None:
    """Make the directories, private. Raises Unavailable when they cannot be written."""
    for directory in (data, data / "run", data / "journal", keys):
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise Unavailable(f"The directory {directory} cannot be made: {error.strerror}.") from None
    for directory in (data, keys):
        probe = directory / f".probe-{os.getpid()}"
        try:
            probe.write_bytes(b"\0" * 4096)
        except OSError as error:
            raise Unavailable(f"The directory {directory} cannot be written: {error.strerror}.") from None
        finally:
            with contextlib.suppress(OSError):
                probe.unlink()


def read(data: Path) -> Instance | None:
    """What ``data`` is, or None for an empty one. Raises InvalidCall when ``instance.json`` is damaged."""
    try:
        raw = (data / "instance.json").read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Unavailable(f"{data / 'instance.json'} cannot be read: {error.strerror}.") from None
    try:
        return msgspec.json.decode(raw, type=Instance)
    except msgspec.MsgspecError:
        raise InvalidCall(f"{data / 'instance.json'} is damaged: restore it from a backup.") from None


def create(data: Path, id_: UUID, *, mode: Mode, simulated: bool, clock: Clock) -> Instance:
    """Declare an empty data directory to be the instance ``id_``."""
    made = Instance(
        id=id_,
        machine=os.urandom(4).hex(),
        mode=mode,
        simulated=simulated,
        created=clock.now().isoformat(timespec="seconds"),
    )
    write_private(data / "instance.json", msgspec.json.format(msgspec.json.encode(made)) + b"\n")
    return made


def change_mode(data: Path, instance: Instance, mode: Mode) -> Instance:
    """The same instance, demo or live: the demo was removed, or the database says so."""
    changed = msgspec.structs.replace(instance, mode=mode)
    write_private(data / "instance.json", msgspec.json.format(msgspec.json.encode(changed)) + b"\n")
    return changed


def write_private(path: Path, content: bytes) -> None:
    """Replace ``path`` at once by a file of mode 0600."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            fresh.unlink()
        raise Unavailable(f"{path} cannot be written: {error.strerror}.") from None


class Lock:
    """The data directory is ours as long as this lives; the kernel lets go when the process ends, however it ends."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    @classmethod
    def take(cls, data: Path, what: str, *, wait_s: float = 0) -> Lock:
        """Take ``data`` for ``what``. Raises Conflict, naming the holder, when it is held after ``wait_s`` seconds."""
        path = data / "lock"
        fd = _open_lock(path)
        until = time.monotonic() + wait_s
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                if time.monotonic() >= until:
                    holder = os.pread(fd, 200, 0).decode(errors="replace").strip() or "another process"
                    os.close(fd)
                    raise Conflict(
                        f"The data directory {data} is in use by {holder}.", code="data_directory_held"
                    ) from None
                time.sleep(0.1)
            else:
                if path.exists() and path.stat().st_ino == os.fstat(fd).st_ino:
                    break
                # A first start that failed took its lock file away while we waited for it.
                os.close(fd)
                fd = _open_lock(path)
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{what} (pid {os.getpid()})\n".encode(), 0)
        return cls(fd)

    def release(self) -> None:
        """Let go."""
        if self._fd >= 0:
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, 0)
            os.close(self._fd)
            self._fd = -1


def _open_lock(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Unavailable(f"{path} cannot be opened: {error.strerror}.") from None


def join_children(data: Path) -> int:
    """A child's mark that it is alive: held until its process ends."""
    fd = os.open(data / "run" / "children.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(fd, fcntl.LOCK_SH)
    return fd


def await_no_children(data: Path) -> None:
    """Children of a killed supervisor leave by themselves; wait for it. Raises Conflict after ten seconds."""
    fd = os.open(data / "run" / "children.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        until = time.monotonic() + _LEAVING_S
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except OSError:
                if time.monotonic() >= until:
                    raise Conflict(
                        f"Processes of an earlier server still use {data}: {', '.join(holders(data)) or 'unknown'}.",
                        code="data_directory_held",
                    ) from None
                time.sleep(0.05)
    finally:
        os.close(fd)


def holders(data: Path) -> list[str]:
    """``title (pid N)`` of each process that has ``run/children.lock`` open, where ``/proc`` tells."""
    wanted = str(data / "run" / "children.lock")
    found: list[str] = []
    with contextlib.suppress(OSError):
        for process in Path("/proc").iterdir():
            if process.name.isdigit() and int(process.name) != os.getpid() and _has_open(process, wanted):
                found.append(f"{title(int(process.name))} (pid {process.name})")
    return found


def title(pid: int) -> str:
    """What ``ps`` shows for ``pid``, or ``a process``."""
    try:
        text = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return "a process"
    return text[:80] or "a process"


def _has_open(process: Path, wanted: str) -> bool:
    try:
        return any(str(fd.readlink()) == wanted for fd in (process / "fd").iterdir())
    except OSError:
        return False


def write_server(data: Path, server: Server) -> None:
    """Tell the command line where the running server is."""
    write_private(data / "run" / "server.json", msgspec.json.encode(server))


def read_server(data: Path) -> Server | None:
    """The running server as it last described itself, or None."""
    try:
        return msgspec.json.decode((data / "run" / "server.json").read_bytes(), type=Server)
    except (OSError, msgspec.MsgspecError):
        return None


def forget_server(data: Path) -> None:
    """No server runs here any more."""
    with contextlib.suppress(OSError):
        (data / "run" / "server.json").unlink()


@contextlib.contextmanager
def held(data: Path, what: str, *, wait_s: float = 0) -> Generator[Lock]:
    """``Lock.take`` for the length of a block."""
    lock = Lock.take(data, what, wait_s=wait_s)
    try:
        yield lock
    finally:
        lock.release()


def console_socket(data: Path) -> Path:
    """Where the console listens for the doors; a short place when the data directory's path is long for a socket."""
    path = data / "run" / "console.sock"
    if len(os.fsencode(path)) <= 100:
        return path
    place = Path(tempfile.gettempdir()) / f"ruxa-{hashlib.sha256(os.fsencode(data)).hexdigest()[:16]}"
    place.mkdir(mode=0o700, exist_ok=True)
    status = place.lstat()
    if place.is_symlink() or status.st_uid != os.geteuid():
        raise Unavailable(f"{place} belongs to somebody else.")
    place.chmod(0o700)
    return place / "console.sock"
