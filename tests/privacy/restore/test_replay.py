"""After a restore of a backup that is older than what happened: it is done again, and nothing of the erased is back."""

from __future__ import annotations

import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import get_args
from uuid import UUID

import msgspec
import psycopg
import pytest

from archive_places import BIN, Instance, rows
from fixtures_database import Database, Session
from ruxa.access import keys, organisations, provider_keys
from ruxa.access.audit import log, sequencer
from ruxa.access.authorize import OPERATOR
from ruxa.access.keys import KeyWish
from ruxa.app import restore as restore_app
from ruxa.kernel.clock import Clock
from ruxa.kernel.errors import Conflict, InvalidCall, NotFound
from ruxa.kernel.sealed import Sealed
from ruxa.kernel.settings import Settings
from ruxa.privacy import erase
from ruxa.privacy.processing import restriction
from ruxa.privacy.restore import quarantine, replay
from ruxa.privacy.restore import records as replay_records
from ruxa.privacy.restore.quarantine import Quarantine
from ruxa.privacy.restore.replay import Newest
from ruxa.privacy.retention import holds
from ruxa.store.address import Address
from ruxa.store.archive import living, logical, unpack
from ruxa.store.archive.living import Export
from ruxa.store.archive.manifest import Manifest
from ruxa.store.instance import settle
from ruxa.store.pool import Pool
from ruxa.store.vault import Vault


class Story:
    """An instance with three people, an organisation and two keys; a backup; and what happened after it."""

    def __init__(self, instance: Instance, pool: Pool) -> None:
        self.instance = instance
        self.pool = pool
        self.people: dict[str, UUID] = {}
        self.keys: dict[str, UUID] = {}
        self.organisation = UUID(int=0)

    async def begin(self) -> None:
        """Before the backup."""
        vault = self.instance.vault
        owner = self.instance.database.url("ruxa_owner")
        settle(owner, id=self.instance.about.id, mode="live", simulated=False)
        for name in ("erased", "removed", "staff"):
            self.people[name] = await self.instance.member(f"{name}.canary@example.com")
        async with self.pool.work() as work:
            made = await organisations.create(work, vault, Sealed("Org"))
            self.organisation = made.id
            for name in ("revoked", "living"):
                wish = KeyWish(name=Sealed(name), livemode=True)
                self.keys[name] = (await keys.create(work, vault, made.id, wish)).id
            for provider in ("removed", "replaced", "kept"):
                await provider_keys.put(work, vault, made.id, provider, Sealed(f"sk-canary-{provider}"))
        rows(owner, "INSERT INTO payment.saved_method (organisation_ref, processor, ext_id, method, saved_at)"
             f" SELECT '{made.organisation_ref}', 'stripe', name, 'card', ruxa.now()"
             " FROM unnest(ARRAY['pm_removed', 'pm_kept']) AS name RETURNING 1")  # fmt: skip
        rows(owner, "INSERT INTO payment.auto (organisation_ref, scope, state, threshold_micros, target_micros,"
             " monthly_cap_micros, processor, saved, changed_at) VALUES"
             f" ('{made.organisation_ref}', 'live', 'on', 1, 2, 3, 'stripe', 'pm_removed', ruxa.now())"
             " RETURNING 1")  # fmt: skip
        for name, role in (("removed", "owner"), ("staff", "developer")):
            rows(owner, "INSERT INTO access.membership (organisation_id, member_id, role, accepted_at)"
                 f" VALUES ('{made.id}', '{self.people[name]}', '{role}', ruxa.now()) RETURNING 1")  # fmt: skip
        rows(owner, f"UPDATE access.member SET staff_role = 'operator' WHERE id = '{self.people['staff']}' RETURNING 1")
        await self.tell("organisation:created")

    async def go_on(self) -> None:
        """After the backup: everything that must not come undone."""
        vault, owner = self.instance.vault, self.instance.database.url("ruxa_owner")
        staff, removed = self.people["staff"], self.people["removed"]
        await erase.subject(
            self.pool, self.instance.database.lent("ruxa_erase"), vault, self.people["erased"], forfeit=True
        )
        async with self.pool.work() as work:
            await keys.revoke(work, self.organisation, self.keys["revoked"])
            await organisations.suspend(work, self.organisation, "abuse")
            await provider_keys.remove(work, self.organisation, "removed")
            await provider_keys.remove(work, self.organisation, "replaced")
            await provider_keys.put(work, vault, self.organisation, "replaced", Sealed("sk-canary-newer"))
        for statement in (
            f"DELETE FROM access.membership WHERE member_id = '{removed}' RETURNING 1",
            f"UPDATE access.membership SET role = 'viewer' WHERE member_id = '{staff}' RETURNING 1",
            f"UPDATE access.member SET staff_role = NULL WHERE id = '{staff}' RETURNING 1",
            f"INSERT INTO privacy.restriction (member_id, asked_by) VALUES ('{staff}', 'subject') RETURNING 1",
            "DELETE FROM payment.saved_method WHERE ext_id = 'pm_removed' RETURNING 1",
            "UPDATE payment.auto SET state = 'off', reason = 'method_removed' RETURNING 1",
        ):
            assert rows(owner, statement)
        for act in ("key:revoked", "organisation:suspended", "member:removed", "credit:given"):
            await self.tell(act)

    async def tell(self, act: log.Act) -> None:
        """An entry of the log, with its place and a signed head."""
        async with self.pool.work() as work:
            await log.write(work, self.instance.vault, act, actor="operator")
        await sequencer.run(self.pool, self.instance.database.lent("ruxa_audit"), self.instance.vault, sign_now=True)

    async def checkpoint(self) -> str:
        """The newest, as somebody outside keeps it."""
        async with self.pool.work() as work:
            found = await sequencer.checkpoint(work)
        assert found is not None
        return found.text

    async def export(self) -> Export:
        await self.instance.vault.create_day_keys(logical.CLASS)
        pen = await self.instance.pen(self.instance.keys_target)
        owner = self.instance.database.url("ruxa_owner")
        made = await living.make(pen, owner, self.instance.vault.epochs, self.instance.key, replay_records.EXTRACTS)
        return await living.open_export(self.instance.keys_target, made.name, self.instance.key)


