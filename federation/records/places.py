"""The kinds of places: one, or several. A step goes coarser where its cell is too small to be shown.

Must never derive a finer place than the one given; ancestors come from the code lists alone.
"""

# ruff: noqa: ARG002  (all kinds share one signature; not every kind needs step and context)
from __future__ import annotations

from functools import lru_cache
from typing import Any

from federation.errors import BadInput
from federation.records.coded import Codes
from federation.records.codes import RANKS, CodeLists
from federation.records.kinds import Cell, ColumnSpec, Context, Kind, standard_context
from federation.records.syntax import accepted_code, checked_list

PLACE_STEPS = ("exact", "subdivision", "country", "sub_region", "region")
ANCESTOR_COLUMNS = (
    ("__region", "region"),
    ("__m49", "m49"),
    ("__sub", "sub_region"),
    ("__country", "country"),
    ("__subdivision", "subdivision"),
)
"""Columns of ancestors and the level of area that each holds."""


class Place(Kind):
    """An area. Home value its code; step value [code, ancestors …, region]: finest first."""

    name = "place"
    graphql = "Place"
    filters = ("within", "eq", "is_null")
    ladder = PLACE_STEPS
    layout = (
        ColumnSpec("__code", "text"),
        ColumnSpec("__level", "text"),
        *(ColumnSpec(suffix, "text") for suffix, _ in ANCESTOR_COLUMNS),
    )

    def check(self, value: Any, context: Context | None = None) -> str:
        return known_area(value, (context or standard_context()).codes)

    def generalise(self, value: Any, step: str, context: Context) -> Any:
        if value is None:
            return None
        chain = list(value) if isinstance(value, (list, tuple)) else list(context.codes.chain(value))
        return coarser_place(chain, step, context)

    def cells(self, value: Any, step: str, context: Context) -> tuple[Cell, ...]:
        if value is None:
            return (None,) * 7
        return _place_cells(tuple(value), context.codes)

    def accept(self, wire: Any, step: str = "exact", context: Context | None = None) -> Any:
        codes = (context or standard_context()).codes
        if not isinstance(wire, list) or not 0 < len(wire) <= 8:
            raise BadInput("A place comes with the areas that hold it.")
        known = wire if codes.area(accepted_code(wire[0])) is not None else wire[1:]
        if not known or not isinstance(known[0], str) or list(codes.chain(known[0])) != known:
            raise BadInput("This place is not within areas that are known here.")
        if step != "exact" and (known is not wire or codes.rank(wire[0]) < RANKS[step]):
            raise BadInput("This place is told finer than its step.")
        return wire


@lru_cache(maxsize=8192)
def _place_cells(chain: tuple[str, ...], codes: CodeLists) -> tuple[Cell, ...]:
    areas = [area for area in map(codes.area, chain) if area is not None]
    found = {area.level: area.code for area in areas}
    level = "local" if codes.area(chain[0]) is None else areas[0].level
    return (chain[0], level, *(found.get(each) for _, each in ANCESTOR_COLUMNS))


class Places(Codes):
    """Several areas. Home value and step value their codes."""

    ladder = PLACE_STEPS

    def __init__(self) -> None:
        super().__init__("area", tree=True)

    def check(self, value: Any, context: Context | None = None) -> list[str]:
        codes = (context or standard_context()).codes
        return list(dict.fromkeys(known_area(each, codes) for each in checked_list(value)))

    def generalise(self, value: Any, step: str, context: Context) -> Any:
        if value is None or step == "exact":
            return value
        coarser = (coarser_place(list(context.codes.chain(code)), step, context) for code in value)
        return list(dict.fromkeys(chain[0] for chain in coarser if chain)) or None

    def closure(self, code: str, context: Context) -> tuple[str, ...]:
        return context.codes.chain(code) or (code,)

    def accept(self, wire: Any, step: str = "exact", context: Context | None = None) -> list[str]:
        codes = (context or standard_context()).codes
        for code in checked_list(wire):
            accepted_code(code)
            if step != "exact" and codes.rank(code) < RANKS[step]:
                raise BadInput("This place is told finer than its step.")
        return wire


def coarser_place(chain: list[str], step: str, context: Context) -> list[str] | None:
    """The part of a chain from the step's level on, and from the first cell that is large enough; regions always
    stand. Codes that are not known count as finer than every step but `exact`."""
    if step == "exact":
        return chain or None
    for position, code in enumerate(chain):
        area = context.codes.area(code)
        if area is None or RANKS[area.level] < RANKS[step]:
            continue
        if area.level in ("region", "world") or (area.level, code) not in context.small_cells:
            return chain[position:]
    return None


def known_area(value: object, codes: CodeLists) -> str:
    """The code of an area that is known here, or BadInput."""
    if not isinstance(value, str) or codes.area(value) is None:
        raise BadInput("This must be the code of an area: ISO 3166, UN M49, or one that the network defined.")
    return value
