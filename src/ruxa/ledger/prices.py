"""Price books: what each model costs, versioned and dated, and the exact charge of a usage vector.

Units: micros (0.000001 USD) per million units. A price row never changes once it has started; a new price closes the
old row's period and opens its own, so that every charge recomputes from its row for ever. The book ``list`` is what
providers charge; what the others say follows from it by their margins (``plans``).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, time
from importlib.resources import files
from typing import Literal, Protocol
from uuid import UUID

import msgspec

from ruxa.kernel import codec, ids
from ruxa.ledger import records
from ruxa.store.work import Work

Units = Literal["tokens", "seconds", "characters"]
LIST = "list"
# What a book's calls on a customer's own provider key cost is in the book of its name after this.
OWN = "own:"


class Quantities(Protocol):
    """The usage vector as the price book reads it; ``dialects.usage.Usage`` and ``UsageRow`` both fit."""

    @property
    def input_tokens(self) -> int: ...
    @property
    def cache_read_tokens(self) -> int: ...
    @property
    def cache_write_5m_tokens(self) -> int: ...
    @property
    def cache_write_1h_tokens(self) -> int: ...
    @property
    def output_tokens(self) -> int: ...
    @property
    def reasoning_tokens(self) -> int: ...
    @property
    def audio_input_tokens(self) -> int: ...
    @property
    def audio_output_tokens(self) -> int: ...
    @property
    def images(self) -> int: ...


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """What a model costs: micros per million units of each class, and the steps and bounds a hold needs.

    long_from_tokens: when all input tokens together exceed it, the ``long_`` rates apply to every token of the call;
    input_tokens_max, output_tokens_max: what the model takes and gives, where known; image_tokens_max,
    page_tokens_max: the most that one image or one page of a document can count as input; units: what the input counts
    - tokens, seconds of audio (in the class ``audio_input``), or characters of a text to be spoken (in ``input``). Of a
    model that makes images, ``output_tokens_max`` is the most that one of them of the usual size can count.
    """

    input_micros: int
    output_micros: int
    cache_read_micros: int
    cache_write_5m_micros: int
    cache_write_1h_micros: int
    reasoning_micros: int
    audio_input_micros: int
    audio_output_micros: int
    image_micros: int = 0
    long_from_tokens: int | None = None
    long_input_micros: int = 0
    long_output_micros: int = 0
    long_cache_read_micros: int = 0
    long_cache_write_5m_micros: int = 0
    long_cache_write_1h_micros: int = 0
    long_reasoning_micros: int = 0
    input_tokens_max: int | None = None
    output_tokens_max: int | None = None
    image_tokens_max: int = 12_000
    page_tokens_max: int = 6_000
    units: Units = "tokens"

    @property
    def asked_micros(self) -> int:
        """The input's rate as a list shows it: of seconds where the model counts those, else of ``input``."""
        return self.audio_input_micros if self.units == "seconds" else self.input_micros


class Price(Rates, frozen=True, kw_only=True):
    """One dated row of a price book. model: public name ``provider/name``; aliases: bare names that mean it; list_id:
    the price of the list that it follows from, in every book but the list."""

    id: UUID
    model: str
    book: str = LIST
    list_id: UUID | None = None
    aliases: tuple[str, ...] = ()
    source: str = ""

    @property
    def listed(self) -> UUID:
        """The price of the list that says what the provider charges: its own, or the one it follows from."""
        return self.list_id or self.id

    @property
    def provider(self) -> str:
        """The part of the name before the first slash."""
        return self.model.partition("/")[0]

    @property
    def scope(self) -> str:
        """Which money pays for it (decision D10): ``sandbox`` or ``live``."""
        return "sandbox" if self.model.startswith("sandbox/") else "live"


class Dated(msgspec.Struct, frozen=True, kw_only=True):
    """Rates from a day on (UTC); None: in force when the seed was made."""

    rates: Rates
    starts: date | None = None


class Seeded(msgspec.Struct, frozen=True, kw_only=True):
    """One model of a seed file."""

    model: str
    prices: tuple[Dated, ...]
    aliases: tuple[str, ...] = ()


class Seed(msgspec.Struct, frozen=True, kw_only=True):
    """A seed file: ``source`` names where and when the figures are from."""

    source: str
    models: tuple[Seeded, ...]


