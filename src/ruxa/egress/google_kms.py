"""Epoch keys wrapped by Google's Cloud KMS: one key per epoch, destroyed 24 hours after it was told to be (D28).

24 hours is the shortest that Cloud KMS offers for keys it makes itself; until then somebody with the right to restore
could bring the key back. Every epoch is a day shorter for it, so 7 days hold. A key's name can never be deleted or
used again; its versions are. Used as Google's API reference has it (Cloud KMS v1, REST).
"""

from __future__ import annotations

import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast
from urllib.parse import quote
from uuid import UUID

import msgspec
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from ruxa.egress import keyserver, places
from ruxa.egress.http import Origin
from ruxa.egress.keyserver import STRAY_AGE_S, Json, KeyServer, Patience
from ruxa.egress.recipient import Register
from ruxa.kernel import crypto
from ruxa.kernel.clock import Clock, monotonic
from ruxa.kernel.custody import Assurance
from ruxa.kernel.errors import InvalidCall, Unavailable

PROVIDER: Final = "google"
WAITS_H: Final = 24
# Whom a service account's own token is for: the service, whatever host it is reached by.
AUDIENCE: Final = "https://cloudkms.googleapis.com/"
_MARK: Final = "google1:"
_RING: Final = re.compile(r"projects/[a-z0-9.:\-]+/locations/[a-z0-9\-]+/keyRings/[A-Za-z0-9_\-]{1,63}\Z")
_LIVING: Final = frozenset({"ENABLED", "DISABLED"})
_GONE: Final = frozenset({"DESTROY_SCHEDULED", "DESTROYED"})
_TOKEN_S: Final = 3000
_METADATA: Final = "http://metadata.google.internal"
_METADATA_PATH: Final = "/computeMetadata/v1/instance/service-accounts/default/token"


class ServiceAccount(msgspec.Struct, frozen=True):
    """The fields of a service account's key file that are used."""

    client_email: str
    private_key_id: str
    private_key: str

    def __repr__(self) -> str:
        return "<service account>"


