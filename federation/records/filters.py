"""Conditions on records, as a tree. What may be asked of which kind of field; never what a viewer may see of it."""

# ruff: noqa: ARG001  (one signature for the values of all kinds)
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from typing import Any, TypeAlias

from federation.errors import BadInput
from federation.records.base import FieldSpec, RecordType
from federation.records.kinds import Context, standard_context
from federation.records.syntax import LIST_CAP, accepted_code, accepted_tag, iso_day

MOST_CONDITIONS = 60
DEEPEST = 8
SURELY_KINDS = ("period", "amount", "count")
"""Kinds with bounds: a filter means that the value may match, with `surely` that all of it does."""


@dataclass(frozen=True)
class And:
    """All of its items hold; without items it always holds."""

    items: tuple[Filter, ...]


@dataclass(frozen=True)
class Or:
    """One of its items holds; without items it never holds."""

    items: tuple[Filter, ...]


@dataclass(frozen=True)
class Not:
    """Its item does not hold."""

    item: Filter


@dataclass(frozen=True)
class Cond:
    """One condition on one field: an operation that the field's kind knows, and its value."""

    field: str
    op: str
    value: Any
    surely: bool = False


Filter: TypeAlias = And | Or | Not | Cond


def checked(where: Filter, record_type: RecordType, context: Context | None = None) -> Filter:
    """The same filter with values in normal form: dates as ISO days, amounts as Decimal in EUR, codes and tags as
    stored, lists as tuples. BadInput with the field for an unknown field, operation or value, or a tree too large."""
    if len(conditions(where)) > MOST_CONDITIONS:
        raise BadInput(f"A filter can have at most {MOST_CONDITIONS} conditions.")
    return _checked(where, record_type, context or standard_context(), 1)


def conditions(where: Filter) -> tuple[Cond, ...]:
    """All conditions of a filter, from left to right."""
    if isinstance(where, Cond):
        return (where,)
    if isinstance(where, Not):
        return conditions(where.item)
    return tuple(each for item in where.items for each in conditions(item))


def fields_of(where: Filter) -> frozenset[str]:
    """The names of all fields that a filter names."""
    return frozenset(each.field for each in conditions(where))


def _checked(where: Filter, record_type: RecordType, context: Context, depth: int) -> Filter:
    if depth > DEEPEST:
        raise BadInput(f"A filter can be at most {DEEPEST} levels deep.")
    if isinstance(where, Not):
        return Not(_checked(where.item, record_type, context, depth + 1))
    if isinstance(where, (And, Or)):
        return replace(where, items=tuple(_checked(item, record_type, context, depth + 1) for item in where.items))
    spec = record_type.fields.get(where.field)
    if spec is None or not spec.filterable:
        raise BadInput(f"{record_type.graphql} cannot be filtered by {where.field[:60]}.", field=where.field[:60])
    if where.op not in spec.kind.filters:
        raise BadInput(f"{where.field} has no filter {where.op[:30]}.", field=where.field)
    if where.surely and spec.kind.name not in SURELY_KINDS:
        raise BadInput(f"{where.field} has no bounds that could be surely met.", field=where.field)
    try:
        return replace(where, value=_value(spec, where.op, where.value, context))
    except BadInput as error:
        raise BadInput(f"{where.field}: {error.message}", field=where.field) from None


def _value(spec: FieldSpec, op: str, value: Any, context: Context) -> Any:
    if op == "is_null":
        return _flag(value)
    one = _ONE[spec.kind.name]
    if op in ("in", "not_in", "has_any", "has_all"):
        if not isinstance(value, (list, tuple)) or len(value) > LIST_CAP:
            raise BadInput(f"This must be a list of at most {LIST_CAP} values.")
        return tuple(dict.fromkeys(one(spec, each, context) for each in value))
    return one(spec, value, context)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise BadInput("This must be true or false.")
    return value


def _text(spec: FieldSpec, value: Any, context: Context) -> str:
    if not isinstance(value, str) or len(value) > 2000:
        raise BadInput("This must be a text of at most 2000 characters.")
    return value


def _code(spec: FieldSpec, value: Any, context: Context) -> str:
    """A code as stored; a constant in capitals, as GraphQL writes them, is its code in small letters."""
    codes = getattr(spec.kind, "codes", None)
    if codes == "language":
        if not isinstance(value, str):
            raise BadInput("This must be a language tag.")
        head, dash, rest = value.partition("-")
        return accepted_tag(context.codes.primary(head) + dash + rest)
    code = accepted_code(value)
    if codes is not None and not context.codes.known(codes, code) and context.codes.known(codes, code.lower()):
        return code.lower()
    return code


def _whole(spec: FieldSpec, value: Any, context: Context) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not -(2**53) <= value <= 2**53:
        raise BadInput("This must be a whole number.")
    return value


def _euros(spec: FieldSpec, value: Any, context: Context) -> Decimal:
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or not 0 <= amount < 10**15:
        raise BadInput("This must be an amount in EUR, like 5000 or 99.50.")
    return amount


def _day(spec: FieldSpec, value: Any, context: Context) -> str:
    return iso_day(value).isoformat()


_ONE: dict[str, Callable[[FieldSpec, Any, Context], Any]] = {
    "text": _text,
    "string": _text,
    "url": _text,
    "code": _code,
    "codes": _code,
    "place": _code,
    "flag": lambda _spec, value, _context: _flag(value),
    "whole": _whole,
    "count": _whole,
    "amount": _euros,
    "day": _day,
    "period": _day,
}
