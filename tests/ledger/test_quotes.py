"""Quotes: a hold is never less than the charge that follows, for any call within its bounds (decision D21)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ruxa.dialects.dialect import Load
from ruxa.dialects.usage import Usage
from ruxa.kernel.errors import Unsupported
from ruxa.ledger import prices, quotes
from ruxa.ledger.prices import Rates

PRICE = prices.rates(1_000_000, 4_000_000, cache_write_5m_micros=1_250_000, cache_write_1h_micros=2_000_000)
figure = st.integers(0, 10**9)


@st.composite
def priced(draw: st.DrawFn) -> Rates:
    names = [field for field in Rates.__struct_fields__ if field.endswith("_micros") and field != "image_micros"]
    step = draw(st.one_of(st.none(), st.integers(1, 5000)))
    return Rates(**{name: draw(figure) for name in names}, long_from_tokens=step)


@given(priced(), st.data())
def test_no_call_within_its_bounds_costs_more_than_its_hold(price: Rates, data: st.DataObject) -> None:
    load = Load(
        text_bytes=data.draw(st.integers(0, 20_000)),
        images=data.draw(st.integers(0, 3)),
        choices=data.draw(st.integers(1, 4)),
        output_cap=data.draw(st.one_of(st.none(), st.integers(1, 9000))),
        audio_output=data.draw(st.booleans()),
    )
    hold = quotes.worst(price, load, output_tokens_default=4096)
    tokens = quotes.input_bound(price, load)
    out = quotes.output_bound(price, load, 4096) * load.choices
    cuts = sorted(data.draw(st.lists(st.integers(0, tokens), min_size=4, max_size=4)))
    made = sorted(data.draw(st.lists(st.integers(0, out), min_size=2, max_size=2)))
    usage = Usage(
        input_tokens=cuts[0],
        cache_write_5m_tokens=cuts[1] - cuts[0],
        cache_write_1h_tokens=cuts[2] - cuts[1],
        cache_read_tokens=cuts[3] - cuts[2],
        output_tokens=made[0],
        reasoning_tokens=made[1] - made[0],
        audio_output_tokens=out - made[1] if load.audio_output else 0,
    )
    cheaper_read = price.cache_read_micros <= price.input_micros and (
        price.long_cache_read_micros <= max(price.long_input_micros, price.input_micros)
    )
    # Where a step makes tokens cheaper, the shorter call is the dearer one; both are covered.
    if cheaper_read:
        assert prices.charge(price, usage) <= hold


def test_the_cap_or_the_default_bounds_the_output() -> None:
    assert quotes.output_bound(PRICE, Load(output_cap=7), 4096) == 7
    assert quotes.output_bound(PRICE, Load(), 4096) == 4096
    limited = prices.rates(1, 1, output_tokens_max=1000)
    assert quotes.output_bound(limited, Load(output_cap=99_999), 4096) == 1000
    assert quotes.output_bound(limited, Load(), 4096) == 1000
    assert quotes.output_bound(PRICE, Load(output_cap=10**12), 4096) == quotes.OUTPUT_TOKENS_UNKNOWN_MAX


def test_every_source_of_cost_counts() -> None:
    def hold(**fields: object) -> int:
        return quotes.worst(PRICE, Load(**{"output_cap": 0, **fields}), output_tokens_default=4096)  # pyright: ignore[reportArgumentType]

    nothing = hold()
    assert nothing == quotes.FRAME_TOKENS * 2
    assert hold(text_bytes=2000) == nothing + 1000 * 2
    assert hold(images=2) == nothing + 2 * PRICE.image_tokens_max * 2
    assert hold(documents=1, media_bytes=400_000) == nothing + 1001 * 2 * PRICE.page_tokens_max * 1000 // 1001
    assert hold(audios=1, media_bytes=32_000) == nothing + 1001 * 2
    assert hold(videos=1, media_bytes=24_000) == nothing + 1001 * 2
    assert hold(output_cap=10) == nothing + 40
    assert hold(output_cap=10, choices=5) == nothing + 200


def test_no_cache_writes_no_surcharge() -> None:
    load = Load(text_bytes=2000, output_cap=1)
    with_cache = quotes.worst(PRICE, load, output_tokens_default=1)
    without = quotes.worst(PRICE, load, output_tokens_default=1, cache=False)
    assert with_cache - 4 == 2 * (without - 4)
    assert quotes.worst(PRICE, load, output_tokens_default=1, output=False, cache=False) == without - 4


def test_a_source_without_a_bound_is_refused() -> None:
    with pytest.raises(Unsupported) as refused:
        quotes.worst(PRICE, Load(file_ids=1), output_tokens_default=1)
    assert refused.value.code == "cost_unbounded"
    known = prices.rates(1_000_000, 0, input_tokens_max=1000)
    assert quotes.worst(known, Load(file_ids=1), output_tokens_default=0) == 1000


def test_the_models_window_bounds_the_input() -> None:
    known = prices.rates(1_000_000, 0, input_tokens_max=1000)
    assert quotes.worst(known, Load(text_bytes=10_000_000, images=9), output_tokens_default=0) == 1000


@given(st.integers(0, 200_000), st.integers(0, 5000), st.integers(1, 4))
def test_what_is_affordable_fits_and_one_more_token_does_not(micros: int, text: int, choices: int) -> None:
    load = Load(text_bytes=text, choices=choices)
    cap = quotes.affordable_output(PRICE, load, micros)

    def worst(tokens: int) -> int:
        capped = Load(text_bytes=text, choices=choices, output_cap=tokens)
        return quotes.worst(PRICE, capped, output_tokens_default=1)

    if cap >= 1:
        assert worst(cap) <= micros
    assert worst(cap + 1) > micros
