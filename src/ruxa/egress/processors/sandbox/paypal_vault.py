"""PayPal's vault: payers who let their account be charged later without them."""

from __future__ import annotations

from typing import Any

from ruxa.egress.processors.sandbox.books import Books, Json, fresh_capitals
from ruxa.egress.processors.sandbox.paypal_api import Ask, emit, find, link, route, unprocessable


def keep(books: Books, order: Json) -> None:
    """Keeps the account that has just paid ``order``; what it will do later was chosen on the page."""
    id_ = fresh_capitals().lower()
    path = f"/v3/vault/payment-tokens/{id_}"
    token: Json = {
        "id": id_,
        "customer": {"id": fresh_capitals(10)},
        "payment_source": {"paypal": {"usage_type": "MERCHANT", "payer_id": order["payer"]["payer_id"]}},
        "links": [link(books, path, "self"), link(books, path, "delete", "DELETE")],
        "_does": {"later_declined": "declined", "later_asks": "asks"}.get(order["_funding"], "pays"),
    }
    books.put("paypal.vault", token)
    kept = {"id": id_, "status": "VAULTED", "customer": token["customer"], "links": token["links"]}
    order["payment_source"]["paypal"]["attributes"] = {"vault": kept}
    emit(books, "VAULT.PAYMENT-TOKEN.CREATED", "payment_token", "A payment token has been created", token)


def kept(books: Books, id_: object) -> Json:
    """The kept account that a charge names. Raises Refused."""
    token = books.get("paypal.vault", str(id_))
    if token is None:
        raise unprocessable("TOKEN_ID_NOT_FOUND", "Specified token was not found. Verify the token and try again.")
    if token["_does"] == "declined":
        raise unprocessable("INSTRUMENT_DECLINED", "The instrument presented was declined by the processor or bank.")
    return token


def _shown(token: Json) -> Json:
    return {name: value for name, value in token.items() if not name.startswith("_")}


@route("GET", "/v3/vault/payment-tokens")
def every(ask: Ask) -> tuple[int, Any]:
    """What a customer let us keep."""
    customer = ask.call.asked("customer_id")
    found = [_shown(one) for one in ask.books.every("paypal.vault") if one["customer"]["id"] == customer]
    return 200, {"customer": {"id": customer}, "payment_tokens": found}


@route("GET", "/v3/vault/payment-tokens/{}")
def retrieve(ask: Ask) -> tuple[int, Any]:
    """One kept account."""
    return 200, _shown(find(ask.books, "paypal.vault", ask.ids[0]))


@route("DELETE", "/v3/vault/payment-tokens/{}")
def delete(ask: Ask) -> tuple[int, Any]:
    """Forgets a kept account."""
    token = find(ask.books, "paypal.vault", ask.ids[0])
    ask.books.drop("paypal.vault", token["id"])
    emit(ask.books, "VAULT.PAYMENT-TOKEN.DELETED", "payment_token", "A payment token has been deleted", token)
    return 204, None
