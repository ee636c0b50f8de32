"""The walls hold: every import contract is kept, and a planted violation of each is caught."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONTRACTS = ROOT / ".importlinter.toml"

# contract id -> (file to plant, its text)
PLANTED: dict[str, tuple[str, str]] = {
    "floors": ("kernel/planted.py", "import ruxa.ledger.prices\n"),
    "acyclic": ("store/planted_a.py", "import ruxa.store.planted_b\n"),
    "one-door-out": ("privacy/planted.py", "import httpx\n"),
    "driver": ("gateway/planted.py", "import psycopg\n"),
    "records-access": ("console/planted.py", "import ruxa.access.records\n"),
    "records-ledger": ("gateway/planted.py", "import ruxa.ledger.records\n"),
    "pure-dialects": ("dialects/planted.py", "import time\n"),
    "no-framework": ("gateway/planted.py", "import litestar\n"),
    "strangers-dialects": ("dialects/openai_chat/planted.py", "import ruxa.dialects.anthropic_messages.read\n"),
    "strangers-providers": ("egress/providers/planted.py", "import ruxa.egress.providers.openai\n"),
    "strangers-pages": ("console/pages/planted.py", "import ruxa.console.pages.keys\n"),
}


def lint(source: Path, *contracts: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"]
    command += ["--config", str(CONTRACTS), "--no-cache", *(f"--contract={name}" for name in contracts)]
    env = {**os.environ, "PYTHONPATH": str(source), "NO_COLOR": "1"}
    return subprocess.run(command, capture_output=True, text=True, cwd=source, env=env, check=False, timeout=60)


def test_every_contract_is_kept() -> None:
    done = lint(ROOT / "src")
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_contract_has_a_planted_violation() -> None:
    assert re.findall(r'^id = "([^"]+)"', CONTRACTS.read_text(), re.MULTILINE) == list(PLANTED)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("house")
    shutil.copytree(ROOT / "src" / "ruxa", place / "ruxa", ignore=shutil.ignore_patterns("__pycache__", "static"))
    return place


@pytest.mark.parametrize("contract", PLANTED)
def test_planted_violation_is_caught(copy: Path, contract: str) -> None:
    name, text = PLANTED[contract]
    planted = [copy / "ruxa" / name]
    planted[0].write_text(f'"""Planted."""\n\n{text}')
    if contract == "acyclic":
        planted.append(copy / "ruxa/store/planted_b.py")
        planted[1].write_text('"""Planted."""\n\nimport ruxa.store.planted_a\n')
    try:
        done = lint(copy, contract)
        assert done.returncode == 1, done.stdout + done.stderr
        assert "BROKEN" in done.stdout
    finally:
        for file in planted:
            file.unlink()


def test_a_tenth_room_is_caught(copy: Path) -> None:
    room = copy / "ruxa" / "utils.py"
    room.write_text('"""Planted."""\n')
    try:
        assert lint(copy, "floors").returncode == 1
    finally:
        room.unlink()
