"""Viewers and projections are frozen values."""

from __future__ import annotations

import pytest
from policy_cases import COMMUNITY, OPEN, PARTNER, client, everything, member, peer

from federation.policies.viewer import Agreement, Projection, ViewerKind, anonymous


def test_nobody_is_the_default() -> None:
    assert anonymous().scopes == frozenset()
    assert Agreement().scopes == frozenset()
    assert Projection("resource", {}, None).empty
    assert Projection("resource", {}, PARTNER).empty
    assert Projection("resource", {"title": "exact"}, None).empty
    assert not Projection("resource", {"title": "exact"}, OPEN).empty


def test_accounts_are_at_home_and_nobody_else_is() -> None:
    assert member().at_home
    assert not any(one.at_home for one in (anonymous(), client(), everything()))
    assert set(ViewerKind) - {ViewerKind.MEMBER, ViewerKind.STEWARD} == {"anonymous", "client", "peer"}


def test_an_agreement_cannot_be_changed_through_the_mapping_that_made_it() -> None:
    narrowing: dict[tuple[str, str], str | None] = {("resource", "title"): None}
    agreement = Agreement(narrowing=narrowing)
    narrowing.clear()
    assert agreement.narrowing == {("resource", "title"): None}
    with pytest.raises(TypeError):
        agreement.narrowing["resource", "area"] = "exact"  # type: ignore[index]


def test_viewers_can_be_keys() -> None:
    one = peer("resource:open", narrowing={("resource", "title"): None})
    two = peer("resource:open", narrowing={("resource", "title"): None})
    assert {one: 1}[two] == 1
    assert one != peer("resource:open")


def test_handling_is_seen_from_community_on() -> None:
    assert not Projection("resource", {}, None).shows_handling
    assert not Projection("resource", {"title": "exact"}, OPEN).shows_handling
    assert Projection("resource", {"title": "exact"}, COMMUNITY).shows_handling


def test_the_key_of_a_projection_names_type_steps_and_clearance() -> None:
    keys = {
        Projection(*of).key
        for of in [
            ("resource", {"title": "exact"}, OPEN),
            ("need", {"title": "exact"}, OPEN),
            ("resource", {"title": "text"}, OPEN),
            ("resource", {"title": "exact"}, COMMUNITY),
            ("resource", {}, None),
        ]
    }
    assert len(keys) == 5
    assert Projection("r", {"a": "x", "b": "y"}, OPEN).key == Projection("r", {"b": "y", "a": "x"}, OPEN).key
