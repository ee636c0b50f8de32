"""Forged logs: whatever was done to an export, the program finds it and names the first bad leaf.

A forger here is as strong as the kind says: one who edits a file; one who rebuilds every tile; one who signs with a key
of their own; and the operator, who has the real key and is caught by what others kept.
"""

from __future__ import annotations

import base64
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit_logs import KEY, ORIGIN, OURS, START_MS, THEIRS, Leaf, Log
from conftest import Sizes
from ruxa.access.audit import notes, sequencer, tree, verify

SIZE = 610
CHECKPOINTS = [1, 90, 256, 300, 511, SIZE]


class Wanted(NamedTuple):
    """What must be found: the first bad leaf, exactly or within a range; with what somebody kept, if that is needed."""

    first: int
    before: int | None = None
    kept: tuple[str, ...] = ()


Forge = Callable[[Log, int, Path], Wanted | None]
KINDS: dict[str, Forge] = {}


def kind(forge: Forge) -> Forge:
    """Registers a way to forge: gets an honest log, a leaf number in 2..SIZE-3 and the place; None: written already."""
    KINDS[forge.__name__] = forge
    return forge


def flipped(data: bytes, at: int = 5) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


# Who edits the leaves' file and nothing else


@kind
def edit_a_commitment(log: Log, k: int, place: Path) -> Wanted:
    log.leaves[k].commitment = flipped(log.leaves[k].commitment)
    log.data[k] = log.leaves[k].data
    return Wanted(k)


@kind
def edit_an_id(log: Log, k: int, place: Path) -> Wanted:
    log.leaves[k].id = UUID(int=log.leaves[k].id.int ^ 1 << 20)
    log.data[k] = log.leaves[k].data
    return Wanted(k)


@kind
def edit_a_time(log: Log, k: int, place: Path) -> Wanted:
    log.leaves[k].at_ms += 1
    log.data[k] = log.leaves[k].data
    return Wanted(k)


@kind
def edit_a_number(log: Log, k: int, place: Path) -> Wanted:
    log.leaves[k].seq += 1
    log.data[k] = log.leaves[k].data
    return Wanted(k)


@kind
def garble_a_leaf(log: Log, k: int, place: Path) -> Wanted:
    log.data[k] = b"\x00" + log.data[k][1:]
    return Wanted(k)


@kind
def empty_a_leaf(log: Log, k: int, place: Path) -> Wanted:
    log.data[k] = b""
    return Wanted(k)


@kind
def write_a_leaf_otherwise(log: Log, k: int, place: Path) -> Wanted:
    log.data[k] = log.data[k].replace(b'"seq":', b'"seq": ')
    return Wanted(k)


@kind
def delete_a_leaf(log: Log, k: int, place: Path) -> Wanted:
    del log.data[k]
    return Wanted(k)


@kind
def insert_a_leaf(log: Log, k: int, place: Path) -> Wanted:
    log.data.insert(k, Leaf(k, log.leaves[k].at_ms).data)
    return Wanted(k)


@kind
def swap_two_leaves(log: Log, k: int, place: Path) -> Wanted:
    log.data[k], log.data[k + 1] = log.data[k + 1], log.data[k]
    return Wanted(k)


@kind
def repeat_a_leaf(log: Log, k: int, place: Path) -> Wanted:
    log.data.insert(k + 1, log.data[k])
    return Wanted(k + 1)


@kind
def cut_the_last_leaves(log: Log, k: int, place: Path) -> Wanted:
    k = max(k, 513)  # within the last bundle
    log.data = log.data[:k]
    return Wanted(k)


@kind
def lose_a_bundle(log: Log, k: int, place: Path) -> Wanted | None:
    log.write(place)
    number = k // 256
    width = min(256, SIZE - number * 256)
    (place / verify.tile_path("entries", number, width)).unlink()
    return Wanted(number * 256)


# Who rebuilds every tile, and cannot sign


@kind
def edit_and_rebuild(log: Log, k: int, place: Path) -> Wanted:
    log.leaves[k].commitment = flipped(log.leaves[k].commitment)
    log.data[k] = log.leaves[k].data
    log.rows = []
    log.raise_tiles()
    return Wanted(*log.interval(k))


@kind
def edit_and_rebuild_where_entries_are_open(log: Log, k: int, place: Path) -> Wanted:
    log.leaves[k].commitment = flipped(log.leaves[k].commitment)
    log.data[k] = log.leaves[k].data
    log.raise_tiles()
    return Wanted(k)


@kind
def delete_and_renumber(log: Log, k: int, place: Path) -> Wanted:
    del log.leaves[k], log.rows[k]
    log.renumber()
    log.raise_tiles()
    return Wanted(*log.interval(k))


