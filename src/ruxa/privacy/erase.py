"""Erasure: ends for certain what is kept about a person or an organisation, and signs what was done (P60, P63).

    waiting -> planned -> shredding -> shredded -> cleared -> done        waiting -> cancelled

planned: the subject is stopped and the log knows; shredding: the keys to destroy are listed; shredded: destroyed, and
every process that held them has dropped them; cleared: rows are deleted, cut from the person or emptied, as the data
map says; done: the certificate is signed and the journal has forgotten who it was. Each step is one transaction that
may be repeated, so a run that was killed anywhere is finished by the next, and of two at once the second finds the
first one's certificate. No table is named here: a new column is erased on the day it is declared.

Asking is done with the login of whoever asks; the rest (``eraser``) with ``ruxa_erase``, which reads no value.
What the erasure cannot reach by deleting, it reaches by the keys: a destroyed key's data can be read in no copy, at
once in service, and when the epoch ends also in write-ahead logs and base backups (D28).
"""

from __future__ import annotations

import asyncio
import hashlib
import unicodedata
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, date, datetime
from typing import Final, Literal, cast
from uuid import UUID

import msgspec

from ruxa.access import addresses, members, outbox
from ruxa.access.audit import log
from ruxa.egress.objects import Objects
from ruxa.kernel import ids
from ruxa.kernel.errors import Broken, Conflict, NotFound, Unavailable
from ruxa.kernel.money import usd
from ruxa.kernel.sealed import Sealed
from ruxa.kernel.signals import Sink
from ruxa.privacy.content import items
from ruxa.privacy.erasures import certificate as certificates
from ruxa.privacy.erasures import records
from ruxa.privacy.erasures.certificate import MARK_DAYS, Signed
from ruxa.privacy.erasures.records import Row
from ruxa.privacy.retention import holds
from ruxa.store.keystore import Destroyed
from ruxa.store.pool import Pool
from ruxa.store.vault import Vault
from ruxa.store.work import Work

Kind = Literal["member", "organisation"]
AskedBy = Literal["subject", "operator", "system", "replay"]
State = Literal["waiting", "planned", "shredding", "shredded", "cleared", "done", "cancelled"]

COOLING_H: Final = 24
GRACE_DAYS: Final = 30
ACKNOWLEDGED_S: Final = 150.0
AT_ONCE: Final = 20
LOOKED_AT: Final = 500
PURPOSE: Final = "provide"
# Proofs of consent are kept as hashes under a key of their own, and billing under the fiscal year's.
CLASSES: Final = ("account", "usage", "content", "support")

_SUBJECT_LABEL: Final = "erasure.subject"
_ADDRESS_LABEL: Final = "erasure.address"

Checkpoint = Callable[[str], None]


class Obstacle(msgspec.Struct, frozen=True, kw_only=True):
    """Why there can be no erasure now: ``last_owner`` of an organisation with others, ``balance`` left, ``hold``."""

    code: Literal["last_owner", "balance", "hold"]
    subject: UUID
    micros: int = 0


class Outlook(msgspec.Struct, frozen=True, kw_only=True):
    """What an erasure of a member would do: what stands against it, and which organisations would go with it."""

    obstacles: tuple[Obstacle, ...]
    organisations: tuple[UUID, ...]


class Erasure(msgspec.Struct, frozen=True, kw_only=True):
    """One erasure as the journal has it. ``signed``: its certificate, once it is done."""

    id: UUID
    kind: Kind
    state: State
    asked_at: datetime
    due_at: datetime
    signed: Signed | None


async def outlook(work: Work, member_id: UUID) -> Outlook:
    """What stands against erasing a member, and which organisations nobody would be left in. NotFound."""
    if not await records.is_member(work, member_id):
        raise NotFound("No such member.")
    obstacles = await _holds(work, member_id)
    alone: list[UUID] = []
    for organisation_id, ref, others, owners in await records.owned(work, member_id):
        if owners:
            continue
        if others:
            obstacles.append(Obstacle(code="last_owner", subject=organisation_id))
            continue
        alone.append(organisation_id)
        obstacles += await _holds(work, organisation_id)
        obstacles += await _money(work, organisation_id, ref)
    return Outlook(obstacles=tuple(obstacles), organisations=tuple(alone))


