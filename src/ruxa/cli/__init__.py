"""The command line ``ruxa``: one module per group of commands; only here is printed. See ``parser`` for the tree."""

from __future__ import annotations

from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Exit codes: 0 good, 1 bad news, 2 could not run."""
    from ruxa.cli import parser

    return parser.run(argv)
