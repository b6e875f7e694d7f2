"""Plans: compiled selections with the requests that their arguments state, refused or run. It must answer the same
bytes as the standard executor, and refuse from the projection alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from weakref import ref

import orjson
from graphql import GraphQLError, GraphQLSchema, OperationType
from graphql.execution.collect_fields import collect_fields
from graphql.execution.values import VariableValues, get_argument_values

from federation.errors import FederationError, ForbiddenField
from federation.gate import Page, PageRequest, Prepared
from federation.policies.viewer import Viewer
from federation.records.base import RecordType
from federation.records.codes import CodeLists
from federation.records.filters import fields_of
from federation.schema.classes import plain
from federation.schema.compiling import Compiler, Read
from federation.schema.documents import Operation
from federation.schema.names import camel
from federation.schema.problems import problem
from federation.schema.resolving import count_for
from federation.schema.roots import Roots, Sight
from federation.schema.selecting import Selector, structural_variables
from federation.schema.surface import surfaces
from federation.schema.writing import Writer
from federation.storage.pool import NoneFree

COMPILED_LIMIT = 16


def no_prepared() -> None:
    """Nothing was prepared yet."""


@dataclass
class Step:
    """One root field of a plan: what is read, and the request or id that its arguments state. `prepared` is the
    statement as it was last made, as long as the gate keeps it; the gate makes it anew for other rights."""

    read: Read
    request: PageRequest | None = None
    gid: str | None = None
    prepared: Callable[[], Prepared | None] = no_prepared


@dataclass
class Plan:
    """A compiled request. `private`: it holds words that somebody searched for and is not kept."""

    steps: tuple[Step, ...]
    private: bool
    told: dict[int, tuple[Sight, bytes]] = field(default_factory=dict)


class Reads:
    """Compiles, refuses and runs. Keeps compiled selections with their operation, bounded."""

    def __init__(
        self, schema: GraphQLSchema, roots: Roots, registry: Mapping[str, RecordType], codes: CodeLists
    ) -> None:
        self._schema, self._roots, self._registry = schema, roots, registry
        by_type = {key: {made.name: made for made in surfaces(kind, codes)} for key, kind in registry.items()}
        self._pages, self._singles = roots.pages, roots.singles
        self._compiler = Compiler(schema, registry, by_type, self._pages, self._singles)
        self._writer = Writer()
        self._types = {**self._pages, **self._singles, "_entities": tuple(registry), "changes": tuple(registry)}

    def plan(self, operation: Operation, variables: VariableValues) -> Plan | None:
        """The plan of an operation with these variables, or None for the standard executor."""
        reads = self._compiled(operation, variables)
        if reads is None:
            return None
        try:
            steps = tuple(self._step(read, variables) for read in reads)
        except (GraphQLError, FederationError):
            return None
        private = any(step.request is not None and step.request.search for step in steps)
        return Plan(steps, private)

    def _compiled(self, operation: Operation, variables: VariableValues) -> tuple[Read, ...] | None:
        kept = operation.compiled
        if "names" not in kept:
            fragments = {name: part.definition for name, part in operation.fragments.items()}
            kept["names"] = sorted(structural_variables(operation.node, fragments))
        key = tuple((name, repr(variables.coerced.get(name))) for name in kept["names"])
        if key not in kept:
            if len(kept) > COMPILED_LIMIT:
                names = kept["names"]
                kept.clear()
                kept["names"] = names
            kept[key] = self._compiler.compile(operation, variables)
        return kept[key]

    def _step(self, read: Read, variables: VariableValues) -> Step:
        if read.constant is not None:
            return Step(read)
        arguments = self._arguments(read.name, read.details[0].node, variables)
        if read.layout is not None:
            return Step(read, self._roots.request(read.name, read.types, read.shapes, arguments))
        if read.name == "network":
            return Step(read, self._roots.own_network(read.shapes))
        return Step(read, gid=arguments["id"])

    def _arguments(self, name: str, node: Any, variables: VariableValues) -> dict[str, Any]:
        root = self._schema.query_type
        if root is None:
            return {}
        return plain(get_argument_values(root.fields[name], node, variables, hide_suggestions=True))

    def refuse(self, sight: Sight, operation: Operation, variables: VariableValues, plan: Plan | None) -> None:
        """Raises ForbiddenField if a filter or order of any root field names what the projection withholds."""
        if plan is not None:
            for step in plan.steps:
                if step.request is not None:
                    self._check(sight, step.request)
            return
        for request in self._requests(operation, variables):
            self._check(sight, request)

    def _requests(self, operation: Operation, variables: VariableValues) -> Iterator[PageRequest]:
        """The requests of the root fields of what is not compiled; what is wrong with one, the executor will say."""
        root = self._schema.query_type
        if operation.node.operation is not OperationType.QUERY or root is None:
            return
        fields = collect_fields(self._schema, operation.fragments, variables, root, operation.node, True)
        for details in fields.grouped_field_set.values():
            node = details[0].node
            name = node.name.value
            if name in self._pages:
                types = self._pages[name]
                try:
                    arguments = self._arguments(name, node, variables)
                    yield self._roots.request(name, types, dict.fromkeys(types, ()), arguments)
                except (GraphQLError, FederationError):
                    continue

    @staticmethod
    def _check(sight: Sight, request: PageRequest) -> None:
        names = {one.field for one in request.order}
        if request.where is not None:
            names |= fields_of(request.where)
        for name in sorted(names):
            if not any(sight.sees(key, name) for key in request.types):
                raise ForbiddenField(f"You cannot filter or order by {camel(name)}.", field=name)

    def withheld(self, sight: Sight, operation: Operation) -> bytes:
        """JSON: the fields that the operation selects and the projection withholds, by type."""
        kept = operation.compiled
        if "selected" not in kept:
            fragments = {name: part.definition for name, part in operation.fragments.items()}
            by_name = {kind.graphql: kind for kind in self._registry.values()}
            found = Selector(self._schema, by_name, fragments, self._types).of(operation.node)
            kept["selected"] = sorted(found)
        entries = [
            {"type": self._registry[key].graphql, "field": camel(name)}
            for key, name in kept["selected"]
            if not sight.sees(key, name)
        ]
        return orjson.dumps(entries)

    def run(self, viewer: Viewer, plan: Plan, extensions: bytes) -> bytes:
        """The whole answer of a plan."""
        members: list[str] = []
        errors: list[dict[str, Any]] = []
        for step in plan.steps:
            try:
                members.append(f'"{step.read.key}":{self._read(viewer, step)}')
            except NoneFree:
                raise
            except Exception as error:
                errors.append(problem(self._located(error, step.read), [step.read.key]))
                if step.read.layout is not None:  # a connection is never null: the whole answer is
                    members = []
                    break
                members.append(f'"{step.read.key}":null')
        broken = bool(errors) and not members
        data = b"null" if broken else ("{" + ",".join(members) + "}").encode()
        told = b',"errors":' + orjson.dumps(errors) if errors else b""
        return b'{"data":' + data + told + b',"extensions":' + extensions + b"}"

    @staticmethod
    def _located(error: Exception, read: Read) -> Exception:
        if isinstance(error, GraphQLError):
            return error
        return GraphQLError(str(error), [one.node for one in read.details], original_error=error)

    def _read(self, viewer: Viewer, step: Step) -> str:
        read, gate = step.read, self._roots.gate
        if read.constant is not None:
            return read.constant
        if step.request is None:
            row = gate.get(viewer, step.gid or "", read.shapes)
            return self._writer.record(None if row is None else row.json)
        page = self._page(viewer, step, step.request) if read.paged else None
        if read.layout is None:
            return self._writer.record(page.rows[0].json if page is not None and page.rows else None)
        count = count_for(gate, viewer, step.request) if read.counted else None
        return self._writer.page(read, page, count)

    def _page(self, viewer: Viewer, step: Step, request: PageRequest) -> Page:
        ready = step.prepared()
        if ready is None:
            ready = self._roots.gate.prepare(viewer, request)
            step.prepared = no_prepared if ready is None else ref(ready)
        return self._roots.gate.run(viewer, ready, request)
