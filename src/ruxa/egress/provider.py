"""Provider: the contract of an upstream that answers AI calls - where it is, how its key is sent, what it permits.

A provider is a row of ``providers/catalogue.toml`` (or of the operator's file) plus the adapter its row names. The
key lives here and in the request heads built from it, never in a URL, a log line or an answer.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Literal, Protocol, TypeVar, get_args
from urllib.parse import urlsplit

import msgspec

from ruxa.dialects.dialect import Name, Terms
from ruxa.dialects.translator import Way
from ruxa.egress.http import Origin
from ruxa.egress.recipient import Recipient
from ruxa.kernel.errors import InvalidCall

DIALECTS: tuple[Name, ...] = get_args(Name)
USER_AGENT = "ruxa"
ACCEPTED = "application/json, text/event-stream"
_FIXED = {"user-agent": USER_AGENT, "content-type": "application/json", "accept": ACCEPTED}
# What a provider gets of a call: what the customer wrote, and stand-ins for identities (decision D11).
CONTENT = "user.content"
STAND_IN = "user.unique_id.pseudonymous"
SENT = (CONTENT, STAND_IN)
# What a transfer to a recipient may rest on: a decision that its country protects as well, standard clauses, rules of
# its own that bind it, or that nothing leaves this installation.
MECHANISMS = ("adequacy", "scc", "bcr", "own", "unknown")


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """Who a recipient is and what it does with what it gets; None is unknown, the worst class.

    where: the country of its seat, ``own`` for this installation; mechanism: what a transfer to it rests on
    (``MECHANISMS``), certified_on: the day on which that was last certified or signed; source: where it publishes its
    terms.
    """

    who: str = "unknown"
    where: str = "unknown"
    retention_days: int | None = None
    trains: bool | None = None
    zero_retention: bool | None = None
    safeguard: str = "the operator's own contract"
    mechanism: str = "unknown"
    certified_on: str | None = None
    source: str = ""

    @property
    def kept_days(self) -> int | None:
        """How many days it keeps what it gets: none with zero retention; None is unknown."""
        return 0 if self.zero_retention else self.retention_days


class Row(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One provider of the catalogue. ``dialects``: dialect -> path after ``base_url`` (which may hold the version).

    reasoning_tokens: beginning of a model's name at the provider -> about how many tokens such a model thinks, unseen,
    before it answers; counted only when the caller leaves before the provider told its figures (decision D16).
    """

    base_url: str = ""
    adapter: str = "openai"
    dialects: dict[Name, str] = {}
    allowed: tuple[str, ...] = ()
    pass_fields: tuple[str, ...] = ()
    drop_fields: tuple[str, ...] = ()
    pass_betas: tuple[str, ...] = ()
    keyless: bool = False
    reasoning_tokens: dict[str, int] = {}
    facts: Facts = Facts()


Lack = Literal["images", "documents", "audio", "video", "tools"]
LACKS: tuple[Lack, ...] = get_args(Lack)
Lacks = Mapping[str, frozenset[Lack]]
"""Beginning of a model's name at the provider -> what such a model can't take."""
Ways = Mapping[str, frozenset[Way]]
"""Beginning of a model's name at the provider -> what such a model can do."""


class Adapter(Protocol):
    """The ways of one vendor beyond its row."""

    def key_headers(self, key: str) -> Mapping[str, str]:
        """How the key is sent: headers, never the URL."""
        ...

    def probe(self) -> str:
        """A cheap GET (after the dialect's base path) that proves reachability and key."""
        ...


class Provider:
    """One configured provider. keyed: a key of the operator's goes with every call."""

    __slots__ = (
        "_headers",
        "_lacks",
        "_reasoning_tokens",
        "_ways",
        "adapter",
        "bases",
        "facts",
        "keyed",
        "name",
        "origin",
        "recipient",
        "terms",
    )

    def __init__(
        self,
        name: str,
        row: Row,
        adapter: Adapter,
        *,
        base_url: str,
        key: str | None,
        ways: Ways | None = None,
        lacks: Lacks | None = None,
    ) -> None:
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise InvalidCall(f"providers.{name}: base_url must be http(s)://host[:port][/path].", code="bad_base_url")
        if parts.username or parts.password:
            raise InvalidCall(f"providers.{name}: the key never stands in the URL.", code="bad_base_url")
        tls = parts.scheme == "https"
        self.name = name
        self.adapter = adapter
        self.keyed = bool(key)
        self.origin = Origin(host=parts.hostname, port=parts.port or (443 if tls else 80), tls=tls, recipient=name)
        path = parts.path.rstrip("/")
        self.bases: dict[Name, str] = {dialect: path + rest for dialect, rest in row.dialects.items()}
        self.terms = Terms(
            allowed=frozenset(row.allowed),
            pass_fields=frozenset(row.pass_fields),
            drop_fields=frozenset(row.drop_fields),
            pass_betas=frozenset(row.pass_betas),
        )
        self.facts = row.facts
        self._reasoning_tokens = row.reasoning_tokens
        self._ways: Ways = ways or {}
        self._lacks: Lacks = lacks or {}
        self.recipient = Recipient(
            name=name,
            role="own" if name == "sandbox" else "provider",
            who=row.facts.who,
            what=SENT,
            why=("provide",),
            where=row.facts.where,
            safeguard=row.facts.safeguard,
            source=row.facts.source,
            trains=row.facts.trains,
            retention_days=row.facts.kept_days,
            zero_retention=row.facts.zero_retention,
            mechanism=None if row.facts.mechanism == "unknown" else row.facts.mechanism,
            certified_on=row.facts.certified_on,
        )
        self._headers = {**_FIXED, **(adapter.key_headers(key) if key else {})}

    def __repr__(self) -> str:
        return f"Provider({self.name!r})"

    def with_key(self, key: str) -> Provider:
        """The same provider as it is asked with a customer's own key: who it is and where it lies stay as they are,
        and fields that nobody here knows may go there (decision D11)."""
        asked = copy.copy(self)
        asked.keyed = True
        asked.terms = msgspec.structs.replace(self.terms, own_key=True)
        asked._headers = {**_FIXED, **self.adapter.key_headers(key)}
        return asked

    def headers(self) -> dict[str, str]:
        """The headers of every call: the key, a fixed user agent, the media types."""
        return dict(self._headers)

    def reasoning_tokens(self, model: str) -> int:
        """The catalogue's estimate of the unseen thinking of one call; ``model`` as the provider names it."""
        return _longest(self._reasoning_tokens, model, 0)

    def ways(self, model: str) -> frozenset[Way]:
        """What a model can do within its dialect; ``model`` as the provider names it."""
        return _longest(self._ways, model, _NO_WAYS)

    def lacks(self, model: str) -> frozenset[Lack]:
        """What a model can't take; ``model`` as the provider names it."""
        return _longest(self._lacks, model, _NO_LACKS)


_NO_WAYS: frozenset[Way] = frozenset()
_NO_LACKS: frozenset[Lack] = frozenset()
Value = TypeVar("Value")


def _longest(table: Mapping[str, Value], model: str, otherwise: Value) -> Value:
    """The value of the longest beginning of the model's name."""
    fitting = [name for name in table if model.startswith(name)]
    return table[max(fitting, key=len)] if fitting else otherwise


def read_dialect(name: str, text: str) -> Name:
    """A dialect's name from the operator's file. Raises InvalidCall that lists the known ones."""
    if text not in DIALECTS:
        raise InvalidCall(f"providers.{name}: dialect must be one of {', '.join(DIALECTS)}.", code="unknown_dialect")
    return text
