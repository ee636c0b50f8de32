"""Passwords: what is accepted, and the bounded hashing of them (argon2id, 3 passes, 64 MiB, 4 lanes, peppered).

A hash takes 64 MiB and a tenth of a second of four lanes, so only a few run at once and only so many wait: more is
answered with 503 instead of with all of the machine's memory. A password never appears in an error or a repr.
"""

from __future__ import annotations

import asyncio
import base64
import functools
import os
import re
import threading
import unicodedata
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from importlib import resources
from typing import Any, Final, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from ruxa.kernel import bounds
from ruxa.kernel.errors import InvalidCall, Unavailable
from ruxa.kernel.sealed import Sealed
from ruxa.store.vault import Vault

LABEL: Final = "password"
PASSES = 3
MEMORY_KIB = 64 * 1024
LANES = 4
PURPOSE: Final = "security"

_VERSION, _SALT_BYTES, _HASH_BYTES = 19, 16, 32
_T = TypeVar("_T")
_LEET = str.maketrans("013457@$!|", "oieastasil")
_ROWS = ("abcdefghijklmnopqrstuvwxyz", "01234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm", "qwertz", "azerty")
_RUN = 4


def check(password: Sealed[str], personal: Iterable[Sealed[str]] = ()) -> None:
    """Refuses what is too short, too long, too common, too regular or made of the person's own words.

    ``personal``: e-mail and name. Raises InvalidCall (code ``password_*``, param ``password``), never with the value.
    """
    text = unicodedata.normalize("NFC", password.open(PURPOSE))
    if len(text) < bounds.PASSWORD_CHARS_MIN:
        raise _refused("short", f"Use at least {bounds.PASSWORD_CHARS_MIN} characters.")
    if len(text) > bounds.PASSWORD_CHARS_MAX:
        raise _refused("long", f"Use at most {bounds.PASSWORD_CHARS_MAX} characters.")
    plain = text.casefold()
    if any(word in plain for word in _words(personal)):
        raise _refused("personal", "Leave your name and e-mail address out of the password.")
    if _regular(plain) or _common(plain):
        raise _refused("common", "Attackers try this one first; use several unrelated words.")


def _refused(why: str, public: str) -> InvalidCall:
    return InvalidCall(public, code=f"password_{why}", param="password")


def _words(personal: Iterable[Sealed[str]]) -> set[str]:
    """Pieces of four characters or more; the registry's part of a domain says nothing about a person."""
    words = {"ruxa"}
    for value in personal:
        local, _, domain = value.open("provide").casefold().partition("@")
        pieces = re.split(r"[\W_]+", local) + re.split(r"[\W_]+", domain)[:-1]
        words |= {local, *pieces}
    return {word for word in words if len(word) >= 4}


