"""The console as an application: who may open what, forged and foreign forms, errors for people and for programs."""

from __future__ import annotations

from typing import Any

import pytest

from fixtures_access import Person
from ruxa.access import members
from ruxa.access.roles import OF_ROLE, ROLES
from ruxa.console.pages import PAGES
from ruxa.kernel import ids
from ruxa.kernel.sealed import Sealed

PUBLIC = ("/", "/sign-up", "/sign-in", "/reset", "/terms", "/refunds", "/privacy", "/contact", "/outbox", "/docs/api")
MEMBER = {
    "/home": None,
    "/home?period=week": None,
    "/home?period=month": None,
    "/settings": None,
    "/playground": "playground:use",
    "/activity": "usage:read",
    "/keys": "key:read",
    "/billing": "ledger:read",
    "/team": "member:read",
}
STAFF = ("/staff/organisations", "/staff/ledger", "/staff/system", "/staff/backups")


async def test_public_pages_render(console: Any) -> None:
    browser = console.browser()
    for path in PUBLIC:
        assert "<h1" in (await browser.get(path)).text, path


async def test_a_visitor_is_sent_to_sign_in(console: Any) -> None:
    browser = console.browser()
    for path in (*MEMBER, *STAFF):
        answer = await browser.get(path, 303)
        assert answer.headers["location"].startswith("/sign-in?next=/"), path


async def test_each_role_opens_what_its_permissions_say(console: Any) -> None:
    owner, _, organisation_id = await console.owner()
    for role in ROLES:
        person = Person()
        await console.house.join(person)
        async with console.house.operator.work("operator") as work:
            member_id = await members.find_by_email(work, console.house.vault, person.email)
            await work.run(
                "INSERT INTO access.membership (organisation_id, member_id, role, accepted_at)"
                " VALUES (%s, %s, %s, ruxa.now())",
                organisation_id,
                member_id,
                role,
            )
        browser = await console.signed_in(person)
        await browser.client.post(
            "/preferences",
            data={"organisation": ids.text("org", organisation_id), "_csrf": browser.csrf},
            headers={"origin": "http://127.0.0.1:8000", "host": "127.0.0.1:8000"},
            follow_redirects=False,
        )
        for path, permission in MEMBER.items():
            allowed = permission is None or permission in OF_ROLE[role]
            await browser.get(path, 200 if allowed else 403)
        for path in STAFF:
            await browser.get(path, 404)
    await owner.get("/team")


async def test_staff_pages_render(console: Any) -> None:
    browser, _ = await console.operator()
    for path in (*STAFF, "/outbox", *MEMBER):
        assert "<h1" in (await browser.get(path)).text, path


async def test_another_organisation_s_things_do_not_exist(console: Any) -> None:
    mine, _, _ = await console.owner()
    theirs, _, organisation_id = await console.owner()
    await theirs.post("/keys", "create", 200, name="theirs", scopes="chat")
    key = (await theirs.api("GET", "/api/v1/keys")).json()["keys"][0]["id"]
    await mine.get(f"/keys/{key}", 404)
    await mine.api("GET", f"/api/v1/keys/{key}", status=404)
    await mine.api("DELETE", f"/api/v1/keys/{key}", status=404)
    await mine.post(f"/keys/{key}", "revoke", 404)
    await mine.get(f"/staff/organisations/{ids.text('org', organisation_id)}", 404)
    await mine.get(f"/activity/{ids.text('req', ids.fresh())}", 404)


