"""``ruxa operator add`` and ``ruxa member add``: people come in by a one-time link that lives 30 minutes."""

from __future__ import annotations

from argparse import Namespace

from ruxa.access import links, members
from ruxa.access.audit import log
from ruxa.access.authorize import OPERATOR
from ruxa.access.links import Kind
from ruxa.access.members import Invited
from ruxa.app.house import House
from ruxa.cli import output, session
from ruxa.kernel import bounds, ids
from ruxa.kernel.sealed import Sealed


def operator_add(args: Namespace) -> int:
    """``ruxa operator add``."""

    async def act(house: House) -> tuple[Invited, str]:
        async with house.work() as work:
            invited = await members.add_staff(work, house.vault, Sealed(args.email), args.role)
            await log.add(work, house.vault, OPERATOR, "staff:added", object_id=invited.member_id)
        return invited, _url(house, "operator", invited)

    return _tell(args, *session.within(args, act))


def member_add(args: Namespace) -> int:
    """``ruxa member add``."""

    async def act(house: House) -> tuple[Invited, str]:
        async with house.work() as work:
            wanted = session.organisation(args)
            invited = await members.invite(work, house.vault, wanted, Sealed(args.email), args.role)
            await log.add(
                work, house.vault, OPERATOR, "member:invited", organisation_id=wanted, object_id=invited.member_id
            )
        return invited, _url(house, "invite", invited)

    return _tell(args, *session.within(args, act))


def _url(house: House, kind: Kind, invited: Invited) -> str:
    return links.url(house.base_url, kind, invited.secret).open(links.PURPOSE)


def _tell(args: Namespace, invited: Invited, link: str) -> int:
    minutes = bounds.LINK_TTL_S // 60
    output.show(args, {"id": ids.text("mem", invited.member_id), "link": link, "minutes": minutes})
    return 0