@kind
def insert_and_renumber(log: Log, k: int, place: Path) -> Wanted:
    log.leaves.insert(k, Leaf(k, log.leaves[k].at_ms))
    log.renumber()
    log.raise_tiles()
    return Wanted(*log.interval(k))


@kind
def swap_and_renumber(log: Log, k: int, place: Path) -> Wanted:
    one, two = log.leaves[k], log.leaves[k + 1]
    one.at_ms, two.at_ms = two.at_ms, two.at_ms
    log.leaves[k], log.leaves[k + 1] = two, one
    log.renumber()
    log.raise_tiles()
    return Wanted(*log.interval(k))


@kind
def repeat_an_entry(log: Log, k: int, place: Path) -> Wanted:
    log.leaves[k].id = log.leaves[k - 1].id
    log.data[k] = log.leaves[k].data
    log.raise_tiles()
    return Wanted(k)


@kind
def turn_time_back(log: Log, k: int, place: Path) -> Wanted:
    log.leaves[k].at_ms = log.leaves[k - 1].at_ms - 1
    log.leaves[k].id = UUID(int=log.leaves[k].id.int - (1000 << 80))
    log.data[k] = log.leaves[k].data
    log.rows = []
    log.raise_tiles()
    return Wanted(k)


@kind
def place_a_leaf_before_its_entry(log: Log, k: int, place: Path) -> Wanted:
    log.leaves[k].id = UUID(int=log.leaves[k].id.int + (1000 << 80))
    log.data[k] = log.leaves[k].data
    log.rows = []
    log.raise_tiles()
    return Wanted(k)


@kind
def leave_a_gap(log: Log, k: int, place: Path) -> Wanted:
    del log.data[k]
    log.raise_tiles()
    return Wanted(k)


@kind
def truncate(log: Log, k: int, place: Path) -> Wanted:
    log.leaves, log.data, log.rows = log.leaves[:k], log.data[:k], log.rows[:k]
    log.raise_tiles()
    # Whether it was the last leaves that went, or some since the last checkpoint, nothing tells.
    return Wanted(k) if k in CHECKPOINTS else Wanted(log.interval(k)[0], k + 1)


@kind
def truncate_with_checkpoints(log: Log, k: int, place: Path) -> Wanted:
    kept = log.notes[-1]
    size = max(log.interval(k)[0], 1)
    log.leaves, log.data, log.rows = log.leaves[:size], log.data[:size], log.rows[:size]
    log.notes = [note for note in log.notes if verify.read_note(note).size <= size]
    log.raise_tiles()
    return Wanted(size, kept=(kept,))


@kind
def rewrite_everything(log: Log, k: int, place: Path) -> Wanted:
    log.leaves = [Leaf(seq, START_MS + 101 * seq) for seq in range(SIZE)]
    log.rows = []
    log.renumber()
    log.raise_tiles()
    return Wanted(0, 1)


# Who edits tiles


@kind
def edit_a_hash(log: Log, k: int, place: Path) -> Wanted:
    log.hashes[k] = flipped(log.hashes[k])
    return Wanted(k)


@kind
def swap_two_hashes(log: Log, k: int, place: Path) -> Wanted:
    log.hashes[k], log.hashes[k + 1] = log.hashes[k + 1], log.hashes[k]
    return Wanted(k)


@kind
def edit_an_upper_hash(log: Log, k: int, place: Path) -> Wanted:
    number = k % 2
    log.levels[1][number] = flipped(log.levels[1][number])
    return Wanted(number * 256, number * 256 + 256)


@kind
def lose_a_tile(log: Log, k: int, place: Path) -> Wanted | None:
    log.write(place)
    number = k // 256
    (place / verify.tile_path("0", number, min(256, SIZE - number * 256))).unlink()
    return Wanted(number * 256)


@kind
def lose_an_upper_tile(log: Log, k: int, place: Path) -> Wanted | None:
    log.write(place)
    (place / verify.tile_path("1", 0, 2)).unlink()
    return Wanted(0)


@kind
def cut_a_tile(log: Log, k: int, place: Path) -> Wanted | None:
    log.write(place)
    number = k // 256
    file = place / verify.tile_path("0", number, min(256, SIZE - number * 256))
    file.write_bytes(file.read_bytes()[: 32 * (k % 256)])
    return Wanted(k)


@kind
def edit_a_hash_of_public_tiles(log: Log, k: int, place: Path) -> Wanted | None:
    log.hashes[k] = flipped(log.hashes[k])
    log.rows = []
    log.write(place)
    shutil.rmtree(place / "tile" / "entries")
    # Without leaves only the roots tell.
    return Wanted(*log.interval(k))


# Who signs with a key of their own, or damages signatures


