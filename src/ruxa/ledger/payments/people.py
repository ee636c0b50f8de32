"""People: who counts as one of two where two must agree about real money."""

from __future__ import annotations

from ruxa.kernel.errors import Conflict


def named(by: str) -> bool:
    """Whether that is a person who is known (``member:<hex>``), not a command line at which anybody may sit."""
    kind, _, who = by.partition(":")
    return bool(kind and who)


def unnamed() -> Conflict:
    """What two people must do can't be begun by nobody in particular."""
    return Conflict("This is so large that two people are needed: say who you are.", code="person_unnamed")
