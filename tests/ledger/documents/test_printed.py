"""Documents as they are printed: HTML and PDF, both languages, names of every script, the same bytes each time."""

from __future__ import annotations

import io
import re
from datetime import UTC, date, datetime
from html.parser import HTMLParser
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pypdf import PdfReader

from ruxa.console import assets, words
from ruxa.kernel.sealed import Sealed
from ruxa.ledger.documents import html, pdf, printed
from ruxa.ledger.documents.document import Document, Kind, Line, TaxRow
from ruxa.ledger.documents.printed import Page
from ruxa.ledger.documents.profile import Party
from ruxa.ledger.documents.seller import Seller

LIBRARY = words.Library()
ONE = Document(
    id=UUID(int=7),
    kind="invoice",
    name="RX-INV-2026-000007",
    organisation_ref=UUID(int=1),
    scope="live",
    corrects_id=None,
    order_id=UUID(int=2),
    fact_id=UUID(int=3),
    reference="RX-0000-0001",
    processor="stripe",
    method="card",
    ext_id="pi_123",
    currency="USD",
    net_micros=1_234_560_000,
    tax_micros=234_570_000,
    gross_micros=1_469_130_000,
    supplied_on=date(2026, 11, 24),
    period_from=None,
    period_until=None,
    place_country="DE",
    place_evidence="address_and_tax_id",
    fiscal_year=2026,
    language="en",
    seller=Seller(name="Seller & Sons GmbH", address=("Weg 1", "10115 Berlin"), country="DE", tax_id="DE123456789"),
    party_sealed=b"x",
    issued_at=datetime(2026, 11, 24, 12, tzinfo=UTC),
    sha256=b"0" * 32,
    pdf_sha256=None,
)
LINES = (Line("credit", "RX-0000-0001", 1, ONE.net_micros),)
TAXES = (TaxRow("DE", "USt", "19", ONE.net_micros, ONE.tax_micros, "charged"),)
# Names as people and companies have them: Latin with marks, Greek, Cyrillic, Chinese, Japanese, Korean, Hebrew, Arabic.
NAMES = (
    "\u017b\u00f3\u0142\u0107 \u0141\u00f3d\u017a Sp. z o.o.",
    "\u0130stanbul \u015eirketi",
    "Nguy\u1ec5n Th\u1ecb \u00c1nh",
    "\u0391\u03b8\u03ae\u03bd\u03b1 \u0391\u0395",
    "\u041e\u041e\u041e \u0420\u043e\u043c\u0430\u0448\u043a\u0430 \u0407\u0436\u0430\u043a",
    "\u5317\u4eac\u67d0\u67d0\u79d1\u6280\u6709\u9650\u516c\u53f8",
    "\u682a\u5f0f\u4f1a\u793e\u30a2\u30af\u30e1",
    "\uc8fc\uc2dd\ud68c\uc0ac \ud55c\uad6d",
    "O\u2019Brien & <Sons>",
)


def page(one: Document = ONE, party: Party | None = None, language: words.Language = "en", **more: str) -> Page:
    lines = LINES if one.kind == "invoice" else ()
    sealed = None if party is None else Sealed(party)
    return printed.page(one, lines, TAXES if lines else (), sealed, LIBRARY.words(language), **more)


def text_of(made: bytes) -> str:
    return "\n".join(sheet.extract_text() for sheet in PdfReader(io.BytesIO(made)).pages)


