"""Jobs: work for later, put into the same transaction as what it is about; procrastinate behind our words.

A job's arguments are clear text in a table outside every retention rule, so they are ids, whole numbers and flags:
checked here and again by the table. A job that ends well leaves no row; one that fails is tried again, later and
later; one whose worker died is found by its silence and tried again. Jobs may therefore run twice: each is written so
that this does no harm.

A waiting worker costs next to nothing: it hears of a new job by a notice, and asks in between only for those whose time
to be tried again has come.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from typing import Any, Final
from uuid import UUID

import msgspec
import procrastinate
import psycopg
import psycopg_pool
from procrastinate import exceptions
from procrastinate.connector import Notify

from ruxa.kernel.clock import monotonic
from ruxa.kernel.errors import Broken, RuxaError
from ruxa.kernel.signals import Sink
from ruxa.store import notify
from ruxa.store.pool import has_news
from ruxa.store.work import Work

Argument = UUID | int | bool

QUEUE: Final = "ruxa"
ATTEMPTS_MAX: Final = 8
RETRY_EXPONENT_S: Final = 4
POLL_S: Final = 5.0
HEARTBEAT_S: Final = 5.0
# Nobody aborts a job here, so nothing is to be found.
ABORTS_S: Final = 3600.0
AGAIN_MAX_S: Final = 60.0
STALLED_S: Final = 20.0
FAILED_KEPT_H: Final = 30 * 24
_MEND_S: Final = 5.0
_RECONNECT_S: Final = 0.5
_ALIVE_S: Final = 30.0


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of job: what it runs, how long it may take (seconds), how often it is tried, when it starts by itself.

    every_s: run by this process itself, without a row, so many seconds after it last ended.
    """

    name: str
    run: Callable[..., Awaitable[object]]
    timeout_s: float
    attempts: int
    cron: str | None
    every_s: float | None
    alone: bool


async def defer(
    work: Work, name: str, /, *, lock: str | None = None, once: str | None = None, **arguments: Argument
) -> bool:
    """Puts a job into the transaction: it exists when and only when ``work`` commits.

    lock: no two jobs with it run at once; once: False and nothing done when one with it waits already. Both are names
    or ids, never data. Raises Broken ``job_argument`` for an argument that is no UUID, whole number or flag.
    """
    for argument, value in arguments.items():
        if not isinstance(value, UUID | int):  # pyright: ignore[reportUnnecessaryIsInstance] - callers may be untyped
            raise Broken("A job takes ids only.", code="job_argument", detail=f"{name} {argument}")
    written = {key: str(value) if isinstance(value, UUID) else value for key, value in arguments.items()}
    if once is not None:
        # Held until the commit: of two at once the second waits, then sees the first one's job.
        await work.run("SELECT pg_advisory_xact_lock(hashtextextended('ruxa.job ' || %s, 0))", once)
        if await work.value(
            "SELECT EXISTS (SELECT FROM jobs.procrastinate_jobs WHERE queueing_lock = %s AND status = 'todo')", once
        ):
            return False
    await work.run(
        "SELECT jobs.procrastinate_defer_jobs_v1(ARRAY["
        "ROW(%s, %s, 0, %s, %s, %s, NULL)::jobs.procrastinate_job_to_defer_v1])",
        QUEUE,
        name,
        lock,
        once,
        json.dumps(written),
    )
    return True


