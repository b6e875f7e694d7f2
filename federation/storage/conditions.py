"""Filters over projected columns: a tree of conditions becomes SQL with parameters, for one arm at a time.

Unknown matches nothing, neither a condition nor its negation; so does every condition on a field that the arm
withholds, and a place finer than its step, without a look at the data. Values of callers are parameters only.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from federation.errors import BadInput
from federation.records.base import FieldSpec, RecordType
from federation.records.codes import RANKS, CodeLists
from federation.records.filters import MOST_CONDITIONS, And, Cond, Filter, Not, checked, conditions
from federation.records.kinds import UNBOUNDED, Context
from federation.records.places import ANCESTOR_COLUMNS
from federation.records.rows import null_test
from federation.storage.dialect import Dialect
from federation.storage.view import Arm

TRUE, FALSE = "1=1", "1=0"
LISTS = frozenset({"in", "not_in", "has_any", "has_all"})
RANGES = frozenset({"from", "to", "at_least", "at_most"})
MOST_LISTED = 200
"""So many entries may all lists of one filter have: each is a condition of its own."""
_LEVEL_COLUMNS = {level: suffix for suffix, level in ANCESTOR_COLUMNS}


@dataclass(frozen=True)
class Binding:
    """How the value of one condition becomes a parameter: of which view's filter, its place in the tree, and how."""

    name: str
    view: int
    at: int
    convert: Callable[[Any], Any]


def normalised(where: Filter | None, types: Sequence[RecordType], context: Context) -> tuple[Filter | None, ...]:
    """The filter for each type, values in normal form. Raises BadInput for a field that none of the types can be
    filtered by, for an operation or value that a field does not take, and for a list without entries."""
    if where is None:
        return (None,) * len(types)
    every = conditions(where)
    if len(types) == 1 or len(every) > MOST_CONDITIONS:
        found: tuple[Filter, ...] = tuple(checked(where, record_type, context) for record_type in types)
    else:
        for cond in every:
            if not any(_filterable(cond.field, record_type) for record_type in types):
                checked(cond, types[0], context)
        found = tuple(_for_type(where, record_type, context) for record_type in types)
    lists = [cond for cond in every if cond.op in LISTS]
    for cond in lists:
        if not cond.value:
            raise BadInput("A list in a filter needs at least one entry.", field=cond.field)
    if sum(len(cond.value) for cond in lists) > MOST_LISTED:
        raise BadInput(f"The lists of a filter can have at most {MOST_LISTED} entries in all.", field=lists[0].field)
    return found


def _filterable(name: str, record_type: RecordType) -> bool:
    return name in record_type.fields and record_type.fields[name].filterable


def _for_type(where: Filter, record_type: RecordType, context: Context) -> Filter:
    """The filter with the conditions that the type knows in normal form; the others stay, and match nothing."""
    if isinstance(where, Cond):
        return checked(where, record_type, context) if _filterable(where.field, record_type) else where
    if isinstance(where, Not):
        return Not(_for_type(where.item, record_type, context))
    return replace(where, items=tuple(_for_type(item, record_type, context) for item in where.items))


def structure(where: Filter | None, codes: CodeLists) -> Hashable:
    """What of a filter shapes its SQL: everything but the values; of a list its length, of an area its level.

    Raises BadInput for an area that is not known.
    """
    if where is None:
        return None
    if isinstance(where, Cond):
        return (where.field, where.op, where.surely, _bulk(where, codes))
    if isinstance(where, Not):
        return ("not", structure(where.item, codes))
    return (type(where).__name__, tuple(structure(item, codes) for item in where.items))


def _bulk(cond: Cond, codes: CodeLists) -> Any:
    if cond.op in LISTS:
        return len(cond.value)
    if cond.op == "is_null":
        return bool(cond.value)
    if cond.op == "within":
        area = codes.area(cond.value)
        if area is None:
            raise BadInput("There is no area with this code.", field=cond.field)
        return area.level
    return None


def conjuncts(where: Filter | None) -> Iterator[Cond]:
    """The conditions that every match must meet: those not under `or` or `not`."""
    if isinstance(where, Cond):
        yield where
    elif isinstance(where, And):
        for item in where.items:
            yield from conjuncts(item)


