"""The web edge of a node: the only place that puts its routes together and wires them to its parts.

It decides nothing itself; what a viewer sees is the gate's, what may enter the intake's.
"""

from __future__ import annotations

import os
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import anyio.to_thread
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.routing import Route

from federation.abuse import counted, limits_around, login_limits
from federation.console.account import account_routes
from federation.console.consent import consent_routes
from federation.console.login import login_routes
from federation.console.pages import console_of
from federation.console.setup import setup_routes
from federation.edge import REFUSALS, Protected, live, ready, told
from federation.node import Node, open_node, run_background
from federation.oauth.resource import ResourceServer
from federation.oauth.routes import routes as oauth_routes
from federation.peers.agreements import partners
from federation.peers.routes import exchange_routes
from federation.peers.vouching.routes import trust_routes
from federation.policies.policy import default_policy
from federation.policies.viewer import Viewer
from federation.records.codes import load as load_codes
from federation.records.registry import catalogue
from federation.schema.build import print_sdl
from federation.schema.endpoint import GraphQLEndpoint
from federation.schema.transport import graphql_app
from federation.settings import load_settings
from federation.telemetry import configure_logging, logger

_log = logger("node")


def create() -> Starlette:
    """The application of the node at FEDERATION_HOME, for the server's worker processes, of which WEB_CONCURRENCY says
    how many there are."""
    settings, _ = load_settings(Path(os.environ["FEDERATION_HOME"]))
    configure_logging(settings.log_level)
    return build(open_node(settings), processes=int(os.environ.get("WEB_CONCURRENCY", "1")))


def build(node: Node, *, background: bool = True, processes: int = 1) -> Starlette:
    """The web application of a node; with `background` it also sweeps and exchanges while it runs. `processes` is how
    many serve the node beside each other."""
    app = Starlette(
        routes=_routes(node),
        lifespan=_life(node, background),
        middleware=[Middleware(Protected), *limits_around(node, processes)],
        exception_handlers=REFUSALS,
    )
    app.router.redirect_slashes = False  # a redirect would repeat whatever the Host header says
    return app


def _routes(node: Node) -> list[Route]:
    """Every address that the node answers at."""
    resource = ResourceServer(node.realm, node.settings.public_scopes)

    def authenticate(request: Request) -> Viewer:
        target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return counted(lambda: resource.authenticate(request.headers.raw, request.method, target))

    endpoint = GraphQLEndpoint(
        node.gate,
        node.intake,
        node.codes,
        policy=node.policies.current,
        public_scopes=node.settings.public_scopes,
        peer_names=lambda: [who.name for who in partners(node.database)],
    )
    console = console_of(node.realm, node.settings.name, login_limits(node))
    return [
        Route("/graphql", graphql_app(endpoint, authenticate), methods=["GET", "POST"]),
        Route("/graphql/schema.graphql", told(_schema_text(node)), methods=["GET"]),
        Route("/health/live", live, methods=["GET"]),
        Route("/health/ready", ready(node.check), methods=["GET"]),
        *setup_routes(console),
        *login_routes(console),
        *consent_routes(console, node.realm, node.policies.current),
        *account_routes(console),
        *oauth_routes(node.realm),
        *exchange_routes(node.source, authenticate),
        *trust_routes(node.entity, authenticate),
    ]


def _life(node: Node, background: bool) -> Callable[[Starlette], AbstractAsyncContextManager[None]]:
    """What runs beside the answers from the start of the application to its end, which closes the node."""

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

    return lifespan


def _schema_text(node: Node) -> Callable[[], str]:
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

    return text


def default_schema(*, federated: bool = False, directives: bool = True) -> str:
    """The same of no node: under the default policy, with nothing open to the public."""
    policy = default_policy(catalogue())
    return print_sdl(federated, directives, codes=load_codes(), policy=policy, public_scopes=frozenset())


def public_schema(node: Node, *, federated: bool = False, directives: bool = True) -> str:
    """The schema as text (SDL), under the policy in force, with the scopes that open each field."""
    return print_sdl(
        federated,
        directives,
        codes=node.codes,
        policy=node.policies.current(),
        public_scopes=node.settings.public_scopes,
    )
