"""Bad days besides the faults of ``test_fault_matrix``: callers who leave, canaries, a full disk, no database."""

from __future__ import annotations

import asyncio
import json
import resource
import signal
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from dialect_calls import DIALECTS, call, ends_well, error_of
from fixtures_gateway import House
from ruxa.egress.http import Deadlines
from ruxa.gateway import attempt, breaker, meter
from ruxa.kernel import bounds
from ruxa.kernel.settings import ProviderSettings

pytestmark = pytest.mark.usefixtures("no_days")

each_dialect = pytest.mark.parametrize("dialect", DIALECTS)
streamed_or_not = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
QUICK = Deadlines(connect_s=1, first_byte_s=0.6, between_s=0.6, whole_s=5)


async def ask(house: House, dialect: str, text: str, *, stream: bool = False, **headers: str) -> httpx.Response:
    path, body = call(dialect, "sandbox/chat", text, stream=stream)
    return await house.client.post(path, json=body, headers=house.headers(**headers))


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempt, "BACKOFF_S", (0.01, 0.01))


@pytest.mark.parametrize("fault", ["fail-500", "fail-first-frame-error", "fail-mid-stream-death", "tokens=5"])
@streamed_or_not
async def test_only_an_answer_has_a_first_token(house: House, stream: bool, fault: str, no_waiting: None) -> None:
    await house.begin()
    await house.serve()
    answer = await ask(house, "openai_chat", f"[[{fault}]] x", stream=stream)
    row = await house.row(answer.headers["x-request-id"])
    assert (row["first_token_ms"] is not None) is (answer.status_code == 200)


@each_dialect
@pytest.mark.parametrize("fault", ["late-usage", "one-byte-chunks", "slow-first-token"])
async def test_odd_but_complete_streams_are_charged(house: House, dialect: str, fault: str) -> None:
    await house.begin()
    await house.serve()
    answer = await ask(house, dialect, f"[[fail-{fault}]] [[tokens=5]] né 漢", stream=True)
    assert answer.status_code == 200
    assert ends_well(dialect, answer.content), answer.text
    assert "\ufffd" not in answer.text
    row = await house.row(answer.headers["x-request-id"])
    assert row["amount_micros"] > 0
    assert row["usage_source"] == "provider"


@each_dialect
@streamed_or_not
async def test_without_the_providers_figures_usage_is_counted_and_says_so(
    house: House, dialect: str, stream: bool
) -> None:
    await house.begin()
    await house.serve()
    answer = await ask(house, dialect, "[[fail-no-usage]] [[tokens=40]] " + "word " * 50, stream=stream)
    assert answer.status_code == 200, answer.text
    row = await house.row(answer.headers["x-request-id"])
    if row["usage_source"] == "counted":
        assert row["output_tokens"] > 0
        assert row["amount_micros"] > 0
    else:  # the dialect's reader knows some figures from elsewhere in the answer
        assert row["usage_source"] == "provider"


@pytest.mark.parametrize("fault", ["429", "503", "529"])
async def test_a_busy_provider_is_asked_again_on_the_one_target(house: House, fault: str, no_waiting: None) -> None:
    await house.begin()
    await house.serve()
    attempts: list[int] = []
    patience = attempt.PATIENCE_S
    for patient in (False, True):
        attempt.PATIENCE_S = 60 if patient else patience
        house.pipeline._deadlines = QUICK
        before = house.sandbox.requests
        task = asyncio.create_task(ask(house, "openai_chat", f"[[fail-{fault}]] x"))
        if patient:
            await asyncio.sleep(0.3)
            task.cancel()
        else:
            answer = await task
            assert answer.headers["retry-after"] == "7"
            row = await house.row(answer.headers["x-request-id"])
            attempts.append(row["attempts"])
        assert house.sandbox.requests == before + 1
    attempt.PATIENCE_S = patience
    assert attempts == [1]  # seven seconds are longer than a caller is kept waiting


async def test_a_provider_that_can_not_be_reached_is_tried_three_times(house: House, no_waiting: None) -> None:
    await house.begin()
    await house.serve(sandbox_url="http://127.0.0.1:9")
    answer = await ask(house, "openai_chat", "x")
    assert answer.status_code == 503
    row = await house.row(answer.headers["x-request-id"])
    assert row["attempts"] == 3
    assert row["amount_micros"] == 0


