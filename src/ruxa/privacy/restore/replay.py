"""The replay: what happened between a backup and its loss is done again on the restored database, and compared.

The newest export of the keystore has forgotten the keys of whoever was erased, so nothing of them opens; what it
carries beside the keys puts the rest right: erasures by keyed hash, revoked and changed keys, roles, suspensions,
closed organisations, holds, and the audit log itself. What came after the export nobody here can know; a checkpoint
kept elsewhere tells whether there was anything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, LiteralString, Protocol, cast
from uuid import UUID

import msgspec

from ruxa.access.audit import reading, sequencer, tree, verify
from ruxa.kernel.errors import Broken, Conflict, InvalidCall
from ruxa.privacy import erase
from ruxa.privacy.erasures import records as erasures
from ruxa.privacy.restore import records
from ruxa.store.pool import Pool
from ruxa.store.vault import Vault
from ruxa.store.work import Work


class Lender(Protocol):
    """What lends transactions."""

    def work(self, principal: str = ..., /) -> AbstractAsyncContextManager[Work]:
        """One transaction."""
        ...


# An extract of an export: its columns and rows as COPY text, or None when it holds none of that name.
Read = Callable[[str], tuple[tuple[str, ...], bytes] | None]

# How each act that must not be undone by a restore comes back. An act of REPLAYED whose way is None has no table yet
# in this release: if one is found in the log it keeps the quarantine until a person has done it again.
REPLAYED: Final[Mapping[str, str | None]] = {
    "subject:erased": "erasure journal, by keyed hash",
    "key:revoked": "state of the keys",
    "key:changed": "state of the keys",
    "key:rotated": "state of the secrets",
    "key:created": "not brought back: a key made after the backup does not exist",
    "member:role_changed": "state of the memberships",
    "member:removed": "state of the memberships",
    "member:joined": "state of the memberships, where both are there",
    "member:suspended": "state of the members",
    "member:restored": "state of the members",
    "member:password_changed": "the older password ends; the member chooses a new one",
    "staff:added": "state of the members",
    "staff:removed": "state of the members",
    "organisation:suspended": "state of the organisations",
    "organisation:restored": "state of the organisations",
    "hold:placed": "state of the holds",
    "hold:ended": "state of the holds",
    "crypto:destroyed": "the newest export of the keystore lacks the key",
    "subject:restricted": "state of the restrictions",
    "subject:unrestricted": "state of the restrictions",
    "route:removed": "not done again: told, with the routes that were set",
    "provider_key:removed": "state of the own provider keys",
    "method:removed": "state of the saved methods",
    "freeze:placed": "not done again: told; a freeze that a person placed is placed again by hand",
    "transfer:withdrawn": "not done again: told; a transfer needs its two people again",
    "subject:objected": None,
    "consent:given": None,
    "consent:withdrawn": None,
}
# Acts whose effect lies in what was lost: told, because nobody can bring them back.
LOST: Final[Mapping[str, str]] = {
    "credit:given": "credit given",
    "price:changed": "prices changed",
    "plan:assigned": "organisations' plans changed",
    "plan:changed": "plans and their margins changed",
    "provider_key:set": "organisations' own provider keys set",
    "freeze:placed": "spending frozen",
    "transfer:withdrawn": "confirmations of transfers withdrawn",
    "route:set": "routes set",
    "route:removed": "routes taken away",
    "organisation:created": "organisations made",
    "organisation:renamed": "organisations renamed",
    "organisation:changed": "settings of organisations changed",
    "member:signed_up": "people who signed up",
    "key:created": "keys made",
    "settings:changed": "settings changed",
    "policy:published": "versions of the policy published",
    "content:deleted": "items of content deleted (those of them that the backup holds are back until their day)",
}


class Known(msgspec.Struct, frozen=True):
    """What the replay found: how much of what it did, what nobody can know, what a person must settle first."""

    did: dict[str, int]
    unknown: list[str]
    reasons: list[str]


async def put_right(owner: Pool, read: Read, *, newer: bool) -> tuple[dict[str, int], list[str]]:
    """Puts the export's log and, when it is ``newer`` than the data, its state upon the restored rows.

    One transaction as the owner. Gives the rows that each step touched, and what stands against serving. Raises
    Conflict ``log_forked`` when the log of the export is not the continuation of the restored one.
    """
    did: dict[str, int] = {}
    reasons: list[str] = []
    async with owner.work("restore") as work:
        await work.run("SET LOCAL statement_timeout = 0")
        missing: list[str] = []
        for name in records.EXTRACTS:
            await records.stage(work, name)
            found = read(name)
            if found is None:
                missing.append(name)
                continue
            columns, rows = found
            await work.copy_bytes(_copy(name, columns), rows)
        if missing:
            reasons.append(f"the key export is of an older release and lacks {', '.join(missing)}")
            return did, reasons
        if (seq := await records.forked(work)) is not None:
            raise Conflict(
                f"The audit log of the backup and that of the key export differ from leaf {seq} on: they are not of "
                "one instance, or one was forged.",
                code="log_forked",
            )
        if await records.gap(work):
            reasons.append(
                "the backup is older than the log that the key export carries: leaves in between are missing"
            )
        else:
            for what, statement in records.LOG:
                did[what] = await work.run(statement)
        if newer:
            await records.guards(work, on=False)
            for what, statement in records.STANDING:
                did[what] = await work.run(statement)
            await records.guards(work, on=True)
    return {what: count for what, count in did.items() if count}, reasons


async def erase_again(pool: Pool, eraser: Pool, vault: Vault) -> int:
    """Erases whoever the journal says was erased and the backup has brought back; how many."""
    return await erase.replay(pool, eraser, vault)


async def tell(pool: Pool, vault: Vault, taken_at: datetime, living_at: datetime, *, newer: bool) -> Known:
    """What the log says of the time since the backup, sorted into what came back, what is lost, what is open."""
    unknown: list[str] = []
    reasons: list[str] = []
    counts: Counter[str] = Counter()
    async with pool.work("restore") as work:
        below: UUID | None = None
        while entries := await reading.page(work, vault, "proof", below=below, limit=200):
            since = [entry for entry in entries if entry.at >= taken_at]
            counts.update(entry.act for entry in since)
            if len(since) < len(entries):
                break
            below = entries[-1].id
    closed = counts.pop("", 0)
    for act, what in LOST.items():
        if counts[act]:
            unknown.append(f"{what} since the backup: {counts[act]}; they are not in the restored data")
    for act, way in REPLAYED.items():
        if way is None and counts[act]:
            reasons.append(f"{act} happened {counts[act]} time(s) since the backup and must be done again by hand")
    if closed:
        unknown.append(f"entries of the log since the backup that cannot be read any more: {closed}")
    if not newer:
        reasons.append(
            f"the key export ({living_at:%Y-%m-%d %H:%M} UTC) is older than the data ({taken_at:%Y-%m-%d %H:%M} UTC): "
            "what was revoked or destroyed in between is not known from it"
        )
    unknown.append(f"calls, charges, payments and content after {taken_at:%Y-%m-%d %H:%M:%S} UTC")
    unknown.append("sessions, links, waiting mail and queued jobs: everybody signs in anew")
    unknown.append(f"whatever happened after {max(living_at, taken_at):%Y-%m-%d %H:%M:%S} UTC, the newest moment known")
    return Known(dict(counts), unknown, reasons)


# The log is mailed every day; who restores has half a day for it.
CHECKPOINT_HOURS: Final = 36


class Newest(msgspec.Struct, frozen=True, kw_only=True):
    """What a checkpoint must not be older than: the data (leaves of the log and moment), and the last erasure known."""

    size: int
    data_at: datetime
    erased_at: datetime | None
    now: datetime


class Compared(msgspec.Struct, frozen=True):
    """The restored log beside a checkpoint from outside. reason: None when the log contains all it covers.

    at: when the log signed it, None when no key of the log did.
    """

    size: int
    reason: str | None
    at: datetime | None = None


class Given(msgspec.Struct, frozen=True):
    """A checkpoint from outside, before there is a log to compare it with. at: as for ``Compared``."""

    size: int
    at: datetime | None


def given(checkpoint: str, instance: UUID, signers: Sequence[bytes]) -> Given:
    """What a checkpoint says of itself. Raises InvalidCall ``checkpoint_unreadable``."""
    note = _read(checkpoint, instance)
    return Given(note.size, _signed_at(note, signers))


def too_old(found: Given | Compared, newest: Newest) -> str | None:
    """Why a checkpoint is too old to tell whether something was erased after what is restored; None when it is not.

    Whoever restores an old export beside an old checkpoint would be shown the erased until their epoch ends.
    """
    if found.at is None:
        return None
    signed = f"the checkpoint was signed {found.at:%Y-%m-%d %H:%M} UTC, {_ago(newest.now - found.at)} ago"
    if found.size < newest.size:
        return f"{signed}, and is older than the data of {newest.data_at:%Y-%m-%d %H:%M} UTC: {_AFTER}"
    if newest.erased_at is not None and found.at < newest.erased_at:
        return f"{signed}, before the last erasure known here ({newest.erased_at:%Y-%m-%d %H:%M} UTC): {_AFTER}"
    if newest.now - found.at > timedelta(hours=CHECKPOINT_HOURS):
        return f"{signed}, more than {CHECKPOINT_HOURS} hours: {_AFTER}"
    return None


_AFTER: Final = "what was erased, revoked or withdrawn after it is not known from it"


def _ago(age: timedelta) -> str:
    hours = max(int(age.total_seconds()) // 3600, 0)
    return f"{hours} h" if hours < 72 else f"{hours // 24} days"


def erased_at(read: Read) -> datetime | None:
    """When the last erasure was done that an export knows of."""
    found = read("replay_erasure")
    if found is None:
        return None
    columns, rows = found
    place = columns.index("done_at")
    done = [line.split("\t")[place] for line in rows.decode().splitlines()]
    return max((datetime.fromisoformat(text).astimezone(UTC) for text in done if text != "\\N"), default=None)


async def last_erasure(pool: Lender) -> datetime | None:
    """When the last erasure was done that the restored database knows of."""
    async with pool.work("restore") as work:
        return await erasures.last_done(work)


def _read(checkpoint: str, instance: UUID) -> verify.Note:
    try:
        note = verify.read_note(checkpoint.rstrip() + "\n")
    except verify.Unreadable as error:
        raise InvalidCall(f"The checkpoint cannot be read: {error}.", code="checkpoint_unreadable") from None
    origin = sequencer.origin_of(instance)
    if note.origin != origin:
        raise InvalidCall(
            f"The checkpoint is of {note.origin}; this instance's log is {origin}.", code="checkpoint_unreadable"
        )
    return note


def _signed_at(note: verify.Note, signers: Sequence[bytes]) -> datetime | None:
    """The time of the log's own timestamped signature."""
    times: list[int] = []
    for public in signers:
        good, at = note.cosigned_by(verify.Key(note.origin, verify.COSIGNATURE, public))
        if good:
            times.append(at)
    return datetime.fromtimestamp(max(times), UTC) if times else None