def _regular(plain: str) -> bool:
    """Few different characters, a short piece repeated, or little more than runs of the alphabet or the keyboard."""
    if len(set(plain)) < 5:
        return True
    if any(len(plain) % size == 0 and plain == plain[:size] * (len(plain) // size) for size in range(1, 7)):
        return True
    left = plain
    for row in _ROWS:
        for line in (row, row[::-1]):
            for size in range(len(line), _RUN - 1, -1):
                for start in range(len(line) - size + 1):
                    left = left.replace(line[start : start + size], "")
    return len(left) <= 4


def _common(plain: str) -> bool:
    """In the list, as it stands or after leet spelling and the digits and signs around it are taken away."""
    known = _known()
    core = re.sub(r"^[\W\d_]+|[\W\d_]+$", "", plain)
    forms = {plain, core, core.translate(_LEET), re.sub(r"[\W_]+", "", plain), re.sub(r"[\W\d_]+", "", plain)}
    forms |= {re.sub(r"[\W\d_]+", "", plain.translate(_LEET))}
    if any(form in known for form in forms):
        return True
    # Two common words side by side, or one twice.
    return any(form[:cut] in known and form[cut:] in known for form in forms for cut in range(4, len(form) - 3))


@functools.cache
def _known() -> frozenset[str]:
    text = resources.files("ruxa.access").joinpath("passwords.txt").read_text(encoding="utf-8")
    return frozenset(line for line in text.splitlines() if line and not line.startswith("#"))


class Hasher:
    """The one place where passwords are hashed: ``at_once`` threads, at most ``waiting_max`` waiting."""

    def __init__(
        self,
        vault: Vault,
        *,
        at_once: int = bounds.HASHES_AT_ONCE,
        waiting_max: int = bounds.HASHES_WAITING_MAX,
    ) -> None:
        self._vault = vault
        self._argon2 = PasswordHasher(PASSES, MEMORY_KIB, LANES, hash_len=_HASH_BYTES, salt_len=_SALT_BYTES)
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix="argon2")
        self._places = at_once + waiting_max
        self._taken = 0
        self._lock = threading.Lock()
        # Compared when an address is unknown, so that the answer takes as long: drawn, as if a password had made it.
        costs = f"$argon2id$v={_VERSION}$m={MEMORY_KIB},t={PASSES},p={LANES}"
        self._nobody = f"{costs}${_drawn(_SALT_BYTES)}${_drawn(_HASH_BYTES)}"

    async def hash(self, password: Sealed[str]) -> str:
        """The argon2id string to store. Raises Unavailable ``hashing_busy`` when too many wait."""
        return await self._run(functools.partial(self._argon2.hash, self._peppered(password)))

    async def verify(self, stored: str | None, password: Sealed[str]) -> bool:
        """Whether the password is the stored one; None (nobody, or no password yet) takes as long and is False."""
        right = await self._run(functools.partial(self._verify, stored or self._nobody, self._all_peppered(password)))
        return right and stored is not None

    def outdated(self, stored: str) -> bool:
        """Whether the hash was made with other costs than today's, or perhaps by a pepper that is being replaced."""
        return self._argon2.check_needs_rehash(stored) or len(self._vault.keyed_hashes(LABEL, b"")) > 1

    def close(self) -> None:
        """Waits for what runs; nothing may be hashed afterwards."""
        self._threads.shutdown(cancel_futures=True)

    def _peppered(self, password: Sealed[str]) -> bytes:
        return self._all_peppered(password)[0]

    def _all_peppered(self, password: Sealed[str]) -> list[bytes]:
        """Under every living version of the pepper, the one that writes first."""
        # Cut before hashing: a megabyte posted as a password costs nothing. Bounds are checked in characters.
        text = unicodedata.normalize("NFC", password.open(PURPOSE)[: bounds.PASSWORD_CHARS_MAX + 1])
        return self._vault.keyed_hashes(LABEL, text.encode("utf-8", "surrogatepass"))

    def _verify(self, stored: str, peppered: list[bytes]) -> bool:
        # Each one, so that the time does not tell which fits.
        return any([self._fits(stored, one) for one in peppered])  # noqa: C419

    def _fits(self, stored: str, peppered: bytes) -> bool:
        try:
            return self._argon2.verify(stored, peppered)
        except (VerificationError, InvalidHashError):
            return False

    async def _run(self, work: Callable[[], _T]) -> _T:
        with self._lock:
            if self._taken >= self._places:
                raise Unavailable("Too many sign-ins at this moment; try again.", code="hashing_busy", retry_after_s=2)
            self._taken += 1
        future = self._threads.submit(work)
        # Given back when the thread is done, not when the caller leaves: a hash that runs still holds its memory.
        future.add_done_callback(self._give_back)
        return await asyncio.wrap_future(future)

    def _give_back(self, _: Future[Any]) -> None:
        with self._lock:
            self._taken -= 1


def _drawn(size: int) -> str:
    """Random bytes as argon2's strings have them."""
    return base64.b64encode(os.urandom(size)).rstrip(b"=").decode()
