"""Entity statements of OpenID Federation 1.0 (section 3): made, read and verified. What is read here was written by
others: its size, depth and every claim are checked before anything is done with it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from federation import keys
from federation.errors import BadInput
from federation.keys import Jws, KeyRefused, PublicKey, SignatureRefused, SigningKey

STATEMENT = "entity-statement+jwt"
MEDIA_TYPE = f"application/{STATEMENT}"
MAX_STATEMENT = 32_768
MAX_DEPTH = 12
MAX_HINTS = 16
LEEWAY_SECONDS = 60
HOUR = 3600
SHORTEST_HOURS, USUAL_HOURS, LONGEST_HOURS = 24, 48, 72
STANDARD_OPERATORS = frozenset({"value", "add", "default", "one_of", "subset_of", "superset_of", "essential"})
_OF_CONFIGURATIONS = (
    "authority_hints",
    "trust_anchor_hints",
    "trust_marks",
    "trust_mark_issuers",
    "trust_mark_owners",
)
_OF_SUBORDINATES = ("constraints", "metadata_policy", "metadata_policy_crit", "source_endpoint")
_IDENTIFIER = re.compile(r"https?://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?(/[A-Za-z0-9._~%/-]*)?")


class StatementRefused(BadInput):
    """An entity statement that is malformed, out of its time, or not signed by whom it must be signed by."""

    error = "invalid_trust_chain"


@dataclass(frozen=True)
class Statement:
    """A statement as read, its signature not yet verified. `keys` are those of its subject. One whose issuer is its
    subject is that entity's configuration."""

    token: str = field(repr=False)
    issuer: str
    subject: str
    issued: int
    expires: int
    keys: tuple[PublicKey, ...]
    kid: str
    claims: Mapping[str, Any] = field(repr=False)
    jws: Jws = field(repr=False)

    @property
    def is_configuration(self) -> bool:
        """Whether an entity says this of itself."""
        return self.issuer == self.subject

    @property
    def hints(self) -> tuple[str, ...]:
        """The superiors that a configuration names."""
        return tuple(self.claims.get("authority_hints", ()))


def is_identifier(text: object) -> bool:
    """Whether it is the identifier of an entity: the address of a node, perhaps with a path; no query, no fragment."""
    if not isinstance(text, str) or len(text) > 300 or _IDENTIFIER.fullmatch(text) is None:
        return False
    try:
        return urlsplit(text).port != 0
    except ValueError:  # brackets around what is no address, a port beyond the last
        return False


def make_statement(
    key: SigningKey,
    issuer: str,
    subject: str,
    jwks: Iterable[Mapping[str, Any]],
    now: int,
    hours: int = USUAL_HOURS,
    **claims: Any,
) -> str:
    """A signed statement of `issuer` about `subject`, whose public keys are `jwks`, for so many hours. Claims that are
    None or empty are left out."""
    said = {
        "iss": issuer,
        "sub": subject,
        "iat": now,
        "exp": now + hours * HOUR,
        "jwks": {"keys": [_named(jwk) for jwk in jwks]},
        **{name: value for name, value in claims.items() if value not in (None, [], {})},
    }
    return keys.sign(key, {"typ": STATEMENT, "kid": key.thumbprint}, said)


def _named(jwk: Mapping[str, Any]) -> dict[str, Any]:
    """A public key with its name: every key of a statement has one."""
    return {**jwk, "kid": jwk.get("kid") or keys.thumbprint(jwk)}


def read_statement(token: object) -> Statement:
    """Take a statement apart and check its form. Raises StatementRefused."""
    jws = read_signed(token, STATEMENT, MAX_STATEMENT)
    claims = jws.claims
    issuer, subject = claims.get("iss"), claims.get("sub")
    if not is_identifier(issuer) or not is_identifier(subject):
        raise StatementRefused("A statement does not say who made it, or about whom.")
    issuer, subject = str(issuer), str(subject)
    issued, expires = times(claims, _named_in(issuer, subject))
    if expires is None or expires - issued > LONGEST_HOURS * HOUR:
        raise StatementRefused(f"{_named_in(issuer, subject)} is made for longer than {LONGEST_HOURS} hours.")
    _check_critical(claims)
    _check_place(claims, issuer == subject)
    jwks = read_keys(claims.get("jwks"), _named_in(issuer, subject))
    _check_metadata(claims.get("metadata", {}))
    return Statement(str(token), issuer, subject, issued, expires, jwks, str(jws.header["kid"]), claims, jws)


def _named_in(issuer: str, subject: str) -> str:
    return f"What {issuer} says of itself" if issuer == subject else f"The statement of {issuer} about {subject}"


def read_signed(token: object, typ: str, max_bytes: int) -> Jws:
    """Any signed token of this specification: of that type, within bounds, with the name of its key. Raises
    StatementRefused."""
    if not isinstance(token, str) or not token.isascii():
        raise StatementRefused("A statement is not a signed token.")
    try:
        jws = keys.read_jws(token, types=frozenset({typ}), max_bytes=max_bytes)
    except SignatureRefused as refused:
        raise StatementRefused(refused.message) from refused
    kid = jws.header.get("kid")
    if not isinstance(kid, str) or not kid:
        raise StatementRefused("A statement does not name the key that signed it.")
    check_depth(jws.claims)
    return jws


