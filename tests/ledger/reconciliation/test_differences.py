"""Reconciliation: every kind of difference is found, named once, and gone when it is mended; the journal balances."""

from __future__ import annotations

import csv
import io
import json
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from uuid import UUID, uuid4

import psycopg
import pytest

from ledger.documents.conftest import Shop, shop
from ruxa.egress.processor import Entry
from ruxa.kernel.errors import Conflict, InvalidCall, NotFound, UpstreamBusy
from ruxa.ledger.documents import profile
from ruxa.ledger.payments.orders import Order
from ruxa.ledger.reconciliation import differences, jobs, journal, report
from ruxa.ledger.reconciliation.differences import Difference, Ran

__all__ = ["shop"]

NOW = datetime.now(UTC)
TODAY = NOW.date()


def entry(kind: str, source: str, gross: int, fee: int = 0, *, currency: str = "USD", ext_id: str = "") -> Entry:
    """A line of the processor's books."""
    return Entry(
        ext_id=ext_id or f"txn_{kind}_{source}",
        kind=kind,  # type: ignore[arg-type]
        source=source,
        gross_minor=gross,
        fee_minor=fee,
        net_minor=gross - fee,
        currency=currency,
        at=NOW,
    )


def capture(order: Order) -> str:
    """The capture's id at the processor."""
    return f"pi_{order.id.hex}"


async def run(shop: Shop, *entries: Entry, day: date = TODAY) -> Ran:
    async with shop.worker.work() as work:
        return await differences.run(work, "stripe", day, entries)


async def opened(shop: Shop, state: str | None = "open") -> list[Difference]:
    async with shop.console.work() as work:
        return await differences.listed(work, state=state)  # type: ignore[arg-type]


async def kinds(shop: Shop) -> dict[str, tuple[str, int | None, int | None]]:
    """Open differences but for the whole balance: ext id -> kind, here, there."""
    return {one.ext_id: (one.kind, one.here, one.there) for one in await opened(shop) if one.object != "balance"}


async def test_books_that_agree_have_no_difference_however_often_they_are_read(shop: Shop) -> None:
    ref = await shop.organisation()
    order = await shop.order(ref, 10_000)
    await shop.fact(order, 10_000, ext_id=capture(order), fee=320)
    await shop.fact(order, 1_000, kind="refund", ext_id="re_1", parent=capture(order))
    books = (entry("capture", capture(order), 10_000, 320), entry("refund", "re_1", -1_000))
    assert await run(shop, *books) == Ran(compared=2, differs=0, opened=0, gone=0)
    assert await run(shop, *books) == Ran(compared=2, differs=0, opened=0, gone=0)
    assert await opened(shop) == []
    async with shop.console.work() as work:
        (clearing,) = (await report.of_days(work, TODAY, TODAY + timedelta(days=1))).clearing
    assert clearing.here_micros == 8_680 * 10_000
    assert clearing.there_minor == 8_680


async def test_every_kind_of_difference_has_its_name(shop: Shop) -> None:
    ref = await shop.organisation()
    agreed, less, dearer, foreign, absent, failed = [await shop.order(ref, 10_000) for _ in range(6)]
    for order in (agreed, less, dearer, foreign, absent):
        await shop.fact(order, 10_000, ext_id=capture(order), fee=320)
    await shop.fact(agreed, 500, kind="refund", status="failed", ext_id="re_failed", parent=capture(agreed))
    await shop.fact(failed, 10_000, status="failed", ext_id=capture(failed))
    await run(
        shop,
        entry("capture", capture(agreed), 10_000, 320),
        entry("refund", "re_failed", -500),
        entry("capture", capture(less), 9_000, 320),
        entry("capture", capture(dearer), 10_000, 400),
        entry("capture", capture(foreign), 10_000, 320, currency="EUR"),
        entry("capture", "pi_nobody", 77),
        entry("payout", "po_1", -5_000),
        entry("other", "adj_1", -3),
    )
    assert await kinds(shop) == {
        "re_failed": ("status_differs", 0, -500),
        capture(less): ("amount_differs", 10_000, 9_000),
        capture(dearer): ("fee_differs", 320, 400),
        capture(foreign): ("currency_differs", 10_000, 10_000),
        capture(absent): ("missing_there", 10_000, None),
        "pi_nobody": ("missing_here", None, 77),
        "po_1": ("missing_here", None, -5_000),
        "adj_1": ("missing_here", None, -3),
    }
    (whole,) = [one for one in await opened(shop) if one.object == "balance"]
    assert whole.kind == "balance_differs"
    assert {one.organisation_ref for one in await opened(shop) if one.ext_id == capture(less)} == {ref}
    assert {one.age_days for one in await opened(shop)} == {0}


