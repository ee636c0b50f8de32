"""``ruxa audit``: check the log, and export it for whoever checks it elsewhere."""

from __future__ import annotations

from argparse import Namespace
from base64 import b64encode
from pathlib import Path
from typing import Any

from ruxa.access.audit import check, export, log, published, sequencer
from ruxa.access.audit import verify as verifier
from ruxa.app import audit
from ruxa.app.house import House
from ruxa.cli import output, session
from ruxa.kernel.errors import InvalidCall


def verify(args: Namespace) -> int:
    """``ruxa audit verify``. 1 when something is wrong; the first bad leaf is named."""
    kept = [_kept(name) for name in args.checkpoint]

    async def act(house: House) -> tuple[verifier.Report, list[str]]:
        if house.server is None:
            # No worker runs: what waits gets its place here.
            await sequencer.run(house.pool, house.lend("ruxa_audit"), house.vault)
        witnesses = [audit.key_of(name, one.key) for name, one in house.settings.witnesses.items() if one.key]
        report = await check.check(house.pool, house.vault, kept=kept, witnesses=witnesses)
        async with house.work() as work:
            document = await published.keys_document(house.vault, await sequencer.origin(work))
        return report, [key["vkey"] for key in document["keys"] if key["use"] == "audit"]

    report, keys = session.within(args, act)
    if args.json:
        output.as_json({**report.as_json(), "keys": keys})
    else:
        _say(report, keys)
    return 1 if report.problems else 0


def _kept(name: str) -> verifier.Note:
    try:
        return verifier.read_note(Path(name).read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidCall(f"{name} cannot be read: {error.strerror}.") from None
    except (UnicodeDecodeError, verifier.Unreadable) as error:
        raise InvalidCall(f"{name} is no checkpoint: {error}.") from None


def _say(report: verifier.Report, keys: list[str]) -> None:
    rows: dict[str, Any] = {
        "leaves": report.size,
        "root": b64encode(report.root).decode(),
        "checkpoints verified": report.signed,
        "leaves under a checkpoint": report.vouched,
        "cosignatures": report.cosigned,
    }
    for name, value in rows.items():
        output.line(f"{name}: {value}")
    for key in keys:
        output.line(f"key of the log: {key}")
    for problem in report.problems:
        output.line(f"WRONG ({problem.kind}): {problem.text}")
    worst = report.worst
    if worst is not None:
        where = str(worst.leaf) if worst.until is None else f"between {worst.leaf} and {worst.before - 1}"
        output.line(f"First bad leaf: {where}")
    elif not report.problems:
        output.line("All is well.")


def export_(args: Namespace) -> int:
    """``ruxa audit export``: itself an entry of the log, before and after."""

    async def act(house: House) -> export.Exported:
        details = {"opened": args.open or "none"}
        async with house.work() as work:
            await log.write(
                work,
                house.vault,
                "log:exported",
                actor="operator",
                purpose=args.open or "proof",
                outcome="planned",
                details=details,
            )
        await sequencer.run(house.pool, house.lend("ruxa_audit"), house.vault, sign_now=True)
        done = await export.export(house.pool, house.vault, Path(args.out), purpose=args.open)
        async with house.work() as work:
            await log.write(
                work, house.vault, "log:exported", actor="operator", purpose=args.open or "proof", details=details
            )
        return done

    done = session.within(args, act)
    row = {"tree_size": done.size, "root": b64encode(done.root).decode(), "opened": done.opened, "out": args.out}
    output.show(args, row)
    return 0
