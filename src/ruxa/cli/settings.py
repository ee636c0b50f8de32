"""``ruxa settings``: each setting, its value and where it came from; secrets as fingerprints."""

from __future__ import annotations

from argparse import Namespace

from ruxa.cli import output
from ruxa.kernel import settings
from ruxa.kernel.settings import Settings


def load(args: Namespace) -> Settings:
    """The settings of a command: its options over the environment, the file and the defaults."""
    flags = {name: getattr(args, name, None) for name in ("data", "keys", "config")}
    return settings.load(flags=flags)


def show(args: Namespace) -> int:
    """``ruxa settings``."""
    rows = [{"name": name, "value": value, "origin": origin} for name, value, origin in settings.explain(load(args))]
    output.table(args, rows, ["name", "value", "origin"], empty="No settings.")
    return 0
