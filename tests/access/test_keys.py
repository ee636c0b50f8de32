"""Keys: their format, their life, and that a secret is shown once and kept nowhere."""

from __future__ import annotations

import asyncio
import zlib
from datetime import timedelta
from uuid import UUID

import msgspec
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures_access import VISITOR, House, Person
from ruxa.access import entrance as door
from ruxa.access import grants, keys, members, sessions
from ruxa.access.keys import BASE62, Created, KeyWish
from ruxa.access.roles import CALL_SCOPES, SCOPES, Scope
from ruxa.kernel import ids
from ruxa.kernel.errors import CallerError, Conflict, Forbidden, InvalidCall, NotFound
from ruxa.kernel.sealed import Sealed

HEADS = st.sampled_from([b"rx_live_", b"rx_test_"])
BODIES = st.lists(st.sampled_from(list(BASE62)), min_size=33, max_size=33).map(bytes)


def wish(**changes: object) -> KeyWish:
    return msgspec.structs.replace(KeyWish(name=Sealed("key of a test")), **changes)


async def made(house: House, organisation_id: UUID, **changes: object) -> Created:
    async with house.console.work() as work:
        return await keys.create(work, house.vault, organisation_id, wish(**changes))


async def grant(house: House, secret: Sealed[str]) -> grants.Grant | None:
    """What the gateway's own login is told."""
    async with house.gateway.work() as work:
        return await grants.find(work, keys.hash_of(house.vault, secret.open("provide").encode()))


# The format


def test_a_drawn_secret_is_well_formed_and_47_characters() -> None:
    drawn = {keys.draw(livemode) for livemode in (True, False) for _ in range(200)}
    assert len(drawn) == 400
    for secret in drawn:
        assert len(secret) == keys.LENGTH == 47
        assert secret[:8] in ("rx_live_", "rx_test_")
        assert keys.well_formed(secret.encode())


@given(HEADS, BODIES)
def test_the_checksum_is_the_crc32_in_base_62(head: bytes, body: bytes) -> None:
    digits = keys.checksum(head + body)
    value = 0
    for digit in digits:
        value = value * 62 + BASE62.index(digit)
    assert value == zlib.crc32(head + body)
    assert keys.well_formed(head + body + digits)


@given(HEADS, BODIES, st.integers(0, 46), st.integers(0, 255))
def test_any_changed_byte_is_noticed(head: bytes, body: bytes, place: int, byte: int) -> None:
    secret = head + body + keys.checksum(head + body)
    changed = secret[:place] + bytes([byte]) + secret[place + 1 :]
    assert keys.well_formed(changed) == (changed == secret)


@given(st.binary(max_size=100))
def test_anything_else_is_not_well_formed(noise: bytes) -> None:
    assert not keys.well_formed(noise)
    assert not keys.well_formed(b"rx_live_" + noise[:39])


# Their life


async def test_a_key_is_created_found_and_listed_without_its_secret(house: House) -> None:
    _, member_id, organisation_id = await house.owner()
    async with house.console.work() as work:
        created = await keys.create(
            work,
            house.vault,
            organisation_id,
            wish(
                scopes=("chat", "usage:read"),
                models=("sandbox/*", "openai/gpt"),
                requests_per_minute=60,
                tokens_per_minute=10_000,
                concurrency=4,
                store_days=7,
                budget_micros=5_000_000,
                budget_period="month",
            ),
            created_by=member_id,
        )
        line = (await keys.of_organisation(work, house.vault, organisation_id))[0]
    assert line.id == created.id
    assert line.name.open("provide") == "key of a test"
    assert line.prefixes == (created.prefix,)
    assert created.prefix == created.secret.open("provide")[:16]
    assert created.secret.open("provide") not in repr(line) + repr(created)
    found = await grant(house, created.secret)
    assert found is not None
    assert found.key_id == created.id
    assert found.organisation_id == organisation_id
    assert (found.livemode, found.scopes, found.models) == (
        True,
        frozenset({"chat", "usage:read"}),
        ("sandbox/*", "openai/gpt"),
    )
    assert (found.requests_per_minute, found.tokens_per_minute, found.concurrency) == (60, 10_000, 4)
    assert (found.store_days, found.budget_scope, found.output_tokens_default) == (7, created.id.hex, 4096)
    assert (line.budget_micros, line.budget_period) == (5_000_000, "month")


