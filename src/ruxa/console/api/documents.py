"""``/api/v1/documents``, statements, billing details and alerts of an organisation."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Literal

import msgspec
from litestar import Request, Response, get, post, put
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, JSONBody, QueryParameter

from ruxa.console import assets, paying, tables
from ruxa.console.api import caller
from ruxa.console.api.billing import Before
from ruxa.console.api.caller import ManyLimit
from ruxa.console.headers import Edge
from ruxa.console.page import Deps
from ruxa.console.words import Library, language
from ruxa.kernel import ids
from ruxa.kernel.errors import InvalidCall
from ruxa.kernel.sealed import Sealed
from ruxa.ledger.alerts import alerts
from ruxa.ledger.documents import document, issue, monthly, profile, show

Money = Annotated[Literal["live", "sandbox"], QueryParameter(description="Which credit the statement is about.")]
HEAD = ("kind", "label", "quantity", "amount_micros")


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """An issued invoice, receipt, credit note or monthly statement; micros. corrects: of a credit note."""

    id: str
    name: str
    kind: str
    scope: str
    issued_at: datetime
    currency: str
    net_micros: int
    tax_micros: int
    gross_micros: int
    order: str | None
    corrects: str | None


class DocumentPage(msgspec.Struct, frozen=True):
    """Documents, newest first; ``next`` is the ``before`` of the next page."""

    documents: list[Document]
    next: str | None


class BillingDetails(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Whom invoices are for. country: two letters; language: of documents, en or zh."""

    name: str
    address: list[str] = []
    country: str = ""
    tax_id: str = ""
    contact: str = ""
    language: str = "en"


