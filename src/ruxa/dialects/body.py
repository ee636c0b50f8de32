"""A JSON body's top level: its members and where each one lies, without decoding what is inside.

One C pass cuts the object into named raw values; their lengths then give every offset by arithmetic, so that no text
is ever searched for a name. In the compact form (what the SDKs send) the lengths also prove that there is nothing
else: a repeated name, white space or an escape in a name would each make the body longer than the sum. Anything else
is walked token by token and compared with the raw values; the walk reaches the closing brace only if the members are
exactly those of the decode, because JSON's grammar reads a text in one way only.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Mapping
from itertools import accumulate
from typing import NoReturn, TypeVar

import msgspec

from ruxa.kernel import bounds
from ruxa.kernel.errors import InvalidCall

ABSENT = msgspec.Raw(b"")
"""The default of a raw field (msgspec reads no raw value into a union, so None can't be it)."""
NULL_RAW = msgspec.Raw(b"null")

T = TypeVar("T")
Style = Callable[[str, str, str], str]
"""A vendor's sentence for a wrong value: (path, expected, got) -> text."""

Span = tuple[str, int, int, int]
"""One member: name, offset of its key, offset of its value, end of its value."""

_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_items = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_name = msgspec.json.Decoder(str).decode
_KEY = re.compile(rb'[ \t\r\n]*("(?:[^"\\]|\\.)*")[ \t\r\n]*:[ \t\r\n]*', re.DOTALL)
_SPACE = re.compile(rb"[ \t\r\n]*")
_BYTE = re.compile(r" \(byte (\d+)\)")

_TOO_DEEP = f"The body is nested too deeply: at most {bounds.JSON_DEPTH_MAX} arrays and objects in each other."
_UNMARKED = bytes(c for c in range(256) if c not in b'"[]{}')
_STEPS = bytes(1 if c in b"[{" else 255 for c in range(256))  # as signed bytes: 1 and -1
_FOLDS = 12
_LONG = 2 * (bounds.JSON_DEPTH_MAX - 1)  # bytes: a shorter member is not too deep
_COUNTED = 4096  # bytes up to which brackets are counted before anything is taken apart

# The kinds of a JSON value, told by its first byte.
STRING, NUMBER, BOOL, ARRAY, OBJECT, NULL = 1, 2, 4, 8, 16, 32
KINDS: tuple[int, ...] = tuple(
    STRING
    if c == 0x22
    else OBJECT
    if c == 0x7B
    else ARRAY
    if c == 0x5B
    else NULL
    if c == 0x6E
    else BOOL
    if c in (0x74, 0x66)
    else NUMBER
    if c == 0x2D or 0x30 <= c <= 0x39
    else 0
    for c in range(256)
)
KIND_WORDS = {STRING: "string", NUMBER: "number", BOOL: "boolean", ARRAY: "array", OBJECT: "object", NULL: "null"}


def cut(body: bytes) -> dict[str, msgspec.Raw]:
    """The top-level members of ``body`` by name. Raises InvalidCall: not JSON, not an object, too deep."""
    try:
        members = _decode_members(body)
    except msgspec.ValidationError:
        raise InvalidCall("The body must be a JSON object.", code="invalid_json") from None
    except msgspec.DecodeError as error:
        at = _BYTE.search(str(error))
        where = f" at byte {at[1]}" if at else ""
        raise InvalidCall(f"The body is not valid JSON{where}.", code="invalid_json") from None
    except UnicodeDecodeError:
        raise InvalidCall("The body is not valid UTF-8.", code="invalid_json") from None
    except RecursionError:
        raise InvalidCall(_TOO_DEEP, code="too_deep") from None
    size = len(body)
    if size > _LONG and (size > _COUNTED or body.count(b"[") + body.count(b"{") > bounds.JSON_DEPTH_MAX):
        for name, raw in members.items():
            if len(raw) > _LONG and _deep(raw):
                raise InvalidCall(_TOO_DEEP, code="too_deep", param=name)
    return members


def legible(body: bytes) -> bytes:
    """The body, all of which is text: what is taken apart later is so too. Raises InvalidCall for what is no UTF-8."""
    if not body.isascii():
        try:
            body.decode()
        except UnicodeDecodeError as error:
            raise InvalidCall(f"The body is not valid UTF-8 at byte {error.start}.", code="invalid_json") from None
    return body


def _deep(raw: msgspec.Raw) -> bool:
    """Whether a member makes the body nested too deeply; a list is looked at item by item, for most are short."""
    first = memoryview(raw)[0]
    if first == 0x22:
        return False
    if first != 0x5B:
        return depth_over(bytes(raw), bounds.JSON_DEPTH_MAX - 1)
    inside = bounds.JSON_DEPTH_MAX - 2
    return any(len(item) > _LONG - 2 and depth_over(bytes(item), inside) for item in _decode_items(raw))


def depth_over(value: bytes, most: int) -> bool:
    """Whether a JSON value is nested deeper than ``most`` arrays and objects, itself counted.

    No value is deeper than it has opening brackets, and ordinary ones have few. In others all is deleted but brackets
    and strings, what is flat is folded away, and only what stays is counted bracket by bracket.
    """
    if value.count(b"[") + value.count(b"{") <= most:
        return False
    if b"\\" in value:
        value = value.replace(b"\\\\", b"").replace(b'\\"', b"")
    marks = value.translate(None, _UNMARKED)
    if b'"' in marks:
        marks = b"".join(marks.split(b'"')[::2])  # what is between strings
    folded = marks
    for _ in range(min(_FOLDS, most // 2)):  # each takes two levels away at most
        size = len(folded)
        folded = folded.replace(b"{}", b"").replace(b"[]", b"")
        if not folded:
            return False
        if len(folded) > size // 2:
            break
    return max(accumulate(array("b", marks.translate(_STEPS)))) > most


def spans(body: bytes, members: Mapping[str, msgspec.Raw]) -> list[Span]:
    """Where each member lies, in order. Raises InvalidCall ``duplicate_field`` when a name comes twice."""
    found: list[Span] = []
    at = 1
    for name, raw in members.items():
        value = at + len(name) + 3
        end = value + len(raw)
        found.append((name, at, value, end))
        at = end + 1
    return found if found and at == len(body) else walk(body, members)


def walk(body: bytes, members: Mapping[str, msgspec.Raw]) -> list[Span]:
    """``spans`` of a body that is not in the compact form."""
    found: list[Span] = []
    at = _skip(body, 0) + 1
    for name, raw in members.items():
        value = bytes(raw)
        usual = b'"%b": ' % name.encode() if name.isidentifier() else b""
        if usual and body.startswith(usual, at):
            start, begin = at, at + len(usual)
        else:
            key = _KEY.match(body, at)
            if key is None or _decode_name(key[1]) != name:
                _refuse_duplicate(body, members)
            start, begin = key.start(1), key.end()
        end = begin + len(value)
        if not body.startswith(value, begin):
            _refuse_duplicate(body, members)
        found.append((name, start, begin, end))
        if body.startswith(b", ", end):
            at = end + 2
            continue
        at = _skip(body, end)
        if body[at] == 0x2C:
            at += 1
    if not found:
        at = _skip(body, at)
    if body[at] != 0x7D or _skip(body, at + 1) != len(body):
        _refuse_duplicate(body, members)
    return found


def _skip(body: bytes, at: int) -> int:
    space = _SPACE.match(body, at)
    assert space is not None
    return space.end()


def _refuse_duplicate(body: bytes, members: Mapping[str, msgspec.Raw]) -> NoReturn:
    """Names the repeated field. Only bodies that repeat one come here, so it may be slow."""
    name = next((name for name in members if _count(body, name) > 1), "")
    raise InvalidCall(f"Duplicate field: '{name}'.", code="duplicate_field", param=name or None)


def _count(body: bytes, name: str) -> int:
    """How often ``name`` is a member of the top-level object: a plain scan that tracks strings and depth."""
    depth = count = 0
    at = False
    for token in re.finditer(rb'"(?:[^"\\]|\\.)*"|[{}\[\]:]', body, re.DOTALL):
        mark = token[0]
        if mark in (b"{", b"["):
            depth += 1
        elif mark in (b"}", b"]"):
            depth -= 1
        elif mark == b":" and depth == 1 and at:
            count += 1
        at = depth == 1 and mark[:1] == b'"' and _says(mark, name)
    return count


def _says(text: bytes, name: str) -> bool:
    try:
        return _decode_name(text) == name
    except UnicodeDecodeError:  # a value that nobody has looked into yet
        return False


def given(raw: msgspec.Raw) -> bool:
    """Whether a raw field is there and not null."""
    return len(raw) > 0 and raw != NULL_RAW


def kind_word(raw: msgspec.Raw | bytes) -> str:
    """``string``, ``number``, ``boolean``, ``array``, ``object`` or ``null``."""
    return KIND_WORDS.get(KINDS[bytes(memoryview(raw)[:1])[0]], "value")


def kind_words(kinds: int) -> str:
    """``string or null`` for a set of kinds."""
    return " or ".join(word for bit, word in KIND_WORDS.items() if kinds & bit and bit != NULL) or "null"


def take(name: str, decode: Callable[[msgspec.Raw], T], raw: msgspec.Raw, style: Style) -> T:
    """One member decoded. Raises InvalidCall naming the path of what is wrong inside it, in the vendor's words."""
    try:
        return decode(raw)
    except msgspec.ValidationError as error:
        path, expected, got = _explain(name, str(error))
        raise InvalidCall(style(path, expected, got), code="invalid_type", param=path) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise InvalidCall(style(name, "valid text", "broken text"), code="invalid_value", param=name) from None
    except RecursionError:
        raise InvalidCall(_TOO_DEEP, code="too_deep", param=name) from None


_TYPE_WORDS = {"str": "string", "int": "integer", "float": "number", "bool": "boolean", "list": "array"}
_EXPLAIN = re.compile(r"Expected `([^`]*)`(?:, got `([^`]*)`)?.*?(?: - at `\$([^`]*)`)?$", re.DOTALL)


def _explain(name: str, message: str) -> tuple[str, str, str]:
    found = _EXPLAIN.search(message)
    if found is None:
        missing = re.search(r"missing required field `([^`]*)`(?: - at `\$([^`]*)`)?", message)
        if missing is not None:
            return f"{name}{missing[2] or ''}.{missing[1]}", "a value", "nothing"
        return name, "a valid value", "another"
    words = " or ".join(_TYPE_WORDS.get(part.strip(), part.strip()) for part in found[1].split("|"))
    return name + (found[3] or ""), words, _TYPE_WORDS.get(found[2] or "", found[2] or "another")
