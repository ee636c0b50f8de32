"""The envelope of messages and count_tokens, its tools and its betas, as of 2026-11-24 (anthropic-python 2.12)."""

from __future__ import annotations

from ruxa.dialects.body import ARRAY, BOOL, NULL, NUMBER, OBJECT, STRING
from ruxa.dialects.table import Field, Table

_NUMBER = Field("parameter", NUMBER | NULL)
_OBJECT = Field("parameter", OBJECT | NULL)
_IDENTITY = Field("identity", STRING | NULL)

MESSAGES: Table = {
    "messages": Field("content", ARRAY),
    "model": Field("parameter", STRING),
    "max_tokens": Field("parameter", NUMBER),
    "stream": Field("parameter", BOOL | NULL),
    "system": Field("content", STRING | ARRAY | NULL),
    "tools": Field("content", ARRAY | NULL),
    "tool_choice": _OBJECT,
    "thinking": _OBJECT,
    "output_config": Field("content", OBJECT | NULL),
    "output_format": Field("content", OBJECT | NULL),
    "temperature": _NUMBER,
    "top_p": _NUMBER,
    "top_k": _NUMBER,
    "stop_sequences": Field("parameter", ARRAY | NULL),
    "cache_control": _OBJECT,
    "context_management": _OBJECT,
    "diagnostics": _OBJECT,
    "metadata": Field("identity", OBJECT | NULL),
    "user_profile_id": _IDENTITY,
    "workspace_id": _IDENTITY,
    "service_tier": Field("price", STRING | NULL, frozenset({b'"auto"', b'"standard_only"'})),
    "speed": Field("price", STRING | NULL, frozenset({b'"standard"'})),
    "inference_geo": Field("price", STRING | NULL, frozenset({b'"global"'})),
    "billing_policy": Field("price", OBJECT | NULL),
    "fallbacks": Field("price"),
    "fallback_credit_token": Field("price"),
    "compaction": Field("price", OBJECT | NULL),
    "container": Field("recipient", STRING | OBJECT | NULL),
    "mcp_servers": Field("recipient", ARRAY | NULL, frozenset({b"[]"})),
    "thread": Field("recipient", OBJECT | NULL),
}

# Tools that the caller carries out itself, or that only search the caller's own tool list; dates are left off.
CLIENT_TOOLS = frozenset(
    {
        "custom",
        "bash",
        "text_editor",
        "memory",
        "computer",
        "computer_toolset",
        "browser_toolset",
        "tool_search_tool_bm25",
        "tool_search_tool_regex",
    }
)
# Tools that only cost more; all others reach a further recipient.
PRICED_TOOLS = frozenset({"code_execution", "advisor"})

# Beta headers that change neither price nor recipients; dates are left off. All others need the target's terms.
BETAS = frozenset(
    {
        "advanced-tool-use",
        "cache-diagnosis",
        "claude-code",
        "computer-use",
        "context-management",
        "dev-full-thinking",
        "effort",
        "extended-cache-ttl",
        "fine-grained-tool-streaming",
        "interleaved-thinking",
        "mid-conversation-output-config",
        "mid-conversation-system-clear-at",
        "model-context-window-exceeded",
        "output-128k",
        "output-300k",
        "pdfs",
        "prompt-caching",
        "structured-outputs",
        "task-budgets",
        "thinking-binding-controls",
        "thinking-display-updates",
        "thinking-token-count",
        "token-counting",
        "token-efficient-tools",
        "tool-search-tool",
    }
)
VERSION_DEFAULT = b"2023-06-01"
