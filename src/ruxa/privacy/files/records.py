"""SQL of files and batches. What the gateway asks goes through functions of the schema, each for one organisation."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, Final, LiteralString
from uuid import UUID

from ruxa.store.work import Work

FILE_TABLE: Final = "content.file"

_FILE: Final[LiteralString] = """
    id, until, organisation_id, key_id, livemode, purpose, media_type, size_bytes, name_sealed, body_sealed,
    body_object, expires_at"""
_BATCH: Final[LiteralString] = """
    id, until, organisation_id, key_id, livemode, endpoint, input_file_id, output_file_id, error_file_id, output_life_s,
    metadata_sealed, state, fault_code, fault_line, total, completed, failed, begun_at, finalizing_at, cancelling_at,
    ended_at, expires_at"""


async def now(work: Work) -> datetime:
    """The store's time."""
    return await work.value("SELECT ruxa.now()")


async def add_file(work: Work, row: Sequence[object]) -> None:
    """A file, its columns in the order of the table."""
    await work.run(
        "INSERT INTO content.file (id, until, organisation_id, key_id, livemode, purpose, media_type, size_bytes,"
        " name_sealed, body_sealed, body_object, expires_at) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        *row,
    )


async def file(work: Work, organisation_id: UUID, livemode: bool, file_id: UUID) -> tuple[Any, ...] | None:
    """A living file."""
    return await work.row("SELECT" + _FILE + " FROM content.file_find(%s, %s, %s)", organisation_id, livemode, file_id)


async def files(
    work: Work, organisation_id: UUID, livemode: bool, purpose: str | None, after: UUID | None, oldest: bool, limit: int
) -> list[tuple[Any, ...]]:
    """Living files: id, until, purpose, size, name, end, media type."""
    return await work.rows(
        "SELECT id, until, purpose, size_bytes, name_sealed, expires_at, media_type"
        " FROM content.file_list(%s, %s, %s, %s, %s, %s)",
        organisation_id,
        livemode,
        purpose,
        after,
        oldest,
        limit,
    )


async def count_files(work: Work, organisation_id: UUID) -> int:
    """How many files the organisation has."""
    return await work.value("SELECT content.file_count(%s)", organisation_id)


async def delete_file(work: Work, organisation_id: UUID, livemode: bool, file_id: UUID) -> str | None:
    """The name of its object, '' without one; None when there is no such file."""
    return await work.value("SELECT content.file_delete(%s, %s, %s)", organisation_id, livemode, file_id)


async def delete_over(work: Work, limit: int) -> list[str | None]:
    """Files whose chosen end has come, but for those of an organisation under a hold; their objects."""
    rows = await work.rows(
        "DELETE FROM content.file AS f USING (SELECT o.id, o.until FROM content.file AS o"
        " WHERE o.expires_at <= ruxa.now() AND NOT content.held(o.organisation_id)"
        " ORDER BY o.expires_at LIMIT %s) AS over"
        " WHERE f.id = over.id AND f.until = over.until RETURNING f.body_object",
        limit,
    )
    return [row[0] for row in rows]


async def files_of_day(work: Work, until: date, organisations: list[UUID]) -> list[tuple[Any, ...]]:
    """Every file of these organisations that ends on that day, over or not: for holds."""
    return await work.rows(
        "SELECT" + _FILE + " FROM content.file WHERE until = %s AND organisation_id = ANY (%s) ORDER BY id",
        until,
        organisations,
    )


async def file_row(work: Work, file_id: UUID, organisation_id: UUID) -> tuple[Any, ...] | None:
    """A file by its organisation alone: for exports."""
    return await work.row(
        "SELECT" + _FILE + " FROM content.file WHERE id = %s AND organisation_id = %s", file_id, organisation_id
    )


# Batches


async def add_batch(work: Work, row: Sequence[object]) -> None:
    """A batch that waits."""
    await work.run(
        "INSERT INTO content.batch (id, until, organisation_id, key_id, livemode, endpoint, input_file_id,"
        " output_life_s, metadata_sealed, state, expires_at)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, 'validating', %s)",
        *row,
    )


