"""Entries of the audit log as pages and the API show them: who, what, to which thing, and where in the tree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from ruxa.access import keys, members
from ruxa.access.audit import log
from ruxa.access.audit.reading import Entry
from ruxa.console.page import Visit
from ruxa.console.words import Words
from ruxa.kernel import bounds
from ruxa.store.work import Work

PURPOSE = "provide"


class Names(msgspec.Struct, frozen=True):
    """What is known of those who act and of what they act on: pseudonym (hex) or id (hex) -> shown name."""

    actors: Mapping[str, str]
    things: Mapping[str, str]


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """One entry for people; ``act`` is empty when the key of its day is gone."""

    at: datetime
    who: str
    act: str
    thing: str
    details: str
    outcome: str
    leaf: int | None
    organisation: str


async def names_of_organisation(visit: Visit, work: Work) -> Names:
    """The organisation's members and keys by name: nobody else is resolved."""
    vault, organisation_id = visit.deps.vault, visit.person.organisation_id
    known = {
        line.member_id: (line.name or line.email).open(PURPOSE)
        for line in await members.team(work, vault, organisation_id)
    }
    known |= {
        line.id: line.name.open(PURPOSE)
        for line in await keys.of_organisation(work, vault, organisation_id, limit=bounds.PAGE_ROWS_MAX)
    }
    return _names(visit, known)


async def names_of_staff(visit: Visit, work: Work) -> Names:
    """Members of staff by name. Customers stay pseudonyms here."""
    known = {one.id: (one.name or one.email).open(PURPOSE) for one in await members.staff(work, visit.deps.vault)}
    return _names(visit, known)


def _names(visit: Visit, known: Mapping[UUID, str]) -> Names:
    return Names(
        {pseudonym.hex(): name for one, name in known.items() for pseudonym in log.pseudonyms(visit.deps.vault, one)},
        {one.hex: name for one, name in known.items()},
    )


def shown(words: Words, entries: Sequence[Entry], names: Names) -> list[Shown]:
    """The entries in the visitor's language."""
    return [_shown(words, one, names) for one in entries]


def _shown(words: Words, one: Entry, names: Names) -> Shown:
    fields = one.fields
    organisation = "" if one.organisation_id is None else f"org_{one.organisation_id.hex}"
    if fields is None:
        gone = words.plain("audit.gone")
        return Shown(
            at=one.at, who="", act="", thing="", details=gone, outcome="", leaf=one.seq, organisation=organisation
        )
    name = f"act.{fields.action.replace(':', '_')}"
    return Shown(
        at=one.at,
        who=_who(words, fields, names),
        act=words.plain(name) if words.has(name) else fields.action,
        thing=names.things.get(fields.object, fields.object),
        details=", ".join(f"{key}: {value}" for key, value in sorted(one.details.items())),
        outcome="" if fields.outcome == "done" else words.plain(f"outcome.{fields.outcome}"),
        leaf=one.seq,
        organisation=organisation,
    )


def _who(words: Words, fields: log.Fields, names: Names) -> str:
    known = names.actors.get(fields.actor)
    if known is not None:
        return known
    if fields.kind == "staff" and fields.role:
        return words.plain("audit.by_staff", role=words.plain(f"staff_role.{fields.role}"))
    if fields.kind in ("member", "key") and fields.actor:
        return words.plain(f"audit.by_{fields.kind}", pseudonym=fields.actor[:8])
    return words.plain(f"audit.by_{fields.kind}")
