"""PayPal's signatures: a root and a certificate of the sandbox's own, made when first needed and kept.

The signature covers ``transmission id|time|webhook id|crc32 of the body`` and nothing else, as PayPal's does; so a body
with the same CRC passes, and whoever believes a webhook's body is wrong.
"""

from __future__ import annotations

import base64
import zlib
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from ruxa.egress.processors.sandbox.books import Books, Json

CERTIFICATE_ID: Final = "CERT-360caa42-fca2a594-ad47cba6"
CERTIFICATE_PATH: Final = f"/v1/notifications/certs/{CERTIFICATE_ID}"
SUBJECT: Final = "messageverificationcerts.sandbox.paypal.com"
ALGORITHM: Final = "SHA256withRSA"


class Trust(msgspec.Struct, frozen=True):
    """PEM texts: the root's certificate, the signing certificate, its key."""

    root: str
    certificate: str
    key: str


def trust(books: Books) -> Trust:
    """The kept one, or a new one (about 0.2 s of CPU, once)."""
    kept = books.get("trust", "paypal")
    if kept is None:
        made = make(datetime.fromtimestamp(books.now(), UTC))
        kept = books.put("trust", {"id": "paypal", **msgspec.structs.asdict(made)})
        books.flush()
    return Trust(kept["root"], kept["certificate"], kept["key"])


def make(now: datetime, subject: str = SUBJECT) -> Trust:
    """A root, and a certificate for ``subject`` that it signed; the root's key is forgotten."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    root_key = ec.generate_private_key(ec.SECP256R1())
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    root_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Ruxa sandbox processor root")])
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "US"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "PayPal, Inc. (sandbox)"),
            x509.NameAttribute(NameOID.COMMON_NAME, subject),
        ]
    )

    def begin(
        who: x509.Name, public: ec.EllipticCurvePublicKey | rsa.RSAPublicKey, days: int
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(who)
            .issuer_name(root_name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=days))
        )

    usage = dict.fromkeys(
        (
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    root = (
        begin(root_name, root_key.public_key(), 3650)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.KeyUsage(**usage, digital_signature=False, key_cert_sign=True, crl_sign=True), critical=True
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(root_key.public_key()), critical=False)
        .sign(root_key, hashes.SHA256())
    )
    certificate = (
        begin(name, key.public_key(), 397)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(
            x509.KeyUsage(**usage, digital_signature=True, key_cert_sign=False, crl_sign=False), critical=True
        )
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(subject)]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()), critical=False)
        .sign(root_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    plain = serialization.NoEncryption()
    return Trust(
        root.public_bytes(pem).decode(),
        certificate.public_bytes(pem).decode(),
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain).decode(),
    )


def signed_text(transmission_id: str, time: str, webhook_id: str, body: bytes) -> bytes:
    """What is signed."""
    return f"{transmission_id}|{time}|{webhook_id}|{zlib.crc32(body) & 0xFFFFFFFF}".encode()


def sign(key: str, text: bytes) -> str:
    """RSA with SHA-256, base64."""
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import padding, rsa

    private = serialization.load_pem_private_key(key.encode(), None)
    assert isinstance(private, rsa.RSAPrivateKey)
    return base64.b64encode(private.sign(text, padding.PKCS1v15(), hashes.SHA256())).decode()


def genuine(certificate: str, text: bytes, signature: str) -> bool:
    """Whether the certificate's key signed ``text``."""
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding, rsa

    public = x509.load_pem_x509_certificate(certificate.encode()).public_key()
    assert isinstance(public, rsa.RSAPublicKey)
    try:
        public.verify(base64.b64decode(signature), text, padding.PKCS1v15(), hashes.SHA256())
    except (InvalidSignature, ValueError):
        return False
    return True


def headers(books: Books, webhook_id: str, transmission_id: str, time: str, body: bytes) -> Json:
    """The headers of one transmission."""
    kept = trust(books)
    return {
        "paypal-auth-algo": ALGORITHM,
        "paypal-cert-url": books.access.url + CERTIFICATE_PATH,
        "paypal-transmission-id": transmission_id,
        "paypal-transmission-sig": sign(kept.key, signed_text(transmission_id, time, webhook_id, body)),
        "paypal-transmission-time": time,
    }
