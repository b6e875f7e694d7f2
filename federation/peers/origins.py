"""Origins: whose word a record is. An origin is the thumbprint of its first provenance key, and its key travels with
its first record; later keys count only by a hand-over that the key before signed. A hub can invent an origin but
never speak for one. The name beside it is hearsay until the origin is a peer, and cleaned whoever sent it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from federation.errors import Conflict
from federation.keys import KeyFile, KeyRefused, NodeKeys, PublicKey, SigningKey, b64, public_key, replace_key
from federation.peers import provenance as pv
from federation.peers.provenance import ProvenanceInvalid, Sign
from federation.world import World

MAX_HANDOVERS = 32
EARLIER_KEYS = 3
"""How many replaced keys a signature is tried with at most: keys do not change faster than signatures end."""
LONGEST_NAME = 80
_HEADER = b64(b'{"alg":"ES256","typ":"handover+jwt"}')


class Forked(ProvenanceInvalid):
    """Two hand-overs of one origin contradict each other: somebody else holds one of its keys."""


@dataclass(frozen=True)
class Signer:
    """A key of an origin: its place in the line, and the last end of a signature that it could have made before it was
    replaced (seconds since 1970); None for the key in force."""

    number: int
    key: PublicKey
    until: int | None


@dataclass(frozen=True)
class Origin:
    """An origin's thumbprint, its first public key as a JWK, the hand-over statements since, and its keys, the first
    one first."""

    thumbprint: str
    name: str
    jwk: Mapping[str, str]
    handovers: tuple[str, ...]
    keys: tuple[Signer, ...]

    @property
    def key(self) -> PublicKey:
        """The key in force."""
        return self.keys[-1].key

    def signers(self, expires: int) -> tuple[Signer, ...]:
        """Whose signature with this end may count: the key in force, then those replaced after they could make it."""
        earlier = self.keys[-2 : -2 - EARLIER_KEYS : -1]
        return (self.keys[-1], *(each for each in earlier if each.until is not None and expires <= each.until))


def plain_name(name: str) -> str:
    """A name that others chose as it may be printed, typed and passed on: one line of at most 80 characters without
    controls, marks of direction and other unseen signs, without the brackets of markup, and no option of a command.
    May be empty."""
    seen = "".join(sign for sign in " ".join(name.split()) if sign.isprintable() and sign not in "[]")
    return seen.lstrip("- ")[:LONGEST_NAME].rstrip()


def load_key(jwk: Mapping[str, Any]) -> PublicKey:
    """The public ES256 key of a JWK. Raises ProvenanceInvalid where it is none, or a private one."""
    try:
        key = public_key(jwk)
    except KeyRefused as refused:
        raise ProvenanceInvalid(f"An origin's key is refused: {refused.message}") from None
    if "ES256" not in key.algorithms:
        raise ProvenanceInvalid("An origin's key is not a P-256 key.")
    return key


def hand_over(origin: str, sign: Sign, next_jwk: Mapping[str, Any], until: int = 0) -> str:
    """A statement, signed by the key in force, that the origin's next key is `next_jwk` (public part only), and that
    the old one made no signature that ends after `until`: later ones are somebody else's. It tells no other time."""
    body = {"iss": origin, "next": dict(load_key(next_jwk).jwk), "until": until}
    message = f"{_HEADER}.{b64(orjson.dumps(body, option=orjson.OPT_SORT_KEYS))}"
    return f"{message}.{b64(sign(message.encode()))}"


def rotate_provenance(home: Path, world: World, *, leaked: bool = False) -> NodeKeys:
    """Replace the key that signs what the node originates; the node stays the same origin. What the old key signed
    before counts until it ends; with `leaked`, nothing of it does. Raises Conflict after 32 hand-overs, which is as far
    as others follow."""
    until = 0 if leaked else pv.expiry(world.timestamp())

    def stated(file: KeyFile, fresh: SigningKey) -> str:
        if len(file.earlier) >= MAX_HANDOVERS:
            raise Conflict(f"The provenance key was replaced {MAX_HANDOVERS} times; others would not follow once more.")
        origin = next((each.key for each in file.earlier), file.key.public).thumbprint
        return hand_over(origin, partial(file.key.signature, repeatable=True), fresh.public_jwk, until)

    return replace_key(home, world, "provenance", stated, until)


