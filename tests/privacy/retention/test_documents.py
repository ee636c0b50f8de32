"""Documents at their years' end: unreadable names when the key goes, gone rows after it, and never a day before."""

from __future__ import annotations

from datetime import date
from uuid import uuid4

import psycopg
import pytest

from retention_house import RetentionHouse
from ruxa.kernel.sealed import Sealed
from ruxa.kernel.settings import BillingSettings, Settings
from ruxa.ledger.documents import document, issue, profile, seller
from ruxa.ledger.documents.document import Line
from ruxa.ledger.documents.issue import Draft

TERMS = seller.terms(Settings(billing=BillingSettings(name="Seller", fiscal_year_month=4)))


async def test_a_document_stays_seven_years_after_its_fiscal_year_and_then_goes(house: RetentionHouse) -> None:
    _, ref = await house.organisation()
    draft = Draft(
        kind="receipt",
        organisation_ref=ref,
        scope="live",
        origin=f"test:{uuid4().hex}",
        party=Sealed(profile.checked("Canary")),
        lines=(Line("credit", "x", 1, 1_000_000),),
        net_micros=1_000_000,
        supplied_on=house.today,
    )
    async with house.books.worker.work() as work:
        one = await document.find(work, await issue.enter(work, house.vault, TERMS, draft))
    # A fiscal year from April to March is named by the year it ends in.
    assert one.fiscal_year == house.today.year + (house.today.month >= 4)
    assert f"-{one.fiscal_year}-" in one.name
    over = date(one.fiscal_year + 8, 1, 1)
    await house.to((over - house.today).days - 1)
    assert (await house.run()).state == "done"
    async with house.books.worker.work() as work:
        assert await document.over(work) == 0
        assert await document.party(work, house.vault, one) is not None
    with pytest.raises(psycopg.Error) as refused:
        await house.admin("DELETE FROM ledger.document")
    assert refused.value.sqlstate == "RX053"
    await house.to((over - house.began.date()).days)
    async with house.books.worker.work() as work:
        assert await document.over(work) == 1
    outcome = await house.run()
    assert outcome.state == "done", outcome
    async with house.books.worker.work() as work:
        assert await document.party(work, house.vault, one) is None
    assert await house.admin("SELECT count(*) FROM ledger.document_line") == [(0,)]
    assert await house.admin("SELECT value FROM ledger.document_proofs()") == [(0,)] * 4
