"""JSON Web Keys and Signatures (RFC 7515, 7517, 7638), client assertions and DPoP proofs.

Only ES256, Ed25519 and PS256 with sound keys are known here: there is no switch that admits anything weaker.
Signing and verifying are done on `cryptography` itself: joserfc costs as much again as the signature, on a path
that every request takes; the tests check both against each other.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import functools
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from federation.errors import BadInput, Unauthenticated
from federation.world import World

ALGORITHMS = ("ES256", "Ed25519", "EdDSA", "PS256")
"""What is accepted; `EdDSA` is the older name of Ed25519 (RFC 9864) and never emitted."""
MAX_JWS = 16_384
MAX_JWKS = 32
_MEMBERS = {"EC": ("crv", "kty", "x", "y"), "OKP": ("crv", "kty", "x"), "RSA": ("e", "kty", "n")}
_TO_STANDARD = bytes.maketrans(b"-_", b"+/")
_FOREIGN = frozenset(b"+/=")
_LAST = {2: b"AQgw", 3: b"AEIMQUYcgkosw048"}
"""Characters that may end a group of two or three: others would leave bits that say nothing (RFC 4648, 3.5)."""
_EMITTED = {"EC": "ES256", "OKP": "Ed25519", "RSA": "PS256"}
_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_PSS = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=32)


class KeyRefused(BadInput):
    """A key that is malformed, too weak, of another kind, or private where a public one belongs."""


class SignatureRefused(Unauthenticated):
    """A signed token that is malformed, of the wrong type, or not signed by the key that it must be signed by."""


def b64(raw: bytes) -> str:
    """base64url without padding (RFC 7515)."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def unb64(text: str | bytes) -> bytes:
    """The bytes of canonical base64url without padding. Raises ValueError for any other spelling."""
    encoded = text.encode() if isinstance(text, str) else text
    left = len(encoded) % 4
    if left == 1 or (left and encoded[-1:] not in _LAST[left]) or not _FOREIGN.isdisjoint(encoded):
        raise ValueError("not canonical base64url")
    return binascii.a2b_base64(encoded.translate(_TO_STANDARD) + b"==="[: -left % 4], strict_mode=True)


@dataclass(frozen=True)
class PublicKey:
    """A checked public key: `jwk` holds its public members only, `algorithms` the names it may be used under,
    `kid` the name that its owner gave it (else the thumbprint)."""

    jwk: Mapping[str, str]
    thumbprint: str
    kid: str
    algorithms: frozenset[str]
    raw: Any = field(repr=False, compare=False)

    @property
    def algorithm(self) -> str:
        """The name under which signatures of this key are emitted."""
        return _EMITTED[self.jwk["kty"]]

    def verifies(self, algorithm: str, message: bytes, signature: bytes) -> bool:
        """Whether `signature` over `message` was made by this key under `algorithm`."""
        if algorithm not in self.algorithms:
            return False
        try:
            if algorithm == "ES256":
                if len(signature) != 64:
                    return False
                r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
                self.raw.verify(encode_dss_signature(r, s), message, ec.ECDSA(hashes.SHA256()))
            elif algorithm == "PS256":
                self.raw.verify(signature, message, _PSS, hashes.SHA256())
            else:
                self.raw.verify(signature, message)
        except InvalidSignature:
            return False
        return True


