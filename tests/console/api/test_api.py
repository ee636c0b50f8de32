"""``/api/v1``: the description is valid and every route of it answers; who may call; nothing secret comes back."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from ruxa.access import keys
from ruxa.access.roles import CALL_SCOPES
from ruxa.kernel import ids
from ruxa.kernel.sealed import Sealed

METHODS = ("get", "post", "put", "patch", "delete")


async def key_of(console: Any, organisation_id: Any, *scopes: str) -> str:
    """A key with these scopes."""
    async with console.house.console.work() as work:
        made = await keys.create(
            work,
            console.house.vault,
            organisation_id,
            keys.KeyWish(name=Sealed("k"), scopes=scopes),  # type: ignore[arg-type]
        )
        return made.secret.open("provide")


async def described(console: Any) -> dict[str, Any]:
    return (await console.browser().get("/api/v1/openapi.json")).json()


async def test_the_description_is_openapi_31(console: Any) -> None:
    found = await described(console)
    assert found["openapi"].startswith("3.1")
    assert found["info"]["title"]
    assert found["servers"]
    operations = [(path, method) for path, item in found["paths"].items() for method in METHODS if method in item]
    names = [found["paths"][path][method]["operationId"] for path, method in operations]
    assert len(operations) >= 20
    assert len(set(names)) == len(names)
    assert all(path.startswith("/api/v1/") for path, _ in operations)
    references = set(re.findall(r'"\$ref": ?"#/components/schemas/([^"]+)"', json.dumps(found)))
    assert references <= found["components"]["schemas"].keys()
    for path, method in operations:
        item = found["paths"][path][method]
        assert item["summary"]
        assert item["tags"]
        named = set(re.findall(r"\{(\w+)\}", path))
        assert named == {one["name"] for one in item.get("parameters", ()) if one["in"] == "path"}, path
        assert "default" in item["responses"]
        assert any(code.startswith("2") for code in item["responses"])


async def test_every_described_route_answers_and_asks_who_calls(console: Any) -> None:
    found = await described(console)
    browser = console.browser()
    for path, item in found["paths"].items():
        for method in METHODS:
            if method not in item:
                continue
            address = re.sub(r"\{\w+\}", "key_" + "0" * 32, path)
            body = {} if "requestBody" in item[method] else None
            answer = await browser.client.request(
                method.upper(),
                address,
                json=body,
                headers={"host": "127.0.0.1:8000", "authorization": "Bearer rx_live_x"},
            )
            # A body that does not fit is refused before anybody is asked; everything else asks first.
            assert answer.status_code in ((400, 401) if body is not None else (401,)), (method, path, answer.text)
            assert answer.json()["requestId"] == answer.headers["x-request-id"]


async def test_scopes_decide(console: Any) -> None:
    _, _, organisation_id = await console.owner()
    browser = console.browser()
    plain = await key_of(console, organisation_id, *CALL_SCOPES)
    reader = await key_of(console, organisation_id, "usage:read")
    payer = await key_of(console, organisation_id, "billing:read")
    admin = await key_of(console, organisation_id, "admin:*")
    table = {
        "/api/v1/usage": (403, 200, 403, 200),
        "/api/v1/balance": (403, 403, 200, 200),
        "/api/v1/ledger/lines": (403, 403, 200, 200),
        "/api/v1/keys": (403, 403, 403, 200),
        "/api/v1/organisation": (403, 403, 403, 200),
        "/api/v1/members": (403, 403, 403, 200),
        "/api/v1/staff/organisations": (404, 404, 404, 404),
        "/api/v1/staff/ledger/check": (404, 404, 404, 404),
    }
    for path, statuses in table.items():
        for key, status in zip((plain, reader, payer, admin), statuses, strict=True):
            await browser.api("GET", path, key=key, status=status)


async def test_a_key_makes_no_stronger_key(console: Any) -> None:
    _, _, organisation_id = await console.owner()
    browser = console.browser()
    admin = await key_of(console, organisation_id, "admin:*")
    made = await browser.api("POST", "/api/v1/keys", {"name": "ci"}, key=admin, status=201)
    assert keys.well_formed(made.json()["key"].encode())
    answer = await browser.api("POST", "/api/v1/keys", {"name": "x", "scopes": ["billing:read"]}, key=admin, status=403)
    assert answer.json()["error"]["type"] == "scope_missing"
    await browser.api("POST", "/api/v1/topups", {"micros": 1}, key=admin, status=403)
    await browser.api("POST", "/api/v1/playground/keys", key=admin, status=403)


@pytest.mark.parametrize(
    "key", ["", "x", "rx_live_" + "a" * 39, "rx_test_short", "é" * 20, "k" * 600, "sk-other-platform-key-1234567890"]
)
async def test_a_wrong_key_is_401(console: Any, key: str) -> None:
    browser = console.browser()
    answer = await browser.client.get(
        "/api/v1/usage", headers={"host": "127.0.0.1:8000", "authorization": f"Bearer {key}".encode()}
    )
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"]
    assert key not in answer.text or key in ("", "x")


async def test_a_session_needs_its_token_to_write(console: Any) -> None:
    browser, _, _ = await console.owner()
    token, browser.csrf = browser.csrf, ""
    answer = await browser.api("POST", "/api/v1/keys", {"name": "x"}, status=403)
    assert answer.json()["error"]["type"] == "csrf"
    browser.csrf = "wrong"
    await browser.api("POST", "/api/v1/keys", {"name": "x"}, status=403)
    browser.csrf = token
    await browser.api("POST", "/api/v1/keys", {"name": "x"}, status=201)
    foreign = await browser.client.post(
        "/api/v1/keys",
        json={"name": "x"},
        headers={"host": "127.0.0.1:8000", "origin": "http://evil.example", "x-csrf-token": token},
    )
    assert foreign.status_code == 403


async def test_bad_queries_name_the_field_and_its_form(console: Any) -> None:
    browser, _, _ = await console.owner()
    for query, param, said in (
        ("since=canary-2f9a", "since", "since is no time; write 30d, 2027-01-31 or 2027-01-31T12:00:00Z."),
        ("limit=many", "limit", "limit does not fit: int is expected."),
        ("outcome=canary-2f9a", "outcome", "outcome has a value that is not taken here."),
    ):
        answer = (await browser.api("GET", f"/api/v1/usage?{query}", status=400)).json()
        assert (answer["error"]["param"], answer["message"]) == (param, said)
    for since in ("1h", "7d", "2026-01-31", "2026-01-31T12:00:00Z"):
        await browser.api("GET", f"/api/v1/usage?since={since}")


async def test_bad_bodies_name_the_field_and_repeat_nothing(console: Any) -> None:
    browser, _, _ = await console.owner()
    canary = "canary-2f9a"
    for body, param in (
        ({"name": 5}, "name"),
        ({"name": "x", "scopes": [canary]}, "scopes[0]"),
        ({"name": "x", "rmp": 5}, "rmp"),
        ({"name": "x", "rpm": canary}, "rpm"),
        ({"name": canary, "rpm": 0}, "requests_per_minute"),
        ({"name": "x", "budget_micros": 5}, "budget_period"),
        ({"name": "x", "expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({}, "name"),
        ([], "body"),
    ):
        answer = await browser.api("POST", "/api/v1/keys", body, status=400)
        assert canary not in answer.text
        assert answer.json()["error"]["param"] == param
        assert answer.json()["message"] != "The request is not well-formed."
    broken = await browser.client.post(
        "/api/v1/keys",
        content=b'{"name": ',
        headers={"host": "127.0.0.1:8000", "origin": "http://127.0.0.1:8000", "x-csrf-token": browser.csrf}
        | {"content-type": "application/json"},
    )
    assert broken.status_code == 400
    for query in ("?limit=0", "?limit=9999", "?limit=x", "?before=nonsense", "?outcome=maybe", "?since=yesterday"):
        await browser.api("GET", f"/api/v1/usage{query}", status=404 if "nonsense" in query else 400)


async def test_keys_by_the_api(console: Any) -> None:
    browser, _, _ = await console.owner()
    made = (await browser.api("POST", "/api/v1/keys", {"name": "one", "rpm": 60}, status=201)).json()
    shown = (await browser.api("GET", f"/api/v1/keys/{made['id']}")).json()
    assert (shown["name"], shown["rpm"], shown["revoked_at"]) == ("one", 60, None)
    assert made["key"] not in json.dumps(shown)
    fresh = (await browser.api("POST", f"/api/v1/keys/{made['id']}/rotate", {"overlap_hours": 0}, status=201)).json()
    assert fresh["key"] != made["key"]
    await browser.api("DELETE", f"/api/v1/keys/{made['id']}", status=204)
    await browser.api("DELETE", f"/api/v1/keys/{made['id']}", status=204)
    assert (await browser.api("GET", f"/api/v1/keys/{made['id']}")).json()["revoked_at"]


async def test_a_keys_guard_by_the_api_and_on_the_pages(console: Any) -> None:
    browser, _, _ = await console.owner()
    await browser.api("POST", "/api/v1/keys", {"name": "g", "guard": ["cover"]}, status=400)
    made = (await browser.api("POST", "/api/v1/keys", {"name": "g", "guard": ["mask", "email"]}, status=201)).json()
    path = f"/api/v1/keys/{made['id']}"
    assert (await browser.api("GET", path)).json()["guard"] == ["mask", "email"]
    changed = await browser.api("POST", f"{path}/guard", {"guard": ["refuse"]}, status=201)
    assert changed.json()["guard"][:2] == ["refuse", "email"]
    await browser.api("POST", f"{path}/guard", {"guard": ["refuse", "x"]}, status=400)
    page = f"/keys/{made['id']}"
    assert "payment cards" in (await browser.get(page)).text
    await browser.post(page, "guard", guard="mask", guard_kinds=["card", "media"])
    assert (await browser.api("GET", path)).json()["guard"] == ["mask", "card", "media"]
    await browser.post(page, "guard", 422, guard="mask")
    await browser.post(page, "guard", guard="")
    assert (await browser.api("GET", path)).json()["guard"] == []
    made_here = await browser.post(
        "/keys", "create", 200, name="h", scopes=["chat"], guard="refuse", guard_kinds=["ip"]
    )
    assert "rx_live_" in made_here.text
    guards = {key["name"]: key["guard"] for key in (await browser.api("GET", "/api/v1/keys")).json()["keys"]}
    assert guards["h"] == ["refuse", "ip"]


async def test_usage_balance_and_receipts(console: Any, books: Any) -> None:
    browser, _, organisation_id = await console.owner()
    lot = (await browser.api("POST", "/api/v1/topups", {"micros": 1_000_000}, status=201)).json()["lot_id"]
    assert lot.startswith("lot_")
    await browser.api("POST", "/api/v1/topups", {"micros": 60_000_000}, status=400)
    ref = await console.ref(organisation_id)
    secret = await key_of(console, organisation_id, "chat")
    reader = await key_of(console, organisation_id, "usage:read")
    own = (await browser.api("GET", "/api/v1/keys")).json()["keys"]
    mine = ids.read("key", own[1]["id"])
    lease = await books.lend(ref, 1000, "sandbox")
    now_ms = console.house.database.clock.unix_ms()
    first = books.row(ref, lease, 20, "sandbox", key_id=mine, id=ids.at(now_ms - 5), at_ms=now_ms - 5)
    second = books.row(ref, lease, 30, "sandbox", id=ids.at(now_ms), at_ms=now_ms)
    await books.flush([first, second])
    rows = (await browser.api("GET", "/api/v1/usage?limit=1")).json()
    assert [row["cost_micros"] for row in rows["rows"]] == [30]
    older = (await browser.api("GET", f"/api/v1/usage?before={rows['next']}")).json()
    assert [row["cost_micros"] for row in older["rows"]] == [20]
    assert older["rows"][0]["usage"]["input_tokens"] == 20
    shown = ids.text("req", first.id)
    assert (await browser.api("GET", f"/api/v1/usage/{shown}")).json()["lease_id"] == ids.text("lease", lease)
    stranger = console.browser()
    assert (await stranger.api("GET", f"/api/v1/receipts/{shown}", key=secret)).json()["cost_micros"] == 20
    other = ids.text("req", second.id)
    assert (await stranger.api("GET", f"/api/v1/receipts/{other}", key=secret)).json()["status"] == "pending"
    assert (await stranger.api("GET", f"/api/v1/receipts/{other}", key=reader)).json()["cost_micros"] == 30
    balance = (await browser.api("GET", "/api/v1/balance")).json()
    assert balance["balance_micros"] == 1_000_000 - 50
    assert balance["held_micros"] == 950
    lines = (await browser.api("GET", "/api/v1/ledger/lines")).json()["lines"]
    assert [line["amount_micros"] for line in lines] == [-30, -20, 1_000_000]
    assert {line["state"] for line in lines} == {"settling", "posted"}


async def test_organisation_and_members(console: Any) -> None:
    browser, _, _ = await console.owner()
    await browser.api("PATCH", "/api/v1/organisation", {"name": "Fernhill", "output_tokens_default": 99})
    shown = (await browser.api("GET", "/api/v1/organisation")).json()
    assert (shown["name"], shown["output_tokens_default"]) == ("Fernhill", 99)
    invited = (
        await browser.api("POST", "/api/v1/members", {"email": "g@example.org", "role": "viewer"}, status=201)
    ).json()
    assert invited.keys() == {"id"}
    await browser.api("PATCH", f"/api/v1/members/{invited['id']}", {"role": "developer"}, status=204)
    roles = {one["id"]: one["role"] for one in (await browser.api("GET", "/api/v1/members")).json()["members"]}
    assert roles[invited["id"]] == "developer"
    await browser.api("DELETE", f"/api/v1/members/{invited['id']}", status=204)
    assert len((await browser.api("GET", "/api/v1/members")).json()["members"]) == 1


async def test_staff_by_the_api(console: Any) -> None:
    owner, _, organisation_id = await console.owner()
    staff, _ = await console.operator()
    shown = ids.text("org", organisation_id)
    await owner.api("GET", "/api/v1/staff/organisations", status=404)
    path = f"/api/v1/staff/organisations/{shown}"
    await owner.api("POST", f"{path}/credit", {"micros": 5, "scope": "live", "reason": "x"}, status=404)
    await staff.api("POST", f"{path}/credit", {"micros": 5, "scope": "live", "reason": "x"}, status=201)
    assert (await staff.api("GET", path)).json()["balance_micros"] == 5
    await staff.api("POST", f"{path}/credit", {"micros": -5, "scope": "live", "reason": "x"}, status=409)
    await staff.api("POST", f"{path}/suspend", {"why": "abuse"}, status=204)
    key = await key_of(console, organisation_id, "usage:read")
    await console.browser().api("GET", "/api/v1/usage", key=key, status=401)
    await staff.api("POST", f"{path}/restore", status=204)
    await console.browser().api("GET", "/api/v1/usage", key=key)
    check = (await staff.api("GET", "/api/v1/staff/ledger/check")).json()
    assert check["ok"]
    assert {proof["value"] for proof in check["proofs"]} == {0}
