"""``ruxa restore``: an empty data directory becomes the instance of a backup, closed until all of it is put right.

Order: the mark of quarantine first and its end last; keys of the newest export only; rows, then keys, then a new epoch,
so that what the copied files still hold under the old one ends with it; then the replay; then the comparison with a
checkpoint from outside. No listener is opened anywhere here.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack
from datetime import datetime
from pathlib import Path
from typing import Literal

import msgspec

from ruxa.access.audit import log
from ruxa.app import core_dumps, custody, database, hook, instance
from ruxa.app.instance import Instance, Lock
from ruxa.egress.recipient import Register
from ruxa.kernel.clock import Clock, monotonic
from ruxa.kernel.errors import Conflict, NotFound, RuxaError
from ruxa.kernel.settings import Settings
from ruxa.kernel.signals import Sink
from ruxa.privacy.restore import quarantine, replay
from ruxa.privacy.restore.quarantine import Quarantine
from ruxa.store import binaries, migrate
from ruxa.store import database as store_database
from ruxa.store import instance as owner
from ruxa.store.address import Address
from ruxa.store.archive import living, manifest, physical, unpack, wal
from ruxa.store.archive.kit import Opened
from ruxa.store.archive.living import Export
from ruxa.store.archive.manifest import Manifest
from ruxa.store.archive.target import Folder, Target
from ruxa.store.logins import ADMIN
from ruxa.store.pool import Pool
from ruxa.store.vault import Vault

Say = Callable[[str], None]

RECOVERY_S = 24 * 3600.0
NO_CHECKPOINT = (
    "no checkpoint from outside was given: nobody here can tell whether something was erased, revoked or withdrawn "
    "after the newest export (--checkpoint FILE: from a daily mail, a receipt or a witness)"
)


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be restored. name: of a backup, else the newest of the kind; until: only by a base backup.

    keystore: where the exports of the keystore lie; checkpoint: the text of one kept elsewhere; accept_old: why one
    that is older than the data, than an erasure or than a day and a half must do; rehearsal: of a drill, which ends no
    epoch at a key server that the living instance uses.
    """

    source: Target
    keystore: Target
    kit: Opened
    name: str | None = None
    kind: Literal["logical", "base"] = "logical"
    until: datetime | None = None
    checkpoint: str | None = None
    accept_old: str | None = None
    rehearsal: bool = False


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """What a restore did. quarantine: None when it was released."""

    instance: Instance
    backup: str
    living: str
    taken_at: datetime
    living_at: datetime
    took_ms: int
    rows: int
    days: int
    dead_days: tuple[str, ...]
    segments: int
    files: int
    replayed: dict[str, int]
    unknown: list[str]
    reasons: list[str]
    size: int
    checkpoint_at: datetime | None = None

    @property
    def released(self) -> bool:
        """Whether a server may start on it now."""
        return not self.reasons


class Open(msgspec.Struct, frozen=True):
    """The restored instance while its database runs: for who looks at it before it stops (the drill)."""

    address: Address
    operator: Pool
    vault: Vault
    restored: Restored


