"""Organisations: sealed names, lists by page, suspension."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest

from fixtures_access import House
from ruxa.access import organisations
from ruxa.kernel.errors import InvalidCall, NotFound
from ruxa.kernel.sealed import Sealed


async def test_lists_page_by_page_with_names(house: House) -> None:
    made: list[UUID] = []
    for number in range(5):
        async with house.operator.work() as work:
            made.append((await organisations.create(work, house.vault, Sealed(f"House {number}"))).id)
    seen: list[organisations.Organisation] = []
    async with house.console.work() as work:
        while page := await organisations.page(work, house.vault, after=seen[-1].id if seen else None, limit=2):
            seen += page
    assert [one.id for one in seen] == list(reversed(made))
    assert [one.name.open("provide") for one in seen] == [f"House {number}" for number in (4, 3, 2, 1, 0)]
    assert len({one.organisation_ref for one in seen} | set(made)) == 10
    assert "House" not in repr(seen)


async def test_rename_and_defaults(house: House) -> None:
    async with house.operator.work() as work:
        made = await organisations.create(work, house.vault, Sealed("Before"), synthetic=True)
        assert (made.synthetic, made.members, made.output_tokens_default) == (True, 0, 4096)
        await organisations.rename(work, house.vault, made.id, Sealed("After"))
        await organisations.set_output_default(work, made.id, 10)
        found = await organisations.find(work, house.vault, made.id)
        assert (found.name.open("provide"), found.output_tokens_default) == ("After", 10)
        with pytest.raises(InvalidCall):
            await organisations.set_output_default(work, made.id, 0)
        with pytest.raises(InvalidCall):
            await organisations.create(work, house.vault, Sealed("\u2028"))


async def test_suspension_keeps_its_first_instant_and_reason_can_change(house: House) -> None:
    async with house.operator.work() as work:
        made = await organisations.create(work, house.vault, Sealed("One"))
        await organisations.suspend(work, made.id, "payment")
        first = await organisations.find(work, house.vault, made.id)
        await organisations.suspend(work, made.id, "abuse")
        second = await organisations.find(work, house.vault, made.id)
        assert (first.suspended_why, second.suspended_why) == ("payment", "abuse")
        assert first.suspended_at == second.suspended_at is not None
        await organisations.restore(work, made.id)
        assert (await organisations.find(work, house.vault, made.id)).suspended_at is None


async def test_what_does_not_exist_is_not_found(house: House) -> None:
    nobody = uuid4()
    async with house.operator.work() as work:
        for act in (
            organisations.find(work, house.vault, nobody),
            organisations.suspend(work, nobody, "legal"),
            organisations.restore(work, nobody),
            organisations.set_output_default(work, nobody, 5),
        ):
            with pytest.raises(NotFound):
                await act
