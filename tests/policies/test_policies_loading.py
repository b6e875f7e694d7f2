"""Policy files: what they may say, and every check failing closed with file, line and reason."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from policy_cases import (
    CATALOGUE,
    NETWORK,
    PARTNER,
    SEALED,
    Tier,
    oracle_implies,
    ranks,
)

from federation.errors import PolicyInvalid
from federation.policies.ladders import NOBODY_OPENS, Opening, Rule, tier_opening
from federation.policies.loading import camel, load_policy
from federation.policies.policy import Policy, default_policy
from federation.policies.predicates import Predicate

DEFAULT = default_policy(CATALOGUE)


def load(text: str) -> Policy:
    return load_policy(text, CATALOGUE, "river.toml")


def opening(policy: Policy, name: str, step: str = "exact", key: str = "resource") -> Opening:
    return policy.rules[key, name].opening(step)


def changed(policy: Policy) -> set[tuple[str, str]]:
    return {key for key, rule in policy.rules.items() if rule != DEFAULT.rules[key]}


# What a file may say


def test_an_empty_file_is_the_default() -> None:
    assert load("") == load("# nothing\n") == load("[resource]\n") == DEFAULT


def test_a_file_with_every_form_of_a_rule_loads() -> None:
    policy = load(
        """
[resource]
title     = "open"
amount    = { exact = "partner", band = "community" }
area      = { exact = "network", country = "partner", sub_region = "open" }
contact   = { exact = "sealed", relay = "community" }
horizon   = { exact = [["resource:partner"], ["fundingCall:partner", "resource:community"]], year = "community" }
"""
    )
    assert changed(policy) == {("resource", "horizon")}
    assert opening(policy, "horizon").formula == (
        frozenset({"fundingCall:partner", "resource:community"}),
        frozenset({"resource:partner"}),
    )


def test_a_field_overrides_and_the_others_stay() -> None:
    policy = load('[resource]\ntitle = "partner"\n')
    assert opening(policy, "title") == tier_opening("resource", PARTNER)
    assert changed(policy) == {("resource", "title")}


def test_a_step_overrides_and_the_other_steps_stay() -> None:
    policy = load('resource.area.country = "nobody"\n')
    assert opening(policy, "area", "country") == NOBODY_OPENS
    assert opening(policy, "area", "sub_region") == opening(DEFAULT, "area", "sub_region")


def test_a_plain_value_sets_the_exact_step() -> None:
    for value in ('"nobody"', '"network"', '"sealed"'):
        assert opening(load(f"resource.amount = {value}"), "amount") == NOBODY_OPENS
    assert opening(load('resource.area = "partner"'), "area") == tier_opening("resource", PARTNER)
    formula = load('resource.amount = [["resource:partner", "fundingCall:open"]]')
    assert opening(formula, "amount").formula == (frozenset({"resource:partner", "fundingCall:open"}),)
    asked = load('resource.amount = { opens = "partner", affiliation = ["none"] }')
    assert opening(asked, "amount").predicate == Predicate(affiliation=frozenset({"none"}))
    assert opening(asked, "amount", "band") == opening(DEFAULT, "amount", "band")


@pytest.mark.parametrize(
    ("asked", "predicate"),
    [
        ('affiliation = ["none", "intergovernmental"]', Predicate(frozenset({"none", "intergovernmental"}))),
        ('jurisdiction = ["KE", "NL"]', Predicate(jurisdiction=frozenset({"KE", "NL"}))),
        ('not_jurisdiction = ["KE"]', Predicate(not_jurisdiction=frozenset({"KE"}))),
        (
            'affiliation = ["none"], not_jurisdiction = ["KE"]',
            Predicate(frozenset({"none"}), not_jurisdiction=frozenset({"KE"})),
        ),
    ],
)
def test_a_step_may_ask_for_attributes_of_the_peer(asked: str, predicate: Predicate) -> None:
    policy = load(f'[resource]\namount = {{ exact = {{ opens = "partner", {asked} }} }}\n')
    assert opening(policy, "amount") == Opening((frozenset({"resource:partner"}),), predicate)
    assert load(f'[resource.amount.exact]\nopens = [["resource:partner"]]\n{asked}'.replace("], ", "]\n")) == policy


def test_fields_are_spelled_either_way() -> None:
    snake, graphql = load('[resource]\nround_the_clock = "nobody"'), load('[resource]\nroundTheClock = "nobody"')
    assert snake == graphql
    assert changed(snake) == {("resource", "round_the_clock")}
    assert camel("round_the_clock") == "roundTheClock"


def test_common_fields_are_named_in_each_type() -> None:
    assert changed(load('[need]\nverified_on = "partner"')) == {("need", "verified_on")}


def test_a_network_step_may_be_widened_to_partners_and_narrowed_again() -> None:
    wide = load('resource.area = { exact = "partner" }')
    assert opening(wide, "area") == tier_opening("resource", PARTNER)
    assert load('resource.area = { exact = "network" }') == DEFAULT


# What fails: file, line, reason

FAILURES = {
    "an unknown type": ("[resource]\n\n[ressource]\n", 3, "ressource: unknown type ressource; did you mean resource?"),
    "a type in another spelling": ("[funding_call]", 1, "unknown type funding_call; did you mean fundingCall?"),
    "an unknown type without a like": ("\nxyzzy = 1", 2, "xyzzy: unknown type xyzzy"),
    "a type that is no table": ('\nresource = "open"', 2, "resource: a type is a table of fields"),
    "a type that is a list of tables": ("[[resource]]\n", 1, "a type is a table of fields"),
    "an unknown field": (
        '[resource]\ntitle = "open"\ntitel = "open"',
        3,
        "resource.titel: unknown field titel of resource; did you mean title?",
    ),
    "a field of another type": ('[resource]\ndeadline = "open"', 2, "unknown field deadline of resource"),
    "an unknown field as a table": ('[resource]\n\n[resource.xyzzy]\nexact = "open"', 3, "unknown field xyzzy"),
    "an unknown field, dotted": ('# x\nresource.xyzzy.exact = "open"', 2, "unknown field xyzzy"),
    "an unknown field, quoted, after a lookalike in a string": (
        '[resource]\ntitle = """open"""\n# "xy.z" = 1\n"xy.z" = "open"',
        4,
        "unknown field xy.z",
    ),
    "a fixed field": ('[resource]\nhandling = "open"', 2, "resource.handling: the rule of this field is fixed"),
    "the id": ('[resource]\nid = "partner"', 2, "fixed"),
    "the origin": ('[resource]\norigin = "partner"', 2, "fixed"),
    "the type": ('[resource]\ntype = "partner"', 2, "fixed"),
    "the status": ('[resource]\nstatus = { exact = "partner" }', 2, "fixed"),
    "two spellings": (
        '[resource]\nroundTheClock = "open"\ntitle = "open"\nround_the_clock = "open"',
        4,
        "resource.round_the_clock: the field is named twice, as roundTheClock and as round_the_clock",
    ),
    "two spellings, one in a table above": (
        '[resource.round_the_clock]\nexact = "open"\n[resource.roundTheClock]\nexact = "open"',
        3,
        "named twice",
    ),
    "an unknown step": (
        '[resource]\namount = {\texact = "partner", bands = "community" }',
        2,
        "resource.amount.bands: unknown step bands of amount; it has exact, band",
    ),
    "a step in another spelling": (
        '[resource.area]\nsub_region = "open"\nsubRegion = "open"',
        3,
        "unknown step subRegion of area",
    ),
    "a table without steps": ("[resource]\namount = {}", 2, "names no step; nobody is written 'nobody' for each step"),
    "an unknown tier": (
        '[resource]\ntitle = "public"',
        2,
        "resource.title: unknown tier 'public'; it is open, community, partner, network, sealed or nobody",
    ),
    "an empty tier": ('[resource]\ntitle = ""', 2, "unknown tier ''"),
    "a scope where a tier stands": ('[resource]\ntitle = "resource:open"', 2, "unknown tier 'resource:open'"),
    "a number": ("[resource]\ntitle = 1", 2, "write a tier, a list of lists of scopes, or a table with opens"),
    "a truth value": ("[resource]\ntitle = true", 2, "write a tier"),
    "a date": ("[resource]\ntitle = 2026-01-01", 2, "write a tier"),
    "an empty formula": ("[resource]\n\ntitle = []", 3, "resource.title: an empty list; nobody is written 'nobody'"),
    "an empty alternative": ('[resource]\ntitle = [["resource:open"], []]', 2, "an empty list; nobody is written"),
    "a flat list": ('[resource]\ntitle = ["resource:open"]', 2, 'a formula is a list of lists: [["resource:partner"]]'),
    "a scope that is a number": ("[resource]\ntitle = [[7]]", 2, "a scope is a string"),
    "an unknown scope": ('[resource]\ntitle = [["everything"]]', 2, "unknown scope 'everything'"),
    "an unknown scope on a line of its own": (
        '[resource]\ntitle = [\n  ["resource:open"],\n  [\n    "resource:open",\n    "resource:all",\n  ],\n]',
        6,
        "resource.title: unknown scope 'resource:all'; its tier is open, community, partner",
    ),
    "a wildcard": ('[resource]\ntitle = [["*:open"]]', 2, "a scope of the type '*', which does not exist"),
    "a scope of a type that does not exist": (
        '[resource]\ntitle = [["ressource:open"]]',
        2,
        "a scope of the type 'ressource', which does not exist",
    ),
    "network as a scope": (
        '[resource]\narea = [["resource:network"]]',
        2,
        "network is not a scope and cannot be granted",
    ),
    "sealed as a scope": ('[resource]\nsite = [["resource:sealed"]]', 2, "sealed is not a scope and cannot be granted"),
    "an action": (
        '[resource]\ntitle = [["records:write"]]',
        2,
        "records:write is the scope of an action and opens no field",
    ),
    "the bare exchange scope": ('[resource]\ntitle = [["exchange"]]', 2, "is the scope of an action"),
    "an unknown key": (
        '[resource]\ntitle = { exact = { opens = "open", afiliation = ["none"] } }',
        2,
        "resource.title.exact.afiliation: unknown key afiliation; a rule has opens, affiliation, jurisdiction",
    ),
    "an unknown key beside opens": (
        '[resource.amount]\nopens = "partner"\nband = "community"',
        3,
        "resource.amount.band: unknown key band",
    ),
    "a rule without opens": (
        '[resource]\namount = { exact = { affiliation = ["none"] } }',
        2,
        "resource.amount.exact: a rule needs opens",
    ),
    "a rule in a rule": ('[resource.title.exact]\nopens = { opens = "open" }', 2, "resource.title.exact.opens: write"),
    "an empty condition": (
        '[resource.title.exact]\nopens = "open"\naffiliation = []',
        3,
        "resource.title.exact.affiliation: an empty list",
    ),
    "a condition that excludes nobody": ('[resource.title]\nopens = "open"\nnot_jurisdiction = []', 3, "an empty list"),
    "a condition that is a word": (
        '[resource.title]\nopens = "open"\naffiliation = "none"',
        3,
        "a condition is a list of words",
    ),
    "an unknown affiliation": (
        '[resource.title]\nopens = "open"\naffiliation = ["none",\n "friend"]',
        4,
        "unknown State affiliation 'friend'; it is none, domestic_state",
    ),
    "an affiliation that is a list": ('[resource.title]\nopens = "open"\naffiliation = [["none"]]', 3, "unknown State"),
    "an unknown jurisdiction": (
        '[resource.title]\nopens = "open"\njurisdiction = ["KE", "Kenya"]',
        3,
        "unknown jurisdiction 'Kenya'; it is two capital letters",
    ),
    "a jurisdiction that is a number": (
        '[resource.title]\nopens = "open"\njurisdiction = [254]',
        3,
        "jurisdiction 254",
    ),
    "both kinds of jurisdiction": (
        '[resource.title]\nopens = "open"\njurisdiction = ["KE"]\nnot_jurisdiction = ["NL"]',
        4,
        "exclude each other; name one",
    ),
    "a sealed field opened": (
        '[resource]\nsite = "partner"',
        2,
        "resource.site: the step exact opens a sealed field; nothing can",
    ),
    "a sealed step opened": (
        '[resource]\ncontact = { relay = "community", exact = [["resource:partner"]] }',
        2,
        "resource.contact.exact: the step exact opens a sealed field",
    ),
    "sealed notes opened": ('[need]\ninternalNotes = "partner"', 2, "opens a sealed field"),
    "a network step widened beyond partner": (
        '[resource]\narea.exact = "community"',
        2,
        "resource.area.exact: the step exact is network by default: it may be opened further to partner scopes only",
    ),
    "a partner step widened beyond partner": (
        '[resource]\namount = "open"',
        2,
        "the step exact is partner by default: it may be opened further to partner scopes only",
    ),
    "one alternative that widens": (
        '[resource]\namount = [["resource:partner"], ["resource:community", "need:open"]]',
        2,
        "is partner by default: it may be opened further to partner scopes only",
    ),
    "a widening behind a predicate": (
        '[resource]\namount = { opens = "community", affiliation = ["none"] }',
        2,
        "is partner by default: it may be opened further to partner scopes only",
    ),
    "a coarser step that needs more": (
        '[resource.area]\ncountry = "partner"\nsub_region = [["resource:open", "need:open"]]',
        3,
        "resource.area.sub_region: the step sub_region needs more than the finer step country",
    ),
    "a coarser step for nobody": (
        '[resource]\namount = { exact = "partner",   band = "nobody" }',
        2,
        "resource.amount.band: the step band needs more than the finer step exact",
    ),
    "a finer step that a coarser default does not follow": (
        '[resource]\n# x\namount = [["fundingCall:partner"]]',
        3,
        "resource.amount: the step band needs more than the finer step exact",
    ),
    "a coarser step with a predicate": (
        '[resource.amount.band]\nopens = "community"\njurisdiction = ["KE"]',
        1,
        "resource.amount.band: the step band needs more than the finer step exact",
    ),
    "a coarser step with a narrower predicate": (
        '[resource.amount]\nexact = { opens = "partner", jurisdiction = ["KE", "NL"] }\n'
        'band = { opens = "community", jurisdiction = ["KE"] }',
        3,
        "needs more than the finer step exact",
    ),
    "a text that is not TOML": ('[resource]\ntitle = "open"\narea = \n', 3, "this is not TOML: Invalid value"),
    "an unclosed text": ('[resource]\ntitle = "open\n', 2, "this is not TOML: "),
    "an unclosed list at the end": ("[resource]\ntitle = [\n\n", 2, "this is not TOML: "),
    "a key that is written twice": (
        '[resource]\ntitle = "open"\ntitle = [\n ["resource:open"],\n]\n',
        3,
        "this is not TOML: Cannot overwrite a value",
    ),
    "a key that is written twice, at the end": ('[resource]\ntitle = "open"\n\ntitle = "open"', 4, "Cannot overwrite"),
    "a table that is written twice": ("[resource]\n[need]\n[resource]\n", 3, "this is not TOML: Cannot declare"),
    "a text that is too deep": ("[resource]\ntitle = " + "[" * 3000, 2, "nested too deeply for a policy"),
    "a number that is too long": ("[resource]\n\ntitle = " + "9" * 5000, 3, "a number or date is too long"),
}


@pytest.mark.parametrize("what", FAILURES)
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_fails_closed_with_file_line_and_reason(what: str, ending: str) -> None:
    text, line, reason = FAILURES[what]
    with pytest.raises(PolicyInvalid) as refused:
        load(text.replace("\n", ending))
    error = refused.value
    assert (error.file, error.line) == ("river.toml", line)
    assert reason in error.reason
    assert error.message == f"river.toml:{line}: {error.reason}"


def test_the_first_fault_in_the_text_is_not_hidden_by_what_is_right() -> None:
    with pytest.raises(PolicyInvalid, match=r"river\.toml:4: need\.xyzzy"):
        load('[resource]\ntitle = "open"\n[need]\nxyzzy = "open"\ntopic = "community"')


# Properties


steps = st.sampled_from(["open", "community", "partner", "network", "sealed", "nobody"])
formulas = st.lists(
    st.lists(
        st.sampled_from(["resource:open", "resource:community", "resource:partner", "fundingCall:partner"]),
        min_size=1,
        max_size=2,
    ),
    min_size=1,
    max_size=2,
)
rules = st.one_of(
    steps,
    steps,
    formulas,
    st.fixed_dictionaries(
        {"opens": steps | formulas, "affiliation": st.sampled_from([["none"], ["none", "foreign_state"]])}
    ),
)


def written(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {written(one)}" for key, one in value.items()) + " }"
    return json.dumps(value)


def meant(value: object) -> Opening:
    """The opening that a value stands for, read by the oracle."""
    if isinstance(value, dict):
        inner = meant(value["opens"])
        return Opening(inner.formula, Predicate(affiliation=frozenset(value["affiliation"])))
    if isinstance(value, list):
        return Opening(tuple(frozenset(one) for one in value))
    return Opening((frozenset({f"resource:{value}"}),)) if value in ("open", "community", "partner") else Opening()


def allowed(tier: Tier, one: Opening) -> bool:
    if tier is SEALED:
        return not one.formula
    held = [ranks(alternative) for alternative in one.formula]
    return all(2 in each.values() or (tier < NETWORK and each.get("resource", -1) >= tier) for each in held)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(["title", "amount", "area", "contact", "languages"]), st.data())
def test_a_file_loads_exactly_where_trying_every_viewer_finds_no_fault(name: str, data: st.DataObject) -> None:
    field = CATALOGUE.types["resource"].fields[name]
    values = {step: data.draw(rules) for step in field.step_names if data.draw(st.booleans())}
    values = values or {"exact": data.draw(rules)}
    ladder = [
        (step, meant(values[step]) if step in values else DEFAULT.rules["resource", name].opening(step))
        for step in field.step_names
    ]
    fine = all(allowed(dict(field.steps)[step], one) for step, one in ladder)
    fine = fine and all(oracle_implies(ladder[at][1], ladder[at + 1][1]) for at in range(len(ladder) - 1))
    text = f"[resource]\n{name} = {written(values)}\n"
    try:
        policy = load(text)
    except PolicyInvalid as error:
        outcome: object = error.line
    else:
        outcome = policy.rules["resource", name]
    assert outcome == (Rule("resource", name, tuple(ladder)) if fine else 2)


@settings(max_examples=200, deadline=None)
@given(st.text("[]{}=.,\"' \nabresource:opn_1#", max_size=60))
def test_any_text_loads_or_is_refused_with_file_and_line(text: str) -> None:
    place = ("river.toml", 1)
    try:
        load(text)
    except PolicyInvalid as error:
        place = (error.file, error.line or 0)
    assert place[0] == "river.toml"
    assert 1 <= place[1] <= text.count("\n") + 1
