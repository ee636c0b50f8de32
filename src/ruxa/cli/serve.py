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


def sandbox(args: Namespace) -> int:
    """``ruxa sandbox``."""
    import asyncio
    import signal

    from ruxa.egress.sandbox import server

    async def act() -> None:
        stopping = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stopping.set)
        running = await server.serve(args.host, args.port)
        output.line(f"The sandbox provider listens on http://{args.host}:{running.port}")
        await stopping.wait()
        await running.close()

    asyncio.run(act())
    return 0
