"""Pseudonyms: what a provider gets in place of an identity - stable for a quarter, different at every provider (D33).

``rxp`` + 26 base32 digits of HMAC-SHA256 under a key of the provider and the quarter; no table maps back. The
organisation is part of the input, so equal names of two customers differ.
"""

from __future__ import annotations

import hmac
from base64 import b32encode
from collections.abc import Callable
from datetime import date
from uuid import UUID


class Pseudonyms:
    """The keys of this quarter, made when a provider is first asked. ``key_of`` gives the key of a label."""

    __slots__ = ("_key_of", "_keys", "_quarter")

    def __init__(self, key_of: Callable[[str], bytes]) -> None:
        self._key_of = key_of
        self._keys: dict[str, bytes] = {}
        self._quarter = ""

    def turn(self, today: date) -> None:
        """It is ``today``: a new quarter has new keys."""
        quarter = f"{today.year}q{(today.month + 2) // 3}"
        if quarter != self._quarter:
            self._quarter = quarter
            self._keys.clear()

    def of(self, provider: str, organisation_ref: UUID) -> Callable[[str], str]:
        """A function that turns an identity into its stand-in for that provider."""
        key = self._keys.get(provider)
        if key is None:
            key = self._keys[provider] = self._key_of(f"pseudonym.{self._quarter}.{provider}"[:63])
        prefix = organisation_ref.bytes

        def stand_in(identity: str) -> str:
            mac = hmac.digest(key, prefix + identity.encode("utf-8", "surrogatepass"), "sha256")
            return "rxp" + b32encode(mac)[:26].decode().lower()

        return stand_in
