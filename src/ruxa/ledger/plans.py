"""Plans: price books that follow from the list by margins, and which organisation has which, from when to when.

A margin is a share of the list's rates in basis points: 10000 is the list's own rate, 12000 is a fifth more, None
leaves the models out of the book. The most exact pattern decides (a whole name, then the longest before ``*``), then a
class by its name before ``*``. A model of which some class has no share is not in the book: refused, never free.

Rounding: a rate is rounded half up to the micro per million units (``scaled``), once, when it is written down; a charge
is rounded up once a call, from those rates (``prices.charge``). A rate above zero is never rounded to zero.

``own:<plan>`` is the book of calls on an organisation's own provider keys: there a share is the platform's fee, a part
of what the list says; it is free until a fee is set.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Literal, get_args
from uuid import UUID

import msgspec

from ruxa.kernel import ids
from ruxa.kernel.errors import Conflict, InvalidCall, NotFound
from ruxa.ledger import prices, records
from ruxa.ledger.prices import LIST, OWN, Price, Rates
from ruxa.store.work import Work

Class = Literal["*", "input", "cache", "output", "reasoning", "audio", "image"]
CLASSES: tuple[Class, ...] = get_args(Class)
WHOLE = 10_000  # basis points: the list's own rate
SHARE_MAX = 1_000_000
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}\Z")
_PATTERN = re.compile(r"[^\s*]*\*?\Z")
PATTERN_CHARS_MAX = 200

# Which class's share each rate has.
_OF: Mapping[str, Class] = {
    "input_micros": "input",
    "output_micros": "output",
    "cache_read_micros": "cache",
    "cache_write_5m_micros": "cache",
    "cache_write_1h_micros": "cache",
    "reasoning_micros": "reasoning",
    "audio_input_micros": "audio",
    "audio_output_micros": "audio",
    "image_micros": "image",
    "long_input_micros": "input",
    "long_output_micros": "output",
    "long_cache_read_micros": "cache",
    "long_cache_write_5m_micros": "cache",
    "long_cache_write_1h_micros": "cache",
    "long_reasoning_micros": "reasoning",
}


class Margin(msgspec.Struct, frozen=True, kw_only=True):
    """One rule of a book. share: of the list, in basis points; None leaves the models out. since, until: its period."""

    pattern: str
    usage_class: Class
    share: int | None
    since: datetime
    until: datetime | None = None

    @property
    def percent(self) -> str:
        """The share over or under the list as people read it: ``+20%``, ``-12.5%``, or ``left out``."""
        if self.share is None:
            return "left out"
        return ("-" if self.share < WHOLE else "+") + _hundredths(abs(self.share - WHOLE))

    @property
    def fee(self) -> str:
        """The share as a part of the list: ``5%``."""
        return "left out" if self.share is None else _hundredths(self.share)


class Assigned(msgspec.Struct, frozen=True, kw_only=True):
    """An organisation's plan in a period."""

    book: str
    since: datetime
    until: datetime | None = None


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """One plan. beyond_list: what it does not name costs what the list says; organisations: how many have it now."""

    name: str
    beyond_list: bool
    organisations: int


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """What one model brought in and cost in a month, for one organisation and book, in micros.

    waived: what the platform bore; cost: at the list's rates, which is what providers charge; nothing for calls on the
    organisation's own keys. organisation_ref: None for calls that nobody was charged for, once their rows are gone:
    then they are everybody's together, at the list's price.
    """

    organisation_ref: UUID | None
    month: date
    book: str
    model: str
    scope: str
    calls: int
    amount_micros: int
    waived_micros: int
    cost_micros: int

    @property
    def margin_micros(self) -> int:
        """What is left of the amount; below zero where it does not cover the cost."""
        return self.amount_micros - self.cost_micros


