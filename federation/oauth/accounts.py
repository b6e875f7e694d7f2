"""Accounts of this network's own people, stewards and members: argon2id passwords, and one-time links to set them."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import Any

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import Row, TextClause, insert, select, text, update
from sqlmodel import col

from federation.errors import BadInput, Conflict, NotFound
from federation.keys import b64
from federation.oauth.digests import digest
from federation.oauth.factors import remove_factors_in
from federation.oauth.grants import end_grants_in
from federation.oauth.sessions import end_sessions_in
from federation.policies.tiers import ACTION_SCOPES
from federation.policies.viewer import Viewer, ViewerKind
from federation.storage.accounts import Account, SetupLink
from federation.storage.database import Database
from federation.world import World

LINK_SECONDS = 24 * 3600
LEAST_PASSWORD = 12
MOST_PASSWORD = 1024
SETUP_PATH = "/console/setup"
NO_ACCOUNT = "There is no such account in use; `federation user list` shows those there are."
HASHER = PasswordHasher(parallelism=1)
"""RFC 9106's second choice (64 MiB, three passes), but in one lane: it takes the time of one core, not of all."""
_HANDLE = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_KINDS = (ViewerKind.STEWARD, ViewerKind.MEMBER)


@dataclass(frozen=True)
class AccountView:
    """An account as it is listed."""

    handle: str
    name: str
    kind: ViewerKind
    scopes: tuple[str, ...]
    has_password: bool
    disabled_at: int | None


def add_account(
    database: Database,
    world: World,
    handle: str,
    name: str,
    *,
    kind: ViewerKind = ViewerKind.STEWARD,
    scopes: frozenset[str] | None = None,
    password: str | None = None,
) -> None:
    """A new steward (every action scope unless told) or member. Raises BadInput (handle, name, kind, password),
    Conflict if the handle is taken."""
    if not _HANDLE.fullmatch(handle):
        raise BadInput("A handle has 1 to 63 lower-case letters, digits, dots, dashes, underscores.", field="handle")
    if kind not in _KINDS or not name.strip() or len(name) > 200:
        raise BadInput(
            "An account is a steward's or a member's and has a name of at most 200 characters.", field="name"
        )
    granted = scopes if scopes is not None else (ACTION_SCOPES if kind is ViewerKind.STEWARD else frozenset())
    row = {
        "handle": handle,
        "name": name.strip(),
        "kind": kind.value,
        "scopes": " ".join(sorted(granted)),
        "password": None if password is None else hashed(password),
        "created_at": world.timestamp(),
        "disabled_at": None,
    }
    statement = text(
        "INSERT INTO account (handle, name, kind, scopes, password, created_at, disabled_at) VALUES "
        "(:handle, :name, :kind, :scopes, :password, :created_at, :disabled_at) ON CONFLICT (handle) DO NOTHING"
    )
    with database.write() as connection:
        if connection.execute(statement, row).rowcount != 1:
            raise Conflict(f"The handle {handle} is taken.", field="handle")


def list_accounts(database: Database) -> list[AccountView]:
    """All accounts, by handle."""
    statement = select(Account.__table__).order_by(col(Account.handle))  # type: ignore[attr-defined]
    with database.read() as connection:
        rows = connection.execute(statement).all()
    return [
        AccountView(
            row.handle, row.name, ViewerKind(row.kind), tuple(row.scopes.split()), bool(row.password), row.disabled_at
        )
        for row in rows
    ]


def has_steward(database: Database) -> bool:
    """Whether a steward with a password exists; else `serve` prints a setup link."""
    return any(
        account.kind is ViewerKind.STEWARD and account.has_password and account.disabled_at is None
        for account in list_accounts(database)
    )


def setup_link(database: Database, world: World, url: str, handle: str) -> str:
    """A link, good once within a day, with which the owner of an account sets its password; earlier links of the
    account end. The token rides in the fragment, which no server logs. Raises NotFound."""
    now = world.timestamp()
    token = b64(world.draw("setup-link", f"{handle} {now}", 24))
    with database.write() as connection:
        if _active(connection.execute(_find(), {"handle": handle}).first()) is None:
            raise NotFound(NO_ACCOUNT)
        connection.execute(text("DELETE FROM setup_link WHERE handle = :handle"), {"handle": handle})
        row = SetupLink(digest=digest(token), handle=handle, expires_at=now + LINK_SECONDS)
        connection.execute(insert(SetupLink).values(**row.model_dump()))
    return f"{url}{SETUP_PATH}#{token}"


