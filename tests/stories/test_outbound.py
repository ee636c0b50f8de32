"""What leaves the house, read on the wire: nothing of a customer but the content, and nothing that joins two providers.

Every dialect, every endpoint of the path tables, every field that the closed tables call an identity, streamed or not,
retried, refused and broken, by plain requests and by the vendors' own SDKs. An endpoint added to a path table without
a body here fails the first test.
"""

from __future__ import annotations

import contextlib
import json
import re
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import anthropic
import openai
import pytest
from google import genai
from google.genai import types

from capture import Sent, Tap, remote_ports
from fixtures_database import scratch
from fixtures_server import RunningServer, copied, environment, eventually
from ruxa.dialects import multipart, paths
from ruxa.dialects.anthropic_messages import table as anthropic_table
from ruxa.dialects.body import OBJECT, STRING
from ruxa.dialects.gemini_generate import table as gemini_table
from ruxa.dialects.openai_chat import table as openai_table
from ruxa.dialects.openai_media import table as media_table
from ruxa.dialects.openai_responses import table as responses_table
from ruxa.dialects.table import Table
from ruxa.egress.sandbox import voice

# In the customer's own content these words may leave; everywhere else they may not.
CONTENT = "zibebencontent"
SECRET = "quittencanary"
IP = "203.0.113.77"

# Per dialect two providers that a bad pair of companies might be; each is tapped on its own.
PAIRS = {
    "openai_chat": ("openai", "house"),
    "openai_responses": ("scribe", "notary"),
    "anthropic_messages": ("anthropic", "claudine"),
    "gemini_generate": ("google", "gemelli"),
    "openai_media": ("painter", "singer"),
}
# One that a single test asks, so that it can count.
COUNTED = "counted"
BASES = {**dict.fromkeys(PAIRS, "/v1"), "gemini_generate": "/v1beta"}

# What the house says to a provider, by dialect; anything else in a head is a leak.
EVERYWHERE = {"host", "user-agent", "content-type", "accept", "content-length"}
HEADERS = {
    "openai_chat": EVERYWHERE | {"authorization"},
    "openai_responses": EVERYWHERE | {"authorization"},
    "openai_media": EVERYWHERE | {"authorization"},
    "anthropic_messages": EVERYWHERE | {"x-api-key", "anthropic-version", "anthropic-beta"},
    "gemini_generate": EVERYWHERE | {"x-goog-api-key"},
}


class Call(NamedTuple):
    """One endpoint: its path (``{model}``), a small body, the table its fields stand in, where its content lies.

    file: of a form, the part that is a file.
    """

    path: str
    body: dict[str, Any]
    table: Table
    content: str
    streams: str = ""
    file: str = ""


