"""Pages from templates: one Jinja environment, everything escaped, texts only through the catalogues."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ruxa.console import headers
from ruxa.console.assets import Shelf
from ruxa.console.page import Page, Person, Visit
from ruxa.console.words import LANGUAGES, NAMES, Words
from ruxa.kernel import bounds

HERE = Path(__file__).parent
GROUPS = ("", "access", "trust", "staff")


class Menu:
    """The pages that have an icon, in their groups, as far as a person may open them."""

    def __init__(self, pages: tuple[Page, ...]) -> None:
        self._pages = tuple(page for page in pages if page.icon)
        self._by_name = {page.name: page for page in pages}

    def of(self, person: Person | None) -> list[tuple[str, list[Page]]]:
        """Group key and its pages; groups without a page are left out."""
        if person is None:
            return []
        groups = [
            (group, [page for page in self._pages if page.group == group and opens(page, person)])
            for group in GROUPS
            if group != "staff" or person.staff_role is not None
        ]
        return [(group, pages) for group, pages in groups if pages]

    def tabs(self, page: Page | None, person: Person | None) -> list[Page]:
        """The page's own part of the console: its parent, or itself, with the tabs that the person may open."""
        if page is None or person is None:
            return []
        first = self.named(page.parent) or page
        found = [one for one in self._by_name.values() if one.tab and one.parent == first.name and opens(one, person)]
        return [first, *found] if found and opens(first, person) else found

    def named(self, name: str | None) -> Page | None:
        """The page of that name."""
        return self._by_name.get(name) if name else None


def opens(page: Page, person: Person) -> bool:
    """Whether ``person`` may open ``page``."""
    if page.area == "staff" and person.staff_role is None:
        return False
    return page.permission is None or person.may(page.permission)


class Renderer:
    """Turns a page's values into HTML."""

    def __init__(self, shelf: Shelf, menu: Menu) -> None:
        self._shelf = shelf
        self._menu = menu
        self._environment = Environment(
            loader=FileSystemLoader([HERE / "templates", HERE / "pages"]),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )

    def page(
        self,
        page: Page,
        visit: Visit,
        values: Mapping[str, Any],
        *,
        template: str | None = None,
        faults: Mapping[str, str] | None = None,
        fault_places: Mapping[str, object] | None = None,
        code: str = "",
    ) -> bytes:
        """The whole document of ``page``."""
        done = visit.query.get("done")
        return self._render(
            template or f"{page.name}/page.html",
            visit,
            page=page.name,
            chosen=page.parent or page.name,
            parent=self._menu.named(page.parent),
            tabs=self._menu.tabs(page, visit.someone),
            done=done if done and visit.words.has(f"done.{done}") else None,
            faults=faults or {},
            fault_places=fault_places or {},
            fault_code=code,
            **values,
        )

    def error(self, visit: Visit, status: int, title: str, message: str) -> bytes:
        """The page of an error: what happened in one sentence, and the request id to quote."""
        return self._render("error.html", visit, page="error", status=status, title=title, message=message)

    def _render(self, template: str, visit: Visit, **values: Any) -> bytes:
        words: Words = visit.words
        person = visit.someone
        return (
            self._environment.get_template(template)
            .render(
                w=words,
                t=words.t,
                asset=self._shelf.url,
                theme=visit.theme,
                here=visit.path,
                form=visit.form,
                choices=visit.choices,
                query=visit.query,
                person=person,
                csrf_token=person.csrf if person else None,
                menu=self._menu.of(person),
                demo=visit.deps.mode == "demo",
                version=visit.deps.version,
                base_url=visit.deps.base_url,
                unproved_hours=bounds.SIGN_UP_TTL_H,
                cookie=headers.cookie_name(visit.deps.base_url),
                ticket=headers.ticket_name(visit.deps.base_url),
                language_names=[(language, NAMES[language]) for language in LANGUAGES],
                request_id=visit.request_id,
                **values,
            )
            .encode()
        )
