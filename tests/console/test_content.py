"""Stored content in the console and the API: shown on request and escaped, downloaded, deleted; every act an entry."""

from __future__ import annotations

import asyncio
import re
import tracemalloc
from base64 import b64decode
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from litestar.exceptions import LitestarException
from tests.console.conftest import SAME, Browser, Console, made

from books import Books
from fixtures_access import House, Person
from ruxa.access import keys
from ruxa.access.audit import reading
from ruxa.access.authorize import OPERATOR
from ruxa.access.keys import KeyWish
from ruxa.egress.objects import Objects
from ruxa.kernel import bounds, ids
from ruxa.kernel.sealed import Sealed
from ruxa.privacy.content import items
from ruxa.privacy.content.items import Item, Side
from ruxa.privacy.retention import holds

PROMPT = b'{"messages":[{"role":"user","content":"canary-prompt </pre><script>alert(1)</script>"}]}'
ANSWER = "Zwölf Boxkämpfer, canary-answer".encode()
BINARY = b"\xff\xfe\x00canary"


class Kept:
    """An organisation with a key that stores content, its owner's browser, and calls with content."""

    def __init__(self, console: Console, books: Books, objects: Objects) -> None:
        self.console = console
        self.books = books
        self.objects = objects
        self.house = console.house
        self.browser: Browser
        self.person: Person
        self.organisation = UUID(int=0)
        self.ref = UUID(int=0)
        self.key = UUID(int=0)

    async def begin(self) -> None:
        self.browser, self.person, self.organisation = await self.console.owner()
        self.ref = await self.console.ref(self.organisation)
        self.key, _ = await self.make_key("keeps", store_days=7)
        async with self.house.operator.work() as work:
            await items.prepare(work)

    async def make_key(self, name: str, **wish: Any) -> tuple[UUID, str]:
        async with self.house.console.work() as work:
            key = await keys.create(work, self.house.vault, self.organisation, KeyWish(name=Sealed(name), **wish))
        return key.id, key.secret.open("provide")

    async def call(
        self, request: bytes = PROMPT, answer: bytes = ANSWER, *, days: int = 7, kind: str = "text/plain"
    ) -> str:
        """A call with a usage row and content; its shown id."""
        row = self.books.row(self.ref, None, 0, key_id=self.key)
        await self.books.flush([row])
        item = Item(
            call_id=row.id,
            organisation_id=self.organisation,
            key_id=self.key,
            until=items.until_of(row.id, days),
            request=Side("stored", "application/json", len(request), request),
            answer=Side("stored", kind, len(answer), answer),
            refusal=b"words of the provider",
        )
        sealed = await items.seal(self.house.vault, self.objects, item)
        async with self.books.gateway.work() as work:
            await items.write(work, [sealed])
        return ids.text("req", row.id)

    async def acts(self) -> list[tuple[str, str, str]]:
        """Acts on content in the audit log, newest first: act, outcome, who."""
        async with self.house.operator.work() as work:
            entries = await reading.page(work, self.house.vault, "security", organisation_id=self.organisation)
        found = [entry.fields for entry in entries if entry.fields is not None]
        return [(one.action, one.outcome, one.kind) for one in found if one.action.startswith("content:")]

    async def count(self) -> int:
        async with self.house.operator.work() as work:
            return (await items.count(work, self.organisation))[0]

    async def become(self, role: str) -> None:
        """The owner is something else from now on."""
        async with await psycopg.AsyncConnection.connect(self.house.database.admin_url, autocommit=True) as admin:
            await admin.execute("SET session_replication_role = replica")
            await admin.execute(
                "UPDATE access.membership SET role = %s WHERE organisation_id = %s", (role, self.organisation)
            )


@pytest.fixture
async def kept(house: House, tmp_path: Path) -> Kept:
    objects = Objects.of_folder(tmp_path / "objects")
    console = made(house, objects=objects)
    shelf = Kept(console, await Books.open(house.database), objects)
    await shelf.begin()
    return shelf


