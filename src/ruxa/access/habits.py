"""Habits: what a key wants of every call without saying so in each - answers used again, responses kept, routes of its
own."""

from __future__ import annotations

import msgspec

from ruxa.kernel import bounds
from ruxa.kernel.errors import InvalidCall


class Habits(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, kw_only=True):
    """cache_s: how old an answer to the same call may be that is used again, seconds, 0: none is; keep_responses: those
    of OpenAI's responses are kept although nothing else is; routes: by a model's name, the models that this key's calls
    go to instead, in order."""

    cache_s: int = 0
    keep_responses: bool = False
    routes: dict[str, tuple[str, ...]] = {}


NONE = Habits()


def check(habits: Habits) -> None:
    """Raises InvalidCall that names the wrong field."""
    if not 0 <= habits.cache_s <= bounds.CACHE_S_MAX:
        raise InvalidCall(f"Answers are used again for 0 to {bounds.CACHE_S_MAX} seconds.", param="cache_s")
    if len(habits.routes) > bounds.KEY_ROUTES_MAX:
        raise InvalidCall(f"A key has at most {bounds.KEY_ROUTES_MAX} routes of its own.", param="routes")
    for name, models in habits.routes.items():
        if not _plain(name) or not 1 <= len(models) <= bounds.FALLBACK_MODELS_MAX or not all(map(_plain, models)):
            raise InvalidCall(
                f"A route is a model's name and 1 to {bounds.FALLBACK_MODELS_MAX} names of models.", param="routes"
            )


def _plain(name: str) -> bool:
    return 1 <= len(name) <= bounds.MODEL_NAME_CHARS_MAX and name.isprintable() and not set(name) & set(" ,=\"'<>")


def lines(habits: Habits) -> str:
    """The routes as people write them: a line each, ``name = model, model``."""
    return "\n".join(f"{name} = {', '.join(models)}" for name, models in sorted(habits.routes.items()))


def read_lines(text: str) -> dict[str, tuple[str, ...]]:
    """``lines`` back. Raises InvalidCall ``routes``."""
    found: dict[str, tuple[str, ...]] = {}
    for line in text.splitlines():
        if not line.strip():
            continue
        name, equals, models = line.partition("=")
        if not equals or name.strip() in found:
            raise InvalidCall("A route is a line: name = model, model.", param="routes")
        found[name.strip()] = tuple(model.strip() for model in models.split(",") if model.strip())
    return found


def told(habits: Habits) -> str:
    """For the audit log: which habits, and no name of anything."""
    words = [f"cache_s={habits.cache_s}"] if habits.cache_s else []
    words += ["keep_responses"] if habits.keep_responses else []
    return ",".join([*words, *([f"routes={len(habits.routes)}"] if habits.routes else [])])
