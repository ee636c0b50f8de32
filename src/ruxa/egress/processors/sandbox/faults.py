"""The fault script: rules, taken in order, that say what goes wrong with which call or webhook, and how often."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any, Final, Literal, get_args

import msgspec

Act = Literal[
    # of a call to the API
    "delay",
    "refuse_before",
    "refuse_after",
    "lost_before",
    "lost_after",
    "nonsense",
    "patch",
    # of a webhook
    "drop",
    "duplicate",
    "reorder",
    "forge",
]
CALL_ACTS: Final = frozenset(
    {"delay", "refuse_before", "refuse_after", "lost_before", "lost_after", "nonsense", "patch"}
)
WEBHOOK_ACTS: Final = frozenset({"delay", "drop", "duplicate", "reorder", "forge"})
NONSENSE: Final[dict[str, bytes]] = {
    "html": b"<html><body>Bad gateway</body></html>",
    "empty": b"",
    "array": b"[]",
    "null": b"null",
    "object": b"{}",
    "cut": b'{"id": "cs_te',
    "bytes": b"\x00\xff\xfe",
}


class Rule(msgspec.Struct, forbid_unknown_fields=True):
    """on: pattern (``*`` matches anything) of what it is about: ``POST /v1/refunds``, ``webhook stripe charge.*``.

    do: what happens; times: how often (0: always) after the first ``skip``; ms: for ``delay``; status: of a refusal;
    body: a word of ``NONSENSE``; patch: members to overwrite in a good answer; count: copies of a duplicate;
    kind: which forgery (``forge.py``). What is reordered is gathered until ``times`` is reached, then goes backwards.
    """

    on: str
    do: Act
    times: int = 1
    skip: int = 0
    ms: int = 1000
    status: int = 500
    body: str = "html"
    patch: dict[str, Any] = {}
    count: int = 2
    kind: str = ""
    hits: int = 0


class Faults:
    """The rules that are in force."""

    def __init__(self) -> None:
        self.rules: list[Rule] = []

    def add(self, rule: Rule) -> str:
        """Put a rule in force; or say what is wrong with it."""
        acts = WEBHOOK_ACTS if rule.on.startswith("webhook") else CALL_ACTS
        if rule.do not in acts:
            return f"do: {', '.join(one for one in get_args(Act) if one in acts)}"
        if rule.do == "nonsense" and rule.body not in NONSENSE:
            return f"body: {', '.join(NONSENSE)}"
        self.rules.append(rule)
        return ""

    def strike(self, what: str) -> Rule | None:
        """The first rule that fits ``what`` and is not used up; it counts as used once more."""
        for rule in self.rules:
            if fnmatchcase(what, rule.on) and (rule.times == 0 or rule.hits < rule.skip + rule.times):
                rule.hits += 1
                if rule.hits > rule.skip:
                    return rule
        return None
