"""The journal for an accounting program: every posting as a debit and a credit, in CSV that balances."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import date, datetime

import msgspec

from ruxa.kernel.money import usd
from ruxa.ledger.documents.export import table
from ruxa.ledger.leases import Works
from ruxa.ledger.reconciliation import records
from ruxa.store.work import Work

COLUMNS = (
    "date", "account", "debit", "credit", "currency", "document", "reference", "text", "scope", "entries",
)  # fmt: skip
_PIECE = 1000


class Posting(msgspec.Struct, frozen=True):
    """A debit and a credit of the same amount; ``entries``: how many postings of the ledger are in it.

    Payments are one by one, usage and grants are summed by day; the lots of all customers are one account, their debts
    another.
    """

    day: date
    debit: str
    credit: str
    code: str
    scope: str
    amount_micros: int
    entries: int
    document: str
    reference: str


async def postings(work: Work, since: datetime, until: datetime) -> list[Posting]:
    """The postings from ``since`` to before ``until``, by day."""
    return [Posting(*row) for row in await work.rows(records.JOURNAL, since, until)]


async def csv(works: Works, since: datetime, until: datetime, *, scope: str = "live") -> AsyncGenerator[bytes, None]:
    """The journal as CSV, two lines a posting: the account that is debited, then the one that is credited."""
    async with works.work("export") as work:
        await work.run("SET LOCAL statement_timeout = 0")
        found = [one for one in await postings(work, since, until) if one.scope == scope]
    yield table([COLUMNS])
    for at in range(0, len(found), _PIECE):
        yield table(line for one in found[at : at + _PIECE] for line in _lines(one))


def account_class(code: str) -> str:
    """The account of the journal that an account of the ledger is part of."""
    head, _, rest = code.partition(":")
    match head:
        case "lot":
            return "liability:customer_credit"
        case "shortfall":
            return f"asset:customer_debt:{rest.partition(':')[0]}"
        case _:
            return code


def _lines(one: Posting) -> list[tuple[object, ...]]:
    shown = usd(one.amount_micros)
    rest = ("USD", one.document, one.reference, one.code, one.scope, one.entries)
    return [(one.day, one.debit, shown, "", *rest), (one.day, one.credit, "", shown, *rest)]
