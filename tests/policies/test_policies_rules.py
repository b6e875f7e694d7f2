"""A policy as a value: canonical text, version, and what a change widens and narrows."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from policy_cases import CATALOGUE, COMMUNITY, FIELDS, OPEN, field, kind, oracle_implies, policies

from federation.policies.catalogue import Catalogue
from federation.policies.policy import Policy
from federation.policies.predicates import Predicate
from federation.policies.rules import (
    Opening,
    Rule,
    canonical,
    default_policy,
    diff,
    load_policy,
    opening_text,
    policy_of,
)

DEFAULT = default_policy(CATALOGUE)
QUICK = settings(max_examples=100, deadline=None)


def load(text: str) -> Policy:
    return load_policy(text, CATALOGUE)


def opened(*scopes: str) -> Opening:
    return Opening((frozenset(scopes),))


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        (Rule("resource", "colour", (("exact", Opening()),)), "a field that does not exist"),
        (Rule("secret", "title", (("exact", Opening()),)), "a field that does not exist"),
        (Rule("resource", "amount", (("exact", Opening()),)), "other steps than the field"),
        (Rule("resource", "site", (("exact", opened("resource:partner")),)), "opens a sealed field"),
        (Rule("resource", "title", (("exact", opened("need:open")),)), "to partner scopes only"),
        (
            Rule("resource", "amount", (("exact", opened("resource:partner")), ("band", Opening()))),
            "a coarser step needs more",
        ),
    ],
)
def test_a_rule_that_no_file_could_hold_makes_no_policy(rule: Rule, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        policy_of([*DEFAULT.rules.values(), rule], CATALOGUE)


def test_the_rule_of_a_fixed_field_cannot_be_given() -> None:
    catalogue = Catalogue({"need": kind("need", field("handling", common=True, exact=COMMUNITY))})
    assert default_policy(catalogue).rules["need", "handling"].opening("exact") == opened("need:community")
    assert "handling" not in canonical(default_policy(catalogue))
    with pytest.raises(ValueError, match="fixed"):
        policy_of([Rule("need", "handling", (("exact", opened("need:open")),))], catalogue)


def test_fixed_fields_have_a_rule_in_every_type_and_others_only_where_they_exist() -> None:
    assert DEFAULT.rule("need", "id").opening("exact") == opened("need:open")
    assert DEFAULT.rule("need", "handling").opening("exact") == opened("need:community")
    for key, name in (("secret", "id"), ("need", "colour"), ("secret", "title")):
        assert DEFAULT.rule(key, name) == Rule(key, name, ())


def test_what_has_no_rule_is_open_to_nobody() -> None:
    policy = policy_of([], CATALOGUE)
    assert all(not opening.formula for rule in policy.rules.values() for _, opening in rule.steps)
    assert load(canonical(policy)) == policy


def test_the_canonical_text_is_the_policy_that_a_person_can_read() -> None:
    policy = load(
        """
        [resource]
        title = { opens = [["resource:open"]], not_jurisdiction = ["NL", "KE"] }
        amount = [["resource:partner", "need:open"], ["resource:partner", "resource:open", "fundingCall:community"]]
        languages = { exact = "nobody", macro = { opens = "open", affiliation = ["none"], jurisdiction = ["NL"] } }
        [need]
        topic = "nobody"
        """
    )
    text = canonical(policy)
    assert text.split("\n")[:11] == [
        "[resource]",
        'title = { opens = "open", not_jurisdiction = ["KE", "NL"] }',
        'languages = { exact = "nobody", macro = { opens = "open", affiliation = ["none"], jurisdiction = ["NL"] } }',
        'amount = { exact = [["fundingCall:community", "resource:partner"], ["need:open", "resource:partner"]], '
        'band = "community" }',
        'area = { exact = "network", country = "partner", sub_region = "open" }',
        'contact = { exact = "sealed", relay = "community" }',
        'site = "sealed"',
        'horizon = { exact = "partner", year = "community" }',
        'round_the_clock = "open"',
        'translations = "open"',
        'verified_on = { exact = "community", month = "open" }',
    ]
    assert '[need]\ntopic = "nobody"\n' in text


@QUICK
@given(policies)
def test_loading_the_canonical_text_gives_the_same_policy(policy: Policy) -> None:
    again = load(canonical(policy))
    assert again == policy
    assert again.version == policy.version
    assert hash(again) == hash(policy)
    assert canonical(again) == canonical(policy)


@QUICK
@given(policies, policies)
def test_policies_have_one_version_exactly_where_nothing_differs(one: Policy, two: Policy) -> None:
    assert (one.version == two.version) is (not diff(one, two)) is (one == two)


@QUICK
@given(policies, policies)
def test_a_difference_says_truly_what_widens_and_what_narrows(one: Policy, two: Policy) -> None:
    changes = {change[:3]: change for change in diff(one, two)}
    for key in FIELDS:
        for (step, before), (_, after) in zip(one.rules[key].steps, two.rules[key].steps, strict=True):
            change = changes.pop((*key, step), None)
            if change is None:
                assert before == after
            elif key[0] in ("resource", "fundingCall"):
                assert change.wider is not oracle_implies(after, before)
                assert change.narrower is not oracle_implies(before, after)
                assert change.wider or change.narrower
    assert not changes


def test_a_difference_is_told_in_sentences() -> None:
    before = load('[resource]\ntitle = "partner"')
    after = load('[resource]\namount = { opens = "partner", affiliation = ["none"] }')
    assert [change.sentence for change in diff(before, after)] == [
        'resource.title.exact widens: "partner" -> "open"',
        'resource.amount.exact narrows: "partner" -> { opens = "partner", affiliation = ["none"] }',
    ]
    both = diff(load('resource.amount = [["resource:partner", "need:open"]]'), after)
    assert [change.sentence for change in both] == [
        'resource.amount.exact widens and narrows: [["need:open", "resource:partner"]] -> '
        '{ opens = "partner", affiliation = ["none"] }'
    ]


def test_what_only_one_catalogue_knows_is_open_to_nobody_in_the_other() -> None:
    small = default_policy(Catalogue({"need": kind("need", field("topic", exact=COMMUNITY))}))
    grown = default_policy(Catalogue({"need": kind("need", field("topic", exact=COMMUNITY, root=OPEN))}))
    (change,) = diff(small, grown)
    assert change == ("need", "topic", "root", Opening(), opened("need:open"), True)
    (change,) = diff(grown, small)
    assert (change.wider, change.narrower) == (False, True)
    assert {change.field for change in diff(small, DEFAULT)} >= {"title", "urgency"}


def test_an_opening_is_written_as_in_a_file() -> None:
    assert opening_text("resource", Opening()) == '"nobody"'
    assert opening_text("resource", opened("resource:partner")) == '"partner"'
    assert opening_text("need", opened("resource:partner")) == '[["resource:partner"]]'
    asked = Opening((frozenset({"need:open"}),), Predicate(jurisdiction=frozenset({"NL"})))
    assert opening_text("need", asked) == '{ opens = "open", jurisdiction = ["NL"] }'
