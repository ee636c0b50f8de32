"""Which provider keeps this installation's epoch keys, and the way from one to another while it serves (D28)."""

from __future__ import annotations

from uuid import UUID

from ruxa.app import database
from ruxa.app.instance import Instance
from ruxa.egress.openbao import OpenBao
from ruxa.egress.recipient import Register
from ruxa.kernel.custody import EpochKeys
from ruxa.kernel.errors import InvalidCall
from ruxa.kernel.settings import Settings, read_secret
from ruxa.store.epochs import EpochDirectory


class Moving:
    """New epochs at one provider, older ones still at the other: the next rotation ends the move."""

    def __init__(self, now: EpochKeys, before: EpochKeys) -> None:
        self.assurance = now.assurance
        self._now = now
        self._both = (now, before)

    async def create(self, epoch: UUID) -> bytes | None:
        """See EpochKeys."""
        return await self._now.create(epoch)

    async def read(self, epoch: UUID, wrapped: bytes | None) -> bytes | None:
        """See EpochKeys."""
        for one in self._both:
            key = await one.read(epoch, wrapped)
            if key is not None:
                return key
        return None

    async def destroy(self, epoch: UUID) -> None:
        """See EpochKeys. Wherever it is, it is gone from both afterwards."""
        for one in self._both:
            await one.destroy(epoch)

    async def strays(self, known: set[UUID]) -> list[UUID]:
        """See EpochKeys."""
        return [epoch for one in self._both for epoch in await one.strays(known)]

    async def close(self) -> None:
        """See EpochKeys."""
        for one in self._both:
            await one.close()


def epoch_keys(settings: Settings, found: Instance, register: Register) -> EpochKeys:
    """The provider that ``[epoch_keys]`` names. While a key server is named, both are read.

    Raises InvalidCall when the key server's settings are not whole.
    """
    directory = EpochDirectory(database.keys_of(settings, found))
    wanted = settings.epoch_keys
    if wanted.url is None or wanted.token is None:
        if wanted.keeper == "openbao":
            raise InvalidCall("epoch_keys.keeper openbao needs epoch_keys.url and token.", code="bad_setting")
        return directory
    reference = wanted.token
    server = OpenBao(
        wanted.url,
        token=lambda: read_secret(reference),
        instance=found.id,
        register=register,
        mount=wanted.mount,
        namespace=wanted.namespace,
        ca=wanted.ca,
        where=wanted.where,
    )
    return Moving(server, directory) if wanted.keeper == "openbao" else Moving(directory, server)