def rates(
    input_micros: int,
    output_micros: int,
    *,
    cache_read_micros: int | None = None,
    cache_write_5m_micros: int | None = None,
    cache_write_1h_micros: int | None = None,
    input_tokens_max: int | None = None,
    output_tokens_max: int | None = None,
) -> Rates:
    """Rates from what an operator states; a class without a rate of its own costs what its kind costs."""
    write = input_micros if cache_write_5m_micros is None else cache_write_5m_micros
    return Rates(
        input_micros=input_micros,
        output_micros=output_micros,
        cache_read_micros=input_micros if cache_read_micros is None else cache_read_micros,
        cache_write_5m_micros=write,
        cache_write_1h_micros=write if cache_write_1h_micros is None else cache_write_1h_micros,
        reasoning_micros=output_micros,
        audio_input_micros=input_micros,
        audio_output_micros=output_micros,
        input_tokens_max=input_tokens_max,
        output_tokens_max=output_tokens_max,
    )


def charge(price: Rates, usage: Quantities) -> int:
    """What ``usage`` costs in micros: one exact sum, rounded up once."""
    fresh = usage.input_tokens
    read = usage.cache_read_tokens
    write_5m = usage.cache_write_5m_tokens
    write_1h = usage.cache_write_1h_tokens
    audio = usage.audio_input_tokens
    step = price.long_from_tokens
    if step is None and not (read or write_5m or write_1h or audio):
        total = (
            fresh * price.input_micros
            + usage.output_tokens * price.output_micros
            + usage.reasoning_tokens * price.reasoning_micros
        )
    elif step is None or fresh + read + write_5m + write_1h + audio <= step:
        total = (
            fresh * price.input_micros
            + usage.output_tokens * price.output_micros
            + read * price.cache_read_micros
            + write_5m * price.cache_write_5m_micros
            + write_1h * price.cache_write_1h_micros
            + usage.reasoning_tokens * price.reasoning_micros
        )
    else:
        total = (
            fresh * price.long_input_micros
            + usage.output_tokens * price.long_output_micros
            + read * price.long_cache_read_micros
            + write_5m * price.long_cache_write_5m_micros
            + write_1h * price.long_cache_write_1h_micros
            + usage.reasoning_tokens * price.long_reasoning_micros
        )
    if audio:
        total += audio * price.audio_input_micros
    if usage.audio_output_tokens:
        total += usage.audio_output_tokens * price.audio_output_micros
    if usage.images:
        total += usage.images * price.image_micros
    return -(-total // 1_000_000)


class Term(msgspec.Struct, frozen=True):
    """One class of a charge: units times a rate (micros per million units), in millionths of a micro."""

    usage_class: str
    units: int
    rate: int

    @property
    def millionths(self) -> int:
        """The product."""
        return self.units * self.rate


# The classes of usage: what counts them, and their rates below and above a long-context step.
_TERMS = (
    ("input", "input_tokens", "input_micros", "long_input_micros"),
    ("cache_read", "cache_read_tokens", "cache_read_micros", "long_cache_read_micros"),
    ("cache_write_5m", "cache_write_5m_tokens", "cache_write_5m_micros", "long_cache_write_5m_micros"),
    ("cache_write_1h", "cache_write_1h_tokens", "cache_write_1h_micros", "long_cache_write_1h_micros"),
    ("output", "output_tokens", "output_micros", "long_output_micros"),
    ("reasoning", "reasoning_tokens", "reasoning_micros", "long_reasoning_micros"),
    ("audio_input", "audio_input_tokens", "audio_input_micros", "audio_input_micros"),
    ("audio_output", "audio_output_tokens", "audio_output_micros", "audio_output_micros"),
    ("images", "images", "image_micros", "image_micros"),
)
CLASSES = tuple(name for name, *_ in _TERMS)


def terms(price: Rates, usage: Quantities) -> tuple[Term, ...]:
    """The arithmetic of ``charge``, class by class, before its one rounding; classes without units are left out."""
    into = (
        usage.input_tokens
        + usage.cache_read_tokens
        + usage.cache_write_5m_tokens
        + usage.cache_write_1h_tokens
        + usage.audio_input_tokens
    )
    long = price.long_from_tokens is not None and into > price.long_from_tokens
    counted = ((name, getattr(usage, units), above if long else below) for name, units, below, above in _TERMS)
    return tuple(Term(name, units, getattr(price, rate)) for name, units, rate in counted if units)


async def current(work: Work, book: str = LIST) -> dict[str, Price]:
    """Every model that is priced now in a book, by public name."""
    return {price.model: price for price in map(_price, await work.rows(records.PRICES_NOW, book))}


async def history(work: Work, model: str, book: str = LIST) -> list[tuple[Price, datetime, datetime | None]]:
    """Every row of a model in a book with the start and the end of its period, newest first."""
    return [(_price(row), row[-2], row[-1]) for row in await work.rows(records.PRICE_HISTORY, book, model)]


async def by_id(work: Work, price_id: UUID) -> tuple[Price, datetime, datetime | None] | None:
    """One price version with the start and the end of its period; None when there is none."""
    row = await work.row(records.PRICES_BY_ID, [price_id])
    return None if row is None else (_price(row), row[-2], row[-1])


class Shelf:
    """The books as they are in force, kept up to date: a price that is known by its id is not read again.

    books: book -> public name -> price; beyond: plans in which what they do not name costs what the list says.
    """

    __slots__ = ("_known", "beyond", "books")

    def __init__(self) -> None:
        self._known: dict[UUID, Price] = {}
        self.books: dict[str, dict[str, Price]] = {LIST: {}}
        self.beyond: frozenset[str] = frozenset()

    async def refresh(self, work: Work) -> bool:
        """Read what is new; whether something is. ``books`` is another object then."""
        names = await work.rows(records.BOOKS)
        beyond = frozenset(name for name, beyond_list in names if beyond_list)
        now = [row[0] for row in await work.rows(records.PRICE_IDS_NOW)]
        fresh = [one for one in now if one not in self._known]
        books: dict[str, dict[str, Price]] = {name: {} for name, _ in names}
        if not fresh and len(now) == len(self._known) and self.beyond == beyond and books.keys() == self.books.keys():
            return False
        found = {price.id: price for price in map(_price, await work.rows(records.PRICES_BY_ID, fresh))}
        self._known = {one: self._known.get(one) or found[one] for one in now}
        for price in sorted(self._known.values(), key=lambda price: price.model):
            books[price.book][price.model] = price
        self.books, self.beyond = books, beyond
        return True


async def put(
    work: Work,
    model: str,
    rates: Rates,
    *,
    source: str,
    aliases: Iterable[str] = (),
    starts: datetime | None = None,
) -> UUID:
    """A new list price of ``model`` from ``starts`` (default: now) on; the id of its row.

    Every other book's price that follows from it is made with it. Equal rates, aliases and source to those in force
    change nothing. Raises Conflict ``RX041`` when a later price of the model is already booked at or after ``starts``,
    or when ``starts`` lies in the past.
    """
    found: UUID = await work.value(
        records.PRICE_PUT,
        ids.fresh(),
        model,
        list(aliases),
        source,
        starts,
        codec.encode(rates).decode(),
    )
    return found


async def retire(work: Work, model: str, at: datetime | None = None) -> UUID | None:
    """The model has no price from ``at`` (default: now) on, in any book; its list price, None when it has none.

    Raises Conflict ``RX041`` when ``at`` lies in the past or a later price is booked.
    """
    found: UUID | None = await work.value(records.PRICE_RETIRE, model, at)
    return found


def read_seed(name: str) -> Seed:
    """A seed file that ships with the product: ``providers``, ``media`` or ``sandbox``."""
    return msgspec.json.decode(files("ruxa.ledger").joinpath("seed", f"{name}.json").read_bytes(), type=Seed)


async def seed(work: Work, names: Iterable[str] = ("providers", "media", "sandbox")) -> int:
    """Puts the shipped prices where the price in force is absent or an older seed's; announced ones start on their day.

    An operator's price is never touched, nor a model that was or will be retired. Any number of times; the number of
    rows written.
    """
    here = await current(work)
    ending = {row[0] for row in await work.rows(records.PRICES_ENDING)}
    today = (await work.value(records.NOW)).astimezone(UTC).date()
    written = 0
    for name in names:
        file = read_seed(name)
        for item in file.models:
            old = here.get(item.model)
            if item.model in ending:
                continue
            if old is not None and (not old.source.startswith("seed ") or old.source >= file.source):
                continue
            for dated in _to_put(item.prices, today):
                starts = None if dated.starts is None else datetime.combine(dated.starts, time(), UTC)
                await put(work, item.model, dated.rates, source=file.source, aliases=item.aliases, starts=starts)
                written += 1
    return written


def _to_put(prices: tuple[Dated, ...], today: date) -> list[Dated]:
    """The last price that has started, as of now, and those still to come."""
    started = [dated for dated in prices if dated.starts is None or dated.starts <= today]
    coming = [dated for dated in prices if dated.starts is not None and dated.starts > today]
    return [Dated(rates=started[-1].rates), *coming]


def _price(row: tuple[object, ...]) -> Price:
    return msgspec.convert(dict(zip(records.PRICE_FIELDS, row, strict=False)), Price)
