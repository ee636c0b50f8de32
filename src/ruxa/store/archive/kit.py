"""The recovery kit: one small file that, with a passphrase or a recovery key, opens every backup of an instance (D29).

It holds the backup key and the public keys that sign manifests, and no key of any epoch: whoever finds an old kit and
an old copy of the data opens the container and not what is sealed inside it. It is made once and kept for years, apart
from everything it opens.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final, Literal
from uuid import UUID

import msgspec
from argon2.low_level import Type, hash_secret_raw
from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from ruxa.kernel import codec, crypto
from ruxa.kernel.errors import Forbidden, InvalidCall, NotFound, RuxaError
from ruxa.store.archive import container
from ruxa.store.archive.container import BackupKey

FILE: Final = "recovery-kit.json"
PASSPHRASE_CHARS_MIN: Final = 12
_FORMAT: Final = 1
# Passes, KiB, lanes: half a second and 256 MiB a guess.
_COST: Final = (3, 256 * 1024, 4)
_COST_MAX: Final = (16, 2 * 1024 * 1024, 16)
_ALPHABET: Final = "abcdefghijkmnpqrstuvwxyz23456789"
_ABOUT: Final = (
    "Recovery kit of a Ruxa instance. With its passphrase or recovery key it opens the instance's backups. "
    "Keep it apart from the backups and from the keys target."
)


class Opened(msgspec.Struct, frozen=True):
    """What a kit holds. signers: public keys (hex) that signed manifests when it was made."""

    instance: UUID
    backup: str
    signers: tuple[str, ...]

    @property
    def key(self) -> BackupKey:
        """The backup key."""
        return BackupKey(bytes.fromhex(self.backup))

    @property
    def trusted(self) -> set[bytes]:
        """The signers' public keys."""
        return {bytes.fromhex(signer) for signer in self.signers}

    def __repr__(self) -> str:
        return f"<recovery kit of {self.instance}>"


class _Kit(msgspec.Struct, frozen=True, kw_only=True):
    about: str
    format: int
    instance: UUID
    made_at: datetime
    backup_key: str
    sealed_to: Literal["passphrase", "recovery key"]
    salt: str = ""
    cost: tuple[int, int, int] = _COST
    public: str = ""
    sealed: str


def make(
    instance: UUID,
    key: BackupKey,
    signers: Sequence[bytes],
    made_at: datetime,
    *,
    passphrase: str | None = None,
    recovery_public: bytes | None = None,
) -> bytes:
    """The kit's file, sealed to a passphrase or to a recovery key. Raises InvalidCall for a weak passphrase."""
    assert (passphrase is None) != (recovery_public is None)
    inside = codec.encode(Opened(instance, key.secret().hex(), tuple(signer.hex() for signer in signers)))
    place = _place(instance, key.id.hex())
    salt = os.urandom(16)
    if passphrase is not None:
        if len(passphrase) < PASSPHRASE_CHARS_MIN:
            raise InvalidCall(
                f"The passphrase of a recovery kit has at least {PASSPHRASE_CHARS_MIN} characters.",
                code="passphrase_weak",
            )
        sealed = crypto.seal(_stretched(passphrase, salt, _COST), bytes(crypto.KID_BYTES), inside, place)
    else:
        assert recovery_public is not None
        sealed = container.box(recovery_public, inside, place)
    made = _Kit(
        about=_ABOUT,
        format=_FORMAT,
        instance=instance,
        made_at=made_at,
        backup_key=key.id.hex(),
        sealed_to="passphrase" if recovery_public is None else "recovery key",
        salt=salt.hex() if recovery_public is None else "",
        cost=_COST,
        public="" if recovery_public is None else recovery_public.hex(),
        sealed=sealed.hex(),
    )
    return msgspec.json.format(msgspec.json.encode(made)) + b"\n"


def key_id(raw: bytes) -> str:
    """Which backup key a kit holds (hex). Raises InvalidCall ``kit_damaged``."""
    return _read(raw).backup_key


