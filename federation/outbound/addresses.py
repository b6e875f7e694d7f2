"""Which addresses this node may connect to: the form of a URL, and the networks that its host leads to.

A name is resolved here alone; one that ends in .onion never is.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import re
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import httpx2

from federation.errors import BadInput, Unavailable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Resolver = Callable[[str, int], Iterable[str]]

_NOT_PUBLIC_4 = tuple(
    ipaddress.IPv4Network(block)
    for block in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24",
        "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3",
    )
)  # fmt: skip
_PUBLIC_6 = ipaddress.IPv6Network("2000::/3")
_NOT_PUBLIC_6 = tuple(
    ipaddress.IPv6Network(block)
    for block in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "2620:4f:8000::/48")
)
_TRANSLATED = tuple(ipaddress.IPv6Network(block) for block in ("64:ff9b::/96", "::/96"))


class AddressRefused(BadInput):
    """The address is none that this node may connect to: its scheme, port or network is not allowed."""


class Unreachable(Unavailable):
    """No connection, or it broke."""


def plain(address: Address) -> Address:
    """The IPv4 address inside a mapped, compatible or NAT64 IPv6 one; any other as it is."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if int(address) > 1 and any(address in block for block in _TRANSLATED):
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def is_public(address: Address) -> bool:
    """Whether an address is one of the public internet (IANA special-purpose registries, multicast and the tunnels
    that carry other addresses left out)."""
    address = plain(address)
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in block for block in _NOT_PUBLIC_4)
    return address in _PUBLIC_6 and not any(address in block for block in _NOT_PUBLIC_6)


def resolved(host: str, port: int) -> Iterable[str]:
    """The addresses that the system's resolver gives for a name."""
    return dict.fromkeys(
        str(found[4][0]).partition("%")[0] for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    )


@dataclass(frozen=True)
class AddressRule:
    """Which addresses may be connected to: public ones over TLS, and those in `allowed`, also without TLS."""

    allowed: tuple[Network, ...] = ()
    resolve: Resolver = resolved

    def listed(self, address: Address) -> bool:
        """Whether the operator listed this address."""
        address = plain(address)
        return any(address.version == block.version and address in block for block in self.allowed)

    def addresses(self, host: str, port: int, encrypted: bool) -> list[str]:
        """The addresses of a host that may be connected to, in the order given. Raises AddressRefused, Unreachable."""
        if is_onion(host):
            raise AddressRefused("The name of an onion service is never resolved.")
        try:
            found = [ipaddress.ip_address(text) for text in self.resolve(host.strip("[]"), port)]
        except (OSError, UnicodeError) as unknown:
            raise Unreachable(f"The name {host} is not known; check the address and the connection.") from unknown
        fit = [str(ip) for ip in found if self.listed(ip) or (encrypted and is_public(ip))]
        if not fit:
            raise AddressRefused(
                f"{host} leads to no address that this node may connect to; private ones have to be listed in "
                "allow_private_peers, and only those may go without TLS."
            )
        return fit


def is_onion(host: str) -> bool:
    """Whether a host is an onion service's: a name that must never be asked of a resolver."""
    return host.lower().rstrip(".").rpartition(".")[2] == "onion"


def checked_url(url: str, *, onions: bool = False) -> httpx2.URL:
    """The URL, if its form is one to connect to; one of an onion service only where `onions` can be reached. Raises
    AddressRefused: scheme, credentials, port, host."""
    try:
        parsed = httpx2.URL(url)
    except (httpx2.InvalidURL, TypeError, ValueError) as broken:
        raise AddressRefused("This is no web address.") from broken
    host = parsed.raw_host.decode("ascii")
    if parsed.scheme not in ("https", "http") or not host or parsed.userinfo or parsed.fragment:
        raise AddressRefused("An address must be https://, with a host and without user name or fragment.")
    if parsed.port is not None and not 1 <= parsed.port <= 65535:
        raise AddressRefused("A port must be between 1 and 65535.")
    if "%" in host:
        raise AddressRefused("The host of an address is malformed.")
    if is_onion(host):
        _check_onion(host, onions)
    else:
        _check_numeric(host)
    return parsed


def _check_onion(host: str, reached: bool) -> None:
    """A whole address of the third version: a key of 32 bytes, a checksum, the version (Tor's rend-spec-v3, 6)."""
    if not reached:
        raise AddressRefused(
            "Onion services are reached through a SOCKS proxy only, and never resolved here; set onion_proxy."
        )
    name = host.removesuffix(".onion").rpartition(".")[2]
    try:
        raw = base64.b32decode(name.upper())
    except ValueError:
        raw = b""
    key, checksum, version = raw[:32], raw[32:34], raw[34:]
    known = hashlib.sha3_256(b".onion checksum" + key + version).digest()[:2]
    if len(name) != 56 or version != b"\x03" or checksum != known:
        raise AddressRefused("This is not a whole onion address; copy it again, from first sign to last.")


def _check_numeric(host: str) -> None:
    """Refuse numbers in other forms than four decimal ones, which resolvers read in several ways."""
    last = host.rstrip(".").rpartition(".")[2]
    if ":" in host or not re.fullmatch(r"(0x[0-9a-f]*|[0-9]+)", last, re.IGNORECASE):
        return
    try:
        ipaddress.IPv4Address(host)
    except ValueError as odd:
        raise AddressRefused("A numeric host must be written as four decimal numbers.") from odd
