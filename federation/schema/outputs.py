"""Output types: values that know their precision, records derived from the registry, connections over them.

Every derived field is nullable, because a policy may withhold it; each carries the meaning that its record type states.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from federation.records.base import RecordType
from federation.records.codes import CodeLists
from federation.schema.classes import Argument, Catalog, Slot
from federation.schema.resolving import count_of, origin_of, place_name, text_of, withdrawn_address
from federation.schema.surface import Surface, surfaces

LANGUAGE = Argument("language", "Optional[str]", "A BCP 47 tag: the text in this language where there is one.")
Directives = Callable[[str, str], Sequence[object]]
"""Type key and field in snake_case to the directives of the field."""

RECORD_SLOTS = (
    ("id", "ID", "A global id. It tells neither time nor order."),
    ("type", "RecordType", "The type of the record."),
    ("origin", "Optional[Network]", "The network that shares it."),
    ("handling", "Optional[Handling]", "The TLP label: the lowest tier that may know of the record."),
    ("status", "Optional[Status]", "Where the record stands."),
)
"""Facts of every record, beside the common fields of the registry."""


VALUES: tuple[tuple[str, str, list[Slot]], ...] = (
    (
        "Period",
        "Days from start to end, both within; an exact day has start = end.",
        [
            Slot("start", "Date", "The first day."),
            Slot("end", "Date", "The last day."),
            Slot("precision", "Precision", "DAY where exact, else the span to which it was widened."),
        ],
    ),
    (
        "Amount",
        "Money, exact or as a band in EUR.",
        [
            Slot("minimum", "Optional[Decimal]", "At least this much."),
            Slot("maximum", "Optional[Decimal]", "At most this much; null is open."),
            Slot("currency", "str", "The currency (ISO 4217)."),
            Slot("precision", "Precision", "EXACT or BAND."),
        ],
    ),
    (
        "Place",
        "An area, as precise as it may be shown.",
        [
            Slot("code", "str", "Its code: ISO 3166, UN M49, or one that a network defined."),
            Slot("level", "PlaceLevel", "How large it is."),
            Slot("name", "str", "Its name.", place_name, [LANGUAGE]),
        ],
    ),
    (
        "Count",
        "How many, exact or as a band.",
        [
            Slot("minimum", "int", "At least this many."),
            Slot("maximum", "Optional[int]", "At most this many; null is open."),
            Slot("precision", "Precision", "EXACT or BAND."),
        ],
    ),
    (
        "Contact",
        "How somebody is reached: through the node, without an address.",
        [
            Slot("address", "Optional[str]", "Always null: addresses never leave.", withdrawn_address),
            Slot("relay", "Optional[ID]", "An id under which the node passes messages on."),
        ],
    ),
)
"""The values that know their precision: name, meaning, fields."""


def add_values(catalog: Catalog) -> None:
    """Adds the values that know their precision."""
    for name, meaning, slots in VALUES:
        catalog.add(name, meaning, slots)


def add_interfaces(catalog: Catalog, registry: Mapping[str, RecordType], codes: CodeLists) -> None:
    """Adds Node, Record and Opportunity; Record has the common fields that the registry states."""
    catalog.add("Node", "Anything with a global id.", [Slot("id", "ID", "A global id.")], kind="interface")
    common = [made for made in surfaces(next(iter(registry.values())), codes) if made.spec.common]
    slots = [*_facts(lambda _field: ()), *(_slot(made, ()) for made in common)]
    catalog.add("Record", "What every record has.", slots, kind="interface", interfaces=["Node"])
    catalog.add(
        "Opportunity",
        "What a partner or defender looks for: offers, calls, and meetings and visits with open places.",
        [Slot("id", "ID", "A global id.")],
        kind="interface",
        interfaces=["Record"],
    )


def add_record(
    catalog: Catalog,
    record_type: RecordType,
    codes: CodeLists,
    asks: Directives,
    *,
    opportunity: bool,
    entity: Sequence[object],
) -> None:
    """Adds the type of one kind of record."""
    slots = [
        *_facts(lambda field: asks(record_type.key, field)),
        *(_slot(made, asks(record_type.key, made.spec.name)) for made in surfaces(record_type, codes)),
    ]
    catalog.add(
        record_type.graphql,
        record_type.meaning,
        slots,
        interfaces=["Opportunity" if opportunity else "Record"],
        directives=entity,
    )


def _facts(asks: Callable[[str], Sequence[object]]) -> list[Slot]:
    fetches = {"origin": origin_of}
    return [Slot(name, kind, text, fetches.get(name), directives=asks(name)) for name, kind, text in RECORD_SLOTS]


def _slot(made: Surface, directives: Sequence[object]) -> Slot:
    if made.translated:
        return Slot(made.name, made.annotation, made.spec.meaning, text_of(made), [LANGUAGE], directives)
    return Slot(made.name, made.annotation, made.spec.meaning, directives=directives)


def add_connection(catalog: Catalog, name: str, node: str, plural: str) -> None:
    """Adds the edge and connection types over a type or interface."""
    catalog.add(
        name + "Edge",
        f"One of the {plural} with its cursor.",
        [Slot("node", node, "The item."), Slot("cursor", "str", "Names the item in this order, for `after`.")],
    )
    catalog.add(
        name + "Connection",
        f"A page of {plural}.",
        [
            Slot("edges", f"list[{name}Edge]", "The items with their cursors."),
            Slot("nodes", f"list[{node}]", "The items alone."),
            Slot("pageInfo", "PageInfo", "Where the page stands."),
            Slot("totalCount", "int", "How many there are in all, counted up to 1000.", count_of("totalCount")),
            Slot("totalCountCapped", "bool", "Whether there are more than 1000.", count_of("totalCountCapped")),
        ],
    )


def add_page_info(catalog: Catalog) -> None:
    """Adds PageInfo, as Relay has it."""
    catalog.add(
        "PageInfo",
        "Where a page stands.",
        [
            Slot("hasNextPage", "bool", "Whether items follow."),
            Slot("hasPreviousPage", "bool", "Whether the page began after a cursor."),
            Slot("startCursor", "Optional[str]", "The cursor of the first item."),
            Slot("endCursor", "Optional[str]", "The cursor of the last item, for `after`."),
        ],
    )
