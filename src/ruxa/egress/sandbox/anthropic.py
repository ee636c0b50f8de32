"""The sandbox in Anthropic's dialect: messages (whole and streamed), token counts, models."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import Any, NoReturn

from ruxa.egress.sandbox import mind
from ruxa.egress.sandbox.faults import LATE_USAGE_MS, RETRY_AFTER_S, Fault, fault_of
from ruxa.egress.sandbox.fields import Json, encode, is_count, is_number, items, mapping, parse, text, unbase64
from ruxa.egress.sandbox.mind import Media, Offer, Plan, Prompt, Result
from ruxa.egress.sandbox.reply import Asked, Refusal, Said, Step

KNOWN = frozenset(
    {
        "max_tokens",
        "messages",
        "model",
        "cache_control",
        "container",
        "context_management",
        "diagnostics",
        "inference_geo",
        "metadata",
        "output_config",
        "output_format",
        "service_tier",
        "speed",
        "stop_sequences",
        "stream",
        "system",
        "temperature",
        "thinking",
        "tool_choice",
        "tools",
        "top_k",
        "top_p",
        "mcp_servers",
        "user_profile_id",
        "workspace_id",
    }
)
FINISHES = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool": "tool_use",
    "stop_sequence": "stop_sequence",
    "refusal": "refusal",
}
ERRORS: dict[str, tuple[str, str]] = {
    "400": ("invalid_request_error", "The sandbox was asked to refuse this request."),
    "401": ("authentication_error", "invalid x-api-key"),
    "403": ("permission_error", "Your API key does not have permission to use the specified resource."),
    "404": ("not_found_error", "model: sandbox"),
    "413": ("request_too_large", "Request exceeds the maximum size"),
    "429": ("rate_limit_error", "This request would exceed your organization's rate limit (org-sandbox123)."),
    "quota": ("billing_error", "Your credit balance is too low to access the API."),
    "500": ("api_error", "Internal server error"),
    "503": ("api_error", "Service unavailable"),
    "529": ("overloaded_error", "Overloaded"),
}
CACHES_MAX = 1000


class Cache:
    """Which prefixes have been seen: the first time they are written, later they are read."""

    def __init__(self) -> None:
        self._seen: OrderedDict[bytes, None] = OrderedDict()

    def seen(self, prefix: bytes) -> bool:
        """Whether the prefix was seen before; it has been from now on."""
        digest = hashlib.sha256(prefix).digest()
        known = digest in self._seen
        self._seen[digest] = None
        self._seen.move_to_end(digest)
        if len(self._seen) > CACHES_MAX:
            self._seen.popitem(last=False)
        return known


def error(kind: str, message: str, number: int = 0) -> Json:
    """Anthropic's error body."""
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": f"req_sandbox{number}"}


def refuse(message: str, status: int = 400, kind: str = "invalid_request_error") -> NoReturn:
    """Refuses the request in Anthropic's words."""
    raise Refusal(status, error(kind, message))


def fault_error(fault: Fault) -> Refusal:
    """The error of a status fault."""
    kind, message = ERRORS[fault]
    headers = {"retry-after": str(RETRY_AFTER_S)} if fault in ("429", "503", "529") else {}
    return Refusal(402 if fault == "quota" else int(fault), error(kind, message), headers)


def messages(asked: Asked, cache: Cache) -> Said:
    """``POST /v1/messages``. Raises Refusal."""
    if "anthropic-version" not in asked.headers:
        refuse("anthropic-version: header is required")
    body = _object(asked)
    _check(body, counting=False)
    prompt = _prompt(body)
    fault = fault_of(prompt.model, prompt.marks)
    if fault in ERRORS:
        raise fault_error(fault)
    plan = mind.make(prompt)
    marks = prompt.marks
    said = Said(
        fault=fault,
        headers={"request-id": f"req_sandbox{asked.number}"},
        pace_ms=mind.number(marks, "pace-ms", 0, 10_000) if "pace-ms" in marks else None,
        delay_ms=mind.number(marks, "delay-ms", 0, 600_000),
        error_frame=_event("error", error("overloaded_error", "Overloaded", asked.number)),
    )
    usage = _usage(body, prompt, plan, cache)
    head: Json = {
        "id": f"msg_{hashlib.sha256(asked.body).hexdigest()[:20]}{asked.number}",
        "type": "message",
        "role": "assistant",
        "model": prompt.model,
    }
    if body.get("stream"):
        said.content_type = "text/event-stream; charset=utf-8"
        said.steps = _events(head, plan, usage, fault)
    else:
        said.body = encode({**head, "content": _blocks(plan), **_ending(plan), "usage": usage})
    return said


