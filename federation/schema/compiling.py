"""Compiled reads: a selection becomes shapes for the gate and a layout for its rows; no value is touched one by one.

What cannot be said as one statement a root field gives None and goes to the standard executor. It must answer the
same bytes as that one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from graphql import GraphQLError, GraphQLObjectType, GraphQLSchema, OperationType
from graphql.execution.collect_fields import FieldDetails, collect_fields, collect_subfields
from graphql.execution.values import VariableValues, get_argument_values

from federation.gate import Shape, ShapeField
from federation.records.base import RecordType
from federation.schema.documents import Operation
from federation.schema.surface import Surface

LANGUAGE = re.compile(r"[A-Za-z]{1,8}(-[A-Za-z0-9]{1,8}){0,6}")
ORIGIN_DEPTH = 2
FACTS = frozenset({"__typename", "id", "type", "status", "handling"})


@dataclass(frozen=True)
class Member:
    """One member of a connection, edge or page info: its key as JSON with colon, what it is, and its own members."""

    key: str
    name: str
    members: tuple[Member, ...] = ()
    constant: str | None = None


@dataclass(frozen=True)
class Read:
    """One root field as the gate is asked: a page or one record, of these types in these shapes."""

    key: str
    name: str
    details: tuple[FieldDetails, ...]
    types: tuple[str, ...]
    shapes: Mapping[str, Shape]
    layout: tuple[Member, ...] | None
    counted: bool
    constant: str | None = None

    @property
    def paged(self) -> bool:
        """Whether rows are needed at all, and not only their number."""
        return self.layout is None or any(member.name in ("edges", "nodes", "pageInfo") for member in self.layout)


class Refused(Exception):
    """This selection cannot be compiled; the standard executor takes it."""


@dataclass(frozen=True)
class Compiler:
    """Compiles operations over one schema. `pages` and `singles`: root fields and the types that they can give."""

    schema: GraphQLSchema
    registry: Mapping[str, RecordType]
    surfaces: Mapping[str, Mapping[str, Surface]]
    pages: Mapping[str, tuple[str, ...]]
    singles: Mapping[str, tuple[str, ...]]

    def compile(self, operation: Operation, variables: VariableValues) -> tuple[Read, ...] | None:
        """The reads of an operation in the order of its answer, or None."""
        root = self.schema.query_type
        if operation.node.operation is not OperationType.QUERY or root is None:
            return None
        fields = collect_fields(self.schema, operation.fragments, variables, root, operation.node, True)
        try:
            return tuple(
                self._root(_Selection(self, operation, variables), key, details)
                for key, details in fields.grouped_field_set.items()
            )
        except Refused:
            return None

    def _root(self, selection: _Selection, key: str, details: list[FieldDetails]) -> Read:
        name = details[0].node.name.value
        if name == "__typename":
            return Read(key, name, tuple(details), (), {}, None, False, '"Query"')
        if name in self.pages:
            return selection.page(key, name, details, self.pages[name])
        if name in self.singles:
            types = self.singles[name]
            return Read(key, name, tuple(details), types, selection.shapes(details, types), None, False)
        raise Refused


class _Selection:
    """The selections of one operation with one set of variables."""

    def __init__(self, compiler: Compiler, operation: Operation, variables: VariableValues) -> None:
        self._compiler, self._operation, self._variables = compiler, operation, variables

    def _under(self, type_name: str, details: list[FieldDetails]) -> list[tuple[str, str, list[FieldDetails]]]:
        kind = self._compiler.schema.type_map[type_name]
        if not isinstance(kind, GraphQLObjectType):
            raise Refused
        found = collect_subfields(
            self._compiler.schema,
            self._operation.fragments,
            self._variables,
            self._operation.node,
            kind,
            details,
            True,
        )
        return [(key, several[0].node.name.value, several) for key, several in found.grouped_field_set.items()]

    def page(self, key: str, name: str, details: list[FieldDetails], types: tuple[str, ...]) -> Read:
        """A connection. More than one selection of nodes is left to the standard executor."""
        root = self._compiler.schema.query_type
        if root is None:
            raise Refused
        connection = _named(root, name)
        edge = connection.removesuffix("Connection") + "Edge"
        nodes: list[list[FieldDetails]] = []
        members: list[Member] = []
        counted = False
        for inner_key, inner, several in self._under(connection, details):
            shown = f'"{inner_key}":'
            if inner == "__typename":
                members.append(Member(shown, inner, constant=f'"{connection}"'))
            elif inner == "pageInfo":
                members.append(Member(shown, inner, self._page_info(several)))
            elif inner == "nodes":
                nodes.append(several)
                members.append(Member(shown, inner))
            elif inner == "edges":
                members.append(Member(shown, inner, self._edge(edge, several, nodes)))
            else:
                counted = True
                members.append(Member(shown, inner))
        if len(nodes) > 1:
            raise Refused
        shapes = self.shapes(nodes[0], types) if nodes else dict.fromkeys(types, _ID_ONLY)
        return Read(key, name, tuple(details), types, shapes, tuple(members), counted)

    def _page_info(self, details: list[FieldDetails]) -> tuple[Member, ...]:
        return tuple(
            Member(f'"{key}":', name, constant='"PageInfo"' if name == "__typename" else None)
            for key, name, _ in self._under("PageInfo", details)
        )

    def _edge(self, edge: str, details: list[FieldDetails], nodes: list[list[FieldDetails]]) -> tuple[Member, ...]:
        members = []
        for key, name, several in self._under(edge, details):
            if name == "node":
                nodes.append(several)
            members.append(Member(f'"{key}":', name, constant=f'"{edge}"' if name == "__typename" else None))
        return tuple(members)

    def shapes(self, details: list[FieldDetails], types: tuple[str, ...]) -> dict[str, Shape]:
        """The shape of each type."""
        return {key: self._shape(key, details, ORIGIN_DEPTH) for key in types}

    def _shape(self, type_key: str, details: list[FieldDetails], depth: int) -> Shape:
        surfaces = self._compiler.surfaces[type_key]
        members: list[ShapeField] = []
        for key, name, several in self._under(self._compiler.registry[type_key].graphql, details):
            if name in FACTS:
                members.append(ShapeField(key, name))
            elif name == "origin":
                if depth == 0:
                    raise Refused
                members.append(ShapeField(key, name, nested=_some(self._shape("network", several, depth - 1))))
            else:
                members.append(self._field(type_key, key, surfaces[name], several))
        return tuple(members)

    def _field(self, type_key: str, key: str, made: Surface, details: list[FieldDetails]) -> ShapeField:
        field = made.spec.name
        if made.parts is not None:
            parts = tuple((k, self._part(made, name, several)) for k, name, several in self._under(made.type, details))
            return ShapeField(key, field, parts=_some(parts))
        if made.translated:
            owner = self._compiler.schema.type_map[self._compiler.registry[type_key].graphql]
            return ShapeField(key, field, language=self._argument(owner, made.name, details))
        return ShapeField(key, field, capitals=made.codes is not None)

    def _part(self, made: Surface, name: str, details: list[FieldDetails]) -> str:
        if made.type == "Place" and name == "name":
            kind = self._compiler.schema.type_map["Place"]
            return f"name:{self._argument(kind, name, details) or 'en'}"
        return name

    def _argument(self, kind: Any, name: str, details: list[FieldDetails]) -> str | None:
        if not details[0].node.arguments:
            return None
        try:
            found = get_argument_values(kind.fields[name], details[0].node, self._variables)
        except GraphQLError as error:
            raise Refused from error
        language = found.get("language")
        if language is not None and not LANGUAGE.fullmatch(language):
            raise Refused
        return language


def _some(members: tuple[Any, ...]) -> tuple[Any, ...]:
    """The members; a selection of which `@skip` leaves nothing is left to the standard executor."""
    if not members:
        raise Refused
    return members


_ID_ONLY: Shape = (ShapeField("id", "id"),)


def _named(kind: GraphQLObjectType, field: str) -> str:
    """The name of the type that a field gives."""
    return str(kind.fields[field].type).strip("[]!")
