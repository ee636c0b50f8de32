"""A live worker through days and a week of a moved clock: every job that promises something does it by itself.

The clock of the schedule is the machine's (D35), so a day's hours are not waited for: what the schedule would put into
the queue at its minute is put there, and the running worker takes it from there as ever. The schedule's own minutes
pass too, at any point of such a day: an alarm whose minute comes before the day's export and backup is right to sound.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from attack.loot import Instance
from attack.plants import sign_up
from audit_witness import NAME, WitnessServer
from conftest import Sizes
from fixtures_server import RunningServer, eventually
from ruxa.access.audit import notes, verify

# In the order of their minutes; what follows needs what came before it.
HOURLY = (
    "keys epoch", "keys of the days ahead", "keys of signatures", "keys of subjects", "keys of indexes",
    "content partitions", "ledger partitions", "audit days", "retention", "ledger proofs", "backup keys", "backup data",
    "audit witness w1", "audit mail", "audit check", "backup expiry", "backup drill", "backup watch",
)  # fmt: skip

# Kinds of backup over their limit now; never made counts from the instance's first day.
LATE = """
    SELECT kind FROM (VALUES ('living', interval '3 hours'), ('logical', interval '26 hours')) AS bound (kind, age)
    WHERE (SELECT created_at FROM ruxa.instance) < ruxa.now() - age AND NOT EXISTS (
        SELECT FROM privacy.backup made
        WHERE made.kind = bound.kind AND made.state IN ('done', 'expired') AND made.taken_at > ruxa.now() - age)
"""


class Days:
    """One simulated server with targets and a witness, and its clock moved by whole days."""

    def __init__(self, server: RunningServer, witness: WitnessServer, place: Path) -> None:
        self.server = server
        self.witness = witness
        self.place = place
        self.data, self.keys = place / "backups", place / "safe"
        self.began = datetime.now(UTC)
        self.number = 0

    @property
    def instance(self) -> Instance:
        return Instance(self.server)

    def configure(self) -> None:
        """Backups to two places, and the witness of the log that there is by now."""
        self.witness.log = verify.read_vkey(eventually(self._key_of_log, 20))
        vkey = notes.vkey(NAME, self.witness.signer.public, notes.COSIGNATURE)
        file = self.server.place / "ruxa.toml"
        file.write_text(
            f'[backup]\ntarget = "folder:{self.data}"\nkeys_target = "folder:{self.keys}"\n'
            f'[witnesses.w1]\nurl = "{self.witness.url}"\nkey = "{vkey}"\n'
        )
        self.server.env["RUXA_CONFIG"] = str(file)

    def _key_of_log(self) -> str | None:
        """Published with the log's first signature."""
        told = json.loads(self.server.http("GET", "/.well-known/ruxa/keys.json", key=None)[2])
        return next((one["vkey"] for one in told["keys"] if one["use"] == "audit"), None)

    def day(self, number: int) -> None:
        """The server on that day, with its hourly jobs done.

        The alarm is looked at first, and says what the days without a server left over its limit. From the day's
        export and backup on it says nothing.
        """
        assert self.server.stop() == 0, self.server.output()
        away, self.number = number - self.number, number
        left_late = {"living"} if away == 1 else {"living", "logical"} if away else set[str]()
        heard = len(self.missed())
        self.server.env["RUXA_CLOCK_OFFSET"] = f"+{number}d"
        self.server.start()
        self.run("backup watch")
        # What the schedule made up for by itself before the look is late no more.
        still_late = {kind for (kind,) in self.instance.sql(LATE)}
        assert still_late <= set(self.missed()[heard:]), self.server.stderr()
        made = HOURLY.index("backup data") + 1
        for name in HOURLY[:made]:
            self.run(name)
        assert set(self.missed()[heard:]) <= left_late, self.server.stderr()
        heard = len(self.missed())
        for name in HOURLY[made:]:
            self.run(name)
        assert self.missed()[heard:] == [], self.server.stderr()

    def run(self, name: str) -> None:
        """That job, by the worker; back when none of its name is left."""
        self.instance.sql(
            "INSERT INTO jobs.procrastinate_jobs (queue_name, task_name, lock, args)"
            f" VALUES ('ruxa', '{name}', '{name}', '{{}}')"
        )
        eventually(lambda: not self.waiting(name), 60, every_s=0.2)

    def missed(self) -> list[str]:
        """The kind of each alarm so far."""
        lines = [line for line in self.server.stderr().splitlines() if '"backup.missed"' in line]
        return [json.loads(line)["kind"] for line in lines]

    def waiting(self, name: str) -> bool:
        return bool(self.instance.sql(f"SELECT 1 FROM jobs.procrastinate_jobs WHERE task_name = '{name}'"
                                      " AND status IN ('todo', 'doing')"))  # fmt: skip

    def one(self, statement: str) -> object:
        return self.instance.sql(f"SELECT {statement}")[0][0]


