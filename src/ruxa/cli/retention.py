"""``ruxa retention`` and ``ruxa hold``: what is kept how long, the run that ends it, and what must not go yet."""

from __future__ import annotations

from argparse import Namespace
from typing import Any
from uuid import UUID

from ruxa.access import members
from ruxa.access.audit import log
from ruxa.access.authorize import OPERATOR
from ruxa.app import retention
from ruxa.app.house import House
from ruxa.cli import output, session
from ruxa.kernel import ids
from ruxa.kernel.errors import InvalidCall
from ruxa.kernel.sealed import Sealed
from ruxa.privacy.retention import engine, holds, stores, watch

RUNS = 10


def run(args: Namespace) -> int:
    """``ruxa retention run``. 1 when something that was due is still there, or the clock is not believed."""

    async def act(house: House) -> engine.Outcome:
        retention.step_back()
        pool = await retention.pool_of(house.address, house.clock)
        try:
            eraser = house.lend("ruxa_erase")
            given = retention.tools(house.settings, pool, eraser, house.vault, house.objects, house.sink, house.clock)
            return await engine.run(given, cause="command")
        finally:
            await pool.close()

    outcome = session.within(args, act)
    row = {
        "state": outcome.state,
        "code": outcome.code,
        "planned": dict(outcome.planned),
        "destroyed": outcome.destroyed,
        "held": outcome.held,
        "left": dict(outcome.left),
        "took_ms": outcome.took_ms,
    }
    if args.json:
        output.as_json(row)
    else:
        output.line(_said(outcome))
    return 0 if outcome.state in ("done", "busy") else 1


def _said(outcome: engine.Outcome) -> str:
    if outcome.state == "busy":
        return "Another run is under way."
    if outcome.state == "paused":
        return (
            f"The clock is {abs(outcome.jump_ms or 0) // 1000} s from where it should be: nothing was destroyed. It"
            " goes on when the clock is right again; if it is right now, say so: ruxa retention acknowledge"
        )
    planned = ", ".join(f"{name} {count}" for name, count in outcome.planned) or "nothing"
    text = f"Due: {planned}. Destroyed: {outcome.destroyed}. Kept for holds: {outcome.held}."
    if outcome.left:
        text += " STILL THERE: " + ", ".join(f"{name} {count}" for name, count in outcome.left) + "."
    return text + (f" Failed: {outcome.code}." if outcome.code else "")


def show(args: Namespace) -> int:
    """``ruxa retention show``: every class with its limit and its oldest item, the stores, the last runs."""

    async def act(house: House) -> dict[str, Any]:
        async with house.work() as work:
            said = await engine.report(work, runs=RUNS)
        return {
            "classes": [
                {
                    "class": one.name,
                    "in_service": one.service,
                    "published": one.published,
                    "clause": one.clause,
                    "counts_from": one.clock,
                    "oldest": said.oldest.get(one.name),
                }
                for one in stores.classes()
            ],
            "stores": [
                {"kind": one.kind, "places": one.places, "classes": one.classes, "ends": one.ends}
                for one in stores.CLASSES
            ],
            "runs": [
                {
                    "started_at": one.started_at,
                    "ended_at": one.ended_at,
                    "state": one.state,
                    "code": one.code,
                    "planned": one.planned,
                    "destroyed": one.destroyed,
                    "held": one.held,
                }
                for one in said.runs
            ],
            "clock": "paused" if said.paused else "believed",
            "missed_hours": said.missed_h,
            "holds": said.holds,
        }

    row = session.within(args, act)
    if args.json:
        output.as_json(row)
        return 0
    columns = ["class", "in_service", "published", "counts_from", "oldest"]
    output.table(args, row["classes"], columns, empty="")
    output.line()
    output.table(
        args, row["runs"], ["started_at", "state", "code", "planned", "destroyed", "held"], empty="No run yet."
    )
    output.line()
    output.line(f"Clock: {row['clock']}. Holds: {row['holds']}.")
    if row["missed_hours"] is not None:
        output.line(f"The last good run is {row['missed_hours']} hours old.")
    return 0


