"""The logins' secret: made once, private, and the only thing from which passwords follow."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from ruxa.kernel.errors import Unavailable
from ruxa.store.logins import LOGINS, Logins


def test_is_made_once_and_private(tmp_path: Path) -> None:
    keys = tmp_path / "a" / "keys"
    first = Logins.load(keys)
    assert Logins.load(keys).password("ruxa_owner") == first.password("ruxa_owner")
    assert (keys / "logins").stat().st_mode & 0o777 == 0o600
    assert keys.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in keys.iterdir()] == ["logins"]


def test_two_at_once_agree(tmp_path: Path) -> None:
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.append(Logins.load(tmp_path / "keys").password("ruxa_owner")))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1


def test_each_login_has_a_password_of_its_own_fit_for_a_url() -> None:
    logins = Logins(bytes(range(32)))
    passwords = {logins.password(login) for login in LOGINS}
    assert len(passwords) == len(LOGINS)
    assert all(len(password) == 43 and password.replace("-", "").replace("_", "").isalnum() for password in passwords)
    assert Logins(bytes(32)).password("ruxa_owner") not in passwords
    assert "password" not in repr(logins)
    assert not hasattr(logins, "__dict__")


@pytest.mark.parametrize(
    ("mode", "content", "code"), [(0o640, bytes(32), "keys_exposed"), (0o600, b"x", "keys_damaged")]
)
def test_a_secret_others_can_read_or_that_is_damaged_is_refused(
    tmp_path: Path, mode: int, content: bytes, code: str
) -> None:
    (tmp_path / "logins").write_bytes(content)
    (tmp_path / "logins").chmod(mode)
    with pytest.raises(Unavailable) as caught:
        Logins.load(tmp_path)
    assert caught.value.code == code
    assert str(tmp_path) in caught.value.public


def test_a_place_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("not a directory")
    with pytest.raises(Unavailable) as caught:
        Logins.load(tmp_path / "keys")
    assert caught.value.code == "keys_unreadable"
    assert str(tmp_path) in caught.value.public
