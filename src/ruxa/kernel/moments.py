"""Moments as people write them: so long ago or ahead, a date, or a time."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from ruxa.kernel.errors import InvalidCall
from ruxa.kernel.settings import duration_s

_SPAN = re.compile(r"[+-]?(\d+[smhdw])+")


def read(text: str, now: datetime, named: str, *, past: bool, param: str | None = None) -> datetime:
    """``30d`` from now (or ago, when ``past``), or a date (its first instant, UTC), or an ISO time.

    Raises InvalidCall ``bad_time`` that calls the value ``named``; one from a field ``param`` is not repeated.
    """
    try:
        if _SPAN.fullmatch(text):
            seconds = duration_s(text)
            return now + timedelta(seconds=-seconds if past and text[0] not in "+-" else seconds)
        found = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise InvalidCall(
            f"{named}{'' if param else f': {text!r}'} is no time; write 30d, 2027-01-31 or 2027-01-31T12:00:00Z.",
            code="bad_time",
            param=param,
        ) from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
