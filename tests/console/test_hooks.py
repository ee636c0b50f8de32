"""Webhooks at the console's own door, and what becomes of them: money once, however and whenever it is told."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import timedelta
from time import perf_counter
from typing import Any
from uuid import uuid4

import httpx
import msgspec
import pytest

from fixtures_access import House
from payment_shop import METHODS, Shop, shop
from ruxa.egress.processors.sandbox import forge
from ruxa.ledger.payments import inbox

CARD = "4242424242424242"


@pytest.fixture
async def store(house: House) -> AsyncGenerator[Shop]:
    async with shop(house) as made:
        yield made


@pytest.fixture(params=sorted(METHODS))
def name(request: pytest.FixtureRequest) -> str:
    """Each processor in turn."""
    found: str = request.param
    return found


def decisive(name: str) -> str:
    """The event that says that it was paid, or may be taken."""
    return "checkout.session.completed" if name == "stripe" else "CHECKOUT.ORDER.APPROVED"


async def test_a_webhook_credits_once_however_often_and_in_whatever_order_it_comes(
    store: Shop, name: str, sizes: Any
) -> None:
    await store.till.control("hold")
    order, checkout = await store.order(name, 2500)
    await store.pays(checkout)
    await store.till.control("release", backwards=True)
    await store.idle()
    assert set(await store.statuses()) == {200}
    assert (await store.balance()).balance_micros == 0, "a webhook alone is no money"
    await store.collection.hints()
    assert (await store.known(order.id)).state == "paid"
    assert (await store.balance()).balance_micros == 25_000_000
    # Again, each with a signature of its own (PayPal's as a transmission of its own: a hint of its own); then all look.
    times = 50 if name == "stripe" or sizes.long else 8
    await store.till.control("webhooks", vendor=name, kind=decisive(name), times=times)
    await store.idle()
    await store.collection.hints()
    await store.collection.poll(seconds=0)
    await store.collection.missed()
    await store.collection.hints()
    assert (await store.balance()).balance_micros == 25_000_000
    # One whose answer was late on a busy machine was sent again until it was taken.
    assert {200} <= set(await store.statuses()) <= {0, 200}
    assert await store.collection.hints() == 0
    await store.prove()


async def test_no_forgery_leaves_a_trace(store: Shop, name: str) -> None:
    _, checkout = await store.order(name, 2500)
    await store.till.control("hold")
    await store.pays(checkout)
    store.till.sandbox.sender.holding = False
    for kind in forge.STRIPE if name == "stripe" else [one for one in forge.PAYPAL if one not in _WORTHLESS]:
        await store.till.control("webhooks", vendor=name, kind=decisive(name), forge=kind)
        await store.idle()
        assert (await store.statuses())[-1] in (400, 401), kind
    refused = [fields for event, fields in store.house.signals.told if event == "webhook.refused"]
    assert len(refused) == len(forge.STRIPE if name == "stripe" else forge.PAYPAL) - (2 if name == "paypal" else 0)
    assert {fields["provider"] for fields in refused} == {name}
    async with store.house.worker.work() as work:
        assert await inbox.due(work) == []
    assert (await store.balance()).balance_micros == 0


_WORTHLESS = ("repeated", "same_crc")


async def test_a_lie_under_a_good_signature_says_only_where_to_look(store: Shop) -> None:
    """The amount of the body is changed, the CRC is not: what is credited is what PayPal's API says."""
    order, checkout = await store.order("paypal", 500)
    await store.pays(checkout)
    await store.idle()
    await store.till.control("webhooks", vendor="paypal", kind=decisive("paypal"), forge="same_crc")
    await store.till.control("webhooks", vendor="paypal", kind=decisive("paypal"), forge="repeated")
    await store.idle()
    await store.collection.hints()
    assert (await store.balance()).balance_micros == 5_000_000
    assert (await store.known(order.id)).received_minor == 500


async def test_with_no_webhook_at_all_the_poller_credits(store: Shop, name: str) -> None:
    store.tell(told=False)
    order, checkout = await store.order(name, 1500)
    await store.collection.poll(seconds=0)
    assert (await store.known(order.id)).state == "open"
    await store.pays(checkout)
    await store.collection.poll(seconds=0)
    assert (await store.balance()).balance_micros == 15_000_000
    await store.collection.poll(seconds=0)
    assert (await store.balance()).balance_micros == 15_000_000


async def test_what_we_were_not_told_while_away_is_read_from_the_event_list(store: Shop, name: str) -> None:
    assert await store.collection.missed() == 0, "nobody ordered: nobody is asked"
    store.tell(told=False)
    _, checkout = await store.order(name, 1500)
    await store.pays(checkout)
    assert await store.collection.missed() > 0
    await store.collection.hints()
    assert (await store.balance()).balance_micros == 15_000_000
    await store.collection.missed()  # what our own capture made happen
    assert await store.collection.missed() == 0


