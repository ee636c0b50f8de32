"""Plan: what an importer found - providers, models, routes, keys to make - and all that could not be taken over."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from ruxa.egress.providers import catalogue
from ruxa.kernel import bounds

By = Literal["order", "weight", "price", "latency"]
Period = Literal["day", "month", "total"]

_NAME = re.compile(r"[^a-z0-9]+")
_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:\-]*(/[A-Za-z0-9][A-Za-z0-9_.:\-]*)*\Z")


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """A provider of ``ruxa.toml``. key: a reference (``env:NAME``), None for one that needs none; dialect: only for
    providers that the catalogue lacks; found_at: where the other gateway keeps the secret."""

    name: str
    base_url: str | None = None
    dialect: str | None = None
    key: str | None = None
    found_at: str = ""


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """A model with what the other gateway says of its price (micros per million tokens) and limits (tokens)."""

    name: str
    input_micros: int | None = None
    output_micros: int | None = None
    cache_read_micros: int | None = None
    input_tokens_max: int | None = None
    output_tokens_max: int | None = None


class Target(msgspec.Struct, frozen=True):
    """A model of a route, and its share where the route goes by weight."""

    model: str
    weight: int = 1


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """A route: the public name that callers use, and what it stands for, best first."""

    name: str
    by: By
    targets: tuple[Target, ...]


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """A key to make anew: its secret changes, for only its hash or the other gateway's form of it is known."""

    name: str
    models: tuple[str, ...] | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrency: int | None = None
    budget_micros: int | None = None
    budget_period: Period | None = None
    expires_at: datetime | None = None


class Left(msgspec.Struct, frozen=True):
    """Something that was not taken over: where it stands, and why."""

    where: str
    why: str


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """All of it. origin: ``LiteLLM``, ``New API`` or ``One API``."""

    origin: str
    providers: tuple[Source, ...] = ()
    models: tuple[Model, ...] = ()
    routes: tuple[Way, ...] = ()
    keys: tuple[Key, ...] = ()
    left: tuple[Left, ...] = ()


class Draft:
    """A plan under way: gives providers their names, joins models and deployments, collects what is left."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.keys: list[Key] = []
        self.routes: dict[str, Way] = {}
        self._sources: dict[tuple[str, str, str], Source] = {}
        self._models: dict[str, Model] = {}
        self._left: list[Left] = []

    def leave(self, where: str, why: str) -> None:
        """Names something that is not taken over."""
        if Left(where, why) not in self._left:
            self._left.append(Left(where, why))

    def source(
        self,
        vendor: str,
        *,
        secret: str,
        base_url: str | None = None,
        dialect: str | None = None,
        key: str | None = None,
        found_at: str = "",
    ) -> Source:
        """The provider of one vendor, address and secret (any word that tells secrets apart; it is not kept).

        vendor: a name of the catalogue, or '' for one that is known by its address alone. key: a reference to use; None
        makes one up from the provider's name, '' needs none.
        """
        which = (vendor, base_url or "", secret)
        found = self._sources.get(which)
        if found is None:
            taken = {source.name for source in self._sources.values()}
            wanted = vendor if vendor and base_url is None else _slug(base_url or "", vendor)
            name = (
                wanted
                if wanted not in taken
                else next(f"{wanted}-{n}" for n in range(2, 10_000) if f"{wanted}-{n}" not in taken)
            )
            if base_url is None and name != vendor:  # a second account: the catalogue's row is the first one's
                base_url = catalogue()[vendor].base_url
            if key is None:
                key = f"env:{_variable(name)}"
            found = self._sources[which] = Source(
                name=name,
                base_url=base_url,
                dialect=None if name == vendor else dialect,
                key=key or None,
                found_at=found_at,
            )
        return found

    def model(self, model: Model) -> None:
        """A model of a provider; what is said of it first counts."""
        self._models.setdefault(model.name, model)

    def route(self, where: str, name: str, targets: Iterable[Target], by: By) -> None:
        """A public name. Refuses into ``left`` a name that no route here can have."""
        told = list({target.model: target for target in targets}.values())
        if not _MODEL.match(name):
            self.leave(where, f"no route can be called {name[:80]!r}")
            return
        if not told or [target.model for target in told] == [name]:
            return  # the model itself already answers to that name
        if len(told) > bounds.ROUTE_TARGETS_MAX:
            self.leave(where, f"a route has {bounds.ROUTE_TARGETS_MAX} targets at most; the rest is left out")
            told = told[: bounds.ROUTE_TARGETS_MAX]
        self.routes[name] = Way(name=name, by=by if len(told) > 1 else "order", targets=tuple(told))

    def plan(self) -> Plan:
        """What was found."""
        return Plan(
            origin=self.origin,
            providers=tuple(self._sources.values()),
            models=tuple(self._models.values()),
            routes=tuple(self.routes.values()),
            keys=tuple(self.keys),
            left=tuple(self._left),
        )


def model_name(provider: str, upstream: str) -> str | None:
    """The public name of a provider's model; None when no such name is allowed."""
    name = f"{provider}/{upstream}"
    return name if _MODEL.match(name) else None


def _variable(name: str) -> str:
    """The variable of a provider's key; a name that a shell can set begins with a letter."""
    word = name.upper().replace("-", "_")
    return f"{word if word[:1].isalpha() else f'PROVIDER_{word}'}_API_KEY"


def _slug(base_url: str, vendor: str) -> str:
    """``https://api.example.com/v1`` -> ``example``: a name that people will know again."""
    host = urlsplit(base_url).hostname or ""
    words = [word for word in host.split(".") if word not in ("api", "www", "com", "net", "org", "io", "ai", "cn")]
    slug = _NAME.sub("-", "-".join(words).lower()).strip("-")
    return slug or vendor or "provider"
