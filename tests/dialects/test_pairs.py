"""Every two dialects: what is said in one and sent in another keeps its text, its tools, its media and its figures."""

from __future__ import annotations

import base64
import itertools
import json
import re
from collections.abc import Sequence
from typing import Any

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import Sizes
from neutral import calls, deltas, media_of, replies, results_of, spelled, texts_of, tools_of, usages
from ruxa.dialects import EMBEDDERS, TRANSLATORS
from ruxa.dialects.call import Call, Embedding, Text, Thinking, ToolCall, ToolChoice, Vectors
from ruxa.dialects.dialect import Endpoint, Name, Place
from ruxa.dialects.reply import Asked, Choice, Delta, Reply, Said, collected
from ruxa.dialects.translator import Aim, Way
from ruxa.dialects.usage import Usage

PAIRS = list(itertools.product(TRANSLATORS, TRANSLATORS))
ENDPOINTS: dict[Name, Endpoint] = {
    "openai_chat": "chat",
    "openai_responses": "responses",
    "anthropic_messages": "messages",
    "gemini_generate": "generate",
}
# A model that can do all that its dialect has words for.
WAYS: frozenset[Way] = frozenset(
    {
        "max_completion_tokens",
        "reasoning_effort",
        "stream_options",
        "custom_tools",
        "strict_tools",
        "structured_output",
        "adaptive_thinking",
        "thinking",
        "system_anywhere",
        "sampling",
        "thinking_level",
        "json_schema",
        "media_in_results",
        "image_urls",
        "audio_input",
    }
)
AIM = Aim(model="public", cap=32_000, ways=WAYS)
AUTO = ToolChoice(mode="auto")
# What no vendor's dialect names otherwise than by a word of its own.
PLAIN = re.compile(r"[a-z][A-Za-z0-9_.]{0,39}\Z")


def place(name: Name, *, stream: bool) -> Place:
    model = "public" if name == "gemini_generate" else ""
    return Place(dialect=name, endpoint=ENDPOINTS[name], model=model, stream=stream)


def asked(call: Call | None = None) -> Asked:
    call = call or Call(model="m", turns=[], stream=True, usage=True)
    return Asked(call=call, model="given", request_id="req_" + "0" * 31 + "7", created_s=1_800_000_000)


def sent(call: Call, name: Name) -> Call:
    """The call as the provider's own dialect reads what was written for it."""
    body = TRANSLATORS[name].write_call(call, AIM).body
    return TRANSLATORS[name].read_call(place(name, stream=call.stream), body)


