"""Pipeline: the life of a call from the door to its usage row, and everything a gateway worker keeps alive for it.

Stages in order: admit, limits, envelope, plan, reserve, attempt, relay, meter, journal, flush (ARCHITECTURE.md). A
call whose key is known and whose money is in hand runs through all of them without a task, a lock or a query; what
has to wait (first use of a key, a lease to open, a very large body) goes on in a task of its own.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

import msgspec

from ruxa.access import grants, provider_keys
from ruxa.access.grants import Grant, OwnKey
from ruxa.dialects import COUNTERS, DIALECTS, paths, references
from ruxa.dialects.dialect import Dialect, Envelope, Patched
from ruxa.dialects.openai_media.kept import KEPT
from ruxa.dialects.openai_responses.kept import KEPT as KEPT_RESPONSES
from ruxa.egress.fetch import Fetcher
from ruxa.egress.http import Deadlines, Pool, Upstream
from ruxa.egress.provider import Provider
from ruxa.egress.timers import Wheel
from ruxa.gateway import (
    admit,
    books,
    crossing,
    files,
    meter,
    metrics,
    models,
    once,
    order,
    repeated,
    reserve,
    responses,
    uploads,
)
from ruxa.gateway import answer as answers
from ruxa.gateway.admit import Caller
from ruxa.gateway.attempt import Attempt
from ruxa.gateway.batches import Runner
from ruxa.gateway.closed import Routes
from ruxa.gateway.copies import Copies, Keeper
from ruxa.gateway.crossing import Crossings
from ruxa.gateway.door import Reply, Request
from ruxa.gateway.exchange import Exchange, Gear, fresh_id
from ruxa.gateway.flusher import Flusher
from ruxa.gateway.habit import Habit
from ruxa.gateway.journal import SEGMENT_BYTES, Journal
from ruxa.gateway.marks import Marks
from ruxa.gateway.metrics import Metrics
from ruxa.gateway.owners import Owners
from ruxa.gateway.plan import Plans, Target, Wish, needs
from ruxa.gateway.pseudonyms import Pseudonyms
from ruxa.gateway.relayed import Console
from ruxa.gateway.repeated import Repeats
from ruxa.gateway.responses import Responses
from ruxa.gateway.shares import Shares
from ruxa.gateway.snapshot import Entry, Snapshot
from ruxa.kernel import bounds, codec
from ruxa.kernel.clock import Clock, monotonic
from ruxa.kernel.errors import Broken, InvalidCall, NotFound, RuxaError, Unauthenticated, Unavailable
from ruxa.kernel.sealed import Sealed
from ruxa.kernel.settings import Settings
from ruxa.kernel.signals import Sink
from ruxa.ledger import prices, routing, usage
from ruxa.ledger.leases import Intent, Leases, Works
from ruxa.privacy.files.batches import Batches

CALLER = "caller"  # in ``Request.known``
LARGE_BODY_BYTES = 1024 * 1024
# Who asks to moderate without a model, with a test key, which reaches nothing else.
SANDBOX_MODERATION = "sandbox/moderation"
PRICES_EVERY_S = 30
USED_EVERY_S = 60
LEARN_EVERY_S = 10
DRAIN_LEASES_S = 10.0

JSON_LINES = b"content-type: application/json\r\ncache-control: no-store\r\n"
# A member of a body that is ours: models that may stand in for the one it names.
FALLBACKS = "models"
_decode_names = msgspec.json.Decoder(list[str]).decode
# Where the errors of ``/api/v1`` are explained.
ERRORS_URL = "/docs/api#errors"


class Hub(Protocol):
    """Notices from other processes; ``store.notify.Notices`` is one."""

    def listen(self, channel: Any, callback: Callable[[str], None], on_gap: Callable[[], None] | None = None) -> None:
        """Call back for each notice of the channel."""
        ...


class Keys(Protocol):
    """What the gateway needs of the key store; ``store.vault.Vault`` is one."""

    def keyed_hash(self, label: str, value: bytes) -> bytes:
        """The keyed hash of a secret."""
        ...

    def keyed_hashes(self, label: str, value: bytes) -> list[bytes]:
        """The same under every living version of the pepper, newest first."""
        ...

    async def day_key(self, key_class: str, day: date) -> bytes:
        """A day's key of a class."""
        ...

    async def open(self, column: str, subject: UUID, row: UUID, sealed: bytes, *, purpose: str) -> Sealed[str]:
        """A sealed value, for a purpose: an organisation's own provider key."""
        ...

    async def pseudonym_key(self, provider: str, quarter: str) -> bytes:
        """The key of a provider's pseudonyms in a quarter."""
        ...


class Worker(msgspec.Struct, frozen=True, kw_only=True):
    """Which gateway worker this is: ``name`` of its journal, how many share the balances, where its files lie."""

    name: str
    workers: int
    journals: Path
    metrics: Path
    live: bool = False
    metrics_token: str | None = None


