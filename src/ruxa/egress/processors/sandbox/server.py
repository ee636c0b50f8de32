"""Listens and routes: Stripe's API, PayPal's API, their pages, the control API; and acts out the fault script."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from ruxa.egress.processors.sandbox import (
    checkout_page,
    control,
    forge,
    page,
    paypal_api,
    paypal_captures,
    paypal_disputes,
    paypal_notify,
    paypal_orders,
    paypal_page,
    paypal_report,
    paypal_trust,
    paypal_vault,
    stripe_api,
    stripe_charges,
    stripe_checkout,
    stripe_customers,
    stripe_disputes,
    stripe_endpoints,
    stripe_intents,
    stripe_money,
    stripe_portal,
    stripe_refunds,
    stripe_sessions,
    stripe_setup,
)
from ruxa.egress.processors.sandbox.access import Access
from ruxa.egress.processors.sandbox.books import Books
from ruxa.egress.processors.sandbox.faults import NONSENSE, Faults, Rule
from ruxa.egress.processors.sandbox.webhooks import Sender
from ruxa.egress.processors.sandbox.wire import Answer, Call, Listener
from ruxa.kernel.clock import Clock

TICK_S: Final = 0.5
# Each of these files registers its calls when it is read.
CALLS: Final = (
    paypal_captures,
    paypal_disputes,
    paypal_notify,
    paypal_orders,
    paypal_report,
    paypal_vault,
    stripe_charges,
    stripe_customers,
    stripe_disputes,
    stripe_endpoints,
    stripe_intents,
    stripe_money,
    stripe_portal,
    stripe_refunds,
    stripe_sessions,
    stripe_setup,
)
_PAYPAL: Final = ("/v1/oauth2/", "/v1/customer/", "/v1/notifications/", "/v1/reporting/", "/v2/", "/v3/")
_PEM: Final = "application/x-pem-file"


class Server:
    """A listening sandbox processor. ``access``: where, and the secrets; ``close()`` ends it."""

    def __init__(self, access: Access, clock: Clock, file: Path | None) -> None:
        self.books = Books(access, clock, file)
        self.faults = Faults()
        self.sender = Sender(self.books, self.faults)
        self.books.told = self.sender.note
        self.control = control.Control(self.books, self.faults, self.sender)
        self.listener = Listener(self.serve)
        self._running: set[str] = set()
        self._ticker: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        """Where it listens."""
        return self.listener.port

    @property
    def access(self) -> Access:
        """Where it is, and the secrets."""
        return self.books.access

    async def listen(self, where: tuple[str, int] | socket.socket) -> None:
        """Binds and begins."""
        await self.listener.listen(where)
        if isinstance(where, tuple):
            self.books.access = self.books.access.at(f"http://{where[0]}:{self.listener.port}")
        self.books.move()
        self.books.flush()
        self._ticker = asyncio.get_running_loop().create_task(self._tick())

    def tell(self, stripe_url: str | None, paypal_url: str | None) -> None:
        """Have every event told there."""
        self.books.drop("endpoint", "we_1default")
        for old in self.books.where("paypal.webhook", _default=True):
            self.books.drop("paypal.webhook", old["id"])
            # What it was not told yet is told to the one that takes its place.
            for delivery in self.books.where("delivery", target=old["id"], state="waiting"):
                self.books.put("delivery", delivery | {"target": self.access.paypal_webhook_id})
        if stripe_url:
            self.books.put("endpoint", stripe_endpoints.endpoint(self.books, stripe_url, ["*"]) | {
                "id": "we_1default", "_secret": self.access.stripe_webhook_secret
            })  # fmt: skip
        if paypal_url:
            made = paypal_notify.add_webhook(self.books, paypal_url, ["*"], self.access.paypal_webhook_id)
            self.books.put("paypal.webhook", made | {"_default": True})
        self.books.flush()

    async def close(self) -> None:
        """Stops listening, telling and remembering."""
        if self._ticker is not None:
            self._ticker.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._ticker
        await self.listener.close()
        await self.sender.close()
        self.books.flush()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            self._time_passes()

    def _time_passes(self) -> None:
        stripe_checkout.expire_due(self.books)
        stripe_checkout.run_timers(self.books)
        paypal_orders.run_timers(self.books)
        self.books.flush()

    async def serve(self, call: Call) -> Answer:
        """The answer to any call, spoilt by the first fault that fits."""
        if call.path.startswith("/_sandbox/"):
            return await self.control.answer(call)
        self._time_passes()
        rule = self.faults.strike(f"{call.method} {call.path}")
        if rule is None:
            return await self._answer(call)
        return await self._spoilt(rule, call)

    async def _answer(self, call: Call) -> Answer:
        """As it should be. Changes are written down before it goes out."""
        key = call.headers.get("idempotency-key", "") if call.method == "POST" else ""
        if key and key in self._running:
            return stripe_api.in_use(key)
        try:
            return self._routed(call)
        finally:
            self.books.flush()

    def _routed(self, call: Call) -> Answer:
        path, books = call.path, self.books
        if path == paypal_trust.CERTIFICATE_PATH:
            return Answer(content_type=_PEM, body=paypal_trust.trust(books).certificate.encode())
        if path == forge.OTHER_PATH:
            return Answer(content_type=_PEM, body=forge.other_trust(books).certificate.encode())
        if path.startswith(_PAYPAL):
            return paypal_api.answer(books, call)
        if path.startswith("/v1/"):
            return stripe_api.answer(books, call)
        if path.startswith("/c/"):
            return checkout_page.answer(books, call)
        if path == paypal_page.PATH:
            return paypal_page.answer(books, call)
        if path == page.STYLE_PATH:
            return page.style()
        return page.page("Sandbox processor", _ABOUT, status=200 if path == "/" else 404)

    async def _spoilt(self, rule: Rule, call: Call) -> Answer:
        """What the rule makes of it."""
        key = call.headers.get("idempotency-key", "")
        act: dict[str, Callable[[Answer], Answer]] = {
            "delay": lambda good: good,
            "refuse_after": lambda _: _refusal(call, rule.status),
            "lost_after": lambda _: Answer(cut=True),
            "nonsense": lambda _: Answer(body=NONSENSE[rule.body]),
            "patch": lambda good: _patched(good, rule),
        }
        if rule.do == "refuse_before":
            return _refusal(call, rule.status)
        if rule.do == "lost_before":
            return Answer(cut=True)
        if rule.do == "delay":
            if key and key in self._running:
                return stripe_api.in_use(key)
            self._running.add(key)
            try:
                await asyncio.sleep(rule.ms / 1000)
            finally:
                self._running.discard(key)
        return act[rule.do](await self._answer(call))


def _patched(good: Answer, rule: Rule) -> Answer:
    body = msgspec.json.decode(good.body)
    try:
        for path, value in rule.patch.items():
            *way, last = path.split(".")
            here = body
            for part in way:
                here = here[int(part)] if part.isdigit() else here[part]
            here[last] = value
    except (LookupError, TypeError):
        return Answer(status=500, content_type="text/plain", body=b"The patch does not fit this answer.")
    return msgspec.structs.replace(good, body=msgspec.json.encode(body))


def _refusal(call: Call, status: int) -> Answer:
    if call.path.startswith(_PAYPAL):
        body = {"name": "INTERNAL_SERVER_ERROR", "message": "An internal server error has occurred.", "debug_id": "f0"}
    else:
        body = {"error": {"type": "api_error", "message": "An unknown error occurred"}}
    return Answer(status=status, body=msgspec.json.encode(body))


_ABOUT: Final = """<h1>Sandbox processor</h1>
<p>This server plays Stripe and PayPal for Ruxa. It has pages only where a payment leads.</p>"""


async def serve(
    where: tuple[str, int] | socket.socket = ("127.0.0.1", 0),
    *,
    access: Access,
    clock: Clock | None = None,
    file: Path | None = None,
    webhooks: str | None = None,
) -> Server:
    """A listening sandbox processor, on an address or on a socket that listens there already (``access.url``).

    file: its memory; webhooks: what happens is told to ``<webhooks>/stripe`` and ``<webhooks>/paypal``.
    """
    server = Server(access, clock or Clock(), file)
    await server.listen(where)
    if webhooks:
        server.tell(f"{webhooks}/stripe", f"{webhooks}/paypal")
    server.sender.resume()
    return server
