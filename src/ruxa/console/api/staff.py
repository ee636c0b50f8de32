"""``/api/v1/staff``: organisations, credit, suspension and the ledger's proofs, for members with a staff role."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import msgspec
from litestar import Request, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, JSONBody

from ruxa.access import organisations
from ruxa.console import money
from ruxa.console.api import caller
from ruxa.console.api.billing import Booked
from ruxa.console.api.caller import PURPOSE, After, Limit
from ruxa.console.headers import Edge
from ruxa.console.page import Deps
from ruxa.kernel import ids
from ruxa.kernel.errors import InvalidCall
from ruxa.ledger import accounts, proofs
from ruxa.ledger.payments import facts


class StaffOrganisation(msgspec.Struct, frozen=True, kw_only=True):
    """An organisation as staff see it; amounts in micros."""

    id: str
    name: str
    suspended_at: datetime | None
    suspended_why: str | None
    created_at: datetime
    members: int
    balance_micros: int
    held_micros: int


class StaffOrganisations(msgspec.Struct, frozen=True):
    """Organisations, newest first; ``next`` is the ``after`` of the next page."""

    organisations: list[StaffOrganisation]
    next: str | None


class Credit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A credit by hand: micros, for what, and why (kept sealed)."""

    micros: int
    scope: Literal["sandbox", "live"]
    reason: str


class StaffCredit(msgspec.Struct, frozen=True, kw_only=True):
    """A credit that something is left of, in micros. order: the payment that bought it; such a one is refunded."""

    id: str
    category: str
    scope: str
    granted_micros: int
    left_micros: int
    held_micros: int
    expires_at: datetime | None
    order: str | None


class TakenBack(msgspec.Struct, frozen=True, kw_only=True):
    """Credit taken back: micros that moved at once; ``waits``: for a second person, under Corrections."""

    id: str
    moved_micros: int
    waits: bool