def check_depth(value: object) -> None:
    """Refuse what is nested deeper than any honest statement. Raises StatementRefused."""
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise StatementRefused(f"A statement is nested deeper than {MAX_DEPTH} levels.")
        level = [
            inner
            for each in level
            if isinstance(each, dict | list)
            for inner in (each.values() if isinstance(each, dict) else each)
        ]


def times(claims: Mapping[str, Any], what: str) -> tuple[int, int | None]:
    """When it was made and when it ends, in seconds since 1970; None where it does not end. Raises StatementRefused."""
    issued, expires = claims.get("iat"), claims.get("exp")
    whole = [each for each in (issued, expires) if isinstance(each, int | float) and not isinstance(each, bool)]
    if issued is None or len(whole) != 2 - (expires is None) or not all(0 <= each < 1e11 for each in whole):
        raise StatementRefused(f"{what} lacks its times.")
    return int(issued), None if expires is None else int(expires)


def check_times(issued: int, expires: int | None, now: int, what: str) -> None:
    """Refuse what is not of this moment, a minute of difference between two clocks allowed. Raises StatementRefused."""
    if issued > now + LEEWAY_SECONDS:
        raise StatementRefused(
            f"{what} was made {_span(issued - now)} from now: one of the two clocks is wrong. "
            "Set the clocks; a minute of difference is allowed."
        )
    if expires is not None and expires <= now - LEEWAY_SECONDS:
        ended = datetime.fromtimestamp(expires, UTC).strftime("%Y-%m-%d %H:%M")
        raise StatementRefused(f"{what} has ended ({ended} UTC, {_span(now - expires)} ago) and was not renewed.")


def _span(seconds: int) -> str:
    return f"{seconds // HOUR} hours" if seconds >= 2 * HOUR else f"{max(seconds // 60, 1)} minutes"


def check_clock(statement: Statement, now: int) -> None:
    """Refuse a statement that is not of this moment. Raises StatementRefused."""
    check_times(statement.issued, statement.expires, now, _named_in(statement.issuer, statement.subject))


def check_signature(jws: Jws, trusted: Iterable[PublicKey], what: str) -> PublicKey:
    """The key that signed a token, which must be the one that it names. Raises StatementRefused."""
    named = [key for key in trusted if key.kid == jws.header.get("kid")]
    try:
        return keys.verify(jws, named)
    except SignatureRefused:
        raise StatementRefused(f"{what} is not signed by a key that is known to be its maker's.") from None


def verify_statement(statement: Statement, trusted: Iterable[PublicKey]) -> PublicKey:
    """The key of `trusted` that signed a statement. Raises StatementRefused."""
    return check_signature(statement.jws, trusted, _named_in(statement.issuer, statement.subject))


def read_keys(jwks: object, what: str) -> tuple[PublicKey, ...]:
    """A key set whose every key is sound and has a name of its own. Raises StatementRefused."""
    listed = jwks.get("keys") if isinstance(jwks, Mapping) else None
    if not isinstance(listed, list) or not listed:
        raise StatementRefused(f"{what} names no keys.")
    try:
        found = keys.public_keys(listed)
    except KeyRefused as refused:
        raise StatementRefused(f"{what}: {refused.message}") from refused
    names = [each.get("kid") for each in listed]
    if not all(isinstance(name, str) and name for name in names) or len(set(names)) != len(names):
        raise StatementRefused(f"{what} names keys that cannot be told apart.")
    return found


def _check_critical(claims: Mapping[str, Any]) -> None:
    """No claim beside those of the specification is understood here, so that none may be critical."""
    if "crit" in claims:
        raise StatementRefused("A statement asks for claims to be understood that are not known here.")
    critical = claims.get("metadata_policy_crit")
    if critical is None:
        return
    names = [each for each in critical if isinstance(each, str)] if isinstance(critical, list) else []
    if not names or names != critical or STANDARD_OPERATORS.intersection(names):
        raise StatementRefused("A statement lists its critical policy operators wrongly.")
    raise StatementRefused(f"A statement needs the policy operator {names[0][:40]!r}, which is not known here.")


def _check_place(claims: Mapping[str, Any], configuration: bool) -> None:
    """Refuse claims that stand in the wrong kind of statement, and hints and marks of the wrong form."""
    if misplaced := [each for each in (_OF_SUBORDINATES if configuration else _OF_CONFIGURATIONS) if each in claims]:
        raise StatementRefused(f"`{misplaced[0]}` stands in a statement where it has no place.")
    for name in ("authority_hints", "trust_anchor_hints"):
        hints = claims.get(name)
        if name in claims and not (
            isinstance(hints, list) and 0 < len(hints) <= MAX_HINTS and all(map(is_identifier, hints))
        ):
            raise StatementRefused(f"The `{name}` of a statement are no list of 1 to {MAX_HINTS} addresses.")
    marks = claims.get("trust_marks", [])
    if not isinstance(marks, list) or not all(isinstance(each, Mapping) for each in marks):
        raise StatementRefused("The trust marks of a statement are no list.")
    for name in ("trust_mark_issuers", "trust_mark_owners", "constraints", "metadata_policy"):
        if not isinstance(claims.get(name, {}), Mapping):
            raise StatementRefused(f"`{name}` of a statement is no object.")


def _check_metadata(metadata: object) -> None:
    if not isinstance(metadata, Mapping) or not all(isinstance(each, Mapping) for each in metadata.values()):
        raise StatementRefused("The metadata of a statement is not an object for each entity type.")
    if any(value is None for parameters in metadata.values() for value in parameters.values()):
        raise StatementRefused("The metadata of a statement has parameters without a value.")
