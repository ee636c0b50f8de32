"""Fields: one JSON object inside a body of Anthropic's - each member checked when it is asked for, the rest told."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import msgspec

from ruxa.dialects.anthropic_messages.read import TOKENS_MAX, style
from ruxa.dialects.body import given, kind_word, take
from ruxa.dialects.losses import Loss
from ruxa.kernel.errors import InvalidCall

T = TypeVar("T")

_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_items = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_text = msgspec.json.Decoder(str).decode
_decode_number = msgspec.json.Decoder(int | float).decode
_decode_whole = msgspec.json.Decoder(int).decode
_decode_flag = msgspec.json.Decoder(bool).decode

IDLE = frozenset({b"false", b"[]", b"{}", b'""'})
"""Values that ask for nothing: leaving them out loses nothing."""


class Fields:
    """See the module. at: the object's path in the vendor's notation (``messages.0.content.1``), '' for the body."""

    __slots__ = ("_at", "_members")

    def __init__(self, raw: msgspec.Raw, at: str) -> None:
        """Raises InvalidCall when it is no object."""
        self._members: dict[str, msgspec.Raw] = take(at, _decode_members, raw, style)
        self._at = at

    @classmethod
    def of(cls, members: dict[str, msgspec.Raw]) -> Fields:
        """The top level of a body."""
        fields = cls.__new__(cls)
        fields._members = members
        fields._at = ""
        return fields

    def path(self, name: str) -> str:
        """Where a member stands."""
        return f"{self._at}.{name}" if self._at else name

    def raw(self, name: str) -> msgspec.Raw | None:
        """A member as it was written; None when it is missing or null."""
        raw = self._members.get(name)
        return raw if raw is not None and given(raw) else None

    def _optional(self, name: str, decode: Callable[[msgspec.Raw], T]) -> T | None:
        raw = self.raw(name)
        return None if raw is None else take(self.path(name), decode, raw, style)

    def need(self, name: str) -> msgspec.Raw:
        """A member that must be there. Raises InvalidCall."""
        raw = self._members.get(name)
        if raw is None:
            path = self.path(name)
            raise InvalidCall(f"{path}: Field required", code="missing_field", param=path)
        return raw

    def text(self, name: str) -> str:
        """A text that must be there. Raises InvalidCall."""
        return take(self.path(name), _decode_text, self.need(name), style)

    def text_or(self, name: str) -> str:
        """A text, '' when it is missing or null. Raises InvalidCall."""
        return self._optional(name, _decode_text) or ""

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts, empty when missing or null. Raises InvalidCall."""
        path = self.path(name)
        return tuple(text_of(item, f"{path}.{number}") for number, item in enumerate(self.items(name)))

    def items(self, name: str) -> list[msgspec.Raw]:
        """A list, empty when missing or null. Raises InvalidCall."""
        return self._optional(name, _decode_items) or []

    def flag(self, name: str) -> bool | None:
        """A truth value, None when it is missing or null. Raises InvalidCall."""
        return self._optional(name, _decode_flag)

    def share(self, name: str) -> int | float | None:
        """A number from 0 to 1, None when it is missing or null. Raises InvalidCall."""
        number = self._optional(name, _decode_number)
        return None if number is None else self._within(name, number, 1)

    def count(self, name: str) -> int | None:
        """A whole number from 0, None when it is missing or null. Raises InvalidCall."""
        number = self._optional(name, _decode_whole)
        return None if number is None else self._within(name, number, TOKENS_MAX)

    def _within(self, name: str, number: T, most: int) -> T:
        if not 0 <= number <= most:  # pyright: ignore[reportOperatorIssue]
            path = self.path(name)
            raise InvalidCall(f"{path}: Input should be from 0 to {most}", code="invalid_value", param=path)
        return number

    def inner(self, name: str) -> Fields | None:
        """An object, None when it is missing or null. Raises InvalidCall."""
        raw = self.raw(name)
        return None if raw is None else Fields(raw, self.path(name))

    def refuse(self, name: str, sentence: str) -> InvalidCall:
        """The error that a member has a value nobody knows: to be raised."""
        path = self.path(name)
        return InvalidCall(f"{path}: {sentence}", code="invalid_value", param=path)

    def rest(self, known: frozenset[str], losses: list[Loss], where: str = "") -> None:
        """Tells every member that says something and that nobody reads. Names of the caller's own are not repeated."""
        for name, raw in self._members.items():
            if name not in known and given(raw) and (len(raw) > 5 or bytes(raw) not in IDLE):
                losses.append(Loss(f"{where}{plain(name)}", self.path(name)))


def plain(name: str) -> str:
    """A name fit for a header: what no vendor would write is ``unknown``."""
    return name if len(name) <= 40 and name.isascii() and name.replace("_", "a").isalnum() else "unknown"


def items_of(raw: msgspec.Raw, at: str) -> list[msgspec.Raw]:
    """The items of a list. Raises InvalidCall."""
    return take(at, _decode_items, raw, style)


def text_of(raw: msgspec.Raw, at: str) -> str:
    """A text. Raises InvalidCall."""
    return take(at, _decode_text, raw, style)


def object_text(raw: msgspec.Raw, at: str) -> str:
    """An object as compact JSON: no white space between its tokens, every number and text as it was written.

    Raises InvalidCall when it is no object.
    """
    if kind_word(raw) != "object":
        raise InvalidCall(style(at, "object", kind_word(raw)), code="invalid_type", param=at)
    return msgspec.json.format(bytes(raw), indent=-1).decode()
