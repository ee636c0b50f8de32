"""The sandbox in Google's dialect: generateContent (whole, SSE, JSON array), token counts, embeddings, models."""

from __future__ import annotations

import hashlib
from typing import Any, NoReturn

from ruxa.egress.sandbox import mind
from ruxa.egress.sandbox.faults import LATE_USAGE_MS, RETRY_AFTER_S, Fault, fault_of
from ruxa.egress.sandbox.fields import Json, encode, is_count, items, mapping, parse, text, unbase64
from ruxa.egress.sandbox.mind import Media, Offer, Plan, Prompt, Result
from ruxa.egress.sandbox.reply import Asked, Refusal, Said, Step
from ruxa.egress.sandbox.vectors import DIMENSIONS_DEFAULT, DIMENSIONS_MAX, vector

# What Google documents for calls that it has not signed itself, in the alphabet that signatures are compared in; the
# same as base64 of it, for clients that encode the field.
UNSIGNED = ("skip/thought/signature/validator", "c2tpcF90aG91Z2h0X3NpZ25hdHVyZV92YWxpZGF0b3I=")
KNOWN = frozenset(
    {
        "contents",
        "systemInstruction",
        "generationConfig",
        "tools",
        "toolConfig",
        "safetySettings",
        "cachedContent",
        "model",
        "serviceTier",
        "store",
        "continuationToken",
        "labels",
    }
)
KNOWN_CONFIG = frozenset(
    {
        "temperature",
        "topP",
        "topK",
        "candidateCount",
        "maxOutputTokens",
        "stopSequences",
        "responseLogprobs",
        "logprobs",
        "presencePenalty",
        "frequencyPenalty",
        "seed",
        "responseMimeType",
        "responseSchema",
        "responseJsonSchema",
        "responseModalities",
        "mediaResolution",
        "speechConfig",
        "thinkingConfig",
        "imageConfig",
        "enableEnhancedCivicAnswers",
        "audioTranscriptionConfig",
    }
)
FINISHES = {"stop": "STOP", "length": "MAX_TOKENS", "tool": "STOP", "stop_sequence": "STOP", "refusal": "SAFETY"}
ERRORS: dict[str, tuple[str, str]] = {
    "400": ("INVALID_ARGUMENT", "The sandbox was asked to refuse this request."),
    "401": ("UNAUTHENTICATED", "Request had invalid authentication credentials: AIzaSandbox0123456789."),
    "403": ("PERMISSION_DENIED", "Permission denied for project 1234567890."),
    "404": ("NOT_FOUND", "models/sandbox is not found for API version v1beta."),
    "413": ("INVALID_ARGUMENT", "Request payload size exceeds the limit."),
    "429": ("RESOURCE_EXHAUSTED", "Resource has been exhausted (e.g. check quota)."),
    "quota": ("RESOURCE_EXHAUSTED", "You exceeded your current quota, please check your plan and billing details."),
    "500": ("INTERNAL", "An internal error has occurred."),
    "503": ("UNAVAILABLE", "The model is overloaded. Please try again later."),
    "529": ("UNAVAILABLE", "The model is overloaded. Please try again later."),
}


def error(status: int, word: str, message: str) -> Json:
    """Google's error body."""
    return {"error": {"code": status, "message": message, "status": word}}


def refuse(message: str, status: int = 400, word: str = "INVALID_ARGUMENT") -> NoReturn:
    """Refuses the request in Google's words."""
    raise Refusal(status, error(status, word, message))


def fault_error(fault: Fault) -> Refusal:
    """The error of a status fault."""
    word, message = ERRORS[fault]
    status = 429 if fault == "quota" else int(fault)
    headers = {"retry-after": str(RETRY_AFTER_S)} if fault in ("429", "503", "529") else {}
    return Refusal(status, error(status, word, message), headers)


