"""Members: profiles, teams, invitations, staff; and that an organisation always keeps an owner."""

from __future__ import annotations

import asyncio
from uuid import UUID, uuid4

import pytest

from fixtures_access import BASE_URL, VISITOR, House, Person
from ruxa.access import entrance as door
from ruxa.access import members, organisations, sessions, throttle
from ruxa.access.roles import Role
from ruxa.kernel.errors import Broken, Conflict, InvalidCall, Limited, NotFound
from ruxa.kernel.sealed import Sealed


async def join_as(house: House, organisation_id: UUID, role: Role) -> tuple[Person, UUID]:
    person = Person()
    entered = await house.join(person)
    async with house.console.work() as work:
        invited = await members.invite(work, house.vault, organisation_id, person.email, role)
    await door.accept(house.door, "invite", invited.secret, VISITOR, password=person.password)
    return person, entered.member_id


async def test_profile_is_sealed_and_edited(house: House) -> None:
    person, member_id, _ = await house.owner()
    async with house.console.work() as work:
        profile = await members.profile(work, house.vault, member_id)
        assert profile.name is not None
        assert profile.name.open("provide") == person.name.open("provide")
        assert person.mark not in repr(profile)
        await members.set_name(work, house.vault, member_id, Sealed("  Ünï   Côde  "))
        await members.set_locale(work, member_id, "zh-Hant-TW")
        profile = await members.profile(work, house.vault, member_id)
        assert profile.name is not None
        assert (profile.name.open("provide"), profile.locale) == ("Ünï Côde", "zh")
        assert await members.find_by_email(work, house.vault, person.email) == member_id
        upper = Sealed(person.email.open("provide").upper())
        assert await members.find_by_email(work, house.vault, upper) == member_id
        assert await members.find_by_email(work, house.vault, Person().email) is None
        with pytest.raises(NotFound):
            await members.profile(work, house.vault, uuid4())


async def test_team_shows_members_and_open_invitations(house: House) -> None:
    owner, owner_id, organisation_id = await house.owner()
    guest = Person()
    async with house.console.work() as work:
        guest_id = await members.invite_by_mail(
            work, house.vault, organisation_id, guest.email, "billing", base_url=BASE_URL, locale="zh"
        )
        team = await members.team(work, house.vault, organisation_id)
    assert [(line.member_id, line.role, line.accepted_at is None) for line in team] == [
        (owner_id, "owner", False),
        (guest_id, "billing", True),
    ]
    assert team[0].email.open("provide").casefold() == owner.email.open("provide").casefold()
    assert team[1].name is None
    letter = (await house.deliver())[-1]
    assert "我的组织" not in letter.text.open("communicate")
    assert "您受邀加入" in letter.text.open("communicate")
    # Open invitations give nothing.
    async with house.console.work() as work:
        assert await members.memberships(work, guest_id) == {}


