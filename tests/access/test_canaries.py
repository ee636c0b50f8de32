"""Canaries: people, passwords and secrets of every flow are searched for in all that is written or said.

Searched: a dump of the whole database, every file of the cluster (heap, indexes, write-ahead log, server log), standard
error, Python's log at its most talkative, and the text of every error with all that is chained to it - in each of the
encodings in which bytes like to hide. A planted clear value is found by the same search, else the test is void.
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import logging
import os
import secrets
import string
import subprocess
import traceback
from collections.abc import Awaitable, Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import msgspec
import psycopg
import pytest

from fixtures_access import BASE_URL, VISITOR, House, Person
from ruxa.access import entrance as door
from ruxa.access import jobs, keys, links, members, organisations, outbox, provider_keys, records, sessions, terms
from ruxa.access.entrance import Arrival, SignedIn
from ruxa.access.keys import KeyWish
from ruxa.access.sessions import Visitor
from ruxa.egress.mail import Letter
from ruxa.kernel.errors import RuxaError, UpstreamRefused
from ruxa.kernel.sealed import Sealed
from ruxa.kernel.signals import JsonLines
from ruxa.store import binaries

ELSEWHERE = Visitor.of("198.51.100.231", "Mozilla/5.0 CanaryBrowser/77.31415 (Windows NT 10.0) Chrome/142")


def forms(needle: str) -> Iterator[tuple[str, bytes]]:
    """The encodings in which a value is searched for."""
    raw = needle.encode()
    yield "utf-8", raw
    yield "lower case", needle.casefold().encode()
    yield "upper case", needle.upper().encode()
    yield "utf-16-le", needle.encode("utf-16-le")
    yield "utf-16-be", needle.encode("utf-16-be")
    yield "hex", raw.hex().encode()
    yield "HEX", raw.hex().upper().encode()
    yield "url", "".join(f"%{byte:02X}" for byte in raw).encode()
    for skip in range(3):
        # What base64 makes of the value whatever stands before it: without the digits that mix with neighbours.
        padded = base64.b64encode(b"\0" * skip + raw)
        yield f"base64+{skip}", padded[-(-skip * 4 // 3) + (1 if skip else 0) : len(padded) - 4]
    yield "reversed", raw[::-1]


class Search:
    """Looks for every needle in every form."""

    def __init__(self) -> None:
        self.needles: dict[bytes, str] = {}

    def add(self, name: str, value: str) -> None:
        assert len(value) >= 10, name
        for form, wanted in forms(value):
            self.needles.setdefault(wanted, f"{name} as {form}")

    def hits(self, where: str, data: bytes) -> list[str]:
        return [f"{where}: {name}" for wanted, name in self.needles.items() if wanted in data]


ALNUM = string.ascii_letters + string.digits


class Town:
    """The house, the people that walk through it, and everything that was said.

    All addresses and names hold one mark, all passwords, keys, links and tokens another: few needles, all secrets.
    """

    def __init__(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        self.house = house
        self.mark, self.token = ("".join(secrets.choice(ALNUM) for _ in range(14)) for _ in range(2))
        self.search = Search()
        self.search.add("address or name", self.mark)
        self.search.add("password or secret", self.token)
        self.said: list[str] = []
        drawn = secrets.token_urlsafe
        monkeypatch.setattr(secrets, "token_urlsafe", lambda size: drawn(size)[:-14] + self.token)
        choose = secrets.choice
        turn = itertools.count()

        def choice(values: Any) -> Any:
            """Draws a key's 33 digits: after the 8 that are shown comes the mark."""
            place = next(turn) % keys.BODY
            return ord(self.token[place - 10]) if 10 <= place < 24 else choose(values)

        monkeypatch.setattr("ruxa.access.keys.secrets.choice", choice)

    def person(self) -> Person:
        """A new canary."""
        return Person(mark=self.mark, token=self.token)

    def secret(self, value: Sealed[str]) -> Sealed[str]:
        """A secret that must be found nowhere; that it holds the mark is the search's own condition."""
        assert self.token in value.open("security")
        return value

    async def refused(self, awaited: Awaitable[object]) -> None:
        """It fails, and what it says is kept."""
        with pytest.raises((RuxaError, AssertionError)) as caught:
            await awaited
        error = caught.value
        self.said.append("".join(traceback.format_exception(error)))
        self.said.append(repr(error) + repr(vars(error)) + repr(error.__cause__) + repr(error.__context__))

    async def fails(self, act: Callable[[records.Work], Awaitable[object]]) -> None:
        """An act in a work of the console's login fails."""

        async def run() -> None:
            async with self.house.console.work() as work:
                await act(work)

        await self.refused(run())

    async def link(self) -> Sealed[str]:
        return self.secret(await self.house.link())

    async def join(self, person: Person) -> SignedIn:
        ticket = self.secret(await door.sign_up(self.house.door, person.form(), VISITOR))
        entered = await door.verify(self.house.door, await self.link(), VISITOR, ticket=ticket)
        self.secret(entered.session.token)
        return entered


