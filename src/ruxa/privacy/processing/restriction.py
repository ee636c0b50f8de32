"""Restriction (GDPR Article 18): a member's data are kept and nothing else is done with them until it is lifted.

The database keeps it: row-level security hides the member from the login for support. Rights that hang on the data
being there (signing in, exporting, erasing) go on.
"""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from ruxa.access.audit import log
from ruxa.access.audit.log import Actor
from ruxa.privacy.processing import records
from ruxa.store.vault import Vault
from ruxa.store.work import Work


async def restrict(
    work: Work,
    vault: Vault,
    member_id: UUID,
    *,
    asked_by: Literal["subject", "operator"],
    actor: Actor,
    by: UUID | None = None,
) -> bool:
    """Restricts; False when it was so already. The audit entry is in the same transaction."""
    if not await records.restrict(work, member_id, asked_by):
        return False
    await log.write(work, vault, "subject:restricted", actor=actor, member_id=by, object_id=member_id, purpose="legal")
    return True


async def lift(work: Work, vault: Vault, member_id: UUID, *, actor: Actor, by: UUID | None = None) -> bool:
    """Ends it; False when there was none."""
    if not await records.lift(work, member_id):
        return False
    await log.write(
        work, vault, "subject:unrestricted", actor=actor, member_id=by, object_id=member_id, purpose="legal"
    )
    return True