async def compare(pool: Lender, vault: Vault, instance: UUID, checkpoint: str) -> Compared:
    """Whether the log holds everything that a checkpoint from outside covers, unchanged.

    Raises InvalidCall ``checkpoint_unreadable`` for what is no checkpoint of this instance.
    """
    note = _read(checkpoint, instance)
    signers = [signer.public for signer in await vault.public_keys("audit")]
    at = _signed_at(note, signers)
    async with pool.work("restore") as work:
        keys = [verify.Key(note.origin, verify.NOTE, public) for public in signers]
        if not any(note.signed_by(key) for key in keys):
            return Compared(note.size, "the checkpoint is signed by no key of this instance's log")
        head = await records.head(work)
        if not head.whole:
            return Compared(note.size, f"the restored log has gaps below its leaf {head.size}", at)
        if head.size < note.size:
            return Compared(
                note.size,
                f"the restored log ends at leaf {head.size} and the checkpoint covers {note.size}: what the "
                f"{note.size - head.size} acts in between did is not known; give a newer key export",
                at,
            )
        if tree.root(await records.root_at(work, note.size)) != note.root:
            return Compared(note.size, "the restored log differs from the one that the checkpoint covers", at)
    return Compared(note.size, None, at)


async def head(pool: Pool) -> tuple[int, bytes]:
    """Size and root of the restored log. Raises Broken ``log_gap``."""
    async with pool.work("restore") as work:
        found = await records.head(work)
        if not found.whole:
            raise Broken("The restored audit log has gaps.", code="log_gap")
        return found.size, tree.root(await records.root_at(work, found.size))


