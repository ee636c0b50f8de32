"""The statements behind ``register``."""

from __future__ import annotations

from datetime import date
from typing import Any

from ruxa.egress.recipient import Recipient
from ruxa.egress.tally import Line
from ruxa.store.work import Work


async def declare(work: Work, recipient: Recipient, host: str, port: int) -> None:
    """One destination, new or said again."""
    await work.run(
        "INSERT INTO privacy.recipient"
        " (name, host, port, role, who, categories, purposes, place, safeguard, source, trains, retention_days,"
        " zero_retention, mechanism, certified_on)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s::date)"
        " ON CONFLICT (name, host, port) DO UPDATE SET role = excluded.role, who = excluded.who,"
        " categories = excluded.categories, purposes = excluded.purposes, place = excluded.place,"
        " safeguard = excluded.safeguard, source = excluded.source, trains = excluded.trains,"
        " retention_days = excluded.retention_days, zero_retention = excluded.zero_retention,"
        " mechanism = excluded.mechanism, certified_on = excluded.certified_on, last_at = ruxa.now()",
        recipient.name,
        host,
        port,
        recipient.role,
        recipient.who,
        list(recipient.what),
        list(recipient.why),
        recipient.where,
        recipient.safeguard,
        recipient.source,
        recipient.trains,
        recipient.retention_days,
        recipient.zero_retention,
        recipient.mechanism,
        recipient.certified_on,
    )


async def count(work: Work, line: Line) -> None:
    """Add to today's count of a line."""
    await work.run("SELECT privacy.count_sends(%s, %s, %s, %s)", *line)


async def recipients(work: Work) -> list[tuple[Any, ...]]:
    """Every destination ever declared, by role and name."""
    return await work.rows(
        "SELECT name, host, port, role, who, categories, purposes, place, safeguard, source, trains, retention_days,"
        " zero_retention, mechanism, certified_on, first_at, last_at"
        " FROM privacy.recipient ORDER BY role <> 'provider', role, name, host, port"
    )


async def days(work: Work, since: date) -> list[tuple[Any, ...]]:
    """The counts of the days from ``since`` on, newest first."""
    return await work.rows(
        "SELECT day, recipient, host, category, sends FROM privacy.egress_daily"
        " WHERE day >= %s ORDER BY day DESC, recipient, host, category",
        since,
    )


async def strangers(work: Work, since: date) -> list[tuple[Any, ...]]:
    """Hosts that somebody wanted to reach, or did, without a declaration that names them; with how often."""
    return await work.rows(
        "SELECT e.host, sum(e.sends)::bigint FROM privacy.egress_daily e WHERE e.day >= %s AND NOT EXISTS ("
        " SELECT FROM privacy.recipient r WHERE r.name = e.recipient AND r.host = e.host)"
        " GROUP BY e.host ORDER BY e.host",
        since,
    )
