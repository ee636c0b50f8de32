"""Every statement of erasures and exports. The functions behind them live in ``store/schema/66_erasure.sql``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, LiteralString, NamedTuple
from uuid import UUID

from ruxa.store.work import Work


class Row(NamedTuple):
    """privacy.erasure."""

    id: UUID
    kind: str
    state: str
    subject: UUID | None
    subject_hash: bytes
    asked_by: str
    goes_with: UUID | None
    forfeit: bool
    key_ids: list[bytes]
    rows_gone: list[str]
    kept: list[str]
    asked_at: datetime
    due_at: datetime
    done_at: datetime | None
    address_marked: bool
    certificate: bytes | None
    signature: bytes | None
    signed_by: bytes | None


class Tie(NamedTuple):
    """How a table is tied to a subject, and what an erasure does there."""

    place: str
    tab: str
    col: str
    condition: str
    depth: int
    action: str
    columns: list[str]


async def insert(
    work: Work,
    erasure_id: UUID,
    kind: str,
    subject: UUID,
    subject_hash: bytes,
    asked_by: str,
    goes_with: UUID | None,
    forfeit: bool,
    address_mark: bytes | None,
    wait_s: int,
) -> None:
    """A new erasure that waits."""
    await work.run(
        """
        INSERT INTO privacy.erasure
            (id, kind, subject, subject_hash, asked_by, goes_with, forfeit, address_mark, due_at)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, ruxa.now() + make_interval(secs => %s))
        """,
        erasure_id,
        kind,
        subject,
        subject_hash,
        asked_by,
        goes_with,
        forfeit,
        address_mark,
        wait_s,
    )


async def last_done(work: Work) -> datetime | None:
    """When the last erasure was done, other than those that a restore does again."""
    moment: datetime | None = await work.value("SELECT max(done_at) FROM privacy.erasure WHERE asked_by <> 'replay'")
    return moment


_ROW: Final[LiteralString] = """
    SELECT id, kind, state, subject, subject_hash, asked_by, goes_with, forfeit, key_ids, rows_gone, kept, asked_at,
        due_at, done_at, address_mark IS NOT NULL, certificate, signature, signed_by
    FROM privacy.erasure
