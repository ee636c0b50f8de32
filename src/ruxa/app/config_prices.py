"""``[models."provider/name"]``: prices and token limits of the settings file become dated rows of the price book.

Put at every start, each model in a transaction of its own; what is in force already makes no new row.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from ruxa.kernel.errors import Conflict
from ruxa.kernel.settings import ModelSettings
from ruxa.kernel.signals import Sink
from ruxa.ledger import prices
from ruxa.ledger.prices import Price, Rates
from ruxa.store.pool import Pool

SOURCE = "config"
_PRICED = tuple(
    field for field in ModelSettings.__struct_fields__ if field.endswith(("_micros_per_mtok", "_tokens_max"))
)
# A class of tokens that the file cannot name, or does not, and the one whose price it follows.
_FOLLOWS = {
    "cache_read_micros": "input_micros",
    "cache_write_5m_micros": "input_micros",
    "cache_write_1h_micros": "cache_write_5m_micros",
    "audio_input_micros": "input_micros",
    "reasoning_micros": "output_micros",
    "audio_output_micros": "output_micros",
}


def rates(stated: ModelSettings, known: Rates | None) -> Rates | None:
    """What a model costs by the file, over the price in force; None when the file leaves it unpriced or says nothing.

    With input and output stated the price is the file's, and only limits stay as known. With less, the stated classes
    change, and with them those that cost the same as them until now.
    """
    given = {
        field.replace("_micros_per_mtok", "_micros"): value
        for field, value in msgspec.structs.asdict(stated).items()
        if isinstance(value, int) and field in _PRICED
    }
    if not given:
        return None
    if "input_micros" in given and "output_micros" in given:
        made = prices.rates(given.pop("input_micros"), given.pop("output_micros"), **given)
        return made if known is None else _with_limits(made, known)
    if known is None:
        return None
    now = {field: getattr(known, field) for field in Rates.__struct_fields__}
    for follower, leader in _FOLLOWS.items():
        if follower not in given and leader in given and now[follower] == now[leader]:
            given[follower] = given[leader]
    return msgspec.convert(now | given, Rates)


def unpriced(models: Mapping[str, ModelSettings], here: Mapping[str, Price]) -> list[str]:
    """Models of the file that have no price in force: their calls are refused."""
    return [name for name in models if name not in here]


def differing(models: Mapping[str, ModelSettings], here: Mapping[str, Price]) -> list[str]:
    """Models whose price in force is not what the file states: ``price set`` came after the last start."""
    found: list[str] = []
    for name, stated in models.items():
        known = here.get(name)
        if known is not None and rates(stated, known) not in (None, _plain(known)):
            found.append(name)
    return found


async def put(pool: Pool, models: Mapping[str, ModelSettings], sink: Sink) -> int:
    """Books what the file states where it differs from the price in force; the number of rows written."""
    async with pool.work() as work:
        here = await prices.current(work)
    written = 0
    for name, stated in models.items():
        known = here.get(name)
        wanted = rates(stated, known)
        if wanted is None or (known is not None and wanted == _plain(known)):
            continue
        try:
            async with pool.work() as work:
                aliases = () if known is None else known.aliases
                await prices.put(work, name, wanted, source=SOURCE, aliases=aliases)
        except Conflict as error:
            # A price of a later day is booked, or the clock was set back behind the newest: what is booked stays.
            sink.emit("price.refused", "warning", model=name, code=error.code)
        else:
            written += 1
    return written


def _plain(price: Price) -> Rates:
    return msgspec.convert({field: getattr(price, field) for field in Rates.__struct_fields__}, Rates)


def _with_limits(made: Rates, known: Rates) -> Rates:
    return msgspec.structs.replace(
        made,
        input_tokens_max=known.input_tokens_max if made.input_tokens_max is None else made.input_tokens_max,
        output_tokens_max=known.output_tokens_max if made.output_tokens_max is None else made.output_tokens_max,
        image_micros=known.image_micros,
        image_tokens_max=known.image_tokens_max,
        page_tokens_max=known.page_tokens_max,
        units=known.units,
    )
