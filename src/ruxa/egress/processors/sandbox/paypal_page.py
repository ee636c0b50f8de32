"""The page on which a payer of "PayPal" approves or cancels."""

from __future__ import annotations

from html import escape
from typing import Final
from urllib.parse import parse_qsl, urlencode

from ruxa.egress.processors.sandbox.books import Books, Json
from ruxa.egress.processors.sandbox.page import leave, page
from ruxa.egress.processors.sandbox.paypal_orders import approve, expire
from ruxa.egress.processors.sandbox.wire import Answer, Call

PATH: Final = "/checkoutnow"
FUNDING: Final = {
    "pays": "Test balance: pays at once",
    "pending": "Test bank account: pays after a few seconds",
    "declined": "Test card: is declined",
    "later_declined": "Test balance: pays now, is declined when charged later",
    "later_asks": "Test balance: pays now, asks for you when charged later",
}


def answer(books: Books, call: Call) -> Answer:
    """The answer to a browser."""
    order = books.get("paypal.order", call.asked("token"))
    if order is None:
        return page("Not found", "<h1>There is no such order</h1>", status=404)
    expire(books, order)
    if call.method != "POST":
        return _page(order) if order["status"] in ("CREATED", "PAYER_ACTION_REQUIRED") else _over(order)
    if order["status"] not in ("CREATED", "PAYER_ACTION_REQUIRED"):
        return _over(order)
    typed = dict(parse_qsl(call.body.decode("utf-8", "replace")))
    if typed.get("answer") != "approve":
        return _to(order["_cancel"], {"token": order["id"]}, "Canceled; nothing was paid")
    approve(books, order, typed.get("funding", "") if typed.get("funding") in FUNDING else "pays")
    return _to(order["_return"], {"token": order["id"], "PayerID": "SANDBOXBUYER1"}, "Approved")


def _page(order: Json) -> Answer:
    unit = order["purchase_units"][0]
    offered = [name for name in FUNDING if order["_keep"] or not name.startswith("later")]
    choices = "".join(
        f'<label><input type="radio" name="funding" value="{name}"{mark}> {FUNDING[name]}</label>'
        for name, mark in zip(offered, (" checked", *[""] * len(offered)), strict=False)
    )
    kept = '<p class="soft">This account is kept, to be charged later as you have set.</p>' if order["_keep"] else ""
    body = f"""
<h1>Pay Ruxa sandbox with PayPal</h1>
<form class="paper" method="post"><p class="sum">${escape(unit["amount"]["value"])}</p>
<p class="soft">{escape(unit.get("description", "Order"))}. This page plays PayPal; nobody has to sign in.</p>
<fieldset><legend>Pay with</legend>{choices}</fieldset>{kept}
<button type="submit" name="answer" value="approve">Approve</button>
<button type="submit" name="answer" value="cancel" class="second">Cancel and go back</button></form>"""
    return page(f"Approve ${unit['amount']['value']}", body, leads_to=(order["_return"], order["_cancel"]))


def _over(order: Json) -> Answer:
    what = {"VOIDED": "This order has expired; nothing was paid"}.get(
        order["status"], "This order was approved already"
    )
    url = order["_return"] if order["status"] != "VOIDED" else order["_cancel"]
    way = f'<a class="button" href="{escape(_with(url, {"token": order["id"]}))}">Go on</a>' if url else ""
    return page(what, f"<h1>{what}</h1>{way}")


def _to(url: str | None, query: dict[str, str], otherwise: str) -> Answer:
    return leave(_with(url, query)) if url else page(otherwise, f"<h1>{otherwise}</h1>")


def _with(url: str, query: dict[str, str]) -> str:
    return f"{url}{'&' if '?' in url else '?'}{urlencode(query)}"
