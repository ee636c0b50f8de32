"""Epoch keys wrapped by OpenBao: one transit key per epoch, which is deleted when the epoch ends (D28).

The epoch's key is made here, encrypted by the transit key and kept, encrypted, in the epoch's row; OpenBao never gives
its own key away (not exportable, no plaintext backup), so deleting it there ends all that was wrapped here. Used as
documented in OpenBao's HTTP API (transit: keys, config, encrypt, decrypt, delete, list); Vault's is the same.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Mapping
from typing import Any, Final, cast
from uuid import UUID

import msgspec

from ruxa.egress import keyserver, places
from ruxa.egress.keyserver import STRAY_AGE_S, KeyServer
from ruxa.egress.recipient import Register
from ruxa.kernel import crypto
from ruxa.kernel.clock import Clock
from ruxa.kernel.custody import Assurance

PROVIDER: Final = "openbao"


class OpenBao:
    """The transit engine at ``mount``. Its keys are named ``ruxa-<instance>-<epoch>``, so instances can share one.

    token: reads the token, at each call, so that an agent may renew the file it lies in; it is never shown.
    """

    def __init__(
        self,
        url: str,
        *,
        token: Callable[[], str],
        instance: UUID,
        register: Register,
        mount: str = "transit",
        namespace: str | None = None,
        ca: str | None = None,
        where: str = "unknown",
    ) -> None:
        """Raises InvalidCall ``bad_setting`` for a URL that would send the token in the clear, or a bad ``ca``."""
        place = places.at(url, "epoch_keys.url")
        self.assurance = Assurance(
            provider=PROVIDER,
            level="L2",
            where=f"{place.shown} {mount}",
            limit="The key server says that it deleted its key; its own backups are for its operator to answer for.",
        )
        self._server = KeyServer(PROVIDER, "the operator's key server", register=register, where=where, ca=ca)
        self._server.allow(place.origin)
        self._origin = place.origin
        self._token = token
        self._namespace = namespace
        self._prefix = f"ruxa-{instance.hex}-"
        self._path = f"{place.path}/v1/{mount.strip('/')}"

    async def create(self, epoch: UUID) -> bytes:
        """See EpochKeys."""
        name = self._name(epoch)
        await self._do("POST", f"/keys/{name}", {"type": "aes256-gcm96"})
        await self._do("POST", f"/keys/{name}/config", {"deletion_allowed": True})
        data = await self._read(name)
        if data is None or data.get("exportable") or data.get("allow_plaintext_backup"):
            raise self._server.refused("made a key that could leave it")
        if not data.get("deletion_allowed"):
            raise self._server.refused("made a key that could not be deleted")
        key = crypto.fresh_key()
        made = await self._do("POST", f"/encrypt/{name}", {"plaintext": b64encode(key).decode(), **_bound_to(epoch)})
        wrapped = str(made.get("ciphertext", "")).encode()
        # What is wrapped next cannot be opened without this: see that it comes back.
        if not wrapped or await self.read(epoch, wrapped) != key:
            raise self._server.refused("did not give back what it had encrypted")
        return wrapped

    async def read(self, epoch: UUID, wrapped: bytes | None) -> bytes | None:
        """See EpochKeys."""
        if wrapped is None:
            return None
        name = self._name(epoch)
        status, data = await self._ask("POST", f"/decrypt/{name}", {"ciphertext": wrapped.decode(), **_bound_to(epoch)})
        if status == 200:
            return self._server.key(data.get("plaintext"))
        # A key that is not there and a value that is no ciphertext of it are both answered by 400.
        if status in (400, 404) and await self._read(name) is None:
            return None
        raise self._server.refused(f"answered {status} to decrypt")

    async def destroy(self, epoch: UUID, wrapped: bytes | None = None) -> None:
        """See EpochKeys."""
        name = self._name(epoch)
        if await self._read(name) is None:
            return
        await self._do("POST", f"/keys/{name}/config", {"deletion_allowed": True})
        await self._do("DELETE", f"/keys/{name}")
        if await self._read(name) is not None:
            raise self._server.refused("still has a key that it was told to delete")

    async def strays(self, known: set[UUID]) -> list[UUID]:
        """See EpochKeys. A young key may belong to an epoch that is being recorded right now."""
        status, listed = await self._ask("LIST", "/keys")
        if status == 404:
            return []
        if status != 200:
            raise self._server.refused(f"answered {status} to list")
        now_s = Clock().unix_ms() / 1000
        found: list[UUID] = []
        for name in cast(list[str], listed.get("keys") or []):
            epoch = keyserver.epoch_of(name, self._prefix)
            if epoch is None or epoch in known:
                continue
            data = await self._read(name)
            versions = cast(dict[str, float], (data or {}).get("keys", {}))
            made = max(versions.values(), default=now_s)
            if now_s - made > STRAY_AGE_S:
                found.append(epoch)
        return found

    async def close(self) -> None:
        """See EpochKeys."""
        await self._server.close()

    def _name(self, epoch: UUID) -> str:
        return self._prefix + epoch.hex

    async def _read(self, name: str) -> dict[str, Any] | None:
        """What is known of a key; None when there is none."""
        status, data = await self._ask("GET", f"/keys/{name}")
        if status == 404:
            return None
        if status != 200:
            raise self._server.refused(f"answered {status} to read")
        return data

    async def _do(self, method: str, path: str, body: Mapping[str, object] | None = None) -> dict[str, Any]:
        status, data = await self._ask(method, path, body)
        if status not in (200, 204):
            raise self._server.refused(f"answered {status} to {method} {path.split('/')[1]}")
        return data

    async def _ask(
        self, method: str, path: str, body: Mapping[str, object] | None = None
    ) -> tuple[int, dict[str, Any]]:
        """Status and ``data`` of the answer. Raises Unavailable ``keys_away``."""
        headers = {"x-vault-token": self._token(), "x-vault-request": "true", "accept": "application/json"}
        if self._namespace:
            headers["x-vault-namespace"] = self._namespace
        text = b""
        if body is not None:
            headers["content-type"] = "application/json"
            text = msgspec.json.encode(body)
        status, said = await self._server.ask(self._origin, method, self._path + path, headers, text)
        data = said.get("data")
        return status, cast(dict[str, Any], data) if isinstance(data, dict) else {}


def _bound_to(epoch: UUID) -> dict[str, str]:
    """The encrypted key opens only as this epoch's."""
    return {"associated_data": b64encode(b"ruxa1|epoch|" + epoch.hex.encode()).decode()}
