"""Alerts: of what the owners and who does the billing are told by mail, and what they were told."""

from __future__ import annotations

import msgspec

from ruxa.console import forms, visits
from ruxa.console.page import Go, Page, View, Visit
from ruxa.ledger.alerts import alerts
from ruxa.store.work import Work

PATH = "/billing/alerts"
BADGES = {"low_balance": "warn", "budget_80": "warn", "unusual": "warn", "auto_paused": "warn"}


class Wish(msgspec.Struct, frozen=True):
    """The settings; an amount of 0 switches the low balance off."""

    low: str
    budget: bool = False
    payment: bool = False
    unusual: bool = False


async def load(visit: Visit, work: Work) -> View:
    """The page."""
    ref, words = visit.person.organisation_ref, visit.words
    return View(
        {
            "settings": await alerts.find(work, ref),
            "told": [
                {
                    "said": words.plain(f"alerts.kind_{one.kind}"),
                    "badge": "none" if one.ended_at is not None else BADGES.get(one.kind, "fail"),
                    "over": one.ended_at is not None,
                    "at": one.began_at,
                    "micros": one.micros,
                    "bound": one.bound_micros,
                }
                for one in await alerts.listed(work, ref)
            ],
        }
    )


async def save(visit: Visit, work: Work) -> Go:
    """Sets them."""
    form = forms.read(Wish, visit.form)
    low = 0
    if form.low.strip().strip("0.,"):
        low = forms.cents(form.low, "low", least=10_000, most=alerts.LOW_MICROS_MAX)
    settings = alerts.Settings(low_micros=low, budget=form.budget, payment=form.payment, unusual=form.unusual)
    await alerts.put(work, visit.person.organisation_ref, settings)
    await visits.note(visit, work, "alerts:changed", visit.person.organisation_id)
    return Go(to=PATH, done="saved")


PAGE = Page(
    name="alerts",
    path=PATH,
    area="customer",
    load=load,
    permission="payment:read",
    actions={"save": save},
    needs={"save": "billing:change"},
    parent="billing",
    tab=True,
)
