"""Tidy: what a parser can tell is certainly a fault, in code and docs; and proof that each rule bites."""

from __future__ import annotations

import importlib.util
import re
import subprocess
from pathlib import Path

import pytest

spec = importlib.util.spec_from_file_location("tidy", Path(__file__).with_name("tidy.py"))
assert spec
assert spec.loader
tidy = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tidy)

ROOT: Path = tidy.ROOT
DOC = '"""Purpose."""\n'


def test_the_source_is_tidy() -> None:
    found = [line for name, text in tidy.modules() for line in tidy.findings(name, text)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("kernel/a.py", "x = 1\n"),
        ("kernel/a.py", DOC + "x = 1  # " + "TODO later\n"),
        ("kernel/a.py", DOC + "def f():\n    raise NotImplementedError\n"),
        ("gateway/a.py", DOC + "import time\nx = time.time()\n"),
        ("access/a.py", DOC + "from datetime import datetime\nx = datetime.now()\n"),
        ("ledger/a.py", DOC + "x = 3 / 2\n"),
        ("ledger/a.py", DOC + "x = float(3)\n"),
        ("ledger/a.py", DOC + "amount: float = 0\n"),
        ("access/a.py", DOC + "x = 'select id from access.member'\n"),
        ("gateway/a.py", DOC + "x = 'INSERT INTO t VALUES (1)'\n"),
        ("gateway/a.py", DOC + "print(1)\n"),
        ("ledger/a.py", DOC + "try:\n    pass\nexcept Exception:\n    pass\n"),
        ("ledger/a.py", DOC + "class KeyManager: ...\n"),
        ("ledger/utils.py", DOC),
        ("gateway/a.py", DOC + "import asyncio\nx = asyncio.open_connection\n"),
        ("access/a.py", DOC + "import subprocess\n"),
        ("console/a.py", DOC + "import urllib.request\n"),
        ("console/a.py", DOC + "from http.client import HTTPConnection\n"),
    ],
)
def test_each_rule_bites(name: str, text: str) -> None:
    assert tidy.findings(name, text)


def test_a_tidy_module_passes() -> None:
    assert not tidy.findings("ledger/a.py", DOC + "age_s: float = 1.0\nx = 3 // 2\n")


def tracked(*patterns: str) -> list[Path]:
    done = subprocess.run(["git", "ls-files", "-z", *patterns], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_documents_have_one_title_and_links_that_resolve() -> None:
    faults: list[str] = []
    for file in tracked("*.md"):
        text = re.sub(r"```.*?```", "", file.read_text(encoding="utf-8"), flags=re.DOTALL)
        titles = re.findall(r"^# ", text, re.MULTILINE)
        if len(titles) != 1:
            faults.append(f"{file.relative_to(ROOT)}: {len(titles)} titles")
        for link in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
            if not re.match(r"[a-z]+:", link) and not (file.parent / link).exists():
                faults.append(f"{file.relative_to(ROOT)}: link to {link}")
    assert not faults, "\n".join(faults)


def test_nothing_of_a_machine_is_committed() -> None:
    hosts = "|".join(("pypi" + r"\.org", "pythonhosted" + r"\.org", "registry" + r"\.npmjs", "deb" + r"\.debian"))
    places = "|".join(("/" + "work/", "/" + "root/", "/home/" + r"[a-z]+/"))
    faults = []
    for file in tracked():
        if file.suffix in {".png", ".mmdb", ".woff2"}:
            continue
        for number, line in enumerate(file.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            if re.search(f"{hosts}|{places}", line):
                faults.append(f"{file.relative_to(ROOT)}:{number}: {line.strip()[:100]}")
    assert not faults, "\n".join(faults)
