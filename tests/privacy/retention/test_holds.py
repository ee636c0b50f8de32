"""Holds: by two people, with an end, keeping what they are about under a key of their own, and nothing after it."""

from __future__ import annotations

import json
from datetime import date, timedelta
from typing import cast
from uuid import UUID

import psycopg
import pytest

from retention_house import RetentionHouse
from ruxa.access import members
from ruxa.access.audit import log, sequencer
from ruxa.access.authorize import OPERATOR
from ruxa.kernel import ids
from ruxa.kernel.errors import Conflict, Forbidden, InvalidCall, NotFound
from ruxa.kernel.sealed import Sealed
from ruxa.privacy.retention import holds, records

USAGE, CONTENT = 83, 23
OWNER, APPROVER = ids.fresh(), ids.fresh()


async def _place(house: RetentionHouse, organisation: UUID, *, days: int = 100, reason: str = "Claim 17") -> UUID:
    async with house.books.operator.work() as work:
        return await holds.place(
            work,
            house.vault,
            OPERATOR,
            scope="organisation",
            subject_id=organisation,
            reason=reason,
            basis="legal_claim",
            owner_id=OWNER,
            ends_at=house.database.clock.now() + timedelta(days=house.day + days),
        )


async def _approve(house: RetentionHouse, hold: UUID, by: UUID = APPROVER) -> None:
    async with house.books.operator.work() as work:
        await holds.approve(work, house.vault, OPERATOR, hold, by)


async def _kept(house: RetentionHouse, hold: UUID) -> list[holds.Kept]:
    async with house.books.operator.work() as work:
        return await holds.kept(work, house.vault, hold)


async def test_usage_under_hold_is_kept_sealed_and_the_day_goes_all_the_same(house: RetentionHouse) -> None:
    held, held_ref = await house.organisation(live=1000)
    _, other_ref = await house.organisation(live=1000)
    rows = await house.spend(held_ref, [10, 20])
    await house.spend(other_ref, [30])
    first = house.today
    await house.to(USAGE - 1)
    hold = await _place(house, held)
    await _approve(house, hold)
    await house.to(USAGE)
    outcome = await house.run()
    assert outcome.state == "done", outcome
    assert outcome.held == 2
    assert first not in await house.days()
    assert [json.loads(one.body)["id"] for one in await _kept(house, hold)] == sorted(str(row.id) for row in rows)
    assert sorted(json.loads(one.body)["amount_micros"] for one in await _kept(house, hold)) == [10, 20]
    bodies = await house.admin("SELECT body_sealed FROM privacy.held_item")
    assert all(held_ref.hex.encode() not in body and str(held_ref).encode() not in body for (body,) in bodies)
    await house.books.prove()


async def test_transfers_under_hold_are_kept_sealed_and_their_year_goes_all_the_same(house: RetentionHouse) -> None:
    held, held_ref = await house.organisation(live=1000)
    _, other_ref = await house.organisation(live=1000)
    await house.spend(held_ref, [10, 20])
    await house.spend(other_ref, [30])
    year = house.began.year
    over = date(year + 8, 1, 1)
    # Two days of February are the 29th until then; the last day is still kept.
    await house.to((over - house.began.date()).days - 1)
    outcome = await house.run()
    assert outcome.state == "done", outcome
    hold = await _place(house, held)
    await _approve(house, hold)
    before = await _balances(house)
    moves = {
        row[0] for row in await house.admin("SELECT id FROM ledger.transfer WHERE organisation_ref = %s", held_ref)
    }
    assert moves
    await house.to((over - house.began.date()).days)
    outcome = await house.run()
    assert outcome.state == "done", outcome
    assert ("ledger years", 1) in outcome.planned
    assert await house.admin("SELECT count(*) FROM ledger.movement") == [(0,)]
    assert await _balances(house) == before
    await house.books.prove()
    kept = [json.loads(one.body) for one in await _kept(house, hold) if one.store == "transfer"]
    assert {UUID(one["id"]) for one in kept} == moves
    assert {one["organisation_ref"] for one in kept} == {str(held_ref)}
    assert any(one["credit"] == "revenue:usage:live" for one in kept)


async def _balances(house: RetentionHouse) -> list[tuple[object, ...]]:
    return await house.admin(
        "SELECT code, debits_posted - credits_posted FROM ledger.account_balance WHERE unit = 'usd_micros'"
        " AND debits_posted <> credits_posted ORDER BY code"
    )


