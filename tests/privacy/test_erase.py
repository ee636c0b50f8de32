"""Erasure: certain, complete by the map, to be killed at any point, signed, and never more than was asked for."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import textwrap
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import psycopg
import pytest

from books import Books
from fixtures_access import House, Person, house, hurry
from fixtures_database import Database
from ruxa.access import entrance, keys, members, organisations, provider_keys
from ruxa.access.audit import log
from ruxa.access.keys import KeyWish
from ruxa.access.roles import Role
from ruxa.kernel import ids
from ruxa.kernel.errors import Conflict, NotFound, RuxaError, Unauthenticated
from ruxa.kernel.sealed import Sealed
from ruxa.ledger import topups
from ruxa.privacy import erase
from ruxa.privacy.erasures import records
from ruxa.privacy.erasures.certificate import Signed
from ruxa.store import inventory
from ruxa.store.vault import Vault

if TYPE_CHECKING:
    from conftest import Sizes

__all__ = ["house", "hurry"]

POINTS = ("after_waiting", "listed", "destroyed", "acknowledged", "after_planned", "after_shredded", "after_cleared")

# Personal columns in tables that no foreign key and no name ties to a member or an organisation, and how each of them
# is reached all the same. A column that is neither tied nor listed fails the build.
UNTIED = {
    "access.throttle.mark": "a keyed hash of the day; the row lives a day",
    "audit.entry.actor_index": "kept 2 years for security, under the day's key",
    "audit.entry.fields_sealed": "kept 2 years for security, under the day's key",
    "audit.entry.details_sealed": "kept 2 years for security, under the day's key",
    "audit.customer_entry.actor_index": "ages with usage, under the day's key",
    "audit.customer_entry.fields_sealed": "ages with usage, under the day's key",
    "audit.customer_entry.details_sealed": "ages with usage, under the day's key",
    "privacy.erasure.subject": "the journal itself: forgets it when the erasure is done",
    "privacy.erasure.subject_hash": "the journal itself: the proof",
    "privacy.erasure.address_mark": "the journal itself: gone 30 days later",
    "keystore.key.subject": "the vault's: destroyed with the key",
    "keystore.key.wrapped": "the vault's: destroyed with the key",
    "privacy.hold.subject_id": "a hold is why there is no erasure; its row goes 2 years after its end",
    "privacy.hold.reason_sealed": "under the hold's own key, which is destroyed when it ends",
    "privacy.hold.owner_id": "kept 2 years: which of the staff placed it, by a random id",
    "privacy.hold.approver_id": "kept 2 years: which of the staff approved it, by a random id",
    "privacy.held_item.item_id": "a hold is why there is no erasure; gone with its end",
    "privacy.held_item.body_sealed": "under the hold's own key, which is destroyed when it ends",
    "ledger.lot.made_by": "kept 7 years: who booked a credit, by a random id",
    "ledger.difference.owner_id": "kept 7 years: who of the staff looks into a difference, by a random id",
    "ledger.difference.ended_by": "kept 7 years: who of the staff ended a difference, by a random id",
    "ledger.journal_segment.refused_ids": "ids of calls that were refused, forgotten when the journal's file ends",
    "payment.quarantine.asked_by": "kept 7 years: who of the staff decided about money, by a random id",
    "payment.quarantine.settled_by": "kept 7 years: who of the staff decided about money, by a random id",
    "payment.refund.approved_by": "kept 7 years: who of the staff decided about money, by a random id",
    "payment.evidence.made_by": "kept 7 years: who of the staff decided about money, by a random id",
    "payment.confirmation.first_by": "kept 7 years: who of the staff decided about money, by a random id",
    "payment.confirmation.second_by": "kept 7 years: who of the staff decided about money, by a random id",
    "payment.wish.asked_by": "kept 7 years: who of the staff decided about money, by a random id",
    "payment.wish.settled_by": "kept 7 years: who of the staff decided about money, by a random id",
    "payment.freeze.began_by": "kept 7 years: who of the staff decided about money, by a random id",
    "payment.freeze.reviewed_by": "kept 7 years: who of the staff decided about money, by a random id",
    "payment.quarantine.ext_id": "kept 7 years: a processor's id of money that belongs to nobody we know",
    "payment.quarantine.parent": "kept 7 years: a processor's id of money that belongs to nobody we know",
    "payment.quarantine.reading": "kept 7 years: what a processor said of money that belongs to nobody we know",
    "payment.inbox.event_id": "a processor's id of an event; the row lives 30 days",
    "payment.inbox.ext_id": "a processor's id of a payment; the row lives 30 days",
    "payment.velocity_mark.hash": "a keyed hash; the row lives two days",
    "payment.velocity_mark.other": "a hash; the row lives two days",
    "payment.trial_mark.hash": "a slow keyed hash that is tied to nobody, with an end (D33)",
}


async def _is_certified(house: House, signed: Signed) -> None:
    assert signed.verify(await house.vault.public_keys("report"))
    assert not Signed(signed.text.replace(b'"deleted"', b'"spared"'), signed.signature, signed.key_id).verify(
        await house.vault.public_keys("report")
    )


async def _left(house: House, kind: str, subject: UUID, ref: UUID | None = None) -> dict[str, int]:
    """Rows that are still tied to a subject and should not be, as the database's administrator sees them."""
    found: dict[str, int] = {}
    async with house.operator.work() as work:
        ties = await records.ties(work, kind)
    async with await psycopg.AsyncConnection.connect(house.database.admin_url, autocommit=True) as admin:
        for tie in ties:
            if tie.action not in ("delete", "null"):
                continue
            where = tie.condition.replace("$1", f"'{subject}'::uuid").replace("$2", f"'{ref}'::uuid" if ref else "null")
            cursor = await admin.execute(f"SELECT count(*) FROM {tie.place}.{tie.tab} WHERE {where}")  # type: ignore[arg-type]
            row = await cursor.fetchone()
            if row is not None and row[0]:
                found[f"{tie.place}.{tie.tab}.{tie.col}"] = row[0]
    return found


