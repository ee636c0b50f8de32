"""Completions: the envelope, the patch, the call that models of chat get, and answers in the older words."""

from __future__ import annotations

import json
from typing import Any

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types import Completion

from conftest import Sizes
from neutral import deltas, replies
from ruxa.dialects import DIALECTS, TRANSLATORS
from ruxa.dialects.call import Call, Refusal, Text, Thinking, ToolCall, Turn
from ruxa.dialects.dialect import Finish, Place, Terms
from ruxa.dialects.losses import told
from ruxa.dialects.openai_chat.completions import ECHO
from ruxa.dialects.reply import Asked, Begun, Choice, Delta, Opened, Piece, Reply
from ruxa.dialects.usage import Usage
from ruxa.kernel.errors import InvalidCall

PLACE = Place(dialect="openai_chat", endpoint="completions")
CHAT = DIALECTS["openai_chat"]
HERE = TRANSLATORS["openai_chat"]
LOGPROBS = json.dumps(
    [
        {"token": "Ü", "logprob": -0.5, "bytes": [195], "top_logprobs": [{"token": "Ü", "logprob": -0.5}]},
        {"token": "bel", "logprob": -1.0, "bytes": None, "top_logprobs": []},
    ]
).encode()


def body(**asked: Any) -> bytes:
    return json.dumps({"model": "m", "prompt": "x", **asked}).encode()


def patched(terms: Terms | None = None, cap: int | None = None, **asked: Any) -> dict[str, Any]:
    envelope = CHAT.read(PLACE, body(**asked))
    made = CHAT.patch(
        envelope, upstream_model="up", pseudonym=lambda text: f"p-{text}", terms=terms or Terms(), output_cap=cap
    )
    return json.loads(b"".join(made.pieces))


@pytest.mark.parametrize(
    ("more", "choices", "cap"),
    [
        ({}, 1, None),
        ({"n": 3}, 3, None),
        ({"n": 2, "best_of": 5}, 5, None),
        ({"prompt": ["a", "b"], "n": 2}, 4, None),
        ({"prompt": [1, 2, 3]}, 1, None),
        ({"prompt": [[1], [2, 3]]}, 2, None),
        ({"max_tokens": 7}, 1, 7),
        ({"max_tokens": 0, "echo": True}, 1, 1),
    ],
)
def test_what_can_be_made_is_known_before(more: dict[str, Any], choices: int, cap: int | None) -> None:
    load = CHAT.read(PLACE, body(**more)).load
    assert (load.choices, load.output_cap) == (choices, cap)


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"prompt": 7}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"n": 0}, "n"),
        ({"best_of": "two"}, "best_of"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"echo": "yes"}, "echo"),
        ({"stream": True, "stream_options": {"include_usage": 1}}, "stream_options.include_usage"),
    ],
)
def test_a_wrong_field_is_named(more: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidCall) as error:
        CHAT.read(PLACE, body(**more))
    assert error.value.param == param


def test_the_envelope_alone_is_edited() -> None:
    told = patched(stream=True, user="u", zz=1, logit_bias={"5": 1}, prompt=[[1, 2]])
    assert told == {
        "model": "up", "prompt": [[1, 2]], "stream": True, "user": "p-u", "logit_bias": {"5": 1},
        "stream_options": {"include_usage": True},
    }  # fmt: skip
    assert "stream_options" not in patched(Terms(drop_fields=frozenset({"stream_options"})), stream=True)
    assert patched(cap=5)["max_tokens"] == 5
    assert patched(cap=5, max_tokens=3)["max_tokens"] == 3
    assert patched(cap=5, max_tokens=9)["max_tokens"] == 5
    assert CHAT.upstream_path(PLACE, "m") == b"/completions"


def test_the_call_that_a_model_of_chat_gets() -> None:
    call = HERE.read_call(
        PLACE,
        body(prompt=["Grüße"], max_tokens=9, n=2, best_of=3, logprobs=2, echo=True, stop="x", user="u", seed=4, zz=1),
    )
    assert call.turns == [Turn(role="user", parts=[Text(text="Grüße")], at="prompt")]
    assert (call.cap, call.choices, call.logprobs, call.stop, call.identity, call.seed) == (9, 2, 2, ("x",), "u", 4)
    assert call.completes
    assert told(call.losses) == ("best_of", "echo.logprobs", "zz")
    assert HERE.read_call(PLACE, body(best_of=1)).losses == ()


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"suffix": "end"}, "suffix"),
        ({"prompt": ["a", "b"]}, "prompt[1]"),
        ({"prompt": [1]}, "prompt"),
        ({"prompt": [[1]]}, "prompt"),
        ({"prompt": [None]}, "prompt[0]"),
        ({"prompt": None}, "prompt"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"logprobs": 6}, "logprobs"),
    ],
)
def test_what_no_model_of_chat_can_do_is_refused_by_name(more: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidCall) as error:
        HERE.read_call(PLACE, body(**more))
    assert error.value.param == param


