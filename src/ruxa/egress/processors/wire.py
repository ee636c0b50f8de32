"""Wire: one processor's API over the egress pool: its host pinned, its answers bounded, what it gets counted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeVar
from urllib.parse import urlsplit

import msgspec

from ruxa.egress.http import Deadlines, Origin, Pool
from ruxa.egress.places import LOOPBACK
from ruxa.egress.processor import TOO_MUCH, ProcessorRefused
from ruxa.egress.recipient import Recipient
from ruxa.kernel.errors import InvalidCall, UpstreamBroken

ANSWER_BYTES_MAX: Final = 8 * 1024 * 1024
USER_AGENT: Final = "ruxa"
# The headers by which a processor knows a repeated request (lower case).
_KEYS: Final = frozenset({"idempotency-key", "paypal-request-id"})
_DEADLINES: Final = Deadlines(connect_s=5, first_byte_s=30, between_s=15, whole_s=60)

_T = TypeVar("_T")


class Reply(msgspec.Struct, frozen=True):
    """What the API answered."""

    status: int
    headers: dict[str, str]
    body: bytes


class Wire:
    """One API at ``base_url`` (https; http on loopback only)."""

    def __init__(self, pool: Pool, base_url: str, recipient: Recipient) -> None:
        """Declares ``recipient`` at the host. Raises InvalidCall ``bad_setting``."""
        parts = urlsplit(base_url)
        host, tls = parts.hostname or "", parts.scheme == "https"
        if not host or parts.query or parts.username or not (tls or (parts.scheme == "http" and host in LOOPBACK)):
            raise InvalidCall(
                f"payments.{recipient.name}.base_url must be https://HOST (http only on loopback).", code="bad_setting"
            )
        self.recipient = recipient
        self.origin = Origin(host=host, port=parts.port or (443 if tls else 80), tls=tls)
        self.base_url = f"{parts.scheme}://{self.origin.authority}{parts.path.rstrip('/')}"
        self._path = parts.path.rstrip("/")
        self._pool = pool
        pool.register.allow(recipient, self.origin.host, self.origin.port)

    async def ask(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes = b"",
        *,
        tells: bool = True,
        bytes_max: int = ANSWER_BYTES_MAX,
    ) -> Reply:
        """One request; no redirect is followed. Raises UpstreamError when there is no whole answer.

        tells: it carries something about a payment, which is counted; a request for a token or certificate does not.
        """
        if tells:
            for category in self.recipient.what:
                self._pool.register.tally.add(self.recipient.name, self.origin.host, category)
        upstream = self._pool.upstream(self.origin)
        head = upstream.head(method, self._path + target, {"user-agent": USER_AGENT, **headers})
        harmless = method == "GET" or not _KEYS.isdisjoint(headers)
        while True:
            answer = upstream.ask(head, (body,) if body else (), _DEADLINES)
            answer.bytes_max = bytes_max
            try:
                status = await answer.head()
                raw = await answer.body()
                break
            except UpstreamBroken:
                # A kept connection that had died: what carries a key may go out again, once, on a fresh one.
                if answer.answered or not harmless:
                    raise
                harmless = False
            finally:
                answer.cancel()
        if len(raw) > bytes_max:  # it came all at once, before anybody counted
            raise UpstreamBroken("The payment processor's answer is too large.", code="answer_too_large")
        said = {name.decode("latin-1"): value.decode("latin-1") for name, value in answer.headers.items()}
        return Reply(status, said, raw)


def nonsense(what: str) -> ProcessorRefused:
    """An answer that is none: nothing of it is believed."""
    return ProcessorRefused(
        "The payment processor gave an answer that makes no sense.",
        code="processor_nonsense",
        detail=what,
        known=False,
    )


def away(what: str, status: int) -> ProcessorRefused:
    """It has trouble of its own; nobody knows what became of the request."""
    return ProcessorRefused(
        "The payment processor has trouble.", code="processor_away", detail=f"{what} {status}", known=False
    )


def too_much(what: str) -> ProcessorRefused:
    """More pages than are read in one go: nothing of them is taken."""
    return ProcessorRefused(
        "The payment processor has more to say than is read at once.", code=TOO_MUCH, detail=what, known=False
    )


def read(body: bytes | str, kind: type[_T], what: str) -> _T:
    """The fields of an answer that we look at, typed. Raises ProcessorRefused for anything else."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise nonsense(what) from None
