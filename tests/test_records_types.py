"""Every type, field, step and default tier, written from the table of the domain; and what a type refuses."""

from __future__ import annotations

from typing import Any

import pytest

from federation.errors import BadInput
from federation.policies.tiers import Tier
from federation.records.base import Record, record_type, stated
from federation.records.common import Common
from federation.records.kinds import Line
from federation.records.registry import OPEN_PLACES, OPPORTUNITIES, RECORD_TYPES, catalogue
from federation.records.rows import bits, columns
from federation.records.values import Period

COMMON = """
verified_on: exact community, month open
valid_until: exact open
language: exact open
translations: exact open
expectations: exact open
internal_notes: exact sealed
created_at: exact network
updated_at: exact network
"""

RESOURCE = """
title: exact open
summary: exact open
kind: exact open
dimensions: exact open
eligibility: exact open
welcomes: exact open
reach: exact open
response_hours: exact open
round_the_clock: exact open
application_channels: exact open
accepts_unregistered: exact open
languages: exact community, macro open
provider: exact network, kind community
area: exact network, country partner, sub_region open
site: exact sealed
amount: exact partner, band community
availability: exact network, state community
horizon: exact partner, year community
renewable: exact community
contact: exact sealed, relay community
front_door: exact open
"""

TABLE = {
    "network": """
name: exact community
scope: exact open
formality: exact community
regions: exact partner, sub_region open
languages: exact community
goals: exact open
roles: exact open
actor_types: exact network, bands partner
state_affiliation: exact open
jurisdiction: exact community
front_door: exact open
answer_within_hours: exact community
contact: exact sealed, relay community
""",
    "resource": RESOURCE,
    "capacityOffer": RESOURCE
    + """
topic: exact open
level: exact open
mode: exact open
costs_covered: exact open
access: exact open
dates: exact partner, month community, quarter open
places: exact partner, state community
venue: exact network, subdivision partner
trainers: exact sealed
outcomes: exact network, bands partner
""",
    "fundingCall": """
title: exact open
summary: exact open
funder: exact open
state_affiliation: exact open
deadline: exact open
amount_band: exact open
duration_months: exact open
renewable: exact open
core_funding: exact open
overhead_percent: exact open
joint_applications: exact open
eligible_areas: exact open
regrant_type: exact open
amount: exact partner
contact: exact sealed, relay community
""",
    "need": """
kind: exact community
topic: exact community
area: exact network, country partner, sub_region community
amount: exact network, band partner
urgency: exact partner
window: exact network, quarter partner
network: exact network, pseudonym partner
""",
    "convening": """
title: exact community
open_to: exact community
newcomer_places: exact community
languages: exact community
interpretation: exact community
series: exact partner, cadence community
date: exact network, month partner
venue: exact sealed
link: exact sealed
attendees: exact sealed
""",
    "fieldVisit": """
organisers: exact partner, kinds community
partners_sought: exact community
purpose: exact community
area: exact network, sub_region partner
dates: exact network, quarter partner
open_places: exact partner, any community
route: exact sealed
host: exact sealed
lodging: exact sealed
security_plan: exact sealed
""",
    "practice": """
title: exact community
text: exact community
kind: exact community
topics: exact community
setting: exact network, sub_region community
period: exact network, year community
attribution: exact network, style community
""",
    "notice": """
kind: exact community
text: exact community
deadline: exact community
""",
    "space": """
name: exact sealed
purpose: exact sealed
rules: exact sealed
size: exact sealed
members: exact sealed
stewards: exact sealed
meeting_place: exact sealed
door_card: exact partner
contact: exact sealed, relay partner
""",
}


def ladders(key: str) -> str:
    """The ladders of a type in the form of the table."""
    return "\n".join(
        f"{name}: " + ", ".join(f"{step.name} {step.tier.label}" for step in spec.steps)
        for name, spec in RECORD_TYPES[key].fields.items()
    )


def test_there_are_the_ten_types_of_the_domain_in_its_order() -> None:
    assert list(RECORD_TYPES) == list(TABLE)


