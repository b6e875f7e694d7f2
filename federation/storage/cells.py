"""Place cells: how many networks have shared records in a place. A place with few of them would name the network.

This node's own share in a count is always assumed, so that no own write, hidden or not, moves what is shown of another.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, text

from federation.records.base import RecordType
from federation.records.places import ANCESTOR_COLUMNS
from federation.records.registry import RECORD_TYPES
from federation.storage.tables import record_table

Cell = tuple[str, str]
_LEVELS = {suffix: level for suffix, level in ANCESTOR_COLUMNS if level not in ("region", "m49")}


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


def place_fields(record_type: RecordType) -> Iterator[tuple[str, str]]:
    """(field, finest step with columns) of each field that holds one place."""
    for spec in record_type.fields.values():
        if spec.kind.name == "place" and spec.open_steps:
            yield spec.name, spec.open_steps[0].name


def counted(connection: Connection) -> dict[Cell, tuple[int, int]]:
    """For each cell how many networks have shared records in it: all, and those beside this node's."""
    seen: dict[Cell, set[int]] = {}
    for key, record_type in RECORD_TYPES.items():
        table = record_table(key).name
        for field, step in place_fields(record_type):
            for suffix, level in _LEVELS.items():
                column = f"{field}__{step}{suffix}"
                rows = connection.execute(
                    text(
                        f"SELECT DISTINCT {column}, origin FROM {table}"  # noqa: S608  (names of the schema)
                        f" WHERE status = 'shared' AND handling <= 2 AND {column} IS NOT NULL"
                    )
                )
                for code, origin in rows:
                    seen.setdefault((level, code), set()).add(origin)
    return {cell: (len(found), len(found - {0})) for cell, found in seen.items()}


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


def crossed(before: dict[Cell, tuple[int, int]], after: dict[Cell, tuple[int, int]], place_k: int) -> set[Cell]:
    """The cells that were too small and are no longer, or the other way."""
    if place_k <= 1:
        return set()
    return {
        cell
        for cell in before.keys() | after.keys()
        if (before.get(cell, (0, 0))[1] + 1 < place_k) != (after.get(cell, (0, 0))[1] + 1 < place_k)
    }
