"""Reads a request of Google's as a ``Call``: generateContent, streamGenerateContent and countTokens."""

from __future__ import annotations

from typing import Literal

import msgspec

from ruxa.dialects.body import cut, kind_word, take
from ruxa.dialects.call import Call, Format, Media, Reasoning, Tool, ToolChoice, ToolResult, Turn, identified
from ruxa.dialects.dialect import Place
from ruxa.dialects.gemini_generate.contents import Reading, detail_of
from ruxa.dialects.gemini_generate.members import Members, plain, refuse
from ruxa.dialects.gemini_generate.read import style
from ruxa.dialects.gemini_generate.schema import json_schema
from ruxa.dialects.losses import Loss
from ruxa.kernel.errors import InvalidCall

_FREE_TIERS = frozenset({"", "STANDARD"})
_CHOICES_MAX = 64
_MODES: dict[str, Literal["auto", "any", "none"]] = {"AUTO": "auto", "VALIDATED": "auto", "ANY": "any", "NONE": "none"}

_decode_items = msgspec.json.Decoder(list[msgspec.Raw]).decode


def read_call(place: Place, body: bytes) -> Call:
    """See ``translator.Translator``. In a countTokens body the call is its ``generateContentRequest``, or itself."""
    cut(body)
    asked = Members(body, "")
    if place.endpoint == "count_tokens":
        asked = asked.inner("generateContentRequest") or asked
    call = Call(model=place.model, turns=[], stream=place.stream, usage=True)
    losses: list[Loss] = []
    asked.text("model")
    asked.flag("store")
    _refuse_cached(asked)
    _read_contents(asked, call, losses)
    _read_tools(asked, call, losses)
    config = asked.inner("generationConfig")
    if config is not None:
        _read_config(config, call, losses)
    if asked.word("serviceTier") not in _FREE_TIERS:
        losses.append(Loss("service_tier", asked.at("serviceTier")))
    losses.extend(asked.lost())
    call.losses = tuple(losses)
    return identified(call)


def _refuse_cached(asked: Members) -> None:
    """What lies in Google's cache, nobody else can see (W78)."""
    if asked.text("cachedContent"):
        path = asked.at("cachedContent")
        raise InvalidCall(
            f"'{path}' names content kept at Google, and this model is served by another provider: send the content "
            "itself.",
            code="cached_content_not_translatable",
            param=path,
        )


def _read_contents(asked: Members, call: Call, losses: list[Loss]) -> None:
    reading = Reading()
    system = asked.take("systemInstruction")
    if system is not None:
        reading.system(system, asked.at("systemInstruction"))
    raw = asked.take("contents")
    path = asked.at("contents")
    told = []
    if raw is not None:
        told = [raw] if kind_word(raw) == "object" else take(path, _decode_items, raw, style)
    if not told:
        raise InvalidCall(
            f"* GenerateContentRequest.contents: {path} is not specified\n", code="missing_field", param=path
        )
    for index, content in enumerate(told):
        reading.content(content, f"{path}[{index}]")
    call.turns = reading.turns
    losses.extend(reading.losses)


def _read_tools(asked: Members, call: Call, losses: list[Loss]) -> None:
    tools: list[Tool] = []
    for tool in asked.objects("tools"):
        for declared in tool.objects("functionDeclarations"):
            tools.append(_function(declared))
            losses.extend(declared.lost("tools."))
        for name in tool.rest():
            raw = tool.take(name)
            assert raw is not None
            tools.append(
                Tool(
                    name=plain(name),
                    kind="hosted",
                    raw=b'{"%b":%b}' % (name.encode(), bytes(raw)),
                    dialect="gemini_generate",
                )
            )
    call.tools = tools
    config = asked.inner("toolConfig")
    if config is None:
        return
    calling = config.inner("functionCallingConfig")
    if calling is not None:
        call.choice = _choice(calling)
        losses.extend(calling.lost("tool_config."))
    losses.extend(config.lost("tool_config."))


