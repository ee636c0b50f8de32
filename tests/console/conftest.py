"""A console on a real database: the application, and browsers that keep cookies, without a socket."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import Any
from uuid import UUID

import httpx
import pytest
from litestar import Litestar
from litestar.testing import AsyncTestClient

from books import Books
from fixtures_access import BASE_URL, House, Person, house, hurry
from ruxa.access import members, organisations
from ruxa.access.audit import reading
from ruxa.access.roles import StaffRole
from ruxa.console import assets, site
from ruxa.console.page import Deps, Mode
from ruxa.egress.objects import Objects
from ruxa.kernel.sealed import Sealed

SAME = {"origin": BASE_URL, "host": BASE_URL.removeprefix("http://"), "sec-fetch-site": "same-origin"}


class Browser:
    """One browser: its cookies, pages it looks at, forms it sends as a page of ours would."""

    def __init__(self, client: AsyncTestClient[Litestar], house: House) -> None:
        self.client = client
        self.house = house
        self.csrf = ""

    def told(self, answer: httpx.Response) -> str:
        """What a failing test says: the answer without its markup, and the signals."""
        words = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", answer.text))
        asked = f"{answer.request.method} {answer.request.url.path}: {answer.status_code}"
        return f"{asked} {words[:800]}\n{self.house.signals.told}"

    async def get(self, path: str, status: int = 200, **headers: str) -> httpx.Response:
        """A page; follows no redirect."""
        answer = await self.client.get(path, headers={"host": SAME["host"], **headers}, follow_redirects=False)
        assert answer.status_code == status, self.told(answer)
        found = re.search(r'name="_csrf" value="([^"]+)"', answer.text)
        if found:
            self.csrf = found[1]
        return answer

    async def post(self, path: str, do: str, status: int = 303, **fields: object) -> httpx.Response:
        """Sends a form of the page at ``path``."""
        data = {name: value for name, value in {"_do": do, "_csrf": self.csrf, **fields}.items() if value is not None}
        answer = await self.client.post(path, data=data, headers=SAME, follow_redirects=False)
        assert answer.status_code == status, self.told(answer)
        return answer

    async def api(
        self, method: str, path: str, json: object = None, *, key: str | None = None, status: int = 200
    ) -> httpx.Response:
        """A call of the API, by key or by this browser's session."""
        headers = dict(SAME) if key is None else {"host": SAME["host"], "authorization": f"Bearer {key}"}
        if key is None and self.csrf:
            headers["x-csrf-token"] = self.csrf
        answer = await self.client.request(method, path, json=json, headers=headers)
        assert answer.status_code == status, self.told(answer)
        return answer


@dataclass
class Console:
    """The application on one test's database, with the house behind it."""

    house: House
    app: Litestar

    def browser(self) -> Browser:
        """A fresh browser."""
        return Browser(AsyncTestClient(self.app, base_url=BASE_URL), self.house)

    async def signed_in(self, person: Person) -> Browser:
        """A browser in which ``person`` signs in."""
        browser = self.browser()
        await browser.post(
            "/sign-in", "sign_in", email=person.email.open("provide"), password=person.password.open("provide")
        )
        await browser.get("/settings")
        return browser

    async def owner(self) -> tuple[Browser, Person, UUID]:
        """A signed-in owner of an organisation: browser, person, organisation."""
        person, _, organisation_id = await self.house.owner()
        return await self.signed_in(person), person, organisation_id

    async def operator(self) -> tuple[Browser, Person]:
        """A signed-in operator who also has an organisation."""
        person, _, _ = await self.house.owner()
        await self._make_staff(person, "operator")
        return await self.signed_in(person), person

    async def staff(self, role: StaffRole) -> Browser:
        """A signed-in member of the staff."""
        person, _, _ = await self.house.owner()
        await self._make_staff(person, role)
        return await self.signed_in(person)

    async def _make_staff(self, person: Person, role: StaffRole) -> None:
        async with self.house.operator.work("operator") as work:
            await members.add_staff(work, self.house.vault, Sealed(person.email.open("provide")), role)

    async def acts(self) -> list[str]:
        """What the audit log says was done, newest first."""
        async with self.house.console.work() as work:
            return [one.act for one in await reading.page(work, self.house.vault, "proof", limit=200)]

    async def ref(self, organisation_id: UUID) -> UUID:
        """What money knows the organisation by."""
        async with self.house.console.work() as work:
            return (await organisations.find(work, self.house.vault, organisation_id)).organisation_ref


# By what an application reads when it is made: its parts, the application, and the house that it is for now. To make
# one takes longer than most tests.
_apps: dict[tuple[object, ...], tuple[Deps, Litestar, House]] = {}


def made(
    house: House,
    mode: Mode = "demo",
    base_url: str = BASE_URL,
    trial_micros: int = 0,
    objects: Objects | None = None,
    **more: Any,
) -> Console:
    """The application over ``house``."""
    deps = Deps(
        pool=house.console,
        copies=house.copies,
        vault=house.vault,
        hasher=house.hasher,
        clock=house.database.clock,
        signals=house.signals,
        base_url=base_url,
        mode=mode,
        version="test",
        trial_micros=trial_micros,
        objects=objects,
        **more,
    )
    origins = tuple(origin for one in deps.processors.values() for origin in one.origins)
    key = (mode, base_url, origins, tuple(deps.gateway_openapi))
    parts, app, owner = _apps.get(key) or (deps, site.create(deps), None)
    if owner is house:
        # The second of one test has parts of its own.
        return Console(house, site.create(deps))
    for part in fields(Deps):
        object.__setattr__(parts, part.name, getattr(deps, part.name))
    _apps[key] = (parts, app, house)
    return Console(house, app)


@pytest.fixture(scope="session", autouse=True)
def vendor() -> None:
    """The served npm files; ``dev.py test`` has installed them before."""
    if not assets.VENDOR.joinpath("htmx.min.js").is_file():
        assets.copy(assets.HERE.parents[2] / "node_modules")


@pytest.fixture
async def console(house: House) -> Console:
    """A demo's console."""
    return made(house)


@pytest.fixture
def made_console() -> Any:
    """Makes a console over a house, with other parts."""
    return made


@pytest.fixture
async def books(console: Console) -> Books:
    """The ledger under the console: prices, credit, usage rows."""
    return await Books.open(console.house.database)


__all__ = ["house", "hurry"]
