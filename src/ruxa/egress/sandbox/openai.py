"""The sandbox in OpenAI's dialect: chat completions and completions (whole and streamed), embeddings, models."""

from __future__ import annotations

import hashlib
from typing import NoReturn

from ruxa.egress.sandbox import mind
from ruxa.egress.sandbox.faults import LATE_USAGE_MS, RETRY_AFTER_S, Fault, fault_of
from ruxa.egress.sandbox.fields import (
    Json,
    encode,
    is_array,
    is_count,
    is_number,
    is_object,
    items,
    kind,
    mapping,
    parse,
    text,
    unbase64,
)
from ruxa.egress.sandbox.mind import Media, Offer, Plan, Prompt, Result
from ruxa.egress.sandbox.reply import Asked, Refusal, Said, Step
from ruxa.egress.sandbox.vectors import DIMENSIONS_DEFAULT, DIMENSIONS_MAX, packed, vector

ROLES = {"system", "developer", "user", "assistant", "tool", "function"}
EFFORTS = {"none", "minimal", "low", "medium", "high", "xhigh", "max"}
KNOWN = frozenset(
    {
        "messages",
        "model",
        "audio",
        "frequency_penalty",
        "function_call",
        "functions",
        "logit_bias",
        "logprobs",
        "max_completion_tokens",
        "max_tokens",
        "metadata",
        "modalities",
        "moderation",
        "n",
        "parallel_tool_calls",
        "prediction",
        "presence_penalty",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "reasoning_effort",
        "response_format",
        "safety_identifier",
        "seed",
        "service_tier",
        "stop",
        "store",
        "stream",
        "stream_options",
        "temperature",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "user",
        "verbosity",
        "web_search_options",
    }
)
NUMBERS = ("temperature", "top_p", "frequency_penalty", "presence_penalty")
FINISHES = {"stop": "stop", "length": "length", "tool": "tool_calls", "stop_sequence": "stop", "refusal": "stop"}
ERRORS: dict[str, tuple[str, str | None, str]] = {
    "400": ("invalid_request_error", "invalid_value", "The sandbox was asked to refuse this request."),
    "401": ("invalid_request_error", "invalid_api_key", "Incorrect API key provided: sk-sandbox-0123456789abcdef."),
    "403": ("invalid_request_error", None, "Project proj_sandbox123 does not have access to this model."),
    "404": ("invalid_request_error", "model_not_found", "The model does not exist."),
    "413": ("invalid_request_error", None, "Request too large."),
    "429": ("requests", "rate_limit_exceeded", "Rate limit reached for organization org-sandbox123 on requests."),
    "quota": ("insufficient_quota", "insufficient_quota", "You exceeded your current quota."),
    "500": ("server_error", None, "The server had an error while processing your request."),
    "503": ("service_unavailable_error", None, "The engine is currently overloaded."),
    "529": ("overloaded_error", "overloaded", "The engine is overloaded."),
}


def error(message: str, kind: str = "invalid_request_error", param: str | None = None, code: str | None = None) -> Json:
    """OpenAI's error body."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def refuse(message: str, param: str | None, code: str | None = None, status: int = 400) -> NoReturn:
    """Refuses the request in OpenAI's words."""
    raise Refusal(status, error(message, param=param, code=code))


def fault_error(fault: Fault) -> Refusal:
    """The error of a status fault."""
    kind, code, message = ERRORS[fault]
    headers = {"retry-after": str(RETRY_AFTER_S)} if fault in ("429", "503", "529") else {}
    return Refusal(429 if fault == "quota" else int(fault), error(message, kind, code=code), headers)