class Back:
    """A restored database with a keys directory of its own."""

    def __init__(self, address: Address, operator: Pool, owner: Pool, vault: Vault) -> None:
        self.address = address
        self.operator = operator
        self.owner = owner
        self.vault = vault

    @property
    def eraser(self) -> Pool:
        return Pool.on_demand(self.address.url("ruxa_erase"), login="ruxa_erase", clock=Clock())

    async def email(self, member: UUID) -> str | None:
        """The member's address, or None when it cannot be read."""
        found = rows(self.address.url("ruxa_owner"), f"SELECT email_sealed FROM access.member WHERE id = '{member}'")
        if not found:
            return None
        try:
            value = await self.vault.open("access.member.email_sealed", member, member, found[0][0], purpose="provide")
        except NotFound:
            return None
        return value.open("provide")

    def one(self, statement: str) -> object:
        return rows(self.address.url("ruxa_owner"), statement)[0][0]


Lay = Callable[[Story, Manifest, Export], Awaitable[Back]]


@pytest.fixture
async def story(database: Database, tmp_path: Path) -> Story:
    made = Story(await Instance.open(database, tmp_path), await database.pool("ruxa_operator"))
    await made.begin()
    return made


@pytest.fixture
def empty(cluster: Session) -> Iterator[str]:
    name = f"r_{secrets.token_hex(6)}"
    cluster.admin.execute(f"CREATE DATABASE {name} TEMPLATE template0 STRATEGY file_copy")  # pyright: ignore[reportArgumentType]
    cluster.admin.execute(f"GRANT CREATE ON DATABASE {name} TO ruxa_owner")  # pyright: ignore[reportArgumentType]
    yield name
    cluster.admin.execute(f"DROP DATABASE {name} WITH (FORCE)")  # pyright: ignore[reportArgumentType]


@pytest.fixture
async def restore(cluster: Session, empty: str, tmp_path: Path) -> AsyncIterator[Lay]:
    """Lays a backup back with the keys of an export, and opens it; nothing is replayed yet."""
    opened: list[Back] = []

    async def lay(story: Story, made: Manifest, export: Export) -> Back:
        address, clock = cluster.address(empty), Clock()
        source = unpack.Source(story.instance.backups, made, story.instance.key, export.days())
        unpack.database(source, address.url("ruxa_owner"), BIN)
        living.load(address.url("ruxa_owner"), export)
        living.write_epoch(tmp_path / "new-keys", export)
        back = Back(
            address,
            await Pool.open(address.url("ruxa_operator"), login="ruxa_operator", clock=clock),
            await Pool.open(address.url("ruxa_owner"), login="ruxa_owner", clock=clock),
            await Vault.unlock(address, tmp_path / "new-keys", clock=clock),
        )
        opened.append(back)
        return back

    yield lay
    for back in opened:
        await back.vault.close()
        await back.operator.close()
        await back.owner.close()


