"""Limits attacked under a moved clock (D30, D32, D35): content and usage on the days before, at and after their end.

In service a limit's last moment and its first are ten minutes apart. Old copies - data directory, write-ahead log, base
backup, export of the keystore - are taken in the last of those minutes, right after an epoch began: there is no copy
whose keys live longer. With every secret that is still held a week later, they have to say nothing of it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from attack.carving import Attack, Find
from attack.loot import Instance, exported, files, look_at, opened, told
from attack.plants import Person, sign_up
from fixtures_server import RunningServer, eventually
from ruxa.kernel import bounds, ids
from ruxa.kernel.clock import Clock
from ruxa.store.vault import Vault

if TYPE_CHECKING:
    from conftest import Sizes

# Word -> the first day on which nobody gets it any more in service. The policy's numbers, not those of the engine.
CONTENT = {"pone": 1, "plargeone": 1, "pmost": 23, "plargemost": 23}
# Told by their ids: a call by its row and its frames in the journal, an act by its entry in the customers' own log.
USAGE = {"call": 83, "act": 83}
ENTRY = "sealed ruxa1|usage|audit.customer_entry|fields_sealed"
EVENING, NIGHT = timedelta(hours=23, minutes=55), timedelta(minutes=5)


@dataclass
class Taken:
    """What somebody carried off on one day, and the secrets that were held then."""

    attack: Attack
    held: dict[str, bytes]
    finds: list[Find]


class Walk:
    """A server, whose clock goes from limit to limit, and what was planted there on day 0."""

    def __init__(self, server: RunningServer, place: Path, mark: str) -> None:
        self.server = server
        self.place = place
        self.mark = mark
        self.instance = Instance(server)
        self.ids = dict.fromkeys(USAGE, ids.fresh())
        self.backups, self.bases, self.exports = place / "backups", place / "bases", place / "exports"
        self.began = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)

    def to(self, day: int, time: timedelta = NIGHT) -> None:
        """The server again, at that time of day 0 and so many days."""
        assert self.server.stop() == 0, self.server.output()
        moved = self.began + timedelta(days=day) + time - datetime.now(UTC)
        self.server.env["RUXA_CLOCK_OFFSET"] = f"{int(moved.total_seconds())}"
        self.server.start()

    def plant(self) -> Person:
        """Calls of three keys: one that keeps nothing, one that keeps content for a day, one for 23."""
        person = sign_up(self.server, self.mark, "p")
        status, organisation = person.browser.api("PATCH", "/api/v1/organisation", {"name": "Elderberry Works"})
        assert status == 200, organisation
        self.ids["act"] = ids.read("org", organisation["id"])
        self.server.cli("org", "credit", organisation["id"], "--micros", "2000000", "--sandbox", "--reason", "a gift")
        headers: dict[str, str] = {}
        for name, days in (("", 0), ("one", 1), ("most", 23)):
            status, made = person.browser.api("POST", "/api/v1/keys", {"name": "a key", "store_days": days})
            assert status == 201, made
            texts = ["Say hello."]
            if days:
                large = "plum " * (bounds.CONTENT_INLINE_BYTES // 4)
                texts = [f"{person.words.word(name)} [[echo]]", f"{person.words.word(f'large{name}')} {large}"]
            for text in texts:
                status, headers, answer = self.server.chat(text, key=made["key"])
                assert status == 200, answer
            if not days:
                self.ids = {
                    "call": ids.read("req", headers["x-request-id"]),
                    "act": ids.read("org", organisation["id"]),
                }
        counts = "SELECT (SELECT count(*) FROM content.item), (SELECT count(*) FROM ledger.usage_event)"
        eventually(lambda: self.instance.sql(counts) == [(4, 5)])
        return person

    def look(self) -> Attack:
        """An attack that knows all ids there are by now."""
        return self.instance.attack(self.mark, **self.ids)

    def take(self, name: str, *, base: bool) -> Taken:
        """Copies of everything, data and keys; base: a base backup and the log after it too."""
        self.server.cli("backup", "create", "--out", str(self.backups))
        if base:
            self.server.cli("backup", "create", "--kind", "base", "--out", str(self.bases))
            self.server.cli("backup", "log", "--out", str(self.bases))
        self.server.cli("backup", "keys", "--out", str(self.exports), RUXA_RECOVERY_PASSPHRASE="plum-oak-elderberry-31")
        attack = look_at(
            self.look(),
            files(self.instance.copy(self.place / name)),
            [("every row", self.instance.dump())],
            opened(self.instance, self.bases, []),
        )
        held = self.instance.held() | exported(self.instance, self.exports)
        secrets = list(attack.carved(held))
        look_at(attack, opened(self.instance, self.backups, secrets), opened(self.instance, self.exports, secrets))
        return Taken(attack, held, attack.solve(held))

    def run(self) -> None:
        """What the hourly jobs do."""
        self.server.cli("retention", "run")
        asyncio.run(rotate(self.instance))
        self.server.cli("backup", "expire", "--dir", str(self.bases), "--keys-dir", str(self.exports))

    def served(self, day: int) -> None:
        """In service, and in logical backups, there is what has a day left, and nothing else."""
        instance = self.instance
        self.run()
        attack = look_at(self.look(), [("every row", instance.dump())], instance.outside())
        finds = look_at(attack, opened(instance, self.backups, attack.carved(instance.held()))).solve(instance.held())
        left = {name for name, end in (CONTENT | USAGE).items() if day < end}
        assert found(finds) == left, f"day {day}: {told(finds)}"

    def last_copy(self, day: int, taken: Taken, gone: set[str]) -> None:
        """No copy of any age says what is gone, with every secret that is held; and it is the epoch's end that did it.

        A copied row of usage is plain as long as there is the copy: ours live 7 days, and only they are looked at.
        """
        instance = self.instance
        self.run()
        held = instance.held() | exported(instance, self.exports)
        assert set(held.values()) & set(taken.held.values()) < set(taken.held.values())
        now = look_at(self.look(), files(instance.copy(self.place / f"day-{day}")), [("every row", instance.dump())])
        secrets = list(now.carved(held))
        for target in (self.backups, self.bases, self.exports):
            look_at(now, files(target), opened(instance, target, secrets))
        finds = now.solve(held)
        left = {name for name, end in (CONTENT | USAGE).items() if day < end}
        assert found(finds) == left, f"day {day}, now: {told(finds)}"
        taken.attack.learn(instance.kids(), instance.epochs())
        old = [find for find in taken.attack.solve(held) if find.how.startswith("sealed")]
        assert found(old) & gone == set(), f"day {day}, in copies of before: {told(old)}"
        assert found(taken.attack.solve(taken.held)) == found(taken.finds)


def found(finds: list[Find]) -> set[str]:
    """Which of what was planted; of an act only its entry, for the organisation itself lives on."""
    planted = CONTENT | USAGE
    return {find.word for find in finds if find.word in planted and (find.word != "act" or find.how == ENTRY)}


async def rotate(instance: Instance, *, now: bool = False) -> bool:
    """The hourly job's new epoch, when it is due or asked for; whether there is one."""
    vault = await Vault.unlock(instance.address, instance.keys, clock=Clock())
    try:
        return (await vault.rotate_epoch() if now else await vault.rotate_epoch_if_due()) is not None
    finally:
        await vault.close()


