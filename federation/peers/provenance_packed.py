"""Signatures as they travel and are kept: packed, without what the receiver can rebuild. `provenance_text` has the form
that others read. Nothing here is verified but that a packed form is whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from federation.keys import b64
from federation.peers.provenance import (
    DIGEST_BYTES,
    SALT_BYTES,
    Credential,
    Disclosure,
    Provenance,
    ProvenanceInvalid,
    SignedTerms,
    canonical,
    disclosure_digest,
    unb64,
)
from federation.policies.tiers import Tier
from federation.storage.items import FORM_BITS

SIGNATURE_BYTES = 64
MOST_DIGESTS = 255
_WIRE, _STORED = 1, 2


def pack(provenance: Provenance) -> str:
    """The wire form, base64url: without values and digests of what is disclosed, which the receiver rebuilds."""
    return b64(_pack(_WIRE, provenance))


def store(provenance: Provenance, signer: int = 0) -> bytes:
    """The form in which a received signature is kept: the wire form, the digests of what is disclosed, and the place in
    its origin's line of the key that signed."""
    return _pack(_STORED, provenance, signer)


def _pack(form: int, provenance: Provenance, signer: int = 0) -> bytes:
    parts = [bytes((form | signer << FORM_BITS,)), provenance.expires.to_bytes(5, "big")]
    for each in provenance.credentials:
        parts += (
            bytes((each.tier, len(each.disclosed), len(each.withheld))),
            bytes(d.place for d in each.disclosed),
            each.signature,
            *(d.salt for d in each.disclosed),
            *each.withheld,
            *(d.digest for d in each.disclosed if form == _STORED),
        )
    return b"".join(parts)


def expires_of(stored: bytes) -> int:
    """When a kept signature ends, in seconds since 1970, without unpacking the rest."""
    return int.from_bytes(stored[1:6], "big")


class _Reader:
    """The parts of a packed form, one after the other."""

    def __init__(self, raw: bytes) -> None:
        self._raw, self._at = raw, 0

    @property
    def more(self) -> bool:
        return self._at < len(self._raw)

    def take(self, size: int) -> bytes:
        part = self._raw[self._at : self._at + size]
        if len(part) != size:
            raise ProvenanceInvalid("The packed signature is cut short.")
        self._at += size
        return part

    def several(self, count: int, size: int) -> list[bytes]:
        whole = self.take(count * size)
        return [whole[at : at + size] for at in range(0, len(whole), size)]


def _unpacked(raw: bytes, form: int, digest_of: Callable[[int, bytes], bytes] | None) -> Provenance:
    """A packed form; the digests of what is disclosed come from `digest_of(place, salt)`, or stand in it."""
    reader = _Reader(raw)
    told = reader.take(1)[0]
    if told != form and (form != _STORED or told & ((1 << FORM_BITS) - 1) != form):
        raise ProvenanceInvalid("The packed signature has an unknown form.")
    expires = int.from_bytes(reader.take(5), "big")
    found: list[Credential] = []
    while reader.more:
        tier, count, hidden = reader.take(3)
        if tier > Tier.COMMUNITY or count == 0 or (found and tier <= found[-1].tier):
            raise ProvenanceInvalid("The packed signature has no tiers in order.")
        if count + hidden > MOST_DIGESTS:  # each may have to be withheld further on
            raise ProvenanceInvalid("The packed signature has more digests than can be passed on.")
        places, signature = reader.take(count), reader.take(SIGNATURE_BYTES)
        salts, withheld = reader.several(count, SALT_BYTES), reader.several(hidden, DIGEST_BYTES)
        if digest_of is None:
            digests = reader.several(count, DIGEST_BYTES)
        else:
            digests = [digest_of(place, salt) for place, salt in zip(places, salts, strict=True)]
        disclosed = tuple(map(Disclosure, places, salts, digests))
        found.append(Credential(Tier(tier), signature, disclosed, tuple(withheld)))
    return Provenance(expires, tuple(found))


def unstore(stored: bytes) -> Provenance:
    """A kept signature. Raises ProvenanceInvalid where the bytes are not one."""
    return _unpacked(stored, _STORED, None)


def unpack(packed: str, values: Mapping[str, Any], terms: SignedTerms) -> Provenance:
    """A signature from the wire, its digests rebuilt from the item's flat signed values.

    Every value must have its disclosure and every disclosure its value, once: what is not signed is refused, not
    ignored. Raises ProvenanceInvalid.
    """

    def digest_of(place: int, salt: bytes) -> bytes:
        name = terms.names[place] if place < len(terms.names) else ""
        if name not in values:
            raise ProvenanceInvalid("A disclosure has no value, or is of a step that the terms do not have.")
        return disclosure_digest(salt, name, canonical(values[name]))

    found = _unpacked(unb64(packed), _WIRE, digest_of)
    places = [each.place for each in found.disclosed]
    if len(set(places)) != len(places):
        raise ProvenanceInvalid("The signature names a step twice.")
    if len(places) != len(values):
        raise ProvenanceInvalid("A value has no disclosure under the signature.")
    for each in found.credentials:
        if len(set(each.digests)) != len(each.digests):
            raise ProvenanceInvalid("A digest stands twice under the signature.")
    return found
