"""What arrives from a peer, line by line: checked against its origin's key and terms before anything is stored.

A line that fails is poison: it is named with its reason and the next one is read. Nothing here writes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from federation.errors import BadInput, FederationError
from federation.peers import origins
from federation.peers import provenance as pv
from federation.peers.origins import Forked, Origin
from federation.peers.provenance import ProvenanceInvalid, Version
from federation.peers.verified import VerifiedSignatures
from federation.policies.catalogue import PAIRWISE_TYPES
from federation.policies.terms import Terms
from federation.policies.tiers import SCOPED_TIERS, Tier
from federation.records.base import RecordType
from federation.storage.ids import parse_wire_id
from federation.storage.items import FORKED, Gone, Poison, Put
from federation.storage.revisions import Revisions

MAX_PATH = 16
MAX_ORIGINS, MAX_TERMS = 20_000, 2_000
"""How many origins and terms one answer may tell: all of them are kept while it lasts."""
MAX_REVISION = 2**53
_PUT_KEYS = frozenset({"k", "t", "i", "o", "r", "h", "T", "path", "v", "sd"})


@dataclass(frozen=True)
class Gatehouse:
    """What the check of one answer knows: this node's own thumbprint, the sender's, the record types, the time in
    seconds, what was verified before, and what is known of origins and terms from earlier answers."""

    me: str
    sender: str
    types: Mapping[str, RecordType]
    now: int
    verified: VerifiedSignatures
    known_origin: Callable[[str], Origin | None]
    known_terms: Callable[[str, str, str], Terms | None]
    accept: Callable[[RecordType, Any], Mapping[str, Mapping[str, Any]]]


@dataclass
class Arrival:
    """One answer as it arrives: the origins and terms that its lines have brought so far, and how many checkpoints."""

    house: Gatehouse
    origins: dict[str, Origin] = field(default_factory=dict)
    terms: dict[str, Terms] = field(default_factory=dict)
    checkpoints: int = 0

    def origin_line(self, item: Mapping[str, Any]) -> None:
        """Take in an origin's key and hand-overs. Raises Poison."""
        if len(self.origins) >= MAX_ORIGINS:
            raise Poison("too_many_origins")
        try:
            arrived = origins.from_item(item)
            known = self.origins.get(arrived.thumbprint) or self.house.known_origin(arrived.thumbprint)
            self.origins[arrived.thumbprint] = origins.newer(known, arrived)
        except Forked:
            raise Poison(FORKED, "", arrived.thumbprint) from None
        except ProvenanceInvalid:
            raise Poison("bad_origin") from None

    def terms_line(self, item: Mapping[str, Any]) -> None:
        """Take in the terms of some origin, by their hash. Raises Poison."""
        if len(self.terms) >= MAX_TERMS:
            raise Poison("too_many_terms")
        try:
            terms = Terms.from_json(item.get("body"))
        except BadInput:
            raise Poison("bad_terms") from None
        if terms.hash != item.get("hash"):
            raise Poison("bad_terms")
        self.terms[terms.hash] = terms

    def gone(self, item: Mapping[str, Any]) -> Gone:
        """A withdrawal. Raises Poison."""
        type_key, origin, id = self._named(item)
        return Gone(type_key, id, origin)

    def put(self, item: Mapping[str, Any]) -> Put:
        """A record: of a known type, whole, not this node's own, within its terms, and where it was passed on, signed
        by its origin. Raises Poison."""
        type_key, origin, id = self._named(item)
        try:
            return self._checked(item, self.house.types[type_key], origin, id)
        except Poison as poison:
            raise Poison(poison.reason, type_key, origin, id) from None
        except ProvenanceInvalid:
            raise Poison("bad_signature", type_key, origin, id) from None
        except FederationError:
            raise Poison("bad_values", type_key, origin, id) from None

    def _named(self, item: Mapping[str, Any]) -> tuple[str, str, bytes]:
        type_key, wire_id, origin = item.get("t"), item.get("i"), item.get("o", "")
        if not isinstance(type_key, str) or not isinstance(wire_id, str) or not isinstance(origin, str):
            raise Poison("bad_form")
        try:
            id = parse_wire_id(wire_id)
        except ValueError:
            raise Poison("bad_form", type_key[:64], origin[:64]) from None
        kind = self.house.types.get(type_key)
        if kind is None or not kind.shareable:
            raise Poison("unknown_type", type_key[:64], origin[:64], id)
        if not self._may_have(kind, origin):
            raise Poison("bad_form", type_key, origin[:64], id)
        return type_key, origin, id

    def _may_have(self, kind: RecordType, origin: str) -> bool:
        """Under pairwise ids nobody is named; what is not passed on is the sender's own; all else names its origin."""
        if kind.key in PAIRWISE_TYPES:
            return not origin
        return len(origin) == 43 if kind.relayable else origin == self.house.sender

    def _checked(self, item: Mapping[str, Any], kind: RecordType, origin: str, id: bytes) -> Put:
        if not item.keys() <= _PUT_KEYS:
            raise Poison("bad_form")
        revisions = _revisions(item.get("r"))
        handling = item.get("h", 0)
        if type(handling) is not int or not 0 <= handling <= Tier.PARTNER:
            raise Poison("bad_form")
        values = self.house.accept(kind, item.get("v"))
        if not kind.relayable:
            if item.keys() & {"T", "path", "sd"}:
                raise Poison("bad_form")
            return Put(kind.key, id, origin, revisions, Tier(handling), None, (), values, None)
        terms = self._terms_of(item, kind, origin)
        path = self._path(item, origin, terms)
        version = Version(origin, kind.key, id, revisions, handling, pv.signed_terms(terms))
        proof = self._proof(item.get("sd"), version, values, len(path) > 1, terms.relay)
        return Put(kind.key, id, origin, revisions, Tier(handling), terms, path, values, proof)

    def _terms_of(self, item: Mapping[str, Any], kind: RecordType, origin: str) -> Terms:
        wanted = item.get("T")
        if not isinstance(wanted, str):
            raise Poison("bad_terms")
        terms = self.terms.get(wanted) or self.house.known_terms(kind.key, origin, wanted)
        if terms is None:
            raise Poison("bad_terms")
        return terms

    def _path(self, item: Mapping[str, Any], origin: str, terms: Terms) -> tuple[str, ...]:
        path = item.get("path")
        if not isinstance(path, list) or not all(isinstance(node, str) and len(node) == 43 for node in path):
            raise Poison("bad_path")
        if not 0 < len(path) <= MAX_PATH or path[0] != origin or path[-1] != self.house.sender:
            raise Poison("bad_path")
        if self.house.me in path or len(set(path)) != len(path):
            raise Poison("loop")
        if len(path) > 1 and (not terms.relay or len(path) > terms.hops):
            raise Poison("beyond_terms")
        return tuple(path)

    def _proof(
        self,
        packed: Any,
        version: Version,
        values: Mapping[str, Mapping[str, Any]],
        relayed: bool,
        may_go_on: bool,
    ) -> bytes | None:
        """The verified signature in the form to keep: by the origin's own key, whoever sent it. What was passed on is
        signed whole; what comes from its origin may hold unsigned partner steps beside. What may go on to others and
        holds anything that is signed comes signed."""
        signed = pv.signed_values(values, version.terms)
        if relayed:
            total = sum(value is not None for steps in values.values() for value in steps.values())
            if isinstance(packed, str) and (len(signed) != total or version.handling > Tier.COMMUNITY):
                raise Poison("beyond_terms")
        elif packed is None and not (may_go_on and signed and version.handling <= Tier.COMMUNITY):
            return None
        if not isinstance(packed, str):
            raise Poison("unsigned")
        if relayed:
            _check_told(version, signed)
        author = self.origins.get(version.origin) or self.house.known_origin(version.origin)
        if author is None:
            raise Poison("unknown_origin")
        return self.house.verified.check(packed, signed, version, author, self.house.now)


def _revisions(told: Any) -> Revisions:
    """The numbers of an item, one a tier. Raises Poison."""
    if not isinstance(told, list) or len(told) != len(SCOPED_TIERS):
        raise Poison("bad_form")
    if any(type(each) is not int or not 0 <= each <= MAX_REVISION for each in told):
        raise Poison("bad_form")
    open_, community, partner = told
    return open_, community, partner


def _check_told(version: Version, signed: Mapping[str, Any]) -> None:
    """What was passed on has a number for each tier of which something is signed, and none above: only signed numbers
    are the origin's word. Raises Poison."""
    terms = version.terms
    tiers = {terms.tier(terms.index[name], version.handling) for name in signed}
    if any(version.revisions[tier] == 0 for tier in tiers) or any(version.revisions[max(tiers, default=-1) + 1 :]):
        raise Poison("bad_form")