class Reader(HTMLParser):
    """What a browser makes of a page: its text and its elements."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.text = ""
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(source)

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


@pytest.mark.parametrize("language", words.LANGUAGES)
@pytest.mark.parametrize("name", NAMES)
def test_a_name_of_every_script_is_text_in_both(name: str, language: words.Language) -> None:
    made = page(party=Party(name=name, address=("Street 1",), country="PL", tax_id="PL1234567890"), language=language)
    assert name in Reader(html.html(made)).text
    shown = text_of(pdf.pdf(made, assets.VENDOR))
    for wanted in (name, "Street 1", "PL1234567890", "RX-INV-2026-000007", "1,469.13 USD", "Seller & Sons GmbH"):
        assert wanted in shown
    assert LIBRARY.words(language).plain("document.invoice") in shown


def test_the_same_document_is_the_same_bytes() -> None:
    made = page(party=Party(name=NAMES[0], mark="ab" * 16))
    first = pdf.pdf(made, assets.VENDOR)
    assert first == pdf.pdf(made, assets.VENDOR)
    assert b"/CreationDate" not in first or b"20000101" in first
    other = pdf.pdf(page(party=Party(name=NAMES[0], mark="ac" * 16)), assets.VENDOR)
    assert pdf.digest(first) != pdf.digest(other)
    assert "ab" * 16 in text_of(first)


def test_amounts_are_exact_and_add_up() -> None:
    shown = Reader(html.html(page(party=Party(name="A")))).text
    for wanted in ("1,234.56", "234.57", "1,469.13 USD", "USt DE 19%"):
        assert wanted in shown
    assert [printed.amount(micros) for micros in (0, 10_000, -5, 1_234_567, 9_007_199_254_740_993_000_000)] == [
        "0.00",
        "0.01",
        "\u22120.000005",
        "1.234567",
        "9,007,199,254,740,993.00",
    ]


def test_a_credit_note_says_what_it_corrects_and_is_negative() -> None:
    one = msgspec.structs.replace(ONE, kind="credit_note", name="RX-CN-2026-000001")
    made = printed.page(
        one, (Line("refund", ONE.name, 1, ONE.net_micros),), TAXES, None, LIBRARY.words("en"), corrects=ONE.name
    )
    shown = text_of(pdf.pdf(made, assets.VENDOR))
    assert f"Given back of {ONE.name}" in shown
    assert "\u22121,469.13 USD" in shown
    assert dict(made.facts)["Corrects"] == ONE.name


def test_reverse_charge_and_test_money_say_so() -> None:
    row = TaxRow("FR", "TVA", "0", ONE.net_micros, 0, "reverse_charge")
    one = msgspec.structs.replace(ONE, scope="sandbox", tax_micros=0, gross_micros=ONE.net_micros)
    made = printed.page(one, LINES, (row,), Sealed(Party(name="A")), LIBRARY.words("en"))
    shown = Reader(html.html(made)).text
    assert "Reverse charge: the customer accounts for the tax." in shown
    assert "Test document" in shown


def test_who_it_was_for_is_said_to_be_gone_when_it_is() -> None:
    assert "can't be read any more" in Reader(html.html(page())).text


@given(st.text(min_size=1, max_size=60))
@settings(max_examples=25)
def test_nothing_that_somebody_wrote_becomes_markup(text: str) -> None:
    hostile = f"<script>x</script><img src=x onerror=y>'\"&{text}"
    made = page(party=Party(name=hostile, address=(hostile,), contact=hostile))
    source = html.html(made)
    found = Reader(source)
    assert {tag for tag, _ in found.tags} <= {
        "html", "head", "meta", "title", "style", "body", "main", "h1", "h2", "p", "div", "section", "dl", "dt", "dd",
        "table", "thead", "tbody", "tfoot", "tr", "th", "td",
    }  # fmt: skip
    assert not any(name.startswith("on") or name in ("src", "href") for _, attrs in found.tags for name in attrs)
    assert pdf.pdf(made, assets.VENDOR).startswith(b"%PDF-")


def test_the_page_says_its_language_and_its_table_heads() -> None:
    found = Reader(html.html(page(party=Party(name="A"), language="zh")))
    assert dict(found.tags)["html"]["lang"] == "zh"
    heads = [attrs for tag, attrs in found.tags if tag == "th"]
    assert [one["scope"] for one in heads[:3]] == ["col"] * 3
    assert all(one["scope"] == "row" for one in heads[3:])
    assert re.search(r"\bhttps?://", html.html(page())) is None


def test_a_long_document_has_many_sheets_and_loses_nothing() -> None:
    one = msgspec.structs.replace(
        ONE, kind="statement", period_from=date(2026, 10, 1), period_until=date(2026, 11, 1), party_sealed=None
    )
    lines = [Line("call", f"vendor/model-{number}-{'long-name-' * 8}", number, -number) for number in range(120)]
    made = printed.page(one, lines, (), None, LIBRARY.words("en"))
    sheets = PdfReader(io.BytesIO(pdf.pdf(made, assets.VENDOR))).pages
    assert len(sheets) > 3
    shown = "".join(sheet.extract_text() for sheet in sheets)
    assert all(f"vendor/model-{number}-" in shown for number in range(120))
    assert "\u22120.000119" in shown


def test_every_key_of_documents_exists_in_both_languages() -> None:
    kinds: tuple[Kind, ...] = ("invoice", "receipt", "credit_note", "statement")
    for language in words.LANGUAGES:
        texts = LIBRARY.words(language)
        for kind in kinds:
            assert texts.plain(f"document.{kind}")
            assert texts.plain(f"document.note_{kind}")
        for method in printed.METHODS:
            assert texts.plain(f"document.method_{method}")


@pytest.mark.parametrize("letter", ["\u0e44", "\u0939", "\U0001f600"])
def test_what_no_font_has_is_a_box_in_pdf_and_itself_in_html(letter: str) -> None:
    made = page(party=Party(name=f"A{letter}B"))
    assert f"A{letter}B" in Reader(html.html(made)).text
    shown = text_of(pdf.pdf(made, assets.VENDOR))
    assert "A\u25a1B" in shown
