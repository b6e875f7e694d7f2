"""Openings and rules: who opens each step of one field, and the checks that hold for every ladder.

Pure values. No step of a ladder may need more than a finer one, and nothing opens a sealed step.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from federation.policies.catalogue import FieldRules
from federation.policies.predicates import Predicate, holds, predicate_implies
from federation.policies.tiers import (
    NOBODY,
    READING_SCOPE,
    SCOPED_TIERS,
    Formula,
    Tier,
    closure,
    implies,
    satisfied,
    scope_for,
    simplify,
)


@dataclass(frozen=True)
class Opening:
    """Who opens a step: a formula of reading scopes, and what is asked of the viewer besides. Kept in its one
    shortest form, so that equal openings are equal values. Raises ValueError for an alternative without a scope
    (it would be everyone) and for a word that is not a reading scope."""

    formula: Formula = NOBODY
    predicate: Predicate | None = None

    def __post_init__(self) -> None:
        for alternative in self.formula:
            if not alternative:
                raise ValueError("an alternative without a scope would open to everyone")
            if not all(READING_SCOPE.fullmatch(scope) for scope in alternative):
                raise ValueError("only reading scopes open a step")
        object.__setattr__(self, "formula", simplify(self.formula))
        if not self.formula:
            object.__setattr__(self, "predicate", None)

    def opens(self, held: frozenset[str], affiliation: str | None, jurisdiction: str | None) -> bool:
        """Whether closed scopes and attributes open the step."""
        return satisfied(self.formula, held) and holds(self.predicate, affiliation, jurisdiction)


NOBODY_OPENS = Opening()


@dataclass(frozen=True)
class Rule:
    """The ladder of one field: for each step, exact first, who opens it."""

    type: str
    field: str
    steps: tuple[tuple[str, Opening], ...]

    def opening(self, step: str) -> Opening:
        """Who opens the step; nobody, if the rule does not name it."""
        return dict(self.steps).get(step, NOBODY_OPENS)


@lru_cache(512)
def tier_opening(type_key: str, tier: Tier) -> Opening:
    """Who opens a step of a tier: whoever holds the type's scope of it. `network` and `sealed` have none."""
    return Opening((frozenset({scope_for(type_key, tier)}),)) if tier in SCOPED_TIERS else NOBODY_OPENS


def default_rule(type_key: str, field: FieldRules) -> Rule:
    """The rule that stands in the record type."""
    return Rule(type_key, field.name, tuple((step, tier_opening(type_key, tier)) for step, tier in field.steps))


def opening_implies(narrow: Opening, wide: Opening) -> bool:
    """Whether everyone who opens `narrow` opens `wide`."""
    if not narrow.formula:
        return True
    return implies(narrow.formula, wide.formula) and predicate_implies(narrow.predicate, wide.predicate)


def fault(type_key: str, tier: Tier, opening: Opening) -> str | None:
    """Why this opening may not stand at a step of this default tier, or None.

    A sealed step is opened by nothing. Everything else may be narrowed; it may be widened up to `partner`: each
    alternative that lets in more than the default asks for a partner scope.
    """
    if tier is Tier.SEALED:
        return "opens a sealed field; nothing can" if opening.formula else None
    default = tier_opening(type_key, tier).formula
    for alternative in opening.formula:
        if not satisfied(default, closure(alternative)) and not any(one.endswith(":partner") for one in alternative):
            return f"is {tier.label} by default: it may be opened further to partner scopes only"
    return None


def ladder_fault(steps: tuple[tuple[str, Opening], ...]) -> tuple[str, str] | None:
    """The first (finer step, coarser step) of which the coarser needs more, or None."""
    for (fine, narrow), (coarse, wide) in pairwise(steps):
        if not opening_implies(narrow, wide):
            return fine, coarse
    return None


def own_tier(type_key: str, opening: Opening) -> Tier | None:
    """The tier whose scope of this type alone is the opening; None where it is a formula, a predicate or nobody."""
    return next((tier for tier in SCOPED_TIERS if opening == tier_opening(type_key, tier)), None)