async def test_content_is_shown_on_request_only_and_escaped(kept: Kept) -> None:
    call = await kept.call()
    page = (await kept.browser.get(f"/activity/{call}")).text
    assert "canary-prompt" not in page
    assert "canary-answer" not in page
    assert f"{len(PROMPT)} bytes sent, {len(ANSWER)} bytes got" in page
    assert await kept.acts() == []
    page = (await kept.browser.post(f"/activity/{call}", "show_content", 200)).text
    assert "canary-prompt &lt;/pre&gt;&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<script>alert" not in page
    assert "Zwölf Boxkämpfer" in page
    assert "words of the provider" not in page
    assert await kept.acts() == [("content:read", "done", "member")]


async def test_long_content_is_cut_on_the_page_and_whole_in_the_download(kept: Kept) -> None:
    long = ("ä" * 40_000 + "END-canary").encode()
    call = await kept.call(answer=long)
    page = (await kept.browser.post(f"/activity/{call}", "show_content", 200)).text
    assert "END-canary" not in page
    assert page.count("ä") == bounds.CONTENT_SHOWN_BYTES // 2
    assert "Only the beginning is shown" in page
    file = await kept.browser.post(f"/activity/{call}", "download_content", 200, part="answer")
    assert file.content == long
    assert file.headers["content-type"].startswith("application/octet-stream")
    assert file.headers["content-disposition"] == f'attachment; filename="{call}-answer.txt"'
    assert file.headers["x-content-type-options"] == "nosniff"
    assert "no-store" in file.headers["cache-control"]
    assert await kept.acts() == [("content:read", "done", "member")] * 2


async def test_bytes_that_are_no_text_are_not_shown(kept: Kept) -> None:
    call = await kept.call(answer=BINARY, kind="audio/mpeg")
    page = (await kept.browser.post(f"/activity/{call}", "show_content", 200)).text
    assert "This is not text" in page
    assert (await kept.browser.post(f"/activity/{call}", "download_content", 200, part="answer")).content == BINARY


async def test_content_of_a_call_is_deleted_by_its_people(kept: Kept) -> None:
    gone, stays = await kept.call(answer=b"x" * 100_000), await kept.call()
    await kept.browser.get(f"/activity/{gone}")
    await kept.browser.post(f"/activity/{gone}", "delete_content")
    page = (await kept.browser.get(f"/activity/{gone}?done=content_deleted")).text
    assert "The stored content is deleted" in page
    assert "Prompt and answer</h2>" not in page
    await kept.browser.post(f"/activity/{gone}", "show_content", 404)
    assert await kept.objects.list(items.PREFIX) == []
    assert (await kept.browser.api("GET", f"/api/v1/usage/{stays}/content")).json()["content"] is not None
    assert await kept.acts() == [("content:read", "done", "member"), ("content:deleted", "done", "member")]


async def test_who_may_not_see_content_does_not(kept: Kept) -> None:
    call = await kept.call()
    for role in ("viewer", "billing"):
        await kept.become(role)
        page = (await kept.browser.get(f"/activity/{call}")).text
        assert "Your role does not see" in page
        for do in ("show_content", "download_content", "delete_content"):
            await kept.browser.post(f"/activity/{call}", do, 403, part="request")
        await kept.browser.post(f"/keys/{ids.text('key', kept.key)}", "delete_content", 403)
        await kept.browser.post("/keys", "delete_content", 403)
        await kept.browser.api("GET", f"/api/v1/usage/{call}/content", status=403)
        await kept.browser.api("DELETE", f"/api/v1/usage/{call}/content", status=403)
    await kept.become("developer")
    await kept.browser.get(f"/activity/{call}")
    await kept.browser.post(f"/activity/{call}", "show_content", 200)
    await kept.browser.post("/keys", "delete_content", 403)
    assert await kept.count() == 1


async def test_staff_and_strangers_see_no_content(kept: Kept) -> None:
    call = await kept.call()
    operator, _ = await kept.console.operator()
    stranger, _, _ = await kept.console.owner()
    for browser in (operator, stranger):
        await browser.get("/keys")
        await browser.get(f"/activity/{call}", 404)
        await browser.post(f"/activity/{call}", "show_content", 404)
        assert (await browser.api("GET", f"/api/v1/usage/{call}/content")).json()["content"] is None
        assert (await browser.api("DELETE", f"/api/v1/usage/{call}/content")).json() == {"calls": 0}
        assert (await browser.api("DELETE", f"/api/v1/keys/{ids.text('key', kept.key)}/content")).json() == {"calls": 0}
    assert await kept.count() == 1
    assert await kept.acts() == []