async def test_what_an_organisation_did_is_kept_when_its_day_goes(house: RetentionHouse) -> None:
    held, _ = await house.organisation()
    other, _ = await house.organisation()
    await sequencer.prepare(house.books.worker)
    async with house.books.operator.work() as work:
        for organisation, act, count in ((held, "content:read", 3), (other, "content:read", 1)):
            for number in range(count):
                await log.write(
                    work, house.vault, cast(log.Act, act), actor="member", member_id=OWNER,
                    organisation_id=organisation, object_id=UUID(int=number), details={"number": str(number)},
                )  # fmt: skip
    first = house.today
    assert first in await house.days("audit.customer_entry")
    await house.to(USAGE - 1)
    hold = await _place(house, held)
    await _approve(house, hold)
    await house.to(USAGE)
    outcome = await house.run()
    assert outcome.state == "done", outcome
    assert first not in await house.days("audit.customer_entry")
    kept = await _kept(house, hold)
    assert {one.store for one in kept} == {"audit"}
    bodies = [json.loads(one.body) for one in kept]
    assert sorted(body["details"]["number"] for body in bodies) == ["0", "1", "2"]
    assert {body["action"] for body in bodies} == {"content:read"}
    assert outcome.held == 3


async def test_content_under_hold_is_kept_from_row_and_object(house: RetentionHouse) -> None:
    held, _ = await house.organisation()
    other, _ = await house.organisation()
    for size in (10, 100_000):
        await house.store(held, CONTENT, size=size)
    await house.store(other, CONTENT)
    hold = await _place(house, held)
    await _approve(house, hold)
    await house.to(CONTENT)
    outcome = await house.run()
    assert (outcome.state, outcome.held) == ("done", 2), outcome
    assert await house.admin("SELECT count(*) FROM content.item") == [(0,)]
    assert not [path for path in (house.data / "objects").rglob("*") if path.is_file()]
    kept = await _kept(house, hold)
    assert sorted((one.part, len(one.body)) for one in kept) == [
        ("answer", 10), ("answer", 100_000), ("request", 10), ("request", 100_000),
    ]  # fmt: skip
    assert {one.body[:1] for one in kept if one.part == "answer"} == {b"a"}


async def test_when_a_hold_ends_its_key_goes_and_all_it_kept(house: RetentionHouse) -> None:
    held, ref = await house.organisation(live=1000)
    await house.spend(ref, [10])
    hold = await _place(house, held, days=USAGE + 10)
    await _approve(house, hold)
    await house.to(USAGE)
    await house.run()
    assert await _kept(house, hold)
    await house.to(USAGE + 9)
    assert (await house.run()).destroyed > 0
    assert await _kept(house, hold)
    await house.to(USAGE + 10)
    outcome = await house.run()
    assert outcome.state == "done", outcome
    assert dict(outcome.planned)["holds over"] == 1
    with pytest.raises(NotFound):
        await _kept(house, hold)
    assert await house.admin("SELECT count(*) FROM privacy.held_item") == [(0,)]
    assert await house.admin("SELECT count(*) FROM keystore.key WHERE kind = 'hold'") == [(0,)]
    assert await house.admin("SELECT reason_sealed FROM privacy.hold") == [(None,)]


async def test_an_end_that_was_cut_off_is_finished_by_the_next_run(house: RetentionHouse) -> None:
    held, ref = await house.organisation(live=1000)
    await house.spend(ref, [10])
    hold = await _place(house, held)
    await _approve(house, hold)
    await house.to(USAGE)
    await house.run()
    async with house.books.operator.work() as work:
        assert await records.end_hold(work, hold)
    assert (await house.run()).state == "done"
    assert await house.admin("SELECT count(*) FROM privacy.held_item") == [(0,)]
    assert await house.admin("SELECT count(*) FROM keystore.key WHERE kind = 'hold'") == [(0,)]


async def test_four_eyes(house: RetentionHouse) -> None:
    organisation, _ = await house.organisation()
    hold = await _place(house, organisation)
    with pytest.raises(Forbidden) as caught:
        await _approve(house, hold, OWNER)
    assert caught.value.code == "hold_four_eyes"
    # Not even by a statement of one's own.
    with pytest.raises(psycopg.errors.CheckViolation):
        await house.admin("UPDATE privacy.hold SET approver_id = owner_id, approved_at = ruxa.now()")
    await _approve(house, hold)
    with pytest.raises(Conflict):
        await _approve(house, hold, ids.fresh())


async def test_without_approval_it_holds_for_three_days(house: RetentionHouse) -> None:
    held, ref = await house.organisation(live=1000)
    await house.spend(ref, [10])
    await house.to(USAGE - 2)
    hold = await _place(house, held)
    await house.to(USAGE)
    assert (await house.run()).held == 1
    async with house.books.operator.work() as work:
        assert await holds.count(work) == 1
        assert await holds.holds_back(work, held)
    await house.to(USAGE + 1)
    outcome = await house.run()
    assert dict(outcome.planned)["holds over"] == 1
    async with house.books.operator.work() as work:
        assert await holds.count(work) == 0
        assert not await holds.holds_back(work, held)
    with pytest.raises(NotFound):
        await _kept(house, hold)


@pytest.mark.parametrize("days", [0, -1, 367, 4000])
async def test_an_end_within_twelve_months(house: RetentionHouse, days: int) -> None:
    organisation, _ = await house.organisation()
    with pytest.raises(InvalidCall) as caught:
        await _place(house, organisation, days=days)
    assert caught.value.code == "hold_end"
    await _place(house, organisation, days=364)


