"""Codes and refresh tokens: each good once, but for the refresh token of a client that authenticates by a key.

One that is shown again ends the whole grant, with all that came of it. Claims are single statements, so that of many
workers one wins.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass

from authlib.oauth2.rfc7636 import create_s256_code_challenge
from sqlalchemy import Connection, insert, text

from federation.errors import BadInput
from federation.keys import b64
from federation.oauth.digests import digest
from federation.oauth.grants import GRANT_SECONDS, Grant, end_in, pseudonym, standing_in
from federation.oauth.realm import Realm, RegisteredClient
from federation.storage.grants import AuthorizationCode, OAuthGrant, RefreshToken

CODE_SECONDS = 60
REFRESH_PREFIX = "fedr_"
"""So that a token that lies about is known for what it is."""


class GrantRefused(BadInput):
    """A code or refresh token that is not one, or not this client's, or over: `invalid_grant`."""


class ScopeRefused(BadInput):
    """More was asked for than the grant gives: `invalid_scope`."""


@dataclass(frozen=True)
class Redeemed:
    """What came of a code or refresh token: the scopes of the access token, and the next refresh token if any."""

    grant: Grant
    scopes: frozenset[str]
    refresh_token: str | None


@dataclass(frozen=True)
class Terms:
    """What a code is bound to: the address, the PKCE challenge, and the key if there is one."""

    redirect_uri: str
    challenge: str
    jkt: str | None


def new_grant(
    connection: Connection, realm: Realm, client: RegisteredClient, handle: str, scopes: frozenset[str], terms: Terms
) -> str:
    """Write down what an account gives a program, and the code of it, which is given back. In the caller's
    transaction, that a request is answered once."""
    now, subject = realm.world.timestamp(), f"{client.client_id} {handle} {terms.challenge}"
    grant_id = "grant-" + b64(realm.world.draw("grant", subject, 16))
    code = b64(realm.world.draw("authorization-code", subject, 32))
    grant = OAuthGrant(
        grant_id=grant_id,
        client_id=client.client_id,
        handle=handle,
        sub=pseudonym(realm, client.client_id, handle),
        scopes=" ".join(sorted(scopes)),
        jkt=terms.jkt if client.public else None,
        created_at=now,
        ends_at=now + GRANT_SECONDS,
    )
    kept = AuthorizationCode(
        digest=digest(code),
        grant_id=grant_id,
        redirect_uri=terms.redirect_uri,
        challenge=terms.challenge,
        jkt=terms.jkt,
        expires_at=now + CODE_SECONDS,
    )
    connection.execute(insert(OAuthGrant).values(**grant.model_dump()))
    connection.execute(insert(AuthorizationCode).values(**kept.model_dump()))
    return code


def redeem_code(
    realm: Realm, client: RegisteredClient, code: str, verifier: str, redirect_uri: str, jkt: str
) -> Redeemed:
    """What a code is good for, once and within a minute. Raises GrantRefused: unknown, used, over; another client,
    address, verifier or key. One that was used before ends the grant."""
    now, shown = realm.world.timestamp(), digest(code)
    find = text(
        "SELECT c.grant_id, g.client_id, c.redirect_uri, c.challenge, c.jkt, c.expires_at, c.used_at"
        " FROM authorization_code c JOIN oauth_grant g ON g.grant_id = c.grant_id WHERE c.digest = :digest"
    )
    claim = text("UPDATE authorization_code SET used_at = :now WHERE digest = :digest AND used_at IS NULL")
    with realm.database.write() as connection:
        row = connection.execute(find, {"digest": shown}).first()
        if row is None or row.client_id != client.client_id:
            raise GrantRefused(_CODE)
        fits = (
            row.expires_at > now
            and row.redirect_uri == redirect_uri
            and hmac.compare_digest(create_s256_code_challenge(verifier), row.challenge)
            and row.jkt in (None, jkt)
        )
        grant = standing_in(connection, realm, row.grant_id)
        if row.used_at is None and not (fits and grant is not None):
            raise GrantRefused(_CODE)
        if connection.execute(claim, {"digest": shown, "now": now}).rowcount != 1:
            end_in(connection, row.grant_id, now)
            grant = None
        redeemed = None if grant is None else _redeemed(connection, realm, client, grant, None, shown)
    if redeemed is None:
        raise GrantRefused(_CODE)
    return redeemed


_CODE = "The code is unknown, used or over, or was given for another client, redirect_uri, code_verifier or key."


# Refresh tokens


def refresh(
    realm: Realm, client: RegisteredClient, token: str, jkt: str, scopes: frozenset[str] | None = None
) -> Redeemed:
    """What a refresh token is good for; of a public client it is used up by that, and the next one comes with it.

    Raises GrantRefused: unknown, used, over; another client or key. ScopeRefused: more than was granted, or than is
    left of it. One that was used before ends the grant, with all that came of it."""
    now, shown = realm.world.timestamp(), digest(token)
    find = text(
        "SELECT r.grant_id, g.client_id, r.used_at FROM refresh_token r JOIN oauth_grant g ON g.grant_id = r.grant_id"
        " WHERE r.digest = :digest"
    )
    claim = text("UPDATE refresh_token SET used_at = :now WHERE digest = :digest AND used_at IS NULL")
    with realm.database.write() as connection:
        row = connection.execute(find, {"digest": shown}).first()
        grant = None if row is None else standing_in(connection, realm, row.grant_id)
        if row is None or grant is None or row.client_id != client.client_id:
            raise GrantRefused(_REFRESH)
        if row.used_at is None:
            if client.public and grant.jkt != jkt:
                raise GrantRefused(_REFRESH)
            if scopes is not None and (not scopes or grant.gives(client, scopes) != scopes):
                raise ScopeRefused("A scope was asked for that was not granted, or is not in force any more.")
        if client.public and connection.execute(claim, {"digest": shown, "now": now}).rowcount != 1:
            end_in(connection, grant.grant_id, now)
            redeemed = None
        else:
            redeemed = _redeemed(connection, realm, client, grant, scopes, shown)
    if redeemed is None:
        raise GrantRefused(_REFRESH)
    return redeemed


_REFRESH = "The refresh token is unknown, used or over, or was given to another client or key."


def _redeemed(
    connection: Connection,
    realm: Realm,
    client: RegisteredClient,
    grant: Grant,
    scopes: frozenset[str] | None,
    shown: bytes,
) -> Redeemed | None:
    """What a grant gives now, with the refresh token that follows on what was shown; None where nothing is left. Of a
    confidential client the first goes on being good."""
    given = grant.gives(client, scopes)
    if not given:
        return None
    first = connection.execute(text("SELECT 1 FROM refresh_token WHERE grant_id = :id"), {"id": grant.grant_id}).first()
    if first is not None and not client.public:
        return Redeemed(grant, given, None)
    token = REFRESH_PREFIX + b64(realm.world.draw("refresh-token", shown, 32))
    row = RefreshToken(digest=digest(token), grant_id=grant.grant_id)
    connection.execute(insert(RefreshToken).values(**row.model_dump()))
    return Redeemed(grant, given, token)
