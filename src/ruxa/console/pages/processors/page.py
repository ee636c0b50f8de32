"""Staff: the payment processors of this server: what each takes, can do and told lately, and what rests there."""

from __future__ import annotations

from ruxa.console.page import Page, View, Visit
from ruxa.ledger import accounts
from ruxa.ledger.payments import inbox
from ruxa.store.work import Work


async def load(visit: Visit, work: Work) -> View:
    """The page."""
    words = visit.words
    balances = {one.code: one.debits_posted - one.credits_posted for one in await accounts.every(work)}
    rows: list[dict[str, object]] = []
    for name, one in visit.deps.processors.items():
        account = f"asset:clearing:{name}" + ("" if one.livemode else ":sandbox")
        rows.append(
            {
                "name": name,
                "who": one.recipient.who if one.recipient is not None else words.plain("processors.own"),
                "methods": [words.plain(f"method.{method}") for method in one.methods if words.has(f"method.{method}")],
                "capabilities": sorted(one.capabilities),
                "livemode": one.livemode,
                "account": one.account,
                "policy_url": one.policy_url,
                "clearing": balances.get(account, 0),
                "newest": await inbox.newest(work, name),
                "hook": f"{visit.deps.base_url}/webhooks/{name}",
            }
        )
    return View({"rows": rows})


PAGE = Page(
    name="processors",
    path="/staff/processors",
    area="staff",
    load=load,
    permission="staff_payment:read",
    parent="payments",
    tab=True,
)