class Jobs:
    """The kinds of jobs a worker runs: ``add`` each, then ``run``."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._jobs: dict[str, Job] = {}

    def add(
        self,
        name: str,
        run: Callable[..., Awaitable[object]],
        *,
        timeout_s: float,
        attempts: int = ATTEMPTS_MAX,
        cron: str | None = None,
        every_s: float | None = None,
        alone: bool = False,
    ) -> None:
        """A kind of job; ids arrive in ``run`` as keyword arguments, uuids as UUID.

        cron: five fields, or six with seconds; such a job is alone: never two at once, never two waiting. every_s: for
        what looks every few seconds whether there is something to do; each worker does so by itself, two may at once.
        """
        assert name not in self._jobs, name
        assert every_s is None or cron is None, name
        self._jobs[name] = Job(
            name=name,
            run=run,
            timeout_s=timeout_s,
            attempts=attempts,
            cron=cron,
            every_s=every_s,
            alone=alone or cron is not None,
        )

    async def run(self, url: str, stop: asyncio.Event, *, concurrency: int = 4, grace_s: float = 10.0) -> None:
        """Runs jobs until ``stop`` is set, through any outage of the database.

        What still runs ``grace_s`` after the stop is cut off and tried again later.
        """
        stopping = asyncio.ensure_future(stop.wait())
        try:
            while not stop.is_set():
                session = asyncio.ensure_future(self._session(url, concurrency, grace_s))
                await asyncio.wait({session, stopping}, return_when=asyncio.FIRST_COMPLETED)
                if not session.done():
                    session.cancel()
                with contextlib.suppress(
                    asyncio.CancelledError, psycopg.Error, psycopg_pool.PoolTimeout, exceptions.ConnectorException
                ):
                    await session
                if not stop.is_set():
                    await asyncio.wait({stopping}, timeout=_RECONNECT_S)
        finally:
            stopping.cancel()

    async def _session(self, url: str, concurrency: int, grace_s: float) -> None:
        """One life of the connections: ends with the database, or when cancelled."""
        app = self._app(url)
        async with app.open_async():
            mending = asyncio.ensure_future(self._mend(app))
            rounds = [_Round(self._guarded(job), job.every_s) for job in self._jobs.values() if job.every_s is not None]
            try:
                await app.run_worker_async(
                    queues=[QUEUE],
                    concurrency=concurrency,
                    shutdown_graceful_timeout=grace_s,
                    install_signal_handlers=False,
                    delete_jobs="successful",
                    fetch_job_polling_interval=POLL_S,
                    abort_job_polling_interval=ABORTS_S,
                    update_heartbeat_interval=HEARTBEAT_S,
                    stalled_worker_timeout=STALLED_S,
                )
            finally:
                mending.cancel()
                await asyncio.gather(mending, *(one.end(grace_s) for one in rounds), return_exceptions=True)

    def _app(self, url: str) -> procrastinate.App:
        connector = _Connector(
            conninfo=url,
            min_size=1,
            max_size=4,
            timeout=10.0,
            # A pool that gave up says so at once; our own loop tries again.
            reconnect_timeout=1.0,
            configure=_configure,
            pool_factory=_pool,
            kwargs={"application_name": "ruxa jobs"},
        )
        app = procrastinate.App(connector=connector)
        for job in self._jobs.values():
            if job.every_s is not None:
                continue
            lock = job.name if job.alone else None
            retries = job.attempts - 1
            strategy = procrastinate.RetryStrategy(max_attempts=retries, exponential_wait=RETRY_EXPONENT_S)
            # To procrastinate, "at most 0 retries" means no limit.
            retry = strategy if retries else False
            task = app.task(
                name=job.name, queue=QUEUE, lock=lock, queueing_lock=lock if job.cron else None, retry=retry
            )(self._guarded(job))
            if job.cron is not None:
                app.periodic(cron=job.cron)(task)
        return app

    def _guarded(self, job: Job) -> Callable[..., Awaitable[None]]:
        """The job's edge: bounded in time, its failure a signal, nothing of the failure's text kept."""

        async def run(**arguments: Any) -> None:
            arguments.pop("timestamp", None)
            given = {key: UUID(value) if isinstance(value, str) else value for key, value in arguments.items()}
            try:
                async with asyncio.timeout(job.timeout_s):
                    await job.run(**given)
            except RuxaError as error:
                code = error.code
            except TimeoutError:
                code = "timeout"
            except Exception as error:  # noqa: BLE001 - the edge for jobs (house 3.6)
                code = type(error).__name__
            else:
                return
            self._sink.emit("job.failed", "warning", job=job.name, code=code)
            raise Broken("A job failed.", code=code)

        return run

    async def _mend(self, app: procrastinate.App) -> None:
        """Tries again what a dead worker, or an outage at the wrong moment, left as running; forgets old failures."""
        forget_at = monotonic()
        longest_s = max((job.timeout_s for job in self._jobs.values()), default=0.0)
        while True:
            with contextlib.suppress(exceptions.ConnectorException):
                for job in await app.job_manager.get_stalled_jobs(seconds_since_heartbeat=STALLED_S):
                    await app.job_manager.retry_job(job)
                await app.connector.execute_query_async(_RETRY_LOST, seconds=longest_s + STALLED_S)
                if monotonic() >= forget_at:
                    forget_at = monotonic() + 3600
                    await app.job_manager.delete_old_jobs(
                        nb_hours=FAILED_KEPT_H, include_failed=True, include_cancelled=True, include_aborted=True
                    )
            await asyncio.sleep(_MEND_S)


class _Round:
    """A job that this process runs again and again; after a failure later and later, up to a minute."""

    def __init__(self, run: Callable[[], Awaitable[None]], every_s: float) -> None:
        self._run = run
        self._every_s = every_s
        self._busy = False
        self._ending = False
        self._task = asyncio.ensure_future(self._go_round())

    async def _go_round(self) -> None:
        pause_s = self._every_s
        while not self._ending:
            await asyncio.sleep(pause_s)
            self._busy = True
            try:
                await self._run()
            except Broken:
                pause_s = min(2 * pause_s, max(AGAIN_MAX_S, self._every_s))
            else:
                pause_s = self._every_s
            finally:
                self._busy = False

    async def end(self, grace_s: float) -> None:
        """What is at work may finish within so many seconds."""
        self._ending = True
        if self._busy:
            await asyncio.wait({self._task}, timeout=grace_s)
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


# A job cannot run longer than its bound: one that seems to has lost its worker's last word.
_RETRY_LOST: Final = """
    SELECT procrastinate_retry_job_v2(job.id, now(), NULL, NULL, NULL)
    FROM procrastinate_jobs job
    WHERE job.status = 'doing' AND now() - make_interval(secs => %(seconds)s) >
        (SELECT max(event.at) FROM procrastinate_events event WHERE event.job_id = job.id AND event.type = 'started')
