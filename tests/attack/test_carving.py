"""The attacking tool finds what is there: each coding, each kind of sealing, in a page's middle, under a carved key."""

from __future__ import annotations

import gzip
import io
import os
import zipfile
import zlib
from collections.abc import Callable, Iterable

import pytest

from attack.carving import Attack, Sealing, forms, words
from ruxa.kernel import crypto

MARK = "kzq4f9w2"
PLAIN = f"{MARK}xname-".encode()
PLACE = b"access.member|name_sealed|anything"
INFO = "ruxa1|account|access.member|name_sealed"
DUAL = "ruxa1|content|content.item|request_sealed"


def _attack(kids: Iterable[bytes] = (), epochs: Iterable[bytes] = ()) -> Attack:
    sealings = [Sealing(INFO, False), Sealing(DUAL, True), Sealing("ruxa1|content|object|content.object", True)]
    return Attack(MARK, sealings, set(kids) | {os.urandom(8)}, set(epochs) | {os.urandom(8)})


@pytest.mark.parametrize("coding", sorted(forms(MARK)))
def test_sees_a_word_in_each_coding(coding: str) -> None:
    attack = _attack()
    attack.look("page", os.urandom(3000) + forms(MARK + "xname-" + "abc")[coding] + os.urandom(3000))
    assert {find.how for find in attack.finds} & {coding, "utf-8"}
    clean = _attack()
    clean.look("page", os.urandom(200_000))
    assert clean.solve({}) == []


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress])
def test_sees_a_word_in_compressed_data(pack: Callable[[bytes], bytes]) -> None:
    attack = _attack()
    attack.look("page", os.urandom(999) + pack((PLAIN + b" ") * 5) + os.urandom(999))
    assert words(attack.finds) == {"name"}


def test_sees_a_word_in_a_zip_and_in_postgresqls_compression() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data/member.json", (PLAIN + b" ") * 9)
    attack = _attack()
    attack.look("export", b"x" * 77 + file.getvalue())
    assert words(attack.finds) == {"name"}
    attack = _attack()
    attack.look("toast", os.urandom(50) + MARK[:5].encode() + b"\0" + MARK[5:].encode() + os.urandom(50))
    assert [find.how for find in attack.finds] == ["pglz"]


def test_opens_what_a_carved_key_sealed_wherever_both_lie() -> None:
    epoch, epoch_kid, key, kid = os.urandom(32), os.urandom(8), os.urandom(32), os.urandom(8)
    wrapped = crypto.seal(epoch, epoch_kid, key, b"anything")
    sealed = crypto.seal(crypto.derive(key, INFO), kid, PLAIN + b" and more", PLACE)
    for held in (True, False):
        attack = _attack({kid}, {epoch_kid})
        attack.look("heap", os.urandom(777) + sealed + os.urandom(77))
        attack.look("dump", b"COPY ... \\\\x" + wrapped.hex().encode() + b"\n")
        assert words(attack.solve({epoch_kid.hex(): epoch} if held else {})) == ({"name"} if held else set())


def test_opens_what_two_keys_sealed_only_with_both() -> None:
    subject, day, kid = os.urandom(32), os.urandom(32), os.urandom(8)
    sealed = crypto.seal(crypto.derive(subject, DUAL, day), kid, b'{"messages": "' + PLAIN, PLACE)
    for held, found in (((subject, day), {"name"}), ((subject,), set()), ((day,), set[str]())):
        attack = _attack({kid})
        attack.look("heap", os.urandom(11) + sealed)
        assert words(attack.solve({str(number): secret for number, secret in enumerate(held)})) == found


def test_opens_chunked_objects() -> None:
    subject, day, kid = os.urandom(32), os.urandom(32), os.urandom(8)
    key = crypto.derive(subject, "ruxa1|content|object|content.object", day)
    sealed = b"".join(crypto.seal_chunks(key, kid, PLACE, [PLAIN + b" and more", os.urandom(100_000)]))
    attack = _attack({kid})
    attack.look("object", sealed)
    assert words(attack.solve({"subject": subject})) == set()
    assert words(attack.solve({"subject": subject, "day": day})) == {"name"}