async def ask(
    work: Work,
    vault: Vault,
    member_id: UUID,
    *,
    by: AskedBy,
    wait_h: int = COOLING_H,
    forfeit: bool = False,
) -> UUID:
    """Asks for a member's erasure after ``wait_h`` hours; its id. A second time: the same one.

    Organisations in which nobody else is go with it. ``forfeit``: credit that is left there is given up.
    Raises Conflict ``last_owner`` or ``balance_left``, NotFound.
    """
    await records.take_turns_asking(work, member_id)
    if (living := await records.living(work, member_id)) is not None:
        return living
    seen = await outlook(work, member_id)
    refuse(seen.obstacles, forfeit=forfeit)
    profile = await members.profile(work, vault, member_id)
    mark = await address_mark(vault, profile.email)
    erasure_id = ids.fresh()
    wait_s = wait_h * 3600
    hashed = subject_hash(vault, member_id)
    await records.insert(work, erasure_id, "member", member_id, hashed, by, None, forfeit, mark, wait_s)
    for organisation_id in seen.organisations:
        if await records.living(work, organisation_id) is None:
            hashed = subject_hash(vault, organisation_id)
            await records.insert(
                work, ids.fresh(), "organisation", organisation_id, hashed, by, erasure_id, forfeit, None, wait_s
            )
    if wait_h:
        # Whoever signed in as somebody else is found out while it can be taken back.
        row = await records.find(work, erasure_id)
        assert row is not None
        until = Sealed(f"{row.due_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC")
        await outbox.put(work, vault, member_id, "erasure", {"until": until})
    return erasure_id


async def ask_organisation(
    work: Work,
    vault: Vault,
    organisation_id: UUID,
    *,
    by: AskedBy,
    wait_h: int = GRACE_DAYS * 24,
    forfeit: bool = False,
) -> UUID:
    """Asks for an organisation's erasure after ``wait_h`` hours; its id. A second time: the same one.

    Raises Conflict ``balance_left``, NotFound.
    """
    await records.take_turns_asking(work, organisation_id)
    if (living := await records.living(work, organisation_id)) is not None:
        return living
    ref = await records.reference(work, organisation_id)
    if ref is None:
        raise NotFound("No such organisation.")
    refuse([*await _holds(work, organisation_id), *await _money(work, organisation_id, ref)], forfeit=forfeit)
    erasure_id = ids.fresh()
    hashed = subject_hash(vault, organisation_id)
    await records.insert(
        work, erasure_id, "organisation", organisation_id, hashed, by, None, forfeit, None, wait_h * 3600
    )
    return erasure_id


async def waiting(work: Work, subject: UUID) -> Erasure | None:
    """The erasure of this member or organisation that waits or runs, if any."""
    living = await records.living(work, subject)
    return None if living is None else await find(work, living)


async def find(work: Work, erasure_id: UUID) -> Erasure:
    """One erasure. NotFound."""
    row = await records.find(work, erasure_id)
    if row is None:
        raise NotFound("No such erasure.")
    return Erasure(
        id=row.id,
        kind=cast(Kind, row.kind),
        state=cast(State, row.state),
        asked_at=row.asked_at,
        due_at=row.due_at,
        signed=_signed(row),
    )


async def hurry(work: Work, erasure_id: UUID) -> None:
    """The subject does not want to wait. NotFound when the erasure does not wait any more."""
    if not await records.hurry(work, erasure_id):
        raise NotFound("That erasure does not wait any more.", code="erasure_begun")


