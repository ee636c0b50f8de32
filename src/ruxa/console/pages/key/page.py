"""One key: what it may do, what it used, rotate with overlap, revoke with what will happen."""

from __future__ import annotations

from datetime import timedelta

import msgspec

from ruxa.access import keys
from ruxa.console import forms, records, shown, visits
from ruxa.console.page import Go, Page, View, Visit
from ruxa.kernel import ids
from ruxa.store.work import Work

USED_DAYS = 30


class Rotate(msgspec.Struct, frozen=True):
    """For how many hours the old secret goes on."""

    overlap: int = 24


async def load(visit: Visit, work: Work) -> View:
    """The key."""
    return await _view(visit, work, None)


async def _view(visit: Visit, work: Work, created: dict[str, str] | None) -> View:
    person = visit.person
    key_id = ids.read("key", visit.places["key_id"])
    line = await keys.find(work, visit.deps.vault, person.organisation_id, key_id)
    now = visit.deps.clock.now()
    used = await records.key_used(work, person.organisation_ref, key_id, now - timedelta(days=USED_DAYS))
    return View(
        {
            "key": shown.key(line, visit.words, now),
            "used": used,
            "created": created,
            "overlap_h": visit.form.get("overlap", "24"),
        }
    )


async def rotate(visit: Visit, work: Work) -> View:
    """A new secret, shown once."""
    form = forms.read(Rotate, visit.form)
    person = visit.person
    key_id = ids.read("key", visit.places["key_id"])
    made = await keys.rotate(
        work,
        visit.deps.vault,
        person.organisation_id,
        key_id,
        overlap=timedelta(hours=form.overlap),
        rotated_by=person.member_id,
    )
    await visits.note(visit, work, "key:rotated", key_id)
    return await _view(visit, work, {"secret": made.secret.open(shown.PURPOSE)})


async def revoke(visit: Visit, work: Work) -> Go:
    """Ends the key."""
    person = visit.person
    key_id = ids.read("key", visit.places["key_id"])
    await keys.revoke(work, person.organisation_id, key_id)
    await visits.note(visit, work, "key:revoked", key_id)
    return Go(to=visit.path, done="key_revoked")


PAGE = Page(
    name="key",
    path="/keys/{key_id:str}",
    area="customer",
    load=load,
    permission="key:read",
    actions={"rotate": rotate, "revoke": revoke},
    needs={"rotate": "key:change", "revoke": "key:change"},
    parent="keys",
)
