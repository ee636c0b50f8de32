"""Exchange: one call and all that happened to it; and Gear, what the stages of a call share in one worker.

An exchange is born when the door hands over a request, carries the outcome of every stage, and ends once: by a usage
row (known key) or by a refusal (unknown key). Nothing of it outlives the answer but that row.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

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


class Exchange(msgspec.Struct, eq=False):
    """One call. Times are monotonic seconds; ``id`` is the usage row's and the answer's ``x-request-id``."""

    # A struct, so that what most calls leave as it is costs no step of the interpreter.
    request: Request
    reply: Reply
    place: Place
    dialect: Dialect
    started: float
    id: int  # ``fresh_id``
    caller: Caller | None = None
    entry: Entry | None = None
    entered: bool = False  # counted in the key's limits
    envelope: Envelope | None = None
    habit: Habit | None = None
    target: Target | None = None
    rest: tuple[Target, ...] = ()  # what may stand in for the target, the best first
    call: Call | None = None  # in no dialect's words, once somebody asked for it
    continued: bool = False  # what it goes on from is inside
    crossing: Crossing | None = None  # to a target that speaks another dialect
    repeat: Wish | None = None  # what it wants of answers that are kept
    found: Found | None = None  # what the key's guard found, by kind
    notice: str = ""  # what the caller should know of the model's name
    reservation: Reservation | None = None
    patched: Patched | None = None
    head: bytes = b""
    hold: int = 0
    output_cap: int | None = None
    of_model: Limiter | None = None  # counted in the organisation's limits of the model
    expected: int = 0  # tokens counted against the key's limit at admission
    dropped: tuple[str, ...] = ()
    opened: bool = False  # the journal has its OPEN
    done: bool = False  # settled: the row is made, and written or about to be
    tokens: int = 0
    amount: int = 0
    waived: int = 0
    attempts: int = 0
    borne: bool = False  # the platform pays
    planned_at: float = 0.0
    first_byte_at: float = 0.0
    asked_at: float = 0.0
    # Set by ``meter.settle``, for ``meter.booked``.
    row: bytes = b""
    status: int = 0
    ended: float = 0.0
    latency_ms: int = 0
    failed: bool = False

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
