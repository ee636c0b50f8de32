"""People come in and go: sign up, verify, sign in, reset, invite, leave; no address or name outside its seal."""

from __future__ import annotations

import re
import sys
from typing import Any

import pytest

from fixtures_access import Person
from ruxa.access import terms
from ruxa.kernel import ids
from ruxa.kernel.sealed import Sealed


def plain(sealed: Sealed[str]) -> str:
    return sealed.open("provide")


def fields(person: Person, **more: object) -> dict[str, object]:
    return {
        "email": plain(person.email),
        "name": plain(person.name),
        "password": plain(person.password),
        "version": terms.CURRENT.isoformat(),
        "adult": "true",
        "terms": "true",
        **more,
    }


async def link(browser: Any, text: str) -> str:
    """The newest link of the demo's outbox page that contains ``text``."""
    found = re.findall(r'href="(/(?:verify|reset|invite)/[\w-]{43})"', (await browser.get("/outbox")).text)
    return next(one for one in found if text in one)


async def test_a_newcomer_signs_up_and_is_home(console: Any) -> None:
    browser, person = console.browser(), Person()
    answer = await browser.post("/sign-up", "sign_up", **fields(person))
    assert answer.headers["location"] == "/sign-up?sent=1"
    assert "ruxa_ticket" in answer.headers["set-cookie"]
    path = await link(browser, "/verify/")
    await browser.get(path)
    await browser.get(path)
    answer = await browser.post(path, "verify")
    assert answer.headers["location"] == "/home?done=welcome"
    assert "HttpOnly" in answer.headers["set-cookie"]
    page = await browser.get("/home")
    assert plain(person.name) in page.text
    assert "First steps" in page.text
    again = await browser.post(path, "verify", 404)
    assert "used already" in again.text


async def test_another_browser_needs_the_password_too(console: Any) -> None:
    person = Person()
    await console.browser().post("/sign-up", "sign_up", **fields(person))
    other = console.browser()
    path = await link(other, "/verify/")
    assert 'name="password"' in (await other.get(path)).text
    await other.post(path, "verify", 401)
    await other.post(path, "verify", 303, password=plain(person.password))


@pytest.mark.parametrize(
    ("change", "status", "said"),
    [
        ({"terms": None}, 422, "Accept the terms"),
        ({"password": "short"}, 400, "at least 12"),
        ({"password": "password1234"}, 400, "Attackers try"),
        ({"email": "nobody"}, 400, "not an e-mail"),
        ({"name": ""}, 422, "This is needed"),
        ({"version": "2020-01-01"}, 400, "Accept the terms"),
    ],
)
async def test_a_bad_sign_up_says_why(console: Any, change: dict[str, Any], status: int, said: str) -> None:
    browser, person = console.browser(), Person()
    answer = await browser.post("/sign-up", "sign_up", status, **fields(person, **change))
    assert said in answer.text
    if change.get("password") is None:
        assert plain(person.password) not in answer.text


async def test_under_age_stores_nothing_but_one_word(console: Any) -> None:
    browser, person = console.browser(), Person()
    answer = await browser.post("/sign-up", "sign_up", 403, **fields(person, adult=None))
    assert "18 and over" in answer.text
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("age=under")
    assert "max-age" not in cookie.lower()
    assert "18 and over" in (await browser.get("/sign-up")).text
    await browser.post("/sign-up", "sign_up", 403, **fields(person))
    assert plain(person.email) not in (await browser.get("/outbox")).text


async def test_sign_in_says_one_thing_and_counts(console: Any) -> None:
    _, person, _ = await console.owner()
    browser = console.browser()
    wrong = await browser.post("/sign-in", "sign_in", 401, email=plain(person.email), password="wrong-horse-battery")
    nobody = await browser.post("/sign-in", "sign_in", 401, email="nobody@example.org", password="wrong-horse-battery")
    text = re.compile(r'role="alert".*?</div>', re.DOTALL)
    assert text.search(wrong.text)[0] == text.search(nobody.text)[0]  # type: ignore[index]
    assert "wrong-horse" not in wrong.text
    statuses = set()
    for _ in range(8):
        answer = await browser.client.post(
            "/sign-in",
            data={"_do": "sign_in", "email": plain(person.email), "password": "wrong-horse-battery"},
            headers={"host": "127.0.0.1:8000", "origin": "http://127.0.0.1:8000"},
        )
        statuses.add(answer.status_code)
    assert statuses == {401, 429}


async def test_sign_in_goes_on_where_it_began(console: Any) -> None:
    _, person, _ = await console.owner()
    browser = console.browser()
    form = {"email": plain(person.email), "password": plain(person.password)}
    assert 'value="/billing?x=1"' in (await browser.get("/sign-in?next=/billing?x=1")).text
    answer = await browser.post("/sign-in", "sign_in", next="//evil.example", **form)
    assert answer.headers["location"] == "/home"
    assert (await browser.get("/sign-in", 303)).headers["location"] == "/home"


async def test_signing_out_ends_the_session_and_the_playground_key(console: Any) -> None:
    browser, _, _ = await console.owner()
    key = (await browser.api("POST", "/api/v1/playground/keys", status=201)).json()["key"]
    await console.browser().api("GET", "/api/v1/receipts/req_" + "0" * 32, key=key)
    cookie = browser.client.cookies["ruxa"]
    answer = await browser.post("/sign-out", "x")
    assert 'ruxa=""' in answer.headers["set-cookie"] or "ruxa=;" in answer.headers["set-cookie"]
    await console.browser().api("GET", "/api/v1/receipts/req_" + "0" * 32, key=key, status=401)
    stale = console.browser()
    stale.client.cookies.set("ruxa", cookie)
    await stale.get("/home", 303)


