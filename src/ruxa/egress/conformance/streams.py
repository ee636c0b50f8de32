"""Streams as a caller gets them: put together to the whole answer, and held against the rules of their dialect."""

from __future__ import annotations

import json
from typing import Any, cast

from ruxa.dialects import sse
from ruxa.egress.conformance.case import Code
from ruxa.egress.conformance.look import MISSING, Seen, parse

Json = dict[str, Any]
Named = tuple[str, str]  # the event's name and its data


def seen(code: Code, body: bytes, headers: dict[str, str], asked_usage: bool, complete: bool) -> Seen:
    """What a streamed answer says. asked_usage: of OC; complete: the connection ended as HTTP wants it."""
    text = body.decode(errors="replace")
    if not headers.get("content-type", "").startswith("text/event-stream"):
        whole = parse(text)
        if code == "GG" and isinstance(whole, list):
            return _seen(_gemini([("", json.dumps(event)) for event in cast(list[Any], whole)]), text, headers, [])
        return Seen(text=text, body=whole, headers=headers, faults=["the answer is no event stream"])
    frames = [(sse.name_of(event).decode(), sse.data_of(event).decode(errors="replace")) for event in sse.events(body)]
    named = [(name, data) for name, data in frames if name or data]
    faults = [] if complete or code == "OC" else ["the connection broke"]
    if "�" in text:
        faults.append("a character was cut (U+FFFD)")
    match code:
        case "OC":
            put = _chat(named, asked_usage)
        case "AM":
            put = _messages(named)
        case "GG":
            put = _gemini(named)
        case "OR":
            put = _responses(named)
    return _seen(put, text, headers, faults)


class Put:
    """A stream put together: the whole answer, the events, what is wrong. named: its clients need events with names."""

    def __init__(self, *, named: bool = False) -> None:
        self.named = named
        self.whole: Json = {}
        self.events: list[Json] = []
        self.kinds: list[str] = []
        self.faults: list[str] = []

    def read(self, name: str, data: str, kind: str | None = None) -> Json | None:
        """The next event; None when it is no JSON object."""
        event = parse(data)
        if not isinstance(event, dict):
            self.faults.append(f"an event is no JSON object: {data[:80]}")
            return None
        told = cast(Json, event)
        self.events.append(told)
        self._note(kind or str(told.get("type", name)))
        if kind is None and told.get("type") != name and (name or self.named):
            self.faults.append(f"the event {told.get('type')} has the name {name!r}")
        return told

    def need(self, holds: bool, fault: str) -> None:
        """A rule."""
        if not holds:
            self.faults.append(fault)

    def _note(self, kind: str) -> None:
        if not self.kinds or self.kinds[-1] != kind:
            self.kinds.append(kind)


def _seen(put: Put, text: str, headers: dict[str, str], faults: list[str]) -> Seen:
    body = put.whole or (put.events[0] if len(put.events) == 1 else MISSING)
    return Seen(
        text=text, body=body, headers=headers, events=put.events, kinds=put.kinds, faults=[*faults, *put.faults]
    )


def _object(value: Any) -> Json:
    return cast(Json, value) if isinstance(value, dict) else {}


def _objects(value: Any) -> list[Json]:
    return [_object(entry) for entry in cast(list[Any], value)] if isinstance(value, list) else []


def _add(into: Json, name: str, more: Any) -> None:
    if isinstance(more, str):
        into[name] = (into.get(name) or "") + more
    elif more is not None or name not in into:
        into[name] = more


def _chat(named: list[Named], asked_usage: bool) -> Put:
    put = Put()
    choices: dict[int, Json] = {}
    failed = over = False
    counted = 0
    ids: set[Any] = set()
    for name, data in named:
        put.need(not name, f"an event has the name {name}")
        put.need(not over, "something follows [DONE]")
        if data == "[DONE]":
            over = True
            continue
        told = put.read(name, data, "chunk")
        if told is None:
            continue
        put.need(not failed, "something follows the error")
        if "error" in told:
            put.whole["error"] = told["error"]
            failed = True
            continue
        ids.add(told.get("id"))
        put.need(told.get("object") == "chat.completion.chunk", "a chunk is no chat.completion.chunk")
        put.whole |= {name: told[name] for name in ("id", "model", "created", "object") if name in told}
        if told.get("usage") is not None:
            put.whole["usage"] = told["usage"]
            counted += 1
            put.need(told.get("choices") == [], "the usage chunk has choices")
        elif told.get("choices") == []:
            put.faults.append("a chunk has neither choices nor usage")
        put.need(not counted or told.get("usage") is not None, "a chunk follows the usage chunk")
        for part in _objects(told.get("choices")):
            _chat_part(put, choices, part)
    put.need(len(ids) == 1 or failed, "the chunks have different ids")
    if not failed:
        put.need(over, "there is no [DONE]")
        put.need(counted == int(asked_usage), f"there are {counted} usage chunks")
        put.need(all(choice.get("finish_reason") for choice in choices.values()), "a choice has no finish_reason")
    for choice in choices.values():
        for call in choice["message"].get("tool_calls") or ():
            call.pop("index", None)
    if choices:
        put.whole["choices"] = [choices[index] for index in sorted(choices)]
    return put


