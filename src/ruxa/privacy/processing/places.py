"""Every place where data can lie or pass, each with its declaration: the whole data map, read from where it is said.

Columns say it in the live schema, everything else in the code that makes it: fields of signals and metric labels in
``kernel.signals``, variables of mails in ``access.outbox``, fields of calls to providers in the dialects' closed
tables, prefixes of objects in ``content``, arguments of jobs in the jobs table's own check, keys of other JSON columns
here. Cookies are the console's and are handed in. What is found and not declared is a problem, and a problem is a
failure of the build, of ``doctor`` and of the record's page.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Literal

import msgspec

from ruxa.access import outbox
from ruxa.dialects.anthropic_messages import table as anthropic_messages
from ruxa.dialects.gemini_generate import table as gemini_generate
from ruxa.dialects.openai_chat import table as openai_chat
from ruxa.dialects.openai_media import table as openai_media
from ruxa.dialects.openai_responses import table as openai_responses
from ruxa.dialects.table import Table
from ruxa.kernel import datamap, signals
from ruxa.kernel.datamap import Declaration
from ruxa.privacy.content import items
from ruxa.privacy.processing import records
from ruxa.store import inventory
from ruxa.store.work import Work

Kind = Literal["column", "path", "signal", "label", "cookie", "mail", "object", "argument", "outbound"]
KINDS: Final[tuple[Kind, ...]] = (
    "column", "path", "signal", "label", "cookie", "mail", "object", "argument", "outbound",
)  # fmt: skip

_CONTENT: Final = (
    "data: category=user.content subject=caller purpose=provide basis=contract keep=content seal=dual"
    " erase=shred export=yes"
)
# In passing: nothing of it stays here unless the key stores content.
_PASSING: Final = (
    "subject=caller purpose=provide basis=contract keep=content seal=none erase=delete export=no:operational"
)
OBJECTS: Final[Mapping[str, str]] = {f"{items.PREFIX}/": _CONTENT}
# Keys of the JSON that a job carries: ids of ours and the moment a schedule meant, checked again by the table.
ARGUMENTS: Final[Mapping[str, str]] = {
    "timestamp": "data: none",
    "id": (
        "data: category=user.unique_id.pseudonymous subject=member purpose=provide basis=contract keep=operations"
        " seal=none erase=keep:security export=no:operational"
    ),
}
_MEMBER_LIMIT: Final = (
    "data: category=user.account.settings subject=member purpose=provide,support basis=contract keep=account seal=none"
    " erase=delete export=yes"
)
# Keys of the other JSON columns, by column and as the column itself is declared.
PATHS: Final[Mapping[str, Mapping[str, str]]] = {
    "access.membership.limits": {
        "requests_per_minute": _MEMBER_LIMIT,
        "tokens_per_minute": _MEMBER_LIMIT,
        "concurrency": _MEMBER_LIMIT,
    },
    "access.organisation.limits": {
        "requests_per_minute": "data: none",
        "tokens_per_minute": "data: none",
        "concurrency": "data: none",
        "models": "data: none",
    },
    "access.key.habits": {"cache_s": "data: none", "keep_responses": "data: none", "routes": "data: none"},
    records.ARGUMENTS: ARGUMENTS,
}
_OUTBOUND: Final[Mapping[str, str]] = {
    "content": f"data: category=user.content {_PASSING}",
    "identity": f"data: category=user.unique_id.pseudonymous {_PASSING}",
    "recipient": f"data: category=user.content {_PASSING}",
    "parameter": "data: none",
    "price": "data: none",
    "own": "data: none",
}
_TABLES: Final[Mapping[str, Table]] = {
    "openai_chat.chat": openai_chat.CHAT,
    "openai_chat.completions": openai_chat.COMPLETIONS,
    "openai_chat.embeddings": openai_chat.EMBEDDINGS,
    "openai_responses.create": openai_responses.CREATE,
    "openai_media.images": openai_media.IMAGES,
    "openai_media.edits": openai_media.EDITS,
    "openai_media.speech": openai_media.SPEECH,
    "openai_media.transcriptions": openai_media.TRANSCRIPTIONS,
    "openai_media.translations": openai_media.TRANSLATIONS,
    "openai_media.moderations": openai_media.MODERATIONS,
    "anthropic_messages.messages": anthropic_messages.MESSAGES,
    "gemini_generate.generate": gemini_generate.GENERATE,
    "gemini_generate.count": gemini_generate.COUNT,
    "gemini_generate.embed": gemini_generate.EMBED,
    "gemini_generate.batch": gemini_generate.BATCH,
}


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """One place: no declaration and no problem means that nothing personal is there."""

    kind: Kind
    name: str
    declaration: Declaration | None
    problem: str | None = None


def declared(kind: Kind, said: Mapping[str, str]) -> list[Place]:
    """Places from their declarations' text, by name."""
    return [_place(kind, name, text) for name, text in said.items()]


def seen(kind: Kind, names: Iterable[str]) -> list[Place]:
    """Of labels and objects that are there now, those that no declaration names; each a problem."""
    said: Mapping[str, str] = {"label": signals.LABELS, "object": OBJECTS}[kind]
    return [_place(kind, name, None) for name in sorted(names) if name not in said]


async def gather(work: Work, cookies: Iterable[Place]) -> list[Place]:
    """All of them, in the order of ``KINDS``."""
    columns = [
        Place(kind="column", name=one.name, declaration=one.declaration, problem=one.problem)
        for one in await inventory.read(work)
    ]
    return [*columns, *await _paths(work), *in_code(), *cookies]


def in_code() -> list[Place]:
    """What the code declares, but for cookies; needs no database."""
    events = set[str]().union(*signals.EVENTS.values())
    variables = set[str]().union(*outbox.TEMPLATES.values())
    outbound = {
        f"{table}.{field}": _OUTBOUND[entry.kind]
        for table, fields in _TABLES.items()
        for field, entry in fields.items()
    }
    return [
        *_closed("signal", events, signals.FIELDS),
        *declared("label", signals.LABELS),
        *_closed("mail", variables, outbox.VARIABLES),
        *declared("object", OBJECTS),
        *declared("argument", ARGUMENTS),
        *declared("outbound", outbound),
    ]


def problems(found: Iterable[Place]) -> list[str]:
    """What is not declared or wrongly, as ``kind name: why``; empty when the map is closed."""
    return [f"{place.kind} {place.name}: {place.problem}" for place in found if place.problem is not None]


def _closed(kind: Kind, used: Iterable[str], said: Mapping[str, str]) -> list[Place]:
    """As ``declared``, with what is used and not said as a problem."""
    return [_place(kind, name, said.get(name)) for name in sorted({*used, *said})]


def _place(kind: Kind, name: str, text: str | None) -> Place:
    try:
        return Place(kind=kind, name=name, declaration=datamap.parse(text))
    except datamap.Undeclared as error:
        return Place(kind=kind, name=name, declaration=None, problem=str(error))


async def _paths(work: Work) -> list[Place]:
    """The keys inside JSON columns, as rows hold them now."""
    return [
        _place("path", f"{column}.{key}", PATHS.get(column, {}).get(key))
        for column, key in await records.json_keys(work)
    ]
