"""Header lines that every dialect shares: request id, retry hints, the caller's own limits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ruxa.dialects.dialect import Allowance
from ruxa.kernel.errors import RuxaError

VALUE_BYTES_MAX = 4096


def field(name: str, value: object) -> bytes:
    """One header line."""
    return f"{name}: {value}\r\n".encode("latin-1", "replace")


def error_headers(error: RuxaError, request_id: str) -> bytes:
    """``x-request-id``, ``retry-after`` when waiting helps, ``x-should-retry`` for the SDKs that obey it."""
    lines = field("x-request-id", request_id)
    lines += field("request-id", request_id)
    if error.retry_after_s is not None:
        lines += field("retry-after", error.retry_after_s)
    return lines + (b"x-should-retry: true\r\n" if error.retryable else b"x-should-retry: false\r\n")


def ratelimit(allowance: Allowance) -> bytes:
    """``ratelimit-limit``, ``-remaining``, ``-reset`` (seconds) of the requests limit, else of the tokens limit."""
    if allowance.requests is not None:
        limit, left, reset = allowance.requests, allowance.requests_left or 0, allowance.requests_reset_s
    elif allowance.tokens is not None:
        limit, left, reset = allowance.tokens, allowance.tokens_left or 0, allowance.tokens_reset_s
    else:
        return b""
    return field("ratelimit-limit", limit) + field("ratelimit-remaining", left) + field("ratelimit-reset", reset)


def words(headers: Mapping[bytes, bytes], name: bytes) -> list[str]:
    """The comma-separated words of a header, in order, without doubles."""
    value = headers.get(name, b"")[:VALUE_BYTES_MAX].decode("latin-1")
    return list(dict.fromkeys(part.strip() for part in value.split(",") if part.strip()))


def join(items: Iterable[str]) -> bytes:
    """Words as one header value."""
    return ",".join(items).encode("latin-1", "replace")


def rfc3339(unix_s: int) -> str:
    """Seconds since 1970 as ``2026-11-24T00:00:00Z`` (civil-from-days; this room may not import a calendar)."""
    days, second = divmod(unix_s, 86_400)
    era, day_of_era = divmod(days + 719_468, 146_097)
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * shifted + 2) // 5 + 1
    month = shifted + 3 if shifted < 10 else shifted - 9
    year = year_of_era + era * 400 + (month <= 2)
    return f"{year:04}-{month:02}-{day:02}T{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}Z"