"""


async def find(work: Work, erasure_id: UUID) -> Row | None:
    """One erasure."""
    row = await work.row(_ROW + "WHERE id = %s", erasure_id)
    return None if row is None else Row(*row)


async def overdue(work: Work, limit: int) -> list[Row]:
    """Those that were due an hour ago and are not over, longest first; without what goes with another."""
    rows = await work.rows(
        _ROW + "WHERE subject IS NOT NULL AND goes_with IS NULL AND due_at < ruxa.now() - interval '1 hour'"
        " ORDER BY due_at LIMIT %s",
        limit,
    )
    return [Row(*row) for row in rows]


async def take_turns_asking(work: Work, subject: UUID) -> None:
    """Until this work ends nobody else asks for the same subject."""
    await work.run("SELECT pg_advisory_xact_lock(hashtextextended('ruxa.erasure of ' || %s::text, 0))", subject)


async def done_of(work: Work, subject_hashes: Sequence[bytes]) -> UUID | None:
    """The last finished erasure of a subject."""
    return await work.value(
        """
        SELECT id FROM privacy.erasure WHERE subject_hash = ANY (%s) AND state = 'done'
        ORDER BY done_at DESC, id DESC LIMIT 1
        """,
        list(subject_hashes),
    )


async def living(work: Work, subject: UUID) -> UUID | None:
    """The erasure of this subject that waits or runs."""
    return await work.value("SELECT id FROM privacy.erasure WHERE subject = %s", subject)


async def going_with(work: Work, erasure_id: UUID) -> list[UUID]:
    """What is erased together with it."""
    rows = await work.rows(
        "SELECT id FROM privacy.erasure WHERE goes_with = %s AND state <> 'cancelled' ORDER BY id", erasure_id
    )
    return [row[0] for row in rows]


async def due(work: Work, limit: int) -> list[UUID]:
    """What is due or was cut off, what it goes with first."""
    rows = await work.rows(
        """
        SELECT id FROM privacy.erasure
        WHERE subject IS NOT NULL AND (due_at <= ruxa.now() OR state <> 'waiting')
        ORDER BY goes_with IS NOT NULL, due_at LIMIT %s
        """,
        limit,
    )
    return [row[0] for row in rows]


async def hurry(work: Work, erasure_id: UUID) -> bool:
    """No more waiting; False when it does not wait."""
    return bool(
        await work.run(
            "UPDATE privacy.erasure SET due_at = ruxa.now() WHERE (id = %s OR goes_with = %s) AND state = 'waiting'",
            erasure_id,
            erasure_id,
        )
    )


async def take_back(work: Work, erasure_id: UUID) -> bool:
    """False when it does not wait any more."""
    return bool(await work.value("SELECT privacy.erasure_take_back(%s)", erasure_id))


async def take_turns(work: Work, erasure_id: UUID) -> None:
    """Held by this work until it ends: of two that run the same erasure the second waits."""
    await work.run("SET LOCAL idle_in_transaction_session_timeout = 0")
    await work.run("SET LOCAL lock_timeout = 0")
    await work.run("SET LOCAL statement_timeout = 0")
    await work.run("SELECT pg_advisory_xact_lock(hashtextextended('ruxa.erasure ' || %s::text, 0))", erasure_id)


async def begin(work: Work, erasure_id: UUID) -> None:
    """waiting -> planned, and its subject is stopped."""
    await work.run("UPDATE privacy.erasure SET state = 'planned' WHERE id = %s AND state = 'waiting'", erasure_id)
    await work.run("SELECT privacy.erasure_freeze(%s)", erasure_id)


async def list_keys(work: Work, erasure_id: UUID, key_ids: Sequence[bytes]) -> None:
    """planned or shredding -> shredding: these keys are about to be destroyed."""
    await work.run(
        """
        UPDATE privacy.erasure SET state = 'shredding',
            key_ids = ARRAY(SELECT DISTINCT one FROM unnest(key_ids || %s::bytea[]) AS one ORDER BY one)
        WHERE id = %s AND state IN ('planned', 'shredding')
        """,
        list(key_ids),
        erasure_id,
    )


async def shredded(work: Work, erasure_id: UUID) -> None:
    """shredding -> shredded: every process has dropped the keys."""
    await work.run("UPDATE privacy.erasure SET state = 'shredded' WHERE id = %s AND state = 'shredding'", erasure_id)


async def clear(work: Work, erasure_id: UUID, gone: Sequence[str]) -> None:
    """shredded -> cleared: rows are deleted, cut and emptied by the map. ``gone``: lines of what went before."""
    await work.run("SET LOCAL statement_timeout = 0")
    await work.run("SELECT privacy.erasure_clear(%s, %s)", erasure_id, list(gone))


async def erased_lately(work: Work) -> bool:
    """Whether rows of an erased organisation may still come late."""
    found: bool = await work.value(
        "SELECT EXISTS (SELECT FROM access.organisation WHERE erased_at > ruxa.now() - interval '100 days')"
    )
    return found


async def clear_late(work: Work) -> int:
    """Rows of erased organisations that came late; how many went."""
    await work.run("SET LOCAL statement_timeout = 0")
    return int(await work.value("SELECT privacy.erasure_clear_late()"))


async def finish(
    work: Work, erasure_id: UUID, done_at: datetime, certificate: bytes, signature: bytes, signed_by: bytes
) -> None:
    """cleared -> done: the subject is forgotten."""
    await work.run(
        """
        UPDATE privacy.erasure SET state = 'done', subject = NULL, done_at = %s, certificate = %s, signature = %s,
            signed_by = %s
        WHERE id = %s AND state = 'cleared'
        """,
        done_at,
        certificate,
        signature,
        signed_by,
        erasure_id,
    )


async def by_address(work: Work, address_mark: bytes) -> UUID | None:
    """The last finished erasure of whoever had this address."""
    return await work.value(
        """
        SELECT id FROM privacy.erasure WHERE address_mark = %s AND state = 'done'
        ORDER BY done_at DESC, id DESC LIMIT 1
        """,
        address_mark,
    )


async def forget_addresses(work: Work, days: int) -> int:
    """Takes the marks off finished erasures that are older."""
    return await work.run(
        """
        UPDATE privacy.erasure SET address_mark = NULL
        WHERE address_mark IS NOT NULL AND done_at < ruxa.now() - make_interval(days => %s)
        """,
        days,
    )


async def erased_hashes(work: Work, kind: str) -> set[bytes]:
    """The keyed hashes of everybody who was erased."""
    rows = await work.rows("SELECT subject_hash FROM privacy.erasure WHERE kind = %s AND state = 'done'", kind)
    return {row[0] for row in rows}


async def subjects(work: Work, kind: str) -> list[UUID]:
    """Every member or organisation that is there."""
    if kind == "member":
        return [row[0] for row in await work.rows("SELECT id FROM access.member ORDER BY id")]
    rows = await work.rows("SELECT id FROM access.organisation WHERE erased_at IS NULL ORDER BY id")
    return [row[0] for row in rows]


async def ties(work: Work, kind: str) -> list[Tie]:
    """Every table that is tied to a member or an organisation."""
    return [Tie(*row) for row in await work.rows("SELECT * FROM privacy.ties(%s)", kind)]


async def owned(work: Work, member_id: UUID) -> list[tuple[UUID, UUID, int, int]]:
    """Organisations the member owns: id, reference, other members, other owners (who may sign in)."""
    return await work.rows("SELECT * FROM privacy.owned_by(%s)", member_id)


async def invited_only(work: Work, organisation_id: UUID) -> list[UUID]:
    """Who is here only because the organisation invited them, and never came."""
    return [row[0] for row in await work.rows("SELECT * FROM privacy.invited_only(%s)", organisation_id)]


async def paid_left(work: Work, organisation_ref: UUID) -> int:
    """Credit that was paid for and is not used up, micros."""
    return int(await work.value("SELECT privacy.paid_left(%s)", organisation_ref))


async def reference(work: Work, organisation_id: UUID) -> UUID | None:
    """What money knows the organisation by; None when there is none, or it was erased."""
    return await work.value(
        "SELECT organisation_ref FROM access.organisation WHERE id = %s AND erased_at IS NULL", organisation_id
    )


async def is_member(work: Work, member_id: UUID) -> bool:
    """Whether there is such a member."""
    return bool(await work.value("SELECT EXISTS (SELECT FROM access.member WHERE id = %s)", member_id))


async def insert_export(work: Work, export_id: UUID, member_id: UUID, days: int) -> None:
    """A new export of the member."""
    await work.run(
        """
        INSERT INTO privacy.export (id, member_id, expires_at) VALUES (%s, %s, ruxa.now() + make_interval(days => %s))
        """,
        export_id,
        member_id,
        days,
    )


async def exports(work: Work, member_id: UUID) -> list[tuple[UUID, datetime, datetime, datetime | None]]:
    """The member's exports whose week is not over, newest first."""
    return await work.rows(
        """
        SELECT id, asked_at, expires_at, used_at FROM privacy.export
        WHERE member_id = %s AND expires_at > ruxa.now() ORDER BY id DESC
        """,
        member_id,
    )


