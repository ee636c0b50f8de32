"""An answer of a given form: by ``output_config.format`` where the model has it, else by a tool it must call (W63).

The forced tool has a reserved name. Whoever reads the answer knows it again by that name alone: the tool's input is the
answer's text, and what ended the answer was no call of a tool. A form whose root is no object can't be a tool's input,
so it is asked for as the one member of an object, under a second reserved name, and taken out again.
"""

from __future__ import annotations

from typing import cast

import msgspec

from ruxa.dialects.call import Format

ANSWER_TOOL = "ruxa_answer"
VALUE_TOOL = "ruxa_answer_value"
VALUE = "answer"

_DESCRIPTION = "Gives the answer: the input of this tool is the whole answer, and nothing else is shown."
_KEPT = frozenset(
    {"$defs", "$ref", "type", "anyOf", "allOf", "enum", "const", "description", "title", "properties", "required"}
)
_FORMATS = frozenset({"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"})
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode
_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_value = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode

Schema = dict[str, object]


def answer_tool(wanted: Format) -> tuple[str, dict[str, object]]:
    """The reserved tool for a form: its name, and its definition."""
    name, schema = ANSWER_TOOL, msgspec.Raw(wanted.schema or b'{"type":"object"}')
    members = _decode_members(schema)
    root = members.get("type")
    if wanted.schema and (root is None or bytes(root) != b'"object"' or any(word in members for word in UNIONS)):
        name, schema = VALUE_TOOL, _wrapped(members)
    described = wanted.description or wanted.name
    definition: dict[str, object] = {
        "name": name,
        "description": f"{_DESCRIPTION}\n\n{described}" if described else _DESCRIPTION,
        "input_schema": schema,
    }
    return name, definition


UNIONS = ("anyOf", "oneOf", "allOf", "$ref")


def _wrapped(members: dict[str, msgspec.Raw]) -> msgspec.Raw:
    """The form as a member of an object; definitions stay at the root, where references look for them."""
    whole: dict[str, object] = {"type": "object"}
    for word in ("$defs", "definitions"):
        if word in members:
            whole[word] = members.pop(word)
    whole["properties"] = {VALUE: members}
    whole["required"] = [VALUE]
    whole["additionalProperties"] = False
    return msgspec.Raw(_encode(whole))


def unwrapped(name: str, arguments: str) -> str:
    """The answer's text in the input of a reserved tool, cut short or not."""
    if name != VALUE_TOOL:
        return arguments
    try:
        value = _decode_value(arguments).get(VALUE)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        head, colon, rest = arguments.partition(":")
        return rest.lstrip() if colon and head.strip("{ \t\r\n") == f'"{VALUE}"' else ""
    return "" if value is None else bytes(value).decode()


def native(schema: bytes) -> tuple[bytes, bool] | None:
    """A schema as Anthropic's strict output takes it, and whether some of it is no longer enforced.

    Objects are closed, and what it does not know (lengths, ranges, patterns) is told in the description instead, as
    Anthropic's SDKs do. None when the schema can't be said there: an object of free names, a value of any type.
    """
    lost: list[str] = []
    try:
        read = _decode(schema)
        made = _native(read, lost)
        return (schema if made == read else _encode(made)), bool(lost)
    except (_Unsaid, msgspec.DecodeError, RecursionError, OverflowError):
        return None


class _Unsaid(Exception):
    """A schema that Anthropic's structured output has no words for."""


def _native(schema: object, lost: list[str]) -> Schema:
    if not isinstance(schema, dict):
        raise _Unsaid
    given = cast("Schema", schema)
    if "$ref" in given:
        return {name: _inner(name, given[name], lost) for name in given if name in ("$ref", "$defs")}
    made: Schema = {}
    left: Schema = {}
    for name, value in given.items():
        if name == "oneOf":
            made["anyOf"] = _inner("anyOf", value, lost)
        elif name in _KEPT:
            made[name] = _inner(name, value, lost)
        elif name == "items":
            made[name] = _native(value, lost)
        elif name == "additionalProperties":
            if value is not False:
                raise _Unsaid
            made[name] = False
        elif (name == "format" and value in _FORMATS) or (name == "minItems" and value in (0, 1)):
            made[name] = value
        elif name != "$schema":
            left[name] = value
    _close(made)
    if left:
        lost += left
        told = "{" + ", ".join(f"{name}: {_encode(value).decode()}" for name, value in left.items()) + "}"
        before = made.get("description")
        made["description"] = f"{before}\n\n{told}" if before else told
    return made


def _inner(name: str, value: object, lost: list[str]) -> object:
    if name in ("properties", "$defs") and isinstance(value, dict):
        return {key: _native(inner, lost) for key, inner in cast("Schema", value).items()}
    if name in ("anyOf", "allOf") and isinstance(value, list):
        return [_native(inner, lost) for inner in cast("list[object]", value)]
    return value


def _close(made: Schema) -> None:
    """Objects hold what they name and nothing else; a schema says what it is about."""
    kind = made.get("type")
    if kind == "object" or (isinstance(kind, list) and "object" in kind):
        if not made.get("properties") and "additionalProperties" not in made:
            raise _Unsaid
        made.setdefault("additionalProperties", False)
    elif not any(word in made for word in ("type", "anyOf", "allOf", "enum", "const")):
        raise _Unsaid