def _chat_part(put: Put, choices: dict[int, Json], part: Json) -> None:
    index, delta = part.get("index", 0), _object(part.get("delta"))
    put.need(index in choices or delta.get("role") == "assistant", "the first chunk has no role")
    choice = choices.setdefault(index, {"index": index, "message": {"role": "assistant", "content": None}})
    put.need(not (choice.get("finish_reason") and delta.get("content")), "content follows finish_reason")
    if part.get("finish_reason"):
        put.need(not choice.get("finish_reason"), "a choice has two finish_reasons")
        choice["finish_reason"] = part["finish_reason"]
    message = choice["message"]
    for name, more in delta.items():
        if name == "tool_calls":
            for call in _objects(more):
                _chat_call(put, message.setdefault("tool_calls", []), call)
        elif name == "reasoning_details":
            for detail in _objects(more):
                _chat_detail(message.setdefault("reasoning_details", []), detail)
        elif name != "role":
            _add(message, name, more)


def _chat_call(put: Put, calls: list[Json], call: Json) -> None:
    index, function = call.get("index"), _object(call.get("function"))
    put.need(isinstance(index, int) and index <= len(calls), f"a tool call has the index {index}")
    known = next((made for made in calls if made["index"] == index), None)
    if known is None:
        put.need(bool(call.get("id")) and bool(function.get("name")), "a tool call begins without id or name")
        known = dict[str, Any](call) | {"function": {**function, "arguments": ""}}
        calls.append(known)
    else:
        put.need(not call.get("id") and not function.get("name"), "id and name of a tool call are repeated")
        known |= {name: call[name] for name in call if name not in ("index", "id", "type", "function")}
    known["function"]["arguments"] += function.get("arguments") or ""


def _chat_detail(details: list[Json], detail: Json) -> None:
    index = detail.get("index")
    known = next((made for made in details if made.get("index") == index and index is not None), None)
    if known is None:
        details.append(dict(detail))
        return
    for name, more in detail.items():
        if name in ("text", "data", "summary", "signature"):
            _add(known, name, more)


def _messages(named: list[Named]) -> Put:
    put = Put(named=True)
    whole = put.whole
    blocks: list[Json] = whole.setdefault("content", [])
    open_at: int | None = None
    over = False
    for name, data in named:
        told = put.read(name, data)
        if told is None:
            continue
        kind = told.get("type")
        put.need(not over, f"{kind} follows the end")
        put.need(kind in ("error", "message_start", "ping") or "type" in whole, f"{kind} comes before message_start")
        match kind:
            case "message_start":
                put.need("type" not in whole, "there are two message_starts")
                message = _object(told.get("message"))
                put.need(message.get("content") == [], "message_start has content")
                whole |= {name: value for name, value in message.items() if name != "content"}
                whole["usage"] = dict(message.get("usage") or {})
            case "content_block_start":
                put.need(open_at is None, "a block begins inside another")
                put.need(told.get("index") == len(blocks), f"a block has the index {told.get('index')}")
                open_at = len(blocks)
                blocks.append(dict(told.get("content_block") or {}))
            case "content_block_delta":
                put.need(told.get("index") == open_at, "a delta belongs to no open block")
                if blocks:
                    _message_delta(put, blocks[-1], told.get("delta") or {})
            case "content_block_stop":
                put.need(told.get("index") == open_at, "a block that is not open ends")
                open_at = None
                if blocks:
                    _message_block_end(put, blocks[-1], whole.setdefault("@inputs", []))
            case "message_delta":
                put.need(open_at is None, "message_delta comes inside a block")
                whole |= told.get("delta") or {}
                whole["usage"] |= told.get("usage") or {}
                put.need("output_tokens" in (told.get("usage") or {}), "message_delta has no usage")
            case "message_stop":
                put.need(bool(whole.get("stop_reason")), "message_stop comes without a stop_reason")
                over = True
            case "error":
                whole["error"] = told.get("error")
                over = True
            case "ping":
                put.kinds.pop()
            case _:
                put.faults.append(f"there is no event {kind}")
    put.need(over, "there is neither message_stop nor error")
    return put


