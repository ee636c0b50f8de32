"""Reading Google's requests: every kind of part and setting as the neutral call, and every wrong field by its path."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from ruxa.dialects.call import (
    Carried,
    Format,
    Media,
    Reasoning,
    Text,
    Thinking,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
)
from ruxa.dialects.dialect import Place
from ruxa.dialects.gemini_generate.call import read_call
from ruxa.dialects.losses import Loss
from ruxa.dialects.signature import pack
from ruxa.kernel.errors import InvalidCall

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk"
PLACE = Place(dialect="gemini_generate", endpoint="generate", model="gemini-3-pro", stream=True)
COUNT = Place(dialect="gemini_generate", endpoint="count_tokens", model="gemini-3-pro")
USER = {"role": "user", "parts": [{"text": "hi"}]}


def read(**body: Any) -> Any:
    return read_call(PLACE, json.dumps({"contents": [USER]} | body, ensure_ascii=False).encode())


def parts(*told: Any, role: str = "user") -> list[Any]:
    call = read(contents=[{"role": role, "parts": list(told)}])
    return [part for turn in call.turns for part in turn.parts]


def lost(**body: Any) -> set[str]:
    return {loss.name for loss in read(**body).losses}


def test_a_plain_call() -> None:
    call = read()
    assert (call.model, call.stream, call.usage, call.choices, call.losses) == ("gemini-3-pro", True, True, 1, ())
    assert call.turns == [Turn(role="user", parts=[Text(text="hi")], at="contents[0]")]


@pytest.mark.parametrize(
    "told",
    [
        "be brief",
        {"text": "be brief"},
        {"parts": [{"text": "be brief"}]},
        {"role": "system", "parts": [{"text": "be brief"}]},
    ],
)
@pytest.mark.parametrize("name", ["systemInstruction", "system_instruction"])
def test_a_system_instruction_in_each_form(name: str, told: Any) -> None:
    call = read(**{name: told})
    assert call.turns[0] == Turn(role="system", parts=[Text(text="be brief")], at="system_instruction")


def test_a_single_object_stands_for_an_array_of_it() -> None:
    """As Google's own examples write it."""
    call = read(
        contents={"role": "user", "parts": {"text": "hi"}},
        tools={"function_declarations": {"name": "f"}},
    )
    assert call.turns[0].parts == [Text(text="hi")]
    assert [tool.name for tool in call.tools] == ["f"]


def test_roles_and_contents_without_a_role() -> None:
    """W77: model is the assistant, function and nobody are the user unless parts say otherwise; texts stay apart."""
    call = read(
        contents=[
            {"parts": [{"text": "a"}, {"text": "b "}, {"text": " c"}]},
            {"role": "model", "parts": [{"text": "d"}]},
            {"parts": [{"functionCall": {"name": "f", "args": {}}}]},
            {"role": "function", "parts": [{"functionResponse": {"name": "f", "response": {"output": "x"}}}]},
        ]
    )
    assert [turn.role for turn in call.turns] == ["user", "assistant", "assistant", "user"]
    assert [part.text for part in call.turns[0].parts] == ["a", "b ", " c"]


def test_what_stands_in_the_wrong_content_gets_its_own_turn() -> None:
    call = read(contents=[{"role": "user", "parts": [{"text": "a"}, {"functionCall": {"name": "f"}}, {"text": "b"}]}])
    assert [(turn.role, len(turn.parts)) for turn in call.turns] == [("user", 1), ("assistant", 1), ("user", 1)]


def test_calls_and_results_find_each_other_without_ids() -> None:
    """W14 read: two calls of one name, answered in order; one with an id of its own."""
    call = read(
        contents=[
            USER,
            {
                "role": "model",
                "parts": [
                    {"functionCall": {"name": "f", "args": {"n": 1}}},
                    {"functionCall": {"name": "g", "args": {}, "id": "mine"}},
                    {"functionCall": {"name": "f", "args": {"n": 2}}},
                ],
            },
            {
                "role": "user",
                "parts": [
                    {"functionResponse": {"name": "f", "response": {"output": "one"}}},
                    {"functionResponse": {"name": "f", "response": {"output": "two"}}},
                    {"functionResponse": {"name": "g", "id": "mine", "response": {"output": "three"}}},
                ],
            },
        ]
    )
    called = [part for part in call.turns[1].parts if isinstance(part, ToolCall)]
    results = [part for part in call.turns[2].parts if isinstance(part, ToolResult)]
    assert len({part.id for part in called}) == 3
    assert called[1].id == "mine"
    assert [part.call_id for part in results] == [called[0].id, called[2].id, "mine"]


