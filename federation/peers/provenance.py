"""Who wrote a record: the origin's SD-JWTs (RFC 9901), one over its open and one over its community steps, packed.

A hub can drop disclosures, or one of the two, and never change anything; who sees the open steps alone learns nothing
of the others. Never signs a partner step: a signature is evidence in the wrong hands. Never reads a clock.
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
PADDED_TO = 4
MOST_DIGESTS = 255
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
    """An origin's terms as they are signed: canonical JSON, the sorted names `field.step` that may be signed, and the
    tier of each."""

    canonical: bytes
    names: tuple[str, ...]
    tiers: tuple[Tier, ...]
    index: Mapping[str, int]

    def tier(self, place: int, handling: int) -> Tier:
        """At which tier a step of a record is seen and so signed: its own, or that of the handling if it is higher."""
        return Tier(max(self.tiers[place], handling))


class Version(NamedTuple):
    """What signatures are about: one version of one record. `revisions` are those of the open and the community
    tier, `handling` is 0..4, `id` 16 bytes."""

    origin: str
    type: str
    id: bytes
    revisions: tuple[int, ...]
    handling: int
    terms: SignedTerms


class Disclosure(NamedTuple):
    """One signed step: its place in the terms' names, its salt, and the digest that is in the signed payload."""

    place: int
    salt: bytes
    digest: bytes


@dataclass(frozen=True)
class Credential:
    """A signature over the steps of one tier, what of it is disclosed, and the digests of what is not (decoys among
    them)."""

    tier: Tier
    signature: bytes
    disclosed: tuple[Disclosure, ...]
    withheld: tuple[bytes, ...]

    @property
    def digests(self) -> list[bytes]:
        """All that is signed, in no order."""
        return [*(each.digest for each in self.disclosed), *self.withheld]


@dataclass(frozen=True)
class Provenance:
    """What an origin signed of a version, by tier; all of it ends at the same time."""

    expires: int
    credentials: tuple[Credential, ...]

    @property
    def disclosed(self) -> tuple[Disclosure, ...]:
        """Everything that is disclosed."""
        return tuple(each for credential in self.credentials for each in credential.disclosed)

    @property
    def tiers(self) -> frozenset[Tier]:
        """The tiers of which something is disclosed."""
        return frozenset(credential.tier for credential in self.credentials)


def unb64(text: str) -> bytes:
    """The bytes of a base64url text without padding. Raises ProvenanceInvalid where it is not one."""
    try:
        return keys.unb64(text)
    except (ValueError, TypeError):
        raise ProvenanceInvalid("A signature or identifier is not base64url.") from None


@lru_cache(maxsize=1024)
def signed_terms(terms: Terms) -> SignedTerms:
    """The part of an origin's terms that decides what is signed: steps labelled open or community, sorted."""
    labelled = sorted(
        (f"{field}.{step}", tier)
        for field, steps in terms.labels.items()
        for step, tier in steps
        if tier <= Tier.COMMUNITY
    )
    names = tuple(name for name, _ in labelled)
    if len(names) > MOST_NAMES:
        raise ProvenanceInvalid("A record type has more signed steps than a signature can name.")
    canonical = orjson.dumps(terms.to_json(), option=orjson.OPT_SORT_KEYS)
    tiers = tuple(tier for _, tier in labelled)
    return SignedTerms(canonical, names, tiers, {name: i for i, name in enumerate(names)})


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


def signing_input(version: Version, tier: Tier, expires: int, digests: Iterable[bytes]) -> bytes:
    """What is signed of a version at a tier: header and payload of the JWT. The numbers of the tiers below are signed
    with it: an older open part cannot be put beside a newer community one, nor the other way round."""
    sd = b'","'.join([b2a_base64(digest)[:43] for digest in sorted(digests)]).translate(_URLSAFE)
    form = (
        b'{"_sd":["%b"],"_sd_alg":"sha-256","exp":%d,"handling":%d,"iss":%b,"rev":[%b],"sub":"%b","terms":%b,'
        b'"tier":"%b","vct":%b}'
    )
    payload = form % (
        sd,
        expires,
        version.handling,
        orjson.dumps(version.origin),
        b",".join(b"%d" % told for told in version.revisions[: tier + 1]),
        _text(version.id),
        version.terms.canonical,
        tier.label.encode(),
        orjson.dumps(version.type),
    )
    return _HEADER + b"." + _text(payload)


