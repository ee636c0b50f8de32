"""Activity: an organisation's calls, newest first, each with the state of its ledger line."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

from books import Books
from ruxa.kernel import ids
from ruxa.kernel.clock import Clock
from ruxa.ledger import activity


async def test_calls_page_newest_first_and_are_ones_own(books: Books) -> None:
    ref = await books.organisation(live=1000)
    other = await books.organisation(live=1000)
    lease = await books.lend(ref, 100)
    now = Clock().unix_ms()
    rows = [books.row(ref, lease, n, id=ids.at(now - 10_000 + n), at_ms=now - 10_000 + n) for n in range(1, 6)]
    stranger = books.row(other, await books.lend(other, 50), 9)
    await books.flush([*rows, stranger])
    async with books.console.work() as work:
        every = await activity.calls(work, ref)
        assert [call.id for call in every] == [row.id for row in reversed(rows)]
        assert [call.amount_micros for call in every] == [5, 4, 3, 2, 1]
        assert {call.line_state for call in every} == {"settling"}
        rest = await activity.calls(work, ref, before=every[1].id, limit=2)
        assert [call.id for call in rest] == [call.id for call in every[2:4]]
        soon = Clock().now() + timedelta(hours=1)
        assert await activity.calls(work, ref, activity.Filter(since=soon)) == []
        found = await activity.find(work, stranger.id)
        assert found is not None
        assert (found.organisation_ref, found.amount_micros, found.model) == (other, 9, "openai/test")
        assert await activity.find(work, uuid4()) is None
    await books.close(lease)
    async with books.operator.work() as work:
        assert {call.line_state for call in await activity.calls(work, ref)} == {"posted"}
