"""A dashboard that asks a person: a program with a key, whose requests go over the network of a stage."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode, urlsplit

from authlib.oauth2.rfc7636 import create_s256_code_challenge

from federation.keys import dpop_proof, generate_key, sign_assertion, signing_key
from federation.oauth.assertions import ASSERTION_TYPE
from federation.oauth.clients import add_client
from federation.oauth.proofs import nonce
from oracles.network import Said
from oracles.questions import SECRET_INPUT
from oracles.stage import Stage

BACK = "https://dashboard.example/back"
FORM = {"content-type": "application/x-www-form-urlencoded"}
_VERIFIER = "v" * 43


class Dashboard:
    """A program that an operator of the stage's node let in, and that asks for what is open."""

    def __init__(self, stage: Stage) -> None:
        self._stage, node = stage, stage.node
        name = f"dashboard-{len(stage.network.said)}"
        made = add_client(
            node.database, node.world, name, frozenset({"resource:open"}), node.scopes, redirect_uris=(BACK,)
        )
        self.id, self._key, self._proofs = made.client_id, signing_key(made.private_jwk), generate_key()
        self._count = 0

    def send(self, path: str, form: dict[str, str], status: int = 200) -> Said:
        """A form of this program, with assertion and proof."""
        self._count += 1
        node, jti = self._stage.node, f"{self.id}-{self._count}"
        url, now = node.settings.url, node.world.timestamp()
        form |= {"client_id": self.id, "client_assertion_type": ASSERTION_TYPE}
        form["client_assertion"] = sign_assertion(self._key, self.id, url, now, jti)
        given = nonce(node.realm.nonce_secret, now)
        proof = dpop_proof(self._proofs, "POST", url + path, now, jti, nonce=given)
        said = self._stage.network.call("POST", url + path, FORM | {"dpop": proof}, urlencode(form).encode())
        assert said.status == status, said
        return said

    def push(self) -> Said:
        """A request for a person, kept under a name."""
        wish = {"response_type": "code", "redirect_uri": BACK, "scope": "resource:open", "state": SECRET_INPUT}
        wish |= {"code_challenge": create_s256_code_challenge(_VERIFIER), "code_challenge_method": "S256"}
        return self.send("/oauth/par", wish, 201)

    def redeem(self, address: str) -> Said:
        """The tokens for the code in the address to which a person was led."""
        code = dict(parse_qsl(urlsplit(address).query))["code"]
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": BACK, "code_verifier": _VERIFIER}
        return self.send("/oauth/token", form)

    def refresh(self, token: str) -> Said:
        """The next access token."""
        return self.send("/oauth/token", {"grant_type": "refresh_token", "refresh_token": token})
