"""The address guard: what is never dialled when somebody else chose the address."""

from __future__ import annotations

import asyncio
import ipaddress
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ruxa.egress import guard
from ruxa.egress.http import Origin, Pool
from ruxa.egress.recipient import Register
from ruxa.egress.timers import Wheel
from ruxa.kernel.errors import Forbidden, NoUpstream
from wire_parts import SOMEBODY, Told

PUBLIC = ["8.8.8.8", "1.1.1.1", "93.184.216.34", "2606:4700:4700::1111", "2a00:1450:4001:80b::200e", "::ffff:8.8.8.8"]
NEVER = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.8",
    "192.0.2.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "64:ff9b::a00:1",
    "64:ff9b:1::1",
    "100::1",
    "192.88.99.1",
    "2001:2::1",
    "2001:db8::1",
    "3fff::1",
    "2002:7f00:1::",
    "2002:a00:1::1",
    "2001:0:53aa:64c:0:fbff:80ff:fffe",
    "fc00::1",
    "fd12:3456::1",
    "fe80::1",
    "fe80::1%eth0",
    "2606:4700:4700::1111%eth0",
    "fec0::1",
    "ff02::1",
    "4000::1",
    "not an address",
    "",
]


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_pass(address: str) -> None:
    guard.check(address)


@pytest.mark.parametrize("address", NEVER)
def test_the_rest_is_refused(address: str) -> None:
    with pytest.raises(Forbidden) as caught:
        guard.check(address)
    assert caught.value.code == "address_refused"
    assert address not in caught.value.public or address == ""


def test_loopback_passes_only_in_development() -> None:
    guard.check("127.0.0.1", allow_loopback=True)
    guard.check("::1", allow_loopback=True)
    with pytest.raises(Forbidden):
        guard.check("10.0.0.1", allow_loopback=True)


@given(st.ip_addresses(v=4))
def test_no_way_to_write_an_address_changes_the_verdict(plain: ipaddress.IPv4Address) -> None:
    verdict = guard.is_global_unicast(plain)
    for written in (f"::ffff:{plain}", f"64:ff9b::{plain}"):
        assert guard.is_global_unicast(ipaddress.ip_address(written)) == verdict


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "127.1", "::1"])
async def test_a_name_is_judged_by_what_it_resolves_to(host: str) -> None:
    with pytest.raises((Forbidden, NoUpstream)):
        await guard.resolve(host, 80, guarded=True)


async def test_one_bad_address_among_good_ones_refuses_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    async def both(*_: object, **__: object) -> list[object]:
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("8.8.8.8", 80)),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 80)),
        ]

    loop = asyncio.get_running_loop()

    class Loop:
        getaddrinfo = staticmethod(both)

    monkeypatch.setattr(guard.asyncio, "get_running_loop", lambda: Loop)
    try:
        with pytest.raises(Forbidden):
            await guard.resolve("rebinding.test", 80, guarded=True)
        assert await guard.resolve("rebinding.test", 80, guarded=False) == ["8.8.8.8", "127.0.0.1"]
    finally:
        monkeypatch.undo()
    assert loop is asyncio.get_running_loop()


async def test_a_guarded_origin_is_not_dialled_even_when_declared() -> None:
    reached = False

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal reached
        reached = True
        writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    register = Register(Told())
    register.allow(SOMEBODY, "127.0.0.1", port)
    pool = Pool(register, wheel=Wheel())
    upstream = pool.upstream(Origin(host="127.0.0.1", port=port, tls=False, guarded=True))
    answer = upstream.ask(upstream.head("GET", "/", {}))
    with pytest.raises(NoUpstream) as caught:
        await answer.head()
    assert caught.value.code == "address_refused"
    assert answer.sent == "none"
    assert not reached
    await pool.close()
    server.close()
