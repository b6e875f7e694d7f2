"""The edge of the web application: bodies within bounds, headers that protect whoever reads an answer, refusals as
JSON, and health. It knows no record and no viewer; what a refusal says is the error's own sentence.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio.to_thread
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from federation.errors import BadInput, FederationError
from federation.telemetry import logger

_log = logger("node")

HEADERS = {
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}
_RAW_HEADERS = [(name.encode(), value.encode()) for name, value in HEADERS.items()]


async def bounded_body(request: Request, limit: int) -> bytes | None:
    """The body, or None as soon as it is longer than `limit` bytes. A caller that hangs up raises BadInput."""
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > limit:
        return None
    parts: list[bytes] = []
    size = 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > limit:
                return None
            parts.append(chunk)
    except ClientDisconnect as error:
        raise BadInput("The request ended early.") from error
    return b"".join(parts)


class Protected:
    """Gives every answer the headers that protect whoever reads it, where it does not have its own."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = {name for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *(pair for pair in _RAW_HEADERS if pair[0] not in own)]
            await send(message)

        await self._app(scope, receive, sent)


def told(text: Callable[[], str]) -> Callable[[Request], Any]:
    """The route of a text that may take a while to be made."""

    async def answer(request: Request) -> Response:
        del request
        return PlainTextResponse(await anyio.to_thread.run_sync(text), headers=HEADERS)

    return answer


async def live(request: Request) -> Response:
    """Whether the process answers at all."""
    del request
    return JSONResponse({"status": "live"}, headers=HEADERS)


def ready(check: Callable[[], None]) -> Callable[[Request], Any]:
    """The route that tells whether the node can do its work: `check` raises where it cannot."""

    async def answer(request: Request) -> Response:
        del request
        try:
            await anyio.to_thread.run_sync(check)
        except FederationError as error:
            return refused(error)
        return JSONResponse({"status": "ready"}, headers=HEADERS)

    return answer


def refused(error: FederationError) -> Response:
    """The answer to what is refused: code and sentence as JSON."""
    return JSONResponse({"error": error.code, "message": error.message}, error.status, HEADERS | dict(error.headers))


async def _refusal(request: Request, error: Exception) -> Response:
    del request
    assert isinstance(error, FederationError)  # noqa: S101  (what it is registered for)
    return refused(error)


async def _nothing_here(request: Request, error: Exception) -> Response:
    del request, error
    return JSONResponse({"error": "NOT_FOUND", "message": "There is nothing at this address."}, 404, HEADERS)


async def _not_so(request: Request, error: Exception) -> Response:
    del request
    headers = HEADERS | dict(getattr(error, "headers", {}) or {})
    return JSONResponse({"error": "BAD_INPUT", "message": "This address takes another method."}, 405, headers)


async def _broken(request: Request, error: Exception) -> Response:
    _log.error("request_broke", path=request.url.path, kind=type(error).__name__)
    return JSONResponse({"error": "INTERNAL", "message": "Something broke here; it was logged."}, 500, HEADERS)


REFUSALS: dict[Any, Any] = {FederationError: _refusal, 404: _nothing_here, 405: _not_so, Exception: _broken}
"""What answers each error."""
