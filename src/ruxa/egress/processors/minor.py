"""Money at the edge: whole minor units (cents) here, decimal texts there; nothing is ever rounded."""

from __future__ import annotations

import re
from typing import Final

from ruxa.egress.processor import ProcessorRefused

# Currencies whose minor unit is not a hundredth are not sold in; an amount in one is refused instead of misread.
_WHOLE: Final = frozenset({"JPY", "KRW", "VND", "CLP", "HUF", "TWD", "ISK", "XAF", "XOF", "PYG", "UGX"})
_THOUSANDTHS: Final = frozenset({"BHD", "JOD", "KWD", "OMR", "TND"})
_DECIMAL: Final = re.compile(r"(-?)(\d{1,10})(?:\.(\d{1,2}))?\Z", re.ASCII)


def text(minor: int) -> str:
    """1234 -> ``12.34``."""
    sign = "-" if minor < 0 else ""
    return f"{sign}{abs(minor) // 100}.{abs(minor) % 100:02d}"


def of(text: str, currency: str) -> int:
    """``12.34`` -> 1234. Raises ProcessorRefused for anything that is not an amount in hundredths."""
    found = _DECIMAL.match(text)
    if found is None or currency.upper() in _WHOLE | _THOUSANDTHS:
        raise ProcessorRefused("The payment processor named an amount that is none.", code="processor_nonsense")
    value = int(found[2]) * 100 + int((found[3] or "").ljust(2, "0"))
    return -value if found[1] else value
