"""AWS Signature Version 4 of a request without a query, as published by AWS; HMAC-SHA256 only, nothing is kept.

Checked against AWS's own test suite for signers.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime
from typing import Final

import msgspec

_ALGORITHM: Final = "AWS4-HMAC-SHA256"


class Credentials(msgspec.Struct, frozen=True):
    """An access key and its secret; session: the token that temporary ones come with. Never shown."""

    access_key: str
    secret_key: str
    session: str | None = None

    def __repr__(self) -> str:
        return "<credentials>"


def signed(
    method: str,
    path: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    credentials: Credentials,
    region: str,
    service: str,
    at: datetime,
) -> dict[str, str]:
    """The headers (``host`` among them, names in lower case) with ``x-amz-date``, the session and ``authorization``.

    path: absolute, already in the form that is sent, without a query. at: UTC, within minutes of the service's clock.
    """
    stamp = at.strftime("%Y%m%dT%H%M%SZ")
    scope = f"{stamp[:8]}/{region}/{service}/aws4_request"
    sent = {**headers, "x-amz-date": stamp}
    if credentials.session is not None:
        sent["x-amz-security-token"] = credentials.session
    names = ";".join(sorted(sent))
    lines = [f"{name}:{' '.join(sent[name].split())}" for name in sorted(sent)]
    request = "\n".join([method, path, "", *lines, "", names, hashlib.sha256(body).hexdigest()])
    said = "\n".join([_ALGORITHM, stamp, scope, hashlib.sha256(request.encode()).hexdigest()])
    key = b"AWS4" + credentials.secret_key.encode()
    for part in (*scope.split("/"), said):
        key = hmac.digest(key, part.encode(), "sha256")
    sent["authorization"] = (
        f"{_ALGORITHM} Credential={credentials.access_key}/{scope}, SignedHeaders={names}, Signature={key.hex()}"
    )
    return sent