async def test_what_is_mended_is_gone_and_what_comes_late_too(shop: Shop) -> None:
    ref = await shop.organisation()
    order = await shop.order(ref, 10_000)
    await shop.fact(order, 10_000, ext_id=capture(order))
    ran = await run(shop, entry("payout", "po_1", -100))
    assert (ran.differs, ran.opened) == (2, 2)
    assert set(await kinds(shop)) == {capture(order), "po_1"}
    # A day later the line comes, and with it the fee that we had not known; the payout is noted.
    await shop.fact(order, 10_000, ext_id=capture(order), fee=320)
    payout = await _payout(shop, "po_1", 100)
    ran = await run(shop, entry("capture", capture(order), 10_000, 320), day=TODAY + timedelta(days=1))
    assert (ran.differs, ran.opened, ran.gone) == (1, 0, 2), (
        "only the balance of before is left, and goes with this run"
    )
    assert await opened(shop) == []
    assert {one.state for one in await opened(shop, None)} == {"gone"}
    assert payout


async def _payout(shop: Shop, ext_id: str, cents: int) -> UUID:
    from ruxa.egress.processor import RANKS, Fact
    from ruxa.ledger.payments import facts

    fact = Fact(
        kind="payout",
        ext_id=ext_id,
        order_id=None,
        amount_minor=cents,
        currency="USD",
        status="succeeded",
        rank=RANKS["succeeded"],
        at=NOW,
        livemode=True,
        account="acct_1",
    )
    async with shop.worker.work() as work:
        return (await facts.note(work, "stripe", fact)).fact_id


async def test_a_dispute_is_its_withdrawal_and_what_comes_back_when_it_is_won(shop: Shop) -> None:
    ref = await shop.organisation()
    order = await shop.order(ref, 10_000)
    await shop.fact(order, 10_000, ext_id=capture(order))
    await shop.fact(order, 10_000, kind="dispute", status="open", ext_id="dp_1", parent=capture(order))
    books = [entry("capture", capture(order), 10_000), entry("dispute", "dp_1", -10_000, ext_id="a")]
    await run(shop, *books)
    assert await opened(shop) == [], "the balance too: what is in dispute is gone from both"
    await shop.fact(order, 10_000, kind="dispute", status="won", ext_id="dp_1", parent=capture(order))
    await run(shop)
    assert await kinds(shop) == {"dp_1": ("amount_differs", 0, -10_000)}
    await run(shop, entry("dispute_won", "dp_1", 10_000, ext_id="b"))
    assert await kinds(shop) == {}


async def test_a_difference_is_owned_and_ends_by_a_persons_word_once(shop: Shop) -> None:
    await run(shop, entry("other", "adj_1", -3))
    one = next(one for one in await opened(shop) if one.object == "other")
    staff = uuid4()
    async with shop.console.work() as work:
        await differences.assign(work, one.id, staff)
        assert [found.id for found in await differences.listed(work, owner_id=staff)] == [one.id]
        for outcome, reference, code in (
            ("other", None, "bad_outcome"),
            ("timing", "a b", "bad_reference"),
            ("timing", "", "bad_reference"),
        ):
            with pytest.raises(InvalidCall) as told:
                await differences.resolve(work, one.id, outcome, reference, "staff")
            assert told.value.code == code
        await differences.resolve(work, one.id, "accepted", "T-17", "staff")
        found = await differences.find(work, one.id)
        assert (found.state, found.outcome, found.reference, found.owner_id) == ("resolved", "accepted", "T-17", staff)
        with pytest.raises(NotFound):
            await differences.find(work, uuid4())
    for act in (
        lambda work: differences.resolve(work, one.id, "accepted", None, "staff"),
        lambda work: differences.assign(work, one.id, None),
    ):
        with pytest.raises(Conflict) as refused:
            async with shop.console.work() as work:
                await act(work)
        assert refused.value.code == "RX085"
    # It stays accepted while it stays as it was.
    await run(shop)
    assert [one.object for one in await opened(shop)] == ["balance"]
    await run(shop, entry("other", "adj_1", -4, ext_id="txn_more"))
    assert await kinds(shop) == {"adj_1": ("missing_here", None, -7)}