def count_tokens(asked: Asked) -> Said:
    """``POST /v1/messages/count_tokens``. Raises Refusal."""
    body = _object(asked)
    _check(body, counting=True)
    prompt = _prompt(body)
    fault = fault_of(prompt.model, prompt.marks)
    if fault in ERRORS:
        raise fault_error(fault)
    return Said(body=encode({"input_tokens": prompt.input_tokens}), fault=fault)


def _object(asked: Asked) -> Json:
    body = parse(asked.body)
    if body is None:
        refuse("The request body is not valid JSON: expected an object")
    return body


def _check(body: Json, *, counting: bool) -> None:
    for name in body:
        if name not in KNOWN or (counting and name in ("max_tokens", "stream")):
            refuse(f"{name}: Extra inputs are not permitted")
    for name in ("model", "messages") if counting else ("model", "max_tokens", "messages"):
        if name not in body:
            refuse(f"{name}: Field required")
    if not isinstance(body["model"], str) or not body["model"]:
        refuse("model: Input should be a valid string")
    if not isinstance(body["messages"], list):
        refuse("messages: Input should be a valid list")
    if not body["messages"]:
        refuse("messages: at least one message is required")
    if not counting:
        if not is_count(body["max_tokens"]):
            refuse("max_tokens: Input should be a valid integer")
        if body["max_tokens"] < 1:
            refuse("max_tokens: must be greater than or equal to 1")
    for name in ("temperature", "top_p", "top_k"):
        if body.get(name) is not None and not is_number(body[name]):
            refuse(f"{name}: Input should be a valid number")
    if body.get("stream") is not None and not isinstance(body["stream"], bool):
        refuse("stream: Input should be a valid boolean")
    thinking = mapping(body.get("thinking"))
    if thinking.get("type") == "enabled":
        budget: Any = thinking.get("budget_tokens")
        if not is_count(budget):
            refuse("thinking.enabled.budget_tokens: Field required")
        if budget < 1024:
            refuse("thinking.enabled.budget_tokens: Input should be greater than or equal to 1024")
        if not counting and budget >= body["max_tokens"]:
            refuse("`max_tokens` must be greater than `thinking.budget_tokens`.")
    for index, tool in enumerate(items(body.get("tools"))):
        inner = mapping(tool)
        if inner.get("type", "custom") == "custom" and not text(inner.get("name")):
            refuse(f"tools.{index}.custom.name: Field required")
        if inner.get("type", "custom") == "custom" and not isinstance(inner.get("input_schema"), dict):
            refuse(f"tools.{index}.custom.input_schema: Field required")


def _prompt(body: Json) -> Prompt:
    prompt = Prompt(model=body["model"], cap=body.get("max_tokens"))
    system = body.get("system")
    prompt.system = (
        system if isinstance(system, str) else "\n".join(text(mapping(one).get("text")) for one in items(system))
    )
    names: dict[str, str] = {}
    pending: list[str] = []
    for index, entry in enumerate(body["messages"]):
        path = f"messages.{index}"
        message = mapping(entry)
        role = message.get("role")
        if role not in ("user", "assistant", "system"):
            refuse(f"{path}.role: Input should be 'user', 'assistant' or 'system'")
        content = message.get("content")
        blocks: list[Any] = [{"type": "text", "text": content}] if isinstance(content, str) else items(content)
        if not isinstance(content, str | list):
            refuse(f"{path}.content: Field required")
        reader = _Reader(prompt, names)
        reader.read(blocks, f"{path}.content")
        said = "\n".join(reader.said)
        prompt.history.append(said)
        if role == "system":
            prompt.system += said
            continue
        missing = [one for one in pending if one not in reader.answered]
        if missing:
            refuse(
                f"{path}: `tool_use` ids were found without `tool_result` blocks immediately after:"
                f" {', '.join(missing)}. Each `tool_use` block must have a corresponding `tool_result` block in the"
                " next message."
            )
        pending = reader.used
        prompt.results = reader.results
        if role == "user":
            prompt.user = said
    prompt.tools = [
        Offer(name=text(mapping(tool).get("name")), schema=mapping(mapping(tool).get("input_schema")))
        for tool in items(body.get("tools"))
    ]
    choice = mapping(body.get("tool_choice"))
    prompt.choice = {"any": "any", "none": "none", "tool": text(choice.get("name"))}.get(
        text(choice.get("type")), "auto"
    )
    prompt.parallel = choice.get("disable_parallel_tool_use") is not True
    prompt.thinking = mapping(body.get("thinking")).get("type") in ("enabled", "adaptive", "between_tools")
    prompt.stops = [text(stop) for stop in items(body.get("stop_sequences"))]
    form = mapping(mapping(body.get("output_config")).get("format"))
    if form.get("type") == "json_schema":
        prompt.schema = mapping(form.get("schema"))
    return prompt


