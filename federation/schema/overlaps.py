"""What validating a document would cost: it compares every two fields of one name, and every two fragments, at every
level. Told beforehand in linear time, so that nobody can keep the node busy with a short document.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
)

MOST_PAIRS = 4_000
MOST_NODES = 20_000


def compares_too_much(document: DocumentNode) -> bool:
    """Whether validation would compare more pairs than it may, with fragments unfolded."""
    named = {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}
    count = _Count(named)
    for node in document.definitions:
        if isinstance(node, OperationDefinitionNode | FragmentDefinitionNode):
            count.level([node.selection_set], frozenset())
    return count.full


@dataclass
class _Level:
    """The fields of one level by the name that they answer under, and the fragments spread in it."""

    fields: dict[str, list[FieldNode]] = field(default_factory=dict)
    spread: set[str] = field(default_factory=set)
    spreads: int = 0


@dataclass
class _Count:
    """Pairs and nodes so far. `full`: there are too many, and the count ends."""

    fragments: Mapping[str, FragmentDefinitionNode]
    pairs: int = 0
    nodes: int = 0

    @property
    def full(self) -> bool:
        return self.pairs > MOST_PAIRS or self.nodes > MOST_NODES

    def level(self, sets: Sequence[SelectionSetNode], above: frozenset[str]) -> None:
        """Counts selection sets that are merged into one, and what is below. `above`: the fragments that led here; one
        that leads back to itself is refused by validation, and not followed."""
        found = _Level()
        for each in sets:
            self._gather(each, above, found)
        for nodes in found.fields.values():
            below = [node.selection_set for node in nodes if node.selection_set is not None]
            if below and not self.full:
                self.level(below, above | found.spread)

    def _gather(self, selections: SelectionSetNode, above: frozenset[str], found: _Level) -> None:
        for node in selections.selections:
            self.nodes += 1
            if self.full:
                return
            if isinstance(node, FieldNode):
                name = node.alias.value if node.alias else node.name.value
                alike = found.fields.setdefault(name, [])
                self.pairs += len(alike)
                alike.append(node)
            elif isinstance(node, InlineFragmentNode):
                self._gather(node.selection_set, above, found)
            elif isinstance(node, FragmentSpreadNode):
                self._spread(node.name.value, above, found)

    def _spread(self, name: str, above: frozenset[str], found: _Level) -> None:
        self.pairs += found.spreads
        found.spreads += 1
        if name in self.fragments and name not in above and name not in found.spread:
            found.spread.add(name)
            self._gather(self.fragments[name].selection_set, above, found)