_ASK = {"role": "user", "content": f"{CONTENT} [[tokens=5]]"}
_PARTS = {"role": "user", "parts": [{"text": f"{CONTENT} [[tokens=5]]"}]}
CALLS: dict[tuple[str, str], Call] = {
    ("openai_chat", "chat/completions"): Call(
        "/v1/chat/completions", {"messages": [_ASK]}, openai_table.CHAT, "messages", "stream"
    ),
    ("openai_responses", "responses"): Call(
        "/v1/responses", {"input": [_ASK]}, responses_table.CREATE, "input", "stream"
    ),
    ("openai_chat", "completions"): Call(
        "/v1/completions", {"prompt": f"{CONTENT} [[tokens=5]]"}, openai_table.COMPLETIONS, "prompt", "stream"
    ),
    ("openai_chat", "embeddings"): Call("/v1/embeddings", {"input": CONTENT}, openai_table.EMBEDDINGS, "input"),
    ("anthropic_messages", "messages"): Call(
        "/v1/messages", {"messages": [_ASK], "max_tokens": 50}, anthropic_table.MESSAGES, "messages", "stream"
    ),
    ("anthropic_messages", "messages/count_tokens"): Call(
        "/v1/messages/count_tokens", {"messages": [_ASK]}, anthropic_table.MESSAGES, "messages"
    ),
    ("gemini_generate", "generateContent"): Call(
        "/v1beta/models/{model}:generateContent", {"contents": [_PARTS]}, gemini_table.GENERATE, "contents"
    ),
    ("gemini_generate", "streamGenerateContent"): Call(
        "/v1beta/models/{model}:streamGenerateContent?alt=sse",
        {"contents": [_PARTS]},
        gemini_table.GENERATE,
        "contents",
    ),
    ("gemini_generate", "countTokens"): Call(
        "/v1beta/models/{model}:countTokens", {"contents": [_PARTS]}, gemini_table.COUNT, "contents"
    ),
    ("gemini_generate", "embedContent"): Call(
        "/v1beta/models/{model}:embedContent", {"content": _PARTS}, gemini_table.EMBED, "content"
    ),
    ("gemini_generate", "batchEmbedContents"): Call(
        "/v1beta/models/{model}:batchEmbedContents",
        {"requests": [{"model": "models/{model}", "content": _PARTS}]},
        gemini_table.BATCH,
        "requests",
    ),
}
_MAKE = {"prompt": CONTENT, "size": "64x64", "quality": "low"}
CALLS |= {
    ("openai_media", "images/generations"): Call(
        "/v1/images/generations", _MAKE, media_table.IMAGES, "prompt", "stream"
    ),
    ("openai_media", "images/edits"): Call(
        "/v1/images/edits", _MAKE, media_table.EDITS, "prompt", "stream", file="image"
    ),
    ("openai_media", "audio/speech"): Call(
        "/v1/audio/speech", {"input": CONTENT, "voice": "alloy"}, media_table.SPEECH, "input"
    ),
    ("openai_media", "audio/transcriptions"): Call(
        "/v1/audio/transcriptions", {"prompt": CONTENT}, media_table.TRANSCRIPTIONS, "prompt", "stream", file="file"
    ),
    ("openai_media", "audio/translations"): Call(
        "/v1/audio/translations", {"prompt": CONTENT}, media_table.TRANSLATIONS, "prompt", file="file"
    ),
    ("openai_media", "moderations"): Call("/v1/moderations", {"input": CONTENT}, media_table.MODERATIONS, "input"),
}
FAULTS = ("fail-429", "fail-503", "fail-401", "fail-400", "fail-garbage", "fail-half", "fail-mid-stream-death")

# What a caller's machine tells about itself; none of it is the provider's business.
TOLD = {
    "user-agent": f"{SECRET}-agent/1.0",
    "x-forwarded-for": IP,
    "forwarded": f"for={IP}",
    "x-real-ip": IP,
    "cookie": f"session={SECRET}-cookie",
    "referer": f"https://{SECRET}.example/page",
    "origin": f"https://{SECRET}.example",
    "accept-language": f"x-{SECRET}",
    "traceparent": "00-11223344556677889900aabbccddeeff-1122334455667788-01",
    "baggage": f"person={SECRET}",
    "x-request-id": f"{SECRET}-request",
    "idempotency-key": f"{SECRET}-idempotency",
    "openai-organization": f"org-{SECRET}",
    "openai-project": f"proj-{SECRET}",
    "x-stainless-os": f"{SECRET}OS",
    "x-stainless-runtime": f"{SECRET}Runtime",
    "x-goog-api-client": f"{SECRET}/1",
    "x-goog-user-project": SECRET,
}


@pytest.fixture(scope="module")
def vendor() -> Iterator[int]:
    """``ruxa sandbox`` as every vendor: its port."""
    command = [sys.executable, "-m", "ruxa", "sandbox", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment()) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline().strip().rpartition(":")[2].strip("/"))
        process.terminate()
        assert process.wait(10) == 0


class Watched(NamedTuple):
    """A server whose providers are tapped, and the keys of two customers."""

    server: RunningServer
    taps: dict[str, Tap]
    keys: tuple[str, str]
    organisations: tuple[str, str]


