"""Writes a neutral call as a request of Anthropic's, everything set that the model needs."""

from __future__ import annotations

import msgspec

from ruxa.dialects.anthropic_messages.blocks import DIALECT
from ruxa.dialects.anthropic_messages.fields import plain
from ruxa.dialects.anthropic_messages.parts import Block, blocks_of, marked, system_blocks, tool_name
from ruxa.dialects.anthropic_messages.structured import UNIONS, answer_tool, native
from ruxa.dialects.anthropic_messages.thinking import write_thinking
from ruxa.dialects.call import FREE_TEXT, Call, Text, Tool, Turn, identified, merged
from ruxa.dialects.losses import Loss
from ruxa.dialects.translator import Aim, Written
from ruxa.kernel.errors import InvalidCall

CAP_UNKNOWN = 8192
"""``max_tokens`` where neither the caller nor the catalogue says one: what every model of Anthropic's can give."""

SYSTEM_MARK = "[System instruction]\n"
"""Stands before an instruction that the model can only be given in a user's turn (W01)."""

_EMPTY_SCHEMA = msgspec.Raw(b'{"type":"object","properties":{}}')
_encode = msgspec.json.Encoder().encode
_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_text = msgspec.json.Decoder(str).decode


def write_call(call: Call, aim: Aim) -> Written:
    """See ``translator.Translator``."""
    call = identified(call)
    losses = list(call.losses)
    cap = _cap(call, aim)
    body: dict[str, object] = {"model": aim.model, "max_tokens": cap}
    system, turns = _turns(call, "system_anywhere" in aim.ways, losses)
    messages = _messages(turns, losses)
    if not messages:
        raise InvalidCall("This model needs a message that is not a system instruction.", code="no_messages")
    if system:
        body["system"] = system
    forced = _write_tools(body, call, aim, losses)
    asked = write_thinking(call.reasoning, aim, cap, turns, forced, losses)
    if asked.thinking is not None:
        body["thinking"] = asked.thinking
    output = body.pop("output_config", {})
    assert isinstance(output, dict)
    if asked.effort is not None:
        output["effort"] = asked.effort
    if output:
        body["output_config"] = output
    _write_sampling(body, call, aim, losses)
    if call.identity:
        body["metadata"] = {"user_id": call.identity}
    body["stream"] = call.stream
    body["messages"] = messages
    _tell(call, losses)
    for name in aim.refused:
        if body.pop(name, None) is not None:
            losses.append(Loss(name))
    return Written(body=_encode(body), losses=tuple(losses))


def _cap(call: Call, aim: Aim) -> int:
    """W04: the caller's, at most the model's; without one the model's."""
    most = aim.cap if aim.cap is not None else call.cap if call.cap is not None else CAP_UNKNOWN
    return most if call.cap is None else min(call.cap, most)


def _turns(call: Call, anywhere: bool, losses: list[Loss]) -> tuple[list[dict[str, object]], list[Turn]]:
    """The leading instructions, and the rest as messages: a later instruction never moves to the front (W01).

    As ``role: system`` it must follow a user's turn and stand before the model's, so one before a user's turn goes
    behind it. Where there is no such place, or the model knows none, it is a marked text in a user's turn.
    """
    system: list[dict[str, object]] = []
    first = next((at for at, turn in enumerate(call.turns) if turn.role != "system"), len(call.turns))
    for turn in call.turns[:first]:
        system += system_blocks(turn.parts, turn.at, losses)
    rest: list[Turn] = []
    waiting: list[Turn] = []
    for turn in call.turns[first:]:
        if turn.role == "system":
            waiting.append(turn)
            if not anywhere:
                _place(rest, waiting, anywhere, losses)
            continue
        if turn.role == "assistant":
            _place(rest, waiting, anywhere, losses)
        rest.append(turn)
    _place(rest, waiting, anywhere, losses)
    return system, merged(msgspec.structs.replace(call, turns=rest))


def _place(rest: list[Turn], waiting: list[Turn], anywhere: bool, losses: list[Loss]) -> None:
    """Puts the instructions that wait behind what is there."""
    if not waiting:
        return
    said: list[Text] = []
    for turn in waiting:
        for part in turn.parts:
            if not isinstance(part, Text):
                losses.append(Loss("system.media", turn.at))
            elif part.text:
                said.append(part)
    at = waiting[0].at
    waiting.clear()
    if not said:
        return
    if anywhere and rest and rest[-1].role == "user":
        rest.append(Turn(role="system", parts=[*said], at=at))
        return
    losses.append(Loss("system", at))
    texts = [Text(text=SYSTEM_MARK + part.text, cache=part.cache) for part in said]
    rest.append(Turn(role="user", parts=[*texts], at=at))


def _messages(turns: list[Turn], losses: list[Loss]) -> list[dict[str, object]]:
    messages: list[dict[str, object]] = []
    for turn in turns:
        content = blocks_of(turn, losses)
        if content and turn is turns[-1] and turn.role == "assistant":
            _trim(content)
        if content:
            messages.append({"role": turn.role, "content": content})
    return messages


def _trim(content: list[Block]) -> None:
    """An answer that is to be continued must not end in white space."""
    last = content[-1]
    if isinstance(last, dict) and last["type"] == "text":
        last["text"] = str(last["text"]).rstrip()
        if not last["text"]:
            content.pop()


