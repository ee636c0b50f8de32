"""Two small real HTTP servers that speak what AWS KMS and Google Cloud KMS document, and nothing more.

Each checks who asks by its own means: AWS's signature is computed anew from what arrived, Google's token is verified by
Google's own library.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import time
import uuid
from base64 import b64decode, b64encode
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import serialization as encodings
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from google.auth import jwt

from key_servers import Said, Speaker

REGION = "eu-central-1"
ACCESS, SECRET, SESSION = "AKIDCANARY5D1C", "canary/secret+5d1c", "canary-session-5d1c=="
RING = "projects/canary-1/locations/europe-west3/keyRings/ruxa"


@cache
def rsa_key(bits: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def _pem() -> str:
    plain = encodings.NoEncryption()
    return rsa_key(2048).private_bytes(encodings.Encoding.PEM, encodings.PrivateFormat.PKCS8, plain).decode()


def service_account() -> str:
    """A service account's key file, as Google gives it."""
    return json.dumps(
        {
            "type": "service_account",
            "project_id": "canary-1",
            "private_key_id": "kid-5d1c",
            "private_key": _pem(),
            "client_email": "ruxa@canary-1.iam.gserviceaccount.com",
            "client_id": "1",
            "token_uri": "https://oauth2.googleapis.com/token",
        }
    )