async def test_what_may_have_been_done_is_not_tried_again(house: House) -> None:
    """The provider takes the request and hangs up without a word."""
    taken = 0

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal taken
        await reader.readuntil(b"\r\n\r\n")
        taken += 1
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    await house.begin()
    await house.serve(sandbox_url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    answer = await ask(house, "openai_chat", "x")
    assert answer.status_code == 502
    assert error_of("openai_chat", answer.content)["code"] == "outcome_unknown"
    assert answer.headers["x-should-retry"] == "false"
    assert taken == 1
    server.close()


async def test_the_breaker_gives_a_failing_target_a_pause(
    house: House, monkeypatch: pytest.MonkeyPatch, no_waiting: None
) -> None:
    monkeypatch.setattr(breaker, "OPEN_S", 0.5)
    await house.begin()
    await house.serve()
    for _ in range(breaker.FAILURES_MIN):
        assert (await ask(house, "openai_chat", "[[fail-500]] x")).status_code == 502
    before = house.sandbox.requests
    answer = await ask(house, "openai_chat", "x")
    assert answer.status_code == 503
    assert error_of("openai_chat", answer.content)["code"] == "target_paused"
    assert int(answer.headers["retry-after"]) >= 1
    assert house.sandbox.requests == before
    await asyncio.sleep(0.6)
    assert (await ask(house, "openai_chat", "x")).status_code == 200


@pytest.mark.parametrize("commit_s", [10.0, 0.05])
async def test_streams_that_begin_too_late_trip_the_breaker(
    house: House, monkeypatch: pytest.MonkeyPatch, commit_s: float
) -> None:
    """Whether the headers went out before or with the first token."""
    monkeypatch.setattr(bounds, "SLOW_FIRST_TOKEN_S", 0.1)
    monkeypatch.setattr(bounds, "COMMIT_AFTER_S", commit_s)
    slow_s = 0.2

    async def begin_late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
        await asyncio.sleep(slow_s)
        writer.write(
            b'data: {"choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
        )
        writer.close()

    server = await asyncio.start_server(begin_late, "127.0.0.1", 0)
    await house.begin()
    await house.serve(sandbox_url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")

    async def asked() -> int:
        path, body = call("openai_chat", "sandbox/chat", "x", stream=True)
        return (await house.client.post(path, json=body, headers=house.headers())).status_code

    assert await asyncio.gather(*(asked() for _ in range(breaker.FAILURES_MIN - 1))) == [200] * (
        breaker.FAILURES_MIN - 1
    )
    slow_s = 0.0
    assert await asked() == 200, "in time: not held against it"
    slow_s = 0.2
    assert await asked() == 200
    assert await asked() == 503
    server.close()


@each_dialect
async def test_callers_mistakes_and_departures_never_trip_the_breaker(house: House, dialect: str) -> None:
    await house.begin()
    await house.serve()
    for _ in range(breaker.FAILURES_MIN + 2):
        await ask(house, dialect, "[[fail-400]] x")
    assert (await ask(house, dialect, "x")).status_code == 200


@each_dialect
async def test_who_leaves_a_stream_stops_the_provider_and_pays_for_what_was_made(house: House, dialect: str) -> None:
    await house.begin()
    await house.serve()
    path, body = call(dialect, "sandbox/chat", "[[tokens=500]] [[pace-ms=20]] " + "word " * 40, stream=True)
    async with house.client.stream("POST", path, json=body, headers=house.headers()) as answer:
        request_id = answer.headers["x-request-id"]
        got = 0
        async for _ in answer.aiter_bytes():
            got += 1
            if got > 15:
                break
    assert house.sandbox.cancelled == 0
    for _ in range(20):
        await asyncio.sleep(0.05)
        if house.sandbox.cancelled:
            break
    assert house.sandbox.cancelled == 1
    row = await house.row(request_id)
    assert row["status"] == 499
    assert row["error_code"] == "caller_left"
    assert row["usage_source"] == "counted"
    assert 5 <= row["output_tokens"] <= 100
    assert 0 < row["amount_micros"] <= row["hold_micros"]
    await house.stop()
    assert not house.proofs()


@streamed_or_not
async def test_what_our_own_stop_cuts_is_free(house: House, stream: bool) -> None:
    """The caller is there until the drain's deadline cuts it off: it is no caller who left (D22)."""
    await house.begin()
    await house.serve()
    told = "[[tokens=500]] [[pace-ms=20]] x" if stream else "[[fail-hang]] x"
    asked = asyncio.ensure_future(ask(house, "openai_chat", told, stream=stream))
    while not house.sandbox.requests:
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.2)
    assert not await house.door.drain(0.1)
    with pytest.raises(httpx.HTTPError):
        await asked
    (row,) = await house.rows(1)
    assert (row["status"], row["error_code"], row["amount_micros"]) == (503, "stopping", 0)
    await house.stop()
    assert not house.proofs()


async def test_who_leaves_after_the_providers_figures_pays_those(house: House) -> None:
    """The stream has told its usage and hangs before its last event."""
    told = (
        b'data: {"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"a b c d"}}]}\n\n'
        b'data: {"id":"c","object":"chat.completion.chunk",'
        b'"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
        b'data: {"id":"c","object":"chat.completion.chunk","choices":[],'
        b'"usage":{"prompt_tokens":7,"completion_tokens":1,"total_tokens":8}}\n\n'
    )
    left = asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n" + told)
        while await reader.read(1 << 16):
            pass
        left.set()
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    await house.begin()
    await house.serve(sandbox_url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    path, body = call("openai_chat", "sandbox/chat", "word " * 40, stream=True)
    body["stream_options"] = {"include_usage": True}
    async with house.client.stream("POST", path, json=body, headers=house.headers()) as answer:
        async for piece in answer.aiter_bytes():
            if b"total_tokens" in piece:
                break
    await asyncio.wait_for(left.wait(), 1)
    row = await house.row(answer.headers["x-request-id"])
    assert (row["status"], row["usage_source"]) == (499, "provider")
    assert (row["input_tokens"], row["output_tokens"]) == (7, 1)
    assert 0 < row["amount_micros"] <= row["hold_micros"]
    server.close()


async def test_who_leaves_while_a_complete_answer_is_being_covered_pays_it_whole(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.begin()
    await house.serve()
    reached = asyncio.Event()

    async def slowly(*args: object) -> None:
        reached.set()
        await asyncio.sleep(0.5)

    monkeypatch.setattr(meter, "fits", lambda *args: False)
    monkeypatch.setattr(meter, "extend", slowly)
    path, body = call("openai_chat", "sandbox/chat", "[[tokens=20]] x", stream=True)
    async with house.client.stream("POST", path, json=body, headers=house.headers()) as answer:
        await reached.wait()
    row = await house.row(answer.headers["x-request-id"])
    assert (row["status"], row["usage_source"]) == (200, "provider")
    assert row["output_tokens"] >= 20
    await house.stop()
    assert not house.proofs()


@each_dialect
async def test_who_leaves_a_whole_call_stops_the_provider(house: House, dialect: str) -> None:
    await house.begin()
    await house.serve()
    path, body = call(dialect, "sandbox/chat", "[[delay-ms=5000]] " + "word " * 40)
    with pytest.raises(httpx.ReadTimeout):
        await house.client.post(path, json=body, headers=house.headers(), timeout=0.3)
    for _ in range(20):
        await asyncio.sleep(0.05)
        if house.sandbox.cancelled:
            break
    assert house.sandbox.cancelled == 1
    [row] = await house.rows(1)
    assert (row["status"], row["error_code"], row["output_tokens"]) == (499, "caller_left", 0)
    await house.stop()
    assert not house.proofs()


async def test_a_slow_caller_slows_the_provider_and_loses_nothing(house: House) -> None:
    await house.begin()
    await house.serve()
    path, body = call("openai_chat", "sandbox/chat", "[[tokens=60000]] x", stream=True)
    _, writer = reader, _ = await asyncio.open_connection("127.0.0.1", house.port, limit=1 << 12)
    writer = _
    raw = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {house.secret}\r\ncontent-length: {len(raw)}\r\n\r\n"
    )
    writer.write(head.encode() + raw)
    await asyncio.sleep(1.0)
    assert house.sandbox.open == 1  # the provider waits too
    received = bytearray()
    while b"[DONE]" not in received[-200:]:
        piece = await reader.read(1 << 16)
        assert piece
        received += piece
    writer.close()
    [row] = await house.rows(1)
    assert row["output_tokens"] == 60_000
    assert row["usage_source"] == "provider"


@each_dialect
async def test_no_canary_reaches_a_log_an_error_or_the_journal(house: House, dialect: str, capfd: Any) -> None:
    canaries = ["canary-prompt-7391", "canary.person@example.org", "upstream-secret-canary"]
    await house.begin()
    await house.serve(deadlines=QUICK)
    canaries += [house.secret, house.secret[8:30]]
    text = f"{canaries[0]} {canaries[1]} [[tokens=4]]"
    errors = b""
    for stream in (False, True):
        await ask(house, dialect, text, stream=stream)
        for fault in ("400", "401", "500", "garbage", "mid-stream-death"):
            errors += (await ask(house, dialect, f"[[fail-{fault}]] " + "x", stream=stream)).content
    path, body = call(dialect, "sandbox/chat", text)
    errors += (await house.client.post(f"{path}?key={house.secret}", json={"model": canaries[0]})).content
    errors += (await house.client.post(path, content=b"{" + text.encode(), headers=house.headers())).content
    errors += (await house.client.post(path, json=body, headers={"authorization": f"Bearer {house.secret}x"})).content
    raw = b"".join(file.read_bytes() for file in (house.place / "journal").rglob("*") if file.is_file())
    assert len(raw) > 1000
    told = json.dumps(house.told.events).encode()
    out, err = capfd.readouterr()
    rows = json.dumps(await house.rows()).encode()
    for canary in canaries:
        for name, sink in (("journal", raw), ("signals", told), ("errors", errors), ("rows", rows)):
            assert canary.encode() not in sink, (canary, name)
        assert canary not in out + err
    assert house.organisation_ref.bytes not in raw
    assert house.key_id.bytes not in raw
    assert str(house.key_id).encode() not in raw


@pytest.fixture
def full_disk() -> Iterator[Any]:
    """``full_disk(True)``: the system refuses every file that is larger than those there are, as a full disk does."""
    old_limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    old_signal = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    def fill(full: bool) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 14, old_limit[1]) if full else old_limit)

    yield fill
    resource.setrlimit(resource.RLIMIT_FSIZE, old_limit)
    signal.signal(signal.SIGXFSZ, old_signal)


