"""A house with people in it: the entrance on a real database, a mailbox that reads the outbox, and canary people."""

from __future__ import annotations

import re
import secrets
from collections.abc import AsyncIterator
from datetime import date
from uuid import UUID

import pytest

from fixtures_database import Database
from ruxa.access import entrance as door
from ruxa.access import jobs, passwords, terms
from ruxa.access.entrance import Entrance, SignedIn, SignUp
from ruxa.access.passwords import Hasher
from ruxa.access.sessions import Visitor
from ruxa.egress.mail import Letter
from ruxa.kernel import cards
from ruxa.kernel.sealed import Sealed
from ruxa.kernel.signals import Field, Level
from ruxa.store.pool import Pool
from ruxa.store.vault import Vault

VISITOR = Visitor.of("203.0.113.77", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
BASE_URL = "http://127.0.0.1:8000"


class Signals:
    """A sink that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, dict[str, Field]]] = []

    def emit(self, event: str, level: Level = "info", **fields: Field) -> None:
        self.told.append((event, fields))


def _drawn(word: str = "") -> tuple[str, str]:
    """A word, or one drawn, and another one drawn, which together are nothing that forms refuse as a card's number."""
    while True:
        both = word or secrets.token_hex(6), secrets.token_hex(3)
        if not cards.found("-".join(both)):
            return both


class Person:
    """Somebody nobody else is: address, name and password are canaries.

    ``mark`` is in address and name, ``token`` in the password (which may not hold what the address holds).
    """

    def __init__(self, name: str = "", *, mark: str = "", token: str = "") -> None:
        self.mark, only = _drawn(mark)
        self.email = Sealed(f"canary.{self.mark}.{only}@Example.com")
        self.name = Sealed(name or f"Canarina {self.mark} {only}")
        self.password = Sealed(f"plum-{'-'.join(_drawn(token))}-oak")

    def form(self, *, adult: bool = True, version: date | None = terms.CURRENT, locale: str = "en") -> SignUp:
        return SignUp(
            email=self.email, name=self.name, password=self.password, adult=adult, terms=version, locale=locale
        )


class House:
    """Everything the room needs, on one test's database."""

    def __init__(self, database: Database, pools: dict[str, Pool], vault: Vault, hasher: Hasher) -> None:
        self.database = database
        self.pools = pools
        self.vault = vault
        self.signals = Signals()
        self.hasher = hasher
        self.mail: list[Letter] = []
        self.door = Entrance(
            pool=pools["ruxa_console"], vault=vault, hasher=hasher, sink=self.signals, base_url=BASE_URL
        )

    @property
    def console(self) -> Pool:
        return self.pools["ruxa_console"]

    @property
    def operator(self) -> Pool:
        return self.pools["ruxa_operator"]

    @property
    def gateway(self) -> Pool:
        return self.pools["ruxa_gateway"]

    @property
    def worker(self) -> Pool:
        return self.pools["ruxa_worker"]

    @property
    def writer(self) -> Pool:
        """What adds to the audit log's tree."""
        return self.database.lent("ruxa_audit")

    @property
    def eraser(self) -> Pool:
        """What ends people and organisations."""
        return self.database.lent("ruxa_erase")

    @property
    def copies(self) -> Pool:
        """What reads for a copy."""
        return self.database.lent("ruxa_export")

    async def deliver(self) -> list[Letter]:
        """Lets the worker send what is in the outbox; what arrived just now, oldest first."""
        before = len(self.mail)

        async def send(letter: Letter) -> None:
            self.mail.append(letter)

        await jobs.send_mail(self.worker, self.vault, send, self.signals)
        return sorted(self.mail[before:], key=lambda letter: letter.id)

    async def link(self) -> Sealed[str]:
        """The secret of the link in the last mail that arrives now."""
        return secret_in((await self.deliver())[-1])

    async def join(self, person: Person, visitor: Visitor = VISITOR) -> SignedIn:
        """Signs a person up and in."""
        ticket = await door.sign_up(self.door, person.form(), visitor)
        return await door.verify(self.door, await self.link(), visitor, ticket=ticket)

    async def owner(self) -> tuple[Person, UUID, UUID]:
        """A person, their member id and their organisation."""
        person = Person()
        entered = await self.join(person)
        assert entered.new_organisation is not None
        return person, entered.member_id, entered.new_organisation


def secret_in(letter: Letter) -> Sealed[str]:
    found = re.search(r"/(?:verify|reset|invite|operator|enter)/([\w-]{43})\n", letter.text.open("communicate"))
    assert found, "no link in the mail"
    return Sealed(found[1])


REAL_COSTS = (passwords.PASSES, passwords.MEMORY_KIB, passwords.LANES)


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """What costs time on purpose costs little: the floor of answers, argon2id. Tests of either set it back."""
    monkeypatch.setattr("ruxa.kernel.bounds.SAME_ANSWER_S", 0)
    set_costs(monkeypatch, 1, 1024, 1)


def set_costs(monkeypatch: pytest.MonkeyPatch, passes: int, memory_kib: int, lanes: int) -> None:
    monkeypatch.setattr(passwords, "PASSES", passes)
    monkeypatch.setattr(passwords, "MEMORY_KIB", memory_kib)
    monkeypatch.setattr(passwords, "LANES", lanes)


@pytest.fixture
async def house(database: Database) -> AsyncIterator[House]:
    """A house with people in it; every login has its own pool."""
    logins = ("ruxa_console", "ruxa_operator", "ruxa_gateway", "ruxa_worker")
    pools = {login: await database.pool(login, max_size=12) for login in logins}
    vault = await Vault.unlock(database.address, database.keys, clock=database.clock)
    hasher = Hasher(vault)
    try:
        yield House(database, pools, vault, hasher)
    finally:
        hasher.close()
        await vault.close()
