"""E-mail addresses and people's names: what is accepted, and the one form under which an address is looked up."""

from __future__ import annotations

import unicodedata
from typing import Final

from ruxa.access import records
from ruxa.kernel import bounds
from ruxa.kernel.errors import InvalidCall
from ruxa.kernel.sealed import Sealed
from ruxa.store.vault import Reindexed, Vault
from ruxa.store.work import Work

LABEL: Final = "member.email"
PURPOSE: Final = "provide"


def address(given: Sealed[str]) -> Sealed[str]:
    """The address as it will be written to; InvalidCall (param ``email``) when it is none. Delivery proves the rest.

    Names that only an own network knows (``.internal``, ``.test``) are accepted: Ruxa runs there too.
    """
    # Not with the module: its patterns take a quarter of a command's start, and few commands are given an address.
    from email_validator import EmailNotValidError, validate_email

    text = unicodedata.normalize("NFC", given.open(PURPOSE)).strip()
    fault = len(text) > bounds.EMAIL_CHARS_MAX
    if not fault:
        try:
            found = validate_email(text, check_deliverability=False, globally_deliverable=False, test_environment=True)
            text = found.normalized
        except EmailNotValidError:
            fault = True
    # Raised out here: the validator's text quotes the address and must not become this error's context.
    if fault:
        raise InvalidCall("That is not an e-mail address.", code="email_invalid", param="email")
    return Sealed(text)


def index(vault: Vault, checked: Sealed[str]) -> bytes:
    """The blind index: equal for addresses that differ only in case or Unicode composition."""
    return vault.index(LABEL, normal(checked.open(PURPOSE)))


def normal(text: str) -> str:
    """The form of a checked address that is indexed."""
    return unicodedata.normalize("NFC", text.casefold().strip())


async def found(work: Work, vault: Vault, checked: Sealed[str]) -> bytes:
    """``index``, under which the address is found from now on: while the index's key is being replaced, whoever has
    the address is moved to it first.
    """
    first, *others = vault.indexes(LABEL, normal(checked.open(PURPOSE)))
    if others:
        await records.lift_email(work, first, others)
    return first


async def reindex(vault: Vault) -> Reindexed:
    """One pass that makes the indexes of all members anew where their key was replaced."""
    return await vault.reindex("access.member.email_index", "access.member.email_sealed", LABEL, normal)


def name(given: Sealed[str], *, param: str = "name") -> Sealed[str]:
    """A person's or organisation's name: 1 to 100 characters, no control characters, spaces tidied."""
    text = " ".join(unicodedata.normalize("NFC", given.open(PURPOSE)).split())
    if not 1 <= len(text) <= bounds.NAME_CHARS_MAX or any(unicodedata.category(mark) in _UNSEEN for mark in text):
        raise InvalidCall(
            f"A name has 1 to {bounds.NAME_CHARS_MAX} visible characters.", code="name_invalid", param=param
        )
    return Sealed(text)


# Control, surrogate, unassigned, line and paragraph separators; format marks stay (names in Indic scripts use them).
_UNSEEN: Final = frozenset({"Cc", "Cs", "Cn", "Zl", "Zp"})
