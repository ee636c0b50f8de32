"""Writes the generated pages: the tree in ARCHITECTURE.md and docs/reference; with --check says what has drifted.

Sources are the code itself: docstrings, the error tree, the bounds, the signals, the settings, the permission table and
the data map in the schema files. Nothing here is written by hand, so nothing here can lie for long.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import re
import sys
from collections.abc import Callable
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


def settings() -> str:
    """Every setting with its default and its twin in the environment."""
    from ruxa.kernel import settings as module

    parts = ["# Settings", "", "Defaults < `ruxa.toml` < `RUXA_*` < flags. `ruxa settings` prints values and origins."]
    for name, cls in inspect.getmembers(module, inspect.isclass):
        if not (issubclass(cls, msgspec.Struct) and cls.__module__ == module.__name__):
            continue
        parts += ["", f"## {name}", "", inspect.getdoc(cls) or "", "", "| field | default |", "|---|---|"]
        for field in msgspec.structs.fields(cls):
            default = field.default if field.default is not msgspec.NODEFAULT else ""
            if isinstance(default, msgspec.Struct):
                default = "its own defaults"
            if isinstance(default, Path):
                default = default.as_posix()
            parts.append(f"| `{field.name}` | {'' if default == '' else f'`{default}`'} |")
    return "\n".join(parts) + "\n"


def data_map() -> str:
    """Every declared column, from the schema files."""
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
        "# Data map\n\nColumns that hold something about a person or organisation; all others declare `data: none`.\n\n"
        "| column | category | subject | purpose | basis | keep | seal | erase | export |\n"
        "|---|---|---|---|---|---|---|---|---|\n" + "\n".join(rows) + "\n"
    )


PAGES: dict[Path, Callable[[], str]] = {
    ROOT / "ARCHITECTURE.md": architecture,
    REFERENCE / "errors.md": errors,
    REFERENCE / "limits.md": bounds,
    REFERENCE / "signals.md": signals,
    REFERENCE / "settings.md": settings,
    REFERENCE / "data-map.md": data_map,
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
