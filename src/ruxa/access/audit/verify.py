#!/usr/bin/env python3
"""ruxa-verify: checks an audit log of Ruxa offline. One file, Python 3.11 or later, nothing else needed.

    ruxa-verify check DIR         the whole log: leaves, tiles, checkpoints, signatures, times, opened entries
    ruxa-verify consistency A B   that checkpoint B continues checkpoint A, by the tiles of DIR or a proof
    ruxa-verify prove DIR N       writes the proof that leaf N is in the log
    ruxa-verify proof FILE        checks such a proof

DIR is what `ruxa audit export --out DIR` wrote, or the public tiles and checkpoint as anyone can download them.
Exit code: 0 all is well, 1 something is wrong (the first bad leaf is named), 2 it could not be checked.

What a good answer means: nothing that a checkpoint covers was changed, added in between or removed since it was signed.
It is as strong as the keys and checkpoints you kept yourself (--key, --checkpoint): give them, or the log vouches for
itself only. It does not mean that what was written down is true.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import hashlib
import hmac
import json
import re
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

TILE = 256
EMPTY = hashlib.sha256(b"").digest()
NOTE = 1
COSIGNATURE = 4
NOTE_BYTES_MAX = 64 * 1024
SIGNATURES_MAX = 64
ALIKE_MAX = 100
LEAF = re.compile(
    rb'\{"at":(0|[1-9]\d{0,15}),"commitment":"([0-9a-f]{64})","id":"([0-9a-f]{32})","seq":(0|[1-9]\d{0,15})\}'
)


class Unreadable(Exception):
    """What was given cannot be read as what it should be."""


# Ed25519 (RFC 8032): verification only, in plain integers; `cryptography` does it when it is there.

_P = 2**255 - 19
_L = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, _P - 2, _P) % _P
_I = pow(2, (_P - 1) // 4, _P)
_Point = tuple[int, int, int, int]


def _add(p: _Point, q: _Point) -> _Point:
    a = (p[1] - p[0]) * (q[1] - q[0]) % _P
    b = (p[1] + p[0]) * (q[1] + q[0]) % _P
    c = 2 * p[3] * q[3] * _D % _P
    d = 2 * p[2] * q[2] % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % _P, g * h % _P, f * g % _P, e * h % _P)


def _double(p: _Point) -> _Point:
    a, b = p[0] * p[0] % _P, p[1] * p[1] % _P
    h = a + b
    e = h - (p[0] + p[1]) * (p[0] + p[1])
    g = a - b
    f = 2 * p[2] * p[2] + g
    return (e * f % _P, g * h % _P, f * g % _P, e * h % _P)


def _times(factor: int, p: _Point) -> _Point:
    found: _Point = (0, 1, 1, 0)
    for bit in bin(factor)[2:]:
        found = _double(found)
        if bit == "1":
            found = _add(found, p)
    return found


def _decode(data: bytes) -> _Point | None:
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & (2**255 - 1)
    if y >= _P:
        return None
    square = (y * y - 1) * pow(_D * y * y + 1, _P - 2, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if x * x % _P != square:
        x = x * _I % _P
    if x * x % _P != square or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = _P - x
    return (x, y, 1, x * y % _P)


def _encode(p: _Point) -> bytes:
    inverse = pow(p[2], _P - 2, _P)
    x, y = p[0] * inverse % _P, p[1] * inverse % _P
    return (y | (x & 1) << 255).to_bytes(32, "little")


_B = _decode((4 * pow(5, _P - 2, _P) % _P).to_bytes(32, "little")) or (0, 1, 1, 0)


def verify_slowly(public: bytes, signature: bytes, message: bytes) -> bool:
    """Ed25519 in plain Python, about 3 ms."""
    if len(public) != 32 or len(signature) != 64:
        return False
    a = _decode(public)
    s = int.from_bytes(signature[32:], "little")
    if a is None or s >= _L:
        return False
    k = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % _L
    minus_a = (_P - a[0], a[1], a[2], _P - a[3])
    return _encode(_add(_times(s, _B), _times(k, minus_a))) == signature[:32]


def verify(public: bytes, signature: bytes, message: bytes) -> bool:
    """Whether the holder of ``public`` signed ``message`` (Ed25519)."""
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError:
        return verify_slowly(public, signature, message)
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


# The tree (RFC 6962, 2.1)


def leaf_hash(data: bytes) -> bytes:
    """The hash of a leaf's bytes."""
    return hashlib.sha256(b"\x00" + data).digest()