async def test_with_a_full_disk_new_calls_get_503_and_running_ones_end_well(house: House, full_disk: Any) -> None:
    await house.begin()
    await house.serve(segment_bytes=16 * 1024)
    path, body = call("openai_chat", "sandbox/chat", "[[tokens=40]] [[pace-ms=90]] x", stream=True)
    async with house.client.stream("POST", path, json=body, headers=house.headers()) as running:
        await anext(pieces := running.aiter_bytes())
        full_disk(True)
        house.pipeline._journal.segment_bytes = 1 << 20
        statuses: list[int] = []
        for _ in range(200):
            statuses.append((await ask(house, "openai_chat", "x")).status_code)
            if statuses[-1] == 503 and (await house.client.get("/readyz")).status_code == 503:
                break
        assert statuses[-1] == 503
        rest = b"".join([piece async for piece in pieces])
    full_disk(False)
    house.pipeline._journal.segment_bytes = 1 << 14
    assert rest.endswith(b"data: [DONE]\n\n")
    for _ in range(60):
        await asyncio.sleep(0.1)
        answer = await ask(house, "openai_chat", "x")
        if answer.status_code == 200:
            break
    assert answer.status_code == 200
    assert (await house.row(running.headers["x-request-id"]))["amount_micros"] > 0
    await house.row(answer.headers["x-request-id"])
    paid = [row for row in await house.rows() if row["amount_micros"]]
    assert len(paid) == statuses.count(200) + 2
    await house.stop()
    assert not house.proofs()


async def test_an_unreachable_or_unconfigured_provider_never_shows_its_key(house: House, no_waiting: None) -> None:
    from ruxa.ledger import prices

    await house.begin(scope="live")
    async with house.operator.work() as work:
        await prices.put(work, "elsewhere/m", prices.rates(1000, 1000), source="test")
    elsewhere = ProviderSettings(base_url="http://127.0.0.1:9/v1", key="env:X", dialect="openai_chat")
    await house.serve(providers={"elsewhere": elsewhere})
    path, body = call("openai_chat", "elsewhere/m", "x")
    answer = await house.client.post(path, json=body, headers=house.headers())
    assert answer.status_code == 503
    assert "upstream-secret-canary" not in answer.text + str(answer.headers) + json.dumps(house.told.events)
