"""Schemas that are built once for all nodes of a session: making one takes longer than a hundred questions to it.

A schema depends on nothing but what it is made from; nodes with the same policy and public scopes share it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from starlette.applications import Starlette

import federation.app
import federation.schema.build
import federation.schema.endpoint
from federation.app import Node
from federation.peers import agreements
from federation.policies.rules import Policy
from federation.schema.build import Flavour, build_schema, print_sdl
from federation.schema.endpoint import GraphQLEndpoint

_built: dict[tuple[Any, ...], Any] = {}
_printed: dict[tuple[Any, ...], str] = {}


def _kept_schema(
    registry: Any,
    codes: Any,
    policy: Policy,
    public_scopes: frozenset[str] = frozenset(),
    flavour: Flavour = Flavour(federated=True),  # noqa: B008  (frozen)
) -> Any:
    key = (id(registry), codes.version, policy.version, public_scopes, flavour)
    if key not in _built:
        _built[key] = build_schema(registry, codes, policy, public_scopes, flavour)
    return _built[key]


def _kept_text(federated: bool = False, directives: bool = True, **made: Any) -> str:
    key = (federated, directives, made["codes"].version, made["policy"].version, made["public_scopes"])
    if key not in _printed:
        _printed[key] = print_sdl(federated, directives, **made)
    return _printed[key]


@contextmanager
def kept_schemas() -> Iterator[None]:
    """While it lasts, what was built before is taken again."""
    federation.schema.build.build_schema = _kept_schema
    federation.schema.endpoint.build_schema = _kept_schema
    federation.app.print_sdl = _kept_text
    try:
        yield
    finally:
        federation.schema.build.build_schema = build_schema
        federation.schema.endpoint.build_schema = build_schema
        federation.app.print_sdl = print_sdl


def app_of(node: Node) -> Starlette:
    """The web application of a node, without its background work."""
    with kept_schemas():
        return federation.app.build(node, background=False)


def endpoint_of(node: Node) -> GraphQLEndpoint:
    """The GraphQL endpoint over a node, for viewers that have no token."""
    names: Callable[[], list[str]] = lambda: [who.name for who in agreements.partners(node.database)]  # noqa: E731
    with kept_schemas():
        return GraphQLEndpoint(node.gate, node.intake, node.codes, policy=node.policies.current, peer_names=names)