async def test_a_guard_is_in_the_grant_and_changes_are_told(house: House) -> None:
    _, _, organisation_id = await house.owner()
    created = await made(house, organisation_id, guard=("refuse", "card", "email"))
    found = await grant(house, created.secret)
    assert found is not None
    assert found.guard == ("refuse", "email", "card")
    async with house.gateway.work() as work:
        since, _ = await grants.revoked_since(work, 0)
    async with house.console.work() as work:
        assert await keys.protect(work, organisation_id, created.id, ()) == ()
        line = await keys.find(work, house.vault, organisation_id, created.id)
    assert line.guard == ()
    found = await grant(house, created.secret)
    assert found is not None
    assert found.guard == ()
    async with house.gateway.work() as work:
        assert created.id in (await grants.revoked_since(work, since))[1]
    async with house.console.work() as work:
        with pytest.raises(InvalidCall):
            await keys.protect(work, organisation_id, created.id, ("mask", "everything"))
        with pytest.raises(NotFound):
            await keys.protect(work, ids.fresh(), created.id, ("mask",))


async def test_wrong_wishes_are_refused_by_field(house: House) -> None:
    _, _, organisation_id = await house.owner()
    past = house.database.clock.now() - timedelta(seconds=1)
    for changes, param in (
        ({"name": Sealed("")}, "name"),
        ({"name": Sealed("x" * 101)}, "name"),
        ({"scopes": ()}, "scopes"),
        ({"scopes": ("chat", "root")}, "scopes"),
        ({"models": ()}, "models"),
        ({"models": ("x" * 201,)}, "models"),
        ({"requests_per_minute": 0}, "requests_per_minute"),
        ({"tokens_per_minute": -1}, "tokens_per_minute"),
        ({"concurrency": 2**60}, "concurrency"),
        ({"store_days": 24}, "store_days"),
        ({"guard": ("cover",)}, "guard"),
        ({"budget_micros": 1}, "budget_period"),
        ({"budget_period": "day"}, "budget_period"),
        ({"expires_at": past}, "expires_at"),
    ):
        with pytest.raises(InvalidCall) as caught:
            await made(house, organisation_id, **changes)
        assert caught.value.param == param, changes


async def test_nobody_gives_a_key_more_than_their_own_role(house: House) -> None:
    _, owner_id, organisation_id = await house.owner()
    _, stranger_id, _ = await house.owner()
    developer = Person()
    await house.join(developer)
    async with house.console.work() as work:
        invited = await members.invite(work, house.vault, organisation_id, developer.email, "developer")

    async def give(member_id: UUID, *scopes: Scope) -> str:
        try:
            async with house.console.work() as work:
                await keys.create(work, house.vault, organisation_id, wish(scopes=scopes), created_by=member_id)
        except Forbidden as error:
            return error.code
        return "given"

    assert await give(owner_id, *SCOPES) == "given"
    assert await give(invited.member_id, *CALL_SCOPES, "usage:read") == "given"
    assert await give(invited.member_id, "chat", "admin:*") == "scope_beyond_role"
    assert await give(invited.member_id, "billing:read") == "scope_beyond_role"
    assert await give(stranger_id, "usage:read") == "scope_beyond_role"


async def test_a_revoked_key_is_dead_and_revoking_again_is_no_error(house: House) -> None:
    _, _, organisation_id = await house.owner()
    _, _, other = await house.owner()
    created = await made(house, organisation_id)
    async with house.console.work() as work:
        with pytest.raises(NotFound):
            await keys.revoke(work, other, created.id)
    assert await grant(house, created.secret) is not None
    for _ in range(2):
        async with house.console.work() as work:
            await keys.revoke(work, organisation_id, created.id)
        assert await grant(house, created.secret) is None
    async with house.console.work() as work:
        line = await keys.find(work, house.vault, organisation_id, created.id)
        assert line.revoked_at is not None
        assert line.prefixes == (created.prefix,)
        with pytest.raises(NotFound):
            await keys.rotate(work, house.vault, organisation_id, created.id)


async def test_an_expired_key_is_dead(house: House) -> None:
    _, _, organisation_id = await house.owner()
    soon = house.database.clock.now() + timedelta(hours=1)
    created = await made(house, organisation_id, expires_at=soon)
    found = await grant(house, created.secret)
    assert found is not None
    assert found.expires_at_ms == int(soon.timestamp() * 1000)
    with psycopg.connect(house.database.admin_url, autocommit=True) as admin:
        admin.execute("UPDATE access.key SET expires_at = ruxa.now()")
    assert await grant(house, created.secret) is None


