"""OpenAI's requests read and written: every kind of message, part, tool and setting; what is refused by its path."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ruxa.dialects import TRANSLATORS
from ruxa.dialects.call import (
    Cache,
    Call,
    Carried,
    Format,
    Media,
    Reasoning,
    Refusal,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
    unwrapped,
)
from ruxa.dialects.dialect import Place
from ruxa.dialects.losses import Loss, told
from ruxa.dialects.translator import Aim, Way
from ruxa.kernel.errors import InvalidCall

CHAT = TRANSLATORS["openai_chat"]
PLACE = Place(dialect="openai_chat", endpoint="chat")
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
PDF = "JVBERi0xLjQKJcfsj6IKNSAwIG9iago="
WAV = "UklGRiQAAABXQVZFZm10IBAAAAABAAEA"
OPENAI: frozenset[Way] = frozenset(
    {
        "max_completion_tokens",
        "stream_options",
        "strict_tools",
        "custom_tools",
        "structured_output",
        "sampling",
        "prompt_cache_key",
        "reasoning_effort",
        "thinking",
        "audio_input",
    }
)
AIM = Aim(model="gpt-x", cap=1000, ways=OPENAI)


def read(*messages: dict[str, Any], **more: Any) -> Call:
    body = {"model": "openai/gpt-x", "messages": list(messages), **more}
    return CHAT.read_call(PLACE, json.dumps(body, ensure_ascii=False).encode())


def said(text: str = "hi") -> dict[str, Any]:
    return {"role": "user", "content": text}


def written(call: Call, aim: Aim = AIM) -> dict[str, Any]:
    return json.loads(CHAT.write_call(call, aim).body)


def losses(call: Call, aim: Aim = AIM) -> tuple[str, ...]:
    return told(CHAT.write_call(call, aim).losses)


def user(*parts: Any) -> Call:
    return Call(model="m", turns=[Turn(role="user", parts=list(parts), at="messages[7]")])


def test_text_of_every_role_keeps_its_place_and_name() -> None:
    call = read(
        {"role": "system", "content": "one", "name": "house"},
        {"role": "developer", "content": [{"type": "text", "text": "two"}]},
        {"role": "user", "content": "three", "name": "ann"},
        {"role": "assistant", "content": "four"},
        {"role": "developer", "content": "five"},
        {"role": "user", "content": ""},
    )
    assert [(turn.role, turn.developer, turn.name, turn.parts) for turn in call.turns] == [
        ("system", False, "house", [Text(text="one")]),
        ("system", True, "", [Text(text="two")]),
        ("user", False, "ann", [Text(text="three")]),
        ("assistant", False, "", [Text(text="four")]),
        ("system", True, "", [Text(text="five")]),
        ("user", False, "", [Text(text="")]),
    ]
    assert [turn.at for turn in call.turns] == [f"messages[{at}]" for at in range(6)]
    assert [message["role"] for message in written(call)["messages"]] == [
        "system", "system", "user", "assistant", "system", "user"
    ]  # fmt: skip
    ways: frozenset[Way] = frozenset({"developer"})
    developer = Aim(model="o", ways=OPENAI | ways)
    assert written(call, developer)["messages"][0] == {"role": "developer", "content": "one", "name": "house"}


def test_a_system_list_comes_out_as_one_message_in_exact_parts() -> None:
    """W02, W39: not joined by a made-up separator, and without the marks this dialect does not know."""
    parts: list[Any] = [Text(text="You are", cache=Cache()), Text(text=" terse.\n", cache=Cache(ttl="1h"))]
    call = Call(
        model="m", turns=[Turn(role="system", parts=parts, at="system"), Turn(role="user", parts=[Text(text="x")])]
    )
    assert written(call)["messages"][0] == {
        "role": "system",
        "content": [{"type": "text", "text": "You are"}, {"type": "text", "text": " terse.\n"}],
    }
    assert CHAT.write_call(call, AIM).losses == (Loss("cache_control", "system"), Loss("cache_control", "system"))


def test_cache_marks_are_read_wherever_callers_put_them() -> None:
    """W38."""
    mark = {"type": "ephemeral", "ttl": "1h"}
    call = read(
        {"role": "system", "content": [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}]},
        {"role": "user", "content": "b", "cache_control": mark},
        {"role": "user", "content": [{"type": "text", "text": "c", "prompt_cache_breakpoint": {"mode": "explicit"}}]},
        {"role": "assistant", "content": "d", "cache_control": mark},
        {"role": "assistant", "content": None, "tool_calls": [_tool_call("t", "f", "{}")]},
        {"role": "tool", "tool_call_id": "t", "content": "e", "cache_control": mark},
        tools=[{"type": "function", "function": {"name": "f"}, "cache_control": mark}],
    )
    found = [getattr(turn.parts[0], "cache", None) for turn in call.turns]
    assert found == [Cache(), Cache(ttl="1h"), Cache(), Cache(ttl="1h"), None, Cache(ttl="1h")]
    assert call.tools[0].cache == Cache(ttl="1h")
    assert call.losses == ()


def test_images_pass_as_they_are_and_a_wrong_label_is_mended() -> None:
    """W23, W24."""
    call = read(
        {
            "role": "user",
            "content": [
                {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{PNG}", "detail": "low"}},
                {"type": "image_url", "image_url": "https://example.com/a.png"},
                {"type": "text", "text": "?"},
            ],
        }
    )
    assert call.turns[0].parts == [
        Media(kind="image", media_type="image/png", data=PNG, detail="low"),
        Media(kind="image", url="https://example.com/a.png"),
        Text(text="?"),
    ]
    assert written(call)["messages"][0]["content"] == [
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
        {"type": "text", "text": "?"},
    ]


def test_audio_files_and_other_parts() -> None:
    """W26, W76."""
    odd = {"type": "hologram", "data": [1.0]}
    call = read(
        {
            "role": "user",
            "content": [
                {"type": "input_audio", "input_audio": {"data": WAV, "format": "wav"}},
                {"type": "file", "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF}"}},
                {"type": "file", "file": {"file_data": PDF}},
                {"type": "file", "file": {"file_id": "file-1"}},
                odd,
            ],
        }
    )
    assert call.turns[0].parts == [
        Media(kind="audio", media_type="audio/wav", data=WAV),
        Media(kind="document", media_type="application/pdf", data=PDF, title="a.pdf"),
        Media(kind="document", media_type="application/pdf", data=PDF),
        Media(kind="document", file_id="file-1"),
        Carried(dialect="openai_chat", kind="hologram", raw=json.dumps(odd).encode()),
    ]
    content = written(call)["messages"][0]["content"]
    assert content[0] == {"type": "input_audio", "input_audio": {"data": WAV, "format": "wav"}}
    assert content[1]["file"] == {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF}"}
    assert content[2]["file"]["filename"] == "document.pdf"
    assert content[3]["file"] == {"file_id": "file-1"}
    assert content[4] == odd
    assert losses(call) == ()


@pytest.mark.parametrize(
    ("part", "ways", "says"),
    [
        (Media(kind="audio", media_type="audio/wav", data=WAV), frozenset[Way](), "audio"),
        (Media(kind="audio", media_type="audio/flac", data="ZkxhQwAAACI="), OPENAI, "WAV and MP3"),
        (Media(kind="audio", media_type="audio/wav", url="https://example.com/a.wav"), OPENAI, "WAV and MP3"),
        (Media(kind="document", url="https://example.com/a.pdf"), OPENAI, "document by its address"),
        (Media(kind="document", file_id="file_011C"), OPENAI, "kept at another provider"),
        (Media(kind="image", file_id="file_1"), OPENAI, "image by its file id"),
        (Media(kind="video", file_id="file_1"), OPENAI, "video by its file id"),
    ],
)
def test_media_that_cannot_be_given_are_refused_by_their_place(part: Media, ways: frozenset[Way], says: str) -> None:
    with pytest.raises(InvalidCall, match=says) as caught:
        CHAT.write_call(user(part), Aim(model="m", ways=ways))
    assert (caught.value.param, caught.value.code) == ("messages[7]", "unsupported_media")


def test_a_document_of_text_is_text_exactly() -> None:
    part = Media(kind="document", media_type="text/plain", text="a\n b", title="T", context="C", cited=True)
    assert written(user(part))["messages"][0]["content"] == [
        {"type": "text", "text": "T\nC\n"},
        {"type": "text", "text": "a\n b"},
    ]
    assert losses(user(part)) == ("citations",)


def _tool_call(call_id: str, name: str, arguments: str | None) -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def test_tool_calls_and_results_are_turns_of_their_own() -> None:
    """W13, W15, W17: arguments stay as they are spelled."""
    exact = '{"n": 1.0, "big": 123456789012345678901234567890, "é": "\\u00e9\U0001f600"}'
    call = read(
        said(),
        {"role": "assistant", "content": "", "tool_calls": [_tool_call("a", "f", exact), _tool_call("b", "g", "")]},
        {"role": "tool", "tool_call_id": "a", "content": "one"},
        {"role": "tool", "tool_call_id": "b", "content": [{"type": "text", "text": "two"}], "name": "g"},
        said("then"),
    )
    assert call.turns[1].parts == [
        ToolCall(id="a", name="f", arguments=exact),
        ToolCall(id="b", name="g", arguments="{}"),
    ]
    assert call.turns[2].parts == [ToolResult(call_id="a", parts=[Text(text="one")])]
    assert call.turns[3].parts == [ToolResult(call_id="b", name="g", parts=[Text(text="two")])]
    assert [turn.role for turn in call.turns] == ["user", "assistant", "user", "user", "user"]
    messages = written(call)["messages"]
    assert messages[1] == {
        "role": "assistant",
        "content": None,
        "tool_calls": [_tool_call("a", "f", exact), _tool_call("b", "g", "{}")],
    }
    assert [message.get("tool_call_id") for message in messages[2:]] == ["a", "b", None]


def test_broken_arguments_are_kept_and_their_message_is_known() -> None:
    """W16: whoever writes them for a dialect that needs JSON refuses them by that place."""
    call = read(said(), {"role": "assistant", "tool_calls": [_tool_call("a", "f", '{"cut": "o')]})
    assert call.turns[1].at == "messages[1]"
    assert isinstance(part := call.turns[1].parts[0], ToolCall)
    assert part.arguments == '{"cut": "o'
    assert written(call)["messages"][1]["tool_calls"][0]["function"]["arguments"] == '{"cut": "o'


def test_results_in_one_turn_become_messages_with_their_media_after_all_of_them() -> None:
    """W20: from a dialect whose results hold images."""
    image = Media(kind="image", media_type="image/png", data=PNG)
    turn = Turn(
        role="user",
        parts=[
            Text(text="look"),
            ToolResult(call_id="a", parts=[Text(text="shot"), image]),
            ToolResult(call_id="b", parts=[image]),
            ToolResult(call_id="c", data='{"ok":1.0}'),
        ],
    )
    calls: list[Any] = [ToolCall(id=name, name="f") for name in "abc"]
    messages = written(Call(model="m", turns=[Turn(role="assistant", parts=calls), turn]))["messages"]
    shown = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
    assert messages[1:] == [
        {"role": "tool", "tool_call_id": "a", "content": "shot"},
        {"role": "tool", "tool_call_id": "b", "content": "[image in the next message]"},
        {"role": "tool", "tool_call_id": "c", "content": '{"ok":1.0}'},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Media in the result of tool call a:"},
                shown,
                {"type": "text", "text": "Media in the result of tool call b:"},
                shown,
            ],
        },
        {"role": "user", "content": "look"},
    ]


@pytest.mark.parametrize("parts", [[], [Text(text="no such file")], [Text(text="a"), Text(text="b")]])
def test_a_failed_result_still_says_so_and_is_known_when_it_comes_back(parts: list[Any]) -> None:
    """W18."""
    call = user(ToolResult(call_id="a", parts=parts, error=True))
    message = written(call)["messages"][0]
    assert "error" in json.dumps(message["content"])
    back = read({"role": "assistant", "tool_calls": [_tool_call("a", "f", "{}")]}, message).turns[1].parts[0]
    assert back == ToolResult(call_id="a", parts=parts or [Text(text="")], error=True)


def test_ids_that_are_missing_or_too_long_are_made_alike_for_call_and_result() -> None:
    long = "toolu_" + "x" * 60
    call = Call(
        model="m",
        turns=[
            Turn(
                role="assistant",
                parts=[ToolCall(id="", name="f"), ToolCall(id="", name="g"), ToolCall(id=long, name="h")],
            ),
            Turn(
                role="user",
                parts=[
                    ToolResult(call_id="", name="g", parts=[Text(text="2")]),
                    ToolResult(call_id="", name="f", parts=[Text(text="1")]),
                    ToolResult(call_id=long, parts=[Text(text="3")]),
                ],
            ),
        ],
    )
    messages = written(call)["messages"]
    ids = [each["id"] for each in messages[0]["tool_calls"]]
    assert [message["tool_call_id"] for message in messages[1:]] == [ids[1], ids[0], ids[2]]
    assert len(set(ids)) == 3
    assert all(len(each) <= 40 for each in ids)


def test_custom_tools_pass_where_they_are_known_and_become_functions_where_not() -> None:
    tools = [{"type": "custom", "custom": {"name": "sh", "description": "d", "format": {"type": "text"}}}]
    call = read(
        said(),
        {"role": "assistant", "tool_calls": [{"id": "a", "type": "custom", "custom": {"name": "sh", "input": "ls"}}]},
        {"role": "tool", "tool_call_id": "a", "content": "x"},
        tools=tools,
        tool_choice={"type": "custom", "custom": {"name": "sh"}},
    )
    assert call.tools == [Tool(name="sh", kind="custom", description="d", schema=b'{"type": "text"}')]
    assert call.turns[1].parts == [ToolCall(id="a", name="sh", arguments="ls", custom=True)]
    assert call.turns[2].parts == [ToolResult(call_id="a", parts=[Text(text="x")], custom=True)]
    body = written(call)
    assert body["tools"] == tools
    assert body["tool_choice"] == {"type": "custom", "custom": {"name": "sh"}}
    assert body["messages"][1]["tool_calls"] == [{"id": "a", "type": "custom", "custom": {"name": "sh", "input": "ls"}}]
    plain = written(call, Aim(model="m"))
    assert plain["tools"][0]["function"]["parameters"]["required"] == ["input"]
    assert plain["tool_choice"] == {"type": "function", "function": {"name": "sh"}}
    assert unwrapped(plain["messages"][1]["tool_calls"][0]["function"]["arguments"]) == "ls"


def test_the_older_words_are_read_and_remembered() -> None:
    call = read(
        said(),
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "x"},
        functions=[{"name": "f", "parameters": {"type": "object"}}],
        function_call={"name": "f"},
    )
    assert call.functions
    assert call.parallel is False
    assert call.tools == [Tool(name="f", schema=b'{"type": "object"}')]
    assert call.choice == ToolChoice(mode="any", names=("f",))
    assert isinstance(asked := call.turns[1].parts[0], ToolCall)
    assert isinstance(result := call.turns[2].parts[0], ToolResult)
    assert asked.id == result.call_id != ""
    assert written(call)["messages"][2] == {"role": "tool", "tool_call_id": asked.id, "content": "x"}


def test_refusals_and_audio_of_earlier_answers() -> None:
    """W75."""
    call = read(
        said(),
        {"role": "assistant", "content": [{"type": "text", "text": "a"}, {"type": "refusal", "refusal": "no"}]},
        {"role": "assistant", "content": None, "refusal": "never", "annotations": [], "function_call": None},
        {"role": "assistant", "content": None, "audio": {"id": "audio_1"}},
    )
    assert [turn.parts for turn in call.turns[1:]] == [
        [Text(text="a"), Refusal(text="no")],
        [Refusal(text="never")],
        [Media(kind="audio", file_id="audio_1")],
    ]
    assert call.losses == ()
    messages = written(call)["messages"]
    assert messages[1] == {"role": "assistant", "content": "a", "refusal": "no"}
    assert messages[2] == {"role": "assistant", "content": None, "refusal": "never"}
    assert messages[3]["audio"] == {"id": "audio_1"}


def _details(**more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": "x", **more}


def test_thinking_is_restored_with_whose_signature_it_bears() -> None:
    """W32."""
    call = read(
        said(),
        _details(
            reasoning_content="ab",
            reasoning_details=[
                {"type": "reasoning.text", "text": "a", "signature": "S1", "format": "anthropic-claude-v1", "index": 0},
                {"type": "reasoning.encrypted", "data": "S2", "format": "anthropic-claude-v1", "index": 1},
                {"type": "reasoning.summary", "summary": "b", "format": "openai-responses-v1", "id": "rs", "index": 2},
                {"type": "reasoning.encrypted", "data": "S3", "format": "openai-responses-v1", "id": "rs", "index": 2},
                {"type": "reasoning.text", "text": "c", "index": 3},
                {"type": "reasoning.text", "text": "d", "index": 3},
                {"type": "reasoning.text", "signature": "S4", "format": "google-gemini-v1", "index": 3},
            ],
        ),
        _details(reasoning_content="only text"),
        _details(reasoning="another name"),
    )
    assert call.turns[1].parts == [
        Thinking(text="a", signature="S1", origin="anthropic"),
        Thinking(signature="S2", origin="anthropic", redacted=True),
        Thinking(text="b", summary=True, signature="S3", origin="openai", id="rs", redacted=True),
        Thinking(text="cd", signature="S4", origin="google"),
        Text(text="x"),
    ]
    assert call.turns[2].parts == [Thinking(text="only text"), Text(text="x")]
    assert call.turns[3].parts == [Thinking(text="another name"), Text(text="x")]


def test_thinking_goes_back_only_to_servers_that_take_it() -> None:
    """W33."""
    signed = Thinking(text="a", signature="S", origin="anthropic")
    call = Call(model="m", turns=[Turn(role="assistant", parts=[signed, Thinking(text="b"), Text(text="x")])])
    assert written(call)["messages"] == [{"role": "assistant", "content": "x"}]
    assert losses(call) == ("thinking",)
    content = Aim(model="m", ways=frozenset({"reasoning_content"}))
    assert written(call, content)["messages"] == [{"role": "assistant", "content": "x", "reasoning_content": "b"}]
    assert losses(call, content) == ("thinking",)
    details = Aim(model="m", ways=frozenset({"reasoning_details"}))
    assert read(*written(call, details)["messages"]).turns[0].parts == call.turns[0].parts
    assert losses(call, details) == ()


def test_googles_signatures_are_read_from_calls_and_texts() -> None:
    """W34."""
    extra = {"google": {"thought_signature": "c2ln"}}
    call = read(
        said(),
        {
            "role": "assistant",
            "content": "t",
            "extra_content": extra,
            "tool_calls": [{**_tool_call("a", "f", "{}"), "extra_content": extra}],
        },
    )
    assert call.turns[1].parts == [
        Text(text="t", signature="c2ln", origin="google"),
        ToolCall(id="a", name="f", signature="c2ln", origin="google"),
    ]
    assert losses(call) == ("thinking",)


def test_settings_are_read_and_written() -> None:
    """W05, W07, W29, W50."""
    call = read(
        said(),
        max_tokens=9,
        max_completion_tokens=5000,
        temperature=1.0,
        top_p=1,
        presence_penalty=0.5,
        frequency_penalty=-1,
        logit_bias={"50256": -100},
        seed=7,
        stop=["a", "b"],
        n=2,
        logprobs=True,
        top_logprobs=3,
        reasoning_effort="high",
        verbosity="low",
        user="u",
        safety_identifier="s",
        prompt_cache_key="k",
        parallel_tool_calls=False,
        tools=[{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}, "strict": True}}],
        tool_choice="required",
        stream=True,
        stream_options={"include_usage": True},
        modalities=["text"],
        store=True,
        service_tier="auto",
    )
    assert (call.cap, call.identity, call.cache_key, call.usage, call.losses) == (5000, "s", "k", True, ())
    assert call.reasoning == Reasoning(effort="high")
    assert written(call) == {
        "model": "gpt-x",
        "messages": [{"role": "user", "content": "hi"}],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}, "strict": True}}],
        "tool_choice": "required",
        "parallel_tool_calls": False,
        "max_completion_tokens": 1000,
        "n": 2,
        "logprobs": True,
        "top_logprobs": 3,
        "stop": ["a", "b"],
        "temperature": 1.0,
        "top_p": 1,
        "presence_penalty": 0.5,
        "frequency_penalty": -1,
        "seed": 7,
        "logit_bias": {"50256": -100},
        "reasoning_effort": "high",
        "verbosity": "low",
        "user": "s",
        "prompt_cache_key": "k",
        "stream": True,
        "stream_options": {"include_usage": True},
        "store": False,
    }
    body = CHAT.write_call(call, AIM).body
    assert b'"temperature":1.0,"top_p":1,' in body
    poor = Aim(model="m", refused=frozenset({"store", "seed", "user"}))
    body = written(call, poor)
    assert body["max_tokens"] == 5000
    assert not {"store", "seed", "user", "stream_options", "prompt_cache_key", "temperature"} & body.keys()
    assert losses(call, poor) == (
        "strict", "temperature", "top_p", "presence_penalty", "frequency_penalty", "reasoning_effort", "seed"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("wanted", "word"),
    [
        (Reasoning(mode="off"), "none"),
        (Reasoning(mode="on", budget=1024), "low"),
        (Reasoning(mode="on", budget=8192), "medium"),
        (Reasoning(mode="on", budget=31999), "high"),
        (Reasoning(mode="on", budget=-1), "medium"),
        (Reasoning(mode="adaptive", effort="max"), "max"),
        (Reasoning(mode="adaptive"), None),
        (Reasoning(shown=True), None),
    ],
)
def test_how_much_to_think_is_one_word(wanted: Reasoning, word: str | None) -> None:
    """W29."""
    call = Call(model="m", turns=[Turn(role="user", parts=[Text(text="x")])], reasoning=wanted)
    assert written(call).get("reasoning_effort") == word


@pytest.mark.parametrize(
    ("sent", "choice"),
    [
        ("auto", ToolChoice(mode="auto")),
        ("none", ToolChoice(mode="none")),
        ("required", ToolChoice(mode="any")),
        ({"type": "function", "function": {"name": "f"}}, ToolChoice(mode="any", names=("f",))),
        (
            {
                "type": "allowed_tools",
                "allowed_tools": {
                    "mode": "auto",
                    "tools": [{"type": "function", "function": {"name": name}} for name in "fg"],
                },
            },
            ToolChoice(mode="auto", names=("f", "g")),
        ),
    ],
)
def test_tool_choices_both_ways(sent: Any, choice: ToolChoice) -> None:
    """W10, W12."""
    tools = [{"type": "function", "function": {"name": name}} for name in "fg"]
    call = read(said(), tools=tools, tool_choice=sent)
    assert call.choice == choice
    assert written(call)["tool_choice"] == sent
    call.tools = []
    if not choice.names:
        assert "tool_choice" not in written(call)
    else:
        with pytest.raises(InvalidCall):
            CHAT.write_call(call, AIM)


@pytest.mark.parametrize(
    ("sent", "form"),
    [
        ({"type": "text"}, None),
        ({"type": "json_object"}, Format(kind="json")),
        (
            {
                "type": "json_schema",
                "json_schema": {"name": "n", "description": "d", "schema": {"a": 1.0}, "strict": True},
            },
            Format(kind="schema", name="n", description="d", schema=b'{"a": 1.0}', strict=True),
        ),
    ],
)
def test_formats_both_ways(sent: Any, form: Format | None) -> None:
    """W63, W64."""
    call = read(said(), response_format=sent)
    assert call.format == form
    assert written(call).get("response_format") == (None if form is None else sent)
    if form is not None and form.kind == "schema":
        assert written(call, Aim(model="m"))["response_format"] == {"type": "json_object"}
        assert losses(call, Aim(model="m")) == ("response_format.schema",)


def test_hosted_tools_come_back_here_and_are_lost_when_another_dialects() -> None:
    odd = {"type": "image_generation", "size": "1024"}
    call = read(said(), tools=[odd], web_search_options={"search_context_size": "low"})
    assert [tool.name for tool in call.tools] == ["image_generation", "web_search"]
    body = written(call)
    assert body["tools"] == [odd]
    assert body["web_search_options"] == {"search_context_size": "low"}
    call.tools = [Tool(name="web_search", kind="hosted", raw=b"{}", dialect="anthropic_messages")]
    assert CHAT.write_call(call, AIM).losses == (Loss("tools.web_search", "tools[0]"),)
    call.choice = ToolChoice(mode="any", names=("web_search",))
    with pytest.raises(InvalidCall):
        CHAT.write_call(call, AIM)


def test_what_the_neutral_form_cannot_hold_is_told_by_name() -> None:
    call = read(
        {"role": "user", "content": [{"type": "text", "text": "a", "mood": 1}], "mood": 2},
        metadata={"a": "b"},
        service_tier="flex",
        prediction={"type": "content", "content": "x"},
        audio={"voice": "alloy", "format": "wav"},
        modalities=["text", "audio"],
        odd=None,
        tools=[{"type": "function", "function": {"name": "f", "mood": 1}}],
        client_metadata={"x": "y"},
    )
    assert call.losses == (
        Loss("content.mood", "messages[0].content[0].mood"),
        Loss("messages.mood", "messages[0].mood"),
        Loss("tools.mood", "tools[0].function.mood"),
        Loss("metadata", "metadata"),
        Loss("service_tier", "service_tier"),
        Loss("prediction", "prediction"),
        Loss("audio", "audio"),
    )
    assert call.modalities == ("text", "audio")
    assert written(call)["modalities"] == ["text", "audio"]


def test_what_this_dialect_cannot_hold_is_told_by_name() -> None:
    call = user(Carried(dialect="anthropic_messages", kind="search_result", raw=b"{}"))
    call.top_k = 3
    call.stop = ("a", "b", "c", "d", "e")
    call.modalities = ("text", "image")
    call.turns.append(Turn(role="assistant", parts=[Media(kind="image", data=PNG)]))
    assert losses(call) == ("search_result", "assistant.image", "stop", "top_k", "modalities")
    assert written(call)["stop"] == ["a", "b", "c", "d"]


MALFORMED: list[tuple[dict[str, Any], str]] = [
    ({"content": "x"}, "messages[0].role"),
    ({"role": "robot", "content": "x"}, "messages[0].role"),
    ({"role": 1}, "messages[0].role"),
    ({"role": "user"}, "messages[0].content"),
    ({"role": "user", "content": 1}, "messages[0].content"),
    ({"role": "user", "content": [1]}, "messages[0].content[0]"),
    ({"role": "user", "content": [{"text": "x"}]}, "messages[0].content[0].type"),
    ({"role": "user", "content": [{"type": "text"}]}, "messages[0].content[0].text"),
    ({"role": "user", "content": [{"type": "text", "text": 1}]}, "messages[0].content[0].text"),
    ({"role": "user", "content": [{"type": "image_url"}]}, "messages[0].content[0].image_url"),
    ({"role": "user", "content": [{"type": "image_url", "image_url": {}}]}, "messages[0].content[0].image_url.url"),
    (
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png,xx"}}]},
        "messages[0].content[0].image_url.url",
    ),
    (
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x", "detail": 1}}]},
        "messages[0].content[0].image_url.detail",
    ),
    (
        {"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": WAV}}]},
        "messages[0].content[0].input_audio.format",
    ),
    ({"role": "user", "content": [{"type": "file", "file": {}}]}, "messages[0].content[0].file.file_data"),
    ({"role": "tool", "content": "x"}, "messages[0].tool_call_id"),
    ({"role": "tool", "tool_call_id": "a"}, "messages[0].content"),
    ({"role": "function", "content": "x"}, "messages[0].name"),
    ({"role": "assistant", "tool_calls": {}}, "messages[0].tool_calls"),
    ({"role": "assistant", "tool_calls": [{"function": {"name": "f"}}]}, "messages[0].tool_calls[0].id"),
    ({"role": "assistant", "tool_calls": [{"id": "a"}]}, "messages[0].tool_calls[0].function"),
    (
        {"role": "assistant", "tool_calls": [{"id": "a", "type": "odd"}]},
        "messages[0].tool_calls[0].type",
    ),
    (
        {"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": {}}}]},
        "messages[0].tool_calls[0].function.arguments",
    ),
    ({"role": "assistant", "function_call": {}}, "messages[0].function_call.name"),
    ({"role": "assistant", "audio": {}}, "messages[0].audio.id"),
    ({"role": "assistant", "reasoning_details": [{"type": 1}]}, "messages[0].reasoning_details[0].type"),
    ({"role": "assistant", "extra_content": 1}, "messages[0].extra_content"),
]


@pytest.mark.parametrize(("message", "path"), MALFORMED)
def test_a_malformed_message_is_refused_by_its_path(message: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidCall) as caught:
        read(message)
    assert caught.value.param == path


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"max_tokens": 0}, "max_tokens"),
    ({"max_completion_tokens": "1"}, "max_completion_tokens"),
    ({"n": 0}, "n"),
    ({"temperature": "1"}, "temperature"),
    ({"stop": [1]}, "stop[0]"),
    ({"stop": 1}, "stop"),
    ({"seed": 1.5}, "seed"),
    ({"logit_bias": []}, "logit_bias"),
    ({"logprobs": 1}, "logprobs"),
    ({"stream": "yes"}, "stream"),
    ({"stream_options": {"include_usage": 1}, "stream": True}, "stream_options.include_usage"),
    ({"tools": {}}, "tools"),
    ({"tools": [{"function": {"name": "f"}}]}, "tools[0].type"),
    ({"tools": [{"type": "function"}]}, "tools[0].function"),
    ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
    (
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": 1}}]},
        "tools[0].function.parameters",
    ),
    ({"tools": [{"type": "custom", "custom": {}}]}, "tools[0].custom.name"),
    ({"functions": [{}]}, "functions[0].name"),
    ({"tool_choice": "maybe"}, "tool_choice"),
    ({"tool_choice": {"type": "mcp"}}, "tool_choice.type"),
    ({"tool_choice": {"type": "function", "function": {}}}, "tool_choice.function.name"),
    ({"tool_choice": 1}, "tool_choice"),
    ({"function_call": {}}, "function_call.name"),
    ({"response_format": {}}, "response_format.type"),
    ({"response_format": {"type": "json_schema"}}, "response_format.type"),
    ({"response_format": {"type": "json_schema", "json_schema": {}}}, "response_format.json_schema.name"),
    (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": []}}},
        "response_format.json_schema.schema",
    ),
    ({"reasoning_effort": 1}, "reasoning_effort"),
    ({"modalities": "text"}, "modalities"),
    ({"user": 1}, "user"),
    ({"web_search_options": 1}, "web_search_options"),
    ({"parallel_tool_calls": "no"}, "parallel_tool_calls"),
    ({"messages": []}, "messages"),
    ({"messages": None}, "messages"),
    ({"messages": {}}, "messages"),
    ({"model": ""}, "model"),
]


@pytest.mark.parametrize(("more", "path"), WRONG)
def test_a_malformed_setting_is_refused_by_its_path(more: dict[str, Any], path: str) -> None:
    body = {"model": "m", "messages": [said()], **more}
    with pytest.raises(InvalidCall) as caught:
        CHAT.read_call(PLACE, json.dumps(body).encode())
    assert caught.value.param == path
