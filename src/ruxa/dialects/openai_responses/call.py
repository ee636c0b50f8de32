"""Reads a request for a response into a ``Call``."""

from __future__ import annotations

import msgspec

from ruxa.dialects.body import cut, spans
from ruxa.dialects.call import Call, Format, Reasoning, Text, Turn
from ruxa.dialects.dialect import Place
from ruxa.dialects.losses import Loss
from ruxa.dialects.openai import TOKENS_MAX, read_model, refuse_missing
from ruxa.dialects.openai_fields import Fields
from ruxa.dialects.openai_responses.items import read_items
from ruxa.dialects.openai_responses.read import refuse_kept
from ruxa.dialects.openai_responses.table import CREATE
from ruxa.dialects.openai_responses.tools import read_choice, read_tools
from ruxa.dialects.openai_responses.words import plain

LOGPROBS = "message.output_text.logprobs"

ECHOED = (
    "instructions", "max_output_tokens", "max_tool_calls", "metadata", "parallel_tool_calls", "previous_response_id",
    "prompt_cache_key", "prompt_cache_retention", "reasoning", "safety_identifier", "temperature", "text",
    "tool_choice", "tools", "top_logprobs", "top_p", "truncation", "user",
)  # fmt: skip
"""Settings of a request that its response repeats."""

# What the caller's request says to nobody but Ruxa, or what means nothing once it is translated.
_OWN = ("model", "store", "previous_response_id", "conversation", "background", "metadata", "client_metadata")
_FREE_TIERS = ("auto", "default")


def read_call(place: Place, body: bytes) -> Call:
    """See ``translator.Translator``."""
    members = cut(body)
    spans(body, members)  # a name that comes twice
    refuse_kept(members)
    fields = Fields(members, "")
    losses: list[Loss] = []
    model = read_model(members)
    fields.skip(*_OWN)
    if fields.kind("prompt"):
        fields.refuse("prompt", "'prompt' is kept at its vendor, and this model's provider is another.")
    tools = read_tools(fields, losses)
    choice, tools = read_choice(fields, tools)
    call = Call(
        model=model,
        turns=_turns(fields, losses),
        tools=tools,
        choice=choice,
        parallel=fields.flag("parallel_tool_calls"),
        reasoning=_reasoning(fields, losses),
        stream=fields.flag("stream") is True,
        usage=True,
        cap=_count(fields, "max_output_tokens"),
        temperature=fields.number("temperature"),
        top_p=fields.number("top_p"),
        logprobs=_logprobs(fields),
        identity=_identity(fields),
        cache_key=fields.text("prompt_cache_key") or "",
        echo=_echo(members),
    )
    _text(fields, call, losses)
    _settings(fields, tools=any(tool.kind == "hosted" for tool in tools), losses=losses)
    call.losses = (*losses, *(Loss(plain(name), name if name in CREATE else "") for name in _left(fields)))
    return call


def _left(fields: Fields) -> list[str]:
    return [loss.param for loss in fields.lost()]


def _turns(fields: Fields, losses: list[Loss]) -> list[Turn]:
    turns: list[Turn] = []
    instructions = fields.text("instructions")
    if instructions:
        turns.append(Turn(role="system", parts=[Text(text=instructions)], at="instructions"))
    kind = fields.kind("input")
    if not kind:
        refuse_missing("input")
    if kind == "string":
        turns.append(Turn(role="user", parts=[Text(text=fields.must("input"))], at="input"))
    else:
        turns += read_items(fields.items("input"), "input", losses)
    return turns


def _reasoning(fields: Fields, losses: list[Loss]) -> Reasoning | None:
    inner = fields.inner("reasoning")
    if inner is None:
        return None
    effort = inner.text("effort")
    shown = inner.text("summary") or inner.text("generate_summary")
    losses += inner.lost("reasoning")
    if effort is None and shown is None:
        return None
    return Reasoning(effort=effort, shown=True if shown else None)


def _text(fields: Fields, call: Call, losses: list[Loss]) -> None:
    inner = fields.inner("text")
    if inner is None:
        return
    call.verbosity = inner.text("verbosity")
    form = inner.inner("format")
    losses += inner.lost("text")
    if form is None:
        return
    kind = form.must("type")
    match kind:
        case "text":
            pass
        case "json_object":
            call.format = Format(kind="json")
        case "json_schema":
            schema = form.object("schema")
            if not schema:
                refuse_missing(form.path("schema"))
            call.format = Format(
                kind="schema",
                name=form.must("name"),
                description=form.text("description") or "",
                schema=schema,
                strict=form.flag("strict"),
            )
        case _:
            form.refuse("type", f"Invalid value for '{form.path('type')}': '{plain(kind)}'.")
    losses += form.lost("text.format")


def _count(fields: Fields, name: str) -> int | None:
    value = fields.int(name)
    if value is not None and not 1 <= value <= TOKENS_MAX:
        fields.refuse(name, f"Invalid value for '{name}': expected an integer from 1 to {TOKENS_MAX}.")
    return value


def _logprobs(fields: Fields) -> int | None:
    most = fields.int("top_logprobs")
    asked = LOGPROBS in fields.words("include")
    return (most or 0) if asked or most else None


def _identity(fields: Fields) -> str:
    identifier, user = fields.text("safety_identifier"), fields.text("user")
    return identifier or user or ""


def _settings(fields: Fields, *, tools: bool, losses: list[Loss]) -> None:
    """Settings that have no place elsewhere: a loss when they ask for something."""
    if (tier := fields.text("service_tier")) is not None and tier not in _FREE_TIERS:
        losses.append(Loss("service_tier", "service_tier"))
    if fields.text("truncation") == "auto":
        losses.append(Loss("truncation", "truncation"))
    if fields.int("max_tool_calls") is not None and tools:
        losses.append(Loss("max_tool_calls", "max_tool_calls"))
    fields.skip("stream_options")


def _echo(members: dict[str, msgspec.Raw]) -> bytes:
    return msgspec.json.encode({name: members[name] for name in ECHOED if name in members})
