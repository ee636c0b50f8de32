"""``ruxa payment``: seen, given back, confirmed by two, answered, checked, as scripts read it and people do."""

from __future__ import annotations

import asyncio
import json
from argparse import Namespace
from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import pytest

from fixtures_access import House as People
from fixtures_access import house, hurry
from payment_shop import Shop, counter
from payment_tills import till
from ruxa.access import members, organisations
from ruxa.app import hook
from ruxa.app.house import House
from ruxa.cli import parser, session
from ruxa.egress.recipient import Register
from ruxa.kernel import ids
from ruxa.kernel.clock import Clock
from ruxa.kernel.errors import Conflict, Forbidden, InvalidCall, NotFound
from ruxa.kernel.settings import Settings
from ruxa.kernel.signals import JsonLines, Sink
from ruxa.ledger.payments import facts, manual, orders

__all__ = ["house", "hurry"]

T = TypeVar("T")


class Desk:
    """The operator's command line on a shop."""

    def __init__(self, shop: Shop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.shop = shop
        self._capsys = capsys
        people = shop.house
        sink = JsonLines("command", Clock(), minimum="warning")
        house = House(Settings(), None, people.database.address, Clock(), sink, people.operator, people.vault, None)  # type: ignore[arg-type]
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
        """The same for scripts."""
        return json.loads(await self.say(*words, "--json", code=code))


@pytest.fixture
async def desk(
    house: People, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> AsyncGenerator[Desk]:
    async with counter(house) as shop:
        _, _, organisation_id = await house.owner()
        async with house.console.work() as work:
            shop.ref = (await organisations.find(work, house.vault, organisation_id)).organisation_ref
        yield Desk(shop, monkeypatch, capsys)


async def test_payments_are_listed_and_shown_with_what_was_confirmed(desk: Desk) -> None:
    order = await desk.shop.paid("stripe", 2500)
    rows = await desk.json("payment", "list")
    assert [(row["reference"], row["state"], row["received_micros"]) for row in rows] == [
        (order.reference, "paid", 25_000_000)
    ]
    shown = await desk.json("payment", "show", order.reference.lower())
    assert shown["id"] == ids.text("order", order.id)
    assert [(one["kind"], one["status"], one["micros"]) for one in shown["facts"]] == [
        ("capture", "succeeded", 25_000_000)
    ]
    people = await desk.say("payment", "show", shown["id"])
    assert order.reference in people
    assert "capture" in people
    with pytest.raises(NotFound):
        await desk.say("payment", "show", "RX-0000-0000")


async def test_a_refund_is_asked_for_and_listed(desk: Desk) -> None:
    order = await desk.shop.paid("stripe", 2500)
    made = await desk.json("payment", "refund", order.reference, "10_000_000", "--reason", "ordered twice")
    assert made["state"] == "approved"
    await desk.shop.collection.refunds()
    shown = await desk.json("payment", "show", order.reference)
    assert [(one["id"], one["state"]) for one in shown["refunds"]] == [(made["id"], "done")]
    assert shown["refunded_micros"] == 10_000_000
    with pytest.raises(Conflict):
        await desk.say("payment", "refund", order.reference, "20_000_000", "--reason", "more than is left")
    with pytest.raises(InvalidCall):
        await desk.say("payment", "refund", order.reference, "1", "--reason", "less than a cent")
    with pytest.raises(Conflict):
        await desk.say("payment", "refunded", made["id"])


async def test_a_transfer_needs_the_command_line_and_somebody_else(desk: Desk) -> None:
    order = await desk.shop.transfer(5000)
    told = ("--micros", "50_000_000", "--day", "2026-11-24", "--entry", "E-1")
    made = await desk.json("payment", "confirm", order.reference, *told)
    waits = await desk.json("payment", "waiting")
    assert [(one["id"], one["what"], one["micros"]) for one in waits] == [(made["id"], "transfer", 50_000_000)]
    with pytest.raises(Conflict):
        await desk.say("payment", "approve", made["id"])  # the same hands
    assert (await desk.shop.balance()).balance_micros == 0
    async with desk.shop.house.operator.work() as work:
        await manual.second(work, ids.read("cfm", made["id"]), "staff:0")
    assert (await desk.shop.balance()).balance_micros == 50_000_000
    refund = await desk.json("payment", "refund", order.reference, "50_000_000", "--reason", "sent by mistake")
    await desk.shop.collection.refunds()
    assert (await desk.json("payment", "refunded", refund["id"]))["outcome"] == "posted"
    assert (await desk.shop.known(order.id)).state == "refunded"
    await desk.shop.prove()


async def test_who_sits_at_the_command_line_is_one_person_here_and_on_a_page(desk: Desk) -> None:
    people = desk.shop.house
    emails: list[str] = []
    known: list[UUID] = []
    for role in ("finance", "finance", "support"):
        person, member_id, _ = await people.owner()
        emails.append(person.email.open("provide"))
        known.append(member_id)
        async with people.operator.work("operator") as work:
            await members.add_staff(work, people.vault, person.email, role)  # type: ignore[arg-type]
    async with people.console.work() as work:
        order = await orders.create(
            work, desk.shop.ref, amount_micros=50_000_000, tax_micros=0, processor="bank", method="bank_transfer",
            kind="manual", scope="live", save_method=False, expires_at=Clock().now() + timedelta(days=1),
        )  # fmt: skip
    told = (order.reference, "--micros", "50_000_000", "--day", "2026-11-24", "--entry", "E-1")
    for named, error in (((), Conflict), (("--as", "nobody@example.com"), NotFound), (("--as", emails[2]), Forbidden)):
        with pytest.raises(error):
            await desk.say("payment", "confirm", *told, *named)
    made = await desk.json("payment", "confirm", *told, "--as", emails[0])
    [waits] = await desk.json("payment", "waiting")
    assert waits["by"] == f"member:{known[0].hex}"
    for same in ((), ("--as", emails[0])):
        with pytest.raises(Conflict):
            await desk.say("payment", "approve", made["id"], *same)
    assert (await desk.json("payment", "approve", made["id"], "--as", emails[1]))["outcome"] == "posted"


async def test_a_dispute_is_answered_by_a_file(desk: Desk, tmp_path: Path) -> None:
    order = await desk.shop.paid("paypal", 2500)
    async with desk.shop.house.operator.work() as work:
        known = await facts.of_order(work, order.id)
    await desk.shop.till.control("dispute", id=known[0].ext_id)
    await desk.shop.heard()
    rows = await desk.json("payment", "dispute")
    assert [(row["status"], row["answer"]) for row in rows] == [("open", "none")]
    file = tmp_path / "answer.txt"
    file.write_text("They used all of it.")
    assert (await desk.json("payment", "dispute", rows[0]["id"], "--answer", str(file)))["answer"] == "waiting"
    assert await desk.shop.collection.evidence() == 1
    assert (await desk.json("payment", "dispute", rows[0]["id"]))["answer"] == "sent"
    with pytest.raises(InvalidCall):
        await desk.say("payment", "dispute", "--answer", str(file))


async def test_sync_without_processors_asks_nobody(desk: Desk) -> None:
    said = await desk.json("payment", "sync")
    assert said == {"processors": [], "events_missed": 0, "hints": 0, "payments_asked": 0}


def unhooked(register: Register, sink: Sink) -> None:
    """The hook on connections could never be taken off this process again."""


@pytest.fixture
def toml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Writes the settings file of the present directory."""
    monkeypatch.chdir(tmp_path)

    def write(text: str) -> None:
        (tmp_path / "ruxa.toml").write_text(text)

    return write


async def test_the_settings_are_checked_by_asking(
    toml: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with till() as made:
        secrets = made.sandbox.access
        monkeypatch.setenv("STRIPE_KEY", secrets.stripe_key)
        monkeypatch.setenv("STRIPE_HOOK", f"{secrets.stripe_webhook_secret} whsec_next")
        monkeypatch.setenv("PAYPAL_SECRET", "wrong")
        toml(
            f'[payments.stripe]\nkey = "env:STRIPE_KEY"\nwebhook_secret = "env:STRIPE_HOOK"\n'
            f'base_url = "{secrets.url}"\n'
            f'[payments.paypal]\nclient_id = "{secrets.paypal_client_id}"\nkey = "env:PAYPAL_SECRET"\n'
            f'webhook_id = "WH1"\nbase_url = "{secrets.url}"\n'
            '[payments.bank]\nlines = ["IBAN: DE00"]\n'
        )
        args = parser.build().parse_args(["payment", "settings", "check", "--json"])
        act = parser._act(args.command)  # pyright: ignore[reportPrivateUsage]
        monkeypatch.setattr(hook, "install", unhooked)
        assert await asyncio.to_thread(act, args) == 1
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert list(rows) == ["stripe", "paypal", "bank"]
    assert rows["stripe"]["ok"]
    assert rows["stripe"]["account"].startswith("acct_")
    assert rows["stripe"]["mode"] == "test"
    assert rows["stripe"]["webhook"].endswith("/webhooks/stripe")
    assert not rows["paypal"]["ok"]
    assert "key" in rows["paypal"]["finding"]
    assert rows["bank"]["ok"]
    assert secrets.stripe_key not in json.dumps(rows)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[payments.bitcoin]\nkey = 'env:K'\n", "no such processor"),
        ("[payments.stripe]\nkey = 'env:K'\n", "payments.stripe.webhook_secret"),
        ("[payments.stripe]\nkey = 'env:K'\nwebhook_secret = 'env:K'\n", "no secret key"),
        ("[payments.stripe]\nkey = 'env:NONE'\nwebhook_secret = 'env:K'\n", "NONE"),
        ("[payments.paypal]\nkey = 'env:K'\nwebhook_id = 'x'\n", "payments.paypal.client_id"),
        ("[payments.bank]\n", "payments.bank.lines"),
        (
            "[payments.stripe]\nkey = 'env:S'\nwebhook_secret = 'env:K'\ntax = true\n"
            "[billing]\ntax = 'table'\ncountry = 'DE'\n",
            "tax twice",
        ),
    ],
)
def test_wrong_settings_are_told_before_anybody_is_asked(
    toml: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, text: str, said: str
) -> None:
    monkeypatch.setenv("K", "pk_live_public")
    monkeypatch.setenv("S", "sk_live_secret")
    toml(text)
    args = parser.build().parse_args(["payment", "settings", "check"])
    with pytest.raises(InvalidCall, match=said):
        parser._act(args.command)(args)  # pyright: ignore[reportPrivateUsage]
