"""Statements: an organisation sees its own transfers, page by page, and nobody else's."""

from __future__ import annotations

from books import Books
from ruxa.ledger import statements


async def test_lines_page_newest_first_and_are_ones_own(books: Books) -> None:
    ref = await books.organisation(live=1000)
    other = await books.organisation(live=5)
    lease = await books.lend(ref, 100)
    await books.flush([books.row(ref, lease, 30)])
    await books.close(lease)
    async with books.console.work() as work:
        every = await statements.lines(work, ref)
        assert [line.code for line in every] == ["usage", "lease", "credit"]
        assert [(line.state, line.amount_micros) for line in every] == [
            ("post", 30),
            ("pending", 100),
            ("posted", 1000),
        ]
        assert every[0].credit == "revenue:usage:live"
        assert every[0].ref == lease
        first = await statements.lines(work, ref, limit=2)
        assert await statements.lines(work, ref, before=first[-1].id, limit=2) == every[2:]
        assert [line.amount_micros for line in await statements.lines(work, other)] == [5]


async def test_a_released_lease_shows_as_returned(books: Books) -> None:
    ref = await books.organisation(live=1000)
    lease = await books.lend(ref, 100)
    await books.close(lease)
    async with books.console.work() as work:
        lines = await statements.lease_lines(work, lease)
    assert [(line.state, line.code, line.amount_micros) for line in lines] == [
        ("pending", "lease", 100),
        ("void", "returned", 0),
    ]
