"""Write an entry of the audit log in the transaction of the act: no entry, no act.

    commitment = SHA-256(salt || canonical fields)      salt = HMAC(day key, entry id), gone with the day
    detail     = HMAC(a key of entry and day, details)  one of the fields

Fields and details are stored sealed under the key of their day and the log's tree holds only hashes of commitments:
when the day's key is destroyed nobody can read or guess what was done, and the tree still verifies (D41).

For what cannot be undone, write with ``outcome="planned"`` in a work of its own, act, then write ``"done"``.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from hmac import digest
from typing import Final, Literal
from uuid import UUID

import msgspec

from ruxa.access.audit import records
from ruxa.access.authorize import Principal
from ruxa.kernel import codec, ids
from ruxa.kernel.errors import Broken
from ruxa.store.vault import Vault
from ruxa.store.work import Work

Act = Literal[
    "member:signed_up",
    "member:verified",
    "member:signed_in",
    "member:signed_out",
    "member:password_changed",
    "member:invited",
    "member:joined",
    "member:role_changed",
    "member:removed",
    "member:suspended",
    "member:restored",
    "organisation:created",
    "organisation:renamed",
    "organisation:changed",
    "organisation:suspended",
    "organisation:restored",
    "key:created",
    "key:changed",
    "key:rotated",
    "key:revoked",
    "staff:added",
    "staff:removed",
    "staff:read",
    "credit:given",
    "credit:voided",
    "payment:started",
    "payment:canceled",
    "payment:accepted",
    "payment:dismissed",
    "method:removed",
    "auto:changed",
    "auto:stopped",
    "billing:changed",
    "alerts:changed",
    "refund:asked",
    "refund:approved",
    "refund:canceled",
    "dispute:answered",
    "freeze:placed",
    "freeze:reviewed",
    "transfer:confirmed",
    "transfer:withdrawn",
    "debt:written_off",
    "wish:approved",
    "wish:rejected",
    "difference:taken",
    "difference:resolved",
    "document:asked",
    "plan:assigned",
    "plan:changed",
    "provider_key:set",
    "provider_key:removed",
    "price:changed",
    "route:opened",
    "route:set",
    "route:removed",
    "content:read",
    "content:deleted",
    "subject:exported",
    "subject:erased",
    "subject:restricted",
    "subject:unrestricted",
    "subject:objected",
    "consent:given",
    "consent:withdrawn",
    "retention:run",
    "hold:placed",
    "hold:ended",
    "disclosure:made",
    "policy:published",
    "crypto:destroyed",
    "crypto:rotated",
    "crypto:exported",
    "backup:created",
    "backup:restored",
    "backup:drilled",
    "log:exported",
    "log:opened",
    "log:acknowledged",
    "settings:changed",
]
Actor = Literal["member", "key", "staff", "operator", "system"]
Outcome = Literal["planned", "done", "refused", "failed"]

# What a customer does and is kept 2 years like the acts of staff; the rest of theirs ages with their usage (D46).
SECURITY_ACTS: Final[frozenset[str]] = frozenset(
    {
        "member:password_changed",
        "member:invited",
        "member:joined",
        "member:role_changed",
        "member:removed",
        "member:suspended",
        "member:restored",
        "key:created",
        "key:changed",
        "key:rotated",
        "key:revoked",
        "provider_key:set",
        "provider_key:removed",
        "auto:changed",
        "auto:stopped",
        "method:removed",
        "refund:asked",
        "subject:exported",
        "subject:erased",
        "subject:restricted",
        "subject:unrestricted",
        "subject:objected",
        "consent:given",
        "consent:withdrawn",
    }
)

# Table -> the class of its day key, which says how long its entries can be read.
LASTING: Final = "audit.entry"
CUSTOMER: Final = "audit.customer_entry"
DAY_CLASS: Final = {LASTING: "audit", CUSTOMER: "usage"}
DETAILS_BYTES_MAX: Final = 4096
PSEUDONYM_BYTES: Final = 16


class Fields(msgspec.Struct, frozen=True, kw_only=True):
    """What an entry commits to. ``ts``: milliseconds; ``actor``: pseudonym (hex); ids as 32 hex digits or empty."""

    v: int = 1
    ts: int
    kind: str
    actor: str
    role: str
    action: str
    organisation: str
    object: str
    purpose: str
    outcome: str
    request: str
    detail: str


def table_of(actor: Actor, act: str) -> str:
    """Where an entry belongs: with the customers' own acts, or with what is kept 2 years."""
    return CUSTOMER if actor in ("member", "key") and act not in SECURITY_ACTS else LASTING


def pseudonym(vault: Vault, actor_id: UUID) -> bytes:
    """What stands for a member or a key in the log: 16 bytes, the same in every entry, meaningless elsewhere."""
    return vault.index("audit-actor", actor_id.hex)[:PSEUDONYM_BYTES]


