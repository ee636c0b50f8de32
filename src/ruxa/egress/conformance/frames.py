"""Frames: a provider's stream made from its whole answer, as that vendor cuts it, text in small pieces."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from ruxa.egress.conformance.case import Code

Json = dict[str, Any]
PIECE = 7


def stream(code: Code, answer: str, asked_usage: bool) -> list[bytes]:
    """The frames of a whole answer. asked_usage: of OC, whether the request asked for the usage chunk."""
    told: Json = json.loads(answer)
    if code == "OC":
        return [*(written("", chunk) for chunk in _chat(told, asked_usage)), b"data: [DONE]\n\n"]
    if code == "GG":
        return [_google(written("", event)) for event in _gemini(told)]
    events = _messages(told) if code == "AM" else _responses(told)
    return [written(event["type"], event) for event in events]


def spelled(code: Code, frames: str, asked_usage: bool) -> list[bytes]:
    """Frames that a case writes out, one a line: JSON, or ``[DONE]``. The usage chunk of OC goes only where asked."""
    lines = [line.strip() for line in frames.strip().splitlines() if line.strip()]
    if code == "OC" and not asked_usage:
        lines = [line for line in lines if '"choices":[]' not in line]
    made: list[bytes] = []
    for line in lines:
        name = json.loads(line).get("type", "") if code in ("AM", "OR") and line.startswith("{") else ""
        made.append(_google(_frame(name, line)) if code == "GG" else _frame(name, line))
    return made


def written(name: str, event: Json) -> bytes:
    """One frame."""
    return _frame(name, _compact(event))


def _frame(name: str, data: str) -> bytes:
    return (f"event: {name}\n" if name else "").encode() + f"data: {data}\n\n".encode()


def _google(frame: bytes) -> bytes:
    """Google ends its lines as HTTP does."""
    return frame.replace(b"\n", b"\r\n")


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _pieces(text: str) -> Iterator[str]:
    return (text[at : at + PIECE] for at in range(0, len(text), PIECE))


def _chat(told: Json, asked_usage: bool) -> Iterator[Json]:
    outside = {"id": told["id"], "object": "chat.completion.chunk", "created": told["created"], "model": told["model"]}

    def chunk(index: int, delta: Json, finish: str | None = None) -> Json:
        made = {**outside, "choices": [{"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}]}
        return {**made, "usage": None} if asked_usage else made

    for choice in told["choices"]:
        at, message = choice["index"], choice["message"]
        yield chunk(at, {"role": "assistant", "content": ""})
        for name in ("reasoning_content", "content", "refusal"):
            for piece in _pieces(message.get(name) or ""):
                yield chunk(at, {name: piece})
        if message.get("reasoning_details"):
            yield chunk(at, {"reasoning_details": message["reasoning_details"]})
        for index, call in enumerate(message.get("tool_calls") or ()):
            first: Json = {**call, "index": index, "function": {"name": call["function"]["name"], "arguments": ""}}
            yield chunk(at, {"tool_calls": [first]})
            for piece in _pieces(call["function"]["arguments"]):
                yield chunk(at, {"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
        yield chunk(at, {}, choice["finish_reason"])
    if asked_usage and told.get("usage") is not None:
        yield {**outside, "choices": [], "usage": told["usage"]}


def _messages(told: Json) -> Iterator[Json]:
    usage = told["usage"]
    early: Json = {**usage, "output_tokens": 1}
    early.pop("output_tokens_details", None)
    begun: Json = {**told, "content": [], "stop_reason": None, "stop_sequence": None, "usage": early}
    begun.pop("stop_details", None)
    yield {"type": "message_start", "message": begun}
    yield {"type": "ping"}
    for index, block in enumerate(told["content"]):
        empty, deltas = _block(block)
        yield {"type": "content_block_start", "index": index, "content_block": empty}
        for delta in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    delta = {"stop_reason": told["stop_reason"], "stop_sequence": told["stop_sequence"]}
    if "stop_details" in told:
        delta["stop_details"] = told["stop_details"]
    late = {name: value for name, value in usage.items() if name not in ("cache_creation", "service_tier")}
    yield {"type": "message_delta", "delta": delta, "usage": late}
    yield {"type": "message_stop"}


def _block(block: Json) -> tuple[Json, list[Json]]:
    kind = block["type"]
    if kind == "text":
        return {**block, "text": ""}, [{"type": "text_delta", "text": piece} for piece in _pieces(block["text"])]
    if kind == "thinking":
        deltas = [{"type": "thinking_delta", "thinking": piece} for piece in _pieces(block["thinking"])]
        return {**block, "thinking": "", "signature": ""}, [
            *deltas,
            {"type": "signature_delta", "signature": block["signature"]},
        ]
    if kind == "tool_use":
        pieces = ["", *_pieces(_compact(block["input"]))] if block["input"] else [""]
        return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
    return block, []


def _gemini(told: Json) -> Iterator[Json]:
    tail = {name: told[name] for name in ("modelVersion", "responseId") if name in told}
    usage = told.get("usageMetadata", {})
    running = {"promptTokenCount": usage.get("promptTokenCount", 0), "totalTokenCount": usage.get("totalTokenCount", 0)}
    if not told.get("candidates"):
        yield told
        return
    for candidate in told["candidates"]:
        index = candidate.get("index", 0)
        for part in candidate.get("content", {}).get("parts", ()):
            texts = list(_pieces(part["text"])) if part.get("text") else [None]
            for at, text in enumerate(texts):
                made = part if text is None else {**part, "text": text}
                if at < len(texts) - 1:
                    made = {name: value for name, value in made.items() if name != "thoughtSignature"}
                content = {"parts": [made], "role": "model"}
                yield {"candidates": [{"content": content, "index": index}], "usageMetadata": running, **tail}
        last = {name: value for name, value in candidate.items() if name != "content"}
        if last["finishReason"] == "STOP":
            last["content"] = {"parts": [{"text": ""}], "role": "model"}
        yield {"candidates": [last], "usageMetadata": usage, **tail}


def _responses(told: Json) -> Iterator[Json]:
    number = 0

    def event(kind: str, **more: Any) -> Json:
        nonlocal number
        made = {"type": f"response.{kind}", "sequence_number": number, **more}
        number += 1
        return made

    begun: Json = {**told, "status": "in_progress", "output": [], "usage": None, "incomplete_details": None}
    yield event("created", response=begun)
    yield event("in_progress", response=begun)
    for index, item in enumerate(told["output"]):
        yield event("output_item.added", output_index=index, item=_opened(item))
        yield from _item(item, {"output_index": index, "item_id": item.get("id", "")}, event)
        yield event("output_item.done", output_index=index, item=item)
    yield event(told["status"], response=told)


def _opened(item: Json) -> Json:
    opened = {**item, "status": "in_progress"} if "status" in item else dict(item)
    for name in ("content", "summary", "arguments", "input", "encrypted_content"):
        if name in opened:
            opened[name] = [] if name in ("content", "summary") else ""
    return opened


def _item(item: Json, place: Json, event: Callable[..., Json]) -> Iterator[Json]:
    if item["type"] == "function_call":
        for piece in _pieces(item["arguments"]):
            yield event("function_call_arguments.delta", **place, delta=piece)
        yield event("function_call_arguments.done", **place, name=item["name"], arguments=item["arguments"])
    for at, part in enumerate(item.get("summary") or ()):
        inside = {**place, "summary_index": at}
        yield event("reasoning_summary_part.added", **inside, part={**part, "text": ""})
        for piece in _pieces(part["text"]):
            yield event("reasoning_summary_text.delta", **inside, delta=piece)
        yield event("reasoning_summary_text.done", **inside, text=part["text"])
        yield event("reasoning_summary_part.done", **inside, part=part)
    for at, part in enumerate(item.get("content") or ()):
        inside = {**place, "content_index": at}
        name, kind = ("refusal", "refusal") if part["type"] == "refusal" else ("text", "output_text")
        more: Json = {"logprobs": []} if kind == "output_text" else {}
        yield event("content_part.added", **inside, part={**part, name: ""})
        for piece in _pieces(part[name]):
            yield event(f"{kind}.delta", **inside, delta=piece, **more)
        yield event(f"{kind}.done", **inside, **{name: part[name]}, **more)
        yield event("content_part.done", **inside, part=part)
