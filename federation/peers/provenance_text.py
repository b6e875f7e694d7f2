"""The text form of a provenance (RFC 9901 compact serialisation), for readers outside the exchange.

Nothing unsigned is ever given back: a disclosure that the payload does not name is refused, not ignored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import orjson

from federation.keys import PublicKey, b64
from federation.peers import provenance as pv
from federation.peers.provenance import Provenance, ProvenanceInvalid, Version

MAX_TEXT = 262_144


def to_texts(provenance: Provenance, version: Version, values: Mapping[str, Any]) -> tuple[str, ...]:
    """`<JWT>~<disclosure>~…~` for each tier: what `provenance` discloses of `values` (flat `field.step` to wire
    value)."""
    names = version.terms.names
    texts = []
    for each in provenance.credentials:
        signed = pv.signing_input(version, each.tier, provenance.expires, each.digests)
        shown = (
            pv.disclosure_text(d.salt, names[d.place], pv.canonical(values[names[d.place]])) for d in each.disclosed
        )
        texts.append(b"~".join((signed + b"." + b64(each.signature).encode(), *shown, b"")).decode())
    return tuple(texts)


def verify_text(text: str, key: PublicKey, now: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """The payload's claims and the disclosed flat values of a text form. Raises ProvenanceInvalid for a signature
    that does not hold or has ended, and for a disclosure that is unsigned, repeated or malformed."""
    if len(text) > MAX_TEXT:
        raise ProvenanceInvalid("The signed text is too long.")
    jwt, *disclosures = text.split("~")
    parts = jwt.split(".")
    if len(parts) != 3 or not disclosures or disclosures.pop() != "":
        raise ProvenanceInvalid("The text is not an SD-JWT without key binding.")
    header, payload = _object(parts[0]), _object(parts[1])
    if header != {"alg": "ES256", "typ": "record+sd-jwt"}:
        raise ProvenanceInvalid("The signed text has an unknown type or algorithm.")
    if not key.verifies("ES256", f"{parts[0]}.{parts[1]}".encode(), pv.unb64(parts[2])):
        raise ProvenanceInvalid("The signature is not the origin's, or does not cover what came with it.")
    signed, expires = payload.get("_sd"), payload.get("exp")
    if not isinstance(signed, list) or not isinstance(expires, int) or payload.get("_sd_alg") != "sha-256":
        raise ProvenanceInvalid("The signed payload lacks its digests or its end.")
    pv.check_expiry(expires, now)
    return payload, _disclosed(disclosures, signed)


def _object(part: str) -> dict[str, Any]:
    try:
        value = orjson.loads(pv.unb64(part))
    except orjson.JSONDecodeError:
        raise ProvenanceInvalid("The signed text is not JSON.") from None
    if not isinstance(value, dict):
        raise ProvenanceInvalid("The signed text is not a JSON object.")
    return value


def _disclosed(disclosures: list[str], signed: list[Any]) -> dict[str, Any]:
    open_digests = set(signed)
    if len(open_digests) != len(signed):
        raise ProvenanceInvalid("A digest stands twice under the signature.")
    values: dict[str, Any] = {}
    for text in disclosures:
        digest = b64(hashlib.sha256(text.encode()).digest())
        if digest not in open_digests:
            raise ProvenanceInvalid("A disclosure is not under the signature, or stands twice.")
        open_digests.discard(digest)
        try:
            parts = orjson.loads(pv.unb64(text))
        except orjson.JSONDecodeError:
            raise ProvenanceInvalid("A disclosure is not JSON.") from None
        if not isinstance(parts, list) or len(parts) != 3 or not isinstance(parts[1], str):
            raise ProvenanceInvalid("A disclosure is not a salt, a name and a value.")
        if parts[1] in values or parts[1] in ("_sd", "..."):
            raise ProvenanceInvalid("A step is disclosed twice.")
        values[parts[1]] = parts[2]
    return values
