"""Verify: the link of the mail, used up by a click and not by a scanner that only looks."""

from __future__ import annotations

from ruxa.access import entrance
from ruxa.console import newcomers, visits
from ruxa.console.page import Go, Page, View, Visit
from ruxa.kernel.sealed import Sealed
from ruxa.store.work import Work


async def load(visit: Visit, work: Work) -> View:
    """One button; the password too when this browser did not ask for the account."""
    del work
    return View({"with_password": visit.ticket is None})


async def verify(visit: Visit) -> Go:
    """Proves the address and signs in."""
    password = visit.form.get("password")
    done = await entrance.verify(
        visit.deps.entrance,
        Sealed(visit.places["code"]),
        visits.visitor(visit),
        ticket=Sealed(visit.ticket) if visit.ticket else None,
        password=Sealed(password) if password else None,
    )
    return await newcomers.arrive(visit, done, "/home?done=welcome")


PAGE = Page(name="verify", path="/verify/{code:str}", area="public", load=load, doors={"verify": verify})
