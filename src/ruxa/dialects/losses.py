"""Loss: what a translation could not carry, by name - told to the caller in ``ruxa-lossy``, or refused when strict."""

from __future__ import annotations

import msgspec


class Loss(msgspec.Struct, frozen=True):
    """name: a plain word for the header (``top_k``, ``cache_control``, ``tools.web_search``), never anything that a
    caller wrote freely; param: where it stood in the caller's body (``messages[2].content[0]``), for the strict 400."""

    name: str
    param: str = ""


def told(*groups: tuple[Loss, ...]) -> tuple[str, ...]:
    """The names for the header, each once, in order."""
    return tuple(dict.fromkeys(loss.name for losses in groups for loss in losses))
