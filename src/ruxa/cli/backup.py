"""``ruxa backup``, ``ruxa restore``, ``ruxa quarantine``: make backups, try them, come back from one."""

from __future__ import annotations

import asyncio
import getpass
import os
import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from ruxa.app import backups, drill, restore, targets
from ruxa.app.backups import Archive
from ruxa.app.house import House, quiet
from ruxa.app.restore import Restored, Wish
from ruxa.cli import output, session
from ruxa.cli import settings as settings_
from ruxa.egress.recipient import Register
from ruxa.kernel.clock import Clock, monotonic
from ruxa.kernel.errors import InvalidCall, NotFound
from ruxa.kernel.settings import Settings
from ruxa.privacy.backups import records
from ruxa.privacy.restore import quarantine
from ruxa.store.archive import kit, manifest
from ruxa.store.archive.manifest import Manifest
from ruxa.store.archive.target import Folder, Target

PASSPHRASE = "RUXA_RECOVERY_PASSPHRASE"  # noqa: S105 - the name of a variable


def create(args: Namespace) -> int:
    """``ruxa backup create``."""

    async def act(house: House) -> Manifest:
        target = _target(args.out, house.settings, house)
        return await _archive(house).create(target, args.kind, _progress())

    made = session.within(args, act)
    _end_progress()
    if args.json:
        output.as_json(_manifest(made, args.out))
        return 0
    output.line(f"{made.name}: {_size(made.bytes)} in {len(made.items)} objects, the data of {_when(made.taken_at)}.")
    if made.left_out:
        output.line(f"Not in it, as it should be: {', '.join(made.left_out)}.")
    return 0


def keys(args: Namespace) -> int:
    """``ruxa backup keys``."""
    where = Path(args.kit) if args.kit else None

    async def act(house: House) -> dict[str, Any]:
        target = _target(args.out, house.settings, house)
        archive = _archive(house)
        others = [one for one in (_configured_data(house),) if one is not None]
        made = await archive.export_keys(target, others)
        key = await archive.key()
        path = where or (target.path / kit.FILE if isinstance(target, Folder) else None)
        result: dict[str, Any] = {**_manifest(made, args.out), "recovery_kit": None, "passphrase": None}
        if path is None:
            raise InvalidCall("A recovery kit is a file of this machine: say where with --kit FILE.", code="kit_where")
        asked = args.passphrase_file is not None or args.recovery_key is not None or PASSPHRASE in os.environ
        same = path.exists() and kit.key_id(path.read_bytes()) == key.id.hex()
        if same and not asked:
            return {**result, "recovery_kit": str(path), "kit": "kept"}
        passphrase: str | None = None
        public = kit.read_recovery_public(Path(args.recovery_key)) if args.recovery_key else None
        if public is None:
            passphrase = _passphrase(args, fresh=True)
            if passphrase is None:
                passphrase = kit.fresh_passphrase()
                result["passphrase"] = passphrase
        await archive.write_kit(path, passphrase=passphrase, recovery_public=public)
        return {**result, "recovery_kit": str(path), "kit": "made"}

    done = session.within(args, act)
    if args.json:
        output.as_json(done)
        return 0
    output.line(f"Keystore exported to {args.out} ({done['name']}); it opens until its epoch ends, 7 days at most.")
    output.line(f"Recovery kit: {done['recovery_kit']} ({done['kit']}).")
    if done["passphrase"]:
        output.line(f"Its passphrase, shown this once: {done['passphrase']}")
        output.line("Without it nobody opens a backup. Write it down; keep kit, passphrase and backups apart.")
    return 0


def list_(args: Namespace) -> int:
    """``ruxa backup list``."""
    target = _plain_target(args)
    rows: list[dict[str, Any]] = []
    for name in manifest.listed(target):
        made = manifest.unproved(target, name)
        rows.append(
            {
                "name": name,
                "kind": made.kind,
                "taken_at": made.taken_at,
                "bytes": made.bytes,
                "items": len(made.items),
                "release": made.release,
            }
        )
    output.table(args, rows, ["name", "kind", "taken_at", "bytes", "items"], empty=f"No backups in {args.dir}.")
    return 0


