"""What the worker does for this room: send the outbox, let die what has had its time. Both may run twice at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final

import msgspec

from ruxa.access import outbox, records
from ruxa.egress.mail import Letter
from ruxa.kernel import bounds
from ruxa.kernel.errors import UpstreamError, UpstreamRefused
from ruxa.kernel.signals import Sink
from ruxa.store.keystore import Destroyed
from ruxa.store.pool import Pool
from ruxa.store.vault import Vault
from ruxa.store.work import Work

Send = Callable[[Letter], Awaitable[None]]

LEASE_S: Final = 300
AT_ONCE: Final = 10
RETRY_S: Final = (60, 300, 900, 3600, 4 * 3600, 12 * 3600, 24 * 3600)


async def send_mail(pool: Pool, vault: Vault, send: Send, sink: Sink) -> int:
    """Sends what is due, each mail in its own work; how many went. A mail whose worker died is due again in 5 minutes.

    Refused for good, or failed for the eighth time: given up, its body goes. Else tried again later and later.
    """
    sent = 0
    for _ in range(AT_ONCE):
        # One at a time: a slow server must not let the lease of the others run out.
        async with pool.work("system") as work:
            row = await records.claim_mail(work, LEASE_S)
        if row is None:
            break
        letter = await outbox.letter(vault, row)
        assert letter is not None, "only mail with a body is claimed"
        fault: UpstreamError | None = None
        try:
            await send(letter)
        except UpstreamError as error:
            fault = error
        async with pool.work("system") as work:
            if fault is None:
                await records.mail_sent(work, row.id)
                sent += 1
            else:
                final = isinstance(fault, UpstreamRefused) or row.attempts >= bounds.MAIL_ATTEMPTS_MAX
                retry_s = None if final else RETRY_S[min(row.attempts, len(RETRY_S)) - 1]
                await records.mail_failed(work, row.id, fault.code, retry_s)
        sink.emit("mail.sent", "info" if fault is None else "warning", template=row.template, status=_status(fault))
    return sent


def _status(fault: UpstreamError | None) -> str:
    return "sent" if fault is None else fault.code


class Swept(msgspec.Struct, frozen=True):
    """What a sweep ended: how many things, and the keys of people who never proved their address."""

    count: int
    keys: tuple[Destroyed, ...]


async def due(work: Work) -> dict[str, int]:
    """How much of each kind is over its time."""
    return await records.over(
        work, sign_up_hours=bounds.SIGN_UP_TTL_H, body_days=bounds.MAIL_DAYS, row_days=bounds.USAGE_DAYS
    )


async def oldest(work: Work) -> dict[str, datetime | None]:
    """Class of the data map -> when its oldest item was made."""
    return await records.oldest(work)


async def sweep(pool: Pool, vault: Vault) -> Swept:
    """Lets die: unproved sign-ups (48 h), sessions, links, mail bodies (7 days), ended secrets, marks."""
    destroyed: list[Destroyed] = []
    async with pool.work("system") as work:
        people = await records.sweep_sign_ups(work, bounds.SIGN_UP_TTL_H)
        # Before the commit: a row without a key is found again, a key without a row never.
        for member_id in people:
            destroyed += await vault.destroy_subject(member_id, ("account",))
    gone = len(people)
    async with pool.work("system") as work:
        gone += await records.sweep_sessions(work)
        gone += await records.sweep_links(work, bounds.SIGN_UP_TTL_H)
        gone += await records.sweep_mail(work, bounds.MAIL_DAYS, bounds.USAGE_DAYS)
        gone += await records.sweep_keys(work, bounds.USAGE_DAYS)
        gone += await records.sweep_traces(work)
    return Swept(gone, tuple(destroyed))
