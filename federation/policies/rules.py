"""Policies as the rest of the project uses them: load, print, compare. Pure.

The names of `policy`, `ladders` and `loading` that others need stand here together; `diff` is its own.
"""

from __future__ import annotations

from typing import NamedTuple

from federation.policies.ladders import Opening, Rule, opening_implies
from federation.policies.loading import load_policy
from federation.policies.policy import Policy, canonical, default_policy, opening_text, policy_of
from federation.policies.predicates import Predicate

__all__ = [
    "Change",
    "Opening",
    "Policy",
    "Predicate",
    "Rule",
    "canonical",
    "default_policy",
    "diff",
    "load_policy",
    "opening_text",
    "policy_of",
]


class Change(NamedTuple):
    """One step that another policy opens otherwise. `wider`: somebody opens it who did not; a change that is not
    only wider or only narrower is both."""

    type: str
    field: str
    step: str
    before: Opening
    after: Opening
    wider: bool

    @property
    def narrower(self) -> bool:
        """Whether somebody opened the step who no longer does."""
        return not opening_implies(self.before, self.after)

    @property
    def sentence(self) -> str:
        """The change as one line for a person."""
        ways = " and ".join(word for word, true in (("widens", self.wider), ("narrows", self.narrower)) if true)
        before, after = (opening_text(self.type, one) for one in (self.before, self.after))
        return f"{self.type}.{self.field}.{self.step} {ways}: {before} -> {after}"


def diff(before: Policy, after: Policy) -> list[Change]:
    """What changes from one policy to the other, in the order of the catalogue; a step that only one of them knows
    is open to nobody in the other."""
    changes = []
    for key in dict.fromkeys((*after.rules, *before.rules)):
        old, new = before.rule(*key), after.rule(*key)
        for step in dict.fromkeys(name for name, _ in (*new.steps, *old.steps)):
            one, other = old.opening(step), new.opening(step)
            if one != other:
                changes.append(Change(*key, step, one, other, not opening_implies(other, one)))
    return changes
