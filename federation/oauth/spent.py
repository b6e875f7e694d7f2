"""Identifiers that may be used once: the `jti` of assertions and of proofs, in a table that all workers share.

An identifier must never be accepted before its row is committed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from threading import Condition

from sqlalchemy import text

from federation.storage.database import Database
from federation.world import World

PRUNE_SECONDS = 60
MOST = 200


def identifier(kind: str, owner: str, jti: str) -> bytes:
    """The digest under which an identifier is stored: kind (`assertion`, `proof`), who made it, and its `jti`."""
    parts = (kind.encode(), owner.encode(), jti.encode())
    return hashlib.sha256(b"".join(len(part).to_bytes(4, "big") + part for part in parts)).digest()[:16]


class _Order:
    """What one request wants to spend, and what came of it."""

    def __init__(self, entries: Sequence[tuple[bytes, int]], durable: bool, token: str) -> None:
        self.entries = entries
        self.durable = durable
        self.token = token
        self.fresh: list[bool] | None = None
        self.failure: BaseException | None = None


class SpentIdentifiers:
    """The table, seen from one process. Requests that come at one moment share a commit: the first that finds nobody
    at work writes for all that wait, so that a busy node does not pay one disk flush for each request."""

    def __init__(self, database: Database, world: World) -> None:
        self._database = database
        self._world = world
        self._turn = Condition()
        self._waiting: list[_Order] = []
        self._busy = False
        self._pruned = 0

    def spend(self, entries: Sequence[tuple[bytes, int]], *, durable: bool = True, token: str = "") -> bool:
        """Spend (digest, second up to which it counts) each. True if all were fresh; then they are committed.
        False if any was used before, or if the access token with the `jti` `token` was revoked: both are looked up in
        one statement. Raises Unavailable if it cannot be written: nothing may be accepted then.

        Not `durable`, on SQLite: they outlive the process, but perhaps not a loss of power. That is enough for what a
        nonce with the `boot_id` covers, and saves the disk flush of each request."""
        order = _Order(entries, durable, token)
        with self._turn:
            self._waiting.append(order)
            while self._busy and order.fresh is None and order.failure is None:
                self._turn.wait()
            if order.fresh is None and order.failure is None:
                batch, self._waiting, self._busy = self._waiting, [], True
            else:
                batch = []
        if batch:
            self._work(batch)
        if order.failure is not None:
            raise order.failure
        return bool(order.fresh) and all(order.fresh or ())

    def _work(self, batch: list[_Order]) -> None:
        failure: BaseException | None = None
        results: list[list[bool]] = []
        try:
            results = self._write(batch)
        except BaseException as failed:
            failure = failed
        with self._turn:
            for place, order in enumerate(batch):
                order.failure = failure
                order.fresh = None if failure else results[place]
            self._busy = False
            self._turn.notify_all()

    def _write(self, batch: list[_Order]) -> list[list[bool]]:
        now = self._world.timestamp()
        if abs(now - self._pruned) >= PRUNE_SECONDS:
            prune(self._database, now)
            self._pruned = now
        first: dict[bytes, tuple[bytes, int, str]] = {}
        owners: list[list[bool]] = []
        for order in batch:  # one that stands twice is the first order's, also where that one's token was revoked
            owners.append([digest not in first for digest, _ in order.entries])
            for digest, until in order.entries:
                first.setdefault(digest, (digest, until, order.token))
        entries, durable = list(first.values()), any(order.durable for order in batch)
        left: set[bytes] = set()
        for start in range(0, len(entries), MOST):
            left |= self._insert(entries[start : start + MOST], durable)
        return [
            [own and digest in left for own, (digest, _) in zip(mine, order.entries, strict=True)]
            for mine, order in zip(owners, batch, strict=True)
        ]

    def _insert(self, entries: Sequence[tuple[bytes, int, str]], durable: bool) -> set[bytes]:
        """Those digests that were not there, and whose token is in force.

        One raw statement, on a path that every request takes."""
        sqlite = self._database.dialect == "sqlite"
        mark = "(:d{0},:e{0},:j{0})" if sqlite else "(%(d{0})s::bytea,%(e{0})s::bigint,%(j{0})s::text)"
        marks = ",".join(mark.format(place) for place in range(len(entries)))
        sql = (
            f"INSERT INTO spent_identifier (digest, expires_at) SELECT column1, column2 FROM (VALUES {marks}) AS new "  # noqa: S608 -- marks of parameters
            "WHERE NOT EXISTS (SELECT 1 FROM revoked_token WHERE jti = new.column3) "
            "ON CONFLICT (digest) DO NOTHING RETURNING digest"
        )
        values: dict[str, object] = {}
        for place, (digest, until, token) in enumerate(entries):
            values |= {f"d{place}": digest, f"e{place}": until, f"j{place}": token}
        with self._database.pen(durable=durable, alone=True) as connection:
            return {bytes(row[0]) for row in connection.execute(sql, values).fetchall()}


def boot_id(database: Database, world: World) -> bytes:
    """What is new each time that the machine starts, where nonces have to end with it; else nothing.

    On SQLite, what was spent just before a loss of power may be forgotten. Nonces that derive from this are forgotten
    with it, and so are the proofs that named them."""
    if database.dialect != "sqlite" or world.seed is not None:
        return b""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_bytes()
    except OSError:
        return b""


def prune(database: Database, now: int) -> None:
    """Forget identifiers and revocations that are over: what they stand for is refused for its age already."""
    with database.write() as connection:
        for table in ("spent_identifier", "revoked_token"):
            connection.execute(text(f"DELETE FROM {table} WHERE expires_at < :now"), {"now": now})  # noqa: S608 -- two fixed names
