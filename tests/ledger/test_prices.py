"""Prices: exact integers rounded once, dated rows that never change, a seed that agrees with its source."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime, timedelta
from decimal import ROUND_CEILING, Decimal
from typing import Any

import genai_prices.data
import psycopg
import pytest
from genai_prices import Usage as TheirUsage
from hypothesis import given
from hypothesis import strategies as st

from books import RATES, Books
from ruxa.dialects.usage import Usage
from ruxa.kernel.clock import Clock
from ruxa.kernel.errors import Conflict
from ruxa.ledger import prices
from ruxa.ledger.prices import Rates

AS_OF = datetime(2026, 11, 24, 12, tzinfo=UTC)


def long_rates(**fields: int) -> Rates:
    given = {
        "input_micros": 3, "output_micros": 5, "cache_read_micros": 7, "cache_write_5m_micros": 11,
        "cache_write_1h_micros": 13, "reasoning_micros": 17, "audio_input_micros": 19, "audio_output_micros": 23,
        "image_micros": 29,
    }  # fmt: skip
    return Rates(**{**given, **fields})


@pytest.mark.parametrize(
    ("usage", "rates", "micros"),
    [
        ({}, {}, 0),
        ({"input_tokens": 1}, {"input_micros": 1}, 1),
        ({"input_tokens": 1_000_000}, {"input_micros": 1}, 1),
        ({"input_tokens": 1_000_001}, {"input_micros": 1}, 2),
        ({"input_tokens": 1, "output_tokens": 1}, {"input_micros": 500_000, "output_micros": 500_000}, 1),
        ({"input_tokens": 1, "output_tokens": 1}, {"input_micros": 500_000, "output_micros": 500_001}, 2),
        ({"cache_read_tokens": 10}, {"cache_read_micros": 100_000}, 1),
        ({"cache_write_5m_tokens": 10}, {"cache_write_5m_micros": 3_750_000}, 38),
        ({"cache_write_1h_tokens": 10}, {"cache_write_1h_micros": 6_000_000}, 60),
        ({"reasoning_tokens": 1000}, {"reasoning_micros": 15_000_000}, 15_000),
        ({"audio_input_tokens": 3}, {"audio_input_micros": 32_000_000}, 96),
        ({"audio_output_tokens": 3}, {"audio_output_micros": 64_000_000}, 192),
        ({"images": 2}, {"image_micros": 40_000_000_000}, 80_000),
        ({"input_tokens": 0, "output_tokens": 7}, {"input_micros": 0, "output_micros": 0}, 0),
        ({"input_tokens": 200_000}, {"input_micros": 3_000_000, "long_from_tokens": 200_000}, 600_000),
        (
            {"input_tokens": 150_000, "cache_read_tokens": 50_001, "output_tokens": 10},
            {
                "long_from_tokens": 200_000, "long_input_micros": 6_000_000, "long_cache_read_micros": 600_000,
                "long_output_micros": 22_500_000,
            },
            900_000 + 30_001 + 225,
        ),
    ],
)  # fmt: skip
def test_charges_are_exact(usage: dict[str, int], rates: dict[str, int], micros: int) -> None:
    assert prices.charge(long_rates(**rates), Usage(**usage)) == micros


NAMES = (
    "input_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens", "output_tokens",
    "reasoning_tokens", "audio_input_tokens", "audio_output_tokens", "images",
)  # fmt: skip


@given(
    st.lists(st.integers(0, 2_000_000), min_size=9, max_size=9),
    st.lists(st.integers(0, 10**11), min_size=15, max_size=15),
    st.one_of(st.none(), st.integers(1, 4_000_000)),
)
def test_a_charge_is_the_exact_sum_rounded_up_once(counts: list[int], figures: list[int], step: int | None) -> None:
    kinds = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output", "reasoning")
    fields: dict[str, Any] = {f"{kind}_micros": figures[i] for i, kind in enumerate(kinds)}
    fields |= {f"long_{kind}_micros": figures[6 + i] for i, kind in enumerate(kinds)}
    fields |= {"audio_input_micros": figures[12], "audio_output_micros": figures[13], "image_micros": figures[14]}
    price = Rates(**fields, long_from_tokens=step)
    usage = Usage(**dict(zip(NAMES, counts, strict=True)))
    long = step is not None and usage.input_total > step
    base = 6 if long else 0
    total = Decimal(0)
    for i, name in enumerate(kinds):
        total += Decimal(getattr(usage, f"{name}_tokens")) * figures[base + i]
    total += counts[6] * figures[12] + counts[7] * figures[13] + counts[8] * figures[14]
    assert prices.charge(price, usage) == int((total / 1_000_000).to_integral_value(ROUND_CEILING))


async def test_the_database_recomputes_every_charge(books: Books) -> None:
    """Random vectors at a price with every class and a step: SQL and Python agree to the micro (I11)."""
    chance = random.Random(5)
    figures = {f"{kind}_micros": chance.randint(0, 9_999_999) for kind in (
        "input", "output", "cache_read", "cache_write_5m", "cache_write_1h", "reasoning", "audio_input",
        "audio_output", "image", "long_input", "long_output", "long_cache_read", "long_cache_write_5m",
        "long_cache_write_1h", "long_reasoning",
    )}  # fmt: skip
    rates = Rates(**figures, long_from_tokens=3000)
    async with books.operator.work() as work:
        price = await prices.put(work, "openai/all", rates, source="test")
    ref = await books.organisation(live=100_000_000)
    lease = await books.lend(ref, 90_000_000)
    rows = []
    for _ in range(200):
        usage = {name: chance.choice((0, 1, chance.randint(0, 1500))) for name in NAMES}
        amount = prices.charge(rates, Usage(**usage))
        rows.append(books.row(ref, lease, amount, **usage, price_id=price))
    assert (await books.flush(rows)).booked == 200
    proof = (await books.proofs())["I11"]
    assert (proof.value, proof.examined) == (0, 200)
    await books.flush([books.row(ref, lease, 10, input_tokens=11)])
    assert (await books.proofs())["I11"].value == 1


async def test_a_new_price_closes_the_old_one(books: Books) -> None:
    async with books.operator.work() as work:
        first = await prices.put(work, "openai/new", RATES, source="a", aliases=["new"])
        assert await prices.put(work, "openai/new", RATES, source="a", aliases=["new"]) == first
    async with books.operator.work() as work:
        second = await prices.put(work, "openai/new", prices.rates(7, 8), source="b")
        now = (await prices.current(work))["openai/new"]
        history = await prices.history(work, "openai/new")
    assert now.id == second
    assert (now.input_micros, now.provider, now.scope) == (7, "openai", "live")
    assert [(price.id, end is None) for price, _, end in history] == [(second, True), (first, False)]
    assert history[1][2] == history[0][1]
    async with books.gateway.work() as work:
        assert (await prices.current(work))["sandbox/test"].scope == "sandbox"


async def test_a_price_can_be_announced_and_starts_by_itself(books: Books) -> None:
    later = Clock().now() + timedelta(days=2)
    async with books.operator.work() as work:
        await prices.put(work, "openai/test", prices.rates(9, 9), source="test", starts=later)
        assert (await prices.current(work))["openai/test"].input_micros == RATES.input_micros
    with pytest.raises(Conflict) as taken:
        async with books.operator.work() as work:
            await prices.put(work, "openai/test", prices.rates(1, 1), source="test")
    assert taken.value.code == "RX041"
    with pytest.raises(Conflict) as past:
        async with books.operator.work() as work:
            await prices.put(work, "openai/other", prices.rates(1, 1), source="test", starts=later - timedelta(days=9))
    assert past.value.code == "RX041"
    await books.later(2 * 86_400 + 5)
    async with books.operator.work() as work:
        assert (await prices.current(work))["openai/test"].input_micros == 9


async def test_overlap_and_change_are_refused_by_the_database(books: Books) -> None:
    async with await psycopg.AsyncConnection.connect(books.database.url("ruxa_owner"), autocommit=True) as owner:
        for attack, state in (
            ("INSERT INTO ledger.price SELECT (jsonb_populate_record(p, jsonb_build_object('id', gen_random_uuid()))).*"
             " FROM ledger.price AS p WHERE model = 'openai/test'", "23P01"),
            ("UPDATE ledger.price SET output_micros = 0 WHERE model = 'openai/test'", "RX900"),
            ("UPDATE ledger.price SET model = 'openai/else' WHERE model = 'openai/test'", "RX900"),
            ("UPDATE ledger.price SET effective = tstzrange(now() + '1 day', NULL) WHERE model = 'openai/test'",
             "RX900"),
            ("UPDATE ledger.price SET effective = tstzrange(lower(effective), lower(effective) + '1 microsecond')"
             " WHERE model = 'openai/test' AND lower(effective) < now() - interval '0 s'", None),
        ):  # fmt: skip
            if state is None:
                await books.later(60)
                state = "RX900"
            with pytest.raises(psycopg.Error) as refused:
                await owner.execute(attack)  # pyright: ignore[reportArgumentType]
            assert refused.value.sqlstate == state, attack


async def test_racing_changes_leave_one_price_in_force(books: Books) -> None:
    refusals: set[str] = set()

    async def put(number: int) -> bool:
        try:
            async with books.operator.work() as work:
                await prices.put(work, "openai/race", prices.rates(number, number), source="test")
        except Conflict as refused:
            refusals.add(refused.code)
            return False
        return True

    done = await asyncio.gather(*map(put, range(1, 9)))
    assert any(done)
    assert refusals <= {"RX041"}
    async with books.operator.work() as work:
        history = await prices.history(work, "openai/race")
    assert len(history) == sum(done)
    assert sum(end is None for _, _, end in history) == 1


async def test_the_seed_loads_once_and_never_over_an_operators_price(books: Books) -> None:
    async with books.operator.work() as work:
        await prices.put(work, "openai/gpt-4o", prices.rates(1, 1), source="operator")
        written = await prices.seed(work)
        assert await prices.seed(work) == 0
        book = await prices.current(work)
    assert written > 150
    assert book["openai/gpt-4o"].input_micros == 1
    spot = {
        "openai/gpt-4o-mini": (150_000, 600_000, 75_000),
        "openai/gpt-4.1": (2_000_000, 8_000_000, 500_000),
        "openai/text-embedding-3-small": (20_000, 0, 20_000),
        "anthropic/claude-haiku-4-5": (1_000_000, 5_000_000, 100_000),
        "anthropic/claude-opus-4-5-20251101": (5_000_000, 25_000_000, 500_000),
        "google/gemini-2.5-flash": (300_000, 2_500_000, 30_000),
        "google/gemini-2.5-pro": (1_250_000, 10_000_000, 125_000),
    }
    for model, figures in spot.items():
        price = book[model]
        assert (price.input_micros, price.output_micros, price.cache_read_micros) == figures, model
        assert price.aliases == (model.partition("/")[2],)
    pro = book["google/gemini-2.5-pro"]
    assert (pro.long_from_tokens, pro.long_input_micros, pro.long_output_micros) == (200_000, 2_500_000, 15_000_000)
    assert book["anthropic/claude-haiku-4-5"].cache_write_1h_micros == 2_000_000
    assert book["sandbox/chat"].scope == "sandbox"
    assert "sandbox/fail-529" in book


async def test_announced_prices_of_the_seed_start_on_their_day(books: Books) -> None:
    async with books.operator.work() as work:
        await prices.seed(work)
        before = (await prices.current(work))["google/gemini-3.6-flash"].input_micros
    await books.later(int((datetime(2027, 1, 2, tzinfo=UTC) - Clock().now()).total_seconds()))
    async with books.operator.work() as work:
        after = (await prices.current(work))["google/gemini-3.6-flash"].input_micros
    assert after == 1_500_000 != before


def test_the_seed_agrees_with_its_source() -> None:
    """Every seeded model, a dozen random vectors: our charge is theirs rounded up to the micro."""
    chance = random.Random(11)
    theirs = {provider.id: provider for provider in genai_prices.data.providers}
    compared = 0
    for item in prices.read_seed("providers").models:
        provider, _, name = item.model.partition("/")
        model = next(found for found in theirs[provider].models if found.is_match(name))
        price = model.get_prices(AS_OF)
        rates = item.prices[0].rates
        for _ in range(12):
            read, write = chance.randint(0, 150_000), chance.randint(0, 100_000)
            usage = Usage(
                input_tokens=chance.randint(0, 200_000),
                cache_read_tokens=read,
                cache_write_5m_tokens=write if provider != "google" else 0,
                output_tokens=0 if "embedding" in name else chance.randint(0, 90_000),
            )
            same = TheirUsage(
                input_tokens=usage.input_total,
                cache_read_tokens=usage.cache_read_tokens,
                cache_write_tokens=usage.cache_write_5m_tokens,
                output_tokens=usage.output_tokens,
            )
            dollars = price.calc_price(same)["total_price"]
            assert prices.charge(rates, usage) == int((dollars * 1_000_000).to_integral_value(ROUND_CEILING)), (
                item.model
            )
            compared += 1
    assert compared > 1500
