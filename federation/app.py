"""The web edge of a node: the only place that puts its routes together and wires them to its parts.

It decides nothing itself; what a viewer sees is the gate's, what may enter the intake's.
"""

from __future__ import annotations

import os
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio.to_thread
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from federation.console.setup import setup_routes
from federation.errors import FederationError
from federation.node import Node, open_node, run_background
from federation.oauth.resource import ResourceServer
from federation.oauth.routes import routes as oauth_routes
from federation.peers.agreements import partners
from federation.peers.routes import exchange_routes
from federation.policies.viewer import Viewer
from federation.schema.build import print_sdl
from federation.schema.endpoint import GraphQLEndpoint
from federation.schema.transport import graphql_app
from federation.settings import load_settings
from federation.telemetry import configure_logging, logger

_log = logger("node")

HEADERS = {
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}
_RAW_HEADERS = [(name.encode(), value.encode()) for name, value in HEADERS.items()]


def create() -> Starlette:
    """The application of the node at FEDERATION_HOME, for the server's worker processes."""
    settings, _ = load_settings(Path(os.environ["FEDERATION_HOME"]))
    configure_logging(settings.log_level)
    return build(open_node(settings))


def build(node: Node, *, background: bool = True) -> Starlette:
    """The web application of a node; with `background` it also sweeps and exchanges while it runs."""
    resource = ResourceServer(node.realm, node.settings.public_scopes)

    def authenticate(request: Request) -> Viewer:
        target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return resource.authenticate(request.headers.raw, request.method, target)

    async def authenticate_apart(request: Request) -> Viewer:
        if "authorization" not in request.headers and "dpop" not in request.headers:
            return authenticate(request)
        return await anyio.to_thread.run_sync(authenticate, request)

    endpoint = GraphQLEndpoint(
        node.gate,
        node.intake,
        node.codes,
        policy=node.policies.current,
        public_scopes=node.settings.public_scopes,
        peer_names=lambda: [who.name for who in partners(node.database)],
    )

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        del app
        ending = threading.Event()
        thread = threading.Thread(target=run_background, args=(node, ending), name="background", daemon=True)
        if background:
            thread.start()
        try:
            yield
        finally:
            ending.set()
            if background:
                await anyio.to_thread.run_sync(thread.join, 15.0)
            node.close()

    app = Starlette(
        routes=[
            Route("/graphql", graphql_app(endpoint, authenticate_apart), methods=["GET", "POST"]),
            Route("/graphql/schema.graphql", _schema_route(node), methods=["GET"]),
            Route("/health/live", _live, methods=["GET"]),
            Route("/health/ready", _ready_route(node), methods=["GET"]),
            *setup_routes(node.database, node.world, node.settings.url),
            *oauth_routes(node.realm),
            *exchange_routes(node.source, authenticate),
        ],
        lifespan=lifespan,
        middleware=[Middleware(_Protected)],
        exception_handlers={FederationError: _refusal, 404: _nothing_here, 405: _not_so, Exception: _broken},
    )
    app.router.redirect_slashes = False  # a redirect would repeat whatever the Host header says
    return app


class _Protected:
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


def _schema_route(node: Node) -> Callable[[Request], Any]:
    """The schema as text, made when it is first asked for under a policy: that takes as long as half a start."""
    made: dict[str, str] = {}
    turn = threading.Lock()

    def text() -> str:
        version = node.policies.current().version
        with turn:
            if version not in made:
                made.clear()
                made[version] = public_schema(node)
            return made[version]

    async def answer(request: Request) -> Response:
        del request
        return PlainTextResponse(await anyio.to_thread.run_sync(text), headers=HEADERS)

    return answer


async def _live(request: Request) -> Response:
    del request
    return JSONResponse({"status": "live"}, headers=HEADERS)


def _ready_route(node: Node) -> Callable[[Request], Any]:
    def check() -> None:
        with node.database.reader() as connection:
            connection.execute("SELECT 1").fetchone()

    async def answer(request: Request) -> Response:
        del request
        try:
            await anyio.to_thread.run_sync(check)
        except FederationError as error:
            return _refused(error)
        return JSONResponse({"status": "ready"}, headers=HEADERS)

    return answer


def _refused(error: FederationError) -> Response:
    headers = HEADERS | dict(getattr(error, "headers", {}) or {})
    return JSONResponse({"error": error.code, "message": error.message}, error.status, headers)


async def _refusal(request: Request, error: Exception) -> Response:
    del request
    assert isinstance(error, FederationError)  # noqa: S101  (what it is registered for)
    return _refused(error)


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


def public_schema(node: Node, *, federated: bool = False, directives: bool = True) -> str:
    """The schema as text (SDL), under the policy in force, with the scopes that open each field."""
    return print_sdl(
        federated,
        directives,
        codes=node.codes,
        policy=node.policies.current(),
        public_scopes=node.settings.public_scopes,
    )
