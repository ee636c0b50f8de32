"""``/api/v1/provider-keys``: the organisation's own keys at providers. A key comes in and is never shown again."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from litestar import Request, delete, get, put
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, JSONBody

from ruxa.access import provider_keys
from ruxa.console.api import caller
from ruxa.console.headers import Edge
from ruxa.console.page import Deps
from ruxa.kernel import ids
from ruxa.kernel.errors import NotFound
from ruxa.kernel.sealed import Sealed
from ruxa.ledger import plans


class ProviderKey(msgspec.Struct, frozen=True, kw_only=True):
    """An own key. ending: its last four characters, empty of a short one; house_stands_in: where the provider refuses
    it, the house's key is used at the price of the plan."""

    id: str
    provider: str
    ending: str
    house_stands_in: bool
    created_at: datetime


class NewProviderKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The key as the provider gave it, and whether the house's key may stand in for it."""

    key: str
    house_stands_in: bool = False


def handlers(deps: Deps, edge: Edge) -> list[HTTPRouteHandler]:
    """The routes."""

    @get(
        "/api/v1/provider-keys",
        operation_id="provider_keys_list",
        tags=["Keys"],
        summary="The organisation's own keys at providers, without the keys",
    )
    async def provider_keys_list(request: Request[Any, Any, Any]) -> list[ProviderKey]:
        async with caller.entered(deps, edge, request, "key:read") as who:
            return [shown(line) for line in await provider_keys.listed(who.work, who.organisation_id)]

    @put(
        "/api/v1/provider-keys/{provider:str}",
        operation_id="provider_keys_put",
        tags=["Keys"],
        summary="Let calls go to a provider with the organisation's own key, everywhere within 2 seconds",
    )
    async def provider_keys_put(
        request: Request[Any, Any, Any], provider: FromPath[str], data: JSONBody[NewProviderKey]
    ) -> ProviderKey:
        async with caller.entered(deps, edge, request, "organisation:change") as who:
            refuse_unknown(deps, provider)
            await plans.own_book(who.work, await plans.of(who.work, who.organisation_ref))
            made = await provider_keys.put(
                who.work,
                deps.vault,
                who.organisation_id,
                provider,
                Sealed(data.key),
                house_stands_in=data.house_stands_in,
                created_by=who.session.member_id if who.session else None,
            )
            await who.note("provider_key:set", made, details={"provider": provider})
            lines = await provider_keys.listed(who.work, who.organisation_id)
            return next(shown(line) for line in lines if line.id == made)

    @delete(
        "/api/v1/provider-keys/{provider:str}",
        operation_id="provider_keys_remove",
        tags=["Keys"],
        summary="Destroy the organisation's own key for a provider, everywhere within 2 seconds",
    )
    async def provider_keys_remove(request: Request[Any, Any, Any], provider: FromPath[str]) -> None:
        async with caller.entered(deps, edge, request, "organisation:change") as who:
            gone = await provider_keys.remove(who.work, who.organisation_id, provider)
            await who.note("provider_key:removed", gone, details={"provider": provider})

    return [provider_keys_list, provider_keys_put, provider_keys_remove]


def refuse_unknown(deps: Deps, provider: str) -> None:
    """Raises NotFound ``unknown_provider`` for one that is not configured here."""
    if deps.providers is not None and provider not in deps.providers:
        raise NotFound("No such provider is configured here.", code="unknown_provider", param="provider")


def shown(line: provider_keys.Line) -> ProviderKey:
    """A key as JSON."""
    return ProviderKey(
        id=ids.text("pkey", line.id),
        provider=line.provider,
        ending=line.ending,
        house_stands_in=line.house_stands_in,
        created_at=line.created_at,
    )
