"""Guards: what a key does not let through - personal data and secrets are masked on the way, or their call is refused.

Written as words on the key: first ``mask`` or ``refuse``, then the kinds it looks for; without kinds, all but
``media``. No word: no guard. What each kind is, and how it is found, stands in ``gateway/guard``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import msgspec

from ruxa.kernel.errors import InvalidCall

Mode = Literal["mask", "refuse"]
Kind = Literal["email", "phone", "iban", "card", "ip", "national_id", "secret", "media"]
MODES: tuple[Mode, ...] = get_args(Mode)
KINDS: tuple[Kind, ...] = get_args(Kind)
USUAL: frozenset[Kind] = frozenset(KINDS) - {"media"}


class Guard(msgspec.Struct, frozen=True):
    """What to do about which kinds. media: pictures, sounds and files, which nobody here can read."""

    mode: Mode
    kinds: frozenset[Kind] = USUAL


def read(words: Sequence[str]) -> tuple[str, ...]:
    """The words in their one spelling, every kind written out; () for none. Raises InvalidCall ``bad_guard``."""
    guard = of(words)
    return () if guard is None else (guard.mode, *(kind for kind in KINDS if kind in guard.kinds))


def of(words: Sequence[str]) -> Guard | None:
    """The guard that the words of a key mean, None for none. Raises InvalidCall ``bad_guard``."""
    if not words:
        return None
    mode: Mode | None = next((mode for mode in MODES if mode == words[0]), None)
    kinds: frozenset[Kind] = frozenset(kind for kind in KINDS if kind in words[1:])
    if mode is None or len(kinds) < len(set(words[1:])):
        raise InvalidCall(
            f"A guard is {' or '.join(MODES)}, and which of {', '.join(KINDS)} it looks for.",
            code="bad_guard",
            param="guard",
        )
    return Guard(mode, kinds or USUAL)
