"""Calls and answers under guard: all that anybody wrote is looked at, and nothing of another kind is touched."""

from __future__ import annotations

import base64
import json
from collections import Counter

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from json_texts import examples
from ruxa.access.guards import Guard
from ruxa.dialects import TRANSLATORS
from ruxa.dialects.call import (
    Call,
    Carried,
    Embedding,
    Format,
    Media,
    Part,
    Refusal,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolResult,
    Turn,
)
from ruxa.dialects.dialect import Place
from ruxa.dialects.reply import (
    Asked,
    Begun,
    Choice,
    Closed,
    Delta,
    Ended,
    Opened,
    Over,
    Piece,
    Reply,
    Said,
    collected,
)
from ruxa.dialects.translator import Aim
from ruxa.gateway.guard import answers, calls
from ruxa.gateway.guard.filter import Found
from ruxa.kernel.errors import Forbidden

MASK = Guard("mask")
REFUSE = Guard("refuse")
MAIL = "bob@example.com"
GONE = "[email masked]"


def found() -> Found:
    return Counter()


def ask(*parts: Part, **members: object) -> Call:
    call = Call(model="m", turns=[Turn(role="user", parts=[*parts])])
    for name, value in members.items():
        setattr(call, name, value)
    return call


def sent(*parts: Part, guard: Guard = MASK) -> list[Part]:
    return calls.guarded(ask(*parts), guard, found()).turns[0].parts


def test_every_kind_of_part_of_a_call() -> None:
    raw = b'{"type":"server_tool_use","id":"bob@example.com","input":{"q":"bob@example.com","n":1.0}}'
    plain = base64.b64encode(f"to {MAIL}".encode()).decode()
    assert sent(
        Text(text=f"to {MAIL}", signature="s", origin="google"),
        Refusal(text=f"no {MAIL}"),
        Thinking(text=f"hm {MAIL}", signature="s", origin="anthropic"),
        Thinking(text="hm", signature="s", origin="anthropic"),
        ToolCall(id=MAIL, name="f", arguments='{"to": "bob@example.com", "n": 1.0}', signature="s", origin="google"),
        ToolCall(id="c", name="f", arguments=f"free {MAIL}", custom=True),
        ToolResult(call_id=MAIL, parts=[Text(text=MAIL)], data='{"to":"bob@example.com"}'),
        Media(kind="document", text=f"see {MAIL}", title=MAIL, context=MAIL),
        Media(kind="document", media_type="text/csv", data=plain),
        Media(kind="image", url="https://a.example/bob@example.com.png"),
        Media(kind="image", media_type="image/png", data="iVBO"),
        Carried(dialect="anthropic_messages", kind="server_tool_use", raw=raw),
    ) == [
        Text(text=f"to {GONE}"),
        Refusal(text=f"no {GONE}"),
        Thinking(text=f"hm {GONE}"),
        Thinking(text="hm", signature="s", origin="anthropic"),
        ToolCall(id=MAIL, name="f", arguments='{"to": "[email masked]", "n": 1.0}'),
        ToolCall(id="c", name="f", arguments=f"free {GONE}", custom=True),
        ToolResult(call_id=MAIL, parts=[Text(text=GONE)], data='{"to":"[email masked]"}'),
        Media(kind="document", text=f"see {GONE}", title=GONE, context=GONE),
        Media(kind="document", media_type="text/plain", text=f"to {GONE}"),
        Text(text=f"https://a.example/{GONE}"),
        Media(kind="image", media_type="image/png", data="iVBO"),
        Carried(
            dialect="anthropic_messages",
            kind="server_tool_use",
            raw=raw.replace(b'"q":"bob@example.com"', b'"q":"[email masked]"'),
        ),
    ]


