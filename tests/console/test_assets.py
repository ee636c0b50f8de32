"""Served files: copied from npm with their hashes, named by content, all there at start."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from ruxa.console import assets

ROOT = Path(__file__).parents[2]


def test_copy_writes_a_manifest(tmp_path: Path) -> None:
    manifest = assets.copy(ROOT / "node_modules", tmp_path)
    assert manifest.keys() == assets.FROM_NPM.keys()
    for name, digest in manifest.items():
        assert hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() == digest
    assert (tmp_path / "manifest.json").is_file()


def test_a_file_is_found_by_its_hash_only() -> None:
    shelf = assets.Shelf()
    url = shelf.url("console.css")
    _, _, digest, name = url.split("/")
    found = shelf.find(digest, name)
    assert found
    assert found.body
    assert shelf.find("0" * 16, name) is None
    assert shelf.find(digest, "../render.py") is None
    assert shelf.has("pages/playground.js")


def test_missing_assets_are_said_at_start(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"htmx.min.js"):
        assets.Shelf(tmp_path)


def test_the_lock_pins_and_names_no_host() -> None:
    lock = (ROOT / "package-lock.json").read_text()
    assert "http://" not in lock
    assert "https://" not in lock
    assert '"resolved"' not in lock
    wanted = (ROOT / "package.json").read_text()
    for name, version in (("htmx.org", "2.0.11"), ("uplot", "1.6.32"), ("axe-core", "4.14.1")):
        assert f'"{name}": "{version}"' in wanted
        assert f'"version": "{version}"' in lock
    assert lock.count('"integrity"') == lock.count('"node_modules/')
