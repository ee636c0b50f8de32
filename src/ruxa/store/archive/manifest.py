"""The manifest: what belongs to a backup, written last, signed. A folder without one is no backup.

    NAME/manifest.json = {"manifest": {...}, "proof": HMAC by the backup key, "signature": {"key", "public", "value"}}

The Ed25519 signature (``vault.signing_key("backup")``) tells anybody who has the public key that this instance made
it; the proof tells whoever holds the recovery kit the same, whatever signing keys came later. Restoring demands both.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date, datetime
from hmac import compare_digest
from typing import Literal
from uuid import UUID

import msgspec

from ruxa.kernel import codec, signing
from ruxa.kernel.errors import NotFound, RuxaError
from ruxa.kernel.signing import SigningKey
from ruxa.store.archive import container
from ruxa.store.archive.container import BackupKey, damaged
from ruxa.store.archive.target import Target

Kind = Literal["logical", "base", "living"]
ItemKind = Literal["dump", "day", "journal", "file", "base", "table", "epoch"]

FILE = "manifest.json"
FORMAT = 1


class Item(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One object. bytes, sha256: as it lies there; plain_bytes: unsealed; the rest where it applies.

    table, columns, rows, day, key_class: of a day's rows or a table's; path: of a file of DATA.
    """

    name: str
    kind: ItemKind
    bytes: int
    sha256: str
    plain_bytes: int
    table: str | None = None
    columns: tuple[str, ...] = ()
    rows: int | None = None
    day: date | None = None
    key_class: str | None = None
    path: str | None = None


class Tree(msgspec.Struct, frozen=True):
    """The audit log's size and root (hex) when the backup was taken."""

    size: int
    root: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a backup is. taken_at: the moment whose data it holds, by the instance's clock; real_at: by the machine's.

    system, wal_from, wal_to, timeline: of a base backup, where it lies in the write-ahead log. epoch: of a living one.
    left_out: tables whose rows are in no backup of this kind.
    """

    format: int
    name: str
    kind: Kind
    instance: UUID
    mode: Literal["demo", "live"]
    simulated: bool
    machine: str
    created: str
    release: str
    steps: int
    postgres: int
    taken_at: datetime
    real_at: datetime
    finished_at: datetime
    recipient: str
    items: tuple[Item, ...]
    tree: Tree | None = None
    left_out: tuple[str, ...] = ()
    system: str | None = None
    timeline: int | None = None
    wal_from: str | None = None
    wal_to: str | None = None
    epoch: UUID | None = None

    @property
    def bytes(self) -> int:
        """As it lies there."""
        return sum(item.bytes for item in self.items)

    def item(self, name: str) -> Item:
        """One object by its name. Raises Broken ``backup_damaged``."""
        for item in self.items:
            if item.name == name:
                return item
        raise damaged(f"Its manifest names no {name}.")


class _Signature(msgspec.Struct, frozen=True):
    key: str
    public: str
    value: str


class _Signed(msgspec.Struct, frozen=True):
    manifest: msgspec.Raw
    proof: str
    signature: _Signature


def place(instance: UUID, backup: str, name: str) -> bytes:
    """What an object is bound to."""
    return f"ruxa1|archive|{instance.hex}|{backup}|{name}".encode()


def name_of(kind: str, at: datetime, mark: str) -> str:
    """``20261124-084500123-logical-1a2b3c4d``: names sort by time (UTC, to the millisecond)."""
    return f"{at:%Y%m%d-%H%M%S}{at.microsecond // 1000:03}-{kind}-{mark}"


def write(target: Target, made: Manifest, key: BackupKey, signer: SigningKey) -> None:
    """Signs and stores the manifest: from now on the backup exists."""
    message = _message(codec.canonical(made))
    signed = {
        "manifest": msgspec.to_builtins(made),
        "proof": key.proof(message).hex(),
        "signature": {"key": signer.id.hex(), "public": signer.public.hex(), "value": signer.sign(message).hex()},
    }
    target.put(f"{made.name}/{FILE}", [msgspec.json.format(msgspec.json.encode(signed)) + b"\n"])


def read(target: Target, name: str, key: BackupKey, trusted: Iterable[bytes] | None = None) -> Manifest:
    """A backup's manifest, proved and its signature checked; trusted: public keys one of which must have signed.

    Raises NotFound ``backup_missing``, Broken ``backup_damaged``.
    """
    signed = _signed(target, name)
    made = _manifest(signed)
    message = _message(codec.canonical(made))
    if made.name != name:
        raise damaged(f"The manifest in {name} is that of another backup.")
    if not compare_digest(key.proof(message).hex(), signed.proof):
        raise damaged("Its manifest was not written by who holds this recovery kit's key.")
    _check_signature(signed, message, None if trusted is None else set(trusted))
    return made


def read_signed(target: Target, name: str, trusted: Iterable[bytes]) -> Manifest:
    """As ``read`` for who has no backup key: the signature alone tells."""
    signed = _signed(target, name)
    made = _manifest(signed)
    if made.name != name:
        raise damaged(f"The manifest in {name} is that of another backup.")
    _check_signature(signed, _message(codec.canonical(made)), set(trusted))
    return made


def unproved(target: Target, name: str) -> Manifest:
    """What a manifest says, believed: for lists and for expiry, which trust whoever may write there."""
    return _manifest(_signed(target, name))


def listed(target: Target, kinds: Sequence[Kind] = ("logical", "base", "living")) -> list[str]:
    """The names of whole backups, oldest first."""
    names = [key.removesuffix(f"/{FILE}") for key in target.under() if key.endswith(f"/{FILE}") and key.count("/") == 1]
    return sorted(name for name in names if any(f"-{kind}-" in name for kind in kinds))


def chunks(target: Target, made: Manifest, item: Item, key: BackupKey, *, also: bytes | None = None) -> Iterator[bytes]:
    """An object's content. Raises Broken ``backup_damaged`` at the latest at its end."""
    place_ = place(made.instance, made.name, item.name)
    yield from container.unseal(key, place_, _checked(target.get(f"{made.name}/{item.name}"), item), also=also)