async def test_invitations_are_throttled_per_address_and_organisation(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(throttle, "INVITATIONS", throttle.Rule("invite.organisation", 6, wait_s=60, window_s=3600))
    _, _, organisation_id = await house.owner()

    async def invite(person: Person) -> None:
        async with house.console.work() as work:
            await members.invite_by_mail(work, house.vault, organisation_id, person.email, "viewer", base_url=BASE_URL)

    pestered = Person()
    for _ in range(4):
        await invite(pestered)
    with pytest.raises(Limited):
        await invite(pestered)
    for _ in range(2):
        await invite(Person())
    with pytest.raises(Limited) as caught:
        await invite(Person())
    assert caught.value.retry_after_s


async def test_inviting_again_changes_the_role_and_a_member_cannot_be_invited(house: House) -> None:
    _, _, organisation_id = await house.owner()
    guest = Person()
    for role in ("viewer", "developer"):
        async with house.console.work() as work:
            await members.invite(work, house.vault, organisation_id, guest.email, role)
    async with house.console.work() as work:
        team = await members.team(work, house.vault, organisation_id)
    assert [line.role for line in team] == ["owner", "developer"]
    member, _ = await join_as(house, organisation_id, "viewer")
    async with house.console.work() as work:
        with pytest.raises(Conflict) as caught:
            await members.invite(work, house.vault, organisation_id, member.email, "owner")
    assert caught.value.code == "member_already"
    async with house.console.work() as work:
        with pytest.raises(InvalidCall):
            await members.invite(work, house.vault, organisation_id, guest.email, "root")  # type: ignore[arg-type]


async def test_the_last_invitation_of_an_owner_stays(house: House) -> None:
    guest = Person()
    async with house.console.work() as work:
        made = await organisations.create(work, house.vault, Sealed("Acme"))
        guest_id = (await members.invite(work, house.vault, made.id, guest.email, "owner")).member_id
    with pytest.raises(Conflict) as caught:
        async with house.console.work() as work:
            await members.invite(work, house.vault, made.id, guest.email, "viewer")
    assert caught.value.code == "last_owner"
    async with house.console.work() as work:
        await members.invite(work, house.vault, made.id, guest.email, "owner")
        other = await members.invite(work, house.vault, made.id, Person().email, "owner")
        await members.invite(work, house.vault, made.id, guest.email, "viewer")
        await members.remove(work, made.id, guest_id)
        assert [line.member_id for line in await members.team(work, house.vault, made.id)] == [other.member_id]


async def test_the_last_owner_stays(house: House) -> None:
    _, owner_id, organisation_id = await house.owner()
    _, second_id = await join_as(house, organisation_id, "viewer")
    for act in (
        lambda work: members.remove(work, organisation_id, owner_id),
        lambda work: members.set_role(work, organisation_id, owner_id, "viewer"),
    ):
        with pytest.raises(Conflict) as caught:
            async with house.console.work() as work:
                await act(work)
        assert caught.value.code == "last_owner"
    async with house.console.work() as work:
        await members.set_role(work, organisation_id, second_id, "owner")
        await members.remove(work, organisation_id, owner_id)
        assert await members.memberships(work, owner_id) == {}
        with pytest.raises(NotFound):
            await members.remove(work, organisation_id, owner_id)


async def test_two_owners_leaving_at_once_leave_one(house: House) -> None:
    _, owner_id, organisation_id = await house.owner()
    _, second_id = await join_as(house, organisation_id, "owner")

    async def leave() -> None:
        async with house.console.work() as work:
            await members.remove(work, organisation_id, second_id)

    # The second one begins while the first has not committed yet.
    async with house.console.work() as work:
        await members.remove(work, organisation_id, owner_id)
        other = asyncio.create_task(leave())
        _, waiting = await asyncio.wait([other], timeout=0.5)
        assert waiting == {other}
    with pytest.raises(Conflict) as caught:
        await other
    assert caught.value.code == "last_owner"


async def test_two_invitations_of_a_new_address_at_once_make_one_person(house: House) -> None:
    _, _, organisation_id = await house.owner()
    guest = Person()

    async def invite() -> members.Invited:
        async with house.console.work() as work:
            return await members.invite(work, house.vault, organisation_id, guest.email, "viewer")

    done = await asyncio.gather(*(invite() for _ in range(4)))
    assert len({one.member_id for one in done}) == 1
    async with house.console.work() as work:
        assert len(await members.team(work, house.vault, organisation_id)) == 2


async def test_a_staff_role_ends_sessions_and_only_the_operators_login_gives_it(house: House) -> None:
    person = Person()
    entered = await house.join(person)
    async with house.operator.work() as work:
        added = await members.add_staff(work, house.vault, person.email, "finance")
        assert added.member_id == entered.member_id
        assert [one.staff_role for one in await members.staff(work, house.vault)] == ["finance"]
    async with house.console.work() as work:
        assert await sessions.find(work, house.vault, entered.session.token) is None
    again = await door.sign_in(house.door, person.email, person.password, VISITOR)
    assert again.session.seconds == 12 * 3600
    with pytest.raises(Broken):
        async with house.console.work() as work:
            await members.remove_staff(work, entered.member_id)
    async with house.operator.work() as work:
        await members.remove_staff(work, entered.member_id)
        assert await members.staff(work, house.vault) == []
    async with house.console.work() as work:
        assert await sessions.find(work, house.vault, again.session.token) is None
    async with house.operator.work() as work:
        with pytest.raises(InvalidCall):
            await members.add_staff(work, house.vault, person.email, "root")  # type: ignore[arg-type]


async def test_the_demos_owner_is_an_operator_and_can_sign_in(house: House) -> None:
    person = Person()
    hashed = await house.hasher.hash(person.password)
    async with house.operator.work() as work:
        demo = await organisations.create(work, house.vault, Sealed("Demo"), synthetic=True)
        await members.create_synthetic(work, house.vault, person.email, person.name, hashed, demo.id)
    entered = await door.sign_in(house.door, person.email, person.password, VISITOR)
    async with house.console.work() as work:
        session = await sessions.find(work, house.vault, entered.session.token)
    assert session is not None
    assert (session.principal.roles, session.principal.staff_role) == ({demo.id: "owner"}, "operator")


async def test_suspending_nobody_is_not_found(house: House) -> None:
    for act in (members.suspend, members.restore):
        with pytest.raises(NotFound):
            async with house.operator.work() as work:
                await act(work, uuid4())
