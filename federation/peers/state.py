"""What the exchange remembers on both sides: epochs and tokens of the peers served here, cursors of those pulled from.

Only rows about the exchange itself; never a record. Every change of a cursor is a compare-and-set.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, distinct, func, insert, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from federation.errors import Conflict
from federation.storage.database import Database
from federation.storage.items import FORKED
from federation.storage.journal import Position
from federation.storage.tables import grants, leases, meta, peer_ack, quarantine, served, sync_state
from federation.world import World

INCARNATION = "incarnation"
ERASE_DUE = "erase_due"
ERASED_AT = "erased_at"
SERVED_FROM = "served_from"
"""Since which day it is kept what was served, once something of it was forgotten."""
SIGNATURES_SEEN = "signatures_seen:"
_CLASS = "class:"


def meta_value(conn: Connection, key: str) -> str | None:
    """A value of the node's own notes; None if there is none."""
    return conn.execute(select(meta.c.value).where(meta.c.key == key)).scalar_one_or_none()


def set_meta(conn: Connection, key: str, value: str | None) -> None:
    """Write a value of the node's own notes; None removes it."""
    conn.execute(delete(meta).where(meta.c.key == key))
    if value is not None:
        conn.execute(insert(meta).values(key=key, value=value))


def incarnation(database: Database, world: World) -> str:
    """The random name of this life of the database; made if there is none. `renew_incarnation` after a restore."""
    with database.read() as conn:
        found = meta_value(conn, INCARNATION)
    if found is not None:
        return found
    with database.write() as conn:
        found = meta_value(conn, INCARNATION)
        if found is None:
            found = world.draw("incarnation", size=16).hex()
            set_meta(conn, INCARNATION, found)
    return found


def renew_incarnation(database: Database, world: World) -> str:
    """A new incarnation, after a restore or a clone: every peer then reconciles. Gives it."""
    with database.write() as conn:
        before = meta_value(conn, INCARNATION) or ""
        fresh = world.draw("incarnation", before, 16).hex()
        set_meta(conn, INCARNATION, fresh)
    return fresh


# What is served to a peer


def epoch_of(database: Database, pid: int, class_key: str, seen: Callable[[], Mapping[str, Any]]) -> int:
    """The epoch of a peer under its present class: one more than before whenever the class is another. What a new
    class sees is kept beside its name."""
    with database.read() as conn:
        row = conn.execute(select(grants).where(grants.c.peer == pid)).mappings().one_or_none()
    if row is not None and row["class"] == class_key:
        return row["epoch"]
    with database.write() as conn:
        row = conn.execute(select(grants).where(grants.c.peer == pid)).mappings().one_or_none()
        if row is not None and row["class"] == class_key:
            return row["epoch"]
        epoch = 1 if row is None else row["epoch"] + 1
        conn.execute(delete(grants).where(grants.c.peer == pid))
        conn.execute(insert(grants).values({"peer": pid, "class": class_key, "epoch": epoch}))
        if meta_value(conn, _CLASS + class_key) is None:
            set_meta(conn, _CLASS + class_key, json.dumps(seen(), sort_keys=True, separators=(",", ":")))
    return epoch


def classes(database: Database) -> int:
    """How many classes the peers are in, by what was last served to each."""
    with database.read() as conn:
        return conn.execute(select(func.count(distinct(grants.c["class"])))).scalar_one()


def class_kept(conn: Connection, class_key: str) -> Mapping[str, Any]:
    """What a class sees, as it was written down when a peer came into it."""
    return json.loads(meta_value(conn, _CLASS + class_key) or "{}")


@dataclass(frozen=True)
class Standing:
    """A peer as it stands now: its row number, this node's incarnation, its class and epoch."""

    pid: int
    incarnation: str
    class_key: str
    epoch: int


def served_position(conn: Connection, standing: Standing, token: str) -> Position | None:
    """How far a token of this epoch stands for in the journal; None for a token that was never given out."""
    found = conn.execute(
        select(served.c.pos_to)
        .where(
            served.c.peer == standing.pid,
            served.c.token_to == token,
            served.c.incarnation == standing.incarnation,
            served.c.epoch == standing.epoch,
        )
        .order_by(served.c.sid.desc())
        .limit(1)
    ).scalar_one_or_none()
    return None if found is None else Position.parse(found)


