"""No core dump of a process that holds keys and content."""

from __future__ import annotations

import contextlib
import ctypes
import resource

_PR_SET_DUMPABLE = 4


def forbid() -> None:
    """A dump would hold keys and content; where the system allows it, no other process of the user may look in either.

    Memory is not locked: Python moves what it holds, and the allowance is a few megabytes. Swap belongs encrypted.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