def redeem_link(database: Database, world: World, token: str, password: str) -> str:
    """Set the password of the account that a link is for; its handle. Raises BadInput (password), NotFound for a link
    that is unknown, used or over: nothing is hashed for whoever has none, who could keep the node busy with it."""
    now = world.timestamp()
    with database.read() as connection:
        if connection.execute(_LINK, {"digest": digest(token), "now": now}).first() is None:
            raise NotFound(_NO_LINK)
    kept = hashed(password)
    claim = (
        update(SetupLink)
        .where(
            col(SetupLink.digest) == digest(token), col(SetupLink.used_at).is_(None), col(SetupLink.expires_at) > now
        )
        .values(used_at=now)
        .returning(col(SetupLink.handle))
    )
    with database.write() as connection:
        handle = connection.execute(claim).scalar()
        if handle is None:
            raise NotFound(_NO_LINK)
        changed = update(Account).where(col(Account.handle) == handle, col(Account.disabled_at).is_(None))
        if connection.execute(changed.values(password=kept)).rowcount != 1:
            raise NotFound(_NO_LINK)
        end_sessions_in(connection, handle)
    return str(handle)


_NO_LINK = "This link is unknown, used or over; ask for a new one."
_LINK = text("SELECT 1 FROM setup_link WHERE digest = :digest AND used_at IS NULL AND expires_at > :now")


def change_password(database: Database, handle: str, password: str, *, keep: str | None = None) -> None:
    """Another password for an account, whose owner has just shown the present one. Its sessions end, but the one with
    the id `keep`; so do its setup links. Raises BadInput, NotFound."""
    kept = hashed(password)
    changed = update(Account).where(col(Account.handle) == handle, col(Account.disabled_at).is_(None))
    with database.write() as connection:
        if connection.execute(changed.values(password=kept)).rowcount != 1:
            raise NotFound(NO_ACCOUNT)
        connection.execute(text("DELETE FROM setup_link WHERE handle = :handle"), {"handle": handle})
        end_sessions_in(connection, handle, keep=keep)


def reset_account(database: Database, world: World, url: str, handle: str) -> str:
    """Takes an account its password, its second factors, its sessions and what programs may do on its behalf, for
    somebody else may have them: a new setup link. Raises NotFound."""
    changed = update(Account).where(col(Account.handle) == handle, col(Account.disabled_at).is_(None))
    with database.write() as connection:
        if connection.execute(changed.values(password=None)).rowcount != 1:
            raise NotFound(NO_ACCOUNT)
        remove_factors_in(connection, handle)
        end_sessions_in(connection, handle)
        end_grants_in(connection, handle, world.timestamp())
    return setup_link(database, world, url, handle)


def disable_account(database: Database, world: World, handle: str) -> None:
    """Close an account, with its sessions. Raises NotFound."""
    statement = update(Account).where(col(Account.handle) == handle, col(Account.disabled_at).is_(None))
    with database.write() as connection:
        if connection.execute(statement.values(disabled_at=world.timestamp())).rowcount != 1:
            raise NotFound(NO_ACCOUNT)
        end_sessions_in(connection, handle)


def account_viewer(database: Database, handle: str) -> Viewer | None:
    """The viewer of an account; None if there is none or it was closed."""
    with database.read() as connection:
        row = _active(connection.execute(_find(), {"handle": handle}).first())
    return None if row is None else _viewer(row)


def check_password(database: Database, handle: str, password: str) -> Viewer | None:
    """The viewer of the account, if the password is right; None otherwise, as late for an unknown handle."""
    with database.read() as connection:
        row = _active(connection.execute(_find(), {"handle": handle}).first())
    if not password_matches(None if row is None else row.password, password):
        return None
    assert row is not None  # noqa: S101 -- only a stored hash matches
    return _viewer(row)


def password_matches(kept: str | None, password: str) -> bool:
    """Whether a password has this hash. Without one it takes as long, and is False."""
    try:
        HASHER.verify(kept or _hash_of_nobody(), password[:MOST_PASSWORD].encode("utf-8", "surrogatepass"))
    except (VerificationError, InvalidHashError):
        return False
    return bool(kept) and len(password) <= MOST_PASSWORD


def outdated(kept: str) -> bool:
    """Whether a hash was made at less cost than today's."""
    return HASHER.check_needs_rehash(kept)


def hashed(password: str) -> str:
    """The argon2id hash of a password. Raises BadInput if it is too short or too long."""
    if not LEAST_PASSWORD <= len(password) <= MOST_PASSWORD:
        raise BadInput(f"A password has at least {LEAST_PASSWORD} characters.", field="password")
    return HASHER.hash(password.encode("utf-8", "surrogatepass"))


@functools.cache
def _hash_of_nobody() -> str:
    return HASHER.hash("the password of no account")


def _viewer(row: Row[tuple[Any, ...]]) -> Viewer:
    return Viewer(ViewerKind(row.kind), f"account:{row.handle}", frozenset(row.scopes.split()))


def _find() -> TextClause:
    return text("SELECT handle, name, kind, scopes, password, disabled_at FROM account WHERE handle = :handle")


def _active(row: Row[tuple[Any, ...]] | None) -> Row[tuple[Any, ...]] | None:
    return row if row is not None and row.disabled_at is None else None
