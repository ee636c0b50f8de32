"""A person's own hand on their data: a copy once, an erasure after a day or at once, an organisation closed."""

from __future__ import annotations

import io
import zipfile

import psycopg
from tests.console.conftest import Console

from ruxa.access import organisations
from ruxa.kernel import ids
from ruxa.privacy import erase

PATH = "/settings/data"


async def _not_proved(console: Console) -> None:
    async with await psycopg.AsyncConnection.connect(console.house.database.admin_url, autocommit=True) as admin:
        await admin.execute("UPDATE access.session SET proved_at = ruxa.now() - interval '16 minutes'")


async def test_grave_acts_ask_for_the_password_again(console: Console) -> None:
    browser, person, _ = await console.owner()
    await _not_proved(console)
    page = await browser.get(PATH)
    assert "Ask for a copy" not in page.text
    assert "Erase my account" not in page.text
    for do in ("copy", "end", "close"):
        await browser.post(PATH, do, status=403)
    assert (await browser.api("POST", "/api/v1/privacy/erase", {}, status=403)).json()["error"][
        "type"
    ] == "proof_needed"
    wrong = await browser.post(PATH, "prove", status=422, password="not my password at all")
    assert "That is not your password." in wrong.text
    await browser.get(PATH)
    await browser.post(PATH, "prove", password=person.password.open("provide"))
    assert "Ask for a copy" in (await browser.get(PATH)).text


async def test_a_copy_is_fetched_once_by_its_own_person(console: Console) -> None:
    browser, person, _ = await console.owner()
    other, _, _ = await console.owner()
    await browser.get(PATH)
    await browser.post(PATH, "copy")
    asked = (await browser.api("GET", "/api/v1/privacy/export")).json()["exports"][0]["id"]
    await other.api("GET", f"/api/v1/privacy/export/{asked}", status=404)
    answer = await browser.api("GET", f"/api/v1/privacy/export/{asked}")
    assert answer.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert person.mark in archive.read("data/access.member.json").decode()
    await browser.api("GET", f"/api/v1/privacy/export/{asked}", status=404)
    assert "fetched" in (await browser.get(PATH)).text


async def test_an_account_is_erased_after_a_day_or_at_once(console: Console) -> None:
    house = console.house
    browser, person, _ = await console.owner()
    await browser.get(PATH)
    await browser.post(PATH, "end")
    assert "Keep it after all" in (await browser.get(PATH)).text
    assert await erase.due(house.worker, house.eraser, house.vault) == 0
    await browser.post(PATH, "back")
    asked = (await browser.api("POST", "/api/v1/privacy/erase", {}, status=202)).json()
    assert asked["state"] == "waiting"
    await browser.api("DELETE", "/api/v1/privacy/erase", status=204)
    await browser.api("DELETE", "/api/v1/privacy/erase", status=404)
    await browser.get(PATH)
    await browser.post(PATH, "end", now="true")
    async with house.console.work() as work:
        member_id = await work.value("SELECT subject FROM privacy.erasure WHERE kind = 'member' AND state = 'waiting'")
        waits = await erase.waiting(work, member_id)
    assert waits is not None
    assert await erase.due(house.worker, house.eraser, house.vault) >= 1
    await browser.api("GET", "/api/v1/privacy/export", status=401)
    shown = await console.browser().api("GET", f"/api/v1/privacy/erase/{ids.text('ers', waits.id)}")
    assert shown.json()["state"] == "done"
    assert shown.json()["certificate"]["keys"]
    assert person.mark not in shown.text
    fresh = console.browser()
    refused = await fresh.post(
        "/sign-in", "sign_in", status=401, email=person.email.open("provide"), password=person.password.open("provide")
    )
    assert refused.status_code == 401


async def test_an_owner_closes_the_organisation_and_opens_it_again(console: Console) -> None:
    browser, _, organisation_id = await console.owner()
    await browser.get(PATH)
    await browser.post(PATH, "close")
    async with console.house.console.work() as work:
        assert (await organisations.find(work, console.house.vault, organisation_id)).suspended_at is not None
        waits = await erase.waiting(work, organisation_id)
        assert waits is not None
        assert (waits.due_at - waits.asked_at).days == 30
    assert "Open it again" in (await browser.get(PATH)).text
    await browser.post(PATH, "reopen")
    async with console.house.console.work() as work:
        assert (await organisations.find(work, console.house.vault, organisation_id)).suspended_at is None
        assert await erase.waiting(work, organisation_id) is None


async def test_a_key_stands_for_no_person(console: Console) -> None:
    browser, _, _ = await console.owner()
    await browser.api("GET", "/api/v1/privacy/export")
    made = await browser.api("POST", "/api/v1/keys", {"name": "k", "scopes": ["admin:*"]}, status=201)
    stranger = console.browser()
    await stranger.api("GET", "/api/v1/privacy/export", key=made.json()["key"], status=401)
    await stranger.api("POST", "/api/v1/privacy/erase", {}, key=made.json()["key"], status=401)
