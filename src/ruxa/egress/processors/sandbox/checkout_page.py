"""The pages a customer of "Stripe" sees: Checkout, the bank's 3-D Secure question, and the customer portal.

A typed number is compared with the table of test cards and then forgotten: it is neither kept nor shown again.
"""

from __future__ import annotations

from html import escape
from typing import Final
from urllib.parse import parse_qsl

from ruxa.egress.processors.sandbox import cards, stripe_checkout, stripe_setup
from ruxa.egress.processors.sandbox.books import Books, Json
from ruxa.egress.processors.sandbox.page import dollars, leave, page, problem
from ruxa.egress.processors.sandbox.stripe_errors import Refused
from ruxa.egress.processors.sandbox.stripe_methods import detached, make_bank, make_card
from ruxa.egress.processors.sandbox.wire import Answer, Call

NOT_A_TEST_CARD: Final = (
    "That is not a test card, so it was refused and forgotten. Never type a real card here; use a number of the list."
)
_SHOWN_CARDS: Final = ("pays", "authenticates", "declined", "insufficient_funds", "later_declined", "disputes")


def answer(books: Books, call: Call) -> Answer:
    """The answer to a browser, below ``/c/``."""
    parts = call.path.strip("/").split("/")
    typed = dict(parse_qsl(call.body.decode("utf-8", "replace"), keep_blank_values=True))
    if len(parts) == 3 and call.method in ("GET", "HEAD", "POST"):
        posted = typed if call.method == "POST" else None
        if parts[1] == "pay" and (session := books.get("session", parts[2])):
            return _checkout(books, session, posted)
        if parts[1] == "3ds" and (intent := books.get("payment_intent", parts[2])):
            return _bank(books, intent, posted)
        if parts[1] == "3ds" and (setup := books.get("setup_intent", parts[2])):
            return _bank_setup(books, setup, posted)
        if parts[1] == "portal" and (portal := books.get("portal", parts[2])):
            return _portal(books, portal, posted)
    return page("Not found", "<h1>There is nothing here</h1><p>The link is wrong, or too old.</p>", status=404)


def _checkout(books: Books, session: Json, posted: dict[str, str] | None) -> Answer:
    stripe_checkout.expire_due(books)
    if session["status"] == "complete":
        return _over(session, "This was paid already", _success(session), "Go on")
    if session["status"] == "expired":
        return _over(session, "This page has expired; nothing was paid", session["cancel_url"], "Go back")
    if posted is None:
        return _pay_page(books, session, "")
    try:
        method = _method(books, session, posted)
        if isinstance(method, str):
            return _pay_page(books, session, method)
        country = posted.get("country") if posted.get("country") in stripe_checkout.TAX else None
        if session["automatic_tax"]["enabled"] and country is None:
            return _pay_page(books, session, "Choose the country that the tax is computed for.")
        intent = stripe_checkout.pay(books, session, method, save="save" in posted, country=country)
    except Refused as refused:
        return _pay_page(books, session, f"{refused.body['error']['message']} Nothing was paid; try another card.")
    if intent["status"] == "requires_action":
        return leave(f"/c/3ds/{intent['id']}")
    return leave(_success(session))


def _method(books: Books, session: Json, posted: dict[str, str]) -> Json | str:
    """The method that was chosen, or what is wrong with it."""
    if saved := posted.get("saved"):
        method = books.get("payment_method", saved)
        if method is None or method["customer"] is None or method["customer"] != session["customer"]:
            return "That saved card is gone. Use another one."
        return method
    if (bank := posted.get("bank")) and "us_bank_account" in session["payment_method_types"]:
        number = {"pays": "000123456789", "fails": "000111111113"}.get(bank)
        return make_bank(books, number) if number else "Choose one of the two test accounts."
    card = cards.by_number(posted.get("number", ""))
    if card is None:
        return NOT_A_TEST_CARD if posted.get("number") else "Type the number of a test card."
    month, _, year = posted.get("expiry", "").replace(" ", "").partition("/")
    if not (month.isdigit() and year.isdigit() and len(year) in (2, 4) and 1 <= int(month) <= 12):
        return "Type the expiry as month / year, for example 12 / 34."
    full_year = int(year) + 2000 if len(year) == 2 else int(year)
    if (full_year, int(month)) < _month(books):
        return "That date has passed. Type one in the future, for example 12 / 34."
    if not (posted.get("cvc", "").isdigit() and len(posted["cvc"]) in (3, 4)):
        return "Type any three digits as security code."
    return make_card(books, card, int(month), full_year)