@contextlib.asynccontextmanager
async def opened(settings: Settings, wish: Wish, sink: Sink, say: Say) -> AsyncGenerator[Open]:
    """Restores into ``settings.data`` and leaves the database running for the length of the block.

    Raises Conflict ``data_not_empty``, ``checkpoint_old``, ``log_forked``; NotFound ``backup_missing``,
    ``epoch_ended``; Broken ``backup_damaged``; Unavailable. What was made is taken back then.
    """
    core_dumps.forbid()
    os.umask(0o077)
    _empty(settings, wish)
    register = Register(sink)
    hook.install(register, sink)
    began = monotonic()
    instance.prepare(settings.data, settings.keys)
    lock = Lock.take(settings.data, "ruxa restore")
    async with AsyncExitStack() as stack:
        stack.callback(lock.release)
        clock = Clock()
        mark = Quarantine(state="restoring", backup=wish.name or wish.source.where, began_at=clock.now())
        quarantine.write(settings.data, mark)
        try:
            made = await asyncio.to_thread(_choose, wish)
            export = await _export(settings, wish, made, register)
            await asyncio.to_thread(_check_signer, wish, made, export)
            await asyncio.to_thread(_check_age, wish, made, export)
            _steps_known(made)
            found = _declare(settings, made, export)
            say(f"Restoring {made.name} ({made.kind}) with the keys of {export.made.name}.")
            place = database.of(settings, found, sink)
            stack.push_async_callback(_stop, place)
            laid = await _lay(settings, wish, made, export, place, say)
            await database.bring_up(place.address, found, settings, sink)
            address = place.address
            data_at, own_keys = await asyncio.to_thread(_moment, wish, made, export, address)
            if not own_keys:
                await asyncio.to_thread(living.load, address.url("ruxa_owner"), export)
            if found.simulated:
                clock = Clock(await asyncio.to_thread(owner.offset_s, address.url("ruxa_owner")))
            operator = await _pool(address, "ruxa_operator", clock, stack)
            eraser = await _pool(address, "ruxa_erase", clock, stack)
            rows = await _pool(address, "ruxa_owner", clock, stack)
            vault = await Vault.unlock(
                address, custody.epoch_keys(settings, found, register), clock=clock, name="restore"
            )
            stack.push_async_callback(vault.close)
            if export.provider == "directory" or not wish.rehearsal:
                say("Keys are in; a new epoch ends what the copies still hold under the old one.")
                await vault.rotate_epoch()
            facts = _Facts(made, export, found, laid, data_at, own_keys)
            restored = await _settled(settings, wish, facts, rows, operator, eraser, vault, mark, say)
        except (RuxaError, OSError):
            await stack.aclose()
            _take_back(settings, wish)
            raise
        restored = msgspec.structs.replace(restored, took_ms=int((monotonic() - began) * 1000))
        yield Open(address, operator, vault, restored)


async def run(settings: Settings, wish: Wish, sink: Sink, say: Say) -> Restored:
    """``opened``, and stopped again. The directory stays in quarantine when there are reasons."""
    async with opened(settings, wish, sink, say) as there:
        restored = there.restored
    if restored.released:
        quarantine.end(settings.data)
    return restored


def _empty(settings: Settings, wish: Wish) -> None:
    left = quarantine.read(settings.data)
    if left is not None and left.state == "restoring":
        raise Conflict(
            f"{settings.data} holds a restore that was not finished. Remove the directory and {settings.keys}, "
            "then restore again.",
            code="data_not_empty",
        )
    keys = settings.keys / wish.kit.instance.hex
    for place in (settings.data, keys):
        if place.exists() and (not place.is_dir() or any(place.iterdir())):
            raise Conflict(f"{place} is not empty: a restore needs an empty directory.", code="data_not_empty")


def _choose(wish: Wish) -> Manifest:
    key, kind = wish.kit.key, wish.kind
    if wish.name is not None:
        made = manifest.read(wish.source, wish.name, key)
    elif kind == "base":
        made = physical.choose(wish.source, key, wish.until)
    else:
        names = manifest.listed(wish.source, ("logical",))
        if not names:
            raise NotFound(f"There is no logical backup in {wish.source.where}.", code="backup_missing")
        made = manifest.read(wish.source, names[-1], key)
    if made.instance != wish.kit.instance:
        raise Conflict(
            f"The backup is of instance {made.instance}, the recovery kit of {wish.kit.instance}.", code="kit_foreign"
        )
    if wish.until is not None and made.kind != "base":
        raise Conflict(
            "Only a base backup with its log leads to a chosen moment: --until needs --kind base.", code="until_logical"
        )
    return made


async def _export(settings: Settings, wish: Wish, made: Manifest, register: Register) -> Export:
    """The newest export of the keystore, whatever the age of the data."""
    names = await asyncio.to_thread(manifest.listed, wish.keystore, ("living",))
    if not names:
        raise NotFound(
            f"There is no export of the keystore in {wish.keystore.where}: name its place with --keystore DIR.",
            code="backup_missing",
        )
    keeper = custody.epoch_keys(settings, _instance(made), register)
    export = await living.open_export(wish.keystore, names[-1], wish.kit.key, keeper)
    if export.made.instance != made.instance:
        raise Conflict("The keystore's export is of another instance than the backup.", code="kit_foreign")
    return export


