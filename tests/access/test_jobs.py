"""The worker's part: mail goes once, is tried again later and later, and what has had its time dies."""

from __future__ import annotations

import asyncio
import email
import email.policy
import re

import psycopg
import pytest
from aiosmtpd.smtp import SMTP, Envelope

from fixtures_access import VISITOR, House, Person
from ruxa.access import entrance as door
from ruxa.access import grants, jobs, keys, outbox
from ruxa.access.keys import KeyWish
from ruxa.egress.mail import Letter, Smtp
from ruxa.kernel.errors import UpstreamBusy, UpstreamError, UpstreamRefused, UpstreamTimeout
from ruxa.kernel.sealed import Sealed


def later(house: House, sql: str, *args: object) -> list[tuple[object, ...]]:
    with psycopg.connect(house.database.admin_url, autocommit=True) as admin:
        cursor = admin.execute(sql, args)  # pyright: ignore[reportArgumentType]
        return cursor.fetchall() if cursor.description else []


def failing(fault: UpstreamError) -> jobs.Send:
    async def send(letter: Letter) -> None:
        raise fault

    return send


async def waiting(house: House) -> None:
    await door.sign_up(house.door, Person().form(), VISITOR)


async def state(house: House) -> outbox.MailLine:
    async with house.console.work() as work:
        return (await outbox.page(work))[0]


class Received:
    """A real mail server that quotes whom it refuses."""

    def __init__(self) -> None:
        self.got: list[bytes] = []
        self.refuses = True

    async def handle_RCPT(self, server: object, session: object, envelope: Envelope, address: str, said: object) -> str:
        envelope.rcpt_tos.append(address)
        return f"451 4.7.1 <{address}> comes again" if self.refuses else "250 OK"

    async def handle_DATA(self, server: object, session: object, envelope: Envelope) -> str:
        self.got.append(bytes(envelope.content or b""))
        return "250 OK"


async def test_from_sign_up_to_a_real_mail_server_and_in_by_what_it_received(house: House) -> None:
    person, server = Person(), Received()
    loop = asyncio.get_running_loop()
    listener = await loop.create_server(lambda: SMTP(server, hostname="mx.test", loop=loop), "127.0.0.1", 0)
    async with listener:
        port = listener.sockets[0].getsockname()[1]
        smtp = Smtp(f"smtp://127.0.0.1:{port}", "Ruxa <no-reply@ruxa.example>", house.database.clock)
        ticket = await door.sign_up(house.door, person.form(), VISITOR)
        assert await jobs.send_mail(house.worker, house.vault, smtp.send, house.signals) == 0
        line = await state(house)
        assert (line.state, line.fault, line.attempts) == ("waiting", "mail_busy", 1)
        assert person.mark not in repr(house.signals.told)
        later(house, "UPDATE access.mail SET next_at = ruxa.now()")
        server.refuses = False
        assert await jobs.send_mail(house.worker, house.vault, smtp.send, house.signals) == 1
    message = email.message_from_bytes(server.got[0], policy=email.policy.default)
    body = message.get_body(("plain",))  # type: ignore[attr-defined]
    found = re.search(r"/verify/([\w-]{43})", body.get_content())
    assert found
    entered = await door.verify(house.door, Sealed(found[1]), VISITOR, ticket=ticket)
    assert entered.new_organisation is not None


async def test_two_workers_at_once_send_each_mail_once(house: House) -> None:
    for _ in range(6):
        await waiting(house)
    seen: list[object] = []

    async def send(letter: Letter) -> None:
        await asyncio.sleep(0.02)
        seen.append(letter.id)

    done = await asyncio.gather(
        *(jobs.send_mail(house.worker, house.vault, send, house.signals) for _ in range(3)),
    )
    assert sum(done) == len(seen) == len(set(seen)) == 6
    assert await jobs.send_mail(house.worker, house.vault, send, house.signals) == 0
    assert house.signals.told[-1] == ("mail.sent", {"template": "verify", "status": "sent"})


async def test_a_worker_that_dies_while_sending_leaves_the_mail_for_later(house: House) -> None:
    await waiting(house)

    async def die(letter: Letter) -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await jobs.send_mail(house.worker, house.vault, die, house.signals)
    assert await house.deliver() == []
    later(house, "UPDATE access.mail SET next_at = next_at - interval '300 seconds'")
    assert len(await house.deliver()) == 1