async def _colleague(house: House, organisation_id: UUID, role: str = "owner") -> UUID:
    """Another member of the organisation, with a session."""
    person = Person()
    entered = await house.join(person)
    async with house.console.work() as work:
        await work.run(
            "INSERT INTO access.membership (organisation_id, member_id, role, accepted_at)"
            " VALUES (%s, %s, %s, ruxa.now())",
            *(organisation_id, entered.member_id, role),
        )
    return entered.member_id


async def _key(house: House, organisation_id: UUID, member_id: UUID) -> keys.Created:
    async with house.console.work() as work:
        wish = KeyWish(name=Sealed("Canary key"))
        return await keys.create(work, house.vault, organisation_id, wish, created_by=member_id)


async def test_nothing_of_a_member_is_left_and_the_certificate_says_so(house: House) -> None:
    person, member_id, organisation_id = await house.owner()
    other, other_id, _ = await house.owner()
    await _key(house, organisation_id, member_id)
    async with house.console.work() as work:
        await provider_keys.put(
            work, house.vault, organisation_id, "openai", Sealed("sk-own-canary-key-1234567890"), created_by=member_id
        )
    destroyed = [key.id.hex() for one in (member_id, organisation_id) for key in await house.vault.keys_of(one)]
    async with house.operator.work() as work:
        await members.set_name(work, house.vault, member_id, Sealed("Canary Name"))
        found = await members.find_by_email(work, house.vault, person.email)
    assert found == member_id

    signed = await erase.subject(house.operator, house.eraser, house.vault, member_id)

    await _is_certified(house, signed)
    said = signed.content
    assert (said.kind, said.asked_by, said.subject) == (
        "member", "operator", erase.subject_hash(house.vault, member_id).hex()
    )  # fmt: skip
    async with house.operator.work() as work:
        with_it = [await erase.find(work, ids.read("ers", one)) for one in said.together_with]
    companies = [one.signed.content for one in with_it if one.signed is not None]
    assert [one.kind for one in companies] == ["organisation"]
    assert sorted(key.id for one in (said, *companies) for key in one.keys) == sorted(destroyed)
    for key in said.keys:
        assert key.gone_in_service <= said.done_at
        assert timedelta(days=0) < key.gone_in_every_copy_by - key.gone_in_service <= timedelta(days=7)
    deleted = {one.place for one in said.rows if one.action == "deleted"}
    assert {"access.member", "access.session", "access.terms_acceptance"} <= deleted
    assert {one.place for one in companies[0].rows} >= {
        "access.key", "access.key_secret", "access.membership", "access.provider_key"
    }  # fmt: skip

    assert await _left(house, "member", member_id) == {}
    assert await _left(house, "organisation", organisation_id) == {}
    assert await house.vault.keys_of(member_id) == []
    async with house.operator.work() as work:
        assert await members.find_by_email(work, house.vault, person.email) is None
        with pytest.raises(NotFound):
            await organisations.find(work, house.vault, organisation_id)
        assert organisation_id not in {one.id for one in await organisations.page(work, house.vault)}
        assert (await members.profile(work, house.vault, other_id)).email.open("provide")
    with pytest.raises(Unauthenticated):
        await entrance.sign_in(house.door, person.email, person.password, _visitor())
    assert (await entrance.sign_in(house.door, other.email, other.password, _visitor())).member_id == other_id


