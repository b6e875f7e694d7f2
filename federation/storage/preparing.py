"""A request made ready for all viewers of equal rights: its statements, what has to be small for it, and what the
ledger has to know of its rows."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from federation.errors import CostExceeded
from federation.storage.bounded import Bounded
from federation.storage.cost import SMALL_CLASS, views_that_must_be_small
from federation.storage.relation import Query, Relation, fetch
from federation.storage.shapes import NAME_MARK
from federation.storage.view import View

MOST_BYTES = 16 * 1024 * 1024
"""Prepared statements take about so much memory in all."""
LONGEST = 64 * 1024
"""A longer statement is not kept."""
STATEMENTS = 4
"""How many statements of like length a relation may build: two of pages, one that counts, one of a single record."""
BINDING_BYTES = 700


@dataclass(frozen=True)
class Prepared:
    """Statements of a request, so that a run builds no SQL. `rights` and `structure` name for whom and for what.
    `small`: the views whose class has to be small for this query, each with the relation that counts it. `named`: rows
    hold marks where names of places belong; `weight`: about how many bytes of memory it takes."""

    rights: Hashable
    structure: Hashable
    relation: Relation
    small: tuple[tuple[View, Relation], ...]
    named: bool
    weight: int = 0

    @property
    def views(self) -> tuple[View, ...]:
        """The views that are asked."""
        return self.relation.views


def must_be_small(relation: Relation) -> tuple[tuple[View, Relation], ...]:
    """The views whose class has to be small for a query, each with the relation that counts it. Builds no SQL."""
    return tuple(
        (view, Relation(relation.dialect, relation.codes, (view,), ((),), None, Query((None,), own=relation.query.own)))
        for view in views_that_must_be_small(relation.views, relation.query)
    )


class PreparedShelf:
    """What was prepared, by rights and structure: bounded by the memory it takes, whoever asks for how much."""

    def __init__(self, sizes: ClassSizes) -> None:
        self._sizes = sizes
        self._kept: Bounded[Prepared] = Bounded(2000, MOST_BYTES)

    def get(self, rights: Hashable, structure: Hashable) -> Prepared | None:
        """What was prepared for these rights and this structure, if it is still kept."""
        return self._kept.get((rights, structure))

    def made(self, connection: Any, rights: Hashable, structure: Hashable, relation: Relation) -> Prepared:
        """The statements of a relation; long ones are not kept. Raises CostExceeded (see `ClassSizes`) before any of
        them is built."""
        small = must_be_small(relation)
        self._sizes.check(connection, rights, small)
        text = relation.first_page or ""  # this also gathers all bindings, before threads share them
        weight = STATEMENTS * len(text) + BINDING_BYTES * len(relation.bindings)
        ready = Prepared(rights, structure, relation, small, NAME_MARK in text, weight)
        return ready if len(text) > LONGEST else self._kept.put((rights, structure), ready, weight)


class ClassSizes:
    """How many rows the classes of viewers have, up to one more than is small."""

    def __init__(self) -> None:
        self._known: Bounded[tuple[int, int]] = Bounded(500)

    def check(self, connection: Any, rights: Hashable, small: Sequence[tuple[View, Relation]]) -> None:
        """Raises CostExceeded where a view that has to be small is not. A class is counted anew only after a write: how
        long that takes tells nothing of what matches."""
        for view, relation in small:
            written = connection.execute("SELECT coalesce(max(pos),0) FROM change").fetchone()[0]
            key = (rights, view.type.key, relation.query.own)
            known = self._known.get(key)
            if known is None or known[0] != written:
                found = fetch(connection, relation, relation.counted, {"limit": SMALL_CLASS + 1})
                known = self._known.put(key, (written, found[0][0]))
            if known[1] > SMALL_CLASS:
                raise CostExceeded("This filter and order are not indexed together; leave out one of them.")


class Crossing(NamedTuple):
    """What leaves of one type, for the ledger: shown ids and mask of steps where any of it is `above` open, else only
    how many rows."""

    type: str
    above: bool
    rows: int
    gids: Sequence[str] = ()
    mask: int = 0


def crossings(relation: Relation, found: Sequence[Sequence[Any]]) -> Iterator[Crossing]:
    """What leaves with these rows (see `relation.COLUMNS`). Records that are not CLEAR are above `open`, whatever is
    shown of them."""
    alone = len(relation.sources) == 1
    for source in relation.sources:
        mine = found if alone else [row for row in found if row[4] == source.number]
        closed = [row[3] for row in mine if source.above or row[5]] if source.above or source.told else []
        if closed:
            yield Crossing(source.type_key, True, len(closed), closed, source.mask)
        if len(mine) > len(closed):
            yield Crossing(source.type_key, False, len(mine) - len(closed))
        if source.origin_above and (networks := list(dict.fromkeys(row[6] for row in mine if row[6] is not None))):
            yield Crossing("network", True, len(networks), networks, source.origin_mask)
