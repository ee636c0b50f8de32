"""Payments and people: auto top-up's rules, limits against abuse, what needs two, what nobody may change."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid4

import msgspec
import psycopg
import pytest

from books import Books
from payment_books import CARD, Desk, desk_of
from ruxa.egress.processor import Declined, Hint, NeedsAction
from ruxa.kernel.errors import Conflict, InvalidCall
from ruxa.ledger import accounts, jobs, topups
from ruxa.ledger.payments import (
    auto,
    corrections,
    facts,
    freezes,
    inbox,
    limits,
    manual,
    methods,
    orders,
    records,
    refunds,
    writeoffs,
)
from ruxa.store.work import Work

HOUR = 3600


@pytest.fixture
async def desk(books: Books) -> Desk:
    """An organisation that saved a card when it paid 10 USD."""
    desk = await desk_of(books)
    order = await desk.order(10_000_000, save_method=True)
    await desk.capture(order, card=CARD, customer="cus_1", saved="pm_1", ext_id="ch_first")
    return desk


async def _put(desk: Desk, *, enabled: bool = True, cap: int = 60_000_000, **fields: Any) -> None:
    given = {"threshold_micros": 5_000_000, "target_micros": 25_000_000, "processor": "stripe", "saved": "pm_1"}
    async with desk.books.console.work() as work:
        await auto.put(work, desk.ref, enabled=enabled, monthly_cap_micros=cap, **{**given, **fields})


async def _begin(desk: Desk) -> auto.Attempt | None:
    async with desk.books.worker.work() as work:
        for due in await auto.due(work):
            return await auto.begin(work, due)
    return None


async def _ended(desk: Desk, attempt: auto.Attempt | None, outcome: Any) -> auto.Ended:
    assert attempt is not None
    async with desk.books.worker.work() as work:
        return await auto.ended(work, attempt.id, outcome)


async def _auto(desk: Desk) -> auto.Auto:
    async with desk.books.console.work() as work:
        found = await auto.find(work, desk.ref)
    assert found is not None
    return found


async def _charge(desk: Desk, attempt: auto.Attempt | None, ext_id: str) -> None:
    assert attempt is not None
    fact = desk.fact("capture", ext_id, attempt.amount_micros // 10_000, "succeeded", order_id=attempt.order_id)
    await desk.note(fact)


async def test_auto_top_up_charges_once_and_within_its_cap(desk: Desk) -> None:
    with pytest.raises(Conflict) as no_method:
        await _put(desk, saved="pm_other")
    assert no_method.value.code == "no_saved_method"
    for wrong in ({"target_micros": 5_000_000}, {"cap": 20_000_000}, {"threshold_micros": -10_000},
                  {"threshold_micros": 1}):  # fmt: skip
        with pytest.raises(InvalidCall):
            await _put(desk, **wrong)
    await _put(desk)
    assert await _begin(desk) is None, "the balance is above the threshold"
    await desk.spend(6_000_001)
    tries = await asyncio.gather(*(_begin(desk) for _ in range(6)))
    [attempt] = [one for one in tries if one is not None]
    assert (attempt.amount_micros, attempt.saved, attempt.customer) == (21_010_000, "pm_1", "cus_1")
    assert (await _auto(desk)).month_micros == 21_010_000
    # An answer that was lost: asked again with the same key.
    async with desk.books.worker.work() as work:
        assert await auto.unfinished(work) == []
        assert [one.id for one in await auto.unfinished(work, seconds=0)] == [attempt.id]
    await _charge(desk, attempt, "ch_auto")
    async with desk.books.console.work() as work:
        assert [one.state for one in await auto.attempts(work, desk.ref)] == ["succeeded"]
    assert (await desk.balance()).balance_micros == 25_009_999
    await desk.books.prove()

    await desk.spend(25_000_000)
    second = await _begin(desk)
    await _charge(desk, second, "ch_auto_2")
    await desk.spend(25_000_000)
    third = await _begin(desk)
    assert third is not None
    assert third.amount_micros == 60_000_000 - 21_010_000 - second.amount_micros  # pyright: ignore[reportOptionalMemberAccess]
    await _charge(desk, third, "ch_auto_3")
    await desk.spend((await desk.balance()).balance_micros)
    assert await _begin(desk) is None, "the cap is reached"
    await desk.books.prove()


async def test_a_cap_is_what_the_card_pays_with_tax(desk: Desk) -> None:
    await _put(desk, cap=25_000_000)
    await desk.spend(10_000_000)
    async with desk.books.worker.work() as work:
        [due] = await auto.due(work)
    assert (due.amount_micros, due.room_micros) == (25_000_000, 25_000_000)
    amount = auto.within_cap(due, lambda minor: minor * 19 // 100)
    assert amount == 21_000_000, "and 3.99 of tax"
    for credit, tax in ((25_000_000, 10_000), (21_010_000, 4_000_000)):
        async with desk.books.worker.work() as work:
            wish = msgspec.structs.replace(due, amount_micros=credit)
            assert await auto.begin(work, wish, tax_micros=tax, tax_code="de") is None, "over the cap"
    async with desk.books.worker.work() as work:
        wish = msgspec.structs.replace(due, amount_micros=amount)
        attempt = await auto.begin(work, wish, tax_micros=3_990_000, tax_code="de")
    assert attempt is not None
    assert (await _auto(desk)).month_micros == 24_990_000
    fact = desk.fact("capture", "ch_auto", 2499, "succeeded", order_id=attempt.order_id)
    await desk.note(fact)
    await desk.spend(21_000_000)
    assert await _begin(desk) is None, "the month's cap is reached"
    await desk.books.prove()


def test_what_fits_a_cap_is_never_more_than_it() -> None:
    for room in range(0, 700, 7):
        for percent in (0, 7, 19, 100):
            due = auto.Due(organisation_ref=uuid4(), scope="live", amount_micros=5_000_000, room_micros=room * 10_000,
                           processor="stripe", method="card")  # fmt: skip
            amount = auto.within_cap(due, lambda minor, percent=percent: -(-minor * percent // 100))
            if amount is None:
                assert room < 50 + -(-50 * percent // 100)
            else:
                minor = amount // 10_000
                assert 50 <= minor <= 500
                assert minor + -(-minor * percent // 100) <= room
                more = minor + 2
                assert minor >= 499 or more + -(-more * percent // 100) > room - 3, "and nearly all of it"


async def test_an_attempt_charges_the_method_that_it_began_with(desk: Desk) -> None:
    other = await desk.order(1_000_000, save_method=True)
    await desk.capture(other, card=CARD, customer="cus_1", saved="pm_2", ext_id="ch_second")
    await _put(desk)
    await desk.spend(8_000_000)
    attempt = await _begin(desk)
    assert attempt is not None
    assert (attempt.saved, attempt.is_kept) == ("pm_1", True)
    await _put(desk, saved="pm_2")

    async def again() -> auto.Attempt:
        async with desk.books.worker.work() as work:
            found = await auto.attempt(work, attempt.id)
        assert found is not None
        return found

    assert ((await again()).saved, (await again()).is_kept) == ("pm_1", True)
    async with desk.books.console.work() as work:
        assert await methods.remove(work, desk.ref, "stripe", "pm_1")
    assert ((await again()).saved, (await again()).is_kept) == ("pm_1", False)
    await _charge(desk, attempt, "ch_auto")
    assert ((await again()).saved, (await again()).customer) == (None, None)


async def test_failures_pause_longer_and_the_third_ends_it(desk: Desk) -> None:
    await _put(desk)
    await desk.spend(8_000_000)
    wait = 0
    for failures, pause, state, tell in ((1, 1, "on", "failed"), (2, 6, "on", "failed"), (3, 24, "off", "off")):
        attempt = await _begin(desk)
        ended = await _ended(desk, attempt, Declined(code="insufficient_funds", retry=True))
        assert (ended.state, ended.tell, ended.failures) == (state, tell, failures)
        assert (await _ended(desk, attempt, Declined(code="insufficient_funds", retry=True))).tell is None
        wait += (pause * HOUR) - 60
        await desk.books.later(wait)
        assert await _begin(desk) is None
        wait += 120
        await desk.books.later(wait)
    assert await _begin(desk) is None
    assert (await _auto(desk)).reason == "failures"
    await _put(desk)
    assert (await _auto(desk)).failures == 0
    attempt = await _begin(desk)
    ended = await _ended(desk, attempt, Declined(code="stolen_card", retry=False))
    assert (ended.state, ended.tell, (await _auto(desk)).reason) == ("off", "off", "card")
    # The bank wants to see the customer: paused with a link, and on again when they paid there.
    await _put(desk)
    attempt = await _begin(desk)
    ended = await _ended(desk, attempt, NeedsAction(url="https://pay.example/r", ext_id="pi_1"))
    assert (ended.state, ended.tell) == ("paused", "paused")
    assert (await _auto(desk)).recovery_url == "https://pay.example/r"
    assert await _begin(desk) is None
    await _charge(desk, attempt, "ch_recovered")
    assert ((await _auto(desk)).state, (await _auto(desk)).recovery_url) == ("on", None)
    # Without its method there is nothing to charge.
    async with desk.books.console.work() as work:
        assert [(m.saved, m.brand, m.last4) for m in await methods.listed(work, desk.ref)] == [("pm_1", "visa", "4242")]
        assert await methods.remove(work, desk.ref, "stripe", "pm_1")
        assert not await methods.remove(work, desk.ref, "stripe", "pm_1")
    assert (await _auto(desk)).state == "off"
    await desk.books.prove()


async def test_a_frozen_organisation_is_not_charged(desk: Desk) -> None:
    await _put(desk)
    await desk.spend(9_000_000)
    async with desk.books.console.work() as work:
        freeze = await freezes.put(work, desk.ref, "live", "staff:1")
    assert await _begin(desk) is None
    for method in ("card", "paypal", "bank_transfer"):
        with pytest.raises(Conflict) as stopped:
            await desk.order(1_000_000, method=method)
        assert stopped.value.code == "payments_stopped"
    async with desk.books.console.work() as work:
        assert await freezes.waiting(work) == [], "a person's own freeze waits for nobody"
        await freezes.review(work, freeze, "lift", "staff:2")
    with pytest.raises(Conflict):
        async with desk.books.console.work() as work:
            await freezes.review(work, freeze, "lift", "staff:2")
    assert await _begin(desk) is not None
    assert (await desk.order(1_000_000)).state == "open"
    await desk.books.prove()


async def test_hints_are_taken_in_once_and_given_out_until_done(books: Books) -> None:
    hint = Hint(event_id="evt_1", kind="charge", ext_id="ch_1", order_id=None, at=datetime.now(UTC))

    async def put() -> bool:
        async with books.console.work() as work:
            return await inbox.put(work, "stripe", hint)

    assert sorted(await asyncio.gather(*(put() for _ in range(8)))) == [False] * 7 + [True]
    async with books.worker.work() as work:
        assert [due.event_id for due in await inbox.due(work, processor="stripe")] == ["evt_1"]
        assert await inbox.due(work) == []
        await inbox.failed(work, "stripe", "evt_1", "upstream_timeout")
        assert await inbox.newest(work, "stripe") == hint.at
        assert await inbox.newest(work, "paypal") is None
    await books.later(15)
    async with books.worker.work() as work:
        [due] = await inbox.due(work)
        assert due.tries == 1
        await inbox.done(work, "stripe", "evt_1")
    await books.later(9999)
    async with books.worker.work() as work:
        assert await inbox.due(work) == []
    await books.later(31 * 86400)
    async with books.worker.work() as work:
        assert await work.value(records.SWEEP) == 1


async def test_payments_come_at_a_pace(books: Books) -> None:
    block, card = sha256(b"block").digest(), sha256(b"card").digest()

    async def check(ref: UUID, address: bytes | None = None, card: bytes | None = None) -> str | None:
        try:
            async with books.console.work() as work:
                await limits.check(work, ref, address, card)
        except Conflict as refused:
            return refused.code
        return None

    async with books.operator.work() as work:
        for name, value in (("orders_hour", 3), ("address_hour", 4), ("card_organisations_day", 2),
                            ("declines_day", 2)):  # fmt: skip
            await limits.put_bound(work, name, value)  # pyright: ignore[reportArgumentType]
        assert await limits.bound(work, "orders_hour") == 3
    with pytest.raises(Conflict):
        async with books.operator.work() as work:
            await limits.put_bound(work, "orders_hour", -1)
    one, other, third = uuid4(), uuid4(), uuid4()
    assert [await check(one) for _ in range(4)] == [None, None, None, "payment_velocity"]
    assert [await check(uuid4(), block) for _ in range(5)] == [None] * 4 + ["payment_velocity"]
    assert [await check(ref, None, card) for ref in (other, other, third, uuid4())] == [None] * 3 + ["payment_velocity"]
    decliner = uuid4()
    async with books.console.work() as work:
        assert not await limits.declined(work, decliner, None, None)
        assert await limits.declined(work, decliner, None, None)
    assert await check(decliner) == "payment_velocity"
    await books.later(3601)
    assert await check(one) is None
    await books.later(3 * 86400)
    async with books.worker.work() as work:
        assert await work.value(records.SWEEP) > 10


async def test_who_tests_cards_is_stopped_for_a_person_to_look(books: Books) -> None:
    card = sha256(b"card").digest()
    async with books.operator.work() as work:
        await limits.put_bound(work, "card_organisations_day", 2)
        await limits.put_bound(work, "declines_day", 3)
    desks = [await desk_of(books) for _ in range(3)]
    for number, desk in enumerate(desks):
        order = await desk.order(1_000_000)
        fact = desk.fact("capture", f"ch_{number}", 100, "succeeded", order_id=order.id, card=CARD)
        for _ in range(2):
            await desk.note(fact, fingerprint_hash=card)
    assert [[freeze.cause for freeze in await desk.freezes()] for desk in desks] == [[], [], ["card_testing"]]
    with pytest.raises(Conflict) as blocked:
        await desks[2].order(1_000_000)
    assert blocked.value.code == "method_blocked"
    async with books.console.work() as work:
        [waits] = await freezes.waiting(work)
        await freezes.review(work, waits.id, "lift", "staff:1")
    assert (await desks[2].order(1_000_000)).state == "open"

    # Three refused cards of one organisation, each told twice.
    tester = await desk_of(books)
    for number in range(3):
        async with books.console.work() as work:
            await limits.check(work, tester.ref)
        order = await tester.order(1_000_000)
        for _ in range(2):
            await tester.capture(order, ext_id=f"ch_no_{number}", status="failed")
    with pytest.raises(Conflict) as refused:
        async with books.console.work() as work:
            await limits.check(work, tester.ref)
    assert refused.value.code == "payment_velocity"
    await books.prove()


async def test_the_same_address_or_card_has_one_trial(books: Books) -> None:
    address, card, other = (sha256(word).digest() for word in (b"address", b"card", b"other"))

    async def claim(*marks: bytes) -> bool:
        async with books.console.work() as work:
            return await limits.claim_trial(work, *marks)

    assert sorted(await asyncio.gather(*(claim(address) for _ in range(5)))) == [False] * 4 + [True]
    assert await claim(card)
    assert not await claim(other, card)
    assert await claim(other), "what was refused left no mark"
    await books.later(366 * 86400)
    assert await claim(address)


async def test_large_corrections_need_two_people_in_live_mode(books: Books) -> None:
    ref = uuid4()
    async with books.admin() as admin:
        await admin.execute("INSERT INTO ruxa.instance (id, mode, simulated) VALUES (gen_random_uuid(), 'live', false)")
    with pytest.raises(Conflict) as two:
        async with books.operator.work() as work:
            await topups.credit(work, ref, 1_000_000_001)
    assert two.value.code == "RX071"
    async with books.operator.work() as work:
        await topups.credit(work, ref, 1_000_000_000)
        assert await corrections.credit(work, ref, 5_000_000_000, by="staff:1") is None
        [wish] = await corrections.waiting(work)
    async with books.operator.work() as work:
        with pytest.raises(Conflict) as alone:
            await corrections.approve(work, wish.id, "staff:1")
        assert alone.value.code == "second_person"
        await corrections.approve(work, wish.id, "staff:2")
        with pytest.raises(Conflict) as done:
            await corrections.approve(work, wish.id, "staff:3")
        assert done.value.code == "wrong_state"
    assert (await books.balance(ref)).balance_micros == 6_000_000_000
    async with books.operator.work() as work:
        assert await corrections.credit(work, ref, 2_000_000_000, by="staff:1") is None
        [wish] = await corrections.waiting(work)
        await corrections.reject(work, wish.id, "staff:1")
        assert await corrections.waiting(work) == []
    async with books.operator.work() as work:
        [large] = [one.id for one in await accounts.lots(work, ref) if one.granted_micros == 5_000_000_000]
        assert await corrections.void_lot(work, large, by="staff:1") is None, "so does taking much of it back"
        with pytest.raises(Conflict) as twice:
            await corrections.void_lot(work, large, by="staff:2")
        assert twice.value.code == "lot_waits"
        [wish] = await corrections.waiting(work)
        assert (wish.kind, wish.lot_id, wish.amount_micros) == ("void", large, 5_000_000_000)
        with pytest.raises(Conflict):
            await corrections.approve(work, wish.id, "staff:1")
        assert (await accounts.balance(work, ref))["live"].balance_micros == 6_000_000_000
        await corrections.approve(work, wish.id, "staff:2")
        assert (await accounts.balance(work, ref))["live"].balance_micros == 1_000_000_000
    async with books.operator.work() as work:
        parts = [await corrections.credit(work, ref, 600_000_000, by="staff:1") for _ in range(2)]
        assert [one is not None for one in parts] == [True, False], "in parts it is as large as at once"
        assert await corrections.credit(work, uuid4(), 600_000_000, by="staff:1") is not None
    await books.prove()


async def test_a_large_payment_from_quarantine_is_accepted_by_two(desk: Desk) -> None:
    one, other = uuid4(), uuid4()
    first = await desk.order(1_000_000)

    async def odd(ext_id: str, minor: int) -> UUID:
        """A payment whose amount is not the order's; its quarantine."""
        order = await desk.order(1_000_000)
        assert (await desk.capture(order, minor, ext_id)).reason == "amount"
        async with desk.books.console.work() as work:
            return {row.ext_id: row.id for row in await facts.quarantined(work)}[ext_id]

    async def accept(quarantine_id: UUID, by: UUID) -> str:
        try:
            async with desk.books.console.work() as work:
                return (await facts.accept(work, quarantine_id, by)).outcome
        except Conflict as refused:
            return refused.code

    assert await accept(await odd("ch_demo", 100_001), one) == "posted", "a demo has one person"
    async with desk.books.admin() as admin:
        await admin.execute("INSERT INTO ruxa.instance (id, mode, simulated) VALUES (gen_random_uuid(), 'live', false)")
        # What was accepted before the installation was live counts like all else.
        await admin.execute("UPDATE payment.quarantine SET settled_at = settled_at - interval '2 days'")
    large = await odd("ch_large", 100_001)
    before = (await desk.balance()).balance_micros
    assert await accept(large, one) == "waiting"
    assert await accept(large, one) == "second_person"
    assert (await desk.balance()).balance_micros == before
    # The processor says another amount now: what the first person saw is no longer so.
    assert (await desk.capture(first, 1, "ch_other")).outcome == "quarantined"
    async with desk.books.console.work() as work:
        [seen] = [row for row in await facts.quarantined(work) if row.id == large]
    order = await desk.find(await _order_of(desk, seen))
    assert (await desk.capture(order, 200_001, "ch_large")).reason == "amount"
    assert await accept(large, other) == "waiting"
    assert await accept(large, one) == "posted"
    assert (await desk.balance()).balance_micros == before + 2_000_010_000
    # In parts it is as large as at once; what two accepted does not count.
    assert await accept(await odd("ch_part_1", 60_000), one) == "posted"
    part = await odd("ch_part_2", 60_000)
    assert await accept(part, one) == "waiting"
    assert await accept(part, other) == "posted"
    await desk.books.prove()


