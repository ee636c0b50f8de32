"""JSON Schema cut to Google's Schema (W62), on schemas as tools of agents and MCP servers really send them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.genai import types as g
from hypothesis import example, given
from hypothesis import strategies as st

from ruxa.dialects.gemini_generate.subset import DEPTH_MAX, subset
from ruxa.kernel.errors import InvalidCall

KNOWN = frozenset(
    [
        "type",
        "format",
        "title",
        "description",
        "nullable",
        "enum",
        "maxItems",
        "minItems",
        "properties",
        "required",
        "minProperties",
        "maxProperties",
        "minLength",
        "maxLength",
        "pattern",
        "anyOf",
        "items",
        "minimum",
        "maximum",
    ]
)


def cut(schema: Any) -> dict[str, Any]:
    made = subset(json.dumps(schema).encode(), "tools[0]")
    judge(made)
    return made


def judge(made: dict[str, Any]) -> None:
    """Only what Google documents, with its types, all the way down; and the SDK's own type takes it."""
    g.Schema.model_validate(made)
    _judge(made)


def _judge(made: dict[str, Any]) -> None:
    assert set(made) <= KNOWN
    assert "type" in made or "anyOf" in made
    if "enum" in made:
        assert made["type"] == "STRING"
        assert made["enum"]
        assert all(value and isinstance(value, str) for value in made["enum"])
    if made.get("type") == "ARRAY":
        assert "items" in made
    assert set(made.get("required", ())) <= set(made.get("properties", ()))
    for inner in [*made.get("properties", {}).values(), *made.get("anyOf", ())]:
        _judge(inner)
    if "items" in made:
        _judge(made["items"])


CORPUS: dict[str, Any] = {
    "claude_code_edit": {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {
            "file_path": {"type": "string", "description": "The absolute path to the file to modify"},
            "old_string": {"type": "string"},
            "new_string": {"type": "string"},
            "replace_all": {"type": "boolean", "default": False, "description": "Replace all occurrences"},
        },
        "required": ["file_path", "old_string", "new_string"],
        "additionalProperties": False,
    },
    "claude_code_bash": {
        "type": "object",
        "properties": {
            "command": {"type": "string"},
            "timeout": {"type": "number", "exclusiveMinimum": 0, "maximum": 600000},
            "run_in_background": {"type": "boolean"},
        },
        "required": ["command"],
        "additionalProperties": False,
        "$schema": "http://json-schema.org/draft-07/schema#",
    },
    "claude_code_todo": {
        "type": "object",
        "properties": {
            "todos": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "content": {"type": "string", "minLength": 1},
                        "status": {"type": "string", "enum": ["pending", "in_progress", "completed"]},
                    },
                    "required": ["content", "status"],
                    "additionalProperties": False,
                },
            }
        },
        "required": ["todos"],
    },
    "claude_code_grep": {
        "type": "object",
        "properties": {
            "pattern": {"type": "string", "description": "The regular expression"},
            "format": {"type": "string", "enum": ["text", "json"]},
            "-A": {"type": "number"},
            "head_limit": {"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 9007199254740991},
        },
        "required": ["pattern"],
    },
    "claude_code_ask": {
        "type": "object",
        "properties": {
            "answers": {
                "type": "object",
                "propertyNames": {"type": "string"},
                "additionalProperties": {"type": "string"},
            },
            "metadata": {"type": "object", "properties": {}, "additionalProperties": {}},
        },
    },
    "pydantic_refs": {
        "$defs": {
            "Address": {
                "type": "object",
                "title": "Address",
                "properties": {"street": {"type": "string"}, "zip": {"anyOf": [{"type": "string"}, {"type": "null"}]}},
                "required": ["street"],
            },
            "Kind": {"enum": ["home", "work"], "type": "string"},
        },
        "type": "object",
        "properties": {
            "home": {"$ref": "#/$defs/Address"},
            "kind": {"allOf": [{"$ref": "#/$defs/Kind"}], "default": "home"},
            "others": {"type": "array", "items": {"$ref": "#/$defs/Address"}, "uniqueItems": True},
        },
        "required": ["home"],
    },
    "zod_union": {
        "type": "object",
        "properties": {
            "action": {
                "oneOf": [
                    {"type": "object", "properties": {"type": {"const": "click"}, "x": {"type": "integer"}}},
                    {"type": "object", "properties": {"type": {"const": "type"}, "text": {"type": "string"}}},
                ]
            },
            "target": {"type": ["string", "number", "null"]},
        },
    },
    "github_mcp": {
        "type": "object",
        "properties": {
            "owner": {"type": "string"},
            "per_page": {"type": "number", "minimum": 1, "maximum": 100},
            "labels": {"type": "array", "items": {"type": "string"}},
            "sort": {"enum": ["created", "updated", ""]},
            "since": {"type": "string", "format": "date-time"},
            "url": {"type": "string", "format": "uri"},
        },
        "required": ["owner", "repo"],
    },
    "notion_mcp": {
        "type": "object",
        "properties": {
            "parent": {
                "type": "object",
                "properties": {"page_id": {"type": "string", "format": "uuid", "pattern": "^[a-f0-9-]+$"}},
                "required": ["page_id"],
            },
            "children": {"type": "array"},
            "value": {},
            "flag": True,
            "never": False,
        },
        "required": ["parent", "never"],
    },
    "tuple_and_numbers": {
        "type": "object",
        "properties": {
            "point": {"type": "array", "prefixItems": [{"type": "number"}, {"type": "number"}]},
            "old_tuple": {"type": "array", "items": [{"type": "string"}, {"type": "integer"}]},
            "level": {"enum": [1, 2, 3]},
            "on": {"const": True},
            "step": {"type": "number", "multipleOf": 0.5},
            "draft4": {"type": "number", "minimum": 3, "exclusiveMinimum": True},
        },
    },
    "codex_plan": {
        "type": "object",
        "properties": {
            "plan": {
                "type": "array",
                "items": {"type": "object", "properties": {"step": {"type": "string"}}, "required": ["step"]},
            },
            "justification": {"type": ["string", "null"]},
        },
        "if": {"properties": {"plan": {"minItems": 1}}},
        "then": {"required": ["justification"]},
    },
}


