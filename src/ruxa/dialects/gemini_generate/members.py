"""Objects of Google's: members by their JSON name or their proto name, typed as they are taken, wrong ones by path.

Google's proto JSON takes ``maxOutputTokens`` and ``max_output_tokens``, numbers as text, and ``null`` for "not said".
A path names a field as Google's own errors do: ``contents[0].parts[1].function_call.name``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NoReturn

import msgspec

from ruxa.dialects.body import given, kind_word, take
from ruxa.dialects.gemini_generate.read import style
from ruxa.dialects.gemini_generate.table import camel, snake
from ruxa.dialects.losses import Loss
from ruxa.kernel.errors import InvalidCall

_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_items = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_text = msgspec.json.Decoder(str).decode
_decode_flag = msgspec.json.Decoder(bool).decode
_decode_number = msgspec.json.Decoder(int | float | str).decode
_WORD = re.compile(r"[a-z][a-z0-9_]{0,39}\Z")
_NUMBER_CHARS_MAX = 24


class Members:
    """One object. What nobody took is told by ``rest``."""

    __slots__ = ("_left", "path")

    def __init__(self, raw: msgspec.Raw | bytes, path: str) -> None:
        """Raises InvalidCall when ``raw`` is no object, or holds a field under both of its names."""
        self.path = path
        self._left: dict[str, msgspec.Raw] = {}
        for name, value in take(path or "body", _decode_members, msgspec.Raw(raw), style).items():
            own = camel(name)
            if own in self._left:
                raise InvalidCall(f"Duplicate field: '{self.at(own)}'.", code="duplicate_field", param=self.at(own))
            self._left[own] = value

    def at(self, name: str) -> str:
        """The path of a member."""
        return f"{self.path}.{snake(name)}" if self.path else snake(name)

    def has(self, name: str) -> bool:
        """Whether the member is there, not null, and not yet taken."""
        raw = self._left.get(name)
        return raw is not None and given(raw)

    def take(self, name: str) -> msgspec.Raw | None:
        """The member as it stands; None when it is absent or null."""
        raw = self._left.pop(name, None)
        return raw if raw is not None and given(raw) else None

    def text(self, name: str) -> str | None:
        """A string."""
        raw = self.take(name)
        return None if raw is None else take(self.at(name), _decode_text, raw, style)

    def word(self, name: str) -> str:
        """A word of an enumeration, upper case; '' when absent or unspecified."""
        told = (self.text(name) or "").upper()
        return "" if told.endswith("UNSPECIFIED") else told

    def flag(self, name: str) -> bool | None:
        """A boolean."""
        raw = self.take(name)
        return None if raw is None else take(self.at(name), _decode_flag, raw, style)

    def number(self, name: str) -> int | float | None:
        """A number, or the text of one."""
        raw = self.take(name)
        if raw is None:
            return None
        value = take(self.at(name), _decode_number, raw, style)
        if not isinstance(value, str):
            return value
        try:
            number = float(value) if len(value) <= _NUMBER_CHARS_MAX else float("nan")
        except ValueError:
            number = float("nan")
        if number != number or number in (float("inf"), float("-inf")):
            refuse(self.at(name), "expected a number")
        return int(value) if value.lstrip("-").isdecimal() and value.isascii() else number

    def integer(self, name: str) -> int | None:
        """A whole number, or the text of one; ``40.0`` is whole."""
        value = self.number(name)
        if isinstance(value, float):
            if not value.is_integer():
                refuse(self.at(name), "expected an integer")
            return int(value)
        return value

    def inner(self, name: str) -> Members | None:
        """An object."""
        raw = self.take(name)
        return None if raw is None else Members(raw, self.at(name))

    def items(self, name: str) -> list[msgspec.Raw]:
        """An array; empty when absent. A single object stands for an array of it, as Google reads one."""
        raw = self.take(name)
        if raw is None:
            return []
        return [raw] if kind_word(raw) == "object" else take(self.at(name), _decode_items, raw, style)

    def objects(self, name: str) -> Iterator[Members]:
        """An array of objects."""
        for index, raw in enumerate(self.items(name)):
            yield Members(raw, f"{self.at(name)}[{index}]")

    def texts(self, name: str) -> tuple[str, ...]:
        """An array of strings."""
        return tuple(
            take(f"{self.at(name)}[{index}]", _decode_text, raw, style) for index, raw in enumerate(self.items(name))
        )

    def json(self, name: str) -> bytes:
        """A value of any kind as JSON text without white space, otherwise spelt as sent; b'' when absent."""
        raw = self.take(name)
        return b"" if raw is None else compact(raw, self.at(name))

    def json_object(self, name: str) -> bytes:
        """``json`` of what has to be an object."""
        raw = self._left.get(name)
        if raw is not None and given(raw) and kind_word(raw) != "object":
            path = self.at(name)
            raise InvalidCall(style(path, "object", kind_word(raw)), code="invalid_type", param=path)
        return self.json(name)

    def rest(self) -> list[str]:
        """The members that are left and not null."""
        return [name for name, raw in self._left.items() if given(raw)]

    def lost(self, prefix: str = "") -> Iterator[Loss]:
        """A loss for each member that is left."""
        for name in self.rest():
            yield Loss(prefix + plain(name), self.at(name))


def plain(name: str) -> str:
    """A caller's name for a field as a loss may tell it: a word as Google writes them, ``field`` when it is none."""
    told = snake(name)
    return told if _WORD.match(told) else "field"


def compact(raw: msgspec.Raw | bytes, path: str) -> bytes:
    """JSON text without white space. Raises InvalidCall when it is broken inside."""

    def squeeze(value: msgspec.Raw) -> bytes:
        text = msgspec.json.format(bytes(value), indent=-1)
        text.decode()
        return text

    return take(path, squeeze, msgspec.Raw(raw), style)


def refuse(path: str, why: str) -> NoReturn:
    """Raises InvalidCall in Google's words."""
    raise InvalidCall(f"Invalid value at '{path}': {why}", code="invalid_value", param=path)
