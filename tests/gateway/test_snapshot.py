"""The keys that a worker remembers: the ones in use stay, and what is revoked is gone wherever it was remembered."""

from __future__ import annotations

import asyncio
from hashlib import sha256
from uuid import UUID, uuid4

import msgspec

from ruxa.access.grants import Grant
from ruxa.gateway.snapshot import Snapshot

GRANT = Grant(
    key_id=UUID(int=0),
    organisation_id=UUID(int=1),
    organisation_ref=UUID(int=2),
    livemode=True,
    scopes=frozenset({"chat"}),
    models=None,
    requests_per_minute=None,
    tokens_per_minute=None,
    concurrency=None,
    store_days=0,
    budget_scope=None,
    expires_at_ms=None,
    output_tokens_default=4096,
)


class Database:
    """Knows every key, and counts how often it is asked."""

    def __init__(self, pause_s: float = 0) -> None:
        self.asked = 0
        self.ids: dict[bytes, UUID] = {}
        self.pause_s = pause_s

    async def find(self, hashed: bytes) -> Grant:
        self.asked += 1
        await asyncio.sleep(self.pause_s)
        return msgspec.structs.replace(GRANT, key_id=self.ids.setdefault(hashed, uuid4()))


def keyed(secret: bytes) -> bytes:
    return sha256(secret).digest()


async def use(snapshot: Snapshot, secret: bytes) -> None:
    if snapshot.known(secret) is None:
        await snapshot.look_up(secret)


async def test_a_key_in_use_outlasts_many_that_are_used_once() -> None:
    database = Database()
    snapshot = Snapshot(database.find, keyed, keys_max=10)
    await use(snapshot, b"first")
    for number in range(100):
        await use(snapshot, b"first")
        await use(snapshot, b"once %d" % number)
    assert database.asked == 101
    assert len(snapshot) == 10
    assert snapshot.known(b"once 99") is not None
    assert snapshot.known(b"once 80") is None


async def test_a_key_that_was_asked_for_twice_is_revoked_in_both_memories() -> None:
    database = Database()
    snapshot = Snapshot(database.find, keyed)
    await snapshot.look_up(b"key")
    assert snapshot.known(b"key") is not None  # the cheap hash is remembered now
    await asyncio.sleep(0)
    await snapshot.look_up(b"key")  # as a request that had missed it before
    snapshot.forget(database.ids[keyed(b"key")])
    assert snapshot.known(b"key") is None
