"""The one HTTP client: addresses checked after resolution and pinned, no redirects, no proxies, caps on size and time.

Nothing else in the project opens a connection to another machine. A name is resolved here, once per connection, and
the connection goes to the very address that was checked, while TLS still verifies the name.
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpcore2
import httpx2

from federation.errors import BadInput, Unavailable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Resolver = Callable[[str, int], Iterable[str]]

MAX_BYTES = 1 << 20
MAX_LINE = 1 << 20
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


class AnswerRefused(Unavailable):
    """The answer is too long, too slow, or in an encoding that was not asked for."""


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


def _resolve(host: str, port: int) -> Iterable[str]:
    return dict.fromkeys(
        str(found[4][0]).partition("%")[0] for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    )


@dataclass(frozen=True)
class AddressRule:
    """Which addresses may be connected to: public ones over TLS, and those in `allowed`, also without TLS."""

    allowed: tuple[Network, ...] = ()
    resolve: Resolver = _resolve

    def listed(self, address: Address) -> bool:
        """Whether the operator listed this address."""
        address = plain(address)
        return any(address.version == block.version and address in block for block in self.allowed)

    def addresses(self, host: str, port: int, encrypted: bool) -> list[str]:
        """The addresses of a host that may be connected to, in the order given. Raises AddressRefused, Unreachable."""
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


def checked_url(url: str) -> httpx2.URL:
    """The URL, if its form is one to connect to. Raises AddressRefused: scheme, credentials, port, host."""
    try:
        parsed = httpx2.URL(url)
    except (httpx2.InvalidURL, TypeError, ValueError) as broken:
        raise AddressRefused("This is no web address.") from broken
    host = parsed.raw_host.decode("ascii")
    if parsed.scheme not in ("https", "http") or not host or parsed.userinfo or parsed.fragment:
        raise AddressRefused("An address must be https://, with a host and without user name or fragment.")
    if parsed.port is not None and not 1 <= parsed.port <= 65535:
        raise AddressRefused("A port must be between 1 and 65535.")
    if host.rstrip(".").endswith(".onion"):
        raise AddressRefused("Onion addresses are not reached without a SOCKS proxy, and never resolved here.")
    if "%" in host:
        raise AddressRefused("The host of an address is malformed.")
    if ":" not in host and re.fullmatch(r"(0x[0-9a-f]*|[0-9]+)", host.rstrip(".").rpartition(".")[2], re.IGNORECASE):
        try:
            ipaddress.IPv4Address(host)
        except ValueError as odd:
            raise AddressRefused("A numeric host must be written as four decimal numbers.") from odd
    return parsed


class _Stream(httpcore2.NetworkStream):
    """A network stream that no single read or write may hold beyond the deadline of its thread's request."""

    def __init__(self, inner: httpcore2.NetworkStream, clock: _Deadline) -> None:
        self._inner = inner
        self._clock = clock

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, self._clock.left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, self._clock.left(timeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, self._clock.left(timeout)), self._clock)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class _Deadline(threading.local):
    """When the request that this thread is working on has to be over."""

    until: float | None = None

    def left(self, timeout: float | None) -> float | None:
        """The time that one read or write may take. Raises ReadTimeout once the request's time is used up."""
        if self.until is None:
            return timeout
        remaining = self.until - time.monotonic()
        if remaining <= 0:
            raise httpcore2.ReadTimeout("the request's time is used up")
        return remaining if timeout is None else min(timeout, remaining)

    @contextlib.contextmanager
    def at(self, until: float) -> Iterator[None]:
        before, self.until = self.until, until
        try:
            yield
        finally:
            self.until = before