def scaled(rate: int, share: int) -> int:
    """A rate of the list at a share of it in basis points: half up, and never nothing for something."""
    return max((rate * share + WHOLE // 2) // WHOLE, 1) if rate and share else 0


def follows(rates: Rates, shares: Mapping[Class, int]) -> Rates:
    """The rates of a book, from the list's and the share of each class (``*``: of those not named)."""
    every = shares.get("*", 0)
    changed = {name: scaled(getattr(rates, name), shares.get(of, every)) for name, of in _OF.items()}
    return msgspec.structs.replace(rates, **changed)


def share_of(margins: Iterable[Margin], model: str, usage_class: Class) -> int | None:
    """What decides of a model's class among the margins of one moment: the share, None when it is not in the book."""
    found = [
        one
        for one in margins
        if one.usage_class in (usage_class, "*")
        and (model.startswith(one.pattern[:-1]) if one.pattern.endswith("*") else model == one.pattern)
    ]
    if not found:
        return None
    return min(found, key=lambda one: (one.pattern.endswith("*"), -len(one.pattern), one.usage_class == "*")).share


async def create(work: Work, name: str, *, beyond_list: bool = False) -> None:
    """A plan without margins: it has no model yet, unless ``beyond_list``. Raises InvalidCall, Conflict
    ``plan_exists``."""
    if not _NAME.match(name) or name == LIST:
        raise InvalidCall(
            "A plan's name has up to 40 small letters, digits and dashes, and is not list.",
            code="bad_plan",
            param="name",
        )
    if not await work.value(records.BOOK_CREATE, name, beyond_list):
        raise Conflict(f"There is a plan {name} already.", code="plan_exists")


async def priced(work: Work, plan: str) -> dict[str, Price]:
    """What an organisation with a plan pays now, by public name: what the plan says, and beyond it the list where the
    plan says so."""
    named = await prices.current(work, plan)
    beyond = plan != LIST and (plan, True) in await work.rows(records.BOOKS)
    return {**(await prices.current(work)), **named} if beyond else named


async def listed(work: Work) -> list[Plan]:
    """Every plan by name, the list among them; not the books of own provider keys."""
    counts = dict(await work.rows(records.PLAN_COUNTS))
    return [
        Plan(name=name, beyond_list=beyond, organisations=counts.get(name, 0))
        for name, beyond in await work.rows(records.BOOKS)
        if not name.startswith(OWN)
    ]


async def margins(work: Work, book: str) -> list[Margin]:
    """The rules of a book that are in force or to come. Raises NotFound ``no_such_plan``."""
    await refuse_unknown(work, book)
    return [
        Margin(pattern=row[0], usage_class=row[1], share=row[2], since=row[3], until=row[4])
        for row in await work.rows(records.MARGINS_NOW, book)
    ]


async def put(
    work: Work,
    book: str,
    share: int | None,
    *,
    pattern: str = "*",
    usage_class: Class = "*",
    starts: datetime | None = None,
) -> UUID:
    """A rule of a book from ``starts`` (default: now) on; the row in force. Its prices are written down at once.

    Raises InvalidCall, NotFound ``no_such_plan``, Conflict ``RX041`` for a past start.
    """
    _refuse_pattern(pattern)
    if share is not None and not 0 <= share <= SHARE_MAX:
        raise InvalidCall(f"A share lies between 0 and {SHARE_MAX} basis points.", code="bad_plan", param="share")
    if share is None and usage_class != "*":
        raise InvalidCall("A model is left out as a whole, not one class of it.", code="bad_plan", param="class")
    await refuse_unknown(work, book)
    found: UUID = await work.value(records.MARGIN_PUT, ids.fresh(), book, pattern, usage_class, share, starts)
    return found


async def end(
    work: Work, book: str, *, pattern: str, usage_class: Class = "*", at: datetime | None = None
) -> UUID | None:
    """A rule of a book holds no longer; its row, None when there was none. Raises as ``put``."""
    _refuse_pattern(pattern)
    await refuse_unknown(work, book)
    found: UUID | None = await work.value(records.MARGIN_END, book, pattern, usage_class, at)
    return found


async def of(work: Work, organisation_ref: UUID) -> str:
    """The plan that an organisation has now; ``list`` without one."""
    row = await work.row(records.PLAN_OF, organisation_ref)
    return LIST if row is None else row[0]


async def history(work: Work, organisation_ref: UUID) -> list[Assigned]:
    """Which plans an organisation has had and will have, newest first."""
    return [Assigned(book=row[0], since=row[1], until=row[2]) for row in await work.rows(
        records.PLAN_HISTORY, organisation_ref
    )]  # fmt: skip


async def assign(work: Work, organisation_ref: UUID, plan: str, *, starts: datetime | None = None) -> UUID:
    """An organisation's plan from ``starts`` (default: now) on; ``list`` is the list again. The row in force.

    Calls that are under way keep the price they were admitted at. Raises NotFound ``no_such_plan``, Conflict ``RX041``
    for a past start.
    """
    await refuse_unknown(work, plan)
    found: UUID = await work.value(records.PLAN_ASSIGN, ids.fresh(), organisation_ref, plan, starts)
    return found


async def own_book(work: Work, plan: str) -> str:
    """The book of calls on own provider keys beside a plan, made free of charge when there is none yet."""
    found: str = await work.value(records.OWN_BOOK, plan)
    return found


async def report(work: Work, since: date, until: date, organisation_ref: UUID | None = None) -> list[Line]:
    """What came in and what it cost, by month, organisation, book and model; from the day ``since`` to before
    ``until``. Months of which the calls are gone (83 days) are there as a whole."""
    return [
        Line(
            organisation_ref=row[0],
            month=row[1],
            book=row[2],
            model=row[3],
            scope=row[4],
            calls=row[5],
            amount_micros=row[6],
            waived_micros=row[7],
            cost_micros=row[8],
        )
        for row in await work.rows(records.MARGIN_REPORT, since, until, organisation_ref)
    ]


async def refuse_unknown(work: Work, book: str) -> None:
    """Raises NotFound ``no_such_plan``."""
    if all(name != book for name, _ in await work.rows(records.BOOKS)):
        raise NotFound(f"There is no plan {book[:60]!r}.", code="no_such_plan", param="plan")


def paid_for(price: Price) -> bool:
    """Whether the organisation pays the provider itself for calls at this price."""
    return price.book.startswith(OWN)


def _hundredths(points: int) -> str:
    whole, rest = divmod(points, 100)
    return f"{whole}{f'.{rest:02}'.rstrip('0') if rest else ''}%"


def _refuse_pattern(pattern: str) -> None:
    if not 1 <= len(pattern) <= PATTERN_CHARS_MAX or not _PATTERN.match(pattern):
        raise InvalidCall(
            "A pattern is a model's name or its beginning and a star: openai/gpt-4o, openai/*, *.",
            code="bad_plan",
            param="model",
        )
