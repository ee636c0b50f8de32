"""What is carried between every two dialects and what is lost: asked of the translators themselves, feature by feature.

The catalogue holds one request for each feature in each dialect that has it. A request is read in its own dialect,
written for a model that can do all its dialect has words for, and read again in the provider's: what is the same then
is carried; a loss has a name; whatever changes without one is a fault (``silent``), and a test says so.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable
from typing import Any, get_args

from ruxa.dialects import TRANSLATORS
from ruxa.dialects.call import Call, Carried, Media, Part, Refusal, Text, Thinking, Tool, ToolCall, ToolResult, Turn
from ruxa.dialects.dialect import Endpoint, Finish, Name, Place
from ruxa.dialects.losses import told
from ruxa.dialects.reply import Asked, Choice, Reply
from ruxa.dialects.translator import Aim, Way
from ruxa.dialects.usage import Usage
from ruxa.kernel.errors import InvalidCall

TITLES: dict[Name, str] = {
    "openai_chat": "OpenAI chat",
    "openai_responses": "OpenAI responses",
    "anthropic_messages": "Anthropic messages",
    "gemini_generate": "Gemini",
}
ENDPOINTS: dict[Name, Endpoint] = {
    "openai_chat": "chat",
    "openai_responses": "responses",
    "anthropic_messages": "messages",
    "gemini_generate": "generate",
}
# All ways but those of single servers or models: a model that can do whatever its dialect has words for.
WAYS: frozenset[Way] = frozenset(get_args(Way)) - {
    "reasoning_content",
    "reasoning_details",
    "always_thinks",
    "thinking_level",
}
AIM = Aim(model="model", cap=32_000, ways=WAYS)

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
PDF = "JVBERi0xLjQKJcfsj6IKNSAwIG9iago="
WAV = "UklGRiQAAABXQVZFZm10IBAAAAABAAEA"
PROOF = "c2lnbmF0dXJl"
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
HI = "What is the weather?"

Json = dict[str, Any]
Aspect = Callable[[Call], Any]


# One body of each dialect that asks a question; ``more`` are its members.


def _oc(*messages: Json, **more: Any) -> Json:
    return {"model": "m", "messages": list(messages) or [{"role": "user", "content": HI}], **more}


def _or(*items: Json, **more: Any) -> Json:
    return {"model": "m", "input": list(items) or [{"role": "user", "content": HI}], **more}


def _am(*messages: Json, **more: Any) -> Json:
    said = list(messages) or [{"role": "user", "content": HI}]
    return {"model": "m", "max_tokens": 20_000, "messages": said, **more}


def _gg(*contents: Json, config: Json | None = None, **more: Any) -> Json:
    said = list(contents) or [{"role": "user", "parts": [{"text": HI}]}]
    return {"contents": said, **({"generationConfig": config} if config else {}), **more}


def _oc_user(*parts: Json) -> Json:
    return _oc({"role": "user", "content": [*parts, {"type": "text", "text": HI}]})


def _or_user(*parts: Json) -> Json:
    return _or({"role": "user", "content": [*parts, {"type": "input_text", "text": HI}]})


def _am_user(*blocks: Json) -> Json:
    return _am({"role": "user", "content": [*blocks, {"type": "text", "text": HI}]})


def _gg_user(*parts: Json) -> Json:
    return _gg({"role": "user", "parts": [*parts, {"text": HI}]})


OC_TOOL: Json = {"type": "function", "function": {"name": "weather", "description": "d", "parameters": SCHEMA}}
OR_TOOL: Json = {"type": "function", "name": "weather", "description": "d", "parameters": SCHEMA, "strict": False}
AM_TOOL: Json = {"name": "weather", "description": "d", "input_schema": SCHEMA}
GG_TOOL: Json = {
    "functionDeclarations": [{"name": "weather", "description": "d", "parametersJsonSchema": SCHEMA}],
}


def _oc_loop(content: Any = "sunny", said: Json | None = None) -> Json:
    call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Ulm"}'}}
    return _oc(
        {"role": "user", "content": HI},
        {"role": "assistant", "content": None, **(said or {}), "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": content},
        tools=[OC_TOOL],
    )


def _or_loop(output: Any = "sunny", *before: Json) -> Json:
    return _or(
        {"role": "user", "content": HI},
        *before,
        {"type": "function_call", "call_id": "call_1", "name": "weather", "arguments": '{"city":"Ulm"}'},
        {"type": "function_call_output", "call_id": "call_1", "output": output},
        tools=[OR_TOOL],
    )


def _am_loop(content: Any = "sunny", *before: Json, **more: Any) -> Json:
    call = {"type": "tool_use", "id": "call_1", "name": "weather", "input": {"city": "Ulm"}}
    return _am(
        {"role": "user", "content": HI},
        {"role": "assistant", "content": [*before, call]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "call_1", "content": content, **more}]},
        tools=[AM_TOOL],
    )


def _gg_loop(response: Json | None = None, signed: str = "", **more: Any) -> Json:
    call: Json = {"functionCall": {"id": "call_1", "name": "weather", "args": {"city": "Ulm"}}}
    if signed:
        call["thoughtSignature"] = signed
    answer = {"id": "call_1", "name": "weather", "response": response or {"output": "sunny"}, **more}
    return _gg(
        {"role": "user", "parts": [{"text": HI}]},
        {"role": "model", "parts": [call]},
        {"role": "user", "parts": [{"functionResponse": answer}]},
        tools=[GG_TOOL],
    )


def _thought(vendor: str) -> Json:
    formats = {"anthropic": "anthropic-claude-v1", "google": "google-gemini-v1", "openai": "openai-responses-v1"}
    if vendor == "openai":
        detail = {"type": "reasoning.encrypted", "data": PROOF, "format": formats[vendor], "index": 0}
    else:
        detail = {"type": "reasoning.text", "text": "hm", "signature": PROOF, "format": formats[vendor], "index": 0}
    return {"reasoning_details": [detail]}


# What is asked of a call before and after. A feature is carried when all its aspects are the same.


def _parts(call: Call) -> Iterable[tuple[Turn, Part]]:
    return ((turn, part) for turn in call.turns for part in turn.parts)


def _texts(call: Call) -> Any:
    found: list[tuple[str, str]] = []
    for turn, part in _parts(call):
        if isinstance(part, Text) and not part.text.startswith("Media in the result"):
            last = found[-1] if found else None
            if last is not None and last[0] == turn.role:
                found[-1] = (turn.role, last[1] + part.text)
            else:
                found.append((turn.role, part.text))
    return found


def _systems(call: Call) -> Any:
    """The system's text arrives, be it in a user's turn and marked (W01)."""
    return "Be brief." in "".join(part.text for _, part in _parts(call) if isinstance(part, Text))


def _media(call: Call) -> Any:
    found: list[Media] = []
    for _, part in _parts(call):
        inner = part.parts if isinstance(part, ToolResult) else [part]
        found += [each for each in inner if isinstance(each, Media)]
    return [(each.kind, each.data, each.url, each.file_id, each.text) for each in found]


def _calls(call: Call) -> Any:
    return [(part.name, part.arguments) for _, part in _parts(call) if isinstance(part, ToolCall)]


def _results(call: Call) -> Any:
    return [
        (part.error, part.data or "".join(each.text for each in part.parts if isinstance(each, Text)))
        for _, part in _parts(call)
        if isinstance(part, ToolResult)
    ]


def _proofs(call: Call) -> Any:
    found = [part for _, part in _parts(call) if isinstance(part, Thinking | ToolCall | Text)]
    return {(part.origin, part.signature) for part in found if part.signature}


def _thoughts(call: Call) -> Any:
    return [part.text for _, part in _parts(call) if isinstance(part, Thinking) and part.text]


def _caches(call: Call) -> Any:
    marked: list[Any] = [*call.tools, *(part for _, part in _parts(call))]
    return sum(getattr(each, "cache", None) is not None for each in marked)


def _tools(call: Call) -> Any:
    return [(tool.name, tool.description, tool.schema and json.loads(tool.schema)) for tool in call.tools]


def _free_tools(call: Call) -> Any:
    """A tool of free text is one, or one function of one text: the answer comes back as free text either way."""
    return [tool.name for tool in call.tools]


def _hosted(call: Call) -> Any:
    return [tool.name for tool in call.tools if tool.kind == "hosted"]


def _strict(call: Call) -> Any:
    return [tool.strict for tool in call.tools]


def _choice(call: Call) -> Any:
    return None if call.choice is None else (call.choice.mode, call.choice.names)


def _thinks(call: Call) -> Any:
    """Whether the model is to think, not how the vendor says how much."""
    wanted = call.reasoning
    return None if wanted is None else (wanted.mode == "off" or wanted.effort == "none")


def _form(call: Call) -> Any:
    """An answer's form, or the tool through which it is had (W63)."""
    if any(tool.name.startswith("ruxa_answer") for tool in call.tools):
        return "form", b""
    return None if call.format is None else ("form", call.format.schema and json.loads(call.format.schema))


