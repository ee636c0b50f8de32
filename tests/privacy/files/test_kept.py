"""Files beside the gateway: how long they live, and that an export has them byte for byte."""

from __future__ import annotations

import io
import json
import zipfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from fixtures_access import House, house, hurry
from ruxa.egress.objects import Objects
from ruxa.kernel import bounds, ids
from ruxa.kernel.errors import NotFound, TooLarge
from ruxa.privacy import export
from ruxa.privacy.content import items
from ruxa.privacy.files import kept
from ruxa.privacy.files.kept import Files, Owner

__all__ = ["house", "hurry"]

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "life_s", "ends", "until"),
    [
        (NOON, None, datetime(2026, 12, 17, tzinfo=UTC), date(2026, 12, 17)),
        (NOON, 3600, NOON + timedelta(hours=1), date(2026, 11, 25)),
        (NOON, 12 * 3600, datetime(2026, 11, 25, tzinfo=UTC), date(2026, 11, 25)),
        (NOON, 12 * 3600 + 1, datetime(2026, 11, 25, 0, 0, 1, tzinfo=UTC), date(2026, 11, 26)),
        (NOON, 30 * 86_400, datetime(2026, 12, 17, tzinfo=UTC), date(2026, 12, 17)),
    ],
)
def test_a_life_ends_when_chosen_and_never_later_than_the_limit(
    now: datetime, life_s: int | None, ends: datetime, until: date
) -> None:
    assert kept.life(now, life_s) == (ends, until)
    assert (until - now.date()).days <= bounds.CONTENT_DAYS


async def test_an_export_has_the_files_byte_for_byte(house: House, tmp_path: Path) -> None:
    _, member_id, organisation_id = await house.owner()
    _, _, other_id = await house.owner()
    objects = Objects.of_folder(tmp_path / "objects")
    async with house.operator.work() as work:
        await items.prepare(work)
    files = Files(house.gateway, house.vault, objects)
    wanted: dict[str, bytes] = {}
    for one in (organisation_id, other_id):
        await house.vault.create_subject(one, ["content"])
        owner = Owner(organisation_id=one, key_id=ids.fresh(), livemode=True)
        for data in (b"\xff\xfe\x00 small", b"large " * 40_000):
            made = await files.add(owner, "user_data", "a b.txt", "text/plain", data)
            assert await files.whole(made, len(data)) == data
            with pytest.raises(TooLarge):
                await files.whole(made, len(data) - 1)
            if one == organisation_id:
                wanted[ids.text("file", made.id)] = data
    async with house.operator.work() as work:
        export_id = await export.ask(work, member_id)
    copy = export.stream(house.copies, house.vault, export_id, member_id, objects=objects)
    with zipfile.ZipFile(io.BytesIO(b"".join([piece async for piece in copy]))) as archive:
        found = {name.rpartition("/")[2]: archive.read(name) for name in archive.namelist() if "/files/" in name}
        rows = json.loads(archive.read(f"organisation/{ids.text('org', organisation_id)}/content.file.json"))
    assert found == wanted
    assert [row["name_sealed"] for row in rows] == ["a b.txt"] * 2


async def test_a_file_whose_key_is_destroyed_cannot_be_read(house: House, tmp_path: Path) -> None:
    _, _, organisation_id = await house.owner()
    objects = Objects.of_folder(tmp_path / "objects")
    async with house.operator.work() as work:
        await items.prepare(work)
    await house.vault.create_subject(organisation_id, ["content"])
    files = Files(house.gateway, house.vault, objects)
    owner = Owner(organisation_id=organisation_id, key_id=ids.fresh(), livemode=True)
    for data in (b"small", b"large " * 40_000):
        made = await files.add(owner, "user_data", "a", "text/plain", data)
        found = await files.find(owner, made.id)
        assert found is not None
        assert await files.whole(found, 1 << 20) == data
    await house.vault.destroy_subject(organisation_id, ["content"])
    for file in await files.list(owner, purpose=None, after=None, oldest=False, limit=10):
        assert file.name == ""
        again = await files.find(owner, file.id)
        assert again is not None
        with pytest.raises(NotFound):
            await files.whole(again, 1 << 20)
    with pytest.raises(NotFound):
        await files.add(owner, "user_data", "a", "text/plain", b"x")