async def use_export(work: Work, member_id: UUID, export_id: UUID) -> bool:
    """False when it is not the member's, was used, or is over; of two at once one wins."""
    return bool(
        await work.run(
            """
            UPDATE privacy.export SET used_at = ruxa.now()
            WHERE id = %s AND member_id = %s AND used_at IS NULL AND expires_at > ruxa.now()
            """,
            export_id,
            member_id,
        )
    )


async def export_rows(
    work: Work, export_id: UUID, tie: Tie, organisation_id: UUID | None, after: UUID | None, limit: int
) -> list[dict[str, Any]]:
    """Exported columns of the rows of a tie: a page of them where they have ids, else all."""
    rows = await work.rows(
        "SELECT privacy.export_rows(%s, %s, %s, %s, %s, %s, %s)",
        *(export_id, tie.place, tie.tab, tie.col, organisation_id, after, limit),
    )
    return [row[0] for row in rows]


async def sweep_exports(work: Work) -> int:
    """Those whose week is over, and those fetched a day ago."""
    return await work.run(
        """
        DELETE FROM privacy.export WHERE expires_at <= ruxa.now() OR used_at < ruxa.now() - interval '1 day'
        """
    )


async def now(work: Work) -> datetime:
    """The one clock."""
    return await work.value("SELECT ruxa.now()")