def _check_signer(wish: Wish, made: Manifest, export: Export) -> None:
    """Both are signed by keys that are this instance's own, as the kit or the keystore has them."""
    trusted = wish.kit.trusted | export.signers()
    manifest.read(wish.source, made.name, wish.kit.key, trusted)
    manifest.read(wish.keystore, export.made.name, wish.kit.key, trusted)


def _check_age(wish: Wish, made: Manifest, export: Export) -> None:
    """Before anything is laid back. Raises Conflict ``checkpoint_old`` when it tells nothing of what came after."""
    if wish.checkpoint is None or wish.accept_old is not None:
        return
    found = replay.given(wish.checkpoint, made.instance, list(export.signers("audit")))
    newest = replay.Newest(
        size=0 if made.tree is None else made.tree.size,
        data_at=made.taken_at,
        erased_at=replay.erased_at(export.extract),
        # By the instance's clock, wherever that stands.
        now=Clock().now() + (export.made.taken_at - export.made.real_at),
    )
    why = replay.too_old(found, newest)
    if why is not None:
        raise Conflict(
            f"Not restored: {why}. Give a newer one (the public log, a daily mail, a witness), or say why this one must"
            " do: --accept-old-checkpoint REASON; the directory stays in quarantine then.",
            code="checkpoint_old",
        )


def _instance(made: Manifest) -> Instance:
    return Instance(
        id=made.instance, machine=made.machine, mode=made.mode, simulated=made.simulated, created=made.created
    )


def _declare(settings: Settings, made: Manifest, export: Export) -> Instance:
    found = _instance(made)
    keys = database.keys_of(settings, found)
    keys.mkdir(mode=0o700, parents=True, exist_ok=True)
    living.write_epoch(keys, export)
    raw = msgspec.json.format(msgspec.json.encode(found)) + b"\n"
    instance.write_private(settings.data / "instance.json", raw)
    return found


async def _lay(
    settings: Settings,
    wish: Wish,
    made: Manifest,
    export: Export,
    place: database.Embedded | database.External,
    say: Say,
) -> unpack.Laid:
    source = unpack.Source(wish.source, made, wish.kit.key, await asyncio.to_thread(export.days))
    if made.kind == "base":
        if isinstance(place, database.External):
            physical.own_cluster_only(place.where)
        assert isinstance(place, database.Embedded)
        return await asyncio.to_thread(_lay_base, settings, wish, source, place, say)
    await place.start()
    await asyncio.to_thread(
        store_database.setup if settings.database_url is None else store_database.prepare, place.address
    )
    laid = await asyncio.to_thread(
        unpack.database, source, place.address.url("ruxa_owner"), binaries.find(), lambda name: say(f"  {name}")
    )
    segments, files = await asyncio.to_thread(unpack.files, source, settings.data)
    return msgspec.structs.replace(laid, segments=segments, files=files)


def _lay_base(settings: Settings, wish: Wish, source: unpack.Source, place: database.Embedded, say: Say) -> unpack.Laid:
    cluster = place.cluster
    added = physical.lay(wish.source, source.made, wish.kit.key, settings.data / "postgres", wish.until, log=True)
    say(f"  the cluster's files, and {added} segment(s) of the log")
    cluster.initialise()
    cluster.start()
    cluster.ready(RECOVERY_S)
    url = place.address.admin_url("postgres")
    physical.settle(url, cluster.directory, ADMIN, place.address.logins.verifier(ADMIN))
    store_database.setup(place.address)
    files = _content(wish, source, settings.data)
    return unpack.Laid(days=0, rows=0, dead_days=(), segments=0, files=files)


def _content(wish: Wish, source: unpack.Source, data: Path) -> int:
    """Large content lies outside the cluster: that of the newest logical backup that opens comes along."""
    for name in reversed(manifest.listed(wish.source, ("logical",))):
        with contextlib.suppress(RuxaError):
            made = manifest.read(wish.source, name, wish.kit.key)
            return unpack.files(unpack.Source(wish.source, made, wish.kit.key, source.days), data, journal=False)[1]
    return 0


