"""The policy as data: its clauses, and the numbers its promises hold. Where a number is needed, it is taken from here.

Settings and bounds may be stricter than the policy, never looser; ``loose`` names what would be.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from datetime import date
from functools import cache
from importlib import resources
from typing import Final, Literal

import msgspec

from ruxa.kernel import bounds

VERSION: Final = "2025-12-30"
CLAUSES: Final = 93

Kind = Literal["machine", "attestation", "machine and attestation"]


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The numbers of the promises, unit last; a limit counts the last copy (D30)."""

    account_closed_days: int
    transaction_years: int
    usage_days: int
    content_days: int
    support_years: int
    age_years: int
    minor_erased_h: int
    sign_up_unproved_h: int
    outbox_days: int


class Clause(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One promise. ``id``: P0 to P92, never used for another promise again."""

    id: str
    section: str
    kind: Kind
    promise: str


class Policy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One version of the policy."""

    effective: date
    updated: date
    contact: str
    limits: Limits
    clauses: tuple[Clause, ...] = msgspec.field(name="clause")


@cache
def current() -> Policy:
    """The version that holds. Raises msgspec.ValidationError when the file is no policy."""
    return read(_bytes())


def sha256() -> str:
    """The hash of the file, in hex: what a notice, an acceptance or a piece of evidence names."""
    return hashlib.sha256(_bytes()).hexdigest()


def read(text: bytes) -> Policy:
    """A policy from its TOML; its clauses are P0 to P92 in order, each once."""
    policy = msgspec.convert(tomllib.loads(text.decode()), Policy)
    if [clause.id for clause in policy.clauses] != [f"P{number}" for number in range(CLAUSES)]:
        raise msgspec.ValidationError(f"the clauses are P0 to P{CLAUSES - 1}, in order, each once")
    return policy


def loose(limits: Limits, kept: Mapping[str, int] | None = None) -> list[str]:
    """Where the house keeps longer than it promises: empty, or the promise is broken by construction.

    ``kept``: limit -> what the house does; by default its bounds. Service destroys an epoch before the published day,
    because copies made that day are unreadable only when the epoch ends.
    """
    kept = kept or {
        "usage_days": bounds.USAGE_DAYS + bounds.EPOCH_DAYS,
        "content_days": bounds.CONTENT_DAYS + bounds.EPOCH_DAYS,
        "sign_up_unproved_h": bounds.SIGN_UP_TTL_H,
        "outbox_days": bounds.MAIL_DAYS,
    }
    return [name for name, value in kept.items() if value > getattr(limits, name)]


def _bytes() -> bytes:
    return resources.files("ruxa.privacy").joinpath("policy", f"{VERSION}.toml").read_bytes()