async def test_what_happened_since_the_backup_is_done_again(story: Story, restore: Lay) -> None:
    made = await story.instance.logical()
    await story.go_on()
    export = await story.export()
    back = await restore(story, made, export)
    erased, staff, removed = story.people["erased"], story.people["staff"], story.people["removed"]
    # The row of the erased is back and nothing of it opens: the newest keys have forgotten it.
    assert back.one(f"SELECT count(*) FROM access.member WHERE id = '{erased}'") == 1
    assert await back.email(erased) is None
    assert await back.email(staff) == "staff.canary@example.com"
    assert back.one(f"SELECT revoked_at IS NULL FROM access.key WHERE id = '{story.keys['revoked']}'")

    did, reasons = await replay.put_right(back.owner, export.extract, newer=True)
    assert reasons == []
    assert await replay.erase_again(back.operator, back.eraser, back.vault) == 1
    assert await replay.erase_again(back.operator, back.eraser, back.vault) == 0
    assert did["leaves"] >= 4
    facts = {
        f"SELECT count(*) FROM access.member WHERE id = '{erased}'": 0,
        f"SELECT revoked_at IS NOT NULL FROM access.key WHERE id = '{story.keys['revoked']}'": True,
        f"SELECT revoked_at IS NULL FROM access.key WHERE id = '{story.keys['living']}'": True,
        f"SELECT suspended_why FROM access.organisation WHERE id = '{story.organisation}'": "abuse",
        f"SELECT count(*) FROM access.membership WHERE member_id = '{removed}'": 0,
        f"SELECT role FROM access.membership WHERE member_id = '{staff}'": "viewer",
        f"SELECT staff_role IS NULL FROM access.member WHERE id = '{staff}'": True,
        f"SELECT privacy.is_restricted('{staff}')": True,
        # A key that was replaced is neither the older one nor, since its secret was not in the backup, the newer.
        "SELECT string_agg(provider, ' ') FROM access.provider_key": "kept",
        "SELECT string_agg(ext_id, ' ') FROM payment.saved_method": "pm_kept",
        "SELECT state || ' ' || reason FROM payment.auto": "off method_removed",
    }
    assert {statement: back.one(statement) for statement in facts} == facts
    # Triggers that were put aside are back in force.
    assert back.one("SELECT count(*) FROM pg_trigger WHERE tgenabled = 'D' AND NOT tgisinternal") == 0
    known = await replay.tell(back.operator, back.vault, made.taken_at, export.made.taken_at, newer=True)
    assert known.reasons == []
    assert any("credit given since the backup: 1" in what for what in known.unknown)
    assert known.did["key:revoked"] == 1
    seen = await replay.who_is_back([story.pool], back.operator, back.vault)
    assert (seen.erased, seen.back) == (1, 0)
    # The log holds all that a checkpoint from outside covers.
    compared = await replay.compare(back.owner, back.vault, story.instance.about.id, await story.checkpoint())
    assert compared.reason is None
    assert compared.size == (await replay.head(back.owner))[0]


