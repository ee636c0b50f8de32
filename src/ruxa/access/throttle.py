"""Attempts, counted before they are made: per account and per address block, with waits that double.

What is counted is a keyed hash of the day and the thing, so a row names nobody and cannot be joined with tomorrow's.
An attempt is taken up front and given back on success: a thousand parallel guesses are a thousand attempts. Waits end
at 15 minutes, so that nobody can lock another person out for good.
"""

from __future__ import annotations

from typing import Final

import msgspec

from ruxa.access import records
from ruxa.access.sessions import Visitor
from ruxa.kernel.errors import Limited
from ruxa.store.vault import Vault
from ruxa.store.work import Work

LABEL: Final = "throttle"
PURPOSE: Final = "security"
WAIT_S_MAX: Final = 15 * 60


class Rule(msgspec.Struct, frozen=True):
    """``free`` attempts, then a wait of 1, 2, 4 ... times ``wait_s``; forgotten after ``window_s`` without one."""

    name: str
    free: int
    wait_s: int
    window_s: int


SIGN_IN_ACCOUNT: Final = Rule("sign_in.account", free=5, wait_s=2, window_s=3600)
SIGN_IN_BLOCK: Final = Rule("sign_in.block", free=40, wait_s=2, window_s=3600)
MAIL_ACCOUNT: Final = Rule("mail.account", free=4, wait_s=120, window_s=3600)
INVITATIONS: Final = Rule("invite.organisation", free=50, wait_s=60, window_s=24 * 3600)
MAIL_BLOCK: Final = Rule("mail.block", free=40, wait_s=30, window_s=3600)


async def take(work: Work, vault: Vault, rule: Rule, subject: bytes) -> int:
    """Counts one attempt; seconds to wait when it may not be made now (it is not counted then), else 0.

    The caller commits before it refuses: the count must outlive the refusal.
    """
    return await records.take_attempt(
        work, await _mark(work, vault, rule, subject), rule.free, rule.wait_s, rule.window_s, WAIT_S_MAX
    )


async def clear(work: Work, vault: Vault, rule: Rule, subject: bytes) -> None:
    """Forgets the attempts (the right password was given)."""
    await records.clear_attempts(work, await _mark(work, vault, rule, subject))


async def give_back(work: Work, vault: Vault, rule: Rule, subject: bytes) -> None:
    """Takes one attempt back: it was a good one, but says nothing of the others of its block."""
    await records.give_attempt_back(work, await _mark(work, vault, rule, subject))


def block_of(visitor: Visitor) -> bytes:
    """What is counted for an address block; requests without an address share one count."""
    return b"unknown" if visitor.block is None else visitor.block.open(PURPOSE).encode()


def refuse(wait_s: int) -> Limited:
    """What is answered when an attempt may not be made now."""
    return Limited("Too many attempts; wait a little.", code="too_many_attempts", retry_after_s=wait_s)


async def _mark(work: Work, vault: Vault, rule: Rule, subject: bytes) -> bytes:
    day = await records.today(work)
    return vault.keyed_hash(LABEL, f"{rule.name}|{day}|".encode() + subject)