def public_key(jwk: object) -> PublicKey:
    """The checked key of a public JWK (RFC 7517). Raises KeyRefused: private members, other curves, RSA < 2048 bits."""
    if not isinstance(jwk, Mapping):
        raise KeyRefused("A key must be a JSON object.")
    kty = jwk.get("kty")
    if not isinstance(kty, str) or kty not in _MEMBERS:
        raise KeyRefused("A key must be of type EC, OKP or RSA.")
    if not _PRIVATE.isdisjoint(jwk):
        raise KeyRefused("A private key was given where a public one belongs; treat it as lost and make a new one.")
    values = tuple(jwk.get(name) for name in _MEMBERS[kty])
    if not all(isinstance(value, str) and len(value) <= 1400 for value in values):
        raise KeyRefused("A key lacks one of its members.")
    key = _checked(kty, values)
    named = jwk.get("alg")
    if (named is not None and named not in tuple(key.algorithms)) or jwk.get("use", "sig") != "sig":
        raise KeyRefused("A key is meant for another use or algorithm.")
    kid = jwk.get("kid")
    return dataclasses.replace(key, kid=kid) if isinstance(kid, str) and kid != key.kid else key


@functools.lru_cache(maxsize=4096)
def _checked(kty: str, values: tuple[str, ...]) -> PublicKey:
    members = dict(zip(_MEMBERS[kty], values, strict=True))
    try:
        raw, algorithms = _import(kty, members)
    except (ValueError, UnicodeEncodeError) as broken:
        raise KeyRefused("A key is malformed.") from broken
    digest = _thumbprint(members)
    return PublicKey(MappingProxyType(members), digest, digest, algorithms, raw)


def _import(kty: str, members: Mapping[str, str]) -> tuple[Any, frozenset[str]]:
    if kty == "EC":
        x, y = unb64(members["x"]), unb64(members["y"])
        if members["crv"] != "P-256" or len(x) != 32 or len(y) != 32:
            raise KeyRefused("An EC key must be on the curve P-256.")
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\4" + x + y), frozenset({"ES256"})
    if kty == "OKP":
        if members["crv"] != "Ed25519":
            raise KeyRefused("An OKP key must be on the curve Ed25519.")
        raw = ed25519.Ed25519PublicKey.from_public_bytes(unb64(members["x"]))
        return raw, frozenset({"Ed25519", "EdDSA"})
    n, e = int.from_bytes(unb64(members["n"]), "big"), int.from_bytes(unb64(members["e"]), "big")
    if not 2048 <= n.bit_length() <= 8192:
        raise KeyRefused("An RSA key must have 2048 to 8192 bits.")
    if not 65537 <= e < 2**32 or e % 2 == 0:
        raise KeyRefused("An RSA key must have an odd public exponent of at least 65537.")
    return rsa.RSAPublicNumbers(e, n).public_key(), frozenset({"PS256"})


def public_keys(jwks: Iterable[object]) -> tuple[PublicKey, ...]:
    """The checked keys of a JWK list, at most 32. Raises KeyRefused if one of them is not sound."""
    keys = tuple(public_key(jwk) for _, jwk in zip(range(MAX_JWKS + 1), jwks, strict=False))
    if len(keys) > MAX_JWKS:
        raise KeyRefused(f"A key set may hold {MAX_JWKS} keys.")
    return keys


def thumbprint(jwk: Mapping[str, Any]) -> str:
    """The RFC 7638 SHA-256 thumbprint of a JWK, public or private, base64url."""
    kty = jwk.get("kty")
    if kty not in _MEMBERS:
        raise KeyRefused("A key must be of type EC, OKP or RSA.")
    return _thumbprint({name: jwk[name] for name in _MEMBERS[kty]})


def _thumbprint(members: Mapping[str, str]) -> str:
    return b64(hashlib.sha256(orjson.dumps(dict(sorted(members.items())))).digest())


