"""The tree is RFC 6962's: known roots, the definition itself, tiles of any size, proofs that two programs agree on."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ruxa.access.audit import tree, verify

# The leaves and roots of the reference implementation of Certificate Transparency.
LEAVES = [
    bytes.fromhex(one)
    for one in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def defined(hashes: Sequence[bytes]) -> bytes:
    """The Merkle tree hash as RFC 6962, 2.1 defines it."""
    if not hashes:
        return sha256(b"").digest()
    if len(hashes) == 1:
        return hashes[0]
    k = 1
    while k * 2 < len(hashes):
        k *= 2
    return sha256(b"\x01" + defined(hashes[:k]) + defined(hashes[k:])).digest()


class Grown:
    """A tree grown in pieces, readable by level as the database is."""

    def __init__(self, hashes: Sequence[bytes], pieces: Sequence[int]) -> None:
        self.levels: dict[int, dict[int, bytes]] = {0: dict(enumerate(hashes))}
        self.edge: list[list[bytes]] = []
        self.size = 0
        for piece in (*pieces, len(hashes)):
            part = hashes[self.size : self.size + piece]
            grown = tree.grow(self.edge, self.size, part)
            self.edge = grown.edge
            self.size += len(part)
            for level, number, node in grown.nodes:
                assert number not in self.levels.setdefault(level, {})
                self.levels[level][number] = node

    async def read(self, level: int, start: int, count: int) -> list[bytes]:
        return [self.levels[level][number] for number in range(start, start + count)]


def hashes_of(size: int) -> list[bytes]:
    return [tree.leaf_hash(b"%d" % number) for number in range(size)]


def test_known_roots() -> None:
    hashes = [tree.leaf_hash(leaf) for leaf in LEAVES]
    frontier = verify.Frontier()
    assert frontier.root() == tree.EMPTY == tree.edge_root([]) == tree.root([])
    for size, wanted in enumerate(ROOTS, start=1):
        frontier.add(verify.leaf_hash(LEAVES[size - 1]))
        found = {tree.root(hashes[:size]), tree.edge_root(Grown(hashes[:size], []).edge), frontier.root()}
        assert {one.hex() for one in found} == {wanted}


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 1500), st.lists(st.integers(0, 400), max_size=5))
async def test_a_tree_grown_in_any_pieces_is_the_one_defined(size: int, pieces: list[int]) -> None:
    hashes = hashes_of(size)
    grown = Grown(hashes, pieces)
    assert tree.edge_root(grown.edge) == defined(hashes)
    assert await tree.edge_of(grown.read, size) == grown.edge
    for level, nodes in grown.levels.items():
        assert sorted(nodes) == list(range(size >> 8 * level))


async def test_three_levels_of_tiles() -> None:
    size = 256 * 256 + 700
    hashes = hashes_of(size)
    grown = Grown(hashes, [65_535, 1, 300])
    assert {level: len(nodes) for level, nodes in grown.levels.items()} == {0: size, 1: 258, 2: 1}
    assert tree.edge_root(grown.edge) == defined(hashes)
    assert grown.levels[2][0] == defined(hashes[:65_536])
    proof = await tree.inclusion(grown.read, 65_600, size)
    assert verify.root_from_inclusion(65_600, size, hashes[65_600], proof) == defined(hashes)
    proof = await tree.consistency(grown.read, 65_000, size)
    assert verify.consistent(65_000, defined(hashes[:65_000]), size, defined(hashes), proof)


@settings(max_examples=60, deadline=None)
@given(st.data())
async def test_proofs_hold_and_no_other(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 700))
    hashes = hashes_of(size)
    grown, root = Grown(hashes, []), defined(hashes)
    seq = data.draw(st.integers(0, size - 1))
    proof = await tree.inclusion(grown.read, seq, size)
    assert verify.root_from_inclusion(seq, size, hashes[seq], proof) == root
    assert verify.root_from_inclusion(seq, size, tree.leaf_hash(b"other"), proof) != root
    assert verify.root_from_inclusion(seq, size, hashes[seq], [*proof, root]) != root
    if proof:
        assert verify.root_from_inclusion(seq, size, hashes[seq], proof[:-1]) != root
        other = data.draw(st.integers(0, size - 1).filter(lambda one: one != seq))
        assert verify.root_from_inclusion(other, size, hashes[seq], proof) != root
    old = data.draw(st.integers(0, size))
    between = await tree.consistency(grown.read, old, size)
    assert verify.consistent(old, defined(hashes[:old]), size, root, between)
    assert not verify.consistent(old, tree.leaf_hash(b"other"), size, root, between)
    if old not in (0, size):
        assert not verify.consistent(old, defined(hashes[:old]), size, tree.leaf_hash(b"other"), between)
        assert not verify.consistent(old, defined(hashes[:old]), size, root, between[:-1])
        assert not verify.consistent(old, defined(hashes[:old]), size, root, [*between, root])


@pytest.mark.parametrize(
    ("number", "width", "path"),
    [
        (0, 256, "tile/0/000"),
        (1234067, 256, "tile/0/x001/x234/067"),
        (273, 112, "tile/0/273.p/112"),
        (999, 1, "tile/0/999.p/1"),
        (1000, 256, "tile/0/x001/000"),
    ],
)
def test_tiles_are_named_as_the_specification_names_them(number: int, width: int, path: str) -> None:
    assert verify.tile_path("0", number, width) == path
