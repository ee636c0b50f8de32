"""The commands against a running server: the JSON that scripts rely on, and the words people read."""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from fixtures_server import RunningServer, eventually
from ruxa.app import database, instance
from ruxa.kernel import ids
from ruxa.kernel import settings as settings_
from ruxa.kernel.clock import Clock
from ruxa.kernel.signals import JsonLines

Make = Callable[..., RunningServer]


@pytest.fixture
def org(server: RunningServer) -> str:
    """A fresh organisation with a cent of sandbox credit."""
    made = server.cli_json(
        "org", "create", "--name", "Kestrel", "--owner-email", f"k{time.monotonic_ns()}@kestrel.example"
    )
    server.cli("org", "credit", made["id"], "--micros", "10000", "--reason", "a test", "--sandbox")
    return made["id"]


def test_an_organisation(server: RunningServer) -> None:
    made = server.cli_json("org", "create", "--name", "Kestrel Works", "--owner-email", "owner@kestrel.example")
    assert {"id", "name", "balance_micros", "held_micros"} <= set(made)
    assert made["name"] == "Kestrel Works"
    assert (made["balance_micros"], made["held_micros"]) == (0, 0)
    assert made["owner_link"].startswith(server.base_url + "/")
    assert made["id"] in {row["id"] for row in server.cli_json("org", "list")}
    credited = server.cli_json("org", "credit", made["id"], "--micros", "1_500_000", "--reason", "contract 7")
    assert credited["balance_micros"] == credited["live_micros"] == 1_500_000
    assert server.cli_json("org", "show", made["id"]) == {**credited}
    lines = server.cli_json("ledger", "lines", "--org", made["id"])
    assert [(line["code"], line["amount_micros"]) for line in lines] == [("credit", 1_500_000)]
    assert "1.500000 USD" in server.cli("org", "show", made["id"])
    assert "Kestrel Works" in server.cli("org", "list")


@pytest.mark.parametrize("org_id", ["org_" + "0" * 32, "org_nonsense", "key_" + "0" * 32, "x"])
def test_an_unknown_organisation(server: RunningServer, org_id: str) -> None:
    says = f"{org_id} is no organisation id (org_ and 32 hex digits); `ruxa org list` shows them."
    if org_id.startswith("org_0"):
        says = "No such organisation."
    for args in (("org", "show", org_id), ("usage", "list", "--org", org_id), ("key", "list", "--org", org_id)):
        done = server.cli_raw(*args)
        assert done.returncode == 2, args
        assert done.stderr == f"ruxa: {says}\n"


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("key", "revoke", "k"), "k is no key id (key_ and 32 hex digits); `ruxa key list --org ORG` shows them."),
        (("key", "rotate", "rx_live_abc"), "That is no key id (key_ and 32 hex digits)"),
        (("usage", "show", "k"), "k is no call id (req_ and 32 hex digits); `ruxa usage list --org ORG` shows them."),
    ],
)
def test_what_is_no_id(server: RunningServer, args: tuple[str, ...], says: str) -> None:
    done = server.cli_raw(*args)
    assert done.returncode == 2
    assert done.stderr.startswith(f"ruxa: {says}")
    assert "rx_" not in done.stderr


def test_a_key_is_shown_once_used_rotated_and_revoked(server: RunningServer, org: str) -> None:
    made = server.cli_json("key", "create", "--org", org, "--name", "first", "--rpm", "100", "--expires", "1d")
    assert re.fullmatch(r"key_[0-9a-f]{32}", made["id"])
    assert re.fullmatch(r"rx_live_[0-9A-Za-z]{39}", made["key"])
    assert server.chat(key=made["key"])[0] == 200
    listed = server.cli_json("key", "list", "--org", org)
    assert [(row["id"], row["name"], row["rpm"]) for row in listed] == [(made["id"], "first", 100)]
    assert made["key"] not in json.dumps(listed)
    expires = datetime.fromisoformat(listed[0]["expires_at"])
    assert abs(expires - datetime.now(UTC) - timedelta(days=1)) < timedelta(minutes=5)

    renewed = server.cli_json("key", "rotate", made["id"], "--overlap", "0")
    assert renewed["id"] == made["id"]
    assert renewed["key"] != made["key"]
    begun = time.monotonic()
    eventually(lambda: server.chat(key=made["key"])[0] == 401, 5)
    assert time.monotonic() - begun < 2.5
    assert server.chat(key=renewed["key"])[0] == 200

    assert server.cli_json("key", "revoke", made["id"]) == {"id": made["id"], "revoked": True}
    begun = time.monotonic()
    eventually(lambda: server.chat(key=renewed["key"])[0] == 401, 5)
    assert time.monotonic() - begun < 2.5
    server.cli("key", "revoke", made["id"])
    server.cli("key", "rotate", made["id"], code=2)