class _Facts(msgspec.Struct, frozen=True):
    """What was laid back. data_at: the moment whose data it is; own_keys: the cluster's own keystore was the newest."""

    made: Manifest
    export: Export
    found: Instance
    laid: unpack.Laid
    data_at: datetime
    own_keys: bool


def _moment(wish: Wish, made: Manifest, export: Export, address: Address) -> tuple[datetime, bool]:
    """Which moment was laid back, and whether its own keystore is newer than the export: only of a cluster's files.

    A cluster that was recovered to after the export has itself forgotten what was destroyed until then, and knows the
    keys made since; it opens while it is in the export's epoch.
    """
    if made.kind != "base":
        return made.taken_at, False
    assert made.system is not None
    assert made.timeline is not None
    ends = wal.ends_at(wish.source, made.system, made.timeline, wish.kit.key, made.instance)
    moment = wish.until or max(ends or made.taken_at, made.taken_at)
    newer = moment > export.made.real_at
    return moment, newer and living.current_epoch(address.url("ruxa_owner")) == export.epoch


async def _settled(
    settings: Settings,
    wish: Wish,
    facts: _Facts,
    rows: Pool,
    operator: Pool,
    eraser: Pool,
    vault: Vault,
    mark: Quarantine,
    say: Say,
) -> Restored:
    """The replay, the comparison, and the mark that says what is still open."""
    made, export, found, laid, data_at = facts.made, facts.export, facts.found, facts.laid, facts.data_at
    living_at = export.made.taken_at if made.kind == "logical" else export.made.real_at
    newer = living_at >= data_at
    did, reasons = await replay.put_right(rows, export.extract, newer=newer)
    erased = await replay.erase_again(operator, eraser, vault)
    if erased:
        did["erased_again"] = erased
    known = await replay.tell(operator, vault, data_at, living_at, newer=newer or facts.own_keys)
    reasons += known.reasons
    size, root = await replay.head(rows)
    if (more := await asyncio.to_thread(_largest_known, wish)) > size:
        reasons.append(f"a manifest in the targets knows {more} leaves of the audit log, the restored log has {size}")
    mark.checkpoint, mark.data_size = None, 0 if made.tree is None else made.tree.size
    if made.kind == "base":
        # The log of a cluster that was recovered goes as far as its data does.
        mark.data_size = size
    if wish.checkpoint is None:
        reasons.append(NO_CHECKPOINT)
    else:
        compared = await replay.compare(rows, vault, found.id, wish.checkpoint)
        mark.checkpoint, mark.checkpoint_at = compared.size, compared.at
        if compared.reason is not None:
            reasons.append(compared.reason)
        newest = replay.Newest(
            size=mark.data_size,
            data_at=data_at,
            erased_at=await replay.last_erasure(rows),
            now=Clock().now() + (export.made.taken_at - export.made.real_at),
        )
        if (old := replay.too_old(compared, newest)) is not None:
            reasons.append(old)
    async with operator.work("restore") as work:
        await log.write(
            work,
            vault,
            "backup:restored",
            actor="operator",
            purpose="security",
            details={"backup": made.name, "keys": export.made.name, "open": str(len(reasons))}
            | ({} if wish.accept_old is None else {"old_checkpoint": wish.accept_old[:400]}),
        )
    if laid.dead_days:
        known.unknown.append(f"days whose keys are destroyed stay closed: {len(laid.dead_days)} object(s)")
    mark.state = "waiting"
    mark.instance, mark.backup, mark.living = found.id, made.name, export.made.name
    mark.taken_at, mark.living_at = data_at, living_at
    mark.size, mark.root = size, root.hex()
    mark.reasons, mark.unknown, mark.replayed = reasons, known.unknown, did
    quarantine.write(settings.data, mark)
    say(f"Put right: {', '.join(f'{what} {count}' for what, count in did.items()) or 'nothing had changed'}.")
    return Restored(
        instance=found,
        backup=made.name,
        living=export.made.name,
        taken_at=data_at,
        living_at=living_at,
        took_ms=0,
        rows=laid.rows,
        days=laid.days,
        dead_days=laid.dead_days,
        segments=laid.segments,
        files=laid.files,
        replayed=did,
        unknown=known.unknown,
        reasons=reasons,
        size=size,
        checkpoint_at=mark.checkpoint_at,
    )


