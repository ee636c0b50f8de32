"""Copies of content: what a caller sent and got, when a key asks for it; never at the cost of the call."""

from __future__ import annotations

import asyncio
import json
from datetime import date
from typing import Any
from uuid import UUID

import pytest

from fixtures_gateway import House, Told
from ruxa.access import keys
from ruxa.access.grants import Grant
from ruxa.gateway import copies
from ruxa.gateway.copies import Copies
from ruxa.gateway.framing import Request
from ruxa.gateway.metrics import Metrics
from ruxa.kernel import bounds, ids
from ruxa.kernel.clock import monotonic
from ruxa.kernel.errors import Conflict, NotFound, Unavailable
from ruxa.privacy.content import items
from ruxa.privacy.content.items import Content, Item

CHAT = "/v1/chat/completions"
PROMPT = "canary-prompt-83c1"
TODAY = date(2026, 11, 24)


def chat(text: str = PROMPT, **more: Any) -> dict[str, Any]:
    return {"model": "sandbox/chat", "messages": [{"role": "user", "content": text}], "max_tokens": 50, **more}


async def kept(house: House, request_id: str) -> tuple[Content, dict[str, bytes | None]]:
    """What is stored of a call within two seconds, opened."""
    call = ids.read("req", request_id)
    for _ in range(40):
        async with house.console.work() as work:
            content = await items.find(work, call)
            if content is not None:
                break
        await asyncio.sleep(0.05)
    else:
        raise AssertionError(f"nothing is stored of {request_id}: {house.told.events[-5:]}")
    opened: dict[str, bytes | None] = {}
    async with house.console.work() as work:
        for part, purpose in (("request", "provide"), ("answer", "provide"), ("refusal", "support")):
            found = await items.read(work, house.vault, house.objects, content, part, purpose=purpose)  # type: ignore[arg-type]
            opened[part] = None if found is None else found.open(purpose)
    return content, opened


async def nothing_kept(house: House) -> None:
    """A second later there is no row."""
    await asyncio.sleep(1)
    assert house.sql("SELECT count(*) FROM content.item") == [(0,)]


async def test_keeps_the_bytes_that_were_sent_and_got(house: House) -> None:
    await house.begin(store_days=7)
    await house.serve()
    sent = json.dumps(chat(), indent=1).encode()
    headers = house.headers(**{"content-type": "application/json; charset=utf-8"})
    answer = await house.client.post(CHAT, content=sent, headers=headers)
    assert answer.status_code == 200
    content, opened = await kept(house, answer.headers["x-request-id"])
    assert opened == {"request": sent, "answer": answer.content, "refusal": None}
    assert (content.request.media_type, content.answer.media_type) == ("application/json", "application/json")
    assert (content.organisation_id, content.key_id) == (house.organisation_id, house.key_id)
    assert content.until == items.until_of(content.call_id, 7)


async def test_keeps_a_stream_as_its_frames(house: House) -> None:
    await house.begin(store_days=1)
    await house.serve()
    async with house.client.stream("POST", CHAT, json=chat(stream=True), headers=house.headers()) as answer:
        got = b"".join([piece async for piece in answer.aiter_raw()])
        request_id = answer.headers["x-request-id"]
    content, opened = await kept(house, request_id)
    assert content.answer.media_type == "text/event-stream"
    assert opened["answer"] == got
    assert got.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (
            "/v1/messages",
            {"model": "sandbox/chat", "max_tokens": 20, "messages": [{"role": "user", "content": PROMPT}]},
        ),
        ("/v1beta/models/sandbox/chat:generateContent", {"contents": [{"parts": [{"text": PROMPT}]}]}),
        ("/v1/embeddings", {"model": "sandbox/embedding", "input": PROMPT}),
        ("/v1/messages/count_tokens", {"model": "sandbox/chat", "messages": [{"role": "user", "content": PROMPT}]}),
    ],
)
async def test_keeps_every_dialects_calls(house: House, path: str, body: dict[str, Any]) -> None:
    await house.begin(store_days=3)
    await house.serve()
    answer = await house.client.post(path, json=body, headers=house.headers())
    assert answer.status_code == 200, answer.text
    _, opened = await kept(house, answer.headers["x-request-id"])
    assert opened["answer"] == answer.content
    assert PROMPT.encode() in (opened["request"] or b"")


