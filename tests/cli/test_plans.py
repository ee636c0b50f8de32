"""``ruxa plan``, ``ruxa price``, ``ruxa provider key`` against a running server."""

from __future__ import annotations

import json
import time
from argparse import ArgumentTypeError
from pathlib import Path

import httpx
import pytest

from fixtures_server import RunningServer, eventually
from ruxa.cli.parser import percent

OWN = "sk-own-key-of-the-customer-7Qx9"


def ask(server: RunningServer, key: str) -> httpx.Response:
    body = {"model": "sandbox/chat", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 40}
    headers = {"authorization": f"Bearer {key}"}
    return httpx.post(f"{server.base_url}/v1/chat/completions", json=body, headers=headers, timeout=20, trust_env=False)


def customer(server: RunningServer, micros: int) -> tuple[str, str]:
    """A fresh organisation with so much sandbox credit, and a key of it."""
    email = f"k{time.monotonic_ns()}@kestrel.example"
    org = server.cli_json("org", "create", "--name", "Kestrel", "--owner-email", email)["id"]
    if micros:
        server.cli("org", "credit", org, "--micros", str(micros), "--reason", "a test", "--sandbox")
    return org, server.cli_json("key", "create", "--org", org, "--name", "first")["key"]


def test_a_plan_from_its_margin_to_a_charge_made_anew(server: RunningServer) -> None:
    ruxa, name = server.cli_json, f"pro{time.monotonic_ns() % 10**9}"
    org, key = customer(server, 10_000)
    listed = int(ask(server, key).headers["ruxa-cost-micros"])
    assert ruxa("plan", "create", name, "--margin", "100", "--own-fee", "5")["models"] > 100
    shown = ruxa("plan", "set", name, "--model", "openai/*", "--class", "output", "--margin", "12.5", "--starts", "30d")
    assert [(one["model"], one["class"], one["margin"]) for one in shown["margins"]] == [
        ("*", "*", "+100%"),
        ("openai/*", "output", "+12.5%"),
    ]
    assert [one["plan"] for one in ruxa("plan", "assign", name, "--org", org)] == [name]
    assert {"name": name, "beyond": "refuse", "organisations": 1} in ruxa("plan", "list")
    answer = ask(server, key)
    assert int(answer.headers["ruxa-cost-micros"]) == 2 * listed
    eventually(lambda: server.cli_raw("price", "recompute", answer.headers["x-request-id"]).returncode == 0)
    anew = ruxa("price", "recompute", answer.headers["x-request-id"])
    assert (anew["book"], anew["holds"], anew["recomputed_micros"]) == (name, True, 2 * listed)
    assert anew["list_micros"] == listed
    assert -(-sum(term["millionths"] for term in anew["terms"]) // 1_000_000) == 2 * listed
    mine = next(line for line in ruxa("plan", "margins", "--org", org) if line["book"] == name)
    assert (mine["organisation"], mine["calls"], mine["charged_micros"]) == (org, 1, 2 * listed)
    assert mine["margin_micros"] == mine["charged_micros"] - mine["list_cost_micros"] >= listed


def test_what_the_books_hold_and_refuse(server: RunningServer) -> None:
    ruxa, name = server.cli_json, f"half{time.monotonic_ns() % 10**9}"
    ruxa("plan", "create", name, "--margin", "-50", "--own-fee", "5")
    assert [one["margin"] for one in ruxa("plan", "show", f"own:{name}")] == ["fee 5%"]
    prices = {one["model"]: one["rates"] for one in ruxa("price", "list", "openai/", "--book", name)}
    at_list = {one["model"]: one["rates"] for one in ruxa("price", "list", "openai/")}
    assert 2 * prices["openai/gpt-4o"]["input_micros"] == at_list["openai/gpt-4o"]["input_micros"]
    for args, says in (
        (("plan", "create", name), f"There is a plan {name} already."),
        (("plan", "show", "nobody"), "There is no plan 'nobody'."),
        (("plan", "set", f"own:{name}", "--margin", "5"), "takes a fee"),
        (("plan", "set", name, "--fee", "5"), "A fee is for calls on own keys"),
    ):
        done = server.cli_raw(*args)
        assert done.returncode == 2, args
        assert says in done.stderr


def test_an_own_provider_key_comes_in_once_and_is_never_printed(server: RunningServer, tmp_path: Path) -> None:
    org, key = customer(server, 0)
    file = tmp_path / "key"
    file.write_text(OWN + "\n")
    assert ask(server, key).status_code == 402
    said = server.cli("provider", "key", "add", "sandbox", "--org", org, "--key-file", str(file))
    rows = server.cli_json("provider", "key", "list", "--org", org)
    assert OWN not in said + json.dumps(rows)
    assert [(row["provider"], row["ends_in"], row["house_stands_in"]) for row in rows] == [("sandbox", "7Qx9", False)]
    answer = ask(server, key)
    assert (answer.status_code, answer.headers["ruxa-cost-micros"]) == (200, "0"), answer.text
    done = server.cli_raw("provider", "key", "add", "nobody", "--org", org, "--key-file", str(file))
    assert (done.returncode, "No provider nobody" in done.stderr) == (2, True)
    server.cli("provider", "key", "remove", "sandbox", "--org", org)
    eventually(lambda: ask(server, key).status_code == 402)


def test_a_model_is_retired_on_a_day(server: RunningServer) -> None:
    model = f"sandbox/gone{time.monotonic_ns() % 10**9}"
    server.cli("price", "set", model, "--input", "1", "--output", "1")
    assert server.cli_json("price", "retire", model, "--at", "2d")["retires_at"]
    assert [one["model"] for one in server.cli_json("price", "list", model)] == [model]
    server.cli("price", "retire", model)
    assert server.cli_json("price", "list", model) == []


@pytest.mark.parametrize(
    ("text", "points"), [("20", 2000), ("-12.5", -1250), ("0.07", 7), ("+3.33%", 333), ("-100", -10_000), ("0", 0)]
)
def test_a_percentage_is_read_exactly(text: str, points: int) -> None:
    assert percent(text) == points


@pytest.mark.parametrize("text", ["", "1.234", "-100.01", "1,5", "ten", "1e3", "--5", "٣"])
def test_what_is_no_percentage_is_refused(text: str) -> None:
    with pytest.raises(ArgumentTypeError, match="no percentage"):
        percent(text)
