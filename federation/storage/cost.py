"""What a query may cost, decided from its shape: pairs of filter and order that the type declares are always allowed,
others only while the viewer's own class is small. It must never look at what matches."""

from __future__ import annotations

from federation.errors import BadInput, ForbiddenField
from federation.records.base import RecordType
from federation.records.filters import Filter, conditions
from federation.storage.conditions import RANGES, conjuncts
from federation.storage.relation import OrderBy, Query, numeric
from federation.storage.view import View

SMALL_CLASS = 10_000
"""Up to this many rows in the viewer's class every pair of filter and order is allowed."""


def allowed(record_type: RecordType, where: Filter | None, query: Query) -> bool:
    """Whether every pair of a filter and the order is one that the type declares."""
    names = {cond.field for cond in conditions(where)} if where is not None else set()
    order = query.order.field if query.order is not None else None
    pairs = record_type.indexes
    if query.search:
        return all(any(name == filtered for filtered, _ in pairs) for name in names)
    if not names:
        return order is None or (None, order) in pairs
    return all((name, order) in pairs or (name == order and (None, name) in pairs) for name in names)


def views_that_must_be_small(views: tuple[View, ...], query: Query) -> tuple[View, ...]:
    """The views whose class has to be small, because the query asks for a pair that their type does not declare."""
    return tuple(
        view
        for view, where in zip(views, query.wheres, strict=True)
        if view.arms and not allowed(view.type, where, query)
    )


def implied_order(record_type: RecordType, where: Filter | None) -> OrderBy | None:
    """A filter by a range without an order sorts by its field, earliest or least first."""
    for cond in conjuncts(where):
        spec = record_type.fields.get(cond.field)
        if cond.op in RANGES and spec is not None and spec.sortable:
            return OrderBy(cond.field)
    return None


def check_fields(views: tuple[View, ...], where: Filter | None, order: OrderBy | None) -> None:
    """Refuses what the viewer may not ask, from the projections alone: ForbiddenField for a filter or order by a
    field that no arm shows, BadInput for an order by what has no order."""
    seen = frozenset(name for view in views for name in view.fields)
    for cond in conditions(where) if where is not None else ():
        if cond.field not in seen:
            raise ForbiddenField(f"You may not filter by {cond.field}.", field=cond.field)
    if order is None:
        return
    specs = [view.type.fields[order.field] for view in views if order.field in view.type.fields]
    if not any(spec.sortable for spec in specs):
        raise BadInput(f"There is no order by {order.field[:60]}.", field=order.field[:60])
    if len({numeric(spec) for spec in specs if spec.sortable}) > 1:
        raise BadInput(f"These types have no common order by {order.field}.", field=order.field)
    if order.field not in seen:
        raise ForbiddenField(f"You may not order by {order.field}.", field=order.field)
