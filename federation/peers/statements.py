"""Hand-over statements of peer keys: made by a node that replaces its key, and read by its peers. They are all that a
pinned key yields to, beside new words. Nothing here is pinned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from federation import keys
from federation.errors import FederationError, Unauthenticated
from federation.keys import KeyFile, NodeKeys, PublicKey, SigningKey
from federation.world import World

MAX_STATEMENTS = 32
_HANDOVER = "federation-handover+jwt"


class KeysRefused(Unauthenticated):
    """Statements that lead from no key that is known here; who asks learns no more."""

    def __init__(self) -> None:
        super().__init__("This node is not known here, or not by these keys.")


@dataclass(frozen=True)
class Handover:
    """A statement that its old key signed."""

    issuer: str
    number: int
    old: PublicKey
    new: PublicKey


def rotate_peer(home: Path, world: World, issuer: str, *, leaked: bool = False) -> NodeKeys:
    """Replace the key that authenticates this node to its peers. With `leaked`, or where the old one is gone, no
    statement is made: each peer then has to link anew with `peer rekey`."""
    now = world.timestamp()

    def stated(file: KeyFile, fresh: SigningKey) -> str | None:
        return None if leaked else hand_over(file.key, fresh, issuer, _last(file) + 1, now)

    return keys.replace_key(home, world, "peer", stated, 0, lost=leaked)


def hand_over(old: SigningKey, new: SigningKey, issuer: str, number: int, now: int) -> str:
    """The statement, signed by the old key, that the node of this issuer goes on with the new one."""
    old_jwk, new_jwk = dict(old.public.jwk), dict(new.public.jwk)
    claims = {"iss": issuer, "iat": now, "seq": number, "old": old_jwk, "new": new_jwk}
    return keys.sign(old, {"typ": _HANDOVER, "kid": old.thumbprint}, claims)


def _last(file: KeyFile) -> int:
    said = [read_handover(each.handover).number for each in file.earlier if each.handover is not None]
    return max(said, default=0)


def read_handover(statement: object) -> Handover:
    """A statement, its signature checked against the key that it says to be the old one. Raises KeysRefused."""
    try:
        jws = keys.read_jws(str(statement), types=frozenset({_HANDOVER}))
        claims = jws.claims
        old, new = keys.public_key(claims.get("old")), keys.public_key(claims.get("new"))
        keys.verify(jws, [old])
    except FederationError:
        raise KeysRefused from None
    issuer, number = claims.get("iss"), claims.get("seq")
    if not isinstance(issuer, str) or type(number) is not int or not 0 < number < 2**31:
        raise KeysRefused
    return Handover(issuer, number, old, new)


def leads(statements: Sequence[object], issuer: str, old: str, new: str) -> bool:
    """Whether statements of that issuer lead from the key with the thumbprint `old` to the one with `new`."""
    try:
        found = line_from(read_line(statements), old)
    except KeysRefused:
        return False
    return bool(found) and found[-1].new.thumbprint == new and all(each.issuer == issuer for each in found)


def read_line(statements: Sequence[object]) -> tuple[Handover, ...]:
    """Statements in a line: each is signed by the key that the one before it names, and numbered one higher. Raises
    KeysRefused."""
    if not isinstance(statements, list | tuple) or len(statements) > MAX_STATEMENTS:
        raise KeysRefused
    line = tuple(read_handover(each) for each in statements)
    for before, after in pairwise(line):
        if before.new.thumbprint != after.old.thumbprint or after.number != before.number + 1:
            raise KeysRefused
    return line


def line_from(line: Sequence[Handover], old: str) -> tuple[Handover, ...]:
    """The part of a line that begins with the key of that thumbprint; empty where it is in none of the statements."""
    at = next((at for at, each in enumerate(line) if each.old.thumbprint == old), len(line))
    return tuple(line[at:])