def own_origin(name: str, keys: NodeKeys) -> Origin:
    """This node as an origin."""
    return origin_of(name, dict(keys.first.jwk), keys.handovers("provenance"))


def origin_of(name: str, jwk: Mapping[str, Any], handovers: Sequence[str] = ()) -> Origin:
    """An origin from its first key and the statements since, each checked by the key before it. Where nothing is left
    of its name, the beginning of its thumbprint stands for it.

    Raises ProvenanceInvalid for a statement that is not signed by the key before or speaks of another origin.
    """
    first = load_key(jwk)
    thumbprint, key = first.thumbprint, first
    if len(handovers) > MAX_HANDOVERS:
        raise ProvenanceInvalid("An origin has more hand-over statements than are read.")
    found: list[Signer] = []
    for statement in handovers:
        following, until = _next_key(thumbprint, key, statement)
        found.append(Signer(len(found), key, until))
        key = following
    if len({each.key.thumbprint for each in found} | {key.thumbprint}) <= len(found):
        raise ProvenanceInvalid("A hand-over leads back to a key that was replaced.")
    line = (*found, Signer(len(found), key, None))
    return Origin(thumbprint, plain_name(name) or thumbprint[:8], dict(first.jwk), tuple(handovers), line)


def _next_key(origin: str, key: PublicKey, statement: str) -> tuple[PublicKey, int]:
    parts = statement.split(".") if isinstance(statement, str) and len(statement) < 4096 else []
    if len(parts) != 3 or parts[0] != _HEADER:
        raise ProvenanceInvalid("A hand-over statement has an unknown form.")
    if not key.verifies("ES256", f"{parts[0]}.{parts[1]}".encode(), pv.unb64(parts[2])):
        raise ProvenanceInvalid("A hand-over statement is not signed by the key before it.")
    try:
        body = orjson.loads(pv.unb64(parts[1]))
        said, following, until = body["iss"], body["next"], body["until"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        raise ProvenanceInvalid("A hand-over statement lacks its origin or its key.") from None
    if said != origin or not isinstance(following, dict):
        raise ProvenanceInvalid("A hand-over statement speaks of another origin.")
    if type(until) is not int or not 0 <= until < 2**40:
        raise ProvenanceInvalid("A hand-over statement does not say up to when the old key counts.")
    return load_key(following), until


def newer(known: Origin | None, arrived: Origin) -> Origin:
    """The one with more hand-overs, of two accounts of the same origin. Raises Forked where they contradict each other:
    then somebody holds an old key, and nothing new is believed."""
    if known is None:
        return arrived
    shorter, longer = sorted((known, arrived), key=lambda origin: len(origin.handovers))
    if known.thumbprint != arrived.thumbprint or longer.handovers[: len(shorter.handovers)] != shorter.handovers:
        raise Forked("Two hand-overs of one origin contradict each other.")
    return longer if len(longer.handovers) > len(known.handovers) else known


def from_item(item: Mapping[str, Any]) -> Origin:
    """The origin in an exchange line `{"k":"origin","jwk":{…},"name":…,"handover":[…]}`."""
    jwk, name, handovers = item.get("jwk"), item.get("name"), item.get("handover", [])
    if not isinstance(jwk, dict) or not isinstance(name, str) or not isinstance(handovers, list):
        raise ProvenanceInvalid("An origin line lacks its key or its name.")
    return origin_of(name, jwk, handovers)


def to_item(origin: Origin) -> dict[str, Any]:
    """The exchange line of an origin, as it travels before its first record on a page."""
    return {"k": "origin", "jwk": dict(origin.jwk), "name": origin.name, "handover": list(origin.handovers)}


def stored(name: str, jwk: str, handovers: str | None) -> Origin:
    """An origin from the JSON texts in which it is kept. Raises ProvenanceInvalid."""
    try:
        return origin_of(name, orjson.loads(jwk), orjson.loads(handovers or "[]"))
    except orjson.JSONDecodeError:
        raise ProvenanceInvalid("An origin is not kept as it should be.") from None
