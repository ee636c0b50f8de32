"""Sixty shapes of calls: what each costs in a plan, in micros, worked out by hand; Python, SQL and the proofs agree.

A rate is the list's times the share, half up; a charge is the sum of units times rates over a million, rounded up once.
For example "a chat with a fifth more": 812 in at 3 USD and 256 out at 12 USD a million is 2436 + 3072 = 5508 micros.
"""

from __future__ import annotations

from uuid import UUID

import pytest

from books import Books
from ruxa.dialects.usage import Usage
from ruxa.ledger import plans, prices
from ruxa.ledger.prices import Rates

LISTED: dict[str, dict[str, int]] = {
    "text": {
        "input_micros": 2500000,
        "output_micros": 10000000,
        "cache_read_micros": 1250000,
        "cache_write_5m_micros": 3125000,
        "cache_write_1h_micros": 5000000,
        "reasoning_micros": 10000000,
        "audio_input_micros": 40000000,
        "audio_output_micros": 80000000,
        "image_micros": 0,
    },
    "cheap": {
        "input_micros": 37500,
        "output_micros": 150001,
        "cache_read_micros": 3751,
        "cache_write_5m_micros": 37500,
        "cache_write_1h_micros": 75000,
        "reasoning_micros": 150001,
        "audio_input_micros": 300000,
        "audio_output_micros": 1000000,
        "image_micros": 0,
    },
    "long": {
        "input_micros": 1250000,
        "output_micros": 10000000,
        "cache_read_micros": 125000,
        "cache_write_5m_micros": 3125000,
        "cache_write_1h_micros": 5000000,
        "reasoning_micros": 10000000,
        "audio_input_micros": 40000000,
        "audio_output_micros": 80000000,
        "image_micros": 0,
        "step": 200000,
        "long_input_micros": 2500000,
        "long_output_micros": 15000000,
        "long_cache_read_micros": 250000,
        "long_cache_write_5m_micros": 3000000,
        "long_cache_write_1h_micros": 5000000,
        "long_reasoning_micros": 15000000,
    },
    "image": {
        "input_micros": 5000000,
        "output_micros": 40000000,
        "cache_read_micros": 1250000,
        "cache_write_5m_micros": 5000000,
        "cache_write_1h_micros": 5000000,
        "reasoning_micros": 0,
        "audio_input_micros": 0,
        "audio_output_micros": 0,
        "image_micros": 0,
    },
    "piece": {
        "input_micros": 0,
        "output_micros": 0,
        "cache_read_micros": 0,
        "cache_write_5m_micros": 0,
        "cache_write_1h_micros": 0,
        "reasoning_micros": 0,
        "audio_input_micros": 0,
        "audio_output_micros": 0,
        "image_micros": 39000000000,
    },
    "heard": {
        "input_micros": 0,
        "output_micros": 0,
        "cache_read_micros": 0,
        "cache_write_5m_micros": 0,
        "cache_write_1h_micros": 0,
        "reasoning_micros": 0,
        "audio_input_micros": 100000000,
        "audio_output_micros": 0,
        "image_micros": 0,
    },
    "spoken": {
        "input_micros": 15000000,
        "output_micros": 0,
        "cache_read_micros": 0,
        "cache_write_5m_micros": 0,
        "cache_write_1h_micros": 0,
        "reasoning_micros": 0,
        "audio_input_micros": 0,
        "audio_output_micros": 0,
        "image_micros": 0,
    },
    "vectors": {
        "input_micros": 20000,
        "output_micros": 0,
        "cache_read_micros": 0,
        "cache_write_5m_micros": 0,
        "cache_write_1h_micros": 0,
        "reasoning_micros": 0,
        "audio_input_micros": 0,
        "audio_output_micros": 0,
        "image_micros": 0,
    },
    "tiny": {
        "input_micros": 1,
        "output_micros": 3,
        "cache_read_micros": 0,
        "cache_write_5m_micros": 0,
        "cache_write_1h_micros": 0,
        "reasoning_micros": 0,
        "audio_input_micros": 0,
        "audio_output_micros": 0,
        "image_micros": 0,
    },
    "free": {
        "input_micros": 0,
        "output_micros": 0,
        "cache_read_micros": 0,
        "cache_write_5m_micros": 0,
        "cache_write_1h_micros": 0,
        "reasoning_micros": 0,
        "audio_input_micros": 0,
        "audio_output_micros": 0,
        "image_micros": 0,
    },
}
PLANS: dict[str, dict[plans.Class, int]] = {
    "list": {"*": 10000},
    "more": {"*": 12000},
    "less": {"*": 8750},
    "odd": {"*": 10333},
    "classes": {"*": 11000, "cache": 10000, "reasoning": 15000},
    "media": {"*": 10000, "audio": 13000, "image": 12500},
    "fee": {"*": 500},
    "mills": {"*": 7},
    "nothing": {"*": 0},
}
SHAPES: tuple[tuple[str, str, str, dict[str, int], int], ...] = (
    ("one token in", "text", "list", {"input": 1}, 3),
    ("one token out", "text", "list", {"output": 1}, 10),
    ("a short chat", "text", "list", {"input": 812, "output": 256}, 4590),
    ("a chat with a fifth more", "text", "more", {"input": 812, "output": 256}, 5508),
    ("a chat an eighth cheaper", "text", "less", {"input": 812, "output": 256}, 4017),
    ("a chat at 103.33 %", "text", "odd", {"input": 812, "output": 256}, 4743),
    ("a chat with shares by class", "text", "classes", {"input": 812, "output": 256}, 5049),
    ("a chat on an own key at 5 %", "text", "fee", {"input": 812, "output": 256}, 230),
    ("a chat on an own key at 0.07 %", "text", "mills", {"input": 812, "output": 256}, 4),
    ("a chat on an own key, free", "text", "nothing", {"input": 812, "output": 256}, 0),
    ("cache read", "text", "list", {"input": 100, "read": 12000, "output": 50}, 15750),
    ("cache read with a fifth more", "text", "more", {"input": 100, "read": 12000, "output": 50}, 18900),
    (
        "cache read at the list, the rest a tenth more",
        "text",
        "classes",
        {"input": 100, "read": 12000, "output": 50},
        15825,
    ),
    ("cache written for five minutes", "text", "list", {"input": 10, "w5": 4000, "output": 1}, 12535),
    ("cache written for an hour", "text", "list", {"input": 10, "w1": 4000, "output": 1}, 20035),
    (
        "both caches written and one read",
        "text",
        "odd",
        {"input": 10, "read": 7, "w5": 4001, "w1": 3, "output": 9},
        13063,
    ),
    ("hidden reasoning", "text", "list", {"input": 90, "output": 12, "reasoning": 4096}, 41305),
    ("hidden reasoning at half more", "text", "classes", {"input": 90, "output": 12, "reasoning": 4096}, 61820),
    ("reasoning and nothing else", "text", "less", {"reasoning": 1}, 9),
    ("tool call as output", "text", "list", {"input": 1530, "output": 74}, 4565),
    ("tool results as input, two steps", "text", "more", {"input": 3277, "output": 113, "reasoning": 640}, 18867),
    ("batch line", "cheap", "list", {"input": 999, "output": 1}, 38),
    ("batch line of a plan", "cheap", "less", {"input": 999, "output": 1}, 33),
    ("cheap: one in", "cheap", "list", {"input": 1}, 1),
    ("cheap: twenty-seven in", "cheap", "list", {"input": 27}, 2),
    ("cheap: a million in", "cheap", "list", {"input": 1000000}, 37500),
    ("cheap: a million in at 103.33 %", "cheap", "odd", {"input": 1000000}, 38749),
    ("cheap: a million out at 103.33 %", "cheap", "odd", {"output": 1000000}, 154996),
    ("cheap: a million read at an eighth less", "cheap", "less", {"read": 1000000}, 3282),
    (
        "cheap: all classes",
        "cheap",
        "classes",
        {"input": 123, "read": 456, "w5": 78, "w1": 9, "output": 321, "reasoning": 654, "heard": 11, "spoken": 22},
        239,
    ),
    ("long: at the step", "long", "list", {"input": 200000, "output": 10}, 250100),
    ("long: one past the step", "long", "list", {"input": 200001, "output": 10}, 500153),
    ("long: past it by the cache", "long", "list", {"input": 1, "read": 200000, "output": 10}, 50153),
    ("long: past it by a write, a fifth more", "long", "more", {"input": 150000, "w5": 50001, "output": 1000}, 648004),
    ("long: past it by audio", "long", "list", {"input": 199999, "heard": 2, "output": 1}, 500093),
    ("long: reasoning past it, by class", "long", "classes", {"input": 200001, "reasoning": 2000, "output": 5}, 595086),
    ("long: an hour of writing past it", "long", "odd", {"w1": 200001}, 1033306),
    ("audio in and out", "text", "list", {"input": 14, "heard": 250, "output": 30, "spoken": 410}, 43135),
    ("audio at 130 %", "text", "media", {"input": 14, "heard": 250, "output": 30, "spoken": 410}, 55975),
    ("audio heard alone", "text", "less", {"heard": 3}, 105),
    ("image by tokens", "image", "list", {"input": 35, "output": 4160}, 166575),
    ("image by tokens, edited", "image", "more", {"input": 1290, "output": 6208}, 305724),
    ("image by the piece", "piece", "list", {"images": 1}, 39000),
    ("three by the piece at 125 %", "piece", "media", {"images": 3}, 146250),
    ("one by the piece at 5 %", "piece", "fee", {"images": 1}, 1950),
    ("one by the piece at an eighth less", "piece", "less", {"images": 1}, 34125),
    ("a minute heard", "heard", "list", {"heard": 60}, 6000),
    ("a minute heard at 130 %", "heard", "media", {"heard": 60}, 7800),
    ("a second heard at 5 %", "heard", "fee", {"heard": 1}, 5),
    ("text spoken by the character", "spoken", "list", {"input": 1337}, 20055),
    ("text spoken at 103.33 %", "spoken", "odd", {"input": 1337}, 20723),
    ("vectors", "vectors", "list", {"input": 8191}, 164),
    ("vectors, one token", "vectors", "list", {"input": 1}, 1),
    ("vectors at 7 parts of ten thousand", "vectors", "mills", {"input": 8191}, 1),
    ("tiny: a rate never rounds to nothing", "tiny", "fee", {"input": 1000000}, 1),
    ("tiny: half is rounded up", "tiny", "less", {"output": 1000000}, 3),
    ("tiny: half of a micro becomes one", "tiny", "mills", {"input": 2000000, "output": 1}, 3),
    ("free stays free with a margin", "free", "more", {"input": 1000000, "output": 1000000}, 0),
    ("nothing used", "text", "more", {}, 0),
    ("the most that a row can hold", "text", "list", {"input": 2147483647}, 5368709118),
)