async def test_a_form_needs_its_token_and_its_origin(console: Any) -> None:
    browser, _, _ = await console.owner()
    await browser.post("/settings", "profile", 403, _csrf="wrong", name="Evelyn Mallory")
    await browser.post("/settings", "profile", 403, _csrf=None, name="Evelyn Mallory")
    forged = {"_do": "profile", "_csrf": browser.csrf, "name": "Evelyn Mallory"}
    for foreign in ({"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}, {}):
        answer = await browser.client.post("/settings", data=forged, headers={"host": "127.0.0.1:8000", **foreign})
        assert answer.status_code == 403, foreign
    assert "Evelyn" not in (await browser.get("/settings")).text
    answer = await browser.client.post(
        "/sign-out", headers={"host": "127.0.0.1:8000", "origin": "http://evil"}, data={}
    )
    assert answer.status_code == 403


async def test_a_form_is_bounded_and_well_formed(console: Any) -> None:
    browser = console.browser()
    head = {"host": "127.0.0.1:8000", "origin": "http://127.0.0.1:8000"}
    for body, kind, status in (
        (b"x" * 70_000, "application/x-www-form-urlencoded", 413),
        (b"{}", "application/json", 400),
        (b"_do=%ff%fe", "application/x-www-form-urlencoded", 400),
        (b"_do=sign_in&email=%00", "application/x-www-form-urlencoded", 400),
        (b"_do=nothing", "application/x-www-form-urlencoded", 400),
        (b"&".join(b"a=b" for _ in range(300)), "application/x-www-form-urlencoded", 400),
        (b"_do=sign_in", "application/x-www-form-urlencoded", 422),
    ):
        answer = await browser.client.post("/sign-in", content=body, headers={**head, "content-type": kind})
        assert answer.status_code == status, body[:40]


async def test_errors_are_a_page_or_json(console: Any) -> None:
    browser = console.browser()
    page = await browser.get("/nowhere", 404, **{"accept-language": "zh"})
    assert "这里没有内容" in page.text
    assert page.headers["x-request-id"] in page.text
    answer = await browser.get("/api/v1/nowhere", 404)
    body = answer.json()
    assert body.keys() == {"code", "message", "data", "error", "requestId"}
    assert (body["code"], body["data"]) == (404, None)
    assert body["error"].keys() == {"type", "param", "docUrl"}
    assert body["requestId"] == answer.headers["x-request-id"]
    owner, _, _ = await console.owner()
    said = await owner.get("/keys/key_" + "0" * 32, 404, cookie=f"ruxa={owner.client.cookies['ruxa']}; language=zh")
    assert "这里没有此内容" in said.text
    assert "No such" not in said.text
    wrong = await browser.client.request("DELETE", "/terms", headers={"host": "127.0.0.1:8000"})
    assert wrong.status_code == 404


async def test_a_broken_page_tells_nothing(console: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "canary-5e1f"

    async def broken(*_: object) -> None:
        raise RuntimeError(secret)

    page = next(page for page in PAGES if page.name == "terms")
    monkeypatch.setattr("ruxa.console.site.Site.inside", broken)
    answer = await console.browser().get(str(page.path[0]), 500)
    assert secret not in answer.text
    assert answer.headers["x-request-id"] in answer.text
    assert console.house.signals.told[-1][0] == "broken"
    assert secret not in str(console.house.signals.told)


async def test_the_database_away_is_said_and_comes_back(console: Any) -> None:
    browser, _, _ = await console.owner()
    pool = console.house.console
    url, pool.url = pool.url, "postgresql://127.0.0.1:1/nothing?connect_timeout=1"
    idle, pool._idle = pool._idle, []
    answer = await browser.get("/home", 503)
    assert "database is away" in answer.text
    assert (await browser.api("GET", "/api/v1/keys", status=503)).json()["error"]["type"] == "database_away"
    pool.url, pool._idle = url, idle
    await browser.get("/home")


async def test_preferences_are_kept_and_a_redirect_stays_here(console: Any) -> None:
    browser = console.browser()
    head = {"host": "127.0.0.1:8000", "origin": "http://127.0.0.1:8000"}
    answer = await browser.client.post(
        "/preferences", data={"theme": "dark", "language": "zh", "back": "//evil"}, headers=head, follow_redirects=False
    )
    assert answer.headers["location"] == "/"
    page = (await browser.get("/sign-in")).text
    assert 'data-theme="dark"' in page
    assert 'lang="zh-Hans"' in page
    await browser.client.post("/preferences", data={"theme": "<x>"}, headers=head, follow_redirects=False)
    assert 'data-theme="dark"' in (await browser.get("/sign-in")).text


async def test_a_member_of_two_organisations_chooses(console: Any) -> None:
    browser, person, _ = await console.owner()
    _, _, other = await console.owner()
    async with console.house.operator.work("operator") as work:
        member_id = await members.find_by_email(work, console.house.vault, Sealed(person.email.open("provide")))
        await work.run(
            "INSERT INTO access.membership (organisation_id, member_id, role, accepted_at)"
            " VALUES (%s, %s, 'viewer', ruxa.now())",
            other,
            member_id,
        )
    page = await browser.get("/home")
    assert ids.text("org", other) in page.text
    await browser.client.post(
        "/preferences",
        data={"organisation": ids.text("org", other), "_csrf": browser.csrf, "back": "/home"},
        headers={"host": "127.0.0.1:8000", "origin": "http://127.0.0.1:8000"},
        follow_redirects=False,
    )
    assert (await browser.api("GET", "/api/v1/organisation")).json()["id"] == ids.text("org", other)
    await browser.get("/billing", 403)
