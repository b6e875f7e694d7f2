"""What all answers of the web application have, and how a body is read."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from federation.edge import HEADERS, REFUSALS, Protected, bounded_body, live, ready, told
from federation.errors import BadInput, Unavailable


def read(messages: list[dict[str, Any]], limit: int, headers: dict[str, str] | None = None) -> bytes | None:
    """What `bounded_body` gives for these messages of a server; each message is taken at most once."""

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    raw = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    request = Request({"type": "http", "method": "POST", "path": "/", "headers": raw}, receive)
    return anyio.run(bounded_body, request, limit)


def chunk(body: bytes, more: bool = True) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


def test_a_body_within_its_bound_is_read_whole() -> None:
    assert read([chunk(b"abc"), chunk(b"de", more=False)], 5) == b"abcde"


def test_a_body_beyond_its_bound_is_read_no_further() -> None:
    left = [chunk(b"abc"), chunk(b"def"), chunk(b"never read")]
    assert read(left, 5) is None
    assert len(left) == 1


def test_a_body_that_is_announced_as_too_long_is_not_read_at_all() -> None:
    left = [chunk(b"abc")]
    assert read(left, 5, {"content-length": "6"}) is None
    assert len(left) == 1


def test_a_length_that_is_no_number_says_nothing() -> None:
    assert read([chunk(b"abc", more=False)], 5, {"content-length": "six"}) == b"abc"


def test_a_caller_who_hangs_up_is_refused() -> None:
    with pytest.raises(BadInput):
        read([chunk(b"abc"), {"type": "http.disconnect"}], 5)


async def refused(request: Request) -> PlainTextResponse:
    raise BadInput("Not so.")


async def framed(request: Request) -> PlainTextResponse:
    return PlainTextResponse("", headers={"referrer-policy": "same-origin"})


def away() -> None:
    raise Unavailable("The database is away.")


@pytest.fixture
def web() -> TestClient:
    routes = [
        Route("/live", live),
        Route("/ready", ready(lambda: None)),
        Route("/away", ready(away)),
        Route("/told", told(lambda: "The schema.")),
        Route("/refused", refused),
        Route("/framed", framed),
    ]
    app = Starlette(routes=routes, middleware=[Middleware(Protected)], exception_handlers=REFUSALS)
    return TestClient(app, raise_server_exceptions=False)


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/live", 200, {"status": "live"}),
        ("/ready", 200, {"status": "ready"}),
        ("/away", 503, {"error": "UNAVAILABLE", "message": "The database is away."}),
        ("/refused", 400, {"error": "BAD_INPUT", "message": "Not so."}),
        ("/nothing", 404, {"error": "NOT_FOUND", "message": "There is nothing at this address."}),
    ],
)
def test_every_answer_is_protected_and_says_what_it_is(web: TestClient, path: str, status: int, said: Any) -> None:
    answer = web.get(path)
    assert (answer.status_code, answer.json()) == (status, said)
    assert HEADERS.items() <= dict(answer.headers).items()


def test_an_answer_keeps_the_headers_that_it_has_itself(web: TestClient) -> None:
    assert web.get("/told").text == "The schema."
    answer = web.get("/framed")
    assert answer.headers.get_list("referrer-policy") == ["same-origin"]
    assert answer.headers["x-content-type-options"] == "nosniff"
