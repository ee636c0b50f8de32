"""Entries: privileged acts leave one, and nothing changes or removes it."""

from __future__ import annotations

from uuid import uuid4

import psycopg
import pytest

from fixtures_access import VISITOR, House, Person
from ruxa.access import entrance as door
from ruxa.access import entries
from ruxa.access.authorize import OPERATOR, Principal


async def test_the_door_leaves_entries_by_id(house: House) -> None:
    person = Person()
    entered = await house.join(person)
    await door.sign_in(house.door, person.email, person.password, VISITOR)
    async with house.console.work() as work:
        found = await entries.everywhere(work)
    assert [one.act for one in reversed(found)] == [
        "member:signed_up",
        "member:verified",
        "organisation:created",
        "member:signed_in",
        "member:signed_in",
    ]
    assert {one.actor for one in found} == {"system", "member"}
    assert {one.member_id for one in found if one.actor == "member"} == {entered.member_id}
    assert person.mark not in repr(found)


async def test_entries_page_and_belong_to_their_organisation(house: House) -> None:
    organisation_id, other = uuid4(), uuid4()
    member = Principal(kind="member", id=uuid4())
    async with house.console.work() as work:
        await entries.add(work, member, "key:created", organisation_id=organisation_id, object_id=uuid4())
        await entries.add(work, member, "organisation:suspended", organisation_id=other, staff=True)
    async with house.operator.work() as work:
        await entries.add(work, OPERATOR, "credit:given", organisation_id=organisation_id)
    async with house.console.work() as work:
        first = await entries.of_organisation(work, organisation_id, limit=1)
        rest = await entries.of_organisation(work, organisation_id, after=first[0].id)
        everywhere = await entries.everywhere(work)
    assert [(one.actor, one.act) for one in (*first, *rest)] == [
        ("operator", "credit:given"),
        ("member", "key:created"),
    ]
    assert [one.actor for one in everywhere] == ["operator", "staff", "member"]


async def test_an_act_that_fails_leaves_no_entry(house: House) -> None:
    async def fail() -> None:
        async with house.console.work() as work:
            await entries.add(work, None, "key:created")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail()
    async with house.console.work() as work:
        assert await entries.everywhere(work) == []


async def test_nobody_changes_an_entry_not_even_the_administrator_by_mistake(house: House) -> None:
    async with house.console.work() as work:
        await entries.add(work, None, "key:created")
    with psycopg.connect(house.database.admin_url, autocommit=True) as admin:
        for sql in ("UPDATE access.entry SET act = 'key:revoked'", "TRUNCATE access.entry"):
            with pytest.raises(psycopg.Error) as caught:
                admin.execute(sql)  # pyright: ignore[reportArgumentType]
            assert caught.value.sqlstate == "RX301"
