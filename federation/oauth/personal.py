"""Personal tokens: Bearer, `:open` scopes only, for a person's calendar or script. Stored as digests."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import insert, select, update
from sqlmodel import col

from federation.errors import BadInput, NotFound
from federation.keys import b64
from federation.oauth.digests import digest
from federation.oauth.realm import Realm
from federation.policies.viewer import Viewer, ViewerKind
from federation.storage.accounts import PersonalToken
from federation.storage.database import Database
from federation.storage.dialect import dialect_of
from federation.world import World

PREFIX = "fedp_"
"""So that a token that lies about is known for what it is."""
MAX_DAYS = 366


@dataclass(frozen=True)
class PersonalTokenView:
    """A personal token as it is listed: never its text."""

    token_id: str
    name: str
    scopes: tuple[str, ...]
    created_at: int
    expires_at: int
    revoked_at: int | None


def issue_personal_token(
    database: Database, world: World, name: str, scopes: frozenset[str], known: frozenset[str], days: int = 90
) -> tuple[str, str]:
    """A new personal token: (its text, shown this once; its id). Raises BadInput: scopes that are not `:open`, or not
    among `known`; a name or a lifetime out of bounds."""
    if not name.strip() or len(name) > 200:
        raise BadInput("A personal token needs a name of at most 200 characters.", field="name")
    if not scopes or not all(scope.endswith(":open") and scope in known for scope in scopes):
        raise BadInput("A personal token may have scopes that end in :open only.", field="scopes")
    if not 1 <= days <= MAX_DAYS:
        raise BadInput(f"A personal token lasts between 1 and {MAX_DAYS} days.", field="days")
    now = world.timestamp()
    subject = f"{name} {now}"
    secret = PREFIX + b64(world.draw("personal-token", subject, 32))
    token_id = world.draw("personal-token-id", subject, 6).hex()
    row = PersonalToken(
        digest=digest(secret),
        token_id=token_id,
        name=name.strip(),
        scopes=" ".join(sorted(scopes)),
        created_at=now,
        expires_at=now + days * 86_400,
    )
    with database.write() as connection:
        connection.execute(insert(PersonalToken).values(**row.model_dump()))
    return secret, token_id


def list_personal_tokens(database: Database) -> list[PersonalTokenView]:
    """All personal tokens, in order of their making."""
    statement = select(PersonalToken.__table__).order_by(  # type: ignore[attr-defined]
        col(PersonalToken.created_at), col(PersonalToken.token_id)
    )
    with database.read() as connection:
        rows = connection.execute(statement).all()
    return [
        PersonalTokenView(
            row.token_id, row.name, tuple(row.scopes.split()), row.created_at, row.expires_at, row.revoked_at
        )
        for row in rows
    ]


def revoke_personal_token(database: Database, world: World, token_id: str) -> None:
    """Revoke one, at once and on every worker. Raises NotFound."""
    statement = (
        update(PersonalToken)
        .where(col(PersonalToken.token_id) == token_id, col(PersonalToken.revoked_at).is_(None))
        .values(revoked_at=world.timestamp())
    )
    with database.write() as connection:
        if connection.execute(statement).rowcount != 1:
            raise NotFound("There is no such personal token in force; `federation token list` shows those there are.")


def personal_viewer(realm: Realm, token: str) -> Viewer | None:
    """The viewer behind a personal token; None if it is none, over or revoked."""
    param = dialect_of(realm.database.dialect).param
    sql = (
        "SELECT token_id, scopes FROM personal_token "  # noqa: S608 -- placeholders alone
        f"WHERE digest = {param('digest')} AND revoked_at IS NULL AND expires_at > {param('now')}"
    )
    with realm.database.reader() as connection:
        row = connection.execute(sql, {"digest": digest(token), "now": realm.world.timestamp()}).fetchone()
    if row is None:
        return None
    token_id, granted = row
    scopes = frozenset(scope for scope in granted.split() if scope.endswith(":open"))
    return Viewer(ViewerKind.CLIENT, f"token:{token_id}", scopes)
