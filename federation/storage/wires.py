"""The wire form of values, written in SQL: for each visible field its finest visible step and every coarser one, as
the kinds state them in Python. A step that is withheld or unknown is left out."""

from __future__ import annotations

from collections.abc import Callable

from federation.records.base import FieldSpec
from federation.records.places import ANCESTOR_COLUMNS
from federation.records.rows import null_test
from federation.storage.dialect import Dialect
from federation.storage.shapes import PARTS, part_column
from federation.storage.view import Arm, View

Column = Callable[[str], str]


def values_json(sql: Dialect, view: View, arm: Arm, column: Column) -> str:
    """The expression of `{field: {step: value}}` of a row of the arm, compact; fields without a value are left out."""
    fields = []
    for name, steps in wire_steps(view, arm):
        spec = view.type.fields[name]
        members = [_step(sql, spec, step, column, first=at == 0) for at, step in enumerate(steps)]
        known = column(f"{name}__{steps[0]}{null_test(spec.kind)}")
        whole = sql.concat([sql.literal(f',"{name}":{{'), *members, "'}'"])
        fields.append(f"CASE WHEN {known} IS NULL THEN '' ELSE {whole} END")
    return sql.concat(["'{'", f"substr({sql.concat(fields)},2)", "'}'"])


def wire_steps(view: View, arm: Arm) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """For each field that the arm shows the steps that go on the wire, finest first."""
    found = []
    for name, finest in arm.projection.steps.items():
        names = [step.name for step in view.type.fields[name].open_steps]
        found.append((name, tuple(names[names.index(finest) :])))
    return tuple(found)


def _step(sql: Dialect, spec: FieldSpec, step: str, column: Column, *, first: bool) -> str:
    base = f"{spec.name}__{step}"
    written = sql.concat([sql.literal(f'{"" if first else ","}"{step}":'), wire(sql, spec, base, column)])
    return written if first else f"CASE WHEN {column(base + null_test(spec.kind))} IS NULL THEN '' ELSE {written} END"


def wire(sql: Dialect, spec: FieldSpec, base: str, column: Column) -> str:
    """The wire form of a step value that is known."""
    kind, main = spec.kind.name, column(base)
    suffixes = {each.suffix for each in spec.kind.layout}
    if kind == "text":
        told, whole = column(f"{base}__tr"), sql.json(main)
        translated = sql.concat(["'{\"text\":'", whole, "',\"tr\":'", told, "'}'"])
        return f"CASE WHEN {told} IS NULL THEN {whole} ELSE {translated} END"
    if kind == "code" and "__up" in suffixes:
        up = column(f"{base}__up")
        return sql.concat(["'[\"'", f"replace(substr({up},2,length({up})-2),'|','\",\"')", "'\"]'"])
    if kind == "codes":
        return sql.json_held(main)
    if kind == "flag":
        return sql.json_flag(main)
    if kind == "place":
        return _place(sql, base, column)
    if kind in PARTS:
        parts = []
        for at, part in enumerate(PARTS[kind]):
            parts += [f"'{'{' if at == 0 else ','}\"{part}\":'", sql.json(column(base + part_column(kind, part)))]
        return sql.concat([*parts, "'}'"])
    return sql.json(main)


def _place(sql: Dialect, base: str, column: Column) -> str:
    """A place and the areas that hold it, finest first."""
    code = column(f"{base}__code")
    holders = []
    for suffix, _ in reversed(ANCESTOR_COLUMNS):
        each = column(base + suffix)
        next_one = sql.concat(["','", sql.json(each)])
        holders.append(f"CASE WHEN {each}<>{code} THEN {next_one} ELSE '' END")
    return sql.concat(["'['", sql.json(code), *holders, "']'"])
