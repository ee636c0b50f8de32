"""Responses kept by the house: gone on from with every provider, shown, deleted, never seen by another key (D13)."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from openai.types.responses import Response

from fixtures_gateway import House
from ruxa.dialects.openai_responses import kept as shapes
from ruxa.egress.sandbox.server import Server
from ruxa.gateway.plan import WAYS
from ruxa.kernel import bounds
from ruxa.kernel.settings import ModelSettings, ProviderSettings
from ruxa.ledger import prices
from ruxa.privacy.content import items
from ruxa.privacy.responses import kept

SPEAK = {"or": "openai_responses", "am": "anthropic_messages"}
WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOL: Any = {"type": "function", "name": "get_weather", "parameters": WEATHER, "strict": False}


async def vendors(house: House, **wish: Any) -> Server:
    """Two providers, one that is relayed to and one that is not, both played by one sandbox."""
    await house.begin(scope="live", **wish)
    async with house.operator.work() as work:
        for name in SPEAK:
            rates = prices.rates(2_000_000, 6_000_000, input_tokens_max=100_000, output_tokens_max=2_000)
            await prices.put(work, f"{name}/chat", rates, source="test")
    sandbox = Server(0)
    await sandbox.listen("127.0.0.1", 0)
    house.closing(sandbox.close)
    await house.serve(
        providers={
            name: ProviderSettings(base_url=f"http://127.0.0.1:{sandbox.port}/v1", dialect=dialect, key="env:KEY")
            for name, dialect in SPEAK.items()
        },
        models={f"{name}/chat": ModelSettings(upstream_model="sandbox/chat", ways=tuple(WAYS)) for name in SPEAK},
    )
    return sandbox


def sent(sandbox: Server) -> dict[str, Any]:
    """The last body that the provider got."""
    assert sandbox.last is not None
    return json.loads(sandbox.last.body)


def client_of(house: House, secret: str = "") -> openai.AsyncOpenAI:
    url = f"http://127.0.0.1:{house.port}/v1"
    client = openai.AsyncOpenAI(api_key=secret or house.secret, base_url=url, max_retries=0)
    house.closing(client.close)
    return client


async def answer(client: openai.AsyncOpenAI, *, stream: bool = False, **asked: Any) -> Response:
    made: Any = client.responses
    if not stream:
        return await made.create(**asked)
    last: Any = None
    async for event in await made.create(stream=True, **asked):
        last = event
    assert last.type == "response.completed"
    return last.response


async def refused(client: openai.AsyncOpenAI, previous: str, model: str = "or/chat") -> str:
    with pytest.raises(openai.BadRequestError) as caught:
        await answer(client, model=model, input="x", previous_response_id=previous)
    assert caught.value.param == "previous_response_id"
    assert caught.value.code == "previous_response_not_found"
    return caught.value.message


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("vendor", SPEAK)
async def test_a_conversation_goes_on_from_what_was_kept(house: House, vendor: str, stream: bool) -> None:
    sandbox = await vendors(house, store_days=2)
    client = client_of(house)
    asked: Any = {
        "model": f"{vendor}/chat", "tools": [TOOL], "reasoning": {"effort": "low", "summary": "auto"},
        "include": ["reasoning.encrypted_content"], "stream": stream,
    }  # fmt: skip
    stream = asked.pop("stream")
    first = await answer(
        client, stream=stream, input="get weather in Paris", instructions="One.", metadata={"a": "b"}, **asked
    )
    call: Any = next(item for item in first.output if item.type == "function_call")
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "21 degrees"}
    second = await answer(
        client, stream=stream, input=[result], previous_response_id=first.id, instructions="Two.", **asked
    )
    assert "get_weather returned: 21 degrees" in second.output_text
    body = sent(sandbox)
    assert "previous_response_id" not in body
    told = json.dumps(body)
    assert "get weather in Paris" in told
    assert "Two." in told
    assert "One." not in told, "instructions are not carried over"
    if vendor == "or":
        assert body["store"] is False
        assert "metadata" not in body
        assert [item.get("type", "message") for item in body["input"]] == [
            "message", "reasoning", "function_call", "function_call_output",
        ]  # fmt: skip
    else:
        assert second.previous_response_id == first.id
        assert first.id.startswith("resp_")
        assert len(first.id) == 37
    third = await answer(client, stream=stream, input="and now?", previous_response_id=second.id, **asked)
    assert "You wrote 2 words: and now?" in third.output_text
    assert "21 degrees" in json.dumps(sent(sandbox))
    shown = await client.responses.retrieve(second.id)
    assert shown.previous_response_id == first.id
    assert (await client.responses.retrieve(first.id)).metadata == {"a": "b"}
    # A store's other words: nothing readable lies there.
    rows = house.sql("SELECT id, until, mark, state_sealed, key_id FROM content.response ORDER BY id")
    assert len(rows) == 3
    assert all(row[4] == house.key_id for row in rows)
    assert all(first.id.encode() not in bytes(row[2]) + bytes(row[3]) for row in rows)
    await house.stop()
    assert not house.proofs()


async def test_what_is_kept_is_what_was_said(house: House) -> None:
    await vendors(house)
    client = client_of(house)
    silent = await answer(client, model="am/chat", input="x")
    told = await refused(client, silent.id)
    assert "store_days" in told
    assert "'store': true" in told
    with pytest.raises(openai.NotFoundError):
        await client.responses.retrieve(silent.id)
    said = await answer(client, model="am/chat", input="x", store=True)
    assert (await client.responses.retrieve(said.id)).output_text == said.output_text
    assert [row[0] for row in house.sql("SELECT until - ruxa.today() FROM content.response")] == [bounds.CONTENT_DAYS]
    _, secret = await house.key(store_days=3)
    other = client_of(house, secret)
    never = await answer(other, model="am/chat", input="x", store=False)
    await refused(other, never.id)
    await refused(other, said.id)  # another key's
    with pytest.raises(openai.NotFoundError):
        await other.responses.retrieve(said.id)
    with pytest.raises(openai.NotFoundError):
        await other.responses.delete(said.id)
    await refused(client, "resp_" + "0" * 32)
    await refused(client, "no id of ours")
    _, strict = await house.key(store_days=3, conditions=("zero-retention",))
    none = client_of(house, strict)
    with pytest.raises(openai.APIStatusError):  # no provider here promises to keep nothing
        await answer(none, model="am/chat", input="x", store=True)


async def test_shown_listed_and_deleted(house: House) -> None:
    await vendors(house, store_days=1)
    client = client_of(house)
    first = await answer(
        client,
        model="am/chat",
        input=[{"role": "developer", "content": "Be kind."}, {"role": "user", "content": "one"}],
        user="u-1",
    )
    second = await answer(client, model="or/chat", input="two", previous_response_id=first.id)
    page = await client.responses.input_items.list(second.id)
    assert [item.type for item in page.data] == ["message"] * 4
    texts = [item.content[0].text for item in page.data]  # type: ignore[union-attr]
    assert texts[0] == "two"
    assert texts[2:] == ["one", "Be kind."]
    oldest: list[Any] = []
    async for item in client.responses.input_items.list(second.id, order="asc", limit=1):
        oldest.append(item)
    assert [item.content[0].text for item in oldest] == texts[::-1]
    assert len({item.id for item in oldest}) == 4
    with pytest.raises(openai.BadRequestError):
        await client.responses.input_items.list(second.id, after="nothing")
    with pytest.raises(openai.BadRequestError, match="background"):
        await client.responses.cancel(first.id)
    shown = await house.client.get(f"/v1/responses/{first.id}", headers=house.headers())
    assert shown.json()["user"] == "u-1"
    assert shown.headers["x-request-id"].startswith("req_")
    streamed = await house.client.get(f"/v1/responses/{first.id}?stream=true", headers=house.headers())
    assert (streamed.status_code, streamed.json()["error"]["param"]) == (400, "stream")
    await client.responses.delete(first.id)
    await refused(client, first.id)
    with pytest.raises(openai.NotFoundError):
        await client.responses.delete(first.id)
    assert (await client.responses.retrieve(second.id)).id == second.id
    charged = [row for row in await house.rows(2) if row["amount_micros"]]
    assert len(charged) == 2, "what is shown is no call"


async def test_a_long_one_lies_in_object_storage_and_goes_with_it(house: House) -> None:
    await vendors(house, store_days=1)
    client = client_of(house)
    long = await answer(client, model="am/chat", input="word " * 20_000)
    await client.responses.retrieve(long.id)
    assert house.sql("SELECT state_object IS NOT NULL, size_bytes > 65536 FROM content.response") == [(True, True)]
    after = await answer(client, model="am/chat", input="and?", previous_response_id=long.id)
    assert "You wrote 1 words: and?" in after.output_text
    ((name,),) = house.sql("SELECT state_object FROM content.response ORDER BY id LIMIT 1")
    assert (house.place / "objects" / name).exists()
    await client.responses.delete(long.id)
    assert not (house.place / "objects" / name).exists()
    assert house.sql("SELECT count(*) FROM content.response WHERE state_object = %s", name) == [(0,)]


@pytest.mark.parametrize("whole", [False, True], ids=["key", "organisation"])
async def test_deleted_with_the_content_of_the_key_or_the_organisation(house: House, whole: bool) -> None:
    await vendors(house, store_days=1)
    client = client_of(house)
    first = await answer(client, model="am/chat", input="x")
    await client.responses.retrieve(first.id)
    async with house.console.work() as work:
        if whole:
            await items.delete_of_organisation(work, house.vault, house.objects, house.organisation_id)
        else:
            await items.delete_of_key(work, house.objects, house.organisation_id, house.key_id)
    await refused(client, first.id)
    assert house.sql("SELECT count(*) FROM content.response") == [(0,)]


async def test_found_for_holds_and_exports(house: House) -> None:
    await vendors(house, store_days=1)
    client = client_of(house)
    first = await answer(client, model="am/chat", input="to be held")
    await client.responses.retrieve(first.id)
    ((until, call_id),) = house.sql("SELECT until, id FROM content.response")
    worker = await house.database.pool("ruxa_worker")
    async with worker.work() as work:
        (held,) = await kept.of_day(work, until, [house.organisation_id])
        assert await kept.of_organisation(work, call_id, house.organisation_id) == held
        assert await kept.of_organisation(work, call_id, call_id) is None
    state = await kept.read(house.vault, house.objects, held, purpose="legal")
    assert state is not None
    assert b"to be held" in state
    assert shapes.shown(state, "req_1").status == 200


async def test_a_call_is_not_slowed_nor_failed_by_keeping(house: House) -> None:
    await vendors(house, store_days=1)
    house.sql("REVOKE INSERT ON content.response FROM ruxa_gateway")
    client = client_of(house)
    first = await answer(client, model="am/chat", input="x")
    assert first.status == "completed"
    await refused(client, first.id)
    assert ("content.dropped") in house.told.names()
