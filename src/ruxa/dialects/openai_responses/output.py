"""What both forms of an answer share: its items, its settings repeated, its end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from ruxa.dialects import signature
from ruxa.dialects.call import Origin, Tool, ToolCall, offered, unwrapped
from ruxa.dialects.dialect import Finish
from ruxa.dialects.openai_responses.figures import figures_of
from ruxa.dialects.openai_responses.words import REDACTED
from ruxa.dialects.reply import Asked, made_id
from ruxa.dialects.usage import Usage

Status = Literal["in_progress", "completed", "incomplete", "failed"]
Fields = dict[str, object]

_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_DEFAULTS: Fields = {
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}, "verbosity": "medium"},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}
REASONS: dict[Finish, str] = {"length": "max_output_tokens", "filter": "content_filter"}
_NULL = msgspec.Raw(b"null")


class Frame:
    """The response around the items: the same id, time and settings in every event. tools: by the name they had at
    the provider."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self.id = asked.answer_id or made_id(asked, "resp_")
        self.tools = offered(asked.call)
        echo = _decode_members(asked.call.echo) if asked.call.echo else {}
        given = {name: value for name, value in echo.items() if value != _NULL}
        self._settings: Fields = {**_DEFAULTS, **given}

    def item_id(self, prefix: str, number: int) -> str:
        """An item's own id: it tells nothing but its place."""
        return made_id(self._asked, prefix, number + 1)

    def response(
        self,
        status: Status,
        output: Sequence[object],
        *,
        reason: str = "",
        error: object = None,
        usage: Usage | None = None,
    ) -> Fields:
        """The whole object."""
        return {
            "id": self.id,
            "object": "response",
            "created_at": self._asked.created_s,
            "status": status,
            "background": False,
            "error": error,
            "incomplete_details": {"reason": reason} if reason else None,
            "model": self._asked.model,
            "output": output,
            "service_tier": "default",
            **self._settings,
            "usage": None if usage is None else figures_of(usage),
        }

    def tool_item(self, number: int, call: ToolCall, status: Status) -> Fields:
        """An item that asks for a tool, in the caller's own words for it."""
        tool = self.tools.get(call.name) if not call.namespace else None
        if is_custom(call, tool):
            text = call.arguments if call.custom or not call.arguments else unwrapped(call.arguments)
            item: Fields = {"id": self.item_id("ctc_", number), "type": "custom_tool_call", "status": status}
            return {**item, "call_id": call.id, "input": text, **_name(call, tool)}
        item = {"id": self.item_id("fc_", number), "type": "function_call", "status": status}
        return {**item, "arguments": call.arguments, "call_id": call.id, **_name(call, tool)}


def is_custom(call: ToolCall, tool: Tool | None) -> bool:
    """Whether the caller knows the tool as one of free text."""
    return call.custom or (tool is not None and tool.kind == "custom")


def _name(call: ToolCall, tool: Tool | None) -> Fields:
    if tool is not None:
        return {"name": tool.name, "namespace": tool.namespace} if tool.namespace else {"name": tool.name}
    return {"name": call.name, "namespace": call.namespace} if call.namespace else {"name": call.name}


def proof(origin: Origin, text: str, *, redacted: bool) -> str | None:
    """``encrypted_content``: this vendor's own bare, another's packed together with whose it is (W37)."""
    return signature.write(origin, REDACTED + text if redacted and origin != "openai" else text, "openai") or None


def ending(finish: Finish) -> tuple[Status, str]:
    """Status and reason of a response that ended so (W73)."""
    if finish == "error":
        return "failed", ""
    reason = REASONS.get(finish, "")
    return ("incomplete", reason) if reason else ("completed", "")


FAILED: Fields = {"code": "server_error", "message": "The model ended with an error."}
"""The error of a response whose model said that it failed."""
