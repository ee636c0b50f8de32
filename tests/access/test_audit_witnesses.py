"""A foreign witness over real HTTP: cosigns what continues, gets no more than hashes, and notices a log set back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest

from audit_witness import NAME, WitnessServer
from fixtures_access import House, Signals
from ruxa.access.audit import check, export, log, published, sequencer, verify, witnesses
from ruxa.egress.recipient import Register
from ruxa.egress.witness import Witness
from ruxa.kernel.errors import InvalidCall, NoUpstream, UpstreamBroken, UpstreamError


@pytest.fixture
async def served(house: House) -> AsyncIterator[WitnessServer]:
    await house.vault.signing_key("audit")
    async with house.worker.work() as work:
        (key,) = await published.keys_of_log(house.vault, await sequencer.origin(work))
    with WitnessServer(key) as server:
        yield server


async def grow(house: House, count: int) -> None:
    async with house.console.work() as work:
        for _ in range(count):
            await log.add(work, house.vault, None, "retention:run")
    await sequencer.run(house.worker, house.writer, house.vault, sign_now=True)


async def test_a_witness_cosigns_each_checkpoint_once_and_auditors_see_it(
    house: House, served: WitnessServer, tmp_path: Path
) -> None:
    register = Register(Signals())
    witness = Witness("one", served.url, register)
    try:
        assert not await witnesses.ask(house.worker, house.writer, witness, served.key), (
            "an empty log has nothing to sign"
        )
        for count in (3, 300, 41):
            await grow(house, count)
            assert await witnesses.ask(house.worker, house.writer, witness, served.key)
            assert await witnesses.ask(house.worker, house.writer, witness, served.key)
    finally:
        await witness.close()
    assert [status for _, status in served.asked] == [200, 200, 200]
    assert [body.split(b"\n")[0] for body, _ in served.asked] == [b"old 0", b"old 3", b"old 303"]
    async with house.console.work() as work:
        last = await sequencer.checkpoint(work)
    assert last is not None
    assert verify.read_note(last.text).cosigned_by(served.key) == (True, served.now_s)
    report = await check.check(house.worker, house.vault, witnesses=[served.key])
    assert (report.problems, report.cosigned, report.cosigned_at) == ([], 3, served.now_s)
    place = tmp_path / "log"
    await export.export(house.operator, house.vault, place)
    report = verify.check(place, witnesses=[served.key])
    assert (report.problems, report.cosigned) == ([], 3)
    assert register.destinations()
    assert {line.recipient for line in register.tally.take()} == {"witness one"}


async def test_what_a_witness_gets_is_sizes_hashes_and_signatures(house: House, served: WitnessServer) -> None:
    person, member_id, organisation_id = await house.owner()
    await sequencer.run(house.worker, house.writer, house.vault, sign_now=True)
    witness = Witness("one", served.url, Register(Signals()))
    try:
        await witnesses.ask(house.worker, house.writer, witness, served.key)
    finally:
        await witness.close()
    ((body, _),) = served.asked
    for canary in (person.mark, member_id.hex, organisation_id.hex, "member:"):
        assert canary.encode() not in body
    lines = body.decode().split("\n")
    assert lines[:2] == ["old 0", ""]
    assert lines[2].startswith("ruxa-log/")
    assert {name.lower() for name in served.bodies[0]} <= {"host", "content-type", "user-agent", "content-length"}


async def test_a_witness_that_remembers_more_or_less_is_met_where_it_is(house: House, served: WitnessServer) -> None:
    witness = Witness("one", served.url, Register(Signals()))
    try:
        await grow(house, 5)
        await witnesses.ask(house.worker, house.writer, witness, served.key)
        five = served.seen
        await grow(house, 5)
        await witnesses.ask(house.worker, house.writer, witness, served.key)
        # It lost its last memory, as after a restore of its own.
        served.seen = five
        await grow(house, 5)
        assert await witnesses.ask(house.worker, house.writer, witness, served.key)
        assert [status for _, status in served.asked][-2:] == [409, 200]
    finally:
        await witness.close()


async def test_a_log_set_back_is_noticed_by_who_saw_more(house: House, served: WitnessServer) -> None:
    witness = Witness("one", served.url, Register(Signals()))
    try:
        await grow(house, 5)
        await grow(house, 5)
        await witnesses.ask(house.worker, house.writer, witness, served.key)
        with psycopg.connect(house.database.admin_url, autocommit=True) as admin:
            admin.execute("SET session_replication_role = replica")
            admin.execute("DELETE FROM audit.cosignature")
            admin.execute("DELETE FROM audit.checkpoint WHERE size > 5")
            admin.execute("DELETE FROM audit.leaf WHERE seq >= 5")
        with pytest.raises(UpstreamBroken) as caught:
            await witnesses.ask(house.worker, house.writer, witness, served.key)
        assert caught.value.code == "witness_ahead"
        # Grown past the old size on another past, the proof does not hold.
        await grow(house, 20)
        with pytest.raises(UpstreamBroken) as caught:
            await witnesses.ask(house.worker, house.writer, witness, served.key)
        assert caught.value.code == "witness_refused"
        assert served.asked[-1][1] == 422
    finally:
        await witness.close()


@pytest.mark.parametrize("lie", ["garbage", "other text"])
async def test_what_the_witnesss_key_did_not_sign_is_not_kept(house: House, served: WitnessServer, lie: str) -> None:
    served.lie = lie
    witness = Witness("one", served.url, Register(Signals()))
    try:
        await grow(house, 2)
        with pytest.raises(UpstreamBroken) as caught:
            await witnesses.ask(house.worker, house.writer, witness, served.key)
    finally:
        await witness.close()
    assert caught.value.code == "witness_unsigned"
    async with house.console.work() as work:
        last = await sequencer.checkpoint(work)
    assert last is not None
    assert NAME not in last.text


async def test_a_witness_that_is_away_or_undeclared_is_an_error_of_the_way_out(
    house: House, served: WitnessServer
) -> None:
    await grow(house, 2)
    away = Witness("one", "http://127.0.0.1:9/", Register(Signals()))
    try:
        with pytest.raises(UpstreamError):
            await witnesses.ask(house.worker, house.writer, away, served.key)
    finally:
        await away.close()
    register = Register(Signals())
    witness = Witness("one", served.url, register)
    for (host, port), (recipient,) in register.destinations().items():
        register.withdraw(recipient, host, port)
    try:
        with pytest.raises(NoUpstream):
            await witnesses.ask(house.worker, house.writer, witness, served.key)
    finally:
        await witness.close()
    assert served.asked == []
    for url in ("http://witness.example/", "ftp://127.0.0.1/", "https://", "x"):
        with pytest.raises(InvalidCall):
            Witness("one", url, register)
