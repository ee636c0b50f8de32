"""Staff: every entry of the audit log. Opening them needs a purpose, and is itself an entry, written first."""

from __future__ import annotations

from typing import cast, get_args

from ruxa.access.audit import acknowledging, reading, sequencer
from ruxa.access.audit.reading import Purpose
from ruxa.console import acts, tables, visits
from ruxa.console.page import Page, View, Visit
from ruxa.console.tables import Leaf
from ruxa.store.work import Work

PURPOSES = cast(tuple[Purpose, ...], get_args(Purpose))


async def load(visit: Visit, work: Work) -> View:
    """The head of the log; with a purpose, the entries."""
    asked = visit.query.get("purpose")
    purpose: Purpose | None = next((one for one in PURPOSES if one == asked), None)
    wanted = visit.query.get("organisation", "").strip()
    values = {
        "purposes": PURPOSES,
        "purpose": purpose,
        "organisation": wanted,
        "checkpoint": await sequencer.checkpoint(work),
        "kept": await acknowledging.last(work),
        "leaf": None,
    }
    if purpose is None:
        return View(values)
    organisation_id = visits.organisation_of(wanted) if wanted else None
    await visits.note(visit, work, "log:opened", organisation_id=organisation_id, staff=True, purpose=purpose)
    found = await reading.page(
        work,
        visit.deps.vault,
        purpose,
        organisation_id=organisation_id,
        below=visits.cursor(visit.query.get("before")),
        limit=tables.ROWS + 1,
    )
    rows = acts.shown(visit.words, found[: tables.ROWS], await acts.names_of_staff(visit, work))
    older = found[tables.ROWS - 1].id.hex if len(found) > tables.ROWS else None
    return View(
        {
            **values,
            "leaf": Leaf(rows=rows, newer=None, older=older),
            "filters": f"purpose={purpose}&organisation={wanted}",
        }
    )


PAGE = Page(
    name="audit_staff",
    path="/staff/audit",
    area="staff",
    load=load,
    permission="staff_entry:read",
    icon="clip",
    group="staff",
)