class Aws(Speaker):
    """KMS in one region, as its API reference has it."""

    def __init__(self) -> None:
        super().__init__()
        self.keys: dict[str, dict[str, Any]] = {}
        self.aliases: dict[str, dict[str, Any]] = {}
        self.deaf = False
        self.origin = "EXTERNAL"
        self.late = 0  # so many more questions for what was just made find nothing yet
        self.contexts: list[dict[str, str]] = []

    def answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Said:
        assert (method, target) == ("POST", "/")
        assert headers["content-type"] == "application/x-amz-json-1.1"
        action = headers["x-amz-target"].removeprefix("TrentService.")
        self.seen.append(action)
        if not self._signed(headers, body):
            return _fault("com.amazon.coral.service#InvalidSignatureException")
        if self.busy:
            self.busy -= 1
            return _fault("ThrottlingException")
        if self.deny == action:
            return _fault("AccessDeniedException")
        return getattr(self, f"_{action}")(json.loads(body))

    def _signed(self, headers: dict[str, str], body: bytes) -> bool:
        scheme, _, rest = headers["authorization"].partition(" ")
        parts = dict(part.split("=", 1) for part in rest.split(", "))
        access, day, region, service, end = parts["Credential"].split("/")
        names = parts["SignedHeaders"].split(";")
        stamp = headers["x-amz-date"]
        at = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        whole = (scheme, access, region, service, end) == ("AWS4-HMAC-SHA256", ACCESS, REGION, "kms", "aws4_request")
        if not whole or not stamp.startswith(day) or abs(datetime.now(UTC) - at) > timedelta(minutes=5):
            return False
        if not {"host", "x-amz-date", "x-amz-target", "x-amz-security-token"} <= set(names):
            return False
        if headers["x-amz-security-token"] != SESSION:
            return False
        canonical = "POST\n/\n\n" + "".join(f"{name}:{headers[name]}\n" for name in names)
        canonical += f"\n{';'.join(names)}\n{hashlib.sha256(body).hexdigest()}"
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        text = f"AWS4-HMAC-SHA256\n{stamp}\n{day}/{region}/{service}/{end}\n{digest}"
        key = ("AWS4" + SECRET).encode()
        for step in (day, region, service, end):
            key = hmac.new(key, step.encode(), hashlib.sha256).digest()
        return hmac.compare_digest(hmac.new(key, text.encode(), hashlib.sha256).hexdigest(), parts["Signature"])

    def _find(self, name: str) -> dict[str, Any] | None:
        if self.late:
            self.late -= 1
            return None
        if name.startswith("alias/"):
            name = self.aliases.get(name, {}).get("TargetKeyId", "")
        return self.keys.get(name)

    def _CreateKey(self, asked: dict[str, Any]) -> Said:
        assert asked["KeySpec"] == "SYMMETRIC_DEFAULT"
        assert asked["KeyUsage"] == "ENCRYPT_DECRYPT"
        assert asked["Origin"] == "EXTERNAL"
        arn = f"arn:aws:kms:{REGION}:111122223333:key/{uuid.uuid4()}"
        self.keys[arn] = {"Arn": arn, "KeyState": "PendingImport", "Origin": self.origin, "tags": asked["Tags"]}
        return 200, {"KeyMetadata": _shown(self.keys[arn])}

    def _CreateAlias(self, asked: dict[str, Any]) -> Said:
        name, arn = asked["AliasName"], asked["TargetKeyId"]
        if self._find(arn) is None:
            return _fault("NotFoundException")
        if name in self.aliases:
            return _fault("AlreadyExistsException")
        self.aliases[name] = {"AliasName": name, "TargetKeyId": arn, "CreationDate": time.time()}
        return 200, {}

    def _DescribeKey(self, asked: dict[str, Any]) -> Said:
        key = self._find(asked["KeyId"])
        return _fault("NotFoundException") if key is None else (200, {"KeyMetadata": _shown(key)})

    def _GetParametersForImport(self, asked: dict[str, Any]) -> Said:
        assert (asked["WrappingAlgorithm"], asked["WrappingKeySpec"]) == ("RSAES_OAEP_SHA_256", "RSA_4096")
        public = rsa_key(4096).public_key()
        der = public.public_bytes(encodings.Encoding.DER, encodings.PublicFormat.SubjectPublicKeyInfo)
        token = b64encode(asked["KeyId"].encode()).decode()
        return 200, {"KeyId": asked["KeyId"], "ImportToken": token, "PublicKey": b64encode(der).decode()}

    def _ImportKeyMaterial(self, asked: dict[str, Any]) -> Said:
        assert b64decode(asked["ImportToken"]).decode() == asked["KeyId"]
        assert asked["ExpirationModel"] == "KEY_MATERIAL_DOES_NOT_EXPIRE"
        oaep = OAEP(MGF1(SHA256()), SHA256(), None)
        material = rsa_key(4096).decrypt(b64decode(asked["EncryptedKeyMaterial"]), oaep)
        key = self.keys[asked["KeyId"]]
        if len(material) != 32 or key.get("first", material) != material:
            return _fault("IncorrectKeyMaterialException")
        key.update(material=material, first=material, KeyState="Enabled")
        return 200, {}

    def _DeleteImportedKeyMaterial(self, asked: dict[str, Any]) -> Said:
        key = self.keys[asked["KeyId"]]
        if not self.deaf:
            key["material"] = None
            if key["KeyState"] != "PendingDeletion":
                key["KeyState"] = "PendingImport"
        return 200, {"KeyId": asked["KeyId"]}

    def _ScheduleKeyDeletion(self, asked: dict[str, Any]) -> Said:
        assert asked["PendingWindowInDays"] == 7
        key = self.keys[asked["KeyId"]]
        if key["KeyState"] == "PendingDeletion":
            return _fault("KMSInvalidStateException")
        key["KeyState"] = "PendingDeletion"
        return 200, {"KeyId": asked["KeyId"], "KeyState": "PendingDeletion", "PendingWindowInDays": 7}

    def _ListAliases(self, asked: dict[str, Any]) -> Said:
        # Two a page, whatever was asked for: a page may always be shorter.
        start = int(asked.get("Marker", 0))
        listed = list(self.aliases.values())
        more = len(listed) > start + 2
        return 200, {
            "Aliases": listed[start : start + 2], "Truncated": more, **({"NextMarker": str(start + 2)} if more else {})
        }  # fmt: skip

    def _crypt(self, asked: dict[str, Any]) -> tuple[AESGCM | None, bytes, Said]:
        key = self._find(asked["KeyId"])
        if key is None:
            return None, b"", _fault("NotFoundException")
        if key["KeyState"] != "Enabled":
            named = "DisabledException" if key["KeyState"] == "Disabled" else "KMSInvalidStateException"
            return None, b"", _fault(named)
        self.contexts.append(asked["EncryptionContext"])
        return AESGCM(key["material"]), json.dumps(sorted(asked["EncryptionContext"].items())).encode(), (200, {})

    def _Encrypt(self, asked: dict[str, Any]) -> Said:
        key, context, fault = self._crypt(asked)
        if key is None:
            return fault
        nonce = os.urandom(12)
        sealed = nonce + key.encrypt(nonce, b64decode(asked["Plaintext"]), context)
        return 200, {"CiphertextBlob": b64encode(sealed).decode(), "KeyId": asked["KeyId"]}

    def _Decrypt(self, asked: dict[str, Any]) -> Said:
        key, context, fault = self._crypt(asked)
        if key is None:
            return fault
        sealed = b64decode(asked["CiphertextBlob"])
        try:
            plain = key.decrypt(sealed[:12], sealed[12:], context)
        except InvalidTag:
            return _fault("InvalidCiphertextException")
        return 200, {"Plaintext": b64encode(plain).decode(), "KeyId": asked["KeyId"]}


def _fault(name: str) -> Said:
    return 400, {"__type": name, "message": "no"}


def _shown(key: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in key.items() if name not in ("material", "first", "tags")}


