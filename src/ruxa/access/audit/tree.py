"""The Merkle tree of the log (RFC 6962, 2.1; RFC 9162, 2.1) in tiles of 256 hashes (C2SP tlog-tiles): pure functions.

Level 0 holds leaf hashes; a hash of level L + 1 is the root of a full tile of level L. Only the last tile of a level is
partial, so adding leaves needs what is in those and nothing else.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from hashlib import sha256
from typing import Final

import msgspec

TILE: Final = 256
EMPTY: Final = sha256(b"").digest()

# (level, start, count) -> that many hashes of that level.
Read = Callable[[int, int, int], Awaitable[list[bytes]]]


class Grown(msgspec.Struct, frozen=True):
    """What adding leaves gave: the tree's new edge (the partial tile of each level) and the full tiles' roots."""

    edge: list[list[bytes]]
    nodes: list[tuple[int, int, bytes]]  # level, number, hash


def leaf_hash(data: bytes) -> bytes:
    """The hash of a leaf's bytes."""
    return sha256(b"\x00" + data).digest()


def pair(left: bytes, right: bytes) -> bytes:
    """The hash above two hashes."""
    return sha256(b"\x01" + left + right).digest()


def root(hashes: Sequence[bytes]) -> bytes:
    """The Merkle tree hash over hashes of one level."""
    if not hashes:
        return EMPTY
    row = list(hashes)
    # An odd last one moves up as it is: the same tree as splitting at the largest power of two.
    while len(row) > 1:
        above = [pair(row[i], row[i + 1]) for i in range(0, len(row) - 1, 2)]
        row = [*above, row[-1]] if len(row) % 2 else above
    return row[0]


def grow(edge: Sequence[Sequence[bytes]], size: int, hashes: Sequence[bytes]) -> Grown:
    """Adds leaf hashes to a tree of ``size`` leaves whose partial tiles are ``edge`` (level 0 first)."""
    levels = [list(level) for level in edge]
    nodes: list[tuple[int, int, bytes]] = []
    # The number of full tiles a level has; the next root is the next level's hash of that number.
    full = [size >> 8 * (level + 1) for level in range(8)]
    for one in hashes:
        level, carried = 0, one
        while True:
            if level == len(levels):
                levels.append([])
            levels[level].append(carried)
            if len(levels[level]) < TILE:
                break
            carried = root(levels[level])
            levels[level] = []
            nodes.append((level + 1, full[level], carried))
            full[level] += 1
            level += 1
    return Grown(levels, nodes)


def edge_root(edge: Sequence[Sequence[bytes]]) -> bytes:
    """The tree's root from its partial tiles."""
    found: bytes | None = None
    for level in edge:
        # From the right: what this level's partial tile holds stands left of everything below it.
        for one in reversed(_perfect(level)):
            found = one if found is None else pair(one, found)
    return EMPTY if found is None else found


def _perfect(hashes: Sequence[bytes]) -> list[bytes]:
    """The roots of the perfect subtrees that a partial tile is made of, largest first."""
    found: list[bytes] = []
    start = 0
    for bit in range(7, -1, -1):
        width = 1 << bit
        if len(hashes) & width:
            found.append(root(hashes[start : start + width]))
            start += width
    return found


async def edge_of(read: Read, size: int) -> list[list[bytes]]:
    """The partial tiles of a tree of that size."""
    edge: list[list[bytes]] = []
    level = 0
    while size >> 8 * level:
        count = size >> 8 * level
        width = count % TILE
        edge.append(await read(level, count - width, width) if width else [])
        level += 1
    return edge


async def subtree(read: Read, start: int, end: int) -> bytes:
    """The Merkle tree hash of the leaves ``start`` to ``end`` (exclusive), a subtree as RFC 6962 makes them."""
    size = end - start
    if size & (size - 1) == 0:
        bits = size.bit_length() - 1
        level = bits // 8
        return root(await read(level, start >> 8 * level, size >> 8 * level))
    middle = start + _split(size)
    return pair(await subtree(read, start, middle), await subtree(read, middle, end))


async def inclusion(read: Read, seq: int, size: int) -> list[bytes]:
    """The proof that leaf ``seq`` is in the tree of ``size``: hashes from the leaf's sibling up (RFC 6962, 2.1.1)."""
    assert 0 <= seq < size
    return await _path(read, seq, 0, size)


async def _path(read: Read, seq: int, start: int, end: int) -> list[bytes]:
    if end - start == 1:
        return []
    middle = start + _split(end - start)
    if seq < middle:
        return [*await _path(read, seq, start, middle), await subtree(read, middle, end)]
    return [*await _path(read, seq, middle, end), await subtree(read, start, middle)]


async def consistency(read: Read, old: int, new: int) -> list[bytes]:
    """The proof that the tree of ``new`` leaves begins with that of ``old`` (RFC 6962, 2.1.2)."""
    assert 0 <= old <= new
    if old == 0 or old == new:
        return []
    return await _between(read, old, 0, new, whole=True)


async def _between(read: Read, old: int, start: int, end: int, *, whole: bool) -> list[bytes]:
    if old == end:
        return [] if whole else [await subtree(read, start, end)]
    middle = start + _split(end - start)
    if old <= middle:
        return [*await _between(read, old, start, middle, whole=whole), await subtree(read, middle, end)]
    return [*await _between(read, old, middle, end, whole=False), await subtree(read, start, middle)]


def _split(size: int) -> int:
    """The largest power of two below ``size``."""
    return 1 << (size - 1).bit_length() - 1
