"""Properties of OpenAI's chat dialect: what is written is read again as it was, whole or cut anywhere."""

from __future__ import annotations

import json
from typing import Any, cast

import hypothesis
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import Sizes
from neutral import calls, deltas, replies, turns
from ruxa.dialects import TRANSLATORS
from ruxa.dialects.call import Call, Part, Reasoning, Text, ToolResult, Turn
from ruxa.dialects.dialect import Place
from ruxa.dialects.reply import Asked, Choice, Delta, Reply, collected
from ruxa.dialects.translator import Aim, Way
from ruxa.kernel.errors import InvalidCall, RuxaError

CHAT = TRANSLATORS["openai_chat"]
PLACE = Place(dialect="openai_chat", endpoint="chat")
WAYS: frozenset[Way] = frozenset(
    {
        "max_completion_tokens",
        "stream_options",
        "strict_tools",
        "custom_tools",
        "structured_output",
        "sampling",
        "reasoning_effort",
        "thinking",
    }
)
AIM = Aim(model="public", ways=WAYS)
ASKED = Asked(call=Call(model="m", turns=[], usage=True), model="given", request_id="req_" + "0" * 32, created_s=1)


def normal(call: Call) -> Call:
    """The call as this dialect holds it: a message for each result and one text in an answer, media of results after
    them; usage is always asked for."""
    found: list[Turn] = []
    for turn in call.turns:
        if turn.role == "assistant":
            texts = [part.text for part in turn.parts if isinstance(part, Text)]
            rest = [part for part in turn.parts if not isinstance(part, Text)]
            said: list[Part] = [Text(text="".join(texts))] if texts else []
            found.append(Turn(role="assistant", parts=[*said, *rest]))
            continue
        for part in turn.parts:
            if isinstance(part, ToolResult):
                found.append(Turn(role="user", parts=[msgspec.structs.replace(part, name="")]))
        rest: list[Part] = [part for part in turn.parts if not isinstance(part, ToolResult)]
        if rest:
            found.append(Turn(role=turn.role, parts=rest))
    return msgspec.structs.replace(call, turns=found, usage=call.stream)


def without_places(call: Call) -> Call:
    return msgspec.structs.replace(call, turns=[msgspec.structs.replace(turn, at="") for turn in call.turns])


@given(calls(media=False))
def test_a_call_is_read_again_as_it_was(call: Call) -> None:
    written = CHAT.write_call(call, AIM)
    assert written.losses == ()
    back = CHAT.read_call(PLACE, written.body)
    assert without_places(back) == normal(call)
    assert CHAT.write_call(back, AIM).body == written.body


@given(turns())
def test_media_stay_where_they_were_said(conversation: list[Turn]) -> None:
    call = Call(model="public", turns=conversation, reasoning=Reasoning(effort="low"))
    once = CHAT.read_call(PLACE, CHAT.write_call(call, AIM).body)
    assert CHAT.write_call(once, AIM).body == CHAT.write_call(call, AIM).body


@given(replies())
def test_an_answer_is_read_again_as_it_was(reply: Reply) -> None:
    assert CHAT.read_reply(CHAT.write_reply(reply, ASKED)) == reply


@given(replies(), st.integers(1, 9), st.integers(1, 70))
def test_a_stream_cut_anywhere_tells_the_same_as_the_whole(reply: Reply, size: int, cut: int) -> None:
    """W61: and with deltas of any size."""
    writer = CHAT.writer(ASKED)
    data = b"".join(writer.write([delta]) for delta in deltas(reply, size))
    assert writer.write([]) == b""
    reader = CHAT.reader()
    found: list[Delta] = []
    for at in range(0, len(data), cut):
        found += reader.feed(data[at : at + cut])
    found += reader.end()
    assert collected(found) == reply
    assert reader.losses == []


@given(st.lists(replies(), min_size=2, max_size=3), st.randoms(use_true_random=False))
def test_choices_that_interleave_are_kept_apart(several: list[Reply], random: Any) -> None:
    reply = Reply(id="answer_1", model="given", choices=[each.choices[0] for each in several])
    begun, *middle, over = deltas(reply)
    queues = [[delta for delta in middle if getattr(delta, "choice", None) == number] for number in range(len(several))]
    mixed: list[Delta] = [begun]
    while any(queues):
        mixed.append(random.choice([queue for queue in queues if queue]).pop(0))
    data = CHAT.writer(ASKED).write([*mixed, over])
    reader = CHAT.reader()
    assert collected([*reader.feed(data), *reader.end()]).choices == reply.choices


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path]
    if isinstance(value, dict):
        for key, inner in cast("dict[str, Any]", value).items():
            found += _places(inner, (*path, key))
    elif isinstance(value, list):
        for at, inner in enumerate(cast("list[Any]", value)):
            found += _places(inner, (*path, at))
    return found


def _changed(body: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    inner = body
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    return body


@pytest.mark.parametrize("part", range(4))
def test_a_mutated_call_is_read_or_refused_and_never_breaks(sizes: Sizes, part: int) -> None:
    @hypothesis.seed(part)
    @hypothesis.settings(max_examples=sizes["fuzz"] // 4)
    @given(calls(), st.data())
    def run(call: Call, data: st.DataObject) -> None:
        body = json.loads(CHAT.write_call(call, AIM).body)
        body = _changed(body, data.draw(st.sampled_from(_places(body))), data.draw(JSON))
        try:
            CHAT.write_call(CHAT.read_call(PLACE, json.dumps(body).encode()), AIM)
        except InvalidCall:
            return

    run()


@pytest.mark.parametrize("part", range(4))
def test_a_mutated_answer_is_read_or_refused_and_never_breaks(sizes: Sizes, part: int) -> None:
    @hypothesis.seed(part)
    @hypothesis.settings(max_examples=sizes["fuzz"] // 4)
    @given(replies(), st.data())
    def run(reply: Reply, data: st.DataObject) -> None:
        body = json.loads(CHAT.write_reply(reply, ASKED))
        body = _changed(body, data.draw(st.sampled_from(_places(body))), data.draw(JSON))
        try:
            read = CHAT.read_reply(json.dumps(body).encode())
        except RuxaError:
            return
        CHAT.write_reply(read, ASKED)

    run()


@pytest.mark.parametrize("part", range(4))
def test_a_mutated_stream_is_read_or_refused_and_never_breaks(sizes: Sizes, part: int) -> None:
    @hypothesis.seed(part)
    @hypothesis.settings(max_examples=sizes["fuzz"] // 4)
    @given(replies(), st.data())
    def run(reply: Reply, data: st.DataObject) -> None:
        frames = CHAT.writer(ASKED).write(deltas(reply)).split(b"\n\n")[:-2]
        number = data.draw(st.integers(0, len(frames) - 1))
        body = json.loads(frames[number][6:])
        body = _changed(body, data.draw(st.sampled_from(_places(body))), data.draw(JSON))
        frames[number] = b"data: " + json.dumps(body).encode()
        reader = CHAT.reader()
        writer = CHAT.writer(ASKED)
        found: list[Delta] = []
        try:
            found += reader.feed(b"\n\n".join(frames) + b"\n\ndata: [DONE]\n\n")
            found += reader.end()
        except RuxaError:
            return
        assert isinstance(collected(found).choices, list)
        assert all(isinstance(choice, Choice) for choice in collected(found).choices)
        writer.write(found)

    run()
