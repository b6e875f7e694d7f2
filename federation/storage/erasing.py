"""Erasing: what was deleted leaves every byte of the files. Nothing here may delete a row itself."""

from __future__ import annotations

import time
from collections.abc import Iterable

from sqlalchemy import Connection

from federation.records.registry import RECORD_TYPES

_PAUSE = 0.05


def vacuum_full(connection: Connection, tables: Iterable[str] | None) -> None:
    """Rewrites the tables of PostgreSQL without their dead rows. Names must be table names of the schema."""
    known = [record_type.table for record_type in RECORD_TYPES.values()] + ["quarantine"]
    for name in known if tables is None else [table for table in tables if table in known]:
        connection.exec_driver_sql(f'VACUUM FULL "{name}"')


def erase_file(connection: Connection, deadline: float) -> bool:
    """Merges the text indexes, rewrites the file and empties the write-ahead log; False if a reader held the log."""
    for record_type in RECORD_TYPES.values():
        name = f"{record_type.table}_fts"
        found = connection.exec_driver_sql("SELECT 1 FROM sqlite_master WHERE name = :name", {"name": name}).first()
        if found:
            connection.exec_driver_sql(f'INSERT INTO "{name}" ("{name}") VALUES (\'optimize\')')  # noqa: S608  (names of the schema)
    connection.exec_driver_sql("VACUUM")
    waiting = connection.exec_driver_sql("PRAGMA busy_timeout").scalar_one()
    connection.exec_driver_sql("PRAGMA busy_timeout = 0")
    try:
        while connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()[0]:
            if time.monotonic() > deadline:
                return False
            time.sleep(_PAUSE)
        return True
    finally:
        connection.exec_driver_sql(f"PRAGMA busy_timeout = {waiting}")
