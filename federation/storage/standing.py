"""On what it depended who may know of a record where the journal begins: what is now, and the journal read backwards.
Facts only; it must never read a value."""

from __future__ import annotations

from sqlalchemy import Connection, text

from federation.records.registry import RECORD_TYPES
from federation.storage import journal
from federation.storage.journal import Facts
from federation.storage.tables import FACTS, record_table

Key = tuple[str, int, bytes]
"""A record as the journal names it: type, number of the origin, id."""

_AT_ONCE = 2000


def standing_at_floor(connection: Connection) -> dict[Key, Facts]:
    """The facts of every record as they were where the journal begins now; empty where it was never shortened. To be
    asked in a snapshot."""
    place = journal.floor(connection)
    if place == journal.START:
        return {}
    found = dict(_standing(connection))
    changed: set[Key] = set()
    while batch := journal.read(connection, place, _AT_ONCE):
        for change in batch:
            key = (change.type, change.origin, change.id)
            if key not in changed:
                changed.add(key)
                found.pop(key, None)
                if change.before is not None:
                    found[key] = change.before
        place = batch[-1].position
    return found


def _standing(connection: Connection) -> list[tuple[Key, Facts]]:
    """The facts of the row that is shown for each record."""
    found = []
    for type_key in RECORD_TYPES:
        rows = f"{record_table(type_key).name} WHERE status <> 'shadowed'"
        for row in connection.execute(text(f"SELECT origin, id, {', '.join(FACTS)} FROM {rows}")):  # noqa: S608
            found.append(((type_key, row.origin, bytes(row.id)), journal.facts(row)))
    return found
