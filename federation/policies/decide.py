"""What a viewer sees of a type, of a field, of a record: the coarsest of everything that has a say, with reasons.

Pure: rule, scopes, agreement, caps, the origin's terms, predicates and the precision in which a value is held go in;
a step or nothing comes out. It must never look at a value or a clock, and what it does not understand shows nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

from federation.policies.catalogue import PAIRWISE_TYPES, Catalogue, FieldRules, TypeRules
from federation.policies.ladders import Opening
from federation.policies.policy import Policy
from federation.policies.predicates import holds, predicate_words
from federation.policies.terms import Terms
from federation.policies.tiers import HANDLING_LABELS, SCOPED_TIERS, Tier, reading, satisfied, scope_for
from federation.policies.viewer import AFFILIATIONS, Projection, Viewer, ViewerKind

Limits: TypeAlias = Mapping[str, str | None]
"""For a field the finest step that is allowed or held, None for none. A field that is not named has no limit."""

NO_LIMITS: Limits = MappingProxyType({})


@dataclass(frozen=True)
class Explanation:
    """The step that a viewer sees, or None, and why: one plain sentence for each thing that had a say."""

    step: str | None
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class _Sight:
    """All that a decision on one type knows of who asks. `barrier`: why nothing of the type is seen at all."""

    policy: Policy
    kind: TypeRules
    viewer: Viewer
    scopes: frozenset[str]
    clearance: Tier | None
    terms: Terms | None
    barrier: str | None


def rights(viewer: Viewer) -> frozenset[str]:
    """The closed reading scopes that a viewer may use now: those of its token, and for whoever has an agreement
    only those that the agreement grants while it is active. A peer without an agreement has none."""
    held = reading(viewer.scopes)
    if viewer.agreement is None:
        return frozenset() if viewer.kind is ViewerKind.PEER else held
    return held & reading(viewer.agreement.scopes) if viewer.agreement.active else frozenset()


def decide(policy: Policy, viewer: Viewer, type_key: str, terms: Terms | None = None) -> Projection:
    """What the viewer sees of one type: own records, or with `terms` those received under them.

    For each field the finest step that everything allows. A viewer that sees no field beside the common ones knows
    of no record: its projection is empty, as for a type that does not exist. An account of this node sees the finest
    step that is not sealed. How far a path may still go (`terms.hops`) depends on the record, not on this.
    """
    sight = _sight(policy, viewer, type_key, terms)
    if sight is None or sight.barrier is not None:
        return Projection(type_key, {}, None)
    steps = {}
    for field in sight.kind.fields.values():
        step = _finest(sight, field, NO_LIMITS, NO_LIMITS)
        if step is not None:
            steps[field.name] = step
    if all(sight.kind.fields[name].common for name in steps):
        return Projection(type_key, {}, None)
    return Projection(type_key, steps, sight.clearance)


def knows(
    policy: Policy,
    viewer: Viewer,
    type_key: str,
    handling: Tier = Tier.OPEN,
    caps: Limits | None = None,
    terms: Terms | None = None,
    held: Limits | None = None,
) -> bool:
    """Whether the viewer knows of a record: its clearance reaches the handling (the tier of the label), and it sees
    at least one field beside the common ones. `caps` and `held` are the record's own; see `effective`."""
    sight = _sight(policy, viewer, type_key, terms)
    return sight is not None and _ignorance(sight, handling, caps or NO_LIMITS, held or NO_LIMITS) is None


def effective(
    policy: Policy,
    viewer: Viewer,
    type_key: str,
    field: str,
    handling: Tier = Tier.OPEN,
    caps: Limits | None = None,
    terms: Terms | None = None,
    held: Limits | None = None,
) -> str | None:
    """The step in which the viewer sees a field of one record, or None.

    The coarsest of rule, token scopes, agreement, caps, origin's terms, predicates and the precision in which the
    value is held. `handling` is the tier of the record's label; `caps` are the record's, `held` the finest steps that
    a received record has. Caps say what may leave: they do not bind accounts of this node.
    """
    return explain(policy, viewer, type_key, field, terms, caps, held, handling).step


