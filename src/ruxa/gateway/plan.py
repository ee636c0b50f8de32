"""Plan: from the model a caller names to the targets that may serve it, the best first, or a refusal that says what to
do.

A public name is ``provider/model``, a route of the operator's, or a bare name: an alias of the price book or of the
operator's file. Prices are those of the caller's plan; what has none there is not served (D23). A key that reaches only
the sandbox gets only the sandbox (D10); who may not get the call by its data policy is left out before anything else is
looked at (``lawful``). Where the organisation has a key of its own for a provider, that provider is asked with it.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from typing import cast, get_args
from uuid import UUID

import msgspec

from ruxa.access.grants import Grant, OwnKey
from ruxa.dialects import COUNTERS, EMBEDDERS, TRANSLATORS
from ruxa.dialects.dialect import Dialect, Endpoint, Envelope, Name, Place
from ruxa.dialects.translated import KINDS, Kind
from ruxa.dialects.translator import Aim, Way
from ruxa.egress.http import Upstream
from ruxa.egress.provider import LACKS, Facts, Lack, Provider
from ruxa.gateway import order as orders
from ruxa.gateway.breaker import Breaker
from ruxa.gateway.lawful import lawful
from ruxa.kernel.clock import monotonic
from ruxa.kernel.errors import Forbidden, InvalidCall, NotFound, Unsupported
from ruxa.kernel.settings import ModelSettings
from ruxa.ledger import packed
from ruxa.ledger.prices import LIST, OWN, Price
from ruxa.ledger.routing import Route

WAYS: tuple[Way, ...] = get_args(Way)
# Endpoints that stand for others go out in any dialect that can be written.
WRITTEN: Mapping[Kind, Container[Name]] = {"answer": TRANSLATORS, "vectors": EMBEDDERS, "count": TRANSLATORS}
# Where each dialect has what the model is to read.
CONTENT: Mapping[Name, str] = {
    "openai_chat": "messages",
    "openai_responses": "input",
    "anthropic_messages": "messages",
    "gemini_generate": "contents",
}
_NOTHING = msgspec.Raw(b"null")
_NO_TOOLS = (b"null", b"[]")
_SLOWNESS = 0.2  # share of the newest figure in a target's time to the first token


class Pace:
    """How fast a model answers. first_s: the seconds to its first token, smoothed; 0.0 until one was seen."""

    __slots__ = ("first_s",)

    def __init__(self) -> None:
        self.first_s = 0.0

    def heard(self, seconds: float) -> None:
        """Its first token came after so long."""
        self.first_s = seconds if self.first_s == 0.0 else self.first_s + _SLOWNESS * (seconds - self.first_s)


class Target:
    """A model at a provider, with its price in one book. Request heads are built once per endpoint and kept.

    told: the header lines that name it in an answer; timed: somebody chooses by its pace; own: the organisation's own
    key that it is asked with, None: the house's; aside: of a target with an own key, the same with the house's, where
    that may stand in.
    """

    __slots__ = (
        "_columns",
        "_heads",
        "_spoken",
        "aim",
        "aside",
        "breaker",
        "closed",
        "lacks",
        "model",
        "own",
        "pace",
        "price",
        "price_column",
        "provider",
        "reasoning_tokens",
        "scope",
        "timed",
        "told",
        "upstream",
        "upstream_model",
    )

    def __init__(
        self,
        model: str,
        upstream_model: str,
        provider: Provider,
        upstream: Upstream,
        price: Price,
        breaker: Breaker,
        ways: frozenset[Way] | None = None,
        lacks: frozenset[Lack] | None = None,
        pace: Pace | None = None,
    ) -> None:
        self.model = model
        self.told = b"ruxa-provider: %b\r\nruxa-model: %b\r\n" % (
            provider.name.encode("ascii", "replace"),
            model.encode("ascii", "replace"),
        )
        self.upstream_model = upstream_model
        self.provider = provider
        self.upstream = upstream
        self.price = price
        self.scope = price.scope
        self.breaker = breaker
        self.closed = False  # for prepaid calls (decision D21)
        self.reasoning_tokens = provider.reasoning_tokens(upstream_model)  # hidden thinking of a call, an estimate
        self.price_column = packed.uuid(price.id)
        can = provider.ways(upstream_model) if ways is None else ways
        self.aim = Aim(model=upstream_model, cap=price.output_tokens_max, ways=can, refused=provider.terms.drop_fields)
        self.lacks = provider.lacks(upstream_model) if lacks is None else lacks  # what it can't take
        self.timed = False
        self.pace = pace or Pace()
        self.own: OwnKey | None = None
        self.aside: Target | None = None
        self._heads: dict[tuple[str, str, bool, bool], bytes] = {}
        self._columns: dict[tuple[str, str, bool], bytes] = {}
        self._spoken: dict[Kind, Name | None] = {}

    @property
    def facts(self) -> Facts:
        """Who gets its calls."""
        return self.provider.facts

    def relays(self, dialect: Name, endpoint: Endpoint = "none") -> bool:
        """Whether a call of that dialect goes to it as it is; completions do only where the model has them."""
        return dialect in self.provider.bases and (endpoint != "completions" or "completions" in self.aim.ways)

    def speaks(self, kind: Kind, own: Name) -> Name | None:
        """The dialect in which a call of that kind goes to it when it is not relayed: the caller's ``own``, where it
        can; None: it can't go there."""
        if own in self.provider.bases and own in WRITTEN[kind]:
            return own
        if kind not in self._spoken:
            order: list[Name] = [*self.provider.bases]
            if kind == "count":
                order.sort(key=lambda name: name not in COUNTERS)
            self._spoken[kind] = next((name for name in order if name in WRITTEN[kind]), None)
        return self._spoken[kind]

    def head(self, dialect: Dialect, place: Place) -> bytes:
        """The request head for that endpoint without the caller's own headers and without framing."""
        form = bool(place.boundary)  # then its type is a line of the call's own
        key = (place.dialect, place.endpoint, place.stream, place.array or form)
        head = self._heads.get(key)
        if head is None:
            path = dialect.upstream_path(place, self.upstream_model).decode()
            base = self.provider.bases[place.dialect]
            head = self._heads[key] = self.upstream.head("POST", base + path, _headers(self.provider, form))
        return head

    def columns(self, dialect: str, endpoint: str, stream: bool) -> bytes:
        """The columns of a usage row that are the target's."""
        key = (dialect, endpoint, stream)
        columns = self._columns.get(key)
        if columns is None:
            columns = packed.target(self.model, self.provider.name, self.upstream_model, dialect, endpoint, stream)
            self._columns[key] = columns
        return columns


