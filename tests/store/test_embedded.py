"""The embedded PostgreSQL: private, quiet, one owner, and alive again after every way of dying."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from fixtures_database import scratch
from ruxa.kernel.clock import Clock
from ruxa.kernel.errors import Conflict, Unavailable
from ruxa.store import binaries, database, embedded, strays
from ruxa.store.address import Address
from ruxa.store.embedded import Cluster
from ruxa.store.logins import ADMIN, Logins
from ruxa.store.pool import Pool

BINARIES = list(dict.fromkeys([binaries.find(), *binaries.of_system()]))
LOGINS = Logins(bytes(range(32)))
ROOT = os.geteuid() == 0
# Whoever runs the tests, the packages are for this minor version.
PYTHONS = [
    sys.executable,
    *(f"{place}/python{sys.version_info[0]}.{sys.version_info[1]}" for place in ("/usr/bin", "/usr/local/bin")),
]

Make = Callable[..., Cluster]


@pytest.fixture(scope="module")
def templates() -> Iterator[dict[Path, Path]]:
    """A data directory of each PostgreSQL that is here, made once."""
    base = Path(tempfile.mkdtemp(prefix="ruxa-m-", dir=scratch()))
    found: dict[Path, Path] = {}
    for number, bin_dir in enumerate(BINARIES):
        found[bin_dir] = base / str(number)
        cluster = Cluster(found[bin_dir], LOGINS, bin_dir, fsync=False)
        cluster.initialise()
        cluster.stop()
    yield found
    shutil.rmtree(base)


@pytest.fixture(params=BINARIES, ids=lambda path: "wheel" if "site-packages" in str(path) else path.parent.name)
def bin_dir(request: pytest.FixtureRequest) -> Path:
    """Each PostgreSQL that is here."""
    return request.param


@pytest.fixture
def make(templates: dict[Path, Path], memory_path: Path) -> Iterator[Make]:
    """Makes clusters on copies of the template, stopped when the test ends."""
    made: list[Cluster] = []

    def build(bin_dir: Path = BINARIES[0], data: Path = memory_path / "data", **options: object) -> Cluster:
        if not data.exists():
            shutil.copytree(templates[bin_dir], data, symlinks=True)
        options = {"fsync": False, **options}
        cluster = Cluster(data, LOGINS, bin_dir, **options)  # type: ignore[arg-type]
        made.append(cluster)
        return cluster

    yield build
    for cluster in made:
        cluster.stop(timeout_s=5)
        assert cluster.socket_directory.is_relative_to(cluster.data) or not cluster.socket_directory.exists()


def run(cluster: Cluster) -> None:
    """Starts it and waits until it is ready."""
    cluster.initialise()
    cluster.start()
    cluster.ready()


def ask(cluster: Cluster, sql: str) -> list[tuple[object, ...]]:
    """Rows, as the administrator."""
    with psycopg.connect(cluster.address.admin_url("postgres"), autocommit=True) as connection:
        cursor = connection.execute(sql)  # type: ignore[call-overload]
        return cursor.fetchall() if cursor.description else []


def pid_of(cluster: Cluster) -> int:
    """The postmaster, by its own word."""
    return int((cluster.directory / "postmaster.pid").read_text().split()[0])


def ended(pid: int) -> bool:
    """Whether nothing of that process runs any more."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def until(condition: Callable[[], bool], seconds: float = 8.0) -> None:
    """Waits for it."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that in time"
        time.sleep(0.01)


def bound(thief: socket.socket, port: int) -> bool:
    """Whether the socket has the port now."""
    try:
        thief.bind(("127.0.0.1", port))
    except OSError:
        return False
    return True


# The server itself


def test_starts_with_a_password_on_socket_and_loopback_only(bin_dir: Path, make: Make) -> None:
    cluster = make(bin_dir)
    run(cluster)
    url = cluster.address.admin_url("postgres")
    assert ask(cluster, "SELECT current_user") == [(ADMIN,)]
    with psycopg.connect(url, host="127.0.0.1", port=cluster.port) as connection:
        assert connection.info.port == cluster.port
    assert ask(cluster, "SHOW listen_addresses") == [("127.0.0.1",)]
    for where in ({}, {"host": "127.0.0.1", "port": cluster.port}):
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(url, password="wrong", **where)  # type: ignore[arg-type]
    assert ask(cluster, "SELECT DISTINCT auth_method FROM pg_hba_file_rules") == [("scram-sha-256",)]
    assert ask(cluster, "SHOW data_checksums") == [("on",)]
    assert ask(cluster, "SHOW server_encoding") == [("UTF8",)]
    stat = cluster.socket_directory.stat()
    assert (stat.st_mode & 0o777, stat.st_uid) == (0o700, os.geteuid())
    assert cluster.log.stat().st_mode & 0o777 == 0o600


def test_is_quiet_whatever_is_set_later(make: Make) -> None:
    cluster = make()
    run(cluster)
    for name, value in {
        "log_error_verbosity": "verbose",
        "log_min_error_statement": "error",
        "log_statement": "all",
        "log_parameter_max_length_on_error": "-1",
        "log_connections": "on",
    }.items():
        ask(cluster, f"ALTER SYSTEM SET {name} = '{value}'")
    ask(cluster, "SELECT pg_reload_conf()")
    cluster.stop()
    run(cluster)
    # At this server version some of these words changed their spelling; what counts is that nothing loosened.
    shown = {name: ask(cluster, f"SHOW {name}")[0][0] for name in ("log_error_verbosity", "log_min_error_statement")}
    assert shown == {"log_error_verbosity": "terse", "log_min_error_statement": "panic"}
    assert ask(cluster, "SHOW log_statement") == [("none",)]
    assert ask(cluster, "SHOW log_parameter_max_length_on_error") == [("0",)]
    assert ask(cluster, "SHOW shared_preload_libraries") == [("",)]
    assert ask(cluster, "SHOW archive_mode") == [("off",)]


def test_leaves_no_core_file_and_needs_no_terminal(make: Make) -> None:
    cluster = make()
    run(cluster)
    limits = Path(f"/proc/{pid_of(cluster)}/limits").read_text()
    assert next(line for line in limits.splitlines() if "core file" in line).split()[4] == "0"
    assert os.getsid(pid_of(cluster)) == pid_of(cluster)


def test_a_url_stays_good_when_the_port_had_to_change(make: Make) -> None:
    cluster = make()
    run(cluster)
    url, port = cluster.address.admin_url("postgres"), cluster.port
    os.kill(pid_of(cluster), signal.SIGKILL)
    until(lambda: cluster.poll() is not None)
    with socket.socket() as thief:
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        until(lambda: bound(thief, port or 0))  # the killed server's children may hold it a moment longer
        thief.listen()
        cluster.start()
        cluster.ready()
        assert cluster.port != port
        psycopg.connect(url).close()
    cluster.stop()
    run(cluster)
    psycopg.connect(url).close()


def test_a_port_taken_in_the_last_moment_is_said_and_the_next_start_works(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = make()
    cluster.initialise()
    with socket.socket() as thief, monkeypatch.context() as patch:
        thief.bind(("127.0.0.1", 0))
        thief.listen()
        patch.setattr(embedded, "_free_port", lambda wanted: thief.getsockname()[1])
        cluster.start()
        with pytest.raises(Unavailable) as caught:
            cluster.ready()
    assert caught.value.code == "port_taken"
    assert str(cluster.port) in caught.value.public
    run(cluster)


def test_a_path_too_long_for_a_socket_gets_a_short_private_directory(make: Make, memory_path: Path) -> None:
    cluster = make(data=memory_path / ("d" * 60) / ("e" * 60))
    run(cluster)
    assert len(str(cluster.socket_directory)) < 60
    assert cluster.socket_directory.stat().st_mode & 0o777 == 0o700
    assert ask(cluster, "SELECT 1") == [(1,)]


@pytest.mark.parametrize("name", ["with a space", "with,comma", "with'quotes\"", "ünïcödé", "-dash"])
def test_any_name_of_a_data_directory_will_do(make: Make, memory_path: Path, name: str) -> None:
    cluster = make(data=memory_path / name)
    run(cluster)
    assert ask(cluster, "SELECT 1") == [(1,)]
    os.kill(pid_of(cluster), signal.SIGKILL)
    until(lambda: cluster.poll() is not None)
    cluster.start()
    cluster.ready()
    assert ask(cluster, "SELECT 1") == [(1,)]


def test_somebody_elses_socket_directory_is_refused(make: Make, memory_path: Path) -> None:
    cluster = make(data=memory_path / ("d" * 60) / ("f" * 60))
    mine = memory_path / "mine"
    mine.mkdir(mode=0o700)
    cluster.socket_directory.symlink_to(mine)
    try:
        with pytest.raises(Conflict) as caught:
            run(cluster)
    finally:
        cluster.socket_directory.unlink()
    assert caught.value.code == "data_foreign"
    cluster.socket_directory.mkdir(mode=0o755)
    with pytest.raises(Conflict):
        cluster.start()
    cluster.socket_directory.rmdir()


# The data directory


def test_a_new_cluster_is_whole_or_not_there(memory_path: Path, bin_dir: Path) -> None:
    data = memory_path / "data"
    (data / "postgres.new" / "half").mkdir(parents=True)
    cluster = Cluster(data, LOGINS, bin_dir, fsync=False)
    cluster.initialise()
    assert sorted(path.name for path in data.iterdir()) == ["postgres", "run"]
    assert (data / "postgres").stat().st_mode & 0o777 == 0o700
    assert list(cluster.socket_directory.iterdir()) == []
    made = (data / "postgres" / "PG_VERSION").stat().st_mtime_ns
    cluster.initialise()
    assert (data / "postgres" / "PG_VERSION").stat().st_mtime_ns == made
    cluster.stop()


def test_what_is_no_cluster_is_left_alone(memory_path: Path) -> None:
    (memory_path / "postgres").mkdir()
    (memory_path / "postgres" / "thesis.txt").write_text("precious")
    cluster = Cluster(memory_path, LOGINS, fsync=False)
    with pytest.raises(Conflict) as caught:
        cluster.initialise()
    assert caught.value.code == "data_foreign"
    cluster.stop()
    assert (memory_path / "postgres" / "thesis.txt").read_text() == "precious"


def test_data_of_another_version_is_refused_before_anything_runs(make: Make) -> None:
    cluster = make()
    (cluster.directory / "PG_VERSION").write_text("19\n")
    with pytest.raises(Conflict) as caught:
        cluster.initialise()
    assert caught.value.code == "postgres_version"
    assert "PostgreSQL 19" in caught.value.public


def test_no_permission_outside_the_data_directory_is_changed(make: Make, memory_path: Path) -> None:
    private = memory_path / "home"
    private.mkdir(mode=0o700)
    cluster = make(data=private / "data")
    watched = [private, memory_path, *memory_path.parents, BINARIES[0], *BINARIES[0].parents]
    before = [(path.stat().st_mode, path.stat().st_uid, path.stat().st_gid) for path in watched]
    run(cluster)
    cluster.stop()
    assert [(path.stat().st_mode, path.stat().st_uid, path.stat().st_gid) for path in watched] == before
    assert {path.stat().st_uid for path in (cluster.directory).iterdir()} == {os.geteuid()}


def test_a_second_owner_is_refused_and_told_who_has_it(make: Make) -> None:
    cluster = make()
    run(cluster)
    second = make()
    with pytest.raises(Conflict) as caught:
        second.initialise()
    assert caught.value.code == "data_in_use"
    assert str(os.getpid()) in caught.value.public
    assert ask(cluster, "SELECT 1") == [(1,)]
    cluster.stop()
    run(second)


def test_a_full_disk_is_said(tmp_path: Path) -> None:
    """On a file system of 12 megabytes of its own: by mounting one, as root here or in a namespace."""
    script = tmp_path / "full.py"
    script.write_text(
        textwrap.dedent("""
        import sys
        from pathlib import Path
        from ruxa.kernel.errors import RuxaError
        from ruxa.store.embedded import Cluster
        from ruxa.store.logins import Logins
        cluster = Cluster(Path(sys.argv[1]), Logins(bytes(32)), fsync=False)
        try:
            cluster.initialise()
        except RuxaError as error:
            print(error.code, sorted(path.name for path in Path(sys.argv[1]).iterdir()))
        """)
    )
    small = tmp_path / "small"
    small.mkdir()
    mount = f"mount -t tmpfs -o size=12m,mode=0700 none {small} && exec {sys.executable} {script} {small}"
    said = subprocess.run(
        ["unshare", *([] if ROOT else ["--map-root-user"]), "--mount", "sh", "-c", mount],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert said.stdout.split("\n")[0] == "database_full ['run']", said.stderr


# Death and return


def test_killed_it_recovers_with_every_committed_row(bin_dir: Path, make: Make) -> None:
    cluster = make(bin_dir, fsync=True)
    run(cluster)
    ask(cluster, "CREATE TABLE kept AS SELECT generate_series(1, 1000) AS n")
    os.kill(pid_of(cluster), signal.SIGKILL)
    until(lambda: cluster.poll() is not None)
    cluster.start()
    cluster.ready()
    assert ask(cluster, "SELECT count(*) FROM kept") == [(1000,)]


def test_killed_under_a_busy_connection_it_starts_at_once(make: Make) -> None:
    cluster = make()
    run(cluster)
    url = cluster.address.admin_url("postgres")
    begun = threading.Event()

    def busy() -> None:
        with psycopg.connect(url) as connection:
            begun.set()
            # Never looks at its postmaster while it counts.
            with pytest.raises(psycopg.OperationalError):
                connection.execute("SELECT count(*) FROM generate_series(1, 1000000000) n, generate_series(1, 1000) m")

    thread = threading.Thread(target=busy)
    thread.start()
    begun.wait()
    time.sleep(0.1)
    os.kill(pid_of(cluster), signal.SIGKILL)
    until(lambda: cluster.poll() is not None)
    cluster.start()
    cluster.ready()
    assert cluster.stopped_orphans >= 1
    thread.join(5)
    assert not thread.is_alive()


SUPERVISOR = textwrap.dedent("""
    import sys, time
    from pathlib import Path
    from ruxa.store.embedded import Cluster
    from ruxa.store.logins import Logins
    cluster = Cluster(Path(sys.argv[1]), Logins(bytes(range(32))), Path(sys.argv[2]))
    cluster.initialise()
    cluster.start()
    cluster.ready()
    print("ready", flush=True)
    time.sleep(600)