@pytest.mark.parametrize("name", TRANSLATORS)
def test_a_call_survives_its_own_dialect(name: Name, sizes: Sizes) -> None:
    @hypothesis.settings(max_examples=sizes["property_examples"] // 3)
    @given(call=calls())
    def run(call: Call) -> None:
        once = sent(call, name)
        again = TRANSLATORS[name].write_call(once, AIM)
        assert again.body == TRANSLATORS[name].write_call(call, AIM).body
        assert once.losses == ()
        assert {loss.name for loss in again.losses} <= {"response_format.name"}

    run()


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_a_call_crosses_with_all_that_was_said(source: Name, target: Name, sizes: Sizes) -> None:
    @hypothesis.settings(max_examples=sizes["property_examples"] // 3)
    @given(call=calls())
    def run(call: Call) -> None:
        read = sent(call, source)
        written = TRANSLATORS[target].write_call(read, AIM)
        back = TRANSLATORS[target].read_call(place(target, stream=call.stream), written.body)
        assert texts_of(back) == texts_of(read)
        assert tools_of(back) == tools_of(read) == tools_of(call)
        assert results_of(back) == results_of(read)
        assert media_of(back) == media_of(read) == media_of(call)
        assert [tool.name for tool in back.tools] == [tool.name for tool in call.tools]
        assert [spelled(tool.schema.decode()) for tool in back.tools] == [
            spelled(tool.schema.decode()) for tool in call.tools
        ]
        lost = {loss.name for loss in written.losses}
        assert (back.choice or AUTO) == (read.choice or AUTO) or "tool_choice" in lost
        assert meant(back.temperature) == meant(read.temperature) or "temperature" in lost
        assert meant(back.top_p) == meant(read.top_p) or "top_p" in lost
        assert back.stop == read.stop or "stop" in lost
        assert back.cap == (read.cap or back.cap)
        assert all(PLAIN.match(loss.name) for loss in written.losses)

    run()


def meant(value: float | None) -> float:
    """1 is what every vendor takes when nothing is said."""
    return 1 if value is None else value


def said(choice: Choice) -> tuple[str, str, list[tuple[str, object]], str]:
    """Thinking, text, tool calls and the end of an answer."""
    return (
        "".join(part.text for part in choice.parts if isinstance(part, Thinking)),
        "".join(part.text for part in choice.parts if isinstance(part, Text)),
        [(part.name, spelled(part.arguments)) for part in choice.parts if isinstance(part, ToolCall)],
        choice.finish,
    )


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_an_answer_crosses_with_all_that_was_said(source: Name, target: Name, sizes: Sizes) -> None:
    @hypothesis.settings(max_examples=sizes["property_examples"] // 3)
    @given(reply=replies())
    def run(reply: Reply) -> None:
        given_ = TRANSLATORS[source].read_reply(TRANSLATORS[source].write_reply(reply, asked()))
        back = TRANSLATORS[target].read_reply(TRANSLATORS[target].write_reply(given_, asked()))
        assert said(back.choices[0]) == said(reply.choices[0])

    run()


def streamed(name: Name, told: Sequence[Delta]) -> bytes:
    writer = TRANSLATORS[name].writer(asked())
    return b"".join(writer.write([delta]) for delta in told)


def read_stream(name: Name, data: bytes, cut: int) -> list[Delta]:
    reader = TRANSLATORS[name].reader()
    found: list[Delta] = []
    for at in range(0, len(data), cut):
        found += reader.feed(data[at : at + cut])
    return [*found, *reader.end()]


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_a_stream_crosses_the_same_for_every_cut(source: Name, target: Name, sizes: Sizes) -> None:
    """W61: the provider's bytes cut anywhere, and what the caller reads of it."""

    @hypothesis.settings(max_examples=sizes["property_examples"] // 3)
    @given(reply=replies(), size=st.integers(1, 7), cut=st.integers(1, 90))
    def run(reply: Reply, size: int, cut: int) -> None:
        data = streamed(source, deltas(reply, size))
        passed = streamed(target, read_stream(source, data, cut))
        assert passed == streamed(target, read_stream(source, data, len(data)))
        back = collected(read_stream(target, passed, cut))
        assert said(back.choices[0]) == said(reply.choices[0])
        assert b"\xef\xbf\xbd" not in passed

    run()


def known(usage: Usage | None, name: Name) -> Usage | None:
    """The figures as far as a dialect tells them apart: Gemini has no word for what was written to a cache."""
    if usage is None or name != "gemini_generate":
        return usage
    written = usage.cache_write_5m_tokens + usage.cache_write_1h_tokens
    return Usage(
        input_tokens=usage.input_tokens + written,
        cache_read_tokens=usage.cache_read_tokens,
        output_tokens=usage.output_tokens,
        reasoning_tokens=usage.reasoning_tokens,
    )


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_figures_reconcile(source: Name, target: Name, sizes: Sizes) -> None:
    """W44 to W49: each token once, and the totals of both sides the same, whole and streamed."""

    @hypothesis.settings(max_examples=sizes["property_examples"] // 3)
    @given(usage=usages())
    def run(usage: Usage) -> None:
        reply = Reply(id="a", model="m", choices=[Choice(parts=[Text(text="x")])], usage=usage)
        given_ = TRANSLATORS[source].read_reply(TRANSLATORS[source].write_reply(reply, asked()))
        assert given_.usage == known(usage, source)
        back = TRANSLATORS[target].read_reply(TRANSLATORS[target].write_reply(given_, asked()))
        assert back.usage == known(given_.usage, target)
        assert back.usage is not None
        assert (back.usage.input_total, back.usage.output_total) == (usage.input_total, usage.output_total)
        data = streamed(source, deltas(reply))
        passed = streamed(target, read_stream(source, data, len(data)))
        assert collected(read_stream(target, passed, len(passed))).usage == back.usage

    run()


# A vendor that is a gateway like this one gives what looks packed by us.
PROOFS = (st.binary(min_size=1, max_size=40) | st.sampled_from([b"ruxa1.", b"ruxa1.thinking", b"ruxa1.google.x"])).map(
    lambda raw: base64.b64encode(raw).decode()
)


def replayed(name: Name, answer: bytes) -> bytes:
    """The next request of a client that sends back what it got."""
    told = json.loads(answer)
    match name:
        case "openai_chat":
            messages = [told["choices"][0]["message"], {"role": "user", "content": "go on"}]
            body: dict[str, Any] = {"model": "public", "messages": messages}
        case "openai_responses":
            body = {"model": "public", "input": [*told["output"], {"role": "user", "content": "go on"}]}
        case "anthropic_messages":
            said = [{"role": "assistant", "content": told["content"]}, {"role": "user", "content": "go on"}]
            body = {"model": "public", "max_tokens": 9000, "messages": said}
        case _:
            said = [told["candidates"][0]["content"], {"role": "user", "parts": [{"text": "go on"}]}]
            body = {"contents": said}
    return json.dumps(body).encode()


@pytest.mark.parametrize(("caller", "vendor"), PAIRS)
def test_a_signature_comes_back_to_its_vendor(caller: Name, vendor: Name, sizes: Sizes) -> None:
    """W31, W32, W34, W37: thinking goes to the caller and comes back in its next request, byte for byte."""

    @hypothesis.settings(max_examples=sizes["property_examples"] // 3)
    @given(proof=PROOFS, text=st.sampled_from(["", "hm"]), call=st.booleans())
    def run(proof: str, text: str, call: bool) -> None:
        origin = TRANSLATORS[vendor].origin
        hidden = origin == "openai" or not text
        parts: list[Said] = [
            Thinking(text=text, signature=proof, origin=origin, redacted=hidden, summary=origin == "openai"),
            ToolCall(id="call_1", name="search") if call else Text(text="x"),
        ]
        if origin == "google":  # where Google signs
            parts = [
                Thinking(text="hm", origin=origin, summary=True),
                ToolCall(id="call_1", name="search", signature=proof, origin=origin)
                if call
                else Text(text="x", signature=proof, origin=origin),
            ]
        reply = Reply(id="a", model="m", choices=[Choice(parts=parts, finish="tool" if call else "stop")])
        body = replayed(caller, TRANSLATORS[caller].write_reply(reply, asked()))
        back = TRANSLATORS[caller].read_call(place(caller, stream=False), body)
        proofs = {
            (part.origin, part.signature)
            for turn in back.turns
            for part in turn.parts
            if isinstance(part, Thinking | ToolCall | Text) and part.signature
        }
        if caller == "openai_responses" and origin == "google" and not call:
            assert proofs == set()  # a mark on a text, which Google asks for but does not demand
            return
        assert proofs == {(origin, proof)}
        own = TRANSLATORS[vendor].write_call(back, AIM)
        if vendor != "openai_chat":  # which has no place for what it never says
            assert proof in own.body.decode().replace("-", "+").replace("_", "/")

    run()


VECTORS = st.lists(st.lists(st.floats(-8, 8, width=32), min_size=2, max_size=2), min_size=1, max_size=3)


@pytest.mark.parametrize(("source", "target"), list(itertools.product(EMBEDDERS, EMBEDDERS)))
def test_embeddings_cross(source: Name, target: Name, sizes: Sizes) -> None:
    @hypothesis.settings(max_examples=sizes["property_examples"] // 3)
    @given(vectors=VECTORS, base64_=st.booleans())
    def run(vectors: list[list[float]], base64_: bool) -> None:
        wanted = Embedding(model="public", inputs=[f"text {number} é" for number in range(len(vectors))], dimensions=2)
        ends: dict[Name, Endpoint] = {"openai_chat": "embeddings", "gemini_generate": "batch_embed"}
        at = Place(dialect=target, endpoint=ends[target], model="public" if target == "gemini_generate" else "")
        body = EMBEDDERS[target].write_embedding(wanted, AIM).body
        assert EMBEDDERS[target].read_embedding(at, body).inputs == wanted.inputs
        given_ = EMBEDDERS[source].write_vectors(Vectors(vectors=vectors, tokens=5), wanted, "m")
        told = EMBEDDERS[source].read_vectors(given_)
        wanted.base64 = base64_ and target == "openai_chat"
        back = EMBEDDERS[target].read_vectors(EMBEDDERS[target].write_vectors(told, wanted, "m"))
        assert back.vectors == vectors

    run()
