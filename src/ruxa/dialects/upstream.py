"""What may be told of a provider's error: retry times and the vendor's own message without keys or account names."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ruxa.kernel.errors import RuxaError, UpstreamBroken, UpstreamBusy, UpstreamRefused, UpstreamTimeout

MESSAGE_CHARS_MAX = 600
RETRY_AFTER_S_MAX = 3600

_SECRET = re.compile(
    r"(?i)\b(?:bearer\s+\S+|(?:sk|rk|pk|gsk|xai|rx)[-_][\w*.\-]{4,}"
    r"|(?:key|tok|org|proj|acct|user|wrkspc|asst)[-_](?=[\w*.\-]*[\d*])[\w*.\-]{4,}"
    r"|AIza[\w*\-]{8,}|ya29\.\S+|projects?[ /]+\w*\d{4,}\w*)"
    r"|[?&]key=[^\s&\"']+|[\w.+\-]+@[\w\-]+\.[\w.\-]+|[A-Za-z0-9+/]{80,}={0,2}"
)
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_.\-]{0,63}\Z")


def clean(message: str) -> str:
    """The vendor's message with whatever looks like a key, an account or an address masked, and cut to a bound."""
    text = _SECRET.sub("[hidden]", message[: MESSAGE_CHARS_MAX * 2])
    text = "".join(c if c.isprintable() else " " for c in text)
    return text if len(text) <= MESSAGE_CHARS_MAX else text[: MESSAGE_CHARS_MAX - 1] + "…"


def word(value: object) -> str | None:
    """A provider's machine word (``rate_limit_error``) if it looks like one, else None."""
    return value if isinstance(value, str) and _WORD.match(value) else None


def retry_after_s(headers: Mapping[bytes, bytes]) -> int | None:
    """Whole seconds from ``retry-after-ms`` or ``retry-after``, rounded up and bounded; a date counts as none."""
    for name, scale in ((b"retry-after-ms", 1000), (b"retry-after", 1)):
        value = headers.get(name)
        if value is None:
            continue
        whole, _, rest = value.strip().partition(b".")
        if not whole.isdigit() or len(whole) > 9 or not (rest.isdigit() or not rest):
            continue
        seconds = -(-int(whole) // scale) + (1 if rest.strip(b"0") else 0)
        return min(seconds, RETRY_AFTER_S_MAX)
    return None


def classify(
    status: int,
    headers: Mapping[bytes, bytes],
    *,
    message: str,
    type_: str | None,
    code: str | None,
    param: str | None = None,
    quota: bool = False,
) -> RuxaError:
    """A provider's error status as one of ours, the same for every dialect.

    quota: the provider says our account there is out of credit. A refused credential is ours, not the caller's: it
    becomes 502 and keeps its text to itself.
    """
    detail = f"upstream status={status} type={type_ or '-'} code={code or '-'}"
    wait = retry_after_s(headers)
    if quota or status == 402:
        return UpstreamRefused(
            "The provider's account for this model has no credit left.",
            status=403,
            code="insufficient_quota",
            detail=detail,
        )
    if status in (401, 403):
        return UpstreamBroken(
            "The provider refused the platform's own credential or permission.", code="upstream_denied", detail=detail
        )
    if status in (408, 504):
        return UpstreamTimeout("The provider did not answer in time.", detail=detail, retry_after_s=wait)
    if status in (429, 503, 529):
        busy = UpstreamBusy("The provider is overloaded or limits requests.", detail=detail, retry_after_s=wait)
        if status == 429:
            busy.status, busy.code = 429, "upstream_limited"
        return busy
    if 400 <= status < 500:
        return UpstreamRefused(
            clean(message) or "The provider refused the request.",
            status=status,
            code=code or type_ or "upstream_refused",
            param=param,
            detail=detail,
            retry_after_s=wait,
        )
    return UpstreamBroken("The provider failed to answer.", detail=detail, retry_after_s=wait)
