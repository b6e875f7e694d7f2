"""Onward terms: strict in, canonical out, and never looser along a path."""

from __future__ import annotations

import json
from copy import deepcopy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from policy_cases import (
    CATALOGUE,
    COMMUNITY,
    NETWORK,
    OPEN,
    PARTNER,
    SEALED,
    TERMS,
    TYPES,
    client,
    oracle_opens,
    policies,
    ranks,
    terms_for,
    with_rule,
)

from federation.errors import BadInput
from federation.policies.decide import rights
from federation.policies.ladders import Opening
from federation.policies.policy import default_policy
from federation.policies.predicates import Predicate
from federation.policies.terms import MAX_FIELDS, MAX_HOPS, MAX_STEPS, Terms, labels, own_terms, tighten

DEFAULT = default_policy(CATALOGUE)
QUICK = settings(max_examples=100, deadline=None)
SOME = {
    "relay": True,
    "hops": 2,
    "caps": {"amount": "band", "title": None},
    "not_to_affiliation": ["domestic_state", "foreign_state"],
    "labels": {"amount": [["exact", "partner"], ["band", "community"]], "title": [["exact", "open"]]},
}


# Labels


def test_what_nobody_opens_is_labelled_network_and_sealed_stays_sealed() -> None:
    policy = with_rule(DEFAULT, "resource", "title", exact=Opening())
    told = labels(policy, "resource")
    assert told["title"] == (("exact", NETWORK),)
    assert told["site"] == (("exact", SEALED),)
    assert told["contact"] == (("exact", SEALED), ("relay", COMMUNITY))
    assert told["area"] == (("exact", NETWORK), ("country", PARTNER), ("sub_region", OPEN))


def test_a_formula_or_a_predicate_is_partner_to_others() -> None:
    two = Opening((frozenset({"resource:open", "need:open"}),))
    asked = Opening((frozenset({"resource:open"}),), Predicate(affiliation=frozenset({"none"})))
    either = Opening((frozenset({"resource:community"}), frozenset({"resource:open", "need:partner"})))
    for opening, label in ((two, PARTNER), (asked, PARTNER), (either, COMMUNITY)):
        assert labels(with_rule(DEFAULT, "resource", "title", exact=opening), "resource")["title"][0][1] is label


@QUICK
@given(policies, st.sampled_from(TYPES))
def test_a_label_is_the_tier_whose_scope_alone_opens_the_step_to_anyone(policy, key: str) -> None:  # type: ignore[no-untyped-def]
    for name, steps in labels(policy, key).items():
        rules = CATALOGUE.types[key].fields[name]
        told = [policy.rules[key, other].steps[-1][1] for other in rules.tells_of]
        for (step, tier), (_, default) in zip(steps, rules.steps, strict=True):
            openings = [policy.rules[key, name].opening(step), *told]
            for scoped in (OPEN, COMMUNITY):
                held = ranks(rights(client(f"{key}:{scoped.label}")))
                assert (tier <= scoped) is all(oracle_opens(each, held, None, None) for each in openings)
            assert (tier is SEALED) is (default is SEALED)
            assert (tier is NETWORK) is (default is not SEALED and not all(each.formula for each in openings))


def test_a_type_that_does_not_exist_has_no_labels() -> None:
    with pytest.raises(KeyError):
        labels(DEFAULT, "secret")


def test_own_terms_carry_the_labels_and_never_let_relay_what_is_not_relayable() -> None:
    terms = own_terms(DEFAULT, "resource", relay=True, hops=2, caps={"amount": "band"})
    assert terms == terms_for("resource", caps={"amount": "band"})
    assert not own_terms(DEFAULT, "resource", relay=False, hops=2).relay
    assert not own_terms(DEFAULT, "need", relay=True, hops=2).relay
    with pytest.raises(BadInput):
        own_terms(DEFAULT, "resource", relay=True, hops=2, caps={"colour": None})


# JSON


def test_terms_come_out_as_they_went_in() -> None:
    terms = Terms.from_json(json.loads(json.dumps(SOME)))
    assert terms.to_json() == SOME
    assert Terms.from_json(terms.to_json()) == terms
    assert terms.label("amount", "band") is COMMUNITY
    assert terms.label("amount", "tenth") is terms.label("colour", "exact") is NETWORK
    assert terms.label("id", "exact") is OPEN
    assert terms.label("handling", "exact") is COMMUNITY
    assert terms.lets_leave("amount", "band")
    assert not terms.lets_leave("amount", "exact")
    assert not terms.lets_leave("title", "exact")
    assert terms.lets_leave("colour", "exact")


@QUICK
@given(st.sampled_from(TYPES).flatmap(lambda key: TERMS[key]))
def test_all_terms_survive_the_wire(terms: Terms) -> None:
    again = Terms.from_json(json.loads(json.dumps(terms.to_json())))
    assert again == terms
    assert again.hash == terms.hash
    assert hash(again) == hash(terms)


def test_the_hash_names_the_terms_whatever_the_order_of_keys() -> None:
    turned = {key: SOME[key] for key in reversed(SOME)}
    turned["labels"] = dict(reversed(SOME["labels"].items()))  # type: ignore[attr-defined]
    assert Terms.from_json(turned).hash == Terms.from_json(SOME).hash
    assert len(Terms.from_json(SOME).hash) == 43
    assert Terms.from_json({**SOME, "hops": 1}).hash != Terms.from_json(SOME).hash