""")


def supervisor(data: Path, bin_dir: Path, *prefix: str, **options: object) -> subprocess.Popen[str]:
    """A process of its own that runs a cluster; returns when it is ready."""
    process = subprocess.Popen(
        [*(prefix or [sys.executable]), "-c", SUPERVISOR, str(data), str(bin_dir)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        **options,  # type: ignore[call-overload]
    )
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == "ready\n"
    return process


def test_the_orphan_of_a_killed_supervisor_is_stopped_by_the_next(bin_dir: Path, make: Make) -> None:
    cluster = make(bin_dir)
    owner = supervisor(cluster.data, bin_dir)
    orphan = pid_of(cluster)
    ask(cluster, "CREATE TABLE kept AS SELECT 1 AS n")
    with pytest.raises(Conflict, match=str(owner.pid)):
        cluster.initialise()
    owner.kill()
    owner.wait()
    assert not ended(orphan)
    assert strays.postmaster(cluster.directory) == orphan
    with psycopg.connect(cluster.address.admin_url("postgres")):
        run(cluster)
    assert ended(orphan)
    assert cluster.stopped_orphans >= 1
    assert ask(cluster, "SELECT n FROM kept") == [(1,)]


def test_a_stopped_orphan_that_does_not_answer_is_forced(make: Make) -> None:
    cluster = make()
    owner = supervisor(cluster.data, BINARIES[0])
    orphan = pid_of(cluster)
    owner.kill()
    owner.wait()
    os.kill(orphan, signal.SIGSTOP)
    cluster.initialise()
    count = strays.stop(cluster.directory, timeout_s=1.0)
    assert count >= 1
    until(lambda: ended(orphan))
    run(cluster)


def test_a_number_in_the_lock_file_that_is_somebody_elses_is_nobody_to_stop(make: Make) -> None:
    cluster = make()
    bystander = subprocess.Popen(["sleep", "600"])
    look_alike = subprocess.Popen(
        ["postgres", "-c", "import time; time.sleep(600)", "-D", str(cluster.directory) + "2"],
        executable=sys.executable,
    )
    try:
        for other in (bystander, look_alike):
            (cluster.directory / "postmaster.pid").write_text(f"{other.pid}\n{cluster.directory}\n1\n5432\n")
            run(cluster)
            assert cluster.stopped_orphans == 0
            assert other.poll() is None
            cluster.stop()
    finally:
        for other in (bystander, look_alike):
            other.kill()
            other.wait()


def test_stops_soon_with_clients_connected(make: Make) -> None:
    cluster = make()
    run(cluster)
    pid = pid_of(cluster)
    with psycopg.connect(cluster.address.admin_url("postgres")):
        began = time.monotonic()
        cluster.stop()
        assert time.monotonic() - began < 5
    assert ended(pid)
    assert not (cluster.directory / "postmaster.pid").exists()


def test_what_keeps_it_from_starting_is_said(make: Make) -> None:
    cluster = make()
    cluster.initialise()
    (cluster.directory / "global" / "pg_control").unlink()
    cluster.start()
    with pytest.raises(Unavailable) as caught:
        cluster.ready()
    assert caught.value.code == "postgres_failed"
    assert "pg_control" in caught.value.public


def test_a_long_log_is_turned_over(make: Make) -> None:
    cluster = make()
    cluster.log.write_bytes(b"x" * (1 << 20) + b"x")
    run(cluster)
    assert cluster.log.stat().st_size < 1 << 20
    assert cluster.log.with_name("postgres.log.1").stat().st_size > 1 << 20


def test_a_log_that_grows_while_it_runs_is_cut(make: Make) -> None:
    cluster = make()
    run(cluster)
    with cluster.log.open("ab") as log:
        log.write(b"x" * (5 << 20))
    assert cluster.poll() is None
    assert cluster.log.stat().st_size == 0
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(cluster.address.admin_url("postgres"), password="wrong")
    assert 0 < cluster.log.stat().st_size < 1000


# Who it runs as


def test_never_runs_as_the_real_root(make: Make) -> None:
    cluster = make()
    run(cluster)
    status = Path(f"/proc/{pid_of(cluster)}/status").read_text()
    capabilities = next(line.split()[1] for line in status.splitlines() if line.startswith("CapEff"))
    assert int(capabilities, 16) == 0
    if ROOT:
        assert cluster.isolation in ("namespace", "drop")
        inside = Path(f"/proc/{pid_of(cluster)}/uid_map").read_text().split()
        assert inside[0] != "0" or cluster.isolation == "drop"
    else:
        assert cluster.isolation == "none"


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that every user of the machine can pass."""
    path = Path(tempfile.mkdtemp(prefix="ruxa-m-", dir=scratch()))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def test_runs_for_an_ordinary_user(open_directory: Path, bin_dir: Path) -> None:
    """As oneself; as somebody else when the tests run as root, or in a namespace where Python lies in root's home."""
    home = open_directory / "home"
    home.mkdir(mode=0o700)
    prefix: list[str] = []
    options: dict[str, object] = {}
    uid = os.getuid()
    if ROOT:
        nobody = pwd.getpwnam("nobody")
        found = next(
            (python for python in PYTHONS if Path(python).exists() and embedded._reachable(Path(python), nobody)), None
        )  # pyright: ignore[reportPrivateUsage]
        if found is None:
            prefix = ["unshare", "--user", "--map-user=1000", sys.executable]
        else:
            uid = nobody.pw_uid
            os.chown(home, uid, nobody.pw_gid)
            prefix = [found]
            options = {"user": uid, "group": nobody.pw_gid, "extra_groups": [], "cwd": home}
    process = supervisor(home / "data", bin_dir, *prefix, **options)
    try:
        postmaster = int((home / "data" / "postgres" / "postmaster.pid").read_text().split()[0])
        status = Path(f"/proc/{postmaster}/status").read_text()
        assert int(next(line.split()[1] for line in status.splitlines() if line.startswith("Uid"))) == uid
        assert Path(f"/proc/{postmaster}/cmdline").read_bytes().split(b"\0")[0] == os.fsencode(bin_dir / "postgres")
    finally:
        process.kill()
        process.wait()
        strays.stop(home / "data" / "postgres")


