"""OpenAI's streams read and written: servers' own ways, tool calls that interleave, one usage chunk, errors."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from openai.types.chat import ChatCompletionChunk

from ruxa.dialects import TRANSLATORS
from ruxa.dialects.call import Call, Media, Refusal, Text, Thinking, Tool, ToolCall, Turn, wrapped
from ruxa.dialects.losses import told
from ruxa.dialects.reply import (
    Asked,
    Begun,
    Choice,
    Closed,
    Counted,
    Delta,
    Ended,
    Opened,
    Over,
    Piece,
    Reply,
    collected,
)
from ruxa.dialects.usage import Usage
from ruxa.kernel.errors import UpstreamBroken

CHAT = TRANSLATORS["openai_chat"]
HEAD = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "g"}
STOP: dict[str, Any] = {"index": 0, "delta": {}, "finish_reason": "stop"}


def frame(body: Any) -> bytes:
    text = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)
    return b"data: " + text.encode() + b"\n\n"


def chunk(choice: int = 0, finish: str | None = None, **delta: Any) -> bytes:
    return frame({**HEAD, "choices": [{"index": choice, "delta": delta, "finish_reason": finish}]})


def fragment(index: int | None = None, call_id: str | None = None, name: str | None = None, said: str = "") -> bytes:
    call: dict[str, Any] = {"function": {"arguments": said}}
    if index is not None:
        call["index"] = index
    if call_id is not None:
        call.update(id=call_id, type="function")
    if name is not None:
        call["function"]["name"] = name
    return chunk(tool_calls=[call])


DONE = frame("[DONE]")


def read(*frames: bytes, size: int = 0) -> list[Delta]:
    reader = CHAT.reader()
    data = b"".join(frames)
    found: list[Delta] = []
    for at in range(0, len(data), size or len(data)):
        found += reader.feed(data[at : at + (size or len(data))])
    return [*found, *reader.end()]


def choice(*frames: bytes) -> Choice:
    return collected(read(*frames, chunk(finish="stop"), DONE)).choices[0]


def parts(*frames: bytes) -> list[Any]:
    return choice(*frames).parts


def test_text_as_it_comes() -> None:
    found = read(
        chunk(role="assistant", content="", refusal=None),
        chunk(content="Grü"),
        chunk(content="ße"),
        chunk(finish="stop"),
        frame({**HEAD, "choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}}),
        DONE,
    )
    assert found == [
        Begun(id="c", model="g"),
        Opened(index=0, kind="text"),
        Piece(index=0, text="Grü"),
        Piece(index=0, text="ße"),
        Closed(index=0),
        Ended(finish="stop"),
        Counted(usage=Usage(input_tokens=5, output_tokens=2)),
        Over(),
    ]


def test_parallel_tool_calls_that_interleave() -> None:
    """W53."""
    found = read(
        fragment(0, "a", "f"),
        fragment(1, "b", "g"),
        fragment(0, said='{"a"'),
        fragment(1, said='{"b":'),
        fragment(0, said=":1.0}"),
        fragment(1, said='"é"}'),
        chunk(finish="tool_calls"),
        DONE,
    )
    assert collected(found).choices[0] == Choice(
        parts=[
            ToolCall(id="a", name="f", arguments='{"a":1.0}'),
            ToolCall(id="b", name="g", arguments='{"b":"é"}'),
        ],
        finish="tool",
    )


def test_a_complete_call_is_closed_when_the_next_begins() -> None:
    found = read(fragment(0, "a", "f", '{"a":1}'), fragment(1, "b", "g", "{"), fragment(1, said="}"), DONE)
    kinds = [(type(delta), delta.index) for delta in found if isinstance(delta, Opened | Closed)]
    assert kinds == [(Opened, 0), (Closed, 0), (Opened, 1), (Closed, 1)]


A, B = ToolCall(id="a", name="f", arguments='{"a":1}'), ToolCall(id="b", name="g", arguments='{"b":2}')


@pytest.mark.parametrize(
    "frames",
    [
        # each call whole in a chunk, without an index, or all under the same one
        [fragment(None, "a", "f", '{"a":1}'), fragment(None, "b", "g", '{"b":2}')],
        [fragment(0, "a", "f", '{"a":1}'), fragment(0, "b", "g", '{"b":2}')],
        # both whole in one chunk
        [
            chunk(
                tool_calls=[
                    {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}},
                    {"id": "b", "type": "function", "function": {"name": "g", "arguments": '{"b":2}'}},
                ]
            )
        ],
        # no index, the id in the first fragment only
        [
            fragment(None, "a", "f"),
            fragment(None, said='{"a"'),
            fragment(None, said=":1}"),
            fragment(None, "b", "g"),
            fragment(None, said='{"b":2}'),
        ],
        # id and name in every fragment
        [
            fragment(0, "a", "f", '{"a"'),
            fragment(0, "a", "f", ":1}"),
            fragment(1, "b", "g", '{"b"'),
            fragment(1, "b", "g", ":2}"),
        ],
        # the name later than the id
        [
            fragment(0, "a"),
            fragment(0, None, "f", '{"a":1}'),
            fragment(1, "b", None, '{"b"'),
            fragment(1, None, "g", ":2}"),
        ],
        # indices that begin at 1, and space after the end
        [fragment(1, "a", "f", '{"a":1}'), fragment(2, "b", "g", '{"b":2}'), fragment(1, said=" \n")],
        # arguments as an object
        [
            chunk(tool_calls=[{"index": 0, "id": "a", "function": {"name": "f", "arguments": {"a": 1}}}]),
            chunk(tool_calls=[{"index": 1, "id": "b", "function": {"name": "g", "arguments": {"b": 2}}}]),
        ],
        # role and null content repeated, empty choices between
        [
            chunk(role="assistant", content=None, tool_calls=[]),
            fragment(0, "a", "f", '{"a":1}'),
            frame({**HEAD, "choices": []}),
            chunk(role="assistant", content="", tool_calls=None, reasoning_content=None),
            fragment(1, "b", "g", '{"b":2}'),
        ],
    ],
)
def test_servers_tell_tool_calls_in_their_own_ways(frames: Sequence[bytes]) -> None:
    found = choice(*frames)
    assert found.parts == [A, B]
    assert found.finish == "tool"


def test_calls_without_ids_and_arguments() -> None:
    assert parts(fragment(0, None, "f")) == [ToolCall(id="", name="f")]
    assert parts(
        chunk(function_call={"name": "f", "arguments": ""}), chunk(function_call={"arguments": '{"a":1}'})
    ) == [ToolCall(id="", name="f", arguments='{"a":1}')]


def test_a_call_that_is_never_named_is_told_as_lost() -> None:
    reader = CHAT.reader()
    reader.feed(fragment(0, "a", None, "{}") + chunk(finish="stop"))
    assert told(tuple(reader.losses)) == ("tool_calls.unnamed",)


def thought(name: str, text: str) -> bytes:
    return frame({**HEAD, "choices": [{"index": 0, "delta": {"content": None, name: text}}]})


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_thinking_before_text(name: str) -> None:
    found = parts(thought(name, "h"), thought(name, "m"), chunk(content="x"), chunk(content="y"))
    assert found == [Thinking(text="hm"), Text(text="xy")]


def test_thinking_inside_a_content_list() -> None:
    thought = [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]
    assert parts(chunk(content=thought), chunk(content=[{"type": "text", "text": "x"}])) == [
        Thinking(text="hm"),
        Text(text="x"),
    ]


def test_thinking_with_its_proof_as_openrouter_tells_it() -> None:
    claude = {"type": "reasoning.text", "format": "anthropic-claude-v1", "index": 0}
    found = parts(
        chunk(reasoning="h", reasoning_details=[{**claude, "text": "h"}]),
        chunk(reasoning="m", reasoning_details=[{**claude, "text": "m"}]),
        chunk(content="", reasoning_details=[{**claude, "signature": "S"}]),
        chunk(
            reasoning_details=[
                {"type": "reasoning.encrypted", "data": "E", "format": "anthropic-claude-v1", "index": 1}
            ]
        ),
        chunk(content="x"),
    )
    assert found == [
        Thinking(text="hm", signature="S", origin="anthropic"),
        Thinking(signature="E", origin="anthropic", redacted=True),
        Text(text="x"),
    ]
    gpt = {"format": "openai-responses-v1", "id": "rs"}
    found = parts(
        chunk(reasoning="s", reasoning_details=[{**gpt, "type": "reasoning.summary", "summary": "s", "index": 0}]),
        chunk(reasoning_details=[{**gpt, "type": "reasoning.encrypted", "data": "E", "index": 0}]),
        chunk(content="x"),
    )
    hidden = Thinking(text="s", summary=True, redacted=True, id="rs", signature="E", origin="openai")
    assert found == [hidden, Text(text="x")]


def test_details_alone_tell_the_thinking() -> None:
    detail = {"type": "reasoning.text", "index": 0}
    found = parts(
        chunk(reasoning_details=[{**detail, "text": "a"}]), chunk(reasoning_details=[{**detail, "text": "a"}])
    )
    assert found == [Thinking(text="aa")]


def test_text_after_tools_is_a_part_of_its_own() -> None:
    found = parts(chunk(content="a"), fragment(0, "a", "f", '{"a":1}'), chunk(content="b"))
    assert found == [Text(text="a"), A, Text(text="b")]


def test_refusals_images_and_speech() -> None:
    assert parts(chunk(refusal="n"), chunk(refusal="o")) == [Refusal(text="no")]
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    assert parts(chunk(content="see"), chunk(images=[picture])) == [
        Text(text="see"),
        Media(kind="image", media_type="image/png", data="iVBORw0KGgo="),
    ]
    found = parts(
        chunk(audio={"id": "audio_1", "transcript": "hel"}),
        chunk(audio={"data": "AAE="}),
        chunk(audio={"data": "AgM="}),
        chunk(audio={"transcript": "lo"}),
        chunk(audio={"expires_at": 1}),
    )
    assert found == [Text(text="hello"), Media(kind="audio", media_type="audio/pcm", data="AAECAw==")]


def test_googles_signatures() -> None:
    extra = {"google": {"thought_signature": "c2ln"}}
    call = {"index": 0, "id": "a", "function": {"name": "f", "arguments": '{"a":1}'}, "extra_content": extra}
    assert parts(chunk(content="x"), chunk(content="", extra_content=extra), chunk(tool_calls=[call])) == [
        Text(text="x", signature="c2ln", origin="google"),
        ToolCall(id="a", name="f", arguments='{"a":1}', signature="c2ln", origin="google"),
    ]


def test_logprobs_stay_with_their_text() -> None:
    def told_with(text: str) -> bytes:
        entry: dict[str, Any] = {"token": text, "logprob": -1.0, "bytes": None, "top_logprobs": []}
        told: dict[str, Any] = {"delta": {"content": text}, "logprobs": {"content": [entry]}, "index": 0}
        return frame({**HEAD, "choices": [told]})

    found = choice(told_with("a"), told_with("b"))
    assert [each["token"] for each in json.loads(found.logprobs)] == ["a", "b"]


def test_several_choices() -> None:
    found = collected(
        read(
            chunk(1, content="b"),
            chunk(0, content="a"),
            chunk(1, content="B"),
            chunk(1, "stop"),
            chunk(0, "length"),
            DONE,
        )
    )
    assert found.choices == [Choice(parts=[Text(text="a")], finish="length"), Choice(parts=[Text(text="bB")])]


def test_servers_that_leave_the_end_out() -> None:
    assert read(chunk(content="x"), chunk(finish="stop"))[-1] == Over()
    assert read(chunk(content="x"), chunk(finish="stop")[:-2])[-1] == Over()
    assert read(chunk(content="x"), DONE)[-2:] == [Ended(finish="stop"), Over()]
    assert Over() not in read(chunk(content="x"))
    assert Over() not in read(chunk(content="x")[:-20])


def test_an_error_ends_the_deltas() -> None:
    found = read(chunk(content="x"), frame({"error": {"message": "overloaded"}}), chunk(content="y"), DONE)
    assert found == [Begun(id="c", model="g"), Opened(index=0, kind="text"), Piece(index=0, text="x")]


@pytest.mark.parametrize("text", ["{", "[]", '{"choices":1}', '{"choices":[{"delta":{"content":1}}]}'])
def test_a_chunk_of_no_known_shape_is_the_providers_fault(text: str) -> None:
    reader = CHAT.reader()
    with pytest.raises(UpstreamBroken):
        reader.feed(frame(text))
    assert not reader.feed(chunk(content="x"))
    assert not reader.end()


def test_text_is_the_same_for_every_cut_of_the_bytes() -> None:
    """W61."""
    frames = (
        chunk(reasoning_content="思考🤔"),
        chunk(content="Zürich 東京 👩‍👩‍👧"),
        chunk(content=" é"),
        fragment(0, "a", "f", '{"é":"東'),
        fragment(0, said='京👩"}'),
        chunk(finish="tool_calls"),
        DONE,
    )
    whole = collected(read(*frames))
    for size in (1, 2, 3, 5, 7, 64):
        assert collected(read(*frames, size=size)) == whole
    assert whole.choices[0].parts[2] == ToolCall(id="a", name="f", arguments='{"é":"東京👩"}')


# Writing


def asked(*, usage: bool = False, **more: Any) -> Asked:
    call = Call(model="m", turns=[Turn(role="user", parts=[Text(text="x")])], stream=True, usage=usage, **more)
    return Asked(call=call, model="pub", request_id="req_" + "0" * 31 + "7", created_s=1_800_000_000)


def write(deltas: Sequence[Delta], **more: Any) -> bytes:
    writer = CHAT.writer(asked(**more))
    return b"".join(writer.write([delta]) for delta in deltas)


def chunks(data: bytes) -> list[dict[str, Any]]:
    found = [line[6:] for line in data.decode().split("\n\n") if line]
    assert found[-1] == "[DONE]"
    decoded = [json.loads(text) for text in found[:-1]]
    for each in decoded:
        ChatCompletionChunk.model_validate(each)
    return decoded


SAID: list[Delta] = [
    Begun(id="msg_1", model="claude"),
    Opened(index=0, kind="thinking"),
    Piece(index=0, text="hm"),
    Piece(index=0, signature="S", origin="anthropic"),
    Closed(index=0),
    Opened(index=1, kind="text"),
    Piece(index=1, text="é"),
    Closed(index=1),
    Opened(index=2, kind="tool", id="a", name="f"),
    Piece(index=2, text='{"a"'),
    Piece(index=2, text=":1}"),
    Closed(index=2),
    Opened(index=3, kind="tool", name="g"),
    Closed(index=3),
    Ended(finish="tool"),
    Counted(usage=Usage(input_tokens=3, cache_read_tokens=4, output_tokens=5, reasoning_tokens=6)),
    Over(),
]


def test_a_stream_is_written_chunk_by_chunk() -> None:
    """W54."""
    found = chunks(write(SAID))
    assert {(each["id"], each["created"], each["model"]) for each in found} == {("msg_1", 1_800_000_000, "pub")}
    assert all("usage" not in each for each in found)
    deltas = [each["choices"][0]["delta"] for each in found]
    detail = {"type": "reasoning.text", "text": "hm", "signature": "S", "format": "anthropic-claude-v1", "index": 0}
    made = "call_" + "0" * 31 + "7"
    assert deltas == [
        {"role": "assistant", "content": "", "refusal": None},
        {"reasoning_content": "hm"},
        {"reasoning_details": [detail]},
        {"content": "é"},
        {"tool_calls": [{"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"a"'}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": ":1}"}}]},
        {"tool_calls": [{"index": 1, "id": made, "type": "function", "function": {"name": "g", "arguments": ""}}]},
        {"tool_calls": [{"index": 1, "function": {"arguments": "{}"}}]},
        {},
    ]
    assert [each["choices"][0]["finish_reason"] for each in found] == [None] * 9 + ["tool_calls"]


def test_the_figures_come_once_and_only_when_asked_for() -> None:
    """W51."""
    found = chunks(write(SAID, usage=True))
    assert [each["usage"] is None for each in found] == [True] * (len(found) - 1) + [False]
    assert found[-1]["choices"] == []
    assert found[-1]["usage"]["total_tokens"] == 18
    assert found[-1]["usage"]["completion_tokens_details"]["reasoning_tokens"] == 6
    unknown = [delta for delta in SAID if not isinstance(delta, Counted)]
    assert all(each["choices"] for each in chunks(write(unknown, usage=True)))


def test_interleaved_calls_are_written_by_their_own_numbers() -> None:
    deltas: list[Delta] = [
        Begun(),
        Opened(index=0, kind="text"),
        Piece(index=0, text="t"),
        Closed(index=0),
        Opened(index=1, kind="tool", id="a", name="f"),
        Opened(index=2, kind="tool", id="b", name="g"),
        Piece(index=1, text='{"a":'),
        Piece(index=2, text='{"b":2}'),
        Piece(index=1, text="1}"),
        Closed(index=1),
        Closed(index=2),
        Ended(finish="tool"),
        Over(),
    ]
    assert collected(read(write(deltas))).choices[0].parts == [Text(text="t"), A, B]


def test_the_older_words_are_streamed_to_who_speaks_them() -> None:
    deltas = [each["choices"][0]["delta"] for each in chunks(write(SAID[:1] + SAID[8:12] + SAID[14:], functions=True))]
    assert deltas[1:] == [
        {"function_call": {"name": "f", "arguments": ""}},
        {"function_call": {"arguments": '{"a"'}},
        {"function_call": {"arguments": ":1}"}},
        {},
    ]


def test_free_text_is_streamed_once_it_is_whole() -> None:
    text = wrapped("ls -l\n")
    deltas: list[Delta] = [
        Begun(),
        Opened(index=0, kind="tool", id="a", name="sh"),
        Piece(index=0, text=text[:5]),
        Piece(index=0, text=text[5:]),
        Closed(index=0),
        Ended(finish="tool"),
        Over(),
    ]
    data = write(deltas, tools=[Tool(name="sh", kind="custom")])
    assert collected(read(data)).choices[0].parts == [ToolCall(id="a", name="sh", arguments="ls -l\n", custom=True)]


def test_media_signatures_and_refusals_are_streamed() -> None:
    deltas: list[Delta] = [
        Begun(id="x", model="m"),
        Opened(index=0, kind="text"),
        Piece(index=0, text="see"),
        Piece(index=0, signature="c2ln", origin="google"),
        Closed(index=0),
        Opened(index=1, kind="whole", whole=Media(kind="image", media_type="image/png", data="iVBORw0KGgo=")),
        Closed(index=1),
        Opened(index=2, kind="refusal"),
        Piece(index=2, text="no"),
        Closed(index=2),
        Opened(index=3, kind="whole", whole=Media(kind="audio", media_type="audio/pcm", data="AAE=")),
        Closed(index=3),
        Ended(finish="filter", detail="SAFETY"),
        Over(),
    ]
    data = write(deltas)
    assert b'"native_finish_reason":"SAFETY"' in data
    assert collected(read(data)) == Reply(
        id="x",
        model="pub",
        choices=[
            Choice(
                parts=[
                    Text(text="see", signature="c2ln", origin="google"),
                    Media(kind="image", media_type="image/png", data="iVBORw0KGgo="),
                    Refusal(text="no"),
                    Media(kind="audio", media_type="audio/pcm", data="AAE="),
                ],
                finish="filter",
            )
        ],
    )


def test_an_answer_that_broke_off_with_nothing_says_so() -> None:
    """W42."""
    deltas: list[Delta] = [Begun(), Ended(finish="error", detail="MALFORMED_FUNCTION_CALL"), Over()]
    assert b"MALFORMED_FUNCTION_CALL" in b"".join(
        json.dumps(each["choices"][0]["delta"].get("refusal") or "").encode() for each in chunks(write(deltas))
    )


def test_a_stream_that_fails_ends_in_an_error_and_nothing_else() -> None:
    """W59."""
    writer = CHAT.writer(asked())
    writer.write(SAID[:7])
    data = writer.fail(UpstreamBroken("gone"), "req_1")
    assert data.startswith(b'data: {"error":{')
    assert data.endswith(b"\n\n")
    assert b"finish_reason" not in data
    assert b"[DONE]" not in data
    assert writer.heartbeat().startswith(b":")
