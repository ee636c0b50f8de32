"""JSON Schema cut to what Google's Schema knows (W62), for models that take no JSON Schema as it stands.

Nothing that changes which arguments are right is dropped in silence: what Google has no word for is said in the
description, where the model reads it. References are put in place of themselves; one that leads back into itself, or
down too far, ends in a free object that says so, and a schema that would grow too large is refused.
"""

from __future__ import annotations

from typing import Any, NoReturn

import msgspec

from ruxa.dialects.gemini_generate.schema import Json, is_array, is_object
from ruxa.kernel.errors import InvalidCall

DEPTH_MAX = 48
NODES_MAX = 4000

_TYPES = {
    "string": "STRING",
    "number": "NUMBER",
    "integer": "INTEGER",
    "boolean": "BOOLEAN",
    "array": "ARRAY",
    "object": "OBJECT",
    "null": "NULL",
}
_FORMATS = {
    "STRING": frozenset({"date-time", "enum"}),
    "NUMBER": frozenset({"float", "double"}),
    "INTEGER": frozenset({"int32", "int64"}),
}
_BOUNDS: dict[str, tuple[str, ...]] = {
    "STRING": ("minLength", "maxLength", "pattern"),
    "NUMBER": ("minimum", "maximum"),
    "INTEGER": ("minimum", "maximum"),
    "ARRAY": ("minItems", "maxItems"),
    "OBJECT": ("minProperties", "maxProperties"),
}
# Constraints that Google has no word for: said in the description.
_SAID = ("multipleOf", "uniqueItems", "default", "contentEncoding", "contentMediaType", "minContains", "maxContains")
_ANY: list[Json] = [{"type": kind} for kind in ("STRING", "NUMBER", "BOOLEAN", "OBJECT")]
_NOTE_CHARS_MAX = 200

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


def subset(schema: bytes, param: str) -> Json:
    """The Schema. Raises InvalidCall with ``param``: no schema, or one that grows too large."""
    try:
        root = _decode(schema)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        root = None
    if not is_object(root):
        raise InvalidCall("A JSON Schema must be an object.", code="invalid_schema", param=param)
    return _Cutter(root, param).cut(root, (), 0)


