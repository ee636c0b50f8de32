"""Epoch keys move from the directory to a key server and back while the house serves; what was destroyed stays so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from fixtures_database import Database
from key_servers import serving
from kms import ACCESS, REGION, RING, SECRET, SESSION, Aws, Google, service_account
from ruxa.app import custody
from ruxa.app.instance import Instance
from ruxa.egress.recipient import Register
from ruxa.kernel import settings
from ruxa.kernel.clock import Clock
from ruxa.kernel.errors import InvalidCall, Unavailable
from ruxa.kernel.settings import Settings
from ruxa.kernel.signals import JsonLines
from ruxa.store.vault import Vault
from transit import TOKEN, Transit

NAME = "access.member.name_sealed"


@pytest.fixture
def transit() -> Iterator[Transit]:
    with serving(Transit()) as server:
        yield server


def _settings(database: Database, **more: str) -> Settings:
    lines = ["[epoch_keys]", *(f'{name} = "{value}"' for name, value in more.items())]
    file = database.keys.parent / "ruxa.toml"
    file.write_text("\n".join(lines))
    flags = {"config": str(file), "data": str(database.keys.parent / "data"), "keys": str(database.keys.parent)}
    return settings.load(env={}, flags=flags)


async def _unlock(database: Database, found: Settings) -> Vault:
    # The database's keys lie in KEYS/<instance>.
    instance = Instance(id=UUID(database.keys.name), mode="demo", simulated=False, created="", machine="m")
    clock = Clock()
    epochs = custody.epoch_keys(found, instance, Register(JsonLines("test", clock)))
    return await Vault.unlock(database.address, epochs, clock=clock)


@pytest.fixture
def placed(database: Database) -> Database:
    """The keys directory as an instance has it."""
    place = database.keys.parent / "all" / uuid4().hex
    place.parent.mkdir(mode=0o700)
    database.keys = place
    return database


async def test_from_the_directory_to_the_key_server_and_back(
    placed: Database, transit: Transit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BAO_TOKEN", TOKEN)
    ada = uuid4()
    vault = await _unlock(placed, _settings(placed))
    assert vault.assurance.level == "L1"
    await vault.create_subject(ada)
    sealed = await vault.seal(NAME, ada, ada, "Ada")
    await vault.close()
    files = placed.keys / "epochs"

    async def readable(vault: Vault) -> None:
        assert (await vault.open(NAME, ada, ada, sealed, purpose="provide")).open("provide") == "Ada"

    server = {"url": transit.url, "token": "env:BAO_TOKEN"}
    vault = await _unlock(placed, _settings(placed, keeper="openbao", **server))
    assert vault.assurance.level == "L2"
    # The old epoch is read where it is; a new one is made at the server, and then the file is gone.
    await readable(vault)
    assert len(list(files.iterdir())) == 1
    await vault.rotate_epoch()
    assert list(files.iterdir()) == []
    assert len(transit.keys) == 1
    await readable(vault)
    await vault.close()

    # Nothing opens without the server, and nobody takes that for a destroyed key.
    transit.sealed = True
    with pytest.raises(Unavailable) as caught:
        await _unlock(placed, _settings(placed, keeper="openbao", **server))
    assert caught.value.code == "keys_refused"
    transit.sealed = False

    vault = await _unlock(placed, _settings(placed, keeper="directory", **server))
    await readable(vault)
    await vault.rotate_epoch()
    assert transit.keys == {}
    assert len(list(files.iterdir())) == 1
    await vault.close()
    # The server is needed no more.
    vault = await _unlock(placed, _settings(placed))
    await readable(vault)
    await vault.close()


async def test_from_one_cloud_to_another_and_home(placed: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("KMS_ACCESS", ACCESS), ("KMS_SECRET", SECRET), ("KMS_SESSION", SESSION)):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("GOOGLE_FILE", service_account())
    ada = uuid4()
    with serving(Aws()) as aws, serving(Google()) as google:
        amazon = {
            "aws_region": REGION, "aws_access_key": "env:KMS_ACCESS", "aws_secret_key": "env:KMS_SECRET",
            "aws_session_token": "env:KMS_SESSION", "aws_url": aws.url,
        }  # fmt: skip
        cloud = {"google_key_ring": RING, "google_credentials": "env:GOOGLE_FILE", "google_url": google.url}
        vault = await _unlock(placed, _settings(placed, keeper="aws", **amazon))
        await vault.create_subject(ada)
        sealed = await vault.seal(NAME, ada, ada, "Ada")
        assert (vault.assurance.provider, vault.assurance.level, vault.rotates_at.days) == ("aws", "L2", 6)
        assert not (placed.keys / "epochs").exists()
        await vault.close()
        for keeper, days, named in (
            # An epoch that Google still has, or will have, ends a day earlier.
            ("google", 5, amazon | cloud),
            ("directory", 5, cloud),
            ("aws", 6, amazon),
        ):
            vault = await _unlock(placed, _settings(placed, keeper=keeper, **named))
            assert vault.rotates_at.days == days
            await vault.rotate_epoch()
            assert (await vault.open(NAME, ada, ada, sealed, purpose="provide")).open("provide") == "Ada"
            await vault.close()
            living = [key for key in aws.keys.values() if key["KeyState"] == "Enabled"]
            held = [key for key in google.keys.values() if key["state"] == "ENABLED"]
            files = list((placed.keys / "epochs").glob("*.key"))
            assert (len(living), len(held), len(files)) == tuple(
                keeper == name for name in ("aws", "google", "directory")
            )


@pytest.mark.parametrize(
    "more",
    [
        {"keeper": "aws", "aws_region": "eu-central-1"},
        {"keeper": "google"},
        {"keeper": "openbao"},
        {"keeper": "openbao", "url": "https://b"},
        {"keeper": "aws", "aws_region": "x/../y", "aws_access_key": "env:A", "aws_secret_key": "env:B"},
        {"token": TOKEN},
        {"keeper": "x"},
    ],
)
async def test_what_is_not_whole_is_refused(placed: Database, more: dict[str, str]) -> None:
    with pytest.raises(InvalidCall) as caught:
        await _unlock(placed, _settings(placed, **more))
    assert TOKEN not in caught.value.public


def test_the_token_is_shown_as_a_fingerprint_only(placed: Database) -> None:
    found = _settings(placed, keeper="openbao", url="https://bao.example:8200", token="env:BAO_TOKEN")
    shown = {name: value for name, value, _ in settings.explain(found, env={"BAO_TOKEN": TOKEN})}
    assert shown["epoch_keys.token"].startswith("env:BAO_TOKEN (sha256 ")
    assert TOKEN not in str(shown)
    assert Path(shown["epoch_keys.url"]).name == "bao.example:8200"
