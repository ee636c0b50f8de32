"""Fetch: what a caller's URL shows, for a provider that does not get the URL itself (decisions D8, D11).

One GET to an address that was checked and is dialled as checked: no redirect, no cookie, no header of the caller's, a
bound on bytes and on time. What comes is looked at, not believed: an image has to begin like one.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Mapping
from typing import Final, Literal
from urllib.parse import quote, urlsplit

import msgspec

from ruxa.egress.http import Deadlines, Origin, Pool, Upstream
from ruxa.egress.recipient import Recipient
from ruxa.kernel import bounds
from ruxa.kernel.errors import InvalidCall, RuxaError

Kind = Literal["image", "document", "audio", "video"]

URL_CHARS_MAX: Final = 4096
AT_ONCE: Final = 16
USER_AGENT: Final = "ruxa"
# Register and tally name no host that a caller wrote: whoever it is, it is this one.
_ANY: Final = "*"
_CONTENT: Final = "user.content"
_DEADLINES: Final = Deadlines(connect_s=4, first_byte_s=6, between_s=4, whole_s=bounds.FETCH_TIMEOUT_S)
_RECIPIENT: Final = Recipient(
    name="url",
    role="customer",
    who="whoever serves a URL that a caller wrote",
    what=(_CONTENT,),
    why=("provide",),
    where="unknown",
    safeguard="the caller chose it; only the URL is sent, and no header of the caller's",
)
_BEGINNINGS: Final[tuple[tuple[re.Pattern[bytes], str], ...]] = (
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "image/png"),
    (re.compile(rb"\xff\xd8\xff"), "image/jpeg"),
    (re.compile(rb"GIF8[79]a"), "image/gif"),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), "image/webp"),
    (re.compile(rb"%PDF-"), "application/pdf"),
)
_TYPE: Final = re.compile(r"(audio|video|text)/[a-z0-9.+\-]{1,60}\Z")


class Fetched(msgspec.Struct, frozen=True):
    """What was there, and its media type."""

    media_type: str
    data: bytes


class Fetcher:
    """Fetches for one gateway worker, some at once."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self.register = pool.register
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._lent: Counter[tuple[str, int]] = Counter()
        self.register.allow(_RECIPIENT, _ANY, 443)

    async def get(self, url: str, kind: Kind, bytes_max: int = bounds.FETCH_BYTES_MAX) -> Fetched:
        """The medium behind ``url``. Raises InvalidCall ``url_refused`` or ``url_not_fetched`` with the reason."""
        origin, target = _parts(url)
        async with self._turn:
            try:
                async with asyncio.timeout(bounds.FETCH_TIMEOUT_S):
                    headers, body = await self._ask(origin, target, bytes_max)
            except TimeoutError:
                raise _unfetched("it takes too long") from None
        return _looked_at(headers, body, kind)

    async def _ask(self, origin: Origin, target: str, bytes_max: int) -> tuple[Mapping[bytes, bytes], bytes]:
        register = self.register
        where = origin.host, origin.port
        # A destination that the operator declared is that already; this one is lent for the time of the call.
        lent = where in self._lent or not register.find(*where)
        if lent:
            self._lent[where] += 1
            register.allow(_RECIPIENT, *where)
        upstream = Upstream(self._pool, origin)
        try:
            register.tally.add(_RECIPIENT.name, _ANY, _CONTENT)
            head = upstream.head("GET", target, {"user-agent": USER_AGENT, "accept": "*/*", "connection": "close"})
            answer = upstream.ask(head, (), _DEADLINES)
            answer.bytes_max = bytes_max
            try:
                status = await answer.head()
                if 300 <= status < 400:
                    raise _unfetched("it leads on to another URL")
                if status != 200:
                    raise _unfetched(f"its server answers with status {status}")
                if _length(answer.headers) > bytes_max:
                    raise _unfetched(f"it is larger than {bytes_max} bytes")
                if answer.headers.get(b"content-encoding", b"identity").lower() != b"identity":
                    raise _unfetched("it comes compressed")
                body = await answer.body()
                if len(body) > bytes_max:  # it came all at once, before anybody counted
                    raise _unfetched(f"it is larger than {bytes_max} bytes")
                return answer.headers, body
            finally:
                answer.cancel()
        except InvalidCall:
            raise
        except RuxaError as error:
            if error.code == "address_refused":
                raise InvalidCall(
                    "A URL of this call leads to an address that is never called.", code="url_refused"
                ) from None
            reason = (
                f"it is larger than {bytes_max} bytes"
                if error.code == "answer_too_large"
                else _REASONS.get(error.code, "its server can not be reached")
            )
            raise _unfetched(reason) from None
        finally:
            upstream.close()
            if lent:
                self._lent[where] -= 1
                if self._lent[where] <= 0:
                    del self._lent[where]
                    register.withdraw(_RECIPIENT, *where)


_REASONS: Final = {
    "name_unknown": "its name does not resolve",
    "tls_failed": "its certificate is not trusted",
    "connect_timeout": "it takes too long",
    "first_byte_timeout": "it takes too long",
    "between_timeout": "it takes too long",
    "call_timeout": "it takes too long",
}


def _parts(url: str) -> tuple[Origin, str]:
    """Where, and what to ask for there."""
    try:
        if len(url) > URL_CHARS_MAX:
            raise ValueError
        parts = urlsplit(url)
        tls = parts.scheme == "https"
        host, port = parts.hostname or "", parts.port or (443 if tls else 80)
        if not (tls or parts.scheme == "http") or not host or not host.isascii() or "%" in host:
            raise ValueError
        host.encode("idna")
    except (ValueError, UnicodeError):
        raise InvalidCall("A URL of this call is no http or https URL.", code="url_refused") from None
    if parts.username is not None or parts.password is not None:
        raise InvalidCall("A URL of this call holds a user name; it is not fetched.", code="url_refused")
    target = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
    if parts.query:
        target += "?" + quote(parts.query, safe="/?%:@!$&'()*+,;=~-._")
    return Origin(host=host, port=port, tls=tls, guarded=True), target if target.startswith("/") else f"/{target}"


def _length(headers: Mapping[bytes, bytes]) -> int:
    said = headers.get(b"content-length", b"0")
    return int(said) if said.isdigit() and len(said) < 19 else 0


def _looked_at(headers: Mapping[bytes, bytes], body: bytes, kind: Kind) -> Fetched:
    """What it is: by its first bytes where those tell, else by what its server says."""
    for beginning, media_type in _BEGINNINGS:
        if beginning.match(body):
            if media_type.startswith("image/") is (kind == "image") and kind in ("image", "document"):
                return Fetched(media_type, body)
            raise _unfetched(f"it shows no {kind}")
    said = headers.get(b"content-type", b"").partition(b";")[0].strip().lower().decode("latin-1")
    family = {"document": "text", "audio": "audio", "video": "video"}.get(kind)
    if family is not None and _TYPE.match(said) and said.startswith(f"{family}/") and body:
        return Fetched(said, body)
    raise _unfetched("it shows no PNG, JPEG, GIF or WebP image" if kind == "image" else f"it shows no {kind}")


def _unfetched(reason: str) -> InvalidCall:
    return InvalidCall(f"A URL of this call can't be fetched: {reason}.", code="url_not_fetched")