async def test_the_text_names_nobody(house: House) -> None:
    person, member_id, organisation_id = await house.owner()
    signed = await erase.subject(house.operator, house.eraser, house.vault, member_id)
    text = signed.text.decode()
    for word in (person.mark, member_id.hex, str(member_id), organisation_id.hex, str(organisation_id)):
        assert word not in text
    async with await psycopg.AsyncConnection.connect(house.database.admin_url) as admin:
        row = await (await admin.execute("SELECT erasure::text FROM privacy.erasure WHERE kind = 'member'")).fetchone()
    assert row is not None
    assert str(member_id) not in row[0]
    assert member_id.hex not in row[0]


async def test_a_second_run_gives_the_same_certificate_by_id_and_by_address(house: House) -> None:
    person, member_id, _ = await house.owner()
    first = await erase.subject(house.operator, house.eraser, house.vault, member_id)
    assert await erase.subject(house.operator, house.eraser, house.vault, member_id) == first
    async with house.operator.work() as work:
        assert await erase.again(work, house.vault, Sealed(" " + person.email.open("provide").upper())) == first
        assert await erase.again(work, house.vault, Person().email) is None
    with pytest.raises(NotFound):
        await erase.subject(house.operator, house.eraser, house.vault, ids.fresh())


async def test_the_address_is_free_again_and_its_mark_goes_after_a_month(house: House) -> None:
    person, member_id, _ = await house.owner()
    first = await erase.subject(house.operator, house.eraser, house.vault, member_id)
    entered = await house.join(person)
    assert entered.member_id != member_id
    second = await erase.subject(house.operator, house.eraser, house.vault, entered.member_id)
    async with house.operator.work() as work:
        assert await erase.again(work, house.vault, person.email) == second != first
    async with await psycopg.AsyncConnection.connect(house.database.admin_url, autocommit=True) as admin:
        await admin.execute("UPDATE privacy.erasure SET done_at = done_at - interval '31 days'")
    await erase.due(house.worker, house.eraser, house.vault)
    async with house.operator.work() as work:
        assert await erase.again(work, house.vault, person.email) is None


async def test_two_at_once_are_one(house: House) -> None:
    _, member_id, _ = await house.owner()
    signed = await asyncio.gather(
        *(
            erase.subject(pool, house.eraser, house.vault, member_id)
            for pool in (house.operator, house.operator, house.operator)
        )
    )
    assert signed[0] == signed[1] == signed[2]
    async with house.operator.work() as work:
        assert await work.value("SELECT count(*) FROM privacy.erasure WHERE kind = 'member'") == 1


class Cut(Exception):
    """The process dies here."""


@pytest.mark.parametrize("point", POINTS)
async def test_cut_off_anywhere_a_job_finishes(house: House, point: str) -> None:
    _, member_id, organisation_id = await house.owner()

    def checkpoint(name: str) -> None:
        if name == point:
            raise Cut(point)

    with pytest.raises(Cut):
        await erase.subject(house.operator, house.eraser, house.vault, member_id, checkpoint=checkpoint)
    async with house.console.work() as work:
        row = await work.row("SELECT suspended_at FROM access.member WHERE id = %s", member_id)
    assert row is None or row[0] is not None, "who is being erased is stopped"
    assert await erase.due(house.worker, house.eraser, house.vault) >= 1
    signed = await erase.subject(house.worker, house.eraser, house.vault, member_id)
    await _is_certified(house, signed)
    assert signed.content.keys
    assert await _left(house, "member", member_id) == {}
    assert await _left(house, "organisation", organisation_id) == {}


