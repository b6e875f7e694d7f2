"""Tiers, scopes and formulas: the vocabulary in which every policy is written. Pure; no I/O, no clock."""

from __future__ import annotations

import re
from enum import IntEnum
from typing import TypeAlias


class Tier(IntEnum):
    """How far a value may travel, from published to never leaving. Higher is narrower."""

    OPEN = 0
    COMMUNITY = 1
    PARTNER = 2
    NETWORK = 3
    SEALED = 4

    @property
    def label(self) -> str:
        """The name in policy files and scopes: `open`, `community`, ..."""
        return self.name.lower()


SCOPED_TIERS = (Tier.OPEN, Tier.COMMUNITY, Tier.PARTNER)
"""The tiers that have a scope. `network` and `sealed` have none, so no token mistake can release them."""

HANDLING_LABELS = ("TLP:CLEAR", "TLP:GREEN", "TLP:AMBER", "TLP:AMBER+STRICT", "TLP:RED")
"""TLP 2.0 labels in the order of the tiers: handling label i is the lowest tier that may know of the record."""

ACTION_SCOPES = frozenset(
    {"exchange", "introduce", "visit", "statistics", "records:write", "policy:write", "peers:write", "audit:read"}
)
NEVER_FOR_PEERS = frozenset({"policy:write", "peers:write"})
READING_SCOPE = re.compile(r"[a-z][A-Za-z0-9]*:(?:open|community|partner)")
"""How a scope that opens a step is written: `<type>:<tier>`. There is no wildcard."""

Formula: TypeAlias = tuple[frozenset[str], ...]
"""Scopes in disjunctive form: the outer tuple is OR, each set AND. The empty tuple is nobody."""

NOBODY: Formula = ()


def scope_for(type_name: str, tier: Tier) -> str:
    """`scope_for("fundingCall", Tier.PARTNER)` is `fundingCall:partner`. Raises ValueError for network and sealed."""
    if tier not in SCOPED_TIERS:
        raise ValueError(f"no scope opens {tier.label}")
    return f"{type_name}:{tier.label}"


def closure(scopes: frozenset[str]) -> frozenset[str]:
    """All scopes that are held when these are: `partner` contains `community`, which contains `open`."""
    held = set(scopes)
    for scope in scopes:
        name, _, tier = scope.rpartition(":")
        if not name:
            continue
        if tier == "partner":
            held |= {f"{name}:community", f"{name}:open"}
        elif tier == "community":
            held.add(f"{name}:open")
    return frozenset(held)


def reading(scopes: frozenset[str]) -> frozenset[str]:
    """The closed reading scopes among these: actions, wildcards and words that are no scope open nothing."""
    return closure(frozenset(scope for scope in scopes if READING_SCOPE.fullmatch(scope)))


def satisfied(formula: Formula, held: frozenset[str]) -> bool:
    """Whether the (closed) scopes open the formula. An empty alternative is nobody, never everyone."""
    return any(alternative and alternative <= held for alternative in formula)


def implies(narrow: Formula, wide: Formula) -> bool:
    """Whether everyone who opens `narrow` opens `wide`. Exact, because formulas have no negation: the fewest
    scopes that open an alternative are its own closure."""
    return all(satisfied(wide, closure(alternative)) for alternative in narrow)


def simplify(formula: Formula) -> Formula:
    """The one shortest form: equal for formulas that the same viewers open. Scopes that others contain and
    alternatives that others allow are left out; the rest is sorted."""
    least = {
        frozenset(one for one in alternative if not any(one in closure(frozenset({o})) for o in alternative - {one}))
        for alternative in formula
    }
    kept = [one for one in least if not any(other <= closure(one) for other in least - {one})]
    return tuple(sorted(kept, key=sorted))
