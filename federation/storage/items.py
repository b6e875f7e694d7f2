"""Items of the exchange as they are stored: what a put must be to become a row, and with which facts.

Signatures are checked before; here stands what no peer may talk its way around. Reasons are words and hold no value.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import Connection, text

from federation.errors import BadInput
from federation.policies.catalogue import PAIRWISE_TYPES
from federation.policies.terms import Terms
from federation.policies.tiers import Tier
from federation.policies.viewer import AFFILIATIONS
from federation.records.kinds import Context
from federation.records.registry import RECORD_TYPES
from federation.records.rows import filled, received_columns
from federation.storage import revisions
from federation.storage.ids import ID_BYTES, global_id
from federation.storage.revisions import Revisions

LONGEST_PATH = 16
THUMBPRINT_LENGTH = 43
FORM_BITS = 2
"""How many bits of the first byte of a kept signature tell its form; those above tell whose it is."""
UNNAMED = Terms(relay=False, hops=0, caps={}, not_to_affiliation=frozenset(), labels={})
"""The terms of a record whose origin is not told: it goes no further."""


class Poison(BadInput):
    """An item that is not taken in: `reason` is a stable word, and the item is named, never shown."""

    code = "BAD_ITEM"

    def __init__(self, reason: str, type_key: str = "", origin: str = "", id: bytes = b"") -> None:
        super().__init__(f"An item was not taken in: {reason}.")
        self.reason = reason
        self.type = type_key
        self.origin = origin
        self.id = id


@dataclass(frozen=True)
class Put:
    """A record as it came from a peer: `origin` is "" and `terms` None where the origin is not told (a Need), `path`
    names the nodes from the origin to the sender, `values` are wire values by field and step, `provenance` is the
    signature in the form to keep, None where there is none."""

    type: str
    id: bytes
    origin: str
    revisions: Revisions
    handling: int
    terms: Terms | None
    path: tuple[str, ...]
    values: Mapping[str, Mapping[str, Any]]
    provenance: bytes | None = None


FORKED, REPLACED = "forked_origin", "replaced_key"
"""Why something is set aside where an origin's key was replaced: two successors of one key are told, or a key signed
that had been replaced before what is held was signed."""


def signer(provenance: bytes | None) -> int:
    """The place in its origin's line of the key that made a kept signature: 0 is the first key."""
    return provenance[0] >> FORM_BITS if provenance else 0


@dataclass(frozen=True)
class Gone:
    """A record that has left what the peer shows."""

    type: str
    id: bytes
    origin: str


def check(put: Put, home: str) -> None:
    """Raises Poison for what may not be stored whoever vouches for it: an own record come back, one that is beyond
    its terms, a path that is none."""
    record_type = RECORD_TYPES.get(put.type)
    if record_type is None or not record_type.shareable:
        raise Poison("unknown_type")
    if len(put.id) != ID_BYTES:
        raise Poison("bad_form")
    if put.origin == home or home in put.path:
        raise Poison("loop")
    if put.handling > Tier.PARTNER:
        raise Poison("handling")
    if not record_type.relayable:
        named = 0 if put.type in PAIRWISE_TYPES else THUMBPRINT_LENGTH
        if put.path or len(put.origin) != named or put.terms is not None or put.provenance is not None:
            raise Poison("bad_form")
        return
    if len(put.origin) != THUMBPRINT_LENGTH:
        raise Poison("bad_form")
    if put.terms is None:
        raise Poison("bad_terms")
    if not 0 < len(put.path) <= LONGEST_PATH or put.path[0] != put.origin or len(set(put.path)) != len(put.path):
        raise Poison("bad_path")
    if len(put.path) > 1:
        _check_relayed(put, put.terms)


def _check_relayed(put: Put, terms: Terms) -> None:
    """What was passed on holds only what its origin lets be passed on."""
    if not terms.relay or len(put.path) > terms.hops or put.handling > Tier.COMMUNITY:
        raise Poison("beyond_terms")
    for name, steps in put.values.items():
        if any(terms.label(name, step) > Tier.COMMUNITY for step in steps):
            raise Poison("beyond_terms")