def _of(name: str) -> Aspect:
    return lambda call: getattr(call, name)


def _titles(call: Call) -> Any:
    return [part.title for _, part in _parts(call) if isinstance(part, Media)]


def _names(call: Call) -> Any:
    return [turn.name for turn in call.turns if turn.name]


def _details(call: Call) -> Any:
    return [part.detail for _, part in _parts(call) if isinstance(part, Media)]


def _refusals(call: Call) -> Any:
    """A refusal's words, be they an ordinary text."""
    return [part.text for _, part in _parts(call) if isinstance(part, Refusal | Text)]


def _cited(call: Call) -> Any:
    return [part.cited for _, part in _parts(call) if isinstance(part, Media)]


def _foreign(call: Call) -> Any:
    return [part.kind for _, part in _parts(call) if isinstance(part, Carried)]


def _penalties(call: Call) -> Any:
    return (call.presence_penalty, call.frequency_penalty)


def _nothing(call: Call) -> Any:
    return None


FORM_OR = {"type": "json_schema", "name": "answer", "schema": SCHEMA, "strict": True}
FORM_OC = {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True}}
ASKED_OC = {"type": "function", "function": {"name": "weather"}}
EPHEMERAL = {"type": "ephemeral"}

Bodies = dict[Name, Json]
FEATURES: dict[str, tuple[Aspect, Bodies]] = {
    "text": (
        _texts,
        {"openai_chat": _oc(), "openai_responses": _or(), "anthropic_messages": _am(), "gemini_generate": _gg()},
    ),
    "system text at the beginning": (
        _systems,
        {
            "openai_chat": _oc({"role": "system", "content": "Be brief."}, {"role": "user", "content": HI}),
            "openai_responses": _or(instructions="Be brief."),
            "anthropic_messages": _am(system=[{"type": "text", "text": "Be "}, {"type": "text", "text": "brief."}]),
            "gemini_generate": _gg(systemInstruction={"parts": [{"text": "Be brief."}]}),
        },
    ),
    "system text later on": (
        _systems,
        {
            "openai_chat": _oc(
                {"role": "user", "content": HI},
                {"role": "assistant", "content": "Where?"},
                {"role": "developer", "content": "Be brief."},
                {"role": "user", "content": "Ulm"},
            ),
            "openai_responses": _or(
                {"role": "user", "content": HI},
                {"role": "assistant", "content": "Where?"},
                {"role": "developer", "content": "Be brief."},
                {"role": "user", "content": "Ulm"},
            ),
            "anthropic_messages": _am(
                {"role": "user", "content": HI},
                {"role": "assistant", "content": "Where?"},
                {"role": "user", "content": "Ulm"},
                {"role": "system", "content": "Be brief."},
            ),
        },
    ),
    "names of authors": (
        _names,
        {"openai_chat": _oc({"role": "user", "name": "ann", "content": HI})},
    ),
    "images in base64": (
        _media,
        {
            "openai_chat": _oc_user({"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}),
            "openai_responses": _or_user({"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"}),
            "anthropic_messages": _am_user(
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
            ),
            "gemini_generate": _gg_user({"inlineData": {"mimeType": "image/png", "data": PNG}}),
        },
    ),
    "images by address": (
        _media,
        {
            "openai_chat": _oc_user({"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}),
            "openai_responses": _or_user({"type": "input_image", "image_url": "https://example.com/a.png"}),
            "anthropic_messages": _am_user(
                {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}
            ),
        },
    ),
    "how closely an image is looked at": (
        _details,
        {
            "openai_chat": _oc_user(
                {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}", "detail": "low"}}
            ),
            "openai_responses": _or_user(
                {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}", "detail": "low"}
            ),
        },
    ),
    "PDF documents": (
        _media,
        {
            "openai_chat": _oc_user(
                {"type": "file", "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF}"}}
            ),
            "openai_responses": _or_user(
                {"type": "input_file", "filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF}"}
            ),
            "anthropic_messages": _am_user(
                {
                    "type": "document",
                    "title": "a.pdf",
                    "source": {"type": "base64", "media_type": "application/pdf", "data": PDF},
                }
            ),
            "gemini_generate": _gg_user({"inlineData": {"mimeType": "application/pdf", "data": PDF}}),
        },
    ),
    "names of documents": (
        _titles,
        {
            "openai_chat": _oc_user(
                {"type": "file", "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF}"}}
            ),
            "openai_responses": _or_user(
                {"type": "input_file", "filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF}"}
            ),
            "anthropic_messages": _am_user(
                {
                    "type": "document",
                    "title": "a.pdf",
                    "source": {"type": "base64", "media_type": "application/pdf", "data": PDF},
                }
            ),
        },
    ),
    "citations of documents": (
        _cited,
        {
            "anthropic_messages": _am_user(
                {
                    "type": "document",
                    "citations": {"enabled": True},
                    "source": {"type": "base64", "media_type": "application/pdf", "data": PDF},
                }
            ),
        },
    ),
    "audio": (
        _media,
        {
            "openai_chat": _oc_user({"type": "input_audio", "input_audio": {"data": WAV, "format": "wav"}}),
            "gemini_generate": _gg_user({"inlineData": {"mimeType": "audio/wav", "data": WAV}}),
        },
    ),
    "video": (
        _media,
        {"gemini_generate": _gg_user({"inlineData": {"mimeType": "video/mp4", "data": "AAAAGGZ0eXBtcDQy"}})},
    ),
    "tools": (
        _tools,
        {
            "openai_chat": _oc(tools=[OC_TOOL]),
            "openai_responses": _or(tools=[OR_TOOL]),
            "anthropic_messages": _am(tools=[AM_TOOL]),
            "gemini_generate": _gg(tools=[GG_TOOL]),
        },
    ),
    "strict tools": (
        _strict,
        {
            "openai_chat": _oc(tools=[{"type": "function", "function": {**OC_TOOL["function"], "strict": True}}]),
            "openai_responses": _or(tools=[{**OR_TOOL, "strict": True}]),
            "anthropic_messages": _am(tools=[{**AM_TOOL, "strict": True}]),
        },
    ),
    "tools of free text": (
        _free_tools,
        {
            "openai_chat": _oc(tools=[{"type": "custom", "custom": {"name": "shell"}}]),
            "openai_responses": _or(tools=[{"type": "custom", "name": "shell"}]),
        },
    ),
    "web search by the provider": (
        _hosted,
        {
            "openai_chat": _oc(web_search_options={}),
            "openai_responses": _or(tools=[{"type": "web_search"}]),
            "anthropic_messages": _am(tools=[{"type": "web_search_20250305", "name": "web_search"}]),
            "gemini_generate": _gg(tools=[{"googleSearch": {}}]),
        },
    ),
    "a tool that must be called": (
        _choice,
        {
            "openai_chat": _oc(tools=[OC_TOOL], tool_choice=ASKED_OC),
            "openai_responses": _or(tools=[OR_TOOL], tool_choice={"type": "function", "name": "weather"}),
            "anthropic_messages": _am(tools=[AM_TOOL], tool_choice={"type": "tool", "name": "weather"}),
            "gemini_generate": _gg(
                tools=[GG_TOOL],
                toolConfig={"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["weather"]}},
            ),
        },
    ),
    "no tool may be called": (
        _choice,
        {
            "openai_chat": _oc(tools=[OC_TOOL], tool_choice="none"),
            "openai_responses": _or(tools=[OR_TOOL], tool_choice="none"),
            "anthropic_messages": _am(tools=[AM_TOOL], tool_choice={"type": "none"}),
            "gemini_generate": _gg(tools=[GG_TOOL], toolConfig={"functionCallingConfig": {"mode": "NONE"}}),
        },
    ),
    "one tool at a time": (
        _of("parallel"),
        {
            "openai_chat": _oc(tools=[OC_TOOL], parallel_tool_calls=False),
            "openai_responses": _or(tools=[OR_TOOL], parallel_tool_calls=False),
            "anthropic_messages": _am(tools=[AM_TOOL], tool_choice={"type": "auto", "disable_parallel_tool_use": True}),
        },
    ),
    "calls of tools": (
        _calls,
        {
            "openai_chat": _oc_loop(),
            "openai_responses": _or_loop(),
            "anthropic_messages": _am_loop(),
            "gemini_generate": _gg_loop(),
        },
    ),
    "results of tools": (
        _results,
        {
            "openai_chat": _oc_loop(),
            "openai_responses": _or_loop(),
            "anthropic_messages": _am_loop(),
            "gemini_generate": _gg_loop(),
        },
    ),
    "results that are errors": (
        _results,
        {
            "anthropic_messages": _am_loop("no such city", is_error=True),
            "gemini_generate": _gg_loop({"error": "no such city"}),
        },
    ),
    "images in results": (
        _media,
        {
            "openai_responses": _or_loop(
                [
                    {"type": "input_text", "text": "here"},
                    {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"},
                ]
            ),
            "anthropic_messages": _am_loop(
                [
                    {"type": "text", "text": "here"},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
                ]
            ),
            "gemini_generate": _gg_loop(parts=[{"inlineData": {"mimeType": "image/png", "data": PNG}}]),
        },
    ),
    "refusals in the history": (
        _refusals,
        {
            "openai_chat": _oc(
                {"role": "user", "content": HI},
                {"role": "assistant", "content": None, "refusal": "No."},
                {"role": "user", "content": "Why?"},
            ),
            "openai_responses": _or(
                {"role": "user", "content": HI},
                {"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
                {"role": "user", "content": "Why?"},
            ),
        },
    ),
    "signed thinking of Anthropic's in the history": (
        _proofs,
        {
            "openai_chat": _oc_loop(said=_thought("anthropic")),
            "anthropic_messages": _am_loop("sunny", {"type": "thinking", "thinking": "hm", "signature": PROOF}),
        },
    ),
    "signed thinking of Google's in the history": (
        _proofs,
        {"gemini_generate": _gg_loop(signed=PROOF)},
    ),
    "encrypted thinking of OpenAI's in the history": (
        _proofs,
        {
            "openai_chat": _oc_loop(said=_thought("openai")),
            "openai_responses": _or_loop(
                "sunny", {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": PROOF}
            ),
        },
    ),
    "thinking that nobody signed in the history": (
        _thoughts,
        {"openai_chat": _oc_loop(said={"reasoning_content": "hm"})},
    ),
    "how much to think": (
        _thinks,
        {
            "openai_chat": _oc(reasoning_effort="high"),
            "openai_responses": _or(reasoning={"effort": "high"}),
            "anthropic_messages": _am(thinking={"type": "enabled", "budget_tokens": 9000}),
            "gemini_generate": _gg(config={"thinkingConfig": {"thinkingBudget": 9000}}),
        },
    ),
    "not to think": (
        _thinks,
        {
            "openai_chat": _oc(reasoning_effort="none"),
            "openai_responses": _or(reasoning={"effort": "none"}),
            "anthropic_messages": _am(thinking={"type": "disabled"}),
            "gemini_generate": _gg(config={"thinkingConfig": {"thinkingBudget": 0}}),
        },
    ),
    "an answer by a JSON Schema": (
        _form,
        {
            "openai_chat": _oc(response_format=FORM_OC),
            "openai_responses": _or(text={"format": FORM_OR}),
            "anthropic_messages": _am(output_config={"format": {"type": "json_schema", "schema": SCHEMA}}),
            "gemini_generate": _gg(config={"responseMimeType": "application/json", "responseJsonSchema": SCHEMA}),
        },
    ),
    "an answer in JSON": (
        _form,
        {
            "openai_chat": _oc(response_format={"type": "json_object"}),
            "openai_responses": _or(text={"format": {"type": "json_object"}}),
            "gemini_generate": _gg(config={"responseMimeType": "application/json"}),
        },
    ),
    "most output tokens": (
        _of("cap"),
        {
            "openai_chat": _oc(max_completion_tokens=500),
            "openai_responses": _or(max_output_tokens=500),
            "anthropic_messages": _am() | {"max_tokens": 500},
            "gemini_generate": _gg(config={"maxOutputTokens": 500}),
        },
    ),
    "temperature": (
        _of("temperature"),
        {
            "openai_chat": _oc(temperature=0.5),
            "openai_responses": _or(temperature=0.5),
            "anthropic_messages": _am(temperature=0.5),
            "gemini_generate": _gg(config={"temperature": 0.5}),
        },
    ),
    "top_p": (
        _of("top_p"),
        {
            "openai_chat": _oc(top_p=0.5),
            "openai_responses": _or(top_p=0.5),
            "anthropic_messages": _am(top_p=0.5),
            "gemini_generate": _gg(config={"topP": 0.5}),
        },
    ),
    "top_k": (
        _of("top_k"),
        {"anthropic_messages": _am(top_k=5), "gemini_generate": _gg(config={"topK": 5})},
    ),
    "stop sequences": (
        _of("stop"),
        {
            "openai_chat": _oc(stop=["END"]),
            "anthropic_messages": _am(stop_sequences=["END"]),
            "gemini_generate": _gg(config={"stopSequences": ["END"]}),
        },
    ),
    "seed": (_of("seed"), {"openai_chat": _oc(seed=7), "gemini_generate": _gg(config={"seed": 7})}),
    "penalties": (
        _penalties,
        {
            "openai_chat": _oc(presence_penalty=0.5, frequency_penalty=0.5),
            "gemini_generate": _gg(config={"presencePenalty": 0.5, "frequencyPenalty": 0.5}),
        },
    ),
    "logit_bias": (_of("logit_bias"), {"openai_chat": _oc(logit_bias={"1": -100})}),
    "logprobs": (
        _of("logprobs"),
        {
            "openai_chat": _oc(logprobs=True, top_logprobs=2),
            "openai_responses": _or(include=["message.output_text.logprobs"], top_logprobs=2),
            "gemini_generate": _gg(config={"responseLogprobs": True, "logprobs": 2}),
        },
    ),
    "several answers": (
        _of("choices"),
        {"openai_chat": _oc(n=2), "gemini_generate": _gg(config={"candidateCount": 2})},
    ),
    "verbosity": (
        _of("verbosity"),
        {"openai_chat": _oc(verbosity="low"), "openai_responses": _or(text={"verbosity": "low"})},
    ),
    "spoken answers": (
        _of("modalities"),
        {
            "openai_chat": _oc(modalities=["text", "audio"]),
            "gemini_generate": _gg(config={"responseModalities": ["TEXT", "AUDIO"]}),
        },
    ),
    "images as answers": (
        _of("modalities"),
        {"gemini_generate": _gg(config={"responseModalities": ["TEXT", "IMAGE"]})},
    ),
    "prompt cache marks": (
        _caches,
        {
            "openai_chat": _oc_user({"type": "text", "text": "long", "cache_control": EPHEMERAL}),
            "openai_responses": _or_user({"type": "input_text", "text": "long", "cache_control": EPHEMERAL}),
            "anthropic_messages": _am_user({"type": "text", "text": "long", "cache_control": EPHEMERAL}),
        },
    ),
    "metadata, to be repeated in the answer": (
        _nothing,
        {"openai_chat": _oc(metadata={"a": "b"}), "openai_responses": _or(metadata={"a": "b"})},
    ),
    "predicted output": (_nothing, {"openai_chat": _oc(prediction={"type": "content", "content": "x"})}),
    "safety settings": (
        _nothing,
        {"gemini_generate": _gg(safetySettings=[{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}])},
    ),
    "cached content kept at the provider": (_nothing, {"gemini_generate": _gg(cachedContent="cachedContents/x")}),
    "files kept at the provider": (
        _media,
        {
            "openai_chat": _oc_user({"type": "file", "file": {"file_id": "file-1"}}),
            "openai_responses": _or_user({"type": "input_file", "file_id": "file-1"}),
            "anthropic_messages": _am_user({"type": "document", "source": {"type": "file", "file_id": "file_011C"}}),
            "gemini_generate": _gg_user(
                {"fileData": {"mimeType": "application/pdf", "fileUri": "https://example.com/v1beta/files/x"}}
            ),
        },
    ),
    "blocks that no other dialect has": (
        _foreign,
        {
            "openai_chat": _oc_user({"type": "the_blocks_type"}),
            "anthropic_messages": _am_user(
                {"type": "search_result", "source": "s", "title": "t", "content": [{"type": "text", "text": "x"}]}
            ),
        },
    ),
}


class Found:
    """What became of one feature between two dialects. how: carried, lost, refused, or silent (a fault)."""

    def __init__(self, feature: str, how: str, names: tuple[str, ...] = (), why: str = "") -> None:
        self.feature = feature
        self.how = how
        self.names = names
        self.why = why


def place(name: Name, *, stream: bool = False) -> Place:
    """Where a request of that dialect comes in."""
    return Place(dialect=name, endpoint=ENDPOINTS[name], model="m" if name == "gemini_generate" else "", stream=stream)


def crossed(source: Name, target: Name, feature: str) -> Found | None:
    """One feature sent from one dialect to another; None when the first does not have it."""
    aspect, bodies = FEATURES[feature]
    if source not in bodies:
        return None
    try:
        call = TRANSLATORS[source].read_call(place(source), json.dumps(bodies[source]).encode())
        written = TRANSLATORS[target].write_call(call, AIM)
    except InvalidCall as error:
        return Found(feature, "refused", (), error.public)
    back = TRANSLATORS[target].read_call(place(target), written.body)
    names = told(written.losses)
    if names:
        return Found(feature, "lost", names)
    return Found(feature, "carried" if aspect(back) == aspect(call) else "silent")


# The way back: answers of a provider, as the caller reads them.

_USAGE = Usage(input_tokens=3, cache_read_tokens=4, output_tokens=5, reasoning_tokens=6)
_PICTURE = Media(kind="image", media_type="image/png", data=PNG)


def _answer(*parts: Any, finish: Finish = "stop", **more: Any) -> Reply:
    return Reply(id="a", model="m", choices=[Choice(parts=list(parts), finish=finish, **more)], usage=_USAGE)


def _said(reply: Reply) -> Any:
    return [part.text for part in reply.choices[0].parts if isinstance(part, Text) and part.text]


def _pondered(reply: Reply) -> Any:
    return [part.text for part in reply.choices[0].parts if isinstance(part, Thinking) and part.text]


def _called(reply: Reply) -> Any:
    return [(part.name, part.arguments) for part in reply.choices[0].parts if isinstance(part, ToolCall)]


def _declined(reply: Reply) -> Any:
    return [part.text for part in reply.choices[0].parts if isinstance(part, Refusal)], reply.choices[0].finish


def _shown(reply: Reply) -> Any:
    return [(part.kind, part.data) for part in reply.choices[0].parts if isinstance(part, Media)]


def _ended(reply: Reply) -> Any:
    return reply.choices[0].finish


def _counted(reply: Reply) -> Any:
    usage = reply.usage
    return usage and (usage.input_total, usage.cache_read_tokens, usage.output_total, usage.reasoning_tokens)


_LOGPROBS = b'[{"token":"x","logprob":-0.5,"bytes":null,"top_logprobs":[]}]'


def _weighed(reply: Reply) -> Any:
    return bool(reply.choices[0].logprobs)


ANSWERS: dict[str, tuple[Callable[[Reply], Any], Reply, tuple[Name, ...]]] = {
    "text": (_said, _answer(Text(text="sunny")), tuple(TITLES)),
    "thinking": (_pondered, _answer(Thinking(text="hm"), Text(text="x")), tuple(TITLES)),
    "calls of tools": (
        _called,
        _answer(ToolCall(id="call_1", name="weather", arguments='{"city":"Ulm"}'), finish="tool"),
        tuple(TITLES),
    ),
    "an end by length": (_ended, _answer(Text(text="x"), finish="length"), tuple(TITLES)),
    "a refusal": (
        _declined,
        _answer(Refusal(text="No."), finish="filter"),
        ("openai_chat", "openai_responses", "anthropic_messages"),
    ),
    "images that the model made": (
        _shown,
        _answer(Text(text="x"), _PICTURE),
        ("openai_chat", "openai_responses", "gemini_generate"),
    ),
    "logprobs": (
        _weighed,
        _answer(Text(text="x"), logprobs=_LOGPROBS),
        ("openai_chat", "openai_responses", "gemini_generate"),
    ),
    "figures": (_counted, _answer(Text(text="x")), tuple(TITLES)),
}


def returned(provider: Name, caller: Name, feature: str) -> Found | None:
    """One feature of an answer on its way back; None when the provider's dialect does not have it."""
    aspect, reply, having = ANSWERS[feature]
    if provider not in having:
        return None
    call = Call(model="m", turns=[], tools=[Tool(name="weather")], logprobs=2)
    asked = Asked(call=call, model="m", request_id="req_" + "0" * 32, created_s=1)
    given = TRANSLATORS[provider].read_reply(TRANSLATORS[provider].write_reply(reply, asked))
    back = TRANSLATORS[caller].read_reply(TRANSLATORS[caller].write_reply(given, asked))
    if given.losses:
        return Found(feature, "lost", told(given.losses))
    return Found(feature, "carried" if aspect(back) == aspect(reply) else "not shown")


PAIRS: list[tuple[Name, Name]] = [(a, b) for a, b in itertools.product(TITLES, TITLES) if a != b]


def page() -> str:
    """The page ``translation.md``."""
    lines = [
        "# What is carried between dialects",
        "",
        "A call to a provider of the caller's own dialect is relayed: its content passes byte for byte. A call to any",
        "other is translated. Here is for every pair what arrives, asked of the code feature by feature for a model",
        "that can do all its dialect has words for; one that cannot loses more, and says so by the same names.",
        "",
        "- *carried*: the provider gets it, in its own words;",
        "- *lost*: the name stands in the answer's `ruxa-lossy`; with `ruxa-strict: true` the call is refused instead,",
        "  with status 400 and code `lossy`, before anything is sent;",
        "- *refused*: status 400 in the caller's dialect, naming the field.",
        "",
        "Signatures of thinking pass through every client and come back to their own vendor byte for byte. They are",
        "never shown to another: thinking whose signer is not the model's vendor stays behind and is named `thinking`.",
        "The caller's own users and cache keys are no losses: they are replaced by pseudonyms or removed and stand in",
        "`ruxa-privacy`. Images by address are fetched first where the provider may not fetch them itself.",
    ]
    for source, target in PAIRS:
        lines += ["", f"## From {TITLES[source]} to {TITLES[target]}", "", "| how | what |", "|---|---|"]
        found = [each for feature in FEATURES if (each := crossed(source, target, feature)) is not None]
        carried = [each.feature for each in found if each.how == "carried"]
        lines.append(f"| carried | {'; '.join(carried)} |")
        lost: dict[str, list[str]] = {}
        for each in found:
            if each.how == "lost":
                lost.setdefault(", ".join(f"`{name}`" for name in each.names), []).append(each.feature)
        lines += [f"| lost as {names} | {'; '.join(features)} |" for names, features in lost.items()]
        refused = [each.feature for each in found if each.how == "refused"]
        if refused:
            lines.append(f"| refused | {'; '.join(refused)} |")
        back = [each for feature in ANSWERS if (each := returned(target, source, feature)) is not None]
        lines.append(f"| carried back | {'; '.join(each.feature for each in back if each.how == 'carried')} |")
        hidden = [each.feature for each in back if each.how != "carried"]
        if hidden:
            lines.append(f"| no place in {TITLES[source]} answers | {'; '.join(hidden)} |")
    return "\n".join(lines) + "\n"


def silent() -> list[str]:
    """The faults: what changes between two dialects without a name."""
    return [
        f"{source} -> {target}: {feature}"
        for source, target in itertools.product(TITLES, TITLES)
        for feature in FEATURES
        if (each := crossed(source, target, feature)) is not None and each.how == "silent"
    ]
