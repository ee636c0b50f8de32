"""The official Stripe SDK's way out: our pool instead of its own client, and only the headers that Stripe needs.

Imported when Stripe is used for the first time, because the SDK is large. Its telemetry is off and what it would tell
of this machine (platform, Python, tools found in the environment) does not leave; what it would log is not logged.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, ClassVar, Final

import msgspec
import stripe
from stripe import HTTPClient, StripeClient

from ruxa.egress.processors.wire import Wire, away, nonsense

SENT: Final = frozenset({"authorization", "content-type", "idempotency-key", "stripe-version"})
# What the SDK looks at; a ``Stripe-Notice`` would become a warning of this process.
_SHOWN: Final = {"request-id": "Request-Id", "stripe-should-retry": "stripe-should-retry"}


class Transport(HTTPClient):
    """Carries the SDK's requests over a Wire; nothing else is possible."""

    name: ClassVar[str] = "ruxa"

    def __init__(self, wire: Wire) -> None:
        super().__init__()  # pyright: ignore[reportUnknownMemberType] - its parameter for tests has no type
        self._wire = wire

    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: Any = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        """One request of the SDK's, to the API's own host only."""
        base = self._wire.base_url
        if not url.startswith(base + "/"):
            raise nonsense("another host")
        kept = {name.lower(): value for name, value in headers.items() if name.lower() in SENT}
        body = post_data.encode() if isinstance(post_data, str) else b""
        reply = await self._wire.ask(method.upper(), url[len(base) :], kept, body)
        if not _is_object(reply.body):
            # The SDK would believe a list, or stumble over what is no text.
            raise nonsense("stripe") if reply.status < 500 else away("stripe", reply.status)
        said = {shown: reply.headers[name] for name, shown in _SHOWN.items() if name in reply.headers}
        return reply.body, reply.status, said

    async def close_async(self) -> None:
        """The pool is closed by whoever made it."""


def _is_object(body: bytes) -> bool:
    try:
        msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return False
    return True


def client(wire: Wire, key: str) -> StripeClient:
    """The SDK for one account: no telemetry, no logging, no repeats of its own."""
    stripe.enable_telemetry = False
    logging.getLogger("stripe").disabled = True
    return StripeClient(key, http_client=Transport(wire), base_addresses={"api": wire.base_url}, max_network_retries=0)
