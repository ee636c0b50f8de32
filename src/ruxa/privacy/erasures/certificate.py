"""The certificate of an erasure: which keys were destroyed and when they are gone everywhere, what stays and why.

Canonical JSON, signed with the instance's report key (Ed25519). It names nobody: the person is a keyed hash, the same
one that the journal keeps, so that a certificate can be shown to anybody.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec

from ruxa.kernel import bounds, codec, ids
from ruxa.kernel.signing import PublicKey
from ruxa.store.keystore import Destroyed

VERSION: Final = 1
MARK_DAYS: Final = 30
AUDIT_DAYS: Final = 730
TAX_YEARS: Final = 7
PROOF_YEARS: Final = 3
OPERATIONS_DAYS: Final = 30


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """A destroyed key: unreadable in service since, and in every copy (write-ahead log, backups) by."""

    id: str
    key_class: str = msgspec.field(name="class")
    gone_in_service: datetime
    gone_in_every_copy_by: datetime


class Gone(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of one table: deleted, or kept without (``cut``) what tied them to the person."""

    place: str
    action: str
    rows: int


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What stays: where, of which categories, on which ground, and the day it goes at the latest (null: never)."""

    place: str
    what: str
    ground: str
    rows: int | None
    until: date | None


class Certificate(msgspec.Struct, frozen=True, kw_only=True):
    """What was done. ``subject`` is a keyed hash (hex)."""

    certificate: str = "erasure"
    version: int = VERSION
    id: str
    kind: str
    subject: str
    asked_by: str
    asked_at: datetime
    done_at: datetime
    keys: tuple[Key, ...]
    rows: tuple[Gone, ...]
    kept: tuple[Kept, ...]
    together_with: tuple[str, ...]


class Signed(msgspec.Struct, frozen=True):
    """A certificate as it was signed: ``text`` are the signed bytes, ``signature`` 64 bytes of ``key_id``'s holder."""

    text: bytes
    signature: bytes
    key_id: bytes

    @property
    def content(self) -> Certificate:
        """What it says."""
        return msgspec.json.decode(self.text, type=Certificate)

    @property
    def builtins(self) -> dict[str, Any]:
        """For JSON: the certificate, and beside it signature and key id (hex)."""
        shown: dict[str, Any] = codec.decode(self.text)
        return {"certificate": shown, "signature": self.signature.hex(), "key_id": self.key_id.hex()}

    def verify(self, keys: Sequence[PublicKey]) -> bool:
        """Whether one of these keys signed exactly this text."""
        return any(key.id == self.key_id and key.verify(self.signature, self.text) for key in keys)


def compose(
    *,
    erasure_id: UUID,
    kind: str,
    subject_hash: bytes,
    asked_by: str,
    asked_at: datetime,
    done_at: datetime,
    destroyed: Sequence[Destroyed],
    rows_gone: Sequence[str],
    rows_kept: Sequence[str],
    keys_kept: Sequence[tuple[str, date | None]],
    marked: bool,
    together_with: Sequence[UUID],
) -> Certificate:
    """The certificate of what the journal says was done (lines of ``privacy.erasure_clear``)."""
    today = done_at.astimezone(UTC).date()
    kept = [_kept(line, today) for line in rows_kept]
    kept += [
        Kept(
            place=f"key {name}",
            what="key of what is kept",
            ground="tax",
            rows=None,
            until=_until("transactions", year or today),
        )
        for name, year in keys_kept
    ]
    if kind == "member":
        kept += _traces(today, marked)
    return Certificate(
        id=ids.text("ers", erasure_id),
        kind=kind,
        subject=subject_hash.hex(),
        asked_by=asked_by,
        asked_at=asked_at.astimezone(UTC),
        done_at=done_at.astimezone(UTC),
        keys=tuple(
            Key(
                id=one.key_id.hex(),
                key_class=one.key_class,
                gone_in_service=one.at.astimezone(UTC),
                gone_in_every_copy_by=one.in_every_copy_by.astimezone(UTC),
            )
            for one in sorted(destroyed, key=lambda one: one.key_id)
        ),
        rows=tuple(_gone(line) for line in rows_gone),
        kept=tuple(kept),
        together_with=tuple(ids.text("ers", one) for one in together_with),
    )


def encode(certificate: Certificate) -> bytes:
    """The bytes that are signed."""
    return codec.canonical(certificate)


def _gone(line: str) -> Gone:
    place, action, rows = line.split(" ")
    return Gone(place=place.rpartition(".")[0], action={"delete": "deleted"}.get(action, "cut"), rows=int(rows))


def _kept(line: str, today: date) -> Kept:
    place, categories, ground, keep, rows = line.split(" ")
    return Kept(place=place, what=categories, ground=ground, rows=int(rows), until=_until(keep, today))


def _traces(today: date, marked: bool) -> list[Kept]:
    """What is left of the address, none of which can be read back."""
    left = [
        Kept(
            place="database files and write-ahead log",
            what="keyed hash of the address, in pages that are overwritten in time",
            ground="security",
            rows=None,
            until=None,
        ),
        Kept(
            place="access.throttle",
            what="attempts counted by a keyed hash of the day",
            ground="security",
            rows=None,
            until=today + timedelta(days=1),
        ),
    ]
    if marked:
        mark = Kept(
            place="privacy.erasure",
            what="slow keyed hash of the address, so that who asks again gets this certificate",
            ground="proof",
            rows=1,
            until=today + timedelta(days=MARK_DAYS),
        )
        left.append(mark)
    return left


def _until(keep: str, day: date) -> date | None:
    """The last day on which something of this retention class that exists today can still be there."""
    match keep:
        case "usage" | "security" | "session":
            return day + timedelta(days=bounds.USAGE_DAYS)
        case "content":
            return day + timedelta(days=bounds.CONTENT_DAYS)
        case "audit":
            return day + timedelta(days=AUDIT_DAYS)
        case "transactions":
            return date(day.year + TAX_YEARS, 12, 31)
        case "consent" | "support":
            return date(day.year + PROOF_YEARS, 12, 31)
        case "operations":
            return day + timedelta(days=OPERATIONS_DAYS)
        case "outbox" | "export":
            return day + timedelta(days=bounds.MAIL_DAYS)
        case _:
            return None
