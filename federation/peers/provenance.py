"""Who wrote a record: the origin's SD-JWTs (RFC 9901), one over its open and one over its community steps.

A hub can drop disclosures, or one of the two, and never change anything; who sees the open steps alone learns nothing
of the others. Never signs a partner step: a signature is evidence in the wrong hands. Never reads a clock.
"""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import blake2b, sha256
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
PADDED_TO = 4
MOST_NAMES = 240
_HEADER = b64(b'{"alg":"ES256","typ":"record+sd-jwt"}').encode()
_URLSAFE = bytes.maketrans(b"+/", b"-_")

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
    """The disclosure of a step, base64url of `[salt, name, value]`; `value` is canonical JSON."""
    return _text(b'["%b","%b",%b]' % (_text(salt), name.encode(), value))


def canonical(value: Any) -> bytes:
    """A wire value as JSON with sorted keys: equal values are equal bytes."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def disclosure_digest(salt: bytes, name: str, value: bytes) -> bytes:
    """What is signed of a step: the SHA-256 of its disclosure."""
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
        by_tier.setdefault(tier, []).append(Disclosure(index[name], salt, disclosure_digest(salt, name, value)))
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
        if name in held and disclosure_digest(held[name].salt, name, canonical(value)) == held[name].digest
    }


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
