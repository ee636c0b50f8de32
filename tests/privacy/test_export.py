"""Export: everything the map says is the person's, nothing of anybody else, signed, harmless in a spreadsheet."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from hashlib import sha256
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import psycopg
import pytest

from books import Books
from fixtures_access import House, Person, house, hurry
from fixtures_database import Database
from ruxa.access import keys, members, organisations
from ruxa.access.audit import log
from ruxa.access.keys import KeyWish
from ruxa.egress.objects import Objects
from ruxa.kernel import ids
from ruxa.kernel.errors import Conflict, NotFound, Unavailable
from ruxa.kernel.sealed import Sealed
from ruxa.ledger import topups
from ruxa.ledger.payments import corrections
from ruxa.privacy import export
from ruxa.privacy.content import items
from ruxa.privacy.content.items import Item, Side
from ruxa.privacy.erasures import records
from ruxa.store import inventory

__all__ = ["house", "hurry"]


async def _copy(house: House, member_id: UUID, objects: Objects | None = None) -> dict[str, bytes]:
    async with house.operator.work() as work:
        export_id = await export.ask(work, member_id)
    copy = export.stream(house.copies, house.vault, export_id, member_id, objects=objects)
    pieces = [piece async for piece in copy]
    with zipfile.ZipFile(io.BytesIO(b"".join(pieces))) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def _rows(copy: dict[str, bytes], name: str) -> list[dict[str, Any]]:
    return json.loads(copy[name])


async def test_everything_of_a_person_and_of_their_organisation_and_nothing_of_another(house: House) -> None:
    person, member_id, organisation_id = await house.owner()
    other, other_id, _ = await house.owner()
    async with house.console.work() as work:
        await work.run(
            "INSERT INTO access.membership (organisation_id, member_id, role, accepted_at)"
            " VALUES (%s, %s, 'viewer', ruxa.now())",
            *(organisation_id, other_id),
        )
        wish = KeyWish(name=Sealed("=HYPERLINK(1)"))
        await keys.create(work, house.vault, organisation_id, wish, created_by=member_id)
    books = await Books.open(house.database)
    async with house.operator.work() as work:
        ref = (await organisations.find(work, house.vault, organisation_id)).organisation_ref
        await topups.sandbox(work, ref, 10_000)
    lease = await books.lend(ref, 5_000, "sandbox")
    await books.flush([books.row(ref, lease, 100, "sandbox") for _ in range(5)])

    copy = await _copy(house, member_id)

    member = _rows(copy, "data/access.member.json")
    assert [(row["email_sealed"].lower(), row["name_sealed"]) for row in member] == [
        (person.email.open("provide").lower(), person.name.open("provide"))
    ]
    assert "password_hash" not in member[0]
    assert _rows(copy, "data/access.session.json")[0]["agent_sealed"] == "Firefox on Linux"
    assert _rows(copy, "data/access.terms_acceptance.json")
    own = f"organisation/{ids.text('org', organisation_id)}"
    assert _rows(copy, f"{own}/access.organisation.json")[0]["name_sealed"] == "My organisation"
    assert [row["name_sealed"] for row in _rows(copy, f"{own}/access.key.json")] == ["=HYPERLINK(1)"]
    assert len(_rows(copy, f"{own}/ledger.usage_event.json")) == 5
    assert _rows(copy, f"{own}/ledger.transfer.json")
    table = list(csv.DictReader(io.StringIO(copy[f"{own}/access.key.csv"].decode())))
    assert table[0]["name_sealed"] == "'=HYPERLINK(1)"

    everything = b"\n".join(copy.values()).decode()
    for word in (other.mark, other.email.open("provide"), str(other_id), other_id.hex):
        assert word not in everything
    assert "argon2" not in everything


async def test_what_the_person_did_is_in_the_copy_and_nobody_elses_acts(house: House) -> None:
    _, member_id, organisation_id = await house.owner()
    _, other_id, _ = await house.owner()
    async with house.console.work() as work:
        for who, act, thing in (
            (member_id, "key:created", UUID(int=11)),
            (member_id, "member:role_changed", other_id),
            (other_id, "key:revoked", UUID(int=12)),
        ):
            await log.write(
                work, house.vault, cast(log.Act, act), actor="member", member_id=who, organisation_id=organisation_id,
                object_id=thing, details={"why": f"of {thing.hex}"},
            )  # fmt: skip
    copy = await _copy(house, member_id)
    acts = _rows(copy, "data/audit.json")
    mine = {row["act"]: row for row in acts}
    assert mine["key:created"]["details"] == {"why": f"of {UUID(int=11).hex}"}
    assert mine["key:created"]["outcome"] == "done"
    assert "object" not in mine["member:role_changed"], "whose role it was is not the person's"
    assert "key:revoked" not in mine
    assert other_id.hex not in b"".join(copy.values()).decode()
    assert json.loads(copy["schema/audit.json"])["columns"]


async def test_the_manifest_names_every_file_and_is_signed(house: House) -> None:
    _, member_id, _ = await house.owner()
    copy = await _copy(house, member_id)
    manifest = json.loads(copy["manifest.json"])
    named = {file["path"]: file["sha256"] for file in manifest["files"]}
    assert set(named) == set(copy) - {"manifest.json", "manifest.sig"}
    for path, digest in named.items():
        assert sha256(copy[path]).hexdigest() == digest
    for file in manifest["files"]:
        if file["path"].startswith("data/") and file["path"].endswith(".json"):
            assert file["rows"] == len(json.loads(copy[file["path"]]))
            assert f"schema/{file['path'].removeprefix('data/')}" in copy or file["path"].count(".") > 2
    keys_ = await house.vault.public_keys("report")
    key = next(key for key in keys_ if key.id.hex() == manifest["signed_by"])
    assert key.verify(bytes.fromhex(copy["manifest.sig"].decode()), copy["manifest.json"])
    assert not key.verify(bytes.fromhex(copy["manifest.sig"].decode()), copy["manifest.json"] + b" ")


async def test_pages_of_rows_are_all_there_once(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "PAGE", 2)
    _, member_id, organisation_id = await house.owner()
    async with house.console.work() as work:
        made = [
            (await keys.create(work, house.vault, organisation_id, KeyWish(name=Sealed(f"key {number}")))).id
            for number in range(5)
        ]
    copy = await _copy(house, member_id)
    shown = _rows(copy, f"organisation/{ids.text('org', organisation_id)}/access.key.json")
    assert [row["id"] for row in shown] == [str(one) for one in sorted(made)]
    table = copy[f"organisation/{ids.text('org', organisation_id)}/access.key.csv"].decode().splitlines()
    assert len(table) == 6


async def test_fetched_once_within_a_week_by_nobody_else(house: House) -> None:
    _, member_id, _ = await house.owner()
    _, other_id, organisation_id = await house.owner()
    async with house.console.work() as work:
        asked = await export.ask(work, member_id)
        assert [line.id for line in await export.of_member(work, member_id)] == [asked]
        with pytest.raises(NotFound):
            await export.fetch(work, other_id, asked)
    async with house.console.work() as work:
        await export.fetch(work, member_id, asked)
    with pytest.raises(NotFound):
        async with house.console.work() as work:
            await export.fetch(work, member_id, asked)
    async with house.console.work() as work:
        late = await export.ask(work, member_id)
    async with await psycopg.AsyncConnection.connect(house.database.admin_url, autocommit=True) as admin:
        await admin.execute("UPDATE privacy.export SET expires_at = ruxa.now() WHERE id = %s", [late])
    with pytest.raises(NotFound):
        async with house.console.work() as work:
            await export.fetch(work, member_id, late)
    async with house.worker.work() as work:
        assert await export.sweep(work) == 1
    # Nobody's export reads another's rows, whatever is asked of the function.
    async with house.console.work() as work:
        asked = await export.ask(work, member_id)
        tie = next(tie for tie in await records.ties(work, "organisation") if tie.tab == "key")
    with pytest.raises(Conflict) as caught:
        async with house.copies.work() as work:
            await records.export_rows(work, asked, tie, organisation_id, None, 10)
    assert caught.value.code == "RX662"


async def test_the_login_of_copies_reads_every_column_of_a_copy_and_changes_nothing(house: House) -> None:
    async with await psycopg.AsyncConnection.connect(house.database.admin_url) as admin:
        found = await admin.execute("""
            SELECT t.place || '.' || t.tab || '.' || c,
                has_column_privilege('ruxa_export', t.place || '.' || t.tab, c, 'SELECT')
            FROM unnest(ARRAY['member', 'organisation']) AS k (kind), privacy.ties(k.kind) AS t,
                unnest(privacy.exported(t.place, t.tab, t.action, k.kind)) AS c
            WHERE t.action <> 'leave' AND t.place <> 'jobs'
            """)
        read = await found.fetchall()
        wide = await (
            await admin.execute("""
            SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE n.nspowner = 'ruxa_owner'::regrole AND c.relkind IN ('r', 'p')
                AND has_any_column_privilege('ruxa_export', c.oid, 'INSERT, UPDATE, REFERENCES')
                OR c.relkind IN ('r', 'p') AND has_table_privilege('ruxa_export', c.oid, 'DELETE, TRUNCATE')
            """)
        ).fetchall()
    assert len(read) > 100
    assert [name for name, may in read if not may] == [], (
        "call privacy.grant_export() after a column of copies is added"
    )
    assert wide == []


async def test_every_exported_column_of_the_map_can_be_reached(database: Database) -> None:
    pool = await database.pool("ruxa_operator")
    async with pool.work() as work:
        columns = await inventory.read(work)
        tied = {
            (kind, tie.place, tie.tab)
            for kind in ("member", "organisation")
            for tie in await records.ties(work, kind)
            if tie.action != "leave"
        }
    lost = [
        column.name
        for column in columns
        if column.declaration is not None
        and column.declaration.export
        and (
            "member" if column.declaration.subject in ("member", "staff", "visitor") else "organisation",
            column.schema,
            column.table,
        )
        not in tied
    ]
    assert sorted(lost) == sorted(BY_OTHER_WAYS)


# Exported, but not by the ties of the map: entries of the log are listed by the page of the log, and to whom it belongs
# stands there as a keyed hash; staff find their own acts there too.
BY_OTHER_WAYS = [
    "audit.customer_entry.details_sealed",
    "audit.customer_entry.fields_sealed",
    "audit.entry.details_sealed",
    "audit.entry.fields_sealed",
    "ledger.lot.made_by",
    "privacy.hold.approver_id",
    "privacy.hold.owner_id",
]


async def test_a_member_without_a_name_or_an_organisation_has_a_copy_too(house: House) -> None:
    async with house.operator.work() as work:
        made = await organisations.create(work, house.vault, Sealed("Somebody else's"))
        invited = await members.invite(work, house.vault, made.id, Person().email, "viewer")
    copy = await _copy(house, invited.member_id)
    assert _rows(copy, "data/access.membership.json")[0]["role"] == "viewer"
    assert not any(name.startswith("organisation/") for name in copy)


async def test_stored_content_is_in_it_byte_for_byte_wherever_it_lies(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "CONTENT_PAGE", 1)
    _, member_id, organisation_id = await house.owner()
    objects = Objects.of_folder(tmp_path / "objects")
    await house.vault.create_subject(organisation_id, ["content"])
    async with house.operator.work() as work:
        await items.prepare(work)
    wanted: dict[str, bytes] = {}
    for request, answer in ((b"\xff\xfe\x00 no text", b"small"), (b"large " * 40_000, b"\x00" * 100_000)):
        call_id = ids.fresh()
        item = Item(
            call_id=call_id,
            organisation_id=organisation_id,
            key_id=ids.fresh(),
            until=items.until_of(call_id, 7),
            request=Side("stored", "application/json", len(request), request),
            answer=Side("stored", "text/plain", len(answer), answer),
            refusal=b"words of the provider",
        )
        async with house.gateway.work() as work:
            await items.write(work, [await items.seal(house.vault, objects, item)])
        folder = f"organisation/{ids.text('org', organisation_id)}/content/{ids.text('req', call_id)}"
        wanted |= {f"{folder}-request": request, f"{folder}-answer": answer}
    copy = await _copy(house, member_id, objects)
    assert {name: body for name, body in copy.items() if "/content/" in name} == wanted
    assert len(_rows(copy, f"organisation/{ids.text('org', organisation_id)}/content.item.json")) == 2
    assert not [name for name, body in copy.items() if b"words of the provider" in body]
    assert {one["path"] for one in json.loads(copy["manifest.json"])["files"]} >= set(wanted)


async def test_why_money_was_given_taken_or_disputed_is_in_it_whatever_row_it_was_sealed_for(house: House) -> None:
    _, member_id, organisation_id = await house.owner()
    year = house.database.clock.now().year
    lot_id, void_id, late_id, dispute_id = (ids.fresh() for _ in range(4))

    async def sealed(column: str, row: UUID, text: str, of: int = year) -> bytes:
        return await house.vault.seal(column, organisation_id, row, text, year=of)

    async with house.operator.work() as work:
        ref = (await organisations.find(work, house.vault, organisation_id)).organisation_ref
        reason = await sealed(corrections.LOT_REASON, lot_id, "the outage of May")
        assert await corrections.credit(work, ref, 5_000, by="operator:", lot_id=lot_id, reason_sealed=reason) == lot_id
        reason = await sealed(corrections.WISH_REASON, void_id, "given twice")
        assert await corrections.void_lot(work, lot_id, by="operator:", wish_id=void_id, reason_sealed=reason) == 5_000
    reasons = [
        (late_id, await sealed(corrections.WISH_REASON, late_id, "in the fiscal year that ends next year", year + 1)),
        (dispute_id, await sealed("payment.evidence.text_sealed", dispute_id, "they had it all")),
    ]
    async with await psycopg.AsyncConnection.connect(house.database.admin_url) as admin:
        # A dispute takes a payment and a processor; here it is only what was answered to it.
        await admin.execute("SET session_replication_role = replica")
        await admin.execute(
            "INSERT INTO payment.wish (id, kind, organisation_ref, scope, amount_micros, account, reason_sealed, state,"
            " asked_by, asked_at) VALUES (%s, 'writeoff', %s, 'live', 1, 'bad_debt', %s, 'waiting', 'x', ruxa.now())",
            (reasons[0][0], ref, reasons[0][1]),
        )
        await admin.execute(
            "INSERT INTO payment.evidence (dispute_id, organisation_ref, text_sealed, state, made_by, made_at)"
            " VALUES (%s, %s, %s, 'sent', 'x', ruxa.now())",
            (reasons[1][0], ref, reasons[1][1]),
        )

    copy = await _copy(house, member_id)

    own = f"organisation/{ids.text('org', organisation_id)}"
    assert {row["id"]: row["reason_sealed"] for row in _rows(copy, f"{own}/payment.wish.json")} == {
        str(lot_id): "the outage of May",
        str(void_id): "given twice",
        str(late_id): "in the fiscal year that ends next year",
    }
    assert [row["reason_sealed"] for row in _rows(copy, f"{own}/ledger.lot.json")] == ["the outage of May"]
    assert [row["text_sealed"] for row in _rows(copy, f"{own}/payment.evidence.json")] == ["they had it all"]


async def test_copies_take_turns_so_that_slow_readers_leave_connections_to_others(house: House) -> None:
    _, member_id, _ = await house.owner()
    turns = export.Turns(2)
    begun = []
    for _ in range(2):
        turns.require()
        async with house.operator.work() as work:
            asked = await export.ask(work, member_id)
        begun.append(export.stream(house.copies, house.vault, asked, member_id, turns=turns))
        await anext(begun[-1])
    with pytest.raises(Unavailable) as fault:
        turns.require()
    assert fault.value.code == "export_busy"
    for one in begun:
        await one.aclose()
    turns.require()
