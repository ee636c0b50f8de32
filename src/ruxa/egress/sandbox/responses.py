"""The sandbox in OpenAI's newer dialect: ``POST /v1/responses``, whole and as the full run of events.

Nothing is kept: ``store`` must be false for a second turn to work, earlier ids are unknown, and thinking travels
encrypted with the caller, as with the vendor. Its ``encrypted_content`` opens only here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from ruxa.egress.sandbox import mind
from ruxa.egress.sandbox.faults import LATE_USAGE_MS, Fault, fault_of
from ruxa.egress.sandbox.fields import (
    Json,
    encode,
    items,
    mapping,
)
from ruxa.egress.sandbox.mind import Plan, Prompt
from ruxa.egress.sandbox.openai import ERRORS, error, fault_error, object_of
from ruxa.egress.sandbox.reply import Asked, Said, Step
from ruxa.egress.sandbox.responses_prompt import Named, check, prompt_of, sealed

ECHOED = (
    "instructions", "max_output_tokens", "max_tool_calls", "metadata", "parallel_tool_calls", "prompt_cache_key",
    "reasoning", "safety_identifier", "temperature", "text", "tool_choice", "tools", "top_logprobs", "top_p",
    "truncation", "user",
)  # fmt: skip
DEFAULTS: Json = {
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "reasoning": {"effort": None, "summary": None},
    "temperature": 1.0,
    "text": {"format": {"type": "text"}, "verbosity": "medium"},
    "tool_choice": "auto",
    "tools": [],
    "top_p": 1.0,
    "truncation": "disabled",
}
ENCRYPTED = "reasoning.encrypted_content"


def create(asked: Asked) -> Said:
    """``POST /v1/responses``. Raises Refusal."""
    body = object_of(asked)
    check(body)
    tools: dict[str, Named] = {}
    prompt = prompt_of(body, tools)
    marks = prompt.marks
    fault = fault_of(prompt.model, marks)
    if fault in ERRORS:
        raise fault_error(fault)
    plan = mind.make(prompt)
    said = Said(
        fault=fault,
        pace_ms=mind.number(marks, "pace-ms", 0, 10_000) if "pace-ms" in marks else None,
        delay_ms=mind.number(marks, "delay-ms", 0, 600_000),
        error_frame=_event(
            {"type": "error", "sequence_number": 2, **error("The engine is currently overloaded.", "server_error")}
        ),
    )
    seed = f"{hashlib.sha256(asked.body).hexdigest()[:40]}{asked.number:08x}"
    head: Json = {
        "id": f"resp_{seed}",
        "object": "response",
        "created_at": asked.at_s,
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "model": prompt.model,
        "output": [],
        "service_tier": "default",
        **DEFAULTS,
        **{name: body[name] for name in ECHOED if body.get(name) is not None},
        "usage": None,
    }
    output = _output(body, plan, tools, seed)
    status = "incomplete" if plan.ending == "length" else "completed"
    done: Json = {
        **head,
        "status": status,
        "completed_at": asked.at_s,
        "output": output,
        "usage": None if fault == "no-usage" else _usage(prompt, plan),
    }
    if status == "incomplete":
        done["incomplete_details"] = {"reason": "max_output_tokens"}
    if body.get("stream"):
        said.content_type = "text/event-stream; charset=utf-8"
        said.steps = _steps(head, done, plan, fault, interleave="interleave" in marks)
    else:
        said.body = encode(done)
    return said


def _usage(prompt: Prompt, plan: Plan) -> Json:
    inside, out = prompt.input_tokens, plan.output_tokens + plan.thinking_tokens
    return {
        "input_tokens": inside,
        "input_tokens_details": {"cached_tokens": prompt.cached_tokens, "cache_write_tokens": prompt.written_tokens},
        "output_tokens": out,
        "output_tokens_details": {"reasoning_tokens": plan.thinking_tokens},
        "total_tokens": inside + out,
    }


def _output(body: Json, plan: Plan, tools: dict[str, Named], seed: str) -> list[Json]:
    output: list[Json] = []

    def item_id(prefix: str) -> str:
        return f"{prefix}_{seed}{len(output):02x}"

    status = "incomplete" if plan.ending == "length" else "completed"
    if plan.thinking:
        thinking = "".join(plan.thinking)
        shown = mapping(body.get("reasoning")).get("summary") is not None
        item: Json = {
            "id": item_id("rs"),
            "type": "reasoning",
            "summary": [{"type": "summary_text", "text": thinking}] if shown else [],
        }
        if ENCRYPTED in items(body.get("include")):
            item["encrypted_content"] = sealed(thinking)
        output.append(item)
    if plan.pieces or plan.ending == "refusal":
        part: Json = {"type": "output_text", "annotations": [], "logprobs": [], "text": plan.text}
        if plan.ending == "refusal":
            part = {"type": "refusal", "refusal": "The sandbox was asked to refuse."}
        message: Json = {"id": item_id("msg"), "type": "message", "status": status, "role": "assistant"}
        output.append({**message, "content": [part]})
    for call in plan.calls:
        tool = tools[call.name]
        name: Json = {"call_id": f"call_{call.id}", "name": tool.name}
        if tool.space:
            name["namespace"] = tool.space
        if tool.kind == "custom":
            written = " ".join(str(value) for value in call.arguments.values()) or "free text"
            output.append(
                {"id": item_id("ctc"), "type": "custom_tool_call", "status": "completed", **name, "input": written}
            )
        else:
            arguments = encode(call.arguments).decode()
            output.append(
                {"id": item_id("fc"), "type": "function_call", "status": "completed", **name, "arguments": arguments}
            )
    return output


def _event(event: Json) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (event["type"].encode(), encode(event))


_EMPTIED: dict[str, Json] = {
    "reasoning": {"summary": []},
    "message": {"content": [], "status": "in_progress"},
    "function_call": {"arguments": "", "status": "in_progress"},
    "custom_tool_call": {"input": "", "status": "in_progress"},
}
Lane = list[tuple[Json, bool]]
"""Events of one item, in order, and whether each carries output."""


def _steps(head: Json, done: Json, plan: Plan, fault: Fault | None, *, interleave: bool) -> list[Step]:
    first: Lane = [
        ({"type": "response.created", "response": head}, False),
        ({"type": "response.in_progress", "response": head}, False),
    ]
    lanes = [_lane(item, number, plan) for number, item in enumerate(done["output"])]
    calls = [lane for lane in lanes if lane[0][0]["item"]["type"].endswith("_call")]
    told = [event for lane in lanes if lane not in calls for event in lane]
    if interleave:
        longest = max((len(lane) for lane in calls), default=0)
        told += [lane[at] for at in range(longest) for lane in calls if at < len(lane)]
    else:
        told += [event for lane in calls for event in lane]
    last: Lane = [({"type": f"response.{done['status']}", "response": done}, False)]
    steps: list[Step] = []
    for number, (event, token) in enumerate([*first, *told, *last]):
        late = LATE_USAGE_MS if fault == "late-usage" and event is last[0][0] else 0
        steps.append(Step(_event({**event, "sequence_number": number}), after_ms=late, token=token))
    return steps


def _lane(item: Json, number: int, plan: Plan) -> Lane:
    at: Json = {"item_id": item["id"], "output_index": number}
    form = item["type"]
    tellers: dict[str, Callable[[Json, Json, Plan], Lane]] = {
        "reasoning": _think,
        "message": _speak,
        "function_call": _call,
        "custom_tool_call": _write,
    }
    emptied = _EMPTIED[form]
    return [
        ({"type": "response.output_item.added", "output_index": number, "item": {**item, **emptied}}, False),
        *tellers[form](item, at, plan),
        ({"type": "response.output_item.done", "output_index": number, "item": item}, False),
    ]


def _think(item: Json, at: Json, plan: Plan) -> Lane:
    if not item["summary"]:
        return []
    part: Json = item["summary"][0]
    at = {**at, "summary_index": 0}
    return [
        ({"type": "response.reasoning_summary_part.added", **at, "part": {**part, "text": ""}}, False),
        *(({"type": "response.reasoning_summary_text.delta", **at, "delta": piece}, True) for piece in plan.thinking),
        ({"type": "response.reasoning_summary_text.done", **at, "text": part["text"]}, False),
        ({"type": "response.reasoning_summary_part.done", **at, "part": part}, False),
    ]


def _speak(item: Json, at: Json, plan: Plan) -> Lane:
    part: Json = item["content"][0]
    at = {**at, "content_index": 0}
    if part["type"] == "refusal":
        said: str = part["refusal"]
        told: Lane = [
            ({"type": "response.refusal.delta", **at, "delta": said}, True),
            ({"type": "response.refusal.done", **at, "refusal": said}, False),
        ]
        empty: Json = {**part, "refusal": ""}
    else:
        told = [
            ({"type": "response.output_text.delta", **at, "delta": piece, "logprobs": []}, True)
            for piece in plan.pieces
        ]
        told.append(({"type": "response.output_text.done", **at, "text": part["text"], "logprobs": []}, False))
        empty = {**part, "text": ""}
    return [
        ({"type": "response.content_part.added", **at, "part": empty}, False),
        *told,
        ({"type": "response.content_part.done", **at, "part": part}, False),
    ]


def _call(item: Json, at: Json, plan: Plan) -> Lane:
    return _fragments("response.function_call_arguments", "arguments", item, at)


def _write(item: Json, at: Json, plan: Plan) -> Lane:
    return _fragments("response.custom_tool_call_input", "input", item, at)


def _fragments(kind: str, field: str, item: Json, at: Json) -> Lane:
    said: str = item[field]
    pieces = [said[start : start + 12] for start in range(0, len(said), 12)]
    told: Lane = [({"type": f"{kind}.delta", **at, "delta": piece}, True) for piece in pieces]
    return [*told, ({"type": f"{kind}.done", **at, field: said}, False)]
