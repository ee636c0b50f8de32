"""What every key server has in common: one declared destination, calls whose faults are the contract's, small answers.

The key server's own name stands in every detail; neither a token nor a key ever does.
"""

from __future__ import annotations

import asyncio
import ssl
from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

import msgspec

from ruxa.egress.http import Deadlines, Origin, Pool
from ruxa.egress.recipient import Recipient, Register
from ruxa.egress.timers import Wheel
from ruxa.kernel import crypto
from ruxa.kernel.errors import InvalidCall, Unavailable, UpstreamError

# A key that no epoch claims is a stray when it is older: a younger one may belong to an epoch being recorded.
STRAY_AGE_S: Final = 3600
_DEADLINES: Final = Deadlines(connect_s=3, first_byte_s=5, between_s=5, whole_s=10)

Json = dict[str, Any]


def epoch_of(name: str, prefix: str) -> UUID | None:
    """The epoch that a key is named for, after ``prefix``; None when it is not one of ours."""
    try:
        return UUID(name.removeprefix(prefix)) if name.startswith(prefix) else None
    except ValueError:
        return None


class KeyServer:
    """Asks one key server, and nobody else; who it is and what it gets stands in the register from the start."""

    def __init__(self, name: str, who: str, *, register: Register, where: str, ca: str | None = None) -> None:
        """Raises InvalidCall ``bad_setting`` for a ``ca`` that cannot be read."""
        self.name = name
        self._register = register
        self._recipient = Recipient(
            name=name,
            role="storage",
            who=who,
            what=("system.authentication",),
            why=("security",),
            where=where,
            safeguard="the operator's own contract",
        )
        self._wheel = Wheel()
        self._pool = Pool(register, wheel=self._wheel, trust=None if ca is None else _trust(ca))

    def allow(self, origin: Origin) -> None:
        """Declares a destination of this key server's."""
        self._register.allow(self._recipient, origin.host, origin.port)

    async def ask(
        self, origin: Origin, method: str, target: str, headers: Mapping[str, str], body: bytes = b""
    ) -> tuple[int, Json]:
        """Status and answer, {} for one that is no JSON object. Raises Unavailable ``keys_away``."""
        fault: str
        try:
            upstream = self._pool.upstream(origin)
            answer = upstream.ask(upstream.head(method, target, headers), (body,) if body else (), _DEADLINES)
            status = await answer.head()
            text = await answer.body()
        except UpstreamError as error:
            fault = error.code
        except ValueError:
            # A token (or a path) holds a character that no header may hold; it is not shown.
            fault = "bad_token"
        else:
            return status, _object(text)
        raise Unavailable("The key server does not answer.", code="keys_away", detail=f"{self.name} {fault}")

    def key(self, said: object) -> bytes:
        """The epoch's key that came back in base64. Raises Unavailable ``keys_refused`` when it is none."""
        try:
            key = b64decode(str(said), validate=True)
        except NotBase64:
            key = b""
        if len(key) != crypto.KEY_BYTES:
            raise self.refused("gave back no key")
        return key

    def refused(self, what: str) -> Unavailable:
        """It did or said what the contract does not allow, or would not do what it was asked."""
        return Unavailable(f"The key server {what}.", code="keys_refused", detail=self.name)

    async def close(self) -> None:
        """Lets connections go."""
        await self._pool.close()
        self._wheel.stop()


class Patience:
    """How long what will soon be otherwise is asked for again: ``pause_s``, twice that, and so on, ``tries`` in all."""

    def __init__(self, tries: int, pause_s: float) -> None:
        self._left = tries - 1
        self._pause_s = pause_s

    async def more(self) -> bool:
        """Waits; False when it is over."""
        if not self._left:
            return False
        self._left -= 1
        await asyncio.sleep(self._pause_s)
        self._pause_s *= 2
        return True


def _object(text: bytes) -> Json:
    try:
        return msgspec.json.decode(text, type=dict[str, Any]) if text else {}
    except msgspec.DecodeError:
        return {}


def _trust(ca: str) -> ssl.SSLContext:
    try:
        trust = ssl.create_default_context(cafile=ca)
    except OSError as error:
        raise InvalidCall(f"epoch_keys.ca cannot be read: {error.strerror}.", code="bad_setting") from None
    trust.set_alpn_protocols(["http/1.1"])
    return trust
