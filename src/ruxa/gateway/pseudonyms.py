"""Pseudonyms: what a provider gets in place of an identity - stable for a quarter, different at every provider (D33).

``rxp`` + 26 base32 digits of HMAC-SHA256 under a random key of the provider and the quarter, which is destroyed 30 days
after it; no table maps back. The organisation is part of the input, so equal names of two customers differ.
"""

from __future__ import annotations

import hmac
from base64 import b32encode
from collections.abc import Awaitable, Callable, Iterable
from datetime import date, timedelta
from typing import Final
from uuid import UUID

from ruxa.kernel.errors import Unavailable

# The next quarter's keys are there a week early: its first call finds them, also when the key store is away then.
AHEAD: Final = timedelta(days=7)

KeyOf = Callable[[str, str], Awaitable[bytes]]


class Pseudonyms:
    """The keys of this quarter, fetched ahead. ``key_of`` gives the key of a provider and a quarter (``2026q4``)."""

    __slots__ = ("_key_of", "_keys", "_providers", "_quarter")

    def __init__(self, key_of: KeyOf, providers: Iterable[str]) -> None:
        self._key_of = key_of
        self._providers = tuple(providers)
        self._keys: dict[tuple[str, str], bytes] = {}
        self._quarter = ""

    async def turn(self, today: date) -> None:
        """It is ``today``: a new quarter has new keys, an old one's are forgotten. Raises Unavailable."""
        self._quarter = now = quarter_of(today)
        wanted = {(provider, quarter) for provider in self._providers for quarter in (now, quarter_of(today + AHEAD))}
        if wanted != self._keys.keys():
            for place in self._keys.keys() - wanted:
                del self._keys[place]
            for provider, quarter in sorted(wanted - self._keys.keys()):
                self._keys[provider, quarter] = await self._key_of(provider, quarter)

    def of(self, provider: str, organisation_ref: UUID) -> Callable[[str], str]:
        """A function that turns an identity into its stand-in for that provider, which raises Unavailable
        ``keys_missing`` while the key could not be fetched: an identity never leaves in its place.
        """
        key = self._keys.get((provider, self._quarter))
        prefix = organisation_ref.bytes

        def stand_in(identity: str) -> str:
            if key is None:
                raise Unavailable("The keys of this quarter are not there yet; try again.", code="keys_missing")
            mac = hmac.digest(key, prefix + identity.encode("utf-8", "surrogatepass"), "sha256")
            return "rxp" + b32encode(mac)[:26].decode().lower()

        return stand_in


def quarter_of(day: date) -> str:
    """``2026q4``."""
    return f"{day.year}q{(day.month + 2) // 3}"
