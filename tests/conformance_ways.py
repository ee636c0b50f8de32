"""The way of a conformance case without sockets: the caller's bytes through the dialects, as the gateway does it."""

from __future__ import annotations

from urllib.parse import parse_qsl

from ruxa.dialects import DIALECTS, TRANSLATORS
from ruxa.dialects.dialect import Dialect, Envelope, Name, Place, Reader, Rendered, Terms
from ruxa.dialects.paths import locate
from ruxa.dialects.reply import Asked as Wanted
from ruxa.dialects.translated import Conversation, Mark
from ruxa.dialects.translator import Aim
from ruxa.egress.conformance import configs
from ruxa.egress.conformance.case import DIALECTS as NAMES
from ruxa.egress.conformance.case import PROVIDER_OF, Code, Run, Step, public
from ruxa.egress.conformance.client import Asked, Came
from ruxa.egress.conformance.runner import Heard, script
from ruxa.egress.sandbox.reply import Asked as AskedUpstream
from ruxa.egress.sandbox.script import Script, dialect_of, wants_stream
from ruxa.kernel.errors import RuxaError

REQUEST_ID = "req_0198f0000000700080000000000000ab"
TERMS = Terms(allowed=frozenset({"*"}))


class Kept(dict[str, Mark]):
    """Signatures of tool calls by their ids."""

    def keep(self, call_id: str, mark: Mark) -> None:
        self[call_id] = mark

    def find(self, call_id: str) -> Mark | None:
        return self.get(call_id)


class Straight:
    """See ``runner.Way``. What needs a running gateway (fetched URLs, paths, keys) it can't do."""

    def __init__(self) -> None:
        self.marks = Kept()

    async def exchange(self, run: Run, step: Step, asked: Asked) -> tuple[list[Heard], Came]:
        played = script(step, {})
        assert played is not None
        assert step.target is not None
        path, _, query = asked.path.partition("?")
        headers = {name.encode(): value.encode() for name, value in asked.headers.items()}
        place = locate(asked.method.encode(), path.encode(), query.encode(), headers)
        assert place is not None
        caller = DIALECTS[place.dialect]
        heard: list[Heard] = []
        try:
            came = self._go(step, step.target, played, caller, place, asked, heard)
        except RuxaError as error:
            came = _refused(caller, error)
        return heard, came

    def _go(
        self, step: Step, code: Code, played: Script, caller: Dialect, place: Place, asked: Asked, heard: list[Heard]
    ) -> Came:
        target = DIALECTS[_name(code)]
        envelope = caller.read(place, asked.body)
        caller.refuse(envelope, TERMS)
        conversation: Conversation | None = None
        lossy: tuple[str, ...]
        if caller is target:
            terms = TERMS
            if step.model in PROVIDER_OF:
                terms = Terms(allowed=frozenset({"*"}), drop_fields=frozenset({"prompt_cache_key"}))
            patched = caller.patch(envelope, upstream_model=step.model, pseudonym=lambda given: "ps", terms=terms)
            body, lossy, at = b"".join(patched.pieces), patched.dropped, place
        else:
            reads, writes = TRANSLATORS[caller.name], TRANSLATORS[target.name]
            call = reads.read_call(place, asked.body)
            wanted = Wanted(
                call=call,
                model=public(code, step.model),
                request_id=REQUEST_ID,
                created_s=1_764_000_000,
                array=place.array,
            )
            conversation = Conversation(reads, writes, target, call, wanted, step.model, self.marks)
            aim = Aim(model=step.model, cap=configs.OUTPUT_TOKENS_MAX, ways=configs.ways(code, step.model))
            written = conversation.write(aim, None)
            body, lossy, at = written.body, tuple(loss.name for loss in written.losses), conversation.place
        where, _, query = target.upstream_path(at, step.model).decode().partition("?")
        assert dialect_of(where) == target.name
        heard.append(Heard(path=where, headers={}, body=body))
        upstream = AskedUpstream(
            method="POST", path=where, query=dict(parse_qsl(query)), headers={}, body=body, number=0, at_s=0
        )
        told = {"ruxa-lossy": ", ".join(lossy)}
        if played.status != 200:
            headers = {name.encode(): value.encode() for name, value in played.headers.items()}
            raise target.upstream_error(played.status, headers, played.answer(body))
        assert wants_stream(upstream) == envelope.stream
        if envelope.stream:
            reader = caller.stream(envelope) if conversation is None else conversation.stream()
            return _streamed(caller, envelope, reader, played, body, told)
        answer = played.answer(body)
        found = caller.answer(envelope, answer) if conversation is None else conversation.answer(answer, envelope.load)
        if found.error is not None:
            raise found.error
        whole = answer if conversation is None else conversation.body
        headers = {**told, "content-type": caller.content_type.decode()}
        return Came(status=200, headers=headers, body=whole, complete=True)


def _streamed(
    caller: Dialect, envelope: Envelope, reader: Reader, played: Script, body: bytes, told: dict[str, str]
) -> Came:
    frames = played.frames(body)
    data = b"".join(frames[: played.dies_after])
    size = 1 if played.cut else len(data)
    out = bytearray()
    for at in range(0, len(data), size):
        out += reader.feed(data[at : at + size])
        if reader.peek == "error":
            assert reader.error is not None
            raise reader.error
    out += reader.end()
    if reader.error is not None:
        out += reader.fail(reader.error, REQUEST_ID)
    kind = caller.content_type if envelope.array else caller.stream_type
    return Came(status=200, headers={**told, "content-type": kind.decode()}, body=bytes(out), complete=True)


def _refused(caller: Dialect, error: RuxaError) -> Came:
    rendered: Rendered = caller.error(error, REQUEST_ID)
    lines = [line.partition(b": ") for line in rendered.headers.split(b"\r\n") if line]
    headers = {name.decode().lower(): value.decode() for name, _, value in lines}
    return Came(status=rendered.status, headers=headers, body=rendered.body, complete=True)


def _name(code: Code) -> Name:
    return next(name for name in DIALECTS if name == NAMES[code])
