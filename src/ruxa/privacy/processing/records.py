"""The statement behind ``places``."""

from __future__ import annotations

from typing import Final

from ruxa.store.work import Work

ARGUMENTS: Final = "jobs.procrastinate_jobs.args"


async def json_keys(work: Work) -> list[tuple[str, str]]:
    """Column (``schema.table.column``) and key, of every key that JSON columns hold in their first thousand rows."""
    return [(place, key) for place, key in await work.rows("SELECT place, key FROM privacy.json_keys()")]
