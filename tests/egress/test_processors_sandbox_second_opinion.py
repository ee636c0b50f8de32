"""A second opinion: what localstripe can do too, the sandbox processor does with the same results.

localstripe is somebody else's idea of Stripe, for tests only (its licence keeps it out of the product). It is served
here on a loopback socket of ours, since it would listen on every interface, and is kept from writing to the disk.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import stripe

from processors_sandbox import Sandbox, running


@contextmanager
def localstripe() -> Iterator[str]:
    """Where it listens."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from aiohttp import web
        from localstripe import server
        from localstripe.resources import store

        store.dump_to_disk = lambda: None
        loop = asyncio.new_event_loop()
        runner = web.AppRunner(server.app, access_log=None)
        listening = socket.socket()
        listening.bind(("127.0.0.1", 0))

        async def start() -> None:
            await runner.setup()
            await web.SockSite(runner, listening).start()

        loop.run_until_complete(start())
        thread = threading.Thread(target=loop.run_forever, daemon=True)
        thread.start()

        async def stop() -> None:
            await runner.cleanup()
            # It sends webhooks a second later, to nobody here.
            rest = asyncio.all_tasks() - {asyncio.current_task()}
            for task in rest:
                task.cancel()
            await asyncio.gather(*rest, return_exceptions=True)

        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            asyncio.run_coroutine_threadsafe(stop(), loop).result(10)
            loop.call_soon_threadsafe(loop.stop)
            thread.join(10)
            loop.close()


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with running() as made:
        yield made


@pytest.fixture(scope="module")
def clients(sandbox: Sandbox) -> Iterator[tuple[Any, Any]]:
    with localstripe() as url:
        ours = stripe.StripeClient(sandbox.access.stripe_key, base_addresses={"api": sandbox.access.url})
        theirs = stripe.StripeClient("sk_test_12345", base_addresses={"api": url})
        yield ours.v1, theirs.v1


def customer(client: Any) -> object:
    made = client.customers.create(params={"email": "a@example.com", "description": "d", "metadata": {"a": "1"}})
    changed = client.customers.update(made.id, params={"name": "N", "metadata": {"b": "2"}})
    found = client.customers.list(params={"email": "a@example.com"}).data
    read = client.customers.retrieve(made.id)
    return (
        *(getattr(read, name) for name in ("object", "email", "name", "description", "delinquent", "livemode")),
        dict(changed.metadata.to_dict()),
        [one.id == made.id for one in found],
        made.id[:4],
    )


def deleted_customer(client: Any) -> object:
    made = client.customers.create()
    gone = client.customers.delete(made.id)
    return gone.deleted, gone.object


def method(client: Any) -> object:
    owner = client.customers.create()
    card = {"number": "4242424242424242", "exp_month": 12, "exp_year": 2034, "cvc": "123"}
    made = client.payment_methods.create(params={"type": "card", "card": card})
    attached = client.payment_methods.attach(made.id, params={"customer": owner.id})
    found = client.payment_methods.list(params={"customer": owner.id, "type": "card"}).data
    detached = client.payment_methods.detach(made.id)
    shown = ("brand", "last4", "exp_month", "exp_year", "funding")
    return (
        made.object,
        made.type,
        made.customer,
        [getattr(attached.card, name) for name in shown],
        attached.customer == owner.id,
        [one.id == made.id for one in found],
        detached.customer,
    )


def intent(client: Any, alias: str = "pm_card_visa", **more: Any) -> Any:
    owner = client.customers.create()
    held = client.payment_methods.attach(alias, params={"customer": owner.id})
    params = {"amount": 1500, "currency": "usd", "customer": owner.id, "payment_method": held.id, **more}
    return client.payment_intents.create(params=params)


def looked(made: Any) -> object:
    names = ("object", "amount", "currency", "status", "livemode", "capture_method")
    values = [getattr(made, name) for name in names]
    # Ours says what Stripe says today; theirs what it said before.
    values[-1] = str(values[-1]).removesuffix("_async")
    return values, made.client_secret.startswith(made.id)


