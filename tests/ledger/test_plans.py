"""Plans: books that follow from the list, exactly; margins by model, class and day; organisations' plans by day."""

from __future__ import annotations

from datetime import date, timedelta
from fractions import Fraction
from math import floor
from uuid import uuid4

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from books import RATES, Books
from ruxa.kernel.clock import Clock
from ruxa.kernel.errors import Conflict, InvalidCall, NotFound
from ruxa.ledger import plans, prices
from ruxa.ledger.plans import Margin
from ruxa.store.work import Work


@given(st.integers(0, 10**12), st.integers(0, plans.SHARE_MAX))
def test_a_rate_is_rounded_half_up_and_never_to_nothing(rate: int, share: int) -> None:
    exact = Fraction(rate * share, 10_000)
    made = plans.scaled(rate, share)
    if not rate or not share:
        assert made == 0
    else:
        assert made == max(floor(exact + Fraction(1, 2)), 1)


@pytest.mark.parametrize(
    ("share", "said"),
    [(10_000, "+0%"), (12_000, "+20%"), (8_750, "-12.5%"), (10_333, "+3.33%"), (0, "-100%"), (None, "left out")],
)
def test_a_margin_reads_as_a_percentage(share: int | None, said: str) -> None:
    assert Margin(pattern="*", usage_class="*", share=share, since=Clock().now()).percent == said


async def book(work: Work, name: str) -> dict[str, int]:
    """The input rate of every model of a book."""
    return {model: price.input_micros for model, price in (await prices.current(work, name)).items()}


async def plan(books: Books, name: str, share: int | None = 12_000, *, beyond_list: bool = False) -> None:
    async with books.operator.work() as work:
        await plans.create(work, name, beyond_list=beyond_list)
        if share is not None:
            await plans.put(work, name, share)


async def test_a_plan_follows_the_list(books: Books) -> None:
    await plan(books, "pro")
    async with books.operator.work() as work:
        made = await prices.current(work, "pro")
        listed = await prices.current(work)
        assert await book(work, "own:pro") == {"openai/test": 0, "sandbox/test": 0}
    assert {model: price.input_micros for model, price in made.items()} == {
        "openai/test": 1_200_000,
        "sandbox/test": 1_200_000,
    }
    price = made["openai/test"]
    assert (price.book, price.listed, price.list_id) == ("pro", listed["openai/test"].id, listed["openai/test"].id)
    assert listed["openai/test"].listed == listed["openai/test"].id
    assert price.id != price.listed
    async with books.operator.work() as work:
        await prices.put(work, "openai/test", prices.rates(7, 5), source="test")
        assert (await prices.current(work, "pro"))["openai/test"].input_micros == 8  # 8.4
        assert (await prices.current(work, "pro"))["openai/test"].output_micros == 6
        history = await prices.history(work, "openai/test", "pro")
    assert [end is None for _, _, end in history] == [True, False]
    assert history[1][0].id == price.id


async def test_the_most_exact_margin_decides(books: Books) -> None:
    async with books.operator.work() as work:
        for model in ("openai/small", "openai/smaller", "mistral/small"):
            await prices.put(work, model, RATES, source="test")
        await plans.create(work, "pro")
        for pattern, usage_class, share in (
            ("*", "*", 11_000),
            ("openai/*", "*", 12_000),
            ("openai/sm*", "output", 13_000),
            ("openai/small", "*", 14_000),
            ("mistral/*", "*", None),
        ):
            await plans.put(work, "pro", share, pattern=pattern, usage_class=usage_class)  # pyright: ignore[reportArgumentType]
        made = await prices.current(work, "pro")
        rules = await plans.margins(work, "pro")
    assert {model: (price.input_micros, price.output_micros) for model, price in made.items()} == {
        "sandbox/test": (1_100_000, 2_200_000),
        "openai/test": (1_200_000, 2_400_000),
        "openai/smaller": (1_200_000, 2_600_000),
        "openai/small": (1_400_000, 2_800_000),
    }
    for model in ("openai/small", "openai/smaller", "openai/test", "sandbox/test"):
        shares: dict[plans.Class, int] = {name: plans.share_of(rules, model, name) or 0 for name in plans.CLASSES[1:]}
        assert plans.follows(RATES, shares).output_micros == made[model].output_micros
    assert plans.share_of(rules, "mistral/small", "input") is None
    assert plans.share_of([], "openai/test", "input") is None