async def take_back(work: Work, erasure_id: UUID) -> None:
    """The subject thought better of it. NotFound when the erasure does not wait any more."""
    if not await records.take_back(work, erasure_id):
        raise NotFound("That erasure does not wait any more.", code="erasure_begun")


async def subject(
    pool: Pool,
    eraser: Pool,
    vault: Vault,
    member_id: UUID,
    *,
    by: AskedBy = "operator",
    forfeit: bool = False,
    objects: Objects | None = None,
    checkpoint: Checkpoint = lambda _: None,
) -> Signed:
    """Erases a member now; the certificate, the same one for a member who was erased before.

    Raises as ``ask`` and ``run``.
    """
    async with pool.work("erasure") as work:
        asked = ask(work, vault, member_id, by=by, wait_h=0, forfeit=forfeit)
        erasure_id = await _hurried(work, vault, member_id, asked)
    return await run(eraser, vault, erasure_id, objects=objects, checkpoint=checkpoint)


async def organisation(
    pool: Pool,
    eraser: Pool,
    vault: Vault,
    organisation_id: UUID,
    *,
    by: AskedBy = "operator",
    forfeit: bool = False,
    objects: Objects | None = None,
    checkpoint: Checkpoint = lambda _: None,
) -> Signed:
    """Erases an organisation now; the certificate, the same one when it was erased before.

    Raises as ``ask_organisation`` and ``run``.
    """
    async with pool.work("erasure") as work:
        asked = ask_organisation(work, vault, organisation_id, by=by, wait_h=0, forfeit=forfeit)
        erasure_id = await _hurried(work, vault, organisation_id, asked)
    return await run(eraser, vault, erasure_id, objects=objects, checkpoint=checkpoint)


async def _hurried(work: Work, vault: Vault, one: UUID, asked: Awaitable[UUID]) -> UUID:
    """The erasure that was asked for, or the finished one of who is gone, to be run now."""
    try:
        erasure_id = await asked
    except NotFound:
        erasure_id = await _before(work, vault, one)
    await records.hurry(work, erasure_id)
    return erasure_id


async def _before(work: Work, vault: Vault, one: UUID) -> UUID:
    """The finished erasure of a subject that is not there. NotFound when there never was one."""
    erasure_id = await records.done_of(work, vault.keyed_hashes(_SUBJECT_LABEL, one.bytes))
    if erasure_id is None:
        raise NotFound("There is nobody with that id.")
    return erasure_id


async def again(work: Work, vault: Vault, email: Sealed[str]) -> Signed | None:
    """The certificate of whoever had this address and was erased within 30 days."""
    erasure_id = await records.by_address(work, await address_mark(vault, addresses.address(email)))
    if erasure_id is None:
        return None
    row = await records.find(work, erasure_id)
    assert row is not None
    return _signed(row)


async def due(pool: Pool, eraser: Pool, vault: Vault, objects: Objects | None = None, sink: Sink | None = None) -> int:
    """Runs what is due and finishes what was cut off; how many were finished. What cannot be now is told and left to
    later (``refused``), and keeps nobody else from theirs."""
    async with pool.work("erasure") as work:
        wanted = await records.due(work, LOOKED_AT)
        await records.forget_addresses(work, MARK_DAYS)
        await records.sweep_exports(work)
        lately = await records.erased_lately(work)
    if lately:
        async with eraser.work("erasure") as work:
            await records.clear_late(work)
    finished = 0
    refusals: Counter[str] = Counter()
    for erasure_id in wanted:
        if finished >= AT_ONCE:
            break
        try:
            await run(eraser, vault, erasure_id, objects=objects)
            finished += 1
        except (Conflict, Unavailable, NotFound) as fault:
            refusals[fault.code] += 1
    if sink is not None:
        for code, count in sorted(refusals.items()):
            sink.emit("erasure.refused", "warning", code=code, count=count)
    return finished


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """An erasure whose time came an hour ago or more and that is not done. why: codes of what stands against it, none
    when a process has not dropped the keys yet."""

    id: UUID
    kind: Kind
    asked_at: datetime
    due_at: datetime
    why: tuple[str, ...]


