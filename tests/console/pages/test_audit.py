"""The audit log in the console: owners see their own, staff open all for a purpose, everybody sees its hashes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import pytest

from fixtures_access import Person
from ruxa.access import members
from ruxa.access.audit import check, log, published, reading, sequencer, verify
from ruxa.access.audit.log import Act
from ruxa.console.words import LANGUAGES, Library
from ruxa.kernel.sealed import Sealed

if TYPE_CHECKING:
    from conftest import Browser, Console


async def sign(console: Console) -> None:
    await sequencer.run(console.house.worker, console.house.writer, console.house.vault, sign_now=True)


async def as_staff(console: Console, role: Any) -> Browser:
    person, _, _ = await console.house.owner()
    async with console.house.operator.work("operator") as work:
        await members.add_staff(work, console.house.vault, Sealed(person.email.open("provide")), role)
    return await console.signed_in(person)


async def acts(console: Console) -> list[str]:
    async with console.house.console.work() as work:
        return [one.act for one in await reading.page(work, console.house.vault, "proof", limit=200)]


async def test_an_owner_sees_what_was_done_by_name_and_nothing_of_others(console: Console) -> None:
    other, stranger, _ = await console.owner()
    await other.api("POST", "/api/v1/keys", {"name": "theirs", "scopes": ["chat"]}, status=201)
    browser, person, _ = await console.owner()
    await browser.api("POST", "/api/v1/keys", {"name": "canary key", "scopes": ["chat"]}, status=201)
    await browser.get("/team")
    invited = Person()
    await browser.post("/team", "invite", email=invited.email.open("provide"), role="viewer")
    await sign(console)
    page = (await browser.get("/audit")).text
    for shown in ("Made a key", "canary key", "Invited a member", "role: viewer", person.name.open("provide")):
        assert shown in page
    assert stranger.mark not in page
    assert "ruxa-log/" in page
    rows = (await browser.api("GET", "/api/v1/audit/entries")).json()["rows"]
    assert [row["act"] for row in rows if row["act"] in ("key:created", "member:invited")] == [
        "member:invited",
        "key:created",
    ]
    assert all(row["request_id"].startswith("req_") for row in rows[:2])
    assert {row["organisation"] for row in rows} == {rows[0]["organisation"]}


async def test_every_act_of_the_console_has_its_entry(console: Console) -> None:
    """What F.7 names and the console can do: keys, roles, organisation, credit, suspension, sessions."""
    browser, person, organisation_id = await console.owner()
    key = (await browser.api("POST", "/api/v1/keys", {"name": "k", "scopes": ["chat"]}, status=201)).json()
    await browser.api("POST", f"/api/v1/keys/{key['id']}/rotate", {"overlap_hours": 1}, status=201)
    await browser.api("DELETE", f"/api/v1/keys/{key['id']}", status=204)
    await browser.api("PATCH", "/api/v1/organisation", {"name": "Other", "output_tokens_default": 100})
    made = (await browser.api("POST", "/api/v1/members", {"email": "a@b.example", "role": "viewer"}, status=201)).json()
    await browser.api("PATCH", f"/api/v1/members/{made['id']}", {"role": "billing"}, status=204)
    await browser.api("DELETE", f"/api/v1/members/{made['id']}", status=204)
    again = await console.signed_in(person)
    page = (await again.get("/settings")).text
    other = re.findall(r'name="session" value="(ses_[0-9a-f]{32})"', page)
    await again.post("/settings", "end", session=other[0])
    staff, _ = await console.operator()
    place = f"/api/v1/staff/organisations/org_{organisation_id.hex}"
    await staff.api("POST", f"{place}/suspend", {"why": "abuse"}, status=204)
    await staff.api("POST", f"{place}/restore", status=204)
    wanted: set[Act] = {
        "member:signed_up",
        "member:verified",
        "member:signed_in",
        "member:signed_out",
        "organisation:created",
        "organisation:renamed",
        "organisation:changed",
        "organisation:suspended",
        "organisation:restored",
        "key:created",
        "key:rotated",
        "key:revoked",
        "member:invited",
        "member:role_changed",
        "member:removed",
    }
    assert wanted <= set(await acts(console))
    await sign(console)
    assert (await check.check(console.house.worker, console.house.vault)).problems == []


def test_every_act_and_outcome_has_a_name_in_both_languages() -> None:
    library = Library()
    for language in LANGUAGES:
        words = library.words(language)
        missing = [act for act in get_args(Act) if not words.has(f"act.{act.replace(':', '_')}")]
        assert missing == [], language
        assert all(words.has(f"outcome.{one}") for one in get_args(log.Outcome) if one != "done")


async def test_who_may_see_what(console: Console) -> None:
    await sign(console)
    visitor = console.browser()
    await visitor.get("/audit", 303)
    await visitor.get("/staff/audit", 303)
    owner, _, _ = await console.owner()
    await owner.get("/staff/audit", 404)
    support = await as_staff(console, "support")
    await support.get("/staff/audit", 403)
    security = await as_staff(console, "security")
    await security.get("/staff/audit", 200)
    await owner.api("GET", "/api/v1/staff/audit/entries?purpose=proof", status=404)


async def test_staff_open_entries_for_a_purpose_and_that_is_written_first(console: Console) -> None:
    _, person, organisation_id = await console.owner()
    officer = await as_staff(console, "dpo")
    before = await acts(console)
    page = (await officer.get("/staff/audit")).text
    assert "Organisation made" not in page
    assert await acts(console) == before, "nothing was opened"
    await officer.get("/staff/audit?purpose=marketing")
    assert await acts(console) == before
    page = (await officer.get(f"/staff/audit?purpose=proof&organisation=org_{organisation_id.hex}")).text
    assert "Organisation made" in page
    assert person.mark not in page, "customers stay pseudonyms"
    async with console.house.console.work() as work:
        (first, *_) = await reading.page(work, console.house.vault, "proof")
    assert first.act == "log:opened"
    assert first.fields is not None
    assert (first.kind, first.fields.role, first.fields.purpose) == ("staff", "dpo", "proof")
    assert first.organisation_id == organisation_id
    await officer.api("GET", "/api/v1/staff/audit/entries", status=400)
    rows = (await officer.api("GET", "/api/v1/staff/audit/entries?purpose=security&limit=5")).json()
    assert rows["rows"][0]["act"] == "log:opened"
    assert len(rows["rows"]) == 5
    more = (
        await officer.api("GET", f"/api/v1/staff/audit/entries?purpose=security&limit=5&before={rows['next']}")
    ).json()
    assert {row["id"] for row in more["rows"]}.isdisjoint(row["id"] for row in rows["rows"])


async def test_an_owner_says_that_a_checkpoint_is_kept(console: Console) -> None:
    browser, _, organisation_id = await console.owner()
    await sign(console)
    await browser.get("/audit")
    size = (await browser.api("GET", "/api/v1/audit/checkpoint")).json()["size"]
    await browser.post("/audit", "keep", size=size)
    assert "Kept:" in (await browser.get("/audit")).text
    await browser.post("/audit", "keep", 404, size=size + 1000)
    await browser.api("POST", "/api/v1/audit/acknowledgements", {"size": size}, status=204)
    await browser.api("POST", "/api/v1/audit/acknowledgements", {"size": 10**6}, status=404)
    async with console.house.console.work() as work:
        rows = await work.rows("SELECT size, organisation_id FROM audit.acknowledgement")
    assert rows == [(size, organisation_id)] * 2
    assert (await acts(console)).count("log:acknowledged") == 2


async def test_strangers_download_tiles_and_check_them_with_the_program(console: Console, tmp_path: Path) -> None:
    person, _, organisation_id = await console.house.owner()
    async with console.house.console.work() as work:
        for _ in range(300):
            await log.add(work, console.house.vault, None, "retention:run")
    browser = console.browser()
    await browser.get("/.well-known/ruxa-log/checkpoint", 404)
    await sign(console)
    base = "/.well-known/ruxa-log"
    answer = await browser.get(f"{base}/checkpoint")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["cache-control"] == "public, max-age=5"
    note = verify.read_note(answer.text)
    place = tmp_path / "log"
    names = [verify.tile_path("0", 0), verify.tile_path("0", 1, note.size - 256), verify.tile_path("1", 0, 1)]
    bodies = [answer.content]
    for name in names:
        answer = await browser.get(f"{base}/{name}")
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        bodies.append(answer.content)
    bodies.append((await browser.get("/.well-known/ruxa/keys.json")).content)
    bodies.append((await browser.get("/.well-known/ruxa-verify.py")).content)
    files = ["checkpoint", *names, "keys.json", "ruxa-verify.py"]
    for name, body in zip(files, bodies, strict=True):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(body)
        assert person.mark.encode() not in body
        assert organisation_id.hex.encode() not in body
    command = [sys.executable, "-I", "-S", str(place / "ruxa-verify.py"), "check", str(place), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout
    assert json.loads(done.stdout)["tree_size"] == note.size
    tile = place / names[1]
    tile.write_bytes(tile.read_bytes()[::-1])
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1


@pytest.mark.parametrize(
    "path",
    [
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/00/000",
        "tile/0/0",
        "tile/0/x000/000",
        "tile/0/1000",
        "tile/-1/000",
        "tile/64/000",
        "tile/0/999",
        "tile/entries/000",
        "tile/",
        "tile/0/../checkpoint",
        "leaf/0",
    ],
)
async def test_what_is_no_tile_is_not_there(console: Console, path: str) -> None:
    async with console.house.console.work() as work:
        await log.add(work, console.house.vault, None, "retention:run")
    await sign(console)
    await console.browser().get(f"/.well-known/ruxa-log/{path}", 404)


async def test_keys_are_published_with_their_time(console: Console) -> None:
    await console.house.vault.signing_key("audit")
    answer = await console.browser().get("/.well-known/ruxa/keys.json")
    assert answer.headers["cache-control"] == "public, max-age=300"
    document = answer.json()
    (key,) = [one for one in document["keys"] if one["use"] == "audit"]
    assert key.keys() == {"id", "use", "algorithm", "public", "valid_from", "valid_until", "vkey"}
    assert verify.read_vkey(key["vkey"]).name == document["log"]
    assert verify.read_keys(answer.text, document["log"])[0].public == verify.read_vkey(key["vkey"]).public
    assert published.verifier().startswith(b"#!/usr/bin/env python3\n")
