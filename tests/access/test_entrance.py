"""People come in: every way through the door, and every way it stays shut."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from datetime import date
from uuid import UUID

import msgspec
import psycopg
import pytest

from fixtures_access import BASE_URL, REAL_COSTS, VISITOR, House, Person, secret_in, set_costs
from ruxa.access import entrance as door
from ruxa.access import jobs, links, members, passwords, sessions, terms, throttle
from ruxa.access.entrance import Arrival
from ruxa.access.sessions import Visitor
from ruxa.kernel.errors import CallerError, Forbidden, InvalidCall, Limited, NotFound, RuxaError, Unauthenticated
from ruxa.kernel.sealed import Sealed

ELSEWHERE = Visitor.of("198.51.100.9", "Mozilla/5.0 (Macintosh; Intel Mac OS X 14_7) Version/18.1 Safari/605.1.15")


def admin(house: House, sql: str, *args: object) -> list[tuple[object, ...]]:
    """The administrator's look at what is stored, or hand in it."""
    with psycopg.connect(house.database.admin_url, autocommit=True) as connection:
        cursor = connection.execute(sql, args)  # pyright: ignore[reportArgumentType]
        return cursor.fetchall() if cursor.description else []


def rows_of_access(house: House) -> dict[str, int]:
    """How many rows each table holds."""
    tables = admin(house, "SELECT table_name FROM information_schema.tables WHERE table_schema = 'access'")
    return {str(name): int(str(admin(house, f"SELECT count(*) FROM access.{name}")[0][0])) for (name,) in tables}


async def code_of(awaited: object) -> str:
    """The code of the refusal."""
    with pytest.raises(CallerError) as caught:
        await awaited  # type: ignore[misc]
    return caught.value.code


# Sign up and the proof of the address


async def test_signs_up_proves_the_address_and_is_in(house: House) -> None:
    person = Person()
    ticket = await door.sign_up(house.door, person.form(), VISITOR)
    letter = (await house.deliver())[-1]
    assert letter.recipient.open("communicate") == person.email.open("provide").replace("Example", "example")
    assert BASE_URL + "/verify/" in letter.text.open("communicate")
    assert person.name.open("provide") in letter.text.open("communicate")
    entered = await door.verify(house.door, secret_in(letter), VISITOR, ticket=ticket)
    assert entered.new_organisation is not None
    async with house.console.work() as work:
        session = await sessions.find(work, house.vault, entered.session.token)
        assert session is not None
        assert session.principal.roles == {entered.new_organisation: "owner"}
        assert session.principal.staff_role is None
        accepted = await terms.accepted_by(work, entered.member_id)
        assert sorted((one.name, one.version, one.locale) for one in accepted) == [
            ("refunds", terms.CURRENT, "en"),
            ("terms", terms.CURRENT, "en"),
        ]
        assert {one.name: one.sha256 for one in accepted}["terms"] == terms.document("terms", "en").sha256
    again = await door.sign_in(house.door, person.email, person.password, VISITOR)
    assert (again.member_id, again.new_organisation) == (entered.member_id, None)


async def test_a_sign_up_below_18_stores_nothing(house: House) -> None:
    before = rows_of_access(house)
    keys_before = admin(house, "SELECT count(*) FROM keystore.key WHERE kind = 'subject'")
    assert await code_of(door.sign_up(house.door, Person().form(adult=False), VISITOR)) == "under_age"
    assert rows_of_access(house) == before
    assert admin(house, "SELECT count(*) FROM keystore.key WHERE kind = 'subject'") == keys_before


@pytest.mark.parametrize("version", [None, date(2020, 1, 1)])
async def test_the_current_terms_must_be_accepted(house: House, version: date | None) -> None:
    assert await code_of(door.sign_up(house.door, Person().form(version=version), VISITOR)) == "terms_not_accepted"
    assert rows_of_access(house)["member"] == 0


async def test_an_unproved_account_lets_nobody_in(house: House) -> None:
    person = Person()
    await door.sign_up(house.door, person.form(), VISITOR)
    assert await code_of(door.sign_in(house.door, person.email, person.password, VISITOR)) == "address_unproved"
    assert rows_of_access(house)["session"] == 0
    await house.deliver()
    ticket = await door.ask_for_proof_again(house.door, person.email, person.password, VISITOR)
    await door.verify(house.door, await house.link(), VISITOR, ticket=ticket)
    await door.sign_in(house.door, person.email, person.password, VISITOR)


