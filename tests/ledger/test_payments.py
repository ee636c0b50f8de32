"""Payments: facts become money once, whatever comes how often and in which order; bad input never does."""

from __future__ import annotations

import pytest

from books import Books
from payment_books import Desk, desk_of


@pytest.fixture
async def desk(books: Books) -> Desk:
    """An organisation with a desk that takes payments for it."""
    return await desk_of(books)


async def test_a_capture_is_credit_tax_and_fee(desk: Desk) -> None:
    order = await desk.order(10_000_000, tax=1_900_000)
    effect = await desk.capture(order, fee=65)
    assert (effect.outcome, effect.organisation_ref) == ("posted", desk.ref)
    assert (await desk.books.balance(desk.ref)).balance_micros == 10_000_000
    assert await desk.sums("asset:clearing:stripe") == 11_900_000 - 650_000
    assert await desk.sums("liability:tax:de") == -1_900_000
    assert await desk.sums("expense:processor_fees") == 650_000
    found = await desk.find(order)
    assert (found.state, found.received_minor, found.difference_minor) == ("paid", 1190, 0)
    for _ in range(3):
        assert (await desk.capture(order, fee=65)).outcome == "unchanged"
    assert (await desk.books.balance(desk.ref)).balance_micros == 10_000_000
    await desk.books.prove()


async def test_a_refund_goes_back_from_the_unspent_with_its_tax(desk: Desk) -> None:
    order = await desk.order(10_000_000, tax=1_900_000)
    await desk.capture(order)
    assert await desk.refundable(order) == 11_900_000
    wish = await desk.ask(order, 5_950_000)
    assert (wish.state, wish.tax_micros) == ("approved", 950_000)
    assert (await desk.books.balance(desk.ref)).balance_micros == 10_000_000
    await desk.books.prove()
    [due] = await desk.refunds_due()
    assert (due.id, due.state, due.capture_ext_id) == (wish.id, "sending", "ch_1")
    assert (await desk.sent(due, "re_1")).outcome == "posted"
    assert (await desk.books.balance(desk.ref)).balance_micros == 5_000_000
    assert await desk.sums("liability:tax:de") == -950_000
    assert (await desk.refund(order, 595, "re_1")).outcome == "unchanged"
    assert await desk.refundable(order) == 5_950_000
    await desk.books.prove()
