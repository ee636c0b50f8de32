"""The test cards, and what is kept of a number that was typed: brand, last four, expiry, fingerprint; not the number.

Only numbers of this table are taken: any other one, a real card's above all, is refused before anything is stored.
"""

from __future__ import annotations

import hashlib
from typing import Final, Literal

import msgspec

Behaviour = Literal[
    "pays",
    "authenticates",
    "always_authenticates",
    "declined",
    "insufficient_funds",
    "lost",
    "stolen",
    "expired",
    "do_not_honor",
    "later_declined",
    "disputes",
]


class TestCard(msgspec.Struct, frozen=True):
    """One number of the table; alias: what a payment method made of it is called in the API."""

    number: str
    behaviour: Behaviour
    does: str
    alias: str
    brand: str = "visa"


CARDS: Final = (
    TestCard("4242424242424242", "pays", "pays", "pm_card_visa"),
    TestCard("5555555555554444", "pays", "pays", "pm_card_mastercard", "mastercard"),
    TestCard(
        "4000002500003155", "authenticates", "asks for 3-D Secure, then pays", "pm_card_authenticationRequiredOnSetup"
    ),
    TestCard(
        "4000002760003184", "always_authenticates", "asks for 3-D Secure every time", "pm_card_authenticationRequired"
    ),
    TestCard("4000000000000002", "declined", "is declined", "pm_card_chargeDeclined"),
    TestCard("4000000000009995", "insufficient_funds", "has no money", "pm_card_chargeDeclinedInsufficientFunds"),
    TestCard("4000000000009987", "lost", "was reported lost", "pm_card_chargeDeclinedLostCard"),
    TestCard("4000000000009979", "stolen", "was reported stolen", "pm_card_chargeDeclinedStolenCard"),
    TestCard("4000000000000069", "expired", "has expired", "pm_card_chargeDeclinedExpiredCard"),
    TestCard("4000000000000341", "later_declined", "pays here, fails when charged later", "pm_card_chargeCustomerFail"),
    TestCard("4000000000000259", "disputes", "pays, then the payment is disputed", "pm_card_createDispute"),
)
_BY_NUMBER: Final = {card.number: card for card in CARDS}
_BY_ALIAS: Final = {card.alias: card for card in CARDS}

# behaviour -> (code, decline code, message)
DECLINES: Final[dict[str, tuple[str, str, str]]] = {
    "declined": ("card_declined", "generic_decline", "Your card was declined."),
    "later_declined": ("card_declined", "generic_decline", "Your card was declined."),
    "do_not_honor": ("card_declined", "do_not_honor", "Your card was declined."),
    "insufficient_funds": ("card_declined", "insufficient_funds", "Your card has insufficient funds."),
    "lost": ("card_declined", "lost_card", "Your card was declined."),
    "stolen": ("card_declined", "stolen_card", "Your card was declined."),
    "expired": ("expired_card", "expired_card", "Your card has expired."),
}


def by_alias(alias: str) -> TestCard | None:
    """The card behind ``pm_card_visa`` and its like."""
    return _BY_ALIAS.get(alias)


def by_number(typed: str) -> TestCard | None:
    """The test card with this number, spaces and dashes allowed; None for any other number."""
    return _BY_NUMBER.get(typed.replace(" ", "").replace("-", ""))


def fingerprint(card: TestCard) -> str:
    """The same for the same number, and says nothing about it."""
    return hashlib.sha256(b"sandbox card " + card.number.encode()).hexdigest()[:16]


def written(number: str) -> str:
    """In groups of four."""
    return " ".join(number[at : at + 4] for at in range(0, len(number), 4))
