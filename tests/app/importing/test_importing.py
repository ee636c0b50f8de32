"""Taking over from other gateways: configurations as people have them become a plan, and no secret comes along."""

from __future__ import annotations

import json
import sqlite3
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ruxa.app.importing import fragment, litellm, newapi
from ruxa.app.importing.plan import Key, Model, Plan, Source, Target, Way
from ruxa.egress.providers import load as load_providers
from ruxa.kernel import settings as settings_
from ruxa.kernel.errors import InvalidCall

SECRET = "sk-canary-secret-5f1d"

LITELLM = f"""
model_list:
  - model_name: gpt-4o
    litellm_params:
      model: openai/gpt-4o
      api_key: os.environ/OPENAI_API_KEY
      weight: 3
      rpm: 480
  - model_name: gpt-4o
    litellm_params:
      model: gpt-4o
      api_key: {SECRET}
      weight: 1
  - model_name: sonnet
    litellm_params:
      model: anthropic/claude-sonnet-4-5
      api_key: "os.environ/ANTHROPIC_API_KEY"
      input_cost_per_token: 0.000003
      output_cost_per_token: 1.5e-05
    model_info:
      max_input_tokens: 200000
      mode: chat
  - model_name: local
    litellm_params: {{model: hosted_vllm/meta/llama-3.3-70b, api_base: "http://10.0.0.5:8000/v1"}}
  - model_name: mine
    litellm_params: {{model: openai/qwen3, api_base: "https://llm.example.com/v1", api_key: os.environ/MINE}}
  - model_name: flash
    litellm_params: {{model: gemini/gemini-2.5-flash, api_key: os.environ/GEMINI_API_KEY}}
  - model_name: azure-gpt
    litellm_params: {{model: azure/gpt-4o-eu, api_base: "https://x.openai.azure.com/", api_version: "2024-02-01"}}
  - model_name: "openrouter/*"
    litellm_params: {{model: "openrouter/*", api_key: os.environ/OPENROUTER_API_KEY}}
  - model_name: "bad name!"
    litellm_params: {{model: openai/gpt-4o, api_key: os.environ/OPENAI_API_KEY}}
router_settings:
  routing_strategy: simple-shuffle
  model_group_alias:
    gpt-4: gpt-4o
    nothing: no-such
  fallbacks:
    - sonnet: [gpt-4o, no-such]
  num_retries: 3
litellm_settings:
  drop_params: true
  max_budget: 100
general_settings:
  master_key: {SECRET}
  database_url: postgresql://u:{SECRET}@db/litellm
environment_variables:
  FOO: {SECRET}
"""

KEYS = {
    "keys": [
        {
            "key_name": "sk-...ab12",
            "key_alias": "team-a",
            "models": ["gpt-4o", "sonnet"],
            "max_budget": 50.5,
            "budget_duration": "30d",
            "spend": 12.5,
            "rpm_limit": 60,
            "tpm_limit": 100000,
            "max_parallel_requests": 4,
            "expires": "2027-03-01T00:00:00+00:00",
            "team_id": "t1",
        },
        {"key_name": "sk-...cd34", "models": ["all-team-models"], "max_budget": 10, "spend": 4.25},
        {"key_name": "sk-...ef56", "key_alias": "old", "blocked": True},
        {"key_name": "sk-...gh78", "key_alias": "weekly", "max_budget": 1, "budget_duration": "7d", "spend": 2},
        "88dc28d0f030c55ed4ab77ed8faf098196cb1c05df778539800c9f1243fe6b4b",
    ]
}


def whole(plan: Plan) -> str:
    return fragment.write(plan) + repr(plan)


def left(plan: Plan) -> dict[str, str]:
    return {each.where: each.why for each in plan.left}


def usable(plan: Plan, tmp_path: Path) -> None:
    """The fragment is a settings file, and its providers can be called once their secrets are set."""
    file = tmp_path / "ruxa.toml"
    file.write_text(fragment.write(plan), encoding="utf-8")
    settings = settings_.load(env={}, cwd=tmp_path)
    loaded = load_providers(settings.providers, lambda reference: f"value of {reference}")
    assert loaded.unready == {}
    assert set(loaded.ready) == {source.name for source in plan.providers}


