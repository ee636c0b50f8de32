"""Epoch keys wrapped by AWS KMS: one key per epoch whose material is imported, so that it can be deleted at once (D28).

A key that KMS made itself is deleted after 7 days at the earliest, which would double an epoch. Imported material is
deleted when we say so (DeleteImportedKeyMaterial): it is made here at random, handed over encrypted for KMS and
forgotten, so nobody can import it a second time. The empty key is scheduled for deletion afterwards and goes 7 days
later with its alias. Used as AWS's API reference has it (JSON 1.1, TrentService).
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import Any, Final, cast
from uuid import UUID

import msgspec
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from ruxa.egress import keyserver, places, sigv4
from ruxa.egress.keyserver import STRAY_AGE_S, Json, KeyServer, Patience
from ruxa.egress.recipient import Register
from ruxa.egress.sigv4 import Credentials
from ruxa.kernel import crypto
from ruxa.kernel.clock import Clock
from ruxa.kernel.custody import Assurance

PROVIDER: Final = "aws"
_MARK: Final = "aws1:"
_GONE: Final = frozenset({"PendingDeletion", "PendingImport"})
_BUSY: Final = frozenset({"ThrottlingException", "KMSInternalException", "DependencyTimeoutException"})
# What was changed a moment ago may not be known everywhere yet.
_NOT_YET: Final = frozenset({"NotFoundException", "KMSInvalidStateException"})
_OAEP: Final = OAEP(MGF1(SHA256()), SHA256(), None)


class AwsKms:
    """KMS in one region. Its keys have the aliases ``alias/ruxa-<instance>-<epoch>``, so instances can share one.

    credentials: reads them, at each call, so that whoever renews them may write them where they lie.
    """

    def __init__(
        self,
        region: str,
        *,
        credentials: Callable[[], Credentials],
        instance: UUID,
        register: Register,
        url: str | None = None,
        where: str = "unknown",
        pause_s: float = 0.3,
    ) -> None:
        """url: another endpoint than the region's public one. Raises InvalidCall ``bad_setting`` for a bad one."""
        place = places.at(url or f"https://kms.{region}.amazonaws.com", "epoch_keys.aws_url")
        self.assurance = Assurance(
            provider=PROVIDER,
            level="L2",
            where=f"{place.shown} {region}",
            limit="AWS says that it deleted its key's material; what its own systems keep is for AWS to answer for.",
        )
        self._server = KeyServer(PROVIDER, "Amazon Web Services", register=register, where=where)
        self._server.allow(place.origin)
        self._origin = place.origin
        self._region = region
        self._credentials = credentials
        self._instance = instance.hex
        self._prefix = f"alias/ruxa-{instance.hex}-"
        self._pause_s = pause_s

    async def create(self, epoch: UUID) -> bytes:
        """See EpochKeys."""
        asked = {
            "Description": "Ruxa: the key of an epoch",
            "KeyUsage": "ENCRYPT_DECRYPT",
            "KeySpec": "SYMMETRIC_DEFAULT",
            "Origin": "EXTERNAL",
            "Tags": [{"TagKey": "ruxa", "TagValue": self._instance}],
        }
        made = _metadata(await self._do("CreateKey", asked))
        arn = str(made.get("Arn", ""))
        if made.get("Origin") != "EXTERNAL" or not arn:
            raise self._server.refused("made another key than it was asked for")
        # Named before there is anything in it: what a crash leaves behind is found by its name.
        await self._do("CreateAlias", {"AliasName": self._prefix + epoch.hex, "TargetKeyId": arn}, _NOT_YET)
        await self._fill(arn)
        key = crypto.fresh_key()
        said = await self._do(
            "Encrypt",
            {"KeyId": arn, "Plaintext": b64encode(key).decode(), "EncryptionContext": self._bound_to(epoch)},
            _NOT_YET,
        )
        wrapped = f"{_MARK}{arn}|{said.get('CiphertextBlob', '')}".encode()
        # What is wrapped next cannot be opened without this: see that it comes back.
        if await self.read(epoch, wrapped) != key:
            raise self._server.refused("did not give back what it had encrypted")
        return wrapped

    async def _fill(self, arn: str) -> None:
        """Imports material that exists nowhere else."""
        asked = {"KeyId": arn, "WrappingAlgorithm": "RSAES_OAEP_SHA_256", "WrappingKeySpec": "RSA_4096"}
        given = await self._do("GetParametersForImport", asked, _NOT_YET)
        try:
            public = load_der_public_key(b64decode(str(given.get("PublicKey", ""))))
        except ValueError:
            public = None
        if not isinstance(public, RSAPublicKey) or public.key_size != 4096:
            raise self._server.refused("gave no key to import with")
        await self._do(
            "ImportKeyMaterial",
            {
                "KeyId": arn,
                "ImportToken": given.get("ImportToken"),
                "EncryptedKeyMaterial": b64encode(public.encrypt(crypto.fresh_key(), _OAEP)).decode(),
                "ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE",
            },
            _NOT_YET,
        )

    async def read(self, epoch: UUID, wrapped: bytes | None) -> bytes | None:
        """See EpochKeys."""
        arn, sealed = self._parts(wrapped)
        if arn is None:
            return None
        asked = {"KeyId": arn, "CiphertextBlob": sealed, "EncryptionContext": self._bound_to(epoch)}
        fault, said = await self._ask("Decrypt", asked)
        if fault in _NOT_YET:
            found = await self._describe(arn)
            if found is None or found.get("KeyState") in _GONE:
                return None
        if fault:
            raise self._server.refused(f"answered {fault} to Decrypt")
        return self._server.key(said.get("Plaintext"))

    async def destroy(self, epoch: UUID, wrapped: bytes | None = None) -> None:
        """See EpochKeys."""
        arn = self._prefix + epoch.hex if wrapped is None else self._parts(wrapped)[0]
        found = None if arn is None else await self._describe(arn)
        if found is None:
            return
        arn, state = str(found.get("Arn", "")), str(found.get("KeyState", ""))
        if found.get("Origin") != "EXTERNAL":
            raise self._server.refused("names a key that was not made for this")
        if state != "PendingImport":
            fault, _ = await self._ask("DeleteImportedKeyMaterial", {"KeyId": arn})
            # In a key that is to be deleted there may be nothing left.
            if fault and not (state == "PendingDeletion" and fault == "KMSInvalidStateException"):
                raise self._server.refused(f"answered {fault} to DeleteImportedKeyMaterial")
        if state == "PendingDeletion":
            return
        patience = Patience(5, self._pause_s)
        while (await self._describe(arn) or {}).get("KeyState") not in _GONE:
            if not await patience.more():
                raise self._server.refused("still has the material that it was told to delete")
        await self._do("ScheduleKeyDeletion", {"KeyId": arn, "PendingWindowInDays": 7})

    async def strays(self, known: set[UUID]) -> list[UUID]:
        """See EpochKeys. A young key may belong to an epoch that is being recorded right now."""
        now_s = Clock().unix_ms() / 1000
        found: list[UUID] = []
        marker: dict[str, str] = {}
        while True:
            page = await self._do("ListAliases", {"Limit": 100, **marker})
            for alias in cast(list[Json], page.get("Aliases") or []):
                epoch = keyserver.epoch_of(str(alias.get("AliasName", "")), self._prefix)
                if epoch is None or epoch in known or now_s - float(alias.get("CreationDate", now_s)) <= STRAY_AGE_S:
                    continue
                state = (await self._describe(self._prefix + epoch.hex) or {}).get("KeyState")
                if state not in (None, "PendingDeletion"):
                    found.append(epoch)
            if not page.get("Truncated") or not page.get("NextMarker"):
                return found
            marker = {"Marker": str(page["NextMarker"])}

    async def close(self) -> None:
        """See EpochKeys."""
        await self._server.close()

    def _bound_to(self, epoch: UUID) -> dict[str, str]:
        """The encrypted key opens only as this epoch's. AWS writes this into its log: random ids, nothing else."""
        return {"ruxa": "epoch", "instance": self._instance, "epoch": epoch.hex}

    def _parts(self, wrapped: bytes | None) -> tuple[str | None, str]:
        """The key's ARN and the ciphertext; None when another provider made it. Raises Unavailable."""
        text = (wrapped or b"").decode("ascii", "replace")
        if not text.startswith(_MARK):
            return None, ""
        arn, _, sealed = text.removeprefix(_MARK).partition("|")
        # Asked in another region, KMS would say that there is no such key.
        if arn.split(":")[3:4] != [self._region]:
            raise self._server.refused("is in another region than the key of this epoch")
        return arn, sealed

    async def _describe(self, key: str) -> Json | None:
        """What is known of a key, by ARN or alias; None when there is none."""
        fault, said = await self._ask("DescribeKey", {"KeyId": key})
        if fault == "NotFoundException":
            return None
        if fault:
            raise self._server.refused(f"answered {fault} to DescribeKey")
        return _metadata(said)

    async def _do(self, action: str, body: Json, again: frozenset[str] = frozenset()) -> Json:
        patience = Patience(5, self._pause_s)
        while True:
            fault, said = await self._ask(action, body)
            if not fault:
                return said
            if fault not in again or not await patience.more():
                raise self._server.refused(f"answered {fault} to {action}")

    async def _ask(self, action: str, body: Json) -> tuple[str, Json]:
        """The error's name ("" for none) and the answer. Raises Unavailable ``keys_away``."""
        text = msgspec.json.encode(body)
        patience = Patience(3, self._pause_s)
        while True:
            headers = sigv4.signed(
                "POST",
                "/",
                {
                    "host": self._origin.authority,
                    "content-type": "application/x-amz-json-1.1",
                    "x-amz-target": f"TrentService.{action}",
                },
                text,
                credentials=self._credentials(),
                region=self._region,
                service="kms",
                at=Clock().now(),
            )
            del headers["host"]  # the client writes it
            status, said = await self._server.ask(self._origin, "POST", "/", headers, text)
            if status == 200:
                return "", said
            fault = str(said.get("__type", "")).rpartition("#")[2] or f"status {status}"
            if (fault not in _BUSY and status < 500) or not await patience.more():
                return fault, {}


def _metadata(said: Json) -> dict[str, Any]:
    found = said.get("KeyMetadata")
    return cast(dict[str, Any], found) if isinstance(found, dict) else {}
