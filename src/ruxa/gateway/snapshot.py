"""Snapshot: the keys this worker knows, each with its grant and how far its limits are used (decision D52).

The first use of a key costs one query; a key that the database does not know is remembered for 2 s; a changed or
revoked key is forgotten by notice, and by a poll of the list of changes every 2 s. While the database is away only
known keys pass.
"""

from __future__ import annotations

import asyncio
import os
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from hashlib import blake2b
from uuid import UUID, uuid5

import msgspec

from ruxa.access import guards
from ruxa.access.grants import UNLIMITED, Grant, Limits
from ruxa.access.keys import well_formed
from ruxa.dialects.shape import Shapes
from ruxa.gateway.limits import Joint, Limiter
from ruxa.gateway.plan import Owned
from ruxa.gateway.shares import Shares
from ruxa.kernel import bounds
from ruxa.kernel.clock import monotonic
from ruxa.kernel.errors import Unauthenticated
from ruxa.ledger import packed

UNKNOWN = "The API key is not known here. Check it, or make a new one in the console."


class Entry:
    """A known key: its grant and its limiter, which outlives a change of the grant."""

    __slots__ = ("_payers", "by_model", "grant", "guard", "hashed", "limiter", "near", "own", "shapes", "used", "wider")

    def __init__(
        self,
        hashed: bytes,
        grant: Grant,
        limiter: Limiter,
        by_model: Mapping[str, Limiter] | None = None,
        wider: Sequence[UUID] = (),
        own: Owned | None = None,
    ) -> None:
        self.own = own  # the organisation's own provider keys
        self.by_model = by_model  # of the organisation; None: no model has limits of its own
        self.wider = wider  # ids of the limiters beside the key's own
        self.hashed = hashed
        self.grant = grant
        self.guard = guards.of(grant.guard)  # what the key does not let through
        self.limiter = limiter
        self.near = b""
        self._payers: dict[str, bytes] = {}
        self.shapes = Shapes()
        self.used = False  # since the last note to the database

    def payer(self, scope: str) -> bytes:
        """The columns of a usage row that are the key's."""
        columns = self._payers.get(scope)
        if columns is None:
            grant = self.grant
            columns = packed.payer(grant.organisation_ref, grant.key_id, grant.livemode, scope)
            self._payers[scope] = columns
        return columns


