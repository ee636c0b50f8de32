"""A shop: organisations that pay by orders and facts, on a real database, and the terms of their documents."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import msgspec
import psycopg
import pytest

from fixtures_database import Database
from ruxa.console import words
from ruxa.egress.processor import RANKS, Fact, Status
from ruxa.kernel.sealed import Sealed
from ruxa.kernel.settings import BillingSettings, Settings, TaxSettings
from ruxa.ledger import proofs
from ruxa.ledger.documents import document, issue, profile, seller
from ruxa.ledger.documents.document import Document
from ruxa.ledger.documents.profile import Party
from ruxa.ledger.documents.seller import Terms
from ruxa.ledger.payments import facts, orders
from ruxa.ledger.payments.orders import Order, Scope
from ruxa.store.pool import Pool
from ruxa.store.vault import Vault

SETTINGS = Settings(
    billing=BillingSettings(
        name="Seller GmbH",
        address=("Weg 1", "10115 Berlin"),
        country="DE",
        tax_id="DE123456789",
        series="RX-",
        tax="table",
    ),
    tax={
        "DE": TaxSettings(rate="19", name="USt"),
        "FR": TaxSettings(rate="20", name="TVA", reverse_charge=True),
    },
)
TERMS = seller.terms(SETTINGS)
LIBRARY = words.Library()


class Shop:
    """The operator's side of a few customers."""

    def __init__(self, database: Database, pools: dict[str, Pool], vault: Vault) -> None:
        self.database = database
        self.worker = pools["ruxa_worker"]
        self.console = pools["ruxa_console"]
        self.operator = pools["ruxa_operator"]
        self.vault = vault
        self.terms: Terms = TERMS
        self.subjects: dict[UUID, UUID] = {}

    async def admin(self, sql: str, *args: object) -> list[tuple[object, ...]]:
        """As the database's administrator."""
        async with await psycopg.AsyncConnection.connect(self.database.admin_url, autocommit=True) as connection:
            cursor = await connection.execute(sql, args or None)  # type: ignore[arg-type]
            return await cursor.fetchall() if cursor.description else []

    async def organisation(self, party: Party | None = None) -> UUID:
        """The reference of a new organisation, with a billing profile when ``party`` is given."""
        subject, ref = uuid4(), uuid4()
        await self.vault.create_subject(subject)
        sealed = await self.vault.seal("access.organisation.name_sealed", subject, subject, "Works")
        await self.admin(
            "INSERT INTO access.organisation (id, organisation_ref, name_sealed) VALUES (%s, %s, %s)",
            subject,
            ref,
            sealed,
        )
        self.subjects[ref] = subject
        if party is not None:
            async with self.console.work() as work:
                await profile.put(work, self.vault, ref, Sealed(party))
        return ref

    async def order(self, ref: UUID, cents: int, tax_cents: int = 0, *, scope: Scope = "live") -> Order:
        """An open order of a card payment."""
        async with self.operator.work() as work:
            return await orders.create(
                work,
                ref,
                amount_micros=cents * 10_000,
                tax_micros=tax_cents * 10_000,
                processor="stripe",
                method="card",
                kind="checkout",
                scope=scope,
                save_method=False,
                expires_at=datetime.now(UTC) + timedelta(hours=1),
                tax_code="de" if tax_cents else "none",
            )

    async def fact(
        self,
        order: Order,
        cents: int,
        *,
        kind: str = "capture",
        status: Status = "succeeded",
        parent: str | None = None,
        ext_id: str = "",
        fee: int | None = None,
        tax_minor: int | None = None,
    ) -> UUID:
        """What the processor confirms; the fact's id."""
        fact = Fact(
            kind=kind,  # type: ignore[arg-type]
            ext_id=ext_id or f"{kind}_{uuid4().hex}",
            order_id=order.id,
            parent=parent,
            amount_minor=cents,
            tax_minor=tax_minor,
            currency="USD",
            fee_minor=fee,
            status=status,
            rank=RANKS[status],
            at=datetime.now(UTC),
            livemode=order.scope == "live",
            account="acct_1",
        )
        async with self.worker.work() as work:
            effect = await facts.note(work, "stripe", fact)
        assert effect.outcome in ("posted", "noted", "unchanged"), effect
        return effect.fact_id

    async def paid(self, ref: UUID, cents: int, tax_cents: int = 0, *, scope: Scope = "live") -> Order:
        """An order that is paid; the capture's id at the processor is the order's."""
        order = await self.order(ref, cents, tax_cents, scope=scope)
        await self.fact(order, cents + tax_cents, ext_id=f"pi_{order.id.hex}")
        return order

    async def refunded(self, order: Order, cents: int) -> UUID:
        """A refund made at the processor; the fact's id."""
        return await self.fact(order, cents, kind="refund", parent=f"pi_{order.id.hex}")

    async def issue(self, order: Order) -> list[Document]:
        """The documents of an order, issued as the worker does."""
        async with self.worker.work() as work:
            made = await issue.issue_for(work, self.vault, self.terms, order.id)
            return [await document.find(work, one) for one in made]

    async def wrong(self) -> list[str]:
        """The proofs that do not hold."""
        async with self.operator.work() as work:
            return [proof.name for proof in await proofs.check(work) if not proof.ok]

    def with_terms(self, **changed: object) -> None:
        """Other settings from here on."""
        self.terms = msgspec.structs.replace(self.terms, **changed)


@pytest.fixture
async def shop(database: Database) -> Shop:
    """A shop without customers."""
    logins = ("ruxa_worker", "ruxa_console", "ruxa_operator")
    pools = {login: await database.pool(login) for login in logins}
    return Shop(database, pools, await database.vault())
