"""The outbound client: which addresses it connects to, and what it takes from there."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from federation.outbound import (
    AddressRefused,
    AnswerRefused,
    Outbound,
    Unreachable,
    checked_url,
    is_public,
    lines,
)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.255.0.1", "0.0.0.1", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1", "100.127.255.255", "192.0.0.8", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1",
        "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255", "192.88.99.1",
        "::1", "::", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254",
        "64:ff9b::127.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b:1::1", "fe80::1", "fec0::1", "fc00::1", "fd12::1",
        "ff02::1",
        "2001:db8::1", "2002:7f00:1::1", "2001::1", "3fff::1", "100::1",
    ],
)  # fmt: skip
def test_row_49_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["1.1.1.1", "100.128.0.1", "172.32.0.1", "2606:4700::1111", "64:ff9b::1.1.1.1"])
def test_addresses_that_are_public(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "url",
    [
        "ftp://a.example/", "file:///etc/passwd", "gopher://a/", "//a.example/", "a.example", "", "https://",
        "https://a.example:0/", "https://a.example:70000/", "https://user:pw@a.example/", "https://a.example/#x",
        "https://2130706433/", "https://0x7f000001/", "https://0x7f.1/", "https://127.1/", "https://0177.0.0.1/",
        "https://a.example.123/", "https://[fe80::1%25eth0]/", "https://x.onion/", "https://x.onion./",
    ],
)  # fmt: skip
def test_row_49_addresses_of_another_form_are_refused(url: str) -> None:
    with pytest.raises(AddressRefused):
        checked_url(url)


@pytest.mark.parametrize(
    "url",
    ["https://a.example", "http://127.0.0.1:8701/x?y", "https://[2606:4700::1]/", "https://xn--bcher-kva.example/"],
)
def test_addresses_of_the_right_form_pass(url: str) -> None:
    checked_url(url)


class Answers(BaseHTTPRequestHandler):
    """Says what the path asks for."""

    protocol_version = "HTTP/1.1"
    seen: list[tuple[str, dict[str, str]]]

    def do_GET(self) -> None:
        self.server.seen.append((self.path, {k.lower(): v for k, v in self.headers.items()}))  # type: ignore[attr-defined]
        getattr(self, "answer_" + self.path.strip("/").partition("?")[0])()

    def do_POST(self) -> None:
        length = int(self.headers.get("content-length", 0))
        self._send(200, self.rfile.read(length))

    def _send(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def answer_plain(self) -> None:
        self._send(200, b"hello", X_Kind="Plain")

    def answer_redirect(self) -> None:
        self._send(302, b"", Location="http://127.0.0.1:1/secret")

    def answer_long(self) -> None:
        self._send(200, b"x" * 5000)

    def answer_endless(self) -> None:
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        try:
            while True:
                self.wfile.write(b"x" * 1000)
        except OSError:
            self.close_connection = True

    def answer_slow(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        try:
            for _ in range(100):
                self.wfile.write(b"x")
                self.wfile.flush()
                time.sleep(0.05)
        except OSError:
            self.close_connection = True

    def answer_packed(self) -> None:
        self._send(200, b"\x1f\x8b", Content_Encoding="gzip")

    def answer_lines(self) -> None:
        self._send(200, b'{"a":1}\n{"b":2}\ncut')

    def answer_cut(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b"x")
        self.close_connection = True

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def site() -> Iterator[Any]:
    yield from serving()


def serving(context: ssl.SSLContext | None = None) -> Iterator[Any]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    server.daemon_threads = True
    server.seen = []  # type: ignore[attr-defined]
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def loopback() -> Iterator[Outbound]:
    client = Outbound(["127.0.0.0/8"])
    yield client
    client.close()


def at(site: Any, path: str, scheme: str = "http", host: str = "127.0.0.1") -> str:
    return f"{scheme}://{host}:{site.server_port}/{path}"


def test_a_listed_address_answers_also_without_tls(site: Any, loopback: Outbound) -> None:
    answer = loopback.request("GET", at(site, "plain"))
    assert (answer.status, answer.body, answer.headers["x-kind"]) == (200, b"hello", "Plain")
    assert loopback.request("POST", at(site, "x"), content=b"body").body == b"body"


def test_row_49_an_unlisted_address_is_refused_and_nothing_is_sent(site: Any) -> None:
    for allowed in ((), ("10.0.0.0/8",), ("::1/128",)):
        client = Outbound(allowed)
        with pytest.raises(AddressRefused):
            client.request("GET", at(site, "plain"))
        client.close()
    assert site.seen == []


def test_row_49_names_are_judged_by_what_they_resolve_to(site: Any) -> None:
    for found in ("127.0.0.1", "::ffff:127.0.0.1", "64:ff9b::7f00:1"):
        client = Outbound(resolve=lambda host, port, found=found: [found])
        for scheme in ("https", "http"):
            with pytest.raises(AddressRefused):
                client.request("GET", at(site, "plain", scheme, "innocent.example"))
        client.close()
    assert site.seen == []


def test_row_49_a_public_address_without_tls_is_refused() -> None:
    client = Outbound(resolve=lambda host, port: ["1.1.1.1"])
    with pytest.raises(AddressRefused):
        client.request("GET", "http://innocent.example/")
    client.close()


def test_row_49_a_name_that_changes_is_resolved_once_and_pinned(site: Any) -> None:
    asked: list[str] = []

    def rebinding(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["10.0.0.1"]

    client = Outbound(["127.0.0.0/8"], resolve=rebinding)
    assert client.request("GET", at(site, "plain", host="rebinding.example")).status == 200
    assert asked == ["rebinding.example"]
    assert site.seen[0][1]["host"] == f"rebinding.example:{site.server_port}"
    client.close()


def test_an_address_that_may_not_be_used_is_passed_over_for_one_that_may(site: Any) -> None:
    client = Outbound(["127.0.0.0/8"], resolve=lambda host, port: ["::1", "10.0.0.1", "127.0.0.1"])
    assert client.request("GET", at(site, "plain", host="two.example")).status == 200
    client.close()


def test_an_unknown_name_and_a_closed_port_are_unreachable(loopback: Outbound) -> None:
    def unknown(host: str, port: int) -> list[str]:
        raise socket.gaierror(-2, "unknown")

    client = Outbound(resolve=unknown)
    with pytest.raises(Unreachable, match="not known"):
        client.request("GET", "https://nowhere.example/")
    client.close()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(Unreachable):
        loopback.request("GET", f"http://127.0.0.1:{port}/")


def test_row_45_a_redirect_is_an_answer_and_not_followed(site: Any, loopback: Outbound) -> None:
    answer = loopback.request("GET", at(site, "redirect"))
    assert answer.status == 302
    assert [path for path, _ in site.seen] == ["/redirect"]


def test_no_proxy_of_the_environment_is_used(site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    client = Outbound(["127.0.0.0/8"])
    assert client.request("GET", at(site, "plain")).status == 200
    client.close()


def test_the_size_is_capped_by_what_is_said_and_by_what_comes(site: Any, loopback: Outbound) -> None:
    assert len(loopback.request("GET", at(site, "long"), max_bytes=5000).body) == 5000
    with pytest.raises(AnswerRefused, match="longer"):
        loopback.request("GET", at(site, "long"), max_bytes=4999)
    with pytest.raises(AnswerRefused, match="longer"):
        loopback.request("GET", at(site, "endless"), max_bytes=100_000)


def test_the_time_of_everything_together_is_capped(site: Any, loopback: Outbound) -> None:
    begun = time.monotonic()
    with pytest.raises(AnswerRefused, match="in time"):
        loopback.request("GET", at(site, "slow"), timeout=0.3)
    assert time.monotonic() - begun < 3
    with pytest.raises(AnswerRefused, match="in time"):
        loopback.request("GET", at(site, "plain"), timeout=-1)


def test_an_answer_that_is_cut_off_is_no_answer(site: Any, loopback: Outbound) -> None:
    with pytest.raises(Unreachable):
        loopback.request("GET", at(site, "cut"))


def test_an_encoding_comes_only_if_it_was_asked_for(site: Any, loopback: Outbound) -> None:
    with pytest.raises(AnswerRefused, match="encoding"):
        loopback.request("GET", at(site, "packed"))
    answer = loopback.request("GET", at(site, "packed"), headers={"Accept-Encoding": "gzip, zstd"})
    assert answer.body == b"\x1f\x8b"
    assert [headers["accept-encoding"] for _, headers in site.seen] == ["identity", "gzip, zstd"]


def test_lines_come_whole_and_a_cut_one_does_not(site: Any, loopback: Outbound) -> None:
    with loopback.stream("GET", at(site, "lines")) as answer:
        assert list(lines(answer.chunks, max_bytes=1000)) == [b'{"a":1}', b'{"b":2}']


def test_lines_are_capped() -> None:
    with pytest.raises(AnswerRefused, match="unpacked"):
        list(lines([b"x" * 60, b"x" * 60], max_bytes=100))
    with pytest.raises(AnswerRefused, match="line"):
        list(lines([b"x" * 60, b"x" * 60], max_bytes=1000, max_line=100))
    assert list(lines([b"a\nb", b"c\n\n"], max_bytes=10)) == [b"a", b"bc", b""]


def test_a_stream_can_be_left_early(site: Any, loopback: Outbound) -> None:
    with loopback.stream("GET", at(site, "endless"), max_bytes=10**9) as answer:
        assert next(answer.chunks)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed certificate for river.example: (certificate, its key)."""
    directory = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "river.example")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("river.example")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = directory / "cert.pem", directory / "key.pem"
    cert_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return cert_file, key_file


def test_tls_verifies_the_name_though_the_address_is_pinned(authority: tuple[Path, Path]) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*map(str, authority))
    for site in serving(context):
        known = Outbound(["127.0.0.0/8"], authority[0], resolve=lambda host, port: ["127.0.0.1"])
        assert known.request("GET", at(site, "plain", "https", "river.example")).body == b"hello"
        with pytest.raises(Unreachable):
            known.request("GET", at(site, "plain", "https", "other.example"))
        with pytest.raises(Unreachable):
            known.request("GET", at(site, "plain", "https"))
        known.close()
        stranger = Outbound(["127.0.0.0/8"], resolve=lambda host, port: ["127.0.0.1"])
        with pytest.raises(Unreachable):
            stranger.request("GET", at(site, "plain", "https", "river.example"))
        stranger.close()
