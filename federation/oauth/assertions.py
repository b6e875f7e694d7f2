"""private_key_jwt (RFC 7523): the check of a client assertion at this node's endpoints.

Every refusal looks the same to the caller where it would tell who is a client here. Checking spends nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from federation.errors import FederationError, Unauthenticated
from federation.keys import Jws, read_jws
from federation.limiting import asking
from federation.oauth.proofs import is_time
from federation.oauth.realm import Realm, RegisteredClient
from federation.oauth.spent import identifier

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
MAX_ASSERTION = 8192
MAX_LIFETIME = 300
FUTURE_SECONDS = 30
"""FAPI 2.0: ten seconds ahead are accepted, sixty refused; what lies between is ours to choose."""
_TYPES: frozenset[str | None] = frozenset({None, "jwt", "client-authentication+jwt"})
_TRUSTS_ITSELF = ("jwk", "jku", "x5u", "x5c")


class AssertionRefused(Unauthenticated):
    """A client assertion that is not one of an active client, made for this node, now."""


@dataclass(frozen=True)
class Authentication:
    """A client that has shown who it is; `spending` has to be spent before this is acted on."""

    client: RegisteredClient
    spending: tuple[bytes, int] = field(repr=False)


def check_assertion(realm: Realm, form: Mapping[str, str]) -> Authentication:
    """The client that the form's assertion authenticates.

    Raises AssertionRefused: type, algorithm, keys named in the header, unknown client, signature; `iss`, `sub`,
    `client_id` that differ; `aud` that is not the issuer and nothing else; `exp`, `iat`, `nbf`, `jti`. RateLimited for
    a client that asks too often: it is counted as soon as it is known.
    """
    if form.get("client_assertion_type") != ASSERTION_TYPE or not form.get("client_assertion"):
        raise AssertionRefused("The client must authenticate with private_key_jwt.")
    if "client_secret" in form:
        raise AssertionRefused("The client must authenticate in one way only.")
    try:
        read = read_jws(form["client_assertion"], types=_TYPES, max_bytes=MAX_ASSERTION)
    except FederationError as refused:
        raise AssertionRefused("The client assertion is malformed or of a kind that is not accepted.") from refused
    if any(name in read.header for name in _TRUSTS_ITSELF):
        raise AssertionRefused("The client assertion must not bring its own key.")
    claims = read.claims
    client_id = claims.get("sub")
    if (
        not isinstance(client_id, str)
        or claims.get("iss") != client_id
        or form.get("client_id", client_id) != client_id
    ):
        raise AssertionRefused("iss, sub and client_id must be the same.")
    client = realm.active_client(client_id)
    if not _signed(read, realm, client) or client is None:
        raise AssertionRefused("The client is unknown, or the assertion is not signed by its key.")
    if claims.get("aud") != realm.url:
        raise AssertionRefused("aud must be this node's issuer, as one string.")
    shown = Authentication(client, (identifier("assertion", client_id, _jti(claims)), _checked_times(realm, claims)))
    asking.count(client.kind, client_id)
    return shown


def _signed(read: Jws, realm: Realm, client: RegisteredClient | None) -> bool:
    """Whether a key of the client signed it. For nobody's a signature is verified as well, and `kid` spares none: who
    is linked with this node must not be told by the time that a refusal takes."""
    keys = (realm.keys.tokens.public,) if client is None else client.keys
    found = [key.verifies(read.header["alg"], read.message, read.signature) for key in keys]
    return any(found)


def _jti(claims: Mapping[str, object]) -> str:
    jti = claims.get("jti")
    if not isinstance(jti, str) or not 1 <= len(jti) <= 256:
        raise AssertionRefused("The client assertion needs an identifier (jti) of at most 256 characters.")
    return jti


def _checked_times(realm: Realm, claims: Mapping[str, object]) -> int:
    """The second up to which the assertion could be used again, with a minute to spare."""
    now = realm.world.timestamp()
    expires = claims.get("exp")
    if not is_time(expires):
        raise AssertionRefused("The client assertion needs an end (exp).")
    if expires <= now:
        raise AssertionRefused("The client assertion is over (exp).")
    if expires > now + MAX_LIFETIME:
        raise AssertionRefused("The client assertion may last five minutes at most (exp).")
    for name in ("iat", "nbf"):
        begins = claims.get(name, now)
        if not is_time(begins) or begins > now + FUTURE_SECONDS:
            raise AssertionRefused(f"The client assertion is of the future ({name}); see to the clock.")
    return int(expires) + 60