ERASE = textwrap.dedent("""
    import asyncio, os, signal, sys
    from pathlib import Path
    from uuid import UUID
    from ruxa.kernel.clock import Clock
    from ruxa.privacy import erase
    from ruxa.store.address import Address
    from ruxa.store.logins import Logins
    from ruxa.store.pool import Pool
    from ruxa.store.vault import Vault
    sockets, database, logins, keys, member, point = sys.argv[1:]
    def checkpoint(name):
        if name == point:
            os.kill(os.getpid(), signal.SIGKILL)
    async def main():
        address = Address.at_socket(sockets, 5432, Logins.load(Path(logins)), database)
        clock = Clock()
        pool = await Pool.open(address.url("ruxa_operator"), login="ruxa_operator", clock=clock)
        vault = await Vault.unlock(address, Path(keys), clock=clock)
        eraser = Pool.on_demand(address.url("ruxa_erase"), login="ruxa_erase", clock=clock)
        await erase.subject(pool, eraser, vault, UUID(member), checkpoint=checkpoint)
    asyncio.run(main())
""")


async def test_killed_nine_times_over(house: House, sizes: Sizes) -> None:
    database = house.database
    session = database.session
    for point in POINTS if sizes.long else ("destroyed",):
        _, member_id, organisation_id = await house.owner()
        arguments = [session.sockets, database.name, str(session.directory / "keys"), str(database.keys)]
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", ERASE, *arguments, str(member_id), point,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )  # fmt: skip
        assert await process.wait() == -signal.SIGKILL
        # The dead process's lease on keys has to end before anybody may say that they are gone.
        await _end_leases(database)
        while await erase.due(house.worker, house.eraser, house.vault):
            pass
        await _is_certified(house, await erase.subject(house.worker, house.eraser, house.vault, member_id))
        assert await _left(house, "organisation", organisation_id) == {}


async def _end_leases(database: Database) -> None:
    async with await psycopg.AsyncConnection.connect(database.admin_url, autocommit=True) as admin:
        await admin.execute(
            "DELETE FROM keystore.holder WHERE alive_until > clock_timestamp()"
            " AND id <> (SELECT id FROM keystore.holder ORDER BY since LIMIT 1)"
        )