def test_arguments_keep_their_spelling() -> None:
    body = (
        b'{"contents":[{"role":"model","parts":[{"functionCall":{"name":"f","args":'
        b'{ "a" : 1.0, "b": 1, "c": 123456789012345678901234567890, "d": 1e400,\n "e": "\xe4\xbd\xa0 \\u00e9" } }}]}]}'
    )
    call = read_call(PLACE, body)
    assert call.turns[0].parts[0].arguments == (  # type: ignore[union-attr]
        '{"a":1.0,"b":1,"c":123456789012345678901234567890,"d":1e400,"e":"你 \\u00e9"}'
    )


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        ({"output": "fine"}, ToolResult(call_id="1", name="f", parts=[Text(text="fine")])),
        ({"output": ""}, ToolResult(call_id="1", name="f")),
        ({"output": {"a": 1}}, ToolResult(call_id="1", name="f", data='{"output":{"a":1}}')),
        ({"result": 5}, ToolResult(call_id="1", name="f", data='{"result":5}')),
        ({"error": "broke"}, ToolResult(call_id="1", name="f", parts=[Text(text="broke")], error=True)),
        ({"error": {"code": 5}}, ToolResult(call_id="1", name="f", data='{"code":5}', error=True)),
        ({"error": "x", "log": "y"}, ToolResult(call_id="1", name="f", data='{"error":"x","log":"y"}', error=True)),
        ({"error": None, "output": "y"}, ToolResult(call_id="1", name="f", data='{"error":null,"output":"y"}')),
        ({"error": False}, ToolResult(call_id="1", name="f", data='{"error":false}')),
    ],
)
def test_results_and_errors_of_tools(response: Any, expected: ToolResult) -> None:
    assert parts({"functionResponse": {"id": "1", "name": "f", "response": response}}) == [expected]


def test_an_image_in_a_result() -> None:
    [result] = parts(
        {
            "function_response": {
                "id": "1",
                "name": "f",
                "response": {"output": "see"},
                "parts": [{"inline_data": {"mime_type": "image/jpeg", "data": PNG, "display_name": "a.png"}}],
            }
        }
    )
    assert result.parts == [Text(text="see"), Media(kind="image", media_type="image/png", data=PNG, title="a.png")]


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ({"inlineData": {"mimeType": "image/png", "data": PNG}}, Media(kind="image", media_type="image/png", data=PNG)),
        (
            {"inlineData": {"mimeType": "audio/wav", "data": "UklG"}},
            Media(kind="audio", media_type="audio/wav", data="UklG"),
        ),
        (
            {"inlineData": {"mimeType": "application/pdf", "data": "JVBERi0="}},
            Media(kind="document", media_type="application/pdf", data="JVBERi0="),
        ),
        (
            {"inlineData": {"mimeType": "application/x-own", "data": "_-8"}},  # as Google's Python SDK spells it
            Media(kind="document", media_type="application/x-own", data="/+8="),
        ),
        (
            {
                "fileData": {
                    "fileUri": "https://generativelanguage.googleapis.com/v1beta/files/a",
                    "mimeType": "video/mp4",
                }
            },
            Media(
                kind="video", media_type="video/mp4", file_id="https://generativelanguage.googleapis.com/v1beta/files/a"
            ),
        ),
        (
            {"file_data": {"file_uri": "https://www.youtube.com/watch?v=1"}},
            Media(kind="video", url="https://www.youtube.com/watch?v=1"),
        ),
        (
            {
                "fileData": {"fileUri": "gs://b/a.png", "mimeType": "image/png"},
                "mediaResolution": {"level": "MEDIA_RESOLUTION_HIGH"},
            },
            Media(kind="image", media_type="image/png", url="gs://b/a.png", detail="high"),
        ),
    ],
)
def test_media(part: Any, expected: Media) -> None:
    assert parts(part) == [expected]


