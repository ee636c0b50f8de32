"""Deltas as a stream of message events: blocks strictly one after the other, though they came interleaved (W53)."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ruxa.dialects.anthropic_messages.blocks import DIALECT
from ruxa.dialects.anthropic_messages.reply import head, media_text
from ruxa.dialects.anthropic_messages.stops import Stop, write_stop, write_usage
from ruxa.dialects.anthropic_messages.write import error_body
from ruxa.dialects.call import Carried, Media, Origin
from ruxa.dialects.closing import closing
from ruxa.dialects.reply import Asked, Begun, Closed, Counted, Delta, Ended, Opened, Over, Piece, made_id
from ruxa.dialects.signature import pack
from ruxa.dialects.signature import write as write_signature
from ruxa.dialects.usage import Usage
from ruxa.kernel.errors import RuxaError

_PING = b'event: ping\ndata: {"type":"ping"}\n\n'
_STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
_encode = msgspec.json.Encoder().encode
_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode

# Of each kind of part: the type of its deltas, and the member that holds their text.
_DELTAS = {
    "text": (b"text_delta", b"text"),
    "thinking": (b"thinking_delta", b"thinking"),
    "tool": (b"input_json_delta", b"partial_json"),
}


class _Part:
    """A part on its way out. at: its block's index, -1 before it began; waiting: what it said before its turn came;
    input: of a tool call, what it said so far."""

    __slots__ = ("at", "closed", "input", "opened", "origin", "proof", "said", "waiting")

    def __init__(self, opened: Opened) -> None:
        self.opened = opened
        self.at = -1
        self.said = False
        self.closed = False
        self.proof = ""
        self.origin: Origin = ""
        self.waiting: list[str] = []
        self.input: list[str] = []


class MessageEvents:
    """See ``translator.DeltaWriter``. Callers of Anthropic's dialect get one answer: the first choice."""

    __slots__ = ("_asked", "_begun", "_blocks", "_end", "_parts", "_queue", "_refusal", "_tools", "_usage")

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._begun = False
        self._parts: dict[int, _Part] = {}
        self._queue: list[_Part] = []
        self._blocks = 0
        self._tools = 0
        self._refusal: list[str] = []
        self._usage: Usage | None = None
        self._end: Stop | None = None

    def write(self, deltas: Sequence[Delta]) -> bytes:
        """See ``translator.DeltaWriter``."""
        out: list[bytes] = []
        for number, delta in enumerate(deltas):
            kind = type(delta)
            if kind is Piece:
                assert isinstance(delta, Piece)
                if delta.choice == 0:
                    self._piece(delta, out)
            elif isinstance(delta, Opened):
                if delta.choice == 0:
                    self._open(delta, deltas[number + 1 :], out)
            elif isinstance(delta, Closed):
                if delta.choice == 0:
                    self._close(delta.index, out)
            elif isinstance(delta, Begun):
                self._begin(delta.id, deltas[number + 1 :], out)
            elif isinstance(delta, Counted):
                self._usage = delta.usage
            elif isinstance(delta, Ended):
                if delta.choice == 0:
                    self._finish(out)
                    self._end = Stop(delta.finish, delta.detail, delta.stop, "".join(self._refusal))
            elif isinstance(delta, Over):  # pyright: ignore[reportUnnecessaryIsInstance]
                self._over(out)
        return b"".join(out)

    def _begin(self, given: str, later: Sequence[Delta], out: list[bytes]) -> None:
        """``message_start``, with the figures that came beside it, if some did."""
        if self._begun:
            return
        self._begun = True
        counted = next((delta.usage for delta in later if isinstance(delta, Counted)), None)
        message: dict[str, object] = {
            **head(given, self._asked),
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "stop_details": None,
            "usage": write_usage(counted),
        }
        out.append(
            b"event: message_start\ndata: " + _encode({"type": "message_start", "message": message}) + b"\n\n" + _PING
        )

    def _open(self, opened: Opened, later: Sequence[Delta], out: list[bytes]) -> None:
        if not self._begun:
            self._begin("", later, out)
        part = _Part(opened)
        self._parts[opened.index] = part
        if opened.kind == "tool":  # its signature has to go out before it
            for delta in later:
                if isinstance(delta, Piece) and delta.index == opened.index and delta.signature:
                    part.proof, part.origin = delta.signature, delta.origin
        if opened.kind != "refusal":
            self._queue.append(part)

    def _piece(self, piece: Piece, out: list[bytes]) -> None:
        part = self._parts.get(piece.index)
        if part is None:
            return
        if piece.signature:
            part.proof, part.origin = piece.signature, piece.origin
        elif piece.origin and not part.origin:
            part.origin = piece.origin
        if not piece.text:
            return
        if self._queue and self._queue[0] is part:
            self._say(part, piece.text, out)
        elif part.opened.kind == "refusal":
            self._refusal.append(piece.text)
        else:
            part.waiting.append(piece.text)

    def _close(self, index: int, out: list[bytes]) -> None:
        part = self._parts.get(index)
        if part is None:
            return
        part.closed = True
        queue = self._queue
        while queue and queue[0].closed:
            self._stop(queue.pop(0), out)
            if queue and queue[0].waiting:
                self._say(queue[0], "".join(queue[0].waiting), out)
                queue[0].waiting.clear()

    def _finish(self, out: list[bytes]) -> None:
        """All that is still open or waiting goes out, in the order it was opened."""
        for part in list(self._parts.values()):
            if not part.closed:
                self._close(part.opened.index, out)
        self._parts.clear()

    def _say(self, part: _Part, text: str, out: list[bytes]) -> None:
        if part.at < 0:
            self._start(part, out)
        part.said = True
        if part.opened.kind == "tool":
            part.input.append(text)
        kind, member = _DELTAS[part.opened.kind]
        out.append(
            b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,'
            b'"delta":{"type":"%b","%b":%b}}\n\n' % (part.at, kind, member, _encode(text))
        )

    def _start(self, part: _Part, out: list[bytes]) -> None:
        opened = part.opened
        if opened.kind != "thinking":
            self._sign(part, out)
        if opened.kind == "text":
            block: dict[str, object] = {"type": "text", "text": ""}
        elif opened.kind == "thinking":
            block = {"type": "thinking", "thinking": "", "signature": ""}
        else:
            given = opened.id or made_id(self._asked, "toolu_", self._tools)
            block = {"type": "tool_use", "id": given, "name": opened.name, "input": {}}
            self._tools += 1
        part.at = self._block(block, out)

    def _block(self, block: object, out: list[bytes]) -> int:
        at = self._blocks
        self._blocks += 1
        out.append(
            b'event: content_block_start\ndata: {"type":"content_block_start","index":%d,"content_block":%b}\n\n'
            % (at, _encode(block))
        )
        return at

    def _ends(self, at: int, out: list[bytes]) -> None:
        out.append(b'event: content_block_stop\ndata: {"type":"content_block_stop","index":%d}\n\n' % at)

    def _proof(self, at: int, proof: str, out: list[bytes]) -> None:
        out.append(
            b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,'
            b'"delta":{"type":"signature_delta","signature":%b}}\n\n' % (at, _encode(proof))
        )

    def _sign(self, part: _Part, out: list[bytes]) -> None:
        """Another part's signature, in a block of empty thinking before it: see ``reply.sign``."""
        if part.proof:
            at = self._block({"type": "thinking", "thinking": "", "signature": ""}, out)
            self._proof(at, pack(part.origin, part.proof), out)
            self._ends(at, out)

    def _stop(self, part: _Part, out: list[bytes]) -> None:
        """The end of a block, or the whole of one that said nothing before its end."""
        kind = part.opened.kind
        if kind == "whole":
            self._whole(part, out)
            return
        if kind == "tool":
            if not part.said:
                self._say(part, "{}", out)
            elif rest := closing("".join(part.input)):
                self._say(part, rest, out)
        elif kind == "thinking":
            self._stop_thinking(part, out)
        elif part.at < 0:
            self._sign(part, out)
        if part.at >= 0:
            self._ends(part.at, out)

    def _stop_thinking(self, part: _Part, out: list[bytes]) -> None:
        proof = write_signature(part.origin, part.proof, "anthropic")
        if part.at < 0 and part.proof:
            if part.opened.redacted or part.origin != "anthropic":
                part.at = self._block({"type": "redacted_thinking", "data": proof}, out)
                return
            self._start(part, out)
        if part.at >= 0 and proof:
            self._proof(part.at, proof, out)

    def _whole(self, part: _Part, out: list[bytes]) -> None:
        whole = part.opened.whole
        if isinstance(whole, Media):
            part.at = self._block({"type": "text", "text": media_text(whole)}, out)
        elif isinstance(whole, Carried) and whole.dialect == DIALECT:
            part.at = self._block(msgspec.Raw(whole.raw), out)
        if part.at >= 0:
            self._ends(part.at, out)

    def _over(self, out: list[bytes]) -> None:
        self._begin("", (), out)
        self._finish(out)
        end = self._end or Stop("other", "", "", "".join(self._refusal))
        event = {
            "type": "message_delta",
            "delta": write_stop(end, self._tools > 0),
            "usage": write_usage(self._usage),
        }
        out.append(b"event: message_delta\ndata: " + _encode(event) + b"\n\n" + _STOP)

    def fail(self, error: RuxaError, request_id: str) -> bytes:
        """See ``translator.DeltaWriter`` (W57)."""
        return b"event: error\ndata: " + error_body(error, request_id) + b"\n\n"

    def heartbeat(self) -> bytes:
        """See ``translator.DeltaWriter``."""
        return _PING
