"""Stripe's payment methods: test cards and test bank accounts, and whom they are attached to."""

from __future__ import annotations

from typing import Final

from ruxa.egress.processors.sandbox import cards
from ruxa.egress.processors.sandbox.books import Books, Json, fresh
from ruxa.egress.processors.sandbox.cards import TestCard
from ruxa.egress.processors.sandbox.stripe_api import emit, find
from ruxa.egress.processors.sandbox.stripe_errors import refuse

BANK_NUMBERS: Final = {"000123456789": "pays", "000111111113": "declined"}


def make_card(books: Books, card: TestCard, month: int, year: int, *, address: Json | None = None) -> Json:
    """A payment method of a test card. What it will do is remembered under a name of ours; the number is not."""
    three = {"supported": True}
    return books.put(
        "payment_method",
        {
            "id": fresh("pm_1"),
            "object": "payment_method",
            "allow_redisplay": "unspecified",
            "billing_details": {"address": address, "email": None, "name": None, "phone": None, "tax_id": None},
            "card": {
                "brand": card.brand,
                "checks": {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": "pass"},
                "country": "US",
                "display_brand": card.brand,
                "exp_month": month,
                "exp_year": year,
                "fingerprint": cards.fingerprint(card),
                "funding": "credit",
                "generated_from": None,
                "last4": card.number[-4:],
                "networks": {"available": [card.brand], "preferred": None},
                "regulated_status": "unregulated",
                "three_d_secure_usage": three,
                "wallet": None,
            },
            "created": books.now(),
            "customer": None,
            "livemode": books.livemode,
            "metadata": {},
            "type": "card",
            "_does": card.behaviour,
        },
    )


def make_bank(books: Books, number: str) -> Json:
    """A payment method of a test bank account, whose payments take a while."""
    return books.put(
        "payment_method",
        {
            "id": fresh("pm_1"),
            "object": "payment_method",
            "allow_redisplay": "unspecified",
            "billing_details": {"address": None, "email": None, "name": None, "phone": None, "tax_id": None},
            "created": books.now(),
            "customer": None,
            "livemode": books.livemode,
            "metadata": {},
            "type": "us_bank_account",
            "us_bank_account": {
                "account_holder_type": "individual",
                "account_type": "checking",
                "bank_name": "STRIPE TEST BANK",
                "fingerprint": f"bank{number[-4:]}sandbox",
                "last4": number[-4:],
                "networks": {"preferred": "ach", "supported": ["ach"]},
                "routing_number": "110000000",
                "status_details": {},
            },
            "_does": BANK_NUMBERS[number],
        },
    )


def usable(books: Books, id_: str, param: str) -> Json:
    """The payment method that a parameter names: an existing one, or a fresh one of an alias like ``pm_card_visa``."""
    if card := cards.by_alias(id_):
        return make_card(books, card, 12, 2034)
    method = find(books, "payment_method", id_, param)
    if method.get("_gone"):
        raise refuse(
            "The provided PaymentMethod was previously used with a PaymentIntent without Customer attachment, shared "
            "with a connected account without Customer attachment, or was detached from a Customer. It may not be "
            "used again. To use a PaymentMethod multiple times, you must attach it to a Customer first.",
            code="payment_method_unexpected_state" if method["customer"] else None,
            param=param,
        )
    return method


def attach_to(books: Books, method: Json, customer: Json) -> Json:
    """Attaches; emits ``payment_method.attached``."""
    if method["customer"] not in (None, customer["id"]):
        raise refuse("The payment method you provided has already been attached to a customer.")
    if method["customer"] is None:
        method["customer"] = customer["id"]
        emit(books, "payment_method.attached", method)
    return books.put("payment_method", method)


def detached(books: Books, method: Json) -> Json:
    """Lets a method go; emits ``payment_method.detached``."""
    before = {"customer": method["customer"]}
    method |= {"customer": None, "_gone": True}
    emit(books, "payment_method.detached", method, before)
    return books.put("payment_method", method)
