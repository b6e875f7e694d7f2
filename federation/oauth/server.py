"""The authorization server: Authlib's core, with what it lacks or takes too lightly put right here.

It issues DPoP-bound tokens only: to programs for themselves, or on behalf of a person who allowed it. No default scope,
no wider scope than was granted, no authorization request that was not pushed.
"""

from __future__ import annotations

from typing import Any

from federation.oauth.adapter import AdaptedServer, Answer, FormRequest
from federation.oauth.endpoints import Introspection, Pushing, Revocation
from federation.oauth.granting import CodeGrant, OwnGrant, RefreshGrant
from federation.oauth.realm import Realm


class TokenServer(AdaptedServer):
    """The endpoints of one realm that clients send forms to."""

    def __init__(self, realm: Realm) -> None:
        super().__init__(realm)
        for grant in (OwnGrant, CodeGrant, RefreshGrant):
            self.register_grant(grant)
        for endpoint in (Pushing, Introspection, Revocation):
            self.register_endpoint(endpoint)

    def token(self, request: FormRequest) -> Answer:
        """Answer a token request."""
        return self.answer(request, self.create_token_response)

    def revoke(self, request: FormRequest) -> Answer:
        """Answer a revocation request."""
        return self._at("revocation", request)

    def push(self, request: FormRequest) -> Answer:
        """Answer a pushed authorization request."""
        return self._at("pushing", request)

    def introspect(self, request: FormRequest) -> Answer:
        """Answer an introspection request."""
        return self._at("introspection", request)

    def _at(self, name: str, request: FormRequest) -> Answer:
        def act(asked: Any) -> Answer:
            answer: Answer = self.create_endpoint_response(name, asked)
            return answer

        return self.answer(request, act)
