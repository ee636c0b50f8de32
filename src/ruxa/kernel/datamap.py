"""The data map's grammar: what a column, a log field or a recipient must declare about the data it holds (D37).

    COMMENT ON COLUMN access.member.email IS
      'data: category=user.contact.email subject=member purpose=provide,security basis=contract,legitimate_interest
       keep=account seal=subject erase=shred export=yes';
    COMMENT ON COLUMN access.member.id IS 'data: none';

``data: none`` says that nothing personal is held; silence is a failure. All eight words are required otherwise, an
unknown word is refused. The declaration ends at the first blank line; what follows is free text for readers.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

import msgspec

# Category keys of the fideslang taxonomy 3.1.4 (CC BY 4.0), complete.
CATEGORIES: Final = frozenset(
    """
    system system.authentication system.operations user user.account user.account.settings user.account.username
    user.authorization user.authorization.biometric user.authorization.credentials user.authorization.password
    user.behavior user.behavior.browsing_history user.behavior.media_consumption user.behavior.purchase_history
    user.behavior.search_history user.biometric user.biometric.fingerprint user.biometric.health user.biometric.retinal
    user.biometric.voice user.childrens user.contact user.contact.address user.contact.address.city
    user.contact.address.country user.contact.address.postal_code user.contact.address.state user.contact.address.street
    user.contact.email user.contact.fax_number user.contact.organization user.contact.phone_number user.contact.url
    user.content user.content.private user.content.public user.content.self_image user.criminal_history user.demographic
    user.demographic.age_range user.demographic.date_of_birth user.demographic.gender user.demographic.language
    user.demographic.marital_status user.demographic.political_opinion user.demographic.profile
    user.demographic.race_ethnicity user.demographic.religious_belief user.demographic.sexual_orientation user.device
    user.device.cookie user.device.cookie_id user.device.device_id user.device.ip_address user.financial
    user.financial.bank_account user.financial.credit_card user.government_id user.government_id.birth_certificate
    user.government_id.drivers_license_number user.government_id.immigration
    user.government_id.national_identification_number user.government_id.passport_number
    user.government_id.vehicle_registration user.health_and_medical user.health_and_medical.genetic
    user.health_and_medical.insurance_beneficiary_id user.health_and_medical.record_id user.job_title user.location
    user.location.imprecise user.location.precise user.name user.name.first user.name.last user.payment
    user.privacy_preferences user.sensor user.social user.telemetry user.unique_id user.unique_id.pseudonymous
    user.user_sensor user.workplace
    """.split()  # noqa: SIM905
)

# Whose data it is. ``caller`` is the end user of a customer; ``organisation`` is the customer itself.
SUBJECTS: Final = frozenset({"member", "organisation", "visitor", "payer", "staff", "caller"})

# What the data may be used for. There is no word for selling it, so it cannot be declared.
PURPOSES: Final = frozenset(
    {
        "provide", "improve", "billing", "limit", "support", "develop", "security", "legal", "analytics",
        "personalise", "communicate", "marketing", "proof",
    }
)  # fmt: skip

BASES: Final = frozenset({"contract", "consent", "legitimate_interest", "legal_obligation"})

# Retention classes: word -> when the last copy in service goes.
KEEPS: Final = MappingProxyType(
    {
        "account": "closure + 30 days",
        "sign_up": "48 hours unless verified",
        "session": "30 days idle, at most 90 days",
        "usage": "83 days from the event",
        "content": "23 days from the event at most",
        "transactions": "end of the fiscal year + 7 years",
        "support": "resolved + 3 years",
        "consent": "last use + 3 years",
        "audit": "2 years",
        "security": "83 days from the event",
        "outbox": "7 days",
        "export": "7 days, or the first limit inside",
        "operations": "30 days",
        "hold": "the hold's end, within 12 months",
        "instance": "the life of the instance",
    }
)

SEALS: Final = MappingProxyType(
    {
        "none": "clear",
        "subject": "sealed under the subject's key",
        "day": "sealed under the day's key",
        "dual": "sealed under the subject's and the day's key: either one's end is its end",
        "hash": "keyed hash, never read back",
        "blind": "blind index: keyed hash that can be looked up",
        "hold": "sealed under the hold's own key, which its end destroys",
    }
)

ERASE_GROUNDS: Final = frozenset({"tax", "proof", "security", "dispute", "aggregate"})
EXPORT_REASONS: Final = frozenset({"secret", "derived", "security", "third_party", "operational"})

# Which of a subject's keys seals a column: retention class -> key class (the rest is not sealed by a subject key).
KEY_CLASSES: Final = MappingProxyType(
    {
        "account": "account",
        "sign_up": "account",
        "session": "account",
        "outbox": "account",
        "export": "account",
        "security": "account",
        "audit": "account",
        "usage": "usage",
        "content": "content",
        "support": "support",
        "consent": "consent",
        "transactions": "billing",
    }
)

_WORDS: Final = ("category", "subject", "purpose", "basis", "keep", "seal", "erase", "export")
_PREFIX: Final = "data:"


class Declaration(msgspec.Struct, frozen=True, kw_only=True):
    """What one place that holds personal data says about it. ``bases[i]`` is the lawful basis of ``purposes[i]``."""

    categories: tuple[str, ...]
    subject: str
    purposes: tuple[str, ...]
    bases: tuple[str, ...]
    keep: str
    seal: str
    erase: str
    erase_ground: str | None
    export: bool
    export_reason: str | None

    @property
    def key_class(self) -> str | None:
        """The class of the subject key that seals this column; None when no subject key does."""
        return KEY_CLASSES.get(self.keep) if self.seal in ("subject", "dual") else None


class Undeclared(ValueError):
    """The comment is no valid declaration; the text says why and never quotes data."""


def parse(comment: str | None) -> Declaration | None:
    """The declaration a comment holds; None for ``data: none``. Raises Undeclared."""
    if comment is None or not comment.lstrip().startswith(_PREFIX):
        raise Undeclared("no data: declaration")
    text = comment.strip().split("\n\n", 1)[0].removeprefix(_PREFIX)
    words = text.split()
    if words == ["none"]:
        return None
    found: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not value:
            raise Undeclared(f"'{word}' is not name=value")
        if name not in _WORDS:
            raise Undeclared(f"unknown word '{name}'")
        if name in found:
            raise Undeclared(f"'{name}' is said twice")
        found[name] = value
    missing = [name for name in _WORDS if name not in found]
    if missing:
        raise Undeclared(f"missing {', '.join(missing)}")
    return _checked(found)


def _checked(found: dict[str, str]) -> Declaration:
    categories = _all_in("category", found["category"], CATEGORIES)
    purposes = _all_in("purpose", found["purpose"], PURPOSES)
    bases = _all_in("basis", found["basis"], BASES, repeat=True)
    if len(bases) == 1:
        bases = bases * len(purposes)
    if len(bases) != len(purposes):
        raise Undeclared("basis must be one word, or one for each purpose")
    for purpose, basis in zip(purposes, bases, strict=True):
        if purpose == "marketing" and basis != "consent":
            raise Undeclared("purpose 'marketing' needs basis 'consent'")
    seal = _one_in("seal", found["seal"], SEALS)
    erase, ground = _with_reason("erase", found["erase"], {"shred", "delete", "null"}, "keep", ERASE_GROUNDS)
    export, reason = _with_reason("export", found["export"], {"yes"}, "no", EXPORT_REASONS)
    keep = _one_in("keep", found["keep"], KEEPS)
    if seal in ("subject", "dual"):
        if erase == "delete" or erase == "null":
            raise Undeclared(f"seal={seal} is erased by erase=shred")
        if keep not in KEY_CLASSES:
            raise Undeclared(f"keep={keep} has no subject key to seal with")
    elif erase == "shred":
        raise Undeclared(f"erase=shred needs seal=subject or seal=dual, not seal={seal}")
    if seal in ("hash", "blind") and export == "yes":
        raise Undeclared(f"seal={seal} cannot be exported")
    return Declaration(
        categories=categories,
        subject=_one_in("subject", found["subject"], SUBJECTS),
        purposes=purposes,
        bases=bases,
        keep=keep,
        seal=seal,
        erase=erase,
        erase_ground=ground,
        export=export == "yes",
        export_reason=reason,
    )


def _one_in(name: str, value: str, allowed: frozenset[str] | MappingProxyType[str, str]) -> str:
    if value not in allowed:
        raise Undeclared(f"unknown {name} '{value}'")
    return value


def _all_in(name: str, value: str, allowed: frozenset[str], *, repeat: bool = False) -> tuple[str, ...]:
    values = tuple(value.split(","))
    for one in values:
        _one_in(name, one, allowed)
    if not repeat and len(set(values)) != len(values):
        raise Undeclared(f"{name} says a word twice")
    return values


def _with_reason(
    name: str, value: str, plain: set[str], reasoned: str, reasons: frozenset[str]
) -> tuple[str, str | None]:
    word, colon, reason = value.partition(":")
    if word == reasoned:
        if reason not in reasons:
            raise Undeclared(f"{name}={reasoned} needs a reason of: {', '.join(sorted(reasons))}")
        return word, reason
    if word not in plain or colon:
        raise Undeclared(f"unknown {name} '{value}'")
    return word, None