async def test_the_api_gives_both_sides_and_when_they_go(kept: Kept) -> None:
    call = await kept.call(answer=BINARY, kind="audio/mpeg")
    shown = (await kept.browser.api("GET", f"/api/v1/usage/{call}/content")).json()
    day = items.until_of(ids.read("req", call), 7)
    assert shown["content_until"].startswith(f"{day}T00:00:00")
    request, answer = shown["content"]["request"], shown["content"]["answer"]
    assert request == {
        "state": "stored", "media_type": "application/json", "bytes": len(PROMPT), "text": PROMPT.decode(),
        "base64": None, "path": f"/api/v1/usage/{call}/content/request",
    }  # fmt: skip
    assert (answer["text"], b64decode(answer["base64"])) == (None, BINARY)
    unknown = ids.text("req", ids.fresh())
    none = (await kept.browser.api("GET", f"/api/v1/usage/{unknown}/content")).json()
    assert none == {"id": unknown, "content": None, "content_until": None}


class Wire:
    """What one request to the application sends back, message by message; nothing of it is kept."""

    def __init__(self, browser: Browser, path: str) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.bytes = self.most = 0
        self.hash = sha256()
        cookies = "; ".join(f"{one.name}={one.value}" for one in browser.client.cookies.jar)
        self.scope: dict[str, Any] = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
            "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "", "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80), "headers": [(b"host", SAME["host"].encode()), (b"cookie", cookies.encode())],
        }  # fmt: skip
        self.asked = False
        self.done = asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        if not self.asked:
            self.asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.done.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode().lower(): value.decode() for name, value in message["headers"]}
            return
        body = message.get("body", b"")
        self.bytes += len(body)
        self.most = max(self.most, len(body))
        self.hash.update(body)
        if not message.get("more_body", False):
            self.done.set()


