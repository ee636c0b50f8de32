"""The scripted upstream: answers what it is told to, in each vendor's dialect, and keeps what it was asked.

It is the other side of the conformance kit: one exchange is put up (``play``), a gateway asks, and ``heard`` holds the
requests as they came. It answers whole or streamed as the request wants, and refuses another dialect than the script's.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from ruxa.egress.sandbox.reply import Asked, Refusal, Said, Step
from ruxa.egress.sandbox.server import Server

ENDINGS = {
    "/chat/completions": "openai_chat",
    "/responses": "openai_responses",
    "/messages": "anthropic_messages",
    ":generateContent": "gemini_generate",
    ":streamGenerateContent": "gemini_generate",
}


class Script(msgspec.Struct, frozen=True, kw_only=True):
    """One exchange. answer, frames: the whole answer and the stream, given the request's body; status: other than 200
    is an error with that body; cut: in pieces of one byte; dies_after: the connection ends after so many frames; files:
    what a GET of a path gets, with its media type."""

    dialect: str
    answer: Callable[[bytes], bytes]
    frames: Callable[[bytes], list[bytes]]
    status: int = 200
    headers: dict[str, str] = {}
    cut: bool = False
    dies_after: int | None = None
    files: dict[str, tuple[str, bytes]] = {}


def dialect_of(path: str) -> str:
    """The dialect that a request path of a provider speaks, '' for none."""
    return next((dialect for ending, dialect in ENDINGS.items() if path.endswith(ending)), "")


def wants_stream(asked: Asked) -> bool:
    """Whether the request asks for a stream, as its dialect says it."""
    if ":generateContent" in asked.path or ":streamGenerateContent" in asked.path:
        return ":streamGenerateContent" in asked.path
    try:
        return msgspec.json.decode(asked.body, type=_Stream).stream is True
    except msgspec.DecodeError:
        return False


class _Stream(msgspec.Struct):
    stream: bool | None = None


class Upstream(Server):
    """A listening sandbox that plays a script instead of thinking."""

    def __init__(self) -> None:
        super().__init__(pace_ms=0)
        self.heard: list[Asked] = []
        self._script: Script | None = None

    def play(self, script: Script | None) -> None:
        """Put up one exchange; what was heard is forgotten."""
        self._script = script
        self.heard = []

    def answer(self, asked: Asked) -> Said:
        """The script's answer. Raises Refusal for what it does not expect."""
        script = self._script
        if asked.method == "GET":
            kind, data = (script.files if script else {}).get(asked.path, ("", b""))
            if data:
                return Said(content_type=kind, body=data)
            raise Refusal(404, {"error": {"message": "The conformance upstream has nothing here."}})
        self.heard.append(asked)
        dialect = dialect_of(asked.path)
        if script is None or dialect != script.dialect:
            expected = script.dialect if script else "nothing"
            told = f"The conformance upstream expects {expected}, not {asked.path}."
            raise Refusal(400, {"error": {"message": told, "type": "invalid_request_error", "code": None}})
        fault = "one-byte-chunks" if script.cut else None
        if script.status != 200 or not wants_stream(asked):
            return Said(status=script.status, headers=script.headers, body=script.answer(asked.body), fault=fault)
        frames = script.frames(asked.body)
        steps = [Step(frame) for frame in frames[: script.dies_after]]
        if script.dies_after is not None:
            steps.append(Step(b"", after_ms=20, drop=True))
        return Said(content_type="text/event-stream", headers=script.headers, steps=steps, fault=fault)
