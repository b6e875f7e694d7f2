"""`federation db move`: everything from one database into another, empty one, of either kind."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

from sqlalchemy import Connection, delete, func, insert, select, text

from federation.errors import BadInput, Conflict
from federation.peers.state import SERVED_FROM, renew_incarnation, set_meta
from federation.records.registry import RECORD_TYPES
from federation.settings import Settings
from federation.storage.database import Database, open_database
from federation.storage.metadata import all_metadata
from federation.storage.migrating import migrate
from federation.storage.sweeper import begin_journal
from federation.storage.tables import meta, record_table
from federation.storage.writing import update_rows
from federation.world import World, real_world

BATCH = 500
LEFT_BEHIND = frozenset({"change", "served", "peer_ack", "alembic_version"})
"""The journal and what refers to places in it: peers reconcile with the new database, which has a name of its own and
tells from that day on what they were sent."""


def move_database(settings: Settings, target: str, progress: Callable[[int], None]) -> int:
    """Copies all rows of the node's database into `target`; gives how many. The source stays as it is.

    Raises BadInput for a target that is the source, Conflict for one that is not empty, Unavailable.
    """
    if target == settings.effective_database_url:
        raise BadInput("That is the database in use; name another one.")
    key = settings.database_key.get_secret_value().encode() if settings.database_key else None
    with closing(open_database(settings.effective_database_url, key)) as source:
        to_file = target.startswith("sqlite")
        with closing(open_database(target, key if to_file else None)) as goal:
            migrate(goal)
            _check_empty(goal)
            return _copied(source, goal, real_world(), progress)


def _check_empty(goal: Database) -> None:
    with goal.read() as connection:
        for key in RECORD_TYPES:
            if connection.execute(select(func.count()).select_from(record_table(key))).scalar_one():
                raise Conflict("The target holds records already; name an empty database.")


def _copied(source: Database, goal: Database, world: World, progress: Callable[[int], None]) -> int:
    done = 0
    record_tables = {record_table(key).name: key for key in RECORD_TYPES}
    with source.read() as reading, goal.write() as writing:
        for table in all_metadata().sorted_tables:
            if table.name in LEFT_BEHIND:
                continue
            writing.execute(table.delete())
            for batch in reading.execute(select(table)).mappings().partitions(BATCH):
                rows = [dict(row) | ({"fts": None} if table.name in record_tables else {}) for row in batch]
                writing.execute(insert(table), rows)
                if (key := record_tables.get(table.name)) is not None:
                    update_rows(writing, key, rows)  # the words under which rows are found are written anew
                done += len(rows)
                progress(done)
        writing.execute(delete(meta).where(meta.c.key.like("%floor%")))
        begin_journal(writing, world.today().isoformat())
        set_meta(writing, SERVED_FROM, world.today().isoformat())
        if goal.dialect == "postgresql":
            _set_sequences(writing)
    renew_incarnation(goal, world)
    return done


def _set_sequences(connection: Connection) -> None:
    """Numbers go on after the highest that was copied."""
    for table in all_metadata().sorted_tables:
        column = table.autoincrement_column
        if column is None or table.name in LEFT_BEHIND:
            continue
        highest = connection.execute(select(func.max(column))).scalar_one()
        if highest:  # none, or 0 (this node's own origin), leaves the numbers to begin at 1
            connection.execute(
                text("SELECT setval(pg_get_serial_sequence(:table, :column), :highest)"),
                {"table": f'"{table.name}"', "column": column.name, "highest": highest},
            )
