"""The recovery kit: what opens it, and that it opens for nobody else."""

from __future__ import annotations

import subprocess
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from ruxa.kernel import crypto
from ruxa.kernel.clock import Clock
from ruxa.kernel.errors import Forbidden, InvalidCall
from ruxa.store.archive import kit
from ruxa.store.archive.container import BackupKey

KEY = BackupKey(crypto.fresh_key())
INSTANCE = uuid4()
PHRASE = "correct horse battery staple"


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stretching costs time and memory on purpose."""
    monkeypatch.setattr("ruxa.store.archive.kit._COST", (1, 1024, 1))


def never() -> str:
    raise AssertionError("nobody should be asked")


def test_a_passphrase_opens_it_and_no_other() -> None:
    raw = kit.make(INSTANCE, KEY, [bytes(32)], Clock().now(), passphrase=PHRASE)
    opened = kit.open_kit(raw, passphrase=lambda: PHRASE)
    assert (opened.instance, opened.key.public, opened.trusted) == (INSTANCE, KEY.public, {bytes(32)})
    assert KEY.secret().hex() not in repr(opened)
    assert KEY.secret().hex().encode() not in raw
    with pytest.raises(Forbidden, match="does not open"):
        kit.open_kit(raw, passphrase=lambda: PHRASE + "!")
    # Whose it is stands in clear and is bound to what is sealed.
    for field, other in (("instance", str(uuid4())), ("backup_key", "00" * 8), ("sealed", "00" * 60)):
        forged = msgspec.json.encode(msgspec.json.decode(raw) | {field: other})
        with pytest.raises(Forbidden):
            kit.open_kit(forged, passphrase=lambda: PHRASE)
    # A forged cost must not take all of the memory.
    greedy = msgspec.json.encode(msgspec.json.decode(raw) | {"cost": [3, 1 << 30, 4]})
    with pytest.raises(InvalidCall, match="damaged"):
        kit.open_kit(greedy, passphrase=lambda: PHRASE)
    with pytest.raises(InvalidCall, match="no recovery kit"):
        kit.open_kit(b"{}", passphrase=never)


def test_a_recovery_key_made_by_openssl_opens_it(tmp_path: Path) -> None:
    private, public = tmp_path / "recovery.pem", tmp_path / "recovery.pub"
    for command in (
        ["openssl", "genpkey", "-algorithm", "x25519", "-out", str(private)],
        ["openssl", "pkey", "-in", str(private), "-pubout", "-out", str(public)],
    ):
        subprocess.run(command, check=True, capture_output=True)
    raw = kit.make(INSTANCE, KEY, [], Clock().now(), recovery_public=kit.read_recovery_public(public))
    assert kit.sealed_to(raw) == "recovery key"
    secret = kit.read_recovery_secret(private)
    assert kit.open_kit(raw, passphrase=never, recovery_secret=secret).key.public == KEY.public
    with pytest.raises(InvalidCall, match="--recovery-key"):
        kit.open_kit(raw, passphrase=never)
    with pytest.raises(Forbidden, match="does not open"):
        kit.open_kit(raw, passphrase=never, recovery_secret=crypto.fresh_key())
    with pytest.raises(InvalidCall, match="no X25519 public key"):
        kit.read_recovery_public(private)
    other = X25519PrivateKey.generate()
    public.write_bytes(other.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    private.write_bytes(other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    assert kit.read_recovery_public(public) == other.public_key().public_bytes_raw()


def test_passphrases_are_long_and_made_ones_are_never_the_same() -> None:
    with pytest.raises(InvalidCall, match="at least 12"):
        kit.make(INSTANCE, KEY, [], Clock().now(), passphrase="short")
    made = {kit.fresh_passphrase() for _ in range(50)}
    assert len(made) == 50
    assert all(len(one) == 35 and set(one) <= set("abcdefghijkmnpqrstuvwxyz23456789-") for one in made)