async def test_reset_by_mail_ends_every_session(console: Any) -> None:
    browser, person, _ = await console.owner()
    visitor = console.browser()
    for address in (plain(person.email), "nobody@example.org"):
        answer = await visitor.post("/reset", "ask", email=address)
        assert answer.headers["location"] == "/reset?sent=1"
    path = await link(visitor, "/reset/")
    assert 'name="password"' in (await visitor.get(path)).text
    await visitor.post(path, "choose", 400, password="short")
    await visitor.post(path, "choose", password="fresh-copper-kettle-77")
    await visitor.get("/home")
    await browser.get("/home", 303)


async def test_an_invitation_is_accepted(console: Any) -> None:
    owner, _, organisation_id = await console.owner()
    guest = Person()
    await owner.post("/team", "invite", email=plain(guest.email), role="viewer")
    assert "invited" in (await owner.get("/team")).text
    browser = console.browser()
    path = await link(browser, "/invite/")
    assert 'name="adult"' in (await browser.get(path)).text
    form = fields(guest)
    form.pop("email")
    await browser.post(path, "accept", 403, **{**form, "adult": None})
    await browser.post(path, "accept", **form)
    home = await browser.get("/home")
    assert plain(guest.name) in home.text
    assert len((await owner.api("GET", "/api/v1/members")).json()["members"]) == 2
    await browser.get("/playground", 403)
    await browser.get(path, 404)
    del organisation_id


async def test_profile_password_and_sessions(console: Any) -> None:
    browser, person, _ = await console.owner()
    second = await console.signed_in(person)
    await browser.post("/settings", "profile", name="Åsa Öberg", language="zh")
    assert "Åsa Öberg" in (await browser.get("/settings")).text
    assert "设置" in (await second.get("/settings")).text
    await browser.post("/settings", "password", 401, password_now="wrong", password="fresh-copper-kettle-77")
    await browser.post("/settings", "password", password_now=plain(person.password), password="fresh-copper-kettle-77")
    await browser.get("/settings")
    await second.get("/home", 303)
    third = console.browser()
    await third.post("/sign-in", "sign_in", email=plain(person.email), password="fresh-copper-kettle-77")
    page = await browser.get("/settings")
    session = re.search(r'name="session" value="(ses_\w+)"', page.text)
    assert session
    await browser.post("/settings", "end", session=session[1])
    await third.get("/home", 303)
    await browser.post("/settings", "everywhere")
    await browser.get("/home", 303)


async def test_roles_change_and_an_owner_stays(console: Any) -> None:
    owner, person, _ = await console.owner()
    page = (await owner.api("GET", "/api/v1/members")).json()["members"]
    assert [one["email"] for one in page] == [plain(person.email).lower()]
    answer = await owner.post("/team", "role", 409, member=page[0]["id"], role="viewer")
    assert "at least one owner" in answer.text
    await owner.post("/team", "remove", 409, member=page[0]["id"])


async def test_live_mode_shows_no_mail_and_no_person(console: Any) -> None:
    made = sys.modules[type(console).__module__].made
    browser, person = await console.operator()
    await browser.post("/team", "invite", email="secret.guest@example.org", role="viewer")
    live = made(console.house, mode="live")
    await live.browser().get("/outbox", 303)
    staff = await live.signed_in(person)
    page = await staff.get("/outbox")
    assert "invite" in page.text
    assert "secret.guest" not in page.text
    assert "/invite/" not in page.text
    owner, _, _ = await live.owner()
    await owner.get("/outbox", 404)


async def test_a_newcomer_gets_the_trial_credit_once(console: Any) -> None:
    trial = sys.modules[type(console).__module__].made(console.house, trial_micros=2_000_000)
    browser, person = trial.browser(), Person()
    await browser.post("/sign-up", "sign_up", **fields(person))
    await browser.post(await link(browser, "/verify/"), "verify")
    assert "2.00" in (await browser.get("/home")).text
    again = await trial.signed_in(person)
    assert "2.000000 exactly" in (await again.get("/billing")).text
    # The same box under another spelling is no second newcomer.
    name, _, host = person.email.open("security").partition("@")
    other, same = trial.browser(), Person()
    same.email = Sealed(f"{name.upper()}+two@{host}")
    await other.post("/sign-up", "sign_up", **fields(same))
    await other.post(await link(other, "/verify/"), "verify")
    assert "2.00" not in (await other.get("/home")).text


async def test_a_suspended_organisation_is_told(console: Any) -> None:
    owner, _, organisation_id = await console.owner()
    staff, _ = await console.operator()
    await staff.api(
        "POST",
        f"/api/v1/staff/organisations/{ids.text('org', organisation_id)}/suspend",
        {"why": "payment"},
        status=204,
    )
    assert "is suspended" in (await owner.get("/keys")).text


async def test_a_form_of_an_ended_session_leads_to_sign_in(console: Any) -> None:
    browser, _, _ = await console.owner()
    browser.client.cookies.clear()
    answer = await browser.post("/keys", "create", name="x", scopes="chat")
    assert answer.headers["location"] == "/sign-in?next=/keys"