async def strangers(town: Town) -> None:
    """What goes wrong at the door."""
    house, known, unknown = town.house, town.person(), town.person()
    await town.join(known)
    form = unknown.form()
    await town.refused(door.sign_up(house.door, unknown.form(adult=False), VISITOR))
    await town.refused(door.sign_up(house.door, unknown.form(version=date(2000, 1, 1)), VISITOR))
    for field, value in (
        ("email", Sealed(unknown.name.open("provide") + "@@")),
        ("email", Sealed(unknown.email.open("provide") + "\r\nBcc: x@example.com")),
        ("name", Sealed(unknown.name.open("provide") + "\x00")),
        ("password", Sealed("canary-short")),
        ("password", Sealed(unknown.name.open("provide") * 30)),
        ("password", Sealed(unknown.email.open("provide") + " and more")),
    ):
        await town.refused(door.sign_up(house.door, msgspec.structs.replace(form, **{field: value}), VISITOR))
    await door.sign_up(house.door, msgspec.structs.replace(form, email=known.email), VISITOR)
    await town.refused(door.sign_in(house.door, known.email, unknown.password, ELSEWHERE))
    await town.refused(door.sign_in(house.door, unknown.email, known.password, ELSEWHERE))
    await town.refused(door.sign_in(house.door, unknown.name, known.password, ELSEWHERE))
    await town.refused(door.verify(house.door, Sealed(unknown.password.open("security")), VISITOR))
    await town.refused(door.reset(house.door, links.draw(), unknown.password, VISITOR))
    for _ in range(9):
        await town.refused(door.sign_in(house.door, known.email, unknown.password, ELSEWHERE))
    await town.refused(door.sign_in(house.door, known.email, known.password, ELSEWHERE))


async def members_life(town: Town) -> UUID:
    """Signing up twice, in, new password, another name, a new browser, out."""
    house, person = town.house, town.person()
    first = msgspec.structs.replace(town.person().form(), email=person.email)
    await door.sign_up(house.door, first, ELSEWHERE)
    await town.link()
    entered = await town.join(person)
    assert entered.new_organisation is not None
    async with house.console.work() as work:
        session = await sessions.find(work, house.vault, entered.session.token)
    assert session is not None
    town.search.add("csrf", session.csrf)
    fresh = town.person().password
    await town.refused(door.change_password(house.door, session, fresh, fresh, VISITOR))
    town.secret(await door.change_password(house.door, session, person.password, fresh, VISITOR))
    elsewhere = await door.sign_in(house.door, person.email, fresh, ELSEWHERE)
    town.secret(elsewhere.session.token)
    await door.ask_reset(house.door, person.email, ELSEWHERE)
    await house.deliver()
    async with house.console.work() as work:
        other = town.person()
        await members.set_name(work, house.vault, entered.member_id, other.name)
        await organisations.rename(work, house.vault, entered.new_organisation, town.person().name)
        again = await sessions.find(work, house.vault, elsewhere.session.token)
    assert again is not None
    await door.sign_out(house.door, again, everywhere=True)
    return entered.new_organisation


async def team_and_staff(town: Town, organisation_id: UUID) -> None:
    """Invitations by mail and by link, a staff member, suspensions."""
    house, guest, other, boss = town.house, town.person(), town.person(), town.person()
    async with house.console.work() as work:
        await members.invite_by_mail(
            work, house.vault, organisation_id, guest.email, "viewer", base_url=BASE_URL, locale="zh"
        )
    secret = await town.link()
    arrival = Arrival(name=guest.name, password=guest.password, adult=True, terms=terms.CURRENT, locale="zh")
    await town.refused(door.accept(house.door, "invite", secret, VISITOR))
    bad = msgspec.structs.replace(arrival, password=Sealed(guest.email.open("provide")))
    await town.refused(door.accept(house.door, "invite", secret, VISITOR, arrival=bad))
    entered = await door.accept(house.door, "invite", secret, VISITOR, arrival=arrival)
    await town.fails(lambda work: members.invite(work, house.vault, organisation_id, guest.email, "owner"))
    async with house.operator.work() as work:
        await members.invite(work, house.vault, organisation_id, other.email, "billing")
        added = await members.add_staff(work, house.vault, boss.email, "operator")
        made = await organisations.create(work, house.vault, town.person().name)
        await organisations.suspend(work, made.id, "abuse")
        await members.suspend(work, entered.member_id)
    town.secret(added.secret)
    await town.refused(door.sign_in(house.door, guest.email, guest.password, VISITOR))
    arrival = Arrival(name=boss.name, password=boss.password, adult=True, terms=terms.CURRENT)
    town.secret((await door.accept(house.door, "operator", added.secret, VISITOR, arrival=arrival)).session.token)


