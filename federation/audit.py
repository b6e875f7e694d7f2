"""The ledger: every crossing of either door above `open`, entered before it happens, in chains of hashes.

Entries hold ids, masks and hashes, never values. Where an entry cannot be written the crossing must not happen.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Condition, Lock
from typing import Any

import orjson
from sqlalchemy import Connection, text

from federation.errors import Unavailable
from federation.storage import chains
from federation.storage.chains import Line
from federation.storage.database import Database
from federation.world import World

ANCHOR_SECONDS = 60
WRITES = "writes"
"""The chain of what enters by this node's own accounts: written in the transaction of the write itself."""

_CLOSED = "The ledger cannot be written, so nothing above open is answered now; see that the disk has room."
_PAGE = 1000
_ENTRY = "seq, chain, n, at, viewer, kind, body"


@dataclass(frozen=True)
class LedgerEntry:
    """One crossing: who, what kind of crossing, and `body`: type, record ids, mask of steps (hex), policy version."""

    seq: int
    chain: str
    n: int
    at: str
    viewer: str
    kind: str
    body: dict[str, Any]


@dataclass
class _Waiting:
    """An entry on its way to the next commit."""

    line: Line
    done: bool = False
    failed: bool = False


@dataclass
class _Chain:
    """The head of this process's own chain, as it was last committed."""

    name: str = ""
    n: int = 0
    hash: bytes = chains.NOTHING
    anchored: datetime | None = None
    opened: dict[tuple[str, str, str], int] = field(default_factory=dict)


def _entry(row: Any) -> LedgerEntry:
    seq, chain, n, at, viewer, kind, body = row
    return LedgerEntry(seq, chain, n, at, viewer, kind, json.loads(body))


