"""Showing: an issued document as HTML or PDF, in any language of the catalogues."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from uuid import UUID

from ruxa.kernel.money import usd
from ruxa.ledger.documents import document, printed
from ruxa.ledger.documents.document import Document, Language
from ruxa.ledger.documents.export import table
from ruxa.ledger.documents.html import html as set_html
from ruxa.ledger.documents.printed import Page, Texts
from ruxa.store.vault import Vault
from ruxa.store.work import Work


async def page(work: Work, vault: Vault, one: Document, texts: Texts, *, purpose: str = "billing") -> Page:
    """What is set: everything of the document in one language."""
    corrects = "" if one.corrects_id is None else (await document.find(work, one.corrects_id)).name
    party = await document.party(work, vault, one, purpose=purpose)
    lines, taxes = await document.lines(work, one.id), await document.taxes(work, one.id)
    return printed.page(one, lines, taxes, party, texts, corrects=corrects)


async def html(work: Work, vault: Vault, one: Document, texts: Texts) -> str:
    """The document as one HTML file."""
    return set_html(await page(work, vault, one, texts))


async def pdf(work: Work, vault: Vault, one: Document, texts: Texts, fonts: Path) -> bytes:
    """The document as PDF, the same bytes each time; its hash is noted when it is first printed in its own language.

    fonts: the folder of DejaVuSans.ttf and DejaVuSans-Bold.ttf.
    """
    from ruxa.ledger.documents import pdf as setting  # a tenth of a second to import, for whoever prints

    made = setting.pdf(await page(work, vault, one, texts), fonts)
    if texts.language == one.language and one.pdf_sha256 is None:
        await document.printed(work, one.id, setting.digest(made))
    return made


def paper(
    vault: Vault, texts_of: Callable[[Language], Texts], fonts: Path
) -> Callable[[Work, UUID], Awaitable[tuple[str, bytes]]]:
    """What prints a document in its own language: the name of its file, and the PDF."""

    async def printing(work: Work, document_id: UUID) -> tuple[str, bytes]:
        one = await document.find(work, document_id)
        return f"{one.name}.pdf", await pdf(work, vault, one, texts_of(one.language), fonts)

    return printing


async def csv(work: Work, one: Document) -> bytes:
    """Its lines as CSV, with a head."""
    rows = [
        (line.kind, line.label, line.quantity, usd(line.amount_micros)) for line in await document.lines(work, one.id)
    ]
    return table([("kind", "label", "quantity", f"amount_{one.currency.lower()}"), *rows])