def write_served(
    conn: Connection, standing: Standing, tokens: tuple[str, str], span: tuple[str, str], policy: str, at: datetime
) -> None:
    """Write down what is about to go out: the token before and after it, and from where to where it reaches."""
    row = {
        "peer": standing.pid,
        "incarnation": standing.incarnation,
        "epoch": standing.epoch,
        "class": standing.class_key,
        "token_from": tokens[0],
        "token_to": tokens[1],
        "pos_from": span[0],
        "pos_to": span[1],
        "policy": policy,
        "at": at.isoformat(),
    }
    conn.execute(insert(served).values(row))


def move_served(conn: Connection, standing: Standing, token: str, position: Position) -> None:
    """Remember that nothing between a token's position and this one concerns the peer. The token stays the same, so
    that a hidden write changes no byte for it."""
    where = (
        (served.c.peer == standing.pid)
        & (served.c.token_to == token)
        & (served.c.incarnation == standing.incarnation)
        & (served.c.epoch == standing.epoch)
    )
    newest = select(served.c.sid).where(where).order_by(served.c.sid.desc()).limit(1).scalar_subquery()
    conn.execute(update(served).where(served.c.sid == newest).values(pos_to=str(position)))


def note_confirmed(database: Database, standing: Standing, cursor: str, at: datetime) -> None:
    """Remember the cursor that a peer came back with: up to there its slice was its view. Nothing is written where
    that is known already, so that an idle peer costs no write."""
    with database.read() as conn:
        row = conn.execute(select(peer_ack).where(peer_ack.c.peer == standing.pid)).one_or_none()
    if row is not None and (row.incarnation, row.epoch, row.cursor) == (standing.incarnation, standing.epoch, cursor):
        return
    with database.write() as conn:
        conn.execute(delete(peer_ack).where(peer_ack.c.peer == standing.pid))
        conn.execute(
            insert(peer_ack).values(
                peer=standing.pid,
                incarnation=standing.incarnation,
                epoch=standing.epoch,
                cursor=cursor,
                at=at.isoformat(),
            )
        )


def prune_served(database: Database, before: datetime) -> int:
    """Forget what was served before a moment, but for the last of each peer, from which it goes on. Gives how many."""
    newest = select(func.max(served.c.sid)).group_by(served.c.peer)
    old = (served.c.at < before.isoformat()) & served.c.sid.not_in(newest)
    with database.read() as conn:
        if conn.execute(select(served.c.sid).where(old).limit(1)).first() is None:
            return 0
    with database.write() as conn:
        set_meta(conn, SERVED_FROM, before.date().isoformat())
        return conn.execute(delete(served).where(old)).rowcount


# What is pulled from a peer


@dataclass(frozen=True)
class Run:
    """A reconcile under way: its random name, the type that is next and the id after which to go on (hex)."""

    name: str
    type: str | None = None
    after: str | None = None

    def written(self) -> str:
        """As it is kept."""
        return json.dumps([self.name, self.type, self.after], separators=(",", ":"))


@dataclass(frozen=True)
class SyncState:
    """How far a peer was pulled. Without a cursor, or with a run, the next pull reconciles."""

    pid: int
    incarnation: str | None = None
    epoch: int | None = None
    cursor: str | None = None
    run: Run | None = None
    failures: int = 0
    next_try: datetime | None = None
    last_success: datetime | None = None
    last_error: str | None = None


def sync_state_of(database: Database, pid: int) -> SyncState:
    """The state of pulling from a peer; a fresh one where it was never pulled."""
    with database.read() as conn:
        row = conn.execute(select(sync_state).where(sync_state.c.via == pid)).one_or_none()
    if row is None:
        return SyncState(pid)
    return SyncState(
        pid,
        row.incarnation,
        row.epoch,
        row.cursor,
        Run(*json.loads(row.reconcile)) if row.reconcile else None,
        row.failures,
        datetime.fromisoformat(row.next_try) if row.next_try else None,
        datetime.fromisoformat(row.last_success) if row.last_success else None,
        row.last_error,
    )


