"""DPoP (RFC 9449): server nonces, and the check of one proof against the request that it came with.

A proof is checked against the configured URL, never against the Host header. Checking spends nothing: the caller
spends the proof's identifier before it acts.
"""

from __future__ import annotations

import hashlib
import hmac
import posixpath
import re
from dataclasses import dataclass, field
from typing import TypeGuard
from urllib.parse import urlsplit

from federation.errors import FederationError, Unauthenticated
from federation.keys import PublicKey, b64, public_key, read_jws, token_hash, unb64, verify
from federation.oauth.spent import identifier

MAX_PROOF = 8192
NONCE_STEP = 60
NONCE_SECONDS = 300
PAST_SECONDS = 300
FUTURE_SECONDS = 30
_TYPES: frozenset[str | None] = frozenset({"dpop+jwt"})


class ProofRefused(Unauthenticated):
    """A proof that does not fit the request; `error` is the code of RFC 9449."""

    def __init__(self, message: str, error: str = "invalid_dpop_proof") -> None:
        super().__init__(message)
        self.error = error


def nonce(secret: bytes, now: int) -> str:
    """The nonce of this minute. It derives from the node's secret: every worker knows it, also after a restart."""
    step = (now // NONCE_STEP).to_bytes(8, "big")
    return b64(step + hmac.new(secret, b"dpop-nonce\0" + step, hashlib.sha256).digest()[:16])


def nonce_is_fresh(secret: bytes, given: str, now: int) -> bool:
    """Whether this node gave out the nonce within the last minutes."""
    try:
        raw = unb64(given)
    except (ValueError, UnicodeEncodeError):
        return False
    if (
        len(raw) != 24
        or not -NONCE_STEP <= now - int.from_bytes(raw[:8], "big") * NONCE_STEP < NONCE_SECONDS + NONCE_STEP
    ):
        return False
    mine = hmac.new(secret, b"dpop-nonce\0" + raw[:8], hashlib.sha256).digest()[:16]
    return hmac.compare_digest(mine, raw[8:])


@dataclass(frozen=True)
class Proof:
    """A proof that holds. `jkt` is the thumbprint of its key; `spending` what has to be spent before it is acted on."""

    jkt: str
    spending: tuple[bytes, int] = field(repr=False)


def check_proof(
    proof: str, *, method: str, url: str, secret: bytes, now: int, token: str | None = None, jkt: str | None = None
) -> Proof:
    """The proof, if it was made for this method and URL, now, by the holder of the key it names.

    `token` is the access token that came with it and `jkt` the thumbprint that the token is bound to. Raises
    ProofRefused: type, algorithm, key, signature, `htm`, `htu`, `ath`, `iat`, `jti`, nonce.
    """
    key, claims = _signed(proof)
    if claims.get("htm") != method:
        raise ProofRefused("The proof was made for another method (htm).")
    htu = claims.get("htu")
    if not isinstance(htu, str) or (htu != url and normalised(htu) != normalised(url)):
        raise ProofRefused("The proof was made for another address (htu).")
    jti = claims.get("jti")
    if not isinstance(jti, str) or not 1 <= len(jti) <= 256 or not jti.isascii():
        raise ProofRefused("The proof needs an identifier (jti) of at most 256 characters.")
    if token is not None and not hmac.compare_digest(str(claims.get("ath")).encode(), token_hash(token).encode()):
        raise ProofRefused("The proof was made for another token (ath).", "invalid_token")
    if jkt is not None and not hmac.compare_digest(key.thumbprint, jkt):
        raise ProofRefused("The token is bound to another key.", "invalid_token")
    given = claims.get("nonce")
    if not isinstance(given, str) or not nonce_is_fresh(secret, given, now):
        raise ProofRefused("The proof needs the nonce that this node has just given.", "use_dpop_nonce")
    issued = claims.get("iat")
    if not is_time(issued) or not -FUTURE_SECONDS <= now - issued <= PAST_SECONDS:
        raise ProofRefused("The time of the proof (iat) is too far from this node's clock.")
    return Proof(key.thumbprint, (identifier("proof", key.thumbprint, jti), now + PAST_SECONDS + 2 * NONCE_STEP))


def _signed(proof: str) -> tuple[PublicKey, dict[str, object]]:
    try:
        read = read_jws(proof, types=_TYPES, max_bytes=MAX_PROOF)
        key = public_key(read.header.get("jwk"))
        if "kid" in read.header:
            raise ProofRefused("The proof must name its key by jwk alone.")
        verify(read, (key,))
    except ProofRefused:
        raise
    except FederationError as refused:
        raise ProofRefused(f"The proof is refused: {refused.message[:1].lower()}{refused.message[1:]}") from refused
    return key, dict(read.claims)


def is_time(value: object) -> TypeGuard[float]:
    """Whether a claim is a point in time that can be computed with: a number, and no boolean."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 2**53


_UNRESERVED = re.compile(r"%(2[DdEe]|3[0-9]|4[1-9A-Fa-f]|5[0-9AaFf]|6[1-9A-Fa-f]|7[0-9AaEe])")


def normalised(url: str) -> str | None:
    """An http(s) URL in the normal form of RFC 3986 6.2.2 and 6.2.3, without query and fragment; None if it is none."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    scheme, host = parts.scheme.lower(), (parts.hostname or "").lower()
    if scheme not in ("https", "http") or not host or "@" in parts.netloc:
        return None
    authority = host if port in (None, 443 if scheme == "https" else 80) else f"{host}:{port}"
    path = _UNRESERVED.sub(lambda found: chr(int(found[1], 16)), parts.path)
    path = re.sub(r"%[0-9a-fA-F]{2}", lambda found: found[0].upper(), path)
    if "/." in path:
        final = "/" if path.endswith(("/", "/.", "/..")) else ""
        path = posixpath.normpath(path).replace("//", "/").rstrip("/") + final
    return f"{scheme}://{authority}{path or '/'}"