async def test_nothing_is_certified_while_a_process_may_hold_a_key(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, member_id, _ = await house.owner()
    monkeypatch.setattr(erase, "ACKNOWLEDGED_S", 0.2)

    async def never(*_: object) -> bool:
        return False

    with monkeypatch.context() as deaf:
        deaf.setattr(Vault, "acknowledged", never)
        with pytest.raises(RuxaError) as caught:
            await erase.subject(house.operator, house.eraser, house.vault, member_id)
        assert caught.value.code == "erasure_unacknowledged"
        async with house.operator.work() as work:
            assert await work.value("SELECT count(*) FROM privacy.erasure WHERE state = 'done'") == 0
    await _is_certified(house, await erase.subject(house.operator, house.eraser, house.vault, member_id))


async def test_the_last_owner_of_others_may_not_leave_them(house: House) -> None:
    _, member_id, organisation_id = await house.owner()
    viewer = await _colleague(house, organisation_id, "viewer")
    with pytest.raises(Conflict) as caught:
        await erase.subject(house.operator, house.eraser, house.vault, member_id, forfeit=True)
    assert caught.value.code == "last_owner"
    async with house.operator.work() as work:
        assert [one.code for one in (await erase.outlook(work, member_id)).obstacles] == ["last_owner"]
        await members.set_role(work, organisation_id, viewer, "owner")
    created = await _key(house, organisation_id, member_id)
    await erase.subject(house.operator, house.eraser, house.vault, member_id)
    async with house.console.work() as work:
        assert (await organisations.find(work, house.vault, organisation_id)).members == 1
        row = await work.row("SELECT created_by, revoked_at FROM access.key WHERE id = %s", created.id)
        assert row == (None, None), "the organisation's key goes on, without its maker"
    assert await _left(house, "member", member_id) == {}


async def _invited(house: House, organisation_id: UUID, role: Role = "owner") -> UUID:
    async with house.operator.work() as work:
        return (await members.invite(work, house.vault, organisation_id, Person().email, role)).member_id


async def test_an_invited_owner_takes_the_organisation_along(house: House) -> None:
    async with house.operator.work() as work:
        made = await organisations.create(work, house.vault, Sealed("Acme"))
        assert await organisations.ownerless(work) == [made.id]
        key = await keys.create(work, house.vault, made.id, KeyWish(name=Sealed("goes too")))
    invited = await _invited(house, made.id)
    async with house.operator.work() as work:
        assert await organisations.ownerless(work) == [], "an invitation is waited for"
        assert (await erase.outlook(work, invited)).organisations == (made.id,)
    signed = await erase.subject(house.operator, house.eraser, house.vault, invited)
    assert len(signed.content.together_with) == 1
    async with house.operator.work() as work:
        assert await organisations.ownerless(work) == []
        assert await work.value("SELECT count(*) FROM access.key WHERE id = %s", key.id) == 0
        with pytest.raises(NotFound):
            await organisations.find(work, house.vault, made.id)
    assert await _left(house, "organisation", made.id) == {}


async def test_an_invited_owner_does_not_take_it_from_others(house: House) -> None:
    async with house.operator.work() as work:
        made = await organisations.create(work, house.vault, Sealed("Acme"))
    invited = await _invited(house, made.id)
    viewer = await _invited(house, made.id, "viewer")
    async with house.operator.work() as work:
        # Who never came can not find another owner first: with nobody but invited people in it, it goes along.
        assert (await erase.outlook(work, invited)).organisations == (made.id,)
    async with await psycopg.AsyncConnection.connect(house.database.admin_url, autocommit=True) as admin:
        await admin.execute("UPDATE access.membership SET accepted_at = ruxa.now() WHERE member_id = %s", [viewer])
    await erase.subject(house.operator, house.eraser, house.vault, invited)
    async with house.operator.work() as work:
        await organisations.find(work, house.vault, made.id)
        assert await organisations.ownerless(work) == [made.id], "which the doctor tells"


async def test_an_invited_owner_leaves_it_to_another_invited_owner(house: House) -> None:
    async with house.operator.work() as work:
        made = await organisations.create(work, house.vault, Sealed("Acme"))
    invited, other = await _invited(house, made.id), await _invited(house, made.id)
    await erase.subject(house.operator, house.eraser, house.vault, invited)
    async with house.operator.work() as work:
        await organisations.find(work, house.vault, made.id)
        assert await organisations.ownerless(work) == [], "it waits for the other one"
        assert (await erase.outlook(work, other)).organisations == (made.id,)


@pytest.mark.parametrize("why", ["the_other_owner_went", "it_was_opened_again"])
async def test_no_organisation_is_left_without_anybody(house: House, why: str) -> None:
    _, member_id, organisation_id = await house.owner()
    _, other_id, _ = await house.owner()
    async with await psycopg.AsyncConnection.connect(house.database.admin_url, autocommit=True) as admin:
        if why == "the_other_owner_went":
            await admin.execute(
                "INSERT INTO access.membership (organisation_id, member_id, role, accepted_at)"
                " VALUES (%s, %s, 'owner', ruxa.now())",
                (organisation_id, other_id),
            )
        async with house.console.work() as work:
            asked = await erase.ask(work, house.vault, member_id, by="subject")
        if why == "the_other_owner_went":
            await erase.subject(house.operator, house.eraser, house.vault, other_id)
        else:
            async with house.console.work() as work:
                waits = await erase.waiting(work, organisation_id)
                assert waits is not None
                await erase.take_back(work, waits.id)
        await admin.execute("UPDATE privacy.erasure SET due_at = ruxa.now() WHERE id = %s", (asked,))
        assert await erase.due(house.worker, house.eraser, house.vault) == 1
        found = await admin.execute("SELECT erased_at FROM access.organisation WHERE id = %s", (organisation_id,))
        assert await found.fetchone() not in (None, (None,))
    assert not [key for key in await house.vault.keys_of(organisation_id) if key.slot.key_class != "billing"]


async def test_paid_credit_stops_an_erasure_unless_it_is_given_up(house: House) -> None:
    _, member_id, organisation_id = await house.owner()
    async with house.operator.work() as work:
        ref = (await organisations.find(work, house.vault, organisation_id)).organisation_ref
        await topups.sandbox(work, ref, 5_000_000)
    async with house.operator.work() as work:
        assert (await erase.outlook(work, member_id)).obstacles == (), "the sandbox's money is no money"
        await topups.credit(work, ref, 1_000_000)
    with pytest.raises(Conflict) as caught:
        await erase.subject(house.operator, house.eraser, house.vault, member_id)
    assert caught.value.code == "balance_left"
    assert caught.value.public.startswith(f"1.000000 USD of credit are left in {ids.text('org', organisation_id)}")
    assert "--forfeit" in caught.value.public
    assert "paid" not in caught.value.public
    async with house.operator.work() as work:
        assert (await erase.outlook(work, member_id)).obstacles[0].micros == 1_000_000
    await _is_certified(house, await erase.subject(house.operator, house.eraser, house.vault, member_id, forfeit=True))


async def test_a_hold_stops_an_erasure_and_tells_no_more_than_that(house: House) -> None:
    _, member_id, organisation_id = await house.owner()
    for held in (member_id, organisation_id):
        async with await psycopg.AsyncConnection.connect(house.database.admin_url, autocommit=True) as admin:
            await admin.execute(
                "INSERT INTO privacy.hold (id, scope, subject_id, reason_sealed, basis, owner_id, gagged, ends_at)"
                " VALUES (%s, %s, %s, '', 'authority', %s, true, ruxa.now() + interval '1 month')",
                [ids.fresh(), "member" if held == member_id else "organisation", held, ids.fresh()],
            )
            with pytest.raises(Conflict) as caught:
                await erase.subject(house.operator, house.eraser, house.vault, member_id, forfeit=True)
            assert caught.value.code == "erasure_not_now"
            assert "hold" not in caught.value.public
            if held == organisation_id:
                with pytest.raises(Conflict):
                    await erase.organisation(house.operator, house.eraser, house.vault, organisation_id)
            await admin.execute("UPDATE privacy.hold SET ended_at = ruxa.now() WHERE ended_at IS NULL")
    await _is_certified(house, await erase.subject(house.operator, house.eraser, house.vault, member_id))


async def test_waits_a_day_unless_told_otherwise_and_can_be_taken_back(house: House) -> None:
    person, member_id, organisation_id = await house.owner()
    async with house.console.work() as work:
        asked = await erase.ask(work, house.vault, member_id, by="subject")
        assert await erase.ask(work, house.vault, member_id, by="subject") == asked
        found = await erase.waiting(work, member_id)
        assert found is not None
        # Each is read from the clock by itself.
        assert abs(found.due_at - found.asked_at - timedelta(hours=24)) < timedelta(seconds=1)
    assert await erase.due(house.worker, house.eraser, house.vault) == 0
    async with house.console.work() as work:
        await erase.take_back(work, asked)
        assert await erase.waiting(work, member_id) is None
        assert await erase.waiting(work, organisation_id) is None
    with pytest.raises(NotFound):
        await erase.run(house.eraser, house.vault, asked)
    assert (await entrance.sign_in(house.door, person.email, person.password, _visitor())).member_id == member_id
    async with house.console.work() as work:
        asked = await erase.ask(work, house.vault, member_id, by="subject")
        await erase.hurry(work, asked)
    assert await erase.due(house.worker, house.eraser, house.vault) == 2, (
        "the member, and the organisation nobody is left in"
    )
    async with house.console.work() as work:
        assert await erase.waiting(work, member_id) is None
        with pytest.raises(NotFound):
            await erase.take_back(work, asked)


async def test_a_restored_database_is_erased_again(house: House) -> None:
    _, member_id, organisation_id = await house.owner()
    _, living_id, _ = await house.owner()
    async with await psycopg.AsyncConnection.connect(house.database.admin_url, autocommit=True) as admin:
        kept = ("access.member", "access.membership", "access.organisation")
        for table in kept:
            await admin.execute(f"CREATE TABLE public.kept_{table[7:]} AS SELECT * FROM {table}")  # type: ignore[arg-type]
        await erase.subject(house.operator, house.eraser, house.vault, member_id)
        assert await erase.replay(house.operator, house.eraser, house.vault) == 0
        # What a restore of yesterday's backup does.
        await admin.execute("SET session_replication_role = replica")
        await admin.execute("DELETE FROM access.organisation")
        for table in kept:
            await admin.execute(
                f"INSERT INTO {table} SELECT * FROM public.kept_{table[7:]} ON CONFLICT DO NOTHING"  # type: ignore[arg-type]
            )
    async with house.operator.work() as work:
        assert await work.value("SELECT count(*) FROM access.member WHERE id = %s", member_id) == 1
    assert await erase.replay(house.operator, house.eraser, house.vault) == 2
    assert await _left(house, "member", member_id) == {}
    async with house.operator.work() as work:
        with pytest.raises(NotFound):
            await organisations.find(work, house.vault, organisation_id)
        assert await members.profile(work, house.vault, living_id)


async def test_every_personal_column_is_reached(database: Database) -> None:
    pool = await database.pool("ruxa_operator")
    async with pool.work() as work:
        columns = await inventory.read(work)
        ties = {kind: await records.ties(work, kind) for kind in ("member", "organisation")}
    tied = {kind: {(tie.place, tie.tab) for tie in found} for kind, found in ties.items()}
    lost: list[str] = []
    for column in columns:
        if column.declaration is None:
            continue
        kind = "member" if column.declaration.subject in ("member", "staff", "visitor") else "organisation"
        if (column.schema, column.table) not in tied[kind] and column.name not in UNTIED:
            lost.append(column.name)
    assert lost == []
    assert {name for name in UNTIED if name not in {column.name for column in columns}} == set()


async def test_a_new_column_is_erased_on_its_first_day(house: House) -> None:
    _, member_id, _ = await house.owner()
    words = "subject=member purpose=provide basis=contract keep=account seal=none"
    async with await psycopg.AsyncConnection.connect(house.database.url("ruxa_owner"), autocommit=True) as owner:
        await owner.execute(
            "CREATE TABLE access.note (id uuid PRIMARY KEY, member_id uuid NOT NULL, text text);"
            "COMMENT ON COLUMN access.note.id IS 'data: none';"
            "COMMENT ON COLUMN access.note.member_id IS"
            f" 'data: category=user.unique_id {words} erase=delete export=yes';"
            f"COMMENT ON COLUMN access.note.text IS 'data: category=user.content {words} erase=delete export=yes';"
            "CREATE TABLE access.reply (id uuid PRIMARY KEY, note_id uuid REFERENCES access.note, text text);"
            "COMMENT ON COLUMN access.reply.id IS 'data: none'; COMMENT ON COLUMN access.reply.note_id IS 'data: none';"
            f"COMMENT ON COLUMN access.reply.text IS 'data: category=user.content {words} erase=delete export=yes';"
        )
        note = ids.fresh()
        await owner.execute("INSERT INTO access.note VALUES (%s, %s, 'canary')", [note, member_id])
        await owner.execute("INSERT INTO access.note VALUES (%s, %s, 'other')", [ids.fresh(), ids.fresh()])
        await owner.execute("INSERT INTO access.reply VALUES (%s, %s, 'canary')", [ids.fresh(), note])
        signed = await erase.subject(house.operator, house.eraser, house.vault, member_id)
        assert {one.place: one.rows for one in signed.content.rows}.items() >= {
            "access.note": 1,
            "access.reply": 1,
        }.items()
        row = await (
            await owner.execute("SELECT (SELECT count(*) FROM access.note), count(*) FROM access.reply")
        ).fetchone()
    assert row == (1, 0)


async def test_no_login_erases_without_a_recorded_erasure(house: House) -> None:
    _, member_id, _ = await house.owner()
    async with house.console.work() as work:
        asked = await erase.ask(work, house.vault, member_id, by="subject")
    acts = ("SELECT privacy.erasure_freeze(%s)", "SELECT privacy.erasure_clear(%s, '{}')")
    for statement in acts:
        with pytest.raises(Conflict) as caught:
            async with house.eraser.work() as work:
                await work.run(statement, asked)
        assert caught.value.code == "RX661"
    refused = (
        *((pool, act) for pool in (house.console, house.worker, house.operator, house.copies) for act in acts),
        (house.worker, "UPDATE privacy.erasure SET state = 'shredded' WHERE id = %s"),
        (house.operator, "UPDATE privacy.erasure SET subject = NULL WHERE id = %s"),
        (house.eraser, "DELETE FROM access.member WHERE id = %s"),
        (house.eraser, "DELETE FROM privacy.erasure WHERE id = %s"),
        (house.gateway, "SELECT subject FROM privacy.erasure WHERE id = %s"),
        (house.console, "UPDATE privacy.erasure SET state = 'shredded' WHERE id = %s"),
        (house.operator, "SELECT privacy.clear_rows('member', %s, NULL)"),
        (house.operator, "DELETE FROM privacy.erasure WHERE id = %s"),
    )
    for pool, statement in refused:
        with pytest.raises(RuxaError) as denied:
            async with pool.work() as work:
                await work.run(statement, asked)
        assert "42501" in denied.value.detail, statement


async def test_money_stays_proven_when_an_organisation_is_erased(house: House) -> None:
    books = await Books.open(house.database)
    _, _, organisation_id = await house.owner()
    async with house.operator.work() as work:
        ref = (await organisations.find(work, house.vault, organisation_id)).organisation_ref
        await topups.sandbox(work, ref, 10_000)
    other = await books.organisation(sandbox=10_000)
    for one, amounts in ((ref, (1_200, 300)), (other, (500,))):
        lease = await books.lend(one, 5_000, "sandbox")
        await books.flush([books.row(one, lease, amount, "sandbox") for amount in (*amounts, 0)])
        await books.close(lease)
    late = await books.lend(ref, 1_000, "sandbox")
    await books.prove()
    signed = await erase.organisation(house.operator, house.eraser, house.vault, organisation_id)
    await books.prove()
    assert {one.place: one.rows for one in signed.content.rows}["ledger.usage_event"] == 3

    async def usage() -> tuple[object, ...] | None:
        async with await psycopg.AsyncConnection.connect(house.database.admin_url) as admin:
            cursor = await admin.execute(
                "SELECT (SELECT count(*) FROM ledger.usage_event WHERE organisation_ref = %s),"
                " (SELECT count(*) FROM ledger.usage_event), sum(calls)::int, sum(amount_micros)::int, count(*)"
                " FROM ledger.billing_evidence WHERE organisation_ref = %s",
                [ref, ref],
            )
            return await cursor.fetchone()

    assert await usage() == (0, 2, 2, 1_500, 1)
    # A call that was under way is booked late, and goes as the others did.
    await books.flush([books.row(ref, late, 40, "sandbox")])
    await books.close(late)
    await books.prove()
    await erase.due(house.worker, house.eraser, house.vault)
    assert await usage() == (0, 2, 3, 1_540, 1)
    await books.prove()
    kept = {one.place: one for one in signed.content.kept}
    assert kept["ledger.transfer"].ground == "tax"
    assert kept["ledger.transfer"].until is not None
    assert kept["ledger.transfer"].until.year == signed.content.done_at.year + 7


async def test_the_log_hears_of_it_before_and_after(house: House) -> None:
    _, member_id, _ = await house.owner()
    signed = await erase.subject(house.operator, house.eraser, house.vault, member_id)
    found: list[tuple[str, str]] = []
    async with await psycopg.AsyncConnection.connect(house.database.admin_url) as admin:
        rows = await (
            await admin.execute(
                "SELECT id, fields_sealed, details_sealed, ruxa.id_time(id) FROM audit.entry ORDER BY id"
            )
        ).fetchall()
    for entry_id, fields, _, at in rows:
        opened = await house.vault.open(
            f"{log.LASTING}.fields_sealed", entry_id, entry_id, bytes(fields), purpose="security", day=at.date()
        )
        if '"subject:erased"' in (text := opened.open("security")):
            found.append((text.partition('"outcome":"')[2].partition('"')[0], text))
    own = [outcome for outcome, text in found if ids.read("ers", signed.content.id).hex in text]
    assert own == ["planned", "done"]
    assert member_id.hex not in "".join(text for _, text in found)


def _visitor() -> entrance.Visitor:
    return entrance.Visitor.of("203.0.113.9", "Mozilla/5.0 Firefox/140.0")