async def test_proof_again_is_mailed_only_to_who_knows_the_password(house: House) -> None:
    person, stranger = Person(), Person()
    await door.sign_up(house.door, person.form(), VISITOR)
    await house.deliver()
    await door.ask_for_proof_again(house.door, person.email, stranger.password, VISITOR)
    await door.ask_for_proof_again(house.door, stranger.email, stranger.password, VISITOR)
    assert await house.deliver() == []


async def test_another_browser_needs_the_password(house: House) -> None:
    person = Person()
    await door.sign_up(house.door, person.form(), VISITOR)
    secret = await house.link()
    assert await code_of(door.verify(house.door, secret, ELSEWHERE)) == "password_needed"
    wrong = Sealed("a-password-of-nobody-1")
    assert await code_of(door.verify(house.door, secret, ELSEWHERE, password=wrong)) == "password_needed"
    assert await code_of(door.verify(house.door, secret, ELSEWHERE, ticket=links.draw())) == "password_needed"
    await door.verify(house.door, secret, ELSEWHERE, password=person.password)


async def test_confirming_a_strangers_sign_up_gives_the_stranger_nothing(house: House) -> None:
    """Pre-hijacking: an attacker signs the victim's address up first; both orders end in the victim's hands."""
    victim, attacker = Person(), Person()
    planted = attacker.form()
    planted = door.SignUp(
        email=victim.email, name=attacker.name, password=attacker.password, adult=True, terms=planted.terms
    )
    await door.sign_up(house.door, planted, ELSEWHERE)
    first = await house.link()
    ticket = await door.sign_up(house.door, victim.form(), VISITOR)
    second = await house.link()
    # The first mail's link died with the second sign-up, and the attacker's password with it.
    assert await code_of(door.verify(house.door, first, VISITOR, password=attacker.password)) == "link_dead"
    await door.verify(house.door, second, VISITOR, ticket=ticket)
    code = await code_of(door.sign_in(house.door, victim.email, attacker.password, ELSEWHERE))
    assert code == "sign_in_refused"
    await door.sign_in(house.door, victim.email, victim.password, VISITOR)


async def test_a_known_address_gets_the_same_answer_and_its_owner_a_mail(house: House) -> None:
    person, other = Person(), Person()
    await house.join(person)
    before = rows_of_access(house)
    keys_before = admin(house, "SELECT count(*) FROM keystore.key WHERE kind = 'subject'")
    form = door.SignUp(
        email=Sealed(person.email.open("provide").upper()),
        name=other.name,
        password=other.password,
        adult=True,
        terms=terms.CURRENT,
    )
    ticket = await door.sign_up(house.door, form, ELSEWHERE)
    assert len(ticket.open("security")) == 43
    letter = (await house.deliver())[-1]
    assert letter.subject.open("communicate") == "You already have an account"
    assert person.name.open("provide") in letter.text.open("communicate")
    assert other.name.open("provide") not in letter.text.open("communicate")
    after = rows_of_access(house)
    assert {name for name in after if after[name] != before[name]} <= {"mail", "throttle"}
    assert admin(house, "SELECT count(*) FROM keystore.key WHERE kind = 'subject'") == keys_before
    await door.sign_in(house.door, person.email, person.password, VISITOR)
    assert await code_of(door.sign_in(house.door, person.email, other.password, VISITOR)) == "sign_in_refused"


async def test_two_sign_ups_of_one_address_at_once_make_one_account(house: House) -> None:
    person = Person()
    tickets = await asyncio.gather(*(door.sign_up(house.door, person.form(), VISITOR) for _ in range(4)))
    assert rows_of_access(house)["member"] == 1
    assert admin(house, "SELECT count(DISTINCT subject) FROM keystore.key")[0][0] == 1
    # The last of them holds: exactly one ticket opens the one living link.
    letters = await house.deliver()
    entered = 0
    for ticket in tickets:
        for letter in letters:
            with contextlib.suppress(NotFound, Unauthenticated):
                await door.verify(house.door, secret_in(letter), VISITOR, ticket=ticket)
                entered += 1
    assert entered == 1


