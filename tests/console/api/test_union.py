"""The published description of a running server: the console's routes and the gateway's, and each answers."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from typing import Any

ID = "key_" + "0" * 32
JSON = dict[str, Any]


def call(server: Any, path: str, key: str | None) -> tuple[int, JSON]:
    asked = urllib.request.Request(server.base_url + path)
    if key is not None:
        asked.add_header("authorization", f"Bearer {key}")
    try:
        with urllib.request.urlopen(asked, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def described(server: Any) -> JSON:
    status, found = call(server, "/api/v1/openapi.json", None)
    assert status == 200
    return found


def check(value: object, schema: JSON, schemas: JSON) -> None:
    """That ``value`` is what ``schema`` says, as far as our own schemas go."""
    if "$ref" in schema:
        schema = schemas[schema["$ref"].rpartition("/")[2]]
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    python = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int, "null": type(None)}
    assert type(value) in [python[kind] for kind in kinds], (value, schema)
    assert value in schema.get("enum", [value])
    if isinstance(value, dict):
        assert set(schema["required"]) <= value.keys() <= schema["properties"].keys()
        for name, inner in value.items():
            check(inner, schema["properties"][name], schemas)
    if isinstance(value, list):
        for inner in value:
            check(inner, schema["items"], schemas)


def test_the_gateway_s_route_is_described_and_answers_so(server: Any) -> None:
    found = described(server)
    route = found["paths"]["/api/v1/models"]["get"]
    assert route["security"] == [{"key": []}]
    status, body = call(server, "/api/v1/models", server.key)
    assert status == 200
    assert "sandbox/chat" in [model["model"] for model in body["models"]]
    schemas = found["components"]["schemas"]
    check(body, route["responses"]["200"]["content"]["application/json"]["schema"], schemas)


def test_every_read_of_the_union_is_served(server: Any) -> None:
    """Whoever serves a route, it exists behind the one address: asked with a wrong key it says so."""
    reads = [path for path, item in described(server)["paths"].items() if "get" in item]
    assert "/api/v1/models" in reads
    assert len(reads) > 8
    for path in reads:
        status, body = call(server, re.sub(r"\{\w+\}", ID, path), "rx_live_wrong")
        assert (status, body["code"]) == (401, 401), (path, body)
        assert body.keys() == {"code", "message", "data", "error", "requestId"}
