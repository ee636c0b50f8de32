"""Acceptance: the vendors' own agents on the other vendors' models - each reads a file by a tool and tells its words.

Not part of the suite: ``python3 dev.py test --acceptance`` installs the agents from npm by their lock file and runs
this folder. The models are the sandbox's, behind providers that speak one dialect each, so nothing leaves the machine.
"""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from fixtures_server import RunningServer, environment

BIN = Path(__file__).with_name("node_modules") / ".bin"
DIALECTS = {
    "openai_chat": "/v1",
    "openai_responses": "/v1",
    "anthropic_messages": "/v1",
    "gemini_generate": "/v1beta",
}
SECRET_WORD = "Pelican"
PATIENCE_S = 110

Agent = Callable[[Path, RunningServer, str], str]


@pytest.fixture(scope="module")
def upstream() -> Iterator[str]:
    """The sandbox as a vendor: its URL."""
    command = [sys.executable, "-m", "ruxa", "sandbox", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment()) as process:
        assert process.stdout is not None
        yield process.stdout.readline().rsplit(" ", 1)[1].strip()
        process.terminate()


@pytest.fixture(scope="module")
def gateway(upstream: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A demo with one provider a dialect and real credit."""
    place = tmp_path_factory.mktemp("gateway")
    rows = [
        f'[providers.{name}]\nbase_url = "{upstream}{base}"\ndialect = "{name}"\nkey = "env:VENDOR_KEY"\n'
        f'[models."{name}/chat"]\nupstream_model = "sandbox/chat"\noutput_tokens_max = 8192\n'
        "input_micros_per_mtok = 1000\noutput_micros_per_mtok = 1000\n"
        for name, base in DIALECTS.items()
    ]
    (place / "ruxa.toml").write_text("".join(rows))
    server = RunningServer(place, VENDOR_KEY="any").start()
    server.cli("org", "credit", server.organisation, "--micros", "50000000", "--reason", "acceptance")
    yield server
    server.stop()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with a note, and an empty home beside it."""
    (tmp_path / "home").mkdir()
    (tmp_path / "project").mkdir()
    (tmp_path / "project/note.txt").write_text(f"the secret word is {SECRET_WORD}\n")
    return tmp_path


def claude_code(project: Path, server: RunningServer, model: str) -> str:
    """Claude Code, thinking switched on."""
    env = {
        "IS_SANDBOX": "1",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_AUTOUPDATER": "1",
        "MAX_THINKING_TOKENS": "2000",
        "ANTHROPIC_BASE_URL": server.base_url,
        "ANTHROPIC_AUTH_TOKEN": server.key,
        "ANTHROPIC_MODEL": model,
        "ANTHROPIC_SMALL_FAST_MODEL": model,
    }
    return _run(project, ["claude", "-p", _asks(project, "Read", "file_path"), "--dangerously-skip-permissions"], env)


def codex(project: Path, server: RunningServer, model: str) -> str:
    """Codex, high reasoning effort."""
    place = project / "home/.codex"
    place.mkdir()
    (place / "config.toml").write_text(
        f'model = "{model}"\nmodel_provider = "here"\nmodel_reasoning_effort = "high"\napproval_policy = "never"\n'
        'sandbox_mode = "danger-full-access"\n[model_providers.here]\nname = "here"\n'
        f'base_url = "{server.base_url}/v1"\nenv_key = "HERE_KEY"\nwire_api = "responses"\n'
    )
    asks = f'Read the note. [[tool=exec_command]] [[arguments={{"cmd":"cat {project}/project/note.txt"}}]]'
    return _run(project, ["codex", "exec", "--skip-git-repo-check", "-m", model, asks], {"HERE_KEY": server.key})


def gemini_cli(project: Path, server: RunningServer, model: str) -> str:
    """gemini-cli."""
    place = project / "home/.gemini"
    place.mkdir()
    (place / "settings.json").write_text('{"security":{"auth":{"selectedType":"gemini-api-key"}}}')
    env = {"GEMINI_API_KEY": server.key, "GOOGLE_GEMINI_BASE_URL": server.base_url}
    asks = _asks(project, "read_file", "file_path")
    return _run(project, ["gemini", "--skip-trust", "-y", "-m", model, "-p", asks], env)


def _asks(project: Path, tool: str, name: str) -> str:
    return f"Read the note. [[tool={tool}]] [[arguments={json.dumps({name: str(project / 'project/note.txt')})}]]"


def _run(project: Path, command: list[str], env: dict[str, str]) -> str:
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
    done = subprocess.run(
        [str(BIN / command[0]), *command[1:]],
        cwd=project / "project",
        env={**kept, "HOME": str(project / "home"), **env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


CASES = [
    (claude_code, "openai_chat"),
    (claude_code, "openai_responses"),
    (claude_code, "gemini_generate"),
    (codex, "openai_chat"),
    (codex, "anthropic_messages"),
    (codex, "gemini_generate"),
    (gemini_cli, "openai_chat"),
    (gemini_cli, "openai_responses"),
    (gemini_cli, "anthropic_messages"),
    (claude_code, "anthropic_messages"),
    (codex, "openai_responses"),
    (gemini_cli, "gemini_generate"),
]


@pytest.mark.timeout(PATIENCE_S + 30)
@pytest.mark.parametrize(("agent", "dialect"), CASES, ids=[f"{agent.__name__}-{name}" for agent, name in CASES])
def test_an_agent_reads_a_file_on_any_model(
    agent: Agent, dialect: str, project: Path, gateway: RunningServer, upstream: str
) -> None:
    since = time.time()
    said = agent(project, gateway, f"{dialect}/chat")
    assert re.search(rf"returned: .*{SECRET_WORD}", said, re.DOTALL), said[-2000:]
    seen = _last(upstream)
    assert SECRET_WORD in json.dumps(seen), "the provider got the tool's result"
    rows = [row for row in gateway.cli_json("usage", "list", "--org", gateway.organisation) if _at(row) >= since - 1]
    answered = [row for row in rows if row["model"] == f"{dialect}/chat" and row["status"] == 200]
    assert len(answered) >= 2, "one call for the tool, one for the answer"
    assert all(row["cost_micros"] > 0 and row["usage"]["output_tokens"] > 0 for row in answered)


def _at(row: dict[str, Any]) -> float:
    return datetime.fromisoformat(row["time"]).timestamp()


def _last(upstream: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{upstream}/__sandbox/last", timeout=5) as answer:
        body: dict[str, Any] = json.loads(base64.b64decode(json.load(answer)["body"]))
    return body