class _Backend(httpcore2.NetworkBackend):
    """Connects to addresses that the rule lets pass, and to the very ones that it has seen."""

    def __init__(self, rule: AddressRule, encrypted: bool, clock: _Deadline) -> None:
        self._rule = rule
        self._encrypted = encrypted
        self._clock = clock
        self._inner = httpcore2.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Any = None,
    ) -> httpcore2.NetworkStream:
        failure: Exception = httpcore2.ConnectError("no address")
        for address in self._rule.addresses(host, port, self._encrypted)[:4]:
            try:
                left = self._clock.left(timeout)
                stream = self._inner.connect_tcp(address, port, left, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as failed:
                failure = failed
            else:
                return _Stream(stream, self._clock)
        raise failure


def _transport(context: ssl.SSLContext, backend: _Backend) -> httpx2.HTTPTransport:
    transport = httpx2.HTTPTransport(verify=context, trust_env=False)
    # httpx2 has no argument for the network backend; the pool that it made has opened nothing yet.
    transport._pool = httpcore2.ConnectionPool(
        ssl_context=context,
        max_connections=64,
        max_keepalive_connections=16,
        keepalive_expiry=15.0,
        network_backend=backend,
    )
    return transport


@dataclass(frozen=True)
class Response:
    """A whole answer; `headers` have lower-case names, the last of a repeated one counts."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


@dataclass(frozen=True)
class StreamedResponse:
    """An answer that is still coming: `chunks` gives its bytes as they arrive, within the caps."""

    status: int
    headers: Mapping[str, str]
    chunks: Iterator[bytes] = field(repr=False)

    def read(self) -> bytes:
        """The rest of the body."""
        return b"".join(self.chunks)


class Outbound:
    """The client. `allow_private` are CIDR ranges that the operator listed; `ca_file` replaces the trusted authorities.

    Thread-safe. `resolve` is what tests put in the place of the resolver."""

    def __init__(
        self,
        allow_private: Iterable[str] = (),
        ca_file: Path | None = None,
        *,
        connect_seconds: float = 10.0,
        read_seconds: float = 30.0,
        resolve: Resolver = _resolve,
    ) -> None:
        rule = AddressRule(tuple(ipaddress.ip_network(block) for block in allow_private), resolve)
        self._clock = _Deadline()
        context = httpcore2.default_ssl_context(_trust_env=False)
        if ca_file is not None:
            context = ssl.create_default_context(cafile=str(ca_file))
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._client = httpx2.Client(
            transport=_transport(context, _Backend(rule, True, self._clock)),
            mounts={"http://": _transport(context, _Backend(rule, False, self._clock))},
            timeout=httpx2.Timeout(read_seconds, connect=connect_seconds, pool=connect_seconds),
            trust_env=False,
            follow_redirects=False,
        )

    def close(self) -> None:
        """Close what is open."""
        self._client.close()

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        max_bytes: int = MAX_BYTES,
        timeout: float = 60.0,
    ) -> Response:
        """Send one request and read the whole answer, whatever its status; a redirect is an answer like any other.

        `max_bytes` caps the body, `timeout` is the time of everything together, in seconds. Raises AddressRefused,
        AnswerRefused, Unreachable."""
        with self.stream(method, url, headers=headers, content=content, max_bytes=max_bytes, timeout=timeout) as answer:
            return Response(answer.status, answer.headers, answer.read())

    @contextlib.contextmanager
    def stream(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        max_bytes: int = MAX_BYTES,
        timeout: float = 60.0,
    ) -> Iterator[StreamedResponse]:
        """As `request`, but the body comes as it arrives. No encoding is asked for unless `headers` do; the bytes are
        then still encoded, and decoding within a cap is the caller's part."""
        parsed = checked_url(url)
        until = time.monotonic() + timeout
        sent = {"accept-encoding": "identity", "user-agent": "federation"}
        sent |= {name.lower(): value for name, value in (headers or {}).items()}
        request = self._client.build_request(method, parsed, headers=sent, content=content)
        with _named_errors(parsed.host), self._clock.at(until):
            answer = self._client.send(request, stream=True, follow_redirects=False)
        try:
            found = {name.lower(): value for name, value in answer.headers.items()}
            _check_head(found, sent["accept-encoding"], max_bytes)
            yield StreamedResponse(answer.status_code, found, self._chunks(answer, parsed.host, max_bytes, until))
        finally:
            answer.close()

    def _chunks(self, answer: httpx2.Response, host: str, max_bytes: int, until: float) -> Iterator[bytes]:
        received = 0
        raw = answer.iter_raw()
        while True:
            with _named_errors(host), self._clock.at(until):
                chunk = next(raw, None)
            if chunk is None:
                return
            received += len(chunk)
            if received > max_bytes:
                raise AnswerRefused(f"The answer of {host} is longer than {max_bytes} bytes.")
            yield chunk


def lines(chunks: Iterable[bytes], *, max_bytes: int, max_line: int = MAX_LINE) -> Iterator[bytes]:
    """Cut bytes into lines. A last line without line feed is not given: it was cut off. Raises AnswerRefused."""
    total, rest = 0, b""
    for chunk in chunks:
        total += len(chunk)
        if total > max_bytes:
            raise AnswerRefused(f"An answer is longer than {max_bytes} bytes once unpacked.")
        *whole, rest = (rest + chunk).split(b"\n")
        if len(rest) > max_line or any(len(line) > max_line for line in whole):
            raise AnswerRefused(f"A line of an answer is longer than {max_line} bytes.")
        yield from whole


def _check_head(headers: Mapping[str, str], accepted: str, max_bytes: int) -> None:
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", *(part.partition(";")[0].strip().lower() for part in accepted.split(","))):
        raise AnswerRefused("The answer is in an encoding that was not asked for.")
    length = headers.get("content-length", "0")
    if length.isdecimal() and int(length[:20]) > max_bytes:
        raise AnswerRefused(f"The answer is longer than {max_bytes} bytes.")


@contextlib.contextmanager
def _named_errors(host: str) -> Iterator[None]:
    try:
        yield
    except httpx2.TimeoutException as late:
        raise AnswerRefused(f"{host} did not answer in time.") from late
    except (httpx2.ReadError, httpx2.RemoteProtocolError) as cut:
        raise Unreachable(f"The connection to {host} broke off before the answer's end.") from cut
    except (httpx2.TransportError, httpx2.InvalidURL) as failed:
        raise Unreachable(f"No connection to {host}: {type(failed).__name__}.") from failed
