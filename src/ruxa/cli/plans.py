"""``ruxa plan``: price books that follow from the list, who has which, and what is left over their cost."""

from __future__ import annotations

from argparse import Namespace
from datetime import date, timedelta
from typing import Any
from uuid import UUID

from ruxa.access import organisations
from ruxa.access.audit import log
from ruxa.access.authorize import OPERATOR
from ruxa.app.house import House
from ruxa.cli import output, session
from ruxa.kernel import ids
from ruxa.kernel.errors import InvalidCall
from ruxa.ledger import plans, prices
from ruxa.ledger.plans import WHOLE, Assigned, Line, Margin, Plan
from ruxa.ledger.prices import OWN


def create(args: Namespace) -> int:
    """``ruxa plan create``."""

    async def act(house: House) -> int:
        async with house.work() as work:
            await plans.create(work, args.name, beyond_list=args.beyond == "list")
            made: list[UUID] = []
            if args.margin is not None:
                made.append(await plans.put(work, args.name, WHOLE + args.margin))
            if args.own_fee is not None:
                made.append(await plans.put(work, OWN + args.name, args.own_fee))
            for margin_id in made or [None]:
                await log.add(work, house.vault, OPERATOR, "plan:changed", object_id=margin_id)
            return len(await prices.current(work, args.name))

    output.show(args, {"name": args.name, "beyond": args.beyond, "models": session.within(args, act)})
    return 0


def list_(args: Namespace) -> int:
    """``ruxa plan list``."""

    async def act(house: House) -> list[Plan]:
        async with house.work() as work:
            return await plans.listed(work)

    rows = [
        {"name": one.name, "beyond": "list" if one.beyond_list else "refuse", "organisations": one.organisations}
        for one in session.within(args, act)
    ]
    output.table(args, rows, ["name", "beyond", "organisations"], empty="No plans.")
    return 0


def show(args: Namespace) -> int:
    """``ruxa plan show``."""

    async def act(house: House) -> list[Margin]:
        async with house.work() as work:
            return await plans.margins(work, args.name)

    rows = [_margin(args.name, one) for one in session.within(args, act)]
    columns = ["model", "class", "margin", "share_basis_points", "since", "until"]
    output.table(args, rows, columns, empty="This plan has no margins, so it has no models.")
    return 0


def set_(args: Namespace) -> int:
    """``ruxa plan set``."""
    own = args.name.startswith(OWN)
    if args.margin is not None and own:
        raise InvalidCall("A book of own keys takes a fee: --fee PERCENT.", code="bad_plan", param="margin")
    if args.fee is not None and not own:
        raise InvalidCall(f"A fee is for calls on own keys: ruxa plan set {OWN}{args.name} --fee ...", code="bad_plan")
    share = None if args.leave_out else args.fee if own else WHOLE + (args.margin or 0)

    async def act(house: House) -> tuple[list[Margin], int]:
        starts = session.moment(args.starts, house.clock, "--starts", past=False) if args.starts else None
        async with house.work() as work:
            if args.end:
                changed = await plans.end(work, args.name, pattern=args.model, usage_class=args.usage_class, at=starts)
                if changed is None:
                    output.complain("note: there was no such margin.")
            else:
                changed = await plans.put(
                    work, args.name, share, pattern=args.model, usage_class=args.usage_class, starts=starts
                )
            await log.add(work, house.vault, OPERATOR, "plan:changed", object_id=changed)
            return await plans.margins(work, args.name), len(await prices.current(work, args.name))

    rules, models = session.within(args, act)
    rows = [_margin(args.name, one) for one in rules]
    if args.json:
        output.as_json({"name": args.name, "models": models, "margins": rows})
    else:
        columns = ["model", "class", "margin", "since", "until"]
        output.table(args, rows, columns, empty="This plan has no margins, so it has no models.")
        output.line(f"{models} models have a price in {args.name} now.")
    return 0


def assign(args: Namespace) -> int:
    """``ruxa plan assign``."""

    async def act(house: House) -> list[Assigned]:
        starts = session.moment(args.starts, house.clock, "--starts", past=False) if args.starts else None
        async with house.work() as work:
            owner = await organisations.find(work, house.vault, session.organisation(args))
            made = await plans.assign(work, owner.organisation_ref, args.name, starts=starts)
            await log.add(
                work,
                house.vault,
                OPERATOR,
                "plan:assigned",
                organisation_id=owner.id,
                object_id=made,
                details={"plan": args.name},
            )
            return await plans.history(work, owner.organisation_ref)

    rows = [{"plan": one.book, "since": one.since, "until": one.until} for one in session.within(args, act)]
    output.table(args, rows, ["plan", "since", "until"], empty="The list.")
    return 0


def margins(args: Namespace) -> int:
    """``ruxa plan margins``."""

    async def act(house: House) -> tuple[list[Line], dict[UUID, UUID | None]]:
        since = session.moment(args.since, house.clock, "--since", past=True).date()
        first = date(since.year, since.month, 1)
        until = house.clock.now().date() + timedelta(days=1)
        async with house.work() as work:
            ref = None
            if args.org is not None:
                ref = (await organisations.find(work, house.vault, session.organisation(args))).organisation_ref
            found = await plans.report(work, first, until, ref)
            refs = {line.organisation_ref for line in found if line.organisation_ref is not None}
            return found, {one: await organisations.of_ref(work, one) for one in refs}

    found, names = session.within(args, act)

    def shown(ref: UUID | None) -> str | None:
        if ref is None:
            return None if args.json else "all"
        known = names[ref]
        return None if known is None else ids.text("org", known)

    rows = [
        {
            "month": f"{line.month:%Y-%m}",
            "organisation": shown(line.organisation_ref),
            "book": line.book,
            "model": line.model,
            "scope": line.scope,
            "calls": line.calls,
            "charged_micros": line.amount_micros,
            "waived_micros": line.waived_micros,
            "list_cost_micros": line.cost_micros,
            "margin_micros": line.margin_micros,
        }
        for line in found
    ]
    columns = ["month", "organisation", "book", "model", "calls", "charged_micros", "list_cost_micros", "margin_micros"]
    output.table(args, rows, columns, empty="No charges.")
    return 0


def _margin(book: str, one: Margin) -> dict[str, Any]:
    fee = book.startswith(OWN) and one.share is not None
    return {
        "model": one.pattern,
        "class": one.usage_class,
        "margin": f"fee {one.fee}" if fee else one.percent,
        "share_basis_points": one.share,
        "since": one.since,
        "until": one.until,
    }