def generate(asked: Asked, model: str, *, stream: bool) -> Said:
    """``:generateContent`` and ``:streamGenerateContent``. Raises Refusal."""
    body = _object(asked)
    _check(body)
    prompt = _prompt(body, model)
    fault = fault_of(model, prompt.marks)
    if fault in ERRORS:
        raise fault_error(fault)
    plan = mind.make(prompt)
    marks = prompt.marks
    config = mapping(_get(body, "generationConfig"))
    shown = prompt.thinking and bool(_get(mapping(_get(config, "thinkingConfig")), "includeThoughts"))
    sse = asked.query.get("alt") == "sse"
    failed = encode(error(503, "UNAVAILABLE", "The model is overloaded. Please try again later."))
    said = Said(
        content_type="application/json; charset=UTF-8",
        fault=fault,
        pace_ms=mind.number(marks, "pace-ms", 0, 10_000) if "pace-ms" in marks else None,
        delay_ms=mind.number(marks, "delay-ms", 0, 600_000),
        error_frame=b"data: " + failed + b"\r\n\r\n" if sse else b"[" + failed + b"\n]",
    )
    tail: Json = {
        "modelVersion": model,
        "responseId": f"sandbox{hashlib.sha256(asked.body).hexdigest()[:16]}{asked.number}",
    }
    count = _get(config, "candidateCount") or 1
    if stream:
        steps = _steps(prompt, plan, tail, fault, shown=shown)
        if sse:
            said.content_type = "text/event-stream"
            said.steps = [_framed(step, b"data: " + step.data + b"\r\n\r\n") for step in steps]
        else:
            said.steps = [
                _framed(step, (b",\r\n" if at else b"[") + step.data + b"\n") for at, step in enumerate(steps)
            ]
            said.steps.append(Step(b"]"))
    else:
        candidate = {"content": {"parts": _parts(plan, shown), "role": "model"}, "finishReason": FINISHES[plan.ending]}
        candidates = [{**candidate, "index": index} for index in range(count)]
        said.body = encode({"candidates": candidates, "usageMetadata": _usage(prompt, plan, count), **tail})
    return said


def _framed(step: Step, data: bytes) -> Step:
    return Step(data, after_ms=step.after_ms, token=step.token)


def count_tokens(asked: Asked, model: str) -> Said:
    """``:countTokens``. Raises Refusal."""
    body = _object(asked)
    inner = mapping(_get(body, "generateContentRequest"))
    if inner and inner.get("model") not in (None, f"models/{model}"):
        refuse("The model in generateContentRequest must be the model of the path.")
    prompt = _prompt(inner or body, model)
    fault = fault_of(model, prompt.marks)
    if fault in ERRORS:
        raise fault_error(fault)
    details = [{"modality": "TEXT", "tokenCount": prompt.input_tokens}]
    return Said(body=encode({"totalTokens": prompt.input_tokens, "promptTokensDetails": details}), fault=fault)


def embed(asked: Asked, model: str) -> Said:
    """``:embedContent``. Raises Refusal."""
    values, count = _vector(_object(asked), model, "")
    return Said(
        body=encode({"embedding": {"values": values}, "usageMetadata": _counted(count)}), fault=fault_of(model, {})
    )


def batch_embed(asked: Asked, model: str) -> Said:
    """``:batchEmbedContents``. Raises Refusal."""
    body = _object(asked)
    requests = items(body.get("requests"))
    if not requests:
        refuse("* BatchEmbedContentsRequest.requests: requests is not specified\n")
    made = [_vector(mapping(request), model, f"requests[{at}].") for at, request in enumerate(requests)]
    for at, request in enumerate(requests):
        if mapping(request).get("model") != f"models/{model}":
            refuse(f"* BatchEmbedContentsRequest.requests[{at}].model: unexpected model name format\n")
    vectors = [{"values": values} for values, _ in made]
    total = sum(count for _, count in made)
    return Said(body=encode({"embeddings": vectors, "usageMetadata": _counted(total)}), fault=fault_of(model, {}))


def _counted(count: int) -> Json:
    return {"promptTokenCount": count, "totalTokenCount": count}


def _vector(request: Json, model: str, path: str) -> tuple[list[float], int]:
    fault = fault_of(model, {})
    if fault in ERRORS:
        raise fault_error(fault)
    content = mapping(_get(request, "content"))
    if not content:
        refuse(f"* EmbedContentRequest.{path}content: content is not specified\n")
    said = "\n".join(text(mapping(part).get("text")) for part in items(content.get("parts")))
    size = _get(request, "outputDimensionality") or DIMENSIONS_DEFAULT
    if not is_count(size) or not 1 <= size <= DIMENSIONS_MAX:
        refuse(f"Invalid value at '{path}output_dimensionality'")
    return vector(said, size), max(len(mind.tokens(said)), 1)


