"""One node's OAuth, whole, for tests: a realm over a real database, its routes, a client, and a clock to turn."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.applications import Starlette
from starlette.testclient import TestClient

from federation.keys import SigningKey, dpop_proof, generate_key, generate_keys, sign, signing_key
from federation.oauth.assertions import ASSERTION_TYPE
from federation.oauth.clients import NewClient, add_client, registered_clients
from federation.oauth.proofs import nonce
from federation.oauth.realm import Clients, Realm, first_of
from federation.oauth.resource import ResourceServer
from federation.oauth.routes import routes
from federation.policies.viewer import Viewer
from federation.storage.database import Database
from federation.world import World

URL = "https://river.example"
SCOPES = frozenset({f"resource:{tier}" for tier in ("open", "community", "partner")} | {"exchange", "peers:write"})
RIGHTS = frozenset({"resource:community", "exchange"})


@dataclass
class Clock:
    at: datetime = field(default_factory=lambda: datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC))

    def __call__(self) -> datetime:
        return self.at

    def turn(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


class Node:
    """A node's OAuth with one client. Every `jti` is new unless a test says otherwise."""

    def __init__(self, database: Database, clients: Clients = lambda _: None, seed: bytes | None = None) -> None:
        self.clock = Clock()
        self.world = World(self.clock, seed)
        self.database = database
        self.keys = generate_keys(self.world, "river")
        self.clients = first_of(registered_clients(database), clients)
        self.realm = self.another_realm()
        self.app = TestClient(Starlette(routes=routes(self.realm)), base_url=URL)
        self.resource = ResourceServer(self.realm, frozenset({"resource:open"}))
        self.client: NewClient = add_client(database, self.world, "dashboard", RIGHTS, SCOPES)
        self.key = signing_key(self.client.private_jwk)
        self.proof_key = generate_key()
        self._numbers = itertools.count()

    def another_realm(self) -> Realm:
        """The same node as another process sees it, or this one after a restart."""
        return Realm(URL, self.keys, self.database, self.world, self.clients, SCOPES)

    @property
    def now(self) -> int:
        return self.world.timestamp()

    def jti(self) -> str:
        return f"jti-{next(self._numbers)}"

    def nonce(self) -> str:
        return nonce(self.realm.nonce_secret, self.now)

    def assertion(self, key: SigningKey | None = None, header: dict[str, Any] | None = None, **claims: Any) -> str:
        """A client assertion; a claim given as None is left out."""
        client_id = self.client.client_id
        base = {
            "iss": client_id,
            "sub": client_id,
            "aud": URL,
            "iat": self.now,
            "exp": self.now + 60,
            "jti": self.jti(),
        }
        kept = {name: value for name, value in (base | claims).items() if value is not None}
        return sign(key or self.key, header if header is not None else {"typ": "JWT"}, kept)

    def proof(
        self, method: str = "POST", url: str = f"{URL}/oauth/token", *, key: SigningKey | None = None, **given: Any
    ) -> str:
        given = {"nonce": self.nonce()} | given
        return dpop_proof(
            key or self.proof_key, method, url, given.pop("at", self.now), given.pop("jti", self.jti()), **given
        )

    def form(self, **fields: Any) -> dict[str, str]:
        """The fields of a token request; a field given as None is left out."""
        base = {
            "grant_type": "client_credentials",
            "scope": "resource:community",
            "client_assertion_type": ASSERTION_TYPE,
        }
        if "client_assertion" not in fields:
            base["client_assertion"] = self.assertion()
        return {name: value for name, value in (base | fields).items() if value is not None}

    def ask(self, headers: dict[str, str] | None = None, **fields: Any) -> Any:
        """Send a token request; by default a good one."""
        sent = {"dpop": self.proof()} if headers is None else headers
        return self.app.post("/oauth/token", data=self.form(**fields), headers=sent)

    def token(self, **fields: Any) -> str:
        answer = self.ask(**fields)
        assert answer.status_code == 200, answer.text
        return answer.json()["access_token"]

    def use(
        self,
        token: str,
        proof: str | None = None,
        *,
        scheme: str = "DPoP",
        path: str = "/graphql",
        resource: ResourceServer | None = None,
        **given: Any,
    ) -> Viewer:
        """Show a token at the resource server; by default with a good proof."""
        if proof is None:
            proof = self.proof("POST", URL + path.partition("?")[0], token=token, **given)
        headers = [(b"authorization", f"{scheme} {token}".encode()), (b"dpop", proof.encode())]
        return (resource or self.resource).authenticate(headers, "POST", path)
