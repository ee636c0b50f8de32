"""The contract with Google's Cloud KMS, against a small real HTTP server whose tokens Google's own library verifies.

It was NOT tried on the real Cloud KMS: what the API reference says is what the server here does, no more.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from key_servers import away, made, refused, serving, throttled
from kms import RING, Google, service_account
from ruxa.egress.google_kms import GoogleKms
from ruxa.egress.recipient import Register
from ruxa.kernel import ids
from ruxa.kernel.clock import Clock
from ruxa.kernel.errors import InvalidCall, Unavailable
from ruxa.kernel.signals import JsonLines

INSTANCE = UUID("01999999-7777-7777-8777-777777777777")


@pytest.fixture
def google() -> Iterator[Google]:
    with serving(Google()) as server:
        yield server


def of(google: Google, *, instance: UUID = INSTANCE, file: str | None = None, ring: str = RING) -> GoogleKms:
    return GoogleKms(
        ring,
        credentials=lambda: service_account() if file is None else file,
        instance=instance,
        register=Register(JsonLines("test", Clock())),
        url=google.url,
        pause_s=0.01,
    )


@pytest.fixture
async def kms(google: Google) -> AsyncIterator[GoogleKms]:
    kms = of(google)
    yield kms
    await kms.close()


def one(google: Google, epoch: UUID) -> dict[str, object]:
    return google.keys[f"{RING}/cryptoKeys/ruxa-{INSTANCE.hex[-20:]}-{epoch.hex}"]


async def test_made_read_destroyed(google: Google, kms: GoogleKms) -> None:
    first, second = ids.fresh(), ids.fresh()
    wrapped = await made(kms, first)
    assert one(google, first)["destroyScheduledDuration"] == "86400s"
    other = await kms.create(second)
    assert await kms.read(second, other) != await kms.read(first, wrapped)
    await kms.destroy(first, wrapped)
    assert one(google, first)["state"] == "DESTROY_SCHEDULED"
    await kms.destroy(first, wrapped)
    assert await kms.read(first, wrapped) is None
    one(google, first)["state"] = "DESTROYED"
    await kms.destroy(first, wrapped)
    assert await kms.read(first, wrapped) is None
    assert await kms.read(second, other) is not None
    # The day that Google waits is told and counted.
    assert kms.assurance.waits_h == 24
    assert "24 hours" in kms.assurance.limit


async def test_a_wrapped_key_opens_only_as_its_epochs(google: Google, kms: GoogleKms) -> None:
    first = ids.fresh()
    wrapped = await kms.create(first)
    await refused(kms.read(ids.fresh(), wrapped))
    other = of(google, instance=uuid4())
    with pytest.raises(Unavailable):
        await other.read(first, wrapped)
    await other.close()
    # The settings name another ring by now: the key is asked for where it was made.
    moved = of(google, ring=RING + "2")
    assert await moved.read(first, wrapped) == await kms.read(first, wrapped)
    await moved.destroy(first, wrapped)
    await moved.close()
    assert one(google, first)["state"] == "DESTROY_SCHEDULED"
    second = ids.fresh()
    await kms.create(second)
    assert await kms.read(second, b"aws1:arn|AAAA") is None
    await kms.destroy(second, b"aws1:arn|AAAA")
    assert one(google, second)["state"] == "ENABLED"


async def test_what_cannot_be_told_is_not_called_destroyed(google: Google, kms: GoogleKms) -> None:
    epoch = ids.fresh()
    wrapped = await kms.create(epoch)
    one(google, epoch)["state"] = "DISABLED"
    await refused(kms.read(epoch, wrapped))
    one(google, epoch)["state"] = "ENABLED"
    with pytest.raises(Unavailable):
        await kms.read(epoch, wrapped[:-8] + b"AAAAAAA=")
    google.deny = ":decrypt"
    with pytest.raises(Unavailable, match="403"):
        await kms.read(epoch, wrapped)
    google.deny = ":destroy"
    with pytest.raises(Unavailable, match="403"):
        await kms.destroy(epoch, wrapped)
    google.deny, google.deaf = "", True
    with pytest.raises(Unavailable, match="still has"):
        await kms.destroy(epoch, wrapped)
    google.deaf = False
    assert one(google, epoch)["state"] == "ENABLED"
    gone = of(google)
    await away(google, kms, gone, gone.read(epoch, wrapped))


async def test_a_longer_wait_than_was_asked_for_is_refused(google: Google, kms: GoogleKms) -> None:
    google.waits = "604800s"
    with pytest.raises(Unavailable, match="another key"):
        await kms.create(ids.fresh())
    google.waits = ""
    epoch = ids.fresh()
    wrapped = await kms.create(epoch)
    one(google, epoch)["destroyScheduledDuration"] = "604800s"
    for _ in range(2):
        with pytest.raises(Unavailable, match="longer"):
            await kms.destroy(epoch, wrapped)


async def test_throttled_calls_come_again_and_do_not_for_ever(google: Google, kms: GoogleKms) -> None:
    await throttled(google, kms, "429")


async def test_only_old_living_unknown_keys_of_this_instance_are_strays(google: Google, kms: GoogleKms) -> None:
    assert await kms.strays(set()) == []
    known, old, young, foreign, ended = (ids.fresh() for _ in range(5))
    for epoch in (known, old, young, ended):
        await kms.create(epoch)
    other = of(google, instance=uuid4())
    await other.create(foreign)
    await other.close()
    await kms.destroy(ended)
    past = (datetime.now(UTC) - timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M:%S.5Z")
    for name, key in google.keys.items():
        if young.hex not in name:
            key["createTime"] = past
    assert await kms.strays({known}) == [old]
    await kms.destroy(old)
    assert one(google, old)["state"] == "DESTROY_SCHEDULED"


async def test_without_a_key_file_the_machine_is_asked_for_its_token_once(google: Google) -> None:
    register = Register(JsonLines("test", Clock()))
    kms = GoogleKms(
        RING, credentials=None, instance=INSTANCE, register=register, url=google.url, metadata_url=google.url
    )
    epoch = ids.fresh()
    assert await kms.read(epoch, await kms.create(epoch)) is not None
    assert google.tokens == 1
    await kms.close()
    real = GoogleKms(RING, credentials=None, instance=INSTANCE, register=register)
    assert [one.name for one in register.find("metadata.google.internal", 80)] == ["google"]
    assert [one.name for one in register.find("cloudkms.googleapis.com", 443)] == ["google"]
    await real.close()


@pytest.mark.parametrize("file", ["{}", "no json", '{"client_email":"a","private_key_id":"b","private_key":"canary"}'])
async def test_a_file_that_is_no_key_file_is_not_shown(google: Google, file: str) -> None:
    kms = of(google, file=file)
    with pytest.raises(InvalidCall) as caught:
        await kms.create(ids.fresh())
    assert "canary" not in str(caught.value) + caught.value.public + caught.value.detail
    assert google.seen == []
    await kms.close()


@pytest.mark.parametrize("ring", ["", "keyRings/x", "projects/p/locations/l/keyRings/r/cryptoKeys/k", f"{RING}/../x"])
def test_a_ring_is_named_whole(ring: str) -> None:
    with pytest.raises(InvalidCall):
        GoogleKms(ring, credentials=None, instance=INSTANCE, register=Register(JsonLines("test", Clock())))