def pair(left: bytes, right: bytes) -> bytes:
    """The hash above two hashes."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Frontier:
    """A growing tree, kept as the roots of its perfect subtrees: stack of (size, root), sizes falling."""

    def __init__(self, size: int = 0, stack: Sequence[tuple[int, bytes]] = ()) -> None:
        self.size = size
        self._stack = list(stack)

    @property
    def stack(self) -> tuple[tuple[int, bytes], ...]:
        """What to go on from."""
        return tuple(self._stack)

    def add(self, one: bytes, width: int = 1) -> None:
        """Adds a perfect subtree of ``width`` leaves; it must come where such a one can stand."""
        self.size += width
        while self._stack and self._stack[-1][0] == width:
            one = pair(self._stack.pop()[1], one)
            width *= 2
        self._stack.append((width, one))

    def root(self) -> bytes:
        """The Merkle tree hash so far."""
        found: bytes | None = None
        for _, one in reversed(self._stack):
            found = one if found is None else pair(one, found)
        return EMPTY if found is None else found


def root_from_inclusion(seq: int, size: int, leaf: bytes, proof: Sequence[bytes]) -> bytes | None:
    """The root that an inclusion proof leads to (RFC 9162, 2.1.3.2); None when the proof has the wrong length."""
    if not 0 <= seq < size:
        return None
    node, last, found = seq, size - 1, leaf
    for one in proof:
        if last == 0:
            return None
        if node & 1 or node == last:
            found = pair(one, found)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            found = pair(found, one)
        node, last = node >> 1, last >> 1
    return found if last == 0 else None


def consistent(old: int, old_root: bytes, new: int, new_root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether a consistency proof holds (RFC 9162, 2.1.4.2)."""
    if old > new:
        return False
    if old == new:
        return not proof and old_root == new_root
    if old == 0:
        return not proof and old_root == EMPTY
    path = list(proof)
    if old & (old - 1) == 0:
        path.insert(0, old_root)
    if not path:
        return False
    node, last = old - 1, new - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    first = second = path[0]
    for one in path[1:]:
        if last == 0:
            return False
        if node & 1 or node == last:
            first, second = pair(one, first), pair(one, second)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            second = pair(second, one)
        node, last = node >> 1, last >> 1
    return last == 0 and first == old_root and second == new_root


# Keys and signed notes (C2SP signed-note, tlog-checkpoint, tlog-cosignature)


class Key(NamedTuple):
    """A public key under a name, for one kind of signature, with the time in which it counts (seconds)."""

    name: str
    kind: int
    public: bytes
    since: int | None = None
    until: int | None = None

    @property
    def id(self) -> bytes:
        return hashlib.sha256(self.name.encode() + b"\n" + bytes([self.kind]) + self.public).digest()[:4]


def read_vkey(text: str) -> Key:
    """``name+id+base64``. Raises Unreadable."""
    parts = text.strip().split("+", 2)
    if len(parts) != 3 or not parts[0]:
        raise Unreadable("a key is written name+id+base64")
    material = _unbase64(parts[2])
    if len(material) != 33 or material[0] not in (NOTE, COSIGNATURE):
        raise Unreadable("the key is no Ed25519 key of a note or a cosignature")
    key = Key(parts[0], material[0], material[1:])
    if key.id.hex() != parts[1]:
        raise Unreadable("the key does not match its own id")
    return key


class Note(NamedTuple):
    """A signed tree head. ``lines``: (name, key id, signature)."""

    origin: str
    size: int
    root: bytes
    text: str
    lines: tuple[tuple[str, bytes, bytes], ...]

    def signed_by(self, key: Key) -> bool | None:
        """Whether that key signed it as a note; None when there is no line of that key."""
        found: bool | None = None
        for name, key_id, signature in self.lines:
            if name == key.name and key_id == key.id:
                found = verify(key.public, signature, self.text.encode())
                if not found:
                    return False
        return found

    def cosigned_by(self, key: Key) -> tuple[bool | None, int]:
        """Whether that key cosigned it, and when (seconds); None without a line of that key."""
        found: bool | None = None
        at = 0
        for name, key_id, signature in self.lines:
            if name == key.name and key_id == key.id:
                at = int.from_bytes(signature[:8], "big")
                message = f"cosignature/v1\ntime {at}\n{self.text}".encode()
                found = len(signature) == 72 and verify(key.public, signature[8:], message)
                if not found:
                    return False, at
        return found, at


def read_note(text: str) -> Note:
    """A checkpoint. Raises Unreadable."""
    if len(text) > NOTE_BYTES_MAX or re.search(r"[\x00-\x09\x0b-\x1f]", text):
        raise Unreadable("a checkpoint is a short text without control characters")
    body, empty, signatures = text.rpartition("\n\n")
    rows = body.split("\n")
    if not empty or len(rows) < 3 or not all(rows) or not signatures.endswith("\n"):
        raise Unreadable("no signed note: origin, size and root, an empty line, signatures")
    if not re.fullmatch(r"0|[1-9]\d{0,15}", rows[1]):
        raise Unreadable("the tree size is no number")
    root = _unbase64(rows[2])
    if len(root) != 32:
        raise Unreadable("the root is no SHA-256 hash")
    lines: list[tuple[str, bytes, bytes]] = []
    for row in signatures[:-1].split("\n"):
        found = re.fullmatch("\N{EM DASH} ([^ +]+) ([A-Za-z0-9+/=]+)", row)
        if not found or len(lines) >= SIGNATURES_MAX:
            raise Unreadable("a signature line is damaged")
        signature = _unbase64(found[2])
        lines.append((found[1], signature[:4], signature[4:]))
    return Note(rows[0], int(rows[1]), root, body + "\n", tuple(lines))


