"""The namespace: root inside is an ordinary user, files stay the owner's, nothing more is allowed than before."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from ruxa.store import namespace


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", "-S", namespace.__file__, "65534", *command], capture_output=True, text=True
    )


def test_inside_it_is_somebody_without_rights(tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    said = _run("/bin/sh", "-c", f"id -u; touch {private}/made; grep CapEff /proc/self/status")
    assert said.returncode == 0, said.stderr
    uid, capabilities = said.stdout.splitlines()
    assert uid == "65534"
    assert int(capabilities.split()[1], 16) == 0
    assert (private / "made").stat().st_uid == os.geteuid()


def test_the_process_keeps_its_number_and_its_exit_code() -> None:
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", namespace.__file__, "65534", "/bin/sh", "-c", "echo $$; exit 3"],
        stdout=subprocess.PIPE,
        text=True,
    )
    said, _ = process.communicate()
    assert int(said) == process.pid
    assert process.returncode == 3


def test_a_system_that_refuses_is_told_by_the_exit_code() -> None:
    # Where no further namespace may be made: one with the limit set to none.
    shim = f"{sys.executable} -I -S {namespace.__file__}"
    limited = f"echo 0 > /proc/sys/user/max_user_namespaces && exec {shim} 65534 /bin/true"
    said = subprocess.run(["unshare", "--user", "--map-root-user", "sh", "-c", limited], capture_output=True, text=True)
    assert said.returncode == namespace.REFUSED, said.stderr
