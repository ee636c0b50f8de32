"""Tells what happened: each event to each endpoint that wants it, signed, tried again later, or wronged by a fault.

Waits between tries are the processors' own, shortened: an hour is a second unless ``shorten`` is changed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit
from uuid import uuid4

import msgspec

from ruxa.egress.processors.sandbox import forge, paypal_trust
from ruxa.egress.processors.sandbox.books import Books, Json, fresh, shown
from ruxa.egress.processors.sandbox.faults import Faults
from ruxa.egress.processors.sandbox.paypal_api import stamp

HOUR_S: Final = 3600
# Stripe's sandboxes try three times in a few hours, PayPal up to 25 times in three days.
WAITS_S: Final = {"stripe": (HOUR_S, 3 * HOUR_S), "paypal": (3 * HOUR_S,) * 24}
TIMEOUT_S: Final = 10
AT_ONCE: Final = 16


class Sender:
    """The way out of events. ``shorten``: how much faster than in life its waits pass."""

    def __init__(self, books: Books, faults: Faults) -> None:
        self.books = books
        self.faults = faults
        self.shorten = HOUR_S
        self.holding = False
        self._held: list[tuple[Json, int]] = []
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()
        self._busy = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def resume(self) -> None:
        """Takes up what an earlier run had not delivered."""
        for delivery in reversed(self.books.where("delivery", state="waiting")):
            self._start(delivery, 0)

    async def close(self) -> None:
        """Stops; what is not delivered stays in the books."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def idle(self) -> None:
        """Wait until nothing is on its way (what waits for a later try is not)."""
        await self._idle.wait()

    def note(self, vendor: str, event: Json) -> None:
        """Have an event told."""
        kind = event["type"] if vendor == "stripe" else event["event_type"]
        for target in self._targets(vendor, kind):
            rule = self.faults.strike(f"webhook {vendor} {kind}")
            if rule is None:
                self.send(vendor, event, target["id"])
            elif rule.do == "drop":
                self.books.put("delivery", self._delivery(vendor, event, target["id"]) | {"state": "dropped"})
            elif rule.do == "duplicate":
                for _ in range(rule.count):
                    self.send(vendor, event, target["id"])
            elif rule.do == "delay":
                self.send(vendor, event, target["id"], delay_ms=rule.ms)
            elif rule.do == "forge":
                self.send(vendor, event, target["id"], forgery=rule.kind)
            else:
                self._held.append((self._delivery(vendor, event, target["id"]), 0))
                if rule.hits >= rule.skip + rule.times:
                    self.release(backwards=True)

    def send(self, vendor: str, event: Json, target: str, *, delay_ms: int = 0, forgery: str = "") -> None:
        """One delivery of an event to one endpoint."""
        delivery = self._delivery(vendor, event, target) | {"forgery": forgery}
        if forgery == "repeated":
            for earlier in self.books.where("delivery", event=event["id"], target=target, forgery=""):
                delivery["transmission"] = earlier["transmission"]
        if vendor == "stripe":
            event["pending_webhooks"] += 1
            self.books.put("event", event)
        self.books.put("delivery", delivery)
        if self.holding:
            self._held.append((delivery, delay_ms))
        else:
            self._start(delivery, delay_ms)

    def release(self, *, backwards: bool) -> int:
        """Sends what was held, one after the other; how many."""
        held, self._held = self._held, []
        self.holding = False
        if backwards:
            held.reverse()
        for delivery, _ in held:
            self.books.put("delivery", delivery)
        self._spawn(self._in_turn([delivery for delivery, _ in held]))
        return len(held)

    def targets(self, vendor: str) -> list[Json]:
        """The endpoints of a processor, oldest first."""
        return list(reversed(list(self.books.every("endpoint" if vendor == "stripe" else "paypal.webhook"))))

    def _targets(self, vendor: str, kind: str) -> Iterator[Json]:
        for target in self.targets(vendor):
            if vendor == "stripe":
                if target["status"] == "enabled" and ({"*", kind} & set(target["enabled_events"])):
                    yield target
            elif {"*", kind} & {one["name"] for one in target["event_types"]}:
                yield target

    def _delivery(self, vendor: str, event: Json, target: str) -> Json:
        transmission = str(uuid4())
        return {
            "id": fresh("dl_"),
            "vendor": vendor,
            "event": event["id"],
            "kind": event["type"] if vendor == "stripe" else event["event_type"],
            "target": target,
            "transmission": transmission,
            "state": "waiting",
            "forgery": "",
            "statuses": [],
        }

    def _start(self, delivery: Json, delay_ms: int) -> None:
        self._spawn(self._deliver(delivery, delay_ms))

    def _spawn(self, work: object) -> None:
        assert asyncio.iscoroutine(work)
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self._begin()
        task.add_done_callback(lambda _: self._end())

    def _begin(self) -> None:
        self._busy += 1
        self._idle.clear()

    def _end(self) -> None:
        self._busy -= 1
        if not self._busy:
            self._idle.set()

    async def _in_turn(self, deliveries: list[Json]) -> None:
        for delivery in deliveries:
            await self._deliver(delivery, 0)

    async def _deliver(self, delivery: Json, delay_ms: int) -> None:
        waits = WAITS_S[delivery["vendor"]]
        if delay_ms:
            await self._wait(delay_ms / 1000)
        while True:
            status = await self._try(delivery)
            delivery["statuses"] = [*delivery["statuses"], status]
            tries = len(delivery["statuses"])
            good = 200 <= status < 300
            if good or tries > len(waits) or delivery["forgery"]:
                delivery["state"] = "delivered" if good else "given_up"
                self._settled(delivery, good=good)
                return
            self.books.put("delivery", delivery)
            self.books.flush()
            await self._wait(waits[tries - 1] / self.shorten)

    async def _wait(self, seconds: float) -> None:
        """Sleeping counts as idle."""
        self._end()
        try:
            await asyncio.sleep(seconds)
        finally:
            self._begin()

    def _settled(self, delivery: Json, *, good: bool) -> None:
        event = self.books.get("event", delivery["event"])
        if good and event is not None and not delivery["forgery"]:
            event["pending_webhooks"] = max(0, event["pending_webhooks"] - 1)
            self.books.put("event", event)
        self.books.put("delivery", delivery)
        self.books.flush()

    async def _try(self, delivery: Json) -> int:
        made = await self._written(delivery)
        if made is None:
            return 0
        url, headers, body = made
        async with self._turn:
            return await post(url, headers, body)

    async def _written(self, delivery: Json) -> tuple[str, Json, bytes] | None:
        books, forgery = self.books, delivery["forgery"]
        if delivery["vendor"] == "stripe":
            endpoint, event = books.get("endpoint", delivery["target"]), books.get("event", delivery["event"])
            if endpoint is None or event is None:
                return None
            body = msgspec.json.format(msgspec.json.encode(shown(event)), indent=2)
            secret, now = endpoint["_secret"], books.now()
            if forgery:
                headers, body = forge.stripe(forgery, secret, body, now)
            else:
                headers = forge.stripe_headers(secret, body, now)
            agent = "Stripe/1.0 (+https://stripe.com/docs/webhooks)"
            return endpoint["url"], {"user-agent": agent, **headers}, body
        webhook, event = books.get("paypal.webhook", delivery["target"]), books.get("paypal.event", delivery["event"])
        if webhook is None or event is None:
            return None
        body = msgspec.json.encode(shown(event))
        # The first signature makes the key.
        if books.get("trust", "paypal") is None or (forgery == "other_root" and books.get("trust", "other") is None):
            await asyncio.to_thread(paypal_trust.trust, books)
        if forgery:
            headers, body = forge.paypal(books, forgery, webhook["id"], delivery["transmission"], body)
        else:
            time = stamp(books.now())
            headers = paypal_trust.headers(books, webhook["id"], delivery["transmission"], time, body)
        agent = "PayPal/AUHD-214.0-58843392"
        return webhook["url"], {"user-agent": agent, "correlation-id": fresh("", 13), **headers}, body


async def post(url: str, headers: Json, body: bytes) -> int:
    """The status that a POST was answered with, 0 when it was not."""
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    context = None
    if secure:
        import ssl

        context = ssl.create_default_context()
    port = parts.port or (443 if secure else 80)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    lines = [f"POST {target} HTTP/1.1", f"host: {parts.netloc}", "content-type: application/json", "accept: */*"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines += [f"content-length: {len(body)}", "connection: close"]
    try:
        async with asyncio.timeout(TIMEOUT_S):
            reader, writer = await asyncio.open_connection(parts.hostname, port, ssl=context)
            try:
                writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body)
                await writer.drain()
                line = (await reader.readline()).split()
                return int(line[1]) if len(line) > 1 and line[1].isdigit() else 0
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
    except (OSError, TimeoutError, ValueError):
        return 0
