"""OpenAI's ways, and of everybody who copies them: a bearer key."""

from __future__ import annotations


def key_headers(key: str) -> dict[str, str]:
    """See ``provider.Adapter``."""
    return {"authorization": f"Bearer {key}"}


def probe() -> str:
    """See ``provider.Adapter``."""
    return "/models"
