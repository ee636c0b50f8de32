"""Recipients in public: what is known of what they do with data stands in columns, what nobody wrote down says so."""

from __future__ import annotations

import csv
import io
import re

from tests.console.conftest import Console

from ruxa.egress.recipient import Recipient, Register
from ruxa.privacy.outbound import register as outbound

KNOWN = Recipient(
    name="house", role="provider", who="House GmbH", what=("user.content",), why=("provide",), where="DE",
    safeguard="contract of May", trains=False, retention_days=0, zero_retention=True, mechanism="scc",
    certified_on="2026-05-04",
)  # fmt: skip
UNKNOWN = Recipient(
    name="vendor",
    role="provider",
    who="Vendor Inc.",
    what=("user.content",),
    why=("provide",),
    where="US",
    safeguard="?",
)


def _facts(page: str, who: str) -> list[str]:
    """The cells of a recipient's row in the table of what they do with it."""
    table = page.split('id="terms"')[1]
    row = next(row for row in re.findall(r"<tr>.*?</tr>", table, re.S) if who in row)
    return [re.sub(r"<[^>]*>", "", cell).strip() for cell in re.findall(r"<td[^>]*>(.*?)</td>", row, re.S)]


async def test_facts_are_columns_and_unknown_is_said(console: Console) -> None:
    register = Register(console.house.signals)
    register.allow(KNOWN, "api.house.test", 443)
    register.allow(UNKNOWN, "api.vendor.test", 443)
    async with console.house.worker.work() as work:
        await outbound.declare(work, register)
    browser = console.browser()
    page = (await browser.get("/privacy/subprocessors")).text
    assert _facts(page, "House GmbH") == ["no", "0 days", "yes", "standard contractual clauses", "4 May 2026"]
    assert _facts(page, "Vendor Inc.") == ["unknown"] * 5
    page = (await browser.get("/privacy/subprocessors", **{"accept-language": "zh"})).text
    assert _facts(page, "House GmbH") == ["否", "0 天", "是", "标准合同条款", "2026年5月4日"]
    assert _facts(page, "Vendor Inc.") == ["未知"] * 5

    told = {one["name"]: one for one in (await browser.get("/privacy/subprocessors.json")).json()["recipients"]}
    names = ("trains", "retention_days", "zero_retention", "mechanism", "certified_on")
    assert [told["house"][name] for name in names] == [False, 0, True, "scc", "2026-05-04"]
    assert [told["vendor"][name] for name in names] == [None] * 5
    rows = {
        row["name"]: row for row in csv.DictReader(io.StringIO((await browser.get("/privacy/subprocessors.csv")).text))
    }
    assert [rows["house"][name] for name in names] == ["no", "0", "yes", "scc", "2026-05-04"]
    assert [rows["vendor"][name] for name in names] == ["unknown"] * 5
    assert rows["house"]["categories"] == "user.content"
