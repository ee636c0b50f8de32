"""Stored content: opens for its call, organisation and part only, until its last day, and never after its key's end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
import pytest

import s3_server
from fixtures_access import Signals
from fixtures_database import Database
from ruxa.egress.objects import Objects
from ruxa.egress.recipient import Register
from ruxa.kernel import bounds, ids
from ruxa.kernel.errors import Broken, Conflict, Forbidden, NotFound, Unavailable
from ruxa.kernel.settings import StorageSettings
from ruxa.privacy.content import items
from ruxa.privacy.content.items import Content, Item, Part, Side
from ruxa.store import instance
from ruxa.store.pool import Pool
from ruxa.store.vault import Vault

PROMPT = b'{"messages":[{"role":"user","content":"canary-prompt-7714"}]}'
ANSWER = b"data: canary-answer-4b2f\n\n"
LARGE = b"canary-large-90aa " * 20_000


class Shelf:
    """Everything that stored content needs, on one test's database."""

    def __init__(self, database: Database, pools: dict[str, Pool], vault: Vault, objects: Objects) -> None:
        self.database = database
        self.gateway, self.console, self.worker = (pools[name] for name in ("gateway", "console", "worker"))
        self.vault = vault
        self.objects = objects
        self.organisation = uuid4()
        self.key = uuid4()

    async def today(self) -> date:
        async with self.worker.work() as work:
            return await work.value("SELECT ruxa.today()")

    async def call(self) -> UUID:
        """The id of a call at noon of the store's day."""
        noon = datetime.combine(await self.today(), datetime.min.time(), UTC) + timedelta(hours=12)
        return ids.at(int(noon.timestamp() * 1000))

    async def keep(
        self,
        *,
        days: int = 7,
        request: bytes = PROMPT,
        answer: bytes = ANSWER,
        call: UUID | None = None,
        organisation: UUID | None = None,
        key: UUID | None = None,
        refusal: bytes = b"",
    ) -> UUID:
        call = call or await self.call()
        item = Item(
            call_id=call,
            organisation_id=organisation or self.organisation,
            key_id=key or self.key,
            until=items.until_of(call, days),
            request=Side("stored", "application/json", len(request), request),
            answer=Side("stored", "text/event-stream", len(answer), answer),
            refusal=refusal,
        )
        row = await items.seal(self.vault, self.objects, item)
        async with self.gateway.work() as work:
            await items.write(work, [row])
        return call

    async def find(self, call: UUID) -> Content | None:
        async with self.console.work() as work:
            return await items.find(work, call, self.organisation)

    async def read(self, call: UUID, part: Part, *, purpose: str = "provide") -> bytes | None:
        async with self.console.work() as work:
            content = await items.find(work, call, self.organisation)
            if content is None:
                return None
            opened = await items.read(work, self.vault, self.objects, content, part, purpose=purpose)
            return None if opened is None else opened.open(purpose)

    async def names(self) -> list[str]:
        return [found.name for found in await self.objects.list(items.PREFIX)]

    async def owner(self, statement: str, *args: object) -> list[tuple[object, ...]]:
        """As the owner of the tables, who may do anything to them."""
        async with await psycopg.AsyncConnection.connect(
            self.database.url("ruxa_owner"), autocommit=True
        ) as connection:
            cursor = await connection.execute(statement, args)  # type: ignore[arg-type]
            return await cursor.fetchall() if cursor.description else []


@pytest.fixture(params=["folder"])
async def shelf(
    request: pytest.FixtureRequest, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Shelf]:
    async with AsyncExitStack() as stack:
        if request.param == "s3":
            server = stack.enter_context(s3_server.serving())
            monkeypatch.setenv("S3_ACCESS", s3_server.ACCESS_KEY)
            monkeypatch.setenv("S3_SECRET", s3_server.SECRET_KEY)
            wanted = StorageSettings(
                url=f"s3://{s3_server.BUCKET}",
                endpoint=server.url,
                access_key="env:S3_ACCESS",
                secret_key="env:S3_SECRET",
            )
        else:
            wanted = StorageSettings()
        objects = Objects.of_settings(wanted, tmp_path, Register(Signals()))
        pools = {name: await database.pool(f"ruxa_{name}") for name in ("gateway", "console", "worker")}  # type: ignore[arg-type]
        shelf = Shelf(database, pools, await database.vault(), objects)
        await shelf.vault.create_subject(shelf.organisation, [items.CLASS])
        async with shelf.worker.work() as work:
            await items.prepare(work)
        yield shelf


