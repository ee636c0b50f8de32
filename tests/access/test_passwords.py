"""Passwords: what is refused, and that hashing is dear, peppered and bounded."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError
from hypothesis import given
from hypothesis import strategies as st

from fixtures_access import REAL_COSTS, House, set_costs
from ruxa.access import passwords
from ruxa.kernel.errors import InvalidCall, Unavailable
from ruxa.kernel.sealed import Sealed

PERSONAL = (Sealed("grace.hopper@navy.example.org"), Sealed("Grace Brewster Hopper"))


def verdict(password: str) -> str:
    said: list[InvalidCall] = []
    try:
        passwords.check(Sealed(password), PERSONAL)
    except InvalidCall as error:
        said.append(error)
    assert not any(password in f"{one} {one!r} {one.public} {one.detail}" for one in said)
    return said[0].code if said else "good"


@pytest.mark.parametrize(
    ("password", "code"),
    [
        ("elevenchars", "password_short"),
        ("\U0001f600" * 11, "password_short"),
        ("a" * 257, "password_long"),
        ("aaaaaaaaaaaaaaa", "password_common"),
        ("abcabcabcabcabc", "password_common"),
        ("123456789012", "password_common"),
        ("098765432109", "password_common"),
        ("qwertyuiop123", "password_common"),
        ("abcdefghijklm", "password_common"),
        ("Password12345", "password_common"),
        ("P@ssw0rd!2026", "password_common"),
        ("!!!welcome!!!", "password_common"),
        ("Administrator1", "password_common"),
        ("letmeinletmein", "password_common"),
        ("sunshine-1999-", "password_common"),
        ("dragonmonkey12", "password_common"),
        ("correcthorsebatterystaple", "password_common"),
        ("xx-hopper-xx-77", "password_personal"),
        ("my GRACE period", "password_personal"),
        ("navy and blues 4", "password_personal"),
        ("ruxa-is-a-tool-1", "password_personal"),
    ],
)
def test_what_attackers_try_first_is_refused(password: str, code: str) -> None:
    assert verdict(password) == code


@pytest.mark.parametrize(
    "password",
    [
        "plum-ferry-oak-9",
        "vK3#pQ9!zR7x",
        "seven tall ships sail north",
        "柳暗花明又一村春风不度玉门关",
        "organs of steel",
        "\U0001f600\U0001f680\U0001f33b\U0001f40c\U0001f9ca\U0001f3b2" * 2 + "k",
    ],
)
def test_good_passwords_are_taken(password: str) -> None:
    assert verdict(password) == "good"


@given(st.text(min_size=12, max_size=64))
def test_the_check_never_breaks(password: str) -> None:
    verdict(password)


async def test_hashes_are_argon2id_salted_peppered_and_normalised(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_costs(monkeypatch, *REAL_COSTS)
    hasher = passwords.Hasher(house.vault)
    composed, decomposed = Sealed("caf\u00e9 au lait 12"), Sealed("cafe\u0301 au lait 12")
    one, two = await hasher.hash(composed), await hasher.hash(composed)
    assert one != two
    assert one.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert await hasher.verify(one, decomposed)
    assert not await hasher.verify(one, Sealed("caf\u00e9 au lait 13"))
    assert not await hasher.verify("$argon2id$broken", composed)
    assert not hasher.outdated(one)
    # Without the pepper the stored hash cannot even be guessed at.
    with pytest.raises(VerifyMismatchError):
        PasswordHasher().verify(one, composed.open("security"))
    hasher.close()


async def test_nobodys_password_takes_as_long_and_is_wrong(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    set_costs(monkeypatch, *REAL_COSTS)
    hasher = passwords.Hasher(house.vault)
    stored = await hasher.hash(Sealed("plum-ferry-oak-9"))
    took: list[float] = []
    for against in (stored, None):
        since = time.perf_counter()
        assert not await hasher.verify(against, Sealed("plum-ferry-oak-8"))
        took.append(time.perf_counter() - since)
    assert took[1] > took[0] / 4
    assert not await hasher.verify(None, Sealed("nobody has this password"))
    hasher.close()


class SlowArgon2:
    """Counts how many hashes run at once and lets them run until told."""

    def __init__(self) -> None:
        self.lock, self.go = threading.Lock(), threading.Event()
        self.running = self.most = 0

    def hash(self, secret: bytes) -> str:
        with self.lock:
            self.running += 1
            self.most = max(self.most, self.running)
        self.go.wait(5)
        with self.lock:
            self.running -= 1
        return "$argon2id$"


async def test_only_so_many_hash_at_once_and_only_so_many_wait(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    hasher, slow = passwords.Hasher(house.vault, at_once=2, waiting_max=3), SlowArgon2()
    monkeypatch.setattr(hasher, "_argon2", slow)
    tasks = [asyncio.create_task(hasher.hash(Sealed(f"password number {number}"))) for number in range(8)]
    done, waiting = await asyncio.wait(tasks, timeout=0.3)
    assert len(done) == 3
    assert all(isinstance(task.exception(), Unavailable) for task in done)
    assert {task.exception().code for task in done} == {"hashing_busy"}  # type: ignore[union-attr]
    # A caller who leaves does not free the place of a hash that runs; one who waited does.
    first = next(task for task in tasks if task in waiting)
    first.cancel()
    await asyncio.sleep(0.05)
    with pytest.raises(Unavailable):
        await hasher.hash(Sealed("one more password"))
    slow.go.set()
    await asyncio.wait(waiting)
    assert slow.most == 2
    assert (await hasher.hash(Sealed("now there is room"))).startswith("$argon2id$")
    hasher.close()


def test_the_list_is_lower_case_and_sorted() -> None:
    words = list(passwords._known())
    assert len(words) > 400
    assert all(word == word.casefold() and len(word) >= 4 for word in words)
