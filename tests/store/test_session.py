"""The tests' own cluster: gone with the session, however that ends; a database of its own for each test."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psycopg

from fixtures_database import Database

TESTS = Path(__file__).parents[1]


def _session(tmp_path: Path, body: str) -> tuple[subprocess.Popen[str], int, Path]:
    """A pytest of its own that has a database; its process, its postmaster, its directory."""
    test = tmp_path / "test_inner.py"
    test.write_text(body)
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["fixtures_database"]\n')
    (tmp_path / "pytest.ini").write_text("[pytest]\nasyncio_mode = auto\n")
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-s", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", str(test)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), *filter(None, sys.path)])},
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("have "):
            _, directory, postmaster = line.split()
            return process, int(postmaster), Path(directory)
    raise AssertionError("the inner session ended early")


BODY = """
import time
def test_inner(cluster, fresh_database):
    pid = (cluster.directory / "data" / "postgres" / "postmaster.pid").read_text().split()[0]
    print("\\nhave", cluster.directory, pid, flush=True)
    time.sleep({seconds})
"""


def _gone(pid: int, directory: Path) -> bool:
    for _ in range(400):
        if not Path(f"/proc/{pid}").exists() and not directory.exists():
            return True
        time.sleep(0.02)
    return False


def test_a_killed_session_leaves_nothing(tmp_path: Path) -> None:
    process, postmaster, directory = _session(tmp_path, BODY.format(seconds=60))
    assert Path(f"/proc/{postmaster}").exists()
    process.kill()
    process.communicate()
    assert _gone(postmaster, directory)


def test_a_session_that_ends_has_tidied_up_when_it_returns(tmp_path: Path) -> None:
    process, postmaster, directory = _session(tmp_path, BODY.format(seconds=0))
    process.communicate()
    assert process.returncode == 0
    assert not Path(f"/proc/{postmaster}").exists()
    assert not directory.exists()


async def test_a_database_of_its_own(database: Database) -> None:
    async with await psycopg.AsyncConnection.connect(database.admin_url) as admin:
        row = await (await admin.execute("SELECT current_database()::text, count(*) FROM keystore.key")).fetchone()
    assert row == (database.name, 0)
