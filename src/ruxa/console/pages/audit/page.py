"""Audit log: what was done in this organisation and to it, and the checkpoint to keep a copy of."""

from __future__ import annotations

import msgspec

from ruxa.access.audit import acknowledging, reading, sequencer
from ruxa.console import acts, forms, pace, tables, visits, wellknown_log
from ruxa.console.page import Go, Page, View, Visit
from ruxa.console.tables import Leaf
from ruxa.store.work import Work

FILES = (
    ("ruxa-verify.py", wellknown_log.PROGRAM),
    ("keys.json", wellknown_log.KEYS),
    ("checkpoint", f"{wellknown_log.PREFIX}/checkpoint"),
)


class Keep(msgspec.Struct):
    """The form that says a checkpoint is kept."""

    size: int


async def load(visit: Visit, work: Work) -> View:
    """The organisation's entries, newest first."""
    person, below = visit.person, visits.cursor(visit.query.get("before"))
    found = await reading.page(
        work,
        visit.deps.vault,
        "security",
        organisation_id=person.organisation_id,
        below=below,
        limit=tables.ROWS + 1,
    )
    names = await acts.names_of_organisation(visit, work)
    rows = acts.shown(visit.words, found[: tables.ROWS], names)
    older = found[tables.ROWS - 1].id.hex if len(found) > tables.ROWS else None
    last = await sequencer.checkpoint(work)
    return View(
        {
            "leaf": Leaf(rows=rows, newer=None, older=older),
            "first": below is None,
            "checkpoint": last,
            "files": FILES,
            "kept": await acknowledging.last_of(work, person.organisation_id),
        }
    )


async def keep(visit: Visit, work: Work) -> Go:
    """Writes down that the organisation keeps a copy of a checkpoint."""
    form = forms.read(Keep, visit.form)
    visit.deps.pace.take(pace.ACKNOWLEDGEMENTS, visit.person.organisation_id)
    await acknowledging.acknowledge(work, form.size, visit.person.organisation_id)
    await visits.note(visit, work, "log:acknowledged", details={"size": str(form.size)})
    return Go(to="/audit", done="checkpoint_kept")


PAGE = Page(
    name="audit",
    path="/audit",
    area="customer",
    load=load,
    permission="entry:read",
    actions={"keep": keep},
    icon="clip",
    group="trust",
)
