"""PayPal's webhooks: where events are told, the list of events, the verification of a signature by the API."""

from __future__ import annotations

from typing import Any

import msgspec

from ruxa.egress.processors.sandbox import paypal_trust
from ruxa.egress.processors.sandbox.books import Books, Json, fresh_capitals, shown
from ruxa.egress.processors.sandbox.paypal_api import Ask, find, invalid, link, moment, parts_of, route


class _Verify(msgspec.Struct):
    auth_algo: str
    cert_url: str
    transmission_id: str
    transmission_sig: str
    transmission_time: str
    webhook_id: str
    webhook_event: msgspec.Raw


def add_webhook(books: Books, url: str, kinds: list[str], id_: str | None = None) -> Json:
    """Remembers a webhook."""
    id_ = id_ or fresh_capitals()
    made = {
        "id": id_,
        "url": url,
        "event_types": [{"name": kind, "status": "ENABLED"} for kind in kinds],
        "links": [link(books, f"/v1/notifications/webhooks/{id_}", "self")],
    }
    return books.put("paypal.webhook", made)


@route("POST", "/v1/notifications/webhooks")
def create(ask: Ask) -> tuple[int, Any]:
    """A new webhook."""
    url = ask.body.get("url")
    if not isinstance(url, str):
        raise invalid("MISSING_REQUIRED_PARAMETER", "A required field / parameter is missing.", "/url")
    named = [str(one.get("name", "")) for one in parts_of(ask.body.get("event_types"), "/event_types")]
    return 201, shown(add_webhook(ask.books, url, named))


@route("GET", "/v1/notifications/webhooks")
def every(ask: Ask) -> tuple[int, Any]:
    """All webhooks."""
    return 200, {"webhooks": [shown(one) for one in ask.books.every("paypal.webhook")]}


@route("GET", "/v1/notifications/webhooks/{}")
def retrieve(ask: Ask) -> tuple[int, Any]:
    """One webhook."""
    return 200, shown(find(ask.books, "paypal.webhook", ask.ids[0]))


@route("DELETE", "/v1/notifications/webhooks/{}")
def delete(ask: Ask) -> tuple[int, Any]:
    """Forgets a webhook."""
    find(ask.books, "paypal.webhook", ask.ids[0])
    ask.books.drop("paypal.webhook", ask.ids[0])
    return 204, None


@route("POST", "/v1/notifications/verify-webhook-signature")
def verify(ask: Ask) -> tuple[int, Any]:
    """Whether a webhook came from here; its body counts byte for byte as it stands in the request."""
    try:
        asked = msgspec.json.decode(ask.call.body, type=_Verify)
    except msgspec.MsgspecError:
        raise invalid("MISSING_REQUIRED_PARAMETER", "A required field / parameter is missing.") from None
    if ask.books.get("paypal.webhook", asked.webhook_id) is None:
        raise invalid("INVALID_PARAMETER_VALUE", "Invalid webhook id.", "webhook_id")
    good = asked.auth_algo == paypal_trust.ALGORITHM and asked.cert_url.endswith(paypal_trust.CERTIFICATE_PATH)
    if good:
        body = bytes(asked.webhook_event)
        text = paypal_trust.signed_text(asked.transmission_id, asked.transmission_time, asked.webhook_id, body)
        good = paypal_trust.genuine(paypal_trust.trust(ask.books).certificate, text, asked.transmission_sig)
    return 200, {"verification_status": "SUCCESS" if good else "FAILURE"}


@route("GET", "/v1/notifications/webhooks-events")
def events(ask: Ask) -> tuple[int, Any]:
    """Events of a span, newest first."""
    call, books = ask.call, ask.books
    start = moment(call.asked("start_time")) if call.asked("start_time") else 0
    end = moment(call.asked("end_time")) if call.asked("end_time") else books.now()
    size_text = call.asked("page_size") or "10"
    if not size_text.isdigit() or not 1 <= int(size_text) <= 300:
        raise invalid("INVALID_PARAMETER_VALUE", "page_size is invalid.", "page_size")
    size, kind, after = int(size_text), call.asked("event_type"), call.asked("next")
    found = [
        one
        for one in books.every("paypal.event")
        if start <= one["_at"] <= end and kind in ("", one["event_type"])
        and call.asked("transaction_id") in ("", one["resource"].get("id"))
    ]  # fmt: skip
    at = next((number + 1 for number, one in enumerate(found) if one["id"] == after), 0)
    page = found[at : at + size]
    links = [link(books, "/v1/notifications/webhooks-events", "self")]
    if at + size < len(found):
        query = "&".join(f"{name}={value}" for name, value in call.query if name != "next")
        links.append(link(books, f"/v1/notifications/webhooks-events?{query}&next={page[-1]['id']}", "next"))
    return 200, {"events": [shown(one) for one in page], "count": len(page), "links": links}


@route("GET", "/v1/notifications/webhooks-events/{}")
def event(ask: Ask) -> tuple[int, Any]:
    """One event."""
    return 200, shown(find(ask.books, "paypal.event", ask.ids[0]))


@route("POST", "/v1/notifications/webhooks-events/{}/resend")
def resend(ask: Ask) -> tuple[int, Any]:
    """Tells an event again."""
    found = find(ask.books, "paypal.event", ask.ids[0])
    ask.books.told("paypal", found)
    return 202, shown(found)
