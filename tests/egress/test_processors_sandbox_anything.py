"""Whatever is asked of the sandbox processor, it answers in the processor's own shape, and its money adds up."""

from __future__ import annotations

import base64
import json
import random
import re
from typing import Any
from urllib.parse import urlencode

import pytest

from ruxa.egress.processors.sandbox import access, paypal_api, server, stripe_api
from ruxa.egress.processors.sandbox.wire import Call
from ruxa.kernel.clock import Clock

STRIPE_NAMES = re.findall(
    r"\w+",
    "amount currency customer payment_method confirm off_session metadata expand line_items price_data "
    "product_data card unit_amount quantity name success_url mode expires_at limit starting_after "
    "ending_before created gte type types evidence submit enabled_events url number exp_month exp_year "
    "email automatic_tax enabled payment_intent_data reason setup_future_usage charge payment_intent "
    "description capture_method uncategorized_text amount_to_capture status 0 1 ",
)
STRIPE_VALUES = [
    "",
    "usd",
    "1000",
    "true",
    "false",
    "card",
    "payment",
    "http://a/",
    "-1",
    "pm_card_visa",
    "9" * 25,
    "é",
    "0",
]
PAYPAL_NAMES = re.findall(
    r"\w+",
    "intent purchase_units amount currency_code value breakdown item_total payment_source paypal vault_id "
    "attributes vault store_in_vault experience_context return_url items custom_id evidences notes url "
    "event_types name note_to_payer ",
)
PAYPAL_VALUES: list[object] = [None, 0, -1, 10**30, 1.5, True, "", "CAPTURE", "USD", "1.00", "-1", "9" * 12, "é\0"]
QUERY = ["start_time", "end_time", "page_size", "start_date", "end_date", "page", "next", "next_page_token", "token"]
QUERY_VALUES = ["", "1", "x", "2026-01-01T00:00:00Z", "2026-01-02", "-5", "9" * 30]


def value(chance: random.Random, depth: int = 0) -> object:
    """Some JSON."""
    kind = chance.randrange(8 if depth < 3 else 5)
    if kind < 5:
        return chance.choice(PAYPAL_VALUES)
    if kind < 7:
        return {name: value(chance, depth + 1) for name in chance.sample(PAYPAL_NAMES, chance.randrange(5))}
    return [value(chance, depth + 1) for _ in range(chance.randrange(3))]


class Asker:
    """Asks one server anything."""

    def __init__(self, running: server.Server, chance: random.Random) -> None:
        self.running = running
        self.chance = chance
        self.token = ""

    async def ask(
        self, method: str, path: str, raw: bytes, headers: dict[str, str], query: Any = ()
    ) -> tuple[int, Any]:
        """The status and the JSON of an answer."""
        peer = "127.0.0.1"
        call = Call(method=method, path=path, query=list(query), headers=headers, body=raw, peer=peer)
        answer = await self.running.serve(call)
        assert not answer.cut
        assert answer.status < 500, (method, path, raw)
        return answer.status, json.loads(answer.body) if answer.body else None

    async def stripe(self, method: str, path: str, pairs: list[tuple[str, str]], key: str = "") -> tuple[int, Any]:
        """A call to "Stripe"."""
        headers = {"authorization": f"Bearer {self.running.access.stripe_key}"} | (
            {"idempotency-key": key} if key else {}
        )
        raw = urlencode(pairs).encode() if method == "POST" else b""
        return await self.ask(method, path, raw, headers, pairs if method != "POST" else ())

    async def paypal(self, method: str, path: str, body: object, query: Any = (), **more: str) -> tuple[int, Any]:
        """A call to "PayPal"."""
        if not self.token:
            keys = self.running.access
            basic = base64.b64encode(f"{keys.paypal_client_id}:{keys.paypal_client_secret}".encode()).decode()
            form = b"grant_type=client_credentials"
            told = await self.ask("POST", "/v1/oauth2/token", form, {"authorization": f"Basic {basic}"})
            self.token = told[1]["access_token"]
        headers = {"authorization": f"Bearer {self.token}", "content-type": "application/json", **more}
        return await self.ask(method, path, json.dumps(body).encode(), headers, query)

    def path(self, pattern: Any, kinds: tuple[str, ...]) -> str:
        """A route's path with ids that exist, mostly."""
        path = pattern.pattern.replace("\\Z", "").replace("\\", "")
        while "([^/]+)" in path:
            ids = [one["id"] for one in self.running.books.every(self.chance.choice(kinds))][:6]
            path = path.replace("([^/]+)", self.chance.choice(ids or ["none"]), 1)
        return path


STRIPE_KINDS = ("customer", "payment_method", "payment_intent", "charge", "refund", "dispute", "event", "session")
PAYPAL_KINDS = ("paypal.order", "paypal.capture", "paypal.refund", "paypal.dispute", "paypal.event", "paypal.webhook")