async def test_failures_are_tried_later_and_later_and_then_given_up(house: House) -> None:
    await waiting(house)
    pauses: list[int] = []
    slow = failing(UpstreamTimeout("x", code="mail_timeout"))
    for _ in range(8):
        assert await jobs.send_mail(house.worker, house.vault, slow, house.signals) == 0
        pauses += [
            int(str(row[0]))
            for row in later(
                house,
                "SELECT round(extract(epoch FROM next_at - ruxa.now())) FROM access.mail WHERE state = 'waiting'",
            )
        ]
        later(house, "UPDATE access.mail SET next_at = ruxa.now()")
    assert pauses == list(jobs.RETRY_S)
    line = await state(house)
    assert (line.state, line.attempts, line.fault) == ("failed", 8, "mail_timeout")
    assert await house.deliver() == []
    async with house.console.work() as work:
        assert await outbox.read(work, house.vault, line.id) is None


async def test_refused_for_good_is_given_up_at_once_and_busy_is_not(house: House) -> None:
    await waiting(house)
    await jobs.send_mail(house.worker, house.vault, failing(UpstreamBusy("x", code="mail_busy")), house.signals)
    assert (await state(house)).state == "waiting"
    later(house, "UPDATE access.mail SET next_at = ruxa.now()")
    refused = UpstreamRefused("x", status=422, code="mail_refused")
    await jobs.send_mail(house.worker, house.vault, failing(refused), house.signals)
    assert ((await state(house)).state, (await state(house)).fault) == ("failed", "mail_refused")


async def test_a_bodys_life_is_7_days_and_a_rows_83(house: House) -> None:
    await waiting(house)
    later(house, "UPDATE access.mail SET created_at = created_at - interval '6 days 23 hours'")
    await jobs.sweep(house.worker, house.vault)
    mail_id = (await state(house)).id
    async with house.console.work() as work:
        assert await outbox.read(work, house.vault, mail_id) is not None
    later(house, "UPDATE access.mail SET created_at = created_at - interval '1 hour'")
    await jobs.sweep(house.worker, house.vault)
    async with house.console.work() as work:
        assert await outbox.read(work, house.vault, mail_id) is None
    assert await house.deliver() == []
    later(house, "UPDATE access.mail SET created_at = created_at - interval '77 days'")
    await jobs.sweep(house.worker, house.vault)
    async with house.console.work() as work:
        assert await outbox.page(work) == []


async def test_the_sweep_takes_what_has_had_its_time_and_nothing_else(house: House) -> None:
    person = Person()
    entered = await house.join(person)
    assert entered.new_organisation is not None
    async with house.console.work() as work:
        kept = await keys.create(work, house.vault, entered.new_organisation, KeyWish(name=Sealed("a")))
        await keys.rotate(work, house.vault, entered.new_organisation, kept.id)
        await keys.create_for_playground(
            work, house.vault, entered.new_organisation, entered.session.id, budget_micros=1
        )
    counted = ("member", "session", "one_time_link", "key", "key_secret", "throttle", "key_change", "mail")

    def counts() -> dict[str, int]:
        return {name: int(str(later(house, f"SELECT count(*) FROM access.{name}")[0][0])) for name in counted}

    before = counts()
    assert (await jobs.sweep(house.worker, house.vault)).count == 0
    assert counts() == before
    later(house, "UPDATE access.session SET ends_at = ruxa.now()")
    later(house, "UPDATE access.one_time_link SET created_at = created_at - interval '48 hours 1 second'")
    later(house, "UPDATE access.key_secret SET expires_at = ruxa.now() WHERE expires_at IS NOT NULL")
    later(house, "UPDATE access.key SET expires_at = expires_at - interval '84 days' WHERE kind = 'playground'")
    later(house, "UPDATE access.throttle SET touched_at = touched_at - interval '25 hours'")
    later(house, "UPDATE access.key_change SET at = at - interval '25 hours'")
    assert (await jobs.sweep(house.worker, house.vault)).count > 0
    after = counts()
    assert (after["session"], after["one_time_link"], after["throttle"]) == (0, 0, 0)
    assert (after["key"], after["key_secret"]) == (1, 1)
    assert (after["member"], after["mail"]) == (before["member"], before["mail"])
    async with house.gateway.work() as work:
        assert await grants.find(work, keys.hash_of(house.vault, kept.secret.open("provide").encode())) is None
    await jobs.sweep(house.worker, house.vault)
    assert counts() == after
