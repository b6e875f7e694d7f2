"""The journal: the node's own order of changes, from which every peer's feed is made. It holds facts, never values.

A position is (x, n). On SQLite x is 0 and n counts up. On PostgreSQL x is the writing transaction, and readers see only
what was written before the oldest transaction that still runs: a cursor can then never miss a commit.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from federation.errors import BadInput
from federation.storage.tables import FACTS
from federation.world import World

FLOOR_KEY = "feed_floor"
TAG_BYTES = 8
_POSITION = re.compile(r"(0|[1-9]\d{0,18}):(0|[1-9]\d{0,18})")


class Position(NamedTuple):
    """A place in the journal; positions compare in the order of the journal. (0, 0) is before everything."""

    x: int = 0
    n: int = 0

    def __str__(self) -> str:
        return f"{self.x}:{self.n}"

    @classmethod
    def parse(cls, written: str) -> Position:
        """The position of a text `x:n`. Raises BadInput for any other text."""
        found = _POSITION.fullmatch(written)
        if not found:
            raise BadInput("This is not a position of the journal.")
        return cls(int(found[1]), int(found[2]))


START = Position()


class Facts(NamedTuple):
    """On what it depends who may know of a row, in the order of FACTS; None in a change means that there was no row."""

    status: str
    handling: int
    terms: int
    relay: int
    hops_left: int
    not_to: int
    filled: int

    def written(self) -> str:
        """As it stands in the journal: a JSON list."""
        return _written(self)


@dataclass(frozen=True)
class Change:
    """One entry: what happened to the row that is shown for (origin, id). `steps` is a mask over
    `records.rows.bits`; `before` and `after` are the facts, None for no row."""

    position: Position
    tag: bytes
    type: str
    rid: int
    id: bytes
    origin: int
    via: int
    before: Facts | None
    after: Facts | None
    steps: int


class Entry(NamedTuple):
    """What a writer puts into the journal."""

    type: str
    rid: int
    id: bytes
    origin: int
    via: int
    before: Facts | None
    after: Facts | None
    steps: int
    tag: bytes | None = None


_WRITTEN = "tag, type, rid, id, origin, via, before, after, steps"
_APPEND_SQLITE = f"INSERT INTO change (x, {_WRITTEN}) VALUES (0, ?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608  (no values)
_APPEND_POSTGRESQL = text(
    f"INSERT INTO change (x, {_WRITTEN}) VALUES (CAST(CAST(pg_current_xact_id() AS text) AS bigint)"  # noqa: S608
    ", :tag, :type, :rid, :id, :origin, :via, :before, :after, :steps)"
)
_COLUMNS = "x, pos, tag, type, rid, id, origin, via, before, after, steps"
_SETTLED = "x < CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS bigint)"


def append(connection: Connection, entries: Iterable[Entry]) -> int:
    """Writes entries within the caller's transaction, in their order; gives how many.

    An entry without a tag gets a random one: it tells a journal from a copy of it that went another way.
    """
    values = [
        (
            entry.tag or secrets.token_bytes(TAG_BYTES),
            entry.type,
            entry.rid,
            entry.id,
            entry.origin,
            entry.via,
            None if entry.before is None else entry.before.written(),
            None if entry.after is None else entry.after.written(),
            f"{entry.steps:x}",
        )
        for entry in entries
    ]
    if values and _sqlite(connection):
        connection.connection.driver_connection.executemany(_APPEND_SQLITE, values)  # type: ignore[union-attr]
    elif values:
        names = _WRITTEN.split(", ")
        connection.execute(_APPEND_POSTGRESQL, [dict(zip(names, each, strict=True)) for each in values])
    return len(values)


def tag(world: World, *parts: object) -> bytes:
    """A tag drawn for a change. With a seeded world it depends on the parts alone, so they must tell of nothing that
    somebody who sees the change cannot see: cursors are made of tags."""
    return world.draw("journal-tag", json.dumps(parts, default=bytes.hex), TAG_BYTES)


def head(connection: Connection) -> Position:
    """The position of the last entry that readers may see; the floor where all were pruned."""
    newest = "ORDER BY pos DESC" if _sqlite(connection) else f"WHERE {_SETTLED} ORDER BY x DESC, pos DESC"
    row = connection.execute(text(f"SELECT x, pos FROM change {newest} LIMIT 1")).first()  # noqa: S608  (no values)
    return max(Position(row[0], row[1]) if row else START, floor(connection))


def read(connection: Connection, after: Position, limit: int, upto: Position | None = None) -> list[Change]:
    """The entries after a position in order, at most `limit` and none beyond `upto`; to be asked in a snapshot."""
    if _sqlite(connection):
        following, values = "pos > :n ORDER BY pos", {"n": after.n, "limit": limit}
    else:
        following = f"(x, pos) > (:x, :n) AND {_SETTLED} ORDER BY x, pos"
        values = {"x": after.x, "n": after.n, "limit": limit}
    rows = connection.execute(
        text(f"SELECT {_COLUMNS} FROM change WHERE {following} LIMIT :limit"),  # noqa: S608
        values,
    )
    changes = [_change(row) for row in rows]
    return changes if upto is None else [change for change in changes if change.position <= upto]


def back(connection: Connection, before: Position | None, count: int) -> Position:
    """The position at most `count` entries before another one, or before the end."""
    if _sqlite(connection):
        upper = "" if before is None else "WHERE pos < :n"
        order = "pos DESC"
    else:
        upper = "" if before is None else "WHERE (x, pos) < (:x, :n)"
        order = "x DESC, pos DESC"
    values = {} if before is None else {"n": before.n} | ({} if _sqlite(connection) else {"x": before.x})
    row = connection.execute(
        text(f"SELECT x, pos FROM change {upper} ORDER BY {order} LIMIT 1 OFFSET :count"),  # noqa: S608  (no values)
        values | {"count": count},
    ).first()
    return START if row is None else Position(row[0], row[1])


def tag_at(connection: Connection, position: Position) -> bytes | None:
    """The tag of the entry at a position; None if there is no such entry (never was, or pruned)."""
    return connection.execute(
        text("SELECT tag FROM change WHERE x = :x AND pos = :n"), {"x": position.x, "n": position.n}
    ).scalar_one_or_none()


def floor(connection: Connection) -> Position:
    """The position up to which entries were pruned: a cursor below it has to reconcile."""
    value = connection.execute(text("SELECT value FROM meta WHERE key = :key"), {"key": FLOOR_KEY}).scalar_one_or_none()
    return START if value is None else Position.parse(value)


def prune(connection: Connection, upto: Position) -> int:
    """Removes entries up to and with a position and raises the floor to it, in the caller's one transaction.

    A floor never sinks, and never passes the head. Gives how many entries went.
    """
    upto = min(upto, head(connection))
    if upto <= floor(connection):
        return 0
    connection.execute(
        text(
            "INSERT INTO meta (key, value) VALUES (:key, :value) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
        ),
        {"key": FLOOR_KEY, "value": str(upto)},
    )
    gone = connection.execute(
        text("DELETE FROM change WHERE x < :x OR (x = :x AND pos <= :n)"), {"x": upto.x, "n": upto.n}
    )
    return gone.rowcount


def facts(row: Any) -> Facts:
    """The facts of a row that has the columns of FACTS as attributes."""
    return Facts(*(getattr(row, name) for name in FACTS))


def _change(row: Sequence[Any]) -> Change:
    x, n, tag, type_key, rid, id, origin, via, before, after, steps = row
    return Change(
        Position(x, n), bytes(tag), type_key, rid, bytes(id), origin, via, _facts(before), _facts(after), int(steps, 16)
    )


@lru_cache(maxsize=4096)
def _written(facts: Facts) -> str:
    return json.dumps(list(facts), separators=(",", ":"))


@lru_cache(maxsize=4096)
def _facts(written: str | None) -> Facts | None:
    return None if written is None else Facts(*json.loads(written))


def _sqlite(connection: Connection) -> bool:
    return connection.dialect.name == "sqlite"
