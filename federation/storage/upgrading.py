"""What Alembic does with a schema: upgrades it, and compares it with the tables that the code expects."""

from __future__ import annotations

from typing import Any

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection

from federation.storage import tables
from federation.storage.metadata import MIGRATIONS, all_metadata


def upgrade(connection: Connection) -> None:
    """Runs the migrations that are due, in the transaction of the connection."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def compared(item: Any, name: str | None, kind: str, reflected: bool, other: Any) -> bool:
    """Whether a thing of the schema takes part in comparisons: tables that are not in the metadata do not (text
    indexes, Alembic's own), nor what is only made on PostgreSQL."""
    del item, other
    if kind == "table" and reflected:
        return name in tables.metadata.tables
    return not (kind == "index" and name in tables.POSTGRESQL_ONLY)


def differences(connection: Connection) -> list[str]:
    """What differs between the schema of the database and that of the code, in words; empty if nothing."""
    metadata = all_metadata()
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