@pytest.mark.parametrize("name", CORPUS)
def test_real_schemas_become_googles(name: str) -> None:
    made = cut(CORPUS[name])
    assert made["type"] == "OBJECT"
    told = CORPUS[name]["properties"]
    assert set(made.get("properties", ())) == {key for key, value in told.items() if value is not False}


def properties(name: str) -> dict[str, Any]:
    return cut(CORPUS[name])["properties"]


def test_properties_named_like_keywords_are_kept() -> None:
    made = properties("claude_code_grep")
    assert made["pattern"] == {"type": "STRING", "description": "The regular expression"}
    assert made["format"] == {"type": "STRING", "enum": ["text", "json"]}


def test_exclusive_bounds() -> None:
    """Exact for whole numbers, else relaxed and told."""
    assert properties("claude_code_grep")["head_limit"] == {
        "type": "INTEGER",
        "minimum": 1,
        "maximum": 9007199254740990,
    }
    assert properties("claude_code_bash")["timeout"] == {
        "type": "NUMBER",
        "minimum": 0,
        "maximum": 600000,
        "description": "(greater than 0)",
    }
    assert properties("tuple_and_numbers")["draft4"]["minimum"] == 3
    assert "greater than 3" in properties("tuple_and_numbers")["draft4"]["description"]


def test_references_are_put_in_place() -> None:
    made = properties("pydantic_refs")
    address = {
        "type": "OBJECT",
        "title": "Address",
        "properties": {"street": {"type": "STRING"}, "zip": {"type": "STRING", "nullable": True}},
        "required": ["street"],
    }
    assert made["home"] == address
    assert made["others"]["items"] == address
    assert "uniqueItems" in made["others"]["description"]
    assert made["kind"]["enum"] == ["home", "work"]


def test_alternatives_and_null() -> None:
    made = properties("zod_union")
    assert [option["properties"]["type"] for option in made["action"]["anyOf"]] == [
        {"type": "STRING", "enum": ["click"]},
        {"type": "STRING", "enum": ["type"]},
    ]
    assert made["target"] == {"anyOf": [{"type": "STRING"}, {"type": "NUMBER"}], "nullable": True}


