"""A catalogue that no policy could keep is refused when it is made."""

from __future__ import annotations

import pytest
from policy_cases import CATALOGUE, COMMUNITY, OPEN, PARTNER, field, kind

from federation.policies.catalogue import Catalogue, FieldRules, TypeRules


@pytest.mark.parametrize("steps", [(), (("exact", OPEN), ("exact", OPEN)), (("Exact", OPEN),), (("sub-region", OPEN),)])
def test_a_ladder_needs_steps_with_names_of_their_own(steps) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match="title"):
        FieldRules("title", False, steps)


def test_a_field_needs_a_snake_case_name() -> None:
    with pytest.raises(ValueError, match="roundTheClock"):
        field("roundTheClock", exact=OPEN)


def test_a_coarser_step_may_not_need_more_by_default() -> None:
    with pytest.raises(ValueError, match="a coarser step needs more"):
        field("amount", exact=COMMUNITY, band=PARTNER)


def test_types_and_fields_are_called_what_they_call_themselves() -> None:
    with pytest.raises(ValueError, match="calls itself title"):
        TypeRules("resource", {"name": field("title", exact=OPEN)}, True)
    with pytest.raises(ValueError, match="calls itself need"):
        Catalogue({"resource": kind("need")})
    with pytest.raises(ValueError, match="camelCase"):
        kind("funding_call")


def test_the_rules_of_fixed_fields_are_fixed() -> None:
    with pytest.raises(ValueError, match=r"resource\.handling: its rule is fixed"):
        kind("resource", field("handling", common=True, exact=OPEN))
    assert kind("resource", field("handling", common=True, exact=COMMUNITY)).fields["handling"].common


@pytest.mark.parametrize("others", [("title", "summary"), ("list",)])
def test_a_field_tells_only_of_fields_that_are_there_and_tell_of_no_other(others: tuple[str, ...]) -> None:
    told = FieldRules("list", True, (("exact", OPEN),), others)
    with pytest.raises(ValueError, match=r"resource\.list: it tells of a field"):
        kind("resource", field("title", exact=OPEN), told)


def test_a_field_coarsens_to_what_is_at_or_below_a_step() -> None:
    area = CATALOGUE.types["resource"].fields["area"]
    assert area.coarsens_to("exact") == ("exact", "country", "sub_region")
    assert area.coarsens_to("sub_region") == ("sub_region",)
    assert area.coarsens_to(None) == ()
    assert area.coarsens_to("planet") == ()


def test_every_type_has_the_fixed_fields_and_no_others_that_it_does_not_state() -> None:
    resource = CATALOGUE.types["resource"]
    assert resource.field("id") == FieldRules("id", True, (("exact", OPEN),))
    assert resource.field("title") is resource.fields["title"]
    assert resource.field("colour") is None


def test_a_catalogue_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        CATALOGUE.types["x"] = kind("x")  # type: ignore[index]
    with pytest.raises(TypeError):
        CATALOGUE.types["resource"].fields["x"] = field("x", exact=OPEN)  # type: ignore[index]