@pytest.fixture(scope="module")
def watched(first_demo: Path, vendor: int) -> Iterator[Watched]:
    with contextlib.ExitStack() as stack:
        place = copied(first_demo, Path(stack.enter_context(tempfile.TemporaryDirectory(dir=scratch()))) / "server")
        taps: dict[str, Tap] = {}
        lines: list[str] = []
        for dialect, names in [*PAIRS.items(), ("openai_chat", (COUNTED, COUNTED))]:
            for name in dict.fromkeys(names):
                tap = taps[name] = Tap(vendor)
                stack.callback(tap.close)
                lines += [f"[providers.{name}]", f'base_url = "http://127.0.0.1:{tap.port}{BASES[dialect]}"']
                own = name == names[1] or dialect in ("openai_media", "openai_responses")
                lines += ['key = "env:VENDOR_KEY"', *([f'dialect = "{dialect}"'] if own else [])]
                for model in ("small", *FAULTS):  # a target each, so that one's breaker is not another's
                    lines += [f'[models."{name}/{model}"]', f'upstream_model = "{model}"']
                    lines += [f"{rate}_micros_per_mtok = 1000" for rate in ("input", "output")]
                    lines += ['ways = ["completions"]'] if dialect == "openai_chat" else []
                    # A picture has more tokens than an answer here; over its hold the model would be closed.
                    lines += [f"output_tokens_max = {100_000 if dialect == 'openai_media' else 100}"]
        (place / "ruxa.toml").write_text("\n".join(lines))
        server = RunningServer(place, VENDOR_KEY="vendor-key-of-the-operator").start()
        stack.callback(server.stop)
        made = server.cli_json("org", "create", "--name", f"{SECRET} Works", "--owner-email", f"{SECRET}@mail.example")
        key = server.cli_json("key", "create", "--org", made["id"], "--name", f"{SECRET} key")["key"]
        for organisation in (server.organisation, made["id"]):
            server.cli("org", "credit", organisation, "--micros", "1000000", "--reason", "trial")
        yield Watched(server, taps, (server.key, key), (server.organisation, made["id"]))


def test_every_endpoint_is_walked() -> None:
    served = {("openai_chat", path) for path in paths.OPENAI}
    served |= {("openai_responses", path) for path in paths.RESPONSES}
    served |= {("anthropic_messages", path) for path in paths.ANTHROPIC}
    served |= {("gemini_generate", method) for method in paths.METHODS}
    served |= {("openai_media", path) for path in paths.MEDIA}
    assert set(CALLS) == served


WALK = [
    pytest.param(where, streamed, id=f"{where[0]}-{where[1].replace('/', '-')}{'-streamed' if streamed else ''}")
    for where, call in CALLS.items()
    for streamed in ((False, True) if call.streams else (False,))
]


@pytest.mark.parametrize(("where", "streamed"), WALK)
def test_nothing_of_the_customer_leaves_but_the_content(
    watched: Watched, where: tuple[str, str], streamed: bool
) -> None:
    dialect = where[0]
    first, second = PAIRS[dialect]
    sent = {(name, who): _send(watched, where, name, who, streamed) for name in (first, second) for who in (0, 1)}
    for (name, who), requests in sent.items():
        assert requests, f"{name} was asked"
        for request in requests:
            _check(watched, dialect, request, CALLS[where].content, where)
            assert "vendor-key-of-the-operator" in request.head.decode(), who
    # The same person at two providers: what both were told about customer 0 and neither about customer 1.
    mine = _told(sent[first, 0]) & _told(sent[second, 0])
    others = _told(sent[first, 1]) | _told(sent[second, 1])
    assert mine - others == set(), "two providers can be joined"
    # The check sees what it looks for: the bodies as the two customers sent them do join.
    raw = [_words(json.dumps(_planted(where, "small", who, streamed))) for who in (0, 1)]
    assert raw[0] - raw[1]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("dialect", PAIRS)
def test_faults_and_retries_tell_no_more(watched: Watched, dialect: str, fault: str) -> None:
    endpoint = next(where for where in CALLS if where[0] == dialect)
    name = PAIRS[dialect][0]
    before = len(watched.taps[name].requests())
    streamed = fault == "fail-mid-stream-death" and bool(CALLS[endpoint].streams)
    with contextlib.suppress(OSError):
        _ask(watched, endpoint, name, 0, streamed, model=fault)
    asked = watched.taps[name].requests()[before:]
    assert asked
    for request in asked:
        _check(watched, dialect, request, CALLS[endpoint].content, endpoint)


