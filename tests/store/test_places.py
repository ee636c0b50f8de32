"""Sealed values are bound to their place: in every declared column, moved anywhere else they do not open."""

from __future__ import annotations

import itertools
from datetime import date, timedelta
from uuid import UUID, uuid4

import psycopg
import pytest

from fixtures_database import Database
from ruxa.kernel import crypto
from ruxa.kernel.errors import Broken, NotFound
from ruxa.store import inventory
from ruxa.store.inventory import Column


def _sealed(database: Database) -> list[Column]:
    with psycopg.connect(database.admin_url) as admin:
        found = inventory.columns(admin.execute(inventory.COLUMNS).fetchall())
    return [one for one in found if one.declaration is not None and one.declaration.seal in ("subject", "day", "dual")]


async def test_no_value_opens_in_another_column_row_subject_day_or_year(database: Database) -> None:
    vault = await database.vault()
    subjects, rows = [uuid4(), uuid4()], [uuid4(), uuid4()]
    for subject in subjects:
        await vault.create_subject(subject, ("account", "content", "usage", "support", "consent"))
    today: date = database.clock.now().date()
    days = [today, today + timedelta(days=1)]
    columns = _sealed(database)
    assert len(columns) > 8
    places: list[tuple[str, UUID, UUID, date | None, int | None]] = []
    for column in columns:
        declared = column.declaration
        assert declared is not None
        dated: list[date | None] = [*days] if declared.seal in ("day", "dual") else [None]
        years: list[int | None] = [2026, 2027] if declared.key_class == "billing" else [None]
        places += [(column.name, *one) for one in itertools.product(subjects, rows, dated, years)]
    envelopes = [
        await vault.seal_bytes(name, subject, row, b"canary", day=day, year=year)
        for name, subject, row, day, year in places
    ]
    purposes = {one.name: one.declaration.purposes[0] for one in columns if one.declaration is not None}
    tried = 0
    for here, envelope in zip(places, envelopes, strict=True):
        for there in places:
            name, subject, row, day, year = there
            if there == here:
                found = await vault.open_bytes(name, subject, row, envelope, purpose=purposes[name], day=day, year=year)
                assert found.open(purposes[name]) == b"canary"
                continue
            # Of other columns one place is enough: what differs then is the column.
            if name != here[0] and there[1:4] != here[1:4]:
                continue
            tried += 1
            with pytest.raises((Broken, NotFound)):
                await vault.open_bytes(name, subject, row, envelope, purpose=purposes[name], day=day, year=year)
    assert tried > 300


async def test_every_flipped_bit_of_an_envelope_is_noticed(database: Database) -> None:
    vault = await database.vault()
    ada, row = uuid4(), uuid4()
    await vault.create_subject(ada)
    sealed = await vault.seal("access.member.name_sealed", ada, row, "Ada")
    for bit in range(len(sealed) * 8):
        forged = bytearray(sealed)
        forged[bit // 8] ^= 1 << bit % 8
        with pytest.raises((Broken, NotFound)):
            await vault.open("access.member.name_sealed", ada, row, bytes(forged), purpose="provide")
    assert crypto.kid(sealed)