@dataclass(frozen=True)
class SigningKey:
    """A private key. `deterministic` makes ECDSA give the same signature for the same bytes (RFC 6979)."""

    jwk: Mapping[str, str] = field(repr=False)
    algorithm: str
    thumbprint: str
    raw: Any = field(repr=False, compare=False)
    deterministic: bool = False

    @property
    def public_jwk(self) -> dict[str, str]:
        """The public JWK with `kid` (the thumbprint), `alg` and `use`."""
        members = {name: self.jwk[name] for name in _MEMBERS[self.jwk["kty"]]}
        return members | {"kid": self.thumbprint, "alg": self.algorithm, "use": "sig"}

    @property
    def public(self) -> PublicKey:
        """The public half."""
        return public_key(self.public_jwk)

    def signature(self, message: bytes, *, repeatable: bool = False) -> bytes:
        """The raw JWS signature of `message`; `repeatable` makes this one deterministic."""
        if self.algorithm == "ES256":
            digest = ec.ECDSA(hashes.SHA256(), deterministic_signing=self.deterministic or repeatable)
            r, s = decode_dss_signature(self.raw.sign(message, digest))
            return r.to_bytes(32, "big") + s.to_bytes(32, "big")
        if self.algorithm == "PS256":
            return self.raw.sign(message, _PSS, hashes.SHA256())
        return self.raw.sign(message)


def generate_key(algorithm: str = "ES256", world: World | None = None, subject: str = "") -> SigningKey:
    """A new key. In a seeded world it derives from (seed, subject), and its signatures are deterministic."""
    seeded = world is not None and world.seed is not None
    seed = world.draw("key", subject, 48) if world is not None and seeded else None
    raw: Any
    if algorithm == "ES256":
        order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
        raw = (
            ec.generate_private_key(ec.SECP256R1())
            if seed is None
            else ec.derive_private_key(int.from_bytes(seed, "big") % (order - 1) + 1, ec.SECP256R1())
        )
        numbers = raw.private_numbers()
        public = numbers.public_numbers
        jwk = {
            "kty": "EC",
            "crv": "P-256",
            "x": b64(public.x.to_bytes(32, "big")),
            "y": b64(public.y.to_bytes(32, "big")),
        }
        jwk["d"] = b64(numbers.private_value.to_bytes(32, "big"))
    elif algorithm == "Ed25519":
        raw = ed25519.Ed25519PrivateKey.from_private_bytes(seed[:32]) if seed else ed25519.Ed25519PrivateKey.generate()
        jwk = {
            "kty": "OKP",
            "crv": "Ed25519",
            "x": b64(raw.public_key().public_bytes_raw()),
            "d": b64(raw.private_bytes_raw()),
        }
    else:
        raise KeyRefused("New keys are made for ES256 or Ed25519.")
    return SigningKey(jwk, algorithm, thumbprint(jwk), raw, seeded)


def signing_key(jwk: object, deterministic: bool = False) -> SigningKey:
    """The key of a private JWK (EC P-256, Ed25519, or RSA with all its primes). Raises KeyRefused."""
    if not isinstance(jwk, Mapping) or not isinstance(jwk.get("d"), str):
        raise KeyRefused("This is no private key.")
    public = public_key({name: value for name, value in jwk.items() if name not in _PRIVATE})
    try:
        raw: Any
        if jwk["kty"] == "EC":
            raw = ec.derive_private_key(int.from_bytes(unb64(jwk["d"]), "big"), ec.SECP256R1())
        elif jwk["kty"] == "OKP":
            raw = ed25519.Ed25519PrivateKey.from_private_bytes(unb64(jwk["d"]))
        else:
            p, q, d, dp, dq, qi = (int.from_bytes(unb64(jwk[m]), "big") for m in ("p", "q", "d", "dp", "dq", "qi"))
            raw = rsa.RSAPrivateNumbers(p, q, d, dp, dq, qi, public.raw.public_numbers()).private_key()
    except (KeyError, ValueError) as broken:
        raise KeyRefused("A private key is malformed.") from broken
    spki = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    if raw.public_key().public_bytes(*spki) != public.raw.public_bytes(*spki):
        raise KeyRefused("The two halves of a private key do not belong together.")
    members = {name: value for name, value in jwk.items() if name in _PRIVATE or name in public.jwk}
    return SigningKey(MappingProxyType(members), public.algorithm, public.thumbprint, raw, deterministic)


# JSON Web Signatures, compact form