def explain(
    policy: Policy,
    viewer: Viewer,
    type_key: str,
    field: str,
    terms: Terms | None = None,
    caps: Limits | None = None,
    held: Limits | None = None,
    handling: Tier = Tier.OPEN,
) -> Explanation:
    """As `effective`, with the reasons: a sentence for each step that is withheld, and for the one that is seen."""
    sight = _sight(policy, viewer, type_key, terms)
    if sight is None:
        return Explanation(None, (f"There is no type {type_key}.",))
    rules = sight.kind.field(field)
    if rules is None:
        return Explanation(None, (f"{type_key} has no field {field}.",))
    caps, held = caps or NO_LIMITS, held or NO_LIMITS
    unknown = _ignorance(sight, handling, caps, held)
    if unknown is not None:
        return Explanation(None, (unknown,))
    reasons: list[str] = []
    for step, tier in rules.steps:
        refusal = next(_refusals(sight, rules, step, tier, caps, held), None)
        if refusal is None:
            return Explanation(step, (*reasons, f"{step}: seen, {_why(sight, rules, step)}."))
        reasons.append(f"{step}: withheld, {refusal}.")
    return Explanation(None, tuple(reasons))


def class_key(policy: Policy, viewer: Viewer, catalogue: Catalogue, codes_version: str) -> str:
    """The class of a viewer for exchange: equal for viewers who see the same, own and received records alike, in
    one version of the code lists; a class of its own for each viewer who sees a type with pairwise ids.

    Own projections settle the received ones too: ladders are monotone, so that under any terms a received field is
    the own step or a coarser one, down to what the terms let pass at this clearance and State affiliation.
    """
    own = {key: decide(policy, viewer, key) for key in catalogue.types}
    seen = {key: projection for key, projection in sorted(own.items()) if not projection.empty}
    pairwise = any(key in PAIRWISE_TYPES for key in seen)
    body = [
        "class",
        codes_version,
        [[key, projection.key] for key, projection in seen.items()],
        viewer.affiliation if seen and viewer.affiliation in AFFILIATIONS else None,
        viewer.subject if pairwise else None,
    ]
    return hashlib.sha256(json.dumps(body, separators=(",", ":")).encode()).hexdigest()[:32]


def _sight(policy: Policy, viewer: Viewer, type_key: str, terms: Terms | None) -> _Sight | None:
    kind = policy.catalogue.types.get(type_key)
    if kind is None:
        return None
    if viewer.at_home:
        return _Sight(policy, kind, viewer, frozenset(), Tier.SEALED, terms, None)
    scopes = rights(viewer)
    clearance = max((tier for tier in SCOPED_TIERS if scope_for(type_key, tier) in scopes), default=None)
    if clearance is Tier.PARTNER and terms is not None:
        clearance = Tier.COMMUNITY  # partner records go to a named peer and no further
    barrier = _barrier(viewer, kind, clearance) or (_terms_barrier(viewer, kind, terms) if terms else None)
    return _Sight(policy, kind, viewer, scopes, clearance, terms, barrier)


def _barrier(viewer: Viewer, kind: TypeRules, clearance: Tier | None) -> str | None:
    agreement = viewer.agreement
    if agreement is None and viewer.kind is ViewerKind.PEER:
        return "Nothing is seen: there is no agreement with this peer."
    if agreement is not None and not agreement.active:
        return "Nothing is seen: the agreement is not active."
    if clearance is None:
        return f"Nothing is seen: the viewer may use no scope of {kind.key}."
    if agreement is not None and any(key == kind.key and name not in kind.fields for key, name in agreement.narrowing):
        return f"Nothing is seen: the agreement narrows a field that {kind.key} does not have."
    return None