FIELDS = {
    "input": "input_tokens",
    "output": "output_tokens",
    "read": "cache_read_tokens",
    "w5": "cache_write_5m_tokens",
    "w1": "cache_write_1h_tokens",
    "reasoning": "reasoning_tokens",
    "heard": "audio_input_tokens",
    "spoken": "audio_output_tokens",
    "images": "images",
}


def listed(name: str) -> Rates:
    figures = dict(LISTED[name])
    step = figures.pop("step", None)
    return Rates(**figures, long_from_tokens=step)  # pyright: ignore[reportArgumentType]


def vector(used: dict[str, int]) -> dict[str, int]:
    return {field: used.get(name, 0) for name, field in FIELDS.items()}


@pytest.mark.parametrize(("name", "rates", "plan", "used", "micros"), SHAPES, ids=[shape[0] for shape in SHAPES])
def test_a_call_costs_what_was_worked_out(name: str, rates: str, plan: str, used: dict[str, int], micros: int) -> None:
    assert prices.charge(plans.follows(listed(rates), PLANS[plan]), Usage(**vector(used))) == micros


async def test_the_database_says_the_same_of_all(books: Books) -> None:
    """Each plan is a book, each kind of rates a model; every shape is a call, flushed and proved (I11)."""
    made: dict[tuple[str, str], UUID] = {}
    async with books.operator.work() as work:
        for name in LISTED:
            await prices.put(work, f"openai/{name}", listed(name), source="test")
        for plan, shares in PLANS.items():
            book = plan if plan != "list" else "whole"
            await plans.create(work, book)
            for usage_class, share in shares.items():
                await plans.put(work, book, share, usage_class=usage_class)
            for model, price in (await prices.current(work, book)).items():
                made[model.partition("/")[2], plan] = price.id
    ref = await books.organisation(live=20_000_000_000)
    lease = await books.lend(ref, 10_000_000_000)
    rows = [
        books.row(ref, lease if micros else None, micros, **vector(used), price_id=made[rates, plan])  # pyright: ignore[reportArgumentType]
        for _, rates, plan, used, micros in SHAPES
    ]
    assert (await books.flush(rows)).booked == len(SHAPES) == 60
    proof = (await books.proofs())["I11"]
    assert (proof.value, proof.examined) == (0, 60)