def verify(args: Namespace) -> int:
    """``ruxa backup verify``: every object as its manifest says, and the manifest signed by this instance."""

    async def act(house: House) -> list[Manifest]:
        target = _target(args.dir, house.settings, house)
        key = await _archive(house).key()
        trusted = {public.public for public in await house.vault.public_keys("backup")}
        names = manifest.listed(target)
        if not names:
            raise NotFound(f"No backups in {args.dir}.", code="backup_missing")
        found: list[Manifest] = []
        for name in names:
            made = await asyncio.to_thread(manifest.read, target, name, key, trusted)
            await asyncio.to_thread(manifest.check, target, made)
            found.append(made)
        return found

    found = session.within(args, act)
    if args.json:
        output.as_json({"ok": True, "examined": len(found), "backups": [made.name for made in found]})
    else:
        output.line(f"{len(found)} backup(s) whole and signed: {', '.join(made.name for made in found)}.")
    return 0


def expire(args: Namespace) -> int:
    """``ruxa backup expire``: what the hourly job does, now and in the places given."""

    async def act(house: House) -> dict[str, Any]:
        archive, gone = _archive(house), dict[str, Any]()
        if args.dir:
            done = await archive.expire(_target(args.dir, house.settings, house))
            gone["backups"], gone["log"], gone["left_over"] = done.backups, done.pieces, done.left_over
        if args.keys_dir:
            done = await archive.expire_keys(_target(args.keys_dir, house.settings, house))
            gone["exports"], gone["epochs"] = done.backups, [epoch.hex for epoch in done.epochs]
        return gone

    if not (args.dir or args.keys_dir):
        raise InvalidCall("Say where: --dir DIR for backups of data, --keys-dir DIR for exports of the keystore.")
    output.show(args, session.within(args, act))
    return 0


def log(args: Namespace) -> int:
    """``ruxa backup log``: archive the write-ahead log up to now."""

    async def act(house: House) -> dict[str, Any]:
        from ruxa.store.archive import physical

        physical.own_cluster_only(house.settings.database_url)
        target = _target(args.out, house.settings, house)
        backups.refuse_beside_keys(target)
        pushed = await _archive(house).archive_log(target)
        return {"segments": pushed.segments, "until": pushed.at, "base_due": pushed.fresh_slot}

    output.show(args, session.within(args, act))
    return 0


def drill_(args: Namespace) -> int:
    """``ruxa backup drill``. 1 when something failed."""

    async def act(house: House) -> records.Drill:
        register = Register(house.sink)
        named = None
        if args.dir or args.keystore:
            if not (args.dir and args.keystore):
                raise InvalidCall("--dir and --keystore go together.")
            named = backups.Targets(
                targets.of_text(args.dir, house.settings.backup, register, keys=False),
                targets.of_text(args.keystore, house.settings.backup, register, keys=True),
            )
        raw = Path(args.recovery_kit).read_bytes() if args.recovery_kit else None
        opened = None if raw is None else _open_kit(raw, args)
        return await drill.run(
            _archive(house), named or backups.configured(house.settings, register), opened, kind=args.kind
        )

    found = session.within(args, act)
    row = _drill(found)
    if args.json:
        output.as_json(row)
    else:
        output.show(args, row)
        output.line("The drill passed." if found.state == "passed" else "The drill FAILED.")
    return 0 if found.state == "passed" else 1


