"""Reads a request in Anthropic's words into a neutral call; ``count_tokens`` has no ``max_tokens``."""

from __future__ import annotations

from ruxa.dialects.anthropic_messages.blocks import DIALECT, cache_of, read_content
from ruxa.dialects.anthropic_messages.fields import Fields, items_of, object_text, plain
from ruxa.dialects.anthropic_messages.read import read_cap, undated
from ruxa.dialects.anthropic_messages.table import MESSAGES
from ruxa.dialects.anthropic_messages.thinking import read_thinking
from ruxa.dialects.body import cut, kind_word
from ruxa.dialects.call import (
    Cache,
    Call,
    Format,
    Media,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
)
from ruxa.dialects.dialect import Place
from ruxa.dialects.losses import Loss

_READ = frozenset(
    {
        "messages",
        "model",
        "max_tokens",
        "stream",
        "system",
        "tools",
        "tool_choice",
        "thinking",
        "output_config",
        "output_format",
        "temperature",
        "top_p",
        "top_k",
        "stop_sequences",
        "cache_control",
        "metadata",
        "user_profile_id",
    }
)
_TOOL = frozenset({"type", "name", "description", "input_schema", "strict", "cache_control"})
_MESSAGE = frozenset({"role", "content"})
_CHOICES = "Input should be 'auto', 'any', 'tool' or 'none'"


def read_call(place: Place, body: bytes) -> Call:
    """See ``translator.Translator``."""
    fields = Fields.of(cut(body))
    losses: list[Loss] = []
    hosted: dict[str, str] = {}
    call = Call(
        model=fields.text("model"),
        turns=_system(fields, losses) + _messages(fields, losses),
        tools=_tools(fields, hosted, losses),
        stream=fields.flag("stream") is True,
        temperature=fields.share("temperature"),
        top_p=fields.share("top_p"),
        top_k=fields.count("top_k"),
        stop=fields.texts("stop_sequences"),
    )
    _read_cap(call, place, fields)
    _read_choice(call, fields, hosted, losses)
    _read_output(call, fields, losses)
    _read_identity(call, fields, losses)
    if (mark := cache_of(fields)) is not None:
        _mark_last(call.turns, mark)
    _tell(fields, losses)
    call.losses = tuple(losses)
    return call


def _read_cap(call: Call, place: Place, fields: Fields) -> None:
    raw = fields.raw("max_tokens")
    if raw is not None:
        call.cap = read_cap(raw)
    elif place.endpoint != "count_tokens":
        fields.need("max_tokens")
        raise fields.refuse("max_tokens", "Input should be a valid integer")


def _tell(fields: Fields, losses: list[Loss]) -> None:
    """Top-level members that no neutral call holds; values that only say the usual are no loss."""
    seen: list[Loss] = []
    fields.rest(_READ, seen)
    for loss in seen:
        field = MESSAGES.get(loss.param)
        raw = fields.raw(loss.param)
        if field is None or raw is None or bytes(raw) not in field.free:
            losses.append(loss)


def _system(fields: Fields, losses: list[Loss]) -> list[Turn]:
    raw = fields.raw("system")
    if raw is None:
        return []
    parts = read_content(raw, "system", "system", losses)
    if not any(isinstance(part, Text) and part.text for part in parts):
        return []
    return [Turn(role="system", parts=parts, at="system")]


def _messages(fields: Fields, losses: list[Loss]) -> list[Turn]:
    turns: list[Turn] = []
    for number, item in enumerate(items_of(fields.need("messages"), "messages")):
        message = Fields(item, f"messages.{number}")
        turns.append(_turn(message, f"messages.{number}", losses))
        message.rest(_MESSAGE, losses)
    return turns


def _turn(message: Fields, at: str, losses: list[Loss]) -> Turn:
    role = message.text("role")
    content = message.need("content")
    path = message.path("content")
    if role == "user":
        return Turn(role="user", parts=read_content(content, path, "user", losses), at=at)
    if role == "assistant":
        return Turn(role="assistant", parts=read_content(content, path, "assistant", losses), at=at)
    if role == "system":
        return Turn(role="system", parts=read_content(content, path, "system", losses), at=at)
    raise message.refuse("role", "Input should be 'user', 'assistant' or 'system'")


def _mark_last(turns: list[Turn], mark: Cache) -> None:
    """The top-level mark stands for one on the last block that can bear one."""
    for turn in reversed(turns):
        for part in reversed(turn.parts):
            if isinstance(part, Text | Media | ToolCall | ToolResult):
                part.cache = part.cache or mark
                return


def _tools(fields: Fields, hosted: dict[str, str], losses: list[Loss]) -> list[Tool]:
    """hosted: filled with what the provider's own tools are called by the caller, and by Anthropic."""
    tools: list[Tool] = []
    for number, item in enumerate(fields.items("tools")):
        tool = Fields(item, f"tools.{number}")
        kind = tool.text_or("type")
        if kind not in ("", "custom"):
            hosted[tool.text_or("name")] = word = plain(undated(kind))
            mark = cache_of(tool)
            tools.append(Tool(name=word, kind="hosted", raw=bytes(item), dialect=DIALECT, cache=mark))
            continue
        schema = tool.need("input_schema")
        object_text(schema, tool.path("input_schema"))
        tools.append(
            Tool(
                name=tool.text("name"),
                description=tool.text_or("description"),
                schema=bytes(schema),
                strict=tool.flag("strict"),
                cache=cache_of(tool),
            )
        )
        tool.rest(_TOOL, losses, "tools.")
    return tools


def _read_choice(call: Call, fields: Fields, hosted: dict[str, str], losses: list[Loss]) -> None:
    choice = fields.inner("tool_choice")
    if choice is None:
        return
    kind = choice.text("type")
    if kind == "tool":
        name = choice.text("name")
        call.choice = ToolChoice(mode="any", names=(hosted.get(name, name),))
    elif kind == "any":
        call.choice = ToolChoice(mode="any")
    elif kind == "auto":
        call.choice = ToolChoice(mode="auto")
    elif kind == "none":
        call.choice = ToolChoice(mode="none")
    else:
        raise choice.refuse("type", _CHOICES)
    single = choice.flag("disable_parallel_tool_use")
    call.parallel = None if single is None else not single
    choice.rest(frozenset({"type", "name", "disable_parallel_tool_use"}), losses, "tool_choice.")


def _read_output(call: Call, fields: Fields, losses: list[Loss]) -> None:
    output = fields.inner("output_config")
    effort = "" if output is None else output.text_or("effort")
    call.reasoning = read_thinking(fields.inner("thinking"), effort, losses)
    wanted = fields.inner("output_format")
    if output is not None:
        output.rest(frozenset({"effort", "format"}), losses, "output_config.")
        wanted = output.inner("format") or wanted
    if wanted is None:
        return
    if wanted.text("type") != "json_schema":
        raise wanted.refuse("type", "Input should be 'json_schema'")
    schema = wanted.need("schema")
    if kind_word(schema) != "object":
        raise wanted.refuse("schema", "Input should be a valid object")
    call.format = Format(kind="schema", schema=bytes(schema), strict=True)


def _read_identity(call: Call, fields: Fields, losses: list[Loss]) -> None:
    metadata = fields.inner("metadata")
    if metadata is not None:
        call.identity = metadata.text_or("user_id")
        metadata.rest(frozenset({"user_id"}), losses, "metadata.")
    profile = fields.text_or("user_profile_id")
    call.identity = call.identity or profile
