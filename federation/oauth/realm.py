"""What the authorization server and the resource server of one node share. It holds no request."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from federation.keys import Keys, NodeKeys, PublicKey, public_keys
from federation.oauth.spent import SpentIdentifiers, boot_id
from federation.policies.tiers import NEVER_FOR_PEERS, closure
from federation.policies.viewer import Agreement, ViewerKind
from federation.storage.database import Database
from federation.world import World


@dataclass(frozen=True)
class RegisteredClient:
    """Who may ask for tokens: a program that an operator let in, or a peer. `jwks` are its public keys; `scopes` what
    it may have at most. Inactive is the same as unknown, for new tokens and for those it holds.

    One with `redirect_uris` asks people and has no rights of its own; a `public` one runs where no key can be kept, and
    authenticates by nothing."""

    client_id: str
    jwks: tuple[Mapping[str, str], ...]
    scopes: frozenset[str]
    kind: ViewerKind = ViewerKind.CLIENT
    agreement: Agreement | None = None
    affiliation: str | None = None
    jurisdiction: str | None = None
    active: bool = True
    name: str = ""
    calls_itself: str = ""
    redirect_uris: tuple[str, ...] = ()
    public: bool = False
    tokens_after: int = 0
    """None of its tokens counts that was issued up to this second: they may be in other hands."""

    @property
    def keys(self) -> tuple[PublicKey, ...]:
        """Its checked keys."""
        return public_keys(self.jwks)

    def allowed(self, scopes: frozenset[str]) -> frozenset[str]:
        """Those of `scopes` that it may have: granted ones and what they contain; writing policy or peers never for a
        peer, nor for a program that is not known by a key."""
        held = scopes & closure(self.scopes)
        return held - NEVER_FOR_PEERS if self.kind is ViewerKind.PEER or self.public else held


TOKEN_PATH = "/oauth/token"  # noqa: S105 -- an address
REVOKE_PATH = "/oauth/revoke"
PAR_PATH = "/oauth/par"
AUTHORIZE_PATH = "/oauth/authorize"
INTROSPECT_PATH = "/oauth/introspect"
REGISTER_PATH = "/oauth/register"
JWKS_PATH = "/.well-known/jwks.json"

Clients = Callable[[str], RegisteredClient | None]
"""Finds a client by its id; None if there is none."""


def first_of(*sources: Clients) -> Clients:
    """Ask several sources of clients in turn."""

    def find(client_id: str) -> RegisteredClient | None:
        for source in sources:
            if (client := source(client_id)) is not None:
                return client
        return None

    return find


@dataclass(frozen=True)
class Realm:
    """One node as issuer and resource. `url` is the configured origin, never taken from a request; `scopes` are all
    that exist here; `ring` gives the keys in force."""

    url: str
    ring: Keys
    database: Database
    world: World
    clients: Clients
    scopes: frozenset[str]
    spent: SpentIdentifiers = field(init=False)
    nonce_secret: bytes = field(init=False, repr=False)
    flush_proofs: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "spent", SpentIdentifiers(self.database, self.world))
        boot = boot_id(self.database, self.world)
        object.__setattr__(self, "nonce_secret", hmac.digest(self.keys.secret, b"nonce\0" + boot, "sha256"))
        object.__setattr__(self, "flush_proofs", not boot)

    @property
    def keys(self) -> NodeKeys:
        """The node's keys in force. Who needs two that belong together asks once."""
        return self.ring.in_force

    @property
    def audience(self) -> str:
        """The resource that this node's access tokens are for."""
        return f"{self.url}/graphql"

    @property
    def resource_metadata(self) -> str:
        """Where the metadata of the resource stands (RFC 9728)."""
        return f"{self.url}/.well-known/oauth-protected-resource/graphql"

    def active_client(self, client_id: str) -> RegisteredClient | None:
        """The client, unless it is unknown, frozen or revoked. No id has signs that cannot be printed, and not every
        database can be asked for them."""
        client = self.clients(client_id) if client_id.isprintable() else None
        return client if client is not None and client.active and client.client_id == client_id else None
