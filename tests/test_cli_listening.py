"""The server closes connections whose head or request does not end, and reads all others."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from federation.cli import listening
from federation.cli.listening import MAX_HEAD_BYTES, BoundedHead


@pytest.fixture
def port() -> Iterator[int]:
    async def echo(request: Request) -> PlainTextResponse:
        return PlainTextResponse(str(len(await request.body())))

    app = Starlette(routes=[Route("/", echo, methods=["GET", "POST"])])
    door = socket.socket()
    door.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, http=BoundedHead, ws="none", log_config=None, lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [door]})
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield door.getsockname()[1]
    server.should_exit = True
    thread.join(10)
    door.close()


def asked(port: int, request: bytes, part: int = 16_384) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        try:
            for start in range(0, len(request), part):
                connection.sendall(request[start : start + part])
            return connection.recv(4096)
        except (BrokenPipeError, ConnectionResetError):
            return b""


def test_a_head_without_end_closes_the_connection(port: int) -> None:
    endless = b"GET / HTTP/1.1\r\nhost: x\r\n" + b"x-many: " + b"a" * 40 * MAX_HEAD_BYTES
    assert asked(port, endless) == b""


def test_many_headers_close_it_too(port: int) -> None:
    many = b"GET / HTTP/1.1\r\nhost: x\r\n" + b"x-one: aaaaaaaaaaaaaaaaaaaaaaaaa\r\n" * 100_000
    assert asked(port, many) == b""


def test_a_large_body_is_no_head(port: int) -> None:
    size = 8 * MAX_HEAD_BYTES
    request = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % size + b"b" * size
    assert asked(port, request).endswith(str(size).encode())


@pytest.mark.parametrize(
    "begun",
    [
        b"",
        b"GET / HTTP/1.1\r\nhost: x\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nbody",
        b"GET / HTTP/1.1\r\nhost: x\r\n\r\n" + b"\r\n" * 3,
    ],
    ids=["nothing", "head", "body", "lines between"],
)
def test_a_request_that_does_not_end_closes_the_connection(
    port: int, monkeypatch: pytest.MonkeyPatch, begun: bytes
) -> None:
    monkeypatch.setattr(listening, "REQUEST_SECONDS", 0.3)
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(begun)
        if begun.endswith(b"\r\n\r\n"):
            assert b"200 OK" in connection.recv(4096)
            connection.sendall(b"\r\n")
        assert connection.recv(4096) == b""


def test_a_connection_is_kept_for_the_next_request_however_long_the_first_took_to_answer(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "REQUEST_SECONDS", 0.3)
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        for _ in range(2):
            connection.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            assert b"200 OK" in connection.recv(4096)
            time.sleep(0.6)
