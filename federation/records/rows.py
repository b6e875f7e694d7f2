"""From documents and received values to stored step columns, and the mask of what changed between two rows.

A column holds the value at its step, or coarser where capped or held coarser; it must never hold a finer one, and a
sealed step has no column at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from federation.errors import BadInput
from federation.policies.tiers import Tier
from federation.records.base import RecordType
from federation.records.kinds import Cell, ColumnSpec, Context, Kind
from federation.records.texts import search_words

__all__ = [
    "Column",
    "accept_values",
    "assign_relays",
    "bits",
    "columns",
    "mask",
    "received_columns",
    "search_words",
    "step_columns",
    "step_values",
    "unknown_columns",
]

Caps = Mapping[str, str | None]
Values = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Column:
    """One stored column of a type: its whole name, and the field and step of which it holds a part."""

    name: str
    field: str
    step: str
    spec: ColumnSpec


@dataclass(frozen=True)
class _Held:
    """The steps of one field that have columns, with the names of those columns and the cells that mean unknown."""

    name: str
    kind: Kind
    steps: tuple[str, ...]
    names: tuple[tuple[str, ...], ...]
    unknown: tuple[Cell, ...]
    own_step_only: bool


@lru_cache(maxsize=64)
def _plan(record_type: RecordType) -> tuple[_Held, ...]:
    return tuple(
        _Held(
            name=spec.name,
            kind=spec.kind,
            steps=tuple(step.name for step in spec.open_steps),
            names=tuple(
                tuple(f"{spec.name}__{step.name}{column.suffix}" for column in spec.kind.columns(step.name))
                for step in spec.open_steps
            ),
            unknown=tuple(
                spec.kind.cells(None, spec.open_steps[0].name, None),  # type: ignore[arg-type]
            ),
            own_step_only=len(spec.open_steps) == 1,
        )
        for spec in record_type.fields.values()
        if spec.open_steps
    )


@lru_cache(maxsize=64)
def columns(record_type: RecordType) -> tuple[Column, ...]:
    """All step columns of a type in their stored order."""
    return tuple(
        Column(f"{spec.name}__{step.name}{each.suffix}", spec.name, step.name, each)
        for spec in record_type.fields.values()
        for step in spec.open_steps
        for each in spec.kind.columns(step.name)
    )


@lru_cache(maxsize=64)
def bits(record_type: RecordType) -> tuple[tuple[str, str], ...]:
    """(field, step) of each bit of a mask: the steps that have columns, in registry order."""
    return tuple((held.name, step) for held in _plan(record_type) for step in held.steps)


@lru_cache(maxsize=64)
def _unknown(record_type: RecordType) -> Mapping[str, Cell]:
    return {
        name: cell
        for held in _plan(record_type)
        for names in held.names
        for name, cell in zip(names, held.unknown, strict=True)
    }


def unknown_columns(record_type: RecordType) -> dict[str, Cell]:
    """The step columns of a row of which nothing is known."""
    return dict(_unknown(record_type))


def step_columns(
    record_type: RecordType, document: Mapping[str, Any], caps: Caps | None, context: Context
) -> dict[str, Cell]:
    """The step columns of an own record from its home document (as `RecordType.normalise` gives it).

    `caps` names for some fields the finest step that may leave, or None for nothing: finer columns hold that step.
    """
    row = dict(_unknown(record_type))
    for held in _plan(record_type):
        value = _home_value(held, document)
        if value is None:
            continue
        first = _first(record_type, held, caps)
        if first is None:
            continue
        kind = held.kind
        cells: tuple[Cell, ...] | None = None
        for position, names in enumerate(held.names):
            if cells is None or position > first:
                step = held.steps[max(position, first)]
                told = kind.generalise(value, step, context)
                cells = held.unknown if told is None else kind.cells(told, step, context)
            row.update(zip(names, cells, strict=True))
    return row


def step_values(
    record_type: RecordType, document: Mapping[str, Any], caps: Caps | None, context: Context
) -> dict[str, dict[str, Any]]:
    """The step values (wire forms) of an own record by field and step, without those that are unknown or withheld:
    what an origin signs and sends. Same rules as `step_columns`."""
    result: dict[str, dict[str, Any]] = {}
    for held in _plan(record_type):
        value = _home_value(held, document)
        first = None if value is None else _first(record_type, held, caps)
        if first is None:
            continue
        told = {
            step: held.kind.generalise(value, held.steps[max(position, first)], context)
            for position, step in enumerate(held.steps)
        }
        known = {step: each for step, each in told.items() if each is not None}
        if known:
            result[held.name] = known
    return result


def received_columns(record_type: RecordType, values: Values, caps: Caps | None, context: Context) -> dict[str, Cell]:
    """The step columns of a received record from values that `accept_values` has passed.

    A step that is finer than what was received holds the finest received; a coarser one that was not received is
    derived. Small cells are the origin's matter: what it told is kept as told, or a signature would not hold.
    """
    told_as_is = Context(context.codes)
    row = dict(_unknown(record_type))
    for held in _plan(record_type):
        received = values.get(held.name)
        if not received:
            continue
        first = _first(record_type, held, caps)
        if first is None:
            continue
        kind = held.kind
        if held.own_step_only:
            row.update(zip(held.names[0], kind.cells(received[held.steps[0]], held.steps[0], context), strict=True))
            continue
        cells: tuple[Cell, ...] | None = None
        for position, names in enumerate(held.names):
            if cells is None or position > first:
                step = held.steps[max(position, first)]
                told = _told(held, received, max(position, first), told_as_is)
                cells = held.unknown if told is None else kind.cells(told, step, context)
            row.update(zip(names, cells, strict=True))
    return row


def accept_values(record_type: RecordType, wire: object, context: Context) -> dict[str, dict[str, Any]]:
    """Values by field and step as they came from a peer, checked and unchanged.

    BadInput with the field for an unknown field or step, a sealed step, or a value that is malformed or finer than
    its step.
    """
    if not isinstance(wire, dict) or not wire:
        raise BadInput("A record comes with its values by field and step.")
    plan = _by_name(record_type)
    for name, steps in wire.items():
        held = plan.get(name)
        if held is None or not isinstance(steps, dict) or not steps:
            raise BadInput("This type has no such field that could be received.", field=str(name)[:60])
        for step, value in steps.items():
            if step not in held.steps:
                raise BadInput("This field has no such step that could be received.", field=name)
            try:
                held.kind.accept(value, step, context)
            except BadInput as error:
                raise BadInput(error.message, field=name) from None
    return wire


def mask(record_type: RecordType, before: Mapping[str, Cell], after: Mapping[str, Cell]) -> int:
    """Which steps differ between two rows of step columns: bit i is `bits(record_type)[i]`. An empty row, and a
    column that is missing, is unknown."""
    unknown = _unknown(record_type)
    result, bit = 0, 1
    for held in _plan(record_type):
        for names in held.names:
            if any(before.get(name, unknown[name]) != after.get(name, unknown[name]) for name in names):
                result |= bit
            bit <<= 1
    return result


def assign_relays(record_type: RecordType, document: Mapping[str, Any], draw: Callable[[str], str]) -> dict[str, Any]:
    """The document with a relay id for each contact that has none; `draw(field)` gives a random one (8 to 64
    characters of base64url). Without a relay id a contact is withheld outside."""
    result = dict(document)
    for name, spec in record_type.fields.items():
        contact = result.get(name)
        if spec.kind.name == "contact" and isinstance(contact, Mapping) and not contact.get("relay"):
            result[name] = {**contact, "relay": draw(name)}
    return result


@lru_cache(maxsize=64)
def _by_name(record_type: RecordType) -> Mapping[str, _Held]:
    return {held.name: held for held in _plan(record_type)}


def _home_value(held: _Held, document: Mapping[str, Any]) -> Any:
    """The home value of a field; a text together with its translations."""
    value = document.get(held.name)
    if value is None or held.kind.name != "text":
        return value
    translations = document.get("translations")
    if not translations:
        return value
    texts = {language: texts[held.name] for language, texts in translations.items() if held.name in texts}
    return {"text": value, "tr": texts} if texts else value


def _first(record_type: RecordType, held: _Held, caps: Caps | None) -> int | None:
    """The position of the finest step that may be held under the caps; None for none at all."""
    if not caps or held.name not in caps:
        return 0
    cap = caps[held.name]
    if cap in held.steps:
        return held.steps.index(cap)  # type: ignore[arg-type]
    spec = record_type.fields[held.name]
    return 0 if cap in spec.step_names and spec.tier(cap) is Tier.SEALED else None  # type: ignore[arg-type]


def _told(held: _Held, received: Mapping[str, Any], position: int, context: Context) -> Any:
    """The value for a step: as received, else derived from the nearest finer one, else the nearest coarser one."""
    steps = held.steps
    if steps[position] in received:
        return received[steps[position]]
    for finer in range(position - 1, -1, -1):
        if steps[finer] in received:
            return held.kind.generalise(received[steps[finer]], steps[position], context)
    return next((received[step] for step in steps[position + 1 :] if step in received), None)