class Wish(msgspec.Struct, frozen=True):
    """What a call asks of the plans.

    names: the model, then what shall stand in for it; needs: what the model must take besides text; conditions: of
    its data policy; guarded: what the call says is looked into, so nobody gets it as it is; prefix: what its prompt
    begins with, hashed (for routes by weight); worst: what it can cost at a price, in micros.
    """

    names: tuple[str, ...]
    needs: Callable[[], frozenset[Lack]]
    dialect: Dialect
    endpoint: Endpoint
    conditions: tuple[str, ...]
    guarded: bool
    prefix: Callable[[], bytes]
    worst: Callable[[Price], int]

    @property
    def kind(self) -> Kind | None:
        """Of the endpoint; None: it can't be translated."""
        return KINDS.get(self.endpoint)


class Chosen(msgspec.Struct, frozen=True):
    """The targets to try, in order, at least one; notice: what the caller should know of the name it used."""

    targets: tuple[Target, ...]
    notice: str = ""


class Offer:
    """What the callers of one book are offered: targets by public name, and by alias, the first provider first.

    version: of the plans that it was made of.
    """

    __slots__ = ("aliases", "book", "resolved", "targets", "version")

    def __init__(
        self, book: str, targets: dict[str, Target], aliases: dict[str, list[Target]], version: object
    ) -> None:
        self.book = book
        self.targets = targets
        self.aliases = aliases
        self.resolved: dict[tuple[str, Name], Target] = {}
        self.version = version


