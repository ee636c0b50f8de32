"""Provider keys: an organisation's own keys at providers, with which its calls are made there.

A key comes in once and is sealed under the organisation's key; nobody is ever shown it again, only its last characters.
It dies with its row, at the latest with the organisation's key. Gateways hear of a change at once and forget what they
hold within two seconds.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final, Protocol
from uuid import UUID

import msgspec

from ruxa.access import records
from ruxa.access.grants import OwnKey
from ruxa.kernel import ids
from ruxa.kernel.errors import InvalidCall, NotFound
from ruxa.kernel.sealed import Sealed
from ruxa.store.vault import Vault
from ruxa.store.work import Work

COLUMN: Final = "access.provider_key.secret_sealed"
PURPOSE: Final = "provide"
# It goes out in a header: no blank, no line end, nothing that is not plain ASCII.
_KEY = re.compile(r"[\x21-\x7e]{8,1024}\Z")
# So much of a key is shown, and only of one long enough that the rest is still a secret.
SHOWN: Final = 4
SHOWN_FROM: Final = 20


class Opener(Protocol):
    """What opens a sealed value; ``store.vault.Vault`` is one."""

    async def open(self, column: str, subject: UUID, row: UUID, sealed: bytes, *, purpose: str) -> Sealed[str]:
        """The value of an envelope, for a purpose."""
        ...


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A key as it is shown. ending: its last four characters; house_stands_in: where the provider refuses it, the
    house's key may be used at the price of the plan."""

    id: UUID
    provider: str
    ending: str
    house_stands_in: bool
    created_at: datetime


async def put(
    work: Work,
    vault: Vault,
    organisation_id: UUID,
    provider: str,
    secret: Sealed[str],
    *,
    house_stands_in: bool = False,
    created_by: UUID | None = None,
) -> UUID:
    """The organisation's key for a provider from now on, in the place of the one before; its id.

    Raises InvalidCall ``bad_provider_key`` for what can be no key. Whether the provider takes it, the next call shows.
    """
    given = secret.open(PURPOSE)
    if not _KEY.match(given) or given.startswith("rx_"):
        raise InvalidCall(
            "A provider's key has 8 to 1024 letters, digits and signs without blanks, and is none of ours.",
            code="bad_provider_key",
            param="key",
        )
    row_id = ids.fresh()
    sealed = await vault.seal(COLUMN, organisation_id, row_id, given)
    ending = given[-SHOWN:] if len(given) >= SHOWN_FROM else ""
    await records.insert_provider_key(
        work, row_id, organisation_id, provider, sealed, ending, house_stands_in, created_by
    )
    return row_id


async def remove(work: Work, organisation_id: UUID, provider: str) -> UUID:
    """The organisation's key for a provider is gone; the id it had. Raises NotFound."""
    gone = await records.delete_provider_key(work, organisation_id, provider)
    if gone is None:
        raise NotFound("This organisation has no key of its own for that provider.", code="no_provider_key")
    return gone


async def listed(work: Work, organisation_id: UUID) -> list[Line]:
    """The organisation's keys, by provider."""
    return [Line(**row._asdict()) for row in await records.provider_keys(work, organisation_id)]


async def opened(vault: Opener, organisation_id: UUID, own: OwnKey) -> str:
    """The secret, for the head of a request to its provider and for nothing else. Raises NotFound ``key_destroyed``."""
    value = await vault.open(COLUMN, organisation_id, own.id, own.sealed, purpose=PURPOSE)
    return value.open(PURPOSE)
