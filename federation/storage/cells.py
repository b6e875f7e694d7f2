"""Place cells: how many networks have shared records in a place. A place with few of them would name the network.

This node's own share in a count is always assumed, so that no own write, hidden or not, moves what is shown of another.
Of others only those records count of which everybody may know: one that is kept from somebody must not move a place
that it sees.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import orjson
from sqlalchemy import Connection, text

from federation.policies.terms import Terms
from federation.policies.tiers import Tier
from federation.records.codes import CodeLists
from federation.records.places import ANCESTOR_COLUMNS, Place, Places
from federation.records.registry import RECORD_TYPES
from federation.storage.tables import record_table

Cell = tuple[str, str]
_SUFFIXES = {level: suffix for suffix, level in ANCESTOR_COLUMNS if level != "region"}
"""Levels whose cells can be too small, and the columns in which they stand; regions always stand."""


class SmallCells:
    """The cells in which fewer than `place_k` networks would be counted if this one were in them; answers `in`."""

    def __init__(self, connection: Connection, place_k: int) -> None:
        self._connection = connection
        self._k = place_k
        self._known: dict[Cell, bool] = {}

    def __contains__(self, cell: object) -> bool:
        if self._k <= 1 or not isinstance(cell, tuple):
            return False
        if cell not in self._known:
            others = self._connection.execute(
                text("SELECT others FROM place_cells WHERE level = :level AND code = :code"),
                {"level": cell[0], "code": cell[1]},
            ).scalar_one_or_none()
            self._known[cell] = (others or 0) + 1 < self._k
        return self._known[cell]


def columns_at(type_key: str, level: str) -> Iterator[str]:
    """The columns in which a record's places of a level stand, each at the finest precision that is stored."""
    suffix = _SUFFIXES.get(level)
    for spec in RECORD_TYPES[type_key].fields.values():
        if suffix and isinstance(spec.kind, Place) and spec.open_steps:
            yield f"{spec.name}__{spec.open_steps[0].name}{suffix}"


def list_columns(type_key: str) -> Iterator[str]:
    """The columns that hold several places with all that hold them, as `|a|b|`."""
    for spec in RECORD_TYPES[type_key].fields.values():
        if isinstance(spec.kind, Places) and spec.open_steps:
            yield f"{spec.name}__{spec.open_steps[0].name}__up"


def counted(connection: Connection, codes: CodeLists) -> dict[Cell, tuple[int, int]]:
    """For each cell how many networks have shared records in it: all, and those beside this node's."""
    seen: dict[Cell, set[int]] = {}
    opened = _opened(connection)
    for key in RECORD_TYPES:
        for level in _SUFFIXES:
            for column in columns_at(key, level):
                for code, origin in _told(connection, key, column, opened):
                    seen.setdefault((level, code), set()).add(origin)
        for column in list_columns(key):
            for listed, origin in _told(connection, key, column, opened):
                for area in filter(None, map(codes.area, listed.strip("|").split("|"))):
                    seen.setdefault((area.level, area.code), set()).add(origin)
    return {cell: (len(found), len(found - {0})) for cell, found in seen.items()}


def own_in(connection: Connection, type_key: str, moved: Iterable[Cell]) -> set[int]:
    """The rows of own records that have a place in one of the cells."""
    found: set[int] = set()
    for level, code in moved:
        tests = [(column, "= :code", code) for column in columns_at(type_key, level)]
        tests += [(column, "LIKE :code", f"%|{code}|%") for column in list_columns(type_key)]
        for column, test, value in tests:
            rows = connection.execute(
                text(f"SELECT rid FROM {record_table(type_key).name} WHERE via = 0 AND {column} {test}"),  # noqa: S608
                {"code": value},
            )
            found.update(row[0] for row in rows)
    return found


def _opened(connection: Connection) -> dict[int, frozenset[str]]:
    """The fields of which the terms of each number leave some step to everybody."""
    found = {}
    for tid, body in connection.execute(text("SELECT tid, body FROM terms")):
        labels = Terms.from_json(orjson.loads(body)).labels
        found[tid] = frozenset(name for name, steps in labels.items() if Tier.OPEN in dict(steps).values())
    return found


def _told(
    connection: Connection, type_key: str, column: str, opened: Mapping[int, Collection[str]]
) -> Iterator[tuple[str, int]]:
    """The places in a column, each with the number of the network that it counts for."""
    rows = connection.execute(
        text(
            f"SELECT DISTINCT {column}, origin, via, terms FROM {record_table(type_key).name}"  # noqa: S608  (no values)
            f" WHERE status = 'shared' AND {column} IS NOT NULL AND (via = 0 AND handling <= 2"
            " OR handling = 0 AND relay = 1 AND hops_left > 0 AND not_to = 0)"
        )
    )
    name = column.partition("__")[0]
    return ((row[0], row[1]) for row in rows if row.via == 0 or name in opened.get(row.terms, ()))


def stored(connection: Connection) -> dict[Cell, tuple[int, int]]:
    """The counts as they were last written."""
    rows = connection.execute(text("SELECT level, code, networks, others FROM place_cells"))
    return {(row[0], row[1]): (row[2], row[3]) for row in rows}


def store(connection: Connection, cells: dict[Cell, tuple[int, int]]) -> None:
    """Puts the counts in place of those before."""
    connection.execute(text("DELETE FROM place_cells"))
    values: list[dict[str, Any]] = [
        {"level": level, "code": code, "networks": networks, "others": others}
        for (level, code), (networks, others) in sorted(cells.items())
    ]
    if values:
        connection.execute(text("INSERT INTO place_cells VALUES (:level, :code, :networks, :others)"), values)


def crossed(
    before: dict[Cell, tuple[int, int]], after: dict[Cell, tuple[int, int]], k_before: int, k_after: int
) -> set[Cell]:
    """The cells that were too small and are no longer, or the other way."""

    def small(counts: dict[Cell, tuple[int, int]], cell: Cell, place_k: int) -> bool:
        return counts.get(cell, (0, 0))[1] + 1 < place_k

    cells = before.keys() | after.keys()
    return {cell for cell in cells if small(before, cell, k_before) != small(after, cell, k_after)}
