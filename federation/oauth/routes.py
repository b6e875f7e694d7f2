"""The web edge of the authorization server: bounded forms and JSON in, JSON out; and the public documents.

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
from federation.errors import FederationError, RateLimited
from federation.keys import ALGORITHMS
from federation.oauth.adapter import GRANTS, METHOD, PUBLIC, Answer, FormRequest
from federation.oauth.realm import (
    AUTHORIZE_PATH,
    INTROSPECT_PATH,
    JWKS_PATH,
    PAR_PATH,
    REGISTER_PATH,
    REVOKE_PATH,
    TOKEN_PATH,
    Realm,
)
from federation.oauth.registering import InvitationRefused, RegistrationRefused, register
from federation.oauth.server import TokenServer

MAX_FORM = 32_768
MAX_FIELDS = 32
CACHE = "public, max-age=300"
NOT_STORED = {"Cache-Control": "no-store", "Pragma": "no-cache"}


def server_metadata(realm: Realm) -> dict[str, Any]:
    """RFC 8414: only what this node does."""
    return {
        "issuer": realm.url,
        "authorization_endpoint": realm.url + AUTHORIZE_PATH,
        "pushed_authorization_request_endpoint": realm.url + PAR_PATH,
        "require_pushed_authorization_requests": True,
        "token_endpoint": realm.url + TOKEN_PATH,
        "introspection_endpoint": realm.url + INTROSPECT_PATH,
        "revocation_endpoint": realm.url + REVOKE_PATH,
        "registration_endpoint": realm.url + REGISTER_PATH,
        "jwks_uri": realm.url + JWKS_PATH,
        "scopes_supported": sorted(realm.scopes),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": list(GRANTS),
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": True,
        "token_endpoint_auth_methods_supported": [METHOD, PUBLIC],
        "token_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
        "introspection_endpoint_auth_methods_supported": [METHOD],
        "introspection_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
        "revocation_endpoint_auth_methods_supported": [METHOD, PUBLIC],
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
    """The routes of one realm that programs ask: every endpoint but the one that people are led to, metadata of server
    and resource, keys."""
    at = server or TokenServer(realm)

    def document(path: str, make: Callable[[Realm], Mapping[str, Any]]) -> Route:
        async def answer(request: Request) -> Response:
            del request
            return _json(200, make(realm), {"Cache-Control": CACHE})

        return Route(path, answer, methods=["GET"])

    return [
        Route(TOKEN_PATH, _form_endpoint(at.token), methods=["POST"]),
        Route(REVOKE_PATH, _form_endpoint(at.revoke), methods=["POST"]),
        Route(PAR_PATH, _form_endpoint(at.push), methods=["POST"]),
        Route(INTROSPECT_PATH, _form_endpoint(at.introspect), methods=["POST"]),
        Route(REGISTER_PATH, _register_endpoint(realm), methods=["POST"]),
        document("/.well-known/oauth-authorization-server", server_metadata),
        document("/.well-known/oauth-protected-resource/graphql", resource_metadata),
        document(JWKS_PATH, key_set),
    ]


def _form_endpoint(act: Callable[[FormRequest], Answer]) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        try:
            form = _fields(request, await _body(request))
        except _BadForm as bad:
            return _error(bad.status, "invalid_request", str(bad))
        asked = FormRequest(
            path=request.url.path,
            form=form,
            proofs=tuple(request.headers.getlist("dpop")),
            query=bool(request.url.query),
            authorization="authorization" in request.headers,
        )
        try:
            done = await anyio.to_thread.run_sync(act, asked)
        except RateLimited as limited:
            return too_often(limited)
        except FederationError as failed:
            return _failed(failed)
        return _json(done.status, done.body, dict(done.headers))

    return answer


def _register_endpoint(realm: Realm) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        shown = request.headers.getlist("authorization")
        scheme, _, token = shown[0].partition(" ") if len(shown) == 1 else ("", "", "")
        if scheme.lower() != "bearer" or not token.strip() or request.url.query:
            token = ""
        try:
            said = orjson.loads(await _body(request))
        except _BadForm as bad:
            return _error(bad.status, "invalid_request", str(bad))
        except ValueError:
            said = None
        try:
            told = await anyio.to_thread.run_sync(register, realm, token.strip(), said)
        except InvitationRefused as refused:
            challenge = {"WWW-Authenticate": f'Bearer realm="{realm.url}", error="invalid_token"'}
            return _error(401, "invalid_token", refused.message, challenge)
        except RegistrationRefused as refused:
            return _error(400, refused.error, refused.message)
        except FederationError as failed:
            return _failed(failed)
        return _json(201, told, NOT_STORED)

    return answer


def _failed(error: FederationError) -> Response:
    code = "temporarily_unavailable" if error.status == 503 else "invalid_request"
    return _error(error.status, code, error.message)


class _BadForm(Exception):
    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


async def _body(request: Request) -> bytes:
    body = await bounded_body(request, MAX_FORM)
    if body is None:
        raise _BadForm(f"A body may have {MAX_FORM} bytes.", 413)
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


def _error(status: int, error: str, description: str, headers: Mapping[str, str] | None = None) -> Response:
    return _json(status, {"error": error, "error_description": description}, NOT_STORED | dict(headers or {}))


def too_often(limited: RateLimited) -> Response:
    """The answer to a request that is one too many, in the form of all errors here."""
    answer = _error(limited.status, "temporarily_unavailable", limited.message)
    answer.headers.update(limited.headers)
    return answer


def _json(status: int, body: Mapping[str, Any], headers: Mapping[str, str]) -> Response:
    kept = {name: value for name, value in headers.items() if name.lower() != "content-type"}
    return Response(orjson.dumps(body), status, kept, "application/json")
