"""The authorization server: Authlib's core, with what it lacks or takes too lightly put right here.

It issues DPoP-bound tokens of `client_credentials` only. No default scope, no refresh token, no wider scope than was
granted. Nothing of a request is logged, and no part of it is repeated in an answer.
"""

from __future__ import annotations

import hmac
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from authlib.oauth2.rfc6749 import (
    AuthorizationServer,
    ClientMixin,
    InvalidClientError,
    InvalidRequestError,
    InvalidScopeError,
    OAuth2Error,
    OAuth2Request,
)
from authlib.oauth2.rfc6749.grants import ClientCredentialsGrant
from authlib.oauth2.rfc6749.requests import OAuth2Payload
from authlib.oauth2.rfc7009 import RevocationEndpoint

from federation.errors import FederationError
from federation.oauth.assertions import AssertionRefused, check_assertion
from federation.oauth.proofs import Proof, ProofRefused, check_proof, nonce
from federation.oauth.realm import Realm, RegisteredClient
from federation.oauth.tokens import LIFETIME, AccessToken, mint, read_token, revoke

METHOD = "private_key_jwt"
GRANT = "client_credentials"
MAX_SCOPE = 4096


class InvalidProof(OAuth2Error):
    """RFC 9449: the proof is missing or refused."""

    error = "invalid_dpop_proof"


class InvalidTarget(OAuth2Error):
    """RFC 8707: a token for another resource was asked for."""

    error = "invalid_target"


class UnknownGrant(OAuth2Error):
    """Any grant but client_credentials; Authlib's own error repeats what was sent."""

    error = "unsupported_grant_type"
    description = "This node knows the grant type client_credentials only."


@dataclass(frozen=True)
class FormRequest:
    """What the web edge hands over: the path, the form with every value of every field, and the headers that count."""

    path: str
    form: tuple[tuple[str, str], ...] = field(repr=False)
    proofs: tuple[str, ...] = field(default=(), repr=False)
    query: bool = False
    authorization: bool = False


@dataclass(frozen=True)
class Answer:
    """An answer for the web edge: a JSON body and headers."""

    status: int
    body: Mapping[str, Any] = field(repr=False)
    headers: tuple[tuple[str, str], ...] = ()


class _Payload(OAuth2Payload):
    def __init__(self, form: tuple[tuple[str, str], ...]) -> None:
        self._data = dict(form)
        self._all: defaultdict[str, list[str]] = defaultdict(list)
        for name, value in form:
            self._all[name].append(value)

    @property
    def data(self) -> dict[str, str]:
        return self._data

    @property
    def datalist(self) -> defaultdict[str, list[str]]:
        return self._all


class NodeRequest(OAuth2Request):
    """A form request as Authlib wants it. Transport is a matter of settings (TLS but on a loopback), so Authlib's own
    look at the scheme is passed by."""

    def __init__(self, realm: Realm, request: FormRequest) -> None:
        super().__init__("POST", f"https:{(realm.url + request.path).partition(':')[2]}")
        self.uri = realm.url + request.path
        self.payload = _Payload(request.form)
        self.sent = request
        self.spending: list[tuple[bytes, int]] = []

    @property
    def form(self) -> dict[str, str]:
        """The form's fields."""
        return self.payload.data


class NodeClient(ClientMixin):
    """A registered client for the time of one request, as Authlib wants it; `proof` is the one it came with."""

    def __init__(self, registered: RegisteredClient) -> None:
        self.registered = registered
        self.proof: Proof | None = None

    def __repr__(self) -> str:
        return f"<NodeClient {self.registered.kind}>"

    def get_client_id(self) -> str:
        """Its id."""
        return self.registered.client_id

    def get_allowed_scope(self, scope: str) -> str:
        """The scope as asked for. Raises InvalidScopeError if there is none, or one that was not granted."""
        asked = frozenset(scope.split())
        if not asked or self.registered.allowed(asked) != asked:
            raise InvalidScopeError("A scope was asked for that this client does not have.")
        return " ".join(sorted(asked))

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        """Only private_key_jwt, at every endpoint."""
        del endpoint
        return method == METHOD

    def check_grant_type(self, grant_type: str) -> bool:
        """Only client_credentials."""
        return grant_type == GRANT


