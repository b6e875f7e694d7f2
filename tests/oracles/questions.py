"""Every question that can be put to the GraphQL endpoint, made from its schema: what a new root field, type, filter or
order adds is asked without anybody writing it down.

A root field of an unknown shape has no questions here; the test of exits then fails.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from graphql import (
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLObjectType,
    GraphQLSchema,
    get_named_type,
    is_leaf_type,
    is_required_argument,
)

from federation.records.registry import RECORD_TYPES
from oracles.seeing import Rec

TYPE_NAMES = {kind.graphql: key for key, kind in RECORD_TYPES.items()}
LANGUAGE = "sw"


@dataclass(frozen=True)
class Question:
    """One request: the root field that it drives, what it asks for, and a name for reports."""

    root: str
    name: str
    query: str
    variables: Mapping[str, Any] = field(default_factory=dict)

    @property
    def body(self) -> bytes:
        return orjson.dumps({"query": self.query, "variables": dict(self.variables)})


# Selections


def selection(schema: GraphQLSchema, kind: Any, depth: int = 4, *, origin: bool = True) -> str:
    """Everything below an object type; of a record's origin everything one level deep; each text also translated."""
    parts = []
    for name, made in kind.fields.items():
        if any(is_required_argument(each) for each in made.args.values()):
            continue
        inner = get_named_type(made.type)
        if is_leaf_type(inner):
            parts.append(name)
            if "language" in made.args and kind.name in TYPE_NAMES and origin:
                parts.append(f'sw_{name}: {name}(language: "{LANGUAGE}")')
        elif isinstance(inner, GraphQLInterfaceType):
            parts.append(f"{name} {{ __typename id }}")
        elif name == "origin":
            parts.append(f"origin {selection(schema, inner, depth - 1, origin=False)}" if origin else "origin { id }")
        elif depth:
            parts.append(f"{name} {selection(schema, inner, depth - 1, origin=origin)}")
    return "{ __typename " + " ".join(parts) + " }"


def _node_type(kind: GraphQLObjectType) -> Any:
    """The type of a connection's nodes, or None for what is no connection."""
    made = kind.fields.get("nodes")
    return get_named_type(made.type) if made is not None and "pageInfo" in kind.fields else None


def _records(schema: GraphQLSchema, kind: Any) -> list[GraphQLObjectType]:
    """The types of records that can stand at a place."""
    if isinstance(kind, GraphQLInterfaceType):
        return [each for each in schema.get_possible_types(kind) if each.name in TYPE_NAMES]
    return [kind]


def _whole(schema: GraphQLSchema, node: Any, kind: GraphQLObjectType) -> str:
    inner = selection(schema, kind)
    return inner if node is kind else f"{{ __typename id ... on {kind.name} {inner} }}"


