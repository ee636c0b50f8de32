"""Quarantine: the mark on a restored data directory that keeps every server from starting on it.

``DATA/quarantine.json`` is written before anything else of a restore, and taken away last, so that a restore that was
killed, could not be completed, or was not checked against a checkpoint from outside serves nobody (D41).
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal
from uuid import UUID

import msgspec

from ruxa.kernel.errors import Conflict
from ruxa.store import files

FILE: Final = "quarantine.json"


class Quarantine(msgspec.Struct, kw_only=True):
    """What is known of a restore, and what keeps it closed.

    state: ``restoring`` until all is laid back. reasons: what must be settled before it serves; unknown: what no
    backup can know, told and never silent; size, root: of the audit log as restored; replayed: what was done again;
    checkpoint, checkpoint_at: how many leaves the one from outside covers and when it was signed; data_size: leaves of
    the log that a checkpoint has to cover to be as new as the data.
    """

    state: Literal["restoring", "waiting"]
    backup: str
    began_at: datetime
    instance: UUID | None = None
    living: str | None = None
    taken_at: datetime | None = None
    living_at: datetime | None = None
    size: int | None = None
    root: str | None = None
    checkpoint: int | None = None
    checkpoint_at: datetime | None = None
    data_size: int = 0
    reasons: list[str] = msgspec.field(default_factory=list[str])
    unknown: list[str] = msgspec.field(default_factory=list[str])
    replayed: dict[str, int] = msgspec.field(default_factory=dict[str, int])


def write(data: Path, found: Quarantine) -> None:
    """Marks the directory, durably."""
    files.replace(data / FILE, msgspec.json.format(msgspec.json.encode(found)) + b"\n")


def read(data: Path) -> Quarantine | None:
    """The mark, or None. One that cannot be read counts as a restore under way: it stays closed."""
    try:
        raw = (data / FILE).read_bytes()
    except FileNotFoundError:
        return None
    try:
        return msgspec.json.decode(raw, type=Quarantine)
    except msgspec.MsgspecError:
        return Quarantine(state="restoring", backup="unknown", began_at=datetime.fromtimestamp(0, UTC))


def end(data: Path) -> None:
    """Takes the mark away: from now on the directory may serve."""
    (data / FILE).unlink(missing_ok=True)
    files.sync_directory(data)


def refuse(data: Path) -> None:
    """Raises Conflict ``in_quarantine`` for a directory that must not serve yet, saying why and what to do."""
    found = read(data)
    if found is None:
        return
    if found.state == "restoring":
        raise Conflict(
            f"{data} was being restored from {found.backup} and that was not finished: nothing may run on it. "
            "Remove the directory (and its keys directory) and restore again.",
            code="in_quarantine",
        )
    why = "; ".join(found.reasons) or "it was not released"
    raise Conflict(
        f"{data} was restored from {found.backup} and is in quarantine: {why}. "
        f"See `ruxa quarantine show --data {data}`, then `ruxa quarantine release`.",
        code="in_quarantine",
    )
