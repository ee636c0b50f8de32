"""Writes a ``Call`` as a request of Google's, everything it needs set."""

from __future__ import annotations

from typing import Any

import msgspec

from ruxa.dialects.call import Call, Reasoning, Tool, ToolChoice, flat
from ruxa.dialects.effort import budget_of, effort_of
from ruxa.dialects.gemini_generate.subset import subset
from ruxa.dialects.gemini_generate.table import snake
from ruxa.dialects.gemini_generate.turns import Json, Turns, shared_detail
from ruxa.dialects.losses import Loss
from ruxa.dialects.translator import Aim, Written
from ruxa.kernel.errors import InvalidCall

BUDGET_MAX = 24576
BUDGET_MIN = 512
BUDGET_LEAST = 128  # of models that cannot stop thinking
STOPS_MAX = 5

_RESOLUTIONS = {"low": "MEDIA_RESOLUTION_LOW", "high": "MEDIA_RESOLUTION_HIGH"}
_FREE_TEXT: Json = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}
_LEVELS = {"none": "MINIMAL", "minimal": "MINIMAL", "low": "LOW", "medium": "MEDIUM"}
_MODES = {"any": "ANY", "none": "NONE"}

_encode = msgspec.json.Encoder().encode


def write_call(call: Call, aim: Aim) -> Written:
    """See ``translator.Translator``."""
    losses = list(call.losses)
    turns = Turns(call, aim)
    body: Json = {"contents": turns.contents}
    losses += turns.losses
    if turns.system:
        body["systemInstruction"] = {"parts": turns.system}
    tools = _tools(call.tools, aim, losses)
    if tools:
        body["tools"] = tools
        choice = _choice(call.choice, frozenset(flat(t.namespace, t.name) for t in call.tools if t.kind != "hosted"))
        if choice is not None:
            body["toolConfig"] = {"functionCallingConfig": choice}
    if call.parallel is False:
        losses.append(Loss("parallel_tool_calls"))
    config = _config(call, aim, losses)
    if config:
        body["generationConfig"] = config
    for name in list(body):
        if name in aim.refused:
            del body[name]
            losses.append(Loss(snake(name)))
    return Written(body=_encode(body), losses=tuple(losses))


def _tools(tools: list[Tool], aim: Aim, losses: list[Loss]) -> list[object]:
    declared: list[Json] = []
    hosted: list[object] = []
    for index, tool in enumerate(tools):
        if tool.cache is not None:
            losses.append(Loss("cache_control", f"tools[{index}]"))
        if tool.kind == "hosted":
            if tool.dialect == "gemini_generate":
                hosted.append(msgspec.Raw(tool.raw))
            else:
                losses.append(Loss(f"tools.{tool.name}", f"tools[{index}]"))
            continue
        made: Json = {"name": flat(tool.namespace, tool.name)}
        if tool.description:
            made["description"] = tool.description
        if tool.strict:
            losses.append(Loss("tools.strict", f"tools[{index}]"))
        if tool.kind == "custom":
            if tool.schema:
                losses.append(Loss("tools.format", f"tools[{index}]"))
            made |= _parameters(_encode(_FREE_TEXT), aim, index)
        elif tool.schema:
            made |= _parameters(tool.schema, aim, index)
        declared.append(made)
    return [{"functionDeclarations": declared}, *hosted] if declared else hosted


def _parameters(schema: bytes, aim: Aim, index: int) -> Json:
    if "json_schema" in aim.ways:
        return {"parametersJsonSchema": msgspec.Raw(schema)}
    made = subset(schema, f"tools[{index}]")
    # Google refuses an object without properties as the whole of the parameters
    return {"parameters": made} if made.get("type") != "OBJECT" or made.get("properties") else {}


