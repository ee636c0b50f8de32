"""Prices of the settings file over the price in force."""

from __future__ import annotations

import msgspec
import pytest

from ruxa.app import config_prices
from ruxa.kernel.settings import ModelSettings
from ruxa.ledger import prices
from ruxa.ledger.prices import Rates

KNOWN = msgspec.structs.replace(
    prices.rates(100, 400, cache_read_micros=10, input_tokens_max=1000, output_tokens_max=50),
    audio_output_micros=900,
    long_from_tokens=500,
    long_input_micros=200,
)


def stated(**fields: int) -> ModelSettings:
    return msgspec.convert(fields, ModelSettings)


def test_both_prices_stated_are_the_whole_price_and_limits_stay() -> None:
    wanted = stated(input_micros_per_mtok=7, output_micros_per_mtok=9, output_tokens_max=60)
    assert config_prices.rates(wanted, KNOWN) == prices.rates(7, 9, input_tokens_max=1000, output_tokens_max=60)
    assert config_prices.rates(wanted, None) == prices.rates(7, 9, output_tokens_max=60)


def test_one_price_stated_moves_what_costs_the_same() -> None:
    made = config_prices.rates(stated(output_micros_per_mtok=500), KNOWN)
    assert made == msgspec.structs.replace(KNOWN, output_micros=500, reasoning_micros=500)
    made = config_prices.rates(stated(input_micros_per_mtok=70), KNOWN)
    assert made is not None
    assert (made.cache_read_micros, made.audio_input_micros, made.cache_write_1h_micros) == (10, 70, 70)
    made = config_prices.rates(stated(cache_write_5m_micros_per_mtok=120, cache_read_micros_per_mtok=0), KNOWN)
    assert made == msgspec.structs.replace(
        KNOWN, cache_write_5m_micros=120, cache_write_1h_micros=120, cache_read_micros=0
    )


@pytest.mark.parametrize("known", [KNOWN, prices.rates(7, 9), None])
def test_the_same_statement_twice_is_the_same_price(known: Rates | None) -> None:
    wanted = stated(input_micros_per_mtok=7, output_micros_per_mtok=9, cache_read_micros_per_mtok=1)
    once = config_prices.rates(wanted, known)
    assert config_prices.rates(wanted, once) == once
    part = config_prices.rates(stated(input_micros_per_mtok=8), once)
    assert config_prices.rates(stated(input_micros_per_mtok=8), part) == part


def test_what_states_no_price_prices_nothing() -> None:
    assert config_prices.rates(ModelSettings(aliases=("m",)), KNOWN) is None
    assert config_prices.rates(stated(output_micros_per_mtok=9), None) is None
    assert config_prices.unpriced({"lab/m": ModelSettings()}, {}) == ["lab/m"]
