"""Google's dialect as one side of a translation: bound and registered; a call survives the way out and back."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from json_texts import examples
from ruxa.dialects import COUNTERS, EMBEDDERS, TRANSLATORS
from ruxa.dialects.call import (
    Call,
    Carried,
    Format,
    Media,
    Reasoning,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
)
from ruxa.dialects.dialect import Place
from ruxa.dialects.reply import Asked
from ruxa.dialects.translator import Aim, Way
from ruxa.kernel.errors import InvalidCall, UpstreamBroken

NEW: frozenset[Way] = frozenset(
    {"thinking", "thinking_level", "json_schema", "media_in_results", "audio_input", "image_urls", "sampling"}
)
PLACE = Place(dialect="gemini_generate", endpoint="generate", model="m", stream=True)
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk"

TEXTS = st.text(min_size=1, max_size=8)
NAMES = st.sampled_from(["f", "get_weather", "mcp__run"])
JSONS = st.dictionaries(TEXTS, st.integers() | TEXTS | st.booleans() | st.none(), max_size=3).map(
    lambda told: json.dumps(told, ensure_ascii=False, separators=(",", ":"))
)
MARKS = st.sampled_from([("", ""), ("QUJD", "google")])
TEXT = st.builds(lambda text, mark: Text(text=text, signature=mark[0], origin=mark[1]), TEXTS, MARKS)  # type: ignore[arg-type]
MEDIA = st.sampled_from(
    [
        Media(kind="image", media_type="image/png", data=PNG, detail="high"),
        Media(kind="image", media_type="image/png", data=PNG, title="a.png"),
        Media(kind="document", media_type="application/pdf", data="JVBERi0xLjcK"),
        Media(kind="audio", media_type="audio/wav", data="UklGRiQAAABXQVZFZm10IBAAAAABAAEA"),
        Media(kind="video", media_type="video/mp4", url="gs://b/a.mp4"),
        Media(kind="video", media_type="video/mp4", file_id="files/abc"),
    ]
)
THINKING = st.builds(
    lambda text: Thinking(text=text, signature="QUJD", origin="google", summary=True), st.text(max_size=8)
)
CARRIED = st.just(
    Carried(
        dialect="gemini_generate", kind="executable_code", raw=b'{"executableCode":{"language":"PYTHON","code":"1"}}'
    )
)


@st.composite
def loops(draw: st.DrawFn) -> list[Turn]:
    """A conversation as Google allows it: user and model in turn, every call answered in the next turn."""
    turns: list[Turn] = []
    if draw(st.booleans()):
        turns.append(Turn(role="system", parts=draw(st.lists(st.builds(Text, text=TEXTS), min_size=1, max_size=3))))
    waiting: list[ToolCall] = []
    for number in range(draw(st.integers(1, 3))):
        results: list[Any] = [
            ToolResult(
                call_id=call.id,
                name=call.name,
                parts=draw(
                    st.lists(st.builds(Text, text=TEXTS), max_size=1).flatmap(
                        lambda texts: st.lists(MEDIA, max_size=2).map(lambda media: [*texts, *media])
                    )
                ),
                error=draw(st.booleans()),
            )
            if draw(st.booleans())
            else ToolResult(
                call_id=call.id, name=call.name, data=json.dumps({"k": draw(st.integers())}).replace(" ", "")
            )
            for call in waiting
        ]
        turns.append(
            Turn(role="user", parts=[*results, *draw(st.lists(TEXT | MEDIA, min_size=not results, max_size=3))])
        )
        waiting = [
            ToolCall(id=f"c{number}_{at}", name=draw(NAMES), arguments=draw(JSONS), signature=mark, origin=origin)  # type: ignore[arg-type]
            for at, (mark, origin) in enumerate(draw(st.lists(MARKS, max_size=3)))
        ]
        said = draw(st.lists(THINKING | TEXT | CARRIED, min_size=not waiting, max_size=3))
        turns.append(Turn(role="assistant", parts=[*said, *waiting]))
    return turns


SCHEMA = b'{"type":"object","properties":{"n":{"type":"number","const":1.0}},"additionalProperties":false}'
REASONING = st.sampled_from(
    [
        None,
        Reasoning(effort="low", shown=True),
        Reasoning(effort="high", shown=False),
        Reasoning(shown=True),
        Reasoning(effort="minimal", shown=True),
    ]
)
CALLS = st.builds(
    Call,
    model=st.just("m"),
    turns=loops(),
    tools=st.sampled_from(
        [
            [],
            [Tool(name="f", description="d", schema=SCHEMA), Tool(name="g")],
            [
                Tool(name="f"),
                Tool(name="google_search", kind="hosted", raw=b'{"googleSearch":{}}', dialect="gemini_generate"),
            ],
        ]
    ),
    reasoning=REASONING,
    format=st.sampled_from([None, Format(kind="json"), Format(kind="schema", schema=SCHEMA)]),
    stream=st.just(True),
    usage=st.just(True),
    choices=st.integers(1, 3),
    cap=st.none() | st.integers(1, 10**6),
    temperature=st.none() | st.sampled_from([0, 0.5, 1]),
    top_p=st.none() | st.floats(0, 1),
    top_k=st.none() | st.integers(1, 100),
    stop=st.lists(TEXTS, max_size=5).map(tuple),
    seed=st.none() | st.integers(-(2**31), 2**31 - 1),
    presence_penalty=st.none() | st.sampled_from([-1, 0.5]),
    frequency_penalty=st.none() | st.sampled_from([-1, 0.5]),
    logprobs=st.none() | st.integers(0, 5),
    modalities=st.sampled_from([(), ("text", "image")]),
)


def placeless(call: Call) -> Call:
    """Without what says where turns stood."""
    return msgspec.structs.replace(call, turns=[msgspec.structs.replace(turn, at="") for turn in call.turns])


@given(CALLS, st.sampled_from([None, ToolChoice(mode="any", names=("f",)), ToolChoice(mode="none")]))
def test_a_call_survives_the_way_out_and_back(call: Call, choice: ToolChoice | None) -> None:
    if call.tools:
        call.choice = choice
    translator = TRANSLATORS["gemini_generate"]
    written = translator.write_call(call, Aim(model="x", ways=NEW))
    assert written.losses == ()
    assert placeless(translator.read_call(PLACE, written.body)) == call


@given(CALLS)
def test_writing_is_stable_from_turn_to_turn(call: Call) -> None:
    """The beginning of a longer conversation is the shorter one byte for byte: the provider's cache lives on it."""
    translator = TRANSLATORS["gemini_generate"]
    call.format = call.reasoning = None
    for turn in call.turns:  # what is said of all media at once stands after the contents
        for part in turn.parts:
            for media in part.parts if isinstance(part, ToolResult) else [part]:
                if isinstance(media, Media):
                    media.detail = ""
    longer = msgspec.structs.replace(call, turns=[*call.turns, Turn(role="user", parts=[Text(text="more")])])
    short, long = (translator.write_call(each, Aim(model="x", ways=NEW)).body for each in (call, longer))
    first, then = json.loads(short), json.loads(long)
    assert then.pop("contents")[:-1] == first.pop("contents")
    assert then == first


