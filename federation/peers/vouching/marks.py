"""Trust marks of OpenID Federation 1.0 (section 7): an issuer's signed word that a node fulfils something. It grants
nothing, and is shown beside who vouches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from federation import keys
from federation.keys import PublicKey, SigningKey
from federation.peers.vouching.statements import (
    HOUR,
    USUAL_HOURS,
    StatementRefused,
    check_signature,
    check_times,
    read_keys,
    read_signed,
    times,
)

MARK = "trust-mark+jwt"
DELEGATION = "trust-mark-delegation+jwt"
MAX_MARK = 8_192
MAX_MARKS = 16
MAX_TYPE = 300


class MarkRefused(StatementRefused):
    """A trust mark that is not the word of whom the anchor lets give it, or is over."""


@dataclass(frozen=True)
class Mark:
    """A trust mark that holds; `expires` is None where it does not end by itself."""

    type: str
    issuer: str
    subject: str
    expires: int | None
    token: str = field(repr=False)


@dataclass(frozen=True)
class Federation:
    """What verifying a mark needs of the federation: what its anchor says of itself, and the keys of an entity that
    stands in a valid chain to that anchor (none for a stranger)."""

    anchor: str
    claims: Mapping[str, Any]
    keys_of: Callable[[str], tuple[PublicKey, ...]]


def make_mark(
    key: SigningKey, issuer: str, subject: str, kind: str, now: int, delegation: str | None = None
) -> dict[str, str]:
    """A mark as it stands in what its subject says of itself. It lives as long as a statement and is made anew while
    the issuer stands by it, so that one taken back ends by silence."""
    claims = {"iss": issuer, "sub": subject, "trust_mark_type": kind, "iat": now, "exp": now + USUAL_HOURS * HOUR}
    if delegation is not None:
        claims["delegation"] = delegation
    return {"trust_mark_type": kind, "trust_mark": keys.sign(key, {"typ": MARK, "kid": key.thumbprint}, claims)}


def make_delegation(key: SigningKey, owner: str, issuer: str, kind: str, now: int, expires: int) -> str:
    """The owner's word that an issuer may give marks of its type, up to a second."""
    claims = {"iss": owner, "sub": issuer, "trust_mark_type": kind, "iat": now, "exp": expires}
    return keys.sign(key, {"typ": DELEGATION, "kid": key.thumbprint}, claims)


def read_marks(listed: object, issuer: str, subject: str) -> list[dict[str, str]]:
    """Those marks of a list that are of sound form, by this issuer and about this subject, at most MAX_MARKS. Nothing
    is verified."""
    found = []
    for each in listed[:MAX_MARKS] if isinstance(listed, list) else ():
        try:
            claims = _read(each, subject)
        except StatementRefused:
            continue
        if claims["iss"] == issuer:
            found.append({"trust_mark_type": str(claims["trust_mark_type"]), "trust_mark": str(each["trust_mark"])})
    return found


def _read(entry: object, subject: str) -> Mapping[str, Any]:
    """The claims of a mark in the list of its subject. Raises StatementRefused."""
    if not isinstance(entry, Mapping):
        raise MarkRefused("A trust mark is malformed.")
    claims = read_signed(entry.get("trust_mark"), MARK, MAX_MARK).claims
    kind = claims.get("trust_mark_type")
    if not isinstance(kind, str) or not 0 < len(kind) <= MAX_TYPE or kind != entry.get("trust_mark_type"):
        raise MarkRefused("A trust mark is of another type than it stands under.")
    if claims.get("sub") != subject or not isinstance(claims.get("iss"), str):
        raise MarkRefused("A trust mark is about another node than the one that shows it.")
    return claims


def verify_mark(entry: object, subject: str, federation: Federation, now: int) -> Mark:
    """The mark, if it holds at this moment under an anchor: of a type that the anchor knows, by an issuer that it lets
    give it and that stands in the federation, and with the owner's delegation where it has an owner. Raises
    StatementRefused."""
    claims = _read(entry, subject)
    assert isinstance(entry, Mapping)  # noqa: S101 -- `_read` made sure
    kind, issuer, token = str(claims["trust_mark_type"]), str(claims["iss"]), str(entry["trust_mark"])
    what = f"The mark {kind} by {issuer}"
    _check_issuer(kind, issuer, federation)
    issued, expires = times(claims, what)
    check_times(issued, expires, now, what)
    trusted = federation.keys_of(issuer)
    if not trusted:
        raise MarkRefused(f"{issuer} gave the mark {kind}, and no chain is known from it to {federation.anchor}.")
    check_signature(read_signed(token, MARK, MAX_MARK), trusted, what)
    _check_delegation(claims, kind, issuer, federation, now)
    return Mark(kind, issuer, subject, expires, token)


def _check_issuer(kind: str, issuer: str, federation: Federation) -> None:
    known = federation.claims.get("trust_mark_issuers", {})
    if kind not in known:
        raise MarkRefused(f"{federation.anchor} knows no marks of the type {kind}.")
    if not isinstance(known[kind], list) or (known[kind] and issuer not in known[kind]):
        raise MarkRefused(f"{federation.anchor} does not let {issuer} give marks of the type {kind}.")


def _check_delegation(claims: Mapping[str, Any], kind: str, issuer: str, federation: Federation, now: int) -> None:
    owners = federation.claims.get("trust_mark_owners", {})
    delegation = claims.get("delegation")
    if kind not in owners and delegation is None:
        return
    owner = owners.get(kind)
    if not isinstance(owner, Mapping) or delegation is None:
        raise MarkRefused(f"The mark {kind} needs the word of an owner that {federation.anchor} names.")
    what = f"The delegation of the mark {kind} to {issuer}"
    jws = read_signed(delegation, DELEGATION, MAX_MARK)
    said = jws.claims
    if (said.get("iss"), said.get("sub"), said.get("trust_mark_type")) != (owner.get("sub"), issuer, kind):
        raise MarkRefused(f"{what} is about something else.")
    check_times(*times(said, what), now, what)
    check_signature(jws, read_keys(owner.get("jwks"), what), what)


def holding(entries: Iterable[object], subject: str, federation: Federation, now: int) -> list[Mark]:
    """Those of a subject's marks that hold."""
    found = []
    for entry in list(entries)[:MAX_MARKS]:
        try:
            found.append(verify_mark(entry, subject, federation, now))
        except StatementRefused:
            continue
    return found