def chat(asked: Asked) -> Said:
    """``POST /v1/chat/completions``. Raises Refusal."""
    body = object_of(asked)
    _check(body)
    prompt = _prompt(body)
    fault = fault_of(prompt.model, prompt.marks)
    if fault in ERRORS:
        raise fault_error(fault)
    plan = mind.make(prompt)
    marks = prompt.marks
    choices = body.get("n") or 1
    said = Said(
        fault=fault,
        pace_ms=mind.number(marks, "pace-ms", 0, 10_000) if "pace-ms" in marks else None,
        delay_ms=mind.number(marks, "delay-ms", 0, 600_000),
        error_frame=b"data: " + encode(error("The engine is currently overloaded.", "server_error")) + b"\n\n",
    )
    head: Json = {
        "id": f"chatcmpl-{hashlib.sha256(asked.body).hexdigest()[:20]}{asked.number}",
        "object": "chat.completion",
        "created": asked.at_s,
        "model": prompt.model,
        "service_tier": "default",
        "system_fingerprint": "fp_sandbox",
    }
    usage = _usage(prompt, plan, choices)
    if body.get("stream"):
        told = bool(mapping(body.get("stream_options")).get("include_usage"))
        said.content_type = "text/event-stream; charset=utf-8"
        said.steps = _chunks(head, plan, choices, usage if told else None, fault, marks)
    else:
        made = [_choice(index, plan) for index in range(choices)]
        said.body = encode({**head, "choices": made, "usage": usage})
    return said


def object_of(asked: Asked) -> Json:
    """The body. Raises Refusal."""
    body = parse(asked.body)
    if body is None:
        refuse("We could not parse the JSON body of your request.", None)
    return body


def _check(body: Json) -> None:
    for name in body:
        if name not in KNOWN:
            refuse(f"Unrecognized request argument supplied: {name}", None)
    if "model" not in body:
        refuse("you must provide a model parameter", None)
    _type(body, "model", str, "a string")
    if "messages" not in body:
        refuse("Missing required parameter: 'messages'.", "messages", "missing_required_parameter")
    _type(body, "messages", list, "an array of objects")
    if not body["messages"]:
        refuse("Invalid 'messages': empty array. Expected an array with minimum length 1.", "messages", "empty_array")
    for name in NUMBERS:
        if body.get(name) is not None and not is_number(body[name]):
            wrong(name, "a decimal", body[name])
    for name, least, most in (("max_tokens", 1, 2**31), ("max_completion_tokens", 1, 2**31), ("n", 1, 128)):
        value = body.get(name)
        if value is None:
            continue
        if not is_count(value):
            wrong(name, "an integer", value)
        if not least <= value <= most:
            code = "integer_below_min_value" if value < least else "integer_above_max_value"
            refuse(f"Invalid '{name}': integer out of range.", name, code)
    if body.get("temperature") is not None and not 0 <= body["temperature"] <= 2:
        refuse(
            "Invalid 'temperature': decimal out of range. Expected 0 to 2.", "temperature", "decimal_above_max_value"
        )
    if body.get("reasoning_effort") is not None and body["reasoning_effort"] not in EFFORTS:
        refuse("Invalid value for 'reasoning_effort'.", "reasoning_effort", "invalid_value")
    if body.get("stream") is not None and not isinstance(body["stream"], bool):
        wrong("stream", "a boolean", body["stream"])
    if body.get("stream_options") is not None and not body.get("stream"):
        refuse("The 'stream_options' parameter is only allowed when 'stream' is enabled.", "stream_options")
    if body.get("metadata") and not body.get("store"):
        refuse("The 'metadata' parameter is only allowed when 'store' is enabled.", "metadata")
    for index, tool in enumerate(items(body.get("tools"))):
        inner = mapping(tool)
        if inner.get("type") not in ("function", "custom"):
            refuse(f"Invalid value: '{inner.get('type')}'.", f"tools[{index}].type", "invalid_value")
        if not text(mapping(inner.get(inner["type"])).get("name")):
            refuse("Missing required parameter.", f"tools[{index}].{inner['type']}.name", "missing_required_parameter")


def _type(body: Json, name: str, wanted: type, expected: str) -> None:
    if not isinstance(body[name], wanted):
        wrong(name, expected, body[name])


