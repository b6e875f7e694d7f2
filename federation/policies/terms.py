"""Onward terms: what the origin of a record lets others do with it, signed with the record and never loosened.

Pure. What is not understood in them is refused; a step without a label may go nowhere.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from types import MappingProxyType
from typing import Any, TypeAlias

from federation.errors import BadInput
from federation.policies.catalogue import FIXED_FIELDS, NAME
from federation.policies.ladders import Opening
from federation.policies.policy import Policy
from federation.policies.tiers import Tier, closure, satisfied, scope_for
from federation.policies.viewer import AFFILIATIONS

MAX_HOPS = 16
MAX_FIELDS = 200
MAX_STEPS = 16

Labels: TypeAlias = Mapping[str, tuple[tuple[str, Tier], ...]]
"""For each field the tier of each step, exact first: `open` may be published, `community` copied, others not."""

_KEYS = frozenset({"relay", "hops", "caps", "not_to_affiliation", "labels"})
_TIERS = {tier.label: tier for tier in Tier}


@dataclass(frozen=True)
class Terms:
    """`relay`: whether it may be passed on at all. `hops`: how many nodes a path may count. `caps`: the finest step
    of a field that may leave, None for none. `not_to_affiliation`: State affiliations that may not have it.
    `hash` is the SHA-256 of the canonical JSON, in base64url. Raises BadInput for what breaks the bounds."""

    relay: bool
    hops: int
    caps: Mapping[str, str | None]
    not_to_affiliation: frozenset[str]
    labels: Labels
    hash: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "caps", MappingProxyType(dict(self.caps)))
        object.__setattr__(self, "labels", MappingProxyType(dict(self.labels)))
        object.__setattr__(self, "not_to_affiliation", frozenset(self.not_to_affiliation))
        _check(self)
        body = json.dumps(self.to_json(), separators=(",", ":"), sort_keys=True)
        digest = hashlib.sha256(body.encode()).digest()
        object.__setattr__(self, "hash", base64.urlsafe_b64encode(digest).rstrip(b"=").decode())

    def __hash__(self) -> int:
        return hash(self.hash)

    def label(self, field: str, step: str) -> Tier:
        """The origin's tier of the step; what it does not name is `network`. Fixed fields are what they are."""
        if field in FIXED_FIELDS:
            return FIXED_FIELDS[field]
        return dict(self.labels.get(field, ())).get(step, Tier.NETWORK)

    def lets_leave(self, field: str, step: str) -> bool:
        """Whether the caps let the step leave: by the origin's own order of steps, which may know more of them."""
        return field not in self.caps or step in _allowed(self, field)

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dict: `{"relay", "hops", "caps", "not_to_affiliation", "labels": {field: [[step, tier]]}}`."""
        return {
            "relay": self.relay,
            "hops": self.hops,
            "caps": dict(sorted(self.caps.items())),
            "not_to_affiliation": sorted(self.not_to_affiliation),
            "labels": {
                name: [[step, tier.label] for step, tier in steps] for name, steps in sorted(self.labels.items())
            },
        }

    @classmethod
    def from_json(cls, body: object) -> Terms:
        """Terms as `to_json` gives them, and nothing else. Raises BadInput for any other key, type or bound."""
        if not isinstance(body, dict) or body.keys() != _KEYS:
            raise BadInput("Terms have exactly relay, hops, caps, not_to_affiliation and labels.")
        affiliations = body["not_to_affiliation"]
        if not isinstance(affiliations, list) or any(not isinstance(one, str) for one in affiliations):
            raise BadInput("The affiliations in terms are a list of words.")
        if affiliations != sorted(set(affiliations)):
            raise BadInput("The affiliations in terms are sorted and named once.")
        if not isinstance(body["caps"], dict) or not isinstance(body["labels"], dict):
            raise BadInput("Caps and labels in terms are objects.")
        labels = {name: _steps(steps) for name, steps in body["labels"].items()}
        return cls(body["relay"], body["hops"], body["caps"], frozenset(affiliations), labels)


def _steps(value: object) -> tuple[tuple[str, Tier], ...]:
    if not isinstance(value, list):
        raise BadInput("The labels of a field in terms are a list of [step, tier].")
    for pair in value:
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(word, str) for word in pair):
            raise BadInput("The labels of a field in terms are a list of [step, tier].")
        if pair[1] not in _TIERS:
            raise BadInput("A label in terms is a tier.")
    return tuple((step, _TIERS[tier]) for step, tier in value)


def _check(terms: Terms) -> None:
    if type(terms.relay) is not bool:
        raise BadInput("Whether terms allow relaying is true or false.")
    if type(terms.hops) is not int or not 0 <= terms.hops <= MAX_HOPS:
        raise BadInput(f"The hops in terms are a whole number from 0 to {MAX_HOPS}.")
    if not terms.not_to_affiliation <= frozenset(AFFILIATIONS):
        raise BadInput("Terms name a State affiliation that is not known here.")
    if len(terms.labels) > MAX_FIELDS:
        raise BadInput("Terms name too many fields.")
    for name, steps in terms.labels.items():
        _check_ladder(name, steps)
    for name, cap in terms.caps.items():
        if name not in terms.labels or (cap is not None and cap not in [step for step, _ in terms.labels[name]]):
            raise BadInput("A cap in terms names a field or step that has no label.")


def _check_ladder(name: str, steps: tuple[tuple[str, Tier], ...]) -> None:
    names = [step for step, _ in steps]
    if len(steps) > MAX_STEPS or len(set(names)) != len(names):
        raise BadInput("Terms name a step twice, or too many.")
    if any(not isinstance(word, str) or not NAME.fullmatch(word) for word in (name, *names)):
        raise BadInput("Terms name a field or step that cannot be one.")
    if any(coarse > fine for (_, fine), (_, coarse) in pairwise(steps)):
        raise BadInput("In terms a coarser step may not be kept closer than a finer one.")


def labels(policy: Policy, type_key: str) -> Labels:
    """The tier of each step of each field of the type under this policy, as the origin tells it to others.

    `open` and `community` only where that scope of the type alone opens the step, whoever asks; every other formula
    and every predicate is `partner`, and nobody is `network`. Sealed steps stay `sealed`. A field that tells of others
    is kept as close as the closest of them. Raises KeyError for a type that does not exist.
    """
    told: dict[str, tuple[tuple[str, Tier], ...]] = {}
    for name, rules in policy.catalogue.types[type_key].fields.items():
        rule = policy.rule(type_key, name)
        told[name] = tuple((step, _label(type_key, tier, rule.opening(step))) for step, tier in rules.steps)
    for name, rules in policy.catalogue.types[type_key].fields.items():
        closest = max((told[other][-1][1] for other in rules.tells_of), default=Tier.OPEN)
        told[name] = tuple((step, max(tier, closest)) for step, tier in told[name])
    return MappingProxyType(told)


def _label(type_key: str, default: Tier, opening: Opening) -> Tier:
    if default is Tier.SEALED:
        return Tier.SEALED
    if not opening.formula:
        return Tier.NETWORK
    if opening.predicate is None:
        for tier in (Tier.OPEN, Tier.COMMUNITY):
            if satisfied(opening.formula, closure(frozenset({scope_for(type_key, tier)}))):
                return tier
    return Tier.PARTNER


def own_terms(
    policy: Policy,
    type_key: str,
    *,
    relay: bool,
    hops: int,
    caps: Mapping[str, str | None] | None = None,
    not_to_affiliation: frozenset[str] = frozenset(),
) -> Terms:
    """The terms that go out with this node's own records of a type. A type that is not relayable never says relay.

    Raises BadInput for caps of fields or steps that the type does not have, KeyError for an unknown type.
    """
    relayed = relay and policy.catalogue.types[type_key].relayable
    return Terms(relayed, hops, caps or {}, not_to_affiliation, labels(policy, type_key))


def tighten(one: Terms, other: Terms) -> Terms:
    """Terms that allow what both allow: how terms change along a path, if they change. Commutative but for the
    order of fields, and never looser than either: steps that one of them does not know are left out."""
    names = [name for name in one.labels if name in other.labels]
    told = {name: _both(one.labels[name], other.labels[name]) for name in names}
    caps: dict[str, str | None] = {}
    for name in names:
        if name in one.caps or name in other.caps:
            left = _allowed(one, name) & _allowed(other, name)
            caps[name] = next((step for step, _ in told[name] if step in left), None)
    return Terms(
        one.relay and other.relay,
        min(one.hops, other.hops),
        caps,
        one.not_to_affiliation | other.not_to_affiliation,
        told,
    )


def _both(one: tuple[tuple[str, Tier], ...], other: tuple[tuple[str, Tier], ...]) -> tuple[tuple[str, Tier], ...]:
    """The steps that both name, each at the narrower tier; none where they disagree on which is the finer."""
    mine, theirs = dict(one), dict(other)
    shared = [step for step in mine if step in theirs]
    if shared != [step for step in theirs if step in mine]:
        return ()
    return tuple((step, max(mine[step], theirs[step])) for step in shared)


def _allowed(terms: Terms, name: str) -> frozenset[str]:
    steps = [step for step, _ in terms.labels[name]]
    if name not in terms.caps:
        return frozenset(steps)
    cap = terms.caps[name]
    return frozenset() if cap is None else frozenset(steps[steps.index(cap) :])
