"""Stripe's parameters: form-encoded, with nested keys (``a[b][0][c]=1``), read with types; unknown ones are errors."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final, cast
from urllib.parse import parse_qsl

from ruxa.egress.processors.sandbox.books import Json
from ruxa.egress.processors.sandbox.stripe_errors import bad_type, missing, refuse, unknown

_PART: Final = re.compile(r"\[([^\[\]]*)\]")
_NAME: Final = re.compile(r"[^\[\]]+")
_DEPTH_MAX: Final = 8


def decode(pairs: list[tuple[str, str]]) -> Json:
    """The tree of the pairs; ``a[]=1`` appends, ``a[0]=1`` is an element. Raises Refused for keys that make no tree."""
    tree: Json = {}
    for key, value in pairs:
        name = _NAME.match(key)
        if name is None:
            raise refuse(f"Invalid parameter name: {key}", param=key)
        parts = [name[0], *(part[1] for part in _PART.finditer(key, name.end()))]
        if len(parts) > _DEPTH_MAX:
            raise refuse("Parameters are nested too deeply.", param=name[0])
        here = tree
        for at, part in enumerate(parts):
            if part == "" and at:
                part = str(len(here))
            if at == len(parts) - 1:
                here[part] = value
            else:
                below = here.setdefault(part, {})
                if not isinstance(below, dict):
                    raise refuse(f"Invalid object: {name[0]}", param=name[0])
                here = cast(Json, below)
    return tree


class Form:
    """Parameters of one call, or of a part of them; ``path`` is how an error names that part."""

    def __init__(self, tree: Json, path: str = "") -> None:
        self.tree = tree
        self.path = path

    def name(self, name: str) -> str:
        """How an error calls a member."""
        return f"{self.path}[{name}]" if self.path else name

    def only(self, *names: str) -> None:
        """Refuses any parameter that is not one of these."""
        for name in self.tree:
            if name not in names and (self.path or name != "expand"):
                raise unknown(self.name(name))

    def has(self, name: str) -> bool:
        """Whether it was given at all, empty or not."""
        return name in self.tree

    def text(self, name: str, *choices: str) -> str | None:
        """A string; "" unsets and reads as None. ``choices``: the only values that are allowed."""
        value = self.tree.get(name)
        if value is None or value == "":
            return None
        if not isinstance(value, str):
            raise bad_type("string", self.name(name))
        if choices and value not in choices:
            raise refuse(f"Invalid {self.name(name)}: must be one of {', '.join(choices)}", param=self.name(name))
        return value

    def need(self, name: str, *choices: str) -> str:
        """A string that must be there."""
        value = self.text(name, *choices)
        if value is None:
            raise missing(self.name(name))
        return value

    def whole(self, name: str) -> int | None:
        """An integer."""
        value = self.text(name)
        if value is None:
            return None
        if not re.fullmatch(r"-?[0-9]{1,18}", value):
            raise bad_type("integer", self.name(name), value)
        return int(value)

    def flag(self, name: str) -> bool | None:
        """A boolean."""
        value = self.text(name)
        if value is None:
            return None
        if value not in ("true", "false"):
            raise bad_type("boolean", self.name(name), value)
        return value == "true"

    def part(self, name: str) -> Form | None:
        """A nested hash."""
        value: Any = self.tree.get(name)
        if value is None or value == "":
            return None
        if not isinstance(value, dict):
            raise bad_type("hash", self.name(name))
        return Form(cast(Json, value), self.name(name))

    def parts(self, name: str) -> Iterator[Form]:
        """The hashes of a list."""
        found = self.part(name)
        if found is not None:
            for key in found.tree:
                item = found.part(key)
                if item is None:
                    raise bad_type("hash", found.name(key))
                yield item

    def words(self, name: str) -> list[str]:
        """The strings of a list."""
        found = self.part(name)
        return [] if found is None else [found.need(key) for key in found.tree]

    def metadata(self, before: Json | None = None) -> Json:
        """``metadata`` merged over what there was: an empty value removes, an empty string removes all."""
        if self.tree.get("metadata") == "":
            return {}
        found = self.part("metadata")
        merged = dict(before or {})
        for key in found.tree if found is not None else ():
            assert found is not None
            value = found.text(key)
            if value is None:
                merged.pop(key, None)
            elif len(key) > 40 or len(value) > 500:
                raise refuse("Metadata keys have at most 40 characters, values 500.", param=found.name(key))
            else:
                merged[key] = value
        if len(merged) > 50:
            raise refuse("Metadata has at most 50 keys.", param="metadata")
        return merged


def read(body: bytes) -> Form:
    """The form of a request's body."""
    return Form(decode(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)))