@pytest.mark.parametrize("seed", range(2))
async def test_anything_gets_an_answer_and_the_money_adds_up(seed: int, sizes: Any) -> None:
    chance = random.Random(seed)
    running = await server.serve(access=access.fresh(), clock=Clock())
    asker = Asker(running, chance)
    pay = [("amount", "1000"), ("currency", "usd"), ("payment_method", "pm_card_visa"), ("confirm", "true")]
    seen: set[tuple[str, int]] = set()
    try:
        for number in range(20_000 if sizes.long else 400):
            if number % 25 == 0:
                await prepare(asker, pay)
            if chance.random() < 0.5:
                method, pattern, _ = chance.choice(stripe_api._ROUTES)  # pyright: ignore[reportPrivateUsage]
                pairs = [(stripe_name(chance), chance.choice(STRIPE_VALUES)) for _ in range(chance.randrange(4))]
                pairs += chance.choice([[], [], [("amount", str(chance.randrange(1, 700)))], pay])
                path = asker.path(pattern, STRIPE_KINDS)
                status, told = await asker.stripe(method, path, pairs, chance.choice(["", "", "a", "b"]))
                assert status < 400 or told["error"]["type"], told
            else:
                method, pattern, _ = chance.choice(paypal_api._ROUTES)  # pyright: ignore[reportPrivateUsage]
                body = {name: value(chance) for name in chance.sample(PAYPAL_NAMES, chance.randrange(5))}
                amount = {"currency_code": "USD", "value": chance.choice(["2.00", "0.01", "30.00"])}
                body |= chance.choice(
                    [{}, {"amount": amount}, {"intent": "CAPTURE", "purchase_units": [{"amount": amount}]}]
                )
                query = [(name, chance.choice(QUERY_VALUES)) for name in chance.sample(QUERY, 3)]
                more = chance.choice([{}, {}, {"paypal-request-id": "a"}, {"paypal-mock-response": "[]"}])
                path = asker.path(pattern, PAYPAL_KINDS)
                status, told = await asker.paypal(method, path, body, query, **more)
                assert status < 400 or told["name"], told
            seen.add((method, status))
        assert {("GET", 200), ("POST", 200), ("POST", 201), ("POST", 400), ("POST", 422), ("GET", 404)} <= seen
        add_up(running)
    finally:
        await running.close()


def stripe_name(chance: random.Random) -> str:
    """A parameter, nested at random."""
    return chance.choice(STRIPE_NAMES) + "".join(f"[{chance.choice(STRIPE_NAMES)}]" for _ in range(chance.randrange(3)))


async def prepare(asker: Asker, pay: list[tuple[str, str]]) -> None:
    """Something to refund, to dispute and to keep at both."""
    await asker.stripe("POST", "/v1/payment_intents", pay)
    await asker.stripe("POST", "/v1/payment_intents", [*pay[:2], ("payment_method", "pm_card_createDispute"), pay[3]])
    await asker.stripe("POST", "/v1/customers", [("payment_method", "pm_card_visa")])
    unit = {"amount": {"currency_code": "USD", "value": "25.00"}}
    _, order = await asker.paypal("POST", "/v2/checkout/orders", {"intent": "CAPTURE", "purchase_units": [unit]})
    approval = [("token", order["id"])]
    form = {"content-type": "application/x-www-form-urlencoded"}
    way = Call(
        method="POST", path="/checkoutnow", query=approval, headers=form, body=b"answer=approve", peer="127.0.0.1"
    )
    await asker.running.serve(way)
    _, done = await asker.paypal("POST", f"/v2/checkout/orders/{order['id']}/capture", {})
    capture = done["purchase_units"][0]["payments"]["captures"][0]["id"]
    told = json.dumps({"id": capture}).encode()
    await asker.ask("POST", "/_sandbox/dispute", told, {"content-type": "application/json"})


def add_up(running: server.Server) -> None:
    """No charge gives back more than it took, and every cent of the balance has its reason."""
    books = running.books
    for charge in books.every("charge"):
        back = sum(one["amount"] for one in books.where("refund", charge=charge["id"], status="succeeded"))
        assert back <= charge["amount_captured"] <= charge["amount"]
        kept = [one for one in books.where("dispute", charge=charge["id"]) if one["status"] != "won"]
        assert back + sum(one["amount"] for one in kept) <= charge["amount_captured"]
    taken = sum(one["amount_captured"] for one in books.every("charge") if one["balance_transaction"])
    back = sum(one["amount"] for one in books.every("refund"))
    disputed = sum(one["amount"] for one in books.every("dispute") if one["status"] != "won")
    out = sum(one["amount"] for one in books.every("payout"))
    assert sum(one["amount"] for one in books.every("txn")) == taken - back - disputed - out
    for capture in books.every("paypal.capture"):
        assert 0 <= capture["_refunded"] <= capture["_cents"]