@pytest.mark.parametrize("key", TABLE)
def test_each_field_has_the_ladder_and_tiers_of_the_table(key: str) -> None:
    assert ladders(key).splitlines() == (TABLE[key] + COMMON).replace("\n\n", "\n").strip().splitlines()


@pytest.mark.parametrize("key", TABLE)
def test_the_catalogue_says_the_same(key: str) -> None:
    rules = catalogue().types[key]
    assert {name: [(step, tier.label) for step, tier in field.steps] for name, field in rules.fields.items()} == {
        name: [(step.name, step.tier.label) for step in spec.steps] for name, spec in RECORD_TYPES[key].fields.items()
    }
    assert {name for name, field in rules.fields.items() if field.common} == {
        line.split(":")[0] for line in COMMON.strip().splitlines()
    }
    assert rules.relayable == (key not in ("need", "space"))


def test_names_of_tables_and_graphql_types_follow_the_key() -> None:
    assert [(each.key, each.table, each.graphql) for each in RECORD_TYPES.values()][2:5] == [
        ("capacityOffer", "capacity_offer", "CapacityOffer"),
        ("fundingCall", "funding_call", "FundingCall"),
        ("need", "need", "Need"),
    ]


def test_only_offers_need_expectations_before_they_are_shared() -> None:
    assert [key for key, each in RECORD_TYPES.items() if each.needs_expectations] == [
        "resource",
        "capacityOffer",
        "fundingCall",
    ]


@pytest.mark.parametrize("key", TABLE)
def test_sealed_steps_have_no_column_and_all_others_have_some(key: str) -> None:
    each = RECORD_TYPES[key]
    held = {(column.field, column.step) for column in columns(each)}
    assert held == set(bits(each))
    for name, spec in each.fields.items():
        for step in spec.steps:
            assert ((name, step.name) in held) == (step.tier < Tier.SEALED)
    names = [column.name for column in columns(each)]
    assert len(set(names)) == len(names)
    assert all(len(name) < 60 for name in names)


@pytest.mark.parametrize("key", TABLE)
def test_every_field_says_what_it_means_and_can_be_sorted_only_by_bounds(key: str) -> None:
    for spec in RECORD_TYPES[key].fields.values():
        assert spec.meaning.endswith(".")
        suffixes = {column.suffix for column in spec.kind.columns("exact")}
        if spec.sortable:
            assert {"__lo", "__hi"} <= suffixes
        if spec.steps[-1].tier is Tier.SEALED:
            assert (spec.sortable, spec.filterable, spec.searched) == (False, False, False)


@pytest.mark.parametrize("key", TABLE)
def test_declared_indexes_name_fields_that_can_be_filtered_and_sorted(key: str) -> None:
    each = RECORD_TYPES[key]
    assert len(each.indexes) <= 5
    for filtered, ordered in each.indexes:
        assert filtered is None or each.fields[filtered].filterable
        assert ordered is None or each.fields[ordered].sortable


def test_opportunities_name_the_field_that_tells_of_open_places() -> None:
    assert set(OPEN_PLACES) < set(OPPORTUNITIES) <= set(RECORD_TYPES)
    for key, field in OPEN_PLACES.items():
        assert "at_least" in RECORD_TYPES[key].fields[field].kind.filters


def test_a_ladder_begins_with_exact_runs_to_coarse_and_never_narrows() -> None:
    with pytest.raises(ValueError, match="begins with exact"):
        stated(Period(), "x", month=Tier.OPEN)
    with pytest.raises(ValueError, match="from exact to coarse"):
        stated(Period(), "x", exact=Tier.PARTNER, year=Tier.COMMUNITY, month=Tier.OPEN)
    with pytest.raises(ValueError, match="narrower"):
        stated(Period(), "x", exact=Tier.OPEN, month=Tier.COMMUNITY)
    with pytest.raises(ValueError, match="not in"):
        stated(Period(), "x", exact=Tier.OPEN, bands=Tier.OPEN)


