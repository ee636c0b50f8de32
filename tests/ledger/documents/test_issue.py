"""Issuing: receipts, invoices and credit notes from facts; numbers without gaps; nothing issued ever changes."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import uuid4

import psycopg
import pytest

from ledger.documents.conftest import LIBRARY, Shop
from ruxa.console import assets
from ruxa.kernel.errors import Broken, Conflict, NotFound
from ruxa.ledger.documents import document, issue, jobs, pdf, profile, show
from ruxa.ledger.documents.document import Line, TaxRow
from ruxa.ledger.documents.issue import Draft
from ruxa.ledger.documents.profile import Party

if TYPE_CHECKING:
    from conftest import Sizes

BERLIN = profile.checked("\u0141\u00f3d\u017a Works", ("Street 1", "", " 10115  Berlin "), "de", "")
PARIS = profile.checked("Soci\u00e9t\u00e9", ("Rue 1",), "FR", "FR 12 345678901", language="zh")


def draft(ref: object, origin: str = "", **more: object) -> Draft:
    """A receipt over a dollar."""
    fields: dict[str, object] = {
        "kind": "receipt",
        "organisation_ref": ref,
        "scope": "live",
        "origin": origin or f"test:{uuid4().hex}",
        "party": None,
        "lines": (Line("credit", "x", 1, 1_000_000),),
        "net_micros": 1_000_000,
        "supplied_on": datetime.now(UTC).date(),
    }
    return Draft(**(fields | more))  # type: ignore[arg-type]


async def test_a_payment_gets_a_receipt_and_an_invoice_once(shop: Shop) -> None:
    ref = await shop.organisation(BERLIN)
    order = await shop.paid(ref, 10_000, 1_900)
    receipt, invoice = await shop.issue(order)
    assert [one.kind for one in (receipt, invoice)] == ["receipt", "invoice"]
    year = shop.terms.fiscal_year(invoice.issued_at)
    assert [one.name for one in (receipt, invoice)] == [f"RX-RCP-{year}-000001", f"RX-INV-{year}-000001"]
    assert (invoice.net_micros, invoice.tax_micros, invoice.gross_micros) == (100_000_000, 19_000_000, 119_000_000)
    assert (invoice.place_country, invoice.place_evidence) == ("DE", "address")
    assert invoice.reference == order.reference
    assert invoice.ext_id == f"pi_{order.id.hex}"
    assert [one.id for one in await shop.issue(order)] == [receipt.id, invoice.id]
    async with shop.console.work() as work:
        assert await document.taxes(work, invoice.id) == [TaxRow("DE", "USt", "19", 100_000_000, 19_000_000, "charged")]
        assert await document.lines(work, invoice.id) == [Line("credit", order.reference, 1, 100_000_000)]
        whom = await document.party(work, shop.vault, invoice)
        assert whom is not None
        party = whom.open("billing")
        assert (party.name, party.address) == ("\u0141\u00f3d\u017a Works", ("Street 1", "10115 Berlin"))
        assert len(party.mark) == 32
        assert await document.by_name(work, f" {invoice.name.lower()} ") == invoice
        assert {one.id for one in await document.of_order(work, order.id)} == {receipt.id, invoice.id}
        assert [one.id for one in await document.listed(work, ref, limit=1)] == [invoice.id]
        assert [one.id for one in await document.listed(work, ref, before=invoice.id)] == [receipt.id]
        with pytest.raises(NotFound):
            await document.find(work, invoice.id, uuid4())
    assert await shop.wrong() == []


async def test_what_is_printed_is_the_same_for_ever_though_the_profile_changes(shop: Shop) -> None:
    ref = await shop.organisation(BERLIN)
    _, invoice = await shop.issue(await shop.paid(ref, 10_000, 1_900))
    async with shop.console.work() as work:
        first = await show.pdf(work, shop.vault, invoice, LIBRARY.words("en"), assets.VENDOR)
        await profile.put(work, shop.vault, ref, profile.Sealed(PARIS))
        invoice = await document.find(work, invoice.id)
        assert invoice.pdf_sha256 == pdf.digest(first)
        assert await show.pdf(work, shop.vault, invoice, LIBRARY.words("en"), assets.VENDOR) == first
        assert not await document.printed(work, invoice.id, b"1" * 32)
        assert "\u0141\u00f3d\u017a Works" in await show.html(work, shop.vault, invoice, LIBRARY.words("zh"))
        assert (await show.csv(work, invoice)).splitlines()[1].endswith(b",1,100.000000")
    assert await shop.wrong() == []


async def test_reverse_charge_no_seller_and_test_money(shop: Shop) -> None:
    ref = await shop.organisation(PARIS)
    _, invoice = await shop.issue(await shop.paid(ref, 10_000))
    assert (invoice.tax_micros, invoice.language, invoice.place_evidence) == (0, "zh", "address_and_tax_id")
    async with shop.console.work() as work:
        (row,) = await document.taxes(work, invoice.id)
    assert (row.note, row.rate, row.jurisdiction) == ("reverse_charge", "0", "FR")
    test = await shop.issue(await shop.paid(ref, 500, scope="sandbox"))
    assert {one.name.split("-20")[0] for one in test} == {"RX-TEST-RCP", "RX-TEST-INV"}
    shop.with_terms(seller=None)
    assert [one.kind for one in await shop.issue(await shop.paid(ref, 10_000))] == ["receipt"]


async def test_the_processors_own_tax_is_written_as_it_was_taken(shop: Shop) -> None:
    ref = await shop.organisation(BERLIN)
    order = await shop.order(ref, 10_000, 725)
    await shop.fact(order, 10_725, ext_id=f"pi_{order.id.hex}")
    _, invoice = await shop.issue(order)
    async with shop.console.work() as work:
        (row,) = await document.taxes(work, invoice.id)
    assert (row.jurisdiction, row.rate, row.tax_micros, row.note) == ("DE", "", 7_250_000, "charged")
    assert await shop.wrong() == []


async def test_an_invoice_may_be_asked_for_later_and_then_says_what_went_back(shop: Shop) -> None:
    ref = await shop.organisation()
    order = await shop.paid(ref, 10_000, 1_900)
    (receipt,) = await shop.issue(order)
    async with shop.console.work() as work:
        with pytest.raises(Conflict) as told:
            await issue.invoice_for(work, shop.vault, shop.terms, order.id)
        assert told.value.code == "no_profile"
        await profile.put(work, shop.vault, ref, profile.Sealed(BERLIN))
    await shop.refunded(order, 1_190)
    async with shop.console.work() as work:
        made = await issue.invoice_for(work, shop.vault, shop.terms, order.id)
        found = [await document.find(work, one) for one in made]
        assert [one.kind for one in found] == ["invoice"]
        (note,) = await document.corrections(work, found[0].id)
        assert not await document.corrections(work, receipt.id)
    assert (note.gross_micros, note.tax_micros) == (11_900_000, 1_900_000)
    assert await shop.wrong() == []


async def test_refunds_are_credited_to_the_cent_and_never_over(shop: Shop) -> None:
    ref = await shop.organisation(BERLIN)
    order = await shop.paid(ref, 9_999, 1_900)
    parts = [333, 3_001, 1, 4_999, 3_565]
    assert sum(parts) == 11_899
    notes: list[document.Document] = []
    for part in parts:
        fact_id = await shop.refunded(order, part)
        async with shop.worker.work() as work:
            (one,) = await issue.credit_note_for(work, shop.vault, shop.terms, fact_id)
            assert await issue.credit_note_for(work, shop.vault, shop.terms, fact_id) == [one]
            notes.append(await document.find(work, one))
            for row in await document.taxes(work, one):
                assert row.net_micros + row.tax_micros == part * 10_000
    _, invoice = (await shop.issue(order))[:2]
    assert sum(one.gross_micros for one in notes) == invoice.gross_micros
    assert sum(one.tax_micros for one in notes) == invoice.tax_micros
    assert {one.corrects_id for one in notes} == {invoice.id}
    async with shop.worker.work() as work:
        whom = await document.party(work, shop.vault, notes[0])
        assert whom is not None
        assert whom.open("billing").name == BERLIN.name
        more = draft(ref, kind="credit_note", fields={"corrects_id": str(invoice.id)})
        with pytest.raises(Conflict) as told:
            await issue.enter(work, shop.vault, shop.terms, more)
        assert told.value.code == "RX080"
    assert await shop.wrong() == []


async def test_a_lost_dispute_is_credited_and_a_pending_refund_is_not(shop: Shop) -> None:
    ref = await shop.organisation(BERLIN)
    order = await shop.paid(ref, 10_000, 1_900)
    await shop.issue(order)
    pending = await shop.fact(order, 500, kind="refund", status="pending", parent=f"pi_{order.id.hex}")
    async with shop.worker.work() as work:
        with pytest.raises(Conflict) as told:
            await issue.credit_note_for(work, shop.vault, shop.terms, pending)
        assert told.value.code == "not_given_back"
    await shop.fact(order, 1_190, kind="dispute", status="lost", parent=f"pi_{order.id.hex}")
    notes = [one for one in await shop.issue(order) if one.kind == "credit_note"]
    assert [one.gross_micros for one in notes] == [11_900_000]


async def test_the_job_issues_what_is_missing_and_the_proof_knows_what_is(shop: Shop) -> None:
    ref = await shop.organisation(BERLIN)
    order = await shop.paid(ref, 10_000, 1_900)
    await shop.refunded(order, 11_900)
    (before,) = await shop.admin("SELECT value, examined FROM ledger.document_proofs() WHERE name LIKE 'I43%'")
    assert before == (0, 0)
    signals: list[str] = []

    class Sink:
        def emit(self, event: str, level: str = "info", **fields: object) -> None:
            signals.append(event)

    assert await jobs.issue(shop.worker, shop.vault, shop.terms, Sink()) == 1
    assert await jobs.issue(shop.worker, shop.vault, shop.terms, Sink()) == 0
    assert signals == []
    async with shop.worker.work() as work:
        assert [one.kind for one in await document.of_order(work, order.id)] == ["receipt", "invoice", "credit_note"]


async def test_numbers_have_no_gap_whoever_issues_at_once_or_fails(shop: Shop, sizes: Sizes) -> None:
    ref = await shop.organisation()
    count = sizes["spenders"]
    again = f"test:{uuid4().hex}"

    async def one(number: int) -> str:
        try:
            async with shop.worker.work() as work:
                origin = again if number % 4 == 0 else ""
                made = await issue.enter(work, shop.vault, shop.terms, draft(ref, origin))
                if number % 3 == 1:
                    raise InterruptedError  # rolled back: its number is the next one's
                return (await document.find(work, made)).name
        except InterruptedError:
            return ""

    names = [name for name in await asyncio.gather(*(one(number) for number in range(4 * count))) if name]
    kept = sorted({int(name.rpartition("-")[2]) for name in names})
    assert kept == list(range(1, len(kept) + 1))
    assert len([name for name in names if names.count(name) > 1]) == names.count(max(names, key=names.count))
    assert await shop.wrong() == []


async def test_no_login_changes_deletes_or_numbers_a_document(shop: Shop) -> None:
    ref = await shop.organisation(BERLIN)
    await shop.issue(await shop.paid(ref, 10_000, 1_900))
    for pool in (shop.worker, shop.console, shop.operator):
        for sql in (
            "UPDATE ledger.document SET gross_micros = 1",
            "DELETE FROM ledger.document",
            "TRUNCATE ledger.document CASCADE",
            "UPDATE ledger.document_series SET last = 9",
            "INSERT INTO ledger.document_line VALUES (gen_random_uuid(), 9, gen_random_uuid(), 'credit', 'x', 1, 1)",
            "DELETE FROM ledger.document_tax",
        ):
            with pytest.raises(Broken) as told:
                async with pool.work() as work:
                    await work.run(sql)  # type: ignore[arg-type]
            assert "sqlstate=42501" in told.value.detail, (sql, told.value.detail)
    # Nor does the owner.
    for sql in (
        "UPDATE ledger.document SET gross_micros = 1, net_micros = 1, tax_micros = 0",
        "UPDATE ledger.document SET party_sealed = NULL WHERE kind = 'receipt'",
        "DELETE FROM ledger.document",
        "TRUNCATE ledger.document CASCADE",
        "UPDATE ledger.document_line SET label = 'y'",
        "DELETE FROM ledger.document_tax",
        "UPDATE ledger.document_series SET last = last + 2",
        "UPDATE ledger.document_series SET last = last + 1",
        "DELETE FROM ledger.document_series",
    ):
        with pytest.raises(psycopg.Error) as refused:
            await shop.admin(sql)
        assert refused.value.sqlstate in ("RX900", "RX053"), sql


async def test_a_planted_fault_is_found_by_its_proof(shop: Shop) -> None:
    ref = await shop.organisation(BERLIN)
    await shop.issue(await shop.paid(ref, 10_000, 1_900))
    await shop.paid(ref, 700)
    assert await shop.wrong() == []
    await shop.admin("ALTER TABLE ledger.document_line DISABLE TRIGGER USER")
    await shop.admin("UPDATE ledger.document_line SET label = 'other'")
    assert await shop.wrong() == ["I41 documents say what was issued"]
    await shop.admin("ALTER TABLE ledger.document DISABLE TRIGGER USER")
    await shop.admin("DELETE FROM ledger.document WHERE kind = 'invoice'")
    await shop.admin("ALTER TABLE payment.fact DISABLE TRIGGER USER")
    await shop.admin("UPDATE payment.fact SET changed_at = changed_at - interval '2 hours'")
    assert await shop.wrong() == [
        "I40 document numbers have no gap",
        "I41 documents say what was issued",
        "I43 every payment and refund has its document",
    ]


async def test_lines_that_do_not_add_up_are_refused(shop: Shop) -> None:
    ref = await shop.organisation()
    for more in ({"net_micros": 999_999}, {"tax_micros": 1}):
        async with shop.worker.work() as work:
            with pytest.raises(Conflict) as told:
                await issue.enter(work, shop.vault, shop.terms, draft(ref, **more))
            assert told.value.code == "RX082"


async def test_a_profile_is_sealed_and_can_be_dropped(shop: Shop) -> None:
    ref = await shop.organisation(BERLIN)
    async with shop.console.work() as work:
        found = await profile.find(work, shop.vault, ref)
        assert found is not None
        assert found.party.open("billing") == BERLIN
        assert repr(found.party) == "<sealed ledger.billing_profile.profile_sealed>"
        assert await profile.drop(work, ref)
        assert not await profile.drop(work, ref)
        assert await profile.find(work, shop.vault, ref) is None


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"name": ""}, "bad_text"),
        ({"name": "x" * 201}, "bad_text"),
        ({"name": "a\x00b"}, "bad_text"),
        ({"name": "a", "country": "Germany"}, "bad_country"),
        ({"name": "a", "country": "DE", "tax_id": "DE1"}, "bad_tax_id"),
        ({"name": "a", "address": ("x",) * 7}, "bad_text"),
        ({"name": "4242 4242 4242 4242"}, "card_number"),
        ({"name": "a", "contact": "4242424242424242"}, "card_number"),
    ],
)
def test_what_can_be_no_profile_is_refused_by_field(fields: dict[str, object], code: str) -> None:
    with pytest.raises(issue.profile.InvalidCall) as told:
        profile.checked(**fields)  # type: ignore[arg-type]
    assert told.value.code == code


def test_a_party_of_nothing_is_nowhere() -> None:
    assert issue.place_of(None) == issue.Place()
    assert Party(name="x", country="DE").place == issue.Place("DE")
