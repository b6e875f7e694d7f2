"""What is asked of each record: a shape, and the SQL that writes one JSON text for it from projected columns.

A field that the projection withholds becomes a literal null: its columns are not named. Values are never compared
here; the only question asked of them is whether they are NULL.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TypeAlias

from federation.errors import BadInput
from federation.policies.tiers import HANDLING_LABELS, Tier
from federation.records.base import FieldSpec
from federation.records.rows import null_test
from federation.storage.dialect import Dialect
from federation.storage.view import Arm, View

_LANGUAGE = re.compile(r"[A-Za-z]{1,8}(-[A-Za-z0-9]{1,8}){0,6}")
NAME_MARK = "\x1f"
"""Stands around `language:code` where the name of a place is to be put; JSON texts never hold it unescaped."""


@dataclass(frozen=True)
class ShapeField:
    """One member of the JSON: `key` as the caller names it, `field` of the record (or `__typename`, `id`, `type`,
    `status`, `handling`, `origin`). `language`: the translation that is wanted, and the language of place names.
    `parts`: members (key, part) of a composite value. `nested`: the shape of the network behind `origin`.
    `capitals`: a code, or a list of codes, is written in capitals."""

    key: str
    field: str
    language: str | None = None
    parts: tuple[tuple[str, str], ...] | None = None
    nested: Shape | None = None
    capitals: bool = False


Shape: TypeAlias = tuple[ShapeField, ...]
ID_ONLY: Shape = (ShapeField("id", "id"),)

FACTS = frozenset({"__typename", "id", "type", "status", "handling", "origin"})
PARTS: Mapping[str, tuple[str, ...]] = {
    "period": ("start", "end", "precision"),
    "amount": ("minimum", "maximum", "currency", "precision"),
    "count": ("minimum", "maximum", "precision"),
    "place": ("code", "level"),
}
"""The parts of composite kinds that are written where none are named."""

_COLUMNS: Mapping[str, Mapping[str, str]] = {
    "period": {"start": "__lo", "end": "__hi", "precision": "__p"},
    "amount": {"minimum": "__min", "maximum": "__max", "currency": "__cur", "precision": "__p"},
    "count": {"minimum": "__min", "maximum": "__max", "precision": "__p"},
    "place": {"code": "__code"},
    "contact": {"relay": ""},
}


def part_column(kind: str, part: str) -> str:
    """The suffix of the column that holds a part of a composite value."""
    return _COLUMNS[kind][part]


def fields_of(shape: Shape) -> frozenset[str]:
    """The record fields that a shape asks for, without nested ones."""
    return frozenset(each.field for each in shape)


class Told(str):
    """JSON text that is known beforehand, beside SQL expressions of JSON text."""

    __slots__ = ()


NULL = Told("null")


class Writer:
    """Writes the JSON of the records of one arm. `id` gives the SQL of the shown id of an alias, `column` that of a
    column, `network` the view of the networks behind `origin` (None: the origin is not told)."""

    def __init__(
        self,
        dialect: Dialect,
        view: View,
        arm: Arm,
        network: View | None,
        column: Callable[[str], str],
        gid: str,
        alias: str = "t",
    ) -> None:
        self._sql = dialect
        self._view = view
        self._arm = arm
        self._network = network
        self._column = column
        self._gid = gid
        self._alias = alias

    def object(self, shape: Shape) -> str:
        """The expression of one compact JSON object. Raises BadInput for what the type does not have."""
        pieces: list[str] = []
        for at, member in enumerate(shape):
            pieces.append(Told(f"{',' if at else '{'}{json.dumps(member.key, ensure_ascii=False)}:"))
            pieces += self._member(member)
        return self._joined([*pieces, Told("}" if pieces else "{}")])

    def _joined(self, pieces: Sequence[str]) -> str:
        """Pieces one after the other, texts that are known beforehand as one literal."""
        parts: list[str] = []
        for known, group in groupby(pieces, lambda piece: isinstance(piece, Told)):
            several = list(group)
            parts += [self._sql.literal("".join(several))] if known else several
        return self._sql.concat(parts)

    def _member(self, member: ShapeField) -> tuple[str, ...]:
        """The pieces of the value of a member."""
        if member.field in FACTS:
            return self._fact(member)
        spec = self._view.type.fields.get(member.field)
        if spec is None:
            raise BadInput(f"{self._view.type.graphql} has no field {member.field[:60]}.", field=member.field[:60])
        step = self._arm.projection.steps.get(spec.name)
        return (NULL if step is None else self._value(spec, f"{spec.name}__{step}", member),)

    def _fact(self, member: ShapeField) -> tuple[str, ...]:
        kind = self._view.type
        if member.field == "__typename":
            return (Told(f'"{kind.graphql}"'),)
        if member.field == "type":
            return (Told(f'"{kind.table.upper()}"'),)
        if member.field == "id":
            return (Told('"'), self._gid, Told('"'))
        if member.field == "status":
            return (Told('"'), f"upper({self._alias}.status)", Told('"'))
        return (self._handling() if member.field == "handling" else self._origin(member.nested or ID_ONLY),)

    def _handling(self) -> str:
        clearance = self._arm.projection.clearance
        if clearance is None or clearance < Tier.COMMUNITY:
            return NULL
        labels = " ".join(f"WHEN {at} THEN '\"{label}\"'" for at, label in enumerate(HANDLING_LABELS))
        return f"CASE {self._alias}.handling {labels} END"

    def _origin(self, shape: Shape) -> str:
        """The network of the record's origin, through the viewer's own view of networks: one subquery an arm."""
        if self._network is None or self._view.pairwise:
            return NULL
        depth = f"n{len(self._alias)}" if self._alias != "t" else "n"
        found = [self._one_origin(self._network, arm, depth, shape) for arm in self._network.arms]
        return f"coalesce({','.join(found)},'null')" if found else NULL

    def _one_origin(self, network: View, arm: Arm, alias: str, shape: Shape) -> str:
        inner = Writer(self._sql, network, arm, network, lambda name: f"{alias}.{name}", f"{alias}.gid", alias).object(
            shape
        )
        return origin_subquery(inner, network, arm, alias, self._alias)

    def _value(self, spec: FieldSpec, column: str, member: ShapeField) -> str:
        kind = spec.kind.name
        if kind in PARTS or (kind == "contact" and member.parts):
            return self._composite(spec, column, member)
        main = self._column(column)
        if member.capitals:
            main = f"upper({main})"
        if kind == "text" and member.language:
            return self._sql.json(f"coalesce({self._translation(column, member.language)},{main})")
        if kind == "codes":
            return self._sql.json_held(main)
        if kind == "flag":
            return self._sql.json_flag(main)
        return self._sql.json(main)

    def _translation(self, column: str, language: str) -> str:
        """The translation in the language, or in its primary subtag."""
        checked = _language(language)
        return self._sql.member(self._column(f"{column}__tr"), list(dict.fromkeys((checked, checked.split("-")[0]))))

    def _composite(self, spec: FieldSpec, column: str, member: ShapeField) -> str:
        known = self._column(column + null_test(spec.kind))
        pieces: list[str] = []
        for key, part in member.parts or tuple((each, each) for each in PARTS[spec.kind.name]):
            pieces += [Told(f"{',' if pieces else '{'}{json.dumps(key, ensure_ascii=False)}:")]
            pieces += self._part(spec, column, part, member.language)
        return f"CASE WHEN {known} IS NULL THEN 'null' ELSE {self._joined([*pieces, Told('}')])} END"

    def _part(self, spec: FieldSpec, column: str, part: str, language: str | None) -> tuple[str, ...]:
        kind = spec.kind.name
        part, _, wanted = part.partition(":")
        if part == "__typename":
            return (Told(f'"{spec.kind.graphql}"'),)
        if kind == "contact" and part == "address":
            return (NULL,)  # a sealed part: it has no column
        if kind == "place" and part == "level":
            return (Told('"'), f"upper({self._column(column + '__level')})", Told('"'))
        if kind == "place" and part == "name":
            mark = f"{NAME_MARK}{_language(wanted or language or 'en')}:"
            return (Told(mark), self._column(f"{column}__code"), Told(NAME_MARK))
        suffix = _COLUMNS.get(kind, {}).get(part)
        if suffix is None:
            raise BadInput(f"{spec.kind.graphql} has no part {part[:60]}.", field=spec.name)
        return (self._sql.json(self._column(column + suffix)),)


def origin_subquery(inner: str, network: View, arm: Arm, alias: str, outer: str) -> str:
    """One value of the network behind the origin of a row, or NULL: the first by its random id."""
    rows = f"{alias}.origin={outer}.origin AND {network.rows(arm, alias=alias)}"
    return f"(SELECT {inner} FROM {network.type.table} {alias} WHERE {rows} ORDER BY {alias}.id LIMIT 1)"  # noqa: S608


def _language(tag: str) -> str:
    """A language tag that may stand in SQL, in its usual case, or BadInput."""
    if not _LANGUAGE.fullmatch(tag):
        raise BadInput("This must be a language tag like sw, pt-BR or zh-Hant.", field="language")
    head, *rest = tag.split("-")
    shaped = [{2: each.upper(), 4: each.title()}.get(len(each), each.lower()) for each in rest]
    return "-".join([head.lower(), *shaped])
