"""Models: what a key can use, in the shape that the caller's SDK expects (W69). Free, not a call, no usage row."""

from __future__ import annotations

import msgspec

from ruxa.dialects.dialect import ModelCard
from ruxa.gateway import answer as answers
from ruxa.gateway.exchange import Exchange
from ruxa.gateway.plan import Plans, Target
from ruxa.kernel import ids


def answer(exchange: Exchange, plans: Plans) -> None:
    """``GET .../models`` and ``GET .../models/{model}``. Raises NotFound."""
    entry = exchange.entry
    assert entry is not None
    place = exchange.place
    cards = [card(target) for target in plans.usable(entry.grant, entry.own)]
    known = {each.name for each in cards}
    cards += [card(targets[0], name) for name, targets in plans.routes(entry.grant, entry.own) if name not in known]
    dialect = exchange.dialect
    rendered = dialect.model(place, cards) if place.endpoint == "model" else dialect.models(place, cards)
    lines = rendered.headers + b"x-request-id: %b\r\n" % exchange.request_id.encode()
    exchange.reply.send(rendered.status, lines + answers.limits(exchange), rendered.body)


def card(target: Target, name: str = "") -> ModelCard:
    """A target as the lists show it, or a route that goes to it."""
    price = target.price
    return ModelCard(
        name=name or target.model,
        owner=target.provider.name if not name else "ruxa",
        display_name=name or target.model,
        created_s=ids.unix_ms(price.id) // 1000,
        input_tokens_max=price.input_tokens_max,
        output_tokens_max=price.output_tokens_max,
        embeds=price.output_micros == 0 and "embed" in target.model,
    )


def plain(targets: list[Target], routes: list[tuple[str, list[Target]]]) -> bytes:
    """The list of ``GET /api/v1/models``: every model with its dialects and its prices, in micros per million.

    Routes stand beside them, each with the targets that the key can reach.
    """
    return msgspec.json.encode(
        {
            "models": [
                {
                    "model": target.model,
                    "provider": target.provider.name,
                    "aliases": target.price.aliases,
                    "dialects": list(target.provider.bases),
                    "scope": target.scope,
                    "input_micros_per_mtok": target.price.input_micros,
                    "output_micros_per_mtok": target.price.output_micros,
                    "audio_input_micros_per_mtok": target.price.audio_input_micros,
                    "image_micros": target.price.image_micros // 1_000_000,
                    "units": target.price.units,
                    "input_tokens_max": target.price.input_tokens_max,
                    "output_tokens_max": target.price.output_tokens_max,
                    "recipient": {
                        "who": target.provider.facts.who,
                        "where": target.provider.facts.where,
                        "retention_days": target.provider.facts.kept_days,
                        "trains": target.provider.facts.trains,
                    },
                }
                for target in targets
            ],
            "routes": [{"name": name, "targets": [target.model for target in goals]} for name, goals in routes],
        }
    )
