"""Closing: what has to follow a JSON object that was cut off, so that it is one after all (W43)."""

from __future__ import annotations

import re

import msgspec

_STRINGS = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_ESCAPE = re.compile(r"(?<!\\)(?:\\\\)*(\\(?:u[0-9a-fA-F]{0,3})?)\Z")
_HALF = re.compile(r"(?<!\\)(?:\\\\)*\\u[dD][89abAB][0-9a-fA-F]{2}\Z")
_SECOND = "\\udc00"
# After a whole value; where a value, a colon or a member has to come; in the middle of a word or a number.
_MISSING = ("", "null", ":null", '"":null', "e", "ue", "rue", "se", "lse", "alse", "l", "ll", "ull", "0")

_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def closing(text: str) -> str:
    """What makes a whole object of the beginning of one; '' when it is whole, or no beginning of an object."""
    bare = _STRINGS.sub("0", text)
    at = bare.find('"')
    end = ""
    if at >= 0:  # inside a string
        end = _escaped(bare[at:]) + '"'
        bare = bare[:at]
    closers: list[str] = []
    for char in bare:
        if char in "{[":
            closers.append("}" if char == "{" else "]")
        elif char in "}]" and closers:
            closers.pop()
    if not closers:
        return ""
    last = "".join(reversed(closers))
    for missing in _MISSING:
        tail = end + missing + last
        try:
            _decode(text + tail)
        except (msgspec.DecodeError, RecursionError):
            continue
        return tail
    return ""


def _escaped(string: str) -> str:
    """What an escape that was cut off lacks, the second half of a pair included."""
    cut = _ESCAPE.search(string)
    fill = ""
    if cut is not None:
        head = string[: cut.start(1)]
        if cut[1] == "\\":
            fill = _SECOND[1:] if _first(head) else "\\"
        else:
            fill = (_SECOND[2:] if _first(head) else "0000")[len(cut[1]) - 2 :]
    return fill + _SECOND if _first(string + fill) else fill


def _first(string: str) -> bool:
    """Whether the string ends with the first half of a pair, whose second has to follow."""
    return _HALF.search(string) is not None
