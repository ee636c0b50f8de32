"""The outbox: mail that a work has decided on, sealed until it is sent, rendered from catalogues of both languages.

A mail is put in the same transaction as what it tells; a job sends it (``jobs``). Each template may use the variables
named here and no others. The body goes when the mail was sent, after 7 days at the latest.
"""

from __future__ import annotations

import html
import tomllib
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from importlib import resources
from typing import Final, Literal, cast
from uuid import UUID

import msgspec

from ruxa.access import records
from ruxa.egress.mail import Letter
from ruxa.kernel import bounds, codec, ids
from ruxa.kernel.errors import NotFound
from ruxa.kernel.sealed import Sealed
from ruxa.store.vault import Vault
from ruxa.store.work import Work

Template = Literal[
    "verify", "known", "reset", "invite", "password_changed", "new_browser", "checkpoint", "hold", "erasure",
    "alert_low_balance", "alert_budget_near", "alert_budget_used", "alert_payment_failed", "alert_auto_off",
    "alert_auto_paused", "alert_unusual", "alert_dispute"
]  # fmt: skip

PURPOSE: Final = "communicate"
EMAIL_COLUMN: Final = "access.member.email_sealed"
NAME_COLUMN: Final = "access.member.name_sealed"
ORGANISATION_COLUMN: Final = "access.mail.organisation_sealed"
RECIPIENT_COLUMN: Final = "access.mail.recipient_sealed"
VARIABLES_COLUMN: Final = "access.mail.variables_sealed"

# The variables each template may use (their data: user.name, user.contact.organization, one-time links, user.device).
_SENT = "subject=member purpose=communicate,security basis=contract,legitimate_interest keep=outbox seal=subject"
_ENDS = "erase=shred export=yes"
# What each variable of a mail holds, in the data map's grammar.
VARIABLES: Final[dict[str, str]] = {
    "name": f"data: category=user.name {_SENT} {_ENDS}",
    "organisation": f"data: category=user.contact.organization {_SENT} {_ENDS}",
    "url": f"data: category=user.authorization.credentials {_SENT} erase=shred export=no:secret",
    "agent": f"data: category=user.device {_SENT} {_ENDS}",
    "minutes": "data: none",
    "size": "data: none",
    "until": "data: none",
    "checkpoint": "data: none",
    "amount": f"data: category=user.payment {_SENT} {_ENDS}",
    "bound": f"data: category=user.payment {_SENT} {_ENDS}",
}
_ALERT: Final = frozenset({"name", "organisation", "amount", "bound", "url"})
_OF_AMOUNT: Final = _ALERT - {"bound"}
_OF_BOUND: Final = _ALERT - {"amount"}
TEMPLATES: Final[dict[Template, frozenset[str]]] = {
    "verify": frozenset({"name", "url", "minutes"}),
    "known": frozenset({"name", "url"}),
    "reset": frozenset({"name", "url", "minutes"}),
    "invite": frozenset({"organisation", "url", "minutes"}),
    "password_changed": frozenset({"name", "url"}),
    "new_browser": frozenset({"name", "url", "agent"}),
    "checkpoint": frozenset({"size", "checkpoint", "url"}),
    "hold": frozenset({"name", "until"}),
    "erasure": frozenset({"name", "until"}),
    "alert_low_balance": _ALERT,
    "alert_budget_near": _ALERT,
    "alert_budget_used": _ALERT,
    "alert_payment_failed": _OF_AMOUNT,
    "alert_auto_off": _OF_BOUND,
    "alert_auto_paused": _OF_BOUND,
    "alert_unusual": _ALERT,
    "alert_dispute": _OF_AMOUNT,
}


class MailLine(msgspec.Struct, frozen=True, kw_only=True):
    """A mail as the outbox page lists it: nothing of a person. ``state``: waiting, sent, failed."""

    id: UUID
    template: str
    locale: str
    state: str
    attempts: int
    fault: str | None
    created_at: datetime
    sent_at: datetime | None


