"""Writes a call as a chat completion's request, in the words that the model knows."""

from __future__ import annotations

import msgspec

from ruxa.dialects import effort
from ruxa.dialects.call import FREE_TEXT, Call, Tool, ToolChoice, flat
from ruxa.dialects.losses import Loss
from ruxa.dialects.openai_chat.call import WEB_SEARCH
from ruxa.dialects.openai_chat.messages import Message, write_messages
from ruxa.dialects.translator import Aim, Written
from ruxa.kernel.errors import InvalidCall

STOPS_MAX = 4
"""OpenAI takes no more stop sequences."""

_OURS = frozenset({"store", "stream_options", "user", "prompt_cache_key"})
# Not a loss when the provider refuses it: nothing that the caller set, or an identity (D11).

_encode = msgspec.json.Encoder().encode


def write_call(call: Call, aim: Aim) -> Written:
    """See ``translator.Translator``. Usage is always asked for and nothing is kept at the provider."""
    return _Writing(call, aim).write()


class _Writing:
    def __init__(self, call: Call, aim: Aim) -> None:
        self._call = call
        self._aim = aim
        self._losses: list[Loss] = list(call.losses)
        self._custom = "custom_tools" in aim.ways

    def write(self) -> Written:
        call, aim = self._call, self._aim
        body: Message = {"model": aim.model, "messages": write_messages(call, aim, self._losses)}
        self._tools(body)
        self._limits(body)
        self._sampling(body)
        self._reasoning(body)
        self._format(body)
        self._rest(body)
        for name in aim.refused & body.keys():
            del body[name]
            if name not in _OURS:
                self._lose(name)
        return Written(body=_encode(body), losses=tuple(self._losses))

    def _lose(self, name: str, param: str = "") -> None:
        self._losses.append(Loss(name, param or name))

    def _tools(self, body: Message) -> None:
        call = self._call
        tools: list[object] = []
        for at, tool in enumerate(call.tools):
            if tool.cache is not None:
                self._lose("cache_control", f"tools[{at}]")
            if tool.kind != "hosted":
                tools.append(self._tool(tool, at))
            elif tool.dialect != "openai_chat":
                self._lose(f"tools.{tool.name}", f"tools[{at}]")
            elif tool.name == WEB_SEARCH:
                body["web_search_options"] = msgspec.Raw(tool.raw)
            else:
                tools.append(msgspec.Raw(tool.raw))
        self._checked(call.choice)
        if not tools:
            return
        body["tools"] = tools
        if call.choice is not None:
            body["tool_choice"] = self._choice(call.choice)
        if call.parallel is not None:
            body["parallel_tool_calls"] = call.parallel

    def _tool(self, tool: Tool, at: int) -> Message:
        inner: Message = {"name": flat(tool.namespace, tool.name)}
        if tool.description:
            inner["description"] = tool.description
        if tool.kind == "custom" and self._custom:
            if tool.schema:
                inner["format"] = msgspec.Raw(tool.schema)
            return {"type": "custom", "custom": inner}
        if tool.kind == "custom":
            if tool.schema and b'"grammar"' in tool.schema:
                self._lose("tools.format", f"tools[{at}]")
            inner["parameters"] = msgspec.Raw(FREE_TEXT)
            return {"type": "function", "function": inner}
        if tool.schema:
            inner["parameters"] = msgspec.Raw(tool.schema)
        if tool.strict is not None and "strict_tools" in self._aim.ways:
            inner["strict"] = tool.strict
        elif tool.strict:
            self._lose("strict", f"tools[{at}]")
        return {"type": "function", "function": inner}

    def _checked(self, choice: ToolChoice | None) -> None:
        """A choice has to name tools that this dialect carries. Raises InvalidCall."""
        known = {tool.name for tool in self._call.tools if tool.kind != "hosted"}
        known |= {flat(tool.namespace, tool.name) for tool in self._call.tools if tool.kind != "hosted"}
        for name in choice.names if choice is not None else ():
            if name not in known:
                raise InvalidCall(
                    "The tool that must be used is not one that this model can be given.",
                    code="unknown_tool",
                    param="tool_choice",
                )

    def _choice(self, choice: ToolChoice) -> object:
        if not choice.names:
            return "required" if choice.mode == "any" else choice.mode
        named = [self._named(name) for name in choice.names]
        if len(named) == 1 and choice.mode == "any":
            return named[0]
        if choice.mode == "none":
            return "none"
        mode = "required" if choice.mode == "any" else "auto"
        return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": named}}

    def _named(self, name: str) -> Message:
        tool = next(each for each in self._call.tools if name in (each.name, flat(each.namespace, each.name)))
        kind = "custom" if tool.kind == "custom" and self._custom else "function"
        return {"type": kind, kind: {"name": flat(tool.namespace, tool.name)}}

    def _limits(self, body: Message) -> None:
        call, aim = self._call, self._aim
        if call.cap is not None:
            name = "max_completion_tokens" if "max_completion_tokens" in aim.ways else "max_tokens"
            body[name] = call.cap if aim.cap is None else min(call.cap, aim.cap)
        if call.choices > 1:
            body["n"] = call.choices
        if call.logprobs is not None:
            body["logprobs"] = True
            if call.logprobs:
                body["top_logprobs"] = call.logprobs
        if call.stop:
            body["stop"] = call.stop[0] if len(call.stop) == 1 else call.stop[:STOPS_MAX]
            if len(call.stop) > STOPS_MAX:
                self._lose("stop")

    def _sampling(self, body: Message) -> None:
        call = self._call
        for name in ("temperature", "top_p", "presence_penalty", "frequency_penalty"):
            value = getattr(call, name)
            if value is None:
                continue
            if "sampling" in self._aim.ways:
                body[name] = value
            else:
                self._lose(name)
        if call.top_k is not None:
            self._lose("top_k")
        if call.seed is not None:
            body["seed"] = call.seed
        if call.logit_bias:
            body["logit_bias"] = msgspec.Raw(call.logit_bias)

    def _reasoning(self, body: Message) -> None:
        """One word for how much to think (W29): the caller's own, else the one for its budget."""
        wanted = self._call.reasoning
        if wanted is None:
            return
        word = wanted.effort
        if word is None and wanted.mode == "off":
            word = "none"
        if word is None and wanted.budget is not None:
            word = effort.effort_of(wanted.budget)
        if word is None:
            return
        if "reasoning_effort" in self._aim.ways:
            body["reasoning_effort"] = word
        elif word != "none":
            self._lose("reasoning_effort")

    def _format(self, body: Message) -> None:
        wanted = self._call.format
        if wanted is None:
            return
        if wanted.kind == "json":
            body["response_format"] = {"type": "json_object"}
            return
        if "structured_output" not in self._aim.ways:
            body["response_format"] = {"type": "json_object"}
            self._lose("response_format.schema", "response_format")
            return
        schema: Message = {"name": wanted.name or "answer"}
        if wanted.description:
            schema["description"] = wanted.description
        if wanted.schema:
            schema["schema"] = msgspec.Raw(wanted.schema)
        if wanted.strict is not None:
            schema["strict"] = wanted.strict
        body["response_format"] = {"type": "json_schema", "json_schema": schema}

    def _rest(self, body: Message) -> None:
        call, aim = self._call, self._aim
        if call.verbosity is not None:
            body["verbosity"] = call.verbosity
        if "audio" in call.modalities:
            body["modalities"] = ["text", "audio"]
            body["audio"] = {"voice": "alloy", "format": "pcm16" if call.stream else "wav"}
        if set(call.modalities) - {"text", "audio"}:
            self._lose("modalities")
        if call.identity:
            body["user"] = call.identity
        if call.cache_key and "prompt_cache_key" in aim.ways:
            body["prompt_cache_key"] = call.cache_key
        if call.stream:
            body["stream"] = True
            if "stream_options" in aim.ways:
                body["stream_options"] = {"include_usage": True}
        body["store"] = False
