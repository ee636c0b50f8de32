"""Who keeps the epoch keys (D28): the one contract of every key-encryption provider, and how far its word goes.

An epoch's key wraps every stored key for at most 7 days. It lives only with its provider: as a file of the keys
directory, or wrapped by a key of a key server which only that server has. When the provider has destroyed it, nothing
that was wrapped under it opens any more, wherever it was copied.
"""

from __future__ import annotations

from typing import Literal, Protocol
from uuid import UUID

import msgspec

Level = Literal["L1", "L2", "L3"]


class Assurance(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider's destruction is worth. L1: a file was overwritten, and a disk may keep an older copy of its
    blocks. L2: a key server deleted its key, as far as it says. L3: a hardware module did; only an audit can show it.

    provider: its name in the settings and on each epoch; where: the place, without a secret; limit: what stays
    unproved, in one sentence for people; waits_h: hours that a provider keeps a key after it was told to destroy it,
    by which every epoch is shorter, so that 7 days hold all the same.
    """

    provider: str
    level: Level
    where: str
    limit: str
    waits_h: int = 0


class EpochKeys(Protocol):
    """Makes, gives and destroys epoch keys by id."""

    @property
    def assurance(self) -> Assurance:
        """What destruction here is worth."""
        ...

    async def create(self, epoch: UUID) -> bytes | None:
        """Makes a fresh key, durable when this returns; what the epoch's row must keep to get at it, if anything.

        Raises Unavailable.
        """
        ...

    async def read(self, epoch: UUID, wrapped: bytes | None) -> bytes | None:
        """The 32 bytes of the key, or None when it was destroyed. Raises Unavailable when it cannot be told."""
        ...

    async def destroy(self, epoch: UUID, wrapped: bytes | None = None) -> None:
        """Destroys the key, durably; destroying it twice is fine. Raises Unavailable when it cannot be told.

        wrapped: what ``create`` gave; without it (a stray) the key is found by its name. What another provider gave
        is none of this one's keys.
        """
        ...

    async def strays(self, known: set[UUID]) -> list[UUID]:
        """Keys that no epoch claims: left by a crash between making the key and recording the epoch."""
        ...

    async def close(self) -> None:
        """Lets connections go."""
        ...