def wrong(path: str, expected: str, value: object) -> NoReturn:
    """Refuses a value of a wrong type."""
    refuse(f"Invalid type for '{path}': expected {expected}, but got {kind(value)} instead.", path, "invalid_type")


def _prompt(body: Json) -> Prompt:
    prompt = Prompt(model=body["model"])
    names: dict[str, str] = {}
    waiting: list[str] = []
    for index, entry in enumerate(body["messages"]):
        path = f"messages[{index}]"
        if not is_object(entry):
            wrong(path, "an object", entry)
        message = mapping(entry)
        role = message.get("role")
        if role not in ROLES:
            refuse(f"Invalid value: '{role}'. Supported values are: {sorted(ROLES)}.", f"{path}.role", "invalid_value")
        said, media = _content(message.get("content"), f"{path}.content", role)
        prompt.history.append(said)
        if role in ("system", "developer"):
            prompt.system += said
        elif role == "user":
            prompt.user, prompt.results = said, []
            prompt.media += media
        elif role == "assistant":
            prompt.results = []
            for at, call in enumerate(items(message.get("tool_calls"))):
                form = text(mapping(call).get("type")) or "function"
                inner, field = mapping(mapping(call).get(form)), "input" if form == "custom" else "arguments"
                if not isinstance(inner.get(field), str):
                    wrong(f"{path}.tool_calls[{at}].{form}.{field}", "a string", inner.get(field))
                names[text(mapping(call).get("id"))] = text(inner.get("name"))
                waiting.append(text(mapping(call).get("id")))
                prompt.history.append(inner[field])
        elif role == "tool":
            given = text(message.get("tool_call_id"))
            if given not in names:
                refuse(
                    "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with"
                    " 'tool_calls'.",
                    f"{path}.role",
                )
            waiting = [one for one in waiting if one != given]
            prompt.results = [*prompt.results, Result(name=names[given], text=said)]
        if role != "tool" and role != "assistant" and waiting:
            refuse(
                "An assistant message with 'tool_calls' must be followed by tool messages responding to each"
                f" 'tool_call_id'. The following tool_call_ids did not have response messages: {', '.join(waiting)}",
                path,
            )
    prompt.tools = [
        Offer(name=text(inner.get("name")), schema=mapping(inner.get("parameters")))
        for tool in items(body.get("tools"))
        for inner in [mapping(mapping(tool).get(mapping(tool).get("type", "function")))]
    ]
    choice = body.get("tool_choice")
    if isinstance(choice, str):
        prompt.choice = "any" if choice == "required" else choice
    elif named := mapping(choice):
        prompt.choice = text(mapping(named.get("function")).get("name")) or "any"
    prompt.parallel = body.get("parallel_tool_calls") is not False
    prompt.thinking = body.get("reasoning_effort") not in (None, "none")
    prompt.cap = body.get("max_completion_tokens") or body.get("max_tokens")
    stops = body.get("stop")
    prompt.stops = [stops] if isinstance(stops, str) else [text(stop) for stop in items(stops)]
    form = mapping(body.get("response_format"))
    if form.get("type") == "json_schema":
        prompt.schema = mapping(mapping(form.get("json_schema")).get("schema"))
    elif form.get("type") == "json_object":
        prompt.schema = {"type": "object", "properties": {"answer": {"type": "string"}}}
    prompt.cached_tokens = min(mind.number(prompt.marks, "cached", 0), prompt.input_tokens)
    return prompt


