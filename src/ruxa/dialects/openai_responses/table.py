"""The envelope of responses, as of 2026-11-24 (openai-python 3.54). See ``table.py``.

``metadata`` is a customer's own notes on a call, so it stays here; what a provider would keep (``store``,
``previous_response_id``, ``conversation``) is never asked of it (D13).
"""

from __future__ import annotations

from ruxa.dialects.body import ARRAY, BOOL, NULL, NUMBER, OBJECT, STRING
from ruxa.dialects.table import Field, Table

_NUMBER = Field("parameter", NUMBER | NULL)
_BOOL = Field("parameter", BOOL | NULL)
_STRING = Field("parameter", STRING | NULL)
_ARRAY = Field("parameter", ARRAY | NULL)
_OBJECT = Field("parameter", OBJECT | NULL)
_IDENTITY = Field("identity", STRING | NULL)

CREATE: Table = {
    "model": Field("parameter", STRING),
    "input": Field("content", STRING | ARRAY),
    "instructions": Field("content", STRING | NULL),
    "tools": Field("content", ARRAY | NULL),
    "tool_choice": Field("parameter", STRING | OBJECT | NULL),
    "text": Field("content", OBJECT | NULL),
    "stream": _BOOL,
    "stream_options": _OBJECT,
    "include": _ARRAY,
    "reasoning": _OBJECT,
    "max_output_tokens": _NUMBER,
    "max_tool_calls": _NUMBER,
    "parallel_tool_calls": _BOOL,
    "temperature": _NUMBER,
    "top_p": _NUMBER,
    "top_logprobs": _NUMBER,
    "truncation": _STRING,
    "background": _BOOL,
    "context_management": _ARRAY,
    "image": _OBJECT,
    "prompt_cache_options": _OBJECT,
    "store": Field("own", BOOL | NULL),
    "previous_response_id": Field("own", STRING | NULL),
    "conversation": Field("own", STRING | OBJECT | NULL),
    "user": _IDENTITY,
    "safety_identifier": _IDENTITY,
    "prompt_cache_key": _IDENTITY,
    "metadata": Field("identity", OBJECT | NULL),
    "client_metadata": Field("identity", OBJECT | NULL),
    "service_tier": Field("price", STRING | NULL, frozenset({b'"auto"', b'"default"'})),
    "prompt_cache_retention": Field("price", STRING | NULL, frozenset({b'"in_memory"'})),
    "prompt": Field("recipient", OBJECT | NULL),
    "moderation": Field("recipient", OBJECT | NULL),
}

# What the caller itself carries out; every other tool type runs at the provider or beyond it. ``shell`` is the
# caller's when its environment is local.
CLIENT_TOOLS = frozenset(
    {"function", "custom", "namespace", "local_shell", "apply_patch", "computer", "computer_use_preview", "tool_search"}
)