async def test_a_reason_is_needed_and_kept_sealed(house: RetentionHouse) -> None:
    organisation, _ = await house.organisation()
    for reason in ("", "   ", "x" * 501):
        with pytest.raises(InvalidCall) as caught:
            await _place(house, organisation, reason=reason)
        assert caught.value.code == "hold_reason"
    await _place(house, organisation, reason="Case  of Ms Example")
    async with house.books.operator.work() as work:
        (one,) = await holds.every(work, house.vault)
    assert one.reason == "Case of Ms Example"
    (sealed,) = (await house.admin("SELECT reason_sealed FROM privacy.hold"))[0]
    assert b"Example" not in sealed


async def test_nothing_of_a_hold_is_changed_afterwards(house: RetentionHouse) -> None:
    organisation, _ = await house.organisation()
    hold = await _place(house, organisation)
    await _approve(house, hold)
    for change in (
        "ends_at = ends_at - interval '1 day'",
        "subject_id = gen_random_uuid()",
        "basis = 'dispute'",
        "owner_id = gen_random_uuid()",
        "approver_id = gen_random_uuid()",
        "reason_sealed = 'x'",
        "gagged = true",
    ):
        with pytest.raises(psycopg.DatabaseError, match="a hold is not changed"):
            await house.admin(f"UPDATE privacy.hold SET {change}")
    await holds.end(house.books.operator, house.vault, OPERATOR, hold)
    with pytest.raises(psycopg.DatabaseError, match="a hold is not changed"):
        await house.admin("UPDATE privacy.hold SET ended_at = NULL")


async def test_a_closed_organisation_on_hold_is_not_erased_until_it_ends(house: RetentionHouse) -> None:
    organisation, _ = await house.organisation()
    await house.admin(
        "UPDATE access.organisation SET suspended_at = ruxa.now(), suspended_why = 'request', closed_at = ruxa.now()"
        " WHERE id = %s",
        organisation,
    )
    hold = await _place(house, organisation)
    await _approve(house, hold)
    await house.to(40)
    from ruxa.privacy.retention import engine

    async with house.books.operator.work() as work:
        assert await engine.due_closures(work) == []
    await holds.end(house.books.operator, house.vault, OPERATOR, hold)
    async with house.books.operator.work() as work:
        assert await engine.due_closures(work) == [organisation]


async def test_the_log_names_who_placed_approved_and_ended_it(house: RetentionHouse) -> None:
    organisation, _ = await house.organisation()
    before = await house.admin("SELECT count(*) FROM audit.entry")
    hold = await _place(house, organisation)
    await _approve(house, hold)
    await holds.end(house.books.operator, house.vault, OPERATOR, hold)
    await holds.end(house.books.operator, house.vault, OPERATOR, hold)
    after = await house.admin("SELECT count(*) FROM audit.entry")
    assert after[0][0] - before[0][0] == 3


async def test_what_a_hold_must_keep_and_cannot_stops_everything(house: RetentionHouse) -> None:
    """A copy that fails is no reason to let the original go."""
    held, ref = await house.organisation(live=1000)
    await house.spend(ref, [10])
    first = house.today
    hold = await _place(house, held)
    await _approve(house, hold)
    await house.to(USAGE)
    await house.admin("ALTER TABLE privacy.held_item ADD CONSTRAINT no_more CHECK (false) NOT VALID")
    outcome = await house.run()
    assert (outcome.state, outcome.code) == ("failed", "no_more")
    assert first in await house.days()
    assert first in await house.vault.days_held("day", "usage")
    await house.admin("ALTER TABLE privacy.held_item DROP CONSTRAINT no_more")
    assert (await house.run()).state == "done"
    assert len(await _kept(house, hold)) == 1


@pytest.mark.parametrize("gagged", [False, True])
async def test_whom_it_concerns_is_told_unless_the_law_forbids_it(house: RetentionHouse, gagged: bool) -> None:
    organisation, _ = await house.organisation()
    async with house.books.operator.work() as work:
        await members.create_synthetic(
            work, house.vault, Sealed("owner@example.com"), Sealed("Ann"), "$argon2id$x", organisation
        )
        hold = await holds.place(
            work,
            house.vault,
            OPERATOR,
            scope="organisation",
            subject_id=organisation,
            reason="Case 17",
            basis="authority",
            owner_id=OWNER,
            ends_at=house.database.clock.now() + timedelta(days=10),
            gagged=gagged,
        )
    assert await house.admin("SELECT count(*) FROM access.mail") == [(0,)]
    await _approve(house, hold)
    assert await house.admin("SELECT count(*) FROM access.mail WHERE template = 'hold'") == [(0 if gagged else 1,)]
    assert await house.admin("SELECT told_at IS NULL FROM privacy.hold") == [(gagged,)]
