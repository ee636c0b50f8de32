"""Reads a chat completion's request as a call."""

from __future__ import annotations

import msgspec

from ruxa.dialects.body import cut
from ruxa.dialects.call import Call, Format, Reasoning, Tool, ToolChoice, Turn
from ruxa.dialects.dialect import Place
from ruxa.dialects.losses import Loss
from ruxa.dialects.openai import read_int, read_model, read_tokens, refuse_missing
from ruxa.dialects.openai_chat.parts import read_cache
from ruxa.dialects.openai_chat.read import CHOICES_MAX
from ruxa.dialects.openai_chat.table import CHAT
from ruxa.dialects.openai_chat.turns import read_turns
from ruxa.dialects.openai_fields import Fields

WEB_SEARCH = "web_search"
"""The hosted tool that this dialect switches on by ``web_search_options``."""


def read_call(place: Place, body: bytes) -> Call:
    """See ``translator.Translator``."""
    members = cut(body)
    fields = Fields(members, "")
    losses: list[Loss] = []
    call = Call(model=read_model(members), turns=_turns(fields, losses))
    fields.skip("model")
    call.stream = fields.flag("stream") is True
    options = fields.inner("stream_options")
    call.usage = call.stream and options is not None and options.flag("include_usage") is True
    _tools(fields, call, losses)
    _limits(fields, call)
    _sampling(fields, call)
    effort = fields.text("reasoning_effort")
    if effort is not None:
        call.reasoning = Reasoning(mode="off" if effort == "none" else None, effort=effort)
    call.format = _format(fields, losses)
    call.verbosity = fields.text("verbosity")
    words = fields.words("modalities")
    call.modalities = tuple(words) if words != ["text"] else ()
    user = fields.text("user")
    call.identity = fields.text("safety_identifier") or user or ""
    call.cache_key = fields.text("prompt_cache_key") or ""
    for name in members:
        line = CHAT.get(name)
        if line is not None and (line.kind in ("own", "identity") or bytes(members[name]) in line.free):
            fields.skip(name)
    call.losses = (*losses, *fields.lost())
    return call


def _turns(fields: Fields, losses: list[Loss]) -> list[Turn]:
    if not fields.kind("messages"):
        refuse_missing("messages")
    messages = fields.items("messages")
    if not messages:
        fields.refuse("messages", "Invalid 'messages': empty array. Expected an array with minimum length 1.")
    return read_turns(messages, losses)


def _limits(fields: Fields, call: Call) -> None:
    """Caps and counts. The newer cap wins over the older one (W05)."""
    older, newer = fields.raw("max_tokens"), fields.raw("max_completion_tokens")
    if older is not None:
        call.cap = read_tokens("max_tokens", older)
    if newer is not None:
        call.cap = read_tokens("max_completion_tokens", newer)
    choices = fields.raw("n")
    if choices is not None:
        call.choices = read_int("n", choices, CHOICES_MAX)
    told = fields.flag("logprobs")
    most = fields.int("top_logprobs")
    if told:
        call.logprobs = most or 0


def _sampling(fields: Fields, call: Call) -> None:
    call.temperature = fields.number("temperature")
    call.top_p = fields.number("top_p")
    call.seed = fields.int("seed")
    call.presence_penalty = fields.number("presence_penalty")
    call.frequency_penalty = fields.number("frequency_penalty")
    bias = fields.object("logit_bias")
    call.logit_bias = b"" if bias == b"{}" else bias
    if fields.kind("stop") == "array":
        call.stop = tuple(fields.words("stop"))
    else:
        stop = fields.text("stop")
        call.stop = () if stop is None else (stop,)