@pytest.mark.parametrize("dialect", PAIRS)
def test_a_second_try_tells_no_more_than_the_first(watched: Watched, dialect: str) -> None:
    endpoint = next(where for where in CALLS if where[0] == dialect)
    name = PAIRS[dialect][0]
    watched.taps[name].refusals = 1
    tries = _send(watched, endpoint, name, 0, streamed=False)
    assert len(tries) == 2
    assert tries[0] == tries[1]
    _check(watched, dialect, tries[1], CALLS[endpoint].content, endpoint)


def test_the_vendors_own_clients_leave_no_print(watched: Watched) -> None:
    base = watched.server.base_url
    key = watched.keys[0]
    before = {name: len(tap.requests()) for name, tap in watched.taps.items()}
    told = {name: value for name, value in TOLD.items() if name != "user-agent" and "goog" not in name}
    once = {"idempotency-key": told.pop("idempotency-key")}  # of one call: for another it would be refused
    with openai.OpenAI(api_key=key, base_url=base + "/v1", max_retries=0, default_headers=told) as client:
        ask: Any = {"model": "openai/small", "messages": [_ASK], "user": SECRET, "metadata": {"person": SECRET}}
        client.chat.completions.create(**ask, extra_headers=once)
        assert list(client.chat.completions.create(**ask, stream=True))
        client.embeddings.create(model="openai/small", input=CONTENT, user=SECRET)
        put: Any = {"model": "scribe/small", "input": [_ASK], "user": SECRET, "metadata": {"person": SECRET}}
        client.responses.create(**put)
        client.responses.create(**put, prompt_cache_key=SECRET)
        assert list(client.responses.create(**put, stream=True))
        media = f"{PAIRS['openai_media'][0]}/small"
        client.images.generate(model=media, prompt=CONTENT, user=SECRET)
        client.moderations.create(model=media, input=CONTENT)
        assert client.audio.speech.create(model=media, voice="alloy", input=CONTENT).read()
    with anthropic.Anthropic(api_key=key, base_url=base, max_retries=0, default_headers=told) as claude:
        say: Any = {"model": "anthropic/small", "max_tokens": 50, "messages": [_ASK], "metadata": {"user_id": SECRET}}
        claude.messages.create(**say)
        with claude.messages.stream(**say) as stream:
            assert stream.get_final_text()
        claude.messages.count_tokens(model="anthropic/small", messages=say["messages"])
    options = types.HttpOptions(base_url=base, headers=told)
    with genai.Client(api_key=key, http_options=options) as client:
        gemini: Any = client
        gemini.models.generate_content(model="google/small", contents=CONTENT)
        assert list(gemini.models.generate_content_stream(model="google/small", contents=CONTENT))
        gemini.models.count_tokens(model="google/small", contents=CONTENT)
        gemini.models.embed_content(model="google/small", contents=CONTENT)
    for dialect, (name, _) in PAIRS.items():
        asked = watched.taps[name].requests()[before[name] :]
        assert len(asked) >= 3
        for request in asked:
            _check(watched, dialect, request, "", None)


def test_keys_never_stand_in_a_url(watched: Watched) -> None:
    status, _, answer = watched.server.http(
        "POST", f"/v1beta/models/google%2Fsmall:generateContent?key={watched.keys[0]}", {"contents": [_PARTS]}, key=None
    )
    assert status == 200, answer
    for tap in watched.taps.values():
        for request in tap.requests():
            assert "key" not in request.target.lower()
            assert request.target.partition("?")[2] in ("", "alt=sse")


