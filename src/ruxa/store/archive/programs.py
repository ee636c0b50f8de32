"""PostgreSQL's own client programs, run on behalf of the archive; passwords go by the environment, never by ``ps``."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from ruxa.kernel.errors import RuxaError, Unavailable

READ_BYTES: Final = 256 * 1024
_WORDS: Final = re.compile(rb"SQLSTATE [0-9A-Z]{5}|does not exist|permission denied|No space left|version mismatch")


def find(bin_dir: Path, name: str) -> Path:
    """A program beside the server's. Raises Unavailable ``program_missing``."""
    path = bin_dir / name
    if not os.access(path, os.X_OK):
        raise Unavailable(f"{path} is missing: backups need PostgreSQL's client programs.", code="program_missing")
    return path


def output(program: Path, url: str, arguments: Iterable[str]) -> Iterator[bytes]:
    """What the program writes, as it comes. Raises Unavailable ``program_failed`` at its end when it failed."""
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(  # noqa: S603 - PostgreSQL's own program by its path
            [program, *_connection(url), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=said,
            env=_environment(url),
        )
        assert process.stdout is not None
        try:
            while chunk := process.stdout.read(READ_BYTES):
                yield chunk
            if process.wait() != 0:
                said.seek(0)
                raise failed(program, process.returncode, said.read())
        finally:
            _end(process)


def feed(program: Path, url: str, arguments: Iterable[str], chunks: Iterable[bytes]) -> None:
    """Gives the program its input. Raises Unavailable ``program_failed``."""
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(  # noqa: S603 - PostgreSQL's own program by its path
            [program, *_connection(url), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=said,
            env=_environment(url),
        )
        assert process.stdin is not None
        try:
            with suppress(BrokenPipeError):
                for chunk in chunks:
                    process.stdin.write(chunk)
                process.stdin.close()
            if process.wait() != 0:
                said.seek(0)
                raise failed(program, process.returncode, said.read())
        finally:
            _end(process)


def run(program: Path, url: str | None, arguments: Iterable[str], *, timeout_s: float) -> None:
    """Runs it to its end. Raises Unavailable ``program_failed``."""
    given = [program, *([] if url is None else _connection(url)), *arguments]
    try:
        done = subprocess.run(  # noqa: S603 - PostgreSQL's own program by its path
            given,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=_environment(url),
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Unavailable(f"{program.name} did not end within {timeout_s:.0f} s.", code="program_failed") from None
    if done.returncode != 0:
        raise failed(program, done.returncode, done.stderr)


def failed(program: Path, code: int, said: bytes) -> RuxaError:
    """What a program's failure is to us: its words may quote rows, so only known ones are kept."""
    known = sorted({word.decode() for word in _WORDS.findall(said)})
    return Unavailable(
        f"{program.name} failed with code {code}{': ' + ', '.join(known) if known else ''}.", code="program_failed"
    )


def _connection(url: str) -> list[str]:
    parts = {name: str(value) for name, value in conninfo_to_dict(url).items() if name != "password"}
    return ["-d", make_conninfo("", **parts)]


def _environment(url: str | None) -> Mapping[str, str]:
    # Nothing of the caller's PG* variables: they would change where and as whom the program connects.
    clean = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC", "PGAPPNAME": "ruxa backup"}
    if url is not None and (password := conninfo_to_dict(url).get("password")) is not None:
        clean["PGPASSWORD"] = str(password)
    return clean


def _end(process: subprocess.Popen[bytes]) -> None:
    # Killed before its input is closed: the end of the input would tell it that all has come.
    if process.poll() is None:
        process.kill()
        process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(BrokenPipeError):
                pipe.close()