def _object(asked: Asked) -> Json:
    body = parse(asked.body)
    if body is None:
        refuse("Invalid JSON payload received. Unable to parse.")
    return body


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part[:1].upper() + part[1:] for part in rest)


def _get(body: Json, name: str) -> Any:
    """A field under its JSON name or its proto name."""
    for given, value in body.items():
        if _camel(given) == name:
            return value
    return None


def _check(body: Json) -> None:
    for name in body:
        if _camel(name) not in KNOWN:
            refuse(f'Invalid JSON payload received. Unknown name "{name}": Cannot find field.')
    contents = _get(body, "contents")
    if contents is not None and not isinstance(contents, list):
        refuse("Invalid value at 'contents' (type.googleapis.com/google.ai.generativelanguage.v1beta.Content)")
    if not contents:
        refuse("* GenerateContentRequest.contents: contents is not specified\n")
    config = mapping(_get(body, "generationConfig"))
    for name, value in config.items():
        if _camel(name) not in KNOWN_CONFIG:
            refuse(f"Invalid JSON payload received. Unknown name \"{name}\" at 'generation_config': Cannot find field.")
        if _camel(name) in ("maxOutputTokens", "candidateCount", "topK") and not (
            is_count(value) or (isinstance(value, str) and value.isdecimal()) or isinstance(value, float)
        ):
            refuse(f"Invalid value at 'generation_config.{name}' (TYPE_INT32), {encode(value).decode()}")


def _prompt(body: Json, model: str) -> Prompt:
    prompt = Prompt(model=model)
    prompt.system, _ = _read_parts(prompt, mapping(_get(body, "systemInstruction")), "system_instruction")
    for index, entry in enumerate(items(_get(body, "contents"))):
        content = mapping(entry)
        role = content.get("role", "user")
        if role not in ("user", "model", "function"):
            refuse(f"Please use a valid role: user, model. (contents[{index}])")
        said, results = _read_parts(prompt, content, f"contents[{index}]")
        prompt.history.append(said)
        prompt.results = results
        if role != "model":
            prompt.user = said
    for tool in items(_get(body, "tools")):
        for one in items(_get(mapping(tool), "functionDeclarations")):
            inner = mapping(one)
            schema = _get(inner, "parametersJsonSchema") or inner.get("parameters")
            prompt.tools.append(Offer(name=text(inner.get("name")), schema=mapping(schema)))
    calling = mapping(_get(mapping(_get(body, "toolConfig")), "functionCallingConfig"))
    mode = text(calling.get("mode")).upper()
    allowed = items(_get(calling, "allowedFunctionNames"))
    prompt.choice = {"NONE": "none", "ANY": text(allowed[0]) if allowed else "any"}.get(mode, "auto")
    config = mapping(_get(body, "generationConfig"))
    thinking = mapping(_get(config, "thinkingConfig"))
    prompt.thinking = bool(thinking) and _get(thinking, "thinkingBudget") != 0
    cap = _get(config, "maxOutputTokens")
    prompt.cap = int(cap) if cap else None
    prompt.stops = [text(stop) for stop in items(_get(config, "stopSequences"))]
    if _get(config, "responseMimeType") == "application/json":
        schema = _get(config, "responseJsonSchema") or _get(config, "responseSchema")
        prompt.schema = mapping(schema) or {"type": "object", "properties": {"answer": {"type": "string"}}}
    prompt.cached_tokens = min(mind.number(prompt.marks, "cached", 0), prompt.input_tokens)
    return prompt


def _read_parts(prompt: Prompt, content: Json, path: str) -> tuple[str, list[Result]]:
    said: list[str] = []
    results: list[Result] = []
    for at, entry in enumerate(items(content.get("parts"))):
        part = mapping(entry)
        if isinstance(part.get("text"), str):
            if not part.get("thought"):
                said.append(part["text"])
        elif (blob := mapping(_get(part, "inlineData"))) or (blob := mapping(_get(part, "fileData"))):
            prompt.media.append(_media(blob, f"{path}.parts[{at}]"))
        elif call := mapping(_get(part, "functionCall")):
            prompt.history.append(str(call.get("args")))
            signature = _get(part, "thoughtSignature")
            given = text(signature).replace("-", "+").replace("_", "/")  # the SDK writes the other alphabet
            if signature is not None and given not in (mind.sign(text(call.get("name"))), *UNSIGNED):
                refuse(f"{path}.parts[{at}]: Thought signature is not valid.")
        elif response := mapping(_get(part, "functionResponse")):
            inner, _ = _read_parts(prompt, response, f"{path}.parts[{at}].function_response")
            told = mapping(response.get("response"))
            shown = encode(told).decode() + inner
            prompt.history.append(shown)
            results.append(Result(name=text(response.get("name")), text=shown, is_error="error" in told))
    return "\n".join(said), results


