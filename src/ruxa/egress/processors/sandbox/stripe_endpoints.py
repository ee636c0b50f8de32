"""Stripe's webhook endpoints: where events are told, and the secret that signs them."""

from __future__ import annotations

import secrets

from ruxa.egress.processors.sandbox.books import Books, Json, fresh, shown
from ruxa.egress.processors.sandbox.stripe_api import Ask, find, listed, route
from ruxa.egress.processors.sandbox.stripe_errors import refuse


def endpoint(books: Books, url: str, events: list[str]) -> Json:
    """An endpoint that is not in the books yet."""
    return {
        "id": fresh("we_1"),
        "object": "webhook_endpoint",
        "api_version": None,
        "application": None,
        "created": books.now(),
        "description": None,
        "enabled_events": events,
        "livemode": books.livemode,
        "metadata": {},
        "status": "enabled",
        "url": url,
        "_secret": f"whsec_{secrets.token_hex(16)}",
    }


@route("POST", "/v1/webhook_endpoints")
def create(ask: Ask) -> Json:
    """A new endpoint; its secret is told this once."""
    form = ask.form
    form.only("description", "enabled_events", "metadata", "url")
    made = endpoint(ask.books, form.need("url"), _events(form.words("enabled_events")))
    made |= {"description": form.text("description"), "metadata": form.metadata()}
    ask.books.put("endpoint", made)
    return {**shown(made), "secret": made["_secret"]}


def _events(named: list[str]) -> list[str]:
    if not named:
        raise refuse("Missing required param: enabled_events.", code="parameter_missing", param="enabled_events")
    return named


@route("GET", "/v1/webhook_endpoints")
def every(ask: Ask) -> Json:
    """All endpoints."""
    ask.form.only("ending_before", "limit", "starting_after")
    return listed(ask, ask.books.every("endpoint"), "/v1/webhook_endpoints")


@route("GET", "/v1/webhook_endpoints/{}")
def retrieve(ask: Ask) -> Json:
    """One endpoint, without its secret."""
    ask.form.only()
    return find(ask.books, "endpoint", ask.ids[0])


@route("POST", "/v1/webhook_endpoints/{}")
def update(ask: Ask) -> Json:
    """Changes where, what for, and whether."""
    form = ask.form
    form.only("description", "disabled", "enabled_events", "metadata", "url")
    found = find(ask.books, "endpoint", ask.ids[0])
    if form.has("url"):
        found["url"] = form.need("url")
    if form.has("enabled_events"):
        found["enabled_events"] = _events(form.words("enabled_events"))
    if form.has("disabled"):
        found["status"] = "disabled" if form.flag("disabled") else "enabled"
    if form.has("description"):
        found["description"] = form.text("description")
    found["metadata"] = form.metadata(found["metadata"])
    return ask.books.put("endpoint", found)


@route("DELETE", "/v1/webhook_endpoints/{}")
def delete(ask: Ask) -> Json:
    """Forgets an endpoint."""
    found = find(ask.books, "endpoint", ask.ids[0])
    ask.books.drop("endpoint", found["id"])
    return {"id": found["id"], "object": "webhook_endpoint", "deleted": True}