def asked(**more: Any) -> Asked:
    call = Call(model="m", turns=[Turn(role="user", parts=[Text(text="ab")])], completes=True, **more)
    return Asked(call=call, model="given", request_id="req_" + "0" * 31 + "7", created_s=1_800_000_000)


def test_a_whole_answer_with_its_prompt_and_its_figures() -> None:
    reply = Reply(
        choices=[Choice(parts=[Thinking(text="hm"), Text(text="Übel")], logprobs=LOGPROBS)],
        usage=Usage(input_tokens=3, output_tokens=2, reasoning_tokens=1),
    )
    made = json.loads(HERE.write_reply(reply, asked(echo=ECHO)))
    Completion.model_validate(made)
    assert made["id"].startswith("cmpl-")
    assert made["choices"] == [
        {
            "index": 0,
            "text": "abÜbel",
            "logprobs": {
                "tokens": ["Ü", "bel"],
                "token_logprobs": [-0.5, -1.0],
                "top_logprobs": [{"Ü": -0.5}, {}],
                "text_offset": [2, 3],
            },
            "finish_reason": "stop",
        }
    ]
    assert (made["usage"]["prompt_tokens"], made["usage"]["completion_tokens"]) == (3, 3)


@pytest.mark.parametrize(
    ("finish", "word"),
    [("stop", "stop"), ("length", "length"), ("filter", "content_filter"), ("error", "content_filter")],
)
def test_how_an_answer_ends(finish: Finish, word: str) -> None:
    reply = Reply(choices=[Choice(parts=[Refusal(text="No.")], finish=finish, detail="WHY")])
    choice = json.loads(HERE.write_reply(reply, asked()))["choices"][0]
    assert (choice["text"], choice["finish_reason"], choice["native_finish_reason"]) == ("No.", word, "WHY")


def _choices(stream: bytes) -> dict[int, tuple[str, str | None]]:
    """Text and end of each choice of a stream."""
    found: dict[int, tuple[str, str | None]] = {}
    for line in stream.decode().split("\n\n"):
        if line.startswith("data: {"):
            for choice in json.loads(line[6:])["choices"]:
                text, end = found.get(choice["index"], ("", None))
                assert end is None, "nothing follows the end of a choice"
                found[choice["index"]] = (text + choice["text"], choice["finish_reason"])
    return found


def test_a_stream_says_what_the_whole_answer_says(sizes: Sizes) -> None:
    @hypothesis.settings(max_examples=sizes["property_examples"] // 3)
    @given(reply=replies(), echo=st.booleans())
    def run(reply: Reply, echo: bool) -> None:
        given = asked(echo=ECHO if echo else b"", stream=True, usage=True)
        whole = json.loads(HERE.write_reply(reply, given))
        stream = HERE.writer(given).write(deltas(reply))
        texts = {each["index"]: (each["text"], each["finish_reason"]) for each in whole["choices"]}
        assert _choices(stream) == texts
        assert stream.endswith(b"data: [DONE]\n\n")

    run()


def test_logprobs_of_a_stream_go_on_counting() -> None:
    writer = HERE.writer(asked(stream=True))
    parts: list[Delta] = [Begun(id="c")]
    parts.append(Opened(index=0, kind="text"))
    parts += [Piece(index=0, text="Übel", logprobs=LOGPROBS), Piece(index=0, text="Übel", logprobs=LOGPROBS)]
    lines = [json.loads(line[6:]) for line in writer.write(parts).decode().split("\n\n") if line]
    assert [line["choices"][0]["logprobs"]["text_offset"] for line in lines] == [[0, 1], [4, 5]]


def test_the_reader_of_a_relayed_stream_sees_text() -> None:
    reader = CHAT.stream(CHAT.read(PLACE, body(stream=True)))
    chunk = b'data: {"id":"c","object":"text_completion","choices":[{"index":0,"text":"hi","finish_reason":null}]}\n\n'
    assert reader.feed(chunk) == chunk
    assert reader.peek == "meaningful"
    assert reader.feed(chunk) == chunk
    assert reader.events == 2
    assert reader.counted().output_tokens >= 2
    end = b'data: {"choices":[{"index":0,"text":"","finish_reason":"length"}]}\n\n'
    figures = b'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}\n\n'
    assert reader.feed(end + figures + b"data: [DONE]\n\n") == end + b"data: [DONE]\n\n"
    assert (reader.finish, reader.done) == ("length", True)
    assert reader.usage == Usage(input_tokens=1, output_tokens=2)


def test_tool_calls_have_no_place_in_text() -> None:
    reply = Reply(choices=[Choice(parts=[ToolCall(id="c", name="f"), Text(text="t")], finish="tool")])
    choice = json.loads(HERE.write_reply(reply, asked()))["choices"][0]
    assert (choice["text"], choice["finish_reason"]) == ("t", "stop")
