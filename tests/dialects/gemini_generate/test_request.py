"""Writing requests of Google's: what every neutral part and setting becomes, judged by the types of Google's SDK."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from google.genai import types as g

from ruxa.dialects.call import (
    Cache,
    Call,
    Carried,
    Format,
    Media,
    Part,
    Reasoning,
    Refusal,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
)
from ruxa.dialects.gemini_generate.request import write_call
from ruxa.dialects.gemini_generate.thoughts import SENTINEL
from ruxa.dialects.losses import Loss
from ruxa.dialects.translator import Aim, Way
from ruxa.kernel.errors import InvalidCall

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk"
PDF = "JVBERi0xLjcK"
WAV = "UklGRiQAAABXQVZFZm10IBAAAAABAAEA"
NEW: frozenset[Way] = frozenset(
    {"thinking", "thinking_level", "json_schema", "media_in_results", "audio_input", "image_urls", "sampling"}
)
OLD: frozenset[Way] = frozenset({"thinking", "audio_input", "sampling"})
HI = Turn(role="user", parts=[Text(text="hi")])


def judged(body: bytes) -> dict[str, Any]:
    """The body, accepted by Google's own types."""
    told: dict[str, Any] = json.loads(body)
    for content in told["contents"]:
        g.Content.model_validate(content)
    if "systemInstruction" in told:
        g.Content.model_validate(told["systemInstruction"])
    for tool in told.get("tools", ()):
        g.Tool.model_validate(tool)
    if "toolConfig" in told:
        g.ToolConfig.model_validate(told["toolConfig"])
    if "generationConfig" in told:
        g.GenerationConfig.model_validate(told["generationConfig"])
    assert set(told) <= {"contents", "systemInstruction", "tools", "toolConfig", "generationConfig"}
    return told


def write(*turns: Turn, ways: frozenset[Way] = NEW, **more: Any) -> dict[str, Any]:
    return judged(write_call(Call(model="m", turns=list(turns) or [HI], **more), Aim(model="x", ways=ways)).body)


def losses(*turns: Turn, ways: frozenset[Way] = NEW, **more: Any) -> list[str]:
    told = write_call(Call(model="m", turns=list(turns) or [HI], **more), Aim(model="x", ways=ways))
    return [loss.name for loss in told.losses]


def user(*parts: Part) -> Turn:
    return Turn(role="user", parts=list(parts), at="messages[1]")


def model(*parts: Part) -> Turn:
    return Turn(role="assistant", parts=list(parts), at="messages[2]")


def test_system_turns_at_the_front_keep_their_parts() -> None:
    """W03: no role inside contents, order and parts kept."""
    system = Turn(role="system", parts=[Text(text="a", cache=Cache()), Text(text=" b")])
    told = write(system, Turn(role="system", parts=[Text(text="c")], developer=True), HI)
    assert told["systemInstruction"] == {"parts": [{"text": "a"}, {"text": " b"}, {"text": "c"}]}
    assert told["contents"] == [{"role": "user", "parts": [{"text": "hi"}]}]
    assert losses(system, HI) == ["cache_control"]


def test_a_later_system_turn_stays_in_place() -> None:
    """W01: never moved to the front, where it would break what the provider has cached."""
    told = write(
        HI, model(Text(text="yes")), Turn(role="system", parts=[Text(text="be brief")]), user(Text(text="so?"))
    )
    assert "systemInstruction" not in told
    assert told["contents"][2] == {
        "role": "user",
        "parts": [{"text": "<system-instruction>\nbe brief\n</system-instruction>"}, {"text": "so?"}],
    }


def test_a_system_turn_alone_is_what_is_answered() -> None:
    told = write(Turn(role="system", parts=[Text(text="tell a joke")]))
    assert told == {"contents": [{"role": "user", "parts": [{"text": "tell a joke"}]}]}