RICH = json.dumps(
    {
        "systemInstruction": {"parts": [{"text": "be brief"}]},
        "contents": [
            {"role": "user", "parts": [{"text": "hi"}, {"inlineData": {"mimeType": "image/png", "data": PNG}}]},
            {
                "role": "model",
                "parts": [
                    {"text": "hm", "thought": True, "thoughtSignature": "QUJD"},
                    {"functionCall": {"name": "f", "args": {"a": [1, {"b": None}]}, "id": "c"}},
                ],
            },
            {
                "parts": [
                    {
                        "functionResponse": {
                            "name": "f",
                            "response": {"output": "x"},
                            "parts": [{"fileData": {"fileUri": "files/a"}}],
                        }
                    }
                ]
            },
        ],
        "tools": [
            {
                "functionDeclarations": [
                    {"name": "f", "parameters": {"type": "OBJECT", "properties": {"a": {"type": "STRING"}}}}
                ]
            }
        ],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}},
        "generationConfig": {
            "maxOutputTokens": 5,
            "thinkingConfig": {"thinkingBudget": 9},
            "responseSchema": {"type": "ARRAY", "items": {"type": "STRING"}},
            "mediaResolution": "MEDIA_RESOLUTION_LOW",
        },
    }
).encode()
ANSWER = json.dumps(
    {
        "candidates": [
            {
                "content": {
                    "parts": [{"text": "a"}, {"functionCall": {"name": "f", "args": {"a": 1}}}],
                    "role": "model",
                },
                "finishReason": "STOP",
                "index": 0,
                "logprobsResult": {"chosenCandidates": [{"token": "a", "logProbability": -1}]},
            }
        ],
        "usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 7},
    }
).encode()
BITS = [b"null", b"[]", b"{}", b'"x"', b"-1", b"1e99", b"true", b'{"a":1}', b"\xff", b'"', b"[[", b"\\u12"]
_VALUE = re.compile(rb'"[^"]*"|[\[\]{}]|-?\d+|true|null')