async def _order_of(desk: Desk, seen: facts.Quarantined) -> orders.Order:
    async with desk.books.console.work() as work:
        found = await orders.find(work, UUID(str(seen.reading["order_id"])))
    assert found is not None
    return found


async def test_nobody_in_particular_is_one_of_two(desk: Desk) -> None:
    """The command line without a name, and whoever has a name elsewhere, may be one person."""
    named, shell = f"member:{uuid4().hex}", "operator"
    async with desk.books.admin() as admin:
        await admin.execute("INSERT INTO ruxa.instance (id, mode, simulated) VALUES (gen_random_uuid(), 'live', false)")
    transfer = await desk.order(1_000_000, method="bank_transfer")
    told: dict[str, Any] = {"amount_micros": 1_000_000, "day": date(2027, 1, 31), "reference": "E-1", "account": "main"}

    async def refused(act: Callable[[Work], Awaitable[object]]) -> str:
        with pytest.raises(Conflict) as refusal:
            async with desk.books.operator.work() as work:
                await act(work)
        return refusal.value.code

    assert await refused(lambda work: manual.first(work, transfer.id, by=shell, **told)) == "person_unnamed"
    async with desk.books.operator.work() as work:
        made = await manual.first(work, transfer.id, by=named, **told)
    assert await refused(lambda work: manual.second(work, made, shell)) == "second_person"
    async with desk.books.operator.work() as work:
        await manual.second(work, made, "member:other")

    credit = 2_000_000_000
    assert await refused(lambda work: corrections.credit(work, desk.ref, credit, by=shell)) == "person_unnamed"
    async with desk.books.operator.work() as work:
        assert await corrections.credit(work, desk.ref, credit, by=named) is None
        [wish] = await corrections.waiting(work)
    assert await refused(lambda work: corrections.approve(work, wish.id, shell)) == "second_person"

    order = await desk.order(credit)
    await desk.capture(order, ext_id="ch_large")

    async def asked(work: Work, by: str) -> refunds.Refund:
        return await refunds.ask(work, desk.ref, order.id, credit, None, by)

    assert await refused(lambda work: asked(work, shell)) == "person_unnamed"
    async with desk.books.operator.work() as work:
        refund = await asked(work, named)
    assert await refused(lambda work: refunds.approve(work, refund.id, shell)) == "second_person"
    async with desk.books.operator.work() as work:
        await refunds.approve(work, refund.id, "member:other")

    # A sandbox's money is nobody's.
    demo = await desk_of(desk.books, "stripe", "sandbox")
    played = await demo.order(1_000_000, method="bank_transfer")
    async with desk.books.operator.work() as work:
        made = await manual.first(work, played.id, by=shell, **(told | {"reference": "E-2"}))
    async with desk.books.operator.work() as work:
        await manual.second(work, made, named)
    await desk.books.prove()


