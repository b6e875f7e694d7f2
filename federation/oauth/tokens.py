"""Access tokens (RFC 9068): made by this node for its own resource, bound to a key, and revoked by their `jti`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import text

from federation.errors import FederationError, Unauthenticated
from federation.keys import b64, read_jws, sign, verify
from federation.oauth.realm import Realm
from federation.storage.dialect import dialect_of

LIFETIME = 600
FUTURE_SECONDS = 30
MAX_TOKEN = 8192
_TYPES: frozenset[str | None] = frozenset({"at+jwt"})


class AccessRefused(Unauthenticated):
    """An access token that is not this node's, or over, or revoked."""


@dataclass(frozen=True)
class AccessToken:
    """The verified claims of an access token. `grant_id` names the grant of a person on whose behalf the client asks;
    without one the client asks for itself, and is the subject."""

    client_id: str
    subject: str
    scopes: frozenset[str]
    jkt: str
    jti: str
    expires: int
    issued: int
    grant_id: str | None = None


@dataclass(frozen=True)
class OnBehalf:
    """Of whom and by which grant a client holds a token, and when the grant ends."""

    subject: str
    grant_id: str
    ends: int


def mint(
    realm: Realm, client_id: str, scopes: tuple[str, ...], jkt: str, chance: bytes, on_behalf: OnBehalf | None = None
) -> str:
    """A token for a client, bound to the key with thumbprint `jkt`. `chance` names the request that it answers."""
    now = realm.world.timestamp()
    claims: dict[str, object] = {
        "iss": realm.url,
        "sub": client_id,
        "client_id": client_id,
        "aud": realm.audience,
        "iat": now,
        "exp": now + LIFETIME,
        "jti": b64(realm.world.draw("access-token", chance, 16)),
        "scope": " ".join(scopes),
        "cnf": {"jkt": jkt},
    }
    if on_behalf is not None:
        claims |= {"sub": on_behalf.subject, "grant_id": on_behalf.grant_id, "exp": min(now + LIFETIME, on_behalf.ends)}
    key = realm.keys.tokens
    return sign(key, {"typ": "at+jwt", "kid": key.thumbprint}, claims)


def read_token(realm: Realm, token: str) -> AccessToken:
    """The claims of one of this node's tokens. Raises AccessRefused: type, signature, issuer, audience, time, binding.
    Whether it was revoked is not looked at."""
    now = realm.world.timestamp()
    try:
        read = read_jws(token, types=_TYPES, max_bytes=MAX_TOKEN)
        verify(read, realm.keys.token_keys(now))
    except FederationError as refused:
        raise AccessRefused("The token is not one of this node.") from refused
    claims = read.claims
    if claims.get("iss") != realm.url or claims.get("aud") != realm.audience:
        raise AccessRefused("The token is not one for this node.")
    expires, issued = claims.get("exp"), claims.get("iat")
    if not isinstance(expires, int) or not isinstance(issued, int) or issued > now + FUTURE_SECONDS:
        raise AccessRefused("The token is not one of this node.")
    if expires <= now:
        raise AccessRefused("The token has expired; ask for a new one.")
    confirmation = claims.get("cnf")
    jkt = confirmation.get("jkt") if isinstance(confirmation, Mapping) else None
    texts = (claims.get("client_id"), claims.get("sub"), claims.get("scope"), jkt, claims.get("jti"))
    if not all(isinstance(value, str) and value for value in texts):
        raise AccessRefused("The token is not one of this node.")
    client_id, subject, scope, jkt, jti = (str(value) for value in texts)
    grant_id = claims.get("grant_id")
    if (grant_id is None) != (subject == client_id) or not isinstance(grant_id, str | None):
        raise AccessRefused("The token is not one of this node.")
    return AccessToken(client_id, subject, frozenset(scope.split()), jkt, jti, expires, issued, grant_id)


def is_revoked(realm: Realm, jti: str) -> bool:
    """Whether a token was revoked, on whichever worker."""
    wanted = dialect_of(realm.database.dialect).param("jti")
    with realm.database.reader() as connection:
        sql = f"SELECT 1 FROM revoked_token WHERE jti = {wanted}"  # noqa: S608 -- a placeholder
        return connection.execute(sql, {"jti": jti}).fetchone() is not None


def revoke(realm: Realm, token: AccessToken) -> None:
    """Revoke a token: it is refused from the next request on, by every worker."""
    statement = text(
        "INSERT INTO revoked_token (jti, client_id, expires_at) VALUES (:jti, :client_id, :expires_at) "
        "ON CONFLICT (jti) DO NOTHING"
    )
    with realm.database.write() as connection:
        row = {"jti": token.jti, "client_id": token.client_id, "expires_at": token.expires + 60}
        connection.execute(statement, row)