def test_an_own_key_goes_to_its_provider_and_tells_no_more(watched: Watched, tmp_path: Path) -> None:
    """The organisation's key instead of the house's, and nothing else that is new: no other provider ever sees it.

    Fields that nobody here knows are the customer's own to send on that key; identities are not.
    """
    own = "sk-own-key-of-customer-number-two"
    (tmp_path / "key").write_text(own)
    there = ("--org", watched.organisations[1])
    endpoint = ("openai_chat", "chat/completions")
    name, other = PAIRS["openai_chat"]
    tap = watched.taps[name]
    before = len(tap.requests())
    watched.server.cli("provider", "key", "add", name, *there, "--key-file", str(tmp_path / "key"))
    try:
        for streamed in (False, True):
            body = _planted(endpoint, f"{name}/small", 1, streamed)
            del body["zz_unknown"]
            told = {header: value for header, value in TOLD.items() if "goog" not in header}
            told["idempotency-key"] += f"-{secrets.token_hex(4)}"
            status, _, answer = watched.server.http(
                "POST", CALLS[endpoint].path, body, headers=told, key=watched.keys[1]
            )
            assert status == 200, answer
        asked = tap.requests()[before:]
        for request in (*_send(watched, endpoint, other, 1, False), *_send(watched, endpoint, name, 0, False)):
            assert own not in request.head.decode()
    finally:
        watched.server.cli("provider", "key", "remove", name, *there)
    assert len(asked) == 2
    for request in asked:
        assert own in request.head.decode()
        assert "vendor-key-of-the-operator" not in request.head.decode()
        _check(watched, "openai_chat", request, CALLS[endpoint].content, endpoint)
    for tap_name, each in watched.taps.items():
        assert tap_name == name or all(own.encode() not in request.head + request.body for request in each.requests())
    assert own not in watched.server.output()


def test_providers_errors_are_not_passed_on_raw(watched: Watched) -> None:
    _, _, answer = _ask(watched, ("openai_chat", "chat/completions"), "openai", 0, False, model="fail-401")
    assert b"vendor-key-of-the-operator" not in answer
    assert b"Incorrect API key" not in answer


def _planted(where: tuple[str, str], model: str, who: int, streamed: bool) -> dict[str, Any]:
    """The call's body with a canary in every identity that its table knows and in fields it doesn't know."""
    call = CALLS[where]
    body: dict[str, Any] = json.loads(json.dumps(call.body).replace("{model}", model))
    if where[0] != "gemini_generate":
        body["model"] = model
    for name, field in call.table.items():
        if field.kind != "identity":
            continue
        person = f"{SECRET}-{name}-{who}@mail.example"
        body[name] = person if field.kinds & STRING else {"user_id": person, "device": person}
        assert field.kinds & (STRING | OBJECT), name
    body["zz_unknown"] = f"{SECRET}-unknown-{who}"
    if where[0] == "openai_chat":
        body["metadata"] = {"person": f"{SECRET}-metadata-{who}"}
    if streamed:
        body[call.streams] = True
    return body


def _ask(
    watched: Watched, where: tuple[str, str], provider: str, who: int, streamed: bool, model: str = "small"
) -> tuple[int, dict[str, str], bytes]:
    public = f"{provider}/{model}"
    path = CALLS[where].path.replace("{model}", public.replace("/", "%2F"))
    body = _planted(where, public, who, streamed)
    told = {header: value for header, value in TOLD.items() if "goog" not in header or where[0] == "gemini_generate"}
    told["idempotency-key"] += f"-{secrets.token_hex(4)}"  # each is a call of its own
    if file := CALLS[where].file:
        form, boundary = _form(body, file)
        told["content-type"] = f"multipart/form-data; boundary={boundary}"
        return watched.server.http("POST", path, form, headers=told, key=watched.keys[who])
    return watched.server.http("POST", path, body, headers=told, key=watched.keys[who])


def _form(body: dict[str, Any], file: str) -> tuple[bytes, str]:
    """The body as a form, with a file whose name tells something, and a boundary that does."""
    boundary = f"----{SECRET}-boundary"
    named = f'{file}"; filename="{SECRET} holiday.wav"\r\nContent-Type: audio/wav; name="{SECRET}'
    parts = [(named, voice.wav("short")), *((name, _plain(value)) for name, value in body.items())]
    lines = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode() + value + b"\r\n"
        for name, value in parts
    ]
    return b"".join(lines) + f"--{boundary}--\r\n".encode(), boundary


def _plain(value: object) -> bytes:
    return (value if isinstance(value, str) else json.dumps(value)).encode()


