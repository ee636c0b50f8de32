"""The SQL of the audit log: each statement beside the row it gives. Only functions of the schema write."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from ruxa.store.work import Work


async def now(work: Work) -> datetime:
    """The store's time."""
    return await work.value("SELECT ruxa.now()")


async def write(
    work: Work,
    entry_id: UUID,
    lasting: bool,
    organisation_id: UUID | None,
    actor_index: bytes | None,
    fields: bytes,
    details: bytes,
    commitment: bytes,
) -> None:
    """One entry, waiting for its place in the tree."""
    await work.run(
        "SELECT audit.write(%s, %s, %s, %s, %s, %s, %s)",
        entry_id,
        lasting,
        organisation_id,
        actor_index,
        fields,
        details,
        commitment,
    )
