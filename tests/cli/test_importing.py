"""``ruxa import``: a plan by default, and with ``--apply`` the file, the routes and the keys."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from fixtures_server import RunningServer

SECRET = "sk-canary-secret-8c2e"
CONFIG = f"""
model_list:
  - model_name: everyday
    litellm_params: {{model: openai/gpt-4o, api_key: {SECRET}}}
  - model_name: rare
    litellm_params: {{model: anthropic/claude-of-nobody, api_key: os.environ/ANTHROPIC_API_KEY, tpm: 5}}
router_settings:
  model_group_alias: {{usual: everyday}}
"""
KEYS = '{"keys":[{"key_alias":"team","models":["everyday"],"max_budget":2,"spend":0.5,"rpm_limit":9}]}'


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    (tmp_path / "config.yaml").write_text(CONFIG, encoding="utf-8")
    (tmp_path / "keys.json").write_text(KEYS, encoding="utf-8")
    return ["import", "litellm", str(tmp_path / "config.yaml"), "--key-list", str(tmp_path / "keys.json")]


def test_a_plan_changes_nothing(server: RunningServer, files: list[str]) -> None:
    before = server.cli_json("route", "list")
    shown = server.cli(*files)
    assert SECRET not in shown
    assert "OPENAI_API_KEY must hold its key (now: model_list[0] (everyday).litellm_params.api_key)" in shown
    assert "team: models=('everyday',), requests_per_minute=9, budget_micros=1500000, budget_period=total" in shown
    assert "model_list[1] (rare).litellm_params.tpm: limits stand at keys here" in shown
    told = server.cli_json(*files)
    assert SECRET not in str(told)
    assert tomllib.loads(told["file"])["providers"]["openai"] == {"key": "env:OPENAI_API_KEY"}
    assert [route["name"] for route in told["routes"]] == ["everyday", "rare", "usual"]
    assert server.cli_json("route", "list") == before


def test_a_plan_is_carried_out(server: RunningServer, files: list[str], tmp_path: Path) -> None:
    org = server.cli_json("org", "create", "--name", "Taken over", "--owner-email", "importer@example.org")["id"]
    out = tmp_path / "new.toml"
    refused = server.cli_raw(*files, "--apply", "--out", str(out))
    assert (refused.returncode, "--org" in refused.stderr, out.exists()) == (2, True, False)
    done = server.cli_json(*files, "--apply", "--org", org, "--out", str(out))
    assert tomllib.loads(out.read_text())["providers"]["anthropic"] == {"key": "env:ANTHROPIC_API_KEY"}
    assert done["routes"] == ["everyday", "rare", "usual"]
    assert done["unpriced"] == ["anthropic/claude-of-nobody"]
    [made] = done["keys"]
    assert made["key"].startswith("rx_live_")
    [key] = server.cli_json("key", "list", "--org", org)
    assert (key["name"], key["models"], key["rpm"], key["budget_micros"], key["budget_period"]) == (
        "team",
        ["everyday"],
        9,
        1_500_000,
        "total",
    )
    routes = {route["name"]: route["targets"] for route in server.cli_json("route", "list")}
    assert routes["usual"] == ["openai/gpt-4o"]
    again = server.cli_raw(*files, "--apply", "--org", org, "--out", str(out))
    assert (again.returncode, "exists" in again.stderr) == (2, True)
    assert len(server.cli_json("key", "list", "--org", org)) == 1
    for name in done["routes"]:
        server.cli("route", "remove", name)


def test_what_cannot_be_read_is_said(server: RunningServer, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_bytes(b"\xff\xfe")
    assert "UTF-8" in server.cli_raw("import", "litellm", str(tmp_path / "c.yaml")).stderr
    assert "neither JSON" in server.cli_raw("import", "newapi", str(tmp_path / "c.yaml")).stderr
    assert server.cli_raw("import", "newapi", str(tmp_path / "nothing")).returncode == 2
