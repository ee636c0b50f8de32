"""Keys, activity, call, billing, home: what was used, what it cost, what is left - exact, and nobody else's."""

from __future__ import annotations

import re
from typing import Any

import pytest

from ruxa.kernel import ids
from ruxa.ledger import prices


async def charged(console: Any, books: Any, organisation_id: Any, amounts: list[int], **fields: Any) -> list[str]:
    """Calls of the organisation that cost these amounts (sandbox); their shown ids, oldest first."""
    ref = await console.ref(organisation_id)
    lease = await books.lend(ref, sum(amounts) + 10, "sandbox")
    rows = [books.row(ref, lease, amount, "sandbox", latency_ms=120, first_token_ms=40, **fields) for amount in amounts]
    flushed = await books.flush(rows)
    assert flushed.booked == len(rows), flushed
    await books.close(lease)
    return [ids.text("req", row.id) for row in rows]


async def test_a_key_is_shown_once(console: Any) -> None:
    browser, _, _ = await console.owner()
    assert "No keys yet" in (await browser.get("/keys")).text
    page = await browser.post("/keys", "create", 200, name="prod-web", scopes=["chat", "embeddings"], budget="12.50")
    secret = re.search(r'id="newkey">(rx_live_\w{39})<', page.text)
    assert secret
    assert page.headers["cache-control"] == "no-store"
    listed = await browser.get("/keys")
    assert "prod-web" in listed.text
    assert "12.50 USD a month" in listed.text
    assert secret[1] not in listed.text
    key = (await browser.api("GET", "/api/v1/keys")).json()["keys"][0]
    assert (key["budget_micros"], key["budget_period"]) == (12_500_000, "month")
    rotated = await browser.post(f"/keys/{key['id']}", "rotate", 200, overlap="1")
    fresh = re.search(r'id="newkey">(rx_live_\w{39})<', rotated.text)
    assert fresh
    assert fresh[1] != secret[1]
    await browser.post(f"/keys/{key['id']}", "revoke")
    assert "Revoked" in (await browser.get(f"/keys/{key['id']}")).text
    await browser.post(f"/keys/{key['id']}", "rotate", 404)


async def test_a_bad_key_says_why(console: Any) -> None:
    browser, _, _ = await console.owner()
    assert "This is needed" in (await browser.post("/keys", "create", 422, scopes="chat")).text
    assert "This is needed" in (await browser.post("/keys", "create", 422, name="x")).text
    answer = await browser.post("/keys", "create", 422, name="x", scopes="chat", budget="much")
    assert "12.50" in answer.text
    assert "such as" in answer.text
    await browser.post("/keys", "create", 422, name="x", scopes="chat", rpm="many")
    await browser.post("/keys", "create", 400, name="x", scopes="chat", rpm="0")
    assert "No keys yet" in (await browser.get("/keys")).text


async def test_a_budget_under_a_cent_has_its_digits(console: Any) -> None:
    browser, _, _ = await console.owner()
    await browser.get("/keys")
    await browser.post("/keys", "create", 200, name="tiny", scopes="chat", budget="0.001", period="day")
    assert "0.001 USD a day" in (await browser.get("/keys")).text


async def test_sandbox_top_up_is_a_ledger_line(console: Any) -> None:
    browser, _, _ = await console.owner()
    await browser.get("/billing")
    await browser.post("/billing", "top_up", usd="10")
    page = await browser.get("/billing")
    assert "10.000000 exactly" in page.text
    assert "Sandbox top-up" in page.text
    await browser.post("/billing", "top_up", 422, usd="51")
    await browser.post("/billing", "top_up", 422, usd="x")