@pytest.fixture
def days(fresh_server: Callable[..., RunningServer], tmp_path: Path) -> Iterator[Days]:
    witness = WitnessServer(verify.Key("", verify.NOTE, bytes(32)))
    server = fresh_server("--simulated", simulated=True)
    with witness:
        yield Days(server.start(), witness, tmp_path)


@pytest.mark.timeout(300)
def test_a_week_of_a_live_worker(days: Days, sizes: Sizes) -> None:
    server = days.server
    assert server.chat()[0] == 200
    # Somebody whom the log is mailed to.
    sign_up(server, "mq51c0w7", "p")
    days.configure()
    first = days.one("id::text FROM keystore.epoch WHERE state = 'current'")
    # Not the day it began: the schedule may have mailed that day's log before anybody was there to get it.
    walked = (1, 2, 3, 8, 9) if sizes.long else (8,)
    for count, number in enumerate(walked, start=1):
        days.day(number)
        today = (days.began + timedelta(days=number)).date()
        ahead = today + timedelta(days=7)
        living = "FROM privacy.backup WHERE kind = 'living' AND state = 'done'"
        coming = "FROM keystore.key WHERE kind = 'day' AND class = 'usage'"
        facts = {
            # A run of retention, a mail of the log, a backup and an export of the keys, each of this day.
            f"count(*) > 0 FROM privacy.retention_run WHERE state = 'done' AND ended_at::date >= '{today}'": True,
            f"count(*) FROM audit.mailing WHERE over AND day = '{today}'": 1,
            f"count(*) FROM access.mail WHERE template = 'checkpoint' AND created_at::date = '{today}'": 1,
            "count(*) FROM privacy.backup WHERE kind = 'logical' AND state IN ('done', 'expired')": count,
            f"count(*) > 0 {living} AND started_at::date >= '{today}'": True,
            # Room and keys for a week ahead.
            f"to_regclass('ledger.usage_event_{ahead:%Y%m%d}') IS NOT NULL": True,
            f"count(*) {coming} AND day = '{ahead}'": 1,
            # The log is placed, signed and seen from outside.
            f"count(*) >= {count} FROM audit.cosignature": True,
            "count(*) FROM jobs.procrastinate_jobs WHERE status IN ('failed', 'aborted')": 0,
        }  # fmt: skip
        assert {fact: days.one(fact) for fact in facts} == facts, (number, server.stderr())
        assert server.chat()[0] == 200
    # The week was an epoch: its key is gone, and so is the row that it wrapped.
    assert days.one(f"state FROM keystore.epoch WHERE id = '{first}'") == "destroyed"
    assert not list(Path(server.keys).rglob(f"{str(first).replace('-', '')}*.key"))
    # A drill on the first day that there is a backup, and one a week later.
    drills = days.instance.sql("SELECT state, code, failures, readable FROM privacy.restore_drill")
    assert drills == [("passed", None, [], 0)] * (2 if sizes.long else 1), server.stderr()
    # Base backups live a week.
    old = "FROM privacy.backup WHERE kind = 'base' AND started_at < ruxa.now() - interval '7 days'"
    assert days.one(f"count(*) FILTER (WHERE state = 'expired') > 0 {old}") == sizes.long
    assert days.one(f"count(*) FILTER (WHERE state = 'done') {old}") == 0
    failed = [line for line in server.stderr().splitlines() if '"job.failed"' in line]
    assert not failed, "\n".join(failed)
    assert {kind for (kind,) in days.instance.sql(LATE)} == set()
    checks = {one["name"]: one for one in server.cli_json("doctor")["checks"]}
    assert all(checks[name]["ok"] for name in ("retention", "last backup", "last export of the keys", "audit log"))
    assert server.stop() == 0
