"""Accounts: the chart is there from the start, and what an organisation has is read from its own."""

from __future__ import annotations

from uuid import uuid4

from books import Books
from ruxa.ledger import accounts


async def test_the_systems_accounts_are_named(books: Books) -> None:
    async with books.console.work() as work:
        found = {account.code: account for account in await accounts.every(work)}
    assert set(found) == {
        "asset:operator_credit", "asset:sandbox_credit", "expense:promo", "expense:abandoned", "revenue:usage:live",
        "revenue:usage:sandbox", "revenue:breakage", "budget:issued", "budget:used",
    }  # fmt: skip
    assert all(account.organisation_ref is None for account in found.values())


async def test_the_books_balance_by_hand(books: Books) -> None:
    """Debits equal credits over every account, per unit, also when added up here."""
    ref = await books.organisation(live=1000, sandbox=300)
    lease = await books.lend(ref, 400)
    await books.flush([books.row(ref, lease, 150)])
    await books.close(lease)
    await books.lend(ref, 100, "sandbox")
    async with books.console.work() as work:
        found = await accounts.every(work)
    assert sum(one.debits_posted - one.credits_posted for one in found) == 0
    assert sum(one.debits_pending - one.credits_pending for one in found) == 0
    named = {one.code: one for one in found}
    assert named["revenue:usage:live"].credits_posted == 150
    assert named["revenue:usage:sandbox"].credits_pending == 100
    assert named["asset:operator_credit"].debits_posted == 1000


async def test_an_unknown_organisation_has_nothing(books: Books) -> None:
    assert await books.balance(uuid4()) == accounts.Balance(0, 0, 0)
    async with books.console.work() as work:
        assert await accounts.lots(work, uuid4()) == []