async def test_debts_are_given_up_by_name_and_lots_taken_back(desk: Desk) -> None:
    await desk.spend(9_000_000)
    order = await desk.order(5_000_000)
    await desk.capture(order, ext_id="ch_2")
    await desk.spend(6_000_000)
    await desk.refund(order, 500, "re_1", parent="ch_2")
    assert (await desk.balance()).debt_micros == 5_000_000
    with pytest.raises(Conflict):
        async with desk.books.operator.work() as work:
            await writeoffs.post(work, desk.ref, 5_000_001, "bad_debt", None, by="staff:1")
    for account, amount in (("Bad Debt", 1), ("bad_debt", 0), ("bad_debt", -1)):
        with pytest.raises(InvalidCall):
            async with desk.books.operator.work() as work:
                await writeoffs.post(work, desk.ref, amount, account, None, by="staff:1")
    async with desk.books.operator.work() as work:
        done = await writeoffs.post(work, desk.ref, 4_000_000, "goodwill", None, by="staff:1")
        assert done is not None
        assert await writeoffs.post(work, desk.ref, 4_000_000, "goodwill", None, by="staff:1", wish_id=done) == done
    assert await desk.sums("expense:writeoff:goodwill") == 4_000_000
    assert (await desk.balance()).debt_micros == 1_000_000
    async with desk.books.operator.work() as work:
        lines = await writeoffs.debts(work, desk.ref)
        assert [(line.code, line.amount_micros) for line in lines] == [
            ("writeoff", -4_000_000),
            ("refund_debt", 5_000_000),
        ]
        gift = await topups.grant(
            work, desk.ref, 3_000_000, scope="live", category="promo", priority=50, origin="gift:1"
        )
    lease = await desk.books.lend(desk.ref, 500_000)
    async with desk.books.operator.work() as work:
        assert await corrections.void_lot(work, gift, by="staff:1") == 1_500_000
    async with desk.books.operator.work() as work:
        [paid, *_] = [one for one in await accounts.lots(work, desk.ref) if one.category == "paid"]
    for lot, code in ((gift, "no_lot"), (uuid4(), "no_lot"), (paid.id, "lot_was_paid")):
        with pytest.raises(Conflict) as refused:
            async with desk.books.operator.work() as work:
                await corrections.void_lot(work, lot, by="staff:1")
        assert refused.value.code == code
    await desk.books.close(lease)
    assert (await desk.balance()).balance_micros == 500_000
    assert await jobs.lots(desk.books.worker) == 500_000
    assert (await desk.balance()).balance_micros == 0
    await desk.books.prove()


