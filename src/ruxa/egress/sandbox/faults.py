"""The faults of the sandbox, by model name (``sandbox/fail-529``) or mark (``[[fail-529]]``)."""

from __future__ import annotations

import re
from typing import Literal, get_args

Fault = Literal[
    "400",
    "401",
    "403",
    "404",
    "413",
    "429",
    "quota",
    "500",
    "503",
    "529",
    "hang",
    "slow-first-token",
    "first-frame-error",
    "mid-stream-death",
    "mid-stream-error",
    "garbage",
    "half",
    "late-usage",
    "no-usage",
    "one-byte-chunks",
]

FAULTS: tuple[Fault, ...] = get_args(Fault)
STATUSES: dict[str, int] = {
    "400": 400,
    "401": 401,
    "403": 403,
    "404": 404,
    "413": 413,
    "429": 429,
    "quota": 429,
    "500": 500,
    "503": 503,
    "529": 529,
}
RETRY_AFTER_S = 7
SLOW_FIRST_TOKEN_MS = 2000
LATE_USAGE_MS = 1000

_NAMED = re.compile(r"fail-([a-z0-9-]+)")


def fault_of(model: str, marks: dict[str, str]) -> Fault | None:
    """The fault asked for, None when there is none; an unknown name counts as none."""
    found = _NAMED.search(model)
    names = [found[1]] if found else []
    names += [mark[5:] for mark in marks if mark.startswith("fail-")]
    for name in names:
        for fault in FAULTS:
            if name == fault:
                return fault
    return None
