"""Limits and budgets of many keys together - of a member, an organisation, a model - and which of them answers."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import httpx
import pytest

from dialect_calls import DIALECTS, call, error_of
from fixtures_gateway import House
from ruxa.access import organisations
from ruxa.access.grants import Limits
from ruxa.gateway.limits import Joint, Limiter
from ruxa.gateway.shares import Shares
from ruxa.kernel import ids
from ruxa.kernel.errors import InvalidCall, Limited, NotFound
from ruxa.ledger import budgets


class Time:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_call_needs_all_and_who_refuses_leaves_nothing_counted() -> None:
    time = Time()
    key = Limiter(5, 100, 2, time)
    wide = Limiter(3, 60, None, time, "This organisation")
    joint = Joint([key, wide], time)
    for _ in range(3):
        joint.enter()
        assert joint.expect(20) == 20
        joint.leave(20, 10)
    with pytest.raises(Limited, match="This organisation may make 3 requests") as refused:
        joint.enter()
    assert refused.value.retry_after_s == 60
    assert (key.inside, key.requests.used, wide.requests.used) == (0, 3, 3)  # type: ignore[union-attr]
    time.now += 60
    joint.enter()
    with pytest.raises(Limited, match="This organisation may use 60 a minute"):
        joint.expect(61)
    assert (key.tokens.used, wide.tokens.used) == (0, 0)  # type: ignore[union-attr]
    joint.leave(0, 0)
    assert (key.inside, wide.inside) == (0, 0)
    key.concurrency = 0
    with pytest.raises(Limited, match="This key may have 0 calls"):
        joint.enter()
    assert wide.inside == 0


def test_what_is_taken_back_is_taken_back_for_other_workers_too(tmp_path: Any) -> None:
    one, other = Shares(tmp_path, "one"), Shares(tmp_path, "other")
    one.tick([])
    wide_id = UUID(int=7 << 64 | 7)
    here = one.limiter(wide_id, (2, None, None), "This organisation")
    there = other.limiter(wide_id, (2, None, None), "This organisation")
    here.enter()
    here.undo()
    for _ in range(2):
        there.enter()
    with pytest.raises(Limited):
        here.enter()
    one.close()
    other.close()


async def limit(house: House, limits: Limits, **of: Any) -> None:
    async with house.console.work() as work:
        await organisations.limit(work, house.organisation_id, limits, **of)


async def ask(house: House, dialect: str, secret: str, model: str = "sandbox/chat") -> httpx.Response:
    path, body = call(dialect, model, "x")
    return await house.client.post(path, json=body, headers={"authorization": f"Bearer {secret}"})


async def test_an_organisations_limit_binds_all_its_keys_in_every_dialect(house: House) -> None:
    await house.begin()
    _, other = await house.key()
    await limit(house, Limits(requests_per_minute=3))
    await house.serve()
    answers = [await ask(house, "openai_chat", secret) for secret in (house.secret, other, house.secret)]
    assert [answer.status_code for answer in answers] == [200] * 3
    assert [answer.headers["x-ratelimit-remaining-requests"] for answer in answers] == ["2", "1", "0"]
    for dialect in DIALECTS:
        refused = await ask(house, dialect, other)
        assert refused.status_code == 429
        assert error_of(dialect, refused.content)["message"].startswith("This organisation may make 3 requests")
        assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert all(row["amount_micros"] == 0 for row in await house.rows() if row["status"] == 429)


async def test_a_change_holds_within_two_seconds_and_forgets_nothing(house: House) -> None:
    await house.begin()
    await house.serve()
    assert (await ask(house, "openai_chat", house.secret)).status_code == 200
    before = house.pipeline._snapshot._changes
    await limit(house, Limits(concurrency=1, requests_per_minute=1))
    for _ in range(100):
        if house.pipeline._snapshot._changes != before:
            break
        await asyncio.sleep(0.02)
    assert (await ask(house, "openai_chat", house.secret)).status_code == 200
    assert (await ask(house, "openai_chat", house.secret)).status_code == 429


async def test_a_models_limit_binds_the_calls_of_that_model(house: House) -> None:
    await house.begin()
    await limit(house, Limits(requests_per_minute=1, tokens_per_minute=10_000), model="sandbox/chat")
    await house.serve()
    assert (await ask(house, "openai_chat", house.secret)).status_code == 200
    for dialect in DIALECTS:
        refused = await ask(house, dialect, house.secret)
        assert refused.status_code == 429
        assert (
            "This organisation, of sandbox/chat, may make 1 requests" in error_of(dialect, refused.content)["message"]
        )
    assert (await ask(house, "openai_chat", house.secret, "sandbox/fail-529")).status_code == 503
    entry = next(iter(house.pipeline._snapshot._entries.values()))
    (of_model,) = entry.by_model.values()
    assert of_model.inside == 0
    assert 0 < of_model.tokens.used < 100


async def test_a_members_limit_binds_the_keys_that_the_member_made(house: House) -> None:
    await house.begin()
    member = ids.fresh()
    house.sql("INSERT INTO access.member (id, email_index, email_sealed) VALUES (%s, %s, %s)", member, bytes(32), b"x")
    house.sql(
        "INSERT INTO access.membership (organisation_id, member_id, role, accepted_at)"
        " VALUES (%s, %s, 'developer', ruxa.now())",
        house.organisation_id,
        member,
    )
    (mine, first), (_, other) = await house.key(), await house.key()
    house.sql("UPDATE access.key SET created_by = %s WHERE id = %s", member, mine)
    async with house.console.work() as work:
        await organisations.limit_member(work, house.organisation_id, member, Limits(requests_per_minute=1))
        with pytest.raises(NotFound):
            await organisations.limit_member(work, house.organisation_id, ids.fresh(), Limits())
    await house.serve()
    assert (await ask(house, "openai_chat", first)).status_code == 200
    refused = await ask(house, "openai_chat", first)
    assert refused.status_code == 429
    assert "The member who made this key may make 1 requests" in refused.text
    assert (await ask(house, "openai_chat", other)).status_code == 200


async def test_limits_are_checked_and_one_model_changes_no_other(house: House) -> None:
    await house.begin()
    async with house.console.work() as work:
        organisation = house.organisation_id
        await organisations.limit(work, organisation, Limits(requests_per_minute=9))
        await organisations.limit(work, organisation, Limits(concurrency=2), model="a/b")
        made = await organisations.limit(work, organisation, Limits(tokens_per_minute=5), model="c/d")
        assert made.requests_per_minute == 9
        assert made.models == {"a/b": Limits(concurrency=2), "c/d": Limits(tokens_per_minute=5)}
        made = await organisations.limit(work, organisation, Limits(), model="a/b")
        assert list(made.models) == ["c/d"]
        assert await organisations.limits(work, organisation) == made
        for wrong in (Limits(requests_per_minute=0), Limits(concurrency=2**53)):
            with pytest.raises(InvalidCall):
                await organisations.limit(work, organisation, wrong)
        with pytest.raises(NotFound):
            await organisations.limit(work, ids.fresh(), Limits())


async def test_the_budget_of_an_organisation_answers_in_its_own_name(house: House) -> None:
    await house.begin()
    async with house.operator.work() as work:
        ref = house.organisation_ref
        await budgets.put(work, "organisation", ref, ref, limit_micros=1, period="day")
    await house.serve()
    for dialect in DIALECTS:
        refused = await ask(house, dialect, house.secret)
        assert refused.status_code == 402
        assert "The budget of this organisation" in error_of(dialect, refused.content)["message"]
    await house.stop()
    assert not house.proofs()
