"""The policies of the record types as they are: defaults, canonical text and projections of the real catalogue."""

from __future__ import annotations

from dataclasses import replace

import pytest

from federation.policies.decide import decide, explain
from federation.policies.policy import Policy
from federation.policies.rules import canonical, default_policy, load_policy
from federation.policies.terms import Terms, labels, own_terms
from federation.policies.tiers import SCOPED_TIERS, Tier, scope_for
from federation.policies.viewer import Agreement, Viewer, ViewerKind, anonymous
from federation.records.registry import RECORD_TYPES, catalogue

CATALOGUE = catalogue()
TYPES = tuple(RECORD_TYPES)


@pytest.fixture(scope="module")
def policy() -> Policy:
    return default_policy(CATALOGUE)


def peer(tier: Tier) -> Viewer:
    scopes = frozenset(scope_for(key, tier) for key in TYPES)
    return Viewer(ViewerKind.PEER, "https://west.example", scopes, Agreement(scopes), "none", "NL")


@pytest.mark.parametrize("type_key", TYPES)
def test_nobody_sees_nothing_by_default(policy: Policy, type_key: str) -> None:
    assert decide(policy, anonymous(), type_key).empty


@pytest.mark.parametrize("tier", SCOPED_TIERS)
@pytest.mark.parametrize("type_key", TYPES)
def test_each_tier_sees_the_finest_step_of_its_tier_and_nothing_above(
    policy: Policy, type_key: str, tier: Tier
) -> None:
    fields = CATALOGUE.types[type_key].fields
    expected = {
        name: next(step for step, needed in one.steps if needed <= tier)
        for name, one in fields.items()
        if any(needed <= tier for _, needed in one.steps)
    }
    seen = decide(policy, peer(tier), type_key).steps
    assert seen == ({} if all(fields[name].common for name in expected) else expected)


def test_the_canonical_text_loads_to_the_same_policy(policy: Policy) -> None:
    assert load_policy(canonical(policy), CATALOGUE) == policy


@pytest.mark.parametrize("type_key", TYPES)
def test_terms_of_every_type_survive_the_wire(policy: Policy, type_key: str) -> None:
    terms = own_terms(policy, type_key, relay=True, hops=2)
    assert Terms.from_json(terms.to_json()) == terms
    assert terms.relay is CATALOGUE.types[type_key].relayable


@pytest.mark.parametrize("type_key", TYPES)
def test_the_list_of_translations_is_for_those_who_see_the_texts_that_it_tells_of(type_key: str) -> None:
    texts = CATALOGUE.types[type_key].fields["translations"].tells_of
    assert texts
    for name in texts:
        narrowed = load_policy(f'[{type_key}]\n{name} = "nobody"\n', CATALOGUE)
        viewer = peer(Tier.PARTNER)
        assert "translations" not in decide(narrowed, viewer, type_key).steps
        if not decide(narrowed, viewer, type_key).empty:
            told = explain(narrowed, viewer, type_key, "translations")
            assert told.reasons == (f"exact: withheld, it tells of {name}, which the viewer does not see.",)
        assert labels(narrowed, type_key)["translations"] == (("exact", Tier.NETWORK),)
        assert "translations" in decide(narrowed, Viewer(ViewerKind.STEWARD, "asha"), type_key).steps


def test_an_agreement_that_takes_a_text_away_takes_the_list_of_its_translations_too(policy: Policy) -> None:
    plain = peer(Tier.COMMUNITY)
    narrower = replace(plain, agreement=Agreement(plain.scopes, narrowing={("resource", "summary"): None}))
    assert "translations" in decide(policy, plain, "resource").steps
    assert "translations" not in decide(policy, narrower, "resource").steps


def test_needs_and_spaces_are_never_passed_on(policy: Policy) -> None:
    for type_key in ("need", "space"):
        told = own_terms(policy, type_key, relay=True, hops=2).to_json()
        assert decide(policy, peer(Tier.PARTNER), type_key, Terms.from_json({**told, "relay": True})).empty