def paid_at_once(client: Any) -> object:
    return looked(intent(client, confirm=True, off_session=True))


def confirmed_later(client: Any) -> object:
    made = intent(client)
    return (
        looked(made),
        looked(client.payment_intents.confirm(made.id)),
        looked(client.payment_intents.retrieve(made.id)),
    )


def canceled(client: Any) -> object:
    made = client.payment_intents.cancel(intent(client).id)
    return made.status


def captured_by_hand(client: Any) -> object:
    made = intent(client, capture_method="manual", confirm=True)
    done = client.payment_intents.capture(made.id)
    return made.status, done.status


def charge_of(client: Any, made: Any) -> Any:
    """By the customer's list: theirs does not name the latest one."""
    return client.charges.list(params={"customer": made.customer}).data[0]


def charge(client: Any) -> object:
    made = intent(client, confirm=True)
    read = client.charges.retrieve(charge_of(client, made).id)
    names = (
        "object",
        "amount",
        "currency",
        "paid",
        "captured",
        "refunded",
        "amount_refunded",
        "status",
        "failure_code",
    )
    return [getattr(read, name) for name in names], read.id[:3]


def refund(client: Any) -> object:
    made = intent(client, confirm=True)
    part = client.refunds.create(params={"payment_intent": made.id, "amount": 500})
    rest = client.refunds.create(params={"charge": charge_of(client, made).id, "amount": 1000})
    read = charge_of(client, made)
    return (
        part.object,
        part.amount,
        part.status,
        rest.amount,
        read.amount_refunded,
        read.refunded,
        part.charge == read.id,
    )


def declined(client: Any) -> object:
    told: list[object] = []
    owner = client.customers.create()
    for number in ("4000000000000002", "4000000000009995"):
        card = {"number": number, "exp_month": 12, "exp_year": 2034, "cvc": "123"}
        made = client.payment_methods.create(params={"type": "card", "card": card})
        with pytest.raises(stripe.CardError) as refused:
            client.payment_methods.attach(made.id, params={"customer": owner.id})
        told.append((refused.value.http_status, refused.value.code))
    with pytest.raises(stripe.CardError) as refused:
        intent(client, "pm_card_chargeCustomerFail", confirm=True, off_session=True)
    return told, refused.value.http_status, refused.value.code


def bad_requests(client: Any) -> object:
    told: list[object] = []
    for params in (
        {"amount": 1500},
        {"amount": "x", "currency": "usd"},
        {"amount": 1500, "currency": "usd", "foo": "1"},
    ):
        with pytest.raises(stripe.InvalidRequestError) as refused:
            client.payment_intents.create(params=params)
        told.append(refused.value.http_status)
    for lookup in (client.customers, client.payment_intents, client.charges):
        with pytest.raises(stripe.InvalidRequestError) as missing:
            lookup.retrieve("none_1")
        told.append(missing.value.http_status)
    return told


def pages(client: Any) -> object:
    for _ in range(3):
        intent(client, confirm=True)
    page = client.charges.list(params={"limit": 2})
    following = client.charges.list(params={"limit": 2, "starting_after": page.data[-1].id})
    return (
        page.object,
        page.url,
        len(page.data),
        page.has_more,
        following.data[0].id not in [one.id for one in page.data],
    )


def events(client: Any) -> object:
    made = client.customers.create()
    found = client.events.list(params={"type": "customer.created", "limit": 100}).data
    mine = [one for one in found if one.type == "customer.created" and one.data.object.id == made.id]
    return [(one.object, one.livemode, one.data.object.object) for one in mine]


@pytest.mark.parametrize(
    "ask",
    [
        customer,
        deleted_customer,
        method,
        paid_at_once,
        confirmed_later,
        canceled,
        captured_by_hand,
        charge,
        refund,
        declined,
        bad_requests,
        pages,
        events,
    ],
    ids=lambda ask: ask.__name__,
)
def test_both_say_the_same(clients: tuple[Any, Any], ask: Callable[[Any], object]) -> None:
    ours, theirs = clients
    assert ask(ours) == ask(theirs)
