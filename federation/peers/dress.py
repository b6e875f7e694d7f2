"""From what the gate gives to what goes on the wire: the origin's terms, the path, and the signature.

Of a received record only that leaves which its origin signed and its terms let pass; of an own one nothing changes but
what is put beside it. It must never add a value to what the gate gave.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import orjson
from sqlalchemy import Connection

from federation.errors import BadInput
from federation.gate import Item
from federation.keys import NodeKeys
from federation.peers import origins
from federation.peers import provenance as pv
from federation.peers.origins import Origin
from federation.peers.provenance import Provenance, ProvenanceInvalid, SignedTerms, Version
from federation.peers.provenance_packed import pack, unstore
from federation.peers.trust import Self
from federation.peers.wire import line
from federation.policies.rules import Policy
from federation.policies.terms import Terms, own_terms
from federation.policies.tiers import SCOPED_TIERS, Tier
from federation.records.registry import RECORD_TYPES
from federation.storage import peering

MAX_ITEM_BYTES = 256 * 1024
"""No peer takes a longer line: such a record stays where it is, so that it does not stop the others."""


def terms_of_own(policy: Policy, type_key: str, max_hops: int) -> Terms:
    """The terms that this node's own records of a type go out with."""
    return own_terms(policy, type_key, relay=max_hops > 1, hops=max_hops)


