"""``ruxa doctor``: looks at everything that can be wrong on this machine, and says what to do about each finding."""

from __future__ import annotations

import asyncio
import shutil
import stat
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from ruxa import __version__
from ruxa.app import config_prices, database, house, instance, ports
from ruxa.app.house import House, opened
from ruxa.app.instance import Instance, Server
from ruxa.cli import output
from ruxa.cli import settings as settings_
from ruxa.egress import providers
from ruxa.kernel import money
from ruxa.kernel.errors import RuxaError
from ruxa.kernel.settings import Settings, read_secret

STRANGERS_DAYS = 2
FREE_BYTES_LOW = 1 << 30
OPEN_FILES_LOW = 1024


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing looked at. ``advice`` says what to do when it is not ok."""

    name: str
    ok: bool
    found: str
    advice: str = ""


def doctor(args: Namespace) -> int:
    """``ruxa doctor``. 1 when anything is not ok."""
    settings = settings_.load(args)
    findings = list(_about(settings, args))
    ok = all(finding.ok for finding in findings)
    if args.json:
        output.as_json({"ok": ok, "checks": [_row(finding) for finding in findings]})
        return 0 if ok else 1
    for finding in findings:
        output.line(f"{'ok  ' if finding.ok else 'BAD '} {finding.name}: {finding.found}")
        if not finding.ok:
            output.line(f"     -> {finding.advice}")
    output.line("All well." if ok else f"{sum(not f.ok for f in findings)} finding(s).")
    return 0 if ok else 1


def _row(finding: Finding) -> dict[str, Any]:
    """Advice is for what is not ok; elsewhere it would read as a warning."""
    row = {"name": finding.name, "ok": finding.ok, "found": finding.found}
    return row if finding.ok else row | {"advice": finding.advice}


def _about(settings: Settings, args: Namespace) -> Iterator[Finding]:
    try:
        found = house.existing(settings)
    except RuxaError as error:
        yield Finding(name="data directory", ok=False, found=error.public, advice="Start with `ruxa run`.")
        return
    yield Finding(name="data directory", ok=True, found=f"{settings.data}, {found.mode}")
    yield from _places(settings, found)
    yield from _machine(settings)
    yield from _providers(settings)
    server = house.running(settings.data)
    yield from _processes(settings, server)
    try:
        yield from asyncio.run(_inside(settings, args))
    except RuxaError as error:
        advice = "Is PostgreSQL's log telling (run/postgres.log)? Start the server with `ruxa run` and look again."
        yield Finding(name="database", ok=False, found=error.public, advice=advice)


def _places(settings: Settings, found: Instance) -> Iterator[Finding]:
    keys = database.keys_of(settings, found)
    for name, place in (("data directory is private", settings.data), ("keys directory is private", settings.keys)):
        open_to_others = [
            path for path in (place, *place.rglob("*")) if not path.is_symlink() and _open_to_others(path)
        ]
        yield Finding(
            name=name,
            ok=not open_to_others,
            found=str(place) if not open_to_others else f"others may enter {open_to_others[0]}",
            advice=f"chmod -R go-rwx {place}",
        )
    secret = (keys / "logins").is_file() and any(path.name != "logins" for path in keys.iterdir())
    yield Finding(
        name="keys",
        ok=secret,
        found=f"{keys}" if secret else f"{keys} lacks keys",
        advice="Restore the keys directory: without it sealed data can not be opened.",
    )
    quarantined = list((settings.data / "journal").glob("*/quarantine/*"))
    yield Finding(
        name="journal",
        ok=not quarantined,
        found="nothing quarantined" if not quarantined else f"{len(quarantined)} segment(s) in quarantine",
        advice=f"Look at {settings.data / 'journal'}/*/quarantine: calls in them may be unbilled; keep the files.",
    )


def _open_to_others(path: Path) -> bool:
    try:
        status = path.lstat()
    except OSError:
        return False
    return not stat.S_ISSOCK(status.st_mode) and bool(stat.S_IMODE(status.st_mode) & 0o077)


def _machine(settings: Settings) -> Iterator[Finding]:
    free = shutil.disk_usage(settings.data).free
    yield Finding(
        name="disk",
        ok=free >= FREE_BYTES_LOW,
        found=f"{free >> 20} MiB free",
        advice=f"Make room where {settings.data} lies; a full disk refuses new calls.",
    )
    import resource

    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    yield Finding(
        name="open files",
        ok=files >= OPEN_FILES_LOW,
        found=f"limit {files}",
        advice=f"Raise it (ulimit -n {OPEN_FILES_LOW} or more): each caller and upstream needs one.",
    )
    yield Finding(
        name="network",
        ok=ports.is_loopback(settings.host) or settings.public_url is not None,
        found=f"host {settings.host}" + (f", public as {settings.public_url}" if settings.public_url else ""),
        advice="Set public_url (RUXA_PUBLIC_URL): links in mail need to know where people reach you.",
    )


def _providers(settings: Settings) -> Iterator[Finding]:
    try:
        loaded = providers.load(settings.providers, read_secret)
    except RuxaError as error:
        yield Finding(name="providers", ok=False, found=error.public, advice="Correct the settings file.")
        return
    for name, why in loaded.unready.items():
        if name != "sandbox":
            yield Finding(name=f"provider {name}", ok=False, found=why, advice=f"Set providers.{name} or leave it out.")
    for name in loaded.ready:
        yield Finding(name=f"provider {name}", ok=True, found="configured; try it with `ruxa provider check`")


def _processes(settings: Settings, server: Server | None) -> Iterator[Finding]:
    if server is None:
        yield Finding(name="server", ok=True, found="not running")
        return
    yield Finding(
        name="server",
        ok=server.version == __version__,
        found=f"{server.base_url} (pid {server.pid}, version {server.version})",
        advice=f"Restart it: this command is version {__version__}.",
    )
    for name, pid in server.children.items():
        alive = instance.title(pid) == f"ruxa: {name}"
        yield Finding(
            name=f"process {name}",
            ok=alive,
            found=f"pid {pid}" if alive else f"pid {pid} is gone",
            advice="It is restarted by itself; if this stays, look at the server's standard error.",
        )


async def _inside(settings: Settings, args: Namespace) -> list[Finding]:
    async with opened(settings, f"ruxa {args.command}") as home:
        return [
            await _answers(home),
            await _clock(home),
            await _isolation(home),
            await _log_of_changes(home),
            *await _money(home),
            *await _retention(home),
            *await _backups(home),
            await _outbound(home),
            await _data_map(home),
            await _purposes(home),
            await _audit(home),
            *await _sealing_keys(home),
            await _staff(home),
            await _owners(home),
            await _erasures(home),
        ]


async def _answers(home: House) -> Finding:
    from ruxa.store import migrate

    try:
        pending = await asyncio.to_thread(migrate.pending, home.address.url("ruxa_owner"))
    except RuxaError as error:
        return Finding(name="schema", ok=False, found=error.public, advice="Run the release that fits this database.")
    return Finding(
        name="schema",
        ok=not pending,
        found="up to date" if not pending else f"{len(pending)} step(s) pending",
        advice="Run `ruxa db migrate`.",
    )


async def _clock(home: House) -> Finding:
    from ruxa.store import instance as owner

    async with home.work() as work:
        there = await owner.now(work)
    apart = abs((there - home.clock.now()).total_seconds())
    return Finding(
        name="clock",
        ok=apart < 2,
        found=f"database and this machine are {apart:.1f} s apart",
        advice="Set the clock (NTP) on both machines; prices, limits and retention go by it.",
    )


async def _isolation(home: House) -> Finding:
    place = database.of(home.settings, home.instance, home.sink)
    if isinstance(place, database.External):
        return Finding(name="database", ok=True, found="your own PostgreSQL")
    how = place.cluster.isolation
    found = {
        "none": "embedded PostgreSQL",
        "namespace": "embedded PostgreSQL, in a user namespace because this is root",
        "drop": "embedded PostgreSQL under /var/lib/ruxa, because this is root and user namespaces are refused",
    }[how]
    return Finding(name="database", ok=True, found=found)


async def _log_of_changes(home: House) -> Finding:
    from ruxa.store import instance as owner

    async with home.work() as work:
        left = await owner.log_leftovers(work)
    return Finding(
        name="write-ahead log",
        ok=not left,
        found="goes with the days whose rows it holds" if not left else "; ".join(left),
        advice="Usage rows are not sealed, and could be read from an old segment after day 90. As the server's "
        "administrator: ALTER SYSTEM SET wal_recycle = off; and run `ruxa db setup --admin-url URL` again.",
    )


async def _money(home: House) -> list[Finding]:
    from ruxa.ledger import prices, proofs, routes

    models = home.settings.models
    async with home.work() as work:
        closed = [route.model for route in await routes.closed(work)]
        priced = await prices.current(work)
        proved = await proofs.check(work)
    bad = [proof for proof in proved if not proof.ok]
    findings = [
        Finding(
            name="ledger",
            ok=not bad,
            found=f"{len(proved)} proofs hold" if not bad else ", ".join(proof.name for proof in bad),
            advice="Stop giving credit and look at `ruxa ledger check`; do not repair by hand.",
        )
    ]
    findings.append(
        Finding(
            name="routes",
            ok=not closed,
            found="all open" if not closed else f"closed for prepaid calls: {', '.join(closed)}",
            advice="The provider counted over 5 % more than was held. Compare its bills with `ruxa price list --json`; "
            "then correct it with `ruxa price set`, or serve it again as it is: `ruxa provider open MODEL`.",
        )
    )
    findings += [
        Finding(
            name=f"prices of {name}",
            ok=any(model.startswith(f"{name}/") for model in priced),
            found=f"{sum(model.startswith(f'{name}/') for model in priced)} models priced",
            advice=f"Price its models: ruxa price set {name}/MODEL --input MICROS --output MICROS",
        )
        for name in home.settings.providers
    ]
    unpriced, differing = config_prices.unpriced(models, priced), config_prices.differing(models, priced)
    for name in models:
        found, advice = (
            "not priced",
            f"State its input and output prices, or: ruxa price set {name} --input N --output N",
        )
        if name in priced:
            price = priced[name]
            costs = f"{money.usd(price.input_micros)} in, {money.usd(price.output_micros)} out"
            found = f"{costs}, USD per million tokens ({price.source})"
            advice = "The settings file states another: it counts from the next start on."
        ok = name not in unpriced and name not in differing
        findings.append(Finding(name=f"price of {name}", ok=ok, found=found, advice=advice))
    return findings


async def _outbound(home: House) -> Finding:
    from datetime import UTC

    from ruxa.privacy.outbound import register
    from ruxa.store import instance as owner

    async with home.work() as work:
        today = (await owner.now(work)).astimezone(UTC).date()
        strangers = await register.strangers(work, today, STRANGERS_DAYS)
    return Finding(
        name="recipients",
        ok=not strangers,
        found="nothing was asked for undeclared" if not strangers else f"undeclared: {', '.join(strangers)}",
        advice="Some code wanted a host that nobody declares; it was refused. Find out which code by the time of the "
        "signals (egress.refused), or declare the host in the settings file.",
    )


async def _backups(home: House) -> list[Finding]:
    from ruxa.privacy.backups import watch

    if home.settings.backup.target is None:
        # A demo loses nothing that it promised to keep; everything else does.
        found = "not scheduled: no backup.target"
        advice = "Set backup.target and backup.keys_target, in two places; see docs/how-to/back-up-and-restore.md."
        return [Finding(name="backups", ok=home.instance.mode == "demo", found=found, advice=advice)]
    async with home.work() as work:
        lasts = await watch.look(work)
    names = {"logical": "backup", "living": "export of the keys", "drill": "restore drill"}
    does = {"logical": "ruxa backup create", "living": "ruxa backup keys", "drill": "ruxa backup drill"}
    return [
        Finding(
            name=f"last {names[last.what]}",
            ok=not last.late,
            found="none yet" if last.hours is None else f"{last.hours} h ago",
            advice=f"Run `{does[last.what]}` and see what it says; the job worker does it by itself.",
        )
        for last in lasts
    ]


async def _retention(home: House) -> list[Finding]:
    from ruxa.privacy.retention import engine
    from ruxa.store import inventory

    async with home.work() as work:
        said = await engine.report(work)
        keeps = [
            (f"{column.schema}.{column.table}", column.declaration.keep)
            for column in await inventory.read(work)
            if column.declaration is not None
        ]
        keys = database.keys_of(home.settings, home.instance)
        stray = await engine.unclassed(work, keeps, home.settings.data, keys)
    return [
        Finding(
            name="retention",
            ok=said.missed_h is None,
            found=f"the last good run was {said.age_h} h ago"
            if said.last_good is not None
            else f"no good run yet, {said.age_h} h after the start",
            advice="Run `ruxa retention run` and see what it says; the job worker does it every hour.",
        ),
        Finding(
            name="retention clock",
            ok=not said.paused,
            found="believed" if not said.paused else "jumped: nothing is destroyed by age until it is right",
            advice="Set the clock (NTP); if it is right now, say so: ruxa retention acknowledge",
        ),
        Finding(
            name="retention classes",
            ok=not stray,
            found="everything stored has one" if not stray else "; ".join(stray[:5]),
            advice="Something is stored that no class ends: remove it, or run the release that knows it.",
        ),
    ]


async def _data_map(home: House) -> Finding:
    from ruxa.console import cookies
    from ruxa.gateway import metrics
    from ruxa.privacy.processing import places

    async with home.work() as work:
        found = await places.gather(work, cookies.places())
    # What the running processes write and store, beside what this release says of itself.
    found += places.seen("label", metrics.labels(home.settings.data / "run" / "metrics"))
    found += places.seen("object", [f"{prefix}/" for prefix in await home.objects.top()])
    problems = places.problems(found)
    return Finding(
        name="data map",
        ok=not problems,
        found=f"{len(found)} places declared" if not problems else "; ".join(problems),
        advice="Declare each in the data map's grammar (docs/reference/data-map.md), or take it away.",
    )


async def _audit(home: House) -> Finding:
    from ruxa.access.audit import check, sequencer

    if home.server is None:
        # No worker runs: what waits gets its place here.
        await sequencer.run(home.pool, home.lend("ruxa_audit"), home.vault)
    report = await check.check(home.pool, home.vault)
    worst = report.worst
    return Finding(
        name="audit log",
        ok=not report.problems,
        found=f"{report.size} leaves, {report.signed} checkpoints"
        if not report.problems
        else f"{report.problems[0].text}"
        + ("" if worst is None else f"; first bad leaf {worst.leaf}" + ("" if worst.until is None else " or later")),
        advice="Somebody changed the log, or its database was set back. Keep everything as it is, and compare with the "
        "checkpoints that others were mailed: ruxa audit verify --checkpoint FILE",
    )


async def _purposes(home: House) -> Finding:
    from ruxa.privacy.processing import purposes

    async with home.work() as work:
        wider, examined = await purposes.wider(work)
    return Finding(
        name="purposes",
        ok=not wider,
        found=f"{examined} grants, none wider than the data map" if not wider else "; ".join(wider),
        advice="Revoke what a login needs for none of its purposes; grants are the schema's, not yours to widen.",
    )


async def _sealing_keys(home: House) -> list[Finding]:
    from ruxa.kernel.bounds import EPOCH_DAYS
    from ruxa.store import sealings
    from ruxa.store.pool import Pool

    kept, age = home.vault.assurance, await home.vault.epoch_age()
    held = [one.name for one in (await home.vault.survey()).holders if one.alive]
    pool = await Pool.open(home.address.url("ruxa_owner"), login="ruxa_owner", max_size=1, clock=home.clock)
    try:
        async with pool.work() as work:
            elsewhere = await home.vault.keys_elsewhere(work)
            table, written = await sealings.most(work)
    finally:
        await pool.close()
    swaps = Path("/proc/swaps")
    swap = swaps.exists() and len(swaps.read_text().splitlines()) > 1
    return [
        Finding(
            name="epoch",
            ok=age.total_seconds() < EPOCH_DAYS * 86_400 - kept.waits_h * 3600,
            found=f"{age.days} day(s) old of {EPOCH_DAYS}, {kept.provider}, assurance {kept.level}: {kept.limit}",
            advice="What was destroyed can still be recovered from copies: run `ruxa keys rotate`, and see that the "
            "worker runs.",
        ),
        Finding(
            name="keys elsewhere",
            ok=not elsewhere.found,
            found=f"none in {elsewhere.columns} columns, {elsewhere.values} values looked at"
            if not elsewhere.found
            else "; ".join(f"{column}: {how}" for column, how in elsewhere.found),
            advice="A key outside the keystore outlives its destruction: find what wrote it, delete it, rotate.",
        ),
        Finding(
            name="values under one key",
            ok=written < sealings.SEALINGS_MAX,
            found=f"at most {written} (written to {table}), of {sealings.SEALINGS_MAX} looked out for",
            advice="Replace the keys of that table's subjects: ruxa keys rotate subject",
        ),
        Finding(
            name="keys in memory",
            ok=True,
            found=f"held by {', '.join(held)}"
            + ("; this machine has swap: see that it is encrypted" if swap else "; no swap on this machine"),
        ),
    ]


async def _staff(home: House) -> Finding:
    from ruxa.access import members

    async with home.work() as work:
        staff = await members.staff(work, home.vault)
    return Finding(
        name="operator",
        ok=bool(staff),
        found=f"{len(staff)} member(s) of staff",
        advice="Make yourself the operator: ruxa operator add YOUR@EMAIL",
    )


async def _owners(home: House) -> Finding:
    from ruxa.access import organisations
    from ruxa.kernel import ids

    async with home.work() as work:
        without = [ids.text("org", one) for one in await organisations.ownerless(work)]
    return Finding(
        name="owners",
        ok=not without,
        found="every organisation has one, or an invitation for one"
        if not without
        else f"{len(without)} organisation(s) without: {', '.join(without[:5])}",
        advice="Its keys go on, and none of its own can end them: invite an owner (ruxa member add EMAIL --org ORG "
        "--role owner), or end its keys (ruxa key list --org ORG, ruxa key revoke KEY).",
    )


async def _erasures(home: House) -> Finding:
    from ruxa.kernel import ids
    from ruxa.privacy import erase

    async with home.work() as work:
        late = await erase.refused(work)
    told = [f"{ids.text('ers', one.id)} ({', '.join(one.why) or 'a process keeps the keys'})" for one in late[:5]]
    return Finding(
        name="erasures",
        ok=not late,
        found="none is late" if not late else f"{len(late)} late: {'; '.join(told)}",
        advice="Somebody was promised it: settle what stands against it (owner, credit, hold); then the job worker "
        "does it by itself. Staff see them at /staff/holds.",
    )
