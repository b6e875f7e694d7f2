"""A request made ready for all viewers of equal rights: its statements, what has to be small for it, and what the
ledger has to know of its rows."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from federation.storage.cost import views_that_must_be_small
from federation.storage.relation import Query, Relation
from federation.storage.shapes import NAME_MARK
from federation.storage.view import View


@dataclass(frozen=True)
class Prepared:
    """Statements of a request, so that a run builds no SQL. `key` names rights and structure. `small`: the views whose
    class has to be small for this query, each with the relation that counts it. `named`: rows hold marks of places."""

    key: Hashable
    relation: Relation
    small: tuple[tuple[View, Relation], ...]
    named: bool

    @property
    def views(self) -> tuple[View, ...]:
        """The views that are asked."""
        return self.relation.views


def prepared(key: Hashable, relation: Relation) -> Prepared:
    """The statements of a relation."""
    named = NAME_MARK in (relation.first_page or "")  # this also gathers all bindings, before threads share them
    small = tuple(
        (view, Relation(relation.dialect, relation.codes, (view,), ((),), None, Query((None,))))
        for view in views_that_must_be_small(relation.views, relation.query)
    )
    return Prepared(key, relation, small, named)


def crossings(relation: Relation, found: Sequence[Sequence[Any]]) -> Iterator[tuple[str, list[str], int, bool]]:
    """What leaves with these rows, for the ledger: (type, shown ids, mask of steps, whether any of it is above `open`).
    Records that are not CLEAR are above `open` whatever is shown of them."""
    for source in relation.sources:
        mine = [row for row in found if row[4] == source.number]
        closed = [row[3] for row in mine if source.above or row[5]]
        if closed:
            yield source.type_key, closed, source.mask, True
        if len(mine) > len(closed):
            yield source.type_key, [row[3] for row in mine if not (source.above or row[5])], source.mask, False
        networks = list(dict.fromkeys(row[6] for row in mine if row[6] is not None))
        if networks:
            yield "network", networks, source.origin_mask, True
