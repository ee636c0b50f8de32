"""The data map is closed: what is used is declared, and what nobody declared is found wherever it is planted."""

from __future__ import annotations

import ast
from datetime import date
from pathlib import Path

import psycopg
import pytest

from fixtures_access import House
from fixtures_database import Database
from ruxa.access import organisations, outbox
from ruxa.access.grants import Limits, OrganisationLimits
from ruxa.console import cookies, headers
from ruxa.console.words import Language, load
from ruxa.kernel import datamap, signals
from ruxa.privacy.content import items
from ruxa.privacy.processing import places

SOURCE = Path(__file__).parents[3] / "src" / "ruxa"


async def test_every_place_of_a_fresh_database_and_of_the_code_is_declared(database: Database) -> None:
    async with (await database.pool("ruxa_operator")).work() as work:
        found = await places.gather(work, cookies.places())
    assert places.problems(found) == []
    kinds = {place.kind for place in found}
    assert kinds >= set(places.KINDS) - {"path"}
    names = [(place.kind, place.name) for place in found]
    assert len(names) == len(set(names))
    assert any(place.declaration is not None and place.declaration.seal == "subject" for place in found)


async def test_an_undeclared_key_of_a_json_column_is_found(database: Database) -> None:
    with psycopg.connect(database.admin_url, autocommit=True) as admin:
        admin.execute(
            "INSERT INTO jobs.procrastinate_jobs (queue_name, task_name, args)"
            " VALUES ('x', 'x', '{\"timestamp\": 1}'), ('x', 'x', '{\"who\": 1}')"
        )
    async with (await database.pool("ruxa_console")).work() as work:
        found = await places.gather(work, ())
    assert places.problems(found) == ["path jobs.procrastinate_jobs.args.who: no data: declaration"]
    assert any(place.name.endswith(".args.timestamp") and place.problem is None for place in found)


async def test_limits_of_an_organisation_and_of_a_member_are_declared(house: House) -> None:
    _, member, organisation = await house.owner()
    every = Limits(requests_per_minute=9, tokens_per_minute=9, concurrency=9)
    async with house.operator.work() as work:
        await organisations.limit(work, organisation, every)
        await organisations.limit(work, organisation, every, model="a/b")
        await organisations.limit_member(work, organisation, member, every)
        found = await places.gather(work, cookies.places())
    assert places.problems(found) == []
    keys = {place.name: place.declaration for place in found if place.kind == "path"}
    columns = {place.name: place.declaration for place in found if place.kind == "column"}
    for column, limits in (("access.organisation.limits", OrganisationLimits), ("access.membership.limits", Limits)):
        said = {name: declaration for name, declaration in keys.items() if name.startswith(f"{column}.")}
        assert said == dict.fromkeys((f"{column}.{field}" for field in limits.__struct_fields__), columns[column])


@pytest.mark.parametrize("table", ["organisation", "membership"])
async def test_an_undeclared_key_among_limits_is_found(house: House, table: str) -> None:
    await house.owner()
    with psycopg.connect(house.database.admin_url, autocommit=True) as admin:
        admin.execute(f'UPDATE access.{table} SET limits = \'{{"why": "late payer"}}\''.encode())
    async with house.operator.work() as work:
        found = await places.gather(work, ())
    assert places.problems(found) == [f"path access.{table}.limits.why: no data: declaration"]


async def test_an_undeclared_column_that_somebody_made_is_found(database: Database) -> None:
    with psycopg.connect(database.admin_url, autocommit=True) as admin:
        admin.execute("ALTER TABLE access.member ADD COLUMN nickname text")
    async with (await database.pool("ruxa_operator")).work() as work:
        found = await places.gather(work, ())
    assert places.problems(found) == ["column access.member.nickname: no data: declaration"]


def test_an_undeclared_field_of_a_signal_or_variable_of_a_mail_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(signals.EVENTS, "planted", frozenset({"email"}))
    monkeypatch.setitem(outbox.TEMPLATES, "verify", frozenset({"birthday"}))
    problems = places.problems(places.in_code())
    assert problems == ["signal email: no data: declaration", "mail birthday: no data: declaration"]


def test_every_label_of_a_metric_is_declared() -> None:
    """Read from the code: a label is what stands before ``="`` in a string given to ``metrics.add`` or ``put``."""
    used: set[str] = set()
    for path in (SOURCE / "gateway").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                text = node.value
                used |= {part.rpartition(",")[2].strip() for part in text.split('="')[:-1] if '="' in text}
    labels = {name.rpartition("{")[2] for name in used if name.rpartition("{")[2].isidentifier()}
    assert {"dialect", "provider", "code"} <= labels <= signals.LABELS.keys()


def test_only_declared_cookies_can_be_set() -> None:
    base = "https://ruxa.example"
    for name in (headers.cookie_name(base), headers.ticket_name(base), "theme", "language"):
        assert headers.cookie(base, name, "x", 1).key == name
    with pytest.raises(AssertionError):
        headers.cookie(base, "tracking", "x", 1)
    assert {place.name for place in cookies.places()} == set(headers.COOKIES)
    # Nobody goes round it: cookies are made in one file, and set nowhere but by what that file makes.
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and (name := ast.unparse(node.func).rpartition(".")[2]) == "set_cookie":
                assert (
                    ast.unparse(node).partition("set_cookie(")[2].startswith(("headers.cookie(", "headers.age_cookie("))
                )
            elif isinstance(node, ast.Call) and name == "Cookie":
                assert path.name == "headers.py", path
            elif isinstance(node, ast.Constant) and isinstance(node.value, str | bytes):
                text = node.value.decode("latin-1") if isinstance(node.value, bytes) else node.value
                assert text.lower() != "set-cookie", path
    assert all(kind in ("essential", "functional", "analytics", "performance") for kind, _ in headers.COOKIES.values())


def test_objects_lie_below_declared_prefixes_only() -> None:
    """Who gives names to the object store is known: stored content, below its prefix, and the backups' own target."""
    putting = set[str]()
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and node.attr == "put" and "objects" in ast.unparse(node.value):
                putting.add(str(path.relative_to(SOURCE)))
    assert putting == {
        "privacy/content/items.py",
        "privacy/files/kept.py",
        "privacy/responses/kept.py",
        "app/targets.py",
    }
    assert list(places.OBJECTS) == [f"{items.PREFIX}/"]
    assert items.day_prefix(date(2026, 1, 2)).startswith(f"{items.PREFIX}/")
    assert datamap.parse(places.OBJECTS["content/"]) is not None


def test_arguments_of_jobs_are_declared() -> None:
    """Every keyword that the code gives a deferred job."""
    given: set[str] = set()
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("jobs.defer"):
                given |= {word.arg for word in node.keywords if word.arg and word.arg not in ("lock", "once")}
    assert given <= places.ARGUMENTS.keys()


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_page_has_a_word_for_every_word_of_the_map(language: Language) -> None:
    known = load(language)
    wanted = {f"keep_{keep}" for keep in datamap.KEEPS} | {f"seal_{seal}" for seal in datamap.SEALS}
    wanted |= {f"subject_{one}" for one in datamap.SUBJECTS} | {f"basis_{one}" for one in datamap.BASES}
    wanted |= {f"kind_{kind}" for kind in places.KINDS} | {
        f"erase_{way}" for way in ("shred", "delete", "null", "keep")
    }
    assert {f"data_map.{word}" for word in wanted} <= known.keys()