def test_where_namespaces_are_refused_root_becomes_another_user(open_directory: Path, bin_dir: Path) -> None:
    """As root: the cluster lies where that user can reach it, DATA points to it. Not root: there is nothing to drop."""
    cluster = Cluster(
        open_directory / "private" / "data", LOGINS, bin_dir, fsync=False,
        isolation="drop" if ROOT else None, drop_root=open_directory / "var" / "ruxa",
    )  # fmt: skip
    cluster.data.parent.mkdir(mode=0o700)
    try:
        run(cluster)
        assert ask(cluster, "SELECT 1") == [(1,)]
        assert cluster.directory.is_symlink() == ROOT
        assert Path(f"/proc/{pid_of(cluster)}").stat().st_uid == (65534 if ROOT else os.getuid())
        assert (open_directory / "private").stat().st_mode & 0o777 == 0o700
        os.kill(pid_of(cluster), signal.SIGKILL)
        until(lambda: cluster.poll() is not None)
        cluster.start()
        cluster.ready()
    finally:
        cluster.stop()


def test_a_cluster_moves_out_when_namespaces_are_refused_later(make: Make, open_directory: Path) -> None:
    """As root: made in a namespace, then started where that is refused, then where it is allowed again."""
    cluster = make(data=open_directory / "data")
    run(cluster)
    ask(cluster, "CREATE TABLE kept AS SELECT 1 AS n")
    cluster.stop()
    for isolation in ("drop" if ROOT else "none", None):
        again = make(data=open_directory / "data", isolation=isolation, drop_root=open_directory / "var")
        run(again)
        assert ask(again, "SELECT n FROM kept") == [(1,)]
        assert again.directory.is_symlink() == ROOT
        assert again.isolation == ("drop" if ROOT else "none")
        again.stop()