async def refused(work: Work) -> list[Refused]:
    """Those, longest due first: what somebody was promised and did not get."""
    found: list[Refused] = []
    for row in await records.overdue(work, LOOKED_AT):
        assert row.subject is not None
        if row.kind == "member":
            obstacles = list((await outlook(work, row.subject)).obstacles)
        else:
            ref = await records.reference(work, row.subject)
            obstacles = await _holds(work, row.subject)
            obstacles += [] if ref is None else await _money(work, row.subject, ref)
        why = tuple(sorted({one.code for one in obstacles if not (row.forfeit and one.code == "balance")}))
        found.append(Refused(id=row.id, kind=cast(Kind, row.kind), asked_at=row.asked_at, due_at=row.due_at, why=why))
    return found


async def replay(pool: Pool, eraser: Pool, vault: Vault) -> int:
    """Erases again whoever the journal says was erased and a restored database has brought back; how many."""
    back = 0
    kinds: tuple[Kind, ...] = ("member", "organisation")
    for kind in kinds:
        async with pool.work("erasure") as work:
            hashes = await records.erased_hashes(work, kind)
            there = [one for one in await records.subjects(work, kind) if _was_erased(vault, one, hashes)]
        for one in there:
            async with pool.work("erasure") as work:
                erasure_id = await records.living(work, one)
                if erasure_id is None:
                    erasure_id, hashed = ids.fresh(), subject_hash(vault, one)
                    await records.insert(work, erasure_id, kind, one, hashed, "replay", None, True, None, 0)
                else:
                    await records.hurry(work, erasure_id)
            await run(eraser, vault, erasure_id)
            back += 1
    return back


async def run(
    eraser: Pool,
    vault: Vault,
    erasure_id: UUID,
    *,
    objects: Objects | None = None,
    checkpoint: Checkpoint = lambda _: None,
) -> Signed:
    """Takes an erasure from where it is to its end; the certificate, the same one every time.

    eraser: of ``ruxa_erase``. Without ``objects`` what lies in the object store is unreadable at once, and goes when
    its day does.

    Raises Conflict when something new stands against it, Unavailable ``erasure_unacknowledged`` when a process does not
    say that it has dropped the keys: then it is finished later.
    """
    if (signed := await _advance(eraser, vault, objects, erasure_id, checkpoint, alone=False)) is not None:
        return signed
    async with eraser.work("erasure") as work:
        together = await records.going_with(work, erasure_id)
    for other in together:
        await run(eraser, vault, other, objects=objects, checkpoint=checkpoint)
    signed = await _advance(eraser, vault, objects, erasure_id, checkpoint, alone=True)
    assert signed is not None
    return signed


async def _advance(
    eraser: Pool, vault: Vault, objects: Objects | None, erasure_id: UUID, checkpoint: Checkpoint, *, alone: bool
) -> Signed | None:
    """Step after step; stops once planned unless ``alone``: what goes with it is erased before it."""
    async with eraser.work("erasure") as guard:
        await records.take_turns(guard, erasure_id)
        while True:
            async with eraser.work("erasure") as work:
                row = await records.find(work, erasure_id)
            if row is None:
                raise NotFound("No such erasure.")
            match cast(State, row.state):
                case "waiting":
                    await _plan(eraser, vault, row)
                case "planned" | "shredding":
                    if not alone:
                        return None
                    await _shred(eraser, vault, row, checkpoint)
                case "shredded":
                    await _clear(eraser, vault, objects, row)
                case "cleared":
                    await _certify(eraser, vault, row)
                case "done":
                    return _signed(row)
                case "cancelled":
                    raise NotFound("That erasure was taken back.", code="erasure_cancelled")
            checkpoint(f"after_{row.state}")