async def test_a_key_that_stores_nothing_leaves_nothing(house: House) -> None:
    await house.begin()
    await house.serve()
    answer = await house.client.post(CHAT, json=chat(), headers=house.headers())
    assert answer.status_code == 200
    assert len(house.pipeline._copies) == 0
    await nothing_kept(house)


async def test_what_is_refused_before_it_is_sent_is_not_kept(house: House) -> None:
    await house.begin(store_days=7)
    await house.serve()
    for body in (chat(model="sandbox/no-such"), chat(n=0.5), {"model": "sandbox/chat"}):
        answer = await house.client.post(CHAT, json=body, headers=house.headers())
        assert 400 <= answer.status_code < 500, answer.text
    await nothing_kept(house)


async def test_errors_are_kept_as_the_caller_got_them_and_the_providers_words_apart(house: House) -> None:
    await house.begin(store_days=7)
    await house.serve()
    answer = await house.client.post(CHAT, json=chat(model="sandbox/fail-401"), headers=house.headers())
    assert answer.status_code >= 400
    content, opened = await kept(house, answer.headers["x-request-id"])
    assert opened["answer"] == answer.content
    assert content.refused
    assert opened["refusal"]
    assert opened["refusal"] not in answer.content
    died = await house.client.post(
        CHAT, json=chat(model="sandbox/fail-mid-stream-death", stream=True), headers=house.headers()
    )
    _, opened = await kept(house, died.headers["x-request-id"])
    assert opened["answer"] == died.content


async def test_who_leaves_leaves_what_came_until_then(house: House) -> None:
    await house.begin(store_days=7)
    await house.serve()
    body = chat(model="sandbox/fail-hang", stream=True)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(house.client.post(CHAT, json=body, headers=house.headers()), 0.5)
    [row] = await house.rows(1)
    assert row["error_code"] == "caller_left"
    content, opened = await kept(house, ids.text("req", UUID(row["id"])))
    assert content.answer.state == "none"
    assert PROMPT.encode() in (opened["request"] or b"")


async def test_a_side_over_the_limit_is_not_kept_and_says_so(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "CONTENT_BYTES_MAX", 4000)
    await house.begin(store_days=7)
    await house.serve()
    answer = await house.client.post(CHAT, json=chat("x" * 5000), headers=house.headers())
    content, opened = await kept(house, answer.headers["x-request-id"])
    assert (content.request.state, content.answer.state) == ("too_large", "stored")
    assert content.request.size > 5000
    assert (opened["request"], opened["answer"]) == (None, answer.content)
    monkeypatch.setattr(bounds, "CONTENT_BYTES_MAX", 200)
    answer = await house.client.post(CHAT, json=chat(stream=True), headers=house.headers())
    content, opened = await kept(house, answer.headers["x-request-id"])
    assert (content.answer.state, content.answer.size, opened["answer"]) == ("too_large", len(answer.content), None)
    await house.pipeline._copies.flush()
    assert house.pipeline._copies.held == 0


async def test_another_number_of_days_counts_within_two_seconds(house: House) -> None:
    await house.begin()
    await house.serve()

    async def change(days: int) -> int:
        """The key's days before; afterwards calls until one shows the new ones, two seconds at most."""
        async with house.console.work() as work:
            before = await keys.store(work, house.vault, house.organisation_id, house.key_id, days)
        until = monotonic() + 2
        while monotonic() < until:
            began = len(house.pipeline._copies)
            assert (await house.client.post(CHAT, json=chat(), headers=house.headers())).status_code == 200
            if (len(house.pipeline._copies) > began) == (days > 0):
                return before
            await asyncio.sleep(0.05)
        raise AssertionError("the change did not reach the worker")

    assert (await house.client.post(CHAT, json=chat(), headers=house.headers())).status_code == 200
    assert await change(5) == 0
    await house.pipeline._copies.flush()
    assert house.sql("SELECT DISTINCT until - (ruxa.id_time(id) AT TIME ZONE 'UTC')::date FROM content.item") == [(5,)]
    assert await change(0) == 5


