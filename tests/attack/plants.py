"""Planting: a browser that fills forms, and people whose every field holds a word of their own."""

from __future__ import annotations

import codecs
import html
import http.cookiejar
import json
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

from fixtures_server import RunningServer, eventually

# "Edge on ChromeOS": nobody else's browser in these tests.
AGENT = "Mozilla/5.0 (X11; CrOS x86_64 15917) AppleWebKit/537.36 Chrome/138.0 Safari/537.36 Edg/138.0"


@dataclass
class Form:
    """One form of a page: its fields with their present values, by name; which of them a person writes into."""

    action: str
    fields: dict[str, str] = field(default_factory=dict)
    free: dict[str, str] = field(default_factory=dict)


class _Forms(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[Form] = []
        self._form: Form | None = None
        self._select: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form" and given.get("method", "").lower() == "post":
            self._form = Form(given.get("action", ""))
            self.found.append(self._form)
        elif self._form is None or (not (name := given.get("name", "")) and tag != "option"):
            return
        elif tag == "input":
            kind = given.get("type", "text")
            if kind in ("checkbox", "radio"):
                if kind == "checkbox" or "checked" in given:
                    self._form.fields[name] = given.get("value", "on")
            else:
                self._form.fields[name] = given.get("value", "")
                if kind in ("text", "search", "email", "password", "url", "tel") and "readonly" not in given:
                    self._form.free[name] = kind
        elif tag == "textarea":
            self._form.fields[name] = ""
            self._form.free[name] = "text"
        elif tag == "select":
            self._select = name
        elif tag == "option" and self._select is not None and self._select not in self._form.fields:
            self._form.fields[self._select] = given.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._form = None
        elif tag == "select":
            self._select = None


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:  # type: ignore[override]
        return None


class Browser:
    """One browser on a running server: cookies, pages, forms as a page of ours sends them."""

    def __init__(self, server: RunningServer, agent: str = AGENT) -> None:
        self.server = server
        self.agent = agent
        self.jar = http.cookiejar.CookieJar()
        handlers = (urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(self.jar), _NoRedirect())
        self.opener = urllib.request.build_opener(*handlers)
        self.page = ""
        self.csrf = ""

    def send(
        self,
        method: str,
        path: str,
        data: bytes | None = None,
        kind: str = "application/x-www-form-urlencoded",
        **headers: str,
    ) -> tuple[int, str, str]:
        """Status, where it leads, body."""
        base = self.server.base_url
        sent = {"user-agent": self.agent, "origin": base, "sec-fetch-site": "same-origin", **headers}
        if data is not None:
            sent["content-type"] = kind
        request = urllib.request.Request(base + path, data=data, headers=sent, method=method)
        try:
            with self.opener.open(request, timeout=30) as answer:
                status, to, body = answer.status, answer.headers.get("location", ""), answer.read()
        except urllib.error.HTTPError as error:
            with error:
                status, to, body = error.code, error.headers.get("location", ""), error.read()
        text = body.decode("utf-8", "replace")
        found = re.search(r'name="_csrf" value="([^"]+)"', text)
        if found:
            self.csrf = found[1]
        return status, to, text

    def get(self, path: str) -> str:
        """A page; follows redirects of ours."""
        for _ in range(5):
            status, to, text = self.send("GET", path)
            if status not in (302, 303):
                assert status < 500, f"GET {path}: {status} {text[:300]}"
                return text
            path = to
        raise AssertionError(f"GET {path} leads in circles")

    def post(self, path: str, do: str, *, good: bool = True, **fields: str) -> str:
        """Sends a form; where it leads, else the answer."""
        data = urllib.parse.urlencode({"_do": do, "_csrf": self.csrf, **fields}).encode()
        status, to, text = self.send("POST", path, data)
        if good:
            shown = " ".join(re.sub(r"<[^>]*>", " ", text).split())
            assert status in (200, 303), f"POST {path} {do}: {status} {shown[:600]}"
        assert status < 500, f"POST {path} {do}: {status} {text[:500]}"
        return to or text

    def api(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """A call of the API by this browser's session."""
        data = None if body is None else json.dumps(body).encode()
        status, _, text = self.send(method, path, data, "application/json", **{"x-csrf-token": self.csrf})
        return status, json.loads(text) if text.startswith(("{", "[")) else text

    def forms(self, path: str) -> list[Form]:
        """The forms of a page that write something."""
        parser = _Forms()
        parser.feed(self.get(path))
        return parser.found


def link(server: RunningServer, browser: Browser, address: str) -> str:
    """The path of the newest link that was mailed to an address, from the demo's outbox page."""

    def look() -> str | None:
        text = html.unescape(browser.get("/outbox"))
        at = text.find(address)
        found = re.search(r'href="(/(?:verify|invite|reset)/[\w-]+)"', text[at:]) if at >= 0 else None
        return found[1] if found else None

    return eventually(look, 15)


class Words:
    """The words of one person: each planted once, named for where it was planted."""

    def __init__(self, mark: str, who: str) -> None:
        self.mark = mark
        self.who = who
        self.planted: set[str] = set()

    def word(self, name: str) -> str:
        """``mark`` + ``x`` + whose + name + ``-``, remembered as planted."""
        assert re.fullmatch(r"[a-z0-9]+", name), name
        self.planted.add(self.who + name)
        return f"{self.mark}x{self.who}{name}-"

    def address(self, name: str) -> str:
        """An e-mail address with a word in it."""
        return f"{self.word(name)}@canary.example"

    def fill(self, form: Form, prefix: str) -> dict[str, str]:
        """The form with a word in everything a person can write."""
        filled = dict(form.fields)
        for name, kind in form.free.items():
            named = re.sub(r"[^a-z0-9]", "", f"{prefix}{name}".lower())
            filled[name] = self.address(named) if kind == "email" or name == "email" else self.word(named)
        return filled


@dataclass
class Person:
    """Somebody who signed up at the console."""

    browser: Browser
    words: Words
    email: str
    password: str


def sign_up(server: RunningServer, mark: str, who: str) -> Person:
    """A person with a word in each field of the sign-up, verified and signed in, in an organisation of their own."""
    words, browser = Words(mark, who), Browser(server)
    email = words.address("email")
    # A password may hold nothing of the address: its word is the mark in another coding, which the attack knows too.
    words.word("password")
    password = f"plum-{codecs.encode(mark, 'rot13')}{who}-Oak-31"
    browser.get("/sign-up")
    form = next(form for form in browser.forms("/sign-up") if "email" in form.fields)
    filled = form.fields | {"email": email, "name": f"Ms {words.word('name')} Canary", "password": password}
    filled |= {"adult": "true", "terms": "true"}
    do = filled.pop("_do", "sign_up")
    filled.pop("_csrf", None)
    browser.post("/sign-up", do, **filled)
    path = link(server, browser, email)
    browser.get(path)
    browser.post(path, "verify")
    text = browser.get("/settings")
    assert email in html.unescape(text), text[:2000]
    return Person(browser, words, email, password)


# What a form or a route does that would end the planting: whoever adds another finds out here.
ENDS = frozenset({"everywhere", "end", "close", "remove", "revoke", "delete", "suspend", "prove", "back", "reopen"})
PATHS = frozenset({"/api/v1/privacy/erase", "/api/v1/privacy/export"})


def pages(browser: Browser, start: str = "/home") -> Iterator[str]:
    """Every page that can be reached by links, once."""
    seen: set[str] = set()
    todo = [start]
    while todo:
        path = todo.pop()
        kind = re.sub(r"[0-9a-f]{32}", "ID", path)
        if kind in seen:
            continue
        seen.add(kind)
        yield path
        for found in re.findall(r'href="(/[^"#?]*)', browser.get(path)):
            plain = html.unescape(found)
            if not plain.startswith(("/static", "/docs", "/outbox", "/api/", "/.well-known")):
                todo.append(plain)


def spray(person: Person) -> int:
    """A word in every free field of every form and of every route that is there, whatever comes of it; how many.

    Nothing is listed by name, so that what is added later is covered on its first day.
    """
    browser, words, sprayed = person.browser, person.words, 0
    for number, path in enumerate(pages(browser)):
        for form in browser.forms(path):
            if not form.free or form.fields.get("_do", "") in ENDS:
                continue
            filled = words.fill(form, f"z{number}") | {"_csrf": browser.csrf}
            status, _, text = browser.send("POST", form.action or path, urllib.parse.urlencode(filled).encode())
            assert status < 500, f"{path} {form.fields.get('_do')}: {status} {text[:300]}"
            sprayed += len(form.free)
    described = browser.api("GET", "/api/v1/openapi.json")[1]
    schemas = described["components"]["schemas"]
    for number, (path, item) in enumerate(sorted(described["paths"].items())):
        for method in ("post", "put", "patch"):
            content = item.get(method, {}).get("requestBody", {}).get("content", {}).get("application/json")
            if content is None or path in PATHS:
                continue
            body = _filled(content["schema"], schemas, words, f"y{number}")
            status, told = browser.api(method.upper(), re.sub(r"\{\w+\}", "key_" + "0" * 32, path), body)
            assert status < 500, f"{method} {path}: {status} {told}"
            sprayed += 1
    return sprayed


def _filled(schema: dict[str, Any], schemas: dict[str, Any], words: Words, name: str) -> Any:
    """A body with a word in each string that is not one of a list."""
    if "$ref" in schema:
        return _filled(schemas[schema["$ref"].rpartition("/")[2]], schemas, words, name)
    for way in ("oneOf", "anyOf"):
        if way in schema:
            return _filled(next(one for one in schema[way] if one.get("type") != "null"), schemas, words, name)
    if "enum" in schema or "const" in schema:
        return schema.get("const", next(iter(schema.get("enum", [None]))))
    match schema.get("type"):
        case "object":
            found: dict[str, Any] = {}
            for key, inner in schema.get("properties", {}).items():
                named = name + re.sub(r"[^a-z0-9]", "", key.lower())
                found[key] = words.address(named) if key == "email" else _filled(inner, schemas, words, named)
            return found
        case "array":
            return [_filled(schema.get("items", {}), schemas, words, name)]
        case "integer" | "number":
            return schema.get("minimum", 1)
        case "boolean":
            return False
        case _:
            return words.word(name)
