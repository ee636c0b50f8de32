"""What every way in shares: the session cookie, the trial credit of a newcomer, the links to the texts agreed to."""

from __future__ import annotations

from markupsafe import Markup

from ruxa.access import members, organisations
from ruxa.access.entrance import SignedIn
from ruxa.console import money
from ruxa.console.page import Go, Visit


async def arrive(visit: Visit, done: SignedIn, to: str) -> Go:
    """Goes ``to`` with the session begun; a new organisation first gets its trial credit (decision D10)."""
    if done.new_organisation is not None and visit.deps.trial_micros > 0:
        async with visit.deps.pool.work(f"member:{done.member_id.hex}") as work:
            organisation = await organisations.find(work, visit.deps.vault, done.new_organisation)
            person = await members.profile(work, visit.deps.vault, done.member_id)
        marks = await money.trial_marks(visit.deps, person.email)
        async with visit.deps.pool.work(f"member:{done.member_id.hex}") as work:
            await money.give_trial(work, visit.deps, organisation.organisation_ref, marks)
    return Go(to=to, session=done.session.token.open("security"), session_s=done.session.seconds)


def text_link(visit: Visit, page: str) -> Markup:
    """A link to a text, opened beside the form so that nothing typed is lost."""
    return Markup('<a href="/{}" target="_blank">{}</a>').format(page, visit.words.t(f"{page}.link"))
