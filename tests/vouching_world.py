"""Entities that vouch for one another, without nodes: keys, statements and chains as a test wants them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import orjson

from federation import keys
from federation.keys import SigningKey, generate_key
from federation.peers.vouching.statements import STATEMENT, Statement, make_statement, read_statement

NOW = 1_800_000_000


@dataclass
class Entity:
    """One entity: who it names as superiors, and what it says of itself."""

    issuer: str
    hints: list[str] = field(default_factory=list)
    claims: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=lambda: {"federation_entity": {}, "oauth_client": {"a": ["x"]}})
    key: SigningKey = field(default_factory=generate_key)

    def says(self, now: int = NOW, hours: int = 48, **claims: Any) -> str:
        """What it says of itself."""
        said = {"authority_hints": self.hints, "metadata": self.metadata, **self.claims, **claims}
        return make_statement(self.key, self.issuer, self.issuer, [self.key.public_jwk], now, hours, **said)

    def of(self, other: Entity, now: int = NOW, hours: int = 48, **claims: Any) -> str:
        """What it says of another."""
        return make_statement(self.key, self.issuer, other.issuer, [other.key.public_jwk], now, hours, **claims)

    @property
    def pinned(self) -> dict[str, frozenset[str]]:
        """It alone as the anchor."""
        return {self.issuer: frozenset({self.key.thumbprint})}


def three() -> tuple[Entity, Entity, Entity]:
    """A local, a regional and an international node."""
    return (
        Entity("https://river.example", ["https://west.example"]),
        Entity("https://west.example", ["https://aurora.example"]),
        Entity("https://aurora.example"),
    )


def chain(*entities: Entity, now: int = NOW, **claims: Mapping[str, Any]) -> list[str]:
    """The chain of entities, the subject first. `by_0` are further claims of the subject's superior, and so on."""
    between = [
        upper.of(lower, now, **claims.get(f"by_{place}", {})) for place, (lower, upper) in enumerate(pairwise(entities))
    ]
    return [entities[0].says(now), *between, entities[-1].says(now)]


def read(tokens: Sequence[str]) -> list[Statement]:
    return [read_statement(token) for token in tokens]


def forged(entity: Entity, claims: Mapping[str, Any], **header: Any) -> str:
    """Anything, signed by an entity as a statement."""
    return keys.sign(entity.key, {"typ": STATEMENT, "kid": entity.key.thumbprint, **header}, claims)


def claims_of(token: str) -> dict[str, Any]:
    """What a token says, unverified."""
    return orjson.loads(keys.unb64(token.split(".")[1]))
