"""Origins: whose word a record is. An origin is the thumbprint of its first provenance key, and its key travels with
its first record; later keys count only by a hand-over that the key before signed. A hub can invent an origin but
never speak for one. The name beside it is hearsay until the origin is a peer, and cleaned whoever sent it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from federation.keys import KeyRefused, PublicKey, b64, public_key
from federation.peers import provenance as pv
from federation.peers.provenance import ProvenanceInvalid, Sign

MAX_HANDOVERS = 32
LONGEST_NAME = 80
_HEADER = b64(b'{"alg":"ES256","typ":"handover+jwt"}')


@dataclass(frozen=True)
class Origin:
    """An origin's thumbprint, its first public key as a JWK, the hand-over statements since, and the key in force."""

    thumbprint: str
    name: str
    jwk: Mapping[str, str]
    handovers: tuple[str, ...]
    key: PublicKey


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


def hand_over(origin: str, sign: Sign, next_jwk: Mapping[str, Any]) -> str:
    """A statement, signed by the key in force, that the origin's next key is `next_jwk` (public part only)."""
    body = {"iss": origin, "next": dict(load_key(next_jwk).jwk)}
    message = f"{_HEADER}.{b64(orjson.dumps(body, option=orjson.OPT_SORT_KEYS))}"
    return f"{message}.{b64(sign(message.encode()))}"


def origin_of(name: str, jwk: Mapping[str, Any], handovers: Sequence[str] = ()) -> Origin:
    """An origin from its first key and the statements since, each checked by the key before it. Where nothing is left
    of its name, the beginning of its thumbprint stands for it.

    Raises ProvenanceInvalid for a statement that is not signed by the key before or speaks of another origin.
    """
    first = load_key(jwk)
    thumbprint, key = first.thumbprint, first
    if len(handovers) > MAX_HANDOVERS:
        raise ProvenanceInvalid("An origin has more hand-over statements than are read.")
    for statement in handovers:
        key = _next_key(thumbprint, key, statement)
    return Origin(thumbprint, plain_name(name) or thumbprint[:8], dict(first.jwk), tuple(handovers), key)


def _next_key(origin: str, key: PublicKey, statement: str) -> PublicKey:
    parts = statement.split(".") if isinstance(statement, str) and len(statement) < 4096 else []
    if len(parts) != 3 or parts[0] != _HEADER:
        raise ProvenanceInvalid("A hand-over statement has an unknown form.")
    if not key.verifies("ES256", f"{parts[0]}.{parts[1]}".encode(), pv.unb64(parts[2])):
        raise ProvenanceInvalid("A hand-over statement is not signed by the key before it.")
    try:
        body = orjson.loads(pv.unb64(parts[1]))
        said, following = body["iss"], body["next"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        raise ProvenanceInvalid("A hand-over statement lacks its origin or its key.") from None
    if said != origin or not isinstance(following, dict):
        raise ProvenanceInvalid("A hand-over statement speaks of another origin.")
    return load_key(following)


def newer(known: Origin | None, arrived: Origin) -> Origin:
    """The one with more hand-overs, of two accounts of the same origin. Raises ProvenanceInvalid where they fork:
    then somebody holds an old key, and nothing new is believed."""
    if known is None:
        return arrived
    shorter, longer = sorted((known, arrived), key=lambda origin: len(origin.handovers))
    if known.thumbprint != arrived.thumbprint or longer.handovers[: len(shorter.handovers)] != shorter.handovers:
        raise ProvenanceInvalid("Two hand-overs of one origin contradict each other.")
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
