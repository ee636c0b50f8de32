"""Standing: the rate-limit headers of a key, in every dialect's own names.

The dialect writes them once per pair of limits, with marks where the changing figures go; from then on only the
figures are filled in, since this is done for every answer of a key that has limits.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from operator import itemgetter

from ruxa.dialects.dialect import Allowance, Dialect, Name
from ruxa.gateway.limits import WINDOW_S, Limiter, Minute

# Marks: figures that no limit has, and a time that no clock shows.
_LEFT, _RESET, _TOKENS_LEFT, _TOKENS_RESET = (
    9_170_000_000_000_001,
    9_170_000_000_000_002,
    9_170_000_000_000_003,
    (9_170_000_000_000_004),
)
_RESET_AT = "9999-12-31T23:59:59Z"
_MARK = re.compile(rb"917000000000000([1-4])|9999-12-31T23:59:59Z")
_TEMPLATES_MAX = 4096


_Values = tuple[bytes, int, int, int, int]


class _Template:
    __slots__ = ("order", "text", "times")

    def __init__(self, dialect: Dialect, requests: int | None, tokens: int | None) -> None:
        lines = dialect.limit_headers(
            Allowance(
                requests=requests,
                requests_left=_LEFT,
                requests_reset_s=_RESET,
                tokens=tokens,
                tokens_left=_TOKENS_LEFT,
                tokens_reset_s=_TOKENS_RESET,
                reset_at=_RESET_AT,
            )
        )
        self.times = _RESET_AT.encode() in lines
        marks = [int(mark[1] or 0) for mark in _MARK.finditer(lines)]
        # Of the values (time, left, reset, tokens left, tokens reset) those that the lines name, in their order.
        self.order: Callable[[_Values], tuple[int | bytes, ...]] = itemgetter(*marks) if marks else _none
        self.text = _MARK.sub(lambda mark: b"%d" if mark[1] else b"%b", lines.replace(b"%", b"%%"))


def _none(values: _Values) -> tuple[int | bytes, ...]:
    return ()


_templates: dict[tuple[Name, int | None, int | None], _Template] = {}


def lines(dialect: Dialect, limiter: Limiter, now_ms: int) -> bytes:
    """Header lines of where the key stands now; b'' without limits per minute."""
    if not limiter.limited:
        return b""
    requests, tokens = limiter.requests, limiter.tokens
    template = limiter.template
    if template is None or template[0] is not dialect:
        template = limiter.template = (dialect, _template(dialect, requests, tokens))
    known = template[1]
    # Reset: the seconds until all of a limit is free again.
    left = reset = tokens_left = tokens_reset = 0
    if requests is not None:
        used = requests.used
        if used > 0:
            reset = WINDOW_S - requests.second + requests.last
        left = requests.limit - used - requests.others
    if tokens is not None:
        used = tokens.used
        if used > 0:
            tokens_reset = WINDOW_S - tokens.second + tokens.last
        tokens_left = tokens.limit - used - tokens.others
    if left < 0:
        left = 0
    if tokens_left < 0:
        tokens_left = 0
    time = _rfc3339(now_ms, max(reset, tokens_reset)) if known.times else b""
    return known.text % known.order((time, left, reset, tokens_left, tokens_reset))


def _template(dialect: Dialect, requests: Minute | None, tokens: Minute | None) -> _Template:
    key = (dialect.name, None if requests is None else requests.limit, None if tokens is None else tokens.limit)
    template = _templates.get(key)
    if template is None:
        if len(_templates) >= _TEMPLATES_MAX:
            _templates.clear()
        template = _templates[key] = _Template(dialect, key[1], key[2])
    return template


def _rfc3339(now_ms: int, in_s: int) -> bytes:
    moment = datetime.fromtimestamp(now_ms // 1000, UTC) + timedelta(seconds=in_s)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ").encode()
