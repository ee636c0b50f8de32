"""A desk that takes payments in tests: orders, facts as processors tell them, and what came of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from books import Books
from ruxa.egress.processor import RANKS, Card, Fact
from ruxa.kernel import ids
from ruxa.ledger import accounts
from ruxa.ledger.payments import disputes, facts, freezes, orders, refunds


class Desk:
    """One organisation's payments, at one processor."""

    def __init__(self, books: Books, ref: UUID, processor: str = "stripe", scope: str = "live") -> None:
        self.books = books
        self.ref = ref
        self.processor = processor
        self.scope = scope
        self.captures = 0

    async def order(self, amount: int, *, tax: int = 0, method: str = "card", **fields: Any) -> orders.Order:
        """An open order of so much credit."""
        given: dict[str, Any] = {"kind": "checkout", "save_method": False, "scope": self.scope, "tax_code": "de"}
        async with self.books.console.work() as work:
            return await orders.create(
                work,
                self.ref,
                amount_micros=amount,
                tax_micros=tax,
                processor=self.processor,
                method=method,
                expires_at=datetime.now(UTC) + timedelta(minutes=30),
                **{**given, **fields},
            )

    def fact(self, kind: str, ext_id: str, amount: int, status: str, **fields: Any) -> Fact:
        """What the processor says."""
        given: dict[str, Any] = {
            "kind": kind,
            "ext_id": ext_id,
            "order_id": None,
            "amount_minor": amount,
            "currency": "USD",
            "status": status,
            "rank": RANKS[status],  # pyright: ignore[reportArgumentType]
            "at": datetime.now(UTC),
            "livemode": self.scope == "live",
            "account": "acct_1",
        }
        return Fact(**{**given, **fields})

    async def note(self, fact: Fact, **fields: Any) -> facts.Effect:
        """Notes a fact as the worker does."""
        async with self.books.worker.work() as work:
            return await facts.note(
                work,
                self.processor,
                fact,
                signals=self.books.signals,  # pyright: ignore[reportArgumentType]
                **fields,
            )

    async def capture(
        self, order: orders.Order, amount: int | None = None, ext_id: str = "ch_1", *, fee: int | None = None,
        status: str = "succeeded", **fields: Any,
    ) -> facts.Effect:  # fmt: skip
        """The order's payment."""
        return await self.note(
            self.fact(
                "capture",
                ext_id,
                order.total_minor if amount is None else amount,
                status,
                order_id=order.id,
                fee_minor=fee,
                **fields,
            )
        )

    async def refund(
        self, order: orders.Order, amount: int, ext_id: str, status: str = "succeeded", parent: str = "ch_1"
    ) -> facts.Effect:
        """A refund as the processor knows it."""
        return await self.note(self.fact("refund", ext_id, amount, status, order_id=order.id, parent=parent))

    async def dispute(
        self, order: orders.Order, amount: int, status: str, ext_id: str = "dp_1", parent: str = "ch_1", **fields: Any
    ) -> facts.Effect:
        """A dispute as the processor knows it."""
        return await self.note(self.fact("dispute", ext_id, amount, status, order_id=order.id, parent=parent, **fields))

    async def ask(self, order: orders.Order, amount: int, by: str = "member:1", **fields: Any) -> refunds.Refund:
        """Asks for a refund."""
        async with self.books.console.work() as work:
            return await refunds.ask(work, self.ref, order.id, amount, None, by, **fields)

    async def refunds_due(self) -> list[refunds.Refund]:
        """What is to be sent now."""
        async with self.books.worker.work() as work:
            return await refunds.due(work)

    async def sent(self, wish: refunds.Refund, ext_id: str, status: str = "succeeded") -> facts.Effect:
        """The processor took a refund."""
        fact = self.fact(
            "refund", ext_id, wish.amount_minor, status, order_id=wish.order_id, parent=wish.capture_ext_id
        )
        async with self.books.worker.work() as work:
            return await refunds.sent(work, wish.id, fact)

    async def refundable(self, order: orders.Order) -> int:
        """What can be refunded now."""
        async with self.books.console.work() as work:
            return await refunds.refundable(work, order.id)

    async def find(self, order: orders.Order) -> orders.Order:
        """The order as it is now."""
        async with self.books.console.work() as work:
            found = await orders.find(work, order.id)
        assert found is not None
        return found

    async def disputed(self) -> list[disputes.Dispute]:
        """The organisation's disputes."""
        async with self.books.console.work() as work:
            return await disputes.listed(work, organisation_ref=self.ref)

    async def freezes(self) -> list[freezes.Freeze]:
        """The organisation's freezes."""
        async with self.books.console.work() as work:
            return await freezes.of(work, self.ref)

    async def lent(self) -> int:
        """How many leases of the organisation are open."""
        async with self.books.admin() as admin:
            asked = "SELECT count(*) FROM ledger.lease WHERE organisation_ref = %s AND state = 'open'"
            row = await (await admin.execute(asked, [self.ref])).fetchone()
        return 0 if row is None else row[0]

    async def spend(self, amount: int) -> None:
        """Spends from what there is, through a lease that is closed."""
        lease = await self.books.lend(self.ref, amount, self.scope)
        await self.books.flush([self.books.row(self.ref, lease, amount, self.scope)])
        await self.books.close(lease)

    async def balance(self) -> accounts.Balance:
        """What the organisation has."""
        return await self.books.balance(self.ref, self.scope)

    async def sums(self, code: str) -> int:
        """An account's posted debits less credits; 0 when there is none."""
        async with self.books.operator.work() as work:
            found = {account.code: account for account in await accounts.every(work)}
        account = found.get(code)
        return 0 if account is None else account.debits_posted - account.credits_posted


CARD = Card(brand="visa", last4="4242", exp_month=12, exp_year=2030, fingerprint="fp")


async def desk_of(books: Books, processor: str = "stripe", scope: str = "live") -> Desk:
    """A fresh organisation's desk."""
    return Desk(books, ids.fresh(), processor, scope)