async def test_a_call_shows_its_arithmetic_and_its_line(console: Any, books: Any) -> None:
    browser, _, organisation_id = await console.owner()
    await browser.get("/billing")
    await browser.post("/billing", "top_up", usd="1")
    (shown,) = await charged(console, books, organisation_id, [17])
    page = (await browser.get(f"/activity/{shown}")).text
    assert "0.000017" in page
    assert "posted" in page
    assert "lot:" in page
    assert "not stored" in page
    assert "not part of this release" not in page
    activity = (await browser.get("/activity")).text
    assert shown in activity
    assert "sandbox/test" in activity
    billing = (await browser.get("/billing")).text
    assert "Call, sandbox/test" in billing
    assert "0.999983 exactly" in billing
    assert (await browser.get(f"/activity?id={shown}", 303)).headers["location"] == f"/activity/{shown}"
    assert "No call fits" in (await browser.get(f"/activity?id={ids.text('req', ids.fresh())}")).text
    assert "No call fits" in (await browser.get("/activity?id=nonsense")).text
    assert shown in (await browser.get("/activity?since=1h")).text
    later = (await browser.get("/activity?since=%2B1h")).text
    assert shown not in later
    assert "+1h" in later, "what was asked for stays chosen"
    assert (await browser.get("/activity?since=nonsense", 400)).status_code == 400


async def test_a_running_lease_is_settling(console: Any, books: Any) -> None:
    browser, _, organisation_id = await console.owner()
    await browser.get("/billing")
    await browser.post("/billing", "top_up", usd="1")
    ref = await console.ref(organisation_id)
    lease = await books.lend(ref, 1000, "sandbox")
    row = books.row(ref, lease, 17, "sandbox")
    await books.flush([row])
    shown = ids.text("req", row.id)
    assert "settling" in (await browser.get(f"/activity/{shown}")).text
    receipt = (await browser.api("GET", f"/api/v1/receipts/{shown}")).json()
    assert (receipt["status"], receipt["cost_micros"]) == ("settling", 17)
    home = (await browser.get("/home")).text
    assert " USD held for running calls" in home
    assert "0.00 USD held" not in home
    await books.close(lease)
    assert (await browser.api("GET", f"/api/v1/receipts/{shown}")).json()["status"] == "posted"
    await books.prove()


async def test_pages_of_calls_go_both_ways(console: Any, books: Any) -> None:
    browser, _, organisation_id = await console.owner()
    await browser.get("/billing")
    await browser.post("/billing", "top_up", usd="1")
    shown = sorted(await charged(console, books, organisation_id, [1] * 120), reverse=True)
    seen: list[str] = []
    path = "/activity"
    for _ in range(3):
        page = (await browser.get(path)).text
        seen += re.findall(r'href="/activity/(req_\w{32})"', page)
        older = re.search(r'href="(\?[^"]*before=req_\w+)"', page)
        if older:
            path = "/activity" + older[1].replace("&amp;", "&")
    assert seen == shown
    newer = re.search(r'href="(\?[^"]*after=req_\w+)"', page)
    assert newer
    back = (await browser.get("/activity" + newer[1].replace("&amp;", "&"))).text
    assert re.findall(r'href="/activity/(req_\w{32})"', back) == shown[50:100]
    lines = (await browser.get("/billing")).text
    assert lines.count("Call, sandbox/test") == 50
    await browser.get("/activity?before=nonsense", 404)


async def test_filters_and_exports(console: Any, books: Any) -> None:
    browser, _, organisation_id = await console.owner()
    await browser.get("/billing")
    await browser.post("/billing", "top_up", usd="1")
    await charged(console, books, organisation_id, [3, 4])
    ref = await console.ref(organisation_id)
    failed = books.row(ref, None, 0, "sandbox", status=503, error_code="upstream_busy", model="sandbox/other")
    await books.flush([failed])
    only = (await browser.get("/activity?status=failed")).text
    assert ids.text("req", failed.id) in only
    assert only.count('href="/activity/req_') == 1
    assert (await browser.get("/activity?model=sandbox/test")).text.count('href="/activity/req_') == 2
    csv = await browser.get("/activity?as=csv")
    assert csv.headers["content-disposition"] == 'attachment; filename="ruxa-calls.csv"'
    assert len(csv.text.splitlines()) == 4
    assert len((await browser.get("/activity?as=json&status=failed")).json()) == 1
    lines = (await browser.get("/billing?as=json")).json()
    assert sum(line["amount_micros"] for line in lines) == 1_000_000 - 7
    home = (await browser.get("/home")).text
    assert "upstream_busy" in home
    assert "33.33" in home


