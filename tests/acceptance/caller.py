"""A client of a node, written from the specifications alone: RFC 7523, RFC 9449 and JWS on `cryptography`.

It shares no code with the project, so that an error on both sides of it cannot agree with itself.
"""

from __future__ import annotations

import base64
import hashlib
import json
import ssl
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def private_key(jwk: dict[str, Any]) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(int.from_bytes(unb64(jwk["d"])), ec.SECP256R1())


def public_jwk(key: ec.EllipticCurvePrivateKey) -> dict[str, str]:
    numbers = key.public_key().public_numbers()
    return {"kty": "EC", "crv": "P-256", "x": b64(numbers.x.to_bytes(32)), "y": b64(numbers.y.to_bytes(32))}


def signed(key: ec.EllipticCurvePrivateKey, header: dict[str, Any], claims: dict[str, Any]) -> str:
    """A compact JWS, ES256."""
    text = f"{b64(json.dumps({'alg': 'ES256', **header}).encode())}.{b64(json.dumps(claims).encode())}"
    r, s = utils.decode_dss_signature(key.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
    return f"{text}.{b64(r.to_bytes(32) + s.to_bytes(32))}"


@dataclass
class Caller:
    """One client of one node: gets tokens, asks with proofs, and repeats a request when a nonce is demanded."""

    url: str
    client_id: str
    jwk: dict[str, Any]
    scopes: list[str]
    proof_key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    nonce: str | None = None
    held: tuple[str, float] = ("", 0.0)

    @classmethod
    def of(cls, url: str, client: dict[str, Any]) -> Caller:
        """The client as demo.json describes it."""
        return cls(url, client["client_id"], json.loads(Path(client["key_file"]).read_text()), client["scopes"])

    def proof(self, method: str, url: str, token: str | None = None) -> str:
        claims: dict[str, Any] = {"jti": uuid.uuid4().hex, "htm": method, "htu": url, "iat": int(time.time())}
        if token:
            claims["ath"] = b64(hashlib.sha256(token.encode()).digest())
        if self.nonce:
            claims["nonce"] = self.nonce
        return signed(self.proof_key, {"typ": "dpop+jwt", "jwk": public_jwk(self.proof_key)}, claims)

    def asked_for_token(self) -> httpx2.Response:
        """The answer of the token endpoint, whatever it is."""
        endpoint = f"{self.url}/oauth/token"
        for _ in range(3):
            now = int(time.time())
            claims = {
                "iss": self.client_id,
                "sub": self.client_id,
                "aud": self.url,
                "jti": uuid.uuid4().hex,
                "iat": now,
                "exp": now + 60,
            }
            form = {
                "grant_type": "client_credentials",
                "scope": " ".join(self.scopes),
                "client_id": self.client_id,
                "client_assertion_type": ASSERTION_TYPE,
                "client_assertion": signed(private_key(self.jwk), {"kid": self.jwk.get("kid")}, claims),
            }
            answer = post(endpoint, {"dpop": self.proof("POST", endpoint)}, data=form)
            if not self._new_nonce(answer):
                break
        return answer

    def token(self) -> str:
        if self.held[1] < time.time() + 60:
            answer = self.asked_for_token()
            assert answer.status_code == 200, answer.text
            body = answer.json()
            assert body["token_type"] == "DPoP"
            self.held = body["access_token"], time.time() + body["expires_in"]
        return self.held[0]

    def post(self, path: str, body: Any, token: str | None = None) -> httpx2.Response:
        """One request with token and proof; its answer, whatever it is."""
        url = self.url + path
        for _ in range(3):
            used = token or self.token()
            headers = {"authorization": f"DPoP {used}", "dpop": self.proof("POST", url, used)}
            answer = post(url, headers | {"content-type": "application/json"}, content=json.dumps(body))
            if not self._new_nonce(answer):
                break
        return answer

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        """A GraphQL request that must succeed; its data."""
        answer = self.post("/graphql", {"query": query, "variables": variables})
        assert answer.status_code == 200, answer.text
        body = answer.json()
        assert "errors" not in body, body["errors"]
        return body["data"]

    def _new_nonce(self, answer: httpx2.Response) -> bool:
        fresh, before = answer.headers.get("dpop-nonce"), self.nonce
        self.nonce = fresh or before
        demanded = "use_dpop_nonce" in answer.headers.get("www-authenticate", "") + answer.text[:200]
        return answer.status_code in (400, 401) and demanded and fresh not in (None, before)


_AUTHORITIES = ssl.create_default_context()
"""Made once: reading them takes longer than a request."""


def post(url: str, headers: dict[str, str], **content: Any) -> httpx2.Response:
    with httpx2.Client(timeout=60, trust_env=False, verify=_AUTHORITIES) as http:
        return http.post(url, headers=headers, **content)


def get(url: str, **headers: str) -> httpx2.Response:
    with httpx2.Client(timeout=60, trust_env=False, verify=_AUTHORITIES) as http:
        return http.get(url, headers=headers)
