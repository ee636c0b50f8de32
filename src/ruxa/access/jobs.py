"""What the worker does for this room: send the outbox, let die what has had its time. Both may run twice at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from ruxa.access import outbox, records
from ruxa.egress.mail import Letter
from ruxa.kernel import bounds
from ruxa.kernel.errors import UpstreamError, UpstreamRefused
from ruxa.kernel.signals import Sink
from ruxa.store.pool import Pool
from ruxa.store.vault import Vault

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


async def sweep(pool: Pool, vault: Vault) -> int:
    """Lets die: unproved sign-ups (48 h), sessions, links, mail bodies (7 days), ended secrets, marks."""
    async with pool.work("system") as work:
        people = await records.sweep_sign_ups(work, bounds.SIGN_UP_TTL_H)
        gone = len(people)
        gone += await records.sweep_sessions(work)
        gone += await records.sweep_links(work, bounds.SIGN_UP_TTL_H)
        gone += await records.sweep_mail(work, bounds.MAIL_DAYS, bounds.USAGE_DAYS)
        gone += await records.sweep_keys(work, bounds.USAGE_DAYS)
        gone += await records.sweep_traces(work)
    for member_id in people:
        await vault.destroy_subject(member_id, ("account",))
    return gone