def check(target: Target, made: Manifest, told: Callable[[int], None] = lambda _: None) -> None:
    """Reads every object and compares it with the manifest. Raises Broken ``backup_damaged`` naming the first bad."""
    for item in made.items:
        for chunk in _checked(target.get(f"{made.name}/{item.name}"), item):
            told(len(chunk))


def delete(target: Target, name: str) -> int:
    """Removes a backup: the manifest first, so that what is half gone is no backup; the bytes that went."""
    size = 0
    try:
        size = unproved(target, name).bytes
    except RuxaError:
        # Whatever it was, it goes.
        size = 0
    target.delete(f"{name}/{FILE}")
    for key in target.under(f"{name}/"):
        target.delete(key)
    return size


def _checked(source: Iterator[bytes], item: Item) -> Iterator[bytes]:
    digest, size = hashlib.sha256(), 0
    for chunk in source:
        digest.update(chunk)
        size += len(chunk)
        yield chunk
    if size != item.bytes or digest.hexdigest() != item.sha256:
        raise damaged(f"{item.name} is not as its manifest says.")


def _signed(target: Target, name: str) -> _Signed:
    try:
        raw = b"".join(target.get(f"{name}/{FILE}"))
    except NotFound:
        raise NotFound(f"There is no backup {name} in {target.where}.", code="backup_missing") from None
    try:
        return msgspec.json.decode(raw, type=_Signed)
    except msgspec.MsgspecError:
        raise damaged(f"The manifest of {name} cannot be read.") from None


def _manifest(signed: _Signed) -> Manifest:
    try:
        made = msgspec.json.decode(signed.manifest, type=Manifest)
    except msgspec.MsgspecError:
        raise damaged("Its manifest cannot be read.") from None
    if made.format != FORMAT:
        raise damaged(f"It is of format {made.format}; this release reads format {FORMAT}.")
    return made


def _check_signature(signed: _Signed, message: bytes, trusted: set[bytes] | None) -> None:
    try:
        public, value = bytes.fromhex(signed.signature.public), bytes.fromhex(signed.signature.value)
    except ValueError:
        raise damaged("Its signature cannot be read.") from None
    if trusted is not None and public not in trusted:
        raise damaged("It is signed by a key that is not this instance's.")
    if not signing.verify(public, value, message):
        raise damaged("The signature of its manifest is wrong.")


def _message(canonical: bytes) -> bytes:
    return b"ruxa1|backup manifest|" + canonical