class _ClientCredentials(ClientCredentialsGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = [METHOD]  # noqa: RUF012 -- as in the base class
    server: TokenServer
    request: NodeRequest

    def validate_token_request(self) -> None:
        super().validate_token_request()
        resource = self.request.form.get("resource")
        if resource is not None and resource != self.server.realm.audience:
            raise InvalidTarget("Tokens of this node are for its own resource.")
        self.request.client.get_allowed_scope(self.request.form["scope"])
        proof = self.server.proof(self.request)
        self.request.client.proof = proof
        self.request.spending.append(proof.spending)
        self.server.spend(self.request)

    def create_token_response(self) -> tuple[int, dict[str, Any], list[tuple[str, str]]]:
        # As the base class does, but that writes the whole token to its debug log.
        token = self.generate_token(scope=self.request.form["scope"], include_refresh_token=False)
        return 200, token, self.TOKEN_RESPONSE_HEADER


class _Revocation(RevocationEndpoint):
    CLIENT_AUTH_METHODS = [METHOD]  # noqa: RUF012 -- as in the base class
    server: TokenServer

    def authenticate_endpoint_client(self, request: NodeRequest) -> NodeClient:
        client = super().authenticate_endpoint_client(request)
        self.server.spend(request)
        return client

    def check_params(self, request: NodeRequest, client: NodeClient) -> None:
        del client
        if not request.form.get("token"):  # an unknown token_type_hint is no error (RFC 7009, 2.1)
            raise InvalidRequestError("The token to revoke is missing.")

    def query_token(self, token_string: str, token_type_hint: str | None) -> _Revocable | None:
        del token_type_hint
        try:
            return _Revocable(read_token(self.server.realm, token_string))
        except FederationError:
            return None

    def revoke_token(self, token: _Revocable, request: NodeRequest) -> None:
        del request
        revoke(self.server.realm, token.claims)


@dataclass(frozen=True)
class _Revocable:
    claims: AccessToken

    def check_client(self, client: NodeClient) -> bool:
        return hmac.compare_digest(self.claims.client_id.encode(), client.get_client_id().encode())


class TokenServer(AuthorizationServer):
    """The token and revocation endpoints of one realm. Synchronous: the web edge calls it in a thread."""

    def __init__(self, realm: Realm) -> None:
        super().__init__(scopes_supported=sorted(realm.scopes))
        self.realm = realm
        self.register_client_auth_method(METHOD, self._authenticate)
        self.register_grant(_ClientCredentials)
        self.register_endpoint(_Revocation)
        self.register_token_generator("default", self._token)

    def token(self, request: FormRequest) -> Answer:
        """Answer a token request."""
        return self._answer(request, self.create_token_response)

    def revoke(self, request: FormRequest) -> Answer:
        """Answer a revocation request."""
        return self._answer(request, lambda asked: self.create_endpoint_response("revocation", asked))

    def _answer(self, request: FormRequest, act: Any) -> Answer:
        asked = NodeRequest(self.realm, request)
        try:
            _check_form(asked)
            answer = act(asked)
        except OAuth2Error as error:
            answer = self.handle_error_response(asked, error)
        headers = dict(answer.headers) | {"Cache-Control": "no-store", "Pragma": "no-cache"}
        headers["DPoP-Nonce"] = nonce(self.realm.nonce_secret, self.realm.world.timestamp())
        return Answer(answer.status, answer.body, tuple(headers.items()))

    def proof(self, request: NodeRequest) -> Proof:
        """The request's one proof. Raises InvalidProof."""
        if len(request.sent.proofs) != 1:
            raise InvalidProof("Exactly one DPoP header is needed.")
        try:
            return check_proof(
                request.sent.proofs[0],
                method="POST",
                url=request.uri,
                secret=self.realm.nonce_secret,
                now=self.realm.world.timestamp(),
            )
        except ProofRefused as refused:
            raise InvalidProof(refused.message, error=refused.error) from refused

    def spend(self, request: NodeRequest) -> None:
        """Spend what the request's assertion and proof may be used for. Raises InvalidClientError if it was before."""
        if not self.realm.spent.spend(request.spending):
            raise InvalidClientError("An assertion or proof was used before; make new ones.", status_code=401)

    def _authenticate(self, query_client: Any, request: NodeRequest) -> NodeClient:
        del query_client  # Authlib's way to a client; here the assertion is checked before anybody is looked for
        try:
            shown = check_assertion(self.realm, request.form)
        except AssertionRefused as refused:
            raise InvalidClientError(refused.message, status_code=401) from refused
        request.spending.append(shown.spending)
        return NodeClient(shown.client)

    def _token(self, client: NodeClient, scope: str, **_: Any) -> dict[str, Any]:
        allowed, proof = client.get_allowed_scope(scope), client.proof
        if proof is None:  # no token without a key to bind it to, whatever grant asks for one
            raise InvalidProof("A proof is needed.")
        token = mint(self.realm, client.get_client_id(), tuple(allowed.split()), proof.jkt, proof.spending[0])
        return {"token_type": "DPoP", "access_token": token, "expires_in": LIFETIME, "scope": allowed}

    # What a framework has to give to Authlib.

    def send_signal(self, name: str, *args: Any, **kwargs: Any) -> None:
        """Nobody listens."""

    def create_oauth2_request(self, request: NodeRequest) -> NodeRequest:
        """The request is made at the edge already."""
        return request

    def handle_response(self, status: int, body: Mapping[str, Any], headers: Any) -> Answer:
        """An answer; a refused client gets no challenge for the Basic scheme, which this node does not have."""
        kept = tuple((name, value) for name, value in headers if name.lower() != "www-authenticate")
        return Answer(status, body, kept)

    def validate_requested_scope(self, scope: str | None) -> None:
        """There is no default scope, and none that the node does not know."""
        if not scope or len(scope) > MAX_SCOPE or not self.realm.scopes.issuperset(scope.split()):
            raise InvalidScopeError("Ask for scopes that this node has, by name; there is no default.")

    def get_token_grant(self, request: NodeRequest) -> Any:
        """As Authlib's, without repeating what was sent."""
        if not request.payload.grant_type:
            raise InvalidRequestError("grant_type is missing.")
        if request.payload.grant_type != GRANT:
            raise UnknownGrant
        return super().get_token_grant(request)


def _check_form(request: NodeRequest) -> None:
    """RFC 6749, 3.2: no parameter twice, nothing in the query, one way to authenticate. Raises OAuth2Error."""
    if any(len(values) > 1 for values in request.payload.datalist.values()):
        raise InvalidRequestError("A parameter was sent more than once.")
    if request.sent.query:
        raise InvalidRequestError("Parameters belong into the body, never into the address.")
    if request.sent.authorization:
        raise InvalidClientError("The client must authenticate with private_key_jwt.", status_code=401)