def test_a_key_with_bounds(server: RunningServer, org: str) -> None:
    made = server.cli_json(
        *("key", "create", "--org", org, "--name", "bounded", "--test", "--models", "sandbox/embedding"),
        *("--scopes", "chat,embeddings", "--budget-micros", "100", "--budget-period", "day"),
    )
    assert made["key"].startswith("rx_test_")
    assert server.chat(key=made["key"])[0] == 403
    body = {"model": "sandbox/embedding", "input": "one two three"}
    assert server.http("POST", "/v1/embeddings", body, key=made["key"])[0] == 200
    row = server.cli_json("key", "list", "--org", org)[0]
    assert row["budget_micros"] == 100
    assert row["models"] == ["sandbox/embedding"]
    for wrong in (("--scopes", "everything"), ("--budget-micros", "5"), ("--expires", "yesterday"), ("--rpm", "0")):
        assert server.cli_raw("key", "create", "--org", org, "--name", "n", *wrong).returncode == 2


def test_a_key_for_models_that_are_not_there_says_so(server: RunningServer, org: str) -> None:
    wanted = "sandbox/chat,sandbox/caht,sandbox/*,nobody/*,gpt-4o-mini"
    done = server.cli_raw("key", "create", "--org", org, "--name", "n", "--models", wanted, "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["key"]
    assert done.stderr.splitlines() == [
        "ruxa: note: no model sandbox/caht has a price here; did you mean sandbox/chat?",
        "ruxa: note: no model nobody/* has a price here.",
    ]
    shadow = server.cli_raw("route", "set", "sandbox/embedding", "sandbox/embedding-2")
    assert "ruxa: note: sandbox/embedding is a model with a price" in shadow.stderr
    server.cli("route", "remove", "sandbox/embedding")
    assert server.cli_raw("route", "set", "best", "sandbox/chat").stderr == ""
    routed = server.cli_raw("key", "create", "--org", org, "--name", "n", "--models", "best", "--json")
    assert routed.stderr == ""
    secret = json.loads(routed.stdout)["key"]
    wanted_routes = [{"name": "best", "targets": ["sandbox/chat"]}]
    eventually(lambda: json.loads(server.http("GET", "/api/v1/models", key=secret)[2])["routes"] == wanted_routes, 8)

    def asked(name: str) -> tuple[int, str]:
        body = {"model": name, "messages": [{"role": "user", "content": "x"}]}
        status, headers, _ = server.http("POST", "/v1/chat/completions", body, key=server.key)
        return status, headers.get("ruxa-model", "")

    assert asked("best") == (200, "sandbox/chat"), "calls go along the route"
    server.cli("route", "remove", "best")
    eventually(lambda: asked("best")[0] == 404, 8)
    done = server.cli_raw("key", "create", "--org", org, "--name", "n", "--store-days", "24")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "ruxa: Content is kept 0 to 23 days.\n"
    status, _, told = server.http("POST", "/api/v1/keys", {"name": "n", "store_days": 24}, key=server.key)
    assert status in (400, 403), told
    made = server.cli_json("key", "create", "--org", org, "--name", "n", "--store-days", "7")
    assert made["key"]


def test_a_key_with_habits(server: RunningServer, org: str) -> None:
    """What every call of a key wants, as it is made and changed; a running server follows."""
    made = server.cli_json(
        "key", "create", "--org", org, "--name", "h", "--cache-s", "60", "--route", "fast=sandbox/chat"
    )

    def row() -> dict[str, Any]:
        return {line["id"]: line for line in server.cli_json("key", "list", "--org", org)}[made["id"]]

    assert (row()["cache_s"], row()["keep_responses"], row()["routes"]) == (60, False, {"fast": ["sandbox/chat"]})
    changed = server.cli_json(
        "key", "set", made["id"], "--keep-responses", "on", "--route", "slow=sandbox/chat,sandbox/x"
    )
    assert changed == {
        "id": made["id"],
        "cache_s": 60,
        "keep_responses": True,
        "routes": {"fast": ["sandbox/chat"], "slow": ["sandbox/chat", "sandbox/x"]},
    }
    server.cli("key", "set", made["id"], "--cache-s", "0", "--keep-responses", "off", "--route", "slow=")
    assert (row()["cache_s"], row()["keep_responses"], row()["routes"]) == (0, False, {"fast": ["sandbox/chat"]})
    done = server.cli_raw("key", "set", made["id"], "--cache-s", "86401")
    assert (done.returncode, done.stderr) == (2, "ruxa: Answers are used again for 0 to 86400 seconds.\n")


def test_a_key_with_a_guard(server: RunningServer, org: str) -> None:
    made = server.cli_json(
        *("key", "create", "--org", org, "--name", "g", "--guard", "mask", "--guard-kinds", "email,card")
    )
    listed = {row["id"]: row["guard"] for row in server.cli_json("key", "list", "--org", org)}
    assert listed[made["id"]] == ["mask", "email", "card"]
    strict = ("--policy", "no-training", "--concurrency", "7", "--store-days", "3")
    server.cli(
        "key", "create", "--org", org, "--name", "s", *strict, "--budget-micros", "100", "--budget-period", "day"
    )
    table = server.cli("key", "list", "--org", org)
    for said in ("mask, email, card", "no-training", "concurrency", "store_days", "0.000100 USD", "day"):
        assert said in table, said
    done = server.cli_raw("key", "create", "--org", org, "--name", "n", "--guard-kinds", "email")
    assert (done.returncode, done.stderr) == (2, "ruxa: --guard-kinds needs --guard mask or --guard refuse.\n")
    done = server.cli_raw("key", "create", "--org", org, "--name", "n", "--guard", "mask", "--guard-kinds", "e-mail")
    assert done.returncode == 2
    assert "national_id" in done.stderr


def test_a_budget_ends(server: RunningServer, org: str) -> None:
    made = server.cli_json(
        *("key", "create", "--org", org, "--name", "poor", "--budget-micros", "300", "--budget-period", "total")
    )
    statuses = [server.chat(key=made["key"], max_tokens=10)[0] for _ in range(25)]
    assert statuses[0] == 200
    assert statuses[-1] == 402
    assert server.chat()[0] == 200


def test_limits_and_the_budget_of_an_organisation(server: RunningServer, org: str) -> None:
    wide = server.cli_json("org", "limit", org, "--rpm", "2", "--concurrency", "4")
    assert wide["limits"] == {"requests_per_minute": 2, "concurrency": 4}
    of_model = server.cli_json("org", "limit", org, "--model", "sandbox/chat", "--tpm", "1000")
    assert of_model["limits"] == {**wide["limits"], "models": {"sandbox/chat": {"tokens_per_minute": 1000}}}
    keys = [server.cli_json("key", "create", "--org", org, "--name", name, "--test") for name in ("a", "b")]
    assert [server.chat(key=key["key"])[0] for key in (*keys, keys[0])] == [200, 200, 429]
    server.cli("org", "limit", org)
    budget = server.cli_json("org", "budget", org, "--micros", "1", "--period", "day")
    assert (budget["limit_micros"], budget["period"]) == (1, "day")
    assert "2.000000 USD" in server.cli("org", "budget", org, "--micros", "2000000")
    done = server.cli_raw("org", "limit", org, "--member", "mem_" + "0" * 32, "--rpm", "1")
    assert done.returncode == 2
    assert done.stderr == "ruxa: No such member of the organisation.\n"


def test_a_call_its_price_and_its_line_show_within_a_second(server: RunningServer) -> None:
    status, headers, answer = server.chat("Show me.")
    begun = time.monotonic()
    assert status == 200
    request_id = headers["x-request-id"]
    told = eventually(lambda: _by_api(server, request_id), 3, every_s=0.02)
    assert time.monotonic() - begun < 1.0
    assert told["id"] == request_id
    row = server.cli_json("usage", "show", request_id)
    assert {"id", "time", "key_id", "model", "provider", "dialect", "status", "usage", "cost_micros"} <= set(row)
    assert "receipt_id" in row
    assert row["cost_micros"] == int(headers["ruxa-cost-micros"])
    assert row["usage"]["output_tokens"] == answer["usage"]["completion_tokens"]
    assert row["ledger"] in {"settling", "posted"}
    assert row["lease_id"]
    content = server.cli_json("usage", "show", request_id, "--content")
    assert content["content"] is None
    assert content["content_until"] is None
    listed = server.cli_json("usage", "list", "--org", server.organisation, "--since", "1h")
    assert row["id"] in {entry["id"] for entry in listed}
    assert server.cli_json("usage", "list", "--org", server.organisation, "--since", "+1h") == []
    server.cli("usage", "show", "req_" + "0" * 32, code=2)
    server.cli("usage", "show", "nonsense", code=2)


def _by_api(server: RunningServer, request_id: str) -> dict[str, object] | None:
    status, _, body = server.http("GET", f"/api/v1/usage/{request_id}")
    return json.loads(body) if status == 200 else None


def test_proofs(server: RunningServer) -> None:
    told = server.cli_json("ledger", "check")
    assert told["ok"] is True
    assert {"name", "ok", "value"} <= set(told["proofs"][0])
    assert all(proof["ok"] and proof["value"] == 0 for proof in told["proofs"])
    assert "I8" in server.cli("ledger", "check")


def test_prices(server: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> None:
    listed = {row["model"]: row for row in server.cli_json("price", "list")}
    assert listed["sandbox/chat"]["rates"]["input_micros"] > 0
    assert any(model.startswith("openai/") for model in listed)
    server.cli("price", "set", "mine/model", "--input", "100", "--output", "200", "--cache-read", "10")
    mine = server.cli_json("price", "list", "mine/")
    assert [row["model"] for row in mine] == ["mine/model"]
    assert mine[0]["rates"]["cache_read_micros"] == 10
    mine[0]["rates"]["output_micros"] = 300
    file = tmp_path_factory.mktemp("prices") / "prices.json"
    file.write_text(json.dumps(mine))
    assert server.cli_json("price", "import", str(file)) == {"imported": 1}
    assert server.cli_json("price", "list", "mine/")[0]["rates"]["output_micros"] == 300
    # The whole list as it is changes nothing: what is announced and what is the seed's stay so.
    with psycopg.connect(server.cli_json("db", "url")["url"], autocommit=True) as connection:
        connection.execute(
            "SELECT ledger.price_put(%s, 'mine/model', '{}', 'operator', ruxa.now() + interval '1 hour', %s)",
            [ids.fresh(), json.dumps(mine[0]["rates"] | {"input_micros": 7})],
        )
    before = server.cli_json("price", "list")
    file.write_text(json.dumps(before))
    assert server.cli_json("price", "import", str(file)) == {"imported": len(before)}
    assert server.cli_json("price", "list") == before
    assert (
        "mine/model has a later price"
        in server.cli_raw("price", "set", "mine/model", "--input", "1", "--output", "1").stderr
    )
    file.write_text('[{"model": "mine/model"}]')
    assert "is no price file" in server.cli_raw("price", "import", str(file)).stderr
    server.cli("price", "set", "bare-name", "--input", "1", "--output", "1", code=2)


def test_people_read_prices_per_million(server: RunningServer) -> None:
    done = server.cli_raw("price", "set", "theirs/m", "--input", "150000", "--output", "600000")
    assert done.returncode == 0
    assert re.search(r"^input_per_million +0\.150000 USD$", done.stdout, re.MULTILINE)
    assert "_micros" not in done.stdout
    assert done.stderr.startswith("ruxa: note: no provider theirs is configured")
    assert "[providers.theirs]" in done.stderr
    head, row = server.cli("price", "list", "theirs/").splitlines()
    assert head.split() == ["model", "input_per_million", "output_per_million", "units", "source"]
    assert row.split() == ["theirs/m", "0.150000", "USD", "0.600000", "USD", "tokens", "operator"]
    assert "long_" not in done.stdout
    heard, spoken = (
        server.cli("price", "list", f"sandbox/{name}").splitlines()[1] for name in ("transcribe", "speech")
    )
    assert heard.split()[1:6] == ["100.000000", "USD", "0.000000", "USD", "seconds"]
    assert spoken.split()[1:6] == ["1.000000", "USD", "0.000000", "USD", "characters"]
    assert server.cli_raw("price", "set", "sandbox/spare", "--input", "1", "--output", "1").stderr == ""
    listed = server.cli("org", "list").splitlines()[0].split()
    assert listed == ["id", "name", "balance", "held", "members", "suspended"]


def test_people_come_in_by_a_link(server: RunningServer, org: str) -> None:
    operator = server.cli_json("operator", "add", "op@kestrel.example", "--role", "support")
    member = server.cli_json("member", "add", "dev@kestrel.example", "--org", org, "--role", "viewer")
    for invited in (operator, member):
        assert invited["minutes"] == 30
        assert invited["link"].startswith(server.base_url + "/")
        assert server.http("GET", invited["link"].removeprefix(server.base_url), key=None)[0] == 200
    assert server.cli_raw("operator", "add", "no address").returncode == 2


def test_the_doctor_is_content_with_a_fresh_demo(server: RunningServer) -> None:
    told = server.cli_json("doctor")
    assert told["ok"] is True, told
    names = {check["name"] for check in told["checks"]}
    assert {"schema", "ledger", "clock", "process gateway 0", "operator", "keys", "owners"} <= names
    assert all(set(check) == {"name", "ok", "found"} for check in told["checks"])
    assert server.cli("doctor").rstrip().endswith("All well.")


def test_the_doctor_names_what_is_wrong_and_what_to_do(fresh_server: Make) -> None:
    server = fresh_server()
    (server.place / "ruxa.toml").write_text('[providers.openai]\nkey = "env:KEY_THAT_IS_NOT_SET"\n')
    (server.data / "journal" / "w" / "quarantine").mkdir(parents=True)
    (server.data / "journal" / "w" / "quarantine" / "x.rxj").write_bytes(b"x")
    server.data.chmod(0o755)
    told = server.cli_json("doctor", code=1)
    bad = {check["name"]: check for check in told["checks"] if not check["ok"]}
    assert set(bad) == {"data directory is private", "journal", "provider openai"}
    assert all(check["advice"] for check in bad.values())
    assert "KEY_THAT_IS_NOT_SET" in bad["provider openai"]["found"]
    people = server.cli("doctor", code=1)
    assert "chmod" in people
    assert "3 finding(s)" in people


def test_a_provider_is_checked(server: RunningServer) -> None:
    told = server.cli_json("provider", "check")
    assert [(row["name"], row["ok"], row["status"]) for row in told] == [("sandbox", True, 200)]
    (server.place / "other.toml").write_text(
        '[providers.nowhere]\nbase_url = "http://127.0.0.1:9/v1"\ndialect = "openai_chat"\nkey = "env:SOME_KEY"\n'
        f'[providers.wrong]\nbase_url = "{server.base_url}/v1"\ndialect = "openai_chat"\nkey = "env:SOME_KEY"\n'
        f'[providers.bare]\nbase_url = "{server.base_url}/v1"\ndialect = "openai_chat"\n'
    )
    done = server.cli_raw("provider", "check", "--json", "--config", "other.toml", SOME_KEY="canary-secret")
    assert done.returncode == 1
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    assert (rows["nowhere"]["reachable"], rows["nowhere"]["ok"]) == (False, False)
    assert (rows["wrong"]["reachable"], rows["wrong"]["key_ok"], rows["wrong"]["ok"]) == (True, False, False)
    assert "refuses the key" in rows["wrong"]["finding"]
    assert (rows["bare"]["status"], rows["bare"]["key_ok"], rows["bare"]["ok"]) == (401, False, False)
    assert "none is configured: give providers.bare a key" in rows["bare"]["finding"]
    assert "canary-secret" not in done.stdout + done.stderr


def test_a_closed_route_is_listed_told_by_the_doctor_and_opened(server: RunningServer) -> None:
    server.cli("price", "set", "sandbox/spare", "--input", "1", "--output", "1")
    # What a gateway does; no command and no operator closes a route.
    url = server.cli_json("db", "url")["url"]
    with psycopg.connect(url) as connection:
        price_id = connection.execute("SELECT id FROM ledger.price WHERE model = 'sandbox/spare'").fetchone()
        assert price_id
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT ledger.route_close(%s, 60)", price_id)
    _as_owner(server, f"SELECT ledger.route_close('{price_id[0]}', 60)")
    assert server.chat(model="sandbox/chat")[0] == 200
    [closed] = server.cli_json("provider", "closed")
    assert (closed["model"], closed["over_percent"]) == ("sandbox/spare", 60)
    doctor = server.cli_raw("doctor", "--json")
    checks = {check["name"]: check for check in json.loads(doctor.stdout)["checks"]}
    assert doctor.returncode == 1
    assert not checks["routes"]["ok"]
    assert "ruxa provider open" in checks["routes"]["advice"]
    assert server.cli_json("provider", "open", "sandbox/spare") == {"model": "sandbox/spare", "closed": False}
    assert server.cli_json("provider", "closed") == []
    assert "is not closed" in server.cli_raw("provider", "open", "sandbox/spare").stderr
    assert not [check for check in server.cli_json("doctor")["checks"] if check["name"] == "routes" and not check["ok"]]


def _as_owner(server: RunningServer, statement: str) -> None:
    settings = settings_.load(env={}, flags={"data": str(server.data)})
    found = instance.read(server.data)
    assert found is not None
    address = database.of(settings, found, JsonLines("test", Clock())).address
    with psycopg.connect(address.url("ruxa_owner")) as connection:
        connection.execute(statement)  # type: ignore[arg-type]


def test_an_organisation_without_an_owner_is_told_by_the_doctor(server: RunningServer, org: str) -> None:
    def owners() -> dict[str, Any]:
        return {one["name"]: one for one in json.loads(server.cli_raw("doctor", "--json").stdout)["checks"]}["owners"]

    assert owners()["ok"] is True
    # No command and no page does this.
    _as_owner(server, f"DELETE FROM access.membership WHERE organisation_id = '{ids.read('org', org)}'")
    told = owners()
    assert told["ok"] is False
    assert org in told["found"]
    assert "ruxa member add" in told["advice"]
    server.cli("member", "add", f"k{time.monotonic_ns()}@kestrel.example", "--org", org, "--role", "owner")
    assert owners()["ok"] is True


def test_erasing_an_invited_owner_ends_the_keys(server: RunningServer) -> None:
    email = f"ann{time.monotonic_ns()}@example.com"
    org = server.cli_json("org", "create", "--name", "Acme", "--owner-email", email)["id"]
    server.cli("org", "credit", org, "--micros", "100000", "--reason", "trial", "--sandbox")
    server.cli("org", "credit", org, "--micros", "100000", "--reason", "trial")
    key = server.cli_json("key", "create", "--org", org, "--name", "k")["key"]
    assert server.chat(key=key)[0] == 200
    done = server.cli_raw("subject", "erase", email, "--yes")
    assert done.returncode != 0
    assert org in done.stderr
    assert "--forfeit" in done.stderr
    server.cli("subject", "erase", email, "--yes", "--forfeit")
    eventually(lambda: server.chat(key=key)[0] == 401, 5)
    assert org not in {one["id"] for one in server.cli_json("org", "list")}


def test_where_the_database_is(server: RunningServer) -> None:
    shown = server.cli_json("db", "url")
    assert shown["running"] is True
    assert shown["url"] == server.cli("db", "url").strip()
    with psycopg.connect(shown["url"]) as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("ruxa_operator",)
    assert server.cli_json("db", "migrate") == {"applied": []}


def test_commands_work_without_a_server(fresh_server: Make) -> None:
    server = fresh_server()
    run = {one["state"] for one in server.cli_json("retention", "show")["runs"]}
    demo = json.loads((server.data / "demo.json").read_text())
    assert server.cli_json("org", "show", demo["organisation"])["balance_micros"] == 5_000_000
    assert server.cli_json("ledger", "check")["ok"] is True
    told = server.cli_json("doctor")
    assert told["ok"] is True
    [found] = [one["found"] for one in told["checks"] if one["name"] == "retention"]
    assert found.startswith("the last good run" if "done" in run else "no good run yet"), (run, found)
    server.start()
    assert server.chat()[0] == 200
    assert server.stop() == 0


def test_the_demo_is_removed(fresh_server: Make) -> None:
    server = fresh_server().start()
    key = server.key
    assert server.chat()[0] == 200
    memory = server.data / "run" / "processor.jsonl"
    memory.write_text("")
    told = server.cli_json("demo", "remove")
    assert not memory.exists()
    assert told == {"removed": True, "mode": "live", "restart_needed": True}
    assert not (server.data / "demo.json").exists()
    eventually(lambda: server.chat(key=key)[0] == 401, 5)
    assert server.stop() == 0
    server.args = ("--host", "0.0.0.0")
    server.start()
    assert "(live)" in server.stdout()
    assert "ruxa operator add" in server.stdout()
    described = server.described()
    assert described
    assert described["processor_url"] is None
    assert not (server.data / "demo.json").exists()
    assert server.chat(key=key)[0] == 401
    assert server.cli_raw("demo", "remove").returncode == 2
    assert server.stop() == 0


def test_what_was_stored_of_a_call_is_readable(server: RunningServer, org: str) -> None:
    made = server.cli_json("key", "create", "--org", org, "--name", "kept", "--store-days", "1")
    server.cli("org", "credit", org, "--sandbox", "--micros", "1000000", "--reason", "a test")
    status, headers, _ = server.chat("Keep this.", key=made["key"])
    assert status == 200
    shown = ""

    def there() -> bool:
        nonlocal shown
        shown = server.cli_raw("usage", "show", headers["x-request-id"], "--content").stdout
        return "request_content" in shown

    eventually(there, 8)
    assert re.search(r"^request +stored, application/json, \d+ bytes$", shown, re.MULTILINE)
    assert re.search(r'^request_content +\{.*"Keep this\."', shown, re.MULTILINE)
    assert "{'" not in shown


def test_no_process_of_a_server_dumps_core(server: RunningServer) -> None:
    assert server.process is not None
    pids = {server.process.pid}
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            pid, _, rest = status.read_text().partition(" (")
            if int(rest.rpartition(") ")[2].split()[1]) == server.process.pid:
                pids.add(int(pid))
    found = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in pids}
    ours = {pid: title for pid, title in found.items() if title.startswith(b"ruxa: ")}
    assert {b"console", b"worker", b"gateway"} <= {title.split()[1].rstrip(b"\0") for title in ours.values()}
    for pid, title in ours.items():
        limits = Path(f"/proc/{pid}/limits").read_text()
        assert re.search(r"^Max core file size +0 +0 ", limits, re.MULTILINE), title
