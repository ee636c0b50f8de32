"""Writes the generated pages: the tree in ARCHITECTURE.md and docs/reference; with --check says what has drifted.

Sources are the code itself: docstrings, the error tree, the bounds, the signals, the settings, the parser of the
command line, the permission table, the dialects' envelope tables, the translators (``translation.py``), the outcomes of
a provider's faults (``outcomes.py``) and the data map in the schema files. Nothing here is written by hand, so nothing
here can lie for long.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import msgspec

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "ruxa"
REFERENCE = ROOT / "docs" / "reference"


def purpose(file: Path) -> str:
    """The first line of a module's docstring."""
    return (ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "").splitlines()[0]


def tree() -> str:
    """Every module with its purpose, room by room."""
    lines: list[str] = []
    folders = sorted({file.parent for file in SOURCE.rglob("*.py") if "__pycache__" not in file.parts})
    for folder in folders:
        name = folder.relative_to(SOURCE.parent).as_posix()
        files = sorted(file for file in folder.glob("*.py"))
        init = folder / "__init__.py"
        lines.append(f"{name + '/':<34} {purpose(init) if init.exists() else ''}".rstrip())
        lines += [f"  {file.name:<32} {purpose(file)}" for file in files if file.name != "__init__.py"]
    return "```\n" + "\n".join(lines) + "\n```"


def architecture() -> str:
    """ARCHITECTURE.md with the tree between its marks."""
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    head, rest = text.split("<!-- tree:", 1)
    mark, rest = rest.split("-->", 1)
    _, tail = rest.split("<!-- /tree -->", 1)
    return f"{head}<!-- tree:{mark}-->\n{tree()}\n<!-- /tree -->{tail}"


def errors() -> str:
    """The error tree: class, status, code, whether waiting helps, meaning."""
    from ruxa.kernel import errors as module

    rows = []
    for name, cls in inspect.getmembers(module, inspect.isclass):
        if cls.__module__ == module.__name__:
            meaning = (inspect.getdoc(cls) or "").splitlines()[0]
            rows.append(
                (
                    cls.status,
                    f"| `{name}` | {cls.status} | `{cls.default_code}` | "
                    f"{'yes' if cls.retryable else 'no'} | {meaning} |",
                )
            )
    body = "\n".join(row for _, row in sorted(rows))
    return (
        f"# Errors\n\nEach is rendered in the caller's own dialect, with a request id.\n\n"
        f"| class | status | code unless a closer one is given | retry | meaning |\n|---|---|---|---|---|\n{body}\n"
    )


def bounds() -> str:
    """Every limit with its number."""
    text = (SOURCE / "kernel" / "bounds.py").read_text(encoding="utf-8")
    from ruxa.kernel import bounds as module

    rows: list[str] = []
    for line in text.splitlines():
        if line.startswith("# "):
            rows += ["", f"## {line[2:]}", "", "| limit | value |", "|---|---|"]
        elif found := re.match(r"([A-Z][A-Z0-9_]+)\b[^=]*=", line):
            rows.append(f"| `{found[1]}` | {getattr(module, found[1]):,} |")
    return "# Limits\n\nEvery limit by name and unit; settings may lower what is a setting.\n" + "\n".join(rows) + "\n"


def signals() -> str:
    """The closed list of signals and their fields."""
    from ruxa.kernel.signals import EVENTS

    rows = "\n".join(
        f"| `{event}` | {', '.join(f'`{name}`' for name in sorted(fields))} |"
        for event, fields in sorted(EVENTS.items())
    )
    return (
        f"# Signals\n\nAll the house tells about itself, one JSON line each, never personal data or content.\n\n"
        f"| event | fields |\n|---|---|\n{rows}\n"
    )


def described(text: str) -> dict[str, str]:
    """``a, b: what they are; c: what it is`` -> a, b and c with their text."""
    found: dict[str, str] = {}
    names: list[str] = []
    for part in re.split(r"(?<=\w|\)|\`);\s", " ".join(text.split())):
        head, colon, tail = part.partition(": ")
        if colon and re.fullmatch(r"[a-z_0-9]+(, [a-z_0-9]+)*", head):
            names = head.split(", ")
            found.update(dict.fromkeys(names, tail.rstrip(".")))
        elif names:
            found.update({name: f"{found[name]}; {part.rstrip('.')}" for name in names})
    return found


def shown(value: object) -> str:
    """A default as the settings file would write it."""
    if value is msgspec.NODEFAULT or value is None or isinstance(value, msgspec.Struct):
        return "-"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return "`[]`"
    return f'`"{value}"`' if isinstance(value, str | Path) else f"`{value}`"