def refuse(obstacles: Sequence[Obstacle], *, forfeit: bool) -> None:
    """Raises the first obstacle that stands."""
    for one in obstacles:
        if one.code == "last_owner":
            raise Conflict(
                f"This member is the last owner of {ids.text('org', one.subject)}, which others are in or invited to:"
                " make somebody else owner, or close the organisation.",
                code="last_owner",
                detail=one.subject.hex,
            )
        if one.code == "hold":
            # Whether there is a hold may be a secret (D46): the words say no more than that somebody has to look.
            raise Conflict(
                "This cannot be erased now; whoever runs this server will tell you when.",
                code="erasure_not_now",
                detail=one.subject.hex,
            )
        if not forfeit:
            raise Conflict(
                f"{usd(one.micros)} USD of credit are left in {ids.text('org', one.subject)}: use them up, have them"
                " refunded, or give them up (`forfeit`; at the command line `--forfeit`).",
                code="balance_left",
                detail=one.subject.hex,
            )


def subject_hash(vault: Vault, one: UUID) -> bytes:
    """What the journal and the certificate know a subject by."""
    return vault.keyed_hash(_SUBJECT_LABEL, one.bytes)


def subject_hashes(vault: Vault, one: UUID) -> list[bytes]:
    """The same under every pepper that is still there, the newest first: older journals know it by theirs."""
    return vault.keyed_hashes(_SUBJECT_LABEL, one.bytes)


async def address_mark(vault: Vault, email: Sealed[str]) -> bytes:
    """A slow hash of an address under a label of its own (D33): it can be compared with one guess at a time."""
    salt = vault.keyed_hash(_ADDRESS_LABEL, b"salt")
    value = unicodedata.normalize("NFC", addresses.address(email).open(PURPOSE).casefold()).encode()
    return await asyncio.to_thread(hashlib.scrypt, value, salt=salt, n=2**14, r=8, p=1, dklen=32)


async def _holds(work: Work, one: UUID) -> list[Obstacle]:
    return [Obstacle(code="hold", subject=one)] if await holds.holds_back(work, one) else []


async def _money(work: Work, organisation_id: UUID, ref: UUID) -> list[Obstacle]:
    """Credit that pays for real providers and is not used; presents that end and the sandbox's are not money."""
    left = await records.paid_left(work, ref)
    return [Obstacle(code="balance", subject=organisation_id, micros=left)] if left > 0 else []


async def _plan(eraser: Pool, vault: Vault, row: Row) -> None:
    """The subject is stopped in the same transaction in which the log hears of it."""
    assert row.subject is not None
    async with eraser.work("erasure") as work:
        if row.asked_by != "replay" and row.kind == "member":
            seen = await outlook(work, row.subject)
            refuse(seen.obstacles, forfeit=row.forfeit)
            await _take_along(work, vault, row, seen.organisations)
        elif row.asked_by != "replay":
            refuse(await _holds(work, row.subject), forfeit=row.forfeit)
        if row.kind == "organisation":
            for invited in await records.invited_only(work, row.subject):
                hashed = subject_hash(vault, invited)
                await records.insert(work, ids.fresh(), "member", invited, hashed, row.asked_by, row.id, True, None, 0)
        await _tell(work, vault, row, "planned")
        await records.begin(work, row.id)


async def _take_along(work: Work, vault: Vault, row: Row, alone: Sequence[UUID]) -> None:
    """Organisations in which nobody is left now: the others went, or it was opened again, since the erasure was asked
    for. Without its last owner nobody could ever have it erased."""
    for organisation_id in alone:
        if await records.living(work, organisation_id) is None:
            hashed = subject_hash(vault, organisation_id)
            await records.insert(
                work, ids.fresh(), "organisation", organisation_id, hashed, row.asked_by, row.id, row.forfeit, None, 0
            )


