"""Sessions of people who are logged in, in a table that all workers share and that is asked for every request.

Of the cookie only the SHA-256 is stored. A session must never outlive its account, its password, or its day.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text

from federation.errors import NotFound, Unavailable
from federation.keys import b64
from federation.oauth.digests import digest
from federation.policies.viewer import Viewer, ViewerKind
from federation.storage.database import Database
from federation.world import World

IDLE_SECONDS = 30 * 60
ABSOLUTE_SECONDS = 12 * 3600
SEEN_SECONDS = 60
"""How often it is written down that a session is in use: not for each request."""
MOST = 20
"""How many sessions an account may have; one more ends the oldest."""


@dataclass(frozen=True)
class Session:
    """Somebody who is logged in. `second` is what was shown beside the password (`totp`, `recovery`) or instead of it
    (`passkey`); None where the account asks for nothing more. Times are seconds since 1970."""

    session_id: str
    handle: str
    name: str
    kind: ViewerKind
    scopes: frozenset[str]
    begun_at: int
    seen_at: int
    second: str | None

    @property
    def viewer(self) -> Viewer:
        """The account as one who asks."""
        return Viewer(self.kind, f"account:{self.handle}", self.scopes)


_IN_FORCE = (
    "SELECT s.session_id, s.handle, a.name, a.kind, a.scopes, s.begun_at, s.seen_at, s.second FROM login_session s "
    "JOIN account a ON a.handle = s.handle AND a.disabled_at IS NULL AND a.password IS NOT NULL "
    "WHERE s.begun_at > :begun AND s.seen_at > :seen AND "
)


def begin_session(database: Database, world: World, handle: str, *, second: str | None = None) -> str:
    """A new session of an account that has just shown who it is: the value for the cookie, which is kept nowhere here.
    Raises NotFound where there is no such account that may log in."""
    with database.write() as connection:
        return begin_session_in(connection, world, handle, second=second)


def begin_session_in(connection: Connection, world: World, handle: str, *, second: str | None) -> str:
    """The same as a part of what uses up a code, so that neither is without the other.

    The account's row is held until the commit: a new password, which ends its sessions, comes before or after."""
    now = world.timestamp()
    if not _hold_account(connection, handle):
        raise NotFound("There is no such account.")
    older = connection.execute(
        text("SELECT digest FROM login_session WHERE handle = :handle ORDER BY begun_at DESC, session_id"),
        {"handle": handle},
    ).all()
    for (oldest,) in older[MOST - 1 :]:
        connection.execute(text("DELETE FROM login_session WHERE digest = :digest"), {"digest": oldest})
    subject = f"{handle} {now} {len(older)}"
    cookie = b64(world.draw("login-session", subject, 32))
    row = {
        "digest": digest(cookie),
        "session_id": world.draw("login-session-id", subject, 8).hex(),
        "handle": handle,
        "now": now,
        "second": second,
    }
    connection.execute(
        text(
            "INSERT INTO login_session (digest, session_id, handle, begun_at, seen_at, second)"
            " VALUES (:digest, :session_id, :handle, :now, :now, :second)"
        ),
        row,
    )
    return cookie


def _hold_account(connection: Connection, handle: str) -> bool:
    held = connection.execute(
        text(
            "UPDATE account SET disabled_at = NULL"
            " WHERE handle = :handle AND disabled_at IS NULL AND password IS NOT NULL"
        ),
        {"handle": handle},
    )
    return held.rowcount == 1


def hold_session_in(connection: Connection, handle: str, session_id: str) -> bool:
    """Whether a session has not been ended, with its account held until the commit: what ends sessions comes before or
    after."""
    if not _hold_account(connection, handle):
        return False
    asked = {"handle": handle, "session_id": session_id}
    sql = "SELECT 1 FROM login_session WHERE handle = :handle AND session_id = :session_id"
    return connection.execute(text(sql), asked).first() is not None


def session_of(database: Database, world: World, cookie: str) -> Session | None:
    """The session of a cookie; None if there is none, it is over, or its account was closed or is being set up anew."""
    now = world.timestamp()
    asked = _bounds(now) | {"digest": digest(cookie)}
    with database.read() as connection:
        row = connection.execute(text(f"{_IN_FORCE} s.digest = :digest"), asked).first()
    if row is None:
        return None
    if row.seen_at <= now - SEEN_SECONDS:
        with suppress(Unavailable), database.write() as connection:  # who reads may go on where nothing can be written
            connection.execute(
                text("UPDATE login_session SET seen_at = :now WHERE digest = :digest AND seen_at < :now"),
                {"digest": asked["digest"], "now": now},
            )
    return _session(row)


def list_sessions(database: Database, world: World, handle: str) -> list[Session]:
    """The sessions of an account that are in force, newest first."""
    sql = f"{_IN_FORCE} s.handle = :handle ORDER BY s.begun_at DESC, s.session_id"
    with database.read() as connection:
        rows = connection.execute(text(sql), _bounds(world.timestamp()) | {"handle": handle}).all()
    return [_session(row) for row in rows]


def end_session(database: Database, handle: str, session_id: str) -> None:
    """Ends one session of an account, on every worker at once. Raises NotFound."""
    with database.write() as connection:
        ended = connection.execute(
            text("DELETE FROM login_session WHERE handle = :handle AND session_id = :session_id"),
            {"handle": handle, "session_id": session_id},
        )
        if ended.rowcount != 1:
            raise NotFound("There is no such session.")


def end_sessions(database: Database, handle: str, *, keep: str | None = None) -> int:
    """Ends the sessions of an account, all but the one with the id `keep`: how many."""
    with database.write() as connection:
        return end_sessions_in(connection, handle, keep=keep)


def end_sessions_in(connection: Connection, handle: str, *, keep: str | None = None) -> int:
    """The same as a part of what else a writer does: a new password and its sessions must not fall apart."""
    statement = text("DELETE FROM login_session WHERE handle = :handle AND session_id <> :keep")
    return connection.execute(statement, {"handle": handle, "keep": keep or ""}).rowcount


def prune_sessions(database: Database, world: World) -> int:
    """Forgets sessions that are over, and setup links: how many rows went."""
    now = world.timestamp()
    over = "FROM login_session WHERE begun_at <= :begun OR seen_at <= :seen"
    links = "FROM setup_link WHERE expires_at <= :now"
    asked = _bounds(now) | {"now": now}
    with database.read() as connection:
        due = connection.execute(text(f"SELECT 1 {over} UNION ALL SELECT 1 {links}"), asked).first()
    if due is None:
        return 0
    with database.write() as connection:
        return sum(connection.execute(text(f"DELETE {each}"), asked).rowcount for each in (over, links))


def _bounds(now: int) -> dict[str, Any]:
    """After which moments a session has to have begun and to have been seen."""
    return {"begun": now - ABSOLUTE_SECONDS, "seen": now - IDLE_SECONDS}


def _session(row: Any) -> Session:
    return Session(
        session_id=row.session_id,
        handle=row.handle,
        name=row.name,
        kind=ViewerKind(row.kind),
        scopes=frozenset(row.scopes.split()),
        begun_at=row.begun_at,
        seen_at=row.seen_at,
        second=row.second,
    )