def _content(value: object, path: str, role: str) -> tuple[str, list[Media]]:
    if value is None and role in ("assistant", "tool", "function"):
        return "", []
    if isinstance(value, str):
        return value, []
    if not is_array(value):
        wrong(path, "one of a string or array of objects", value)
    said: list[str] = []
    media: list[Media] = []
    for index, entry in enumerate(value):
        part, at = mapping(entry), f"{path}[{index}]"
        form = part.get("type")
        if form in ("text", "refusal"):
            if not isinstance(part.get(form), str):
                wrong(f"{at}.{form}", "a string", part.get(form))
            said.append(part[form])
        elif form == "image_url":
            media.append(_image(part.get("image_url"), at))
        elif form == "input_audio":
            audio = mapping(part.get("input_audio"))
            data = unbase64(text(audio.get("data")))
            if data is None:
                refuse("Invalid base64 audio.", f"{at}.input_audio.data", "invalid_value")
            media.append(Media(kind="audio", media_type=f"audio/{text(audio.get('format'))}", data=data))
        elif form == "file":
            media.append(_file(mapping(part.get("file")), at))
        else:
            refuse(
                f"Invalid value: '{form}'. Supported values are: 'text', 'image_url', …", f"{at}.type", "invalid_value"
            )
    return "\n".join(said), media


def _image(value: object, at: str) -> Media:
    url = value.get("url") if is_object(value) else value
    if not isinstance(url, str):
        wrong(f"{at}.image_url", "an object", value)
    if not url.startswith("data:"):
        return Media(kind="image", media_type="image", url=url)
    media_type, data = data_url(url, f"{at}.image_url.url")
    return Media(kind="image", media_type=media_type, data=data)


def _file(value: Json, at: str) -> Media:
    given = value.get("file_data")
    if not isinstance(given, str):
        return Media(kind="document", media_type="file", url=text(value.get("file_id")))
    if not given.startswith("data:"):
        given = f"data:application/pdf;base64,{given}"
    media_type, data = data_url(given, f"{at}.file.file_data")
    return Media(kind="document", media_type=media_type, data=data)


def data_url(url: str, path: str) -> tuple[str, bytes]:
    """Media type and bytes of a data URL. Raises Refusal."""
    head, _, given = url[5:].partition(",")
    data = unbase64(given) if head.endswith(";base64") else None
    if data is None:
        refuse("Invalid base64 data URL.", path, "invalid_image_url")
    return head.removesuffix(";base64"), data