class Snapshot:
    """``known`` is synchronous and free of I/O; ``look_up`` asks the database."""

    def __init__(
        self,
        find: Callable[[bytes], Awaitable[Grant | None]],
        keyed_hash: Callable[[bytes], bytes],
        *,
        older: Callable[[bytes], list[bytes]] = lambda _: [],
        learn: Callable[[Grant], Awaitable[Owned | None]] | None = None,
        keys_max: int = bounds.KEY_CACHE_MAX,
        now: Callable[[], float] = monotonic,
    ) -> None:
        self._find = find
        self._hash = keyed_hash
        self._older = older
        self._learn = learn
        self._until: dict[UUID, int] = {}  # keys whose organisation's plan ends, and when
        self._pepper = os.urandom(32)
        self._near: dict[bytes, Entry] = {}  # by a hash of this process alone, three times cheaper than the stored one
        self._keys_max = keys_max
        # Up to here nobody is near to being dropped, so the order of use is not kept: most workers never pass it.
        self._roomy = keys_max // 2
        self._now = now
        self._entries: OrderedDict[bytes, Entry] = OrderedDict()  # least recently used first
        self._hashes: dict[UUID, set[bytes]] = {}
        self.shares: Shares | None = None  # with the other workers of the machine, where there are any
        self._limiters: dict[UUID, Limiter] = {}
        self._unknown: dict[bytes, float] = {}
        self._asking: dict[bytes, asyncio.Task[Entry | None]] = {}
        self._changes = 0

    def near(self, secret: bytes) -> bytes:
        """The hash by which ``again`` knows a key."""
        return blake2b(secret, key=self._pepper, digest_size=32).digest()

    def again(self, near: bytes) -> Entry | None:
        """The entry of a key that was ``known`` before, by its hash; None: see ``known``."""
        entry = self._near.get(near)
        if entry is not None:
            entry.used = True
            if len(self._entries) > self._roomy:
                self._entries.move_to_end(entry.hashed)
        return entry

    def known(self, secret: bytes) -> Entry | None:
        """The entry of a key, None when the database has to be asked. Raises Unauthenticated."""
        near = self.near(secret)
        entry = self.again(near)
        if entry is not None:
            return entry
        hashed = self._hash(secret)
        entry = self._entries.get(hashed)
        if entry is not None:
            entry.used = True
            entry.near = near
            self._near[near] = entry
            self._entries.move_to_end(hashed)
            return entry
        if secret[:3] == b"rx_" and not well_formed(secret):
            raise Unauthenticated("The API key is not one of ours: its checksum is wrong. Copy it again in full.")
        until = self._unknown.get(hashed)
        if until is not None and until > self._now():
            raise Unauthenticated(UNKNOWN)
        return None

    async def look_up(self, secret: bytes) -> Entry:
        """Ask the database, once however many calls wait. Raises Unauthenticated, Unavailable."""
        hashed = self._hash(secret)
        task = self._asking.get(hashed)
        if task is None:
            task = self._asking[hashed] = asyncio.create_task(self._ask(hashed, self._older(secret)))
            task.add_done_callback(lambda _: self._asking.pop(hashed, None))
        entry = await asyncio.shield(task)
        if entry is None:
            raise Unauthenticated(UNKNOWN)
        return entry

    async def _ask(self, hashed: bytes, older: list[bytes]) -> Entry | None:
        while True:
            changes = self._changes
            grant = await self._find(hashed)
            for before in older:  # by the peppers that are not written by any more
                grant = grant or await self._find(before)
            own = await self.owned(grant)
            if changes == self._changes:  # else: what was read may be older than the change that was told meanwhile
                break
        if grant is None:
            if len(self._unknown) >= self._keys_max:
                self._unknown.clear()
            self._unknown[hashed] = self._now() + bounds.KEY_UNKNOWN_REMEMBERED_S
            return None
        entry = self.entry_of(hashed, grant, own)
        entry.used = True
        if grant.book_until_ms is not None:
            self._until[grant.key_id] = grant.book_until_ms
        self._unknown.pop(hashed, None)
        before = self._entries.pop(hashed, None)
        if before is not None:  # asked twice: what is known by the cheap hash must be what ``forget`` finds
            self._near.pop(before.near, None)
        self._entries[hashed] = entry
        self._hashes.setdefault(grant.key_id, set()).add(hashed)
        while len(self._entries) > self._keys_max:
            oldest, gone = self._entries.popitem(last=False)
            self._drop(oldest, gone)
        return entry

    async def owned(self, grant: Grant | None) -> Owned | None:
        """The own provider keys of a grant's organisation, opened. Raises NotFound, Unavailable."""
        if grant is None or not grant.own_keys or self._learn is None:
            return None
        return await self._learn(grant)

    def entry_of(self, hashed: bytes, grant: Grant, owned: Owned | None = None) -> Entry:
        """An entry for a grant, with the key's one limiter; hashed: b'' when no secret was shown."""
        own = Limits(grant.requests_per_minute, grant.tokens_per_minute, grant.concurrency)
        limiter = self._limiter(grant.key_id, own, "This key")
        organisation, member = grant.organisation, grant.member
        if member is None and organisation is UNLIMITED:
            return Entry(hashed, grant, limiter, own=owned)
        limiters = [limiter]
        wider: list[UUID] = []
        if member is not None:
            wider.append(member[0])
            limiters.append(self._limiter(*member, "The member who made this key"))
        if any(limit is not None for limit in msgspec.structs.astuple(organisation)[:3]):
            wider.append(grant.organisation_id)
            limiters.append(self._limiter(grant.organisation_id, organisation, "This organisation"))
        by_model: dict[str, Limiter] = {}
        for name, limits in organisation.models.items():
            wider.append(uuid5(grant.organisation_id, name))
            by_model[name] = self._limiter(wider[-1], limits, f"This organisation, of {name},")
        joint = limiter if len(limiters) == 1 else Joint(limiters, self._now)
        return Entry(hashed, grant, joint, by_model or None, wider, owned)

    def _limiter(self, whose_id: UUID, limits: Limits, whose: str) -> Limiter:
        """The one limiter of that id, with these limits from now on."""
        three = (limits.requests_per_minute, limits.tokens_per_minute, limits.concurrency)
        limiter = self._limiters.get(whose_id)
        if limiter is None:
            shares = self.shares
            limiter = self._limiters[whose_id] = (
                Limiter(*three, self._now, whose) if shares is None else shares.limiter(whose_id, three, whose)
            )
        else:
            limiter.change(*three)
        return limiter

    def forget(self, key_id: UUID) -> None:
        """Something about the key changed: ask again at its next use."""
        self._changes += 1
        self._unknown.clear()
        self._until.pop(key_id, None)
        for hashed in self._hashes.pop(key_id, ()):
            entry = self._entries.pop(hashed, None)
            if entry is not None:
                self._near.pop(entry.near, None)

    def turn(self, now_ms: int) -> None:
        """Forget the keys of organisations whose plan has changed by its date."""
        for key_id in [key_id for key_id, until in self._until.items() if until <= now_ms]:
            self.forget(key_id)

    def notice(self, payload: str) -> None:
        """NOTIFY ``key_revoked``: 32 hex digits of a key's id."""
        try:
            self.forget(UUID(payload))
        except ValueError:
            return

    def take_used(self) -> list[UUID]:
        """The keys used since the last time."""
        found = [entry for entry in self._entries.values() if entry.used]
        for entry in found:
            entry.used = False
        return [entry.grant.key_id for entry in found]

    def share(self) -> None:
        """Every second: tell the other workers where each key stands."""
        if self.shares is not None:
            self.shares.tick(self._limiters.values())

    def tidy(self) -> None:
        """Let go of limiters of keys that are not known any more and have nothing running."""
        kept = {wider for entry in self._entries.values() for wider in entry.wider}
        for key_id, limiter in list(self._limiters.items()):
            if key_id not in self._hashes and key_id not in kept and limiter.inside == 0 and limiter.idle():
                del self._limiters[key_id]

    def _drop(self, hashed: bytes, entry: Entry) -> None:
        self._near.pop(entry.near, None)
        hashes = self._hashes.get(entry.grant.key_id)
        if hashes is not None:
            hashes.discard(hashed)
            if not hashes:
                del self._hashes[entry.grant.key_id]
                self._until.pop(entry.grant.key_id, None)

    def __len__(self) -> int:
        return len(self._entries)
