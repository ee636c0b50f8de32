"""Owners: organisations that have provider keys of their own, as this worker knows them.

A key is opened when the first call of its organisation comes, lies in the heads of requests to its provider and nowhere
else, and is gone from memory once the entries of the organisation's keys are: they are forgotten by the same notice
that forgets a changed key, and calls under way hold theirs to their end.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from uuid import UUID
from weakref import WeakValueDictionary

from ruxa.access.grants import Grant, OwnKey
from ruxa.egress.provider import Provider
from ruxa.gateway.plan import Owned


class Owners:
    """One per worker. ``learn`` gives the same to all keys of an organisation as long as one of them holds it."""

    __slots__ = ("_held", "_opened", "_providers")

    def __init__(self, opened: Callable[[UUID, OwnKey], Awaitable[str]], providers: Mapping[str, Provider]) -> None:
        """opened: the secret of an organisation's key."""
        self._opened = opened
        self._providers = providers
        self._held: WeakValueDictionary[UUID, Owned] = WeakValueDictionary()

    async def learn(self, grant: Grant) -> Owned | None:
        """The organisation's own keys for the providers there are here; None without one. Raises NotFound
        ``key_destroyed``, Unavailable."""
        wanted = {own.provider: own for own in grant.own_keys if own.provider in self._providers}
        if not wanted:
            return None
        held = self._held.get(grant.organisation_id)
        if held is not None and held.keys == wanted:
            return held
        asked = {
            name: self._providers[name].with_key(await self._opened(grant.organisation_id, own))
            for name, own in wanted.items()
        }
        owned = self._held[grant.organisation_id] = Owned(wanted, asked)
        return owned
