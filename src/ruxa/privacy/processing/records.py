"""The statements of this folder."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from ruxa.store.work import Work

ARGUMENTS: Final = "jobs.procrastinate_jobs.args"


async def json_keys(work: Work) -> list[tuple[str, str]]:
    """Column (``schema.table.column``) and key, of every key that JSON columns hold in their first thousand rows."""
    return [(place, key) for place, key in await work.rows("SELECT place, key FROM privacy.json_keys()")]


async def readable(work: Work) -> list[tuple[str, str]]:
    """Login and column (``schema.table.column``), of every column that a login may read."""
    return [(login, place) for login, place in await work.rows("SELECT login, place FROM privacy.readable()")]


async def restrict(work: Work, member_id: UUID, asked_by: str) -> bool:
    """Whether the row is new."""
    return bool(
        await work.run(
            "INSERT INTO privacy.restriction (member_id, asked_by) VALUES (%s, %s) ON CONFLICT DO NOTHING",
            member_id,
            asked_by,
        )
    )


async def lift(work: Work, member_id: UUID) -> bool:
    """Whether there was one."""
    return bool(await work.run("DELETE FROM privacy.restriction WHERE member_id = %s", member_id))