class Questions:
    """All questions over a schema about some records: also about those that nobody may see, by every name and value
    that they have."""

    def __init__(self, schema: GraphQLSchema, records: Sequence[Rec]) -> None:
        self.schema = schema
        self.records = records
        self.types = {key: kind for key, kind in RECORD_TYPES.items() if any(rec.type == key for rec in records)}
        query = schema.query_type
        assert query is not None
        self.roots = query.fields

    def by_root(self) -> dict[str, list[Question]]:
        """The questions that drive each root field; a root of unknown shape has none."""
        return {name: list(self._of(name)) for name in self.roots}

    def everything(self) -> list[Question]:
        """All of them."""
        return [each for several in self.by_root().values() for each in several]

    def introspection(self) -> list[Question]:
        """What the schema says of itself."""
        inner = "name fields { name args { name } type { name } } enumValues { name }"
        return [
            Question("__schema", "types", f"{{ __schema {{ types {{ {inner} }} }} }}"),
            Question("__type", "one", f'{{ __type(name: "Resource") {{ {inner} }} }}'),
        ]

    def mutations(self, *, to: str = "red") -> dict[str, list[Question]]:
        """The questions that drive each mutation: about a record that is there, and with values that are refused."""
        mutation = self.schema.mutation_type
        return (
            {}
            if mutation is None
            else {name: list(self._writes(name, made, to)) for name, made in mutation.fields.items()}
        )

    def _writes(self, name: str, made: Any, to: str) -> Iterator[Question]:
        asked: Any = get_named_type(made.args["input"].type)
        payload: Any = get_named_type(made.type)
        query = f"mutation($i: {asked.name}!) {{ {name}(input: $i) {selection(self.schema, payload)} }}"
        key = next((TYPE_NAMES[kind] for kind in TYPE_NAMES if name.endswith(kind) and kind != "Record"), None)
        for rec in self.records:
            if rec.variant not in (to, "relayed") or key not in (None, rec.type):
                continue
            if "id" in asked.fields:
                given = {"id": rec.gid} | ({"changes": {}} if "changes" in asked.fields else {})
            else:
                given = {"record": {"internalNotes": SECRET_INPUT}}
            yield Question(f"mutation {name}", f"{rec.type} {rec.variant}", query, {"i": given})
        if "record" in asked.fields:
            record: Any = get_named_type(asked.fields["record"].type)
            for field_name in record.fields:
                yield Question(
                    f"mutation {name}", f"bad {field_name}", query, {"i": {"record": {field_name: {"x": SECRET_INPUT}}}}
                )

    def _of(self, root: str) -> Iterator[Question]:
        made = self.roots[root]
        kind: Any = get_named_type(made.type)
        node = _node_type(kind) if isinstance(kind, GraphQLObjectType) else None
        if root == "search":
            yield from self._searches()
        elif node is not None:
            yield from self._whole_lists(root, node)
            yield from self._pages(root)
            if not isinstance(node, GraphQLInterfaceType):
                yield from self._orders(root)
                yield from self._filters(root, node)
            else:
                yield from itertools.islice(self._orders(root), 4)
                yield from itertools.islice(self._filters(root, node), 12)
        elif root == "node":
            yield from self._nodes()
        elif root in ("network", "viewer", "peers"):
            yield Question(root, "select", f"{{ {root} {selection(self.schema, kind)} }}")
        elif root == "terms":
            yield from self._terms(made)
        elif root == "changes":
            yield from self._changes()
        elif root == "_entities":
            yield from self._entities()
        elif root == "_service":
            yield Question(root, "all", "{ _service { sdl } }")

    def _whole_lists(self, root: str, node: Any) -> Iterator[Question]:
        for kind in _records(self.schema, node):
            inner = _whole(self.schema, node, kind)
            yield Question(
                root,
                f"select {kind.name}",
                f"{{ {root}(first: 30) {{ nodes {inner} totalCount totalCountCapped pageInfo"
                " { hasNextPage hasPreviousPage startCursor endCursor } } }",
            )
        yield Question(root, "edges", f"{{ {root}(first: 100) {{ edges {{ cursor node {{ id }} }} }} }}")

    def _pages(self, root: str) -> Iterator[Question]:
        yield Question(root, "page", f"{{ {root}(first: 2) {{ nodes {{ id }} {PAGE_INFO} }} }}")
        yield Question(root, "no page", f"{{ {root}(first: 0) {{ nodes {{ id }} totalCount {PAGE_INFO} }} }}")
        yield Question(root, "bad cursor", f'{{ {root}(after: "AAAA") {{ nodes {{ id }} }} }}')
        yield Question(root, "too many", f"{{ {root}(first: 1000) {{ nodes {{ id }} }} }}")

    def _orders(self, root: str) -> Iterator[Question]:
        argument = self.roots[root].args.get("orderBy")
        if argument is None:
            return
        kind: Any = get_named_type(argument.type)
        fields: Any = get_named_type(kind.fields["field"].type)
        query = f"query($o: {kind.name}) {{ {root}(first: 30, orderBy: $o) {{ edges {{ cursor node {{ id }} }} }} }}"
        for name in fields.values:
            for way in ("ASC", "DESC"):
                yield Question(root, f"order {name} {way}", query, {"o": {"field": name, "direction": way}})

    def _filters(self, root: str, node: Any) -> Iterator[Question]:
        argument = self.roots[root].args.get("where")
        if argument is None:
            return
        where: Any = get_named_type(argument.type)
        keys = [TYPE_NAMES[kind.name] for kind in _records(self.schema, node)]
        query = f"query($w: {where.name}) {{ {root}(first: 30, where: $w) {{ nodes {{ id }} totalCount }} }}"
        for name, made in where.fields.items():
            kind: Any = get_named_type(made.type)
            if name in ("and", "or", "not") or not isinstance(kind, GraphQLInputObjectType):
                continue
            for at, (op, inner) in enumerate(kind.fields.items()):
                if op == "surely":
                    continue
                for value in self._filter_values(keys, name, op, inner.type)[:1]:
                    asked = {name: {op: value}}
                    yield Question(root, f"filter {name} {op}", query, {"w": asked})
                    if at == 0:
                        yield Question(root, f"filter not {name} {op}", query, {"w": {"not": asked}})
                    if "surely" in kind.fields and op != "isNull":
                        yield Question(
                            root, f"filter surely {name} {op}", query, {"w": {name: {op: value, "surely": True}}}
                        )

    def _filter_values(self, keys: Sequence[str], name: str, op: str, kind: Any) -> list[Any]:
        """Values for a filter: such as records have, exact ones of hidden records first."""
        if op == "isNull":
            return [True]
        field_name = _snake(name)
        found: list[Any] = []
        for rec in sorted(self.records, key=lambda each: HIDDEN_FIRST.get(each.variant, 2)):
            if rec.type in keys and field_name in rec.kind.fields:
                found += _scalars(rec, field_name, op)
            if found:
                break
        while hasattr(kind, "of_type") and not isinstance(kind, GraphQLList):
            kind = kind.of_type
        many = isinstance(kind, GraphQLList)
        enum = get_named_type(kind).name not in ("String", "Int", "Boolean", "Date", "Decimal", "ID")
        given = [each.upper() if enum and isinstance(each, str) else each for each in found]
        return [[each] for each in given] if many else given

    def _searches(self) -> Iterator[Question]:
        for key, kind in self.types.items():
            fields = selection(self.schema, self.schema.type_map[kind.graphql])
            inner = f"{{ __typename id ... on {kind.graphql} {fields} }}"
            yield Question(
                "search",
                f"select {kind.graphql}",
                f'{{ search(text: "cny", types: [{_upper(key)}]) {{ totalCount nodes {{ id }} }}'
                f' found: search(text: "{_first_word(self.records, key)}", types: [{_upper(key)}]) '
                f"{{ totalCount nodes {inner} }} }}",
            )
        query = (
            "query($t: String!, $y: [RecordType!])"
            " { search(text: $t, types: $y) { totalCount edges { cursor node { id } } } }"
        )
        for key, word in search_words_of(self.records):
            yield Question("search", f"word {word}", query, {"t": word, "y": [_upper(key)]})
        for _, word in search_words_of(self.records)[:3]:
            yield Question("search", f"word {word} anywhere", query, {"t": word})

    def _nodes(self) -> Iterator[Question]:
        for rec in self.records:
            kind: Any = self.schema.type_map[rec.kind.graphql]
            inner = selection(self.schema, kind)
            yield Question(
                "node",
                f"{rec.type} {rec.variant}",
                f"query($id: ID!) {{ node(id: $id) {{ __typename id ... on {kind.name} {inner} }} }}",
                {"id": rec.gid},
            )
        yield Question("node", "none", '{ node(id: "AAAA") { id } }')

    def _entities(self) -> Iterator[Question]:
        """All records of each type as a gateway asks for them; one by another type's name; one that is none."""
        query = "query($r: [_Any!]!) { _entities(representations: $r) %s }"
        for key, kind in self.types.items():
            made: Any = self.schema.type_map[kind.graphql]
            inner = f"{{ __typename ... on {kind.graphql} {selection(self.schema, made)} }}"
            told = [{"__typename": kind.graphql, "id": rec.gid} for rec in self.records if rec.type == key]
            yield Question("_entities", f"select {kind.graphql}", query % inner, {"r": told})
        other = [{"__typename": "Notice", "id": rec.gid} for rec in self.records[:2]]
        yield Question("_entities", "none", query % "{ __typename }", {"r": other})
        for number, wrong in enumerate(({"__typename": SECRET_INPUT}, {"__typename": "Resource"}, 7)):
            yield Question("_entities", f"none at all {number}", query % "{ __typename }", {"r": [wrong]})

    def _terms(self, made: Any) -> Iterator[Question]:
        kind: Any = get_named_type(made.args["list"].type)
        for name in kind.values:
            if name not in ("AREA", "LANGUAGE"):
                yield Question("terms", name, f"{{ terms(list: {name}) {{ code name broader }} }}")

    def _changes(self) -> Iterator[Question]:
        page = self.schema.type_map["ChangePage"]
        change: Any = get_named_type(page.fields["changes"].type)  # type: ignore[attr-defined]
        record: Any = get_named_type(change.fields["record"].type)
        for kind in _records(self.schema, record):
            yield Question(
                "changes",
                f"select {kind.name}",
                f"{{ changes(first: 30, types: [{_upper(TYPE_NAMES[kind.name])}])"
                f" {{ cursor more reset changes {{ id type"
                f" record {_whole(self.schema, record, kind)} }} }} }}",
            )
        yield Question("changes", "all", "{ changes(first: 100) { cursor more reset changes { id type } } }")


