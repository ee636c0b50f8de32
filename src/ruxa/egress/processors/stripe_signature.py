"""Stripe's signature of a webhook: HMAC-SHA256 over time and body, checked here because the SDK lets the future pass.

``Stripe-Signature: t=<seconds>,v1=<hex>[,v1=<hex>...]``. Only ``v1`` counts. While a secret is rolled over several are
accepted. Time is bounded both ways; every comparison takes as long whatever it finds.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from ruxa.egress.processor import WebhookRefused

SKEW_S: Final = 300
_HEADER_MAX: Final = 4096
_SIGNATURES_MAX: Final = 16
_TIME: Final = re.compile(r"\d{1,12}\Z", re.ASCII)
_HEX: Final = re.compile(r"[0-9a-f]{64}\Z", re.ASCII)


def check(header: str | None, raw: bytes, secrets: Sequence[str], now: datetime) -> None:
    """Raises WebhookRefused unless one of ``secrets`` signed ``raw`` within 300 s of ``now``."""
    if not header or len(header) > _HEADER_MAX:
        raise WebhookRefused("webhook_malformed", "signature missing")
    times: list[str] = []
    signatures: list[str] = []
    for part in header.split(","):
        name, _, value = part.strip().partition("=")
        if name == "t":
            times.append(value)
        elif name == "v1" and _HEX.match(value):
            signatures.append(value)
    if len(times) != 1 or not _TIME.match(times[0]) or not signatures or len(signatures) > _SIGNATURES_MAX:
        raise WebhookRefused("webhook_malformed", "signature malformed")
    signed = times[0].encode() + b"." + raw
    good = False
    for secret in secrets:
        made = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
        for given in signatures:
            good |= hmac.compare_digest(made, given)
    if not good:
        raise WebhookRefused("webhook_forged", "signature wrong")
    if abs(int(now.timestamp()) - int(times[0])) > SKEW_S:
        raise WebhookRefused("webhook_stale", "time")
