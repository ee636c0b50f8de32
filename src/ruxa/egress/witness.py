"""A witness of the audit log (C2SP tlog-witness): gets a checkpoint with the proof that it continues the last one.

What leaves is a tree's size and root, hashes and signatures: nothing about anybody.
"""

from __future__ import annotations

from typing import Final

import msgspec

from ruxa.egress import places
from ruxa.egress.http import Deadlines, Pool
from ruxa.egress.recipient import Recipient, Register
from ruxa.egress.timers import Wheel

_DEADLINES: Final = Deadlines(connect_s=5, first_byte_s=15, between_s=5, whole_s=30)
_ANSWER_BYTES_MAX: Final = 64 * 1024


class Reply(msgspec.Struct, frozen=True):
    """What the witness said: the status and the text."""

    status: int
    text: str


class Witness:
    """One witness at its submission prefix."""

    def __init__(self, name: str, url: str, register: Register, *, where: str = "unknown") -> None:
        """Declares it as a recipient.

        Raises InvalidCall ``bad_setting`` for a URL that is none (http: loopback only).
        """
        place = places.at(url, f"witnesses.{name}.url")
        self.name = name
        self._recipient = f"witness {name}"
        self._path = place.path
        self._origin = place.origin
        self._register = register
        register.allow(
            Recipient(
                name=self._recipient,
                role="witness",
                who=name,
                what=("system.operations",),
                why=("proof",),
                where=where,
                safeguard="nothing personal is sent: sizes, hashes and signatures",
            ),
            place.origin.host,
            place.origin.port,
        )
        self._wheel = Wheel()
        self._pool = Pool(register, wheel=self._wheel)

    async def add_checkpoint(self, body: bytes) -> Reply:
        """Asks for a cosignature. Raises UpstreamError when no whole answer comes."""
        upstream = self._pool.upstream(self._origin)
        headers = {"content-type": "text/plain; charset=utf-8", "user-agent": "ruxa"}
        self._register.tally.add(self._recipient, self._origin.host, "system.operations")
        answer = upstream.ask(
            upstream.head("POST", f"{self._path}/add-checkpoint", headers), [body], deadlines=_DEADLINES
        )
        answer.bytes_max = _ANSWER_BYTES_MAX
        status = await answer.head()
        return Reply(status, (await answer.body()).decode("utf-8", "replace"))

    async def close(self) -> None:
        """Disconnects."""
        await self._pool.close()
        self._wheel.stop()