SECRET_INPUT = "cnyinput"
"""A token that callers send, and that no answer and no log may repeat."""
HIDDEN_FIRST = {"red": 0, "clear": 1}
PAGE_INFO = "pageInfo { hasNextPage hasPreviousPage startCursor endCursor }"


def search_words_of(records: Iterable[Rec]) -> list[tuple[str, str]]:
    """(type, word) of texts: all that stand in a plain record, in one that nobody outside may know of, and in one that
    may not go on."""
    found: dict[tuple[str, str], None] = {}
    for rec in records:
        if rec.variant in ("clear", "red", "kept"):
            for name, spec in rec.kind.fields.items():
                value = rec.document.get(name)
                if spec.kind.name in ("text", "string") and isinstance(value, str) and "cny" in value:
                    found[rec.type, value[value.index("cny") :][:8]] = None
    return list(found)


def _first_word(records: Iterable[Rec], key: str) -> str:
    """A word of the first searched text of a plain record."""
    rec = next(each for each in records if each.type == key and each.variant == "clear")
    name = next((n for n, spec in rec.kind.fields.items() if spec.searched and n in rec.document), "internal_notes")
    text = rec.document[name]
    return text[text.index("cny") :][:8]


def _scalars(rec: Rec, name: str, op: str) -> list[Any]:
    """Values of a field of a record as a filter takes them, of its exact step and of its coarsest one."""
    spec = rec.kind.fields[name]
    found = []
    for step in (spec.steps[0].name, spec.steps[-1].name):
        value = rec.value(name, step)
        if isinstance(value, dict):
            parts = {"from": "start", "to": "end", "at_least": "minimum", "at_most": "maximum"}
            value = value.get(parts.get(_snake(op), "text"))
        if isinstance(value, list):
            value = value[0] if value else None
        if value is not None:
            found.append(value)
    return found


def _snake(name: str) -> str:
    return "".join("_" + c.lower() if c.isupper() else c for c in name)


def _upper(key: str) -> str:
    return _snake(key).upper()
