"""Plan: from the model a caller names to the one target that serves it, or a refusal that says what to do.

A public name is ``provider/model``; a bare name is an alias of the price book or of the operator's file. What has no
price is not served (D23); a key that reaches only the sandbox gets only the sandbox (D10).
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from uuid import UUID

from ruxa.access.grants import Grant
from ruxa.dialects.dialect import Dialect, Name, Place
from ruxa.egress.http import Upstream
from ruxa.egress.provider import Provider
from ruxa.gateway.breaker import Breaker
from ruxa.kernel.clock import monotonic
from ruxa.kernel.errors import Forbidden, InvalidCall, NotFound
from ruxa.kernel.settings import ModelSettings
from ruxa.ledger import packed
from ruxa.ledger.prices import Price

SPOKEN: dict[Name, str] = {
    "openai_chat": "the OpenAI dialect (POST /v1/chat/completions)",
    "openai_responses": "the OpenAI dialect (POST /v1/responses)",
    "openai_media": "the OpenAI dialect (images, audio, moderations)",
    "anthropic_messages": "the Anthropic dialect (POST /v1/messages)",
    "gemini_generate": "the Gemini dialect (POST /v1beta/models/MODEL:generateContent)",
}


class Target:
    """A model at a provider, with its price. Request heads are built once per endpoint and kept."""

    __slots__ = (
        "_columns",
        "_heads",
        "breaker",
        "closed",
        "model",
        "price",
        "price_column",
        "provider",
        "reasoning_tokens",
        "scope",
        "upstream",
        "upstream_model",
    )

    def __init__(
        self, model: str, upstream_model: str, provider: Provider, upstream: Upstream, price: Price, breaker: Breaker
    ) -> None:
        self.model = model
        self.upstream_model = upstream_model
        self.provider = provider
        self.upstream = upstream
        self.price = price
        self.scope = price.scope
        self.breaker = breaker
        self.closed = False  # for prepaid calls (decision D21)
        self.reasoning_tokens = provider.reasoning_tokens(upstream_model)  # hidden thinking of a call, an estimate
        self.price_column = packed.uuid(price.id)
        self._heads: dict[tuple[str, str, bool, bool], bytes] = {}
        self._columns: dict[tuple[str, str, bool], bytes] = {}

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


class Plans:
    """Every target of this worker; replaced as a whole when prices change, breakers are kept."""

    def __init__(
        self, providers: Mapping[str, Provider], upstreams: Mapping[str, Upstream], models: Mapping[str, ModelSettings]
    ) -> None:
        self._providers = providers
        self._upstreams = upstreams
        self._models = models
        self._targets: dict[str, Target] = {}
        self._aliases: dict[str, list[Target]] = {}
        self._resolved: dict[tuple[str, Name], Target] = {}
        self.version = object()  # another one after every change
        self._breakers: dict[str, Breaker] = {}

    def update(self, prices: Mapping[str, Price], closed: Container[UUID] = ()) -> None:
        """Take over the prices in force, and which of them are closed for prepaid calls."""
        targets: dict[str, Target] = {}
        for name, price in prices.items():
            provider = self._providers.get(price.provider)
            if provider is None:
                continue
            settings = self._models.get(name)
            upstream_model = (settings.upstream_model if settings else None) or name.partition("/")[2]
            old = self._targets.get(name)
            if old is not None and old.price == price:
                targets[name] = old
                old.closed = price.id in closed
                continue
            breaker = self._breakers.get(name)
            if breaker is None:
                breaker = self._breakers[name] = Breaker(monotonic)
            target = targets[name] = Target(
                name, upstream_model, provider, self._upstreams[price.provider], price, breaker
            )
            target.closed = price.id in closed
            if settings is not None and settings.reasoning_tokens is not None:
                target.reasoning_tokens = settings.reasoning_tokens
        aliases: dict[str, list[Target]] = {}
        # The catalogue's order of providers decides who answers to a bare name that several have.
        order = {name: index for index, name in enumerate(self._providers)}
        for target in sorted(targets.values(), key=lambda target: order[target.provider.name]):
            settings = self._models.get(target.model)
            for alias in {*target.price.aliases, *(settings.aliases if settings else ())}:
                aliases.setdefault(alias, []).append(target)
        self._targets, self._aliases = targets, aliases
        self._resolved = {}
        self.version = object()

    def find(self, name: str, dialect: Dialect, grant: Grant) -> Target:
        """The target of a model for a key. Raises NotFound, Forbidden, InvalidCall."""
        target = self._targets.get(name)
        if target is None:
            target = self._by_alias(name, dialect)
        if dialect.name not in target.provider.bases:
            speaks = " or ".join(SPOKEN[spoken] for spoken in target.provider.bases)
            raise InvalidCall(
                f"The model {target.model} is served in {speaks}, not in the dialect of this path.",
                code="wrong_dialect",
                param="model",
            )
        if grant.models is not None and not allowed(grant.models, target):
            raise Forbidden(f"This key may not use the model {target.model}.", code="model_not_allowed", param="model")
        if not grant.livemode and target.scope != "sandbox":
            raise Forbidden(
                "This is a test key: it reaches sandbox/* only.", code="test_key_sandbox_only", param="model"
            )
        return target

    def _by_alias(self, name: str, dialect: Dialect) -> Target:
        known = self._resolved.get((name, dialect.name))
        if known is not None:
            return known
        found = self._aliases.get(name)
        if found:
            target = next((target for target in found if dialect.name in target.provider.bases), found[0])
            self._resolved[name, dialect.name] = target
            return target
        provider = name.partition("/")[0]
        if "/" in name and provider in self._providers:
            raise NotFound(
                f"The model {_shown(name)} has no price here. The operator sets one with: "
                f"ruxa price set {_shown(name)} --input MICROS --output MICROS",
                code="model_not_priced",
                param="model",
            )
        raise dialect.unknown_model(name)

    def usable(self, grant: Grant, dialect: Name | None = None) -> list[Target]:
        """What a key can use, in order of name."""
        return [
            target
            for _, target in sorted(self._targets.items())
            if (dialect is None or dialect in target.provider.bases)
            and (grant.models is None or allowed(grant.models, target))
            and (grant.livemode or target.scope == "sandbox")
        ]

    def open_breakers(self) -> int:
        """How many targets are not asked now."""
        return sum(1 for breaker in self._breakers.values() if breaker.open_until)

    def closed_routes(self) -> int:
        """How many targets are closed for prepaid calls."""
        return sum(1 for target in self._targets.values() if target.closed)

    def __len__(self) -> int:
        return len(self._targets)


def allowed(models: Iterable[str], target: Target) -> bool:
    """Whether a key's list names the target: by public name, by alias, or by ``provider/*``."""
    return any(
        name == target.model or name == f"{target.provider.name}/*" or name in target.price.aliases for name in models
    )


def _shown(name: str) -> str:
    """A model name as it may stand in an error: it came from the caller, so it is cut and made plain."""
    return "".join(char if char.isprintable() else "?" for char in name[:100])
def _ways(name: str, words: tuple[str, ...]) -> frozenset[Way]:
    for word in words:
        if word not in WAYS:
            raise InvalidCall(f'models."{name}".ways: {word} is none of {", ".join(WAYS)}.', code="bad_setting")
    return frozenset(cast(tuple[Way, ...], words))


def _headers(provider: Provider, form: bool) -> dict[str, str]:
    headers = provider.headers()
    if form:
        del headers["content-type"]
    return headers