@dataclass(frozen=True)
class Jws:
    """A compact JWS as read, nothing verified yet."""

    header: Mapping[str, Any]
    claims: Mapping[str, Any]
    message: bytes = field(repr=False)
    signature: bytes = field(repr=False)


def sign(key: SigningKey, header: Mapping[str, Any], claims: Mapping[str, Any]) -> str:
    """A compact JWS over the claims; `alg` is set from the key."""
    head = b64(orjson.dumps({"alg": key.algorithm, **header}))
    message = f"{head}.{b64(orjson.dumps(claims))}".encode()
    return f"{message.decode()}.{b64(key.signature(message))}"


def read_jws(token: str, *, types: frozenset[str | None], max_bytes: int = MAX_JWS) -> Jws:
    """Take a compact JWS apart. `types` are the `typ` values (lower case, no `application/`) that may stand there;
    None is an absent one. Raises SignatureRefused: size, form, type, algorithm, any `crit`."""
    if len(token) > max_bytes:
        raise SignatureRefused("A signed token is too long.")
    parts = token.split(".")
    if len(parts) != 3:
        raise SignatureRefused("A signed token is malformed.")
    try:
        header, claims = orjson.loads(unb64(parts[0])), orjson.loads(unb64(parts[1]))
        signature = unb64(parts[2])
    except ValueError as broken:
        raise SignatureRefused("A signed token is malformed.") from broken
    if not isinstance(header, dict) or not isinstance(claims, dict):
        raise SignatureRefused("A signed token is malformed.")
    typ = header.get("typ")
    if isinstance(typ, str):
        typ = typ.lower().removeprefix("application/")
    if not (typ is None or isinstance(typ, str)) or typ not in types:
        raise SignatureRefused("A signed token is of another type.")
    if header.get("alg") not in ALGORITHMS or "crit" in header or "b64" in header:
        raise SignatureRefused("A signed token uses an algorithm or extension that is not accepted.")
    return Jws(header, claims, f"{parts[0]}.{parts[1]}".encode(), signature)


def verify(token: Jws, keys: Iterable[PublicKey]) -> PublicKey:
    """The key among `keys` that signed the token; a `kid` in its header narrows the choice, nothing else in the header
    is trusted. Raises SignatureRefused."""
    kid = token.header.get("kid")
    for key in keys:
        named = kid is None or kid in (key.kid, key.thumbprint)
        if named and key.verifies(token.header["alg"], token.message, token.signature):
            return key
    raise SignatureRefused("A signed token is not signed by a key that is known here.")


def sign_assertion(key: SigningKey, client_id: str, audience: str, now: int, jti: str, lifetime: int = 60) -> str:
    """A client assertion (RFC 7523) for the authorization server whose issuer is `audience`."""
    claims = {"iss": client_id, "sub": client_id, "aud": audience, "iat": now, "exp": now + lifetime, "jti": jti}
    return sign(key, {"typ": "client-authentication+jwt", "kid": key.thumbprint}, claims)


def dpop_proof(
    key: SigningKey, method: str, url: str, now: int, jti: str, *, token: str | None = None, nonce: str | None = None
) -> str:
    """A DPoP proof (RFC 9449) for one request; `token` is the access token that goes with it, if any."""
    public = {name: value for name, value in key.public_jwk.items() if name in _MEMBERS[key.jwk["kty"]]}
    claims: dict[str, Any] = {"jti": jti, "htm": method, "htu": url.partition("?")[0].partition("#")[0], "iat": now}
    if token is not None:
        claims["ath"] = token_hash(token)
    if nonce is not None:
        claims["nonce"] = nonce
    return sign(key, {"typ": "dpop+jwt", "jwk": public}, claims)


def token_hash(token: str) -> str:
    """The `ath` of an access token: base64url SHA-256 of its text."""
    return b64(hashlib.sha256(token.encode()).digest())