async def test_nobody_changes_the_books_that_were_read(shop: Shop) -> None:
    await run(shop, entry("other", "adj_1", -3))
    for sql in (
        "UPDATE ledger.reconciliation_entry SET gross_minor = 1, net_minor = 1",
        "DELETE FROM ledger.reconciliation_entry",
        "DELETE FROM ledger.difference",
        "UPDATE ledger.difference SET kind = 'fee_differs'",
    ):
        with pytest.raises(psycopg.Error) as refused:
            await shop.admin(sql)
        assert refused.value.sqlstate == "RX900"


class Till:
    """Processors' books by day; one that is away."""

    def __init__(self, books: dict[date, list[Entry]]) -> None:
        self.books = books
        self.asked: list[tuple[str, date]] = []

    def reporting(self) -> list[str]:
        return ["paypal", "stripe"]

    async def report(self, name: str, day: date) -> list[Entry]:
        self.asked.append((name, day))
        if name == "paypal":
            raise UpstreamBusy("away", code="processor_busy")
        return self.books.get(day, [])


async def test_the_daily_job_asks_for_each_day_once_and_tells(shop: Shop) -> None:
    told: list[tuple[str, dict[str, object]]] = []

    class Sink:
        def emit(self, event: str, level: str = "info", **fields: object) -> None:
            told.append((event, fields))

    yesterday = TODAY - timedelta(days=1)
    till = Till({yesterday: [entry("other", "adj_1", -3)]})
    await run(shop, day=TODAY - timedelta(days=4))
    scopes = {"stripe": "live", "paypal": "live"}
    assert await jobs.run(shop.worker, till, scopes, Sink()) == 2  # type: ignore[arg-type]
    days = [day for name, day in till.asked if name == "stripe"]
    assert days == [TODAY - timedelta(days=back) for back in (3, 2, 1)]
    assert ("payment.failed", {"provider": "paypal", "kind": "report", "code": "processor_busy"}) in told
    assert ("reconciliation.differs", {"provider": "stripe", "kind": "open", "count": 2}) in told
    till.asked.clear()
    await jobs.run(shop.worker, till, scopes, Sink())  # type: ignore[arg-type]
    assert [name for name, _ in till.asked] == ["paypal"]


async def test_calls_that_left_and_calls_in_the_books_are_compared(shop: Shop) -> None:
    async with shop.worker.work() as work:
        assert not await differences.upstream(work, TODAY)
    await shop.admin(
        "INSERT INTO privacy.recipient (name, host, port, role, who, categories, purposes, place, safeguard, source)"
        " VALUES ('openai', 'api.openai.com', 443, 'provider', 'x', '{user.content}', '{provide}', 'US', 'x', 'code')"
    )
    await shop.admin(
        "INSERT INTO privacy.egress_daily VALUES (%s, 'openai', 'api.openai.com', 'user.content', 40)", TODAY
    )
    # Of what a call sends, each category is counted: the calls are as many as the largest says. The sandbox counts too,
    # a payment processor of this machine does not.
    await shop.admin("INSERT INTO privacy.egress_daily VALUES (%s, 'openai', 'api.openai.com', 'user.name', 7)", TODAY)
    for name, sends in (("sandbox", 5), ("stripe", 9)):
        await shop.admin(
            "INSERT INTO privacy.recipient (name, host, port, role, who, categories, purposes, place, safeguard,"
            " source)"
            " VALUES (%s, '127.0.0.1', 443, 'own', 'x', '{user.content}', '{provide}', 'US', 'x', 'code')",
            name,
        )
        await shop.admin("INSERT INTO privacy.egress_daily VALUES (%s, %s, '127.0.0.1', 'x', %s)", TODAY, name, sends)
    for _ in range(2):
        async with shop.worker.work() as work:
            assert await differences.upstream(work, TODAY)
    (one,) = await opened(shop)
    assert (one.kind, one.here, one.there) == ("upstream_differs", 0, 45)
    await shop.admin("DELETE FROM privacy.egress_daily")
    async with shop.worker.work() as work:
        assert not await differences.upstream(work, TODAY)
    assert await opened(shop) == []


