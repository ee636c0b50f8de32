"""Neutral calls as requests of Anthropic's: the wire cases, and what Anthropic's own SDK takes for a request."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, cast

import pytest
from anthropic.types.message_create_params import MessageCreateParamsBase
from anthropic.types.tool_param import ToolParam
from pydantic import TypeAdapter

from ruxa.dialects import COUNTERS, TRANSLATORS
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
from ruxa.dialects.losses import Loss
from ruxa.dialects.translator import Aim, Way, Written
from ruxa.kernel.errors import InvalidCall

HERE = TRANSLATORS["anthropic_messages"]
ALL: frozenset[Way] = frozenset(
    {"thinking", "adaptive_thinking", "structured_output", "strict_tools", "system_anywhere", "image_urls"}
)
OLDER: frozenset[Way] = frozenset({"thinking", "sampling", "structured_output", "image_urls"})
PLAIN: frozenset[Way] = frozenset({"sampling"})
PARAMS: TypeAdapter[Any] = TypeAdapter(MessageCreateParamsBase)
PNG = "iVBORw0KGgoAAAANSUhEUgAA"


def user(*parts: Part) -> Turn:
    return Turn(role="user", parts=[*parts], at="messages[1]")


def assistant(*parts: Part) -> Turn:
    return Turn(role="assistant", parts=[*parts], at="messages[2]")


def system(text: str) -> Turn:
    return Turn(role="system", parts=[Text(text=text)], at="messages[0]")


HELLO = user(Text(text="hi"))


def exhausted(value: Any) -> Any:
    """Looks at all that pydantic would validate only when it is asked for."""
    if isinstance(value, Mapping):
        return {name: exhausted(inner) for name, inner in cast("Mapping[str, Any]", value).items()}
    if isinstance(value, list) or (isinstance(value, Iterator) or type(value).__name__ == "ValidatorIterator"):
        return [exhausted(inner) for inner in value]
    return value


def write(
    call: Call, ways: frozenset[Way] = ALL, cap: int | None = 32000, **more: Any
) -> tuple[dict[str, Any], list[str]]:
    written = HERE.write_call(call, Aim(model="claude-x", cap=cap, ways=ways, **more))
    body = json.loads(written.body)
    exhausted(PARAMS.validate_python(body))
    return body, [loss.name for loss in written.losses]


def ask(*turns: Turn, **members: Any) -> Call:
    return Call(model="public", turns=[*turns] if turns else [HELLO], **members)


def test_the_least_that_is_needed() -> None:
    body, told = write(ask())
    assert body == {
        "model": "claude-x",
        "max_tokens": 32000,
        "stream": False,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
    }
    assert told == []


@pytest.mark.parametrize(
    ("asked", "most", "sent"),
    [(None, 64000, 64000), (500, 64000, 500), (99999, 64000, 64000), (None, None, 8192), (7, None, 7)],
)
def test_w04_there_is_always_a_cap_and_it_fits(asked: int | None, most: int | None, sent: int) -> None:
    assert write(ask(cap=asked), cap=most)[0]["max_tokens"] == sent


def test_w01_leading_instructions_are_the_system_and_later_ones_stay() -> None:
    turns = [system("a"), system("b"), HELLO, assistant(Text(text="yes")), user(Text(text="more")), system("in French")]
    body, told = write(ask(*turns))
    assert [block["text"] for block in body["system"]] == ["a", "b"]
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "user", "system"]
    assert told == []
    body, told = write(ask(*turns), OLDER)
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "user"]
    texts = [block["text"] for block in body["messages"][2]["content"]]
    assert texts == ["more", "[System instruction]\nin French"]
    assert told == ["system"]


def test_w01_an_instruction_before_a_users_turn_goes_behind_it_never_to_the_front() -> None:
    turns = [system("a"), HELLO, assistant(Text(text="yes")), system("in French"), user(Text(text="more"))]
    body, _ = write(ask(*turns))
    assert [block["text"] for block in body["system"]] == ["a"]
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "user", "system"]
    results = [assistant(ToolCall(id="t", name="f")), system("mind"), user(ToolResult(call_id="t"))]
    body, _ = write(ask(HELLO, *results), OLDER)
    kinds = [block["type"] for block in body["messages"][2]["content"]]
    assert kinds == ["tool_result", "text"]
    between = [HELLO, assistant(Text(text="yes")), system("mind"), assistant(Text(text="no"))]
    body, told = write(ask(*between))
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "user", "assistant"]
    assert told == ["system"]


def test_w08_tools_with_and_without_a_schema() -> None:
    schema = b'{"type":"object","properties":{"a":{"type":"integer"}},"required":["a"],"additionalProperties":false}'
    tools = [
        Tool(name="f", description="d", schema=schema, strict=True),
        Tool(name="g"),
        Tool(name="h", schema=b'{"properties":{}}', cache=Cache()),
    ]
    body, told = write(ask(tools=tools))
    assert body["tools"] == [
        {"name": "f", "description": "d", "input_schema": json.loads(schema), "strict": True},
        {"name": "g", "input_schema": {"type": "object", "properties": {}}},
        {"name": "h", "input_schema": {"type": "object", "properties": {}}, "cache_control": {"type": "ephemeral"}},
    ]
    assert told == []
    body, told = write(ask(tools=tools), OLDER)
    assert "strict" not in body["tools"][0]
    assert told == ["tools.strict"]
    TypeAdapter(list[ToolParam]).validate_python(body["tools"])


def test_a_schema_passes_byte_for_byte() -> None:
    schema = b'{"type": "object", "properties": {"x": {"minimum": 1.0, "maximum": 1e3, "const": "\xc3\xbc\\u00fc"}}}'
    written = HERE.write_call(ask(tools=[Tool(name="f", schema=schema)]), Aim(model="m"))
    assert schema in written.body


def test_a_union_at_the_root_of_a_schema_is_told() -> None:
    schema = b'{"type":"object","properties":{},"anyOf":[{"required":["a"]}]}'
    body, told = write(ask(tools=[Tool(name="f", schema=schema)]))
    assert body["tools"][0]["input_schema"] == {"type": "object", "properties": {}}
    assert told == ["tools.schema.anyOf"]


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        (ToolChoice(mode="any"), {"type": "any"}),
        (ToolChoice(mode="any", names=("f",)), {"type": "tool", "name": "f"}),
        (ToolChoice(mode="none"), {"type": "none"}),
        (ToolChoice(mode="auto"), {"type": "auto"}),
        (None, None),
    ],
)
def test_w10_the_choice_of_tools(choice: ToolChoice | None, sent: dict[str, Any] | None) -> None:
    assert write(ask(tools=[Tool(name="f")], choice=choice))[0].get("tool_choice") == sent


def test_w12_one_call_at_a_time() -> None:
    one: dict[str, Any] = {"tools": [Tool(name="f")], "parallel": False}
    assert write(ask(**one))[0]["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}
    body, _ = write(ask(**one, choice=ToolChoice(mode="any")))
    assert body["tool_choice"] == {"type": "any", "disable_parallel_tool_use": True}
    assert write(ask(**one, choice=ToolChoice(mode="none")))[0]["tool_choice"] == {"type": "none"}
    assert "tool_choice" not in write(ask(parallel=False, choice=ToolChoice(mode="auto")))[0]


def test_only_the_allowed_tools_are_sent() -> None:
    tools = [Tool(name="f"), Tool(name="g"), Tool(name="h")]
    body, told = write(ask(tools=tools, choice=ToolChoice(mode="any", names=("f", "h"))))
    assert [tool["name"] for tool in body["tools"]] == ["f", "h"]
    assert (body["tool_choice"], told) == ({"type": "any"}, [])


def test_hosted_tools_pass_only_at_home() -> None:
    own = Tool(
        name="web_search",
        kind="hosted",
        raw=b'{"type":"web_search_20250305","name":"web_search"}',
        dialect="anthropic_messages",
    )
    other = Tool(name="code_interpreter", kind="hosted", raw=b"{}", dialect="openai_responses")
    body, told = write(ask(tools=[own, other]))
    assert body["tools"] == [{"type": "web_search_20250305", "name": "web_search"}]
    assert told == ["tools.code_interpreter"]
    with pytest.raises(InvalidCall, match="no such tool"):
        write(ask(tools=[other], choice=ToolChoice(mode="any", names=("code_interpreter",))))
    body, _ = write(ask(tools=[own], choice=ToolChoice(mode="any", names=("web_search",))))
    assert body["tool_choice"] == {"type": "tool", "name": "web_search"}


def test_free_text_and_namespaces_become_plain_tools() -> None:
    tools = [Tool(name="patch", kind="custom", schema=b'{"type":"grammar"}'), Tool(name="run", namespace="shell")]
    calls = assistant(
        ToolCall(id="c1", name="patch", arguments='a "b"\n', custom=True),
        ToolCall(id="c2", name="run", namespace="shell", arguments="{}"),
    )
    body, told = write(ask(HELLO, calls, user(ToolResult(call_id="c1"), ToolResult(call_id="c2")), tools=tools))
    assert [tool["name"] for tool in body["tools"]] == ["patch", "shell__run"]
    assert body["tools"][0]["input_schema"]["required"] == ["input"]
    sent = body["messages"][1]["content"]
    assert [(block["name"], block["input"]) for block in sent] == [("patch", {"input": 'a "b"\n'}), ("shell__run", {})]
    assert told == ["tools.format"]


def test_w13_results_are_one_turn_results_first() -> None:
    turns = [
        HELLO,
        assistant(ToolCall(id="a", name="f"), ToolCall(id="b", name="f")),
        user(ToolResult(call_id="a", parts=[Text(text="1")])),
        user(Text(text="and")),
        user(ToolResult(call_id="b", parts=[Text(text="2")])),
    ]
    body, _ = write(ask(*turns))
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "user"]
    content = body["messages"][2]["content"]
    assert [block.get("tool_use_id", block.get("text")) for block in content] == ["a", "b", "and"]


@pytest.mark.parametrize("arguments", ["", "  "])
def test_w15_no_arguments_are_an_empty_object(arguments: str) -> None:
    body, _ = write(
        ask(HELLO, assistant(ToolCall(id="a", name="f", arguments=arguments)), user(ToolResult(call_id="a")))
    )
    assert body["messages"][1]["content"][0]["input"] == {}


@pytest.mark.parametrize("arguments", ['{"a": ', "[1]", "5", '{"a":1} x', "nonsense"])
def test_w16_broken_arguments_are_refused_by_place(arguments: str) -> None:
    with pytest.raises(InvalidCall) as caught:
        write(ask(HELLO, assistant(ToolCall(id="a", name="f", arguments=arguments))))
    assert (caught.value.status, caught.value.param) == (400, "messages[2]")


def test_w17_arguments_keep_their_spelling() -> None:
    arguments = '{"n": 1.0, "big": 123456789012345678901234567890, "t": "日本 \\u00e9"}'
    call = ask(HELLO, assistant(ToolCall(id="a", name="f", arguments=arguments)), user(ToolResult(call_id="a")))
    assert b'"input":' + arguments.encode() in HERE.write_call(call, Aim(model="m")).body


def test_ids_that_anthropic_refuses_are_remade_alike_on_both_sides() -> None:
    call = ask(HELLO, assistant(ToolCall(id="fc:1/ä", name="f")), user(ToolResult(call_id="fc:1/ä")))
    body, _ = write(call)
    made = body["messages"][1]["content"][0]["id"]
    assert made.startswith("toolu_")
    assert body["messages"][2]["content"][0]["tool_use_id"] == made
    with pytest.raises(InvalidCall, match="tool names"):
        write(ask(tools=[Tool(name="a.b:c")]))


def test_tool_results_with_media_an_error_and_data() -> None:
    results = user(
        ToolResult(call_id="a", parts=[Text(text="see"), Media(kind="image", media_type="image/png", data=PNG)]),
        ToolResult(call_id="b", parts=[Text(text="no")], error=True, cache=Cache(ttl="1h")),
        ToolResult(call_id="c", data='{"x":1.0}'),
        ToolResult(call_id="d"),
    )
    body, _ = write(ask(HELLO, results))
    content = body["messages"][0]["content"]
    assert content[0]["content"][1]["source"] == {"type": "base64", "media_type": "image/png", "data": PNG}
    assert (content[1]["is_error"], content[1]["cache_control"]) == (True, {"type": "ephemeral", "ttl": "1h"})
    assert content[2]["content"] == [{"type": "text", "text": '{"x":1.0}'}]
    assert content[3] == {"type": "tool_result", "tool_use_id": "d"}


def test_w23_a_wrong_label_is_mended() -> None:
    body, _ = write(ask(user(Media(kind="image", media_type="image/jpeg", data=PNG))))
    assert body["messages"][0]["content"][0]["source"]["media_type"] == "image/png"


def test_w25_w26_media_from_elsewhere() -> None:
    media = user(
        Media(kind="image", url="https://a.example/x.png", cache=Cache()),
        Media(kind="image", url=f"data:image/png;base64,{PNG}"),
        Media(kind="document", media_type="application/pdf", data="JVBERi0xLjQ=", title="f.pdf", cited=True),
        Media(kind="document", text="words", context="C"),
        Media(kind="document", media_type="text/csv", data="YSxiCg=="),
        Media(kind="document", url="https://a.example/x.pdf"),
        Media(kind="image", file_id="file_011"),
        Media(kind="document", media_type="image/png", data=PNG),
    )
    body, told = write(ask(media))
    sent = body["messages"][0]["content"]
    assert [block["type"] for block in sent] == ["image", "image", *["document"] * 4, "image", "image"]
    assert sent[0]["source"] == {"type": "url", "url": "https://a.example/x.png"}
    assert sent[1]["source"] == {"type": "base64", "media_type": "image/png", "data": PNG}
    assert sent[2]["source"] == {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0xLjQ="}
    assert (sent[2]["title"], sent[2]["citations"]) == ("f.pdf", {"enabled": True})
    assert sent[3]["source"] == {"type": "text", "media_type": "text/plain", "data": "words"}
    assert sent[4]["source"]["data"] == "a,b\n"
    assert sent[6]["source"] == {"type": "file", "file_id": "file_011"}
    assert told == []
    assert write(ask(user(Media(kind="image", data=PNG, detail="low"))))[1] == ["detail"]


@pytest.mark.parametrize(
    "media",
    [
        Media(kind="audio", media_type="audio/wav", data="UklGRg=="),
        Media(kind="video", media_type="video/mp4", data="AAAA"),
        Media(kind="image", media_type="image/bmp", data="Qk0="),
        Media(kind="document", media_type="application/zip", data="UEs="),
        Media(kind="image", file_id="file-openai"),
        Media(kind="document", media_type="text/plain", data="//79"),
    ],
)
def test_w76_what_no_model_takes_is_refused_not_dropped(media: Media) -> None:
    with pytest.raises(InvalidCall) as caught:
        write(ask(user(media)))
    assert (caught.value.code, caught.value.param) == ("unsupported_media", "messages[1]")


HIGH = Reasoning(effort="high")


@pytest.mark.parametrize(
    ("wanted", "ways", "thinking", "effort"),
    [
        (HIGH, ALL, {"type": "adaptive"}, "high"),
        (Reasoning(effort="minimal"), ALL, {"type": "adaptive"}, "low"),
        (Reasoning(effort="none"), ALL, {"type": "disabled"}, None),
        (Reasoning(mode="off"), ALL, {"type": "disabled"}, None),
        (Reasoning(mode="on", budget=2048), ALL, {"type": "adaptive"}, "low"),
        (Reasoning(mode="on", budget=20000, shown=True), ALL, {"type": "adaptive", "display": "summarized"}, "high"),
        (Reasoning(mode="adaptive", shown=False), ALL, {"type": "adaptive", "display": "omitted"}, None),
        (Reasoning(budget=-1, mode="adaptive"), ALL, {"type": "adaptive"}, None),
        (Reasoning(mode="on", budget=0), ALL, {"type": "disabled"}, None),
        (HIGH, OLDER, {"type": "enabled", "budget_tokens": 24000}, None),
        (Reasoning(effort="low"), OLDER, {"type": "enabled", "budget_tokens": 2048}, None),
        (Reasoning(effort="none"), OLDER, {"type": "disabled"}, None),
        (Reasoning(mode="on", budget=5000), OLDER, {"type": "enabled", "budget_tokens": 5000}, None),
        (Reasoning(mode="on", budget=90000), OLDER, {"type": "enabled", "budget_tokens": 31999}, None),
        (Reasoning(mode="on", budget=100), OLDER, {"type": "enabled", "budget_tokens": 1024}, None),
        (Reasoning(mode="adaptive"), OLDER, {"type": "enabled", "budget_tokens": 8192}, None),
        (Reasoning(effort="none"), PLAIN, None, None),
        (Reasoning(shown=False), ALL, None, None),
        (Reasoning(shown=True), ALL, {"type": "adaptive", "display": "summarized"}, None),
    ],
)
def test_w28_thinking_by_the_table(
    wanted: Reasoning, ways: frozenset[Way], thinking: dict[str, Any] | None, effort: str | None
) -> None:
    body, told = write(ask(reasoning=wanted), ways)
    assert (body.get("thinking"), body.get("output_config", {}).get("effort")) == (thinking, effort)
    assert told == []


def test_thinking_that_does_not_fit_is_told() -> None:
    assert write(ask(reasoning=HIGH), PLAIN)[1] == ["thinking"]
    body, told = write(ask(reasoning=HIGH, cap=1000), OLDER)
    assert (body["thinking"], told) == ({"type": "disabled"}, ["thinking"])
    body, _ = write(ask(reasoning=HIGH, cap=1200), OLDER)
    assert body["thinking"] == {"type": "enabled", "budget_tokens": 1024}
    forced = ask(reasoning=HIGH, tools=[Tool(name="f")], choice=ToolChoice(mode="any"))
    assert write(forced, OLDER)[1] == ["thinking"]
    assert write(forced)[1] == []  # adaptive thinking may be forced to call
    assert write(ask(reasoning=Reasoning(effort="enormous")))[1] == ["effort"]


def test_w32_w33_thinking_goes_back_to_its_own_vendor_only() -> None:
    own = Thinking(text="hm", signature="EqRk==", origin="anthropic")
    hidden = Thinking(signature="Emw=", origin="anthropic", redacted=True)
    loop = [HELLO, assistant(own, hidden, ToolCall(id="a", name="f")), user(ToolResult(call_id="a"))]
    body, told = write(ask(*loop, reasoning=HIGH), OLDER)
    assert body["messages"][1]["content"][:2] == [
        {"type": "thinking", "thinking": "hm", "signature": "EqRk=="},
        {"type": "redacted_thinking", "data": "Emw="},
    ]
    assert (body["thinking"]["type"], told) == ("enabled", [])
    foreign = Thinking(text="ah", signature="g", origin="google")
    unsigned = Thinking(text="ah")
    loop = [HELLO, assistant(foreign, unsigned, ToolCall(id="a", name="f")), user(ToolResult(call_id="a"))]
    body, told = write(ask(*loop, reasoning=HIGH), OLDER)
    assert [block["type"] for block in body["messages"][1]["content"]] == ["tool_use"]
    assert (body["thinking"], told) == ({"type": "disabled"}, ["thinking"] * 3)
    body, told = write(ask(*loop, reasoning=HIGH))
    assert (body["thinking"], told) == ({"type": "adaptive"}, ["thinking"] * 2)


def test_a_turn_does_not_end_in_thinking_or_white_space() -> None:
    own = Thinking(text="hm", signature="s", origin="anthropic")
    body, told = write(ask(HELLO, assistant(own)))
    assert ([message["role"] for message in body["messages"]], told) == (["user"], ["thinking"])
    body, _ = write(ask(HELLO, assistant(Text(text="The answer is "))))
    assert body["messages"][1]["content"][0]["text"] == "The answer is"
    body, _ = write(ask(HELLO, assistant(Text(text=" \n"))))
    assert len(body["messages"]) == 1


def test_empty_texts_are_left_out_and_no_message_is_an_error() -> None:
    body, _ = write(ask(HELLO, assistant(Text(text=""), ToolCall(id="a", name="f")), user(ToolResult(call_id="a"))))
    assert [block["type"] for block in body["messages"][1]["content"]] == ["tool_use"]
    with pytest.raises(InvalidCall, match="needs a message"):
        write(ask(system("only")))


def test_w38_marks_stay_where_they_were() -> None:
    turn = user(Text(text="a", cache=Cache()), Media(kind="document", text="b", cache=Cache(ttl="1h")))
    first = Turn(role="system", parts=[Text(text="s", cache=Cache(ttl="1h"))])
    call = assistant(ToolCall(id="a", name="f", cache=Cache()))
    body, _ = write(ask(first, turn, call, user(ToolResult(call_id="a")), tools=[Tool(name="f", cache=Cache())]))
    five, hour = {"type": "ephemeral"}, {"type": "ephemeral", "ttl": "1h"}
    assert body["system"][0]["cache_control"] == hour
    assert [block["cache_control"] for block in body["messages"][0]["content"]] == [five, hour]
    assert body["messages"][1]["content"][0]["cache_control"] == five
    assert body["tools"][0]["cache_control"] == five


SCHEMA = b'{"type":"object","properties":{"a":{"type":"number"}},"required":["a"],"additionalProperties":false}'


def test_w63_a_form_for_the_answer() -> None:
    body, told = write(ask(format=Format(kind="schema", name="n", schema=SCHEMA, strict=True)))
    assert body["output_config"] == {"format": {"type": "json_schema", "schema": json.loads(SCHEMA)}}
    assert ("tools" in body, told) == (False, [])
    body, told = write(ask(format=Format(kind="schema", name="n", schema=SCHEMA), reasoning=HIGH))
    assert set(body["output_config"]) == {"format", "effort"}


def test_w63_a_form_by_a_forced_tool() -> None:
    body, told = write(ask(format=Format(kind="schema", name="Weather", schema=SCHEMA)), PLAIN)
    assert body["tools"][0]["name"] == "ruxa_answer"
    assert body["tools"][0]["input_schema"] == json.loads(SCHEMA)
    assert "Weather" in body["tools"][0]["description"]
    assert (body["tool_choice"], told) == ({"type": "tool", "name": "ruxa_answer"}, [])
    body, _ = write(ask(format=Format(kind="schema", schema=SCHEMA), tools=[Tool(name="f")]), PLAIN)
    assert [tool["name"] for tool in body["tools"]] == ["f", "ruxa_answer"]
    assert body["tool_choice"] == {"type": "any"}
    none = ToolChoice(mode="none")
    body, _ = write(ask(format=Format(kind="json"), tools=[Tool(name="f")], choice=none))
    assert body["tool_choice"] == {"type": "tool", "name": "ruxa_answer"}
    assert body["tools"][1]["input_schema"] == {"type": "object"}


def test_w63_a_form_that_is_no_object_is_asked_for_inside_one() -> None:
    schema = b'{"type":"array","items":{"$ref":"#/$defs/X"},"$defs":{"X":{"type":"string"}}}'
    body, _ = write(ask(format=Format(kind="schema", schema=schema)), PLAIN)
    assert body["tools"][0]["name"] == "ruxa_answer_value"
    assert body["tools"][0]["input_schema"] == {
        "type": "object",
        "$defs": {"X": {"type": "string"}},
        "properties": {"answer": {"type": "array", "items": {"$ref": "#/$defs/X"}}},
        "required": ["answer"],
        "additionalProperties": False,
    }


def test_what_structured_output_does_not_know_is_told_in_words() -> None:
    schema = (
        b'{"type":"object","properties":{"a":{"type":"integer","minimum":1,"maximum":9}},"additionalProperties":false}'
    )
    body, told = write(ask(format=Format(kind="schema", schema=schema)))
    sent = body["output_config"]["format"]["schema"]["properties"]["a"]
    assert sent == {"type": "integer", "description": "{minimum: 1, maximum: 9}"}
    assert told == ["format.schema"]
    open_schema = b'{"type":"object","additionalProperties":{"type":"string"}}'
    body, told = write(ask(format=Format(kind="schema", schema=open_schema)))
    assert (body["tools"][0]["name"], told) == ("ruxa_answer", [])


def test_sampling_where_the_model_takes_it() -> None:
    body, told = write(ask(temperature=0.2, top_k=5), PLAIN)
    assert ((body["temperature"], body["top_k"]), told) == ((0.2, 5), [])
    assert write(ask(temperature=0.2, top_p=0.5, top_k=5))[1] == ["temperature", "top_p", "top_k"]
    assert write(ask(temperature=1, top_p=1.0))[1] == []
    body, told = write(ask(temperature=1.7, top_p=0.5), PLAIN)
    assert ((body["temperature"], "top_p" in body), told) == ((1, False), ["temperature", "top_p"])
    body, told = write(ask(temperature=0.2, top_p=0.5, top_k=9, reasoning=HIGH), OLDER)
    assert ({"temperature", "top_p", "top_k"} & set(body), told) == (set(), ["temperature", "top_p", "top_k"])
    body, told = write(ask(stop=("a", "\n")))
    assert (body["stop_sequences"], told) == (["a"], ["stop"])


def test_what_anthropic_has_no_words_for_is_told() -> None:
    call = ask(
        choices=2,
        seed=5,
        presence_penalty=0.5,
        frequency_penalty=0,
        logit_bias=b'{"5":1}',
        logprobs=3,
        verbosity="low",
        modalities=("text", "audio"),
    )
    assert write(call)[1] == ["n", "seed", "presence_penalty", "logit_bias", "logprobs", "verbosity", "modalities"]


def test_w79_the_identity_is_the_one_it_was_given_and_what_is_refused_stays_out() -> None:
    assert write(ask(identity="pseudo"))[0]["metadata"] == {"user_id": "pseudo"}
    body, told = write(ask(identity="pseudo"), refused=frozenset({"metadata"}))
    assert ("metadata" in body, told) == (False, ["metadata"])


def test_w36_carried_blocks_go_home_only() -> None:
    raw = b'{"type":"server_tool_use","id":"srvtoolu_1","name":"web_search","input":{"query":"x"}}'
    own = Carried(dialect="anthropic_messages", kind="server_tool_use", raw=raw)
    other = Carried(dialect="openai_responses", kind="web_search_call", raw=b"{}")
    body, told = write(ask(HELLO, assistant(own, other, Refusal(text="no")), HELLO))
    sent = body["messages"][1]["content"]
    assert (sent[0], sent[1]) == (json.loads(raw), {"type": "text", "text": "no"})
    assert told == ["web_search_call"]
    assert write(ask(HELLO, assistant(Media(kind="image", data=PNG), Text(text="x")), HELLO))[1] == ["image"]


def test_the_readers_losses_come_along() -> None:
    written: Written = HERE.write_call(ask(losses=(Loss("seed", "seed"),)), Aim(model="m"))
    assert written.losses == (Loss("seed", "seed"),)


def test_a_count_asks_without_a_cap() -> None:
    call = ask(system("s"), HELLO, tools=[Tool(name="f")], reasoning=HIGH, temperature=0.5, identity="u")
    counter = COUNTERS["anthropic_messages"]
    asked = json.loads(counter.write_count(HERE.write_call(call, Aim(model="m", ways=ALL)).body, "m"))
    assert set(asked) == {"model", "system", "tools", "thinking", "output_config", "messages"}
    assert counter.read_count(b'{"input_tokens": 17}') == 17
    assert json.loads(counter.write_counted(17)) == {"input_tokens": 17}
