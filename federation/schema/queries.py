"""The root of queries. Each field asks the gate with the viewer first; none reads anything itself."""

# ruff: noqa: ARG001  (one signature for all resolvers)
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from federation.errors import BadInput, Unauthenticated
from federation.gate import OrderBy, PageRequest, Shape
from federation.policies.viewer import ViewerKind
from federation.records.base import RecordType
from federation.records.codes import CodeLists
from federation.records.filters import Filter
from federation.schema.classes import Argument, Catalog, Fetch, Slot
from federation.schema.documents import DEFAULT_FIRST, MAX_FIRST
from federation.schema.inputs import filter_of, page_arguments, paging_arguments
from federation.schema.names import camel, plural, shown_code, upper
from federation.schema.resolving import Asked, page_of, record_of
from federation.schema.surface import in_capitals, surfaces

SEARCH_LONGEST = 400
LANGUAGE_LONGEST = 64


def request_of(
    types: tuple[str, ...],
    shapes: Mapping[str, Shape],
    arguments: Mapping[str, Any],
    also: Mapping[str, Filter] | None = None,
) -> PageRequest:
    """The request that the arguments of a list field state. `also`: conditions of the field itself, by type.

    Raises BadInput for a `first` below 0 or above 100, and for a search that is too long.
    """
    types = narrowed(types, arguments)
    text = arguments.get("text")
    if text is not None and len(text) > SEARCH_LONGEST:
        raise BadInput(f"Search for at most {SEARCH_LONGEST} characters.", field="text")
    order = arguments.get("orderBy")
    return PageRequest(
        types=types,
        shape={key: shapes[key] for key in types},
        where=filter_of(arguments.get("where")),
        order=() if not order else (order_of(order),),
        search=text,
        first=page_size(arguments),
        after=arguments.get("after"),
        also={key: part for key, part in (also or {}).items() if key in types},
    )


def order_of(order: Mapping[str, Any]) -> Any:
    """The order that an `orderBy` states."""
    return OrderBy(order["field"].lower(), order.get("direction") == "DESC")


def list_fetch(types: tuple[str, ...] | None) -> Fetch:
    """A resolver of a list field for the standard executor; None is all types."""

    def fetch(source: Any, info: Any, arguments: dict[str, Any]) -> Any:
        asked: Asked = info.context
        every = tuple(asked.reader.registry) if types is None else types
        return page_of(asked, asked.roots.request(info.field_name, every, asked.reader.shapes, arguments))

    return fetch


def fetch_node(source: Any, info: Any, arguments: dict[str, Any]) -> Any:
    """A record by its global id; absent and forbidden look alike."""
    return record_of(info.context, arguments["id"])


def fetch_network(source: Any, info: Any, arguments: dict[str, Any]) -> Any:
    """This node's own network, as far as the viewer sees it."""
    asked: Asked = info.context
    shapes = {"network": asked.reader.shapes["network"]}
    nodes = page_of(asked, asked.roots.own_network(shapes))["nodes"]
    return nodes[0] if nodes else None


def fetch_viewer(source: Any, info: Any, arguments: dict[str, Any]) -> Any:
    """Who asks, and what it sees of each field of each type."""
    asked: Asked = info.context
    viewer = asked.viewer
    access = []
    for key, kind in asked.reader.registry.items():
        steps = asked.roots.sight(viewer).of(key).steps
        fields = [
            {"field": made.name, "step": upper(steps.get(made.spec.name, "withheld"))}
            for made in surfaces(kind, asked.reader.codes)
        ]
        access.append({"type": upper(key), "fields": fields})
    return {
        "subject": viewer.subject,
        "kind": upper(str(viewer.kind)),
        "scopes": sorted(viewer.scopes),
        "access": access,
    }


