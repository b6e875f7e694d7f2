"""Who wrote a record: the origin's SD-JWT (RFC 9901) over its open and community steps, packed for the wire.

A hub can drop disclosures and never change one. Never signs a partner step: a signature is evidence in the wrong
hands. Never reads a clock: the caller says what time it is.
"""

from __future__ import annotations

from binascii import b2a_base64
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import blake2b, sha256
from threading import Lock
from typing import Any, NamedTuple

import orjson

from federation import keys
from federation.errors import BadInput
from federation.keys import PublicKey, b64
from federation.policies.terms import Terms
from federation.policies.tiers import Tier

PERIOD_SECONDS = 30 * 86_400
LIFETIME_PERIODS = 3
SALT_BYTES = 16
DIGEST_BYTES = 32
SIGNATURE_BYTES = 64
PADDED_TO = 8
MOST_NAMES = 240
_HEADER = b64(b'{"alg":"ES256","typ":"record+sd-jwt"}').encode()
_URLSAFE = bytes.maketrans(b"+/", b"-_")
_WIRE, _STORED = 1, 2

Sign = Callable[[bytes], bytes]
"""Signs a JWS signing input with the origin's provenance key; gives the 64 bytes of an ES256 signature."""


class ProvenanceInvalid(BadInput):
    """The signature, or what it is said to cover, does not hold. The record goes to quarantine."""

    code = "BAD_PROVENANCE"


@dataclass(frozen=True)
class SignedTerms:
    """An origin's terms as they are signed: canonical JSON, and the sorted names `field.step` that it covers."""

    canonical: bytes
    names: tuple[str, ...]
    index: Mapping[str, int]


class Version(NamedTuple):
    """What a signature is about: one version of one record. `handling` is 0..4, `id` 16 bytes."""

    origin: str
    type: str
    id: bytes
    rev: int
    handling: int
    terms: SignedTerms


class Disclosure(NamedTuple):
    """One signed step: its place in the terms' names, its salt, and the digest that is in the signed payload."""

    place: int
    salt: bytes
    digest: bytes


@dataclass(frozen=True)
class Provenance:
    """A signature over a version, what of it is disclosed, and the digests of what is not (decoys among them)."""

    expires: int
    signature: bytes
    disclosed: tuple[Disclosure, ...]
    withheld: tuple[bytes, ...]


def unb64(text: str) -> bytes:
    """The bytes of a base64url text without padding. Raises ProvenanceInvalid where it is not one."""
    try:
        return keys.unb64(text)
    except (ValueError, TypeError):
        raise ProvenanceInvalid("A signature or identifier is not base64url.") from None


@lru_cache(maxsize=1024)
def signed_terms(terms: Terms) -> SignedTerms:
    """The part of an origin's terms that decides what is signed: steps labelled open or community, sorted."""
    names = sorted(
        f"{field}.{step}" for field, steps in terms.labels.items() for step, tier in steps if tier <= Tier.COMMUNITY
    )
    if len(names) > MOST_NAMES:
        raise ProvenanceInvalid("A record type has more signed steps than a signature can name.")
    canonical = orjson.dumps(terms.to_json(), option=orjson.OPT_SORT_KEYS)
    return SignedTerms(canonical, tuple(names), {name: i for i, name in enumerate(names)})


def signed_values(values: Mapping[str, Mapping[str, Any]], terms: SignedTerms) -> dict[str, Any]:
    """From `{field: {step: wire value}}` the flat `{"field.step": value}` of the steps that are signed and not null."""
    index = terms.index
    return {
        name: value
        for field, steps in values.items()
        for step, value in steps.items()
        if value is not None and (name := f"{field}.{step}") in index
    }


