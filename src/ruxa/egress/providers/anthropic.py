"""Anthropic's ways: the key in ``x-api-key``."""

from __future__ import annotations


def key_headers(key: str) -> dict[str, str]:
    """See ``provider.Adapter``."""
    return {"x-api-key": key}


def probe() -> str:
    """See ``provider.Adapter``."""
    return "/models?limit=1"