async def _shred(eraser: Pool, vault: Vault, row: Row, checkpoint: Checkpoint) -> None:
    """Lists the keys, destroys them, and waits until no process holds one."""
    assert row.subject is not None
    while keys := [
        key for key in await vault.keys_of(row.subject) if key.slot.kind == "subject" and key.slot.key_class in CLASSES
    ]:
        async with eraser.work("erasure") as work:
            await records.list_keys(work, row.id, [key.id for key in keys])
        checkpoint("listed")
        await vault.destroy_subject(row.subject, CLASSES)
        checkpoint("destroyed")
    async with eraser.work("erasure") as work:
        await records.list_keys(work, row.id, [])
        listed = await records.find(work, row.id)
        assert listed is not None
    gone = await _ended(vault, listed)
    if not await vault.acknowledged(gone, ACKNOWLEDGED_S):
        raise Unavailable(
            "A process has not yet dropped the destroyed keys; the erasure is finished later.",
            code="erasure_unacknowledged",
        )
    checkpoint("acknowledged")
    async with eraser.work("erasure") as work:
        await records.shredded(work, row.id)


async def _clear(eraser: Pool, vault: Vault, objects: Objects | None, row: Row) -> None:
    """Rows by the map; an organisation's stored content with what of it lies in the object store."""
    assert row.subject is not None
    async with eraser.work("erasure") as work:
        gone: list[str] = []
        if row.kind == "organisation" and objects is not None:
            _, calls = await items.destroy_organisation(work, vault, objects, row.subject)
            gone = [f"content.item.organisation_id delete {calls}"] if calls else []
        await records.clear(work, row.id, gone)


async def _certify(eraser: Pool, vault: Vault, row: Row) -> None:
    assert row.subject is not None
    gone = await _ended(vault, row)
    kept: list[tuple[str, date | None]] = [
        (f"{key.id.hex()} {key.slot.kind} {key.slot.key_class}", key.slot.day)
        for key in await vault.keys_of(row.subject)
    ]
    signer = await vault.signing_key("report")
    async with eraser.work("erasure") as work:
        now = await records.now(work)
        together = await records.going_with(work, row.id)
        text = certificates.encode(
            certificates.compose(
                erasure_id=row.id,
                kind=row.kind,
                subject_hash=row.subject_hash,
                asked_by=row.asked_by,
                asked_at=row.asked_at,
                done_at=now,
                destroyed=gone,
                rows_gone=row.rows_gone,
                rows_kept=row.kept,
                keys_kept=kept,
                marked=row.address_marked,
                together_with=together,
            )
        )
        await _tell(work, vault, row, "done", certificate=hashlib.sha256(text).hexdigest())
        await records.finish(work, row.id, now, text, signer.sign(text), signer.id)


async def _tell(work: Work, vault: Vault, row: Row, outcome: log.Outcome, **details: str) -> None:
    """The log's entry: by keyed hash, so that a restored database can be told whom to erase again."""
    told = {"kind": row.kind, "subject": row.subject_hash.hex(), "asked_by": row.asked_by, **details}
    await log.write(
        work, vault, "subject:erased", actor="system", object_id=row.id, purpose="legal", outcome=outcome, details=told
    )


async def _ended(vault: Vault, row: Row) -> list[Destroyed]:
    """The listed keys' ends. Broken when one of them is still there: nothing may be certified then."""
    gone = await vault.ended(row.key_ids)
    if {one.key_id for one in gone} != set(row.key_ids):
        raise Broken("A key was not destroyed.", code="erasure_incomplete", detail=row.id.hex)
    return gone


def _was_erased(vault: Vault, one: UUID, hashes: set[bytes]) -> bool:
    return any(hashed in hashes for hashed in vault.keyed_hashes(_SUBJECT_LABEL, one.bytes))


def _signed(row: Row) -> Signed | None:
    if row.certificate is None or row.signature is None or row.signed_by is None:
        return None
    return Signed(text=row.certificate, signature=row.signature, key_id=row.signed_by)