def _month(books: Books) -> tuple[int, int]:
    today = books.clock.today()
    return today.year, today.month


def _pay_page(books: Books, session: Json, wrong: str) -> Answer:
    items = "".join(
        f"<dt>{escape(item['description'])}</dt><dd>{dollars(item['amount_subtotal'])}</dd>"
        for item in session["_line_items"]["data"]
    )
    taxed = session["automatic_tax"]["enabled"]
    cancel = session["cancel_url"]
    body = f"""
<h1>Pay Ruxa sandbox</h1>
<section class="paper" aria-label="What you pay for"><p class="sum">{dollars(session["amount_total"])}</p>
<dl>{items}</dl>{'<p class="soft">Tax depends on the country below.</p>' if taxed else ""}</section>
{problem(wrong)}
{_saved_cards(books, session)}
<form class="paper" method="post" autocomplete="off"{' aria-describedby="problem"' if wrong else ""}>
<h2>Card</h2>
<label for="number">Test card number</label>
<input id="number" name="number" type="text" inputmode="numeric" list="numbers" required
aria-describedby="number-help">
<datalist id="numbers">{_options()}</datalist><p class="soft" id="number-help">For example 4242 4242 4242 4242. The list
below says what each does.</p>
<div class="row"><div><label for="expiry">Expiry, month / year</label>
<input id="expiry" name="expiry" type="text" inputmode="numeric" value="12 / 34" required></div>
<div><label for="cvc">Security code</label>
<input id="cvc" name="cvc" type="text" inputmode="numeric" value="123" required></div></div>
{_country() if taxed else ""}{_saving(session)}
<button type="submit">Pay {dollars(session["amount_total"])}</button>
</form>
{_by_bank(taxed) if "us_bank_account" in session["payment_method_types"] else ""}
{f'<p><a href="{escape(cancel)}" id="cancel">Cancel and go back</a></p>' if cancel else ""}
<details class="paper"><summary>Test cards</summary><table><thead><tr><th scope="col">Number</th>
<th scope="col">What it does</th></tr></thead><tbody>{_table()}</tbody></table></details>
"""
    return page(f"Pay {dollars(session['amount_total'])}", body, leads_to=(session["success_url"], cancel))


def _by_bank(taxed: bool) -> str:
    return f"""<form class="paper" method="post"><details><summary>Pay by test bank account instead</summary>
<p class="soft">A bank debit takes days; here {stripe_checkout.SLOW_S} seconds. Until then the top-up
is under way.</p>
{_country() if taxed else ""}
<button type="submit" name="bank" value="pays">Debit the account that pays</button>
<button type="submit" name="bank" value="fails" class="second">Debit the account that fails</button></details></form>"""


def _options() -> str:
    return "".join(f'<option value="{cards.written(one.number)}">{one.does}</option>' for one in cards.CARDS)


def _table() -> str:
    return "".join(
        f"<tr><td>{cards.written(card.number)}</td><td>{card.does}</td></tr>"
        for card in cards.CARDS
        if card.behaviour in _SHOWN_CARDS
    )


def _saved_cards(books: Books, session: Json) -> str:
    found = books.where("payment_method", customer=session["customer"], type="card") if session["customer"] else []
    if not found or session["automatic_tax"]["enabled"]:
        return ""
    choices = "".join(
        f'<button type="submit" name="saved" value="{one["id"]}" class="second">Pay with {escape(_named(one))}</button>'
        for one in found
    )
    return f'<form class="paper" method="post"><h2>Saved cards</h2>{choices}</form>'


def _named(method: Json) -> str:
    card = method["card"]
    return f"{card['brand'].title()} ending in {card['last4']}, {card['exp_month']:02d} / {card['exp_year'] % 100:02d}"


def _country() -> str:
    options = "".join(f'<option value="{code}">{name}</option>' for code, (name, _) in stripe_checkout.TAX.items())
    return f'<label>Country<select name="country" required><option value="">Choose</option>{options}</select></label>'