def kind(value: object) -> str:
    """A field's type in words."""
    text = str(value).replace("<class '", "").replace("'>", "")
    for part, word in (
        (r"pathlib\.\w+", "path"),
        (r"tuple\[str, \.\.\.\]", "list of text"),
        (r"typing\.Literal\[(.*)\]", r"one of \1"),
        (r"\bstr\b", "text"),
        (r"\bint\b", "whole number"),
        (r"\bbool\b", "true or false"),
        (r" \| None", ""),
    ):
        text = re.sub(part, word, text)
    return text


def settings() -> str:
    """Every setting with its type, default and twins."""
    from typing import get_type_hints

    from ruxa.cli import parser
    from ruxa.kernel import settings as module

    flags = {action.dest: action.option_strings[0] for action in leaves(parser.build())["run"]._actions}
    flags["demo"] = flags.pop("no_demo")
    twins = {field: f"RUXA_{name.upper()}" for name, field in module._RENAMED.items()} | {"demo": "RUXA_NO_DEMO"}
    about = described((inspect.getdoc(module.Settings) or "").partition("\n\n")[2])
    tables = {**module.TABLES, **module.SECTIONS}
    head = "| setting | meaning | type | default | environment | flag |\n|---|---|---|---|---|---|"
    rows: list[str] = []
    hints = get_type_hints(module.Settings)
    for field in msgspec.structs.fields(module.Settings):
        if field.name in tables or field.name == "origins":
            continue
        assert field.name in about, f"Settings.{field.name} is not described"
        flag = flags.get(field.name)
        rows.append(
            f"| `{field.name}` | {about[field.name].replace('``', '`')} | {kind(hints[field.name])} | "
            f"{'`<data>-keys`' if field.name == 'keys' else shown(field.default)} | "
            f"`{twins.get(field.name, 'RUXA_' + field.name.upper())}` | {f'`{flag}`' if flag else '-'} |"
        )
    parts = [
        "# Settings",
        "",
        "Defaults < `ruxa.toml` < environment < flags. `ruxa settings` prints the value and the origin of each,",
        "secrets as fingerprints. An unknown name is refused with the nearest known one; `RUXA_KEY`, the variable of",
        "clients that holds an API key, is ignored. How to write the file: [config-file.md](config-file.md).",
        "",
        head,
        *rows,
    ]
    for name, struct in tables.items():
        title = f"[{name}]" if name in module.SECTIONS else f"[{name}.NAME]"
        doc = re.sub(r"^``.*?``: ", "", " ".join((inspect.getdoc(struct) or "").split()))
        doc = (doc[0].upper() + doc[1:]).replace("``", "`")
        parts += ["", f"## `{title}`", "", doc, "", "| key | type | default |", "|---|---|---|"]
        hints = get_type_hints(struct)
        parts += [
            f"| `{field.name}` | {kind(hints[field.name])} | {shown(field.default)} |"
            for field in msgspec.structs.fields(struct)
        ]
    parts += ["", "In the environment a key of a table is `RUXA_TABLE__NAME__KEY`: `RUXA_PROVIDERS__OPENAI__KEY`."]
    return "\n".join(parts) + "\n"


def leaves(root: argparse.ArgumentParser, path: str = "") -> dict[str, argparse.ArgumentParser]:
    """Every command that does something, by its words."""
    groups = [action for action in root._actions if isinstance(action, argparse._SubParsersAction)]
    if not groups:
        return {path: root}
    found: dict[str, argparse.ArgumentParser] = {}
    for name, child in groups[0].choices.items():
        found |= leaves(child, f"{path} {name}".strip())
    return found


def usage(command: str, leaf: argparse.ArgumentParser) -> str:
    """One line: what must be given, what may be."""
    words = ["ruxa", command]
    for action in leaf._actions:
        if action.dest in ("help", "data", "keys", "config", "json"):
            continue
        value = (
            "" if action.nargs == 0 else str(action.metavar or "|".join(action.choices or ()) or action.dest.upper())
        )
        text = " ".join(filter(None, [action.option_strings[0] if action.option_strings else "", value]))
        words.append(text if action.required else f"[{text}]")
    return " ".join(words)


def cli() -> str:
    """Every command with its options."""
    from ruxa.cli import parser

    parts = [
        "# Command line",
        "",
        "From a checkout the command is `.venv/bin/ruxa`. Exit codes: 0 good, 1 bad news (a check found something),",
        "2 could not run; the reason is one line on standard error. A command uses the running server's database; when",
        "none runs, it starts the embedded PostgreSQL for itself and stops it.",
        "",
        "Every command takes `--data DIR`, `--keys DIR` and `--config FILE` (the same as `ruxa run` got); all but",
        "`run` and `sandbox` take `--json`. Money is in USD micros: 1000000 are 1 USD.",
    ]
    for command, leaf in leaves(parser.build()).items():
        parts += ["", f"## `ruxa {command}`", "", leaf.description or "", "", "```", usage(command, leaf), "```"]
        rows = [
            f"| `{', '.join(action.option_strings) or action.metavar}` | "
            f"{(action.help or '').replace('|', ' or ') or '-'}{choices(action)} |"
            for action in leaf._actions
            if action.dest not in ("help", "data", "keys", "config", "json") and (action.help or action.choices)
        ]
        if rows:
            parts += ["", "| option | meaning |", "|---|---|", *rows]
    return "\n".join(parts) + "\n"