class Google(Speaker):
    """Cloud KMS v1 over REST, and the metadata server's token."""

    machine = "ya29.canary-5d1c"

    def __init__(self) -> None:
        super().__init__()
        self.keys: dict[str, dict[str, Any]] = {}
        self.tokens = 0
        self.waits = ""  # an organisation's policy: another wait than was asked for
        self.deaf = False

    def answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Said:
        assert method in ("GET", "POST")
        parts = urlsplit(target)
        if parts.path == "/computeMetadata/v1/instance/service-accounts/default/token":
            if headers.get("metadata-flavor") != "Google":
                return 403, {}
            self.tokens += 1
            return 200, {"access_token": self.machine, "expires_in": 3599, "token_type": "Bearer"}
        self.seen.append(f"{method} {parts.path}")
        if not self._known(headers.get("authorization", "")):
            return _error(401, "UNAUTHENTICATED")
        if self.busy:
            self.busy -= 1
            return _error(429, "RESOURCE_EXHAUSTED")
        if self.deny and self.deny in target:
            return _error(403, "PERMISSION_DENIED")
        path = parts.path.removeprefix("/v1/")
        asked: dict[str, Any] = json.loads(body) if body else {}
        query = parse_qs(parts.query)
        if path == f"{RING}/cryptoKeys":
            return self._create(query["cryptoKeyId"][0], asked) if method == "POST" else self._list(query)
        name, _, verb = path.partition(":")
        name, _, version = name.partition("/cryptoKeyVersions/")
        key = self.keys.get(name)
        if key is None or version not in ("", "1"):
            return _error(404, "NOT_FOUND")
        if verb in ("encrypt", "decrypt"):
            return self._crypt(key, verb, asked)
        if version and verb == "destroy" and not self.deaf:
            if key["state"] not in ("ENABLED", "DISABLED"):
                return _error(400, "FAILED_PRECONDITION")
            wait = timedelta(seconds=int(key["destroyScheduledDuration"][:-1]))
            key.update(state="DESTROY_SCHEDULED", destroyTime=_stamp(datetime.now(UTC) + wait))
        return 200, self._version(key)

    def _known(self, authorization: str) -> bool:
        token = authorization.removeprefix("Bearer ")
        if token == self.machine:
            return True
        public = rsa_key(2048).public_key()
        pem = public.public_bytes(encodings.Encoding.PEM, encodings.PublicFormat.SubjectPublicKeyInfo)
        try:
            claims: dict[str, Any] = cast(Any, jwt).decode(
                token, certs=pem, audience="https://cloudkms.googleapis.com/"
            )
        except ValueError:
            return False
        return claims["iss"] == claims["sub"] == "ruxa@canary-1.iam.gserviceaccount.com"

    def _create(self, key_id: str, asked: dict[str, Any]) -> Said:
        assert asked["purpose"] == "ENCRYPT_DECRYPT"
        assert asked["versionTemplate"]["algorithm"] == "GOOGLE_SYMMETRIC_ENCRYPTION"
        assert len(key_id) <= 63
        name = f"{RING}/cryptoKeys/{key_id}"
        if name in self.keys:
            return _error(409, "ALREADY_EXISTS")
        self.keys[name] = {
            "name": name, "state": "ENABLED", "secret": os.urandom(32), "createTime": _stamp(datetime.now(UTC)),
            "destroyScheduledDuration": self.waits or asked["destroyScheduledDuration"],
        }  # fmt: skip
        return 200, self._shown(self.keys[name])

    def _list(self, query: dict[str, list[str]]) -> Said:
        start = int(query.get("pageToken", ["0"])[0])
        listed = [self._shown(key) for key in self.keys.values()]
        more = {"nextPageToken": str(start + 2)} if len(listed) > start + 2 else {}
        return 200, {**({"cryptoKeys": listed[start : start + 2]} if listed else {}), "totalSize": len(listed), **more}

    def _crypt(self, key: dict[str, Any], verb: str, asked: dict[str, Any]) -> Said:
        if key["state"] != "ENABLED":
            return _error(400, "FAILED_PRECONDITION")
        bound_to, secret = b64decode(asked["additionalAuthenticatedData"]), AESGCM(key["secret"])
        if verb == "encrypt":
            nonce = os.urandom(12)
            sealed = nonce + secret.encrypt(nonce, b64decode(asked["plaintext"]), bound_to)
            return 200, {"name": f"{key['name']}/cryptoKeyVersions/1", "ciphertext": b64encode(sealed).decode()}
        sealed = b64decode(asked["ciphertext"])
        try:
            plain = secret.decrypt(sealed[:12], sealed[12:], bound_to)
        except InvalidTag:
            return _error(400, "INVALID_ARGUMENT")
        return 200, {"plaintext": b64encode(plain).decode()}

    def _version(self, key: dict[str, Any]) -> dict[str, Any]:
        shown = {"name": f"{key['name']}/cryptoKeyVersions/1", "state": key["state"], "protectionLevel": "SOFTWARE"}
        return shown | ({"destroyTime": key["destroyTime"]} if "destroyTime" in key else {})

    def _shown(self, key: dict[str, Any]) -> dict[str, Any]:
        fields = ("name", "createTime", "destroyScheduledDuration")
        return {field: key[field] for field in fields} | {"primary": self._version(key), "purpose": "ENCRYPT_DECRYPT"}


def _error(status: int, word: str) -> Said:
    return status, {"error": {"code": status, "message": "no", "status": word}}


def _stamp(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.123456789Z")