@kind
def sign_all_with_another_key(log: Log, k: int, place: Path) -> Wanted:
    log.leaves[k].commitment = flipped(log.leaves[k].commitment)
    log.renumber()
    log.rows = []
    log.raise_tiles()
    log.keys = [THEIRS]
    log.sign(THEIRS)
    return Wanted(0, 1)


@kind
def sign_the_end_with_another_key(log: Log, k: int, place: Path) -> Wanted:
    log.sign(THEIRS, [SIZE])
    log.keys = [OURS, THEIRS]
    return Wanted(511, SIZE)


@kind
def take_the_signature_of_another_checkpoint(log: Log, k: int, place: Path) -> Wanted:
    head = log.notes[-1].partition("\n\n")[0]
    log.notes[-1] = head + "\n\n" + log.notes[-2].partition("\n\n")[2]
    return Wanted(511, SIZE)


@kind
def change_the_root_of_a_checkpoint(log: Log, k: int, place: Path) -> Wanted:
    other = base64.b64encode(tree.leaf_hash(b"other")).decode()
    rows = log.notes[2].split("\n")
    rows[2] = other
    log.notes[2] = "\n".join(rows)
    return Wanted(90, 256)


@kind
def flip_a_bit_of_a_signature(log: Log, k: int, place: Path) -> Wanted:
    text, _, lines = log.notes[3].partition("\n\n")
    row = lines.split("\n")[0]
    name, _, signature = row.rpartition(" ")
    raw = base64.b64decode(signature)
    changed = base64.b64encode(flipped(raw, 4 + k % 64)).decode()
    log.notes[3] = f"{text}\n\n{lines.replace(signature, changed)}"
    assert name
    return Wanted(256, 300)


@kind
def drop_the_signed_time(log: Log, k: int, place: Path) -> Wanted:
    text, _, lines = log.notes[3].partition("\n\n")
    log.notes[3] = f"{text}\n\n{lines.splitlines()[0]}\n"
    return Wanted(256, 300)


@kind
def change_the_signed_time(log: Log, k: int, place: Path) -> Wanted:
    text, _, lines = log.notes[3].partition("\n\n")
    first, second, _ = lines.split("\n")
    name, _, signature = second.rpartition(" ")
    raw = base64.b64decode(signature)
    changed = base64.b64encode(raw[:4] + (int.from_bytes(raw[4:12], "big") - 1).to_bytes(8, "big") + raw[12:]).decode()
    log.notes[3] = f"{text}\n\n{first}\n{name} {changed}\n"
    return Wanted(256, 300)


@kind
def swap_two_checkpoints(log: Log, k: int, place: Path) -> Wanted:
    log.notes[2], log.notes[3] = log.notes[3], log.notes[2]
    return Wanted(256)


@kind
def use_another_logs_checkpoint(log: Log, k: int, place: Path) -> Wanted:
    at_s = (START_MS + 100 * 300) // 1000 + 1
    log.notes[3] = notes.sign("ruxa-log/other", 300, tree.root(log.hashes[:300]), at_s, OURS)
    return Wanted(256, 300)


@kind
def put_leaves_behind_the_last_checkpoint(log: Log, k: int, place: Path) -> Wanted:
    log.leaves.append(Leaf(SIZE, START_MS + 100 * SIZE))
    log.renumber()
    log.raise_tiles()
    return Wanted(SIZE)


# The operator, who has the real key


@kind
def sign_before_the_last_checkpoint(log: Log, k: int, place: Path) -> Wanted:
    log.sign(OURS, [511], late_s=60)
    return Wanted(511, SIZE)


@kind
def sign_outside_the_keys_time(log: Log, k: int, place: Path) -> Wanted:
    log.sign(OURS, [SIZE], late_s=20_000_000)
    return Wanted(511, SIZE)


@kind
def sign_before_the_leaf(log: Log, k: int, place: Path) -> Wanted:
    log.leaves[-1].at_ms += 10_000
    log.renumber()
    log.raise_tiles()
    log.sign(OURS, [SIZE])
    return Wanted(SIZE - 1)


@kind
def split_view(log: Log, k: int, place: Path) -> Wanted:
    kept = (log.notes[1], log.notes[-1])
    log.leaves[k].commitment = flipped(log.leaves[k].commitment)
    log.renumber()
    log.rows = []
    log.raise_tiles()
    log.sign(OURS)
    return Wanted(0, 90, kept) if k < 90 else Wanted(90, SIZE, kept)


@kind
def roll_back(log: Log, k: int, place: Path) -> Wanted:
    kept = (log.notes[-1],)
    size = max(k, 2)
    log.leaves, log.data, log.rows = log.leaves[:size], log.data[:size], log.rows[:size]
    log.sizes = [one for one in log.sizes if one < size] + [size]
    log.notes = []
    log.raise_tiles()
    log.sign(OURS)
    return Wanted(size, kept=kept)