def expiry(now: int) -> int:
    """When a signature made at `now` (seconds since 1970) ends: on a grid of 30 days, so that it tells no time of
    change, 60 to 90 days ahead."""
    return (now // PERIOD_SECONDS + LIFETIME_PERIODS) * PERIOD_SECONDS


def _text(raw: bytes) -> bytes:
    """base64url without padding, as bytes: the path that every digest takes, hence without any detour."""
    return b2a_base64(raw, newline=False).rstrip(b"=").translate(_URLSAFE)


def disclosure_text(salt: bytes, name: str, value: bytes) -> bytes:
    return _text(b'["%b","%b",%b]' % (_text(salt), name.encode(), value))


def canonical(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def _digest(salt: bytes, name: str, value: bytes) -> bytes:
    return sha256(disclosure_text(salt, name, value)).digest()


def signing_input(version: Version, expires: int, digests: Iterable[bytes]) -> bytes:
    sd = b'","'.join([b2a_base64(digest)[:43] for digest in sorted(digests)]).translate(_URLSAFE)
    form = b'{"_sd":["%b"],"_sd_alg":"sha-256","exp":%d,"handling":%d,"iss":%b,"rev":%d,"sub":"%b","terms":%b,"vct":%b}'
    payload = form % (
        sd,
        expires,
        version.handling,
        orjson.dumps(version.origin),
        version.rev,
        _text(version.id),
        version.terms.canonical,
        orjson.dumps(version.type),
    )
    return _HEADER + b"." + _text(payload)


def issue(version: Version, values: Mapping[str, Any], sign: Sign, secret: bytes, expires: int) -> Provenance:
    """Sign a version of an own record; everything is disclosed, the caller restricts it.

    `values` maps `field.step` to wire values, without nulls, open and community steps only. Salts derive from
    (secret, record, step, value), so that an unchanged value keeps its digest and a hidden write shifts no other;
    decoys fill the number of digests up to a multiple of eight. Raises ProvenanceInvalid for a step that the terms
    do not label open or community.
    """
    index = version.terms.index
    keyed = blake2b(version.type.encode() + b"\0" + version.id, key=secret, person=b"provenance").digest()
    disclosed = []
    for name in sorted(values):
        if name not in index:
            raise ProvenanceInvalid(f"The step {name} is not open or community and is never signed.")
        value = canonical(values[name])
        salt = blake2b(b"%b\0%b" % (name.encode(), value), digest_size=SALT_BYTES, key=keyed, person=b"salt").digest()
        disclosed.append(Disclosure(index[name], salt, _digest(salt, name, value)))
    room = (len(disclosed) // PADDED_TO + 1) * PADDED_TO
    decoys = tuple(
        blake2b(b"%d" % j, digest_size=DIGEST_BYTES, key=keyed, person=b"decoy").digest()
        for j in range(len(disclosed), room)
    )
    message = signing_input(version, expires, [*(d.digest for d in disclosed), *decoys])
    return Provenance(expires, sign(message), tuple(disclosed), tuple(sorted(decoys)))


def restrict(provenance: Provenance, names: Iterable[str], terms: SignedTerms) -> Provenance:
    """The same signature with only the named steps disclosed; the others' digests join the withheld ones."""
    keep = {terms.index[name] for name in names if name in terms.index}
    dropped = [d.digest for d in provenance.disclosed if d.place not in keep]
    if not dropped:
        return provenance
    stay = tuple(d for d in provenance.disclosed if d.place in keep)
    return replace(provenance, disclosed=stay, withheld=tuple(sorted([*provenance.withheld, *dropped])))


def provable(provenance: Provenance, values: Mapping[str, Any], terms: SignedTerms) -> dict[str, Any]:
    """Of the flat values those whose digest the signature covers: what a hub may pass on as its origin's word."""
    held = {terms.names[d.place]: d for d in provenance.disclosed}
    return {
        name: value
        for name, value in values.items()
        if name in held and _digest(held[name].salt, name, canonical(value)) == held[name].digest
    }


def pack(provenance: Provenance) -> str:
    """The wire form, base64url: without values and digests of what is disclosed, which the receiver rebuilds."""
    return b64(_pack(_WIRE, provenance))


def store(provenance: Provenance) -> bytes:
    """The form in which a received signature is kept: the wire form and the digests of what is disclosed."""
    return _pack(_STORED, provenance) + b"".join(d.digest for d in provenance.disclosed)


def _pack(form: int, provenance: Provenance) -> bytes:
    disclosed = provenance.disclosed
    return b"".join(
        (
            bytes((form,)),
            provenance.expires.to_bytes(5, "big"),
            bytes((len(disclosed), len(provenance.withheld))),
            bytes(d.place for d in disclosed),
            provenance.signature,
            *(d.salt for d in disclosed),
            *provenance.withheld,
        )
    )


def expires_of(stored: bytes) -> int:
    """When a kept signature ends, in seconds since 1970, without unpacking the rest."""
    return int.from_bytes(stored[1:6], "big")


def _parts(raw: bytes, form: int) -> tuple[int, bytes, bytes, list[bytes], tuple[bytes, ...], bytes]:
    if len(raw) < 8 or raw[0] != form:
        raise ProvenanceInvalid("The packed signature has an unknown form.")
    count, hidden = raw[6], raw[7]
    salts = 8 + count + SIGNATURE_BYTES
    digests = salts + count * SALT_BYTES
    end = digests + hidden * DIGEST_BYTES
    if len(raw) != end + (count * DIGEST_BYTES if form == _STORED else 0):
        raise ProvenanceInvalid("The packed signature is cut short or too long.")
    return (
        int.from_bytes(raw[1:6], "big"),
        raw[8 : 8 + count],
        raw[8 + count : salts],
        [raw[at : at + SALT_BYTES] for at in range(salts, digests, SALT_BYTES)],
        tuple(raw[at : at + DIGEST_BYTES] for at in range(digests, end, DIGEST_BYTES)),
        raw[end:],
    )


def unstore(stored: bytes) -> Provenance:
    """A kept signature. Raises ProvenanceInvalid where the bytes are not one."""
    expires, indices, signature, salts, withheld, tail = _parts(stored, _STORED)
    digests = [tail[at : at + DIGEST_BYTES] for at in range(0, len(tail), DIGEST_BYTES)]
    return Provenance(expires, signature, tuple(map(Disclosure, indices, salts, digests)), withheld)


def unpack(packed: str, values: Mapping[str, Any], terms: SignedTerms) -> Provenance:
    """A signature from the wire, its digests rebuilt from the item's flat signed values.

    Every value must have its disclosure and every disclosure its value, once: what is not signed is refused, not
    ignored. Raises ProvenanceInvalid.
    """
    expires, indices, signature, salts, withheld, _ = _parts(unb64(packed), _WIRE)
    if any(i >= len(terms.names) for i in indices) or len(set(indices)) != len(indices):
        raise ProvenanceInvalid("The signature names a step twice, or one that its terms do not have.")
    names = [terms.names[i] for i in indices]
    if len(names) != len(values) or any(name not in values for name in names):
        raise ProvenanceInvalid("A value has no disclosure under the signature, or a disclosure has no value.")
    disclosed = tuple(
        Disclosure(i, salt, _digest(salt, name, canonical(values[name])))
        for i, salt, name in zip(indices, salts, names, strict=True)
    )
    digests = [*(d.digest for d in disclosed), *withheld]
    if len(set(digests)) != len(digests):
        raise ProvenanceInvalid("A digest stands twice under the signature.")
    return Provenance(expires, signature, disclosed, withheld)


def verify(provenance: Provenance, version: Version, key: PublicKey, now: int) -> None:
    """Check that the origin's key signed exactly this version and these disclosures, and that it has not ended.

    Type, id, rev, handling and terms are part of what is rebuilt: another one breaks the signature. Raises
    ProvenanceInvalid.
    """
    check_expiry(provenance.expires, now)
    digests = [*(d.digest for d in provenance.disclosed), *provenance.withheld]
    message = signing_input(version, provenance.expires, digests)
    if not key.verifies("ES256", message, provenance.signature):
        raise ProvenanceInvalid("The signature is not the origin's, or does not cover what came with it.")


def check_expiry(expires: int, now: int) -> None:
    """Refuse a signature that has ended, or that claims to hold longer than any honest one (a day is allowed for a
    clock that is ahead)."""
    if expires <= now:
        raise ProvenanceInvalid("The signature has ended; its origin has not renewed it.")
    if expires > expiry(now + 86_400):
        raise ProvenanceInvalid("The signature claims to hold longer than signatures do.")


class VerifiedSignatures:
    """What was verified, by hash: a page that comes again costs no second verification. Bounded; thread-safe."""

    def __init__(self, size: int = 20_000) -> None:
        self._size = size
        self._seen: OrderedDict[bytes, bytes] = OrderedDict()
        self._lock = Lock()

    def check(self, packed: str, values: Mapping[str, Any], version: Version, key: PublicKey, now: int) -> bytes:
        """Unpack and verify, and give the form to keep; nothing is rebuilt where these very bytes were verified
        before. Raises ProvenanceInvalid."""
        said = orjson.dumps([packed, values, key.thumbprint, *version[:5]], default=_plain, option=orjson.OPT_SORT_KEYS)
        seen = sha256(said + version.terms.canonical).digest()
        with self._lock:
            stored = self._seen.get(seen)
            if stored is not None:
                self._seen.move_to_end(seen)
        if stored is not None:
            check_expiry(expires_of(stored), now)
            return stored
        provenance = unpack(packed, values, version.terms)
        verify(provenance, version, key, now)
        stored = store(provenance)
        with self._lock:
            self._seen[seen] = stored
            while len(self._seen) > self._size:
                self._seen.popitem(last=False)
        return stored


def _plain(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)