async def put(
    work: Work,
    vault: Vault,
    member_id: UUID,
    template: Template,
    variables: Mapping[str, Sealed[str]],
    *,
    organisation_id: UUID | None = None,
) -> UUID:
    """Puts a mail to the member into the outbox; its id. ``name`` and ``minutes`` are filled in when asked for.

    organisation_id: whose name the variable ``organisation`` is; it is sealed under that organisation's key and goes
    with it.
    """
    row = await records.member(work, member_id)
    if row is None:
        raise NotFound("No such member.")
    values = {name: value.open(PURPOSE) for name, value in variables.items()}
    if "minutes" in TEMPLATES[template]:
        values["minutes"] = str(bounds.LINK_TTL_S // 60)
    if "name" in TEMPLATES[template]:
        values["name"] = ""
        if row.name_sealed is not None:
            name = await vault.open(NAME_COLUMN, member_id, member_id, row.name_sealed, purpose=PURPOSE)
            values["name"] = name.open(PURPOSE)
    addressee = records.Addressee(member_id, row.locale, row.email_sealed)
    given = {name: Sealed(value) for name, value in values.items()}
    return await put_to(work, vault, addressee, template, given, organisation_id=organisation_id)


async def put_to(
    work: Work,
    vault: Vault,
    to: records.Addressee,
    template: Template,
    variables: Mapping[str, Sealed[str]],
    *,
    organisation_id: UUID | None = None,
) -> UUID:
    """``put`` for an addressee that was found already; every variable of the template is given."""
    values = {name: value.open(PURPOSE) for name, value in variables.items()}
    assert values.keys() == TEMPLATES[template], (template, sorted(values))
    assert ("organisation" in values) == (organisation_id is not None), template
    member_id = to.member_id
    address = await vault.open(EMAIL_COLUMN, member_id, member_id, to.email_sealed, purpose=PURPOSE)
    mail_id = ids.fresh()
    organisation = None
    if organisation_id is not None:
        organisation = await vault.seal(ORGANISATION_COLUMN, organisation_id, mail_id, values.pop("organisation"))
    await records.insert_mail(
        work,
        mail_id,
        member_id,
        template,
        to.locale,
        await vault.seal(RECIPIENT_COLUMN, member_id, mail_id, address.open(PURPOSE)),
        await vault.seal(VARIABLES_COLUMN, member_id, mail_id, codec.encode(values).decode()),
        organisation_id,
        organisation,
    )
    return mail_id


async def page(work: Work, *, after: UUID | None = None, limit: int = 50) -> list[MailLine]:
    """The outbox, newest first, from below ``after``."""
    return [
        MailLine(
            id=row.id,
            template=row.template,
            locale=row.locale,
            state=row.state,
            attempts=row.attempts,
            fault=row.fault,
            created_at=row.created_at,
            sent_at=row.sent_at,
        )
        for row in await records.mail_page(work, after, min(limit, bounds.PAGE_ROWS_MAX))
    ]


async def read(work: Work, vault: Vault, mail_id: UUID) -> Letter | None:
    """A mail as it is or will be sent (the demo's outbox page); None once the body has gone. NotFound for no mail."""
    row = await records.mail_by_id(work, mail_id)
    if row is None:
        raise NotFound("No such mail.")
    return await letter(vault, row)


async def letter(vault: Vault, row: records.MailRow) -> Letter | None:
    """The rendered mail of a row; None once the body has gone."""
    if row.recipient_sealed is None or row.variables_sealed is None:
        return None
    recipient = await vault.open(RECIPIENT_COLUMN, row.member_id, row.id, row.recipient_sealed, purpose=PURPOSE)
    sealed = await vault.open(VARIABLES_COLUMN, row.member_id, row.id, row.variables_sealed, purpose=PURPOSE)
    values = cast(dict[str, str], codec.decode(sealed.open(PURPOSE).encode()))
    if row.organisation_id is not None and row.organisation_sealed is not None:
        place = (ORGANISATION_COLUMN, row.organisation_id, row.id, row.organisation_sealed)
        values["organisation"] = (await vault.open(*place, purpose=PURPOSE)).open(PURPOSE)
    subject, text = catalogue(row.locale)[row.template]
    plain = text.format_map(values)
    return Letter(
        id=row.id,
        recipient=recipient,
        locale=row.locale,
        subject=Sealed(subject),
        text=Sealed(plain),
        html=Sealed(_html(subject, plain, row.locale)),
    )


@cache
def catalogue(locale: str) -> dict[str, tuple[str, str]]:
    """template -> (subject, text) of one language; the subject has no variables: it shows on locked screens."""
    file = resources.files("ruxa.access").joinpath("letters", f"{locale}.toml")
    tables = tomllib.loads(file.read_text(encoding="utf-8"))
    return {name: (table["subject"], table["text"].strip() + "\n") for name, table in tables.items()}


def _html(subject: str, plain: str, locale: str) -> str:
    """The same words as a page: paragraphs, and each line that is an address as a link. Nothing is loaded."""
    paragraphs: list[str] = []
    for block in plain.strip().split("\n\n"):
        safe = html.escape(block)
        if block.startswith(("http://", "https://")) and not any(mark.isspace() for mark in block):
            safe = f'<a href="{safe}">{safe}</a>'
        paragraphs.append(f'<p style="margin:0 0 1em">{safe.replace(chr(10), "<br>")}</p>')
    return (
        f'<!doctype html><html lang="{locale}"><head><meta charset="utf-8"><title>{html.escape(subject)}</title></head>'
        '<body style="font:16px/1.5 system-ui,sans-serif;max-width:36em;margin:2em auto;padding:0 1em">'
        f"{''.join(paragraphs)}</body></html>\n"
    )
