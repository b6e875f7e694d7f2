"""Brings the schema of a database up to this version, and checks that it is the one the code expects."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, inspect

from federation.errors import Unavailable
from federation.storage import tables

if TYPE_CHECKING:
    from federation.storage.database import Database

_LOCK = 0x46656465
"""Number of the advisory lock under which PostgreSQL is migrated; on SQLite the write transaction is the lock."""


def all_metadata() -> MetaData:
    """The metadata with every table in it, also those that are stated as classes."""
    for name in ("peering", "accounts"):
        if importlib.util.find_spec(f"federation.storage.{name}"):
            importlib.import_module(f"federation.storage.{name}")
    return tables.metadata


def compared(item: Any, name: str | None, kind: str, reflected: bool, other: Any) -> bool:
    """Whether a thing of the schema takes part in comparisons: tables that are not in the metadata do not (text
    indexes, Alembic's own), nor what is only made on PostgreSQL."""
    del item, other
    if kind == "table" and reflected:
        return name in tables.metadata.tables
    return not (kind == "index" and name in tables.POSTGRESQL_ONLY)


def migrate(database: Database) -> tuple[str | None, str]:
    """Brings the schema to this version in one transaction, under a lock; gives the revisions before and after.

    Safe to run from several processes at once and again. Raises Unavailable for a schema that is newer than the code.
    """
    with database.write() as connection:
        if database.dialect == "postgresql":
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
        before = revision(connection)
        config = _config(connection)
        known = ScriptDirectory.from_config(config)
        if before is not None and before not in {script.revision for script in known.walk_revisions()}:
            raise Unavailable("The database was written by a newer version; install that version again.")
        if before != known.get_current_head():
            command.upgrade(config, "head")
        return before, str(known.get_current_head())


def pending(database: Database) -> bool:
    """Whether `migrate` has something to do."""
    with database.read() as connection:
        return revision(connection) != ScriptDirectory.from_config(_config(connection)).get_current_head()


def revision(connection: Connection) -> str | None:
    """The revision of a database; None where nothing was made yet."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return MigrationContext.configure(connection).get_current_revision()


def check(database: Database) -> list[str]:
    """What differs between the schema of the database and that of the code, in words; empty if nothing."""
    metadata = all_metadata()
    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"include_object": compared, "compare_type": True})
        found = [str(difference) for difference in compare_metadata(context, metadata)]
        return found + _indexes_missing(connection)


def _indexes_missing(connection: Connection) -> list[str]:
    """The indexes that only one of the databases has: text indexes, and those of positions on PostgreSQL."""
    if connection.dialect.name == "sqlite":
        wanted = {
            f"{record_type.table}_fts"
            for key, record_type in tables.RECORD_TYPES.items()
            if tables.searched_columns(key)
        }
        there = connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'table'")
    else:
        wanted = set(tables.POSTGRESQL_ONLY)
        there = connection.exec_driver_sql("SELECT indexname FROM pg_indexes WHERE schemaname = current_schema()")
    return [f"the index {name} is missing" for name in sorted(wanted - {row[0] for row in there})]


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    return config