def fetch_terms(source: Any, info: Any, arguments: dict[str, Any]) -> Any:
    """The terms of a code list, named in a language where it has a name there."""
    reader = info.context.reader
    codes: CodeLists = reader.codes
    name = next(one for one in codes.lists() if upper(one) == arguments["list"])
    language = (arguments.get("language") or "en")[:LANGUAGE_LONGEST]
    found = reader.terms.get((name, language))
    if found is None:
        found = terms_of(codes, name, language)
        reader.terms.put((name, language), found, len(found))
    return found


def terms_of(codes: CodeLists, name: str, language: str) -> tuple[dict[str, Any], ...]:
    """The terms of a list as they are answered."""
    shown: Callable[[str], str] = shown_code if in_capitals(codes, name) else str
    return tuple(
        {
            "code": shown(code),
            "name": codes.name(name, code, language),
            "broader": None if (wider := codes.broader(name, code)) is None else shown(wider),
        }
        for code in codes.codes(name)
    )


def fetch_peers(source: Any, info: Any, arguments: dict[str, Any]) -> Any:
    """The names of peers, for those who keep them; nobody else learns whether there are any."""
    asked: Asked = info.context
    if not (asked.viewer.at_home and asked.viewer.kind == "steward") and "peers:write" not in asked.viewer.scopes:
        return []
    return [{"name": name} for name in asked.roots.peer_names()]


def fetch_changes(source: Any, info: Any, arguments: dict[str, Any]) -> Any:
    """What changed in the viewer's view after a cursor: for whoever has a token or an account."""
    asked: Asked = info.context
    if asked.viewer.kind is ViewerKind.ANONYMOUS:
        raise Unauthenticated("Following changes needs a token.")
    first = page_size(arguments)
    page = asked.reader.gate.changes(asked.viewer, arguments.get("after"), first, chosen_types(asked, arguments))
    changes = [
        {"id": item.gid, "type": upper(item.type), "record": record_of(asked, item.gid) if item.kind == "put" else None}
        for item in page.items
    ]
    return {"changes": changes, "cursor": page.cursor, "more": page.more, "reset": page.reset}


def chosen_types(asked: Asked, arguments: Mapping[str, Any]) -> tuple[str, ...]:
    """The types that are named, in the order of the registry; all where none is."""
    return narrowed(tuple(asked.reader.registry), arguments)


def narrowed(types: tuple[str, ...], arguments: Mapping[str, Any]) -> tuple[str, ...]:
    """Those of the types that `types` names. Raises BadInput for an empty list, which is not everything."""
    chosen = arguments.get("types")
    if chosen is None:
        return types
    wanted = {camel(name.lower()) for name in chosen}
    found = tuple(key for key in types if key in wanted)
    if not found:
        raise BadInput("Name at least one type, or leave `types` out to mean all.", field="types")
    return found


def page_size(arguments: Mapping[str, Any]) -> int:
    """`first`, or its default. Raises BadInput below 0 and above 100."""
    first = arguments.get("first")
    first = DEFAULT_FIRST if first is None else first
    if not 0 <= first <= MAX_FIRST:
        raise BadInput(f"Ask for 0 to {MAX_FIRST} items at a time.", field="first")
    return first


VIEWER_KINDS = {
    "ANONYMOUS": "Without a token.",
    "CLIENT": "A program with a token.",
    "PEER": "Another node.",
    "MEMBER": "An account of this node.",
    "STEWARD": "An account that keeps this node.",
}

