"""The house rules that a parser can check: each rule takes one module and names what is certainly a fault."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "ruxa"

Rule = Callable[[str, ast.Module, str], Iterator[str]]

BANNED_CLASS = re.compile(r"(Manager|Service|Helper|Handler|Base|Impl|Utils?)$")
BANNED_MODULES = {"utils", "util", "helpers", "common", "misc", "base", "manager", "service"}
SQL = re.compile(r"^\s*(select\s.+\sfrom\s|insert\s+into\s|update\s+\w+(\.\w+)?\s+set\s|delete\s+from\s)", re.I | re.S)
UNFINISHED = re.compile(r"#.*\b(TODO|FIXME|XXX|HACK)\b")

WALL_CLOCK = {("datetime", "now"), ("datetime", "utcnow"), ("date", "today"), ("time", "time"), ("time", "time_ns")}
# Who may read wall time: the clock itself, and ids for those that decide nothing.
CLOCK_HOMES = {"kernel/clock.py", "kernel/ids.py"}

# Where a broad `except Exception` may stand: the edges that turn anything into one of our errors.
BROAD_EXCEPT_HOMES = {
    "gateway/door.py",
    "gateway/pipeline.py",
    "console/site.py",
    "store/jobs.py",
    "cli/",
    "app/",
}

# Verbs that reach out of the process, and their one home each.
REACHING = {
    "open_connection": {"egress/"},
    "create_connection": {"egress/"},
    "create_datagram_endpoint": set[str](),
    "create_unix_connection": {"egress/"},
    "import_module": set[str](),
}
PROCESS_MODULES = {
    "http.client": {"egress/"},
    "urllib.request": {"egress/"},
    "subprocess": {"store/embedded.py", "store/binaries.py", "store/archive/programs.py", "app/", "cli/"},
    "ctypes": {"store/namespace.py", "app/"},
}


def in_homes(name: str, homes: set[str]) -> bool:
    return any(name == home or (home.endswith("/") and name.startswith(home)) for home in homes)


def docstring(name: str, tree: ast.Module, text: str) -> Iterator[str]:
    found = ast.get_docstring(tree)
    if not found or not found.splitlines()[0].strip():
        yield "the module has no docstring whose first line says its purpose"


def unfinished(name: str, tree: ast.Module, text: str) -> Iterator[str]:
    for number, line in enumerate(text.splitlines(), 1):
        if UNFINISHED.search(line):
            yield f"line {number}: unfinished work is marked here"
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id == "NotImplementedError":
            yield f"line {node.lineno}: a stub"


def wall_clock(name: str, tree: ast.Module, text: str) -> Iterator[str]:
    if name in CLOCK_HOMES:
        return
    for node in ast.walk(tree):
        reads = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
        if reads and (node.value.id, node.attr) in WALL_CLOCK:
            yield f"line {node.lineno}: {node.value.id}.{node.attr} outside kernel/clock.py"


def floats(name: str, tree: ast.Module, text: str) -> Iterator[str]:
    if not (name.startswith("ledger/") or name == "kernel/money.py"):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            yield f"line {node.lineno}: true division in the ledger"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "float":
            yield f"line {node.lineno}: float() in the ledger"
        declares = isinstance(node, ast.AnnAssign | ast.arg) and isinstance(node.annotation, ast.Name)
        if declares and node.annotation.id == "float":
            target = node.arg if isinstance(node, ast.arg) else ast.unparse(node.target)
            if not re.search(r"(_s|_at|deadline|monotonic|since|until|started|used)$", target):
                yield f"line {node.lineno}: {target} is a float in the ledger and not a duration or instant"


def sql_outside_records(name: str, tree: ast.Module, text: str) -> Iterator[str]:
    if name.startswith("store/") or name.endswith("/records.py"):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and SQL.match(node.value):
            yield f"line {node.lineno}: SQL text outside records.py"


def prints(name: str, tree: ast.Module, text: str) -> Iterator[str]:
    if name.startswith(("cli/", "cli.py", "app/", "app.py")):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            yield f"line {node.lineno}: print outside the command line"


def broad_except(name: str, tree: ast.Module, text: str) -> Iterator[str]:
    if in_homes(name, BROAD_EXCEPT_HOMES):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler):
            caught = node.type
            broad = caught is None or (isinstance(caught, ast.Name) and caught.id in ("Exception", "BaseException"))
            reraises = any(isinstance(inner, ast.Raise) and inner.exc is None for inner in ast.walk(node))
            if broad and not reraises:
                yield f"line {node.lineno}: broad except that swallows"


def names(name: str, tree: ast.Module, text: str) -> Iterator[str]:
    parts = Path(name).with_suffix("").parts
    if BANNED_MODULES & set(parts):
        yield f"the module's name hides what it is: {sorted(BANNED_MODULES & set(parts))}"
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and BANNED_CLASS.search(node.name):
            yield f"line {node.lineno}: class {node.name}: name the thing, not its kind"


def reaching_out(name: str, tree: ast.Module, text: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in REACHING and not in_homes(name, REACHING[node.attr]):
            yield f"line {node.lineno}: {node.attr} outside its home"
        imported = []
        if isinstance(node, ast.Import):
            imported = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            imported = [node.module]
        for module in imported:
            if module in PROCESS_MODULES and not in_homes(name, PROCESS_MODULES[module]):
                yield f"line {node.lineno}: {module} outside its home"  # pyright: ignore[reportAttributeAccessIssue]


RULES: tuple[Rule, ...] = (
    docstring,
    unfinished,
    wall_clock,
    floats,
    sql_outside_records,
    prints,
    broad_except,
    names,
    reaching_out,
)


def modules() -> Iterator[tuple[str, str]]:
    """Each module of the product: its name below src/ruxa, and its text."""
    for file in sorted(SOURCE.rglob("*.py")):
        if "__pycache__" not in file.parts:
            yield file.relative_to(SOURCE).as_posix(), file.read_text(encoding="utf-8")


def findings(name: str, text: str) -> list[str]:
    """What the rules say of one module."""
    tree = ast.parse(text)
    return [f"{name}: {found}" for rule in RULES for found in rule(name, tree, text)]
