"""The daily mail: the checkpoint to owners, data protection officers and operators, once a day, in their language."""

from __future__ import annotations

import psycopg
import pytest

from fixtures_access import House, Person
from ruxa.access import members
from ruxa.access.audit import log, mailing, sequencer, verify
from ruxa.kernel.errors import RuxaError

BASE = "https://ruxa.example"


def admin(house: House, sql: str) -> None:
    with psycopg.connect(house.database.admin_url, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(sql)  # pyright: ignore[reportArgumentType]


async def act(house: House) -> None:
    async with house.console.work() as work:
        await log.add(work, house.vault, None, "retention:run")
    await sequencer.run(house.worker, house.writer, house.vault, sign_now=True)


async def test_each_reader_gets_todays_checkpoint_once_and_nobody_else(house: House) -> None:
    owner, _, organisation_id = await house.owner()
    other, _, closed = await house.owner()
    async with house.operator.work() as work:
        officer = await members.add_staff(work, house.vault, Person().email, "dpo")
        support = await members.add_staff(work, house.vault, Person().email, "support")
        await members.invite(work, house.vault, organisation_id, Person().email, "viewer")
    ended = "suspended_at = ruxa.now(), suspended_why = 'request', closed_at = ruxa.now()"
    admin(house, "UPDATE access.member SET verified_at = ruxa.now()")
    admin(house, f"UPDATE access.member SET locale = 'zh' WHERE id = '{officer.member_id}'")
    admin(house, f"UPDATE access.organisation SET {ended} WHERE id = '{closed}'")
    await house.deliver()
    assert await mailing.send(house.worker, house.vault, BASE) == 0, "nothing is signed yet"
    await act(house)
    assert await mailing.send(house.worker, house.vault, BASE) == 2
    assert await mailing.send(house.worker, house.vault, BASE) == 0
    letters = await house.deliver()
    assert {letter.locale for letter in letters} == {"en", "zh"}
    addresses = {letter.recipient.open("communicate") for letter in letters}
    assert owner.email.open("communicate").lower() in {address.lower() for address in addresses}
    assert other.mark not in repr(addresses)
    async with house.console.work() as work:
        last = await sequencer.checkpoint(work)
    assert last is not None
    for letter in letters:
        text = letter.text.open("communicate")
        assert last.text in text
        note = verify.read_note(last.text)
        assert str(note.size) in text
        assert f"{BASE}/audit" in text
        assert owner.mark not in text + letter.subject.open("communicate") + letter.html.open("communicate")
    assert support.member_id
    # Nothing new, no mail; something new, the next day's.
    admin(house, "UPDATE audit.mailing SET day = day - 1")
    assert await mailing.send(house.worker, house.vault, BASE) == 0
    await act(house)
    assert await mailing.send(house.worker, house.vault, BASE) == 2


async def test_a_run_that_was_killed_goes_on_where_it_was(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(5):
        await house.owner()
    await house.deliver()
    await act(house)
    monkeypatch.setattr(mailing, "BATCH", 2)
    sent = 0
    real = mailing.outbox.put_to

    async def dies(*args: object, **named: object) -> object:
        nonlocal sent
        if sent == 3:
            raise RuxaError("killed", code="killed")
        sent += 1
        return await real(*args, **named)  # pyright: ignore

    monkeypatch.setattr(mailing.outbox, "put_to", dies)
    with pytest.raises(RuxaError):
        await mailing.send(house.worker, house.vault, BASE)
    monkeypatch.setattr(mailing.outbox, "put_to", real)
    assert await mailing.send(house.worker, house.vault, BASE) == 3
    letters = await house.deliver()
    assert len({letter.recipient.open("communicate") for letter in letters}) == len(letters) == 5
