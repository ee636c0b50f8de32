"""The tree of commands: every promised one is there, explains itself, and fails with one line and exit code 2."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fixtures_server import environment
from ruxa.cli import parser
from ruxa.kernel.errors import InvalidCall

COMMANDS = [
    "run",
    "payment list",
    "payment show",
    "payment refund",
    "payment refunded",
    "payment confirm",
    "payment waiting",
    "payment approve",
    "payment dispute",
    "payment sync",
    "payment settings check",
    "invoice list",
    "invoice show",
    "invoice pdf",
    "invoice issue",
    "invoice profile",
    "reconcile run",
    "reconcile list",
    "reconcile show",
    "reconcile resolve",
    "reconcile report",
    "ledger balance",
    "ledger export",
    "plan create",
    "plan list",
    "plan show",
    "plan set",
    "plan assign",
    "plan margins",
    "price retire",
    "price recompute",
    "provider key add",
    "provider key list",
    "provider key remove",
    "operator add",
    "member add",
    "subject erase",
    "subject export",
    "subject restrict",
    "org create",
    "org list",
    "org show",
    "org credit",
    "org limit",
    "org budget",
    "key create",
    "key list",
    "key revoke",
    "key rotate",
    "key set",
    "usage show",
    "usage list",
    "ledger check",
    "ledger lines",
    "price set",
    "price list",
    "price import",
    "provider check",
    "provider closed",
    "provider counts",
    "provider open",
    "import litellm",
    "import newapi",
    "route list",
    "route set",
    "route remove",
    "policy export",
    "retention run",
    "retention show",
    "retention acknowledge",
    "hold place",
    "hold approve",
    "hold list",
    "hold show",
    "hold end",
    "audit verify",
    "audit export",
    "backup create",
    "backup keys",
    "backup log",
    "backup list",
    "backup verify",
    "backup expire",
    "backup drill",
    "restore",
    "quarantine show",
    "quarantine release",
    "conformance",
    "sandbox",
    "demo remove",
    "doctor",
    "settings",
    "keys show",
    "keys end",
    "keys rotate",
    "db url",
    "db migrate",
    "db setup",
]


def ruxa(*args: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ruxa", *args],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=environment(**env),
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parser.build().parse_args([*command.split(), "--help"])
    assert ended.value.code == 0
    told = capsys.readouterr().out
    assert f"usage: ruxa {command}" in told
    for option in ("--data", "--config") if command != "sandbox" else ():
        assert option in told
    if command not in {"run", "sandbox"}:
        assert "--json" in told


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_leads_somewhere(command: str) -> None:
    assert callable(parser._act(command))


def test_an_unknown_command_is_refused() -> None:
    with pytest.raises(InvalidCall):
        parser._act("make coffee")
    with pytest.raises(SystemExit) as ended:
        parser.build().parse_args(["make"])
    assert ended.value.code == 2


@pytest.mark.parametrize(
    ("given", "says", "shows"),
    [
        ((), "`ruxa` needs a command.", len(COMMANDS)),
        (("ogr", "list"), "There is no command `ruxa ogr`; did you mean `ruxa org`?", len(COMMANDS)),
        (("revoke", "key_1"), "There is no command `ruxa revoke`; did you mean `ruxa key revoke`?", len(COMMANDS)),
        (("xyzzy",), "There is no command `ruxa xyzzy`.", len(COMMANDS)),
        (("org",), "`ruxa org` needs a command.", 6),
        (("org", "shwo", "x"), "There is no command `ruxa org shwo`; did you mean `ruxa org show`?", 6),
    ],
)
def test_the_commands_are_listed(
    given: tuple[str, ...], says: str, shows: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert parser.run(given) == 2
    told = capsys.readouterr()
    assert told.out == ""
    first, title, *rows = told.err.splitlines()
    assert (first, title) == (f"ruxa: {says}", "Commands:")
    listed = {row[7:].split("  ")[0] for row in rows}
    assert len(rows) == shows
    assert listed <= set(COMMANDS)


@pytest.mark.parametrize("text", ["-1", "1.5", "ten", "9" * 30, ""])
def test_what_is_no_whole_number(text: str) -> None:
    with pytest.raises(SystemExit) as ended:
        parser.build().parse_args(["key", "create", "--org", "o", "--name", "n", "--rpm", text])
    assert ended.value.code == 2


def test_whole_numbers_may_be_grouped() -> None:
    args = parser.build().parse_args(["org", "credit", "o", "--micros", "1_000_000", "--reason", "r"])
    assert args.micros == 1_000_000
    with pytest.raises(SystemExit):
        parser.build().parse_args(["org", "credit", "o", "--micros", "0", "--reason", "r"])


def test_settings_show_value_and_origin(tmp_path: Path) -> None:
    (tmp_path / "ruxa.toml").write_text('workers = 3\n[providers.openai]\nkey = "env:OPENAI_KEY_OF_TEST"\n')
    done = ruxa("settings", "--json", "--data", "d", cwd=tmp_path, RUXA_PORT="1234", OPENAI_KEY_OF_TEST="canary")
    assert done.returncode == 0, done.stderr
    rows = {row["name"]: (row["value"], row["origin"]) for row in json.loads(done.stdout)}
    assert rows["workers"] == ("3", "ruxa.toml")
    assert rows["port"] == ("1234", "RUXA_PORT")
    assert rows["data"] == (str(tmp_path / "d"), "--data")
    assert rows["host"] == ("127.0.0.1", "default")
    assert rows["providers.openai.key"][0].startswith("env:OPENAI_KEY_OF_TEST (sha256 ")
    assert "canary" not in done.stdout
    people = ruxa("settings", cwd=tmp_path)
    assert "ruxa.toml" in people.stdout
    assert people.stdout.splitlines()[0].split() == ["name", "value", "origin"]


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("org", "list"), "is no data directory of Ruxa"),
        (("db", "url"), "is no data directory of Ruxa"),
        (("settings", "--config", "absent.toml"), "no settings file"),
        (("db", "setup"), "RUXA_DATABASE_URL"),
        (("price", "import", "absent.json"), "absent.json cannot be read"),
        (("provider", "check", "nobody"), "nobody is not configured"),
    ],
)
def test_what_cannot_run_says_so_in_one_line(tmp_path: Path, args: tuple[str, ...], says: str) -> None:
    done = ruxa(*args, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("ruxa: ")
    assert says in done.stderr
    assert not (tmp_path / ".ruxa").exists()


def test_a_reader_that_leaves_is_no_error(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as out:
        done = subprocess.run(
            [sys.executable, "-m", "ruxa", "settings"],
            stdout=out,
            stderr=subprocess.PIPE,
            cwd=tmp_path,
            env=environment(),
            check=False,
            timeout=60,
        )
    assert done.returncode == 0
    assert done.stderr == b""