class GoogleKms:
    """The key ring ``projects/P/locations/L/keyRings/R``. Its keys are named ``ruxa-<instance>-<epoch>``.

    credentials: reads a service account's key file, as JSON; None: the token of the machine's own service account,
    from the metadata server.
    """

    def __init__(
        self,
        key_ring: str,
        *,
        credentials: Callable[[], str] | None,
        instance: UUID,
        register: Register,
        url: str | None = None,
        metadata_url: str = _METADATA,
        where: str = "unknown",
        pause_s: float = 0.3,
    ) -> None:
        """url: another endpoint than the public one. Raises InvalidCall ``bad_setting``."""
        if not _RING.match(key_ring):
            raise InvalidCall(
                "epoch_keys.google_key_ring must be projects/P/locations/L/keyRings/R.", code="bad_setting"
            )
        place = places.at(url or AUDIENCE, "epoch_keys.google_url")
        self.assurance = Assurance(
            provider=PROVIDER,
            level="L2",
            where=f"{place.shown} {key_ring}",
            limit="Google destroys its key 24 hours after it was told to, and until then can restore it; what its own"
            " systems keep after that is for Google to answer for.",
            waits_h=WAITS_H,
        )
        self._server = KeyServer(PROVIDER, "Google Cloud", register=register, where=where)
        self._server.allow(place.origin)
        self._place = place
        self._ring = key_ring
        self._credentials = credentials
        self._metadata = None
        if credentials is None:
            # Google's own name, on the machine's own link: there is no TLS there.
            host, port = metadata_url.removeprefix("http://").partition(":")[::2]
            self._metadata = Origin(host=host, port=int(port or 80), tls=False)
            self._server.allow(self._metadata)
        # A name has 63 characters at most.
        self._prefix = f"ruxa-{instance.hex[-20:]}-"
        self._instance = instance.hex
        self._pause_s = pause_s
        self._token = ("", 0.0)

    async def create(self, epoch: UUID) -> bytes:
        """See EpochKeys."""
        asked = {
            "purpose": "ENCRYPT_DECRYPT",
            "versionTemplate": {"algorithm": "GOOGLE_SYMMETRIC_ENCRYPTION", "protectionLevel": "SOFTWARE"},
            "destroyScheduledDuration": f"{WAITS_H * 3600}s",
        }
        made = await self._do("POST", f"{self._ring}/cryptoKeys?cryptoKeyId={self._prefix}{epoch.hex}", asked)
        if made.get("destroyScheduledDuration") != asked["destroyScheduledDuration"] or "rotationPeriod" in made:
            raise self._server.refused("made another key than it was asked for")
        key = crypto.fresh_key()
        name = f"{self._ring}/cryptoKeys/{self._prefix}{epoch.hex}"
        said = await self._do(
            "POST",
            f"{name}:encrypt",
            {"plaintext": b64encode(key).decode(), "additionalAuthenticatedData": self._bound_to(epoch)},
        )
        version = str(said.get("name", ""))
        if version != f"{name}/cryptoKeyVersions/1":
            raise self._server.refused("encrypted by another key than it was asked to")
        wrapped = f"{_MARK}{version}|{said.get('ciphertext', '')}".encode()
        # What is wrapped next cannot be opened without this: see that it comes back.
        if await self.read(epoch, wrapped) != key:
            raise self._server.refused("did not give back what it had encrypted")
        return wrapped

    async def read(self, epoch: UUID, wrapped: bytes | None) -> bytes | None:
        """See EpochKeys."""
        version, sealed = self._parts(wrapped)
        if version is None:
            return None
        name = version.partition("/cryptoKeyVersions/")[0]
        asked = {"ciphertext": sealed, "additionalAuthenticatedData": self._bound_to(epoch)}
        status, said = await self._ask("POST", f"{name}:decrypt", asked)
        if status != 200:
            # A version that is not there, destroyed or about to be, and a bad ciphertext look alike.
            if status in (400, 404) and (await self._state(version) or "DESTROYED") in _GONE:
                return None
            raise self._server.refused(f"answered {status} to decrypt")
        return self._server.key(said.get("plaintext"))

    async def destroy(self, epoch: UUID, wrapped: bytes | None = None) -> None:
        """See EpochKeys. Google counts its 24 hours from here."""
        version = (
            f"{self._ring}/cryptoKeys/{self._prefix}{epoch.hex}/cryptoKeyVersions/1"
            if wrapped is None
            else self._parts(wrapped)[0]
        )
        if version is None:
            return
        state = await self._state(version)
        if state is None or state == "DESTROYED":
            return
        said = (
            await self._do("GET", version)
            if state == "DESTROY_SCHEDULED"
            else await self._do("POST", f"{version}:destroy", {})
        )
        if said.get("state") not in _GONE:
            raise self._server.refused("still has a key that it was told to destroy")
        due = str(said.get("destroyTime", ""))
        if said.get("state") == "DESTROY_SCHEDULED" and (
            not due or _at(due) - Clock().now() > timedelta(hours=WAITS_H, minutes=10)
        ):
            raise self._server.refused("keeps a key longer than it was told to")

    async def strays(self, known: set[UUID]) -> list[UUID]:
        """See EpochKeys. A young key may belong to an epoch that is being recorded right now."""
        found: list[UUID] = []
        start = f"{self._ring}/cryptoKeys/{self._prefix}"
        page = ""
        while True:
            said = await self._do("GET", f"{self._ring}/cryptoKeys?pageSize=500{page}")
            for one in cast(list[Json], said.get("cryptoKeys") or []):
                epoch = keyserver.epoch_of(str(one.get("name", "")), start)
                primary = cast(Json, one.get("primary") or {})
                if epoch is None or epoch in known or primary.get("state") not in _LIVING:
                    continue
                if Clock().now() - _at(str(one.get("createTime", ""))) > timedelta(seconds=STRAY_AGE_S):
                    found.append(epoch)
            token = said.get("nextPageToken")
            if not token:
                return found
            page = f"&pageToken={quote(str(token), safe='')}"

    async def close(self) -> None:
        """See EpochKeys."""
        await self._server.close()

    def _bound_to(self, epoch: UUID) -> str:
        """The encrypted key opens only as this epoch's."""
        return b64encode(f"ruxa1|epoch|{self._instance}|{epoch.hex}".encode()).decode()

    def _parts(self, wrapped: bytes | None) -> tuple[str | None, str]:
        """The version's name and the ciphertext; None when another provider made it."""
        text = (wrapped or b"").decode("ascii", "replace")
        if not text.startswith(_MARK):
            return None, ""
        version, _, sealed = text.removeprefix(_MARK).partition("|")
        return version, sealed

    async def _state(self, version: str) -> str | None:
        """A version's state; None when there is none."""
        status, said = await self._ask("GET", version)
        if status == 404:
            return None
        if status != 200:
            raise self._server.refused(f"answered {status} to a question for a key")
        return str(said.get("state", ""))

    async def _do(self, method: str, target: str, body: Mapping[str, object] | None = None) -> dict[str, Any]:
        status, said = await self._ask(method, target, body)
        if status != 200:
            raise self._server.refused(f"answered {status} to {method}")
        return said

    async def _ask(self, method: str, target: str, body: Mapping[str, object] | None = None) -> tuple[int, Json]:
        """Status and answer. Raises Unavailable ``keys_away``."""
        text = b"" if body is None else msgspec.json.encode(body)
        patience = Patience(3, self._pause_s)
        while True:
            headers = {"authorization": f"Bearer {await self._bearer()}", "accept": "application/json"}
            if body is not None:
                headers["content-type"] = "application/json"
            status, said = await self._server.ask(
                self._place.origin, method, f"{self._place.path}/v1/{target}", headers, text
            )
            if (status != 429 and status < 500) or not await patience.more():
                return status, said

    async def _bearer(self) -> str:
        token, until = self._token
        if token and monotonic() < until:
            return token
        if self._credentials is not None:
            token, lasts_s = _own_token(self._credentials()), _TOKEN_S
        else:
            token, lasts_s = await self._machine_token()
        self._token = token, monotonic() + lasts_s
        return token

    async def _machine_token(self) -> tuple[str, float]:
        assert self._metadata is not None, "asked for without credentials only"
        status, said = await self._server.ask(self._metadata, "GET", _METADATA_PATH, {"metadata-flavor": "Google"})
        token = said.get("access_token")
        if status != 200 or not isinstance(token, str):
            raise Unavailable(
                "The metadata server gives no token.", code="keys_away", detail=f"{PROVIDER} metadata {status}"
            )
        # It hands out the same token until shortly before its end.
        return token, max(0.0, float(said.get("expires_in") or 0) - 120)


