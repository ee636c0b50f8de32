"""Typed looks into a decoded JSON body; each dialect says in its own words what is wrong."""

from __future__ import annotations

import base64
import binascii
from typing import Any, TypeGuard, cast

import msgspec

Json = dict[str, Any]


def parse(body: bytes) -> Json | None:
    """The JSON object, None when the body is none."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return cast(Json, value) if isinstance(value, dict) else None


def mapping(value: object) -> Json:
    """The object, or an empty one."""
    return cast(Json, value) if isinstance(value, dict) else {}


def items(value: object) -> list[Any]:
    """The array, or an empty one."""
    return cast("list[Any]", value) if isinstance(value, list) else []


def text(value: object) -> str:
    """The string, or an empty one."""
    return value if isinstance(value, str) else ""


def is_array(value: object) -> TypeGuard[list[Any]]:
    """A JSON array."""
    return isinstance(value, list)


def is_object(value: object) -> TypeGuard[Json]:
    """A JSON object."""
    return isinstance(value, dict)


def is_count(value: object) -> TypeGuard[int]:
    """A JSON integer that is not a boolean."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: object) -> TypeGuard[float]:
    """A JSON number."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def unbase64(value: str) -> bytes | None:
    """The bytes, None when the text is no base64."""
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return None


def kind(value: object) -> str:
    """A word for the type of a decoded value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int):
        return "an integer"
    if isinstance(value, float):
        return "a decimal"
    if isinstance(value, str):
        return "a string"
    return "an array" if isinstance(value, list) else "an object"


encode = msgspec.json.Encoder().encode
