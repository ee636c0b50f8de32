"""What a call and a relayed event cost in steps of the interpreter: exact on any machine, however busy it is.

The bench (bench/README.md) tells CPU time; this keeps its largest part from growing unseen.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from types import CodeType, FrameType
from typing import Any

from fixtures_gateway import House
from ruxa.kernel.settings import ModelSettings, ProviderSettings

CALLS = 40
EVENTS = 60
# A reading, and a tenth more for what happens in between (a sweep, a flush).
CALL_STEPS_MAX = 3_950
EVENT_STEPS_MAX = 290

_BODY: dict[str, object] = {
    "model": "gpt-4o-mini",
    "messages": [{"role": "user", "content": "Write one sentence about a fox and a dog."}],
    "temperature": 0.7,
    "max_tokens": 100,
}
_USAGE = {"prompt_tokens": 10, "completion_tokens": 60, "total_tokens": 70}


def _event(**choice: object) -> bytes:
    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return b"data: " + json.dumps(chunk, separators=(",", ":")).encode() + b"\n\n"


_WORD = _event(index=0, delta={"content": " word"}, finish_reason=None)
_LAST = _event(index=0, delta={}, finish_reason="stop") + b'data: {"choices":[],"usage":%b}\n\ndata: [DONE]\n\n' % (
    json.dumps(_USAGE).encode()
)
_WHOLE = json.dumps(
    {"choices": [{"message": {"role": "assistant", "content": "Hi."}, "finish_reason": "stop"}], "usage": _USAGE}
).encode()


class Provider:
    """Answers whole, or event by event: the next one once the one before has reached the caller."""

    def __init__(self) -> None:
        self.next = asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            body = await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
            if b'"stream":true' not in body:
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(_WHOLE), _WHOLE))
                continue
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
            for data in [_WORD] * EVENTS + [_LAST]:
                self.next.clear()
                writer.write(b"%x\r\n%b\r\n" % (len(data), data))
                await self.next.wait()
            writer.write(b"0\r\n\r\n")


class Steps:
    """Counts the interpreter's steps in the product's code, without the provider's and the test's own."""

    def __init__(self) -> None:
        self.of: Counter[CodeType] = Counter()

    def _step(self, frame: FrameType, event: str, _: Any) -> Any:
        if event == "opcode":
            self.of[frame.f_code] += 1
        return self._step

    def _enter(self, frame: FrameType, event: str, _: Any) -> Any:
        if "/ruxa/" not in frame.f_code.co_filename:
            return None
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        return self._step

    def __enter__(self) -> Steps:
        self._before = sys.gettrace()
        sys.settrace(self._enter)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(self._before)

    def told(self, count: int) -> str:
        """Where the steps were made, the most first."""
        return "\n".join(
            f"{steps / count:8.1f} {code.co_filename.rpartition('/ruxa/')[2]}:{code.co_name}"
            for code, steps in self.of.most_common(25)
        )


class Caller:
    """One connection that calls again and again."""

    def __init__(self, house: House, provider: Provider) -> None:
        self.house, self.provider = house, provider
        self.reader: Any = None
        self.writer: Any = None

    async def call(self, *, stream: bool) -> None:
        if self.writer is None:
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.house.port)
        body = json.dumps(_BODY | ({"stream": True} if stream else {}), separators=(",", ":")).encode()
        self.writer.write(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: ruxa\r\nAuthorization: Bearer %b\r\n"
            b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
            % (self.house.secret.encode(), len(body), body)
        )
        head = await self.reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 "), head
        if not stream:
            await self.reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
            return
        while size := int(await self.reader.readline(), 16):
            await self.reader.readexactly(size + 2)
            self.provider.next.set()
        await self.reader.readline()


async def test_a_call_and_a_relayed_event_take_so_many_steps(house: House) -> None:
    provider = Provider()
    server = await asyncio.start_server(provider, "127.0.0.1", 0)
    at = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    await house.begin(
        credit_micros=1_000_000_000,
        scope="live",
        requests_per_minute=1_000_000,
        tokens_per_minute=1_000_000_000,
        concurrency=100,
    )
    await house.serve(
        providers={"openai": ProviderSettings(base_url=at, key="env:X")},
        models={"openai/gpt-4o-mini": ModelSettings(input_micros_per_mtok=150_000, output_micros_per_mtok=600)},
    )
    caller = Caller(house, provider)
    try:
        for stream, count, most in (False, CALLS, CALL_STEPS_MAX), (True, EVENTS, EVENT_STEPS_MAX):
            for _ in range(3):
                await caller.call(stream=stream)
            await asyncio.sleep(0.05)
            with Steps() as whole:
                for _ in range(1 if stream else count):
                    await caller.call(stream=stream)
            # Of a stream, what its events cost beyond the call itself.
            steps = sum(whole.of.values()) - (CALL_STEPS_MAX if stream else 0)
            assert steps / count < most, f"{steps / count:.0f} steps, stream: {stream}\n{whole.told(count)}"
    finally:
        caller.writer.close()
        server.close()
