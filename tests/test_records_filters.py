"""What may be asked of which field, and the normal form of what is asked."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from federation.errors import BadInput
from federation.records.filters import MOST_CONDITIONS, And, Cond, Filter, Not, Or, checked, conditions, fields_of
from federation.records.registry import RECORD_TYPES

RESOURCE = RECORD_TYPES["resource"]


@pytest.mark.parametrize(
    ("field", "op", "value", "stored"),
    [
        ("title", "eq", "x", "x"),
        ("kind", "in", ["EMERGENCY_GRANT", "other"], ("emergency_grant", "other")),
        ("kind", "not_in", ["other", "other"], ("other",)),
        ("kind", "eq", "brand_new", "brand_new"),
        ("languages", "has", "swa-KE", "sw-KE"),
        ("languages", "has_any", ("sw", "en"), ("sw", "en")),
        ("welcomes", "has_all", ["women"], ("women",)),
        ("round_the_clock", "eq", True, True),
        ("response_hours", "at_most", 72, 72),
        ("valid_until", "from", "2024-01-01", "2024-01-01"),
        ("horizon", "to", "2024-01-01", "2024-01-01"),
        ("amount", "at_least", "5000", Decimal(5000)),
        ("amount", "at_most", 99.5, Decimal("99.5")),
        ("area", "within", "014", "014"),
        ("availability", "eq", "OPEN", "open"),
        ("provider", "in", ["ngo"], ("ngo",)),
        ("amount", "is_null", True, True),
    ],
)
def test_a_condition_is_brought_to_normal_form(field: str, op: str, value: Any, stored: Any) -> None:
    assert checked(Cond(field, op, value), RESOURCE) == Cond(field, op, stored)


@pytest.mark.parametrize(
    ("field", "op", "value"),
    [
        ("shoe_size", "eq", 42),
        ("site", "eq", "x"),
        ("summary", "eq", "x"),
        ("contact", "is_null", True),
        ("title", "within", "x"),
        ("title", "eq", 7),
        ("kind", "in", "other"),
        ("kind", "in", ["other"] * 101),
        ("kind", "eq", "a b"),
        ("languages", "has", 7),
        ("languages", "has", "not a tag"),
        ("round_the_clock", "eq", "yes"),
        ("response_hours", "at_most", 1.5),
        ("response_hours", "at_most", True),
        ("valid_until", "from", "soon"),
        ("amount", "at_least", "many"),
        ("amount", "at_least", "-1"),
        ("amount", "at_least", "NaN"),
        ("amount", "is_null", 1),
        ("created_at", "eq", "2024-01-01T00:00:00Z"),
    ],
)
def test_a_condition_that_the_field_does_not_know_is_refused_by_its_field(field: str, op: str, value: Any) -> None:
    with pytest.raises(BadInput) as caught:
        checked(And((Cond(field, op, value),)), RESOURCE)
    assert caught.value.field == field


def test_only_values_with_bounds_can_be_surely_met() -> None:
    sure = Cond("amount", "at_least", 1, surely=True)
    assert checked(sure, RESOURCE) == Cond("amount", "at_least", Decimal(1), surely=True)
    with pytest.raises(BadInput):
        checked(Cond("title", "eq", "x", surely=True), RESOURCE)


def test_trees_are_walked_and_bounded() -> None:
    tree: Filter = Or((Not(Cond("title", "eq", "x")), And((Cond("kind", "eq", "OTHER"),))))
    assert checked(tree, RESOURCE) == Or((Not(Cond("title", "eq", "x")), And((Cond("kind", "eq", "other"),))))
    assert [each.field for each in conditions(tree)] == ["title", "kind"]
    assert fields_of(tree) == {"title", "kind"}
    with pytest.raises(BadInput, match="conditions"):
        checked(Or((Cond("title", "eq", "x"),) * (MOST_CONDITIONS + 1)), RESOURCE)
    for _ in range(10):
        tree = Not(tree)
    with pytest.raises(BadInput, match="deep"):
        checked(tree, RESOURCE)
