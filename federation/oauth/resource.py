"""The resource server: from the headers of a request to the viewer who asks.

A bound token without its proof is nothing; Bearer is for personal tokens of `:open` scopes. What is not understood is
refused, never taken as anonymous.
"""

from __future__ import annotations

import hashlib
import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from threading import Lock
from typing import ClassVar
from urllib.parse import parse_qsl, urlsplit

from federation.errors import BadInput, Unauthenticated
from federation.keys import ALGORITHMS
from federation.oauth.holders import holder
from federation.oauth.personal import PREFIX, personal_viewer
from federation.oauth.proofs import ProofRefused, check_proof, nonce
from federation.oauth.realm import Realm
from federation.oauth.tokens import AccessToken, is_revoked, read_token
from federation.policies.viewer import Viewer, anonymous

CACHED = 10_000
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")
RawHeaders = Sequence[tuple[bytes, bytes]]


class TokenRefused(Unauthenticated):
    """Status 401. `error` is the OAuth code, `headers` are for the answer: challenge and a fresh nonce."""

    def __init__(self, message: str, error: str, headers: Mapping[str, str]) -> None:
        super().__init__(message)
        self.error = error
        self.headers = headers


class RequestRefused(BadInput):
    """Status 400: credentials twice, or in the address."""

    error: ClassVar[str] = "invalid_request"

    def __init__(self, message: str, headers: Mapping[str, str]) -> None:
        super().__init__(message)
        self.headers = headers


class ResourceServer:
    """The check of one realm. Thread-safe. Verified tokens are kept by their hash, so that a signature is checked once;
    revocation and the state of the client are looked up each time."""

    def __init__(self, realm: Realm, public_scopes: frozenset[str] = frozenset()) -> None:
        self._realm = realm
        self._anonymous = anonymous(public_scopes)
        self._verified: OrderedDict[bytes, AccessToken] = OrderedDict()
        self._verified_by = realm.keys
        self._lock = Lock()

    def authenticate(self, headers: RawHeaders, method: str, url: str) -> Viewer:
        """Who asks. `headers` are the raw ones of ASGI (`request.headers.raw`), `url` path and query; a scheme or host
        in it is not looked at. Raises TokenRefused (401), RequestRefused (400), Unavailable."""
        credentials = [value for name, value in headers if name.lower() == b"authorization"]
        proofs = [value.decode("latin-1") for name, value in headers if name.lower() == b"dpop"]
        parts = urlsplit(url)
        if "access_token" in {name.lower() for name, _ in parse_qsl(parts.query, keep_blank_values=True)}:
            raise RequestRefused("A token must never stand in an address.", self.challenge("invalid_request"))
        if len(credentials) > 1 or len(proofs) > 1:
            raise RequestRefused("One Authorization and one DPoP header at most.", self.challenge("invalid_request"))
        if not credentials:
            if proofs:
                raise self._refused("A proof came without its token.", "invalid_token")
            return self._anonymous
        scheme, _, token = credentials[0].decode("latin-1").partition(" ")
        return self.authenticate_token(scheme, token.strip(" "), proofs[0] if proofs else None, method, parts.path)

    def authenticate_token(self, scheme: str, token: str, proof: str | None, method: str, path: str) -> Viewer:
        """Who asks, where scheme, token and proof do not come in headers (WebSocket)."""
        if not _TOKEN.fullmatch(token):
            raise self._refused("The Authorization header is malformed.", "invalid_token")
        if scheme.lower() == "bearer":
            return self._personal(token)
        if scheme.lower() != "dpop":
            raise self._refused("The Authorization header must be of the scheme DPoP or Bearer.", "invalid_token")
        if proof is None:
            raise self._refused("The token came without its proof.", "invalid_dpop_proof")
        return self._bound(token, proof, method, path)

    def _personal(self, token: str) -> Viewer:
        viewer = personal_viewer(self._realm, token) if token.startswith(PREFIX) else None
        if viewer is None:
            raise self._refused(
                "Bearer is for personal tokens that are in force; others need a proof.", "invalid_token"
            )
        return viewer

    def _bound(self, token: str, proof: str, method: str, path: str) -> Viewer:
        realm = self._realm
        try:
            claims = self._verify(token)
            viewer = holder(realm, claims)
            if viewer is None:
                raise self._refused("The token was revoked.", "invalid_token")
            checked = check_proof(
                proof,
                method=method,
                url=realm.url + path,
                secret=realm.nonce_secret,
                now=realm.world.timestamp(),
                token=token,
                jkt=claims.jkt,
            )
        except TokenRefused:
            raise
        except ProofRefused as refused:
            raise self._refused(refused.message, refused.error) from refused
        except Unauthenticated as refused:
            raise self._refused(refused.message, "invalid_token") from refused
        if not realm.spent.spend([checked.spending], durable=realm.flush_proofs, token=claims.jti):
            if is_revoked(realm, claims.jti):
                raise self._refused("The token was revoked.", "invalid_token")
            raise self._refused("The proof was used before.", "invalid_dpop_proof")
        return viewer

    def _verify(self, token: str) -> AccessToken:
        digest, keys = hashlib.sha256(token.encode()).digest(), self._realm.keys
        with self._lock:
            if keys is not self._verified_by:  # what an earlier key signed may count no longer
                self._verified.clear()
                self._verified_by = keys
            known = self._verified.get(digest)
            if known is not None:
                self._verified.move_to_end(digest)
        if known is not None and known.expires > self._realm.world.timestamp():
            return known
        claims = read_token(self._realm, token)
        with self._lock:
            if keys is self._verified_by:
                self._verified[digest] = claims
            if len(self._verified) > CACHED:
                self._verified.popitem(last=False)
        return claims

    def nonce(self) -> str:
        """The present nonce, for the header `DPoP-Nonce` of an answer."""
        return nonce(self._realm.nonce_secret, self._realm.world.timestamp())

    def challenge(self, error: str | None = None, description: str = "") -> dict[str, str]:
        """The headers of a 401: how to authenticate here, and a fresh nonce (RFC 9449, 9728)."""
        fields = [f'algs="{" ".join(ALGORITHMS)}"', f'resource_metadata="{self._realm.resource_metadata}"']
        if error is not None:
            fields.append(f'error="{error}"')
        if description:
            fields.append('error_description="{}"'.format(re.sub(r'[^\x20-\x7e]|["\\]', "", description)))
        return {"WWW-Authenticate": "DPoP " + ", ".join(fields), "DPoP-Nonce": self.nonce()}

    def _refused(self, message: str, error: str) -> TokenRefused:
        return TokenRefused(message, error, self.challenge(error, message))
