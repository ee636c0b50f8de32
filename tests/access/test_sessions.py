"""Sessions: how long they live, what ends them, what is known of the browser."""

from __future__ import annotations

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures_access import VISITOR, House, Person
from ruxa.access import entrance as door
from ruxa.access import sessions
from ruxa.access.sessions import Visitor
from ruxa.kernel.errors import Forbidden, NotFound
from ruxa.kernel.sealed import Sealed


def later(house: House, sql: str) -> None:
    with psycopg.connect(house.database.admin_url, autocommit=True) as admin:
        admin.execute(sql)  # pyright: ignore[reportArgumentType]


async def alive(house: House, token: Sealed[str]) -> bool:
    async with house.console.work() as work:
        return await sessions.find(work, house.vault, token) is not None


async def test_a_session_dies_after_30_idle_days(house: House) -> None:
    entered = await house.join(Person())
    later(house, "UPDATE access.session SET seen_at = seen_at - interval '29 days 23 hours'")
    # Being used at that moment makes it fresh again.
    assert await alive(house, entered.session.token)
    later(house, "UPDATE access.session SET seen_at = seen_at - interval '29 days 23 hours'")
    assert await alive(house, entered.session.token)
    later(house, "UPDATE access.session SET seen_at = seen_at - interval '30 days 1 hour'")
    assert not await alive(house, entered.session.token)


async def test_a_session_dies_after_90_days_however_much_it_is_used(house: House) -> None:
    entered = await house.join(Person())
    assert entered.session.seconds == 90 * 86_400
    later(house, "UPDATE access.session SET ends_at = ends_at - interval '90 days' + interval '1 hour'")
    assert await alive(house, entered.session.token)
    later(house, "UPDATE access.session SET ends_at = ends_at - interval '1 hour'")
    assert not await alive(house, entered.session.token)


async def test_a_suspended_members_session_is_none_even_if_it_was_left(house: House) -> None:
    entered = await house.join(Person())
    later(house, "UPDATE access.member SET suspended_at = ruxa.now()")
    assert not await alive(house, entered.session.token)


async def test_tokens_are_random_hashed_and_replaced(house: House) -> None:
    entered = await house.join(Person())
    token = entered.session.token.open("security")
    assert len(token) == 43
    async with house.console.work() as work:
        stored = await work.value("SELECT token_hash FROM access.session")
        assert stored == house.vault.keyed_hash("session", token.encode())
        fresh = await sessions.rotate(work, house.vault, entered.session.id, proved=False)
    assert not await alive(house, entered.session.token)
    assert await alive(house, fresh)
    for forged in ("", "x", token[:-1] + "!", "\udcff"):
        assert not await alive(house, Sealed(forged))


async def test_csrf_is_the_sessions_own(house: House) -> None:
    person = Person()
    first, second = await house.join(person), await door.sign_in(house.door, person.email, person.password, VISITOR)
    async with house.console.work() as work:
        one = await sessions.find(work, house.vault, first.session.token)
        two = await sessions.find(work, house.vault, second.session.token)
    assert one is not None
    assert two is not None
    sessions.check_csrf(one, one.csrf)
    for given_token in (two.csrf, "", None, "\udcff", one.csrf + "x"):
        with pytest.raises(Forbidden) as caught:
            sessions.check_csrf(one, given_token)
        assert caught.value.code == "csrf"


async def test_lists_and_ends_single_sessions(house: House) -> None:
    person = Person()
    entered = await house.join(person)
    other = await door.sign_in(house.door, person.email, person.password, Visitor.of(None, None))
    stranger = await house.join(Person())
    async with house.console.work() as work:
        lines = await sessions.of_member(work, house.vault, entered.member_id)
        assert [line.agent.open("security") for line in lines if line.agent] == [
            "Browser on unknown system",
            "Firefox on Linux",
        ]
        with pytest.raises(NotFound):
            await sessions.revoke(work, entered.member_id, stranger.session.id)
        await sessions.revoke(work, entered.member_id, other.session.id)
    assert not await alive(house, other.session.token)
    assert await alive(house, entered.session.token)
    assert await alive(house, stranger.session.token)


async def test_the_browser_remembers_its_organisation(house: House) -> None:
    _, member_id, organisation_id = await house.owner()
    _, _, foreign = await house.owner()
    async with house.console.work() as work:
        opened = await sessions.create(work, house.vault, member_id, VISITOR)
        session = await sessions.find(work, house.vault, opened.token)
        assert session is not None
        assert session.organisation_id == organisation_id
        with pytest.raises(NotFound):
            await sessions.choose_organisation(work, session, foreign)
        await sessions.choose_organisation(work, session, organisation_id)
        session = await sessions.find(work, house.vault, opened.token)
        assert session is not None
        assert session.organisation_id == organisation_id


AGENTS = {
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36": (
        "Chrome on Windows"
    ),
    "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/142.0 Safari/537.36 Edg/142.0": "Edge on Windows",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 Version/18.1 Safari/604.1": (
        "Safari on iPhone"
    ),
    "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 Chrome/142.0 Mobile Safari/537.36": (
        "Chrome on Android"
    ),
    "curl/8.5.0": "Browser on unknown system",
}


def test_browsers_are_named_coarsely() -> None:
    assert {agent: sessions.coarse(agent) for agent in AGENTS} == AGENTS


@given(st.text(max_size=300))
def test_whatever_the_header_says_the_label_is_of_a_closed_set(agent: str) -> None:
    browser, _, system = sessions.coarse(agent).partition(" on ")
    assert browser in {"Edge", "Opera", "Firefox", "Chrome", "Safari", "Browser"}
    assert system in {"iPhone", "iPad", "Android", "Windows", "macOS", "ChromeOS", "Linux", "unknown system"}


@pytest.mark.parametrize(
    ("peer", "block"),
    [
        ("203.0.113.77", "203.0.113.0/24"),
        ("2001:db8:1:2:3::4", "2001:db8:1::/48"),
        ("::ffff:203.0.113.77", "203.0.113.0/24"),
        ("fe80::1%eth0", "fe80::/48"),
        ("somebody", None),
        (None, None),
    ],
)
def test_addresses_are_cut_to_a_block(peer: str | None, block: str | None) -> None:
    found = Visitor.of(peer, None).block
    assert (None if found is None else found.open("security")) == block
