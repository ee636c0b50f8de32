"""The daily mail of the log's checkpoint, to every organisation's owners, the data protection officer and operators.

A copy in a stranger's mailbox is what makes a rewritten log show: nobody who changes the log can change it there. The
mail holds a size, hashes and signatures, and nothing about anybody.
"""

from __future__ import annotations

from typing import Final
from uuid import UUID

from ruxa.access import outbox
from ruxa.access.audit import records, sequencer
from ruxa.kernel.sealed import Sealed
from ruxa.store.pool import Pool
from ruxa.store.vault import Vault

BATCH: Final = 100


async def send(pool: Pool, vault: Vault, base_url: str) -> int:
    """Puts today's mails into the outbox, where that was not done; how many. Goes on where another run was killed."""
    count = 0
    while True:
        async with pool.work() as work:
            mailing = await records.mailing(work)
            if mailing is None:
                return count
            checkpoint = await sequencer.checkpoint_at(work, mailing.size)
            assert checkpoint is not None, "checkpoints stay"
            url = Sealed(f"{base_url}/audit")
            people = await records.mailed(work, mailing.after, BATCH)
            for person in people:
                variables = {"size": Sealed(str(mailing.size)), "checkpoint": Sealed(checkpoint.text), "url": url}
                await outbox.put_to(work, vault, person, "checkpoint", variables)
            count += len(people)
            after = people[-1].member_id if people else UUID(int=0)
            await records.mailing_went_on(work, mailing.day, after, over=len(people) < BATCH)