@pytest.mark.parametrize("shelf", ["folder", "s3"], indirect=True)
async def test_gives_back_what_was_sent_and_got(shelf: Shelf) -> None:
    call = await shelf.keep(answer=LARGE)
    content = await shelf.find(call)
    assert content is not None
    assert (content.request.state, content.request.media_type, content.request.size) == (
        "stored", "application/json", len(PROMPT),
    )  # fmt: skip
    assert (content.answer.state, content.answer.size) == ("stored", len(LARGE))
    assert content.gone_at == datetime.combine(await shelf.today() + timedelta(days=7), datetime.min.time(), UTC)
    assert await shelf.read(call, "request") == PROMPT
    assert await shelf.read(call, "answer") == LARGE
    assert len(await shelf.names()) == 1
    # An empty answer is an answer.
    assert await shelf.read(await shelf.keep(answer=b""), "answer") == b""


@pytest.mark.parametrize("size", [bounds.CONTENT_INLINE_BYTES, bounds.CONTENT_INLINE_BYTES + 1])
async def test_small_sides_lie_in_the_row_and_large_ones_in_the_store(shelf: Shelf, size: int) -> None:
    call = await shelf.keep(request=b"r" * size)
    assert await shelf.read(call, "request") == b"r" * size
    assert len(await shelf.names()) == (size > bounds.CONTENT_INLINE_BYTES)


async def test_is_only_its_own_organisations(shelf: Shelf) -> None:
    call = await shelf.keep()
    async with shelf.console.work() as work:
        assert await items.find(work, call, uuid4()) is None
        assert await items.find(work, call) is not None


async def test_a_sealed_side_moved_elsewhere_does_not_open(shelf: Shelf) -> None:
    """Another call, another part, another last day: each alone is enough."""
    first, second = await shelf.keep(), await shelf.keep()
    third = await shelf.keep(days=8)
    for target, source in ((first, second), (first, third)):
        await shelf.owner(
            "UPDATE content.item SET request_sealed = (SELECT request_sealed FROM content.item WHERE id = %s)"
            " WHERE id = %s",
            source,
            target,
        )
        with pytest.raises(Broken):
            await shelf.read(target, "request")
    await shelf.owner("UPDATE content.item SET answer_sealed = request_sealed WHERE id = %s", second)
    with pytest.raises(Broken):
        await shelf.read(second, "answer")
    assert await shelf.read(third, "request") == PROMPT


async def test_objects_exchanged_or_cut_do_not_open(shelf: Shelf, tmp_path: Path) -> None:
    first, second = await shelf.keep(answer=LARGE), await shelf.keep(answer=LARGE)
    files = [tmp_path / "objects" / name for name in await shelf.names()]
    whole = [file.read_bytes() for file in files]
    files[0].write_bytes(whole[1])
    files[1].write_bytes(whole[1][: -64 * 1024])
    for call in (first, second):
        with pytest.raises(Broken):
            await shelf.read(call, "answer")
    files[0].unlink()
    files[1].write_bytes(b"")
    for call in (first, second):
        assert await shelf.read(call, "answer") is None


async def test_the_gateway_cannot_read_and_nobody_can_change(shelf: Shelf) -> None:
    await shelf.keep()
    for pool, statement in (
        (shelf.gateway, "SELECT id FROM content.item"),
        (shelf.gateway, "DELETE FROM content.item"),
        (shelf.worker, "UPDATE content.item SET key_id = id"),
        (shelf.console, "UPDATE content.item SET key_id = id"),
        (shelf.console, "INSERT INTO content.item (id) VALUES (gen_random_uuid())"),
    ):
        with pytest.raises(Broken) as caught:
            async with pool.work() as work:
                await work.run(statement)  # type: ignore[arg-type]
        assert "42501" in caught.value.detail, statement