def _function(declared: Members) -> Tool:
    name = declared.text("name")
    if not name:
        refuse(declared.at("name"), "a function declaration needs a name")
    description = declared.text("description") or ""
    schema = declared.json_object("parametersJsonSchema")
    google = declared.take("parameters")
    if google is not None and schema:
        refuse(declared.at("parameters"), "set either parameters or parameters_json_schema")
    if google is not None:
        schema = json_schema(google, declared.at("parameters"))
    return Tool(name=name, description=description, schema=schema)


def _choice(calling: Members) -> ToolChoice | None:
    """VALIDATED leaves the model its choice, within the names."""
    names = calling.texts("allowedFunctionNames")
    mode = calling.word("mode")
    if not mode:
        return None
    if mode not in _MODES:
        refuse(calling.at("mode"), "expected AUTO, ANY, NONE or VALIDATED")
    return ToolChoice(mode=_MODES[mode], names=names if mode in ("ANY", "VALIDATED") else ())


def _read_config(config: Members, call: Call, losses: list[Loss]) -> None:
    call.cap = _positive(config, "maxOutputTokens")
    call.choices = _positive(config, "candidateCount") or 1
    if call.choices > _CHOICES_MAX:
        refuse(config.at("candidateCount"), f"expected an integer from 1 to {_CHOICES_MAX}")
    call.temperature = config.number("temperature")
    call.top_p = config.number("topP")
    call.top_k = config.integer("topK")
    call.seed = config.integer("seed")
    call.stop = config.texts("stopSequences")
    call.presence_penalty = config.number("presencePenalty")
    call.frequency_penalty = config.number("frequencyPenalty")
    wanted = config.integer("logprobs")
    if config.flag("responseLogprobs"):
        call.logprobs = wanted or 0
    call.modalities = tuple(word.lower() for word in config.texts("responseModalities"))
    call.reasoning = _reasoning(config.inner("thinkingConfig"), losses)
    _read_format(config, call, losses)
    detail = detail_of(config.word("mediaResolution"))
    if detail:
        _look(call.turns, detail)
    losses.extend(config.lost("generation_config."))


def _positive(config: Members, name: str) -> int | None:
    value = config.integer(name)
    if value is not None and not 1 <= value < 2**31:
        refuse(config.at(name), "expected a positive integer")
    return value


def _reasoning(thinking: Members | None, losses: list[Loss]) -> Reasoning | None:
    if thinking is None:
        return None
    shown = thinking.flag("includeThoughts") or False
    budget = thinking.integer("thinkingBudget")
    level = thinking.word("thinkingLevel").lower()
    losses.extend(thinking.lost("thinking_config."))
    if level:
        return Reasoning(effort=level, shown=shown)
    if budget is None:
        return Reasoning(shown=shown)
    if budget == 0:
        return Reasoning(mode="off", shown=shown)
    return Reasoning(mode="adaptive", shown=shown) if budget < 0 else Reasoning(mode="on", budget=budget, shown=shown)


def _read_format(config: Members, call: Call, losses: list[Loss]) -> None:
    media_type = (config.text("responseMimeType") or "").lower()
    schema = config.json_object("responseJsonSchema") or config.json_object("_responseJsonSchema")
    google = config.take("responseSchema")
    if google is not None and not schema:
        schema = json_schema(google, config.at("responseSchema"))
    if media_type not in ("", "text/plain", "application/json"):
        losses.append(Loss("response_mime_type", config.at("responseMimeType")))
    elif schema:
        call.format = Format(kind="schema", schema=schema)
    elif media_type == "application/json":
        call.format = Format(kind="json")


def _look(turns: list[Turn], detail: str) -> None:
    """``mediaResolution`` is said once for all media; what a part says of itself stands over it."""
    for turn in turns:
        for part in turn.parts:
            for each in part.parts if isinstance(part, ToolResult) else [part]:
                if isinstance(each, Media) and not each.detail and each.kind != "audio":
                    each.detail = detail
