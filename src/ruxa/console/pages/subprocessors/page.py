"""Recipients: who else gets data, what, why, where and under which safeguard, as the running processes declared it."""

from __future__ import annotations

import msgspec

from ruxa.console.page import Page, View, Visit
from ruxa.console.words import Words
from ruxa.privacy.outbound import register
from ruxa.privacy.outbound.register import Declared
from ruxa.store.work import Work

JSON = "/privacy/subprocessors.json"


async def load(visit: Visit, work: Work) -> View:
    """The register as a page, or as JSON by its other address. This installation's own processes are no recipients."""
    found = [one for one in await register.recipients(work) if one.role != "own"]
    if visit.path == JSON:
        listed = [{name: getattr(one, name) for name in Declared.__struct_fields__ if name != "port"} for one in found]
        return View(body=msgspec.json.encode({"recipients": listed}), media_type="application/json")
    return View({"others": [shown(visit.words, one) for one in found]})


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
    }


def _label(words: Words, name: str, key: str) -> str:
    """A word of the data map as people read it; the word itself where the catalogue has none."""
    return words.plain(name) if words.has(name) else key


PAGE = Page(name="subprocessors", path=("/privacy/subprocessors", JSON), area="public", load=load)