def restore_(args: Namespace) -> int:
    """``ruxa restore``. 0: it may serve; 1: it is in quarantine, and why."""
    settings = settings_.load(args)
    sink = quiet(settings)
    register = Register(sink)
    try:
        raw = Path(args.recovery_kit).read_bytes()
        checkpoint = Path(args.checkpoint).read_text(encoding="utf-8") if args.checkpoint else None
    except (OSError, UnicodeDecodeError) as error:
        raise NotFound(f"A file cannot be read: {error}.", code="file_missing") from None
    source, name = (
        (targets.of_text(args.dir, settings.backup, register, keys=False), None)
        if "://" in args.dir
        else restore.folder_or_backup(Path(args.dir).absolute())
    )
    keystore = args.keystore or str(Path(args.recovery_kit).absolute().parent)
    wish = Wish(
        source=source,
        keystore=targets.of_text(keystore, settings.backup, register, keys=True),
        kit=_open_kit(raw, args),
        name=args.backup or name,
        kind="base" if args.until and args.kind is None else (args.kind or "logical"),
        until=session.moment(args.until, Clock(), "--until", past=True) if args.until else None,
        checkpoint=checkpoint,
        accept_old=args.accept_old_checkpoint,
    )
    say: Callable[[str], None] = (lambda _: None) if args.json else output.line
    done = asyncio.run(restore.run(settings, wish, sink, say))
    if args.json:
        output.as_json(_restored(done, settings))
    else:
        _tell(done, settings)
    return 0 if done.released else 1


def quarantine_show(args: Namespace) -> int:
    """``ruxa quarantine show``. 1 while there is one."""
    settings = settings_.load(args)
    found = quarantine.read(settings.data)
    if args.json:
        output.as_json({"in_quarantine": found is not None, "quarantine": found})
    elif found is None:
        output.line(f"{settings.data} is not in quarantine.")
    else:
        output.line(f"Restored from {found.backup}, in quarantine ({found.state}).")
        if found.checkpoint_at is not None:
            output.line(f"  checkpoint: {found.checkpoint} leaves, signed {_when(found.checkpoint_at)}")
        for why in found.reasons:
            output.line(f"  open: {why}")
        for what in found.unknown:
            output.line(f"  not known: {what}")
    return 0 if found is None else 1


def quarantine_release(args: Namespace) -> int:
    """``ruxa quarantine release``. 1 when something still stands against it."""
    settings = settings_.load(args)
    found = quarantine.read(settings.data)
    if found is None:
        raise NotFound(f"{settings.data} is not in quarantine.", code="no_quarantine")
    if found.state == "restoring":
        raise InvalidCall(
            "That restore was not finished: remove the directory and restore again.", code="in_quarantine"
        )
    checkpoint = Path(args.checkpoint).read_text(encoding="utf-8") if args.checkpoint else None

    async def act(house: House) -> list[str]:
        return await restore.release(
            settings, found, house.pool, house.vault, house.clock, checkpoint=checkpoint, reason=args.accept
        )

    left = session.within(args, act)
    if args.json:
        output.as_json({"released": not left, "reasons": left})
    elif left:
        for why in left:
            output.line(f"open: {why}")
        output.line("Not released. Settle what is open, or answer for it: --accept REASON (it is logged).")
    else:
        output.line("Released: `ruxa run` may start on it.")
    return 1 if left else 0


def _archive(house: House) -> Archive:
    return Archive(
        house.settings,
        house.instance,
        house.address,
        house.pool,
        house.vault,
        house.clock,
        house.sink,
        actor="operator",
        cause="command",
    )


def _target(text: str, settings: Settings, house: House) -> Target:
    return targets.of_text(text, settings.backup, Register(house.sink), keys=False)


def _plain_target(args: Namespace) -> Target:
    settings = settings_.load(args)
    return targets.of_text(args.dir, settings.backup, Register(quiet(settings)), keys=False)


def _configured_data(house: House) -> Target | None:
    asked = house.settings.backup
    if asked.target is None:
        return None
    return targets.of_text(asked.target, asked, Register(house.sink), keys=False)


