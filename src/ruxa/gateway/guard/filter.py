"""Filter: one text as it comes, in pieces cut anywhere, with what the guard finds masked or refused.

What may still become a find is held back: the last word, and the digits of the last few groups; a text without digits
is only ever a word late. What is held never grows beyond ``spans.REACH`` characters: a longer key is known by its
beginning, masked at once, and its rest swallowed as it comes. The outcome does not depend on where the text was cut.
"""

from __future__ import annotations

import re
from collections import Counter

from ruxa.access.guards import Guard, Kind
from ruxa.gateway.guard import secrets, spans
from ruxa.kernel.errors import Forbidden

Found = Counter[Kind]

_GROUPS = 64  # characters in which numbers written in groups are over
_HEAD = re.compile(r"-----BEGIN [A-Z0-9 ]{0,48}-{0,5}\Z")
_AWS = re.compile(r"aws_?secret_?(?:access_?)?key[\"' =:]{0,8}[A-Za-z0-9/+=]{0,41}", re.IGNORECASE)
_DIGIT = re.compile(r"[0-9+]")
_BLOCK_TAIL = re.compile(r"-----END [A-Z0-9 ]{0,60}-----")
_BLOCK_REACH = 80
_REST = re.compile(r"[A-Za-z0-9_.-]*+")


def mask_of(kind: Kind) -> str:
    """What stands in a find's place."""
    return f"[{kind} masked]"


def refused(kinds: set[Kind]) -> Forbidden:
    """The error of a guard that refuses: to be raised."""
    return Forbidden(
        f"The guard of this key does not let this through: {', '.join(sorted(kinds))}.", code="guard_refused"
    )


def masked(text: str, guard: Guard, found: Found) -> str:
    """A whole text with its finds masked, the same text when there are none. Raises Forbidden ``guard_refused``."""
    return text if len(text) < 4 else _masked(text, 0, spans.find(text, guard.kinds), guard, found)


def _masked(text: str, start: int, finds: list[spans.Span], guard: Guard, found: Found) -> str:
    if not finds:
        return text[start:] if start else text
    found.update(span.kind for span in finds)
    if guard.mode == "refuse":
        raise refused({span.kind for span in finds})
    out: list[str] = []
    at = start
    for span in finds:
        out += [text[at : span.start], mask_of(span.kind)]
        at = span.end
    return "".join([*out, text[at:]])


class Filter:
    """See the module. changed: something was masked."""

    __slots__ = ("_before", "_found", "_guard", "_held", "_swallows", "changed")

    def __init__(self, guard: Guard, found: Found) -> None:
        self._guard = guard
        self._found = found
        self._held = ""
        self._before = ""  # the last character that went out: what stands before decides what begins
        self._swallows = ""
        self.changed = False

    def feed(self, text: str) -> str:
        """More of the text in, what is settled of it out. Raises Forbidden ``guard_refused``."""
        if self._swallows:
            text = self._swallowed(text)
            if self._swallows:
                return ""
        self._held += text
        return self._out(self._settled()) if self._held else ""

    def end(self) -> str:
        """The text is over: the rest of it."""
        if self._swallows:
            return ""
        return self._out(len(self._held))

    def _out(self, settled: int) -> str:
        """What is held up to there, masked; less when a find goes on beyond it, and no more of a key than its mask."""
        out: list[str] = []
        whole = self._before + self._held
        finds = [span for span in spans.find(whole, self._guard.kinds) if span.end > len(self._before)]
        at = len(self._before)
        end = settled + at
        last = finds[-1] if finds else None
        long = last is not None and last.kind == "secret" and last.end == len(whole) and settled < len(self._held)
        if last is not None and long and self._opened(whole, last):
            end = len(whole)
        else:
            for span in reversed(finds):
                if span.start < end < span.end:
                    end = span.start
            finds = [span for span in finds if span.end <= end]
        if finds:
            self.changed = True
        out.append(_masked(whole[:end], at, finds, self._guard, self._found))
        self._held = whole[end:] if not self._swallows else whole[-_BLOCK_REACH:]
        self._before = whole[max(end - 1, 0) : end]
        return "".join(out)

    def _opened(self, whole: str, last: spans.Span) -> bool:
        """Whether a secret that is not over is masked now and its rest swallowed."""
        if "secret" in self._guard.kinds and secrets.open_block(whole):
            self._swallows = "block"
            return True
        if last.end - last.start > spans.REACH:
            self._swallows = "token"
            return True
        return False

    def _swallowed(self, text: str) -> str:
        """What follows the rest of a secret that is already masked."""
        if self._swallows == "token":
            match = _REST.match(text)
            assert match is not None
            if match.end() == len(text):
                return ""
            rest = text[match.end() :]
        else:
            held = self._held + text
            tail = _BLOCK_TAIL.search(held)
            if tail is None:
                self._held = held[-_BLOCK_REACH:]
                return ""
            rest = held[tail.end() :]
        self._swallows = self._held = ""
        return rest

    def _settled(self) -> int:
        """How much of what is held can no longer become part of a find."""
        held = self._held
        end = len(held)
        cut = _word(held, len(held.rstrip()))
        tail = max(end - _GROUPS, 0)
        digit = _DIGIT.search(held, tail)
        if digit is not None:
            start = _word(held, digit.start())
            before = held[:start].rstrip()
            earlier = _word(before, len(before))
            cut = min(cut, earlier if len(before) - earlier <= 4 else start)
        head = _HEAD.search(held, tail)
        if head is not None:
            cut = min(cut, head.start())
        if "ecret" in held or "ECRET" in held:
            for aws in _AWS.finditer(held):  # the word and what it names stay together
                if aws.start() < cut <= aws.end():
                    cut = aws.start()
        return max(cut, end - spans.REACH, 0)


def _word(text: str, end: int) -> int:
    """Where the word begins that ends there."""
    return (
        max(text.rfind(" ", 0, end), text.rfind("\n", 0, end), text.rfind("\t", 0, end), text.rfind("\r", 0, end)) + 1
    )
