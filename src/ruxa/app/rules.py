"""What must not be started: the combinations of settings and instance that are refused, each with one clear line."""

from __future__ import annotations

from ruxa.app import ports
from ruxa.app.instance import Instance
from ruxa.kernel.clock import Clock
from ruxa.kernel.errors import Conflict, InvalidCall
from ruxa.kernel.settings import Settings, read_secret
from ruxa.privacy.restore import quarantine


def check(settings: Settings, found: Instance | None) -> None:
    """What must not be started, before anything is touched (decisions D9, D35, D41)."""
    quarantine.refuse(settings.data)
    if settings.role != "all" and settings.database_url is None:
        raise InvalidCall(
            f"The role {settings.role} needs a database of its own: set RUXA_DATABASE_URL, "
            "since the embedded PostgreSQL belongs to the role all.",
            code="role_without_database",
        )
    if found is not None and found.mode == "demo" and (why := not_private(settings)):
        raise Conflict(
            f"This data directory holds the demo, and {why}. Run `ruxa demo remove` first, "
            "or choose another data directory with --data.",
            code="demo_exists",
        )
    check_clock(settings, found)
    if settings.egress.allow_loopback and not ports.is_loopback(settings.host):
        raise InvalidCall(
            f"egress.allow_loopback is for development: refused while the host is {settings.host}.", code="bad_setting"
        )


def check_parts(settings: Settings) -> None:
    """What the processes would only find out one after the other: providers, payments, mail, the metrics' token."""
    if settings.providers:
        from ruxa.egress import providers

        providers.load(settings.providers, read_secret)
    if settings.payments:
        from ruxa.app import payments

        payments.check(settings)
    if settings.mail.url != "outbox:":
        from ruxa.egress.mail import Smtp

        Smtp(settings.mail.url, settings.mail.sender, Clock())
    if settings.metrics_token is not None:
        read_secret(settings.metrics_token)
    if settings.backup.target is not None or settings.backup.keys_target is not None:
        from ruxa.app import backups
        from ruxa.egress.recipient import Register
        from ruxa.kernel.signals import JsonLines

        backups.configured(settings, Register(JsonLines("supervisor", Clock())))


def check_clock(settings: Settings, found: Instance | None) -> None:
    """Only a simulated instance has a clock that moves (decision D35)."""
    simulated = settings.simulated if found is None else found.simulated
    if settings.simulated and not simulated:
        raise Conflict(
            f"{settings.data} was made without --simulated: its clock cannot be moved.", code="not_simulated"
        )
    if settings.clock_offset_s and not simulated:
        raise Conflict(
            "RUXA_CLOCK_OFFSET is refused: only a data directory made with `ruxa run --simulated` has a movable clock.",
            code="not_simulated",
        )


def not_private(settings: Settings) -> str | None:
    """Why the demo, whose key and password lie in a file, must not run with these settings."""
    if not ports.is_loopback(settings.host):
        return f"the host {settings.host} is not loopback"
    if settings.public_url is not None:
        return f"the public URL {settings.public_url} is set"
    for name in settings.payments:
        if name != "sandbox":
            return f"the payment processor {name} is set"
    return None
