"""``ruxa org``: make, list, show, give credit, limit, budget."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

import msgspec

from ruxa.access import links, members, organisations
from ruxa.access.audit import log
from ruxa.access.authorize import OPERATOR
from ruxa.access.grants import Limits
from ruxa.access.organisations import Organisation
from ruxa.app.house import House
from ruxa.cli import output, session
from ruxa.kernel import ids
from ruxa.kernel.sealed import Sealed
from ruxa.ledger import accounts, budgets, topups
from ruxa.ledger.payments import corrections
from ruxa.store.work import Work

PURPOSE = "provide"
REASON_COLUMN = "ledger.lot.reason_sealed"


def create(args: Namespace) -> int:
    """``ruxa org create``."""

    async def act(house: House) -> tuple[dict[str, Any], str]:
        async with house.work() as work:
            made = await organisations.create(work, house.vault, Sealed(args.name))
            owner = await members.invite(work, house.vault, made.id, Sealed(args.owner_email), "owner")
            await log.add(
                work, house.vault, OPERATOR, "organisation:created", organisation_id=made.id, object_id=made.id
            )
            row = await _row(work, made)
        return row, links.url(house.base_url, "invite", owner.secret).open(links.PURPOSE)

    row, link = session.within(args, act)
    output.show(args, {**row, "owner_link": link})
    return 0


def list_(args: Namespace) -> int:
    """``ruxa org list``."""

    async def act(house: House) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        async with house.work() as work:
            after = None
            while len(rows) < args.limit:
                page = await organisations.page(work, house.vault, after=after, limit=args.limit - len(rows))
                if not page:
                    break
                rows += [await _row(work, one) for one in page]
                after = page[-1].id
        return rows

    columns = ["id", "name", "balance_micros", "held_micros", "members", "suspended"]
    output.table(args, session.within(args, act), columns, empty="No organisations.")
    return 0


def show(args: Namespace) -> int:
    """``ruxa org show``."""

    async def act(house: House) -> dict[str, Any]:
        async with house.work() as work:
            return await _row(work, await organisations.find(work, house.vault, session.organisation(args)))

    output.show(args, session.within(args, act))
    return 0


def credit(args: Namespace) -> int:
    """``ruxa org credit``."""

    async def act(house: House) -> dict[str, Any]:
        async with house.work() as work:
            found = await organisations.find(work, house.vault, session.organisation(args))
            who = await session.person(args, house, work, "staff_credit:give")
            lot_id = ids.fresh()
            # The reason may name people: it is sealed under a key of the organisation's billing records.
            year = house.clock.now().year
            reason = await house.vault.seal(REASON_COLUMN, found.id, lot_id, args.reason, year=year)
            ref = found.organisation_ref
            if args.sandbox:
                await topups.sandbox(work, ref, args.micros, lot_id=lot_id, reason_sealed=reason)
            else:
                # A large one of a live installation waits for a second person, in the console.
                await corrections.credit(work, ref, args.micros, by=who.text, lot_id=lot_id, reason_sealed=reason)
            await log.add(
                work,
                house.vault,
                OPERATOR,
                "credit:given",
                organisation_id=found.id,
                object_id=lot_id,
                details=session.said_by(who),
            )
            return await _row(work, found)

    output.show(args, session.within(args, act))
    return 0


def limit(args: Namespace) -> int:
    """``ruxa org limit``."""
    limits = Limits(args.rpm, args.tpm, args.concurrency)

    async def act(house: House) -> dict[str, Any]:
        async with house.work() as work:
            organisation_id = session.organisation(args)
            if args.member is None:
                made = await organisations.limit(work, organisation_id, limits, model=args.model)
            else:
                member_id = ids.read("mem", args.member)
                await organisations.limit_member(work, organisation_id, member_id, limits)
                made = limits
            await log.add(
                work,
                house.vault,
                OPERATOR,
                "organisation:changed",
                organisation_id=organisation_id,
                object_id=organisation_id,
            )
        return msgspec.to_builtins(made)

    made = session.within(args, act)
    output.show(args, {"limits": made or "none"})
    return 0


def budget(args: Namespace) -> int:
    """``ruxa org budget``."""

    async def act(house: House) -> dict[str, Any]:
        async with house.work() as work:
            found = await organisations.find(work, house.vault, session.organisation(args))
            ref = found.organisation_ref
            await budgets.put(work, "organisation", ref, ref, limit_micros=args.micros, period=args.period)
            await log.add(
                work, house.vault, OPERATOR, "organisation:changed", organisation_id=found.id, object_id=found.id
            )
            state = await budgets.state(work, "organisation", ref)
        assert state is not None
        return msgspec.to_builtins(state)

    output.show(args, session.within(args, act))
    return 0


async def _row(work: Work, one: Organisation) -> dict[str, Any]:
    """A row for people and scripts: both colours of money together, then each alone."""
    balance = await accounts.balance(work, one.organisation_ref)
    return {
        "id": ids.text("org", one.id),
        "name": one.name.open(PURPOSE),
        "balance_micros": sum(colour.balance_micros for colour in balance.values()),
        "held_micros": sum(colour.held_micros for colour in balance.values()),
        **{f"{scope}_micros": colour.balance_micros for scope, colour in balance.items()},
        "members": one.members,
        "suspended": one.suspended_at is not None,
        "demo": one.synthetic,
    }
