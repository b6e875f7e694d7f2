"""A pen: one raw connection kept for short writes of prepared statements, which every answer to a partner needs.

A transaction through SQLAlchemy costs four times as much. It must never keep a connection on which something failed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine

_LEVELS = {True: "FULL", False: "NORMAL"}


class SqlitePen:
    """The connection of a SQLite file; for one thread at a time, which the caller sees to. That all write with the same
    one keeps its pages in memory: each commit of another connection would make it read them anew."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._own: Any = None
        self._durable: bool | None = None

    @contextmanager
    def taken(self, durable: bool, alone: bool) -> Iterator[Any]:
        """See `Database.pen`."""
        try:
            connection = self._ready(durable)
            if alone:
                yield connection
                return
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            self.close()
            raise

    def _ready(self, durable: bool) -> Any:
        if self._own is None:
            raw = self._engine.raw_connection()
            raw.detach()
            self._own, self._durable = raw.dbapi_connection, None
            self._own.isolation_level = None  # the pool may have left it beginning transactions by itself
        if self._durable is not durable:
            self._own.execute(f"PRAGMA synchronous = {_LEVELS[durable]}")
            self._durable = durable
        return self._own

    def close(self) -> None:
        """Closes the connection, and rolls back what it has begun; the next write opens another."""
        own, self._own = self._own, None
        if own is not None:
            own.close()


class PostgresPen:
    """A connection of the pool for each write: there, writers do not wait for each other."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @contextmanager
    def taken(self, durable: bool, alone: bool) -> Iterator[Any]:
        """See `Database.pen`."""
        del durable, alone
        raw = self._engine.raw_connection()
        try:
            yield raw.driver_connection
            raw.commit()
        finally:
            raw.close()  # the pool rolls back what was not committed

    def close(self) -> None:
        """The pool has the connections."""
