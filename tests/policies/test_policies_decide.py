"""decide, effective, explain and the class: nobody first, then single rules, then properties against the oracle."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from policy_cases import (
    AFFILIATIONS,
    CATALOGUE,
    COMMUNITY,
    FIELDS,
    LIMITS,
    NETWORK,
    OPEN,
    PARTNER,
    SCOPED,
    SEALED,
    TERMS,
    TYPES,
    Terms,
    a_tighter_rule,
    all_scopes,
    client,
    everything,
    member,
    oracle_effective,
    peer,
    policies,
    seeds,
    terms_for,
    viewers,
    with_rule,
)

from federation.policies.decide import Explanation, class_key, decide, effective, explain, knows, rights
from federation.policies.ladders import Opening, Rule
from federation.policies.policy import Policy, default_policy, policy_of
from federation.policies.predicates import Predicate
from federation.policies.terms import labels, tighten
from federation.policies.tiers import Tier, scope_for
from federation.policies.viewer import Agreement, Projection, Viewer, ViewerKind, anonymous

DEFAULT = default_policy(CATALOGUE)
FINENESS = {
    (key, name, step): place
    for key, name in FIELDS
    for place, step in enumerate(CATALOGUE.types[key].fields[name].step_names)
}
QUICK = settings(max_examples=100, deadline=None)


def not_more(key: str, name: str, less: str | None, more: str | None) -> bool:
    """Whether the first step shows nothing that the second does not."""
    if less is None or more is None:
        return less is None
    return FINENESS[key, name, less] >= FINENESS[key, name, more]


# Nobody


@pytest.mark.parametrize("type_key", [*TYPES, "secret"])
def test_nobody_sees_nothing(type_key: str) -> None:
    for viewer in (anonymous(), client(), Viewer(ViewerKind.PEER, "west"), peer()):
        projection = decide(DEFAULT, viewer, type_key)
        assert projection.empty
        assert projection == Projection(type_key, {}, None)
        assert not knows(DEFAULT, viewer, type_key)


def test_a_peer_without_an_agreement_sees_nothing_whatever_its_token_says() -> None:
    viewer = Viewer(ViewerKind.PEER, "west", frozenset({"resource:partner"}), affiliation="none")
    assert rights(viewer) == frozenset()
    assert decide(DEFAULT, viewer, "resource").empty
    assert explain(DEFAULT, viewer, "resource", "title").reasons == (
        "Nothing is seen: there is no agreement with this peer.",
    )


def test_an_agreement_that_is_not_active_gives_nothing_not_even_what_is_open() -> None:
    viewer = peer("resource:partner", active=False)
    assert rights(viewer) == frozenset()
    assert decide(DEFAULT, viewer, "resource").empty
    assert explain(DEFAULT, viewer, "resource", "title").reasons == ("Nothing is seen: the agreement is not active.",)


def test_an_ended_agreement_of_a_client_ends_it_too() -> None:
    held = frozenset({"resource:partner"})
    assert decide(DEFAULT, Viewer(ViewerKind.CLIENT, "c", held, Agreement(held, active=False)), "resource").empty


@pytest.mark.parametrize(
    "scope", ["resource:network", "resource:sealed", "resource:*", "resource", ":open", "exchange"]
)
def test_what_is_no_reading_scope_opens_nothing(scope: str) -> None:
    assert decide(DEFAULT, client(scope), "resource").empty
    assert decide(DEFAULT, peer(scope), "resource").empty


def test_a_scope_of_one_type_opens_no_other() -> None:
    assert decide(DEFAULT, client("fundingCall:partner"), "resource").empty
    assert explain(DEFAULT, client("fundingCall:partner"), "resource", "title").reasons == (
        "Nothing is seen: the viewer may use no scope of resource.",
    )


def test_who_sees_only_common_fields_knows_of_no_record() -> None:
    viewer = client("need:open")
    assert decide(DEFAULT, viewer, "need").empty
    assert not knows(DEFAULT, viewer, "need")
    assert effective(DEFAULT, viewer, "need", "language") is None
    assert explain(DEFAULT, viewer, "need", "language").reasons == (
        "Nothing is seen: no field beside the common ones is open to the viewer.",
    )


# Tiers


def test_open_shows_what_may_be_published() -> None:
    projection = decide(DEFAULT, anonymous(frozenset({"resource:open"})), "resource")
    assert projection.steps == {
        "title": "exact",
        "languages": "macro",
        "area": "sub_region",
        "round_the_clock": "exact",
        "translations": "exact",
        "verified_on": "month",
        "language": "exact",
    }
    assert projection.clearance is OPEN
    assert not projection.shows_handling


def test_community_shows_the_finer_steps() -> None:
    projection = decide(DEFAULT, peer("resource:community"), "resource")
    assert projection.steps["languages"] == "exact"
    assert projection.steps["amount"] == "band"
    assert projection.steps["contact"] == "relay"
    assert projection.clearance is COMMUNITY
    assert projection.shows_handling


def test_partner_shows_all_that_may_leave() -> None:
    projection = decide(DEFAULT, everything(), "resource")
    assert projection.steps["amount"] == "exact"
    assert projection.steps["area"] == "country"
    assert projection.steps["contact"] == "relay"
    assert not {"site", "internal_notes"} & set(projection.steps)
    assert projection.clearance is PARTNER


def test_at_home_the_finest_step_that_is_not_sealed_is_seen() -> None:
    for viewer in (member(), Viewer(ViewerKind.STEWARD, "amal")):
        projection = decide(DEFAULT, viewer, "resource")
        assert projection.steps["area"] == "exact"
        assert projection.steps["contact"] == "relay"
        assert "site" not in projection.steps
        assert projection.clearance is SEALED
        assert decide(DEFAULT, viewer, "resource", terms_for("resource", relay=False)) == projection


def test_at_home_nothing_sealed_is_seen_and_the_reason_says_so() -> None:
    assert explain(DEFAULT, member(), "resource", "site") == Explanation(
        None, ("exact: withheld, it is sealed and nothing opens it.",)
    )
    assert explain(DEFAULT, member(), "resource", "contact").reasons == (
        "exact: withheld, it is sealed and nothing opens it.",
        "relay: seen, as by every account of this node.",
    )


def test_equal_rights_share_one_projection() -> None:
    assert (
        decide(DEFAULT, client("resource:open"), "resource").key
        == decide(DEFAULT, peer("resource:open"), "resource").key
    )


# Token and agreement


def test_the_token_is_cut_to_the_agreement_and_the_agreement_to_the_token() -> None:
    granted = frozenset({"resource:partner"})
    wide = Viewer(ViewerKind.PEER, "west", granted, Agreement(frozenset({"resource:community"})))
    slim = Viewer(ViewerKind.PEER, "west", frozenset({"resource:community"}), Agreement(granted))
    assert rights(wide) == rights(slim) == {"resource:community", "resource:open"}
    assert decide(DEFAULT, wide, "resource") == decide(DEFAULT, peer("resource:community"), "resource")
    assert decide(DEFAULT, slim, "resource") == decide(DEFAULT, peer("resource:community"), "resource")


def test_narrowing_coarsens_or_withholds_one_field_for_one_peer() -> None:
    viewer = peer(
        "resource:partner",
        narrowing={("resource", "area"): "sub_region", ("resource", "amount"): None, ("fundingCall", "dates"): None},
    )
    steps = decide(DEFAULT, viewer, "resource").steps
    assert steps["area"] == "sub_region"
    assert "amount" not in steps
    assert explain(DEFAULT, viewer, "resource", "amount").reasons == (
        "exact: withheld, the agreement gives this field not at all.",
        "band: withheld, the agreement gives this field not at all.",
    )
    assert explain(DEFAULT, viewer, "resource", "area").reasons[1:] == (
        "country: withheld, the agreement gives this field as sub_region at most.",
        "sub_region: seen, opened by resource:open.",
    )


def test_a_narrowing_to_a_step_that_does_not_exist_withholds_the_field() -> None:
    viewer = peer("resource:partner", narrowing={("resource", "area"): "subRegion"})
    assert "area" not in decide(DEFAULT, viewer, "resource").steps


def test_a_narrowing_of_a_field_that_does_not_exist_withholds_the_type() -> None:
    viewer = peer("resource:partner", "need:partner", narrowing={("resource", "roundTheClock"): None})
    assert decide(DEFAULT, viewer, "resource").empty
    assert not decide(DEFAULT, viewer, "need").empty
    assert explain(DEFAULT, viewer, "resource", "title").reasons == (
        "Nothing is seen: the agreement narrows a field that resource does not have.",
    )


# Rules


def test_a_formula_is_or_of_and() -> None:
    formula = Opening((frozenset({"resource:partner"}), frozenset({"fundingCall:partner", "resource:community"})))
    policy = with_rule(DEFAULT, "resource", "amount", exact=formula)
    assert effective(policy, client("resource:partner"), "resource", "amount") == "exact"
    assert effective(policy, client("resource:community", "fundingCall:partner"), "resource", "amount") == "exact"
    viewer = client("resource:community", "fundingCall:community")
    assert effective(policy, viewer, "resource", "amount") == "band"
    assert explain(policy, viewer, "resource", "amount").reasons == (
        "exact: withheld, the rule asks for fundingCall:partner and resource:community, or for resource:partner.",
        "band: seen, opened by resource:community.",
    )


def test_a_predicate_asks_for_what_the_operator_entered_and_unknown_fails() -> None:
    asked = Opening((frozenset({"resource:partner"}),), Predicate(affiliation=frozenset({"none"})))
    policy = with_rule(DEFAULT, "resource", "amount", exact=asked)
    assert effective(policy, everything(affiliation="none"), "resource", "amount") == "exact"
    for other in (None, "", "None", "foreign_state"):
        assert effective(policy, everything(affiliation=other), "resource", "amount") == "band"
    assert explain(policy, everything(affiliation=None), "resource", "amount").reasons[0] == (
        "exact: withheld, the rule asks for State affiliation none, which this viewer does not have or is unknown."
    )
    assert explain(policy, everything(), "resource", "amount").reasons == (
        "exact: seen, opened by resource:partner with State affiliation none.",
    )


def test_nobody_is_nobody_and_still_seen_at_home() -> None:
    policy = with_rule(DEFAULT, "resource", "title", exact=Opening())
    assert "title" not in decide(policy, everything(), "resource").steps
    assert decide(policy, member(), "resource").steps["title"] == "exact"
    assert explain(policy, everything(), "resource", "title").reasons == (
        "exact: withheld, the rule opens it to nobody.",
    )


def test_a_rule_that_is_missing_opens_to_nobody() -> None:
    bare = Policy("", {}, CATALOGUE)
    assert decide(bare, everything(), "resource").empty
    assert policy_of([], CATALOGUE).rule("resource", "title").opening("exact") == Opening()


def test_a_sealed_step_stays_shut_even_where_a_rule_was_forged() -> None:
    forged = dict(DEFAULT.rules)
    forged["resource", "site"] = Rule("resource", "site", (("exact", Opening((frozenset({"resource:open"}),))),))
    assert "site" not in decide(Policy("forged", forged, CATALOGUE), everything(), "resource").steps


# One record


@pytest.mark.parametrize(
    ("scope", "highest"), [("resource:open", OPEN), ("resource:community", COMMUNITY), ("resource:partner", PARTNER)]
)
def test_handling_is_the_lowest_tier_that_knows_of_the_record(scope: str, highest: Tier) -> None:
    for handling in Tier:
        assert knows(DEFAULT, peer(scope), "resource", handling) is (handling <= highest)
        assert knows(DEFAULT, member(), "resource", handling)
    assert explain(DEFAULT, peer(scope), "resource", "title", handling=NETWORK).reasons == (
        "Nothing is seen: the record is TLP:AMBER+STRICT, beyond what the viewer may know of.",
    )


def test_caps_of_a_record_coarsen_what_leaves_and_not_what_is_seen_at_home() -> None:
    caps = {"amount": "band", "title": None}
    assert effective(DEFAULT, everything(), "resource", "amount", caps=caps) == "band"
    assert effective(DEFAULT, everything(), "resource", "title", caps=caps) is None
    assert effective(DEFAULT, member(), "resource", "amount", caps=caps) == "exact"
    assert explain(DEFAULT, everything(), "resource", "title", caps=caps).reasons == (
        "exact: withheld, the record lets this field leave not at all.",
    )


def test_a_record_of_which_nothing_may_leave_is_not_known() -> None:
    caps = dict.fromkeys(CATALOGUE.types["fundingCall"].fields)
    assert not knows(DEFAULT, everything(), "fundingCall", caps=caps)
    assert effective(DEFAULT, everything(), "fundingCall", "language", caps={"deadline": None, "dates": None}) is None


def test_no_value_is_seen_finer_than_it_is_held_not_even_at_home() -> None:
    held = {"amount": "band", "area": None}
    assert effective(DEFAULT, member(), "resource", "amount", held=held) == "band"
    assert effective(DEFAULT, member(), "resource", "area", held=held) is None
    assert explain(DEFAULT, member(), "resource", "amount", held=held).reasons[0] == (
        "exact: withheld, it is held as band at most."
    )


def test_a_type_or_field_that_does_not_exist_is_explained() -> None:
    assert explain(DEFAULT, member(), "secret", "title").reasons == ("There is no type secret.",)
    assert explain(DEFAULT, member(), "resource", "colour").reasons == ("resource has no field colour.",)


def test_fixed_fields_are_of_every_type_and_handling_is_community() -> None:
    for name in ("id", "origin", "type", "status"):
        assert effective(DEFAULT, client("resource:open"), "resource", name) == "exact"
    assert effective(DEFAULT, client("resource:open"), "resource", "handling") is None
    for terms in (None, terms_for("resource")):
        assert effective(DEFAULT, peer("resource:community"), "resource", "handling", terms=terms) == "exact"


# Received records


def test_received_records_show_outsiders_only_what_the_origin_calls_open_or_community() -> None:
    terms = terms_for("resource")
    partner = decide(DEFAULT, everything(), "resource", terms)
    assert partner.steps["amount"] == "band"
    assert partner.steps["area"] == "sub_region"
    assert partner.clearance is COMMUNITY
    public = decide(DEFAULT, client("resource:open"), "resource", terms)
    assert public == decide(DEFAULT, client("resource:open"), "resource")
    assert explain(DEFAULT, everything(), "resource", "amount", terms).reasons == (
        "exact: withheld, the origin keeps it partner.",
        "band: seen, opened by resource:community.",
    )


def test_the_own_rule_binds_received_records_too() -> None:
    policy = with_rule(DEFAULT, "resource", "title", exact=Opening())
    assert "title" not in decide(policy, everything(), "resource", terms_for("resource")).steps


def test_what_the_origin_does_not_label_goes_nowhere() -> None:
    terms = terms_for("resource", labels={"title": (("exact", OPEN),)})
    assert decide(DEFAULT, everything(), "resource", terms).steps == {"title": "exact"}


def test_what_the_origin_calls_community_is_not_published_by_a_wider_rule_of_ours() -> None:
    terms = terms_for("resource", labels={"title": (("exact", COMMUNITY),), "languages": (("macro", OPEN),)})
    assert decide(DEFAULT, client("resource:open"), "resource", terms).steps == {"languages": "macro"}
    assert decide(DEFAULT, client("resource:community"), "resource", terms).steps["title"] == "exact"


def test_caps_of_the_origin_bind() -> None:
    terms = terms_for("resource", caps={"languages": "macro", "title": None})
    steps = decide(DEFAULT, everything(), "resource", terms).steps
    assert steps["languages"] == "macro"
    assert "title" not in steps
    assert explain(DEFAULT, everything(), "resource", "languages", terms).reasons[0] == (
        "exact: withheld, the origin lets this field leave as macro at most."
    )
    assert explain(DEFAULT, everything(), "resource", "title", terms).reasons == (
        "exact: withheld, the origin lets this field leave not at all.",
    )


def test_a_cap_at_a_step_that_only_the_origin_knows_still_lets_the_coarser_ones_leave() -> None:
    told = {"dates": (("exact", OPEN), ("week", OPEN), ("month", OPEN)), "deadline": (("exact", OPEN),)}
    terms = terms_for("fundingCall", labels=told, caps={"dates": "week"})
    assert decide(DEFAULT, everything(), "fundingCall", terms).steps["dates"] == "month"


@pytest.mark.parametrize(
    ("type_key", "changes", "affiliation", "reason"),
    [
        ("resource", {"relay": False}, "none", "the origin does not let it be passed on."),
        ("need", {}, "none", "received records of need are never passed on."),
        (
            "resource",
            {"not_to_affiliation": frozenset({"foreign_state"})},
            "foreign_state",
            "the origin does not let it go to State affiliation foreign_state.",
        ),
        (
            "resource",
            {"not_to_affiliation": frozenset({"foreign_state"})},
            None,
            "the origin asks for the State affiliation, which is unknown.",
        ),
    ],
)
def test_terms_can_keep_a_record_from_a_viewer(
    type_key: str, changes: dict[str, object], affiliation: str | None, reason: str
) -> None:
    terms = terms_for(type_key, **changes)
    viewer = everything(affiliation=affiliation)
    assert decide(DEFAULT, viewer, type_key, terms).empty
    assert explain(DEFAULT, viewer, type_key, "language", terms).reasons == (f"Nothing is seen: {reason}",)


def test_terms_that_exclude_nobody_ask_nobody() -> None:
    assert not decide(DEFAULT, client("resource:open"), "resource", terms_for("resource")).empty
    excluding = terms_for("resource", not_to_affiliation=frozenset({"foreign_state"}))
    assert not decide(DEFAULT, everything(affiliation="none"), "resource", excluding).empty


# The class


def test_viewers_who_see_the_same_share_a_class() -> None:
    one = peer("resource:community", affiliation="none", jurisdiction="NL")
    two = peer("resource:community", "exchange", affiliation="none", jurisdiction="KE")
    assert class_key(DEFAULT, one, CATALOGUE, "1") == class_key(DEFAULT, two, CATALOGUE, "1")


@pytest.mark.parametrize(
    "other",
    [
        peer("resource:open", affiliation="none"),
        peer("resource:community", affiliation="foreign_state"),
        peer("resource:community"),
        peer("resource:community", affiliation="none", narrowing={("resource", "area"): None}),
        peer("resource:community", "fundingCall:open", affiliation="none"),
        peer("resource:community", affiliation="none", active=False),
        member(),
    ],
)
def test_viewers_who_may_see_otherwise_have_other_classes(other: Viewer) -> None:
    one = peer("resource:community", affiliation="none")
    assert class_key(DEFAULT, one, CATALOGUE, "1") != class_key(DEFAULT, other, CATALOGUE, "1")


def test_the_class_changes_with_the_code_lists_and_the_policy_only_where_it_is_seen() -> None:
    viewer = peer("resource:community")
    key = class_key(DEFAULT, viewer, CATALOGUE, "1")
    assert key != class_key(DEFAULT, viewer, CATALOGUE, "2")
    unseen = with_rule(DEFAULT, "resource", "amount", exact=Opening())
    assert class_key(unseen, viewer, CATALOGUE, "1") == key
    seen = with_rule(DEFAULT, "resource", "title", exact=Opening())
    assert class_key(seen, viewer, CATALOGUE, "1") != key


def test_who_sees_needs_has_a_class_alone() -> None:
    def of(subject: str, *scopes: str) -> str:
        viewer = Viewer(ViewerKind.PEER, subject, frozenset(scopes), Agreement(frozenset(scopes)))
        return class_key(DEFAULT, viewer, CATALOGUE, "1")

    assert of("west", "resource:open") == of("east", "resource:open")
    assert of("west", "resource:open", "need:open") == of("east", "resource:open")
    assert of("west", "need:community") != of("east", "need:community")


def test_all_who_see_nothing_share_one_class() -> None:
    revoked = peer("resource:partner", active=False, affiliation="foreign_state")
    assert class_key(DEFAULT, revoked, CATALOGUE, "1") == class_key(DEFAULT, peer(), CATALOGUE, "1")


# Properties


records = st.one_of(
    [
        st.tuples(
            st.just(key),
            st.sampled_from(sorted(CATALOGUE.types[key].fields)),
            st.sampled_from([OPEN, OPEN, *Tier]),
            LIMITS[key],
            st.none() | TERMS[key],
            st.just({}) | LIMITS[key],
        )
        for key in TYPES
    ]
)
"""type, field, handling, caps, terms, precision in which it is held"""


@settings(max_examples=400, deadline=None)
@given(policies, viewers, records)
def test_the_effective_step_is_the_oracles(policy, viewer, record) -> None:  # type: ignore[no-untyped-def]
    key, name, *rest = record
    assert effective(policy, viewer, key, name, *rest) == oracle_effective(policy, viewer, key, name, *rest)


@QUICK
@given(policies, viewers, st.sampled_from(TYPES), st.data())
def test_the_projection_is_the_effective_step_of_a_record_without_limits(policy, viewer, key, data) -> None:  # type: ignore[no-untyped-def]
    terms = data.draw(st.none() | TERMS[key])
    projection = decide(policy, viewer, key, terms)
    assert projection.empty is not knows(policy, viewer, key, OPEN, None, terms)
    for name in CATALOGUE.types[key].fields:
        assert projection.steps.get(name) == effective(policy, viewer, key, name, OPEN, None, terms)
    if not projection.empty:
        for handling in Tier:
            assert knows(policy, viewer, key, handling, None, terms) is (handling <= projection.clearance)


@QUICK
@given(policies, viewers, records, all_scopes)
def test_more_scopes_never_show_less(policy, viewer, record, more) -> None:  # type: ignore[no-untyped-def]
    key, name, *rest = record
    agreement = viewer.agreement and Agreement(
        viewer.agreement.scopes | more, narrowing=viewer.agreement.narrowing, active=viewer.agreement.active
    )
    richer = Viewer(
        viewer.kind, viewer.subject, viewer.scopes | more, agreement, viewer.affiliation, viewer.jurisdiction
    )
    less, shown = effective(policy, viewer, key, name, *rest), effective(policy, richer, key, name, *rest)
    assert not_more(key, name, less, shown)


@QUICK
@given(policies, viewers, records, st.data())
def test_a_tighter_policy_never_shows_more(policy, viewer, record, data) -> None:  # type: ignore[no-untyped-def]
    key, name, *rest = record
    rules = dict(policy.rules)
    chosen = data.draw(st.lists(st.sampled_from(FIELDS), max_size=3, unique=True))
    for at in {(key, name), *chosen}:
        rules[at] = a_tighter_rule(Random(data.draw(seeds)), rules[at])
    tighter = policy_of(rules.values(), CATALOGUE)
    assert not_more(
        key, name, effective(tighter, viewer, key, name, *rest), effective(policy, viewer, key, name, *rest)
    )


@QUICK
@given(policies, viewers, st.sampled_from(TYPES), st.data())
def test_terms_never_loosen_along_a_path(policy, viewer, key, data) -> None:  # type: ignore[no-untyped-def]
    one, two = data.draw(TERMS[key]), data.draw(TERMS[key])
    both = tighten(one, two)
    for name in CATALOGUE.types[key].fields:
        shown = effective(policy, viewer, key, name, terms=both)
        for terms in (one, two):
            before = effective(policy, viewer, key, name, terms=terms)
            assert viewer.at_home or not_more(key, name, shown, before)


@QUICK
@given(policies, viewers, records, st.data())
def test_caps_narrowing_and_precision_never_show_more(policy, viewer, record, data) -> None:  # type: ignore[no-untyped-def]
    key, name, handling, caps, terms, held = record
    shown = effective(policy, viewer, key, name, handling, caps, terms, held)
    assert not_more(key, name, shown, effective(policy, viewer, key, name, handling, None, terms, None))
    assert not_more(key, name, shown, effective(policy, viewer, key, name, OPEN, caps, terms, held))
    if not viewer.at_home:
        assert not_more(key, name, shown, effective(policy, viewer, key, name, handling, caps, None, held))
    if viewer.agreement is not None:
        narrowing = {
            (key, n): s for n, s in data.draw(LIMITS[key]).items() if (key, n) not in viewer.agreement.narrowing
        }
        agreement = Agreement(
            viewer.agreement.scopes,
            narrowing={**viewer.agreement.narrowing, **narrowing},
            active=viewer.agreement.active,
        )
        slim = Viewer(viewer.kind, viewer.subject, viewer.scopes, agreement, viewer.affiliation, viewer.jurisdiction)
        assert not_more(key, name, effective(policy, slim, key, name, handling, caps, terms, held), shown)


@QUICK
@given(policies, viewers, records)
def test_sealed_is_never_seen_and_network_only_by_a_rule_for_partners(policy, viewer, record) -> None:  # type: ignore[no-untyped-def]
    key, name, *rest = record
    step = effective(policy, viewer, key, name, *rest)
    if step is None:
        return
    tier = dict(CATALOGUE.types[key].fields[name].steps)[step]
    assert tier < SEALED
    if tier is NETWORK and not viewer.at_home:
        assert rest[2] is None
        assert any(scope_for(one, PARTNER) in rights(viewer) for one in TYPES)
        assert policy.rules[key, name] != DEFAULT.rules[key, name]


@QUICK
@given(viewers, records)
def test_under_the_default_policy_no_scope_opens_network_or_sealed(viewer, record) -> None:  # type: ignore[no-untyped-def]
    key, name, *rest = record
    step = effective(DEFAULT, viewer, key, name, *rest)
    if step is not None and not viewer.at_home:
        assert dict(CATALOGUE.types[key].fields[name].steps)[step] in SCOPED


@QUICK
@given(policies, viewers, st.data())
def test_one_class_sees_the_same_under_any_terms(policy, viewer, data) -> None:  # type: ignore[no-untyped-def]
    other = data.draw(viewers)
    if data.draw(st.booleans()):
        other = Viewer(
            viewer.kind,
            viewer.subject,
            viewer.scopes,
            viewer.agreement,
            viewer.affiliation,
            data.draw(st.sampled_from(["FR", "KE", None])),
        )
    same = class_key(policy, viewer, CATALOGUE, "1") == class_key(policy, other, CATALOGUE, "1")
    own = [decide(policy, viewer, key) == decide(policy, other, key) for key in TYPES]
    if same:
        assert all(own)
        for key in TYPES:
            terms = data.draw(TERMS[key])
            assert decide(policy, viewer, key, terms) == decide(policy, other, key, terms)
    elif viewer.affiliation == other.affiliation and viewer.subject == other.subject:
        assert not all(own) or viewer.at_home is not other.at_home


@QUICK
@given(policies, viewers)
def test_what_was_relayed_under_own_labels_is_no_more_than_the_own_policy_shows(policy, viewer) -> None:  # type: ignore[no-untyped-def]
    if viewer.at_home:
        return
    for key in TYPES:
        terms = Terms(True, 2, {}, frozenset(), labels(policy, key))
        received, own = decide(DEFAULT, viewer, key, terms), decide(policy, viewer, key)
        for name, step in received.steps.items():
            assert not_more(key, name, step, own.steps.get(name))


def test_affiliations_are_the_ones_that_operators_enter() -> None:
    assert AFFILIATIONS == ("none", "domestic_state", "foreign_state", "intergovernmental")
