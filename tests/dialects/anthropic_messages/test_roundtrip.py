"""Any call that Anthropic's dialect can say comes back from it as it was; what is normalised on the way stands here.

Normalised: neighbouring turns of one role are one, a user's tool results come first, empty texts are gone, a number
that is the default (a temperature of 1) is not sent, effort alone asks for adaptive thinking, places are named anew.
"""

from __future__ import annotations

import json

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from json_texts import VALUES, examples
from ruxa.dialects import TRANSLATORS
from ruxa.dialects.call import (
    Cache,
    Call,
    Carried,
    Format,
    Media,
    Part,
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
from ruxa.dialects.translator import Aim, Way

HERE = TRANSLATORS["anthropic_messages"]
WAYS: frozenset[Way] = frozenset(
    {"thinking", "adaptive_thinking", "structured_output", "strict_tools", "system_anywhere", "sampling"}
)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12).filter(
    lambda text: text.strip() == text
)
CACHE = st.sampled_from([None, None, Cache(), Cache(ttl="1h")])
NAME = st.from_regex(r"[a-zA-Z0-9_-]{1,12}", fullmatch=True)
SCHEMA = st.sampled_from(
    [
        b'{"type":"object","properties":{}}',
        b'{"type": "object", "properties": {"a": {"minimum": 1.0, "x": "\xe6\x97\xa5"}}, "required": ["a"]}',
    ]
)
OBJECT = st.dictionaries(TEXT, VALUES, max_size=3).map(
    lambda value: json.dumps(value, separators=(",", ":"), ensure_ascii=False)
)


def media() -> st.SearchStrategy[Media]:
    return st.one_of(
        st.builds(
            Media,
            kind=st.just("image"),
            media_type=st.just("image/png"),
            data=st.just("iVBORw0KGgoAAAANSUhEUgAA"),
            cache=CACHE,
        ),
        st.builds(Media, kind=st.just("image"), url=st.just("https://a.example/x.png"), cache=CACHE),
        st.builds(
            Media,
            kind=st.just("document"),
            media_type=st.just("application/pdf"),
            data=st.just("JVBERi0xLjQK"),
            title=TEXT,
            context=TEXT,
            cited=st.booleans(),
            cache=CACHE,
        ),
        st.builds(Media, kind=st.just("document"), media_type=st.just("text/plain"), text=TEXT, cache=CACHE),
    )


def carried() -> st.SearchStrategy[Carried]:
    raw = b'{"type":"server_tool_use",  "id":"s","name":"web_search","input":{"q":1.0}}'
    return st.just(Carried(dialect="anthropic_messages", kind="server_tool_use", raw=raw))


def texts() -> st.SearchStrategy[Text]:
    return st.builds(Text, text=TEXT, cache=CACHE)


def thinking() -> st.SearchStrategy[Thinking]:
    return st.one_of(
        st.builds(Thinking, text=TEXT, signature=TEXT, origin=st.just("anthropic")),
        st.builds(Thinking, signature=TEXT, origin=st.just("anthropic"), redacted=st.just(True)),
    )


def calls_of_tools() -> st.SearchStrategy[ToolCall]:
    return st.builds(ToolCall, id=NAME, name=NAME, arguments=OBJECT, cache=CACHE)


def results() -> st.SearchStrategy[ToolResult]:
    inner: st.SearchStrategy[list[Part]] = st.lists(st.one_of(texts(), media()), max_size=2)
    return st.builds(ToolResult, call_id=NAME, parts=inner, error=st.booleans(), cache=CACHE)


@st.composite
def turns(draw: st.DrawFn) -> list[Turn]:
    made: list[Turn] = []
    if draw(st.booleans()):
        made.append(Turn(role="system", parts=[*draw(st.lists(texts(), min_size=1, max_size=2))]))
    for _ in range(draw(st.integers(1, 3))):
        first = [*draw(st.lists(results(), max_size=2))]
        made.append(
            Turn(role="user", parts=[*first, *draw(st.lists(st.one_of(texts(), media()), min_size=1, max_size=2))])
        )
        if draw(st.booleans()):
            made.append(Turn(role="system", parts=[draw(texts())]))
        said: list[Part] = [*draw(st.lists(thinking(), max_size=2))]
        said += draw(st.lists(st.one_of(texts(), calls_of_tools(), carried()), min_size=1, max_size=3))
        made.append(Turn(role="assistant", parts=said))
    return made


def tools() -> st.SearchStrategy[list[Tool]]:
    own = Tool(
        name="web_search", kind="hosted", raw=b'{"type":"web_search_20250305", "name":"web_search"}', dialect=HERE.name
    )
    plain = st.builds(Tool, name=NAME, description=TEXT, schema=SCHEMA, cache=CACHE)
    return st.lists(st.one_of(plain, st.just(own)), max_size=3)


def reasoning() -> st.SearchStrategy[Reasoning | None]:
    effort = st.sampled_from([None, "low", "medium", "high", "xhigh", "max"])
    shown = st.sampled_from([None, True, False])
    return st.one_of(
        st.none(),
        st.builds(Reasoning, mode=st.just("adaptive"), effort=effort, shown=shown),
        st.builds(Reasoning, mode=st.just("off"), effort=effort),
    )


FORM = b'{"type":"object","properties":{"a":{"type":"string"}},"required":["a"],"additionalProperties":false}'


@st.composite
def whole_calls(draw: st.DrawFn) -> Call:
    offered = draw(tools())
    call = Call(
        model="m",
        turns=draw(turns()),
        tools=offered,
        reasoning=draw(reasoning()),
        format=draw(st.sampled_from([None, Format(kind="schema", schema=FORM, strict=True)])),
        stream=draw(st.booleans()),
        cap=draw(st.integers(1, 9000)),
        temperature=draw(st.sampled_from([None, 0, 0.25, 0.5])),
        top_k=draw(st.sampled_from([None, 5])),
        stop=tuple(draw(st.lists(TEXT, max_size=2))),
        identity=draw(st.sampled_from(["", "user-1"])),
    )
    if offered:
        one = draw(st.sampled_from(offered)).name
        call.choice = draw(
            st.sampled_from(
                [
                    None,
                    ToolChoice(mode="auto"),
                    ToolChoice(mode="any"),
                    ToolChoice(mode="none"),
                    ToolChoice(mode="any", names=(one,)),
                ]
            )
        )
        if call.choice is not None and call.choice.mode != "none":
            call.parallel = draw(st.sampled_from([None, True, False]))
    return call


@given(call=whole_calls())
@settings(max_examples=examples(25), deadline=None)
def test_any_call_comes_back_as_it_was(call: Call) -> None:
    written = HERE.write_call(call, Aim(model="m", cap=9000, ways=WAYS))
    assert written.losses == ()
    back = HERE.read_call(Place(dialect="anthropic_messages", endpoint="messages"), written.body)
    assert back.losses == ()
    back.turns = [msgspec.structs.replace(turn, at="") for turn in back.turns]
    assert back == call


@given(call=whole_calls())
@settings(max_examples=examples(20), deadline=None)
def test_the_same_call_is_the_same_bytes_and_its_beginning_stays(call: Call) -> None:
    aim = Aim(model="m", cap=9000, ways=WAYS)
    first = HERE.write_call(call, aim).body
    assert HERE.write_call(call, aim).body == first
    longer = [*call.turns, Turn(role="user", parts=[Text(text="and then?")])]
    later = HERE.write_call(msgspec.structs.replace(call, turns=longer), aim).body
    assert later.startswith(first.removesuffix(b"]}"))
