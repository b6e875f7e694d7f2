"""Tiers, scopes and formulas; formulas against an oracle that tries every viewer."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from policy_cases import SCOPED, SOME_SCOPES, WORDS, Tier, oracle_implies, ranks

from federation.policies.ladders import Opening
from federation.policies.tiers import NOBODY, closure, implies, reading, satisfied, scope_for, simplify

formulas = st.lists(st.frozensets(st.sampled_from(SOME_SCOPES), min_size=1, max_size=3), max_size=3).map(tuple)
QUICK = settings(max_examples=100, deadline=None)


def test_the_formula_of_nobody_is_satisfied_by_no_scopes_at_all() -> None:
    assert not satisfied(NOBODY, frozenset(WORDS))


def test_an_empty_alternative_is_nobody_and_not_everyone() -> None:
    assert not satisfied((frozenset(),), frozenset(WORDS))
    assert not satisfied((frozenset(),), frozenset())


@pytest.mark.parametrize("tier", [Tier.NETWORK, Tier.SEALED])
def test_no_scope_can_be_written_for_what_has_none(tier: Tier) -> None:
    with pytest.raises(ValueError, match=f"no scope opens {tier.label}"):
        scope_for("resource", tier)


@pytest.mark.parametrize("tier", SCOPED)
def test_a_scope_is_type_and_tier(tier: Tier) -> None:
    assert scope_for("fundingCall", tier) == f"fundingCall:{tier.label}"


def test_partner_contains_community_which_contains_open() -> None:
    assert closure(frozenset({"a:partner"})) == {"a:partner", "a:community", "a:open"}
    assert closure(frozenset({"a:community"})) == {"a:community", "a:open"}
    assert closure(frozenset({"a:open", "exchange", "records:write"})) == {"a:open", "exchange", "records:write"}


@pytest.mark.parametrize(
    "word",
    ["exchange", "records:write", "resource:network", "resource:sealed", "resource:*", "*:open", ":open", "r:open "],
)
def test_only_reading_scopes_read(word: str) -> None:
    assert reading(frozenset({word})) == frozenset()


@QUICK
@given(st.frozensets(st.sampled_from(WORDS)))
def test_closing_is_done_once_and_gives_no_rank_that_was_not_held(scopes: frozenset[str]) -> None:
    held = reading(scopes)
    assert closure(held) == held
    assert ranks(held) == ranks(scopes)


@QUICK
@given(formulas, formulas)
def test_implication_is_what_trying_every_viewer_gives(one, two) -> None:  # type: ignore[no-untyped-def]
    assert implies(one, two) is oracle_implies(Opening(one), Opening(two))


@QUICK
@given(formulas, st.data())
def test_the_shortest_form_means_the_same_and_is_the_same_for_equal_formulas(formula, data) -> None:  # type: ignore[no-untyped-def]
    short = simplify(formula)
    assert implies(short, formula)
    assert implies(formula, short)
    assert simplify(short) == short
    wordy = tuple(closure(one) for one in data.draw(st.permutations([*formula, *formula])))
    assert simplify(wordy) == short
