"""Conditions: what a key, or a call, demands of whoever its content is sent to - and refuses all who are not known to
fulfil it.

Written as words, the same on a key and in the header ``ruxa-policy``: ``zero-retention``, ``no-training``,
``region=EU|CH`` (country codes, or ``EU`` and ``EEA`` for all of theirs) and ``mechanism=adequacy|scc``. More words
demand more: those of the call are added to those of its key.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from ruxa.kernel.errors import InvalidCall

PLAIN = ("zero-retention", "no-training")
LISTED = ("region", "mechanism")
WORDS_MAX = 16
_VALUES = re.compile(r"[A-Za-z]{2,12}(\|[A-Za-z]{2,12}){0,30}\Z")


def read(words: Iterable[str]) -> tuple[str, ...]:
    """The conditions in their one spelling, sorted, each once. Raises InvalidCall ``bad_policy``."""
    found: set[str] = set()
    for word in words:
        name, _, values = word.strip().replace("_", "-").partition("=")
        name = name.strip().lower()
        values = values.strip()
        if not name:
            continue
        if name in PLAIN and not values:
            found.add(name)
        elif name in LISTED and _VALUES.match(values):
            each = sorted({value.upper() if name == "region" else value.lower() for value in values.split("|")})
            found.add(f"{name}={'|'.join(each)}")
        else:
            raise InvalidCall(
                "A data policy is made of zero-retention, no-training, region=EU|… and mechanism=scc|…",
                code="bad_policy",
            )
    if len(found) > WORDS_MAX:
        raise InvalidCall(f"A data policy has at most {WORDS_MAX} conditions.", code="bad_policy")
    return tuple(sorted(found))
