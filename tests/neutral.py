"""Neutral calls and answers for the tests of translators: made at random, and what of them has to survive."""

from __future__ import annotations

import json
import re
from typing import Any, Literal

from hypothesis import strategies as st

from ruxa.dialects.call import (
    Call,
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
from ruxa.dialects.dialect import Finish
from ruxa.dialects.openai_chat.parts import ERROR_MARK
from ruxa.dialects.reply import Begun, Choice, Closed, Counted, Delta, Ended, Opened, Over, Piece, Reply, Said
from ruxa.dialects.usage import Usage

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
JPEG = "/9j/4AAQSkZJRgABAQEASABIAAD/2wBDAP//////////"
PDF = "JVBERi0xLjQKJcfsj6IKNSAwIG9iago="
TOOLS = ("get_weather", "search", "write_file")
SCHEMA = b'{"type":"object","properties":{"city":{"type":"string"},"n":{"type":"number"}},"required":["city"]}'
FORM = b'{"type":"object","properties":{"a":{"type":"string"}},"required":["a"],"additionalProperties":false}'

# Whatever text may hold but control characters, which no vendor promises to keep; never only white space.
TEXTS = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufeff"), min_size=1, max_size=40
).filter(lambda text: bool(text.strip())) | st.sampled_from(["Grüße, 東京 👩‍👩‍👧 é", "a\nb\n\n c", '"quoted" \\ {}'])
ARGUMENTS = st.sampled_from(
    [
        "{}",
        '{"city":"Zürich"}',
        '{"city":"東京","n":1.0}',
        '{"n":123456789012345678901234567890}',
        '{"city":"a\\"b","list":[1,2.50,-0.0,1e3,true,null],"deep":{"x":{}}}',
        '{"emoji":"👩‍👩‍👧"}',
    ]
)
NOTE = re.compile(r"Media in the result of tool call \w+:\Z")
"""What OpenAI's chat dialect says before media that a result of a tool cannot hold there."""

COUNTS = st.integers(0, 100_000)


def images() -> st.SearchStrategy[Media]:
    return st.sampled_from(
        [Media(kind="image", media_type="image/png", data=PNG), Media(kind="image", media_type="image/jpeg", data=JPEG)]
    )


def documents() -> st.SearchStrategy[Media]:
    return st.just(Media(kind="document", media_type="application/pdf", data=PDF, title="a.pdf"))


@st.composite
def turns(draw: st.DrawFn, *, media: bool = True, system: bool = True) -> list[Turn]:
    """A conversation as every vendor allows it: roles take turns, and results follow their calls in order."""
    found: list[Turn] = []
    if system and draw(st.booleans()):
        found.append(
            Turn(role="system", parts=[Text(text=text) for text in draw(st.lists(TEXTS, min_size=1, max_size=2))])
        )
    number = 0
    pending: list[ToolCall] = []
    for _ in range(draw(st.integers(1, 3))):
        parts: list[Part] = []
        for call in pending:
            inner: list[Part] = [Text(text=draw(TEXTS))]
            if media and draw(st.booleans()):
                inner.append(draw(images()))
            parts.append(ToolResult(call_id=call.id, name=call.name, parts=inner, error=draw(st.booleans())))
        said: list[Part] = [Text(text=text) for text in draw(st.lists(TEXTS, min_size=0 if parts else 1, max_size=2))]
        if media and said and draw(st.booleans()):
            said.insert(0, draw(images() | documents()))
        found.append(Turn(role="user", parts=[*parts, *said]))
        answer: list[Part] = [Text(text=text) for text in draw(st.lists(TEXTS, max_size=1))]
        pending = []
        for _ in range(draw(st.integers(0 if answer else 1, 2))):
            pending.append(ToolCall(id=f"call_{number}", name=draw(st.sampled_from(TOOLS)), arguments=draw(ARGUMENTS)))
            number += 1
        found.append(Turn(role="assistant", parts=[*answer, *pending]))
    if pending:
        results: list[Part] = [
            ToolResult(call_id=call.id, name=call.name, parts=[Text(text=draw(TEXTS))]) for call in pending
        ]
        found.append(Turn(role="user", parts=results))
    else:
        found.append(Turn(role="user", parts=[Text(text=draw(TEXTS))]))
    return found


