"""The disk runs full under a running server and gets room again: callers are told, nothing is lost, it goes on."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from fixtures_server import RunningServer, eventually

# Mounts a file system of its own at $1, in the new mount namespace, and becomes the rest.
MOUNT = 'mount -t tmpfs -o size=250m none "$1" && shift && exec "$@"'


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[RunningServer]:
    """A server whose data lie on a file system of 250 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    before = ("unshare", "-Urm", "--propagation", "private", "sh", "-c", MOUNT, "sh", str(disk))
    server = RunningServer(tmp_path / "server", before=before)
    server.data, server.keys = disk / "data", disk / "data-keys"
    server.start(wait=False)
    assert server.process is not None
    # What the server sees, seen from here.
    server.data = Path(f"/proc/{server.process.pid}/root{disk}/data")
    try:
        server.wait_ready()
        yield server
    finally:
        server.kill_tree()


def test_a_disk_that_runs_full_and_gets_room_again(small_disk: RunningServer) -> None:
    server = small_disk
    delivered = {}
    status, headers, _ = server.chat()
    assert status == 200
    delivered[headers["x-request-id"]] = int(headers["ruxa-cost-micros"])
    filler = server.data.parent / "filler"
    _fill(filler)
    statuses = set()
    for number in range(40):
        status, headers, answer = server.chat(f"Call {number}")
        statuses.add(status)
        if status == 200:
            delivered[headers["x-request-id"]] = int(headers["ruxa-cost-micros"])
        else:
            assert status == 503, answer
            assert answer["error"]["message"]
            assert "Traceback" not in json.dumps(answer)
    filler.unlink()
    eventually(lambda: server.chat()[0] == 200, 20)
    rows = eventually(
        lambda: (found := {r["id"]: r["cost_micros"] for r in _rows(server)}).keys() >= delivered.keys() and found,
        20,
    )
    assert {name: rows[name] for name in delivered} == delivered
    told = json.loads(server.http("GET", "/readyz", key=None)[2])
    assert told["ready"] is True
    assert server.stop() == 0


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError:
                continue
    assert os.statvfs(path).f_bavail == 0


def _rows(server: RunningServer) -> list[dict[str, object]]:
    status, _, body = server.http("GET", "/api/v1/usage?limit=100")
    return json.loads(body)["rows"] if status == 200 else []