def row_of(put: Put, via: int, oid: int, tid: int, now: str, context: Context) -> dict[str, Any]:
    """All columns of the row of a checked put but `rid`, `status` and `fts`: its terms are worked in."""
    terms = put.terms or UNNAMED
    record_type = RECORD_TYPES[put.type]
    affiliations = sum(1 << bit for bit, name in enumerate(AFFILIATIONS) if name in terms.not_to_affiliation)
    columns = received_columns(record_type, put.values, terms.caps, context)
    return {
        "id": put.id,
        "origin": oid,
        "via": via,
        "gid": global_id(put.type, put.origin, put.id),
        "handling": int(put.handling),
        "terms": tid,
        "path": orjson.dumps(list(put.path)).decode(),
        "relay": int(terms.relay and record_type.relayable),
        "hops_left": max(0, terms.hops - len(put.path)),
        "not_to": affiliations,
        "revisions": revisions.written(put.revisions),
        "home": None,
        "provenance": put.provenance,
        "digest": digest(put, terms),
        "created_at": now,
        "updated_at": now,
        "filled": filled(record_type, columns),
        **columns,
    }


def digest(put: Put, terms: Terms) -> bytes:
    """16 bytes that are equal for the same item, however often it comes."""
    told = orjson.dumps(
        [put.revisions, int(put.handling), terms.hash, list(put.path), put.values],
        option=orjson.OPT_SORT_KEYS | orjson.OPT_PASSTHROUGH_SUBCLASS,
    )
    return hashlib.sha256(told + (put.provenance or b"")).digest()[:16]


def known_origin(connection: Connection, thumbprint: str) -> int | None:
    """The number of an origin; None where it has none."""
    found = connection.execute(text("SELECT oid FROM origins WHERE thumbprint = :it"), {"it": thumbprint}).scalar()
    return None if found is None else int(found)


def origin_number(connection: Connection, thumbprint: str) -> int:
    """The number of an origin; it gets one where it has none."""
    if (found := known_origin(connection, thumbprint)) is not None:
        return found
    made = connection.execute(
        text(
            "INSERT INTO origins (oid, thumbprint, name, pinned) SELECT coalesce(max(oid), 0) + 1, :it, '', 0"
            " FROM origins RETURNING oid"
        ),
        {"it": thumbprint},
    )
    return int(made.scalar_one())


def remember_origin(
    connection: Connection, thumbprint: str, name: str, jwk: Mapping[str, Any], handovers: Sequence[str]
) -> int:
    """Stores the key and hand-overs of an origin, verified before, and its number. The name of a pinned origin stays;
    this node itself is never changed so."""
    number = origin_number(connection, thumbprint)
    connection.execute(
        text(
            "UPDATE origins SET jwk = :jwk, handovers = :handovers,"
            " name = CASE WHEN pinned = 1 OR :name = '' THEN name ELSE :name END WHERE oid = :oid AND oid <> 0"
        ),
        {
            "oid": number,
            "name": name,
            "jwk": orjson.dumps(dict(jwk), option=orjson.OPT_SORT_KEYS).decode(),
            "handovers": orjson.dumps(list(handovers)).decode(),
        },
    )
    return number


def terms_known(connection: Connection, oid: int, type_key: str) -> dict[str, int]:
    """The numbers of an origin's terms for a type, by their hash."""
    rows = connection.execute(
        text("SELECT hash, tid FROM terms WHERE origin = :origin AND type = :type"), {"origin": oid, "type": type_key}
    )
    return {row[0]: row[1] for row in rows}


def terms_number(connection: Connection, oid: int, type_key: str, terms: Terms) -> int:
    """The number of an origin's terms for a type; they get one where they have none."""
    key = {"origin": oid, "type": type_key, "hash": terms.hash}
    found = connection.execute(
        text("SELECT tid FROM terms WHERE origin = :origin AND type = :type AND hash = :hash"), key
    ).scalar()
    if found is not None:
        return int(found)
    body = orjson.dumps(terms.to_json(), option=orjson.OPT_SORT_KEYS).decode()
    made = connection.execute(
        text(
            "INSERT INTO terms (tid, origin, type, hash, body) SELECT coalesce(max(tid), 0) + 1, :origin, :type, :hash,"
            " :body FROM terms RETURNING tid"
        ),
        key | {"body": body},
    )
    return int(made.scalar_one())
