"""JSON under guard: the arguments of tools, schemas, blocks carried as they are. It stays JSON, and what is not masked
stays as it was written: only texts and numbers are looked at, and only those that hold something are written anew.

A number that is a find becomes a text, for no number could stand for it. Names of members are looked at too.
"""

from __future__ import annotations

import re

import msgspec

from ruxa.access.guards import Guard
from ruxa.gateway.guard.filter import Filter, Found, masked
from ruxa.kernel.errors import UpstreamBroken

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+"|[^\s"{}\[\],:]++', re.DOTALL)
_CONTENT = re.compile(r'(?:[^"\\]|\\u[0-9a-fA-F]{4}|\\[^u])*+', re.DOTALL)
_BARE = re.compile(r'[^\s"{}\[\],:]*+')
_MARKS = re.compile(r"[\s{}\[\],:]*+")
_HIGH = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}\Z")
_BARE_MAX = 4096
_ESCAPE = 6  # characters of the longest escape
_PLAIN = frozenset({"true", "false", "null"})
_decode = msgspec.json.Decoder(str).decode


def masked_json(text: str, guard: Guard, found: Found, kept: frozenset[str] = frozenset()) -> str:
    """A whole JSON text. kept: members whose own values are left alone: ids, signatures, base64.

    Raises Forbidden ``guard_refused``.
    """
    out: list[str] = []
    name = ""
    done = 0
    for token in _TOKEN.finditer(text):
        told = token[0]
        named = told[0] == '"' and _names(text, token.end())
        if name in kept and not named:
            continue
        new = _token(told, guard, found)
        if new != told:
            out += [text[done : token.start()], new]
            done = token.end()
        if named:
            name = told[1:-1]
    return "".join([*out, text[done:]]) if out else text


def _names(text: str, at: int) -> bool:
    """Whether the text that ends there is a member's name."""
    match = _MARKS_SPACE.match(text, at)
    assert match is not None
    return text.startswith(":", match.end())


_MARKS_SPACE = re.compile(r"\s*+")


def _token(told: str, guard: Guard, found: Found) -> str:
    if told[0] != '"':
        if told in _PLAIN:
            return told
        new = masked(told, guard, found)
        return told if new == told else _quoted(new)
    said = _unquoted(told)
    new = masked(said, guard, found)
    return told if new == said else _quoted(new)


def _quoted(text: str) -> str:
    return msgspec.json.encode(text).decode()


def _unquoted(told: str) -> str:
    """A JSON text's characters; what is no valid one is looked at as it stands."""
    try:
        return _decode(told)
    except msgspec.DecodeError:
        return told[1:-1]


class JsonFilter:
    """Arguments as they come. The texts in them are under guard as they come too; numbers when they are whole.

    changed: something was masked.
    """

    __slots__ = ("_found", "_guard", "_held", "_text", "changed")

    def __init__(self, guard: Guard, found: Found) -> None:
        self._guard = guard
        self._found = found
        self._held = ""
        self._text: Filter | None = None
        self.changed = False

    def feed(self, piece: str) -> str:
        """More of the arguments in, what is settled of them out. Raises Forbidden ``guard_refused``."""
        self._held += piece
        out: list[str] = []
        while self._held and (self._inside(out) if self._text is not None else self._outside(out)):
            pass
        return "".join(out)

    def end(self) -> str:
        """The arguments are over, in the middle perhaps: the rest of them."""
        out: list[str] = []
        if self._text is not None:  # cut short inside a text
            rest = self._text.feed(_unquoted(f'"{self._held}"')) if self._held and "\\" not in self._held else ""
            out.append(_quoted(rest + self._text.end())[1:-1])
            self.changed = self.changed or self._text.changed
        elif self._held:
            out.append(self._bare(self._held))
        self._text, self._held = None, ""
        return "".join(out)

    def _outside(self, out: list[str]) -> bool:
        """Marks, a bare word or number, or the beginning of a text; False: more has to come first."""
        marks = _MARKS.match(self._held)
        assert marks is not None
        out.append(marks[0])
        self._held = self._held[marks.end() :]
        if self._held.startswith('"'):
            out.append('"')
            self._held = self._held[1:]
            self._text = Filter(self._guard, self._found)
            return True
        word = _BARE.match(self._held)
        assert word is not None
        if word.end() == len(self._held):
            if len(self._held) > _BARE_MAX:
                raise UpstreamBroken("The provider's tool call is no JSON.")
            return False
        out.append(self._bare(word[0]))
        self._held = self._held[word.end() :]
        return True

    def _bare(self, word: str) -> str:
        new = _token(word, self._guard, self._found) if word else ""
        self.changed = self.changed or new != word
        return new

    def _inside(self, out: list[str]) -> bool:
        """More of a text, escapes taken whole and surrogates in pairs."""
        text = self._text
        assert text is not None
        content = _CONTENT.match(self._held)
        assert content is not None
        taken = content[0]
        over = self._held.startswith('"', content.end())
        if not over and len(self._held) - len(taken) > _ESCAPE:
            raise UpstreamBroken("The provider's tool call is no JSON.")
        if not over and (high := _HIGH.search(taken)) is not None:
            taken = taken[: high.start()]
        said = text.feed(_unquoted(f'"{taken}"')) + (text.end() if over else "")
        if said:
            out.append(_quoted(said)[1:-1])
        self._held = self._held[len(taken) :]
        self.changed = self.changed or text.changed
        if over:
            out.append('"')
            self._held = self._held[1:]
            self._text = None
        return over
