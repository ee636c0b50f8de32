"""Words of responses that reading and writing share."""

from __future__ import annotations

from ruxa.dialects.dialect import Name

DIALECT: Name = "openai_responses"

REDACTED = "!"
"""Stands before a packed signature that is the thinking itself, encrypted, and not only its proof."""

ERROR_MARK = "[tool error] "
"""What the output of a tool that failed begins with: this dialect has no flag for it (W18)."""

# Items that the caller sends for what the model asked of it; every other unknown item is the model's.
RESULT_KINDS = frozenset(
    {"mcp_approval_response", "additional_tools", "configuration_update", "compaction_trigger", "tool_search_output"}
)


def plain(word: str) -> str:
    """A word fit for a header: what no vendor would write is ``unknown``."""
    return word if len(word) <= 40 and word.isascii() and word.replace("_", "a").isalnum() else "unknown"
