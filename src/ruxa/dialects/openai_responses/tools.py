"""Tools of responses: functions, free-text tools, namespaces of both, what only this vendor runs; and the choice."""

from __future__ import annotations

import msgspec

from ruxa.dialects.call import Call, Tool, ToolChoice, flat
from ruxa.dialects.losses import Loss
from ruxa.dialects.openai_fields import Fields
from ruxa.dialects.openai_responses.words import plain
from ruxa.kernel.errors import InvalidCall

NOTHING = b'{"type":"object","properties":{}}'
# Members that say how this vendor handles a tool and nothing of the tool itself.
_HANDLING = ("defer_loading", "allowed_callers", "async")
_IDLE = frozenset({b"false", b"[]", b'["direct"]'})


def read_tools(body: Fields, losses: list[Loss]) -> list[Tool]:
    """The list ``tools``. Raises InvalidCall."""
    path = body.path("tools")
    found: list[Tool] = []
    for at, raw in enumerate(body.items("tools")):
        found += _read_tool(raw, f"{path}[{at}]", losses)
    return found


def _read_tool(raw: msgspec.Raw, at: str, losses: list[Loss], space: str = "", about: str = "") -> list[Tool]:
    fields = Fields.of(raw, at)
    kind = fields.must("type")
    if kind == "namespace" and not space:
        name = fields.must("name")
        said = fields.text("description") or ""
        inner = fields.items("tools")
        losses += fields.lost("tools")
        path = fields.path("tools")
        return [
            tool
            for number, each in enumerate(inner)
            for tool in _read_tool(each, f"{path}[{number}]", losses, name, said)
        ]
    if kind not in ("function", "custom"):
        return [Tool(name=plain(kind), kind="hosted", raw=bytes(raw), dialect="openai_responses")]
    name = fields.must("name")
    tool = Tool(name=name, description=fields.text("description") or "", namespace=space, about=about)
    if kind == "custom":
        tool.kind = "custom"
        tool.schema = fields.object("format")
    else:
        tool.schema = fields.object("parameters")
        tool.strict = fields.flag("strict")
    for word in _HANDLING:
        handling = fields.raw(word)
        if handling is not None and bytes(handling) not in _IDLE:
            losses.append(Loss(f"tools.{word}", fields.path(word)))
    losses += fields.lost("tools")
    return [tool]


def read_choice(body: Fields, tools: list[Tool]) -> tuple[ToolChoice | None, list[Tool]]:
    """``tool_choice``, and the tools that it leaves: ``allowed_tools`` is a shorter list. Raises InvalidCall."""
    if body.kind("tool_choice") == "string":
        word = body.must("tool_choice")
        match word:
            case "auto" | "none":
                return ToolChoice(mode=word), tools
            case "required":
                return ToolChoice(mode="any"), tools
            case _:
                body.refuse("tool_choice", f"Invalid value for '{body.path('tool_choice')}': '{plain(word)}'.")
    fields = body.inner("tool_choice")
    if fields is None:
        return None, tools
    kind = fields.must("type")
    if kind in ("function", "custom"):
        name = _chosen(fields, tools)
        return ToolChoice(mode="any", names=(name,)), tools
    if kind != "allowed_tools":
        _refuse_hosted(fields.at, kind)
    path = fields.path("tools")
    names: set[str] = set()
    for at, raw in enumerate(fields.items("tools")):
        each = Fields.of(raw, f"{path}[{at}]")
        if each.text("type") in ("function", "custom"):
            names.add(_chosen(each, tools))
    kept = [tool for tool in tools if tool.kind != "hosted" and flat(tool.namespace, tool.name) in names]
    if not kept:
        fields.refuse("tools", f"'{path}' names none of the tools that the caller carries out.")
    return ToolChoice(mode="any" if fields.text("mode") == "required" else "auto"), kept


def _chosen(fields: Fields, tools: list[Tool]) -> str:
    """The flat name of the tool that is named; a bare name also finds the one tool of a namespace."""
    name = fields.must("name")
    space = fields.text("namespace") or ""
    fitting = [tool for tool in tools if tool.name == name and (not space or tool.namespace == space)]
    if not fitting:
        fields.refuse("name", f"'{fields.path('name')}' names no tool of 'tools'.")
    return flat(fitting[0].namespace, name)


def _refuse_hosted(at: str, kind: str) -> None:
    raise InvalidCall(
        f"'{at}' asks for the tool '{plain(kind)}', which only its own vendor runs; this model's provider cannot.",
        code="unsupported_tool",
        param=at,
    )


def write_tools(tools: list[Tool], losses: list[Loss], *, strict: bool = True) -> list[object]:
    """The list ``tools``. strict: the provider takes the word."""
    written: list[object] = []
    spaces: dict[str, list[dict[str, object]]] = {}
    for tool in tools:
        if tool.kind == "hosted":
            if tool.dialect == "openai_responses":
                written.append(msgspec.Raw(tool.raw))
            else:
                losses.append(Loss(f"tools.{tool.name}", "tools"))
            continue
        one = _write_tool(tool, strict=strict)
        if not tool.namespace:
            written.append(one)
        elif tool.namespace in spaces:
            spaces[tool.namespace].append(one)
        else:
            inner = spaces[tool.namespace] = [one]
            about = tool.about or tool.namespace
            written.append({"type": "namespace", "name": tool.namespace, "description": about, "tools": inner})
    return written


def _write_tool(tool: Tool, *, strict: bool) -> dict[str, object]:
    one: dict[str, object] = {"type": tool.kind, "name": tool.name}
    if tool.description:
        one["description"] = tool.description
    if tool.kind == "custom":
        if tool.schema:
            one["format"] = msgspec.Raw(tool.schema)
        return one
    one["parameters"] = msgspec.Raw(tool.schema or NOTHING)
    if strict:  # left out it would mean true, which most schemas do not stand
        one["strict"] = tool.strict is True
    return one


def write_choice(call: Call) -> object | None:
    """``tool_choice``, None when nothing was said."""
    choice = call.choice
    if choice is None:
        return None
    if choice.mode == "none" or not choice.names:
        return "required" if choice.mode == "any" else choice.mode
    named = [_named(call, name) for name in choice.names]
    if choice.mode == "any" and len(named) == 1:
        return named[0]
    return {"type": "allowed_tools", "mode": "required" if choice.mode == "any" else "auto", "tools": named}


def _named(call: Call, name: str) -> dict[str, object]:
    for tool in call.tools:
        if tool.kind != "hosted" and name in (tool.name, flat(tool.namespace, tool.name)):
            return {"type": tool.kind, "name": tool.name}
    raise InvalidCall(
        "The tool that must be used is not one that this model can be given.", code="unknown_tool", param="tool_choice"
    )
