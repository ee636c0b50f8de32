"""Forged webhooks: what an attacker could send. A receiver refuses all of them but the last, and does not believe that.

``same_crc`` passes PayPal's signature, which covers no more of a body than its CRC: only reading the object by the API
tells that it lies.
"""

from __future__ import annotations

import hashlib
import hmac
import zlib
from typing import Final, cast

import msgspec

from ruxa.egress.processors.sandbox import paypal_trust
from ruxa.egress.processors.sandbox.books import Books, Json
from ruxa.egress.processors.sandbox.paypal_api import stamp

STRIPE: Final = (
    "other_secret",
    "changed_body",
    "stale",
    "future",
    "v0_only",
    "empty_header",
    "no_header",
    "no_timestamp",
    "not_hex",
)
PAYPAL: Final = (
    "other_webhook",
    "changed_body",
    "stale",
    "future",
    "other_root",
    "lookalike_host",
    "no_headers",
    "other_algorithm",
    "repeated",
    "same_crc",
)
STALE_S: Final = 360
FUTURE_S: Final = 3600
OTHER_PATH: Final = "/v1/notifications/certs/CERT-other"
_FREE: Final = 64


def stripe_headers(secret: str, body: bytes, at: int) -> Json:
    """What Stripe sends with a webhook."""
    signature = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return {"stripe-signature": f"t={at},v1={signature}"}


def stripe(kind: str, secret: str, body: bytes, at: int) -> tuple[Json, bytes]:
    """Headers and body of a forgery of ``STRIPE``."""
    good = stripe_headers(secret, body, at)["stripe-signature"]
    match kind:
        case "other_secret":
            return stripe_headers("whsec_" + "0" * 32, body, at), body
        case "changed_body":
            return {"stripe-signature": good}, changed(body)
        case "stale":
            return stripe_headers(secret, body, at - STALE_S), body
        case "future":
            return stripe_headers(secret, body, at + FUTURE_S), body
        case "v0_only":
            return {"stripe-signature": good.replace("v1=", "v0=")}, body
        case "empty_header":
            return {"stripe-signature": ""}, body
        case "no_header":
            return {}, body
        case "no_timestamp":
            return {"stripe-signature": good.partition(",")[2]}, body
        case _:
            return {"stripe-signature": f"t={at},v1={'z' * 64}"}, body


def paypal(books: Books, kind: str, webhook_id: str, transmission_id: str, body: bytes) -> tuple[Json, bytes]:
    """Headers and body of a forgery of ``PAYPAL``."""
    now = books.now()
    time = stamp(now)
    good = paypal_trust.headers(books, webhook_id, transmission_id, time, body)
    match kind:
        case "other_webhook":
            return paypal_trust.headers(books, "0OTHERWEBHOOK00000", transmission_id, time, body), body
        case "changed_body":
            return good, changed(body)
        case "stale":
            return paypal_trust.headers(books, webhook_id, transmission_id, stamp(now - STALE_S), body), body
        case "future":
            return paypal_trust.headers(books, webhook_id, transmission_id, stamp(now + FUTURE_S), body), body
        case "other_root":
            text = paypal_trust.signed_text(transmission_id, time, webhook_id, body)
            signature = paypal_trust.sign(other_trust(books).key, text)
            return good | {"paypal-cert-url": books.access.url + OTHER_PATH, "paypal-transmission-sig": signature}, body
        case "lookalike_host":
            url = books.access.url.replace("127.0.0.1", "127.0.0.1.lookalike.example") + paypal_trust.CERTIFICATE_PATH
            return good | {"paypal-cert-url": url}, body
        case "no_headers":
            return {}, body
        case "other_algorithm":
            return good | {"paypal-auth-algo": "SHA1withRSA"}, body
        case "same_crc":
            return good, same_crc(body)
        case _:
            return good, body


def other_trust(books: Books) -> paypal_trust.Trust:
    """A root that nobody should trust, and a certificate of it that looks right."""
    kept = books.get("trust", "other")
    if kept is None:
        kept = books.put("trust", {"id": "other", **msgspec.structs.asdict(paypal_trust.make(books.clock.now()))})
    return paypal_trust.Trust(kept["root"], kept["certificate"], kept["key"])


def changed(body: bytes) -> bytes:
    """The body with every amount in it changed, and a member more."""
    event = msgspec.json.decode(body)
    _change(event)
    event["changed"] = True
    return msgspec.json.format(msgspec.json.encode(event), indent=2)


def _change(value: object) -> None:
    if isinstance(value, dict):
        inside = cast(Json, value)
        for name, member in inside.items():
            if name.startswith("amount") and isinstance(member, int):
                inside[name] = member * 1000
            elif name == "value" and isinstance(member, str):
                inside[name] = "9999.00"
            else:
                _change(member)
    elif isinstance(value, list):
        for member in cast("list[object]", value):
            _change(member)


def same_crc(body: bytes) -> bytes:
    """A changed body with the CRC-32 of ``body``: ``_FREE`` letters of a member are chosen to that end.

    The CRC is affine in the bits of the body, so this is a system of 32 equations in as many unknowns as letters.
    """
    lie = msgspec.json.decode(changed(body))
    mark = "a" * _FREE
    text = msgspec.json.encode({**lie, "note": mark})
    at = text.rindex(mark.encode())
    target = zlib.crc32(body) ^ zlib.crc32(text)
    basis: dict[int, tuple[int, int]] = {}
    for number in range(_FREE):
        turned = bytearray(text)
        turned[at + number] ^= 2
        value, chosen = zlib.crc32(bytes(turned)) ^ zlib.crc32(text), 1 << number
        while value:
            top = value.bit_length()
            if top not in basis:
                basis[top] = value, chosen
                break
            value, chosen = value ^ basis[top][0], chosen ^ basis[top][1]
    turn = 0
    while target:
        value, chosen = basis[target.bit_length()]
        target, turn = target ^ value, turn ^ chosen
    made = bytearray(text)
    for number in range(_FREE):
        if turn >> number & 1:
            made[at + number] ^= 2
    return bytes(made)