async def test_a_class_without_a_share_leaves_the_model_out(books: Books) -> None:
    async with books.operator.work() as work:
        await plans.create(work, "half")
        await plans.put(work, "half", 10_000, usage_class="output")
        assert await book(work, "half") == {}
        await plans.put(work, "half", 12_000, usage_class="input")
        assert await book(work, "half") == {}
        for usage_class in ("cache", "reasoning", "audio", "image"):
            await plans.put(work, "half", 10_000, usage_class=usage_class)  # pyright: ignore[reportArgumentType]
        assert (await book(work, "half"))["openai/test"] == 1_200_000
        assert await plans.end(work, "half", pattern="*", usage_class="audio")
        assert await book(work, "half") == {}
        assert await plans.end(work, "half", pattern="openai/none") is None


async def test_announced_changes_start_on_their_day_in_every_book(books: Books) -> None:
    now = Clock().now()
    await plan(books, "pro")
    async with books.operator.work() as work:
        await prices.put(work, "openai/test", prices.rates(10, 10), source="test", starts=now + timedelta(days=2))
        await plans.put(work, "pro", 20_000, pattern="openai/*", starts=now + timedelta(days=4))
        await plans.put(work, "pro", None, pattern="openai/*", starts=now + timedelta(days=9))
        await plans.put(work, "pro", None, pattern="openai/*", starts=now + timedelta(days=6))  # in its place
        history = await prices.history(work, "openai/test", "pro")
    assert [price.input_micros for price, _, _ in history] == [20, 12, 1_200_000]
    assert all(end is not None for _, _, end in history)
    seen: list[int | None] = []
    for days in (2, 4, 6, 8):
        async with books.gateway.work() as work:
            seen.append((await book(work, "pro")).get("openai/test"))
        await books.later(days * 86_400 + 5)
    assert seen == [1_200_000, 12, 20, None]
    async with books.gateway.work() as work:
        assert (await book(work, "list"))["openai/test"] == 10


async def test_what_says_the_same_changes_nothing(books: Books) -> None:
    await plan(books, "pro")
    async with books.operator.work() as work:
        before = await prices.current(work, "pro")
        first = await plans.put(work, "pro", 12_000)
        assert await plans.put(work, "pro", 12_000) == first
        later = await plans.put(work, "pro", 15_000, starts=Clock().now() + timedelta(days=1))
        assert later != first
        assert await plans.put(work, "pro", 12_000) == first  # what was announced is taken back
        assert await plans.put(work, "pro", 12_000, pattern="openai/*")  # another rule that changes no price
        assert await prices.current(work, "pro") == before
        history = await prices.history(work, "openai/test", "pro")
    assert len(history) == 1
    assert history[0][2] is None


async def test_a_retired_model_has_no_price_in_any_book(books: Books) -> None:
    await plan(books, "pro")
    day = Clock().now() + timedelta(days=3)
    async with books.operator.work() as work:
        assert await prices.retire(work, "openai/none") is None
        assert await prices.retire(work, "openai/test", day) == books.price["live"]
        assert await prices.retire(work, "openai/test", day + timedelta(days=1)) == books.price["live"]
        assert await prices.put(work, "openai/test", RATES, source="test") == books.price["live"]  # it stays
        assert (await prices.history(work, "openai/test"))[0][2] is None
        await prices.retire(work, "openai/test", day)
        ends = [(await prices.history(work, "openai/test", name))[0][2] for name in ("list", "pro", "own:pro")]
    assert ends == [day, day, day]
    with pytest.raises(Conflict) as past:
        async with books.operator.work() as work:
            await prices.retire(work, "openai/test", Clock().now() - timedelta(days=3))
    assert past.value.code == "RX041"
    await books.later(3 * 86_400 + 5)
    async with books.operator.work() as work:
        for name in ("list", "pro", "own:pro"):
            assert "openai/test" not in await prices.current(work, name)
        assert await prices.retire(work, "openai/test") is None