def test_programs_that_user_cannot_reach_are_copied_with_their_libraries(open_directory: Path) -> None:
    wheel = BINARIES[0].parent.parent
    hidden = open_directory / "hidden"
    hidden.mkdir(mode=0o700)
    for part in (wheel, wheel.with_name(f"{wheel.name}.libs")):
        shutil.copytree(part, hidden / part.name, symlinks=True)
    cluster = Cluster(
        open_directory / "data", LOGINS, hidden / wheel.name / "pginstall" / "bin", fsync=False,
        isolation="drop" if ROOT else None, drop_root=open_directory / "var",
    )  # fmt: skip
    try:
        run(cluster)
        assert ask(cluster, "SELECT 1") == [(1,)]
        program = str(Path(f"/proc/{pid_of(cluster)}/exe").readlink())
        assert program.startswith(str(open_directory / ("var" if ROOT else "hidden")))
        assert hidden.stat().st_mode & 0o777 == 0o700
    finally:
        cluster.stop()


async def test_a_pool_knows_at_once_that_it_is_away_and_at_once_that_it_is_back(make: Make) -> None:
    cluster = make()
    run(cluster)
    database.setup(cluster.address)
    # A cluster of tests commits into memory only: without this the logins' rights could be lost by the kill.
    ask(cluster, "CHECKPOINT")
    pool = await Pool.open(cluster.url("ruxa_worker"), login="ruxa_worker", min_size=3, clock=Clock())

    async def one() -> int:
        async with pool.work() as work:
            return await work.value("SELECT 1")

    assert await one() == 1
    serving = [
        int(str(pid))
        for (pid,) in ask(cluster, "SELECT pid FROM pg_stat_activity WHERE usename = 'ruxa_worker' AND pid IS NOT NULL")
    ]
    assert len(serving) == 3
    os.kill(pid_of(cluster), signal.SIGKILL)
    until(lambda: cluster.poll() is not None)
    # Its processes notice by themselves, on a busy machine not at once, and answer as long as they have not.
    until(lambda: all(ended(pid) for pid in serving), 20)
    began = time.monotonic()
    for _ in range(5):
        with pytest.raises(Unavailable) as caught:
            await one()
        assert caught.value.code == "database_away"
    # Five times without any of its time-outs (5 s each).
    assert time.monotonic() - began < 4
    cluster.start()
    cluster.ready()
    # Not after a pause of its own: the very first call works.
    assert await one() == 1
    await pool.close()


def test_a_lost_keys_directory_is_named(make: Make) -> None:
    cluster = make()
    run(cluster)
    stranger = Address.at_socket(str(cluster.socket_directory), embedded.SOCKET_PORT, Logins(bytes(32)))
    with pytest.raises(Unavailable) as caught:
        database.setup(stranger)
    assert caught.value.code == "keys_missing"
    assert "--keys" in caught.value.public