"""


async def _configure(connection: psycopg.AsyncConnection[Any]) -> None:
    # What procrastinate does is one statement each time: no transaction has to be begun and ended around it.
    await connection.set_autocommit(True)
    # procrastinate names its tables without their schema.
    await connection.execute("SET search_path = jobs, pg_catalog, pg_temp")


async def _check(connection: psycopg.AsyncConnection[Any]) -> None:
    """Whether the server said goodbye is asked of the socket, not of the server."""
    if has_news(connection):
        await connection.close()
        raise psycopg.OperationalError


def _pool(**given: Any) -> psycopg_pool.AsyncConnectionPool[psycopg.AsyncConnection[Any]]:
    own: dict[str, Any] = {"check": _check}
    return psycopg_pool.AsyncConnectionPool(**{**given, **own})


class _Connector(procrastinate.PsycopgConnector):
    """procrastinate's, which sleeps until something is told."""

    async def _loop_notify(
        self,
        on_notification: Notify,
        connection: psycopg.AsyncConnection[Any],
        timeout: float = _ALIVE_S,  # noqa: ASYNC109 - procrastinate's name
    ) -> None:
        heard: list[psycopg.Notify] = []
        connection.add_notify_handler(heard.append)
        # Until the server is gone; then procrastinate connects anew.
        with contextlib.suppress(psycopg.OperationalError):
            # What was told while nobody heard is lost: look at once.
            await on_notification(channel="", payload='{"type": "job_inserted", "job_id": 0}')
            while True:
                if not await notify.arrived(connection, timeout):
                    await connection.execute("")
                while heard:
                    notice = heard.pop(0)
                    await on_notification(channel=notice.channel, payload=notice.payload)
