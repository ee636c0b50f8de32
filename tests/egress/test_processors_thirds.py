"""Processors of third parties: found by their entry point, held to the contract, paid by like our own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from fixtures_access import House, Signals, house, hurry
from payment_shop import Shop, counter
from ruxa.app import payments
from ruxa.egress.processor import Processor
from ruxa.egress.processors import thirds
from ruxa.egress.recipient import Register
from ruxa.kernel.clock import Clock
from ruxa.kernel.errors import InvalidCall
from ruxa.kernel.settings import ProcessorSettings, Settings

__all__ = ["house", "hurry"]

PACKAGE = Path(__file__).parent / "third_party"


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package, installed by its path."""
    monkeypatch.syspath_prepend(PACKAGE)
    monkeypatch.setenv("ACME_KEY", "acme-secret")


@pytest.fixture
async def acme() -> AsyncGenerator[tuple[str, dict[str, Any]]]:
    """Acme's API: its address, and its payments by id."""
    payments: dict[str, Any] = {}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = next(
                (int(line[15:]) for line in head.lower().split(b"\r\n") if line[:15] == b"content-length:"), 0
            )
            told = json.loads(await reader.readexactly(length) or b"{}")
            method, target, _ = head.split(b" ", 2)
            if method == b"POST":
                made = {"id": "pay_1", "state": "waiting", "made": 1_790_000_000, "page": "https://pay.acme.example/1"}
                payments.setdefault("pay_1", {**made, "order": told["order"], "cents": told["cents"]})
            body = json.dumps(payments[target.decode().rpartition("/")[2] if method == b"GET" else "pay_1"]).encode()
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", payments
    server.close()


def told(base_url: str = "https://api.acme.example", **changes: Any) -> Settings:
    given: dict[str, Any] = {"key": "env:ACME_KEY", "base_url": base_url, "options": ("mode = test",)}
    return Settings(payments={"acme": ProcessorSettings(**(given | changes))})


async def made(settings: Settings) -> Processor:
    async with AsyncExitStack() as stack:
        return payments.processors(settings, Register(Signals()), Clock(), stack)["acme"]


@pytest.mark.usefixtures("installed")
async def test_a_package_brings_a_processor(house: House, acme: tuple[str, dict[str, Any]]) -> None:
    url, paid = acme
    settings = told(url)
    payments.check(settings)
    register = Register(Signals())
    async with AsyncExitStack() as stack:
        processor = payments.processors(settings, register, Clock(), stack)["acme"]
        assert processor.recipient is not None
        assert (processor.recipient.who, processor.recipient.role) == ("Acme Payments Ltd", "processor")
        assert [one.name for one in register.find(*next(iter(register.destinations())))] == ["acme"]
        async with counter(house) as shop:
            await pays(shop, processor, paid)


async def pays(shop: Shop, processor: Processor, paid: dict[str, Any]) -> None:
    """A customer pays by it, and the ledger has it once."""
    shop.processors["acme"] = processor
    order, checkout = await shop.order("acme", 2500)
    assert checkout.url == "https://pay.acme.example/1"
    await shop.collection.poll(seconds=0)
    assert (await shop.known(order.id)).state == "open"
    paid["pay_1"]["state"] = "paid"
    for _ in range(2):
        await shop.collection.poll(seconds=0)
    assert (await shop.known(order.id)).state == "paid"
    assert (await shop.balance()).balance_micros == 25_000_000
    await shop.prove()


async def test_what_nobody_brings_is_told_before_the_start() -> None:
    with pytest.raises(InvalidCall, match="no such processor"):
        payments.check(told())


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("pair", [("key", None), ("base_url", "http://api.acme.example"), ("options", ("live",))])
async def test_a_package_says_what_it_needs(pair: tuple[str, Any]) -> None:
    with pytest.raises(InvalidCall):
        await made(told(**dict([pair])))


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("name", "stripe", "calls itself"),
        ("methods", (), "methods"),
        ("methods", ("Card!",), "methods"),
        ("capabilities", frozenset({"magic"}), "capabilities"),
        ("livemode", "no", "mode"),
        ("origins", ("https://pay.acme.example/path",), "origins"),
        ("origins", ("http://pay.acme.example",), "origins"),
        ("recipient", None, "who receives"),
        ("policy_url", "", "policy"),
        ("events", lambda since: [], "no call events"),
        ("report", None, "no call report"),
    ],
)
async def test_what_does_not_keep_the_contract_takes_no_payment(field: str, value: Any, said: str) -> None:
    good = await made(told())
    assert thirds.wrong(good, "acme") == []

    def bad(offered: thirds.Offered) -> Processor:
        one = thirds.find("acme")(offered)
        setattr(one, field, value)
        return one

    with pytest.raises(InvalidCall, match=said):
        thirds.make(bad, _offered())


def _offered() -> thirds.Offered:
    from ruxa.egress.http import Pool
    from ruxa.egress.timers import Wheel
    from ruxa.kernel.sealed import Sealed

    return thirds.Offered(
        name="acme",
        pool=Pool(Register(Signals()), wheel=Wheel()),
        clock=Clock(),
        key=Sealed(uuid4().hex),
        webhook_secret=None,
        base_url="https://api.acme.example",
        pages=(),
        account="",
        methods=(),
        options={},
        where="GB",
    )


async def test_two_packages_of_one_name_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in (1, 2):
        info = tmp_path / f"acme{number}-1.0.dist-info"
        info.mkdir()
        info.joinpath("METADATA").write_text(f"Metadata-Version: 2.1\nName: acme{number}\nVersion: 1.0\n")
        info.joinpath("entry_points.txt").write_text(f"[{thirds.GROUP}]\nacme = acme{number}:make\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InvalidCall, match="several"):
        thirds.find("acme")
    tmp_path.joinpath("acme2-1.0.dist-info", "entry_points.txt").unlink()
    with pytest.raises(InvalidCall, match="cannot be loaded"):
        thirds.find("acme")
