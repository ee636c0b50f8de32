"""Reads OpenAI's messages as turns: one message, one turn; a tool's message is a user's turn with one result (W13)."""

from __future__ import annotations

from typing import Literal

import msgspec

from ruxa.dialects import signature
from ruxa.dialects.body import take
from ruxa.dialects.call import Media, Part, Refusal, Text, Thinking, ToolCall, ToolResult, Turn
from ruxa.dialects.losses import Loss
from ruxa.dialects.openai import refuse_missing, style
from ruxa.dialects.openai_chat import reasoning
from ruxa.dialects.openai_chat.parts import ERROR_MARK, read_cache, read_content
from ruxa.dialects.openai_fields import Fields

_decode_details = msgspec.json.Decoder(list[reasoning.Detail]).decode

ROLES = ("system", "assistant", "user", "function", "tool", "developer")


def read_turns(messages: list[msgspec.Raw], losses: list[Loss]) -> list[Turn]:
    """All messages in order. Raises InvalidCall naming the path of what is wrong."""
    return _Messages(losses).read(messages)


class _Messages:
    """The messages of one call; later ones refer to the tool calls of earlier ones."""

    def __init__(self, losses: list[Loss]) -> None:
        self._losses = losses
        self._custom: set[str] = set()
        self._asked = ""  # the last call in the older words, which know no ids

    def read(self, messages: list[msgspec.Raw]) -> list[Turn]:
        return [self._turn(Fields.of(raw, f"messages[{at}]"), at) for at, raw in enumerate(messages)]

    def _turn(self, message: Fields, number: int) -> Turn:
        role = message.must("role")
        match role:
            case "system" | "developer":
                turn = self._said(message, "system")
                turn.developer = role == "developer"
            case "user":
                turn = self._said(message, "user")
            case "assistant":
                turn = self._answer(message, number)
            case "tool" | "function":
                turn = self._result(message, role)
            case _:
                known = ", ".join(f"'{name}'" for name in ROLES[:-1])
                message.refuse("role", f"Invalid value: '{role}'. Supported values are: {known}, and '{ROLES[-1]}'.")
        turn.at = message.at
        self._losses += message.lost("messages")
        return turn

    def _said(self, message: Fields, role: Literal["system", "user"]) -> Turn:
        if not message.kind("content"):
            refuse_missing(message.path("content"))
        parts = read_content(message, self._losses)
        cache = read_cache(message)
        if cache is not None and parts and isinstance(last := parts[-1], Text | Media):
            last.cache = last.cache or cache
        return Turn(role=role, parts=parts, name=message.text("name") or "")

    def _result(self, message: Fields, role: str) -> Turn:
        if role == "tool":
            call_id = message.must("tool_call_id")
        else:
            call_id, self._asked = self._asked, ""
        name = message.must("name") if role == "function" else message.text("name") or ""
        if not message.kind("content"):
            refuse_missing(message.path("content"))
        parts = read_content(message, self._losses)
        first = parts[0] if parts else None
        failed = isinstance(first, Text) and first.text.startswith(ERROR_MARK)
        if failed and isinstance(first, Text):
            first.text = first.text[len(ERROR_MARK) :]
        result = ToolResult(
            call_id=call_id,
            name=name,
            parts=parts,
            error=failed,
            custom=call_id in self._custom,
            cache=read_cache(message),
        )
        return Turn(role="user", parts=[result])

    def _answer(self, message: Fields, number: int) -> Turn:
        parts: list[Part] = [*_thinking(message)]
        said = [part for part in read_content(message, self._losses) if not (isinstance(part, Text) and not part.text)]
        parts += said
        refusal = message.text("refusal")
        if refusal:
            parts.append(Refusal(text=refusal))
        spoken = message.inner("audio")
        if spoken is not None:
            parts.append(Media(kind="audio", file_id=spoken.must("id")))
            spoken.skip("data", "transcript", "expires_at")
        mark = _signature(message)
        if mark[1]:
            texts = [part for part in parts if isinstance(part, Text)]
            if not texts:
                parts.append(Text(text=""))
                texts = [part for part in parts if isinstance(part, Text)]
            texts[-1].origin, texts[-1].signature = mark
        cache = read_cache(message)
        parts += self._calls(message, number)
        if cache is not None and parts and isinstance(last := parts[-1], Text | ToolCall):
            last.cache = last.cache or cache
        if message.kind("annotations") == "array" and not message.items("annotations"):
            message.skip("annotations")
        message.skip("reasoning")
        return Turn(role="assistant", parts=parts, name=message.text("name") or "")

    def _calls(self, message: Fields, number: int) -> list[ToolCall]:
        path = message.path("tool_calls")
        calls = [self._call(Fields.of(raw, f"{path}[{at}]")) for at, raw in enumerate(message.items("tool_calls"))]
        older = message.inner("function_call")
        if older is not None:
            self._asked = f"call_{number}"
            arguments = older.text("arguments") or ""
            calls.append(
                ToolCall(id=self._asked, name=older.must("name"), arguments=(arguments.strip() and arguments) or "{}")
            )
        return calls

    def _call(self, call: Fields) -> ToolCall:
        kind = call.text("type") or "function"
        if kind not in ("function", "custom"):
            call.refuse("type", f"Invalid value: '{kind}'. Supported values are: 'function' and 'custom'.")
        inner = call.inner(kind)
        if inner is None:
            refuse_missing(call.path(kind))
        origin, signed = _signature(call)
        part = ToolCall(id=call.must("id"), name=inner.must("name"), signature=signed, origin=origin)
        if kind == "custom":
            part.custom = True
            part.arguments = inner.text("input") or ""
            self._custom.add(part.id)
        else:
            arguments = inner.text("arguments") or ""
            part.arguments = arguments if arguments.strip() else "{}"
        part.cache = read_cache(call)
        call.skip("index")
        self._losses += call.lost("messages") + inner.lost("messages")
        return part


def _thinking(message: Fields) -> list[Thinking]:
    """``reasoning_details`` tell all; without them the text alone is told."""
    raw = message.raw("reasoning_details")
    text = message.text("reasoning_content")
    if text is None and message.kind("reasoning") == "string":
        text = message.text("reasoning")
    if raw is not None:
        found = reasoning.read(take(message.path("reasoning_details"), _decode_details, raw, style))
        if found:
            return found
    return [Thinking(text=text)] if text else []


def _signature(fields: Fields) -> tuple[signature.Origin, str]:
    """Google's proof on a text or a tool call: ``extra_content.google.thought_signature``."""
    extra = fields.inner("extra_content")
    google = extra.inner("google") if extra is not None else None
    return signature.read((google.text("thought_signature") if google is not None else None) or "", "google")
