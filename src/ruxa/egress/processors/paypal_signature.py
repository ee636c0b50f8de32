"""PayPal's signature of a webhook: RSA-SHA256 over transmission, time, our webhook's id and the body's CRC-32.

A CRC is no digest: a body can be changed and patched back to the same one. So the signature proves that PayPal sent
*something* to our webhook in this transmission, and nothing about what: a transmission is taken once, and the body's
ids are only where to look. The certificate's address must be PayPal's own, exactly; its chain must end in a pinned
root; its name must be that of PayPal's signer.
"""

from __future__ import annotations

import binascii
import ssl
import zlib
from base64 import b64decode
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import msgspec

from ruxa.egress.processor import WebhookRefused
from ruxa.kernel.errors import InvalidCall

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

ALGORITHM: Final = "SHA256withRSA"
SKEW_S: Final = 300
PATH: Final = "/v1/notifications/certs/"
SIGNER: Final = "messageverificationcerts.paypal.com"
SANDBOX_SIGNER: Final = "messageverificationcerts.sandbox.paypal.com"
PEM_BYTES_MAX: Final = 64 * 1024
_HEADER_MAX: Final = 1024
_CHAIN_MAX: Final = 6
_RSA_BITS_MIN: Final = 2048
_ISSUER: Final = "DigiCert"


class Transmission(msgspec.Struct, frozen=True):
    """The headers of one delivery."""

    id: str
    time: str
    signature: str
    algorithm: str
    certificate_url: str


def transmission(headers: Mapping[str, str], now: datetime) -> Transmission:
    """The five headers, of sane form and within 300 s of ``now``. Raises WebhookRefused."""
    found = Transmission(*(headers.get(f"paypal-{name}", "") for name in _NAMES))
    if not all(0 < len(value) <= _HEADER_MAX for value in msgspec.structs.astuple(found)):
        raise WebhookRefused("webhook_malformed", "headers")
    if found.algorithm != ALGORITHM:
        raise WebhookRefused("webhook_forged", "algorithm")
    try:
        sent = datetime.fromisoformat(found.time)
    except ValueError:
        raise WebhookRefused("webhook_malformed", "time") from None
    if sent.tzinfo is None:
        raise WebhookRefused("webhook_malformed", "time")
    if abs(now - sent) > timedelta(seconds=SKEW_S):
        raise WebhookRefused("webhook_stale", "time")
    return found


_NAMES: Final = ("transmission-id", "transmission-time", "transmission-sig", "auth-algo", "cert-url")


def target(url: str, base: str) -> str:
    """The path of a certificate at ``base`` (``https://host``), to be asked for there and nowhere else.

    Raises WebhookRefused for another scheme, host, port, user, query or place.
    """
    parts = urlsplit(url)
    path = parts.path
    if (
        url != f"{base}{path}"
        or not path.startswith(PATH)
        or not path.isascii()
        or any(one in path for one in ("..", "//", "%", "\\"))
        or len(path) > 200
    ):
        raise WebhookRefused("webhook_forged", "certificate host")
    return path


def signer(pem: bytes, roots: Sequence[Certificate], name: str, now: datetime) -> Certificate:
    """The signing certificate, when its chain ends in one of ``roots`` and it is ``name``'s now.

    Raises WebhookRefused.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.x509 import verification

    try:
        chain = x509.load_pem_x509_certificates(pem)
    except ValueError:
        raise WebhookRefused("webhook_forged", "certificate") from None
    if len(chain) > _CHAIN_MAX:
        raise WebhookRefused("webhook_forged", "certificate")
    verifier = (
        verification.PolicyBuilder()
        .store(verification.Store(list(roots)))
        .time(now.astimezone(UTC))
        .build_server_verifier(x509.DNSName(name))
    )
    try:
        verifier.verify(chain[0], chain[1:])
    except verification.VerificationError:
        raise WebhookRefused("webhook_forged", "certificate chain") from None
    key = chain[0].public_key()
    if not isinstance(key, RSAPublicKey) or key.key_size < _RSA_BITS_MIN:
        raise WebhookRefused("webhook_forged", "certificate key")
    return chain[0]


def check(found: Transmission, raw: bytes, webhook_id: str, certificate: Certificate) -> None:
    """Raises WebhookRefused unless ``certificate`` signed this transmission to our webhook with a body of this CRC."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.hashes import SHA256

    key = certificate.public_key()
    assert isinstance(key, RSAPublicKey)
    signed = f"{found.id}|{found.time}|{webhook_id}|{zlib.crc32(raw)}".encode()
    try:
        key.verify(b64decode(found.signature, validate=True), signed, PKCS1v15(), SHA256())
    except (InvalidSignature, binascii.Error, ValueError):
        raise WebhookRefused("webhook_forged", "signature wrong") from None


def pinned(path: Path | None) -> list[Certificate]:
    """The roots that are believed: those of a PEM file, or the system's of the authority that PayPal uses.

    Raises InvalidCall ``bad_setting``.
    """
    from cryptography import x509

    if path is not None:
        try:
            return x509.load_pem_x509_certificates(path.read_bytes())
        except (OSError, ValueError):
            raise InvalidCall(
                f"payments.paypal.roots: {path} holds no certificates (PEM).", code="bad_setting"
            ) from None
    system = ssl.create_default_context().get_ca_certs(binary_form=True)
    # Others of the store are not even read: some are malformed.
    roots = [x509.load_der_x509_certificate(der) for der in system if _ISSUER.encode() in der]
    if not roots:
        raise InvalidCall(
            f"This system has no root certificate of {_ISSUER}: name them in payments.paypal.roots, "
            'or set payments.paypal.webhook_check = "api".',
            code="bad_setting",
        )
    return roots
