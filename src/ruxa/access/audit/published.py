"""What the log publishes beside its tree: the keys that ever signed, and the program that checks it."""

from __future__ import annotations

from base64 import b64encode
from datetime import datetime
from importlib import resources
from typing import Any

from ruxa.access.audit import notes, verify
from ruxa.kernel.signing import PublicKey
from ruxa.store.vault import Vault


async def keys_document(vault: Vault, origin: str) -> dict[str, Any]:
    """Every public key of this installation, as ``/.well-known/ruxa/keys.json`` shows them, oldest first.

    ``vkey``: a key of the log as C2SP verifiers and witnesses are given it. ``assurance``: what the destruction of a
    key is worth here (L1 a file, L2 a key server), and what stays unproved.
    """
    kept = vault.assurance
    return {
        "log": origin,
        "assurance": {"keeper": kept.provider, "level": kept.level, "limit": kept.limit},
        "keys": [_row(key, origin) for key in await vault.public_keys()],
    }


def _row(key: PublicKey, origin: str) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": key.id.hex(),
        "use": key.use,
        "algorithm": "Ed25519",
        "public": b64encode(key.public).decode(),
        "valid_from": _shown(key.valid_from),
        "valid_until": None if key.valid_until is None else _shown(key.valid_until),
    }
    return {**row, "vkey": notes.vkey(origin, key.public)} if key.use == "audit" else row


def _shown(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


async def keys_of_log(vault: Vault, origin: str) -> list[verify.Key]:
    """The log's keys as the verifier takes them."""
    return [
        verify.Key(
            origin,
            verify.NOTE,
            key.public,
            int(key.valid_from.timestamp()),
            None if key.valid_until is None else int(key.valid_until.timestamp()),
        )
        for key in await vault.public_keys("audit")
    ]


def verifier() -> bytes:
    """The text of ``ruxa-verify``: one file that needs nothing but Python."""
    return (resources.files("ruxa.access.audit") / "verify.py").read_bytes()