def test_parallel_calls_and_their_results() -> None:
    """W14: one model turn, one user turn, results in call order with the name looked up, then what else was said."""
    told = write(
        HI,
        model(
            Text(text=""),
            ToolCall(id="a", name="f", arguments='{"n":1.0}', signature="QUJD", origin="google"),
            ToolCall(id="b", name="g", arguments=""),
        ),
        user(ToolResult(call_id="b", parts=[Text(text="two")])),
        user(ToolResult(call_id="a", parts=[Text(text="one")])),
        user(Text(text="and?")),
    )
    assert told["contents"][1] == {
        "role": "model",
        "parts": [
            {"functionCall": {"id": "a", "name": "f", "args": {"n": 1.0}}, "thoughtSignature": "QUJD"},
            {"functionCall": {"id": "b", "name": "g", "args": {}}},
        ],
    }
    assert told["contents"][2] == {
        "role": "user",
        "parts": [
            {"functionResponse": {"id": "a", "name": "f", "response": {"output": "one"}}},
            {"functionResponse": {"id": "b", "name": "g", "response": {"output": "two"}}},
            {"text": "and?"},
        ],
    }


def test_the_first_unsigned_call_of_a_turn_gets_googles_bypass() -> None:
    """W35."""
    told = write(
        HI,
        model(ToolCall(id="a", name="f"), ToolCall(id="b", name="f")),
        user(ToolResult(call_id="a"), ToolResult(call_id="b")),
        model(ToolCall(id="c", name="f", signature="theirs", origin="anthropic")),
    )
    marks = [part.get("thoughtSignature") for content in told["contents"] for part in content["parts"]]
    assert marks == [None, SENTINEL, None, None, None, SENTINEL]
    assert SENTINEL == "skip_thought_signature_validator"


def test_arguments_go_out_as_they_are_spelt() -> None:
    text = '{"a":1.0,"b":123456789012345678901234567890,"c":"é\\u00e9"}'
    body = write_call(
        Call(model="m", turns=[HI, model(ToolCall(id="a", name="f", arguments=text))]), Aim(model="x")
    ).body
    assert f'"args":{text}'.encode() in body


@pytest.mark.parametrize("arguments", ['{"a":', "[1]", '"x"', "nonsense"])
def test_broken_arguments_are_refused(arguments: str) -> None:
    """W16: with the place of the message."""
    with pytest.raises(InvalidCall) as caught:
        write(HI, model(ToolCall(id="a", name="f", arguments=arguments)))
    assert caught.value.param == "messages[2]"


def test_a_result_without_its_call_is_refused() -> None:
    with pytest.raises(InvalidCall) as caught:
        write(user(ToolResult(call_id="a", parts=[Text(text="x")])))
    assert caught.value.param == "messages[1]"


@pytest.mark.parametrize(
    ("result", "response"),
    [
        (ToolResult(call_id="a", parts=[Text(text="x")]), {"output": "x"}),
        (ToolResult(call_id="a"), {"output": ""}),
        (ToolResult(call_id="a", parts=[Text(text="x"), Text(text="y")]), {"output": ["x", "y"]}),
        (ToolResult(call_id="a", parts=[Text(text="x")], error=True), {"error": "x"}),
        (ToolResult(call_id="a", data='{"k":1}'), {"k": 1}),
        (ToolResult(call_id="a", data="[1]"), {"output": [1]}),
        (ToolResult(call_id="a", data='{"k":1}', error=True), {"error": {"k": 1}}),
        (ToolResult(call_id="a", data='{"error":"x","log":"y"}', error=True), {"error": "x", "log": "y"}),
    ],
)
def test_results(result: ToolResult, response: Any) -> None:
    """W19."""
    told = write(HI, model(ToolCall(id="a", name="f")), user(result))
    assert told["contents"][2]["parts"][0]["functionResponse"]["response"] == response


@pytest.mark.parametrize("ways", [NEW, OLD])
def test_an_image_in_a_result(ways: frozenset[Way]) -> None:
    """W21: inside the response, or beside it for older models; never lost."""
    image = Media(kind="image", media_type="image/jpeg", data=PNG)
    told = write(
        HI,
        model(ToolCall(id="a", name="f"), ToolCall(id="b", name="f")),
        user(ToolResult(call_id="a", parts=[Text(text="see"), image]), ToolResult(call_id="b")),
        ways=ways,
    )
    blob = {"inlineData": {"mimeType": "image/png", "data": PNG}}
    first, second, *beside = told["contents"][2]["parts"]
    assert first["functionResponse"].get("parts") == ([blob] if ways is NEW else None)
    assert "functionResponse" in second
    assert beside == ([] if ways is NEW else [blob])


