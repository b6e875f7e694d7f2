"""Onion services: reached through the configured proxy alone, under their name, which no resolver ever hears."""

from __future__ import annotations

import base64
import hashlib
import socket
import threading
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress

import pytest

from federation.outbound import AddressRefused, AddressRule, AnswerRefused, Outbound, Unreachable, checked_url


def onion(key: bytes = b"\x07" * 32, checksum: bytes | None = None, version: bytes = b"\x03") -> str:
    """The address of an onion service, as its key makes it."""
    made = hashlib.sha3_256(b".onion checksum" + key + version).digest()[:2]
    return base64.b32encode(key + (checksum or made) + version).decode().lower() + ".onion"


HOST = onion()
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"
AGREED, DONE = b"\x05\x00", b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00"


class Proxy:
    """A SOCKS 5 proxy that says one thing after another, whatever it is asked, and keeps what it heard."""

    def __init__(self, *says: bytes) -> None:
        self.says = says
        self.heard: list[bytes] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listening.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        try:
            while True:
                connection, _ = self._listening.accept()
                with connection:
                    for said in self.says:
                        self.heard.append(connection.recv(4096))
                        connection.sendall(said)
                    connection.recv(4096)
        except OSError:
            return

    def close(self) -> None:
        with suppress(OSError):  # closed before
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(5)


def never(host: str, port: int) -> Iterable[str]:
    raise AssertionError(f"{host} was looked up")


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    made = Proxy(AGREED, DONE, ANSWER)
    yield made
    made.close()


def client(proxy: str | None, **more: float) -> closing[Outbound]:
    return closing(Outbound([], None, proxy, resolve=never, **more))


def test_the_proxy_is_given_the_name_and_nobody_else_hears_it(proxy: Proxy) -> None:
    with client(proxy.address) as outbound:
        answer = outbound.request("GET", f"http://{HOST}/exchange?x")
    assert (answer.status, answer.body) == (200, b"hello")
    offered, asked, sent = proxy.heard
    assert offered == b"\x05\x01\x00"
    assert asked == b"\x05\x01\x00\x03" + bytes([len(HOST)]) + HOST.encode() + (80).to_bytes(2, "big")
    assert sent.startswith(b"GET /exchange?x HTTP/1.1\r\n")
    assert f"host: {HOST}".encode() in sent.lower()


def test_tls_begins_behind_the_proxy_with_the_service_itself(proxy: Proxy) -> None:
    with client(proxy.address) as outbound, pytest.raises(Unreachable):
        outbound.request("GET", f"https://{HOST}/")
    hello = proxy.heard[2]
    assert hello[0] == 22  # a TLS handshake, not a request that the proxy could read
    assert HOST.encode() in hello


def test_what_is_no_onion_service_does_not_go_to_the_proxy(proxy: Proxy) -> None:
    with client(proxy.address) as outbound, pytest.raises(AssertionError, match=r"river\.example was looked up"):
        outbound.request("GET", "https://river.example/")
    assert proxy.heard == []


def test_without_a_proxy_an_onion_service_cannot_be_reached() -> None:
    with client(None) as outbound, pytest.raises(AddressRefused, match="onion_proxy"):
        outbound.request("GET", f"https://{HOST}/")


@pytest.mark.parametrize("host", [HOST, f"{HOST}.", HOST.upper(), f"www.{HOST}", "onion", "x.onion"])
def test_the_name_of_an_onion_service_is_never_resolved(host: str) -> None:
    with pytest.raises(AddressRefused):
        AddressRule(resolve=never).addresses(host, 443, True)


@pytest.mark.parametrize("host", [HOST, HOST.upper(), f"www.{HOST}"])
def test_a_whole_onion_address_passes(host: str) -> None:
    assert checked_url(f"https://{host}/", onions=True).host == host.lower()


@pytest.mark.parametrize(
    "host",
    [f"{HOST}.", "b" + HOST[1:], HOST[1:], onion(checksum=b"\0\0"), onion(version=b"\x02"), "x.onion", "onion",
     "3g2upl4pq6kufc4m.onion", "8" * 56 + ".onion"],
)  # fmt: skip
def test_an_onion_address_that_was_mistyped_or_cut_is_refused(host: str) -> None:
    with pytest.raises(AddressRefused, match="whole onion address"):
        checked_url(f"https://{host}/", onions=True)


@pytest.mark.parametrize(
    "says",
    [
        pytest.param((b"\x05\xff",), id="no way to authenticate"),
        pytest.param((b"\x04\x5a",), id="another version"),
        pytest.param((b"HTTP/1.1 400 Bad Request\r\n\r\n",), id="no SOCKS proxy"),
        pytest.param((b"",), id="nothing"),
        pytest.param((AGREED, b"\x05\x05\x00\x01\x00\x00\x00\x00\x00\x00"), id="refused"),
        pytest.param((AGREED, b"\x05\x00"), id="cut off"),
    ],
)
def test_a_proxy_that_does_not_do_its_part_is_an_unreachable_peer(says: tuple[bytes, ...]) -> None:
    made = Proxy(*says)
    with client(made.address, read_seconds=0.5) as outbound, pytest.raises((Unreachable, AnswerRefused)):
        outbound.request("GET", f"http://{HOST}/", timeout=2.0)
    made.close()


def test_a_proxy_that_is_not_there_is_an_unreachable_peer(proxy: Proxy) -> None:
    proxy.close()
    with client(proxy.address) as outbound, pytest.raises(Unreachable):
        outbound.request("GET", f"http://{HOST}/")
