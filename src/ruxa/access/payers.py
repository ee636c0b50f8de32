"""Mail about an organisation's money, to its owners and who does its billing, each in their own language."""

from __future__ import annotations

from uuid import UUID

from ruxa.access import organisations, outbox, records
from ruxa.access.outbox import Template
from ruxa.kernel.sealed import Sealed
from ruxa.store.vault import Vault
from ruxa.store.work import Work


async def tell(
    work: Work, vault: Vault, organisation_ref: UUID, template: Template, *, amount: str, bound: str, url: str
) -> int:
    """Puts the mails into the outbox; how many. Nobody is told of an organisation that is closed.

    amount, bound: USD as text, where the template says them.
    """
    payers = await records.payers(work, organisation_ref)
    for payer in payers:
        organisation = await vault.open(
            organisations.NAME_COLUMN,
            payer.organisation_id,
            payer.organisation_id,
            payer.organisation_sealed,
            purpose=organisations.PURPOSE,
        )
        name = ""
        if payer.name_sealed is not None:
            place = (outbox.NAME_COLUMN, payer.member_id, payer.member_id, payer.name_sealed)
            name = (await vault.open(*place, purpose=outbox.PURPOSE)).open(outbox.PURPOSE)
        known = {
            "name": Sealed(name),
            "organisation": Sealed(organisation.open(organisations.PURPOSE)),
            "amount": Sealed(amount),
            "bound": Sealed(bound),
            "url": Sealed(url),
        }
        variables = {said: known[said] for said in outbox.TEMPLATES[template]}
        addressee = records.Addressee(payer.member_id, payer.locale, payer.email_sealed)
        await outbox.put_to(work, vault, addressee, template, variables, organisation_id=payer.organisation_id)
    return len(payers)