def _choice(choice: ToolChoice | None, known: frozenset[str]) -> Json | None:
    """W11. ``auto`` within names is what Google calls VALIDATED."""
    if choice is None or (choice.mode == "auto" and not choice.names):
        return None
    for name in choice.names:
        if name not in known:
            raise InvalidCall(
                "The tool choice names a tool that this model cannot be given.",
                code="unsupported_tool_choice",
                param="tool_choice",
            )
    told: Json = {"mode": _MODES.get(choice.mode, "VALIDATED")}
    if choice.names:
        told["allowedFunctionNames"] = list(choice.names)
    return told


def _config(call: Call, aim: Aim, losses: list[Loss]) -> Json:
    config: Json = {}
    told: tuple[tuple[str, Any], ...] = (
        ("maxOutputTokens", call.cap),
        ("temperature", call.temperature),
        ("topP", call.top_p),
        ("topK", call.top_k),
        ("candidateCount", call.choices if call.choices > 1 else None),
        ("presencePenalty", call.presence_penalty),
        ("frequencyPenalty", call.frequency_penalty),
        ("stopSequences", list(call.stop[:STOPS_MAX]) or None),
    )
    config |= {name: value for name, value in told if value is not None}
    if len(call.stop) > STOPS_MAX:
        losses.append(Loss("stop"))
    if call.seed is not None:
        if -(2**31) <= call.seed < 2**31:
            config["seed"] = call.seed
        else:
            losses.append(Loss("seed"))
    if call.logprobs is not None:
        config["responseLogprobs"] = True
        if call.logprobs:
            config["logprobs"] = call.logprobs
    if call.modalities and call.modalities != ("text",):
        config["responseModalities"] = [word.upper() for word in call.modalities]
    if call.logit_bias:
        losses.append(Loss("logit_bias"))
    if call.verbosity is not None:
        losses.append(Loss("verbosity"))
    resolution = _RESOLUTIONS.get(shared_detail(call))
    if resolution is not None:
        config["mediaResolution"] = resolution
    if call.format is not None:
        config["responseMimeType"] = "application/json"
        if call.format.schema:
            if "json_schema" in aim.ways:
                config["responseJsonSchema"] = msgspec.Raw(call.format.schema)
            else:
                config["responseSchema"] = subset(call.format.schema, "response_format")
    if call.reasoning is not None:
        thinking = _thinking(call.reasoning, aim, losses)
        if thinking:
            config["thinkingConfig"] = thinking
    return config


def _thinking(asked: Reasoning, aim: Aim, losses: list[Loss]) -> Json:
    """W30: a level for models that think in levels, else a budget that every model takes."""
    off = asked.mode == "off" or asked.effort == "none" or asked.budget == 0
    wanted = not off and (asked.mode is not None or asked.effort is not None or asked.budget is not None)
    if "thinking" not in aim.ways and "thinking_level" not in aim.ways:
        if wanted:
            losses.append(Loss("reasoning"))
        return {}
    told: Json = {}
    if off and "always_thinks" in aim.ways:
        losses.append(Loss("reasoning"))
        told |= {"thinkingLevel": "LOW"} if "thinking_level" in aim.ways else {"thinkingBudget": BUDGET_LEAST}
    elif "thinking_level" in aim.ways:
        effort = "none" if off else asked.effort
        if effort is None and asked.budget is not None:
            effort = effort_of(asked.budget)
        if effort is not None:
            level = _LEVELS.get(effort, "HIGH")
            told["thinkingLevel"] = "LOW" if level == "MINIMAL" and "always_thinks" in aim.ways else level
    elif off:
        told["thinkingBudget"] = 0
    elif wanted:
        told["thinkingBudget"] = _budget(asked)
    if off:
        return told
    if asked.shown is not None or wanted:
        told["includeThoughts"] = asked.shown is not False
    return told


def _budget(asked: Reasoning) -> int:
    """Tokens for thinking; -1 leaves it to the model."""
    budget = asked.budget
    if budget is None:
        if asked.effort is None:
            return -1
        budget = budget_of(asked.effort)
    return -1 if budget < 0 else max(BUDGET_MIN, min(budget, BUDGET_MAX))