def sealed_to(raw: bytes) -> str:
    """``passphrase`` or ``recovery key``. Raises InvalidCall ``kit_damaged``."""
    return _read(raw).sealed_to


def open_kit(raw: bytes, *, passphrase: Callable[[], str], recovery_secret: bytes | None = None) -> Opened:
    """What the kit holds; ``passphrase`` is asked only when it is needed.

    Raises InvalidCall ``kit_damaged``, Forbidden ``kit_closed`` for a wrong passphrase or recovery key.
    """
    made = _read(raw)
    place = _place(made.instance, made.backup_key)
    try:
        sealed = bytes.fromhex(made.sealed)
        if made.sealed_to == "recovery key":
            if recovery_secret is None:
                raise InvalidCall(
                    "This kit is sealed to a recovery key: give its private half with --recovery-key FILE.",
                    code="recovery_key_missing",
                )
            inside = BackupKey(recovery_secret).open_box(sealed, place)
        else:
            if any(given > most for given, most in zip(made.cost, _COST_MAX, strict=True)):
                raise InvalidCall("The recovery kit is damaged.", code="kit_damaged")
            inside = crypto.unseal(_stretched(passphrase(), bytes.fromhex(made.salt), made.cost), sealed, place)
        opened = msgspec.json.decode(inside, type=Opened)
    except (ValueError, InvalidTag):
        raise InvalidCall("The recovery kit is damaged.", code="kit_damaged") from None
    except RuxaError as error:
        if error.code not in ("sealed_damaged", "backup_damaged"):
            raise
        raise Forbidden(
            f"The recovery kit does not open: the {made.sealed_to} is another one, or the file was changed.",
            code="kit_closed",
        ) from None
    if opened.instance != made.instance or opened.key.id.hex() != made.backup_key:
        raise InvalidCall("The recovery kit is damaged.", code="kit_damaged")
    return opened


def fresh_passphrase() -> str:
    """Six groups of five letters and digits: 150 bits, none of them easily mistaken for another."""
    letters = [_ALPHABET[byte & 31] for byte in os.urandom(30)]
    return "-".join("".join(letters[start : start + 5]) for start in range(0, 30, 5))


def read_recovery_public(path: Path) -> bytes:
    """An X25519 public key (PEM, as ``openssl pkey -pubout`` writes it). Raises InvalidCall."""
    try:
        key = serialization.load_pem_public_key(_pem(path))
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, X25519PublicKey):
        raise InvalidCall(f"{path} holds no X25519 public key in PEM.", code="recovery_key_wrong")
    return key.public_bytes_raw()


def read_recovery_secret(path: Path) -> bytes:
    """An X25519 private key (PEM). Raises InvalidCall."""
    try:
        key = serialization.load_pem_private_key(_pem(path), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, X25519PrivateKey):
        raise InvalidCall(f"{path} holds no X25519 private key in PEM without a password.", code="recovery_key_wrong")
    return key.private_bytes_raw()


def _pem(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise NotFound(f"{path} cannot be read: {error.strerror}.", code="recovery_key_missing") from None


def _read(raw: bytes) -> _Kit:
    try:
        made = msgspec.json.decode(raw, type=_Kit)
    except msgspec.MsgspecError:
        raise InvalidCall("This is no recovery kit.", code="kit_damaged") from None
    if made.format != _FORMAT:
        raise InvalidCall(f"The recovery kit is of format {made.format}, not {_FORMAT}.", code="kit_damaged")
    return made


def _stretched(passphrase: str, salt: bytes, cost: tuple[int, int, int]) -> bytes:
    passes, kib, lanes = cost
    return hash_secret_raw(
        passphrase.encode(), salt, time_cost=passes, memory_cost=kib, parallelism=lanes, hash_len=32, type=Type.ID
    )


def _place(instance: UUID, key: str) -> bytes:
    return f"ruxa1|recovery kit|{instance.hex}|{key}".encode()
