"""One key: what it may do, what it used, rotate with overlap, revoke with what will happen."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import msgspec

from ruxa.access import habits, keys
from ruxa.access.habits import Habits
from ruxa.console import content, forms, records, shown, visits
from ruxa.console.page import Go, Page, View, Visit
from ruxa.kernel import ids
from ruxa.kernel.errors import InvalidCall
from ruxa.privacy.content import items
from ruxa.store.work import Work

USED_DAYS = 30


class Rotate(msgspec.Struct, frozen=True):
    """For how many hours the old secret goes on."""

    overlap: int = 24


class Store(msgspec.Struct, frozen=True):
    """For how many days content is stored, and whether what is stored for longer goes now."""

    store_days: int
    delete_beyond: bool = False


class Guard(msgspec.Struct, frozen=True):
    """What the guard does, '' for no guard; which kinds stands in the choices."""

    guard: str = ""


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
            "stored": await items.count(work, person.organisation_id, key_id),
            "days": shown.store_days(visit.words),
            "habits": line.habits,
            "own_routes": habits.lines(line.habits),
            "guard_modes": shown.guard_modes(visit.words),
            "guard_kinds": shown.guard_kinds(line.guard, visit.choices.get("guard_kinds")),
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


async def store(visit: Visit, work: Work) -> Go:
    """Another number of days for the content of the key's calls."""
    form = forms.read(Store, visit.form)
    person = visit.person
    key_id = ids.read("key", visit.places["key_id"])
    await keys.store(work, visit.deps.vault, person.organisation_id, key_id, form.store_days)
    await visits.note(visit, work, "key:changed", key_id, details={"store_days": str(form.store_days)})
    if form.delete_beyond:
        await _delete(visit, work, key_id, beyond_days=form.store_days)
    return Go(to=visit.path, done="saved")


async def guard(visit: Visit, work: Work) -> Go:
    """Another guard for the key's calls."""
    form = forms.read(Guard, visit.form)
    person = visit.person
    key_id = ids.read("key", visit.places["key_id"])
    wanted = shown.guard_of(form.guard, visit.choices.get("guard_kinds", ()))
    words = await keys.protect(work, person.organisation_id, key_id, wanted)
    await visits.note(visit, work, "key:changed", key_id, details={"guard": ",".join(words)})
    return Go(to=visit.path, done="saved")


class Usual(msgspec.Struct, frozen=True):
    """What every call of the key wants."""

    cache_s: int = 0
    keep_responses: bool = False
    routes: str = ""


async def usual(visit: Visit, work: Work) -> Go:
    """Other habits for the key's calls."""
    form = forms.read(Usual, visit.form)
    key_id = ids.read("key", visit.places["key_id"])
    try:
        wanted = Habits(cache_s=form.cache_s, keep_responses=form.keep_responses, routes=habits.read_lines(form.routes))
        habits.check(wanted)
    except InvalidCall as error:
        raise forms.Faults({error.param or "": f"key.bad_{error.param}"}) from None
    await keys.accustom(work, visit.person.organisation_id, key_id, wanted)
    await visits.note(visit, work, "key:changed", key_id, details={"habits": habits.told(wanted)})
    return Go(to=visit.path, done="saved")


async def delete_content(visit: Visit, work: Work) -> Go:
    """Deletes what is stored of the key's calls."""
    await _delete(visit, work, ids.read("key", visit.places["key_id"]))
    return Go(to=visit.path, done="content_deleted")


async def _delete(visit: Visit, work: Work, key_id: UUID, *, beyond_days: int = 0) -> None:
    count = await items.delete_of_key(
        work, content.objects_of(visit.deps), visit.person.organisation_id, key_id, beyond_days=beyond_days
    )
    await visits.note(visit, work, "content:deleted", key_id, details={"of": "key", "calls": str(count)})


PAGE = Page(
    name="key",
    path="/keys/{key_id:str}",
    area="customer",
    load=load,
    permission="key:read",
    actions={
        "rotate": rotate,
        "revoke": revoke,
        "store": store,
        "guard": guard,
        "usual": usual,
        "delete_content": delete_content,
    },
    needs={
        "rotate": "key:change",
        "revoke": "key:change",
        "store": "key:change",
        "guard": "key:change",
        "usual": "key:change",
        "delete_content": "content:delete",
    },
    parent="keys",
)
