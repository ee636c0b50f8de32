"""Staff: organisations, newest first; search by id or by a member's exact e-mail, since names are sealed."""

from __future__ import annotations

from ruxa.access import authorize, members, organisations
from ruxa.console import money, tables
from ruxa.console.page import Page, View, Visit
from ruxa.kernel import ids
from ruxa.kernel.errors import InvalidCall, NotFound
from ruxa.kernel.sealed import Sealed
from ruxa.ledger import accounts
from ruxa.store.work import Work

PURPOSE = "provide"


async def load(visit: Visit, work: Work) -> View:
    """The list."""
    asked = visit.query.get("find", "").strip()
    before = visit.query.get("before")
    if asked:
        found = await _search(visit, work, asked)
    else:
        after = ids.read("org", before) if before else None
        found = await organisations.page(work, visit.deps.vault, after=after, limit=tables.ROWS + 1)
    balances = await accounts.balances(work, [one.organisation_ref for one in found])
    rows = [
        {
            "shown_id": ids.text("org", one.id),
            "name": one.name.open(PURPOSE),
            "suspended": one.suspended_at is not None,
            "created_at": one.created_at,
            "balance": money.purse(balances[one.organisation_ref]).total,
        }
        for one in found
    ]
    cursors = [str(row["shown_id"]) for row in rows]
    return View({"asked": asked, "leaf": tables.leaf(rows, cursors, before=None, after=None)})


async def _search(visit: Visit, work: Work, asked: str) -> list[organisations.Organisation]:
    vault = visit.deps.vault
    if "@" not in asked:
        try:
            return [await organisations.find(work, vault, ids.read("org", asked))]
        except NotFound:
            return []
    authorize.require(visit.person.session.principal, "staff_member:read")
    try:
        member_id = await members.find_by_email(work, vault, Sealed(asked))
    except InvalidCall:
        return []
    if member_id is None:
        return []
    theirs = await members.memberships(work, member_id)
    return [await organisations.find(work, vault, one) for one in theirs]


PAGE = Page(
    name="organisations",
    path="/staff/organisations",
    area="staff",
    load=load,
    permission="staff_organisation:list",
    icon="find",
    group="staff",
)