class _Cutter:
    """One schema under way."""

    __slots__ = ("_left", "_param", "_root")

    def __init__(self, root: Json, param: str) -> None:
        self._root = root
        self._param = param
        self._left = NODES_MAX

    def cut(self, told: Any, within: tuple[str, ...], depth: int) -> Json:
        """One schema; ``within``: the references that lead here."""
        self._left -= 1
        if self._left < 0:
            self._refuse("The JSON Schema is too large once its references are put in place.")
        if not is_object(told):
            return {"anyOf": _ANY}
        if depth > DEPTH_MAX:
            return _free("nested too deeply to be told here", told)
        reference = told.get("$ref")
        if isinstance(reference, str):
            if reference in within:
                return _free(f"again as {reference.rpartition('/')[2].lstrip('#') or 'the whole'}", told)
            target = self._target(reference)
            beside = {name: value for name, value in told.items() if name != "$ref"}
            if target is None:
                return _free(f"as {reference}", beside) if len(beside) < 2 else self.cut(beside, within, depth)
            return self.cut(_over(target, beside), (*within, reference), depth + 1)
        if is_array(told.get("allOf")):
            return self.cut(self._all_of(told, within), within, depth + 1)
        return self._plain(told, within, depth)

    def _target(self, reference: str) -> Json | None:
        """What a reference inside this schema names; None: nothing, or something outside."""
        if not reference.startswith("#"):
            return None
        found: Any = self._root
        for step in reference[1:].split("/")[1:]:
            name = step.replace("~1", "/").replace("~0", "~")
            if is_array(found) and name.isascii() and name.isdecimal() and int(name) < len(found):
                found = found[int(name)]
            elif is_object(found):
                found = found.get(name)
            else:
                return None
        return found if is_object(found) else None

    def _all_of(self, told: Json, within: tuple[str, ...]) -> Json:
        """The members of ``allOf`` and what stands beside them as one schema."""
        whole = {name: value for name, value in told.items() if name != "allOf"}
        for part in told["allOf"]:
            if is_object(part):
                reference = part.get("$ref")
                if isinstance(reference, str) and reference not in within:
                    target = self._target(reference)
                    part = _over(target, {k: v for k, v in part.items() if k != "$ref"}) if target else part
                self._left -= len(part)
                whole = _over(part, whole)
        if self._left < 0:
            self._refuse("The JSON Schema is too large once its references are put in place.")
        return whole

    def _plain(self, told: Json, within: tuple[str, ...], depth: int) -> Json:
        made: Json = {}
        notes: list[str] = []
        options, nullable = _options(told)
        kind = _kind_of(told, options)
        if kind is None and not options:
            made["anyOf"] = _ANY
        elif options:
            cuts = [self.cut(option, within, depth + 1) for option in options]
            if len(cuts) == 1:
                made.update(cuts[0])
            else:
                made["anyOf"] = cuts
        if kind is not None:
            made["type"] = kind
            self._bound(kind, told, made, notes)
            if kind == "ARRAY":
                made["items"] = self._items(told, within, depth, notes)
            elif kind == "OBJECT":
                self._properties(told, made, within, depth)
        if nullable:
            made["nullable"] = True
        for name in _SAID:
            if name in told and told[name] is not False:
                notes.append(f"{name}: {_encode(told[name]).decode()}")
        for name in ("not", "if", "then", "else", "contains", "patternProperties", "dependentRequired"):
            if name in told:
                notes.append(f"{name}: {_encode(told[name]).decode()}")
        if isinstance(told.get("title"), str):
            made["title"] = told["title"]
        _describe(made, told.get("description"), notes)
        return made

    def _bound(self, kind: str, told: Json, made: Json, notes: list[str]) -> None:
        form = told.get("format")
        if isinstance(form, str):
            if form in _FORMATS.get(kind, ()):
                made["format"] = form
            else:
                notes.append(f"format: {form}")
        values = [value for value in _values(told) if value is not None]
        if values and kind == "STRING" and all(isinstance(value, str) for value in values):
            made["enum"] = [value for value in values if value]
            if "" in values:
                notes.append("may be empty")
            if not made["enum"]:
                del made["enum"]
        elif values:
            notes.append(f"one of {_encode(values).decode()}")
        for name in _BOUNDS.get(kind, ()):
            value = told.get(name)
            if isinstance(value, str if name == "pattern" else int | float) and not isinstance(value, bool):
                made[name] = value
        if kind in ("NUMBER", "INTEGER"):
            _relax(kind, told, made, notes)

    def _items(self, told: Json, within: tuple[str, ...], depth: int, notes: list[str]) -> Json:
        items = told.get("items")
        first = told.get("prefixItems")
        if is_array(items):  # how older drafts wrote ``prefixItems``
            first = items
            items = told.get("additionalItems")
        if not is_array(first) or not first:
            return self.cut(items, within, depth + 1)
        kinds = [self.cut(item, within, depth + 1) for item in first]
        if is_object(items):
            kinds.append(self.cut(items, within, depth + 1))
        notes.append(f"in this order: {', '.join(str(kind.get('type', 'any')).lower() for kind in kinds)}")
        different: list[Json] = []
        for kind in kinds:
            if kind not in different:
                different.append(kind)
        return different[0] if len(different) == 1 else {"anyOf": different}

    def _properties(self, told: Json, made: Json, within: tuple[str, ...], depth: int) -> None:
        properties = told.get("properties")
        if not is_object(properties) or not properties:
            return
        made["properties"] = {
            name: self.cut(inner, within, depth + 1) for name, inner in properties.items() if inner is not False
        }
        required = told.get("required")
        if is_array(required):
            known = [name for name in required if isinstance(name, str) and name in made["properties"]]
            if known:
                made["required"] = list(dict.fromkeys(known))

    def _refuse(self, why: str) -> NoReturn:
        raise InvalidCall(why, code="schema_too_large", param=self._param)


