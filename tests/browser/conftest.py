"""Real Chromium against a running server: what a page writes to the console, what it loads, what it may not."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from fixtures_server import RunningServer

_spec = importlib.util.spec_from_file_location("chromium", Path(__file__).with_name("chromium.py"))
assert _spec
assert _spec.loader
chromium = importlib.util.module_from_spec(_spec)
sys.modules["chromium"] = chromium
_spec.loader.exec_module(chromium)

AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
# Of their rules those that look at colours.
COLOURS = ["color-contrast", "link-in-text-block"]


# By the server: cookies of its owner's session.
_sessions: dict[str, list[Any]] = {}


@dataclass
class Window:
    """One browser context and everything wrong that its pages did."""

    context: BrowserContext
    base_url: str
    faults: list[str] = field(default_factory=list)
    allowed_statuses: set[int] = field(default_factory=set)
    # Hosts of this machine that a test leads on to: the sandbox processor's.
    also: re.Pattern[str] | None = None

    def __post_init__(self) -> None:
        self.host = urlsplit(self.base_url).netloc
        self.context.on("request", self._request)
        self.context.on("response", self._response)
        self.context.on("page", self._watch)

    def _request(self, request: Any) -> None:
        parts = urlsplit(request.url)
        ours = parts.netloc == self.host or (self.also is not None and self.also.match(parts.netloc) is not None)
        if parts.scheme in ("http", "https", "ws", "wss") and not ours:
            self.faults.append(f"third party: {request.url}")

    def _response(self, response: Any) -> None:
        if response.status >= 400 and response.status not in self.allowed_statuses:
            self.faults.append(f"{response.status}: {response.url}")

    def _watch(self, page: Page) -> None:
        page.on("console", lambda message: self._message(message.type, message.text))
        page.on("pageerror", lambda error: self.faults.append(f"script: {error}"))

    def _message(self, kind: str, text: str) -> None:
        # Chromium writes each failed load to the console too; those are judged by their status.
        if kind in ("error", "warning") and not text.startswith("Failed to load resource"):
            self.faults.append(f"console {kind}: {text}")

    def page(self) -> Page:
        """A new tab."""
        return self.context.new_page()

    def go(self, page: Page, path: str) -> None:
        """Opens a path of this server."""
        page.goto(self.base_url + path)

    def sign_in(self, server: RunningServer) -> Page:
        """A tab in which the demo's owner is signed in."""
        page = self.page()
        self.go(page, "/sign-in")
        page.fill("#f-email", server.demo["owner_email"])
        page.fill("#f-password", server.demo["owner_password"])
        page.click("button[value=sign_in]")
        page.wait_for_url("**/home*")
        return page

    def enter(self, server: RunningServer) -> Page:
        """A tab of the demo's owner, by the session of the first who asked: signing in takes longer than a page."""
        kept = _sessions.get(self.base_url)
        if kept is None:
            page = self.sign_in(server)
            _sessions[self.base_url] = [one for one in self.context.cookies() if one["httpOnly"]]
            assert _sessions[self.base_url]
            return page
        self.context.add_cookies(kept)
        page = self.page()
        self.go(page, "/home")
        return page

    def axe(self, page: Page, only: Sequence[str] = TAGS) -> list[str]:
        """What axe-core calls serious or critical on this page. only: tags of rules, or rules by name."""
        # A theme that has just changed fades over: what is measured is its end.
        page.evaluate("for (const one of document.getAnimations()) if (one instanceof CSSTransition) one.finish()")
        page.evaluate(AXE.read_text())
        found = page.evaluate("only => axe.run({runOnly: only}).then(r => r.violations)", only)
        return [
            f"{page.url}: {one['id']} ({one['impact']}): {[node['html'][:160] for node in one['nodes'][:3]]}"
            for one in found
            if one["impact"] in ("serious", "critical")
        ]

    def axe_colours(self, page: Page) -> list[str]:
        """``axe`` by the rules that look at colours: of a page whose other theme was looked at by every rule."""
        return self.axe(page, COLOURS)

    def clean(self) -> None:
        """Fails with everything wrong so far."""
        assert not self.faults, "\n".join(self.faults)


# Playwright keeps an event loop running in this thread; it ends with the module, or no async test could run after it.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, as ``chromium.find`` finds it."""
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(**chromium.find().launch_options())
        yield running
        running.close()


@pytest.fixture
def window(browser: Browser, server: RunningServer) -> Iterator[Window]:
    """A window on the shared demo; the test fails when a page did something wrong."""
    context = browser.new_context(locale="en-US", viewport={"width": 1440, "height": 900})
    made = Window(context, server.base_url)
    yield made
    context.close()
    made.clean()


@pytest.fixture
def windows(browser: Browser, server: RunningServer) -> Iterator[Any]:
    """Makes windows: width, colour scheme, locale, with or without JavaScript."""
    made: list[Window] = []

    def make(*, width: int = 1440, scheme: str = "light", locale: str = "en-US", **more: Any) -> Window:
        context = browser.new_context(
            locale=locale,
            viewport={"width": width, "height": 900},
            color_scheme=scheme,
            **more,
        )
        made.append(Window(context, server.base_url))
        return made[-1]

    yield make
    for window in made:
        window.context.close()
    for window in made:
        window.clean()
