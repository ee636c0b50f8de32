"""Files by Google's own SDK: uploaded whole and in pieces, listed, shown, deleted, and in calls of every vendor."""

from __future__ import annotations

import hashlib
import io
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from google import genai
from google.genai import errors, types

from dialect_calls import error_of
from fixtures_gateway import House
from ruxa.egress.sandbox.server import Server
from ruxa.gateway.plan import WAYS
from ruxa.kernel import bounds, ids
from ruxa.kernel.settings import ModelSettings, ProviderSettings
from ruxa.ledger import prices
from ruxa.privacy.content import items

CANARY = b"quincecanaryfile"
PDF = b"%PDF-1.4 " + CANARY
SPEAK = {"gg": "gemini_generate", "am": "anthropic_messages", "or": "openai_responses"}


@pytest.fixture
async def sandbox(house: House) -> Server:
    await house.begin(scope="live")
    await house.vault.create_subject(house.organisation_id, ["content"])
    await house.vault.create_day_keys("content", items.DAYS_AHEAD)
    async with house.operator.work() as work:
        for name in SPEAK:
            rates = prices.rates(2_000_000, 6_000_000, input_tokens_max=100_000, output_tokens_max=2_000)
            await prices.put(work, f"{name}/chat", rates, source="test")
    sandbox = Server(0)
    await sandbox.listen("127.0.0.1", 0)
    house.closing(sandbox.close)
    url = f"http://127.0.0.1:{sandbox.port}"
    await house.serve(
        providers={
            name: ProviderSettings(base_url=f"{url}/{'v1beta' if name == 'gg' else 'v1'}", dialect=spoken, key="env:K")
            for name, spoken in SPEAK.items()
        },
        models={f"{name}/chat": ModelSettings(upstream_model="sandbox/chat", ways=tuple(WAYS)) for name in SPEAK},
        body_bytes_max=32 * 1024 * 1024,
    )
    return sandbox


@pytest.fixture
async def sdk(house: House, sandbox: Server) -> AsyncIterator[Any]:
    async with httpx.AsyncClient(trust_env=False) as http:
        options = types.HttpOptions(base_url=f"http://127.0.0.1:{house.port}", httpx_async_client=http)
        async with genai.Client(api_key=house.secret, http_options=options).aio as client:
            yield client


def field_of(answer: httpx.Response) -> str | None:
    """The field that an error names."""
    details = error_of("gemini_generate", answer.content)["details"]
    return next((one["fieldViolations"][0]["field"] for one in details if "fieldViolations" in one), None)


def shown(data: bytes, media_type: str) -> str:
    return f"{media_type}, {len(data)} bytes, sha256 {hashlib.sha256(data).hexdigest()[:16]}"


async def test_uploaded_listed_shown_used_and_deleted(house: House, sandbox: Server, sdk: Any) -> None:
    made = await sdk.files.upload(
        file=io.BytesIO(PDF), config={"mime_type": "application/pdf", "display_name": "mein bericht"}
    )
    assert made.name.startswith("files/")
    assert (made.display_name, made.mime_type, made.size_bytes) == ("mein bericht", "application/pdf", len(PDF))
    assert (made.state, made.source) == (types.FileState.ACTIVE, types.FileSource.UPLOADED)
    assert made.expiration_time > made.create_time
    assert made.uri == f"http://127.0.0.1:{house.port}/v1beta/{made.name}"
    assert (await sdk.files.get(name=made.name)).uri == made.uri
    # Sealed, and nothing is left of the upload itself.
    rows = house.sql("SELECT to_jsonb(f)::text FROM content.file f")
    assert len(rows) == 1
    assert CANARY.hex() not in rows[0][0]
    assert "bericht" not in rows[0][0]
    # In a call of every vendor, as the SDK itself puts it there, whole, streamed and counted.
    for name in SPEAK:
        sandbox.last = None
        asked: Any = {"model": f"{name}/chat", "contents": ["What is it?", made]}
        answer = await sdk.models.generate_content(**asked)
        assert shown(PDF, "application/pdf") in answer.text, name
        assert sandbox.last is not None
        assert made.name.encode() not in sandbox.last.body, "no provider hears of our files"
        pieces = [piece.text or "" async for piece in await sdk.models.generate_content_stream(**asked)]
        assert shown(PDF, "application/pdf") in "".join(pieces)
        counted = await sdk.models.count_tokens(**asked)
        assert counted.total_tokens > 10
    again = await sdk.files.upload(file=io.BytesIO(b"x"), config={"mime_type": "text/plain"})
    names = [file.name async for file in await sdk.files.list(config={"page_size": 1})]
    assert names == [again.name, made.name]
    await sdk.files.delete(name=made.name)
    with pytest.raises(errors.ClientError, match="no such file"):
        await sdk.files.get(name=made.name)
    with pytest.raises(errors.ClientError, match="no file"):
        await sdk.models.generate_content(model="gg/chat", contents=["x", made])
    # OpenAI's endpoints know the same files.
    listed = (await house.client.get("/v1/files", headers=house.headers())).json()["data"]
    assert [one["id"] for one in listed] == [f"file_{again.name.removeprefix('files/')}"]