class Owned:
    """An organisation's own provider keys, opened: the providers as they are asked with them, by name.

    Held by the entries of the organisation's keys and by nobody else: what they hold last is gone from memory.
    """

    __slots__ = ("__weakref__", "breakers", "keys", "offer", "providers")

    def __init__(self, keys: Mapping[str, OwnKey], providers: Mapping[str, Provider]) -> None:
        self.keys = keys
        self.providers = providers
        self.breakers: dict[str, Breaker] = {}
        self.offer: Offer | None = None


class Plans:
    """Every target of this worker; replaced as a whole when prices or routes change, breakers are kept."""

    def __init__(
        self,
        providers: Mapping[str, Provider],
        upstreams: Mapping[str, Upstream],
        models: Mapping[str, ModelSettings],
        now_ms: Callable[[], int],
    ) -> None:
        """Raises InvalidCall ``bad_setting`` for a word of ``ways`` or ``lacks`` that is none."""
        self._providers = providers
        self._upstreams = upstreams
        self._models = models
        self._now_ms = now_ms
        self._ways = {name: _ways(name, model.ways) for name, model in models.items() if model.ways is not None}
        self._lacks = {name: _lacks(name, model.lacks) for name, model in models.items() if model.lacks is not None}
        self._books: Mapping[str, Mapping[str, Price]] = {}
        self._beyond: Container[str] = ()
        self._closed: Container[UUID] = ()
        self._routes: Mapping[str, Route] = {}
        self._timed: frozenset[str] = frozenset()
        self.version = object()  # another one after every change
        self._offers: dict[str, Offer] = {LIST: Offer(LIST, {}, {}, self.version)}
        self._breakers: dict[str, Breaker] = {}
        self._paces: dict[str, Pace] = {}

    @property
    def _targets(self) -> dict[str, Target]:
        """The targets at the list's prices."""
        return self._offers[LIST].targets

    def update(
        self,
        books: Mapping[str, Mapping[str, Price]],
        closed: Container[UUID] = (),
        routes: Mapping[str, Route] | None = None,
        beyond: Container[str] = (),
    ) -> None:
        """Take over the books in force, which prices of the list are closed for prepaid calls, the routes, and the
        plans in which what they do not name costs what the list says."""
        routes = self._routes if routes is None else routes
        known = (self._books, self._closed, self._routes, self._beyond)
        if books is self._books and known == (books, closed, routes, beyond):
            return
        self._books, self._closed, self._routes, self._beyond = books, closed, routes, beyond
        self._timed = frozenset(
            goal.model for route in routes.values() if route.by == "latency" for goal in route.goals
        )
        self.version = object()
        self._offers = {name: offer for name, offer in self._offers.items() if name == LIST or name in books}
        self._offer(LIST)

    def knows(self, grant: Grant) -> bool:
        """Whether the books that a key's calls are priced by have come."""
        return grant.book in self._books and (not grant.own_keys or OWN + grant.book in self._books)

    def _offer(self, book: str, own: Owned | None = None) -> Offer:
        """What is offered at a book's prices, to who has these own keys; made when it is first asked for."""
        if own is not None:
            offer = own.offer
            if offer is None or offer.version is not self.version or offer.book != book:
                offer = own.offer = self._make_own(book, own)
            return offer
        offer = self._offers.get(book)
        if offer is None or offer.version is not self.version:
            offer = self._offers[book] = self._make(book, {} if offer is None else offer.targets)
        return offer

    def _make(self, book: str, before: Mapping[str, Target]) -> Offer:
        targets: dict[str, Target] = dict(self._offer(LIST).targets) if book in self._beyond else {}
        for name, price in self._books.get(book, {}).items():
            provider = self._providers.get(price.provider)
            if provider is None:
                continue
            old = before.get(name)
            if old is not None and old.price == price:
                target = targets[name] = old
                target.closed = price.listed in self._closed
                target.timed = name in self._timed
                continue
            breaker = self._breakers.get(name)
            if breaker is None:
                breaker = self._breakers[name] = Breaker(monotonic)
            pace = self._paces.get(name)
            if pace is None:
                pace = self._paces[name] = Pace()
            targets[name] = self._target(provider, price, breaker, pace)
        return Offer(book, targets, self._by_aliases(targets), self.version)

    def _make_own(self, book: str, own: Owned) -> Offer:
        """Beside what the house's keys reach, what the organisation's own reach instead."""
        house = self._offer(book).targets
        before = {} if own.offer is None else own.offer.targets
        targets = {name: target for name, target in house.items() if target.provider.name not in own.providers}
        for name, price in self._books.get(OWN + book, {}).items():
            provider = own.providers.get(price.provider)
            if provider is None:
                continue
            target = before.get(name)
            if target is None or target.own is None or target.price != price:
                breaker = own.breakers.get(name)
                if breaker is None:
                    breaker = own.breakers[name] = Breaker(monotonic)
                target = self._target(provider, price, breaker, Pace())
                target.own = own.keys[provider.name]
            target.closed = price.listed in self._closed
            target.timed = name in self._timed
            target.aside = house.get(name) if own.keys[provider.name].aside else None
            targets[name] = target
        return Offer(book, targets, self._by_aliases(targets), self.version)

    def _target(self, provider: Provider, price: Price, breaker: Breaker, pace: Pace) -> Target:
        name = price.model
        settings = self._models.get(name)
        target = Target(
            name,
            (settings.upstream_model if settings else None) or name.partition("/")[2],
            provider,
            self._upstreams[price.provider],
            price,
            breaker,
            self._ways.get(name),
            self._lacks.get(name),
            pace,
        )
        target.closed = price.listed in self._closed
        target.timed = name in self._timed
        if settings is not None and settings.reasoning_tokens is not None:
            target.reasoning_tokens = settings.reasoning_tokens
        return target

    def _by_aliases(self, targets: Mapping[str, Target]) -> dict[str, list[Target]]:
        aliases: dict[str, list[Target]] = {}
        # The catalogue's order of providers decides who answers to a bare name that several have.
        order_of = {name: index for index, name in enumerate(self._providers)}
        for target in sorted(targets.values(), key=lambda target: order_of[target.provider.name]):
            settings = self._models.get(target.model)
            for alias in {*target.price.aliases, *(settings.aliases if settings else ())}:
                aliases.setdefault(alias, []).append(target)
        return aliases

    def single(self, name: str, dialect: Dialect, grant: Grant, own: Owned | None = None) -> Target | None:
        """The one target that a call of that dialect is relayed to as it is, for a key without a data policy; None
        when there is more to it. Raises NotFound, Forbidden."""
        if name in self._routes or grant.conditions or name in grant.habits.routes:
            return None
        target = self._named(self._offer(grant.book, own), name, dialect)
        if not target.relays(dialect.name) or target.lacks or target.aside is not None:
            return None
        self._refuse(target, name, grant)
        return target

    def choose(self, wish: Wish, grant: Grant, own: Owned | None = None) -> Chosen:
        """The targets for a call, the best first. Raises NotFound, Forbidden, InvalidCall, Unsupported."""
        offer = self._offer(grant.book, own)
        found: dict[tuple[str, bool], Target] = {}
        notice = ""
        for name in self._own_route(wish.names, grant):
            route = self._routes.get(name)
            if route is None:
                some = [self._named(offer, name, wish.dialect)]
                self._refuse(some[0], name, grant)
            else:
                notice = notice or self._notice(route)
                some = self._along(offer, route, wish, grant)
            for target in some:
                found.setdefault((target.model, target.own is not None), target)
                if target.aside is not None:
                    found.setdefault((target.model, False), target.aside)
        targets = list(found.values())
        if wish.conditions:
            targets = lawful(targets, wish.conditions, wish.names[0])
        able = [target for target in targets if self._able(target, wish)]
        if not able:
            model = targets[0].model
            if wish.guarded and any(target.relays(wish.dialect.name, wish.endpoint) for target in targets):
                raise Forbidden(
                    "This key has a guard, which can't look into calls of this endpoint.", code="guard_refused"
                )
            if wish.kind == "vectors":
                raise Unsupported(f"{model} makes no embeddings.", code="no_embeddings", param="model")
            raise Unsupported(f"{model} can't be asked by this endpoint.", code="wrong_endpoint", param="model")
        able = fit(able, wish)
        # One purse pays for a call: what another one would have to pay for does not stand in.
        able = [target for target in able if target.scope == able[0].scope]
        able.sort(key=lambda target: target.closed or target.breaker.resting())
        return Chosen(tuple(able), notice)

    def _own_route(self, names: tuple[str, ...], grant: Grant) -> list[str]:
        """The names that a call asks for, with what its key goes to instead of them. A route of the key is no way round
        what the key may use, and leads to no other route of the key."""
        routes = grant.habits.routes
        return [name for asked in names for name in routes.get(asked, (asked,))]

    def _able(self, target: Target, wish: Wish) -> bool:
        if target.relays(wish.dialect.name, wish.endpoint) and not wish.guarded:
            return True
        if wish.kind is None or wish.dialect.name not in WRITTEN[wish.kind]:
            return False
        return target.speaks(wish.kind, wish.dialect.name) is not None

    def _along(self, offer: Offer, route: Route, wish: Wish, grant: Grant) -> list[Target]:
        """The targets of a route that the key may use, in the route's order."""
        some: list[Target] = []
        refused: Forbidden | None = None
        for goal in route.goals:
            target = offer.targets.get(goal.model)
            if target is None:
                continue
            try:
                self._refuse(target, route.name, grant)
            except Forbidden as error:
                refused = error
            else:
                some.append(target)
        if not some:
            if refused is not None:
                raise refused
            raise NotFound(f"No model of the route {route.name} is served now.", code="model_not_priced", param="model")
        if len(some) == 1 or route.by == "order":
            return some
        if route.by == "price":
            return sorted(some, key=lambda target: wish.worst(target.price))
        if route.by == "latency":
            return sorted(some, key=lambda target: target.pace.first_s)
        weights = {goal.model: goal.weight for goal in route.goals}
        return orders.shared(some, [weights[target.model] for target in some], wish.prefix())

    def _notice(self, route: Route) -> str:
        """What is to be told of a name that will go. Raises NotFound ``model_retired`` once it has gone."""
        if route.retires_at is None:
            return ""
        at = route.retires_at
        if self._now_ms() >= at.timestamp() * 1000:
            raise NotFound(
                f"The model {route.name} was retired on {at:%Y-%m-%d}; use {route.successor}.",
                code="model_retired",
                param="model",
            )
        return f"{route.name} retires on {at:%Y-%m-%d}; use {route.successor}"

    def _named(self, offer: Offer, name: str, dialect: Dialect) -> Target:
        target = offer.targets.get(name)
        return self._by_alias(offer, name, dialect) if target is None else target

    def _refuse(self, target: Target, name: str, grant: Grant) -> None:
        if grant.models is not None and name not in grant.models and not allowed(grant.models, target):
            raise Forbidden(f"This key may not use the model {target.model}.", code="model_not_allowed", param="model")
        if not grant.livemode and target.scope != "sandbox":
            raise Forbidden(
                "This is a test key: it reaches sandbox/* only.", code="test_key_sandbox_only", param="model"
            )

    def _by_alias(self, offer: Offer, name: str, dialect: Dialect) -> Target:
        known = offer.resolved.get((name, dialect.name))
        if known is not None:
            return known
        found = offer.aliases.get(name)
        if found:
            target = next((target for target in found if target.relays(dialect.name)), found[0])
            offer.resolved[name, dialect.name] = target
            return target
        listed = self._offer(LIST)
        if offer is not listed and (name in listed.targets or name in listed.aliases):
            raise NotFound(
                f"The plan of this organisation has no price for the model {_shown(name)}.",
                code="model_not_priced",
                param="model",
            )
        provider = name.partition("/")[0]
        if "/" in name and provider in self._providers:
            raise NotFound(
                f"The model {_shown(name)} has no price here. The operator sets one with: "
                f"ruxa price set {_shown(name)} --input MICROS --output MICROS",
                code="model_not_priced",
                param="model",
            )
        raise dialect.unknown_model(name)

    def usable(self, grant: Grant, own: Owned | None = None) -> list[Target]:
        """What a key can use, at the prices of its organisation, in order of name."""
        return [
            target
            for _, target in sorted(self._offer(grant.book, own).targets.items())
            if (grant.models is None or allowed(grant.models, target)) and (grant.livemode or target.scope == "sandbox")
        ]

    def routes(self, grant: Grant, own: Owned | None = None) -> list[tuple[str, list[Target]]]:
        """The routes that a key can use and that have not retired, by name, each with the targets that it can reach."""
        found: list[tuple[str, list[Target]]] = []
        usable = {target.model: target for target in self.usable(grant, own)}
        every = self._offer(grant.book, own).targets
        for name, route in sorted(self._routes.items()):
            if route.retires_at is not None and self._now_ms() >= route.retires_at.timestamp() * 1000:
                continue
            goals = every if grant.models is not None and name in grant.models else usable
            targets = [goals[goal.model] for goal in route.goals if goal.model in goals]
            targets = [target for target in targets if grant.livemode or target.scope == "sandbox"]
            if targets:
                found.append((name, targets))
        return found

    def open_breakers(self) -> int:
        """How many targets are not asked now."""
        return sum(1 for breaker in self._breakers.values() if breaker.open_until)

    def closed_routes(self) -> int:
        """How many targets are closed for prepaid calls."""
        return sum(1 for target in self._targets.values() if target.closed)

    def __len__(self) -> int:
        return len(self._targets)


