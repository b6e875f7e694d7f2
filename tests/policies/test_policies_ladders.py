"""Openings and ladders: the checks that no policy passes by."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from policy_cases import COMMUNITY, NETWORK, OPEN, PARTNER, SEALED, Tier, openings, oracle_implies, ranks

from federation.policies.ladders import (
    NOBODY_OPENS,
    Opening,
    Rule,
    fault,
    ladder_fault,
    opening_implies,
    own_tier,
    tier_opening,
)
from federation.policies.predicates import Predicate

ASKED = Predicate(affiliation=frozenset({"none"}))
QUICK = settings(max_examples=200, deadline=None)


def scopes(*alternatives: str) -> Opening:
    return Opening(tuple(frozenset(one.split()) for one in alternatives))


def test_nobody_opens_what_no_rule_names() -> None:
    rule = Rule("resource", "title", (("exact", scopes("resource:open")),))
    assert rule.opening("band") is NOBODY_OPENS
    assert not NOBODY_OPENS.opens(frozenset({"resource:open"}), "none", "NL")


def test_an_alternative_without_a_scope_is_refused() -> None:
    with pytest.raises(ValueError, match="would open to everyone"):
        Opening((frozenset(),))


@pytest.mark.parametrize(
    "word", ["resource:network", "resource:sealed", "exchange", "records:write", "resource", "*:open"]
)
def test_what_is_no_reading_scope_is_in_no_opening(word: str) -> None:
    with pytest.raises(ValueError, match="only reading scopes"):
        scopes(f"resource:open {word}")


def test_openings_that_mean_the_same_are_equal() -> None:
    assert scopes("resource:partner resource:open", "resource:partner need:open") == scopes("resource:partner")
    assert Opening((), ASKED) == NOBODY_OPENS


def test_an_opening_asks_for_scopes_and_predicate() -> None:
    opening = Opening((frozenset({"resource:open"}),), ASKED)
    assert opening.opens(frozenset({"resource:open"}), "none", None)
    assert not opening.opens(frozenset({"resource:open"}), None, None)
    assert not opening.opens(frozenset(), "none", None)


@QUICK
@given(openings, openings)
def test_implication_is_what_trying_every_viewer_gives(one: Opening, two: Opening) -> None:
    assert opening_implies(one, two) is oracle_implies(one, two)


@QUICK
@given(st.lists(openings, min_size=1, max_size=4))
def test_a_ladder_is_broken_exactly_where_somebody_opens_a_finer_step_only(steps: list[Opening]) -> None:
    named = tuple((f"step{place}", opening) for place, opening in enumerate(steps))
    broken = [
        (f"step{place}", f"step{place + 1}")
        for place in range(len(steps) - 1)
        if not oracle_implies(steps[place], steps[place + 1])
    ]
    assert ladder_fault(named) == (broken[0] if broken else None)


@pytest.mark.parametrize("tier", [OPEN, COMMUNITY, PARTNER, NETWORK])
def test_whatever_is_narrowed_may_stand(tier: Tier) -> None:
    assert fault("resource", tier, NOBODY_OPENS) is None
    assert fault("resource", tier, tier_opening("resource", tier)) is None
    assert fault("resource", tier, scopes("resource:partner")) is None
    assert fault("resource", tier, Opening((frozenset({"resource:partner"}),), ASKED)) is None


def test_nothing_opens_a_sealed_step() -> None:
    assert fault("resource", SEALED, NOBODY_OPENS) is None
    assert fault("resource", SEALED, scopes("resource:partner")) == "opens a sealed field; nothing can"


@pytest.mark.parametrize(
    ("tier", "opening"),
    [
        (COMMUNITY, scopes("resource:open")),
        (PARTNER, scopes("resource:community")),
        (NETWORK, scopes("resource:community")),
        (PARTNER, scopes("resource:partner", "need:community resource:community")),
        (NETWORK, Opening((frozenset({"resource:open"}),), ASKED)),
    ],
)
def test_nothing_is_widened_beyond_partner(tier: Tier, opening: Opening) -> None:
    said = f"is {tier.label} by default: it may be opened further to partner scopes only"
    assert fault("resource", tier, opening) == said


def test_partners_of_another_type_may_be_let_in() -> None:
    assert fault("resource", PARTNER, scopes("fundingCall:partner resource:community")) is None


@QUICK
@given(openings, st.sampled_from(Tier))
def test_what_may_stand_lets_in_partners_or_whom_the_default_lets_in(opening: Opening, tier: Tier) -> None:
    alternatives = [ranks(one) for one in opening.formula]
    fine = all(2 in held.values() or held.get("resource", -1) >= tier for held in alternatives)
    expected = not alternatives if tier is SEALED else fine
    assert (fault("resource", tier, opening) is None) is expected


def test_only_a_bare_scope_of_the_type_is_a_tier() -> None:
    assert own_tier("resource", scopes("resource:community")) is COMMUNITY
    assert own_tier("need", scopes("resource:community")) is None
    assert own_tier("resource", Opening((frozenset({"resource:open"}),), ASKED)) is None
    assert own_tier("resource", NOBODY_OPENS) is None
