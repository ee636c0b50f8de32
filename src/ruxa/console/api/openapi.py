"""The OpenAPI 3.1 description of ``/api/v1``, made from the routes and their structs, and the one shape of its errors.

Litestar's own document is taken and finished: the error answer of every route, both ways to authenticate, and the
gateway's part of ``/api/v1`` (decision D2).
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import msgspec
from litestar import Litestar, Response

from ruxa.console.page import Deps
from ruxa.kernel.errors import RuxaError

DOCS = "/docs/api"
METHODS = ("get", "post", "put", "patch", "delete")
# Bodies that refuse a field they do not know; Litestar leaves that out of its schemas.
CLOSED = (
    "NewKey",
    "Rotation",
    "TopUp",
    "OrganisationChange",
    "Invitation",
    "RoleChange",
    "Credit",
    "Suspension",
    "EraseWish",
    "NewOrder",
    "NewRefund",
    "AutoWish",
    "BillingDetails",
    "Alerts",
    "StaffRefund",
    "Arrival",
    "Evidence",
    "Decision",
    "WriteOff",
)
ERROR_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "Every error of /api/v1. code equals the HTTP status; error.type is the word to program against.",
    "required": ["code", "message", "data", "error", "requestId"],
    "properties": {
        "code": {"type": "integer"},
        "message": {"type": "string"},
        "data": {"type": "null"},
        "error": {
            "type": "object",
            "required": ["type", "param", "docUrl"],
            "properties": {
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "docUrl": {"type": "string"},
            },
        },
        "requestId": {"type": "string"},
    },
}


class ErrorDetail(msgspec.Struct, frozen=True, rename="camel"):
    """``type``: stable word; ``param``: the field at fault; ``docUrl``: where it is explained."""

    type: str
    param: str | None
    doc_url: str


class ErrorBody(msgspec.Struct, frozen=True, rename="camel"):
    """The body of every error of ``/api/v1``."""

    code: int
    message: str
    data: None
    error: ErrorDetail
    request_id: str


def body(error: RuxaError, request_id: str) -> ErrorBody:
    """``error`` in the shape of ``/api/v1``; its private detail stays out."""
    return ErrorBody(
        error.status, error.public, None, ErrorDetail(error.code, error.param, f"{DOCS}#errors"), request_id
    )


def error(known: RuxaError, request_id: str) -> Response[Any]:
    """The answer to a failed call of ``/api/v1``."""
    response: Response[Any] = Response(
        msgspec.json.encode(body(known, request_id)), status_code=known.status, media_type="application/json"
    )
    if known.retry_after_s is not None:
        response.set_header("retry-after", str(known.retry_after_s))
    if known.status == HTTPStatus.UNAUTHORIZED:
        response.set_header("www-authenticate", 'Bearer realm="ruxa"')
    return response


class Description:
    """The published description of one application, made when first asked for."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps
        self._made: dict[str, Any] | None = None

    def of(self, app: Litestar) -> dict[str, Any]:
        """The description; nobody changes it."""
        if self._made is None:
            self._made = described(app, self._deps)
        return self._made


def described(app: Litestar, deps: Deps) -> dict[str, Any]:
    """The published description: the console's routes and the gateway's."""
    found: dict[str, Any] = app.openapi_schema.to_schema()
    found["info"] = {
        "title": "Ruxa platform API",
        "version": deps.version,
        "description": "Keys, usage, balance, ledger, receipts and administration.",
        "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
    }
    found["servers"] = [{"url": deps.base_url}]
    components: dict[str, Any] = found.setdefault("components", {})
    components.setdefault("schemas", {})["Error"] = ERROR_SCHEMA
    components["securitySchemes"] = {
        "key": {"type": "http", "scheme": "bearer", "description": "An API key with the scope that the route needs."},
        "session": {
            "type": "apiKey",
            "in": "cookie",
            "name": "__Host-ruxa",
            "description": "The console's own session; a write also needs the header x-csrf-token.",
        },
    }
    found["security"] = [{"key": []}, {"session": []}]
    extra = deps.gateway_openapi
    found["paths"] = {**found.get("paths", {}), **extra.get("paths", {})}
    components["schemas"].update(extra.get("schemas", {}))
    failed = {
        "description": "An error.",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    }
    for name in CLOSED:
        components["schemas"][name]["additionalProperties"] = False
    for path in found["paths"].values():
        for method in METHODS:
            if method in path:
                answers: dict[str, Any] = path[method].setdefault("responses", {})
                answers.pop("400", None)
                answers["default"] = failed
    return found