# Every table of money, and who may write it: nobody but functions.
_TABLES = """
    SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname IN ('ledger', 'payment') AND c.relkind IN ('r', 'p') AND NOT c.relispartition ORDER BY 1
"""


async def test_no_login_changes_a_table_of_money(desk: Desk) -> None:
    await desk.refund(await desk.order(1_000_000), 1, "re_1", parent="ch_first")
    async with desk.books.admin() as admin:
        tables = [row[0] for row in await (await admin.execute(_TABLES)).fetchall()]
        # What the owner itself may not: rows of what happened.
        for table in ("orders", "fact", "quarantine", "refund", "confirmation", "wish", "freeze", "attempt"):
            for statement in (f"DELETE FROM payment.{table}", f"TRUNCATE payment.{table} CASCADE"):
                sqlstate = None
                with contextlib.suppress(psycopg.Error):
                    sqlstate = "none"
                    async with admin.transaction(force_rollback=True):
                        gone = (await admin.execute(statement)).rowcount  # pyright: ignore[reportArgumentType]
                        sqlstate = "deleted" if gone or "TRUNCATE" in statement else "empty"
                assert sqlstate in ("none", "empty"), statement
        for statement in (
            "UPDATE payment.orders SET amount_micros = amount_micros + 10000",
            "UPDATE payment.orders SET organisation_ref = gen_random_uuid()",
            "UPDATE payment.fact SET amount_minor = amount_minor + 1 WHERE kind = 'capture'",
            "UPDATE payment.fact SET status = 'open' WHERE kind = 'capture'",
            "UPDATE payment.fact SET order_id = NULL",
        ):
            with pytest.raises(psycopg.Error) as refused:
                await admin.execute(statement)
            assert refused.value.sqlstate == "RX900", statement
    assert len(tables) > 30
    for login in ("ruxa_gateway", "ruxa_console", "ruxa_worker", "ruxa_operator", "ruxa_support"):
        url = desk.books.database.url(login)  # pyright: ignore[reportArgumentType]
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            for table in tables:
                for statement in ("UPDATE {} SET ctid = ctid", "DELETE FROM {}", "TRUNCATE {}",
                                  "INSERT INTO {} DEFAULT VALUES", "ALTER TABLE {} DISABLE TRIGGER ALL"):  # fmt: skip
                    with pytest.raises(psycopg.Error) as denied:
                        await connection.execute(statement.format(table))  # pyright: ignore[reportArgumentType]
                    assert denied.value.sqlstate in ("42501", "0A000"), (login, statement, table)


