"""Files by OpenAI's own SDK: uploaded, listed, read, deleted, sealed, and seen by nobody else."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import openai
import pytest

from fixtures_gateway import House
from ruxa.kernel import bounds, ids
from ruxa.privacy.content import items
from ruxa.privacy.files import kept

CANARY = b"quincecanaryfile"


@pytest.fixture
async def sdk(house: House) -> AsyncIterator[openai.AsyncOpenAI]:
    await house.begin()
    await house.vault.create_subject(house.organisation_id, ["content"])
    await house.vault.create_day_keys("content", items.DAYS_AHEAD)
    await house.serve(body_bytes_max=8 * 1024 * 1024)
    async with openai.AsyncOpenAI(
        api_key=house.secret,
        base_url=f"http://127.0.0.1:{house.port}/v1",
        max_retries=0,
        http_client=httpx.AsyncClient(trust_env=False),
    ) as client:
        yield client


@pytest.mark.parametrize("size", [0, 10, bounds.CONTENT_INLINE_BYTES, bounds.CONTENT_INLINE_BYTES + 1, 3_000_000])
async def test_a_file_comes_back_byte_for_byte_and_lies_sealed(
    house: House, sdk: openai.AsyncOpenAI, size: int
) -> None:
    data = (CANARY * (size // len(CANARY) + 1))[:size]
    made = await sdk.files.create(file=("mein bericht.txt", io.BytesIO(data)), purpose="user_data")
    assert (made.bytes, made.filename, made.purpose, made.object) == (size, "mein bericht.txt", "user_data", "file")
    got = await sdk.files.content(made.id)
    assert got.read() == data
    assert (await sdk.files.retrieve(made.id)).filename == "mein bericht.txt"
    rows = house.sql("SELECT to_jsonb(f)::text FROM content.file f")
    assert len(rows) == 1
    assert CANARY.hex() not in rows[0][0]
    assert "bericht" not in rows[0][0]
    lying = [path for path in (house.place / "objects").rglob("*") if path.is_file()]
    assert len(lying) == (1 if size > bounds.CONTENT_INLINE_BYTES else 0)
    assert not any(CANARY in path.read_bytes() for path in lying)
    gone = await sdk.files.delete(made.id)
    assert gone.deleted
    assert not [path for path in (house.place / "objects").rglob("*") if path.is_file()]
    with pytest.raises(openai.NotFoundError):
        await sdk.files.retrieve(made.id)
    assert house.sql("SELECT count(*) FROM content.file") == [(0,)]


async def test_files_are_listed_page_by_page(house: House, sdk: openai.AsyncOpenAI) -> None:
    made = [await sdk.files.create(file=(f"{n}.jsonl", b"{}"), purpose="batch") for n in range(5)]
    other = await sdk.files.create(file=("a.png", b"x"), purpose="vision")
    found = [one.id async for one in sdk.files.list(limit=2)]
    assert found == [other.id, *(one.id for one in reversed(made))]
    found = [one.id async for one in sdk.files.list(limit=2, order="asc", purpose="batch")]
    assert found == [one.id for one in made]
    assert await house.rows(0) == []  # none of it is a call


async def test_nobody_else_sees_a_file(house: House, sdk: openai.AsyncOpenAI) -> None:
    made = await sdk.files.create(file=("a.txt", b"x"), purpose="user_data")
    _, test_secret = await house.key(livemode=False)
    _, chat_secret = await house.key(scopes=("chat",))
    _, sibling = await house.key()
    for secret, error in ((test_secret, openai.NotFoundError), (chat_secret, openai.PermissionDeniedError)):
        with pytest.raises(error):
            await sdk.with_options(api_key=secret).files.retrieve(made.id)
    assert (await sdk.with_options(api_key=sibling).files.retrieve(made.id)).id == made.id
    for wrong in ("file_" + "0" * 32, "file-abc", "batch_" + made.id[5:]):
        with pytest.raises(openai.NotFoundError):
            await sdk.files.retrieve(wrong)
    assert [one async for one in sdk.with_options(api_key=test_secret).files.list()] == []


async def test_a_file_ends_when_its_caller_chose_or_after_23_days(house: House, sdk: openai.AsyncOpenAI) -> None:
    usual = await sdk.files.create(file=("a.txt", b"x"), purpose="user_data")
    short = await sdk.files.create(
        file=("b.txt", b"y" * 100_000), purpose="user_data", expires_after={"anchor": "created_at", "seconds": 3600}
    )
    longest = await sdk.files.create(
        file=("c.txt", b"x"), purpose="user_data", expires_after={"anchor": "created_at", "seconds": 30 * 86_400}
    )
    assert short.expires_at is not None
    assert abs(short.expires_at - short.created_at - 3600) <= 1
    assert usual.expires_at == longest.expires_at
    assert usual.expires_at is not None
    ends = datetime.fromtimestamp(usual.expires_at, UTC)
    assert timedelta(days=22) <= ends - datetime.fromtimestamp(usual.created_at, UTC) <= timedelta(days=23)
    assert ends.time().isoformat() == "00:00:00"
    for seconds in (3599, 2_592_001):
        with pytest.raises(openai.BadRequestError):
            await sdk.files.create(
                file=("b.txt", b"y"), purpose="user_data", expires_after={"anchor": "created_at", "seconds": seconds}
            )
    house.sql("UPDATE content.file SET expires_at = ruxa.now() WHERE id = %s", ids.read("file", short.id))
    with pytest.raises(openai.NotFoundError):
        await sdk.files.content(short.id)
    worker = await house.database.pool("ruxa_worker")
    assert await kept.end_over(worker, house.objects) == 1
    assert house.sql("SELECT count(*) FROM content.file") == [(2,)]
    assert not [path for path in (house.place / "objects").rglob("*") if path.is_file()]


async def test_what_a_file_must_be(house: House, sdk: openai.AsyncOpenAI) -> None:
    tries: list[tuple[dict[str, Any], str]] = [
        ({"json": {}}, "unsupported_content_type"),
        ({"files": {"file": b"x"}}, "missing_required_parameter"),
        ({"files": {"file": b"x"}, "data": {"purpose": "fine-tune"}}, "invalid_value"),
        ({"data": {"purpose": "batch"}, "files": {"other": b"x"}}, "missing_required_parameter"),
    ]
    for said, code in tries:
        answer = await house.client.post("/v1/files", headers=house.headers(), **said)
        assert (answer.status_code in (400, 415), answer.json()["error"]["code"]) == (True, code)
    answer = await house.client.get("/v1/files?limit=0", headers=house.headers())
    assert answer.json()["error"]["code"] == "invalid_value"
    answer = await house.client.post("/v1/files/file_1", headers=house.headers())
    assert answer.status_code == 405
    answer = await house.client.get("/v1/files")
    assert answer.status_code == 401


async def test_files_go_with_everything_that_an_organisation_keeps(house: House, sdk: openai.AsyncOpenAI) -> None:
    await sdk.files.create(file=("a.txt", b"x" * 100_000), purpose="user_data")
    batch_file = await sdk.files.create(file=("b.jsonl", b'{"custom_id": "1"}'), purpose="batch")
    await sdk.batches.create(input_file_id=batch_file.id, endpoint="/v1/embeddings", completion_window="24h")
    async with house.console.work() as work:
        await items.delete_of_organisation(work, house.vault, house.objects, house.organisation_id)
    for table in ("content.file", "content.batch", "content.batch_line"):
        assert house.sql(f"SELECT count(*) FROM {table}") == [(0,)]
    assert not [path for path in (house.place / "objects").rglob("*") if path.is_file()]


async def test_a_hold_keeps_files_and_copies_them_when_their_day_ends(house: House, sdk: openai.AsyncOpenAI) -> None:
    made = await sdk.files.create(file=("a.txt", b"x"), purpose="user_data")
    house.sql(
        "INSERT INTO privacy.hold (id, scope, subject_id, reason_sealed, basis, owner_id, gagged, ends_at)"
        " VALUES (%s, 'organisation', %s, '\\x00', 'dispute', %s, false, ruxa.now() + interval '10 days')",
        ids.fresh(),
        house.organisation_id,
        ids.fresh(),
    )
    with pytest.raises(openai.ConflictError):
        await sdk.files.delete(made.id)
    worker = await house.database.pool("ruxa_worker")
    until = house.sql("SELECT until FROM content.file")[0][0]
    async with worker.work() as work:
        (file,) = await kept.of_day(work, until, [house.organisation_id])
    body = [piece async for piece in kept.pieces(house.vault, house.objects, file, purpose="legal")]
    assert body == [b"x"]


@pytest.mark.parametrize("endpoint", ["chat", "responses", "messages"])
async def test_a_call_names_a_file_and_the_provider_gets_it(
    house: House, sdk: openai.AsyncOpenAI, endpoint: str
) -> None:
    text = b"%PDF-1.4 quince"
    made = await sdk.files.create(file=("report.pdf", text, "application/pdf"), purpose="user_data")
    chat: dict[str, Any] = {
        "messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": made.id}}]}],
    }
    responses: dict[str, Any] = {
        "input": [{"role": "user", "content": [{"type": "input_file", "file_id": made.id}]}],
    }
    source = {"type": "file", "file_id": made.id}
    messages: dict[str, Any] = {
        "max_tokens": 50,
        "messages": [{"role": "user", "content": [{"type": "document", "source": source}]}],
    }
    path, body = {
        "chat": ("/v1/chat/completions", chat),
        "responses": ("/v1/responses", responses),
        "messages": ("/v1/messages", messages),
    }[endpoint]
    answer = await house.client.post(path, headers=house.headers(), json={"model": "sandbox/chat", **body})
    assert answer.status_code == 200, answer.text
    assert made.id.encode() not in house.sandbox.last.body
    assert base64.b64encode(text) in house.sandbox.last.body
    _, test_secret = await house.key(livemode=False)
    for secret, told in (
        (test_secret, body),
        (house.secret, json.loads(json.dumps(body).replace(made.id, "file_" + "0" * 32))),
    ):
        answer = await house.client.post(
            path, headers={"authorization": f"Bearer {secret}"}, json={"model": "sandbox/chat", **told}
        )
        assert answer.status_code == 400, answer.text
        assert "file_not_found" in answer.text
    _, chat_secret = await house.key(scopes=("chat",))
    answer = await house.client.post(
        path, headers={"authorization": f"Bearer {chat_secret}"}, json={"model": "sandbox/chat", **body}
    )
    assert answer.status_code == 403


async def test_a_last_day_takes_its_files_and_batches_along(house: House, sdk: openai.AsyncOpenAI) -> None:
    made = await sdk.files.create(file=("a.txt", b"x" * 100_000), purpose="user_data")
    file = await sdk.files.create(file=("b.jsonl", b"nonsense"), purpose="batch")
    await sdk.batches.create(input_file_id=file.id, endpoint="/v1/embeddings", completion_window="24h")
    until = house.sql("SELECT until FROM content.file LIMIT 1")[0][0]
    worker = await house.database.pool("ruxa_worker")
    ended = await items.end_days(worker, house.vault, house.objects, until)
    assert ended.objects == 1
    for table in items.TABLES:
        assert house.sql(f"SELECT count(*) FROM {table}") == [(0,)]
    with pytest.raises(openai.NotFoundError):
        await sdk.files.retrieve(made.id)
    with pytest.raises(openai.APIStatusError):  # no key, no file: it is said, not stored in the clear
        await sdk.files.create(file=("a.txt", b"x"), purpose="user_data")
