"""``ruxa run`` and ``ruxa sandbox``: the commands that stay."""

from __future__ import annotations

from argparse import Namespace

from ruxa.cli import output
from ruxa.kernel import settings as settings_


def run(args: Namespace) -> int:
    """``ruxa run``."""
    names = ("data", "keys", "config", "host", "port", "role", "workers")
    flags: dict[str, object] = {name: getattr(args, name) for name in names}
    flags["demo"] = False if args.no_demo else None
    flags["simulated"] = True if args.simulated else None
    settings = settings_.load(flags=flags)
    from ruxa.app import serve

    return serve.run(settings, output.line)
