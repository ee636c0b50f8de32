"""SQL of kept responses (``store/schema/49_responses.sql``)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any
from uuid import UUID

from ruxa.store.work import Work


async def add(work: Work, row: Sequence[object]) -> None:
    """A response; one that is there already stays."""
    await work.run(
        "INSERT INTO content.response"
        " (id, until, organisation_id, key_id, mark, size_bytes, state_sealed, state_object)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
        *row,
    )


async def find(work: Work, key_id: UUID, marks: list[bytes]) -> tuple[Any, ...] | None:
    """Id, last day, sealed bytes, object's name."""
    return await work.row("SELECT * FROM content.response_find(%s, %s)", key_id, marks)


async def delete(work: Work, organisation_id: UUID, key_id: UUID, marks: list[bytes]) -> list[str]:
    """The names of the objects, '' for what lay in its row."""
    rows = await work.rows("SELECT * FROM content.response_delete(%s, %s, %s)", organisation_id, key_id, marks)
    return [row[0] for row in rows]


async def of_day(work: Work, until: date, organisations: list[UUID]) -> list[tuple[Any, ...]]:
    """Every response of these organisations that ends on that day: id, last day, organisation, bytes, object."""
    return await work.rows(
        "SELECT id, until, organisation_id, state_sealed, state_object FROM content.response"
        " WHERE until = %s AND organisation_id = ANY (%s) ORDER BY id",
        until,
        organisations,
    )


async def of_organisation(work: Work, response_id: UUID, organisation_id: UUID) -> tuple[Any, ...] | None:
    """One by its organisation alone, as ``of_day``: for exports."""
    return await work.row(
        "SELECT id, until, organisation_id, state_sealed, state_object FROM content.response"
        " WHERE id = %s AND organisation_id = %s AND until > ruxa.today()",
        response_id,
        organisation_id,
    )