def _passphrase(args: Namespace, *, fresh: bool) -> str | None:
    """From the file, the environment, or the terminal; None when there is none of them."""
    if args.passphrase_file:
        try:
            return Path(args.passphrase_file).read_text(encoding="utf-8").rstrip("\r\n")
        except OSError as error:
            raise NotFound(
                f"{args.passphrase_file} cannot be read: {error.strerror}.", code="passphrase_missing"
            ) from None
    if PASSPHRASE in os.environ:
        return os.environ[PASSPHRASE]
    if args.json or not sys.stdin.isatty():
        return None
    asked = getpass.getpass("Passphrase of the recovery kit (empty: make one): " if fresh else "Passphrase: ")
    if fresh and asked and getpass.getpass("Once more: ") != asked:
        raise InvalidCall("The two passphrases differ.", code="passphrase_weak")
    return asked or None


def _open_kit(raw: bytes, args: Namespace) -> kit.Opened:
    def passphrase() -> str:
        found = _passphrase(args, fresh=False)
        if found is None:
            raise InvalidCall(
                f"The recovery kit needs its passphrase: --passphrase-file FILE, or {PASSPHRASE}.",
                code="passphrase_missing",
            )
        return found

    secret = kit.read_recovery_secret(Path(args.recovery_key)) if args.recovery_key else None
    return kit.open_kit(raw, passphrase=passphrase, recovery_secret=secret)


def _progress() -> Callable[[str, int], None]:
    """Told now and then, on a terminal only."""
    if not sys.stderr.isatty():
        return lambda _, __: None
    last = [0.0]

    def show(what: str, size: int) -> None:
        if monotonic() - last[0] > 0.2:
            last[0] = monotonic()
            sys.stderr.write(f"\r{_size(size):>12}  {what[:60]:<60}")
            sys.stderr.flush()

    return show


def _end_progress() -> None:
    if sys.stderr.isatty():
        sys.stderr.write("\r" + " " * 76 + "\r")
        sys.stderr.flush()


def _manifest(made: Manifest, where: str) -> dict[str, Any]:
    kinds = {item.kind for item in made.items}
    return {
        "name": made.name,
        "kind": made.kind,
        "path": f"{where.rstrip('/')}/{made.name}",
        "manifest": f"{where.rstrip('/')}/{made.name}/{manifest.FILE}",
        "taken_at": made.taken_at,
        "bytes": made.bytes,
        "objects": len(made.items),
        "by_kind": {kind: sum(item.kind == kind for item in made.items) for kind in sorted(kinds)},
        "left_out": list(made.left_out),
        "log": None if made.tree is None else msgspec.structs.asdict(made.tree),
    }


def _restored(done: Restored, settings: Settings) -> dict[str, Any]:
    row = msgspec.structs.asdict(done)
    row["instance"] = done.instance.id
    row["data"] = str(settings.data)
    row["released"] = done.released
    row["quarantine"] = not done.released
    return row


def _tell(done: Restored, settings: Settings) -> None:
    output.line(f"{settings.data} holds the data of {_when(done.taken_at)} ({done.backup}), keys of {done.living}.")
    if done.checkpoint_at is not None:
        output.line(f"  checkpoint: signed {_when(done.checkpoint_at)}")
    for what in done.unknown:
        output.line(f"  not known: {what}")
    if done.released:
        output.line("The audit log holds everything that the checkpoint covers. Start it with `ruxa run`.")
        return
    for why in done.reasons:
        output.line(f"  open: {why}")
    output.line("It stays in quarantine: `ruxa run` refuses it. Settle what is open, then `ruxa quarantine release`.")


def _drill(found: records.Drill) -> dict[str, Any]:
    return {
        "id": found.id,
        "state": found.state,
        "passed": found.state == "passed",
        "backup": found.backup,
        "living": found.living,
        "code": found.code,
        "rpo_s": found.rpo_s,
        "rto_s": None if found.rto_ms is None else round(found.rto_ms / 1000, 1),
        "rows": found.rows,
        "examined": found.examined,
        "failures": list(found.failures),
        "erased": found.erased,
        "canaries_readable": found.readable,
    }


def _when(moment: Any) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def _size(count: int) -> str:
    value, unit = count, "B"
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024 or unit == "GiB":
            break
        value //= 1024
    return f"{value} {unit}"
