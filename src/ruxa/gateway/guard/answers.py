"""An answer under guard: whole, or a stream of deltas whose texts and tool arguments are let through as they settle.

Log probabilities repeat the text token by token: a whole answer in which something was masked loses them, a stream
always does. What waits in a stream that dies never goes out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import msgspec

from ruxa.access.guards import Guard
from ruxa.dialects.call import Carried, Media, Text
from ruxa.dialects.reply import Choice, Closed, Delta, Opened, Piece, Reply, Said
from ruxa.gateway.guard.arguments import JsonFilter
from ruxa.gateway.guard.calls import guarded_part
from ruxa.gateway.guard.filter import Filter, Found

_replace = msgspec.structs.replace


def guarded(reply: Reply, guard: Guard, found: Found) -> Reply:
    """The answer as it may go out. Raises Forbidden ``guard_refused``."""
    return _replace(reply, choices=[_choice(choice, guard, found) for choice in reply.choices])


def _choice(choice: Choice, guard: Guard, found: Found) -> Choice:
    before = found.total()
    parts = [cast(Said, guarded_part(part, guard, found)) for part in choice.parts]
    return _replace(choice, parts=parts, logprobs=b"" if found.total() > before else choice.logprobs)


class _Part:
    """A part on its way. signature: what waits for the text to be over, and is worth nothing when that was masked."""

    __slots__ = ("kind", "signature", "text")

    def __init__(self, kind: str, text: Filter | JsonFilter) -> None:
        self.kind = kind
        self.text = text
        self.signature: Piece | None = None


class Watch:
    """A stream of deltas in, what may go out of it out; the order rules of ``reply`` hold for both."""

    __slots__ = ("_found", "_guard", "_parts")

    def __init__(self, guard: Guard, found: Found) -> None:
        self._guard = guard
        self._found = found
        self._parts: dict[tuple[int, int], _Part] = {}

    def feed(self, deltas: Sequence[Delta]) -> list[Delta]:
        """What is settled. Raises Forbidden ``guard_refused``: the stream has to end with an error then."""
        out: list[Delta] = []
        for delta in deltas:
            match delta:
                case Opened():
                    self._open(delta, out)
                case Piece():
                    self._piece(delta, out)
                case Closed():
                    self._close(delta, out)
                case _:
                    out.append(delta)
        return out

    def _open(self, opened: Opened, out: list[Delta]) -> None:
        if opened.whole is None:
            plain = opened.kind != "tool" or opened.custom
            text = Filter(self._guard, self._found) if plain else JsonFilter(self._guard, self._found)
            self._parts[opened.choice, opened.index] = _Part(opened.kind, text)
            out.append(opened)
            return
        part = guarded_part(opened.whole, self._guard, self._found)
        if isinstance(part, Media | Carried):
            out.append(_replace(opened, whole=part))
        else:  # what was masked as a whole is a text now
            assert isinstance(part, Text)
            out.append(Opened(index=opened.index, choice=opened.choice, kind="text"))
            out.append(Piece(index=opened.index, choice=opened.choice, text=part.text))

    def _piece(self, piece: Piece, out: list[Delta]) -> None:
        part = self._parts.get((piece.choice, piece.index))
        if part is None:
            return
        text = part.text.feed(piece.text) if piece.text else ""
        if part.kind != "tool" and piece.signature:
            part.signature = _replace(piece, text="", logprobs=b"")
            piece = _replace(piece, signature="", origin="")
        if text or piece.signature or piece.origin:
            out.append(_replace(piece, text=text, logprobs=b""))

    def _close(self, closed: Closed, out: list[Delta]) -> None:
        part = self._parts.pop((closed.choice, closed.index), None)
        if part is not None:
            rest = part.text.end()
            if rest:
                out.append(Piece(index=closed.index, choice=closed.choice, text=rest))
            if part.signature is not None and not part.text.changed:
                out.append(part.signature)
        out.append(closed)
