"""Brings the schema of a database up to this version. What only Alembic can do is in `upgrading`, which is slow to
import: it is needed where a migration is due or a schema is examined."""

from __future__ import annotations

from sqlalchemy import Connection, inspect

from federation.errors import Unavailable
from federation.storage.database import Database
from federation.storage.metadata import MIGRATIONS

_LOCK = 0x46656465
"""Number of the advisory lock under which PostgreSQL is migrated; on SQLite the write transaction is the lock."""


def revisions() -> list[str]:
    """The revisions that this version knows, oldest first: each migration's file is named after its own."""
    return sorted(path.stem.partition("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))


def migrate(database: Database) -> tuple[str | None, str]:
    """Brings the schema to this version in one transaction, under a lock; gives the revisions before and after.

    Safe to run from several processes at once and again. Raises Unavailable for a schema that is newer than the code.
    """
    known = revisions()
    with database.write() as connection:
        if database.dialect == "postgresql":
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
        before = revision(connection)
        if before is not None and before not in known:
            raise Unavailable("The database was written by a newer version; install that version again.")
        if before != known[-1]:
            from federation.storage.upgrading import upgrade

            upgrade(connection)
        return before, known[-1]


def pending(database: Database) -> bool:
    """Whether `migrate` has something to do."""
    with database.read() as connection:
        return revision(connection) != revisions()[-1]


def revision(connection: Connection) -> str | None:
    """The revision of a database; None where nothing was made yet."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one_or_none()
    return found


def check(database: Database) -> list[str]:
    """What differs between the schema of the database and that of the code, in words; empty if nothing."""
    from federation.storage.upgrading import differences

    with database.read() as connection:
        return differences(connection)