def _message_delta(put: Put, block: Json, delta: Json) -> None:
    fields = {
        "text_delta": ("text", "text"),
        "thinking_delta": ("thinking", "thinking"),
        "signature_delta": ("thinking", "signature"),
        "input_json_delta": ("tool_use", "partial_json"),
        "citations_delta": ("text", "citation"),
    }
    kind, name = fields.get(str(delta.get("type")), ("", ""))
    put.need(block.get("type") in (kind, "server_tool_use"), f"{delta.get('type')} in a {block.get('type')} block")
    if name == "citation":
        block["citations"] = [*(block.get("citations") or ()), delta.get("citation")]
    elif name:
        _add(block, name, delta.get(name))


def _message_block_end(put: Put, block: Json, inputs: list[str]) -> None:
    if block.get("type") == "tool_use":
        put.need(block.get("input") == {}, "a tool_use block begins with an input")
        told = block.pop("partial_json", "")
        block["input"] = parse(told) if told else {}
        inputs.append(told)
        if not isinstance(block["input"], dict):
            put.faults.append(f"the input of a tool_use is no JSON object: {told[:80]}")
            block["input"] = told


def _gemini(named: list[Named]) -> Put:
    put = Put()
    whole = put.whole
    candidates: dict[int, Json] = {}
    for name, data in named:
        put.need(not name, f"an event has the name {name}")
        put.need(data != "[DONE]", "there is a [DONE]")
        if data == "[DONE]":
            continue
        told = put.read(name, data, "chunk")
        if told is None:
            continue
        whole |= {name: value for name, value in told.items() if name != "candidates"}
        for candidate in _objects(told.get("candidates")):
            index = candidate.get("index", 0)
            made = candidates.setdefault(index, {"index": index, "content": {"parts": [], "role": "model"}})
            put.need(made.get("finishReason") is None, "a candidate goes on after its finishReason")
            for part in _objects(_object(candidate.get("content")).get("parts")):
                _gemini_part(made["content"]["parts"], part)
            made |= {name: value for name, value in candidate.items() if name != "content"}
    if "error" not in whole:
        ended = all(made.get("finishReason") is not None for made in candidates.values())
        put.need(ended and bool(candidates or "promptFeedback" in whole), "a candidate has no finishReason")
    if candidates:
        whole["candidates"] = [candidates[index] for index in sorted(candidates)]
    return put


def _gemini_part(parts: list[Json], part: Json) -> None:
    last = parts[-1] if parts else None
    if part.get("text") == "" and "thoughtSignature" not in part:
        return
    same = last is not None and "text" in last and "text" in part and last.get("thought") == part.get("thought")
    if same and last is not None and "thoughtSignature" not in last:
        last |= {**part, "text": last["text"] + part["text"]}
    else:
        parts.append(dict(part))


ITEM_ENDS = ("output_text", "refusal", "function_call_arguments", "reasoning_summary_text", "reasoning_text")


def _responses(named: list[Named]) -> Put:
    put = Put()
    ids: set[Any] = set()
    items: dict[int, Json] = {}
    texts: dict[tuple[Any, ...], str] = {}
    opened: set[int] = set()
    over = False
    for number, (name, data) in enumerate(named):
        told = put.read(name, data)
        if told is None:
            continue
        kind = str(told.get("type")).removeprefix("response.")
        put.need(not over, f"{kind} follows the end")
        put.need(told.get("sequence_number") == number, f"{kind} has the number {told.get('sequence_number')}")
        if isinstance(told.get("response"), dict):
            ids.add(told["response"].get("id"))
        at = told.get("output_index")
        what = kind.rpartition(".")[0]
        place = (what, at, told.get("content_index"), told.get("summary_index"))
        if kind in ("completed", "incomplete", "failed", "error"):
            over = True
            put.whole |= told.get("response") or {"error": told}
        elif kind == "output_item.added":
            put.need(at == len(opened), f"an item has the index {at}")
            opened.add(len(opened) if at is None else at)
        elif kind == "output_item.done":
            put.need(at in opened, "an item ends that did not begin")
            items[at if isinstance(at, int) else len(items)] = told.get("item") or {}
        elif what in ITEM_ENDS and kind.endswith(".delta"):
            put.need(at in opened and at not in items, f"{kind} comes outside its item")
            texts[place] = texts.get(place, "") + str(told.get("delta"))
        elif what in ITEM_ENDS and kind.endswith(".done"):
            told_whole = told.get("text", told.get("refusal", told.get("arguments")))
            put.need(texts.get(place, "") == told_whole, f"the deltas of {what} do not make up its whole")
    put.need(
        put.kinds[:2] == ["response.created", "response.in_progress"], "it does not begin with created, in_progress"
    )
    put.need(over, "there is no terminal event")
    put.need(len(ids) == 1, "the response has more than one id")
    if put.whole.get("status") in ("completed", "incomplete"):
        put.need(put.whole.get("output") == [items[at] for at in sorted(items)], "the output is not what was streamed")
    return put