async def test_a_large_file_comes_in_pieces_and_is_whole(house: House, sdk: Any) -> None:
    data = bytes(range(256)) * (9 * 4096)  # 9 MiB: Google's SDK cuts it once
    made = await sdk.files.upload(file=io.BytesIO(data), config={"mime_type": "application/octet-stream"})
    assert made.size_bytes == len(data)
    got = await house.client.get(f"/v1/files/file_{made.name.removeprefix('files/')}/content", headers=house.headers())
    assert hashlib.sha256(got.content).digest() == hashlib.sha256(data).digest()
    assert house.sql("SELECT count(*) FROM content.file") == [(1,)]
    assert len([path for path in (house.place / "objects").rglob("*") if path.is_file()]) == 1


async def begin(house: House, size: int, **headers: str) -> str:
    """The address of an upload."""
    answer = await house.client.post(
        "/upload/v1beta/files",
        json={"file": {"display_name": "a"}},
        headers={
            **house.headers(),
            "x-goog-upload-protocol": "resumable",
            "x-goog-upload-command": "start",
            "x-goog-upload-header-content-length": str(size),
            "x-goog-upload-header-content-type": "text/plain",
            **headers,
        },
    )
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-goog-upload-status"] == "active"
    return answer.headers["x-goog-upload-url"]


async def go_on(house: House, url: str, command: str, offset: int, data: bytes = b"") -> httpx.Response:
    return await house.client.post(
        url, content=data, headers={"x-goog-upload-command": command, "x-goog-upload-offset": str(offset)}
    )


async def test_an_upload_that_broke_goes_on_where_it_was(house: House, sandbox: Server) -> None:
    piece = bytes(bounds.UPLOAD_PIECE_BYTES_MIN)
    url = await begin(house, len(piece) + 3)
    assert (await go_on(house, url, "query", 0)).headers["x-goog-upload-size-received"] == "0"
    assert (await go_on(house, url, "upload", 0, piece)).headers["x-goog-upload-status"] == "active"
    assert (await go_on(house, url, "query", 0)).headers["x-goog-upload-size-received"] == str(len(piece))
    again = await go_on(house, url, "upload", 0, piece)  # its answer was lost
    assert (again.status_code, field_of(again)) == (400, "X-Goog-Upload-Offset")
    # What is under way is no file yet: nobody can list, show, name or use it.
    hexed = house.sql("SELECT id FROM content.file ORDER BY id LIMIT 1")[0][0].hex
    listed = await house.client.get("/v1beta/files", headers=house.headers())
    assert listed.json() == {}
    assert (await house.client.get(f"/v1beta/files/{hexed}", headers=house.headers())).status_code == 404
    assert (await house.client.get(f"/v1/files/file_{hexed}", headers=house.headers())).status_code == 404
    done = await go_on(house, url, "upload, finalize", len(piece), b"abc")
    assert done.headers["x-goog-upload-status"] == "final"
    assert done.json()["file"]["sizeBytes"] == str(len(piece) + 3)
    assert (await go_on(house, url, "query", 0)).status_code == 404
    # Left by its sender, it goes at once; left by everybody, within an hour.
    url = await begin(house, 10)
    assert (await go_on(house, url, "cancel", 0)).headers["x-goog-upload-status"] == "cancelled"
    assert house.sql("SELECT count(*) FROM content.file WHERE purpose = 'upload'") == [(0,)]
    await begin(house, 10)
    ends = "SELECT expires_at - ruxa.now() <= interval '1 hour' FROM content.file WHERE purpose = 'upload'"
    assert house.sql(ends) == [(True,)]


