"""What a dialect of the sandbox gives back to the server: a refusal, a whole answer, or a flow of events."""

from __future__ import annotations

from typing import Any

import msgspec

from ruxa.egress.sandbox.faults import Fault


class Asked(msgspec.Struct, kw_only=True):
    """A request as it came: header names lower-case, the query's values by name; at_s: unix seconds."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    number: int
    at_s: int


class Refusal(Exception):
    """A request that the vendor would refuse: status and the vendor's own error body."""

    def __init__(self, status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        super().__init__(status)
        self.status = status
        self.body = body
        self.headers = headers or {}


class Step(msgspec.Struct, frozen=True):
    """One piece of a flow. after_ms: pause before it; token: it carries output (paced and countable); drop: the
    connection ends here."""

    data: bytes
    after_ms: int = 0
    token: bool = False
    drop: bool = False


class Said(msgspec.Struct, kw_only=True):
    """A good answer: ``body`` for a whole one, ``steps`` for a stream; ``fault`` and pauses for the server to act out.

    error_frame: the dialect's own error event; status: of a whole answer that is an error after all.
    """

    status: int = 200
    content_type: str = "application/json"
    headers: dict[str, str] = {}
    body: bytes = b""
    steps: list[Step] | None = None
    error_frame: bytes = b""
    fault: Fault | None = None
    pace_ms: int | None = None
    delay_ms: int = 0
