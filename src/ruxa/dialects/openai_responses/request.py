"""Writes a ``Call`` as a request for a response: everything a provider needs is set, what it cannot take is a loss."""

from __future__ import annotations

import msgspec

from ruxa.dialects import effort
from ruxa.dialects.call import Call
from ruxa.dialects.losses import Loss
from ruxa.dialects.openai_responses.call import LOGPROBS
from ruxa.dialects.openai_responses.tools import write_choice, write_tools
from ruxa.dialects.openai_responses.writing import Items
from ruxa.dialects.translator import Aim, Written

_encode = msgspec.json.Encoder().encode
CAP_MIN = 16
ENCRYPTED = "reasoning.encrypted_content"
_OURS = frozenset({"store", "safety_identifier", "prompt_cache_key", "include"})


def write_call(call: Call, aim: Aim) -> Written:
    """See ``translator.Translator``. Nothing is kept at the provider, so thinking is asked for in its own keeping."""
    losses = list(call.losses)
    ways = aim.ways
    items = Items(aim, losses)
    instructions = items.write(call)
    body: dict[str, object] = {"model": aim.model}
    if instructions:
        body["instructions"] = instructions
    body["input"] = items.items
    _tools(call, aim, body, losses)
    include: list[str] = []
    if call.cap is not None:
        cap = call.cap if aim.cap is None else min(call.cap, aim.cap)
        if cap < CAP_MIN:
            losses.append(Loss("max_output_tokens"))
        body["max_output_tokens"] = max(cap, CAP_MIN)
    if "sampling" in ways:
        if call.temperature is not None:
            body["temperature"] = call.temperature
        if call.top_p is not None:
            body["top_p"] = call.top_p
    _reasoning(call, aim, body, include, losses)
    _text(call, aim, body, losses)
    if call.logprobs is not None:
        include.append(LOGPROBS)
        if call.logprobs:
            body["top_logprobs"] = call.logprobs
    if call.identity:
        body["safety_identifier"] = call.identity
    if call.cache_key and "prompt_cache_key" in ways:
        body["prompt_cache_key"] = call.cache_key
    if include:
        body["include"] = include
    if call.stream:
        body["stream"] = True
    body["store"] = False
    for name in _OURS & aim.refused:
        body.pop(name, None)
    losses += _lost(call, aim)
    return Written(body=_encode(body), losses=tuple(losses))


def _tools(call: Call, aim: Aim, body: dict[str, object], losses: list[Loss]) -> None:
    for tool in call.tools:
        if tool.cache is not None:
            losses.append(Loss("cache_control", "tools"))
    tools = write_tools(call.tools, losses, strict="strict_tools" in aim.ways)
    choice = write_choice(call)
    if not tools:
        return
    body["tools"] = tools
    if choice is not None:
        body["tool_choice"] = choice
    if call.parallel is not None:
        body["parallel_tool_calls"] = call.parallel


def _reasoning(call: Call, aim: Aim, body: dict[str, object], include: list[str], losses: list[Loss]) -> None:
    asked = call.reasoning
    if not aim.ways & {"reasoning_effort", "thinking"}:
        if asked is not None and asked.mode != "off" and asked.effort != "none":
            losses.append(Loss("reasoning"))
        return
    include.append(ENCRYPTED)
    if asked is None:
        return
    word = asked.effort
    if word is None and asked.mode == "off":
        word = "none"
    if word is None and asked.budget is not None:
        word = effort.effort_of(asked.budget)
    said: dict[str, object] = {}
    if word is not None:
        said["effort"] = word
    if asked.shown:
        said["summary"] = "auto"
    if said:
        body["reasoning"] = said


def _text(call: Call, aim: Aim, body: dict[str, object], losses: list[Loss]) -> None:
    text: dict[str, object] = {}
    form = call.format
    if form is not None and form.kind == "json":
        text["format"] = {"type": "json_object"}
    elif form is not None and "structured_output" not in aim.ways:
        losses.append(Loss("text.format"))
        text["format"] = {"type": "json_object"}
    elif form is not None:
        schema: dict[str, object] = {"type": "json_schema", "name": form.name or "answer"}
        if form.description:
            schema["description"] = form.description
        schema["schema"] = msgspec.Raw(form.schema)
        if form.strict is not None:
            schema["strict"] = form.strict
        text["format"] = schema
    if call.verbosity is not None:
        text["verbosity"] = call.verbosity
    if text:
        body["text"] = text


def _lost(call: Call, aim: Aim) -> list[Loss]:
    """Settings that this dialect has no word for, or this model takes none of."""
    there = {
        "n": call.choices > 1,
        "top_k": call.top_k is not None,
        "stop": bool(call.stop),
        "seed": call.seed is not None,
        "presence_penalty": bool(call.presence_penalty),
        "frequency_penalty": bool(call.frequency_penalty),
        "logit_bias": bool(call.logit_bias),
        "modalities": any(word != "text" for word in call.modalities),
        "temperature": call.temperature is not None and "sampling" not in aim.ways,
        "top_p": call.top_p is not None and "sampling" not in aim.ways,
        "prompt_cache_key": bool(call.cache_key) and "prompt_cache_key" not in aim.ways,
    }
    return [Loss(name) for name, lost in there.items() if lost]
