"""What the documents quote is real: command lines parse, settings exist, code compiles, files are there."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from ruxa.cli import parser
from ruxa.egress.providers import load as load_providers
from ruxa.egress.sandbox.faults import FAULTS
from ruxa.egress.sandbox.server import MODELS
from ruxa.kernel import settings
from ruxa.kernel.errors import InvalidCall

ROOT = Path(__file__).parents[2]
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted(page for page in (ROOT / "docs").rglob("*.md") if page.parent.name != "decisions"),
    ROOT / "bench" / "README.md",
]
FENCE = re.compile(r"^```([a-z]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`\n]+)`")
SYNOPSIS = re.compile(r"\[-|\[[A-Z]|\|")


def blocks(text: str, *languages: str) -> Iterator[str]:
    for language, body in FENCE.findall(text):
        if language in languages:
            yield body


def ruxa_lines(text: str) -> Iterator[str]:
    """Every quoted command line of ours: a line of a block, or a span of code, that begins with `ruxa WORD`."""
    shell = "\n".join(blocks(text, "", "sh", "bash", "shell", "console")).replace("\\\n", " ")
    spans = INLINE.findall(FENCE.sub("", text))
    for line in [*shell.splitlines(), *spans]:
        found = re.match(r"(?:\$ )?(?:[A-Z_]+=\S+ )*(?:\.venv/bin/)?ruxa ((?:-|[a-z]).*)$", line.strip())
        command = re.split(r"\s+(?:#|>|\||&&)\s", found[1])[0].strip() if found else ""
        if command and not SYNOPSIS.search(command):
            yield command
        started = re.search(r"dev\.py run -- (.*?)(?:  #.*)?$", line.strip())
        if started and "ARGS" not in started[1]:
            yield f"run {started[1]}"


def parses(line: str) -> str | None:
    """What the real parser says against a line; None when it is fine. A bare group (`ruxa org`) names a command."""
    words = shlex.split(line)
    error = io.StringIO()
    try:
        with contextlib.redirect_stderr(error), contextlib.redirect_stdout(io.StringIO()):
            parser.build().parse_args([word for word in words if word != "..."])
    except SystemExit as end:
        said = error.getvalue().strip().splitlines()
        if end.code == 0 or (said and "arguments are required" in said[-1] and not any("--" in w for w in words)):
            return None  # help; or a command only named, as in "`ruxa key rotate` makes a new secret"
        return said[-1] if said else "refused"
    return None


def names(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_every_quoted_command_parses(page: Path) -> None:
    wrong = [f"ruxa {line}: {why}" for line in ruxa_lines(page.read_text("utf-8")) if (why := parses(line))]
    assert not wrong, wrong


def test_commands_are_found_and_wrong_ones_are_told() -> None:
    text = (
        "See `ruxa ledger check`.\n\n```\n$ .venv/bin/ruxa org credit ORG --micros 5 \\\n  --reason x  # why\n"
        "ruxa org list --json > f | jq\n```\n"
    )
    assert list(ruxa_lines(text)) == ["org credit ORG --micros 5    --reason x", "org list --json", "ledger check"]
    assert parses("org credit ORG --micros 5 --reason x") is None
    assert parses("key rotate") is None
    assert "invalid choice" in (parses("frobnicate") or "")
    assert "unrecognized" in (parses("doctor --fast") or "")
    assert "not a whole number" in (parses("run --port eight") or "")
    assert "required" in (parses("org credit ORG --micros 5") or "")


def toml_faults(text: str) -> list[str]:
    """Settings files quoted that the real loader refuses."""
    found: list[str] = []
    for body in blocks(text, "toml"):
        tree = tomllib.loads(body)
        for dotted in flat(tree):
            try:
                settings._known(dotted, "the page")  # the loader's own question
            except InvalidCall as fault:
                found.append(fault.public)
    return found


def flat(tree: dict[str, object], above: str = "") -> Iterator[str]:
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}"


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_every_quoted_setting_exists(page: Path, tmp_path: Path) -> None:
    text = page.read_text("utf-8")
    assert toml_faults(text) == []
    for body in blocks(text, "toml"):
        file = tmp_path / "ruxa.toml"
        file.write_text(body)
        loaded = settings.load(env={}, flags={"config": str(file)}, cwd=tmp_path)
        load_providers(loaded.providers, lambda reference: reference)
    known = {f"RUXA_{name.upper()}" for name in settings.names() if "." not in name}
    known |= {
        "RUXA_CLOCK_OFFSET",
        "RUXA_NO_DEMO",
        "RUXA_KEY",
        "RUXA_TEST_LONG",
        "RUXA_CHROMIUM",
        "RUXA_PG_BIN",
        "RUXA_TOKEN",
        "RUXA_RECOVERY_PASSPHRASE",
    }
    quoted = set(re.findall(r"\bRUXA_[A-Z][A-Z_]*[A-Z]\b", text))
    unknown = {
        name for name in quoted - known if "__" not in name and not name.startswith(("RUXA_TEST_", "RUXA_LIVE_"))
    }
    assert unknown == set()


def test_a_wrong_setting_is_told() -> None:
    assert toml_faults("```toml\n[providers.openai]\nkye = 'env:X'\n```\n") == [
        "Unknown setting providers.openai.kye in the page; did you mean providers.openai.key?"
    ]


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_every_block_of_python_compiles(page: Path) -> None:
    for number, body in enumerate(blocks(page.read_text("utf-8"), "python")):
        compile(body, f"{page.name}, block {number + 1}", "exec")


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_every_file_named_in_a_span_of_code_is_there(page: Path) -> None:
    roots = ("docs/", "src/", "tests/", "bench/", "tools/", "locks/", "gateway/", "dialects/", "egress/", "kernel/")
    gone: list[str] = []
    for span in INLINE.findall(FENCE.sub("", page.read_text("utf-8"))):
        if span.startswith(roots) and re.fullmatch(r"[\w./-]+\.(py|md|sql|toml|json|txt)", span):
            places = (ROOT / span, ROOT / "src" / "ruxa" / span)
            gone += [span] if not any(place.exists() for place in places) else []
    assert gone == []


def test_the_sandbox_page_names_every_model_and_fault() -> None:
    text = (ROOT / "docs" / "reference" / "sandbox.md").read_text("utf-8")
    missing = [name for name in (*MODELS[:2], *FAULTS) if f"`{name}`" not in text]
    assert missing == []
