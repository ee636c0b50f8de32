"""The routes of the console's side of ``/api/v1``, and the description of the whole."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Request, Response, get
from litestar.handlers import HTTPRouteHandler

from ruxa.console.api import (
    audit,
    billing,
    content,
    documents,
    holds,
    keys,
    openapi,
    orders,
    organisation,
    payments,
    plans,
    privacy,
    provider_keys,
    reconciliation,
    staff,
    usage,
)
from ruxa.console.headers import Edge
from ruxa.console.page import Deps


def handlers(deps: Deps, edge: Edge, published: openapi.Description) -> list[HTTPRouteHandler]:
    """Every route, ``openapi.json`` last."""

    @get("/api/v1/openapi.json", include_in_schema=False)
    async def description(request: Request[Any, Any, Any]) -> Response[bytes]:
        edge.refuse_host(request.headers)
        return Response(
            msgspec.json.encode(published.of(request.app)),
            media_type="application/json",
            headers={"cache-control": "public, max-age=300"},
        )

    return [
        *keys.handlers(deps, edge),
        *provider_keys.handlers(deps, edge),
        *usage.handlers(deps, edge),
        *content.handlers(deps, edge),
        *billing.handlers(deps, edge),
        *orders.handlers(deps, edge),
        *documents.handlers(deps, edge),
        *organisation.handlers(deps, edge),
        *privacy.handlers(deps, edge),
        *audit.handlers(deps, edge),
        *staff.handlers(deps, edge),
        *holds.handlers(deps, edge),
        *payments.handlers(deps, edge),
        *reconciliation.handlers(deps, edge),
        *plans.handlers(deps, edge),
        description,
    ]
