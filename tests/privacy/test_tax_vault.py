"""Documents and privacy: in the owner's export, kept for the law alone after an erasure, each reading in the log."""

from __future__ import annotations

import io
import json
import zipfile
from datetime import UTC, datetime
from hashlib import sha256
from uuid import UUID, uuid4

import pytest

from fixtures_access import House
from ruxa.access.audit import reading
from ruxa.access.authorize import OPERATOR
from ruxa.console import assets, words
from ruxa.kernel.errors import Broken, NotFound
from ruxa.kernel.sealed import Sealed
from ruxa.kernel.settings import BillingSettings, Settings
from ruxa.ledger import proofs
from ruxa.ledger.documents import document, issue, profile, seller, show
from ruxa.ledger.documents.document import Document, Line
from ruxa.ledger.documents.issue import Draft
from ruxa.privacy import erase, export, tax_vault

NAME, STREET = "Canary Bill\u00edng \u0141\u00f3d\u017a", "Canary Street 7"
TERMS = seller.terms(Settings(billing=BillingSettings(name="Seller")))


async def _reference(house: House, organisation_id: UUID) -> UUID:
    async with house.operator.work() as work:
        ref: UUID = await work.value("SELECT organisation_ref FROM access.organisation WHERE id = %s", organisation_id)
        return ref


async def _issued(house: House, ref: UUID) -> Document:
    async with house.console.work() as work:
        await profile.put(work, house.vault, ref, Sealed(profile.checked(NAME, (STREET,), "DE")))
        written = await profile.find(work, house.vault, ref)
        assert written is not None
        draft = Draft(
            kind="invoice",
            organisation_ref=ref,
            scope="live",
            origin=f"test:{uuid4().hex}",
            party=written.party,
            lines=(Line("credit", "RX-0000-0001", 1, 5_000_000),),
            net_micros=5_000_000,
            supplied_on=datetime.now(UTC).date(),
        )
        return await document.find(work, await issue.enter(work, house.vault, TERMS, draft))


async def test_the_owners_copy_has_profile_and_documents_in_full(house: House) -> None:
    _, member_id, organisation_id = await house.owner()
    one = await _issued(house, await _reference(house, organisation_id))
    async with house.console.work() as work:
        export_id = await export.ask(work, member_id)
    paper = show.paper(house.vault, words.Library().words, assets.VENDOR)
    copy = export.stream(house.copies, house.vault, export_id, member_id, paper=paper)
    pieces = [piece async for piece in copy]
    with zipfile.ZipFile(io.BytesIO(b"".join(pieces))) as archive:
        files = {name.rpartition("/")[2]: archive.read(name) for name in archive.namelist() if "schema" not in name}
    tables = {name: body.decode() for name, body in files.items() if name.endswith(".json")}
    (row,) = json.loads(tables["ledger.document.json"])
    assert (row["name"], row["gross_micros"]) == (one.name, 5_000_000)
    assert json.loads(row["party_sealed"])["address"] == [STREET]
    assert NAME in tables["ledger.billing_profile.json"]
    printed = files[f"{one.name}.pdf"]
    async with house.console.work() as work:
        assert (await document.find(work, one.id)).pdf_sha256 == sha256(printed).digest()
    assert json.loads(tables["ledger.document_line.json"])[0]["label"] == "RX-0000-0001"


async def test_after_an_erasure_documents_are_the_laws_alone_and_each_reading_is_in_the_log(house: House) -> None:
    _, _, organisation_id = await house.owner()
    _, _, other_id = await house.owner()
    ref, other = await _reference(house, organisation_id), await _reference(house, other_id)
    one, spared = await _issued(house, ref), await _issued(house, other)
    signed = await erase.organisation(house.operator, house.eraser, house.vault, organisation_id, forfeit=True)
    kept = {line["place"]: line for line in json.loads(signed.text)["kept"]}
    assert kept["ledger.document"]["ground"] == "tax"
    assert kept["ledger.document"]["until"] == f"{one.issued_at.year + 7}-12-31"
    assert "ledger.billing_profile" not in kept
    for pool in (house.console, house.worker, house.operator):
        async with pool.work() as work:
            assert await document.listed(work, ref) == []
            assert await document.lines(work, one.id) == []
            with pytest.raises(NotFound):
                await document.by_name(work, one.name)
            assert await profile.find(work, house.vault, ref) is None
            assert (await document.by_name(work, spared.name)).name == spared.name
    with pytest.raises(Broken):
        async with house.gateway.work() as work:
            await document.listed(work, ref)

    tax = await house.database.pool("ruxa_tax")
    found = await tax_vault.read(house.operator, tax, house.vault, OPERATOR, one.name.lower(), "audit of 2026")
    assert found.document.name == one.name
    assert found.party is not None
    assert found.party.open("legal").name == NAME
    assert found.lines == (Line("credit", "RX-0000-0001", 1, 5_000_000),)
    with pytest.raises(NotFound):
        await tax_vault.read(house.operator, tax, house.vault, OPERATOR, "INV-2026-999999", "a guess")
    async with house.operator.work() as work:
        entries = await reading.page(work, house.vault, "security", below=None, limit=20)
        said = [dict(one.details) for one in entries if one.act == "staff:read"]
    assert [entry["document"] for entry in said] == ["INV-2026-999999", one.name]
    assert said[1]["why"] == "audit of 2026"
    async with house.operator.work() as work:
        assert [proof.name for proof in await proofs.check(work) if not proof.ok] == []
    with pytest.raises(Broken):
        async with tax.work() as work:
            await work.rows("SELECT * FROM access.member")


async def test_nothing_is_written_for_who_was_erased(house: House) -> None:
    _, _, organisation_id = await house.owner()
    ref = await _reference(house, organisation_id)
    await erase.organisation(house.operator, house.eraser, house.vault, organisation_id, forfeit=True)
    async with house.console.work() as work:
        with pytest.raises(NotFound):
            await profile.put(work, house.vault, ref, Sealed(profile.checked(NAME)))