def _terms_barrier(viewer: Viewer, kind: TypeRules, terms: Terms) -> str | None:
    if not kind.relayable:
        return f"Nothing is seen: received records of {kind.key} are never passed on."
    if not terms.relay:
        return "Nothing is seen: the origin does not let it be passed on."
    if terms.not_to_affiliation and viewer.affiliation not in AFFILIATIONS:
        return "Nothing is seen: the origin asks for the State affiliation, which is unknown."
    if viewer.affiliation in terms.not_to_affiliation:
        return f"Nothing is seen: the origin does not let it go to State affiliation {viewer.affiliation}."
    return None


def _ignorance(sight: _Sight, handling: Tier, caps: Limits, held: Limits) -> str | None:
    """Why the viewer does not know of the record, or None if it does."""
    if sight.barrier is not None:
        return sight.barrier
    if sight.clearance is None or handling > sight.clearance:
        return f"Nothing is seen: the record is {HANDLING_LABELS[handling]}, beyond what the viewer may know of."
    fields = [field for field in sight.kind.fields.values() if not field.common]
    if all(_finest(sight, field, caps, held) is None for field in fields):
        return "Nothing is seen: no field beside the common ones is open to the viewer."
    return None


def _finest(sight: _Sight, field: FieldRules, caps: Limits, held: Limits) -> str | None:
    for step, tier in field.steps:
        if next(_refusals(sight, field, step, tier, caps, held), None) is None:
            return step
    return None


def _refusals(sight: _Sight, field: FieldRules, step: str, tier: Tier, caps: Limits, held: Limits) -> Iterator[str]:
    """Everything that withholds the step, as parts of a sentence; the first is enough."""
    if tier is Tier.SEALED:
        yield "it is sealed and nothing opens it"
    if field.name in held and step not in field.coarsens_to(held[field.name]):
        yield f"it is held {_as_limit(held[field.name])}"
    if sight.viewer.at_home:
        return
    yield from _rule_refusals(sight, sight.policy.rule(sight.kind.key, field.name).opening(step))
    for name in field.tells_of:
        if _finest(sight, sight.kind.fields[name], NO_LIMITS, NO_LIMITS) is None:
            yield f"it tells of {name}, which the viewer does not see"
    narrowing = sight.viewer.agreement.narrowing if sight.viewer.agreement is not None else {}
    key = (sight.kind.key, field.name)
    if key in narrowing and step not in field.coarsens_to(narrowing[key]):
        yield f"the agreement gives this field {_as_limit(narrowing[key])}"
    if field.name in caps and step not in field.coarsens_to(caps[field.name]):
        yield f"the record lets this field leave {_as_limit(caps[field.name])}"
    if sight.terms is not None:
        yield from _terms_refusals(sight, sight.terms, field, step)


def _rule_refusals(sight: _Sight, opening: Opening) -> Iterator[str]:
    viewer = sight.viewer
    if not opening.formula:
        yield "the rule opens it to nobody"
    elif not satisfied(opening.formula, sight.scopes):
        yield f"the rule asks for {_formula_words(opening)}"
    elif opening.predicate is not None and not holds(opening.predicate, viewer.affiliation, viewer.jurisdiction):
        yield f"the rule asks for {predicate_words(opening.predicate)}, which this viewer does not have or is unknown"


def _terms_refusals(sight: _Sight, terms: Terms, field: FieldRules, step: str) -> Iterator[str]:
    label = terms.label(field.name, step)
    if sight.clearance is None or label > sight.clearance:
        yield f"the origin keeps it {label.label}"
    if not terms.lets_leave(field.name, step):
        yield f"the origin lets this field leave {_as_limit(terms.caps[field.name])}"


def _as_limit(step: str | None) -> str:
    return "not at all" if step is None else f"as {step} at most"


def _formula_words(opening: Opening) -> str:
    return ", or for ".join(" and ".join(sorted(one)) for one in opening.formula)


def _why(sight: _Sight, field: FieldRules, step: str) -> str:
    if sight.viewer.at_home:
        return "as by every account of this node"
    opening = sight.policy.rule(sight.kind.key, field.name).opening(step)
    used = next(one for one in opening.formula if one <= sight.scopes)
    asked = "" if opening.predicate is None else f" with {predicate_words(opening.predicate)}"
    return f"opened by {' and '.join(sorted(used))}{asked}"
