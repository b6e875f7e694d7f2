"""How the node's limits are put together: what is counted where, in which storage, and how a refusal reads there.

It decides nobody's rights; how often is a matter of settings, who asks of the parts that find it out.
"""

from __future__ import annotations

from collections.abc import Callable

from starlette.middleware import Middleware
from starlette.responses import Response
from starlette.types import Scope

from federation.console.pages import refusal as page_refusal
from federation.console.setup import PATH as SETUP_PATH
from federation.edge import refused
from federation.errors import BadInput, RateLimited, Unauthenticated
from federation.limiting import asking
from federation.limiting.addresses import callers
from federation.limiting.counting import Counter
from federation.limiting.logins import LoginLimits
from federation.limiting.memory import BoundedMemory
from federation.limiting.requests import Allowances, Limited, Places, RequestLimits
from federation.limiting.valkey import valkey_counts
from federation.node import Node
from federation.oauth.realm import AUTHORIZE_PATH, REGISTER_PATH
from federation.oauth.routes import too_often
from federation.peers.routes import refusal as exchange_refusal
from federation.peers.trust import JOIN_PATH
from federation.policies.viewer import Viewer
from federation.schema.transport import chosen_media
from federation.schema.transport import refusal as graphql_refusal
from federation.storage.counters import DatabaseCounts
from federation.storage.pool import refuse_to_wait

GRAPHQL_PATH = "/graphql"
PLACES = Places(known=GRAPHQL_PATH, guessed=frozenset({JOIN_PATH, SETUP_PATH, REGISTER_PATH}))
EXPECTED = "use_dpop_nonce"
"""A refusal that belongs to the protocol: the answer brings the nonce that the proof lacked."""


def limits_around(node: Node, processes: int = 1) -> list[Middleware]:
    """The limits of a node, to be put around its application."""
    find = callers(node.settings.trusted_proxies)

    def caller(scope: Scope) -> str:
        peer = scope.get("client")
        return find(peer[0] if peer else None, scope["headers"])

    return [Middleware(Limited, limits=request_limits(node, processes), places=PLACES, caller=caller, refuse=_refuse)]


def request_limits(node: Node, processes: int = 1) -> RequestLimits:
    """The counts of requests: in memory, each process its share, or shared where the settings say so."""
    settings = node.settings
    allowances = Allowances(
        anonymous=settings.anonymous_per_minute,
        client=settings.client_per_minute,
        peer=settings.peer_per_minute,
        failures=settings.failures_per_minute,
        guesses=settings.guesses_per_hour,
        processes=1 if settings.limits_url else processes,
    )
    clock = _clock(node)
    if settings.limits_url is None:
        requests = Counter(BoundedMemory(clock), clock)
    else:
        shared = DatabaseCounts(node.database, clock) if settings.limits_url == "database" else None
        storage = shared or valkey_counts(settings.limits_url)
        requests = Counter(storage, clock, waits=True, before_waiting=refuse_to_wait)
    return RequestLimits(allowances, requests, _lasting(node))


def login_limits(node: Node) -> LoginLimits:
    """The tries of passwords; counted in the database, so that neither a restart nor another process gives new ones."""
    return LoginLimits(
        _lasting(node),
        node.keys.secret,
        node.settings.logins_per_hour,
        _clock(node),
        lambda subject: node.world.draw("login-device", subject, 16),
    )


def counted(authenticate: Callable[[], Viewer]) -> Viewer:
    """Who asks, counted; and credentials that are not accepted, by the address that they came from.

    Raises what `authenticate` raises, and RateLimited in its place where that is too often.
    """
    try:
        viewer = authenticate()
    except (Unauthenticated, BadInput) as failed:
        asking.count_failure(expected=getattr(failed, "error", None) == EXPECTED)
        raise
    asking.count(viewer.kind, viewer.subject)
    return viewer


def _lasting(node: Node) -> Counter:
    return Counter(DatabaseCounts(node.database, _clock(node)), _clock(node), waits=True)


def _clock(node: Node) -> Callable[[], float]:
    return lambda: node.world.now().timestamp()


def _refuse(scope: Scope, limited: RateLimited) -> Response:
    path: str = scope["path"]
    if path == GRAPHQL_PATH:
        accept = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"accept"), None)
        return graphql_refusal(limited, chosen_media(accept), limited.status)
    if path == AUTHORIZE_PATH or path.startswith("/console/"):
        return page_refusal(limited)
    if path.startswith(PLACES.oauth):
        return too_often(limited)
    return exchange_refusal(limited) if path.startswith(PLACES.exchange) else refused(limited)