def _saving(session: Json) -> str:
    if session["_intent"].get("setup_future_usage"):
        return '<p class="soft">This card is kept at the sandbox processor, to be charged later as you have set.</p>'
    if session["saved_payment_method_options"]["payment_method_save"] == "enabled":
        return '<label class="check"><input type="checkbox" name="save" value="1"> Keep this card for later</label>'
    return ""


def _success(session: Json) -> str:
    return str(session["success_url"]).replace("{CHECKOUT_SESSION_ID}", session["id"])


def _over(session: Json, what: str, url: str | None, action: str) -> Answer:
    way = f'<a class="button" href="{escape(url)}">{action}</a>' if url else ""
    return page(what, f'<h1>{what}</h1><p class="soft">{dollars(session["amount_total"])}</p>{way}')


def _bank(books: Books, intent: Json, posted: dict[str, str] | None) -> Answer:
    """The bank's own question (3-D Secure)."""
    found = books.where("session", payment_intent=intent["id"])
    session = found[0] if found else None
    back = _success(session) if session else intent.get("_return")
    if intent["status"] != "requires_action":
        return page("Nothing to confirm", f"<h1>There is nothing to confirm</h1>{_link(back)}")
    if posted is None:
        cancel = session["cancel_url"] if session else None
        return _question(dollars(intent["amount"]), "Yes, pay", (back, cancel))
    passed = posted.get("answer") == "yes"
    try:
        if session is not None and session["status"] == "open":
            stripe_checkout.pay_authenticated(books, session, intent, passed=passed)
        else:
            stripe_checkout.authenticated(books, intent, passed=passed)
    except Refused as refused:
        if session is None:
            return leave(back) if back else page("Not confirmed", "<h1>The bank did not confirm it</h1>")
        return _pay_page(books, session, f"{refused.body['error']['message']} Nothing was paid.")
    return leave(back) if back else page("Confirmed", "<h1>The bank has confirmed it</h1>")


def _bank_setup(books: Books, setup: Json, posted: dict[str, str] | None) -> Answer:
    """The same for a card that is only kept."""
    back = setup["_return"]
    if setup["status"] != "requires_action":
        return page("Nothing to confirm", f"<h1>There is nothing to confirm</h1>{_link(back)}")
    if posted is None:
        return _question("Keep this card", "Yes, keep it", (back,))
    stripe_setup.answered(books, setup, passed=posted.get("answer") == "yes")
    return leave(back) if back else page("Answered", "<h1>The bank has your answer</h1>")


def _question(what: str, yes: str, leads_to: tuple[str | None, ...]) -> Answer:
    body = f"""
<h1>Your bank asks: is it you?</h1>
<section class="paper"><p class="sum">{what}</p><p class="soft">at Ruxa sandbox. This page plays the bank's 3-D Secure
question.</p>
<form method="post"><button type="submit" name="answer" value="yes">{yes}</button>
<button type="submit" name="answer" value="no" class="second">No, it is not me</button></form></section>"""
    return page("3-D Secure", body, leads_to=leads_to)


def _link(url: str | None) -> str:
    return f'<a class="button" href="{escape(url)}">Go on</a>' if url else ""


def _portal(books: Books, portal: Json, posted: dict[str, str] | None) -> Answer:
    """Saved cards, to see and to delete."""
    said = ""
    if posted is not None:
        method = books.get("payment_method", posted.get("delete", ""))
        if method is not None and method["customer"] == portal["customer"]:
            detached(books, method)
            said = f"{_named(method)} is deleted."
    found = books.where("payment_method", customer=portal["customer"], type="card")
    rows = "".join(
        f'<form method="post" class="inline"><p>{escape(_named(one))}</p>'
        f'<button type="submit" name="delete" value="{one["id"]}" class="second" '
        f'aria-label="Delete {escape(_named(one))}">Delete</button></form>'
        for one in found
    )
    body = f"""
<h1>Saved cards</h1>{f'<p role="status">{escape(said)}</p>' if said else ""}
<section class="paper" aria-label="Cards">{rows or "<p>No card is saved.</p>"}</section>
{f'<p><a href="{escape(portal["return_url"])}">Go back</a></p>' if portal["return_url"] else ""}"""
    return page("Saved cards", body, leads_to=(portal["return_url"],))