@pytest.mark.parametrize("days", [0, 24, -1])
async def test_the_database_refuses_more_days_than_the_limit(shelf: Shelf, days: int) -> None:
    with pytest.raises((Conflict, Broken, NotFound)):
        await shelf.keep(days=days)
    assert await shelf.owner("SELECT count(*) FROM content.item") == [(0,)]


async def test_refusals_are_for_the_operator_alone(shelf: Shelf) -> None:
    call = await shelf.keep(refusal=b"the provider's own words")
    content = await shelf.find(call)
    assert content is not None
    assert content.refused
    assert await shelf.read(call, "refusal", purpose="support") == b"the provider's own words"
    with pytest.raises(Forbidden):
        await shelf.read(call, "refusal")


@pytest.mark.parametrize("days", [1, 2, 22, 23])
async def test_is_gone_with_the_first_moment_of_its_last_day(shelf: Shelf, days: int) -> None:
    """Before the hourly run has been there nothing is found, after it nothing is there; the key is what ends it."""
    url = shelf.database.url("ruxa_owner")
    instance.settle(url, id=ids.fresh(), mode="demo", simulated=True)
    instance.move_clock(url, int(_into_the_day() * -1))  # the first minutes of this day
    call = await shelf.keep(days=days, answer=LARGE)
    longest = await shelf.keep(days=23, answer=LARGE)
    instance.move_clock(url, int(days * 86400 - _into_the_day() - 60))  # a minute before the last day
    assert await shelf.read(call, "answer") == LARGE
    assert (await _end(shelf)).objects == 0
    assert await shelf.read(call, "answer") == LARGE
    [(kept, until)] = await shelf.owner("SELECT request_sealed, until FROM content.item WHERE id = %s", call)
    instance.move_clock(url, int(days * 86400 - _into_the_day() + 60))  # a minute into it
    assert await shelf.find(call) is None
    ended = await _end(shelf)
    assert [key.key_class for key in ended.keys] == [items.CLASS]
    assert [name for name in ended.partitions if name.endswith(f"{until:%Y%m%d}")]
    assert ended.objects == (1 if days < 23 else 2)
    assert await shelf.read(longest, "answer") == (LARGE if days < 23 else None)
    assert len(await shelf.names()) == (days < 23)
    # A copy of the row that somebody kept opens no more, with every key that is left.
    with pytest.raises(NotFound):
        await shelf.vault.open_bytes(
            "content.item.request_sealed",
            shelf.organisation,
            call,
            kept,
            purpose="provide",
            day=until,  # type: ignore[arg-type]
        )
    again = await _end(shelf)
    assert (again.keys, again.partitions, again.objects) == ((), (), 0)


def _into_the_day() -> float:
    """Seconds since midnight, UTC, by the machine's clock."""
    now = datetime.now(UTC)
    return (now - datetime.combine(now.date(), datetime.min.time(), UTC)).total_seconds()


async def _end(shelf: Shelf) -> items.Ended:
    return await items.end_days(shelf.worker, shelf.vault, shelf.objects, await shelf.today())


async def test_content_that_is_late_for_its_day_finds_no_key(shelf: Shelf) -> None:
    today = await shelf.today()
    call = await shelf.call()
    item = Item(
        call_id=call, organisation_id=shelf.organisation, key_id=shelf.key, until=today + timedelta(days=1),
        request=Side("stored", "text/plain", 1, b"x"), answer=Side("none", "text/plain", 0),
    )  # fmt: skip
    await items.seal(shelf.vault, shelf.objects, item)
    await shelf.vault.destroy_days_before(items.CLASS, today + timedelta(days=2))
    with pytest.raises(NotFound):
        await items.seal(shelf.vault, shelf.objects, item)


async def test_deleting_takes_row_and_objects_of_that_call_alone(shelf: Shelf) -> None:
    gone, stays = await shelf.keep(request=LARGE, answer=LARGE), await shelf.keep(request=LARGE)
    async with shelf.console.work() as work:
        assert not await items.delete(work, shelf.objects, uuid4(), gone)
        assert await items.delete(work, shelf.objects, shelf.organisation, gone)
        assert not await items.delete(work, shelf.objects, shelf.organisation, gone)
    assert await shelf.find(gone) is None
    assert len(await shelf.names()) == 1
    assert await shelf.read(stays, "request") == LARGE