def test_thoughts_and_signatures() -> None:
    anthropic = pack("anthropic", "sig+/=")
    found = parts(
        {"text": "hm", "thought": True},
        {"text": "hm", "thought": True, "thoughtSignature": "QUJD"},
        {"text": "hm", "thought": True, "thoughtSignature": anthropic.replace("+", "-").replace("/", "_").rstrip("=")},
        {"text": "hi", "thoughtSignature": "_-8"},
        {"functionCall": {"name": "f", "id": "1"}, "thought_signature": "QUJD"},
        role="model",
    )
    assert found == [
        Thinking(text="hm", summary=True),
        Thinking(text="hm", signature="QUJD", origin="google", summary=True),
        Thinking(text="hm", signature="sig+/=", origin="anthropic"),
        Text(text="hi", signature="/+8=", origin="google"),
        ToolCall(id="1", name="f", signature="QUJD", origin="google"),
    ]


@pytest.mark.parametrize(
    "told", ["skip_thought_signature_validator", base64.b64encode(b"skip_thought_signature_validator").decode()]
)
def test_the_bypass_of_a_client_is_no_signature(told: str) -> None:
    """gemini-cli puts it on calls of which it has none."""
    [call] = parts({"functionCall": {"name": "f", "id": "1"}, "thoughtSignature": told}, role="model")
    assert (call.signature, call.origin) == ("", "")


def test_blocks_of_googles_own_tools_are_carried() -> None:
    code = {"executableCode": {"language": "PYTHON", "code": "1+1"}}
    found = parts(
        code, {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "2"}}, {"newThing": {"a": 1}}, role="model"
    )
    assert [part.kind for part in found] == ["executable_code", "code_execution_result", "parts.new_thing"]
    assert isinstance(found[0], Carried)
    assert json.loads(found[0].raw) == code


def test_an_empty_text_beside_others_is_nothing() -> None:
    assert parts({"text": "a"}, {"text": ""}) == [Text(text="a")]
    assert parts({"text": ""}) == [Text(text="")]


def test_tools() -> None:
    call = read(
        tools=[
            {
                "functionDeclarations": [
                    {
                        "name": "f",
                        "description": "d",
                        "parameters": {"type": "OBJECT", "properties": {"a": {"type": "STRING"}}},
                    },
                    {"name": "g", "parametersJsonSchema": {"type": "object", "$defs": {}}},
                    {"name": "h", "behavior": "NON_BLOCKING"},
                ]
            },
            {"googleSearch": {}, "codeExecution": {}},
            {"url_context": {}},
        ]
    )
    assert [(tool.kind, tool.name, tool.description, tool.schema, tool.raw) for tool in call.tools] == [
        ("function", "f", "d", b'{"type":"object","properties":{"a":{"type":"string"}}}', b""),
        ("function", "g", "", b'{"type":"object","$defs":{}}', b""),
        ("function", "h", "", b"", b""),
        ("hosted", "google_search", "", b"", b'{"googleSearch":{}}'),
        ("hosted", "code_execution", "", b"", b'{"codeExecution":{}}'),
        ("hosted", "url_context", "", b"", b'{"urlContext":{}}'),
    ]
    assert call.losses == (Loss("tools.behavior", "tools[0].function_declarations[2].behavior"),)


@pytest.mark.parametrize(
    ("mode", "names", "expected"),
    [
        ("AUTO", [], ToolChoice(mode="auto")),
        ("ANY", [], ToolChoice(mode="any")),
        ("ANY", ["f"], ToolChoice(mode="any", names=("f",))),
        ("NONE", [], ToolChoice(mode="none")),
        ("VALIDATED", ["f"], ToolChoice(mode="auto", names=("f",))),
        ("any", [], ToolChoice(mode="any")),
        ("MODE_UNSPECIFIED", [], None),
    ],
)
def test_tool_choice(mode: str, names: list[str], expected: ToolChoice | None) -> None:
    call = read(toolConfig={"functionCallingConfig": {"mode": mode, "allowedFunctionNames": names}})
    assert call.choice == expected


def test_settings() -> None:
    call = read(
        generationConfig={
            "maxOutputTokens": "100",
            "candidateCount": 2,
            "temperature": 0.5,
            "topP": "0.9",
            "top_k": 40.0,
            "seed": -1,
            "stopSequences": ["a", "b"],
            "presencePenalty": 1,
            "frequencyPenalty": 0.1,
            "responseLogprobs": True,
            "logprobs": 3,
            "responseModalities": ["TEXT", "IMAGE"],
        }
    )
    assert (call.cap, call.choices, call.temperature, call.top_p, call.top_k, call.seed) == (100, 2, 0.5, 0.9, 40, -1)
    assert (call.stop, call.presence_penalty, call.frequency_penalty) == (("a", "b"), 1, 0.1)
    assert (call.logprobs, call.modalities, call.losses) == (3, ("text", "image"), ())