def acknowledge(args: Namespace) -> int:
    """``ruxa retention acknowledge``: the clock is right, destruction by age goes on."""

    async def act(house: House) -> None:
        async with house.work() as work:
            await watch.acknowledge(work, await watch.read(work, house.clock))
            await log.add(work, house.vault, OPERATOR, "retention:run", staff=True, purpose="clock_acknowledged")

    session.within(args, act)
    output.show(args, {"clock": "believed"})
    return 0


def hold_place(args: Namespace) -> int:
    """``ruxa hold place``."""

    async def act(house: House) -> UUID:
        async with house.work() as work:
            owner = await _staff(house, args.owner)
            subject = ids.read("org", args.org) if args.org else ids.read("mem", args.member)
            return await holds.place(
                work,
                house.vault,
                OPERATOR,
                scope="organisation" if args.org else "member",
                subject_id=subject,
                reason=args.reason,
                basis=args.basis,
                owner_id=owner,
                ends_at=session.moment(args.until, house.clock, "--until", past=False),
                gagged=args.gagged,
            )

    if bool(args.org) == bool(args.member):
        raise InvalidCall("Name what is held: --org ORG or --member MEMBER.", code="hold_scope")
    hold_id = session.within(args, act)
    output.show(args, {"id": ids.text("hold", hold_id), "state": "waits for approval, holds meanwhile (3 days)"})
    return 0


def hold_approve(args: Namespace) -> int:
    """``ruxa hold approve``: by somebody else than who placed it."""

    async def act(house: House) -> None:
        async with house.work() as work:
            approver = await _staff(house, args.approver)
            await holds.approve(work, house.vault, OPERATOR, ids.read("hold", args.hold), approver)

    session.within(args, act)
    output.show(args, {"id": args.hold, "state": "approved"})
    return 0


def hold_list(args: Namespace) -> int:
    """``ruxa hold list``."""

    async def act(house: House) -> list[dict[str, Any]]:
        async with house.work() as work:
            return [_hold(one) for one in await holds.every(work, house.vault, ended=args.all)]

    columns = ["id", "subject", "basis", "state", "ends_at", "items", "reason"]
    output.table(args, session.within(args, act), columns, empty="Nothing is on hold.")
    return 0


def _hold(one: holds.Hold) -> dict[str, Any]:
    return {
        "id": ids.text("hold", one.id),
        "subject": ids.text("org" if one.scope == "organisation" else "mem", one.subject_id),
        "basis": one.basis,
        "state": holds.state_of(one),
        "reason": one.reason,
        "owner": ids.text("mem", one.owner_id),
        "approver": None if one.approver_id is None else ids.text("mem", one.approver_id),
        "gagged": one.gagged,
        "placed_at": one.placed_at,
        "ends_at": one.ends_at,
        "ended_at": one.ended_at,
        "items": one.items,
    }


def hold_show(args: Namespace) -> int:
    """``ruxa hold show``: what a hold keeps, opened; the reading is in the audit log."""

    async def act(house: House) -> list[dict[str, Any]]:
        hold_id = ids.read("hold", args.hold)
        async with house.work() as work:
            kept = await holds.kept(work, house.vault, hold_id)
            await log.add(
                work, house.vault, OPERATOR, "staff:read", object_id=hold_id, staff=True, purpose="legal",
                details={"items": str(len(kept))},
            )  # fmt: skip
        return [
            {
                "store": one.store,
                "id": one.item_id.hex if one.store == "audit" else ids.text("req", one.item_id),
                "part": one.part,
                "body": one.body.decode(errors="replace"),
            }
            for one in kept
        ]

    output.table(args, session.within(args, act), ["store", "id", "part"], empty="It keeps nothing yet.")
    return 0


def hold_end(args: Namespace) -> int:
    """``ruxa hold end``: deletion goes on; what it kept is destroyed."""

    async def act(house: House) -> None:
        await holds.end(house.pool, house.vault, OPERATOR, ids.read("hold", args.hold))

    session.within(args, act)
    output.show(args, {"id": args.hold, "state": "ended"})
    return 0


async def _staff(house: House, email: str) -> UUID:
    """A member of staff by address. Raises InvalidCall ``not_staff``."""
    async with house.work() as work:
        found = await members.find_by_email(work, house.vault, Sealed(email))
        staff = {one.id for one in await members.staff(work, house.vault)}
    if found is None or found not in staff:
        raise InvalidCall("That is no member of staff; `ruxa operator add EMAIL` makes one.", code="not_staff")
    return found
