"""Who asks, as an address: the socket's, or behind a proxy that the operator named what that proxy says.

Nothing that a caller writes into a header counts by itself. Pure.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

KEPT = 4096
MOST_HOPS = 32
MOST_BYTES = 2048
UNKNOWN = "unknown"
"""The address of a caller at a socket without addresses."""
IPV6_PREFIX = 64
"""What one household or host gets at least: whoever has one such address has them all."""

RawHeaders = Iterable[tuple[bytes, bytes]]
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_FOR = re.compile(r'for=("(?:[^"\\]|\\.)*"|[^;,\s]+)', re.IGNORECASE)


def callers(trusted: Sequence[str]) -> Callable[[str | None, RawHeaders], str]:
    """A function (address of the socket, raw headers) -> the address that limits count: IPv4 whole, IPv6 by its /64.

    `trusted` are the proxies (CIDR). What one of them says is walked from its end: the first address that is no trusted
    proxy is who asked. Where proxies say two things, or nothing that can be read, the last address that is known for
    sure counts.
    """
    networks = tuple(ipaddress.ip_network(each) for each in trusted)

    @lru_cache(KEPT)
    def known(text: str) -> tuple[_Address | None, bool]:
        address = _address(text)
        return address, address is not None and any(address in each for each in networks)

    def caller(peer: str | None, headers: RawHeaders) -> str:
        address, is_proxy = known(peer or "")
        if is_proxy:
            for hop in reversed(_hops(headers)):
                said, is_proxy = known(hop)
                address = said or address
                if said is None or not is_proxy:
                    break
        return UNKNOWN if address is None else _grouped(address)

    return caller


def _hops(headers: RawHeaders) -> list[str]:
    """The addresses that the proxies wrote down, the last one's last. A header of the other kind, which a proxy may
    have passed on as its caller sent it, must say the same, or neither counts."""
    listed: list[bytes] = []
    forwarded: list[bytes] = []
    for name, value in headers:
        if name == b"x-forwarded-for":
            listed.append(value)
        elif name == b"forwarded":
            forwarded.append(value)
    if sum(map(len, (*listed, *forwarded))) > MOST_BYTES:
        return []
    plain = [part.strip() for part in b",".join(listed).decode("latin-1").split(",")] if listed else []
    named = [part.strip('"') for part in _FOR.findall(b",".join(forwarded).decode("latin-1"))] if forwarded else []
    if listed and forwarded and [_address(each) for each in plain] != [_address(each) for each in named]:
        return []
    return (plain or named)[-MOST_HOPS:]


def _address(text: str) -> _Address | None:
    """The address in `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1` or `[2001:db8::1]:80`; None for anything else."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return mapped or found


@lru_cache(KEPT)
def _grouped(address: _Address) -> str:
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    return str(ipaddress.IPv6Network((address, IPV6_PREFIX), strict=False))