class Seen(msgspec.Struct, frozen=True):
    """erased: how many the journals name; back: how many of them are in the restored data; others: who else is."""

    erased: int
    back: int
    others: tuple[UUID, ...]


async def who_is_back(lenders: Sequence[Lender], restored: Lender, vault: Vault) -> Seen:
    """Looks for everybody whom any of the journals calls erased among the people and organisations restored."""
    hashes: set[bytes] = set()
    kinds: tuple[Literal["member", "organisation"], ...] = ("member", "organisation")
    for lender in (*lenders, restored):
        async with lender.work("restore") as work:
            for kind in kinds:
                hashes |= await erasures.erased_hashes(work, kind)
    async with restored.work("restore") as work:
        people = await erasures.subjects(work, "member")
        there = [*people, *await erasures.subjects(work, "organisation")]
    back = {one for one in there if hashes.intersection(erase.subject_hashes(vault, one))}
    return Seen(len(hashes), len(back), tuple(one for one in people if one not in back))


async def root_is(pool: Pool, size: int, root: str) -> bool:
    """Whether the log's first ``size`` leaves have this root (hex)."""
    async with pool.work("restore") as work:
        return tree.root(await records.root_at(work, size)).hex() == root


def _copy(name: str, columns: tuple[str, ...]) -> LiteralString:
    assert all(column.isidentifier() for column in columns), "columns come from a catalog"
    return cast(LiteralString, f"COPY pg_temp.{name} ({', '.join(columns)}) FROM STDIN")
