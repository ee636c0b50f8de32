"""API reference: the published description as a page of our own, nothing loaded from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import msgspec

from ruxa.console.api import openapi
from ruxa.console.page import Page, View, Visit
from ruxa.kernel.errors import NotFound
from ruxa.store.work import Work

Schema = Mapping[str, Any]


class Field(msgspec.Struct, frozen=True):
    """A parameter, or a field of a body or an answer."""

    name: str
    type: str
    text: str
    required: bool = False
    place: str = ""


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One route."""

    id: str
    method: str
    path: str
    text: str
    parameters: list[Field]
    body: list[Field]
    answer: list[Field]


async def load(visit: Visit, work: Work) -> View:
    """The page; the description is the one at ``/api/v1/openapi.json``."""
    del work
    found = visit.description()
    groups: dict[str, list[Operation]] = {}
    schemas: Schema = found["components"]["schemas"]
    for path, methods in cast("Mapping[str, Schema]", found["paths"]).items():
        for method in openapi.METHODS:
            if method in methods:
                route: Schema = methods[method]
                groups.setdefault((route.get("tags") or ["API"])[0], []).append(
                    _operation(path, method, route, schemas)
                )
    base = visit.deps.base_url
    example = openapi.body(NotFound("No such key.", param="key_id"), visit.request_id)
    return View(
        {
            "groups": [{"name": name, "operations": operations} for name, operations in groups.items()],
            "curl": f'curl {base}/api/v1/usage \\\n  -H "Authorization: Bearer $RUXA_KEY"',
            "error_body": msgspec.json.format(msgspec.json.encode(example), indent=2).decode(),
        }
    )


def _operation(path: str, method: str, route: Schema, schemas: Schema) -> Operation:
    answers: dict[str, Schema] = route.get("responses", {})
    given: list[Schema] = route.get("parameters", [])
    return Operation(
        id=str(route.get("operationId", path)),
        method=method.upper(),
        path=path,
        text=str(route.get("summary", "")),
        parameters=[
            Field(
                str(one["name"]),
                type_of(one.get("schema", {})),
                str(one.get("description", "")),
                bool(one.get("required")),
                str(one["in"]),
            )
            for one in given
        ],
        body=_fields(route.get("requestBody", {}), schemas),
        answer=[
            field for code, answer in answers.items() if code.startswith("2") for field in _fields(answer, schemas)
        ],
    )


def _fields(holder: Schema, schemas: Schema) -> list[Field]:
    media: dict[str, Schema] = holder.get("content", {})
    schema: Schema = {}
    for one in media.values():
        schema = one.get("schema", {})
    reference: str = schema.get("$ref", "")
    if reference:
        schema = schemas[reference.rpartition("/")[2]]
    needed: list[str] = schema.get("required", [])
    fields: dict[str, Schema] = schema.get("properties", {})
    return [Field(name, type_of(one), str(one.get("description", "")), name in needed) for name, one in fields.items()]


def type_of(schema: Schema) -> str:
    """A schema in a word or two: ``string``, ``integer | null``, ``array of Key``."""
    reference: str = schema.get("$ref", "")
    if reference:
        return reference.rpartition("/")[2]
    either: list[Schema] = schema.get("oneOf", schema.get("anyOf", []))
    if either:
        return " | ".join(type_of(one) for one in either)
    words: list[object] = schema.get("enum", [])
    if words:
        return " | ".join(str(one) for one in words)
    if schema.get("type") == "array":
        return f"array of {type_of(schema.get('items', {}))}"
    kind: object = schema.get("type", "any")
    return " | ".join(cast("list[str]", kind)) if isinstance(kind, list) else str(kind)


PAGE = Page(name="api_docs", path="/docs/api", area="public", load=load)
