"""Reset: a mailed link for a new password. Whether an address has an account is not said."""

from __future__ import annotations

import msgspec

from ruxa.access import entrance
from ruxa.console import forms, newcomers, visits
from ruxa.console.page import Go, Page, View, Visit
from ruxa.kernel import bounds
from ruxa.kernel.sealed import Sealed
from ruxa.store.work import Work


class Ask(msgspec.Struct, frozen=True):
    """Whose password."""

    email: str


class Choose(msgspec.Struct, frozen=True):
    """The new one."""

    password: str


async def load(visit: Visit, work: Work) -> View:
    """Asks for the address, says where to look, or asks for the new password."""
    del work
    return View(
        {
            "code": visit.places.get("code"),
            "sent": "sent" in visit.query,
            "minutes": bounds.LINK_TTL_S // 60,
            "mail_days": bounds.MAIL_DAYS,
        }
    )


async def ask(visit: Visit) -> Go:
    """Mails the link."""
    form = forms.read(Ask, visit.form)
    await entrance.ask_reset(visit.deps.entrance, Sealed(form.email), visits.visitor(visit))
    return Go(to="/reset?sent=1")


async def choose(visit: Visit) -> Go:
    """Sets the password, ends every session, begins a new one."""
    form = forms.read(Choose, visit.form)
    done = await entrance.reset(
        visit.deps.entrance, Sealed(visit.places["code"]), Sealed(form.password), visits.visitor(visit)
    )
    return await newcomers.arrive(visit, done, "/home?done=password_changed")


PAGE = Page(
    name="reset",
    path=("/reset", "/reset/{code:str}"),
    area="public",
    load=load,
    doors={"ask": ask, "choose": choose},
)
