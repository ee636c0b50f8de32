"""``ruxa db``: where the database is, its schema, and preparing one of your own."""

from __future__ import annotations

import asyncio
import sys
from argparse import Namespace

import msgspec

from ruxa.app import database, house
from ruxa.app.house import reached
from ruxa.cli import output
from ruxa.cli import settings as settings_
from ruxa.kernel.errors import InvalidCall
from ruxa.kernel.settings import Settings
from ruxa.store import database as store_database
from ruxa.store.address import Address
from ruxa.store.logins import Logins


def url(args: Namespace) -> int:
    """``ruxa db url``: whole for a script (``psql "$(ruxa db url)"``), without the password on a terminal."""
    settings = settings_.load(args)
    found = house.existing(settings)
    address = database.of(settings, found, house.quiet(settings)).address
    shown = address.url("ruxa_operator")
    if sys.stdout.isatty() and not (args.json or args.show_password):
        shown = shown.replace(":" + address.logins.password("ruxa_operator") + "@", "@")
    if args.json:
        output.as_json({"url": shown, "running": house.running(settings.data) is not None})
        return 0
    output.line(shown)
    if settings.database_url is None and house.running(settings.data) is None:
        output.complain("no server runs: this answers while `ruxa run` does.")
    return 0


def migrate(args: Namespace) -> int:
    """``ruxa db migrate``."""
    settings = settings_.load(args)

    async def act() -> list[str]:
        # Reaching the database brings it up to date when no server runs; a running one did so at its start.
        applied: list[str] = []
        async with reached(settings, f"ruxa {args.command}", applied) as (found, address, _, sink):
            applied += await database.bring_up(address, found, settings, sink)
        return applied

    applied = asyncio.run(act())
    if args.json:
        output.as_json({"applied": applied})
    else:
        output.line("\n".join(applied) or "The schema is up to date.")
    return 0


def setup(args: Namespace) -> int:
    """``ruxa db setup``."""
    settings = settings_.load(args)
    if settings.database_url is None:
        raise InvalidCall("RUXA_DATABASE_URL names no PostgreSQL; the embedded one needs no set-up.")
    address = _address(settings)
    if args.print:
        output.line(store_database.printed(address.logins, address.database).rstrip())
        return 0
    if args.admin_url is None:
        raise InvalidCall("Give --admin-url URL to run the SQL, or --print to see it.")
    report = store_database.setup(address, args.admin_url)
    if args.json:
        output.as_json(msgspec.structs.asdict(report))
    else:
        output.line("The database is set up.")
        for name in report.not_configured:
            output.line(f"not_configured: {name} (the server does not let this user set it)")
    return 0


def _address(settings: Settings) -> Address:
    from ruxa.app import instance, serve

    assert settings.database_url is not None
    found = instance.read(settings.data)
    if found is None:
        instance.prepare(settings.data, settings.keys)
        found = serve.create(settings)
    return Address.of_url(settings.database_url, Logins.load(database.keys_of(settings, found)))