class Ledger:
    """One process's pen: threads that enter at the same moment share one commit."""

    def __init__(self, database: Database, world: World) -> None:
        self._database = database
        self._world = world
        self._chain = _Chain()
        self._queue: list[_Waiting] = []
        self._writing = False
        self._turn = Condition(Lock())

    def enter(self, viewer: str, kind: str, type_key: str, gids: Sequence[str], mask: int, policy_version: str) -> None:
        """Enters one crossing and returns when it is committed. Raises Unavailable if it cannot be: then nothing may
        leave. `viewer` is the subject, `mask` is over `records.rows.bits` of the type."""
        waiting = _Waiting(self._line(viewer, kind, type_key, gids, mask, policy_version))
        with self._turn:
            self._queue.append(waiting)
            while self._writing and not waiting.done:
                self._turn.wait()
            if waiting.done:
                return self._checked(waiting)
            self._writing = True
            batch, self._queue = self._queue, []
        committed = False
        try:
            self._commit(batch)
            committed = True
        finally:
            with self._turn:
                self._writing = False
                for each in batch:
                    each.done, each.failed = True, not committed
                self._turn.notify_all()
        return self._checked(waiting)

    def note(
        self,
        connection: Connection,
        viewer: str,
        kind: str,
        type_key: str,
        gids: Sequence[str],
        mask: int = 0,
        policy_version: str = "",
    ) -> None:
        """Enters a write of this node's own accounts in the transaction of the write: both are committed, or none."""
        line = self._line(viewer, kind, type_key, gids, mask, policy_version)
        raw, style = connection.connection.driver_connection, self._database.paramstyle
        chains.append(raw, style, WRITES, *chains.head(connection, WRITES, lock=True), [line])

    def count_open(self, kind: str, type_key: str, rows: int = 1) -> None:
        """Counts rows that left with `open` values only; written with the next anchor. Never raises."""
        day = self._world.today().isoformat()
        with self._turn:
            counted = self._chain.opened
            counted[day, kind, type_key] = counted.get((day, kind, type_key), 0) + rows

    def anchor(self) -> None:
        """Ties the heads of all chains together and writes the open counts; to be called each minute, and by itself
        when a minute has passed since the last. Raises Unavailable."""
        with self._turn:
            while self._writing:
                self._turn.wait()
            self._writing = True
        try:
            self._commit([], anchor=True)
        finally:
            with self._turn:
                self._writing = False
                self._turn.notify_all()

    def _commit(self, batch: list[_Waiting], anchor: bool = False) -> None:
        """Writes a batch as one transaction, and where a minute has passed what ties the chains together as another.
        Only one thread at a time is here."""
        chain, now = self._chain, self._world.now()
        due = anchor or (chain.anchored is not None and now - chain.anchored >= timedelta(seconds=ANCHOR_SECONDS))
        with self._turn:
            opened = dict(chain.opened) if due else {}
        try:
            name, n, last = self._entered([each.line for each in batch]) if batch else (chain.name, chain.n, chain.hash)
            if due:
                with self._database.write() as connection:
                    chains.add_open_counts(connection, opened)
                    chains.anchor(connection, now.isoformat())
        except Exception as error:  # whatever it is: what is not entered does not leave
            chain.name, chain.n, chain.hash = "", 0, chains.NOTHING  # it may have been committed after all
            raise Unavailable(_CLOSED) from error
        chain.name, chain.n, chain.hash = name, n, last
        if due or chain.anchored is None:
            chain.anchored = now
        with self._turn:
            for key, rows in opened.items():
                chain.opened[key] -= rows
                if not chain.opened[key]:
                    del chain.opened[key]

    def _entered(self, lines: list[Line]) -> tuple[str, int, bytes]:
        """Continues this process's chain by lines, a new one where it has none; gives its name and new head."""
        chain = self._chain
        if not chain.name:
            with self._database.write() as connection:
                chain.name = chains.new_chain(connection, self._world)
        with self._database.pen() as raw:
            return chain.name, *chains.append(raw, self._database.paramstyle, chain.name, chain.n, chain.hash, lines)

    @staticmethod
    def _checked(waiting: _Waiting) -> None:
        if waiting.failed:
            raise Unavailable(_CLOSED)

    def entries(
        self, after: int = 0, limit: int = _PAGE, viewer: str | None = None, kind: str | None = None
    ) -> list[LedgerEntry]:
        """Entries after a sequence number, oldest first, of one viewer or kind if given."""
        where = "seq > :after" + (" AND viewer = :viewer" if viewer else "") + (" AND kind = :kind" if kind else "")
        with self._database.read() as connection:
            rows = connection.execute(
                text(f"SELECT {_ENTRY} FROM ledger WHERE {where} ORDER BY seq LIMIT :limit"),  # noqa: S608  (no values)
                {"after": after, "limit": limit, "viewer": viewer, "kind": kind},
            )
            return [_entry(row) for row in rows]

    def newest(self, limit: int, viewer: str | None = None) -> list[LedgerEntry]:
        """The newest entries first, of one viewer if given."""
        where = "WHERE viewer = :viewer " if viewer else ""
        with self._database.read() as connection:
            rows = connection.execute(
                text(f"SELECT {_ENTRY} FROM ledger {where}ORDER BY seq DESC LIMIT :limit"),  # noqa: S608  (no values)
                {"limit": limit, "viewer": viewer},
            )
            return [_entry(row) for row in rows]

    def open_counts(self) -> dict[tuple[str, str, str], int]:
        """The rows that left with `open` values only, by (day, kind, type), as far as they are written."""
        with self._database.read() as connection:
            rows = connection.execute(text('SELECT day, kind, type, "rows" FROM ledger_open_counts'))
            return {(row[0], row[1], row[2]): row[3] for row in rows}

    def prune(self, before: datetime) -> int:
        """Removes what is older than a moment from the beginning of each chain; gives how many entries went."""
        with self._database.write() as connection:
            return chains.shorten(connection, before.isoformat())

    def verify(self) -> list[str]:
        """What is wrong with the ledger, in sentences; empty if no entry was changed, removed, added or moved."""
        with self._database.read() as connection:
            return chains.verify(connection)

    def _line(self, viewer: str, kind: str, type_key: str, gids: Sequence[str], mask: int, policy_version: str) -> Line:
        body = {"type": type_key, "ids": list(gids), "mask": f"{mask:x}", "policy": policy_version}
        return Line(self._world.now().isoformat(), viewer, kind, orjson.dumps(body).decode())
