"""ruxa-verify as an auditor has it: one file, bare Python, no network; its Ed25519 agrees with others'."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit_logs import KEY, ORIGIN, OURS, THEIRS, Log, put
from ruxa.access.audit import notes, published, tree, verify

VKEY = notes.vkey(ORIGIN, OURS.public)


@pytest.fixture
def alone(tmp_path: Path) -> Path:
    """The program by itself, as it is downloaded."""
    file = tmp_path / "alone" / "ruxa-verify.py"
    put(file, published.verifier())
    return file


def run(alone: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """In bare Python: no site packages, no environment, nowhere to import ours or `cryptography` from."""
    command = [sys.executable, "-I", "-S", str(alone), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=alone.parent, env={}, timeout=60)


def test_it_needs_nothing_and_tells_by_its_exit_code(alone: Path, tmp_path: Path) -> None:
    log = Log(300, [1, 200, 300])
    place = log.write(tmp_path / "log")
    good = run(alone, "check", place, "--key", VKEY, "--checkpoint", place / "checkpoint")
    assert (good.returncode, good.stderr) == (0, "")
    assert good.stdout.splitlines()[-1] == "All is well."
    assert "your" not in good.stdout
    shown = json.loads(run(alone, "check", place, "--json").stdout)
    assert (shown["ok"], shown["tree_size"], shown["first_bad_leaf"]) == (True, 300, None)
    assert (shown["checkpoints_verified"], shown["keys"]) == (3, "the log's own word")
    log.data[77] = log.data[76]
    bad = run(alone, "check", log.write(tmp_path / "bad"), "--key", VKEY)
    assert bad.returncode == 1
    assert bad.stdout.splitlines()[-1] == "First bad leaf: 77"
    shown = json.loads(run(alone, "check", tmp_path / "bad", "--json").stdout)
    assert (shown["ok"], shown["first_bad_leaf"]) == (False, 77)
    assert run(alone, "--help").returncode == 0
    assert run(alone, "check", "--help").returncode == 0


@pytest.mark.parametrize(
    "spoil",
    [
        lambda place: (place / "checkpoint").unlink(),
        lambda place: (place / "checkpoint").write_text("x"),
        lambda place: (place / "checkpoint").write_bytes(b"\xff\xfe\n\n"),
        lambda place: (place / "checkpoints.jsonl").write_text("{}\n"),
        lambda place: (place / "entries.jsonl").write_text('{"id": 7}\n'),
        lambda place: (place / "keys.json").write_text("[]"),
    ],
)
def test_what_cannot_be_read_is_2_and_no_traceback(alone: Path, tmp_path: Path, spoil: object) -> None:
    place = Log(10, [10]).write(tmp_path / "log")
    assert callable(spoil)
    spoil(place)
    done = run(alone, "check", place)
    assert done.returncode == 2
    assert done.stderr.startswith("ruxa-verify: ")
    assert "Traceback" not in done.stderr
    assert json.loads(run(alone, "check", place, "--json").stdout)["ok"] is None
    assert run(alone, "check", tmp_path / "nowhere").returncode == 2
    assert run(alone).returncode == 2


def test_a_leaf_is_proved_and_the_proof_stands_alone(alone: Path, tmp_path: Path) -> None:
    place = Log(700, [300, 700]).write(tmp_path / "log")
    proof = tmp_path / "leaf.tlog-proof"
    proof.write_text(run(alone, "prove", place, "433").stdout)
    assert run(alone, "proof", proof, "--key", VKEY).returncode == 0
    assert run(alone, "proof", proof).returncode == 2, "without a key it proves nothing"
    assert run(alone, "proof", proof, "--key", notes.vkey(ORIGIN, THEIRS.public)).returncode == 1
    text = proof.read_text()
    for old, new in (("index 433", "index 432"), ("extra ey", "extra ez"), ("\n700\n", "\n699\n")):
        assert old in text
        proof.write_text(text.replace(old, new, 1))
        assert run(alone, "proof", proof, "--key", VKEY).returncode == 1, new
    assert run(alone, "prove", place, "700").returncode == 2


def test_any_two_checkpoints_are_compared_by_public_tiles_or_a_proof(alone: Path, tmp_path: Path) -> None:
    log = Log(600, [1, 90, 256, 300, 599, 600])
    place = log.write(tmp_path / "log")
    files = {size: tmp_path / f"{size}" for size in log.sizes}
    for size, note in zip(log.sizes, log.notes, strict=True):
        files[size].write_text(note)
    for old, new in ((1, 90), (90, 600), (256, 300), (300, 300), (599, 600)):
        done = run(alone, "consistency", files[old], files[new], "--log", place, "--key", VKEY)
        assert (done.returncode, done.stdout) == (0, f"Checkpoint {new} continues {old}.\n")
    assert run(alone, "consistency", files[600], files[90], "--log", place).returncode == 1
    other = tmp_path / "other"
    other.write_text(notes.sign(ORIGIN, 90, tree.leaf_hash(b"other"), 1_795_000_010, OURS))
    done = run(alone, "consistency", other, files[600], "--log", place, "--key", VKEY, "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["problems"][0]["kind"] == "consistency"
    assert run(alone, "consistency", files[90], files[600]).returncode == 2


def test_cosignatures_of_witnesses_are_counted_and_checked(tmp_path: Path) -> None:
    log = Log(20, [20])
    body = log.notes[0].partition("\n\n")[0] + "\n"
    witness = verify.Key("witness.example", verify.COSIGNATURE, THEIRS.public)
    log.notes[0] += notes.cosign("witness.example", body, 1_795_000_100, THEIRS)
    report = verify.check(log.write(tmp_path / "good"), keys=[KEY], witnesses=[witness])
    assert (report.problems, report.cosigned, report.cosigned_at) == ([], 1, 1_795_000_100)
    vkey = notes.vkey("witness.example", THEIRS.public, verify.COSIGNATURE)
    assert verify.read_vkey(vkey) == witness
    log.notes[0] = log.notes[0][:-8] + "AAAAA==\n"
    assert [
        one.kind for one in verify.check(log.write(tmp_path / "bad"), keys=[KEY], witnesses=[witness]).problems
    ] == ["witness"]


def test_our_ed25519_agrees_with_another_on_good_and_bad_signatures() -> None:
    chance = random.Random(7)
    for number in range(6):
        key = Ed25519PrivateKey.from_private_bytes(chance.randbytes(32))
        public, message = key.public_key().public_bytes_raw(), chance.randbytes(number * 40)
        signature = key.sign(message)
        assert verify.verify_slowly(public, signature, message)
        for spoilt in (signature[:40], flip(signature, 3), flip(signature, 40), signature[:32] + bytes(32)):
            assert not verify.verify_slowly(public, spoilt, message)
            assert not verify.verify(public, spoilt, message)
        assert not verify.verify_slowly(public, signature, message + b"x")
        assert not verify.verify_slowly(flip(public, 9), signature, message)
        # The same signature with s + L must not count as a second one.
        more = int.from_bytes(signature[32:], "little") + 2**252 + 27742317777372353535851937790883648493
        assert not verify.verify_slowly(public, signature[:32] + more.to_bytes(32, "little"), message)


def test_ed25519_as_rfc_8032_has_it() -> None:
    public = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
    signature = bytes.fromhex(
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )
    assert verify.verify_slowly(public, signature, b"\x72")
    assert not verify.verify_slowly(public, signature, b"\x73")


def test_the_specifications_own_note_verifies() -> None:
    """C2SP signed-note's example, three lines longer than a text needs: read by hand, since it is no checkpoint."""
    key = verify.read_vkey("example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k")
    line = "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM="
    lines = ((key.name, verify._unbase64(line)[:4], verify._unbase64(line)[4:]),)
    assert verify.Note("", 0, b"", "This is an example message.\n", lines).signed_by(key) is True
    assert verify.Note("", 0, b"", "This is an example massage.\n", lines).signed_by(key) is False
    with pytest.raises(verify.Unreadable):
        verify.read_vkey("example.com/foo+530d903b+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k")


def flip(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
