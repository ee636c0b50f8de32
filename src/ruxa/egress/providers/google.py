"""Google's ways: the key in ``x-goog-api-key``, never ``?key=`` in a URL that proxies write down."""

from __future__ import annotations


def key_headers(key: str) -> dict[str, str]:
    """See ``provider.Adapter``."""
    return {"x-goog-api-key": key}


def probe() -> str:
    """See ``provider.Adapter``."""
    return "/models?pageSize=1"
