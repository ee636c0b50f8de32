"""Logs without a database: honest ones of any size as the files of an export, and whatever a forger makes of them."""

from __future__ import annotations

import json
from base64 import b64encode
from hashlib import sha256
from hmac import digest
from pathlib import Path
from uuid import UUID

from ruxa.access.audit import notes, sequencer, tree, verify
from ruxa.kernel import codec, ids
from ruxa.kernel.signing import SigningKey

ORIGIN = "ruxa-log/0198c0de"
START_MS = 1_795_000_000_000
OURS = SigningKey(b"k" * 8, "audit", sha256(b"ours").digest())
THEIRS = SigningKey(b"t" * 8, "audit", sha256(b"theirs").digest())
KEY = verify.Key(ORIGIN, verify.NOTE, OURS.public, START_MS // 1000 - 10, START_MS // 1000 + 10_000_000)


class Leaf:
    """One leaf, with what its entry says."""

    def __init__(self, seq: int, at_ms: int) -> None:
        self.seq = seq
        self.at_ms = at_ms
        self.id = UUID(int=ids.at(at_ms - 5).int & ~0xFFFF | seq & 0xFFFF)
        self.salt = sha256(b"salt %d" % seq).digest()
        self.detail_key = sha256(b"key %d" % seq).digest()
        self.details = codec.canonical({"number": str(seq)}).decode()
        detail = digest(self.detail_key, self.details.encode(), "sha256").hex()
        self.fields = codec.canonical({"action": "key:created", "detail": detail, "ts": at_ms - 5, "v": 1}).decode()
        self.commitment = sha256(self.salt + self.fields.encode()).digest()

    @property
    def data(self) -> bytes:
        return sequencer.leaf(self.seq, self.at_ms, self.id, self.commitment)

    @property
    def row(self) -> dict[str, str | int]:
        return {
            "seq": self.seq,
            "id": self.id.hex,
            "fields": self.fields,
            "salt": self.salt.hex(),
            "details": self.details,
            "detail_key": self.detail_key.hex(),
        }


class Log:
    """A log that can be bent before it is written. ``hashes``: what the tiles are made of; ``data``: the bundles."""

    def __init__(self, size: int, sizes: list[int], *, opened: bool = True) -> None:
        self.leaves = [Leaf(seq, START_MS + 100 * seq) for seq in range(size)]
        self.data = [leaf.data for leaf in self.leaves]
        self.hashes: list[bytes] = []
        self.sizes = sizes
        self.notes: list[str] = []
        self.levels: dict[int, list[bytes]] = {}
        self.rows = [leaf.row for leaf in self.leaves] if opened else []
        self.keys = [OURS]
        self.raise_tiles()
        self.sign(OURS)

    def raise_tiles(self) -> None:
        """Builds every tile anew from the leaves as they are now."""
        self.hashes = [tree.leaf_hash(one) for one in self.data]
        self.levels = {}
        for level, number, node in tree.grow([], 0, self.hashes).nodes:
            found = self.levels.setdefault(level, [])
            assert number == len(found)
            found.append(node)

    def sign(self, signer: SigningKey, sizes: list[int] | None = None, late_s: int = 0) -> None:
        """Signs checkpoints of those sizes anew; all of them by default."""
        wanted = self.sizes if sizes is None else sizes
        made = {size: self.note(size, signer, late_s) for size in wanted}
        kept = {verify.read_note(one).size: one for one in self.notes}
        self.notes = [note for _, note in sorted({**kept, **made}.items())]

    def note(self, size: int, signer: SigningKey = OURS, late_s: int = 0) -> str:
        """A checkpoint of the leaves as they are now."""
        at_s = (START_MS + 100 * (size - 1)) // 1000 + 1 + late_s
        return notes.sign(ORIGIN, size, tree.root(self.hashes[:size]), at_s, signer)

    def renumber(self) -> None:
        """As who removes a leaf would: the numbers fit again."""
        self.data = []
        for seq, leaf in enumerate(self.leaves):
            leaf.seq = seq
            self.data.append(leaf.data)

    def interval(self, seq: int) -> tuple[int, int]:
        """Between which checkpoints a leaf lies."""
        return max((one for one in self.sizes if one <= seq), default=0), min(one for one in self.sizes if one > seq)

    def write(self, place: Path) -> Path:
        """The files."""
        size = len(self.data)
        for number in range(-(-size // verify.TILE)):
            part = self.data[number * verify.TILE : (number + 1) * verify.TILE]
            bundle = b"".join(len(one).to_bytes(2, "big") + one for one in part)
            put(place / verify.tile_path("entries", number, len(part)), bundle)
        for level, hashes in {0: self.hashes, **self.levels}.items():
            for number in range(-(-len(hashes) // verify.TILE)):
                part = hashes[number * verify.TILE : (number + 1) * verify.TILE]
                put(place / verify.tile_path(str(level), number, len(part)), b"".join(part))
        rows = b"".join(codec.encode({"note": note}) + b"\n" for note in self.notes)
        put(place / "checkpoints.jsonl", rows)
        put(place / "checkpoint", self.notes[-1].encode())
        if self.rows:
            put(place / "entries.jsonl", b"".join(codec.encode(row) + b"\n" for row in self.rows))
        put(place / "keys.json", json.dumps({"keys": [key_row(key) for key in self.keys]}).encode())
        return place


def key_row(key: SigningKey) -> dict[str, str | None]:
    return {"use": "audit", "public": b64encode(key.public).decode(), "valid_from": None, "valid_until": None}


def put(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