def _largest_known(wish: Wish) -> int:
    """The largest audit log that any proved manifest of both targets has seen."""
    sizes = [0]
    for target in (wish.source, wish.keystore):
        for name in manifest.listed(target):
            with contextlib.suppress(RuxaError):
                made = manifest.read(target, name, wish.kit.key)
                if made.instance == wish.kit.instance and made.tree is not None:
                    sizes.append(made.tree.size)
    return max(sizes)


async def _pool(
    address: Address, login: Literal["ruxa_operator", "ruxa_erase", "ruxa_owner"], clock: Clock, stack: AsyncExitStack
) -> Pool:
    pool = await Pool.open(address.url(login), login=login, min_size=0, max_size=4, clock=clock)
    stack.push_async_callback(pool.close)
    return pool


async def _stop(place: database.Embedded | database.External) -> None:
    await place.stop(at_once=False)


def _take_back(settings: Settings, wish: Wish) -> None:
    """A restore that failed leaves the place as it was: empty."""
    cluster = settings.data / "postgres"
    if cluster.is_symlink():
        shutil.rmtree(cluster.resolve(), ignore_errors=True)
    for path in (*settings.data.iterdir(), settings.keys / wish.kit.instance.hex):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    for place in (settings.data, settings.keys):
        with contextlib.suppress(OSError):
            place.rmdir()


# Quarantine: looked at and ended


async def release(
    settings: Settings,
    found: Quarantine,
    pool: replay.Lender,
    vault: Vault,
    clock: Clock,
    *,
    checkpoint: str | None,
    reason: str | None,
) -> list[str]:
    """Ends the quarantine when a checkpoint from outside agrees, or when somebody answers for it with a reason.

    Gives what still stands against it; nothing is released then.
    """
    assert found.instance is not None
    left = [why for why in found.reasons if why != NO_CHECKPOINT]
    if checkpoint is not None:
        compared = await replay.compare(pool, vault, found.instance, checkpoint)
        if compared.size < (found.checkpoint or 0):
            # An older one says nothing of what came after it, and would hide what the newer one has shown.
            left.append(f"a checkpoint of {found.checkpoint} leaves was given before; this one covers {compared.size}")
        else:
            left = [why for why in left if "checkpoint" not in why]
            if compared.reason is not None:
                left.append(compared.reason)
            newest = replay.Newest(
                size=found.data_size,
                data_at=found.taken_at or found.began_at,
                erased_at=await replay.last_erasure(pool),
                now=clock.now(),
            )
            if (old := replay.too_old(compared, newest)) is not None:
                left.append(old)
    elif NO_CHECKPOINT in found.reasons:
        left.append(NO_CHECKPOINT)
    if left and reason is None:
        return left
    async with pool.work("restore") as work:
        details = {"backup": found.backup, "released": "by hand" if left else "by checkpoint"}
        if reason is not None:
            details["reason"] = reason[:400]
        await log.write(work, vault, "backup:restored", actor="operator", purpose="security", details=details)
    quarantine.end(settings.data)
    return []


def folder_or_backup(path: Path) -> tuple[Target, str | None]:
    """``DIR``: a target, or one backup in it. Raises NotFound."""
    if (path / manifest.FILE).is_file():
        return Folder(path.parent), path.name
    if not path.is_dir():
        raise NotFound(f"There is no folder {path}.", code="backup_missing")
    return Folder(path), None


def _steps_known(made: Manifest) -> None:
    """Raises Conflict ``data_newer`` when a newer release made the backup."""
    if made.steps > len(migrate.plan().steps):
        raise Conflict(f"{made.name} was made by release {made.release}, newer than this one.", code="data_newer")
