"""The contract with OpenBao's transit engine, against a small real HTTP server that speaks its documented API.

It was NOT tried on the real OpenBao (decision D50): what the API reference says is what the server here does, no more.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from uuid import UUID, uuid4

import pytest

from key_servers import away, made, refused, serving
from ruxa.egress.openbao import OpenBao
from ruxa.egress.recipient import Register
from ruxa.kernel import ids
from ruxa.kernel.errors import InvalidCall, Unavailable
from ruxa.kernel.signals import Field, Level
from transit import TOKEN, Transit

INSTANCE = UUID(int=7)


class Told:
    """Keeps what was told."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Field]]] = []

    def emit(self, event: str, level: Level = "info", **fields: Field) -> None:
        self.events.append((event, fields))


@pytest.fixture
def transit() -> Iterator[Transit]:
    with serving(Transit()) as server:
        yield server


def of(transit: Transit, instance: UUID = INSTANCE, token: str = TOKEN) -> OpenBao:
    return OpenBao(transit.url, token=lambda: token, instance=instance, register=Register(Told()))


@pytest.fixture
async def bao(transit: Transit) -> AsyncIterator[OpenBao]:
    bao = of(transit)
    yield bao
    await bao.close()


async def test_made_read_destroyed(transit: Transit, bao: OpenBao) -> None:
    first, second = ids.fresh(), ids.fresh()
    wrapped = await made(bao, first)
    assert wrapped.startswith(b"vault:v1:")
    assert list(transit.keys) == [f"ruxa-{INSTANCE.hex}-{first.hex}"]
    assert transit.keys[f"ruxa-{INSTANCE.hex}-{first.hex}"]["deletion_allowed"] is True
    other = await bao.create(second)
    assert await bao.read(second, other) != await bao.read(first, wrapped)
    await bao.destroy(first)
    await bao.destroy(first)
    # The bytes in the row are worth nothing now.
    assert await bao.read(first, wrapped) is None
    assert await bao.read(second, other) is not None
    assert bao.assurance.level == "L2"


async def test_a_wrapped_key_opens_only_as_its_epochs(transit: Transit, bao: OpenBao) -> None:
    first, second = ids.fresh(), ids.fresh()
    wrapped = await bao.create(first)
    await bao.create(second)
    # Even under the very same transit key.
    transit.keys[f"ruxa-{INSTANCE.hex}-{second.hex}"] = transit.keys[f"ruxa-{INSTANCE.hex}-{first.hex}"]
    await refused(bao.read(second, wrapped))


async def test_what_cannot_be_told_is_not_called_destroyed(transit: Transit, bao: OpenBao) -> None:
    epoch = ids.fresh()
    wrapped = await bao.create(epoch)
    damaged = wrapped[:-8] + b"AAAAAAA="
    with pytest.raises(Unavailable):
        await bao.read(epoch, damaged)
    transit.sealed = True
    await refused(bao.read(epoch, wrapped))
    transit.sealed = False
    wrong = of(transit, token="s.other")
    with pytest.raises(Unavailable) as caught:
        await wrong.read(epoch, wrapped)
    assert TOKEN not in repr(caught.value) + caught.value.public + caught.value.detail
    await wrong.close()
    gone = of(transit)
    await away(transit, bao, gone, gone.read(epoch, wrapped))


async def test_a_key_that_could_leave_or_stay_is_refused(transit: Transit, bao: OpenBao) -> None:
    transit.exportable = True
    with pytest.raises(Unavailable, match="could leave"):
        await bao.create(ids.fresh())
    transit.exportable = False
    epoch = ids.fresh()
    await bao.create(epoch)
    transit.deaf = True
    with pytest.raises(Unavailable, match="still has a key"):
        await bao.destroy(epoch)


async def test_only_old_unknown_keys_of_this_instance_are_strays(transit: Transit, bao: OpenBao) -> None:
    assert await bao.strays(set()) == []
    known, old, young, foreign = ids.fresh(), ids.fresh(), ids.fresh(), ids.fresh()
    for epoch in (known, old, young):
        await bao.create(epoch)
    other = of(transit, instance=uuid4())
    await other.create(foreign)
    await other.close()
    transit.keys["somebody-elses"] = {"secret": bytes(32), "deletion_allowed": False, "at": 1}
    for name, key in transit.keys.items():
        if young.hex not in name:
            key["at"] = int(time.time()) - 7200
    assert await bao.strays({known}) == [old]


@pytest.mark.parametrize("url", ["http://bao.example", "ftp://127.0.0.1", "bao.example:8200", ""])
def test_the_token_never_travels_in_the_clear(url: str) -> None:
    with pytest.raises(InvalidCall):
        OpenBao(url, token=lambda: TOKEN, instance=INSTANCE, register=Register(Told()))


async def test_a_token_that_would_split_the_request_is_not_sent_nor_shown(transit: Transit) -> None:
    bao = of(transit, token=f"{TOKEN}\r\nx-evil: 1")
    with pytest.raises(Unavailable) as caught:
        await bao.create(ids.fresh())
    assert not transit.seen
    assert TOKEN not in str(caught.value) + caught.value.detail
    await bao.close()
