"""Scopes as directives in the SDL: what a field asks for at its coarsest step. They tell; the gate enforces.

A field that `public_scopes` opens carries nothing; one that no scope opens is for accounts of this node alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import strawberry
from strawberry.federation.schema_directives import Authenticated, RequiresScopes
from strawberry.schema_directive import Location

from federation.policies.rules import Policy
from federation.policies.tiers import Formula, closure, satisfied

_PLACES = [Location.FIELD_DEFINITION, Location.OBJECT, Location.INTERFACE, Location.SCALAR, Location.ENUM]


@strawberry.schema_directive(
    locations=_PLACES, name="authenticated", description="Only for callers with a token or an account."
)
class PlainAuthenticated:
    """`@authenticated` with its definition printed, for a schema that no gateway composes."""


@strawberry.schema_directive(
    locations=_PLACES,
    name="requiresScopes",
    description="The scopes of the coarsest step: the outer list is OR, each inner list AND.",
)
class PlainRequiresScopes:
    """`@requiresScopes` with its definition printed."""

    scopes: list[list[str]]


Asks = Callable[[Formula | None], list[Any]]
"""What a formula asks for, as directives; None is anybody with a token."""


def directives(public_scopes: frozenset[str], *, federated: bool, shown: bool) -> Asks:
    """A function from formulas to directives for one flavour of the SDL."""
    held = closure(public_scopes)
    signed_in: Any = Authenticated if federated else PlainAuthenticated
    with_scopes: Any = RequiresScopes if federated else PlainRequiresScopes

    def asks(formula: Formula | None) -> list[Any]:
        if not shown:
            return []
        if not formula:
            return [signed_in()]
        if satisfied(formula, held):
            return []
        return [with_scopes(scopes=sorted(sorted(alternative) for alternative in formula))]

    return asks


def coarsest(policy: Policy, type_key: str, field: str) -> Formula:
    """What opens the coarsest step of a field."""
    rule = policy.rule(type_key, field)
    return rule.steps[-1][1].formula