async def test_home_counts_the_period(console: Any, books: Any) -> None:
    browser, _, organisation_id = await console.owner()
    await browser.get("/billing")
    await browser.post("/billing", "top_up", usd="5")
    await charged(console, books, organisation_id, [1_000_000, 500_000])
    page = (await browser.get("/home")).text
    assert "1.5000" in page
    assert re.search(r"1(19|2[01]) ms", page)
    assert "data-chart" in page
    assert "3.50" in page


async def test_staff_credit_suspend_and_prove(console: Any, books: Any) -> None:
    browser, _ = await console.operator()
    owner, person, organisation_id = await console.owner()
    shown = ids.text("org", organisation_id)
    found = await browser.get("/staff/organisations?find=" + person.email.open("provide"))
    assert shown in found.text
    assert "Nothing found" in (await browser.get("/staff/organisations?find=org_0")).text
    assert "Nothing found" in (await browser.get("/staff/organisations?find=nobody@example.org")).text
    path = f"/staff/organisations/{shown}"
    await browser.get(path)
    await browser.post(path, "credit", usd="2.5", reason="Goodwill for the outage", scope="live")
    await browser.post(path, "credit", 422, usd="x", reason="y", scope="live")
    assert "2.50" in (await browser.get(path)).text
    assert "Goodwill for the outage" not in (await owner.get("/billing")).text
    await owner.post("/keys", "create", 200, name="k", scopes=["chat", "usage:read"])
    await browser.post(path, "suspend", why="security")
    assert "Suspended" in (await browser.get(path)).text
    await browser.post(path, "resume")
    assert "Active" in (await browser.get(path)).text
    await browser.get("/staff/ledger")
    proofs = await browser.post("/staff/ledger", "run", 200)
    assert re.search(r"All \d+ proofs are zero", proofs.text)
    async with books.admin() as admin:
        await admin.execute("ALTER TABLE ledger.account DISABLE TRIGGER ALL")
        await admin.execute("UPDATE ledger.account SET cr_posted = cr_posted + 1 WHERE code LIKE 'lot:%'")
    wrong = await browser.post("/staff/ledger", "run", 200)
    assert "A proof is not zero" in wrong.text


async def test_a_price_says_what_it_counts(console: Any) -> None:
    """A transcription costs by the second and speech by the character; neither looks free or like tokens."""
    browser, _, _ = await console.owner()
    async with console.house.operator.work() as work:
        await prices.seed(work, ["sandbox"])
    rows = {
        name: re.sub(r"<[^>]+>", " ", row).split()
        for name, row in re.findall(
            r'<th scope="row" class="a mono lead">([^<]+)</th>(.+?)</tr>', (await browser.get("/")).text, re.DOTALL
        )
    }
    assert rows["sandbox/transcribe"] == ["Seconds", "100.00", "–", "–"]
    assert rows["sandbox/speech"] == ["Characters", "1.00", "–", "–"]
    assert rows["sandbox/chat"][0] == "Tokens"
    assert "sandbox/speech" not in (await browser.get("/playground")).text


@pytest.mark.parametrize(
    ("model", "field", "name"),
    [("sandbox/transcribe", "audio_input_tokens", "seconds"), ("sandbox/speech", "input_tokens", "characters")],
)
async def test_a_call_says_what_was_counted(console: Any, books: Any, model: str, field: str, name: str) -> None:
    browser, _, organisation_id = await console.owner()
    await browser.get("/billing")
    await browser.post("/billing", "top_up", usd="1")
    async with console.house.operator.work() as work:
        await prices.seed(work, ["sandbox"])
        price = (await prices.current(work))[model]
    given = {"input_tokens": 0, field: 12}
    (shown,) = await charged(console, books, organisation_id, [1_200], model=model, price_id=price.id, **given)
    page = re.sub(r"<[^>]+>", "|", (await browser.get(f"/activity/{shown}")).text)
    assert {"seconds": "Audio in, seconds", "characters": "Input, characters"}[name] in page
    assert f"|{name.capitalize()}|" in page
