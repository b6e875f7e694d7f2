"""Documents: parsed and validated once, kept in a bounded cache, with their cost known before anything runs.

A document holds no viewer and no values: the cache tells nobody what another one asked.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from threading import Lock
from types import MappingProxyType
from typing import Any

from graphql import (
    DocumentNode,
    EnumValueNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLSchema,
    GraphQLSyntaxError,
    InlineFragmentNode,
    IntValueNode,
    ListValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    VariableNode,
    parse,
    validate,
)
from graphql.execution.collect_fields import FragmentDetails

from federation.errors import BadInput, CostExceeded
from federation.schema.overlaps import compares_too_much
from federation.schema.problems import syntax_error

DEFAULT_FIRST = 20
MAX_FIRST = 100
WEIGHTS = {"totalCount": 50, "search": 50, "changes": 100, "_service": 100, "access": 500}
"""What costs more than a field: counting, searching, reading the journal, the whole SDL, all that a viewer sees."""
ENTITY = 20
"""What one record costs that is asked for by itself, or one translation of it."""
STANDARD = 10
"""What a field of a page or record costs in the standard executor, as measured against compiled reads."""
INTROSPECTION = {"__schema": 15_000, "__type": 500}
"""What introspection costs, once and for each alias within it: without aliases each thing is told once."""
UNKNOWN_SIZE = 10_000


@dataclass(frozen=True)
class Limits:
    """What one request may ask. `cost` counts fields, those of a page times its `first`; `standard` is how many
    requests may be in the standard executor at once."""

    body: int = 128 * 1024
    characters: int = 60_000
    tokens: int = 4_000
    depth: int = 12
    aliases: int = 60
    root_fields: int = 16
    cost: int = 40_000
    standard: int = 2


@dataclass(frozen=True)
class RootCost:
    """The cost of one root field: `base`, and `each` times `first`: a number, or the name of a variable that holds
    one, or a list whose length counts, or with `sizes` what is that long. `compiled`: the field can be read without
    the standard executor, in which it costs more."""

    base: int
    each: int
    first: int | str
    compiled: bool = True
    sizes: Mapping[str, int] | None = field(default=None, compare=False)

    def of(self, variables: Mapping[str, Any], standard: bool) -> int:
        """The cost with these coerced variables; `standard`: in the standard executor."""
        first: Any = variables.get(self.first) if isinstance(self.first, str) else self.first
        if self.sizes is not None:
            first = self.sizes.get(getattr(first, "name", first), UNKNOWN_SIZE)
        if isinstance(first, list):
            first = len(first)
        elif isinstance(first, bool) or not isinstance(first, int):
            first = DEFAULT_FIRST
        return (self.base + self.each * max(first, 0)) * (STANDARD if standard and self.compiled else 1)


@dataclass(frozen=True)
class Operation:
    """One executable operation of a validated document, with what it costs."""

    document: DocumentNode
    node: OperationDefinitionNode
    fragments: dict[str, FragmentDetails]
    roots: tuple[RootCost, ...]
    depth: int
    aliases: int
    compiled: dict[Any, Any] = field(default_factory=dict, compare=False)

    def cost(self, variables: Mapping[str, Any], *, standard: bool = False) -> int:
        """The cost with these coerced variables, defaults included. A `first` that is no number counts as the default.
        `standard`: in the standard executor."""
        return sum(root.of(variables, standard) for root in self.roots)

    def check(self, cost: int, limits: Limits) -> None:
        """Raises CostExceeded if any limit is passed."""
        for what, value, limit in (
            ("fields at the root", len(self.roots), limits.root_fields),
            ("levels", self.depth, limits.depth),
            ("aliases", self.aliases, limits.aliases),
            ("points of cost", cost, limits.cost),
        ):
            if value > limit:
                raise CostExceeded(f"The operation has {value} {what}; {limit} are allowed. Ask for less at a time.")


@dataclass(frozen=True)
class Document:
    """A parsed and validated document, or the errors that it has."""

    operations: Mapping[str | None, Operation]
    errors: tuple[GraphQLError, ...] = ()
    characters: int = 0

    def operation(self, name: str | None) -> Operation:
        """The operation with this name, or the only one. Raises BadInput where there is no such one."""
        if name is None and len(self.operations) == 1:
            return next(iter(self.operations.values()))
        if name is None:
            raise BadInput("The document has several operations, or none: name one in operationName.")
        if name not in self.operations:
            raise BadInput("The document has no operation with the given operationName.")
        return self.operations[name]


class DocumentCache:
    """At most `size` documents of at most `characters` in all, by the hash of their text; the least recently used go
    first. Safe for threads."""

    def __init__(
        self,
        schema: GraphQLSchema,
        limits: Limits,
        size: int = 512,
        characters: int = 500_000,
        sizes: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        self._schema, self._limits, self._size, self._characters = schema, limits, size, characters
        self._sizes = sizes
        self._documents: OrderedDict[bytes, Document] = OrderedDict()
        self._held = 0
        self._lock = Lock()

    def get(self, text: str) -> Document:
        """The document of this text. Never raises: errors stand in it."""
        key = sha256(text.encode("utf-8", "surrogatepass")).digest()
        with self._lock:
            found = self._documents.get(key)
            if found is not None:
                self._documents.move_to_end(key)
                return found
        document = read_document(self._schema, text, self._limits, self._sizes)
        with self._lock:
            if key not in self._documents:
                self._documents[key] = document
                self._held += document.characters
            while len(self._documents) > self._size or self._held > self._characters:
                self._held -= self._documents.popitem(last=False)[1].characters
        return document

    def __len__(self) -> int:
        return len(self._documents)


def read_document(
    schema: GraphQLSchema, text: str, limits: Limits, sizes: Mapping[str, int] = MappingProxyType({})
) -> Document:
    """Parses and validates; suggestions are left out, because they tell names to those who guess. `sizes`: how many
    terms each list has."""
    try:
        ast = parse(
            text, max_lexical_tokens=limits.tokens, max_comments=limits.tokens, max_source_length=limits.characters
        )
    except GraphQLSyntaxError as error:
        return Document({}, (syntax_error(error),), len(text))
    except GraphQLError as error:
        return Document({}, (error,), len(text))
    if compares_too_much(ast):
        dear = CostExceeded("The document names the same fields too often; name each once.")
        return Document({}, (GraphQLError(dear.message, original_error=dear),), len(text))
    errors = validate(schema, ast, max_errors=20, hide_suggestions=True)
    if errors:
        return Document({}, tuple(errors), len(text))
    named = {node.name.value: node for node in ast.definitions if isinstance(node, FragmentDefinitionNode)}
    fragments = {name: FragmentDetails(node) for name, node in named.items()}
    meter = _Meter(named, sizes)
    operations: dict[str | None, Operation] = {}
    for node in ast.definitions:
        if isinstance(node, OperationDefinitionNode):
            roots = tuple(meter.root(one) for one in meter.fields(node.selection_set))
            whole = meter.measure(node.selection_set)
            name = node.name.value if node.name else None
            operations[name] = Operation(ast, node, fragments, roots, whole.depth, whole.aliases)
    return Document(operations, (), len(text))


@dataclass(frozen=True)
class _Measure:
    cost: int
    depth: int
    aliases: int
    translated: int = 0


class _Meter:
    """Measures selections, each fragment once, so that nested fragments cannot make the measuring itself dear."""

    def __init__(self, fragments: Mapping[str, FragmentDefinitionNode], sizes: Mapping[str, int]) -> None:
        self._fragments, self._sizes = fragments, sizes
        self._known: dict[str, _Measure] = {}

    def fields(self, selections: SelectionSetNode, seen: set[str] | None = None) -> Iterator[FieldNode]:
        """The fields of a selection set, those of its fragments included, each fragment once."""
        seen = set() if seen is None else seen
        for node in selections.selections:
            if isinstance(node, FieldNode):
                yield node
            elif isinstance(node, FragmentSpreadNode):
                if node.name.value not in seen:
                    seen.add(node.name.value)
                    yield from self.fields(self._fragments[node.name.value].selection_set, seen)
            elif isinstance(node, InlineFragmentNode):
                yield from self.fields(node.selection_set, seen)

    def measure(self, selections: SelectionSetNode) -> _Measure:
        cost = depth = aliases = translated = 0
        for node in selections.selections:
            if isinstance(node, FieldNode):
                part = self._field(node)
            elif isinstance(node, FragmentSpreadNode):
                name = node.name.value
                if name not in self._known:
                    self._known[name] = self.measure(self._fragments[name].selection_set)
                part = self._known[name]
            elif isinstance(node, InlineFragmentNode):
                part = self.measure(node.selection_set)
            else:
                continue
            cost, depth, aliases = cost + part.cost, max(depth, part.depth), aliases + part.aliases
            translated += part.translated
        return _Measure(cost, depth, aliases, translated)

    def _field(self, node: FieldNode) -> _Measure:
        own = WEIGHTS.get(node.name.value, 1)
        alias = 1 if node.alias else 0
        if node.selection_set is None:
            return _Measure(own, 1, alias, 1 if node.arguments else 0)
        inner = self.measure(node.selection_set)
        if node.name.value.startswith("__"):  # introspection has its own rule for depth
            return _Measure(own + inner.cost, 1, alias + inner.aliases)
        return _Measure(own + inner.cost, 1 + inner.depth, alias + inner.aliases, inner.translated)

    def root(self, node: FieldNode) -> RootCost:
        """A root field: counts stand once, the rest once for each item of the page."""
        name, own = node.name.value, WEIGHTS.get(node.name.value, 1)
        if node.selection_set is None:
            return RootCost(own, 0, 0, False)
        whole = self.measure(node.selection_set)
        if name in INTROSPECTION:
            return RootCost(own + whole.cost + INTROSPECTION[name] * (1 + whole.aliases), 0, 0, False)
        if name == "terms":
            return self._terms(node, own, whole.cost)
        counted = sum(
            WEIGHTS["totalCount"] for one in self.fields(node.selection_set) if one.name.value == "totalCount"
        )
        each = whole.cost - counted
        if name in ("_entities", "changes"):  # each record is read by itself, and each translation of it
            each += ENTITY * (1 + whole.translated)
            amount = _amount(node, "representations" if name == "_entities" else "first")
            return RootCost(own + counted, each, amount, False)
        names = {one.name.value for one in self.fields(node.selection_set)}
        if not names & {"edges", "nodes"}:
            return RootCost(own + counted + each, 0, 0, name not in ("viewer", "peers"))
        return RootCost(own + counted, each, _amount(node, "first"))

    def _terms(self, node: FieldNode, own: int, each: int) -> RootCost:
        """A code list: what is selected, for each of its terms."""
        named = next((one.value for one in node.arguments or () if one.name.value == "list"), None)
        if isinstance(named, VariableNode):
            return RootCost(own, each, named.name.value, False, self._sizes)
        length = self._sizes.get(named.value, UNKNOWN_SIZE) if isinstance(named, EnumValueNode) else UNKNOWN_SIZE
        return RootCost(own, each, length, False)


def _amount(node: FieldNode, name: str) -> int | str:
    """How many an argument asks for: its number, the length of its list, or the name of its variable."""
    for argument in node.arguments or ():
        if argument.name.value == name:
            if isinstance(argument.value, VariableNode):
                return argument.value.name.value
            if isinstance(argument.value, IntValueNode):
                return int(argument.value.value)
            if isinstance(argument.value, ListValueNode):
                return len(argument.value.values)
    return DEFAULT_FIRST