async def test_the_seed_leaves_retired_models_alone(books: Books) -> None:
    async with books.operator.work() as work:
        await prices.seed(work, ["sandbox"])
        await prices.retire(work, "sandbox/chat")
        assert await prices.seed(work, ["sandbox"]) == 0
        assert "sandbox/chat" not in await prices.current(work)


async def test_a_plan_is_made_once_and_has_a_plain_name(books: Books) -> None:
    await plan(books, "pro")
    with pytest.raises(Conflict) as twice:
        await plan(books, "pro")
    assert twice.value.code == "plan_exists"
    async with books.operator.work() as work:
        for name in ("list", "own:pro", "Pro", "", "a" * 41, "a b"):
            with pytest.raises(InvalidCall):
                await plans.create(work, name)
        for wrong in ({"share": -1}, {"share": plans.SHARE_MAX + 1}, {"share": None, "usage_class": "input"},
                      {"share": 1, "pattern": "a*b"}, {"share": 1, "pattern": ""}):  # fmt: skip
            with pytest.raises(InvalidCall):
                await plans.put(work, "pro", **wrong)  # pyright: ignore[reportArgumentType]
        for name in ("nobody", "own:nobody"):
            with pytest.raises(NotFound):
                await plans.put(work, name, 1)
            with pytest.raises(NotFound):
                await plans.margins(work, name)
        assert [(one.name, one.beyond_list) for one in await plans.listed(work)] == [("list", False), ("pro", False)]
    with pytest.raises(Conflict) as past:
        async with books.operator.work() as work:
            await plans.put(work, "pro", 1, starts=Clock().now() - timedelta(days=1))
    assert past.value.code == "RX041"


async def test_an_own_keys_book_takes_a_fee(books: Books) -> None:
    async with books.operator.work() as work:
        assert await plans.own_book(work, "list") == "own:list" == await plans.own_book(work, "list")
        assert await book(work, "own:list") == {"openai/test": 0, "sandbox/test": 0}
        await plans.put(work, "own:list", 500)
        price = (await prices.current(work, "own:list"))["openai/test"]
    assert (price.input_micros, price.output_micros) == (50_000, 100_000)
    assert plans.paid_for(price)
    assert [one.name for one in await _listed(books)] == ["list"]


async def _listed(books: Books) -> list[plans.Plan]:
    async with books.operator.work() as work:
        return await plans.listed(work)


async def test_an_organisation_has_one_plan_at_a_time(books: Books) -> None:
    await plan(books, "pro")
    await plan(books, "max", 9_000)
    ref = uuid4()
    now = Clock().now()
    async with books.operator.work() as work:
        assert await plans.of(work, ref) == "list"
        first = await plans.assign(work, ref, "pro")
        assert await plans.assign(work, ref, "pro") == first
        await plans.assign(work, ref, "max", starts=now + timedelta(days=1))
        await plans.assign(work, ref, "list", starts=now + timedelta(days=3))
        await plans.assign(work, ref, "max", starts=now + timedelta(days=2))  # in the place of what was to come
        assert await plans.of(work, ref) == "pro"
        assert [one.organisations for one in await plans.listed(work)] == [0, 0, 1]
    for name in ("nobody", "own:pro"):
        with pytest.raises((NotFound, Conflict)):
            async with books.operator.work() as work:
                await plans.assign(work, ref, name)
    await books.later(2 * 86_400 + 5)
    async with books.operator.work() as work:
        assert await plans.of(work, ref) == "max"
        back = await plans.assign(work, ref, "list")
        assert await plans.of(work, ref) == "list"
        history = await plans.history(work, ref)
    assert [one.book for one in history] == ["list", "max", "pro"]
    assert back
    assert [one.until is None for one in history] == [True, False, False]
    assert history[0].since == history[1].until