def test_what_stands_beside_the_turns() -> None:
    call = ask(
        Text(text="x"),
        tools=[
            Tool(name="f", description=MAIL, schema=b'{"type":"object","description":"bob@example.com"}', about=MAIL)
        ],
        format=Format(kind="schema", description=MAIL, schema=b'{"title":"bob@example.com"}'),
        stop=(MAIL,),
    )
    call.turns.append(Turn(role="system", parts=[Text(text=MAIL)], name=MAIL))
    seen = found()
    made = calls.guarded(call, MASK, seen)
    assert MAIL.encode() not in msgspec.json.encode(made)
    assert seen == {"email": 8}
    assert call.stop == (MAIL,)  # what was read is not changed


def test_a_clean_call_is_the_same_one() -> None:
    call = ask(Text(text="hello"), ToolCall(id="c", name="f", arguments='{"a":1.0}'))
    assert calls.guarded(call, MASK, found()) is call
    assert calls.guarded(call, REFUSE, found()) is call


@pytest.mark.parametrize(
    "part",
    [
        Text(text=MAIL),
        ToolCall(id="c", name="f", arguments='{"to":"bob@example.com"}'),
        ToolResult(call_id="c", parts=[Text(text=MAIL)]),
        Media(kind="document", text=MAIL),
        Carried(dialect="anthropic_messages", kind="x", raw=b'{"a":"bob@example.com"}'),
    ],
)
def test_a_call_is_refused_by_what_it_holds(part: Part) -> None:
    with pytest.raises(Forbidden) as caught:
        calls.guarded(ask(part), REFUSE, found())
    assert (caught.value.code, MAIL in caught.value.public) == ("guard_refused", False)


def test_media_only_when_the_guard_names_them() -> None:
    picture = Media(kind="image", media_type="image/png", data="iVBO")
    named = frozenset({"media"})
    assert sent(picture, guard=Guard("mask", named)) == [Text(text="[media masked]")]
    with pytest.raises(Forbidden):
        sent(picture, guard=Guard("refuse", named))
    with pytest.raises(Forbidden):
        sent(ToolResult(call_id="c", parts=[picture]), guard=Guard("refuse", named))


def test_texts_to_embed() -> None:
    wanted = Embedding(model="m", inputs=[f"a {MAIL}", "b"], title=MAIL)
    made = calls.guarded_inputs(wanted, MASK, found())
    assert (made.inputs, made.title) == ([f"a {GONE}", "b"], GONE)
    with pytest.raises(Forbidden):
        calls.guarded_inputs(Embedding(model="m", inputs=[[1, 2]]), MASK, found())


def reply(*parts: Said, logprobs: bytes = b"") -> Reply:
    return Reply(choices=[Choice(parts=[*parts], logprobs=logprobs)])


def test_a_whole_answer() -> None:
    made = answers.guarded(reply(Text(text=MAIL), ToolCall(id="c", name="f"), logprobs=b"[1]"), MASK, found())
    assert made.choices[0] == Choice(parts=[Text(text=GONE), ToolCall(id="c", name="f")])
    made = answers.guarded(reply(Text(text="ok"), logprobs=b"[1]"), MASK, found())
    assert made.choices[0].logprobs == b"[1]"
    with pytest.raises(Forbidden):
        answers.guarded(reply(Text(text=MAIL)), REFUSE, found())


def streamed(size: int, *deltas: Delta, guard: Guard = MASK) -> list[Delta]:
    watch = answers.Watch(guard, found())
    out: list[Delta] = []
    for at in range(0, len(deltas), size):
        out += watch.feed(deltas[at : at + size])
    return out


def pieces(index: int, text: str, size: int, **first: object) -> list[Delta]:
    opened = Opened(index=index, kind="text")
    for name, value in first.items():
        opened = msgspec.structs.replace(opened, **{name: value})
    cut = [Piece(index=index, text=text[at : at + size], logprobs=b"[1]") for at in range(0, len(text), size)]
    return [opened, *cut]


