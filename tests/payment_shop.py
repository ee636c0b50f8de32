"""A shop that takes payments in tests: console, worker's collection and sandbox processor, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import uvicorn

from books import Books
from fixtures_access import House
from payment_tills import Till, till
from ruxa.console import site
from ruxa.console.page import Deps
from ruxa.egress import processor as processing
from ruxa.egress.processor import Checkout
from ruxa.ledger import accounts
from ruxa.ledger.collection import Collection
from ruxa.ledger.documents.seller import Terms
from ruxa.ledger.documents.tax import Untaxed
from ruxa.ledger.payments import methods, orders
from ruxa.ledger.payments.orders import Order
from ruxa.store.pool import Pool

METHODS = {"stripe": "card", "paypal": "paypal"}


class Shop:
    """One organisation's way to pay. base: where the console listens; told: whether webhooks reach it."""

    def __init__(self, house: House, books: Books, till: Till, base: str) -> None:
        self.house = house
        self.books = books
        self.till = till
        self.base = base
        self.ref = uuid4()
        self.processors: dict[str, processing.Processor] = {"stripe": till.stripe, "paypal": till.paypal}
        self.collection = Collection(
            house.worker,
            house.vault,
            self.processors,
            clock=house.database.clock,
            signals=house.signals,
            base_url=base,
            terms=Terms(seller=None, engine=Untaxed()),
        )

    def tell(self, *, told: bool = True) -> None:
        """Whether the processor's webhooks reach us."""
        hooks = f"{self.base}/webhooks"
        self.till.sandbox.tell(f"{hooks}/stripe" if told else None, f"{hooks}/paypal" if told else None)

    async def order(self, name: str, cents: int = 1000, **changes: Any) -> tuple[Order, Checkout]:
        """An order with its checkout."""
        given: dict[str, Any] = {"tax_micros": 0, "kind": "checkout", "scope": "sandbox", "save_method": False}
        async with self.house.console.work() as work:
            order = await orders.create(
                work,
                self.ref,
                amount_micros=cents * 10_000,
                processor=name,
                method=METHODS.get(name) or self.processors[name].methods[0],
                expires_at=self.house.database.clock.now() + timedelta(hours=1),
                **(given | changes),
            )
            customer = await methods.customer(work, self.ref, name)
        checkout = await self.processors[name].checkout(self.told(order, customer))
        async with self.house.console.work() as work:
            await orders.bind(work, order.id, checkout.ext_id, checkout.url)
        return order, checkout

    async def transfer(self, cents: int) -> Order:
        """An order that a bank transfer is to pay."""
        now = self.house.database.clock.now()
        async with self.house.console.work() as work:
            return await orders.create(
                work,
                self.ref,
                amount_micros=cents * 10_000,
                tax_micros=0,
                processor="bank",
                method="bank_transfer",
                kind="manual",
                scope="sandbox",
                save_method=False,
                expires_at=now + timedelta(days=14),
            )

    def told(self, order: Order, customer: str | None = None) -> processing.Order:
        """The order as the processor learns of it."""
        return processing.Order(
            id=order.id,
            reference=order.reference,
            amount_minor=order.amount_minor,
            tax_minor=order.tax_minor,
            description="Prepaid API credit",
            method=order.method,
            customer=customer,
            save_method=order.save_method,
            success_url=f"{self.base}/billing?back=paid",
            cancel_url=f"{self.base}/billing?back=left",
            expires_at=order.expires_at,
            livemode=False,
        )

    async def pays(self, checkout: Checkout, number: str = "4242424242424242") -> None:
        """The customer pays on the processor's page."""
        assert checkout.url is not None
        if "/c/pay/" in checkout.url:
            await self.till.pay(checkout.url, number)
        else:
            await self.till.approve(checkout.url)

    async def paid(self, name: str, cents: int = 1000, **changes: Any) -> Order:
        """An order that was paid and credited."""
        order, checkout = await self.order(name, cents, **changes)
        await self.pays(checkout)
        await self.collection.look(await self.known(order.id))
        found = await self.known(order.id)
        assert found.state == "paid"
        return found

    async def known(self, order_id: UUID) -> Order:
        """The order as it stands."""
        async with self.house.console.work() as work:
            found = await orders.find(work, order_id)
        assert found is not None
        return found

    async def balance(self) -> accounts.Balance:
        """The organisation's sandbox credit."""
        return await self.books.balance(self.ref, "sandbox")

    async def idle(self) -> None:
        """Every webhook that is under way has been answered."""
        await self.till.control("idle")

    async def heard(self) -> None:
        """What happened at the processor is known here: told by webhooks, or read from its event list."""
        await self.idle()
        await self.collection.missed()
        await self.collection.hints()

    async def statuses(self) -> list[int]:
        """How the webhooks were answered, in order of delivery, oldest first."""
        found = [one["statuses"] for one in self.till.sandbox.books.every("delivery")]
        return [status for statuses in reversed(found) for status in statuses]

    async def prove(self) -> None:
        """Every proof of the ledger is zero."""
        await self.books.prove()


@asynccontextmanager
async def counter(house: House, *, live: bool = False) -> AsyncGenerator[Shop]:
    """One without a console: no webhook reaches it."""
    books = await Books.open(house.database)
    async with till(house.database.clock, live=live) as made:
        yield Shop(house, books, made, "http://127.0.0.1:1")


@asynccontextmanager
async def shop(house: House, *, pool: Pool | None = None) -> AsyncGenerator[Shop]:
    """One with its console listening on loopback. pool: another than the console's."""
    async with counter(house) as made:
        deps = Deps(
            pool=pool or house.console,
            copies=house.copies,
            vault=house.vault,
            hasher=house.hasher,
            clock=house.database.clock,
            signals=house.signals,
            base_url="http://127.0.0.1:1",
            mode="demo",
            processors=made.processors,
        )
        listener = socket.create_server(("127.0.0.1", 0))
        config = uvicorn.Config(
            site.create(deps), loop="asyncio", http="httptools", ws="none", log_config=None, access_log=False
        )
        server = _Quiet(config)
        serving = asyncio.ensure_future(server.serve(sockets=[listener]))
        try:
            made.base = f"http://127.0.0.1:{listener.getsockname()[1]}"
            made.tell()
            yield made
        finally:
            server.should_exit = True
            await serving
            listener.close()


class _Quiet(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        """Leave signals alone."""
        yield
