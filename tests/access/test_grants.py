"""Grants: what the gateway knows of a key, and that it forgets in time."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from uuid import UUID, uuid4

import psycopg

from fixtures_access import House
from ruxa.access import grants, keys, organisations
from ruxa.access.keys import Created, KeyWish
from ruxa.kernel import bounds
from ruxa.kernel.sealed import Sealed
from ruxa.store.notify import Notices


async def made(house: House, organisation_id: UUID) -> Created:
    async with house.console.work() as work:
        return await keys.create(work, house.vault, organisation_id, KeyWish(name=Sealed("a")))


async def changes(house: House, seq: int) -> tuple[int, list[UUID]]:
    async with house.gateway.work() as work:
        return await grants.revoked_since(work, seq)


async def drained(house: House, seq: int) -> int:
    """Polls until nothing is named any more: while any transaction of the cluster runs, a change is named again."""
    async with asyncio.timeout(8):
        while True:
            seq, found = await changes(house, seq)
            if not found:
                return seq
            await asyncio.sleep(0.02)


async def grant(house: House, created: Created) -> grants.Grant | None:
    async with house.gateway.work() as work:
        return await grants.find(work, keys.hash_of(house.vault, created.secret.open("provide").encode()))


async def test_unknown_hashes_have_no_grant(house: House) -> None:
    async with house.gateway.work() as work:
        assert await grants.find(work, b"\x00" * 32) is None
        assert await grants.find(work, b"") is None


async def test_revocation_is_heard_within_two_seconds_by_the_gateways_login(house: House) -> None:
    _, _, organisation_id = await house.owner()
    created = await made(house, organisation_id)
    heard: asyncio.Queue[str] = asyncio.Queue()
    notices = Notices(house.database.url("ruxa_gateway"))
    notices.listen(grants.CHANNEL, heard.put_nowait)
    await notices.open()
    try:
        await notices.settled()
        async with house.console.work() as work:
            await keys.revoke(work, organisation_id, created.id)
        said = await asyncio.wait_for(heard.get(), bounds.REVOKED_WITHIN_S)
        assert said == created.id.hex
        # A key that only was used says nothing.
        async with house.gateway.work() as work:
            await grants.mark_used(work, [created.id])
        async with house.console.work() as work:
            await work.run("SELECT pg_notify('key_revoked', 'end')")
        assert await asyncio.wait_for(heard.get(), 5) == "end"
    finally:
        await notices.close()


async def test_every_way_of_changing_a_key_is_told(house: House) -> None:
    _, _, organisation_id = await house.owner()
    first, second = await made(house, organisation_id), await made(house, organisation_id)
    seq = await drained(house, 0)

    async def told() -> set[UUID]:
        nonlocal seq
        next_seq, found = await changes(house, seq)
        seq = await drained(house, next_seq)
        return set(found)

    assert await told() == set()
    async with house.console.work() as work:
        await keys.rotate(work, house.vault, organisation_id, first.id)
    assert await told() == {first.id}
    async with house.operator.work() as work:
        await organisations.suspend(work, organisation_id, "security")
    assert await told() == {first.id, second.id}
    assert await grant(house, second) is None
    async with house.operator.work() as work:
        await organisations.restore(work, organisation_id)
    assert await told() == {first.id, second.id}
    assert await grant(house, second) is not None
    async with house.operator.work() as work:
        await organisations.set_output_default(work, organisation_id, 100)
    assert await told() == {first.id, second.id}
    with psycopg.connect(house.database.admin_url, autocommit=True) as admin:
        admin.execute("UPDATE access.key SET requests_per_minute = 5 WHERE id = %s", [first.id])
        assert await told() == {first.id}
        admin.execute("DELETE FROM access.organisation WHERE id = %s", [organisation_id])
    assert await told() == {first.id, second.id}


async def test_a_change_that_commits_late_is_not_missed(house: House) -> None:
    """Two revocations begin in one order and commit in the other, with a poll in between."""
    _, _, organisation_id = await house.owner()
    slow, fast = await made(house, organisation_id), await made(house, organisation_id)
    seq = await drained(house, 0)
    async with house.console.work() as late:
        await keys.revoke(late, organisation_id, slow.id)
        async with house.console.work() as work:
            await keys.revoke(work, organisation_id, fast.id)
        seq, found = await changes(house, seq)
        assert found == [fast.id]
    seq, found = await changes(house, seq)
    assert slow.id in found
    await drained(house, seq)


async def test_the_last_use_is_a_day_and_never_a_time(house: House) -> None:
    _, _, organisation_id = await house.owner()
    created = await made(house, organisation_id)
    async with house.gateway.work() as work:
        await grants.mark_used(work, [created.id, created.id, uuid4()])
        await grants.mark_used(work, [])
    async with house.console.work() as work:
        line = await keys.find(work, house.vault, organisation_id, created.id)
    assert line.last_used_day == datetime.now(UTC).date()
