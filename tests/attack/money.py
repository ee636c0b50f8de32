"""Planting in the records of money: what is sealed there by a billing key, written by the functions that pages call."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from attack.loot import Instance
from attack.plants import Words
from ruxa.access import provider_keys
from ruxa.egress.processor import RANKS, Fact, Status
from ruxa.kernel import ids
from ruxa.kernel.clock import Clock
from ruxa.kernel.sealed import Sealed
from ruxa.kernel.settings import Settings
from ruxa.ledger.documents import issue, seller
from ruxa.ledger.payments import disputes, facts, orders, refunds
from ruxa.ledger.payments.orders import Order
from ruxa.store.pool import Pool
from ruxa.store.vault import Vault

# Nobody's: what it is to be asked or told is left to lie.
PROCESSOR = "nobody"


async def plant(instance: Instance, organisation: str, words: Words) -> None:
    """A receipt for the billing profile that is there, a refund and a credit with reasons, a dispute with an answer;
    and a provider key of its own."""
    organisation_id = ids.read("org", organisation)
    clock = Clock()
    vault = await Vault.unlock(instance.address, instance.keys, clock=clock)
    pool = await Pool.open(instance.address.url("ruxa_operator"), login="ruxa_operator", clock=clock)
    year = clock.now().year

    async def sealed(column: str, row: UUID, name: str) -> bytes:
        return await vault.seal(column, organisation_id, row, f"{words.word(name)} of mine", year=year)

    try:
        async with pool.work() as work:
            ref: UUID = await work.value(
                "SELECT organisation_ref FROM access.organisation WHERE id = %s", organisation_id
            )
            paid, disputed = [await _paid(work, ref) for _ in range(2)]
            own = Sealed(f"sk-{words.word('ownkey')}0123456789")
            await provider_keys.put(work, vault, organisation_id, "nobody", own)
            await issue.issue_for(work, vault, seller.terms(Settings()), paid.id)
            refund_id = ids.fresh()
            reason = await sealed("payment.refund.reason_sealed", refund_id, "refund")
            await refunds.ask(work, ref, paid.id, 1_000_000, reason, "staff:1", refund_id=refund_id)
            wish_id = ids.fresh()
            reason = await sealed("payment.wish.reason_sealed", wish_id, "wish")
            put = "SELECT payment.wish_put(%s, 'credit', %s, 'sandbox', 1000000, NULL, %s, 'staff:1')"
            await work.run(put, wish_id, ref, reason)
            effect = await facts.note(work, PROCESSOR, _fact(disputed, "dispute", "open", parent=_capture(disputed)))
            answer = await sealed("payment.evidence.text_sealed", effect.fact_id, "evidence")
            await disputes.evidence(work, effect.fact_id, answer, "staff:1")
    finally:
        await pool.close()
        await vault.close()


async def _paid(work: object, ref: UUID) -> Order:
    order = await orders.create(
        work,  # type: ignore[arg-type]
        ref,
        amount_micros=5_000_000,
        tax_micros=0,
        processor=PROCESSOR,
        method="card",
        kind="checkout",
        scope="sandbox",
        save_method=False,
        expires_at=datetime.now(UTC) + timedelta(hours=1),
    )
    await facts.note(work, PROCESSOR, _fact(order, "capture", "succeeded"))  # type: ignore[arg-type]
    return order


def _capture(order: Order) -> str:
    return f"pi_{order.id.hex}"


def _fact(order: Order, kind: str, status: Status, *, parent: str | None = None) -> Fact:
    return Fact(
        kind=kind,  # type: ignore[arg-type]
        ext_id=_capture(order) if kind == "capture" else f"{kind}_{order.id.hex}",
        order_id=order.id,
        parent=parent,
        amount_minor=500,
        currency="USD",
        fee_minor=None,
        status=status,
        rank=RANKS[status],
        at=datetime.now(UTC),
        livemode=False,
        account="",
    )