def _unbase64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Unreadable("damaged base64") from None


# The check


class Problem(NamedTuple):
    """What is wrong. ``leaf``: the first leaf that is not what it should be; ``until``: it is below that one."""

    kind: str
    leaf: int | None
    text: str
    until: int | None = None

    @property
    def before(self) -> int:
        """The end of the range in which the bad leaf is."""
        return self.until if self.until is not None else (self.leaf or 0) + 1


class Mark(NamedTuple):
    """How far a log was found in order: enough to check what comes after, without what is before.

    stack: the roots of the perfect subtrees of its ``size`` leaves; levels: for each level of hashes how many lie in
    whole tiles, and those after them; at_ms: when its last leaf was placed.
    """

    size: int
    stack: tuple[tuple[int, bytes], ...]
    levels: tuple[tuple[int, tuple[bytes, ...]], ...]
    at_ms: int


class Checker:
    """Takes a log piece by piece, leaves in order; ``end`` gives what was found.

    ``after``: the leaves before that mark are not given again; the checkpoint of its size is held against it.

    ``notes``: its checkpoints, oldest first; ``kept``: checkpoints from elsewhere that the log must agree with.
    ``tail_s``: leaves without a checkpoint are a problem when this is None (an export has none).
    """

    def __init__(
        self,
        keys: Sequence[Key],
        notes: Sequence[Note],
        kept: Sequence[Note] = (),
        witnesses: Sequence[Key] = (),
        *,
        since: int = 0,
        tail: bool = False,
        after: Mark | None = None,
    ) -> None:
        self.problems: list[Problem] = []
        self._said: dict[tuple[str, bool], int] = {}
        self.frontier = Frontier()
        self.signed = 0
        self.vouched = 0
        self.cosigned = 0
        self.cosigned_at = 0
        self._tail = tail
        self._commitments: dict[bytes, tuple[int, bytes, int]] = {}
        self._at_ms = 0
        self._levels: list[list[bytes]] = []
        self._whole: list[int] = []  # hashes of each level that a mark left out
        self._good = 0
        self._kept_good = 0
        self._wanted: dict[int, list[tuple[Note, bool]]] = {}
        self._times: dict[int, int] = {}
        self._check_notes(keys, notes, witnesses, since)
        self._check_kept(keys, kept)
        self.largest = max([note.size for note in notes], default=0)
        if after is not None:
            self.frontier = Frontier(after.size, after.stack)
            self._levels = [list(rest) for _, rest in after.levels]
            self._whole = [whole for whole, _ in after.levels]
            self._at_ms = after.at_ms
            self._good = self.vouched = after.size
            self._at_size()

    def mark(self) -> Mark:
        """How far the leaves were given."""
        levels = [
            (before + len(level) // TILE * TILE, tuple(level[len(level) // TILE * TILE :]))
            for before, level in zip(self._whole, self._levels, strict=True)
        ]
        return Mark(self.frontier.size, self.frontier.stack, tuple(levels), self._at_ms)

    def _say(self, kind: str, leaf: int | None, text: str, until: int | None = None) -> None:
        # One leaf too few makes every later one wrong: the first of a kind say it.
        alike = (kind, until is None)
        self._said[alike] = self._said.get(alike, 0) + 1
        if self._said[alike] <= ALIKE_MAX:
            self.problems.append(Problem(kind, leaf, text, until))

    def _check_notes(self, keys: Sequence[Key], notes: Sequence[Note], witnesses: Sequence[Key], since: int) -> None:
        size, at, sound = 0, 0, 0
        for note in notes:
            if note.size <= size:
                self._say("checkpoint", note.size, f"checkpoint {note.size} comes after {size}")
            size = max(size, note.size)
            when: int | None = None
            if note.size > since:
                when = self._signature(keys, note, sound)
                self._witnessed(witnesses, note)
            if when is not None and note.size == size:
                if when < at:
                    self._say("time", sound, f"checkpoint {note.size} is signed earlier than the one before", note.size)
                at = max(at, when)
                self._times[note.size] = when
            sound = note.size
            self._wanted.setdefault(note.size, []).append((note, True))

    def _check_kept(self, keys: Sequence[Key], kept: Sequence[Note]) -> None:
        for note in kept:
            if self._signature(keys, note, None) is not None:
                self._wanted.setdefault(note.size, []).append((note, False))

    def _signature(self, keys: Sequence[Key], note: Note, leaf: int | None) -> int | None:
        """When a log key signed it, in that key's time; otherwise tells, and None."""
        why = "no key of the log signed it"
        for key in keys:
            if key.kind != NOTE or key.name != note.origin:
                continue
            told = note.signed_by(key)
            timed, at = note.cosigned_by(key._replace(kind=COSIGNATURE))
            if told is None:
                continue
            if told is False or timed is False:
                why = "its signature is wrong"
                break
            if timed is None:
                why = "its time is not signed"
            elif (key.since is not None and at < key.since) or (key.until is not None and at > key.until):
                why = "it was signed outside its key's time"
            else:
                self.signed += 1
                return at
        self._say("signature", leaf, f"checkpoint {note.size}: {why}", note.size)
        return None

    def _witnessed(self, witnesses: Sequence[Key], note: Note) -> None:
        for key in witnesses:
            told, at = note.cosigned_by(key)
            if told:
                self.cosigned += 1
                self.cosigned_at = max(self.cosigned_at, at)
            elif told is False:
                self._say("witness", None, f"checkpoint {note.size}: the cosignature of {key.name} is wrong")

    def leaf(self, data: bytes | None, hashed: bytes | None) -> None:
        """The next leaf: its bytes, and the hash that its tile holds; one of them may be unknown."""
        seq = self.frontier.size
        mine: bytes | None = None
        if data is not None:
            mine = leaf_hash(data)
            self._read_leaf(seq, data)
            if hashed is not None and mine != hashed:
                self._say("tile", seq, f"leaf {seq} is not the one that its tile was made of")
        one = mine if mine is not None else hashed
        assert one is not None
        self.frontier.add(one)
        self._raise(0, one)
        self._at_size()

    def _read_leaf(self, seq: int, data: bytes) -> None:
        found = LEAF.fullmatch(data)
        if not found:
            self._say("leaf", seq, f"leaf {seq} cannot be read")
            return
        at_ms, entry, told = int(found[1]), found[3], int(found[4])
        if told != seq:
            self._say("sequence", seq, f"leaf {seq} says that it is number {told}")
        if at_ms < self._at_ms:
            self._say("time", seq, f"leaf {seq} is earlier than the one before")
        if int(entry, 16) >> 80 > at_ms:
            self._say("time", seq, f"leaf {seq} was placed before its entry was written")
        if entry in self._commitments:
            self._say("duplicate", seq, f"leaf {seq} is the entry of leaf {self._commitments[entry][0]} again")
        else:
            self._commitments[entry] = (seq, found[2], at_ms)
        self._at_ms = max(self._at_ms, at_ms)

    def _raise(self, level: int, one: bytes) -> None:
        while True:
            if level == len(self._levels):
                self._levels.append([])
                self._whole.append(0)
            self._levels[level].append(one)
            if len(self._levels[level]) % TILE:
                return
            tile = Frontier()
            for hashed in self._levels[level][-TILE:]:
                tile.add(hashed)
            one, level = tile.root(), level + 1

    def _at_size(self) -> None:
        size = self.frontier.size
        if size not in self._wanted:
            return
        root = self.frontier.root()
        for note, own in self._wanted.pop(size):
            if own and note.root != root:
                self._say("root", self._good, f"the leaves do not give the root of checkpoint {size}", size)
            elif own:
                self._good = size
                self.vouched = size
                self._placed(size)
            elif note.root != root:
                text = f"the log does not agree with the checkpoint of {size} leaves that you kept"
                self._say("split view", self._kept_good, text, size)
            else:
                self._kept_good = size

    def _placed(self, size: int) -> None:
        signed = self._times.get(size)
        if signed is not None and self._at_ms > signed * 1000 + 999:
            self._say("time", size - 1, f"leaf {size - 1} is later than the checkpoint that covers it")

    def tile(self, level: int, start: int, hashes: Sequence[bytes]) -> None:
        """Hashes of level 1 or higher as a tile holds them; call when all leaves were given."""
        mine = self._levels[level] if level < len(self._levels) else []
        before = self.known(level)
        for number, hashed in enumerate(hashes, start):
            if number - before >= len(mine) or mine[number - before] != hashed:
                leaf = number << 8 * level
                self._say(
                    "tile",
                    leaf,
                    f"hash {number} of level {level} is not the root of its leaves",
                    leaf + (1 << 8 * level),
                )

    def expected(self, level: int) -> int:
        """How many hashes that level has, by the leaves."""
        return self.known(level) + len(self._levels[level]) if level < len(self._levels) else 0

    def known(self, level: int) -> int:
        """How many of them are not held, because they lie before the mark: their tiles are not given again."""
        return self._whole[level] if level < len(self._whole) else 0

    def missing_tile(self, level: int, number: int) -> None:
        """A tile that should be there is not."""
        self._say("tile", number << 8 * (level + 1), f"tile {number} of level {level} is missing")

    def entry(self, entry_id: str, fields: str, salt: bytes, details: str | None, detail_key: bytes | None) -> None:
        """An opened entry: that the log committed to exactly this."""
        known = self._commitments.get(entry_id.encode())
        if known is None:
            self._say("entry", None, f"entry {entry_id} has no leaf")
            return
        seq, commitment, at_ms = known
        if hashlib.sha256(salt + fields.encode()).hexdigest().encode() != commitment:
            self._say("entry", seq, f"the entry of leaf {seq} was changed")
            return
        said: dict[str, Any] = json.loads(fields)
        if not isinstance(said.get("ts"), int) or said["ts"] > at_ms or said["ts"] != int(entry_id, 16) >> 80:
            self._say("time", seq, f"the entry of leaf {seq} has another time than its id")
        if details is None or detail_key is None:
            return
        if hmac.new(detail_key, details.encode(), "sha256").hexdigest() != said.get("detail"):
            self._say("entry", seq, f"the details of leaf {seq} were changed")

    def unmatched(self, entry_id: str, commitment: bytes) -> None:
        """A stored, unopened entry: its commitment must be its leaf's."""
        known = self._commitments.get(entry_id.encode())
        if known is not None and known[1] != commitment.hex().encode():
            self._say("entry", known[0], f"the entry of leaf {known[0]} was changed")

    def placed(self) -> Iterator[tuple[str, int]]:
        """Every entry id and its leaf."""
        for entry, (seq, _, _) in self._commitments.items():
            yield entry.decode(), seq

    def wrong(self, kind: str, leaf: int | None, text: str) -> None:
        """Something else that was found."""
        self._say(kind, leaf, text)

    def end(self) -> Report:
        """What was found."""
        size = self.frontier.size
        for wanted, notes in sorted(self._wanted.items()):
            for _, own in notes:
                if wanted > size:
                    whose = "its own checkpoint" if own else "the checkpoint that you kept"
                    # Nothing vouches for the leaves since the last checkpoint that agrees: one of them may be gone.
                    first, until = (size, None) if self._good == size else (self._good, size + 1)
                    self._say("missing", first, f"the log ends at {size} leaves, {whose} has {wanted}", until)
        if size > self.largest and not self._tail:
            self._say("unsigned", self.largest, f"leaves from {self.largest} on are under no checkpoint")
        return Report(
            size, self.frontier.root(), self.vouched, self.signed, self.cosigned, self.cosigned_at, self.problems
        )


class Report(NamedTuple):
    """``size`` and ``root`` of the tree; ``vouched``: leaves under a checkpoint that agrees with them."""

    size: int
    root: bytes
    vouched: int
    signed: int
    cosigned: int
    cosigned_at: int
    problems: list[Problem]

    @property
    def worst(self) -> Problem | None:
        """The problem with the first bad leaf; a range with something more exact in it says no more than that."""
        named = [(one.leaf, one.before, one) for one in self.problems if one.leaf is not None]
        narrow = [
            (first, before, one)
            for first, before, one in named
            if not any(first <= a and b <= before and (a, b) != (first, before) for a, b, _ in named)
        ]
        return min(narrow, key=lambda one: one[:2])[2] if narrow else None

    @property
    def first_bad_leaf(self) -> int | None:
        return None if self.worst is None else self.worst.leaf

    def as_json(self) -> dict[str, Any]:
        worst = self.worst
        return {
            "ok": not self.problems,
            "tree_size": self.size,
            "root": base64.b64encode(self.root).decode(),
            "first_bad_leaf": None if worst is None else worst.leaf,
            "first_bad_leaf_before": None if worst is None else worst.until,
            "checkpoints_verified": self.signed,
            "leaves_vouched": self.vouched,
            "cosignatures": self.cosigned,
            "cosigned_at": self.cosigned_at or None,
            "problems": [{"kind": p.kind, "leaf": p.leaf, "before": p.until, "text": p.text} for p in self.problems],
        }


# Directories


def tile_path(level: str, number: int, width: int = TILE) -> str:
    """``tile/<L>/<N>[.p/<W>]``"""
    parts = [f"{number % 1000:03d}"]
    while number >= 1000:
        number //= 1000
        parts.insert(0, f"x{number % 1000:03d}")
    return f"tile/{level}/{'/'.join(parts)}" + ("" if width == TILE else f".p/{width}")


class Directory:
    """An exported or downloaded log."""

    def __init__(self, place: Path) -> None:
        self.place = place
        if not (place / "checkpoint").is_file():
            raise Unreadable(f"{place} has no checkpoint: not a directory that `ruxa audit export` wrote")
        self.latest = read_note(self._text("checkpoint"))

    def _text(self, name: str) -> str:
        try:
            return (self.place / name).read_bytes().decode("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise Unreadable(f"{name} cannot be read: {type(error).__name__}") from None

    def keys(self) -> list[Key]:
        """What the directory itself says the log's keys are."""
        if not (self.place / "keys.json").is_file():
            return []
        return read_keys(self._text("keys.json"), self.latest.origin)

    def notes(self) -> list[Note]:
        """Every checkpoint, oldest first."""
        found: list[Note] = []
        if (self.place / "checkpoints.jsonl").is_file():
            for row in self._text("checkpoints.jsonl").splitlines():
                try:
                    found.append(read_note(json.loads(row)["note"]))
                except (ValueError, KeyError, TypeError):
                    raise Unreadable("checkpoints.jsonl is damaged") from None
        return found

    def tile(self, level: str, number: int, width: int) -> bytes | None:
        """A tile's bytes: of that width, or as the full one it became, or of the largest width that is there."""
        for name in (tile_path(level, number, width), tile_path(level, number)):
            file = self.place / name
            if file.is_file():
                return file.read_bytes()
        widths = self._partial(level, number)
        return (self.place / tile_path(level, number, max(widths))).read_bytes() if widths else None

    def _partial(self, level: str, number: int) -> list[int]:
        """The widths of a partial tile that are there."""
        folder = self.place / (tile_path(level, number) + ".p")
        if not folder.is_dir():
            return []
        return [
            int(one.name)
            for one in folder.iterdir()
            if re.fullmatch("[1-9][0-9]{0,2}", one.name) and int(one.name) < TILE
        ]

    def hashes(self, level: int, number: int, width: int) -> list[bytes] | None:
        """The hashes of a tile; None when it is not there or not so long."""
        data = self.tile(str(level), number, width)
        if data is None or len(data) % 32 or len(data) < 32 * width:
            return None
        return [data[i : i + 32] for i in range(0, 32 * width, 32)]

    def bundle(self, number: int, width: int) -> list[bytes] | None:
        """The leaves of an entry bundle; None when there is none. Raises Unreadable."""
        data = self.tile("entries", number, width)
        if data is None:
            return None
        found: list[bytes] = []
        while data and len(found) < width:
            length = int.from_bytes(data[:2], "big")
            if len(data) < 2 + length:
                break
            found.append(data[2 : 2 + length])
            data = data[2 + length :]
        return found

    def entries(self) -> Iterator[dict[str, Any]]:
        """Opened entries."""
        file = self.place / "entries.jsonl"
        if file.is_file():
            with file.open("r", encoding="utf-8") as rows:
                for row in rows:
                    try:
                        yield json.loads(row)
                    except ValueError:
                        raise Unreadable("entries.jsonl is damaged") from None

    def largest(self) -> int:
        """Where the leaves of the directory end, by its tiles and bundles."""
        size = 0
        while True:
            width = self._width(size // TILE)
            size += width
            if width < TILE:
                return size

    def _width(self, number: int) -> int:
        for kind in ("entries", "0"):
            if (self.place / tile_path(kind, number)).is_file():
                return TILE
        return max([0, *self._partial("entries", number), *self._partial("0", number)])


def read_keys(text: str, origin: str) -> list[Key]:
    """The log's keys of a ``keys.json``: those of use ``audit``. Raises Unreadable."""
    found: list[Key] = []
    try:
        for one in json.loads(text)["keys"]:
            if one["use"] == "audit":
                public = _unbase64(one["public"])
                found.append(
                    Key(origin, NOTE, public, _seconds(one.get("valid_from")), _seconds(one.get("valid_until")))
                )
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Unreadable("keys.json is damaged") from None
    return found


def _seconds(text: str | None) -> int | None:
    if text is None:
        return None
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def check(
    place: Path,
    *,
    keys: Sequence[Key] = (),
    kept: Sequence[Note] = (),
    witnesses: Sequence[Key] = (),
    since: int = 0,
) -> Report:
    """Checks a directory. Without ``keys`` those that it names itself are believed."""
    directory = Directory(place)
    notes = directory.notes()
    if not notes or notes[-1].text != directory.latest.text:
        notes.append(directory.latest)
    checker = Checker(list(keys) or directory.keys(), notes, kept, witnesses, since=since)
    size = max(directory.largest(), 0)
    told = directory.latest.size
    for number in range(-(-size // TILE)):
        width = min(TILE, size - number * TILE)
        bundle = directory.bundle(number, width)
        hashes = directory.hashes(0, number, width)
        if hashes is None:
            have = directory.tile("0", number, width)
            hashes = [] if have is None else [have[i : i + 32] for i in range(0, len(have) - len(have) % 32, 32)]
        if len(hashes) < width:
            checker.wrong("tile", number * TILE + len(hashes), f"tile {number} of level 0 is missing or short")
        if bundle is not None and len(bundle) < width:
            checker.wrong(
                "leaf", number * TILE + len(bundle), f"leaf {number * TILE + len(bundle)} is missing in its bundle"
            )
        if bundle is None and (place / "tile" / "entries").is_dir():
            checker.wrong("leaf", number * TILE, f"the bundle of leaf {number * TILE} is missing")
        for i in range(width):
            data = bundle[i] if bundle is not None and i < len(bundle) else None
            hashed = hashes[i] if i < len(hashes) else None
            if data is None and hashed is None:
                return checker.end()
            checker.leaf(data, hashed)
    for level in range(1, 8):
        count = min(checker.expected(level), told >> 8 * level)
        for number in range(-(-count // TILE)):
            width = min(TILE, count - number * TILE)
            found = directory.hashes(level, number, width)
            if found is None:
                checker.missing_tile(level, number)
            else:
                checker.tile(level, number * TILE, found)
    for one in directory.entries():
        try:
            details, detail_key = one.get("details"), one.get("detail_key")
            checker.entry(
                one["id"],
                one["fields"],
                bytes.fromhex(one["salt"]),
                details,
                None if detail_key is None else bytes.fromhex(detail_key),
            )
        except (KeyError, TypeError, ValueError):
            raise Unreadable("entries.jsonl is damaged") from None
    return checker.end()


class Proofs:
    """Proofs from the tiles of a directory."""

    def __init__(self, directory: Directory, size: int) -> None:
        self._directory = directory
        self._size = size

    def _subtree(self, start: int, end: int) -> bytes:
        width = end - start
        if width & (width - 1):
            middle = start + _split(width)
            return pair(self._subtree(start, middle), self._subtree(middle, end))
        level = (width.bit_length() - 1) // 8
        first, count = start >> 8 * level, width >> 8 * level
        number = first // TILE
        have = min(TILE, (self._size >> 8 * level) - number * TILE)
        hashes = self._directory.hashes(level, number, have)
        if hashes is None:
            raise Unreadable(f"tile {number} of level {level} is missing")
        tree = Frontier()
        for one in hashes[first % TILE : first % TILE + count]:
            tree.add(one)
        return tree.root()

    def inclusion(self, seq: int) -> list[bytes]:
        """From the leaf's sibling up."""
        start, end, found = 0, self._size, list[bytes]()
        while end - start > 1:
            middle = start + _split(end - start)
            if seq < middle:
                found.insert(0, self._subtree(middle, end))
                end = middle
            else:
                found.insert(0, self._subtree(start, middle))
                start = middle
        return found

    def consistency(self, old: int) -> list[bytes]:
        """That the tree begins with that of ``old`` leaves."""
        if old in (0, self._size):
            return []
        start, end, whole, found = 0, self._size, True, list[bytes]()
        while old != end:
            middle = start + _split(end - start)
            if old <= middle:
                found.insert(0, self._subtree(middle, end))
                end = middle
            else:
                found.insert(0, self._subtree(start, middle))
                start, whole = middle, False
        return found if whole else [self._subtree(start, end), *found]


def _split(size: int) -> int:
    return 1 << ((size - 1).bit_length() - 1)


def check_proof(text: str, keys: Sequence[Key], leaf: bytes | None) -> list[Problem]:
    """A ``c2sp.org/tlog-proof@v1``; its ``extra`` is the leaf's bytes unless they are given. Raises Unreadable."""
    head, empty, note_text = text.partition("\n\n")
    rows = head.split("\n")
    if not empty or rows[0] != "c2sp.org/tlog-proof@v1":
        raise Unreadable("no proof: the first line must be c2sp.org/tlog-proof@v1")
    rows.pop(0)
    if rows and rows[0].startswith("extra "):
        extra = _unbase64(rows.pop(0)[6:])
        leaf = extra if leaf is None else leaf
    if not rows or not re.fullmatch(r"index (0|[1-9]\d{0,15})", rows[0]) or leaf is None:
        raise Unreadable("the proof lacks its index or its leaf")
    seq, path = int(rows[0][6:]), [_unbase64(row) for row in rows[1:]]
    note = read_note(note_text)
    checker = Checker(keys, [note], tail=True)
    if root_from_inclusion(seq, note.size, leaf_hash(leaf), path) != note.root:
        checker.wrong("proof", seq, f"leaf {seq} is not in the log of checkpoint {note.size}")
    return checker.problems


# The command


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; the exit code."""
    args = _parser().parse_args(arguments)
    try:
        return args.run(args)
    except Unreadable as error:
        return _cannot(args, str(error))
    except OSError as error:
        return _cannot(args, f"{error.filename}: {error.strerror}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ruxa-verify", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    one = commands.add_parser("check", help="check a whole log")
    one.add_argument("dir", type=Path, metavar="DIR")
    one.add_argument(
        "--checkpoint",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="a checkpoint that you kept yourself; may be repeated",
    )
    one.add_argument(
        "--witness",
        action="append",
        default=[],
        metavar="VKEY",
        help="a witness whose cosignatures to check; may be repeated",
    )
    one.add_argument(
        "--since",
        type=int,
        default=0,
        metavar="SIZE",
        help="check signatures of checkpoints above this size only (the tree is checked whole)",
    )
    one.set_defaults(run=_run_check)
    two = commands.add_parser("consistency", help="check that one checkpoint continues another")
    two.add_argument("old", type=Path, metavar="OLD")
    two.add_argument("new", type=Path, metavar="NEW")
    two.add_argument("--log", type=Path, metavar="DIR", help="where the tiles are")
    two.add_argument("--proof", type=Path, metavar="FILE", help="or a consistency proof: one base64 hash a line")
    two.set_defaults(run=_run_consistency)
    three = commands.add_parser("prove", help="write the proof that a leaf is in the log")
    three.add_argument("dir", type=Path, metavar="DIR")
    three.add_argument("leaf", type=int, metavar="N")
    three.set_defaults(run=_run_prove)
    four = commands.add_parser("proof", help="check such a proof")
    four.add_argument("file", type=Path, metavar="FILE")
    four.set_defaults(run=_run_proof)
    for each in (one, two, four):
        each.add_argument(
            "--key",
            action="append",
            default=[],
            metavar="VKEY",
            help="a key of the log that you kept yourself (name+id+base64); may be repeated",
        )
        each.add_argument("--keys", type=Path, metavar="FILE", help="or a keys.json that you kept yourself")
    for each in (one, two, three, four):
        each.add_argument("--json", action="store_true", help="JSON instead of text")
    return parser


def _keys(args: argparse.Namespace, origin: str) -> list[Key]:
    found = [read_vkey(one) for one in args.key]
    if args.keys is not None:
        found += read_keys(args.keys.read_text(encoding="utf-8"), origin)
    return found


def _run_check(args: argparse.Namespace) -> int:
    keys = _keys(args, Directory(args.dir).latest.origin)
    kept = [read_note(one.read_text(encoding="utf-8")) for one in args.checkpoint]
    witnesses = [read_vkey(one) for one in args.witness]
    report = check(args.dir, keys=keys, kept=kept, witnesses=witnesses, since=args.since)
    if args.json:
        _out(json.dumps({**report.as_json(), "keys": "given" if keys else "the log's own word"}, indent=2))
    else:
        _out(f"{report.size} leaves, root {base64.b64encode(report.root).decode()}")
        _out(f"{report.signed} checkpoint(s) verified, the last that agrees has {report.vouched} leaves")
        if witnesses:
            when = datetime.fromtimestamp(report.cosigned_at, UTC).isoformat() if report.cosigned else "never"
            _out(f"{report.cosigned} cosignature(s), the last {when}")
        if not keys:
            _out("The keys are the log's own word: give --key or --keys that you kept yourself.")
        if not kept:
            _out("Nothing from elsewhere was compared: give --checkpoint that you kept yourself.")
        _tell(report.problems, report.worst)
    return 1 if report.problems else 0


def _tell(problems: Sequence[Problem], worst: Problem | None) -> None:
    for one in problems:
        _out(f"WRONG ({one.kind}): {one.text}")
    if worst is not None:
        where = f"{worst.leaf}" if worst.until is None else f"between {worst.leaf} and {worst.until - 1}"
        _out(f"First bad leaf: {where}")
    elif not problems:
        _out("All is well.")


def _run_consistency(args: argparse.Namespace) -> int:
    old = read_note(args.old.read_text(encoding="utf-8"))
    new = read_note(args.new.read_text(encoding="utf-8"))
    keys = _keys(args, new.origin)
    problems: list[Problem] = []
    if keys:
        problems += Checker(keys, [old], tail=True).problems + Checker(keys, [new], tail=True).problems
    if old.origin != new.origin:
        problems.append(Problem("origin", None, "they are checkpoints of two logs"))
    if args.proof is not None:
        proof = [_unbase64(row) for row in args.proof.read_text(encoding="utf-8").split()]
    elif args.log is not None:
        proof = Proofs(Directory(args.log), new.size).consistency(old.size) if old.size <= new.size else []
    else:
        raise Unreadable("give --log DIR or --proof FILE")
    if not consistent(old.size, old.root, new.size, new.root, proof):
        problems.append(
            Problem("consistency", 0, f"checkpoint {new.size} does not continue {old.size}", min(old.size, new.size))
        )
    return _ended(args, problems, f"Checkpoint {new.size} continues {old.size}.")


def _run_prove(args: argparse.Namespace) -> int:
    directory = Directory(args.dir)
    size = directory.latest.size
    if not 0 <= args.leaf < size:
        raise Unreadable(f"the log has the leaves 0 to {size - 1}")
    leaf: int = args.leaf
    number = leaf // TILE
    bundle = directory.bundle(number, min(TILE, size - number * TILE))
    rows = ["c2sp.org/tlog-proof@v1"]
    if bundle is not None:
        rows.append(f"extra {base64.b64encode(bundle[leaf % TILE]).decode()}")
    rows.append(f"index {args.leaf}")
    rows += [base64.b64encode(one).decode() for one in Proofs(directory, size).inclusion(args.leaf)]
    text = "\n".join(rows) + "\n\n" + (args.dir / "checkpoint").read_text(encoding="utf-8")
    _out(json.dumps({"proof": text}) if args.json else text.rstrip("\n"))
    return 0


def _run_proof(args: argparse.Namespace) -> int:
    text = args.file.read_text(encoding="utf-8")
    keys = _keys(args, text.partition("\n\n")[2].partition("\n")[0])
    if not keys:
        raise Unreadable("give the log's key: --key or --keys")
    return _ended(args, check_proof(text, keys, None), "The leaf is in the log.")


def _ended(args: argparse.Namespace, problems: list[Problem], good: str) -> int:
    if args.json:
        rows = [{"kind": p.kind, "leaf": p.leaf, "text": p.text} for p in problems]
        _out(json.dumps({"ok": not problems, "problems": rows}, indent=2))
    elif problems:
        _tell(problems, None)
    else:
        _out(good)
    return 1 if problems else 0


def _cannot(args: argparse.Namespace, why: str) -> int:
    if getattr(args, "json", False):
        _out(json.dumps({"ok": None, "error": why}))
    sys.stderr.write(f"ruxa-verify: {why}\n")
    return 2


def _out(text: str) -> None:
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    sys.exit(main())