@st.composite
def calls(draw: st.DrawFn, *, media: bool = True) -> Call:
    """A call whose every feature the four vendors know."""
    tools = [
        Tool(name=name, description=draw(TEXTS), schema=SCHEMA) for name in TOOLS
    ]  # histories name all of them, and vendors want tools that are named declared
    return Call(
        model="public",
        turns=draw(turns(media=media)),
        tools=tools,
        choice=draw(
            st.none()
            | st.sampled_from(
                [
                    ToolChoice(mode="auto"),
                    ToolChoice(mode="any"),
                    ToolChoice(mode="any", names=("search",)),
                    ToolChoice(mode="none"),
                ]
            )
        ),
        cap=draw(st.none() | st.integers(2000, 8000)),
        temperature=draw(st.none() | st.sampled_from([0, 0.5, 1.0])),
        top_p=draw(st.none() | st.sampled_from([0.25, 1])),
        stop=draw(st.sampled_from([(), ("END",), ("a", "b")])),
        reasoning=draw(st.none() | st.sampled_from([Reasoning(effort="low"), Reasoning(effort="high")])),
        format=draw(st.none() | st.just(Format(kind="schema", name="answer", schema=FORM))),
        stream=draw(st.booleans()),
    )


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    """Figures as they may be charged."""
    return Usage(
        input_tokens=draw(COUNTS),
        cache_read_tokens=draw(COUNTS),
        cache_write_5m_tokens=draw(COUNTS),
        output_tokens=draw(COUNTS),
        reasoning_tokens=draw(COUNTS),
    )


@st.composite
def replies(draw: st.DrawFn) -> Reply:
    """An answer in the order in which models give it: thinking, text, tool calls."""
    parts: list[Said] = []
    if draw(st.booleans()):
        parts.append(Thinking(text=draw(TEXTS)))
    if draw(st.booleans()):
        parts.append(Text(text=draw(TEXTS)))
    tools = draw(st.integers(0 if parts and isinstance(parts[-1], Text) else 1, 3))
    for number in range(tools):
        parts.append(ToolCall(id=f"call_{number}", name=draw(st.sampled_from(TOOLS)), arguments=draw(ARGUMENTS)))
    ends: list[Finish] = ["tool"] if tools else ["stop", "length"]
    choice = Choice(parts=parts, finish=draw(st.sampled_from(ends)))
    return Reply(id="answer_1", model="given", choices=[choice], usage=draw(usages()))


def pieces(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


def deltas(reply: Reply, size: int = 3) -> list[Delta]:
    """The stream that tells one whole answer, its texts in pieces of ``size``."""
    found: list[Delta] = [Begun(id=reply.id, model=reply.model)]
    for number, choice in enumerate(reply.choices):
        for index, part in enumerate(choice.parts):
            kind: Literal["text", "thinking", "tool"] = "text"
            known: dict[str, Any] = {}
            if isinstance(part, ToolCall):
                kind, known = "tool", {"id": part.id, "name": part.name}
            elif isinstance(part, Thinking):
                kind = "thinking"
            found.append(Opened(index=index, kind=kind, choice=number, **known))
            text = part.arguments if isinstance(part, ToolCall) else getattr(part, "text", "")
            found += [Piece(index=index, text=piece, choice=number) for piece in pieces(text, size)]
            found.append(Closed(index=index, choice=number))
        found.append(Ended(finish=choice.finish, choice=number, detail=choice.detail))
    if reply.usage is not None:
        found.append(Counted(usage=reply.usage))
    return [*found, Over()]


def texts_of(call: Call) -> list[tuple[str, str]]:
    """All that was said, by role, neighbours of one role together: what no translation may change."""
    found: list[tuple[str, str]] = []
    for turn in call.turns:
        for part in turn.parts:
            if isinstance(part, Text) and part.text and not NOTE.match(part.text):
                if found and found[-1][0] == turn.role:
                    found[-1] = (turn.role, found[-1][1] + part.text)
                else:
                    found.append((turn.role, part.text))
    return found


def tools_of(call: Call) -> list[tuple[str, Any]]:
    """The calls of tools in order: name and arguments as numbers and texts are spelled."""
    return [
        (part.name, spelled(part.arguments)) for turn in call.turns for part in turn.parts if isinstance(part, ToolCall)
    ]


def results_of(call: Call) -> list[tuple[int, str, bool]]:
    """The results in order: of which call by its number, what they say, whether it failed.

    OpenAI's dialects tell a failure by a mark before the text: a text that has the mark by itself is one that failed.
    """
    numbers: dict[str, int] = {}
    found: list[tuple[int, str, bool]] = []
    for turn in call.turns:
        for part in turn.parts:
            if isinstance(part, ToolCall):
                numbers[part.id] = len(numbers)
            elif isinstance(part, ToolResult):
                text = part.data or "".join(inner.text for inner in part.parts if isinstance(inner, Text))
                failed = part.error
                while text.startswith(ERROR_MARK):
                    text, failed = text.removeprefix(ERROR_MARK), True
                found.append((numbers.get(part.call_id, -1), text, failed))
    return found


def media_of(call: Call) -> list[str]:
    """The base64 of all media, those of results included, sorted: their place may differ by dialect."""
    found: list[str] = []
    for turn in call.turns:
        for part in turn.parts:
            inner = part.parts if isinstance(part, ToolResult) else [part]
            found += [media.data for media in inner if isinstance(media, Media) and media.data]
    return sorted(found)


def spelled(arguments: str) -> Any:
    """JSON with its numbers kept as they are written."""
    return json.loads(arguments, parse_float=lambda text: ("float", text), parse_int=lambda text: ("int", text))