class Alerts(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Of what is told by mail. low_balance_micros: 0 for never."""

    low_balance_micros: int
    budget: bool
    payment: bool
    unusual: bool


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """A bound that was crossed; ``ended_at`` when it was crossed back."""

    kind: str
    amount_micros: int
    bound_micros: int
    began_at: datetime
    ended_at: datetime | None


def document_of(found: document.Document) -> Document:
    """A document as JSON."""
    return Document(
        id=ids.text("doc", found.id),
        name=found.name,
        kind=found.kind,
        scope=found.scope,
        issued_at=found.issued_at,
        currency=found.currency,
        net_micros=found.net_micros,
        tax_micros=found.tax_micros,
        gross_micros=found.gross_micros,
        order=None if found.order_id is None else ids.text("order", found.order_id),
        corrects=None if found.corrects_id is None else ids.text("doc", found.corrects_id),
    )


def handlers(deps: Deps, edge: Edge) -> list[HTTPRouteHandler]:
    """The routes."""
    library = Library()

    @get("/api/v1/documents", operation_id="documents_list", tags=["Billing"], summary="Issued documents, newest first")
    async def documents_list(
        request: Request[Any, Any, Any], before: Before = None, limit: ManyLimit = 100
    ) -> DocumentPage:
        async with caller.entered(deps, edge, request, "document:read") as who:
            after = ids.read("doc", before) if before else None
            found = await document.listed(who.work, who.organisation_ref, before=after, limit=limit)
            shown = [document_of(one) for one in found]
            return DocumentPage(shown, shown[-1].id if len(shown) == limit else None)

    @get("/api/v1/documents/{document_id:str}", operation_id="documents_show", tags=["Billing"], summary="One document")
    async def documents_show(request: Request[Any, Any, Any], document_id: FromPath[str]) -> Document:
        async with caller.entered(deps, edge, request, "document:read") as who:
            return document_of(await document.find(who.work, ids.read("doc", document_id), who.organisation_ref))

    @get(
        "/api/v1/documents/{document_id:str}/pdf",
        operation_id="documents_pdf",
        tags=["Billing"],
        summary="A document as PDF, in its own language",
        media_type="application/pdf",
    )
    async def documents_pdf(request: Request[Any, Any, Any], document_id: FromPath[str]) -> Response[bytes]:
        async with caller.entered(deps, edge, request, "document:read") as who:
            found = await document.find(who.work, ids.read("doc", document_id), who.organisation_ref)
            words = library.words(language(found.language) or "en")
            made = await show.pdf(who.work, deps.vault, found, words, assets.VENDOR)
        named = {"content-disposition": f'attachment; filename="{found.name}.pdf"'}
        return Response(made, media_type="application/pdf", headers=named)

    @post(
        "/api/v1/orders/{order_id:str}/invoice",
        operation_id="orders_invoice",
        status_code=200,
        tags=["Billing"],
        summary="The invoices of a payment from before there were billing details, made now where they are missing",
    )
    async def orders_invoice(request: Request[Any, Any, Any], order_id: FromPath[str]) -> list[Document]:
        async with caller.entered(deps, edge, request, "billing:change") as who:
            order = await paying.own(who.work, order_id, who.organisation_ref)
            made = await issue.invoice_for(who.work, deps.vault, deps.terms, order.id)
            await who.note("document:asked", order.id)
            return [document_of(await document.find(who.work, one)) for one in made]

    @get(
        "/api/v1/statements/{month:str}",
        operation_id="statements_csv",
        tags=["Billing"],
        summary="What the credit did in a month, as CSV",
        media_type="text/csv",
    )
    async def statements_csv(
        request: Request[Any, Any, Any], month: FromPath[str], money: Money = "live"
    ) -> Response[bytes]:
        async with caller.entered(deps, edge, request, "document:read") as who:
            found = await monthly.of_month(who.work, who.organisation_ref, _month(month), scope=money)
            rows = [(line.kind, line.label, line.quantity, line.amount_micros) for line in found.lines]
        return Response(tables.as_csv(HEAD, rows), media_type="text/csv")

    return [documents_list, documents_show, documents_pdf, orders_invoice, statements_csv, *_settings(deps, edge)]


def _month(text: str) -> date:
    try:
        return date.fromisoformat(f"{text}-01")
    except ValueError:
        raise InvalidCall("A month is written as 2026-11.", param="month") from None


def _settings(deps: Deps, edge: Edge) -> list[HTTPRouteHandler]:
    @get("/api/v1/billing-details", operation_id="billing_details_show", tags=["Billing"], summary="Whom invoices name")
    async def billing_details_show(request: Request[Any, Any, Any]) -> BillingDetails:
        async with caller.entered(deps, edge, request, "document:read") as who:
            found = await profile.find(who.work, deps.vault, who.organisation_ref)
            if found is None:
                return BillingDetails(name="")
            party = found.party.open(profile.PURPOSE)
            return BillingDetails(
                name=party.name,
                address=list(party.address),
                country=party.country,
                tax_id=party.tax_id,
                contact=party.contact,
                language=party.language,
            )

    @put("/api/v1/billing-details", operation_id="billing_details_put", tags=["Billing"], summary="Set them")
    async def billing_details_put(request: Request[Any, Any, Any], data: JSONBody[BillingDetails]) -> BillingDetails:
        async with caller.entered(deps, edge, request, "billing:change") as who:
            party = profile.checked(
                data.name,
                tuple(data.address),
                data.country,
                data.tax_id,
                data.contact,
                "zh" if data.language == "zh" else "en",
            )
            await profile.put(who.work, deps.vault, who.organisation_ref, Sealed(party))
            await who.note("billing:changed", who.organisation_id)
        return data

    @get("/api/v1/alerts", operation_id="alerts_show", tags=["Billing"], summary="Of what is told by mail")
    async def alerts_show(request: Request[Any, Any, Any]) -> Alerts:
        async with caller.entered(deps, edge, request, "payment:read") as who:
            found = await alerts.find(who.work, who.organisation_ref)
            return Alerts(
                low_balance_micros=found.low_micros,
                budget=found.budget,
                payment=found.payment,
                unusual=found.unusual,
            )

    @put("/api/v1/alerts", operation_id="alerts_put", tags=["Billing"], summary="Set them")
    async def alerts_put(request: Request[Any, Any, Any], data: JSONBody[Alerts]) -> Alerts:
        async with caller.entered(deps, edge, request, "billing:change") as who:
            wanted = alerts.Settings(
                low_micros=data.low_balance_micros, budget=data.budget, payment=data.payment, unusual=data.unusual
            )
            await alerts.put(who.work, who.organisation_ref, wanted)
            await who.note("alerts:changed", who.organisation_id)
        return data

    @get("/api/v1/alerts/told", operation_id="alerts_told", tags=["Billing"], summary="What was crossed, newest first")
    async def alerts_told(request: Request[Any, Any, Any]) -> list[Alert]:
        async with caller.entered(deps, edge, request, "payment:read") as who:
            return [
                Alert(
                    kind=one.kind,
                    amount_micros=one.micros,
                    bound_micros=one.bound_micros,
                    began_at=one.began_at,
                    ended_at=one.ended_at,
                )
                for one in await alerts.listed(who.work, who.organisation_ref)
            ]

    return [billing_details_show, billing_details_put, alerts_show, alerts_put, alerts_told]
