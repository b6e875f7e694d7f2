"""The node's own endpoint with one viewer who is known beforehand: what the ledger and the policies cost by themselves.

Only the benchmarks build a node so: the policy that opens everything is one that no operator's file could hold.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route

from benchmarks.sampling import PUBLIC
from federation.gate import Gate
from federation.node import Node, open_node
from federation.policies.ladders import tier_opening
from federation.policies.rules import Opening, Policy, Rule
from federation.policies.tiers import SCOPED_TIERS, Tier, scope_for
from federation.policies.viewer import Viewer, ViewerKind, anonymous
from federation.records.registry import RECORD_TYPES, catalogue
from federation.schema.endpoint import GraphQLEndpoint
from federation.schema.transport import graphql_app
from federation.settings import load_settings

ANYONE = anonymous(frozenset(PUBLIC))


def viewed_app(home: Path) -> Starlette:
    """`POST /partner`: every partner scope, so the ledger without OAuth. `POST /ladders`: anonymous, under the default
    policy. `POST /open`: the same under a policy that opens all but the sealed steps to everyone."""
    node = open_node(load_settings(home, {}, {})[0])
    scopes = frozenset(scope_for(kind, tier) for kind in RECORD_TYPES for tier in SCOPED_TIERS)
    default, opened = node.policies.current, _open_policy()
    return Starlette(
        routes=[
            _route("/partner", node, default, Viewer(ViewerKind.CLIENT, "benchmark", scopes)),
            _route("/ladders", node, default, ANYONE),
            _route("/open", node, lambda: default() and opened, ANYONE),  # it, too, looks whether the policy changed
        ]
    )


def _open_policy() -> Policy:
    rules = {
        (key, spec.name): Rule(key, spec.name, tuple((step.name, _opened(key, step.tier)) for step in spec.steps))
        for key, record_type in RECORD_TYPES.items()
        for spec in record_type.fields.values()
    }
    return Policy("everything-open", rules, catalogue())


def _opened(key: str, tier: Tier) -> Opening:
    return tier_opening(key, tier if tier is Tier.SEALED else Tier.OPEN)


def _route(path: str, node: Node, policy: Callable[[], Policy], viewer: Viewer) -> Route:
    gate = Gate(node.database, policy, node.codes, node.ledger, node.keys.secret)
    endpoint = GraphQLEndpoint(gate, node.intake, node.codes, policy=policy)

    def known(request: Request) -> Viewer:
        del request
        return viewer

    return Route(path, graphql_app(endpoint, known), methods=["POST"])