@st.composite
def mutated(draw: st.DrawFn, sample: bytes) -> bytes:
    """The sample with some of its tokens replaced, removed or doubled."""
    tokens = list(_VALUE.finditer(sample))
    chosen = sorted(draw(st.sets(st.integers(0, len(tokens) - 1), min_size=1, max_size=3)), reverse=True)
    for at in chosen:
        start, end = tokens[at].span()
        bit = draw(st.sampled_from([*BITS, b"", sample[start:end] * 2, tokens[at - 1][0]]))
        sample = sample[:start] + bit + sample[end:]
    return sample


@given(mutated(RICH))
@settings(max_examples=examples(300))
def test_a_mutated_call_is_read_or_refused(body: bytes) -> None:
    translator = TRANSLATORS["gemini_generate"]
    for ways in (NEW, frozenset[Way]()):
        with suppress(InvalidCall):
            call = translator.read_call(PLACE, body)
            json.loads(translator.write_call(call, Aim(model="x", ways=ways)).body)


@given(mutated(ANSWER))
@settings(max_examples=examples(300))
def test_a_mutated_answer_is_read_or_broken(body: bytes) -> None:
    translator = TRANSLATORS["gemini_generate"]
    asked = Asked(call=Call(model="m", turns=[]), model="m", request_id="req_1", created_s=1)
    with suppress(UpstreamBroken):
        json.loads(translator.write_reply(translator.read_reply(body), asked))
    reader, writer = translator.reader(), translator.writer(asked)
    told = writer.write([*reader.feed(b"data: " + body.replace(b"\n", b" ") + b"\n\n"), *reader.end()])
    for event in told.split(b"\r\n\r\n")[:-1]:
        json.loads(event[6:])


def test_the_dialect_is_bound() -> None:
    translator = TRANSLATORS["gemini_generate"]
    assert (translator.name, translator.origin) == ("gemini_generate", "google")
    body = b'{"candidates":[{"content":{"parts":[{"text":"a"}]},"finishReason":"STOP"}],"usageMetadata":{}}'
    reply = translator.read_reply(body)
    asked = Asked(call=Call(model="m", turns=[]), model="m", request_id="req_1", created_s=1)
    assert translator.read_reply(translator.write_reply(reply, asked)).choices == reply.choices
    reader, writer = translator.reader(), translator.writer(asked)
    told = writer.write([*reader.feed(b"data: " + body + b"\n\n"), *reader.end()])
    assert told.count(b"data: ") == 2
    embedder = EMBEDDERS["gemini_generate"]
    wanted = embedder.read_embedding(
        Place(dialect="gemini_generate", endpoint="embed", model="m"), b'{"content":{"parts":[{"text":"a"}]}}'
    )
    vectors = embedder.read_vectors(b'{"embedding":{"values":[1.0]}}')
    assert embedder.write_vectors(vectors, wanted, "m") == b'{"embedding":{"values":[1.0]}}'
    assert json.loads(embedder.write_embedding(wanted, Aim(model="e")).body)["model"] == "models/e"


def test_a_count_is_asked_for_what_would_be_sent() -> None:
    counter = COUNTERS["gemini_generate"]
    body = TRANSLATORS["gemini_generate"].write_call(
        Call(model="m", turns=[Turn(role="user", parts=[Text(text="hi")])], cap=5), Aim(model="x")
    )
    asked = json.loads(counter.write_count(body.body, "gemini-3-pro"))
    assert asked["generateContentRequest"]["model"] == "models/gemini-3-pro"
    place = Place(dialect="gemini_generate", endpoint="count_tokens", model="m")
    assert TRANSLATORS["gemini_generate"].read_call(place, json.dumps(asked).encode()).cap == 5
    assert counter.read_count(counter.write_counted(7)) == 7
