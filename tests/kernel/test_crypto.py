"""Envelopes that open only where they belong, published test vectors, keys that are held for a minute."""

from __future__ import annotations

import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ruxa.kernel import crypto
from ruxa.kernel.errors import Broken

KEY = bytes(range(32))
KID = b"kid-0001"


@given(st.binary(max_size=300), st.binary(max_size=60))
def test_what_was_sealed_opens(value: bytes, place: bytes) -> None:
    envelope = crypto.seal(KEY, KID, value, place)
    assert envelope[:2] == b"\x01\x01"
    assert crypto.kid(envelope) == KID
    assert len(envelope) == len(value) + crypto.OVERHEAD_BYTES
    assert crypto.unseal(KEY, envelope, place) == value


def test_equal_values_give_different_envelopes() -> None:
    assert crypto.seal(KEY, KID, b"x", b"p") != crypto.seal(KEY, KID, b"x", b"p")


def test_every_changed_byte_is_noticed_but_the_name_of_the_key() -> None:
    envelope = crypto.seal(KEY, KID, b"ada", b"place")
    for position in range(len(envelope)):
        changed = bytearray(envelope)
        changed[position] ^= 1
        if 2 <= position < 10:
            # Which key to take is not a secret and not a proof: another key simply does not open it.
            continue
        with pytest.raises(Broken) as caught:
            crypto.unseal(KEY, bytes(changed), b"place")
        assert caught.value.code == "sealed_damaged"


@pytest.mark.parametrize("place", [b"", b"place2", b"Place"])
def test_another_place_does_not_open(place: bytes) -> None:
    with pytest.raises(Broken):
        crypto.unseal(KEY, crypto.seal(KEY, KID, b"ada", b"place"), place)


def test_another_key_does_not_open_and_the_error_has_no_past() -> None:
    with pytest.raises(Broken) as caught:
        crypto.unseal(bytes(32), crypto.seal(KEY, KID, b"ada", b"place"), b"place")
    assert caught.value.__context__ is None


@pytest.mark.parametrize("envelope", [b"", b"\x01", b"\x01\x01" + bytes(20), b"\x02\x01" + bytes(60), bytes(60)])
def test_what_is_no_envelope_is_refused(envelope: bytes) -> None:
    with pytest.raises(Broken):
        crypto.kid(envelope)


def test_aes_gcm_is_aes_256_gcm() -> None:
    # Test case 14 of the GCM specification: zero key, zero nonce, 16 zero bytes.
    envelope = (
        b"\x01\x01"
        + KID
        + bytes(12)
        + bytes.fromhex("cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919")
    )
    assert crypto.unseal(bytes(32), envelope, b"") == bytes(16)


def test_hkdf_is_rfc_5869() -> None:
    # Appendix A.1, first 32 of its 42 bytes; its info is not text there, so A.3 (no salt, no info) is taken.
    assert crypto.derive(bytes([0x0B]) * 22, "") == bytes.fromhex(
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d"
    )


def test_each_info_and_each_salt_gives_a_key_of_its_own() -> None:
    keys = {crypto.derive(KEY, info, salt) for info in ("a", "b") for salt in (None, b"s", b"t")}
    assert len(keys) == 6


def test_keyed_hash_is_hmac_sha256() -> None:
    # RFC 4231, test case 2.
    assert crypto.keyed_hash(b"Jefe", b"what do ya want for nothing?") == bytes.fromhex(
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    )
    assert crypto.keyed_hash(KEY, b"x") == hmac.new(KEY, b"x", "sha256").digest()


class Time:
    """A monotonic clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_ring_forgets_after_its_time() -> None:
    time = Time()
    ring: crypto.Ring[bytes] = crypto.Ring(ttl_s=60, size=10, monotonic=time)
    ring.put("a", b"1")
    time.now += 59.9
    assert ring.get("a") == b"1"
    # Being used does not prolong a key's life.
    time.now += 0.2
    assert ring.get("a") is None
    assert len(ring) == 0


def test_a_ring_keeps_the_most_used_and_drops_by_name() -> None:
    ring: crypto.Ring[int] = crypto.Ring(ttl_s=60, size=3)
    for n, name in enumerate(("a:1", "a:2", "b:1")):
        ring.put(name, n)
    assert ring.get("a:1") == 0
    ring.put("c:1", 3)
    assert ring.get("a:2") is None
    ring.drop("a:")
    assert ring.get("a:1") is None
    assert ring.get("b:1") == 2
    ring.clear()
    assert len(ring) == 0