async def keys_life(town: Town, organisation_id: UUID) -> None:
    """Keys are made, turned, adopted, revoked."""
    house = town.house

    wish = KeyWish(name=town.person().name)
    async with house.console.work() as work:
        created = await keys.create(work, house.vault, organisation_id, wish)
        rotated = await keys.rotate(work, house.vault, organisation_id, created.id, overlap=timedelta(hours=1))
    for one in (created, rotated):
        town.secret(one.secret)
        # The first 16 characters are shown to tell keys apart; the mark is in the rest.
        assert town.token not in one.prefix
    foreign = f"sk-foreign-{town.token}"
    async with house.operator.work() as work:
        await keys.adopt(work, house.vault, organisation_id, wish, foreign.encode())
    await town.fails(lambda work: keys.adopt(work, house.vault, organisation_id, wish, foreign.encode()))
    long = KeyWish(name=Sealed(town.person().name.open("provide") * 9))
    await town.fails(lambda work: keys.create(work, house.vault, organisation_id, long))
    own = Sealed(f"sk-own-{town.token}-tail")
    for work_of in (house.console, house.operator):
        async with work_of.work() as work:
            await provider_keys.put(work, house.vault, organisation_id, "openai", own)
            town.said.append(repr(await provider_keys.listed(work, organisation_id)))
    for wrong in (f"with blank {town.token}", f"rx_live_{town.token}", f"é{town.token}"):
        await town.fails(
            lambda work, wrong=wrong: provider_keys.put(work, house.vault, organisation_id, "x", Sealed(wrong))
        )
    async with house.console.work() as work:
        await keys.revoke(work, organisation_id, created.id)


async def broken_store(town: Town) -> None:
    """PostgreSQL itself is made to complain about values: unique, check, cast, wrong text, a lost connection."""
    house, person = town.house, town.person()
    entered = await town.join(person)
    name, email = person.name.open("provide"), person.email.open("provide")
    sealed = house.vault.index("member.email", email)
    await town.fails(lambda work: records.set_locale(work, entered.member_id, name))
    await town.fails(lambda work: work.run("SELECT %s::integer", name))
    await town.fails(lambda work: work.run("SELECT %s::uuid", email))
    await town.fails(lambda work: work.run("SELECT %s::timestamptz", name))
    await town.fails(lambda work: work.run("SELECT 1 / 0 WHERE %s <> ''", person.password.open("security")))
    await town.fails(lambda work: work.run("INSERT INTO access.throttle (mark) VALUES (%s)", email.encode()))
    await town.fails(
        lambda work: work.run(
            "INSERT INTO access.member (id, email_index, email_sealed) SELECT gen_random_uuid(), email_index, %s "
            "FROM access.member",
            sealed,
        )
    )

    async def lost(work: records.Work) -> None:
        pid = await work.value("SELECT pg_backend_pid()")
        with psycopg.connect(house.database.admin_url, autocommit=True) as admin:
            admin.execute("SELECT pg_terminate_backend(%s)", [pid])
        await work.run("SELECT %s", person.password.open("security"))

    await town.fails(lost)


async def post(town: Town) -> None:
    """Mail that fails with the server's words in it, and the outbox page."""
    house, person = town.house, town.person()
    await door.sign_up(house.door, person.form(), VISITOR)

    async def refuse(letter: Letter) -> None:
        raise UpstreamRefused("The mail server refused this mail.", status=422, code="mail_refused")

    async with house.console.work() as work:
        line = (await outbox.page(work))[0]
        letter = await outbox.read(work, house.vault, line.id)
    assert letter is not None
    assert town.mark in letter.text.open("communicate")
    assert town.token in letter.text.open("communicate")
    town.said.append(f"{letter!r} {line!r}")
    await jobs.send_mail(house.worker, house.vault, refuse, house.door.sink)


@pytest.fixture
def town(house: House, monkeypatch: pytest.MonkeyPatch) -> Town:
    house.door = msgspec.structs.replace(house.door, sink=JsonLines("test", house.database.clock, minimum="debug"))
    return Town(house, monkeypatch)


