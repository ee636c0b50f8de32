"""Damaged requests and damaged answers, in every dialect and between every two: each ends in an answer or an error of
the right kind in the vendor's own shape, soon, and nothing grows without bound."""

from __future__ import annotations

import time
from random import Random
from typing import Any

import msgspec
import pytest

from conformance_ways import REQUEST_ID, TERMS, Kept
from conftest import Sizes
from mutations import answers, cut, damaged, damaged_stream, requests
from ruxa.dialects import DIALECTS, TRANSLATORS
from ruxa.dialects.call import Call
from ruxa.dialects.dialect import Envelope, Load, Name, Place, Reader
from ruxa.dialects.paths import locate
from ruxa.dialects.reply import Asked
from ruxa.dialects.shape import Shapes
from ruxa.dialects.translated import ANSWERS, Conversation
from ruxa.dialects.translator import Aim, Way
from ruxa.egress.conformance.configs import ways
from ruxa.kernel.errors import RuxaError, UpstreamError

NAMES: tuple[Name, ...] = tuple(TRANSLATORS)
AIMS = [
    Aim(model="m", cap=1000, ways=frozenset()),
    Aim(model="m", cap=1000, ways=frozenset[Way]().union(*(ways(code, "gpt-5.1") for code in ("OC", "AM", "GG")))),
]
SLOW_S = 3.0
each_dialect = pytest.mark.parametrize("name", NAMES)


def refused(name: Name, error: RuxaError) -> None:
    """The caller's own mistake, in the vendor's shape."""
    assert 400 <= error.status < 500, repr(error)
    shown(name, error)


def shown(name: Name, error: RuxaError) -> None:
    rendered = DIALECTS[name].error(error, REQUEST_ID)
    assert rendered.status == error.status or rendered.status >= 400
    assert REQUEST_ID.encode() in rendered.headers
    told: Any = msgspec.json.decode(rendered.body)
    inner = told["error"]
    assert isinstance(inner["message"], str)
    assert len(rendered.body) < 20_000
    if name == "anthropic_messages":
        assert told["type"] == "error"
        assert isinstance(inner["type"], str)
    elif name == "gemini_generate":
        assert inner["code"] == rendered.status
        assert isinstance(inner["status"], str)
    else:
        assert {"type", "param", "code"} <= inner.keys()


@each_dialect
def test_a_damaged_request_is_taken_or_refused(name: Name, sizes: Sizes) -> None:
    random = Random(f"request {name}")
    known = requests(name)
    assert len(known) > 5
    shapes = Shapes()
    taken = 0
    for _ in range(sizes["fuzz"]):
        path, body = random.choice(known)
        body = damaged(random, body)
        began = time.monotonic()
        taken += asked(name, path, body, random.choice(AIMS), shapes)
        assert time.monotonic() - began < SLOW_S, body[:3000]
    assert taken > sizes["fuzz"] // 50


def asked(name: Name, path: str, body: bytes, aim: Aim, shapes: Shapes) -> bool:
    """Whether all went well."""
    bare, _, query = path.partition("?")
    place = locate(b"POST", bare.encode(), query.encode(), {})
    assert place is not None
    dialect = DIALECTS[name]
    try:
        try:
            shapes.read(place, body)
            envelope = dialect.read(place, body)
            dialect.refuse(envelope, TERMS)
            if dialect.shaping is not None:
                shapes.learn(envelope, dialect.shaping)
            patched = dialect.patch(envelope, upstream_model="m", pseudonym=lambda given: "ps", terms=TERMS)
        except RuxaError as error:
            refused(name, error)
            return False
        sent = b"".join(patched.pieces)
        assert len(sent) == patched.length
        msgspec.json.decode(sent, type=dict[str, msgspec.Raw])
        if place.endpoint != ANSWERS[name]:
            return True
        try:
            call = TRANSLATORS[name].read_call(place, envelope.body)
        except RuxaError as error:
            refused(name, error)
            return False
        for other in NAMES:
            try:
                written = TRANSLATORS[other].write_call(call, aim)
            except RuxaError as error:
                refused(name, error)
            else:
                msgspec.json.decode(written.body, type=dict[str, msgspec.Raw])
                assert len(written.body) < 20_000 + 40 * len(body)
    except Exception:
        print(name, path, body[:6000])
        raise
    return True


def conversation(caller: Name, vendor: Name, *, stream: bool) -> Conversation:
    call = Call(model="m", turns=[], stream=stream, usage=True)
    wanted = Asked(call=call, model="given", request_id=REQUEST_ID, created_s=1_800_000_000)
    return Conversation(TRANSLATORS[caller], TRANSLATORS[vendor], DIALECTS[vendor], call, wanted, "m", Kept())


def envelope_of(vendor: Name, *, stream: bool) -> Envelope:
    place = Place(dialect=vendor, endpoint=ANSWERS[vendor], model="m", stream=stream)
    return Envelope(place=place, body=b"", members={}, model="m", stream=stream, include_usage=True, load=Load())