async def test_an_event_that_is_a_day_old_still_counts(store: Shop, name: str) -> None:
    store.tell(told=False)
    _, checkout = await store.order(name, 1500)
    await store.pays(checkout)
    for kind in ("event", "paypal.event"):
        for event in store.till.sandbox.books.every(kind):
            if "created" in event:
                event["created"] -= 86_400
            else:
                event["create_time"] = (store.till.clock.now() - timedelta(days=1)).isoformat()
    store.tell()
    await store.till.control("webhooks", vendor=name, kind=decisive(name))
    await store.idle()
    assert await store.statuses() == [200]
    await store.collection.hints()
    assert (await store.balance()).balance_micros == 15_000_000


async def test_while_the_database_is_away_the_processor_is_told_to_come_again(house: House) -> None:
    away = await house.database.pool("ruxa_console")
    await away.close()
    async with shop(house, pool=away) as store:
        _, checkout = await store.order("stripe", 1000)
        await store.pays(checkout)
        await store.idle()
        assert set(await store.statuses()) == {503}
        async with house.worker.work() as work:
            assert await inbox.due(work) == []


async def test_answers_come_fast_and_nothing_of_the_body_stays(store: Shop) -> None:
    event = {
        "id": "evt_1",
        "type": "charge.succeeded",
        "created": int(store.till.clock.now().timestamp()),
        "livemode": False,
        "data": {"object": {"id": "ch_1nothing", "description": f"card {CARD}", "receipt_email": "pat@example.com"}},
    }
    took: list[float] = []
    async with httpx.AsyncClient(base_url=store.base) as http:
        for number in range(40):
            body = msgspec.json.encode(event | {"id": f"evt_{number}"})
            began = perf_counter()
            answer = await http.post("/webhooks/stripe", content=body, headers=signature(store, body))
            took.append(perf_counter() - began)
            assert answer.status_code == 200
            assert answer.json() == {"received": True}
    assert sorted(took)[-2] < 0.3
    async with store.house.operator.work() as work:
        kept = repr(await work.rows("SELECT to_jsonb(i) FROM payment.inbox AS i"))
    assert "evt_39" in kept
    for word in (CARD, CARD[:8], "pat@"):
        assert word not in kept
        assert word not in repr(store.house.signals.told)


def signature(store: Shop, body: bytes, **changes: Any) -> dict[str, str]:
    now = int(store.till.clock.now().timestamp())
    return forge.stripe_headers(store.till.sandbox.access.stripe_webhook_secret, body, now) | changes


async def test_the_door_bounds_what_it_takes_and_knows_its_processors(store: Shop) -> None:
    body = b'{"id":"evt_1"' + b" " * (256 * 1024) + b"}"
    async with httpx.AsyncClient(base_url=store.base) as http:
        assert (await http.post("/webhooks/stripe", content=body, headers=signature(store, body))).status_code == 413
        answer = await http.post("/webhooks/bitcoin", content=b"{}")
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/json")
        assert (await http.post("/webhooks/stripe", content=b"{}")).json()["error"]["type"] == "webhook_malformed"
        assert (await http.post("/webhooks/stripe", content=b"{}", headers={"host": "evil.example"})).status_code == 400
        assert (await http.get("/webhooks/stripe")).status_code in (404, 405)
        card = msgspec.json.encode({"id": CARD, "type": CARD, "data": {"object": {"id": CARD}}})
        refused = await http.post("/webhooks/stripe", content=card, headers=signature(store, card))
    assert refused.status_code == 400
    assert CARD not in refused.text + repr(store.house.signals.told)


@pytest.mark.parametrize(
    ("patch", "reason"),
    [
        ({"amount_received": 999_999}, "amount"),
        ({"currency": "eur"}, "currency"),
        ({"livemode": True}, "mode"),
        ({"metadata.order": str(uuid4())}, "order"),
    ],
)
async def test_what_does_not_fit_is_set_aside_and_never_credited(store: Shop, patch: Any, reason: str) -> None:
    store.tell(told=False)
    _, checkout = await store.order("stripe", 1000)
    await store.pays(checkout)
    intent = next(store.till.sandbox.books.every("payment_intent"))["id"]
    for path, value in patch.items():
        thing = store.till.sandbox.books.get("payment_intent", intent)
        assert thing is not None
        where, _, last = path.rpartition(".")
        (thing[where] if where else thing)[last] = value
    await store.collection.note("stripe", await store.till.stripe.read("payment_intent.succeeded", intent))
    assert (await store.balance()).balance_micros == 0
    told = [fields["reason"] for event, fields in store.house.signals.told if event == "payment.quarantined"]
    assert told == [reason]


async def test_nonsense_from_the_processor_moves_nothing_and_is_asked_again(store: Shop, name: str) -> None:
    order, checkout = await store.order(name, 1000)
    await store.pays(checkout)
    await store.idle()
    where = "GET /v1/*" if name == "stripe" else "GET /v2/*"
    await store.till.control("faults", on=where, do="nonsense", times=0)
    await store.collection.hints()
    await store.collection.poll(seconds=0)
    assert (await store.known(order.id)).state == "open"
    failed = {fields["code"] for event, fields in store.house.signals.told if event == "payment.failed"}
    assert failed == {"processor_nonsense"}
    store.till.sandbox.faults.rules.clear()
    await store.collection.poll(seconds=0)
    assert (await store.known(order.id)).state == "paid"
