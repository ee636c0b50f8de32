"""SQL of stored content."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any, Final, LiteralString
from uuid import UUID

from ruxa.store.work import Work

_INSERT: Final[LiteralString] = """
    INSERT INTO content.item (
        id, until, organisation_id, key_id,
        request_state, request_type, request_bytes, request_sealed, request_object,
        answer_state, answer_type, answer_bytes, answer_sealed, answer_object, refusal_sealed
    ) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
    ON CONFLICT DO NOTHING"""

# What is over is gone, whether or not the hourly run has been there.
_FIND: Final[LiteralString] = """
    SELECT id, until, organisation_id, key_id,
        request_state, request_type, request_bytes, request_object,
        answer_state, answer_type, answer_bytes, answer_object, refusal_sealed IS NOT NULL
    FROM content.item
    WHERE id = %s AND until > ruxa.today() AND (%s::uuid IS NULL OR organisation_id = %s)"""

_OF_DAY: Final[LiteralString] = """
    SELECT id, until, organisation_id, key_id,
        request_state, request_type, request_bytes, request_object,
        answer_state, answer_type, answer_bytes, answer_object, refusal_sealed IS NOT NULL
    FROM content.item
    WHERE until = %s AND organisation_id = ANY (%s) ORDER BY id"""


async def insert(work: Work, rows: Sequence[Sequence[object]]) -> None:
    """Rows as ``items.Row.columns`` gives them; one that is there already stays."""
    await work.many(_INSERT, rows)


async def today(work: Work) -> date:
    """The store's day, UTC."""
    return await work.value("SELECT ruxa.today()")


async def find(work: Work, call_id: UUID, organisation_id: UUID | None) -> tuple[Any, ...] | None:
    """What is known of a call's content without opening it."""
    return await work.row(_FIND, call_id, organisation_id, organisation_id)


async def sealed(work: Work, call_id: UUID, until: date) -> tuple[bytes | None, bytes | None, bytes | None] | None:
    """The sealed bytes that lie in the row: request, answer, refusal."""
    return await work.row(
        "SELECT request_sealed, answer_sealed, refusal_sealed FROM content.item WHERE id = %s AND until = %s",
        call_id,
        until,
    )


async def count(work: Work, organisation_id: UUID, key_id: UUID | None) -> tuple[int, int]:
    """How many calls of the organisation, or of one of its keys, have content now, and its bytes."""
    row = await work.row(
        "SELECT count(*), coalesce(sum(request_bytes::bigint + answer_bytes), 0)::bigint FROM content.item"
        " WHERE organisation_id = %s AND (%s::uuid IS NULL OR key_id = %s) AND until > ruxa.today()",
        organisation_id,
        key_id,
        key_id,
    )
    assert row is not None
    return row[0], row[1]


async def delete(
    work: Work, organisation_id: UUID, *, call_id: UUID | None = None, key_id: UUID | None = None, beyond: int = 0
) -> list[tuple[str | None, str | None]]:
    """Deletes rows, all of the organisation's where nothing narrows it; the names of their objects.

    beyond: only what was to be kept longer than so many days.
    """
    return [
        (row[0], row[1])
        for row in await work.rows(
            "DELETE FROM content.item WHERE organisation_id = %s AND (%s::uuid IS NULL OR id = %s)"
            " AND (%s::uuid IS NULL OR key_id = %s)"
            " AND until - (ruxa.id_time(id) AT TIME ZONE 'UTC')::date > %s"
            " RETURNING request_object, answer_object",
            organisation_id,
            call_id,
            call_id,
            key_id,
            key_id,
            beyond,
        )
    ]


async def delete_files(work: Work, organisation_id: UUID) -> list[str]:
    """Deletes the organisation's files and batches; the names of the files' objects."""
    rows = await work.rows("DELETE FROM content.file WHERE organisation_id = %s RETURNING body_object", organisation_id)
    await work.run("DELETE FROM content.batch_line WHERE organisation_id = %s", organisation_id)
    await work.run("DELETE FROM content.batch WHERE organisation_id = %s", organisation_id)
    return [row[0] for row in rows if row[0] is not None]