def test_terms_cannot_be_changed_through_the_mapping_that_made_them() -> None:
    caps: dict[str, str | None] = {"title": None}
    terms = terms_for("resource", caps=caps)
    caps.clear()
    assert terms.caps == {"title": None}
    with pytest.raises(TypeError):
        terms.caps["x"] = None  # type: ignore[index]
    with pytest.raises(TypeError):
        terms.labels["x"] = ()  # type: ignore[index]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"relay": 1}, "true or false"),
        ({"relay": None}, "true or false"),
        ({"hops": True}, "whole number"),
        ({"hops": -1}, "whole number"),
        ({"hops": MAX_HOPS + 1}, "whole number"),
        ({"hops": "2"}, "whole number"),
        ({"caps": []}, "are objects"),
        ({"caps": {"colour": None}}, "no label"),
        ({"caps": {"amount": "tenth"}}, "no label"),
        ({"caps": {"amount": []}}, "no label"),
        ({"caps": {"amount": {}}}, "no label"),
        ({"not_to_affiliation": "none"}, "list of words"),
        ({"not_to_affiliation": [["none"]]}, "list of words"),
        ({"not_to_affiliation": ["none", "none"]}, "sorted and named once"),
        ({"not_to_affiliation": ["none", "foreign_state"]}, "sorted and named once"),
        ({"not_to_affiliation": ["friend"]}, "not known here"),
        ({"labels": []}, "are objects"),
        ({"labels": {"title": {}}}, "list of"),
        ({"labels": {"title": ["exact"]}}, "list of"),
        ({"labels": {"title": [["exact"]]}}, "list of"),
        ({"labels": {"title": [["exact", 0]]}}, "list of"),
        ({"labels": {"title": [["exact", "public"]]}}, "is a tier"),
        ({"labels": {"Title": [["exact", "open"]]}}, "cannot be one"),
        ({"labels": {"title": [["Exact", "open"]]}}, "cannot be one"),
        ({"labels": {"title": [["exact", "open"], ["exact", "open"]]}}, "twice"),
        ({"labels": {"title": [[f"s{n}", "open"] for n in range(MAX_STEPS + 1)]}}, "too many"),
        ({"labels": {f"f{n}": [["exact", "open"]] for n in range(MAX_FIELDS + 1)}}, "too many fields"),
        ({"labels": {"title": [["exact", "open"], ["band", "partner"]]}}, "coarser step"),
        ({"labels": {7: [["exact", "open"]]}}, "cannot be one"),
        ({"since": "2026"}, "exactly"),
    ],
)
def test_whatever_is_not_understood_is_refused(change: dict[str, object], reason: str) -> None:
    body = {**deepcopy(SOME), **change}
    if "labels" in change:
        body["caps"] = {}
    with pytest.raises(BadInput, match=reason):
        Terms.from_json(body)


@pytest.mark.parametrize("key", SOME)
def test_every_key_is_needed(key: str) -> None:
    with pytest.raises(BadInput, match="exactly"):
        Terms.from_json({name: value for name, value in SOME.items() if name != key})


@pytest.mark.parametrize("body", [None, [], "terms", 1, True])
def test_terms_are_an_object(body: object) -> None:
    with pytest.raises(BadInput, match="exactly"):
        Terms.from_json(body)


# Along a path


def test_tightening_takes_the_narrower_of_each() -> None:
    one = terms_for("resource", hops=3, caps={"area": "country"}, not_to_affiliation=frozenset({"foreign_state"}))
    two = terms_for("resource", relay=False, hops=1, caps={"area": "sub_region", "title": None})
    both = tighten(one, two)
    assert (both.relay, both.hops) == (False, 1)
    assert both.caps == {"area": "sub_region", "title": None}
    assert both.not_to_affiliation == {"foreign_state"}
    assert both.labels == one.labels


def test_what_one_of_them_does_not_know_is_left_out() -> None:
    week = {"dates": (("exact", PARTNER), ("week", OPEN), ("month", OPEN))}
    month = {"dates": (("exact", COMMUNITY), ("month", COMMUNITY)), "deadline": (("exact", OPEN),)}
    one = terms_for("fundingCall", labels=week, caps={"dates": "week"})
    two = terms_for("fundingCall", labels=month)
    both = {"dates": (("exact", PARTNER), ("month", COMMUNITY))}
    assert tighten(one, two) == Terms(True, 2, {"dates": "month"}, frozenset(), both)


def test_ladders_in_different_orders_leave_nothing() -> None:
    one = terms_for("fundingCall", labels={"dates": (("exact", OPEN), ("month", OPEN))})
    two = terms_for("fundingCall", labels={"dates": (("month", OPEN), ("exact", OPEN))}, caps={"dates": "exact"})
    assert tighten(one, two).labels == {"dates": ()}
    assert tighten(one, two).caps == {"dates": None}


@QUICK
@given(st.sampled_from(TYPES).flatmap(lambda key: st.tuples(TERMS[key], TERMS[key], TERMS[key])))
def test_tightening_never_loosens_and_the_order_of_the_path_does_not_matter(path: tuple[Terms, Terms, Terms]) -> None:
    one, two, three = path
    both = tighten(one, two)
    assert tighten(one, one) == one
    assert tighten(both, one) == both
    assert tighten(tighten(one, two), three).hops == tighten(one, tighten(two, three)).hops
    assert tighten(two, one).labels.keys() == both.labels.keys()
    for terms in (one, two):
        assert both.relay <= terms.relay
        assert both.hops <= terms.hops
        assert both.not_to_affiliation >= terms.not_to_affiliation
        for name, steps in both.labels.items():
            for step, tier in steps:
                assert tier >= terms.label(name, step)
                assert both.lets_leave(name, step) <= terms.lets_leave(name, step)
                if one.lets_leave(name, step) and two.lets_leave(name, step):
                    assert both.lets_leave(name, step)