def _media(blob: Json, path: str) -> Media:
    mime = text(_get(blob, "mimeType"))
    kind: Any = mime.partition("/")[0]
    if kind not in ("image", "audio", "video"):
        kind = "document"
    if _get(blob, "fileUri"):
        return Media(kind=kind, media_type=mime, url=text(_get(blob, "fileUri")))
    given = text(blob.get("data")).replace("-", "+").replace("_", "/")
    data = unbase64(given)
    if data is None:
        refuse(f"Invalid value at '{path}.inline_data.data' (TYPE_BYTES), Base64 decoding failed")
    return Media(kind=kind, media_type=mime, data=data)


def _usage(prompt: Prompt, plan: Plan, count: int = 1) -> Json:
    inside, out, thought = prompt.input_tokens, plan.output_tokens * count, plan.thinking_tokens * count
    usage: Json = {
        "promptTokenCount": inside,
        "candidatesTokenCount": out,
        "totalTokenCount": inside + out + thought,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": inside}],
    }
    if thought:
        usage["thoughtsTokenCount"] = thought
    if prompt.cached_tokens:
        usage["cachedContentTokenCount"] = prompt.cached_tokens
    return usage


def _call_parts(plan: Plan) -> list[Json]:
    return [
        {
            "functionCall": {"id": f"fc_{call.id}", "name": call.name, "args": call.arguments},
            "thoughtSignature": mind.sign(call.name),
        }
        for call in plan.calls
    ]


def _parts(plan: Plan, shown: bool) -> list[Json]:
    parts: list[Json] = []
    if plan.thinking and shown:
        parts.append({"text": "".join(plan.thinking), "thought": True})
    if plan.pieces:
        parts.append({"text": plan.text})
    return parts + _call_parts(plan)


def _steps(prompt: Prompt, plan: Plan, tail: Json, fault: Fault | None, *, shown: bool) -> list[Step]:
    silent = fault in ("late-usage", "no-usage")
    parts: list[Json] = []
    if shown:
        parts += [{"text": piece, "thought": True} for piece in plan.thinking]
    parts += [{"text": piece} for piece in plan.pieces]
    parts += _call_parts(plan)
    steps: list[Step] = []
    base = prompt.input_tokens + plan.thinking_tokens
    for at, part in enumerate(parts):
        candidate: Json = {"content": {"parts": [part], "role": "model"}, "index": 0}
        event: Json = {"candidates": [candidate]}
        if not silent:
            event["usageMetadata"] = {"promptTokenCount": prompt.input_tokens, "totalTokenCount": base + at + 1}
        steps.append(Step(encode({**event, **tail}), token=True))
    last: Json = {
        "content": {"parts": [{"text": ""}], "role": "model"},
        "finishReason": FINISHES[plan.ending],
        "index": 0,
    }
    event = {"candidates": [last]}
    if fault != "no-usage":
        event["usageMetadata"] = _usage(prompt, plan)
    steps.append(Step(encode({**event, **tail}), after_ms=LATE_USAGE_MS if fault == "late-usage" else 0))
    return steps


def models(asked: Asked, names: list[str]) -> Said:
    """``GET /v1beta/models``."""
    return Said(body=encode({"models": [_model(name) for name in names]}))


def model(asked: Asked, name: str, names: list[str]) -> Said:
    """``GET /v1beta/models/{model}``. Raises Refusal."""
    if name not in names:
        refuse(f"models/{name} is not found for API version v1beta.", 404, "NOT_FOUND")
    return Said(body=encode(_model(name)))


def _model(name: str) -> Json:
    embeds = name.endswith("embedding")
    return {
        "name": f"models/{name}",
        "version": "001",
        "displayName": name,
        "description": "The sandbox",
        "inputTokenLimit": 200_000,
        "outputTokenLimit": 64_000,
        "supportedGenerationMethods": ["embedContent", "batchEmbedContents"]
        if embeds
        else ["generateContent", "countTokens"],
    }
