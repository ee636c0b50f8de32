"""Where something outside is asked: an operator's URL read as an origin, never one that would send in the clear."""

from __future__ import annotations

from typing import Final, NamedTuple
from urllib.parse import urlsplit

from ruxa.egress.http import Origin
from ruxa.kernel.errors import InvalidCall

# The only hosts that are asked without TLS.
LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


class Place(NamedTuple):
    """Origin, the path before every target, and how it is shown."""

    origin: Origin
    path: str
    shown: str


def at(url: str, setting: str) -> Place:
    """Raises InvalidCall ``bad_setting`` for a URL that is none, or in the clear (http: loopback only)."""
    parts = urlsplit(url)
    host, tls = parts.hostname or "", parts.scheme == "https"
    if not host or (not tls and not (parts.scheme == "http" and host in LOOPBACK)):
        raise InvalidCall(f"{setting} must be https://HOST[:PORT] (http only on loopback).", code="bad_setting")
    port = parts.port or (443 if tls else 80)
    return Place(Origin(host=host, port=port, tls=tls), parts.path.rstrip("/"), f"{parts.scheme}://{host}:{port}")
