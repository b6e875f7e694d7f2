"""Registration by one-time invitation (RFC 7591): a program brings its own public keys; all else that it may be was
fixed when it was invited. There is no way to read or change a registration afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import insert, text

from federation.errors import BadInput, Unauthenticated
from federation.keys import KeyRefused, PublicKey, b64, public_key
from federation.oauth.adapter import METHOD, PUBLIC, grants_of
from federation.oauth.clients import Kind, checked_kind, keep_client, new_client_id
from federation.oauth.digests import digest
from federation.oauth.realm import Realm, RegisteredClient
from federation.storage.database import Database
from federation.storage.grants import ClientInvitation
from federation.world import World

INVITATION_PREFIX = "fedi_"
"""So that an invitation that lies about is known for what it is."""
MAX_DAYS = 90
MOST_KEYS = 8
MAX_NAME = 100


class InvitationRefused(Unauthenticated):
    """No invitation, or one that is unknown, used or over: all alike."""


class RegistrationRefused(BadInput):
    """What a program says of itself does not fit the invitation, or is malformed; `error` is the code of RFC 7591."""

    def __init__(self, message: str, error: str = "invalid_client_metadata") -> None:
        super().__init__(message)
        self.error = error


def invite_client(database: Database, world: World, name: str, kind: Kind, known: frozenset[str], days: int = 7) -> str:
    """A token with which one program registers itself, once. Raises BadInput as `checked_kind` does, and for days out
    of bounds."""
    kind = checked_kind(name, kind, known)
    if not 1 <= days <= MAX_DAYS:
        raise BadInput(f"An invitation lasts between 1 and {MAX_DAYS} days.", field="days")
    now = world.timestamp()
    token = INVITATION_PREFIX + b64(world.draw("client-invitation", f"{name} {now}", 24))
    row = ClientInvitation(
        digest=digest(token),
        name=name.strip(),
        scopes=" ".join(sorted(kind.scopes)),
        public=kind.public,
        redirect_uris=orjson.dumps(kind.redirect_uris).decode(),
        created_at=now,
        expires_at=now + days * 86_400,
    )
    with database.write() as connection:
        connection.execute(insert(ClientInvitation).values(**row.model_dump()))
    return token


def register(realm: Realm, token: str, said: object) -> dict[str, Any]:
    """Register the program that shows an invitation: its metadata as it is kept (RFC 7591, 3.2.1). A refusal leaves the
    invitation as it was. Raises InvitationRefused, RegistrationRefused."""
    shown = digest(token)
    asked: dict[str, Any] = {
        "digest": shown,
        "now": realm.world.timestamp(),
        "client": new_client_id(realm.world, shown.hex()),
    }
    with realm.database.read() as connection:  # who has none makes nobody wait for a write
        if connection.execute(_FIND, asked).first() is None:
            raise InvitationRefused(_REFUSED)
    with realm.database.write() as connection:
        row = connection.execute(_CLAIM, asked).first()
        if row is None:
            raise InvitationRefused(_REFUSED)
        kind = Kind(frozenset(row.scopes.split()), tuple(orjson.loads(row.redirect_uris)), bool(row.public))
        jwks, calls_itself = _checked(kind, said)
        keep_client(connection, asked["client"], row.name, jwks, kind, asked["now"], calls_itself)
    told = {"client_id": asked["client"], "client_id_issued_at": asked["now"], "client_name": calls_itself or row.name}
    told |= {"redirect_uris": list(kind.redirect_uris)} | _fixed(kind)
    return told | ({"jwks": {"keys": jwks}} if jwks else {})


_REFUSED = "The invitation is missing, unknown, used or over; ask the operator of this node for a new one."
_FIND = text("SELECT 1 FROM client_invitation WHERE digest = :digest AND expires_at > :now")
_CLAIM = text(
    "UPDATE client_invitation SET used_by = :client"
    " WHERE digest = :digest AND used_by IS NULL AND expires_at > :now RETURNING name, scopes, public, redirect_uris"
)


def _checked(kind: Kind, said: object) -> tuple[list[dict[str, str]], str]:
    """The program's keys and what it calls itself, if what it says fits its kind. Raises RegistrationRefused."""
    if not isinstance(said, dict):
        raise RegistrationRefused("A registration is a JSON object.")
    _check_fits(kind, said)
    return [{**key.jwk, "kid": key.kid} for key in _keys(kind, said)], _name(said)


def _fixed(kind: Kind) -> dict[str, Any]:
    """What the invitation fixes, in the words of RFC 7591, 9126 and 9449."""
    asks = bool(kind.redirect_uris)
    return {
        "scope": " ".join(sorted(kind.scopes)),
        "grant_types": list(grants_of(RegisteredClient("", (), kind.scopes, redirect_uris=kind.redirect_uris))),
        "response_types": ["code"] if asks else [],
        "token_endpoint_auth_method": PUBLIC if kind.public else METHOD,
        "dpop_bound_access_tokens": True,
        "require_pushed_authorization_requests": asks,
    }


def _check_fits(kind: Kind, said: Mapping[str, Any]) -> None:
    """Whatever the program says of what is fixed must lie within it: it is not given something else in silence."""
    if not _within(said.get("redirect_uris", []), kind.redirect_uris):
        raise RegistrationRefused("redirect_uris must be those of the invitation.", "invalid_redirect_uri")
    for name, value in _fixed(kind).items():
        given = said.get(name, value)
        listed = given.split() if name == "scope" and isinstance(given, str) else given
        allowed = value.split() if name == "scope" else value
        if not (_within(listed, allowed) if isinstance(allowed, list) else given == allowed):
            raise RegistrationRefused(f"{name} must be as it was fixed by the invitation.")
    for name in ("jwks_uri", "software_statement", "request_uris"):
        if name in said:
            raise RegistrationRefused(f"{name} is not taken here.")


def _within(given: object, allowed: Sequence[str]) -> bool:
    return isinstance(given, list) and all(isinstance(each, str) and each in allowed for each in given)


def _name(said: Mapping[str, Any]) -> str:
    name = said.get("client_name", "")
    if not isinstance(name, str) or len(name) > MAX_NAME or not name.isprintable():
        raise RegistrationRefused(f"client_name may be a text of {MAX_NAME} characters.")
    return name.strip()


def _keys(kind: Kind, said: Mapping[str, Any]) -> list[PublicKey]:
    """The program's own public keys; of a public one there are none."""
    if kind.public:
        if "jwks" in said:
            raise RegistrationRefused("A public client has no keys of its own.")
        return []
    jwks = said.get("jwks")
    listed = jwks.get("keys") if isinstance(jwks, dict) else None
    if not isinstance(listed, list) or not 1 <= len(listed) <= MOST_KEYS:
        raise RegistrationRefused(f"jwks must hold 1 to {MOST_KEYS} public keys.")
    try:
        keys = [public_key(each) for each in listed]
    except KeyRefused as refused:
        raise RegistrationRefused(refused.message) from refused
    if len({key.kid for key in keys}) != len(keys) or any(len(key.kid) > 200 for key in keys):
        raise RegistrationRefused("Each key must have a name (kid) of its own.")
    return keys
