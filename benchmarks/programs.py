"""A partner's program, as the benchmarks play it: tokens and proofs made with the node's own keys, at no cost to it.

A real client takes longer between two requests than a server needs for one, which would be measured as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count

from federation.keys import dpop_proof, generate_key
from federation.node import Node
from federation.oauth.clients import add_client
from federation.oauth.proofs import nonce
from federation.oauth.tokens import mint

OPEN, PARTNER = (frozenset({f"resource:{tier}", f"network:{tier}"}) for tier in ("open", "partner"))


class Program:
    """A client of a node with these scopes, registered there."""

    def __init__(self, node: Node, scopes: frozenset[str]) -> None:
        self._realm, self._world, self._key, self._numbers = node.realm, node.world, generate_key(), count()
        self.client = add_client(node.database, node.world, "benchmark", scopes, node.scopes)
        self._kept = self.token()

    def token(self) -> str:
        """A new access token, bound to the program's key."""
        client, chance = self.client, str(next(self._numbers)).encode()
        return mint(self._realm, client.client_id, client.scopes, self._key.thumbprint, chance)

    def headers(self, token: str | None = None) -> Mapping[str, str]:
        """Token (by default always the same) and a new proof, for one request to `/graphql`."""
        token, now = token or self._kept, self._world.timestamp()
        proof = dpop_proof(
            self._key,
            "POST",
            f"{self._realm.url}/graphql",
            now,
            f"proof-{next(self._numbers)}",
            token=token,
            nonce=nonce(self._realm.nonce_secret, now),
        )
        return {"authorization": f"DPoP {token}", "dpop": proof}
