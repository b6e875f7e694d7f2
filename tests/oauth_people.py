"""Programs that ask people, for tests: from a pushed request to tokens, with a person who says yes."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlsplit

from authlib.oauth2.rfc7636 import create_s256_code_challenge
from oauth_world import SCOPES, URL, Node
from sqlalchemy import text

from federation.keys import generate_key, sign_assertion, signing_key
from federation.oauth.accounts import account_viewer, add_account
from federation.oauth.adapter import Answer, FormRequest
from federation.oauth.assertions import ASSERTION_TYPE
from federation.oauth.authorizing import approve, open_request
from federation.oauth.clients import add_client
from federation.oauth.server import TokenServer
from federation.policies.viewer import Viewer, ViewerKind

BACK = "https://dashboard.example/back"
ASKED = "resource:community resource:open"
VERIFIER = "v" * 43


def person(node: Node, handle: str = "asha", **given: Any) -> Viewer:
    """An account of the node, made where it is not there yet: a steward unless told."""
    if account_viewer(node.database, handle) is None:
        add_account(node.database, node.world, handle, handle.title(), **given)
    found = account_viewer(node.database, handle)
    assert found is not None
    return found


def member(node: Node, handle: str, *scopes: str) -> Viewer:
    """A member's account with these scopes."""
    return person(node, handle, kind=ViewerKind.MEMBER, scopes=frozenset(scopes))


def set_scopes(node: Node, table: str, where: str, scopes: str) -> None:
    """Change what a client or an account has, as an operator may."""
    key = "handle" if table == "account" else "client_id"
    with node.database.write() as connection:
        connection.execute(text(f"UPDATE {table} SET scopes = :s WHERE {key} = :k"), {"s": scopes, "k": where})


class Program:
    """A program that asks people: public unless told. Each request is a good one unless a field says otherwise; a field
    given as None is left out."""

    def __init__(self, node: Node, *, public: bool = True, scopes: frozenset[str] | None = None, back: str = BACK):
        self.node = node
        self.public = public
        given = scopes or SCOPES - {"peers:write"}
        made = add_client(node.database, node.world, "A dashboard", given, SCOPES, redirect_uris=(back,), public=public)
        self.id, self.back = made.client_id, back
        self.key = None if public else signing_key(made.private_jwk)
        self.proof_key = generate_key()

    def who(self) -> dict[str, str]:
        """The fields by which the program says who it is."""
        if self.key is None:
            return {"client_id": self.id}
        said = sign_assertion(self.key, self.id, URL, self.node.now, self.node.jti())
        return {"client_id": self.id, "client_assertion_type": ASSERTION_TYPE, "client_assertion": said}

    def send(self, path: str, headers: Any = None, form: dict[str, Any] | None = None) -> Any:
        """Send a form as this program, with a proof unless headers are given."""
        sent = {"dpop": self.proof(path)} if headers is None else headers
        kept = {name: value for name, value in (self.who() | (form or {})).items() if value is not None}
        return self.node.app.post(path, data=kept, headers=sent)

    def at(self, server: TokenServer, act: str, path: str, **fields: str) -> Answer:
        """The same, asked of one worker without the web edge."""
        form = tuple((self.who() | fields).items())
        answer: Answer = getattr(server, act)(FormRequest(path, form, (self.proof(path),)))
        return answer

    def proof(self, path: str, **given: Any) -> str:
        return self.node.proof("POST", URL + path, key=given.pop("key", self.proof_key), **given)

    def wish(self, **fields: Any) -> dict[str, Any]:
        base = {
            "response_type": "code",
            "redirect_uri": self.back,
            "scope": ASKED,
            "state": "st",
            "code_challenge": create_s256_code_challenge(VERIFIER),
            "code_challenge_method": "S256",
        }
        return base | fields

    def push(self, headers: Any = None, **fields: Any) -> Any:
        return self.send("/oauth/par", headers, self.wish(**fields))

    def name(self, **fields: Any) -> str:
        """The name of a request that was pushed."""
        answer = self.push(**fields)
        assert answer.status_code == 201, answer.text
        return answer.json()["request_uri"]

    def question(self, **fields: Any) -> str:
        """The name under which a pushed request is put to a person."""
        return open_request(self.node.realm, self.id, self.name(**fields))

    def code(self, who: Viewer | None = None, **fields: Any) -> str:
        """A code that a person gave."""
        address = approve(self.node.realm, self.question(**fields), who or person(self.node))
        return dict(parse_qsl(urlsplit(address).query))["code"]

    def redemption(self, code: str, /, **fields: Any) -> dict[str, Any]:
        base = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.back,
            "code_verifier": VERIFIER,
        }
        return base | fields

    def redeem(self, code: str, /, headers: Any = None, **fields: Any) -> Any:
        return self.send("/oauth/token", headers, self.redemption(code, **fields))

    def refresh(self, token: str | None, /, headers: Any = None, **fields: Any) -> Any:
        return self.send("/oauth/token", headers, {"grant_type": "refresh_token", "refresh_token": token} | fields)

    def tokens(self, who: Viewer | None = None, **fields: Any) -> dict[str, Any]:
        """The answer to a good code."""
        answer = self.redeem(self.code(who, **fields))
        assert answer.status_code == 200, answer.text
        return answer.json()

    def use(self, token: str, **given: Any) -> Viewer:
        """Show a token at the resource server."""
        return self.node.use(token, key=given.pop("key", self.proof_key), **given)