def advance(conn: Connection, before: SyncState, **changes: Any) -> SyncState:
    """Move a pull on, if it still stands where the caller read it; in the transaction that applies what was pulled.

    Raises Conflict where another pull was faster: the whole transaction is then nothing.
    """
    after = replace(before, **changes)
    _ensure(conn, before.pid)
    moved = conn.execute(
        update(sync_state)
        .where(
            sync_state.c.via == before.pid,
            sync_state.c.incarnation.is_not_distinct_from(before.incarnation),
            sync_state.c.epoch.is_not_distinct_from(before.epoch),
            sync_state.c.cursor.is_not_distinct_from(before.cursor),
            sync_state.c.reconcile.is_not_distinct_from(before.run.written() if before.run else None),
        )
        .values(
            incarnation=after.incarnation,
            epoch=after.epoch,
            cursor=after.cursor,
            reconcile=after.run.written() if after.run else None,
        )
    )
    if moved.rowcount != 1:
        raise Conflict("Another exchange with this peer was faster; nothing was applied twice.")
    return after


def _ensure(conn: Connection, pid: int) -> None:
    dialect = postgresql if conn.dialect.name == "postgresql" else sqlite
    conn.execute(dialect.insert(sync_state).values(via=pid, failures=0).on_conflict_do_nothing())


def note_result(
    database: Database, pid: int, *, failures: int, next_try: datetime, success: datetime | None, error: str | None
) -> None:
    """Write down how a pull ended and when the next is due. `error` is a code, never a text from outside."""
    values: dict[str, Any] = {"failures": failures, "next_try": next_try.isoformat(), "last_error": error}
    if success is not None:
        values["last_success"] = success.isoformat()
    with database.write() as conn:
        _ensure(conn, pid)
        conn.execute(update(sync_state).where(sync_state.c.via == pid).values(**values))


def was_pulled(conn: Connection, pid: int) -> bool:
    """Whether anything may be held that came by a peer: it was pulled, and not let go of since."""
    begun = or_(
        sync_state.c.incarnation.is_not(None), sync_state.c.cursor.is_not(None), sync_state.c.reconcile.is_not(None)
    )
    return conn.execute(select(sync_state.c.via).where(sync_state.c.via == pid, begun)).first() is not None


def forked_origins(database: Database, pid: int) -> list[str]:
    """The origins of which a peer told a successor of a key that is not the known one."""
    wanted = (quarantine.c.via == pid, quarantine.c.reason == FORKED)
    with database.read() as conn:
        return list(conn.execute(select(quarantine.c.origin).where(*wanted).order_by(quarantine.c.origin)).scalars())


def pull_anew(conn: Connection, pid: int, *, empty: bool) -> None:
    """Make the next pull of a peer begin from nothing, now. `empty`: nothing that came by it is held any more."""
    values: dict[str, Any] = {"epoch": None, "cursor": None, "reconcile": None, "next_try": None, "failures": 0}
    forgotten = {"incarnation": None} if empty else {}
    conn.execute(update(sync_state).where(sync_state.c.via == pid).values(**values, **forgotten))


def forget_failures(database: Database) -> None:
    """Make every peer due now, whatever went wrong before: for an operator who knows that the cause is gone."""
    with database.write() as conn:
        conn.execute(update(sync_state).values(failures=0, next_try=None))


def take_lease(database: Database, name: str, holder: str, now: int, seconds: int) -> bool:
    """Whether `holder` may work under this name until `now + seconds`: one process at a time, also after a crash."""
    dialect = postgresql if database.dialect == "postgresql" else sqlite
    statement = dialect.insert(leases).values(name=name, holder=holder, expires=now + seconds)
    taken = statement.on_conflict_do_update(
        index_elements=["name"],
        set_={"holder": holder, "expires": now + seconds},
        where=(leases.c.expires <= now) | (leases.c.holder == holder),
    ).returning(leases.c.name)  # the number of rows of an INSERT is not told by every driver
    with database.write() as conn:
        return conn.execute(taken).first() is not None


def give_lease_back(database: Database, name: str, holder: str) -> None:
    """Let others work under this name again."""
    with database.write() as conn:
        conn.execute(delete(leases).where(leases.c.name == name, leases.c.holder == holder))


def digest(parts: Mapping[str, Any] | list[Any]) -> str:
    """A short hash of JSON-able parts."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:32]
