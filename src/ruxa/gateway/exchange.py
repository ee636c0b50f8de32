"""Exchange: one call and all that happened to it; and Gear, what the stages of a call share in one worker.

An exchange is born when the door hands over a request, carries the outcome of every stage, and ends once: by a usage
row (known key) or by a refusal (unknown key). Nothing of it outlives the answer but that row.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Protocol

from ruxa.dialects.call import Call
from ruxa.dialects.dialect import Dialect, Envelope, Patched, Place
from ruxa.dialects.translated import Crossing
from ruxa.egress.http import Deadlines
from ruxa.egress.timers import Wheel
from ruxa.gateway.copies import Copies
from ruxa.gateway.departures import Departures
from ruxa.gateway.door import Reply, Request
from ruxa.gateway.journal import Journal
from ruxa.gateway.metrics import Metrics
from ruxa.gateway.plan import Target
from ruxa.kernel.signals import Sink
from ruxa.ledger.leases import Leases, Purse, Reservation
from ruxa.ledger.quotes import Line

if TYPE_CHECKING:
    from ruxa.gateway.admit import Caller
    from ruxa.gateway.closed import Routes
    from ruxa.gateway.flusher import Flusher
    from ruxa.gateway.guard.filter import Found
    from ruxa.gateway.limits import Limiter
    from ruxa.gateway.once import Wish
    from ruxa.gateway.snapshot import Entry

_RANDOM_BYTES = 10
_DRAWN_AT_ONCE = 400
_VERSION, _VARIANT = 0x7 << 76, 0b10 << 62


class Spawn(Protocol):
    """Starts a coroutine that somebody watches."""

    def __call__(self, action: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """See the class."""
        ...


class Turn(Protocol):
    """Makes a call ready for another target."""

    async def __call__(self, exchange: Exchange, target: Target) -> None:
        """Hold what it can cost there, write it for it. Raises RuxaError when it can't go there."""
        ...


class Gear:
    """What every stage needs, made once per worker. after: told of a booked call that wants to be kept for repeats."""

    __slots__ = (
        "after",
        "copies",
        "deadlines",
        "departures",
        "flusher",
        "journal",
        "leases",
        "loop",
        "metrics",
        "routes",
        "sink",
        "spawn",
        "turn",
        "wheel",
    )

    def __init__(
        self,
        *,
        journal: Journal,
        leases: Leases,
        flusher: Flusher,
        metrics: Metrics,
        routes: Routes,
        wheel: Wheel,
        sink: Sink,
        spawn: Spawn,
        turn: Turn,
        after: Callable[[Exchange], None],
        deadlines: Deadlines,
        copies: Copies | None = None,
    ) -> None:
        self.journal = journal
        self.leases = leases
        self.flusher = flusher
        self.metrics = metrics
        self.routes = routes
        self.wheel = wheel
        self.sink = sink
        self.spawn = spawn
        self.turn = turn
        self.after = after
        self.deadlines = deadlines
        self.copies = copies
        self.departures = Departures()
        self.loop = asyncio.get_running_loop()


class Habit(Protocol):
    """What is known of calls like this one (``habit.Habit``)."""

    target: Target
    head: bytes
    payer: bytes
    columns: bytes
    line: Line
    beyond: int
    purse: Purse | None


class Exchange:
    """One call. Times are monotonic seconds; ``id`` is the usage row's and the answer's ``x-request-id``."""

    __slots__ = (
        "amount",
        "asked_at",
        "attempts",
        "borne",
        "call",
        "caller",
        "continued",
        "crossing",
        "dialect",
        "done",
        "dropped",
        "ended",
        "entered",
        "entry",
        "envelope",
        "expected",
        "failed",
        "first_byte_at",
        "found",
        "habit",
        "head",
        "hold",
        "id",
        "latency_ms",
        "notice",
        "of_model",
        "opened",
        "output_cap",
        "patched",
        "place",
        "planned_at",
        "repeat",
        "reply",
        "request",
        "reservation",
        "rest",
        "row",
        "started",
        "status",
        "target",
        "tokens",
        "waived",
    )

    # Set by ``meter.settle``, for ``meter.booked``.
    row: bytes
    status: int
    ended: float
    latency_ms: int
    failed: bool
    asked_at: float  # where somebody wants to know how long the target takes

    def __init__(
        self, request: Request, reply: Reply, place: Place, dialect: Dialect, now_ms: int, started: float
    ) -> None:
        self.request = request
        self.reply = reply
        self.place = place
        self.dialect = dialect
        self.started = started
        self.id = fresh_id(now_ms)
        self.caller: Caller | None = None
        self.entry: Entry | None = None
        self.entered = False  # counted in the key's limits
        self.envelope: Envelope | None = None
        self.habit: Habit | None = None
        self.target: Target | None = None
        self.rest: tuple[Target, ...] = ()  # what may stand in for the target, the best first
        self.call: Call | None = None  # in no dialect's words, once somebody asked for it
        self.continued = False  # what it goes on from is inside
        self.crossing: Crossing | None = None  # to a target that speaks another dialect
        self.repeat: Wish | None = None  # what it wants of answers that are kept
        self.found: Found | None = None  # what the key's guard found, by kind
        self.notice = ""  # what the caller should know of the model's name
        self.reservation: Reservation | None = None
        self.patched: Patched | None = None
        self.head = b""
        self.hold = 0
        self.output_cap: int | None = None
        self.of_model: Limiter | None = None  # counted in the organisation's limits of the model
        self.expected = 0  # tokens counted against the key's limit at admission
        self.dropped: tuple[str, ...] = ()
        self.opened = False  # the journal has its OPEN
        self.done = False  # settled: the row is made, and written or about to be
        self.tokens = 0
        self.amount = 0
        self.waived = 0
        self.attempts = 0
        self.borne = False  # the platform pays
        self.planned_at = 0.0
        self.first_byte_at = 0.0

    @property
    def request_id(self) -> str:
        """As the caller sees it."""
        return f"req_{self.id:032x}"

    @property
    def streams(self) -> bool:
        """The caller asked for a stream."""
        return self.envelope is not None and self.envelope.stream


_drawn: list[int] = []  # the random parts of the next ids, with version and variant


def _draw() -> None:
    """Random bytes of the system, for some hundred ids at a time."""
    random = os.urandom(_RANDOM_BYTES * _DRAWN_AT_ONCE)
    for at in range(0, len(random), _RANDOM_BYTES):
        part = int.from_bytes(random[at : at + _RANDOM_BYTES], "big")
        _drawn.append(_VERSION | (part >> 68 & 0xFFF) << 64 | _VARIANT | (part & 0x3FFF_FFFF_FFFF_FFFF))


def fresh_id(unix_ms: int) -> int:
    """The integer of a fresh UUIDv7 of that millisecond."""
    if not _drawn:
        _draw()
    return unix_ms << 80 | _drawn.pop()
