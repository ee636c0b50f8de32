"""The sandbox's ways: a process of this installation on loopback, no key."""

from __future__ import annotations


def key_headers(key: str) -> dict[str, str]:
    """See ``provider.Adapter``."""
    return {"authorization": f"Bearer {key}"}


def probe() -> str:
    """See ``provider.Adapter``."""
    return "/models"
