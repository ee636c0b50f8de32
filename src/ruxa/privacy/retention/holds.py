"""Holds: reasons not to delete yet, of one organisation or member; by two people, for at most twelve months (D46).

A hold does not lengthen a limit: what would be destroyed is copied first, sealed under a key of the hold's own, and
the original goes in time like everything else. When the hold ends its key is destroyed, and with it all it kept. It
counts from the moment it is placed; when nobody else approves it within three days it ends by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

import msgspec

from ruxa.access import members, outbox
from ruxa.access.audit import log
from ruxa.access.authorize import Principal
from ruxa.kernel import crypto, ids
from ruxa.kernel.errors import Conflict, Forbidden, InvalidCall, NotFound
from ruxa.kernel.sealed import Sealed
from ruxa.privacy.retention import records
from ruxa.privacy.retention.records import HoldFacts, HoldRow
from ruxa.store.keystore import Destroyed
from ruxa.store.pool import Pool
from ruxa.store.vault import Vault
from ruxa.store.work import Work

Scope = Literal["organisation", "member"]
Basis = Literal["legal_claim", "legal_obligation", "authority", "dispute"]
BASES: Final[tuple[Basis, ...]] = ("legal_claim", "legal_obligation", "authority", "dispute")
REASON_CHARS_MAX: Final = 500

_REASON: Final = "reason"


class Hold(HoldFacts, frozen=True, kw_only=True):
    """One hold. reason is None when its key is gone; items: what it keeps by now."""

    reason: str | None
    items: int = 0


class Kept(msgspec.Struct, frozen=True):
    """An item that a hold keeps, opened."""

    store: str
    item_id: UUID
    part: str
    body: bytes


async def place(
    work: Work,
    vault: Vault,
    principal: Principal,
    *,
    scope: Scope,
    subject_id: UUID,
    reason: str,
    basis: Basis,
    owner_id: UUID,
    ends_at: datetime,
    gagged: bool = False,
) -> UUID:
    """Places a hold in the owner's name; its id. It waits for somebody else's approval, and counts meanwhile.

    Raises InvalidCall ``hold_reason``, ``hold_end`` (not within the next twelve months).
    """
    text = " ".join(reason.split())
    if not 1 <= len(text) <= REASON_CHARS_MAX:
        raise InvalidCall(f"A hold needs a reason of at most {REASON_CHARS_MAX} characters.", code="hold_reason")
    hold_id = ids.fresh()
    sealed = await _seal(vault, hold_id, hold_id, _REASON, text.encode())
    try:
        await records.insert_hold(
            work,
            hold_id,
            scope=scope,
            subject_id=subject_id,
            reason=sealed,
            basis=basis,
            owner_id=owner_id,
            gagged=gagged,
            ends_at=ends_at,
        )
    except Conflict as fault:
        if fault.code != "hold_twelve_months":
            raise
        raise InvalidCall("A hold ends after now and within twelve months.", code="hold_end") from None
    await _write(work, vault, principal, "hold:placed", hold_id, scope, subject_id, owner_id, basis=basis)
    return hold_id


async def approve(work: Work, vault: Vault, principal: Principal, hold_id: UUID, approver_id: UUID) -> None:
    """The second pair of eyes; whom it concerns is told.

    Raises Forbidden ``hold_four_eyes``, Conflict ``hold_over``, NotFound.
    """
    row = await _row(work, hold_id)
    if approver_id == row.owner_id:
        raise Forbidden("A hold is approved by somebody else than who placed it.", code="hold_four_eyes")
    if not await records.approve_hold(work, hold_id, approver_id):
        raise Conflict("This hold was approved before, or has ended.", code="hold_over")
    await _write(
        work, vault, principal, "hold:placed", hold_id, row.scope, row.subject_id, approver_id, purpose="approved"
    )
    await _tell(work, vault, row)


async def _tell(work: Work, vault: Vault, row: HoldRow) -> None:
    """Mail to whom the hold concerns, unless the law forbids it: the member, or the owners of the organisation."""
    if row.gagged:
        return
    if row.scope == "member":
        told = [row.subject_id]
    else:
        team = await members.team(work, vault, row.subject_id)
        told = [one.member_id for one in team if one.role == "owner" and one.accepted_at is not None]
    for member_id in told:
        await outbox.put(work, vault, member_id, "hold", {"until": Sealed(str(row.ends_at.date()))})
    await records.told(work, row.id)


async def end(pool: Pool, vault: Vault, principal: Principal | None, hold_id: UUID) -> list[Destroyed]:
    """Ends a hold: written down, then its key is destroyed and what it kept is deleted; the keys destroyed.

    Can be killed at any point and repeated; the hourly run finishes what was cut off. Raises NotFound.
    """
    async with pool.work("retention") as work:
        row = await _row(work, hold_id)
        if await records.end_hold(work, hold_id):
            await _write(work, vault, principal, "hold:ended", hold_id, row.scope, row.subject_id, row.owner_id)
    destroyed = await vault.destroy_hold(hold_id)
    async with pool.work("retention") as work:
        await records.drop_held(work, hold_id)
    return destroyed


async def every(work: Work, vault: Vault, *, ended: bool = False) -> list[Hold]:
    """The holds, newest first, with their reasons opened."""
    counts = await records.held_counts(work)
    return [await _hold(vault, row, counts.get(row.id, 0)) for row in await records.holds(work, ended=ended)]


def state_of(one: Hold) -> Literal["ended", "over", "approved", "waits"]:
    """What a hold is now, in a word."""
    if one.ended_at is not None:
        return "ended"
    if not one.living:
        return "over"
    return "approved" if one.approved_at is not None else "waits"


async def living(work: Work) -> list[HoldRow]:
    """The holds that stop deletion now."""
    return [row for row in await records.holds(work, ended=False) if row.living]


async def holds_back(work: Work, subject_id: UUID) -> bool:
    """Whether deletion of this organisation or member is on hold now: who erases asks first."""
    return await records.held_back(work, subject_id)


async def count(work: Work) -> int:
    """How many holds stop a deletion now: what the public learns."""
    return await records.holds_living(work)


async def keep(work: Work, vault: Vault, hold_id: UUID, store: str, items: Sequence[tuple[UUID, str, bytes]]) -> None:
    """Keeps items (id, part, body) of a store under a hold; one that is kept already stays."""
    rows = [
        (hold_id, store, item, part, await _seal(vault, hold_id, item, f"{store}.{part}", body))
        for item, part, body in items
    ]
    await records.keep(work, rows)


async def kept(work: Work, vault: Vault, hold_id: UUID) -> list[Kept]:
    """What a hold keeps, opened; for whoever the hold is for. Raises NotFound ``hold_over`` when it has ended."""
    row = await _row(work, hold_id)
    if row.ended_at is not None:
        raise NotFound("This hold has ended, and what it kept is gone.", code="hold_over")
    found: list[Kept] = []
    for store, item, part, sealed in await records.held(work, hold_id):
        found.append(Kept(store, item, part, await _open(vault, hold_id, item, f"{store}.{part}", sealed)))
    return found


async def _row(work: Work, hold_id: UUID) -> HoldRow:
    row = await records.hold(work, hold_id)
    if row is None:
        raise NotFound("No such hold.")
    return row


async def _hold(vault: Vault, row: HoldRow, items: int) -> Hold:
    reason = None
    if row.reason_sealed is not None and row.ended_at is None:
        reason = (await _open(vault, row.id, row.id, _REASON, bytes(row.reason_sealed))).decode()
    facts: dict[str, Any] = {name: getattr(row, name) for name in HoldFacts.__struct_fields__}
    return Hold(**facts, reason=reason, items=items)


async def _seal(vault: Vault, hold_id: UUID, item: UUID, part: str, body: bytes) -> bytes:
    key = crypto.derive(await vault.hold_key(hold_id), f"ruxa1|hold|{part}")
    return crypto.seal(key, hold_id.bytes[-8:], body, _place(hold_id, item, part))


async def _open(vault: Vault, hold_id: UUID, item: UUID, part: str, sealed: bytes) -> bytes:
    key = crypto.derive(await vault.hold_key(hold_id), f"ruxa1|hold|{part}")
    return crypto.unseal(key, sealed, _place(hold_id, item, part))


def _place(hold_id: UUID, item: UUID, part: str) -> bytes:
    return f"ruxa1|hold|{hold_id.hex}|{item.hex}|{part}".encode()


async def _write(
    work: Work,
    vault: Vault,
    principal: Principal | None,
    act: Literal["hold:placed", "hold:ended"],
    hold_id: UUID,
    scope: str,
    subject_id: UUID,
    staff_id: UUID,
    *,
    basis: str = "",
    purpose: str = "",
) -> None:
    await log.add(
        work,
        vault,
        principal,
        act,
        organisation_id=subject_id if scope == "organisation" else None,
        object_id=hold_id,
        staff=True,
        purpose=purpose or basis,
        details={"scope": scope, "subject": subject_id.hex, "by": staff_id.hex},
    )