@dataclass
class Compiler:
    """Turns filters into SQL for the rows of one arm, and gathers the bindings of their values. `number` tells the
    parameters of one type from those of another."""

    dialect: Dialect
    type: RecordType
    arm: Arm
    codes: CodeLists
    column: Callable[[str], str]
    number: int = 0
    bindings: dict[str, Binding] = field(default_factory=dict)
    _at: int = 0

    def where(self, where: Filter | None) -> str:
        """The condition of a filter over the columns of the arm; conditions are numbered from 0."""
        self._at = 0
        return TRUE if where is None else self._node(where, True)

    def _node(self, node: Filter, wanted: bool) -> str:
        """SQL that is true where the node is known to be `wanted`. Negation is pushed down to the conditions."""
        if isinstance(node, Cond):
            at = self._at
            self._at += 1
            return self._cond(node, at, wanted)
        if isinstance(node, Not):
            return self._node(node.item, not wanted)
        every = isinstance(node, And) == wanted
        parts = [self._node(item, wanted) for item in node.items]
        if not every:
            parts = [part for part in parts if part != FALSE]
            return "(" + " OR ".join(parts) + ")" if parts else FALSE
        if FALSE in parts:
            return FALSE
        parts = [part for part in parts if part != TRUE]
        return "(" + " AND ".join(parts) + ")" if parts else TRUE

    def _cond(self, cond: Cond, at: int, wanted: bool) -> str:
        spec = self.type.fields.get(cond.field)
        step = None if spec is None else self.arm.projection.steps.get(cond.field)
        if spec is None or step is None or not spec.filterable or cond.op not in spec.kind.filters:
            return FALSE
        base = f"{spec.name}__{step}"
        if cond.op == "is_null":
            empty = "IS NULL" if cond.value == wanted else "IS NOT NULL"
            return f"{self.column(base + null_test(spec.kind))} {empty}"
        if cond.op in RANGES:
            return self._range(spec, base, cond, at, wanted)
        if cond.op == "within":
            return self._within(base, step, cond, at, wanted)
        if cond.op in ("has", "has_any", "has_all"):
            return self._has(base, cond, at, wanted)
        return self._equal(spec, base, cond, at, wanted)

    def _equal(self, spec: FieldSpec, base: str, cond: Cond, at: int, wanted: bool) -> str:
        """eq, in, not_in. In a tree of codes, `in` and `not_in` mean a code or anything beneath it."""
        if cond.op == "not_in":
            wanted = not wanted
        if cond.op != "eq" and spec.kind.name == "code" and "__up" in [c.suffix for c in spec.kind.layout]:
            return self._any_beneath(base, cond, at, wanted)
        column = self.column(base + null_test(spec.kind))
        if cond.op == "eq":
            convert = int if spec.kind.name in ("flag", "whole") else word
            return f"{column}{'=' if wanted else '<>'}{self._bind(at, '', convert)}"
        names = ",".join(self._bind(at, str(n), _member(n, word)) for n in range(len(cond.value)))
        return f"{column} {'IN' if wanted else 'NOT IN'} ({names})"

    def _has(self, base: str, cond: Cond, at: int, wanted: bool) -> str:
        if cond.op == "has":
            return self._beneath(base, self._bind(at, "up", barred), wanted)
        if cond.op == "has_any":
            return self._any_beneath(base, cond, at, wanted)
        return self._each_beneath(base, cond, at, wanted, " AND " if wanted else " OR ")

    def _any_beneath(self, base: str, cond: Cond, at: int, wanted: bool) -> str:
        return self._each_beneath(base, cond, at, wanted, " OR " if wanted else " AND ")

    def _each_beneath(self, base: str, cond: Cond, at: int, wanted: bool, word_between: str) -> str:
        names = [self._bind(at, f"up{n}", _member(n, barred)) for n in range(len(cond.value))]
        return "(" + word_between.join(self._beneath(base, name, wanted) for name in names) + ")"

    def _beneath(self, base: str, name: str, wanted: bool) -> str:
        return f"{self.dialect.position(self.column(base + '__up'), name)}{'>' if wanted else '='}0"

    def _within(self, base: str, step: str, cond: Cond, at: int, wanted: bool) -> str:
        """Surely within: equality on the column of the level. Finer than the step matches nothing at all."""
        level = _bulk(cond, self.codes)
        code = self.column(f"{base}__code")
        if level == "world":
            return f"{code} IS NOT NULL" if wanted else FALSE
        if RANKS[level] < RANKS.get(step, 0):
            return FALSE
        name = self._bind(at, "area", word)
        if level == "local":
            return f"{code}{'=' if wanted else '<>'}{name}"
        column = self.column(base + _LEVEL_COLUMNS[level])
        if wanted or level != "m49":
            return f"{column}{'=' if wanted else '<>'}{name}"
        sub = self.column(f"{base}__sub")  # some sub-regions have no m49 level between them and their region
        return f"({column}<>{name} OR ({column} IS NULL AND {sub} IS NOT NULL))"

    def _range(self, spec: FieldSpec, base: str, cond: Cond, at: int, wanted: bool) -> str:
        """Intervals: a condition means `may` (overlap), with surely `contained`. Unknown bounds meet neither."""
        convert: Callable[[Any], Any] = _BOUNDS.get(spec.kind.name, str)
        lo, hi = self.column(f"{base}__lo"), self.column(f"{base}__hi")
        name = self._bind(at, "", convert)
        textual = convert is str
        above, below = (f"{lo}<'~'", f"{hi}>''") if textual else (f"{lo}<={UNBOUNDED}", f"{hi}>=0")
        if cond.op in ("from", "at_least"):
            if cond.surely:
                return f"({lo}>={name} AND {above})" if wanted else f"{lo}<{name}"
            return f"{hi}>={name}" if wanted else f"({hi}<{name} AND {below})"
        if cond.surely:
            return f"({hi}<={name} AND {below})" if wanted else f"{hi}>{name}"
        return f"{lo}<={name}" if wanted else f"({lo}>{name} AND {above})"

    def _bind(self, at: int, mark: str, convert: Callable[[Any], Any]) -> str:
        name = f"f{self.number}_{at}{mark and '_'}{mark}"
        self.bindings[name] = Binding(name, self.number, at, convert)
        return self.dialect.param(name)


def word(value: str) -> str:
    """A text that both databases can compare, or BadInput."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise BadInput("This is not a text.", field="where") from None
    if "\0" in value:
        raise BadInput("This is not a text.", field="where")
    return value


def barred(value: str) -> str:
    """A code in the form in which closures are matched: `|code|`."""
    return f"|{value}|"


def number(value: int) -> int:
    """A bound of a number: below zero counts as zero, so that it never meets the bounds of what is unknown."""
    return max(value, 0)


def cents(value: Decimal) -> int:
    """An amount in EUR as whole cents."""
    return int(value * 100)


def _member(n: int, convert: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: convert(value[n])


_BOUNDS: Mapping[str, Callable[[Any], int]] = {"amount": cents, "count": number, "whole": number}
