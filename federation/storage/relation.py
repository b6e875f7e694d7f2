"""From views, shapes, filters and order to one SQL statement: a SELECT of projected values and nothing else.

The only module that reads record tables for somebody. A withheld column is never named; values of callers are
parameters; every condition on rows that depends on rights is a literal.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, reduce
from operator import or_
from typing import Any

from federation.policies.tiers import Tier
from federation.records.base import FieldSpec
from federation.records.codes import CodeLists
from federation.records.filters import Filter, conditions
from federation.records.kinds import UNKNOWN_NUMBER, UNKNOWN_TEXT
from federation.records.rows import bits
from federation.storage.conditions import FALSE, TRUE, Binding, Compiler
from federation.storage.dialect import Dialect
from federation.storage.pairwise import add_functions, column_of, gid_of, id_of
from federation.storage.searching import Walk, postgresql_match, sqlite_match
from federation.storage.shapes import Shape, Writer, fields_of, origin_subquery
from federation.storage.tables import indexed_pairs, searched_columns
from federation.storage.view import Arm, View

TITLES = ("title", "name")
"""The fields whose hits in a search come first."""

COLUMNS = ("json", "key", "id", "gid", "arm", "handling", "origin_gid")
"""The columns of every statement that gives records."""


@dataclass(frozen=True)
class OrderBy:
    """Order by the projected bounds of one field; what is unknown comes last, both ways."""

    field: str
    descending: bool = False


@dataclass(frozen=True)
class Query:
    """What shapes a statement beside the rights: filters for each view, order, whether there are search words, whether
    every status (at home only), and whether own records alone."""

    wheres: tuple[Filter | None, ...]
    order: OrderBy | None = None
    search: bool = False
    every_status: bool = False
    own: bool = False


@dataclass(frozen=True)
class Source:
    """The rows of one arm of one type in a statement: number, type, and what the ledger has to know of them.
    `mask`: bits of the steps that the statement touches; `above`: some of them are not open for everyone; `told`: the
    rows may be of records that are not CLEAR; `origin_…`: the same of the networks behind them."""

    number: int
    type_key: str
    arm: Arm
    mask: int
    above: bool
    told: bool
    origin_mask: int
    origin_above: bool


@dataclass
class Relation:
    """The statements over some views. `views` and `shapes` go together; `networks` is the view behind `origin`."""

    dialect: Dialect
    codes: CodeLists
    views: tuple[View, ...]
    shapes: tuple[Shape, ...]
    networks: View | None
    query: Query
    bindings: dict[str, Binding] = field(default_factory=dict)
    words: dict[str, Callable[[Sequence[str]], str]] = field(default_factory=dict)

    @cached_property
    def pairwise(self) -> bool:
        """Whether ids are made for the viewer, so that the statements need its keys."""
        return any(view.pairwise for view in self.views)

    @cached_property
    def sources(self) -> tuple[Source, ...]:
        """The arms of all views, numbered; arms in which the filter or search cannot match are left out."""
        found: list[Source] = []
        for at, view in enumerate(self.views):
            for arm in view.arms:
                if not self.query.search or self._searched(view, arm):
                    found.append(self._source(len(found), at, arm))
        return tuple(found)

    def _source(self, number: int, at: int, arm: Arm) -> Source:
        view, where = self.views[at], self.query.wheres[at]
        touched = set(fields_of(self.shapes[at])) | {cond.field for cond in (conditions(where) if where else ())}
        if self.query.order:
            touched.add(self.query.order.field)
        if self.query.search:
            touched |= {name for name, _ in self._searched(view, arm)}
        nested = [member.nested or () for member in self.shapes[at] if member.field == "origin"]
        inside = {name for shape in nested for name in fields_of(shape)}
        networks = () if self.networks is None or view.pairwise else self.networks.arms
        clearance = arm.projection.clearance
        told = clearance is not None and clearance > Tier.OPEN
        return Source(
            number,
            view.type.key,
            arm,
            mask_of(view, arm, touched),
            bool(touched & arm.above) or (told and "handling" in touched),
            told,
            reduce(or_, (mask_of(self.networks, each, inside) for each in networks if self.networks), 0),
            any(inside & each.above for each in networks),
        )

    def view_of(self, source: Source) -> View:
        """The view that a source belongs to."""
        return self.views[self._at(source)]

    def _at(self, source: Source) -> int:
        return next(at for at, view in enumerate(self.views) if view.type.key == source.type_key)

    @cached_property
    def ordered_by_index(self) -> bool:
        """Whether one walk of an index gives the page, so that JSON may be written on the way."""
        if len(self.sources) != 1 or self.query.search or self.pairwise:
            return False
        key = self._key(self.sources[0])
        return key is None or (key.removeprefix("t."),) in indexed_pairs(self.sources[0].type_key)

    @cached_property
    def first_page(self) -> str | None:
        """The statement of a first page, with the parameter `limit`; None where no row can match."""
        return self._page(after=False)

    @cached_property
    def next_page(self) -> str | None:
        """The statement of a page after the parameters `after_key` and `after_id`."""
        return self._page(after=True)

    def _page(self, after: bool) -> str | None:
        selects = [(source, self._keys(source, after)) for source in self.sources]
        live = [(source, text) for source, text in selects if text is not None]
        if not live:
            return None
        if self.ordered_by_index:
            source = live[0][0]
            key = self._key(source) or "NULL"
            return f"SELECT {self._columns(source, key)} FROM {self._from(source)} {self._tail(source, after)}"  # noqa: S608
        return self._two_steps(live)

    def _two_steps(self, live: Sequence[tuple[Source, str]]) -> str:
        """First the keys of the page, then the JSON of its rows and of no others."""
        limit, direction = self.dialect.limit(), self._direction
        tops = " UNION ALL ".join(f"SELECT * FROM ({text}) AS x{source.number}" for source, text in live)  # noqa: S608
        rows = " UNION ALL ".join(
            f"SELECT {self._columns(source, 'k.s', 'k.i')} FROM k CROSS JOIN {self._table(source)} t"  # noqa: S608
            f" WHERE k.a={source.number} AND t.rid=k.r"
            for source, _ in live
        )
        return (
            f"WITH k AS MATERIALIZED (SELECT a,r,s,i FROM ({tops}) AS x ORDER BY s{direction},i{direction}"  # noqa: S608
            f" {limit}) {rows} ORDER BY 2{direction},3{direction}"
        )

    def _keys(self, source: Source, after: bool) -> str | None:
        condition = self._condition(source)
        if FALSE in condition:
            return None
        key, walk = self._key(source) or "NULL", self._walk(source, after)
        led = (
            f"SELECT {source.number} AS a,t.rid AS r,{key} AS s,{self._id(source)} AS i"  # noqa: S608
            f" FROM {self._from(source)} {self._tail(source, after, f'LIMIT {walk.led_limit}' if walk else None)}"
        )
        return walk.keys(source.number, led) if walk else led

    def _walk(self, source: Source, after: bool) -> Walk | None:
        """How the rows of common words are found; None where the text index is asked first in any case."""
        view, param = self.view_of(source), self.dialect.param
        if not self.dialect.sqlite or not self.query.search or self.query.order is not None or view.pairwise:
            return None
        searched = self._searched(view, source.arm)
        titles = [each for each in searched if each[0] in TITLES]
        return Walk(
            self._table(source),
            " AND ".join(self._condition(source)),
            param(self._match(source, "q", searched)),
            param(self._match(source, "h", titles)) if titles else None,
            f"{param('limit')}+0",
            (param("after_key"), param("after_id")) if after else None,
        )

    def _tail(self, source: Source, after: bool, limit: str | None = None) -> str:
        parts = self._condition(source)
        key, id = self._key(source), self._id(source)
        if after:
            sign = "<" if self._direction else ">"
            place = self.dialect.param("after_id")
            if key is None:
                parts.append(f"{id}{sign}{place}")
            else:
                parts.append(f"({key},{id}){sign}({self.dialect.param('after_key')},{place})")
        told = key is not None and ("t." in key)  # the same for every row else, and a number would mean a column
        order = ",".join(f"{each}{self._direction}" for each in ((key, id) if told else (id,)))
        return f"WHERE {' AND '.join(parts)} ORDER BY {order} {limit or self.dialect.limit()}"

    @property
    def _direction(self) -> str:
        return " DESC" if self.query.order is not None and self.query.order.descending else ""

    def _condition(self, source: Source) -> list[str]:
        view = self.view_of(source)
        parts = [view.rows(source.arm, every_status=self.query.every_status, own=self.query.own)]
        compiler = Compiler(
            self.dialect, view.type, source.arm, self.codes, self._column(source), self._at(source), self.bindings
        )
        where = compiler.where(self.query.wheres[self._at(source)])
        return parts if where == TRUE else [*parts, where]

    def _columns(self, source: Source, key: str = "NULL", id: str | None = None) -> str:
        view = self.view_of(source)
        writer = Writer(self.dialect, view, source.arm, self.networks, self._column(source), self._gid(source))
        handling = "t.handling" if source.told else "0"
        return ",".join(
            (
                writer.object(self.shapes[self._at(source)]),
                key,
                id or self._id(source),
                self._gid(source),
                str(source.number),
                handling,
                self._origin_gid(source),
            )
        )

    def _origin_gid(self, source: Source) -> str:
        """The id of the network whose values stand in the row, where the ledger has to know it."""
        if not source.origin_above or self.networks is None:
            return "NULL"
        found = [origin_subquery("n.gid", self.networks, arm, "n", "t") for arm in self.networks.arms]
        return found[0] if len(found) == 1 else f"coalesce({','.join(found)})"

    @cached_property
    def counted(self) -> str | None:
        """The statement that counts matches up to the parameter `limit`; None where nothing can match."""
        selects = []
        for source in self.sources:
            condition = self._condition(source)
            if FALSE not in condition:
                selects.append(f"SELECT 1 AS one FROM {self._from(source)} WHERE {' AND '.join(condition)}")  # noqa: S608
        if not selects:
            return None
        return f"SELECT count(*) FROM ({' UNION ALL '.join(selects)} {self.dialect.limit()}) AS x"  # noqa: S608

    @cached_property
    def one(self) -> str | None:
        """The statement that gives one record by the parameter `one`: the id as shown, or its 16 bytes where ids are
        made for the viewer."""
        name = self.dialect.param("one")
        selects = [
            f"SELECT {self._columns(source)} FROM {self._from(source)} WHERE"  # noqa: S608
            f" {self._id(source) if self.pairwise else 't.gid'}={name} AND {' AND '.join(self._condition(source))}"
            for source in self.sources
        ]
        return f"{' UNION ALL '.join(selects)} LIMIT 1" if selects else None

    def _table(self, source: Source) -> str:
        return self.view_of(source).type.table

    def _from(self, source: Source) -> str:
        """The table; in a search on SQLite the text index goes first and leads to the rows, on PostgreSQL its column
        is one more condition."""
        table = self._table(source)
        if not self.query.search:
            return f"{table} t"
        name = self.dialect.param(self._match(source, "q", self._searched(self.view_of(source), source.arm)))
        if not self.dialect.sqlite:
            return f"(SELECT * FROM {table} WHERE fts @@ {name}::tsquery) t"  # noqa: S608
        fts = f"{table}_fts"
        return f"(SELECT rowid AS r FROM {fts} WHERE {fts} MATCH {name}) f CROSS JOIN {table} t ON t.rid=f.r"  # noqa: S608

    def _match(self, source: Source, prefix: str, searched: Sequence[tuple[str, str]]) -> str:
        """The parameter that asks the text index for words in these columns and in no others."""
        name = f"{prefix}{source.number}"
        every = searched_columns(source.type_key)
        columns = [column for _, column in searched]
        if self.dialect.sqlite:
            self.words[name] = lambda words: sqlite_match(columns, words)
        else:
            self.words[name] = lambda words: postgresql_match([every.index(column) for column in columns], words)
        return name

    @staticmethod
    def _searched(view: View, arm: Arm) -> list[tuple[str, str]]:
        """The searched fields that the arm sees, each with the column of the text index."""
        steps = arm.projection.steps
        return [
            (spec.name, f"{spec.name}__{steps[spec.name]}")
            for spec in view.type.fields.values()
            if spec.searched and spec.name in steps
        ]

    def _key(self, source: Source) -> str | None:
        """The sort key: a bound of the field that is ordered by, in a search whether it misses the title, or none."""
        order = self.query.order
        if order is not None:
            spec = self.view_of(source).type.fields.get(order.field)
            step = source.arm.projection.steps.get(order.field)
            if spec is None or step is None or not spec.sortable:
                return self.dialect.key_literal(self._unknown(order))
            return f"t.{spec.name}__{step}{'__hi' if order.descending else '__lo'}"
        return self._title_miss(source) if self.query.search else None

    def _unknown(self, order: OrderBy) -> str | int:
        return (UNKNOWN_NUMBER if self.numeric_key else UNKNOWN_TEXT)[int(order.descending)]

    @cached_property
    def numeric_key(self) -> bool:
        """Whether the field that is ordered by has bounds that are numbers."""
        order = self.query.order
        return order is not None and any(
            numeric(view.type.fields[order.field]) for view in self.views if order.field in view.type.fields
        )

    def _title_miss(self, source: Source) -> str:
        titles = [each for each in self._searched(self.view_of(source), source.arm) if each[0] in TITLES]
        if not titles:
            return "1"
        name = self.dialect.param(self._match(source, "h", titles))
        if not self.dialect.sqlite:
            return f"CASE WHEN t.fts @@ {name}::tsquery THEN 0 ELSE 1 END"
        fts = f"{self._table(source)}_fts"
        return f"CASE WHEN t.rid IN (SELECT rowid FROM {fts} WHERE {fts} MATCH {name}) THEN 0 ELSE 1 END"  # noqa: S608

    def _id(self, source: Source) -> str:
        return id_of(self.dialect, self.view_of(source))

    def _gid(self, source: Source) -> str:
        return gid_of(self.dialect, self.view_of(source))

    def _column(self, source: Source) -> Callable[[str], str]:
        return column_of(self.dialect, self.view_of(source))


def mask_of(view: View, arm: Arm, names: Collection[str]) -> int:
    """The bits of the steps in which an arm shows some fields."""
    steps = arm.projection.steps
    return sum(
        1 << bit for bit, (name, step) in enumerate(bits(view.type)) if name in names and steps.get(name) == step
    )


def numeric(spec: FieldSpec) -> bool:
    """Whether the bounds of a sortable field are numbers; they are texts otherwise."""
    return any(column.suffix == "__lo" and column.sql == "int" for column in spec.kind.layout)


def parameters(relation: Relation, values: Sequence[Sequence[Any]], words: Sequence[str]) -> dict[str, Any]:
    """The parameters of a relation's statements: converted values of the filters' conditions for each view, and the
    search words. Raises BadInput for a value that no database could compare."""
    found: dict[str, Any] = {}
    for binding in relation.bindings.values():
        found[binding.name] = binding.convert(values[binding.view][binding.at])
    for name, make in relation.words.items():
        found[name] = make(words)
    return found


def fetch(
    connection: Any, relation: Relation, statement: str | None, values: Mapping[str, Any]
) -> list[tuple[Any, ...]]:
    """What a statement of the relation gives on a raw reader; nothing for one that can match nothing.

    Searches are planned with their words in sight: PostgreSQL's plan for any words would not use the text index well.
    """
    if statement is None:
        return []
    if relation.dialect.sqlite:
        if relation.pairwise:
            add_functions(connection)
        return connection.execute(statement, values).fetchall()
    return connection.execute(statement, values, prepare=False if relation.query.search else None).fetchall()
