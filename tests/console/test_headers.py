"""What goes round every answer: headers, cookies, hosts, same-origin writes, request ids."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from litestar.datastructures import Headers

from ruxa.console import headers
from ruxa.kernel import ids
from ruxa.kernel.errors import Forbidden, InvalidCall

LOCAL = "http://127.0.0.1:8000"
PUBLIC = "https://api.example.org"


def test_the_policy_is_strict() -> None:
    rules = dict(rule.split(" ", 1) for rule in headers.CSP.split("; "))
    assert rules["default-src"] == rules["script-src"] == rules["style-src"] == rules["connect-src"] == "'self'"
    assert rules["form-action"] == "'self'"
    assert rules["frame-ancestors"] == rules["object-src"] == rules["base-uri"] == "'none'"
    assert "unsafe" not in headers.CSP
    assert "http" not in headers.CSP


async def test_every_answer_carries_them(console: Any) -> None:
    browser = console.browser()
    for path, status in (
        ("/", 200),
        ("/nowhere", 404),
        ("/home", 303),
        ("/api/v1/keys", 401),
        ("/api/v1/nowhere", 404),
    ):
        answer = await browser.get(path, status)
        assert answer.headers["content-security-policy"] == headers.CSP, path
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert answer.headers["cache-control"] == "no-store"
        assert ids.read("req", answer.headers["x-request-id"])
        assert "set-cookie" not in answer.headers, "nothing is stored before sign-in"


async def test_only_billing_pages_lead_on_to_the_processors_in_use_and_nothing_else_differs() -> None:
    edge = headers.Edge(PUBLIC, ["https://checkout.stripe.com", "https://www.paypal.com", "https://www.paypal.com"])
    for path, leads in (
        ("/billing", True),
        ("/billing/top-up", True),
        ("/billings", False),
        ("/home", False),
        ("/api/v1/balance", False),
    ):
        message: Any = {"type": "http.response.start", "status": 200, "headers": []}
        scope: Any = {"type": "http", "path": path, "headers": [], "state": {}}
        await edge.before_send(message, scope)
        policies = [value.decode() for name, value in message["headers"] if name == b"content-security-policy"]
        wanted = "form-action 'self' https://checkout.stripe.com https://www.paypal.com" if leads else ""
        assert policies == [headers.CSP.replace("form-action 'self'", wanted or "form-action 'self'")], path
        assert {name for name, _ in message["headers"]} >= {name for name, _ in headers.SECURITY}


async def test_the_door_s_request_id_is_kept_and_a_stranger_s_is_not(console: Any) -> None:
    browser = console.browser()
    own = ids.text("req", ids.fresh())
    assert (await browser.get("/", **{"x-request-id": own})).headers["x-request-id"] == own
    given = "req_<script>alert(1)</script>"
    assert (await browser.get("/", **{"x-request-id": given})).headers["x-request-id"] != given


async def test_served_files_are_named_by_content(console: Any) -> None:
    browser = console.browser()
    page = (await browser.get("/")).text
    path = page.split('<link rel="stylesheet" href="')[1].split('"')[0]
    answer = await browser.get(path)
    assert "immutable" in answer.headers["cache-control"]
    assert answer.headers["content-type"] == "text/css; charset=utf-8"
    assert (await browser.get("/")).headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-encoding"] == "gzip"
    await browser.get(path.replace("/static/", "/static/0"), 404)
    await browser.get("/static/0000000000000000/../../../etc/passwd", 404)


def test_cookies_on_https_and_on_plain_loopback() -> None:
    assert headers.cookie_name(PUBLIC) == "__Host-ruxa"
    assert headers.cookie_name(LOCAL) == "ruxa"
    public = headers.cookie(PUBLIC, "__Host-ruxa", "x", 10)
    assert (public.secure, public.httponly, public.samesite, public.path, public.domain) == (
        True,
        True,
        "lax",
        "/",
        None,
    )
    local = headers.cookie(LOCAL, "ruxa", "x", 10)
    assert (local.secure, local.httponly, local.samesite, local.path, local.domain) == (False, True, "lax", "/", None)


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"host": "h", "origin": "http://h"}, None),
        ({"host": "h", "origin": "http://h", "sec-fetch-site": "same-origin"}, None),
        ({"host": "h", "sec-fetch-site": "same-origin"}, None),
        ({"host": "h", "origin": "http://evil"}, "foreign_origin"),
        ({"host": "h", "origin": "null"}, "foreign_origin"),
        ({"host": "h", "origin": "http://h", "sec-fetch-site": "cross-site"}, "foreign_origin"),
        ({"host": "h", "origin": "http://h", "sec-fetch-site": "same-site"}, "foreign_origin"),
        ({"host": "h", "sec-fetch-site": "none"}, "foreign_origin"),
        ({"host": "h"}, "origin_missing"),
    ],
)
def test_only_our_own_pages_may_write(given: dict[str, str], code: str | None) -> None:
    if code is None:
        headers.same_origin(Headers(given))
        return
    with pytest.raises(Forbidden) as caught:
        headers.same_origin(Headers(given))
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("base", "host", "fine"),
    [
        (LOCAL, "127.0.0.1:8000", True),
        (LOCAL, "localhost:9", True),
        (LOCAL, "[::1]:8000", True),
        (LOCAL, "rebound.example", False),
        (LOCAL, "127.0.0.1.evil.example", False),
        (LOCAL, "", False),
        (PUBLIC, "api.example.org", True),
        (PUBLIC, "127.0.0.1:8000", False),
        ("http://0.0.0.0:8000", "10.1.2.3:8000", True),
    ],
)
def test_hosts_we_answer_to(base: str, host: str, fine: bool) -> None:
    edge = headers.Edge(base)
    if fine:
        edge.refuse_host(Headers({"host": host}))
        return
    with pytest.raises(InvalidCall):
        edge.refuse_host(Headers({"host": host}))


async def test_a_rebound_name_reaches_nothing(console: Any) -> None:
    browser = console.browser()
    answer = await browser.client.get("/outbox", headers={"host": "rebound.example"})
    assert answer.status_code == 400
    answer = await browser.client.get("/api/v1/keys", headers={"host": "rebound.example"})
    assert answer.json()["error"]["type"] == "unknown_host"


async def test_on_https_the_session_cookie_is_bound_to_the_host(console: Any) -> None:
    _, person, _ = await console.owner()
    made = sys.modules[type(console).__module__].made
    public = made(console.house, mode="live", base_url=PUBLIC)
    answer = await public.browser().client.post(
        "/sign-in",
        data={
            "_do": "sign_in",
            "email": person.email.open("provide"),
            "password": person.password.open("provide"),
        },
        headers={"host": "api.example.org", "origin": PUBLIC},
        follow_redirects=False,
    )
    assert answer.status_code == 303, answer.text
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("__Host-ruxa=")
    assert "Secure" in cookie
    assert "Domain" not in cookie
    assert answer.headers["strict-transport-security"]
