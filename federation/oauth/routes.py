"""The web edge of the authorization server: bounded forms in, JSON out; and the public documents.

Endpoints read the body and then work in a thread; nothing here looks at the Host header.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

import anyio.to_thread
import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from federation.edge import bounded_body
from federation.errors import FederationError
from federation.keys import ALGORITHMS
from federation.oauth.realm import JWKS_PATH, REVOKE_PATH, TOKEN_PATH, Realm
from federation.oauth.server import GRANT, METHOD, Answer, FormRequest, TokenServer

MAX_FORM = 32_768
MAX_FIELDS = 32
CACHE = "public, max-age=300"


def server_metadata(realm: Realm) -> dict[str, Any]:
    """RFC 8414: only what this node does."""
    return {
        "issuer": realm.url,
        "token_endpoint": realm.url + TOKEN_PATH,
        "revocation_endpoint": realm.url + REVOKE_PATH,
        "jwks_uri": realm.url + JWKS_PATH,
        "scopes_supported": sorted(realm.scopes),
        "response_types_supported": [],
        "grant_types_supported": [GRANT],
        "token_endpoint_auth_methods_supported": [METHOD],
        "token_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
        "revocation_endpoint_auth_methods_supported": [METHOD],
        "revocation_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
        "dpop_signing_alg_values_supported": list(ALGORITHMS),
        "protected_resources": [realm.audience],
    }


def resource_metadata(realm: Realm) -> dict[str, Any]:
    """RFC 9728, for the one resource of this node."""
    return {
        "resource": realm.audience,
        "authorization_servers": [realm.url],
        "jwks_uri": realm.url + JWKS_PATH,
        "scopes_supported": sorted(realm.scopes),
        "bearer_methods_supported": ["header"],
        "dpop_signing_alg_values_supported": list(ALGORITHMS),
    }


def key_set(realm: Realm) -> dict[str, Any]:
    """The public keys that this node's access tokens are signed with: the present one and those just replaced."""
    keys = realm.keys.token_keys(realm.world.timestamp())
    by_name = {key.thumbprint: {**key.jwk, "kid": key.thumbprint, "use": "sig", "alg": key.algorithm} for key in keys}
    return {"keys": list(by_name.values())}


def routes(realm: Realm, server: TokenServer | None = None) -> list[Route]:
    """The routes of one realm: token, revocation, metadata of server and resource, keys."""
    at = server or TokenServer(realm)

    def document(path: str, make: Callable[[Realm], Mapping[str, Any]]) -> Route:
        async def answer(request: Request) -> Response:
            del request
            return _json(200, make(realm), {"Cache-Control": CACHE})

        return Route(path, answer, methods=["GET"])

    return [
        Route(TOKEN_PATH, _form_endpoint(at.token), methods=["POST"]),
        Route(REVOKE_PATH, _form_endpoint(at.revoke), methods=["POST"]),
        document("/.well-known/oauth-authorization-server", server_metadata),
        document("/.well-known/oauth-protected-resource/graphql", resource_metadata),
        document(JWKS_PATH, key_set),
    ]


def _form_endpoint(act: Callable[[FormRequest], Answer]) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        try:
            form = _fields(request, await _body(request))
        except _BadForm as bad:
            return _error(400 if bad.status is None else bad.status, "invalid_request", str(bad))
        asked = FormRequest(
            path=request.url.path,
            form=form,
            proofs=tuple(request.headers.getlist("dpop")),
            query=bool(request.url.query),
            authorization="authorization" in request.headers,
        )
        try:
            done = await anyio.to_thread.run_sync(act, asked)
        except FederationError as failed:
            code = "temporarily_unavailable" if failed.status == 503 else "invalid_request"
            return _error(failed.status, code, failed.message)
        return _json(done.status, done.body, dict(done.headers))

    return answer


class _BadForm(Exception):
    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


async def _body(request: Request) -> bytes:
    body = await bounded_body(request, MAX_FORM)
    if body is None:
        raise _BadForm(f"A form may have {MAX_FORM} bytes.", 413)
    return body


def _fields(request: Request, body: bytes) -> tuple[tuple[str, str], ...]:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise _BadForm("The body must be a form (application/x-www-form-urlencoded).")
    try:
        text = body.decode("ascii")
        return tuple(
            parse_qsl(
                text, keep_blank_values=True, strict_parsing=bool(text), errors="strict", max_num_fields=MAX_FIELDS
            )
        )
    except ValueError as broken:
        raise _BadForm("The form is malformed or has too many fields.") from broken


def _error(status: int, error: str, description: str) -> Response:
    headers = {"Cache-Control": "no-store", "Pragma": "no-cache"}
    return _json(status, {"error": error, "error_description": description}, headers)


def _json(status: int, body: Mapping[str, Any], headers: Mapping[str, str]) -> Response:
    kept = {name: value for name, value in headers.items() if name.lower() != "content-type"}
    return Response(orjson.dumps(body), status, kept, "application/json")
