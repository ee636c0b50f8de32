"""``ruxa run`` and ``ruxa sandbox``: the commands that stay."""

from __future__ import annotations

from argparse import Namespace
from typing import Protocol

from ruxa.cli import output
from ruxa.kernel import settings as settings_

PROVIDER_PORT = 8419
PROCESSOR_PORT = 8420


class Running(Protocol):
    """A sandbox that listens."""

    async def close(self) -> None:
        """Stop."""
        ...


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
    """``ruxa sandbox``: the sandbox provider, or with ``--processor`` the sandbox processor."""
    import asyncio
    import signal

    async def act() -> None:
        stopping = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stopping.set)
        running = await (_processor(args) if args.processor else _provider(args))
        await stopping.wait()
        await running.close()

    asyncio.run(act())
    return 0


async def _provider(args: Namespace) -> Running:
    from ruxa.egress.sandbox import server

    running = await server.serve(args.host, PROVIDER_PORT if args.port is None else args.port)
    output.line(f"The sandbox provider listens on http://{args.host}:{running.port}")
    return running


async def _processor(args: Namespace) -> Running:
    from ruxa.egress.processors.sandbox import access, server

    port = PROCESSOR_PORT if args.port is None else args.port
    running = await server.serve((args.host, port), access=access.fresh(), webhooks=args.webhook_url)
    told = running.access
    output.line(f"The sandbox processor listens on {told.url}")
    for name, value in (
        ("Stripe key", told.stripe_key),
        ("Stripe webhook secret", told.stripe_webhook_secret),
        ("PayPal client id", told.paypal_client_id),
        ("PayPal secret", told.paypal_client_secret),
        ("PayPal webhook id", told.paypal_webhook_id),
        ("PayPal root certificate", told.paypal_root_url),
    ):
        output.line(f"  {name}: {value}")
    return running