class _Reader:
    """Reads the blocks of one message into a prompt; refuses what the vendor refuses."""

    def __init__(self, prompt: Prompt, names: dict[str, str]) -> None:
        self.prompt = prompt
        self.names = names
        self.said: list[str] = []
        self.results: list[Result] = []
        self.answered: list[str] = []
        self.used: list[str] = []

    def read(self, blocks: list[Any], path: str) -> None:
        for at, entry in enumerate(blocks):
            block, here = mapping(entry), f"{path}.{at}"
            form = block.get("type")
            if form == "text":
                if not isinstance(block.get("text"), str):
                    refuse(f"{here}.text.text: Field required")
                self.said.append(block["text"])
            elif form in ("image", "document"):
                self.prompt.media.append(self._media(form, mapping(block.get("source")), here))
            elif form == "tool_use":
                self.names[text(block.get("id"))] = text(block.get("name"))
                self.used.append(text(block.get("id")))
                self.prompt.history.append(str(block.get("input")))
            elif form == "tool_result":
                self._result(block, here)
            elif form == "thinking":
                if block.get("signature") != mind.sign(text(block.get("thinking"))):
                    refuse(f"{here}: Invalid `signature` in `thinking` block")
            elif not isinstance(form, str):
                refuse(f"{here}.type: Field required")

    def _result(self, block: Json, here: str) -> None:
        given = text(block.get("tool_use_id"))
        if given not in self.names:
            refuse(f"{here}: unexpected `tool_use_id` found in `tool_result` blocks: {given}.")
        self.answered.append(given)
        inner = _Reader(self.prompt, self.names)
        content = block.get("content")
        inner.read(
            [{"type": "text", "text": content}] if isinstance(content, str) else items(content), f"{here}.content"
        )
        self.results.append(
            Result(name=self.names[given], text="\n".join(inner.said), is_error=block.get("is_error") is True)
        )
        self.prompt.history += inner.said

    def _media(self, form: Any, source: Json, here: str) -> Media:
        kind = source.get("type")
        if kind == "base64":
            data = unbase64(text(source.get("data")))
            if data is None:
                refuse(f"{here}.source.base64.data: Invalid base64 data")
            return Media(kind=form, media_type=text(source.get("media_type")), data=data)
        if kind == "text":
            return Media(kind=form, media_type="text/plain", data=text(source.get("data")).encode())
        if kind in ("url", "file", "content"):
            return Media(kind=form, media_type=form, url=text(source.get("url")) or text(source.get("file_id")) or kind)
        refuse(f"{here}.source: Input should be a valid source")


def _usage(body: Json, prompt: Prompt, plan: Plan, cache: Cache) -> Json:
    """Figures that add up: with a cache mark, all but the last message is the cached prefix."""
    total = prompt.input_tokens
    raw = encode(body)
    read = written_5m = written_1h = 0
    if b'"cache_control"' in raw:
        prefix = encode([body.get("tools"), body.get("system"), body["messages"][:-1]])
        part = max(total - len(mind.tokens(prompt.user)) - 1, 0)
        if cache.seen(prefix):
            read = part
        elif b'"ttl":"1h"' in raw:
            written_1h = part
        else:
            written_5m = part
    elif "cached" in prompt.marks:
        read = min(mind.number(prompt.marks, "cached", 0), total)
    return {
        "input_tokens": total - read - written_5m - written_1h,
        "cache_creation_input_tokens": written_5m + written_1h,
        "cache_read_input_tokens": read,
        "cache_creation": {"ephemeral_5m_input_tokens": written_5m, "ephemeral_1h_input_tokens": written_1h},
        "output_tokens": plan.output_tokens + plan.thinking_tokens,
        "output_tokens_details": {"thinking_tokens": plan.thinking_tokens},
        "service_tier": "standard",
    }