def upstreams(caller: Name, error: RuxaError) -> None:
    """The provider's fault, in the caller's shape."""
    assert isinstance(error, UpstreamError), repr(error)
    shown(caller, error)


@each_dialect
def test_a_damaged_answer_is_passed_on_or_is_the_providers_fault(name: Name, sizes: Sizes) -> None:
    random = Random(f"answer {name}")
    known = answers(name)
    assert len(known) > 5
    good = 0
    for _ in range(sizes["fuzz"]):
        body = damaged(random, random.choice(known)[0])
        caller = random.choice(NAMES)
        began = time.monotonic()
        try:
            found = DIALECTS[name].answer(envelope_of(name, stream=False), body)
            if found.error is not None:
                upstreams(caller, found.error)
            error = DIALECTS[name].upstream_error(random.choice((400, 401, 404, 418, 429, 500, 503, 529)), {}, body)
            upstreams(caller, error)
            talk = conversation(caller, name, stream=False)
            found = talk.answer(body, Load())
            if found.error is None:
                good += 1
                msgspec.json.decode(talk.body, type=dict[str, msgspec.Raw])
                assert found.usage is None or min(msgspec.structs.astuple(found.usage)) >= 0
            else:
                upstreams(caller, found.error)
            assert time.monotonic() - began < SLOW_S
        except Exception:
            print(name, caller, body[:6000])
            raise
    assert good > sizes["fuzz"] // 50


@each_dialect
def test_a_damaged_stream_is_passed_on_or_ends_in_an_error(name: Name, sizes: Sizes) -> None:
    random = Random(f"stream {name}")
    known = [frames for _, frames in answers(name)]
    for _ in range(sizes["fuzz"]):
        data = damaged_stream(random, random.choice(known))
        pieces = cut(random, data)
        caller = random.choice(NAMES)
        began = time.monotonic()
        try:
            relayed = DIALECTS[name].stream(envelope_of(name, stream=True))
            bridge = conversation(caller, name, stream=True).stream()
            both: tuple[tuple[Name, Reader], ...] = ((name, relayed), (caller, bridge))
            for shows, reader in both:
                out = bytearray()
                for piece in pieces:
                    out += reader.feed(piece)
                out += reader.end()
                if reader.error is not None:
                    upstreams(shows, reader.error)
                    out += reader.fail(reader.error, REQUEST_ID)
                usage = reader.counted() if reader.usage is None else reader.usage
                assert min(msgspec.structs.astuple(usage)) >= 0
                assert len(out) < 20_000 + 100 * len(data)
                if reader is bridge:
                    whole_events(bytes(out))
            assert time.monotonic() - began < SLOW_S
        except Exception:
            print(name, caller, data[:6000])
            raise


def whole_events(out: bytes) -> None:
    """What we write ourselves is events whose data is JSON, whatever came in."""
    for line in out.decode().splitlines():
        if line.startswith("data: ") and line != "data: [DONE]":
            msgspec.json.decode(line[6:], type=dict[str, msgspec.Raw])


def doubling(levels: int) -> dict[str, Any]:
    """A short schema that is endless once each reference is put in."""
    inner = {f"d{level}": {"$ref": f"#/$defs/d{level + 1}"} for level in range(levels)}
    defs = {
        name: {"type": "object", "properties": {"a": reference, "b": reference}} for name, reference in inner.items()
    }
    return {"type": "object", "properties": {"x": inner["d0"]}, "$defs": {**defs, f"d{levels}": {"type": "string"}}}


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(levels):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


@pytest.mark.parametrize("schema", [doubling(40), nested(60), {"type": "object", "properties": {"a": {"$ref": "#"}}}])
@pytest.mark.parametrize("name", NAMES)
def test_a_schema_is_bounded_however_it_refers_to_itself(name: Name, schema: dict[str, Any]) -> None:
    body = {
        "model": "m",
        "messages": [{"role": "user", "content": "x"}],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": schema, "strict": True}}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": schema, "strict": True}},
    }
    place = Place(dialect="openai_chat", endpoint="chat")
    call = TRANSLATORS["openai_chat"].read_call(place, msgspec.json.encode(body))
    for aim in AIMS:
        began = time.monotonic()
        found: RuxaError | None = None
        try:
            assert len(TRANSLATORS[name].write_call(call, aim).body) < 1_000_000
        except RuxaError as error:
            found = error
        if found is not None:
            refused(name, found)
            assert found.code == "schema_too_large"
            assert found.param in ("tools[0]", "response_format")
        assert time.monotonic() - began < SLOW_S


@each_dialect
def test_what_is_nested_too_deeply_is_refused_by_its_field(name: Name) -> None:
    place = Place(dialect=name, endpoint=ANSWERS[name], model="m")
    field = {"openai_responses": "input", "gemini_generate": "contents"}.get(name, "messages")
    body = b'{"model":"m","max_tokens":5,"%b":%b%b}' % (field.encode(), b"[" * 300, b"]" * 300)
    with pytest.raises(RuxaError) as raised:
        DIALECTS[name].read(place, body)
    refused(name, raised.value)
    assert (raised.value.code, raised.value.param) == ("too_deep", field)
