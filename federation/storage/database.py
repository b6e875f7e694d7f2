"""The database: one SQLite file (encrypted whole if a key is given) or one PostgreSQL database, behind the same verbs.

Writes are short transactions, reads are snapshots. It must never log or put into an error what a statement held.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any, Literal

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, DisconnectionError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from federation.errors import FederationError, Unavailable
from federation.storage import erasing, postgres, sqlite
from federation.storage.pen import PostgresPen, SqlitePen
from federation.storage.pool import ReaderPool

__all__ = ["Database", "Dialect", "open_database", "spoken"]

Dialect = Literal["sqlite", "postgresql"]

WAIT_SECONDS = 30.0
"""How long a writer waits for other writers before it says that the node is busy."""

READERS = 8


class Database:
    """One database and its connections; see `open_database`.

    `write` and `read` give SQLAlchemy connections, `pen` and `reader` raw driver connections for prepared statements.
    `paramstyle` of raw statements is `named` (`:x`) on SQLite and `pyformat` (`%(x)s`) on PostgreSQL.
    """

    def __init__(self, url: str, dialect: Dialect, writing: Engine, reading: Engine, readers: ReaderPool) -> None:
        self.url = url
        self.dialect: Dialect = dialect
        self.engine = writing
        self.paramstyle = "named" if dialect == "sqlite" else "pyformat"
        self._reading = reading
        self._readers = readers
        self._pen = SqlitePen(writing) if dialect == "sqlite" else PostgresPen(writing)
        self._turn = Lock()
        self._trial: Connection | None = None

    @property
    def path(self) -> str | None:
        """The database file of SQLite; None on PostgreSQL."""
        return make_url(self.url).database if self.dialect == "sqlite" else None

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction that may write; committed at the exit, rolled back by any error.

        On SQLite it begins IMMEDIATE and is the only one at a time. Raises Unavailable where the disk is full, the
        database is gone, or other writers took longer than half a minute; nothing is half written then.
        """
        if self._trial is not None:
            with spoken(), self._trial.begin_nested():
                yield self._trial
            return
        with self._in_turn(), spoken(), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def trial(self) -> Iterator[None]:
        """While it lasts, all writes are parts of one transaction that is never committed, and every read sees them: to
        find out what would become of them. For one thread alone; other writers wait until it is over."""
        with self._in_turn(), spoken(), self.engine.connect() as connection, connection.begin() as whole:
            self._trial = connection
            try:
                yield
            finally:
                self._trial = None
                whole.rollback()

    @contextmanager
    def pen(self, *, durable: bool = True, alone: bool = False) -> Iterator[Any]:
        """As `write`, but a raw driver connection that is kept for it: for short writes that every answer waits for.

        `alone`: one statement, which on SQLite is a transaction by itself. Not `durable`, on SQLite: what is written
        outlives the process, but perhaps not a loss of power, and waits for no disk.
        """
        if self._trial is not None:
            with self.write() as connection:
                yield connection.connection.driver_connection
            return
        with self._in_turn(), spoken(), self._pen.taken(durable, alone) as raw:
            yield raw

    @contextmanager
    def _in_turn(self) -> Iterator[None]:
        """One writer of this process at a time on SQLite, where those that meet in the file itself wait by guess."""
        if self.dialect == "postgresql":
            yield
            return
        if not self._turn.acquire(timeout=WAIT_SECONDS):
            raise Unavailable("Other writers keep the database busy; try again in a moment.")
        try:
            yield
        finally:
            self._turn.release()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One snapshot for several statements (REPEATABLE READ on PostgreSQL); it cannot write."""
        if self._trial is not None:
            with spoken():
                yield self._trial
            return
        with spoken(), self._reading.begin() as connection:
            yield connection

    @contextmanager
    def reader(self) -> Iterator[Any]:
        """A raw, read-only driver connection out of a small pool: `execute(sql, {name: value})` gives a cursor.

        Each statement is a snapshot of its own, with the time limit of the database: Unavailable beyond it.
        """
        if self._trial is not None:
            with spoken():
                yield self._trial.connection.driver_connection
            return
        with spoken(), self._readers.lent() as connection:
            yield connection

    @contextmanager
    def outside_transactions(self) -> Iterator[Connection]:
        """A connection whose statements commit one by one: for VACUUM, checkpoints and pragmas."""
        with spoken(), self.engine.connect() as connection:
            yield connection.execution_options(isolation_level="AUTOCOMMIT")

    def erase(self, tables: Iterable[str] | None = None, seconds: float = 30.0) -> bool:
        """Removes what was deleted from every byte of the files; for after withdrawals.

        SQLite: the text indexes are merged, the file is vacuumed, the write-ahead log emptied. PostgreSQL: VACUUM FULL
        of `tables` (default: all that hold records); its own log keeps old bytes until it is reused. False if a reader
        held the log for longer than `seconds`: call it again. In a trial there is nothing to remove.
        """
        if self._trial is not None:
            return True
        if self.dialect == "postgresql":
            with self.outside_transactions() as connection:
                erasing.vacuum_full(connection, tables)
            return True
        with self._turn, self.outside_transactions() as connection:
            return erasing.erase_file(connection, time.monotonic() + seconds)

    def close(self) -> None:
        """Closes every connection."""
        self._readers.close()
        with self._turn:
            self._pen.close()
        self._reading.dispose()
        self.engine.dispose()


@contextmanager
def spoken() -> Iterator[None]:
    """Turns what a driver raises because of the machine (full disk, lost server, time limit) into Unavailable."""
    try:
        yield
    except FederationError:
        raise
    except (PoolTimeout, DisconnectionError):
        raise Unavailable("The database has no free connection; try again in a moment.") from None
    except DBAPIError as error:
        if sentence := _sentence(error.orig):
            raise Unavailable(sentence) from None
        raise
    except Exception as error:  # raw driver errors come from two drivers without a common base
        if sentence := _sentence(error):
            raise Unavailable(sentence) from None
        raise


def _sentence(error: BaseException | None) -> str | None:
    return sqlite.sentence(error) or postgres.sentence(error)


def open_database(url: str, key: bytes | None = None, *, statement_seconds: float = 5.0) -> Database:
    """Opens `sqlite:///PATH` or `postgresql://…`; the schema is brought up by `migrate`.

    `key` encrypts a SQLite file whole (SQLCipher): 32 bytes are taken as the key itself, anything else as a
    passphrase. `statement_seconds` bounds each statement of a `reader`. Raises SettingsInvalid for another kind of
    URL, for a key with PostgreSQL and for a key that does not open the file; Unavailable if there is no database.
    """
    with spoken():
        if url.startswith("sqlite"):
            connect = sqlite.opener(url, key)
            writing = _sqlite_engine(lambda: connect(False, None), "BEGIN IMMEDIATE")
            reading = _sqlite_engine(lambda: connect(True, None), "BEGIN")
            readers = ReaderPool(lambda: connect(True, statement_seconds), READERS, WAIT_SECONDS)
            return Database(url, "sqlite", writing, reading, readers)
        writing, reading, raw = postgres.engines(url, key, statement_seconds)
        return Database(url, "postgresql", writing, reading, ReaderPool(raw, READERS, WAIT_SECONDS))


def _sqlite_engine(connect: Any, begin: str) -> Engine:
    engine = create_engine(
        "sqlite://",
        module=sqlite.driver,
        creator=connect,
        paramstyle="named",
        poolclass=sqlite.Pool,
        pool_size=4,
        max_overflow=8,
        hide_parameters=True,
        pool_timeout=WAIT_SECONDS,
    )

    @event.listens_for(engine, "begin")
    def _(connection: Connection) -> None:
        if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
            connection.exec_driver_sql(begin)

    return engine