def choices(action: argparse.Action) -> str:
    """The words an option may be."""
    return f" ({', '.join(f'`{choice}`' for choice in action.choices)})" if action.choices else ""


def permissions() -> str:
    """Who may do what."""
    from ruxa.access import roles

    def grid(title: str, kinds: Iterable[str], table: Mapping[str, frozenset[str]], names: list[str]) -> list[str]:
        columns = list(kinds)
        return [
            "",
            f"## {title}",
            "",
            f"| permission | {' | '.join(columns)} |",
            f"|---|{'---|' * len(columns)}",
            *(
                f"| `{name}` | {' | '.join('yes' if name in table[column] else '' for column in columns)} |"
                for name in names
            ),
        ]

    inside = [name for name in roles.PERMISSIONS if not name.startswith("staff_")]
    across = [name for name in roles.PERMISSIONS if name.startswith("staff_")]
    granting = [scope for scope in roles.SCOPES if roles.OF_SCOPE[scope]]
    parts = [
        "# Permissions",
        "",
        "What a table does not grant is denied: 403 where the thing is known, 404 where the caller may not know that",
        "it exists. A member's role holds inside one organisation, a staff role across the installation.",
        *grid("Roles in an organisation", roles.ROLES, roles.OF_ROLE, inside),
        *grid("Staff roles", roles.STAFF_ROLES, roles.OF_STAFF_ROLE, across),
        *grid("Scopes of an API key that reach `/api/v1`", granting, roles.OF_SCOPE, inside),
        "",
        f"Scopes of calls: {', '.join(f'`{scope}`' for scope in roles.CALL_SCOPES)}; a new key has all of them.",
    ]
    return "\n".join(parts) + "\n"


def envelopes() -> str:
    """Every top-level field of every dialect with its class."""
    from ruxa.dialects.anthropic_messages import table as anthropic
    from ruxa.dialects.gemini_generate import table as gemini
    from ruxa.dialects.openai_chat import table as openai
    from ruxa.dialects.openai_media import table as media
    from ruxa.dialects.openai_responses import table as responses

    parts = [
        "# Envelopes of the dialects",
        "",
        "The top level of a request is a closed table; what is inside content passes byte for byte.",
        "",
        "| class | what happens |",
        "|---|---|",
        "| content | passes byte for byte; its bytes are weighed for the hold |",
        "| parameter | passes as it is |",
        "| price | a value shown as free passes; any other is 422 `price_not_allowed` |",
        "| recipient | would bring in a further recipient: 422 `recipient_not_allowed` |",
        "| identity | replaced by a pseudonym of provider, organisation and quarter, or removed; see `ruxa-privacy` |",
        "| own | Ruxa decides what is sent (`store` is always false) |",
        "| anything else | dropped and named in `ruxa-lossy`; with `ruxa-strict: true` 400 `lossy` |",
        "",
        "A provider's row in the catalogue may allow a price or recipient field (the sandbox's allows all), and the",
        "operator may let further names pass with `pass_fields`.",
    ]
    for title, table in (
        ("OpenAI: chat completions", openai.CHAT),
        ("OpenAI: responses", responses.CREATE),
        ("OpenAI: completions", openai.COMPLETIONS),
        ("OpenAI: embeddings", openai.EMBEDDINGS),
        ("OpenAI: images/generations", media.IMAGES),
        ("OpenAI: images/edits (a form)", media.EDITS),
        ("OpenAI: audio/speech", media.SPEECH),
        ("OpenAI: audio/transcriptions (a form)", media.TRANSCRIPTIONS),
        ("OpenAI: audio/translations (a form)", media.TRANSLATIONS),
        ("OpenAI: moderations", media.MODERATIONS),
        ("Anthropic: messages and count_tokens", anthropic.MESSAGES),
        ("Gemini: generateContent and streamGenerateContent", gemini.GENERATE),
        ("Gemini: generationConfig", gemini.CONFIG),
        ("Gemini: countTokens", gemini.COUNT),
        ("Gemini: embedContent", gemini.EMBED),
        ("Gemini: batchEmbedContents", gemini.BATCH),
    ):
        parts += ["", f"## {title}", "", "| class | fields |", "|---|---|"]
        named = {name: field for name, field in table.items() if "_" not in name or gemini.camel(name) not in table}
        for each in ("content", "parameter", "price", "recipient", "identity", "own"):
            fields = [
                f"`{name}`" + (f" (free: {', '.join(sorted(v.decode() for v in field.free))})" if field.free else "")
                for name, field in named.items()
                if field.kind == each
            ]
            if fields:
                parts.append(f"| {each} | {', '.join(fields)} |")
    parts += [
        "",
        "## Tools",
        "",
        "| dialect | carried out by the caller (pass) | only cost more (class price) |",
        "|---|---|---|",
    ]
    for title, free, priced in (
        ("OpenAI", openai.CLIENT_TOOLS, frozenset[str]()),
        ("Anthropic", anthropic.CLIENT_TOOLS, anthropic.PRICED_TOOLS),
        ("Gemini", gemini.CLIENT_TOOLS, gemini.PRICED_TOOLS),
    ):
        parts.append(f"| {title} | {quoted(free)} | {quoted(priced) or '-'} |")
    parts += ["", "Every other tool type is of class recipient.", "", "## Anthropic beta headers that pass", ""]
    parts.append(f"{quoted(anthropic.BETAS)} (dates left off). Others are dropped and named in `ruxa-lossy`.")
    return "\n".join(parts) + "\n"


