"""The grants of the token endpoint, on Authlib's base classes: a program for itself, by code, by refresh token.

Of Authlib's own code and refresh grants nothing is used: they write whole tokens to their debug log, take a code
without PKCE, and forget nothing atomically.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from authlib.oauth2.rfc6749 import InvalidGrantError, InvalidRequestError, InvalidScopeError, UnauthorizedClientError
from authlib.oauth2.rfc6749.grants import BaseGrant, ClientCredentialsGrant, TokenEndpointMixin

from federation.oauth import redeeming
from federation.oauth.adapter import (
    CODE_GRANT,
    METHOD,
    PUBLIC,
    REFRESH_GRANT,
    AdaptedServer,
    InvalidTarget,
    NodeRequest,
)
from federation.oauth.redeeming import GrantRefused, Redeemed, ScopeRefused

MAX_SECRET = 512
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")


class OwnGrant(ClientCredentialsGrant):
    """`client_credentials`: a program for itself; no refresh token."""

    TOKEN_ENDPOINT_AUTH_METHODS = [METHOD]  # noqa: RUF012 -- as in the base class
    server: AdaptedServer
    request: NodeRequest

    def validate_token_request(self) -> None:
        super().validate_token_request()
        check_target(self.server, self.request)
        self.request.client.get_allowed_scope(self.request.form["scope"])
        self.server.prove(self.request)
        self.server.spend(self.request)

    def create_token_response(self) -> tuple[int, dict[str, Any], list[tuple[str, str]]]:
        # As the base class does, but that writes the whole token to its debug log.
        token = self.generate_token(scope=self.request.form["scope"], include_refresh_token=False)
        return 200, token, self.TOKEN_RESPONSE_HEADER


class _OnBehalf(BaseGrant, TokenEndpointMixin):
    """What is common to the grants by which a program asks on behalf of a person."""

    TOKEN_ENDPOINT_AUTH_METHODS = [METHOD, PUBLIC]  # noqa: RUF012 -- as in the base class
    NEEDED: tuple[str, ...] = ()
    server: AdaptedServer
    request: NodeRequest
    redeem: Callable[[], Redeemed]
    """What the form's code or refresh token is good for."""

    def validate_token_request(self) -> None:
        client = self.authenticate_token_endpoint_client()
        if not client.check_grant_type(self.GRANT_TYPE):
            raise UnauthorizedClientError("This client asks for itself, not for people.")
        check_target(self.server, self.request)
        for name in self.NEEDED:
            if not 1 <= len(self.request.form.get(name, "")) <= MAX_SECRET or not self.request.form[name].isascii():
                raise InvalidRequestError(f"{name} is missing or malformed.")
        self.check()
        self.server.prove(self.request)
        self.server.spend(self.request)

    def check(self) -> None:
        """What else has to hold of the form."""

    def create_token_response(self) -> tuple[int, dict[str, Any], list[tuple[str, str]]]:
        try:
            redeemed = self.redeem()
        except GrantRefused as refused:
            raise InvalidGrantError(refused.message) from refused
        except ScopeRefused as refused:
            raise InvalidScopeError(refused.message) from refused
        scope = " ".join(sorted(redeemed.scopes))
        token = self.server.issue(self.request.client, scope, redeemed.grant.on_behalf)
        refresh = {} if redeemed.refresh_token is None else {"refresh_token": redeemed.refresh_token}
        return 200, token | refresh, self.TOKEN_RESPONSE_HEADER


class CodeGrant(_OnBehalf):
    """`authorization_code` with PKCE (RFC 7636), S256 only."""

    GRANT_TYPE = CODE_GRANT
    NEEDED = ("code", "redirect_uri", "code_verifier")

    def check(self) -> None:
        if not _VERIFIER.fullmatch(self.request.form["code_verifier"]):
            raise InvalidRequestError("code_verifier is malformed.")

    def redeem(self) -> Redeemed:
        form, client = self.request.form, self.request.client
        return redeeming.redeem_code(
            self.server.realm,
            client.registered,
            form["code"],
            form["code_verifier"],
            form["redirect_uri"],
            client.proof.jkt,
        )


class RefreshGrant(_OnBehalf):
    """`refresh_token`: rotated for public clients, whose tokens it binds to the same key for good."""

    GRANT_TYPE = REFRESH_GRANT
    NEEDED = ("refresh_token",)

    def check(self) -> None:
        if "scope" in self.request.form:
            self.validate_requested_scope()

    def redeem(self) -> Redeemed:
        form, client = self.request.form, self.request.client
        scopes = frozenset(form["scope"].split()) if "scope" in form else None
        return redeeming.refresh(self.server.realm, client.registered, form["refresh_token"], client.proof.jkt, scopes)


def check_target(server: AdaptedServer, request: NodeRequest) -> None:
    """Tokens are for this node's own resource (RFC 8707). Raises InvalidTarget."""
    resource = request.form.get("resource")
    if resource is not None and resource != server.realm.audience:
        raise InvalidTarget("Tokens of this node are for its own resource.")
