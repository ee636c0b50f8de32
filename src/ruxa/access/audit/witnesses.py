"""Asks a foreign witness to cosign the last checkpoint, with the proof that it continues the one it signed last."""

from __future__ import annotations

from base64 import b64encode
from functools import partial
from typing import Final, Protocol

from ruxa.access.audit import records, sequencer, tree, verify
from ruxa.egress.witness import Reply
from ruxa.kernel.errors import UpstreamBroken
from ruxa.store.pool import Pool

_TRIES: Final = 2


class Cosigner(Protocol):
    """Somebody who answers to ``add-checkpoint``."""

    async def add_checkpoint(self, body: bytes, /) -> Reply:
        """What they say. Raises UpstreamError."""
        ...


async def ask(pool: Pool, writer: Pool, cosigner: Cosigner, key: verify.Key) -> bool:
    """Gets the cosignature of the last checkpoint, unless it is there; whether it is there now.

    writer: of ``ruxa_audit``.
    Raises UpstreamBroken (``witness_refused``, ``witness_unsigned``), UpstreamError when the witness does not answer.
    """
    async with pool.work() as work:
        last = await sequencer.checkpoint(work)
        if last is None:
            return False
        known = await records.last_cosigned(work, key.name)
    old = 0 if known is None else known[0]
    if old == last.size:
        return True
    for _ in range(_TRIES):
        async with pool.work() as work:
            signed = await records.checkpoint(work, last.size)
            assert signed is not None, "checkpoints stay"
            proof = await tree.consistency(partial(records.hashes, work), old, last.size)
        lines = [f"old {old}", *(b64encode(one).decode() for one in proof), "", signed.note]
        reply = await cosigner.add_checkpoint("\n".join(lines).encode())
        if reply.status == 200:
            line = _line(signed.note, reply.text, key)
            async with writer.work() as work:
                await records.cosign(work, last.size, key.name, line)
            return True
        size = reply.text.strip()
        if reply.status != 409 or not size.isascii() or not size.isdigit() or int(size) > last.size:
            # A witness that has seen more than we have means that this log was set back.
            code = "witness_ahead" if reply.status == 409 else "witness_refused"
            raise UpstreamBroken("The witness did not cosign.", code=code, detail=f"status={reply.status}")
        old = int(size)
    raise UpstreamBroken("The witness did not cosign.", code="witness_refused", detail="status=409")


def _line(note: str, text: str, key: verify.Key) -> str:
    """The one line of the answer that the witness's key signed."""
    for row in text.splitlines():
        try:
            told, _ = verify.read_note(f"{note}{row}\n").cosigned_by(key)
        except verify.Unreadable:
            continue
        if told:
            return f"{row}\n"
    raise UpstreamBroken("The witness did not cosign.", code="witness_unsigned")
