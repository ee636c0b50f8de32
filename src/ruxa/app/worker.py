"""The job worker's wiring: every scheduled job of every room. Each may run twice at once and be killed at any point."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC
from pathlib import Path

from ruxa.access import addresses
from ruxa.access import jobs as access_jobs
from ruxa.access.audit import sequencer
from ruxa.app import (
    alerts,
    audit,
    backup_jobs,
    bookkeeping,
    custody,
    database,
    health,
    hook,
    outbound,
    payments,
    retention,
)
from ruxa.app.orders import Orders, Start
from ruxa.egress.mail import Letter, Smtp
from ruxa.egress.objects import Objects
from ruxa.egress.recipient import Recipient, Register
from ruxa.egress.timers import Wheel
from ruxa.gateway import books
from ruxa.gateway.door import Door, Reply, Request
from ruxa.kernel.clock import Clock
from ruxa.kernel.errors import NotFound
from ruxa.kernel.settings import Settings
from ruxa.kernel.signals import JsonLines, Sink
from ruxa.ledger import jobs as ledger_jobs
from ruxa.ledger.collection import Collection
from ruxa.ledger.documents import seller
from ruxa.privacy import erase
from ruxa.privacy.content import items
from ruxa.privacy.files import kept
from ruxa.privacy.retention.engine import Tools
from ruxa.store import instance as owner
from ruxa.store.address import Address
from ruxa.store.jobs import Jobs
from ruxa.store.pool import Pool
from ruxa.store.vault import DAY_CLASSES, Vault

# Five fields, or six with seconds last.
EVERY_MINUTE = "* * * * *"
EVERY_15_MINUTES = "3,18,33,48 * * * *"
HOURLY = "7 * * * *"
AFTER_THE_HOUR = "1 * * * *"

Send = Callable[[Letter], Awaitable[None]]

# What a mail server gets of a mail.
MAILED = ("user.contact.email", "user.name", "user.account")


async def run(start: Start, orders: Orders) -> None:
    """Work until told to stop; what runs is finished, what does not finish is tried again by the next worker."""
    retention.step_back()
    settings = start.read_settings()
    clock = Clock(start.clock_offset_s)
    sink = JsonLines("worker", clock)
    register = Register(sink)
    mail = _mail(settings, clock, register)
    epochs = custody.epoch_keys(settings, start.instance, register)
    asked = audit.witnesses_of(settings, register)
    hook.install(register, sink)
    keys = database.keys_of(settings, start.instance)
    address = await asyncio.to_thread(database.address_at, start.database, keys)
    async with AsyncExitStack() as stack:
        pool = await _pool(address, clock, stack)
        vault = await Vault.unlock(address, epochs, clock=clock, name="worker")
        stack.push_async_callback(vault.close)
        await ledger_jobs.partitions(pool)
        await _content_partitions(pool)
        await sequencer.prepare(pool)
        await _day_keys(vault)
        tills = payments.processors(settings, register, clock, stack, sandbox=start.processor)
        outbound.watch(register, pool, stack)
        jobs = Jobs(sink)
        _schedule_ledger(jobs, pool, sink)
        _schedule_access(jobs, pool, vault, mail and _counted(mail, register), sink)
        _schedule_keys(jobs, pool, vault)
        seen = audit.Seen()
        writer = audit.writer_of(address, clock)
        audit.schedule(jobs, pool, writer, vault, sink, asked, start.base_url, stack, seen)
        collection = Collection(
            pool,
            vault,
            tills,
            clock=clock,
            signals=sink,
            base_url=start.base_url,
            terms=seller.terms(settings),
        )
        payments.schedule(jobs, collection)
        bookkeeping.schedule(jobs, pool, vault, seller.terms(settings), collection, tills, sink)
        objects = Objects.of_settings(settings.storage, settings.data, register)
        _schedule_alerts(jobs, pool, vault, start.base_url, sink)
        jobs.add("files over", lambda: kept.end_over(pool, objects), timeout_s=600, cron=EVERY_MINUTE)
        eraser = retention.eraser_of(address, clock)
        jobs.add(
            "privacy erasures", lambda: erase.due(pool, eraser, vault, objects, sink), timeout_s=900, cron=EVERY_MINUTE
        )
        ending = await retention.pool_of(address, clock)
        stack.push_async_callback(ending.close)
        _schedule_retention(jobs, retention.tools(settings, ending, eraser, vault, objects, sink, clock))
        backup_jobs.schedule(jobs, settings, start.instance, address, pool, vault, clock, sink, register)
        await _schedule_journal(jobs, settings.data / "journal", address, clock, vault, sink, stack)
        await payments.listen(address.url("ruxa_worker"), collection, stack)
        if settings.role == "worker":
            await _tell_health(start, sink, pool, stack)
        stop = asyncio.Event()
        checking = asyncio.ensure_future(audit.begin(pool, writer, vault, sink, seen))
        stack.callback(checking.cancel)
        running = asyncio.ensure_future(jobs.run(address.url("ruxa_worker"), stop, grace_s=2.0))
        orders.ready()
        draining = asyncio.ensure_future(orders.drained())
        await asyncio.wait({running, draining}, return_when=asyncio.FIRST_COMPLETED)
        draining.cancel()
        stop.set()
        await running


async def _tell_health(start: Start, sink: Sink, pool: Pool, stack: AsyncExitStack) -> None:
    """Alone on its machine, the worker has a door that only tells how it is."""
    wheel = Wheel()
    wheel.start()
    stack.callback(wheel.stop)

    def serve(request: Request, reply: Reply) -> None:
        if not health.answer(request, reply, pool):
            raise NotFound("A worker has /healthz and /readyz only.", code="unknown_path")

    door = Door(serve, health.render, wheel=wheel, sink=sink)
    stack.push_async_callback(door.close)
    await door.start(start.host, start.port)


async def _pool(address: Address, clock: Clock, stack: AsyncExitStack) -> Pool:
    pool = await Pool.open(address.url("ruxa_worker"), login="ruxa_worker", max_size=4, clock=clock)
    stack.push_async_callback(pool.close)
    return pool


def _mail(settings: Settings, clock: Clock, register: Register) -> Smtp | None:
    """The mail server, declared as a recipient; None while mail stays in the outbox."""
    if settings.mail.url == "outbox:":
        return None
    smtp = Smtp(settings.mail.url, settings.mail.sender, clock)
    recipient = Recipient(
        name="mail",
        role="mail",
        who="the operator's mail server",
        what=MAILED,
        why=("communicate", "security"),
        where="unknown",
        safeguard="the operator's own contract",
    )
    register.allow(recipient, smtp.host, smtp.port)
    return smtp


def _schedule_ledger(jobs: Jobs, pool: Pool, sink: Sink) -> None:
    jobs.add("ledger janitor", lambda: ledger_jobs.janitor(pool), timeout_s=60, every_s=5)
    jobs.add("ledger lots", lambda: ledger_jobs.lots(pool), timeout_s=120, cron=EVERY_MINUTE)
    jobs.add("ledger seals", lambda: ledger_jobs.seals(pool), timeout_s=120, cron=EVERY_MINUTE)
    jobs.add("ledger partitions", lambda: ledger_jobs.partitions(pool), timeout_s=60, cron=HOURLY)
    jobs.add("content partitions", lambda: _content_partitions(pool), timeout_s=60, cron=HOURLY)
    jobs.add("payments over", lambda: ledger_jobs.payments(pool), timeout_s=120, cron=HOURLY)
    jobs.add("ledger proofs", lambda: ledger_jobs.proofs(pool, sink), timeout_s=600, cron=HOURLY)


def _schedule_alerts(jobs: Jobs, pool: Pool, vault: Vault, base_url: str, sink: Sink) -> None:
    jobs.add("alerts", lambda: alerts.run(pool, vault, base_url, sink), timeout_s=120, cron=EVERY_MINUTE)
    jobs.add("alerts of spending", lambda: alerts.spend(pool), timeout_s=600, cron=EVERY_15_MINUTES)


def _counted(smtp: Smtp, register: Register) -> Send:
    """Sending, with what the mail server got counted; a try that failed may have told it as much."""

    async def send(letter: Letter) -> None:
        for category in MAILED:
            register.tally.add("mail", smtp.host, category)
        await smtp.send(letter)

    return send


def _schedule_access(jobs: Jobs, pool: Pool, vault: Vault, send: Send | None, sink: Sink) -> None:
    if send is not None:
        jobs.add("access mail", lambda: access_jobs.send_mail(pool, vault, send, sink), timeout_s=300, every_s=10)


def _schedule_keys(jobs: Jobs, pool: Pool, vault: Vault) -> None:
    jobs.add("keys epoch", lambda: audit.rotate_epoch(pool, vault), timeout_s=600, cron=HOURLY)
    jobs.add("keys of signatures", vault.rotate_signing_if_due, timeout_s=60, cron=HOURLY)
    jobs.add("keys of subjects", vault.reseal, timeout_s=3000, cron=HOURLY)
    jobs.add("keys of indexes", lambda: _index_keys(vault), timeout_s=3000, cron=HOURLY)
    jobs.add("keys of the days ahead", lambda: _day_keys(vault), timeout_s=60, cron=HOURLY)


def _schedule_retention(jobs: Jobs, tools: Tools) -> None:
    # A minute after midnight is a minute past the limit; the epoch's week ends long before the last copy's day does.
    jobs.add("retention", lambda: retention.run(tools), timeout_s=3000, attempts=3, cron=AFTER_THE_HOUR)


async def _index_keys(vault: Vault) -> None:
    """A new key of the blind indexes every year, and what an older one made is made anew."""
    await vault.rotate_index_if_due()
    await addresses.reindex(vault)


async def _day_keys(vault: Vault) -> None:
    for key_class in sorted(DAY_CLASSES):
        # Content is filed under the day on which it ends, up to 23 days ahead.
        await vault.create_day_keys(key_class, items.DAYS_AHEAD if key_class == items.CLASS else 7)


async def _content_partitions(pool: Pool) -> int:
    async with pool.work("partitions") as work:
        return await items.prepare(work)


async def _schedule_journal(
    jobs: Jobs, root: Path, address: Address, clock: Clock, vault: Vault, sink: Sink, stack: AsyncExitStack
) -> None:
    """Journals of workers that do not come back (fewer workers than before) are booked with the gateway's login."""
    url = address.url("ruxa_gateway")
    pool = await Pool.open(url, login="ruxa_gateway", min_size=0, max_size=1, clock=clock)
    stack.push_async_callback(pool.close)

    async def recover() -> None:
        async with pool.work() as work:
            today = (await owner.now(work)).astimezone(UTC).date()
        await books.recover_all(root, pool, day_key=lambda day: vault.day_key("usage", day), today=today, sink=sink)

    jobs.add("journal recovery", recover, timeout_s=300, cron=EVERY_MINUTE)