@pytest.mark.parametrize(
    ("media", "part"),
    [
        (
            Media(kind="image", media_type="image/jpeg", data=PNG),
            {"inlineData": {"mimeType": "image/png", "data": PNG}},
        ),
        (
            Media(kind="document", media_type="application/pdf", data=PDF, title="a.pdf"),  # W27
            {"inlineData": {"mimeType": "application/pdf", "data": PDF, "displayName": "a.pdf"}},
        ),
        (
            Media(kind="audio", media_type="audio/wav", data=WAV),
            {"inlineData": {"mimeType": "audio/wav", "data": WAV}},
        ),  # W76
        (
            Media(kind="document", media_type="text/plain", text="né"),
            {"inlineData": {"mimeType": "text/plain", "data": base64.b64encode("né".encode()).decode()}},
        ),
        (
            Media(kind="image", url="https://a.example/x.PNG?v=1"),
            {"fileData": {"fileUri": "https://a.example/x.PNG?v=1", "mimeType": "image/png"}},
        ),
        (Media(kind="video", file_id="files/abc"), {"fileData": {"fileUri": "files/abc"}}),
    ],
)
def test_media(media: Media, part: Any) -> None:
    assert write(user(media))["contents"][0]["parts"] == [part]


def test_media_that_a_model_cannot_take_is_refused() -> None:
    with pytest.raises(InvalidCall) as caught:
        write(user(Media(kind="audio", media_type="audio/wav", data=WAV)), ways=frozenset())
    assert caught.value.param == "messages[1]"
    with pytest.raises(InvalidCall) as caught:
        write(user(Media(kind="document", file_id="file-of-openai")))
    assert caught.value.param == "messages[1]"


def test_how_closely_media_are_looked_at() -> None:
    low, high = (Media(kind="image", media_type="image/png", data=PNG, detail=detail) for detail in ("low", "high"))
    assert write(user(low, low))["generationConfig"] == {"mediaResolution": "MEDIA_RESOLUTION_LOW"}
    told = write(user(low, high))
    assert [part["mediaResolution"]["level"] for part in told["contents"][0]["parts"]] == [
        "MEDIA_RESOLUTION_LOW",
        "MEDIA_RESOLUTION_HIGH",
    ]
    assert losses(user(low, high), ways=OLD) == ["detail", "detail"]


def test_thinking_goes_back_to_its_own_vendor_only() -> None:
    """W33: foreign or unsigned thinking is left out and told."""
    turns = (
        HI,
        model(
            Thinking(text="theirs", signature="s", origin="anthropic"),
            Thinking(text="nobody's"),
            Thinking(text="mine", signature="QUJD", origin="google"),
            Thinking(text="mine, unsigned", origin="google"),
            Text(text="yes", signature="REVG", origin="google"),
            Text(text="no", signature="s", origin="openai"),
        ),
    )
    assert write(*turns)["contents"][1]["parts"] == [
        {"text": "mine", "thought": True, "thoughtSignature": "QUJD"},
        {"text": "mine, unsigned", "thought": True},
        {"text": "yes", "thoughtSignature": "REVG"},
        {"text": "no"},
    ]
    assert losses(*turns) == ["thinking", "thinking"]


def test_a_turn_of_nothing_but_foreign_thinking_is_left_out() -> None:
    told = write(HI, model(Thinking(text="x", origin="anthropic", signature="s")), user(Text(text="so?")))
    assert told["contents"] == [{"role": "user", "parts": [{"text": "hi"}, {"text": "so?"}]}]


def test_carried_blocks_go_home_and_nowhere_else() -> None:
    own = Carried(
        dialect="gemini_generate", kind="executable_code", raw=b'{"executableCode":{"code":"1","language":"PYTHON"}}'
    )
    other = Carried(dialect="openai_chat", kind="audio_reference", raw=b"{}")
    told = write(HI, model(own, other, Refusal(text="no")))
    assert told["contents"][1]["parts"] == [{"executableCode": {"code": "1", "language": "PYTHON"}}, {"text": "no"}]
    assert losses(HI, model(own, other)) == ["audio_reference"]