def issue(version: Version, values: Mapping[str, Any], sign: Sign, secret: bytes, expires: int) -> Provenance:
    """Sign what a reader sees of a version of an own record, tier by tier; all of it is disclosed.

    `values` maps `field.step` to wire values, without nulls, open and community steps only. Salts derive from
    (secret, record, step, value), so that an unchanged value keeps its digest and another write shifts none; decoys
    fill the number of digests up to a multiple of four. `sign` gives the same signature for the same bytes: then
    equal views are signed alike. Raises ProvenanceInvalid for a step that the terms do not label open or community.
    """
    index = version.terms.index
    keyed = blake2b(version.type.encode() + b"\0" + version.id, key=secret, person=b"provenance").digest()
    by_tier: dict[Tier, list[Disclosure]] = {}
    for name in sorted(values):
        if name not in index:
            raise ProvenanceInvalid(f"The step {name} is not open or community and is never signed.")
        value = canonical(values[name])
        salt = blake2b(b"%b\0%b" % (name.encode(), value), digest_size=SALT_BYTES, key=keyed, person=b"salt").digest()
        tier = version.terms.tier(index[name], version.handling)
        by_tier.setdefault(tier, []).append(Disclosure(index[name], salt, _digest(salt, name, value)))
    made = (_credential(version, tier, by_tier[tier], keyed, sign, expires) for tier in sorted(by_tier))
    return Provenance(expires, tuple(made))


def _credential(
    version: Version, tier: Tier, disclosed: list[Disclosure], keyed: bytes, sign: Sign, expires: int
) -> Credential:
    if tier > Tier.COMMUNITY:
        raise ProvenanceInvalid("A record for named partners is never signed.")
    room = (len(disclosed) // PADDED_TO + 1) * PADDED_TO
    decoys = tuple(
        blake2b(b"%d %d" % (tier, j), digest_size=DIGEST_BYTES, key=keyed, person=b"decoy").digest()
        for j in range(len(disclosed), room)
    )
    digests = [*(each.digest for each in disclosed), *decoys]
    signature = sign(signing_input(version, tier, expires, digests))
    return Credential(tier, signature, tuple(disclosed), tuple(sorted(decoys)))


def restrict(provenance: Provenance, names: Iterable[str], terms: SignedTerms) -> Provenance:
    """The same signatures with only the named steps disclosed; the others' digests join the withheld ones. Of a tier
    of which nothing stays, nothing stays at all."""
    keep = {terms.index[name] for name in names if name in terms.index}
    kept = []
    for each in provenance.credentials:
        stay = tuple(d for d in each.disclosed if d.place in keep)
        if len(stay) == len(each.disclosed):
            kept.append(each)
        elif stay:
            dropped = [d.digest for d in each.disclosed if d.place not in keep]
            kept.append(replace(each, disclosed=stay, withheld=tuple(sorted([*each.withheld, *dropped]))))
    return replace(provenance, credentials=tuple(kept))


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
    return _pack(_STORED, provenance)


def _pack(form: int, provenance: Provenance) -> bytes:
    parts = [bytes((form,)), provenance.expires.to_bytes(5, "big")]
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
    if reader.take(1)[0] != form:
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
        return _digest(salt, name, canonical(values[name]))

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


def verify(provenance: Provenance, version: Version, key: PublicKey, now: int) -> None:
    """Check that the origin's key signed exactly this version and these disclosures, each at its tier, and that it has
    not ended.

    Type, id, revisions, handling and terms are part of what is rebuilt: another one breaks the signature. Raises
    ProvenanceInvalid.
    """
    check_expiry(provenance.expires, now)
    for each in provenance.credentials:
        if any(version.terms.tier(d.place, version.handling) != each.tier for d in each.disclosed):
            raise ProvenanceInvalid("A step is signed at a tier that is not its own.")
        message = signing_input(version, each.tier, provenance.expires, each.digests)
        if not key.verifies("ES256", message, each.signature):
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
