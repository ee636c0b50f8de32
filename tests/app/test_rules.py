"""What is refused before anything is touched, and what is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ruxa.app import rules
from ruxa.app.instance import Instance, Mode
from ruxa.kernel import ids
from ruxa.kernel import settings as settings_
from ruxa.kernel.errors import CallerError


def _instance(mode: Mode, *, simulated: bool = False) -> Instance:
    return Instance(id=ids.fresh(), machine="00", mode=mode, simulated=simulated, created="now")


def _settings(tmp_path: Path, file: str = "", **flags: Any) -> settings_.Settings:
    (tmp_path / "ruxa.toml").write_text(file)
    return settings_.load(env={}, flags=flags, cwd=tmp_path)


STRIPE = '[payments.stripe]\nkey = "env:X"\n'


@pytest.mark.parametrize(
    ("file", "flags", "why"),
    [
        ("", {"host": "0.0.0.0"}, "0.0.0.0 is not loopback"),
        ("", {"host": "::"}, ":: is not loopback"),
        ("public_url = 'https://x.example'", {}, "public URL"),
        (STRIPE, {}, "processor stripe"),
    ],
)
def test_the_demo_stays_private(tmp_path: Path, file: str, flags: dict[str, Any], why: str) -> None:
    settings = _settings(tmp_path, file, **flags)
    assert why in (rules.not_private(settings) or "")
    with pytest.raises(CallerError, match="holds the demo"):
        rules.check(settings, _instance("demo"))
    rules.check(settings, _instance("live"))
    rules.check(settings, None)


def test_the_demo_runs_on_loopback_with_the_sandbox_processor(tmp_path: Path) -> None:
    for host in ("127.0.0.1", "::1", "localhost"):
        rules.check(_settings(tmp_path, '[payments.sandbox]\nkey = "env:X"\n', host=host), _instance("demo"))


def test_only_a_simulated_clock_moves(tmp_path: Path) -> None:
    moved = _settings(tmp_path, "clock_offset = '+1d'")
    for found in (None, _instance("demo"), _instance("live")):
        with pytest.raises(CallerError, match="RUXA_CLOCK_OFFSET is refused"):
            rules.check(moved, found)
    rules.check(moved, _instance("live", simulated=True))
    new = _settings(tmp_path, "clock_offset = '+1d'", simulated=True)
    rules.check(new, None)
    with pytest.raises(CallerError, match="made without --simulated"):
        rules.check(new, _instance("demo"))


def test_roles_and_loopback_for_customers(tmp_path: Path) -> None:
    with pytest.raises(CallerError, match="needs a database of its own"):
        rules.check(_settings(tmp_path, role="worker"), None)
    rules.check(_settings(tmp_path, "database_url = 'postgresql://h/d'", role="worker"), None)
    with pytest.raises(CallerError, match="allow_loopback is for development"):
        rules.check(_settings(tmp_path, "[egress]\nallow_loopback = true", host="0.0.0.0"), None)


@pytest.mark.parametrize(
    "file",
    [
        '[providers.mine]\nbase_url = "http://h"\nkey = "env:PATH"\n',
        '[providers.openai]\nbase_url = "ftp://h"\nkey = "env:PATH"\n',
        '[mail]\nurl = "gopher://h"\n',
        '[mail]\nurl = "smtp://h"\nsender = "nobody"\n',
        'metrics_token = "file:/nowhere/token"\n',
    ],
)
def test_parts_are_looked_at_before_processes_are(tmp_path: Path, file: str) -> None:
    with pytest.raises(CallerError):
        rules.check_parts(_settings(tmp_path, file))


def test_good_parts_pass(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t")
    rules.check_parts(
        _settings(
            tmp_path,
            f'metrics_token = "file:{tmp_path}/token"\n[mail]\nurl = "smtp://127.0.0.1:25"\n'
            '[providers.openai]\nkey = "env:NOT_SET_IS_SAID_BY_THE_DOCTOR"\n',
        )
    )
