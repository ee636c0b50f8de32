"""``ruxa conformance``: the configs it prints are read by those they are for, and what cannot run says so."""

from __future__ import annotations

import socket
import tomllib
from pathlib import Path

import msgspec
import pytest
import yaml

from ruxa.cli import parser
from ruxa.egress import providers
from ruxa.egress.conformance import case
from ruxa.egress.conformance.wire import Route
from ruxa.kernel import settings


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert parser.run(["conformance", *arguments]) == 0
    return capsys.readouterr().out


def test_the_config_for_ruxa_makes_every_provider_and_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "ruxa.toml"
    file.write_text(printed(capsys, "--print-config", "ruxa", "--upstream-port", "8431"))
    read = settings.load(flags={"config": str(file), "data": str(tmp_path / "data")})
    loaded = providers.load(read.providers, lambda reference: reference)
    assert loaded.unready == {}
    assert {provider.origin.port for provider in loaded.ready.values()} == {8431}
    assert set(read.models) == {case.public(code, model) for code, model in case.models()}
    assert loaded.ready["wire-compat"].terms.drop_fields == {"prompt_cache_key"}


def test_the_config_for_litellm_names_every_model(capsys: pytest.CaptureFixture[str]) -> None:
    read = yaml.safe_load(printed(capsys, "--print-config", "litellm"))
    assert {model["model_name"] for model in read["model_list"]} == {case.public(*each) for each in case.models()}


def test_the_routes_for_portkey_are_routes(capsys: pytest.CaptureFixture[str]) -> None:
    read = msgspec.convert(tomllib.loads(printed(capsys, "--print-config", "portkey")), dict[str, Route])
    assert set(read) == {*case.PROVIDERS.values(), *case.PROVIDER_OF.values()}
    assert all(route.headers["x-portkey-custom-host"].startswith("http://127.0.0.1:8430/") for route in read.values())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--target", "http://127.0.0.1:1"], "go together"),
        (["--key", "k"], "go together"),
        (["--case", "W99"], "no case W99"),
        (["--target", "127.0.0.1:8000", "--key", "k"], "must be http"),
    ],
)
def test_what_makes_no_sense(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert parser.run(["conformance", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_nothing_at_the_target(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        assert parser.run(["conformance", "--target", url, "--key", "k"]) == 2
    assert f"Nothing answers at {url}" in capsys.readouterr().err


def test_a_file_that_is_no_table_of_routes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "routes.toml"
    file.write_text("[wire-openai]\nmodle = 'x'\n")
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        target = ["--target", f"http://127.0.0.1:{listening.getsockname()[1]}", "--key", "k", "--routes", str(file)]
        listening.settimeout(5)
        assert parser.run(["conformance", *target]) == 2
    assert capsys.readouterr().err
