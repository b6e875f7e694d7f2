"""What is asked of the gate and what it answers: requests, prepared statements, pages and rows. Frozen values; rows
hold projected values only."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeAlias

from federation.errors import BadInput
from federation.records.base import RecordType
from federation.records.filters import And, Filter, conditions
from federation.records.kinds import Context
from federation.records.registry import RECORD_TYPES
from federation.records.texts import search_words
from federation.storage.conditions import normalised, structure
from federation.storage.cost import implied_order
from federation.storage.cursors import CursorSeal, Mark
from federation.storage.relation import OrderBy, Query
from federation.storage.shapes import ID_ONLY, Shape
from federation.storage.view import View
from federation.storage.writing import WORD_LENGTH

MAX_FIRST = 100
MAX_WORDS = 16


@dataclass(frozen=True)
class PageRequest:
    """A page over one type or several. `shape`: what is wanted of each type. `also`: a further filter for some types
    (only where it can match). `every_status`: drafts and past ones too, at home only. `own`: own records alone."""

    types: tuple[str, ...]
    shape: Mapping[str, Shape]
    where: Filter | None = None
    order: tuple[OrderBy, ...] = ()
    search: str | None = None
    first: int = 20
    after: str | None = None
    also: Mapping[str, Filter] = field(default_factory=lambda: MappingProxyType({}))
    every_status: bool = False
    own: bool = False


@dataclass(frozen=True)
class Asked:
    """A request that was checked: types, their filters in normal form (`where` as it was asked, without what was added
    for single types), order, search words."""

    types: tuple[RecordType, ...]
    shapes: tuple[Shape, ...]
    where: Filter | None
    wheres: tuple[Filter | None, ...]
    order: OrderBy | None
    words: tuple[str, ...]
    every_status: bool
    own: bool
    key: Hashable

    @property
    def query(self) -> Query:
        """What shapes the statement."""
        return Query(self.wheres, self.order, bool(self.words), self.every_status, self.own)

    @property
    def tells_origin(self) -> bool:
        """Whether a shape holds the network behind a record."""
        return any(member.field == "origin" for shape in self.shapes for member in shape)

    def values(self) -> tuple[tuple[Any, ...], ...]:
        """The values of the conditions of each type's filter."""
        return tuple(tuple(cond.value for cond in conditions(where)) if where else () for where in self.wheres)

    def binding(self, views: Sequence[View], subject: str) -> bytes:
        """What a cursor belongs to: the class (own projections; the viewer itself where ids are made for it) and the
        query with its values."""
        made = subject if any(view.pairwise for view in views) else None
        body = repr(
            (
                [(view.type.key, view.key, view.at_home) for view in views],
                made,
                self.wheres,
                self.order,
                self.words,
                self.every_status,
                self.own,
            )
        )
        return hashlib.sha256(body.encode("utf-8", "surrogatepass")).digest()


Seal: TypeAlias = Callable[[Mark], str]
"""Seals the marks of one query."""


def ask(request: PageRequest, context: Context) -> Asked:
    """The request, checked. Raises BadInput for what no viewer may ask: unknown types, fields or values, a page that
    is too large, more than one order, a search without words."""
    types = _types(request.types)
    if not isinstance(request.first, int) or not 0 <= request.first <= MAX_FIRST:
        raise BadInput(f"Ask for 0 to {MAX_FIRST} records at a time.", field="first")
    if len(request.order) > 1:
        raise BadInput("Order by one field.", field="orderBy")
    wheres = normalised(request.where, types, context)
    if request.also:
        wheres = tuple(
            _both(where, request.also.get(each.key), each, context) for each, where in zip(types, wheres, strict=True)
        )
    words = _words(request.search) if request.search is not None else ()
    order = request.order[0] if request.order else None
    if order is None and not words and len(types) == 1:
        order = implied_order(types[0], wheres[0])
    shapes = tuple(request.shape.get(each.key, ID_ONLY) for each in types)
    key = (
        request.types,
        shapes,
        tuple(structure(where, context.codes) for where in wheres) if any(wheres) else None,
        order,
        bool(words),
        request.every_status,
        request.own,
    )
    return Asked(types, shapes, request.where, wheres, order, words, request.every_status, request.own, key)


def _types(keys: tuple[str, ...]) -> tuple[RecordType, ...]:
    if not keys or len(set(keys)) != len(keys) or any(key not in RECORD_TYPES for key in keys):
        raise BadInput("Name record types, each once.", field="types")
    return tuple(RECORD_TYPES[key] for key in keys)


def _both(where: Filter | None, also: Filter | None, record_type: RecordType, context: Context) -> Filter | None:
    if also is None:
        return where
    (more,) = normalised(also, (record_type,), context)
    return more if where is None or more is None else And((where, more))


def _words(text: str) -> tuple[str, ...]:
    words = tuple(dict.fromkeys(word[:WORD_LENGTH] for word in search_words(text)))
    if not words:
        raise BadInput("There is no word in this search.", field="text")
    if len(words) > MAX_WORDS:
        raise BadInput(f"Search for at most {MAX_WORDS} words.", field="text")
    return words


class Row:
    """One record: `json` (the shape as JSON text), `gid`, `type`, and `cursor`, sealed when it is asked for."""

    __slots__ = ("_id", "_key", "_seal", "gid", "json", "type")

    def __init__(self, json: str, gid: str, type: str, key: str | int | None, id: bytes, seal: Seal) -> None:
        self.json = json
        self.gid = gid
        self.type = type
        self._key = key
        self._id = id
        self._seal = seal

    @property
    def cursor(self) -> str:
        """The cursor that names this record as the last one seen."""
        return self._seal(Mark(self._key, self._id))


@dataclass(frozen=True)
class Page:
    """Rows in order, and whether there are others before and after."""

    rows: tuple[Row, ...]
    has_next: bool = False
    has_previous: bool = False


def sealer(seal: CursorSeal, binding: Callable[[], bytes]) -> Seal:
    """A function that seals marks of one query; what they are bound to is computed once, and only if needed."""
    bound: list[bytes] = []

    def sealed(mark: Mark) -> str:
        if not bound:
            bound.append(binding())
        return seal.seal(mark, bound[0])

    return sealed


def made_rows(found: Sequence[Sequence[Any]], types: Sequence[str], seal: Seal) -> tuple[Row, ...]:
    """Rows of what a statement gave; `types` by the number of its source."""
    return tuple(
        [Row(text, gid, types[arm], key, id, seal) for text, key, id, gid, arm, _, _ in found]  # see COLUMNS
    )
