"""The cookies as places of the data map; what each is stands beside the code that sets it, in ``headers``."""

from __future__ import annotations

from ruxa.console import headers
from ruxa.privacy.processing.places import Place, declared


def places() -> list[Place]:
    """Every cookie, named with its class of the policy."""
    return declared("cookie", {name: text for name, (_, text) in headers.COOKIES.items()})
