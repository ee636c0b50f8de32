"""What goes wrong on demand: answers spoilt, webhooks lost, doubled, reversed and forged; and what a restart keeps."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args
from uuid import uuid4

import httpx
import pytest
import stripe

from processors_sandbox import Catcher, Sandbox, running
from ruxa.egress.processors.sandbox import access, cards, forge
from ruxa.egress.processors.sandbox.faults import NONSENSE, Act

PARAMS = {"amount": 1000, "currency": "usd", "payment_method": "pm_card_visa", "confirm": True}


@pytest.fixture(scope="module")
def catcher() -> Iterator[Catcher]:
    made = Catcher()
    yield made
    made.close()


@pytest.fixture(scope="module")
def sandbox(catcher: Catcher) -> Iterator[Sandbox]:
    with running(webhooks=catcher.url) as made:
        yield made


@pytest.fixture(autouse=True)
def healed(sandbox: Sandbox) -> Iterator[None]:
    yield
    sandbox.heal()
    sandbox.calm()


@pytest.fixture(scope="module")
def client(sandbox: Sandbox) -> Any:
    return client_of(sandbox)


def client_of(sandbox: Sandbox) -> Any:
    key, base = sandbox.access.stripe_key, {"api": sandbox.access.url}
    return stripe.StripeClient(key, base_addresses=base, max_network_retries=0).v1  # type: ignore[arg-type]


def told(catcher: Catcher, before: int, kind: str = "customer.created") -> list[tuple[dict[str, str], bytes]]:
    return [(headers, body) for _, headers, body in catcher.caught[before:] if json.loads(body).get("type") == kind]


@pytest.mark.parametrize("act", ["refuse_before", "lost_before", "refuse_after", "lost_after"])
def test_a_failed_call_is_repeated_with_its_key(sandbox: Sandbox, client: Any, act: str) -> None:
    customer = client.customers.create()
    sandbox.control("faults", on="POST /v1/payment_intents", do=act, status=500)
    params, options = {**PARAMS, "customer": customer.id}, {"idempotency_key": uuid4().hex}
    with pytest.raises((stripe.APIError, stripe.APIConnectionError)):
        client.payment_intents.create(params=params, options=options)
    there = client.payment_intents.list(params={"customer": customer.id}).data
    assert len(there) == (1 if act.endswith("after") else 0)
    again = client.payment_intents.create(params=params, options=options)
    assert again.status == "succeeded"
    assert [one.id for one in client.payment_intents.list(params={"customer": customer.id}).data] == [again.id]


@pytest.mark.parametrize("body", sorted(NONSENSE))
def test_nonsense_with_status_200(sandbox: Sandbox, body: str) -> None:
    sandbox.control("faults", on="GET /v1/customers", do="nonsense", body=body)
    bearer = {"authorization": f"Bearer {sandbox.access.stripe_key}"}
    told = sandbox.http.get("/v1/customers", headers=bearer)
    assert (told.status_code, told.content) == (200, NONSENSE[body])
    assert sandbox.http.get("/v1/customers", headers=bearer).json()["object"] == "list"


def test_an_answer_that_lies(sandbox: Sandbox, client: Any) -> None:
    made = client.payment_intents.create(params=PARAMS)
    patch = {"amount_received": 1, "amount_details.tip": {"amount": 5}}
    sandbox.control("faults", on="GET /v1/payment_intents/*", do="patch", patch=patch, skip=1)
    seen = [client.payment_intents.retrieve(made.id).amount_received for _ in range(3)]
    assert seen == [1000, 1, 1000]


def test_bad_rules_are_refused(sandbox: Sandbox) -> None:
    for rule in (
        {"on": "GET /v1/*", "do": "drop"},
        {"on": "webhook *", "do": "patch"},
        {"do": "drop"},
        {"on": 1, "do": "x"},
    ):
        assert sandbox.http.post("/_sandbox/faults", json=rule).status_code == 400
    assert sandbox.http.get("/_sandbox/faults").json() == []
    form = sandbox.http.post("/_sandbox/faults", data={"on": "x", "do": "drop"})
    assert form.status_code == 415


def test_webhooks_dropped_doubled_and_reversed(sandbox: Sandbox, client: Any, catcher: Catcher) -> None:
    before = len(catcher.caught)
    sandbox.control("faults", on="webhook stripe customer.created", do="drop")
    client.customers.create()
    sandbox.calm()
    assert told(catcher, before) == []
    sandbox.heal()
    sandbox.control("faults", on="webhook stripe customer.created", do="duplicate", count=50)
    client.customers.create()
    sandbox.calm()
    copies = told(catcher, before)
    assert len(copies) == 50
    assert len({json.loads(body)["id"] for _, body in copies}) == 1
    sandbox.heal()
    before = len(catcher.caught)
    sandbox.control("faults", on="webhook stripe customer.created", do="reorder", times=3)
    made = [client.customers.create().id for _ in range(3)]
    sandbox.calm()
    assert [json.loads(body)["data"]["object"]["id"] for _, body in told(catcher, before)] == made[::-1]
    sandbox.control("hold")
    before = len(catcher.caught)
    made = [client.customers.create().id for _ in range(2)]
    assert told(catcher, before) == []
    assert sandbox.control("release", backwards=False) == {"sent": 2}
    sandbox.calm()
    assert [json.loads(body)["data"]["object"]["id"] for _, body in told(catcher, before)] == made


def test_webhooks_are_tried_again_until_they_are_given_up(sandbox: Sandbox, client: Any, catcher: Catcher) -> None:
    sandbox.control("shorten", shorten=1_000_000)
    before = len(catcher.caught)
    catcher.statuses = [500, 302]
    customer = client.customers.create()
    until(lambda: len(told(catcher, before)) == 3)
    sandbox.calm()
    tried = told(catcher, before)
    assert len({body for _, body in tried}) == 1
    for headers, body in tried:
        event = stripe.Webhook.construct_event(body, headers["stripe-signature"], sandbox.access.stripe_webhook_secret)
        assert event.data.object.id == customer.id
    assert client.events.retrieve(json.loads(tried[0][1])["id"]).pending_webhooks == 0
    catcher.statuses = [500] * 3
    client.customers.create()
    until(lambda: sandbox.http.get("/_sandbox/deliveries").json()[0]["state"] == "given_up")
    delivery = sandbox.http.get("/_sandbox/deliveries").json()[0]
    assert delivery["statuses"] == [500, 500, 500]
    assert client.events.list(params={"delivery_success": False}).data[0].id == delivery["event"]


def until(true: Any) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("kind", forge.STRIPE)
def test_forged_webhooks(sandbox: Sandbox, client: Any, catcher: Catcher, kind: str) -> None:
    client.customers.create()
    sandbox.calm()
    before = len(catcher.caught)
    sandbox.control("webhooks", vendor="stripe", kind="customer.created", forge=kind)
    sandbox.calm()
    ((_, headers, body),) = catcher.caught[before:]
    secret = sandbox.access.stripe_webhook_secret
    if kind == "future":
        # The SDK looks at old stamps only: a receiver must look at both sides itself.
        header = headers["stripe-signature"]
        assert stripe.Webhook.construct_event(body, header, secret).type == "customer.created"
        assert int(header.split(",")[0][2:]) > time.time() + 3000
        return
    with pytest.raises((stripe.SignatureVerificationError, ValueError)):
        stripe.Webhook.construct_event(body, headers.get("stripe-signature"), secret)


def test_the_clock_moves(sandbox: Sandbox, client: Any, catcher: Catcher) -> None:
    price = {"currency": "usd", "unit_amount": 900, "product_data": {"name": "x"}}
    session = client.checkout.sessions.create(
        params={"mode": "payment", "success_url": "http://a/", "line_items": [{"quantity": 1, "price_data": price}]}
    )
    slow = client.checkout.sessions.create(
        params={"mode": "payment", "success_url": "http://a/", "line_items": [{"quantity": 1, "price_data": price}]}
    )
    assert sandbox.http.post(slow.url, data={"bank": "pays"}).status_code == 303
    day = 24 * 3600
    before = len(catcher.caught)
    try:
        sandbox.control("clock", shift_s=10)
        assert client.checkout.sessions.retrieve(slow.id).payment_status == "paid"
        sandbox.control("clock", shift_s=-10)
        sandbox.control("clock", shift_s=day)
        assert client.checkout.sessions.retrieve(session.id).status == "expired"
        sandbox.calm()
        ((headers, _),) = told(catcher, before, "checkout.session.expired")
        stamp = int(headers["stripe-signature"].split(",")[0].removeprefix("t="))
        assert stamp > time.time() + day - 60
    finally:
        sandbox.control("clock", shift_s=-day)


def test_a_restart_forgets_nothing(tmp_path: Path, catcher: Catcher) -> None:
    file, keys = tmp_path / "memory.jsonl", access.fresh()
    options = {"idempotency_key": uuid4().hex}
    with running(webhooks=f"{catcher.url}/r", file=file, keys=keys) as one:
        client = client_of(one)
        customer = client.customers.create()
        method = client.payment_methods.attach("pm_card_visa", params={"customer": customer.id})
        price = {"currency": "usd", "unit_amount": 900, "product_data": {"name": "x"}}
        session = client.checkout.sessions.create(
            params={"mode": "payment", "success_url": "http://a/", "line_items": [{"quantity": 1, "price_data": price}]}
        )
        paid = client.payment_intents.create(params=PARAMS, options=options)
        auth = (keys.paypal_client_id, keys.paypal_client_secret)
        token = one.http.post("/v1/oauth2/token", auth=auth, data={"grant_type": "client_credentials"}).json()
        order = one.http.post(
            "/v2/checkout/orders",
            headers={"authorization": f"Bearer {token['access_token']}"},
            json={"intent": "CAPTURE", "purchase_units": [{"amount": {"currency_code": "USD", "value": "9.00"}}]},
        ).json()
        one.calm()
        one.control("hold")
        gone = client.customers.create()
        assert one.http.post(order["links"][1]["href"], data={"answer": "approve"}).status_code == 200
        root = one.http.get("/_sandbox/paypal/root.pem").content
    before = len(catcher.caught)
    file.write_bytes(file.read_bytes() + b'{"kind":"customer","thing":{"id":"cus_torn')
    # As after a restart of the whole server: another port, other secrets, nothing forgotten.
    with running(webhooks=f"{catcher.url}/r", file=file, keys=access.fresh()) as two:
        client = client_of(two)
        assert client.payment_methods.list(params={"customer": customer.id}).data[0].id == method.id
        assert client.payment_intents.create(params=PARAMS, options=options).id == paid.id
        opened = client.checkout.sessions.retrieve(session.id)
        assert opened.url.startswith(two.access.url)
        assert two.pay(opened.url).status_code == 303
        assert two.http.get("/_sandbox/paypal/root.pem").content == root
        # What was not told before is told now.
        two.calm()
        paypal = [json.loads(body) for path, _, body in catcher.caught[before:] if path == "/r/paypal"]
        assert [one["event_type"] for one in paypal] == ["CHECKOUT.ORDER.APPROVED"]
        assert paypal[0]["links"][0]["href"].startswith(two.access.url)
        assert gone.id in [json.loads(body)["data"]["object"]["id"] for _, body in told(catcher, before)]
    text = file.read_text()
    assert "4242424242424242" not in text
    assert "cus_torn" not in text


def test_the_control_api_is_only_for_programs_of_this_machine(sandbox: Sandbox) -> None:
    page = sandbox.http.post("/_sandbox/payout", content=b"{}", headers={"content-type": "text/plain"})
    assert page.status_code == 415
    assert sandbox.http.get("/_sandbox/nothing").status_code == 404
    rebound = sandbox.http.post("/_sandbox/payout", json={}, headers={"host": "shop.example:8420"})
    assert rebound.status_code == 403
    unknown = sandbox.http.post("/_sandbox/dispute", json={"id": "ch_none"})
    assert (unknown.status_code, "no such charge" in unknown.text) == (400, True)


def test_it_stays_up_whatever_is_sent(sandbox: Sandbox) -> None:
    for raw in (b"GARBAGE\r\n\r\n", b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n"):
        import socket

        with socket.create_connection(("127.0.0.1", sandbox.server.port)) as peer:
            peer.sendall(raw)
            assert peer.recv(64).startswith(b"HTTP/1.1 400")
    deep = "a" + "[b]" * 40 + "=1"
    bearer = {"authorization": f"Bearer {sandbox.access.stripe_key}"}
    assert sandbox.http.post("/v1/customers", content=deep, headers=bearer).status_code == 400
    assert sandbox.http.post("/v1/customers", content="a[b]=1&a=2&a[c]=3", headers=bearer).status_code == 400
    with pytest.raises(httpx.HTTPError):
        sandbox.http.post("/v1/customers", content=b"x" * 2_000_000, headers=bearer)


def test_the_reference_names_everything() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "sandbox-processor.md").read_text()
    named = [cards.written(card.number) for card in cards.CARDS]
    named += [f"`{name}`" for name in (*get_args(Act), *NONSENSE, *forge.STRIPE, *forge.PAYPAL)]
    named += [f"`{card.alias}`" for card in cards.CARDS]
    assert [one for one in named if one not in page] == []


def test_the_reference_names_every_order(sandbox: Sandbox) -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "sandbox-processor.md").read_text()
    there_is = sandbox.http.get("/_sandbox/nothing").json()["there_is"]
    assert [one for one in there_is if f"/_sandbox/{one.split()[1]}`" not in page] == []