async def test_the_report_can_be_read_by_people_and_programs(shop: Shop) -> None:
    ref = await shop.organisation()
    order = await shop.order(ref, 10_000)
    await shop.fact(order, 10_000, ext_id=capture(order), fee=320)
    await run(shop, entry("capture", capture(order), 9_900, 320), entry("other", "<script>=1+1", -3))
    async with shop.console.work() as work:
        found = await report.of_days(work, TODAY, TODAY + timedelta(days=1))
    (total,) = [one for one in found.totals if one.object == "capture"]
    assert (total.here, total.there, total.fee_here, total.fee_there) == (10_000, 9_900, 320, 320)
    said = report.html(found)
    assert "&lt;script&gt;" in said
    assert "<script>" not in said
    assert "99.00 (1)" in said
    assert json.loads(report.as_json(found))["totals"][0]["day"] == TODAY.isoformat()
    rows = list(csv.reader(io.StringIO(report.csv(found).decode())))
    assert rows[1][6:9] == ["100.00", "1", "99.00"]
    assert [report.minor(amount) for amount in (None, 0, -5, 12_345)] == ["", "0.00", "-0.05", "123.45"]


async def test_the_journal_balances_and_names_documents(shop: Shop) -> None:
    ref = await shop.organisation(profile.checked("Works", (), "DE"))
    order = await shop.order(ref, 10_000, 1_900)
    await shop.fact(order, 11_900, ext_id=capture(order), fee=320)
    await shop.refunded(order, 1_190)
    await _payout(shop, "po_1", 5_000)
    test = await shop.paid(ref, 700, scope="sandbox")
    issued = {one.kind: one for one in await shop.issue(order)}
    since, until = NOW - timedelta(days=1), NOW + timedelta(days=1)
    rows = b"".join([piece async for piece in journal.csv(shop.operator, since, until)])
    lines = list(csv.DictReader(io.StringIO(rows.decode())))
    debits = sum(int(line["debit"].replace(".", "")) for line in lines if line["debit"])
    credits_ = sum(int(line["credit"].replace(".", "")) for line in lines if line["credit"])
    assert debits == credits_ > 0
    sums: dict[str, int] = defaultdict(int)
    for line in lines:
        sums[line["account"]] += int((line["debit"] or "0").replace(".", "")) - int(
            (line["credit"] or "0").replace(".", "")
        )
    assert sums == {
        "asset:clearing:stripe": (11_900 - 320 - 1_190 - 5_000) * 10_000,
        "asset:bank": 5_000 * 10_000,
        "expense:processor_fees": 320 * 10_000,
        "liability:customer_credit": -9_000 * 10_000,
        "liability:tax:de": -1_710 * 10_000,
    }
    named = {line["reference"]: line["document"] for line in lines if line["document"]}
    assert named[capture(order)] == issued["invoice"].name
    assert issued["credit_note"].name in named.values()
    # The tax that documents say is the tax that is owed.
    assert issued["invoice"].tax_micros - issued["credit_note"].tax_micros == -sums["liability:tax:de"]
    sandbox = b"".join([piece async for piece in journal.csv(shop.operator, since, until, scope="sandbox")])
    assert capture(test).encode() in sandbox
    assert capture(test).encode() not in rows
