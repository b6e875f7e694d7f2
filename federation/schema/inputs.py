"""Inputs: filters and orders per type, as typed as the registry, and their way into requests to the gate.

What a viewer may filter by is the gate's decision; here only what can be said at all is settled.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from federation.errors import BadInput
from federation.records.base import RecordType
from federation.records.codes import CodeLists
from federation.records.filters import And, Cond, Filter, Not, Or
from federation.schema.classes import Argument, Catalog, Slot
from federation.schema.names import snake, upper
from federation.schema.surface import FILTER_VALUES, Surface, surfaces

OP_MEANINGS = {
    "eq": "Equal to this.",
    "in": "One of these.",
    "not_in": "None of these.",
    "is_null": "Whether it is unknown or not seen.",
    "has": "Holds this one, or one within it.",
    "has_any": "Holds at least one of these.",
    "has_all": "Holds all of these.",
    "from": "On this day or later; a coarse value may reach it.",
    "to": "On this day or earlier; a coarse value may reach it.",
    "at_least": "At least this (amounts in EUR); a coarse value may reach it.",
    "at_most": "At most this (amounts in EUR); a coarse value may reach it.",
    "within": "Surely within the area of this code.",
}
MANY = frozenset({"in", "not_in", "has_any", "has_all"})
INTERVALS = frozenset({"period", "amount", "count"})
SURELY = "Only what surely matches: a coarse value must be contained."


def op_name(op: str) -> str:
    """`at_least` as `atLeast`."""
    head, *rest = op.split("_")
    return head + "".join(part.title() for part in rest)


def add_filters(catalog: Catalog, made: Iterable[Surface]) -> None:
    """Adds the filter input of each kind of field, once by name."""
    for each in made:
        name = each.filter_type
        if name is None or name in catalog.names:
            continue
        kind = each.spec.kind
        value = FILTER_VALUES.get(kind.name, each.type)
        value = {"Int": "int", "Boolean": "bool", "Place": "str"}.get(value, value)
        slots = []
        for op in kind.filters:
            inner = "bool" if op == "is_null" else (f"list[{value}]" if op in MANY else value)
            slots.append(Slot(op_name(op), f"Optional[{inner}]", OP_MEANINGS[op]))
        if kind.name in INTERVALS:
            slots.append(Slot("surely", "Optional[bool]", SURELY))
        catalog.add(name, f"How to filter by a {each.scalar}{' list' if each.listed else ''}.", slots, kind="input")


def add_where(catalog: Catalog, name: str, meaning: str, made: Iterable[Surface]) -> None:
    """Adds a `where` input: all of its members must hold."""
    slots = [
        Slot("and", f"Optional[list[{name}]]", "All of these."),
        Slot("or", f"Optional[list[{name}]]", "At least one of these."),
        Slot("not", f"Optional[{name}]", "Not this."),
    ]
    slots += [Slot(one.name, f"Optional[{one.filter_type}]", one.spec.meaning) for one in made if one.filter_type]
    catalog.add(name, meaning, slots, kind="input")


def add_order(catalog: Catalog, name: str, made: Iterable[Surface]) -> None:
    """Adds an `orderBy` input over the sortable fields."""
    fields = {upper(one.spec.name): one.spec.meaning for one in made if one.spec.sortable}
    catalog.enum(name + "Field", "What to order by.", fields)
    catalog.add(
        name,
        "One field to order by; without it the order is random and stable.",
        [
            Slot("field", name + "Field", "The field."),
            Slot("direction", "Optional[OrderDirection]", "ASC unless told."),
        ],
        kind="input",
    )


def page_arguments(name: str) -> list[Argument]:
    """The arguments of a list field over the `where` and `orderBy` inputs of a name."""
    return [
        Argument("where", f"Optional[{name}Where]", "What to keep."),
        Argument("orderBy", f"Optional[{name}Order]", "How to order."),
        *paging_arguments(),
    ]


def paging_arguments() -> list[Argument]:
    """`first` and `after`."""
    return [
        Argument("first", "Optional[int]", "How many, at most 100; 20 unless told."),
        Argument("after", "Optional[str]", "A cursor: what follows it."),
    ]


def shared_surfaces(registry: Mapping[str, RecordType], codes: CodeLists, keys: Iterable[str]) -> tuple[Surface, ...]:
    """The fields that at least two of the types have, alike in all of these; common ones included."""
    found: dict[str, list[Surface]] = {}
    for key in keys:
        for made in surfaces(registry[key], codes):
            found.setdefault(made.name, []).append(made)
    return tuple(
        several[0]
        for several in found.values()
        if len(several) > 1
        and len({(one.type, one.listed, one.spec.kind.name, one.filter_type) for one in several}) == 1
    )


def filter_of(where: Mapping[str, Any] | None) -> Filter | None:
    """The filter that a `where` states, by GraphQL names; None where it states nothing."""
    if not where:
        return None
    items: list[Filter] = []
    for name, value in where.items():
        if value is None:
            continue
        if name in ("and", "or"):
            parts = tuple(_stated(filter_of(part), name) for part in value)
            if parts or name == "or":
                _stated(parts, name)
                items.append(And(parts) if name == "and" else Or(parts))
        elif name == "not":
            items.append(Not(_stated(filter_of(value), name)))
        else:
            items.extend(_conditions(snake(name), value))
    if not items:
        return None
    return items[0] if len(items) == 1 else And(tuple(items))


def _stated(part: Any, name: str) -> Any:
    """What was stated. An empty `or` or `not` is refused: one reader takes it as everything, another as nothing."""
    if not part:
        raise BadInput(f"An empty `{name}` says nothing.", field=name)
    return part


def _conditions(field: str, ops: Mapping[str, Any]) -> list[Filter]:
    surely = bool(ops.get("surely"))
    return [
        Cond(field, snake(op), tuple(value) if isinstance(value, list) else value, surely)
        for op, value in ops.items()
        if op != "surely" and value is not None
    ]