async def test_what_was_in_force_is_never_changed(books: Books) -> None:
    await plan(books, "pro")
    async with books.operator.work() as work:
        await plans.assign(work, uuid4(), "pro")
    await books.later(60)
    async with await psycopg.AsyncConnection.connect(books.database.url("ruxa_owner"), autocommit=True) as owner:
        for attack in (
            "UPDATE ledger.margin SET share = 1",
            "DELETE FROM ledger.margin",
            "TRUNCATE ledger.margin",
            "UPDATE ledger.margin SET effective = tstzrange(lower(effective), lower(effective) + interval '1 s')",
            "UPDATE ledger.organisation_plan SET book = 'list'",
            "DELETE FROM ledger.organisation_plan",
            "TRUNCATE ledger.organisation_plan",
            "UPDATE ledger.book SET beyond_list = true",
            "DELETE FROM ledger.book",
            "DELETE FROM ledger.price WHERE book = 'pro'",
            "UPDATE ledger.price SET input_micros = 1 WHERE book = 'pro'",
        ):
            with pytest.raises(psycopg.Error) as refused:
                await owner.execute(attack)  # pyright: ignore[reportArgumentType]
            assert refused.value.sqlstate == "RX900", attack
    for login in ("ruxa_gateway", "ruxa_console", "ruxa_operator", "ruxa_worker"):
        async with await psycopg.AsyncConnection.connect(books.database.url(login), autocommit=True) as other:
            for table in ("book", "margin", "organisation_plan", "price"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    await other.execute(f"DELETE FROM ledger.{table}")  # pyright: ignore[reportArgumentType]


async def test_a_shelf_reads_only_what_is_new(books: Books) -> None:
    shelf = prices.Shelf()
    async with books.gateway.work() as work:
        assert await shelf.refresh(work)
        assert not await shelf.refresh(work)
    kept = shelf.books["list"]["sandbox/test"]
    await plan(books, "pro", beyond_list=True)
    async with books.gateway.work() as work:
        assert await shelf.refresh(work)
        assert shelf.books["pro"] == await prices.current(work, "pro")
        assert shelf.books["list"] == await prices.current(work)
    assert shelf.books["list"]["sandbox/test"] is kept
    assert shelf.beyond == {"pro"}
    async with books.operator.work() as work:
        await prices.retire(work, "openai/test")
    async with books.gateway.work() as work:
        assert await shelf.refresh(work)
        assert not await shelf.refresh(work)
    assert "openai/test" not in shelf.books["pro"]


async def test_the_cost_stands_beside_the_charge(books: Books) -> None:
    """A plan with a fifth more, one that gives a half away, own keys, the platform's loss: each by its own line."""
    for name, share in (("pro", 12_000), ("half", 5_000)):
        await plan(books, name, share)
    async with books.operator.work() as work:
        await plans.put(work, "own:pro", 1_000)
        made = {name: (await prices.current(work, name))["openai/test"].id for name in ("pro", "half", "own:pro")}
    made["list"] = books.price["live"]
    ref, other = await books.organisation(live=100_000), await books.organisation(live=100_000)
    lease, theirs = await books.lend(ref, 90_000), await books.lend(other, 90_000)
    rows = [
        books.row(ref, lease, 120, input_tokens=100, price_id=made["pro"]),
        books.row(ref, lease, 132, input_tokens=10, output_tokens=50, price_id=made["pro"]),
        books.row(ref, lease, 15, input_tokens=30, price_id=made["half"]),
        books.row(ref, lease, 10, input_tokens=100, price_id=made["own:pro"]),
        books.row(other, theirs, 40, input_tokens=40, price_id=made["list"]),
        books.row(other, theirs, 0, waived_micros=7, input_tokens=7, price_id=made["list"]),
    ]
    assert (await books.flush(rows)).booked == len(rows)
    today = Clock().now().date()
    async with books.console.work() as work:
        lines = await plans.report(work, date(today.year, today.month, 1), today + timedelta(days=1))
        mine = await plans.report(work, today - timedelta(days=40), today + timedelta(days=1), ref)
    figures = {
        (line.organisation_ref, line.book): (line.calls, line.amount_micros, line.waived_micros, line.cost_micros)
        for line in lines
    }
    assert figures == {
        (ref, "pro"): (2, 252, 0, 210),
        (ref, "half"): (1, 15, 0, 30),
        (ref, "own:pro"): (1, 10, 0, 0),
        (other, "list"): (2, 40, 7, 47),
    }
    assert {line.book: line.margin_micros for line in mine} == {"pro": 42, "half": -15, "own:pro": 10}
    assert all(not proof.value for proof in (await books.proofs()).values())