async def test_answers_take_the_same_time_known_or_not(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    known, unknown = Person(), Person()
    await house.join(known)
    monkeypatch.setattr("ruxa.kernel.bounds.SAME_ANSWER_S", 0.8)
    clock = asyncio.get_running_loop().time
    took: list[float] = []
    for address in (known.email, unknown.email):
        since = clock()
        await door.ask_reset(house.door, address, VISITOR)
        took.append(clock() - since)
    assert min(took) >= 0.8
    assert abs(took[0] - took[1]) < 0.3


BAD_FIELDS = [
    ("email", "not an address", "email_invalid"),
    ("email", "a@b@c", "email_invalid"),
    ("email", "x@example.com\r\nBcc: y@example.com", "email_invalid"),
    ("email", "x" * 300 + "@example.com", "email_invalid"),
    ("email", "\udcff@example.com", "email_invalid"),
    ("name", "", "name_invalid"),
    ("name", "x" * 101, "name_invalid"),
    ("name", "a\x00b", "name_invalid"),
    ("name", "\ud800", "name_invalid"),
    ("password", "short", "password_short"),
    ("password", "x" * 257, "password_long"),
    ("password", "password12345", "password_common"),
]


async def test_a_bad_field_is_named_and_nothing_is_stored(house: House) -> None:
    for field, value, code in BAD_FIELDS:
        person = Person()
        setattr(person, field, Sealed(value))
        with pytest.raises(InvalidCall) as caught:
            await door.sign_up(house.door, person.form(), VISITOR)
        assert (caught.value.code, caught.value.param) == (code, field)
    assert rows_of_access(house)["member"] == 0


async def test_mail_to_one_address_is_throttled(house: House) -> None:
    person = Person()
    await house.join(person)
    # The sign-up was the first of four.
    for _ in range(3):
        await door.ask_reset(house.door, person.email, VISITOR)
    with pytest.raises(Limited) as caught:
        await door.ask_reset(house.door, person.email, VISITOR)
    assert caught.value.code == "too_many_attempts"
    assert caught.value.retry_after_s in range(60, 121)
    assert len([one for one in await house.deliver() if "new password" in one.subject.open("communicate")]) < 5


# Sign in


async def test_wrong_password_unknown_address_and_no_address_are_one_answer(house: House) -> None:
    person, stranger = Person(), Person()
    await house.join(person)
    said: set[tuple[type, str, str]] = set()
    for email, password in (
        (person.email, stranger.password),
        (stranger.email, person.password),
        (Sealed("not an address"), person.password),
        (Sealed(""), Sealed("")),
    ):
        with pytest.raises(RuxaError) as caught:
            await door.sign_in(house.door, email, password, VISITOR)
        said.add((type(caught.value), caught.value.code, caught.value.public))
    assert said == {(Unauthenticated, "sign_in_refused", "The address or the password is wrong.")}


async def test_a_huge_password_is_refused_as_wrong(house: House) -> None:
    person = Person()
    await house.join(person)
    huge = Sealed("x" * 1_000_000)
    assert await code_of(door.sign_in(house.door, person.email, huge, VISITOR)) == "sign_in_refused"
    surrogate = Sealed("\udcff" * 20)
    assert await code_of(door.sign_in(house.door, person.email, surrogate, VISITOR)) == "sign_in_refused"


async def test_guessing_is_stopped_even_when_it_is_parallel(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "SIGN_IN_ACCOUNT", throttle.Rule("sign_in.account", 5, wait_s=300, window_s=3600))
    person = Person()
    await house.join(person)
    guesses = [Sealed(f"guess number {number} of many") for number in range(24)]
    done = await asyncio.gather(
        *(door.sign_in(house.door, person.email, guess, VISITOR) for guess in guesses), return_exceptions=True
    )
    refused = [one for one in done if isinstance(one, Unauthenticated)]
    assert len(refused) == 5
    assert all(isinstance(one, Limited) for one in done if one not in refused)
    # The right password waits too, or guessing would tell it.
    with pytest.raises(Limited) as caught:
        await door.sign_in(house.door, person.email, person.password, VISITOR)
    assert caught.value.retry_after_s in range(200, 301)
    admin(house, "UPDATE access.throttle SET blocked_until = blocked_until - interval '300 seconds'")
    await door.sign_in(house.door, person.email, person.password, VISITOR)
    # The right password forgets the account's attempts.
    for _ in range(4):
        assert await code_of(door.sign_in(house.door, person.email, guesses[0], VISITOR)) == "sign_in_refused"
    await door.sign_in(house.door, person.email, person.password, VISITOR)


async def test_one_block_is_stopped_across_accounts(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "SIGN_IN_BLOCK", throttle.Rule("sign_in.block", 6, wait_s=300, window_s=3600))
    outcomes = [
        await code_of(door.sign_in(house.door, Person().email, Sealed("whatever it may be"), ELSEWHERE))
        for _ in range(8)
    ]
    assert outcomes == ["sign_in_refused"] * 6 + ["too_many_attempts"] * 2
    # Another address of the block is the block; somebody else's block is free.
    neighbour = Visitor.of("198.51.100.200", None)
    assert await code_of(door.sign_in(house.door, Person().email, Sealed("whatever"), neighbour)) == "too_many_attempts"
    assert await code_of(door.sign_in(house.door, Person().email, Sealed("whatever"), VISITOR)) == "sign_in_refused"


async def test_a_suspended_member_is_out_and_stays_out(house: House) -> None:
    person = Person()
    entered = await house.join(person)
    async with house.operator.work() as work:
        await members.suspend(work, entered.member_id)
    async with house.console.work() as work:
        assert await sessions.find(work, house.vault, entered.session.token) is None
    with pytest.raises(Forbidden) as caught:
        await door.sign_in(house.door, person.email, person.password, VISITOR)
    assert caught.value.code == "member_suspended"
    async with house.operator.work() as work:
        await members.restore(work, entered.member_id)
    await door.sign_in(house.door, person.email, person.password, VISITOR)


async def test_a_new_browser_is_told_by_mail_and_a_known_one_is_not(house: House) -> None:
    person = Person()
    await house.join(person)
    await house.deliver()
    await door.sign_in(house.door, person.email, person.password, VISITOR)
    assert await house.deliver() == []
    await door.sign_in(house.door, person.email, person.password, ELSEWHERE)
    letter = (await house.deliver())[-1]
    assert letter.subject.open("communicate") == "Sign-in from a new browser"
    assert "Safari on macOS" in letter.text.open("communicate")


class Meddling(passwords.Hasher):
    """Something happens between the moment a password is found right and the moment that counts."""

    meddle: Callable[[], object] = staticmethod(lambda: None)

    async def verify(self, stored: str | None, password: Sealed[str]) -> bool:
        right = await super().verify(stored, password)
        type(self).meddle()
        return right


async def test_a_password_that_is_changed_while_it_is_hashed_lets_nobody_in(house: House) -> None:
    person, new = Person(), Person()
    entered = await house.join(person)
    fresh = await house.hasher.hash(new.password)
    hasher = Meddling(house.vault)
    entrance = msgspec.structs.replace(house.door, hasher=hasher)
    Meddling.meddle = staticmethod(lambda: admin(house, "UPDATE access.member SET password_hash = %s", fresh))
    assert await code_of(door.sign_in(entrance, person.email, person.password, VISITOR)) == "sign_in_refused"
    async with house.console.work() as work:
        session = await sessions.find(work, house.vault, entered.session.token)
    assert session is not None
    old = await house.hasher.hash(person.password)
    admin(house, "UPDATE access.member SET password_hash = %s", old)
    changed = door.change_password(entrance, session, person.password, Person().password, VISITOR)
    assert await code_of(changed) == "sign_in_refused"
    hasher.close()


async def test_a_sign_up_that_is_replaced_while_the_password_is_hashed_proves_nothing(house: House) -> None:
    person = Person()
    await door.sign_up(house.door, person.form(), VISITOR)
    secret = await house.link()
    fresh = await house.hasher.hash(Person().password)
    hasher = Meddling(house.vault)
    entrance = msgspec.structs.replace(house.door, hasher=hasher)
    Meddling.meddle = staticmethod(lambda: admin(house, "UPDATE access.member SET password_hash = %s", fresh))
    assert await code_of(door.verify(entrance, secret, VISITOR, password=person.password)) == "link_dead"
    assert admin(house, "SELECT verified_at FROM access.member") == [(None,)]
    hasher.close()


async def test_an_old_hash_is_renewed_at_sign_in(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    person = Person()
    entered = await house.join(person)
    set_costs(monkeypatch, *REAL_COSTS)
    dear = passwords.Hasher(house.vault)
    entrance = msgspec.structs.replace(house.door, hasher=dear)
    await door.sign_in(entrance, person.email, person.password, VISITOR)
    stored = str(admin(house, "SELECT password_hash FROM access.member WHERE id = %s", entered.member_id)[0][0])
    assert stored.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    await door.sign_in(entrance, person.email, person.password, VISITOR)
    dear.close()


# A new password


async def test_reset_sets_a_password_ends_sessions_and_proves_the_mailbox(house: House) -> None:
    person = Person()
    entered = await house.join(person)
    await house.deliver()
    await door.ask_reset(house.door, person.email, VISITOR)
    secret = await house.link()
    fresh = Person().password
    bad = door.reset(house.door, secret, Sealed("qwertyuiop123"), VISITOR)
    assert await code_of(bad) == "password_common"
    again = await door.reset(house.door, secret, fresh, VISITOR)
    async with house.console.work() as work:
        assert await sessions.find(work, house.vault, entered.session.token) is None
        assert await sessions.find(work, house.vault, again.session.token) is not None
    assert await code_of(door.reset(house.door, secret, Person().password, VISITOR)) == "link_dead"
    assert await code_of(door.sign_in(house.door, person.email, person.password, VISITOR)) == "sign_in_refused"
    await door.sign_in(house.door, person.email, fresh, VISITOR)
    subjects = [letter.subject.open("communicate") for letter in await house.deliver()]
    assert subjects == ["Your password was changed"]


async def test_one_reset_link_used_twice_at_once_works_once(house: House) -> None:
    person = Person()
    await house.join(person)
    await house.deliver()
    await door.ask_reset(house.door, person.email, VISITOR)
    secret = await house.link()
    passwords = [Person().password for _ in range(5)]
    done = await asyncio.gather(
        *(door.reset(house.door, secret, password, VISITOR) for password in passwords), return_exceptions=True
    )
    winners = [password for password, one in zip(passwords, done, strict=True) if not isinstance(one, BaseException)]
    assert len(winners) == 1
    assert all(isinstance(one, NotFound) and one.code == "link_dead" for one in done if isinstance(one, BaseException))
    await door.sign_in(house.door, person.email, winners[0], VISITOR)


async def test_reset_for_an_unknown_address_says_nothing_and_sends_nothing(house: House) -> None:
    await door.ask_reset(house.door, Person().email, VISITOR)
    assert await house.deliver() == []


async def test_an_unproved_account_is_taken_over_by_its_mailbox(house: House) -> None:
    victim, attacker = Person(), Person()
    form = attacker.form()
    await door.sign_up(
        house.door,
        door.SignUp(email=victim.email, name=form.name, password=form.password, adult=True, terms=form.terms),
        ELSEWHERE,
    )
    planted = await house.link()
    await door.ask_reset(house.door, victim.email, VISITOR)
    await door.reset(house.door, await house.link(), victim.password, VISITOR)
    await door.sign_in(house.door, victim.email, victim.password, VISITOR)
    assert await code_of(door.verify(house.door, planted, ELSEWHERE, password=attacker.password)) == "link_dead"


async def test_change_password_keeps_this_session_with_a_new_token(house: House) -> None:
    person = Person()
    entered = await house.join(person)
    other = await door.sign_in(house.door, person.email, person.password, ELSEWHERE)
    async with house.console.work() as work:
        session = await sessions.find(work, house.vault, entered.session.token)
    assert session is not None
    fresh = Person().password
    wrong = door.change_password(house.door, session, Person().password, fresh, VISITOR)
    assert await code_of(wrong) == "sign_in_refused"
    token = await door.change_password(house.door, session, person.password, fresh, VISITOR)
    async with house.console.work() as work:
        found = await sessions.find(work, house.vault, token)
        assert found is not None
        assert (found.id, found.csrf != session.csrf) == (session.id, True)
        assert await sessions.find(work, house.vault, entered.session.token) is None
        assert await sessions.find(work, house.vault, other.session.token) is None
    await door.sign_in(house.door, person.email, fresh, VISITOR)


async def test_grave_acts_need_a_recent_proof(house: House) -> None:
    person = Person()
    entered = await house.join(person)
    admin(house, "UPDATE access.session SET proved_at = proved_at - interval '16 minutes'")
    async with house.console.work() as work:
        session = await sessions.find(work, house.vault, entered.session.token)
    assert session is not None
    with pytest.raises(Forbidden) as caught:
        sessions.require_proof(session)
    assert caught.value.code == "proof_needed"
    token = await door.prove(house.door, session, person.password, VISITOR)
    async with house.console.work() as work:
        session = await sessions.find(work, house.vault, token)
    assert session is not None
    sessions.require_proof(session)


async def test_sign_out_here_and_everywhere(house: House) -> None:
    person = Person()
    entered = await house.join(person)
    first = await door.sign_in(house.door, person.email, person.password, VISITOR)
    second = await door.sign_in(house.door, person.email, person.password, VISITOR)
    async with house.console.work() as work:
        session = await sessions.find(work, house.vault, first.session.token)
    assert session is not None
    await door.sign_out(house.door, session)
    async with house.console.work() as work:
        assert await sessions.find(work, house.vault, first.session.token) is None
        session = await sessions.find(work, house.vault, second.session.token)
    assert session is not None
    await door.sign_out(house.door, session, everywhere=True)
    async with house.console.work() as work:
        assert await sessions.find(work, house.vault, entered.session.token) is None


# In by a link


def arrival(person: Person, *, adult: bool = True, version: date | None = terms.CURRENT) -> Arrival:
    return Arrival(name=person.name, password=person.password, adult=adult, terms=version)


async def invited(house: House, organisation_id: UUID, email: Sealed[str]) -> Sealed[str]:
    async with house.console.work() as work:
        await members.invite_by_mail(work, house.vault, organisation_id, email, "developer", base_url=BASE_URL)
    return await house.link()


async def test_an_invited_newcomer_joins(house: House) -> None:
    _, _, organisation_id = await house.owner()
    guest = Person()
    secret = await invited(house, organisation_id, guest.email)
    assert await code_of(door.accept(house.door, "invite", secret, VISITOR)) == "arrival_needed"
    young = door.accept(house.door, "invite", secret, VISITOR, arrival=arrival(guest, adult=False))
    assert await code_of(young) == "under_age"
    hasty = door.accept(house.door, "invite", secret, VISITOR, arrival=arrival(guest, version=None))
    assert await code_of(hasty) == "terms_not_accepted"
    entered = await door.accept(house.door, "invite", secret, VISITOR, arrival=arrival(guest))
    assert entered.new_organisation is None
    async with house.console.work() as work:
        session = await sessions.find(work, house.vault, entered.session.token)
        assert session is not None
        assert session.principal.roles == {organisation_id: "developer"}
        assert len(await terms.accepted_by(work, entered.member_id)) == 2
    await door.sign_in(house.door, guest.email, guest.password, VISITOR)
    assert await code_of(door.accept(house.door, "invite", secret, VISITOR)) == "link_dead"


async def test_an_invitation_makes_nobody_of_a_known_member(house: House) -> None:
    """Whoever made the link must not become the invited person: it takes their password or their session."""
    _, _, organisation_id = await house.owner()
    guest = Person()
    entered = await house.join(guest)
    secret = await invited(house, organisation_id, guest.email)
    assert await code_of(door.accept(house.door, "invite", secret, ELSEWHERE)) == "password_needed"
    forged = door.accept(house.door, "invite", secret, ELSEWHERE, arrival=arrival(Person()))
    assert await code_of(forged) == "password_needed"
    async with house.console.work() as work:
        session = await sessions.find(work, house.vault, entered.session.token)
    joined = await door.accept(house.door, "invite", secret, VISITOR, session=session)
    async with house.console.work() as work:
        assert await sessions.find(work, house.vault, entered.session.token) is None
        found = await sessions.find(work, house.vault, joined.session.token)
    assert found is not None
    assert found.principal.roles[organisation_id] == "developer"


async def test_a_planted_password_does_not_survive_an_invitation(house: House) -> None:
    _, _, organisation_id = await house.owner()
    guest, attacker = Person(), Person()
    planted = door.SignUp(
        email=guest.email, name=attacker.name, password=attacker.password, adult=True, terms=terms.CURRENT
    )
    await door.sign_up(house.door, planted, ELSEWHERE)
    await house.deliver()
    secret = await invited(house, organisation_id, guest.email)
    await door.accept(house.door, "invite", secret, VISITOR, arrival=arrival(guest))
    assert await code_of(door.sign_in(house.door, guest.email, attacker.password, ELSEWHERE)) == "sign_in_refused"
    await door.sign_in(house.door, guest.email, guest.password, VISITOR)


async def test_a_withdrawn_invitation_is_dead(house: House) -> None:
    _, _, organisation_id = await house.owner()
    guest = Person()
    secret = await invited(house, organisation_id, guest.email)
    async with house.console.work() as work:
        member_id = await members.find_by_email(work, house.vault, guest.email)
        assert member_id is not None
        await members.remove(work, organisation_id, member_id)
    done = door.accept(house.door, "invite", secret, VISITOR, arrival=arrival(guest))
    assert await code_of(done) == "link_dead"


async def test_who_forgot_an_invitation_gets_it_again_by_asking_for_a_password(house: House) -> None:
    _, _, organisation_id = await house.owner()
    guest = Person()
    await invited(house, organisation_id, guest.email)
    await door.ask_reset(house.door, guest.email, VISITOR)
    secret = await house.link()
    await door.accept(house.door, "invite", secret, VISITOR, arrival=arrival(guest))


async def test_an_operator_comes_in_by_the_command_lines_link(house: House) -> None:
    boss = Person()
    async with house.operator.work() as work:
        added = await members.add_staff(work, house.vault, boss.email, "operator")
    entered = await door.accept(house.door, "operator", added.secret, VISITOR, arrival=arrival(boss))
    assert entered.new_organisation is None
    assert entered.session.seconds == 12 * 3600
    async with house.console.work() as work:
        session = await sessions.find(work, house.vault, entered.session.token)
    assert session is not None
    assert session.principal.staff_role == "operator"


async def test_a_sign_in_link_of_the_command_line_enters_directly_and_once(house: House) -> None:
    person, member_id, _ = await house.owner()
    async with house.operator.work() as work:
        secret = await links.make(work, house.vault, "sign_in", member_id)
    entered = await door.accept(house.door, "sign_in", secret, VISITOR)
    assert entered.member_id == member_id
    assert await code_of(door.accept(house.door, "sign_in", secret, VISITOR)) == "link_dead"
    await door.sign_in(house.door, person.email, person.password, VISITOR)


async def test_an_unproved_sign_up_dies_after_48_hours_with_its_key(house: House) -> None:
    person, kept = Person(), Person()
    await house.join(kept)
    await door.sign_up(house.door, person.form(), VISITOR)
    subjects = admin(house, "SELECT count(DISTINCT subject) FROM keystore.key")
    admin(house, "UPDATE access.member SET created_at = created_at - interval '47 hours'")
    admin(house, "UPDATE access.one_time_link SET expires_at = expires_at - interval '47 hours'")
    await jobs.sweep(house.worker, house.vault)
    assert rows_of_access(house)["member"] == 2
    admin(house, "UPDATE access.member SET created_at = created_at - interval '2 hours'")
    await jobs.sweep(house.worker, house.vault)
    await jobs.sweep(house.worker, house.vault)
    assert rows_of_access(house)["member"] == 1
    left = admin(house, "SELECT count(DISTINCT subject) FROM keystore.key")
    assert int(str(left[0][0])) == int(str(subjects[0][0])) - 1
    await door.sign_in(house.door, kept.email, kept.password, VISITOR)
    assert await code_of(door.sign_in(house.door, person.email, person.password, VISITOR)) == "sign_in_refused"