async def test_the_largest_side_passes_in_pieces_and_no_answer_holds_it(kept: Kept) -> None:
    size = bounds.CONTENT_BYTES_MAX
    large = bytes(range(256)) * (size // 256)
    call = await kept.call(answer=large, kind="audio/mpeg")
    expected = sha256(large).digest()
    del large
    for path in (f"/api/v1/usage/{call}/content/request", f"/api/v1/usage/{call}/content/answer"):
        wire = Wire(kept.browser, path)
        tracemalloc.start()
        try:
            await kept.console.app(wire.scope, wire.receive, wire.send)  # type: ignore[arg-type]
            held = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert wire.status == 200
        assert int(wire.headers["content-length"]) == wire.bytes
        assert wire.headers["content-type"] == "application/octet-stream"
        assert held < size // 2, held
    assert (wire.bytes, wire.hash.digest()) == (size, expected)
    assert wire.most <= size // 8, "in pieces"
    # Beside the rest of what is known it is named, not held; the page needs its beginning only.
    shown = (await kept.browser.api("GET", f"/api/v1/usage/{call}/content")).json()["content"]["answer"]
    assert (shown["state"], shown["bytes"], shown["text"], shown["base64"]) == ("stored", size, None, None)
    assert shown["path"] == f"/api/v1/usage/{call}/content/answer"
    assert await kept.acts() == [("content:read", "done", "member")] * 3
    await kept.browser.api("GET", f"/api/v1/usage/{call}/content/both", status=404)
    await kept.become("viewer")
    await kept.browser.api("GET", f"/api/v1/usage/{call}/content/answer", status=403)


async def test_an_object_that_is_cut_breaks_the_download_off(kept: Kept) -> None:
    call = await kept.call(answer=b"x" * 300_000)
    (found,) = await kept.objects.list(items.PREFIX)
    sealed = b"".join([piece async for piece in kept.objects.get(found.name)])
    await kept.objects.put(found.name, sealed[:-70_000])
    wire = Wire(kept.browser, f"/api/v1/usage/{call}/content/answer")
    # The server behind the application closes the connection then, short of the length that was promised.
    with pytest.raises(LitestarException):
        await kept.console.app(wire.scope, wire.receive, wire.send)  # type: ignore[arg-type]
    assert wire.bytes < int(wire.headers["content-length"])


async def test_a_key_reads_content_by_its_scope_alone(kept: Kept) -> None:
    call = await kept.call()
    path = f"/api/v1/usage/{call}/content"
    for scopes, status in ((("chat", "usage:read"), 403), (("admin:*",), 403), (("content:read",), 200)):
        _, secret = await kept.make_key("reader", scopes=scopes)
        answer = await kept.browser.api("GET", path, key=secret, status=status)
    assert answer.json()["content"]["request"]["text"] == PROMPT.decode()
    assert (await kept.browser.api("DELETE", path, key=secret)).json() == {"calls": 1}
    assert (await kept.browser.api("GET", path, key=secret)).json()["content"] is None
    assert await kept.acts() == [("content:deleted", "done", "key"), ("content:read", "done", "key")]


async def test_a_key_is_made_with_days_and_changes_them(kept: Kept) -> None:
    page = (await kept.browser.post("/keys", "create", 200, name="stores", scopes=["chat"], store_days=3)).text
    assert "rx_live_" in page
    shown = next(
        key for key in (await kept.browser.api("GET", "/api/v1/keys")).json()["keys"] if key["name"] == "stores"
    )
    assert shown["store_days"] == 3
    path = f"/keys/{shown['id']}"
    assert "stored for 3 days" in (await kept.browser.get(path)).text
    await kept.browser.post(path, "store", store_days=0)
    assert "not stored" in (await kept.browser.get(path)).text
    assert (await kept.browser.post(path, "store", 400, store_days=24)).status_code == 400
    await kept.browser.api("PATCH", f"/api/v1{path}", {"store_days": 24}, status=400)
    changed = (await kept.browser.api("PATCH", f"/api/v1{path}", {"store_days": 23})).json()
    assert changed["store_days"] == 23


async def test_a_key_tells_its_policy_and_guard(kept: Kept) -> None:
    wish = {"name": "strict", "policy": ["no-training", "region=EU"], "guard": ["mask", "email"], "store_days": 3}
    made = (await kept.browser.api("POST", "/api/v1/keys", wish, status=201)).json()
    for path in ("/keys", f"/keys/{made['id']}"):
        page = (await kept.browser.get(path)).text
        for said in ("Data policy", "no-training, region=EU", "mask", "stored for 3 days"):
            assert said in page, (path, said)
    assert "none of its own" in (await kept.browser.get(f"/keys/{ids.text('key', kept.key)}")).text


async def test_a_key_has_habits_on_the_page_and_in_the_api(kept: Kept) -> None:
    wish = {"name": "used", "habits": {"cache_s": 60, "routes": {"fast": ["sandbox/chat"]}}}
    made = (await kept.browser.api("POST", "/api/v1/keys", wish, status=201)).json()
    path = f"/keys/{made['id']}"
    page = (await kept.browser.get(path)).text
    assert 'value="60"' in page
    assert "fast = sandbox/chat" in page
    saves = re.findall(r'<button class="b" type="submit">([^<]*)</button>', page)
    assert len(saves) == len(set(saves)) == 3, "each button says what it saves"
    await kept.browser.post(path, "usual", cache_s=5, keep_responses="true", routes="a = sandbox/x, sandbox/chat")
    shown = (await kept.browser.api("GET", f"/api/v1{path}")).json()["habits"]
    assert shown == {"cache_s": 5, "keep_responses": True, "routes": {"a": ["sandbox/x", "sandbox/chat"]}}
    for wrong in ({"cache_s": 99_999}, {"cache_s": 0, "routes": "nothing"}, {"cache_s": 0, "routes": "<b> = x"}):
        assert (await kept.browser.post(path, "usual", 422, **wrong)).status_code == 422
    await kept.browser.api("POST", f"/api/v1{path}/habits", {"cache_s": -1}, status=400)
    await kept.browser.api("POST", f"/api/v1{path}/habits", {"unknown": 1}, status=400)
    changed = (await kept.browser.api("POST", f"/api/v1{path}/habits", {"keep_responses": True}, status=201)).json()
    assert changed["habits"] == {"keep_responses": True}


async def test_fewer_days_may_take_what_is_stored_along(kept: Kept) -> None:
    path = f"/keys/{ids.text('key', kept.key)}"
    long, short = await kept.call(days=7), await kept.call(days=2)
    await kept.browser.get(path)
    await kept.browser.post(path, "store", store_days=2)
    assert await kept.count() == 2
    await kept.browser.post(path, "store", store_days=2, delete_beyond="true")
    assert await kept.count() == 1
    assert (await kept.browser.api("GET", f"/api/v1/usage/{long}/content")).json()["content"] is None
    assert (await kept.browser.api("GET", f"/api/v1/usage/{short}/content")).json()["content"] is not None
    again = await kept.browser.api("PATCH", f"/api/v1{path}", {"store_days": 0, "delete_beyond": True})
    assert again.json()["store_days"] == 0
    assert await kept.count() == 0


async def test_everything_of_a_key_or_an_organisation_is_deleted(kept: Kept) -> None:
    path = f"/keys/{ids.text('key', kept.key)}"
    await kept.call()
    await kept.call(answer=b"x" * 100_000)
    page = (await kept.browser.get(path)).text
    assert "Content of 2 calls is stored" in page
    await kept.browser.post(path, "delete_content")
    assert (await kept.count(), await kept.objects.list(items.PREFIX)) == (0, [])
    assert "Nothing is stored" in (await kept.browser.get(path)).text
    await kept.call()
    assert "Content of 1 call is stored" in (await kept.browser.get("/keys")).text
    await kept.browser.post("/keys", "delete_content")
    assert await kept.count() == 0
    call = await kept.call()
    assert (await kept.browser.api("DELETE", "/api/v1/organisation/content")).json() == {"calls": 1}
    assert (await kept.browser.api("GET", f"/api/v1/usage/{call}/content")).json()["content"] is None
    acts = await kept.acts()
    assert [(act, outcome) for act, outcome, _ in acts] == [
        ("content:deleted", "done"),
        ("content:deleted", "planned"),
        ("content:deleted", "done"),
        ("content:deleted", "planned"),
        ("content:deleted", "done"),
    ]


async def test_content_whose_object_is_gone_says_so(kept: Kept, tmp_path: Path) -> None:
    call = await kept.call(answer=b"x" * 100_000)
    await kept.objects.delete(items.day_prefix(items.until_of(ids.read("req", call), 7)))
    page = (await kept.browser.post(f"/activity/{call}", "show_content", 200)).text
    assert "canary-prompt" in page
    assert re.search(r"<p class=\"soft\">Gone\.</p>", page)
    shown = (await kept.browser.api("GET", f"/api/v1/usage/{call}/content")).json()
    assert shown["content"]["answer"]["state"] == "gone"
    await kept.browser.post(f"/activity/{call}", "download_content", 404, part="answer")


async def test_nothing_is_deleted_while_a_hold_forbids_it(kept: Kept) -> None:
    call = await kept.call()
    house = kept.house
    async with house.operator.work() as work:
        hold = await holds.place(
            work,
            house.vault,
            OPERATOR,
            scope="organisation",
            subject_id=kept.organisation,
            reason="Case 17",
            basis="legal_claim",
            owner_id=ids.fresh(),
            ends_at=house.database.clock.now() + timedelta(days=30),
            gagged=True,
        )
    key = ids.text("key", kept.key)
    for method, path, body in (
        ("DELETE", f"/api/v1/usage/{call}/content", None),
        ("DELETE", f"/api/v1/keys/{key}/content", None),
        ("DELETE", "/api/v1/organisation/content", None),
        ("PATCH", f"/api/v1/keys/{key}", {"store_days": 1, "delete_beyond": True}),
    ):
        refused = await kept.browser.api(method, path, body, status=409)
        assert "hold" not in refused.text.lower()
    await kept.browser.get(f"/activity/{call}")
    page = await kept.browser.post(f"/activity/{call}", "delete_content", 409)
    assert "whoever runs this server will tell you when" in page.text
    assert await kept.count() == 1
    assert "canary-prompt" in (await kept.browser.api("GET", f"/api/v1/usage/{call}/content")).text
    async with house.console.work() as work:
        entries = await reading.page(work, house.vault, "proof", limit=50)
    ended = [one.fields.outcome for one in entries if one.act == "content:deleted" and one.fields is not None]
    assert ended == ["refused", "planned"], "what was planned for the whole organisation has its end in the log"
    await holds.end(house.operator, house.vault, OPERATOR, hold)
    await kept.browser.api("DELETE", f"/api/v1/usage/{call}/content")
    assert await kept.count() == 0
