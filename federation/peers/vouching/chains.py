"""Trust chains of OpenID Federation 1.0 (sections 4 and 10): built from the statements at hand, and validated up to an
anchor that the operator pinned. Pure, and bounded in length, number and work whatever the statements say."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from federation import keys
from federation.keys import PublicKey, SigningKey
from federation.peers.vouching.constraints import allowed_types, check_constraints
from federation.peers.vouching.policy import applied, merged, read_policy
from federation.peers.vouching.statements import (
    Statement,
    StatementRefused,
    check_clock,
    read_statement,
    verify_statement,
)

RESOLVED = "resolve-response+jwt"
MAX_LENGTH = 10
MAX_CHAINS = 16

Anchors = Mapping[str, frozenset[str]]
"""The anchors that an operator pinned: issuer, and the thumbprints of the keys that may sign what it says of itself."""


class ChainRefused(StatementRefused):
    """A trust chain that does not hold: the sentence says where."""


@dataclass(frozen=True)
class Chain:
    """A chain that holds, from its subject up to its anchor, until `expires`. `metadata` is what is left of the
    subject's after every policy above it. It grants nothing."""

    statements: tuple[Statement, ...] = field(repr=False)
    expires: int
    metadata: Mapping[str, Any] = field(repr=False)

    @property
    def subject(self) -> str:
        """Who is vouched for."""
        return self.statements[0].subject

    @property
    def anchor(self) -> str:
        """Where it ends."""
        return self.statements[-1].issuer

    @property
    def path(self) -> tuple[str, ...]:
        """The subject, who vouches for it, who vouches for that one, and so on, up to the anchor."""
        return path_of(self.statements)

    @property
    def tokens(self) -> tuple[str, ...]:
        """The statements as signed."""
        return tuple(each.token for each in self.statements)

    def keys_of(self, entity: str) -> tuple[PublicKey, ...]:
        """The keys of an entity of this chain, as its superior states them; none for a stranger."""
        found = [each for each in (*self.statements[1:], *self.statements[:1]) if each.subject == entity]
        return found[0].keys if found else ()


def path_of(statements: Sequence[Statement]) -> tuple[str, ...]:
    """The entities of a chain, the subject first."""
    return (statements[0].subject, *(each.issuer for each in statements[1:-1]))


def read_chain(tokens: object) -> tuple[Statement, ...]:
    """The statements of a chain, each of sound form. Raises StatementRefused, ChainRefused."""
    if not isinstance(tokens, Sequence) or isinstance(tokens, str) or not 0 < len(tokens) <= MAX_LENGTH:
        raise ChainRefused(f"A trust chain is a list of 1 to {MAX_LENGTH} statements.")
    return tuple(read_statement(token) for token in tokens)


def validate(statements: Sequence[Statement], anchors: Anchors, now: int) -> Chain:
    """The chain of these statements, if it holds at this moment and ends at one of these anchors. What costs little is
    checked first; signatures are verified from the anchor down. Raises StatementRefused, ChainRefused, PolicyRefused,
    MetadataRefused."""
    if not 0 < len(statements) <= MAX_LENGTH:
        raise ChainRefused(f"A trust chain has 1 to {MAX_LENGTH} statements.")
    _check_links(statements)
    last = statements[-1]
    if last.issuer not in anchors:
        raise ChainRefused(f"The chain ends at {last.issuer}, which is no anchor here.")
    for statement in statements:
        check_clock(statement, now)
    pinned = [key for key in last.keys if key.thumbprint in anchors[last.issuer]]
    verify_statement(last, pinned)
    for statement, superior in reversed(list(pairwise(statements))):
        verify_statement(statement, superior.keys)
    if len(statements) > 1:
        verify_statement(statements[0], statements[0].keys)
    return Chain(tuple(statements), min(each.expires for each in statements), _resolved(statements))


def _check_links(statements: Sequence[Statement]) -> None:
    """That each statement is about the maker of the one before, and that nobody comes twice."""
    first, last, between = statements[0], statements[-1], statements[1:-1]
    if len(statements) == 2:
        raise ChainRefused("A trust chain of two statements says nothing of who vouches.")
    if not first.is_configuration or not last.is_configuration:
        raise ChainRefused("A trust chain begins and ends with what an entity says of itself.")
    if any(each.is_configuration for each in between):
        raise ChainRefused("Only the two ends of a trust chain may be about their own makers.")
    if any(lower.issuer != upper.subject for lower, upper in pairwise(statements)):
        raise ChainRefused("The statements of a trust chain are not about one another's makers.")
    path = path_of(statements)
    if len(set(path)) != len(path):
        raise ChainRefused("A trust chain leads back to where it was before.")
    if len(statements) > 1 and statements[1].issuer not in first.hints:
        raise ChainRefused(f"{first.subject} does not name {statements[1].issuer} as its superior.")


def _resolved(statements: Sequence[Statement]) -> dict[str, dict[str, Any]]:
    """The subject's metadata after its superior's own words, the allowed types and all policies (6.1.4.2, 6.2.3)."""
    subordinate = [each for each in statements if not each.is_configuration]
    metadata = {kind: dict(given) for kind, given in statements[0].claims.get("metadata", {}).items()}
    if subordinate:
        for kind, given in subordinate[0].claims.get("metadata", {}).items():
            metadata[kind] = {**metadata.get(kind, {}), **given}
    below: list[str] = []
    for statement in subordinate:
        below.append(statement.subject)
        constraints = statement.claims.get("constraints", {})
        check_constraints(constraints, statement.issuer, below)
        allowed = allowed_types(constraints)
        if allowed is not None:
            metadata = {kind: given for kind, given in metadata.items() if kind in allowed}
    policies = [each.claims["metadata_policy"] for each in reversed(subordinate) if "metadata_policy" in each.claims]
    return applied(merged(map(read_policy, policies)), metadata)


# Building


def above(own: str, statement: Statement, higher: Iterable[Sequence[Statement]]) -> list[tuple[str, ...]]:
    """The chains of an entity over one superior: what it says of itself, the superior's statement about it, and each of
    the superior's own chains without its first link. Paths that come back to an entity and those that grow too long are
    left, so that superiors that name one another in a circle end too."""
    found = []
    for chain in higher:
        rest = chain if len(chain) == 1 else chain[1:]
        between = {each.issuer for each in rest} | {statement.issuer}
        if chain[0].subject == statement.issuer and statement.subject not in between and len(rest) + 2 <= MAX_LENGTH:
            found.append((own, statement.token, *(each.token for each in rest)))
    return found[:MAX_CHAINS]


def resolve_response(
    key: SigningKey,
    issuer: str,
    chain: Chain,
    now: int,
    *,
    audience: str,
    types: Collection[str] = (),
    marks: Sequence[Mapping[str, str]] = (),
) -> str:
    """What `issuer` found out about the subject of a chain, signed for whom asked (section 8.3.2): its metadata
    of these types (of all without any), the chain itself, and those of its marks that hold."""
    metadata = {kind: given for kind, given in chain.metadata.items() if not types or kind in types}
    said: dict[str, Any] = {
        "iss": issuer,
        "sub": chain.subject,
        "aud": audience,
        "iat": now,
        "exp": chain.expires,
        "metadata": metadata,
        "trust_chain": chain.tokens,
    }
    return keys.sign(key, {"typ": RESOLVED, "kid": key.thumbprint}, said | ({"trust_marks": marks} if marks else {}))
