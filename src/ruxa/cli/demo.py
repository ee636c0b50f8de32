"""``ruxa demo remove``: the demo ends and the installation becomes live (decision D9)."""

from __future__ import annotations

import asyncio
from argparse import Namespace
from uuid import UUID

from ruxa.access import keys, members, organisations
from ruxa.access.audit import log
from ruxa.access.authorize import OPERATOR
from ruxa.app import instance
from ruxa.app.house import House
from ruxa.cli import output, session
from ruxa.kernel.errors import Conflict
from ruxa.store import instance as owner
from ruxa.store.work import Work


def remove(args: Namespace) -> int:
    """``ruxa demo remove``."""
    running = session.within(args, _remove)
    output.show(args, {"removed": True, "mode": "live", "restart_needed": running})
    if not args.json:
        output.line(
            "The demo is gone: its key, its owner's access and its credit end now; what it booked stays booked."
        )
        if running:
            output.line("Restart the server: until then it still runs as a demo, on loopback.")
    return 0


async def _remove(house: House) -> bool:
    if house.instance.mode != "demo":
        raise Conflict("There is no demo here.", code="no_demo")
    async with house.work() as work:
        for organisation in await organisations.page(work, house.vault, limit=1000):
            if not organisation.synthetic:
                continue
            for key in await keys.of_organisation(work, house.vault, organisation.id, limit=1000):
                await keys.revoke(work, organisation.id, key.id)
                await _note(work, house, "key:revoked", organisation.id, key.id)
            for line in await members.team(work, house.vault, organisation.id):
                await members.remove_staff(work, line.member_id)
                await _note(work, house, "staff:removed", organisation.id, line.member_id)
                await members.suspend(work, line.member_id)
                await _note(work, house, "member:suspended", organisation.id, line.member_id)
            await organisations.suspend(work, organisation.id, "request")
            await _note(work, house, "organisation:suspended", organisation.id, organisation.id)
    await asyncio.to_thread(owner.change_mode, house.address.url("ruxa_owner"), "live")
    instance.change_mode(house.settings.data, house.instance, "live")
    for name in ("demo.json", "demo.json.waiting", "run/processor.jsonl", "run/processor.port"):
        (house.settings.data / name).unlink(missing_ok=True)
    return house.server is not None


async def _note(work: Work, house: House, act: log.Act, organisation_id: UUID, thing: UUID) -> None:
    await log.add(work, house.vault, OPERATOR, act, organisation_id=organisation_id, object_id=thing)