def test_a_litellm_config(tmp_path: Path) -> None:
    plan = litellm.read(LITELLM)
    assert SECRET not in whole(plan)
    assert plan.providers[0] == Source(name="openai", key="env:OPENAI_API_KEY", found_at="the variable OPENAI_API_KEY")
    second = plan.providers[1]
    assert (second.name, second.key, second.base_url) == (
        "openai-2",
        "env:OPENAI_2_API_KEY",
        "https://api.openai.com/v1",
    )
    assert second.found_at == "model_list[1] (gpt-4o).litellm_params.api_key"
    assert [source.name for source in plan.providers] == [
        "openai",
        "openai-2",
        "anthropic",
        "10-0-0-5",
        "llm-example",
        "google",
        "openrouter",
    ]
    assert (
        Model(
            name="anthropic/claude-sonnet-4-5",
            input_micros=3_000_000,
            output_micros=15_000_000,
            input_tokens_max=200_000,
        )
        in plan.models
    )
    routes = {way.name: way for way in plan.routes}
    assert routes["gpt-4o"] == Way(
        name="gpt-4o", by="weight", targets=(Target("openai/gpt-4o", 3), Target("openai-2/gpt-4o", 1))
    )
    assert routes["gpt-4"].targets == routes["gpt-4o"].targets
    assert routes["sonnet"] == Way(
        name="sonnet",
        by="order",
        targets=(Target("anthropic/claude-sonnet-4-5"), Target("openai/gpt-4o", 3), Target("openai-2/gpt-4o", 1)),
    )
    assert routes["local"].targets == (Target("10-0-0-5/meta/llama-3.3-70b"),)
    usable(plan, tmp_path)


def test_nothing_of_a_litellm_config_is_left_out_in_silence() -> None:
    told = left(litellm.read(LITELLM))
    assert set(told) == {
        "model_list[0] (gpt-4o).litellm_params.rpm",
        "model_list[6] (azure-gpt)",
        "model_list[7] (openrouter/*)",
        "model_list (bad name!)",
        "router_settings.fallbacks.sonnet",
        "router_settings.model_group_alias.nothing",
        "router_settings.num_retries",
        "litellm_settings.drop_params",
        "litellm_settings.max_budget",
        "general_settings.master_key",
        "general_settings.database_url",
        "environment_variables.FOO",
    }
    assert "master key" in told["general_settings.master_key"]


def test_virtual_keys_of_litellm() -> None:
    plan = litellm.read(LITELLM, json.dumps(KEYS))
    assert plan.keys == (
        Key(
            name="team-a",
            models=("gpt-4o", "sonnet"),
            requests_per_minute=60,
            tokens_per_minute=100_000,
            concurrency=4,
            budget_micros=50_500_000,
            budget_period="month",
            expires_at=datetime(2027, 3, 1, tzinfo=UTC),
        ),
        Key(name="sk-...cd34", budget_micros=5_750_000, budget_period="total"),
        Key(name="weekly", budget_micros=1, budget_period="total"),
    )
    told = left(plan)
    assert told["keys[2] (old)"] == "it is blocked"
    assert "return_full_object" in told["keys[4]"]
    assert "keys[0] (team-a).team_id" in told
    assert "7d" in told["keys[3] (weekly).budget_duration"]


@pytest.mark.parametrize(
    ("strategy", "by"),
    [("latency-based-routing", "latency"), ("cost-based-routing", "price"), ("least-busy", "weight")],
)
def test_strategies(strategy: str, by: str) -> None:
    config = f"""
model_list:
  - {{model_name: m, litellm_params: {{model: groq/llama, api_key: os.environ/A}}}}
  - {{model_name: m, litellm_params: {{model: mistral/llama, api_key: os.environ/B}}}}
router_settings: {{routing_strategy: {strategy}}}
"""
    plan = litellm.read(config)
    assert plan.routes[0].by == by
    assert ("router_settings.routing_strategy" in left(plan)) is (strategy == "least-busy")


@pytest.mark.parametrize("text", ["", "[]", "a: [", "x: 1", "\x00", "model_list: !!python/object/apply:os.system [ls]"])
def test_what_is_no_litellm_config(text: str) -> None:
    with pytest.raises(InvalidCall):
        litellm.read(text)


@pytest.mark.parametrize(
    "entry",
    [
        "5",
        "{}",
        "{model_name: m}",
        "{model_name: m, litellm_params: {model: 5}}",
        "{model_name: m, litellm_params: {model: x/y}}",
        "{model_name: [m], litellm_params: []}",
    ],
)
def test_entries_that_make_no_sense_are_named(entry: str) -> None:
    plan = litellm.read(f"model_list: [{entry}]")
    assert plan.left
    assert not plan.routes


