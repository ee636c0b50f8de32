"""Google's Schema as JSON Schema: what a caller declares in ``parameters`` and ``responseSchema`` for other vendors.

Google's form is a part of OpenAPI 3.0: upper-case types, ``nullable``, counts as text, ``propertyOrdering``. Names of
properties are the caller's own and are never taken for keywords.
"""

from __future__ import annotations

from typing import Any, TypeGuard

import msgspec

from ruxa.dialects.body import take
from ruxa.dialects.gemini_generate.members import compact, refuse, style
from ruxa.dialects.gemini_generate.table import camel

Json = dict[str, Any]

_COUNTS = frozenset({"minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"})
_DROPPED = frozenset({"nullable", "propertyOrdering", "example", "type", "format", "enum"})
_NAMES = {"defs": "$defs", "ref": "$ref"}
_TYPES = frozenset({"string", "number", "integer", "boolean", "array", "object", "null"})


def is_object(value: Any) -> TypeGuard[Json]:
    """Whether a decoded value is a JSON object."""
    return isinstance(value, dict)


def is_array(value: Any) -> TypeGuard[list[Any]]:
    """Whether a decoded value is a JSON array."""
    return isinstance(value, list)


_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


def json_schema(raw: msgspec.Raw | bytes, path: str) -> bytes:
    """JSON Schema for a Schema of Google's. Raises InvalidCall with the path of what is no schema."""
    told = take(path, _decode, msgspec.Raw(compact(raw, path)), style)
    if not is_object(told):
        refuse(path, "expected a Schema")
    return _encode(_schema(told, path))


def _schema(given: Any, path: str) -> Any:
    if isinstance(given, bool):
        return given
    if not is_object(given):
        refuse(path, "expected a Schema")
    told: Json = {camel(name) if "_" in name else name: value for name, value in given.items() if value is not None}
    made: Json = {}
    kind = _kind(told.get("type"), f"{path}.type")
    if kind is not None:
        made["type"] = kind
    for name, value in told.items():
        if name not in _DROPPED:
            made[_NAMES.get(name, name)] = _value(name, value, f"{path}.{name}")
    if "format" in told and told["format"] != "enum":
        made["format"] = told["format"]
    if "enum" in told:
        made["enum"] = [_member(value, kind) for value in _array(told["enum"], f"{path}.enum")]
    if "example" in told and "examples" not in made:
        made["examples"] = [told["example"]]
    _order(made, told.get("propertyOrdering"))
    if told.get("nullable") is True:
        _allow_null(made)
    return made


def _value(name: str, value: Any, path: str) -> Any:
    match name:
        case "properties" | "defs" | "$defs" | "definitions" | "patternProperties":
            if not is_object(value):
                refuse(path, "expected an object")
            return {key: _schema(inner, f"{path}.{key}") for key, inner in value.items()}
        case "items" | "additionalProperties" | "not" | "contains" | "propertyNames":
            return _schema(value, path)
        case "anyOf" | "oneOf" | "allOf" | "prefixItems":
            return [_schema(inner, f"{path}[{index}]") for index, inner in enumerate(_array(value, path))]
        case "required":
            return _array(value, path)
        case _:
            if name in _COUNTS and isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 19:
                return int(value)
            return value


def _array(value: Any, path: str) -> list[Any]:
    if not is_array(value):
        refuse(path, "expected an array")
    return value


def _kind(told: Any, path: str) -> str | list[str] | None:
    if told is None:
        return None
    words: list[Any] = told if is_array(told) else [told]
    kinds = [word.lower() if isinstance(word, str) else "" for word in words]
    if kinds == ["type_unspecified"]:
        return None
    if not kinds or any(kind not in _TYPES for kind in kinds):
        refuse(path, "expected STRING, NUMBER, INTEGER, BOOLEAN, ARRAY, OBJECT or NULL")
    return kinds if is_array(told) else kinds[0]


def _member(value: Any, kind: Any) -> Any:
    """Google's enumerations are text, even those of numbers."""
    if kind in ("integer", "number") and isinstance(value, str):
        try:
            return int(value) if kind == "integer" else float(value)
        except ValueError:
            return value
    return value


def _order(made: Json, ordering: Any) -> None:
    """Properties in the order that was asked for: models fill them in as they come."""
    properties = made.get("properties")
    if is_object(properties) and is_array(ordering):
        first = [name for name in ordering if isinstance(name, str) and name in properties]
        made["properties"] = {name: properties[name] for name in dict.fromkeys([*first, *properties])}


def _allow_null(made: Json) -> None:
    kind = made.get("type")
    if isinstance(kind, str) and kind != "null":
        made["type"] = [kind, "null"]
    elif is_array(kind) and "null" not in kind:
        made["type"] = [*kind, "null"]
    if "anyOf" in made and {"type": "null"} not in made["anyOf"]:
        made["anyOf"] = [*made["anyOf"], {"type": "null"}]
    if "enum" in made and None not in made["enum"]:
        made["enum"] = [*made["enum"], None]
