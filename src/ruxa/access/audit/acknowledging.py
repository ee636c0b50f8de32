"""Acknowledgements: somebody outside says that they keep a copy of a checkpoint, with which the log must then agree."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec

from ruxa.access.audit import records
from ruxa.kernel import ids
from ruxa.kernel.errors import NotFound
from ruxa.store.work import Work


class Acknowledged(msgspec.Struct, frozen=True):
    """Which checkpoint was acknowledged, and when."""

    size: int
    at: datetime


async def acknowledge(work: Work, size: int, organisation_id: UUID | None) -> None:
    """Notes that an organisation (None: the staff) keeps the checkpoint of that size. NotFound when there is none."""
    if await records.checkpoint(work, size) is None:
        raise NotFound("There is no such checkpoint.")
    await records.acknowledge(work, ids.fresh(), size, organisation_id)


async def last(work: Work) -> Acknowledged | None:
    """The latest of anybody outside the staff."""
    row = await records.last_acknowledged(work, None)
    return None if row is None else Acknowledged(*row)


async def last_of(work: Work, organisation_id: UUID) -> Acknowledged | None:
    """The organisation's latest."""
    row = await records.last_acknowledged(work, organisation_id)
    return None if row is None else Acknowledged(*row)