def _tools(fields: Fields, call: Call, losses: list[Loss]) -> None:
    call.tools = [_tool(Fields.of(raw, f"tools[{at}]"), raw, losses) for at, raw in enumerate(fields.items("tools"))]
    older = [Fields.of(raw, f"functions[{at}]") for at, raw in enumerate(fields.items("functions"))]
    choice = fields.raw("function_call")
    if older or choice is not None:
        call.functions = True
        call.parallel = False
        call.tools += [_function(each, losses) for each in older]
    searching = fields.object("web_search_options")
    if searching:
        call.tools.append(Tool(name=WEB_SEARCH, kind="hosted", raw=searching, dialect="openai_chat"))
    parallel = fields.flag("parallel_tool_calls")
    if parallel is not None:
        call.parallel = parallel
    if choice is not None:
        call.choice = _choice(fields, "function_call", choice)
    newer = fields.raw("tool_choice")
    if newer is not None:
        call.choice = _choice(fields, "tool_choice", newer)


def _tool(tool: Fields, raw: msgspec.Raw, losses: list[Loss]) -> Tool:
    kind = tool.must("type")
    if kind not in ("function", "custom"):
        return Tool(name=kind, kind="hosted", raw=bytes(raw), dialect="openai_chat")
    inner = tool.inner(kind)
    if inner is None:
        refuse_missing(tool.path(kind))
    if kind == "function":
        found = _function(inner, losses)
    else:
        found = Tool(
            name=inner.must("name"),
            kind="custom",
            description=inner.text("description") or "",
            schema=inner.object("format"),
        )
        losses += inner.lost("tools")
    found.cache = found.cache or read_cache(tool)
    losses += tool.lost("tools")
    return found


def _function(inner: Fields, losses: list[Loss]) -> Tool:
    found = Tool(
        name=inner.must("name"),
        description=inner.text("description") or "",
        schema=inner.object("parameters"),
        strict=inner.flag("strict"),
        cache=read_cache(inner),
    )
    losses += inner.lost("tools")
    return found


_MODES: dict[str, ToolChoice] = {
    "auto": ToolChoice(mode="auto"),
    "none": ToolChoice(mode="none"),
    "required": ToolChoice(mode="any"),
    "any": ToolChoice(mode="any"),
}


def _choice(fields: Fields, name: str, raw: msgspec.Raw) -> ToolChoice:
    """``auto``, ``none``, ``required``, one named tool, or some allowed ones."""
    again = Fields({name: raw}, "")
    if again.kind(name) == "string":
        word = again.must(name)
        if word not in _MODES:
            fields.refuse(name, f"Invalid value: '{word}'. Supported values are: 'none', 'auto', and 'required'.")
        return _MODES[word]
    choice = Fields.of(raw, name)
    if name == "function_call":
        return ToolChoice(mode="any", names=(choice.must("name"),))
    kind = choice.must("type")
    inner = choice.inner(kind) if kind in ("function", "custom", "allowed_tools") else None
    if inner is None:
        choice.refuse("type", f"'{kind}' cannot be chosen here: name a function or custom tool of this call.")
    if kind != "allowed_tools":
        return ToolChoice(mode="any", names=(inner.must("name"),))
    names: list[str] = []
    for at, each in enumerate(inner.items("tools")):
        tool = Fields.of(each, f"{inner.path('tools')}[{at}]")
        named = tool.inner(tool.must("type"))
        if named is None:
            refuse_missing(tool.path("function"))
        names.append(named.must("name"))
    return ToolChoice(mode="auto" if inner.text("mode") == "auto" else "any", names=tuple(names))


def _format(fields: Fields, losses: list[Loss]) -> Format | None:
    wanted = fields.inner("response_format")
    if wanted is None:
        return None
    kind = wanted.must("type")
    if kind == "text":
        return None
    if kind == "json_object":
        return Format(kind="json")
    schema = wanted.inner("json_schema") if kind == "json_schema" else None
    if schema is None:
        wanted.refuse("type", "Supported values are: 'text', 'json_object', and 'json_schema' with its 'json_schema'.")
    found = Format(
        kind="schema",
        name=schema.must("name"),
        description=schema.text("description") or "",
        schema=schema.object("schema"),
        strict=schema.flag("strict"),
    )
    losses += schema.lost("response_format")
    return found