def needs(envelope: Envelope) -> frozenset[Lack]:
    """What a model must be able to take for a call, besides text."""
    load = envelope.load
    counts: dict[Lack, int] = {
        "images": load.images,
        "documents": load.documents,
        "audio": load.audios,
        "video": load.videos,
        "tools": bytes(envelope.members.get("tools", _NOTHING)).translate(None, b" \t\r\n") not in _NO_TOOLS,
    }
    return frozenset(kind for kind, count in counts.items() if count)


def fit(able: list[Target], wish: Wish) -> list[Target]:
    """Those of the targets that can take what the call brings. Raises InvalidCall when none can."""
    if wish.kind not in ("answer", "count") or not any(target.lacks for target in able):
        return able
    needed = wish.needs()
    found = [target for target in able if target.lacks.isdisjoint(needed)]
    if not found:
        lacking = next(kind for kind in LACKS if kind in able[0].lacks & needed)
        param = "tools" if lacking == "tools" else CONTENT.get(wish.dialect.name)
        raise InvalidCall(
            f"{able[0].model} can't take {lacking}. Nothing was sent, and nothing is charged.",
            code="unsupported_input",
            param=param,
        )
    return found


def allowed(models: Iterable[str], target: Target) -> bool:
    """Whether a key's list names the target: by public name, by alias, or by ``provider/*``."""
    return any(
        name == target.model or name == f"{target.provider.name}/*" or name in target.price.aliases for name in models
    )


def _ways(name: str, words: tuple[str, ...]) -> frozenset[Way]:
    for word in words:
        if word not in WAYS:
            raise InvalidCall(f'models."{name}".ways: {word} is none of {", ".join(WAYS)}.', code="bad_setting")
    return frozenset(cast(tuple[Way, ...], words))


def _lacks(name: str, words: tuple[str, ...]) -> frozenset[Lack]:
    for word in words:
        if word not in LACKS:
            raise InvalidCall(f'models."{name}".lacks: {word} is none of {", ".join(LACKS)}.', code="bad_setting")
    return frozenset(cast(tuple[Lack, ...], words))


def _headers(provider: Provider, form: bool) -> dict[str, str]:
    headers = provider.headers()
    if form:
        del headers["content-type"]
    return headers


def _shown(name: str) -> str:
    """A model name as it may stand in an error: it came from the caller, so it is cut and made plain."""
    return "".join(char if char.isprintable() else "?" for char in name[:100])