async def batch(work: Work, organisation_id: UUID, livemode: bool, batch_id: UUID) -> tuple[Any, ...] | None:
    """A batch."""
    return await work.row(
        "SELECT" + _BATCH + " FROM content.batch_find(%s, %s, %s)", organisation_id, livemode, batch_id
    )


async def batches(
    work: Work, organisation_id: UUID, livemode: bool, after: UUID | None, limit: int
) -> list[tuple[Any, ...]]:
    """Batches, newest first."""
    return await work.rows(
        "SELECT" + _BATCH + " FROM content.batch_list(%s, %s, %s, %s)", organisation_id, livemode, after, limit
    )


async def count_open(work: Work, organisation_id: UUID) -> int:
    """How many batches of the organisation have not ended."""
    return await work.value("SELECT content.batches_open(%s)", organisation_id)


async def cancel_batch(work: Work, organisation_id: UUID, livemode: bool, batch_id: UUID) -> tuple[Any, ...] | None:
    """The batch, which begins no further call."""
    return await work.row(
        "SELECT" + _BATCH + " FROM content.batch_cancel(%s, %s, %s)", organisation_id, livemode, batch_id
    )


async def delete_batch(work: Work, organisation_id: UUID, livemode: bool, batch_id: UUID) -> None:
    """A batch that has ended is forgotten."""
    await work.run("SELECT content.batch_delete(%s, %s, %s)", organisation_id, livemode, batch_id)


async def claim(work: Work, runner: str, seconds: int) -> tuple[Any, ...] | None:
    """A batch that nobody runs."""
    return await work.row("SELECT" + _BATCH + " FROM content.batch_claim(%s, %s)", runner, seconds)


async def renew(work: Work, batch_id: UUID, runner: str, seconds: int) -> str | None:
    """Its state, while it is the runner's."""
    return await work.value("SELECT content.batch_renew(%s, %s, %s)", batch_id, runner, seconds)


async def begin(work: Work, batch_id: UUID, runner: str, total: int) -> None:
    """Its lines are in order."""
    await work.run("SELECT content.batch_begin(%s, %s, %s)", batch_id, runner, total)


async def done(work: Work, batch_id: UUID, until: date) -> set[int]:
    """The lines that have their answer."""
    return {row[0] for row in await work.rows("SELECT * FROM content.batch_done(%s, %s)", batch_id, until)}


async def line_begin(work: Work, batch_id: UUID, number: int, call: UUID, runner: str) -> bool | None:
    """Whether the line was paid for already; None when its call is not to be made."""
    return await work.value("SELECT content.line_begin(%s, %s, %s, %s)", batch_id, number, call, runner)


async def line_end(work: Work, batch_id: UUID, until: date, call: UUID, failed: bool, outcome: bytes) -> bool:
    """The line's answer; False when it has one."""
    return await work.value("SELECT content.line_end(%s, %s, %s, %s, %s)", batch_id, until, call, failed, outcome)


async def outcomes(
    work: Work, batch_id: UUID, until: date, failed: bool, after: int, limit: int
) -> list[tuple[int, UUID, bytes]]:
    """Number, call and sealed answer of lines in order."""
    return [
        (row[0], row[1], row[2])
        for row in await work.rows(
            "SELECT number, id, outcome_sealed FROM content.batch_outcomes(%s, %s, %s, %s, %s)",
            batch_id,
            until,
            failed,
            after,
            limit,
        )
    ]


async def close(work: Work, batch_id: UUID, runner: str) -> None:
    """No further line is begun."""
    await work.run("SELECT content.batch_close(%s, %s)", batch_id, runner)


async def end(
    work: Work,
    batch_id: UUID,
    runner: str,
    state: str,
    output: UUID | None,
    error: UUID | None,
    fault_code: str | None,
    fault_line: int | None,
) -> bool:
    """It is over; False when it is somebody else's."""
    return await work.value(
        "SELECT content.batch_end(%s, %s, %s, %s, %s, %s, %s)",
        batch_id,
        runner,
        state,
        output,
        error,
        fault_code,
        fault_line,
    )
