"""The endpoints beside the token endpoint, on Authlib's base classes: pushed requests (RFC 9126), introspection
(RFC 7662), revocation (RFC 7009). Each authenticates the client first, and spends what it came with.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from authlib.consts import default_json_headers
from authlib.oauth2.rfc6749 import InvalidRequestError, TokenEndpoint, UnauthorizedClientError
from authlib.oauth2.rfc7009 import RevocationEndpoint

from federation.errors import FederationError
from federation.oauth.adapter import (
    CODE_GRANT,
    METHOD,
    PUBLIC,
    AdaptedServer,
    InvalidProof,
    NodeClient,
    NodeRequest,
    UnsupportedResponse,
)
from federation.oauth.authorizing import Wish, push
from federation.oauth.granting import check_target
from federation.oauth.grants import end_grant, grant_of_refresh, owner_of_refresh
from federation.oauth.holders import holder
from federation.oauth.redeeming import Terms
from federation.oauth.redirects import matches
from federation.oauth.tokens import is_revoked, read_token, revoke

MAX_STATE = 1000
_DIGEST = re.compile(r"[A-Za-z0-9_-]{43}")
"""A SHA-256 in base64url: a challenge, or the thumbprint of a key."""
Answered = tuple[int, dict[str, Any], list[tuple[str, str]]]


class Pushing(TokenEndpoint):
    """RFC 9126: a client leaves an authorization request here, and gets a name for it that works once."""

    ENDPOINT_NAME = "pushing"
    CLIENT_AUTH_METHODS = [METHOD, PUBLIC]  # noqa: RUF012 -- as in the base class
    server: AdaptedServer

    def create_endpoint_response(self, request: NodeRequest) -> Answered:
        client: NodeClient = self.authenticate_endpoint_client(request)
        if not client.check_grant_type(CODE_GRANT):
            raise UnauthorizedClientError("This client asks for itself, not for people.")
        _check_kind(request.form)
        check_target(self.server, request)
        self.server.validate_requested_scope(request.form.get("scope"))
        scopes = frozenset(client.get_allowed_scope(request.form["scope"]).split())
        if client.registered.public or request.sent.proofs:
            self.server.prove(request)
        wish = Wish(scopes, _terms(client, request.form), request.form.get("state"))
        self.server.spend(request)
        name, lasts = push(self.server.realm, client.get_client_id(), wish, request.spending[0][0])
        return 201, {"request_uri": name, "expires_in": lasts}, default_json_headers


def _check_kind(form: Mapping[str, str]) -> None:
    """Raises OAuth2Error: anything but a code by a plain redirect, and a state that is no short text."""
    if form.get("response_type") != "code":
        raise UnsupportedResponse
    if "request" in form or "request_uri" in form:
        raise InvalidRequestError("Request objects are not taken here; send the parameters themselves.")
    if form.get("response_mode", "query") != "query":
        raise InvalidRequestError("The answer comes in the query of the redirect_uri (response_mode).")
    state = form.get("state", "")
    if len(state) > MAX_STATE or not state.isprintable():
        raise InvalidRequestError(f"state may be a text of {MAX_STATE} characters.")


def _terms(client: NodeClient, form: Mapping[str, str]) -> Terms:
    """What the code will be bound to. Raises InvalidRequestError: another address than those registered, no S256
    challenge, a key that is not the proof's."""
    redirect_uri = form.get("redirect_uri", "")
    if not matches(client.registered.redirect_uris, redirect_uri, public=client.registered.public):
        raise InvalidRequestError("redirect_uri must be one that is registered for this client, to the letter.")
    challenge = form.get("code_challenge", "")
    if form.get("code_challenge_method") != "S256" or not _DIGEST.fullmatch(challenge):
        raise InvalidRequestError("A code_challenge is needed, and S256 as its code_challenge_method (RFC 7636).")
    shown = None if client.proof is None else client.proof.jkt
    jkt = form.get("dpop_jkt", shown)
    if jkt is not None and not _DIGEST.fullmatch(jkt):
        raise InvalidRequestError("dpop_jkt must be the thumbprint of a key (RFC 7638).")
    if shown is not None and jkt != shown:
        raise InvalidProof("dpop_jkt names another key than the proof.")
    return Terms(redirect_uri, challenge, jkt)


class Introspection(TokenEndpoint):
    """RFC 7662: a client learns what its own token stands for at this moment, and of any other that it is nothing."""

    ENDPOINT_NAME = "introspection"
    CLIENT_AUTH_METHODS = [METHOD]  # noqa: RUF012 -- as in the base class
    server: AdaptedServer

    def create_endpoint_response(self, request: NodeRequest) -> Answered:
        client: NodeClient = self.authenticate_endpoint_client(request)
        self.server.spend(request)
        token = _token(request)
        found = self._of_access(client, token) or self._of_refresh(client, token)
        return 200, found or {"active": False}, default_json_headers

    def _of_access(self, client: NodeClient, token: str) -> dict[str, Any] | None:
        realm = self.server.realm
        try:
            claims = read_token(realm, token)
        except FederationError:
            return None
        if claims.client_id != client.get_client_id() or is_revoked(realm, claims.jti):
            return None
        viewer = holder(realm, claims)
        if viewer is None:
            return None
        return {
            "active": True,
            "iss": realm.url,
            "client_id": claims.client_id,
            "sub": claims.subject,
            "aud": realm.audience,
            "scope": " ".join(sorted(viewer.scopes)),
            "iat": claims.issued,
            "exp": claims.expires,
            "jti": claims.jti,
            "token_type": "DPoP",
            "cnf": {"jkt": claims.jkt},
        }

    def _of_refresh(self, client: NodeClient, token: str) -> dict[str, Any] | None:
        grant = grant_of_refresh(self.server.realm, token)
        if grant is None or grant.client_id != client.get_client_id():
            return None
        return {
            "active": True,
            "iss": self.server.realm.url,
            "client_id": grant.client_id,
            "sub": grant.sub,
            "scope": " ".join(sorted(grant.gives(client.registered))),
            "exp": grant.ends,
        }


@dataclass(frozen=True)
class _Revocable:
    """A token of either kind, with what ends it."""

    client_id: str
    end: Callable[[], object]

    def check_client(self, client: NodeClient) -> bool:
        return self.client_id == client.get_client_id()


class Revocation(RevocationEndpoint):
    """RFC 7009: a client gives up an access token, or a refresh token and with it the whole grant."""

    CLIENT_AUTH_METHODS = [METHOD, PUBLIC]  # noqa: RUF012 -- as in the base class
    server: AdaptedServer

    def authenticate_endpoint_client(self, request: NodeRequest) -> NodeClient:
        client: NodeClient = super().authenticate_endpoint_client(request)
        self.server.spend(request)
        return client

    def check_params(self, request: NodeRequest, client: NodeClient) -> None:
        del client
        _token(request)  # an unknown token_type_hint is no error (RFC 7009, 2.1)

    def query_token(self, token_string: str, token_type_hint: str | None) -> _Revocable | None:
        del token_type_hint
        realm = self.server.realm
        try:
            claims = read_token(realm, token_string)
            return _Revocable(claims.client_id, partial(revoke, realm, claims))
        except FederationError:
            pass
        found = owner_of_refresh(realm.database, token_string)
        if found is None:
            return None
        return _Revocable(found[0], partial(end_grant, realm.database, realm.world, found[1]))

    def revoke_token(self, token: _Revocable, request: NodeRequest) -> None:
        del request
        token.end()


def _token(request: NodeRequest) -> str:
    token = request.form.get("token")
    if not token:
        raise InvalidRequestError("The token is missing.")
    return token