ROOT_TYPES: tuple[tuple[str, str, list[Slot]], ...] = (
    (
        "FieldAccess",
        "How precisely the viewer sees one field.",
        [Slot("field", "str", "The field."), Slot("step", "Step", "EXACT, a coarser step, or WITHHELD.")],
    ),
    (
        "TypeAccess",
        "What the viewer sees of the records of one type.",
        [Slot("type", "RecordType", "The type."), Slot("fields", "list[FieldAccess]", "Each of its fields.")],
    ),
    (
        "Viewer",
        "Who the token is.",
        [
            Slot("subject", "str", "The subject of the token, or anonymous."),
            Slot("kind", "ViewerKind", "The kind of viewer."),
            Slot("scopes", "list[str]", "The scopes that were granted."),
            Slot("access", "list[TypeAccess]", "What it sees of records shared by this node, by type and field."),
        ],
    ),
    (
        "Term",
        "One code of a list.",
        [
            Slot("code", "str", "The code."),
            Slot("name", "str", "Its name."),
            Slot("broader", "Optional[str]", "The code of its broader term."),
        ],
    ),
    ("PeerView", "A node that this one is linked with.", [Slot("name", "str", "What it is called here.")]),
    (
        "Change",
        "One record that appeared, changed or left the viewer's view.",
        [
            Slot("id", "ID", "The record."),
            Slot("type", "RecordType", "Its type."),
            Slot("record", "Optional[Record]", "As it is now; null where it left the view."),
        ],
    ),
    (
        "ChangePage",
        "Changes in order.",
        [
            Slot("changes", "list[Change]", "The changes; several of one record are told once."),
            Slot("cursor", "str", "Go on from here with `after`."),
            Slot("more", "bool", "Whether more are waiting."),
            Slot(
                "reset", "bool", "Whether the view itself changed: forget what is held, and take what follows as all."
            ),
        ],
    ),
)
"""The types that stand only at the root: name, meaning, fields."""


def add_query_types(catalog: Catalog) -> None:
    """Adds the types that stand only at the root."""
    catalog.enum("ViewerKind", "The kinds of who asks.", VIEWER_KINDS)
    for name, meaning, slots in ROOT_TYPES:
        catalog.add(name, meaning, slots)


NETWORK = Slot("network", "Optional[Network]", "This node's own network.", fetch_network)
VIEWER = Slot("viewer", "Viewer", "Who the token is, and what it sees.", fetch_viewer)
SEARCH = Slot(
    "search",
    "RecordConnection",
    "Records in which every word occurs in text that the viewer sees; titles first.",
    list_fetch(None),
    [
        Argument("text", "str", "Words; all of them must occur."),
        Argument("types", "Optional[list[RecordType]]", "Only these types."),
        *paging_arguments(),
    ],
)
TERMS = Slot(
    "terms",
    "list[Term]",
    "The terms of a code list.",
    fetch_terms,
    [
        Argument("list", "TermList", "The list."),
        Argument("language", "Optional[str]", "A BCP 47 tag; English where there is no name in it."),
    ],
)
CHANGES = Slot(
    "changes",
    "ChangePage",
    "What changed in the viewer's view.",
    fetch_changes,
    [
        Argument("after", "Optional[str]", "The cursor of the last page; everything without it."),
        Argument("first", "Optional[int]", "How many, at most 100; 20 unless told."),
        Argument("types", "Optional[list[RecordType]]", "Only these types."),
    ],
)


def query_slots(
    registry: Mapping[str, RecordType], opportunities: Sequence[str], administers: Sequence[object]
) -> list[Slot]:
    """The fields of Query."""
    slots = [NETWORK, VIEWER]
    for key, kind in registry.items():
        arguments = page_arguments(kind.graphql)
        slots.append(Slot(plural(key), kind.graphql + "Connection", kind.meaning, list_fetch((key,)), arguments))
    return [
        *slots,
        Slot(
            "opportunities",
            "OpportunityConnection",
            "Offers, calls, and meetings and visits with open places.",
            list_fetch(tuple(opportunities)),
            page_arguments("Opportunity"),
        ),
        SEARCH,
        Slot("node", "Optional[Node]", "A record by its id.", fetch_node, [Argument("id", "ID", "A global id.")]),
        TERMS,
        Slot("peers", "list[PeerView]", "Linked nodes, for those who keep them.", fetch_peers, directives=administers),
        CHANGES,
    ]
