"""Grants: what an account of this node allowed a program to do on its behalf.

What a grant gives is looked up at each use: it is never more than the program and the account have at that moment.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select, text
from sqlmodel import col

from federation.keys import b64
from federation.oauth.digests import digest
from federation.oauth.realm import Realm, RegisteredClient
from federation.oauth.tokens import OnBehalf
from federation.policies.tiers import READING_SCOPE, closure
from federation.policies.viewer import ViewerKind
from federation.storage.database import Database
from federation.storage.dialect import dialect_of
from federation.storage.grants import OAuthGrant
from federation.world import World

GRANT_SECONDS = 30 * 86_400


@dataclass(frozen=True)
class Grant:
    """A grant that stands: neither it nor the account is over. `allows` is what the account may give now."""

    grant_id: str
    client_id: str
    handle: str
    sub: str
    scopes: frozenset[str]
    jkt: str | None
    ends: int
    allows: frozenset[str]

    @property
    def on_behalf(self) -> OnBehalf:
        """What a token of this grant says of it."""
        return OnBehalf(self.sub, self.grant_id, self.ends)

    def gives(self, client: RegisteredClient, scopes: frozenset[str] | None = None) -> frozenset[str]:
        """Of `scopes` (else all of the grant) those that the program gets: granted, and held by both sides now."""
        return client.allowed(self.scopes if scopes is None else closure(self.scopes) & scopes) & self.allows


def may_give(kind: ViewerKind, scopes: frozenset[str], known: frozenset[str]) -> frozenset[str]:
    """What an account may give a program: a steward every scope to read and the actions of its own, a member what its
    account has. A program is never a steward or member: nothing that stays at home can leave by what it is given."""
    held = closure(scopes)
    return held | {each for each in known if READING_SCOPE.fullmatch(each)} if kind is ViewerKind.STEWARD else held


def pseudonym(realm: Realm, client_id: str, handle: str) -> str:
    """What a program knows an account by: the same each time, another for each program, telling nothing else."""
    message = b"person\0" + client_id.encode() + b"\0" + handle.encode()
    return "person-" + b64(hmac.digest(realm.keys.secret, message, "sha256")[:16])


# In force


_STANDS = """SELECT g.grant_id, g.client_id, g.handle, g.sub, g.scopes, g.jkt, g.ends_at, a.kind, a.scopes
FROM oauth_grant g JOIN account a ON a.handle = g.handle
WHERE g.grant_id = {id} AND g.revoked_at IS NULL AND g.ends_at > {now} AND a.disabled_at IS NULL"""


def standing(realm: Realm, grant_id: str) -> Grant | None:
    """The grant, unless it or its account is over. One raw statement: each use of its tokens asks."""
    param = dialect_of(realm.database.dialect).param
    sql = _STANDS.format(id=param("id"), now=param("now"))
    with realm.database.reader() as connection:
        row = connection.execute(sql, {"id": grant_id, "now": realm.world.timestamp()}).fetchone()
    return None if row is None else _grant(realm, row)


def standing_in(connection: Connection, realm: Realm, grant_id: str) -> Grant | None:
    """The same within a transaction."""
    values = {"id": grant_id, "now": realm.world.timestamp()}
    row = connection.execute(text(_STANDS.format(id=":id", now=":now")), values).first()
    return None if row is None else _grant(realm, row)


def _grant(realm: Realm, row: Any) -> Grant:
    grant_id, client_id, handle, sub, scopes, jkt, ends, kind, held = row
    allows = may_give(ViewerKind(kind), frozenset(held.split()), realm.scopes)
    return Grant(grant_id, client_id, handle, sub, frozenset(scopes.split()), jkt, ends, allows)


def grant_of_refresh(realm: Realm, token: str) -> Grant | None:
    """The grant that a refresh token belongs to, if both are in force; looking changes nothing."""
    find = text("SELECT grant_id FROM refresh_token WHERE digest = :digest AND used_at IS NULL")
    with realm.database.read() as connection:
        grant_id = connection.execute(find, {"digest": digest(token)}).scalar()
        return None if grant_id is None else standing_in(connection, realm, grant_id)


# Ending


def owner_of_refresh(database: Database, token: str) -> tuple[str, str] | None:
    """(client, grant) of a refresh token, used ones too; None if there is none."""
    find = text(
        "SELECT g.client_id, g.grant_id FROM refresh_token r JOIN oauth_grant g ON g.grant_id = r.grant_id"
        " WHERE r.digest = :digest"
    )
    with database.read() as connection:
        row = connection.execute(find, {"digest": digest(token)}).first()
    return None if row is None else (row.client_id, row.grant_id)


def end_grant(database: Database, world: World, grant_id: str) -> bool:
    """End a grant, with all its tokens, on every worker; whether there was one that was not revoked yet."""
    with database.write() as connection:
        return end_in(connection, grant_id, world.timestamp())


def end_in(connection: Connection, grant_id: str, now: int) -> bool:
    """The same within a transaction."""
    values: Mapping[str, Any] = {"now": now, "id": grant_id}
    statement = text("UPDATE oauth_grant SET revoked_at = :now WHERE grant_id = :id AND revoked_at IS NULL")
    return connection.execute(statement, values).rowcount == 1


def end_grants_in(connection: Connection, handle: str, now: int) -> int:
    """End all that an account gave, within a transaction: how many."""
    statement = text("UPDATE oauth_grant SET revoked_at = :now WHERE handle = :handle AND revoked_at IS NULL")
    return connection.execute(statement, {"now": now, "handle": handle}).rowcount


@dataclass(frozen=True)
class GrantView:
    """A grant as it is listed: who gave what to whom; over ones too while they are kept."""

    grant_id: str
    client_id: str
    handle: str
    sub: str
    scopes: tuple[str, ...]
    created_at: int
    ends_at: int
    revoked_at: int | None


def list_grants(database: Database) -> list[GrantView]:
    """All grants that are kept, in order of their making."""
    statement = select(OAuthGrant.__table__).order_by(  # type: ignore[attr-defined]
        col(OAuthGrant.created_at), col(OAuthGrant.grant_id)
    )
    with database.read() as connection:
        rows = connection.execute(statement).all()
    return [
        GrantView(
            row.grant_id,
            row.client_id,
            row.handle,
            row.sub,
            tuple(row.scopes.split()),
            row.created_at,
            row.ends_at,
            row.revoked_at,
        )
        for row in rows
    ]


def prune_grants(database: Database, now: int, kept_seconds: int) -> None:
    """Forget requests that nobody answered, the codes and refresh tokens of grants that are over, and those grants once
    the ledger does not name them any more, `kept_seconds` after their end."""
    over = "SELECT grant_id FROM oauth_grant WHERE ends_at <= :now OR revoked_at <= :now"
    with database.write() as connection:
        for statement in (
            "DELETE FROM pushed_request WHERE expires_at <= :now",
            "DELETE FROM client_invitation WHERE expires_at <= :now",
            f"DELETE FROM authorization_code WHERE grant_id IN ({over})",  # noqa: S608 -- a constant
            f"DELETE FROM refresh_token WHERE grant_id IN ({over})",  # noqa: S608 -- a constant
        ):
            connection.execute(text(statement), {"now": now})
        connection.execute(text("DELETE FROM oauth_grant WHERE ends_at <= :before"), {"before": now - kept_seconds})
