"""Keys: what exists and what each may do; a new one is shown once."""

from __future__ import annotations

from datetime import timedelta
from typing import get_args

import msgspec

from ruxa.access import keys, roles
from ruxa.console import content, forms, money, shown, visits
from ruxa.console.page import Go, Page, View, Visit
from ruxa.kernel import bounds
from ruxa.kernel.sealed import Sealed
from ruxa.privacy.content import items
from ruxa.store.work import Work

# The scopes a person chooses from, and whether a new key has it.
OFFERED: tuple[tuple[roles.Scope, bool], ...] = (
    ("chat", True),
    ("embeddings", True),
    ("images", True),
    ("audio", True),
    ("tasks", True),
    ("files", True),
    ("usage:read", False),
    ("content:read", False),
    ("billing:read", False),
    ("admin:*", False),
)


class Form(msgspec.Struct, frozen=True):
    """The form of a new key; amounts in USD."""

    name: str
    kind: str = "live"
    budget: str | None = None
    period: keys.Period = "month"
    rpm: int | None = None
    tpm: int | None = None
    concurrency: int | None = None
    expires: int | None = None
    models: str | None = None
    store_days: int = 0
    guard: str = ""


async def load(visit: Visit, work: Work) -> View:
    """Every key and the form."""
    return await _view(visit, work, None)


async def _view(visit: Visit, work: Work, created: dict[str, str] | None) -> View:
    person = visit.person
    lines = await keys.of_organisation(work, visit.deps.vault, person.organisation_id, limit=bounds.PAGE_ROWS_MAX)
    now = visit.deps.clock.now()
    chosen = visit.choices.get("scopes")
    return View(
        {
            "keys": [shown.key(line, visit.words, now) for line in lines],
            "created": created,
            "scopes": [
                {
                    "value": scope,
                    "key": scope.replace(":*", "").replace(":", "_"),
                    "on": scope in chosen if chosen is not None else standard,
                }
                for scope, standard in OFFERED
            ],
            "env": shown.environment(visit.deps.base_url),
            "days": shown.store_days(visit.words),
            "guard_modes": shown.guard_modes(visit.words),
            "guard_kinds": shown.guard_kinds((), visit.choices.get("guard_kinds")),
            "stored": await items.count(work, person.organisation_id),
        }
    )


async def create(visit: Visit, work: Work) -> View:
    """Makes the key and shows it, this one time."""
    form = forms.read(Form, visit.form)
    scopes = tuple(scope for scope in visit.choices.get("scopes", ()) if scope in get_args(roles.Scope))
    if not scopes:
        raise forms.Faults({"scopes": "form.needed"})
    person = visit.person
    made = await money.make_key(
        work,
        visit.deps,
        person.organisation_id,
        person.organisation_ref,
        keys.KeyWish(
            name=Sealed(form.name),
            livemode=form.kind != "test",
            scopes=msgspec.convert(scopes, tuple[roles.Scope, ...]),
            models=tuple(name.strip() for name in form.models.split(",") if name.strip()) if form.models else None,
            requests_per_minute=form.rpm,
            tokens_per_minute=form.tpm,
            concurrency=form.concurrency,
            store_days=form.store_days,
            budget_micros=forms.micros(form.budget, "budget") if form.budget else None,
            budget_period=form.period if form.budget else None,
            guard=shown.guard_of(form.guard, visit.choices.get("guard_kinds", ())),
            expires_at=visit.deps.clock.now() + timedelta(days=form.expires) if form.expires else None,
        ),
        person.member_id,
    )
    await visits.note(visit, work, "key:created", made.id)
    return await _view(visit, work, {"name": form.name, "secret": made.secret.open(shown.PURPOSE)})


async def delete_content(visit: Visit, work: Work) -> Go:
    """Deletes everything that is stored of the organisation's calls, and the key that sealed it."""
    person = visit.person
    await content.erase_all(visit.deps, person.session.principal, person.organisation_id, visit.request_id)
    return Go(to=visit.path, done="content_deleted")


PAGE = Page(
    name="keys",
    path="/keys",
    area="customer",
    load=load,
    permission="key:read",
    actions={"create": create, "delete_content": delete_content},
    needs={"create": "key:create", "delete_content": "organisation:change"},
    icon="key",
    group="access",
)
