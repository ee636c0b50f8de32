"""Billing profiles: whom an organisation's invoices are for (P8).

A profile is what the organisation says now: sealed by its own key, editable, gone with it. Each document holds its own
copy of what it said then, sealed by the billing key of the fiscal year, for as long as the law wants the document.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import datetime
from typing import Final, Literal
from uuid import UUID

import msgspec

from ruxa.kernel import cards, codec, ids
from ruxa.kernel.errors import InvalidCall, NotFound
from ruxa.kernel.sealed import Sealed
from ruxa.ledger.documents import records, tax
from ruxa.ledger.documents.tax import Place
from ruxa.store.vault import Vault
from ruxa.store.work import Work

COLUMN: Final = "ledger.billing_profile.profile_sealed"
PURPOSE: Final = "billing"
NAME_MAX, LINE_MAX, LINES_MAX = 200, 120, 6


class Party(msgspec.Struct, frozen=True, kw_only=True):
    """Whom a document is for: legal name, address lines, country (ISO 3166, "" unknown), tax id, contact, language.

    mark: 128 random bits of one document, "" in a profile: printed on it, so that the hash of the printing says nothing
    to whoever guesses names.
    """

    name: str
    address: tuple[str, ...] = ()
    country: str = ""
    tax_id: str = ""
    contact: str = ""
    language: Literal["en", "zh"] = "en"
    mark: str = ""

    @property
    def place(self) -> Place:
        """Where it is taxed."""
        return Place(self.country, self.tax_id)


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """An organisation's profile as it is now."""

    party: Sealed[Party]
    changed_at: datetime


def checked(
    name: str,
    address: tuple[str, ...] = (),
    country: str = "",
    tax_id: str = "",
    contact: str = "",
    language: Literal["en", "zh"] = "en",
) -> Party:
    """A party of what somebody wrote: composed, trimmed, empty lines left out.

    Raises InvalidCall with the field: ``bad_text`` (too long, control characters), ``bad_country``, ``bad_tax_id``,
    ``card_number``.
    """
    country = country.strip().upper()
    if country and not re.fullmatch(r"[A-Z]{2}", country):
        raise InvalidCall("A country is two letters (ISO 3166), as DE.", code="bad_country", param="country")
    lines = tuple(line for part in address for line in [_text(part, "address", LINE_MAX)] if line)
    if len(lines) > LINES_MAX:
        raise InvalidCall(f"At most {LINES_MAX} lines.", code="bad_text", param="address")
    named = _text(name, "name", NAME_MAX)
    if not named:
        raise InvalidCall("A name is needed.", code="bad_text", param="name")
    return Party(
        name=named,
        address=lines,
        country=country,
        tax_id=tax.checked_tax_id(tax_id, country),
        contact=_text(contact, "contact", NAME_MAX),
        language=language,
    )


async def find(work: Work, vault: Vault, organisation_ref: UUID) -> Profile | None:
    """The organisation's profile; None when it never wrote one, or its key is gone."""
    row = await work.row(records.PROFILE, organisation_ref)
    if row is None:
        return None
    profile_id, sealed, changed_at = row
    subject = await subject_of(work, organisation_ref)
    try:
        opened = await vault.open(COLUMN, subject, profile_id, bytes(sealed), purpose=PURPOSE)
    except NotFound:
        return None
    party = msgspec.json.decode(opened.open(PURPOSE), type=Party)
    return Profile(party=Sealed(party, COLUMN, (PURPOSE,)), changed_at=changed_at)


async def put(work: Work, vault: Vault, organisation_ref: UUID, party: Sealed[Party]) -> None:
    """Writes the organisation's profile; documents that are issued keep theirs."""
    row = await work.row(records.PROFILE, organisation_ref)
    profile_id = ids.fresh() if row is None else row[0]
    subject = await subject_of(work, organisation_ref)
    text = codec.canonical(party.open(PURPOSE)).decode()
    sealed = await vault.seal(COLUMN, subject, profile_id, text)
    await work.run(records.PROFILE_PUT, profile_id, organisation_ref, sealed)


async def drop(work: Work, organisation_ref: UUID) -> bool:
    """Deletes the organisation's profile; False when there was none."""
    gone: bool = await work.value(records.PROFILE_DROP, organisation_ref)
    return gone


async def subject_of(work: Work, organisation_ref: UUID) -> UUID:
    """Whose billing keys seal what is written for the reference. NotFound when there is no such organisation."""
    subject: UUID | None = await work.value(records.SUBJECT, organisation_ref)
    if subject is None:
        raise NotFound("No such organisation.")
    return subject


def _text(text: str, field: str, longest: int) -> str:
    plain = " ".join(unicodedata.normalize("NFC", text).split())
    if len(plain) > longest or any(unicodedata.category(letter) in ("Cc", "Cs", "Co", "Cn") for letter in plain):
        raise InvalidCall(f"At most {longest} characters, and no control characters.", code="bad_text", param=field)
    if cards.found(plain):
        raise InvalidCall("A card number has no place here.", code="card_number", param=field)
    return plain