@pytest.mark.parametrize(
    ("thinking", "expected"),
    [
        ({"thinkingBudget": 0}, Reasoning(mode="off", shown=False)),
        ({"thinkingBudget": -1, "includeThoughts": True}, Reasoning(mode="adaptive", shown=True)),
        ({"thinking_budget": 2048}, Reasoning(mode="on", budget=2048, shown=False)),
        ({"thinkingLevel": "HIGH", "includeThoughts": True}, Reasoning(effort="high", shown=True)),
        ({"thinkingLevel": "minimal"}, Reasoning(effort="minimal", shown=False)),
        ({"includeThoughts": True}, Reasoning(shown=True)),
    ],
)
def test_thinking(thinking: Any, expected: Reasoning) -> None:
    assert read(generationConfig={"thinkingConfig": thinking}).reasoning == expected


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"responseMimeType": "application/json"}, Format(kind="json")),
        ({"responseMimeType": "text/plain"}, None),
        (
            {
                "responseMimeType": "application/json",
                "responseSchema": {"type": "STRING", "enum": ["a"], "format": "enum"},
            },
            Format(kind="schema", schema=b'{"type":"string","enum":["a"]}'),
        ),
        (
            {"responseMimeType": "application/json", "responseJsonSchema": {"type": ["string", "null"]}},
            Format(kind="schema", schema=b'{"type":["string","null"]}'),
        ),
    ],
)
def test_format(config: Any, expected: Format | None) -> None:
    assert read(generationConfig=config).format == expected


def test_media_resolution_counts_for_all_that_say_nothing() -> None:
    image = {"inlineData": {"mimeType": "image/png", "data": PNG}}
    own = image | {"mediaResolution": {"level": "MEDIA_RESOLUTION_HIGH"}}
    call = read(
        contents=[{"role": "user", "parts": [image, own]}], generationConfig={"mediaResolution": "MEDIA_RESOLUTION_LOW"}
    )
    assert [part.detail for part in call.turns[0].parts] == ["low", "high"]


