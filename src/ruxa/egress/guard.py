"""Where we never connect when somebody else chose the address: anything but global unicast (decision D8).

A URL that a customer or a third party supplies may name a host of our own network, or a name that resolves to one.
So a host is resolved once, every address it resolves to must pass, and the address that passed is the one dialled:
a second look-up could answer otherwise.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from typing import cast

from ruxa.kernel.errors import Forbidden, NoUpstream

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Special-purpose blocks (RFC 6890 and later) that one Python version or another calls global.
_SPECIAL = tuple(
    ipaddress.ip_network(block)
    for block in (
        "0.0.0.0/8",
        "100.64.0.0/10",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "240.0.0.0/4",
        "2001::/23",
        "2001:db8::/32",
        "3fff::/20",
    )
)

# Prefixes that carry an IPv4 address inside an IPv6 one; the inner address is what would be reached.
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_NAT64_LOCAL = ipaddress.IPv6Network("64:ff9b:1::/48")
_COMPATIBLE = ipaddress.IPv6Network("::/96")
_SITE_LOCAL = ipaddress.IPv6Network("fec0::/10")
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")


def is_global_unicast(address: Address) -> bool:
    """Whether ``address`` is a public host's: not loopback, private, link-local, shared, multicast, reserved or a
    tunnel to one of those."""
    if isinstance(address, ipaddress.IPv4Address):
        return _ordinary(address)
    if address.scope_id is not None:
        return False
    inner = _inner(address)
    if inner is not None:
        return is_global_unicast(inner)
    if address in _NAT64_LOCAL or address in _SITE_LOCAL or address not in _GLOBAL_UNICAST:
        return False
    return _ordinary(address)


def _ordinary(address: Address) -> bool:
    special = any(address.version == block.version and address in block for block in _SPECIAL)
    return address.is_global and not address.is_multicast and not address.is_reserved and not special


def _inner(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    if address in _NAT64 or address in _COMPATIBLE:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return None


def check(address: str, *, allow_loopback: bool = False) -> None:
    """Raises Forbidden ``address_refused`` unless ``address`` is global unicast (or loopback, in development)."""
    try:
        plain = ipaddress.ip_address(address)
    except ValueError:
        plain = None
    if plain is not None and (is_global_unicast(plain) or (allow_loopback and plain.is_loopback)):
        return
    raise Forbidden("This URL leads to an address that is never called.", code="address_refused")


async def resolve(host: str, port: int, *, guarded: bool, allow_loopback: bool = False) -> list[str]:
    """The addresses of ``host``, in the system's order.

    guarded: raises Forbidden when one of them is not global unicast, even if another is. Raises NoUpstream
    ``name_unknown`` when the name does not resolve.
    """
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    except (OSError, UnicodeError):
        raise NoUpstream("The provider's name does not resolve.", code="name_unknown", detail=f"host={host}") from None
    addresses: list[str] = []
    for _, _, _, _, where in found:
        address = cast("tuple[str, int]", where)[0]
        if guarded:
            check(address, allow_loopback=allow_loopback)
        addresses.append(address)
    return addresses
