"""The contract with AWS KMS, against a small real HTTP server that checks every signature and keeps keys as KMS does.

It was NOT tried on the real KMS: what the API reference says is what the server here does, no more.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from uuid import UUID, uuid4

import pytest

from key_servers import away, made, refused, serving, throttled
from kms import ACCESS, REGION, SECRET, SESSION, Aws
from ruxa.egress import keyserver
from ruxa.egress.aws_kms import AwsKms
from ruxa.egress.http import Deadlines
from ruxa.egress.recipient import Register
from ruxa.egress.sigv4 import Credentials
from ruxa.kernel import ids
from ruxa.kernel.clock import Clock
from ruxa.kernel.errors import InvalidCall, Unavailable
from ruxa.kernel.signals import JsonLines

INSTANCE = UUID(int=7)


@pytest.fixture
def aws() -> Iterator[Aws]:
    with serving(Aws()) as server:
        yield server


def of(
    aws: Aws, *, instance: UUID = INSTANCE, secret: str = SECRET, session: str = SESSION, region: str = REGION
) -> AwsKms:
    return AwsKms(
        region,
        credentials=lambda: Credentials(ACCESS, secret, session),
        instance=instance,
        register=Register(JsonLines("test", Clock())),
        url=aws.url,
        pause_s=0.01,
    )


@pytest.fixture
async def kms(aws: Aws) -> AsyncIterator[AwsKms]:
    kms = of(aws)
    yield kms
    await kms.close()


def one(aws: Aws, epoch: UUID) -> dict[str, object]:
    return aws.keys[aws.aliases[f"alias/ruxa-{INSTANCE.hex}-{epoch.hex}"]["TargetKeyId"]]


async def test_made_read_destroyed(aws: Aws, kms: AwsKms) -> None:
    first, second = ids.fresh(), ids.fresh()
    wrapped = await made(kms, first)
    assert one(aws, first)["tags"] == [{"TagKey": "ruxa", "TagValue": INSTANCE.hex}]
    other = await kms.create(second)
    assert await kms.read(second, other) != await kms.read(first, wrapped)
    await kms.destroy(first, wrapped)
    # At once, not in a week: the material itself is gone.
    assert one(aws, first)["material"] is None
    assert one(aws, first)["KeyState"] == "PendingDeletion"
    await kms.destroy(first, wrapped)
    assert await kms.read(first, wrapped) is None
    assert await kms.read(second, other) is not None
    # AWS deletes key and alias in the end: still destroyed, and still fine to destroy.
    aws.keys.pop(str(one(aws, first)["Arn"]))
    await kms.destroy(first, wrapped)
    assert await kms.read(first, wrapped) is None
    assert kms.assurance.level == "L2"
    assert kms.assurance.waits_h == 0
    assert all(set(context) == {"ruxa", "instance", "epoch"} for context in aws.contexts)


async def test_a_wrapped_key_opens_only_as_its_epochs(aws: Aws, kms: AwsKms) -> None:
    first, second = ids.fresh(), ids.fresh()
    wrapped = await kms.create(first)
    await refused(kms.read(second, wrapped))
    other = of(aws, instance=uuid4())
    with pytest.raises(Unavailable):
        await other.read(first, wrapped)
    await other.close()
    # Another provider's is none of ours, whichever way it is asked about.
    assert await kms.read(first, b"vault:v1:AAAA") is None
    await kms.destroy(first, b"vault:v1:AAAA")
    assert one(aws, first)["KeyState"] == "Enabled"


async def test_what_cannot_be_told_is_not_called_destroyed(aws: Aws, kms: AwsKms) -> None:
    epoch = ids.fresh()
    wrapped = await kms.create(epoch)
    elsewhere = of(aws, region="us-east-1")
    for action in (elsewhere.read(epoch, wrapped), elsewhere.destroy(epoch, wrapped)):
        with pytest.raises(Unavailable, match="another region"):
            await action
    await elsewhere.close()
    one(aws, epoch)["KeyState"] = "Disabled"
    await refused(kms.read(epoch, wrapped))
    one(aws, epoch)["KeyState"] = "Enabled"
    for wrong in (of(aws, secret="other"), of(aws, session="other")):
        with pytest.raises(Unavailable, match="InvalidSignatureException") as caught:
            await wrong.read(epoch, wrapped)
        assert SECRET not in repr(caught.value) + caught.value.public + caught.value.detail
        await wrong.close()
    aws.deny = "Decrypt"
    with pytest.raises(Unavailable, match="AccessDenied"):
        await kms.read(epoch, wrapped)
    aws.deny = "DeleteImportedKeyMaterial"
    with pytest.raises(Unavailable, match="AccessDenied"):
        await kms.destroy(epoch, wrapped)
    aws.deny, aws.deaf = "", True
    with pytest.raises(Unavailable, match="still has"):
        await kms.destroy(epoch, wrapped)
    assert one(aws, epoch)["KeyState"] == "Enabled"


async def test_throttled_calls_come_again_and_do_not_for_ever(aws: Aws, kms: AwsKms) -> None:
    aws.late = 3
    await throttled(aws, kms, "Throttling")


async def test_a_server_that_is_away_or_says_nothing_is_away(
    aws: Aws, kms: AwsKms, monkeypatch: pytest.MonkeyPatch
) -> None:
    epoch = ids.fresh()
    wrapped = await kms.create(epoch)
    monkeypatch.setattr(keyserver, "_DEADLINES", Deadlines(connect_s=1, first_byte_s=0.3, between_s=1, whole_s=2))
    aws.silent = True
    with pytest.raises(Unavailable) as caught:
        await kms.read(epoch, wrapped)
    assert (caught.value.code, caught.value.detail) == ("keys_away", "aws first_byte_timeout")
    aws.silent = False
    gone = of(aws)
    await away(aws, kms, gone, gone.destroy(epoch, wrapped))


async def test_a_key_that_kms_made_itself_is_refused(aws: Aws, kms: AwsKms) -> None:
    aws.origin = "AWS_KMS"
    with pytest.raises(Unavailable, match="another key"):
        await kms.create(ids.fresh())
    aws.origin = "EXTERNAL"
    epoch = ids.fresh()
    wrapped = await kms.create(epoch)
    one(aws, epoch)["Origin"] = "AWS_KMS"
    with pytest.raises(Unavailable, match="not made for this"):
        await kms.destroy(epoch, wrapped)


async def test_what_a_crash_left_behind_is_found_and_ended(aws: Aws, kms: AwsKms) -> None:
    assert await kms.strays(set()) == []
    known, old, young, foreign, half, dying = (ids.fresh() for _ in range(6))
    for epoch in (known, old, young):
        await kms.create(epoch)
    other = of(aws, instance=uuid4())
    await other.create(foreign)
    await other.close()
    # Killed before the material was there, and between its deletion and the key's.
    aws.deny = "ImportKeyMaterial"
    with pytest.raises(Unavailable):
        await kms.create(half)
    aws.deny = "ScheduleKeyDeletion"
    wrapped = await _made(aws, kms, dying)
    with pytest.raises(Unavailable):
        await kms.destroy(dying, wrapped)
    aws.deny = ""
    for name, alias in aws.aliases.items():
        if young.hex not in name:
            alias["CreationDate"] = time.time() - 7200
    strays = await kms.strays({known})
    assert strays == [old, half, dying]
    for epoch in strays:
        await kms.destroy(epoch)
        assert one(aws, epoch)["KeyState"] == "PendingDeletion"
        assert one(aws, epoch).get("material") is None
    assert await kms.strays({known}) == []


async def _made(aws: Aws, kms: AwsKms, epoch: UUID) -> bytes:
    denied, aws.deny = aws.deny, ""
    wrapped = await kms.create(epoch)
    aws.deny = denied
    return wrapped


@pytest.mark.parametrize("url", ["http://kms.example", "ftp://127.0.0.1", "kms.example:8200"])
def test_nothing_travels_in_the_clear(url: str) -> None:
    register = Register(JsonLines("test", Clock()))
    with pytest.raises(InvalidCall):
        AwsKms(REGION, credentials=lambda: Credentials("a", "b"), instance=INSTANCE, register=register, url=url)
    assert register.destinations() == {}


async def test_who_is_asked_is_in_the_register(aws: Aws) -> None:
    register = Register(JsonLines("test", Clock()))
    kms = AwsKms(REGION, credentials=lambda: Credentials("a", "b"), instance=INSTANCE, register=register, where="DE")
    (there,) = register.find("kms.eu-central-1.amazonaws.com", 443)
    assert (there.name, there.role, there.where, there.what) == ("aws", "storage", "DE", ("system.authentication",))
    await kms.close()