def test_what_cannot_be_held_is_named() -> None:
    """W78."""
    assert lost(
        safetySettings=[{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
        serviceTier="flex",
        labels={"a": "b"},
        toolConfig={
            "retrievalConfig": {"languageCode": "de"},
            "functionCallingConfig": {"streamFunctionCallArguments": True},
        },
        generationConfig={
            "speechConfig": {},
            "audioTimestamp": True,
            "thinkingConfig": {"new": 1},
            "responseMimeType": "text/x.enum",
        },
    ) == {
        "safety_settings",
        "service_tier",
        "labels",
        "tool_config.retrieval_config",
        "tool_config.stream_function_call_arguments",
        "generation_config.speech_config",
        "generation_config.audio_timestamp",
        "thinking_config.new",
        "response_mime_type",
    }
    assert lost(**{"ein Satz, den jemand schrieb": 1}) == {"field"}
    assert lost(store=True, model="models/gemini-3-pro", serviceTier="standard", safetySettings=None) == set()


def test_cached_content_is_refused() -> None:
    with pytest.raises(InvalidCall) as caught:
        read(cachedContent="cachedContents/1")
    assert caught.value.param == "cached_content"
    assert caught.value.status == 400


@pytest.mark.parametrize("wrapped", [True, False])
def test_the_call_in_a_count(wrapped: bool) -> None:
    request = {"model": "models/gemini-3-pro", "contents": [USER], "systemInstruction": {"parts": [{"text": "s"}]}}
    body = {"generateContentRequest": request} if wrapped else request
    call = read_call(COUNT, json.dumps(body).encode())
    assert [turn.role for turn in call.turns] == ["system", "user"]
    assert not call.losses


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"contents": []}, "contents"),
        ({"contents": 5}, "contents"),
        ({"contents": ["x"]}, "contents[0]"),
        ({"contents": [{"role": "assistant", "parts": []}]}, "contents[0].role"),
        ({"contents": [{"role": 5}]}, "contents[0].role"),
        ({"contents": [{"parts": {}}]}, "contents[0].parts[0]"),
        ({"contents": [{"parts": "hi"}]}, "contents[0].parts"),
        ({"contents": [{"parts": [{}]}]}, "contents[0].parts[0]"),
        ({"contents": [{"parts": [{"text": 5}]}]}, "contents[0].parts[0].text"),
        ({"contents": [USER, {"parts": [{"text": "a", "inlineData": {"data": "a"}}]}]}, "contents[1].parts[0]"),
        ({"contents": [{"parts": [{"thought": "yes", "text": ""}]}]}, "contents[0].parts[0].thought"),
        ({"contents": [{"parts": [{"inlineData": {"mimeType": "a"}}]}]}, "contents[0].parts[0].inline_data.data"),
        ({"contents": [{"parts": [{"inline_data": {"data": 5}}]}]}, "contents[0].parts[0].inline_data.data"),
        ({"contents": [{"parts": [{"fileData": {}}]}]}, "contents[0].parts[0].file_data.file_uri"),
        ({"contents": [{"parts": [{"functionCall": {}}]}]}, "contents[0].parts[0].function_call.name"),
        (
            {"contents": [{"parts": [{"functionCall": {"name": "f", "args": []}}]}]},
            "contents[0].parts[0].function_call.args",
        ),
        (
            {"contents": [{"parts": [{"functionResponse": {"name": ""}}]}]},
            "contents[0].parts[0].function_response.name",
        ),
        (
            {"contents": [{"parts": [{"functionResponse": {"name": "f", "response": "x"}}]}]},
            "contents[0].parts[0].function_response.response",
        ),
        (
            {"contents": [{"parts": [{"functionResponse": {"name": "f", "parts": [{}]}}]}]},
            "contents[0].parts[0].function_response.parts[0]",
        ),
        ({"systemInstruction": 5}, "system_instruction"),
        ({"systemInstruction": {"parts": [{"text": []}]}}, "system_instruction.parts[0].text"),
        ({"tools": "all"}, "tools"),
        ({"tools": [{"functionDeclarations": [{}]}]}, "tools[0].function_declarations[0].name"),
        (
            {"tools": [{"functionDeclarations": [{"name": "f", "parameters": {"type": "TEXT"}}]}]},
            "tools[0].function_declarations[0].parameters.type",
        ),
        (
            {"tools": [{"functionDeclarations": [{"name": "f", "parameters": {"properties": {"a": 5}}}]}]},
            "tools[0].function_declarations[0].parameters.properties.a",
        ),
        (
            {"tools": [{"functionDeclarations": [{"name": "f", "parameters": {}, "parametersJsonSchema": {}}]}]},
            "tools[0].function_declarations[0].parameters",
        ),
        ({"toolConfig": {"functionCallingConfig": {"mode": "SOME"}}}, "tool_config.function_calling_config.mode"),
        (
            {"toolConfig": {"functionCallingConfig": {"allowedFunctionNames": [5]}}},
            "tool_config.function_calling_config.allowed_function_names[0]",
        ),
        ({"generationConfig": []}, "generation_config"),
        ({"generationConfig": {"maxOutputTokens": 0}}, "generation_config.max_output_tokens"),
        ({"generationConfig": {"maxOutputTokens": "many"}}, "generation_config.max_output_tokens"),
        ({"generationConfig": {"temperature": []}}, "generation_config.temperature"),
        ({"generationConfig": {"topK": 1.5}}, "generation_config.top_k"),
        ({"generationConfig": {"candidateCount": 1000}}, "generation_config.candidate_count"),
        ({"generationConfig": {"stopSequences": [1]}}, "generation_config.stop_sequences[0]"),
        ({"generationConfig": {"seed": "NaN"}}, "generation_config.seed"),
        (
            {"generationConfig": {"thinkingConfig": {"thinkingBudget": 1.5}}},
            "generation_config.thinking_config.thinking_budget",
        ),
        ({"generationConfig": {"responseSchema": {"items": 5}}}, "generation_config.response_schema.items"),
        ({"generationConfig": {"topP": 1, "top_p": 1}}, "generation_config.top_p"),
        ({"tool_config": {}, "toolConfig": {}}, "tool_config"),
    ],
)
def test_a_wrong_field_names_its_path(body: Any, param: str) -> None:
    with pytest.raises(InvalidCall) as caught:
        read(**body)
    assert caught.value.param == param
    assert caught.value.status == 400
