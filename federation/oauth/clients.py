"""Programs that an operator lets in: made with a key pair of which the private half is shown once and kept nowhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import orjson
from sqlalchemy import select, update
from sqlmodel import col

from federation.errors import BadInput, NotFound
from federation.keys import b64, generate_key
from federation.oauth.realm import RegisteredClient
from federation.storage.accounts import OAuthClient
from federation.storage.database import Database
from federation.world import World


@dataclass(frozen=True)
class NewClient:
    """A client just made. `private_jwk` is to be given to its owner, once."""

    client_id: str
    scopes: tuple[str, ...]
    private_jwk: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True)
class ClientView:
    """A client as it is listed."""

    client_id: str
    name: str
    scopes: tuple[str, ...]
    created_at: int
    revoked_at: int | None


def add_client(database: Database, world: World, name: str, scopes: frozenset[str], known: frozenset[str]) -> NewClient:
    """Register a program with these scopes. Raises BadInput: no name, no scope, or one that is not among `known`."""
    if not name.strip() or len(name) > 200:
        raise BadInput("A client needs a name of at most 200 characters.", field="name")
    if not scopes or not scopes <= known:
        unknown = ", ".join(sorted(scopes - known)) or "none given"
        raise BadInput(f"A client needs scopes that this node has; not understood: {unknown}.", field="scopes")
    now = world.timestamp()
    client_id = "client-" + b64(world.draw("client-id", f"{name} {now}", 12))
    key = generate_key("ES256", world, client_id)
    granted = tuple(sorted(scopes))
    row = OAuthClient(
        client_id=client_id,
        name=name.strip(),
        jwks=orjson.dumps([key.public_jwk]).decode(),
        scopes=" ".join(granted),
        created_at=now,
    )
    with database.write() as connection:
        connection.execute(OAuthClient.__table__.insert().values(**row.model_dump()))  # type: ignore[attr-defined]
    private = {**key.jwk, "kid": key.thumbprint, "alg": key.algorithm, "use": "sig"}
    return NewClient(client_id, granted, private)


def list_clients(database: Database) -> list[ClientView]:
    """All clients, revoked ones too, in order of their making."""
    statement = select(OAuthClient.__table__).order_by(  # type: ignore[attr-defined]
        col(OAuthClient.created_at), col(OAuthClient.client_id)
    )
    with database.read() as connection:
        rows = connection.execute(statement).all()
    return [
        ClientView(row.client_id, row.name, tuple(row.scopes.split()), row.created_at, row.revoked_at) for row in rows
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
            raise NotFound("There is no such client in force.")


def registered_clients(database: Database) -> Callable[[str], RegisteredClient | None]:
    """The source of clients made with `add_client`. It reads the table at each call, so that revoking needs no news."""
    mark = ":client_id" if database.paramstyle == "named" else "%(client_id)s"
    sql = f"SELECT jwks, scopes, revoked_at FROM oauth_client WHERE client_id = {mark}"  # noqa: S608 -- one of two marks

    def find(client_id: str) -> RegisteredClient | None:
        if "://" in client_id:  # a peer's id, and no client's
            return None
        with database.reader() as connection:
            row = connection.execute(sql, {"client_id": client_id}).fetchone()
        return None if row is None else _registered(client_id, *row)

    return find


@lru_cache(maxsize=1000)
def _registered(client_id: str, jwks: str, scopes: str, revoked_at: int | None) -> RegisteredClient:
    """The client that a row makes; the same row makes the same."""
    return RegisteredClient(client_id, tuple(orjson.loads(jwks)), frozenset(scopes.split()), active=revoked_at is None)