def quoted(names: Iterable[str]) -> str:
    """Sorted, each as code."""
    return ", ".join(f"`{name}`" for name in sorted(names))


def data_map() -> str:
    """Every declared column, from the schema files."""
    from ruxa.kernel import datamap

    rows: list[str] = []
    for file in sorted((SOURCE / "store" / "schema").glob("*.sql")):
        text = file.read_text(encoding="utf-8")
        found = re.findall(r"COMMENT ON COLUMN\s+([\w.]+)\s+IS\s+'data: ([^']+)'", text, re.IGNORECASE)
        for column, words in sorted(found):
            values = dict(word.split("=", 1) for word in words.split() if "=" in word)
            if values:
                shown = [
                    values.get(key, "")
                    for key in ("category", "subject", "purpose", "basis", "keep", "seal", "erase", "export")
                ]
                rows.append(f"| `{column}` | {' | '.join(shown)} |")
    return (
        "# Data map\n\nColumns that hold something about a person or organisation; all others declare `data: none`. A\n"
        "migration that leaves a column without a declaration is refused. How this release destroys it, and where it\n"
        "falls short of this, is in [what-is-stored.md](../explanation/what-is-stored.md).\n\n"
        "| column | category | subject | purpose | basis | keep | seal | erase | export |\n"
        "|---|---|---|---|---|---|---|---|---|\n" + "\n".join(rows) + "\n\n"
        "## How long (`keep`)\n\n| word | the last copy in service goes |\n|---|---|\n"
        + "".join(f"| {word} | {meaning} |\n" for word, meaning in datamap.KEEPS.items())
        + "\n## How (`seal`)\n\n| word | stored |\n|---|---|\n"
        + "".join(f"| {word} | {meaning} |\n" for word, meaning in datamap.SEALS.items())
    )


def translation() -> str:
    """What is carried between every two dialects."""
    sys.path.insert(0, str(Path(__file__).parent))
    from translation import page

    return page()


def faults() -> str:
    """What becomes of each fault of a provider."""
    sys.path.insert(0, str(Path(__file__).parent))
    from outcomes import page

    return page()


PAGES: dict[Path, Callable[[], str]] = {
    ROOT / "ARCHITECTURE.md": architecture,
    REFERENCE / "errors.md": errors,
    REFERENCE / "limits.md": bounds,
    REFERENCE / "signals.md": signals,
    REFERENCE / "settings.md": settings,
    REFERENCE / "data-map.md": data_map,
    REFERENCE / "cli.md": cli,
    REFERENCE / "permissions.md": permissions,
    REFERENCE / "envelopes.md": envelopes,
    REFERENCE / "translation.md": translation,
    REFERENCE / "faults.md": faults,
}


def drifted() -> list[Path]:
    """The pages whose text differs from what the code says now."""
    return [page for page, make in PAGES.items() if not page.is_file() or page.read_text(encoding="utf-8") != make()]


def main() -> int:
    """Write the pages, or with --check exit 1 naming those that have drifted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    if parser.parse_args().check:
        stale = drifted()
        for page in stale:
            sys.stdout.write(f"drifted: {page.relative_to(ROOT)}\n")
        return 1 if stale else 0
    REFERENCE.mkdir(parents=True, exist_ok=True)
    for page, make in PAGES.items():
        page.write_text(make(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
