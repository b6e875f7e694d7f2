"""From documents and received values to stored step columns, and the mask of what changed between two rows.

A column holds the value at its step, or coarser where capped or held coarser; it must never hold a finer one, and a
sealed step has no column at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from federation.errors import BadInput
from federation.policies.tiers import Tier
from federation.records.base import RESTATED, RecordType
from federation.records.kinds import Cell, ColumnSpec, Context, Kind, standard_context
from federation.records.texts import search_words

__all__ = [
    "Column",
    "accept_values",
    "assign_relays",
    "bits",
    "columns",
    "filled",
    "mask",
    "null_test",
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
    """The steps of one field that have columns, and the cells that mean unknown: of one step, and of all of them."""

    name: str
    kind: Kind
    steps: tuple[str, ...]
    unknown: tuple[Cell, ...]
    blank: tuple[Cell, ...]
    tells_of: tuple[str, ...]


@lru_cache(maxsize=64)
def _plan(record_type: RecordType) -> tuple[_Held, ...]:
    plan = []
    for spec in record_type.fields.values():
        steps = tuple(step.name for step in spec.open_steps)
        if steps:
            unknown = spec.kind.cells(None, steps[0], standard_context())
            plan.append(_Held(spec.name, spec.kind, steps, unknown, unknown * len(steps), spec.tells_of))
    return tuple(plan)


@lru_cache(maxsize=64)
def _names(record_type: RecordType) -> tuple[str, ...]:
    return tuple(column.name for column in columns(record_type))


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
    blank = (cell for held in _plan(record_type) for cell in held.blank)
    return MappingProxyType(dict(zip(_names(record_type), blank, strict=True)))


def unknown_columns(record_type: RecordType) -> dict[str, Cell]:
    """The step columns of a row of which nothing is known."""
    return dict(_unknown(record_type))


def step_columns(
    record_type: RecordType, document: Mapping[str, Any], caps: Caps | None, context: Context
) -> dict[str, Cell]:
    """The step columns of an own record from its home document (as `RecordType.normalise` gives it).

    `caps` names for some fields the finest step that may leave, or None for nothing: finer columns hold that step.
    """
    row: list[Cell] = []
    for held in _plan(record_type):
        value = _home_value(record_type, held, document, caps)
        first = None if value is None else _first(record_type, held, caps)
        if first is None:
            row += held.blank
            continue
        cells: tuple[Cell, ...] = ()
        for position, step in enumerate(held.steps):
            if position == 0 or position > first:
                step = held.steps[max(position, first)]
                told = held.kind.generalise(value, step, context)
                cells = held.unknown if told is None else held.kind.cells(told, step, context)
            row += cells
    return dict(zip(_names(record_type), row, strict=True))


def step_values(
    record_type: RecordType, document: Mapping[str, Any], caps: Caps | None, context: Context
) -> dict[str, dict[str, Any]]:
    """The step values (wire forms) of an own record by field and step, without those that are unknown or withheld:
    what an origin signs and sends. Same rules as `step_columns`."""
    result: dict[str, dict[str, Any]] = {}
    for held in _plan(record_type):
        value = _home_value(record_type, held, document, caps)
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
    row: list[Cell] = []
    for held in _plan(record_type):
        received = values.get(held.name)
        first = _first(record_type, held, caps) if received else None
        if received is None or first is None:
            row += held.blank
            continue
        kind = held.kind
        cells: tuple[Cell, ...] = ()
        for source, step, derived, again in _sources(held.steps, tuple(received), first):
            if not again:
                told = received[source]
                if derived:
                    told = kind.generalise(told, step, told_as_is)
                cells = held.unknown if told is None else kind.cells(told, step, context)
            row += cells
    return dict(zip(_names(record_type), row, strict=True))


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
    result = 0
    for name, bit in _bit_of(record_type):
        old = before[name] if name in before else unknown[name]
        new = after[name] if name in after else unknown[name]
        if old != new:
            result |= bit
    return result


NULL_TESTS: Mapping[str, str] = {"period": "__p", "amount": "__p", "count": "__p", "place": "__code"}
"""The column of a kind that is NULL where the value is unknown or withheld; the main column for all others."""


def null_test(kind: Kind) -> str:
    """The suffix of the column that tells whether a step of this kind has a value."""
    return NULL_TESTS.get(kind.name, "")


def filled(record_type: RecordType, row: Mapping[str, Cell]) -> int:
    """Which steps of a row have a value, as a mask like that of `mask`."""
    return sum(bit for name, bit in _tests(record_type) if row[name] is not None)


@lru_cache(maxsize=64)
def _tests(record_type: RecordType) -> tuple[tuple[str, int], ...]:
    kinds = {held.name: held.kind for held in _plan(record_type)}
    return tuple(
        (f"{name}__{step}{null_test(kinds[name])}", 1 << at) for at, (name, step) in enumerate(bits(record_type))
    )


@lru_cache(maxsize=64)
def _bit_of(record_type: RecordType) -> tuple[tuple[str, int], ...]:
    position = {step: index for index, step in enumerate(bits(record_type))}
    return tuple((each.name, 1 << position[each.field, each.step]) for each in columns(record_type))


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


def _home_value(record_type: RecordType, held: _Held, document: Mapping[str, Any], caps: Caps | None) -> Any:
    """The home value of a field: a text together with its translations, of the translations those of texts that may be
    told of, and what is told once a day together with what was last told."""
    value = document.get(held.name)
    if value is not None and held.kind.batched and (last := document.get(RESTATED, {}).get(held.name)):
        return {**value, "told": last["state"]}
    if value is not None and held.tells_of:
        told = [name for name in held.tells_of if _first(record_type, _by_name(record_type)[name], caps) is not None]
        return {language: texts for language, texts in value.items() if any(name in texts for name in told)}
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
        return held.steps.index(cap)
    spec = record_type.fields[held.name]
    return 0 if cap in spec.step_names and spec.tier(cap) is Tier.SEALED else None


@lru_cache(maxsize=4096)
def _sources(steps: tuple[str, ...], received: tuple[str, ...], first: int) -> tuple[tuple[str, str, bool, bool], ...]:
    """For each step that has columns: the received step that it is taken from, the step that it holds, whether it has
    to be derived, and whether it is the same as the one before."""
    result: list[tuple[str, str, bool, bool]] = []
    for position in range(len(steps)):
        held = max(position, first)
        finer = [step for step in steps[: held + 1] if step in received]
        source = finer[-1] if finer else next(step for step in steps[held:] if step in received)
        row = (source, steps[held], bool(finer) and source != steps[held])
        before = result[-1][:3] if result else None
        result.append((*row, before == row or (before is not None and before[0] == source and not before[2] | row[2])))
    return tuple(result)