def test_a_field_without_a_stated_ladder_is_in_no_record() -> None:
    class Odd(Record):
        """An odd one."""

        stray: str = "x"

    assert "stray" not in record_type(Odd, Common).fields
    assert "verified_on" in record_type(Odd, Common).fields


def offer(**changes: Any) -> dict[str, Any]:
    """The smallest home document of a resource, with changes."""
    return {"title": "Legal help", "kind": "legal_support", **changes}


@pytest.mark.parametrize(
    ("field", "document"),
    [
        ("shoe_size", offer(shoe_size=42)),
        ("title", {"kind": "legal_support"}),
        ("title", offer(title=None)),
        ("kind", offer(kind="free_lunch")),
        ("response_hours", offer(response_hours=-1)),
        ("translations", offer(translations={"fr": {"kind": "x"}})),
        ("translations", offer(translations={"fr": {"summary": "none of its own"}})),
        ("translations", offer(internal_notes="a", translations={"fr": {"internal_notes": "never leaves"}})),
        ("translations", offer(site="a", translations={"fr": {"site": "never leaves"}})),
        ("translations", offer(translations={"fr": {"title": "a\u202eb"}})),
        ("translations", offer(translations={"fr": {"title": 7}})),
        ("caps", offer(caps={"title": "month"})),
        ("caps", offer(caps=["title"])),
        ("originals", offer(originals=["kind"])),
    ],
)
def test_a_document_that_breaks_a_rule_is_told_by_its_field(field: str, document: dict[str, Any]) -> None:
    each = RECORD_TYPES["resource"]
    problems = each.check(document)
    assert [name for name, _ in problems] == [field]
    assert problems[0][1].endswith(".")
    with pytest.raises(BadInput) as caught:
        each.normalise(document)
    assert caught.value.field == field


def test_all_problems_of_a_document_are_told_at_once() -> None:
    problems = RECORD_TYPES["resource"].check({"kind": "x", "response_hours": "y"})
    assert [name for name, _ in problems] == ["kind", "response_hours", "title"]


def test_a_document_is_stored_in_normal_form() -> None:
    document = offer(
        title="  Aide juridique \u0065\u0301te\r\n",
        languages=["FRA", "swh-ke"],
        translations={"EN": {"title": " Legal help "}},
        amount={"value": 2500, "currency": "EUR"},
        caps={"area": "country", "amount": None},
        originals={"kind": "LH-0300"},
        horizon="2024-05-01",
        site=None,
    )
    normal = RECORD_TYPES["resource"].normalise(document)
    assert normal["title"] == "Aide juridique éte"
    assert normal["languages"] == ["fr", "swh-KE"]
    assert normal["translations"] == {"en": {"title": "Legal help"}}
    assert normal["amount"] == {"minimum": "2500", "maximum": "2500", "currency": "EUR"}
    assert normal["horizon"] == {"start": "2024-05-01", "end": "2024-05-01"}
    assert normal["caps"] == {"area": "country", "amount": None}
    assert "site" not in normal
    assert document["translations"] == {"EN": {"title": " Legal help "}}
    assert RECORD_TYPES["resource"].normalise(normal) == normal


def test_rules_over_several_fields_belong_to_their_type() -> None:
    call = {"title": "Call", "deadline": "2024-05-01", "valid_until": "2024-04-30"}
    assert [field for field, _ in RECORD_TYPES["fundingCall"].check(call)] == ["valid_until"]
    course = {"title": "UPR", "topic": "upr", "dates": {"start": "2024-05-02"}, "valid_until": "2024-05-01"}
    assert [field for field, _ in RECORD_TYPES["capacityOffer"].check(course)] == ["valid_until"]
    course["valid_until"] = "2024-06-01"
    assert RECORD_TYPES["capacityOffer"].check(course) == []


def test_an_unknown_step_has_no_tier() -> None:
    spec = RECORD_TYPES["resource"].fields["area"]
    assert spec.step_names == ("exact", "country", "sub_region")
    assert spec.tier("country") is Tier.PARTNER
    with pytest.raises(KeyError):
        spec.tier("planet")


def test_lines_are_not_translated() -> None:
    assert Line().name == "string"