def dump(house: House) -> bytes:
    """The whole database as SQL, keys and all."""
    program = str(binaries.find() / "pg_dump")
    done = subprocess.run([program, "--dbname", house.database.admin_url], capture_output=True, check=True)
    assert b"COPY access.member" in done.stdout
    return done.stdout


def files(house: House) -> Iterator[tuple[str, bytes]]:
    """Every file of the cluster but other tests' databases: heap, indexes, write-ahead log, statistics, server log."""
    with psycopg.connect(house.database.admin_url) as admin:
        row = admin.execute("SELECT oid FROM pg_database WHERE datname = current_database()").fetchone()
    assert row is not None
    directory = house.database.session.directory
    # Other tests' databases come and go meanwhile: ``os.walk`` passes over a folder that went.
    for path in sorted(Path(place) / name for place, _, names in os.walk(directory) for name in names):
        parts = path.relative_to(directory).parts
        if "base" in parts and parts[-2] != str(row[0]):
            continue
        # Other tests use the same cluster: a file may be gone when its turn comes.
        with contextlib.suppress(FileNotFoundError):
            if path.is_file():
                yield "/".join(parts), path.read_bytes()


async def test_no_canary_is_written_or_said_anywhere(
    town: Town, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    house = town.house
    caplog.set_level(logging.DEBUG)
    await strangers(town)
    organisation_id = await members_life(town)
    await team_and_staff(town, organisation_id)
    await keys_life(town, organisation_id)
    await broken_store(town)
    await post(town)
    # People are really there: what is searched for can be opened.
    async with house.console.work() as work:
        team = await members.team(work, house.vault, organisation_id)
    assert len(team) == 3
    assert all(line.email.open("provide").startswith("canary.") for line in team)
    town.said.append(repr(team) + repr(town.house.mail) + f"{team[0].email} {team[0].email!s:>50}")
    # The positive control: a value in clear, in the same database.
    planted = f"planted-{uuid4().hex}"
    control = Search()
    control.add("plant", planted)
    with psycopg.connect(house.database.admin_url, autocommit=True) as admin:
        admin.execute("CREATE TABLE ruxa.plant (clear text, hidden bytea)")
        admin.execute("INSERT INTO ruxa.plant VALUES (%s, %s)", [planted, base64.b64encode(b"12" + planted.encode())])
        admin.execute("CHECKPOINT")
    sources: dict[str, bytes] = {"dump": dump(house)}
    found = control.hits("dump", sources["dump"])
    in_files: set[str] = set()
    hits: list[str] = []
    examined = 0
    names: list[str] = []
    for name, data in files(house):
        names.append(name)
        examined += len(data)
        hits += town.search.hits(name, data)
        in_files |= {hit.partition(": ")[2] for hit in control.hits(name, data)}
    assert "dump: plant as utf-8" in found
    assert {"plant as utf-8", "plant as base64+2"} <= in_files
    assert any("pg_wal" in name for name in names)
    assert any(name.endswith("postgres.log") for name in names)
    assert examined > 10_000_000
    captured = capfd.readouterr()
    sources["standard error"] = captured.err.encode()
    assert b"sign_in.refused" in sources["standard error"]
    assert b"mail_refused" in sources["standard error"]
    sources["standard output"] = captured.out.encode()
    sources["python log"] = caplog.text.encode()
    sources["errors"] = "\n".join(town.said).encode()
    assert len(town.said) > 40
    sources["signals"] = repr(house.signals.told).encode()
    for name, data in sources.items():
        hits += town.search.hits(name, data)
        # Addresses of visitors and their browsers are nowhere either.
        for personal in (b"203.0.113.", b"198.51.100.", b"CanaryBrowser", b"77.31415"):
            if personal in data.replace(b'Visitor.of("198.51.100.231"', b""):
                hits.append(f"{name}: {personal.decode()}")
    assert not hits, "\n".join(sorted(set(hits))[:40])


def test_the_search_finds_what_it_shall() -> None:
    """Each form is found in data that holds the value in that encoding, with anything around it."""
    value = "canary.0a1b2c3d4e5f"
    search = Search()
    search.add("it", value)
    for around in (b"", b"x", b"xy", b"xyz"):
        whole = around + value.encode() + b"tail"
        for name, data in {
            "utf-8": whole,
            "hex": whole.hex().encode(),
            "base64": base64.b64encode(whole),
            "base64url": base64.urlsafe_b64encode(whole),
            "utf-16": whole.decode().encode("utf-16-be"),
            "reversed": whole[::-1],
        }.items():
            assert search.hits(name, data), (name, around)
    assert not search.hits("nothing", b"canary.0a1b2c3d4e5g")