SCHEMA = b'{"type":"object","properties":{"a":{"type":"string","const":"x"}},"additionalProperties":false}'


def test_tools() -> None:
    tools = [
        Tool(name="f", description="d", schema=SCHEMA, strict=True, cache=Cache()),
        Tool(name="g"),
        Tool(name="h", kind="custom", schema=b'{"type":"grammar"}'),
        Tool(name="run", namespace="mcp", schema=b'{"type":"object","properties":{}}'),
        Tool(name="google_search", kind="hosted", raw=b'{"googleSearch":{}}', dialect="gemini_generate"),
        Tool(name="web_search", kind="hosted", raw=b"{}", dialect="openai_responses"),
    ]
    declared, search = write(tools=tools)["tools"]
    assert search == {"googleSearch": {}}
    f, plain, free, spaced = declared["functionDeclarations"]
    assert f == {"name": "f", "description": "d", "parametersJsonSchema": json.loads(SCHEMA)}
    assert plain == {"name": "g"}
    assert free["parametersJsonSchema"]["required"] == ["input"]
    assert spaced == {"name": "mcp__run", "parametersJsonSchema": {"type": "object", "properties": {}}}
    assert losses(tools=tools) == ["cache_control", "tools.strict", "tools.format", "tools.web_search"]
    reduced, _ = write(tools=tools, ways=OLD)["tools"]
    assert reduced["functionDeclarations"][0]["parameters"] == {
        "type": "OBJECT",
        "properties": {"a": {"type": "STRING", "enum": ["x"]}},
    }
    assert reduced["functionDeclarations"][3] == {"name": "mcp__run"}


@pytest.mark.parametrize(
    ("choice", "told"),
    [
        (None, None),
        (ToolChoice(mode="auto"), None),
        (ToolChoice(mode="any"), {"mode": "ANY"}),
        (ToolChoice(mode="any", names=("f",)), {"mode": "ANY", "allowedFunctionNames": ["f"]}),
        (ToolChoice(mode="none"), {"mode": "NONE"}),
        (ToolChoice(mode="auto", names=("f",)), {"mode": "VALIDATED", "allowedFunctionNames": ["f"]}),
    ],
)
def test_tool_choice(choice: ToolChoice | None, told: Any) -> None:
    """W11."""
    body = write(tools=[Tool(name="f")], choice=choice)
    assert body.get("toolConfig") == (None if told is None else {"functionCallingConfig": told})
    assert "toolConfig" not in write(choice=choice)


def test_a_choice_of_what_is_not_there_is_refused() -> None:
    with pytest.raises(InvalidCall) as caught:
        write(
            tools=[Tool(name="f"), Tool(name="web_search", kind="hosted", raw=b"{}", dialect="openai_responses")],
            choice=ToolChoice(mode="any", names=("web_search",)),
        )
    assert caught.value.param == "tool_choice"


def test_settings() -> None:
    """W06, W78 the other way."""
    told = write(
        cap=100,
        choices=2,
        temperature=0.5,
        top_p=0.9,
        top_k=40,
        stop=("a", "b"),
        seed=7,
        presence_penalty=1,
        frequency_penalty=0.5,
        logprobs=3,
        modalities=("text", "image"),
        identity="somebody",
        cache_key="k",
    )
    assert told["generationConfig"] == {
        "maxOutputTokens": 100,
        "temperature": 0.5,
        "topP": 0.9,
        "topK": 40,
        "candidateCount": 2,
        "presencePenalty": 1,
        "frequencyPenalty": 0.5,
        "stopSequences": ["a", "b"],
        "seed": 7,
        "responseLogprobs": True,
        "logprobs": 3,
        "responseModalities": ["TEXT", "IMAGE"],
    }
    assert "somebody" not in json.dumps(told)
    assert "generationConfig" not in write()


def test_settings_that_google_does_not_know_are_named() -> None:
    assert losses(seed=2**40, stop=tuple("abcdef"), logit_bias=b"{}", verbosity="low", parallel=False) == [
        "parallel_tool_calls",
        "stop",
        "seed",
        "logit_bias",
        "verbosity",
    ]


