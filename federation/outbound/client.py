"""The one HTTP client: addresses checked after resolution and pinned, no redirects, no proxies of the environment,
caps on size and time.

Nothing else in the project opens a connection to another machine. A name is resolved once per connection, and the
connection goes to the very address that was checked, while TLS still verifies the name. Onion services are reached
through the configured SOCKS proxy, which is given their name.
"""

from __future__ import annotations

import contextlib
import ipaddress
import ssl
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from functools import cache
from pathlib import Path
from typing import Any

import httpcore2
import httpx2
import socksio
from socksio.socks5 import (
    SOCKS5AuthMethod,
    SOCKS5AuthMethodsRequest,
    SOCKS5AuthReply,
    SOCKS5Command,
    SOCKS5CommandRequest,
    SOCKS5Connection,
    SOCKS5Reply,
    SOCKS5ReplyCode,
)

from federation.errors import Unavailable
from federation.outbound.addresses import AddressRule, Resolver, Unreachable, checked_url, resolved

MAX_BYTES = 1 << 20
MAX_LINE = 1 << 20
MAX_PAUSE = 86_400
CONNECT_SECONDS = 10.0


class AnswerRefused(Unavailable):
    """The answer is too long, too slow, or in an encoding that was not asked for."""


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


class _ThroughProxy(httpcore2.NetworkBackend):
    """Connects through the operator's SOCKS 5 proxy (RFC 1928), which is given the name, and not at all without it."""

    def __init__(self, proxy: str, clock: _Deadline) -> None:
        host, _, port = proxy.rpartition(":")
        self._proxy = host.removeprefix("[").removesuffix("]"), int(port)
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
        del timeout  # what a service behind several relays takes to be reached is bounded by the request's time alone
        left = self._clock.left(CONNECT_SECONDS)
        stream = _Stream(self._inner.connect_tcp(*self._proxy, left, local_address, socket_options), self._clock)
        try:
            _through(stream, host, port)
        except BaseException as failed:
            stream.close()
            if isinstance(failed, socksio.SOCKSError):
                raise httpcore2.ProxyError("the SOCKS proxy did not connect") from failed
            raise
        return stream


def _through(stream: _Stream, host: str, port: int) -> None:
    """Ask the proxy at the other end of the stream to connect it on. Raises SOCKSError."""
    spoken = SOCKS5Connection()
    greeting = SOCKS5AuthMethodsRequest([SOCKS5AuthMethod.NO_AUTH_REQUIRED])
    wanted = SOCKS5CommandRequest.from_address(SOCKS5Command.CONNECT, (host, port))
    for request, agreed in ((greeting, _agreed), (wanted, _connected)):
        spoken.send(request)
        stream.write(spoken.data_to_send())
        if not agreed(spoken.receive_data(stream.read(512))):
            raise socksio.ProtocolError("the proxy refuses")


def _agreed(said: object) -> bool:
    return isinstance(said, SOCKS5AuthReply) and said.method is SOCKS5AuthMethod.NO_AUTH_REQUIRED


def _connected(said: object) -> bool:
    return isinstance(said, SOCKS5Reply) and said.reply_code is SOCKS5ReplyCode.SUCCEEDED


@cache
def _usual_authorities() -> ssl.SSLContext:
    """The authorities that everybody trusts, read once for all clients of a process: it takes 30 ms."""
    return httpcore2.default_ssl_context(_trust_env=False)


def _transport(context: ssl.SSLContext, backend: httpcore2.NetworkBackend) -> httpx2.HTTPTransport:
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
    """The client. `allow_private` are CIDR ranges that the operator listed; `ca_file` replaces the trusted authorities;
    `onion_proxy` (address:port, SOCKS 5) is the only way to onion services, which cannot be reached without.

    Thread-safe. `resolve` is what tests put in the place of the resolver."""

    def __init__(
        self,
        allow_private: Iterable[str] = (),
        ca_file: Path | None = None,
        onion_proxy: str | None = None,
        *,
        connect_seconds: float = CONNECT_SECONDS,
        read_seconds: float = 30.0,
        resolve: Resolver = resolved,
    ) -> None:
        rule = AddressRule(tuple(ipaddress.ip_network(block) for block in allow_private), resolve)
        self._clock = _Deadline()
        context = _usual_authorities() if ca_file is None else ssl.create_default_context(cafile=str(ca_file))
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._onions = onion_proxy is not None
        mounts = {"http://": _transport(context, _Backend(rule, False, self._clock))}
        if onion_proxy is not None:
            mounts["all://*.onion"] = _transport(context, _ThroughProxy(onion_proxy, self._clock))
        self._client = httpx2.Client(
            transport=_transport(context, _Backend(rule, True, self._clock)),
            mounts=mounts,
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
        parsed = checked_url(url, onions=self._onions)
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


def retry_after(headers: Mapping[str, str], now: int) -> int | None:
    """The seconds that an answer asks to wait (RFC 9110, 10.2.3: a number or a date), a day at most; None if none."""
    said = headers.get("retry-after", "").strip()
    if said.isascii() and said.isdecimal():
        return min(int(said[:9]), MAX_PAUSE)
    try:
        return min(max(int(parsedate_to_datetime(said).timestamp()) - now, 0), MAX_PAUSE)
    except (ValueError, TypeError, OverflowError):
        return None


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
