"""Rotating a key: the new secret is shown only to a member whose own role allows what the key does."""

from __future__ import annotations

from uuid import UUID

import pytest

from fixtures_access import House, Person
from ruxa.access import keys, members
from ruxa.access.keys import KeyWish
from ruxa.access.roles import CALL_SCOPES, SCOPES, Scope
from ruxa.kernel.errors import Forbidden
from ruxa.kernel.sealed import Sealed


async def test_a_developer_cannot_get_an_owners_key_by_rotating_it(house: House) -> None:
    _, owner_id, organisation_id = await house.owner()
    developer = Person()
    await house.join(developer)
    async with house.console.work() as work:
        invited = await members.invite(work, house.vault, organisation_id, developer.email, "developer")

    async def made(*scopes: Scope) -> keys.Created:
        async with house.console.work() as work:
            wish = KeyWish(name=Sealed("n"), scopes=scopes)
            return await keys.create(work, house.vault, organisation_id, wish, created_by=owner_id)

    async def rotate(key_id: UUID, member_id: UUID) -> keys.Created:
        async with house.console.work() as work:
            return await keys.rotate(work, house.vault, organisation_id, key_id, rotated_by=member_id)

    own, above = await made(*CALL_SCOPES, "usage:read"), await made(*SCOPES)
    assert (await rotate(own.id, invited.member_id)).secret.open("provide") != own.secret.open("provide")
    with pytest.raises(Forbidden) as caught:
        await rotate(above.id, invited.member_id)
    assert caught.value.code == "scope_beyond_role"
    async with house.console.work() as work:
        line = await keys.find(work, house.vault, organisation_id, above.id)
    assert line.prefixes == (above.prefix,)
    assert (await rotate(above.id, owner_id)).id == above.id
