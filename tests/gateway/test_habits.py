"""What every call of a key wants without saying so: answers used again, responses kept, routes of its own."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fixtures_gateway import House
from ruxa.access import habits, keys
from ruxa.access.habits import Habits
from ruxa.kernel.errors import InvalidCall


async def ask(house: House, text: str, model: str = "sandbox/chat", secret: str = "", **headers: str) -> Any:
    body = {"model": model, "messages": [{"role": "user", "content": text}]}
    sent = {"authorization": f"Bearer {secret or house.secret}", **headers}
    return await house.client.post("/v1/chat/completions", json=body, headers=sent)


async def kept(house: House, count: int) -> None:
    for _ in range(200):
        if len(house.sql("SELECT 1 FROM content.repeat WHERE state = 'kept'")) >= count:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(house.sql("SELECT kind, state FROM content.repeat"))


async def test_answers_are_used_again_by_the_keys_own_wish(house: House) -> None:
    await house.begin(habits=Habits(cache_s=600))
    await house.serve()
    for _ in range(2):  # also where the settings of the call are known
        assert (await ask(house, "warm", **{"ruxa-cache": "false"})).status_code == 200
    made = house.sandbox.requests
    first = await ask(house, "one two")
    assert "ruxa-answered-from" not in first.headers
    await kept(house, 1)
    again = await ask(house, "one two")
    assert again.headers["ruxa-answered-from"] == "cache"
    assert (again.content, again.headers["ruxa-cost-micros"]) == (first.content, "0")
    assert house.sandbox.requests == made + 1
    # A call says otherwise, and another key wants nothing of it.
    assert "ruxa-answered-from" not in (await ask(house, "one two", **{"ruxa-cache": "false"})).headers
    _, other = await house.key()
    assert "ruxa-answered-from" not in (await ask(house, "one two", secret=other)).headers
    # Changed while it is used: followed within the 2 s that every change of a key has.
    async with house.console.work() as work:
        await keys.accustom(work, house.organisation_id, house.key_id, Habits())
    await house.heard()
    assert "ruxa-answered-from" not in (await ask(house, "one two")).headers


async def test_calls_go_where_the_key_says(house: House) -> None:
    routes = {
        "fast": ("sandbox/chat",),
        "sandbox/chat": ("sandbox/fail-503", "sandbox/chat"),
        "gone": ("sandbox/nothing",),
    }
    await house.begin(habits=Habits(routes=routes))
    await house.serve()
    by_name = await ask(house, "x", "fast")
    assert by_name.headers["ruxa-model"] == "sandbox/chat", "a route leads to no other route of the key"
    fallen = await ask(house, "x")
    assert (fallen.status_code, fallen.headers["ruxa-model"]) == (200, "sandbox/chat")
    assert (await house.row(fallen.headers["x-request-id"]))["attempts"] > 1, "the first of the route was asked first"
    assert (await ask(house, "x", "gone")).status_code == 404
    _, other = await house.key()
    assert (await ask(house, "x", "fast", secret=other)).status_code == 404
    # It is no way round what the key may use.
    _, narrow = await house.key(models=("sandbox/embedding",), habits=Habits(routes={"fast": ("sandbox/chat",)}))
    assert (await ask(house, "x", "fast", secret=narrow)).status_code == 403


async def test_responses_are_kept_and_nothing_else(house: House) -> None:
    await house.begin(habits=Habits(keep_responses=True))
    await house.serve()

    async def respond(secret: str, **more: Any) -> Any:
        body = {"model": "sandbox/chat", "input": "My name is Ann.", **more}
        return await house.client.post("/v1/responses", json=body, headers={"authorization": f"Bearer {secret}"})

    first = (await respond(house.secret)).json()
    second = await respond(house.secret, previous_response_id=first["id"])
    assert second.status_code == 200, second.text
    never = (await respond(house.secret, store=False)).json()
    assert (await respond(house.secret, previous_response_id=never["id"])).status_code == 400
    _, plain = await house.key()
    other = (await respond(plain)).json()
    assert (await respond(plain, previous_response_id=other["id"])).status_code == 400
    assert house.sql("SELECT count(*) FROM content.item") == [(0,)], "the content of calls is not stored"


@pytest.mark.parametrize(
    ("wish", "param"),
    [
        (Habits(cache_s=-1), "cache_s"),
        (Habits(cache_s=86_401), "cache_s"),
        (Habits(routes={"a": ()}), "routes"),
        (Habits(routes={"a": ("x",) * 99}), "routes"),
        (Habits(routes={"a b": ("x",)}), "routes"),
        (Habits(routes={"a": ("x\n",)}), "routes"),
        (Habits(routes={f"n{number}": ("x",) for number in range(33)}), "routes"),
    ],
)
def test_what_habits_must_be(wish: Habits, param: str) -> None:
    with pytest.raises(InvalidCall) as error:
        habits.check(wish)
    assert error.value.param == param


def test_routes_as_people_write_them() -> None:
    wish = Habits(routes={"fast": ("a/x", "b/y"), "best": ("c/z",)})
    assert habits.lines(wish) == "best = c/z\nfast = a/x, b/y"
    assert habits.read_lines(habits.lines(wish)) == wish.routes
    assert habits.read_lines("\n  \n") == {}
    for wrong in ("fast", "a=b\na=c"):
        with pytest.raises(InvalidCall):
            habits.read_lines(wrong)
    assert habits.told(wish) == "routes=2"
    assert habits.told(Habits(cache_s=5, keep_responses=True)) == "cache_s=5,keep_responses"
