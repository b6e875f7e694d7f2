"""The sweeper: what changes because time passes or because others write. No read looks at a clock; this does.

Each minute: records expire or are valid again, agreements end, places gain or lose networks, and what was kept for its
time goes. It must never change what a record says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, bindparam, text

from federation.policies.terms import Labels
from federation.records.base import RESTATED, RecordType
from federation.records.codes import CodeLists
from federation.records.kinds import Context
from federation.records.registry import RECORD_TYPES
from federation.storage import cells, journal, own, revisions, writing
from federation.storage.database import Database
from federation.storage.drafts import with_restated
from federation.storage.journal import Entry, Position
from federation.storage.own import Keeper
from federation.storage.tables import EXPIRED, FACTS, SHARED, record_table
from federation.world import World

CELLS_AT = "cells_at"
RESTATED_ON = "restated_on"
JOURNAL_FROM = "journal_from"
"""Under this the database notes since which day the journal is kept, once something of it was removed."""

_STOOD = "journal_on "
_AT_ONCE = 500


@dataclass(frozen=True)
class Swept:
    """How many records expired, came back to life, were told at another precision, had told an older state; how many
    agreements ended; how many journal entries went."""

    expired: int = 0
    revived: int = 0
    replaced: int = 0
    restated: int = 0
    ended: int = 0
    pruned: int = 0

    @property
    def changes(self) -> int:
        """How many changes a peer may have to hear of."""
        return self.expired + self.revived + self.replaced + self.restated + self.ended


def sweep(
    database: Database,
    world: World,
    codes: CodeLists,
    labels: Callable[[str], Labels],
    *,
    place_k: int = 3,
    journal_days: int | None = None,
) -> Swept:
    """One run; safe to run from several processes at once and again. Small transactions, so that writers get in.

    `labels` as for the intake. With `journal_days` journal entries are removed once they are older than that many days
    by the sweeper's own marks. Raises Unavailable.
    """
    ended = end_agreements(database, world)  # first: what goes wrong with a record must not keep an agreement alive
    expired, revived = _expire(database, world)
    replaced = _replace(database, world, codes, labels, place_k)
    restated = _restate(database, world, codes, labels, place_k)
    pruned = _prune(database, world, journal_days) if journal_days is not None else 0
    return Swept(expired, revived, replaced, restated, ended, pruned)


def _expire(database: Database, world: World) -> tuple[int, int]:
    """Records whose last day has passed expire; those whose last day is to come are shared again."""
    expired = revived = 0
    for type_key in RECORD_TYPES:
        for status, test, after in ((SHARED, "<", EXPIRED), (EXPIRED, ">=", SHARED)):
            while moved := _expire_some(database, world, type_key, status, test, after):
                expired, revived = (expired + moved, revived) if after == EXPIRED else (expired, revived + moved)
                if moved < _AT_ONCE:
                    break
    return expired, revived


def _expire_some(database: Database, world: World, type_key: str, status: str, test: str, after: str) -> int:
    today = {"today": world.today().isoformat(), "limit": _AT_ONCE}
    due = (
        f"FROM {record_table(type_key).name} WHERE valid_until__exact IS NOT NULL"
        f" AND status IN ('shared', 'expired') AND status = '{status}' AND valid_until__exact {test} :today"
    )
    with database.read() as connection:
        if connection.execute(text(f"SELECT 1 {due} LIMIT 1"), today).first() is None:
            return 0
    with database.write() as connection:
        lock = " FOR UPDATE SKIP LOCKED" if database.dialect == "postgresql" else ""
        columns = f"rid, id, origin, via, {', '.join(FACTS)}, revisions"
        rows = connection.execute(text(f"SELECT {columns} {due} LIMIT :limit{lock}"), today).all()
        writing.set_statuses(connection, type_key, [(row.rid, after) for row in rows])
        if after == SHARED:
            back = [_back(type_key, row) for row in rows if row.origin == own.OWN]
            own.set_revisions(connection, type_key, back)
        now = world.now().isoformat()
        full = writing.full_mask(type_key)
        journal.append(
            connection,
            (
                Entry(
                    type_key, row.rid, bytes(row.id), row.origin, row.via, journal.facts(row),
                    journal.facts(row)._replace(status=after), full,
                    journal.tag(world, bytes(row.id), after, now),
                )
                for row in rows
            ),
        )  # fmt: skip
        return len(rows)


def _back(type_key: str, row: Any) -> tuple[int, str | None]:
    """The row id of an own record that is shared again, and its counts with that."""
    before = journal.facts(row)
    return row.rid, revisions.count(row.revisions, before, before._replace(status=SHARED), 0, {}, type_key).kept


def _replace(database: Database, world: World, codes: CodeLists, labels: Callable[[str], Labels], place_k: int) -> int:
    """Counts the networks in each place, and writes own records anew in places that are too small or no longer so."""
    with database.read() as connection:
        head = journal.head(connection)
        if _meta(connection, CELLS_AT) == f"{head} {place_k}":
            return 0
        counts = cells.counted(connection, codes)
    with database.write() as connection:
        last = _meta(connection, CELLS_AT)
        k_before = place_k if last is None else int(last.rpartition(" ")[2])
        moved = cells.crossed(cells.stored(connection), counts, k_before, place_k)
        cells.store(connection, counts)
        replaced = 0
        for type_key in RECORD_TYPES:
            rids = cells.own_in(connection, type_key, moved)
            replaced += rewrite(connection, type_key, rids, world, codes, labels(type_key), place_k)
        _set_meta(connection, CELLS_AT, f"{head} {place_k}")
    return replaced


def rewrite(
    connection: Connection,
    type_key: str,
    rids: Iterable[int],
    world: World,
    codes: CodeLists,
    labels: Labels,
    place_k: int,
) -> int:
    """Computes the step columns of own records anew from their documents and journals the steps that changed: where
    the size of places changed, or the code lists. Gives how many records changed."""
    statement = text(f"SELECT id FROM {record_table(type_key).name} WHERE rid IN :rids AND via = 0")  # noqa: S608
    context = Context(codes, small_cells=cells.SmallCells(connection, place_k))  # type: ignore[arg-type]
    keeper = Keeper(context, labels, world.now().isoformat(), world)
    changed = 0
    for part in writing.chunks(sorted(rids)):
        ids = connection.execute(statement.bindparams(bindparam("rids", expanding=True)), {"rids": list(part)})
        held = own.find(connection, type_key, [bytes(row[0]) for row in ids])
        changed += len(own.rewrite(connection, type_key, list(held.values()), keeper))
    return changed


def _restate(database: Database, world: World, codes: CodeLists, labels: Callable[[str], Labels], place_k: int) -> int:
    """Once a day, tells of what is told once a day at most how it is by now."""
    today = world.today().isoformat()
    with database.read() as connection:
        if _meta(connection, RESTATED_ON) == today:
            return 0
        due = {key: _noting(connection, key) for key, each in RECORD_TYPES.items() if _batches(each)}
    restated = 0
    for type_key, ids in due.items():
        for part in writing.chunks(ids):
            with database.write() as connection:
                context = Context(codes, small_cells=cells.SmallCells(connection, place_k))  # type: ignore[arg-type]
                keeper = Keeper(context, labels(type_key), world.now().isoformat(), world)
                held = list(own.find(connection, type_key, part).values())
                later = [
                    replace(each, document=with_restated(RECORD_TYPES[type_key], each.document, each.document, today))
                    for each in held
                    if each.facts.status in (SHARED, EXPIRED)
                ]
                restated += len(own.rewrite(connection, type_key, later, keeper))
    with database.write() as connection:
        _set_meta(connection, RESTATED_ON, today)
    return restated


def _batches(record_type: RecordType) -> bool:
    return any(spec.kind.batched for spec in record_type.fields.values())


def _noting(connection: Connection, type_key: str) -> list[bytes]:
    """The ids of own records that note what they last told."""
    rows = f"{record_table(type_key).name} WHERE via = 0 AND home LIKE :noted"
    found = connection.execute(text(f"SELECT id FROM {rows}"), {"noted": f'%"{RESTATED}":{{%'})  # noqa: S608
    return [bytes(row[0]) for row in found]


def end_agreements(database: Database, world: World) -> int:
    """Agreements whose last day has passed end; those whose date was moved on are in force again."""
    today = {"today": world.today().isoformat()}
    with database.read() as connection:
        due = connection.execute(
            text(
                "SELECT count(*) FROM peers WHERE until IS NOT NULL AND"
                " ((state = 'active' AND until < :today) OR (state = 'ended' AND until >= :today))"
            ),
            today,
        ).scalar_one()
    if not due:
        return 0
    with database.write() as connection:
        ended = connection.execute(
            text("UPDATE peers SET state = 'ended' WHERE state = 'active' AND until < :today"), today
        )
        back = connection.execute(
            text("UPDATE peers SET state = 'active' WHERE state = 'ended' AND until >= :today"), today
        )
        return ended.rowcount + back.rowcount


def _prune(database: Database, world: World, days: int) -> int:
    """Removes what stood in the journal `days` ago. The sweeper notes each day where the journal stood; once a day has
    its note there is nothing to write until the next."""
    today, mark = world.today(), f"{_STOOD}{world.today().isoformat()}"
    with database.read() as connection:
        if _meta(connection, mark) is not None:
            return 0
    with database.write() as connection:
        _set_meta(connection, mark, str(journal.head(connection)))
        old = connection.execute(
            text("SELECT key, value FROM meta WHERE key LIKE 'journal_on %' AND key <= :limit ORDER BY key DESC"),
            {"limit": f"{_STOOD}{(today - timedelta(days=days)).isoformat()}"},
        ).all()
        if not old:
            return 0
        connection.execute(text("DELETE FROM meta WHERE key = :key"), [{"key": row[0]} for row in old])
        gone = journal.prune(connection, Position.parse(old[0][1]))
        if gone:
            _set_meta(connection, JOURNAL_FROM, old[0][0].removeprefix(_STOOD))
        return gone


def begin_journal(connection: Connection, day: str) -> None:
    """Notes that the journal begins on this day (ISO) with nothing before it: where another one stood means nothing."""
    connection.execute(text("DELETE FROM meta WHERE key LIKE 'journal_on %'"))
    _set_meta(connection, JOURNAL_FROM, day)


def _meta(connection: Connection, key: str) -> str | None:
    return connection.execute(text("SELECT value FROM meta WHERE key = :key"), {"key": key}).scalar_one_or_none()


def _set_meta(connection: Connection, key: str, value: str) -> None:
    connection.execute(
        text(
            "INSERT INTO meta (key, value) VALUES (:key, :value) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
        ),
        {"key": key, "value": value},
    )
