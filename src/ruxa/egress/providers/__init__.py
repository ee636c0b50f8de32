"""The providers: rows of ``catalogue.toml`` and, where a vendor has ways of its own, an adapter named in ``ADAPTERS``.

``load`` makes the configured ones: the operator's file over the catalogue. A provider without a key that needs one is
left out and named in ``Loaded.unready``.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from datetime import date
from importlib.resources import files

import msgspec

from ruxa.dialects.dialect import Name
from ruxa.dialects.translator import Way
from ruxa.egress.provider import MECHANISMS, Adapter, Facts, Lack, Lacks, Provider, Row, Ways, read_dialect
from ruxa.egress.providers import anthropic, google, openai, sandbox
from ruxa.kernel.errors import InvalidCall
from ruxa.kernel.settings import ProviderSettings

ADAPTERS: dict[str, Adapter] = {"openai": openai, "anthropic": anthropic, "google": google, "sandbox": sandbox}
# Whose ways a provider that is not in the catalogue has: those of the vendor whose dialect it speaks.
OWNERS: dict[Name, str] = {
    "openai_chat": "openai",
    "openai_responses": "openai",
    "openai_media": "openai",
    "anthropic_messages": "anthropic",
    "gemini_generate": "google",
}

# What the operator's file may say of a provider over the catalogue's facts.
FACTS = ("where", "retention_days", "trains", "zero_retention", "mechanism", "certified_on")


class Loaded(msgspec.Struct, frozen=True):
    """Providers that can be called, in the catalogue's order; and the configured ones that can't, with the reason."""

    ready: dict[str, Provider]
    unready: dict[str, str]


def catalogue() -> dict[str, Row]:
    """Every row that is shipped, in order."""
    text = files(__name__).joinpath("catalogue.toml").read_text(encoding="utf-8")
    return {name: msgspec.convert(row, Row) for name, row in tomllib.loads(text).items()}


def ways() -> dict[str, Ways]:
    """What models can do, by provider; and by dialect, for providers without a table of their own."""
    text = files(__name__).joinpath("ways.toml").read_text(encoding="utf-8")
    tables = msgspec.convert(tomllib.loads(text), dict[str, dict[str, frozenset[Way]]])
    return {
        name: {beginning: can for line, can in table.items() for beginning in line.split(" ")}
        for name, table in tables.items()
    }


def lacks() -> dict[str, Lacks]:
    """What models can't take, by provider."""
    text = files(__name__).joinpath("lacks.toml").read_text(encoding="utf-8")
    tables = msgspec.convert(tomllib.loads(text), dict[str, dict[str, frozenset[Lack]]])
    return {
        name: {beginning: can_not for line, can_not in table.items() for beginning in line.split(" ")}
        for name, table in tables.items()
    }


def _facts(name: str, facts: Facts, settings: ProviderSettings) -> Facts:
    """The catalogue's facts with what the operator says over them."""
    said = {field: getattr(settings, field) for field in FACTS}
    if settings.mechanism is not None and settings.mechanism not in MECHANISMS:
        raise InvalidCall(f"providers.{name}: mechanism must be one of {', '.join(MECHANISMS)}.", code="bad_provider")
    if settings.certified_on is not None and not _is_day(settings.certified_on):
        raise InvalidCall(f"providers.{name}: certified_on is a day, for instance 2026-11-24.", code="bad_provider")
    return msgspec.structs.replace(facts, **{field: value for field, value in said.items() if value is not None})


def _is_day(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def load(
    configured: Mapping[str, ProviderSettings],
    read_secret: Callable[[str], str],
    *,
    sandbox_url: str | None = None,
) -> Loaded:
    """Make the providers of the operator's file, and the sandbox when its address is known.

    ``read_secret`` resolves ``env:NAME`` and ``file:PATH``. Raises InvalidCall for a row that makes no sense.
    """
    rows = catalogue()
    tables, lacking = ways(), lacks()
    ready: dict[str, Provider] = {}
    unready: dict[str, str] = {}
    wanted = dict(configured)
    if sandbox_url is not None:
        wanted["sandbox"] = ProviderSettings(base_url=sandbox_url)
    order = [name for name in rows if name in wanted] + [name for name in wanted if name not in rows]
    for name in order:
        settings = wanted[name]
        row = rows.get(name, Row())
        if "/" in name or not name:
            raise InvalidCall(f"providers.{name}: a provider's name holds no slash.", code="bad_provider")
        if settings.dialect is not None:
            dialect = read_dialect(name, settings.dialect)
            adapter = row.adapter if name in rows else OWNERS[dialect]
            row = msgspec.structs.replace(row, adapter=adapter, dialects={dialect: row.dialects.get(dialect, "")})
        if not row.dialects:
            raise InvalidCall(
                f'providers.{name} is not in the catalogue: give it a dialect (for instance "openai_chat").',
                code="bad_provider",
            )
        row = msgspec.structs.replace(
            row,
            pass_fields=(*row.pass_fields, *settings.pass_fields),
            drop_fields=(*row.drop_fields, *settings.drop_fields),
            facts=_facts(name, row.facts, settings),
        )
        base_url = settings.base_url or row.base_url
        if not base_url:
            unready[name] = "base_url is missing"
            continue
        key: str | None = None
        if settings.key is not None:
            try:
                key = read_secret(settings.key)
            except InvalidCall as fault:
                unready[name] = fault.public
                continue
        elif name == "sandbox":
            key = "sandbox"  # it wants one, as a vendor does; any will do
        elif not row.keyless and settings.base_url is None:
            unready[name] = "key is missing"
            continue
        can = tables.get(name) or tables.get(next(iter(row.dialects)))
        ready[name] = Provider(
            name, row, ADAPTERS[row.adapter], base_url=base_url, key=key, ways=can, lacks=lacking.get(name)
        )
    return Loaded(ready, unready)