async def test_holds_come_back_as_they_stand_and_what_has_no_table_keeps_it_closed(story: Story, restore: Lay) -> None:
    vault, staff, removed = story.instance.vault, story.people["staff"], story.people["removed"]
    until = datetime.now(UTC) + timedelta(days=30)

    async def place(scope: holds.Scope, subject: UUID, reason: str) -> UUID:
        async with story.pool.work() as work:
            return await holds.place(
                work, vault, OPERATOR, scope=scope, subject_id=subject, reason=reason, basis="dispute",
                owner_id=staff, ends_at=until,
            )  # fmt: skip

    ended = await place("organisation", story.organisation, "over")
    approved = await place("member", removed, "seen by two")
    made = await story.instance.logical()
    placed = await place("organisation", story.organisation, "after the backup")
    async with story.pool.work() as work:
        await holds.approve(work, vault, OPERATOR, approved, removed)
    await holds.end(story.pool, vault, OPERATOR, ended)
    asked: tuple[log.Act, ...] = ("subject:objected", "consent:given", "consent:withdrawn")
    for act in asked:
        await story.tell(act)
    export = await story.export()
    back = await restore(story, made, export)
    async with back.operator.work() as work:
        assert {one.id for one in await holds.living(work)} == {ended, approved}, "as the backup has it"

    await replay.put_right(back.owner, export.extract, newer=True)
    async with back.operator.work() as work:
        found = {one.id: one for one in await holds.every(work, back.vault, ended=True)}
        assert await holds.holds_back(work, story.organisation)
    assert {one: found[one].reason for one in (ended, approved, placed)} == {
        ended: None,
        approved: "seen by two",
        placed: "after the backup",
    }
    assert found[ended].ended_at is not None
    assert found[approved].approver_id == removed
    assert found[placed].living
    # Objections and consents have no table yet: what the log says of them is told one by one and keeps it closed.
    known = await replay.tell(back.operator, back.vault, made.taken_at, export.made.taken_at, newer=True)
    assert [why.partition(" ")[0] for why in known.reasons] == list(asked)
    assert all("must be done again by hand" in why for why in known.reasons)


async def test_a_restriction_that_was_lifted_or_set_since_is_as_it_stands(story: Story, restore: Lay) -> None:
    staff, removed = story.people["staff"], story.people["removed"]
    async with story.pool.work() as work:
        await restriction.restrict(work, story.instance.vault, removed, asked_by="subject", actor="operator")
    made = await story.instance.logical()
    async with story.pool.work() as work:
        await restriction.lift(work, story.instance.vault, removed, actor="operator")
        await restriction.restrict(work, story.instance.vault, staff, asked_by="subject", actor="operator")
    export = await story.export()
    back = await restore(story, made, export)
    assert back.one(f"SELECT privacy.is_restricted('{removed}')")
    await replay.put_right(back.owner, export.extract, newer=True)
    assert not back.one(f"SELECT privacy.is_restricted('{removed}')")
    assert back.one(f"SELECT privacy.is_restricted('{staff}')")


async def test_an_older_export_brings_the_erased_back_and_the_checkpoint_says_so(story: Story, restore: Lay) -> None:
    export = await story.export()
    made = await story.instance.logical()
    await story.go_on()
    back = await restore(story, made, export)
    # Within its epoch the old export opens: the danger is real.
    assert await back.email(story.people["erased"]) == "erased.canary@example.com"
    _, reasons = await replay.put_right(back.owner, export.extract, newer=False)
    assert reasons == []
    assert await replay.erase_again(back.operator, back.eraser, back.vault) == 0
    compared = await replay.compare(back.owner, back.vault, story.instance.about.id, await story.checkpoint())
    assert compared.reason is not None
    assert "is not known" in compared.reason
    known = await replay.tell(back.operator, back.vault, made.taken_at, export.made.taken_at, newer=False)
    assert any("older than the data" in why for why in known.reasons)


async def test_the_log_of_another_past_is_refused(story: Story, restore: Lay) -> None:
    made = await story.instance.logical()
    await story.go_on()
    export = await story.export()
    back = await restore(story, made, export)
    owner = back.address.url("ruxa_owner")
    with psycopg.connect(owner) as connection:
        connection.execute("ALTER TABLE audit.leaf DISABLE TRIGGER USER")
        connection.execute("UPDATE audit.leaf SET hash = sha256('x')")
    with pytest.raises(Conflict, match="differ from leaf 0"):
        await replay.put_right(back.owner, export.extract, newer=True)
    assert back.one(f"SELECT revoked_at IS NULL FROM access.key WHERE id = '{story.keys['revoked']}'")


async def test_only_a_checkpoint_of_this_log_counts(story: Story) -> None:
    checkpoint = await story.checkpoint()
    owner = await story.instance.database.pool("ruxa_owner", max_size=1)
    instance = story.instance.about.id
    assert (await replay.compare(owner, story.instance.vault, instance, checkpoint)).reason is None
    size, root = await replay.head(owner)
    forged = re.sub(r"\n\d+\n", f"\n{size + 1}\n", checkpoint, count=1)
    assert "signed by no key" in str((await replay.compare(owner, story.instance.vault, instance, forged)).reason)
    with pytest.raises(InvalidCall, match="this instance's log is"):
        await replay.compare(owner, story.instance.vault, UUID(int=7), checkpoint)
    with pytest.raises(InvalidCall, match="cannot be read"):
        await replay.compare(owner, story.instance.vault, instance, "no checkpoint")
    assert await replay.root_is(owner, size, root.hex())
    assert not await replay.root_is(owner, size, bytes(32).hex())


