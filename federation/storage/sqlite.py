"""How SQLite is opened: always through the SQLCipher driver, with the same safe settings, with or without a key.

A key must never be part of a statement that is logged or of an error.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy.engine import make_url
from sqlalchemy.pool import QueuePool as Pool
from sqlcipher3 import dbapi2 as driver

from federation.errors import SettingsInvalid, Unavailable

__all__ = ["Opener", "Pool", "driver", "locked", "opener", "sentence"]

Opener = Callable[[bool, float | None], Any]

BUSY_MILLISECONDS = 30_000
SALT_BYTES = 16
TICK = 20_000
"""How many steps of SQLite's machine pass between two looks at the clock of a statement with a time limit."""


def _as_it_is(value: object) -> object:
    return value


for _plain in (type(None), bytes):  # without an adapter the driver looks for one each time, at 20 times the cost
    driver.register_adapter(_plain, _as_it_is)


class RawConnection(driver.Connection):
    """A raw connection. `makes_ids`: it has the functions that make ids for a viewer."""

    makes_ids: bool = False


class LimitedConnection(RawConnection):
    """A raw connection whose statements are stopped after `limit` seconds."""

    limit: float = 0.0
    _deadline: float = 0.0

    def execute(self, *arguments: Any) -> Any:
        """As `Connection.execute`; the clock begins anew."""
        self._deadline = time.monotonic() + self.limit
        return super().execute(*arguments)

    def overdue(self) -> int:
        """Whether the statement that runs has used up its time; for the progress handler."""
        return int(time.monotonic() > self._deadline)


def opener(url: str, key: bytes | None) -> Opener:
    """A function (read_only, statement_seconds) that opens connections to the file of `sqlite:///PATH`.

    Makes the file where there is none, readable for its owner only. Raises SettingsInvalid for a URL without a path
    and for a key that does not open the file.
    """
    path = make_url(url).database
    if not path or path == ":memory:":
        raise SettingsInvalid("A SQLite database needs a file: sqlite:///PATH.")
    with locked(path):
        fresh = not os.path.exists(path) or os.path.getsize(path) == 0
        if fresh:
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        pragma = _key_pragma(path, key, fresh) if key is not None else None
        _first_look(path, pragma)
    return lambda read_only, seconds: _connect(path, pragma, read_only, seconds)


@contextmanager
def locked(path: str | Path) -> Iterator[None]:
    """Holds the lock file beside the database, across processes."""
    with open(f"{path}.lock", "a", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _key_pragma(path: str, key: bytes, fresh: bool) -> str:
    """The PRAGMA that opens the file: key and salt in hexadecimal, the passphrase stretched once and not for each
    connection. The salt is the head of the file, as SQLCipher writes it."""
    if fresh:
        salt = os.urandom(SALT_BYTES)
    else:
        with open(path, "rb") as file:
            salt = file.read(SALT_BYTES)
    raw = key if len(key) == 32 else hashlib.scrypt(key, salt=salt, n=2**15, r=8, p=1, maxmem=2**26, dklen=32)
    return f"PRAGMA key = \"x'{raw.hex()}{salt.hex()}'\""


def _first_look(path: str, pragma: str | None) -> None:
    connection = driver.connect(path, isolation_level=None)
    try:
        if pragma:
            # SQLCipher writes lines of its own to standard error where a key does not fit, which is told below.
            (level,) = connection.execute("PRAGMA cipher_log_level").fetchone()
            connection.execute("PRAGMA cipher_log_level = NONE")
            connection.execute(pragma)
        try:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        finally:
            if pragma:
                connection.execute(f"PRAGMA cipher_log_level = {level}")
        connection.execute("PRAGMA journal_mode = WAL").fetchone()
    except driver.DatabaseError as error:
        if "not a database" in str(error):
            raise SettingsInvalid("The database file cannot be opened with this key, or is none.") from None
        raise
    finally:
        connection.close()


def _connect(path: str, pragma: str | None, read_only: bool, seconds: float | None) -> Any:
    factory = RawConnection if seconds is None else LimitedConnection
    connection = driver.connect(path, isolation_level=None, check_same_thread=False, factory=factory)
    if pragma:
        connection.execute(pragma)
    for statement in (
        f"PRAGMA busy_timeout = {BUSY_MILLISECONDS}",
        "PRAGMA synchronous = FULL",  # no acknowledged write may be lost
        "PRAGMA foreign_keys = ON",
        "PRAGMA secure_delete = ON",
        "PRAGMA temp_store = MEMORY",  # temporary files would hold values in the clear
        "PRAGMA cache_size = -16000",
        f"PRAGMA query_only = {'ON' if read_only else 'OFF'}",
    ):
        connection.execute(statement).fetchall()
    if isinstance(connection, LimitedConnection):
        connection.limit = seconds or 0.0
        connection.set_progress_handler(connection.overdue, TICK)
    return connection


def sentence(error: BaseException | None) -> str | None:
    """What to tell a person of an error of the machine; None for any other error."""
    if not isinstance(error, driver.Error):
        return None
    text = str(error)
    if "disk is full" in text:
        return "The disk is full: nothing was written. Make room and try again."
    if "disk I/O error" in text or "unable to open" in text or "readonly database" in text:
        return "The database file cannot be read or written; see that the disk has room and its rights are in order."
    if "locked" in text or "busy" in text:
        return "Other writers keep the database busy; try again in a moment."
    if "interrupted" in text:
        return "The request took longer than it may; ask for less."
    return None


def unavailable(error: BaseException) -> Unavailable | None:
    """The error of the machine as the node's own, or None."""
    text = sentence(error)
    return Unavailable(text) if text else None