def _usage(prompt: Prompt, plan: Plan, choices: int) -> Json:
    inside = prompt.input_tokens
    out = (plan.output_tokens + plan.thinking_tokens) * choices
    return {
        "prompt_tokens": inside,
        "completion_tokens": out,
        "total_tokens": inside + out,
        "prompt_tokens_details": {"cached_tokens": prompt.cached_tokens, "audio_tokens": 0, "cache_write_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": plan.thinking_tokens * choices,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _calls(plan: Plan) -> list[Json]:
    return [
        {
            "id": f"call_{call.id}",
            "type": "function",
            "function": {"name": call.name, "arguments": encode(call.arguments).decode()},
        }
        for call in plan.calls
    ]


def _choice(index: int, plan: Plan) -> Json:
    refused = plan.ending == "refusal"
    message: Json = {
        "role": "assistant",
        "content": None if plan.calls or refused else plan.text,
        "refusal": "The sandbox was asked to refuse." if refused else None,
        "annotations": [],
    }
    if plan.calls:
        message["tool_calls"] = _calls(plan)
    return {"index": index, "message": message, "logprobs": None, "finish_reason": FINISHES[plan.ending]}


def _chunks(
    head: Json, plan: Plan, choices: int, usage: Json | None, fault: Fault | None, marks: dict[str, str]
) -> list[Step]:
    head = {**head, "object": "chat.completion.chunk"}
    rest: Json = {} if usage is None else {"usage": None}

    def chunk(index: int, delta: Json, finish: str | None = None, *, token: bool = False) -> Step:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
        return Step(b"data: " + encode({**head, "choices": [choice], **rest}) + b"\n\n", token=token)

    steps: list[Step] = []
    for index in range(choices):
        steps.append(chunk(index, {"role": "assistant", "content": None if plan.calls else "", "refusal": None}))
        if plan.ending == "refusal":
            steps.append(chunk(index, {"refusal": "The sandbox was asked to refuse."}, token=True))
        steps.extend(chunk(index, {"content": piece}, token=True) for piece in plan.pieces)
        steps.extend(
            chunk(index, {"tool_calls": [fragment]}, token=True) for fragment in _fragments(plan, "interleave" in marks)
        )
        steps.append(chunk(index, {}, FINISHES[plan.ending]))
    if usage is not None and fault != "no-usage":
        last = encode({**head, "choices": [], "usage": usage})
        steps.append(Step(b"data: " + last + b"\n\n", after_ms=LATE_USAGE_MS if fault == "late-usage" else 0))
    steps.append(Step(b"data: [DONE]\n\n"))
    return steps


def _fragments(plan: Plan, interleave: bool) -> list[Json]:
    """Tool call deltas: id and name first, then the arguments in pieces; interleaved by index when asked."""
    lanes: list[list[Json]] = []
    for index, call in enumerate(_calls(plan)):
        function = call["function"]
        opening = {**call, "index": index, "function": {"name": function["name"], "arguments": ""}}
        pieces: list[str] = [function["arguments"][at : at + 12] for at in range(0, len(function["arguments"]), 12)]
        lanes.append([opening, *({"index": index, "function": {"arguments": piece}} for piece in pieces)])
    if not interleave:
        return [fragment for lane in lanes for fragment in lane]
    longest = max((len(lane) for lane in lanes), default=0)
    return [lane[at] for at in range(longest) for lane in lanes if at < len(lane)]


def embeddings(asked: Asked) -> Said:
    """``POST /v1/embeddings``. Raises Refusal."""
    body = object_of(asked)
    for name in ("model", "input"):
        if name not in body:
            refuse(f"Missing required parameter: '{name}'.", name, "missing_required_parameter")
    _type(body, "model", str, "a string")
    given = body["input"]
    if isinstance(given, str):
        texts = [given]
    elif is_array(given) and given:
        entries = given
        texts = [repr(entries)] if all(is_count(one) for one in entries) else [_input(one) for one in entries]
    else:
        wrong("input", "a string or a non-empty array", given)
    size = body.get("dimensions", DIMENSIONS_DEFAULT)
    if not is_count(size) or not 1 <= size <= DIMENSIONS_MAX:
        refuse("Invalid value for 'dimensions'.", "dimensions", "invalid_value")
    form = body.get("encoding_format", "float")
    if form not in ("float", "base64"):
        refuse("Invalid value for 'encoding_format'.", "encoding_format", "invalid_value")
    fault = fault_of(body["model"], dict(mind.MARK.findall(texts[-1])))
    if fault in ERRORS:
        raise fault_error(fault)
    data: list[Json] = []
    for index, one in enumerate(texts):
        values = vector(one, size)
        data.append(
            {"object": "embedding", "index": index, "embedding": packed(values) if form == "base64" else values}
        )
    count = sum(max(len(mind.tokens(one)), 1) for one in texts)
    usage = {"prompt_tokens": count, "total_tokens": count}
    return Said(body=encode({"object": "list", "data": data, "model": body["model"], "usage": usage}), fault=fault)


def _input(value: object) -> str:
    if isinstance(value, str) and value:
        return value
    if is_array(value):
        return repr(value)
    refuse("Invalid 'input': expected non-empty strings.", "input", "invalid_value")


def models(asked: Asked, names: list[str]) -> Said:
    """``GET /v1/models``."""
    return Said(body=encode({"object": "list", "data": [_model(asked, name) for name in names]}))


def model(asked: Asked, name: str, names: list[str]) -> Said:
    """``GET /v1/models/{model}``. Raises Refusal."""
    if name not in names:
        raise Refusal(404, error(f"The model '{name}' does not exist", param="model", code="model_not_found"))
    return Said(body=encode(_model(asked, name)))


def _model(asked: Asked, name: str) -> Json:
    return {"id": name, "object": "model", "created": asked.at_s, "owned_by": "sandbox"}
