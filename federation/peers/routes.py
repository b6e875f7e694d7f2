"""The web edge of the exchange: `/exchange/join`, `/exchange/keys`, `/exchange/changes`, `/exchange/reconcile`.

It decides nothing: who asks is said by `authenticate`, what they get by `serve`. The work is done in threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import anyio
import orjson
from starlette.concurrency import iterate_in_threadpool, run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from federation.edge import bounded_body
from federation.errors import BadInput, Conflict, FederationError, RateLimited
from federation.peers import handing, serve, trust
from federation.peers.serve import Reconcile, Source
from federation.peers.trust import Self
from federation.peers.wire import CHANGES_PATH, MEDIA_TYPE, RECONCILE_PATH, compressed
from federation.policies.viewer import Viewer
from federation.storage.database import Database
from federation.world import World

MAX_REQUEST_BYTES = 16_384
STREAMS = 16
JOINS = 2
BUSY = 5
"""Seconds after which a peer that found an exchange under way may ask again."""

Authenticate = Callable[[Request], Viewer]
"""The resource server's check: the viewer of a request, or the error that it is answered with. Synchronous."""

Answering = Callable[[Source, str, dict[str, Any]], Iterator[bytes]]


def exchange_routes(source: Source, authenticate: Authenticate) -> list[Route]:
    """The routes of the exchange. At most 16 answers stream at once, and one to each peer; more get 429."""
    streaming: set[str] = set()

    def answering(answer: Answering) -> Callable[[Request], Any]:
        async def endpoint(request: Request) -> Response:
            subject = None
            try:
                viewer = await run_in_threadpool(authenticate, request)
                await run_in_threadpool(serve.check_viewer, source, viewer)
                asked = _asked(await _body(request))
                if viewer.subject in streaming or len(streaming) >= STREAMS:
                    raise RateLimited("An exchange with this peer is under way; try again in a moment.", seconds=BUSY)
                subject = viewer.subject
                streaming.add(subject)
                blocks = await run_in_threadpool(answer, source, subject, asked)
            except FederationError as error:
                if subject is not None:
                    streaming.discard(subject)
                return refusal(error)
            except BaseException:
                streaming.discard(subject or "")
                raise
            return _Stream(blocks, source.me.keys.peer.thumbprint, lambda: streaming.discard(subject))

        return endpoint

    return [
        Route(trust.JOIN_PATH, _signed_route(source, trust.join), methods=["POST"]),
        Route(handing.KEYS_PATH, _signed_route(source, handing.answer), methods=["POST"]),
        Route(CHANGES_PATH, answering(serve.changes), methods=["POST"]),
        Route(RECONCILE_PATH, answering(serve.reconcile), methods=["POST"]),
    ]


def _signed_route(source: Source, act: Callable[[Database, World, Self, str], str]) -> Callable[[Request], Any]:
    """Takes what somebody without a token signed, and answers in the same form; two at once."""
    at_once = anyio.CapacityLimiter(JOINS)

    async def endpoint(request: Request) -> Response:
        try:
            token = (await _body(request, trust.MAX_JOIN_BYTES)).decode("ascii", "replace")
            async with at_once:
                answer = await run_in_threadpool(act, source.database, source.world, source.me, token)
        except Conflict:  # its own words would tell whoever holds an invitation who else is linked
            return refusal(Conflict("The invitation was used, or is for no node with this address and these keys."))
        except FederationError as error:
            return refusal(error)
        return Response(answer, media_type="application/jwt", headers={"cache-control": "no-store"})

    return endpoint


class _Stream(StreamingResponse):
    """A compressed answer, made block by block in a thread; `done` is called however it ends."""

    def __init__(self, blocks: Iterator[bytes], key: str, done: Callable[[], None]) -> None:
        super().__init__(
            iterate_in_threadpool(compressed(blocks)),
            media_type=MEDIA_TYPE,
            headers={"content-encoding": "zstd", "cache-control": "no-store", handing.KEY_HEADER: key},
        )
        self._done = done

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._done()


async def _body(request: Request, most: int = MAX_REQUEST_BYTES) -> bytes:
    body = await bounded_body(request, most)
    if body is None:
        raise BadInput("The request is too long.")
    return body


def _asked(body: bytes) -> dict[str, Any]:
    try:
        asked = orjson.loads(body)
    except orjson.JSONDecodeError:
        asked = None
    if not isinstance(asked, dict):
        raise BadInput("The request must be a JSON object.")
    return asked


def refusal(error: FederationError) -> Response:
    """The answer to a request that is refused: code and sentence, and what to begin anew with after a 409."""
    body: dict[str, Any] = {"error": error.code, "message": error.message}
    if isinstance(error, Reconcile):
        body["error"] = "reconcile"
    return JSONResponse(body, error.status, headers=error.headers)
