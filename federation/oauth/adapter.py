"""What stands between Authlib's core and this node: requests, clients and answers in its terms, who authenticates how,
and the tokens that are given. Nothing of a request is logged, and no part of it is repeated in an answer.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
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
from authlib.oauth2.rfc6749.requests import OAuth2Payload

from federation.oauth.assertions import AssertionRefused, check_assertion
from federation.oauth.proofs import Proof, ProofRefused, check_proof, nonce
from federation.oauth.realm import Realm, RegisteredClient
from federation.oauth.tokens import LIFETIME, OnBehalf, mint

METHOD = "private_key_jwt"
PUBLIC = "none"
"""What a public client authenticates by: its proof binds what it gets, but tells nobody who it is."""
OWN_GRANT = "client_credentials"
CODE_GRANT = "authorization_code"
REFRESH_GRANT = "refresh_token"
GRANTS = (OWN_GRANT, CODE_GRANT, REFRESH_GRANT)
MAX_SCOPE = 4096


class InvalidProof(OAuth2Error):
    """RFC 9449: the proof is missing or refused."""

    error = "invalid_dpop_proof"


class InvalidTarget(OAuth2Error):
    """RFC 8707: a token for another resource was asked for."""

    error = "invalid_target"


class UnsupportedResponse(OAuth2Error):
    """Any response_type but code; Authlib's own error repeats what was sent."""

    error = "unsupported_response_type"
    description = "This node knows the response type code only."


class UnknownGrant(OAuth2Error):
    """Any grant but those of GRANTS; Authlib's own error repeats what was sent."""

    error = "unsupported_grant_type"
    description = f"This node knows the grant types {', '.join(GRANTS)} only."


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
        """Only private_key_jwt, at every endpoint; of a public client only `none`."""
        del endpoint
        return method == (PUBLIC if self.registered.public else METHOD)

    def check_grant_type(self, grant_type: str) -> bool:
        """One that asks people gets a token on their behalf only, any other for itself only."""
        return grant_type in grants_of(self.registered)


def grants_of(client: RegisteredClient) -> tuple[str, ...]:
    """The grant types that a client may use."""
    return (CODE_GRANT, REFRESH_GRANT) if client.redirect_uris else (OWN_GRANT,)


class AdaptedServer(AuthorizationServer):
    """Authlib's server over one realm, without grants and endpoints. Synchronous: the web edge calls it in a thread."""

    def __init__(self, realm: Realm) -> None:
        super().__init__(scopes_supported=sorted(realm.scopes))
        self.realm = realm
        self.register_client_auth_method(METHOD, self._authenticate)
        self.register_client_auth_method(PUBLIC, self._named)
        self.register_token_generator("default", self._token)

    def answer(self, request: FormRequest, act: Callable[[NodeRequest], Answer]) -> Answer:
        """What `act` makes of a request, or the refusal, with the headers that every answer has."""
        asked = NodeRequest(self.realm, request)
        try:
            _check_form(asked)
            answer = act(asked)
        except OAuth2Error as error:
            answer = self.handle_error_response(asked, error)
        headers = dict(answer.headers) | {"Cache-Control": "no-store", "Pragma": "no-cache"}
        headers["DPoP-Nonce"] = nonce(self.realm.nonce_secret, self.realm.world.timestamp())
        if answer.status == 401:
            headers["WWW-Authenticate"] = f'{METHOD} realm="{self.realm.url}", error="{answer.body["error"]}"'
        return Answer(answer.status, answer.body, tuple(headers.items()))

    def authenticate_client(self, request: NodeRequest, methods: Sequence[str], endpoint: str = "token") -> NodeClient:
        """Who asks: by an assertion, or where that is enough, and none was sent, by name. Raises InvalidClientError."""
        asserted = "client_assertion" in request.form or "client_assertion_type" in request.form
        chosen = METHOD if asserted or PUBLIC not in methods else PUBLIC
        client: NodeClient = super().authenticate_client(request, [chosen], endpoint)
        request.client = client
        return client

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

    def prove(self, request: NodeRequest) -> None:
        """Check the request's proof for the client that was authenticated. Raises InvalidProof."""
        proof = self.proof(request)
        request.client.proof = proof
        request.spending.append(proof.spending)

    def spend(self, request: NodeRequest) -> None:
        """Spend what the request's assertion and proof may be used for. Raises InvalidClientError if it was before. A
        public client that gives a token up may come with neither."""
        if request.spending and not self.realm.spent.spend(request.spending):
            raise InvalidClientError("An assertion or proof was used before; make new ones.", status_code=401)

    def _authenticate(self, query_client: Any, request: NodeRequest) -> NodeClient:
        del query_client  # Authlib's way to a client; here the assertion is checked before anybody is looked for
        try:
            shown = check_assertion(self.realm, request.form)
        except AssertionRefused as refused:
            raise InvalidClientError(refused.message, status_code=401) from refused
        request.spending.append(shown.spending)
        return NodeClient(shown.client)

    def _named(self, query_client: Any, request: NodeRequest) -> NodeClient:
        """A public client. One that has keys is refused as one that there is not."""
        del query_client
        client = self.realm.active_client(request.form.get("client_id", ""))
        if client is None or not client.public or "client_secret" in request.form:
            raise InvalidClientError("The client must authenticate with private_key_jwt.", status_code=401)
        return NodeClient(client)

    def _token(self, client: NodeClient, scope: str, **_: Any) -> dict[str, Any]:
        return self.issue(client, client.get_allowed_scope(scope))

    def issue(self, client: NodeClient, scope: str, on_behalf: OnBehalf | None = None) -> dict[str, Any]:
        """An access token bound to the key of the client's proof, as the body of an answer."""
        proof, now = client.proof, self.realm.world.timestamp()
        if proof is None:  # no token without a key to bind it to, whatever grant asks for one
            raise InvalidProof("A proof is needed.")
        scopes = tuple(scope.split())
        token = mint(self.realm, client.get_client_id(), scopes, proof.jkt, proof.spending[0], on_behalf)
        lasts = LIFETIME if on_behalf is None else min(LIFETIME, on_behalf.ends - now)
        return {"token_type": "DPoP", "access_token": token, "expires_in": lasts, "scope": scope}

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
        if request.payload.grant_type not in GRANTS:
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