def _blocks(plan: Plan) -> list[Json]:
    blocks: list[Json] = []
    if plan.thinking:
        blocks.append({"type": "thinking", "thinking": "".join(plan.thinking), "signature": plan.signature})
    if plan.pieces:
        blocks.append({"type": "text", "text": plan.text})
    blocks += [
        {"type": "tool_use", "id": f"toolu_{call.id}", "name": call.name, "input": call.arguments}
        for call in plan.calls
    ]
    return blocks


def _ending(plan: Plan) -> Json:
    ending: Json = {"stop_reason": FINISHES[plan.ending], "stop_sequence": plan.stop_sequence}
    if plan.ending == "refusal":
        ending["stop_details"] = {
            "type": "refusal",
            "category": None,
            "explanation": "The sandbox was asked to refuse.",
        }
    return ending


def _event(name: str, data: Json) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), encode(data))


def _events(head: Json, plan: Plan, usage: Json, fault: Fault | None) -> list[Step]:
    silent = fault in ("late-usage", "no-usage")
    first: Json = {**usage, "output_tokens": 1}
    first.pop("output_tokens_details")
    if silent:
        first = {"input_tokens": 0, "output_tokens": 0}
    start: Json = {**head, "content": [], "stop_reason": None, "stop_sequence": None, "usage": first}
    steps = [
        Step(_event("message_start", {"type": "message_start", "message": start})),
        Step(_event("ping", {"type": "ping"})),
    ]
    for index, block in enumerate(_blocks(plan)):
        opened, deltas = _deltas(block, plan)
        steps.append(
            Step(
                _event("content_block_start", {"type": "content_block_start", "index": index, "content_block": opened})
            )
        )
        for delta in deltas:
            event = {"type": "content_block_delta", "index": index, "delta": delta}
            steps.append(Step(_event("content_block_delta", event), token=True))
        steps.append(Step(_event("content_block_stop", {"type": "content_block_stop", "index": index})))
    last = {key: value for key, value in usage.items() if key not in ("cache_creation", "service_tier")}
    if fault == "no-usage":
        last = {"output_tokens": 0}
    ending = {"type": "message_delta", "delta": _ending(plan), "usage": last}
    steps.append(Step(_event("message_delta", ending), after_ms=LATE_USAGE_MS if fault == "late-usage" else 0))
    steps.append(Step(_event("message_stop", {"type": "message_stop"})))
    return steps


def _deltas(block: Json, plan: Plan) -> tuple[Json, list[Json]]:
    if block["type"] == "thinking":
        deltas: list[Json] = [{"type": "thinking_delta", "thinking": piece} for piece in plan.thinking]
        deltas.append({"type": "signature_delta", "signature": plan.signature})
        return {"type": "thinking", "thinking": "", "signature": ""}, deltas
    if block["type"] == "text":
        return {"type": "text", "text": ""}, [{"type": "text_delta", "text": piece} for piece in plan.pieces]
    arguments = encode(block["input"]).decode()
    pieces = ["", *(arguments[at : at + 12] for at in range(0, len(arguments), 12))]
    return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]


def models(asked: Asked, names: list[str]) -> Said:
    """``GET /v1/models``."""
    data = [_model(name) for name in names]
    return Said(body=encode({"data": data, "has_more": False, "first_id": names[0], "last_id": names[-1]}))


def model(asked: Asked, name: str, names: list[str]) -> Said:
    """``GET /v1/models/{model}``. Raises Refusal."""
    if name not in names:
        raise Refusal(404, error("not_found_error", f"model: {name}", asked.number))
    return Said(body=encode(_model(name)))


def _model(name: str) -> Json:
    return {
        "type": "model",
        "id": name,
        "display_name": name,
        "created_at": "2026-01-01T00:00:00Z",
        "lifecycle": "active",
        "max_input_tokens": 200_000,
        "max_tokens": 64_000,
    }
