"""Outbox: in the demo the mails themselves, so that a newcomer can follow a link; live, template and state only."""

from __future__ import annotations

import re
from datetime import datetime

import msgspec

from ruxa.access import authorize, outbox
from ruxa.console.page import Page, View, Visit
from ruxa.kernel.errors import Unauthenticated
from ruxa.store.work import Work

SHOWN = 50
PURPOSE = "communicate"
BADGES = {"waiting": "none", "sent": "pass", "failed": "fail"}


class Mail(msgspec.Struct, frozen=True, kw_only=True):
    """One mail as the page shows it; recipient and text only in the demo."""

    template: str
    state: str
    kind: str
    attempts: int
    at: datetime
    subject: str = ""
    to: str = ""
    text: str = ""
    link: str | None = None


async def load(visit: Visit, work: Work) -> View:
    """The mails, newest first. In live mode only staff who may read the outbox see the page."""
    demo = visit.deps.mode == "demo"
    if not demo:
        if visit.someone is None:
            raise Unauthenticated("Sign in first.", code="sign_in_required")
        authorize.require(visit.person.session.principal, "staff_outbox:read")
    lines = await outbox.page(work, limit=SHOWN)
    return View({"mails": [await _mail(visit, work, line) if demo else _line(line) for line in lines]})


def _line(line: outbox.MailLine) -> Mail:
    return Mail(
        template=line.template,
        state=line.state,
        kind=BADGES[line.state],
        attempts=line.attempts,
        at=line.created_at,
    )


async def _mail(visit: Visit, work: Work, line: outbox.MailLine) -> Mail:
    letter = await outbox.read(work, visit.deps.vault, line.id)
    if letter is None:
        return msgspec.structs.replace(_line(line), subject=line.template)
    text = letter.text.open(PURPOSE)
    link = re.search(re.escape(visit.deps.base_url) + r"(/\S+)", text)
    return msgspec.structs.replace(
        _line(line),
        subject=letter.subject.open(PURPOSE),
        to=letter.recipient.open(PURPOSE),
        text=text,
        link=link.group(1) if link else None,
    )


PAGE = Page(name="outbox", path="/outbox", area="public", load=load, icon="send", group="staff")