@given(size=st.integers(1, 9), step=st.integers(1, 5))
@settings(max_examples=examples(30), deadline=None)
def test_a_stream_and_its_order(size: int, step: int) -> None:
    deltas: list[Delta] = [
        Begun(id="x"),
        *pieces(0, f"Write to {MAIL} or +49 170 1234567, please.", size),
        *pieces(1, '{"to":"bob@example.com","card":4111111111111111}', size, kind="tool", id="c", name="f"),
        Closed(index=0),
        *pieces(2, f"I think of {MAIL}.", size, kind="thinking"),
        Piece(index=2, signature="s", origin="anthropic"),
        Closed(index=2),
        *pieces(3, "I think.", size, kind="thinking"),
        Piece(index=3, signature="s", origin="anthropic"),
        Closed(index=3),
        Closed(index=1),
        Ended(finish="tool"),
        Over(),
    ]
    out = streamed(step, *deltas)
    told = collected(out)
    assert told.choices[0].parts == [
        Text(text=f"Write to {GONE} or [phone masked], please."),
        ToolCall(id="c", name="f", arguments='{"to":"[email masked]","card":"[card masked]"}'),
        Thinking(text=f"I think of {GONE}."),
        Thinking(text="I think.", signature="s", origin="anthropic"),
    ]
    assert told.choices[0].logprobs == b""
    assert isinstance(out[-1], Over)
    # and what comes out is a stream that any writer can write
    asked = Asked(call=Call(model="m", turns=[]), model="m", request_id="req_1", created_s=1)
    for translator in TRANSLATORS.values():
        assert MAIL.encode() not in translator.writer(asked).write(out)


def test_a_part_that_comes_whole() -> None:
    picture = Media(kind="image", media_type="image/png", data="iVBO")
    whole: list[Delta] = [Opened(index=0, kind="whole", whole=picture), Closed(index=0)]
    assert streamed(1, *whole) == whole
    out = streamed(1, *whole, guard=Guard("mask", frozenset({"media"})))
    assert collected(out).choices[0].parts == [Text(text="[media masked]")]
    raw = b'{"type":"x","text":"bob@example.com"}'
    carried = Carried(dialect="anthropic_messages", kind="x", raw=raw)
    out = streamed(1, Opened(index=0, kind="whole", whole=carried), Closed(index=0))
    part = collected(out).choices[0].parts[0]
    assert isinstance(part, Carried)
    assert json.loads(part.raw) == {"type": "x", "text": GONE}


def test_a_stream_is_refused_before_anything_of_the_find_went_out() -> None:
    watch = answers.Watch(REFUSE, found())
    out = list(watch.feed([Begun(), Opened(index=0, kind="text")]))
    with pytest.raises(Forbidden):
        out.extend(delta for char in f"Write to {MAIL} now." for delta in watch.feed([Piece(index=0, text=char)]))
    assert collected(out).choices[0].parts == [Text(text="Write to ")]


@pytest.mark.parametrize("name", list(TRANSLATORS))
def test_a_guarded_call_of_any_dialect_sends_nothing_of_it(name: str) -> None:
    body = {
        "model": "m",
        "max_tokens": 10,
        "system": f"you are {MAIL}",
        "messages": [
            {"role": "user", "content": f"card 4111 1111 1111 1111 of {MAIL}"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {"to": MAIL}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": f"sent to {MAIL}"}]},
        ],
        "tools": [{"name": "f", "input_schema": {"type": "object"}}],
    }
    place = Place(dialect="anthropic_messages", endpoint="messages")
    call = TRANSLATORS["anthropic_messages"].read_call(place, json.dumps(body).encode())
    seen = found()
    made = calls.guarded(call, MASK, seen)
    written = next(each for key, each in TRANSLATORS.items() if key == name).write_call(made, Aim(model="m")).body
    assert MAIL.encode() not in written
    assert b"4111" not in written
    assert written.count(b"masked]") == 5
    assert seen == {"email": 4, "card": 1}
