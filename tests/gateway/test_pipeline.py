"""The life of a call over real sockets: each dialect, each bad input, limits, money, keys, headers, content."""

from __future__ import annotations

import asyncio
import gzip
import json
from datetime import timedelta
from typing import Any

import pytest

from dialect_calls import DIALECTS, call, ends_well, error_of, text_of
from fixtures_gateway import House
from ruxa.gateway.door import Reply
from ruxa.gateway.framing import Request
from ruxa.ledger import prices

pytestmark = pytest.mark.usefixtures("no_days")

each_dialect = pytest.mark.parametrize("dialect", DIALECTS)
streamed_or_not = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


async def ask(house: House, dialect: str, text: str = "hello", *, model: str = "sandbox/chat", **more: Any) -> Any:
    headers = more.pop("headers", None) or house.headers()
    path, body = call(dialect, model, text, **more)
    return await house.client.post(path, json=body, headers=headers)


@each_dialect
@streamed_or_not
async def test_a_call_is_answered_and_charged_once(house: House, dialect: str, stream: bool) -> None:
    await house.begin()
    await house.serve()
    answer = await ask(house, dialect, "one two three [[tokens=20]]", stream=stream)
    assert answer.status_code == 200, answer.text
    if stream:
        assert ends_well(dialect, answer.content), answer.text
        assert answer.headers["ruxa-receipt"] == answer.headers["x-request-id"]
    else:
        assert text_of(dialect, answer.content)
    row = await house.row(answer.headers["x-request-id"])
    async with house.operator.work() as work:
        price = (await prices.current(work))["sandbox/chat"]
    expected = -(-(row["input_tokens"] * price.input_micros + row["output_tokens"] * price.output_micros) // 1_000_000)
    assert row["output_tokens"] > 5
    assert row["amount_micros"] == expected > 0
    assert row["usage_source"] == "provider"
    assert row["stream"] is stream
    assert row["status"] == 200
    assert row["attempts"] == 1
    if not stream:
        assert answer.headers["ruxa-cost-micros"] == str(expected)
    await house.stop()
    assert not house.proofs()
    assert not list(house.place.glob("journal/*/*.rxj"))


async def test_embeddings_and_token_counts_of_every_dialect(house: House) -> None:
    await house.begin()
    await house.serve()
    post, headers = house.client.post, house.headers()
    found = await post("/v1/embeddings", json={"model": "sandbox/embedding", "input": ["a b", "c"]}, headers=headers)
    assert len(found.json()["data"]) == 2, found.text
    batch = {"requests": [{"model": "models/sandbox/embedding", "content": {"parts": [{"text": "a"}]}}]}
    found = await post("/v1beta/models/sandbox/embedding:batchEmbedContents", json=batch, headers=headers)
    assert len(found.json()["embeddings"]) == 1, found.text
    one = {"content": {"parts": [{"text": "a"}]}}
    found = await post("/v1beta/models/sandbox/embedding:embedContent", json=one, headers=headers)
    assert found.json()["embedding"], found.text
    _, message = call("anthropic_messages", "sandbox/chat", "one two")
    del message["max_tokens"]
    found = await post("/v1/messages/count_tokens", json=message, headers=headers)
    assert found.json()["input_tokens"] > 0, found.text
    _, content = call("gemini_generate", "sandbox/chat", "one two")
    found = await post("/v1beta/models/sandbox/chat:countTokens", json=content, headers=headers)
    assert found.json()["totalTokens"] > 0, found.text
    rows = await house.rows(5)
    assert [row["endpoint"] for row in rows] == ["embeddings", "batch_embed", "embed", "count_tokens", "count_tokens"]
    assert [row["amount_micros"] > 0 for row in rows] == [True, True, True, False, False]
    assert all(row["status"] == 200 for row in rows)
    await house.stop()
    assert not house.proofs()


async def test_gemini_streams_an_array_without_alt_sse(house: House) -> None:
    await house.begin()
    await house.serve()
    _, body = call("gemini_generate", "sandbox/chat", "[[tokens=5]] x")
    answer = await house.client.post(
        "/v1beta/models/sandbox/chat:streamGenerateContent", json=body, headers=house.headers()
    )
    assert answer.headers["content-type"].startswith("application/json")
    assert len(answer.json()) >= 2
    row = await house.row(answer.headers["x-request-id"])
    assert row["amount_micros"] > 0


BAD_KEYS = {
    "missing": "",
    "foreign": "Bearer sk-some-other-platforms-key-of-forty-eight-characters",
    "malformed": "Bearer rx_live_000000000000000000000000000000000abcdef",
    "checksum": "Bearer rx_live_0000000000000000000000000000000000000000",
}


@each_dialect
@pytest.mark.parametrize("bad", BAD_KEYS)
async def test_a_wrong_key_is_told_so(house: House, dialect: str, bad: str) -> None:
    await house.begin()
    await house.serve()
    answer = await ask(house, dialect, headers={"authorization": BAD_KEYS[bad], "x-none": "1"})
    assert answer.status_code == 401
    assert error_of(dialect, answer.content)
    assert answer.headers["x-request-id"].startswith("req_")
    assert house.sandbox.requests == 0
    assert not await house.rows()


BAD_BODIES: dict[str, tuple[bytes, set[int]]] = {
    "not json": (b"this is not json", {400}),
    "cut": (b'{"model": "sandbox/chat", "mess', {400}),
    "array": (b"[]", {400}),
    "number": (b"7", {400}),
    "empty": (b"", {400}),
    "deep": (b'{"model":"sandbox/chat","messages":' + b"[" * 5000 + b"]" * 5000 + b"}", {400}),
    "wrong type": (b'{"model":"sandbox/chat","messages":"hi","contents":7,"max_tokens":5}', {400}),
    "duplicate": (b'{"model":"sandbox/chat","model":"x","contents":[],"contents":[]}', {400}),
    "not utf-8": (b'{"model":"sandbox/\xff","contents":"\xff\xfe"}', {400}),
    "large": (b'{"model":"' + b"x" * (4 * 1024 * 1024) + b'"}', {413}),
}


@each_dialect
@pytest.mark.parametrize("bad", BAD_BODIES)
async def test_a_bad_body_is_refused_in_the_dialect(house: House, dialect: str, bad: str) -> None:
    await house.begin()
    await house.serve()
    path, _ = call(dialect, "sandbox/chat", "x")
    body, statuses = BAD_BODIES[bad]
    answer = await house.client.post(path, content=body, headers=house.headers(**{"content-type": "application/json"}))
    assert answer.status_code in statuses, answer.text
    error = error_of(dialect, answer.content)
    assert error["message"]
    assert "Traceback" not in answer.text
    assert house.sandbox.requests == 0
    again = await ask(house, dialect)
    assert again.status_code == 200


@each_dialect
async def test_an_unknown_model_and_an_unpriced_one(house: House, dialect: str) -> None:
    await house.begin()
    await house.serve()
    unknown = await ask(house, dialect, model="nobody/knows")
    assert unknown.status_code == 404
    assert error_of(dialect, unknown.content)
    unpriced = await ask(house, dialect, model="sandbox/not-priced")
    assert unpriced.status_code == 404
    assert "ruxa price set sandbox/not-priced" in unpriced.text
    rows = await house.rows(2)
    assert [(row["status"], row["amount_micros"], row["model"]) for row in rows] == [(404, 0, ""), (404, 0, "")]


@each_dialect
async def test_an_unknown_path_is_told_in_the_dialect(house: House, dialect: str) -> None:
    await house.begin()
    await house.serve()
    path = {"openai_chat": "/v1/chats", "anthropic_messages": "/v1/messages/x", "gemini_generate": "/v1beta/x"}
    answer = await house.client.post(path[dialect], json={}, headers=house.headers())
    assert answer.status_code == 404
    assert error_of(dialect, answer.content)


async def test_limits_answer_429_with_the_dialects_names(house: House) -> None:
    await house.begin(requests_per_minute=2)
    await house.serve()
    for dialect, left in (("openai_chat", "1"), ("anthropic_messages", "0")):
        answer = await ask(house, dialect)
        assert answer.status_code == 200, answer.text
        assert answer.headers["ratelimit-limit"] == "2"
        assert answer.headers["ratelimit-remaining"] == left
    names = {
        "openai_chat": "x-ratelimit-remaining-requests",
        "anthropic_messages": "anthropic-ratelimit-requests-remaining",
        "gemini_generate": "ratelimit-remaining",
    }
    for dialect, name in names.items():
        answer = await ask(house, dialect)
        assert answer.status_code == 429
        assert 1 <= int(answer.headers["retry-after"]) <= 60
        assert answer.headers[name] == "0"
        assert error_of(dialect, answer.content)
    assert [row["status"] for row in await house.rows(5)] == [200, 200, 429, 429, 429]


async def test_tokens_per_minute_and_concurrency(house: House) -> None:
    await house.begin(tokens_per_minute=300)
    await house.serve()
    answer = await ask(house, "openai_chat", "[[tokens=400]] " + "word " * 100)
    assert answer.status_code == 200
    answer = await ask(house, "openai_chat")
    assert answer.status_code == 429
    assert "tokens" in answer.text
    _, narrow = await house.key(concurrency=1)
    headers = {"authorization": f"Bearer {narrow}"}
    slow = asyncio.create_task(ask(house, "openai_chat", "[[delay-ms=400]] x", headers=headers))
    await asyncio.sleep(0.15)
    assert (await ask(house, "openai_chat", headers=headers)).status_code == 429
    assert (await slow).status_code == 200
    assert (await ask(house, "openai_chat", headers=headers)).status_code == 200


async def test_scopes_models_and_test_keys(house: House) -> None:
    await house.begin()
    await house.serve()
    _, embeds = await house.key(scopes=("embeddings",))
    answer = await ask(house, "openai_chat", headers={"authorization": f"Bearer {embeds}"})
    assert answer.status_code == 403
    _, narrow = await house.key(models=("sandbox/embedding",))
    answer = await ask(house, "openai_chat", headers={"authorization": f"Bearer {narrow}"})
    assert answer.status_code == 403
    listed = await house.client.get("/v1/models", headers={"authorization": f"Bearer {narrow}"})
    assert [card["id"] for card in listed.json()["data"]] == ["sandbox/embedding"]
    _, wide = await house.key(models=("sandbox/*",))
    assert (await ask(house, "openai_chat", headers={"authorization": f"Bearer {wide}"})).status_code == 200
    _, test = await house.key(livemode=False)
    assert (await ask(house, "openai_chat", headers={"authorization": f"Bearer {test}"})).status_code == 200


async def test_model_lists_have_three_shapes(house: House) -> None:
    await house.begin()
    await house.serve()
    openai = (await house.client.get("/v1/models", headers=house.headers())).json()
    assert openai["object"] == "list"
    anthropic = await house.client.get("/v1/models", headers=house.headers(**{"anthropic-version": "2023-06-01"}))
    assert anthropic.json()["data"][0]["display_name"]
    gemini = (await house.client.get("/v1beta/models?pageSize=100", headers=house.headers())).json()
    assert "models/sandbox/chat" in [model["name"] for model in gemini["models"]]
    assert "sandbox/chat" in [card["id"] for card in openai["data"]]
    one = await house.client.get("/v1/models/sandbox/chat", headers=house.headers())
    assert one.json()["id"] == "sandbox/chat"
    none = await house.client.get("/v1/models/nothing", headers=house.headers())
    assert none.status_code == 404
    assert (await house.client.get("/v1/models")).status_code == 401
    plain = await house.client.get("/api/v1/models", headers=house.headers())
    assert {"sandbox/chat", "sandbox/embedding"} <= {model["model"] for model in plain.json()["models"]}
    assert not await house.rows()


async def test_a_revoked_key_ends_within_two_seconds(house: House) -> None:
    await house.begin()
    await house.serve()
    assert (await ask(house, "openai_chat")).status_code == 200
    await house.revoke(house.key_id)
    for _ in range(40):
        answer = await ask(house, "openai_chat")
        if answer.status_code == 401:
            break
        await asyncio.sleep(0.05)
    assert answer.status_code == 401


async def test_a_revoked_key_ends_without_the_notice_too(house: House) -> None:
    await house.begin()
    await house.serve()
    assert (await ask(house, "openai_chat")).status_code == 200
    house.pipeline._snapshot.notice = None
    await house.notices.close()
    await house.revoke(house.key_id)
    await asyncio.sleep(1.9)
    assert (await ask(house, "openai_chat")).status_code == 401


async def test_an_unknown_key_costs_one_query_in_two_seconds(house: House) -> None:
    await house.begin()
    await house.serve()
    asked = 0
    find = house.pipeline._snapshot._find

    async def counting(hashed: bytes) -> Any:
        nonlocal asked
        asked += 1
        return await find(hashed)

    house.pipeline._snapshot._find = counting
    foreign = {"authorization": "Bearer some-key-of-another-platform-1234"}
    for _ in range(20):
        assert (await ask(house, "openai_chat", headers=foreign)).status_code == 401
    assert asked == 1


@each_dialect
@streamed_or_not
async def test_402_when_the_money_ends(house: House, dialect: str, stream: bool) -> None:
    await house.begin(credit_micros=3000)
    await house.serve()
    statuses: list[int] = []
    for _ in range(40):
        answer = await ask(house, dialect, "[[tokens=100]] " + "word " * 20, stream=stream)
        statuses.append(answer.status_code)
        if answer.status_code == 402:
            break
    assert statuses[0] == 200
    assert statuses[-1] == 402, statuses
    assert error_of(dialect, answer.content)["message"]
    assert answer.headers["x-should-retry"] == "false"
    rows = await house.rows(len(statuses))
    assert 1000 < sum(row["amount_micros"] for row in rows) <= 3000
    await house.stop()
    assert not house.proofs()


async def test_low_balance_lowers_the_cap_and_says_so(house: House) -> None:
    await house.begin(credit_micros=2000)
    await house.serve()
    answer = await ask(house, "openai_chat", "[[echo]] x", max_tokens=4000)
    assert answer.status_code == 200
    cap = int(answer.headers["ruxa-output-cap"])
    assert 16 <= cap < 4000
    assert house.sandbox.last is not None
    assert json.loads(house.sandbox.last.body)["max_tokens"] == cap
    answer = await ask(house, "openai_chat", "x", max_tokens=20)
    assert "ruxa-output-cap" not in answer.headers


async def test_a_stream_that_passes_its_hold_is_charged_in_full(house: House) -> None:
    await house.begin(credit_micros=5_000_000)
    await house.serve()
    house.sql("UPDATE access.organisation SET output_tokens_default = 16 WHERE id = %s", house.organisation_id)
    answer = await ask(house, "openai_chat", "[[tokens=3000]] x", stream=True)
    row = await house.row(answer.headers["x-request-id"])
    assert row["output_tokens"] >= 3000
    assert row["waived_micros"] == 0
    assert row["amount_micros"] > row["hold_micros"]
    await house.stop()
    assert not house.proofs()


ALLOWED = {
    "openai_chat": {"host", "user-agent", "content-type", "accept", "authorization", "content-length"},
    "anthropic_messages": {
        "host",
        "user-agent",
        "content-type",
        "accept",
        "authorization",
        "content-length",
        "anthropic-version",
        "anthropic-beta",
    },
    "gemini_generate": {"host", "user-agent", "content-type", "accept", "authorization", "content-length"},
}


@each_dialect
async def test_only_the_allow_list_of_headers_reaches_the_provider(house: House, dialect: str) -> None:
    await house.begin()
    await house.serve()
    private = {
        "x-stainless-os": "Linux",
        "cookie": "session=canary-cookie",
        "x-forwarded-for": "203.0.113.9",
        "forwarded": "for=203.0.113.9",
        "traceparent": "00-canary",
        "baggage": "canary",
        "accept-language": "tlh",
        "origin": "https://canary.example",
        "referer": "https://canary.example/page",
        "openai-organization": "org-canary",
        "openai-project": "proj-canary",
        "user-agent": "canary-agent/1.0",
        "x-goog-user-project": "canary",
        "x-custom-canary": "1",
        "anthropic-version": "2023-06-01",
    }
    answer = await ask(house, dialect, headers=house.headers(**private))
    assert answer.status_code == 200, answer.text
    names = {name for name, _ in house.sandbox.raw_headers}
    assert names <= ALLOWED[dialect]
    sent = json.dumps(house.sandbox.raw_headers)
    assert "canary" not in sent.replace("upstream-secret-canary", "")
    assert "203.0.113.9" not in sent
    assert house.secret not in sent
    assert house.secret not in house.sandbox.last.path + json.dumps(house.sandbox.last.query)


@each_dialect
async def test_content_passes_byte_for_byte_and_identities_do_not(house: House, dialect: str) -> None:
    await house.begin()
    await house.serve()
    text = 'é 漢字 🦊 \\u00e9 \\" {"a": 1.0, "b":1e2, "c":9007199254740993} \u2028'
    content = {
        "openai_chat": b'[ {"role":"user", "content":[{"type":"text","text":%b},{"type":"future","x":[1.0,1e2]}]} ]',
        "anthropic_messages": b'[ {"role":"user", "content":[{"type":"text","text":%b},{"type":"future","x":[1.0]}]} ]',
        "gemini_generate": b'[ {"role":"user", "parts":[{"text":%b},{"futurePart":{"x":[1.0,1e2]}}]} ]',
    }[dialect] % json.dumps(text).encode()
    rest = {
        "openai_chat": b'{"model":"sandbox/chat","messages":%b,"user":"anna@example.org"}',
        "anthropic_messages": (
            b'{"model":"sandbox/chat","max_tokens":50,"messages":%b,"metadata":{"user_id":"anna@example.org"}}'
        ),
        "gemini_generate": b'{"contents":%b}',
    }[dialect]
    path, _ = call(dialect, "sandbox/chat", "x")
    answer = await house.client.post(path, content=rest % content, headers=house.headers())
    assert house.sandbox.last is not None, answer.text
    assert content in house.sandbox.last.body
    assert b"anna@example.org" not in house.sandbox.last.body
    if dialect == "gemini_generate":
        return
    assert b'"rxp' in house.sandbox.last.body
    stands = house.sandbox.last.body
    more = {"user": "anna@example.org"} if dialect == "openai_chat" else {"metadata": {"user_id": "anna@example.org"}}
    answer = await ask(house, dialect, **more)
    assert answer.headers["ruxa-privacy"] == ("user" if dialect == "openai_chat" else "metadata")
    assert "ruxa-lossy" not in answer.headers
    pseudonym = stands[stands.index(b'"rxp') :][:31]
    assert pseudonym in house.sandbox.last.body  # the same within the quarter


async def test_unknown_fields_are_dropped_and_named_or_refused(house: House) -> None:
    await house.begin()
    await house.serve()
    answer = await ask(house, "openai_chat", future_knob=7)
    if "ruxa-lossy" in answer.headers:
        assert answer.headers["ruxa-lossy"] == "future_knob"
        assert b"future_knob" not in house.sandbox.last.body
        assert (await house.row(answer.headers["x-request-id"]))["lossy"] == ["future_knob"]
        strict = await ask(house, "openai_chat", future_knob=7, headers=house.headers(**{"ruxa-strict": "true"}))
        assert strict.status_code == 400
        assert "future_knob" in strict.text
        refusals = [fields["code"] for event, fields in house.told.events if event == "call.refused"]
        assert refusals == ["lossy"]
        assert "call.failed" not in house.told.names()
    else:
        raise AssertionError(answer.text)


async def test_inline_cost_and_server_timing_on_request(house: House) -> None:
    await house.begin()
    await house.serve()
    headers = house.headers(**{"ruxa-inline": "true", "ruxa-timing": "true"})
    answer = await ask(house, "openai_chat", stream=True, headers=headers)
    row = await house.row(answer.headers["x-request-id"])
    comment = f": ruxa-cost-micros {row['amount_micros']}\n"
    assert comment in answer.text
    assert answer.text.index(comment) < answer.text.index("[DONE]")
    assert answer.text.endswith("data: [DONE]\n\n")
    assert "plan;dur=" in answer.headers["server-timing"]
    assert "server-timing" not in (await ask(house, "openai_chat")).headers


@each_dialect
async def test_inline_cost_breaks_no_sdk(house: House, dialect: str) -> None:
    """google-genai takes an SSE comment for a broken answer, so a Gemini stream has none."""
    await house.begin()
    await house.serve()
    answer = await ask(house, dialect, stream=True, headers=house.headers(**{"ruxa-inline": "true"}))
    assert ends_well(dialect, answer.content), answer.text
    comments = [line for line in answer.text.splitlines() if line.startswith(":")]
    assert [line.split()[1] for line in comments] == (
        [] if dialect == "gemini_generate" else ["ruxa-cost-micros", "ruxa-receipt"]
    )


async def test_usage_is_read_from_streams_that_did_not_ask(house: House) -> None:
    await house.begin()
    await house.serve()
    answer = await ask(house, "openai_chat", "[[tokens=12]] x", stream=True)
    assert '"usage":{' not in answer.text.replace(" ", "")
    row = await house.row(answer.headers["x-request-id"])
    assert row["usage_source"] == "provider"
    assert row["amount_micros"] > 0
    asked = await ask(house, "openai_chat", "x", stream=True, stream_options={"include_usage": True})
    assert '"usage":{' in asked.text.replace(" ", "")


async def test_health_readiness_and_metrics(house: House) -> None:
    await house.begin()
    await house.serve()
    assert (await house.client.get("/healthz")).json() == {"alive": True}
    ready = await house.client.get("/readyz")
    assert ready.json()["ready"] is True, ready.text
    await ask(house, "openai_chat")
    await ask(house, "openai_chat", model="x/y")
    text = (await house.client.get("/metrics")).text
    assert 'ruxa_calls_total{dialect="openai_chat",status="200"} 1' in text
    assert 'ruxa_calls_total{dialect="openai_chat",status="404"} 1' in text
    assert "ruxa_in_flight 0" in text
    assert "ruxa_database_up 1" in text
    assert (await house.client.get("/nothing/here")).status_code == 404
    assert (await house.client.head("/")).status_code == 200
    for path in ("/healthz", "/readyz", "/metrics"):
        refused = await house.client.post(path, content=b"x")
        assert refused.status_code == 405
        assert refused.headers["allow"] == "GET, HEAD"
        assert refused.json()["error"]["type"] == "method_not_allowed"
        assert (await house.client.head(path)).status_code == 200


async def test_errors_outside_the_dialects_have_the_shape_of_the_api(house: House) -> None:
    await house.begin()
    await house.serve()
    nothing = await house.client.get("/nothing/here")
    unknown = await house.client.get("/api/v1/models", headers={"authorization": "Bearer nothing-that-we-know"})
    keyless = await house.client.get("/api/v1/models")
    for answer, status, kind in (
        (nothing, 404, "unknown_path"),
        (unknown, 401, "invalid_api_key"),
        (keyless, 401, "missing_api_key"),
    ):
        body = answer.json()
        assert answer.status_code == status
        assert body.pop("message")
        assert body == {
            "code": status,
            "data": None,
            "error": {"type": kind, "param": None, "docUrl": "/docs/api#errors"},
            "requestId": answer.headers["x-request-id"],
        }


@each_dialect
@pytest.mark.parametrize("size", [0, 300_000], ids=["small", "large"])
async def test_a_compressed_body_is_a_415(house: House, dialect: str, size: int) -> None:
    await house.begin()
    await house.serve()
    assert (await ask(house, dialect)).status_code == 200
    path, _ = call(dialect, "sandbox/chat", "x")
    body = gzip.compress(b"{}") + bytes(size)
    answer = await house.client.post(path, content=body, headers=house.headers(**{"content-encoding": "gzip"}))
    assert answer.status_code == 415
    assert "Content-Encoding" in error_of(dialect, answer.content)["message"]
    plain = await ask(house, dialect, headers=house.headers(**{"content-encoding": "identity"}))
    assert plain.status_code == 200


async def test_two_different_keys_are_refused_and_a_filler_is_not(house: House) -> None:
    await house.begin()
    await house.serve()
    _, other = await house.key()
    twice = await ask(house, "anthropic_messages", headers=house.headers(**{"x-api-key": other}))
    assert twice.status_code == 401
    assert "Two different API keys" in twice.text
    for filler in ("unused", house.secret):
        for name in ("x-api-key", "x-goog-api-key"):
            answer = await ask(house, "openai_chat", headers=house.headers(**{name: filler}))
            assert answer.status_code == 200
    swapped = {"authorization": "Bearer unused", "x-api-key": house.secret}
    assert (await ask(house, "openai_chat", headers=swapped)).status_code == 200


async def test_metrics_of_a_live_installation_need_the_token(house: House) -> None:
    await house.begin()
    await house.serve(live=True, metrics_token="metrics-token")
    assert (await house.client.get("/metrics")).status_code == 401
    wrong = await house.client.get("/metrics", headers={"authorization": "Bearer nothing"})
    assert wrong.status_code == 401
    right = await house.client.get("/metrics", headers={"authorization": "Bearer metrics-token"})
    assert right.status_code == 200


async def test_a_large_prompt_passes_whole(house: House) -> None:
    await house.begin()
    await house.serve()
    answer = await ask(house, "anthropic_messages", "word " * 300_000)
    assert answer.status_code == 200, answer.text
    assert house.sandbox.last.body.count(b"word ") == 300_000


@each_dialect
async def test_two_hundred_levels_pass_and_one_more_is_a_clear_400(house: House, dialect: str) -> None:
    await house.begin()
    await house.serve()
    path, body = call(dialect, "sandbox/chat", "x")
    (turns,) = (body[name] for name in ("messages", "contents") if name in body)
    turns[0]["unknown"] = "deep"
    for levels, status in ((197, 200), (198, 400)):  # the body, the list and the turn are three
        text = json.dumps(body).replace('"deep"', "[" * levels + "]" * levels)
        answer = await house.client.post(
            path, content=text, headers=house.headers(**{"content-type": "application/json"})
        )
        assert answer.status_code == status, answer.text
        if status == 400:
            assert "at most 200" in error_of(dialect, answer.content)["message"]


async def test_the_model_list_wants_a_living_key_and_never_goes_to_the_console(house: House) -> None:
    await house.begin()
    await house.serve()
    house.pipeline._console = Pages(up=True)
    assert (await house.client.get("/api/v1/models")).status_code == 401
    assert (await house.client.get("/sign-in")).text == "a page"
    _, secret = await house.key(expires_at=house.database.clock.now() + timedelta(seconds=1.5))
    theirs = {"authorization": f"Bearer {secret}"}
    assert (await house.client.get("/api/v1/models", headers=theirs)).status_code == 200
    await asyncio.sleep(1.6)
    late = await house.client.get("/api/v1/models", headers=theirs)
    assert (late.status_code, late.json()["error"]["type"]) == (401, "expired_api_key")


class Pages:
    """A console that has pages, or none yet."""

    def __init__(self, *, up: bool) -> None:
        self.up = up

    def __call__(self, request: Request, reply: Reply) -> None:
        reply.send(200, b"content-type: text/plain\r\n", b"a page")

    async def answers(self) -> bool:
        return self.up


async def test_ready_only_once_pages_come(house: House) -> None:
    await house.begin()
    await house.serve()
    pages = house.pipeline._console = Pages(up=False)
    answer = await house.client.get("/readyz")
    assert (answer.status_code, answer.json()["checks"]["console"]) == (503, False)
    assert (await ask(house, "openai_chat")).status_code == 200, "calls don't wait for pages"
    pages.up = True
    answer = await house.client.get("/readyz")
    assert (answer.status_code, answer.json()["checks"]["console"]) == (200, True)


async def test_a_row_that_is_lost_on_its_way_to_the_database_is_proven(house: House) -> None:
    """The journal closed four calls and the flusher drops one, as a fault of ours might: the proof tells."""
    await house.begin()
    await house.serve()
    await ask(house, "openai_chat")
    await house.rows(1)
    assert not house.proofs()
    flusher = house.pipeline._flusher
    async with flusher._flushing:
        for _ in range(3):
            await ask(house, "openai_chat", model="x/y")
        segment, _, _ = flusher._waiting.popleft()
        segment.rows -= 1
    await house.stop()
    assert list(house.proofs()) == ["I16 every journaled call has its row or a named refusal"]
