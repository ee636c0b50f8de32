"""The page of holds: approved by a second person only; late erasures are told with what stands against them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg

from ruxa.access import members, outbox
from ruxa.access.authorize import OPERATOR
from ruxa.kernel import ids
from ruxa.kernel.clock import Clock
from ruxa.kernel.sealed import Sealed
from ruxa.privacy import erase
from ruxa.privacy.retention import holds


async def test_a_hold_is_approved_by_somebody_else_than_who_placed_it(console: Any) -> None:
    browser, person = await console.operator()
    house = console.house
    async with house.operator.work() as work:
        me = await members.find_by_email(work, house.vault, person.email)
    assert "Nothing is on hold" in (await browser.get("/staff/holds")).text
    _, _, organisation_id = await house.owner()
    assert me is not None
    placed: list[UUID] = []
    async with house.operator.work() as work:
        other = (await members.add_staff(work, house.vault, Sealed("dpo@example.com"), "dpo")).member_id
        for owner in (other, me):
            placed.append(await holds.place(
                work, house.vault, OPERATOR, scope="organisation", subject_id=organisation_id,
                reason="a claim of 2026", basis="legal_claim", owner_id=owner,
                ends_at=Clock().now() + timedelta(days=30),
            ))  # fmt: skip
    shown = (await browser.get("/staff/holds")).text
    assert shown.count("a claim of 2026") == 2
    assert "built-in" not in shown
    assert shown.count("Somebody else approves it.") == 1, "what I placed is not mine to approve"
    theirs, mine = (ids.text("hold", one) for one in placed)
    refused = await browser.post("/staff/holds", "approve", 403, hold=mine)
    assert "somebody else than who placed it" in refused.text
    listed = (await browser.api("GET", "/api/v1/staff/holds")).json()
    assert {one["id"]: one["state"] for one in listed} == {theirs: "waits", mine: "waits"}
    await browser.api("POST", f"/api/v1/staff/holds/{mine}/approve", status=403)
    await browser.post("/staff/holds", "approve", hold=theirs)
    await browser.api("POST", f"/api/v1/staff/holds/{theirs}/approve", status=409)
    async with house.operator.work() as work:
        found = {one.id: one for one in await holds.every(work, house.vault)}
    assert [holds.state_of(found[one]) for one in placed] == ["approved", "waits"]
    assert found[placed[0]].approver_id == me
    assert await _mails(house, "hold") == 1, "whom it concerns is told"


async def _mails(house: Any, template: str) -> int:
    async with house.console.work() as work:
        return [one.template for one in await outbox.page(work, limit=10)].count(template)


async def test_an_erasure_that_is_late_is_shown_with_what_stands_against_it(console: Any) -> None:
    browser, _ = await console.operator()
    house = console.house
    assert "None is late" in (await browser.get("/staff/holds")).text
    _, member_id, organisation_id = await house.owner()
    async with house.operator.work() as work:
        asked = await erase.ask(work, house.vault, member_id, by="subject")
        dpo = (await members.add_staff(work, house.vault, Sealed("dpo@example.com"), "dpo")).member_id
        await holds.place(
            work, house.vault, OPERATOR, scope="organisation", subject_id=organisation_id, reason="a claim",
            basis="legal_claim", owner_id=dpo, ends_at=Clock().now() + timedelta(days=30),
        )  # fmt: skip
    assert await _mails(house, "erasure") == 1, "whoever it was that asked, the person learns of it"
    with psycopg.connect(house.database.admin_url) as admin:
        admin.execute("UPDATE privacy.erasure SET due_at = ruxa.now() - interval '2 hours'")
    assert await erase.due(house.worker, house.eraser, house.vault, sink=house.signals) == 0
    assert [told for told in house.signals.told if told[0] == "erasure.refused"] == [
        ("erasure.refused", {"code": "erasure_not_now", "count": 2})
    ]
    shown = (await browser.get("/staff/holds")).text
    assert ids.text("ers", asked) in shown
    assert "a hold" in shown
