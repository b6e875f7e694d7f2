"""A small catalogue, viewers, strategies, and an oracle for policies that shares no code with them.

The oracle thinks in numbers and lists: a scope is a rank of a type, a step is seen when every party in turn says so,
and questions about all viewers are answered by trying all viewers.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from random import Random

from hypothesis import strategies as st

from federation.policies.catalogue import Catalogue, FieldRules, TypeRules
from federation.policies.ladders import NOBODY_OPENS, Opening, Rule, opening_implies, tier_opening
from federation.policies.policy import Policy, default_rules, policy_of
from federation.policies.predicates import Predicate
from federation.policies.terms import Terms
from federation.policies.tiers import Tier
from federation.policies.viewer import AFFILIATIONS, Agreement, Viewer, ViewerKind

OPEN, COMMUNITY, PARTNER, NETWORK, SEALED = Tier
SCOPED = (OPEN, COMMUNITY, PARTNER)
PLACES = ("KE", "NL", "US")


def field(name: str, common: bool = False, **steps: Tier) -> FieldRules:
    return FieldRules(name, common, tuple(steps.items()))


def kind(key: str, *fields: FieldRules, relayable: bool = True) -> TypeRules:
    return TypeRules(key, {one.name: one for one in fields}, relayable)


COMMON = (
    field("verified_on", common=True, exact=COMMUNITY, month=OPEN),
    field("language", common=True, exact=OPEN),
    field("internal_notes", common=True, exact=SEALED),
)

CATALOGUE = Catalogue(
    {
        one.key: one
        for one in (
            kind(
                "resource",
                field("title", exact=OPEN),
                field("languages", exact=COMMUNITY, macro=OPEN),
                field("amount", exact=PARTNER, band=COMMUNITY),
                field("area", exact=NETWORK, country=PARTNER, sub_region=OPEN),
                field("contact", exact=SEALED, relay=COMMUNITY),
                field("site", exact=SEALED),
                field("horizon", exact=PARTNER, year=COMMUNITY),
                field("round_the_clock", exact=OPEN),
                FieldRules("translations", True, (("exact", OPEN),), ("title", "area")),
                *COMMON,
            ),
            kind(
                "fundingCall",
                field("deadline", exact=OPEN),
                field("dates", exact=PARTNER, month=COMMUNITY, quarter=OPEN),
                *COMMON,
            ),
            kind("need", field("topic", exact=COMMUNITY), field("urgency", exact=PARTNER), *COMMON, relayable=False),
            kind("space", field("door_card", exact=PARTNER), field("name", exact=SEALED), *COMMON, relayable=False),
        )
    }
)
TYPES = tuple(CATALOGUE.types)
FIELDS = tuple((key, name) for key in TYPES for name in CATALOGUE.types[key].fields)


def member() -> Viewer:
    return Viewer(ViewerKind.MEMBER, "aminata")


def client(*scopes: str) -> Viewer:
    return Viewer(ViewerKind.CLIENT, "dashboard", frozenset(scopes))


def peer(*scopes: str, affiliation: str | None = None, jurisdiction: str | None = None, **agreed: object) -> Viewer:
    """A peer whose token and active agreement hold the scopes; `agreed` overrides fields of the agreement."""
    agreement = Agreement(**{"scopes": frozenset(scopes), **agreed})  # type: ignore[arg-type]
    return Viewer(ViewerKind.PEER, "https://west.example", frozenset(scopes), agreement, affiliation, jurisdiction)


def everything(*, affiliation: str | None = "none", jurisdiction: str | None = "NL") -> Viewer:
    """A peer that was granted all that can be granted."""
    scopes = [f"{key}:partner" for key in TYPES]
    return peer(*scopes, affiliation=affiliation, jurisdiction=jurisdiction)


def with_rule(policy: Policy, type_key: str, name: str, **openings: Opening) -> Policy:
    """The policy with other openings for some steps of one field."""
    rules = dict(policy.rules)
    steps = {**dict(rules[type_key, name].steps), **openings}
    rules[type_key, name] = Rule(type_key, name, tuple(steps.items()))
    return policy_of(rules.values(), policy.catalogue)


def terms_for(type_key: str, **changes: object) -> Terms:
    """Terms that allow all that the default tiers allow."""
    told = {name: one.steps for name, one in CATALOGUE.types[type_key].fields.items()}
    plain = {"relay": True, "hops": 2, "caps": {}, "not_to_affiliation": frozenset(), "labels": told}
    return Terms(**{**plain, **changes})  # type: ignore[arg-type]


# The oracle


def ranks(scopes: frozenset[str]) -> dict[str, int]:
    """The highest tier held of each type, as a number; types without one are absent."""
    words = {"open": 0, "community": 1, "partner": 2}
    held: dict[str, int] = {}
    for scope in scopes:
        parts = scope.split(":")
        if len(parts) == 2 and parts[0] and parts[1] in words:
            held[parts[0]] = max(held.get(parts[0], -1), words[parts[1]])
    return held


def oracle_opens(opening: Opening, held: dict[str, int], affiliation: str | None, place: str | None) -> bool:
    """Whether these ranks and attributes open it."""
    for alternative in opening.formula:
        if all(held.get(name, -1) >= rank for name, rank in ranks(alternative).items()):
            break
    else:
        return False
    asked = opening.predicate
    if asked is None:
        return True
    checks = []
    if asked.affiliation is not None:
        checks.append(affiliation is not None and affiliation in asked.affiliation)
    if asked.jurisdiction is not None:
        checks.append(place is not None and place in asked.jurisdiction)
    if asked.not_jurisdiction is not None:
        checks.append(place is not None and place not in asked.not_jurisdiction)
    return all(checks)


def worlds() -> list[tuple[dict[str, int], str | None, str | None]]:
    """Every viewer that two types of scopes and the attributes can tell apart."""
    out = []
    for one, two in product((-1, 0, 1, 2), repeat=2):
        held = {name: rank for name, rank in (("resource", one), ("fundingCall", two)) if rank >= 0}
        out += [(held, tie, place) for tie in (None, *AFFILIATIONS) for place in (None, *PLACES, "ZZ")]
    return out


WORLDS = worlds()


def oracle_implies(narrow: Opening, wide: Opening) -> bool:
    return all(oracle_opens(wide, *world) for world in WORLDS if oracle_opens(narrow, *world))


def oracle_seen(policy, viewer, type_key, name, handling, caps, terms, held):  # type: ignore[no-untyped-def]
    """The set of steps of a field of a record that every party lets this viewer see, apart from knowing of it."""
    rules = policy.catalogue.types[type_key].fields[name]
    order = [step for step, _ in rules.steps]
    seen = set(order)
    seen -= {step for step, tier in rules.steps if tier == SEALED}
    if name in held:
        seen &= set(order[order.index(held[name]) :] if held[name] is not None else ())
    if viewer.kind in (ViewerKind.MEMBER, ViewerKind.STEWARD):
        return seen
    token, agreement = ranks(viewer.scopes), viewer.agreement
    if viewer.kind == ViewerKind.PEER and agreement is None:
        return set()
    if agreement is not None:
        granted = ranks(agreement.scopes) if agreement.active else {}
        token = {key: min(rank, granted[key]) for key, rank in token.items() if key in granted}
    rank = token.get(type_key, -1)
    if terms is not None:
        rank = min(rank, 1)
    if rank < 0 or int(handling) > rank:
        return set()
    rule = dict(policy.rules[type_key, name].steps)
    seen = {s for s in seen if oracle_opens(rule[s], token, viewer.affiliation, viewer.jurisdiction)}
    limits = (
        [caps] if agreement is None else [caps, {k[1]: s for k, s in agreement.narrowing.items() if k[0] == type_key}]
    )
    for limit in limits:
        if name in limit:
            seen &= set(order[order.index(limit[name]) :] if limit[name] is not None else ())
    if terms is not None:
        if not (terms.relay and policy.catalogue.types[type_key].relayable):
            return set()
        if terms.not_to_affiliation and viewer.affiliation not in set(AFFILIATIONS) - terms.not_to_affiliation:
            return set()
        told = list(terms.labels.get(name, ()))
        if name in terms.caps:
            names = [step for step, _ in told]
            told = told[names.index(terms.caps[name]) :] if terms.caps[name] is not None else []
        seen &= {step for step, tier in told if int(tier) <= rank}
    for other in rules.tells_of:
        if not oracle_seen(policy, viewer, type_key, other, handling, {}, terms, {}):
            return set()
    return seen


def oracle_effective(policy, viewer, type_key, name, handling, caps, terms, held):  # type: ignore[no-untyped-def]
    """The finest step that is seen, if the viewer knows of the record."""
    fields = policy.catalogue.types[type_key].fields
    telling = [one for one in fields if not fields[one].common]
    if not any(oracle_seen(policy, viewer, type_key, one, handling, caps, terms, held) for one in telling):
        return None
    seen = oracle_seen(policy, viewer, type_key, name, handling, caps, terms, held)
    return next((step for step, _ in fields[name].steps if step in seen), None)


# Strategies: hypothesis chooses and shrinks what there is; the inside of one rule comes from a seed, which is faster.

SOME_SCOPES = [f"{key}:{tier.label}" for key in ("resource", "fundingCall") for tier in SCOPED]
WORDS = [f"{key}:{tier.label}" for key in TYPES for tier in Tier] + ["exchange", "records:write", "resource", ":open"]

seeds = st.integers(0, 2**32 - 1)
all_scopes = st.frozensets(st.sampled_from(WORDS), max_size=6)


def chosen(chance: Random, words: Iterable[str], least: int, most: int) -> frozenset[str]:
    pool = sorted(words)
    return frozenset(chance.sample(pool, chance.randint(least, min(most, len(pool)))))


def a_predicate(chance: Random) -> Predicate:
    ties = chosen(chance, AFFILIATIONS, 1, 3)
    where = chosen(chance, PLACES, 1, 2)
    return chance.choice(
        [
            Predicate(affiliation=ties),
            Predicate(jurisdiction=where),
            Predicate(not_jurisdiction=where),
            Predicate(affiliation=ties, jurisdiction=where),
            Predicate(affiliation=ties, not_jurisdiction=where),
        ]
    )


def an_opening(chance: Random) -> Opening:
    formula = tuple(chosen(chance, SOME_SCOPES, 1, 3) for _ in range(chance.randint(0, 3)))
    return Opening(formula, a_predicate(chance) if chance.random() < 0.6 else None)


openings = seeds.map(lambda seed: an_opening(Random(seed)))
predicates = seeds.map(lambda seed: a_predicate(Random(seed)))


def narrowed(chance: Random, opening: Opening) -> Opening:
    """An opening that nobody opens who does not open this one."""
    if chance.random() < 0.3:
        return opening
    formula = tuple(one | chosen(chance, SOME_SCOPES, 0, 1) for one in opening.formula if chance.random() < 0.8)
    predicate = opening.predicate
    if predicate is None:
        predicate = a_predicate(chance) if chance.random() < 0.3 else None
    elif predicate.affiliation is not None and chance.random() < 0.5:
        kept = chosen(chance, predicate.affiliation, 1, 3)
        predicate = Predicate(kept, predicate.jurisdiction, predicate.not_jurisdiction)
    return Opening(formula, predicate)


def a_rule(chance: Random, type_key: str, rules: FieldRules) -> Rule:
    """A rule that passes every check: from coarse to fine, narrowed, and widened up to partner."""
    steps: list[tuple[str, Opening]] = []
    before: Opening | None = None
    for step, tier in reversed(rules.steps):
        opening = tier_opening(type_key, tier)
        if tier < SEALED:
            floor = [opening, tier_opening(type_key, PARTNER)]
            if before is None:
                extra = (frozenset({chance.choice(["fundingCall:partner", "resource:partner"])}),)
                opening = Opening((*opening.formula, *(extra if chance.random() < 0.5 else ())))
            else:
                own = chance.choice(floor)
                opening = Opening(tuple(a | b for a in before.formula for b in own.formula), before.predicate)
        before = narrowed(chance, opening)
        steps.append((step, before))
    return Rule(type_key, rules.name, tuple(reversed(steps)))


def a_tighter_rule(chance: Random, rule: Rule) -> Rule:
    """A rule of which no step is opened by anybody who does not open it in this one."""
    steps: list[tuple[str, Opening]] = []
    for step, opening in reversed(rule.steps):
        tight = narrowed(chance, opening)
        if steps:
            coarser = steps[-1][1]
            both = Opening(tuple(a | b for a in tight.formula for b in coarser.formula), tight.predicate)
            tight = both if opening_implies(both, coarser) else NOBODY_OPENS
        steps.append((step, tight))
    return Rule(rule.type, rule.field, tuple(reversed(steps)))


def _a_policy(chosen_fields: list[tuple[tuple[str, str], int]]) -> Policy:
    rules = dict(default_rules(CATALOGUE))
    for (key, name), seed in chosen_fields:
        rules[key, name] = a_rule(Random(seed), key, CATALOGUE.types[key].fields[name])
    return policy_of(rules.values(), CATALOGUE)


policies = st.lists(st.tuples(st.sampled_from(FIELDS), seeds), max_size=8).map(_a_policy)
"""Policies in which some fields have rules of their own."""

LIMITS = {
    key: st.lists(
        st.sampled_from(
            [(name, step) for name, one in CATALOGUE.types[key].fields.items() for step in (None, *one.step_names)]
        ),
        max_size=3,
    ).map(dict)
    for key in TYPES
}
"""For each type, limits of some of its fields."""

rich_scopes = st.sampled_from([frozenset({f"{key}:{tier.label}" for key in TYPES}) for tier in SCOPED])
agreements = st.builds(
    lambda scopes, one, two, active: Agreement(
        scopes,
        narrowing={("resource", n): s for n, s in one.items()} | {("fundingCall", n): s for n, s in two.items()},
        active=active > 0,
    ),
    rich_scopes | all_scopes,
    LIMITS["resource"],
    LIMITS["fundingCall"],
    st.integers(0, 5),
)
viewers = st.builds(
    lambda kind, scopes, agreement, tie, place: Viewer(kind, "somebody", scopes, agreement, tie, place),
    st.sampled_from([*[ViewerKind.PEER] * 4, *ViewerKind]),
    rich_scopes | all_scopes,
    st.none() | agreements | agreements | agreements,
    st.sampled_from([None, *AFFILIATIONS]),
    st.sampled_from([None, *PLACES]),
)


def _some_terms(type_key: str, seed: int) -> Terms:
    """Terms of an origin whose ladders may know fewer steps than ours, or more, or another order."""
    chance = Random(seed)
    told = {name: rules.steps for name, rules in CATALOGUE.types[type_key].fields.items()}
    for name in chosen(chance, told, 0, 5):
        names = chance.sample(sorted({*dict(told[name]), "odd", "coarsest"}), chance.randint(0, 3))
        tiers = sorted((chance.choice(list(Tier)) for _ in names), reverse=True)
        told[name] = tuple(zip(names, tiers, strict=True))
    return Terms(
        relay=chance.random() < 0.8,
        hops=chance.randint(0, 3),
        caps={name: chance.choice([None, *dict(told[name])]) for name in chosen(chance, told, 0, 3)},
        not_to_affiliation=chosen(chance, AFFILIATIONS, 0, 2) if chance.random() < 0.5 else frozenset(),
        labels=told,
    )


TERMS = {key: seeds.map(lambda seed, key=key: _some_terms(key, seed)) for key in TYPES}  # type: ignore[misc]
"""For each type, terms of received records."""
