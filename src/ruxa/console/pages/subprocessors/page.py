"""Recipients: who else gets data, what, why, where and under which safeguard, as the running processes declared it."""

from __future__ import annotations

from datetime import date
from typing import cast

import msgspec

from ruxa.console import tables
from ruxa.console.page import Page, View, Visit
from ruxa.console.words import Words
from ruxa.privacy.outbound import register
from ruxa.privacy.outbound.register import Declared
from ruxa.store.work import Work

JSON = "/privacy/subprocessors.json"
CSV = "/privacy/subprocessors.csv"
# What is told of each, in the order of the columns.
FACTS = ("trains", "keeps", "zero", "mechanism", "certified")
_YES = {True: "subprocessors.yes", False: "subprocessors.no"}
_DAYS = "subprocessors.days"
_FIELDS = tuple(name for name in Declared.__struct_fields__ if name != "port")


async def load(visit: Visit, work: Work) -> View:
    """The register as a page, or as JSON or CSV by its other addresses, where what nobody wrote down is null or
    ``unknown``. This installation's own processes are no recipients."""
    found = [one for one in await register.recipients(work) if one.role != "own"]
    if visit.path == JSON:
        listed = [{name: getattr(one, name) for name in _FIELDS} for one in found]
        return View(body=msgspec.json.encode({"recipients": listed}), media_type="application/json")
    if visit.path == CSV:
        rows = [[_cell(getattr(one, name)) for name in _FIELDS] for one in found]
        return View(body=tables.as_csv(_FIELDS, rows), media_type="text/csv", filename="subprocessors.csv")
    return View({"others": [shown(visit.words, one) for one in found], "facts": FACTS})


def shown(words: Words, one: Declared) -> dict[str, object]:
    """A recipient in the reader's language where the catalogue has the word."""
    own = "the operator's own contract"
    return {
        "who": one.who if one.who != "unknown" else one.name,
        "host": one.host,
        "role": words.plain(f"recipient_role.{one.role}"),
        "categories": [_label(words, f"category.{key.replace('.', '_')}", key) for key in one.categories],
        "purposes": [_label(words, f"purpose.{key}", key) for key in one.purposes],
        "place": words.plain("subprocessors.place_unknown") if one.place == "unknown" else one.place,
        "safeguard": words.plain("subprocessors.own_contract") if one.safeguard == own else one.safeguard,
        "source": one.source,
        "trains": _known(words, None if one.trains is None else words.plain(_YES[one.trains])),
        "keeps": _known(words, None if one.retention_days is None else words.plain(_DAYS, n=one.retention_days)),
        "zero": _known(words, None if one.zero_retention is None else words.plain(_YES[one.zero_retention])),
        "mechanism": _known(
            words, None if one.mechanism is None else words.plain(f"subprocessors.mechanism_{one.mechanism}")
        ),
        "certified": _known(words, None if one.certified_on is None else words.day(one.certified_on)),
    }


def _known(words: Words, said: str | None) -> dict[str, object]:
    """A fact as it is shown; what nobody wrote down is said to be unknown."""
    return {"text": words.plain("subprocessors.place_unknown") if said is None else said, "unknown": said is None}


def _cell(value: object) -> str | int:
    match value:
        case None:
            return "unknown"
        case bool():
            return "yes" if value else "no"
        case int() | str():
            return value
        case date():
            return value.isoformat()
        case tuple():
            return " ".join(str(one) for one in cast("tuple[object, ...]", value))
        case _:
            return str(value)


def _label(words: Words, name: str, key: str) -> str:
    """A word of the data map as people read it; the word itself where the catalogue has none."""
    return words.plain(name) if words.has(name) else key


PAGE = Page(name="subprocessors", path=("/privacy/subprocessors", JSON, CSV), area="public", load=load)