@dataclass
class Dresser:
    """Dresses the items of one answer to one peer, under one policy. `reader` is the peer's own thumbprint: what has
    passed it is not sent back."""

    me: Self
    policy: Policy
    max_hops: int
    now: int
    reader: str
    keys: NodeKeys = field(init=False)
    _told: set[str] = field(default_factory=set)
    _own: dict[str, tuple[Terms, SignedTerms]] = field(default_factory=dict)
    _received: dict[int, tuple[Terms, SignedTerms] | None] = field(default_factory=dict)
    _origins: dict[int, Origin | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.keys = self.me.keys  # one answer is signed by one key, which its line of the origin ends in

    def dress(self, conn: Connection, items: Sequence[Item]) -> list[bytes]:
        """The lines of these items, with lines of origins and terms before their first use in the answer."""
        lines: list[bytes] = []
        kept = self._kept(conn, items)
        for item in items:
            if item.kind != "put":
                lines.append(item.line.encode() + b"\n")
            elif not RECORD_TYPES[item.type].relayable:
                lines.append(item.line.replace('"path":[],', "", 1).encode() + b"\n")
            elif len(item.line) > MAX_ITEM_BYTES:
                lines.append(_withdrawal(orjson.loads(item.line)))
            elif item.via == 0:
                lines += self._own_item(item)
            else:
                lines += self._relayed_item(conn, item, kept.get((item.type, item.rid)))
        return lines

    # Own records

    def _terms(self, type_key: str) -> tuple[Terms, SignedTerms]:
        if type_key not in self._own:
            terms = terms_of_own(self.policy, type_key, self.max_hops)
            self._own[type_key] = (terms, pv.signed_terms(terms))
        return self._own[type_key]

    def _own_item(self, item: Item) -> list[bytes]:
        terms, form = self._terms(item.type)
        lines = self._introduce(self._myself(), terms)
        text = item.line.replace('"path":[]', f'"T":"{terms.hash}","path":["{self.keys.origin}"]', 1)
        if terms.relay:
            packed = self._signature(item, orjson.loads(item.line), form)
            if packed is not None:
                text = f'{text[:-1]},"sd":"{packed}"}}'
        return [*lines, text.encode() + b"\n"]

    def _signature(self, item: Item, body: Mapping[str, Any], form: SignedTerms) -> str | None:
        """The packed signatures over what the item holds, and over nothing else: whatever its reader does not see
        leaves no trace in them. None for a record of partners."""
        shown = pv.signed_values(body["v"], form)
        if body["h"] > Tier.COMMUNITY or not shown:
            return None
        version = Version(self.keys.origin, item.type, item.id, tuple(body["r"]), body["h"], form)
        sign = partial(self.keys.provenance.signature, repeatable=True)
        return pack(pv.issue(version, shown, sign, self.keys.secret, pv.expiry(self.now)))

    def _myself(self) -> Origin:
        if 0 not in self._origins:
            self._origins[0] = origins.own_origin(self.me.name, self.keys)
        return self._origins[0]  # type: ignore[return-value]

    # Records of others

    def _kept(self, conn: Connection, items: Iterable[Item]) -> Mapping[tuple[str, int], bytes]:
        found: dict[tuple[str, int], bytes] = {}
        for type_key, rids in _by_type(items, lambda item: item.via != 0).items():
            for rid, packed in peering.kept_provenance(conn, type_key, rids):
                found[type_key, rid] = packed
        return found

    def _relayed_item(self, conn: Connection, item: Item, packed: bytes | None) -> list[bytes]:
        """A received record as it may go on; where it may not (any more), the word that it is gone."""
        body = orjson.loads(item.line)
        if self.reader in body["path"]:
            return []
        made = self._relayed(conn, item, body, packed)
        if made is None:
            return [_withdrawal(body)]
        terms, origin, passed = made
        return [*self._introduce(origin, terms), line(passed)]

    def _relayed(
        self, conn: Connection, item: Item, body: dict[str, Any], packed: bytes | None
    ) -> tuple[Terms, Origin, dict[str, Any]] | None:
        known, origin = self._terms_at(conn, item.terms), self._origin_at(conn, item.origin)
        provenance = _unstored(packed)
        if known is None or origin is None or provenance is None or origin.thumbprint != body["o"]:
            return None
        terms, form = known
        if provenance.expires <= self.now or not terms.relay or len(body["path"]) >= terms.hops:
            return None
        values = pv.provable(provenance, pv.signed_values(body["v"], form), form)
        fields = RECORD_TYPES[item.type].fields
        if all(fields[name.partition(".")[0]].common for name in values):
            return None
        nested: dict[str, dict[str, Any]] = {}
        for name, value in values.items():
            field_name, _, step = name.partition(".")
            nested.setdefault(field_name, {})[step] = value
        restricted = pv.restrict(provenance, values, form)
        signed = max(restricted.tiers)
        passed = body | {
            "path": [*body["path"], self.keys.origin],
            "r": [told if tier <= signed else 0 for tier, told in zip(SCOPED_TIERS, body["r"], strict=True)],
            "v": nested,
            "sd": pack(restricted),
        }
        return terms, origin, passed

    def _terms_at(self, conn: Connection, tid: int) -> tuple[Terms, SignedTerms] | None:
        if tid not in self._received:
            found = peering.terms_body(conn, tid)
            try:
                terms = Terms.from_json(orjson.loads(found)) if found else None
                self._received[tid] = None if terms is None else (terms, pv.signed_terms(terms))
            except (BadInput, orjson.JSONDecodeError):
                self._received[tid] = None
        return self._received[tid]

    def _origin_at(self, conn: Connection, oid: int) -> Origin | None:
        if oid not in self._origins:
            try:
                row = peering.origin_row(conn, oid)
                self._origins[oid] = origins.stored(row.name, row.jwk, row.handovers) if row else None
            except ProvenanceInvalid:
                self._origins[oid] = None
        return self._origins[oid]

    def _introduce(self, origin: Origin, terms: Terms) -> list[bytes]:
        """The lines of an origin and of terms that this answer did not tell yet."""
        lines = []
        if origin.thumbprint not in self._told:
            self._told.add(origin.thumbprint)
            lines.append(line(origins.to_item(origin)))
        if terms.hash not in self._told:
            self._told.add(terms.hash)
            lines.append(line({"k": "terms", "hash": terms.hash, "body": terms.to_json()}))
        return lines


def _unstored(packed: bytes | None) -> Provenance | None:
    """The signature that a record came with. None where there is none, or its bytes are damaged: then the record stays
    where it is, and the others go on."""
    try:
        return None if packed is None else unstore(packed)
    except ProvenanceInvalid:
        return None


def _withdrawal(body: Mapping[str, Any]) -> bytes:
    return line({"k": "withdraw", "t": body["t"], "i": body["i"], "o": body["o"]})


def _by_type(items: Iterable[Item], wanted: Callable[[Item], bool]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for item in items:
        if item.kind == "put" and RECORD_TYPES[item.type].relayable and wanted(item):
            found.setdefault(item.type, []).append(item.rid)
    return found
