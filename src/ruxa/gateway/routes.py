"""Routes: what a provider counted is weighed against what was held; far over it alarms, and closes the route (D21).

A figure over the worst case means that our bounds, the price book or the provider is wrong, and that the next call may
cost what nobody holds. The alarm comes at 5 % over the hold. Text is held at a token for two bytes, which a text of
rare signs can exceed; nobody shall close a route for everybody by writing such a text, so for closing it counts as a
token a byte, which no tokenizer exceeds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from ruxa.gateway import reserve
from ruxa.kernel import bounds
from ruxa.kernel.errors import RuxaError
from ruxa.ledger import quotes

if TYPE_CHECKING:
    from ruxa.gateway.exchange import Exchange, Gear

_OVER_MAX = 1_000_000


def weigh(gear: Gear, exchange: Exchange, figure_micros: int) -> None:
    """The provider's figure against the hold; most are below it and never come here."""
    target, envelope = exchange.target, exchange.envelope
    assert target is not None
    assert envelope is not None
    beyond = 0 if exchange.place.endpoint in reserve.FIXED else reserve.beyond(exchange)
    held = exchange.hold + beyond
    if not _over(figure_micros, held):
        return
    gear.metrics.add("figures_over_hold", 1, f'provider="{target.provider.name}"')
    gear.sink.emit(
        "hold.exceeded",
        "error",
        request_id=exchange.request_id,
        model=target.model,
        provider=target.provider.name,
        figure_micros=figure_micros,
        hold_micros=held,
    )
    load = msgspec.structs.replace(envelope.load, text_bytes=envelope.load.text_bytes * quotes.TEXT_BYTES_PER_TOKEN)
    default = 0 if exchange.entry is None else exchange.entry.grant.output_tokens_default
    try:
        most = reserve.most(exchange.place.endpoint, target.price, load, default)
    except RuxaError:
        most = held
    # On the customer's own key nothing of the house's is at stake but the fee.
    if _over(figure_micros, max(most, exchange.hold) + beyond) and not target.closed and target.own is None:
        percent = min(figure_micros * 100 // max(held, 1) - 100, _OVER_MAX)
        gear.sink.emit("route.closed", "error", model=target.model, provider=target.provider.name, over_percent=percent)
        gear.routes.close(target, percent)


def _over(figure_micros: int, held_micros: int) -> bool:
    return figure_micros * 100 > held_micros * (100 + bounds.FIGURE_OVER_HOLD_PERCENT)