def _own_token(text: str) -> str:
    """A token that the service account signs for this one service: no token server is asked. Raises InvalidCall."""
    try:
        account = msgspec.json.decode(text, type=ServiceAccount)
        key = load_pem_private_key(account.private_key.encode(), None)
    except (msgspec.MsgspecError, ValueError, TypeError):
        key = account = None
    if account is None or not isinstance(key, RSAPrivateKey):
        raise InvalidCall("epoch_keys.google_credentials is no service account's key file.", code="bad_setting")
    now_s = Clock().unix_ms() // 1000
    claims = {
        "iss": account.client_email,
        "sub": account.client_email,
        "aud": AUDIENCE,
        "iat": now_s,
        "exp": now_s + 3600,
    }
    head = {"alg": "RS256", "typ": "JWT", "kid": account.private_key_id}
    said = b".".join(urlsafe_b64encode(msgspec.json.encode(part)).rstrip(b"=") for part in (head, claims))
    signature = urlsafe_b64encode(key.sign(said, PKCS1v15(), SHA256())).rstrip(b"=")
    return (said + b"." + signature).decode()


def _at(text: str) -> datetime:
    """A moment as the API writes it, with nanoseconds at most; the whole second is enough."""
    try:
        return datetime.fromisoformat(f"{text[:19]}+00:00")
    except ValueError:
        return datetime.max.replace(tzinfo=UTC)