@pytest.mark.timeout(900)
def test_nothing_can_be_recovered_after_its_limit(
    server: RunningServer, tmp_path: Path, sizes: Sizes, mark: str
) -> None:
    walk = Walk(server, tmp_path, mark)
    walk.plant()
    first = walk.take("day-0", base=sizes.long)
    assert found(first.finds) == set(CONTENT | USAGE), told(first.finds)
    assert [find for find in first.finds if find.word in CONTENT and not find.how.startswith("sealed")] == []
    assert {find.how for find in first.finds if find.word == "call"} >= {"id", "sealed journal"}

    # A day's content: its first moment over the limit, and a week later.
    walk.to(1)
    walk.served(1)
    walk.to(8)
    walk.last_copy(8, first, {"pone", "plargeone"})
    if not sizes.long:
        return

    # The longest that content is kept.
    walk.to(22, EVENING)
    asyncio.run(rotate(walk.instance, now=True))
    walk.served(22)
    content = walk.take("day-22", base=True)
    assert found(content.finds) == {"pmost", "plargemost", *USAGE}, told(content.finds)
    walk.to(23)
    walk.served(23)
    # The epoch has not ended yet: the copies of yesterday still say it, as they may for a week.
    assert found(content.attack.solve(walk.instance.held())) >= {"pmost", "plargemost"}
    walk.to(24)
    walk.served(24)
    for day in (29, 30, 31):
        walk.to(day)
        walk.last_copy(day, content, {"pmost", "plargemost"})

    # Usage: rows, journal, the customers' own log.
    walk.to(82, EVENING)
    asyncio.run(rotate(walk.instance, now=True))
    walk.served(82)
    usage = walk.take("day-82", base=True)
    assert found(usage.finds) == set(USAGE), told(usage.finds)
    for day in (83, 84):
        walk.to(day)
        walk.served(day)
    for day in (89, 90, 91):
        walk.to(day)
        walk.last_copy(day, usage, set(USAGE))