CHANNELS: list[dict[str, Any]] = [
    {
        "id": 1,
        "type": 1,
        "key": SECRET,
        "status": 1,
        "name": "main",
        "weight": 5,
        "base_url": "",
        "models": "gpt-4o,gpt-4o-mini",
        "group": "default,vip",
        "model_mapping": '{"gpt-4o": "gpt-4o-2024-11-20"}',
        "priority": 10,
        "tag": None,
        "setting": "",
        "param_override": '{"temperature": 0}',
    },
    {
        "id": 2,
        "type": 1,
        "key": "sk-other\nsk-third",
        "status": 1,
        "name": "proxy",
        "base_url": "https://api.proxy.example/",
        "models": "gpt-4o",
        "priority": 0,
        "weight": 0,
        "tag": "",
    },
    {
        "id": 3,
        "type": 14,
        "key": "sk-ant",
        "status": 1,
        "name": "claude",
        "models": "claude-sonnet-4-5",
        "base_url": None,
        "tag": "",
    },
    {"id": 4, "type": 24, "key": "AIza", "status": 1, "name": "gemini", "models": "gemini-2.5-flash", "tag": ""},
    {"id": 5, "type": 33, "key": "x", "status": 1, "name": "bedrock", "models": "claude-3", "tag": ""},
    {"id": 6, "type": 43, "key": "x", "status": 2, "name": "off", "models": "deepseek-chat", "tag": ""},
    {"id": 7, "type": 43, "key": "sk-ds", "status": 1, "name": "ds", "models": "deepseek-chat", "tag": ""},
]
TOKENS: list[dict[str, Any]] = [
    {
        "id": 1,
        "user_id": 1,
        "key": SECRET,
        "status": 1,
        "name": "app",
        "expired_time": -1,
        "remain_quota": 500_000,
        "unlimited_quota": 0,
        "model_limits_enabled": 1,
        "model_limits": "gpt-4o",
        "allow_ips": "10.0.0.1",
    },
    {
        "id": 2,
        "user_id": 1,
        "key": SECRET + "2",
        "status": 1,
        "name": "free",
        "expired_time": 1_830_000_000,
        "remain_quota": 0,
        "unlimited_quota": 1,
        "model_limits_enabled": 0,
        "model_limits": "",
    },
    {
        "id": 3,
        "user_id": 1,
        "key": "k",
        "status": 4,
        "name": "used",
        "expired_time": -1,
        "remain_quota": 0,
        "unlimited_quota": 0,
    },
]


def database(path: Path) -> Path:
    """A database as New API makes it, as far as its columns are read."""
    columns = (
        "id integer, type integer, key text, status integer, name text, weight integer, base_url text, models text, "
    )
    columns += '"group" text, model_mapping text, priority integer, tag text, setting text, param_override text'
    tokens = (
        "id integer, user_id integer, key text, status integer, name text, expired_time integer, remain_quota integer, "
    )
    tokens += (
        "unlimited_quota numeric, model_limits_enabled numeric, model_limits text, allow_ips text, deleted_at text"
    )
    with sqlite3.connect(path) as connection:
        connection.execute(f"create table channels ({columns})")
        connection.execute(f"create table tokens ({tokens})")
        for table, rows in (("channels", CHANNELS), ("tokens", TOKENS)):
            for row in rows:
                names = ", ".join(f'"{name}"' for name in row)
                marks = ", ".join("?" * len(row))
                connection.execute(f"insert into {table} ({names}) values ({marks})", list(row.values()))
    connection.close()
    return path


def exported(path: Path, told: Any) -> Path:
    path.write_text(json.dumps(told), encoding="utf-8")
    return path