def test_fields_that_a_provider_refuses_are_left_out() -> None:
    told = write_call(Call(model="m", turns=[HI], cap=5), Aim(model="x", refused=frozenset({"generationConfig"})))
    assert "generationConfig" not in json.loads(told.body)
    assert [loss.name for loss in told.losses] == ["generation_config"]


def test_format() -> None:
    """W64."""
    assert write(format=Format(kind="json"))["generationConfig"] == {"responseMimeType": "application/json"}
    asked = Format(kind="schema", name="n", schema=SCHEMA, strict=True)
    assert write(format=asked)["generationConfig"] == {
        "responseMimeType": "application/json",
        "responseJsonSchema": json.loads(SCHEMA),
    }
    assert write(format=asked, ways=OLD)["generationConfig"]["responseSchema"]["type"] == "OBJECT"


FAST: frozenset[Way] = frozenset({"thinking"})
STUBBORN: frozenset[Way] = frozenset({"thinking", "always_thinks"})
STUBBORN_NEW: frozenset[Way] = frozenset({"thinking", "thinking_level", "always_thinks"})


@pytest.mark.parametrize(
    ("reasoning", "ways", "told"),
    [
        (Reasoning(mode="on", budget=2048), FAST, {"thinkingBudget": 2048, "includeThoughts": True}),
        (Reasoning(mode="on", budget=31999), FAST, {"thinkingBudget": 24576, "includeThoughts": True}),
        (Reasoning(mode="adaptive"), FAST, {"thinkingBudget": -1, "includeThoughts": True}),
        (Reasoning(mode="adaptive", effort="high"), FAST, {"thinkingBudget": 24576, "includeThoughts": True}),
        (Reasoning(effort="low", shown=False), FAST, {"thinkingBudget": 2048, "includeThoughts": False}),
        (Reasoning(effort="max"), FAST, {"thinkingBudget": 24576, "includeThoughts": True}),
        (Reasoning(mode="off"), FAST, {"thinkingBudget": 0}),
        (Reasoning(effort="none"), FAST, {"thinkingBudget": 0}),
        (Reasoning(mode="off"), STUBBORN, {"thinkingBudget": 128}),
        (Reasoning(shown=True), FAST, {"includeThoughts": True}),
        (Reasoning(mode="on", budget=2048), NEW, {"thinkingLevel": "LOW", "includeThoughts": True}),
        (Reasoning(mode="on", budget=30000), NEW, {"thinkingLevel": "HIGH", "includeThoughts": True}),
        (Reasoning(mode="adaptive"), NEW, {"includeThoughts": True}),
        (Reasoning(mode="adaptive", effort="medium"), NEW, {"thinkingLevel": "MEDIUM", "includeThoughts": True}),
        (Reasoning(effort="xhigh"), NEW, {"thinkingLevel": "HIGH", "includeThoughts": True}),
        (Reasoning(effort="minimal"), NEW, {"thinkingLevel": "MINIMAL", "includeThoughts": True}),
        (Reasoning(effort="minimal"), STUBBORN_NEW, {"thinkingLevel": "LOW", "includeThoughts": True}),
        (Reasoning(mode="off"), NEW, {"thinkingLevel": "MINIMAL"}),
        (Reasoning(mode="off"), STUBBORN_NEW, {"thinkingLevel": "LOW"}),
        (Reasoning(mode="on", budget=9000), frozenset[Way](), None),
    ],
)
def test_thinking_is_asked_for(reasoning: Reasoning, ways: frozenset[Way], told: Any) -> None:
    """W30."""
    assert write(reasoning=reasoning, ways=ways).get("generationConfig", {}).get("thinkingConfig") == told


def test_thinking_that_cannot_be_asked_for_is_named() -> None:
    assert losses(reasoning=Reasoning(effort="high"), ways=frozenset()) == ["reasoning"]
    assert losses(reasoning=Reasoning(effort="none"), ways=frozenset()) == []
    assert losses(reasoning=Reasoning(mode="off"), ways=STUBBORN) == ["reasoning"]


def test_losses_of_the_reader_come_along() -> None:
    assert losses(losses=(Loss("metadata"),)) == ["metadata"]