async def test_what_an_upload_must_be(house: House, sandbox: Server) -> None:
    url = await begin(house, 3)
    tries = [
        ("upload, finalize", 0, b"toolong", 413, None),
        ("upload, finalize", 0, b"ab", 400, "X-Goog-Upload-Command"),
        ("upload", 0, b"ab", 400, "X-Goog-Upload-Command"),
        ("upload, finalize", 1, b"ab", 400, "X-Goog-Upload-Offset"),
        ("fly", 0, b"", 400, "X-Goog-Upload-Command"),
    ]
    for command, offset, data, status, param in tries:
        answer = await go_on(house, url, command, offset, data)
        assert (answer.status_code, field_of(answer)) == (status, param), (command, answer.text)
    assert (await go_on(house, url, "upload, finalize", 0, b"abc")).status_code == 200
    start = {"x-goog-upload-protocol": "resumable", "x-goog-upload-command": "start"}
    size = {"x-goog-upload-header-content-length": "3"}
    for headers, body, status in (
        ({"x-goog-upload-command": "start"} | size, b"", 400),
        (start, b"", 400),
        (start | {"x-goog-upload-header-content-length": str(bounds.FILE_BYTES_MAX + 1)}, b"", 413),
        (start | size, b'{"file":{"name":"files/mine"}}', 400),
        (start | size, b'{"file":7}', 400),
        (start | size, b"[]", 400),
    ):
        answer = await house.client.post("/upload/v1beta/files", content=body, headers=house.headers(**headers))
        assert answer.status_code == status, answer.text
        assert answer.json()["error"]["status"] == "INVALID_ARGUMENT"


async def test_an_address_is_of_one_upload_and_of_a_living_key(house: House, sandbox: Server) -> None:
    url = await begin(house, 3)
    ticket = httpx.URL(url).params["upload_id"]
    forged = [ticket[:-1] + ("0" if ticket[-1] != "0" else "1"), ticket[:64], "", "zz", "f" * 96]
    for said in forged:
        answer = await house.client.post(
            f"/upload/v1beta/files?upload_id={said}", headers={"x-goog-upload-command": "query"}
        )
        assert answer.status_code in (401, 404), (said, answer.text)
    no_key = await house.client.post("/upload/v1beta/files", headers={"x-goog-upload-command": "start"})
    assert no_key.status_code == 401
    _, other = await house.key(scopes=("chat",))
    refused = await house.client.get("/v1beta/files", headers={"x-goog-api-key": other})
    assert refused.status_code == 403
    await house.revoke(house.key_id)
    late = await go_on(house, url, "upload, finalize", 0, b"abc")
    assert late.status_code == 404
    assert house.sql("SELECT count(*) FROM content.file WHERE purpose = 'user_data'") == [(0,)]


async def test_a_file_that_is_not_ours_is_refused_by_the_path_of_its_field(house: House, sandbox: Server) -> None:
    missing = ids.fresh().hex
    for name in SPEAK:
        for uri, code in (
            (f"http://127.0.0.1:{house.port}/v1beta/files/{missing}", "FILE_NOT_FOUND"),
            (f"files/{missing}", "FILE_NOT_FOUND"),
            ("https://generativelanguage.googleapis.com/v1beta/files/abc-123", ""),
            ("gs://bucket/secret.pdf", ""),
            ("http://169.254.169.254/latest/meta-data", ""),
            ("http://127.0.0.1:5432/", ""),
        ):
            parts = [{"text": "x"}, {"fileData": {"fileUri": uri, "mimeType": "application/pdf"}}]
            answer = await house.client.post(
                f"/v1beta/models/{name}/chat:generateContent",
                json={"contents": [{"role": "user", "parts": parts}]},
                headers=house.headers(),
            )
            assert 400 <= answer.status_code < 500, (name, uri, answer.text)
            field = field_of(answer) or ""
            assert field.startswith("contents[0]"), (name, uri, answer.text)
            if code:
                assert field == "contents[0].parts[1].file_data.file_uri"
                assert code in answer.text
    assert sandbox.requests == 0, "nothing was asked, whoever's address it was"
    assert all(row["amount_micros"] == 0 for row in await house.rows())