def _write_tools(body: dict[str, object], call: Call, aim: Aim, losses: list[Loss]) -> bool:
    """Tools, which of them to use, and the form of the answer. Returns whether the model must call one."""
    choice = call.choice
    chosen = call.tools
    if choice is not None and choice.names and (len(choice.names) > 1 or choice.mode == "auto"):
        chosen = [tool for tool in call.tools if tool.name in choice.names]
    tools: list[Block] = []
    for tool in chosen:
        written = _tool(tool, aim, losses)
        if written is not None:
            tools.append(written)
    answer = _write_format(body, call, aim, losses)
    kind: dict[str, object] | None = None
    if answer is not None:
        usable = bool(tools) and (choice is None or choice.mode != "none")
        tools.append(answer[1])
        kind = {"type": "any"} if usable else {"type": "tool", "name": answer[0]}
    elif choice is not None:
        kind = {"type": choice.mode}
        if choice.mode == "any" and len(choice.names) == 1:
            kind = {"type": "tool", "name": _own_name(call, choice.names[0])}
    if not tools:
        return False
    body["tools"] = tools
    if call.parallel is False and (kind is None or kind["type"] != "none"):
        kind = {**(kind or {"type": "auto"}), "disable_parallel_tool_use": True}
    elif call.parallel is True and kind is not None and kind["type"] != "none":
        kind["disable_parallel_tool_use"] = False
    if kind is not None:
        body["tool_choice"] = kind
    return kind is not None and kind["type"] in ("any", "tool")


def _own_name(call: Call, name: str) -> str:
    """What the chosen tool is called in the request. Raises InvalidCall for another dialect's hosted tool."""
    tool = next((tool for tool in call.tools if tool.name == name), None)
    if tool is None or tool.kind != "hosted":
        return tool_name("" if tool is None else tool.namespace, name, "tool_choice")
    own = _decode_members(tool.raw).get("name") if tool.dialect == DIALECT else None
    if own is None:
        raise InvalidCall("This model has no such tool to choose.", code="unsupported_tool", param="tool_choice")
    return _decode_text(own)


def _tool(tool: Tool, aim: Aim, losses: list[Loss]) -> Block | None:
    if tool.kind == "hosted":
        if tool.dialect == DIALECT:
            return msgspec.Raw(tool.raw)
        losses.append(Loss(f"tools.{plain(tool.name)}", "tools"))
        return None
    block: dict[str, object] = {"name": tool_name(tool.namespace, tool.name, "tools")}
    if tool.description:
        block["description"] = tool.description
    if tool.kind == "custom":
        block["input_schema"] = msgspec.Raw(FREE_TEXT)
        if tool.schema:
            losses.append(Loss("tools.format", "tools"))
        return marked(block, tool.cache)
    strict = native(tool.schema) if tool.strict and tool.schema and "strict_tools" in aim.ways else None
    block["input_schema"] = _schema(tool.schema if strict is None else strict[0], losses)
    if strict is not None:
        block["strict"] = True
    if tool.strict and (strict is None or strict[1]):
        losses.append(Loss("tools.strict", "tools"))
    return marked(block, tool.cache)


def _schema(schema: bytes, losses: list[Loss]) -> msgspec.Raw:
    """A schema as it was sent; its root says that it is an object and is no union, for Anthropic refuses else (W08)."""
    if not schema or schema == b"null":
        return _EMPTY_SCHEMA
    members = _decode_members(schema)
    unions = [word for word in UNIONS if word in members and word != "$ref"]
    if "type" in members and not unions:
        return msgspec.Raw(schema)
    for word in unions:
        del members[word]
        losses.append(Loss(f"tools.schema.{word}", "tools"))
    return msgspec.Raw(_encode(members if "type" in members else {"type": "object", **members}))


def _write_format(
    body: dict[str, object], call: Call, aim: Aim, losses: list[Loss]
) -> tuple[str, dict[str, object]] | None:
    """Sets ``output_config.format``, or returns the tool whose input is the answer (W63)."""
    wanted = call.format
    if wanted is None:
        return None
    if wanted.kind == "schema" and "structured_output" in aim.ways:
        own = native(wanted.schema)
        if own is not None:
            if own[1]:
                losses.append(Loss("format.schema"))
            body["output_config"] = {"format": {"type": "json_schema", "schema": msgspec.Raw(own[0])}}
            return None
    return answer_tool(wanted)


def _write_sampling(body: dict[str, object], call: Call, aim: Aim, losses: list[Loss]) -> None:
    """Temperature and the like where the model takes them, and only those that go together."""
    if call.stop:
        stops = [stop for stop in call.stop if stop.strip()]
        if len(stops) < len(call.stop):
            losses.append(Loss("stop"))
        if stops:
            body["stop_sequences"] = stops
    budget = isinstance(thinking := body.get("thinking"), dict) and "budget_tokens" in thinking
    takes = "sampling" in aim.ways
    temperature, top_p, top_k = call.temperature, call.top_p, call.top_k
    if temperature is not None and temperature != 1:
        if not takes or budget:
            losses.append(Loss("temperature"))
        else:
            if temperature > 1:
                losses.append(Loss("temperature"))
            body["temperature"] = min(temperature, 1)
    if top_p is not None and top_p != 1:
        if not takes or "temperature" in body or (budget and top_p < 0.95):
            losses.append(Loss("top_p"))
        else:
            body["top_p"] = top_p
    if top_k is not None:
        if takes and not budget:
            body["top_k"] = top_k
        else:
            losses.append(Loss("top_k"))


def _tell(call: Call, losses: list[Loss]) -> None:
    """What Anthropic has no words for."""
    for name, said in (
        ("n", call.choices > 1),
        ("seed", call.seed is not None),
        ("presence_penalty", bool(call.presence_penalty)),
        ("frequency_penalty", bool(call.frequency_penalty)),
        ("logit_bias", bool(call.logit_bias) and call.logit_bias != b"{}"),
        ("logprobs", call.logprobs is not None),
        ("verbosity", call.verbosity is not None and call.verbosity != "medium"),
        ("modalities", any(word != "text" for word in call.modalities)),
    ):
        if said:
            losses.append(Loss(name))
