"""Runs a program in a user namespace that maps root to an ordinary user (D4). A script, started by ``embedded``.

PostgreSQL refuses to run as root. Inside the namespace it is user ``INSIDE``; outside its files stay root's, so no
directory has to be opened to anybody and no process gets a right it had not.

    python -I -S namespace.py INSIDE PROGRAM [ARGUMENT ...]
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

_CLONE_NEWUSER = 0x1000_0000
REFUSED = 77


def enter(inside: int) -> None:
    """Moves this process into a new user namespace, as user ``inside``. OSError when the system refuses."""
    outside = os.geteuid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWUSER) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    Path("/proc/self/uid_map").write_text(f"{inside} {outside} 1\n")


def main(arguments: list[str]) -> None:
    """Enters the namespace and becomes the program; exits with 77 when the namespace is refused."""
    try:
        enter(int(arguments[0]))
    except (OSError, AttributeError):
        sys.exit(REFUSED)
    os.execv(arguments[1], arguments[1:])  # noqa: S606 - no shell is the point


if __name__ == "__main__":
    main(sys.argv[1:])