async def test_rotation_overlaps_with_two_live_secrets_and_never_three(house: House) -> None:
    _, _, organisation_id = await house.owner()
    first = await made(house, organisation_id, requests_per_minute=7)
    secrets = [first.secret]
    for _ in range(2):
        async with house.console.work() as work:
            rotated = await keys.rotate(work, house.vault, organisation_id, first.id, overlap=timedelta(hours=1))
        secrets.append(rotated.secret)
    assert await grant(house, secrets[0]) is None
    old, new = await grant(house, secrets[1]), await grant(house, secrets[2])
    assert old is not None
    assert new is not None
    assert old.key_id == new.key_id == first.id
    assert new.requests_per_minute == 7
    now = house.database.clock.unix_ms()
    assert new.expires_at_ms is None
    assert old.expires_at_ms is not None
    assert now + 3_500_000 < old.expires_at_ms <= now + 3_600_000
    async with house.console.work() as work:
        line = await keys.find(work, house.vault, organisation_id, first.id)
    assert line.prefixes == tuple(secret.open("provide")[:16] for secret in (secrets[2], secrets[1]))


async def test_rotation_without_overlap_ends_the_old_secret_now(house: House) -> None:
    _, _, organisation_id = await house.owner()
    first = await made(house, organisation_id)
    async with house.console.work() as work:
        rotated = await keys.rotate(work, house.vault, organisation_id, first.id, overlap=timedelta(0))
    assert await grant(house, first.secret) is None
    assert await grant(house, rotated.secret) is not None
    async with house.console.work() as work:
        with pytest.raises(InvalidCall):
            await keys.rotate(work, house.vault, organisation_id, first.id, overlap=timedelta(days=31))


async def test_two_rotations_at_once_leave_two_secrets(house: House) -> None:
    _, _, organisation_id = await house.owner()
    first = await made(house, organisation_id)

    async def rotate() -> Created:
        async with house.console.work() as work:
            return await keys.rotate(work, house.vault, organisation_id, first.id)

    done = await asyncio.gather(*(rotate() for _ in range(4)))
    alive = [secret for secret in (first.secret, *(one.secret for one in done)) if await grant(house, secret)]
    assert len(alive) == 2


async def test_a_playground_key_lives_15_minutes_and_ends_with_its_session(house: House) -> None:
    person = Person()
    entered = await house.join(person)
    assert entered.new_organisation is not None
    async with house.console.work() as work:
        created = await keys.create_for_playground(
            work, house.vault, entered.new_organisation, entered.session.id, budget_micros=1_000_000
        )
        assert await keys.of_organisation(work, house.vault, entered.new_organisation) == []
    found = await grant(house, created.secret)
    assert found is not None
    assert found.expires_at_ms is not None
    assert 880_000 < found.expires_at_ms - house.database.clock.unix_ms() <= 900_000
    assert found.budget_scope == created.id.hex
    async with house.console.work() as work:
        await sessions.revoke(work, entered.member_id, entered.session.id)
    assert await grant(house, created.secret) is None
    async with house.console.work() as work:
        with pytest.raises(NotFound):
            await keys.create_for_playground(
                work, house.vault, entered.new_organisation, entered.session.id, budget_micros=1
            )


async def test_a_playground_key_ends_when_its_member_loses_the_role(house: House) -> None:
    _, _, organisation_id = await house.owner()
    guest = Person()
    await house.join(guest)
    async with house.console.work() as work:
        invited = await members.invite(work, house.vault, organisation_id, guest.email, "developer")
    entered = await door.accept(house.door, "invite", invited.secret, VISITOR, password=guest.password)
    async with house.console.work() as work:
        created = await keys.create_for_playground(
            work, house.vault, organisation_id, entered.session.id, budget_micros=1
        )
    assert await grant(house, created.secret) is not None
    async with house.console.work() as work:
        await members.set_role(work, organisation_id, entered.member_id, "viewer")
    assert await grant(house, created.secret) is None


async def test_a_foreign_key_can_be_adopted_once(house: House) -> None:
    _, _, organisation_id = await house.owner()
    foreign = b"sk-or-v1-0123456789abcdef0123456789abcdef"
    async with house.operator.work() as work:
        key_id = await keys.adopt(work, house.vault, organisation_id, wish(), foreign)
    found = await grant(house, Sealed(foreign.decode()))
    assert found is not None
    assert found.key_id == key_id
    with pytest.raises(Conflict):
        async with house.operator.work() as work:
            await keys.adopt(work, house.vault, organisation_id, wish(), foreign)
    for bad in (b"short", b"x" * 600):
        with pytest.raises(CallerError):
            async with house.operator.work() as work:
                await keys.adopt(work, house.vault, organisation_id, wish(), bad)


async def test_lists_page_by_id(house: House) -> None:
    _, _, organisation_id = await house.owner()
    created = [(await made(house, organisation_id)).id for _ in range(5)]
    seen: list[UUID] = []
    async with house.console.work() as work:
        while page := await keys.of_organisation(
            work, house.vault, organisation_id, after=seen[-1] if seen else None, limit=2
        ):
            seen += [line.id for line in page]
        assert await keys.organisation_of(work, created[0]) == organisation_id
    assert seen == list(reversed(created))
