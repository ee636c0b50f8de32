"""Fields: one JSON object of a body, its members taken one by one, with the path of what is wrong and what is left."""

from __future__ import annotations

from typing import NoReturn

import msgspec

from ruxa.dialects.body import NULL_RAW, kind_word, take
from ruxa.dialects.losses import Loss
from ruxa.dialects.openai import refuse_missing, refuse_value, style
from ruxa.kernel.errors import InvalidCall

_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_text = msgspec.json.Decoder(str).decode
_decode_int = msgspec.json.Decoder(int).decode
_decode_number = msgspec.json.Decoder(int | float).decode
_decode_flag = msgspec.json.Decoder(bool).decode
_decode_items = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_words = msgspec.json.Decoder(list[str]).decode


class Fields:
    """The members of one object. at: its path, '' for the body. A member that is ``null`` counts as not there."""

    __slots__ = ("_left", "at", "members")

    def __init__(self, members: dict[str, msgspec.Raw], at: str) -> None:
        self.members = members
        self.at = at
        self._left = dict.fromkeys(name for name, raw in members.items() if raw != NULL_RAW)

    @classmethod
    def of(cls, raw: msgspec.Raw, at: str) -> Fields:
        """The object ``raw``. Raises InvalidCall when it is none."""
        return cls(take(at, _decode_members, raw, style), at)

    def path(self, name: str) -> str:
        """Where a member stands."""
        return f"{self.at}.{name}" if self.at else name

    def raw(self, name: str) -> msgspec.Raw | None:
        """A member as it was sent."""
        if name not in self._left:
            return None
        del self._left[name]
        return self.members[name]

    def object(self, name: str) -> bytes:
        """The JSON text of an object, b'' when it is not there."""
        raw = self.raw(name)
        if raw is None:
            return b""
        if kind_word(raw) != "object":
            raise InvalidCall(
                style(self.path(name), "object", kind_word(raw)), code="invalid_type", param=self.path(name)
            )
        return bytes(raw)

    def text(self, name: str) -> str | None:
        """A string."""
        raw = self.raw(name)
        return None if raw is None else take(self.path(name), _decode_text, raw, style)

    def must(self, name: str) -> str:
        """A string that has to be there."""
        text = self.text(name)
        if text is None:
            refuse_missing(self.path(name))
        return text

    def int(self, name: str) -> int | None:
        """A whole number."""
        raw = self.raw(name)
        return None if raw is None else take(self.path(name), _decode_int, raw, style)

    def number(self, name: str) -> int | float | None:
        """A number in its own spelling."""
        raw = self.raw(name)
        return None if raw is None else take(self.path(name), _decode_number, raw, style)

    def flag(self, name: str) -> bool | None:
        """A boolean."""
        raw = self.raw(name)
        return None if raw is None else take(self.path(name), _decode_flag, raw, style)

    def items(self, name: str) -> list[msgspec.Raw]:
        """The items of an array, none when it is not there."""
        raw = self.raw(name)
        return [] if raw is None else take(self.path(name), _decode_items, raw, style)

    def words(self, name: str) -> list[str]:
        """An array of strings."""
        raw = self.raw(name)
        return [] if raw is None else take(self.path(name), _decode_words, raw, style)

    def inner(self, name: str) -> Fields | None:
        """An object's members."""
        raw = self.raw(name)
        return None if raw is None else Fields.of(raw, self.path(name))

    def kind(self, name: str) -> str:
        """The JSON kind of a member, '' when it is not there; it stays to be taken."""
        return kind_word(self.members[name]) if name in self._left else ""

    def skip(self, *names: str) -> None:
        """Members that mean nothing here."""
        for name in names:
            self._left.pop(name, None)

    def lost(self, group: str = "") -> list[Loss]:
        """What nobody took, as losses; the name is the member's, after ``group``."""
        return [Loss(f"{group}.{name}" if group else name, self.path(name)) for name in self._left]

    def refuse(self, name: str, message: str) -> NoReturn:
        """A value that cannot be. Raises InvalidCall."""
        refuse_value(self.path(name), message)
