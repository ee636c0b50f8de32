"""Envelopes of chat completions, completions, embeddings, as of 2026-11-24 (openai-python 3.54). See ``table.py``."""

from __future__ import annotations

from ruxa.dialects.body import ARRAY, BOOL, NULL, NUMBER, OBJECT, STRING
from ruxa.dialects.table import Field, Table

_NUMBER = Field("parameter", NUMBER | NULL)
_BOOL = Field("parameter", BOOL | NULL)
_STRING = Field("parameter", STRING | NULL)
_OBJECT = Field("parameter", OBJECT | NULL)
_IDENTITY = Field("identity", STRING | NULL)

CHAT: Table = {
    "messages": Field("content", ARRAY),
    "model": Field("parameter", STRING),
    "stream": _BOOL,
    "temperature": _NUMBER,
    "max_tokens": _NUMBER,
    "max_completion_tokens": _NUMBER,
    "tools": Field("content", ARRAY | NULL),
    "tool_choice": Field("parameter", STRING | OBJECT | NULL),
    "stream_options": Field("own", OBJECT | NULL),
    "response_format": Field("content", OBJECT | NULL),
    "reasoning_effort": _STRING,
    "parallel_tool_calls": _BOOL,
    "top_p": _NUMBER,
    "n": _NUMBER,
    "stop": Field("parameter", STRING | ARRAY | NULL),
    "seed": _NUMBER,
    "frequency_penalty": _NUMBER,
    "presence_penalty": _NUMBER,
    "logit_bias": _OBJECT,
    "logprobs": _BOOL,
    "top_logprobs": _NUMBER,
    "verbosity": _STRING,
    "modalities": Field("parameter", ARRAY | NULL),
    "audio": _OBJECT,
    "functions": Field("content", ARRAY | NULL),
    "function_call": Field("parameter", STRING | OBJECT | NULL),
    "prediction": Field("content", OBJECT | NULL),
    "prompt_cache_options": _OBJECT,
    "store": Field("own", BOOL | NULL),
    "user": _IDENTITY,
    "safety_identifier": _IDENTITY,
    "prompt_cache_key": _IDENTITY,
    "client_metadata": Field("identity", OBJECT | NULL),
    "service_tier": Field("price", STRING | NULL, frozenset({b'"auto"', b'"default"'})),
    "prompt_cache_retention": Field("price", STRING | NULL, frozenset({b'"in_memory"'})),
    "moderation": Field("recipient", OBJECT | NULL),
    "web_search_options": Field("recipient", OBJECT | NULL),
}

COMPLETIONS: Table = {
    "prompt": Field("content", STRING | ARRAY | NULL),
    "model": Field("parameter", STRING),
    "stream": _BOOL,
    "max_tokens": _NUMBER,
    "temperature": _NUMBER,
    "top_p": _NUMBER,
    "n": _NUMBER,
    "best_of": _NUMBER,
    "echo": _BOOL,
    "suffix": Field("content", STRING | NULL),
    "stop": Field("parameter", STRING | ARRAY | NULL),
    "logprobs": _NUMBER,
    "stream_options": Field("own", OBJECT | NULL),
    "seed": _NUMBER,
    "frequency_penalty": _NUMBER,
    "presence_penalty": _NUMBER,
    "logit_bias": _OBJECT,
    "user": _IDENTITY,
}

EMBEDDINGS: Table = {
    "input": Field("content", STRING | ARRAY),
    "model": Field("parameter", STRING),
    "encoding_format": _STRING,
    "dimensions": _NUMBER,
    "user": _IDENTITY,
}

# What the caller itself carries out; every other tool type runs at the provider or beyond it.
CLIENT_TOOLS = frozenset({"function", "custom"})
