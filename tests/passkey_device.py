"""A device that makes and uses passkeys, in software: what a browser hands to the page after asking it."""

from __future__ import annotations

import hashlib
import html
import json
import os
import re
from typing import Any

import cbor2
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from federation.keys import b64, unb64

UP, UV, AT = 1, 4, 0x40


class Device:
    """One passkey at one site. It can lie in each part of what it says."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.credential_id = os.urandom(16)
        self.count = 0
        self.user: str | None = None

    def create(self, options: str, *, flags: int = UP | UV, **lies: Any) -> str:
        """What `navigator.credentials.create` gives for the options of a page."""
        asked = json.loads(options)
        self.user = asked["user"]["id"]
        numbers = self.key.public_key().public_numbers()
        cose = {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")}
        attested = bytes(16) + len(self.credential_id).to_bytes(2, "big") + self.credential_id + cbor2.dumps(cose)
        said = self._authenticator(asked["rp"]["id"], flags | AT) + attested
        statement = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": said})
        client = self._client("webauthn.create", asked["challenge"], lies)
        return self._told({"clientDataJSON": b64(client), "attestationObject": b64(statement)})

    def get(self, options: str, *, flags: int = UP | UV, user: str | None = None, **lies: Any) -> str:
        """What `navigator.credentials.get` gives."""
        asked = json.loads(options)
        self.count += 1
        said = self._authenticator(lies.pop("host", asked["rpId"]), flags)
        client = self._client("webauthn.get", asked["challenge"], lies)
        signature = self.key.sign(said + hashlib.sha256(client).digest(), ec.ECDSA(SHA256()))
        response = {"clientDataJSON": b64(client), "authenticatorData": b64(said), "signature": b64(signature)}
        return self._told(response | {"userHandle": user or self.user})

    def _authenticator(self, host: str, flags: int) -> bytes:
        return hashlib.sha256(host.encode()).digest() + bytes([flags]) + self.count.to_bytes(4, "big")

    def _client(self, kind: str, challenge: str, lies: dict[str, Any]) -> bytes:
        return json.dumps({"type": kind, "challenge": challenge, "origin": self.origin, **lies}).encode()

    def _told(self, response: dict[str, Any]) -> str:
        name = b64(self.credential_id)
        return json.dumps({"id": name, "rawId": name, "type": "public-key", "response": response})


def options_in(page: str) -> str:
    """The options that a page holds for its script."""
    found = re.search(r'data-passkey="([^"]+)"', page)
    assert found is not None
    return html.unescape(found[1])


def challenge_of(options: str) -> bytes:
    """The challenge in them."""
    return unb64(json.loads(options)["challenge"])