async def test_stopping_writes_what_is_complete(house: House) -> None:
    await house.begin(store_days=7)
    await house.serve()
    answer = await house.client.post(CHAT, json=chat(), headers=house.headers())
    await house.stop()
    content, opened = await kept(house, answer.headers["x-request-id"])
    assert (content.answer.state, opened["answer"]) == ("stored", answer.content)


class Away:
    """A keeper whose store is away until it is let back."""

    def __init__(self, fault: Exception, *, sealing: bool) -> None:
        self.fault: Exception | None = fault
        self.sealing = sealing
        self.written: list[tuple[object, ...]] = []
        self.given_up: list[UUID] = []

    async def seal(self, item: Item, *, give_up: bool) -> tuple[object, ...]:
        if give_up:
            self.given_up.append(item.call_id)
        elif self.fault is not None and self.sealing:
            raise self.fault
        return (item.call_id, item.request.data, item.answer.data)

    async def write(self, rows: list[tuple[object, ...]]) -> None:
        if self.fault is not None and not self.sealing:
            raise self.fault
        self.written += rows


class Ended:
    ended = True
    gone = False


def made(keeper: Any) -> tuple[Copies, Told, Metrics]:
    told, metrics = Told(), Metrics()
    return Copies(keeper, today=lambda: TODAY, sink=told, metrics=metrics), told, metrics


def grant(**more: Any) -> Grant:
    values: dict[str, Any] = {
        "key_id": UUID(int=1), "organisation_id": UUID(int=2), "organisation_ref": UUID(int=3), "livemode": True,
        "scopes": frozenset({"chat"}), "models": None, "requests_per_minute": None, "tokens_per_minute": None,
        "concurrency": None, "store_days": 7, "budget_scope": None, "expires_at_ms": None,
        "output_tokens_default": 4096,
    }  # fmt: skip
    return Grant(**values | more)


def call(pile: Copies, body: bytes, answer: bytes, **more: Any) -> bool:
    """One call that is over; whether there was room for its copy."""
    request = Request(b"POST", b"/v1", b"", {}, body, "", False, False)
    copy = pile.begin(ids.at(1_795_000_000_000).int, grant(**more), request, Ended())
    if copy is None:
        return False
    copy.start(b"content-type: text/plain\r\n")
    copy.add(answer)
    return True


@pytest.mark.parametrize("sealing", [True, False])
async def test_waits_within_its_bound_while_the_store_is_away_and_drops_the_rest(
    sealing: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "CONTENT_WAITING_BYTES_MAX", 10_000)
    keeper = Away(Unavailable("away", code="database_away"), sealing=sealing)
    pile, told, metrics = made(keeper)
    fitted = sum(call(pile, b"r" * 1000, b"a" * 1000) for _ in range(20))
    assert fitted == 5
    assert not await pile.flush()
    assert not await pile.flush()
    assert pile.held == 10_000
    assert metrics.values["content_dropped"] == {'reason="full"': 15}
    assert told.events == [("content.dropped", {"reason": "full", "count": 15})]
    keeper.fault = None
    assert await pile.flush()
    assert [row[1:] for row in keeper.written] == [(b"r" * 1000, b"a" * 1000)] * 5
    assert (pile.held, len(pile)) == (0, 0)
    assert call(pile, b"r", b"a")