async def test_deleting_a_keys_content_can_spare_what_the_new_limit_keeps(shelf: Shelf) -> None:
    other = uuid4()
    long, short, others = await shelf.keep(days=20), await shelf.keep(days=3), await shelf.keep(days=20, key=other)
    async with shelf.console.work() as work:
        assert await items.count(work, shelf.organisation, shelf.key) == (2, 2 * len(PROMPT + ANSWER))
        assert await items.delete_of_key(work, shelf.objects, shelf.organisation, shelf.key, beyond_days=3) == 1
    assert [await shelf.find(call) is None for call in (long, short, others)] == [True, False, False]
    async with shelf.console.work() as work:
        assert await items.delete_of_key(work, shelf.objects, shelf.organisation, shelf.key) == 1
        assert (await items.count(work, shelf.organisation))[0] == 1


async def test_deleting_everything_destroys_the_key_that_sealed_it(shelf: Shelf) -> None:
    call = await shelf.keep(answer=LARGE)
    [(kept, until)] = await shelf.owner("SELECT request_sealed, until FROM content.item")
    async with shelf.console.work() as work:
        assert await items.delete_of_organisation(work, shelf.vault, shelf.objects, shelf.organisation) == 1
    assert await shelf.names() == []
    with pytest.raises(NotFound):
        await shelf.vault.open_bytes(
            "content.item.request_sealed",
            shelf.organisation,
            call,
            kept,
            purpose="provide",
            day=until,  # type: ignore[arg-type]
        )
    fresh = await shelf.keep()
    assert await shelf.read(fresh, "request") == PROMPT


async def test_the_end_of_an_organisation_leaves_nothing_and_no_way_back(shelf: Shelf) -> None:
    await shelf.keep(answer=LARGE)
    stranger = uuid4()
    await shelf.vault.create_subject(stranger, [items.CLASS])
    await shelf.keep(organisation=stranger)
    async with shelf.worker.work() as work:
        destroyed, calls = await items.destroy_organisation(work, shelf.vault, shelf.objects, shelf.organisation)
    assert (len(destroyed), calls, await shelf.names()) == (1, 1, [])
    with pytest.raises(NotFound):
        await shelf.keep()
    assert await shelf.owner("SELECT organisation_id FROM content.item") == [(stranger,)]


async def test_a_store_that_is_away_costs_the_large_side_at_most(
    shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("S3_ACCESS", "a")
    monkeypatch.setenv("S3_SECRET", "b")
    with s3_server.serving() as server:
        server.broken = True
        away = Objects.of_settings(
            StorageSettings(
                url=f"s3://{s3_server.BUCKET}",
                endpoint=server.url,
                access_key="env:S3_ACCESS",
                secret_key="env:S3_SECRET",
            ),
            tmp_path,
            Register(Signals()),
        )
        call = await shelf.call()
        item = Item(
            call_id=call, organisation_id=shelf.organisation, key_id=shelf.key, until=items.until_of(call, 1),
            request=Side("stored", "application/json", len(PROMPT), PROMPT),
            answer=Side("stored", "text/plain", len(LARGE), LARGE),
        )  # fmt: skip
        with pytest.raises(Unavailable):
            await items.seal(shelf.vault, away, item)
        row = await items.seal(shelf.vault, away, item, give_up=True)
    async with shelf.gateway.work() as work:
        await items.write(work, [row])
    content = await shelf.find(call)
    assert content is not None
    assert (content.request.state, content.answer.state) == ("stored", "lost")
    assert await shelf.read(call, "request") == PROMPT
    assert await shelf.read(call, "answer") is None


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("application/json", "application/json"),
        ("Text/Event-Stream; charset=utf-8", "text/event-stream"),
        ("multipart/form-data; boundary=canary", "multipart/form-data"),
        ("ada@example.com", items.PLAIN_TYPE),
        ("", items.PLAIN_TYPE),
        ("a/" + "b" * 200, items.PLAIN_TYPE),
    ],
)
def test_media_types_are_kept_as_words_only(said: str, kept: str) -> None:
    assert items.media_type(said) == kept
