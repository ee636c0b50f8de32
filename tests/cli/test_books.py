"""The commands for a bookkeeper: documents, differences and the journal, as scripts read them and people do."""

from __future__ import annotations

import asyncio
import json
from argparse import Namespace
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import pytest
from pypdf import PdfReader

from ledger.documents.conftest import SETTINGS, Shop, shop
from ruxa.app.house import House
from ruxa.cli import parser, session
from ruxa.kernel import ids
from ruxa.kernel.clock import Clock
from ruxa.kernel.errors import InvalidCall, NotFound
from ruxa.kernel.signals import JsonLines

__all__ = ["shop"]

T = TypeVar("T")
TODAY = datetime.now(UTC).date()


class Desk:
    """A bookkeeper's command line on the shop's house."""

    def __init__(self, shop: Shop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.shop = shop
        self._capsys = capsys
        sink = JsonLines("command", Clock(), minimum="warning")
        house = House(SETTINGS, None, shop.database.address, Clock(), sink, shop.operator, shop.vault, None)  # type: ignore[arg-type]
        loop = asyncio.get_running_loop()

        def within(args: Namespace, act: Callable[[House], Awaitable[T]]) -> T:
            return asyncio.run_coroutine_threadsafe(act(house), loop).result(60)  # type: ignore[arg-type]

        monkeypatch.setattr(session, "within", within)

    async def say(self, *words: str, code: int = 0) -> str:
        """What a command prints."""
        args = parser.build().parse_args(words)
        self._capsys.readouterr()
        act = parser._act(args.command)  # pyright: ignore[reportPrivateUsage]
        assert await asyncio.to_thread(act, args) == code
        return self._capsys.readouterr().out

    async def json(self, *words: str, code: int = 0) -> Any:
        return json.loads(await self.say(*words, "--json", code=code))

    def org(self, ref: UUID) -> str:
        return ids.text("org", self.shop.subjects[ref])


@pytest.fixture
async def desk(shop: Shop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Desk:
    return Desk(shop, monkeypatch, capsys)


async def test_documents_from_profile_to_paper(desk: Desk, tmp_path: Path) -> None:
    ref = await desk.shop.organisation()
    org = desk.org(ref)
    with pytest.raises(NotFound):
        await desk.say("invoice", "profile", "--org", org)
    words = ("--name", "Łódź Works", "--address", "Street 1", "--address", "10115 Berlin", "--country", "de")
    written = await desk.json("invoice", "profile", "--org", org, *words)
    assert (written["address"], written["country"]) == ("Street 1, 10115 Berlin", "DE")
    order = await desk.shop.paid(ref, 10_000, 1_900)
    assert (await desk.json("invoice", "issue"))["orders"] == 1
    assert (await desk.json("invoice", "issue", "--since", "1d"))["orders"] == 0
    listed = await desk.json("invoice", "list", "--org", org)
    assert [one["kind"] for one in listed] == ["invoice", "receipt"]
    assert await desk.json("invoice", "list", "--kind", "invoice", "--from", TODAY.isoformat()) == listed[:1]
    number = listed[0]["name"]
    shown = await desk.json("invoice", "show", number.lower())
    assert (shown["to_name"], shown["gross_micros"]) == ("Łódź Works", 119_000_000)
    assert shown["lines"][0]["label"] == order.reference
    assert "USt" in await desk.say("invoice", "show", number)
    for name in ("one.pdf", "two.pdf"):
        await desk.say("invoice", "pdf", number, "--out", str(tmp_path / name))
    assert (tmp_path / "one.pdf").read_bytes() == (tmp_path / "two.pdf").read_bytes()
    text = PdfReader(tmp_path / "one.pdf").pages[0].extract_text()
    assert "Łódź Works" in text
    await desk.say("invoice", "pdf", number, "--out", str(tmp_path / "one.html"), "--html", "--language", "zh")
    assert "发票" in (tmp_path / "one.html").read_text()
    again = await desk.json("invoice", "show", number, "--why", "an audit")
    assert again["to_name"] == "Łódź Works"


async def test_books_of_a_processor_from_a_file(desk: Desk, tmp_path: Path) -> None:
    ref = await desk.shop.organisation()
    order = await desk.shop.paid(ref, 10_000)
    line = {
        "ext_id": "txn_1",
        "kind": "capture",
        "source": f"pi_{order.id.hex}",
        "gross_minor": 9_000,
        "fee_minor": 0,
        "net_minor": 9_000,
        "currency": "USD",
        "at": datetime.now(UTC).isoformat(),
    }
    file = tmp_path / "books.json"
    file.write_text(json.dumps([line]))
    words = ("reconcile", "run", "stripe", "--day", TODAY.isoformat(), "--file", str(file))
    assert (await desk.json(*words, code=1))["opened"] == 1
    found = await desk.json("reconcile", "list", code=1)
    (one,) = [row for row in found if row["object"] == "capture"]
    assert (one["kind"], one["here"], one["there"]) == ("amount_differs", 10_000, 9_000)
    words = ("--outcome", "corrected_there", "--reference", "T-7", "--note", "they fixed it")
    ended = await desk.json("reconcile", "resolve", one["id"], *words)
    assert (ended["state"], ended["reference"]) == ("resolved", "T-7")
    assert (await desk.json("reconcile", "show", one["id"]))["ended_by"]
    assert len(await desk.json("reconcile", "list", "--all", code=1)) == 2
    for how in ("html", "csv", "json"):
        out = str(tmp_path / f"report.{how}")
        words = ("--from", TODAY.isoformat(), "--to", TODAY.isoformat(), "--out", out, "--format", how)
        await desk.say("reconcile", "report", *words)
        assert b"amount_differs" in Path(out).read_bytes()
    file.write_text("[{}]")
    with pytest.raises(InvalidCall, match="no processor's books"):
        await desk.say("reconcile", "run", "stripe", "--file", str(file))
    with pytest.raises(NotFound, match="not configured"):
        await desk.say("reconcile", "run", "stripe")


async def test_the_journal_and_the_trial_balance(desk: Desk, tmp_path: Path) -> None:
    ref = await desk.shop.organisation()
    await desk.shop.paid(ref, 10_000, 1_900)
    out = str(tmp_path / "journal.csv")
    day = TODAY.isoformat()
    assert (await desk.json("ledger", "export", "--from", day, "--to", day, "--out", out))["lines"] == 4
    assert "liability:tax:de" in Path(out).read_text()
    found = await desk.json("ledger", "balance")
    assert found["balances"]
    sums = {row["account"]: row["balance_micros"] for row in found["accounts"] if row["balance_micros"]}
    assert sums == {
        "asset:clearing:stripe": 119_000_000,
        "liability:customer_credit": -100_000_000,
        "liability:tax:de": -19_000_000,
    }
    assert any(row["account"].startswith("lot:") for row in (await desk.json("ledger", "balance", "--all"))["accounts"])
    assert "0 micros" in await desk.say("ledger", "balance")
    late = (TODAY - timedelta(days=1)).isoformat()
    for first, last in ((day, late), ("soon", day)):
        with pytest.raises(InvalidCall) as told:
            await desk.say("ledger", "export", "--from", first, "--to", last, "--out", out)
        assert told.value.code == "bad_time"