async def test_a_checkpoint_older_than_what_is_restored_tells_nothing(story: Story) -> None:
    """An old backup, an old export and an old checkpoint agree with each other: only their age speaks."""
    early = await story.checkpoint()
    await story.tell("settings:changed")
    made = await story.instance.logical()
    await story.go_on()
    export = await story.export()
    assert made.tree is not None
    signers = list(export.signers("audit"))
    erased = replay.erased_at(export.extract)
    assert erased is not None
    now = datetime.now(UTC)
    newest = Newest(size=made.tree.size, data_at=made.taken_at, erased_at=erased, now=now)
    old = replay.given(early, story.instance.about.id, signers)
    assert old.at is not None
    assert abs((now - old.at).total_seconds()) < 60
    assert "older than the data" in str(replay.too_old(old, newest))
    # As new as the data, and from before the erasure that the export knows of.
    between = replay.Given(made.tree.size, erased - timedelta(seconds=1))
    assert "before the last erasure known" in str(replay.too_old(between, newest))
    late = replay.given(await story.checkpoint(), story.instance.about.id, signers)
    assert replay.too_old(replay.Given(late.size, erased), newest) is None
    # Nothing newer is known, and two days have passed.
    later = msgspec.structs.replace(newest, now=erased + timedelta(hours=replay.CHECKPOINT_HOURS, seconds=1))
    assert "more than 36 hours" in str(replay.too_old(replay.Given(late.size, erased), later))
    assert replay.too_old(replay.Given(late.size, None), later) is None, "signed by nobody: told as that"
    forged = re.sub(r"\n\d+\n", "\n99\n", early, count=1)
    assert replay.given(forged, story.instance.about.id, signers).at is None


def test_every_act_that_must_not_come_undone_has_its_way() -> None:
    acts = set(get_args(log.Act))
    assert replay.REPLAYED.keys() <= acts
    assert replay.LOST.keys() <= acts
    ending = re.compile(r":(revoked|removed|suspended|erased|restricted|unrestricted|objected|withdrawn|placed|ended)$")
    assert {act for act in acts if ending.search(act)} <= replay.REPLAYED.keys()


def test_a_directory_in_quarantine_serves_nobody(tmp_path: Path) -> None:
    quarantine.refuse(tmp_path)
    mark = Quarantine(state="restoring", backup="b", began_at=Clock().now())
    quarantine.write(tmp_path, mark)
    with pytest.raises(Conflict, match="was not finished"):
        quarantine.refuse(tmp_path)
    mark.state, mark.reasons = "waiting", ["no checkpoint"]
    quarantine.write(tmp_path, mark)
    with pytest.raises(Conflict, match="no checkpoint"):
        quarantine.refuse(tmp_path)
    (tmp_path / quarantine.FILE).write_bytes(b"{damaged")
    with pytest.raises(Conflict):
        quarantine.refuse(tmp_path)
    quarantine.end(tmp_path)
    quarantine.refuse(tmp_path)


async def test_an_older_checkpoint_does_not_hide_what_a_newer_one_showed(story: Story, tmp_path: Path) -> None:
    await story.tell("settings:changed")
    older = await story.checkpoint()
    await story.tell("settings:changed")
    newer = await story.checkpoint()
    size = int(newer.splitlines()[1])
    assert int(older.splitlines()[1]) < size
    mark = Quarantine(
        state="waiting",
        backup="one",
        began_at=datetime.now(UTC),
        instance=story.instance.about.id,
        checkpoint=size,
        reasons=["the restored log differs from the one that the checkpoint covers"],
    )
    quarantine.write(tmp_path, mark)
    given = Settings(data=tmp_path, keys=tmp_path)
    vault, pool = story.instance.vault, story.pool
    left = await restore_app.release(given, mark, pool, vault, Clock(), checkpoint=older, reason=None)
    assert len(left) == 2
    assert quarantine.read(tmp_path) == mark
    assert await restore_app.release(given, mark, pool, vault, Clock(), checkpoint=newer, reason=None) == []
    assert quarantine.read(tmp_path) is None