def test_constraints_without_a_word_are_told() -> None:
    made = properties("github_mcp")
    assert made["url"] == {"type": "STRING", "description": "(format: uri)"}
    assert made["since"] == {"type": "STRING", "format": "date-time"}
    assert made["sort"] == {"type": "STRING", "enum": ["created", "updated"], "description": "(may be empty)"}
    numbers = properties("tuple_and_numbers")
    assert numbers["level"] == {"type": "INTEGER", "description": "(one of [1,2,3])"}
    assert numbers["on"] == {"type": "BOOLEAN", "description": "(one of [true])"}
    assert numbers["step"]["description"] == "(multipleOf: 0.5)"
    assert properties("claude_code_edit")["replace_all"] == {
        "type": "BOOLEAN",
        "description": "Replace all occurrences",
    }
    assert "then" in cut(CORPUS["codex_plan"])["description"]


def test_required_names_only_what_is_there() -> None:
    assert cut(CORPUS["github_mcp"])["required"] == ["owner"]
    assert cut(CORPUS["notion_mcp"])["required"] == ["parent"]


def test_recursion_ends_in_a_free_object() -> None:
    node: Any = {
        "$defs": {
            "Node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}, "name": {"type": "string"}}}
        },
        "$ref": "#/$defs/Node",
    }
    made = cut(node)
    assert made["properties"]["next"] == {"type": "OBJECT", "description": "(again as Node)"}
    whole = cut({"type": "object", "properties": {"child": {"$ref": "#"}}})
    assert whole["properties"]["child"]["properties"]["child"]["description"] == "(again as the whole)"
    loop = cut(
        {"$defs": {"A": {"$ref": "#/$defs/B"}, "B": {"$ref": "#/$defs/A"}}, "properties": {"a": {"$ref": "#/$defs/A"}}}
    )
    assert loop["properties"]["a"]["type"] == "OBJECT"


def test_references_to_elsewhere_are_told() -> None:
    made = cut(
        {"type": "object", "properties": {"a": {"$ref": "https://x.example/s.json"}, "b": {"$ref": "#/nothing"}}}
    )
    assert made["properties"]["a"] == {"type": "OBJECT", "description": "(as https://x.example/s.json)"}
    assert made["properties"]["b"] == {"type": "OBJECT", "description": "(as #/nothing)"}


def test_depth_is_bounded() -> None:
    schema: Any = {"type": "string"}
    for _ in range(DEPTH_MAX + 30):
        schema = {"type": "object", "properties": {"a": schema}}
    made = cut(schema)
    for _ in range(DEPTH_MAX):
        made = made["properties"]["a"]
    assert "nested too deeply" in json.dumps(made)


def test_a_schema_that_explodes_is_refused() -> None:
    """Each definition names the next one twice: 2 to the power of 30 copies."""
    definitions: Any = {
        f"D{at}": {
            "type": "object",
            "properties": {"a": {"$ref": f"#/$defs/D{at + 1}"}, "b": {"$ref": f"#/$defs/D{at + 1}"}},
        }
        for at in range(30)
    }
    with pytest.raises(InvalidCall) as caught:
        cut({"$defs": definitions, "$ref": "#/$defs/D0"})
    assert (caught.value.code, caught.value.param) == ("schema_too_large", "tools[0]")


def test_chains_of_all_of_are_bounded() -> None:
    definitions: Any = {
        f"D{at}": {"allOf": [{"$ref": f"#/$defs/D{at + 1}"}, {"$ref": f"#/$defs/D{at + 1}"}]} for at in range(40)
    }
    made = cut({"$defs": definitions, "type": "object", "allOf": [{"$ref": "#/$defs/D0"}]})
    assert made["type"] == "OBJECT"


@pytest.mark.parametrize("text", [b"", b"[]", b"true", b'"x"', b'{"a":'])
def test_what_is_no_schema_is_refused(text: bytes) -> None:
    with pytest.raises(InvalidCall) as caught:
        subset(text, "tools[3]")
    assert caught.value.param == "tools[3]"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["string", "object", "array", "null", "x", "#/a"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "type",
                    "properties",
                    "items",
                    "anyOf",
                    "oneOf",
                    "allOf",
                    "enum",
                    "const",
                    "$ref",
                    "$defs",
                    "required",
                    "description",
                    "format",
                    "minimum",
                    "exclusiveMinimum",
                    "pattern",
                    "prefixItems",
                    "additionalProperties",
                    "nullable",
                    "title",
                    "default",
                    "a",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@example({"type": [], "anyOf": [{"const": "string"}]})
@given(st.dictionaries(st.sampled_from(["type", "properties", "items", "anyOf", "allOf", "enum", "a", "$ref"]), JSON))
def test_any_json_becomes_a_schema_of_googles(schema: Any) -> None:
    cut(schema)