class Why(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The reason, kept sealed."""

    reason: str


class Suspension(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why the organisation is suspended."""

    why: organisations.Why


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """One proof: ``value`` is how much is wrong, of ``examined``."""

    name: str
    ok: bool
    value: int
    examined: int
    sample: list[str]


class Check(msgspec.Struct, frozen=True):
    """All proofs; ``ok`` when every value is zero."""

    ok: bool
    proofs: list[Proof]


def handlers(deps: Deps, edge: Edge) -> list[HTTPRouteHandler]:
    """The routes."""

    @get("/api/v1/staff/organisations", operation_id="staff_organisations", tags=["Staff"], summary="Organisations")
    async def staff_organisations(
        request: Request[Any, Any, Any], after: After = None, limit: Limit = 50
    ) -> StaffOrganisations:
        async with caller.entered(deps, edge, request, "staff_organisation:list") as who:
            found = await organisations.page(
                who.work, deps.vault, after=ids.read("org", after) if after else None, limit=limit
            )
            balances = await accounts.balances(who.work, [one.organisation_ref for one in found])
            rows = [_shown(one, money.purse(balances[one.organisation_ref])) for one in found]
            return StaffOrganisations(rows, rows[-1].id if len(rows) == limit else None)

    @get(
        "/api/v1/staff/organisations/{organisation_id:str}",
        operation_id="staff_organisation",
        tags=["Staff"],
        summary="One organisation",
    )
    async def staff_organisation(request: Request[Any, Any, Any], organisation_id: FromPath[str]) -> StaffOrganisation:
        async with caller.entered(deps, edge, request, "staff_organisation:list") as who:
            one = await organisations.find(who.work, deps.vault, ids.read("org", organisation_id))
            return _shown(one, await money.purse_of(who.work, one.organisation_ref))

    @post(
        "/api/v1/staff/organisations/{organisation_id:str}/credit",
        operation_id="staff_credit",
        tags=["Staff"],
        summary="Book a credit by hand",
    )
    async def staff_credit(
        request: Request[Any, Any, Any], organisation_id: FromPath[str], data: JSONBody[Credit]
    ) -> Booked:
        async with caller.entered(deps, edge, request, "staff_credit:give") as who:
            one = await organisations.find(who.work, deps.vault, ids.read("org", organisation_id))
            by = who.principal.text
            lot_id, booked = await money.give_credit(who.work, deps, one, data.scope, data.micros, data.reason, by)
            await who.note("credit:given", lot_id, organisation_id=one.id)
            return Booked(ids.text("lot", lot_id), waits=not booked)

    @get(
        "/api/v1/staff/organisations/{organisation_id:str}/credit",
        operation_id="staff_credit_list",
        tags=["Staff"],
        summary="What an organisation's balance is made of",
    )
    async def staff_credit_list(request: Request[Any, Any, Any], organisation_id: FromPath[str]) -> list[StaffCredit]:
        async with caller.entered(deps, edge, request, "staff_organisation:list") as who:
            one = await organisations.find(who.work, deps.vault, ids.read("org", organisation_id))
            lots = await accounts.lots(who.work, one.organisation_ref)
            return [await _credit(who, lot) for lot in lots if lot.left_micros > 0 and lot.voided_at is None]

    @post(
        "/api/v1/staff/organisations/{organisation_id:str}/credit/{lot_id:str}/take-back",
        operation_id="staff_credit_take_back",
        status_code=200,
        tags=["Staff"],
        summary="Take back what is left of a credit that nobody paid for",
    )
    async def staff_credit_take_back(
        request: Request[Any, Any, Any], organisation_id: FromPath[str], lot_id: FromPath[str], data: JSONBody[Why]
    ) -> TakenBack:
        async with caller.entered(deps, edge, request, "staff_credit:give") as who:
            if not 1 <= len(data.reason.strip()) <= 300:
                raise InvalidCall("A reason has 1 to 300 characters.", param="reason")
            one = await organisations.find(who.work, deps.vault, ids.read("org", organisation_id))
            lot, by = ids.read("lot", lot_id), who.principal.text
            wish_id, moved = await money.take_back(who.work, deps, one, lot, data.reason.strip(), by)
            await who.note("credit:voided", lot, organisation_id=one.id)
            return TakenBack(id=ids.text("wish", wish_id), moved_micros=moved or 0, waits=moved is None)

    @post(
        "/api/v1/staff/organisations/{organisation_id:str}/suspend",
        operation_id="staff_suspend",
        status_code=204,
        tags=["Staff"],
        summary="Stop its keys within 2 seconds",
    )
    async def staff_suspend(
        request: Request[Any, Any, Any], organisation_id: FromPath[str], data: JSONBody[Suspension]
    ) -> None:
        async with caller.entered(deps, edge, request, "staff_organisation:suspend") as who:
            wanted = ids.read("org", organisation_id)
            await organisations.suspend(who.work, wanted, data.why)
            await who.note("organisation:suspended", wanted, organisation_id=wanted, details={"why": data.why})

    @post(
        "/api/v1/staff/organisations/{organisation_id:str}/restore",
        operation_id="staff_restore",
        status_code=204,
        tags=["Staff"],
        summary="Lift the suspension",
    )
    async def staff_restore(request: Request[Any, Any, Any], organisation_id: FromPath[str]) -> None:
        async with caller.entered(deps, edge, request, "staff_organisation:suspend") as who:
            wanted = ids.read("org", organisation_id)
            await organisations.restore(who.work, wanted)
            await who.note("organisation:restored", wanted, organisation_id=wanted)

    @get("/api/v1/staff/ledger/check", operation_id="staff_ledger_check", tags=["Staff"], summary="Run the proofs")
    async def staff_ledger_check(request: Request[Any, Any, Any]) -> Check:
        async with caller.entered(deps, edge, request, "staff_ledger:prove") as who:
            found = await proofs.check(who.work)
            return Check(
                all(proof.ok for proof in found),
                [
                    Proof(
                        name=proof.name,
                        ok=proof.ok,
                        value=proof.value,
                        examined=proof.examined,
                        sample=list(proof.sample),
                    )
                    for proof in found
                ],
            )

    return [
        staff_organisations,
        staff_organisation,
        staff_credit,
        staff_credit_list,
        staff_credit_take_back,
        staff_suspend,
        staff_restore,
        staff_ledger_check,
    ]


async def _credit(who: caller.Caller, lot: accounts.Lot) -> StaffCredit:
    paid = await facts.find(who.work, lot.id)
    return StaffCredit(
        id=ids.text("lot", lot.id),
        category=lot.category,
        scope=lot.scope,
        granted_micros=lot.granted_micros,
        left_micros=lot.left_micros,
        held_micros=lot.held_micros,
        expires_at=lot.expires_at,
        order=None if paid is None or paid.order_id is None else ids.text("order", paid.order_id),
    )


def _shown(one: organisations.Organisation, purse: money.Purse) -> StaffOrganisation:
    return StaffOrganisation(
        id=ids.text("org", one.id),
        name=one.name.open(PURPOSE),
        suspended_at=one.suspended_at,
        suspended_why=one.suspended_why,
        created_at=one.created_at,
        members=one.members,
        balance_micros=purse.total,
        held_micros=purse.held,
    )
