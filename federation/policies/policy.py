"""A node's policy: the rules of all fields as one value, with its canonical text and its version.

Pure. It must never hold a rule that the checks of the loading did not pass.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from federation.policies.catalogue import FIXED_FIELDS, Catalogue, FieldRules
from federation.policies.ladders import (
    NOBODY_OPENS,
    Opening,
    Rule,
    default_rule,
    fault,
    ladder_fault,
    own_tier,
)
from federation.policies.tiers import SCOPED_TIERS, Tier

NOBODY_WORD = "nobody"
OPENS = "opens"
CONDITIONS = ("affiliation", "jurisdiction", "not_jurisdiction")
"""How policy files write an opening that asks something of the viewer besides scopes."""


@dataclass(frozen=True)
class Policy:
    """The rules of every field of every type, by (type, field). `version` names the canonical form: two policies
    that share alike have the same one."""

    version: str
    rules: Mapping[tuple[str, str], Rule]
    catalogue: Catalogue

    def __hash__(self) -> int:
        return hash(self.version)

    def rule(self, type_key: str, field: str) -> Rule:
        """The rule of the field; one that opens to nobody where there is none. Fixed fields are in every type."""
        kind = self.catalogue.types.get(type_key)
        if kind is not None and field in FIXED_FIELDS:
            return default_rule(type_key, FieldRules(field, True, (("exact", FIXED_FIELDS[field]),)))
        return self.rules.get((type_key, field)) or Rule(type_key, field, ())


def policy_of(rules: Iterable[Rule], catalogue: Catalogue) -> Policy:
    """The policy of these rules; a field without one is open to nobody. Raises ValueError for a rule that no
    policy file could hold: of an unknown or fixed field, wrong steps, a sealed step opened, a broken ladder."""
    given = {(rule.type, rule.field): rule for rule in rules}
    complete: dict[tuple[str, str], Rule] = {}
    for kind in catalogue.types.values():
        for field in kind.fields.values():
            shut = Rule(kind.key, field.name, tuple((step, NOBODY_OPENS) for step in field.step_names))
            rule = given.pop((kind.key, field.name), shut)
            wrong = _rule_fault(field, rule)
            if wrong is not None:
                raise ValueError(f"{kind.key}.{field.name}: {wrong}")
            complete[kind.key, field.name] = rule
    if given:
        raise ValueError("a rule of a field that does not exist")
    text = _text(complete, catalogue)
    return Policy(hashlib.sha256(text.encode()).hexdigest()[:32], MappingProxyType(complete), catalogue)


def _rule_fault(field: FieldRules, rule: Rule) -> str | None:
    if tuple(step for step, _ in rule.steps) != field.step_names:
        return "the rule has other steps than the field"
    if field.name in FIXED_FIELDS and rule != default_rule(rule.type, field):
        return "the rule of this field is fixed"
    for (step, tier), (_, opening) in zip(field.steps, rule.steps, strict=True):
        wrong = fault(rule.type, tier, opening)
        if wrong is not None:
            return f"the step {step} {wrong}"
    return None if ladder_fault(rule.steps) is None else "a coarser step needs more than a finer one"


def default_policy(catalogue: Catalogue) -> Policy:
    """The policy that stands in the record types."""
    return policy_of(default_rules(catalogue).values(), catalogue)


def default_rules(catalogue: Catalogue) -> dict[tuple[str, str], Rule]:
    """The rules that stand in the record types, by (type, field), in the order of the catalogue."""
    return {
        (kind.key, field.name): default_rule(kind.key, field)
        for kind in catalogue.types.values()
        for field in kind.fields.values()
    }


def canonical(policy: Policy) -> str:
    """The policy as TOML: every field, every step, in the order of the catalogue, formulas in their shortest form.
    Loading it gives the same policy, also where the defaults have changed meanwhile."""
    return _text(policy.rules, policy.catalogue)


def _text(rules: Mapping[tuple[str, str], Rule], catalogue: Catalogue) -> str:
    lines: list[str] = []
    for kind in catalogue.types.values():
        lines.append(f"[{kind.key}]")
        for field in kind.fields.values():
            if field.name in FIXED_FIELDS:
                continue
            rule = rules[kind.key, field.name]
            values = [
                (step, opening_text(kind.key, opening, tier))
                for (step, tier), (_, opening) in zip(field.steps, rule.steps, strict=True)
            ]
            text = "{ " + ", ".join(f"{step} = {value}" for step, value in values) + " }"
            lines.append(f"{field.name} = {values[0][1] if len(values) == 1 else text}")
        lines.append("")
    return "\n".join(lines)


def opening_text(type_key: str, opening: Opening, tier: Tier = Tier.OPEN) -> str:
    """An opening as it is written in a policy file. `tier` is the default of the step: where nobody opens one that
    is `network` or `sealed`, the text says so."""
    alone = own_tier(type_key, Opening(opening.formula))
    if not opening.formula:
        who = _quoted(NOBODY_WORD if tier in SCOPED_TIERS else tier.label)
    elif alone is not None:
        who = _quoted(alone.label)
    else:
        who = "[" + ", ".join(_quoted_list(alternative) for alternative in opening.formula) + "]"
    if opening.predicate is None:
        return who
    asked = [(key, getattr(opening.predicate, key)) for key in CONDITIONS]
    parts = [f"{OPENS} = {who}", *(f"{key} = {_quoted_list(words)}" for key, words in asked if words is not None)]
    return "{ " + ", ".join(parts) + " }"


def _quoted(word: str) -> str:
    return json.dumps(word)


def _quoted_list(words: Iterable[str]) -> str:
    return "[" + ", ".join(_quoted(word) for word in sorted(words)) + "]"
