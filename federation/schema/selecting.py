"""What a document selects of records: the fields of each type, for the list of withheld ones; told by the document
and the projection alone, never by a record."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
    VariableNode,
    get_named_type,
)
from graphql.language import Visitor, visit

from federation.records.base import RecordType
from federation.schema.names import snake

Selected = frozenset[tuple[str, str]]
"""Pairs of type key and field in snake_case."""


@dataclass(frozen=True)
class Selector:
    """Walks selections with the record types that each part of them can be about."""

    schema: GraphQLSchema
    by_name: Mapping[str, RecordType]
    fragments: Mapping[str, FragmentDefinitionNode]
    roots: Mapping[str, tuple[str, ...]]

    def of(self, operation: OperationDefinitionNode) -> Selected:
        """Everything that an operation selects."""
        root = self.schema.get_root_type(operation.operation)
        return frozenset() if root is None else frozenset(self._in(operation.selection_set, root.name, (), set()))

    def _in(
        self, selections: SelectionSetNode, parent: str, about: tuple[str, ...], seen: set[str]
    ) -> Iterator[tuple[str, str]]:
        for node in selections.selections:
            if isinstance(node, FieldNode):
                yield from self._field(node, parent, about, seen)
                continue
            condition: str | None = None
            inner: SelectionSetNode
            if isinstance(node, FragmentSpreadNode):
                name = node.name.value
                key = f"{name}/{parent}/{','.join(about)}"
                if key in seen:
                    continue
                seen.add(key)
                fragment = self.fragments[name]
                condition, inner = fragment.type_condition.name.value, fragment.selection_set
            else:
                assert isinstance(node, InlineFragmentNode)  # noqa: S101  (there are three kinds of selections)
                condition = node.type_condition.name.value if node.type_condition else None
                inner = node.selection_set
            yield from self._in(inner, condition or parent, self._narrowed(about, condition), seen)

    def _narrowed(self, about: tuple[str, ...], condition: str | None) -> tuple[str, ...]:
        kind = None if condition is None else self.schema.type_map.get(condition)
        if condition is not None and isinstance(kind, GraphQLObjectType) and condition in self.by_name:
            return tuple(key for key in about if self.by_name[condition].key == key)
        return about

    def _field(self, node: FieldNode, parent: str, about: tuple[str, ...], seen: set[str]) -> Iterator[tuple[str, str]]:
        name = node.name.value
        kind = self.schema.type_map.get(parent)
        if name.startswith("__") or not isinstance(kind, (GraphQLObjectType, GraphQLInterfaceType)):
            return
        returned = get_named_type(kind.fields[name].type).name
        if parent in self.by_name or parent in ("Record", "Node", "Opportunity"):
            for key in about:
                yield key, snake(name)
            about = (self.by_name[returned].key,) if returned in self.by_name else ()
        elif name in self.roots and kind is self.schema.query_type:
            about = self.roots[name]
        elif returned in self.by_name:
            about = (self.by_name[returned].key,)
        if node.selection_set is not None:
            yield from self._in(node.selection_set, returned, about, seen)


def structural_variables(
    operation: OperationDefinitionNode, fragments: Mapping[str, FragmentDefinitionNode]
) -> frozenset[str]:
    """The variables that shape what is selected: all but those that stand only in arguments of root fields."""
    found: set[str] = set()

    class Finder(Visitor):
        """Gathers the names of variables."""

        def enter_variable(self, node: VariableNode, *_args: object) -> None:
            found.add(node.name.value)

    for node in operation.selection_set.selections:
        if isinstance(node, FieldNode):
            for part in (*(node.directives or ()), *([node.selection_set] if node.selection_set else ())):
                visit(part, Finder())
        else:
            visit(node, Finder())
    for fragment in fragments.values():
        visit(fragment, Finder())
    return frozenset(found)
