"""Reading Google's answers: whole and streamed, cut anywhere, every kind of part and every end."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ruxa.dialects.call import Carried, Media, Refusal, Text, Thinking, ToolCall
from ruxa.dialects.dialect import Finish
from ruxa.dialects.gemini_generate.deltas import GenerateDeltas, read_reply
from ruxa.dialects.reply import Begun, Choice, Closed, Counted, Delta, Ended, Opened, Over, Piece, Reply, collected
from ruxa.dialects.usage import Usage
from ruxa.kernel.errors import UpstreamBroken

USAGE = {
    "promptTokenCount": 100,
    "cachedContentTokenCount": 40,
    "candidatesTokenCount": 10,
    "thoughtsTokenCount": 30,
    "toolUsePromptTokenCount": 5,
    "totalTokenCount": 145,
}
VECTOR = Usage(input_tokens=65, cache_read_tokens=40, output_tokens=10, reasoning_tokens=30)


def answer(*parts: Any, finish: str | None = "STOP", **more: Any) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"parts": list(parts), "role": "model"}, "index": 0} | more
    if finish:
        candidate["finishReason"] = finish
    return {"candidates": [candidate], "usageMetadata": USAGE, "modelVersion": "gemini-3-pro", "responseId": "r1"}


def whole(told: Any) -> Reply:
    return read_reply(json.dumps(told, ensure_ascii=False).encode())


def sse(*events: Any) -> bytes:
    return b"".join(b"data: %b\r\n\r\n" % json.dumps(event, ensure_ascii=False).encode() for event in events)


def feed(data: bytes, *cuts: int) -> list[Delta]:
    reader = GenerateDeltas()
    found: list[Delta] = []
    at = 0
    for cut in [*sorted(cuts), len(data)]:
        found += reader.feed(data[at:cut])
        at = max(at, cut)
    found += reader.end()
    return found


def check_order(deltas: list[Delta]) -> None:
    """The rules of ``reply``: begun first, parts nested, closed before the end, over last."""
    if not deltas:
        return
    assert isinstance(deltas[0], Begun)
    open_: set[tuple[int, int]] = set()
    seen: dict[int, int] = {}
    ended: set[int] = set()
    for delta in deltas[1:]:
        match delta:
            case Opened():
                assert delta.index == seen.get(delta.choice, 0)
                assert delta.choice not in ended
                seen[delta.choice] = delta.index + 1
                open_.add((delta.choice, delta.index))
            case Piece():
                assert (delta.choice, delta.index) in open_
            case Closed():
                open_.remove((delta.choice, delta.index))
            case Ended():
                assert not [each for each in open_ if each[0] == delta.choice]
                ended.add(delta.choice)
            case _:
                assert not isinstance(delta, Begun)
    assert not open_ or not isinstance(deltas[-1], Over)


def test_a_whole_answer() -> None:
    told = whole(
        answer(
            {"text": "let me see", "thought": True},
            {"text": "Hello ", "thoughtSignature": "QUJD"},
            {"text": "world"},
            {"functionCall": {"name": "f", "args": {"a": 1}, "id": "c1"}, "thoughtSignature": "REVG"},
            {"functionCall": {"name": "g"}},
            {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}},
            {"executableCode": {"language": "PYTHON", "code": "1"}},
        )
    )
    assert told == Reply(
        id="r1",
        model="gemini-3-pro",
        usage=VECTOR,
        choices=[
            Choice(
                finish="tool",
                parts=[
                    Thinking(text="let me see", origin="google", summary=True),
                    Text(text="Hello ", signature="QUJD", origin="google"),
                    Text(text="world"),
                    ToolCall(id="c1", name="f", arguments='{"a":1}', signature="REVG", origin="google"),
                    ToolCall(id="", name="g"),
                    Media(kind="image", media_type="image/png", data="iVBORw0KGgo="),
                    Carried(
                        dialect="gemini_generate",
                        kind="executable_code",
                        raw=b'{"executableCode":{"language": "PYTHON", "code": "1"}}',
                    ),
                ],
            )
        ],
    )


def test_arguments_are_exact() -> None:
    body = (
        b'{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":{ "a": 1.0, "b":\n 1,'
        b' "c": 123456789012345678901234567890, "d": "\xe4\xbd\xa0 \xf0\x9f\x98\x80" }}}]},"finishReason":"STOP"}]}'
    )
    [part] = read_reply(body).choices[0].parts
    assert isinstance(part, ToolCall)
    assert part.arguments == '{"a":1.0,"b":1,"c":123456789012345678901234567890,"d":"你 😀"}'
    assert collected(feed(b"data: " + body.replace(b"\n", b"") + b"\n\n")).choices == read_reply(body).choices


@pytest.mark.parametrize(
    ("reason", "finish", "detail"),
    [
        ("STOP", "stop", ""),
        ("MAX_TOKENS", "length", ""),
        ("SAFETY", "filter", "SAFETY"),
        ("RECITATION", "filter", "RECITATION"),
        ("BLOCKLIST", "filter", "BLOCKLIST"),
        ("PROHIBITED_CONTENT", "filter", "PROHIBITED_CONTENT"),
        ("SPII", "filter", "SPII"),
        ("IMAGE_SAFETY", "filter", "IMAGE_SAFETY"),
        ("MODEL_ARMOR", "filter", "MODEL_ARMOR"),
        ("MALFORMED_FUNCTION_CALL", "error", "MALFORMED_FUNCTION_CALL"),
        ("UNEXPECTED_TOOL_CALL", "error", "UNEXPECTED_TOOL_CALL"),
        ("TOO_MANY_TOOL_CALLS", "error", "TOO_MANY_TOOL_CALLS"),
        ("MISSING_THOUGHT_SIGNATURE", "error", "MISSING_THOUGHT_SIGNATURE"),
        ("CONTINUATION", "pause", "CONTINUATION"),
        ("NO_IMAGE", "other", "NO_IMAGE"),
        ("LANGUAGE", "other", "LANGUAGE"),
        ("OTHER", "other", "OTHER"),
        ("SOMETHING_NEW", "other", "SOMETHING_NEW"),
    ],
)
def test_every_end(reason: str, finish: Finish, detail: str) -> None:
    """W42: nothing ends as a silent empty success."""
    told = answer(finish=reason)
    for reply in (whole(told), collected(feed(sse(told)))):
        assert [(choice.finish, choice.detail) for choice in reply.choices] == [(finish, detail)]


def test_an_empty_text_at_the_limit_is_a_length() -> None:
    """W06."""
    told = {"candidates": [{"finishReason": "MAX_TOKENS", "index": 0}], "usageMetadata": {"promptTokenCount": 1}}
    assert whole(told).choices == [Choice(finish="length")]


def test_a_blocked_prompt() -> None:
    told = {"promptFeedback": {"blockReason": "JAILBREAK", "blockReasonMessage": "no"}, "usageMetadata": USAGE}
    expected = [Choice(parts=[Refusal(text="no")], finish="filter", detail="JAILBREAK")]
    assert whole(told).choices == expected
    assert collected(feed(sse(told))).choices == expected


def test_a_refused_answer_tells_why() -> None:
    told = answer(finish="SAFETY", finishMessage="unsafe")
    assert whole(told).choices[0].parts == [Refusal(text="unsafe")]


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"candidates":5}', b"{}", b'{"error":{"code":500}}', b'{"candidates":[]}']
)
def test_what_is_no_answer(body: bytes) -> None:
    with pytest.raises(UpstreamBroken):
        read_reply(body)


def test_what_an_answer_holds_beside_is_named() -> None:
    told = answer({"text": "a"}, groundingMetadata={"x": 1}, citationMetadata={"y": 1}, urlContextMetadata=None)
    assert [loss.name for loss in whole(told).losses] == ["grounding_metadata", "citation_metadata"]
    reader = GenerateDeltas()
    reader.feed(sse(told, told))
    assert [loss.name for loss in reader.losses] == ["grounding_metadata", "citation_metadata"]
    assert [loss.name for loss in whole(answer({"text": "a"}, {"newPart": 1})).losses] == ["parts"]


def test_logprobs() -> None:
    told = answer(
        {"text": "é"},
        logprobsResult={
            "chosenCandidates": [{"token": "é", "logProbability": -0.5, "tokenId": 5}],
            "topCandidates": [
                {"candidates": [{"token": "é", "logProbability": -0.5}, {"token": "e", "logProbability": -1}]}
            ],
        },
    )
    [entry] = json.loads(whole(told).choices[0].logprobs)
    assert (entry["token"], entry["logprob"], entry["bytes"]) == ("é", -0.5, [195, 169])
    assert [top["token"] for top in entry["top_logprobs"]] == ["é", "e"]


def test_a_stream() -> None:
    deltas = feed(
        sse(
            answer({"text": "hm", "thought": True}, finish=None),
            answer({"text": " hm", "thought": True}, finish=None),
            answer({"text": "Hel"}, finish=None),
            answer({"text": "lo"}, finish=None),
            answer({"functionCall": {"name": "f", "args": {"a": "你"}}, "thoughtSignature": "QUJD"}, finish=None),
            answer({"functionCall": {"name": "f", "args": {}}}, finish=None),
            answer({"text": ""}),
        )
    )
    check_order(deltas)
    assert isinstance(deltas[-1], Over)
    assert deltas[0] == Begun(id="r1", model="gemini-3-pro")
    assert [delta for delta in deltas if isinstance(delta, Counted)] == [Counted(usage=VECTOR)] * 2
    assert collected(deltas).choices == [
        Choice(
            finish="tool",
            parts=[
                Thinking(text="hm hm", origin="google", summary=True),
                Text(text="Hello"),
                ToolCall(id="", name="f", arguments='{"a":"你"}', signature="QUJD", origin="google"),
                ToolCall(id="", name="f"),
            ],
        )
    ]


def test_a_signature_that_comes_after_its_text() -> None:
    told = collected(
        feed(
            sse(
                answer({"text": "a"}, finish=None),
                answer({"text": "b"}, finish=None),
                answer({"text": "", "thoughtSignature": "QUJD"}),
            )
        )
    )
    assert told.choices[0].parts == [Text(text="ab", signature="QUJD", origin="google")]


def test_several_candidates() -> None:
    told = [
        {"candidates": [{"content": {"parts": [{"text": text}]}, "index": at} for at, text in enumerate(texts)]}
        for texts in (["a", "x"], ["b", "y"])
    ]
    ends = {"candidates": [{"index": 1, "finishReason": "MAX_TOKENS"}, {"index": 0, "finishReason": "STOP"}]}
    deltas = feed(sse(*told, ends))
    check_order(deltas)
    assert collected(deltas).choices == [
        Choice(parts=[Text(text="ab")]),
        Choice(parts=[Text(text="xy")], finish="length"),
    ]


def test_arguments_in_parts() -> None:
    """0.9: ``partialArgs`` and ``willContinue``."""
    calls: list[Any] = [
        {"name": "f", "id": "c1", "willContinue": True},
        {"partialArgs": [{"jsonPath": "$.place", "stringValue": "New ", "willContinue": True}], "willContinue": True},
        {
            "partialArgs": [
                {"jsonPath": "$.place", "stringValue": "York"},
                {"jsonPath": "$.list[0].n", "numberValue": 1.0},
                {"jsonPath": "$.list[1]", "boolValue": False},
                {"jsonPath": "$['odd key']", "nullValue": "NULL_VALUE"},
                {"jsonPath": "nonsense", "stringValue": "x"},
                {"jsonPath": "$.list[999999]", "stringValue": "x"},
            ],
            "willContinue": True,
        },
        {},
    ]
    deltas = feed(sse(*(answer({"functionCall": call}, finish=None) for call in calls), answer({"text": "ok"})))
    check_order(deltas)
    call, text = collected(deltas).choices[0].parts
    assert isinstance(call, ToolCall)
    assert call.arguments == '{"place":"New York","list":[{"n":1.0},false],"odd key":null}'
    assert (call.name, call.id, text) == ("f", "c1", Text(text="ok"))


def test_a_call_cut_off_in_parts_is_still_an_object() -> None:
    told = sse(
        answer({"functionCall": {"name": "f", "willContinue": True}}, finish=None),
        answer(
            {"functionCall": {"partialArgs": [{"jsonPath": "$.a", "stringValue": "x"}], "willContinue": True}},
            finish="MAX_TOKENS",
        ),
    )
    [choice] = collected(feed(told)).choices
    assert (choice.finish, choice.parts) == ("length", [ToolCall(id="", name="f", arguments='{"a":"x"}')])


@pytest.mark.parametrize(
    "tail",
    [
        b"",
        b"data: {\r\n\r\n",
        sse({"error": {"code": 503, "message": "no", "status": "UNAVAILABLE"}}),
        b"data: \xff\r\n\r\n",
    ],
)
def test_a_stream_that_dies_is_not_over(tail: bytes) -> None:
    deltas = feed(sse(answer({"text": "a"}, finish=None)) + tail)
    assert not any(isinstance(delta, Over | Ended) for delta in deltas)
    assert Piece(index=0, text="a") in deltas


def test_an_event_of_another_shape_is_passed_over_and_named() -> None:
    reader = GenerateDeltas()
    data = sse({"candidates": 5}, answer({"text": "a"}))
    deltas = [*reader.feed(data), *reader.end()]
    assert isinstance(deltas[-1], Over)
    assert [loss.name for loss in reader.losses] == ["event"]


PARTS = st.one_of(
    st.builds(lambda text: {"text": text}, st.text(max_size=8)),
    st.builds(lambda text: {"text": text, "thought": True}, st.text(max_size=8)),
    st.builds(lambda text: {"text": text, "thoughtSignature": "QUJD"}, st.text(min_size=1, max_size=8)),
    st.builds(
        lambda name, args: {"functionCall": {"name": name, "args": args}},
        st.sampled_from(["f", "g"]),
        st.dictionaries(st.text(max_size=4), st.text(max_size=4) | st.integers() | st.booleans(), max_size=3),
    ),
    st.just({"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}}),
)


@given(st.lists(PARTS, max_size=6), st.sampled_from(["STOP", "MAX_TOKENS", "SAFETY"]))
def test_a_whole_answer_is_what_its_stream_tells(parts: list[Any], finish: str) -> None:
    told = answer(*parts, finish=finish)
    deltas = feed(sse(told))
    check_order(deltas)
    assert collected(deltas) == whole(told)


@given(st.lists(st.lists(PARTS, max_size=2), max_size=5), st.lists(st.integers(0, 2000), max_size=6))
def test_any_cut_tells_the_same(events: list[list[Any]], cuts: list[int]) -> None:
    """W61."""
    data = sse(*(answer(*parts, finish=None) for parts in events), answer({"text": "終わり😀"}))
    expected = collected(feed(data))
    assert collected(feed(data, *(cut % len(data) for cut in cuts))) == expected
    assert collected(feed(data, *range(len(data)))) == expected
    assert collected(feed(data.rstrip())) == expected
