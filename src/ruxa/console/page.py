"""The contract of a page: who may see it, where it stands in the menu, what it shows, what its forms do.

A page loads inside one unit of work and returns a ``View``; a form's action does its work in one and returns where to
go next, or a ``View`` when something has to be shown that is shown once. Faults of a form bring the page again with
the messages beside the fields.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol
from uuid import UUID

from ruxa.access.entrance import Entrance
from ruxa.access.passwords import Hasher
from ruxa.access.roles import Permission
from ruxa.access.sessions import Session
from ruxa.console.pace import Pace
from ruxa.console.rollups import Rollups
from ruxa.console.words import Words
from ruxa.egress.objects import Objects
from ruxa.egress.processor import Processor
from ruxa.kernel.clock import Clock
from ruxa.kernel.signals import Sink
from ruxa.ledger.documents.seller import Terms
from ruxa.ledger.documents.tax import Untaxed
from ruxa.store.pool import Pool
from ruxa.store.vault import Vault
from ruxa.store.work import Work

Area = Literal["public", "customer", "staff"]
Mode = Literal["demo", "live"]


@dataclass(frozen=True, slots=True)
class Deps:
    """What the console needs from whoever starts it.

    base_url: public address without a path, as links in mail use it; mode: demo or live (decision D9);
    gateway_openapi: the paths and schemas of the part of ``/api/v1`` that the gateway serves, for the published union
    (decision D2); trial_micros: credit granted once per verified address (decision D10); providers: those that can be
    called, None for all that are priced; operator, contact: who runs this server and where they are reached, a mail
    or https address (empty: not said); rollups: what home has added up lately; pace: who wrote how much to the audit
    log; objects: where stored content over 64 KiB lies; processors: who takes payments, by name, in the order in which
    customers see them; terms: who sells and what is taxed; copies: of the login that reads what a person's copy has.
    """

    pool: Pool
    copies: Pool
    vault: Vault
    hasher: Hasher
    clock: Clock
    signals: Sink
    base_url: str
    mode: Mode = "live"
    version: str = "0"
    trial_micros: int = 0
    mail_url: str = "outbox:"
    operator: str = ""
    contact: str = ""
    providers: frozenset[str] | None = None
    gateway_openapi: Mapping[str, Any] = field(default_factory=dict[str, Any])
    rollups: Rollups = field(default_factory=Rollups)
    pace: Pace = field(default_factory=Pace)
    objects: Objects | None = None
    processors: Mapping[str, Processor] = field(default_factory=dict[str, Processor])
    terms: Terms = field(default_factory=lambda: Terms(seller=None, engine=Untaxed()))

    @property
    def entrance(self) -> Entrance:
        """What signing up and in needs."""
        return Entrance(pool=self.pool, vault=self.vault, hasher=self.hasher, sink=self.signals, base_url=self.base_url)


@dataclass(frozen=True, slots=True)
class Person:
    """The signed-in member with the organisation that this session looks at.

    Staff may be in none: then ``role`` is None, the ids are zero, and no customer permission is held.
    """

    member_id: UUID
    session_id: UUID
    session: Session
    email: str
    name: str
    organisation_id: UUID
    organisation_ref: UUID
    organisation_name: str
    suspended: bool
    role: str | None
    staff_role: str | None
    csrf: str
    permissions: frozenset[Permission]
    others: tuple[tuple[str, str], ...] = ()

    def may(self, permission: Permission) -> bool:
        """Whether the member's roles hold ``permission`` here."""
        return permission in self.permissions


@dataclass(slots=True)
class Visit:
    """One request to a page. ``secret``: of the session, from its cookie; ``ticket``: of a sign-up in this browser.

    ``description`` gives the published OpenAPI document.
    """

    deps: Deps
    words: Words
    request_id: str
    path: str
    places: Mapping[str, str]
    query: Mapping[str, str]
    form: Mapping[str, str]
    choices: Mapping[str, tuple[str, ...]]
    theme: str | None
    secret: str | None
    ticket: str | None
    language_chosen: bool
    under_age: bool
    someone: Person | None
    description: Callable[[], dict[str, Any]]
    address: str = ""
    agent: str = ""

    @property
    def person(self) -> Person:
        """The signed-in member; only pages that need one ask."""
        assert self.someone is not None
        return self.someone


@dataclass(frozen=True, slots=True)
class View:
    """What to render: the template's values, or a file instead of a page, whole (``body``) or as it is read
    (``pieces``, of ``size`` bytes together); headers: of the answer, in place of ours."""

    values: Mapping[str, Any] = field(default_factory=dict[str, Any])
    status: int = 200
    template: str | None = None
    body: bytes | None = None
    pieces: AsyncGenerator[bytes, None] | None = None
    size: int = 0
    media_type: str = "text/html"
    filename: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Go:
    """See another page next; ``done`` is the key (under ``done.``) of the message it greets with.

    session: the secret of a session to begin (empty ends the present one), None to leave it; ticket: proves to this
    browser's own sign-up that it is the same browser, for as long as the link in the mail lives.
    cookies: readable preferences to set, name -> value.
    """

    to: str
    done: str | None = None
    session: str | None = None
    session_s: int = 0
    ticket: str | None = None
    cookies: Mapping[str, str] = field(default_factory=dict[str, str])


class Load(Protocol):
    """Shows the page."""

    async def __call__(self, visit: Visit, work: Work) -> View | Go: ...


Act = Callable[[Visit, Work], Awaitable[View | Go]]
Enter = Callable[[Visit], Awaitable[View | Go]]


@dataclass(frozen=True, slots=True)
class Page:
    """One page. ``name`` is its folder; ``permission`` of None asks for no more than the area does.

    actions: what its forms do, by the name in ``_do``; needs: the permission of an action where it is not the page's;
    doors: actions of visitors (signing up and in) that bring their own units of work, since counting an attempt has to
    outlive its refusal; group, icon: its place in the menu; parent: the page it is a detail of; tab: beside its parent.
    """

    name: str
    path: str | tuple[str, ...]
    area: Area
    load: Load
    permission: Permission | None = None
    actions: Mapping[str, Act] = field(default_factory=dict[str, Act])
    doors: Mapping[str, Enter] = field(default_factory=dict[str, Enter])
    needs: Mapping[str, Permission] = field(default_factory=dict[str, Permission])
    icon: str | None = None
    group: str = ""
    parent: str | None = None
    tab: bool = False