async def test_proofs_find_what_an_administrator_breaks_in_payments(desk: Desk) -> None:
    order = await desk.order(10_000_000, tax=1_000_000)
    await desk.capture(order, fee=30)
    await desk.ask(order, 1_100_000)
    await desk.refund(order, 110, "re_1")
    await _put(desk)
    await desk.spend(14_500_000)
    assert await _begin(desk) is not None
    await desk.dispute(order, 110, "open")
    async with desk.books.operator.work() as work:
        await corrections.credit(work, desk.ref, 1_000_000, by="staff:1")
    await desk.books.prove()
    breaks = {
        "I17": "UPDATE payment.fact SET fee_minor = 31 WHERE ext_id = 'ch_1'",
        "I18": "UPDATE payment.fact SET organisation_ref = gen_random_uuid() WHERE ext_id = 'ch_1'",
        "I19": "UPDATE payment.fact SET status = 'failed' WHERE ext_id = 'ch_1'",
        "I20": "UPDATE payment.orders SET state = 'paid'",
        "I21": "UPDATE payment.fact SET tax_micros = tax_micros + 1 WHERE ext_id = 'ch_1'",
        "I22": "UPDATE payment.fact SET refunded_minor = refunded_minor + 1 WHERE ext_id = 'ch_1'",
        "I23": "UPDATE payment.refund SET state = 'done'",
        "I24": "UPDATE payment.attempt SET state = 'succeeded'",
        "I25": "DELETE FROM payment.freeze",
        "I26": "UPDATE payment.wish SET state = 'rejected'",
    }
    for proof, statement in breaks.items():
        async with await psycopg.AsyncConnection.connect(desk.books.database.admin_url) as admin:
            await admin.execute("SET session_replication_role = replica")
            touched = (await admin.execute(statement)).rowcount  # pyright: ignore[reportArgumentType]
            assert touched > 0, proof
            found = await (await admin.execute("SELECT name, value FROM payment.proofs() WHERE value > 0")).fetchall()
            assert proof in {name.partition(" ")[0] for name, _ in found}, (proof, found)
            await admin.rollback()
    await desk.books.prove()
