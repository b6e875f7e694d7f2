"""Programs that an operator lets in: made with a key pair of which the private half is shown once and kept nowhere, or
without one where a program runs on people's own machines and can keep none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

import orjson
from sqlalchemy import Connection, insert, text, update
from sqlmodel import col

from federation.errors import BadInput, NotFound
from federation.keys import b64, generate_key
from federation.oauth.realm import RegisteredClient
from federation.oauth.redirects import checked_redirects
from federation.policies.tiers import NEVER_FOR_PEERS
from federation.storage.accounts import OAuthClient
from federation.storage.database import Database
from federation.storage.dialect import dialect_of
from federation.storage.grants import ClientProfile
from federation.world import World


@dataclass(frozen=True)
class NewClient:
    """A client just made. `private_jwk` is to be given to its owner, once; a public client has none."""

    client_id: str
    scopes: tuple[str, ...]
    private_jwk: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True)
class Kind:
    """What a program may be: its scopes; where it leads people back to, if it asks people; and whether it is public."""

    scopes: frozenset[str]
    redirect_uris: tuple[str, ...] = ()
    public: bool = False


@dataclass(frozen=True)
class ClientView:
    """A client as it is listed."""

    client_id: str
    name: str
    scopes: tuple[str, ...]
    created_at: int
    revoked_at: int | None
    redirect_uris: tuple[str, ...] = ()
    public: bool = False
    calls_itself: str = ""


def checked_kind(name: str, kind: Kind, known: frozenset[str]) -> Kind:
    """The kind with its addresses in order. Raises BadInput: no name, no scope, or one that is not among `known`; an
    address that cannot be led back to; a public program without one, or that would write policy or peers."""
    if not name.strip() or len(name) > 200 or not name.isprintable():
        raise BadInput("A client needs a name of at most 200 characters.", field="name")
    if not kind.scopes or not kind.scopes <= known:
        unknown = ", ".join(sorted(kind.scopes - known)) or "none given"
        raise BadInput(f"A client needs scopes that this node has; not understood: {unknown}.", field="scopes")
    if kind.public and not kind.redirect_uris:
        raise BadInput("A public client asks people; say where it leads them back to.", field="redirect_uri")
    if kind.public and (refused := kind.scopes & NEVER_FOR_PEERS):
        raise BadInput(f"A public client never has {', '.join(sorted(refused))}.", field="scopes")
    return replace(kind, redirect_uris=checked_redirects(kind.redirect_uris))


def add_client(
    database: Database,
    world: World,
    name: str,
    scopes: frozenset[str],
    known: frozenset[str],
    *,
    redirect_uris: tuple[str, ...] = (),
    public: bool = False,
) -> NewClient:
    """Register a program with these scopes. Raises BadInput as `checked_kind` does."""
    kind = checked_kind(name, Kind(scopes, redirect_uris, public), known)
    now = world.timestamp()
    client_id = new_client_id(world, f"{name} {now}")
    key = None if public else generate_key("ES256", world, client_id)
    with database.write() as connection:
        keep_client(connection, client_id, name, [] if key is None else [key.public_jwk], kind, now)
    private = {} if key is None else {**key.jwk, "kid": key.thumbprint, "alg": key.algorithm, "use": "sig"}
    return NewClient(client_id, tuple(sorted(scopes)), private)


def new_client_id(world: World, subject: str) -> str:
    """A name for a new client that says nothing of it."""
    return "client-" + b64(world.draw("client-id", subject, 12))


def keep_client(
    connection: Connection,
    client_id: str,
    name: str,
    jwks: Sequence[Mapping[str, str]],
    kind: Kind,
    now: int,
    calls_itself: str = "",
) -> None:
    """Write a client down, within a transaction."""
    client = OAuthClient(
        client_id=client_id,
        name=name.strip(),
        jwks=orjson.dumps([dict(each) for each in jwks]).decode(),
        scopes=" ".join(sorted(kind.scopes)),
        created_at=now,
    )
    profile = ClientProfile(
        client_id=client_id,
        public=kind.public,
        redirect_uris=orjson.dumps(kind.redirect_uris).decode(),
        calls_itself=calls_itself,
    )
    connection.execute(insert(OAuthClient).values(**client.model_dump()))
    connection.execute(insert(ClientProfile).values(**profile.model_dump()))


def list_clients(database: Database) -> list[ClientView]:
    """All clients, revoked ones too, in order of their making."""
    statement = text(f"SELECT {_COLUMNS}, c.client_id, c.created_at FROM {_CLIENT} ORDER BY c.created_at, c.client_id")  # noqa: S608 -- constants
    with database.read() as connection:
        rows = connection.execute(statement).all()
    return [
        ClientView(
            row.client_id,
            row.name,
            tuple(row.scopes.split()),
            row.created_at,
            row.revoked_at,
            _addresses(row.redirect_uris),
            bool(row.public),
            row.calls_itself or "",
        )
        for row in rows
    ]


def revoke_client(database: Database, world: World, client_id: str) -> None:
    """Revoke a client: its tokens end at once, on every worker. Raises NotFound."""
    statement = (
        update(OAuthClient)
        .where(col(OAuthClient.client_id) == client_id, col(OAuthClient.revoked_at).is_(None))
        .values(revoked_at=world.timestamp())
    )
    with database.write() as connection:
        if connection.execute(statement).rowcount != 1:
            raise NotFound("There is no such client in force; `federation client list` shows those there are.")


_CLIENT = "oauth_client c LEFT JOIN client_profile p ON p.client_id = c.client_id"
_COLUMNS = "c.jwks, c.scopes, c.revoked_at, c.name, p.public, p.redirect_uris, p.calls_itself"
"""A client that was made before there were profiles has none, and asks for itself."""


def registered_clients(database: Database) -> Callable[[str], RegisteredClient | None]:
    """The source of clients made with `add_client`. It reads the table at each call, so that revoking needs no news."""
    wanted = dialect_of(database.dialect).param("client_id")
    sql = f"SELECT {_COLUMNS} FROM {_CLIENT} WHERE c.client_id = {wanted}"  # noqa: S608 -- constants and a placeholder

    def find(client_id: str) -> RegisteredClient | None:
        if "://" in client_id:  # a peer's id, and no client's
            return None
        with database.reader() as connection:
            row = connection.execute(sql, {"client_id": client_id}).fetchone()
        return None if row is None else _registered(client_id, *row)

    return find


@lru_cache(maxsize=1000)
def _registered(
    client_id: str,
    jwks: str,
    scopes: str,
    revoked_at: int | None,
    name: str,
    public: bool | None,
    redirect_uris: str | None,
    calls_itself: str | None,
) -> RegisteredClient:
    """The client that a row makes; the same row makes the same."""
    return RegisteredClient(
        client_id,
        tuple(orjson.loads(jwks)),
        frozenset(scopes.split()),
        active=revoked_at is None,
        name=name,
        calls_itself=calls_itself or "",
        redirect_uris=_addresses(redirect_uris),
        public=bool(public),
    )


def _addresses(kept: str | None) -> tuple[str, ...]:
    return () if kept is None else tuple(orjson.loads(kept))
