"""Google's Schema as JSON Schema."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ruxa.dialects.gemini_generate.schema import json_schema
from ruxa.kernel.errors import InvalidCall


def read(told: Any) -> Any:
    return json.loads(json_schema(json.dumps(told).encode(), "s"))


@pytest.mark.parametrize(
    ("google", "expected"),
    [
        ({"type": "STRING"}, {"type": "string"}),
        ({"type": "string"}, {"type": "string"}),
        ({"type": "TYPE_UNSPECIFIED", "description": "x"}, {"description": "x"}),
        ({"type": "STRING", "nullable": True}, {"type": ["string", "null"]}),
        ({"type": "STRING", "nullable": False}, {"type": "string"}),
        ({"type": "STRING", "format": "enum", "enum": ["a", "b"]}, {"type": "string", "enum": ["a", "b"]}),
        ({"type": "STRING", "enum": ["a"], "nullable": True}, {"type": ["string", "null"], "enum": ["a", None]}),
        ({"type": "INTEGER", "enum": ["1", "2"]}, {"type": "integer", "enum": [1, 2]}),
        ({"type": "INTEGER", "format": "int64"}, {"type": "integer", "format": "int64"}),
        (
            {"type": "ARRAY", "items": {"type": "NUMBER"}, "minItems": "1", "max_items": 5},
            {"type": "array", "items": {"type": "number"}, "minItems": 1, "maxItems": 5},
        ),
        (
            {"anyOf": [{"type": "STRING"}, {"type": "NUMBER"}], "nullable": True},
            {"anyOf": [{"type": "string"}, {"type": "number"}, {"type": "null"}]},
        ),
        ({"any_of": [{"type": "NULL"}]}, {"anyOf": [{"type": "null"}]}),
        ({"type": "STRING", "example": "x"}, {"type": "string", "examples": ["x"]}),
        (
            {"type": "OBJECT", "additionalProperties": {"type": "STRING"}},
            {"type": "object", "additionalProperties": {"type": "string"}},
        ),
        (
            {"defs": {"A": {"type": "STRING"}}, "ref": "#/$defs/A"},
            {"$defs": {"A": {"type": "string"}}, "$ref": "#/$defs/A"},
        ),
    ],
)
def test_schemas(google: Any, expected: Any) -> None:
    assert read(google) == expected


def test_properties_are_names_and_come_in_the_order_asked_for() -> None:
    told = read(
        {
            "type": "OBJECT",
            "properties": {"type": {"type": "STRING"}, "format": {"type": "NUMBER"}, "any_of": {"type": "STRING"}},
            "propertyOrdering": ["any_of", "type"],
            "required": ["type"],
        }
    )
    assert list(told["properties"]) == ["any_of", "type", "format"]
    assert told["properties"]["format"] == {"type": "number"}
    assert told["required"] == ["type"]
    assert "propertyOrdering" not in told


@pytest.mark.parametrize(
    ("told", "param"),
    [
        (5, "s"),
        ({"type": "TEXT"}, "s.type"),
        ({"properties": []}, "s.properties"),
        ({"properties": {"a": {"items": "x"}}}, "s.properties.a.items"),
        ({"anyOf": {}}, "s.anyOf"),
        ({"enum": "a"}, "s.enum"),
        ({"anyOf": [{}, 7]}, "s.anyOf[1]"),
    ],
)
def test_what_is_no_schema_names_its_path(told: Any, param: str) -> None:
    with pytest.raises(InvalidCall) as caught:
        read(told)
    assert caught.value.param == param