class Pipeline:
    """One per gateway worker; belongs to one event loop. ``await start()``, ``serve`` from the door, ``await drain()``.

    console: takes every request that is not the gateway's (None: 404); keeper: seals and writes the content of calls
    whose key stores it (None: nothing is stored); repeats: keeps answers for who asks the same again (None: nothing
    is kept, ``Idempotency-Key`` and ``ruxa-cache`` are not heeded); kept_responses: keeps responses to go on from.
    """

    def __init__(
        self,
        *,
        worker: Worker,
        settings: Settings,
        clock: Clock,
        sink: Sink,
        works: Works,
        keys: Keys,
        hub: Hub,
        providers: dict[str, Provider],
        pool: Pool,
        wheel: Wheel,
        console: Console | None = None,
        deadlines: Deadlines | None = None,
        segment_bytes: int = SEGMENT_BYTES,
        keeper: Keeper | None = None,
        repeats: Repeats | None = None,
        batches: Batches | None = None,
        kept_responses: Responses | None = None,
    ) -> None:
        self._worker = worker
        self._settings = settings
        self._clock = clock
        self._sink = sink
        self._works = works
        self._keys = keys
        self._hub = hub
        self._providers = providers
        self._pool = pool
        self._wheel = wheel
        self._console = console
        self._keeper = keeper
        self._repeats = repeats
        self._batches = batches
        self._responses = kept_responses
        self._runner: Runner | None = None
        self._deadlines = deadlines or Deadlines()
        self._segment_bytes = segment_bytes
        self._metrics = Metrics()
        self._tasks: set[asyncio.Task[None]] = set()
        self._database_up = True
        self._away_since = 0.0
        self._seq = 0
        self._stopping = False
        self._copies: Copies | None = None
        self._polled = asyncio.Event()
        self._connections: Callable[[], int] = lambda: 0
        self._snapshot = Snapshot(
            self._find_grant,
            lambda secret: keys.keyed_hash("api-key", secret),
            older=lambda secret: keys.keyed_hashes("api-key", secret)[1:],
            learn=Owners(self._open_own, providers).learn,
        )
        self._shelf = prices.Shelf()
        self._reading = asyncio.Lock()
        self._fetcher = Fetcher(pool)
        self._routes = Routes(works, self._polled.set)
        self._plans = Plans(providers, self._upstreams(), settings.models, lambda: self._leases.now_ms())
        self._own: dict[bytes, Callable[[Request, Reply], None]] = {
            b"/healthz": self._healthz,
            b"/readyz": self._readyz,
            b"/metrics": self._show_metrics,
        }

    def _upstreams(self) -> dict[str, Upstream]:
        found: dict[str, Upstream] = {}
        for name, provider in self._providers.items():
            self._pool.register.allow(provider.recipient, provider.origin.host, provider.origin.port)
            found[name] = self._pool.upstream(provider.origin)
        return found

    # --- start and stop

    async def start(self) -> None:
        """Recover what an earlier run left, then be ready for calls. Raises Unavailable when the database is away."""
        worker = self._worker
        async with self._works.work() as work:
            run = self._run = await usage.run_begin(work, worker.name)
        leases = self._leases = Leases(
            self._works,
            worker=worker.name,
            run=run,
            workers=worker.workers,
            clock=self._clock,
            signals=self._sink,
            intent=self._intend,
        )
        await leases.learn()
        journal = self._journal = Journal(
            worker.journals / worker.name,
            worker.name,
            run,
            day_key=self._usage_key,
            today=self._today,
            sink=self._sink,
            segment_bytes=self._segment_bytes,
        )
        journal.lock()
        ledger = books.LedgerBooks(self._works, worker.name, self._sink)
        await books.replay(journal.directory, ledger, day_key=self._usage_key, today=self._today(), sink=self._sink)
        await ledger.end_runs(but=run)
        await journal.start()
        self._flusher = Flusher(self._works, journal, leases, worker.name, run, sink=self._sink, metrics=self._metrics)
        if self._keeper is not None:
            self._copies = Copies(self._keeper, today=self._today, sink=self._sink, metrics=self._metrics)
        self._pseudonyms = Pseudonyms(self._keys.pseudonym_key, self._providers)
        await self._pseudonyms.turn(self._today())
        self._crossings = Crossings(self._pseudonyms, self._fetcher, Marks())
        self._gear = Gear(
            journal=journal,
            leases=leases,
            flusher=self._flusher,
            metrics=self._metrics,
            routes=self._routes,
            wheel=self._wheel,
            sink=self._sink,
            spawn=self._spawn,
            turn=self._turn,
            after=self._keep_for_repeats,
            deadlines=self._deadlines,
            copies=self._copies,
        )
        await self._read_prices()
        await self._read_changes()
        worker.metrics.mkdir(mode=0o700, parents=True, exist_ok=True)
        if worker.workers > 1:
            self._snapshot.shares = Shares(worker.metrics.parent / "limits", worker.name)
        self._hub.listen(grants.CHANNEL, self._snapshot.notice, self._polled.set)
        self._hub.listen("price_changed", lambda _: self._spawn(self._read_prices()) and None)
        self._hub.listen("lease_recall", leases.recall)
        self._wheel.start()
        for keep in (leases.run(), self._flusher.run(), self._poll(), self._tick()):
            self._spawn(keep)
        if self._copies is not None:
            self._spawn(self._copies.run())
        if self._batches is not None:
            self._runner = Runner(
                self._batches,
                name=f"{worker.name}:{run}",
                call=self.within,
                find=self._find_entry,
                now_ms=leases.now_ms,
                spawn=self._spawn,
            )
            self._spawn(self._runner.run())

    async def rest(self) -> None:
        """While the door drains: no further call of a batch is begun."""
        if self._runner is not None:
            await self._runner.stop()

    async def drain(self) -> None:
        """After the door has drained: write everything down, give the leases back, leave an empty directory."""
        self._stopping = True
        await self.rest()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if not hasattr(self, "_gear"):
            return
        self._gear.departures.close()
        await self._flusher.flush()
        if self._copies is not None:
            await self._copies.close()
        closed = await self._leases.drain(DRAIN_LEASES_S) if self._database_up else False
        await self._journal.stop()
        flushed = await self._flusher.flush()
        if closed and flushed:
            with suppress(RuxaError):
                async with self._works.work() as work:
                    await usage.run_end(work, self._worker.name, self._run)
        self._journal.unlock()
        (self._worker.metrics / f"{self._worker.name}.json").unlink(missing_ok=True)
        if self._snapshot.shares is not None:
            self._snapshot.shares.close()

    def count_connections(self, of: Callable[[], int]) -> None:
        """Where the number of open connections comes from (the door)."""
        self._connections = of

    def _intend(self, intent: Intent) -> None:
        self._journal.intent(books.encode_intent(intent))

    def _today(self) -> date:
        """The database's day, UTC (D19)."""
        return datetime.fromtimestamp(self._leases.now_ms() / 1000, UTC).date()

    async def _usage_key(self, day: date) -> bytes:
        return await self._keys.day_key("usage", day)

    async def _find_grant(self, hashed: bytes) -> Grant | None:
        async with self._works.work() as work:
            grant = await grants.find(work, hashed)
        await self._have_books(grant)
        return grant

    async def _have_books(self, grant: Grant | None) -> None:
        """Whose plan was made a moment ago may come before its prices do."""
        if grant is not None and not self._plans.knows(grant):
            await self._read_prices()

    async def _find_entry(self, key_id: UUID) -> Entry | None:
        """A key for calls that the house makes in its name; None when it is not valid any more."""
        async with self._works.work() as work:
            grant = await grants.of_key(work, key_id)
        await self._have_books(grant)
        return None if grant is None else self._snapshot.entry_of(b"", grant, await self._snapshot.owned(grant))

    async def _open_own(self, organisation_id: UUID, own: OwnKey) -> str:
        return await provider_keys.opened(self._keys, organisation_id, own)

    # --- the door's calls

    def serve(self, request: Request, reply: Reply) -> None:
        """One request. Answers now or later; raises only for a programmer's error."""
        caller: Caller | None = request.known.get(CALLER)
        if caller is None:
            self._serve_new(request, reply)
            return
        started = monotonic()
        exchange = Exchange(
            request, reply, caller.place, caller.dialect, started, fresh_id(self._leases.now_ms(started))
        )
        exchange.caller = caller
        entry = self._snapshot.again(caller.near)
        try:
            if entry is None:
                self._admit_unsure(exchange, caller.secret)
            else:
                self._admit(exchange, entry)
        except RuxaError as error:
            answers.fail(self._gear, exchange, error)
        except Exception:
            answers.fail(self._gear, exchange, Broken("Something broke on our side."))
            raise

    def _serve_new(self, request: Request, reply: Reply) -> None:
        """A request whose head says something new."""
        place = paths.locate(request.method, request.path, request.query, request.headers)
        if place is None or place.endpoint == "root":
            self._serve_other(request, reply)
            return
        exchange = Exchange(
            request, reply, place, DIALECTS[place.dialect], monotonic(), fresh_id(self._leases.now_ms())
        )
        try:
            if place.endpoint == "none":
                raise place.refusal or NotFound("There is nothing here.")
            if place.query and place.endpoint == "upload":
                key_id, _ = uploads.holder(self._keys, place.query["upload_id"])
                self._spawn(self._guarded(exchange, self._upload_on(exchange, key_id)))
                return
            caller = exchange.caller = Caller(request, place, self._snapshot.near)
            request.known[CALLER] = caller
            self._admit_unsure(exchange, caller.secret)
        except RuxaError as error:
            answers.fail(self._gear, exchange, error)
        except Exception:
            answers.fail(self._gear, exchange, Broken("Something broke on our side."))
            raise

    def within(self, request: Request, reply: Reply, entry: Entry, call: int, *, borne: bool) -> None:
        """A call that the house makes in a key's name, as if it came through the door. call: its id; borne: the
        platform pays for it."""
        place = paths.locate(request.method, request.path, request.query, request.headers)
        assert place is not None
        exchange = Exchange(request, reply, place, DIALECTS[place.dialect], monotonic(), call)
        exchange.borne = borne
        try:
            exchange.caller = Caller(request, place, self._snapshot.near, b"")
            self._admit(exchange, entry)
        except RuxaError as error:
            answers.fail(self._gear, exchange, error)
        except Exception:
            answers.fail(self._gear, exchange, Broken("Something broke on our side."))
            raise

    def _admit_unsure(self, exchange: Exchange, secret: bytes) -> None:
        entry = self._snapshot.known(secret)
        if entry is None:
            self._spawn(self._guarded(exchange, self._admit_slowly(exchange, secret)))
        else:
            self._admit(exchange, entry)

    def screen(self, request: Request) -> int:
        """Before a large body is read: refuse an unknown path or a key that is certainly wrong; the body's bound."""
        place = paths.locate(request.method, request.path, request.query, request.headers)
        if place is not None and place.endpoint != "root":
            if place.refusal is not None:
                raise place.refusal
            if place.query and place.endpoint == "upload":
                uploads.holder(self._keys, place.query["upload_id"])
            else:
                self._snapshot.known(admit.secret_of(request))
            admit.refuse_coding(request)
        return self._settings.body_bytes_max

    def render(self, error: RuxaError, request: Request | None) -> tuple[int, bytes, bytes]:
        """An error for the door: in the dialect of the path, else in the shape of ``/api/v1``."""
        request_id = f"req_{fresh_id(self._clock.unix_ms()):032x}"
        dialect: Dialect | None = None
        if request is not None:
            place = paths.locate(request.method, request.path, request.query, request.headers)
            if place is not None and place.endpoint != "root":
                dialect = DIALECTS[place.dialect]
        if dialect is not None:
            rendered = dialect.error(error, request_id)
            return rendered.status, rendered.headers, rendered.body
        return plain_error(error, request_id)

    # --- stages that don't wait

    def _admit(self, exchange: Exchange, entry: Entry) -> None:
        exchange.entry = entry
        place = exchange.place
        admit.admit(entry, place.endpoint, exchange.id >> 80, exchange.started)
        exchange.entered = True
        self._metrics.in_flight += 1
        if place.endpoint in ("models", "model"):
            models.answer(exchange, self._plans)
            entry.limiter.leave(0, 0)
            self._metrics.in_flight -= 1
        elif place.endpoint in KEPT:
            self._spawn(self._guarded(exchange, self._serve_kept(exchange, entry)))
        elif place.endpoint in KEPT_RESPONSES:
            self._spawn(self._guarded(exchange, self._serve_response(exchange, entry)))
        elif len(exchange.request.body) > LARGE_BODY_BYTES:
            self._spawn(self._guarded(exchange, self._call_slowly(exchange)))
        else:
            self._call(exchange)

    def _call(self, exchange: Exchange) -> None:
        """Envelope, plan, limits of tokens, reserve; then send, or wait for money first."""
        place, dialect, entry = exchange.place, exchange.dialect, exchange.entry
        assert entry is not None
        assert exchange.caller is not None
        if exchange.caller.coded:
            admit.refuse_coding(exchange.request)
        body = exchange.request.body
        envelope = entry.shapes.read(place, body) if exchange.caller.plain and entry.guard is None else None
        if envelope is not None and envelope.shape is not None:
            habit: Habit | None = envelope.shape.kept
            if habit is None or habit.plans is not self._plans.version:
                target = self._plans.single(envelope.model, dialect, entry.grant, entry.own)
                habit = None if target is None else Habit(envelope, dialect, entry, self._plans, target)
                envelope.shape.kept = habit
            if habit is not None:
                exchange.envelope = envelope
                exchange.habit = habit
                exchange.target = habit.target
                self._hold(exchange, envelope)
                return
        self._plan(exchange)

    def _plan(self, exchange: Exchange) -> None:
        """The long way to the target and those that may stand in for it; what has to be fetched first is waited for."""
        place, dialect, entry, caller = exchange.place, exchange.dialect, exchange.entry, exchange.caller
        assert entry is not None
        assert caller is not None
        envelope = exchange.envelope = dialect.read(place, exchange.request.body)
        if place.endpoint == "moderations" and not entry.grant.livemode and "model" not in envelope.members:
            envelope.model = SANDBOX_MODERATION
        if envelope.claims and (named := references.named(envelope)):
            self._spawn(self._guarded(exchange, self._expand_and_plan(exchange, named)))
            return
        if place.endpoint == "responses" and not exchange.continued and (previous := responses.previous(envelope)):
            self._spawn(self._guarded(exchange, self._continue_and_plan(exchange, previous)))
            return
        chosen = self._plans.choose(self._wish(exchange, envelope), entry.grant, entry.own)
        target = exchange.target = chosen.targets[0]
        exchange.rest = chosen.targets[1:]
        exchange.notice = chosen.notice
        if crossing.relayed(exchange, target):
            dialect.refuse(envelope, target.provider.terms)
            if dialect.shaping is not None and not exchange.rest and caller.plain:
                entry.shapes.learn(envelope, dialect.shaping)
        else:
            self._crossings.read(exchange)
            self._crossings.refuse(exchange, target)
            if crossing.estimates(exchange, target):
                self._estimate(exchange, envelope)
                return
            if self._crossings.unshown(exchange, target):
                self._spawn(self._guarded(exchange, self._fetch_and_hold(exchange, envelope, target)))
                return
        self._hold(exchange, envelope)

    def _wish(self, exchange: Exchange, envelope: Envelope) -> Wish:
        entry, caller, endpoint = exchange.entry, exchange.caller, exchange.place.endpoint
        assert entry is not None
        assert caller is not None
        grant = entry.grant
        names = envelope.model, *caller.models, *fallbacks(envelope)
        if len(names) > 1 + bounds.FALLBACK_MODELS_MAX:
            raise InvalidCall(f"At most {bounds.FALLBACK_MODELS_MAX} models stand in for one.", param="models")
        return Wish(
            names=tuple(dict.fromkeys(names)),
            needs=lambda: needs(envelope),
            dialect=exchange.dialect,
            endpoint=endpoint,
            conditions=(*grant.conditions, *caller.conditions),
            guarded=entry.guard is not None,
            prefix=lambda: order.prefix(envelope, grant.key_id),
            worst=lambda price: reserve.most(endpoint, price, envelope.load, grant.output_tokens_default),
        )

    def _hold(self, exchange: Exchange, envelope: Envelope) -> None:
        """Limits of tokens, money; then send, or wait for money first."""
        entry = exchange.entry
        assert entry is not None
        if entry.by_model is not None:
            meter.enter_model(exchange, entry.by_model, meter.expected_tokens(envelope.load))
        elif entry.limiter.tokens is not None:
            exchange.expected = entry.limiter.expect(meter.expected_tokens(envelope.load), exchange.started)
        caller = exchange.caller
        if caller is not None and (caller.repeats or entry.grant.habits.cache_s) and self._repeats is not None:
            request, grant = exchange.request, entry.grant
            wish = once.Wish(exchange.place, request.headers, request.body, grant.guard, grant.habits.cache_s)
            exchange.repeat = wish if wish.name or wish.age_s else None
        if not reserve.draw(self._gear, exchange):
            self._spawn(self._guarded(exchange, self._borrow_and_send(exchange)))
        elif exchange.repeat is not None:
            self._spawn(self._guarded(exchange, self._look_and_send(exchange)))
        else:
            self._send(exchange)

    def _estimate(self, exchange: Exchange, envelope: Envelope) -> None:
        """A count of tokens for a model whose provider has none to give: an estimate, which says that it is one."""
        if answers.asks(exchange, answers.STRICT):
            raise InvalidCall(
                f"{envelope.model} has no exact count of tokens, only an estimate.", code="lossy", param="exact_count"
            )
        exchange.dropped = ("exact_count",)
        body = COUNTERS[exchange.place.dialect].write_counted(meter.expected_tokens(envelope.load))
        meter.settle(self._gear, exchange, 200)
        exchange.reply.send(200, answers.head(exchange, exchange.dialect.content_type, False), body)

    def _send(self, exchange: Exchange) -> None:
        """Write, OPEN, go."""
        gear, entry = self._gear, exchange.entry
        assert entry is not None
        self._write(exchange)
        reservation = exchange.reservation
        if reservation is not None:
            gear.journal.open(exchange.id, reservation.lease.raw, reservation.hold)
            exchange.opened = True
        exchange.planned_at = monotonic()
        if entry.grant.store_days and gear.copies is not None:
            exchange.reply.copy = gear.copies.begin(exchange.id, entry.grant, exchange.request, exchange.reply)
        if exchange.place.endpoint == "responses" and self._responses is not None:
            responses.watch(gear, exchange, self._responses)
        if exchange.repeat is not None:
            exchange.reply.copy = exchange.repeat.recording = once.Recording(exchange.reply.copy)
        Attempt(gear, exchange).send()

    def _write(self, exchange: Exchange) -> None:
        """What goes to the target: the caller's own body, patched, or a translation of it."""
        request, caller = exchange.request, exchange.caller
        envelope, target, entry = exchange.envelope, exchange.target, exchange.entry
        assert caller is not None
        assert envelope is not None
        assert target is not None
        assert entry is not None
        if exchange.habit is None and not crossing.relayed(exchange, target):
            self._crossings.write(exchange, target, strict=answers.asks(exchange, answers.STRICT))
            return
        exchange.crossing = None
        terms = target.provider.terms
        if envelope.shape is not None and exchange.output_cap is None:
            patched = envelope.shape.patch(envelope, target.upstream_model, terms)
        else:
            patched = self._patched(exchange, envelope, target)
        exchange.patched = patched
        if terms is not caller.terms:
            caller.forward(request, terms)
        forwarded = caller.forwarded
        dropped = patched.dropped + forwarded.dropped
        if FALLBACKS in dropped:
            dropped = tuple(name for name in dropped if name != FALLBACKS)  # it was for us, and is heeded
        exchange.dropped = dropped
        if dropped and answers.asks(exchange, answers.STRICT):
            raise InvalidCall(
                f"This can't be carried to {target.model}: {', '.join(name[:100] for name in dropped[:12])}.",
                code="lossy",
                param=dropped[0][:100],
            )
        habit = exchange.habit
        head = target.head(exchange.dialect, exchange.place) if habit is None else habit.head
        exchange.head = head + forwarded.lines if forwarded.lines else head
        if patched.content_type:
            exchange.head += b"content-type: %b\r\n" % patched.content_type

    def _patched(self, exchange: Exchange, envelope: Envelope, target: Target) -> Patched:
        assert exchange.entry is not None
        provider, organisation_ref = target.provider, exchange.entry.grant.organisation_ref
        return exchange.dialect.patch(
            envelope,
            upstream_model=target.upstream_model,
            pseudonym=self._pseudonyms.of(provider.name, organisation_ref) if envelope.identities else _nobody,
            terms=provider.terms,
            output_cap=exchange.output_cap,
        )

    # --- stages that wait

    async def _expand_and_plan(self, exchange: Exchange, named: Sequence[str]) -> None:
        """A call that names files kept here gets them inside."""
        if self._batches is None:
            raise InvalidCall("Files are not kept here.", code="file_not_found", param="file_id")
        exchange.request.body = await files.expanded(exchange, self._batches, named)
        if not exchange.reply.gone:
            self._plan(exchange)

    async def _continue_and_plan(self, exchange: Exchange, previous: str) -> None:
        """A call that goes on from a response kept here gets it inside."""
        exchange.request.body = await responses.expand(exchange, self._responses, previous)
        exchange.continued = True
        if not exchange.reply.gone:
            self._plan(exchange)

    async def _serve_response(self, exchange: Exchange, entry: Entry) -> None:
        """Responses that are kept here: no provider is asked."""
        await responses.serve(exchange, self._responses)
        entry.limiter.leave(0, 0)
        self._metrics.in_flight -= 1

    async def _serve_kept(self, exchange: Exchange, entry: Entry) -> None:
        """Files and batches: kept here, so no provider is asked."""
        if self._batches is None or self._runner is None:
            raise NotFound("Files are not kept here.", code="unknown_url")
        await files.serve(exchange, self._batches, self._runner.wake, self._keys, self._settings.public_url)
        entry.limiter.leave(0, 0)
        self._metrics.in_flight -= 1

    async def _admit_slowly(self, exchange: Exchange, secret: bytes) -> None:
        entry = await self._snapshot.look_up(secret)
        if not exchange.reply.gone:
            self._admit(exchange, entry)

    async def _upload_on(self, exchange: Exchange, key_id: UUID) -> None:
        """An upload goes on at the address that its beginning was given, without a key."""
        entry = await self._find_entry(key_id)
        if entry is None:
            raise uploads.gone()
        exchange.caller = Caller(exchange.request, exchange.place, self._snapshot.near, b"")
        if not exchange.reply.gone:
            self._admit(exchange, entry)

    async def _call_slowly(self, exchange: Exchange) -> None:
        await asyncio.sleep(0)
        self._call(exchange)

    async def _fetch_and_hold(self, exchange: Exchange, envelope: Envelope, target: Target) -> None:
        await self._crossings.fetch(exchange, self._crossings.unshown(exchange, target))
        if exchange.reply.gone:
            meter.settle_unmade(self._gear, exchange)
        else:
            self._hold(exchange, envelope)

    async def _turn(self, exchange: Exchange, target: Target) -> None:
        """See ``exchange.Turn``."""
        envelope, before = exchange.envelope, exchange.target
        assert envelope is not None
        exchange.target = target
        try:
            if crossing.relayed(exchange, target):
                exchange.dialect.refuse(envelope, target.provider.terms)
            else:
                self._crossings.read(exchange)
                self._crossings.refuse(exchange, target)
                unshown = self._crossings.unshown(exchange, target)
                if unshown:
                    await self._crossings.fetch(exchange, unshown)
            await reserve.requote(self._gear, exchange)
            self._write(exchange)
        except RuxaError:
            exchange.target = before
            raise

    async def _borrow_and_send(self, exchange: Exchange) -> None:
        await reserve.borrow(self._gear, exchange)
        if exchange.reply.gone:
            meter.settle_unmade(self._gear, exchange)
        elif exchange.repeat is not None:
            await self._look_and_send(exchange)
        else:
            self._send(exchange)

    async def _look_and_send(self, exchange: Exchange) -> None:
        """Answer with what is kept of the same call, or make it."""
        wish, repeats = exchange.repeat, self._repeats
        assert wish is not None
        assert repeats is not None
        if await repeated.look(self._gear, exchange, repeats, wish):
            return
        if exchange.reply.gone:
            meter.settle_unmade(self._gear, exchange)
        else:
            self._send(exchange)

    def _keep_for_repeats(self, exchange: Exchange) -> None:
        wish, repeats = exchange.repeat, self._repeats
        if wish is not None and repeats is not None:
            self._spawn(repeated.settled(self._gear, exchange, repeats, wish))

    async def _guarded(self, exchange: Exchange, stage: Coroutine[Any, Any, None]) -> None:
        try:
            await stage
        except RuxaError as error:
            answers.fail(self._gear, exchange, error)
        except asyncio.CancelledError:
            answers.fail(self._gear, exchange, Unavailable("This process is stopping; try again.", code="stopping"))
            raise
        except Exception:
            answers.fail(self._gear, exchange, Broken("Something broke on our side."))
            raise

    def _spawn(self, action: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(action)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (fault := task.exception()) is not None and not isinstance(fault, RuxaError):
            frame = fault.__traceback__
            where = "pipeline"
            while frame is not None:
                where = f"{Path(frame.tb_frame.f_code.co_filename).name}:{frame.tb_lineno}"
                frame = frame.tb_next
            self._sink.emit("broken", "error", where=where, error=type(fault).__name__)

    # --- what keeps the worker up to date

    async def _poll(self) -> None:
        """Every 2 s, and at once after a gap in the notices: which keys changed, is the database there."""
        prices_at = used_at = learnt_at = monotonic()
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(bounds.REVOKED_WITHIN_S * 0.75):
                    await self._polled.wait()
            self._polled.clear()
            now = monotonic()
            try:
                await self._read_changes()
                await self._routes.flush()
                self._snapshot.turn(self._leases.now_ms())
                if now - prices_at >= PRICES_EVERY_S:
                    prices_at = now
                    await self._read_prices()
                if now - learnt_at >= LEARN_EVERY_S:
                    learnt_at = now
                    await self._leases.learn()
                await self._pseudonyms.turn(self._today())
                if now - used_at >= USED_EVERY_S:
                    used_at = now
                    await self._note_used()
            except Unavailable as fault:
                self._seem_away(fault)
            else:
                self._seem_back()

    async def _read_changes(self) -> None:
        async with self._works.work() as work:
            self._seq, changed = await grants.revoked_since(work, self._seq)
        for key_id in changed:
            self._snapshot.forget(key_id)

    async def _read_prices(self) -> None:
        async with self._reading:
            async with self._works.work() as work:
                await self._shelf.refresh(work)
                closed = await self._routes.read(work)
                routes = await routing.current(work)
            self._plans.update(self._shelf.books, closed, routes, self._shelf.beyond)

    async def _note_used(self) -> None:
        self._snapshot.tidy()
        used = self._snapshot.take_used()
        if used:
            async with self._works.work() as work:
                await grants.mark_used(work, used)

    def _seem_away(self, fault: Unavailable) -> None:
        if self._database_up:
            self._database_up, self._away_since = False, monotonic()
            self._sink.emit("database.away", "error", code=fault.code)

    def _seem_back(self) -> None:
        if not self._database_up:
            self._database_up = True
            self._sink.emit("database.back", away_ms=int((monotonic() - self._away_since) * 1000))

    async def _tick(self) -> None:
        """Every second: the counters' file, which at first is the last run's, and the journal's housekeeping."""
        written: metrics.Counted | None = None
        while True:
            counted = self._counted()
            if counted != written:
                with suppress(OSError):
                    metrics.write(self._worker.metrics, self._worker.name, counted)
                    written = counted
            await asyncio.sleep(1)
            self._journal.tick()
            self._snapshot.share()

    def _counted(self) -> metrics.Counted:
        self._metrics.put("rows_waiting", len(self._flusher))
        self._metrics.put("connections", self._connections())
        self._metrics.put("database_up", int(self._database_up))
        self._metrics.put("left_reading", len(self._gear.departures))
        self._metrics.put("routes_closed", self._plans.closed_routes())
        self._metrics.put("breakers_open", self._plans.open_breakers())
        return self._metrics.snapshot()

    # --- paths that are not calls

    def _serve_other(self, request: Request, reply: Reply) -> None:
        own = self._own.get(request.path)
        if own is not None:
            if request.method in (b"GET", b"HEAD"):
                own(request, reply)
            else:
                reply.send(*only_reads(f"req_{fresh_id(self._clock.unix_ms()):032x}"))
        elif request.path == b"/api/v1/models" and request.method in (b"GET", b"HEAD"):
            self._spawn(self._list_models(request, reply))
        elif self._console is not None:
            self._console(request, reply)
        elif request.path == b"/":
            reply.send(200, JSON_LINES, b'{"name":"ruxa"}\n')
        else:
            raise NotFound("There is nothing at this path.", code="unknown_path")

    async def _list_models(self, request: Request, reply: Reply) -> None:
        try:
            secret = admit.secret_of(request)
            entry = self._snapshot.known(secret) or await self._snapshot.look_up(secret)
            admit.refuse_expired(entry.grant, self._leases.now_ms())
        except RuxaError as error:
            reply.fail(error)
            return
        grant, own = entry.grant, entry.own
        reply.send(200, JSON_LINES, models.plain(self._plans.usable(grant, own), self._plans.routes(grant, own)))

    def _healthz(self, request: Request, reply: Reply) -> None:
        reply.send(200, JSON_LINES, b'{"alive":true}\n')

    def _readyz(self, request: Request, reply: Reply) -> None:
        checks = {
            "database": self._database_up,
            "journal": self._journal.ready() and not self._flusher.full(),
            "accepting": not self._stopping,
        }
        if self._console is None:
            _tell_ready(reply, checks)
        else:
            self._spawn(self._ready_with_pages(reply, checks, self._console))

    async def _ready_with_pages(self, reply: Reply, checks: dict[str, bool], console: Console) -> None:
        _tell_ready(reply, {**checks, "console": await console.answers()})

    def _show_metrics(self, request: Request, reply: Reply) -> None:
        if not self._may_see_metrics(request):
            raise Unauthenticated("The metrics need their token (setting metrics_token).", code="metrics_token")
        others = metrics.read_others(self._worker.metrics, self._worker.name)
        body = metrics.render([self._counted(), *others])
        reply.send(200, b"content-type: text/plain; version=0.0.4; charset=utf-8\r\ncache-control: no-store\r\n", body)

    def _may_see_metrics(self, request: Request) -> bool:
        token = self._worker.metrics_token
        said = request.headers.get(b"authorization", b"")
        if token is not None and hmac.compare_digest(said, b"Bearer " + token.encode()):
            return True
        if self._worker.live:
            return False
        try:
            return ip_address(request.peer).is_loopback
        except ValueError:
            return False


def _tell_ready(reply: Reply, checks: dict[str, bool]) -> None:
    ready = all(checks.values())
    reply.send(200 if ready else 503, JSON_LINES, codec.encode({"ready": ready, "checks": checks}) + b"\n")


def fallbacks(envelope: Envelope) -> list[str]:
    """The body's ``models``: what may stand in for its model. Raises InvalidCall."""
    raw = envelope.members.get(FALLBACKS)
    if raw is None or FALLBACKS not in envelope.unknown:
        return []
    try:
        return [name for name in _decode_names(raw) if name]
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise InvalidCall("models is a list of model names.", code="invalid_type", param=FALLBACKS) from None


def _nobody(identity: str) -> str:
    raise AssertionError("an identity that the envelope did not name")


def plain_error(error: RuxaError, request_id: str) -> tuple[int, bytes, bytes]:
    """Status, header block and body of an error in the shape of ``/api/v1``."""
    lines = JSON_LINES + b"x-request-id: %b\r\n" % request_id.encode()
    if error.retry_after_s is not None:
        lines += b"retry-after: %d\r\n" % error.retry_after_s
    body = codec.encode(
        {
            "code": error.status,
            "message": error.public,
            "data": None,
            "error": {"type": error.code, "param": error.param, "docUrl": ERRORS_URL},
            "requestId": request_id,
        }
    )
    return error.status, lines, body


def only_reads(request_id: str) -> tuple[int, bytes, bytes]:
    """The 405 of a path that is only read, in the shape of ``/api/v1``."""
    error = InvalidCall("Only GET and HEAD are understood here.", code="method_not_allowed")
    error.status = 405
    status, lines, body = plain_error(error, request_id)
    return status, lines + b"allow: GET, HEAD\r\n", body