async def test_an_answer_that_outgrows_the_room_costs_itself_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "CONTENT_WAITING_BYTES_MAX", 3000)
    keeper = Away(Unavailable("away"), sealing=True)
    pile, _, _ = made(keeper)
    request = Request(b"POST", b"/v1", b"", {}, b"r" * 1000, "", False, False)
    copy = pile.begin(ids.at(1_795_000_000_000).int, grant(), request, Ended())
    assert copy is not None
    copy.start(b"")
    for _ in range(5):
        copy.add(b"a" * 600)
    assert pile.held == 1000
    item = copy.item()
    assert (item.request.state, item.answer.state, item.answer.size) == ("stored", "lost", 3000)


async def test_an_object_store_that_is_away_holds_up_large_calls_only(monkeypatch: pytest.MonkeyPatch) -> None:
    class Folderless(Away):
        async def seal(self, item: Item, *, give_up: bool) -> tuple[object, ...]:
            large = max(item.request.size, item.answer.size) > bounds.CONTENT_INLINE_BYTES
            return await super().seal(item, give_up=give_up or not large)

    keeper = Folderless(Unavailable("away", code="storage_away"), sealing=True)
    pile, _, _ = made(keeper)
    for size in (100_000, 10, 100_000, 20):
        assert call(pile, b"r" * size, b"a")
    assert not await pile.flush()
    assert [len(row[1]) for row in keeper.written] == [10, 20]  # type: ignore[arg-type]
    assert len(pile) == 2
    keeper.given_up.clear()
    monkeypatch.setattr(copies, "PATIENCE_S", -1.0)
    await pile.flush()
    assert len(keeper.given_up) == 2
    assert len(pile) == 0


async def test_a_row_that_is_refused_costs_no_other() -> None:
    class Picky(Away):
        async def write(self, rows: list[tuple[object, ...]]) -> None:
            if any(row[1] == b"bad" for row in rows):
                raise Conflict("no partition")
            self.written += rows

    keeper = Picky(Unavailable(""), sealing=False)
    pile, _, metrics = made(keeper)
    for body in (b"one", b"bad", b"two"):
        call(pile, body, b"a")
    assert await pile.flush()
    assert [row[1] for row in keeper.written] == [b"one", b"two"]
    assert metrics.values["content_dropped"] == {'reason="refused"': 1}


@pytest.mark.parametrize(("fault", "days", "why"), [(NotFound("no key"), 7, "no_key"), (Unavailable(""), 1, "over")])
async def test_content_without_a_key_or_a_day_is_dropped_and_told(
    fault: Exception, days: int, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = Away(fault, sealing=True)
    pile, _, metrics = made(keeper)
    call(pile, b"r", b"a", store_days=days)
    if why == "over":
        pile._today = lambda: TODAY.replace(year=2030)
    assert await pile.flush()
    assert metrics.values["content_dropped"] == {f'reason="{why}"': 1}
    assert (pile.held, len(pile)) == (0, 0)


async def test_being_stopped_in_the_middle_loses_nothing() -> None:
    entered = asyncio.Event()

    class Slow(Away):
        async def write(self, rows: list[tuple[object, ...]]) -> None:
            if self.fault is not None:
                entered.set()
                await asyncio.sleep(60)
            self.written += rows

    keeper = Slow(Unavailable(""), sealing=False)
    pile, _, _ = made(keeper)
    call(pile, b"r", b"a")
    running = asyncio.ensure_future(pile.run())
    await asyncio.wait_for(entered.wait(), 5)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    keeper.fault = None
    await pile.close()
    assert len(keeper.written) == 1


async def test_a_store_that_hangs_holds_up_neither_calls_nor_the_stop(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Hanging(Away):
        async def seal(self, item: Item, *, give_up: bool) -> tuple[object, ...]:
            await asyncio.sleep(60)
            return ()

    monkeypatch.setattr(copies, "CLOSE_S", 0.3)
    await house.begin(store_days=7)
    await house.serve(keeper=Hanging(Unavailable(""), sealing=True))
    for _ in range(5):
        assert (await house.client.post(CHAT, json=chat(), headers=house.headers())).status_code == 200
    started = monotonic()
    await house.rows(5)
    await house.stop()
    assert monotonic() - started < 5
    assert ("content.dropped", {"reason": "stopped", "count": 5}) in house.told.events
