"""Auto top-up: threshold, target, monthly cap and the saved method; how it stands, what it did, and its off switch.

Whatever may cost more than before (switching on, a higher amount, another method) asks for the password again.
"""

from __future__ import annotations

import msgspec

from ruxa.access import authorize, entrance, sessions
from ruxa.access.audit import log
from ruxa.console import forms, paying, visits
from ruxa.console.page import Go, Page, View, Visit
from ruxa.egress.processor import ProcessorRefused, own_page
from ruxa.kernel import bounds
from ruxa.kernel.errors import CallerError, Conflict, NotFound, UpstreamError
from ruxa.kernel.sealed import Sealed
from ruxa.ledger.payments import auto, methods
from ruxa.store.work import Work

PATH = "/billing/auto"
ATTEMPTS = 10
BADGES = {"succeeded": "pass", "open": "live", "failed": "fail", "refused": "fail", "action": "warn"}


class Wish(msgspec.Struct, frozen=True):
    """What a customer sets. method: ``processor:id`` of a saved one."""

    threshold: str
    target: str
    cap: str
    method: str
    password_now: str | None = None


class Remove(msgspec.Struct, frozen=True):
    """Which saved method."""

    method: str


class Portal(msgspec.Struct, frozen=True):
    """Whose page of saved methods."""

    processor: str


async def load(visit: Visit, work: Work) -> View:
    """The page."""
    ref, deps, words = visit.person.organisation_ref, visit.deps, visit.words
    found = await auto.find(work, ref)
    saved = await methods.listed(work, ref)
    now = deps.clock.now()
    tried = await auto.attempts(work, ref, limit=ATTEMPTS) if found is not None else []
    return View(
        {
            "auto": found,
            "methods": [
                {
                    "value": f"{one.processor}:{one.saved}",
                    "processor": one.processor,
                    "label": words.plain("auto_top_up.card", brand=_brand(one.brand), last4=one.last4)
                    if one.last4
                    else one.processor.title().replace("Paypal", "PayPal"),
                    "until": f"{one.exp_month:02d}/{one.exp_year}" if one.exp_month and one.exp_year else "",
                    "over": bool(one.exp_year and one.exp_month)
                    and (one.exp_year or 0, one.exp_month or 0) < (now.year, now.month),
                    "used": found is not None and found.saved == one.saved and found.state != "off",
                }
                for one in saved
            ],
            "portals": [
                name
                for name in dict.fromkeys(one.processor for one in saved)
                if name in deps.processors and "portal" in deps.processors[name].capabilities
            ],
            "attempts": [
                {
                    "at": one.begun_at,
                    "amount": one.amount_micros,
                    "state": one.state,
                    "badge": BADGES.get(one.state, "none"),
                    "code": one.code,
                }
                for one in tried
            ],
            "can_save": any(one.saves for one in paying.choices(deps)),
            "proved": visit.person.session.proved_recently,
        }
    )


def _brand(brand: str | None) -> str:
    return (brand or "card").replace("_", " ").title()


async def save(visit: Visit) -> Go:
    """Switches it on with these numbers; the password is asked for where it may cost more."""
    person, deps = visit.person, visit.deps
    authorize.require(person.session.principal, "payment:change", person.organisation_id)
    form = forms.read(Wish, visit.form)
    most = paying.MOST_MICROS
    threshold = forms.cents(form.threshold, "threshold", least=10_000, most=most)
    target = forms.cents(form.target, "target", least=paying.LEAST_MICROS, most=most)
    cap = forms.cents(form.cap, "cap", least=paying.LEAST_MICROS, most=most)
    if target <= threshold:
        raise forms.Faults({"target": "auto_top_up.target_low"})
    if cap < target - threshold:
        raise forms.Faults({"cap": "auto_top_up.cap_low"})
    processor, _, saved = form.method.partition(":")
    if processor not in deps.processors:
        raise forms.Faults({"method": "form.invalid"})
    async with deps.pool.work(visits.PRINCIPAL) as work:
        before = await auto.find(work, person.organisation_ref)
    token = None
    if paying.raises(before, threshold, target, cap, saved, enabled=True) and not person.session.proved_recently:
        token = await _proof(visit, form.password_now)
    async with deps.pool.work(visits.PRINCIPAL) as work:
        await auto.put(
            work,
            person.organisation_ref,
            enabled=True,
            threshold_micros=threshold,
            target_micros=target,
            monthly_cap_micros=cap,
            processor=processor,
            saved=saved,
            scope=paying.scope_of(deps.processors[processor]),
        )
        await log.add(
            work,
            deps.vault,
            person.session.principal,
            "auto:changed",
            organisation_id=person.organisation_id,
            object_id=person.organisation_id,
            request=visit.request_id,
            details={"threshold": str(threshold), "target": str(target), "cap": str(cap)},
        )
    life_s = bounds.STAFF_SESSION_H * 3600 if person.staff_role else bounds.SESSION_DAYS_MAX * 86_400
    return Go(to=PATH, done="auto_saved", session=token, session_s=life_s if token else 0)


async def _proof(visit: Visit, password: str | None) -> str:
    if not password:
        raise forms.Faults({"password_now": "auto_top_up.password_needed"})
    try:
        token = await entrance.prove(visit.deps.entrance, visit.person.session, Sealed(password), visits.visitor(visit))
    except CallerError as fault:
        if fault.code == "sign_in_refused":
            raise forms.Faults({"password_now": "my_data.wrong"}) from None
        raise
    return token.open(sessions.PURPOSE)


async def stop(visit: Visit, work: Work) -> Go:
    """The off switch: at once, for whoever may change payments, without a password."""
    await auto.stop(work, visit.person.organisation_ref)
    await visits.note(visit, work, "auto:stopped", visit.person.organisation_id)
    return Go(to=PATH, done="auto_stopped")


async def remove(visit: Visit, work: Work) -> Go:
    """Forgets a saved method; auto top-up by it ends."""
    processor, _, saved = forms.read(Remove, visit.form).method.partition(":")
    if not await methods.remove(work, visit.person.organisation_ref, processor, saved):
        raise NotFound("No such payment method.")
    await visits.note(visit, work, "method:removed", visit.person.organisation_id, details={"processor": processor})
    return Go(to=PATH, done="method_removed")


async def portal(visit: Visit) -> Go:
    """The processor's own page of saved methods."""
    person, deps = visit.person, visit.deps
    authorize.require(person.session.principal, "payment:change", person.organisation_id)
    form = forms.read(Portal, visit.form)
    async with deps.pool.work(visits.PRINCIPAL) as work:
        customer = await methods.customer(work, person.organisation_ref, form.processor)
    processor = deps.processors.get(form.processor)
    if customer is None or processor is None or "portal" not in processor.capabilities:
        raise NotFound("No such payment method.")
    try:
        return Go(to=own_page(processor, await processor.portal(customer, deps.base_url + PATH)))
    except (ProcessorRefused, UpstreamError):
        raise Conflict("The payment processor cannot be reached just now.", code="processor_away") from None


PAGE = Page(
    name="auto_top_up",
    path=PATH,
    area="customer",
    load=load,
    permission="payment:read",
    actions={"stop": stop, "remove": remove},
    doors={"save": save, "portal": portal},
    needs={"stop": "payment:change", "remove": "payment:change"},
    parent="billing",
    tab=True,
)