def pseudonyms(vault: Vault, actor_id: UUID) -> list[bytes]:
    """``pseudonym`` under every living version of the key it is made with: what a search must try."""
    return [one[:PSEUDONYM_BYTES] for one in vault.indexes("audit-actor", actor_id.hex)]


async def write(
    work: Work,
    vault: Vault,
    act: Act,
    *,
    actor: Actor,
    member_id: UUID | None = None,
    key_id: UUID | None = None,
    role: str = "",
    organisation_id: UUID | None = None,
    object_id: UUID | None = None,
    purpose: str = "",
    outcome: Outcome = "done",
    request_id: UUID | None = None,
    details: Mapping[str, str] | None = None,
) -> UUID:
    """Writes one entry; its id. ``member_id`` or ``key_id``: who did it, kept as a pseudonym only.

    ``details`` hold words of the house and ids, sealed; never names, addresses or secrets. At most 4 KiB as JSON.
    Raises Broken ``details_too_long``, Unavailable: then the act must not happen either.
    """
    moment = await records.now(work)
    table = table_of(actor, act)
    entry_id, day = _id(moment, table == LASTING), moment.astimezone(UTC).date()
    day_key = await vault.day_key(DAY_CLASS[table], day)
    detail = codec.canonical(dict(details or {}))
    if len(detail) > DETAILS_BYTES_MAX:
        raise Broken("An entry's details are too long.", code="details_too_long", detail=act)
    who = member_id or key_id
    index = None if who is None else pseudonym(vault, who)
    fields = Fields(
        ts=ids.unix_ms(entry_id),
        kind=actor,
        actor="" if index is None else index.hex(),
        role=role,
        action=act,
        organisation=_hex(organisation_id),
        object=_hex(object_id),
        purpose=purpose,
        outcome=outcome,
        request=_hex(request_id),
        detail=digest(detail_key(day_key, entry_id), detail, "sha256").hex(),
    )
    said = codec.canonical(msgspec.structs.asdict(fields))
    await records.write(
        work,
        entry_id,
        table == LASTING,
        organisation_id,
        index,
        await vault.seal(f"{table}.fields_sealed", entry_id, entry_id, said.decode(), day=day),
        await vault.seal(f"{table}.details_sealed", entry_id, entry_id, detail.decode(), day=day),
        sha256(salt(day_key, entry_id) + said).digest(),
    )
    return entry_id


def salt(day_key: bytes, entry_id: UUID) -> bytes:
    """The salt of an entry's commitment: it dies with the day's key."""
    return digest(day_key, b"ruxa1|audit|salt|" + entry_id.bytes, "sha256")


def detail_key(day_key: bytes, entry_id: UUID) -> bytes:
    """The key of an entry's detail commitment: an auditor who is shown the details can check them with it."""
    return digest(day_key, b"ruxa1|audit|detail|" + entry_id.bytes, "sha256")


def lasts(entry_id: UUID) -> bool:
    """Whether an entry of this id is kept 2 years: its last bit says so, and the tree holds the id."""
    return bool(entry_id.int & 1)


def _id(moment: datetime, lasting: bool) -> UUID:
    """A UUIDv7 in the order of writing down to the microsecond; see ``lasts``."""
    ms, us = divmod(int(moment.timestamp()) * 1_000_000 + moment.microsecond, 1000)
    return UUID(int=ids.at(ms).int & ~(0xFFF << 64 | 1) | us * 4 << 64 | lasting)


def _hex(value: UUID | None) -> str:
    return "" if value is None else value.hex


async def add(
    work: Work,
    vault: Vault,
    principal: Principal | None,
    act: Act,
    *,
    organisation_id: UUID | None = None,
    object_id: UUID | None = None,
    staff: bool = False,
    request: str = "",
    purpose: str = "",
    outcome: Outcome = "done",
    details: Mapping[str, str] | None = None,
) -> UUID:
    """``write`` for a principal (None: the system). ``staff``: done by staff role, not by membership.

    ``request``: the shown id of the request (``req_...``), where there was one.
    """
    actor: Actor = "system"
    member_id = key_id = None
    role = ""
    if principal is not None:
        actor = "staff" if staff and principal.kind == "member" else principal.kind
        member_id = principal.id if principal.kind == "member" else None
        key_id = principal.id if principal.kind == "key" else None
        by_membership = principal.roles.get(organisation_id) if organisation_id and principal.kind == "member" else None
        role = (principal.staff_role if staff else by_membership) or ""
    return await write(
        work,
        vault,
        act,
        actor=actor,
        member_id=member_id,
        key_id=key_id,
        role=role,
        organisation_id=organisation_id,
        object_id=object_id,
        purpose=purpose,
        outcome=outcome,
        request_id=ids.read("req", request) if request else None,
        details=details,
    )
