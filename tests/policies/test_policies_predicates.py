"""Predicates: unknown fails, implication is exact where it matters and never too generous."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from policy_cases import WORLDS, predicates

from federation.policies.predicates import Predicate, holds, predicate_implies, predicate_words

NONE, KE = frozenset({"none"}), frozenset({"KE"})
QUICK = settings(max_examples=200, deadline=None)


@pytest.mark.parametrize("predicate", [Predicate(NONE), Predicate(jurisdiction=KE), Predicate(not_jurisdiction=KE)])
@pytest.mark.parametrize("place", [None, "", "ke", "KEN", "K"])
@pytest.mark.parametrize("tie", [None, "", "None"])
def test_what_is_unknown_fails_every_predicate(predicate: Predicate, tie: str | None, place: str | None) -> None:
    assert not holds(predicate, tie, place)


def test_no_predicate_asks_nothing() -> None:
    assert holds(None, None, None)


def test_all_conditions_must_hold() -> None:
    predicate = Predicate(NONE, not_jurisdiction=KE)
    assert holds(predicate, "none", "NL")
    assert not holds(predicate, "none", "KE")
    assert not holds(predicate, "foreign_state", "NL")
    assert holds(Predicate(jurisdiction=KE), None, "KE")
    assert not holds(Predicate(jurisdiction=KE), None, "NL")


@pytest.mark.parametrize(
    ("conditions", "reason"),
    [
        ({}, "needs a condition"),
        ({"affiliation": frozenset()}, "at least one word"),
        ({"affiliation": NONE, "not_jurisdiction": frozenset()}, "at least one word"),
        ({"affiliation": frozenset({"friend"})}, "unknown State affiliation"),
        ({"jurisdiction": frozenset({"ke"})}, "two capital letters"),
        ({"not_jurisdiction": frozenset({"KEN"})}, "two capital letters"),
        ({"jurisdiction": KE, "not_jurisdiction": frozenset({"NL"})}, "exclude each other"),
    ],
)
def test_a_predicate_that_could_mean_anybody_is_refused(conditions: dict[str, frozenset[str]], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Predicate(**conditions)


def everyone_passes(narrow: Predicate | None, wide: Predicate | None) -> bool:
    return all(holds(wide, tie, place) for _, tie, place in WORLDS if holds(narrow, tie, place))


@QUICK
@given(predicates, predicates)
def test_implication_is_what_trying_every_viewer_gives(one: Predicate, two: Predicate) -> None:
    assert predicate_implies(one, two) is everyone_passes(one, two)
    assert predicate_implies(one, None)
    assert not predicate_implies(None, one)
    assert predicate_implies(one, one)


def test_a_predicate_can_be_read() -> None:
    assert predicate_words(Predicate(frozenset({"none", "intergovernmental"}), jurisdiction=KE)) == (
        "State affiliation intergovernmental or none and jurisdiction KE"
    )
    assert predicate_words(Predicate(not_jurisdiction=KE)) == "a known jurisdiction other than KE"
