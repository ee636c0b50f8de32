"""The log's wiring: an epoch's end is written before and after, a broken log is told, settings are checked."""

from __future__ import annotations

from datetime import timedelta

import psycopg
import pytest

from fixtures_access import House, Signals, house, hurry
from ruxa.access.audit import log, notes, reading, sequencer, verify
from ruxa.app import audit
from ruxa.egress.recipient import Register
from ruxa.kernel.errors import Broken, InvalidCall, RuxaError
from ruxa.kernel.settings import Settings, WitnessSettings
from ruxa.store import vault as vaults

__all__ = ["house", "hurry"]

KEY = notes.vkey("witness.example/w1", bytes(range(32)), verify.COSIGNATURE)


async def written(house: House) -> list[tuple[str, str, str]]:
    async with house.console.work() as work:
        found = await reading.page(work, house.vault, "proof")
    return [(one.act, one.fields.outcome, one.details.get("destroyed", "")) for one in reversed(found) if one.fields]


async def test_an_epoch_ends_with_an_entry_before_and_after(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    assert house.vault.rotates_at == timedelta(days=6)
    await audit.rotate_epoch(house.worker, house.vault)
    assert await written(house) == [], "it is not time"
    monkeypatch.setattr(vaults, "ROTATE_AT", timedelta())
    await audit.rotate_epoch(house.worker, house.vault)
    (first, second) = await written(house)
    assert first == ("crypto:rotated", "planned", "")
    assert second[:2] == ("crypto:rotated", "done")
    assert len(second[2]) == 32, "the epoch that ended"


async def test_no_key_is_destroyed_when_that_cannot_be_written(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vaults, "ROTATE_AT", timedelta())
    with psycopg.connect(house.database.admin_url, autocommit=True) as admin:
        before = admin.execute("SELECT id FROM keystore.epoch").fetchall()
        admin.execute("ALTER TABLE audit.pending ADD CONSTRAINT broken CHECK (entry_id IS NULL) NOT VALID")
        with pytest.raises(RuxaError):
            await audit.rotate_epoch(house.worker, house.vault)
        assert admin.execute("SELECT id FROM keystore.epoch").fetchall() == before


async def test_a_broken_log_is_told_and_stops_nothing(house: House) -> None:
    async with house.console.work() as work:
        await log.add(work, house.vault, None, "retention:run")
        await log.add(work, house.vault, None, "retention:run")
    await sequencer.run(house.worker, house.writer, house.vault, sign_now=True)
    signals = Signals()
    seen = audit.Seen()
    await audit.begin(house.worker, house.writer, house.vault, signals, seen)
    assert signals.told == []
    with psycopg.connect(house.database.admin_url, autocommit=True) as admin:
        admin.execute("SET session_replication_role = replica")
        admin.execute("UPDATE audit.leaf SET commitment = sha256('x') WHERE seq = 1")
    # What was in order an hour ago is read again once a day, and at every start.
    await audit.look(house.worker, house.vault, signals, seen)
    await audit.begin(house.worker, house.writer, house.vault, signals, audit.Seen())
    ((event, fields),) = signals.told
    assert (event, fields["leaf"]) == ("audit.broken", 1)
    seen.times = audit.WHOLE_EVERY
    with pytest.raises(Broken):
        await audit.look(house.worker, house.vault, signals, seen)


def test_a_witness_is_declared_or_its_settings_are_refused() -> None:
    good = WitnessSettings(url="https://witness.example/w", key=KEY, where="SE")
    register = Register(Signals())
    ((witness, key),) = audit.witnesses_of(Settings(witnesses={"one": good}), register)
    assert (witness.name, key.name, key.kind) == ("one", "witness.example/w1", verify.COSIGNATURE)
    ((place, (recipient,)),) = register.destinations().items()
    assert place == ("witness.example", 443)
    assert (recipient.role, recipient.where) == ("witness", "SE")
    for bad in (
        WitnessSettings(url="https://witness.example/w"),
        WitnessSettings(key=KEY),
        WitnessSettings(url="http://witness.example/w", key=KEY),
        WitnessSettings(url="https://witness.example/w", key="x"),
        WitnessSettings(url="https://witness.example/w", key=notes.vkey("a", bytes(32))),
    ):
        with pytest.raises(InvalidCall):
            audit.witnesses_of(Settings(witnesses={"one": bad}), Register(Signals()))
