"""The generated pages say what the code says: `python3 dev.py docs` was run after the last change."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
TOOL = ROOT / "tools" / "reference.py"


def check(tool: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(tool), "--check"], capture_output=True, text=True, check=False)


def test_no_generated_page_has_drifted() -> None:
    found = check(TOOL)
    assert found.returncode == 0, f"run `python3 dev.py docs`:\n{found.stdout}{found.stderr}"


def test_a_drifted_and_a_missing_page_are_named(tmp_path: Path) -> None:
    (tmp_path / "tools").mkdir()
    (tmp_path / "src").symlink_to(ROOT / "src")
    tool = tmp_path / "tools" / "reference.py"
    for each in TOOL.parent.glob("*.py"):
        (tool.parent / each.name).write_bytes(each.read_bytes())
    pages = tmp_path / "docs" / "reference"
    pages.mkdir(parents=True)
    (tmp_path / "ARCHITECTURE.md").write_bytes((ROOT / "ARCHITECTURE.md").read_bytes())
    written = subprocess.run([sys.executable, str(tool)], capture_output=True, text=True, check=False)
    assert written.returncode == 0, written.stderr
    assert check(tool).returncode == 0

    (pages / "errors.md").write_text((pages / "errors.md").read_text().replace("402", "403"))
    (pages / "cli.md").unlink()
    found = check(tool)
    assert found.returncode == 1
    assert found.stdout.splitlines() == ["drifted: docs/reference/errors.md", "drifted: docs/reference/cli.md"]
