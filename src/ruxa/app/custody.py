"""Which provider keeps this installation's epoch keys, and the way from one to another while it serves (D28)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from uuid import UUID

import msgspec

from ruxa.app import database
from ruxa.app.instance import Instance
from ruxa.egress import aws_kms, google_kms, openbao
from ruxa.egress.aws_kms import AwsKms
from ruxa.egress.google_kms import GoogleKms
from ruxa.egress.openbao import OpenBao
from ruxa.egress.recipient import Register
from ruxa.egress.sigv4 import Credentials
from ruxa.kernel.custody import EpochKeys
from ruxa.kernel.errors import InvalidCall
from ruxa.kernel.settings import EpochKeySettings, Settings, read_secret
from ruxa.store.epochs import EpochDirectory

_REGION = re.compile(r"[a-z]{2,4}(-[a-z]+)+-\d{1,2}\Z")


class Moving:
    """New epochs at one provider, older ones still at another: the next rotation ends the move."""

    def __init__(self, now: EpochKeys, before: Sequence[EpochKeys]) -> None:
        self._now = now
        self._all = (now, *before)
        # The epoch that is at the other one still must have ended in time too.
        waits_h = max(one.assurance.waits_h for one in self._all)
        self.assurance = msgspec.structs.replace(now.assurance, waits_h=waits_h)

    async def create(self, epoch: UUID) -> bytes | None:
        """See EpochKeys."""
        return await self._now.create(epoch)

    async def read(self, epoch: UUID, wrapped: bytes | None) -> bytes | None:
        """See EpochKeys."""
        for one in self._all:
            key = await one.read(epoch, wrapped)
            if key is not None:
                return key
        return None

    async def destroy(self, epoch: UUID, wrapped: bytes | None = None) -> None:
        """See EpochKeys. Wherever it is, it is gone from all afterwards."""
        for one in self._all:
            await one.destroy(epoch, wrapped)

    async def strays(self, known: set[UUID]) -> list[UUID]:
        """See EpochKeys."""
        return [epoch for one in self._all for epoch in await one.strays(known)]

    async def close(self) -> None:
        """See EpochKeys."""
        for one in self._all:
            await one.close()


def epoch_keys(settings: Settings, found: Instance, register: Register) -> EpochKeys:
    """The provider that ``[epoch_keys]`` names. While other key servers are named too, they are read.

    Raises InvalidCall when the settings of the keeper are not whole.
    """
    wanted = settings.epoch_keys
    directory = EpochDirectory(database.keys_of(settings, found))
    known: dict[str, EpochKeys] = {directory.assurance.provider: directory}
    for server in (
        _openbao(wanted, found.id, register),
        _aws(wanted, found.id, register),
        _google(wanted, found.id, register),
    ):
        if server is not None:
            known[server.assurance.provider] = server
    if wanted.keeper not in known:
        raise InvalidCall(f"epoch_keys.keeper {wanted.keeper} needs {_NEEDS[wanted.keeper]}.", code="bad_setting")
    now = known.pop(wanted.keeper)
    return Moving(now, tuple(known.values())) if known else now


_NEEDS = {
    openbao.PROVIDER: "epoch_keys.url and token",
    aws_kms.PROVIDER: "epoch_keys.aws_region, aws_access_key and aws_secret_key",
    google_kms.PROVIDER: "epoch_keys.google_key_ring",
}


def _openbao(wanted: EpochKeySettings, instance: UUID, register: Register) -> OpenBao | None:
    if wanted.url is None or wanted.token is None:
        return None
    reference = wanted.token
    return OpenBao(
        wanted.url,
        token=lambda: read_secret(reference),
        instance=instance,
        register=register,
        mount=wanted.mount,
        namespace=wanted.namespace,
        ca=wanted.ca,
        where=wanted.where,
    )


def _aws(wanted: EpochKeySettings, instance: UUID, register: Register) -> AwsKms | None:
    access, secret, session = wanted.aws_access_key, wanted.aws_secret_key, wanted.aws_session_token
    if wanted.aws_region is None or access is None or secret is None:
        return None
    if not _REGION.match(wanted.aws_region):
        raise InvalidCall("epoch_keys.aws_region must be a region's name, as eu-central-1.", code="bad_setting")
    return AwsKms(
        wanted.aws_region,
        credentials=lambda: Credentials(
            read_secret(access), read_secret(secret), None if session is None else read_secret(session)
        ),
        instance=instance,
        register=register,
        url=wanted.aws_url,
        where=wanted.where,
    )


def _google(wanted: EpochKeySettings, instance: UUID, register: Register) -> GoogleKms | None:
    if wanted.google_key_ring is None:
        return None
    reference = wanted.google_credentials
    return GoogleKms(
        wanted.google_key_ring,
        credentials=None if reference is None else lambda: read_secret(reference),
        instance=instance,
        register=register,
        url=wanted.google_url,
        where=wanted.where,
    )
