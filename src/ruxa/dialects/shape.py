"""Shape: what surrounds the messages of a call - its settings - read once, so that the next call of the same settings
needs one pass over its messages and no look at a table.

A body is of a shape when it is the bytes before, exactly one JSON array, and the bytes after. By JSON's grammar it has
then the shape's members and no other, each once, so all that was found out about them holds. A shape keeps no content
and nothing that a caller wrote freely: only numbers, switches, and words from short lists, bounded in size.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ruxa.dialects.body import BOOL, KINDS, NULL, NUMBER, cut, spans
from ruxa.dialects.dialect import Envelope, Patched, Place, Shaping, Terms
from ruxa.dialects.foreign import suspected
from ruxa.kernel.codec import clone

SETTINGS_BYTES_MAX = 512
WORD_BYTES_MAX = 64
# Members whose value is a word, not a text; of others only numbers, booleans and null are kept.
WORDS = frozenset({"model", "reasoning_effort", "verbosity", "service_tier", "stream_options"})
PATCHES_MAX = 16
SHAPES_MAX = 4
_COPIED_BYTES_MAX = 16 * 1024

_decode = msgspec.json.Decoder(msgspec.Raw).decode
_PLACEHOLDER = b"[]"
_PLAIN = NUMBER | BOOL | NULL

Settings = tuple[bytes, bytes]
"""The bytes before and after the content."""


class Shape:
    """The settings of a call. ``read`` and ``patch`` do for a body of this shape what the dialect does for any."""

    __slots__ = ("_after", "_before", "_envelope", "_patches", "_shaping", "kept", "place")

    def __init__(self, place: Place, settings: Settings, shaping: Shaping) -> None:
        self.place = place
        self.kept: Any = None  # what the user of the shape keeps beside it
        self._before, self._after = settings
        self._shaping = shaping
        self._patches: dict[str, tuple[Terms, bytes, bytes, Patched]] = {}
        envelope = self._envelope = shaping.read(place, self._before + _PLACEHOLDER + self._after)
        envelope.load.text_bytes -= len(_PLACEHOLDER)
        envelope.shape = self

    def read(self, place: Place, body: bytes) -> Envelope | None:
        """The envelope of a body of this shape; None: it is of another, or needs a closer look."""
        before, after = self._before, self._after
        if not body.startswith(before) or not body.endswith(after):
            return None
        start, end = len(before), len(body) - len(after)
        if end <= start or body[start] != 0x5B or body[end - 1] != 0x5D or place != self.place:
            return None
        value = body[start:end]
        try:
            raw = _decode(value)
        except (msgspec.DecodeError, RecursionError):
            return None
        envelope = clone(self._envelope)
        envelope.body = body
        load = envelope.load = clone(envelope.load)
        load.text_bytes += end - start
        if value.find(b"[", 1) > 0 and (suspected(value) or self._shaping.weigh(raw, load)):
            return None
        return envelope

    def patch(self, envelope: Envelope, upstream_model: str, terms: Terms) -> Patched:
        """The provider's body, from what the dialect's own edit did to these settings."""
        known = self._patches.get(upstream_model)
        if known is None or known[0] is not terms:
            known = self._learn(upstream_model, terms)
        _, before, after, model = known
        body = envelope.body
        start, end = len(self._before), len(body) - len(self._after)
        value = body[start:end] if len(body) <= _COPIED_BYTES_MAX else memoryview(body)[start:end]
        patched = clone(model)
        patched.pieces = [before, value, after]
        patched.length = model.length + end - start
        return patched

    def _learn(self, upstream_model: str, terms: Terms) -> tuple[Terms, bytes, bytes, Patched]:
        sample = clone(self._envelope)
        sample.shape = None
        patched = self._shaping.patch(sample, upstream_model=upstream_model, pseudonym=_nobody, terms=terms)
        body = b"".join(patched.pieces)
        at, end = next((at, end) for name, _, at, end in spans(body, cut(body)) if name == self._shaping.content)
        if len(self._patches) >= PATCHES_MAX:
            self._patches.clear()
        patched.length -= len(_PLACEHOLDER)
        known = self._patches[upstream_model] = (terms, body[:at], body[end:], patched)
        return known


class Shapes:
    """The shapes of one key's calls, the latest first: what comes twice in a row is known from then on."""

    __slots__ = ("_known", "_last")

    def __init__(self) -> None:
        self._known: tuple[Shape, ...] = ()
        self._last: Settings | None = None

    def read(self, place: Place, body: bytes) -> Envelope | None:
        """The envelope, if the body is of a known shape."""
        for shape in self._known:
            envelope = shape.read(place, body)
            if envelope is not None:
                return envelope
        return None

    def learn(self, envelope: Envelope, shaping: Shaping) -> None:
        """A call that the dialect had to read."""
        settings = settings_of(envelope, shaping.content)
        if settings is not None and settings == self._last:
            self._known = (Shape(envelope.place, settings, shaping), *self._known[: SHAPES_MAX - 1])
            self._last = None
        else:
            self._last = settings


def settings_of(envelope: Envelope, content: str) -> Settings | None:
    """What surrounds the member ``content``, when that is short and plain enough to be kept."""
    body, members = envelope.body, envelope.members
    raw = members.get(content)
    if (
        raw is None
        or envelope.spans is not None
        or envelope.claims
        or envelope.unknown
        or envelope.identities
        or len(body) - len(raw) > SETTINGS_BYTES_MAX
    ):
        return None
    start = before = 1
    for name, value in members.items():
        at = start + len(name) + 3
        start = at + len(value) + 1
        if name == content:
            before = at
        elif not (len(value) <= WORD_BYTES_MAX if name in WORDS else KINDS[body[at]] & _PLAIN):
            return None
    return body[:before], body[before + len(raw) :]


def _nobody(identity: str) -> str:
    raise AssertionError("settings hold no identity")
