"""Money: integer USD micro-units, never a float. One micro is 0.000001 USD; prices are micros per million units."""

from __future__ import annotations

from typing import NewType

Micros = NewType("Micros", int)

MICROS_PER_USD = 1_000_000
MICROS_MAX = 2**63 - 1


def ceil_per_million(total: int) -> Micros:
    """The one rounding of a charge: units x micros-per-million, summed, divided by a million, rounded up."""
    return Micros(-(-total // 1_000_000))


def usd(amount: int, places: int = 6) -> str:
    """``1234567`` -> ``1.234567``; exact, truncated towards zero when ``places`` < 6."""
    sign = "-" if amount < 0 else ""
    whole, rest = divmod(abs(amount), MICROS_PER_USD)
    return f"{sign}{whole}" + (f".{rest:06d}"[: places + 1] if places else "")
