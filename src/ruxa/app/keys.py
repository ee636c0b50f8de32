"""A key as an operator makes one: with its budget, and written down."""

from __future__ import annotations

from ruxa.access import keys
from ruxa.access.audit import log
from ruxa.access.authorize import OPERATOR
from ruxa.access.keys import Created, KeyWish
from ruxa.access.organisations import Organisation
from ruxa.app.house import House
from ruxa.ledger import budgets
from ruxa.store.work import Work


async def make(house: House, work: Work, owner: Organisation, wish: KeyWish) -> Created:
    """Makes the key that is wished for; raises as ``keys.create`` and ``budgets.put``."""
    created = await keys.create(work, house.vault, owner.id, wish)
    if wish.budget_micros is not None and wish.budget_period is not None:
        await budgets.put(
            work,
            "key",
            created.id,
            owner.organisation_ref,
            limit_micros=wish.budget_micros,
            period=wish.budget_period,
        )
    await log.add(work, house.vault, OPERATOR, "key:created", organisation_id=owner.id, object_id=created.id)
    return created
