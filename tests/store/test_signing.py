"""Signing keys: made once, known to everybody, followed with overlap; their public halves stay for ever."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import psycopg

from fixtures_database import Database
from ruxa.kernel import signing


def _age(database: Database, days: int) -> None:
    """All of it is so many days older."""
    with psycopg.connect(database.admin_url) as admin:
        admin.execute(
            "UPDATE keystore.public_key SET valid_from = valid_from - %s, valid_until = valid_until - %s",
            [timedelta(days=days)] * 2,
        )


async def test_every_process_signs_by_the_same_key_and_anybody_can_check(database: Database) -> None:
    vaults = [await database.vault() for _ in range(3)]
    keys = await asyncio.gather(*(vault.signing_key("audit") for vault in vaults))
    assert len({key.id for key in keys}) == 1
    (public,) = await vaults[0].public_keys("audit")
    signature = keys[0].sign(b"message")
    assert len(signature) == signing.SIGNATURE_BYTES
    assert public.verify(signature, b"message")
    assert not public.verify(signature, b"massage")
    assert not public.verify(signature[:-1], b"message")
    assert not signing.verify(b"short", signature, b"message")
    assert (await vaults[0].signing_key("report")).id != keys[0].id
    assert repr(keys[0]) == f"<signing key audit {keys[0].id.hex()}>"


async def test_the_next_key_is_published_before_it_signs_and_the_last_counts_longer(database: Database) -> None:
    vault = await database.vault()
    first = await vault.signing_key("receipt")
    coming = await vault.rotate_signing("receipt")
    assert (await vault.signing_key("receipt")).id == first.id
    assert (await vault.rotate_signing("receipt")).id == coming.id, "one that waits is the next"
    old, new = await vault.public_keys("receipt")
    assert (old.id, new.id) == (first.id, coming.id)
    assert old.valid_until == new.valid_from + timedelta(days=1)
    assert new.valid_until is None

    _age(database, 30)
    fresh = await database.vault()
    assert (await fresh.signing_key("receipt")).id == coming.id
    assert await fresh.rotate_signing_if_due() == []
    # In the day of overlap the private half is still there, for who has not changed over; then it is destroyed.
    with psycopg.connect(database.admin_url) as admin:
        assert admin.execute("SELECT count(*) FROM keystore.key WHERE kind = 'signing'").fetchone() == (2,)
    _age(database, 1)
    await fresh.rotate_signing_if_due()
    with psycopg.connect(database.admin_url) as admin:
        assert admin.execute("SELECT count(*) FROM keystore.key WHERE kind = 'signing'").fetchone() == (1,)
    assert [key.id for key in await fresh.public_keys("receipt")] == [first.id, coming.id]
    signature = first.sign(b"said then")
    assert (await fresh.public_keys("receipt"))[0].verify(signature, b"said then")


async def test_a_key_is_followed_after_a_year(database: Database) -> None:
    vault = await database.vault()
    await vault.signing_key("audit")
    _age(database, 334)
    assert await vault.rotate_signing_if_due() == []
    _age(database, 1)
    (coming,) = await vault.rotate_signing_if_due()
    assert coming.use == "audit"
    assert await vault.rotate_signing_if_due() == []


async def test_a_known_key_is_replaced_at_once(database: Database) -> None:
    vault, other = await database.vault(), await database.vault()
    first = await vault.signing_key("audit")
    await other.signing_key("audit")
    await vault.rotate_signing("audit", timedelta())
    fresh = await database.vault()
    assert (await fresh.signing_key("audit")).id != first.id
    for _ in range(100):
        if (await other.signing_key("audit")).id != first.id:
            break
        await asyncio.sleep(0.02)
    assert (await other.signing_key("audit")).id != first.id
