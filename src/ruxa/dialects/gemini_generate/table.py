"""The envelopes of Google's methods and their tools, as of 2026-11-24 (google-genai 3.4).

Google reads every field under its JSON name (``maxOutputTokens``) and under its proto name (``max_output_tokens``);
so does Ruxa, and a body with both forms of one field is refused as a duplicate.
"""

from __future__ import annotations

import re
from functools import lru_cache

from ruxa.dialects.body import ARRAY, BOOL, NULL, NUMBER, OBJECT, STRING
from ruxa.dialects.table import Field, Table

_NUMBER = Field("parameter", NUMBER | STRING | NULL)  # proto JSON takes numbers as text, too
_STRING = Field("parameter", STRING | NULL)
_OBJECT = Field("parameter", OBJECT | NULL)
_ARRAY = Field("parameter", ARRAY | NULL)
_HUMP = re.compile(r"(?<=[a-z0-9])([A-Z])")
_SNAKE = re.compile(r"_([a-z0-9])")


@lru_cache(maxsize=256)
def snake(name: str) -> str:
    """``maxOutputTokens`` -> ``max_output_tokens``."""
    return _HUMP.sub(lambda hit: "_" + hit[1].lower(), name)


def camel(name: str) -> str:
    """``max_output_tokens`` -> ``maxOutputTokens``; a JSON name stays as it is."""
    return _SNAKE.sub(lambda hit: hit[1].upper(), name) if "_" in name else name


def _both(table: dict[str, Field]) -> dict[str, Field]:
    return table | {snake(name): field for name, field in table.items()}


GENERATE = _both(
    {
        "contents": Field("content", ARRAY),
        "systemInstruction": Field("content", OBJECT | STRING | NULL),
        "generationConfig": Field("content", OBJECT | NULL),
        "tools": Field("content", ARRAY | NULL),
        "toolConfig": _OBJECT,
        "safetySettings": _ARRAY,
        "model": Field("own", STRING | NULL),
        "store": Field("own", BOOL | NULL),
        "continuationToken": _STRING,
        "cachedContent": Field("recipient", STRING | NULL, frozenset({b'""'})),
        "serviceTier": Field("price", STRING | NULL, frozenset({b'"standard"', b'"STANDARD"', b'"unspecified"'})),
    }
)

CONFIG = _both(
    {
        "maxOutputTokens": _NUMBER,
        "candidateCount": _NUMBER,
        "temperature": _NUMBER,
        "topP": _NUMBER,
        "topK": _NUMBER,
        "seed": _NUMBER,
        "stopSequences": _ARRAY,
        "thinkingConfig": _OBJECT,
        "responseModalities": _ARRAY,
        "routingConfig": Field("price", OBJECT | NULL),
        "modelSelectionConfig": Field("price", OBJECT | NULL),
    }
)
"""The parts of ``generationConfig`` that Ruxa reads; all others pass inside it as content."""

COUNT = _both({"contents": Field("content", ARRAY), "generateContentRequest": Field("content", OBJECT)}) | {
    name: field
    for name, field in GENERATE.items()
    if name not in ("contents", "cachedContent", "cached_content", "serviceTier", "service_tier", "store")
}

EMBED = _both(
    {
        "content": Field("content", OBJECT),
        "model": Field("own", STRING | NULL),
        "taskType": _STRING,
        "title": Field("content", STRING | NULL),
        "outputDimensionality": _NUMBER,
        "embedContentConfig": Field("parameter", OBJECT | NULL),
    }
)

BATCH: Table = {"requests": Field("content", ARRAY), "model": Field("own", STRING | NULL)}

# Tool members that the caller carries out itself; all others run at the provider or beyond it.
CLIENT_TOOLS = frozenset({"functionDeclarations", "computerUse"})
PRICED_TOOLS = frozenset({"codeExecution"})

FILES_PREFIXES = (b'"https://generativelanguage.googleapis.com/', b'"files/')