def _options(told: Json) -> tuple[list[Json], bool]:
    """The alternatives of a schema without null, and whether null is one of them."""
    kinds = told.get("type")
    nullable = told.get("nullable") is True or None in _values(told)
    options: list[Json] = []
    if is_array(kinds):
        nullable = nullable or "null" in kinds
        real = [kind for kind in kinds if kind != "null"]
        if len(real) > 1:
            shared = {name: value for name, value in told.items() if name not in ("type", "description", "title")}
            return [shared | {"type": kind} for kind in real], nullable
    for name in ("anyOf", "oneOf"):
        listed = told.get(name)
        if is_array(listed):
            for option in listed:
                if (is_object(option) and option.get("type") == "null") or (
                    is_object(option) and "const" in option and option["const"] is None
                ):
                    nullable = True
                elif is_object(option):
                    options.append(option)
    return options, nullable


def _kind_of(told: Json, options: list[Json]) -> str | None:
    """Google's word for the type, guessed from the rest where none is said; None: left to the alternatives, or any."""
    kind = told.get("type")
    if is_array(kind):
        real = [one for one in kind if one != "null"]
        kind = None if len(real) > 1 or not kind else real[0] if real else "null"
    if isinstance(kind, str) and kind.lower() in _TYPES:
        return _TYPES[kind.lower()]
    if options:
        return None
    if "properties" in told or "additionalProperties" in told:
        return "OBJECT"
    if "items" in told or "prefixItems" in told:
        return "ARRAY"
    values = [value for value in _values(told) if value is not None]
    if not values:
        return "STRING" if "pattern" in told else None
    if all(isinstance(value, str) for value in values):
        return "STRING"
    if all(isinstance(value, bool) for value in values):
        return "BOOLEAN"
    if any(isinstance(value, str | bool | dict | list) for value in values):
        return None
    return "INTEGER" if all(isinstance(value, int) for value in values) else "NUMBER"


def _values(told: Json) -> list[Any]:
    """``enum``, or ``const`` as an enumeration of one."""
    listed = told.get("enum")
    if is_array(listed):
        return listed
    return [told["const"]] if "const" in told else []


def _relax(kind: str, told: Json, made: Json, notes: list[str]) -> None:
    """Exclusive bounds: exact for whole numbers, else the nearest bound that Google knows and a note."""
    for name, plain, word, step in (
        ("exclusiveMinimum", "minimum", "greater than", 1),
        ("exclusiveMaximum", "maximum", "less than", -1),
    ):
        bound = told.get(name)
        if bound is True:  # draft 4: the plain bound is the exclusive one
            bound = told.get(plain)
        if isinstance(bound, bool) or not isinstance(bound, int | float):
            continue
        if kind == "INTEGER" and float(bound).is_integer():
            exact = int(bound) + step
            known = made.get(plain, exact)
            made[plain] = max(known, exact) if step > 0 else min(known, exact)
        else:
            made.setdefault(plain, bound)
            notes.append(f"{word} {_encode(bound).decode()}")


def _over(under: Json, upper: Json) -> Json:
    """Two schemas that both hold as one: properties and required names joined, of the rest the ``upper`` word."""
    made = under | upper
    for name in ("properties", "$defs"):
        if is_object(under.get(name)) and is_object(upper.get(name)):
            made[name] = under[name] | upper[name]
    if is_array(under.get("required")) and is_array(upper.get("required")):
        made["required"] = [*under["required"], *(name for name in upper["required"] if name not in under["required"])]
    return made


def _free(why: str, told: Json) -> Json:
    made: Json = {"type": "OBJECT"}
    _describe(made, told.get("description"), [why])
    return made


def _describe(made: Json, description: Any, notes: list[str]) -> None:
    text = description if isinstance(description, str) else ""
    if notes:
        said = "; ".join(note if len(note) <= _NOTE_CHARS_MAX else note[: _NOTE_CHARS_MAX - 1] + "…" for note in notes)
        text = f"{text} ({said})" if text else f"({said})"
    if text:
        made["description"] = text
