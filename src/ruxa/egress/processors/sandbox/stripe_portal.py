"""Stripe's customer portal: a session is a link to a page of saved cards."""

from __future__ import annotations

from ruxa.egress.processors.sandbox.books import Json, fresh
from ruxa.egress.processors.sandbox.stripe_api import Ask, route
from ruxa.egress.processors.sandbox.stripe_customers import living


@route("POST", "/v1/billing_portal/sessions")
def create(ask: Ask) -> Json:
    """A link to the portal of one customer."""
    form, books = ask.form, ask.books
    form.only("customer", "locale", "return_url")
    customer = living(books, form.need("customer"), "customer")
    id_ = fresh("bps_1")
    session: Json = {
        "id": id_,
        "object": "billing_portal.session",
        "configuration": "bpc_1RuxaSandbox0000",
        "created": books.now(),
        "customer": customer["id"],
        "flow": None,
        "livemode": ask.books.livemode,
        "locale": form.text("locale"),
        "on_behalf_of": None,
        "return_url": form.text("return_url"),
        "url": f"{books.access.url}/c/portal/{id_}",
    }
    return books.put("portal", session)