@pytest.fixture(params=["database", "json", "api"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "database":
        return database(tmp_path / "one-api.db")
    if request.param == "json":
        return exported(tmp_path / "all.json", {"channels": CHANNELS, "tokens": TOKENS})
    return exported(
        tmp_path / "answer.json", {"success": True, "tokens": TOKENS, "data": {"items": CHANNELS, "total": 7}}
    )


def test_channels_of_new_api(file: Path, tmp_path: Path) -> None:
    plan = newapi.read_file(file)
    assert plan.origin == "New API"
    assert SECRET not in whole(plan)
    assert "sk-other" not in whole(plan)
    assert [(source.name, source.base_url) for source in plan.providers] == [
        ("openai", None),
        ("proxy-example", "https://api.proxy.example/v1"),
        ("anthropic", None),
        ("google", None),
        ("deepseek", None),
    ]
    routes = {way.name: way for way in plan.routes}
    assert routes["gpt-4o"] == Way(
        name="gpt-4o", by="order", targets=(Target("openai/gpt-4o-2024-11-20", 5), Target("proxy-example/gpt-4o", 1))
    )
    assert routes["claude-sonnet-4-5"].targets == (Target("anthropic/claude-sonnet-4-5"),)
    assert plan.keys == (
        Key(name="app", models=("gpt-4o",), budget_micros=1_000_000, budget_period="total"),
        Key(name="free", expires_at=datetime.fromtimestamp(1_830_000_000, UTC)),
    )
    assert set(left(plan)) == {
        "channel 1 (main).group",
        "channel 1 (main).param_override",
        "channel 2 (proxy)",
        "channel 5 (bedrock)",
        "channel 6 (off)",
        "token 1 (app).allow_ips",
        "token 3 (used)",
    }
    usable(plan, tmp_path)


def test_one_api_numbers_its_channels_in_its_own_way(tmp_path: Path) -> None:
    rows = [
        {
            "id": 1,
            "type": 29,
            "key": "gsk",
            "status": 1,
            "name": "groq",
            "models": "llama-3",
            "config": "",
            "system_prompt": "",
        }
    ]
    plan = newapi.read_file(exported(tmp_path / "c.json", rows))
    assert plan.origin == "One API"
    assert plan.providers[0].name == "groq"


def test_channels_of_one_priority_share_by_weight(tmp_path: Path) -> None:
    rows = [
        {
            "id": at,
            "type": 8,
            "key": f"k{at}",
            "status": 1,
            "name": "n",
            "models": "m",
            "weight": weight,
            "base_url": f"https://h{at}.example",
            "tag": "",
        }
        for at, weight in ((1, 3), (2, 1))
    ]
    [route] = newapi.read_file(exported(tmp_path / "c.json", rows)).routes
    assert (route.by, route.targets) == ("weight", (Target("h1-example/m", 3), Target("h2-example/m", 1)))


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"nonsense", b"SQLite format 3\0broken", b'{"data": 5}', b'["x"]'])
def test_what_is_no_export(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    with pytest.raises(InvalidCall):
        newapi.read_file(path)


@pytest.mark.parametrize(
    "field", ["type", "status", "models", "base_url", "key", "weight", "priority", "model_mapping", "name", "group"]
)
@pytest.mark.parametrize("value", [None, 5, -1, "x", [], {}, True, "{broken"])
def test_odd_values_of_a_channel_break_nothing(field: str, value: Any) -> None:
    newapi.read([CHANNELS[0] | {field: value}], [])


def test_the_fragment_quotes_what_it_is_given() -> None:
    plan = Plan(
        origin="New API",
        providers=(Source(name="a b", base_url='https://x/"quoted"\\', key="env:A"),),
        models=(Model(name="a/b.c", input_micros=1), Model(name="a/none")),
    )
    told = tomllib.loads(fragment.write(plan))
    assert told["providers"]["a b"]["base_url"] == 'https://x/"quoted"\\'
    assert told["models"] == {"a/b.c": {"input_micros_per_mtok": 1}}


@pytest.mark.parametrize("word", ["none", "None", "EMPTY", "dummy"])
def test_a_word_for_no_key_demands_none(word: str) -> None:
    plan = litellm.read(
        "model_list:\n  - {model_name: m, litellm_params: {model: openai/qwen, api_base: 'http://10.0.0.5:8000/v1', "
        f"api_key: {word}}}}}\nlitellm_settings: {{cache: true}}\n"
    )
    assert [source.key for source in plan.providers] == [None]
    assert next(left for left in plan.left if left.where == "litellm_settings.cache").why.endswith(
        "the header ruxa-cache (repeat calls)"
    )


def test_the_variable_of_an_address_can_be_set_by_a_shell() -> None:
    plan = litellm.read(
        "model_list:\n"
        "  - {model_name: m, litellm_params: {model: openai/q, api_base: 'http://10.0.0.5:8000/v1', api_key: sk-abc}}\n"
    )
    assert [source.key for source in plan.providers] == ["env:PROVIDER_10_0_0_5_API_KEY"]
