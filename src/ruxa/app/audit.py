"""The audit log's wiring: placing, signing, witnesses, the daily mail, and the check at the start and every hour."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import timedelta

from ruxa.access.audit import check, log, mailing, sequencer, verify, witnesses
from ruxa.egress.recipient import Register
from ruxa.egress.witness import Witness
from ruxa.kernel.clock import Clock
from ruxa.kernel.errors import Broken, InvalidCall, RuxaError, UpstreamError
from ruxa.kernel.settings import Settings
from ruxa.kernel.signals import Sink
from ruxa.store.address import Address
from ruxa.store.jobs import Jobs
from ruxa.store.pool import Pool
from ruxa.store.vault import Vault

EVERY_MINUTE = "* * * * *"
HOURLY = "13 * * * *"
# Every signature is checked by command; every hour those of the last days.
SIGNED_WITHIN = timedelta(days=2)
BROKEN = "audit_log_broken"

# All of the log is read at the start and once a day; in between what came since.
WHOLE_EVERY = 24

Asked = list[tuple[Witness, verify.Key]]


class Seen:
    """How far this process found the log in order, and how often it has looked since it read all of it."""

    def __init__(self) -> None:
        self.marks: list[verify.Mark] = []
        self.times = 0


def witnesses_of(settings: Settings, register: Register) -> Asked:
    """The configured witnesses, declared as recipients. Raises InvalidCall ``bad_setting``."""
    found: Asked = []
    for name, one in settings.witnesses.items():
        if one.url is None or one.key is None:
            raise InvalidCall(f"witnesses.{name} needs url and key.", code="bad_setting")
        found.append((Witness(name, one.url, register, where=one.where), key_of(name, one.key)))
    return found


def key_of(name: str, text: str) -> verify.Key:
    """A witness's public key. Raises InvalidCall ``bad_setting``."""
    try:
        key = verify.read_vkey(text)
    except verify.Unreadable as error:
        raise InvalidCall(f"witnesses.{name}.key: {error}.", code="bad_setting") from None
    if key.kind != verify.COSIGNATURE:
        raise InvalidCall(f"witnesses.{name}.key is no key for cosignatures (type 4).", code="bad_setting")
    return key


def writer_of(address: Address, clock: Clock) -> Pool:
    """The log's own login, which adds to its tree; connected only while there is something to add."""
    return Pool.on_demand(address.url("ruxa_audit"), login="ruxa_audit", clock=clock)


def schedule(
    jobs: Jobs,
    pool: Pool,
    writer: Pool,
    vault: Vault,
    sink: Sink,
    asked: Asked,
    base_url: str,
    stack: AsyncExitStack,
    seen: Seen,
) -> None:
    """The worker's jobs for the log. seen: what its checks have seen of it."""
    jobs.add("audit sequencer", lambda: sequencer.run(pool, writer, vault), timeout_s=120, every_s=5)
    jobs.add("audit days", lambda: sequencer.prepare(pool), timeout_s=60, cron=HOURLY)
    jobs.add("audit check", lambda: look(pool, vault, sink, seen), timeout_s=1800, cron=HOURLY)
    jobs.add("audit mail", lambda: mailing.send(pool, vault, base_url), timeout_s=600, cron=HOURLY)
    for witness, key in asked:
        stack.push_async_callback(witness.close)
        jobs.add(
            f"audit witness {witness.name}", _asking(pool, writer, witness, key, sink), timeout_s=90, cron=EVERY_MINUTE
        )


def _asking(pool: Pool, writer: Pool, witness: Witness, key: verify.Key, sink: Sink) -> Callable[[], Awaitable[None]]:
    async def ask() -> None:
        try:
            await witnesses.ask(pool, writer, witness, key)
        except UpstreamError as error:
            sink.emit("audit.unwitnessed", "warning", witness=witness.name, code=error.code)

    return ask


async def rotate_epoch(pool: Pool, vault: Vault) -> None:
    """Begins a new epoch when it is time and destroys the old one's key: written down before, and after."""
    if await vault.epoch_age() < vault.rotates_at:
        return
    async with pool.work() as work:
        await log.write(work, vault, "crypto:rotated", actor="system", outcome="planned", details={"key": "epoch"})
    done = await vault.rotate_epoch()
    details = {"key": "epoch", "epoch": done.epoch.hex, "destroyed": " ".join(one.hex for one in done.destroyed)}
    async with pool.work() as work:
        await log.write(work, vault, "crypto:rotated", actor="system", details=details)


async def begin(pool: Pool, writer: Pool, vault: Vault, sink: Sink, seen: Seen) -> None:
    """The check at the start, beside the work; what it finds is told and stops nothing."""
    try:
        # What was left waiting when the last worker stopped is no finding.
        await sequencer.run(pool, writer, vault)
        await look(pool, vault, sink, seen)
    except RuxaError as error:
        if error.code != BROKEN:
            sink.emit("job.failed", "warning", job="audit check", code=error.code)


async def look(pool: Pool, vault: Vault, sink: Sink, seen: Seen) -> verify.Report:
    """Checks the log; tells ``audit.broken`` and raises Broken ``audit_log_broken`` when anything is wrong."""
    if seen.times >= WHOLE_EVERY:
        seen.marks.clear()
    seen.times = seen.times + 1 if seen.marks else 1
    report = await check.check(pool, vault, signed_within=SIGNED_WITHIN, marks=seen.marks)
    if report.problems:
        worst = report.worst
        leaf = None if worst is None else worst.leaf
        sink.emit("audit.broken", "error", kind=report.problems[0].kind, leaf=leaf, count=len(report.problems))
        raise Broken("The audit log is not what it was.", code=BROKEN)
    return report
