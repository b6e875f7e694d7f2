"""The standard executor's side of a read: pages and records from the gate as dicts, fields from dicts.

It asks the gate for everything that a viewer sees of a record, and lets the executor pick: slow and plain, so that
the compiled reads have something to be compared with.
"""

# ruff: noqa: ARG001  (one signature for all resolvers)
from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from federation.gate import Gate, PageRequest, Shape, ShapeField
from federation.policies.viewer import Viewer
from federation.records.base import RecordType
from federation.records.codes import CodeLists
from federation.schema.surface import Surface, surfaces
from federation.storage.bounded import Bounded

COUNT_LIMIT = 1000
TERMS_KEPT = 50_000
"""So many terms are kept in memory, of all lists and languages."""


@dataclass(frozen=True)
class Reader:
    """What resolvers read with: the gate, and the whole shape of every type."""

    gate: Gate
    registry: Mapping[str, RecordType]
    codes: CodeLists
    shapes: Mapping[str, Shape]
    terms: Bounded[tuple[dict[str, Any], ...]] = field(default_factory=lambda: Bounded(200, TERMS_KEPT))
    """The terms of lists by list and language, as they are answered."""


@dataclass(frozen=True)
class Asked:
    """The context of one operation."""

    viewer: Viewer
    reader: Reader
    roots: Any = None


def whole_shapes(registry: Mapping[str, RecordType], codes: CodeLists) -> dict[str, Shape]:
    """For each type a shape with every field, keyed as in GraphQL, and the origin's own fields one level deep."""
    network = _whole(registry["network"], codes, None)
    return {key: _whole(kind, codes, network) for key, kind in registry.items()}


def _whole(kind: RecordType, codes: CodeLists, origin: Shape | None) -> Shape:
    facts = [ShapeField(name, name) for name in ("__typename", "id", "type", "handling", "status")]
    if origin is not None:
        facts.append(ShapeField("origin", "origin", nested=origin))
    return (*facts, *(field_shape(made) for made in surfaces(kind, codes)))


def field_shape(made: Surface) -> ShapeField:
    """A field with all of its parts."""
    parts = None if made.parts is None else tuple((part, part) for part in made.parts)
    return ShapeField(made.name, made.spec.name, parts=parts)


def page_of(asked: Asked, request: PageRequest) -> dict[str, Any]:
    """A connection as a dict; the count is made only when it is asked for."""
    page = asked.reader.gate.page(asked.viewer, request)
    edges = [{"cursor": row.cursor, "node": orjson.loads(row.json)} for row in page.rows]
    return {
        "edges": edges,
        "nodes": [edge["node"] for edge in edges],
        "pageInfo": {
            "hasNextPage": page.has_next,
            "hasPreviousPage": page.has_previous,
            "startCursor": edges[0]["cursor"] if edges else None,
            "endCursor": edges[-1]["cursor"] if edges else None,
        },
        "count": lambda: count_for(asked.reader.gate, asked.viewer, request),
    }


def count_for(gate: Gate, viewer: Viewer, request: PageRequest) -> int:
    """How many records match a request, 1001 for more than a thousand."""
    return gate.count(viewer, request.types, request.where, request.search, also=request.also)


def count_of(name: str) -> Callable[[Any, Any, dict[str, Any]], Any]:
    """`totalCount`, or whether it stopped counting."""

    def fetch(source: Any, info: Any, arguments: dict[str, Any]) -> Any:
        if "counted" not in source:
            source["counted"] = source["count"]()
        number = source["counted"]
        return min(number, COUNT_LIMIT) if name == "totalCount" else number > COUNT_LIMIT

    return fetch


def record_of(asked: Asked, gid: str, *, every_status: bool = False) -> dict[str, Any] | None:
    """A record as a dict, or None where there is none for this viewer. `every_status`: at home, drafts too."""
    row = asked.reader.gate.get(asked.viewer, gid, asked.reader.shapes, every_status=every_status)
    return None if row is None else orjson.loads(row.json)


def origin_of(source: Any, info: Any, arguments: dict[str, Any]) -> Any:
    """The origin network: with the row, or for a network that was itself an origin, asked for."""
    if "origin" in source:
        return source["origin"]
    found = record_of(info.context, source["id"])
    return None if found is None else found.get("origin")


def text_of(made: Surface) -> Callable[[Any, Any, dict[str, Any]], Any]:
    """A text, or its translation asked for by itself."""

    def fetch(source: Any, info: Any, arguments: dict[str, Any]) -> Any:
        language = arguments.get("language")
        if language is None:
            return source.get(made.name)
        asked: Asked = info.context
        shape = (ShapeField("text", made.spec.name, language=language),)
        row = asked.reader.gate.get(asked.viewer, source["id"], shape)
        return None if row is None else orjson.loads(row.json)["text"]

    return fetch


def place_name(source: Any, info: Any, arguments: dict[str, Any]) -> Any:
    """The name of a place in a language."""
    return info.context.reader.codes.name("area", source["code"], arguments.get("language") or "en")


def withdrawn_address(source: Any, info: Any, arguments: dict[str, Any]) -> None:
    """No contact has an address that leaves."""
    return
