"""Organisations: the customers, named under a key of their own; ``organisation_ref`` is what money and usage know.

A suspended organisation's keys stop everywhere within 2 s; nothing of it is deleted, its members still see it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal
from uuid import UUID, uuid4

import msgspec

from ruxa.access import addresses, records
from ruxa.access.grants import Limits, OrganisationLimits
from ruxa.kernel import bounds, codec, ids
from ruxa.kernel.errors import InvalidCall, NotFound
from ruxa.kernel.sealed import Sealed
from ruxa.store.vault import Vault
from ruxa.store.work import Work

NAME_COLUMN: Final = "access.organisation.name_sealed"
PURPOSE: Final = "provide"
MODEL_CHARS_MAX: Final = 200

Why = Literal["abuse", "payment", "security", "request", "legal"]


class Organisation(msgspec.Struct, frozen=True, kw_only=True):
    """One customer; ``members`` counts those who accepted."""

    id: UUID
    organisation_ref: UUID
    name: Sealed[str]
    synthetic: bool
    output_tokens_default: int
    suspended_at: datetime | None
    suspended_why: str | None
    created_at: datetime
    members: int


async def create(work: Work, vault: Vault, name: Sealed[str], *, synthetic: bool = False) -> Organisation:
    """A new organisation without members, its subject key made first. ``synthetic``: the demo's."""
    checked = addresses.name(name)
    organisation_id = ids.fresh()
    # The second seals what its calls sent and got, where anything of that is kept.
    await vault.create_subject(organisation_id, ("account", "content"))
    sealed = await vault.seal(NAME_COLUMN, organisation_id, organisation_id, checked.open(PURPOSE))
    await records.insert_organisation(work, organisation_id, uuid4(), sealed, synthetic)
    return await find(work, vault, organisation_id)


async def find(work: Work, vault: Vault, organisation_id: UUID) -> Organisation:
    """One organisation; NotFound when there is none."""
    row = await records.organisation(work, organisation_id)
    if row is None:
        raise NotFound("No such organisation.")
    return await _organisation(vault, row)


async def of_ref(work: Work, organisation_ref: UUID) -> UUID | None:
    """Whose money it is, for staff: the organisation of a reference; None when it was erased."""
    return await records.organisation_of_ref(work, organisation_ref)


async def page(work: Work, vault: Vault, *, after: UUID | None = None, limit: int = 50) -> list[Organisation]:
    """All organisations, newest first, names opened page by page (staff, command line)."""
    rows = await records.organisations(work, after, min(limit, bounds.PAGE_ROWS_MAX))
    return [await _organisation(vault, row) for row in rows]


async def rename(work: Work, vault: Vault, organisation_id: UUID, name: Sealed[str]) -> None:
    """A new name; NotFound when there is no such organisation."""
    checked = addresses.name(name)
    sealed = await vault.seal(NAME_COLUMN, organisation_id, organisation_id, checked.open(PURPOSE))
    if not await records.rename_organisation(work, organisation_id, sealed):
        raise NotFound("No such organisation.")


async def set_output_default(work: Work, organisation_id: UUID, tokens: int) -> None:
    """The output tokens that are held for a call that names no cap (1 to 10 million)."""
    if not 1 <= tokens <= 10_000_000:
        raise InvalidCall("The default is 1 to 10,000,000 tokens.", param="output_tokens_default")
    if not await records.set_output_default(work, organisation_id, tokens):
        raise NotFound("No such organisation.")


async def ownerless(work: Work) -> list[UUID]:
    """Those that go on with nobody who owns them or is invited to: never so, unless rows were changed by hand."""
    return await records.ownerless(work)


async def limits(work: Work, organisation_id: UUID) -> OrganisationLimits:
    """The limits of all its keys together. NotFound."""
    kept = await records.organisation_limits(work, organisation_id)
    if kept is None:
        raise NotFound("No such organisation.")
    return msgspec.convert(kept, OrganisationLimits)


async def limit(work: Work, organisation_id: UUID, limits_: Limits, *, model: str | None = None) -> OrganisationLimits:
    """Sets the limits of all its keys together, or of their calls of one model, from 2 s on. Gives all of them.

    Raises NotFound, InvalidCall.
    """
    _check(limits_)
    kept = await limits(work, organisation_id)
    if model is None:
        three = (limits_.requests_per_minute, limits_.tokens_per_minute, limits_.concurrency)
        made = OrganisationLimits(*three, models=kept.models)
    else:
        if not 1 <= len(model) <= MODEL_CHARS_MAX:
            raise InvalidCall("A model's name has 1 to 200 characters.", param="model")
        models = {name: each for name, each in kept.models.items() if name != model}
        if limits_ != Limits():
            models[model] = limits_
        if len(models) > bounds.KEY_MODELS_MAX:
            raise InvalidCall(f"At most {bounds.KEY_MODELS_MAX} models have limits of their own.", param="model")
        made = msgspec.structs.replace(kept, models=models)
    await records.set_organisation_limits(work, organisation_id, codec.encode(made).decode())
    return made


async def limit_member(work: Work, organisation_id: UUID, member_id: UUID, limits_: Limits) -> None:
    """Sets the limits of all keys together that one member made; they hold within 2 s. Raises NotFound, InvalidCall."""
    _check(limits_)
    if not await records.set_member_limits(work, organisation_id, member_id, codec.encode(limits_).decode()):
        raise NotFound("No such member of the organisation.")


def _check(limits_: Limits) -> None:
    for value in (limits_.requests_per_minute, limits_.tokens_per_minute, limits_.concurrency):
        if value is not None and not 1 <= value <= bounds.LIMIT_MAX:
            raise InvalidCall(f"A limit is 1 to {bounds.LIMIT_MAX}.", param="limits")


async def suspend(work: Work, organisation_id: UUID, why: Why) -> None:
    """Stops the organisation's keys within 2 s; a second time keeps the first instant."""
    if not await records.suspend_organisation(work, organisation_id, why):
        raise NotFound("No such organisation.")


async def restore(work: Work, organisation_id: UUID) -> None:
    """Lifts the suspension."""
    if not await records.suspend_organisation(work, organisation_id, None):
        raise NotFound("No such organisation.")


async def close(work: Work, organisation_id: UUID) -> None:
    """Its owner closes it: keys stop, and it is to be erased. A second time keeps the first instant. NotFound."""
    if not await records.close_organisation(work, organisation_id, True):
        raise NotFound("No such organisation.")


async def reopen(work: Work, organisation_id: UUID) -> None:
    """Opens a closed one again, while it is not erased. NotFound."""
    if not await records.close_organisation(work, organisation_id, False):
        raise NotFound("No such organisation.")


async def _organisation(vault: Vault, row: records.OrganisationRow) -> Organisation:
    return Organisation(
        id=row.id,
        organisation_ref=row.organisation_ref,
        name=await vault.open(NAME_COLUMN, row.id, row.id, row.name_sealed, purpose=PURPOSE),
        synthetic=row.synthetic,
        output_tokens_default=row.output_tokens_default,
        suspended_at=row.suspended_at,
        suspended_why=row.suspended_why,
        created_at=row.created_at,
        members=row.members,
    )
