"""Long values in chunks: any change, move, loss or repetition of a chunk is noticed, at the latest at the end."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ruxa.kernel import crypto
from ruxa.kernel.errors import Broken

KEY, KID, PLACE = bytes(range(32)), b"kid-0001", b"content|2026-11-24|abc"
WHOLE = crypto.CHUNK_BYTES + 16


def sealed(value: bytes, place: bytes = PLACE) -> bytes:
    return b"".join(crypto.seal_chunks(KEY, KID, place, [value]))


def opened(envelope: bytes, place: bytes = PLACE, key: bytes = KEY) -> bytes:
    return b"".join(crypto.open_chunks(key, place, [envelope]))


@pytest.mark.parametrize(
    "size", [0, 1, WHOLE, crypto.CHUNK_BYTES - 1, crypto.CHUNK_BYTES, crypto.CHUNK_BYTES + 1, 200_000]
)
def test_what_was_sealed_opens_whatever_the_pieces(size: int) -> None:
    value = os.urandom(size)
    envelope = sealed(value)
    assert crypto.chunks_kid(envelope[: crypto.CHUNKS_HEAD_BYTES]) == KID
    for step in (1000, 65_536, 1 << 20):
        pieces = [value[at : at + step] for at in range(0, size, step)]
        again = b"".join(crypto.seal_chunks(KEY, KID, PLACE, pieces))
        assert len(again) == len(envelope)
        assert again != envelope
        parts = [again[at : at + step] for at in range(0, len(again), step)]
        assert b"".join(crypto.open_chunks(KEY, PLACE, parts)) == value
    chunks = max(1, -(-size // crypto.CHUNK_BYTES))
    assert len(envelope) == crypto.CHUNKS_HEAD_BYTES + size + 16 * chunks


@given(st.data())
def test_every_flipped_bit_is_noticed(data: st.DataObject) -> None:
    envelope = bytearray(_LONG)
    position = data.draw(st.integers(0, len(envelope) - 1))
    envelope[position] ^= 1 << data.draw(st.integers(0, 7))
    if 2 <= position < 10:
        return  # the name of the key: another one simply does not open it
    with pytest.raises(Broken):
        opened(bytes(envelope))


_LONG = sealed(bytes(3 * crypto.CHUNK_BYTES + 7))
HEAD, BODY = _LONG[: crypto.CHUNKS_HEAD_BYTES], _LONG[crypto.CHUNKS_HEAD_BYTES :]
CHUNKS = [BODY[at : at + WHOLE] for at in range(0, len(BODY), WHOLE)]


@pytest.mark.parametrize(
    "forged",
    [
        HEAD + b"".join(CHUNKS[:-1]),
        HEAD + b"".join(CHUNKS[1:]),
        HEAD + b"".join([CHUNKS[1], CHUNKS[0], *CHUNKS[2:]]),
        HEAD + b"".join([CHUNKS[0], CHUNKS[0], *CHUNKS[2:]]),
        HEAD + b"".join([*CHUNKS, CHUNKS[-1]]),
        HEAD + b"".join(CHUNKS)[:-1],
        HEAD + b"".join(CHUNKS) + b"x",
        sealed(b"other")[: crypto.CHUNKS_HEAD_BYTES] + BODY,
        HEAD,
        HEAD[:-1],
        b"",
    ],
    ids=[
        "cut",
        "beheaded",
        "swapped",
        "repeated",
        "longer",
        "short",
        "tail",
        "other head",
        "empty",
        "no head",
        "nothing",
    ],
)
def test_chunks_cannot_be_rearranged(forged: bytes) -> None:
    with pytest.raises(Broken) as caught:
        opened(forged)
    assert caught.value.__context__ is None


def test_another_place_or_key_does_not_open() -> None:
    for place, key in ((b"content|2026-11-25|abc", KEY), (PLACE, bytes(32))):
        with pytest.raises(Broken):
            opened(_LONG, place, key)


def test_what_is_given_before_the_end_is_authentic() -> None:
    opener = crypto.ChunkOpener(KEY, PLACE)
    assert opener.feed(HEAD + CHUNKS[0] + b"x") == bytes(crypto.CHUNK_BYTES)
    with pytest.raises(Broken):
        opener.feed(CHUNKS[1])