async def held(work: Work, organisation_id: UUID) -> bool:
    """Whether a hold forbids now to delete anything of the organisation."""
    return await work.value(
        "SELECT EXISTS (SELECT FROM privacy.hold WHERE subject_id = %s AND ended_at IS NULL AND ends_at > ruxa.now()"
        " AND (approved_at IS NOT NULL OR placed_at > ruxa.now() - interval '3 days'))",
        organisation_id,
    )


async def of_day(work: Work, until: date, organisations: list[UUID]) -> list[tuple[Any, ...]]:
    """As ``find``, whatever the day: every call of these organisations that ends on ``until``."""
    return await work.rows(_OF_DAY, until, organisations)


async def oldest(work: Work) -> UUID | None:
    """The id of the oldest call whose content is there."""
    found: UUID | None = await work.value("SELECT id FROM content.item ORDER BY id LIMIT 1")
    return found


# Repeats: the gateway calls functions, each for one key (``store/schema/48_repeats.sql``)


async def repeat_begin(
    work: Work,
    call_id: UUID,
    organisation_id: UUID,
    key_id: UUID,
    marks: list[bytes],
    bodies: list[bytes],
    life_s: int,
    busy_s: int,
) -> tuple[Any, ...]:
    """State, first call, last day, same body, amount, sealed answer, seconds to wait."""
    row = await work.row(
        "SELECT * FROM content.repeat_begin(%s, %s, %s, %s, %s, %s, %s)",
        call_id,
        organisation_id,
        key_id,
        marks,
        bodies,
        life_s,
        busy_s,
    )
    assert row is not None
    return row


async def repeat_end(
    work: Work, call_id: UUID, key_id: UUID, until: date, amount_micros: int, sealed: bytes | None
) -> None:
    """The call was answered."""
    await work.run("SELECT content.repeat_end(%s, %s, %s, %s, %s)", call_id, key_id, until, amount_micros, sealed)


async def repeat_drop(work: Work, call_id: UUID, key_id: UUID, until: date) -> None:
    """The call came to nothing."""
    await work.run("SELECT content.repeat_drop(%s, %s, %s)", call_id, key_id, until)


async def cached(work: Work, key_id: UUID, marks: list[bytes], age_s: int) -> tuple[Any, ...] | None:
    """First call, last day and sealed answer."""
    return await work.row("SELECT * FROM content.cached(%s, %s, %s)", key_id, marks, age_s)


async def cache(
    work: Work,
    call_id: UUID,
    until: date,
    organisation_id: UUID,
    key_id: UUID,
    mark: bytes,
    life_s: int,
    sealed: bytes,
) -> None:
    """An answer for the same call."""
    await work.run(
        "SELECT content.cache(%s, %s, %s, %s, %s, %s, %s)",
        call_id,
        until,
        organisation_id,
        key_id,
        mark,
        life_s,
        sealed,
    )


async def delete_repeats(work: Work, organisation_id: UUID, key_id: UUID | None = None) -> None:
    """Deletes the answers kept for repeats, all of the organisation's or one key's."""
    await work.run(
        "DELETE FROM content.repeat WHERE organisation_id = %s AND (%s::uuid IS NULL OR key_id = %s)",
        organisation_id,
        key_id,
        key_id,
    )


async def delete_responses(work: Work, organisation_id: UUID, key_id: UUID | None = None, beyond: int = 0) -> list[str]:
    """Deletes the responses kept to go on from, all of the organisation's or one key's; the names of their objects.

    beyond: only what was to be kept longer than so many days.
    """
    rows = await work.rows(
        "DELETE FROM content.response WHERE organisation_id = %s AND (%s::uuid IS NULL OR key_id = %s)"
        " AND until - (ruxa.id_time(id) AT TIME ZONE 'UTC')::date > %s RETURNING state_object",
        organisation_id,
        key_id,
        key_id,
        beyond,
    )
    return [row[0] for row in rows if row[0] is not None]