@kind
def begin_again(log: Log, k: int, place: Path) -> Wanted:
    kept = (log.notes[3],)
    log.leaves = [Leaf(seq, START_MS + 100 * seq) for seq in range(SIZE)]
    for leaf in log.leaves:
        leaf.commitment = flipped(leaf.commitment)
    log.renumber()
    log.rows = []
    log.raise_tiles()
    log.sign(OURS)
    return Wanted(0, 300, kept)


@kind
def append_to_another_past(log: Log, k: int, place: Path) -> Wanted:
    kept = (log.notes[-1],)
    cut = min(k, SIZE - 3)
    log.leaves = [*log.leaves[:cut], *(Leaf(seq, START_MS + 100 * seq + 7) for seq in range(cut, SIZE))]
    log.renumber()
    log.rows = []
    log.raise_tiles()
    log.sign(OURS)
    return Wanted(0, SIZE, kept)


# Who edits opened entries


@kind
def edit_what_an_entry_says(log: Log, k: int, place: Path) -> Wanted:
    log.rows[k]["fields"] = log.leaves[k].fields.replace("key:created", "key:revoked")
    return Wanted(k)


@kind
def edit_details(log: Log, k: int, place: Path) -> Wanted:
    log.rows[k]["details"] = '{"number":"0x"}'
    return Wanted(k)


@kind
def swap_entries(log: Log, k: int, place: Path) -> Wanted:
    one, two = log.rows[k], log.rows[k + 1]
    one["id"], two["id"] = two["id"], one["id"]
    return Wanted(k)


@kind
def take_another_salt(log: Log, k: int, place: Path) -> Wanted:
    log.rows[k]["salt"] = log.rows[k + 1]["salt"]
    return Wanted(k)


def test_the_ways_to_forge_are_many() -> None:
    assert len(KINDS) >= 50


@pytest.mark.parametrize("name", KINDS)
def test_every_forgery_is_found_and_its_first_leaf_named(name: str, sizes: Sizes) -> None:
    @settings(max_examples=200 if sizes.long else 2)
    @given(st.integers(2, SIZE - 3))
    def forge(k: int) -> None:
        with tempfile.TemporaryDirectory() as directory:
            place = Path(directory)
            log = Log(SIZE, CHECKPOINTS)
            wanted = KINDS[name](log, k, place)
            assert wanted is not None
            if not (place / "checkpoint").exists():
                log.write(place)
            report = verify.check(place, keys=[KEY], kept=[verify.read_note(one) for one in wanted.kept])
            worst = report.worst
            assert worst is not None, "not found"
            assert (worst.leaf, worst.until) == (wanted.first, wanted.before), report.problems
            if wanted.kept:
                alone = verify.check(place, keys=[KEY])
                assert alone.problems == [], "then nothing had to be kept"

    forge()


@settings(max_examples=10)
@given(st.integers(1, 900), st.lists(st.integers(1, 900), max_size=6), st.booleans())
def test_an_honest_log_is_found_well(size: int, sizes: list[int], opened: bool) -> None:
    checkpoints = sorted({size, *(one for one in sizes if one <= size)})
    with tempfile.TemporaryDirectory() as directory:
        log = Log(size, checkpoints, opened=opened)
        kept = [verify.read_note(note) for note in log.notes]
        report = verify.check(log.write(Path(directory)), keys=[KEY], kept=kept)
        assert (report.problems, report.size, report.vouched) == ([], size, size)
        assert report.root == tree.root(log.hashes)
        assert report.signed == 2 * len(checkpoints)


def test_aged_entries_leave_a_log_that_verifies(tmp_path: Path) -> None:
    log = Log(SIZE, CHECKPOINTS)
    log.rows = log.rows[400:]
    assert verify.check(log.write(tmp_path), keys=[KEY]).problems == []


def test_what_the_operator_rewrites_is_found_only_by_what_others_kept(tmp_path: Path) -> None:
    """Said in the documents, and true: without a key and a checkpoint of one's own, a log vouches for itself."""
    log = Log(SIZE, CHECKPOINTS)
    kept = verify.read_note(log.notes[-1])
    log.leaves[5].commitment = bytes(32)
    log.renumber()
    log.rows = []
    log.raise_tiles()
    log.sign(OURS)
    place = log.write(tmp_path)
    assert verify.check(place, keys=[KEY]).problems == []
    assert verify.check(place, keys=[KEY], kept=[kept]).first_bad_leaf == 0
    assert sequencer.origin_of(UUID(int=1)) != ORIGIN
