"""One-time links: one use, half an hour, nothing but a hash at rest."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from fixtures_access import BASE_URL, House
from ruxa.access import links
from ruxa.kernel.errors import NotFound
from ruxa.kernel.sealed import Sealed


async def make(house: House, kind: links.Kind = "reset") -> Sealed[str]:
    _, member_id, _ = await house.owner()
    async with house.console.work() as work:
        return await links.make(work, house.vault, kind, member_id)


async def test_of_many_users_at_once_one_wins(house: House) -> None:
    secret = await make(house)

    async def use() -> links.Link:
        async with house.console.work() as work:
            return await links.use(work, house.vault, "reset", secret)

    done = await asyncio.gather(*(use() for _ in range(10)), return_exceptions=True)
    assert sum(isinstance(one, links.Link) for one in done) == 1
    assert {one.code for one in done if isinstance(one, NotFound)} == {"link_dead"}


async def test_looking_uses_nothing_and_the_kind_must_fit(house: House) -> None:
    secret = await make(house)
    async with house.console.work() as work:
        for _ in range(3):
            assert await links.look(work, house.vault, "reset", secret) is not None
        assert await links.look(work, house.vault, "sign_in", secret) is None
        with pytest.raises(NotFound):
            await links.use(work, house.vault, "sign_in", secret)
        for forged in ("", "x" * 43, "\udcff"):
            assert await links.look(work, house.vault, "reset", Sealed(forged)) is None
        await links.use(work, house.vault, "reset", secret)


async def test_a_use_that_is_rolled_back_was_none(house: House) -> None:
    secret = await make(house)

    async def use_and_fail() -> None:
        async with house.console.work() as work:
            await links.use(work, house.vault, "reset", secret)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await use_and_fail()
    async with house.console.work() as work:
        await links.use(work, house.vault, "reset", secret)


async def test_a_link_lives_30_minutes(house: House) -> None:
    secret = await make(house)
    with psycopg.connect(house.database.admin_url, autocommit=True) as admin:
        admin.execute("UPDATE access.one_time_link SET expires_at = expires_at - interval '29 minutes 50 seconds'")
        async with house.console.work() as work:
            assert await links.look(work, house.vault, "reset", secret) is not None
        admin.execute("UPDATE access.one_time_link SET expires_at = expires_at - interval '10 seconds'")
    async with house.console.work() as work:
        assert await links.look(work, house.vault, "reset", secret) is None
        with pytest.raises(NotFound):
            await links.use(work, house.vault, "reset", secret)


async def test_using_one_ends_the_members_others_of_its_kind_only(house: House) -> None:
    _, member_id, _ = await house.owner()
    _, other_id, _ = await house.owner()
    async with house.console.work() as work:
        first, second = [await links.make(work, house.vault, "reset", member_id) for _ in range(2)]
        enter = await links.make(work, house.vault, "sign_in", member_id)
        foreign = await links.make(work, house.vault, "reset", other_id)
        await links.use(work, house.vault, "reset", second)
        assert await links.look(work, house.vault, "reset", first) is None
        assert await links.look(work, house.vault, "sign_in", enter) is not None
        assert await links.look(work, house.vault, "reset", foreign) is not None
        await links.end_all(work, member_id)
        assert await links.look(work, house.vault, "sign_in", enter) is None


def test_the_address_of_a_link() -> None:
    secret = links.draw()
    url = links.url(BASE_URL + "/", "sign_in", secret)
    assert url.open("security") == f"{BASE_URL}/enter/{secret.open('security')}"
    assert secret.open("security") not in f"{url} {secret!r} {url!r}"