def _send(watched: Watched, where: tuple[str, str], provider: str, who: int, streamed: bool) -> list[Sent]:
    tap = watched.taps[provider]
    before = len(tap.requests())
    status, _, answer = _ask(watched, where, provider, who, streamed)
    assert status == 200, answer
    return tap.requests()[before:]


def _check(watched: Watched, dialect: str, request: Sent, content: str, where: tuple[str, str] | None) -> None:
    whole = request.head + b"\n" + request.body
    assert set(request.headers) <= HEADERS[dialect], request.headers
    assert request.headers["user-agent"] == "ruxa"
    lower = whole.lower()
    secrets = [SECRET, IP, "11223344556677889900aabbccddeeff", *watched.keys, "stainless", "python", "genai"]
    secrets += [form for one in watched.organisations for form in (one, one.partition("_")[2])]
    for secret in secrets:
        assert secret.lower().encode() not in lower, secret
    # Ids of ours: none has a reason to leave.
    assert re.search(rb"\b(key|org|req|mem|call)_[0-9a-f]{32}\b", lower) is None
    assert re.search(rb"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", lower) is None
    if where is not None and CALLS[where].file:
        boundary = multipart.boundary_of(request.headers["content-type"].encode())
        parts = multipart.read(request.body, boundary)
        assert CONTENT in [multipart.text_of(request.body, part) for part in parts if part.base == content]
        assert {part.base for part in parts} <= set(CALLS[where].table), "only fields of the closed table"
    elif where is not None:
        told = json.loads(request.body)
        assert CONTENT in json.dumps(told[content])
        assert set(told) <= set(CALLS[where].table), "only fields of the closed table"


def _told(requests: list[Sent]) -> set[str]:
    return set[str]().union(*(_words((sent.head + b"\n" + sent.body).decode("utf-8", "replace")) for sent in requests))


def _words(text: str) -> set[str]:
    return {word for word in re.findall(r"[A-Za-z0-9_\-]{6,}", text) if not word.isdecimal()}


def test_counts_by_day_recipient_and_category(watched: Watched) -> None:
    status, _, answer = watched.server.http("GET", "/privacy/subprocessors.json", key=None)
    assert status == 200
    told = {one["name"]: one for one in json.loads(answer)["recipients"]}
    assert set(told) == {*watched.taps, "url"}
    assert told["openai"]["who"] == "OpenAI OpCo, LLC"
    assert told["openai"]["categories"] == ["user.content", "user.unique_id.pseudonymous"]

    for _ in range(3):
        _send(watched, ("openai_chat", "chat/completions"), COUNTED, 0, streamed=False)
    status, _, answer = watched.server.http(
        "POST", "/v1/chat/completions", {"model": f"{COUNTED}/small", "messages": [_ASK]}, key=watched.keys[0]
    )
    assert status == 200, answer

    def sums() -> dict[str, int]:
        rows = watched.server.cli_json("provider", "counts")
        return {row["category"]: row["sends"] for row in rows if row["recipient"] == COUNTED}

    eventually(lambda: sums() == {"user.content": 4, "user.unique_id.pseudonymous": 3}, 15, every_s=0.5)
    checks = {check["name"]: check for check in watched.server.cli_json("doctor")["checks"]}
    assert checks["recipients"]["found"] == "nothing was asked for undeclared"


def test_no_process_is_connected_to_anybody_undeclared(watched: Watched) -> None:
    """A census of sockets by the kernel's own table: it sees uvloop, libpq and whatever a library brings along."""
    _send(watched, ("openai_chat", "chat/completions"), "openai", 0, streamed=False)
    server = watched.server
    allowed = {tap.port for tap in watched.taps.values()}
    described = server.described()
    assert described is not None
    allowed.add(int(described["sandbox_url"].rpartition(":")[2]))
    seen: set[int] = set()
    for pid in server.pids().values():
        seen |= remote_ports(pid, but_from=server.port or int(server.base_url.rpartition(":")[2]))
    assert watched.taps["openai"].port in seen, "the census sees connections"
    assert seen <= allowed
