"""Counts of limits in the node's own database: shared by all its processes, and still there after a restart.

A key is what its owner made of an address or a name; only its digest is kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from limits.storage import SlidingWindowCounterSupport, Storage
from sqlalchemy import text

from federation.errors import Unavailable
from federation.limiting.windows import Kept, now
from federation.storage.database import Database
from federation.storage.dialect import dialect_of

# As `windows.now` has it, in one statement: what is kept goes on in its slot (also where the clock has gone back into
# the one before), becomes the earlier count in the next, and is over in any other.
_GOES_ON = "limit_count.slot IN (@slot, @slot + 1)"
_EARLIER = (
    f"CASE WHEN {_GOES_ON} THEN limit_count.earlier "
    "WHEN limit_count.slot = @slot - 1 THEN limit_count.present ELSE 0 END"
)
_PRESENT = f"CASE WHEN {_GOES_ON} THEN limit_count.present ELSE 0 END"
_WEIGHT = "CASE WHEN limit_count.slot = @slot + 1 THEN @whole ELSE @left END"
_TAKE = (
    "INSERT INTO limit_count (digest, slot, earlier, present, ends_at) "  # noqa: S608 -- constants alone
    "VALUES (@digest, @slot, 0, @amount, @ends) "
    f"ON CONFLICT (digest) DO UPDATE SET earlier = {_EARLIER}, present = {_PRESENT} + @amount, "
    "slot = CASE WHEN limit_count.slot = @slot + 1 THEN limit_count.slot ELSE @slot END, ends_at = @ends "
    f"WHERE ({_EARLIER}) * ({_WEIGHT}) / @whole + {_PRESENT} + @amount <= @limit RETURNING present"
)
_ADD = (
    "INSERT INTO limit_count (digest, slot, earlier, present, ends_at) VALUES (@digest, @slot, 0, @amount, @ends) "
    "ON CONFLICT (digest) DO UPDATE SET "
    "present = CASE WHEN limit_count.slot > @at THEN limit_count.present ELSE 0 END + @amount, "
    "slot = CASE WHEN limit_count.slot > @at THEN limit_count.slot ELSE @slot END, "
    "ends_at = CASE WHEN limit_count.slot > @at THEN limit_count.ends_at ELSE @ends END RETURNING present"
)
_FIND = "SELECT slot, earlier, present FROM limit_count WHERE digest = @digest"
_FORGET = "DELETE FROM limit_count WHERE digest = @digest RETURNING 1"
_NUMBERS = ("slot", "amount", "ends", "whole", "left", "limit", "at")


class DatabaseCounts(Storage, SlidingWindowCounterSupport):
    """A storage of `limits` over one table. Thread-safe. Raises the library's StorageError where the database is away.

    What is counted outlives the process, but on SQLite perhaps not a loss of power: no try waits for the disk.
    """

    STORAGE_SCHEME = None

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        super().__init__(wrap_exceptions=True)
        self._database = database
        self._clock = clock
        dialect = dialect_of(database.dialect)

        def written(sql: str) -> str:
            for name in _NUMBERS:
                sql = sql.replace(f"@{name}", dialect.param(name) + ("" if dialect.sqlite else "::bigint"))
            return sql.replace("@digest", dialect.param("digest"))

        self._take, self._add, self._find, self._forget = map(written, (_TAKE, _ADD, _FIND, _FORGET))

    @property
    def base_exceptions(self) -> type[Exception]:
        """What a database raises that is away, full or busy."""
        return Unavailable

    def acquire_sliding_window_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Counts `amount` more, if the window has room for them; in one statement, so that no two take the same."""
        if amount > limit:
            return False
        at = now(None, expiry, self._clock())
        values = {"slot": at.kept.slot, "amount": amount, "limit": limit, "whole": at.whole, "left": at.left}
        values |= {"ends": (at.kept.slot + 3) * expiry}
        return self._write(self._take, key, values) is not None

    def get_sliding_window(self, key: str, expiry: int) -> tuple[int, float, int, float]:
        """The counts of a window as they are now."""
        return now(self._kept(key), expiry, self._clock()).stated()

    def clear_sliding_window(self, key: str, expiry: int) -> None:
        """Forgets a key."""
        del expiry
        self.clear(key)

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Counts in a fixed window, which begins with its first."""
        at = int(self._clock() * 1000)
        values = {"slot": at + expiry * 1000, "amount": amount, "at": at, "ends": at // 1000 + expiry + 1}
        return int(self._write(self._add, key, values))

    def get(self, key: str) -> int:
        """The count of a fixed window."""
        kept = self._kept(key)
        return kept.present if kept is not None and kept.slot > self._clock() * 1000 else 0

    def get_expiry(self, key: str) -> float:
        """When a fixed window ends."""
        kept = self._kept(key)
        return self._clock() if kept is None else kept.slot / 1000

    def check(self) -> bool:
        """Whether the database answers."""
        with self._database.reader() as connection:
            return connection.execute("SELECT 1").fetchone() is not None

    def reset(self) -> int:
        """Forgets everything; gives how many keys."""
        with self._database.write() as connection:
            return connection.execute(text("DELETE FROM limit_count")).rowcount

    def clear(self, key: str) -> None:
        """Forgets a key."""
        self._write(self._forget, key, {})

    def _write(self, sql: str, key: str, values: dict[str, int]) -> Any:
        with self._database.pen(durable=False, alone=True) as connection:
            rows = connection.execute(sql, {"digest": _digest(key), **values}).fetchall()  # whole, so that it commits
            return rows[0][0] if rows else None

    def _kept(self, key: str) -> Kept | None:
        with self._database.reader() as connection:
            row = connection.execute(self._find, {"digest": _digest(key)}).fetchone()
        return None if row is None else Kept(*row)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()[:16]
