"""What attacks have in common: a server of their own whose clock can be moved, and a mark of their own."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from fixtures_server import RunningServer, copied


@pytest.fixture
def mark() -> str:
    """What every planted word of this test begins with."""
    return "".join(secrets.choice("bcdfghjkmnpqrstvwz") for _ in range(6)) + "q7"


@pytest.fixture
def server(memory_path: Path, first_simulated: Path) -> Iterator[RunningServer]:
    """A demo of this test's own, whose clock can be moved."""
    running = RunningServer(copied(first_simulated, memory_path / "server"), "--simulated").start()
    yield running
    running.kill_tree()
